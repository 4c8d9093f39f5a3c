package schedule_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"lukechampine.com/blake3"

	"github.com/rustyonions/micronode/chaos/schedule"
	"github.com/rustyonions/micronode/impl/gate"
	"github.com/rustyonions/micronode/impl/session"
	"github.com/rustyonions/micronode/impl/store"
	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// drainNode is a node with OAP/1 connections that shuts down. Locks, calls and their order are those of impl/server:
// stopAll and acceptOAP here, read, apply, drain and cut in drainConn.
type drainNode struct {
	g *gate.Gate
	s *store.Store

	mu    schedule.Mutex
	conns []*drainConn
	drain time.Time

	waiting   *drainConn // has connected, not yet accepted
	listening bool
	accepting bool
	open      int
	ctxDone   bool // the time for the drain is over

	drained bool // draining began
	stored  int  // puts that were answered with success
}

// drainConn is one connection and its client, which has sent everything it is going to send.
type drainConn struct {
	n     *drainNode
	name  string
	inbox []*wire.Frame // not yet read

	mu       schedule.Mutex
	sess     *session.Conn
	armed    time.Time // as the connection remembers it
	deadline time.Time // as the transport has it
	served   bool
	out      []byte // to the client

	admitted []uint64
}

// by is when the time of a drain is over.
var by = epoch.Add(spec.DrainTimeout)

func newDrainNode(y *schedule.Yielder, h *shop) *drainNode {
	g := newGate(gate.DefaultConfig(), len(gateNames))
	return &drainNode{g: g, s: h.open(y, 1), listening: true, accepting: true}
}

func (n *drainNode) connect(y *schedule.Yielder, name string, frames ...*wire.Frame) *drainConn {
	o := &drainConn{n: n, name: name, inbox: frames}
	o.sess = session.New(session.Config{
		Admit: func(now time.Time) (spec.Reason, time.Duration) {
			y.Yield(name + ": admit")
			if d := n.g.Admit(now); d.Reason != spec.None || !n.drained {
				return d.Reason, d.RetryAfter
			}
			y.Failf("%s: a START was admitted after draining had begun", name)
			return spec.None, 0
		},
		Authorize: func(time.Time, *session.Stream, []byte) (spec.Reason, time.Duration) { return spec.None, 0 },
		Transport: "tcp",
	}, epoch)
	return o
}

func (n *drainNode) shutdown(y *schedule.Yielder) {
	n.g.Drain()
	n.drained = true
	n.mu.Lock(y, "tell all")
	n.drain = by
	for _, o := range slices.Clone(n.conns) {
		o.tell(y, func() { o.sess.Drain(epoch, by) })
	}
	n.mu.Unlock()
	n.quiet(y)
	n.listening = false
	y.Block("accept loop ended", func() bool { return !n.accepting })
	y.Block("connections ended", func() bool { return n.open == 0 || n.ctxDone })
	if n.open > 0 {
		n.mu.Lock(y, "cut all")
		for _, o := range slices.Clone(n.conns) {
			o.tell(y, func() { o.sess.Tick(by) })
		}
		n.mu.Unlock()
		y.Block("connections ended", func() bool { return n.open == 0 })
	}
	n.g.Stop()
	if st := n.s.Stats(); st.Objects != int64(n.stored) || (n.stored == 0) != (st.ArenaUsed == 0) {
		y.Failf("%d puts were answered with success, and the store has %d objects in %d bytes", n.stored, st.Objects, st.ArenaUsed)
	}
	if err := n.s.Close(); err != nil {
		y.Failf("the store was closed under somebody: %w", err)
	}
}

// quiet waits until nothing is in flight, or the time is over.
func (n *drainNode) quiet(y *schedule.Yielder) {
	y.Block("quiet", func() bool { return n.g.Status().Inflight == 0 || n.ctxDone })
}

// accept takes the connection that waits, if it comes to that, and then waits for the end of the listener.
func (n *drainNode) accept(y *schedule.Yielder, register func(*schedule.Yielder, *drainConn)) {
	for {
		y.Block("accept", func() bool { return n.waiting != nil || !n.listening })
		if !n.listening {
			n.accepting = false
			return
		}
		o := n.waiting
		n.waiting = nil
		register(y, o)
	}
}

