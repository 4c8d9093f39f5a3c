// Package readiness is the model of a node's readiness and admission: spec/readiness.md (GAT, STA, DEG, DRN, HLT) and
// spec/admission.md (CAP, ORD) as one state machine. It is meant to be read beside these pages; for TLC it is
// tla/Readiness.tla. It may never know how an implementation does any of this. It has no clock: time is operations.
// All functions are pure: one gets a copy of the state, changes it and hands it on. Package session says how to read the Go.
//
//	        the last gate is up,            a gate is lost,
//	        nothing is short                something is short
//	starting ───────────────────▶ ready ─────────────────────▶ degraded
//	  │  │                         │  ◀─────────────────────────  │
//	  │  │                         │     one second of calm       │
//	  │  └──────── SIGTERM ────────┴───────── SIGTERM ────────────┘
//	  │ a gate can                 ▼
//	  │ not come up             draining ── 100 ms, nothing in flight ──▶ listeners close
//	  ▼                                                                        │
//	stopped ◀──────────────────────────────────────────────────────────────────┘
//
//	state     /readyz  a read                a write                             gates
//	starting  503      not_ready             not_ready                           come up in order
//	ready     200      yes                   yes                                 may be lost
//	degraded  503      yes                   not_ready, or store_full where      may be lost, and come back
//	                                         that alone is the matter
//	draining  503      draining              draining                            do not matter
//
// Two caps come before this table, in this order: too_many_streams (all in-flight places taken; over HTTP the
// reason is quota) and quota (no token). The connection cap (quota) comes before everything.
//
//	Up                   a gate comes up                     RDY-GAT-001, 002, 006, 007, RDY-DRN-007
//	Lose, Stale          a gate is lost, its probe is old    RDY-GAT-004, 005, RDY-STA-002
//	Unknown              an unknown gate is asked for        RDY-GAT-006
//	Fail                 a gate can not be brought up        RDY-GAT-008, RDY-STA-002
//	Level                store or memory: room/tight/short   RDY-DEG-004, 006, 008
//	Recover              one second of calm                  RDY-DEG-008
//	Connect, Disconnect  a connection comes, and goes        ADM-CAP-001, ADM-ORD-001, RDY-DEG-005, RDY-DRN-002
//	Request              a client asks for a read or write   ADM-CAP-002 to 005, ADM-ORD-001, 003, RDY-STA-003, 004,
//	                                                         RDY-DEG-001 to 003, 005, 007
//	Finish, Cancel       it is answered, or ends otherwise   ADM-CAP-006, ADM-TIM-006, RDY-DEG-009, RDY-DRN-003
//	Refill               the time of a token passes          ADM-CAP-003
//	Readyz               GET /readyz                         RDY-HLT-001 to 003, HTTP-HLT-007
//	Signal               SIGTERM, and once more              RDY-DRN-001, 006, RDY-STA-002
//	Notice, Deadline     100 milliseconds pass, 5 seconds    RDY-DRN-002, 003
//	Close, Stop          the listeners close, exit           RDY-DRN-001, 002, 004, 005, RDY-STA-002
//	all of them          what holds always: machine.go       RDY-GAT-003, RDY-STA-001, 002, RDY-DRN-007
//
// A chain of two or three gates stands for the five or seven of the law: what rules say about a gate speaks of it, of those
// before it and of all of them.
//
// # What is left out, and where it is checked instead
//
//   - Which connection a request came over, and what is checked behind readiness: ADM-ORD-002, ADM-ORD-004 and ADM-ORD-005.
//   - What a configuration may ask for (ADM-CAP-007, ADM-CAP-010), that the Unix socket is a listener like others
//     (ADM-CAP-008), and that refusals leave nothing in memory (ADM-CAP-009).
//   - Texts: the log (RDY-STA-005), the name of the gate in RDY-GAT-008, the time to retry in RDY-DEG-002.
//   - Figures of store and memory, and how long anything takes: any moment that the law lets come may be the next.
//   - What a cut write leaves in the store, which is nothing (RDY-DRN-008): tla/ReadyWrites.tla.
//
// conformance and the tests of impl/gate, impl/config and impl/server check these, but for what spec/planned.txt lists.
//
// # Where the law leaves a choice
//
//   - A node that lost a gate is degraded, because RDY-STA-002 leaves no other state; when the gate is back, it waits for the
//     second of calm (RDY-DEG-008).
//   - A starting node that is short of something stays starting: it may not become degraded.
//   - Gates are not probed during the start: RDY-GAT-003 goes before RDY-GAT-005.
//   - Any gate that can not come up ends the start (RDY-GAT-008 does not name bus_attached).
//   - For RDY-DEG-003 a cause lasts until it is gone with room to spare.
package readiness
