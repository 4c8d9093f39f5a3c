package tour

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/rustyonions/micronode/model/amnesia"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// arrive sends half a frame of a put, or asks for one where a drain refuses it.
func (d *amnesiaDrive) arrive(l amnesiaLeg, c *amnesiaClient) error {
	if c.web != nil {
		c.web.request("POST /put", "Content-Length: 0\r\n", "")
		return d.refusedWeb(l, c, http.MethodPost)
	}
	var frames []byte
	if l.from.Conns[l.op.Conn-1].Doing == amnesia.Idle {
		c.put = &amnesiaPut{content: l.put, bytes: d.object(l.put), req: refwire.Request{Op: "put", TotalLen: slot}}
		switch {
		case l.wrong:
			c.put.req.Obj, c.put.req.HasObj = d.address(-1), true
		case d.turn%2 == 0:
			c.put.req.Obj, c.put.req.HasObj = d.address(l.put), true
		}
		frames = c.link.open(0, c.put.req)
		c.put.corr = c.link.corr
	}
	if l.to.at(l.op.Conn).Refused { // before any byte of it
		said, err := c.link.exchange(append(frames, c.link.frame(c.put.corr, spec.FlagEnd, nil)...), "a put that finds no room")
		c.put.said = said[c.put.corr]
		return err
	}
	frame := c.next(drop)
	c.put.half = frame[len(frame)/2:]
	said, err := c.link.exchangeAnd(frames, frame[:len(frame)/2], "half a frame")
	if err == nil && len(said[c.put.corr]) > 0 {
		err = d.fail("a put is answered %s", names(said[c.put.corr]))
	}
	return err
}

// next are DATA frames for the next n bytes of a put.
func (c *amnesiaClient) next(n int) []byte {
	p := c.put
	frames := c.link.data(p.corr, p.req, int64(p.sent), p.bytes[p.sent:p.sent+n])
	p.sent += n
	return frames
}

// take completes the frame. The first bytes that the store takes bring the rest along that makes the put fill its slot.
func (d *amnesiaDrive) take(l amnesiaLeg, c *amnesiaClient) error {
	p := c.put
	if l.action == "Take_draining" {
		return d.deadline(l, c)
	}
	if l.from.at(l.op.Conn).Refused {
		return d.answered(l, "put", p.said)
	}
	frames := p.half
	p.half = nil
	switch first := l.from.Conns[l.op.Conn-1].Slot == 0; {
	case l.reason != spec.None:
		frames = append(frames, c.link.frame(p.corr, spec.FlagEnd, nil)...)
	case first:
		frames = append(frames, c.next(slot-spare-drop)...)
	}
	if l.reason != spec.None && l.from.Life == amnesia.Closing {
		return d.last(l, c, frames)
	}
	said, err := c.link.exchange(frames, l.op.String())
	switch {
	case err != nil:
		return err
	case l.reason != spec.None:
		return d.answered(l, "put", said[p.corr])
	case len(said[p.corr]) > 0:
		return d.fail("a put is answered %s", names(said[p.corr]))
	}
	return nil
}

// last sends what ends a request, and wants it to be refused. The node may close the connection behind that.
func (d *amnesiaDrive) last(l amnesiaLeg, c *amnesiaClient, frames []byte) error {
	c.link.send(frames, l.op.String())
	f, err := c.link.read(time.Now().Add(patience))
	if err != nil {
		return err
	}
	return d.answered(l, "put", []refwire.Frame{f})
}

// commit sends what is missing of a put, and its END.
func (d *amnesiaDrive) commit(l amnesiaLeg, c *amnesiaClient) error {
	if l.action == "Commit_draining" {
		return d.deadline(l, c)
	}
	p := c.put
	frames := append(c.next(slot-p.sent), c.link.frame(p.corr, spec.FlagEnd, nil)...)
	if l.reason != spec.None {
		return d.last(l, c, frames)
	}
	c.link.send(frames, l.op.String())
	f, err := c.link.read(time.Now().Add(patience))
	if err != nil {
		return err
	}
	a, reason, err := final("put", []refwire.Frame{f})
	if err == nil && (reason != spec.None || a.Obj != d.address(p.content) || a.Created == (l.action == "CommitAgain")) {
		return d.fail("the put is answered %+v %s", a, reason)
	}
	if l.action == "Commit" {
		d.content[l.from.Conns[l.op.Conn-1].Slot-1] = p.content
	}
	return err
}

