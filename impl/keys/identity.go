package keys

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"io"

	"github.com/cloudflare/circl/sign/mldsa/mldsa65" // FIPS 204 (CAP-KEY-008), not the drafts beside it (DIV-KEY-001)

	"github.com/rustyonions/micronode/impl/secret"
)

const (
	// MaxPurpose is the longest purpose in bytes: what FIPS 204 allows for a context string.
	MaxPurpose = 255
	// idLen is how many bytes of the SHA-256 of the public keys make the id (CAP-KEY-009).
	idLen = 16
)

// Identity is the signing identity of a node: an Ed25519 and an ML-DSA-65 key. It prints as [redacted]; its public keys and
// id are what may be shown (CAP-KEY-005). It is safe for concurrent use.
type Identity struct {
	secret.Redacted
	in *identity
}

type identity struct {
	ed25519, mldsa65 *secret.Bytes // the seeds
	public           PublicKey
}

// NewIdentity makes an identity from 64 bytes of random (nil means the system's randomness), in two slots of the vault.
// The error has the reason internal. The caller closes it (CAP-KEY-010).
func NewIdentity(v *secret.Vault, random io.Reader) (*Identity, error) {
	ed, err := newSeed(v, random)
	if err != nil {
		return nil, err
	}
	pq, err := newSeed(v, random)
	if err != nil {
		ed.Wipe()
		return nil, err
	}
	id := &Identity{in: &identity{ed25519: ed, mldsa65: pq}}
	in := id.in
	err = in.withEd25519(func(key ed25519.PrivateKey) {
		in.public.Ed25519 = append([]byte(nil), key[seedLen:]...) // the second half is the public key (RFC 8032)
	})
	if err == nil {
		err = useSeed(pq, func(seed *[seedLen]byte) {
			public, key := mldsa65.NewKeyFromSeed(seed)
			*key = mldsa65.PrivateKey{}
			in.public.MLDSA65 = public.Bytes()
		})
	}
	if err != nil {
		id.Close()
		return nil, err
	}
	return id, nil
}

// Public returns the public keys. They stay valid after Close.
func (id *Identity) Public() PublicKey { return id.in.public.clone() }

// Sign signs msg for a purpose, 1 to MaxPurpose bytes, with both keys (CAP-KEY-006, CAP-KEY-011). The error is internal:
// the identity was closed, or the purpose is out of bounds. Two signatures of one message differ, because ML-DSA-65 mixes
// in fresh randomness as FIPS 204 recommends.
func (id *Identity) Sign(purpose string, msg []byte) (Signature, error) {
	if !goodPurpose(purpose) {
		return Signature{}, internal("a purpose has 1 to 255 bytes", nil)
	}
	ed, err := id.in.signEd25519(bound(purpose, msg))
	if err != nil {
		return Signature{}, err
	}
	pq, err := id.in.signMLDSA65(purpose, msg)
	if err != nil {
		return Signature{}, err
	}
	return Signature{Ed25519: ed, MLDSA65: pq}, nil
}

// Close overwrites both keys. It waits for signatures that are being made, and does nothing the second time.
func (id *Identity) Close() {
	id.in.ed25519.Wipe()
	id.in.mldsa65.Wipe()
}

// withEd25519 derives the private key for f, and overwrites it.
func (in *identity) withEd25519(f func(ed25519.PrivateKey)) error {
	return useSeed(in.ed25519, func(seed *[seedLen]byte) {
		key := ed25519.NewKeyFromSeed(seed[:])
		defer clear(key)
		f(key)
	})
}

// signEd25519 signs exactly msg: the caller has bound it to its purpose.
func (in *identity) signEd25519(msg []byte) ([]byte, error) {
	sig := make([]byte, ed25519.SignatureSize) // made outside of secret.Do, which would erase it
	err := in.withEd25519(func(key ed25519.PrivateKey) { copy(sig, ed25519.Sign(key, msg)) })
	return sig, err
}

