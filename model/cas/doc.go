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
// # Operations and rules
//
//	operation        is                                             rules
//	Begin            a put with length or address declared, or not  CAS-CAP-001, CAS-CAP-003, CAS-CAP-004, CAS-CAP-007
//	Arrive           one more unit of it                            CAS-CAP-001 to -003, CAS-PUT-006, CAS-PUT-008
//	Commit           its end by the client                          CAS-PUT-001 to -004, CAS-PUT-009, CAS-INT-005, CAS-PER-012
//	Abort            cancel, timeout, cut                           CAS-PUT-005
//	Get, Read, EndGet  a get: begin, bytes, end                     CAS-GET-001, CAS-GET-007, CAS-INT-001 to -004
//	Has, Stat        questions                                      CAS-GET-001 to -004, CAS-INT-004
//	Delete           the other end of an object                     CAS-DEL-001 to -003, CAS-DEL-005, CAS-PER-002
//	Durable, Answer  the sync returns; the client is told           CAS-PER-002, CAS-PER-011
//	Flip, Scrub      a bit changes; the check of everything         CAS-INT-001, CAS-INT-007, CAS-INT-008
//	Stop, Crash, Start  the ends of a life, and the next one        AMN-RST-001, CAS-PER-003 to -005, CAS-LIN-003
//
// Of some latitudes the model takes one side. A put takes room when its bytes arrive and not when it declares them. A put
// of bytes that are stored is refused when there is no room (CAS-CAP-007). A write whose sync has failed is answered with
// not_ready although it may have happened. A quarantine outlives a restart with persistence.
package cas
