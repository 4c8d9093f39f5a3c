package store

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"testing"

	"github.com/rustyonions/micronode/spec"
)

// heapArena is an arena over Go memory: the race detector sees it, and it needs no unmapping.
func heapArena(spans int) *arena { return newArena(region{mem: make([]byte, spans*spanSize)}) }

// auditArena checks what the fields of an arena promise about each other.
func auditArena(t fataler, a *arena) {
	t.Helper()
	spare, taken := 0, 0
	partial := make([]int, len(classes))
	for i := 0; i < len(a.spans); {
		if a.pool[i/64]&(1<<(i%64)) != 0 {
			if i/64 < a.firstFree {
				t.Fatalf("span %d is in the pool, below the first word said to be free", i)
			}
			spare++
			i++
			continue
		}
		s := &a.spans[i]
		c := classes[s.class]
		free := 0
		for _, w := range s.free {
			free += bits.OnesCount64(w)
		}
		if s.used == 0 || int(s.used)+free != c.slots {
			t.Fatalf("run at %d of class %d: %d used, %d free, %d slots", i, c.size, s.used, free, c.slots)
		}
		if s.condemned {
			t.Fatalf("run at %d is condemned outside of a pass", i)
		}
		if free > 0 {
			partial[s.class]++
		}
		for k := range c.spans {
			if a.pool[(i+k)/64]&(1<<((i+k)%64)) != 0 || int(a.spans[i+k].back) != k {
				t.Fatalf("span %d is not the %d. of the run at %d", i+k, k, i)
			}
		}
		taken += int(s.used)
		i += c.spans
	}
	if spare != a.spare || taken != a.taken {
		t.Fatalf("counted %d spare spans and %d taken slots, the arena says %d and %d", spare, taken, a.spare, a.taken)
	}
	for c, head := range a.partial {
		n, prev := 0, int32(-1)
		for i := head; i >= 0; i = a.spans[i].next {
			if int(a.spans[i].class) != c || a.spans[i].prev != prev {
				t.Fatalf("list of class %d is broken at span %d", c, i)
			}
			n, prev = n+1, i
		}
		if n != partial[c] {
			t.Fatalf("class %d lists %d runs with room, there are %d", c, n, partial[c])
		}
	}
}

func TestClasses(t *testing.T) {
	for i, c := range classes {
		switch {
		case c.size%slotAlign != 0 || c.size > spanSize || c.slots > maxSlots || c.slots*c.size > c.spans*spanSize:
			t.Errorf("class %d can't be: %+v", i, c)
		case i > 0 && c.size <= classes[i-1].size:
			t.Errorf("class %d is not larger than the one before: %+v", i, c)
		case c.spans >= len(arena{}.noRun):
			t.Errorf("class %d has runs that the pool can't look for: %+v", i, c)
		}
	}
	if last := classes[len(classes)-1]; last != (class{spanSize, 1, 1}) {
		t.Errorf("the last class is %+v, not a whole span", last)
	}
	for n := 1; n <= spanSize; n++ {
		c := classFor(n)
		if classes[c].size < n || c > 0 && classes[c-1].size >= n {
			t.Fatalf("%d bytes get class %d of %d bytes", n, c, classes[c].size)
		}
	}
}

// TestFragmentation bounds what the rounding of tails costs for files of 200 bytes to 64 KiB, however they are spread.
func TestFragmentation(t *testing.T) {
	uniform := func(rng *rand.Rand) int { return 200 + rng.IntN(spanSize-200) }
	logarithmic := func(rng *rand.Rand) int {
		return int(math.Exp(math.Log(200) + rng.Float64()*(math.Log(spanSize)-math.Log(200))))
	}
	for name, draw := range map[string]func(*rand.Rand) int{"uniform": uniform, "logarithmic": logarithmic} {
		rng := rand.New(rand.NewPCG(1, 2))
		a := heapArena(4096)
		payload := 0
		for range 5000 {
			n := draw(rng)
			if _, err := a.alloc(n, false); err != nil {
				t.Fatal(err)
			}
			payload += n
		}
		waste := float64(a.inUse())/float64(payload) - 1
		t.Logf("%s: %.1f%%", name, 100*waste)
		if waste > 0.12 {
			t.Errorf("%s: %.1f%% of the payload wasted, want at most 12%%", name, 100*waste)
		}
	}
}

