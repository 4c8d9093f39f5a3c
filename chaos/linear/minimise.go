package linear

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// Core is the part of an illegal history that makes it illegal.
//
// Its history is illegal, is about one object, and is 1-minimal: forget the answer of any operation that still has one,
// or the emptiness of the beginning where it claims that, and it is legal. Operations that are Forgotten are in it only
// where it would not be minimal without them.
type Core struct {
	History History
	// From has for each operation of the core its index in the history that Minimise was given.
	From []int
	// Around is what that history says about the object up to the moment at which it is illegal. It is what to do again
	// when the reason is to be found.
	Around History
}

// Forget returns h without any claim about operation i: without a trace of it if with its answer it can not have changed
// anything, else as something that may have happened. The result permits whatever h permits. Forgetting the only
// operation of a history leaves one that Validate refuses, and that any store satisfies.
func (h History) Forget(i int) History {
	h.Ops = slices.Clone(h.Ops)
	if harmless(h, h.Ops[i]) {
		h.Ops = slices.Delete(h.Ops, i, i+1)
	} else {
		h.Ops[i].weaken()
	}
	return h
}

// weaken takes the claim out of an operation that may have changed something.
func (o *Op) weaken() {
	if o.Answer != Lost {
		o.Answer = Forgotten
	}
}

// Minimise shrinks an illegal history to a core of one object. limit is that of Check for each of the many checks; what
// they can not decide counts as legal, so a core is always illegal.
//
// Reasons: those of Check, and malformed if h is legal; timeout if h itself could not be decided.
func Minimise(h History, limit time.Duration) (Core, error) {
	report, err := Check(h, limit)
	switch {
	case err != nil:
		return Core{}, err
	case report.Verdict == Legal:
		return Core{}, fmt.Errorf("linear: a legal history has no core: %w", spec.Malformed)
	case report.Verdict == Undecided:
		return Core{}, fmt.Errorf("linear: whether the history is illegal could not be decided: %w", spec.Timeout)
	}
	var best *shrinker
	for object, v := range report.ByObject {
		if v != Illegal {
			continue
		}
		for attempt := range attempts {
			s := newShrinker(h, object, limit)
			s.prefix()
			s.claims(attempt)
			s.context()
			if best == nil || len(s.ops) < len(best.ops) {
				best = s
			}
			if len(best.ops) <= 2 {
				return best.core(), nil
			}
		}
	}
	return best.core(), nil
}

// attempts is in how many orders the claims about one object are given up: which core is found depends on it, and a
// smaller one is easier to understand.
const attempts = 8

// shrinker is the state of one attempt. Its history stays illegal all the time.
type shrinker struct {
	h      History // all but Ops
	ops    []tracked
	began  Initial // of the history that was given
	around []Op
	limit  time.Duration
}

// tracked is an operation that knows where it comes from.
type tracked struct {
	Op
	from int
}

func newShrinker(h History, object int, limit time.Duration) *shrinker {
	s := &shrinker{h: h, began: h.Initial, limit: limit}
	for i, o := range h.Ops {
		if o.Kind == Restart || o.Object == object {
			o.Object = 0
			s.ops = append(s.ops, tracked{o, i})
		}
	}
	s.h.Objects = h.Objects[object : object+1]
	slices.SortStableFunc(s.ops, func(a, b tracked) int { return cmp.Compare(a.Call, b.Call) })
	return s
}

// illegal says whether the history with these operations is.
func (s *shrinker) illegal(initial Initial, ops []tracked) bool {
	h := s.h
	h.Initial, h.Ops = initial, nil
	for _, o := range ops {
		h.Ops = append(h.Ops, o.Op)
	}
	if len(h.Ops) == 0 {
		return false
	}
	r, err := Check(h, s.limit)
	if err != nil {
		panic(err) // every step below keeps a history well-formed
	}
	return r.Verdict == Illegal
}

// keep takes over ops and initial if they are illegal together.
func (s *shrinker) keep(initial Initial, ops []tracked) bool {
	if !s.illegal(initial, ops) {
		return false
	}
	s.h.Initial, s.ops = initial, ops
	return true
}

