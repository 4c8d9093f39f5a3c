package wire

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rustyonions/micronode/spec"
)

// Op is an operation of the objects protocol.
type Op uint8

// The operations. The zero Op is none of them.
const (
	OpPut Op = 1 + iota
	OpGet
	OpHas
	OpStat
	OpDelete
)

var opNames = [...]string{OpPut: "put", OpGet: "get", OpHas: "has", OpStat: "stat", OpDelete: "delete"}

// String returns the name that the operation has on the wire, or "" when it has none.
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return ""
}

// parseOp is the inverse of String; 0 for every other text.
func parseOp[T string | []byte](name T) Op {
	switch string(name) {
	case "put":
		return OpPut
	case "get":
		return OpGet
	case "has":
		return OpHas
	case "stat":
		return OpStat
	case "delete":
		return OpDelete
	}
	return 0
}

// Request is the payload of a START of the objects protocol (OAP-OBJ-002). Lengths and offsets are bytes.
type Request struct {
	Op       Op
	Obj      spec.Address
	HasObj   bool  // always true but in a put
	TotalLen int64 // put only
	Offset   int64 // get only, 0 when not given
	Len      int64 // get only, meaningless without HasLen
	HasLen   bool
}

// The keys of a request, as bits of what was seen.
const (
	keyOp uint = iota
	keyObj
	keyTotalLen
	keyOffset
	keyLen
)

// ParseRequest reads the payload of a START under OAP-OBJ-002, OAP-OBJ-003 and OAP-OBJ-012. The reason is
// spec.None or spec.Malformed, and with Malformed r is unchanged. Limits on the values (OAP-OBJ-005) are the
// caller's. It allocates only for a payload with escapes in its strings.
func ParseRequest(p []byte, r *Request) spec.Reason {
	var v Request
	s := scanner{p: p}
	for {
		key, more := s.member()
		if !more {
			break
		}
		switch string(key) {
		case "op":
			s.once(keyOp)
			v.Op = parseOp(s.text())
		case "obj":
			s.once(keyObj)
			v.Obj = s.address()
		case "total_len":
			s.once(keyTotalLen)
			v.TotalLen = s.integer()
		case "offset":
			s.once(keyOffset)
			v.Offset = s.integer()
		case "len":
			s.once(keyLen)
			v.Len = s.integer()
		default:
			return spec.Malformed
		}
	}
	if s.escaped {
		return parseRequestSlow(p, r)
	}
	if s.bad || !v.complete(s.seen) {
		return spec.Malformed
	}
	*r = v
	return spec.None
}

// complete checks that the keys which were there are those of the op, and notes the optional ones.
func (r *Request) complete(seen uint) bool {
	need, may := uint(1<<keyOp|1<<keyObj), uint(0)
	switch r.Op {
	case OpPut:
		need, may = 1<<keyOp|1<<keyTotalLen, 1<<keyObj
	case OpGet:
		may = 1<<keyOffset | 1<<keyLen
	case OpHas, OpStat, OpDelete:
	default:
		return false
	}
	r.HasObj = seen&(1<<keyObj) != 0
	r.HasLen = seen&(1<<keyLen) != 0
	return seen&need == need && seen&^(need|may) == 0
}

// parseRequestSlow is ParseRequest by the JSON library.
func parseRequestSlow(p []byte, r *Request) spec.Reason {
	var v Request
	var seen uint
	ok := object(p, func(name string, dec *jsontext.Decoder) (ok bool) {
		switch name {
		case "op":
			seen |= 1 << keyOp
			var text string
			text, ok = readText(dec)
			v.Op = parseOp(text)
		case "obj":
			seen |= 1 << keyObj
			v.Obj, ok = readAddress(dec)
		case "total_len":
			seen |= 1 << keyTotalLen
			v.TotalLen, ok = readInteger(dec)
		case "offset":
			seen |= 1 << keyOffset
			v.Offset, ok = readInteger(dec)
		case "len":
			seen |= 1 << keyLen
			v.Len, ok = readInteger(dec)
		}
		return ok
	})
	if !ok || !v.complete(seen) {
		return spec.Malformed
	}
	*r = v
	return spec.None
}

// AppendRequest appends the payload of a START. It writes the keys that r.Op has, optional ones only where r
// has them (a zero Offset is left out), and does not check r.
func AppendRequest(dst []byte, r *Request) []byte {
	dst = append(dst, `{"op":"`...)
	dst = append(dst, r.Op.String()...)
	dst = append(dst, '"')
	if r.Op == OpPut {
		dst = append(dst, `,"total_len":`...)
		dst = strconv.AppendInt(dst, r.TotalLen, 10)
	}
	if r.HasObj {
		dst = append(dst, ',')
		dst = appendObj(dst, r.Obj)
	}
	if r.Op == OpGet && r.Offset != 0 {
		dst = append(dst, `,"offset":`...)
		dst = strconv.AppendInt(dst, r.Offset, 10)
	}
	if r.Op == OpGet && r.HasLen {
		dst = append(dst, `,"len":`...)
		dst = strconv.AppendInt(dst, r.Len, 10)
	}
	return append(dst, '}')
}

// appendObj appends the member "obj".
func appendObj(dst []byte, a spec.Address) []byte {
	dst = append(dst, `"obj":"`...)
	dst, _ = a.AppendText(dst)
	return append(dst, '"')
}

// address takes a string that is an address (OAP-OBJ-003).
func (s *scanner) address() spec.Address {
	a, err := spec.ParseAddress(s.text())
	if err != nil {
		s.bad = true
	}
	return a
}

// readAddress reads a JSON string that is an address.
func readAddress(dec *jsontext.Decoder) (spec.Address, bool) {
	text, ok := readText(dec)
	if !ok {
		return spec.Address{}, false
	}
	a, err := spec.ParseAddress(text)
	return a, err == nil
}
