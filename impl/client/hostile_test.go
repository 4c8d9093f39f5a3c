package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

func TestBadHello(t *testing.T) {
	t.Parallel()
	raw := func(b string) func(p *peer) {
		return func(p *peer) { p.recv(); io.WriteString(p.nc, b); p.recv() }
	}
	reply := func(change func(*wire.HelloReply)) func(p *peer) {
		return func(p *peer) { p.hello(change); p.recv() }
	}
	for name, tc := range map[string]struct {
		serve       func(p *peer)
		want        spec.Reason
		unreachable bool
	}{
		"not OAP":            {raw("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n, and more text"), spec.BadHello, false},
		"closed at once":     {func(p *peer) {}, spec.None, true},
		"closed after HELLO": {func(p *peer) { p.recv() }, spec.None, true},
		"an event first":     {func(p *peer) { p.recv(); p.send(wire.Header{Flags: spec.FlagEvent, Code: 503}, nil); p.recv() }, spec.BadHello, false},
		"other stream":       {func(p *peer) { p.recv(); p.send(wire.Header{Flags: spec.FlagResp, Code: 200, Corr: 99}, nil); p.recv() }, spec.BadHello, false},
		"empty answer": {func(p *peer) {
			f := p.recv()
			p.send(wire.Header{Flags: spec.FlagResp, Code: 200, Corr: f.Corr}, nil)
			p.recv()
		}, spec.BadHello, false},
		"other version":       {reply(func(r *wire.HelloReply) { r.Versions = []int{2} }), spec.Unsupported, false},
		"max_frame too small": {reply(func(r *wire.HelloReply) { r.MaxFrame = 4095 }), spec.BadHello, false},
		"max_frame too large": {reply(func(r *wire.HelloReply) { r.MaxFrame = 1 << 40 }), spec.BadHello, false},
		"no streams":          {reply(func(r *wire.HelloReply) { r.MaxInflight = 0 }), spec.BadHello, false},
		"refused":             {func(p *peer) { f := p.recv(); p.refuse(f.Corr, spec.Forbidden, 0); p.recv() }, spec.Forbidden, false},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := Dial(t.Context(), listen(t, tc.serve), quick)
			if err == nil {
				c.Close()
				t.Fatal("dialled")
			}
			var e *Error
			if !errors.As(err, &e) || e.Reason != tc.want || e.Unreachable != tc.unreachable {
				t.Errorf("got %v, want reason %q, unreachable %v", err, tc.want, tc.unreachable)
			}
		})
	}
}

func TestSilentHello(t *testing.T) {
	t.Parallel()
	url := listen(t, func(p *peer) { p.recv(); p.recv() })
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	_, err := Dial(ctx, url, quick)
	wantReason(t, err, spec.Timeout)
}

func TestNobodyThere(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	for _, url := range []string{"oap://" + addr, "http://" + addr, "unix:/nonexistent/socket"} {
		c, err := Dial(t.Context(), url, quick)
		if err == nil {
			_, err = c.Stat(t.Context(), spec.Address{})
			c.Close()
		}
		var e *Error
		if !errors.As(err, &e) || !e.Unreachable {
			t.Errorf("%s: got %v, want an unreachable node", url, err)
		}
	}
}