// admitConn takes in a connection that was accepted.
func (n *drainNode) admitConn(y *schedule.Yielder, o *drainConn) {
	if !n.g.Connect() {
		y.Failf("the connection was refused")
	}
	n.mu.Lock(y, "register")
	n.conns = append(n.conns, o)
	drain := n.drain
	n.open++
	n.mu.Unlock()
	if !drain.IsZero() {
		o.tell(y, func() { o.sess.Drain(epoch, drain) })
	}
	o.served = true
}

// tell changes the session from outside and makes the reader look at it.
func (o *drainConn) tell(y *schedule.Yielder, do func()) {
	o.mu.Lock(y, "tell "+o.name)
	do()
	o.apply()
	o.armed = time.Unix(1, 0)
	o.deadline = o.armed
	o.mu.Unlock()
}

// serve is the life of the connection once it is accepted.
func (o *drainConn) serve(y *schedule.Yielder) {
	if !o.served {
		y.Block(o.name+": serve", func() bool { return o.served || !o.n.accepting })
	}
	if !o.served {
		return
	}
	o.read(y)
	o.n.mu.Lock(y, o.name+": leave")
	o.n.conns = slices.DeleteFunc(o.n.conns, func(c *drainConn) bool { return c == o })
	o.n.mu.Unlock()
	o.n.g.Disconnect()
	o.n.open--
}

func (o *drainConn) read(y *schedule.Yielder) {
	expired := func() bool { return !o.deadline.After(epoch) }
	for {
		o.mu.Lock(y, o.name+": look")
		if o.sess.Closing() {
			o.mu.Unlock()
			return
		}
		if d := o.sess.Deadline(); o.armed.IsZero() || d.Before(o.armed) {
			o.armed, o.deadline = d, d
		}
		o.mu.Unlock()
		y.Block(o.name+": read", func() bool { return len(o.inbox) > 0 || expired() })
		if expired() {
			o.mu.Lock(y, o.name+": tick")
			o.armed = time.Time{}
			o.sess.Tick(epoch)
		} else {
			f := o.inbox[0]
			o.inbox = o.inbox[1:]
			o.mu.Lock(y, o.name+": frame")
			o.sess.Frame(epoch, f)
		}
		o.apply()
		o.mu.Unlock()
	}
}

// apply does what the session asks for. The caller holds mu.
func (o *drainConn) apply() {
	for {
		e, ok := o.sess.NextEffect()
		if !ok {
			break
		}
		st := e.Stream
		switch e.Kind {
		case session.Open:
			w, err := o.n.s.NewWriter(nil, st.Req.TotalLen)
			if err != nil {
				o.sess.Fail(epoch, st, reasonOf(err), 0)
				continue
			}
			st.Host = w
			o.admitted = append(o.admitted, st.Corr)
		case session.Body:
			if _, err := st.Host.(*store.Writer).Write(e.Bytes); err != nil {
				o.sess.Fail(epoch, st, reasonOf(err), 0)
			}
		case session.Run:
			a := wire.Answer{Obj: st.Req.Obj}
			var err error
			if st.Req.Op == wire.OpPut {
				if a.Obj, a.Created, err = st.Host.(*store.Writer).Commit(); err == nil {
					o.n.stored++
				}
			} else {
				o.admitted = append(o.admitted, st.Corr)
				_, err = o.n.s.Stat(st.Req.Obj)
				a.Exists = err == nil
			}
			if err != nil && reasonOf(err) != spec.NotFound {
				o.sess.Fail(epoch, st, reasonOf(err), 0)
				continue
			}
			o.sess.Answer(st, wire.AppendAnswer(nil, st.Req.Op, &a))
		case session.Drop:
			if w, ok := st.Host.(*store.Writer); ok {
				w.Abort()
			}
		case session.Closed:
			o.n.g.Done()
		}
	}
	o.out = o.sess.TakeControl(o.out)
}

// The frames of the clients.
func hello() *wire.Frame {
	p := wire.AppendHello(nil, &wire.Hello{})
	return &wire.Frame{Header: wire.Header{Flags: spec.FlagReq}, Payload: p, Data: p}
}

func start(corr uint64, r wire.Request, flags spec.Flags) *wire.Frame {
	p := wire.AppendRequest(nil, &r)
	h := wire.Header{Flags: spec.FlagReq | spec.FlagStart | flags, Proto: spec.ProtoObjects, Corr: corr}
	return &wire.Frame{Header: h, Payload: p, Data: p}
}

