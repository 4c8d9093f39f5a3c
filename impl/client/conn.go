package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

const (
	// highWater is how many bytes of frames may wait for the socket before bodies have to wait.
	highWater = 512 << 10
	// helloCorr is the corr_id of our HELLO; streams start above it.
	helloCorr = 1
	// alpn is what both ends of oap+tls must agree to.
	alpn = "oap/1"
)

// conn is one OAP/1 connection after HELLO. A reading and a writing goroutine serve all its streams.
type conn struct {
	nc       net.Conn
	opts     *Options
	maxFrame int64         // bytes
	maxBody  int64         // of one DATA frame, bytes
	slots    chan struct{} // one for each stream that may be open (OAP-SES-008)
	wake     chan struct{} // for the writer; capacity 1
	dead     chan struct{} // closed with err
	ended    sync.WaitGroup
	lastRead atomic.Int64 // unix nanoseconds

	mu      sync.Mutex
	out     []byte        // frames that wait for the writer
	room    chan struct{} // closed and replaced when the writer took out
	streams map[uint64]*stream
	last    uint64 // corr_id of the latest START (OAP-SES-001)
	going   bool   // the node drains: no new streams here (OAP-SES-016)
	err     *Error // why the connection is over
}

// dialConn connects and says HELLO.
func dialConn(ctx context.Context, t target, opts *Options) (*conn, error) {
	ctx, cancel := context.WithTimeout(ctx, max(opts.Stall, spec.HelloTimeout))
	defer cancel()
	nc, err := dialNet(ctx, t, opts)
	if err != nil {
		return nil, unreachable(t.text, err)
	}
	stop := context.AfterFunc(ctx, func() { nc.SetDeadline(time.Unix(1, 0)) })
	c, dec, err := hello(nc, opts)
	if !stop() && err == nil {
		err = &Error{Message: "no answer to HELLO from " + t.text, Unreachable: true, again: lost, Err: ctx.Err()}
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	nc.SetDeadline(time.Time{})
	c.ended.Add(2)
	go func() { defer c.ended.Done(); c.read(dec) }()
	go func() { defer c.ended.Done(); c.write() }()
	return c, nil
}

func dialNet(ctx context.Context, t target, opts *Options) (net.Conn, error) {
	nc, err := dialTo(ctx, &net.Dialer{}, t, opts.cred)
	if err != nil || !t.tls {
		return nc, err
	}
	tc := tls.Client(nc, tlsConfig(t, opts, alpn))
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, err
	}
	if got := tc.ConnectionState().NegotiatedProtocol; got != alpn {
		nc.Close()
		return nil, fmt.Errorf("the server did not agree to ALPN %s", alpn)
	}
	return tc, nil
}

