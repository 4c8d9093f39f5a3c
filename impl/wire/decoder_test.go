package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/spec"
)

// outcome is all that one can see of a Decoder at the end of a stream.
type outcome struct {
	frames  []Frame // with slices of their own
	verdict Verdict
	reason  spec.Reason
	pending int
}

// String makes outcomes comparable and readable.
func (o outcome) String() string {
	var b strings.Builder
	for _, f := range o.frames {
		fmt.Fprintf(&b, "%+v cap %x payload %x data %x; ", f.Header, f.Cap, f.Payload, f.Data)
	}
	fmt.Fprintf(&b, "%v %q pending %d", o.verdict, o.reason, o.pending)
	return b.String()
}

// take asks for frames until there is none, and copies them.
func (o *outcome) take(d *Decoder) {
	var f Frame
	for {
		o.verdict, o.reason = d.Next(&f)
		if o.verdict != Accept {
			return
		}
		c := f
		c.Cap, c.Payload, c.Data = bytes.Clone(f.Cap), bytes.Clone(f.Payload), bytes.Clone(f.Data)
		o.frames = append(o.frames, c)
	}
}

// feed gives the pieces to d one after the other, asks for frames after each read, and closes d.
func feed(d *Decoder, pieces ...[]byte) outcome {
	defer d.Close()
	var o outcome
	o.take(d)
	for _, p := range pieces {
		for len(p) > 0 && o.verdict != Reject {
			n := copy(d.Space(), p)
			d.Filled(n)
			p = p[n:]
			o.take(d)
		}
	}
	if o.verdict != Reject {
		o.pending = d.Pending()
	}
	return o
}

// feedLate gives all of b to d before it asks for the first frame.
func feedLate(d *Decoder, b []byte) outcome {
	defer d.Close()
	for len(b) > 0 {
		n := copy(d.Space(), b)
		d.Filled(n)
		b = b[n:]
	}
	var o outcome
	o.take(d)
	if o.verdict != Reject {
		o.pending = d.Pending()
	}
	return o
}

// bytewise cuts b into single bytes.
func bytewise(b []byte) [][]byte {
	var pieces [][]byte
	for i := range b {
		pieces = append(pieces, b[i:i+1])
	}
	return pieces
}

// frame encodes a legal frame.
func frame(t testing.TB, h Header, capability, payload []byte) []byte {
	t.Helper()
	b, err := AppendFrame(nil, &h, capability, payload)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// edited is b with one byte set.
func edited(b []byte, at int, v byte) []byte {
	b = bytes.Clone(b)
	b[at] = v
	return b
}

// streams are byte streams for the tests about splitting: legal, illegal and unfinished ones.
func streams(t testing.TB) map[string][]byte {
	req := Header{Flags: spec.FlagReq, Proto: spec.ProtoObjects, Corr: 1}
	start := Header{Flags: spec.FlagReq | spec.FlagStart, Proto: spec.ProtoObjects, Corr: 1, Tenant: [16]byte{1, 15: 2}}
	comp := Header{Flags: spec.FlagReq | spec.FlagComp, Corr: 1}
	empty := frame(t, req, nil, nil)
	plain := frame(t, req, nil, sampleText(100))
	withCap := frame(t, start, []byte("capability"), []byte(`{"op":"get"}`))
	packed := frame(t, comp, nil, compressed(t, sampleText(300)))
	broken := bytes.Clone(packed)
	broken[len(broken)-1] ^= 1
	return map[string][]byte{
		"empty frame":      empty,
		"payload":          plain,
		"capability":       withCap,
		"compressed":       packed,
		"three frames":     bytes.Join([][]byte{withCap, plain, empty}, nil),
		"and a rest":       append(bytes.Clone(plain), withCap[:50]...),
		"len 37":           edited(empty, 3, 37),
		"len above":        edited(empty, 0, 1),
		"version":          edited(plain, 5, 2),
		"reserved flag":    edited(plain, 6, 1),
		"two kinds":        edited(plain, 7, 3),
		"cap, no START":    edited(plain, 29, 1),
		"cap too long":     edited(withCap, 29, 23),
		"broken zstd":      broken,
		"good, then bad":   append(bytes.Clone(plain), edited(plain, 6, 1)...),
		"bad, then good":   append(edited(plain, 6, 1), plain...),
		"no frame at all":  []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
		"compressed chain": bytes.Join([][]byte{packed, packed, empty, packed[:60]}, nil),
	}
}

// TestSplits is OAP-FRM-010: the same bytes give the same verdict, reason and frames however they are cut, and
// however late the frames are asked for.
func TestSplits(t *testing.T) {
	for name, b := range streams(t) {
		want := feed(NewDecoder(spec.MaxFrame), b).String()
		check := func(how string, got outcome) {
			t.Helper()
			if got.String() != want {
				t.Errorf("%s, %s:\n got %v\nwant %v", name, how, got, want)
			}
		}
		check("late", feedLate(NewDecoder(spec.MaxFrame), b))
		check("byte by byte", feed(NewDecoder(spec.MaxFrame), bytewise(b)...))
		for i := range len(b) + 1 {
			check(fmt.Sprintf("cut at %d", i), feed(NewDecoder(spec.MaxFrame), b[:i], b[i:]))
		}
	}
}

// TestPrefixes is OAP-FRM-010 as well: a proper prefix of a legal frame is neither an error nor a frame.
func TestPrefixes(t *testing.T) {
	for _, name := range []string{"empty frame", "payload", "capability", "compressed"} {
		b := streams(t)[name]
		for n := range b {
			got := feed(NewDecoder(spec.MaxFrame), b[:n])
			if got.verdict != More || got.reason != spec.None || len(got.frames) != 0 || got.pending != n {
				t.Errorf("%s, first %d bytes: %v", name, n, got)
			}
		}
		got := feed(NewDecoder(spec.MaxFrame), b)
		if len(got.frames) != 1 || got.verdict != More || got.pending != 0 {
			t.Fatalf("%s, all bytes: %v", name, got)
		}
		f := got.frames[0]
		again, err := AppendFrame(nil, &f.Header, f.Cap, f.Payload)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: encodes again to other bytes (OAP-FRM-013), error %v", name, err)
		}
	}
}

