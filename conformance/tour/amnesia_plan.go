package tour

import (
	"fmt"
	"slices"

	"github.com/rustyonions/micronode/model/amnesia"
	"github.com/rustyonions/micronode/model/explore"
)

// amnesiaConn is what the model does not tell about a connection.
type amnesiaConn struct {
	Web     bool // over HTTP, for requests that carry no payload
	Half    bool // half a frame of a put has arrived, and the node waits for its rest
	Late    bool // the same since the drain began
	Refused bool // there was no room when the put was announced
	Over    bool // half a frame was not finished in time, which costs the connection
}

// amnesiaState is a node with its memory, and the connections of its clients.
type amnesiaState struct {
	amnesia.State
	At     []amnesiaConn
	Oldest int // the connection whose request has waited longest for progress; 0 where none is in flight
}

func (s amnesiaState) at(conn int) amnesiaConn { return s.At[conn-1] }

// busy says that a request is in flight, which a drain waits for.
func (s amnesiaState) busy() bool {
	return slices.ContainsFunc(s.Conns, func(c amnesia.Conn) bool { return c.Doing == amnesia.Put || c.Doing == amnesia.Get })
}

func (s amnesiaState) due() bool {
	for i := range s.Slots {
		if s.Due(i + 1) {
			return true
		}
	}
	return false
}

func (s amnesiaState) room() bool {
	return slices.Contains(s.Slots, amnesia.Cell{Use: amnesia.Free, Mem: amnesia.Zero})
}

// amnesiaOp is an operation; Web says that a connection is one over HTTP.
type amnesiaOp struct {
	amnesia.Op
	Web bool
}

// String tells the operation.
func (op amnesiaOp) String() string {
	if op.Web {
		return op.Op.String() + ", over HTTP"
	}
	return op.Op.String()
}

// amnesiaPlan is what clients and an operator can bring about at a node.
type amnesiaPlan struct{ p amnesia.Params }

// pending is what the node does next by itself.
func (amnesiaPlan) pending(s amnesiaState) (kind string, conn int, ok bool) {
	if s.Life == amnesia.Up && s.due() {
		return "Overwrite", 0, true
	}
	for i, c := range s.Conns {
		switch at := s.At[i]; {
		case at.Refused:
			return "Take", i + 1, true
		case at.Over:
			return "Close", i + 1, true
		case c.Buffer != amnesia.Zero && !at.Half:
			return "Wipe", i + 1, true
		case s.Life == amnesia.Closing && c.Doing == amnesia.Idle && !at.Web: // OAP-SES-016
			return "Close", i + 1, true
		}
	}
	return "", 0, false
}

// step says what op leads to, if somebody outside can bring it about in s.
func (pl amnesiaPlan) step(s amnesiaState, op amnesiaOp) (outcomes []explore.Outcome[amnesiaState]) {
	kind, conn, pending := pl.pending(s)
	if pending && (op.Kind != kind || op.Conn != conn) || !pending && op.Kind == "Wipe" || op.Web && op.Kind != "Connect" {
		return nil
	}
	for _, o := range amnesia.Next(pl.p, s.State, op.Op) {
		if pl.beyond(s, op.Op, o.Action) == "" {
			outcomes = append(outcomes, explore.Outcome[amnesiaState]{Action: o.Action, Reason: o.Reason, Rules: o.Rules, To: pl.after(s, op, o)})
		}
	}
	return outcomes
}

// after is the plan's own part of what an outcome leads to.
func (pl amnesiaPlan) after(s amnesiaState, op amnesiaOp, o amnesia.Outcome) amnesiaState {
	to := amnesiaState{o.To, slices.Clone(s.At), s.Oldest}
	if op.Conn > 0 {
		at := &to.At[op.Conn-1]
		switch {
		case op.Kind == "Connect":
			at.Web = op.Web
		case o.Action == "Arrive":
			at.Half, at.Late = true, s.Life == amnesia.Closing
			at.Refused = s.Conns[op.Conn-1].Doing == amnesia.Idle && !s.room()
		case op.Kind == "Take":
			at.Half, at.Late, at.Refused = false, false, false
		case op.Kind == "Timeout" && at.Half:
			at.Half, at.Late, at.Over = false, false, true
		}
	}
	open := 0 // requests
	for i, c := range to.Conns {
		if c.Doing == amnesia.Closed {
			to.At[i] = amnesiaConn{}
		}
		if c.Doing == amnesia.Put || c.Doing == amnesia.Get {
			open++
			if to.Oldest == 0 || i+1 != op.Conn {
				to.Oldest = i + 1
			}
		}
	}
	switch progress := op.Kind == "Take" || op.Kind == "Send"; {
	case open == 0:
		to.Oldest = 0
	case open > 1 && !progress && s.Oldest > 0:
		to.Oldest = s.Oldest // the other one came later, or is no further
	}
	return to
}

