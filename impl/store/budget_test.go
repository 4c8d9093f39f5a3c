package store

import (
	"runtime"
	"testing"

	"github.com/rustyonions/micronode/spec"
)

// TestAllocations bounds what one call allocates on the Go heap.
func TestAllocations(t *testing.T) {
	s := open(t, 16)
	p := bytesOf(1, 100_000)
	a, _ := put(t, s, p)
	small := bytesOf(2, 1000)
	limit := func(want float64) float64 {
		if raceDetector {
			return want + 3
		}
		return want
	}
	for _, c := range []struct {
		name string
		want float64
		call func()
	}{
		{"get, chunk, release", 0, func() {
			h, err := s.Get(a)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.Chunk(spanSize, spanSize); err != nil {
				t.Fatal(err)
			}
			h.Release()
		}},
		{"stat", 0, func() { s.Stat(a) }},
		{"get of an unknown address", 0, func() { s.Get(spec.Address{}) }},
		{"put of 1000 bytes and delete", 2, func() { // the writer and the object
			s.Delete(store(t, s, small))
		}},
		{"put of 100,000 bytes again", 3, func() { store(t, s, p) }}, // and the list of chunks
	} {
		if got := testing.AllocsPerRun(200, c.call); got > limit(c.want) {
			t.Errorf("%s: %v allocations, want at most %v", c.name, got, limit(c.want))
		}
	}
}

// TestOverheadPerObject measures what small objects take beside their bytes: on the Go heap, where the index is, and in
// the arena, where slots are rounded up.
func TestOverheadPerObject(t *testing.T) {
	const limit = 256
	for n, count := range map[int]int64{100: 100_000, 1000: 20_000} {
		s := open(t, 4096)
		heap := func() int64 {
			runtime.GC()
			runtime.GC() // the first one empties pools only half
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			return int64(m.HeapAlloc)
		}
		p := bytesOf(3, n)
		before := heap()
		for i := range count {
			p[0], p[1], p[2] = byte(i), byte(i>>8), byte(i>>16)
			store(t, s, p)
		}
		index := heap() - before
		st := s.Stats()
		if st.Objects != count {
			t.Fatalf("%d objects stored", st.Objects)
		}
		rounding := st.ArenaUsed - st.Bytes
		t.Logf("objects of %d bytes: %d bytes of index and %d of rounding each", n, index/count, rounding/count)
		if each := (index + rounding) / count; each > limit || index <= 0 {
			t.Errorf("objects of %d bytes take %d bytes more than that, want at most %d", n, each, limit)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestSteadyPutsReusePages: while objects come and go, their bytes are always in pages that earlier ones touched.
// BenchmarkPut has the page faults that this saves.
func TestSteadyPutsReusePages(t *testing.T) {
	s := open(t, 4096)
	seen := map[loc]bool{}
	for i := range 200 {
		for _, n := range []int{1000, 50_000, 3*spanSize + 5000} {
			a := store(t, s, bytesOf(uint64(i), n))
			for _, c := range stored(s, a).chunks {
				seen[c.at] = true
			}
			if err := s.Delete(a); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(seen) > 6 { // one slot, one slot, and four
		t.Errorf("600 puts used %d places", len(seen))
	}
}
