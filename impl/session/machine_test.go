package session

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// machine feeds one connection and the oracle the same things, and compares after every step.
type machine struct {
	*rig
	o      *oracle
	refuse spec.Reason // what admission says
	rest   []byte      // of a frame that was begun
	seen   int         // refusals compared
	chunk  int64

	opened  int // streams, in all connections
	reasons []spec.Reason
}

func newMachine(t *rapid.T) *machine {
	m := &machine{chunk: rapid.Int64Range(1, 50).Draw(t, "chunk")}
	h := newHost()
	h.admit = func() (spec.Reason, time.Duration) { return m.refuse, 10 * time.Millisecond }
	h.chunk = func(uint64) int { return int(m.chunk) }
	h.fault = func(st *Stream, during EffectKind) spec.Reason {
		switch {
		case !faulty(st.Corr, during):
			return spec.None
		case during == serving:
			return spec.Integrity
		}
		return spec.StoreFull
	}
	objects := map[spec.Address]int64{}
	for _, n := range []int{0, 1, 40, 2000} {
		objects[h.put(slices.Repeat([]byte("x"), n))] = int64(n)
	}
	m.connect(t, h, objects)
	return m
}

// connect opens a new connection to the node.
func (m *machine) connect(t *rapid.T, h *host, objects map[spec.Address]int64) {
	m.rig = newRig(t, h, epoch)
	m.o = newOracle(h.admit, m.now)
	m.o.objects = objects
	m.rest, m.seen = nil, 0
	if dice(10).Draw(t, "HELLO first") > 0 {
		m.send(refwire.Frame{Flags: spec.FlagReq, Payload: []byte("{}")})
	}
}

// count adds up what a walk came by.
func (m *machine) count() {
	for _, e := range m.entries {
		if e.closed {
			m.opened++
		}
	}
	m.reasons = append(m.reasons, m.refusals...)
}

// dice draws a number below n, each as likely as the others: IntRange prefers small ones, and a walk made of them
// ends soon.
func dice(n int) *rapid.Generator[int] {
	return rapid.Custom(func(t *rapid.T) int {
		v := 0
		for range 8 {
			v <<= 1
			if rapid.Bool().Draw(t, "") {
				v++
			}
		}
		return v % n
	})
}

// one draws an element, each as likely as the others.
func one[T any](t *rapid.T, label string, of ...T) T { return of[dice(len(of)).Draw(t, label)] }

// sizes are those of the objects that requests are about; the last one is never stored.
var sizes = []int{0, 1, 40, 2000, 7, 3333}

// send has the client send frames in one read, behind what is missing of an earlier one.
func (m *machine) send(frames ...refwire.Frame) {
	b := m.rest
	m.rest = nil
	for _, f := range frames {
		f.Seal()
		b = append(b, refwire.Encode(f)...)
	}
	m.input(b)
}

func (m *machine) input(b []byte) {
	if m.c.Closing() {
		return
	}
	m.bytes(b)
	m.o.read(m.now, b)
	m.flow()
}

// flow is the transport taking what it may.
func (m *machine) flow() {
	if !m.hold {
		m.o.flow(m.now, m.chunk)
	}
}

// compare is the check after every step. Behind a connection that ended comes the next one.
func (m *machine) compare(t *rapid.T) {
	m.same(t)
	if m.c.Closing() {
		m.hold = false
		m.finish()
		m.same(t)
		m.count()
		m.connect(t, m.host, m.o.objects)
	}
}

