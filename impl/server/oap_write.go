package server

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"slices"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// batch is one vectored write under construction: header bytes in head, cut by views of stored bytes.
type batch struct {
	head  []byte
	cuts  []cut
	bytes int
	bufs  net.Buffers

	joined []byte // scratch for TLS
}

// cut says that view follows head[:end].
type cut struct {
	end  int
	view []byte
	from *reading
}

// write empties the session into the socket until there is nothing left and the session is closing, or the peer
// takes no byte for spec.RequestTimeout (OAP-SES-018).
func (o *oapConn) write() {
	defer func() {
		o.mu.Lock()
		o.dead = true
		o.room.Broadcast()
		o.interrupt()
		o.mu.Unlock()
	}()
	var b batch
	for {
		o.mu.Lock()
		o.collect(&b)
		closing := o.sess.Closing()
		o.room.Broadcast()
		o.mu.Unlock()
		if len(b.head) == 0 {
			if closing {
				return
			}
			if cap(b.head) > batchBytes/4 {
				b = batch{} // an idle connection keeps little
			}
			<-o.wake
			continue
		}
		begin := time.Now()
		err := b.send(o.c)
		o.n.metrics.writeFrame.Observe(time.Since(begin).Seconds())
		o.mu.Lock()
		for _, c := range b.cuts {
			c.from.writes--
			c.from.release()
		}
		clear(b.cuts)
		clear(b.head) // it may hold a token that was issued
		if err != nil {
			o.sess.Lost()
			o.apply(time.Now())
		}
		o.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// collect gathers what can be sent now: control frames first, then DATA of the streams in turn. Every chunk is
// verified here, before a byte of it leaves the store (CAS-INT-001). The caller holds mu.
func (o *oapConn) collect(b *batch) {
	b.head, b.cuts, b.bytes = o.sess.TakeControl(b.head[:0]), b.cuts[:0], 0
	now := time.Now()
	for b.bytes < batchBytes {
		st, off, most, ok := o.sess.NextData()
		if !ok {
			break
		}
		r := st.Host.(*reading)
		view, err := r.h.Chunk(off, most)
		if err != nil {
			o.fail(now, st, err)
			o.apply(now)
			continue
		}
		b.head = o.sess.AppendData(now, b.head, st, len(view))
		b.cuts = append(b.cuts, cut{len(b.head), view, r})
		b.bytes += len(view)
		r.writes++
		o.apply(now)
	}
	b.head = o.sess.TakeControl(b.head)
}

// sendSlice is how finely a stalled write is watched: the limit of OAP-SES-018 runs from the last byte that the peer
// took, and a deadline alone only tells that some were taken before it.
const sendSlice = spec.RequestTimeout / 20

// send writes the batch. A peer that takes some bytes within the limit gets the limit again.
func (b *batch) send(c net.Conn) error {
	bufs, at := b.bufs[:0], 0
	for _, cut := range b.cuts {
		bufs = append(bufs, b.head[at:cut.end], cut.view)
		at = cut.end
	}
	if at < len(b.head) {
		bufs = append(bufs, b.head[at:])
	}
	b.bufs = bufs
	if _, ok := c.(*tls.Conn); ok {
		return b.sealed(c)
	}
	return patiently(c, func() (int, error) {
		n, err := bufs.WriteTo(c)
		return int(n), err
	})
}

// sealed writes the batch to a TLS connection: buffer by buffer each would be a record of its own. What is joined is wiped,
// because it holds payload (AMN-ZER-007).
func (b *batch) sealed(c net.Conn) error {
	if len(b.cuts) == 0 {
		_, err := c.Write(b.head)
		return err
	}
	size := 0
	for _, part := range b.bufs {
		size += len(part)
	}
	joined := slices.Grow(b.joined[:0], size) // at once: what append leaves behind would not be wiped
	for _, part := range b.bufs {
		joined = append(joined, part...)
	}
	b.joined = joined
	defer clear(joined)
	_, err := c.Write(joined)
	return err
}

// patiently calls write until it has written everything, under a deadline that a peer moves on by taking some bytes
// (OAP-SES-018).
func patiently(c net.Conn, write func() (int, error)) error {
	taken := time.Now()
	for now := taken; ; {
		c.SetWriteDeadline(now.Add(sendSlice))
		n, err := write()
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		now = time.Now()
		if n > 0 {
			taken = now
		}
		if now.Sub(taken) >= spec.RequestTimeout {
			return err
		}
	}
}
