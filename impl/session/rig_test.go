package session

import (
	"fmt"
	"reflect"
	"slices"
	"time"

	"lukechampine.com/blake3"
	"pgregory.net/rapid"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// epoch is when every test begins. Nothing here reads a clock.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// rig drives one Conn as the shell does: bytes in through the decoder, effects carried out on a host, bytes out
// through the reference codec. After every step it checks what has to hold at all times. tb is a test, a fuzz
// target or a rapid check.
type rig struct {
	tb   rapid.TB
	c    *Conn
	dec  *wire.Decoder
	host *host
	now  time.Time

	hold     bool              // the transport takes nothing
	most     int               // how many DATA frames the transport still takes; below 0 = any number
	wireOut  []byte            // taken from the Conn, not yet decoded
	got      []refwire.Frame   // from the node, not yet looked at by the test
	refusals []spec.Reason     // every Refused effect so far
	entries  map[uint64]*entry // by corr_id
	admitted int               // by this connection, Closed effects subtracted
	goodbye  bool              // an ERROR on corr_id 0 was sent
}

// entry is what the rig remembers of one corr_id: which effects it caused, and what the node sent on it.
type entry struct {
	opened, ran, dropped, closed bool

	early   int  // ERRORs still to come for frames before any START
	started bool // by a START; proto and tenant are its own
	proto   spec.Proto
	tenant  [16]byte
	final   bool // an answer or ERROR was sent
	frames  int64
	offset  int64
	total   int64
	upTo    int64
}

// host stands for the gate and the store of a node. Connections may share it.
type host struct {
	objects  map[spec.Address][]byte
	chunk    func(corr uint64) int // most bytes in one DATA frame; nil = the protocol's
	admit    func() (spec.Reason, time.Duration)
	auth     func(st *Stream, capability []byte) (spec.Reason, time.Duration)
	fault    func(st *Stream, during EffectKind) spec.Reason // what the store says; Serve stands for reading
	inflight int
	held     int // uploads and downloads not yet released
}

// upload and download are what a stream's Host holds.
type upload struct {
	corr uint64
	buf  []byte
}

type download struct {
	corr uint64
	b    []byte
}

// serving is the during of host.fault while a chunk is read.
const serving EffectKind = 100

func newHost() *host { return &host{objects: map[spec.Address][]byte{}} }

func (h *host) put(b []byte) spec.Address {
	a := address(b)
	h.objects[a] = slices.Clone(b)
	return a
}

func address(b []byte) spec.Address { return blake3.Sum256(b) }

// newRig connects to the host at a time.
func newRig(tb rapid.TB, h *host, now time.Time) *rig {
	r := &rig{tb: tb, host: h, now: now, most: -1, dec: wire.NewDecoder(spec.MaxFrame), entries: map[uint64]*entry{}}
	r.c = New(Config{Admit: r.admit, Authorize: r.authorize, Transport: "tcp", Features: []string{"objects"}, Amnesia: true}, r.now)
	r.check()
	return r
}

func (r *rig) admit(now time.Time) (spec.Reason, time.Duration) {
	if !now.Equal(r.now) {
		r.tb.Fatalf("admission asked at %v, and it is %v", now, r.now)
	}
	if r.host.admit != nil {
		if reason, retry := r.host.admit(); reason != spec.None {
			return reason, retry
		}
	}
	r.host.inflight++
	r.admitted++
	return spec.None, 0
}

func (r *rig) authorize(now time.Time, st *Stream, capability []byte) (spec.Reason, time.Duration) {
	if !now.Equal(r.now) {
		r.tb.Fatalf("authorization asked at %v, and it is %v", now, r.now)
	}
	if r.host.auth == nil {
		return spec.None, 0
	}
	return r.host.auth(st, capability)
}

// entry returns what is remembered of a corr_id.
func (r *rig) entry(corr uint64) *entry {
	e := r.entries[corr]
	if e == nil {
		e = &entry{}
		r.entries[corr] = e
	}
	return e
}

// frame sends one frame.
func (r *rig) frame(f refwire.Frame) {
	f.Seal()
	r.bytes(refwire.Encode(f))
}

// bytes is one read of the shell: b arrives, and every frame that is complete goes to the session.
func (r *rig) bytes(b []byte) {
	r.tb.Helper()
	advanced := false
	for len(b) > 0 {
		n := copy(r.dec.Space(), b)
		b = b[n:]
		r.dec.Filled(n)
		var f wire.Frame
		for !r.c.Closing() {
			verdict, reason := r.dec.Next(&f)
			if verdict == wire.More {
				break
			}
			if verdict == wire.Reject {
				r.c.Reject(reason)
				break
			}
			advanced = true
			r.one(&f)
			r.dec.SetMaxFrame(r.c.MaxFrame())
		}
		if r.c.Closing() {
			break
		}
	}
	r.c.Partial(r.now, r.dec.Pending() > 0, advanced)
	r.settle()
}

// one hands one frame to the session, and holds a refused one to OAP-SES-015.
func (r *rig) one(f *wire.Frame) {
	const shape = spec.FlagReq | spec.FlagStart
	e, refused := r.entry(f.Corr), len(r.refusals)
	if f.Flags&shape == shape && !e.started {
		*e = entry{started: true, proto: f.Proto, tenant: f.Tenant, early: e.early}
	}
	var before []Stream
	if r.now.Before(r.c.due) { // else streams may time out first
		before = r.others(f.Corr)
	}
	objects, limit, last := len(r.host.objects), r.c.maxFrame, r.c.last
	r.c.Frame(r.now, f)
	r.apply()
	if len(r.refusals) > refused && !e.started && !r.c.Closing() {
		e.early++
	}
	if len(r.refusals) == refused || before == nil {
		return
	}
	if !r.c.Closing() && !reflect.DeepEqual(before, r.others(f.Corr)) {
		r.tb.Fatalf("OAP-SES-015: a refused frame on %d changed another stream", f.Corr)
	}
	if len(r.host.objects) != objects || r.c.maxFrame != limit {
		r.tb.Fatalf("OAP-SES-015: a refused frame changed the store or a limit")
	}
	if r.c.last != last && (f.Flags&shape != shape || r.c.last != f.Corr) {
		r.tb.Fatalf("OAP-SES-015: refused, and the highest corr_id went from %d to %d", last, r.c.last)
	}
}

// others is a copy of every open stream but one.
func (r *rig) others(corr uint64) []Stream {
	copies := []Stream{}
	for _, st := range r.c.streams {
		if st.Corr != corr {
			copies = append(copies, *st)
		}
	}
	return copies
}

// at moves the time on to t, as a shell does that has no other reason to look: with a Tick at each Deadline.
func (r *rig) at(t time.Time) {
	r.tb.Helper()
	for ticks := 0; !r.c.Closing() && !t.Before(r.c.Deadline()); ticks++ {
		if ticks > 1000 {
			r.tb.Fatalf("1,000 ticks, and the next one is due %v after the last", r.c.Deadline().Sub(r.now))
		}
		if d := r.c.Deadline(); d.After(r.now) {
			r.now = d
		}
		r.tick()
	}
	r.now = t
	r.settle()
}

func (r *rig) tick() {
	r.tb.Helper()
	r.c.Tick(r.now)
	if !r.c.Deadline().After(r.now) {
		r.tb.Fatalf("after a Tick the deadline is %v in the past", r.now.Sub(r.c.Deadline()))
	}
	r.settle()
}

// settle carries out the effects, moves what the transport takes, and checks.
func (r *rig) settle() {
	r.tb.Helper()
	r.apply()
	for !r.hold {
		before := len(r.wireOut)
		r.wireOut = r.c.TakeControl(r.wireOut)
		r.serve()
		if len(r.wireOut) == before && r.c.Pending() == 0 {
			break
		}
	}
	r.read()
	r.check()
}

// serve moves DATA frames to the transport, as many as it takes.
func (r *rig) serve() {
	for r.most != 0 {
		st, off, most, ok := r.c.NextData()
		if !ok {
			return
		}
		d, ok := st.Host.(*download)
		if !ok || d.corr != st.Corr {
			r.tb.Fatalf("stream %d is to send, and holds %v", st.Corr, st.Host)
		}
		if reason := r.host.says(st, serving); reason != spec.None {
			r.c.Fail(r.now, st, reason, 0)
			r.apply()
			continue
		}
		r.most--
		if r.host.chunk != nil {
			most = min(most, r.host.chunk(st.Corr))
		}
		body := d.b[off:min(off+int64(most), int64(len(d.b)))]
		r.wireOut = r.c.AppendData(r.now, r.wireOut, st, len(body))
		r.wireOut = append(r.wireOut, body...)
		r.apply()
	}
}

func (h *host) says(st *Stream, during EffectKind) spec.Reason {
	if h.fault == nil {
		return spec.None
	}
	return h.fault(st, during)
}

// apply carries out what the session asks for, and holds it to the order of the effects of one stream.
func (r *rig) apply() {
	for {
		e, ok := r.c.NextEffect()
		if !ok {
			return
		}
		if e.Kind == Refused {
			if e.Stream != nil || !e.Reason.Known() {
				r.tb.Fatalf("refused for %q, stream %v", e.Reason, e.Stream)
			}
			r.refusals = append(r.refusals, e.Reason)
			continue
		}
		st := e.Stream
		en := r.entry(st.Corr)
		bad := ""
		switch {
		case st.Corr == 0:
			bad = "no stream"
		case en.closed:
			bad = "after Closed"
		case e.Kind == Open && (en.opened || en.ran || en.dropped || st.Req.Op != wire.OpPut || st.Host != nil),
			e.Kind == Body && (!en.opened || en.ran || en.dropped || len(e.Bytes) == 0 || st.Host == nil),
			e.Kind == Run && (en.ran || en.dropped || en.opened != (st.Req.Op == wire.OpPut)),
			e.Kind == Drop && en.dropped:
			bad = "out of order"
		}
		if bad != "" {
			r.tb.Fatalf("effect %d of stream %d %s: %+v", e.Kind, st.Corr, bad, en)
		}
		r.carryOut(e, en)
	}
}

func (r *rig) carryOut(e Effect, en *entry) {
	st := e.Stream
	switch e.Kind {
	case Open:
		en.opened = true
		if reason := r.host.says(st, Open); reason != spec.None {
			r.c.Fail(r.now, st, reason, time.Second)
			return
		}
		st.Host = &upload{corr: st.Corr}
		r.host.held++
	case Body:
		u := st.Host.(*upload)
		if u.corr != st.Corr {
			r.tb.Fatalf("stream %d holds the put of %d", st.Corr, u.corr)
		}
		u.buf = append(u.buf, e.Bytes...)
		if reason := r.host.says(st, Body); reason != spec.None {
			r.c.Fail(r.now, st, reason, time.Second)
		}
	case Run:
		en.ran = true
		r.run(st)
	case Drop:
		en.dropped = true
		r.release(st)
	case Closed:
		en.closed = true
		if st.Host != nil {
			r.tb.Fatalf("stream %d is over and still holds %v", st.Corr, st.Host)
		}
		r.host.inflight--
		r.admitted--
	default:
		r.tb.Fatalf("effect %d", e.Kind)
	}
}

// release gives back what a stream holds.
func (r *rig) release(st *Stream) {
	switch h := st.Host.(type) {
	case nil:
		return
	case *upload:
		if h.corr != st.Corr {
			r.tb.Fatalf("stream %d holds the put of %d", st.Corr, h.corr)
		}
	case *download:
		if h.corr != st.Corr {
			r.tb.Fatalf("stream %d holds the get of %d", st.Corr, h.corr)
		}
	}
	st.Host = nil
	r.host.held--
}

// run carries out one request on the host.
func (r *rig) run(st *Stream) {
	if reason := r.host.says(st, Run); reason != spec.None {
		r.c.Fail(r.now, st, reason, time.Second)
		return
	}
	a := wire.Answer{Obj: st.Req.Obj}
	object, exists := r.host.objects[st.Req.Obj]
	reason := spec.None
	switch st.Req.Op {
	case wire.OpPut:
		u := st.Host.(*upload)
		if int64(len(u.buf)) != st.Req.TotalLen {
			r.tb.Fatalf("stream %d: %d bytes of %d came before Run", st.Corr, len(u.buf), st.Req.TotalLen)
		}
		a.Obj = address(u.buf)
		if st.Req.HasObj && a.Obj != st.Req.Obj {
			reason = spec.BadDigest
			break
		}
		_, there := r.host.objects[a.Obj]
		a.Created = !there
		r.host.put(u.buf)
		r.release(st)
	case wire.OpGet:
		size := int64(len(object))
		from, to := st.Req.Offset, size
		if st.Req.HasLen {
			to = min(from+st.Req.Len, size)
		}
		switch {
		case !exists:
			reason = spec.NotFound
		case from > size:
			reason = spec.BadRange
		default:
			st.Host = &download{st.Corr, object}
			r.host.held++
			r.c.Serve(r.now, st, st.Req.Obj, size, from, to)
			return
		}
	case wire.OpHas:
		a.Exists = exists
	case wire.OpStat:
		a.Size = int64(len(object))
	case wire.OpDelete:
		delete(r.host.objects, st.Req.Obj)
		a.Deleted = true
	}
	if !exists && (st.Req.Op == wire.OpStat || st.Req.Op == wire.OpDelete) {
		reason = spec.NotFound
	}
	if reason != spec.None {
		r.c.Fail(r.now, st, reason, time.Second)
		return
	}
	r.c.Answer(st, wire.AppendAnswer(nil, st.Req.Op, &a))
}

// finish cuts the transport: nothing may be left.
func (r *rig) finish() {
	r.tb.Helper()
	r.c.Lost()
	r.settle()
	r.dec.Close()
	if r.admitted != 0 {
		r.tb.Fatalf("ADM-CAP-006: at the end %d admissions are not paid back", r.admitted)
	}
	for corr, e := range r.entries {
		if (e.opened || e.ran || e.dropped) && !e.closed {
			r.tb.Fatalf("stream %d was never closed: %+v", corr, e)
		}
	}
}

// finished is finish for the host: no connection uses it any more.
func (h *host) finished(tb rapid.TB) {
	tb.Helper()
	if h.inflight != 0 || h.held != 0 {
		tb.Fatalf("ADM-CAP-006: at the end %d requests are in flight, and %d uploads and downloads are held", h.inflight, h.held)
	}
}

// describe is a frame from the node in the words of a script.
func describe(f *refwire.Frame) string {
	return fmt.Sprintf("%v code=%d proto=%#x corr=%d %.300q", f.Flags.Names(), f.Code, uint16(f.Proto), f.Corr, f.Payload)
}
