package conformance

import (
	"slices"
	"time"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// streamLimitCases are about how many streams may be open, on one connection and in the node.
func streamLimitCases() []Case {
	return []Case{
		{ID: "ses-65-opens-nothing", Rules: []string{"OAP-SES-008", "OAP-SES-017"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "The 65th stream is refused and leaves nothing half-closed; a place is free as soon as a stream ends.",
			Run:         ses65OpensNothing},
		{ID: "ses-half-closed-counts", Rules: []string{"OAP-SES-010", "OAP-SES-008"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "Streams that the node ended, and the client did not, count among the 64.",
			Run:         sesHalfClosedCounts},
		{ID: "ses-node-limit", Rules: []string{"OAP-SES-009", "ADM-CAP-002"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity, Own: true,
			Description: "Nine connections can not open more than 512 streams together, and get places back as streams end.",
			Run:         sesNodeLimit},
		{ID: "ses-start-flood", Rules: []string{"OAP-SES-008", "OAP-SES-007"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity, Own: true,
			Description: "A flood of two thousand STARTs without END on one connection gets 64 streams and an ERROR for every other.",
			Run:         sesStartFlood},
	}
}

// open64 opens 64 streams on c that wait for their END, and returns their corr_ids.
func open64(c *Conn) []uint64 {
	var frames []refwire.Frame
	var corrs []uint64
	for range spec.MaxStreams {
		corr := c.fresh()
		corrs = append(corrs, corr)
		frames = append(frames, startFrame(corr, 0, refwire.EncodeRequest(has(c.t.Absent()))))
	}
	c.Send(frames...)
	return corrs
}

// end64 ends streams that open64 opened, and takes their answers.
func end64(c *Conn, corrs []uint64) {
	var frames []refwire.Frame
	for _, corr := range corrs {
		frames = append(frames, endFrame(corr))
	}
	c.Send(frames...)
	c.Each(corrs, func(f refwire.Frame, corr uint64) { c.answered(f, corr, "has") })
}

// junk64 has 64 STARTs refused that leave their streams half-closed, and returns their corr_ids.
func junk64(c *Conn) []uint64 {
	var frames []refwire.Frame
	var corrs []uint64
	for range spec.MaxStreams {
		corr := c.fresh()
		corrs = append(corrs, corr)
		frames = append(frames, startFrame(corr, 0, []byte("junk")))
	}
	c.Send(frames...)
	c.Each(corrs, func(f refwire.Frame, corr uint64) { c.refused(f, corr, spec.Malformed) })
	return corrs
}

func ses65OpensNothing(t *T) {
	t.Control(func() {
		c := t.Hello()
		end64(c, open64(c))
	})
	c := t.Hello()
	corrs := open64(c)
	over := c.Begin(has(t.Absent()), 0)
	c.Refused(over, spec.TooManyStreams)
	c.Send(endFrame(over))
	c.Refused(over, spec.NoSuchStream)
	c.Send(endFrame(corrs[10]))
	c.Answer(corrs[10], "has")
	c.Fence()
	end64(c, slices.Delete(corrs, 10, 11))
}

func sesHalfClosedCounts(t *T) {
	t.Control(func() { t.Hello().Fence() })
	c := t.Hello()
	corrs := junk64(c)
	c.Refused(c.Ask(has(t.Absent())), spec.TooManyStreams)
	c.Send(endFrame(corrs[0]), cancelFrame(corrs[1]))
	c.Fence()
	// Two places: one END, one CANCEL.
	a, b := c.Begin(has(t.Absent()), 0), c.Begin(has(t.Absent()), 0)
	c.Refused(c.Ask(has(t.Absent())), spec.TooManyStreams)
	c.Send(endFrame(a))
	c.Answer(a, "has")
	c.Send(endFrame(b))
	c.Answer(b, "has")
}

func sesNodeLimit(t *T) {
	node := t.Spawn("--rate", "100000")
	t.Control(func() { node.Hello().RoundTrip() })
	const full = spec.MaxNodeStreams / spec.MaxStreams
	var conns []*Conn
	var corrs [][]uint64
	for range full {
		c := node.Hello()
		conns, corrs = append(conns, c), append(corrs, open64(c))
	}
	// All 512 are open when the last connection has been answered about something that opens none.
	for _, c := range conns {
		c.Refused(c.Ask(has(t.Absent())), spec.TooManyStreams, spec.Quota)
	}
	extra := node.Hello()
	extra.Refused(extra.Ask(has(t.Absent())), spec.TooManyStreams, spec.Quota)
	for i, c := range conns {
		end64(c, corrs[i])
	}
	extra.Fence()
}

func sesStartFlood(t *T) {
	const flood = 2000
	node := t.Spawn("--rate", "100000")
	t.Control(func() { node.Hello().RoundTrip() })
	c := node.Hello()
	before := t.residentBytes(node)
	first := open64(c)
	var over []uint64
	var frames []refwire.Frame
	for range flood - spec.MaxStreams {
		over = append(over, c.fresh())
		frames = append(frames, startFrame(c.corr, 0, refwire.EncodeRequest(has(t.Absent()))))
	}
	c.Write(c.Seal(frames...))
	c.Each(over, func(f refwire.Frame, corr uint64) { c.refused(f, corr, spec.TooManyStreams) })
	end64(c, first)
	c.Fence()
	grown := t.residentBytes(node) - before
	t.Check(grown < 32<<20, "the flood made the node grow by %d KiB", grown>>10)
}

// sessionTimeCases wait for the time limits of OAP-SES. Those of HELLO are in the vectors.
func sessionTimeCases() []Case {
	return []Case{
		{ID: "ses-progress", Rules: []string{"OAP-SES-011"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity, Slow: true,
			Description: "A put that sends a frame every two seconds lives on; when it stops, it is ended after five, alone.",
			Run:         sesProgress},
		{ID: "ses-slow-frame", Rules: []string{"OAP-SES-013"}, Level: spec.Must, Profile: ProfileSecurity, Slow: true,
			Description: "A frame that arrives byte by byte is cut five seconds after its first byte, however steadily it comes.",
			Run:         sesSlowFrame},
		{ID: "ses-half-closed-expires", Rules: []string{"OAP-SES-010"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity, Slow: true,
			Description: "A half-closed stream that the client never ends is gone after five seconds, and its place with it.",
			Run:         sesHalfClosedExpires},
		{ID: "ses-stalled-get", Rules: []string{"OAP-SES-011", "OAP-CRD-006"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity, Slow: true,
			Description: "A get that waits for an ACK which never comes is ended after five seconds, alone.",
			Run:         sesStalledGet},
		{ID: "ses-slow-reader", Rules: []string{"OAP-SES-018"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity, Slow: true,
			Description: "A client that stops reading in the middle of a large get is cut, and one that only pauses is not.",
			Run:         sesSlowReader},
	}
}

// since demands that a time limit of the law was kept on the early side; the late side is the patience of whoever
// waited. The node's clock starts after ours, so its limit can not honestly end before ours.
func (t *T) since(begin time.Time, limit time.Duration, what string) {
	const clocks = 100 * time.Millisecond // two clocks and a timer's grain
	took := time.Since(begin)
	t.Check(took >= limit-clocks, "%s after %v, which is before the %v of the law", what, took, limit)
}

func sesProgress(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(40)
	t.Owe(AddressOf(data))
	c := t.Hello()
	corr := c.Begin(put(len(data)), 0)
	frames := Chunks(corr, data, 10, false)
	var idle time.Time
	for _, f := range frames[:3] {
		t.Pause(2 * time.Second)
		idle = time.Now()
		c.Send(f)
		c.Fence() // and the stream is still there
	}
	c.RefusedWithin(t.Within(spec.RequestTimeout), corr, spec.Timeout)
	t.since(idle, spec.RequestTimeout, "the put was ended")
	c.Send(frames[3], endFrame(corr))
	c.Fence()
	c.Lacks(AddressOf(data))
}

func sesSlowFrame(t *T) {
	t.Control(func() { t.Hello().Fence() })
	c := t.Hello()
	c.tr.remark("a frame, one byte every 300 ms")
	b := c.Seal(refwire.Frame{Flags: req, Proto: spec.ProtoObjects, Corr: 9, Payload: make([]byte, 1000)})
	begin := time.Now()
	ended := func() bool { return c.ending() != nil }
	for i := 0; !ended(); i++ {
		t.Check(time.Since(begin) < t.Within(spec.RequestTimeout), "the connection is open %v after the first byte of a frame", time.Since(begin))
		c.write(b[i : i+1])
		t.Pause(300 * time.Millisecond)
	}
	t.since(begin, spec.RequestTimeout, "the connection was closed")
	// What came before the close is an ERROR with the reason or nothing.
	f, ok, _ := c.next(t.Patience())
	if ok {
		c.refused(f, 0, spec.Timeout)
	}
	c.Closed()
}

func sesHalfClosedExpires(t *T) {
	t.Control(func() { t.Hello().Fence() })
	c := t.Hello()
	begin := time.Now()
	corrs := junk64(c)
	last := time.Now()
	t.Eventually(spec.HalfClosedTimeout, "a place is free", func() bool {
		corr := c.Ask(has(t.Absent()))
		f := c.Frame()
		if f.Code == spec.CodeOK {
			c.answered(f, corr, "has")
			return true
		}
		c.refused(f, corr, spec.TooManyStreams)
		t.Pause(200 * time.Millisecond)
		return false
	})
	t.since(begin, spec.HalfClosedTimeout, "the first place was free")
	t.Pause(time.Until(last.Add(spec.HalfClosedTimeout + time.Second))) // by now all of them are gone
	c.Send(endFrame(corrs[0]))
	c.Refused(corrs[0], spec.NoSuchStream)
	c.Fence()
}

func sesStalledGet(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(60 * 4000)
	c := t.Dial()
	c.Greet([]byte(`{"accept_max_frame":4096}`))
	addr, _ := c.Put(data)
	begin := time.Now()
	corr := c.Begin(get(addr), spec.FlagEnd|spec.FlagAckReq)
	var got []byte
	for range spec.Window {
		got, _ = c.body(c.Frame(), corr, addr, got)
	}
	c.RefusedWithin(t.Within(spec.RequestTimeout), corr, spec.Timeout)
	t.since(begin, spec.RequestTimeout, "the get was ended")
	c.Send(ackFrame(corr, 32)) // too late, as it can happen (OAP-CRD-007)
	c.Fence()
	c.Send(endFrame(corr))
	c.Refused(corr, spec.NoSuchStream)
	c.Holds(data)
}

func sesSlowReader(t *T) {
	const size = 16 << 20 // more than the sockets of both sides can hold
	var addr spec.Address
	reading := func(pause time.Duration) *Conn {
		c := t.dial(128 << 10)
		c.Handshake()
		c.Pause()
		c.Ask(get(addr))
		t.Pause(pause)
		c.Resume()
		return c
	}
	t.Control(func() {
		c := t.Hello()
		c.Fence()
		addr, _ = c.Put(t.Bytes(size))
		c = reading(2 * time.Second)
		got, total := []byte(nil), int64(0)
		for len(got) < size {
			got, total = c.body(c.Frame(), 1, addr, got)
		}
		t.Check(total == size && AddressOf(got) == addr, "a get that paused gives %d bytes", len(got))
	})
	c := reading(t.Within(spec.RequestTimeout))
	n, ended := c.Drained(t.Patience())
	t.Check(ended != nil, "the connection of a client that did not read for %v is still open", t.Within(spec.RequestTimeout))
	t.Check(n < size, "the node buffered %d bytes for a client that did not read", n)
}
