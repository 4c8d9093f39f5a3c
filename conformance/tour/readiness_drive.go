package tour

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lukechampine.com/blake3"

	"github.com/rustyonions/micronode/model/readiness"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// readyLeg is a step of a tour.
type readyLeg struct {
	op       readyOp
	from, to readyState
	action   string
	reason   spec.Reason
	edge     int
}

// putLen is the length of a put that is held open, in bytes: enough for it to make some progress.
const putLen = 8

// looks is how often a node is asked, at most, whether it has come to what the model says.
const looks = 100

// held is a request that is in flight.
type held struct {
	work string
	corr uint64
	sent int64 // bytes of a put
	get  *openGet
}

// client is a connection of the model.
type client struct {
	readyConn
	link  *link
	web   *web
	inFly []*held
}

// readyDrive is a tour under way. It is for one goroutine.
type readyDrive struct {
	p       readiness.Params
	binary  string
	cov     *Coverage
	object  []byte // what held gets read; nil where a read is held up by its own END
	node    *target
	eye     *web // a connection beyond those of the model, for questions that cost nothing
	clients []*client
	tokens  bucket
	drained [2]time.Time // the drain began between these moments
	turn    int
	said    []string
}

// walk takes the legs in order.
func (d *readyDrive) walk(legs []readyLeg) error {
	if slices.ContainsFunc(legs, func(l readyLeg) bool { return l.op.Kind == readiness.Fail }) {
		return d.failing(legs)
	}
	defer d.leave()
	if err := d.start(); err != nil {
		return err
	}
	for _, l := range legs {
		d.turn++
		d.said = append(d.said, fmt.Sprintf("%s: %s", l.op, l.action))
		err := d.step(l)
		if err == nil {
			err = d.observe(l)
		}
		if late := d.intime(l.to); late != nil && !errors.Is(err, errSilent) && !errors.Is(err, errStays) {
			err = late // whatever was seen: the model and the node were not in the same state
		}
		if err != nil {
			return fmt.Errorf("%s (%s) from\n%s %v: %w\n  %s", l.op, l.action, readiness.Canon(l.from.State), l.from.Held, err, strings.Join(d.said, "\n  "))
		}
		d.cov.walk(l.edge)
	}
	if err := d.count(legs[len(legs)-1].to); err != nil {
		return fmt.Errorf("the tokens behind all that: %w\n  %s", err, strings.Join(d.said, "\n  "))
	}
	return nil
}

// leave ends the node and closes all connections.
func (d *readyDrive) leave() {
	for _, c := range d.clients {
		c.reset()
	}
	if d.eye != nil {
		d.eye.reset()
	}
	if d.node != nil {
		d.node.end()
	}
}

func (d *readyDrive) fail(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errTour}, args...)...)
}

// start starts a node with the caps of the model, and one more connection.
func (d *readyDrive) start() (err error) {
	d.tokens = bucket{most: d.p.Tokens}
	if d.node, err = launch(d.binary, d.p.Tokens, "--max-conns", strconv.Itoa(d.p.MaxConns+1), "--max-inflight", strconv.Itoa(d.p.MaxInflight),
		"--store-bytes", strconv.Itoa(casStore)); err != nil {
		return err
	}
	if d.eye, err = d.node.browse(); err != nil || d.object == nil {
		return err
	}
	d.eye.request("POST /put", "Content-Length: "+strconv.Itoa(len(d.object))+"\r\n", string(d.object))
	if r, err := d.eye.receive(http.MethodPost); err != nil || r.StatusCode != http.StatusCreated {
		return fmt.Errorf("put what will be read: %v %w", r.Response, err)
	}
	<-time.After(d.tokens.interval() + margin) // the token that it took
	return nil
}

// step brings a step of the model about.
func (d *readyDrive) step(l readyLeg) error {
	switch l.op.Kind {
	case readiness.Up:
		return nil // all that there is to see is the node that is ready in the end
	case readiness.Connect:
		return d.connect(l)
	case readiness.Disconnect:
		return d.disconnect(l)
	case readiness.Request:
		return d.request(l)
	case readiness.Finish, readiness.Cancel:
		return d.finish(l)
	case readiness.Readyz:
		return nil // as after every step, on a connection of the model where there is one
	case readiness.Refill:
		return d.refill(l)
	case readiness.Signal:
		return d.signal(l)
	case readiness.Notice:
		return d.notice(l)
	case readiness.Deadline:
		return d.deadline()
	case readiness.Close, readiness.Stop:
		return d.ends(l)
	}
	return errors.New("nobody outside can do this")
}

// observe compares what can be seen of readiness and admission with the model.
func (d *readyDrive) observe(l readyLeg) error {
	s := l.to
	gone := !s.Listening || s.Noticed && s.Places == 0 // it ends by itself, at any moment
	if s.Name == readiness.Starting || gone {
		return nil
	}
	soon := l.op.Kind != readiness.Readyz && l.reason == spec.None // the node may hear of it a moment later
	for deadline, n := time.Now().Add(patience), 1; ; n++ {
		err := d.compare(s)
		switch {
		case err == nil || !soon || !errors.Is(err, errTour):
			return err
		case n > looks:
			return fmt.Errorf("%w; %w", err, errStays)
		case time.Now().After(deadline) || d.intime(s) != nil:
			return err
		}
	}
}