// What a get must never take for success.
func TestHostileGet(t *testing.T) {
	t.Parallel()
	b := bytesOf(100_000)
	addr := sum(b)
	for name, tc := range map[string]struct {
		serve func(p *peer, corr uint64)
		want  spec.Reason
	}{
		"wrong bytes": {func(p *peer, corr uint64) {
			bad := bytes.Clone(b[:65536])
			bad[7]++
			p.data(corr, addr, 0, 100_000, bad)
			p.data(corr, addr, 65536, 100_000, b[65536:])
			p.answer(corr, wire.OpGet, wire.Answer{Obj: addr, Size: 100_000})
		}, spec.Integrity},
		"another object": {func(p *peer, corr uint64) {
			p.data(corr, sum(nil), 0, 3, []byte("abc"))
		}, spec.Malformed},
		"an answer about another object": {func(p *peer, corr uint64) {
			p.data(corr, addr, 0, 100_000, b[:65536])
			p.data(corr, addr, 65536, 100_000, b[65536:])
			p.answer(corr, wire.OpGet, wire.Answer{Obj: sum(nil), Size: 100_000})
		}, spec.Integrity},
		"DATA without obj": {func(p *peer, corr uint64) {
			payload := append(wire.AppendDataHeader(nil, &wire.DataHeader{TotalLen: 100_000}), b[:10]...)
			p.send(wire.Header{Flags: spec.FlagResp, Code: spec.CodeData, Proto: spec.ProtoObjects, Corr: corr}, payload)
		}, spec.Malformed},
		"ends early": {func(p *peer, corr uint64) {
			p.data(corr, addr, 0, 100_000, b[:65536])
			p.answer(corr, wire.OpGet, wire.Answer{Obj: addr, Size: 100_000})
		}, spec.Truncated},
		"announces less than the object": {func(p *peer, corr uint64) {
			p.data(corr, addr, 0, 65536, b[:65536])
			p.answer(corr, wire.OpGet, wire.Answer{Obj: addr, Size: 100_000})
		}, spec.Truncated},
		"a prefix for the whole": {func(p *peer, corr uint64) {
			p.data(corr, addr, 0, 65536, b[:65536])
			p.answer(corr, wire.OpGet, wire.Answer{Obj: addr, Size: 65536})
		}, spec.Integrity},
		"nothing at all": {func(p *peer, corr uint64) {
			p.answer(corr, wire.OpGet, wire.Answer{Obj: addr, Size: 0})
		}, spec.Integrity},
		"more than announced": {func(p *peer, corr uint64) {
			p.data(corr, addr, 0, 70_000, b[:65536])
			p.data(corr, addr, 65536, 70_000, b[65536:])
		}, spec.Oversize},
		"never ends": {func(p *peer, corr uint64) {
			for off := int64(0); p.data(corr, addr, off, 1<<40, b[:65536]); off += 65536 {
			}
		}, spec.Oversize},
		"ignores the window": {func(p *peer, corr uint64) {
			for off := int64(0); p.data(corr, addr, off, 64<<20, b[:1024]); off += 1024 {
			}
		}, spec.CreditViolation},
		"never ends, within what it announced": {func(p *peer, corr uint64) {
			p.data(corr, addr, 0, 10, b[:10])
			for p.data(corr, addr, 10, 10, b[:65536]) {
			}
		}, spec.Oversize},
		"a gap": {func(p *peer, corr uint64) {
			p.data(corr, addr, 0, 100_000, b[:10])
			p.data(corr, addr, 11, 100_000, b[11:20])
		}, spec.BadOffset},
		"moves total_len": {func(p *peer, corr uint64) {
			p.data(corr, addr, 0, 100_000, b[:10])
			p.data(corr, addr, 10, 100_001, b[10:20])
		}, spec.Malformed},
		"an answer without members": {func(p *peer, corr uint64) {
			p.send(wire.Header{Flags: spec.FlagResp | spec.FlagEnd, Code: 200, Proto: spec.ProtoObjects, Corr: corr}, []byte(`{}`))
		}, spec.Malformed},
		"an ERROR without members": {func(p *peer, corr uint64) {
			p.send(wire.Header{Flags: spec.FlagResp | spec.FlagEnd, Code: 404, Proto: spec.ProtoObjects, Corr: corr}, []byte(`{}`))
		}, spec.Malformed},
		"ends with code 204": {func(p *peer, corr uint64) {
			p.send(wire.Header{Flags: spec.FlagResp | spec.FlagEnd, Code: 204, Proto: spec.ProtoObjects, Corr: corr}, nil)
		}, spec.BadSequence},
		"a response that is nothing": {func(p *peer, corr uint64) {
			p.send(wire.Header{Flags: spec.FlagResp, Code: 200, Proto: spec.ProtoObjects, Corr: corr}, nil)
		}, spec.BadSequence},
		"a request":       {func(p *peer, corr uint64) { p.send(wire.Header{Flags: spec.FlagReq, Corr: corr}, nil) }, spec.BadSequence},
		"a future stream": {func(p *peer, corr uint64) { p.data(corr+1, addr, 0, 1, b[:1]) }, spec.NoSuchStream},
		"no frame":        {func(p *peer, corr uint64) { io.WriteString(p.nc, "\x00\x00\x00\x00") }, spec.Malformed},
		"an ACK for nothing": {func(p *peer, corr uint64) {
			p.send(wire.Header{Flags: spec.FlagEvent, Code: 202, Proto: spec.ProtoObjects, Corr: corr}, wire.AppendAck(nil, 1))
		}, spec.CreditViolation},
		"an ERROR for the connection": {func(p *peer, corr uint64) { p.refuse(0, spec.BadFlags, 0) }, spec.BadFlags},
		"silence":                     {func(p *peer, corr uint64) { p.recv() }, spec.Timeout},
		"refused":                     {func(p *peer, corr uint64) { p.refuse(corr, spec.NotFound, 0) }, spec.NotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := listen(t, after(func(p *peer) {
				for {
					f, r := p.start()
					if f == nil {
						return
					}
					if r.Op != wire.OpGet {
						t.Errorf("got a %s", r.Op)
					}
					tc.serve(p, f.Corr)
				}
			}))
			opts := quick
			if name == "silence" {
				opts = hasty
			}
			c := dial(t, url, opts)
			_, err := c.Get(t.Context(), addr, 0, -1, io.Discard)
			wantReason(t, err, tc.want)
		})
	}
}

