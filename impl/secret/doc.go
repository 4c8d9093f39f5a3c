// Package secret keeps secrets: key bytes in guarded memory, short texts behind a type that does not print, and a way to
// compute with them that leaves little behind.
//
// It owns the guarded memory (CAP-KEY-003), its overwriting (AMN-ZER-005), the comparison in constant time (CAP-KEY-004) and
// the redaction by type (AMN-LOG-002, AMN-LOG-005). It may never decide who gets a secret, make one, write one anywhere, or
// import another package of this module: whatever holds a secret imports it, so it stands below them all.
//
// What it can not do, and does not claim: a caller that copies bytes out of the Vault has copied them, cryptographic code
// keeps expanded keys on the stack and the heap while it works (see Do), and whoever may read the memory of the process, or
// make it hibernate, reads the Vault. Stats says which of the protections the system granted.
package secret
