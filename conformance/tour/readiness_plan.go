package tour

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/model/readiness"
	"github.com/rustyonions/micronode/spec"
)

// readyConn is a connection with the requests that are held open on it. One over HTTP holds one at most.
type readyConn struct {
	Web              bool
	Reading, Writing int
}

func (c readyConn) idle() bool { return c.Reading+c.Writing == 0 }

func (c readyConn) String() string {
	if c.Web {
		return fmt.Sprintf("an HTTP connection with %d writes", c.Writing)
	}
	return fmt.Sprintf("an OAP/1 connection with %d reads and %d writes", c.Reading, c.Writing)
}

// readyState is a node with the connections of its clients.
type readyState struct {
	readiness.State
	Held  []readyConn // sorted
	Aimed bool        // a drain has begun shortly before a token comes: nothing else happens until then
	Cut   bool        // a second signal came; a third one is none of the model's
}

// readyOp is an operation, and the connection that a client uses for it.
type readyOp struct {
	readiness.Op
	On  readyConn
	Aim bool // Signal: a token will come before 100 milliseconds are over
}

// String tells the operation.
func (op readyOp) String() string {
	if onConn(op.Kind) {
		return op.Op.String() + ": " + op.On.String()
	}
	if op.Aim {
		return op.Op.String() + ", shortly before a token comes"
	}
	return op.Op.String()
}

func onConn(k readiness.Kind) bool {
	return slices.Contains([]readiness.Kind{readiness.Connect, readiness.Disconnect, readiness.Request, readiness.Finish, readiness.Cancel}, k)
}

// readyPlan is what a client and an operator can bring about at a node.
type readyPlan struct{ p readiness.Params }

// pending is what the node does next by itself. One that drains closes connections over OAP/1 on which nothing is open
// (OAP-SES-016), and ends as soon as it may (RDY-DRN-004).
func (readyPlan) pending(s readyState) (op readyOp, ok bool) {
	if s.Name != readiness.Draining {
		return op, false
	}
	idle := readyConn{}
	switch {
	case !s.Listening:
		return readyOp{Op: readiness.Op{Kind: readiness.Stop}}, true
	case slices.Contains(s.Held, idle):
		return readyOp{Op: readiness.Op{Kind: readiness.Disconnect}, On: idle}, true
	case s.Noticed && s.Places == 0:
		return readyOp{Op: readiness.Op{Kind: readiness.Close}}, true
	}
	return op, false
}

// step says what op leads to, if somebody outside can bring it about in s.
func (pl readyPlan) step(s readyState, op readyOp) []explore.Outcome[readyState] {
	base := readiness.Next(pl.p, s.State, op.Op)
	waits, pending := pl.pending(s)
	switch {
	case len(base) == 0 || !onConn(op.Kind) && op.On != (readyConn{}),
		pending && op != waits || !pending && (op.Kind == readiness.Close || op.Kind == readiness.Stop),
		op.Aim && (s.Name != readiness.Ready || s.Tokens == pl.p.Tokens),
		s.Aimed && op.Kind != readiness.Refill && op.Kind != readiness.Disconnect,
		s.Cut && op.Kind == readiness.Signal,
		pl.beyond(s, op, base[0]) != "":
		return nil
	}
	o := base[0]
	to := readyState{State: o.To, Held: slices.Clone(s.Held), Aimed: op.Aim || s.Aimed && op.Kind != readiness.Refill,
		Cut: s.Cut || s.Name == readiness.Draining && op.Kind == readiness.Signal}
	if onConn(op.Kind) && o.Reason == spec.None {
		if to.Held = moved(s.Held, op); to.Held == nil {
			return nil
		}
	} else if onConn(op.Kind) && op.Kind != readiness.Connect && (!slices.Contains(s.Held, op.On) || op.On.Web && !op.On.idle()) {
		return nil // a refusal needs a connection, too, and one over HTTP is for one request at a time
	}
	switch {
	case op.Kind == readiness.Stop:
		to.Held = nil
	case to.Places == 0: // also when everything was cut
		for i := range to.Held {
			to.Held[i] = readyConn{Web: to.Held[i].Web}
		}
		sorted(to.Held)
	}
	return []explore.Outcome[readyState]{{Action: o.Action, Reason: o.Reason, Rules: o.Rules, To: to}}
}

// moved are the connections after op, nil where it is none that a client can do with them.
func moved(held []readyConn, op readyOp) []readyConn {
	held = slices.Clone(held)
	if op.Kind == readiness.Connect {
		return sorted(append(held, op.On))
	}
	i := slices.Index(held, op.On)
	if i < 0 {
		return nil
	}
	c := &held[i]
	n := &c.Reading
	if op.Work == readiness.Write {
		n = &c.Writing
	}
	switch {
	case op.Kind == readiness.Disconnect:
		if !c.idle() {
			return nil
		}
		return slices.Delete(held, i, i+1)
	case op.Kind == readiness.Request:
		if c.Web && (op.Work == readiness.Read || !c.idle()) {
			return nil // nothing holds up a read over HTTP
		}
		*n++
	case *n == 0 || c.Web && op.Kind == readiness.Cancel:
		return nil // over HTTP only the end of the connection cancels
	default:
		*n--
	}
	return sorted(held)
}