func (d *amnesiaDrive) get(l amnesiaLeg, c *amnesiaClient) error {
	obj := d.stored(l, l.op.Slot)
	if c.web != nil {
		c.web.request("GET /o/"+obj.String(), "", "")
		return d.refusedWeb(l, c, http.MethodGet)
	}
	if l.reason != spec.None {
		said, err := c.link.exchange(c.link.open(spec.FlagEnd, refwire.Request{Op: "get", Obj: obj, HasObj: true}), "get")
		if err != nil {
			return err
		}
		return d.answered(l, "get", said[c.link.corr])
	}
	c.get = &openGet{want: d.object(d.content[l.op.Slot-1])}
	return c.get.begin(c.link, obj)
}

func (d *amnesiaDrive) refusedWeb(l amnesiaLeg, c *amnesiaClient, method string) error {
	r, err := c.web.receive(method)
	if err == nil && r.reason != l.reason {
		err = d.fail("%s is answered %s, and the model says %q", method, r.Status, l.reason)
	}
	return err
}

// corr is the stream of the request that is in flight on a connection.
func (c *amnesiaClient) corr(doing string) uint64 {
	if doing == amnesia.Put {
		return c.put.corr
	}
	return c.get.corr
}

func (d *amnesiaDrive) cancel(l amnesiaLeg, c *amnesiaClient) error {
	corr := c.corr(l.from.Conns[l.op.Conn-1].Doing)
	if l.from.Life == amnesia.Closing { // the node closes the connection behind it
		c.link.send(c.link.cancel(corr), "CANCEL")
		return nil
	}
	said, err := c.link.exchange(c.link.cancel(corr), "CANCEL")
	if err == nil && len(said[corr]) > 0 {
		err = d.fail("CANCEL is answered %s", names(said[corr]))
	}
	return err
}

// progress sends a little of every request but one, so that their clocks begin anew.
func (d *amnesiaDrive) progress(but *amnesiaClient) (err error) {
	for _, c := range d.clients {
		switch {
		case c == nil || c == but || c.link == nil:
		case c.get != nil:
			err = errors.Join(err, c.get.more(c.link))
		case c.put != nil && c.put.half == nil:
			_, e := c.link.exchange(c.next(drop), "progress")
			err = errors.Join(err, e)
		}
	}
	return err
}

// timeout waits until the limit of a request ends. The others make progress meanwhile, if they can.
func (d *amnesiaDrive) timeout(l amnesiaLeg, c *amnesiaClient) error {
	<-time.After(spec.RequestTimeout / 2)
	if err := d.progress(c); err != nil {
		return err
	}
	f, err := c.link.read(time.Now().Add(spec.RequestTimeout + patience))
	if err != nil {
		return err
	}
	_, reason, err := final("timeout", []refwire.Frame{f})
	if corr := c.corr(l.from.Conns[l.op.Conn-1].Doing); err == nil && (reason != spec.Timeout || f.Corr != corr && f.Corr != 0) {
		err = d.fail("a request that makes no progress is answered %s", name(f))
	}
	return err
}

// deadline waits until the drain cuts what is in flight.
func (d *amnesiaDrive) deadline(l amnesiaLeg, c *amnesiaClient) error {
	f, err := c.link.read(d.drained[1].Add(spec.DrainTimeout + patience))
	if err != nil {
		return err
	}
	_, reason, err := final("put", []refwire.Frame{f})
	if took := time.Since(d.drained[0]); err == nil && (reason != spec.Draining || f.Corr != c.put.corr || took < spec.DrainTimeout) {
		err = fmt.Errorf("%w: %v after the drain began a put is answered %s", errTour, took, name(f))
	}
	return err
}
