package refwire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rustyonions/micronode/spec"
)

// Request is the payload of a START of the objects protocol (OAP-OBJ-002). Sizes are bytes.
type Request struct {
	Op       string // "put", "get", "has", "stat" or "delete"
	Obj      spec.Address
	HasObj   bool  // optional in put, always true otherwise
	TotalLen int64 // put
	Offset   int64 // get, 0 when absent
	Len      int64 // get, where HasLen
	HasLen   bool
}

// Data is the payload of a DATA frame (OAP-STR-001). Sizes are bytes. Body is a copy.
type Data struct {
	Obj      spec.Address
	HasObj   bool
	Offset   int64
	TotalLen int64
	Body     []byte
}

// Hello is the payload of a HELLO request (OAP-HEL-003).
type Hello struct {
	UA             string
	AcceptMaxFrame int64 // bytes, 0 when absent
	Features       []string
}

// HelloReply is the payload of the answer to a HELLO (OAP-HEL-007).
type HelloReply struct {
	MaxFrame       int64 // bytes
	MaxInflight    int64 // requests
	FlagsSupported []string
	Versions       []int64
	Transports     []string
	Features       []string
	Amnesia        bool
}

// Error is the payload of an ERROR (OAP-ERR-001).
type Error struct {
	Reason     spec.Reason
	Message    string
	Retryable  bool
	RetryAfter int64 // milliseconds, 0 when absent
	Corr       uint64
}

// Answer is the payload of a final answer (OAP-OBJ-006 and the table of ops). Which fields it has depends on the op.
type Answer struct {
	Obj     spec.Address
	Size    int64 // bytes: get, stat
	Created bool  // put
	Exists  bool  // has
	Deleted bool  // delete
}

// DecodeRequest reads the payload of a START. The reason is Malformed or None; whether total_len is within the cap
// on an object (OAP-OBJ-005) is decided by who admits the request.
func DecodeRequest(p []byte) (Request, spec.Reason) {
	o := open(p)
	r := Request{Op: o.text("op", need)}
	switch r.Op { // OAP-OBJ-002: the keys of its op and no others
	case "put":
		r.TotalLen = o.integer("total_len", need)
		r.Obj, r.HasObj = take(o, "obj", optional, address)
	case "get":
		r.Obj, r.HasObj = take(o, "obj", need, address)
		r.Offset = o.integer("offset", optional)
		r.Len, r.HasLen = take(o, "len", optional, integer)
	case "has", "stat", "delete":
		r.Obj, r.HasObj = take(o, "obj", need, address)
	default:
		o.broken = true
	}
	if o.bad() {
		return Request{}, spec.Malformed // OAP-OBJ-002, OAP-OBJ-003, OAP-OBJ-012
	}
	return r, spec.None
}

// DecodeData reads the payload of a DATA frame. The reasons are Malformed and ChunkOversize, in the order of
// OAP-STR-010; the rules that need the state of the stream are not decided here.
func DecodeData(p []byte) (Data, spec.Reason) {
	if len(p) < 2 {
		return Data{}, spec.Malformed // OAP-STR-001
	}
	n := int(binary.BigEndian.Uint16(p))
	if n > len(p)-2 {
		return Data{}, spec.Malformed // OAP-STR-001
	}
	o := open(p[2 : 2+n])
	d := Data{Offset: o.integer("offset", need), TotalLen: o.integer("total_len", need)}
	d.Obj, d.HasObj = take(o, "obj", optional, address)
	if o.bad() {
		return Data{}, spec.Malformed // OAP-STR-001
	}
	body := p[2+n:]
	if len(body) == 0 {
		return Data{}, spec.Malformed // OAP-STR-005
	}
	if len(body) > spec.MaxChunk {
		return Data{}, spec.ChunkOversize // OAP-STR-006
	}
	d.Body = append([]byte(nil), body...)
	return d, spec.None
}

