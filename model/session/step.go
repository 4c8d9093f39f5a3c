package session

import (
	"github.com/rustyonions/micronode/spec"
)

// step is one operation at work on a state of its own.
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

// open is the stream if its response side is open, and a blank one otherwise.
func (n *step) open() *Stream {
	if st := n.stream(); st != nil && st.Mode == Open {
		return st
	}
	return &Stream{Mode: None}
}

func (n *step) half() bool { return n.op.Corr > 0 && n.stream().Mode == Half }

func (n *step) has(f Flaw) bool { return n.op.Flaw&f != 0 }

// held is how many of the places are taken.
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
// the connection for corr_id 0. Of a half-closed stream only the client's END or CANCEL is seen.
func (n *step) refuse(reason spec.Reason, rules ...string) []Outcome {
	hangsUp := n.op.Kind == End || n.op.Kind == Cancel
	switch st := n.stream(); {
	case st == nil:
		return n.bye(reason, append(rules, "OAP-SES-014", "OAP-FRM-012")...)
	case st.Mode == Half && hangsUp:
		n.over(st, Over)
		return n.as("Release", "OAP-SES-010")
	case st.Mode == Half:
		return n.as("Discard", "OAP-SES-010")
	case st.Mode == Open:
		st.Ended = st.Ended || hangsUp
		n.fails(st)
	}
	return n.refused(reason, append(rules, "OAP-SES-007")...)
}

// fails ends the response side of an open stream by ERROR.
func (n *step) fails(st *Stream) {
	if st.Ended {
		n.over(st, Over)
	} else {
		n.over(st, Half)
	}
}

// over leaves nothing of a stream but its mode. A connection that is going away ends with its last open stream; it does
// not wait for what half-closed ones would discard.
func (n *step) over(st *Stream, m Mode) {
	*st = Stream{Mode: m}
	n.leave()
}

func (n *step) leave() {
	if (n.s.Draining || n.s.EOF) && count(*n.s, Open) == 0 {
		n.close()
	}
}

// close ends the connection; what became of its streams makes no difference any more.
func (n *step) close() {
	*n.s = Init(n.p)
	n.s.Phase = Closed
}

// bye closes the connection for a reason, which one ERROR on corr_id 0 tells.
func (n *step) bye(reason spec.Reason, rules ...string) []Outcome {
	n.close()
	return n.refused(reason, rules...)
}

func (n *step) refused(reason spec.Reason, rules ...string) []Outcome {
	return []Outcome{{Action: string(n.op.Kind) + "_" + string(reason), Reason: reason, Rules: rules, To: *n.s}}
}

func (n *step) done(rules ...string) []Outcome { return n.as(string(n.op.Kind), rules...) }

func (n *step) as(action string, rules ...string) []Outcome {
	return []Outcome{{Action: action, Rules: rules, To: *n.s}}
}
