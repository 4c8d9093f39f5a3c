package capability

import (
	"crypto/hmac"
	"crypto/sha256"
)

// keyGenerator is the key under which libmacaroons derives the first key of a chain from a root key (CAP-HMC-001).
const keyGenerator = "macaroons-key-generator"

// chain is the HMAC-SHA256 chain of one macaroon (CAP-HMC-001). crypto/hmac would allocate for every link, because each
// has another key; this needs no memory but its own, which wipe overwrites. It is crypto/sha256 twice, as RFC 2104 says,
// and tests hold it to crypto/hmac and to gopkg.in/macaroon.v2.
type chain struct {
	sum [sha256.Size]byte      // the signature so far, which is the key of the next link
	pad [sha256.BlockSize]byte // the key of a link, padded
}

// start makes what is derived from a root key the key of the first link.
func (c *chain) start(root []byte) { c.mac([]byte(keyGenerator), root) }

// add appends a first-party caveat, or the identifier: the signature of data under the signature before.
func (c *chain) add(data []byte) { c.mac(c.sum[:], data) }

// addTwo appends a third-party caveat, of verification id and identifier. A discharge is bound in the same way.
func (c *chain) addTwo(a, b []byte) {
	var first, second chain
	first.mac(c.sum[:], a)
	second.mac(c.sum[:], b)
	both := [2 * sha256.Size]byte(append(first.sum[:], second.sum[:]...))
	c.add(both[:])
	first.wipe()
	second.wipe()
	clear(both[:])
}

// caveats appends all caveats of m.
func (c *chain) caveats(m *form) {
	for r := m.caveats(); r.more(); {
		if next := r.caveat(); next.thirdParty() {
			c.addTwo(next.vid, next.id)
		} else {
			c.add(next.id)
		}
	}
}

// mac makes sum the HMAC of data under key, which has at most 64 bytes and may be sum itself.
func (c *chain) mac(key, data []byte) {
	clear(c.pad[:])
	copy(c.pad[:], key)
	for i := range c.pad {
		c.pad[i] ^= 0x36
	}
	h := sha256.New()
	h.Write(c.pad[:])
	h.Write(data)
	h.Sum(c.sum[:0])
	for i := range c.pad {
		c.pad[i] ^= 0x36 ^ 0x5c
	}
	h.Reset()
	h.Write(c.pad[:])
	h.Write(c.sum[:])
	h.Sum(c.sum[:0])
	h.Reset()
}

// is says, in constant time, whether the signature is sig (CAP-HMC-003, CAP-KEY-004).
func (c *chain) is(sig []byte) bool { return hmac.Equal(c.sum[:], sig) }

// wipe overwrites the key material.
func (c *chain) wipe() { *c = chain{} }
