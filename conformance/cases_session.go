package conformance

import (
	"math"
	"net"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// sessionCases are about OAP-SES: which frame is refused for what, and that nothing else changes. What one frame
// at a time shows is in the vectors.
func sessionCases() []Case {
	return []Case{
		{ID: "ses-corr-max", Rules: []string{"OAP-SES-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "corr_id has 64 bits: 2^64 - 1 opens a stream, and after it none can be opened.",
			Run:         sesCorrMax},
		{ID: "ses-refused-counts", Rules: []string{"OAP-SES-001", "OAP-SES-017"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "The corr_id of a refused START is used up.",
			Run:         sesRefusedCounts},
		{ID: "ses-isolation", Rules: []string{"OAP-SES-007", "OAP-SES-015"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "Eight kinds of refusals on other streams leave a put on the same connection, and a get beside it, as they were.",
			Run:         sesIsolation},
		{ID: "ses-corr-zero", Rules: []string{"OAP-SES-014", "OAP-SES-001"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "A refusal of a frame on corr_id 0 closes the connection, while the same frame on another only gets an ERROR.",
			Run:         sesCorrZero},
		{ID: "ses-order", Rules: []string{"OAP-SES-020"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "A frame that breaks two rules of the session gets the reason of the earlier.",
			Run:         sesOrder},
		{ID: "ses-flags", Rules: []string{"OAP-SES-019"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "START, END and ACK_REQ where they have no meaning are refused.",
			Run:         sesFlags},
		{ID: "ses-code", Rules: []string{"OAP-SES-006"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "A request frame with a code is refused, whatever the code, and an END with 499 is a CANCEL.",
			Run:         sesCode},
		{ID: "ses-tenant", Rules: []string{"OAP-SES-004"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "A stream lives under the tenant_id of its START, in both directions, and a frame under another ends it.",
			Run:         sesTenant},
		{ID: "ses-response", Rules: []string{"OAP-SES-003"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "A client can not finish its own request by sending the answer to it.",
			Run:         sesResponse},
		{ID: "ses-interleaved", Rules: []string{"OAP-SES-007", "CAS-PUT-007"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Thirty puts, their chunks interleaved on one connection, store thirty right objects.",
			Run:         sesInterleaved},
		{ID: "ses-half-closed-discards", Rules: []string{"OAP-SES-010", "OAP-ERR-004"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "Behind the ERROR of a put, a hundred frames already on the way are discarded without another ERROR.",
			Run:         sesHalfClosedDiscards},
		{ID: "ses-refused-start-body", Rules: []string{"OAP-SES-017", "OAP-SES-010"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "The body behind a refused START is discarded; behind a START refused as reused it finds no stream.",
			Run:         sesRefusedStartBody},
		{ID: "ses-reset", Rules: []string{"CAS-PUT-005", "OAP-SES-015"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Connections that end by half-close or reset in the middle of a put leave nothing.",
			Run:         sesReset},
		{ID: "ses-finished-twice", Rules: []string{"OAP-SES-002", "OAP-ERR-004"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "Each frame for a finished stream gets one ERROR, and nothing is done again.",
			Run:         sesFinishedTwice},
	}
}

func sesCorrMax(t *T) {
	t.Control(func() { t.Hello().Fence() })
	c := t.Hello()
	c.Send(askFrame(1<<63, has(t.Absent())))
	c.Answer(1<<63, "has")
	c.Send(askFrame(math.MaxUint64, has(t.Absent())))
	c.Answer(math.MaxUint64, "has")
	c.Send(askFrame(1<<63+1, has(t.Absent())))
	c.Refused(1<<63+1, spec.StreamReused)
}

func sesRefusedCounts(t *T) {
	t.Control(func() {
		c := t.Hello()
		c.Send(askFrame(5, has(t.Absent())), askFrame(6, has(t.Absent())))
		c.Answer(5, "has")
		c.Answer(6, "has")
	})
	c := t.Hello()
	c.Send(startFrame(5, spec.FlagEnd, []byte(`{"op":"nothing"}`)))
	c.Refused(5, spec.Malformed)
	c.Send(askFrame(5, has(t.Absent())))
	c.Refused(5, spec.StreamReused)
	c.Send(askFrame(4, has(t.Absent())))
	c.Refused(4, spec.StreamReused)
	c.Fence()
}

func sesIsolation(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data, large := t.Bytes(3000), t.Bytes(40*1000)
	c := t.Dial()
	c.Greet([]byte(`{"accept_max_frame":4096}`))
	addr, _ := c.Put(large)
	corr := c.Begin(put(len(data)), 0)
	t.Owe(AddressOf(data))
	chunks := Chunks(corr, data, 1000, false)
	c.Send(chunks[0])

	bad := []struct {
		reason spec.Reason
		frame  refwire.Frame
	}{
		{spec.NoSuchStream, dataFrame(1000, refwire.Data{TotalLen: 5, Body: []byte("x")})},
		{spec.NoSuchStream, endFrame(1001)},
		{spec.NoSuchStream, cancelFrame(1002)},
		{spec.NoSuchStream, ackFrame(1003, 1)},
		{spec.BadSequence, refwire.Frame{Flags: final, Code: spec.CodeOK, Proto: spec.ProtoObjects, Corr: 1004}},
		{spec.StreamReused, startFrame(1, spec.FlagEnd, []byte("{}"))},
		{spec.Malformed, startFrame(1006, spec.FlagEnd, []byte("{}"))},
		{spec.Unsupported, refwire.Frame{Flags: start | spec.FlagEnd, Proto: spec.ProtoMailbox, Corr: 1007}},
	}
	for _, b := range bad {
		c.Send(b.frame)
		c.Refused(b.frame.Corr, b.reason)
	}
	c.Send(chunks[1])
	c.corr = 2000
	got, size := c.Fetch(get(addr))
	t.Check(AddressOf(got) == addr && size == int64(len(large)), "a get beside refusals gives %d bytes", len(got))
	c.Send(chunks[2], endFrame(corr))
	a := c.Answer(corr, "put")
	t.Check(a.Obj == AddressOf(data), "a put beside refusals gives %s", a.Obj)
	c.Holds(data)
}

func sesCorrZero(t *T) {
	frames := func(corr uint64) []refwire.Frame {
		return []refwire.Frame{
			dataFrame(corr, refwire.Data{TotalLen: 5, Body: []byte("x")}), endFrame(corr), cancelFrame(corr), ackFrame(corr, 1),
		}
	}
	t.Control(func() {
		c := t.Hello()
		for _, f := range frames(7) {
			c.Send(f)
			c.Refused(7, spec.NoSuchStream)
		}
		c.Fence()
	})
	for _, f := range frames(0) {
		c := t.Hello()
		c.Send(f)
		c.Rejected(spec.NoSuchStream)
		c.Close()
	}
	c := t.Hello()
	c.Send(refwire.Frame{Flags: final, Code: spec.CodeOK, Proto: spec.ProtoObjects})
	c.Rejected(spec.BadSequence)
	c = t.Hello()
	c.Send(askFrame(0, has(t.Absent())))
	c.Rejected(spec.StreamReused)
}

func sesOrder(t *T) {
	t.Control(func() { t.Hello().Fence() })
	type alter func(*refwire.Frame)
	code := func(f *refwire.Frame) { f.Code = 200 }
	old := func(f *refwire.Frame) { f.Corr = 1 }
	junk := func(f *refwire.Frame) { f.Payload = []byte("junk") }
	sealed := func(f *refwire.Frame) { f.Flags |= spec.FlagAppE2E }
	foreign := func(f *refwire.Frame) { f.Proto = 0x7777 }
	tenant := func(f *refwire.Frame) { f.Tenant[0] = 1 }
	ackReq := func(f *refwire.Frame) { f.Flags |= spec.FlagAckReq }
	respond := func(f *refwire.Frame) { f.Flags = f.Flags&^spec.FlagReq | spec.FlagResp }
	starting := []struct {
		reason spec.Reason
		alter  []alter
	}{
		{spec.BadSequence, []alter{respond, code, old, foreign, junk}}, // SES-003
		{spec.Malformed, []alter{code, old, foreign, junk}},            // SES-006
		{spec.StreamReused, []alter{old, foreign, sealed, junk}},       // SES-001
		{spec.Unsupported, []alter{foreign, sealed, junk}},             // OBJ-001
		{spec.Unsupported, []alter{sealed, junk}},                      // OBJ-011
		{spec.Malformed, []alter{junk}},                                // OBJ-002
	}
	for _, s := range starting {
		c := t.Hello()
		c.Fence()
		f := askFrame(c.corr+1, has(t.Absent()))
		for _, a := range s.alter {
			a(&f)
		}
		c.Send(f)
		delete(c.streams, f.Corr) // what an ERROR about a frame of two streams carries is not fixed
		c.Refused(f.Corr, s.reason)
		c.corr = 10
		c.Fence()
		c.Close()
	}
	following := []struct {
		reason spec.Reason
		alter  []alter
	}{
		{spec.BadSequence, []alter{ackReq, code, foreign}},            // SES-019
		{spec.NoSuchStream, []alter{old, code, foreign, tenant}},      // SES-002
		{spec.Malformed, []alter{code, foreign, tenant}},              // SES-006
		{spec.BadSequence, []alter{tenant, junk}},                     // SES-004
		{spec.Malformed, []alter{junk}},                               // STR-001
		{spec.BadSequence, []alter{ackReq, old, code, foreign, junk}}, // SES-019
	}
	for _, s := range following {
		c := t.Hello()
		c.Fence()
		corr := c.Begin(put(5), 0)
		f := dataFrame(corr, refwire.Data{TotalLen: 5, Body: []byte("x")})
		for _, a := range s.alter {
			a(&f)
		}
		delete(c.streams, f.Corr)
		c.Send(f)
		c.Refused(f.Corr, s.reason)
		c.Fence()
		c.Close()
	}
}

func sesFlags(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	for _, alter := range []func(*refwire.Frame){
		func(f *refwire.Frame) { f.Flags |= spec.FlagAckReq },                // DATA with ACK_REQ
		func(f *refwire.Frame) { f.Flags |= spec.FlagEnd | spec.FlagAckReq }, // END with ACK_REQ
		func(f *refwire.Frame) { f.Flags, f.Code = spec.FlagEvent|spec.FlagEnd, spec.CodeAck },
		func(f *refwire.Frame) { f.Flags, f.Code = spec.FlagEvent|spec.FlagStart, spec.CodeAck },
		func(f *refwire.Frame) { f.Flags, f.Code = spec.FlagEvent|spec.FlagAckReq, spec.CodeAck },
	} {
		data := t.Bytes(40)
		c := t.Hello()
		corr := c.Begin(put(len(data)), 0)
		bystander := c.Begin(put(len(data)), 0)
		f := refwire.Frame{Flags: req, Proto: spec.ProtoObjects, Corr: corr}
		alter(&f)
		c.Write(sealed(f))
		c.Refused(corr, spec.BadSequence)
		c.Send(append(Chunks(bystander, data, 40, false), cancelFrame(bystander))...)
		c.Fence()
		c.Lacks(AddressOf(data))
		c.Close()
	}
}

// sealed is a frame with the fields as they are and lengths that fit.
func sealed(f refwire.Frame) []byte {
	f.Seal()
	return refwire.Encode(f)
}

func sesCode(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(30)
	for _, code := range []spec.Code{1, 200, 202, 404, 499, 65535} {
		c := t.Hello()
		f := askFrame(c.fresh(), has(t.Absent()))
		f.Code = code
		c.Send(f)
		c.Refused(f.Corr, spec.Malformed)

		corr := c.Begin(put(len(data)), 0)
		f = Chunks(corr, data, 30, false)[0]
		f.Code = code
		c.Send(f)
		c.Refused(corr, spec.Malformed)

		corr = c.Begin(put(len(data)), 0)
		f = endFrame(corr)
		f.Code = code
		c.Send(append(Chunks(corr, data, 30, false), f)...)
		if code != spec.CodeCancel {
			c.Refused(corr, spec.Malformed)
		}
		c.Fence()
		c.Lacks(AddressOf(data))
		c.Close()
	}
}

func sesTenant(t *T) {
	data := t.Bytes(90)
	tenant := [16]byte{0x80, 15: 1}
	upload := func(c *Conn, first, second [16]byte) uint64 {
		frames := append([]refwire.Frame{startFrame(c.fresh(), 0, refwire.EncodeRequest(put(len(data))))}, Chunks(c.corr, data, 45, false)...)
		frames = append(frames, endFrame(c.corr))
		for i := range frames {
			frames[i].Tenant = first
		}
		frames[2].Tenant = second
		c.Send(frames...)
		return c.corr
	}
	t.Control(func() {
		c := t.Hello()
		t.Owe(AddressOf(data))
		c.Answer(upload(c, tenant, tenant), "put") // the connection holds the answer to the tenant
		c.Answer(c.Ask(del(AddressOf(data))), "delete")
	})
	for _, other := range [][16]byte{{}, {0x80}, {15: 1}, {0x80, 15: 2}} {
		c := t.Hello()
		corr := upload(c, tenant, other)
		c.Refused(corr, spec.BadSequence)
		c.Fence()
		c.Lacks(AddressOf(data))
		c.Close()
	}
}

func sesResponse(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(50)
	for _, f := range []refwire.Frame{
		{Flags: final, Code: spec.CodeOK, Payload: []byte(`{"created":true}`)},
		{Flags: final, Code: 404},
		{Flags: spec.FlagResp, Code: spec.CodeData},
		{Flags: spec.FlagResp},
	} {
		c := t.Hello()
		corr := c.Begin(put(len(data)), 0)
		c.Send(Chunks(corr, data, 50, false)...)
		f.Corr, f.Proto = corr, spec.ProtoObjects
		c.Send(f)
		c.Refused(corr, spec.BadSequence)
		c.Send(endFrame(corr))
		c.Fence()
		c.Lacks(AddressOf(data))
		c.Close()
	}
}

func sesInterleaved(t *T) {
	const puts, size, chunk = 30, 5000, 700
	t.Control(func() { t.Hello().RoundTrip() })
	c := t.Hello()
	bodies := make([][]byte, puts)
	chunks := make([][]refwire.Frame, puts)
	corrs := map[uint64][]byte{}
	for i := range puts {
		bodies[i] = t.Bytes(size)
		t.Owe(AddressOf(bodies[i]))
		corr := c.Begin(put(size), 0)
		corrs[corr] = bodies[i]
		chunks[i] = append(Chunks(corr, bodies[i], chunk, false), endFrame(corr))
	}
	for k := range chunks[0] {
		var round []refwire.Frame
		for i := range puts {
			round = append(round, chunks[i][k])
		}
		c.Send(round...)
	}
	for range puts {
		f := c.Frame()
		a := c.answered(f, f.Corr, "put")
		body, asked := corrs[f.Corr]
		t.Check(asked && a.Obj == AddressOf(body) && a.Created, "the put on corr_id %d gives %s", f.Corr, a.Obj)
		delete(corrs, f.Corr)
	}
	for _, b := range bodies {
		c.Holds(b)
	}
}

func sesHalfClosedDiscards(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(100 * 200)
	c := t.Hello()
	corr := c.Begin(put(len(data)), 0)
	frames := Chunks(corr, data, 200, false)
	frames[0] = frames[1] // the wrong offset, so the first DATA is refused and the others come behind it
	c.Send(append(frames, endFrame(corr))...)
	c.Refused(corr, spec.BadOffset)
	c.Fence()
	c.Lacks(AddressOf(data))
	c.Send(endFrame(corr))
	c.Refused(corr, spec.NoSuchStream)
	c.Fence()
}

func sesRefusedStartBody(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(300)
	c := t.Hello()
	for _, s := range []struct {
		frame  refwire.Frame
		reason spec.Reason
	}{
		{startFrame(0, 0, []byte(`{"op":"put"}`)), spec.Malformed},
		{startFrame(0, 0, refwire.EncodeRequest(put(spec.MaxObject+1))), spec.Oversize},
		{refwire.Frame{Flags: start, Proto: spec.ProtoMailbox, Payload: []byte("{}")}, spec.Unsupported},
		{startFrame(0, spec.FlagAppE2E, refwire.EncodeRequest(put(300))), spec.Unsupported},
	} {
		s.frame.Corr = c.fresh()
		frames := append([]refwire.Frame{s.frame}, Chunks(s.frame.Corr, data, 100, false)...)
		c.Send(append(frames, endFrame(s.frame.Corr))...)
		c.Refused(s.frame.Corr, s.reason)
		c.Fence()
		c.Send(endFrame(s.frame.Corr))
		c.Refused(s.frame.Corr, spec.NoSuchStream)
	}
	// A reused corr_id opens nothing to discard into.
	c.Send(startFrame(1, 0, refwire.EncodeRequest(put(300))), endFrame(1))
	c.Refused(1, spec.StreamReused)
	c.Refused(1, spec.NoSuchStream)
	c.Lacks(AddressOf(data))
}

func sesReset(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(10_000)
	for _, part := range []int{1, 5000, len(data)} {
		for _, reset := range []bool{false, true} {
			c := t.Hello()
			corr := c.Begin(put(len(data)), 0)
			frames := Chunks(corr, data, 1000, false)
			b := c.Seal(frames...)
			c.Write(b[:len(b)*part/len(data)])
			if tcp, ok := c.nc.(*net.TCPConn); ok && reset {
				tcp.SetLinger(0)
				c.Close()
			} else {
				c.CloseWrite()
				c.Drained(t.Patience())
			}
			t.Hello().Lacks(AddressOf(data))
		}
	}
}

func sesFinishedTwice(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(70)
	c := t.Hello()
	addr, _ := c.Put(data)
	done := c.corr
	for _, f := range []refwire.Frame{
		Chunks(done, data, 70, false)[0], endFrame(done), endFrame(done), cancelFrame(done),
	} {
		c.Send(f)
		c.Refused(done, spec.NoSuchStream)
	}
	c.Send(startFrame(done, 0, refwire.EncodeRequest(del(addr))))
	c.Refused(done, spec.StreamReused)
	c.Holds(data)
}
