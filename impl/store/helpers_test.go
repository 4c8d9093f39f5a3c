package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"math/rand/v2"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"lukechampine.com/blake3"

	"github.com/rustyonions/micronode/spec"
)

func TestMain(m *testing.M) {
	// Long runs fill the arena; the command line still has the last word.
	if err := flag.Set("rapid.steps", "200"); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m)
}

// open returns a store of so many spans in mapped memory. The test fails if it can't be closed clean.
func open(t testing.TB, spans int) *Store {
	t.Helper()
	s, err := Open(Config{Capacity: int64(spans) * spanSize})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// bytesOf makes n bytes that depend on every bit of seed; none of them is zero, so that each one left behind shows.
func bytesOf(seed uint64, n int) []byte {
	rng := rand.New(rand.NewPCG(seed, uint64(n)))
	p := make([]byte, 0, n+8)
	for len(p) < n {
		p = binary.LittleEndian.AppendUint64(p, rng.Uint64()|0x0101_0101_0101_0101)
	}
	return p[:n:n]
}

// put stores p with a declared length and fails the test if that is refused.
func put(t testing.TB, s *Store, p []byte) (spec.Address, bool) {
	t.Helper()
	w, err := s.NewWriter(nil, int64(len(p)))
	if err != nil {
		t.Fatalf("new writer for %d bytes: %v", len(p), err)
	}
	defer w.Abort()
	if _, err := w.Write(p); err != nil {
		t.Fatalf("write %d bytes: %v", len(p), err)
	}
	a, created, err := w.Commit()
	if err != nil {
		t.Fatalf("commit %d bytes: %v", len(p), err)
	}
	if want := spec.Address(blake3.Sum256(p)); a != want {
		t.Fatalf("address of %d bytes: %v, want %v", len(p), a, want)
	}
	return a, created
}

// store is put without the check of the address, for tests that count or time.
func store(t testing.TB, s *Store, p []byte) spec.Address {
	w, err := s.NewWriter(nil, int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(p); err != nil {
		t.Fatal(err)
	}
	a, _, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// read returns a copy of the whole object.
func read(t testing.TB, s *Store, a spec.Address) []byte {
	t.Helper()
	h, err := s.Get(a)
	if err != nil {
		t.Fatalf("get: %v", err)
	}
	defer h.Release()
	return readAll(t, h)
}

func readAll(t testing.TB, h *Handle) []byte {
	t.Helper()
	var p []byte
	for int64(len(p)) < h.Size() {
		b, err := h.Chunk(int64(len(p)), spanSize)
		if err != nil {
			t.Fatalf("chunk at %d: %v", len(p), err)
		}
		p = append(p, b...)
	}
	return p
}

// reasonOf is the reason that an error carries; None for nil, and "?" if it carries none.
func reasonOf(err error) spec.Reason {
	var r spec.Reason
	switch {
	case err == nil:
		return spec.None
	case errors.As(err, &r):
		return r
	}
	return "?"
}

func wantReason(t fataler, what string, err error, want spec.Reason) {
	t.Helper()
	if got := reasonOf(err); got != want {
		t.Fatalf("%s: error %v with reason %q, want %q", what, err, got, want)
	}
}

// stored finds an object in the index.
func stored(s *Store, a spec.Address) *object {
	sh := s.shard(a)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	return sh.objects[a]
}

// flip changes one bit of a stored object behind the back of the store.
func flip(s *Store, o *object, off int) {
	i := off / spanSize
	s.arena.slot(o.chunks[i].at, o.chunkLen(i))[off%spanSize] ^= 4
}

// extent is a piece of the region that may differ from zero.
type extent struct{ from, to int }

// audit checks that the index, the open handles and writers, and the allocator agree on which slots are taken, and that
// every other byte of the region is zero. Nothing else may run meanwhile.
func audit(t fataler, s *Store, handles []*Handle, writers []*Writer) {
	t.Helper()
	var live []extent
	add := func(at loc, n int) { live = append(live, extent{int(at) * slotAlign, int(at)*slotAlign + n}) }
	seen := map[*object]bool{}
	object := func(o *object) {
		if o == nil || seen[o] {
			return
		}
		seen[o] = true
		for i, c := range o.chunks {
			add(c.at, o.chunkLen(i))
		}
	}
	var objects, size, bad int64
	for i := range s.index {
		for _, o := range s.index[i].objects {
			object(o)
			objects++
			size += int64(o.size)
			if o.bad.Load() {
				bad++
			}
		}
	}
	for _, h := range handles {
		object(h.o)
	}
	for _, w := range writers {
		for _, c := range w.chunks {
			add(c.at, spanSize)
		}
		if w.cur != nil {
			add(w.at, w.dirty)
		}
	}
	if st := s.Stats(); st.Objects != objects || st.Bytes != size || st.Quarantined != bad {
		t.Fatalf("stats say %d objects, %d bytes, %d in quarantine; the index holds %d, %d, %d",
			st.Objects, st.Bytes, st.Quarantined, objects, size, bad)
	}
	if s.arena.taken != len(live) {
		t.Fatalf("%d slots are taken, %d are in use: leaked or freed too early", s.arena.taken, len(live))
	}
	slices.SortFunc(live, func(a, b extent) int { return a.from - b.from })
	at := 0
	for _, e := range append(live, extent{len(s.arena.mem), 0}) {
		if e.from < at {
			t.Fatalf("slots overlap at %d", e.from)
		}
		if i := nonZero(s.arena.mem[at:e.from]); i >= 0 {
			t.Fatalf("free byte %d of the region is %#x", at+i, s.arena.mem[at+i])
		}
		at = e.to
	}
	auditArena(t, s.arena)
}

// nonZero is the index of the first byte that is not zero, or -1.
func nonZero(p []byte) int {
	if len(p) == 0 || p[0] == 0 && bytes.Equal(p[1:], p[:len(p)-1]) {
		return -1
	}
	return slices.IndexFunc(p, func(b byte) bool { return b != 0 })
}

// fataler is what testing.TB and *rapid.T have in common here.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}
