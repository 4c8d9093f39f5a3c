package refwire

import (
	"encoding/binary"
	"slices"

	"github.com/rustyonions/micronode/spec"
)

// Verdict is what a decoder says about the bytes it has seen.
type Verdict uint8

// The verdicts. More means that the bytes are a proper prefix of at least one frame that is still undecided.
const (
	More Verdict = iota
	Accept
	Reject
)

// String returns "more", "accept" or "reject".
func (v Verdict) String() string { return [...]string{"more", "accept", "reject"}[v] }

// Frame is one frame, each field as OAP-FRM-001 names it. The slices are copies of the caller's bytes.
type Frame struct {
	Len    uint32     // bytes of the whole frame, header included
	Ver    uint16     // protocol version
	Flags  spec.Flags // flag bits
	Code   spec.Code  // 0 in requests, a status otherwise
	Proto  spec.Proto // app_proto_id
	Tenant [16]byte   // tenant_id, zero = none
	CapLen uint16     // bytes of Cap
	Corr   uint64     // corr_id, the stream; 0 = the connection

	Cap     []byte // capability
	Payload []byte // payload as it is on the wire
	Data    []byte // what Payload expands to with COMP, equal to Payload without; Encode does not use it
}

// Result is the outcome of Decode.
type Result struct {
	Verdict Verdict
	Reason  spec.Reason // why, when rejected
	Rule    string      // id of the rule that rejected, for example "OAP-FRM-003"
	Frame   Frame       // whole when accepted; only the header fields when undecided or rejected with the header there
	N       int         // bytes of the frame, when accepted
	Need    int         // bytes there must be before the verdict can change, when undecided
}

// Decode judges the frame at the start of b. maxFrame is spec.MaxFrame or what HELLO lowered it to, in bytes.
// What follows the frame is not looked at; an accepted frame is b[:N]. The checks stand in the order of OAP-FRM-009.
func Decode(b []byte, maxFrame uint32) Result {
	if len(b) < 4 {
		return Result{Need: 4} // OAP-FRM-010
	}
	n := binary.BigEndian.Uint32(b)
	if n < spec.HeaderLen {
		return reject(Frame{}, spec.Malformed, "OAP-FRM-002")
	}
	if n > maxFrame {
		return reject(Frame{}, spec.Oversize, "OAP-FRM-003")
	}
	if len(b) < spec.HeaderLen {
		return Result{Need: spec.HeaderLen} // OAP-FRM-010
	}

	f := header(b)
	if f.Ver != spec.Version {
		return reject(f, spec.BadVersion, "OAP-FRM-004")
	}
	if f.Flags&spec.FlagsReserved != 0 {
		return reject(f, spec.BadFlags, "OAP-FRM-005")
	}
	if kind := f.Flags & spec.FlagsKind; kind != spec.FlagReq && kind != spec.FlagResp && kind != spec.FlagEvent {
		return reject(f, spec.BadFlags, "OAP-FRM-006")
	}
	if f.CapLen > 0 && f.Flags&spec.FlagStart == 0 {
		return reject(f, spec.CapOnNonStart, "OAP-FRM-007")
	}
	if uint32(f.CapLen) > f.Len-spec.HeaderLen {
		return reject(f, spec.CapOutOfBounds, "OAP-FRM-008")
	}
	if uint64(len(b)) < uint64(n) {
		return Result{Frame: f, Need: int(n)} // OAP-FRM-010
	}

	rest := b[spec.HeaderLen:n]
	capability, payload := rest[:f.CapLen], rest[f.CapLen:]
	data := payload
	if f.Flags&spec.FlagComp != 0 {
		var reason spec.Reason
		var rule string
		if data, reason, rule = comp(payload); reason != spec.None {
			return reject(f, reason, rule)
		}
	}
	f.Cap, f.Payload, f.Data = slices.Clone(capability), slices.Clone(payload), slices.Clone(data)
	return Result{Verdict: Accept, Frame: f, N: int(n)}
}

func reject(f Frame, reason spec.Reason, rule string) Result {
	return Result{Verdict: Reject, Reason: reason, Rule: rule, Frame: f}
}

// header reads the fixed header (OAP-FRM-001); b holds at least spec.HeaderLen bytes.
func header(b []byte) Frame {
	return Frame{
		Len:    binary.BigEndian.Uint32(b[0:]),
		Ver:    binary.BigEndian.Uint16(b[4:]),
		Flags:  spec.Flags(binary.BigEndian.Uint16(b[6:])),
		Code:   spec.Code(binary.BigEndian.Uint16(b[8:])),
		Proto:  spec.Proto(binary.BigEndian.Uint16(b[10:])),
		Tenant: [16]byte(b[12:28]),
		CapLen: binary.BigEndian.Uint16(b[28:]),
		Corr:   binary.BigEndian.Uint64(b[30:]),
	}
}

// Encode writes the header fields exactly as they are, then Cap and Payload (OAP-FRM-001, OAP-FRM-013). It checks
// nothing, so it can write frames that break every rule; Seal first to write a well-formed one.
func Encode(f Frame) []byte {
	b := make([]byte, 0, spec.HeaderLen+len(f.Cap)+len(f.Payload))
	b = binary.BigEndian.AppendUint32(b, f.Len)
	b = binary.BigEndian.AppendUint16(b, f.Ver)
	b = binary.BigEndian.AppendUint16(b, uint16(f.Flags))
	b = binary.BigEndian.AppendUint16(b, uint16(f.Code))
	b = binary.BigEndian.AppendUint16(b, uint16(f.Proto))
	b = append(b, f.Tenant[:]...)
	b = binary.BigEndian.AppendUint16(b, f.CapLen)
	b = binary.BigEndian.AppendUint64(b, f.Corr)
	b = append(b, f.Cap...)
	return append(b, f.Payload...)
}

// Seal makes Ver, Len and CapLen agree with the rest of the frame. Cap and Payload longer than their fields can
// say wrap around, as the raw writer promises no legality.
func (f *Frame) Seal() {
	f.Ver = spec.Version
	f.CapLen = uint16(len(f.Cap))
	f.Len = uint32(spec.HeaderLen + len(f.Cap) + len(f.Payload))
}
