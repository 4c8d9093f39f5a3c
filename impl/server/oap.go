package server

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/impl/session"
	"github.com/rustyonions/micronode/impl/store"
	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

const (
	// maxQueued is how many bytes of control frames may wait for a peer that does not read before the node stops
	// reading from it.
	maxQueued = 256 << 10
	// batchBytes is about how much one vectored write carries.
	batchBytes = 256 << 10
	// linger is how long a refused peer may still send before its connection is closed for good: closing with
	// unread input would reset the connection and could destroy the ERROR on its way.
	linger = 500 * time.Millisecond
	// shortestWait keeps timers from firing in a tight loop around a deadline.
	shortestWait = 10 * time.Millisecond
)

// oapConn is one OAP/1 connection: a reading goroutine that drives the session, and a writing one that empties it.
type oapConn struct {
	n   *Node
	c   net.Conn
	via via

	dec *wire.Decoder // reading goroutine only

	mu    sync.Mutex
	sess  *session.Conn
	armed time.Time  // read deadline in force
	began time.Time  // when the incomplete frame in dec began; zero without one
	held  bool       // decode stopped for maxQueued, and complete frames may wait in dec
	room  *sync.Cond // signalled when control bytes were taken or the writer ended
	dead  bool       // the writer ended
	reply []byte     // scratch for answers

	wake    chan struct{} // for the writer; capacity 1
	unacked atomic.Int64  // of the session, the last time that somebody asked
}

// reading is what a stream's Host holds while its object is served. The bytes may be on their way to the socket
// when the stream ends, so the handle is released by whoever is last. Owner: oapConn.mu.
type reading struct {
	h       *store.Handle
	writes  int
	dropped bool
}

func (r *reading) release() {
	if r.dropped && r.writes == 0 {
		r.h.Release()
	}
}

func newOAPConn(n *Node, c net.Conn, v via) *oapConn {
	o := &oapConn{n: n, c: c, via: v, dec: wire.NewDecoder(spec.MaxFrame), wake: make(chan struct{}, 1)}
	cfg := session.Config{
		Admit: func(now time.Time) (spec.Reason, time.Duration) {
			d := n.gate.Admit(now)
			if d.Reason == spec.None {
				n.metrics.inflight[oapStream].Inc()
			}
			return d.Reason, d.RetryAfter
		},
		Authorize: o.authorize,
		Transport: v.transport,
		Features:  n.features,
		Amnesia:   true,
	}
	o.sess = session.New(cfg, time.Now())
	o.room = sync.NewCond(&o.mu)
	return o
}

// serve runs the connection to its end.
func (o *oapConn) serve() {
	written := make(chan struct{})
	go func() {
		defer close(written)
		o.write()
	}()
	o.read()
	o.outlive(written)
	o.finish()
	o.dec.Close()
}

// read feeds the session until it is closing.
func (o *oapConn) read() {
	for {
		o.mu.Lock()
		for o.sess.Pending() > maxQueued && !o.dead && !o.sess.Closing() {
			o.waitForRoom()
		}
		if o.held {
			now := time.Now()
			o.decode(now)
			o.apply(now)
			o.mu.Unlock()
			o.poke()
			continue
		}
		closing := o.sess.Closing()
		if !closing {
			o.arm()
		}
		o.mu.Unlock()
		if closing {
			return
		}
		k, err := o.c.Read(o.dec.Space())
		now := time.Now()
		o.mu.Lock()
		if k > 0 {
			o.dec.Filled(k)
			o.decode(now)
		}
		switch {
		case err == nil:
		case errors.Is(err, os.ErrDeadlineExceeded):
			o.armed = time.Time{}
			o.sess.Tick(now)
		case errors.Is(err, io.EOF):
			o.sess.EOF()
		default:
			o.sess.Lost()
		}
		o.apply(now)
		o.mu.Unlock()
		o.poke()
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

// outlive keeps the session's clock going, without reading, until the writer has nothing left to send.
func (o *oapConn) outlive(written <-chan struct{}) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		o.poke()
		select {
		case <-written:
			return
		case now := <-timer.C:
			o.mu.Lock()
			o.sess.Tick(now)
			o.apply(now)
			timer.Reset(max(time.Until(o.sess.Deadline()), shortestWait))
			o.mu.Unlock()
		}
	}
}

