// Package refcap is the reference of capabilities: the macaroons of spec/capability.md (CAP-TOK-001, CAP-HMC-001) as
// code that is meant to be read beside libmacaroons' description of its version 2 format.
//
//	version (2) | location? identifier EOS | ( location? identifier verification-id? EOS )* EOS | signature
//
// Every part but the version and EOS is a field: its type and its length as variable-length integers, then its bytes.
//
// It owns the chain, the two encodings, discharges, and a raw writer that can produce what no honest holder would: a
// caveat is appended with nothing but the signature of the token, so any bytes can stand in one that verifies. It may
// never import impl or a macaroon library, hold root keys that a node uses, keep state, or be used to let anybody in.
// It is slow on purpose and compares nothing in constant time. All functions are safe for concurrent use; a Token is a
// value and none of them changes one.
package refcap
