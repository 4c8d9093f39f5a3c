package client

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// chunks keeps buffers for DATA bodies between the reader of a connection and the consumers of its streams.
var chunks = sync.Pool{New: func() any { b := make([]byte, spec.MaxChunk); return &b }}

// chunk is one DATA frame of an answer.
type chunk struct {
	buf   *[]byte
	n     int
	total int64 // total_len of the answer
}

func (k chunk) bytes() []byte { return (*k.buf)[:k.n] }

func (k chunk) free() {
	clear(k.bytes())
	chunks.Put(k.buf)
}

// stream is one request. The reader of the connection fills it, one goroutine of the caller empties it.
type stream struct {
	c      *conn
	corr   uint64
	proto  spec.Proto
	op     wire.Op       // of the objects protocol
	obj    spec.Address  // of the request; not of a put that names none
	notify chan struct{} // capacity 1: something below changed

	mu     sync.Mutex
	queue  []chunk // at most spec.Window: the node may not send more un-ACKed
	total  int64   // total_len of the answer; valid once offset > 0
	offset int64   // bytes of the answer received
	acked  int64   // frames of ours that the node has ACKed
	sent   int64   // frames of ours that were sent
	ended  bool    // the node ended the stream: answer or err is set
	answer wire.Answer
	doc    []byte // the answer to a passport request
	err    *Error
	gone   bool // the consumer has left
}

// take judges one frame of the stream. An error is the end of the connection: the node broke the law.
func (st *stream) take(f *wire.Frame) *Error {
	st.mu.Lock()
	defer st.mu.Unlock()
	defer st.poke()
	switch {
	case st.ended || st.gone:
		return nil
	case f.Flags&spec.FlagEvent != 0 && f.Code == spec.CodeAck:
		return st.takeAck(f)
	case f.Flags&spec.FlagEvent != 0:
		return nil // a push that nobody asked for
	case f.Flags&spec.FlagEnd == 0 && f.Code == spec.CodeData:
		return st.takeData(f)
	case f.Flags&spec.FlagEnd == 0:
		return broken(spec.BadSequence, "the node sent a response that is neither DATA nor final (code %d)", f.Code)
	case f.Code >= 400:
		st.ended, st.err = true, parseError(f)
	case f.Code != spec.CodeOK:
		return broken(spec.BadSequence, "the node ended a stream with code %d", f.Code)
	case st.proto == spec.ProtoPassport:
		st.ended, st.doc = true, bytes.Clone(f.Data)
	default:
		st.ended = true
		if wire.ParseAnswer(f.Data, st.op, &st.answer) != spec.None {
			st.err = broken(spec.Malformed, "the node's answer to %s can not be read", st.op)
		}
	}
	return nil
}

func (st *stream) takeAck(f *wire.Frame) *Error {
	upTo, r := wire.ParseAck(f.Data)
	if r != spec.None || upTo <= st.acked || upTo > st.sent { // OAP-CRD-003
		return broken(spec.CreditViolation, "the node acknowledged %d frames of %d", upTo, st.sent)
	}
	st.acked = upTo
	return nil
}

func (st *stream) takeData(f *wire.Frame) *Error {
	var d wire.DataHeader
	body, r := wire.ParseData(f.Data, &d)
	switch {
	case st.proto != spec.ProtoObjects || st.op != wire.OpGet:
		return broken(spec.BadSequence, "the node sent DATA where none was asked for")
	case r != spec.None:
		return broken(r, "the node sent a DATA frame that breaks the law")
	case !d.HasObj || d.Obj != st.obj: // OAP-STR-002
		return broken(spec.Malformed, "the node sent DATA of another object")
	case d.Offset != st.offset:
		return broken(spec.BadOffset, "the node sent DATA for offset %d where %d is due", d.Offset, st.offset)
	case st.offset > 0 && d.TotalLen != st.total:
		return broken(spec.Malformed, "the node changed total_len in the middle")
	case len(st.queue) >= spec.Window:
		return broken(spec.CreditViolation, "the node sent more than %d un-ACKed DATA frames", spec.Window)
	}
	st.total = d.TotalLen
	st.offset += int64(len(body))
	k := chunk{buf: chunks.Get().(*[]byte), n: len(body), total: d.TotalLen}
	copy(*k.buf, body)
	st.queue = append(st.queue, k)
	return nil
}

func (st *stream) poke() {
	select {
	case st.notify <- struct{}{}:
	default:
	}
}

// drop gives back what nobody will read, and says whether the node had ended the stream.
func (st *stream) drop() (ended bool) {
	st.mu.Lock()
	defer st.mu.Unlock()
	st.gone = true
	for _, k := range st.queue {
		k.free()
	}
	st.queue = nil
	return st.ended
}

// await blocks until ready, called under mu, says so. It returns the error of a lost connection, a stall, or ctx.
func (st *stream) await(ctx context.Context, stall *time.Timer, ready func() bool) error {
	stall.Reset(st.c.opts.Stall)
	for {
		st.mu.Lock()
		ok := ready()
		st.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-st.notify:
		case <-st.c.dead:
			st.mu.Lock() // what came before the end still counts
			ok := ready()
			st.mu.Unlock()
			if ok {
				return nil
			}
			return st.c.cause()
		case <-stall.C:
			return st.c.stalled()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// final waits for the end of the stream, when no DATA is expected.
func (st *stream) final(ctx context.Context, stall *time.Timer) error {
	err := st.await(ctx, stall, func() bool { return st.ended })
	if err != nil {
		return err
	}
	if st.err != nil {
		return st.err
	}
	return nil
}

// next waits for the next DATA frame; ok is false when the stream has ended well.
func (st *stream) next(ctx context.Context, stall *time.Timer) (k chunk, ok bool, err error) {
	err = st.await(ctx, stall, func() bool {
		if len(st.queue) > 0 {
			k, ok = st.queue[0], true
			st.queue = st.queue[1:]
		}
		return ok || st.ended
	})
	if err == nil && !ok && st.err != nil {
		err = st.err
	}
	return k, ok, err
}

// credit waits until one more DATA frame may be sent (OAP-CRD-001), counts it, and says whether the node has
// already ended the stream instead.
func (st *stream) credit(ctx context.Context, stall *time.Timer, window bool) (ended bool, err error) {
	err = st.await(ctx, stall, func() bool {
		if ended = st.ended; ended {
			return true
		}
		if window && st.sent-st.acked >= spec.Window {
			return false
		}
		st.sent++
		return true
	})
	return ended, err
}