// waitForRoom waits until the writer took something, and keeps the session's clock going meanwhile: a peer that
// hardly reads may not stretch the limits of its streams. The caller holds mu.
func (o *oapConn) waitForRoom() {
	clock := time.AfterFunc(max(time.Until(o.sess.Deadline()), shortestWait), o.room.Broadcast)
	o.room.Wait()
	clock.Stop()
	now := time.Now()
	o.sess.Tick(now)
	o.apply(now)
}

// arm sets the read deadline when the one in force would come too late. Deadlines mostly move away, so this
// costs one system call in seconds, not one a read. The caller holds mu.
func (o *oapConn) arm() {
	if d := o.sess.Deadline(); o.armed.IsZero() || d.Before(o.armed) {
		o.armed = d
		o.c.SetReadDeadline(d)
	}
}

// decode hands complete frames to the session, as long as the answers have room. The caller holds mu.
func (o *oapConn) decode(now time.Time) {
	advanced := false
	var f wire.Frame
	for o.held = false; !o.sess.Closing(); {
		if o.held = o.sess.Pending() > maxQueued; o.held {
			break
		}
		verdict, reason := o.dec.Next(&f)
		if verdict == wire.More {
			break
		}
		if verdict == wire.Reject {
			o.sess.Reject(reason)
			break
		}
		if advanced = true; !o.began.IsZero() {
			o.n.metrics.readFrame.Observe(now.Sub(o.began).Seconds())
			o.began = time.Time{}
		}
		o.n.metrics.frame(f.Flags)
		o.sess.Frame(now, &f)
		o.apply(now)
		o.dec.SetMaxFrame(o.sess.MaxFrame())
	}
	if o.began.IsZero() && o.dec.Pending() > 0 {
		o.began = now
	}
	o.sess.Partial(now, !o.held && o.dec.Pending() > 0, advanced)
}

// apply does what the session asks for. The caller holds mu.
func (o *oapConn) apply(now time.Time) {
	for {
		e, ok := o.sess.NextEffect()
		if !ok {
			return
		}
		switch e.Kind {
		case session.Open:
			o.open(now, e.Stream)
		case session.Body:
			if _, err := e.Stream.Host.(*store.Writer).Write(e.Bytes); err != nil {
				o.fail(now, e.Stream, err)
			}
		case session.Run:
			o.run(now, e.Stream)
		case session.Drop:
			o.drop(e.Stream)
		case session.Closed:
			if g, ok := e.Stream.Grant.(*grant); ok {
				g.release()
			}
			o.n.gate.Done()
			o.n.metrics.inflight[oapStream].Dec()
		case session.Refused:
			o.n.metrics.refusedOAP(e.Reason)
			if e.Reason == spec.Integrity {
				o.n.integrity()
			}
		}
	}
}

func (o *oapConn) open(now time.Time, st *session.Stream) {
	var want *spec.Address
	if st.Req.HasObj {
		want = &st.Req.Obj
	}
	w, err := o.n.store.NewWriter(want, st.Req.TotalLen)
	if err != nil {
		o.fail(now, st, err)
		return
	}
	st.Host = w
}

// run carries out one complete request (OAP-OBJ).
func (o *oapConn) run(now time.Time, st *session.Stream) {
	if st.Proto() == spec.ProtoPassport {
		o.passport(now, st)
		return
	}
	a := wire.Answer{Obj: st.Req.Obj}
	var err error
	switch st.Req.Op {
	case wire.OpPut:
		a.Obj, a.Created, err = st.Host.(*store.Writer).Commit()
	case wire.OpGet:
		o.get(now, st)
		return
	case wire.OpHas:
		_, err = o.n.store.Stat(st.Req.Obj)
		if a.Exists = err == nil; reasonOf(err) == spec.NotFound {
			err = nil
		}
	case wire.OpStat:
		a.Size, err = o.n.store.Stat(st.Req.Obj)
	case wire.OpDelete:
		err = o.n.store.Delete(st.Req.Obj)
		a.Deleted = err == nil
	}
	if err != nil {
		o.fail(now, st, err)
		return
	}
	o.reply = wire.AppendAnswer(o.reply[:0], st.Req.Op, &a)
	o.sess.Answer(st, o.reply)
}

