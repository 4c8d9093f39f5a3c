package capability

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/spec"
)

const (
	// location is written into minted tokens. It is a hint for people and never read back (CAP-IDN-004).
	location = "micronode"

	identifierVersion = 1 // CAP-IDN-001
)

// KeyID names a root key. It is no secret (CAP-KEY-005).
type KeyID [8]byte

// String returns 16 hex digits.
func (id KeyID) String() string { return hex.EncodeToString(id[:]) }

// ID is a capability id: 128 random bits that a token and all that was attenuated from it share (CAP-IDN-002). It is no
// secret.
type ID [16]byte

// String returns 32 hex digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// identifierLen is the length of version, key id and capability id together (CAP-IDN-001).
const identifierLen = 1 + len(KeyID{}) + len(ID{})

// Token is a capability, with the discharges that were bound to it: well-formed, but not verified. It is a secret, and
// prints as [redacted]; Text and Binary are the only ways to its bytes. The zero Token stands for a missing capability. A
// Token is immutable and safe for concurrent use until Wipe.
type Token struct {
	secret.Redacted
	p *token
}

type token struct {
	key  KeyID
	id   ID
	open bool     // a third-party caveat has no discharge
	in   *content // nil when it was wiped
}

// content is the secret part, behind a second pointer for the reason that secret.Redacted gives.
type content struct {
	b          []byte // the capability and its discharges
	m          form   // the capability, in b
	discharges []byte // the rest of b
}

// missing says that there is no capability, or none any more.
func (t Token) missing() bool { return t.p == nil || t.p.in == nil }

// Key returns the id of the root key that the token names; zero for a missing capability.
func (t Token) Key() KeyID {
	if t.p == nil {
		return KeyID{}
	}
	return t.p.key
}

// ID returns the capability id that the token names; zero for a missing capability.
func (t Token) ID() ID {
	if t.p == nil {
		return ID{}
	}
	return t.p.id
}

// Binary returns a copy of the binary form, of which a START frame carries the bytes (CAP-TOK-001, CAP-TOK-004); nil for a
// missing capability.
func (t Token) Binary() []byte {
	if t.missing() {
		return nil
	}
	return bytes.Clone(t.p.in.b)
}

