package capability

import (
	"crypto/sha256"
	"encoding/binary"
)

// The fields of the libmacaroons version 2 binary format (CAP-TOK-001).
const (
	formatVersion = 2 // the first byte

	fieldEnd        = 0 // ends a section, and stands for an empty one; it has no length
	fieldLocation   = 1
	fieldIdentifier = 2
	fieldVerifier   = 4 // the verification id of a third-party caveat
	fieldSignature  = 6

	// trailerLen is the length of what stands behind the caveats: the end of the list and the signature.
	trailerLen = 1 + 2 + sha256.Size
)

// form is one macaroon in binary form: where things stand in its bytes, which it shares with whoever read it.
type form struct {
	bytes      []byte // all of it
	id         []byte
	list       []byte // its caveats, one behind the other
	sig        []byte // 32 bytes
	count      int    // caveats
	thirdParty int    // those of a third party
}

// caveats reads the caveats from the first one on. They were checked when the form was read.
func (m *form) caveats() reader { return reader{rest: m.list} }

// clause is one caveat in binary form.
type clause struct {
	location, id []byte
	vid          []byte // empty in a first-party caveat
}

// thirdParty says that somebody else has to confirm it.
func (c *clause) thirdParty() bool { return len(c.vid) > 0 }

// reader reads binary forms. It accepts one encoding and nothing else, where gopkg.in/macaroon.v2 accepts also lengths
// in more bytes than they need, empty fields that stand for none, and whatever follows (CAP-TOK-007). All that it returns
// are parts of rest.
type reader struct {
	rest []byte
	rule string // that is broken; "" as long as none is. What is returned after that means nothing
}

// more says that there is something to read, and nothing wrong so far.
func (r *reader) more() bool { return len(r.rest) > 0 && r.rule == "" }

// fail notes the first rule that is broken.
func (r *reader) fail(rule string) {
	if r.rule == "" {
		r.rule = rule
	}
}

// macaroon reads one macaroon.
func (r *reader) macaroon() (m form) {
	start := r.rest
	if !r.more() || r.rest[0] != formatVersion {
		r.fail("CAP-TOK-007")
		return form{}
	}
	r.rest = r.rest[1:]
	head := r.section(false)
	m.id = head.id
	m.list = r.rest
	for r.more() && r.rest[0] != fieldEnd {
		c := r.caveat()
		m.count++
		if c.thirdParty() {
			m.thirdParty++
		}
	}
	m.list = m.list[:len(m.list)-len(r.rest)]
	r.end()
	sig, ok := r.field(fieldSignature)
	if !ok || len(sig) != sha256.Size {
		r.fail("CAP-TOK-001")
		return form{}
	}
	m.sig = sig
	m.bytes = start[:len(start)-len(r.rest)]
	return m
}

// caveat reads one caveat.
func (r *reader) caveat() clause { return r.section(true) }

// section reads the head, or a caveat: location, identifier and verification id in this order. The head has none of the
// last, and a caveat a location only with one.
func (r *reader) section(caveat bool) (c clause) {
	var located, verified, identified bool
	c.location, located = r.field(fieldLocation)
	c.id, identified = r.field(fieldIdentifier)
	c.vid, verified = r.field(fieldVerifier)
	switch {
	case !identified, verified && !caveat, located && !verified && caveat:
		r.fail("CAP-TOK-001")
	case located && len(c.location) == 0, verified && len(c.vid) == 0:
		r.fail("CAP-TOK-007") // what stands for none is left out
	}
	r.end()
	return c
}

// end reads the end of a section.
func (r *reader) end() {
	if !r.more() || r.rest[0] != fieldEnd {
		r.fail("CAP-TOK-001")
		return
	}
	r.rest = r.rest[1:]
}

// field reads a field of this kind, if one comes next.
func (r *reader) field(kind byte) (data []byte, ok bool) {
	switch {
	case !r.more():
		r.fail("CAP-TOK-001")
		return nil, false
	case r.rest[0] >= 0x80:
		r.fail("CAP-TOK-007") // every kind there is fits into one byte
		return nil, false
	case r.rest[0] != kind:
		return nil, false
	}
	size, n := binary.Uvarint(r.rest[1:])
	switch {
	case n <= 0 || size > uint64(len(r.rest)-1-n):
		r.fail("CAP-TOK-001")
		return nil, false
	case n > 1 && r.rest[n] == 0:
		r.fail("CAP-TOK-007")
		return nil, false
	}
	data, r.rest = r.rest[1+n:][:size], r.rest[1+n:][size:]
	return data, true
}

// appendField writes a field.
func appendField(b []byte, kind byte, data []byte) []byte {
	b = append(b, kind)
	b = binary.AppendUvarint(b, uint64(len(data)))
	return append(b, data...)
}

// appendHead writes what stands in front of the caveats. An empty location is none.
func appendHead(b []byte, location string, id []byte) []byte {
	b = append(b, formatVersion)
	if location != "" {
		b = appendField(b, fieldLocation, []byte(location))
	}
	return append(appendField(b, fieldIdentifier, id), fieldEnd)
}

// appendCaveats writes first-party caveats, and adds them to the chain.
func appendCaveats(b []byte, c *chain, caveats []Caveat) []byte {
	for _, next := range caveats {
		text := []byte(next.String())
		b = append(appendField(b, fieldIdentifier, text), fieldEnd)
		c.add(text)
	}
	return b
}

// appendTrailer writes what stands behind the caveats.
func appendTrailer(b []byte, sig []byte) []byte {
	return appendField(append(b, fieldEnd), fieldSignature, sig)
}