// hello says HELLO on a fresh connection and takes the node's limits.
func hello(nc net.Conn, opts *Options) (*conn, *wire.Decoder, error) {
	_, err := nc.Write(appendHello(nil, helloCorr, &wire.Hello{UA: opts.UserAgent, AcceptMaxFrame: opts.MaxFrame, Features: []string{"objects"}}))
	dec := wire.NewDecoder(spec.MaxFrame)
	var f wire.Frame
	for err == nil {
		verdict, reason := dec.Next(&f)
		if verdict == wire.Accept {
			break
		}
		if verdict == wire.Reject {
			return nil, nil, broken(spec.BadHello, "the answer to HELLO is no frame (%s)", reason)
		}
		var n int
		n, err = nc.Read(dec.Space())
		dec.Filled(n)
		if n > 0 {
			err = nil
		}
	}
	if err != nil {
		return nil, nil, &Error{Message: "no answer to HELLO: is this an OAP/1 port, and does the node have connections left", Unreachable: true, again: lost, Err: err}
	}
	var r wire.HelloReply
	switch {
	case f.Flags&spec.FlagResp != 0 && f.Code >= 400:
		return nil, nil, parseError(&f)
	case f.Flags != spec.FlagResp || f.Code != spec.CodeOK || f.Corr != helloCorr || f.Proto != spec.ProtoControl:
		return nil, nil, broken(spec.BadHello, "the first frame of the node is not the answer to HELLO")
	case wire.ParseHelloReply(f.Data, &r) != spec.None:
		return nil, nil, broken(spec.BadHello, "the answer to HELLO can not be read")
	case !slices.Contains(r.Versions, spec.Version):
		return nil, nil, broken(spec.Unsupported, "the node does not speak OAP version %d", spec.Version)
	case r.MaxFrame < spec.MinMaxFrame || r.MaxFrame > spec.MaxFrame || opts.MaxFrame > spec.MinMaxFrame && r.MaxFrame > opts.MaxFrame:
		return nil, nil, broken(spec.BadHello, "the node answers HELLO with a max_frame of %d", r.MaxFrame)
	case r.MaxInflight < 1:
		return nil, nil, broken(spec.BadHello, "the node answers HELLO with a max_inflight of %d", r.MaxInflight)
	}
	dec.SetMaxFrame(uint32(r.MaxFrame))
	c := &conn{
		nc: nc, opts: opts,
		maxFrame: r.MaxFrame,
		maxBody:  maxBody(r.MaxFrame),
		slots:    make(chan struct{}, min(r.MaxInflight, spec.MaxStreams)),
		wake:     make(chan struct{}, 1),
		dead:     make(chan struct{}),
		room:     make(chan struct{}),
		streams:  map[uint64]*stream{},
		last:     helloCorr,
	}
	return c, dec, nil
}

// fail ends the connection. The first cause counts.
func (c *conn) fail(e *Error) {
	c.mu.Lock()
	first := c.err == nil
	if first {
		c.err = e
		close(c.dead)
	}
	c.mu.Unlock()
	if first {
		c.nc.Close() // outside of mu: with TLS it may wait for the peer
	}
}

// cause is why the connection is over, or nil. It is a copy: the retry loop writes into errors.
func (c *conn) cause() *Error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		return nil
	}
	e := *c.err
	return &e
}

// close ends the connection and waits for its goroutines.
func (c *conn) close() {
	c.fail(&Error{Message: "the client was closed"})
	c.ended.Wait()
}

// usable says that new streams can be opened here.
func (c *conn) usable() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err == nil && !c.going
}

// open begins a stream for req: build appends START and the frames that may follow at once, sent of them DATA. The
// caller holds a slot. The stream is nil when nothing was sent.
func (c *conn) open(ctx context.Context, req *wire.Request, sent int64, build func(dst []byte, corr uint64) []byte) (*stream, error) {
	return c.begin(ctx, &stream{c: c, proto: spec.ProtoObjects, op: req.Op, obj: req.Obj, sent: sent, notify: make(chan struct{}, 1)}, build)
}

// begin is open for a stream that the caller made.
func (c *conn) begin(ctx context.Context, st *stream, build func(dst []byte, corr uint64) []byte) (*stream, error) {
	err := c.send(ctx, func(dst []byte) []byte { // under mu: the ids go up in the order of the bytes
		c.last++
		st.corr = c.last
		c.streams[st.corr] = st
		return build(dst, st.corr)
	})
	if err != nil {
		return nil, err
	}
	return st, nil
}

