// Package readiness is the model of a node's readiness and admission: spec/readiness.md (GAT, STA, DEG, DRN, HLT) and
// spec/admission.md (CAP, ORD) as one state machine. It is meant to be read beside these pages.
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
//	operation                          rules
//	a gate comes up                    RDY-GAT-001, RDY-GAT-002, RDY-GAT-007
//	a gate is lost, its probe is old   RDY-GAT-004, RDY-GAT-005
//	an unknown gate is asked for       RDY-GAT-006
//	a gate can not be brought up       RDY-GAT-008
//	store or memory: room/tight/short  RDY-DEG-004, RDY-DEG-006
//	one second of calm                 RDY-DEG-008
//	connect, disconnect                ADM-CAP-001, RDY-DEG-005
//	ask for a read or a write          ADM-CAP-002 to 005, ADM-ORD-001, RDY-STA-003, RDY-STA-004, RDY-DEG-001 to 003
//	it is answered, or cancelled       ADM-CAP-006, RDY-DEG-009
//	the time of a token passes         ADM-CAP-003
//	GET /readyz                        RDY-HLT-001 to 003
//	SIGTERM, and once more             RDY-DRN-001, RDY-DRN-006
//	100 milliseconds pass, 5 seconds   RDY-DRN-002, RDY-DRN-003
//	the listeners close, exit          RDY-DRN-004, RDY-DRN-005
//
// A chain of two or three gates stands for the five or seven of the law: no rule speaks of more than a gate, those
// before it and all of them. Where the law does not say which state a node has that lost a gate, it is degraded here,
// because RDY-STA-002 leaves no other; and as a starting node may not become degraded, it becomes ready only when
// nothing is short.
//
// Not here: which connection a request came over and what is checked behind readiness (ADM-ORD-002 and on); log lines
// (RDY-STA-005); what a configuration may ask for (ADM-CAP-007, ADM-CAP-010); and what a cut write leaves in the store,
// which is nothing (RDY-DRN-008: ReadyWrites.tla).
//
// The package may never know how an implementation does any of this. It has no clock: time is operations. All
// functions are pure.
package readiness
