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
	s.Streams = slices.Clone(s.Streams)
	n := &step{p: p, s: &s, op: op}
	operation, isFrame := frames[op.Kind]
	switch {
	case s.Phase == Closed, isFrame && s.EOF:
		return nil
	case !isFrame:
		return events[op.Kind](n)
	case s.Phase == New && op.Kind != Hello:
		return n.bye(spec.BadHello, "OAP-HEL-001", "OAP-FRM-012")
	case op.Flaw&Shape != 0:
		return n.refuse(spec.BadSequence, "OAP-SES-019")
	}
	return operation(n)
}

var frames = map[Kind]func(*step) []Outcome{
	Hello: (*step).hello, Start: (*step).start, Data: (*step).data, End: (*step).end, Cancel: (*step).cancel,
	Ack: (*step).ack, Resp: (*step).resp,
}

var events = map[Kind]func(*step) []Outcome{
	Garbage: (*step).garbage, Eof: (*step).eof, Lost: (*step).lost, Drain: (*step).drain,
	SendData: (*step).sendData, SendAck: (*step).sendAck, Answer: (*step).answer, Fail: (*step).fail,
	HelloTimeout: (*step).helloTimeout, StreamTimeout: (*step).streamTimeout, FrameTimeout: (*step).frameTimeout,
	HalfClosedTimeout: (*step).halfClosedTimeout, IdleTimeout: (*step).idleTimeout, DrainTimeout: (*step).drainTimeout,
	Stall: (*step).stall,
}

// objection is a rule that a frame may break. The lists below are in the order of OAP-SES-020 and OAP-STR-010: what is
// reported is the first.
type objection struct {
	broken bool
	reason spec.Reason
	rule   string
}

func first(list []objection) (reason spec.Reason, rule string) {
	if i := slices.IndexFunc(list, func(o objection) bool { return o.broken }); i >= 0 {
		return list[i].reason, list[i].rule
	}
	return spec.None, ""
}

// hello is the first frame, and only the first.
func (n *step) hello() []Outcome {
	if reason, rule := first([]objection{
		{n.s.Phase == Up, spec.BadHello, "OAP-HEL-002"},
		{n.op.Flaw != 0, spec.BadHello, "OAP-HEL-003"},
	}); reason != spec.None {
		return n.bye(reason, rule, "OAP-FRM-012")
	}
	n.s.Phase = Up
	return n.done("OAP-HEL-001", "OAP-HEL-007")
}

// start opens a stream. Its corr_id is used up even when it is refused, and then the rest of the request may still come.
func (n *step) start() []Outcome {
	used, full := n.op.Corr <= n.s.Last, held(*n.s) >= n.p.MaxStreams
	reason, rule := first([]objection{
		{n.has(Code), spec.Malformed, "OAP-SES-006"},
		{used, spec.StreamReused, "OAP-SES-001"},
		{full, spec.TooManyStreams, "OAP-SES-008"},
		{n.op.Why == spec.TooManyStreams, n.op.Why, "OAP-SES-009"},
		{n.op.Why != spec.None, n.op.Why, "ADM-ORD-001"},
		{n.s.Draining, spec.Draining, "OAP-SES-016"},
		{n.has(Foreign), spec.Unsupported, "OAP-OBJ-001"},
		{n.has(Sealed), spec.Unsupported, "OAP-OBJ-011"},
		{n.has(Payload), spec.Malformed, "OAP-OBJ-002"},
		{n.has(Large), spec.Oversize, "OAP-OBJ-005"},
		{n.op.Req == Put && n.op.End && n.op.Total > 0, spec.Truncated, "OAP-STR-008"},
	})
	if used {
		return n.refuse(reason, rule)
	}
	n.s.Last = n.op.Corr
	switch st := n.stream(); {
	case full:
		return n.refused(reason, rule, "OAP-SES-001")
	case reason == spec.None:
		*st = Stream{Mode: Open, Req: n.op.Req, Acks: n.op.Acks, Ended: n.op.End, Total: n.op.Total}
		return n.done("OAP-SES-001", "OAP-SES-008", "ADM-ORD-001")
	case n.op.End:
		n.over(st, Over)
	default:
		n.over(st, Half)
	}
	return n.refused(reason, rule, "OAP-SES-001", "OAP-SES-017")
}

// data is the next piece of a put.
func (n *step) data() []Outcome {
	st := n.open()
	if reason, rule := first([]objection{
		{st.Mode != Open, spec.NoSuchStream, "OAP-SES-002"},
		{n.has(Code), spec.Malformed, "OAP-SES-006"},
		{n.has(Foreign), spec.BadSequence, "OAP-SES-004"},
		{st.Ended || st.Req != Put, spec.BadSequence, "OAP-SES-005"},
		{n.has(Sealed), spec.Unsupported, "OAP-OBJ-011"},
		{st.Acks && st.Moved-st.Acked >= n.p.Window, spec.CreditViolation, "OAP-CRD-001"},
		{n.has(Payload), spec.Malformed, "OAP-STR-001"},
		{n.has(Large), spec.ChunkOversize, "OAP-STR-006"},
		{n.has(Other), spec.Malformed, "OAP-STR-004"},
		{n.has(Gap), spec.BadOffset, "OAP-STR-003"},
		{st.Moved == st.Total, spec.Oversize, "OAP-STR-007"},
	}); reason != spec.None {
		return n.refuse(reason, rule)
	}
	st.Moved++
	return n.done("OAP-STR-003", "OAP-CRD-001")
}

// end says that the request is complete.
func (n *step) end() []Outcome {
	st := n.open()
	if reason, rule := first([]objection{
		{st.Mode != Open, spec.NoSuchStream, "OAP-SES-002"},
		{n.has(Code), spec.Malformed, "OAP-SES-006"},
		{n.has(Foreign), spec.BadSequence, "OAP-SES-004"},
		{st.Ended, spec.BadSequence, "OAP-SES-005"},
		{n.has(Payload), spec.Malformed, "OAP-STR-011"},
		{st.Req == Put && st.Moved < st.Total, spec.Truncated, "OAP-STR-008"},
	}); reason != spec.None {
		return n.refuse(reason, rule)
	}
	st.Ended = true
	return n.done("OAP-OBJ-004")
}

// cancel ends the stream, and nobody says anything on it any more.
func (n *step) cancel() []Outcome {
	st := n.open()
	if reason, rule := first([]objection{
		{st.Mode != Open, spec.NoSuchStream, "OAP-SES-002"},
		{n.has(Foreign), spec.BadSequence, "OAP-SES-004"},
		{n.has(Payload), spec.Malformed, "OAP-STR-011"},
	}); reason != spec.None {
		return n.refuse(reason, rule)
	}
	n.over(st, Over)
	return n.done("OAP-STR-009", "CAS-PUT-005")
}

// ack gives the node credit. One that comes after the end of its stream is nobody's mistake.
func (n *step) ack() []Outcome {
	st := n.open()
	if n.op.Corr > 0 && n.op.Corr <= n.s.Last && !n.half() && st.Mode != Open && !n.has(Code) {
		return n.as("Discard", "OAP-CRD-007")
	}
	if reason, rule := first([]objection{
		{st.Mode != Open, spec.NoSuchStream, "OAP-SES-002"},
		{n.has(Foreign), spec.BadSequence, "OAP-SES-004"},
		{n.has(Code), spec.BadSequence, "OAP-SES-005"},
		{n.has(Sealed), spec.Unsupported, "OAP-OBJ-011"},
		{n.has(Payload), spec.Malformed, "OAP-CRD-005"},
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
