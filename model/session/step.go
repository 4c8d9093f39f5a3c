package session

import "github.com/rustyonions/micronode/spec"

// step is one operation at work on a state of its own. The functions on it change that state, and hand it on in an outcome.
type step struct {
	p  Params
	s  *State
	op Op
}

// stream is what the operation names, nil for corr_id 0.
func (n *step) stream() *Stream {
	if n.op.Corr == 0 {
		return nil
	}
	return &n.s.Streams[n.op.Corr-1]
}

// openStream is the stream if its response side is open, and a blank one otherwise.
func (n *step) openStream() *Stream {
	if st := n.stream(); st != nil && st.Mode == Open {
		return st
	}
	return &Stream{Mode: None}
}

func (n *step) flawed(f Flaw) bool { return n.op.Flaw&f != 0 }

// held is how many of the places of OAP-SES-008 are taken.
func held(s State) int { return count(s, Open) + count(s, Half) }

func count(s State, m Mode) (c int) {
	for _, st := range s.Streams {
		if st.Mode == m {
			c++
		}
	}
	return c
}

// refuse refuses a frame that does not open a stream: ERROR on its corr_id, which ends that stream if it is open, and
// the connection for corr_id 0. Of a half-closed stream only the client's END or CANCEL is seen. An END or CANCEL ends the
// client's side even where it is refused.
func (n *step) refuse(reason spec.Reason, rules ...string) []Outcome {
	hangsUp := n.op.Kind == End || n.op.Kind == Cancel
	switch st := n.stream(); {
	case st == nil:
		return n.closeFor(reason, append(rules, "OAP-SES-014", "OAP-FRM-012")...)
	case st.Mode == Half && hangsUp:
		n.turn(st, Over)
		return n.as("Release", "OAP-SES-010")
	case st.Mode == Half:
		return n.as("Discard", "OAP-SES-010")
	case st.Mode == Open:
		st.Ended = st.Ended || hangsUp
		n.endByError(st)
	}
	return n.refused(reason, append(rules, "OAP-SES-007")...)
}

// endByError ends the response side of an open stream by ERROR. It stays half-closed until the client ends its side.
func (n *step) endByError(st *Stream) {
	if st.Ended {
		n.turn(st, Over)
	} else {
		n.turn(st, Half)
	}
}

// turn ends a stream, or its response side: nothing is left of it but its mode.
func (n *step) turn(st *Stream, m Mode) {
	*st = Stream{Mode: m}
	n.closeIfLeft()
}

// closeIfLeft ends a connection that is going away once its last open stream is gone. Half-closed ones would only discard.
func (n *step) closeIfLeft() {
	if (n.s.Draining || n.s.EOF) && count(*n.s, Open) == 0 {
		n.close()
	}
}

// close ends the connection; what became of its streams makes no difference any more.
func (n *step) close() {
	*n.s = Init(n.p)
	n.s.Phase = Closed
}

// closeFor closes the connection for a reason. One ERROR on corr_id 0 tells it, but for DrainTimeout and Stall.
func (n *step) closeFor(reason spec.Reason, rules ...string) []Outcome {
	n.close()
	return n.refused(reason, rules...)
}

// closeIf is closeFor where an operation of time or transport is possible.
func (n *step) closeIf(possible bool, reason spec.Reason, rules ...string) []Outcome {
	if !possible {
		return nil
	}
	return n.closeFor(reason, rules...)
}

// refused is the outcome of an operation that ends in an ERROR, as Start_quota.
func (n *step) refused(reason spec.Reason, rules ...string) []Outcome {
	return []Outcome{{Action: string(n.op.Kind) + "_" + string(reason), Reason: reason, Rules: rules, To: *n.s}}
}

// done is the outcome of an operation that takes place, and as the same with another name than that of the operation.
func (n *step) done(rules ...string) []Outcome { return n.as(string(n.op.Kind), rules...) }

func (n *step) as(action string, rules ...string) []Outcome {
	return []Outcome{{Action: action, Rules: rules, To: *n.s}}
}
