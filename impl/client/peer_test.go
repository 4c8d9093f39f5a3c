package client

import (
	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// peer is the server end of one OAP connection, in the hands of a test.
type peer struct {
	t   testing.TB
	nc  net.Conn
	dec *wire.Decoder
}

// recv returns the next frame, or nil when the client is gone. Its views hold until the next recv.
func (p *peer) recv() *wire.Frame {
	var f wire.Frame
	for {
		v, r := p.dec.Next(&f)
		if v == wire.Accept {
			return &f
		}
		if v == wire.Reject {
			p.t.Errorf("the client sent an illegal frame: %s", r)
			return nil
		}
		n, err := p.nc.Read(p.dec.Space())
		p.dec.Filled(n)
		if n == 0 && err != nil {
			return nil
		}
	}
}

// start returns the next START with its request, passing over everything else.
func (p *peer) start() (f *wire.Frame, r wire.Request) {
	for {
		if f = p.recv(); f == nil {
			return nil, r
		}
		if f.Flags&spec.FlagStart != 0 {
			if reason := wire.ParseRequest(f.Data, &r); reason != spec.None {
				p.t.Errorf("the client sent a request that breaks the law: %s", f.Data)
			}
			return f, r
		}
	}
}

// send says whether the client is still there.
func (p *peer) send(h wire.Header, payload []byte) bool {
	b, err := wire.AppendFrame(nil, &h, nil, payload)
	if err != nil {
		p.t.Errorf("test frame: %v", err)
	}
	_, err = p.nc.Write(b)
	return err == nil
}

func (p *peer) data(corr uint64, addr spec.Address, off, total int64, body []byte) bool {
	payload := wire.AppendDataHeader(nil, &wire.DataHeader{Obj: addr, HasObj: true, Offset: off, TotalLen: total})
	return p.send(wire.Header{Flags: spec.FlagResp, Code: spec.CodeData, Proto: spec.ProtoObjects, Corr: corr}, append(payload, body...))
}

func (p *peer) answer(corr uint64, op wire.Op, a wire.Answer) {
	p.send(wire.Header{Flags: spec.FlagResp | spec.FlagEnd, Code: spec.CodeOK, Proto: spec.ProtoObjects, Corr: corr}, wire.AppendAnswer(nil, op, &a))
}

func (p *peer) refuse(corr uint64, r spec.Reason, after time.Duration) {
	e := wire.Error{Reason: r, Message: "no\x1b[31m", Retryable: r.Facts().Retryable, RetryAfter: after, Corr: corr}
	p.send(wire.Header{Flags: spec.FlagResp | spec.FlagEnd, Code: r.Code(), Proto: spec.ProtoObjects, Corr: corr}, wire.AppendError(nil, &e))
}

// hello answers the client's HELLO with the usual limits.
func (p *peer) hello(change func(*wire.HelloReply)) bool {
	f := p.recv()
	if f == nil {
		return false
	}
	r := wire.HelloReply{MaxFrame: spec.MaxFrame, MaxInflight: 64, FlagsSupported: []string{"REQ"}, Versions: []int{1},
		Transports: []string{"tcp"}, Features: []string{"objects"}, Amnesia: true}
	if change != nil {
		change(&r)
	}
	p.send(wire.Header{Flags: spec.FlagResp, Code: spec.CodeOK, Corr: f.Corr}, wire.AppendHelloReply(nil, &r))
	return true
}

// listen serves every connection with serve, each in its own goroutine, until the test ends.
func listen(t *testing.T, serve func(p *peer)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				p := &peer{t: t, nc: nc, dec: wire.NewDecoder(spec.MaxFrame)}
				defer p.dec.Close()
				serve(p)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return "oap://" + l.Addr().String()
}

// after says HELLO properly and hands over.
func after(serve func(p *peer)) func(p *peer) {
	return func(p *peer) {
		if p.hello(nil) {
			serve(p)
		}
	}
}

// quick are options with which nothing waits for ever, and hasty ones for nodes that say nothing at all.
var (
	quick = Options{Stall: 2 * time.Second, Patience: 300 * time.Millisecond, Conns: 1}
	hasty = Options{Stall: 200 * time.Millisecond, Patience: 300 * time.Millisecond, Conns: 1}
)

func wantReason(t *testing.T, err error, want spec.Reason) {
	t.Helper()
	if got := reasonOf(err); err == nil || got != want {
		t.Errorf("got %v (reason %q), want reason %q", err, got, want)
	}
	if err != nil && strings.ContainsRune(err.Error(), '\x1b') {
		t.Errorf("the error lets control characters of the node through: %q", err)
	}
}
