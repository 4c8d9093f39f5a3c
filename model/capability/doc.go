// Package capability is the law of capabilities as an executable model: who is admitted with what, while time passes,
// keys are replaced and capabilities are revoked. It stands beside spec/capability.md and tla/Capability.tla.
//
//	holders:  Mint ──▶ capability ──Attenuate──▶ narrower capability
//	                       │ Use
//	surfaces:              ▼
//	          no capability of this node (bytes, signature, key, exp, nbf, revoked) ──▶ 401 unauth     nothing changes
//	          a capability, but not for this operation ───────────────────────────────▶ 403 forbidden  nothing changes
//	          else ──▶ open stream ──Finish──▶ closed
//	                       └── its capability is revoked or expires ──End──▶ closed
//
//	keys:     current ──Rotate──▶ retired ──DropKey, Tick──▶ gone ◀── Restart (all of them)
//	revoked:  RevokeID, RevokeKey ──▶ issued ──TakeEffect on each surface──▶ in force ──Tick──▶ late ──Forget──▶ forgotten
//
// Two things are called operation: what a request asks for, like get or put (Operations, and Ops for a set of them), and
// what may happen in the model (Op and its Kind). A token is a capability in somebody's hands.
//
// It may never look at a clock, at bytes, or at an implementation.
//
// # Time
//
// Tick is the only clock: Seconds pass, and they can not pass while a revocation or an expiry has not been carried out.
// That is the bound of one second. Beside an implementation with an injected clock, in whole seconds: a token that is
// good up to and with its exp has Left = exp - now + 1, so a life of n seconds is n+1 here, and MaxLife is 86,401. Wait
// is nbf - now. Where a revocation is in force at once, RevokeID is followed by TakeEffect on each surface, and an End
// for each stream that was ended; a key that is dropped with its revocation is a DropKey after these. DropKey and Forget
// tell when the implementation does so; Next returns nil where it would be too early. Keys, tokens and streams are
// numbered in the order of their making, and a stream takes the lowest free number.
//
// # From the page to the code
//
// Each outcome (next.go) and each property (properties.go) names its rules, so that a search for an id finds them.
//
//	rules    operations                                properties
//	CAP-TOK  Use, by Flaws
//	CAP-IDN  Mint; Use, by Verdict and Flaws           NoUseWithoutKey
//	CAP-HMC  Attenuate; Use, by Flaws                  AttenuationNarrows
//	CAP-CAV  Mint, Attenuate, Tick;                    EveryTokenExpires, NoUseExpired, NoUseTooEarly, NoUseBeyondOps,
//	         Use, by Verdict and Flaws                 AttenuationNarrows, GraceIsBounded, DeadStaysDead
//	CAP-ROL  Mint, from Roles; Use                     RolesImplyNothing, NoUseBeyondOps
//	CAP-DEN  Use                                       the test denials
//	CAP-REV  RevokeID, RevokeKey, TakeEffect, Tick,    InForceInTime, NoUseRevoked, StreamsEndInTime, DeadStaysDead,
//	         End, Forget; Use, by Verdict              OneCurrentKey, RevocationsTakeEffect, DoomedStreamsEnd
//	CAP-KEY  Mint, Rotate, RevokeKey, DropKey, Tick;   OneCurrentKey, GraceIsBounded, NoOutage, NoUseWithoutKey, DeadStaysDead,
//	         Use, by Verdict                           OldKeysGo
//	AMN-RST  Restart; Use, by Verdict                  OldLifeRefused
//	others   DropKey, Tick: AMN-ZER; Finish: ADM-CAP
//
// # What is left out, and where it is checked instead
//
//   - Bytes and HMACs: a token is what its caveats together say, and whatever is not made by Mint and Attenuate is a Flaw. The
//     form (CAP-TOK-001, CAP-TOK-002, CAP-IDN-004) is in the vectors and fuzz tests of impl/capability.
//   - Caveats that narrow requests exactly as `op in` does, path, tenant, max-bytes and peer-uid (CAP-CAV-010, CAP-CAV-011,
//     CAP-CAV-012, CAP-CAV-014), and rps (CAP-CAV-013), which counts requests: time here is too coarse for that. They are in
//     the tests of impl/capability. aud and amnesia are flaws of a token shown at the wrong node.
//   - The age at which a key must be replaced (CAP-KEY-001): here a key may be replaced at any moment. How secrets are held,
//     compared and named (CAP-KEY-003, CAP-KEY-004, CAP-KEY-005): package amnesia, impl/capability.
//   - How a capability travels and a denial looks (CAP-TOK-003, CAP-TOK-004, CAP-DEN-003, CAP-DEN-005), the token that a node
//     prints (CAP-ROL-004), what is issued over the wire (CAP-ISS, CAP-OPS), the identity of a node (CAP-KEY-006 to 011), and
//     CAP-TLS, CAP-UDS, CAP-AUD: not in this machine.
//   - The bound on root keys (CAP-REV-005): MaxKeys here also counts the keys that are gone.
//
// # Where the law leaves a choice
//
//   - A revoked current key is replaced in the same moment.
//   - A revocation may also be forgotten when the keys of all that it covers are gone: that is refused without it. CAP-REV-004
//     waits for the exp in any case.
package capability
