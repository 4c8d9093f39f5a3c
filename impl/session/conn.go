package session

import (
	"slices"
	"time"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// Config is what a connection needs to know about its node. All fields must be set; the values are trusted
// (the shell is their only author).
type Config struct {
	// Admit decides whether a START gets in (ADM-ORD). Each admitted stream is paid back by one Closed effect.
	Admit func(now time.Time) (reason spec.Reason, retryAfter time.Duration)
	// Authorize decides whether a capability covers a request: it is asked once for each START that was admitted and is
	// well-formed, before any effect of it (ADM-ORD-004, CAP-ROL-003). capability are the cap bytes of the START, a view
	// into the frame. What it needs to remember goes into Stream.Grant.
	Authorize func(now time.Time, st *Stream, capability []byte) (reason spec.Reason, retryAfter time.Duration)
	Transport string   // the name of the transport in the HELLO answer, for example "tcp"
	Features  []string // in the HELLO answer
	Amnesia   bool     // in the HELLO answer
}

// EffectKind says what the shell must do.
type EffectKind uint8

// The effects, in the order in which one stream can cause them: each at most once, but for Body. Every stream that was
// admitted ends with exactly one Closed, and nothing comes behind it.
const (
	Open    EffectKind = iota + 1 // a put begins: make room for Stream.Req
	Body                          // Bytes of the put arrived, in order
	Run                           // the request is complete: carry it out, then Answer, Serve or Fail
	Drop                          // it ended without Answer, or all was served: discard what Host holds
	Closed                        // the admission of the stream is over: pay it back
	Refused                       // an ERROR with Reason was queued: count it (ADM-CNT-001, ADM-CNT-005)
)

// Effect is one thing that the shell must do. Effects are taken with NextEffect, in order.
type Effect struct {
	Kind   EffectKind
	Stream *Stream     // not with Refused; see Stream for how long it is valid
	Bytes  []byte      // Body only: a view into the frame, valid until the decoder moves on
	Reason spec.Reason // Refused only
}

// phase is where the connection stands.
type phase uint8

const (
	awaitHello phase = iota
	running
	closing // one last ERROR or nothing is to be written, then the transport closes
)

// Conn is the state of one connection.
type Conn struct {
	cfg      Config
	phase    phase
	maxFrame uint32
	last     uint64    // corr_id of the latest START (OAP-SES-001)
	streams  []*Stream // open ones, ascending by corr_id, at most spec.MaxStreams
	gone     []*Stream // ended ones that an effect not yet taken may name
	free     []*Stream // cleared ones, to be used again; with the two others never more than a few above 64

	out      []byte    // control frames not yet taken
	msg      []byte    // scratch for payloads
	sending  []*Stream // streams with a body to send, in turn
	granting []*Stream // streams with an ACK in out (OAP-CRD-001)
	effects  []Effect  // not yet taken, from taken on
	taken    int

	due     time.Time // no deadline lies before it; Tick moves it on
	helloBy time.Time // when HELLO must be complete
	heard   time.Time // the latest frame (OAP-SES-012)
	partial time.Time // when the incomplete frame began; zero at a frame boundary (OAP-SES-013)
	drainBy time.Time // when open streams are cut; zero unless draining
	eof     bool      // the client sends nothing more
}

// New makes the state of a connection accepted at now.
func New(cfg Config, now time.Time) *Conn {
	by := now.Add(spec.HelloTimeout)
	return &Conn{cfg: cfg, maxFrame: spec.MaxFrame, due: by, helloBy: by, heard: now}
}

// MaxFrame is the limit that the decoder must apply now (OAP-HEL-006).
func (c *Conn) MaxFrame() uint32 { return c.maxFrame }

// Closing says that the transport is to be closed once TakeControl gave its last bytes.
func (c *Conn) Closing() bool { return c.phase == closing }

// OpenStreams is the number of streams that count against the 64 (OAP-SES-008).
func (c *Conn) OpenStreams() int { return len(c.streams) }

// Unacked is how many DATA frames were sent on streams with ACK_REQ and wait for their ACK (OAP-CRD-001).
func (c *Conn) Unacked() (sum int64) {
	for _, st := range c.streams {
		if st.acks && !st.failed {
			sum += st.sent - st.peerAcked
		}
	}
	return sum
}

// NextEffect takes the next effect. The shell takes all of them after each call into the Conn, before the frame
// they may point into is gone. What it does for one effect (Fail, Answer) may add others.
func (c *Conn) NextEffect() (e Effect, ok bool) {
	for c.taken < len(c.effects) {
		e, c.effects[c.taken] = c.effects[c.taken], Effect{}
		c.taken++
		if e.Kind <= Run && e.Stream.over() {
			continue // refused by the shell a moment ago
		}
		return e, true
	}
	c.effects, c.taken = c.effects[:0], 0
	c.recycle()
	return Effect{}, false
}

// Frame takes one frame that the codec accepted. Deadlines that have passed by now come first, so that what a late
// frame does never depends on whether a Tick came in between.
func (c *Conn) Frame(now time.Time, f *wire.Frame) {
	if !now.Before(c.due) {
		c.Tick(now)
	}
	switch c.phase {
	case closing:
	case awaitHello:
		c.hello(now, f)
	default:
		c.heard = now
		c.dispatch(now, f)
	}
}

// Reject takes the verdict of the codec on a bad frame: the connection closes (OAP-FRM-012).
func (c *Conn) Reject(reason spec.Reason) { c.refuseConn(reason) }

// EOF says that the client will send nothing more (OAP-SES-021). Requests that are complete still get their answers;
// the others end here, and the connection closes when the last is answered.
func (c *Conn) EOF() {
	c.eof = true
	for i := 0; i < len(c.streams); {
		if st := c.streams[i]; st.ended {
			i++
		} else {
			c.drop(st)
			c.remove(st)
		}
	}
	if len(c.streams) == 0 {
		c.close()
	}
}

// Lost says that the transport is gone: everything is dropped.
func (c *Conn) Lost() { c.close() }

// Partial tells whether the decoder holds the beginning of a frame, after every read. A frame that was completed
// since the last call (advanced) gives the next one its own time (OAP-SES-013).
func (c *Conn) Partial(now time.Time, pending, advanced bool) {
	if !pending {
		c.partial = time.Time{}
	} else if advanced || c.partial.IsZero() {
		c.partial = now
	}
}

// hello handles the first frame (OAP-HEL-001, 003 to 008).
func (c *Conn) hello(now time.Time, f *wire.Frame) {
	var h wire.Hello
	if f.Flags != spec.FlagReq || f.Proto != spec.ProtoControl || f.Code != spec.CodeRequest ||
		wire.ParseHello(f.Payload, &h) != spec.None {
		c.refuseConn(spec.BadHello)
		return
	}
	if h.AcceptMaxFrame != 0 {
		c.maxFrame = uint32(min(max(h.AcceptMaxFrame, spec.MinMaxFrame), spec.MaxFrame))
	}
	c.phase, c.heard = running, now
	reply := wire.HelloReply{
		MaxFrame:       int64(c.maxFrame),
		MaxInflight:    spec.MaxStreams,
		FlagsSupported: (^spec.FlagsReserved).Names(),
		Versions:       []int{spec.Version},
		Transports:     []string{c.cfg.Transport},
		Features:       c.cfg.Features,
		Amnesia:        c.cfg.Amnesia,
	}
	c.send(&wire.Header{Flags: spec.FlagResp, Code: spec.CodeOK, Tenant: f.Tenant, Corr: f.Corr},
		wire.AppendHelloReply(nil, &reply))
}

// dispatch applies the session rules in the order of OAP-SES-020.
func (c *Conn) dispatch(now time.Time, f *wire.Frame) {
	const shape = spec.FlagStart | spec.FlagEnd | spec.FlagAckReq
	switch {
	case f.Flags == spec.FlagReq && f.Proto == spec.ProtoControl:
		c.refuseConn(spec.BadHello) // OAP-HEL-002
	case f.Flags&spec.FlagResp != 0: // OAP-SES-003
		c.refuse(now, f, spec.BadSequence)
	case f.Flags&spec.FlagEvent != 0 && f.Flags&shape != 0: // OAP-SES-019
		c.refuse(now, f, spec.BadSequence)
	case f.Flags&(spec.FlagAckReq|spec.FlagStart) == spec.FlagAckReq: // OAP-SES-019
		c.refuse(now, f, spec.BadSequence)
	case f.Flags&spec.FlagStart != 0:
		c.start(now, f)
	default:
		c.follow(now, f)
	}
}

// start handles START (OAP-SES-001, 006, 008, 017; OAP-OBJ-001, 002, 011; CAP-ROL-003).
func (c *Conn) start(now time.Time, f *wire.Frame) {
	reason, retry := spec.None, time.Duration(0)
	if f.Code != spec.CodeRequest {
		reason = spec.Malformed
	}
	if f.Corr <= c.last {
		if reason == spec.None {
			reason = spec.StreamReused
		}
		c.refuse(now, f, reason)
		return
	}
	c.last = f.Corr // admitted or refused
	if len(c.streams) >= spec.MaxStreams {
		if reason == spec.None {
			reason, retry = spec.TooManyStreams, streamRetry
		}
		c.sendError(f.Corr, &f.Header, reason, retry)
		return
	}
	st := c.newStream(now, &f.Header)
	st.ended = f.Flags&spec.FlagEnd != 0
	if reason == spec.None {
		reason, retry = c.cfg.Admit(now)
		st.admitted = reason == spec.None
	}
	if reason == spec.None {
		reason = st.request(f)
	}
	if reason == spec.None {
		reason, retry = c.cfg.Authorize(now, st, f.Cap)
	}
	if reason != spec.None {
		c.fail(now, st, reason, retry)
		return
	}
	if st.Req.Op == wire.OpPut {
		c.effect(Open, st, nil)
	}
	if st.ended {
		c.finish(now, st)
	}
}

// follow handles every frame that is not a START: it must name an open stream.
func (c *Conn) follow(now time.Time, f *wire.Frame) {
	st := c.stream(f.Corr)
	if st == nil && f.Flags&spec.FlagEvent != 0 && f.Code == spec.CodeAck && 0 < f.Corr && f.Corr <= c.last {
		return // OAP-CRD-007: too late, and no mistake
	}
	if st == nil || st.failed { // OAP-SES-002, OAP-SES-010
		c.refuse(now, f, spec.NoSuchStream)
		return
	}
	end := hangsUp(f)
	cancel := end && f.Code == spec.CodeCancel
	before := st.ended
	st.ended = st.ended || end // even when the frame is refused: the client says that it is done
	switch {
	case f.Flags&spec.FlagReq != 0 && f.Code != spec.CodeRequest && !cancel: // OAP-SES-006
		c.fail(now, st, spec.Malformed, 0)
	case f.Proto != st.proto || f.Tenant != st.tenant: // OAP-SES-004
		c.fail(now, st, spec.BadSequence, 0)
	case f.Flags&spec.FlagEvent != 0:
		c.event(now, st, f)
	case before && !cancel: // OAP-SES-005
		c.fail(now, st, spec.BadSequence, 0)
	case end && len(f.Payload) != 0: // OAP-STR-011
		c.fail(now, st, spec.Malformed, 0)
	case cancel: // OAP-STR-009
		c.drop(st)
		c.remove(st)
	case end:
		c.finish(now, st)
	default:
		c.data(now, st, f)
	}
}

// hangsUp says that f is an END or CANCEL: after it the client sends no more on the stream.
func hangsUp(f *wire.Frame) bool {
	return f.Flags&(spec.FlagReq|spec.FlagStart|spec.FlagEnd) == spec.FlagReq|spec.FlagEnd
}

// refuse answers a frame that broke a rule: on its stream if that is open, on its corr_id otherwise, and on the
// whole connection for corr_id 0 (OAP-SES-007, OAP-SES-014). A half-closed stream had its answer: its frames are
// discarded up to the one that ends it (OAP-SES-010, OAP-ERR-004).
func (c *Conn) refuse(now time.Time, f *wire.Frame, reason spec.Reason) {
	st := c.stream(f.Corr)
	if st != nil && hangsUp(f) {
		st.ended = true
	}
	switch {
	case f.Corr == 0:
		c.refuseConn(reason)
	case st == nil:
		c.sendError(f.Corr, &f.Header, reason, 0)
	case !st.failed:
		c.fail(now, st, reason, 0)
	case st.ended:
		c.remove(st)
	}
}

// refuseConn sends one ERROR on corr_id 0 and closes (OAP-FRM-012).
func (c *Conn) refuseConn(reason spec.Reason) {
	if c.phase == closing {
		return
	}
	c.sendError(0, &wire.Header{}, reason, 0)
	c.close()
}

// close drops every stream; nothing but what is in out will be written any more.
func (c *Conn) close() {
	c.phase = closing
	for _, st := range c.streams {
		c.drop(st)
		st.gone = true
	}
	c.streams, c.sending, c.granting = nil, nil, nil
}

// drop ends an open stream without a word; unless it had its ERROR, that undoes what the shell did for it.
func (c *Conn) drop(st *Stream) {
	if st.admitted {
		c.effect(Drop, st, nil)
	}
	c.settle(st)
}

func (c *Conn) effect(kind EffectKind, st *Stream, b []byte) {
	c.effects = append(c.effects, Effect{Kind: kind, Stream: st, Bytes: b})
}

// stream finds an open stream.
func (c *Conn) stream(corr uint64) *Stream {
	i, ok := c.index(corr)
	if !ok {
		return nil
	}
	return c.streams[i]
}

func (c *Conn) index(corr uint64) (int, bool) {
	return slices.BinarySearchFunc(c.streams, corr, func(st *Stream, corr uint64) int {
		switch {
		case st.Corr < corr:
			return -1
		case st.Corr > corr:
			return 1
		}
		return 0
	})
}
