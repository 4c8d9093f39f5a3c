package refcap

import (
	"encoding/binary"
	"errors"
	"slices"
)

// The field types of the version 2 format.
const (
	FieldEOS            = 0
	FieldLocation       = 1
	FieldIdentifier     = 2
	FieldVerificationID = 4
	FieldSignature      = 6
)

// Version2 is the first byte of the format.
const Version2 = 2

// Field is one field as it is written. What it says about itself need not be true.
type Field struct {
	Type uint64
	Data []byte
}

// Shape is a macaroon before it is bytes. It can be altered into what is no macaroon.
type Shape struct {
	Version byte
	Header  []Field
	Caveats [][]Field
	Tail    []Field // the signature
}

// Shape lays t out as honest holders do.
func (t Token) Shape() Shape {
	s := Shape{Version: Version2, Tail: []Field{{FieldSignature, t.Sig[:]}}}
	section := func(location string, fields ...Field) []Field {
		if location != "" {
			fields = append([]Field{{FieldLocation, []byte(location)}}, fields...)
		}
		return fields
	}
	s.Header = section(t.Location, Field{FieldIdentifier, t.ID})
	for _, c := range t.Caveats {
		fields := []Field{{FieldIdentifier, c.ID}}
		if len(c.VID) > 0 {
			fields = append(fields, Field{FieldVerificationID, c.VID})
		}
		s.Caveats = append(s.Caveats, section(c.Location, fields...))
	}
	return s
}

// Bytes writes s as it is.
func (s Shape) Bytes() []byte {
	b := []byte{s.Version}
	for _, f := range s.Header {
		b = f.append(b)
	}
	b = append(b, FieldEOS)
	for _, fields := range s.Caveats {
		for _, f := range fields {
			b = f.append(b)
		}
		b = append(b, FieldEOS)
	}
	b = append(b, FieldEOS)
	for _, f := range s.Tail {
		b = f.append(b)
	}
	return b
}

func (f Field) append(b []byte) []byte {
	b = binary.AppendUvarint(b, f.Type)
	b = binary.AppendUvarint(b, uint64(len(f.Data)))
	return append(b, f.Data...)
}

// Bytes is the binary form (CAP-TOK-001).
func (t Token) Bytes() []byte { return t.Shape().Bytes() }

// Text is the form in text (CAP-TOK-002).
func (t Token) Text() string { return Text(t.Bytes()) }

// Bundle is a capability and its discharges in one sequence of bytes.
func Bundle(capability Token, discharges ...Token) []byte {
	b := capability.Bytes()
	for _, d := range discharges {
		b = append(b, d.Bytes()...)
	}
	return b
}

// ErrFormat is every way in which bytes are not a macaroon in the form that Bytes writes.
var ErrFormat = errors.New("refcap: not a macaroon of version 2")

// Parse reads one macaroon at the start of b and returns what follows it. It takes one encoding only (CAP-TOK-007).
func Parse(b []byte) (t Token, rest []byte, err error) {
	r := reader{b: b}
	if r.octet() != Version2 {
		return Token{}, nil, ErrFormat
	}
	header := r.section()
	if t.Location, header = location(header); len(header) != 1 || header[0].Type != FieldIdentifier {
		return Token{}, nil, ErrFormat
	}
	t.ID = header[0].Data
	for !r.bad {
		fields := r.section()
		if len(fields) == 0 {
			break
		}
		var c Caveat
		if c.Location, fields = location(fields); len(fields) == 0 || len(fields) > 2 || fields[0].Type != FieldIdentifier ||
			len(fields) == 1 && c.Location != "" || len(fields) == 2 && fields[1].Type != FieldVerificationID {
			return Token{}, nil, ErrFormat
		}
		if c.ID = fields[0].Data; len(fields) == 2 {
			c.VID = fields[1].Data
		}
		t.Caveats = append(t.Caveats, c)
	}
	sig := r.field()
	if r.bad || sig.Type != FieldSignature || len(sig.Data) != len(t.Sig) {
		return Token{}, nil, ErrFormat
	}
	t.Sig = [32]byte(sig.Data)
	if n := len(b) - len(r.b); !slices.Equal(t.Bytes(), b[:n]) {
		return Token{}, nil, ErrFormat
	}
	return t, r.b, nil
}

// ParseText reads one macaroon in the form of CAP-TOK-002 with nothing behind it.
func ParseText(text string) (Token, error) {
	b, err := Binary(text)
	if err != nil {
		return Token{}, ErrFormat
	}
	t, rest, err := Parse(b)
	if err != nil || len(rest) > 0 {
		return Token{}, ErrFormat
	}
	return t, nil
}

func location(fields []Field) (string, []Field) {
	if len(fields) > 0 && fields[0].Type == FieldLocation {
		return string(fields[0].Data), fields[1:]
	}
	return "", fields
}

// reader takes fields off the front of b. Once bad it stays so.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) octet() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	x := r.b[0]
	r.b = r.b[1:]
	return x
}

func (r *reader) number() uint64 {
	x, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad = true
		return 0
	}
	r.b = r.b[n:]
	return x
}

func (r *reader) field() Field {
	f := Field{Type: r.number()}
	if r.bad || f.Type == FieldEOS {
		return f
	}
	n := r.number()
	if r.bad || n > uint64(len(r.b)) {
		r.bad = true
		return f
	}
	f.Data, r.b = slices.Clone(r.b[:n]), r.b[n:]
	return f
}

// section takes fields up to the next EOS.
func (r *reader) section() (fields []Field) {
	for {
		f := r.field()
		if r.bad || f.Type == FieldEOS {
			return fields
		}
		fields = append(fields, f)
	}
}