// passport carries out a passport request (CAP-ISS).
func (o *oapConn) passport(now time.Time, st *session.Stream) {
	g := st.Grant.(*grant)
	who := audit.Record{Surface: o.via.surface, Op: g.op, Peer: o.via.peer, CorrID: audit.CorrUint(st.Corr),
		By: g.lease.ID, HasBy: true}
	answer, err := o.n.servePassport(g.passport, g.lease, who)
	if err != nil {
		reason, retry := denial(err)
		o.sess.Fail(now, st, reason, retry)
		return
	}
	if spec.HeaderLen+len(answer) > int(o.sess.MaxFrame()) { // OAP-HEL-006: the client asked for frames that are too small for it
		o.sess.Fail(now, st, spec.Oversize, 0)
	} else {
		o.sess.Answer(st, answer)
	}
	clear(answer)
}

func (o *oapConn) get(now time.Time, st *session.Stream) {
	h, err := o.n.store.Get(st.Req.Obj)
	if err != nil {
		o.fail(now, st, err)
		return
	}
	size := h.Size()
	from, to := st.Req.Offset, size
	if from > size { // OAP-OBJ-009
		h.Release()
		o.fail(now, st, spec.BadRange)
		return
	}
	if st.Req.HasLen {
		to = from + min(st.Req.Len, size-from)
	}
	st.Host = &reading{h: h}
	o.sess.Serve(now, st, st.Req.Obj, size, from, to)
}

// drop discards what the shell holds for a stream.
func (o *oapConn) drop(st *session.Stream) {
	switch host := st.Host.(type) {
	case *store.Writer:
		host.Abort()
	case *reading:
		host.dropped = true
		host.release()
	}
	st.Host = nil
}

func (o *oapConn) fail(now time.Time, st *session.Stream, err error) {
	o.sess.Fail(now, st, reasonOf(err), storeRetry)
}

// drain tells the session that the node is going away, and wakes the reader to see its new deadline.
func (o *oapConn) drain(by time.Time) {
	now := time.Now()
	o.mu.Lock()
	o.sess.Drain(now, by)
	o.apply(now)
	o.interrupt()
	o.room.Broadcast()
	o.mu.Unlock()
	o.poke()
}

// cut ends what is still open at the end of a drain: by is the time that was given to drain. Each stream gets its
// ERROR, and the connection closes when that is written.
func (o *oapConn) cut(by time.Time) {
	o.mu.Lock()
	o.sess.Tick(by)
	o.apply(by)
	o.interrupt()
	o.room.Broadcast()
	o.mu.Unlock()
	o.poke()
}

// interrupt makes the reader look at the session again. The caller holds mu.
func (o *oapConn) interrupt() {
	o.armed = time.Unix(1, 0)
	o.c.SetReadDeadline(o.armed)
}

// poke wakes the writer.
func (o *oapConn) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// hangUp closes the transport at once. TLS would send an alert first, and wait for a peer that does not read.
func (o *oapConn) hangUp() {
	if secured, ok := o.c.(*tls.Conn); ok {
		secured.NetConn().Close()
		return
	}
	o.c.Close()
}

// finish closes the transport so that the last frames arrive: no more is sent, and what the peer still sends is
// read and thrown away for a moment, within a bound.
func (o *oapConn) finish() {
	defer o.c.Close()
	cw, ok := o.c.(interface{ CloseWrite() error })
	if !ok || cw.CloseWrite() != nil {
		return
	}
	o.c.SetReadDeadline(time.Now().Add(linger))
	var sink [4 << 10]byte
	for {
		if _, err := o.c.Read(sink[:]); err != nil {
			return
		}
	}
}