// TestRejectAt is OAP-FRM-002 to OAP-FRM-008: a rejection comes with the first byte that justifies it.
func TestRejectAt(t *testing.T) {
	all := streams(t)
	tests := []struct {
		name   string
		at     int
		reason spec.Reason
	}{
		{"len 37", 4, spec.Malformed},
		{"len above", 4, spec.Oversize},
		{"version", 38, spec.BadVersion},
		{"reserved flag", 38, spec.BadFlags},
		{"two kinds", 38, spec.BadFlags},
		{"cap, no START", 38, spec.CapOnNonStart},
		{"cap too long", 38, spec.CapOutOfBounds},
		{"broken zstd", len(all["broken zstd"]), spec.BadZstd},
	}
	for _, tc := range tests {
		b := all[tc.name]
		if got := feed(NewDecoder(spec.MaxFrame), b[:tc.at-1]); got.verdict != More {
			t.Errorf("%s, %d bytes: %v, want more", tc.name, tc.at-1, got)
		}
		got := feed(NewDecoder(spec.MaxFrame), b[:tc.at])
		if got.verdict != Reject || got.reason != tc.reason || len(got.frames) != 0 {
			t.Errorf("%s, %d bytes: %v, want %q", tc.name, tc.at, got, tc.reason)
		}
	}
}

// TestRejectIsFinal: nothing behind a rejection is looked at.
func TestRejectIsFinal(t *testing.T) {
	d := NewDecoder(spec.MaxFrame)
	defer d.Close()
	good := frame(t, Header{Flags: spec.FlagReq}, nil, nil)
	d.Filled(copy(d.Space(), edited(good, 5, 9)))
	var f Frame
	for range 3 {
		if v, r := d.Next(&f); v != Reject || r != spec.BadVersion {
			t.Fatalf("%v %q, want reject bad_version", v, r)
		}
		s := d.Space()
		if len(s) < len(good) {
			t.Fatalf("Space of %d bytes", len(s))
		}
		d.Filled(copy(s, good))
	}
}