func (d *readyDrive) compare(s readyState) error {
	eye := d.eye
	for _, c := range d.clients {
		if c.web != nil && c.idle() {
			eye = c.web
		}
	}
	r, err := eye.ask(http.MethodGet, "/readyz")
	if err != nil {
		return err
	}
	var told struct {
		State   string
		Missing []string
	}
	if err := json.Unmarshal(r.body, &told); err != nil {
		return d.fail("/readyz answers %s", r.body)
	}
	if r.StatusCode != s.Readyz || told.State != s.Name || !slices.Equal(told.Missing, readiness.Missing(d.p, s.State)) {
		return d.fail("/readyz answers %s %s, and the model says %d %s", r.Status, r.body, s.Readyz, s.Name)
	}
	if r, err = d.eye.ask(http.MethodGet, "/metrics"); err != nil {
		return err
	}
	conns, places := 0, 0
	for line := range strings.Lines(string(r.body)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		n, _ := strconv.Atoi(value)
		switch {
		case name == "connections":
			conns = n - 1
		case strings.HasPrefix(name, "inflight_requests{"):
			places += n
		}
	}
	if conns != s.Conns || places != s.Places {
		return d.fail("the node counts %d connections and %d requests in flight, and the model %d and %d", conns, places, s.Conns, s.Places)
	}
	return nil
}

func (c *client) reset() {
	if c.web != nil {
		c.web.reset()
	} else {
		c.link.reset()
	}
}

// like finds a connection that is like one of the plan.
func (d *readyDrive) like(on readyConn) (*client, error) {
	for _, c := range d.clients {
		if c.readyConn == on {
			return c, nil
		}
	}
	return nil, fmt.Errorf("the tour has no connection like %v", on)
}

func (d *readyDrive) connect(l readyLeg) (err error) {
	c := &client{readyConn: l.op.On}
	if c.Web {
		if c.web, err = d.node.browse(); err != nil {
			return err
		}
		_, err = c.web.ask(http.MethodGet, "/healthz")
	} else {
		c.link, err = d.node.greet(spec.MinMaxFrame)
	}
	if l.reason != spec.None {
		if err == nil {
			return d.fail("a connection above the cap is served")
		}
		return nil
	}
	d.clients = append(d.clients, c)
	return err
}

// disconnect ends a connection, or sees the node do so.
func (d *readyDrive) disconnect(l readyLeg) error {
	c, err := d.like(l.op.On)
	if err != nil {
		return err
	}
	d.clients = slices.DeleteFunc(d.clients, func(x *client) bool { return x == c })
	if l.from.Name == readiness.Draining && !c.Web {
		if f, err := c.link.read(time.Now().Add(patience)); err == nil || errors.Is(err, errSilent) {
			return d.fail("the node drains, and on a connection with nothing open it says %s (%w)", name(f), err)
		}
	}
	c.reset()
	return nil
}

// request asks for a piece of work. What is admitted stays in flight, because its END or its body is held back.
func (d *readyDrive) request(l readyLeg) error {
	c, err := d.like(l.op.On)
	if err != nil {
		return err
	}
	before := time.Now()
	switch {
	case l.reason != spec.None && c.Web:
		return d.refusedWeb(l, c)
	case l.reason != spec.None:
		return d.refused(l, c)
	case c.Web:
		reason, err := c.web.uploadOf(1)
		if err != nil || reason != spec.None {
			return d.fail("an upload is refused with %q (%v)", reason, err)
		}
		c.Writing++
	default:
		h := &held{work: l.op.Work}
		if err := d.hold(c, h); err != nil {
			return err
		}
		c.inFly = append(c.inFly, h)
		if h.work == readiness.Read {
			c.Reading++
		} else {
			c.Writing++
		}
	}
	d.tokens.take(before, time.Now())
	return nil
}

// hold begins a request over OAP/1 and keeps it open.
func (d *readyDrive) hold(c *client, h *held) error {
	if h.work == readiness.Read && d.object != nil {
		h.get = &openGet{want: d.object}
		err := h.get.begin(c.link, blake3.Sum256(d.object))
		h.corr = c.link.corr
		return err
	}
	r := refwire.Request{Op: "put", TotalLen: putLen}
	if h.work == readiness.Read {
		r = refwire.Request{Op: []string{"has", "stat", "delete"}[d.turn%3], HasObj: true} // of nothing
	}
	said, err := c.link.exchange(c.link.open(0, r), r.Op)
	h.corr = c.link.corr
	if err == nil && len(said[h.corr]) > 0 {
		err = d.fail("a request that is not complete is answered %s", names(said[h.corr]))
	}
	return err
}

