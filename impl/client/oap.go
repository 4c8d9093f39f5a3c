package client

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

const (
	// busy is how many streams a connection carries before another one is opened.
	busy = 8
	// windowed is the body size in bytes from which a put runs with a credit window. Smaller ones fit into one
	// window anyway.
	windowed = spec.Window * spec.MaxChunk / 2
)

// pool is the OAP surface: a few connections to one node, made when they are needed.
type pool struct {
	target target
	opts   Options
	dial   chan struct{} // capacity 1: one dial at a time

	mu     sync.Mutex
	conns  []*conn
	closed bool
}

func newPool(t target, opts Options) *pool {
	return &pool{target: t, opts: opts, dial: make(chan struct{}, 1)}
}

// warm makes sure that there is one connection.
func (p *pool) warm(ctx context.Context) error {
	_, err := p.pick(ctx)
	return err
}

// close closes all connections and waits for their goroutines.
func (p *pool) close() {
	p.mu.Lock()
	p.closed = true
	conns := p.conns
	p.conns = nil
	p.mu.Unlock()
	for _, c := range conns {
		c.close()
	}
}

// best is the usable connection with the fewest streams, and whether it is worth opening another one.
func (p *pool) best() (c *conn, more bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	alive := p.conns[:0]
	for _, k := range p.conns {
		if k.cause() == nil {
			alive = append(alive, k)
		}
	}
	clear(p.conns[len(alive):])
	p.conns = alive
	for _, k := range p.conns {
		if k.usable() && (c == nil || len(k.slots) < len(c.slots)) {
			c = k
		}
	}
	return c, c == nil || len(c.slots) >= min(busy, cap(c.slots)) && len(p.conns) < p.opts.Conns
}

// pick returns a connection for one more stream.
func (p *pool) pick(ctx context.Context) (*conn, error) {
	c, more := p.best()
	if !more {
		return c, nil
	}
	select {
	case p.dial <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-p.dial }()
	if c, more = p.best(); !more { // someone else dialled in the meantime
		return c, nil
	}
	fresh, err := dialConn(ctx, p.target, &p.opts)
	if err != nil {
		if c != nil { // one connection less is slower, not wrong
			return c, nil
		}
		return nil, err
	}
	p.mu.Lock()
	closed := p.closed
	if !closed {
		p.conns = append(p.conns, fresh)
	}
	p.mu.Unlock()
	if closed {
		fresh.close()
		return nil, fresh.cause()
	}
	return fresh, nil
}

// with runs one attempt on a connection, inside one of its slots.
func (p *pool) with(ctx context.Context, run func(c *conn, stall *time.Timer) error) error {
	c, err := p.pick(ctx)
	if err != nil {
		return err
	}
	select {
	case c.slots <- struct{}{}:
	case <-c.dead:
		return c.cause()
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-c.slots }()
	stall := time.NewTimer(p.opts.Stall)
	defer stall.Stop()
	return run(c, stall)
}

// ask runs a request without bodies.
func (p *pool) ask(ctx context.Context, op wire.Op, addr spec.Address) (a wire.Answer, err error) {
	err = p.with(ctx, func(c *conn, stall *time.Timer) error {
		req := wire.Request{Op: op, Obj: addr, HasObj: true}
		st, err := c.open(ctx, &req, 0, func(dst []byte, corr uint64) []byte {
			return appendStart(dst, corr, spec.FlagEnd, p.opts.cred, &req)
		})
		if err != nil {
			return err
		}
		err = st.final(ctx, stall)
		c.forget(st, true)
		if err == nil && st.answer.Obj != addr {
			err = broken(spec.Integrity, "the node's answer to %s is about another object", op)
		}
		a = st.answer
		return err
	})
	return a, err
}

func (p *pool) stat(ctx context.Context, addr spec.Address) (int64, error) {
	a, err := p.ask(ctx, wire.OpStat, addr)
	return a.Size, err
}

func (p *pool) has(ctx context.Context, addr spec.Address) (bool, error) {
	a, err := p.ask(ctx, wire.OpHas, addr)
	return a.Exists, err
}

func (p *pool) remove(ctx context.Context, addr spec.Address) error {
	a, err := p.ask(ctx, wire.OpDelete, addr)
	if err == nil && !a.Deleted {
		err = broken(spec.Malformed, "the node's answer to delete says that nothing was deleted")
	}
	return err
}

// put is one attempt to store src. A body of one chunk travels with its START and END in one write.
func (p *pool) put(ctx context.Context, src *source, want *spec.Address) (addr spec.Address, created bool, err error) {
	err = p.with(ctx, func(c *conn, stall *time.Timer) error {
		k := chunk{buf: chunks.Get().(*[]byte), n: int(min(c.maxBody, src.size))}
		defer k.free()
		u := upload{c: c, src: src, stall: stall, body: k.bytes(), window: src.size >= windowed}
		u.head.TotalLen = src.size
		if want != nil {
			u.head.Obj, u.head.HasObj = *want, true
		}
		st, err := u.run(ctx)
		if st != nil {
			c.forget(st, u.finished)
		}
		if err != nil {
			return err
		}
		if st.answer.Obj != src.sum() {
			return broken(spec.Integrity, "the node stored %s for bytes that hash to %s", st.answer.Obj, src.sum())
		}
		addr, created = st.answer.Obj, st.answer.Created
		return nil
	})
	return addr, created, err
}