func sorted(held []readyConn) []readyConn {
	slices.SortFunc(held, func(a, b readyConn) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
	return held
}

// beyond says why nobody outside can bring a step about, whatever connections there are; "" where somebody can.
func (pl readyPlan) beyond(s readyState, op readyOp, o readiness.Outcome) string {
	switch {
	case s.Name == readiness.Degraded || o.To.Name == readiness.Degraded || op.Kind == readiness.Level:
		return "the node does not degrade yet (RDY-DEG is planned)"
	case op.Kind == readiness.Lose || op.Kind == readiness.Stale:
		return "the node does not probe its gates yet (RDY-GAT-004 and RDY-GAT-005 are planned)"
	case op.Kind == readiness.Unknown || s.Unknown:
		return "there is no way yet to ask for gates in the configuration (RDY-GAT-006 is planned)"
	case s.Name == readiness.Starting && op.Kind != readiness.Up && !(op.Kind == readiness.Fail && s.Conns == 0 && s.Tokens == pl.p.Tokens):
		return "a node says where it listens when it is ready, and nobody knows it before"
	case s.Name == readiness.Draining && op.Kind == readiness.Connect && !op.On.Web && o.Reason == spec.None:
		return "a node that drains closes a new connection over OAP/1 at once"
	case s.Name == readiness.Draining && !s.Noticed && op.Kind == readiness.Refill && !s.Aimed:
		return "to a full bucket no token is on its way, and its time is longer than the notice of 100 milliseconds"
	case op.Kind == readiness.Deadline && !s.Noticed:
		return "the notice of 100 milliseconds is over before the 5 seconds of the drain are"
	case (op.Kind == readiness.Deadline || op.Kind == readiness.Signal && s.Name == readiness.Draining) &&
		slices.ContainsFunc(s.Held, func(c readyConn) bool { return c.Web && !c.idle() }):
		return "a request over HTTP has 5 seconds of its own, which began earlier, and is cut only when the notice is over"
	}
	return ""
}

// why says why a step of the model that no plan takes is out of reach; "" where there is no reason. reached says that a
// plan comes to its state.
func (pl readyPlan) why(s readiness.State, op readiness.Op, reached bool) string {
	beyond := pl.beyond(readyState{State: s}, readyOp{Op: op, On: readyConn{Web: true}}, readiness.Next(pl.p, s, op)[0])
	switch {
	case s.Unknown:
		return beyond
	case s.Name == readiness.Starting:
		return cmp.Or(beyond, "a node says where it listens when it is ready, and nobody knows it before")
	case slices.Contains(s.Up, false):
		return "the node does not probe its gates yet (RDY-GAT-004 and RDY-GAT-005 are planned), and nobody can aim at the middle of a start"
	case pl.p.Causes && !reached:
		return "the node does not degrade yet (RDY-DEG is planned), and only one that does, or that counts what is left, comes here"
	case s.Name == readiness.Draining && (!s.Listening || s.Noticed && s.Places == 0):
		return "a node that drains with nothing in flight closes its listeners and exits in one go"
	}
	return beyond
}

func (pl readyPlan) machine() explore.Machine[readyState, readyOp] {
	base := readiness.Machine(pl.p)
	conns := []readyConn{{Web: true}, {Web: true, Writing: 1}}
	for r := range pl.p.MaxInflight + 1 {
		for w := range pl.p.MaxInflight + 1 - r {
			conns = append(conns, readyConn{Reading: r, Writing: w})
		}
	}
	var ops []readyOp
	for _, op := range base.Ops {
		switch {
		case op.Kind == readiness.Connect:
			ops = append(ops, readyOp{Op: op}, readyOp{Op: op, On: readyConn{Web: true}})
		case onConn(op.Kind):
			for _, c := range conns {
				ops = append(ops, readyOp{Op: op, On: c})
			}
		case op.Kind == readiness.Signal:
			ops = append(ops, readyOp{Op: op}, readyOp{Op: op, Aim: true})
		default:
			ops = append(ops, readyOp{Op: op})
		}
	}
	return explore.Machine[readyState, readyOp]{
		Name: base.Name, Init: readyState{State: base.Init}, Ops: ops, Next: pl.step,
		Canon: func(s readyState) string { return fmt.Sprint(base.Canon(s.State), s.Held, s.Aimed, s.Cut) },
	}
}
