package keys

import (
	"crypto/rand"
	"io"

	"github.com/rustyonions/micronode/impl/secret"
)

// seedLen is the length in bytes of every seed: of Ed25519, of ML-DSA-65 and of X-Wing.
const seedLen = 32

// newSeed reads a seed straight into the vault, so that no other memory ever holds it. A nil random is the system's.
func newSeed(v *secret.Vault, random io.Reader) (*secret.Bytes, error) {
	if random == nil {
		random = rand.Reader
	}
	b, err := v.New(seedLen)
	if err != nil {
		return nil, internal("no room for a key", err)
	}
	if _, err := io.ReadFull(random, b.Bytes()); err != nil {
		b.Wipe()
		return nil, internal("randomness", err)
	}
	return b, nil
}

// useSeed calls f with the seed, within secret.Do. f clears what it derives.
func useSeed(b *secret.Bytes, f func(seed *[seedLen]byte)) error {
	err := b.Use(func(seed []byte) {
		secret.Do(func() { f((*[seedLen]byte)(seed)) })
	})
	if err != nil {
		return internal("the key is gone", err)
	}
	return nil
}
