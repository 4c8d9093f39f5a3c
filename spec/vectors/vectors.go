// Package vectors holds the test vectors of OAP/1 and a typed loader for them.
//
// It owns the three JSON files beside it, which README.md describes for readers in any language: frames.json (bytes
// to verdict), messages.json (payload to verdict) and sessions.json (scripts for a connection). They were written by
// hand from the rules, before any codec. The package may never decode, encode or judge anything: it expands
// repetitions, checks that the files are well formed, and hands out what they say.
package vectors

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"

	"github.com/rustyonions/micronode/spec"
)

//go:embed frames.json messages.json sessions.json
var files embed.FS

// Verdict is what a vector says about its input.
type Verdict string

// The verdicts. Frames have VerdictFrame, VerdictReject and VerdictMore, messages VerdictOK and VerdictReject,
// sessions VerdictAccept and VerdictRefuse.
const (
	VerdictFrame  Verdict = "frame"  // the bytes are exactly one good frame
	VerdictReject Verdict = "reject" // the bytes or the payload must be rejected, with the reason given
	VerdictMore   Verdict = "more"   // no verdict can be reached before more bytes arrive (OAP-FRM-010)
	VerdictOK     Verdict = "ok"     // the payload is good
	VerdictAccept Verdict = "accept" // nothing in the script is refused
	VerdictRefuse Verdict = "refuse" // the node refuses a step of the script, with the reason given
)

// Frame is one vector of frames.json: bytes from the start of a stream, and what a decoder says about them.
type Frame struct {
	ID          string   `json:"id"`
	Rule        string   `json:"rule"` // the rule it shows, for example "OAP-FRM-003"
	Description string   `json:"description"`
	MaxFrame    uint32   `json:"max_frame"` // bytes; what HELLO agreed on
	Bytes       Bytes    `json:"hex"`
	Flags       []string `json:"flags"` // as spec.Flags.Names writes them; nil where the header is not complete
	Verdict     Verdict  `json:"verdict"`
	// Fields is set for VerdictFrame only.
	Fields *Fields `json:"fields"`
	// Reason, DecidedAt and Twin are set for VerdictReject only. DecidedAt is the number of bytes with which, and not
	// before, the rejection is due. Twin is the id of an accepted vector from which this one differs as little as
	// its cause allows; Differs says how, where that is more than a few bytes.
	Reason    spec.Reason `json:"reason"`
	DecidedAt int         `json:"decided_at"`
	Twin      string      `json:"twin"`
	Differs   string      `json:"differs"`
}

// Fields are the fields of an accepted frame (OAP-FRM-001).
type Fields struct {
	Len     uint32   `json:"len"`
	Ver     uint16   `json:"ver"`
	Flags   []string `json:"flags"`
	Code    uint16   `json:"code"`
	Proto   uint16   `json:"app_proto_id"`
	Tenant  Bytes    `json:"tenant_id"`
	CapLen  uint16   `json:"cap_len"`
	CorrID  uint64   `json:"corr_id,string"`
	Cap     Bytes    `json:"cap"`
	Payload Bytes    `json:"payload"` // as on the wire
	// Decoded is the payload after decompression; nil without COMP.
	Decoded Bytes `json:"decoded"`
}

// Kind says which of the strict JSON payloads a Message is.
type Kind string

// The kinds of Message.
const (
	KindRequest Kind = "request" // payload of a START of the objects protocol (OAP-OBJ-002)
	KindData    Kind = "data"    // payload of a DATA frame (OAP-STR-001)
	KindAck     Kind = "ack"     // payload of an ACK (OAP-CRD-005)
	KindHello   Kind = "hello"   // payload of a HELLO request (OAP-HEL-003)
)

// Message is one vector of messages.json: the payload of a frame, judged without regard to any other frame.
type Message struct {
	ID          string         `json:"id"`
	Kind        Kind           `json:"kind"`
	Rule        string         `json:"rule"`
	Description string         `json:"description"`
	Payload     Bytes          `json:"payload"`
	Verdict     Verdict        `json:"verdict"`
	Fields      *MessageFields `json:"fields"` // VerdictOK only
	// Reason and Twin are set for VerdictReject only. Twin is the id of an accepted vector of the same kind from which
	// this one differs as little as its cause allows; Differs says how, where that is more than a few bytes.
	Reason  spec.Reason `json:"reason"`
	Twin    string      `json:"twin"`
	Differs string      `json:"differs"`
}

// MessageFields are the values of an accepted payload. A pointer is nil where the key is absent.
type MessageFields struct {
	// request; TotalLen and Offset also data
	Op       string        `json:"op"`
	Obj      *spec.Address `json:"obj"`
	TotalLen *int64        `json:"total_len"`
	Offset   *int64        `json:"offset"`
	Len      *int64        `json:"len"`
	// data
	Body Bytes `json:"body"`
	// ack
	UpTo *int64 `json:"up_to"`
	// hello
	UA             *string  `json:"ua"`
	AcceptMaxFrame *int64   `json:"accept_max_frame"`
	Features       []string `json:"features"` // nil = absent
}

// Session is one vector of sessions.json: a script for one or more connections to a node.
type Session struct {
	ID          string  `json:"id"`
	Rule        string  `json:"rule"`
	Description string  `json:"description"`
	Verdict     Verdict `json:"verdict"`
	// Scope, Reason and Twin are set for VerdictRefuse only. Twin is the accepted script that comes closest.
	Scope  Scope       `json:"scope"`
	Reason spec.Reason `json:"reason"`
	Twin   string      `json:"twin"`
	// Slow marks a script that waits for one of the node's own limits, seconds long.
	Slow  bool   `json:"slow"`
	Steps []Step `json:"steps"`
}