func TestHostilePut(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		serve func(p *peer, f *wire.Frame)
		want  spec.Reason
	}{
		"another address":    {func(p *peer, f *wire.Frame) { p.answer(f.Corr, wire.OpPut, wire.Answer{Obj: sum(nil), Created: true}) }, spec.Integrity},
		"an answer to a get": {func(p *peer, f *wire.Frame) { p.answer(f.Corr, wire.OpGet, wire.Answer{Obj: sum([]byte("abc"))}) }, spec.Malformed},
		"DATA":               {func(p *peer, f *wire.Frame) { p.data(f.Corr, sum(nil), 0, 1, []byte("x")) }, spec.BadSequence},
		"bad_digest":         {func(p *peer, f *wire.Frame) { p.refuse(f.Corr, spec.BadDigest, 0) }, spec.BadDigest},
		"an unknown reason": {func(p *peer, f *wire.Frame) {
			p.send(wire.Header{Flags: spec.FlagResp | spec.FlagEnd, Code: 418, Proto: spec.ProtoObjects, Corr: f.Corr}, []byte(`{"reason":"teapot","message":"m","retryable":false,"corr_id":1}`))
		}, spec.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			url := listen(t, after(func(p *peer) {
				for f, _ := p.start(); f != nil; f, _ = p.start() {
					tc.serve(p, f)
				}
			}))
			c := dial(t, url, quick)
			_, _, err := c.Put(t.Context(), strings.NewReader("abc"), 3, nil)
			wantReason(t, err, tc.want)
		})
	}
}