// DecodeAck reads the payload of an ACK (OAP-CRD-005). The reason is Malformed or None.
func DecodeAck(p []byte) (upTo int64, reason spec.Reason) {
	o := open(p)
	upTo = o.integer("up_to", need)
	if o.bad() {
		return 0, spec.Malformed
	}
	return upTo, spec.None
}

// DecodeHello reads the payload of a HELLO request. The reason is BadHello or None.
func DecodeHello(p []byte) (Hello, spec.Reason) {
	o := open(p)
	h := Hello{
		UA:       o.text("ua", optional),
		Features: list(o, "features", optional, text),
	}
	limit, present := take(o, "accept_max_frame", optional, integer)
	h.AcceptMaxFrame = limit
	o.ignoreOthers() // OAP-HEL-004
	if len(p) > spec.MaxHelloPayload || o.bad() {
		return Hello{}, spec.BadHello // OAP-HEL-003
	}
	if present && limit == 0 {
		return Hello{}, spec.BadHello // OAP-HEL-008
	}
	return h, spec.None
}

// DecodeHelloReply reads the answer to a HELLO (OAP-HEL-007), as a client does: keys it does not know are left to
// later versions. The reason is BadHello or None.
func DecodeHelloReply(p []byte) (HelloReply, spec.Reason) {
	o := open(p)
	r := HelloReply{
		MaxFrame:       o.integer("max_frame", need),
		MaxInflight:    o.integer("max_inflight", need),
		FlagsSupported: list(o, "flags_supported", need, text),
		Versions:       list(o, "versions", need, integer),
		Transports:     list(o, "transports", need, text),
		Features:       list(o, "features", need, text),
		Amnesia:        o.boolean("amnesia"),
	}
	o.ignoreOthers()
	if o.bad() {
		return HelloReply{}, spec.BadHello
	}
	return r, spec.None
}

// DecodeError reads the payload of an ERROR (OAP-ERR-001), as a client does: keys and reasons it does not know are left
// to later versions. The reason is Malformed or None.
func DecodeError(p []byte) (Error, spec.Reason) {
	o := open(p)
	e := Error{
		Reason:     spec.Reason(o.text("reason", need)),
		Message:    o.text("message", need),
		Retryable:  o.boolean("retryable"),
		RetryAfter: o.integer("retry_after_ms", optional),
	}
	e.Corr, _ = take(o, "corr_id", need, unsigned)
	o.ignoreOthers()
	if o.bad() || e.Reason == spec.None { // OAP-ERR-002: an ERROR has a reason
		return Error{}, spec.Malformed
	}
	return e, spec.None
}

// DecodeAnswer reads the final answer to op, as a client does: keys it does not know are left to later versions.
// The reason is Malformed or None.
func DecodeAnswer(op string, p []byte) (Answer, spec.Reason) {
	o := open(p)
	var a Answer
	a.Obj, _ = take(o, "obj", need, address)
	switch op {
	case "put":
		a.Created = o.boolean("created") // OAP-OBJ-006
	case "get", "stat":
		a.Size = o.integer("size", need) // OAP-OBJ-008
	case "has":
		a.Exists = o.boolean("exists")
	case "delete":
		a.Deleted = o.boolean("deleted")
	}
	o.ignoreOthers()
	if o.bad() {
		return Answer{}, spec.Malformed
	}
	return a, spec.None
}

// EncodeRequest writes the payload of a START; like the other writers it leaves out what is absent and checks nothing.
func EncodeRequest(r Request) []byte {
	var m members
	m.add("op", r.Op, true)
	m.add("total_len", r.TotalLen, r.Op == "put")
	m.add("obj", r.Obj, r.HasObj)
	m.add("offset", r.Offset, r.Offset != 0)
	m.add("len", r.Len, r.HasLen)
	return m.object()
}

// EncodeData writes the payload of a DATA frame (OAP-STR-001).
func EncodeData(d Data) []byte {
	var m members
	m.add("obj", d.Obj, d.HasObj)
	m.add("offset", d.Offset, true)
	m.add("total_len", d.TotalLen, true)
	header := m.object()
	b := binary.BigEndian.AppendUint16(nil, uint16(len(header)))
	return append(append(b, header...), d.Body...)
}

