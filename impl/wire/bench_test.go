package wire

import (
	"fmt"
	"testing"

	"github.com/rustyonions/micronode/spec"
)

// benchAddress is any address.
var benchAddress = spec.Address{0xaf, 0x13, 0x49, 0xb9}

func BenchmarkHeaderEncode(b *testing.B) {
	h := Header{Len: 100, Ver: 1, Flags: spec.FlagReq, Proto: spec.ProtoObjects, Corr: 7}
	var buf [spec.HeaderLen]byte
	b.ReportAllocs()
	for b.Loop() {
		h.Corr++
		h.Encode(&buf)
	}
}

func BenchmarkHeaderDecode(b *testing.B) {
	h := Header{Len: 100, Ver: 1, Flags: spec.FlagReq, Proto: spec.ProtoObjects, Corr: 7}
	var buf [spec.HeaderLen]byte
	h.Encode(&buf)
	b.ReportAllocs()
	for b.Loop() {
		buf[37]++
		h.Decode(&buf)
	}
}

func BenchmarkHeaderCheck(b *testing.B) {
	h := Header{Len: 100, Ver: 1, Flags: spec.FlagReq, Proto: spec.ProtoObjects, Corr: 7}
	b.ReportAllocs()
	for b.Loop() {
		if h.Check(spec.MaxFrame) != spec.None {
			b.Fatal("a legal header is rejected")
		}
	}
}

// frameSizes are payload sizes in bytes.
var frameSizes = []struct {
	name string
	n    int
}{{"64B", 64}, {"1KiB", 1 << 10}, {"64KiB", 64 << 10}}

// BenchmarkFrameDecode feeds a stream of frames in reads as long as the decoder offers.
func BenchmarkFrameDecode(b *testing.B) {
	for _, size := range frameSizes {
		b.Run(size.name, func(b *testing.B) {
			frame, err := AppendFrame(nil, &Header{Flags: spec.FlagReq, Corr: 7}, nil, make([]byte, size.n))
			if err != nil {
				b.Fatal(err)
			}
			stream := make([]byte, 0, 1<<20)
			for len(stream)+len(frame) <= cap(stream) {
				stream = append(stream, frame...)
			}
			d := NewDecoder(spec.MaxFrame)
			defer d.Close()
			var f Frame
			rest := stream
			b.SetBytes(int64(len(frame)))
			b.ReportAllocs()
			for b.Loop() {
				for {
					v, r := d.Next(&f)
					if v == Accept {
						break
					}
					if v == Reject {
						b.Fatal(r)
					}
					if len(rest) == 0 {
						rest = stream
					}
					n := copy(d.Space(), rest)
					d.Filled(n)
					rest = rest[n:]
				}
			}
		})
	}
}

func BenchmarkFrameEncode(b *testing.B) {
	for _, size := range frameSizes {
		b.Run(size.name, func(b *testing.B) {
			h := Header{Flags: spec.FlagReq, Proto: spec.ProtoObjects, Corr: 7}
			payload := make([]byte, size.n)
			buf := make([]byte, 0, spec.HeaderLen+size.n)
			b.SetBytes(int64(cap(buf)))
			b.ReportAllocs()
			for b.Loop() {
				h.Corr++
				if _, err := AppendFrame(buf[:0], &h, nil, payload); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkParseData(b *testing.B) {
	payload := AppendDataHeader(nil, &DataHeader{Obj: benchAddress, HasObj: true, Offset: 65536, TotalLen: 1 << 20})
	payload = append(payload, make([]byte, 1024)...)
	var h DataHeader
	b.ReportAllocs()
	for b.Loop() {
		if _, r := ParseData(payload, &h); r != spec.None {
			b.Fatal(r)
		}
	}
}

func BenchmarkParseRequest(b *testing.B) {
	requests := []Request{
		{Op: OpPut, TotalLen: 1024},
		{Op: OpGet, Obj: benchAddress, HasObj: true, Offset: 65536, Len: 65536, HasLen: true},
	}
	for _, req := range requests {
		b.Run(req.Op.String(), func(b *testing.B) {
			payload := AppendRequest(nil, &req)
			var got Request
			b.ReportAllocs()
			for b.Loop() {
				if r := ParseRequest(payload, &got); r != spec.None {
					b.Fatal(r)
				}
			}
		})
	}
}

func BenchmarkParseAck(b *testing.B) {
	payload := AppendAck(nil, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, r := ParseAck(payload); r != spec.None {
			b.Fatal(r)
		}
	}
}

// BenchmarkInflate expands frames with COMP, with and without announced size.
func BenchmarkInflate(b *testing.B) {
	for _, n := range []int{1 << 10, 64 << 10} {
		payload := compressed(b, sampleText(n))
		b.Run(fmt.Sprintf("%dKiB", n>>10), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				out, r := inflate(payload)
				if r != spec.None {
					b.Fatal(r)
				}
				out.wipe()
			}
		})
	}
}
