package store

import (
	"cmp"
	"slices"

	"github.com/rustyonions/micronode/spec"
)

// compact moves tails out of sparsely used runs into fuller ones of the same class, and out of slots that are too large
// for them, so that whole spans become free. It says whether it is worth trying again to allocate. It runs inside the put
// that found no room.
//
// A pass looks at every object, so there is at most one for every 64th part of the objects that was deleted: the cost of
// a pass is shared by the deletes that made it necessary, and a store that is simply full never runs one.
func (s *Store) compact() bool {
	c := &s.compaction
	c.Lock()
	defer c.Unlock()
	if s.arena.freeCount()-c.frees <= int(s.objects.Load()/64) {
		return false
	}
	defer func() { c.frees = s.arena.freeCount() }()
	defer s.arena.pardon(s.arena.condemn())
	var list []tail
	for i := range s.index {
		list = s.index[i].tails(list[:0])
		for _, t := range s.arena.evicted(list) {
			s.move(&s.index[i], t)
		}
	}
	return true
}

// tail is the last chunk of an object that does not fill a span.
type tail struct {
	addr spec.Address
	at   loc
	n    int // bytes
}

// tails appends the tails of all objects in sh.
func (sh *shard) tails(list []tail) []tail {
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	for a, o := range sh.objects {
		if last := len(o.chunks) - 1; last >= 0 && o.chunkLen(last) < spanSize {
			list = append(list, tail{a, o.chunks[last].at, o.chunkLen(last)})
		}
	}
	return list
}

// move copies a tail to a better place, unless its object changed or has readers. The copy keeps the checksum, so bytes
// that went bad stay detectable.
func (s *Store) move(sh *shard, t tail) {
	sh.mu.RLock()
	o := sh.objects[t.addr]
	if o != nil {
		o.refs.Add(1)
	}
	sh.mu.RUnlock()
	if o == nil {
		return
	}
	defer s.release(o)
	last := len(o.chunks) - 1
	if last < 0 || o.chunks[last].at != t.at {
		return // deleted and put again
	}
	s.at("compact.move")
	to, ok := s.arena.better(t.n)
	if !ok {
		return
	}
	s.at("compact.copy")
	copy(s.arena.slot(to, t.n), s.arena.slot(t.at, t.n))
	s.at("compact.switch")
	sh.mu.Lock()
	// Two references are those of the index and ours. No reader can join while we hold the lock, so nobody looks at the
	// old place.
	ok = sh.objects[t.addr] == o && o.refs.Load() == 2
	if ok {
		o.chunks[last].at = to
	}
	sh.mu.Unlock()
	s.at("compact.free")
	if ok {
		s.arena.free(t.at, t.n)
	} else {
		s.arena.free(to, t.n)
	}
}

func (a *arena) freeCount() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.frees
}

// condemn picks the runs that can be done without, because the fuller runs of their class have room for all they hold,
// and keeps them from being allocated from. It returns their heads, for pardon.
func (a *arena) condemn() []int32 {
	a.mu.Lock()
	defer a.mu.Unlock()
	var condemned, runs []int32
	for c := range classes {
		runs = runs[:0]
		used := 0
		for i := a.partial[c]; i >= 0; i = a.spans[i].next {
			runs = append(runs, i)
			used += int(a.spans[i].used)
		}
		keep := (used + classes[c].slots - 1) / classes[c].slots
		slices.SortFunc(runs, func(i, j int32) int { return cmp.Compare(a.spans[j].used, a.spans[i].used) })
		for _, i := range runs[keep:] {
			a.unlink(i)
			a.spans[i].condemned = true
			condemned = append(condemned, i)
		}
	}
	return condemned
}

// pardon returns those of the runs to use that are not empty yet.
func (a *arena) pardon(runs []int32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, i := range runs {
		if a.spans[i].condemned {
			a.spans[i].condemned = false
			a.link(i)
		}
	}
}

// evicted filters list in place: what stays is in condemned runs or in slots that are too large.
func (a *arena) evicted(list []tail) []tail {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(list, func(t tail) bool {
		run := &a.spans[a.head(t.at)]
		return !run.condemned && !loose(int(run.class), t.n)
	})
}

// better takes a slot for n bytes in a run that exists: compaction may not use up the spans that it is to win.
func (a *arena) better(n int) (loc, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for c := classFor(n); c < len(classes) && !loose(c, n) && !a.closed; c++ {
		if head := a.partial[c]; head >= 0 {
			return a.take(head), true
		}
	}
	return 0, false
}
