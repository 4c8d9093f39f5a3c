package session

import (
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// bench is a connection behind HELLO with a host that does next to nothing: what is measured is the session.
type bench struct {
	b      testing.TB
	c      *Conn
	now    time.Time
	out    []byte
	reply  []byte
	object []byte
	bodies int
}

func newBench(b testing.TB) *bench {
	x := &bench{b: b, now: epoch, object: make([]byte, 1024), out: make([]byte, 0, 64<<10)}
	x.c = New(Config{
		Admit:     func(time.Time) (spec.Reason, time.Duration) { return spec.None, 0 },
		Authorize: func(time.Time, *Stream, []byte) (spec.Reason, time.Duration) { return spec.None, 0 },
		Transport: "tcp", Features: []string{"objects"}, Amnesia: true,
	}, x.now)
	x.frame(&wire.Frame{Header: wire.Header{Flags: spec.FlagReq}, Payload: []byte("{}")})
	return x
}

// frame is what the shell does for one frame.
func (x *bench) frame(f *wire.Frame) {
	x.now = x.now.Add(time.Microsecond)
	f.Data = f.Payload
	x.c.Frame(x.now, f)
	x.apply()
}

func (x *bench) apply() {
	for {
		e, ok := x.c.NextEffect()
		if !ok {
			return
		}
		switch e.Kind {
		case Body:
			x.bodies += len(e.Bytes)
		case Run:
			st := e.Stream
			if st.Req.Op == wire.OpGet {
				x.c.Serve(x.now, st, st.Req.Obj, int64(len(x.object)), 0, int64(len(x.object)))
				break
			}
			x.reply = wire.AppendAnswer(x.reply[:0], st.Req.Op, &wire.Answer{Obj: st.Req.Obj})
			x.c.Answer(st, x.reply)
		case Refused:
			x.b.Fatal(e.Reason)
		}
	}
}

// take is what the writer does.
func (x *bench) take() {
	x.out = x.c.TakeControl(x.out[:0])
	for {
		st, _, most, ok := x.c.NextData()
		if !ok {
			break
		}
		n := min(most, len(x.object))
		x.out = x.c.AppendData(x.now, x.out, st, n)
		x.apply()
	}
	x.out = x.c.TakeControl(x.out)
	if len(x.out) == 0 {
		x.b.Fatal("no answer")
	}
}

func head(flags spec.Flags, corr uint64) wire.Header {
	return wire.Header{Flags: spec.FlagReq | flags, Proto: spec.ProtoObjects, Corr: corr}
}

// put is START, DATA, END and the answer.
func (x *bench) put(flags spec.Flags, corr uint64, request []byte, chunks ...[]byte) {
	x.frame(&wire.Frame{Header: head(spec.FlagStart|flags, corr), Payload: request})
	for _, p := range chunks {
		x.frame(&wire.Frame{Header: head(0, corr), Payload: p})
	}
	x.frame(&wire.Frame{Header: head(spec.FlagEnd, corr)})
	x.take()
}

// get is START|END, one DATA frame and the answer.
func (x *bench) get(corr uint64, request []byte) {
	x.frame(&wire.Frame{Header: head(spec.FlagStart|spec.FlagEnd, corr), Payload: request})
	x.take()
}

// refused is a frame for a stream that does not exist.
func (x *bench) refused(f *wire.Frame) {
	x.now = x.now.Add(time.Microsecond)
	x.c.Frame(x.now, f)
	for {
		if _, ok := x.c.NextEffect(); !ok {
			break
		}
	}
	x.take()
}

// payloads are those of a put of 1 KiB and of a get.
func payloads() (put, chunk, get []byte) {
	put = wire.AppendRequest(nil, &wire.Request{Op: wire.OpPut, TotalLen: 1024})
	chunk = append(wire.AppendDataHeader(nil, &wire.DataHeader{TotalLen: 1024}), make([]byte, 1024)...)
	return put, chunk, wire.AppendRequest(nil, &wire.Request{Op: wire.OpGet, HasObj: true})
}

// A request costs no memory once a connection has seen some, and neither does a refusal.
func TestAllocations(t *testing.T) {
	x := newBench(t)
	put, chunk, get := payloads()
	stray := wire.Frame{Header: head(spec.FlagEnd, 1<<60)}
	corr := uint64(0)
	for name, f := range map[string]func(){
		"put":            func() { corr++; x.put(0, corr, put, chunk) },
		"put with ACKs":  func() { corr++; x.put(spec.FlagAckReq, corr, put, chunk) },
		"get":            func() { corr++; x.get(corr, get) },
		"refused frame":  func() { x.refused(&stray) },
		"tick, deadline": func() { x.c.Tick(x.now); x.c.Deadline() },
	} {
		if n := testing.AllocsPerRun(200, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// ADM-CAP-009: a flood of refusals leaves nothing behind once the transport took the answers.
func TestFloodLeavesNoMemory(t *testing.T) {
	x := newBench(t)
	x.out = x.c.TakeControl(x.out[:0])
	f := wire.Frame{Header: head(spec.FlagEnd, 1)}
	for x.c.Pending() < 4*maxIdleOut {
		f.Corr++
		x.c.Frame(x.now, &f)
		if e, ok := x.c.NextEffect(); !ok || e.Kind != Refused {
			t.Fatal("a refusal was not reported")
		}
		if _, ok := x.c.NextEffect(); ok {
			t.Fatal("a refusal was reported twice")
		}
	}
	x.out = x.c.TakeControl(x.out[:0])
	if held := cap(x.c.out); held > maxIdleOut || x.c.Pending() != 0 || len(x.out) < 4*maxIdleOut {
		t.Errorf("%d bytes were taken, and %d are still held", len(x.out), held)
	}
	if n := cap(x.c.effects) + cap(x.c.free) + cap(x.c.streams); n > 64 {
		t.Errorf("room for %d effects and streams is still held", n)
	}
}

// BenchmarkSessionPut1KiB is START, DATA, END and the answer.
func BenchmarkSessionPut1KiB(b *testing.B) {
	b.ReportAllocs()
	x := newBench(b)
	request, chunk, _ := payloads()
	corr := uint64(0)
	for b.Loop() {
		corr++
		x.put(0, corr, request, chunk)
	}
	if x.bodies != int(corr)*1024 {
		b.Fatalf("%d bytes of %d objects came through", x.bodies, corr)
	}
}

// BenchmarkSessionPutAcked is a put of 1 MiB in 16 chunks with ACKs, beside 63 other streams.
func BenchmarkSessionPutAcked(b *testing.B) {
	b.ReportAllocs()
	x := newBench(b)
	for corr := range uint64(spec.MaxStreams - 1) {
		x.frame(&wire.Frame{Header: head(spec.FlagStart, corr+1), Payload: wire.AppendRequest(nil, &wire.Request{Op: wire.OpPut, TotalLen: 1})})
	}
	const total = 16 << 16
	request := wire.AppendRequest(nil, &wire.Request{Op: wire.OpPut, TotalLen: total})
	var chunks [16][]byte
	for i := range chunks {
		chunks[i] = append(wire.AppendDataHeader(nil, &wire.DataHeader{Offset: int64(i) << 16, TotalLen: total}), make([]byte, 1<<16)...)
	}
	corr := uint64(spec.MaxStreams)
	for b.Loop() {
		x.now = epoch // or the other streams would time out
		corr++
		x.put(spec.FlagAckReq, corr, request, chunks[:]...)
	}
}

// BenchmarkSessionGet is START|END, one DATA frame and the answer.
func BenchmarkSessionGet(b *testing.B) {
	b.ReportAllocs()
	x := newBench(b)
	_, _, request := payloads()
	corr := uint64(0)
	for b.Loop() {
		corr++
		x.get(corr, request)
	}
}

// BenchmarkSessionRefused is what a flood of frames for streams that do not exist costs.
func BenchmarkSessionRefused(b *testing.B) {
	b.ReportAllocs()
	x := newBench(b)
	f := wire.Frame{Header: head(spec.FlagEnd, 7)}
	for b.Loop() {
		x.refused(&f)
	}
}
