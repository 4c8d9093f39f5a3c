package wire

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"github.com/rustyonions/micronode/spec"
	"github.com/rustyonions/micronode/spec/vectors"
)

// everySplit is the length up to which a vector is cut at every offset. Longer ones are cut around every offset
// where something can change, and at some others: all cuts of a frame of 1 MiB would be 10^12 bytes. The few with
// payloads of megabytes get fewer, and fewer still where the race detector slows them down.
const everySplit = 2 << 10

// splits are the offsets at which to cut v.
func splits(v *vectors.Frame) []int {
	n := len(v.Bytes)
	every := everySplit
	if raceDetector {
		every /= 4
	}
	var cuts []int
	if n <= every {
		for i := range n + 1 {
			cuts = append(cuts, i)
		}
		return cuts
	}
	near := []int{0, 4, spec.HeaderLen, restCap, stepCap, bulkCap, v.DecidedAt, n}
	if v.Fields != nil {
		near = append(near, spec.HeaderLen+int(v.Fields.CapLen))
	}
	around, others := 2, 60
	switch {
	case n > 64<<10 && raceDetector:
		near, around, others = []int{spec.HeaderLen, n - 1}, 0, 2
	case n > 64<<10:
		around, others = 1, 10
	}
	for _, at := range near {
		for i := max(0, at-around); i <= min(n, at+around); i++ {
			cuts = append(cuts, i)
		}
	}
	for i := range others {
		cuts = append(cuts, n*i/others)
	}
	slices.Sort(cuts)
	return slices.Compact(cuts)
}

// TestFrameVectors holds the decoder to every frame vector: as a whole, byte by byte, and cut in two.
func TestFrameVectors(t *testing.T) {
	list, err := vectors.Frames()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) < 60 {
		t.Fatalf("only %d vectors", len(list))
	}
	for i := range list {
		v := &list[i]
		t.Run(v.ID, func(t *testing.T) {
			whole := feed(NewDecoder(v.MaxFrame), v.Bytes)
			checkVector(t, v, &whole)
			checkDecided(t, v)
			want := whole.String()
			for _, cut := range splits(v) {
				got := feed(NewDecoder(v.MaxFrame), v.Bytes[:cut], v.Bytes[cut:])
				// The long way round only where it says something: writing out 8 MiB in hex takes its time.
				if got.verdict != whole.verdict || got.reason != whole.reason || got.pending != whole.pending ||
					!reflect.DeepEqual(got.frames, whole.frames) {
					t.Fatalf("cut at %d: %.200v, want %.200s", cut, got, want)
				}
			}
		})
	}
}

// checkVector compares what came out of all bytes with what v says.
func checkVector(t *testing.T, v *vectors.Frame, got *outcome) {
	t.Helper()
	switch v.Verdict {
	case vectors.VerdictMore:
		if got.verdict != More || len(got.frames) != 0 || got.pending != len(v.Bytes) {
			t.Errorf("%v %q, %d frames, want more (%s)", got.verdict, got.reason, len(got.frames), v.Rule)
		}
	case vectors.VerdictReject:
		if got.verdict != Reject || got.reason != v.Reason || len(got.frames) != 0 {
			t.Errorf("%v %q, %d frames, want %q (%s)", got.verdict, got.reason, len(got.frames), v.Reason, v.Rule)
		}
	case vectors.VerdictFrame:
		if got.verdict != More || len(got.frames) != 1 || got.pending != 0 {
			t.Fatalf("%v %q, %d frames, want one (%s)", got.verdict, got.reason, len(got.frames), v.Rule)
		}
		f, w := &got.frames[0], v.Fields
		want := Header{
			Len: w.Len, Ver: w.Ver, Flags: f.Flags, Code: spec.Code(w.Code), Proto: spec.Proto(w.Proto),
			Tenant: [16]byte(w.Tenant), CapLen: w.CapLen, Corr: w.CorrID,
		}
		data := w.Decoded
		if data == nil {
			data = w.Payload
		}
		if f.Header != want || !slices.Equal(f.Flags.Names(), w.Flags) || !bytes.Equal(f.Cap, w.Cap) ||
			!bytes.Equal(f.Payload, w.Payload) || !bytes.Equal(f.Data, data) {
			t.Errorf("fields %+v, %d and %d and %d bytes, want %+v", f.Header, len(f.Cap), len(f.Payload), len(f.Data), want)
		}
		again, err := AppendFrame(nil, &f.Header, f.Cap, f.Payload)
		if err != nil || !bytes.Equal(again, v.Bytes) {
			t.Errorf("encodes again to other bytes (OAP-FRM-013), error %v", err)
		}
	default:
		t.Errorf("verdict %q", v.Verdict)
	}
}

