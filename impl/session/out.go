package session

import (
	"slices"
	"time"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// maxIdleOut is how large the buffer of control frames may be between two bursts.
const maxIdleOut = 64 << 10

// Answer ends a request with success (RESP|END 200). payload is copied. It does nothing on a stream that is over.
func (c *Conn) Answer(st *Stream, payload []byte) {
	if st.over() {
		return
	}
	h := wire.Header{Flags: spec.FlagResp | spec.FlagEnd, Code: spec.CodeOK, Proto: st.proto, Tenant: st.tenant, Corr: st.Corr}
	c.send(&h, payload)
	c.settle(st)
	c.remove(st)
}

// Fail ends a request with an ERROR. retry is the hint for retryable reasons, rounded up to a millisecond. It does
// nothing on a stream that is over.
func (c *Conn) Fail(now time.Time, st *Stream, reason spec.Reason, retry time.Duration) {
	if !st.over() {
		c.fail(now, st, reason, retry)
	}
}

// Serve answers a get with the bytes [from, to) of an object of the given size. The shell then asks NextData.
// The final answer is queued when the last byte was handed out; a Drop effect then releases what Host holds.
func (c *Conn) Serve(now time.Time, st *Stream, obj spec.Address, size, from, to int64) {
	if st.over() {
		return
	}
	st.obj, st.size, st.from, st.to, st.answerLen = obj, size, from, to, to-from
	st.sending, st.progress = true, now
	c.sending = append(c.sending, st)
	if from == to {
		c.served(st)
	}
}

// Pending is the number of control bytes not yet taken; the shell stops reading while it is large.
func (c *Conn) Pending() int { return len(c.out) }

// TakeControl appends the queued control frames to dst. They count as sent from here on.
func (c *Conn) TakeControl(dst []byte) []byte {
	dst = append(dst, c.out...)
	c.out = c.out[:0]
	if cap(c.out) > maxIdleOut {
		c.out = nil
	}
	for _, st := range c.granting {
		st.granted = st.acked
	}
	c.granting = c.granting[:0]
	return dst
}

// NextData says which bytes of which stream come next: up to max bytes from offset off of the object that
// Stream.Host stands for. Streams take turns; one without credit is passed over (OAP-CRD-006). ok is false
// when nothing can be sent now.
func (c *Conn) NextData() (st *Stream, off int64, max int, ok bool) {
	for i, s := range c.sending {
		if s.acks && s.sent-s.peerAcked >= spec.Window {
			continue
		}
		c.sending = append(slices.Delete(c.sending, i, i+1), s)
		return s, s.from, int(min(s.to-s.from, c.maxBody())), true
	}
	return nil, 0, 0, false
}

// maxBody is the largest DATA body under the agreed max_frame; the JSON header of an answer never exceeds 160 bytes.
func (c *Conn) maxBody() int64 {
	const around = spec.HeaderLen + 2 + 160
	return min(spec.MaxChunk, int64(c.maxFrame)-around)
}

// AppendData appends the frame header and DATA header for the next n bytes of st to dst; the n bytes must follow
// them on the wire. After the last byte the final answer is queued behind them.
func (c *Conn) AppendData(now time.Time, dst []byte, st *Stream, n int) []byte {
	var scratch [200]byte
	dh := wire.DataHeader{Obj: st.obj, HasObj: true, Offset: st.answerLen - (st.to - st.from), TotalLen: st.answerLen}
	head := wire.AppendDataHeader(scratch[:0], &dh)
	h := wire.Header{Flags: spec.FlagResp, Code: spec.CodeData, Proto: st.proto, Tenant: st.tenant, Corr: st.Corr}
	dst, err := wire.AppendHeader(dst, &h, 0, len(head)+n)
	if err != nil {
		panic("session: built an illegal DATA frame: " + err.Error())
	}
	st.from += int64(n)
	st.sent++
	st.progress, c.heard = now, now
	if st.from == st.to {
		c.served(st)
	}
	return append(dst, head...)
}

// served queues the final answer to a get.
func (c *Conn) served(st *Stream) {
	a := wire.Answer{Obj: st.obj, Size: st.size}
	c.effect(Drop, st, nil)
	c.msg = wire.AppendAnswer(c.msg[:0], wire.OpGet, &a)
	c.Answer(st, c.msg)
}

func (c *Conn) stopSending(st *Stream) {
	if st.sending {
		st.sending = false
		c.sending = slices.DeleteFunc(c.sending, func(s *Stream) bool { return s == st })
	}
}

// send queues one control frame.
func (c *Conn) send(h *wire.Header, payload []byte) {
	out, err := wire.AppendFrame(c.out, h, nil, payload)
	if err != nil {
		panic("session: built an illegal frame: " + err.Error())
	}
	c.out = out
}

// sendError queues an ERROR (OAP-ERR-001 to 003) in the protocol and tenant of like.
func (c *Conn) sendError(corr uint64, like *wire.Header, reason spec.Reason, retry time.Duration) {
	c.effects = append(c.effects, Effect{Kind: Refused, Reason: reason})
	facts := reason.Facts()
	if facts.Status != 429 && facts.Status != 503 {
		retry = 0
	} else {
		retry = max(retry, time.Millisecond)
	}
	e := wire.Error{Reason: reason, Message: explain(reason), Retryable: facts.Retryable, RetryAfter: retry, Corr: corr}
	h := wire.Header{Flags: spec.FlagResp | spec.FlagEnd, Code: reason.Code(), Proto: like.Proto, Tenant: like.Tenant, Corr: corr}
	c.msg = wire.AppendError(c.msg[:0], &e)
	c.send(&h, c.msg)
}