// TestSetMaxFrame is OAP-HEL-006: a lower limit binds the next frame, bytes already read included.
func TestSetMaxFrame(t *testing.T) {
	d := NewDecoder(spec.MaxFrame)
	defer d.Close()
	long := frame(t, Header{Flags: spec.FlagReq}, nil, make([]byte, spec.MinMaxFrame-spec.HeaderLen))
	tooLong := frame(t, Header{Flags: spec.FlagReq}, nil, make([]byte, spec.MinMaxFrame-spec.HeaderLen+1))
	rest := bytes.Join([][]byte{tooLong, long, tooLong}, nil)
	var f Frame
	next := func() (Verdict, spec.Reason) {
		for {
			v, r := d.Next(&f)
			if v != More || len(rest) == 0 {
				return v, r
			}
			n := copy(d.Space(), rest)
			d.Filled(n)
			rest = rest[n:]
		}
	}
	if v, _ := next(); v != Accept || int(f.Len) != len(tooLong) {
		t.Fatalf("before: %v, len %d", v, f.Len)
	}
	d.SetMaxFrame(spec.MinMaxFrame)
	if v, _ := next(); v != Accept || int(f.Len) != len(long) {
		t.Fatalf("at the limit: %v, len %d", v, f.Len)
	}
	if v, r := next(); v != Reject || r != spec.Oversize {
		t.Fatalf("above: %v %q", v, r)
	}
}

// TestClaimHoldsNoMemory is OAP-FRM-011: a frame that claims 1 MiB (or 4 GiB) and comes byte by byte never
// makes the decoder hold more than what came, plus a constant.
func TestClaimHoldsNoMemory(t *testing.T) {
	h := Header{Len: spec.MaxFrame, Ver: 1, Flags: spec.FlagReq}
	var b [spec.HeaderLen]byte
	h.Encode(&b)
	stream := append(b[:], make([]byte, spec.MaxFrame-spec.HeaderLen)...)
	for _, step := range []int{1, 7, 1000, 1 << 20} {
		d := NewDecoder(spec.MaxFrame)
		var f Frame
		moved, last := 0, 0
		for sent := 0; sent < len(stream); {
			s := d.Space()
			if len(s) == 0 {
				t.Fatalf("step %d: empty Space after %d bytes", step, sent)
			}
			held, limit := cap(d.buf), sent+max(stepCap, d.want)
			if sent < restCap {
				limit = 3 * restCap // a stranger who sent little gets little
			}
			if held > limit {
				t.Fatalf("step %d: %d bytes held after %d arrived, limit %d", step, held, sent, limit)
			}
			if held != last {
				moved += sent
				last = held
			}
			n := copy(s[:min(step, len(s))], stream[sent:])
			d.Filled(n)
			sent += n
			v, r := d.Next(&f)
			if (v == Accept) != (sent == len(stream)) || v == Reject {
				t.Fatalf("step %d: %v %q after %d bytes", step, v, r, sent)
			}
		}
		if moved > 16*len(stream) {
			t.Errorf("step %d: %d bytes copied to make room for %d", step, moved, len(stream))
		}
		// What a large frame took goes back once the stream is at rest.
		if d.Space(); cap(d.buf) > bulkCap {
			t.Errorf("step %d: %d bytes held at rest", step, cap(d.buf))
		}
		d.Close()
		if d.buf != nil {
			t.Errorf("step %d: memory held after Close", step)
		}
	}
}

// TestMemoryStaysBounded sends all kinds of frame sizes in all kinds of pieces, always with the begin of one
// more frame behind, and holds the two invariants of the Decoder after every step.
func TestMemoryStaysBounded(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	sizes := []int{0, 1, 60, 1000, 4000, 20_000, 66_000, 300_000, spec.MaxFrame - spec.HeaderLen}
	payload := bytes.Repeat([]byte{0xee}, spec.MaxFrame)
	d := NewDecoder(spec.MaxFrame)
	defer d.Close()
	var stream []byte
	var f Frame
	var sent, got []int
	for round := range 3000 {
		for len(stream) < 3000 {
			size := sizes[rnd.IntN(len(sizes)-round%len(sizes))]
			stream = append(stream, frame(t, Header{Flags: spec.FlagReq, Corr: uint64(round)}, nil, payload[:size])...)
			sent = append(sent, size)
		}
		old := d.buf
		s := d.Space()
		if len(old) > 0 && &old[0] != &d.buf[0] && dirty(old) > 0 {
			t.Fatalf("round %d: bytes left in the buffer before this one", round)
		}
		if limit := d.Pending() + max(stepCap, d.want); len(s) == 0 || cap(d.buf) > limit || d.want > bulkCap {
			t.Fatalf("round %d: space %d, held %d, limit %d, want %d", round, len(s), cap(d.buf), limit, d.want)
		}
		cleanOutside(t, d)
		most := []int{1, 100, 2000, 1 << 20}[rnd.IntN(4)]
		n := copy(s[:min(len(s), most)], stream)
		d.Filled(n)
		stream = stream[n:]
		for rnd.IntN(8) > 0 {
			v, r := d.Next(&f)
			if v == Reject {
				t.Fatalf("round %d: %q", round, r)
			}
			cleanOutside(t, d)
			if v == More {
				break
			}
			got = append(got, len(f.Payload))
			if !bytes.Equal(f.Payload, payload[:len(f.Payload)]) {
				t.Fatalf("round %d: payload damaged", round)
			}
		}
	}
	if len(got) < 500 || fmt.Sprint(got) != fmt.Sprint(sent[:len(got)]) {
		t.Errorf("%d frames came out, or in another order than they went in", len(got))
	}
}

