package client

import (
	"fmt"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// The frames that a client sends. All of them are legal by construction: AppendFrame refuses only what the callers
// below never ask for, so its error is a fault of this package.

func appendFrame(dst []byte, h *wire.Header, capability, payload []byte) []byte {
	out, err := wire.AppendFrame(dst, h, capability, payload)
	if err != nil {
		panic("client: built an illegal frame: " + err.Error())
	}
	return out
}

func appendHello(dst []byte, corr uint64, h *wire.Hello) []byte {
	return appendFrame(dst, &wire.Header{Flags: spec.FlagReq, Corr: corr}, nil, wire.AppendHello(nil, h))
}

// appendStart appends a START with the capability in its cap bytes (CAP-TOK-004). The longest one and the longest
// request of the objects protocol fit into the smallest max_frame (spec.MinMaxFrame, spec.MaxCapability).
func appendStart(dst []byte, corr uint64, flags spec.Flags, cred credential, r *wire.Request) []byte {
	var buf [256]byte
	h := wire.Header{Flags: spec.FlagReq | spec.FlagStart | flags, Proto: spec.ProtoObjects, Corr: corr}
	return appendFrame(dst, &h, cred.binary(), wire.AppendRequest(buf[:0], r))
}

// appendPassport appends a passport request, all of it in one START|END (CAP-ISS-001). The caller has checked that it
// fits into a frame.
func appendPassport(dst []byte, corr uint64, cred credential, doc []byte) []byte {
	h := wire.Header{Flags: spec.FlagReq | spec.FlagStart | spec.FlagEnd, Proto: spec.ProtoPassport, Corr: corr}
	return appendFrame(dst, &h, cred.binary(), doc)
}

// dataRoom is how much of a frame around a body the DATA header takes at most: the length, and JSON with an
// address and two numbers.
const dataRoom = spec.HeaderLen + 2 + 160

// maxBody is the largest DATA body under a max_frame.
func maxBody(maxFrame int64) int64 { return min(spec.MaxChunk, maxFrame-dataRoom) }

func appendData(dst []byte, corr uint64, d *wire.DataHeader, body []byte) []byte {
	var buf [dataRoom]byte
	head := wire.AppendDataHeader(buf[:0], d)
	h := wire.Header{Flags: spec.FlagReq, Proto: spec.ProtoObjects, Corr: corr}
	dst, err := wire.AppendHeader(dst, &h, 0, len(head)+len(body))
	if err != nil {
		panic("client: built an illegal frame: " + err.Error())
	}
	return append(append(dst, head...), body...)
}

func appendEnd(dst []byte, proto spec.Proto, corr uint64, code spec.Code) []byte {
	h := wire.Header{Flags: spec.FlagReq | spec.FlagEnd, Code: code, Proto: proto, Corr: corr}
	return appendFrame(dst, &h, nil, nil)
}

func appendAck(dst []byte, corr uint64, upTo int64) []byte {
	var buf [64]byte
	h := wire.Header{Flags: spec.FlagEvent, Code: spec.CodeAck, Proto: spec.ProtoObjects, Corr: corr}
	return appendFrame(dst, &h, nil, wire.AppendAck(buf[:0], upTo))
}

// parseError turns an ERROR frame into an Error (OAP-ERR-001, OAP-ERR-002).
func parseError(f *wire.Frame) *Error {
	var w wire.Error
	if wire.ParseError(f.Data, &w) != spec.None {
		return broken(spec.Malformed, "the node sent an ERROR that can not be read (code %d)", f.Code)
	}
	e := &Error{Reason: w.Reason, Message: printable(w.Message), FromNode: true}
	if !w.Reason.Known() {
		e.Reason, e.Message = spec.Internal, fmt.Sprintf("%s: %s", printable(string(w.Reason)), e.Message)
	}
	switch {
	case final(e.Reason, int(f.Code)):
	case f.Code == 429 || f.Code == 503 || w.RetryAfter > 0:
		e.again, e.retryAfter = paced, w.RetryAfter
	case w.Retryable:
		e.again = lost
	}
	return e
}
