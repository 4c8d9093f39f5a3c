package tour

import (
	"fmt"
	"slices"

	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/model/session"
	"github.com/rustyonions/micronode/spec"
)

// sessionState is a session together with what the client has arranged.
type sessionState struct {
	session.State
	Doomed  uint64 // bit c: the request on stream c will fail in the store: another digest, or nothing there
	Filled  bool   // half-closed streams hold all places but those of the model
	Dry     bool   // no token is left, and no more comes before the tour ends
	Writing bool   // the node has begun to write what waits
}

// sessionOp is an operation, and how the client arranges for it.
type sessionOp struct {
	session.Op
	Doom bool // START
	Fill bool // HELLO
	Dry  bool // Drain
}

// String tells the operation.
func (op sessionOp) String() string {
	text := op.Op.String()
	for _, x := range []struct {
		on   bool
		text string
	}{{op.Doom, "its request will fail"}, {op.Fill, "the other places are taken"}, {op.Dry, "no token is left"}} {
		if x.on {
			text += ", and " + x.text
		}
	}
	return text
}

// sessionPlan is what a client can bring about at a node.
type sessionPlan struct {
	p session.Params
}

// held says that a get is held up by its window. Where the model leaves the DATA of answers out, a client asks for one
// frame more than a window allows, and has the final answer when it acknowledges them.
func (pl sessionPlan) held(st session.Stream) bool {
	return st.Req == session.Get && st.Mode == session.Open && st.Ended && pl.p.GetFrames == 0
}

// released says that op is the final answer that the client gets by an ACK.
func (pl sessionPlan) released(s session.State, op session.Op) bool {
	return op.Kind == session.Answer && !s.EOF && pl.held(s.Streams[op.Corr-1])
}

func (pl sessionPlan) next(s session.State, op session.Op) []session.Outcome {
	return session.Next(pl.p, s, op)
}

// pending is the operation of the node that comes next by itself. async says that it waits for the writer, so that a
// frame in the same write as the last one still comes before it.
func (pl sessionPlan) pending(s sessionState) (op session.Op, async, ok bool) {
	if s.Phase != session.Up {
		return op, false, false
	}
	for i, st := range s.Streams {
		c := i + 1
		if st.Mode != session.Open {
			continue
		}
		doomed := s.Doomed&(1<<c) != 0
		for _, try := range []struct {
			op    session.Op
			when  bool
			async bool
		}{
			{session.Op{Kind: session.SendAck, Corr: c}, true, !st.Ended},
			{session.Op{Kind: session.Fail, Corr: c, Why: spec.BadDigest}, doomed, false},
			{session.Op{Kind: session.Fail, Corr: c, Why: spec.NotFound}, doomed, false},
			{session.Op{Kind: session.SendData, Corr: c}, true, true},
			{session.Op{Kind: session.Answer, Corr: c}, !pl.held(st), st.Req == session.Get},
		} {
			if try.when && pl.next(s.State, try.op) != nil {
				return try.op, try.async, true
			}
		}
	}
	return op, false, false
}

// isFrame says that the client sends it, so that it can share a write with others.
func isFrame(k session.Kind) bool {
	return slices.Contains([]session.Kind{session.Hello, session.Start, session.Data, session.End, session.Cancel,
		session.Ack, session.Resp, session.Garbage}, k)
}

func isNode(k session.Kind) bool {
	return slices.Contains([]session.Kind{session.SendData, session.SendAck, session.Answer, session.Fail}, k)
}

func isTime(k session.Kind) bool {
	return slices.Contains([]session.Kind{session.HelloTimeout, session.StreamTimeout, session.HalfClosedTimeout,
		session.FrameTimeout, session.IdleTimeout, session.DrainTimeout, session.Stall}, k)
}

// step says what op leads to, if the client can bring it about in s.
func (pl sessionPlan) step(s sessionState, op sessionOp) []explore.Outcome[sessionState] {
	base := pl.next(s.State, op.Op)
	if len(base) == 0 || isTime(op.Kind) {
		return nil
	}
	waits, async, pending := pl.pending(s)
	switch {
	case pl.released(s.State, op.Op) && !pending:
	case isNode(op.Kind):
		if !pending || op.Op != waits {
			return nil
		}
	case pending && (!async || s.Writing || !isFrame(op.Kind) || base[0].Reason == spec.Quota):
		return nil
	}
	o := base[0]
	to := sessionState{State: o.To, Doomed: s.Doomed, Filled: s.Filled || op.Fill, Dry: s.Dry || op.Dry, Writing: s.Writing}
	if !pl.arranged(s, op, o) {
		return nil
	}
	if op.Doom {
		to.Doomed |= 1 << op.Corr
	}
	for i, st := range to.Streams {
		if st.Mode != session.Open {
			to.Doomed &^= 1 << (i + 1)
		}
	}
	to.Writing = isNode(op.Kind) && async || s.Writing
	if _, still, more := pl.pending(to); !more || !still {
		to.Writing = false
	}
	if to.Phase == session.Closed {
		to = sessionState{State: o.To}
	}
	return []explore.Outcome[sessionState]{{Action: o.Action, Reason: o.Reason, Rules: o.Rules, To: to}}
}

