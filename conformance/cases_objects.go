package conformance

import (
	"bytes"
	"fmt"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// objectCases are about OAP-OBJ: the five operations over OAP/1.
func objectCases() []Case {
	return []Case{
		{ID: "obj-proto", Rules: []string{"OAP-OBJ-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A START for any protocol that the node does not declare is refused, with and without a body behind it.",
			Run:         objProto},
		{ID: "obj-not-before-end", Rules: []string{"OAP-OBJ-004"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A request waits for the END of its request side, and then is carried out.",
			Run:         objNotBeforeEnd},
		{ID: "obj-named-put", Rules: []string{"OAP-OBJ-007", "OAP-STR-002"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A put that names an address stores the bytes that have it, and no others.",
			Run:         objNamedPut},
		{ID: "obj-ranges", Rules: []string{"OAP-OBJ-008", "OAP-OBJ-009", "CAS-GET-005", "CAS-GET-006"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A get with offset and len gives exactly that part, around every border of a chunk, and refuses an offset beyond the end.",
			Run:         objRanges},
		{ID: "obj-largest", Rules: []string{"OAP-OBJ-005", "CAS-CAP-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects, Own: true,
			Description: "An object of 64 MiB is stored and read back; one byte more is refused at its START.",
			Run:         objLargest},
		{ID: "obj-error-shape", Rules: []string{"OAP-ERR-001", "OAP-ERR-002", "OAP-ERR-003"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "ERRORs of twelve kinds have the four members, a message for people, and what the law fixes for their reason.",
			Run:         objErrorShape},
		{ID: "obj-pipelined", Rules: []string{"OAP-OBJ-008", "OAP-OBJ-010"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "has, stat and get of one object in a single write are each answered once, and its delete holds for all three.",
			Run:         objPipelined},
	}
}

func objProto(t *T) {
	t.Control(func() { t.Hello().Fence() })
	c := t.Hello()
	served := map[string]spec.Proto{
		"mailbox": spec.ProtoMailbox, "edge": spec.ProtoEdge, "index": spec.ProtoIndex, "graph": spec.ProtoGraph,
		"feed": spec.ProtoFeed, "search": spec.ProtoSearch, "media": spec.ProtoMedia, "passport": spec.ProtoPassport,
	}
	protos := []spec.Proto{1, 0x0100, 0x0102, 0x0801, 0xffff}
	for feature, proto := range served {
		if !t.s.features[feature] {
			protos = append(protos, proto)
		}
	}
	for _, proto := range protos {
		f := askFrame(c.fresh(), has(t.Absent()))
		f.Proto = proto
		c.Send(f)
		c.Refused(f.Corr, spec.Unsupported)

		f = startFrame(c.fresh(), 0, []byte("anything"))
		f.Proto = proto
		body := refwire.Frame{Flags: req, Proto: proto, Corr: f.Corr, Payload: []byte("anything")}
		end := refwire.Frame{Flags: req | spec.FlagEnd, Proto: proto, Corr: f.Corr}
		c.Send(f, body, end)
		c.Refused(f.Corr, spec.Unsupported)
		c.Fence()
	}
}

func objNotBeforeEnd(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(100)
	c, other := t.Hello(), t.Hello()
	addr, _ := c.Put(data)
	for _, request := range []refwire.Request{has(addr), stat(addr), del(addr)} {
		corr := c.Begin(request, 0)
		c.Fence() // no answer yet
		other.Holds(data)
		c.Send(endFrame(corr))
		c.Answer(corr, request.Op)
	}
	other.Lacks(addr)
}

func objNamedPut(t *T) {
	data := t.Bytes(5000)
	upload := func(c *Conn, addr spec.Address, body []byte) uint64 {
		t.Owe(AddressOf(body))
		corr := c.Begin(putAs(addr, len(body)), 0)
		frames := Chunks(corr, body, 1000, true)
		for i := range frames {
			d, _ := refwire.DecodeData(frames[i].Payload)
			d.Obj = addr
			frames[i] = dataFrame(corr, d)
		}
		c.Send(append(frames, endFrame(corr))...)
		return corr
	}
	t.Control(func() {
		c := t.Hello()
		a := c.Answer(upload(c, AddressOf(data), data), "put")
		t.Check(a.Obj == AddressOf(data) && a.Created, "a named put gives %+v", a)
		c.Answer(c.Ask(del(a.Obj)), "delete")
	})
	for _, at := range []int{0, 2500, 4999} {
		damaged := bytes.Clone(data)
		damaged[at] ^= 1
		c := t.Hello()
		c.Refused(upload(c, AddressOf(data), damaged), spec.BadDigest)
		c.Lacks(AddressOf(data))
		c.Lacks(AddressOf(damaged))
		c.Close()
	}
}

func objRanges(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	const size = 2*spec.MaxChunk + 1000
	data := t.Bytes(size)
	c := t.Hello()
	addr, _ := c.Put(data)
	offsets := []int64{0, 1, 999, spec.MaxChunk - 1, spec.MaxChunk, spec.MaxChunk + 1, size - 1, size}
	lengths := []int64{-1, 0, 1, 2, spec.MaxChunk, spec.MaxChunk + 1, size, 1<<53 - 1}
	for _, off := range offsets {
		for _, n := range lengths {
			r := get(addr)
			r.Offset, r.Len, r.HasLen = off, n, n >= 0
			end := int64(size)
			if n >= 0 {
				end = min(off+min(n, size), size)
			}
			if !r.HasLen {
				r.Len = 0
			}
			got, whole := c.Fetch(r)
			t.Check(bytes.Equal(got, data[off:end]) && whole == size, "offset %d, len %d: %d bytes, size %d", off, n, len(got), whole)
		}
	}
	for _, off := range []int64{size + 1, 2 * size, 1<<53 - 1} {
		r := get(addr)
		r.Offset = off
		c.Refused(c.Ask(r), spec.BadRange)
		r.HasLen = true
		c.Refused(c.Ask(r), spec.BadRange)
	}
	c.Fence()
}

func objLargest(t *T) {
	node := t.Spawn()
	t.Control(func() { node.Hello().RoundTrip() })
	data := t.Bytes(spec.MaxObject)
	c := node.Hello()
	_, created := c.Put(data)
	t.Check(created, "a put of new bytes says that they were stored already")
	c.Holds(data)
	for _, n := range []int64{spec.MaxObject + 1, 1 << 40, 1<<53 - 1} {
		c.Refused(c.Begin(refwire.Request{Op: "put", TotalLen: n}, spec.FlagEnd), spec.Oversize)
		c.Fence()
	}
}

func objErrorShape(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	absent := t.Absent()
	for _, bad := range []struct {
		frames []refwire.Frame
		reason spec.Reason
	}{
		{[]refwire.Frame{askFrame(1, get(absent))}, spec.NotFound},
		{[]refwire.Frame{askFrame(1, stat(absent))}, spec.NotFound},
		{[]refwire.Frame{askFrame(1, del(absent))}, spec.NotFound},
		{[]refwire.Frame{startFrame(1, spec.FlagEnd, nil)}, spec.Malformed},
		{[]refwire.Frame{startFrame(1, spec.FlagEnd|spec.FlagAppE2E, []byte("x"))}, spec.Unsupported},
		{[]refwire.Frame{askFrame(1, put(spec.MaxObject+1))}, spec.Oversize},
		{[]refwire.Frame{askFrame(1, put(5))}, spec.Truncated},
		{[]refwire.Frame{startFrame(1, 0, refwire.EncodeRequest(put(5))), dataFrame(1, refwire.Data{Offset: 1, TotalLen: 5, Body: []byte("x")})}, spec.BadOffset},
		{[]refwire.Frame{startFrame(1, 0, refwire.EncodeRequest(put(5))), ackFrame(1, 1)}, spec.CreditViolation},
		{[]refwire.Frame{endFrame(1)}, spec.NoSuchStream},
		{[]refwire.Frame{startFrame(1, 0, refwire.EncodeRequest(putAs(absent, 1))), dataFrame(1, refwire.Data{Obj: absent, HasObj: true, TotalLen: 1, Body: []byte("x")}), endFrame(1)}, spec.BadDigest},
		{[]refwire.Frame{{Flags: final, Code: 200, Proto: spec.ProtoObjects, Corr: 1}}, spec.BadSequence},
	} {
		c := t.Hello()
		c.Send(bad.frames...)
		e := c.Refused(1, bad.reason)
		t.Check(e.Message != "", "%s comes without a message", e.Reason)
		c.corr = 1
		c.Fence()
		c.Close()
	}
}

func objPipelined(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(500)
	c := t.Hello()
	addr, _ := c.Put(data)
	first := c.corr + 1
	c.Send(askFrame(first, has(addr)), askFrame(first+1, stat(addr)), askFrame(first+2, get(addr)))
	seen := map[string]int{}
	for range 4 {
		f := c.Frame()
		seen[fmt.Sprint(f.Corr-first, " ", f.Code)]++
	}
	for _, want := range []string{"0 200", "1 200", "2 206", "2 200"} {
		t.Check(seen[want] == 1, "stream and code %s: %d times, in %v", want, seen[want], seen)
	}
	c.Answer(c.Ask(del(addr)), "delete")
	c.Lacks(addr)
}
