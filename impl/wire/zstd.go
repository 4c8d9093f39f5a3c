package wire

import (
	"encoding/binary"

	"github.com/klauspost/compress/zstd"

	"github.com/rustyonions/micronode/spec"
)

const (
	zstdMagic     = 0xfd2fb528 // little-endian
	maxZstdBlock  = 128 << 10
	maxZstdWindow = 8 << 20
	// zstdSlack is how far behind its output the decoder's wide copies may write.
	zstdSlack = 16
)

// zstdFrame is what the headers of one zstd frame say, read without decoding anything.
type zstdFrame struct {
	window  uint64 // bytes
	size    uint64 // announced content size in bytes
	hasSize bool
	hasSum  bool
}

// walkZstd reads the frame header and the chain of blocks in p. ok is OAP-ZST-001 and OAP-ZST-002 together:
// both have the same reason, so the order between them can not be seen.
func walkZstd(p []byte) (z zstdFrame, ok bool) {
	rest, ok := z.header(p)
	if !ok {
		return z, false
	}
	largest := min(z.window, maxZstdBlock)
	for last := false; !last; {
		if len(rest) < 3 {
			return z, false
		}
		head := uint32(rest[0]) | uint32(rest[1])<<8 | uint32(rest[2])<<16
		last = head&1 != 0
		size := head >> 3
		if uint64(size) > largest {
			return z, false
		}
		stored := size
		switch head >> 1 & 3 {
		case 1: // RLE: one byte, size times
			stored = 1
		case 3: // reserved
			return z, false
		}
		if len(rest)-3 < int(stored) {
			return z, false
		}
		rest = rest[3+stored:]
	}
	sum := 0
	if z.hasSum {
		sum = 4
	}
	return z, len(rest) == sum
}

// header reads the frame header (RFC 8878, 3.1.1.1) and returns what follows it.
func (z *zstdFrame) header(p []byte) (rest []byte, ok bool) {
	if len(p) < 5 || binary.LittleEndian.Uint32(p) != zstdMagic {
		return nil, false
	}
	desc := p[4]
	p = p[5:]
	if desc&0x0b != 0 { // reserved bit, and the two bits that announce a dictionary id
		return nil, false
	}
	single := desc&0x20 != 0
	z.hasSum = desc&0x04 != 0
	if !single {
		if len(p) < 1 {
			return nil, false
		}
		base := uint64(1) << (10 + p[0]>>3)
		z.window = base + base/8*uint64(p[0]&7)
		p = p[1:]
	}
	n := 0
	if desc>>6 > 0 {
		n = 1 << (desc >> 6)
	} else if single {
		n = 1
	}
	if len(p) < n {
		return nil, false
	}
	for i := range n {
		z.size |= uint64(p[i]) << (8 * i)
	}
	if n == 2 {
		z.size += 256
	}
	z.hasSize = n > 0
	if single {
		z.window = z.size
	}
	return p[n:], true
}

// decodedCap is the most that a payload of encoded bytes may expand to, in bytes (OAP-ZST-004).
func decodedCap(encoded int) int {
	return min(spec.MaxRatio*max(encoded, spec.RatioFloor), spec.MaxDecoded)
}

// inflated is an expanded payload and the memory it lies in.
type inflated struct {
	data []byte
	room []byte // all that decoding may have touched
}

// wipe overwrites the expanded payload.
func (in *inflated) wipe() {
	clear(in.room)
	in.data, in.room = nil, nil
}

// inflate expands the payload of a COMP frame (OAP-ZST-004).
func inflate(p []byte) (*inflated, spec.Reason) { return inflateWithin(p, decodedCap(len(p))) }

// inflateWithin expands p to at most limit bytes by the steps of OAP-ZST-001 to OAP-ZST-006.
//
// The output buffer doubles as the window, so that a large announced window costs nothing. It has room for the
// decoded size that is allowed plus one block: the block that passes the cap still fits, and a decoder that
// runs out of room can only do so when the cap is already behind it. How many bytes came out therefore tells
// the two reasons apart, whatever the library called its error.
func inflateWithin(p []byte, limit int) (*inflated, spec.Reason) {
	z, ok := walkZstd(p)
	if !ok {
		return nil, spec.BadZstd
	}
	if z.hasSize && z.size > uint64(limit) || z.window > maxZstdWindow {
		return nil, spec.DecompressCap
	}
	size := limit
	if z.hasSize {
		size = int(z.size)
	}
	block := int(min(max(z.window, zstd.MinWindowSize), maxZstdBlock))
	room := make([]byte, size+block+zstdSlack)

	d := zstdDecoders.Get().(*zstdDecoder)
	data, err := d.dec.DecodeAll(p, room[:0])
	if err != nil || len(data) > limit {
		tooLong := len(data) > limit
		clear(room)
		clear(data) // elsewhere, when the block past the cap outgrew room
		d.scrub(maxZstdBlock)
		zstdDecoders.Put(d)
		if tooLong {
			return nil, spec.DecompressCap
		}
		return nil, spec.BadZstd
	}
	d.scrub(min(len(data), block))
	zstdDecoders.Put(d)
	touched := min(len(room), len(data)+block+zstdSlack)
	return &inflated{data: data[:len(data):len(data)], room: room[:touched]}, spec.None
}

// Inflate expands exactly one zstd frame to at most limit bytes, by the rules of a COMP payload but with the
// caller's cap (HTTP-ENC-005, ADM-HTP-004), which is taken for spec.MaxDecoded where it is larger. plain is valid
// until wipe, which overwrites it and may be called once. Reasons: bad_zstd, decompress_cap; with them plain and
// wipe are nil. Safe for concurrent use.
func Inflate(p []byte, limit int) (plain []byte, wipe func(), reason spec.Reason) {
	in, reason := inflateWithin(p, max(0, min(limit, spec.MaxDecoded)))
	if reason != spec.None {
		return nil, nil, reason
	}
	return in.data, in.wipe, spec.None
}
