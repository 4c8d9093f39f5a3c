// Package session is the model of one OAP/1 connection and its streams, as spec/oap.md has it in HELLO, Sessions,
// Streams and bodies, Credit and Errors: in which order frames may come, which stream is open when, who may send how
// much, what is refused and why, what a refusal ends, and what the passing of time does. The same machine for TLC
// is tla/Session.tla.
//
// It may never know bytes, clocks or sockets. Next is a pure function: a state and an operation give what the law
// permits to come next. A limit of time is an operation that is possible while the clock for it runs.
//
// The connection:
//
//	      HELLO            ERROR on corr_id 0, nothing left to answer, lost
//	new ─────────▶ up ─────────────────────────────────────────────────────▶ closed
//	 └───────────────────anything else, or 5 seconds───────────────────────────▲
//
// A stream, which is one corr_id:
//
//	      START             final answer
//	none ───────▶ open ───────────────────▶ answered
//	 │             │ │  CANCEL, ERROR behind the client's END
//	 │             │ └─────────────────────▶ over
//	 │  refused    │ ERROR before it          ▲ END, CANCEL, 5 seconds
//	 ├─────────────┴────▶ half ───────────────┤
//	 └──refused, with END─────────────────────┘
//
// An open stream also has a request (put, get, has), the client's END or not yet, and the count of DATA frames of its
// body with the up_to of the latest ACK for them. The difference of the two is what the window bounds: the client's when it
// puts, the node's when it answers a get.
//
//	operation                 what it is about                        rules
//	Hello                     the first frame and only it             OAP-HEL-001, 002, 003, 008
//	Start                     corr_id, places, admission, request     OAP-SES-001, 006, 008, 009, 016, 017, ADM-ORD-001,
//	                                                                  OAP-OBJ-001, 002, 005, 011, OAP-STR-008
//	Data                      order, window and length of a body      OAP-SES-002, 004, 005, 006, OAP-STR-001 to 007, 010,
//	                                                                  OAP-CRD-001, OAP-OBJ-011
//	End, Cancel               the end of the request side             OAP-OBJ-004, OAP-STR-008, 009, 011
//	Ack                       credit for the node                     OAP-CRD-003 to 007
//	Resp                      what only the node may send             OAP-SES-003
//	any frame, misshapen      START, END, ACK_REQ in the wrong place  OAP-SES-019
//	any frame, corr_id 0      a refusal ends the connection           OAP-SES-014
//	any frame, half-closed    Discard, or Release by END and CANCEL   OAP-SES-010, OAP-ERR-004
//	any frame, refused        ends its stream and nothing else        OAP-SES-007, 015, 020
//	SendData, SendAck         what the node sends, and when it stops  OAP-OBJ-008, OAP-CRD-002, 006
//	Answer, Fail              the last word of the node               OAP-OBJ-004, 007, 010, CAS-CAP-003, CAS-INT-003
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
// A node has latitude in one place that is not an outcome here: it may send an ACK before it owes one (OAP-CRD-002).
package session