func (m *machine) same(t *rapid.T) {
	if m.c.Closing() != m.o.closed {
		t.Fatalf("closing: %v, and it should be %v", m.c.Closing(), m.o.closed)
	}
	is, want := []string{}, []string{}
	for _, st := range m.c.streams {
		is = append(is, fmt.Sprintf("%d half-closed %v, ended %v, sending %v", st.Corr, st.failed, st.ended, st.sending))
	}
	for _, corr := range m.o.corrs() {
		l := m.o.streams[corr]
		want = append(want, fmt.Sprintf("%d half-closed %v, ended %v, sending %v", corr, l.half, l.ended, l.serving))
	}
	if !slices.Equal(is, want) {
		t.Fatalf("open streams\n%v\nand they should be\n%v", is, want)
	}
	if d, ok := m.o.deadline(); ok && !d.Equal(m.c.Deadline()) {
		t.Fatalf("the next deadline is in %v, and it should be in %v", m.c.Deadline().Sub(m.now), d.Sub(m.now))
	}
	m.compareRefusals(t)
	if m.hold {
		return
	}
	for _, f := range m.got {
		if f.Flags == spec.FlagResp|spec.FlagEnd && f.Code == spec.CodeOK {
			if !m.o.answered[f.Corr] {
				t.Fatalf("answered: %s", describe(&f))
			}
			delete(m.o.answered, f.Corr)
		}
	}
	m.got = nil
	if len(m.o.answered) > 0 && !m.c.Closing() {
		t.Fatalf("not answered: %v", m.o.answered)
	}
}

// compareRefusals compares the reasons, at once, and the corr_ids when the frames are there.
func (m *machine) compareRefusals(t *rapid.T) {
	is := slices.Clone(m.refusals[m.seen:])
	want := []spec.Reason{}
	for _, e := range m.o.errors[m.seen:] {
		want = append(want, e.reason)
	}
	slices.Sort(is)
	slices.Sort(want)
	if !slices.Equal(is, want) {
		t.Fatalf("refused for %v, and it should be for %v", is, want)
	}
	m.seen = len(m.refusals)
	for _, f := range m.got {
		if f.Flags == spec.FlagResp|spec.FlagEnd && f.Code >= 400 {
			x, _ := refwire.DecodeError(f.Payload)
			if !slices.Contains(m.o.errors, refusal{f.Corr, x.Reason}) {
				t.Fatalf("an ERROR that should not be: %s", describe(&f))
			}
		}
	}
}

// pick draws a corr_id: mostly of an open stream, sometimes one that was, will be, or never can be open.
func (m *machine) pick(t *rapid.T) uint64 {
	open := m.o.corrs()
	switch n := dice(20).Draw(t, "which stream"); {
	case n < 17 && len(open) > 0:
		return one(t, "open stream", open...)
	case n < 18:
		return m.o.last
	case n < 19:
		return m.o.last + 1
	}
	return rapid.Uint64Range(1, m.o.last+2).Draw(t, "any stream")
}

// of makes a frame fit its stream.
func (m *machine) of(f refwire.Frame) refwire.Frame {
	f.Proto = spec.ProtoObjects
	if l := m.o.streams[f.Corr]; l != nil {
		f.Proto, f.Tenant = l.proto, l.tenant
	}
	return f
}

// start draws a request.
func (m *machine) start(t *rapid.T, corr uint64) refwire.Frame {
	f := refwire.Frame{Flags: spec.FlagReq | spec.FlagStart, Proto: spec.ProtoObjects, Corr: corr}
	if rapid.Bool().Draw(t, "ACK_REQ") {
		f.Flags |= spec.FlagAckReq
	}
	f.Tenant[0] = byte(dice(2).Draw(t, "tenant"))
	req := refwire.Request{Op: one(t, "op", "put", "put", "put", "get", "get", "has", "stat", "delete")}
	size := one(t, "object", sizes...)
	if req.Op == "put" {
		req.TotalLen = one[int64](t, "total_len", 0, 1, 7, 40, 70, 200, 2000, 64<<20, 64<<20+1)
		req.HasObj = dice(4).Draw(t, "named") == 0
	} else {
		req.HasObj = true
		if dice(10).Draw(t, "END apart") > 0 {
			f.Flags |= spec.FlagEnd
		}
	}
	if req.HasObj {
		req.Obj = address(slices.Repeat([]byte("x"), size))
	}
	if req.Op == "get" && rapid.Bool().Draw(t, "range") {
		req.Offset = rapid.Int64Range(0, 60).Draw(t, "offset")
		req.HasLen = rapid.Bool().Draw(t, "with len")
		req.Len = rapid.Int64Range(0, 60).Draw(t, "len")
	}
	f.Payload = refwire.EncodeRequest(req)
	return f
}

