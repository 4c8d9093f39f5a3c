package session

import (
	"slices"

	"github.com/rustyonions/micronode/spec"
)

// sendData is the next piece of the answer to a get, as far as the credit goes.
func (n *step) sendData() []Outcome {
	st := n.stream()
	if !n.canSend(*st) {
		return nil
	}
	st.Moved++
	return n.done("OAP-OBJ-008", "OAP-CRD-006")
}

func (n *step) canSend(st Stream) bool {
	return st.Req == Get && st.Ended && st.Moved < st.Total && (!st.Acks || st.Moved-st.Acked < n.p.Window)
}

// sendAck is the ACK that the node owes, as the transport takes it. From here on the client has the credit.
func (n *step) sendAck() []Outcome {
	st := n.stream()
	if Due(n.p, *st) <= st.Acked {
		return nil
	}
	st.Acked = Due(n.p, *st)
	return n.done("OAP-CRD-002")
}

// Due is what the ACKs for a put have to come to: all full portions, and everything once it has ended (OAP-CRD-002).
func Due(p Params, st Stream) int {
	switch {
	case st.Req != Put || !st.Acks:
		return 0
	case st.Ended:
		return st.Moved
	}
	return st.Moved - st.Moved%p.AckEvery
}

// answer is the final answer, behind the whole body of a get, and behind the last ACK for a put.
func (n *step) answer() []Outcome {
	st := n.stream()
	if !n.answerDue(*st) {
		return nil
	}
	n.turn(st, Answered)
	return n.done("OAP-OBJ-004", "OAP-CRD-002")
}

func (n *step) answerDue(st Stream) bool {
	return st.Ended && st.Moved == st.Total && Due(n.p, st) <= st.Acked
}

// fail is an ERROR in place of an answer: what the store has against the request, where the law lets the store say so.
func (n *step) fail() []Outcome {
	st := n.openStream()
	reason, rule := firstBroken([]objection{
		{n.op.Why == spec.BadDigest && st.Req == Put && n.answerDue(*st), n.op.Why, "OAP-OBJ-007"},
		{n.op.Why == spec.StoreFull && st.Req == Put, n.op.Why, "CAS-CAP-003"},
		{n.op.Why == spec.NotFound && st.Req == Get && st.Ended && st.Moved == 0, n.op.Why, "OAP-OBJ-010"},
		{n.op.Why == spec.Integrity && st.Req != Put && st.Ended && st.Moved == 0, n.op.Why, "CAS-INT-004"},
		{n.op.Why == spec.Integrity && st.Req != Put && st.Ended, n.op.Why, "CAS-INT-003"}, // the answer has begun
	})
	if reason == spec.None {
		return nil
	}
	n.endByError(st)
	return n.refused(reason, rule)
}

// drain says on corr_id 0 that the node goes away.
func (n *step) drain() []Outcome {
	if n.s.Draining {
		return nil
	}
	n.s.Draining = true
	n.closeIfLeft()
	return n.done("OAP-SES-016")
}

// garbage stands for everything that a decoder rejects, with the first of its reasons for all.
func (n *step) garbage() []Outcome {
	return n.closeIf(!n.s.EOF, spec.Malformed, "OAP-FRM-002", "OAP-FRM-012")
}

// eof is the end of what the client sends. Complete requests are still answered, the others never will be.
func (n *step) eof() []Outcome {
	if n.s.EOF {
		return nil
	}
	for i, st := range n.s.Streams {
		if st.Mode == Half || st.Mode == Open && !st.Ended {
			n.s.Streams[i] = Stream{Mode: Over}
		}
	}
	n.s.EOF = true
	n.closeIfLeft()
	return n.done("OAP-OBJ-004", "CAS-PUT-005")
}

// lost is a transport that can neither be read nor written any more.
func (n *step) lost() []Outcome {
	n.close()
	return n.done("CAS-PUT-005", "ADM-CAP-006")
}

// connTimeout is a limit of time that ends the connection. In comes what its clock runs for.
func (n *step) connTimeout() []Outcome {
	switch n.op.Kind {
	case HelloTimeout:
		return n.closeIf(n.s.Phase == New, spec.BadHello, "OAP-HEL-001", "OAP-FRM-012")
	case FrameTimeout: // behind the client's EOF as well: it is enough that a frame was begun
		return n.closeIf(n.s.Phase == Up, spec.Timeout, "OAP-SES-013")
	case IdleTimeout:
		return n.closeIf(n.s.Phase == Up && held(*n.s) == 0, spec.Timeout, "OAP-SES-012")
	case DrainTimeout: // ERROR goes to every open stream on its own corr_id, and none to corr_id 0
		return n.closeIf(n.s.Draining, spec.Draining, "OAP-SES-016", "RDY-DRN-003")
	default: // Stall: data waits, and there is nobody to tell
		return n.closeIf(slices.ContainsFunc(n.s.Streams, n.canSend), spec.Timeout, "OAP-SES-018")
	}
}

func (n *step) streamTimeout() []Outcome {
	st := n.stream()
	if st.Mode != Open {
		return nil
	}
	n.endByError(st)
	return n.refused(spec.Timeout, "OAP-SES-011")
}

func (n *step) halfClosedTimeout() []Outcome {
	st := n.stream()
	if st.Mode != Half {
		return nil
	}
	n.turn(st, Over)
	return n.done("OAP-SES-010")
}
