package refwire

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/rustyonions/micronode/spec"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sealed is a legal frame with these flags, capability and payload.
func sealed(flags spec.Flags, capability, payload []byte) Frame {
	f := Frame{Flags: flags, Corr: 1, Cap: capability, Payload: payload}
	f.Seal()
	return f
}

func TestLayout(t *testing.T) {
	b := unhex(t, "0000002b 0001 0009 0102 0304 00112233445566778899aabbccddeeff 0003 0102030405060708 c0ffee beef")
	want := Frame{
		Len: 43, Ver: 1, Flags: spec.FlagReq | spec.FlagStart, Code: 0x0102, Proto: 0x0304,
		Tenant: [16]byte(unhex(t, "00112233445566778899aabbccddeeff")), CapLen: 3, Corr: 0x0102030405060708,
		Cap: []byte{0xc0, 0xff, 0xee}, Payload: []byte{0xbe, 0xef}, Data: []byte{0xbe, 0xef},
	}
	stream := append(bytes.Clone(b), "the next frame"...)
	got := Decode(stream, spec.MaxFrame)
	if diff := cmp.Diff(Result{Verdict: Accept, Frame: want, N: len(b)}, got); diff != "" {
		t.Errorf("decoded (-want +got):\n%s", diff)
	}
	if got := Encode(want); !bytes.Equal(got, b) {
		t.Errorf("encoded %x, want %x", got, b)
	}
	clear(stream)
	if got.Frame.Cap[0] != 0xc0 || got.Frame.Payload[0] != 0xbe || got.Frame.Data[0] != 0xbe {
		t.Error("the frame is a view of the caller's bytes")
	}
}

// violations breaks the framing rules one at a time, in the order of OAP-FRM-009. Each entry also says how many
// bytes decide.
var violations = []struct {
	rule   string
	reason spec.Reason
	at     int
	breaks func(*Frame)
}{
	{"OAP-FRM-002", spec.Malformed, 4, func(f *Frame) { f.Len = 37 }},
	{"OAP-FRM-003", spec.Oversize, 4, func(f *Frame) { f.Len = spec.MaxFrame + 1 }},
	{"OAP-FRM-004", spec.BadVersion, 38, func(f *Frame) { f.Ver = 0x0100 }},
	{"OAP-FRM-005", spec.BadFlags, 38, func(f *Frame) { f.Flags |= 0x8000 }},
	{"OAP-FRM-006", spec.BadFlags, 38, func(f *Frame) { f.Flags |= spec.FlagEvent }},
	{"OAP-FRM-007", spec.CapOnNonStart, 38, func(f *Frame) { f.Flags &^= spec.FlagStart }},
	{"OAP-FRM-008", spec.CapOutOfBounds, 38, func(f *Frame) { f.CapLen = 0xffff }},
	{"OAP-ZST-001", spec.BadZstd, 45, func(f *Frame) { f.Flags |= spec.FlagComp }},
}

func TestRejects(t *testing.T) {
	legal := func() Frame { return sealed(spec.FlagReq|spec.FlagStart, []byte("cap"), []byte("load")) }
	if r := Decode(Encode(legal()), spec.MaxFrame); r.Verdict != Accept {
		t.Fatalf("the frame before it is broken: %s by %s", r.Reason, r.Rule)
	}
	for _, v := range violations {
		f := legal()
		v.breaks(&f)
		b := Encode(f)
		if got := Decode(b, spec.MaxFrame); got.Verdict != Reject || got.Reason != v.reason || got.Rule != v.rule {
			t.Errorf("%s: %s %q by %s", v.rule, got.Verdict, got.Reason, got.Rule)
		}
		if got := Decode(b[:v.at], spec.MaxFrame); got.Verdict != Reject || got.Rule != v.rule {
			t.Errorf("%s with %d bytes: %s by %s", v.rule, v.at, got.Verdict, got.Rule)
		}
		if got := Decode(b[:v.at-1], spec.MaxFrame); got.Verdict != More || got.Need != v.at {
			t.Errorf("%s with %d bytes: %s, need %d", v.rule, v.at-1, got.Verdict, got.Need)
		}
	}
}

// TestOrder breaks every pair of rules that one frame can break at once: the earlier one is reported (OAP-FRM-009).
func TestOrder(t *testing.T) {
	for i, first := range violations {
		for _, second := range violations[i+1:] {
			f := sealed(spec.FlagReq|spec.FlagStart, []byte("cap"), []byte("load"))
			second.breaks(&f)
			first.breaks(&f)
			if got := Decode(Encode(f), spec.MaxFrame); got.Rule != first.rule {
				t.Errorf("%s and %s broken: reported %s", first.rule, second.rule, got.Rule)
			}
		}
	}
}

func TestRejectShowsHeader(t *testing.T) {
	f := sealed(spec.FlagReq, nil, []byte("x"))
	f.Ver = 7
	if got := Decode(Encode(f), spec.MaxFrame).Frame; got.Ver != 7 || got.Corr != 1 || got.Len != 39 {
		t.Errorf("header of the rejected frame: %+v", got)
	}
}

