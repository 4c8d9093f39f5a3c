package store

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"

	"lukechampine.com/blake3"

	"github.com/rustyonions/micronode/spec"
)

// heapStore is a store over Go memory, so that the race detector sees accesses to payload as well.
func heapStore(spans int) *Store {
	return newStore(region{mem: make([]byte, spans*spanSize)})
}

// TestRace runs every operation on a few addresses from many goroutines, in an arena that is too small for them. Each
// read is compared with the payload, and created puts and successful deletes of an address must alternate: their
// numbers differ by one exactly if it is stored in the end.
func TestRace(t *testing.T) {
	var loads []payload
	for i, n := range []int{0, 300, 9000, 9001, 70_000, 2 * spanSize} {
		p := bytesOf(uint64(i), n)
		s := heapStore(8)
		a, _ := put(t, s, p)
		loads = append(loads, payload{p, a})
	}
	s := heapStore(7)
	created, deleted := make([]atomic.Int64, len(loads)), make([]atomic.Int64, len(loads))
	var full atomic.Int64
	var wg sync.WaitGroup
	for g := range 16 {
		rng := rand.New(rand.NewPCG(uint64(g), 99))
		wg.Go(func() {
			for range 400 {
				i := rng.IntN(len(loads))
				p := loads[i]
				switch rng.IntN(8) {
				case 0, 1, 2:
					isNew, err := putRace(s, p, rng)
					if isNew {
						created[i].Add(1)
					}
					if reasonOf(err) == spec.StoreFull {
						full.Add(1)
					} else if err != nil {
						t.Errorf("put: %v", err)
					}
				case 3, 4, 5:
					h, err := s.Get(p.addr)
					if err != nil {
						if r := reasonOf(err); r != spec.NotFound {
							t.Errorf("get: %v", err)
						}
						continue
					}
					for off := int64(0); off < h.Size(); {
						b, err := h.Chunk(off, 1+rng.IntN(spanSize))
						if err != nil || !bytes.Equal(b, p.bytes[off:off+int64(len(b))]) {
							t.Errorf("chunk at %d of %d: %v", off, h.Size(), err)
							break
						}
						off += int64(len(b))
					}
					h.Release()
				case 6:
					if s.Delete(p.addr) == nil {
						deleted[i].Add(1)
					}
				case 7:
					if rng.IntN(10) == 0 {
						if _, err := s.Scrub(t.Context(), nil); err != nil {
							t.Errorf("scrub: %v", err)
						}
					}
					if n, err := s.Stat(p.addr); err == nil && n != int64(len(p.bytes)) {
						t.Errorf("stat: %d, want %d", n, len(p.bytes))
					}
				}
			}
		})
	}
	wg.Wait()
	audit(t, s, nil, nil)
	for i, p := range loads {
		there := int64(0)
		if _, err := s.Stat(p.addr); err == nil {
			there = 1
		}
		if c, d := created[i].Load(), deleted[i].Load(); c-d != there || c == 0 || d == 0 {
			t.Errorf("%d bytes: %d times new, %d times deleted, %d times there", len(p.bytes), c, d, there)
		}
	}
	if st := s.Stats(); st.IntegrityFailures != 0 {
		t.Errorf("%d objects went bad by themselves", st.IntegrityFailures)
	}
	if full.Load() == 0 {
		t.Error("the arena was never full")
	}
}

// putRace puts p in a random way; one in eight is given up half way.
func putRace(s *Store, p payload, rng *rand.Rand) (created bool, err error) {
	total := int64(len(p.bytes))
	if rng.IntN(2) == 0 {
		total = -1
	}
	w, err := s.NewWriter(&p.addr, total)
	if err != nil {
		return false, err
	}
	defer w.Abort()
	rest := p.bytes
	if rng.IntN(8) == 0 {
		_, err := w.Write(rest[:len(rest)/2])
		return false, err
	}
	for len(rest) > 0 {
		var n int
		if rng.IntN(2) == 0 {
			b := w.Next()
			n = copy(b, rest)
			err = errors.Join(w.Err(), w.Advance(n))
		} else {
			n, err = w.Write(rest[:1+rng.IntN(len(rest))])
		}
		if err != nil {
			return false, err
		}
		rest = rest[n:]
	}
	_, created, err = w.Commit()
	return created, err
}

