package fuzz

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// A control number stands beside the bytes of every input. Its low digits choose the limit and the shape, all of it
// seeds the random split. The fuzzer moves numbers by small steps, so the choices that matter lie closest to zero.

// limits are the values of max_frame that a stream is decoded under, in bytes.
var limits = [...]uint32{spec.MaxFrame, spec.MinMaxFrame, 200, spec.HeaderLen}

func limitOf(c uint32) uint32 { return limits[c%uint32(len(limits))] }

// shape turns the bytes of an input into the bytes of a connection.
type shape struct {
	name   string
	stream func(data []byte, c uint32) []byte
}

// framing are the shapes that exercise header, lengths and boundaries.
var framing = []shape{
	{"as is", func(data []byte, _ uint32) []byte { return data }},
	{"sealed", func(data []byte, _ uint32) []byte { return sealBytes(data) }},
	{"frames", func(data []byte, _ uint32) []byte { return frames(data) }},
	{"cut", func(data []byte, _ uint32) []byte {
		s := frames(data)
		return s[:len(s)-min(len(s), 1+len(data)%50)]
	}},
}

// compression are the shapes that exercise COMP.
var compression = []shape{
	{"payload", func(data []byte, _ uint32) []byte { return comp(data) }},
	{"blocks", func(data []byte, _ uint32) []byte { return comp(spellZstd(data)) }},
	{"encoded", func(data []byte, c uint32) []byte { return comp(compress(data, c)) }},
	{"damaged", func(data []byte, c uint32) []byte { return comp(damage(data, c)) }},
}

// shapes is how many shapes each of the two lists has, and how many frame formats compress knows.
const shapes = 4

func shapeOf(list []shape, c uint32) shape { return list[c/uint32(len(limits))%shapes] }

// control is the control number that asks for limit, shape and frame format by their numbers.
func control(limit, shape, format int) uint32 {
	return uint32(limit + len(limits)*(shape+shapes*format))
}

func comp(payload []byte) []byte { return wrap(spec.FlagReq|spec.FlagComp, nil, payload) }

func wrap(flags spec.Flags, capability, payload []byte) []byte {
	f := refwire.Frame{Flags: flags, Corr: 1, Cap: capability, Payload: payload}
	f.Seal()
	return refwire.Encode(f)
}

// sealBytes makes a header of the first bytes whose lengths agree with the bytes behind it.
func sealBytes(data []byte) []byte {
	b := append(make([]byte, 0, len(data)+spec.HeaderLen), data...)
	b = append(b, make([]byte, max(0, spec.HeaderLen-len(b)))...)
	binary.BigEndian.PutUint32(b, uint32(len(b)))
	binary.BigEndian.PutUint16(b[4:], spec.Version)
	if b[6] < 0xf0 {
		b[6] = 0 // the reserved flags, most of the time
	}
	if binary.BigEndian.Uint16(b[6:])&uint16(spec.FlagStart) == 0 {
		binary.BigEndian.PutUint16(b[28:], 0)
	} else {
		capLen := int(binary.BigEndian.Uint16(b[28:])) % (len(b) - spec.HeaderLen + 1)
		binary.BigEndian.PutUint16(b[28:], uint16(capLen))
	}
	return b
}

// frames cuts data into up to six consecutive frames: two bytes say flags and length, then come capability and payload.
func frames(data []byte) []byte {
	var stream []byte
	for n := 0; len(data) >= 2 && n < 6; n++ {
		flags, n := spec.Flags(data[0]), min(int(data[1]), len(data)-2)
		payload := data[2 : 2+n]
		data = data[2+n:]
		var capability []byte
		if flags&spec.FlagStart != 0 {
			capability, payload = payload[:n/2], payload[n/2:]
		}
		stream = append(stream, wrap(flags, capability, payload)...)
	}
	return stream
}