// arranged says whether the arrangements fit: to the operation, and to what the node will make of it.
func (pl sessionPlan) arranged(s sessionState, op sessionOp, o session.Outcome) bool {
	opens := op.Kind == session.Start && o.Action == string(session.Start)
	switch {
	case op.Fill && o.Action != string(session.Hello),
		op.Dry && op.Kind != session.Drain,
		op.Doom && !(opens && op.Req != session.Has):
		return false
	case op.Kind == session.Start && op.Corr > s.Last && pl.full(s.State) && !s.Filled:
		return false // the real limit is higher
	case s.Dry && op.Kind == session.Start && o.Reason == spec.Draining, s.Draining && !s.Dry && o.Reason == spec.Quota:
		return false // the rate is asked before readiness, and refusals by readiness leave the tokens
	}
	return true
}

func (pl sessionPlan) full(s session.State) bool {
	n := 0
	for _, st := range s.Streams {
		if st.Mode == session.Open || st.Mode == session.Half {
			n++
		}
	}
	return n >= pl.p.MaxStreams
}

// isBye says that an operation that closes the connection does so itself, and not because nothing is left to wait for.
func isBye(s session.State, op session.Op) bool {
	switch op.Kind {
	case session.Hello, session.Garbage, session.Lost, session.HelloTimeout, session.FrameTimeout, session.IdleTimeout:
		return true
	}
	return isFrame(op.Kind) && (op.Corr == 0 || s.Phase == session.New)
}

// machine is the plan as a machine.
func (pl sessionPlan) machine() explore.Machine[sessionState, sessionOp] {
	base := session.Machine(pl.p)
	var ops []sessionOp
	for _, op := range base.Ops {
		ops = append(ops, sessionOp{Op: op})
		switch op.Kind {
		case session.Hello:
			ops = append(ops, sessionOp{Op: op, Fill: true})
		case session.Start:
			ops = append(ops, sessionOp{Op: op, Doom: true})
		case session.Drain:
			ops = append(ops, sessionOp{Op: op, Dry: true})
		}
	}
	return explore.Machine[sessionState, sessionOp]{
		Name: base.Name, Init: sessionState{State: base.Init}, Ops: ops, Next: pl.step,
		Canon: func(s sessionState) string {
			return fmt.Sprintf("%s %x %t %t %t", base.Canon(s.State), s.Doomed, s.Filled, s.Dry, s.Writing)
		},
	}
}

// sessionBase finds the edges of the model's own graph.
type sessionBase struct {
	graph *explore.Graph[session.State, session.Op]
	canon func(session.State) string
	state map[string]int
	edges []map[session.Op]int // of each state
}

func newSessionBase(p session.Params) (*sessionBase, error) {
	m := session.Machine(p)
	g, err := explore.Explore(m, 100_000)
	if err != nil {
		return nil, err
	}
	b := &sessionBase{graph: g, canon: m.Canon, state: map[string]int{}, edges: make([]map[session.Op]int, len(g.States))}
	for i, key := range g.Keys {
		b.state[key] = i
		b.edges[i] = map[session.Op]int{}
	}
	for e, edge := range g.Edges {
		b.edges[edge.From][edge.Op] = e
	}
	return b, nil
}

// edge is the edge of the model that an operation takes from a state.
func (b *sessionBase) edge(s session.State, op session.Op) int {
	return b.edges[b.state[b.canon(s)]][op]
}

// whySession says why an edge that no plan reaches is out of reach.
func (pl sessionPlan) whySession(s session.State, op session.Op, reached bool) string {
	s2 := sessionState{State: s}
	waits, async, pending := pl.pending(s2)
	switch {
	case op.Kind == session.Stall:
		return "what one window allows fits into the buffers of the socket, so no client can hold it up"
	case op.Kind == session.Fail && op.Why == spec.Integrity:
		return "nobody outside can change a bit in the memory of the node"
	case op.Kind == session.Answer && s.EOF && pl.held(s.Streams[op.Corr-1]):
		return "a client that has ended its side can not acknowledge the window that holds the answer up"
	case op.Kind == session.Fail && op.Why == spec.NotFound && pl.held(s.Streams[op.Corr-1]) && s.EOF:
		return "the node answers a complete request before it reads on"
	case !reached:
		return "its state exists only between two steps that the node makes at once"
	case pending && !async && op != waits:
		return "the node answers a complete request before it reads on"
	case pending && async:
		return "the node sends all that waits at once; only a frame of the write that caused it can come before"
	case isTime(op.Kind):
		return "another clock that began no later ends first"
	}
	return ""
}
