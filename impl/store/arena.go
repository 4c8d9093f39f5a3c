package store

import (
	"fmt"
	"math/bits"
	"sync"

	"github.com/rustyonions/micronode/spec"
)

const (
	// spanSize is the unit in which the region is handed to size classes, and the size of a whole chunk.
	spanSize = spec.MaxChunk
	// slotAlign divides every slot size and counts the units of loc, so that 32 bits reach through 256 GiB.
	slotAlign = 64
	// maxSlots is how many slots of the smallest class a run has.
	maxSlots = 512
	// maxCapacity is what a loc can address.
	maxCapacity = slotAlign << 32
)

// loc is the place of a slot: its offset in the region in units of slotAlign.
type loc uint32

// region is the memory behind an arena and what the system promised about it.
type region struct {
	mem                []byte
	unmap              func() error
	locked, undumpable bool
	notes              []string
}

func (r *region) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// class is a slot size in bytes and how its runs are cut.
type class struct {
	size, spans, slots int
}

// classes lists the slot sizes, smallest first; the last one is a whole span. Runs of more than one span exist because
// a 64 KiB span can not be cut into slots of, say, 40 KiB without wasting a third. Sizes are chosen so that a tail wastes
// about 8% of its slot on average, and the worst one below 34% (above 128 bytes).
var classes = cut([][2]int{
	{1, 512}, {1, 341}, {1, 256}, {1, 204}, {1, 170}, {1, 146}, {1, 128}, {1, 113}, {1, 102}, {1, 93}, {1, 85}, {1, 73},
	{1, 64}, {1, 56}, {1, 51}, {1, 46}, {1, 40}, {1, 36}, {1, 32}, {1, 29}, {1, 26}, {1, 23}, {1, 20}, {1, 18}, {1, 16},
	{1, 14}, {1, 12}, {1, 11}, {1, 10}, {1, 9}, {1, 8}, {1, 7}, {1, 6}, {1, 5}, {1, 4}, {2, 7}, {1, 3}, {2, 5}, {3, 7},
	{1, 2}, {3, 5}, {2, 3}, {3, 4}, {4, 5}, {1, 1},
})

func cut(shapes [][2]int) []class {
	list := make([]class, len(shapes))
	for i, s := range shapes {
		list[i] = class{size: s[0] * spanSize / s[1] / slotAlign * slotAlign, spans: s[0], slots: s[1]}
	}
	return list
}

// classFor is the index of the smallest class for n bytes, 0 < n <= spanSize.
func classFor(n int) int {
	lo, hi := 0, len(classes)-1
	for lo < hi {
		if mid := (lo + hi) / 2; classes[mid].size < n {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	return lo
}

// span describes 64 KiB of the region. Those of a run are described by its first span, the head.
type span struct {
	free       [maxSlots / 64]uint64 // head: bit i is set while slot i is free
	next, prev int32                 // head: neighbours in the list of runs of this class with a free slot, -1 at the ends
	used       uint16                // head: slots taken
	class      uint8                 // head: index into classes
	back       uint8                 // distance to the head
	condemned  bool                  // head: not listed and not allocated from, because compaction empties it
}

// arena hands out slots of a region. It is safe for concurrent use.
//
// Invariants: every byte of the region outside of taken slots is zero; a run with used == 0 is in the pool.
type arena struct {
	region
	mu    sync.Mutex
	spans []span
	// pool has bit i set while span i belongs to no run; spare counts them. No bit is set below word firstFree.
	pool      []uint64
	spare     int
	firstFree int
	// noRun[n] says that the pool has no n free neighbours, so that a fragmented arena is not searched on every put.
	noRun [5]bool
	// partial[c] heads the list of runs of class c with a free slot, the most recently freed first: those are the fuller
	// ones, and the emptier ones get their chance to become empty.
	partial []int32
	taken   int // slots
	frees   int // calls of free, ever
	closed  bool
	err     error // of unmapping
}

func newArena(r region) *arena {
	n := len(r.mem) / spanSize
	a := &arena{region: r, spans: make([]span, n), pool: make([]uint64, (n+63)/64), spare: n, partial: make([]int32, len(classes))}
	for i := range n {
		a.pool[i/64] |= 1 << (i % 64)
	}
	for c := range a.partial {
		a.partial[c] = -1
	}
	return a
}

// slot is the first n bytes of the slot at l; no append can reach beyond them.
func (a *arena) slot(l loc, n int) []byte {
	off := int(l) * slotAlign
	return a.mem[off : off+n : off+n]
}

// alloc takes a slot of at least n bytes, 0 < n <= spanSize, all zero; if tight is set, one that is not much larger. The
// error is errFull or errDraining.
func (a *arena) alloc(n int, tight bool) (loc, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return 0, errDraining
	}
	for c := classFor(n); c < len(classes) && !(tight && loose(c, n)); c++ {
		head := a.partial[c]
		if head < 0 {
			if head = a.carve(c); head < 0 {
				continue
			}
		}
		return a.take(head), nil
	}
	return 0, errFull
}

// loose says that a slot of class c wastes more on n bytes than a slot has to.
func loose(c, n int) bool {
	return classes[c].size > n+n/2 && c > classFor(n)
}

// fits says whether an object of total bytes could be stored if no other put took anything meanwhile.
func (a *arena) fits(total int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	whole, tail := int(total/spanSize), int(total%spanSize)
	if tail == 0 || whole != a.spare {
		return whole <= a.spare
	}
	for c := classFor(tail); c < len(classes); c++ {
		if a.partial[c] >= 0 {
			return true
		}
	}
	return false
}

// free overwrites the first dirty bytes of the slot at l, which are all that may differ from zero, and takes it back.
func (a *arena) free(l loc, dirty int) {
	clear(a.slot(l, dirty))
	a.mu.Lock()
	defer a.mu.Unlock()
	i := a.head(l)
	s := &a.spans[i]
	c := &classes[s.class]
	bit := (int(l)*slotAlign - int(i)*spanSize) / c.size
	s.free[bit/64] |= 1 << (bit % 64)
	a.taken--
	a.frees++
	if int(s.used) == c.slots {
		a.link(i)
	}
	if s.used--; s.used == 0 {
		if !s.condemned {
			a.unlink(i)
		}
		a.give(int(i), c.spans)
	}
	if a.closed && a.taken == 0 {
		a.drop()
	}
}

// close lets no more slots be taken and unmaps the region, now or when the last slot is free. It returns how many are
// still taken.
func (a *arena) close() (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	if a.taken == 0 {
		a.drop()
	}
	return a.taken, a.err
}

// inUse is how many bytes of the region belong to runs.
func (a *arena) inUse() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return int64(len(a.spans)-a.spare) * spanSize
}