// Scope says what a refusal ends.
type Scope string

// The scopes.
const (
	ScopeStream     Scope = "stream"     // one stream (OAP-SES-007)
	ScopeConnection Scope = "connection" // the connection (OAP-FRM-012)
)

// Step is one step of a Session: exactly one of Send, Expect and Closed.
type Step struct {
	Conn   string   `json:"conn"` // name of the connection, opened at first use; "" is "a"
	Send   []Send   `json:"send"`
	Expect []Expect `json:"expect"`
	Closed bool     `json:"closed"` // the node closes the connection
	// Reason is set with Closed where the node may send an ERROR with corr_id 0 and this reason first.
	Reason spec.Reason `json:"reason"`
	// NotBefore and Within bound when an Expect or Closed comes true, in milliseconds from the end of the step
	// before; 0 is no bound for the first and the driver's patience for the second.
	NotBefore int `json:"not_before_ms"`
	Within    int `json:"within_ms"`
}

// Send is one frame to send. Exactly one of three forms is used: the id of a Frame in Vector, raw Bytes, or the fields,
// of which those that are absent are zero or empty.
type Send struct {
	Vector string `json:"vector"`
	Bytes  Bytes  `json:"bytes"`

	Flags   []string `json:"flags"`
	Code    uint16   `json:"code"`
	Proto   uint16   `json:"app_proto_id"`
	Tenant  Bytes    `json:"tenant_id"` // nil = 16 zero bytes
	CorrID  uint64   `json:"corr_id,string"`
	Cap     Bytes    `json:"cap"`
	Payload Bytes    `json:"payload"`
}

// ExpectKind says what a frame from the node is, by its flags and code.
type ExpectKind string

// The kinds of frames that a node sends.
const (
	ExpectHello  ExpectKind = "hello"  // RESP, code 200
	ExpectAnswer ExpectKind = "answer" // RESP|END, code 200
	ExpectData   ExpectKind = "data"   // RESP, code 206
	ExpectAck    ExpectKind = "ack"    // EVENT, code 202
	ExpectError  ExpectKind = "error"  // RESP|END, code 400 or above
)

// Expect is one thing that the node sends.
type Expect struct {
	Kind   ExpectKind  `json:"kind"`
	CorrID uint64      `json:"corr_id,string"`
	Code   uint16      `json:"code"`   // error
	Reason spec.Reason `json:"reason"` // error
	// JSON holds members that the payload must have with exactly these values, Has members that it must have.
	JSON map[string]json.RawMessage `json:"json"`
	Has  []string                   `json:"has"`
	// data: exactly one of Frames (at least so many DATA frames since START) and Body (all bodies since START, joined);
	// TotalLen is what their headers say, AckEvery has the driver send an ACK after each so many of them.
	Frames   int    `json:"frames"`
	Body     Bytes  `json:"body"`
	TotalLen *int64 `json:"total_len"`
	AckEvery int    `json:"ack_every"`
	// ack: at least this many frames are acknowledged
	UpTo int64 `json:"up_to"`
}

// Frames returns the vectors of frames.json in the order of the file. The caller owns the result; it is some 30 MB,
// because a few vectors are at the limits of their rule. Safe for concurrent use.
func Frames() ([]Frame, error) {
	var doc struct {
		Format string  `json:"format"`
		Frames []Frame `json:"frames"`
	}
	if err := load("frames.json", &doc); err != nil {
		return nil, err
	}
	return doc.Frames, checkFormat("frames.json", doc.Format, "oap-vectors-frames/1")
}

// Messages returns the vectors of messages.json in the order of the file. The caller owns the result. Safe for
// concurrent use.
func Messages() ([]Message, error) {
	var doc struct {
		Format   string    `json:"format"`
		Messages []Message `json:"messages"`
	}
	if err := load("messages.json", &doc); err != nil {
		return nil, err
	}
	return doc.Messages, checkFormat("messages.json", doc.Format, "oap-vectors-messages/1")
}

// Sessions returns the vectors of sessions.json in the order of the file. The caller owns the result. Safe for
// concurrent use.
func Sessions() ([]Session, error) {
	var doc struct {
		Format   string    `json:"format"`
		Sessions []Session `json:"sessions"`
	}
	if err := load("sessions.json", &doc); err != nil {
		return nil, err
	}
	return doc.Sessions, checkFormat("sessions.json", doc.Format, "oap-vectors-sessions/1")
}

// ByID returns the vector with the given id; ok is false if there is none.
func ByID[V vector](list []V, id string) (v V, ok bool) {
	for _, v := range list {
		if v.id() == id {
			return v, true
		}
	}
	return v, false
}

type vector interface {
	Frame | Message | Session
	id() string
}

func (f Frame) id() string   { return f.ID }
func (m Message) id() string { return m.ID }
func (s Session) id() string { return s.ID }

// load reads one embedded file into doc; a member that doc does not know is an error.
func load(name string, doc any) error {
	raw, err := fs.ReadFile(files, name)
	if err != nil {
		return fmt.Errorf("vectors: %w", err)
	}
	if err := strict(raw, doc); err != nil {
		return fmt.Errorf("vectors: %s: %w", name, err)
	}
	return nil
}

// checkFormat holds a file to the format that this package reads.
func checkFormat(name, got, want string) error {
	if got != want {
		return fmt.Errorf("vectors: %s: format %q, want %q", name, got, want)
	}
	return nil
}