// prefix cuts the history off at the earliest return at which it is illegal already: what an order of effects could not
// explain by then it can not explain later. What was in progress at that moment had no answer yet.
func (s *shrinker) prefix() {
	var returns []int64
	for _, o := range s.ops {
		if o.Answer != Lost {
			returns = append(returns, o.Return)
		}
	}
	slices.Sort(returns)
	until := func(at int64) []tracked {
		var ops []tracked
		for _, o := range s.ops {
			if o.Call > at {
				continue
			}
			if o.Return > at {
				o.weaken()
			}
			ops = append(ops, o)
		}
		return ops
	}
	first, _ := slices.BinarySearchFunc(returns, true, func(at int64, _ bool) int {
		if s.illegal(s.h.Initial, until(at)) {
			return 0
		}
		return -1
	})
	for _, o := range s.ops {
		if first == len(returns) || o.Call <= returns[first] {
			s.around = append(s.around, o.Op)
		}
	}
	if first < len(returns) {
		s.keep(s.h.Initial, until(returns[first]))
	}
}

// claims forgets what it can: the beginning, then operations, from the first on, from the last, or in an order of chance.
// One pass is enough, because what could not be forgotten stays so when more is forgotten. It tries many at once first.
func (s *shrinker) claims(attempt int) {
	s.keep(Unknown, s.ops)
	rng := rand.New(rand.NewPCG(uint64(attempt), 0))
	for size := max(1, len(s.ops)/2); ; size /= 2 {
		open := s.claimed()
		switch attempt {
		case 0:
		case 1:
			slices.Reverse(open)
		default:
			rng.Shuffle(len(open), func(i, j int) { open[i], open[j] = open[j], open[i] })
		}
		for some := range slices.Chunk(open, size) {
			s.keep(s.h.Initial, s.without(some))
		}
		if size == 1 {
			return
		}
	}
}

// claimed lists the operations, by where they come from, that still claim something.
func (s *shrinker) claimed() (from []int) {
	for _, o := range s.ops {
		if !o.Answer.open() {
			from = append(from, o.from)
		}
	}
	return from
}

// without forgets some operations; see History.Forget.
func (s *shrinker) without(from []int) []tracked {
	var ops []tracked
	for _, o := range s.ops {
		if slices.Contains(from, o.from) {
			if harmless(s.h, o.Op) {
				continue
			}
			o.weaken()
		}
		ops = append(ops, o)
	}
	return ops
}

// context leaves out what only may have happened, as far as the core stays illegal and 1-minimal. An illegal history stays
// illegal when a possibility goes, but not always when a restart does: it is a border for others, even if forgotten.
func (s *shrinker) context() {
	for i := len(s.ops) - 1; i >= 0; i-- {
		if !s.ops[i].Answer.open() {
			continue
		}
		fewer := *s
		fewer.ops = slices.Delete(slices.Clone(s.ops), i, i+1)
		if fewer.illegal(fewer.h.Initial, fewer.ops) && fewer.minimal() {
			*s = fewer
		}
	}
}

// minimal says whether forgetting any one claim makes the history legal.
func (s *shrinker) minimal() bool {
	if s.h.Initial == Empty && s.illegal(Unknown, s.ops) {
		return false
	}
	for _, from := range s.claimed() {
		if s.illegal(s.h.Initial, s.without([]int{from})) {
			return false
		}
	}
	return true
}

// core makes the result small to look at: times that are ranks, and as few clients as can have done it.
func (s *shrinker) core() Core {
	c := Core{History: s.h, Around: s.h}
	c.Around.Initial, c.Around.Ops = s.began, s.around
	c.History.Ops = nil
	for _, o := range s.ops {
		c.History.Ops = append(c.History.Ops, o.Op)
		c.From = append(c.From, o.from)
	}
	rank(c.History.Ops)
	assign(c.History.Ops)
	return c
}

// rank replaces times by their ranks: earlier stays earlier, and equal stays equal.
func rank(ops []Op) {
	var times []int64
	for _, o := range ops {
		times = append(times, o.Call)
		if o.Answer != Lost {
			times = append(times, o.Return)
		}
	}
	slices.Sort(times)
	times = slices.Compact(times)
	for i := range ops {
		o := &ops[i]
		at, _ := slices.BinarySearch(times, o.Call)
		o.Call = int64(at)
		if o.Answer == Lost {
			o.Return = o.Call
			continue
		}
		at, _ = slices.BinarySearch(times, o.Return)
		o.Return = int64(at)
	}
}

// assign gives every operation, in the order of their calls, the first client that has nothing else to do.
func assign(ops []Op) {
	var free []int64 // by client: when it is free again
	for i := range ops {
		o := &ops[i]
		until := o.Return + 1
		if o.Answer == Lost {
			until = maxTime + 1
		}
		o.Client = slices.IndexFunc(free, func(at int64) bool { return at <= o.Call })
		if o.Client < 0 {
			o.Client = len(free)
			free = append(free, 0)
		}
		free[o.Client] = until
	}
}