// spellZstd reads data as a description of a zstd frame: a descriptor with the bits that need no second look cleared,
// a window or a content size, then three bytes a block: type and flags, and a size. What a raw or compressed block
// holds comes next, except for compressed blocks with bit 6, which are one literal repeated as often as the size says.
func spellZstd(data []byte) []byte {
	at := func(i int) byte {
		if i < len(data) {
			return data[i]
		}
		return 0
	}
	descriptor := at(0) &^ 0x0b // neither reserved bit nor dictionary
	p := []byte{0x28, 0xb5, 0x2f, 0xfd, descriptor}
	if descriptor&0x20 == 0 {
		p = append(p, at(1)%120) // a window up to a little above the limit of 8 MiB
	}
	width := [4]int{0, 2, 4, 8}[descriptor>>6]
	if width == 0 && descriptor&0x20 != 0 {
		width = 1
	}
	size := [8]byte{at(2), at(3), at(4) % 4}
	p = append(p, size[:width]...)
	rest := data[min(5, len(data)):]
	for {
		last := len(rest) < 6 || len(p) > 1<<12
		kind, n, literals := 1, 0, false
		if len(rest) >= 3 {
			literals = rest[0]&0x40 != 0
			kind, n = int(rest[0]%3), int(rest[1])|int(rest[2])<<8|int(rest[0]>>7)<<16
			rest = rest[3:]
		}
		var content []byte
		switch {
		case kind == 1:
			content = []byte{'z'}
		case kind == 2 && literals:
			content = []byte{byte(n<<4) | 0x0d, byte(n >> 4), byte(n >> 12), 'q', 0}
			n = len(content)
		default:
			n = min(n, len(rest))
			content, rest = rest[:n], rest[n:]
		}
		h := uint32(n)<<3 | uint32(kind)<<1
		if last {
			h |= 1
		}
		p = append(p, byte(h), byte(h>>8), byte(h>>16))
		p = append(p, content...)
		if last {
			break
		}
	}
	if descriptor&0x04 != 0 {
		p = append(p, 1, 2, 3, 4)
	}
	return p
}

// encoders keeps one encoder for each frame format, because making one costs more than a thousand small inputs.
var encoders = sync.OnceValue(func() (e [shapes]*zstd.Encoder) {
	for i, options := range [len(e)][]zstd.EOption{
		{zstd.WithEncoderCRC(true)},
		{zstd.WithSingleSegment(true)},
		{zstd.WithWindowSize(1024)},
		{zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderCRC(true)},
	} {
		options = append(options, zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true), zstd.WithLowerEncoderMem(true))
		w, err := zstd.NewWriter(nil, options...)
		if err != nil {
			panic(err) // the options are ours
		}
		e[i] = w
	}
	return e
})

func compress(data []byte, c uint32) []byte {
	return encoders()[c/uint32(len(limits))/shapes%shapes].EncodeAll(data, nil)
}

// damage compresses all but the last six bytes and uses those as up to two changes: where, and what to add.
func damage(data []byte, c uint32) []byte {
	cut := max(0, len(data)-6)
	p := compress(data[:cut], c)
	for edit := data[cut:]; len(edit) >= 3; edit = edit[3:] {
		p[binary.BigEndian.Uint16(edit)%uint16(min(len(p), 1<<16-1))] += edit[2]
	}
	return p
}

// splits cuts n bytes at random places, into at most 32 pieces; some pieces are empty.
func splits(n int, seed uint32) []int {
	rng := rand.New(rand.NewPCG(uint64(seed), uint64(n)))
	var pieces []int
	for n > 0 && len(pieces) < 31 {
		k := min(rng.IntN(n+1), rng.IntN(n+1)) // short pieces are more likely: boundaries lie at the front
		pieces, n = append(pieces, k), n-k
	}
	return append(pieces, n)
}

// TestShapesReachTheirDepth keeps the shapes honest: each must bring arbitrary bytes as far as it says.
func TestShapesReachTheirDepth(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	seen := map[string]map[string]int{}
	for _, s := range append(framing, compression...) {
		seen[s.name] = map[string]int{}
		for n := range 500 {
			data := make([]byte, rng.IntN(120))
			for i := range data {
				data[i] = byte(rng.UintN(256))
			}
			r := refwire.Decode(s.stream(data, uint32(n)), spec.MaxFrame)
			seen[s.name][r.Verdict.String()+" "+r.Rule]++
		}
	}
	for name, outcomes := range map[string][]string{
		"sealed":  {"accept ", "reject OAP-FRM-005", "reject OAP-FRM-006"},
		"frames":  {"accept ", "more ", "reject OAP-FRM-006"},
		"cut":     {"more "},
		"blocks":  {"accept ", "reject OAP-ZST-002", "reject OAP-ZST-003", "reject OAP-ZST-004", "reject OAP-ZST-005"},
		"encoded": {"accept "},
		"damaged": {"accept ", "reject OAP-ZST-001", "reject OAP-ZST-005"},
	} {
		for _, want := range outcomes {
			if seen[name][want] == 0 {
				t.Errorf("shape %s never gave %q: %v", name, want, seen[name])
			}
		}
	}
}