// A put that is refused in the middle of its body is cancelled, so that the stream does not stay half-closed.
func TestRefusedPutIsCancelled(t *testing.T) {
	t.Parallel()
	cancelled := make(chan bool, 1)
	url := listen(t, after(func(p *peer) {
		f, _ := p.start()
		corr := f.Corr
		p.refuse(corr, spec.Forbidden, 0)
		for f := p.recv(); f != nil; f = p.recv() {
			if f.Corr == corr && f.Flags == spec.FlagReq|spec.FlagEnd {
				cancelled <- f.Code == spec.CodeCancel
				return
			}
		}
		cancelled <- false
	}))
	c := dial(t, url, quick)
	_, _, err := c.Put(t.Context(), bytes.NewReader(make([]byte, 8<<20)), 8<<20, nil)
	wantReason(t, err, spec.Forbidden)
	if !<-cancelled {
		t.Error("the stream was left half-closed")
	}
}

// A put waits for credit: 32 frames without an ACK, and not one more.
func TestPutKeepsItsWindow(t *testing.T) {
	t.Parallel()
	const size = 64 * spec.MaxChunk
	b := bytesOf(size)
	url := listen(t, after(func(p *peer) {
		f, _ := p.start()
		corr := f.Corr
		if f.Flags&spec.FlagAckReq == 0 {
			t.Error("a large put without ACK_REQ")
		}
		frames := int64(0)
		next := func() bool { f = p.recv(); frames++; return f != nil }
		for range spec.Window {
			next()
		}
		// The 33rd must not come: a frame of another stream, asked for now, arrives instead.
		p.nc.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if f := p.recv(); f != nil {
			t.Errorf("frame %d came without credit", frames+1)
		}
		p.nc.SetReadDeadline(time.Time{})
		ack := func(n int64) {
			p.send(wire.Header{Flags: spec.FlagEvent, Code: spec.CodeAck, Proto: spec.ProtoObjects, Corr: corr}, wire.AppendAck(nil, n))
		}
		ack(spec.Window)
		for next() && f.Flags&spec.FlagEnd == 0 {
		}
		if frames != 65 { // and END
			t.Errorf("%d frames came", frames)
		}
		ack(64)
		p.answer(corr, wire.OpPut, wire.Answer{Obj: sum(b)})
		p.recv()
	}))
	c := dial(t, url, Options{Conns: 1})
	if _, _, err := c.Put(t.Context(), bytes.NewReader(b), size, nil); err != nil {
		t.Error(err)
	}
}

// A connection that breaks in the middle of a get costs the rest only: the next attempt asks for what is missing.
func TestGetResumes(t *testing.T) {
	t.Parallel()
	b := bytesOf(300_000)
	addr := sum(b)
	var attempts atomic.Int32
	url := listen(t, after(func(p *peer) {
		f, r := p.start()
		if f == nil {
			return
		}
		n := int64(attempts.Add(1))
		if want := (n - 1) * 50_000; r.Offset != want || r.HasLen {
			t.Errorf("attempt %d asks from %d on, want %d", n, r.Offset, want)
		}
		left := int64(len(b)) - r.Offset
		p.data(f.Corr, addr, 0, left, b[r.Offset:r.Offset+50_000])
		if n == 6 {
			p.answer(f.Corr, wire.OpGet, wire.Answer{Obj: addr, Size: int64(len(b))})
			p.recv()
		}
	}))
	c := dial(t, url, quick)
	var got bytes.Buffer
	n, err := c.Get(t.Context(), addr, 0, -1, &got)
	if err != nil || n != int64(len(b)) || !bytes.Equal(got.Bytes(), b) {
		t.Errorf("got %d bytes, %v", n, err)
	}
	if attempts.Load() != 6 {
		t.Errorf("%d attempts", attempts.Load())
	}
}

// Losing the connection again and again without progress is given up.
func TestLossesEnd(t *testing.T) {
	t.Parallel()
	var attempts atomic.Int32
	url := listen(t, after(func(p *peer) { p.start(); attempts.Add(1) }))
	c := dial(t, url, quick)
	_, err := c.Stat(t.Context(), spec.Address{})
	var e *Error
	if !errors.As(err, &e) || !e.GaveUp || attempts.Load() != maxLosses {
		t.Errorf("got %v after %d attempts", err, attempts.Load())
	}
}

