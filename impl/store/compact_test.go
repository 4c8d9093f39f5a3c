package store

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/rustyonions/micronode/spec"
)

// TestSparseSpansComeBack fills a store with small objects and deletes nine of ten, so that hardly a span is empty. The
// room that this made has to be good for large objects, and the small ones that stayed have to be as they were.
func TestSparseSpansComeBack(t *testing.T) {
	const spans = 64
	s := open(t, spans)
	rng := rand.New(rand.NewPCG(5, 6))
	kept := map[spec.Address][]byte{}
	var all []spec.Address
	for seed := uint64(0); ; seed++ {
		p := bytesOf(seed, 500+rng.IntN(8000))
		w, err := s.NewWriter(nil, int64(len(p)))
		if err != nil {
			wantReason(t, "new writer", err, spec.StoreFull)
			break
		}
		w.Write(p)
		a, _, err := w.Commit()
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, a)
		if rng.IntN(10) == 0 {
			kept[a] = p
		}
	}
	var held []*Handle // by readers: their objects must not move
	var places []loc
	for _, a := range all {
		if kept[a] == nil {
			if err := s.Delete(a); err != nil {
				t.Fatal(err)
			}
		} else if h, err := s.Get(a); err != nil {
			t.Fatal(err)
		} else if places = append(places, h.o.chunks[0].at); len(places)%4 == 0 {
			held = append(held, h)
		} else {
			h.Release()
		}
	}
	before := s.Stats()
	if free := before.Capacity - before.ArenaUsed; free > spans*spanSize/4 {
		t.Fatalf("%d bytes of spans are free already: nothing to show", free)
	}
	big, _ := put(t, s, bytesOf(1, spans*spanSize/2))
	after := s.Stats()
	t.Logf("%d bytes in %d bytes of spans before, %d in %d after", before.Bytes, before.ArenaUsed, after.Bytes, after.ArenaUsed)
	for i, h := range held {
		if h.o.chunks[0].at != places[4*i+3] {
			t.Fatal("an object moved under its reader")
		}
	}
	audit(t, s, held, nil)
	for _, h := range held {
		h.Release()
	}
	for a, p := range kept {
		if string(read(t, s, a)) != string(p) {
			t.Fatalf("an object of %d bytes is not what it was", len(p))
		}
	}
	if string(read(t, s, big)) != string(bytesOf(1, spans*spanSize/2)) {
		t.Error("the large object is not what was put")
	}
}

// TestStaleMove asks for a move of a tail whose object was deleted and put again in another place meanwhile, while its old
// slot belongs to an open writer.
func TestStaleMove(t *testing.T) {
	s := open(t, 16)
	p := bytesOf(1, 1000)
	put(t, s, bytesOf(2, 1000)) // so that the run has a free slot to move to
	a, _ := put(t, s, p)
	stale := tail{a, stored(s, a).chunks[0].at, len(p)}
	if err := s.Delete(a); err != nil {
		t.Fatal(err)
	}
	w, err := s.NewWriter(nil, 1000)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	w.Write(bytesOf(3, 999))
	if w.at != stale.at {
		t.Fatal("the writer did not take the slot: the test shows nothing")
	}
	s.move(s.shard(a), stale) // the address is gone
	put(t, s, p)
	s.move(s.shard(a), stale) // it is there, elsewhere
	if string(read(t, s, a)) != string(p) {
		t.Error("the object is not what it was")
	}
	audit(t, s, nil, []*Writer{w})
	if h, err := s.Get(a); err != nil {
		t.Error(err)
	} else { // and now a move that is due, but for the reader
		at := h.o.chunks[0].at
		s.move(s.shard(a), tail{a, at, len(p)})
		if h.o.chunks[0].at != at {
			t.Error("moved under a reader")
		}
		h.Release()
		s.move(s.shard(a), tail{a, at, len(p)})
		if stored(s, a).chunks[0].at == at {
			t.Error("not moved when nobody reads")
		}
	}
	audit(t, s, nil, []*Writer{w})
}

// TestMixDoesNotWedge lives with a mix of all sizes for a long time, full to the brim again and again, and every now and
// then the mix changes. Whenever a put is refused, the payload must be most of the arena: what is missing is the rounding
// of slots and up to one partly used run for each class, which weighs more in this small arena than in a real one.
func TestMixDoesNotWedge(t *testing.T) {
	const spans = 512
	s := open(t, spans)
	rng := rand.New(rand.NewPCG(3, 4))
	mixes := []func() int{
		func() int { return 1 + rng.IntN(spanSize) },
		func() int { return 200 + rng.IntN(4000) },
		func() int { return 1 + rng.IntN(16*spanSize) },
		func() int { return 1 << rng.IntN(17) },
		func() int { return 3*spanSize/5 + rng.IntN(100) },
	}
	var live []spec.Address
	worst, refusals := 1.0, 0
	noise := bytesOf(9, 16*spanSize+100_000)
	for round := range 20 {
		for seed := 0; ; seed++ {
			n := mixes[round/2%len(mixes)]()
			from := rng.IntN(100_000)
			w, err := s.NewWriter(nil, int64(n))
			if err == nil {
				_, err = w.Write(noise[from : from+n])
			}
			var a spec.Address
			var created bool
			if err == nil {
				a, created, err = w.Commit()
			}
			if errors.Is(err, spec.StoreFull) {
				st := s.Stats()
				worst = min(worst, float64(st.Bytes+int64(n))/float64(st.Capacity))
				refusals++
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if created {
				live = append(live, a)
			}
		}
		rng.Shuffle(len(live), func(i, j int) { live[i], live[j] = live[j], live[i] })
		for _, a := range live[len(live)/2:] {
			if err := s.Delete(a); err != nil {
				t.Fatal(err)
			}
		}
		live = live[:len(live)/2]
	}
	t.Logf("%d refusals; the payload that was refused would have filled the arena to %.0f%% at least", refusals, 100*worst)
	if worst < 0.7 {
		t.Errorf("a put was refused that would have filled the arena to %.0f%%", 100*worst)
	}
	audit(t, s, nil, nil)
	for _, a := range live {
		if err := s.Delete(a); err != nil {
			t.Fatal(err)
		}
	}
	audit(t, s, nil, nil)
	if st := s.Stats(); st.ArenaUsed != 0 {
		t.Errorf("%d bytes are in use when everything is deleted", st.ArenaUsed)
	}
}
