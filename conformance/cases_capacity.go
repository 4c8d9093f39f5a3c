package conformance

import (
	"fmt"
	"time"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// capacityCases are about CAS-CAP, on nodes with small stores of their own.
func capacityCases() []Case {
	return []Case{
		{ID: "cas-full", Rules: []string{"CAS-CAP-003", "CAS-CAP-005", "CAS-CAP-006"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects, Own: true,
			Description: "A full store refuses puts with store_full on both surfaces, keeps every object, reads and deletes, and takes puts again when there is room.",
			Run:         casFull},
		{ID: "cas-never-fits", Rules: []string{"CAS-CAP-004"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects, Own: true,
			Description: "A put larger than the whole store is oversize, and not an invitation to try again.",
			Run:         casNeverFits},
		{ID: "cas-in-progress-counts", Rules: []string{"CAS-CAP-002", "CAS-CAP-003"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects, Own: true,
			Description: "Two puts that fit one at a time, and not together, are not both stored; the first of them is.",
			Run:         casInProgressCounts},
		{ID: "cas-nothing-leaks", Rules: []string{"CAS-PUT-005", "CAS-DEL-003", "CAS-CAP-008"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects, Own: true,
			Description: "After failed puts of ten times the capacity, and deletes, the gauges are zero and the whole capacity is there.",
			Run:         casNothingLeaks},
		{ID: "cas-gauges", Rules: []string{"CAS-CAP-008"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects, Own: true,
			Description: "store_objects and store_bytes are exact at rest.",
			Run:         casGauges},
	}
}

const smallStore = 4 << 20

func spawnSmall(t *T) *Peer {
	return t.Spawn("--rate", "100000", "--store-bytes", fmt.Sprint(smallStore))
}

func casFull(t *T) {
	const size = 256 << 10
	node := spawnSmall(t)
	t.Control(func() {
		node.Hello().RoundTrip()
		node.HTTPRoundTrip()
	})
	c := node.Hello()
	var stored [][]byte
	for {
		data := t.Bytes(size)
		corr := c.Begin(put(size), 0)
		c.Send(append(Chunks(corr, data, c.chunk(), false), endFrame(corr))...)
		f := c.Frame()
		if f.Code != spec.CodeOK {
			c.refused(f, corr, spec.StoreFull)
			break
		}
		c.answered(f, corr, "put")
		stored = append(stored, data)
		t.Check(len(stored) <= smallStore/size, "%d objects of %d bytes are in a store of %d", len(stored), size, smallStore)
	}
	t.Check(len(stored) >= smallStore/size-1, "a store of %d bytes is full with %d objects of %d", smallStore, len(stored), size)

	r := node.Do(Request{Method: "POST", Path: "/put", Body: t.Bytes(size)})
	t.retries("store_full", r, node.Refuses(r, spec.StoreFull))
	for _, data := range stored {
		c.Holds(data)
		node.Serves(data)
	}
	for _, data := range stored[:4] {
		a := c.Answer(c.Ask(del(AddressOf(data))), "delete")
		t.Check(a.Deleted, "a delete in a full store: %+v", a)
		c.Lacks(AddressOf(data))
	}
	// A node that was degraded may take a second to be sure of itself.
	t.Eventually(2*time.Second, "a put fits again", func() bool {
		r := node.Do(Request{Method: "POST", Path: "/put", Body: stored[0]})
		if r.Status != 201 {
			node.Refuses(r, spec.StoreFull)
		}
		return r.Status == 201
	})
	for _, data := range stored[4:] {
		c.Holds(data)
	}
}

func casNeverFits(t *T) {
	node := spawnSmall(t)
	t.Control(func() { node.Hello().RoundTrip() })
	c := node.Hello()
	for _, n := range []int64{smallStore + 1, spec.MaxObject} {
		corr := c.Begin(refwire.Request{Op: "put", TotalLen: n}, 0)
		e := c.Refused(corr, spec.Oversize)
		t.Check(!e.Retryable, "a put that can never fit is retryable")
		c.Send(endFrame(corr))
		c.Fence()
	}
}

func casInProgressCounts(t *T) {
	const size = 3 << 20
	node := spawnSmall(t)
	t.Control(func() {
		c := node.Hello()
		data := t.Bytes(size)
		c.Put(data)
		c.Holds(data)
		c.Answer(c.Ask(del(AddressOf(data))), "delete")
	})
	first, second := node.Hello(), node.Hello()
	a, b := t.Bytes(size), t.Bytes(size)
	corrA := first.Begin(put(size), 0)
	first.Send(Chunks(corrA, a, spec.MaxChunk, false)[:40]...) // 2.5 MiB
	first.Fence()
	corrB := second.Begin(put(size), 0)
	second.Send(append(Chunks(corrB, b, spec.MaxChunk, false), endFrame(corrB))...)
	second.Refused(corrB, spec.StoreFull)
	first.Send(append(Chunks(corrA, a, spec.MaxChunk, false)[40:], endFrame(corrA))...)
	first.Answer(corrA, "put")
	second.Fence()
	second.Holds(a)
	second.Lacks(AddressOf(b))
}

func casNothingLeaks(t *T) {
	const size = 1 << 20
	node := spawnSmall(t)
	t.Control(func() {
		node.Hello().RoundTrip()
		node.HTTPRoundTrip()
	})
	for i := range 40 {
		data := t.Bytes(size)
		c := node.Hello()
		corr := c.Begin(putAs(AddressOf(data), size), 0)
		frames := Chunks(corr, data, spec.MaxChunk, true)
		switch i % 5 {
		case 0:
			c.Send(append(frames[:15], endFrame(corr))...)
			c.Refused(corr, spec.Truncated)
		case 1:
			c.Send(append(frames, cancelFrame(corr))...)
			c.Fence()
		case 2:
			d, _ := refwire.DecodeData(frames[3].Payload)
			d.Body[5] ^= 1
			frames[3] = dataFrame(corr, d)
			c.Send(append(frames, endFrame(corr))...)
			c.Refused(corr, spec.BadDigest)
		case 3:
			c.Send(frames[:10]...)
			c.Fence()
		case 4:
			c.Send(append(frames, endFrame(corr))...)
			c.Answer(corr, "put")
			c.Answer(c.Ask(del(AddressOf(data))), "delete")
		}
		c.Close()
		node.Refuses(node.Do(Request{Method: "PUT", Path: Object(t.Absent()), Body: data[:size/2]}), spec.BadDigest)
	}
	t.Eventually(0, "the gauges are zero", func() bool {
		samples := node.metrics()
		held, _ := value(samples, "store_bytes", "")
		objects, ok := value(samples, "store_objects", "")
		return ok && held == 0 && objects == 0
	})
	c := node.Hello()
	for range 3 { // and all of it can be used, again and again
		data := t.Bytes(smallStore - 128<<10)
		c.Put(data)
		c.Holds(data)
		c.Answer(c.Ask(del(AddressOf(data))), "delete")
		t.Eventually(2*time.Second, "the node is ready", func() bool { return t.readiness(node.Get("/readyz")).Ready })
	}
}

func casGauges(t *T) {
	node := spawnSmall(t)
	t.Control(func() { node.Hello().RoundTrip() })
	gauges := func(objects, held int) {
		samples := node.metrics()
		o, ok := value(samples, "store_objects", "")
		b, alsoOK := value(samples, "store_bytes", "")
		t.Check(ok && alsoOK && o == float64(objects) && b == float64(held), "the gauges say %v objects and %v bytes, want %d and %d", o, b, objects, held)
	}
	gauges(0, 0)
	c := node.Hello()
	sum := 0
	var all [][]byte
	for i, n := range []int{0, 1, 100, 4096, 4097, 65536, 65537, 300_000} {
		data := t.Bytes(n)
		if i%2 == 0 {
			c.Put(data)
		} else {
			node.Upload(data)
		}
		c.Put(data) // once more changes nothing
		sum += n
		all = append(all, data)
		gauges(i+1, sum)
	}
	for i, data := range all {
		c.Answer(c.Ask(del(AddressOf(data))), "delete")
		sum -= len(data)
		gauges(len(all)-i-1, sum)
	}
}