// Text returns the text form: base64url of the binary form, without padding (CAP-TOK-002); "" for a missing capability.
func (t Token) Text() string {
	if t.missing() {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(t.p.in.b)
}

// Wipe overwrites the bytes of the token (AMN-ZER-005). It is a missing capability from then on, and so is every copy of
// it; Key and ID still answer. No other method of the token may run meanwhile. A second Wipe does nothing.
func (t Token) Wipe() {
	if t.missing() {
		return
	}
	clear(t.p.in.b)
	t.p.in = nil
}

// Caveats returns the conditions of the token as text, and behind them those of its discharges. One of a third party
// reads `third-party "location" id`, the id in hex digits. They are readable to every holder, and not verified.
func (t Token) Caveats() []string {
	if t.missing() {
		return nil
	}
	texts := make([]string, 0, t.p.in.m.count)
	for r := (reader{rest: t.p.in.b}); r.more(); {
		m := r.macaroon()
		for list := m.caveats(); list.more(); {
			if c := list.caveat(); c.thirdParty() {
				texts = append(texts, fmt.Sprintf("third-party %q %x", c.location, c.id))
			} else {
				texts = append(texts, string(c.id))
			}
		}
	}
	return texts
}

// Expires is the earliest end among the caveats of the token and its discharges (CAP-CAV-003), the last moment at which it can be
// good; the zero Time where there is none. It is not verified.
func (t Token) Expires() time.Time {
	end := int64(-1)
	for _, text := range t.Caveats() {
		if c, rule := parseCondition([]byte(text)); rule == "" && c.kind == exp {
			end = lower(end, c.number())
		}
	}
	if end < 0 {
		return time.Time{}
	}
	return time.Unix(end, 0)
}

// ParseText reads the text form. It accepts one text for each token and nothing else; the error is an *Error with
// reason Unauth.
func ParseText(s string) (Token, error) {
	if s == "" {
		return Token{}, unauth("CAP-ROL-003")
	}
	if len(s) > spec.MaxCapabilityText {
		return Token{}, unauth("CAP-TOK-005")
	}
	b := make([]byte, base64.RawURLEncoding.DecodedLen(len(s)))
	n, err := base64.RawURLEncoding.Strict().Decode(b, []byte(s))
	if err != nil || strings.ContainsAny(s, "\r\n") { // the decoder skips line ends
		clear(b)
		return Token{}, unauth("CAP-TOK-002")
	}
	return parse(b[:n])
}

// ParseBinary reads the binary form (CAP-TOK-001, CAP-TOK-005 to 007, CAP-TOK-010, CAP-IDN-003). It copies what it keeps. The
// error is an *Error with reason Unauth. Nothing is verified, and no condition is looked at (CAP-HMC-003). A token that
// lacks a discharge is read, because its holder has to ask for one; Admit refuses it (CAP-TOK-008).
func ParseBinary(b []byte) (Token, error) {
	if len(b) > spec.MaxCapability {
		return Token{}, unauth("CAP-TOK-005")
	}
	return parse(bytes.Clone(b))
}

// parse is ParseBinary of bytes that are the token's from here on. What is refused is overwritten (AMN-ZER-005).
func parse(b []byte) (t Token, err error) {
	defer func() {
		if err != nil {
			clear(b)
		}
	}()
	switch {
	case len(b) == 0:
		return Token{}, unauth("CAP-ROL-003")
	case len(b) > spec.MaxCapability:
		return Token{}, unauth("CAP-TOK-005")
	}
	r := reader{rest: b}
	one := new(struct { // allocation
		token
		content
	})
	one.content = content{b: b, m: r.macaroon(), discharges: r.rest}
	if r.rule != "" {
		return Token{}, unauth(r.rule)
	}
	open, rule := one.checkDischarges()
	if rule != "" {
		return Token{}, unauth(rule)
	}
	id := one.m.id
	if len(id) != identifierLen || id[0] != identifierVersion {
		return Token{}, unauth("CAP-IDN-003")
	}
	one.token = token{open: open, in: &one.content, key: KeyID(id[1:]), id: ID(id[1+len(KeyID{}):])}
	return Token{p: &one.token}, nil
}

// Attenuate returns a token with more caveats and t's capability id. Any holder can do it, offline; it never allows
// more than t does (CAP-HMC-001, CAP-HMC-002). t stays as it is. The error is an *Error: Malformed for a missing
// token, a zero caveat, or a token with discharges, which are bound to the signature as it is; Oversize for a token that
// would be too long or have too many caveats.
func (t Token) Attenuate(caveats ...Caveat) (Token, error) {
	if err := t.extensible(len(caveats)); err != nil {
		return Token{}, err
	}
	c := chain{sum: [len(chain{}.sum)]byte(t.p.in.m.sig)}
	defer c.wipe()
	return seal(t.p.in.m.bytes[:len(t.p.in.m.bytes)-trailerLen], &c, caveats)
}

// extensible says whether n caveats can be appended.
func (t Token) extensible(n int) error {
	switch {
	case t.missing():
		return &Error{Reason: spec.Malformed, Rule: "CAP-TOK-001"}
	case len(t.p.in.discharges) > 0:
		return &Error{Reason: spec.Malformed, Rule: "CAP-TOK-008"}
	case t.p.in.m.count+n > spec.MaxCaveats:
		return &Error{Reason: spec.Oversize, Rule: "CAP-TOK-006"}
	}
	return nil
}

// seal makes a token of what stands in front of the new caveats, the chain up to there, and these.
func seal(front []byte, c *chain, caveats []Caveat) (Token, error) {
	b, err := sealed(front, c, caveats)
	if err != nil {
		return Token{}, err
	}
	return parsed(b)
}

// sealed is one macaroon in binary form.
func sealed(front []byte, c *chain, caveats []Caveat) ([]byte, error) {
	size := len(front) + trailerLen
	for _, next := range caveats {
		if next.kind == unknown {
			return nil, &Error{Reason: spec.Malformed, Rule: "CAP-CAV-001"}
		}
		size += 4 + len(next.String()) // field, length in one or two bytes, end
	}
	b := append(make([]byte, 0, size), front...)
	return appendTrailer(appendCaveats(b, c, caveats), c.sum[:]), nil
}

// parsed reads what was made here, and takes over its bytes. What is wrong with it was asked for.
func parsed(b []byte) (Token, error) {
	t, err := parse(b)
	if e, wrong := err.(*Error); wrong {
		reason := spec.Malformed
		if e.Rule == "CAP-TOK-005" || e.Rule == "CAP-TOK-006" {
			reason = spec.Oversize
		}
		return Token{}, &Error{Reason: reason, Rule: e.Rule}
	}
	return t, nil
}
