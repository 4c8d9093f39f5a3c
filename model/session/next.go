package session

import (
	"slices"

	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/spec"
)

// Outcome is what an operation leads to.
type Outcome = explore.Outcome[State]

// Init is a connection that was just accepted.
func Init(p Params) State {
	return State{Phase: New, Streams: slices.Repeat([]Stream{{Mode: None}}, p.MaxCorr)}
}

// Next says what op leads to in s: nothing where it can not happen, and one outcome otherwise.
func Next(p Params, s State, op Op) []Outcome {
	s.Streams = slices.Clone(s.Streams) // the state that the caller has stays as it is
	n := &step{p: p, s: &s, op: op}
	isFrame := slices.Contains(frames, op.Kind)
	switch {
	case s.Phase == Closed, isFrame && s.EOF:
		return nil
	case isFrame && s.Phase == New && op.Kind != Hello:
		return n.closeFor(spec.BadHello, "OAP-HEL-001", "OAP-FRM-012")
	case isFrame && n.flawed(Shape):
		return n.refuse(spec.BadSequence, "OAP-SES-019")
	}
	return operations[op.Kind].next(n)
}

// frames are the operations that are a frame of the client. On corr_id 0 they are about the connection.
var frames = []Kind{Hello, Start, Data, End, Cancel, Ack, Resp}

// operations has the words for each operation, and the function that says what it leads to.
var operations = map[Kind]struct {
	words string
	next  func(*step) []Outcome
}{
	Hello:             {"HELLO", (*step).hello},
	Start:             {"START on stream", (*step).start},
	Data:              {"DATA on stream", (*step).data},
	End:               {"END on stream", (*step).end},
	Cancel:            {"CANCEL on stream", (*step).cancel},
	Ack:               {"ACK on stream", (*step).ack},
	Resp:              {"RESP from the client on stream", (*step).resp},
	Garbage:           {"bytes that are no frame", (*step).garbage},
	Eof:               {"the client sends nothing more", (*step).eof},
	Lost:              {"the transport is gone", (*step).lost},
	SendData:          {"the node sends DATA on stream", (*step).sendData},
	SendAck:           {"the node sends an ACK on stream", (*step).sendAck},
	Answer:            {"the node sends the final answer on stream", (*step).answer},
	Fail:              {"the node can not carry out the request on stream", (*step).fail},
	Drain:             {"draining begins", (*step).drain},
	HelloTimeout:      {"5 seconds pass without HELLO", (*step).connTimeout},
	FrameTimeout:      {"5 seconds pass within a frame", (*step).connTimeout},
	StreamTimeout:     {"5 seconds pass without progress on stream", (*step).streamTimeout},
	HalfClosedTimeout: {"5 seconds pass on half-closed stream", (*step).halfClosedTimeout},
	IdleTimeout:       {"60 seconds pass without stream or frame", (*step).connTimeout},
	DrainTimeout:      {"the time for draining is over", (*step).connTimeout},
	Stall:             {"5 seconds pass and the client takes no byte", (*step).connTimeout},
}

// objection is a rule that a frame may break. The lists below are in the order of OAP-SES-020 and OAP-STR-010, and what
// is reported is the first that is broken. What all of them leave out is a half-closed stream, which refuse knows about.
type objection struct {
	broken bool
	reason spec.Reason
	rule   string
}

func firstBroken(list []objection) (reason spec.Reason, rule string) {
	for _, o := range list {
		if o.broken {
			return o.reason, o.rule
		}
	}
	return spec.None, ""
}

// hello is the first frame, and only the first.
func (n *step) hello() []Outcome {
	if reason, rule := firstBroken([]objection{
		{n.s.Phase == Up, spec.BadHello, "OAP-HEL-002"},
		{n.op.Flaw != 0, spec.BadHello, "OAP-HEL-003"},
	}); reason != spec.None {
		return n.closeFor(reason, rule, "OAP-FRM-012")
	}
	n.s.Phase = Up
	return n.done("OAP-HEL-001", "OAP-HEL-007")
}

// start opens a stream. What becomes of a refused one does not depend on the mistake that is reported: a used corr_id, or one
// without a place, opens nothing whatever else is wrong. Any other is a stream that ends as soon as it is open, because the
// rest of the request may still come.
func (n *step) start() []Outcome {
	used, full := n.op.Corr <= n.s.Last, held(*n.s) >= n.p.MaxStreams
	reason, rule := firstBroken([]objection{
		{n.flawed(Code), spec.Malformed, "OAP-SES-006"},
		{used, spec.StreamReused, "OAP-SES-001"},
		{full, spec.TooManyStreams, "OAP-SES-008"},
		{n.op.Why == spec.TooManyStreams, n.op.Why, "OAP-SES-009"},
		{n.op.Why != spec.None, n.op.Why, "ADM-ORD-001"},
		{n.s.Draining, spec.Draining, "OAP-SES-016"},
		{n.flawed(Foreign), spec.Unsupported, "OAP-OBJ-001"},
		{n.flawed(Sealed), spec.Unsupported, "OAP-OBJ-011"},
		{n.flawed(Payload), spec.Malformed, "OAP-OBJ-002"},
		{n.flawed(Large), spec.Oversize, "OAP-OBJ-005"},
		{n.op.Req == Put && n.op.End && n.op.Total > 0, spec.Truncated, "OAP-STR-008"}, // total 0 needs no DATA: OAP-OBJ-013
	})
	if used {
		return n.refuse(reason, rule)
	}
	n.s.Last = n.op.Corr
	if full {
		return n.refused(reason, rule, "OAP-SES-001")
	}
	st := n.stream()
	*st = Stream{Mode: Open, Req: n.op.Req, Acks: n.op.Acks, Ended: n.op.End, Total: n.op.Total}
	if reason == spec.None {
		return n.done("OAP-SES-001", "OAP-SES-008", "ADM-ORD-001")
	}
	n.endByError(st)
	return n.refused(reason, rule, "OAP-SES-001", "OAP-SES-017")
}

