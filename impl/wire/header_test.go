package wire

import (
	"encoding/hex"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/spec"
)

// unhex reads hex with spaces.
func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestHeaderLayout is OAP-FRM-001: every field at its offset, big-endian. The bytes are written by hand.
func TestHeaderLayout(t *testing.T) {
	want := unhex(t, "00010203 0405 0607 0809 0a0b 0c0d0e0f101112131415161718191a1b 1c1d 1e1f202122232425")
	h := Header{
		Len: 0x00010203, Ver: 0x0405, Flags: 0x0607, Code: 0x0809, Proto: 0x0a0b,
		Tenant: [16]byte{12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27},
		CapLen: 0x1c1d, Corr: 0x1e1f202122232425,
	}
	var b [spec.HeaderLen]byte
	h.Encode(&b)
	if got := b[:]; string(got) != string(want) {
		t.Errorf("Encode gives %x, want %x", got, want)
	}
	var back Header
	back.Decode(&b)
	if back != h {
		t.Errorf("Decode gives %+v, want %+v", back, h)
	}
}

// goodHeader is a header that breaks no rule.
func goodHeader() Header {
	return Header{Len: spec.HeaderLen + 10, Ver: 1, Flags: spec.FlagReq | spec.FlagStart, CapLen: 10, Corr: 1}
}

// TestHeaderCheck breaks one rule at a time, right at its edge, and then asks for the order of the rules.
func TestHeaderCheck(t *testing.T) {
	const limit = 4096
	tests := []struct {
		name  string
		edit  func(*Header)
		want  spec.Reason
		rules string
	}{
		{"good", func(*Header) {}, spec.None, ""},
		{"len at least", func(h *Header) { h.Len, h.CapLen = 38, 0 }, spec.None, "OAP-FRM-002"},
		{"len below header", func(h *Header) { h.Len, h.CapLen = 37, 0 }, spec.Malformed, "OAP-FRM-002"},
		{"len zero", func(h *Header) { h.Len = 0 }, spec.Malformed, "OAP-FRM-002"},
		{"len at most", func(h *Header) { h.Len = limit }, spec.None, "OAP-FRM-003"},
		{"len above", func(h *Header) { h.Len = limit + 1 }, spec.Oversize, "OAP-FRM-003"},
		{"len 4 GiB", func(h *Header) { h.Len = 1<<32 - 1 }, spec.Oversize, "OAP-FRM-003"},
		{"ver 0", func(h *Header) { h.Ver = 0 }, spec.BadVersion, "OAP-FRM-004"},
		{"ver 2", func(h *Header) { h.Ver = 2 }, spec.BadVersion, "OAP-FRM-004"},
		{"ver 256", func(h *Header) { h.Ver = 256 }, spec.BadVersion, "OAP-FRM-004"},
		// DIV-WIR-002: rejected, not ignored.
		{"flag 8", func(h *Header) { h.Flags |= 1 << 8 }, spec.BadFlags, "OAP-FRM-005"},
		{"flag 15", func(h *Header) { h.Flags |= 1 << 15 }, spec.BadFlags, "OAP-FRM-005"},
		{"no kind", func(h *Header) { h.Flags &^= spec.FlagsKind }, spec.BadFlags, "OAP-FRM-006"},
		{"REQ and RESP", func(h *Header) { h.Flags |= spec.FlagResp }, spec.BadFlags, "OAP-FRM-006"},
		{"REQ and EVENT", func(h *Header) { h.Flags |= spec.FlagEvent }, spec.BadFlags, "OAP-FRM-006"},
		{"RESP and EVENT", func(h *Header) { h.Flags ^= spec.FlagsKind }, spec.BadFlags, "OAP-FRM-006"},
		{"all kinds", func(h *Header) { h.Flags |= spec.FlagsKind }, spec.BadFlags, "OAP-FRM-006"},
		{"RESP", func(h *Header) { h.Flags, h.CapLen = spec.FlagResp, 0 }, spec.None, "OAP-FRM-006"},
		{"EVENT", func(h *Header) { h.Flags, h.CapLen = spec.FlagEvent, 0 }, spec.None, "OAP-FRM-006"},
		{"all other flags", func(h *Header) { h.Flags |= 0xf8 }, spec.None, "OAP-FRM-005"},
		{"cap without START", func(h *Header) { h.Flags = spec.FlagReq }, spec.CapOnNonStart, "OAP-FRM-007"},
		{"cap fills the frame", func(h *Header) {}, spec.None, "OAP-FRM-008"},
		{"cap beyond the frame", func(h *Header) { h.CapLen = 11 }, spec.CapOutOfBounds, "OAP-FRM-008"},
		{"cap at its largest", func(h *Header) { h.CapLen = 65535 }, spec.CapOutOfBounds, "OAP-FRM-008"},
	}
	for _, tc := range tests {
		h := goodHeader()
		tc.edit(&h)
		if got := h.Check(limit); got != tc.want {
			t.Errorf("%s: reason %q, want %q (%s)", tc.name, got, tc.want, tc.rules)
		}
	}
}

