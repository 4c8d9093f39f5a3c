package conformance

import (
	"bytes"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// bodyCases are about OAP-STR on objects of some size; what one DATA frame can do wrong is in the vectors.
func bodyCases() []Case {
	return []Case{
		{ID: "str-chunkings", Rules: []string{"OAP-STR-003", "CAS-PUT-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "The same bytes in chunks of any size, named or not, are the same object.",
			Run:         strChunkings},
		{ID: "str-chunk-limit", Rules: []string{"OAP-STR-006"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A body of 65,536 bytes is taken and one of 65,537 ends the put with nothing stored.",
			Run:         strChunkLimit},
		{ID: "str-deep-mistakes", Rules: []string{"OAP-STR-003", "OAP-STR-004", "OAP-STR-007"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A mistake in the twentieth DATA frame is found like one in the first.",
			Run:         strDeepMistakes},
		{ID: "str-uninvited-obj", Rules: []string{"OAP-STR-002"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A put that did not name its address at START is refused when a DATA frame does, first or later, also with the right one.",
			Run:         strUninvitedObj},
		{ID: "str-over", Rules: []string{"OAP-STR-007", "CAS-PUT-008"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "One byte more than announced, in the only frame or in one behind the last, is refused at that frame and stores nothing.",
			Run:         strOver},
		{ID: "str-short", Rules: []string{"OAP-STR-008", "CAS-PUT-009"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "An END one byte, one frame or everything too early stores nothing.",
			Run:         strShort},
		{ID: "str-cancel", Rules: []string{"OAP-STR-009", "CAS-PUT-005"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A put cancelled anywhere stores nothing, and nothing more is said about it.",
			Run:         strCancel},
		{ID: "str-cancel-get", Rules: []string{"OAP-STR-009"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A get cancelled while its window is full sends nothing more, whatever ACK comes behind, and its stream is gone.",
			Run:         strCancelGet},
		{ID: "str-end-payload", Rules: []string{"OAP-STR-011"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "An END with a payload of one byte or many stores nothing.",
			Run:         strEndPayload},
	}
}

func strChunkings(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(3000)
	c := t.Hello()
	for i, size := range []int{1, 7, 999, 1000, 2999, 3000} {
		for _, named := range []bool{false, true} {
			request := put(len(data))
			if named {
				request = putAs(AddressOf(data), len(data))
			}
			t.Owe(AddressOf(data))
			corr := c.Begin(request, 0)
			c.Send(append(Chunks(corr, data, size, named), endFrame(corr))...)
			a := c.Answer(corr, "put")
			first := i == 0 && !named
			t.Check(a.Obj == AddressOf(data) && a.Created == first, "chunks of %d bytes: %+v", size, a)
		}
	}
	c.Holds(data)
}

func strChunkLimit(t *T) {
	upload := func(c *Conn, data []byte, size int) uint64 {
		t.Owe(AddressOf(data))
		corr := c.Begin(put(len(data)), 0)
		c.Send(append(Chunks(corr, data, size, false), endFrame(corr))...)
		return corr
	}
	data := t.Bytes(3 * spec.MaxChunk)
	t.Control(func() {
		c := t.Hello()
		c.Answer(upload(c, data, spec.MaxChunk), "put")
		c.Holds(data)
	})
	for _, size := range []int{spec.MaxChunk + 1, 2 * spec.MaxChunk} {
		other := t.Bytes(3 * spec.MaxChunk)
		c := t.Hello()
		c.Refused(upload(c, other, size), spec.ChunkOversize)
		c.Fence()
		c.Lacks(AddressOf(other))
	}
}

func strDeepMistakes(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	const size, at = 100, 19
	for _, m := range []struct {
		reason spec.Reason
		alter  func(*refwire.Data)
	}{
		{spec.BadOffset, func(d *refwire.Data) { d.Offset-- }},
		{spec.BadOffset, func(d *refwire.Data) { d.Offset++ }},
		{spec.BadOffset, func(d *refwire.Data) { d.Offset = 0 }},
		{spec.Malformed, func(d *refwire.Data) { d.TotalLen++ }},
		{spec.Malformed, func(d *refwire.Data) { d.TotalLen-- }},
		{spec.Oversize, func(d *refwire.Data) { d.Body = make([]byte, 12*size) }},
	} {
		data := t.Bytes(30 * size)
		c := t.Hello()
		corr := c.Begin(put(len(data)), 0)
		frames := Chunks(corr, data, size, false)
		d, _ := refwire.DecodeData(frames[at].Payload)
		m.alter(&d)
		frames[at] = dataFrame(corr, d)
		c.Send(append(frames, endFrame(corr))...)
		c.Refused(corr, m.reason)
		c.Fence()
		c.Lacks(AddressOf(data))
		c.Close()
	}
}

func strUninvitedObj(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	for _, at := range []int{0, 2} {
		data := t.Bytes(400)
		c := t.Hello()
		corr := c.Begin(put(len(data)), 0)
		frames := Chunks(corr, data, 100, false)
		frames[at] = Chunks(corr, data, 100, true)[at]
		c.Send(append(frames, endFrame(corr))...)
		c.Refused(corr, spec.Malformed)
		c.Fence()
		c.Lacks(AddressOf(data))
		c.Close()
	}
}

func strOver(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(1001)
	const total = 1000
	for _, first := range []int{total + 1, total, total - 1} {
		c := t.Hello()
		corr := c.Begin(put(total), 0)
		c.Send(dataFrame(corr, refwire.Data{TotalLen: total, Body: data[:first]}))
		if first <= total {
			c.Fence() // so far it is fine
			c.Send(dataFrame(corr, refwire.Data{Offset: int64(first), TotalLen: total, Body: data[first:]}))
		}
		c.Refused(corr, spec.Oversize) // before any END
		c.Send(endFrame(corr))
		c.Fence()
		c.Lacks(AddressOf(data))
		c.Lacks(AddressOf(data[:total]))
		c.Close()
	}
}

func strShort(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(1000)
	for _, missing := range []int{1, 100, 1000} {
		c := t.Hello()
		corr := c.Begin(put(len(data)), 0)
		sent := data[:len(data)-missing]
		for off := 0; off < len(sent); off += 100 {
			c.Send(dataFrame(corr, refwire.Data{Offset: int64(off), TotalLen: int64(len(data)), Body: sent[off:min(off+100, len(sent))]}))
		}
		c.Send(endFrame(corr))
		c.Refused(corr, spec.Truncated)
		c.Lacks(AddressOf(data))
		if len(sent) > 0 {
			c.Lacks(AddressOf(sent))
		}
		c.Close()
	}
}

func strCancel(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(1000)
	c := t.Hello()
	for n := range 11 {
		corr := c.Begin(put(len(data)), 0)
		c.Send(append(Chunks(corr, data, 100, false)[:n], cancelFrame(corr))...)
		c.Fence()
		c.Send(endFrame(corr))
		c.Refused(corr, spec.NoSuchStream)
	}
	c.Lacks(AddressOf(data))
	// The other requests can be cancelled as well, until their END.
	kept, _ := c.Put(t.Bytes(100))
	corr := c.Begin(del(kept), 0)
	c.Send(cancelFrame(corr))
	a := c.Answer(c.Ask(has(kept)), "has")
	t.Check(a.Exists, "a cancelled delete deleted")
}

func strCancelGet(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(60 * 4000)
	c := t.Dial()
	c.Greet([]byte(`{"accept_max_frame":4096}`))
	addr, _ := c.Put(data)
	corr := c.Begin(get(addr), spec.FlagEnd|spec.FlagAckReq)
	var got []byte
	for range spec.Window {
		got, _ = c.body(c.Frame(), corr, addr, got)
	}
	t.Check(bytes.HasPrefix(data, got), "the get gives other bytes")
	c.Send(cancelFrame(corr))
	c.Fence()
	c.Send(ackFrame(corr, 16)) // crossed the CANCEL on its way
	c.Fence()
	c.Send(endFrame(corr))
	c.Refused(corr, spec.NoSuchStream)
	c.Holds(data)
}

func strEndPayload(t *T) {
	data := t.Bytes(100)
	upload := func(c *Conn, payload []byte) uint64 {
		t.Owe(AddressOf(data))
		corr := c.Begin(put(len(data)), 0)
		end := endFrame(corr)
		end.Payload = payload
		c.Send(append(Chunks(corr, data, 100, false), end)...)
		return corr
	}
	t.Control(func() {
		c := t.Hello()
		c.Answer(upload(c, nil), "put")
		c.Answer(c.Ask(del(AddressOf(data))), "delete")
	})
	for _, payload := range []string{"\x00", "{}", " ", string(make([]byte, 70_000))} {
		c := t.Hello()
		c.Refused(upload(c, []byte(payload)), spec.Malformed)
		c.Fence()
		c.Lacks(AddressOf(data))
		c.Close()
	}
}