// checkDecided feeds v byte by byte: more until the byte that decides, and its verdict there.
func checkDecided(t *testing.T, v *vectors.Frame) {
	t.Helper()
	decided := len(v.Bytes) + 1
	switch v.Verdict {
	case vectors.VerdictFrame:
		decided = len(v.Bytes)
	case vectors.VerdictReject:
		decided = v.DecidedAt
	}
	d := NewDecoder(v.MaxFrame)
	defer d.Close()
	var f Frame
	for n, b := range v.Bytes {
		d.Space()[0] = b
		d.Filled(1)
		verdict, reason := d.Next(&f)
		if n+1 < decided {
			if verdict != More || reason != spec.None || d.Pending() != n+1 {
				t.Fatalf("%d bytes: %v %q, want more (OAP-FRM-010)", n+1, verdict, reason)
			}
			continue
		}
		if want := v.Verdict == vectors.VerdictFrame; (verdict == Accept) != want || verdict == More || reason != v.Reason {
			t.Fatalf("%d bytes: %v %q, want %s %q", n+1, verdict, reason, v.Verdict, v.Reason)
		}
		return
	}
	if decided <= len(v.Bytes) {
		t.Fatalf("never decided, want it at %d", decided)
	}
}

// TestMessageVectors holds the parsers, fast and slow, to every message vector.
func TestMessageVectors(t *testing.T) {
	list, err := vectors.Messages()
	if err != nil {
		t.Fatal(err)
	}
	kinds := map[vectors.Kind]int{}
	for i := range list {
		v := &list[i]
		kinds[v.Kind]++
		t.Run(v.ID, func(t *testing.T) {
			got, reason := parseVector(t, v)
			if reason != v.Reason || (reason == spec.None) != (v.Verdict == vectors.VerdictOK) {
				t.Fatalf("reason %q, want %q (%s)", reason, v.Reason, v.Rule)
			}
			if reason == spec.None {
				if want := v.Fields; !reflect.DeepEqual(got, *want) {
					t.Errorf("%s, want %s", show(got), show(*want))
				}
			}
		})
	}
	for _, kind := range []vectors.Kind{vectors.KindRequest, vectors.KindData, vectors.KindAck, vectors.KindHello} {
		if kinds[kind] < 5 {
			t.Errorf("only %d vectors of kind %s", kinds[kind], kind)
		}
	}
}

// parseVector reads the payload of v and puts what it holds in the form of the vectors.
func parseVector(t *testing.T, v *vectors.Message) (m vectors.MessageFields, r spec.Reason) {
	t.Helper()
	switch v.Kind {
	case vectors.KindRequest:
		var q, slow Request
		r = ParseRequest(v.Payload, &q)
		if s := parseRequestSlow(v.Payload, &slow); s != r || slow != q {
			t.Errorf("slow path: reason %q, %+v, fast path: %q, %+v", s, slow, r, q)
		}
		m.Op = q.Op.String()
		if q.HasObj {
			m.Obj = &q.Obj
		}
		if q.Op == OpPut {
			m.TotalLen = &q.TotalLen
		}
		if q.Offset != 0 || bytes.Contains(v.Payload, []byte(`"offset"`)) {
			m.Offset = &q.Offset
		}
		if q.HasLen {
			m.Len = &q.Len
		}
	case vectors.KindData:
		var h DataHeader
		m.Body, r = ParseData(v.Payload, &h)
		if h.HasObj {
			m.Obj = &h.Obj
		}
		m.Offset, m.TotalLen = &h.Offset, &h.TotalLen
	case vectors.KindAck:
		var n int64
		n, r = ParseAck(v.Payload)
		m.UpTo = &n
	case vectors.KindHello:
		var h Hello
		r = ParseHello(v.Payload, &h)
		if h.UA != "" || bytes.Contains(v.Payload, []byte(`"ua"`)) {
			m.UA = &h.UA
		}
		if h.AcceptMaxFrame != 0 {
			m.AcceptMaxFrame = &h.AcceptMaxFrame
		}
		m.Features = h.Features
	default:
		t.Errorf("kind %q", v.Kind)
	}
	return m, r
}

// show writes fields with what their pointers point to.
func show(m vectors.MessageFields) string {
	s := fmt.Sprintf("op %q body %q features %q", m.Op, m.Body, m.Features)
	for name, p := range map[string]*int64{"total_len": m.TotalLen, "offset": m.Offset, "len": m.Len, "up_to": m.UpTo, "accept_max_frame": m.AcceptMaxFrame} {
		if p != nil {
			s += fmt.Sprintf(" %s %d", name, *p)
		}
	}
	if m.UA != nil {
		s += fmt.Sprintf(" ua %q", *m.UA)
	}
	if m.Obj != nil {
		s += " obj " + m.Obj.String()
	}
	return s
}
