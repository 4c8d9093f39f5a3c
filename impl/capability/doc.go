// Package capability says what the holder of a token may do: it mints, attenuates and verifies capabilities, keeps the
// root keys behind them, and ends what a revoked one has open (CAP-TOK, CAP-IDN, CAP-HMC, CAP-CAV, CAP-ROL, CAP-DEN,
// CAP-REV, CAP-KEY-001, CAP-KEY-002, CAP-KEY-004).
//
// It is not wired into the server yet: micronode serves without capabilities today, and nothing but tests calls this
// package.
//
// # What it owns
//
//   - Token: the bounds and the one encoding of a macaroon (version 2 binary form, base64url as text). The form and the
//     HMAC chain are those of gopkg.in/macaroon.v2, which accepts more than the law does: trailing bytes, version 1,
//     second encodings, caveats without number. All of that ends here, before a key is touched.
//   - Caveat: the grammar of spec/capability.md, and what each condition asks of a Request.
//   - Authority: the keyring, the revocations, and a Lease for everything that was admitted and is not finished.
//
// # What it may never do
//
// It does no I/O and starts no goroutine. Time comes in with each call and randomness with the Config. It never prints,
// logs or returns a root key, and a Token prints as [redacted]. An Error says the reason to the peer; which rule broke
// is in it for the audit log and for tests, and may not reach an answer (CAP-DEN-004).
//
// # From token to lease
//
//	ParseBinary/ParseText      bounds, version, one encoding, identifier          no lock
//	Admit: find the key                                                            lock
//	Admit: signature, then caveats, against the request                            no lock, key pinned
//	Admit: key still held? revoked? expired meanwhile? rate? register the lease    lock: one atomic section
//
// A revocation is one atomic section as well: remember it, and take every lease that it covers out of the register. So
// of a revocation and an admission one is first. If the revocation is, the admission is refused; if the admission
// is, its lease is among those that the revocation hands back to be ended. There is no third case, and none of this
// depends on how long the signature takes. Config.Yield is called between the sections, never inside one.
//
// # Secrets in memory
//
// A root key is overwritten when it is dropped or revoked, once the last verification that uses it is through. That
// is best effort: the key lies in ordinary memory, the chain derives another key from it on the heap, and neither is
// locked or kept out of core dumps (CAP-KEY-003, AMN-ZER-008). Guarded memory comes with the package for keys. Tokens are
// not overwritten at all (AMN-ZER-005).
package capability