// TestArenaAgainstModel allocates and frees at random until the arena was full and empty several times. Slots never
// overlap, are zero when taken, and a refusal means that no slot would have done.
func TestArenaAgainstModel(t *testing.T) {
	type slot struct {
		at loc
		n  int
	}
	for seed := range uint64(8) {
		rng := rand.New(rand.NewPCG(seed, 7))
		a := heapArena(1 + rng.IntN(150))
		var live []slot
		grow, full := true, 0
		for range 3000 {
			if grow == (rng.IntN(4) != 0) {
				n := 1 + rng.IntN(1<<(1+rng.IntN(16)))
				at, err := a.alloc(n, false)
				if err != nil {
					wantReason(t, "alloc", err, spec.StoreFull)
					if a.spare > 0 {
						t.Fatalf("%d bytes refused with %d spans free", n, a.spare)
					}
					for c := classFor(n); c < len(classes); c++ {
						if a.partial[c] >= 0 {
							t.Fatalf("%d bytes refused with a slot of %d free", n, classes[c].size)
						}
					}
					grow = false
					full++
					continue
				}
				b := a.slot(at, n)
				if i := nonZero(b); i >= 0 {
					t.Fatalf("new slot of %d bytes holds %#x", n, b[i])
				}
				copy(b, bytesOf(uint64(at), n))
				live = append(live, slot{at, n})
			} else if len(live) > 0 {
				i := rng.IntN(len(live))
				s := live[i]
				if b := a.slot(s.at, s.n); string(b) != string(bytesOf(uint64(s.at), s.n)) {
					t.Fatalf("slot at %d of %d bytes was overwritten by another", s.at, s.n)
				}
				a.free(s.at, s.n)
				live[i] = live[len(live)-1]
				live = live[:len(live)-1]
				grow = grow || len(live) == 0
			}
		}
		auditArena(t, a)
		for _, s := range live {
			a.free(s.at, s.n)
		}
		auditArena(t, a)
		if a.spare != len(a.spans) || nonZero(a.mem) >= 0 {
			t.Fatalf("%d of %d spans free when all slots are", a.spare, len(a.spans))
		}
		if full == 0 && len(a.spans) < 20 {
			t.Errorf("seed %d: an arena of %d spans was never full: the test is too kind", seed, len(a.spans))
		}
	}
}

// TestFindRuns looks for n neighbours in a pool with one gap of exactly n, everywhere, words of the bitmap notwithstanding.
func TestFindRuns(t *testing.T) {
	const spans = 200
	for n := 1; n <= 4; n++ {
		for at := range spans - n + 1 {
			a := heapArena(0)
			a.pool = make([]uint64, (spans+63)/64)
			for i := range spans { // single spans everywhere, where they can't join the gap
				if n > 1 && i%3 == 0 && (i < at-1 || i > at+n) || i >= at && i < at+n {
					a.pool[i/64] |= 1 << (i % 64)
				}
			}
			if got := a.find(n); got != at {
				t.Fatalf("gap of %d at %d: found %d", n, at, got)
			}
			if n < 4 {
				if got := a.find(n + 1); got != -1 || !a.noRun[n+1] {
					t.Fatalf("gap of %d at %d: %d neighbours found at %d", n, at, n+1, got)
				}
			}
		}
	}
}

// TestLowestFirst: the touched part of the region grows only when all below it is taken.
func TestLowestFirst(t *testing.T) {
	a := heapArena(200)
	var all []loc
	for i := range 150 {
		at, err := a.alloc(spanSize, true)
		if err != nil || int(at) != i*spanSize/slotAlign {
			t.Fatalf("span %d: at %d, %v", i, at, err)
		}
		all = append(all, at)
	}
	for _, i := range []int{140, 7, 70} {
		a.free(all[i], spanSize)
	}
	for _, i := range []int{7, 70, 140} {
		if at, err := a.alloc(spanSize, true); at != all[i] || err != nil {
			t.Errorf("got the span at %d, %v; the lowest free one is at %d", at, err, all[i])
		}
	}
}