// cleanOutside checks that the buffer is zero wherever it holds neither unread bytes nor the last frame.
func cleanOutside(t *testing.T, d *Decoder) {
	t.Helper()
	if n := dirty(d.buf[:d.r-d.taken]) + dirty(d.buf[d.w:cap(d.buf)]); n > 0 {
		t.Fatalf("%d bytes of older frames in the buffer", n)
	}
}

// dirty counts the bytes that are not zero.
func dirty(b []byte) int { return len(b) - bytes.Count(b, []byte{0}) }

// TestViewsAreCleared: what Next hands out is overwritten by each of the calls that end its life.
func TestViewsAreCleared(t *testing.T) {
	comp := Header{Flags: spec.FlagReq | spec.FlagStart | spec.FlagComp}
	b := frame(t, comp, []byte("capability"), compressed(t, sampleText(5000)))
	ends := map[string]func(*Decoder){
		"Space": func(d *Decoder) { d.Space() },
		"Next":  func(d *Decoder) { d.Next(new(Frame)) },
		"Close": func(d *Decoder) { d.Close() },
	}
	for name, end := range ends {
		d := NewDecoder(spec.MaxFrame)
		d.Filled(copy(d.Space(), append(bytes.Clone(b), b[:40]...)))
		var f Frame
		if v, r := d.Next(&f); v != Accept || !bytes.Equal(f.Data, sampleText(5000)) || string(f.Cap) != "capability" {
			t.Fatalf("%v %q", v, r)
		}
		if cap(f.Cap) != len(f.Cap) || cap(f.Payload) != len(f.Payload) || cap(f.Data) != len(f.Data) {
			t.Error("a view can be appended to without a copy")
		}
		buf := d.buf
		end(d)
		if dirty(f.Cap)+dirty(f.Payload)+dirty(f.Data) > 0 {
			t.Errorf("%s leaves the frame's bytes in memory", name)
		}
		d.Close()
		if dirty(buf) > 0 {
			t.Errorf("%s and Close leave bytes in memory", name)
		}
	}
}

// TestRejectClears: the bytes of a rejected frame do not stay either.
func TestRejectClears(t *testing.T) {
	d := NewDecoder(spec.MaxFrame)
	bad := edited(frame(t, Header{Flags: spec.FlagReq}, nil, []byte("secret")), 5, 9)
	d.Filled(copy(d.Space(), bad))
	if v, _ := d.Next(new(Frame)); v != Reject {
		t.Fatal("not rejected")
	}
	buf := d.buf
	if d.Space(); dirty(buf) > 0 {
		t.Error("Space after a rejection leaves bytes in memory")
	}
	d.Close()
}

// TestFilledPanics: a count that can not be true is a fault of the caller.
func TestFilledPanics(t *testing.T) {
	calls := map[string]func(*Decoder){
		"too many":      func(d *Decoder) { d.Filled(len(d.Space()) + 1) },
		"negative":      func(d *Decoder) { d.Space(); d.Filled(-1) },
		"without Space": func(d *Decoder) { d.Filled(1) },
		"twice":         func(d *Decoder) { d.Space(); d.Filled(1); d.Filled(1) },
	}
	for name, call := range calls {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			call(NewDecoder(spec.MaxFrame))
		}()
	}
}

