package spec

import (
	"encoding/hex"
)

const (
	// AddressPrefix is what every textual address starts with (CAS-ADR-001).
	AddressPrefix = "b3:"
	// AddressLen is the length of a textual address in bytes: prefix and 64 hex digits.
	AddressLen = len(AddressPrefix) + 64
)

// Address names an object: the BLAKE3-256 digest of its plaintext bytes (CAS-ADR-001).
type Address [32]byte

// AppendText appends the 67-byte textual form. It never fails; the error is for encoding.TextAppender.
func (a Address) AppendText(b []byte) ([]byte, error) {
	return hex.AppendEncode(append(b, AddressPrefix...), a[:]), nil
}

// String returns the textual form, for example "b3:af13…3262".
func (a Address) String() string {
	b, _ := a.AppendText(make([]byte, 0, AddressLen))
	return string(b)
}

// MarshalText implements encoding.TextMarshaler.
func (a Address) MarshalText() ([]byte, error) { return a.AppendText(nil) }

// UnmarshalText is ParseAddress as an encoding.TextUnmarshaler; on error a is unchanged.
func (a *Address) UnmarshalText(b []byte) error {
	v, err := ParseAddress(string(b))
	if err == nil {
		*a = v
	}
	return err
}

// ParseAddress reads the textual form. It accepts "b3:" and 64 lowercase hex digits and nothing else
// (CAS-ADR-002); the error is Malformed. It does not allocate.
func ParseAddress[T string | []byte](s T) (a Address, err error) {
	if len(s) != AddressLen || string(s[:len(AddressPrefix)]) != AddressPrefix {
		return Address{}, Malformed
	}
	for i := range a {
		hi, lo := nibbles[s[3+2*i]], nibbles[s[4+2*i]]
		if hi|lo > 15 {
			return Address{}, Malformed
		}
		a[i] = hi<<4 | lo
	}
	return a, nil
}

// nibbles maps a lowercase hex digit to its value and every other byte to 255: uppercase is no digit here.
var nibbles = func() (t [256]byte) {
	for c := range t {
		t[c] = 255
	}
	for v, c := range "0123456789abcdef" {
		t[c] = byte(v)
	}
	return t
}()
