package keys

import (
	"crypto/hpke"
	"crypto/mlkem"
	"io"
	"slices"

	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/spec"
)

const (
	// SealingPublicLen is the length of a public sealing key in bytes: an ML-KEM-768 and an X25519 key.
	SealingPublicLen = mlkem.EncapsulationKeySize768 + 32
	// encapsulatedLen is the length of what carries the shared secret: an ML-KEM-768 ciphertext and an X25519 key.
	encapsulatedLen = mlkem.CiphertextSize768 + 32
	// SealingOverhead is by how many bytes sealed bytes are longer than what they hold.
	SealingOverhead = encapsulatedLen + 16
)

// The suite is HPKE (RFC 9180) in base mode with X-Wing, which is X25519 and ML-KEM-768 of FIPS 203 together (CAP-KEY-007,
// CAP-KEY-008), HKDF-SHA256 and ChaCha20-Poly1305. One sealing makes one context and uses it once.
func suite() (hpke.KEM, hpke.KDF, hpke.AEAD) {
	return hpke.MLKEM768X25519(), hpke.HKDFSHA256(), hpke.ChaCha20Poly1305()
}

// Seal encrypts plaintext so that only the holder of the private half of public can read it. info and aad are not
// encrypted and not part of the result; who opens it has to know them: info says what the key is used for, aad what belongs
// to this one message. Seal does not say who sealed. The result is encapsulated key, ciphertext and tag, and
// SealingOverhead bytes longer than plaintext. The error has the reason malformed if public is no key.
func Seal(public, info, aad, plaintext []byte) (sealed []byte, err error) {
	kem, kdf, aead := suite()
	secret.Do(func() {
		var key hpke.PublicKey
		if key, err = kem.NewPublicKey(public); err != nil {
			return
		}
		var sender *hpke.Sender
		if sealed, sender, err = hpke.NewSender(key, kdf, aead, info); err != nil {
			return
		}
		var ciphertext []byte
		ciphertext, err = sender.Seal(aad, plaintext)
		sealed = append(sealed, ciphertext...)
	})
	if err != nil {
		return nil, &Error{Reason: spec.Malformed, What: "can not seal to this key", Err: err}
	}
	return sealed, nil
}

// SealingKey opens what was sealed for it. It is safe for concurrent use.
type SealingKey struct {
	secret.Redacted
	in *sealingKey
}

type sealingKey struct {
	seed   *secret.Bytes // of X-Wing: both private keys derive from it
	public []byte
}

// NewSealingKey makes a key from 32 bytes of random (nil means the system's randomness), in one slot of the vault. The
// error has the reason internal. The caller closes it (CAP-KEY-010).
func NewSealingKey(v *secret.Vault, random io.Reader) (*SealingKey, error) {
	seed, err := newSeed(v, random)
	if err != nil {
		return nil, err
	}
	k := &SealingKey{in: &sealingKey{seed: seed}}
	err = k.in.with(func(key hpke.PrivateKey) { k.in.public = key.PublicKey().Bytes() })
	if err != nil {
		k.Close()
		return nil, err
	}
	return k, nil
}

// Public returns the key to seal to, SealingPublicLen bytes.
func (k *SealingKey) Public() []byte { return slices.Clone(k.in.public) }

// Open decrypts what Seal made for this key with the same info and aad. The error has the reason malformed for what is too
// short, unauth for what was changed, cut or meant for another key, info or aad, and internal once the key was closed.
func (k *SealingKey) Open(info, aad, sealed []byte) (plaintext []byte, err error) {
	if len(sealed) < SealingOverhead {
		return nil, malformed("sealed bytes are longer than that")
	}
	_, kdf, aead := suite()
	var failed error
	err = k.in.with(func(key hpke.PrivateKey) {
		var recipient *hpke.Recipient
		if recipient, failed = hpke.NewRecipient(sealed[:encapsulatedLen], key, kdf, aead, info); failed == nil {
			plaintext, failed = recipient.Open(aad, sealed[encapsulatedLen:])
		}
	})
	if err != nil {
		return nil, err
	}
	if failed != nil { // which of its steps failed is nobody's business
		return nil, unauth("does not open")
	}
	return plaintext, nil
}

// Close overwrites the key. It waits for what is being opened, and does nothing the second time.
func (k *SealingKey) Close() { k.in.seed.Wipe() }

// with derives the private key for f, and overwrites the copy of the seed that it holds.
func (in *sealingKey) with(f func(hpke.PrivateKey)) error {
	var failed error
	err := useSeed(in.seed, func(seed *[seedLen]byte) {
		kem, _, _ := suite()
		var key hpke.PrivateKey
		if key, failed = kem.NewPrivateKey(seed[:]); failed != nil {
			return
		}
		f(key)
		if own, err := key.Bytes(); err == nil { // its own copy of the seed and not another, as the tests check
			clear(own)
		}
	})
	if err == nil && failed != nil {
		err = internal("X-Wing", failed)
	}
	return err
}
