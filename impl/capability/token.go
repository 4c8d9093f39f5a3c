package capability

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"

	"gopkg.in/macaroon.v2"

	"github.com/rustyonions/micronode/spec"
)

const (
	// MaxBinary is the length of the longest token in binary form, in bytes (CAP-TOK-005).
	MaxBinary = 3072
	// MaxText is the length of the longest token as text, in characters (CAP-TOK-005).
	MaxText = 4096
	// MaxCaveats is how many caveats a token may have (CAP-TOK-006).
	MaxCaveats = 32

	// location is written into minted tokens. It is a hint for people and never read back (CAP-IDN-004).
	location = "micronode"

	formatVersion     = 2 // of the macaroon, its first byte (CAP-TOK-001)
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

// Token is a capability: well-formed, but not verified. It is a secret, and prints as [redacted]; Text and Binary are
// the only ways to its bytes. The zero Token stands for a missing capability. A Token is immutable and safe for
// concurrent use.
type Token struct {
	redacted
	p *token
}

type token struct {
	m   *macaroon.Macaroon
	key KeyID
	id  ID
}

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

// Binary returns the binary form, of which a START frame carries the bytes (CAP-TOK-001, CAP-TOK-004); nil for a missing
// capability.
func (t Token) Binary() []byte {
	if t.p == nil {
		return nil
	}
	b, err := t.p.m.MarshalBinary()
	if err != nil {
		panic("capability: a macaroon of version 2 without encoding: " + err.Error())
	}
	return b
}

// Text returns the text form: base64url of the binary form, without padding (CAP-TOK-002).
func (t Token) Text() string { return base64.RawURLEncoding.EncodeToString(t.Binary()) }

// Caveats returns the conditions of the token, as text. They are readable to every holder, and not verified.
func (t Token) Caveats() []string {
	if t.p == nil {
		return nil
	}
	list := t.p.m.Caveats()
	texts := make([]string, len(list))
	for i := range list {
		texts[i] = string(list[i].Id)
	}
	return texts
}

// ParseText reads the text form. It accepts one text for each token and nothing else; the error is an *Error with
// reason Unauth.
func ParseText(s string) (Token, error) {
	if s == "" {
		return Token{}, unauth("CAP-ROL-003")
	}
	if len(s) > MaxText {
		return Token{}, unauth("CAP-TOK-005")
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	// The decoder skips line ends and takes any bits behind the last byte.
	if err != nil || base64.RawURLEncoding.EncodeToString(b) != s {
		return Token{}, unauth("CAP-TOK-002")
	}
	return ParseBinary(b)
}

// ParseBinary reads the binary form (CAP-TOK-001, CAP-TOK-005 to 008, CAP-IDN-003). It copies what it keeps. The error is an
// *Error with reason Unauth. Nothing is verified, and no caveat is looked at (CAP-HMC-003).
func ParseBinary(b []byte) (Token, error) {
	switch {
	case len(b) == 0:
		return Token{}, unauth("CAP-ROL-003")
	case len(b) > MaxBinary:
		return Token{}, unauth("CAP-TOK-005")
	case b[0] != formatVersion:
		return Token{}, unauth("CAP-TOK-007") // the library would go on and read version 1
	}
	m := new(macaroon.Macaroon)
	if err := m.UnmarshalBinary(b); err != nil {
		return Token{}, unauth("CAP-TOK-001")
	}
	t := Token{p: &token{m: m}}
	if !bytes.Equal(t.Binary(), b) {
		return Token{}, unauth("CAP-TOK-007")
	}
	caveats := m.Caveats()
	if len(caveats) > MaxCaveats {
		return Token{}, unauth("CAP-TOK-006")
	}
	for i := range caveats {
		if len(caveats[i].VerificationId) > 0 {
			return Token{}, unauth("CAP-TOK-008")
		}
	}
	id := m.Id()
	if len(id) != identifierLen || id[0] != identifierVersion {
		return Token{}, unauth("CAP-IDN-003")
	}
	copy(t.p.key[:], id[1:])
	copy(t.p.id[:], id[1+len(KeyID{}):])
	return t, nil
}

// Attenuate returns a token with more caveats and t's capability id. Any holder can do it, offline; it never allows
// more than t does (CAP-HMC-001, CAP-HMC-002). t stays as it is. The error is an *Error: Malformed for a missing
// token or a zero caveat, Oversize for a token that would be too long or have too many caveats.
func (t Token) Attenuate(caveats ...Caveat) (Token, error) {
	if t.p == nil {
		return Token{}, &Error{Reason: spec.Malformed, Rule: "CAP-TOK-001"}
	}
	p := *t.p
	p.m = t.p.m.Clone()
	n := Token{p: &p}
	if err := n.add(caveats); err != nil {
		return Token{}, err
	}
	return n, nil
}

// add appends caveats to a token that nobody else has yet.
func (t Token) add(caveats []Caveat) error {
	if len(t.p.m.Caveats())+len(caveats) > MaxCaveats {
		return &Error{Reason: spec.Oversize, Rule: "CAP-TOK-006"}
	}
	for _, c := range caveats {
		if c.kind == unknown {
			return &Error{Reason: spec.Malformed, Rule: "CAP-CAV-001"}
		}
		if err := t.p.m.AddFirstPartyCaveat([]byte(c.String())); err != nil {
			return &Error{Reason: spec.Internal, Rule: "CAP-HMC-001", Err: err}
		}
	}
	if len(t.Binary()) > MaxBinary {
		return &Error{Reason: spec.Oversize, Rule: "CAP-TOK-005"}
	}
	return nil
}