// body is n DATA frames that the stream may send next, if it is a put and its total allows.
func (m *machine) body(t *rapid.T, corr uint64, n int) (frames []refwire.Frame) {
	l := m.o.streams[corr]
	if l == nil {
		l = &life{}
	}
	off := l.got
	for range n {
		d := refwire.Data{Offset: off, TotalLen: l.req.TotalLen, Obj: l.req.Obj, HasObj: l.req.HasObj,
			Body: slices.Repeat([]byte("x"), one(t, "body", 1, 1, 1, 2, 40))}
		off += int64(len(d.Body))
		if dice(60).Draw(t, "gap") == 0 {
			d.Offset++
		}
		frames = append(frames, m.of(refwire.Frame{Flags: spec.FlagReq, Corr: corr, Payload: refwire.EncodeData(d)}))
	}
	return frames
}

// spoil changes one thing about a frame.
func spoil(t *rapid.T, f refwire.Frame) refwire.Frame {
	switch dice(8).Draw(t, "spoiled") {
	case 0:
		f.Code = spec.Code(one(t, "code", 1, 200, 202, 206, 499))
	case 1:
		f.Proto = spec.Proto(one(t, "proto", 0, 1, 0x102, 0x201))
	case 2:
		f.Tenant[5]++
	case 3:
		f.Flags ^= one(t, "flag", spec.FlagStart, spec.FlagEnd, spec.FlagAckReq, spec.FlagAppE2E)
	case 4:
		kinds := []spec.Flags{spec.FlagReq, spec.FlagResp, spec.FlagEvent}
		f.Flags = f.Flags&^spec.FlagsKind | one(t, "kind", kinds...)
	case 5:
		f.Payload = append(slices.Clone(f.Payload), 'x')
	case 6:
		f.Payload = f.Payload[:len(f.Payload)/2]
	case 7:
		f.Corr = rapid.Uint64Range(0, f.Corr+1).Draw(t, "corr")
	}
	return f
}

// frame draws a frame that the connection may well accept.
func (m *machine) draw(t *rapid.T) refwire.Frame {
	corr := m.pick(t)
	switch dice(6).Draw(t, "frame") {
	case 0, 1:
		return m.start(t, m.o.last+uint64(rapid.IntRange(1, 3).Draw(t, "corr_id up")))
	case 2:
		return m.body(t, corr, 1)[0]
	case 3:
		return m.of(refwire.Frame{Flags: spec.FlagReq | spec.FlagEnd, Corr: corr})
	case 4:
		return m.of(refwire.Frame{Flags: spec.FlagReq | spec.FlagEnd, Code: spec.CodeCancel, Corr: corr})
	}
	upTo := int64(rapid.IntRange(0, 3).Draw(t, "up_to"))
	if l := m.o.streams[corr]; l != nil && l.sent > 0 {
		upTo = min(l.credit+int64(dice(40).Draw(t, "up")), l.sent+1)
	}
	return m.of(refwire.Frame{Flags: spec.FlagEvent, Code: spec.CodeAck, Corr: corr, Payload: refwire.EncodeAck(upTo)})
}

// pause draws how long nothing happens: mostly a moment, sometimes just about one of the limits.
func pause(t *rapid.T, more ...int64) time.Duration {
	limits := append([]int64{5e9 - 1, 5e9, 2e9}, more...)
	if dice(5).Draw(t, "long") > 0 {
		return time.Duration(rapid.Int64Range(0, 5e8).Draw(t, "ns"))
	}
	return time.Duration(one(t, "ns", limits...))
}