// TestReadSizes: reads grow with the traffic and shrink without it.
func TestReadSizes(t *testing.T) {
	d := NewDecoder(spec.MaxFrame)
	defer d.Close()
	if n := len(d.Space()); n != restCap {
		t.Errorf("a new decoder reads %d bytes", n)
	}
	chunk := frame(t, Header{Flags: spec.FlagReq}, nil, make([]byte, spec.MaxChunk))
	var f Frame
	pump := func(stream []byte, read int) {
		for len(stream) > 0 {
			s := d.Space()
			n := copy(s[:min(read, len(s))], stream)
			d.Filled(n)
			stream = stream[n:]
			for v, r := d.Next(&f); v != More; v, r = d.Next(&f) {
				if v == Reject {
					t.Fatal(r)
				}
			}
		}
	}
	pump(bytes.Repeat(chunk, 20), 1<<20)
	if n := len(d.Space()); n != bulkCap {
		t.Errorf("after bulk traffic it reads %d bytes, want %d", n, bulkCap)
	}
	small := frame(t, Header{Flags: spec.FlagReq}, nil, make([]byte, 100))
	pump(bytes.Repeat(small, 1000), len(small))
	if n := len(d.Space()); n != restCap {
		t.Errorf("after small traffic it reads %d bytes, want %d", n, restCap)
	}
}

// TestDecoderAllocs: without COMP a connection that found its read size allocates nothing.
func TestDecoderAllocs(t *testing.T) {
	for _, size := range frameSizes {
		b := frame(t, Header{Flags: spec.FlagReq}, nil, make([]byte, size.n))
		d := NewDecoder(spec.MaxFrame)
		var f Frame
		var out []byte
		once := func() {
			for rest := b; len(rest) > 0; {
				n := copy(d.Space(), rest)
				d.Filled(n)
				rest = rest[n:]
				if v, r := d.Next(&f); v == Reject || (v == Accept) != (len(rest) == 0) {
					t.Fatal(v, r)
				}
			}
			var err error
			if out, err = AppendFrame(out[:0], &f.Header, f.Cap, f.Payload); err != nil {
				t.Fatal(err)
			}
		}
		for range 10 {
			once()
		}
		if n := testing.AllocsPerRun(500, once); n != 0 {
			t.Errorf("%s: %v allocations per frame", size.name, n)
		}
		d.Close()
	}
}

// TestStreamAllocs: nor does a stream of frames of mixed sizes, in reads that end anywhere.
func TestStreamAllocs(t *testing.T) {
	var stream []byte
	for i, n := range []int{60, 65_600, 65_600, 0, 20_000, 5, 5000, 65_600, 100, 100} {
		stream = append(stream, frame(t, Header{Flags: spec.FlagReq, Corr: uint64(i)}, nil, make([]byte, n))...)
	}
	for _, read := range []int{100, 1460, 10_007, 16 << 10, 1 << 20} {
		d := NewDecoder(spec.MaxFrame)
		var f Frame
		rest := stream
		once := func() { // one read further round and round the stream
			s := d.Space()
			n := copy(s[:min(read, len(s))], rest)
			d.Filled(n)
			if rest = rest[n:]; len(rest) == 0 {
				rest = stream
			}
			for v, r := d.Next(&f); v != More; v, r = d.Next(&f) {
				if v == Reject {
					t.Fatal(r)
				}
			}
		}
		rounds := 3 * len(stream) / min(read, 4096)
		for range rounds {
			once()
		}
		// AllocsPerRun rounds down, so that all the reads have to be one run.
		if n := testing.AllocsPerRun(1, func() {
			for range rounds {
				once()
			}
		}); n != 0 {
			t.Errorf("reads of %d bytes: %v allocations in %d reads", read, n, rounds)
		}
		d.Close()
	}
}

// TestPending counts what Next has not handed out.
func TestPending(t *testing.T) {
	d := NewDecoder(spec.MaxFrame)
	defer d.Close()
	b := frame(t, Header{Flags: spec.FlagReq}, nil, []byte("12345"))
	d.Filled(copy(d.Space(), append(bytes.Clone(b), b[:7]...)))
	if got := d.Pending(); got != len(b)+7 {
		t.Errorf("before Next: %d", got)
	}
	var f Frame
	for _, want := range []Verdict{Accept, More} {
		if v, _ := d.Next(&f); v != want || d.Pending() != 7 {
			t.Errorf("%v with %d pending", v, d.Pending())
		}
	}
	if binary.BigEndian.Uint32(b) != f.Len {
		t.Errorf("Len %d", f.Len)
	}
}