// data is the next piece of a put.
func (n *step) data() []Outcome {
	st := n.openStream()
	if reason, rule := firstBroken([]objection{
		{st.Mode != Open, spec.NoSuchStream, "OAP-SES-002"},
		{n.flawed(Code), spec.Malformed, "OAP-SES-006"},
		{n.flawed(Foreign), spec.BadSequence, "OAP-SES-004"},
		{st.Ended || st.Req != Put, spec.BadSequence, "OAP-SES-005"},
		{n.flawed(Sealed), spec.Unsupported, "OAP-OBJ-011"},
		{st.Acks && st.Moved-st.Acked >= n.p.Window, spec.CreditViolation, "OAP-CRD-001"},
		{n.flawed(Payload), spec.Malformed, "OAP-STR-001"},
		{n.flawed(Large), spec.ChunkOversize, "OAP-STR-006"},
		{n.flawed(Other), spec.Malformed, "OAP-STR-004"},
		{n.flawed(Gap), spec.BadOffset, "OAP-STR-003"},
		{st.Moved == st.Total, spec.Oversize, "OAP-STR-007"},
	}); reason != spec.None {
		return n.refuse(reason, rule)
	}
	st.Moved++
	return n.done("OAP-STR-003", "OAP-CRD-001")
}

// end says that the request is complete.
func (n *step) end() []Outcome {
	st := n.openStream()
	if reason, rule := firstBroken([]objection{
		{st.Mode != Open, spec.NoSuchStream, "OAP-SES-002"},
		{n.flawed(Code), spec.Malformed, "OAP-SES-006"},
		{n.flawed(Foreign), spec.BadSequence, "OAP-SES-004"},
		{st.Ended, spec.BadSequence, "OAP-SES-005"},
		{n.flawed(Payload), spec.Malformed, "OAP-STR-011"},
		{st.Req == Put && st.Moved < st.Total, spec.Truncated, "OAP-STR-008"},
	}); reason != spec.None {
		return n.refuse(reason, rule)
	}
	st.Ended = true
	return n.done("OAP-OBJ-004")
}

// cancel ends the stream, and nobody says anything on it any more. It is lawful behind the client's END as well, and its
// code can not be wrong, because with another one it would be an END.
func (n *step) cancel() []Outcome {
	st := n.openStream()
	if reason, rule := firstBroken([]objection{
		{st.Mode != Open, spec.NoSuchStream, "OAP-SES-002"},
		{n.flawed(Foreign), spec.BadSequence, "OAP-SES-004"},
		{n.flawed(Payload), spec.Malformed, "OAP-STR-011"},
	}); reason != spec.None {
		return n.refuse(reason, rule)
	}
	n.turn(st, Over)
	return n.done("OAP-STR-009", "CAS-PUT-005")
}

// ack gives the node credit. One that comes after the end of its stream is nobody's mistake. Where the stream is no get the
// node has sent no DATA, so that any ACK is ahead.
func (n *step) ack() []Outcome {
	st := n.openStream()
	begun := 0 < n.op.Corr && n.op.Corr <= n.s.Last
	if begun && st.Mode != Open && n.stream().Mode != Half && !n.flawed(Code) {
		return n.as("Discard", "OAP-CRD-007")
	}
	if reason, rule := firstBroken([]objection{
		{st.Mode != Open, spec.NoSuchStream, "OAP-SES-002"},
		{n.flawed(Foreign), spec.BadSequence, "OAP-SES-004"},
		{n.flawed(Code), spec.BadSequence, "OAP-SES-005"},
		{n.flawed(Sealed), spec.Unsupported, "OAP-OBJ-011"},
		{n.flawed(Payload), spec.Malformed, "OAP-CRD-005"},
		{!st.Acks, spec.CreditViolation, "OAP-CRD-004"},
		{st.Req != Get || n.op.UpTo <= st.Acked || n.op.UpTo > st.Moved, spec.CreditViolation, "OAP-CRD-003"},
	}); reason != spec.None {
		return n.refuse(reason, rule)
	}
	st.Acked = n.op.UpTo
	return n.done("OAP-CRD-003", "OAP-CRD-006")
}

// resp is for the node alone.
func (n *step) resp() []Outcome { return n.refuse(spec.BadSequence, "OAP-SES-003") }