func body(corr uint64, b string) *wire.Frame {
	p := append(wire.AppendDataHeader(nil, &wire.DataHeader{TotalLen: int64(len(b))}), b...)
	return &wire.Frame{Header: wire.Header{Flags: spec.FlagReq, Proto: spec.ProtoObjects, Corr: corr}, Payload: p, Data: p}
}

func end(corr uint64) *wire.Frame {
	return &wire.Frame{Header: wire.Header{Flags: spec.FlagReq | spec.FlagEnd, Proto: spec.ProtoObjects, Corr: corr}}
}

var (
	putStart = start(1, wire.Request{Op: wire.OpPut, TotalLen: 5}, 0)
	putBody  = body(1, "bytes")
	putEnd   = end(1)
	hasAfter = start(2, wire.Request{Op: wire.OpHas, Obj: blake3.Sum256([]byte("bytes")), HasObj: true}, spec.FlagEnd)
	hasFirst = start(1, wire.Request{Op: wire.OpHas, Obj: blake3.Sum256([]byte("bytes")), HasObj: true}, spec.FlagEnd)
	helloed  = hello()

	secondPut = start(2, wire.Request{Op: wire.OpPut, TotalLen: 5}, 0)
)

// judge holds what the client got to what was admitted: a success for each such request, an ERROR for each other one
// that was read, one goodbye and nothing behind it but final answers.
func (o *drainConn) judge(cut bool) error {
	if !o.served {
		return nil // it came too late
	}
	goodbyes, answered := 0, map[uint64]spec.Code{}
	for b := o.out; len(b) > 0; {
		var h wire.Header
		h.Decode((*[spec.HeaderLen]byte)(b))
		b = b[h.Len:]
		switch {
		case h.Flags == spec.FlagEvent && h.Code == spec.CodeGoingAway && h.Corr == 0:
			goodbyes++
		case h.Proto == spec.ProtoControl && h.Flags == spec.FlagResp && h.Code == spec.CodeOK: // HELLO
		case h.Flags == spec.FlagResp|spec.FlagEnd && answered[h.Corr] == 0:
			answered[h.Corr] = h.Code
		default:
			return fmt.Errorf("%s got flags %x, code %d on stream %d", o.name, h.Flags, h.Code, h.Corr)
		}
	}
	if goodbyes != 1 {
		return fmt.Errorf("%s was told %d times that the node is going away", o.name, goodbyes)
	}
	for _, corr := range o.admitted {
		if answered[corr] != spec.CodeOK && !cut {
			return fmt.Errorf("%s: stream %d was admitted and answered with %d", o.name, corr, answered[corr])
		}
		if answered[corr] == 0 {
			return fmt.Errorf("%s: stream %d was admitted and never answered", o.name, corr)
		}
	}
	for corr, code := range answered {
		if code != spec.Draining.Code() && !slices.Contains(o.admitted, corr) {
			return fmt.Errorf("%s: stream %d was not admitted and answered with %d", o.name, corr, code)
		}
	}
	return nil
}

// old is connection a: it was accepted and said HELLO before the drain, and has frames on their way.
func (n *drainNode) old(y *schedule.Yielder, frames ...*wire.Frame) *drainConn {
	a := n.connect(y, "a", frames...)
	n.admitConn(y, a)
	a.sess.Frame(epoch, helloed)
	a.apply()
	return a
}

// program is a shutdown with these threads beside it; judge has the last word.
func (n *drainNode) program(threads []schedule.Thread, judge func() error) schedule.Program {
	return schedule.Program{
		Threads: append([]schedule.Thread{{Name: "shutdown", Run: n.shutdown}}, threads...),
		Finally: func() error {
			if s := n.g.Status(); s.State != gate.Stopped || s.Inflight != 0 || s.Conns != 0 {
				return fmt.Errorf("in the end: %+v", s)
			}
			return judge()
		},
	}
}

// drainOld has an upload and a further request on a connection that was there before.
func drainOld(y *schedule.Yielder, h *shop) schedule.Program {
	n := newDrainNode(y, h)
	a := n.old(y, putStart, putBody, putEnd, hasAfter)
	n.accepting = false
	return n.program([]schedule.Thread{{Name: "reader a", Run: a.serve}}, func() error { return a.judge(false) })
}

