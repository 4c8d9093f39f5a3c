package schedule

import (
	"context"
	"hash/maphash"
	"math/rand/v2"
)

// Draw says how Random draws schedules.
type Draw struct {
	Seed      uint64 // the same seed draws the same schedules
	Schedules int    // to be drawn
	Depth     int    // turns of the order of threads in one schedule, at least 1: a race needs one more than it has preemptions
	Steps     int    // as in Options
}

// Random runs schedules in which the threads have random priorities: the one with the highest that can go on goes on, and
// at Depth-1 random steps whoever would go on falls behind all others (probabilistic concurrency testing). In a program of
// n threads and k steps, each draw has a chance of at least 1/(n*k^(d-1)) to find a fault that an order of d steps shows.
// It is for programs with too many schedules for Explore, and ends like Explore; schedules may come up more than once, and
// the report is complete when all were drawn.
func Random(ctx context.Context, draw Draw, setup Setup) (Report, error) {
	x := newSearch(Options{Bound: Unbounded, Steps: draw.Steps}, setup)
	defer x.close()
	seen := map[uint64]bool{}
	report := func() Report {
		r := x.report()
		r.Distinct = len(seen)
		return r
	}
	seed := maphash.MakeSeed()
	for x.schedules < draw.Schedules {
		x.stack = x.stack[:0]
		broken, err := x.run(x.priorities(draw))
		if err != nil {
			return report(), err
		}
		failed := x.count(broken)
		var h maphash.Hash
		h.SetSeed(seed)
		for _, d := range x.stack {
			h.WriteByte(byte(d.thread))
		}
		seen[h.Sum64()] = true
		if failed {
			err := x.minimise(ctx)
			return report(), err
		}
		if ctx.Err() != nil {
			return report(), nil
		}
	}
	x.complete = true
	return report(), nil
}

// priorities draws the next schedule: the order of threads, and the steps at which it turns. The first schedule tells
// how long they are.
func (x *search) priorities(draw Draw) func(step int, enabled uint64) (int, error) {
	rng := rand.New(rand.NewPCG(draw.Seed, uint64(x.schedules)))
	turns := map[int]int{} // step -> new priority
	for i := range max(draw.Depth, 1) - 1 {
		if x.longest > 0 {
			turns[rng.IntN(x.longest)] = -1 - i
		}
	}
	rank := rng.Perm(64)
	highest := func(enabled uint64) int {
		best := -1
		for i := range x.program.Threads {
			if enabled&(1<<i) != 0 && (best < 0 || rank[i] > rank[best]) {
				best = i
			}
		}
		return best
	}
	return func(step int, enabled uint64) (int, error) {
		if low, ok := turns[step]; ok {
			rank[highest(enabled)] = low
		}
		return x.push(enabled, highest(enabled)), nil
	}
}
