package fuzz

import (
	"bytes"
	"errors"
	"flag"
	"slices"
	"sync"
	"testing"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// Above these sizes a stream is no longer fed in the costlier ways.
const (
	byteByByteLimit = 1 << 7
	splitLimit      = 1 << 17
)

// event is one verdict of the reference on a stream.
type event struct {
	at    int // bytes of the stream that decide it
	start int // where the frame starts
	refwire.Result
}

// expected is what the reference says about a stream, frame after frame, up to the first rejection. After the first
// frame the limit is that of second, as after a HELLO.
func expected(stream []byte, first, second uint32) []event {
	var events []event
	limit := first
	for start := 0; ; {
		need := 0
		for {
			r := refwire.Decode(stream[start:start+need], limit)
			if r.Verdict == refwire.More {
				if start+r.Need > len(stream) {
					return events
				}
				need = r.Need
				continue
			}
			events = append(events, event{start + need, start, r})
			if r.Verdict == refwire.Reject {
				return events
			}
			start, limit = start+r.N, second
			break
		}
	}
}

// differ feeds the stream to the production decoder in the given pieces and holds every verdict to the expected one:
// not later than the byte that decides it, and not earlier. Without pieces it feeds as much as the decoder takes.
func differ(t *testing.T, stream []byte, want []event, first, second uint32, pieces func() int) {
	whole := pieces == nil
	d := wire.NewDecoder(first)
	defer d.Close()
	var f wire.Frame
	fed, boundary := 0, 0
	for fed < len(stream) {
		// Space may offer less than the piece; what it offers is then a piece of its own.
		space := d.Space()
		if len(space) == 0 || len(space) > fed+(256+64+4)<<10 {
			t.Fatalf("Space offers %d bytes after %d have arrived", len(space), fed) // OAP-FRM-011
		}
		rest := stream[fed:]
		if !whole {
			rest = rest[:min(pieces(), len(rest))]
		}
		n := copy(space, rest)
		d.Filled(n)
		fed += n
		for {
			v, reason := d.Next(&f)
			due := len(want) > 0 && want[0].at <= fed
			if v == wire.More && !due {
				break
			}
			if !due {
				t.Fatalf("%s %q after %d bytes; the reference waits", v, reason, fed)
			}
			w := &want[0]
			want = want[1:]
			if v.String() != w.Verdict.String() || reason != w.Reason {
				t.Fatalf("%s %q after %d bytes; the reference says %s %q by %s after %d", v, reason, fed, w.Verdict, w.Reason, w.Rule, w.at)
			}
			if v == wire.Reject {
				staysRejected(t, d, reason, stream[fed:])
				return
			}
			sameFrame(t, &f, &w.Frame)
			if whole {
				reencodes(t, &f, w, stream)
			}
			boundary = w.start + w.N
			d.SetMaxFrame(second)
		}
		if d.Pending() != fed-boundary {
			t.Fatalf("%d bytes pending, want %d", d.Pending(), fed-boundary)
		}
	}
}

// staysRejected is OAP-FRM-012 for a decoder: nothing that comes after a rejection brings it back.
func staysRejected(t *testing.T, d *wire.Decoder, reason spec.Reason, rest []byte) {
	for range 2 {
		var f wire.Frame
		if v, again := d.Next(&f); v != wire.Reject || again != reason {
			t.Fatalf("after %q: %s %q", reason, v, again)
		}
		d.Filled(copy(d.Space(), rest))
	}
}

func sameFrame(t *testing.T, f *wire.Frame, w *refwire.Frame) {
	header := wire.Header{Len: w.Len, Ver: w.Ver, Flags: w.Flags, Code: w.Code, Proto: w.Proto, Tenant: w.Tenant, CapLen: w.CapLen, Corr: w.Corr}
	if f.Header != header {
		t.Fatalf("header %+v; the reference reads %+v", f.Header, header)
	}
	if !bytes.Equal(f.Cap, w.Cap) || !bytes.Equal(f.Payload, w.Payload) {
		t.Fatalf("cap %x payload %x; the reference reads %x and %x", f.Cap, f.Payload, w.Cap, w.Payload)
	}
	if !bytes.Equal(f.Data, w.Data) {
		t.Fatalf("data of %d bytes; the reference expands to %d", len(f.Data), len(w.Data))
	}
}

// reencodes is OAP-FRM-013 for both codecs.
func reencodes(t *testing.T, f *wire.Frame, w *event, stream []byte) {
	original := stream[w.start : w.start+w.N]
	if got := refwire.Encode(w.Frame); !bytes.Equal(got, original) {
		t.Fatalf("refwire encodes %x as %x", original, got)
	}
	got, err := wire.AppendFrame(nil, &f.Header, f.Cap, f.Payload)
	if err != nil || !bytes.Equal(got, original) {
		t.Fatalf("wire encodes %x as %x, %v", original, got, err)
	}
}

// FuzzWireDifferential compares the codecs on streams of frames.
func FuzzWireDifferential(f *testing.F) {
	seedFraming(f)
	f.Fuzz(func(t *testing.T, data []byte, c uint32) {
		differential(t, shapeOf(framing, c).stream(data, c), limitOf(c), limitOf(c>>8), c)
	})
}

// FuzzCompression compares the codecs on frames with COMP. It is a target of its own because a decoded payload costs
// more than ten other frames: beside them it would take nearly all of their time.
func FuzzCompression(f *testing.F) {
	seedCompression(f)
	f.Fuzz(func(t *testing.T, data []byte, c uint32) {
		stream := shapeOf(compression, c).stream(data, c)
		if limit := c % uint32(len(limits)); limit > 0 {
			inflates(t, stream[spec.HeaderLen:], []int{0, 4 << 10, 10 << 10, spec.MaxBody}[limit])
			return
		}
		differential(t, stream, spec.MaxFrame, spec.MaxFrame, c)
	})
}

// inflates compares the codecs on one zstd frame under a cap that is not the one of COMP.
func inflates(t *testing.T, payload []byte, limit int) {
	plain, wipe, reason := wire.Inflate(payload, limit)
	want, wantReason, rule := refwire.Expand(payload, limit)
	if reason != wantReason || !bytes.Equal(plain, want) {
		t.Fatalf("%x to at most %d bytes: %q, %d bytes; the reference says %q by %s, %d bytes", payload, limit, reason, len(plain), wantReason, rule, len(want))
	}
	if reason == spec.None {
		wipe()
	}
}

// differential compares the codecs on one stream under three ways to cut it: pieces as large as the decoder takes, single
// bytes, and a random split. While the fuzzer runs, a stream with a payload to decompress gets one of the three, by its
// seed: decompression is decided on complete frames only, and costs more than everything else together.
func differential(t *testing.T, stream []byte, first, second uint32, seed uint32) {
	want := expected(stream, first, second)
	one := fuzzing() && slices.ContainsFunc(want, decompressed)
	if way := seed % 3; !one || way == 0 {
		differ(t, stream, want, first, second, nil)
	}
	if way := seed % 3; len(stream) <= byteByByteLimit && !one || way == 1 {
		differ(t, stream, want, first, second, func() int { return 1 })
	}
	if way := seed % 3; len(stream) <= splitLimit && !one || way == 2 {
		pieces := splits(len(stream), seed)
		differ(t, stream, want, first, second, func() int {
			if len(pieces) == 0 {
				return len(stream)
			}
			n := pieces[0]
			pieces = pieces[1:]
			return n
		})
	}
}

func decompressed(e event) bool {
	return e.Frame.Flags&spec.FlagComp != 0 && (e.Verdict == refwire.Accept || e.Rule == "OAP-ZST-004" || e.Rule == "OAP-ZST-005")
}

// fuzzing says whether the fuzzer runs, rather than go test over seeds and corpus.
var fuzzing = sync.OnceValue(func() bool { return flag.Lookup("test.fuzz").Value.String() != "" })

// FuzzAppendFrame gives both encoders the same fields: production writes what the reference writes, or refuses with
// the reason that the reference decoder has for those bytes.
func FuzzAppendFrame(f *testing.F) {
	f.Add([]byte("capability and payload"), uint16(spec.FlagReq|spec.FlagStart), uint16(0), uint16(spec.ProtoObjects), uint64(7), uint16(10))
	f.Add([]byte("payload"), uint16(spec.FlagResp|spec.FlagEnd), uint16(200), uint16(0), uint64(1)<<63, uint16(0))
	f.Add([]byte(""), uint16(spec.FlagReq|spec.FlagResp), uint16(499), uint16(0xffff), uint64(0), uint16(0))
	f.Add([]byte("cap"), uint16(spec.FlagReq), uint16(0), uint16(0), uint64(1), uint16(3))
	f.Add([]byte("flag"), uint16(spec.FlagReq|0x100), uint16(0), uint16(0), uint64(1), uint16(0))
	f.Fuzz(func(t *testing.T, data []byte, flags, code, proto uint16, corr uint64, cut uint16) {
		split := min(int(cut), len(data))
		ref := refwire.Frame{
			Flags: spec.Flags(flags), Code: spec.Code(code), Proto: spec.Proto(proto), Corr: corr,
			Cap: data[:split], Payload: data[split:],
		}
		copy(ref.Tenant[:], data)
		ref.Seal()
		want := refwire.Encode(ref)
		uncompressed := ref
		uncompressed.Flags &^= spec.FlagComp // what is in a COMP payload is the caller's
		verdict := refwire.Decode(refwire.Encode(uncompressed), spec.MaxFrame)

		// What the caller left in the fields that AppendFrame works out may not matter.
		h := wire.Header{Len: 7, Ver: 9, CapLen: 11, Flags: ref.Flags, Code: ref.Code, Proto: ref.Proto, Tenant: ref.Tenant, Corr: corr}
		before := []byte("before")
		got, err := wire.AppendFrame(before, &h, ref.Cap, ref.Payload)
		head, headErr := wire.AppendHeader(before, &h, len(ref.Cap), len(ref.Payload))
		if verdict.Verdict == refwire.Accept {
			if err != nil || string(got) != "before"+string(want) {
				t.Fatalf("AppendFrame: %x, %v; the reference writes %x", got, err, want)
			}
			if headErr != nil || string(head) != "before"+string(want[:spec.HeaderLen]) {
				t.Fatalf("AppendHeader: %x, %v; the reference writes %x", head, headErr, want[:spec.HeaderLen])
			}
			return
		}
		if !errors.Is(err, verdict.Reason) || !errors.Is(headErr, verdict.Reason) {
			t.Fatalf("AppendFrame: %v, AppendHeader: %v; the reference rejects with %q", err, headErr, verdict.Reason)
		}
		if string(got) != "before" || string(head) != "before" {
			t.Fatalf("refused, but wrote %x and %x", got, head)
		}
	})
}
