package conformance

import "encoding/binary"

// zblock is one block of a zstd frame that the suite writes itself: stored bytes, or one byte repeated. The two are
// enough for every size and every trap, without a compressor that would choose for itself.
type zblock struct {
	raw    []byte
	repeat int // of raw[0], when above 0
}

const (
	zstdMagic   = 0xfd2fb528
	zstdMaxSize = 128 << 10 // of a block
	zwindow128K = 7 << 3    // window descriptor: 2^(10+7) bytes
	zwindow8M   = 13 << 3
)

// zstdFrame writes a zstd frame (RFC 8878) with this window descriptor, and the content size where it is not negative.
func zstdFrame(window byte, contentSize int64, blocks ...zblock) []byte {
	b := binary.LittleEndian.AppendUint32(nil, zstdMagic)
	if contentSize >= 0 {
		b = append(b, 3<<6, window) // content size in 8 bytes
		b = binary.LittleEndian.AppendUint64(b, uint64(contentSize))
	} else {
		b = append(b, 0, window)
	}
	for i, k := range blocks {
		size, kind, body := len(k.raw), 0, k.raw
		if k.repeat > 0 {
			size, kind, body = k.repeat, 1, k.raw[:1]
		}
		h := size<<3 | kind<<1
		if i == len(blocks)-1 {
			h |= 1
		}
		b = append(b, byte(h), byte(h>>8), byte(h>>16))
		b = append(b, body...)
	}
	return b
}

// zrun is n times c, in blocks of the largest size.
func zrun(c byte, n int) []zblock {
	var blocks []zblock
	for ; n > 0; n -= min(n, zstdMaxSize) {
		blocks = append(blocks, zblock{raw: []byte{c}, repeat: min(n, zstdMaxSize)})
	}
	return blocks
}

// zstored is b in stored blocks.
func zstored(b []byte) []zblock {
	var blocks []zblock
	for len(b) > 0 {
		n := min(len(b), zstdMaxSize)
		blocks, b = append(blocks, zblock{raw: b[:n]}), b[n:]
	}
	return blocks
}
