package session

import (
	"maps"
	"slices"
	"time"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// oracle says which streams of a connection are open, when the next deadline is, and what is refused and why. It was
// written from the rules alone, with the reference codec, one flat list of cases after the other, and knows nothing
// of effects, buffers or the recycling of anything.
type oracle struct {
	admit   func() (spec.Reason, time.Duration) // the same as the host's
	objects map[spec.Address]int64              // sizes

	greeted, closed, eof bool
	helloBy, heard       time.Time
	partial, drainBy     time.Time // zero = none
	maxFrame             uint32
	last                 uint64
	streams              map[uint64]*life
	buf                  []byte

	errors   []refusal // expected, not yet compared
	answered map[uint64]bool
}

// life is an open stream.
type life struct {
	half, ended, acks bool
	proto             spec.Proto
	tenant            [16]byte
	req               refwire.Request
	since             time.Time // the latest progress

	got, frames, acked, granted int64 // body from the client
	serving                     bool
	left, sent, credit          int64 // body to the client: bytes left, frames sent, up_to
}

type refusal struct {
	corr   uint64
	reason spec.Reason
}

func newOracle(admit func() (spec.Reason, time.Duration), now time.Time) *oracle {
	return &oracle{admit: admit, objects: map[spec.Address]int64{}, helloBy: now.Add(5 * time.Second), heard: now, maxFrame: 1 << 20,
		streams: map[uint64]*life{}, answered: map[uint64]bool{}}
}

func (o *oracle) corrs() []uint64 { return slices.Sorted(maps.Keys(o.streams)) }

// deadline is when something happens if nothing else does; ok is false when nothing will.
func (o *oracle) deadline() (d time.Time, ok bool) {
	if o.closed {
		return d, false
	}
	if !o.greeted {
		return o.helloBy, true
	}
	all := []time.Time{}
	for _, l := range o.streams {
		all = append(all, l.since.Add(5*time.Second))
	}
	if len(all) == 0 {
		all = append(all, o.heard.Add(time.Minute))
	}
	if !o.partial.IsZero() {
		all = append(all, o.partial.Add(5*time.Second))
	}
	if !o.drainBy.IsZero() {
		all = append(all, o.drainBy)
	}
	return slices.MinFunc(all, time.Time.Compare), true
}

// pass applies what is due at now.
func (o *oracle) pass(now time.Time) {
	due := func(t time.Time, limit time.Duration) bool { return !t.IsZero() && now.Sub(t) >= limit }
	switch {
	case o.closed:
	case !o.greeted:
		if due(o.helloBy, 0) {
			o.end(spec.BadHello)
		}
	case due(o.partial, 5*time.Second):
		o.end(spec.Timeout)
	case due(o.drainBy, 0):
		for _, corr := range o.corrs() {
			if !o.streams[corr].half {
				o.errors = append(o.errors, refusal{corr, spec.Draining})
			}
		}
		o.streams, o.closed = map[uint64]*life{}, true
	default:
		for _, corr := range o.corrs() {
			l := o.streams[corr]
			if l == nil || !due(l.since, 5*time.Second) {
				continue
			}
			if l.half {
				o.gone(corr)
			} else {
				o.fail(now, corr, spec.Timeout)
			}
		}
		if !o.closed && len(o.streams) == 0 && due(o.heard, time.Minute) {
			o.end(spec.Timeout)
		}
	}
}

// end closes the connection with one ERROR.
func (o *oracle) end(reason spec.Reason) {
	if !o.closed {
		o.errors = append(o.errors, refusal{0, reason})
		o.streams, o.closed = map[uint64]*life{}, true
	}
}

func (o *oracle) gone(corr uint64) {
	delete(o.streams, corr)
	o.leave()
}

// leave closes a connection that is going away when no stream on it gets an answer any more.
func (o *oracle) leave() {
	if !o.eof && o.drainBy.IsZero() {
		return
	}
	for _, l := range o.streams {
		if !l.half {
			return
		}
	}
	o.streams, o.closed = map[uint64]*life{}, true
}

// fail ends the node's side of an open stream.
func (o *oracle) fail(now time.Time, corr uint64, reason spec.Reason) {
	l := o.streams[corr]
	o.errors = append(o.errors, refusal{corr, reason})
	if l.half, l.serving, l.since = true, false, now; l.ended {
		o.gone(corr)
	} else {
		o.leave()
	}
}

// read takes bytes from the client.
func (o *oracle) read(now time.Time, b []byte) {
	o.buf = append(o.buf, b...)
	advanced := false
	for !o.closed {
		res := refwire.Decode(o.buf, o.maxFrame)
		if res.Verdict == refwire.Reject {
			o.end(res.Reason)
		}
		if res.Verdict != refwire.Accept {
			break
		}
		o.buf, advanced = o.buf[res.N:], true
		o.frame(now, &res.Frame)
	}
	if len(o.buf) == 0 {
		o.partial = time.Time{}
	} else if advanced || o.partial.IsZero() {
		o.partial = now
	}
}

func (o *oracle) frame(now time.Time, f *refwire.Frame) {
	if o.pass(now); o.closed {
		return
	}
	hello := f.Flags == spec.FlagReq && f.Proto == 0
	if !o.greeted {
		h, reason := refwire.DecodeHello(f.Payload)
		if !hello || f.Code != 0 || reason != spec.None {
			o.end(spec.BadHello)
			return
		}
		if h.AcceptMaxFrame > 0 {
			o.maxFrame = uint32(min(1<<20, max(4096, h.AcceptMaxFrame)))
		}
		o.greeted, o.heard = true, now
		return
	}
	o.heard = now
	start := f.Flags&spec.FlagReq != 0 && f.Flags&spec.FlagStart != 0
	hangup := f.Flags&spec.FlagReq != 0 && f.Flags&spec.FlagEnd != 0 && !start
	fresh := start && f.Corr > o.last && len(o.streams) < 64
	reason := o.judge(f)
	if hello || f.Corr == 0 && reason != spec.None {
		o.end(reason)
		return
	}
	if start {
		o.last = max(o.last, f.Corr)
	}
	if fresh {
		o.streams[f.Corr] = &life{proto: f.Proto, tenant: f.Tenant, since: now,
			acks: f.Flags&spec.FlagAckReq != 0, ended: f.Flags&spec.FlagEnd != 0}
	}
	l := o.streams[f.Corr]
	if l != nil && hangup {
		l.ended = true
	}
	switch {
	case l == nil:
		if reason != spec.None {
			o.errors = append(o.errors, refusal{f.Corr, reason})
		}
	case l.half:
		if hangup {
			o.gone(f.Corr)
		}
	case reason != spec.None:
		o.fail(now, f.Corr, reason)
	default:
		o.accept(now, f, l)
	}
}

// judge is the reason why a frame is refused: that of the first rule in the order of OAP-SES-020 and OAP-STR-010.
func (o *oracle) judge(f *refwire.Frame) spec.Reason {
	has := func(bits spec.Flags) bool { return f.Flags&bits != 0 }
	switch {
	case f.Flags == spec.FlagReq && f.Proto == 0:
		return spec.BadHello // OAP-HEL-002
	case has(spec.FlagResp): // OAP-SES-003
		return spec.BadSequence
	case has(spec.FlagEvent) && has(spec.FlagStart|spec.FlagEnd|spec.FlagAckReq): // OAP-SES-019
		return spec.BadSequence
	case has(spec.FlagAckReq) && !has(spec.FlagStart): // OAP-SES-019
		return spec.BadSequence
	case has(spec.FlagStart):
		return o.judgeStart(f)
	}
	l := o.streams[f.Corr]
	if l == nil && has(spec.FlagEvent) && f.Code == 202 && f.Corr > 0 && f.Corr <= o.last { // OAP-CRD-007
		return spec.None
	}
	if l == nil { // OAP-SES-002
		return spec.NoSuchStream
	}
	if l.half { // OAP-SES-010
		return spec.None
	}
	end := has(spec.FlagEnd)
	cancel := end && f.Code == 499
	switch {
	case has(spec.FlagReq) && f.Code != 0 && !cancel: // OAP-SES-006
		return spec.Malformed
	case f.Proto != l.proto || f.Tenant != l.tenant: // OAP-SES-004
		return spec.BadSequence
	case has(spec.FlagEvent) && f.Code != 202, has(spec.FlagReq) && l.ended && !cancel, // OAP-SES-005
		has(spec.FlagReq) && !end && l.req.Op != "put":
		return spec.BadSequence
	case end && len(f.Payload) > 0: // OAP-STR-011
		return spec.Malformed
	case end && !cancel && l.got < l.req.TotalLen: // OAP-STR-008
		return spec.Truncated
	case end:
		return spec.None
	case has(spec.FlagAppE2E): // OAP-OBJ-011, OAP-ZST-007
		return spec.Unsupported
	case has(spec.FlagEvent):
		upTo, reason := refwire.DecodeAck(f.Data)
		if reason == spec.None && (!l.acks || upTo <= l.credit || upTo > l.sent) { // OAP-CRD-003, 004
			reason = spec.CreditViolation
		}
		return reason
	case l.acks && l.frames-l.granted >= 32: // OAP-CRD-001
		return spec.CreditViolation
	}
	d, reason := refwire.DecodeData(f.Data)
	switch {
	case reason != spec.None:
		return reason
	case d.TotalLen != l.req.TotalLen, d.HasObj != l.req.HasObj, d.Obj != l.req.Obj:
		return spec.Malformed
	case d.Offset != l.got:
		return spec.BadOffset
	case l.got+int64(len(d.Body)) > l.req.TotalLen:
		return spec.Oversize
	}
	return spec.None
}

func (o *oracle) judgeStart(f *refwire.Frame) spec.Reason {
	if f.Code != 0 { // OAP-SES-006
		return spec.Malformed
	}
	if f.Corr <= o.last { // OAP-SES-001
		return spec.StreamReused
	}
	if len(o.streams) >= 64 { // OAP-SES-008
		return spec.TooManyStreams
	}
	if reason, _ := o.admit(); reason != spec.None {
		return reason
	}
	if f.Proto != spec.ProtoObjects || f.Flags&spec.FlagAppE2E != 0 { // OAP-OBJ-001, 011
		return spec.Unsupported
	}
	req, reason := refwire.DecodeRequest(f.Data)
	if reason == spec.None && req.TotalLen > 64<<20 { // OAP-OBJ-005
		reason = spec.Oversize
	}
	if reason == spec.None && f.Flags&spec.FlagEnd != 0 && req.TotalLen > 0 { // OAP-STR-008
		reason = spec.Truncated
	}
	return reason
}

// accept is what a frame does that nothing speaks against.
func (o *oracle) accept(now time.Time, f *refwire.Frame, l *life) {
	switch {
	case f.Flags&spec.FlagStart != 0:
		l.req, _ = refwire.DecodeRequest(f.Data)
		if l.req.Op == "put" && faulty(f.Corr, Open) {
			o.fail(now, f.Corr, spec.StoreFull)
			return
		}
	case f.Flags&spec.FlagEvent != 0:
		l.credit, _ = refwire.DecodeAck(f.Data)
	case f.Flags&spec.FlagEnd == 0:
		d, _ := refwire.DecodeData(f.Data)
		l.got += int64(len(d.Body))
		if l.frames++; l.frames-l.acked == 16 {
			l.acked = l.frames
		}
		if faulty(f.Corr, Body) {
			o.fail(now, f.Corr, spec.StoreFull)
			return
		}
	case f.Code == 499:
		o.gone(f.Corr)
		return
	}
	l.since = now
	if f.Flags&spec.FlagEnd != 0 {
		o.carryOut(now, f.Corr, l)
	}
}

// carryOut is what the host makes of a complete request. Puts are of bytes "x" only.
func (o *oracle) carryOut(now time.Time, corr uint64, l *life) {
	size, exists := o.objects[l.req.Obj]
	stored := address(slices.Repeat([]byte("x"), int(l.got)))
	switch {
	case faulty(corr, Run):
		o.fail(now, corr, spec.StoreFull)
	case l.req.Op == "put" && l.req.HasObj && l.req.Obj != stored:
		o.fail(now, corr, spec.BadDigest)
	case !exists && (l.req.Op == "get" || l.req.Op == "stat" || l.req.Op == "delete"):
		o.fail(now, corr, spec.NotFound)
	case l.req.Op == "get" && l.req.Offset > size:
		o.fail(now, corr, spec.BadRange)
	case l.req.Op == "get":
		l.serving, l.left = true, size-l.req.Offset
		if l.req.HasLen {
			l.left = min(l.left, l.req.Len)
		}
		if l.left == 0 {
			o.answer(corr)
		}
	default:
		switch l.req.Op {
		case "put":
			o.objects[stored] = l.got
		case "delete":
			delete(o.objects, l.req.Obj)
		}
		o.answer(corr)
	}
}

func (o *oracle) answer(corr uint64) {
	o.answered[corr] = true
	o.gone(corr)
}

// flow is what happens when the transport takes everything: ACKs count, and DATA goes out as far as windows allow.
func (o *oracle) flow(now time.Time, chunk int64) {
	for _, corr := range o.corrs() {
		l := o.streams[corr]
		if l == nil {
			return // the last answer closed the connection, and half-closed streams went with it
		}
		l.granted = l.acked
		for l.serving && l.left > 0 && (!l.acks || l.sent-l.credit < 32) {
			if faulty(corr, serving) {
				o.fail(now, corr, spec.Integrity)
				break
			}
			l.left -= min(l.left, chunk)
			l.sent++
			l.since, o.heard = now, now
		}
		if l.serving && l.left == 0 {
			o.answer(corr)
		}
	}
}

// hangUp is the end of what the client sends.
func (o *oracle) hangUp() {
	o.eof = true
	for _, corr := range o.corrs() {
		if l := o.streams[corr]; l != nil && !l.ended {
			o.gone(corr)
		}
	}
	o.closed = o.closed || len(o.streams) == 0
}

func (o *oracle) drain(now, by time.Time) {
	if o.pass(now); o.closed || !o.drainBy.IsZero() {
		return
	}
	o.drainBy = by
	o.leave()
}

// faulty says whether the store of the machine fails a stream: some do, each at its own point.
func faulty(corr uint64, during EffectKind) bool {
	switch corr % 16 {
	case 3:
		return during == Open
	case 6:
		return during == Body
	case 9:
		return during == Run
	case 12:
		return during == serving
	}
	return false
}
