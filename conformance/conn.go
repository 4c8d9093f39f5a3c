package conformance

import (
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// Conn is one OAP/1 connection. What the node sends is collected in the background from the start, so that neither
// side can block the other by accident. Its methods are for one goroutine, and end the case when the node breaks the
// framing: an illegal frame from the node is never skipped.
type Conn struct {
	p   *Peer
	t   *T
	nc  net.Conn
	tr  *transcript
	cap []byte // of every START that does not bring its own

	max     uint32 // max_frame in force: HELLO lowers it
	corr    uint64 // of the latest START
	streams map[uint64]stream

	gate sync.Mutex // held while reading is paused

	mu      sync.Mutex
	buf     []byte // arrived and not yet decoded
	err     error  // how the connection ended
	arrived chan struct{}
}

// stream is what every frame of a stream has to carry (OAP-SES-004).
type stream struct {
	proto  spec.Proto
	tenant [16]byte
}

// Dial connects to the OAP/1 surface and sends nothing.
func (p *Peer) Dial() *Conn { return p.dial(0) }

// dial connects with a receive buffer of about size bytes, 0 for what the system gives.
func (p *Peer) dial(size int) *Conn {
	t := p.t
	p.usedOAP.Store(true)
	nc, err := p.connect(p.oap, "oap/1", size)
	if err != nil {
		t.Failf("no OAP/1 connection: %v", err)
	}
	c := &Conn{p: p, t: t, nc: nc, cap: p.cap, tr: t.script("oap " + p.oap), max: spec.MaxFrame, streams: map[uint64]stream{}, arrived: make(chan struct{}, 1)}
	t.onClose(func() { nc.Close() })
	go c.collect()
	return c
}

// Hello connects and shakes hands.
func (p *Peer) Hello() *Conn {
	c := p.Dial()
	c.Handshake()
	return c
}

// Close closes the connection from this side.
func (c *Conn) Close() { c.nc.Close() }

// Pause stops reading, at most one more read later. Resume goes on.
func (c *Conn) Pause()  { c.gate.Lock() }
func (c *Conn) Resume() { c.gate.Unlock() }

func (c *Conn) collect() {
	chunk := make([]byte, 64<<10)
	for {
		c.gate.Lock()
		c.gate.Unlock() //nolint:staticcheck // passing the gate is the point
		n, err := c.nc.Read(chunk)
		c.mu.Lock()
		c.buf = append(c.buf, chunk[:n]...)
		c.err = err
		c.mu.Unlock()
		select {
		case c.arrived <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

// Write sends b as it is. That the node may have closed the connection is for the reaction to say.
func (c *Conn) Write(b []byte) {
	c.tr.add('>', b, describe(b, c.max))
	c.write(b)
}

func (c *Conn) write(b []byte) {
	c.nc.SetWriteDeadline(time.Now().Add(c.t.Within(spec.RequestTimeout)))
	if _, err := c.nc.Write(b); err != nil {
		c.tr.remark("writing: %v", err)
	}
}

// Trickle sends b in writes of n bytes each.
func (c *Conn) Trickle(b []byte, n int) {
	c.tr.add('>', b, fmt.Sprintf("in writes of %d: %s", n, describe(b, c.max)))
	for len(b) > 0 {
		k := min(n, len(b))
		c.write(b[:k])
		b = b[k:]
	}
}

// CloseWrite ends the sending direction only.
func (c *Conn) CloseWrite() {
	c.tr.remark("half-close")
	if half, ok := c.nc.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

// Seal makes the bytes of legal frames and checks them with the reference codec.
func (c *Conn) Seal(frames ...refwire.Frame) []byte {
	var all []byte
	for _, f := range frames {
		if f.Flags&spec.FlagStart != 0 && f.Cap == nil {
			f.Cap = c.cap // a case that wants none says so with an empty slice
		}
		f.Seal()
		b := refwire.Encode(f)
		if r := refwire.Decode(b, c.max); r.Verdict != refwire.Accept || r.N != len(b) {
			c.t.Harnessf("the suite made an illegal frame (%s, %s): %s", r.Verdict, r.Rule, frameText(f))
		}
		if f.Flags&spec.FlagStart != 0 {
			c.streams[f.Corr] = stream{f.Proto, f.Tenant}
			c.corr = max(c.corr, f.Corr)
			c.p.take(1)
		}
		all = append(all, b...)
	}
	return all
}

// Send sends legal frames in one write.
func (c *Conn) Send(frames ...refwire.Frame) {
	b := c.Seal(frames...)
	for rest := b; len(rest) > 0; {
		r := refwire.Decode(rest, c.max)
		c.tr.add('>', rest[:r.N], frameText(r.Frame))
		rest = rest[r.N:]
	}
	c.write(b)
}

// Illegal sends bytes that the reference codec rejects with reason; Trickle them instead with Verify.
func (c *Conn) Illegal(b []byte, reason spec.Reason) {
	c.Verify(b, reason)
	c.Write(b)
}

// Verify checks that b is what a case about a rejection says it is.
func (c *Conn) Verify(b []byte, reason spec.Reason) {
	if r := refwire.Decode(b, c.max); r.Verdict != refwire.Reject || r.Reason != reason {
		c.t.Harnessf("the suite's bytes are not what they should be: %s %s %s instead of %s", r.Verdict, r.Reason, r.Rule, reason)
	}
}

// next returns the next frame of the node. closed says that the connection ended instead; neither means that there was
// nothing for as long as patience.
func (c *Conn) next(patience time.Duration) (f refwire.Frame, ok, closed bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	need := 1
	for {
		c.mu.Lock()
		buf, err := c.buf, c.err
		c.mu.Unlock()
		if len(buf) >= need {
			r := refwire.Decode(buf, c.max)
			switch r.Verdict {
			case refwire.Accept:
				c.mu.Lock()
				c.buf = c.buf[r.N:]
				c.mu.Unlock()
				c.tr.add('<', buf[:r.N], frameText(r.Frame))
				c.lawful(r.Frame)
				return r.Frame, true, false
			case refwire.Reject:
				c.tr.add('<', buf, "illegal by "+r.Rule)
				c.t.Failf("the node sent a frame that breaks %s (%s)", r.Rule, r.Reason)
			}
			need = r.Need
		}
		if err != nil {
			if len(buf) > 0 {
				c.tr.add('<', buf, "part of a frame")
			}
			c.tr.remark("ended: %v", err)
			return refwire.Frame{}, false, true
		}
		select {
		case <-c.arrived:
		case <-timer.C:
			return refwire.Frame{}, false, false
		}
	}
}

// lawful checks what every frame of a server has to keep to.
func (c *Conn) lawful(f refwire.Frame) {
	if f.Flags&spec.FlagReq != 0 || f.Flags&(spec.FlagStart|spec.FlagAckReq) != 0 {
		c.t.Failf("the node sent a frame with %v (OAP-SES-019)", f.Flags.Names())
	}
	if f.Flags == spec.FlagResp && f.Code == spec.CodeOK {
		return // the answer to HELLO, whose corr_id is no stream
	}
	if e, _ := refwire.DecodeError(f.Data); e.Reason == spec.NoSuchStream || e.Reason == spec.StreamReused {
		return // about a frame that belongs to no stream
	}
	if s, known := c.streams[f.Corr]; known && (s.proto != f.Proto || s.tenant != f.Tenant) {
		c.t.Failf("the node answers with another app_proto_id or tenant_id than the START had (OAP-SES-004)")
	}
}

// Frame is the next frame, which has to come promptly.
func (c *Conn) Frame() refwire.Frame { return c.FrameWithin(c.t.Patience()) }

// FrameWithin is the next frame, which has to come within patience.
func (c *Conn) FrameWithin(patience time.Duration) refwire.Frame {
	f, ok, closed := c.next(patience)
	switch {
	case closed:
		c.t.Check(false, "the node closed the connection instead of answering (%v)", c.ending())
	case !ok:
		c.t.Check(false, "the node did not answer within %v", patience)
	}
	return f
}

func (c *Conn) ending() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Closed demands that the connection ends promptly, orderly or by reset, without another frame or a part of one.
func (c *Conn) Closed() { c.ClosedWithin(c.t.Patience()) }

// ClosedWithin is Closed with a patience of its own.
func (c *Conn) ClosedWithin(patience time.Duration) {
	f, ok, closed := c.next(patience)
	c.t.Check(!ok, "a frame where the connection should have ended: %s", frameText(f))
	c.t.Check(closed, "the connection is still open after %v", patience)
	c.mu.Lock()
	rest := len(c.buf)
	c.mu.Unlock()
	c.t.Check(rest == 0, "the connection ended inside a frame, after %d bytes of it", rest)
}

// Drained takes everything that still comes, and returns the number of bytes, until the connection ends or patience is
// over.
func (c *Conn) Drained(patience time.Duration) (n int, ended error) {
	deadline := time.Now().Add(patience)
	for time.Now().Before(deadline) {
		c.mu.Lock()
		n, ended = n+len(c.buf), c.err
		c.buf = nil
		c.mu.Unlock()
		if ended != nil {
			return n, ended
		}
		select {
		case <-c.arrived:
		case <-time.After(time.Until(deadline)):
		}
	}
	return n, nil
}

// Silent demands that nothing has come and nothing comes for a short while. Where order is guaranteed, Fence is better.
func (c *Conn) Silent() {
	f, ok, closed := c.next(min(c.t.Patience(), max(100*time.Millisecond, 4*c.t.s.rtt)))
	c.t.Check(!ok, "a frame where there should be none: %s", frameText(f))
	c.t.Check(!closed, "the connection ended: %v", c.ending())
}