// What follows needs a.mu.

func (a *arena) drop() {
	if a.mem != nil && a.unmap != nil {
		a.err = a.unmap()
	}
	a.mem = nil
}

// head is the first span of the run that l is in.
func (a *arena) head(l loc) int32 {
	i := int(l) * slotAlign / spanSize
	return int32(i - int(a.spans[i].back))
}

// take takes the first free slot of the run at head, which has one.
func (a *arena) take(head int32) loc {
	s := &a.spans[head]
	c := &classes[s.class]
	word := 0
	for s.free[word] == 0 {
		word++
	}
	bit := bits.TrailingZeros64(s.free[word])
	s.free[word] &^= 1 << bit
	if s.used++; int(s.used) == c.slots {
		a.unlink(head)
	}
	a.taken++
	return loc((int(head)*spanSize + (word*64+bit)*c.size) / slotAlign)
}

// carve makes a new run of class c, or returns -1.
func (a *arena) carve(c int) int32 {
	i := a.find(classes[c].spans)
	if i < 0 {
		return -1
	}
	for n := range classes[c].spans {
		a.pool[(i+n)/64] &^= 1 << ((i + n) % 64)
		a.spans[i+n].back = uint8(n)
	}
	a.spare -= classes[c].spans
	s := &a.spans[i]
	s.class, s.used = uint8(c), 0
	for n := range classes[c].slots {
		s.free[n/64] |= 1 << (n % 64)
	}
	a.link(int32(i))
	return int32(i)
}

// find returns the lowest of n free neighbours in the pool, or -1. Lowest first keeps the touched part of the region
// small and large gaps whole.
func (a *arena) find(n int) int {
	if a.noRun[n] {
		return -1
	}
	for a.firstFree < len(a.pool) && a.pool[a.firstFree] == 0 {
		a.firstFree++
	}
	for w := a.firstFree; w < len(a.pool); w++ {
		var above uint64 // the next word, so that a run may cross into it
		if w+1 < len(a.pool) {
			above = a.pool[w+1]
		}
		starts := a.pool[w]
		for k := 1; k < n; k++ {
			starts &= a.pool[w]>>k | above<<(64-k)
		}
		if starts != 0 {
			return w*64 + bits.TrailingZeros64(starts)
		}
	}
	a.noRun[n] = true
	return -1
}

// give puts the n spans of the empty run at i back into the pool.
func (a *arena) give(i, n int) {
	a.spans[i] = span{}
	for k := range n {
		a.spans[i+k].back = 0
		a.pool[(i+k)/64] |= 1 << ((i + k) % 64)
	}
	a.spare += n
	a.firstFree = min(a.firstFree, i/64)
	clear(a.noRun[:])
}

func (a *arena) link(i int32) {
	s := &a.spans[i]
	s.prev, s.next = -1, a.partial[s.class]
	if s.next >= 0 {
		a.spans[s.next].prev = i
	}
	a.partial[s.class] = i
}

func (a *arena) unlink(i int32) {
	s := &a.spans[i]
	if s.prev >= 0 {
		a.spans[s.prev].next = s.next
	} else {
		a.partial[s.class] = s.next
	}
	if s.next >= 0 {
		a.spans[s.next].prev = s.prev
	}
}