func (d *readyDrive) refused(l readyLeg, c *client) error {
	r := refwire.Request{Op: "put"}
	if l.op.Work == readiness.Read {
		r = refwire.Request{Op: []string{"has", "stat", "get", "delete"}[d.turn%4], HasObj: true}
	}
	said, err := c.link.exchange(c.link.open(spec.FlagEnd, r), r.Op)
	if err != nil {
		return err
	}
	_, reason, err := final(r.Op, said[c.link.corr])
	if err == nil && reason != l.reason {
		err = d.fail("%s is answered %q, and the model says %q", r.Op, reason, l.reason)
	}
	return err
}

func (d *readyDrive) refusedWeb(l readyLeg, c *client) error {
	method, path := http.MethodGet, "/o/"+spec.Address{1}.String()
	if l.op.Work == readiness.Write {
		method, path = http.MethodPost, "/put"
		c.web.request("POST /put", "Content-Length: 0\r\n", "")
	} else {
		c.web.request("GET "+path, "", "")
	}
	r, err := c.web.receive(method)
	want := l.reason
	if want == spec.TooManyStreams {
		want = spec.Quota // the same cap, in the words of HTTP (ADM-CAP-002)
	}
	if err == nil && r.reason != want {
		err = d.fail("%s %s is answered %s %q, and the model says %q", method, path, r.Status, r.reason, want)
	}
	return err
}

// finish lets a request be answered, or cancels it.
func (d *readyDrive) finish(l readyLeg) error {
	c, err := d.like(l.op.On)
	if err != nil {
		return err
	}
	if c.Web {
		c.Writing--
		c.web.send("x")
		if _, _, reason, err := (upload{c.web}).stored(); err != nil || reason != spec.None {
			return d.fail("an upload that was admitted is answered %q (%v)", reason, err)
		}
		return nil
	}
	i := slices.IndexFunc(c.inFly, func(h *held) bool { return h.work == l.op.Work })
	h := c.inFly[i]
	c.inFly = slices.Delete(c.inFly, i, i+1)
	if h.work == readiness.Read {
		c.Reading--
	} else {
		c.Writing--
	}
	last := l.from.Name == readiness.Draining && c.idle() // the node closes the connection behind it
	if l.op.Kind == readiness.Cancel {
		if last {
			c.link.send(c.link.cancel(h.corr), "CANCEL")
			return nil
		}
		said, err := c.link.exchange(c.link.cancel(h.corr), "CANCEL")
		if err == nil && len(said[h.corr]) > 0 {
			err = d.fail("CANCEL is answered %s", names(said[h.corr]))
		}
		return err
	}
	return d.complete(c.link, h)
}

// complete sends what is missing of a request and takes the answer.
func (d *readyDrive) complete(c *link, h *held) error {
	frames := c.frame(h.corr, spec.FlagEnd, nil)
	switch {
	case h.get != nil:
		return h.get.rest(c)
	case h.work == readiness.Write:
		rest := bytes.Repeat([]byte("x"), putLen-int(h.sent))
		frames = append(c.data(h.corr, refwire.Request{TotalLen: putLen}, h.sent, rest), frames...)
	}
	c.send(frames, "the rest of a "+h.work)
	f, err := c.read(time.Now().Add(patience))
	if err != nil {
		return err
	}
	if f.Corr != h.corr || f.Flags != spec.FlagResp|spec.FlagEnd || f.Code != spec.CodeOK && f.Code != spec.NotFound.Code() {
		return d.fail("a %s that was admitted is answered %s", h.work, name(f))
	}
	return nil
}

// signal sends SIGTERM. A second one cuts what is in flight.
func (d *readyDrive) signal(l readyLeg) error {
	if l.from.Name == readiness.Draining {
		if err := d.node.Signal(syscall.SIGTERM); err != nil {
			return err
		}
		return d.cut(time.Now().Add(patience))
	}
	if l.op.Aim {
		<-time.After(time.Until(d.tokens.next(0).Add(-aim)))
	}
	d.drained[0] = time.Now()
	if err := d.node.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	for _, c := range d.clients {
		if c.Web {
			continue
		}
		if f, err := c.link.read(time.Now().Add(patience)); err != nil || f.Flags != spec.FlagEvent || f.Code != spec.CodeGoingAway {
			return d.fail("SIGTERM shows on a connection as %s (%w)", name(f), err)
		}
	}
	for deadline := time.Now().Add(patience); ; {
		r, err := d.eye.ask(http.MethodGet, "/readyz")
		if err != nil || r.StatusCode == http.StatusServiceUnavailable {
			d.drained[1] = time.Now()
			return err
		}
		if time.Now().After(deadline) {
			return d.fail("SIGTERM does not make the node drain: %w", errStays)
		}
	}
}

// cut wants everything that is in flight to be told that it is cut.
func (d *readyDrive) cut(by time.Time) error {
	for _, c := range d.clients {
		for _, h := range c.inFly {
			f, err := c.link.read(by)
			if err != nil {
				return err
			}
			_, reason, err := final(h.work, []refwire.Frame{f})
			if err != nil || reason != spec.Draining {
				return d.fail("a %s that is cut is told %s (%v)", h.work, name(f), err)
			}
		}
		c.readyConn, c.inFly = readyConn{Web: c.Web}, nil
	}
	return nil
}
