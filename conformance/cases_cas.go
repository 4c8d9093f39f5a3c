package conformance

import (
	"bytes"
	"fmt"
	"strings"
	"sync"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// casCases are about what the store promises, over both surfaces together.
func casCases() []Case {
	return []Case{
		{ID: "cas-sizes", Rules: []string{"CAS-PUT-001", "CAS-ADR-001", "CAS-GET-004"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Objects of every size around a chunk and a MiB, put over OAP/1, are the same over OAP/1 and HTTP.",
			Run:         casSizes},
		{ID: "cas-http-to-oap", Rules: []string{"CAS-PUT-001", "HTTP-PUT-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Objects put over HTTP are the same over OAP/1.",
			Run:         casHTTPToOAP},
		{ID: "cas-again", Rules: []string{"CAS-PUT-002", "CAS-PUT-003"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A second put of the same bytes, over either surface, succeeds and says that they were there.",
			Run:         casAgain},
		{ID: "cas-bad-digest", Rules: []string{"CAS-PUT-004", "CAS-PUT-005", "DIV-SUR-002"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Bytes under a wrong address are refused with 409 on both surfaces, and leave nothing under either name.",
			Run:         casBadDigest},
		{ID: "cas-delete", Rules: []string{"CAS-DEL-001", "CAS-DEL-002", "CAS-DEL-004"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A delete over one surface holds on the other at once, works once, and a put after it is new.",
			Run:         casDelete},
		{ID: "cas-agree", Rules: []string{"CAS-GET-001", "CAS-GET-002", "CAS-GET-003"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "has, stat, get, HEAD and GET agree at every step of an object's life.",
			Run:         casAgree},
		{ID: "cas-empty", Rules: []string{"CAS-ADR-003", "OAP-OBJ-013", "HTTP-PUT-006", "HTTP-RNG-007"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "The empty object is stored, read, ranged and deleted like any other, on both surfaces.",
			Run:         casEmpty},
		{ID: "cas-address-forms", Rules: []string{"CAS-ADR-002", "OAP-OBJ-003", "HTTP-SUR-005", "DIV-SUR-003"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Twelve near-addresses of a stored object are malformed on both surfaces, and never found.",
			Run:         casAddressForms},
		{ID: "cas-invisible", Rules: []string{"CAS-PUT-006"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "An object is not there before its END, although all of its bytes are, on either surface.",
			Run:         casInvisible},
		{ID: "cas-put-race", Rules: []string{"CAS-LIN-001", "CAS-PUT-003", "CAS-PUT-007"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Of sixteen puts of the same bytes at once, half of them over HTTP, exactly one is told that they were new.",
			Run:         casPutRace},
		{ID: "cas-delete-race", Rules: []string{"CAS-LIN-001", "CAS-DEL-002"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Of sixteen deletes of one object at once, half of them over HTTP, exactly one succeeds.",
			Run:         casDeleteRace},
		{ID: "cas-get-delete", Rules: []string{"CAS-GET-007"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A get that began before the delete of its object gives the object's bytes to the end, or fails, while others are put in its place.",
			Run:         casGetDelete},
		{ID: "cas-failed-is-nothing", Rules: []string{"CAS-LIN-002", "CAS-PUT-005", "ADM-ORD-003"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Refused puts and deletes, on both surfaces, leave a stored object as it was.",
			Run:         casFailedIsNothing},
		{ID: "cas-nothing-beside", Rules: []string{"CAS-ADR-005", "HTTP-PUT-009"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Names, types and times sent along with an upload are not kept.",
			Run:         casNothingBeside},
	}
}

func casSizes(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	sizes := []int{24, 1023, 1024, 1025, 4096, spec.MaxChunk - 1, spec.MaxChunk, spec.MaxChunk + 1, 2*spec.MaxChunk - 1, 2 * spec.MaxChunk,
		1<<20 - 1, 1 << 20, 1<<20 + 1, 3<<20 + 7}
	c := t.Hello()
	for _, n := range sizes {
		data := t.Bytes(n)
		addr, created := c.Put(data)
		t.Check(created, "%d new bytes are said to be stored already", n)
		c.Holds(data)
		t.Serves(data)
		a := c.Answer(c.Ask(stat(addr)), "stat")
		t.Check(a.Size == int64(n), "stat of %d bytes says %d", n, a.Size)
	}
	// Too small to be told from others' objects, so there is nothing to say about new or not.
	for n := 1; n < 8; n++ {
		data := t.Bytes(n)
		c.Put(data)
		c.Holds(data)
		t.Serves(data)
	}
}

func casHTTPToOAP(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	c := t.Hello()
	for _, n := range []int{24, 1023, spec.MaxChunk, spec.MaxChunk + 1, 1<<20 - 1, 1 << 20} {
		data := t.Bytes(n)
		t.Check(t.Upload(data), "%d new bytes are said to be stored already", n)
		c.Holds(data)
		t.Serves(data)
	}
}

func casAgain(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	c := t.Hello()
	oap := func(data []byte) bool { _, created := c.Put(data); return created }
	http := func(data []byte) bool { return t.Upload(data) }
	named := func(data []byte) bool {
		r := t.Want(t.Do(Request{Method: "PUT", Path: Object(AddressOf(data)), Body: data}), 200, 201)
		return r.Status == 201
	}
	surfaces := []func([]byte) bool{oap, http, named}
	for _, first := range surfaces {
		data := t.Bytes(2000)
		t.Check(first(data), "the first put is not new")
		for _, again := range surfaces {
			t.Check(!again(data), "a put of stored bytes is said to be new")
		}
		c.Holds(data)
		t.Serves(data)
	}
}

func casBadDigest(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data, other := t.Bytes(5000), t.Bytes(5000)
	addr := AddressOf(other)
	t.Owe(AddressOf(data))
	c := t.Hello()
	corr := c.Begin(putAs(addr, len(data)), 0)
	c.Send(dataFrame(corr, refwire.Data{Obj: addr, HasObj: true, TotalLen: int64(len(data)), Body: data}), endFrame(corr))
	c.Refused(corr, spec.BadDigest)
	t.Refuses(t.Do(Request{Method: "PUT", Path: Object(addr), Body: data}), spec.BadDigest)
	for _, a := range []spec.Address{addr, AddressOf(data)} {
		c.Lacks(a)
		t.Misses(a)
	}
	_, created := c.Put(data)
	t.Check(created, "refused bytes are said to be stored already")
}

func casDelete(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(1500)
	addr := AddressOf(data)
	c := t.Hello()
	for _, overHTTP := range []bool{false, true, false} {
		_, created := c.Put(data)
		t.Check(created, "a put after a delete is not new")
		if overHTTP {
			r := t.Want(t.Do(Request{Method: "DELETE", Path: Object(addr)}), 204)
			t.Check(len(r.Body) == 0, "a 204 has a body")
		} else {
			a := c.Answer(c.Ask(del(addr)), "delete")
			t.Check(a.Deleted && a.Obj == addr, "the answer to delete is %+v", a)
		}
		c.Lacks(addr)
		t.Misses(addr)
		c.Refused(c.Ask(del(addr)), spec.NotFound)
		t.Refuses(t.Do(Request{Method: "DELETE", Path: Object(addr)}), spec.NotFound)
	}
}

func casAgree(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(777)
	addr := AddressOf(data)
	c := t.Hello()
	agree := func(stored bool) {
		a := c.Answer(c.Ask(has(addr)), "has")
		t.Check(a.Exists == stored, "has says %v", a.Exists)
		head := t.Do(Request{Method: "HEAD", Path: Object(addr)})
		if !stored {
			c.Lacks(addr)
			t.Misses(addr)
			t.Check(head.Status == 404, "HEAD says %d", head.Status)
			return
		}
		s := c.Answer(c.Ask(stat(addr)), "stat")
		t.Check(s.Size == int64(len(data)) && s.Obj == addr, "stat says %+v", s)
		t.Check(head.Status == 200 && head.Length() == int64(len(data)), "HEAD says %d and %d bytes", head.Status, head.Length())
		c.Holds(data)
		t.Serves(data)
	}
	agree(false)
	t.Upload(data)
	agree(true)
	c.Put(data)
	agree(true)
	c.Answer(c.Ask(del(addr)), "delete")
	agree(false)
	c.Put(data)
	agree(true)
	t.Want(t.Do(Request{Method: "DELETE", Path: Object(addr)}), 204)
	agree(false)
}

func casEmpty(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	t.Exclusive("the empty object")
	empty := []byte{}
	addr := AddressOf(empty)
	want := "b3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
	if addr.String() != want {
		t.Harnessf("the suite's BLAKE3 gives %s for nothing", addr)
	}
	c := t.Hello()
	t.Do(Request{Method: "DELETE", Path: Object(addr)}) // whatever others left
	c.Lacks(addr)

	corr := c.Begin(put(0), 0)
	c.Send(endFrame(corr))
	a := c.Answer(corr, "put")
	t.Check(a.Obj == addr && a.Created, "put of nothing gives %+v", a)
	t.Owe(addr)
	c.Holds(empty)
	t.Serves(empty)
	t.Check(!t.Upload(empty), "the empty object is said to be new")

	for _, ranged := range []string{"bytes=0-0", "bytes=0-", "bytes=-1", "bytes=5-9"} {
		r := t.Want(t.Get(Object(addr), "Range: "+ranged), 200)
		t.Check(len(r.Body) == 0 && r.Length() == 0 && r.Header.Get("Content-Range") == "", "Range %s of the empty object: %d, %v", ranged, r.Status, r.Header)
	}
	r := get(addr)
	r.Offset = 1
	c.Refused(c.Ask(r), spec.BadRange)

	t.Want(t.Do(Request{Method: "DELETE", Path: Object(addr)}), 204)
	c.Lacks(addr)
	t.Check(t.Upload(empty), "the empty object is not new after a delete")
	c.Holds(empty)
	// A put of nothing may end with its START.
	a = c.Answer(c.Ask(put(0)), "put")
	t.Check(a.Obj == addr && !a.Created, "put of nothing gives %+v", a)
}

// nearAddresses are texts that look like addr.
func nearAddresses(addr spec.Address) []string {
	s := addr.String()
	digits := s[3:]
	return []string{
		"b3:" + strings.ToUpper(digits), "B3:" + digits, digits, "b3" + digits, "b3:" + digits[1:], s + "0",
		"b3:0x" + digits[2:], s[:66] + "g", " " + s, s + " ", "b2:" + digits, "b3::" + digits[1:],
	}
}

func casAddressForms(t *T) {
	data := t.Bytes(99)
	for !strings.ContainsAny(AddressOf(data).String()[3:], "abcdef") {
		data = t.Bytes(99) // upper case would change nothing
	}
	addr := AddressOf(data)
	t.Control(func() {
		t.HTTPRoundTrip()
		t.Upload(data)
		t.Serves(data)
		t.Want(t.Get("/o/b3%3A"+addr.String()[3:]), 200)
	})
	c := t.Hello()
	for _, near := range nearAddresses(addr) {
		escaped := strings.ReplaceAll(near, " ", "%20")
		t.Refuses(t.Get("/o/"+escaped), spec.Malformed)
		t.Refuses(t.Do(Request{Method: "PUT", Path: "/o/" + escaped, Body: data}), spec.Malformed)
		t.Refuses(t.Do(Request{Method: "DELETE", Path: "/o/" + escaped}), spec.Malformed)
		for _, op := range []string{"get", "has", "stat", "delete"} {
			c.Send(startFrame(c.fresh(), spec.FlagEnd, fmt.Appendf(nil, `{"op":%q,"obj":%q}`, op, near)))
			c.Refused(c.corr, spec.Malformed)
		}
	}
	c.Holds(data)
}

func casInvisible(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(2 * spec.MaxChunk)
	addr := AddressOf(data)
	t.Owe(addr)
	c, other := t.Hello(), t.Hello()
	corr := c.Begin(putAs(addr, len(data)), 0)
	for _, f := range Chunks(corr, data, spec.MaxChunk, true) {
		c.Send(f)
		c.Fence() // the node has it
		other.Lacks(addr)
		t.Misses(addr)
	}
	c.Send(endFrame(corr))
	a := c.Answer(corr, "put")
	t.Check(a.Created, "the put is not new")
	other.Holds(data)
	t.Serves(data)
}

func casPutRace(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	const racers, rounds = 16, 5
	conns := make([]*Conn, racers)
	for i := range conns {
		conns[i] = t.Hello()
	}
	for range rounds {
		data := t.Bytes(30_000)
		var mu sync.Mutex
		news := 0
		t.Each(racers, func(i int) {
			created := false
			if i%2 == 0 {
				_, created = conns[i].Put(data)
			} else {
				created = t.Upload(data)
			}
			mu.Lock()
			defer mu.Unlock()
			if created {
				news++
			}
		})
		t.Check(news == 1, "%d of %d puts of the same bytes are said to be new", news, racers)
		t.Hello().Holds(data)
		t.Want(t.Do(Request{Method: "DELETE", Path: Object(AddressOf(data))}), 204)
	}
}

func casDeleteRace(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	const racers, rounds = 16, 5
	conns := make([]*Conn, racers)
	for i := range conns {
		conns[i] = t.Hello()
	}
	for range rounds {
		data := t.Bytes(30_000)
		addr := AddressOf(data)
		t.Upload(data)
		var mu sync.Mutex
		won := 0
		t.Each(racers, func(i int) {
			deleted := false
			if i%2 == 0 {
				corr := conns[i].Ask(del(addr))
				f := conns[i].Frame()
				if deleted = f.Code == spec.CodeOK; !deleted {
					conns[i].refused(f, corr, spec.NotFound)
				}
			} else {
				r := t.Do(Request{Method: "DELETE", Path: Object(addr)})
				if deleted = r.Status == 204; !deleted {
					t.Refuses(r, spec.NotFound)
				}
			}
			mu.Lock()
			defer mu.Unlock()
			if deleted {
				won++
			}
		})
		t.Check(won == 1, "%d of %d deletes of one object succeeded", won, racers)
		t.Hello().Lacks(addr)
	}
}

func casGetDelete(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	c, data, corr := windowed(t, 200)
	addr := AddressOf(data)
	var got []byte
	for range spec.Window {
		got, _ = c.body(c.Frame(), corr, addr, got)
	}
	other := t.Hello()
	other.Answer(other.Ask(del(addr)), "delete")
	other.Lacks(addr)
	for range 20 { // memory that was given back too early would hold these now
		other.Put(t.Bytes(len(data)))
	}
	acked, n := int64(0), int64(spec.Window)
	for {
		if n-acked >= spec.AckEvery {
			c.Send(ackFrame(corr, n))
			acked = n
		}
		f := c.Frame()
		if f.Code >= 400 {
			t.Notef("the get failed after %d bytes", len(got))
			t.Check(bytes.HasPrefix(data, got), "a get gave other bytes after the delete")
			return
		}
		if f.Flags&spec.FlagEnd != 0 {
			c.answered(f, corr, "get")
			break
		}
		got, _ = c.body(f, corr, addr, got)
		n++
	}
	t.Check(bytes.Equal(got, data), "a get that began before the delete gives %d bytes with another address", len(got))
	t.Notef("the get was served to its end")
}

func casFailedIsNothing(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data, other := t.Bytes(400), t.Bytes(400)
	addr := AddressOf(data)
	c := t.Hello()
	c.Put(data)
	// Each of these names the stored object and fails.
	t.Refuses(t.Do(Request{Method: "PUT", Path: Object(addr), Body: other}), spec.BadDigest)
	t.Refuses(t.Do(Request{Method: "PUT", Path: Object(addr), Headers: []string{"Content-Encoding: br"}, Body: data}), spec.UnsupportedEncoding)
	t.Refuses(t.Do(Request{Method: "PUT", Path: Object(addr), Headers: []string{"Content-Range: bytes 0-1/400"}, Body: data}), spec.Malformed)
	c.Send(startFrame(c.fresh(), spec.FlagEnd, fmt.Appendf(nil, `{"op":"delete","obj":%q,"force":true}`, addr)))
	c.Refused(c.corr, spec.Malformed)
	corr := c.Begin(putAs(addr, 400), 0)
	c.Send(append(Chunks(corr, data, 100, true)[:2], endFrame(corr))...)
	c.Refused(corr, spec.Truncated)
	corr = c.Begin(putAs(addr, 400), 0)
	c.Send(append(Chunks(corr, data, 100, true), cancelFrame(corr))...)
	c.Holds(data)
	t.Serves(data)
	_, created := c.Put(data)
	t.Check(!created, "the object is new after requests that failed")
	c.Lacks(AddressOf(other))
}

func casNothingBeside(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(200)
	plain := t.Bytes(200)
	t.Upload(plain)
	t.Upload(data, "Content-Type: text/html; charset=latin1", "Content-Disposition: attachment; filename=secret.txt",
		"Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT", "Content-Language: de", "X-Owner: me", "ETag: \"mine\"")
	a, b := t.Want(t.Get(Object(AddressOf(data))), 200), t.Want(t.Get(Object(AddressOf(plain))), 200)
	for name := range a.Header {
		_, both := b.Header[name]
		t.Check(both, "the answer has %s: %s, which that for another object has not", name, a.Header.Get(name))
	}
	t.Check(mediaType(a) == "application/octet-stream", "Content-Type is %q", a.Header.Get("Content-Type"))
}