// TestHeaderCheckOrder is OAP-FRM-009: of any two broken rules the earlier one is reported.
func TestHeaderCheckOrder(t *testing.T) {
	breaks := []struct {
		edit func(*Header)
		want spec.Reason
	}{
		{func(h *Header) { h.Len = 12 }, spec.Malformed},
		{func(h *Header) { h.Len = max(h.Len, spec.MaxFrame+1) }, spec.Oversize},
		{func(h *Header) { h.Ver = 7 }, spec.BadVersion},
		{func(h *Header) { h.Flags |= 1 << 9 }, spec.BadFlags},
		{func(h *Header) { h.Flags |= spec.FlagsKind }, spec.BadFlags},
		{func(h *Header) { h.Flags &^= spec.FlagStart }, spec.CapOnNonStart},
		{func(h *Header) { h.CapLen = 60000 }, spec.CapOutOfBounds},
	}
	for i, first := range breaks {
		for j, second := range breaks[i+1:] {
			h := goodHeader()
			second.edit(&h)
			first.edit(&h)
			if got := h.Check(spec.MaxFrame); got != first.want {
				t.Errorf("breaks %d and %d: reason %q, want %q", i, i+1+j, got, first.want)
			}
		}
	}
}

// TestAppendFrame builds frames and refuses the illegal ones.
func TestAppendFrame(t *testing.T) {
	start := spec.FlagReq | spec.FlagStart
	tests := []struct {
		name    string
		h       Header
		cap     int
		payload int
		want    spec.Reason
	}{
		{"empty", Header{Flags: spec.FlagReq}, 0, 0, spec.None},
		{"fields of no matter", Header{Flags: spec.FlagReq, Ver: 9, Len: 1, CapLen: 3}, 0, 5, spec.None},
		{"capability", Header{Flags: start}, 20, 5, spec.None},
		{"largest capability", Header{Flags: start}, 65535, 5, spec.None},
		{"capability too long", Header{Flags: start}, 65536, 5, spec.CapOutOfBounds},
		{"capability without START", Header{Flags: spec.FlagReq}, 1, 5, spec.CapOnNonStart},
		{"largest frame", Header{Flags: spec.FlagReq}, 0, spec.MaxFrame - spec.HeaderLen, spec.None},
		{"frame too long", Header{Flags: spec.FlagReq}, 0, spec.MaxFrame - spec.HeaderLen + 1, spec.Oversize},
		{"payload too long by itself", Header{Flags: spec.FlagReq}, 0, spec.MaxFrame + 1, spec.Oversize},
		{"capability and payload too long", Header{Flags: start}, 100, spec.MaxFrame - spec.HeaderLen - 99, spec.Oversize},
		{"no kind", Header{}, 0, 5, spec.BadFlags},
		{"two kinds", Header{Flags: spec.FlagReq | spec.FlagResp}, 0, 5, spec.BadFlags},
		{"reserved flag", Header{Flags: spec.FlagReq | 1<<12}, 0, 5, spec.BadFlags},
	}
	for _, tc := range tests {
		capability, payload := sampleText(tc.cap), sampleText(tc.payload)
		before := tc.h
		got, err := AppendFrame([]byte("before"), &tc.h, capability, payload)
		if tc.h != before {
			t.Errorf("%s: the header was changed", tc.name)
		}
		if tc.want != spec.None {
			if err != error(tc.want) || string(got) != "before" {
				t.Errorf("%s: error %v and %d bytes, want %q and dst as it was", tc.name, err, len(got), tc.want)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		end := feed(NewDecoder(spec.MaxFrame), got[len("before"):])
		if len(end.frames) != 1 || end.verdict != More || end.pending != 0 {
			t.Errorf("%s: reads back as %v", tc.name, end)
			continue
		}
		f := end.frames[0]
		if string(f.Cap) != string(capability) || string(f.Payload) != string(payload) || f.Flags != tc.h.Flags {
			t.Errorf("%s: reads back as another frame", tc.name)
		}
	}
	if _, err := AppendHeader(nil, &Header{Flags: spec.FlagReq}, 0, -1); err != error(spec.Oversize) {
		t.Errorf("negative length: error %v", err)
	}
}
