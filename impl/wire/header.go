package wire

import (
	"encoding/binary"

	"github.com/rustyonions/micronode/spec"
)

// Header is the fixed header of a frame (OAP-FRM-001). Lengths are bytes.
type Header struct {
	Len    uint32     // the whole frame, header included
	Ver    uint16     // spec.Version in every legal frame
	Flags  spec.Flags // exactly one kind bit; reserved bits zero
	Code   spec.Code  // 0 in requests, a status otherwise
	Proto  spec.Proto // app_proto_id
	Tenant [16]byte   // opaque, zero is none
	CapLen uint16     // bytes of capability behind the header
	Corr   uint64     // the stream; 0 is the connection itself
}

// Encode writes h to b, field by field, without looking at the values.
func (h *Header) Encode(b *[spec.HeaderLen]byte) {
	binary.BigEndian.PutUint32(b[0:4], h.Len)
	binary.BigEndian.PutUint16(b[4:6], h.Ver)
	binary.BigEndian.PutUint16(b[6:8], uint16(h.Flags))
	binary.BigEndian.PutUint16(b[8:10], uint16(h.Code))
	binary.BigEndian.PutUint16(b[10:12], uint16(h.Proto))
	*(*[16]byte)(b[12:28]) = h.Tenant
	binary.BigEndian.PutUint16(b[28:30], h.CapLen)
	binary.BigEndian.PutUint64(b[30:38], h.Corr)
}

// Decode reads h from b without judging it; Check does that. The receiver is a pointer because returning
// the struct by value costs several times the decoding itself.
func (h *Header) Decode(b *[spec.HeaderLen]byte) {
	h.Len = binary.BigEndian.Uint32(b[0:4])
	h.Ver = binary.BigEndian.Uint16(b[4:6])
	h.Flags = spec.Flags(binary.BigEndian.Uint16(b[6:8]))
	h.Code = spec.Code(binary.BigEndian.Uint16(b[8:10]))
	h.Proto = spec.Proto(binary.BigEndian.Uint16(b[10:12]))
	h.Tenant = *(*[16]byte)(b[12:28])
	h.CapLen = binary.BigEndian.Uint16(b[28:30])
	h.Corr = binary.BigEndian.Uint64(b[30:38])
}

// Check applies OAP-FRM-002 to OAP-FRM-008 in that order (OAP-FRM-009) and returns the reason of the first
// rule that h breaks, or spec.None. maxFrame is in bytes.
func (h *Header) Check(maxFrame uint32) spec.Reason {
	if r := checkLen(h.Len, maxFrame); r != spec.None {
		return r
	}
	if h.Ver != spec.Version {
		return spec.BadVersion
	}
	if h.Flags&spec.FlagsReserved != 0 {
		return spec.BadFlags
	}
	switch h.Flags & spec.FlagsKind {
	case spec.FlagReq, spec.FlagResp, spec.FlagEvent:
	default:
		return spec.BadFlags
	}
	if h.CapLen > 0 && h.Flags&spec.FlagStart == 0 {
		return spec.CapOnNonStart
	}
	if uint32(h.CapLen) > h.Len-spec.HeaderLen {
		return spec.CapOutOfBounds
	}
	return spec.None
}

// checkLen is OAP-FRM-002 and OAP-FRM-003: what can be said from the first four bytes.
func checkLen(n, maxFrame uint32) spec.Reason {
	switch {
	case n < spec.HeaderLen:
		return spec.Malformed
	case n > maxFrame:
		return spec.Oversize
	}
	return spec.None
}
