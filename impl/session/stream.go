package session

import (
	"bytes"
	"slices"
	"time"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// streamRetry is the hint to a client that has 64 streams open: one of them ends in about this time.
const streamRetry = 10 * time.Millisecond

// Stream is one request and its answer. The shell reads Corr, Req and Doc, owns Host and Grant, and passes the rest back.
// A *Stream is valid until NextEffect has said, after the last effect that names it, that there are no more.
type Stream struct {
	Corr  uint64
	Req   wire.Request // of the objects protocol
	Doc   []byte       // the JSON text of a passport request, not yet read; nil for other protocols
	Host  any          // what the shell keeps for this stream: an open put, a handle being served
	Grant any          // what Authorize keeps: it is there until Closed

	proto  spec.Proto
	tenant [16]byte
	acks   bool // START had ACK_REQ

	admitted bool // a Closed effect is owed
	ended    bool // the client ended the request side
	failed   bool // the server ended it by ERROR; while open, it waits for the client's END (OAP-SES-010)
	gone     bool // it is no longer open

	// Request body. received counts frames, offset bytes.
	total    int64
	offset   int64
	received int64
	acked    int64 // last up_to queued
	granted  int64 // last up_to handed to the transport (OAP-CRD-001)

	// Response body.
	obj       spec.Address
	size      int64 // of the whole object
	from, to  int64 // range of the object that is served; from moves
	answerLen int64
	sent      int64 // DATA frames
	peerAcked int64
	sending   bool

	progress time.Time // the latest frame in either direction (OAP-SES-011), or when it failed (OAP-SES-010)
}

// Proto is the application protocol of the stream.
func (st *Stream) Proto() spec.Proto { return st.proto }

// Tenant is the tenant_id of the stream; zero for none.
func (st *Stream) Tenant() [16]byte { return st.tenant }

// over says that the server has had its last word on st.
func (st *Stream) over() bool { return st.failed || st.gone }

func (c *Conn) newStream(now time.Time, h *wire.Header) *Stream {
	var st *Stream
	if n := len(c.free); n > 0 {
		st, c.free = c.free[n-1], c.free[:n-1]
	} else {
		st = new(Stream)
	}
	*st = Stream{
		Corr: h.Corr, proto: h.Proto, tenant: h.Tenant,
		acks:     h.Flags&spec.FlagAckReq != 0,
		progress: now,
	}
	c.streams = append(c.streams, st)
	return st
}

// recycle makes the streams that ended free for later ones. No effect names them any more.
func (c *Conn) recycle() {
	for i, st := range c.gone {
		*st = Stream{gone: true} // lets go of Host
		c.free, c.gone[i] = append(c.free, st), nil
	}
	c.gone = c.gone[:0]
}

// settle pays back the admission, once.
func (c *Conn) settle(st *Stream) {
	if st.admitted {
		st.admitted = false
		c.effect(Closed, st, nil)
	}
}

// remove forgets a stream.
func (c *Conn) remove(st *Stream) {
	if i, ok := c.index(st.Corr); ok {
		c.streams = slices.Delete(c.streams, i, i+1)
	}
	c.stopSending(st)
	c.granting = slices.DeleteFunc(c.granting, func(s *Stream) bool { return s == st })
	st.gone = true
	c.gone = append(c.gone, st)
	c.leave()
}

// leave closes a connection that is going away once no stream is left that still gets an answer. Half-closed ones
// wait for frames that are discarded anyway.
func (c *Conn) leave() {
	waiting := slices.ContainsFunc(c.streams, func(st *Stream) bool { return !st.failed })
	if !waiting && (c.eof || !c.drainBy.IsZero()) {
		c.close()
	}
}

// fail ends the response side by ERROR. With the client's END already seen the stream is gone; otherwise it
// stays half-closed (OAP-SES-010, OAP-SES-017).
func (c *Conn) fail(now time.Time, st *Stream, reason spec.Reason, retry time.Duration) {
	h := wire.Header{Proto: st.proto, Tenant: st.tenant}
	c.sendError(st.Corr, &h, reason, retry)
	c.drop(st)
	st.failed, st.progress = true, now
	if st.ended {
		c.remove(st)
		return
	}
	c.stopSending(st)
	c.leave()
}

// request reads the START of an admitted stream (OAP-OBJ-001, 011, 002, 005; CAP-ISS-001). What a passport request says
// is the shell's to read.
func (st *Stream) request(f *wire.Frame) spec.Reason {
	switch {
	case f.Flags&spec.FlagAppE2E != 0:
		return spec.Unsupported
	case f.Proto == spec.ProtoPassport && len(f.Data) > spec.MaxPassport:
		return spec.Malformed
	case f.Proto == spec.ProtoPassport:
		st.Doc = bytes.Clone(f.Data)
		return spec.None
	case f.Proto != spec.ProtoObjects:
		return spec.Unsupported
	}
	if reason := wire.ParseRequest(f.Data, &st.Req); reason != spec.None {
		return reason
	}
	if st.Req.Op == wire.OpPut {
		st.total = st.Req.TotalLen
	}
	if st.total > spec.MaxObject {
		return spec.Oversize
	}
	return spec.None
}

// finish carries out a request whose client side has ended (OAP-OBJ-004, OAP-STR-008).
func (c *Conn) finish(now time.Time, st *Stream) {
	st.progress = now
	if st.Req.Op == wire.OpPut {
		if st.offset < st.total {
			c.fail(now, st, spec.Truncated, 0)
			return
		}
		if st.acks && st.received > st.acked {
			c.ack(st)
		}
	}
	c.effect(Run, st, nil)
}

// data takes one DATA frame of a put (OAP-STR-001 to 007, OAP-STR-010, OAP-CRD-001).
func (c *Conn) data(now time.Time, st *Stream, f *wire.Frame) {
	if st.Req.Op != wire.OpPut { // OAP-SES-005
		c.fail(now, st, spec.BadSequence, 0)
		return
	}
	if f.Flags&spec.FlagAppE2E != 0 { // OAP-OBJ-011
		c.fail(now, st, spec.Unsupported, 0)
		return
	}
	if st.acks && st.received-st.granted >= spec.Window {
		c.fail(now, st, spec.CreditViolation, 0)
		return
	}
	var h wire.DataHeader
	body, reason := wire.ParseData(f.Data, &h)
	if reason == spec.None {
		reason = st.place(&h, int64(len(body)))
	}
	if reason != spec.None {
		c.fail(now, st, reason, 0)
		return
	}
	st.offset += int64(len(body))
	st.received++
	st.progress = now
	c.effect(Body, st, body)
	if st.acks && st.received-st.acked >= spec.AckEvery {
		c.ack(st)
	}
}

// place says whether a chunk of n bytes comes next.
func (st *Stream) place(h *wire.DataHeader, n int64) spec.Reason {
	switch {
	case h.TotalLen != st.total: // OAP-STR-004
		return spec.Malformed
	case h.HasObj != st.Req.HasObj || h.Obj != st.Req.Obj: // OAP-STR-002
		return spec.Malformed
	case h.Offset != st.offset: // OAP-STR-003
		return spec.BadOffset
	case st.offset+n > st.total: // OAP-STR-007
		return spec.Oversize
	}
	return spec.None
}

// ack queues an ACK for everything received (OAP-CRD-002). Credit counts from when the transport takes it.
func (c *Conn) ack(st *Stream) {
	st.acked = st.received
	h := wire.Header{Flags: spec.FlagEvent, Code: spec.CodeAck, Proto: st.proto, Tenant: st.tenant, Corr: st.Corr}
	c.msg = wire.AppendAck(c.msg[:0], st.acked)
	c.send(&h, c.msg)
	if !slices.Contains(c.granting, st) {
		c.granting = append(c.granting, st)
	}
}

// event takes an EVENT of the client: an ACK, or nothing that exists (OAP-SES-005, OAP-CRD-003 to 006).
func (c *Conn) event(now time.Time, st *Stream, f *wire.Frame) {
	if f.Code != spec.CodeAck {
		c.fail(now, st, spec.BadSequence, 0)
		return
	}
	if f.Flags&spec.FlagAppE2E != 0 { // not to be parsed (OAP-ZST-007), so not to be understood
		c.fail(now, st, spec.Unsupported, 0)
		return
	}
	upTo, reason := wire.ParseAck(f.Data)
	switch {
	case reason != spec.None:
		c.fail(now, st, reason, 0)
	case !st.acks, upTo <= st.peerAcked, upTo > st.sent:
		c.fail(now, st, spec.CreditViolation, 0)
	default:
		st.peerAcked, st.progress = upTo, now
	}
}
