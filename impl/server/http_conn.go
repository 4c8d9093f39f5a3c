package server

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// httpListener accepts for net/http: within the connection cap, and with the deadlines of httpConn.
type httpListener struct {
	net.Listener
	d *door
	n *Node
}

// Accept returns the next connection within the cap; those above it are closed unread (ADM-CAP-001).
func (l *httpListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.n.gate.Connect() {
			hc := &httpConn{Conn: c, n: l.n, d: l.d, via: l.d.via(c)}
			c.SetReadDeadline(time.Now().Add(spec.IdleTimeout))
			return hc, nil
		}
		l.n.metrics.reject(spec.Quota)
		c.Close()
	}
}

// httpConn makes the clock of a request start at its first byte and run to the end of its answer, whatever the
// peer does in between (ADM-TIM-001). net/http alone would start it when the connection is accepted, and give
// head, body and answer a limit each.
//
// net/http calls Read and SetReadDeadline from at most two goroutines, never at once with idle; mu is for the
// background read that it keeps while a handler runs.
type httpConn struct {
	net.Conn // as accepted: deadlines are its own, also under TLS
	n        *Node
	d        *door
	via      via
	secured  atomic.Pointer[tls.Conn] // set by the first Read of a listener with TLS
	closed   sync.Once
	handling atomic.Bool // a handler has the request, and sets deadlines and counts

	mu      sync.Mutex
	serving *exchange // the request that a handler has, from its authorization on
	heard   bool      // a byte has ever arrived
	began   time.Time // first byte of the request under way; zero between requests
}

// hastyConn is what lies under TLS. Nobody but crypto/tls sets deadlines through it, for the alert that it sends when it
// closes: a peer that does not read would hold up the end of its connection, and of the node, for the 5 s that it asks for.
type hastyConn struct{ net.Conn }

// SetWriteDeadline gives the alert a moment.
func (c *hastyConn) SetWriteDeadline(time.Time) error {
	return c.Conn.SetWriteDeadline(time.Now().Add(drainNotice))
}

// stream is what bytes go through.
func (c *httpConn) stream() net.Conn {
	if t := c.secured.Load(); t != nil {
		return t
	}
	return c.Conn
}

// Read makes the handshake where there is one, and starts the clock at the first byte of a request.
func (c *httpConn) Read(p []byte) (int, error) {
	if c.d.tls != nil && c.secured.Load() == nil {
		// Here, because net/http makes handshakes for its own type of connections only, and the accept loop may not wait.
		secured := c.n.handshake(c.d, &hastyConn{c.Conn})
		if secured == nil {
			return 0, io.EOF // net/http has nothing to answer
		}
		c.secured.Store(secured)
	}
	n, err := c.stream().Read(p)
	if n > 0 {
		c.mu.Lock()
		c.heard = true
		if c.began.IsZero() {
			c.began = time.Now()
			c.Conn.SetReadDeadline(c.began.Add(spec.RequestTimeout))
		}
		c.mu.Unlock()
	}
	return n, err
}

// SetReadDeadline lets net/http set what holds between requests (ADM-TIM-004), and nothing else, except a
// deadline in the past: that is how it interrupts its own background read.
func (c *httpConn) SetReadDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	switch {
	case !t.IsZero() && t.Before(now):
		return c.Conn.SetReadDeadline(t)
	case !c.began.IsZero():
		return c.Conn.SetReadDeadline(c.began.Add(spec.RequestTimeout))
	case !c.heard:
		return nil // the limit set at accept stays
	}
	return c.Conn.SetReadDeadline(t)
}

// Write passes on. What net/http answers by itself, to heads that never reach a handler, gets a deadline and is
// counted here (ADM-CNT-001).
func (c *httpConn) Write(p []byte) (int, error) {
	if !c.handling.Load() {
		c.Conn.SetWriteDeadline(time.Now().Add(time.Second))
		switch {
		case bytes.HasPrefix(p, []byte("HTTP/1.1 431")):
			c.n.metrics.reject(spec.Oversize) // ADM-HTP-002
		case bytes.HasPrefix(p, []byte("HTTP/1.1 ")):
			c.n.metrics.reject(spec.Malformed) // HTTP-ERR-009, ADM-HTP-007
		}
	}
	return c.stream().Write(p)
}

// deadline begins the handling of a request: it is when that must be over.
func (c *httpConn) deadline(now time.Time) time.Time {
	c.handling.Store(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.began.IsZero() { // its bytes came with those of the request before it
		c.began = now
	}
	return c.began.Add(spec.RequestTimeout)
}

// idle ends a request.
func (c *httpConn) idle() {
	c.handling.Store(false)
	c.mu.Lock()
	c.began = time.Time{}
	c.mu.Unlock()
}

// serve says which request the handler has, so that only that one is woken; nil at its end.
func (c *httpConn) serve(x *exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.serving = x
}

// wake interrupts every read and write of the connection, if it still serves x.
func (c *httpConn) wake(x *exchange) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.serving == x {
		past := time.Unix(1, 0)
		c.Conn.SetReadDeadline(past)
		c.Conn.SetWriteDeadline(past)
	}
}

// lingerRaw says that no more will be sent, and throws away for a moment, within a bound, what still comes in,
// whatever it is.
func (c *httpConn) lingerRaw() {
	if c.CloseWrite() == nil && c.Conn.SetReadDeadline(time.Now().Add(linger)) == nil {
		_, _ = io.CopyN(io.Discard, c.stream(), spec.MaxBody) // ends with the time, the bound or the peer
	}
}

// Close gives the connection slot back, once.
func (c *httpConn) Close() error {
	err := c.stream().Close()
	c.closed.Do(c.n.gate.Disconnect)
	return err
}

// CloseWrite lets net/http end a refused connection without destroying its answer.
func (c *httpConn) CloseWrite() error {
	if cw, ok := c.stream().(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return nil
}
