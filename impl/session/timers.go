package session

import (
	"math"
	"time"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// drainRetry is the hint to a client whose stream was cut at the end of a drain: there is no telling when the node
// is back, and others may serve at once.
const drainRetry = time.Second

// shortest is the shortest of the limits below: whatever happens now, nothing new is due before it has passed.
const shortest = min(spec.HelloTimeout, spec.RequestTimeout, spec.HalfClosedTimeout, spec.IdleTimeout)

// Deadline is when Tick must be called next if nothing else happens. After a Tick it lies behind the time of that
// Tick. It is never zero; a Conn that is Closing waits for nothing, and says a time centuries away.
func (c *Conn) Deadline() time.Time {
	switch c.phase {
	case closing:
		return c.heard.Add(math.MaxInt64)
	case awaitHello:
		return c.helloBy
	}
	d := c.heard.Add(spec.IdleTimeout)
	if len(c.streams) > 0 {
		d = c.streams[0].deadline()
		for _, st := range c.streams[1:] {
			d = earlier(d, st.deadline())
		}
	}
	if !c.partial.IsZero() {
		d = earlier(d, c.partial.Add(spec.RequestTimeout))
	}
	if !c.drainBy.IsZero() {
		d = earlier(d, c.drainBy)
	}
	return d
}

func (st *Stream) deadline() time.Time {
	if st.failed {
		return st.progress.Add(spec.HalfClosedTimeout)
	}
	return st.progress.Add(spec.RequestTimeout)
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Tick applies every deadline that has passed (OAP-HEL-001, OAP-SES-010 to 013, OAP-SES-016), streams in the order
// of their corr_id.
func (c *Conn) Tick(now time.Time) {
	switch {
	case c.phase == closing:
	case c.phase == awaitHello:
		if !now.Before(c.helloBy) {
			c.refuseConn(spec.BadHello)
		}
	case !c.partial.IsZero() && !now.Before(c.partial.Add(spec.RequestTimeout)):
		c.refuseConn(spec.Timeout)
	case !c.drainBy.IsZero() && !now.Before(c.drainBy):
		c.cut(now)
	default:
		c.tickStreams(now)
		if len(c.streams) == 0 && !now.Before(c.heard.Add(spec.IdleTimeout)) {
			c.refuseConn(spec.Timeout)
		}
	}
	c.due = earlier(c.Deadline(), now.Add(shortest))
}

func (c *Conn) tickStreams(now time.Time) {
	for i := 0; i < len(c.streams); {
		st := c.streams[i]
		switch {
		case now.Before(st.deadline()):
		case st.failed:
			c.remove(st)
		default:
			c.fail(now, st, spec.Timeout, 0)
		}
		if !st.gone {
			i++
		}
	}
}

// Drain begins draining: Going-away is sent, open streams get until by, and the connection closes when the last
// is gone (OAP-SES-016). Refusing new STARTs is the gate's business, which is asked for each.
func (c *Conn) Drain(now, by time.Time) {
	if !now.Before(c.due) {
		c.Tick(now)
	}
	if c.phase == closing || !c.drainBy.IsZero() {
		return
	}
	c.drainBy, c.due = by, earlier(c.due, by)
	h := wire.Header{Flags: spec.FlagEvent, Code: spec.CodeGoingAway}
	c.msg = wire.AppendGoingAway(c.msg[:0])
	c.send(&h, c.msg)
	c.leave()
}

// cut ends a drain whose time is up: what is still open is told so (RDY-DRN-003).
func (c *Conn) cut(now time.Time) {
	for i := 0; i < len(c.streams); {
		st := c.streams[i]
		if !st.failed {
			c.fail(now, st, spec.Draining, drainRetry)
		}
		if !st.gone {
			i++
		}
	}
	c.close()
}
