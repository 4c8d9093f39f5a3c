package keys

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
)

// encoding is the base64 of every key and signature in text form.
var encoding = base64.StdEncoding

// decode reads base64 of which there is only one: what the decoder overlooks, such as line ends and bits that stand for
// nothing, does not come back when it is encoded again.
func decode(text string) ([]byte, error) {
	b, err := encoding.DecodeString(text)
	if err != nil || encoding.EncodeToString(b) != text {
		return nil, malformed("not in base64")
	}
	return b, nil
}

// halves is how a public key and a signature stand in JSON.
type halves struct {
	Ed25519 string `json:"ed25519"`
	MLDSA65 string `json:"ml_dsa_65"`
}

func (h halves) decode() (ed, pq []byte, err error) {
	if ed, err = decode(h.Ed25519); err == nil {
		pq, err = decode(h.MLDSA65)
	}
	return ed, pq, err
}

// readHalves reads what MarshalJSON of either hybrid gives.
func readHalves(data []byte) (ed, pq []byte, err error) {
	var h halves
	if err := strictly(data, &h); err != nil {
		return nil, nil, err
	}
	return h.decode()
}

func halvesOf(ed, pq []byte) halves {
	return halves{encoding.EncodeToString(ed), encoding.EncodeToString(pq)}
}

// strictly decodes JSON into v and encodes it again: what is left of data but white space is then known to be in v. That
// finds members that are unknown, repeated, of another case or out of order without a list of them.
func strictly(data []byte, v any) error {
	if err := json.Unmarshal(data, v); err != nil {
		return malformed("not in JSON of the right form")
	}
	again, err := json.Marshal(v)
	if err != nil {
		return internal("JSON", err)
	}
	var plain bytes.Buffer
	if err := json.Compact(&plain, data); err != nil || !bytes.Equal(plain.Bytes(), again) {
		return malformed("not in the canonical JSON")
	}
	return nil
}

// MarshalJSON gives {"ed25519":…,"ml_dsa_65":…} in base64.
func (p PublicKey) MarshalJSON() ([]byte, error) { return json.Marshal(halvesOf(p.Ed25519, p.MLDSA65)) }

// UnmarshalJSON reads what MarshalJSON gives, with any white space, and nothing else. The error is malformed.
func (p *PublicKey) UnmarshalJSON(data []byte) error {
	ed, pq, err := readHalves(data)
	key := PublicKey{ed, pq}
	if err == nil {
		err = key.check()
	}
	if err == nil {
		*p = key
	}
	return err
}

// Text is both keys, Ed25519 first, as one line of base64.
func (p PublicKey) Text() string {
	return encoding.EncodeToString(append(append([]byte(nil), p.Ed25519...), p.MLDSA65...))
}

// ParsePublicKey reads what Text gives. The error is malformed.
func ParsePublicKey(text string) (PublicKey, error) {
	both, err := decode(text)
	if err != nil {
		return PublicKey{}, err
	}
	if len(both) < ed25519.PublicKeySize {
		return PublicKey{}, malformed("a public key has not its length")
	}
	p := PublicKey{both[:ed25519.PublicKeySize:ed25519.PublicKeySize], both[ed25519.PublicKeySize:]}
	return p, p.check()
}

// MarshalJSON gives {"ed25519":…,"ml_dsa_65":…} in base64.
func (s Signature) MarshalJSON() ([]byte, error) { return json.Marshal(halvesOf(s.Ed25519, s.MLDSA65)) }

// UnmarshalJSON reads what MarshalJSON gives, with any white space, and nothing else. The error is malformed.
func (s *Signature) UnmarshalJSON(data []byte) error {
	ed, pq, err := readHalves(data)
	sig := Signature{ed, pq}
	if err == nil {
		err = sig.check()
	}
	if err == nil {
		*s = sig
	}
	return err
}