func (in *identity) signMLDSA65(purpose string, msg []byte) ([]byte, error) {
	sig := make([]byte, mldsa65.SignatureSize)
	var failed error
	err := useSeed(in.mldsa65, func(seed *[seedLen]byte) {
		_, key := mldsa65.NewKeyFromSeed(seed)
		failed = mldsa65.SignTo(key, msg, []byte(purpose), true, sig)
		*key = mldsa65.PrivateKey{}
	})
	if err == nil && failed != nil {
		err = internal("ML-DSA-65", failed)
	}
	return sig, err
}

func goodPurpose(purpose string) bool { return 1 <= len(purpose) && len(purpose) <= MaxPurpose }

// bound is what Ed25519 signs: a zero byte, the length of the purpose in one byte, the purpose and the message. That is the
// encoding which FIPS 204 fixes for ML-DSA and its context, so both halves are over the same bytes (CAP-KEY-006). It can
// be taken apart in one way only, so no two pairs of purpose and message share it (CAP-KEY-011); and it starts with a byte
// that no signed note has, so it is never the text of one.
func bound(purpose string, msg []byte) []byte {
	b := make([]byte, 0, 2+len(purpose)+len(msg))
	b = append(b, 0, byte(len(purpose)))
	b = append(b, purpose...)
	return append(b, msg...)
}

// PublicKey is the public half of an identity. It is a value: nothing here changes one.
type PublicKey struct {
	Ed25519 []byte // 32 bytes
	MLDSA65 []byte // 1,952 bytes
}

// ID is what an identity is known by: the first 16 bytes of the SHA-256 of both public keys, the Ed25519 one first, as 32
// hexadecimal digits (CAP-KEY-009).
func (p PublicKey) ID() string {
	h := sha256.New()
	h.Write(p.Ed25519)
	h.Write(p.MLDSA65)
	return hex.EncodeToString(h.Sum(nil)[:idLen])
}

// Verify returns nil only if both halves of s are signatures of msg for this purpose (CAP-KEY-006, CAP-KEY-011). The error
// has the reason malformed if a key, the signature or the purpose has not the right length, and unauth otherwise.
func (p PublicKey) Verify(purpose string, msg []byte, s Signature) error {
	if err := p.check(); err != nil {
		return err
	}
	if !goodPurpose(purpose) {
		return malformed("a purpose has 1 to 255 bytes")
	}
	if err := s.check(); err != nil {
		return err
	}
	if !p.verifyEd25519(bound(purpose, msg), s.Ed25519) {
		return unauth("the Ed25519 half of the signature does not verify")
	}
	if !p.verifyMLDSA65(purpose, msg, s.MLDSA65) {
		return unauth("the ML-DSA-65 half of the signature does not verify")
	}
	return nil
}

func (p PublicKey) verifyEd25519(msg, sig []byte) bool {
	return len(p.Ed25519) == ed25519.PublicKeySize && ed25519.Verify(p.Ed25519, msg, sig)
}

func (p PublicKey) verifyMLDSA65(purpose string, msg, sig []byte) bool {
	var key mldsa65.PublicKey
	return key.UnmarshalBinary(p.MLDSA65) == nil && mldsa65.Verify(&key, msg, []byte(purpose), sig)
}

func (p PublicKey) check() error {
	if len(p.Ed25519) != ed25519.PublicKeySize || len(p.MLDSA65) != mldsa65.PublicKeySize {
		return malformed("a public key has not its length")
	}
	return nil
}

func (p PublicKey) clone() PublicKey {
	return PublicKey{Ed25519: append([]byte(nil), p.Ed25519...), MLDSA65: append([]byte(nil), p.MLDSA65...)}
}

// Signature is a hybrid signature; neither half is worth anything without the other (CAP-KEY-006).
type Signature struct {
	Ed25519 []byte // 64 bytes
	MLDSA65 []byte // 3,309 bytes
}

func (s Signature) check() error {
	if len(s.Ed25519) != ed25519.SignatureSize || len(s.MLDSA65) != mldsa65.SignatureSize {
		return malformed("a signature has not its length")
	}
	return nil
}