func TestMaxFrameBoundary(t *testing.T) {
	for _, limit := range []uint32{spec.HeaderLen, spec.MinMaxFrame, spec.MaxFrame} {
		f := sealed(spec.FlagReq, nil, make([]byte, limit-spec.HeaderLen))
		if r := Decode(Encode(f), limit); r.Verdict != Accept {
			t.Errorf("len %d of %d: %s", limit, limit, r.Reason)
		}
		f = sealed(spec.FlagReq, nil, make([]byte, limit-spec.HeaderLen+1))
		if r := Decode(Encode(f), limit); r.Reason != spec.Oversize {
			t.Errorf("len %d of %d: %s %s", limit+1, limit, r.Verdict, r.Reason)
		}
	}
}

// TestCapBoundary is the last capability that OAP-FRM-008 allows, and one byte more.
func TestCapBoundary(t *testing.T) {
	f := sealed(spec.FlagReq|spec.FlagStart, make([]byte, 7), nil)
	if r := Decode(Encode(f), spec.MaxFrame); r.Verdict != Accept || len(r.Frame.Cap) != 7 || len(r.Frame.Payload) != 0 {
		t.Errorf("cap_len 7 of 7: %s %q", r.Verdict, r.Reason)
	}
	f.CapLen++
	if r := Decode(Encode(f), spec.MaxFrame); r.Rule != "OAP-FRM-008" {
		t.Errorf("cap_len 8 of 7: %s %q by %s", r.Verdict, r.Reason, r.Rule)
	}
}

func drawFrame(t *rapid.T) Frame {
	kind := rapid.SampledFrom([]spec.Flags{spec.FlagReq, spec.FlagResp, spec.FlagEvent}).Draw(t, "kind")
	other := rapid.SampledFrom([]spec.Flags{0, spec.FlagStart, spec.FlagEnd, spec.FlagAckReq, spec.FlagAppE2E})
	f := Frame{
		Flags: kind | other.Draw(t, "flag") | other.Draw(t, "flag"),
		Code:  spec.Code(rapid.Uint16().Draw(t, "code")),
		Proto: spec.Proto(rapid.Uint16().Draw(t, "proto")),
		Corr:  rapid.Uint64().Draw(t, "corr"),
	}
	copy(f.Tenant[:], rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "tenant"))
	if f.Flags&spec.FlagStart != 0 {
		f.Cap = rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "cap")
	}
	f.Payload = rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(t, "payload")
	f.Seal()
	return f
}

// TestRoundTrip is OAP-FRM-013 and OAP-FRM-010: what was written is read back, every proper prefix needs more, and
// what follows changes nothing.
func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		f := drawFrame(t)
		b := Encode(f)
		r := Decode(append(bytes.Clone(b), rapid.SliceOf(rapid.Byte()).Draw(t, "behind")...), spec.MaxFrame)
		if r.Verdict != Accept || r.N != len(b) {
			t.Fatalf("%s %q by %s, %d of %d bytes", r.Verdict, r.Reason, r.Rule, r.N, len(b))
		}
		if !bytes.Equal(r.Frame.Cap, f.Cap) || !bytes.Equal(r.Frame.Payload, f.Payload) || !bytes.Equal(Encode(r.Frame), b) {
			t.Fatalf("%x came back as %x", b, Encode(r.Frame))
		}
		for n := range b {
			p := Decode(b[:n], spec.MaxFrame)
			if p.Verdict != More || p.Need <= n || p.Need > len(b) {
				t.Fatalf("prefix of %d bytes: %s %q, need %d of %d", n, p.Verdict, p.Reason, p.Need, len(b))
			}
			if less := Decode(b[:p.Need-1], spec.MaxFrame); less.Verdict != More || less.Need != p.Need {
				t.Fatalf("with %d bytes need %d, with %d need %d", n, p.Need, p.Need-1, less.Need)
			}
		}
	})
}

// TestRulesOfTheLaw holds every rule id and reason that Decode can report to the law.
func TestRulesOfTheLaw(t *testing.T) {
	law, err := spec.Load()
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]spec.Reason{}
	for _, v := range violations {
		seen[v.rule] = v.reason
	}
	for _, c := range zstdCases(t) {
		r := Decode(Encode(sealed(spec.FlagReq|spec.FlagComp, nil, c.payload)), spec.MaxFrame)
		if r.Verdict == Reject {
			seen[r.Rule] = r.Reason
		}
	}
	for id, reason := range seen {
		if rule, ok := law.Rule(id); !ok || rule.Reason != reason {
			t.Errorf("%s gives %q, the law says %q (known: %t)", id, reason, rule.Reason, ok)
		}
	}
	if len(seen) != 12 {
		t.Errorf("%d rules reported, want the 7 of framing and the 5 of compression: %v", len(seen), seen)
	}
}

func TestVerdictNames(t *testing.T) {
	if got := fmt.Sprint(More, Accept, Reject); got != "more accept reject" {
		t.Error(got)
	}
}

func TestSealWraps(t *testing.T) {
	f := Frame{Cap: make([]byte, 1<<16+2)}
	f.Seal()
	if f.CapLen != 2 || f.Len != spec.HeaderLen+1<<16+2 || binary.BigEndian.Uint16(Encode(f)[28:]) != 2 {
		t.Errorf("cap_len %d, len %d", f.CapLen, f.Len)
	}
}
