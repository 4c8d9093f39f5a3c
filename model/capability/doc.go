// Package capability is the law of capabilities as an executable model: who is admitted with what, while time passes,
// keys are replaced and capabilities are revoked. It stands beside spec/capability.md and tla/Capability.tla.
//
//	 holders:  Mint ──▶ capability ──Attenuate──▶ narrower capability
//	                        │ Use
//	 surfaces:              ▼
//	           no capability of this node (bytes, signature, key, exp, nbf, revoked) ──▶ 401 unauth     nothing changes
//	           a capability, but not for this operation ───────────────────────────────▶ 403 forbidden  nothing changes
//	           else ──▶ open stream ──Finish──▶ closed
//	                        └── its capability is revoked or expires ──End──▶ closed
//
//	 keys:     current ──Rotate──▶ retired ──DropKey, Tick──▶ gone ◀── Restart (all of them)
//	 revoked:  RevokeID, RevokeKey ──▶ issued ──TakeEffect on each surface──▶ in force ──Tick──▶ late ──Forget──▶ forgotten
//
//	operation   rules
//	Mint        CAP-CAV-004, CAP-CAV-006, CAP-IDN-001, CAP-IDN-002, CAP-KEY-002, CAP-ROL-001, CAP-ROL-002
//	Attenuate   CAP-CAV-003, CAP-HMC-001, CAP-HMC-002
//	Use         AMN-RST-002, CAP-CAV-003, CAP-CAV-005, CAP-CAV-007, CAP-CAV-009, CAP-DEN-001, CAP-DEN-002, CAP-DEN-004, CAP-IDN-003,
//	            CAP-KEY-002, CAP-REV-001, CAP-REV-002, CAP-ROL-002, and the rules of Flaws
//	Finish      CAP-REV-003
//	End         CAP-CAV-005, CAP-REV-003
//	Rotate      CAP-KEY-001, CAP-KEY-002
//	DropKey     AMN-ZER-005, CAP-KEY-002
//	RevokeID    CAP-REV-001, CAP-REV-002
//	RevokeKey   CAP-KEY-002, CAP-REV-001, CAP-REV-002
//	TakeEffect  CAP-REV-002
//	Forget      CAP-REV-004
//	Tick        AMN-ZER-006, CAP-CAV-005, CAP-CAV-007, CAP-KEY-002, CAP-REV-002, CAP-REV-003
//	Restart     AMN-RST-001, AMN-RST-002
//
// # What is left out
//
// Bytes and HMACs: a token is what its caveats together say, and whatever is not made by Mint and Attenuate is a Flaw.
// The caveats path, tenant, max-bytes and peer-uid narrow requests exactly as `op in` does, aud and amnesia are flaws of
// a token shown at the wrong node, and rps counts requests, which time here is too coarse for. The age at which a key
// must be replaced is a timer of the node; here a key may be replaced at any moment.
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
// It may never look at a clock, at bytes, or at an implementation.
package capability
