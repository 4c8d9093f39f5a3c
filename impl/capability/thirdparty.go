package capability

import (
	"bytes"
	"slices"

	"gopkg.in/macaroon.v2"

	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/spec"
)

// checkDischarges looks at how third-party caveats and discharges belong together, which needs no key. It returns the rule
// that is broken, or "": counts of caveats (CAP-TOK-006), and discharges that nobody asks for, that come twice, or
// that ask for discharges (CAP-TOK-010). A token whose third-party caveat lacks a discharge is open (CAP-TOK-008). Two
// with one identifier are open for ever, because a discharge serves one of them.
func (p *content) checkDischarges() (open bool, rule string) {
	count := p.m.count
	for r := (reader{rest: p.discharges}); r.more(); {
		before := p.discharges[:len(p.discharges)-len(r.rest)]
		d := r.macaroon()
		if r.rule != "" {
			return false, r.rule
		}
		count += d.count
		if d.thirdParty > 0 || !asks(&p.m, d.id) || discharged(before, d.id) {
			return false, "CAP-TOK-010"
		}
	}
	if count > spec.MaxCaveats {
		return false, "CAP-TOK-006"
	}
	for list := p.m.caveats(); list.more(); {
		before := form{list: p.m.list[:len(p.m.list)-len(list.rest)]}
		if c := list.caveat(); c.thirdParty() && (!discharged(p.discharges, c.id) || asks(&before, c.id)) {
			open = true
		}
	}
	return open, ""
}

// asks says whether a third-party caveat of m has this identifier.
func asks(m *form, id []byte) bool {
	for list := m.caveats(); list.more(); {
		if c := list.caveat(); c.thirdParty() && bytes.Equal(c.id, id) {
			return true
		}
	}
	return false
}

// discharged says whether one of the discharges has this identifier.
func discharged(discharges, id []byte) bool {
	for r := (reader{rest: discharges}); r.more(); {
		if d := r.macaroon(); bytes.Equal(d.id, id) {
			return true
		}
	}
	return false
}

// dischargesHold verifies the discharges of a token whose own signature is right (CAP-TOK-008). This is what
// gopkg.in/macaroon.v2 is for: it opens the caveat keys, and refuses discharges that are not signed with them or not bound to
// this very token. It leaves derived keys on the heap, which runtime/secret overwrites where there is one.
func (t Token) dischargesHold(root []byte) (ok bool) {
	secret.Do(func() {
		m, err := library(t.p.in.m.bytes)
		if err != nil {
			return
		}
		var list []*macaroon.Macaroon
		for r := (reader{rest: t.p.in.discharges}); r.more(); {
			d, err := library(r.macaroon().bytes)
			if err != nil {
				return
			}
			list = append(list, d)
		}
		_, err = m.VerifySignature(root, list)
		ok = err == nil
	})
	return ok
}

// library is a macaroon as the library has it.
func library(b []byte) (*macaroon.Macaroon, error) {
	m := new(macaroon.Macaroon)
	return m, m.UnmarshalBinary(b)
}

// AddThirdParty returns a token that is good only together with a discharge by whoever knows key: a third party that reads
// in id what it has to confirm. location is a hint where to find it; nothing checks it (CAP-IDN-004). t stays as it is. Any
// holder can do it. The error is an *Error: Malformed for a missing token, an empty key or id, an id that another
// caveat of t has, or a token with discharges; Oversize for a token that would be too long or have too many caveats.
func (t Token) AddThirdParty(key, id []byte, location string) (Token, error) {
	if err := t.extensible(1); err != nil {
		return Token{}, err
	}
	if len(key) == 0 || len(id) == 0 || asks(&t.p.in.m, id) {
		return Token{}, &Error{Reason: spec.Malformed, Rule: "CAP-TOK-008"}
	}
	m, err := library(t.p.in.m.bytes)
	if err == nil {
		err = m.AddThirdPartyCaveat(key, bytes.Clone(id), location)
	}
	if err != nil {
		return Token{}, &Error{Reason: spec.Internal, Rule: "CAP-TOK-008", Err: err}
	}
	b, err := m.MarshalBinary()
	if err != nil {
		return Token{}, &Error{Reason: spec.Internal, Rule: "CAP-TOK-008", Err: err}
	}
	return parsed(b)
}

