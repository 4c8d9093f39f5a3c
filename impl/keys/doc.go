// Package keys holds the keys that a node has for itself: its identity, which signs, and sealing keys, which open what was
// encrypted for it.
//
// It owns the hybrid signature of Ed25519 and ML-DSA-65 (CAP-KEY-006, CAP-KEY-008, CAP-KEY-011), the id of an identity and
// the signed statement (CAP-KEY-009), the signature lines of checkpoints, the sealing with X25519 and ML-KEM-768
// (CAP-KEY-007). It may never choose a purpose for a caller,
// verify with one half of a signature, write a key anywhere or read one from a file, or read a clock.
//
// What is kept of a key is its seed, in a secret.Vault (CAP-KEY-003). The expanded key is derived for each use, within
// secret.Do, and overwritten as far as the libraries let go of it. A build with GOEXPERIMENT=runtimesecret erases the rest,
// on the stack at once and on the heap when it is collected. In other builds the seeds of ML-DSA-65 and of sealing are in
// the vault only, but secrets derived from them may be left in freed memory, and the Ed25519 of the standard library leaves
// a copy of its seed on the heap for each signature, until that memory is used again (AMN-ZER-008).
package keys