// EncodeAck writes the payload of an ACK (OAP-CRD-005).
func EncodeAck(upTo int64) []byte {
	var m members
	m.add("up_to", upTo, true)
	return m.object()
}

// EncodeHello writes the payload of a HELLO request (OAP-HEL-003).
func EncodeHello(h Hello) []byte {
	var m members
	m.add("ua", h.UA, h.UA != "")
	m.add("accept_max_frame", h.AcceptMaxFrame, h.AcceptMaxFrame != 0)
	m.add("features", h.Features, h.Features != nil)
	return m.object()
}

// members is a JSON object in the making.
type members []byte

func (m *members) add(key string, value any, present bool) {
	if !present {
		return
	}
	v, err := json.Marshal(value)
	if err != nil {
		v = []byte("null") // a string that is not UTF-8: no reader takes null for it
	}
	*m = fmt.Appendf(*m, ",%q:%s", key, v)
}

func (m members) object() []byte {
	return fmt.Appendf(nil, "{%s}", bytes.TrimPrefix(m, []byte(",")))
}

// object is a JSON object whose keys are taken out one by one. A needed key that is missing, a value of the wrong type
// and a key that is left over break it.
type object struct {
	keys   map[string]jsontext.Value
	broken bool
}

const (
	need     = true
	optional = false
)

// open reads one JSON object in valid UTF-8, without duplicate keys at any depth and with nothing behind it.
func open(p []byte) *object {
	var o object
	err := json.Unmarshal(p, &o.keys)
	o.broken = err != nil || o.keys == nil // "null" unmarshals into a nil map
	return &o
}

func (o *object) ignoreOthers() { clear(o.keys) }

func (o *object) bad() bool { return o.broken || len(o.keys) > 0 }

// take takes one key out of o and reads its value; ok says whether the key was there.
func take[T any](o *object, key string, needed bool, read func(jsontext.Value) (T, bool)) (t T, ok bool) {
	v, ok := o.keys[key]
	delete(o.keys, key)
	valid := !needed
	if ok {
		t, valid = read(v)
	}
	o.broken = o.broken || !valid
	return t, ok
}

func (o *object) text(key string, needed bool) string {
	s, _ := take(o, key, needed, text)
	return s
}

func (o *object) boolean(key string) bool {
	b, _ := take(o, key, need, boolean)
	return b
}

func (o *object) integer(key string, needed bool) int64 {
	n, _ := take(o, key, needed, integer)
	return n
}

func list[T any](o *object, key string, needed bool, read func(jsontext.Value) (T, bool)) []T {
	l, _ := take(o, key, needed, func(v jsontext.Value) (out []T, ok bool) {
		var elements []jsontext.Value
		ok = v.Kind() == '[' && json.Unmarshal(v, &elements) == nil
		for _, e := range elements {
			t, valid := read(e)
			out, ok = append(out, t), ok && valid
		}
		return out, ok
	})
	return l
}

func text(v jsontext.Value) (s string, ok bool) {
	ok = v.Kind() == '"' && json.Unmarshal(v, &s) == nil
	return s, ok
}

func boolean(v jsontext.Value) (b, ok bool) {
	return string(v) == "true", string(v) == "true" || string(v) == "false"
}

// integer reads what OAP-OBJ-012 allows.
func integer(v jsontext.Value) (int64, bool) {
	n, ok := unsigned(v)
	return int64(n), ok && n < 1<<53
}

// unsigned reads a corr_id, which has all 64 bits.
func unsigned(v jsontext.Value) (uint64, bool) {
	n, err := strconv.ParseUint(string(v), 10, 64) // digits only; JSON has ruled out leading zeros
	return n, err == nil
}

// address reads what OAP-OBJ-003 allows.
func address(v jsontext.Value) (spec.Address, bool) {
	s, ok := text(v)
	a, err := spec.ParseAddress(s)
	return a, ok && err == nil
}
