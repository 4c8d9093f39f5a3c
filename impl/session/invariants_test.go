package session

import (
	"slices"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// check holds the state of the Conn to what is true after every step.
func (r *rig) check() {
	r.tb.Helper()
	c := r.c
	must := func(ok bool, what string) {
		r.tb.Helper()
		if !ok {
			r.tb.Fatalf("invariant broken: %s", what)
		}
	}
	must(len(c.effects) == 0 && len(c.gone) == 0, "the shell took every effect")
	must(len(c.streams) <= spec.MaxStreams, "at most 64 open streams (OAP-SES-008)")
	must(len(c.streams)+len(c.free) <= 2*spec.MaxStreams, "memory for streams is bounded")
	must(c.phase != closing || len(c.streams)+len(c.sending)+len(c.granting) == 0, "a closing connection has no streams")
	must(c.phase == running || len(c.streams) == 0, "no stream before HELLO")
	must(c.due.Compare(c.Deadline()) <= 0, "no deadline before due")
	must(!c.Deadline().IsZero(), "the deadline is never zero")

	admitted, sending := 0, 0
	for i, st := range c.streams {
		must(i == 0 || c.streams[i-1].Corr < st.Corr, "streams ascend by corr_id")
		must(st.Corr != 0 && st.Corr <= c.last, "no open stream above the highest START")
		must(!st.gone, "an open stream is not gone")
		must(st.failed || st.admitted, "a stream that is not refused is admitted")
		must(!st.failed || !st.admitted && !st.ended && !st.sending, "a half-closed stream is paid back, silent, and waits for END")
		must(r.hold || st.failed == r.entries[st.Corr].final, "a half-closed stream, and no other, had its ERROR")
		must(!st.ended || st.sending, "a complete request is answered or being answered")
		must(st.granted <= st.acked && st.acked <= st.received, "ACKs never run ahead")
		must(!st.acks || st.received-st.granted <= spec.Window, "the client's window (OAP-CRD-001)")
		must(!st.acks || st.received-st.acked < spec.AckEvery, "an ACK after at most 16 frames (OAP-CRD-002)")
		must(!st.acks || st.sent-st.peerAcked <= spec.Window, "the node's window (OAP-CRD-006)")
		must(st.peerAcked <= st.sent, "no credit for frames that were not sent (OAP-CRD-003)")
		must(st.offset <= st.total, "no more bytes than declared (OAP-STR-007)")
		must(!st.progress.After(r.now), "no progress in the future")
		if st.admitted {
			admitted++
		}
		if st.sending {
			sending++
			must(st.from < st.to, "who is sending has something to send")
		}
	}
	must(admitted == r.admitted, "every open admission has its stream (ADM-CAP-006)")
	must(sending == len(c.sending), "who is sending is in the queue, once")
	for _, list := range [][]*Stream{c.sending, c.granting} {
		for i, st := range list {
			must(slices.Contains(c.streams, st), "who sends or is acknowledged is open")
			must(!slices.Contains(list[:i], st), "nobody is in a queue twice")
		}
	}
	for i, st := range c.free {
		must(!slices.Contains(c.streams, st) && !slices.Contains(c.free[:i], st), "a free stream is free, once")
		must(st.gone && st.Host == nil && st.Corr == 0, "a free stream is cleared")
	}
}

// read decodes what the node sent, and holds every frame to the law.
func (r *rig) read() {
	r.tb.Helper()
	for len(r.wireOut) > 0 {
		res := refwire.Decode(r.wireOut, r.c.MaxFrame())
		if res.Verdict != refwire.Accept {
			r.tb.Fatalf("the node sent %x…: %v, %s by %s", r.wireOut[:min(len(r.wireOut), 60)], res.Verdict, res.Reason, res.Rule)
		}
		r.wireOut = r.wireOut[res.N:]
		r.judge(&res.Frame)
		r.got = append(r.got, res.Frame)
	}
}

// judge holds one frame of the node to the law.
func (r *rig) judge(f *refwire.Frame) {
	r.tb.Helper()
	must := func(ok bool, what string) {
		r.tb.Helper()
		if !ok {
			r.tb.Fatalf("the node sent %s: %s", describe(f), what)
		}
	}
	must(!r.goodbye, "nothing comes behind an ERROR on corr_id 0 (OAP-FRM-012)")
	must(f.CapLen == 0, "no capability in an answer")
	e := r.entry(f.Corr)
	own := !e.started || f.Corr == 0 || f.Proto == e.proto && f.Tenant == e.tenant
	switch {
	case f.Flags == spec.FlagResp && f.Code == spec.CodeOK:
		_, reason := refwire.DecodeHelloReply(f.Payload)
		must(reason == spec.None, "a HELLO answer has its keys (OAP-HEL-007)")
	case f.Flags == spec.FlagResp && f.Code == spec.CodeData:
		d, reason := refwire.DecodeData(f.Payload)
		must(reason == spec.None && d.HasObj, "DATA is well formed and names its object (OAP-STR-002)")
		must(e.frames == 0 || d.TotalLen == e.total, "total_len stays (OAP-STR-004)")
		must(d.Offset == e.offset && d.Offset+int64(len(d.Body)) <= d.TotalLen, "offsets follow each other (OAP-STR-003)")
		must(own && !e.final, "DATA belongs to an open stream")
		e.total, e.offset, e.frames = d.TotalLen, d.Offset+int64(len(d.Body)), e.frames+1
	case f.Flags == spec.FlagEvent && f.Code == spec.CodeAck:
		upTo, reason := refwire.DecodeAck(f.Payload)
		must(reason == spec.None && upTo > e.upTo, "up_to grows (OAP-CRD-003)")
		must(own && !e.final, "an ACK belongs to an open stream")
		e.upTo = upTo
	case f.Flags == spec.FlagEvent && f.Code == spec.CodeGoingAway:
		must(f.Corr == 0 && string(f.Payload) == `{"reason":"draining"}`, "Going-away is about the connection (OAP-SES-016)")
	case f.Flags == spec.FlagResp|spec.FlagEnd && f.Code == spec.CodeOK:
		must(own && !e.final && f.Corr != 0, "one final answer (OAP-ERR-004)")
		must(e.offset == e.total, "an answer comes behind all of the body (OAP-OBJ-008)")
		e.final = true
	case f.Flags == spec.FlagResp|spec.FlagEnd:
		x, reason := refwire.DecodeError(f.Payload)
		must(reason == spec.None && x.Reason.Known() && x.Corr == f.Corr && x.Message != "", "an ERROR has its members (OAP-ERR-001)")
		must(f.Code == x.Reason.Code() && f.Code >= 400 && x.Retryable == x.Reason.Facts().Retryable, "code and retryable are those of the reason (OAP-ERR-002)")
		must((x.RetryAfter > 0) == (f.Code == 429 || f.Code == 503), "429 and 503 say when (OAP-ERR-003)")
		if e.early > 0 {
			e.early--
			return
		}
		late := []spec.Reason{spec.NoSuchStream, spec.StreamReused, spec.BadSequence, spec.Malformed}
		must(!e.final || slices.Contains(late, x.Reason), "one ERROR, but for frames that come too late (OAP-ERR-004)")
		must(own || slices.Contains(late, x.Reason), "an ERROR has proto and tenant of its stream")
		e.final, r.goodbye = true, f.Corr == 0
	default:
		must(false, "no such kind of frame")
	}
}