// send appends frames to what waits for the writer. It blocks while too much waits already.
func (c *conn) send(ctx context.Context, build func(dst []byte) []byte) error {
	for {
		c.mu.Lock()
		if c.err != nil {
			c.mu.Unlock()
			return c.cause()
		}
		if len(c.out) < highWater {
			c.out = build(c.out)
			c.mu.Unlock()
			c.poke()
			return nil
		}
		room := c.room
		c.mu.Unlock()
		select {
		case <-room:
		case <-c.dead:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// control appends one small frame, whatever waits already.
func (c *conn) control(build func(dst []byte) []byte) {
	c.mu.Lock()
	if c.err == nil {
		c.out = build(c.out)
	}
	c.mu.Unlock()
	c.poke()
}

func (c *conn) poke() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// write empties out into the socket until the connection is over.
func (c *conn) write() {
	var buf []byte
	for {
		select {
		case <-c.wake:
		case <-c.dead:
			return
		}
		c.mu.Lock()
		buf, c.out = c.out, buf[:0]
		close(c.room)
		c.room = make(chan struct{})
		c.mu.Unlock()
		if len(buf) == 0 {
			continue
		}
		c.nc.SetWriteDeadline(time.Now().Add(c.opts.Stall))
		if _, err := c.nc.Write(buf); err != nil {
			c.lose(err)
			return
		}
	}
}

// read hands frames to their streams until the connection is over.
func (c *conn) read(dec *wire.Decoder) {
	defer dec.Close()
	var f wire.Frame
	for {
		for {
			verdict, reason := dec.Next(&f)
			if verdict == wire.More {
				break
			}
			if verdict == wire.Reject {
				c.fail(broken(spec.Malformed, "the node sent a frame that breaks the law (%s)", reason))
				return
			}
			if err := c.dispatch(&f); err != nil {
				c.fail(err)
				return
			}
		}
		n, err := c.nc.Read(dec.Space())
		dec.Filled(n)
		c.lastRead.Store(time.Now().UnixNano())
		if err != nil && n == 0 {
			c.lose(err)
			return
		}
	}
}

// lose ends the connection because the transport did.
func (c *conn) lose(err error) {
	if errors.Is(err, io.EOF) {
		err = errors.New("the node closed it")
	}
	c.fail(&Error{Message: "connection lost", again: lost, Err: err})
}

// dispatch takes one frame. An error is the end of the connection.
func (c *conn) dispatch(f *wire.Frame) *Error {
	if f.Flags&spec.FlagReq != 0 || f.Flags&(spec.FlagStart|spec.FlagAckReq) != 0 {
		return broken(spec.BadSequence, "the node sent a request")
	}
	if f.Corr == 0 {
		return c.dispatchConn(f)
	}
	c.mu.Lock()
	st, used := c.streams[f.Corr], f.Corr <= c.last
	c.mu.Unlock()
	switch {
	case st != nil:
		return st.take(f)
	case !used:
		return broken(spec.NoSuchStream, "the node answered on a stream that was never opened")
	}
	return nil // late frames of a stream that was given up, or the refusal of our late ACK
}

// dispatchConn takes a frame about the connection itself.
func (c *conn) dispatchConn(f *wire.Frame) *Error {
	switch {
	case f.Flags&spec.FlagResp != 0 && f.Code >= 400: // OAP-FRM-012: the node closes now
		return parseError(f)
	case f.Flags&spec.FlagEvent != 0 && f.Code == spec.CodeGoingAway:
		c.mu.Lock()
		c.going = true
		c.mu.Unlock()
	}
	return nil // other events: later versions may push
}

// forget ends our interest in a stream; finished says that our END was sent. A stream that either side has not
// ended is cancelled, so that it does not stay open or half-closed at the node (OAP-STR-009, OAP-SES-010).
func (c *conn) forget(st *stream, finished bool) {
	cancel := !st.drop() || !finished
	c.mu.Lock()
	delete(c.streams, st.corr)
	if cancel && c.err == nil {
		c.out = appendEnd(c.out, st.proto, st.corr, spec.CodeCancel)
	}
	c.mu.Unlock()
	if cancel {
		c.poke()
	}
}

// stalled is what is left to say when a stream saw nothing for too long. If nothing at all came, the connection
// is given up with it.
func (c *conn) stalled() *Error {
	e := &Error{Reason: spec.Timeout, Message: fmt.Sprintf("the node was silent for %v", c.opts.Stall), again: stalls}
	if time.Since(time.Unix(0, c.lastRead.Load())) >= c.opts.Stall {
		shared := *e
		c.fail(&shared)
	}
	return e
}