func (m *machine) actions() map[string]func(*rapid.T) {
	rare := func(t *rapid.T, n int) {
		if dice(n).Draw(t, "really") > 0 {
			t.SkipNow()
		}
	}
	legal := func(t *rapid.T) { m.send(m.draw(t)) }
	burst := func(t *rapid.T) {
		corr := m.pick(t)
		if l := m.o.streams[corr]; l == nil || l.half || l.req.Op != "put" {
			t.SkipNow()
		}
		m.send(m.body(t, corr, 1+dice(40).Draw(t, "frames"))...)
	}
	return map[string]func(*rapid.T){
		"frame": legal, "frame 2": legal, "frame 3": legal,
		"burst": burst, "burst 2": burst,
		"spoiled frame": func(t *rapid.T) { m.send(spoil(t, m.draw(t))) },
		"many": func(t *rapid.T) {
			rare(t, 8)
			frames := []refwire.Frame{}
			for i := range uint64(30 + dice(40).Draw(t, "streams")) {
				frames = append(frames, refwire.Frame{Flags: spec.FlagReq | spec.FlagStart, Proto: spec.ProtoObjects,
					Corr: m.o.last + 1 + i, Payload: refwire.EncodeRequest(refwire.Request{Op: "put", TotalLen: 40})})
			}
			m.send(frames...)
		},
		"half a frame": func(t *rapid.T) {
			f := m.draw(t)
			f.Seal()
			b := append(m.rest, refwire.Encode(f)...)
			cut := rapid.IntRange(1, len(b)-1).Draw(t, "cut")
			m.rest = slices.Clone(b[cut:])
			m.input(b[:cut])
		},
		"HELLO": func(t *rapid.T) {
			if m.o.greeted {
				rare(t, 20)
			}
			h := refwire.Hello{AcceptMaxFrame: one[int64](t, "accept_max_frame", 0, 1, 4096, 1<<30)}
			m.send(refwire.Frame{Flags: spec.FlagReq, Payload: refwire.EncodeHello(h)})
		},
		"garbage": func(t *rapid.T) {
			rare(t, 20)
			m.rest = nil
			m.input(rapid.SliceOfN(rapid.Byte(), 4, 60).Draw(t, "bytes"))
		},
		"wait": func(t *rapid.T) {
			until := m.now.Add(pause(t, 60e9-1, 60e9))
			for next, ok := m.o.deadline(); ok && !next.After(until); next, ok = m.o.deadline() {
				if next.Before(m.now) {
					next = m.now // after a wait without a look
				}
				m.at(next)
				m.o.pass(next)
				m.flow()
			}
			m.at(until)
		},
		"wait without a look": func(t *rapid.T) {
			m.now = m.now.Add(pause(t))
		},
		"transport": func(t *rapid.T) {
			m.hold = rapid.Bool().Draw(t, "hold")
			m.settle()
			m.flow()
		},
		"admission": func(t *rapid.T) {
			m.refuse = one(t, "reason", spec.None, spec.None, spec.None, spec.None, spec.None, spec.Quota, spec.Draining)
		},
		"EOF": func(t *rapid.T) {
			rare(t, 20)
			if m.o.eof {
				t.SkipNow()
			}
			m.c.EOF()
			m.settle()
			m.o.hangUp()
			m.flow()
		},
		"drain": func(t *rapid.T) {
			rare(t, 20)
			by := m.now.Add(time.Duration(rapid.Int64Range(0, 5e9).Draw(t, "ns")))
			m.c.Drain(m.now, by)
			m.settle()
			m.o.drain(m.now, by)
			m.flow()
		},
		"": m.compare,
	}
}

// TestMachine walks a connection and the oracle through the same random life.
func TestMachine(t *testing.T) {
	opened, refused := 0, map[spec.Reason]int{}
	rapid.Check(t, func(t *rapid.T) {
		m := newMachine(t)
		for range 12 { // t.Repeat is about 30 steps
			t.Repeat(m.actions())
		}
		m.finish()
		m.host.finished(t)
		m.count()
		opened += m.opened
		for _, r := range m.reasons {
			refused[r]++
		}
	})
	t.Logf("%d streams, refusals: %v", opened, refused)
	if opened < 500 && !testing.Short() || len(refused) < 15 && !testing.Short() {
		t.Errorf("a walk that goes nowhere: %d streams, refusals: %v", opened, refused)
	}
}
