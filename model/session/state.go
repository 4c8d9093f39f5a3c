package session

import (
	"strconv"
	"strings"

	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/spec"
)

// Params are the bounds of the model, as counts. The first four are limits of the law; the others choose the alphabet.
type Params struct {
	MaxStreams int // streams of one connection that are open or half-closed (OAP-SES-008)
	MaxCorr    int // corr_ids go from 1 to here; the law only ends them at 2^64-1
	Window     int // DATA frames in flight without an ACK (OAP-CRD-001)
	AckEvery   int // DATA frames after which the node owes an ACK (OAP-CRD-002)

	Requests             []Request // that the client makes
	PutFrames, GetFrames int       // DATA frames of a put, and of the answer to a get
}

// Phase is where the connection stands.
type Phase string

// The phases, in the only order in which they can follow each other.
const (
	New    Phase = "new" // no HELLO yet
	Up     Phase = "up"
	Closed Phase = "closed" // nothing is read any more, and nothing but what was queued is sent
)

// Mode is where a stream stands. It is open in the sense of OAP-SES-002 while it is Open or Half.
type Mode string

// The modes.
const (
	None     Mode = "none"     // no START has opened it
	Open     Mode = "open"     // the response side is open
	Half     Mode = "half"     // ended by ERROR, and the client has not ended its side yet (OAP-SES-010)
	Answered Mode = "answered" // ended by a final answer
	Over     Mode = "over"     // ended without one, on both sides
)

// Request is what a stream is for.
type Request string

// The requests. A put has a body, the answer to a get has one, and a has stands for all that are without.
const Put, Get, Has Request = "put", "get", "has"

// Stream is one corr_id. A stream that is not Open has no more than its mode.
type Stream struct {
	Mode  Mode
	Req   Request
	Acks  bool // START had ACK_REQ
	Ended bool // the client ended the request side
	Total int  // DATA frames of the body, whichever way it goes
	Moved int  // of them, those that the receiver took or the node sent
	Acked int  // up_to of the latest ACK for them
}

// State is one connection as both of its ends could describe it.
type State struct {
	Phase    Phase
	EOF      bool     // the client will send nothing more
	Draining bool     // the node is going away
	Last     int      // corr_id of the latest START
	Streams  []Stream // corr_id 1 is Streams[0]
}

// Kind is what an operation is, and the beginning of the names of its actions.
type Kind string

// Frames of the client; what else the other side does; what the node does; and what passing time does. The table of
// operations in next.go says each in words.
const (
	Hello, Start, Data, End, Cancel, Ack, Resp Kind = "Hello", "Start", "Data", "End", "Cancel", "Ack", "Resp"

	Garbage, Eof, Lost Kind = "Garbage", "Eof", "Lost"

	SendData, SendAck, Answer, Fail, Drain Kind = "SendData", "SendAck", "Answer", "Fail", "Drain"

	HelloTimeout, StreamTimeout, HalfClosedTimeout Kind = "HelloTimeout", "StreamTimeout", "HalfClosedTimeout"
	FrameTimeout, IdleTimeout, DrainTimeout, Stall Kind = "FrameTimeout", "IdleTimeout", "DrainTimeout", "Stall"
)

// Flaw is a set of mistakes in one frame, a bit for each. Which of them is reported is OAP-SES-020 and OAP-STR-010.
type Flaw uint8

// The flaws. Payload is one for any kind of frame: in HELLO OAP-HEL-003 and OAP-HEL-008, in START OAP-OBJ-002, OAP-OBJ-003
// and OAP-OBJ-012, in DATA OAP-STR-001 and an empty body (OAP-STR-005), in ACK OAP-CRD-005, and in END and CANCEL that there
// is one at all (OAP-STR-011).
const (
	Shape   Flaw = 1 << iota // START on an EVENT, END on an ACK, ACK_REQ without START (OAP-SES-019)
	Code                     // not the code of its kind (OAP-SES-006), and so an EVENT that is no ACK (OAP-SES-005)
	Foreign                  // not the app_proto_id or tenant_id of its START (OAP-SES-004); START: no protocol served (OAP-OBJ-001)
	Sealed                   // APP_E2E (OAP-OBJ-011)
	Payload                  // breaks its rules
	Large                    // START: an object above the cap (OAP-OBJ-005); DATA: a body above that of one frame (OAP-STR-006)
	Other                    // DATA of another object (OAP-STR-002), or with another total_len (OAP-STR-004)
	Gap                      // DATA with an offset that does not follow (OAP-STR-003)
)

var flaws = [...]string{"wrong flags", "wrong code", "foreign", "sealed", "bad payload", "too large", "of another object", "gap"}

// Op is one operation. Only the fields that its kind has are set.
type Op struct {
	Kind      Kind
	Corr      int // frames, and all that is about one stream
	Req       Request
	Acks, End bool // START: with ACK_REQ, with END
	Total     int  // START: DATA frames of the put, or of the answer to the get
	UpTo      int  // ACK
	Flaw      Flaw
	Why       spec.Reason // START: what admission has against it; Fail: what the store has
}

// String tells the operation in the words of the law, for example "START on stream 2: put, ACK_REQ, END".
func (op Op) String() string {
	text, more := operations[op.Kind].words, []string{}
	if strings.HasSuffix(text, " stream") {
		text += " " + strconv.Itoa(op.Corr)
	}
	add := func(on bool, word string) {
		if on {
			more = append(more, word)
		}
	}
	add(op.Kind == Start, string(op.Req))
	add(op.Acks, "ACK_REQ")
	add(op.End, "END")
	add(op.Kind == Ack, "up to "+strconv.Itoa(op.UpTo))
	for bit, name := range flaws {
		add(op.Flaw&(1<<bit) != 0, name)
	}
	add(op.Why != spec.None, string(op.Why))
	if len(more) == 0 {
		return text
	}
	return text + ": " + strings.Join(more, ", ")
}

// canon writes a state as TLC writes the variables of the module Session.
func canon(s State) string {
	streams := make([]string, len(s.Streams))
	for i, st := range s.Streams {
		streams[i] = explore.Rec("mode", explore.Str(string(st.Mode)), "req", explore.Str(string(st.Req)),
			"acks", explore.Bool(st.Acks), "ended", explore.Bool(st.Ended), "total", explore.Int(st.Total),
			"moved", explore.Int(st.Moved), "acked", explore.Int(st.Acked))
	}
	return explore.Vars("phase", explore.Str(string(s.Phase)), "eof", explore.Bool(s.EOF),
		"draining", explore.Bool(s.Draining), "last", explore.Int(s.Last), "streams", explore.Seq(streams...))
}