// Discharge is what a third party gives out when it confirms a caveat. It is a secret like a Token, and prints as
// [redacted]. The zero Discharge is none.
type Discharge struct {
	secret.Redacted
	p *discharge
}

type discharge struct{ m *form }

// NewDischarge makes the discharge of a third-party caveat with the key and the id that it was made with. Its caveats have to
// hold as if they stood in the capability (CAP-TOK-011). The error is an *Error: Malformed for an empty key or id or a zero
// caveat, Oversize for what no capability has room for.
func NewDischarge(key, id []byte, caveats ...Caveat) (Discharge, error) {
	if len(key) == 0 || len(id) == 0 {
		return Discharge{}, &Error{Reason: spec.Malformed, Rule: "CAP-TOK-008"}
	}
	if len(caveats) > spec.MaxCaveats {
		return Discharge{}, &Error{Reason: spec.Oversize, Rule: "CAP-TOK-006"}
	}
	var c chain
	defer c.wipe()
	c.start(key)
	c.add(id)
	b, err := sealed(appendHead(nil, "", id), &c, caveats)
	if err != nil {
		return Discharge{}, err
	}
	if len(b) > spec.MaxCapability {
		return Discharge{}, &Error{Reason: spec.Oversize, Rule: "CAP-TOK-005"}
	}
	return ParseDischarge(b)
}

// ParseDischarge reads the binary form of a discharge, as its third party gives it out. It copies what it keeps. The error is
// an *Error with reason Unauth. Nothing is verified.
func ParseDischarge(b []byte) (Discharge, error) {
	if len(b) > spec.MaxCapability {
		return Discharge{}, unauth("CAP-TOK-005")
	}
	r := reader{rest: bytes.Clone(b)}
	m := r.macaroon()
	switch {
	case r.rule != "":
		return Discharge{}, unauth(r.rule)
	case len(r.rest) > 0:
		return Discharge{}, unauth("CAP-TOK-007")
	case m.count > spec.MaxCaveats:
		return Discharge{}, unauth("CAP-TOK-006")
	case m.thirdParty > 0:
		return Discharge{}, unauth("CAP-TOK-010")
	}
	return Discharge{p: &discharge{&m}}, nil
}

// Binary returns a copy of the binary form; nil for the zero Discharge.
func (d Discharge) Binary() []byte {
	if d.p == nil {
		return nil
	}
	return bytes.Clone(d.p.m.bytes)
}

// Bind returns the token with its discharges, bound to its signature, so that they are worth nothing beside another
// token (CAP-TOK-008). t and the discharges stay as they are. The error is an *Error: Malformed for a missing token
// or discharge, one that has discharges already, and discharges that are not exactly those that it asks for; Oversize for what
// would be too long or have too many caveats.
func (t Token) Bind(discharges ...Discharge) (Token, error) {
	if err := t.extensible(0); err != nil {
		return Token{}, err
	}
	b := slices.Clone(t.p.in.m.bytes)
	for _, d := range discharges {
		if d.p == nil {
			return Token{}, &Error{Reason: spec.Malformed, Rule: "CAP-TOK-008"}
		}
		var c chain // its key is 32 bytes of zeros
		c.addTwo(t.p.in.m.sig, d.p.m.sig)
		b = append(b, d.p.m.bytes[:len(d.p.m.bytes)-len(c.sum)]...)
		b = append(b, c.sum[:]...)
		c.wipe()
	}
	bound, err := parsed(b)
	if err == nil && bound.p.open {
		return Token{}, &Error{Reason: spec.Malformed, Rule: "CAP-TOK-008"}
	}
	return bound, err
}