// A refusal with a time is obeyed, and then the request is repeated with its whole body.
func TestRetryAfter(t *testing.T) {
	t.Parallel()
	const wait = 400 * time.Millisecond
	b := bytesOf(200_000)
	var refusedAt atomic.Int64
	url := listen(t, after(func(p *peer) {
		for f, r := p.start(); f != nil; f, r = p.start() {
			corr := f.Corr
			if refusedAt.CompareAndSwap(0, time.Now().UnixNano()) {
				p.refuse(corr, spec.NotReady, wait)
				continue
			}
			if d := time.Since(time.Unix(0, refusedAt.Load())); d < wait {
				t.Errorf("came back after %v", d)
			}
			var got []byte
			for f = p.recv(); f != nil && f.Flags&spec.FlagEnd == 0; f = p.recv() {
				var d wire.DataHeader
				body, _ := wire.ParseData(f.Data, &d)
				got = append(got, body...)
			}
			if !bytes.Equal(got, b) || r.TotalLen != int64(len(b)) {
				t.Errorf("the second attempt sent %d other bytes", len(got))
			}
			p.answer(corr, wire.OpPut, wire.Answer{Obj: sum(got), Created: true})
		}
	}))
	c := dial(t, url, Options{Conns: 1})
	if _, created, err := c.Put(t.Context(), bytes.NewReader(b), int64(len(b)), nil); err != nil || !created {
		t.Error(created, err)
	}
	if s := c.Stats(); s.Refused != 1 || s.Admitted != 1 {
		t.Errorf("stats: %+v", s)
	}
}

// A reader that can not go back fails with the refusal, not with half of an object.
func TestRetryNeedsASeeker(t *testing.T) {
	t.Parallel()
	url := listen(t, after(func(p *peer) {
		for f, _ := p.start(); f != nil; f, _ = p.start() {
			p.refuse(f.Corr, spec.NotReady, time.Millisecond)
		}
	}))
	c := dial(t, url, quick)
	_, _, err := c.Put(t.Context(), onlyReader{strings.NewReader("abc")}, 3, nil)
	wantReason(t, err, spec.NotReady)
}

// A node that refuses everything for ever is given up, one that lets something in is not.
func TestPatienceEnds(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	url := listen(t, after(func(p *peer) {
		for f, _ := p.start(); f != nil; f, _ = p.start() {
			n.Add(1)
			p.refuse(f.Corr, spec.StoreFull, 20*time.Millisecond)
		}
	}))
	c := dial(t, url, quick)
	_, _, err := c.Put(t.Context(), strings.NewReader("abc"), 3, nil)
	wantReason(t, err, spec.StoreFull)
	var e *Error
	if !errors.As(err, &e) || !e.GaveUp || n.Load() < 3 {
		t.Errorf("got %v after %d attempts", err, n.Load())
	}
}

// Going-away ends a connection for new requests, not for those that run; the next one goes elsewhere.
func TestGoingAway(t *testing.T) {
	t.Parallel()
	var conns atomic.Int32
	url := listen(t, after(func(p *peer) {
		n := conns.Add(1)
		for f, _ := p.start(); f != nil; f, _ = p.start() {
			corr := f.Corr
			if n == 1 {
				p.send(wire.Header{Flags: spec.FlagEvent, Code: spec.CodeGoingAway}, wire.AppendGoingAway(nil))
			}
			p.answer(corr, wire.OpStat, wire.Answer{Size: int64(n)})
		}
	}))
	c := dial(t, url, quick)
	for want := int64(1); want <= 3; want++ {
		got, err := c.Stat(t.Context(), spec.Address{})
		if err != nil || got != min(want, 2) {
			t.Errorf("request %d was answered by connection %d, %v", want, got, err)
		}
	}
}

