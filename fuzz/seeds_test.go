package fuzz

import (
	"bytes"
	"slices"
	"testing"

	"github.com/rustyonions/micronode/spec"
	"github.com/rustyonions/micronode/spec/vectors"
)

// seedLimit keeps the large vectors out of the fuzzer: it would spend its time on copying them. TestVectors has them.
const seedLimit = 1 << 12

func frameVectors(t testing.TB) []vectors.Frame {
	list, err := vectors.Frames()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// TestVectors compares the codecs on every vector, alone and behind another frame.
func TestVectors(t *testing.T) {
	before := wrap(spec.FlagReq, nil, []byte("x"))
	for i, v := range frameVectors(t) {
		t.Run(v.ID, func(t *testing.T) {
			differential(t, v.Bytes, v.MaxFrame, v.MaxFrame, uint32(i))
			differential(t, slices.Concat(before, v.Bytes), spec.MaxFrame, v.MaxFrame, uint32(i))
		})
	}
}

// seedMessages adds the vectors of one kind of payload.
func seedMessages(f *testing.F, kind vectors.Kind, add func([]byte, uint8)) {
	list, err := vectors.Messages()
	if err != nil {
		f.Fatal(err)
	}
	for _, v := range list {
		if v.Kind == kind && len(v.Payload) <= seedLimit {
			add(v.Payload, 0)
		}
	}
}

var roses = bytes.Repeat([]byte("a rose is a rose, "), 30)

func seedFraming(f *testing.F) {
	for _, v := range frameVectors(f) {
		if len(v.Bytes) <= seedLimit && !slices.Contains(v.Flags, "COMP") {
			f.Add([]byte(v.Bytes), control(max(slices.Index(limits[:], v.MaxFrame), 0), 0, 0))
		}
	}
	for limit := range limits {
		f.Add(wrap(spec.FlagReq|spec.FlagStart, roses[:9], roses[:20]), control(limit, 0, 0))
		f.Add(wrap(spec.FlagReq|spec.FlagStart, roses[:9], roses[:20]), control(limit, 1, 0))
		f.Add([]byte("\x01\x00\x09\x04capb\x02\x05hello\x84\x01!"), control(limit, 2, 0))
		f.Add([]byte("\x01\x00\x09\x04capb\x02\x05hello\x84\x01!"), control(limit, 3, 0))
	}
	// Two frames, the second above the limit that holds from then on.
	f.Add(append(wrap(spec.FlagReq, nil, nil), wrap(spec.FlagReq, nil, roses[:1])...), uint32(3<<8))
	f.Add(append(wrap(spec.FlagReq, nil, nil), wrap(spec.FlagReq, nil, roses)...), uint32(2<<8))
}

func seedCompression(f *testing.F) {
	for _, v := range frameVectors(f) {
		if len(v.Bytes) <= seedLimit && slices.Contains(v.Flags, "COMP") {
			f.Add([]byte(v.Bytes[min(spec.HeaderLen, len(v.Bytes)):]), control(0, 0, 0))
		}
	}
	// An encoder of each frame format, and a change in each part of what it writes.
	for format := range shapes {
		f.Add([]byte(""), control(0, 2, format))
		f.Add(roses, control(0, 2, format))
		for _, at := range []byte{0, 4, 5, 6, 9, 20, 60} {
			f.Add(append(bytes.Clone(roses), 0, at, 1, 0, at, 0), control(0, 3, format))
		}
	}
	// Raw, RLE and compressed blocks; sizes around the cap of ten times 1,024.
	f.Add([]byte("\x00\x38\x00\x00\x00\x01\x00\x28\x00\x00\x00"), control(0, 1, 0))
	f.Add([]byte("\x00\x38\x00\x00\x00\x01\x01\x28\x00\x00\x00"), control(0, 1, 0))
	f.Add([]byte("\x80\x38\x10\x27\x00\x01\x00\x20\x01\x00\x20"), control(0, 1, 0))
	// A compressed block that decodes to 12,000 bytes in a single segment of 9,000, and in a window of 1 KiB.
	f.Add([]byte("\xa0\x00\x28\x23\x00\x44\xe0\x2e\x00\x00\x00"), control(0, 1, 0))
	f.Add([]byte("\x00\x00\x00\x00\x00\x44\xe0\x2e\x00\x00\x00"), control(0, 1, 0))
	f.Add([]byte("\xa4\x00\x10\x27\x00\x01\x10\x27\x02\x05\x00abcde"), control(0, 1, 0))
	for limit := range limits {
		for size := range 2 {
			f.Add(compress(bytes.Repeat(roses[:1], 4<<10+size), 0), control(limit, 0, 0))
			f.Add(compress(bytes.Repeat(roses[:1], 10<<10+size), 0), control(limit, 0, 0))
		}
	}
}
