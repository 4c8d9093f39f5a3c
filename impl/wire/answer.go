package wire

import (
	"math"
	"strconv"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rustyonions/micronode/spec"
)

// Answer is the payload of a final answer of the objects protocol. Obj is in all of them; of the others one
// belongs to each Op: Created to put, Size to get and stat, Exists to has, Deleted to delete.
type Answer struct {
	Obj     spec.Address
	Size    int64 // bytes of the whole object
	Created bool
	Exists  bool
	Deleted bool
}

// ParseAnswer reads the final answer to a request with operation op. The two keys of such an answer have to be
// there; unknown ones are ignored, so that a later server can say more. The reason is spec.None or
// spec.Malformed, and with Malformed a is unchanged.
func ParseAnswer(p []byte, op Op, a *Answer) spec.Reason {
	var v Answer
	hasObj, hasOwn := false, false
	ok := object(p, func(name string, dec *jsontext.Decoder) (ok bool) {
		switch {
		case name == "obj":
			hasObj = true
			v.Obj, ok = readAddress(dec)
		case name == "created" && op == OpPut:
			hasOwn = true
			v.Created, ok = readBool(dec)
		case name == "size" && (op == OpGet || op == OpStat):
			hasOwn = true
			v.Size, ok = readInteger(dec)
		case name == "exists" && op == OpHas:
			hasOwn = true
			v.Exists, ok = readBool(dec)
		case name == "deleted" && op == OpDelete:
			hasOwn = true
			v.Deleted, ok = readBool(dec)
		default:
			ok = dec.SkipValue() == nil
		}
		return ok
	})
	if !ok || !hasObj || !hasOwn {
		return spec.Malformed
	}
	*a = v
	return spec.None
}

// AppendAnswer appends the final answer to a request with operation op: obj and the one member of a that
// belongs to op.
func AppendAnswer(dst []byte, op Op, a *Answer) []byte {
	dst = appendObj(append(dst, '{'), a.Obj)
	m := members{dst: dst, n: 1}
	switch op {
	case OpPut:
		m.boolean("created", a.Created)
	case OpGet, OpStat:
		m.integer("size", a.Size)
	case OpHas:
		m.boolean("exists", a.Exists)
	case OpDelete:
		m.boolean("deleted", a.Deleted)
	}
	return append(m.dst, '}')
}

// Error is the payload of an ERROR (OAP-ERR-001).
type Error struct {
	Reason     spec.Reason
	Message    string // for people
	Retryable  bool
	RetryAfter time.Duration // whole milliseconds on the wire, rounded up; left out when 0
	Corr       uint64        // the stream; 0 is the connection
}

// maxRetryAfter is the longest retry_after_ms that a time.Duration can hold.
const maxRetryAfter = math.MaxInt64 / int64(time.Millisecond)

// ParseError reads the payload of an ERROR. Every key but retry_after_ms has to be there; unknown ones are
// ignored, so that a later server can say more, and a reason that this version does not know is kept as it is.
// A retry_after_ms beyond what a time.Duration holds becomes the longest there is. The reason is spec.None or
// spec.Malformed, and with Malformed e is unchanged.
func ParseError(p []byte, e *Error) spec.Reason {
	var v Error
	required := 0
	ok := object(p, func(name string, dec *jsontext.Decoder) (ok bool) {
		required++
		switch name {
		case "reason":
			var text string
			text, ok = readText(dec)
			ok = ok && text != ""
			v.Reason = spec.Reason(text)
		case "message":
			v.Message, ok = readText(dec)
		case "retryable":
			v.Retryable, ok = readBool(dec)
		case "corr_id":
			v.Corr, ok = readCorr(dec)
		case "retry_after_ms":
			required--
			var ms int64
			ms, ok = readInteger(dec)
			v.RetryAfter = time.Duration(min(ms, maxRetryAfter)) * time.Millisecond
		default:
			required--
			ok = dec.SkipValue() == nil
		}
		return ok
	})
	if !ok || required != 4 {
		return spec.Malformed
	}
	*e = v
	return spec.None
}

// readCorr reads a corr_id: an integer of 64 bits, because that is what the header holds.
func readCorr(dec *jsontext.Decoder) (uint64, bool) {
	v, err := dec.ReadValue()
	if err != nil || v.Kind() != jsontext.KindNumber {
		return 0, false
	}
	n, err := strconv.ParseUint(string(v), 10, 64)
	return n, err == nil
}

// AppendError appends the payload of an ERROR.
func AppendError(dst []byte, e *Error) []byte {
	m := members{dst: append(dst, '{')}
	m.text("reason", string(e.Reason))
	m.text("message", e.Message)
	m.boolean("retryable", e.Retryable)
	if e.RetryAfter > 0 {
		ms := int64(e.RetryAfter / time.Millisecond)
		if e.RetryAfter%time.Millisecond > 0 {
			ms++ // never back before it helps
		}
		m.integer("retry_after_ms", ms)
	}
	m.key("corr_id")
	m.dst = strconv.AppendUint(m.dst, e.Corr, 10)
	return append(m.dst, '}')
}

// AppendGoingAway appends the payload of the EVENT that says that draining begins (OAP-SES-016).
func AppendGoingAway(dst []byte) []byte {
	return append(dst, `{"reason":"`+string(spec.Draining)+`"}`...)
}