// A delete whose answer got lost may have worked: then not_found is what success looks like.
func TestDeleteAfterLoss(t *testing.T) {
	t.Parallel()
	var n atomic.Int32
	url := listen(t, after(func(p *peer) {
		for f, _ := p.start(); f != nil; f, _ = p.start() {
			if n.Add(1) == 1 {
				return
			}
			p.refuse(f.Corr, spec.NotFound, 0)
		}
	}))
	c := dial(t, url, quick)
	if err := c.Delete(t.Context(), spec.Address{}); err != nil {
		t.Errorf("after a loss: %v", err)
	}
	wantReason(t, c.Delete(t.Context(), spec.Address{}), spec.NotFound)
}

// Cancelling a get cancels its stream; the connection goes on.
func TestCancelReachesTheNode(t *testing.T) {
	t.Parallel()
	code := make(chan spec.Code, 1)
	ctx, cancel := context.WithCancel(t.Context())
	url := listen(t, after(func(p *peer) {
		f, _ := p.start()
		corr := f.Corr
		cancel()
		f = p.recv()
		if f == nil || f.Corr != corr || f.Flags != spec.FlagReq|spec.FlagEnd {
			t.Errorf("got %+v instead of CANCEL", f)
			code <- 0
			return
		}
		code <- f.Code
		f, _ = p.start()
		p.answer(f.Corr, wire.OpStat, wire.Answer{Size: 5})
		p.recv()
	}))
	c := dial(t, url, quick)
	if _, err := c.Get(ctx, spec.Address{}, 0, -1, io.Discard); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if got := <-code; got != spec.CodeCancel {
		t.Errorf("code %d", got)
	}
	if n, err := c.Stat(t.Context(), spec.Address{}); n != 5 || err != nil {
		t.Errorf("the connection did not survive: %d, %v", n, err)
	}
}

// A node that sends too much loses its connection at once, and not when the client is done with everything else.
func TestFloodIsCut(t *testing.T) {
	t.Parallel()
	cut := make(chan struct{})
	url := listen(t, after(func(p *peer) {
		f, r := p.start()
		for off := int64(0); p.data(f.Corr, r.Obj, off, 1<<40, make([]byte, 1000)); off += 1000 {
		}
		close(cut)
	}))
	c := dial(t, url, quick)
	_, err := c.Get(t.Context(), spec.Address{}, 0, -1, io.Discard)
	wantReason(t, err, spec.Oversize)
	select {
	case <-cut:
	case <-time.After(5 * time.Second):
		t.Error("the node can go on sending")
	}
}

// A get acknowledges every 16th frame (OAP-CRD-002): a node that waits for it does not wait in vain.
func TestGetAcknowledges(t *testing.T) {
	t.Parallel()
	b := bytesOf(100 * 1000)
	addr := sum(b)
	url := listen(t, after(func(p *peer) {
		f, _ := p.start()
		corr, acked := f.Corr, int64(0)
		if f.Flags&spec.FlagAckReq == 0 {
			t.Error("a get without ACK_REQ")
		}
		for i := range int64(100) {
			for i-acked >= spec.AckEvery {
				f := p.recv()
				if f == nil {
					return
				}
				upTo, r := wire.ParseAck(f.Data)
				if f.Code != spec.CodeAck || r != spec.None || upTo != acked+spec.AckEvery {
					t.Errorf("got code %d, up_to %d behind %d", f.Code, upTo, acked)
					return
				}
				acked = upTo
			}
			p.data(corr, addr, i*1000, 100_000, b[i*1000:(i+1)*1000])
		}
		p.answer(corr, wire.OpGet, wire.Answer{Obj: addr, Size: 100_000})
		p.recv()
	}))
	c := dial(t, url, quick)
	if _, err := c.Get(t.Context(), addr, 0, -1, io.Discard); err != nil {
		t.Error(err)
	}
	if s := c.Stats(); s.Lost != 0 {
		t.Errorf("stats: %+v", s)
	}
}