// upload is one put on its stream.
type upload struct {
	c        *conn
	src      *source
	stall    *time.Timer
	body     []byte // room for one chunk
	window   bool
	head     wire.DataHeader
	finished bool // our END was sent
}

// run sends the body and waits for the answer. The stream is nil when it was never opened.
func (u *upload) run(ctx context.Context) (*stream, error) {
	first, err := u.read()
	if err != nil {
		return nil, err
	}
	whole := int64(len(first)) == u.src.size
	req := wire.Request{Op: wire.OpPut, TotalLen: u.src.size, Obj: u.head.Obj, HasObj: u.head.HasObj}
	st, err := u.c.open(ctx, &req, 1, func(dst []byte, corr uint64) []byte {
		var flags spec.Flags
		if u.window {
			flags = spec.FlagAckReq
		}
		dst = appendStart(dst, corr, flags, u.c.opts.cred, &req)
		if len(first) > 0 {
			dst = appendData(dst, corr, &u.head, first)
		}
		if whole {
			dst = appendEnd(dst, spec.ProtoObjects, corr, spec.CodeRequest)
		}
		return dst
	})
	if err != nil {
		return nil, err
	}
	u.finished = whole
	if !whole {
		u.head.Offset = int64(len(first))
		if err := u.rest(ctx, st); err != nil {
			return st, err
		}
	}
	return st, st.final(ctx, u.stall)
}

// rest sends the body behind its first chunk, and END, unless the node ends the stream first.
func (u *upload) rest(ctx context.Context, st *stream) error {
	for u.head.Offset < u.src.size {
		ended, err := st.credit(ctx, u.stall, u.window)
		if ended || err != nil {
			return err // st.final has the reason
		}
		body, err := u.read()
		if err != nil {
			return err
		}
		last := u.head.Offset+int64(len(body)) == u.src.size
		err = u.c.send(ctx, func(dst []byte) []byte {
			dst = appendData(dst, st.corr, &u.head, body)
			if last {
				dst = appendEnd(dst, spec.ProtoObjects, st.corr, spec.CodeRequest)
			}
			return dst
		})
		if err != nil {
			return err
		}
		u.head.Offset += int64(len(body))
		u.finished = last
	}
	return nil
}

// read fills one chunk from the source. An input that is shorter than announced changed while it was read.
func (u *upload) read() ([]byte, error) {
	n := min(int64(len(u.body)), u.src.size-u.head.Offset)
	if _, err := io.ReadFull(u.src, u.body[:n]); err != nil {
		return nil, local("read input", err)
	}
	return u.body[:n], nil
}

// get is one attempt to deliver what s is still missing. It runs with a credit window, so that a slow writer
// holds up this stream only.
func (p *pool) get(ctx context.Context, s *sink) error {
	return p.with(ctx, func(c *conn, stall *time.Timer) error {
		off, n := s.rest()
		req := wire.Request{Op: wire.OpGet, Obj: s.addr, HasObj: true, Offset: off, Len: n, HasLen: n >= 0}
		st, err := c.open(ctx, &req, 0, func(dst []byte, corr uint64) []byte {
			return appendStart(dst, corr, spec.FlagEnd|spec.FlagAckReq, p.opts.cred, &req)
		})
		if err != nil {
			return err
		}
		err = download(ctx, st, s, stall)
		c.forget(st, true)
		if e, ok := errors.AsType[*Error](err); ok && e.Reason == spec.Oversize && !e.FromNode {
			shared := *e
			c.fail(&shared) // a node that sends too much may never stop
		}
		return err
	})
}

func download(ctx context.Context, st *stream, s *sink, stall *time.Timer) error {
	frames := int64(0)
	for {
		k, ok, err := st.next(ctx, stall)
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if frames == 0 {
			err = s.expect(k.total)
		}
		if err == nil {
			err = s.deliver(k.bytes())
		}
		k.free()
		if err != nil {
			return err
		}
		if frames++; frames%spec.AckEvery == 0 {
			st.ack(frames)
		}
	}
	if st.answer.Obj != s.addr {
		return broken(spec.Integrity, "the node's answer to get is about another object")
	}
	if frames == 0 {
		if err := s.expect(0); err != nil {
			return err
		}
	}
	return s.finish(st.answer.Size)
}

// ack tells the node how many DATA frames were consumed (OAP-CRD-002). A stream that has ended takes none.
func (st *stream) ack(frames int64) {
	st.mu.Lock()
	ended := st.ended
	st.mu.Unlock()
	if !ended {
		st.c.control(func(dst []byte) []byte { return appendAck(dst, st.corr, frames) })
	}
}
