package session_test

import (
	"bytes"

	"pgregory.net/rapid"

	"github.com/rustyonions/micronode/model/refwire"
	model "github.com/rustyonions/micronode/model/session"
	"github.com/rustyonions/micronode/spec"
)

// render is the frame of op on the wire.
func (l *lockstep) render(op model.Op) []byte {
	f := refwire.Frame{Flags: spec.FlagReq, Proto: spec.ProtoObjects, Corr: l.wireCorr(op.Corr)}
	l.shape(op, &f)
	set := func(flaw model.Flaw, do func()) {
		if op.Flaw&flaw != 0 {
			do()
		}
	}
	set(model.Code, func() { f.Code = spec.CodeOK })
	set(model.Foreign, func() {
		f.Proto = spec.ProtoMailbox
		if op.Kind != model.Start && rapid.Bool().Draw(l.t, "of another tenant") {
			f.Proto = spec.ProtoObjects
			f.Tenant[15] = 1
		}
	})
	set(model.Sealed, func() { f.Flags |= spec.FlagAppE2E })
	set(model.Shape, func() {
		switch op.Kind {
		case model.Start:
			f.Flags ^= spec.FlagReq | spec.FlagEvent
		case model.Ack:
			f.Flags |= spec.FlagEnd
		default:
			f.Flags |= spec.FlagAckReq
		}
	})
	f.Seal()
	return refwire.Encode(f)
}

// shape is what the kind of op, and flaws in the payload, make of a frame.
func (l *lockstep) shape(op model.Op, f *refwire.Frame) {
	bad := op.Flaw&model.Payload != 0
	switch op.Kind {
	case model.Hello:
		f.Proto, f.Payload = spec.ProtoControl, []byte("{}")
		if bad {
			f.Payload = []byte("[]")
		}
	case model.Start:
		f.Flags |= spec.FlagStart
		if op.Acks {
			f.Flags |= spec.FlagAckReq
		}
		if op.End {
			f.Flags |= spec.FlagEnd
		}
		r := refwire.Request{Op: string(op.Req), HasObj: op.Req != model.Put, TotalLen: int64(op.Total),
			Len: int64(op.Total), HasLen: op.Req == model.Get}
		if op.Flaw&model.Large != 0 {
			r.TotalLen = spec.MaxObject + 1
		}
		f.Payload = refwire.EncodeRequest(r)
		if bad {
			f.Payload = bytes.Replace(f.Payload, []byte(`"op"`), []byte(`"OP"`), 1)
		}
	case model.Data:
		var st model.Stream
		if op.Corr > 0 {
			st = l.s.Streams[op.Corr-1]
		}
		d := refwire.Data{Offset: int64(st.Moved), TotalLen: int64(st.Total), Body: []byte("x")}
		if op.Flaw&model.Large != 0 {
			d.Body = make([]byte, spec.MaxChunk+1)
		}
		if op.Flaw&model.Other != 0 {
			d.HasObj = rapid.Bool().Draw(l.t, "names an object")
			if !d.HasObj {
				d.TotalLen++
			}
		}
		if op.Flaw&model.Gap != 0 {
			d.Offset++
		}
		f.Payload = refwire.EncodeData(d)
		if bad {
			f.Payload = f.Payload[:rapid.IntRange(0, 20).Draw(l.t, "cut")]
		}
	case model.End, model.Cancel:
		f.Flags |= spec.FlagEnd
		if op.Kind == model.Cancel {
			f.Code = spec.CodeCancel
		}
		if bad {
			f.Payload = []byte("x")
		}
	case model.Ack:
		f.Flags, f.Code, f.Payload = spec.FlagEvent, spec.CodeAck, refwire.EncodeAck(int64(op.UpTo))
		if bad {
			f.Payload = []byte(`{"up_to":"1"}`)
		}
	case model.Resp:
		f.Flags, f.Code = spec.FlagResp|rapid.SampledFrom([]spec.Flags{0, spec.FlagEnd, spec.FlagStart}).Draw(l.t, "and"), spec.CodeOK
	}
}
