// Package cas is the model of the content-addressed store: streaming puts, gets that outlive a delete, room, quarantine,
// and the ends of a node with amnesia and with persistence. Its law is spec/cas.md, and AMN-RST of spec/amnesia.md.
//
// It owns what the law permits to happen, as data: Next gives the outcomes of an operation in a state. It may never know
// bytes, digests, clocks or surfaces, and it may never import the implementation.
//
// Bytes are counted, not carried. An object is a number, its length in units: object n is the first n units of one text
// that never ends. So what has arrived always has an address, and a put that declared another one carries wrong bytes.
//
// # A put
//
//	      Begin            Commit_created, Commit_known        amnesia: the effect and its answer are one step
//	idle ───────▶ open ───────────────────────────────────▶ idle
//	             │ ▲  │
//	      Arrive └─┘  ├─ Abort, Arrive_oversize, Arrive_store_full, Commit_truncated, Commit_bad_digest ─▶ idle, no trace
//	                  │
//	                  │ Commit           Durable                 Answer_created, Answer_known
//	                  └───────▶ writing ────────▶ created, known ───────────▶ idle         persistence
//
//	      Delete            Durable          Answer_deleted
//	idle ───────▶ deleting ────────▶ deleted ──────────────▶ idle                           persistence
//
// A crash finds writing or deleting: the operation has happened whole, or not at all. A crash behind Durable finds it
// done. If the sync fails (Durable_not_ready) the store takes no more writes, and a restart tells what became of them.
//
// # A copy of an object
//
//	                    Flip            Read_integrity, Scrub
//	stored: kept, good ─────▶ rotten ─────────────────────────▶ bad, which is quarantine
//	   ▲                                                            │ a put of the same bytes: a new copy is kept
//	   └────────────────────────────────────────────────────────────┘
//
// Delete ends kept from any of them. The copy and its room are gone when no get that began before reads it any more.
//
// # From the page to the code
//
// Puts and syncs are in put.go, the rest that clients ask for in read.go, and what happens to the node in life.go. Each
// outcome and each property names its rules, so that a search for an id finds them.
//
//	rules    operations                                properties
//	CAS-PUT  Begin, Arrive, Commit, Abort, Answer;     AppearsByPut, AcknowledgedIsStored, PutLeavesStoredAlone, PutsEnd,
//	         Get, Read                                 LeavesByDelete, NothingIsLeftOver, NothingHalfSurvives, RoomIsExact
//	CAS-GET  Get, Read, Has, Stat                      AnswersAgree, ReadersKeepTheirCopy, BytesAreVerified
//	CAS-DEL  Delete, Answer; Has; EndGet; Commit       AppearsByPut, NothingIsLeftOver, DeletedRoomReturns, RoomIsExact
//	CAS-CAP  Begin, Arrive; Get, Has, Stat, Delete     CapacityHolds, RoomIsExact, NoObjectTooLarge, LeavesByDelete, PutsEnd
//	CAS-INT  Get, Read, Has, Stat; Flip, Scrub;        BytesAreVerified, QuarantineLasts, OnlyRotIsQuarantined, RotIsFound,
//	         Commit                                    AnswersAgree, RoomIsExact
//	CAS-LIN  Durable; Stop, Crash; and register.go     NothingHalfSurvives; TestRefusalsChangeNothing
//	CAS-PER  Begin, Commit, Delete, Durable, Answer;   AppearsByPut, AcknowledgedIsStored, LeavesByDelete, AmnesiaForgets,
//	         Stop, Crash, Start                        NothingHalfSurvives, NoWriteAfterFailedSync
//	AMN-RST  Stop, Crash, Start                        AmnesiaForgets
//	AMN-ZER  EndGet                                    NothingIsLeftOver, DeletedRoomReturns
//
// # What is left out, and where it is checked instead
//
//   - Addresses, bytes and ranges: CAS-ADR-001, CAS-ADR-002, CAS-ADR-003, CAS-ADR-004, CAS-ADR-005, CAS-GET-005 and CAS-GET-006
//     are in conformance.
//   - Counters and gauges: CAS-CAP-008, of which RoomIsExact has the bytes, is in conformance and chaos; CAS-INT-006 and the
//     rounding of CAS-CAP-009 are in the tests of impl/store, which run in step with this model.
//   - The form of what is on disk, and its keys: CAS-PER-006, CAS-PER-007, CAS-PER-008, CAS-PER-009, CAS-PER-010 and CAS-PER-013
//     (spec/planned.txt).
//
// # Where the law leaves a choice
//
//   - A put takes room when its bytes arrive and not when it declares them.
//   - A put of bytes that are stored is refused when there is no room (CAS-CAP-007).
//   - A quarantine outlives a restart with persistence.
//   - A write whose sync has failed is answered with not_ready, and may have happened all the same. CAS-LIN-002 has no
//     exception for that.
package cas
