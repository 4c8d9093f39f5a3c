package tour

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/model/session"
	"github.com/rustyonions/micronode/spec"
)

// leg is one step of a tour: an edge of a plan, and the edge of the model that it walks (-1 for none).
type leg struct {
	op       sessionOp
	from, to sessionState
	action   string
	reason   spec.Reason
	edge     int
	joins    bool // goes into the same write as what came before
}

// expected is a frame that the node owes.
type expected struct {
	corr   uint64
	kind   string // hello, error, ack, data, answer, goaway
	reason spec.Reason
	n      int64 // ack: up_to; data: frames
}

// drive is a tour under way. It is for one goroutine.
type drive struct {
	sc   scene
	c    *conn
	cov  *Coverage
	node *target

	out    []byte
	note   []string
	want   []expected
	walked []int            // edges whose reaction is still to be seen
	ending bool             // the node will close the connection
	mayAck map[uint64]int64 // ACKs that were queued when a frame of the same write ended their stream
	silent bool             // no fence may follow: before HELLO, or behind an EOF or half a frame
	begun  bool             // half a frame was sent
	pace   time.Duration    // kept between writes where clocks have to begin one after the other
}

var errTour = errors.New("the node does not do what the model says")

func (d *drive) fail(format string, args ...any) error {
	return fmt.Errorf("%w: %s\n  %s", errTour, fmt.Sprintf(format, args...), strings.Join(d.c.log[max(0, len(d.c.log)-24):], "\n  "))
}

// walk takes the legs in order. meet is called before the leg that begins a drain.
func (d *drive) walk(legs []leg, meet func() error) error {
	for _, l := range legs {
		if err := d.step(l, meet); err != nil {
			return fmt.Errorf("%s from\n%s: %w", l.op, describe(l.from), err)
		}
	}
	return d.flush()
}

func (d *drive) step(l leg, meet func() error) error {
	frame := isFrame(l.op.Kind)
	released := d.sc.held && l.op.Kind == session.Answer && l.from.Streams[l.op.Corr-1].Req == session.Get
	if (!isNode(l.op.Kind) || released) && !l.joins {
		if err := d.flush(); err != nil {
			return err
		}
	}
	switch {
	case released:
		d.out, d.note = append(d.out, d.sc.release(l.op.Corr)...), append(d.note, "an ACK for the whole window")
	case frame:
		if l.op.Fill {
			d.sc.filled = spec.MaxStreams - d.sc.places
		}
		if l.reason == spec.Quota && !l.from.Dry {
			if err := d.node.spend(); err != nil {
				return err
			}
		} else if l.op.Kind == session.Start {
			d.node.earn()
		}
		d.out = append(d.out, d.sc.frames(l.from, l.op, l.reason == spec.None)...)
		if l.op.Fill {
			d.out = append(d.out, fillers(d.sc.filled)...)
			for i := range d.sc.filled {
				d.want = append(d.want, expected{corr: uint64(i + 1), kind: "error", reason: spec.Malformed})
			}
		}
		d.note = append(d.note, l.op.String())
	case l.op.Kind == Begun:
		d.begin()
	case l.op.Kind == session.Eof:
		d.c.log = append(d.c.log, "> end")
		if err := d.c.nc.CloseWrite(); err != nil {
			return err
		}
	case l.op.Kind == session.Lost:
		d.c.reset()
		d.cov.walk(l.edge)
		return nil
	case l.op.Kind == session.Drain:
		if err := meet(); err != nil {
			return err
		}
	}
	if st := l.to.Streams; frame && l.op.Kind == session.Data && l.action == string(session.Data) {
		d.mayAck[d.sc.corr(l.op.Corr)] = int64(st[l.op.Corr-1].Moved * d.sc.scale)
	}
	d.expect(l)
	if l.edge >= 0 {
		d.walked = append(d.walked, l.edge)
	}
	d.silent = d.begun || l.to.Phase != session.Up || l.to.EOF
	if isTime(l.op.Kind) {
		return d.wait(l)
	}
	return nil
}

// begin has half a frame follow what is there, in the same write.
func (d *drive) begin() {
	d.out = append(d.out, closeFence()...)
	d.want = append(d.want, expected{corr: fence, kind: "error", reason: spec.NoSuchStream})
	d.out = append(d.out, 0, 0, 0, 38, 0, 1)
	d.note = append(d.note, "half a frame")
	d.begun = true
}

// expect adds what the node owes for a leg.
func (d *drive) expect(l leg) {
	corr := d.sc.corr(l.op.Corr)
	owe := func(e expected) { d.want = append(d.want, e) }
	closed := l.to.Phase == session.Closed
	d.ending = d.ending || closed
	switch {
	case l.op.Kind == session.DrainTimeout:
		for i, st := range l.from.Streams {
			if st.Mode == session.Open {
				owe(expected{corr: d.sc.corr(i + 1), kind: "error", reason: l.reason})
			}
		}
	case l.reason != spec.None && isBye(l.from.State, l.op.Op):
		owe(expected{kind: "error", reason: l.reason})
	case l.reason != spec.None:
		owe(expected{corr: corr, kind: "error", reason: l.reason})
	case l.action == string(session.Hello):
		owe(expected{corr: greeting, kind: "hello"})
	case l.action == string(session.SendAck):
		owe(expected{corr: corr, kind: "ack", n: int64(l.to.Streams[l.op.Corr-1].Acked * d.sc.scale)})
	case l.action == string(session.SendData):
		owe(expected{corr: corr, kind: "data", n: int64(d.sc.scale)})
	case l.action == string(session.Answer):
		owe(expected{corr: corr, kind: "answer"})
	case l.action == string(session.Drain):
		owe(expected{kind: "goaway"})
	}
}