// drainNew has a connection that is just coming in, with one request.
func drainNew(y *schedule.Yielder, h *shop) schedule.Program {
	n := newDrainNode(y, h)
	b := n.connect(y, "b", helloed, hasFirst)
	n.waiting = b
	return n.program([]schedule.Thread{
		{Name: "acceptor", Run: func(y *schedule.Yielder) { n.accept(y, n.admitConn) }},
		{Name: "reader b", Run: b.serve},
	}, func() error { return b.judge(false) })
}

// drainWhole has both.
func drainWhole(y *schedule.Yielder, h *shop) schedule.Program {
	n := newDrainNode(y, h)
	a := n.old(y, putStart, putBody, putEnd, hasAfter)
	b := n.connect(y, "b", helloed, hasFirst)
	n.waiting = b
	return n.program([]schedule.Thread{
		{Name: "reader a", Run: a.serve},
		{Name: "acceptor", Run: func(y *schedule.Yielder) { n.accept(y, n.admitConn) }},
		{Name: "reader b", Run: b.serve},
	}, func() error {
		if err := a.judge(false); err != nil {
			return err
		}
		return b.judge(false)
	})
}

// drainCut has an upload that never ends, and a time that does.
func drainCut(y *schedule.Yielder, h *shop) schedule.Program {
	n := newDrainNode(y, h)
	a := n.old(y, putStart, putBody)
	n.accepting = false
	return n.program([]schedule.Thread{
		{Name: "reader a", Run: a.serve},
		{Name: "clock", Run: func(y *schedule.Yielder) {
			y.Block("time is over", func() bool { return !n.drain.IsZero() })
			n.ctxDone = true
		}},
	}, func() error { return a.judge(true) })
}

// A drain against new STARTs and new connections: what was admitted is answered with success (RDY-DRN-008), what was not
// is refused as draining (RDY-STA-004), every connection is told and ends (OAP-SES-016), and nothing is in flight when the
// store is closed (RDY-DRN-003).
func TestDrain(t *testing.T) {
	h := newQuietShop(t)
	with := func(setup func(*schedule.Yielder, *shop) schedule.Program) schedule.Setup {
		return func(y *schedule.Yielder) schedule.Program { return setup(y, h) }
	}
	t.Run("old connection", func(t *testing.T) {
		scenario{name: "drain-old", setup: with(drainOld),
			schedules: 542, points: 12, fullBound: schedule.Unbounded, fullSchedules: 8_603}.run(t)
	})
	t.Run("new connection", func(t *testing.T) {
		scenario{name: "drain-new", setup: with(drainNew),
			schedules: 3_651, points: 15, fullBound: schedule.Unbounded, fullSchedules: 34_979}.run(t)
	})
	// An upload that never ends is cut, and leaves nothing behind (RDY-DRN-003, CAS-PUT-005).
	t.Run("cut", func(t *testing.T) {
		scenario{name: "drain-cut", setup: with(drainCut),
			schedules: 10_734, points: 14, fullBound: schedule.Unbounded, fullSchedules: 1_116_981}.run(t)
	})
	t.Run("whole", func(t *testing.T) {
		scenario{name: "drain-whole", setup: with(drainWhole), drawn: 8_000, points: 22,
			fullBound: everyTime, fullSchedules: 4_240_536}.run(t)
	})
}

// An acceptor that looks whether the node drains before it registers the connection: between the two the node tells
// all connections it knows, and nobody ever tells this one.
func TestDrainPlanted(t *testing.T) {
	h := newQuietShop(t)
	planted(t, "drain", func(y *schedule.Yielder) schedule.Program {
		n := newDrainNode(y, h)
		b := n.connect(y, "b")
		n.waiting = b
		register := func(y *schedule.Yielder, o *drainConn) {
			n.g.Connect()
			drain := n.drain
			n.mu.Lock(y, "register")
			n.conns = append(n.conns, o)
			n.open++
			n.mu.Unlock()
			if !drain.IsZero() {
				o.tell(y, func() { o.sess.Drain(epoch, drain) })
			}
			o.served = true
		}
		return n.program([]schedule.Thread{
			{Name: "acceptor", Run: func(y *schedule.Yielder) { n.accept(y, register) }},
			{Name: "reader b", Run: b.serve},
		}, func() error { return b.judge(false) })
	})
}
