package tour

import (
	"net/http"
	"syscall"
	"time"

	"github.com/rustyonions/micronode/model/cas"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// writer is the connection of a put over OAP/1, reader that of a get: their frames are small, so that a window holds
// less than the smallest object.
func (d *casDrive) writer(w int) (*link, error) { return d.greeted(d.writers, w, 0) }
func (d *casDrive) reader(r int) (*link, error) { return d.greeted(d.readers, r, spec.MinMaxFrame) }

func (d *casDrive) greeted(links map[int]*link, n int, maxFrame int64) (l *link, err error) {
	if links[n] == nil {
		links[n], err = d.node.greet(maxFrame)
	}
	return links[n], err
}

// refused wants the answer to a request to be a refusal for the reason that the model has.
func (d *casDrive) refused(l casLeg, frames []refwire.Frame) error {
	_, reason, err := final(string(l.op.Kind), frames)
	if err == nil && reason != l.reason {
		err = d.fail("the node answers %q, and the model says %q", reason, l.reason)
	}
	return err
}

// quiet wants a step that the model takes to be taken without a word.
func (d *casDrive) quiet(frames []refwire.Frame) error {
	if len(frames) > 0 {
		return d.fail("the node says %s, and the model nothing", names(frames))
	}
	return nil
}

func (d *casDrive) begin(l casLeg) error {
	if l.op.Length == cas.None {
		w, err := d.node.browse()
		if err != nil {
			return err
		}
		up, reason, err := w.upload()
		if err == nil && reason != l.reason {
			err = d.fail("an upload is refused with %q, and the model says %q", reason, l.reason)
		}
		d.puts[l.op.Writer] = casPut{up: up}
		return err
	}
	c, err := d.writer(l.op.Writer)
	if err != nil {
		return err
	}
	r := d.sc.request(l.op.Length, l.op.Address)
	frames := c.open(0, r)
	if l.reason != spec.None {
		frames = append(frames, c.frame(c.corr, spec.FlagEnd, nil)...)
	}
	said, err := c.exchange(frames, l.op.String())
	if err != nil {
		return err
	}
	if l.reason != spec.None {
		return d.refused(l, said[c.corr])
	}
	d.puts[l.op.Writer] = casPut{corr: c.corr, req: r}
	return d.quiet(said[c.corr])
}

func (d *casDrive) arrive(l casLeg) (soon bool, err error) {
	p := d.puts[l.op.Writer]
	at := l.from.Writers[l.op.Writer-1].Units * unit
	bytes := d.sc.text[at : at+unit]
	if l.reason != spec.None {
		delete(d.puts, l.op.Writer)
	}
	if p.up.web != nil {
		p.up.arrive(bytes)
		if l.reason == spec.None {
			return true, nil
		}
		defer p.up.reset()
		_, _, reason, err := p.up.stored()
		if err == nil && reason != l.reason {
			err = d.fail("an upload is answered %q, and the model says %q", reason, l.reason)
		}
		return true, err
	}
	c := d.writers[l.op.Writer]
	frames := c.data(p.corr, p.req, int64(at), bytes)
	if l.reason != spec.None {
		frames = append(frames, c.frame(p.corr, spec.FlagEnd, nil)...)
	}
	said, err := c.exchange(frames, l.op.String())
	switch {
	case err != nil:
		return false, err
	case l.reason != spec.None:
		return false, d.refused(l, said[p.corr])
	}
	return false, d.quiet(said[p.corr])
}

func (d *casDrive) commit(l casLeg) (soon bool, err error) {
	p, w := d.puts[l.op.Writer], l.from.Writers[l.op.Writer-1]
	delete(d.puts, l.op.Writer)
	var obj spec.Address
	var created bool
	var reason spec.Reason
	if p.up.web != nil {
		p.up.end()
		obj, created, reason, err = p.up.stored()
		p.up.reset()
	} else {
		c := d.writers[l.op.Writer]
		said, err := c.exchange(c.frame(p.corr, spec.FlagEnd, nil), l.op.String())
		if err != nil {
			return false, err
		}
		var a refwire.Answer
		a, reason, err = final("put", said[p.corr])
		if err != nil {
			return false, err
		}
		obj, created = a.Obj, a.Created
	}
	switch {
	case err != nil:
	case reason != l.reason:
		err = d.fail("the put is answered %q, and the model says %q", reason, l.reason)
	case reason == spec.None && (obj != d.sc.addr[w.Units] || created != (l.action == "Commit_created")):
		err = d.fail("the put is answered %s, created %t", obj, created)
	}
	return false, err
}

// abort ends a put in one of the ways that a client has.
func (d *casDrive) abort(l casLeg) (soon bool, err error) {
	p := d.puts[l.op.Writer]
	delete(d.puts, l.op.Writer)
	c := d.writers[l.op.Writer]
	switch {
	case p.up.web != nil:
		p.up.reset()
		return true, nil
	case d.turn%2 == 0:
		c.reset()
		delete(d.writers, l.op.Writer)
		return true, nil
	}
	said, err := c.exchange(c.cancel(p.corr), l.op.String())
	if err != nil {
		return false, err
	}
	return false, d.quiet(said[p.corr])
}

// get begins to read, as far as the window goes.
func (d *casDrive) get(l casLeg) error {
	if l.reason != spec.None {
		return d.ask(l)
	}
	c, err := d.reader(l.op.Reader)
	if err != nil {
		return err
	}
	g := &openGet{want: d.sc.text[:l.op.Object*unit]}
	d.gets[l.op.Reader] = g
	return g.begin(c, d.sc.addr[l.op.Object])
}

// endGet ends a get in one of the ways that a client has.
func (d *casDrive) endGet(l casLeg) error {
	c, g := d.readers[l.op.Reader], d.gets[l.op.Reader]
	delete(d.gets, l.op.Reader)
	switch d.turn % 3 {
	case 0:
		c.reset()
		delete(d.readers, l.op.Reader)
		return nil
	case 1:
		said, err := c.exchange(c.cancel(g.corr), l.op.String())
		if err != nil {
			return err
		}
		return d.quiet(said[g.corr])
	}
	return g.rest(c)
}

// ask makes a request that is answered at once, on either surface.
func (d *casDrive) ask(l casLeg) error {
	op := map[cas.Kind]string{cas.Get: "get", cas.Has: "has", cas.Stat: "stat", cas.Delete: "delete"}[l.op.Kind]
	if d.turn%2 == 0 && op != "has" {
		return d.askWeb(l)
	}
	said, err := d.eye.exchange(d.eye.open(spec.FlagEnd, refwire.Request{Op: op, Obj: d.sc.addr[l.op.Object], HasObj: true}), l.op.String())
	if err != nil {
		return err
	}
	a, reason, err := final(op, said[d.eye.corr])
	switch {
	case err != nil:
	case reason != l.reason:
		err = d.fail("the node answers %q, and the model says %q", reason, l.reason)
	case op == "has" && a.Exists != (l.action == "Has_true"), reason == spec.None && op == "stat" && a.Size != int64(l.op.Object*unit):
		err = d.fail("the node answers %+v", a)
	}
	return err
}

func (d *casDrive) askWeb(l casLeg) error {
	method := map[cas.Kind]string{cas.Get: http.MethodGet, cas.Stat: http.MethodHead, cas.Delete: http.MethodDelete}[l.op.Kind]
	r, err := d.web.ask(method, "/o/"+d.sc.addr[l.op.Object].String())
	if err != nil {
		return err
	}
	want := http.StatusOK
	switch {
	case l.reason != spec.None:
		want = l.reason.Facts().Status
	case l.op.Kind == cas.Delete:
		want = http.StatusNoContent
	}
	if r.StatusCode != want || l.reason != r.reason && method != http.MethodHead {
		return d.fail("%s is answered %s %s, and the model says %q", method, r.Status, r.reason, l.reason)
	}
	if l.reason == spec.None && l.op.Kind == cas.Stat && r.ContentLength != int64(l.op.Object*unit) {
		return d.fail("HEAD says that the object has %d bytes", r.ContentLength)
	}
	return nil
}

// stop ends the node in good order. What is in flight is cut by a second signal, which nobody has to wait for.
func (d *casDrive) stop(l casLeg) error {
	if err := d.node.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	f, err := d.eye.read(time.Now().Add(patience))
	if err != nil || f.Flags != spec.FlagEvent || f.Code != spec.CodeGoingAway {
		return d.fail("SIGTERM is answered %s (%v)", name(f), err)
	}
	if len(d.puts)+len(d.gets) > 0 {
		if err := d.node.Signal(syscall.SIGTERM); err != nil {
			return err
		}
	}
	if status, ok := d.node.Wait(patience); !ok || status != 0 {
		return d.fail("a node that was shut down exits with %d (%t)", status, ok)
	}
	return d.cut()
}

// cut looks at what the end of the node left on the connections of open puts and gets: nothing that could be taken for
// an answer.
func (d *casDrive) cut() error {
	defer d.leave()
	for r, g := range d.gets {
		if f, ok := d.readers[r].lastWords(g.corr); ok {
			return d.fail("a get that was cut ends with %s", name(f))
		}
	}
	for w, p := range d.puts {
		if p.up.web == nil {
			if f, ok := d.writers[w].lastWords(p.corr); ok {
				return d.fail("a put that was cut ends with %s", name(f))
			}
		} else if r, err := p.up.receive(http.MethodPost); err == nil && r.StatusCode < 400 {
			return d.fail("an upload that was cut is answered %s", r.Status)
		}
	}
	return nil
}