// flush sends what was collected and waits for what the node owes, and no more.
func (d *drive) flush() error {
	fenced := !d.silent && !d.ending && len(d.out) > 0
	if fenced {
		d.out = append(d.out, closeFence()...)
		d.want = append(d.want, expected{corr: fence, kind: "error", reason: spec.NoSuchStream})
	}
	if len(d.out) > 0 {
		d.c.send(d.out, strings.Join(d.note, "; "))
	}
	sent := len(d.out) > 0
	d.out, d.note = nil, nil
	if err := d.await(time.Now().Add(patience)); err != nil || !sent || d.pace == 0 {
		return err
	}
	<-time.After(d.pace)
	return nil
}

// await takes frames until nothing is owed any more.
func (d *drive) await(by time.Time) error {
	for len(d.want) > 0 {
		f, err := d.c.read(by)
		if err != nil {
			return d.fail("%v, and the node owes %+v", err, d.want)
		}
		if err := d.match(f); err != nil {
			return err
		}
	}
	if d.ending {
		f, err := d.c.read(by)
		for err == nil && d.wasQueued(f) {
			f, err = d.c.read(by)
		}
		if err == nil {
			return d.fail("the node goes on with %s", name(f))
		} else if errors.Is(err, errSilent) {
			return d.fail("the node leaves the connection open")
		}
		d.ending, d.silent = false, true
	}
	for _, e := range d.walked {
		d.cov.walk(e)
	}
	d.walked = d.walked[:0]
	return nil
}

// match takes a frame off what is owed on its stream, in order.
func (d *drive) match(f refwire.Frame) error {
	i := slices.IndexFunc(d.want, func(e expected) bool { return e.corr == f.Corr })
	if (i < 0 || d.want[i].kind != "ack" && d.want[i].kind != "data") && d.wasQueued(f) {
		return nil
	}
	if i < 0 {
		return d.fail("%s, and nothing is owed on that stream", name(f))
	}
	e := &d.want[i]
	final := f.Flags == spec.FlagResp|spec.FlagEnd
	ok := false
	switch e.kind {
	case "hello":
		ok = f.Flags == spec.FlagResp && f.Code == spec.CodeOK
	case "error":
		ok = isError(f, e.reason)
	case "answer":
		ok = final && f.Code == spec.CodeOK
	case "goaway":
		ok = f.Flags == spec.FlagEvent && f.Code == spec.CodeGoingAway
	case "data":
		if ok = f.Flags == spec.FlagResp && f.Code == spec.CodeData; ok {
			if e.n--; e.n > 0 {
				return nil
			}
		}
	case "ack":
		upTo, bad := refwire.DecodeAck(f.Data)
		ok = f.Flags == spec.FlagEvent && f.Code == spec.CodeAck && bad == spec.None && upTo <= e.n
		if ok && upTo < e.n {
			return nil // an ACK on the way there
		}
	}
	if !ok {
		return d.fail("%s, and the node owes %+v", name(f), *e)
	}
	d.want = slices.Delete(d.want, i, i+1)
	return nil
}

// wasQueued says that f is an ACK which the node may have queued before a frame of the same write ended its stream, or
// DATA of an answer that the model knows as one step.
func (d *drive) wasQueued(f refwire.Frame) bool {
	if d.sc.held && f.Flags == spec.FlagResp && f.Code == spec.CodeData {
		return true
	}
	if f.Flags != spec.FlagEvent || f.Code != spec.CodeAck {
		return false
	}
	upTo, bad := refwire.DecodeAck(f.Data)
	return bad == spec.None && upTo <= d.mayAck[f.Corr]
}

func isError(f refwire.Frame, reason spec.Reason) bool {
	e, bad := refwire.DecodeError(f.Data)
	return f.Flags == spec.FlagResp|spec.FlagEnd && bad == spec.None && e.Reason == reason && f.Code == reason.Code()
}

// wait waits for a limit of the law to end.
func (d *drive) wait(l leg) error {
	limit := spec.RequestTimeout
	if l.op.Kind == session.IdleTimeout {
		limit = spec.IdleTimeout
	}
	if l.op.Kind != session.HalfClosedTimeout {
		return d.await(time.Now().Add(limit + patience))
	}
	// Nothing is said when a half-closed stream is gone. DATA on it is discarded until then, and refused afterwards.
	deadline := time.NewTimer(limit + patience)
	defer deadline.Stop()
	tick := time.NewTicker(probeEvery)
	defer tick.Stop()
	probe := sessionOp{Op: session.Op{Kind: session.Data, Corr: l.op.Corr}}
	for {
		select {
		case <-tick.C:
		case <-deadline.C:
			return d.fail("the half-closed stream is still there")
		}
		d.c.send(append(d.sc.frames(l.from, probe, false), closeFence()...), "a probe")
		f, err := d.c.read(time.Now().Add(patience))
		for err == nil && (d.wasQueued(f) || f.Corr != d.sc.corr(l.op.Corr) && isError(f, spec.Timeout)) {
			f, err = d.c.read(time.Now().Add(patience)) // the clock of another stream may end before the probe asks
		}
		if err != nil {
			return d.fail("%v instead of an answer to a probe", err)
		}
		if f.Corr == fence {
			continue
		}
		d.want = []expected{{corr: d.sc.corr(l.op.Corr), kind: "error", reason: spec.NoSuchStream}, {corr: fence, kind: "error", reason: spec.NoSuchStream}}
		if err := d.match(f); err != nil {
			return err
		}
		return d.await(time.Now().Add(patience))
	}
}

func describe(s sessionState) string {
	return fmt.Sprintf("  %+v", s)
}
