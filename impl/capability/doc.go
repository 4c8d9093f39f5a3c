// Package capability says what the holder of a token may do: it mints, attenuates and verifies capabilities, keeps the
// root keys behind them, and ends what a revoked one has open (CAP-TOK, CAP-IDN, CAP-HMC, CAP-CAV, CAP-ROL, CAP-DEN,
// CAP-REV, CAP-ISS-002, CAP-KEY-001, CAP-KEY-002, CAP-KEY-004).
//
// # What it owns
//
//   - Token: the bounds and the one encoding of a macaroon (libmacaroons version 2 binary form, base64url as text), and of
//     the discharges behind it. Reader and HMAC chain are its own, because every request pays for them: they copy a token
//     once and allocate nothing to verify it. Tests and fuzz targets hold both to gopkg.in/macaroon.v2, to pymacaroons and to
//     the vectors of libmacaroons.
//   - What the law refuses and the library verifies: trailing bytes, version 1, second encodings, text with padding or spare
//     bits, more than 3,072 bytes or 32 caveats, identifiers of another form, discharges that nothing asks for or that ask in
//     turn. All of that ends before a key is touched; the vectors name each.
//   - Discharges: the library verifies them, since it opens the keys of third-party caveats. No other token takes that way.
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
//	ParseBinary/ParseText      bounds, version, one encoding, discharges, identifier    no lock
//	Admit: find the key                                                                 lock
//	Admit: signatures, then caveats, against the request                                no lock
//	Admit: key still held? revoked? expired meanwhile? rate? register the lease         lock: one atomic section
//
// A revocation is one atomic section as well: remember it, and take every lease that it covers out of the register. So
// of a revocation and an admission one is first. If the revocation is, the admission is refused; if the admission
// is, its lease is among those that the revocation hands back to be ended. There is no third case, and none of this
// depends on how long the signature takes. Config.Yield is called between the sections, never inside one.
//
// What an issuer hands on (Minting.From) is read in the same atomic section that signs: of the revocation of an issuer's
// capability and the signature under it one is first, too.
//
// # Secrets in memory
//
// A root key, and what is derived from it for the chain, lie in one slot of a secret.Vault and are overwritten when the key is
// dropped or revoked; a verification that reads them at this moment is waited for (CAP-KEY-003, AMN-ZER-005, AMN-ZER-006). What
// the chain works on is overwritten before it returns. What is left is what crypto/sha256 leaves on the stack, and on the
// heap what the library derives for a discharge; runtime/secret overwrites both in builds that have it (AMN-ZER-008). The bytes of
// a token lie on the heap until its owner calls Wipe.
package capability