// beyond says why nobody outside can bring a step about; "" where somebody can.
func (pl amnesiaPlan) beyond(s amnesiaState, op amnesia.Op, action string) string {
	var at amnesiaConn
	if op.Conn > 0 {
		at = s.At[op.Conn-1]
	}
	const half = "a client that has sent half a frame can only send its rest, or go"
	switch op.Kind {
	case "MakeKey", "Use", "Drop", "Purge":
		if pl.p.Keys == 1 {
			return keysElsewhere
		}
		if op.Kind == "Purge" && slices.ContainsFunc(s.Conns, func(c amnesia.Conn) bool { return c.Doing != amnesia.Closed }) {
			return "a node that drains forgets its keys when the last connection is closed"
		}
	case "Expire":
		return keysExpire
	case "Revoke":
		switch {
		case at.Half:
			return half
		case s.Life == amnesia.Closing:
			return "a node that drains takes no request, and so no revocation"
		}
	case "Start":
		if !slices.Contains([]string{"nothing", "amnesia", "something unreadable"}, op.Config) {
			return "there is no way yet to ask for persistence"
		}
	case "Overwrite":
		if s.Life == amnesia.Closing && slices.ContainsFunc(s.Conns, func(c amnesia.Conn) bool { return c.Doing != amnesia.Closed }) {
			return "a node that drains forgets its objects when the last connection is closed"
		}
	case "Take", "Commit":
		switch cut := action == op.Kind+"_draining"; {
		case cut && (op.Kind == "Take" && !at.Late || !pl.longest(s)):
			return "another clock that began no later ends first"
		case cut:
		case op.Kind == "Take" && !at.Half:
			return "the node takes all that it has got at once"
		case op.Kind == "Take" && at.Refused && action != "Take_store_full":
			return "a put that finds no room is refused when it is announced"
		case op.Kind == "Commit" && at.Half:
			return half
		}
	case "Cancel":
		if at.Half {
			return half
		}
	case "Timeout":
		// Late ones are left out because the end of the drain would come first on the way to them.
		if slices.ContainsFunc(s.At, func(c amnesiaConn) bool { return c.Late || c.Half && s.Oldest != op.Conn }) {
			return "another clock that began no later ends first"
		}
	case "Arrive", "Get":
		if at.Half {
			return half
		}
		if at.Web != (action == op.Kind+"_draining") && action != "Get_not_found" {
			return "HTTP where a drain refuses, OAP/1 where payload moves: the other one can not wait for it"
		}
	}
	return ""
}

const (
	keysElsewhere = "what there is to see of keys is walked in Amnesia-keys"
	keysExpire    = "a key ends with the last capability under it: the tour of capabilities waits for that"
)

// longest says that the end of a drain is the first clock to end: no half frame has been there for longer.
func (amnesiaPlan) longest(s amnesiaState) bool {
	return !slices.ContainsFunc(s.At, func(c amnesiaConn) bool { return c.Half && !c.Late })
}

// why says why a step of the model that no plan reaches is out of reach; "" where there is no reason.
func (pl amnesiaPlan) why(s amnesia.State, op amnesia.Op, action string, reached bool) string {
	key := func(use string) bool {
		return slices.ContainsFunc(s.Keys, func(k amnesia.Cell) bool { return k.Use == use })
	}
	half := op.Conn > 0 && s.Conns[op.Conn-1].Doing == amnesia.Put && s.Conns[op.Conn-1].Buffer == amnesia.Payload
	at := make([]amnesiaConn, len(s.Conns))
	if op.Conn > 0 {
		at[op.Conn-1].Half = half
	}
	switch why := pl.beyond(amnesiaState{s, at, op.Conn}, op, action); {
	case s.Life == amnesia.Persistent:
		return "there is no way yet to ask for persistence"
	case pl.p.Keys == 1 && (key(amnesia.Live) || key(amnesia.Ended)):
		return keysElsewhere
	case s.Life == amnesia.Up && key(amnesia.Ended):
		return keysExpire
	case why != "" && reached:
		return why
	case !reached:
		return "its state exists only between two steps that the node makes at once"
	case timed(op.Kind, action):
		return "another clock that began no later ends first"
	}
	return ""
}

// timed says that a step takes the end of a limit.
func timed(kind, action string) bool {
	return kind == "Timeout" || kind != "Arrive" && kind != "Get" && kind != "Delete" && action == kind+"_draining"
}

func (pl amnesiaPlan) machine() explore.Machine[amnesiaState, amnesiaOp] {
	base := amnesia.Machine(pl.p)
	var ops []amnesiaOp
	for _, op := range base.Ops {
		ops = append(ops, amnesiaOp{Op: op})
		if op.Kind == "Connect" {
			ops = append(ops, amnesiaOp{op, true})
		}
	}
	return explore.Machine[amnesiaState, amnesiaOp]{
		Name: base.Name, Init: amnesiaState{State: base.Init, At: make([]amnesiaConn, pl.p.Conns)}, Ops: ops, Next: pl.step,
		Canon: func(s amnesiaState) string { return fmt.Sprint(base.Canon(s.State), s.At, s.Oldest) },
	}
}
