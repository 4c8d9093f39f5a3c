package tour

import (
	"fmt"
	"slices"

	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/model/session"
	"github.com/rustyonions/micronode/spec"
)

// Begun is an operation of the plan alone: the client sends the first bytes of a frame.
const Begun session.Kind = "Begun"

// draining stands for the clock of the drain in clocks.
const draining = 0

// timedState is a session with its clocks, in the order in which they end.
type timedState struct {
	session.State
	Clocks  []int // corr_id of a stream, or draining; the one that ends first stands first
	Begun   bool  // half a frame was sent
	OneGo   bool  // everything so far can go in one write, and so began at one moment
	Writing bool
	Over    bool // a limit ended: the tour is at its end
}

// timedPlan is what a client can bring about when it waits for a limit to end. Only operations that change something
// take part.
type timedPlan struct{ sessionPlan }

func (pl timedPlan) step(s timedState, op sessionOp) []explore.Outcome[timedState] {
	if s.Over || op.Why == spec.Quota || op.Doom || op.Fill || op.Dry {
		return nil
	}
	if op.Kind == Begun {
		if _, async, pending := pl.pending(sessionState{State: s.State}); pending && !async {
			return nil
		}
		if s.Phase != session.Up || s.EOF || s.Begun || !s.OneGo && len(s.Clocks) > 0 {
			return nil
		}
		s.Begun = true
		return []explore.Outcome[timedState]{{Action: string(Begun), Rules: []string{"OAP-SES-013"}, To: s}}
	}
	base := pl.next(s.State, op.Op)
	if len(base) == 0 {
		return nil
	}
	o := base[0]
	waits, async, pending := pl.pending(sessionState{State: s.State})
	switch {
	case isTime(op.Kind):
		if pending || !s.ends(op.Op) {
			return nil
		}
	case pl.released(s.State, op.Op) && !pending && !s.Begun:
	case isNode(op.Kind):
		if !pending || op.Op != waits {
			return nil
		}
	case isFrame(op.Kind) && (s.Begun || pending && (!async || s.Writing)), !isFrame(op.Kind) && pending, op.Kind == session.Lost:
		return nil
	case op.Kind == session.Start && op.Corr > s.Last && pl.full(s.State):
		return nil
	}
	to := timedState{State: o.To, Clocks: s.wound(o.To, op.Op), Begun: s.Begun, Over: isTime(op.Kind),
		OneGo: s.OneGo && (isFrame(op.Kind) || isNode(op.Kind) && !async && !pl.released(s.State, op.Op)), Writing: isNode(op.Kind) && async || s.Writing}
	if _, still, more := pl.pending(sessionState{State: o.To}); !more || !still {
		to.Writing = false
	}
	return []explore.Outcome[timedState]{{Action: o.Action, Reason: o.Reason, Rules: o.Rules, To: to}}
}

// ends says whether the limit that op is about is the first to end.
func (s timedState) ends(op session.Op) bool {
	if op.Kind == session.FrameTimeout || s.Begun {
		return op.Kind == session.FrameTimeout && s.Begun
	}
	first := func(clock int) bool { return len(s.Clocks) > 0 && s.Clocks[0] == clock }
	switch op.Kind {
	case session.StreamTimeout, session.HalfClosedTimeout:
		return first(op.Corr)
	case session.DrainTimeout:
		return first(draining)
	case session.Stall:
		return false
	}
	return true
}

// wound is the order of the clocks after op: what made progress goes to the end.
func (s timedState) wound(to session.State, op session.Op) []int {
	clocks := slices.Clone(s.Clocks)
	if op.Kind == session.Drain {
		clocks = append(clocks, draining)
	}
	for i, st := range to.Streams {
		c, was := i+1, s.Streams[i]
		if st == was {
			continue
		}
		if live := st.Mode == session.Open || st.Mode == session.Half; !live || op.Kind != session.SendAck {
			clocks = slices.DeleteFunc(clocks, func(k int) bool { return k == c })
			if live {
				clocks = append(clocks, c)
			}
		}
	}
	if to.Phase == session.Closed {
		return nil
	}
	return clocks
}

func (pl timedPlan) machine() explore.Machine[timedState, sessionOp] {
	base := session.Machine(pl.p)
	ops := []sessionOp{{Op: session.Op{Kind: Begun}}}
	for _, op := range base.Ops {
		ops = append(ops, sessionOp{Op: op})
	}
	return explore.Machine[timedState, sessionOp]{
		Name: base.Name, Init: timedState{State: base.Init, OneGo: true}, Ops: ops,
		Next: func(s timedState, op sessionOp) []explore.Outcome[timedState] {
			outcomes := pl.step(s, op)
			if len(outcomes) > 0 && !isTime(op.Kind) && op.Kind != Begun && base.Canon(outcomes[0].To.State) == base.Canon(s.State) {
				return nil
			}
			return outcomes
		},
		Canon: func(s timedState) string {
			return fmt.Sprintf("%s %v %t %t %t %t", base.Canon(s.State), s.Clocks, s.Begun, s.OneGo, s.Writing, s.Over)
		},
	}
}
