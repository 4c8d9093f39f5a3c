package wire

import (
	"math"

	"github.com/rustyonions/micronode/spec"
)

// AppendFrame appends one frame to dst and returns the extended slice. Len, CapLen and Ver are worked out here;
// what h holds in them does not matter, and h is not changed. A frame that OAP-FRM-003 or OAP-FRM-005 to
// OAP-FRM-008 forbids is refused: dst comes back as it was, and the error is the spec.Reason. The limit is
// spec.MaxFrame; a lower limit agreed in HELLO is the caller's to keep, and so is the content of a COMP payload.
func AppendFrame(dst []byte, h *Header, capability, payload []byte) ([]byte, error) {
	out, err := AppendHeader(dst, h, len(capability), len(payload))
	if err != nil {
		return dst, err
	}
	out = append(out, capability...)
	return append(out, payload...), nil
}

// AppendHeader appends only the header of a frame whose capability and payload, capLen and payloadLen bytes
// long, follow from elsewhere (vectored writes). In all else it is AppendFrame.
func AppendHeader(dst []byte, h *Header, capLen, payloadLen int) ([]byte, error) {
	full := *h
	full.Ver = spec.Version
	switch {
	case capLen < 0 || payloadLen < 0 || payloadLen > spec.MaxFrame || capLen > spec.MaxFrame:
		return dst, spec.Oversize
	case capLen > math.MaxUint16:
		return dst, spec.CapOutOfBounds
	}
	full.Len = uint32(spec.HeaderLen + capLen + payloadLen)
	full.CapLen = uint16(capLen)
	if r := full.Check(spec.MaxFrame); r != spec.None {
		return dst, r
	}
	start := len(dst)
	dst = append(dst, make([]byte, spec.HeaderLen)...)
	full.Encode((*[spec.HeaderLen]byte)(dst[start:]))
	return dst, nil
}
