package wire

import (
	"sync"

	"github.com/klauspost/compress/zstd"

	"github.com/rustyonions/micronode/spec"
)

// zstdDecoder is a decoder of the library together with what it takes to clean it.
type zstdDecoder struct {
	dec  *zstd.Decoder
	soap []byte        // a zstd frame whose only purpose is what decoding it leaves behind; see scrub
	foam [1 << 10]byte // where its output goes
}

// zstdDecoders keeps decoders between frames: each holds some 300 KiB of tables and scratch, too much for one
// per connection and too slow to make per frame. What is in the pool has been scrubbed.
var zstdDecoders = sync.Pool{New: func() any {
	dec, err := zstd.NewReader(nil,
		zstd.WithDecoderConcurrency(1),
		zstd.WithDecoderMaxMemory(spec.MaxDecoded),
		zstd.WithDecoderMaxWindow(maxZstdWindow),
		zstd.WithDecodeAllCapLimit(true))
	if err != nil {
		panic("wire: zstd options: " + err.Error()) // constant options
	}
	d := &zstdDecoder{dec: dec, soap: newSoap()}
	// The first scrub makes the library set aside its buffers at their full size. It then never replaces one,
	// which would leave the old one to the garbage collector as it is.
	d.scrub(maxZstdBlock)
	return d
}}

// scrub overwrites what the library keeps of earlier payloads, of which no block had more than n bytes of
// literals: the literals, the buffers between the Huffman decoder and the literals, and the tail of the checksum.
// The library has no call for that, so scrub decodes a frame that fills these places with zeros. It also cuts
// the library's references to the memory of the payload itself.
//
// What stays are tables, that is symbols and their frequencies. The Huffman buffers, 1 KiB with parts of
// literals shorter than that, come from a pool inside the library: where the scheduler moves the goroutine
// between decoding and scrubbing, other ones may be overwritten, and these are left to the garbage collector.
func (d *zstdDecoder) scrub(n int) {
	literals := d.soap[len(d.soap)-soapTail:]
	literals[0] = byte(n)<<4 | 3<<2 | 1 // one byte, repeated; size in 20 bits
	literals[1] = byte(n >> 4)
	literals[2] = byte(n >> 12)
	if out, err := d.dec.DecodeAll(d.soap, d.foam[:0]); err == nil || len(out) != soapSymbols {
		panic("wire: the frame that cleans a zstd decoder does not do what it is made for")
	}
}

const (
	// soapSymbols is the most literals for which the library uses its Huffman buffers on every machine. It also
	// leaves the longest tail in the checksum: 31 bytes.
	soapSymbols = 799
	// soapTail is the length of the last block of a soap: three bytes that scrub sets, the byte to repeat, no
	// sequences, and one byte too many. That one makes the block fail when its literals are in place, before it
	// has any use for an output buffer.
	soapTail = 6
)

// newSoap makes the frame for scrub: a first block of zeros in Huffman code, and a last one for the literals.
func newSoap() []byte {
	const (
		stream = (soapSymbols + 3) / 4
		// Table, lengths of three streams, and four streams of a byte per symbol and one for the end mark.
		coded = 5 + 6 + soapSymbols + 4
		size  = 3 + coded + 1
	)
	b := []byte{0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x38} // with checksum, window of 128 KiB

	b = append(b, byte(size<<3&0xff|2<<1), byte(size>>5), byte(size>>13))
	const head = 2 | 1<<2 | soapSymbols<<4 | coded<<14 // Huffman coded in four streams
	b = append(b, byte(head&0xff), byte(head>>8&0xff), byte(head>>16))
	// Weights of symbols 0 to 7, that of 8 follows: 0 has the longest code, eight zero bits.
	b = append(b, 127+8, 0x11, 0x23, 0x45, 0x67)
	for range 3 {
		b = append(b, byte(stream+1), 0)
	}
	for left := soapSymbols; left > 0; left -= stream {
		b = append(b, make([]byte, min(left, stream))...)
		b = append(b, 1)
	}
	b = append(b, 0) // no sequences

	b = append(b, soapTail<<3|2<<1|1, 0, 0)
	return append(b, make([]byte, soapTail)...)
}
