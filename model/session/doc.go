// Package session is the model of one OAP/1 connection and its streams, as spec/oap.md has it in HELLO, Sessions,
// Streams and bodies, Credit and Errors: in which order frames may come, which stream is open when, who may send how
// much, what is refused and why, what a refusal ends, and what the passing of time does. The same machine for TLC
// is tla/Session.tla.
//
// It may never know bytes, clocks or sockets. Next is a pure function: a state and an operation give what the law
// permits to come next. A limit of time is an operation that is possible while the clock for it runs.
//
// # Reading it without Go
//
// Begin with Next. Each operation of the table below is a function: in next.go what the client sends, in node.go all else.
// It gives a list of outcomes, each with its name (Start, or Start_quota where it is refused: tla/README.md explains them
// by an example), its rules and the state behind it. nil, the empty list, means that the operation can not happen in this
// state. Every rule stands with its full id where it decides, or at the Flaw that breaks it: search for OAP-SES-017.
//
//	func (n *step) end() []Outcome     end works on n, the step at hand, and gives a list of outcomes
//	st := n.stream(); st.Moved++       := gives a name to a value. st is the stream itself and no copy: the state changes
//	*st = Stream{Mode: m}              the stream is replaced, and what is not named is 0, false or empty
//	a && b || c                        (a and b) or c. "If a then b" is written !a || b
//	switch { case a: … case b: … }     the first case that is true, and no other
//	if x, y := f(); y != none { … }    x and y are what f gives
//	[]objection{{a, b, c}, {d, e, f}}  a list of two records with three fields each
//	func f(rules ...string)            f takes any number of strings
//	for i, st := range s.Streams       i counts from 0: the stream of corr_id c is s.Streams[c-1]
//
// # The connection
//
//	      HELLO            ERROR on corr_id 0, nothing left to answer, out of time, lost
//	new ─────────▶ up ─────────────────────────────────────────────────────────────────▶ closed
//	 └──────────────────anything else, or 5 seconds────────────────────────────────────────▲
//
// # A stream, which is one corr_id
//
//	      START             final answer
//	none ───────▶ open ───────────────────▶ answered
//	 │             │ │  CANCEL, ERROR behind the client's END
//	 │             │ └─────────────────────▶ over
//	 │  refused    │ ERROR before it          ▲ END, CANCEL, 5 seconds
//	 ├─────────────┴────▶ half ───────────────┤
//	 └──refused, with END─────────────────────┘
//
// An open stream also counts the DATA frames of its body, and has the up_to of the latest ACK for them. The difference is
// what the window bounds: the client's when it puts, the node's when it answers a get.
//
// # Operations and rules
//
//	Hello                     the first frame and only it             OAP-HEL-001, 002, 003, 007, 008
//	Start                     corr_id, places, admission, request     OAP-SES-001, 006, 008, 009, 016, 017, ADM-ORD-001,
//	                                                                  OAP-OBJ-001 to 003, 005, 011 to 013, OAP-STR-008
//	Data                      order, window and length of a body      OAP-STR-001 to 007, 010, OAP-CRD-001, OAP-OBJ-011
//	End, Cancel               the end of the request side             OAP-OBJ-004, OAP-STR-008, 009, 011
//	Ack                       credit for the node                     OAP-CRD-003 to 007, OAP-OBJ-011
//	Resp                      what only the node may send             OAP-SES-003
//	a frame behind START      open stream, right code and protocol    OAP-SES-002, 004, 005, 006
//	any frame, misshapen      START, END, ACK_REQ in the wrong place  OAP-SES-019
//	any frame, refused        ends its stream and nothing else        OAP-SES-007, 015, 020
//	  on corr_id 0            ends the connection                     OAP-SES-014, OAP-FRM-012
//	  on a half-closed one    Discard, or Release by END and CANCEL   OAP-SES-010, OAP-ERR-004
//	SendData, SendAck         what the node sends, and when it stops  OAP-OBJ-008, OAP-CRD-002, 006
//	Answer, Fail              the last word of the node               OAP-OBJ-004, 007, 010, OAP-CRD-002, CAS-CAP-003, CAS-INT-003, 004
//	Drain, DrainTimeout       going away                              OAP-SES-016, RDY-DRN-003
//	StreamTimeout             5 seconds without progress              OAP-SES-011
//	HalfClosedTimeout         5 seconds without the client's END      OAP-SES-010
//	HelloTimeout              5 seconds without HELLO                 OAP-HEL-001
//	FrameTimeout              5 seconds within one frame              OAP-SES-013
//	IdleTimeout               60 seconds without stream or frame      OAP-SES-012
//	Stall                     5 seconds without taking a byte         OAP-SES-018
//	Garbage                   what the codec rejects                  OAP-FRM-012
//	Eof, Lost                 the client, or the transport, is gone   OAP-OBJ-004, CAS-PUT-005, ADM-CAP-006
//
// # What is left out, and where it is checked instead
//
//   - Bytes and JSON: a frame here is right or has a Flaw. OAP-FRM, OAP-ZST and what payloads look like (OAP-HEL-004,
//     OAP-HEL-007, OAP-OBJ-006, OAP-ERR-001, OAP-ERR-002, OAP-ERR-003) are in package refwire, spec/vectors and conformance,
//     and so is max_frame (OAP-HEL-005, OAP-HEL-006).
//   - The store: it fails requests as package cas lets it. bad_range (OAP-OBJ-009), and not_found of stat and delete, are in
//     conformance; each ends its stream as not_found ends a get.
//   - The node: how many requests it has (OAP-SES-009) and why it refuses one is in package readiness; here Op.Why says it.
//   - The order of clocks: any limit may be the first to pass. The lock-step of impl/session runs the clocks of the law.
//
// # Where the law leaves a choice
//
//   - A node may send an ACK before it owes one (OAP-CRD-002). Here it does not, and of all ERRORs only bad_digest waits for
//     the last ACK.
//   - A START that OAP-SES-006 refuses, on a used corr_id or without a place, opens nothing: OAP-SES-017 gives way.
//   - Nothing on a half-closed stream is answered, not even RESP or a second START: OAP-SES-010 goes before OAP-SES-020.
//   - Draining does not wait for half-closed streams (OAP-SES-016).
//   - No rule is about the end of what the client sends. Here it ends every request that is not complete, and the
//     connection closes with the last answer.
package session
