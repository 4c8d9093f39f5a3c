package main

import (
	"encoding/binary"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// frameRules names the rule behind a reason of the codec, where there is only one.
var frameRules = map[spec.Reason]string{
	spec.Malformed:      "OAP-FRM-002",
	spec.Oversize:       "OAP-FRM-003",
	spec.BadVersion:     "OAP-FRM-004",
	spec.CapOnNonStart:  "OAP-FRM-007",
	spec.CapOutOfBounds: "OAP-FRM-008",
}

// ruleOf names the rule that a rejected frame broke. raw begins with the frame and has all the bytes of it that the
// verdict needed. The codec knows reasons only; where one stands for several rules, the bytes tell which.
func ruleOf(reason spec.Reason, raw []byte) string {
	if rule := frameRules[reason]; rule != "" {
		return rule
	}
	var h wire.Header
	h.Decode((*[spec.HeaderLen]byte)(raw))
	switch reason {
	case spec.BadFlags:
		if h.Flags&spec.FlagsReserved != 0 {
			return "OAP-FRM-005"
		}
		return "OAP-FRM-006"
	case spec.BadZstd, spec.DecompressCap:
		return zstdRule(reason, raw[spec.HeaderLen+int(h.CapLen):h.Len])
	}
	return ""
}

// zstdRule tells the rules of OAP-ZST apart, in their order (OAP-ZST-006).
func zstdRule(reason spec.Reason, payload []byte) string {
	z := walkZstd(payload)
	switch {
	case !z.whole:
		return "OAP-ZST-001"
	case !z.blocks:
		return "OAP-ZST-002"
	case z.window > 8<<20 || z.size > uint64(min(spec.MaxRatio*max(len(payload), spec.RatioFloor), spec.MaxDecoded)):
		return "OAP-ZST-003"
	case reason == spec.DecompressCap:
		return "OAP-ZST-004"
	}
	return "OAP-ZST-005"
}

// zstdShape is what can be seen of a zstd frame (RFC 8878) without decoding it.
type zstdShape struct {
	whole  bool   // OAP-ZST-001: one frame, complete, nothing more
	blocks bool   // OAP-ZST-002: no reserved block, none too large
	window uint64 // bytes
	size   uint64 // announced content size in bytes, 0 if none
}

func walkZstd(p []byte) (z zstdShape) {
	if len(p) < 5 || string(p[:4]) != "\x28\xb5\x2f\xfd" {
		return z
	}
	desc := p[4]
	single := desc&0x20 != 0
	p = p[5:]
	if desc&0x0b != 0 { // dictionary id, reserved bit
		return z
	}
	if !single {
		if len(p) == 0 {
			return z
		}
		z.window = 1 << (10 + p[0]>>3)
		z.window += z.window / 8 * uint64(p[0]&7)
		p = p[1:]
	}
	width := [4]int{0, 2, 4, 8}[desc>>6]
	if width == 0 && single {
		width = 1
	}
	if len(p) < width {
		return z
	}
	var field [8]byte
	copy(field[:], p[:width])
	z.size = binary.LittleEndian.Uint64(field[:])
	if width == 2 {
		z.size += 256
	}
	if single {
		z.window = z.size
	}
	z.whole, z.blocks = walkBlocks(p[width:], min(z.window, 128<<10), desc&4 != 0)
	return z
}

// walkBlocks follows the chain of blocks. A block that may not be is stepped over all the same, because a chain
// that is broken further on comes first in the order.
func walkBlocks(p []byte, largest uint64, checksum bool) (whole, good bool) {
	good = true
	for last := false; !last; {
		if len(p) < 3 {
			return false, good
		}
		head := uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16
		size, kind := int(head>>3), head>>1&3
		last = head&1 != 0
		good = good && kind != 3 && uint64(size) <= largest
		if kind == 1 { // one byte, repeated
			size = 1
		}
		if len(p) < 3+size {
			return false, good
		}
		p = p[3+size:]
	}
	if checksum {
		return len(p) == 4, good
	}
	return len(p) == 0, good
}
