package wire

import (
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/rustyonions/micronode/spec"
)

// Hello is the payload of a HELLO request. Every key is optional.
type Hello struct {
	UA             string
	AcceptMaxFrame int64 // bytes; 0 when absent, which OAP-HEL-008 keeps unambiguous
	Features       []string
}

// ParseHello reads the payload of a HELLO request under OAP-HEL-003, OAP-HEL-004 and OAP-HEL-008. The reason
// is spec.None or spec.BadHello, and with BadHello h is unchanged.
func ParseHello(p []byte, h *Hello) spec.Reason {
	if len(p) > spec.MaxHelloPayload {
		return spec.BadHello
	}
	var v Hello
	ok := object(p, func(name string, dec *jsontext.Decoder) (ok bool) {
		switch name {
		case "ua":
			v.UA, ok = readText(dec)
		case "accept_max_frame":
			v.AcceptMaxFrame, ok = readInteger(dec)
			ok = ok && v.AcceptMaxFrame > 0
		case "features":
			v.Features, ok = readArray(dec, readText)
		default:
			ok = dec.SkipValue() == nil
		}
		return ok
	})
	if !ok {
		return spec.BadHello
	}
	*h = v
	return spec.None
}

// AppendHello appends the payload of a HELLO request, without the keys whose values are zero.
func AppendHello(dst []byte, h *Hello) []byte {
	m := members{dst: append(dst, '{')}
	if h.UA != "" {
		m.text("ua", h.UA)
	}
	if h.AcceptMaxFrame != 0 {
		m.integer("accept_max_frame", h.AcceptMaxFrame)
	}
	if h.Features != nil {
		m.texts("features", h.Features)
	}
	return append(m.dst, '}')
}

// HelloReply is the payload of the answer to a HELLO (OAP-HEL-007).
type HelloReply struct {
	MaxFrame       int64 // bytes, for both directions
	MaxInflight    int64 // streams on one connection
	FlagsSupported []string
	Versions       []int
	Transports     []string
	Features       []string
	Amnesia        bool
}

// helloReplyKeys is how many keys OAP-HEL-007 asks for.
const helloReplyKeys = 7

// ParseHelloReply reads the answer to a HELLO. All keys of OAP-HEL-007 have to be there; unknown ones are
// ignored, so that a later server can say more. The reason is spec.None or spec.BadHello, and with BadHello h
// is unchanged.
func ParseHelloReply(p []byte, h *HelloReply) spec.Reason {
	var v HelloReply
	known := 0
	ok := object(p, func(name string, dec *jsontext.Decoder) (ok bool) {
		known++
		switch name {
		case "max_frame":
			v.MaxFrame, ok = readInteger(dec)
		case "max_inflight":
			v.MaxInflight, ok = readInteger(dec)
		case "flags_supported":
			v.FlagsSupported, ok = readArray(dec, readText)
		case "versions":
			v.Versions, ok = readArray(dec, readInt)
		case "transports":
			v.Transports, ok = readArray(dec, readText)
		case "features":
			v.Features, ok = readArray(dec, readText)
		case "amnesia":
			v.Amnesia, ok = readBool(dec)
		default:
			known--
			ok = dec.SkipValue() == nil
		}
		return ok
	})
	if !ok || known != helloReplyKeys {
		return spec.BadHello
	}
	*h = v
	return spec.None
}

// AppendHelloReply appends the answer to a HELLO.
func AppendHelloReply(dst []byte, h *HelloReply) []byte {
	m := members{dst: append(dst, '{')}
	m.integer("max_frame", h.MaxFrame)
	m.integer("max_inflight", h.MaxInflight)
	m.texts("flags_supported", h.FlagsSupported)
	m.key("versions")
	m.dst = append(m.dst, '[')
	for i, v := range h.Versions {
		if i > 0 {
			m.dst = append(m.dst, ',')
		}
		m.dst = strconv.AppendInt(m.dst, int64(v), 10)
	}
	m.dst = append(m.dst, ']')
	m.texts("transports", h.Transports)
	m.texts("features", h.Features)
	m.boolean("amnesia", h.Amnesia)
	return append(m.dst, '}')
}

// readInt is readInteger for an int.
func readInt(dec *jsontext.Decoder) (int, bool) {
	n, ok := readInteger(dec)
	return int(n), ok && int64(int(n)) == n
}

// members writes the members of a JSON object.
type members struct {
	dst []byte
	n   int
}

func (m *members) key(name string) {
	if m.n > 0 {
		m.dst = append(m.dst, ',')
	}
	m.n++
	m.dst = append(m.dst, '"')
	m.dst = append(m.dst, name...)
	m.dst = append(m.dst, '"', ':')
}

func (m *members) integer(name string, v int64) {
	m.key(name)
	m.dst = strconv.AppendInt(m.dst, v, 10)
}

func (m *members) boolean(name string, v bool) {
	m.key(name)
	m.dst = strconv.AppendBool(m.dst, v)
}

func (m *members) text(name, v string) {
	m.key(name)
	m.quote(v)
}

func (m *members) texts(name string, list []string) {
	m.key(name)
	m.dst = append(m.dst, '[')
	for i, v := range list {
		if i > 0 {
			m.dst = append(m.dst, ',')
		}
		m.quote(v)
	}
	m.dst = append(m.dst, ']')
}

// quote appends a JSON string. The error of AppendQuote says that v was not UTF-8; what it then writes is, with
// replacement characters, and that is all one can do with such text.
func (m *members) quote(v string) { m.dst, _ = jsontext.AppendQuote(m.dst, v) }
