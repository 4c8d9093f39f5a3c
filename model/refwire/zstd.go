package refwire

import (
	"bytes"
	"encoding/binary"
	"io"
	"math/bits"

	"github.com/klauspost/compress/zstd"

	"github.com/rustyonions/micronode/spec"
)

const (
	zstdMagic     = 0xFD2FB528 // little-endian on the wire (RFC 8878, 3.1.1)
	maxZstdWindow = 8 << 20    // OAP-ZST-003
	maxZstdBlock  = 128 << 10  // OAP-ZST-002
)

// Block types (RFC 8878, 3.1.1.2.2).
const (
	rawBlock = iota
	rleBlock
	compressedBlock
	reservedBlock
)

// zstdFrame is what the headers of a zstd frame announce. Sizes are bytes.
type zstdFrame struct {
	window     uint64 // Window_Size; the content size for a single segment (RFC 8878, 3.1.1.1.2)
	descriptor byte   // a Window_Descriptor of at least window
	content    uint64 // Frame_Content_Size, where hasContent
	hasContent bool
	checksum   bool
	blocks     []byte // the chain of blocks, headers included, without the checksum behind it
}

// comp returns what a COMP payload expands to: at most ten times its size, where less than 1,024 bytes count as
// 1,024, and never more than 8 MiB (the cap of OAP-ZST-004).
func comp(payload []byte) ([]byte, spec.Reason, string) {
	return Expand(payload, min(max(len(payload), spec.RatioFloor)*spec.MaxRatio, spec.MaxDecoded))
}

// Expand returns what one zstd frame expands to under a cap of limit bytes, or the reason and the id of the rule that
// rejects it. The rules stand in the order of OAP-ZST-006.
func Expand(payload []byte, limit int) ([]byte, spec.Reason, string) {
	most := uint64(max(limit, 0))
	z, rule := walk(payload)
	if rule != "" {
		return nil, spec.BadZstd, rule // OAP-ZST-001, OAP-ZST-002
	}
	if z.content > most || z.window > maxZstdWindow {
		return nil, spec.DecompressCap, "OAP-ZST-003"
	}
	data, reason, rule := z.decode(most)
	if reason != spec.None {
		return nil, reason, rule
	}
	if z.hasContent && uint64(len(data)) != z.content {
		return nil, spec.BadZstd, "OAP-ZST-005"
	}
	if z.checksum && !checksumHolds(payload, data) {
		return nil, spec.BadZstd, "OAP-ZST-005"
	}
	return data, spec.None, ""
}

// walk reads the frame header and follows the chain of blocks to its end without decoding any. It returns the id
// of the rule that the frame breaks, or "".
func walk(p []byte) (z zstdFrame, rule string) {
	const chain, block = "OAP-ZST-001", "OAP-ZST-002"
	rest, ok := z.header(p)
	if !ok {
		return z, chain
	}
	limit := min(z.window, maxZstdBlock)
	blocks := rest
	tooLarge := false
	for last := false; !last; {
		if len(rest) < 3 {
			return z, chain
		}
		h := uint32(rest[0]) | uint32(rest[1])<<8 | uint32(rest[2])<<16
		last = h&1 != 0
		kind, size := h>>1&3, uint64(h>>3)
		if kind == reservedBlock {
			return z, block // its size has no meaning, so the chain ends here
		}
		tooLarge = tooLarge || size > limit
		if kind == rleBlock {
			size = 1 // one byte stands for all of them
		}
		if uint64(len(rest)-3) < size {
			return z, chain
		}
		rest = rest[3+size:]
	}
	z.blocks = blocks[:len(blocks)-len(rest)]
	if z.checksum {
		if len(rest) < 4 {
			return z, chain
		}
		rest = rest[4:]
	}
	if len(rest) > 0 {
		return z, chain
	}
	if tooLarge {
		return z, block
	}
	return z, ""
}

// header reads magic number and frame header (RFC 8878, 3.1.1.1) and returns what follows. ok is false when they
// break OAP-ZST-001.
func (z *zstdFrame) header(p []byte) (rest []byte, ok bool) {
	if len(p) < 5 || binary.LittleEndian.Uint32(p) != zstdMagic {
		return nil, false
	}
	d := p[4]
	p = p[5:]
	contentFlag, single, reserved, dictionary := d>>6, d&0x20 != 0, d&0x08 != 0, d&0x03
	z.checksum = d&0x04 != 0
	if reserved || dictionary != 0 {
		return nil, false
	}
	if !single {
		if len(p) < 1 {
			return nil, false
		}
		z.descriptor = p[0]
		base := uint64(1) << (10 + p[0]>>3)
		z.window = base + base/8*uint64(p[0]&7)
		p = p[1:]
	}
	width := [4]int{0, 2, 4, 8}[contentFlag]
	if single && width == 0 {
		width = 1
	}
	if len(p) < width {
		return nil, false
	}
	for i, c := range p[:width] {
		z.content |= uint64(c) << (8 * i)
	}
	if width == 2 {
		z.content += 256
	}
	z.hasContent = width > 0
	if single {
		z.window = z.content
		z.descriptor = byte(max(bits.Len64(max(z.content, 1)-1), 10)-10) << 3
	}
	return p[width:], true
}

// decode expands the blocks one by one and stops at the first that breaks OAP-ZST-004 or OAP-ZST-005. A block that
// breaks both at once counts for the first of the two: decoding stops before anything behind the block is compared.
//
// The decoder is given the bare blocks behind a header of ours that announces neither content size nor checksum.
// So it hands over every block that decodes, and the figures announced are compared here and nowhere else.
func (z *zstdFrame) decode(limit uint64) ([]byte, spec.Reason, string) {
	head := binary.LittleEndian.AppendUint32(nil, zstdMagic)
	head = append(head, 0, z.descriptor)
	d, err := zstd.NewReader(io.MultiReader(bytes.NewReader(head), bytes.NewReader(z.blocks)),
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
	if err != nil {
		return nil, spec.BadZstd, "OAP-ZST-005"
	}
	defer d.Close()
	s := sink{frame: z, limit: limit}
	if _, err := d.WriteTo(&s); err != nil && s.rule == "" {
		return nil, spec.BadZstd, "OAP-ZST-005"
	}
	return s.data, s.reason, s.rule
}

// sink collects blocks: with one thread the decoder writes each block that is not empty before it reads the next.
type sink struct {
	frame  *zstdFrame
	limit  uint64
	data   []byte
	reason spec.Reason
	rule   string
}

// Write takes one block. An error stops the decoder.
func (s *sink) Write(block []byte) (int, error) {
	size := uint64(len(s.data) + len(block))
	switch {
	case uint64(len(block)) > s.frame.window: // only in a single segment, whose descriptor was rounded up
		s.reason, s.rule = spec.BadZstd, "OAP-ZST-005"
	case size > s.limit:
		s.reason, s.rule = spec.DecompressCap, "OAP-ZST-004"
	case s.frame.hasContent && size > s.frame.content:
		s.reason, s.rule = spec.BadZstd, "OAP-ZST-005"
	}
	if s.rule != "" {
		s.data = nil
		return 0, s.reason
	}
	s.data = append(s.data, block...)
	return len(block), nil
}

// checksumHolds decodes the frame a second time, as it is, and lets the decoder compare the checksum. It is called
// with the data of the first time, so the size is known to be within the cap.
func checksumHolds(payload, data []byte) bool {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxZstdWindow))
	if err != nil {
		return false
	}
	defer d.Close()
	again, err := d.DecodeAll(payload, make([]byte, 0, len(data)))
	return err == nil && bytes.Equal(again, data)
}
