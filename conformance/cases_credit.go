package conformance

import (
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// creditCases are about OAP-CRD: the window in both directions. What one ACK can do wrong is in the vectors.
func creditCases() []Case {
	return []Case{
		{ID: "crd-cadence", Rules: []string{"OAP-CRD-002", "OAP-CRD-003"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "The node ACKs at least every sixteenth DATA frame, and all of them before it answers the END.",
			Run:         crdCadence},
		{ID: "crd-33", Rules: []string{"OAP-CRD-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Thirty-three DATA frames in one write are refused or, where ACKs were sent in between, stored; nothing else.",
			Run:         crd33},
		{ID: "crd-stop", Rules: []string{"OAP-CRD-006", "OAP-CRD-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "The node stops at 32 un-ACKed DATA frames and sends exactly as many more as each ACK allows.",
			Run:         crdStop},
		{ID: "crd-ack-mistakes", Rules: []string{"OAP-CRD-003"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "An ACK that goes back, stands still or runs ahead ends its get and nothing else.",
			Run:         crdAckMistakes},
		{ID: "crd-ack-unasked", Rules: []string{"OAP-CRD-004"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "An ACK on a stream without ACK_REQ is refused, however right its number.",
			Run:         crdAckUnasked},
		{ID: "crd-late-ack", Rules: []string{"OAP-CRD-007", "OAP-SES-002"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "An ACK for a stream that is over, however it ended, is passed over in silence; one for a stream that never began is refused.",
			Run:         crdLateAck},
		{ID: "crd-without", Rules: []string{"OAP-OBJ-008", "OAP-CRD-006"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Without ACK_REQ a hundred DATA frames come without an ACK, and go without one.",
			Run:         crdWithout},
		{ID: "crd-stall-alone", Rules: []string{"OAP-CRD-006", "OAP-SES-007"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A get whose window is full holds up neither a put nor another get on its connection.",
			Run:         crdStallAlone},
	}
}

// ackOf reads f as an ACK on corr.
func (c *Conn) ackOf(f refwire.Frame, corr uint64) int64 {
	c.t.Check(f.Flags == spec.FlagEvent && f.Code == spec.CodeAck && f.Corr == corr, "want an ACK on corr_id %d, got %s", corr, frameText(f))
	n, reason := refwire.DecodeAck(f.Data)
	c.t.Check(reason == spec.None, "the payload of an ACK is %s", textOf(f.Data))
	return n
}

func crdCadence(t *T) {
	const frames, size = 100, 50
	t.Control(func() { t.Hello().RoundTrip() })
	for _, burst := range []int{1, 16, 32} {
		data := t.Bytes(frames * size)
		t.Owe(AddressOf(data))
		c := t.Hello()
		corr := c.Begin(put(len(data)), spec.FlagAckReq)
		chunks := Chunks(corr, data, size, false)
		var acked int64
		take := func() {
			n := c.ackOf(c.Frame(), corr)
			t.Check(n > acked, "ACK %d comes after ACK %d (OAP-CRD-003)", n, acked)
			acked = n
		}
		sent := 0
		for sent < frames {
			n := min(burst, frames-sent, spec.Window-(sent-int(acked)))
			c.Send(chunks[sent : sent+n]...)
			sent += n
			// What is un-ACKed now may be less than 16, so no ACK need be on its way; 16 and more need one.
			for int64(sent)-acked >= spec.AckEvery {
				take()
				t.Check(acked <= int64(sent), "ACK %d for %d frames (OAP-CRD-003)", acked, sent)
			}
		}
		c.Send(endFrame(corr))
		for acked < frames {
			take()
		}
		a := c.Answer(corr, "put")
		t.Check(a.Obj == AddressOf(data), "the put gives %s", a.Obj)
		c.Holds(data)
		c.Close()
	}
}

func crd33(t *T) {
	const frames = spec.Window + 1
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(frames * 20)
	t.Owe(AddressOf(data))
	c := t.Hello()
	corr := c.Begin(put(len(data)), spec.FlagAckReq)
	c.Send(append(Chunks(corr, data, 20, false), endFrame(corr))...)
	acked := int64(0)
	for {
		f := c.Frame()
		if f.Flags&spec.FlagEvent != 0 {
			n := c.ackOf(f, corr)
			t.Check(n > acked && n <= frames, "ACK %d after ACK %d for %d frames", n, acked, frames)
			acked = n
			continue
		}
		if f.Code == spec.CodeOK {
			a := c.answered(f, corr, "put")
			t.Check(a.Obj == AddressOf(data) && acked == frames, "the put gives %s after ACK %d", a.Obj, acked)
			t.Notef("the node ACKed in between and stored")
			c.Holds(data)
			return
		}
		c.refused(f, corr, spec.CreditViolation)
		t.Notef("the node refused")
		c.Fence()
		c.Lacks(AddressOf(data))
		return
	}
}

// windowed stores an object of n DATA frames and begins a get of it with a window, on a connection of its own.
func windowed(t *T, n int) (c *Conn, data []byte, corr uint64) {
	c = t.Dial()
	c.Greet([]byte(`{"accept_max_frame":4096}`))
	data = t.Bytes(n * 3800)
	addr, _ := c.Put(data)
	corr = c.Begin(get(addr), spec.FlagEnd|spec.FlagAckReq)
	return c, data, corr
}

func crdStop(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	c, data, corr := windowed(t, 150)
	addr := AddressOf(data)
	var got []byte
	n := int64(0)
	take := func(frames int64) {
		for range frames {
			got, _ = c.body(c.Frame(), corr, addr, got)
			n++
		}
	}
	take(spec.Window)
	acked := int64(0)
	for _, upTo := range []int64{1, 16, 17, 49, 60} {
		c.Fence() // it has stopped: the answer to another request is the next frame
		c.Send(ackFrame(corr, upTo))
		take(upTo - acked)
		acked = upTo
	}
	c.Fence()
	for {
		if n-acked >= spec.AckEvery {
			c.Send(ackFrame(corr, n))
			acked = n
		}
		f := c.Frame()
		if f.Flags&spec.FlagEnd != 0 {
			a := c.answered(f, corr, "get")
			t.Check(a.Size == int64(len(data)), "size is %d", a.Size)
			break
		}
		got, _ = c.body(f, corr, addr, got)
		n++
	}
	t.Check(AddressOf(got) == addr, "the get gives %d bytes with address %s", len(got), AddressOf(got))
}

func crdAckMistakes(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	for _, acks := range [][]int64{{0}, {33}, {1 << 40}, {16, 16}, {16, 15}, {20, 0}, {16, 49}} {
		c, data, corr := windowed(t, 90)
		var got []byte
		taken := int64(0)
		take := func(upTo int64) {
			for ; taken < upTo; taken++ {
				got, _ = c.body(c.Frame(), corr, AddressOf(data), got)
			}
		}
		take(spec.Window)
		for i, n := range acks {
			c.Send(ackFrame(corr, n))
			if i < len(acks)-1 {
				take(spec.Window + n)
			}
		}
		c.Refused(corr, spec.CreditViolation)
		c.Fence()
		c.Holds(data)
		c.Close()
	}
}

func crdAckUnasked(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(200)
	c := t.Hello()
	corr := c.Begin(put(len(data)), 0)
	c.Send(Chunks(corr, data, 100, false)...)
	c.Send(ackFrame(corr, 0))
	c.Refused(corr, spec.CreditViolation)
	c.Send(endFrame(corr))
	c.Fence()
	c.Lacks(AddressOf(data))
	// And on a request without a body that has not run yet.
	corr = c.Begin(get(t.Absent()), 0)
	c.Send(ackFrame(corr, 1))
	c.Refused(corr, spec.CreditViolation)
	c.Send(endFrame(corr))
	c.Fence()
}

func crdLateAck(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(50)
	c := t.Hello()
	addr, _ := c.Put(data) // 1: answered, without a window
	corr := c.Begin(get(addr), spec.FlagEnd|spec.FlagAckReq)
	got, _ := c.body(c.Frame(), corr, addr, nil)
	a := c.Answer(corr, "get") // 2: answered, before its ACK could come
	t.Check(len(got) == int(a.Size), "the get gives %d bytes", len(got))
	c.Refused(c.Ask(get(t.Absent())), spec.NotFound) // 3: refused
	corr = c.Begin(put(5), spec.FlagAckReq)          // 4: cancelled
	c.Send(cancelFrame(corr))
	c.Fence() // 5
	for corr := range c.corr {
		for _, n := range []int64{1, 1, 0, 40} {
			c.Send(ackFrame(corr+1, n))
		}
	}
	c.Fence()
	never := c.corr + 1
	c.Send(ackFrame(never, 1))
	c.Refused(never, spec.NoSuchStream)
	c.Fence()
	c.Holds(data)
}

func crdWithout(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(100 * 3800)
	c := t.Dial()
	c.Greet([]byte(`{"accept_max_frame":4096}`))
	t.Owe(AddressOf(data))
	corr := c.Begin(put(len(data)), 0)
	c.Send(append(Chunks(corr, data, 3800, false), endFrame(corr))...)
	a := c.Answer(corr, "put") // the next frame: no ACK was sent
	t.Check(a.Obj == AddressOf(data), "the put gives %s", a.Obj)
	c.Holds(data)
}

func crdStallAlone(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	c, data, corr := windowed(t, 80)
	var got []byte
	for range spec.Window {
		got, _ = c.body(c.Frame(), corr, AddressOf(data), got)
	}
	small := t.Bytes(9000)
	c.Put(small)
	c.Holds(small)
	c.Holds(data)
	c.Send(ackFrame(corr, 32))
	for range spec.Window {
		got, _ = c.body(c.Frame(), corr, AddressOf(data), got)
	}
	c.Send(cancelFrame(corr))
	c.Fence()
}
