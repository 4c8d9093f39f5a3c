package refcap

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"slices"

	"golang.org/x/crypto/nacl/secretbox"
)

// The sizes of an identifier (CAP-IDN-001), in bytes.
const (
	KeyIDLen = 8
	CapIDLen = 16
	IDLen    = 1 + KeyIDLen + CapIDLen
)

// Caveat is one caveat. VID is empty in a first-party caveat, whose ID is then the condition (CAP-CAV-001).
type Caveat struct {
	Location string
	ID, VID  []byte
}

// Token is one macaroon: a capability, or a discharge.
type Token struct {
	Location string
	ID       []byte
	Caveats  []Caveat
	Sig      [32]byte
}

func mac(key, text []byte) [32]byte {
	h := hmac.New(sha256.New, key)
	h.Write(text)
	return [32]byte(h.Sum(nil))
}

// mac2 is how libmacaroons hashes two texts under one key.
func mac2(key, a, b []byte) [32]byte {
	x, y := mac(key, a), mac(key, b)
	return mac(key, append(x[:], y[:]...))
}

// derive makes the key of fixed length from a root key.
func derive(root []byte) [32]byte { return mac([]byte("macaroons-key-generator"), root) }

// New begins a chain (CAP-HMC-001).
func New(root, id []byte, location string) Token {
	key := derive(root)
	return Token{Location: location, ID: slices.Clone(id), Sig: mac(key[:], id)}
}

// Identifier is that of CAP-IDN-001.
func Identifier(version byte, key [KeyIDLen]byte, id [CapIDLen]byte) []byte {
	return append(append([]byte{version}, key[:]...), id[:]...)
}

// KeyID and CapID are the parts of an identifier; ok is false for one of another form.
func (t Token) KeyID() (id [KeyIDLen]byte, ok bool) {
	if len(t.ID) != IDLen || t.ID[0] != 1 {
		return id, false
	}
	return [KeyIDLen]byte(t.ID[1:]), true
}

// CapID is the capability id; ok is false for an identifier of another form.
func (t Token) CapID() (id [CapIDLen]byte, ok bool) {
	if len(t.ID) != IDLen || t.ID[0] != 1 {
		return id, false
	}
	return [CapIDLen]byte(t.ID[1+KeyIDLen:]), true
}

// With appends conditions, whatever their bytes are.
func (t Token) With(conditions ...string) Token {
	t.Caveats = slices.Clone(t.Caveats)
	for _, c := range conditions {
		t.Caveats = append(t.Caveats, Caveat{ID: []byte(c)})
		t.Sig = mac(t.Sig[:], []byte(c))
	}
	return t
}

// WithThirdParty appends a caveat that wants a discharge for id, made under root. The nonce is the caller's.
func (t Token) WithThirdParty(root, id []byte, nonce [24]byte, location string) Token {
	key := derive(root)
	vid := secretbox.Seal(nonce[:], key[:], &nonce, &t.Sig)
	t.Caveats = append(slices.Clone(t.Caveats), Caveat{Location: location, ID: slices.Clone(id), VID: vid})
	t.Sig = mac2(t.Sig[:], vid, id)
	return t
}

// Bound is t as a discharge that is bound to the capability.
func (t Token) Bound(capability Token) Token {
	var zero [32]byte
	t.Sig = mac2(zero[:], capability.Sig[:], t.Sig[:])
	return t
}

// Verify says whether t is what root and the discharges, in any order, sign: each asked for once and all of them used
// (CAP-TOK-008, CAP-TOK-010). Conditions are not looked at.
func (t Token) Verify(root []byte, discharges ...Token) bool {
	key, used := derive(root), make([]bool, len(discharges))
	return t.verify(key, nil, discharges, used) && !slices.Contains(used, false)
}

// verify follows one chain. capability is nil for the capability itself.
func (t Token) verify(key [32]byte, capability *Token, discharges []Token, used []bool) bool {
	sig := mac(key[:], t.ID)
	for _, c := range t.Caveats {
		if len(c.VID) == 0 {
			sig = mac(sig[:], c.ID)
			continue
		}
		if capability != nil || len(c.VID) < 24 {
			return false
		}
		nonce := [24]byte(c.VID)
		sealed, ok := secretbox.Open(nil, c.VID[24:], &nonce, &sig)
		i := slices.IndexFunc(discharges, func(d Token) bool { return string(d.ID) == string(c.ID) })
		if !ok || len(sealed) != 32 || i < 0 || used[i] || !discharges[i].verify([32]byte(sealed), &t, discharges, used) {
			return false
		}
		used[i] = true
		sig = mac2(sig[:], c.VID, c.ID)
	}
	if capability != nil {
		var zero [32]byte
		sig = mac2(zero[:], capability.Sig[:], sig[:])
	}
	return sig == t.Sig
}

// Text is b as CAP-TOK-002 writes it.
func Text(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Binary is the inverse of Text.
func Binary(text string) ([]byte, error) { return base64.RawURLEncoding.Strict().DecodeString(text) }
