package tour

import (
	"fmt"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/model/session"
	"github.com/rustyonions/micronode/spec"
)

// maxFrame is what HELLO asks for: it keeps the DATA frames of answers small.
const maxFrame = 4096

// fence names a stream that is never opened. An END for it is refused with its corr_id and changes nothing, so the
// refusal shows that everything before it was dealt with.
const fence = 1 << 40

// greeting is the corr_id of HELLO. It is none of a stream.
const greeting = fence + 1

// scene is what the frames of a tour are about.
type scene struct {
	scale   int          // DATA frames of the node for one of the model
	places  int          // streams that the model allows
	filled  int          // corr_ids that were used up before those of the model
	held    bool         // the answer to a get waits for an ACK
	stored  spec.Address // an object whose answer takes as many DATA frames as the model says
	missing spec.Address // an address of nothing
	cap     []byte       // the capability of every START
}

func (sc scene) corr(c int) uint64 {
	if c == 0 {
		return 0
	}
	return uint64(sc.filled + c)
}

// frames are the bytes of one operation of the client in s; accepted says that the model takes it.
func (sc scene) frames(s sessionState, op sessionOp, accepted bool) []byte {
	f := refwire.Frame{Ver: spec.Version, Flags: spec.FlagReq, Proto: spec.ProtoObjects, Corr: sc.corr(op.Corr)}
	if op.Flaw&session.Foreign != 0 {
		f.Tenant[0] = 9
	}
	switch op.Kind {
	case session.Hello:
		f.Proto, f.Corr, f.Payload = 0, greeting, refwire.EncodeHello(refwire.Hello{AcceptMaxFrame: maxFrame})
		if op.Flaw != 0 {
			f.Payload = []byte("[]")
		}
	case session.Start:
		return sc.start(f, op)
	case session.Data:
		return sc.data(f, s, op, accepted)
	case session.End, session.Cancel:
		f.Flags |= spec.FlagEnd
		if op.Kind == session.Cancel {
			f.Code = spec.CodeCancel
		}
		if op.Flaw&session.Payload != 0 {
			f.Payload = []byte("{}")
		}
	case session.Ack:
		upTo := op.UpTo * sc.scale
		if sc.held {
			upTo += spec.Window // ahead of everything that was sent
		}
		f.Flags, f.Code, f.Payload = spec.FlagEvent, spec.CodeAck, refwire.EncodeAck(int64(upTo))
	case session.Resp:
		f.Flags, f.Code = spec.FlagResp, spec.CodeOK
	case session.Garbage:
		return []byte{0, 0, 0, 1}
	default:
		panic(fmt.Sprintf("tour: no frame for %v", op))
	}
	return seal(f)
}

func seal(f refwire.Frame) []byte {
	f.Seal()
	return refwire.Encode(f)
}

func (sc scene) start(f refwire.Frame, op sessionOp) []byte {
	f.Flags |= spec.FlagStart
	f.Cap = sc.cap
	if op.End {
		f.Flags |= spec.FlagEnd
	}
	if op.Acks {
		f.Flags |= spec.FlagAckReq
	}
	if op.Flaw&session.Code != 0 {
		f.Code = spec.CodeOK
	}
	r := refwire.Request{Op: string(op.Req), Obj: sc.stored, HasObj: op.Req != session.Put || op.Doom}
	if op.Doom {
		r.Obj = sc.missing
	}
	if op.Req == session.Put {
		r.TotalLen = int64(op.Total * sc.scale)
	}
	f.Payload = refwire.EncodeRequest(r)
	return seal(f)
}

// data are as many frames, of one byte each, as the model's one stands for; a frame that will be refused stands alone.
func (sc scene) data(f refwire.Frame, s sessionState, op sessionOp, accepted bool) []byte {
	d := refwire.Data{TotalLen: int64(sc.scale), Body: []byte("x")}
	n := 1
	if op.Corr > 0 && op.Corr <= len(s.Streams) {
		st := s.Streams[op.Corr-1]
		if st.Mode == session.Open {
			d.Offset, d.TotalLen = int64(st.Moved*sc.scale), int64(st.Total*sc.scale)
		}
		if s.Doomed&(1<<op.Corr) != 0 {
			d.Obj, d.HasObj = sc.missing, true
		}
	}
	if op.Flaw&session.Gap != 0 {
		d.Offset++
	}
	if accepted {
		n = sc.scale
	}
	var all []byte
	for range n {
		f.Payload = refwire.EncodeData(d)
		all = append(all, seal(f)...)
		d.Offset++
	}
	return all
}

// release is the ACK that a held answer waits for.
func (sc scene) release(c int) []byte {
	return seal(refwire.Frame{Ver: spec.Version, Flags: spec.FlagEvent, Code: spec.CodeAck, Proto: spec.ProtoObjects,
		Corr: sc.corr(c), Payload: refwire.EncodeAck(spec.Window)})
}

// closeFence is the END that a fence is.
func closeFence() []byte {
	return seal(refwire.Frame{Ver: spec.Version, Flags: spec.FlagReq | spec.FlagEnd, Proto: spec.ProtoObjects, Corr: fence})
}

// fillers take n places: STARTs that are refused before admission and leave half-closed streams behind, for which a
// connection that goes away does not wait (OAP-SES-010, OAP-SES-017).
func fillers(n int) []byte {
	var all []byte
	for i := range n {
		all = append(all, seal(refwire.Frame{Ver: spec.Version, Flags: spec.FlagReq | spec.FlagStart, Code: spec.CodeOK,
			Proto: spec.ProtoObjects, Corr: uint64(i + 1)})...)
	}
	return all
}
