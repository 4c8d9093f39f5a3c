package wire

import (
	"encoding/binary"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rustyonions/micronode/spec"
)

// DataHeader is the header inside the payload of a DATA frame (OAP-STR-001). Offset and TotalLen are bytes.
type DataHeader struct {
	Obj      spec.Address
	HasObj   bool
	Offset   int64
	TotalLen int64
}

// The keys of a DATA header, as bits of what was seen.
const (
	keyDataObj uint = iota
	keyDataOffset
	keyDataTotal
)

// ParseData splits the payload of a DATA frame into its header and its body, which is a view into payload. It
// applies OAP-STR-001, OAP-STR-005 and OAP-STR-006 in that order; the rules that need to know the stream are
// the session's. The reason is spec.None, spec.Malformed or spec.ChunkOversize; unless it is None, h is
// unchanged and body nil. It allocates only for a header with escapes in its strings.
func ParseData(payload []byte, h *DataHeader) (body []byte, r spec.Reason) {
	if len(payload) < 2 {
		return nil, spec.Malformed
	}
	n := 2 + int(binary.BigEndian.Uint16(payload))
	if n > len(payload) {
		return nil, spec.Malformed
	}
	var v DataHeader
	if !v.parse(payload[2:n]) {
		return nil, spec.Malformed
	}
	body = payload[n:]
	switch {
	case len(body) == 0:
		return nil, spec.Malformed
	case len(body) > spec.MaxChunk:
		return nil, spec.ChunkOversize
	}
	*h = v
	return body, spec.None
}

// parse reads the JSON of a DATA header.
func (h *DataHeader) parse(p []byte) bool {
	s := scanner{p: p}
	for {
		key, more := s.member()
		if !more {
			break
		}
		switch string(key) {
		case "obj":
			s.once(keyDataObj)
			h.Obj = s.address()
		case "offset":
			s.once(keyDataOffset)
			h.Offset = s.integer()
		case "total_len":
			s.once(keyDataTotal)
			h.TotalLen = s.integer()
		default:
			return false
		}
	}
	if s.escaped {
		*h = DataHeader{}
		return h.parseSlow(p)
	}
	return !s.bad && h.complete(s.seen)
}

// parseSlow is parse by the JSON library.
func (h *DataHeader) parseSlow(p []byte) bool {
	var seen uint
	ok := object(p, func(name string, dec *jsontext.Decoder) (ok bool) {
		switch name {
		case "obj":
			seen |= 1 << keyDataObj
			h.Obj, ok = readAddress(dec)
		case "offset":
			seen |= 1 << keyDataOffset
			h.Offset, ok = readInteger(dec)
		case "total_len":
			seen |= 1 << keyDataTotal
			h.TotalLen, ok = readInteger(dec)
		}
		return ok
	})
	return ok && h.complete(seen)
}

// complete checks that the required keys were there, and notes the optional one.
func (h *DataHeader) complete(seen uint) bool {
	const need = 1<<keyDataOffset | 1<<keyDataTotal
	h.HasObj = seen&(1<<keyDataObj) != 0
	return seen&need == need
}

// AppendDataHeader appends what goes before the body in the payload of a DATA frame: header_len and header.
func AppendDataHeader(dst []byte, h *DataHeader) []byte {
	start := len(dst)
	dst = append(dst, 0, 0, '{')
	if h.HasObj {
		dst = appendObj(dst, h.Obj)
		dst = append(dst, ',')
	}
	dst = append(dst, `"offset":`...)
	dst = strconv.AppendInt(dst, h.Offset, 10)
	dst = append(dst, `,"total_len":`...)
	dst = strconv.AppendInt(dst, h.TotalLen, 10)
	dst = append(dst, '}')
	binary.BigEndian.PutUint16(dst[start:], uint16(len(dst)-start-2)) // at most 140 or so
	return dst
}

// ParseAck reads the payload of an ACK (OAP-CRD-005): upTo counts DATA frames. The reason is spec.None or
// spec.Malformed. It allocates only for a payload with escapes in its strings.
func ParseAck(p []byte) (upTo int64, r spec.Reason) {
	s := scanner{p: p}
	for {
		key, more := s.member()
		if !more {
			break
		}
		if string(key) != "up_to" {
			return 0, spec.Malformed
		}
		s.once(0)
		upTo = s.integer()
	}
	if s.escaped {
		return parseAckSlow(p)
	}
	if s.bad || s.seen == 0 {
		return 0, spec.Malformed
	}
	return upTo, spec.None
}

// parseAckSlow is ParseAck by the JSON library.
func parseAckSlow(p []byte) (upTo int64, r spec.Reason) {
	seen := false
	ok := object(p, func(name string, dec *jsontext.Decoder) (ok bool) {
		if name == "up_to" {
			seen = true
			upTo, ok = readInteger(dec)
		}
		return ok
	})
	if !ok || !seen {
		return 0, spec.Malformed
	}
	return upTo, spec.None
}

// AppendAck appends the payload of an ACK.
func AppendAck(dst []byte, upTo int64) []byte {
	dst = append(dst, `{"up_to":`...)
	dst = strconv.AppendInt(dst, upTo, 10)
	return append(dst, '}')
}