// TestOneOfManyIsNew commits the same bytes from many writers at once. All are ready before the first may commit.
func TestOneOfManyIsNew(t *testing.T) {
	s := heapStore(64)
	p := bytesOf(1, 100_000)
	for range 20 {
		var created atomic.Int64
		var ready, done sync.WaitGroup
		ready.Add(16)
		for range 16 {
			done.Go(func() {
				w, err := s.NewWriter(nil, int64(len(p)))
				if err == nil {
					_, err = w.Write(p)
				}
				ready.Done()
				ready.Wait()
				if err != nil {
					t.Errorf("write: %v", err)
					return
				}
				_, isNew, err := w.Commit()
				if err != nil {
					t.Errorf("commit: %v", err)
				}
				if isNew {
					created.Add(1)
				}
			})
		}
		done.Wait()
		if created.Load() != 1 {
			t.Fatalf("%d of 16 puts are new", created.Load())
		}
		audit(t, s, nil, nil)
		if err := s.Delete(blake3.Sum256(p)); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReadersDoNotWait leaves a put of an address half done and uses its whole shard meanwhile: nothing may block on it.
func TestReadersDoNotWait(t *testing.T) {
	s := heapStore(16)
	p := bytesOf(2, 70_000)
	a, _ := put(t, s, p)
	w, err := s.NewWriter(&a, int64(len(p)))
	if err != nil {
		t.Fatal(err)
	}
	w.Write(p[:len(p)-1])
	w.Next()
	if !bytes.Equal(read(t, s, a), p) {
		t.Error("get beside an open put")
	}
	if err := s.Delete(a); err != nil {
		t.Errorf("delete beside an open put: %v", err)
	}
	if _, created := put(t, s, p); !created {
		t.Error("put beside an open put")
	}
	w.Write(p[len(p)-1:])
	if _, created, err := w.Commit(); created || err != nil {
		t.Errorf("the slower put: %v, %v", created, err)
	}
	audit(t, s, nil, nil)
}

// TestCompactionUnderLoad reads, deletes and puts small objects while large puts force tails to move.
func TestCompactionUnderLoad(t *testing.T) {
	s := heapStore(48)
	var small []payload
	var sum int
	for i := 0; sum < 40*spanSize; i++ {
		p := bytesOf(uint64(i), 1000+i%3000)
		a, _ := put(t, s, p)
		small = append(small, payload{p, a})
		sum += len(p)
	}
	for i, p := range small {
		if i%6 != 0 {
			if err := s.Delete(p.addr); err != nil {
				t.Fatal(err)
			}
		}
	}
	before := map[spec.Address]loc{}
	for i := 0; i < len(small); i += 6 {
		before[small[i].addr] = stored(s, small[i].addr).chunks[0].at
	}
	big := bytesOf(1, 10*spanSize)
	var wg sync.WaitGroup
	for g := range 4 {
		rng := rand.New(rand.NewPCG(uint64(g), 5))
		wg.Go(func() {
			for range 300 {
				p := small[rng.IntN(len(small)/6)*6]
				h, err := s.Get(p.addr)
				if err != nil {
					t.Errorf("get: %v", err)
					return
				}
				if b, err := h.Chunk(0, spanSize); err != nil || !bytes.Equal(b, p.bytes) {
					t.Errorf("an object of %d bytes: %d, %v", len(p.bytes), len(b), err)
				}
				h.Release()
				// One that nobody else reads comes and goes.
				i := 6*(g*50+rng.IntN(50)) + 1
				w, err := s.NewWriter(nil, int64(len(small[i].bytes)))
				if err == nil {
					w.Write(small[i].bytes)
					w.Commit()
					s.Delete(small[i].addr)
				}
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			w, err := s.NewWriter(nil, int64(len(big)))
			if err == nil {
				_, err = w.Write(big)
			}
			var a spec.Address
			if err == nil {
				a, _, err = w.Commit()
			}
			if err == nil {
				err = s.Delete(a)
			}
			if err != nil && reasonOf(err) != spec.StoreFull {
				t.Errorf("large put: %v", err)
			}
		}
	})
	wg.Wait()
	moved := 0
	for a, at := range before {
		if stored(s, a).chunks[0].at != at {
			moved++
		}
	}
	if moved == 0 {
		t.Error("nothing moved: the test shows nothing")
	}
	audit(t, s, nil, nil)
}

// TestCloseUnderLoad closes a store while it is in use. Calls succeed or fail with draining, and when the last one has
// returned the region is unmapped.
func TestCloseUnderLoad(t *testing.T) {
	for seed := range uint64(10) {
		s, err := Open(Config{Capacity: 64 * spanSize})
		if err != nil {
			t.Fatal(err)
		}
		p := payload{bytes: bytesOf(seed, 100_000)}
		p.addr, _ = put(t, s, p.bytes)
		var wg sync.WaitGroup
		started := make(chan struct{}, 8)
		for g := range 8 {
			rng := rand.New(rand.NewPCG(seed, uint64(g)))
			wg.Go(func() {
				for n := 0; ; n++ {
					if n == 5 {
						started <- struct{}{}
					}
					if _, err := putRace(s, p, rng); reasonOf(err) == spec.Draining {
						return
					} else if err != nil && reasonOf(err) != spec.StoreFull {
						t.Errorf("put: %v", err)
					}
					if h, err := s.Get(p.addr); err == nil {
						if b, err := h.Chunk(0, spanSize); err != nil || !bytes.Equal(b, p.bytes[:spanSize]) {
							t.Errorf("chunk: %v", err)
						}
						h.Release()
					}
				}
			})
		}
		for range 8 {
			<-started
		}
		if err := s.Close(); err != nil {
			wantReason(t, "close", err, spec.Draining)
		}
		wg.Wait()
		if err := s.Close(); err != nil || s.arena.mem != nil {
			t.Errorf("close when nothing runs: %v", err)
		}
	}
}
