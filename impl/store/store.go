package store

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/rustyonions/micronode/impl/store/blake"
	"github.com/rustyonions/micronode/spec"
)

// The errors of this package. Callers match the reason (errors.As or errors.Is with a spec.Reason), never the text.
var (
	errNotFound  = fmt.Errorf("store: no such object: %w", spec.NotFound)
	errIntegrity = fmt.Errorf("store: object is quarantined: %w", spec.Integrity)
	errFull      = fmt.Errorf("store: no room: %w", spec.StoreFull)
	errDraining  = fmt.Errorf("store: closed: %w", spec.Draining)
	errOversize  = fmt.Errorf("store: object is larger than declared or allowed: %w", spec.Oversize)
	errTruncated = fmt.Errorf("store: object is shorter than declared: %w", spec.Truncated)
	errBadDigest = fmt.Errorf("store: bytes do not hash to the declared address: %w", spec.BadDigest)
	errBadRange  = fmt.Errorf("store: offset is outside of the object: %w", spec.BadRange)
	errFinished  = fmt.Errorf("store: writer was committed or aborted before: %w", spec.Internal)
	errAdvance   = fmt.Errorf("store: advance beyond the slice that next returned: %w", spec.Internal)
)

// Config is what Open needs to know.
type Config struct {
	// Capacity is the size of the payload memory in bytes, 64 KiB to 256 GiB, rounded down to a multiple of 64 KiB
	// (CAS-CAP-002, CAS-CAP-009). 0 means spec.DefaultStoreBytes.
	Capacity int64
	// Yield, if not nil, is called between the steps of an operation, where another operation may get in between, with a
	// name for what comes next. It is there so that a test can decide who goes on at such a point, and with that run every
	// order of a few operations (chaos/schedule); it is nil in production. No lock is held at these points but the one
	// that keeps passes of compaction apart: of the puts in one such test, only one may have to make room.
	Yield func(point string)
}

// Store holds objects in RAM. All methods are safe for concurrent use.
type Store struct {
	index    [256]shard // by the first byte of the address, which is as good as random
	arena    *arena
	capacity int64
	yield    func(point string) // Config.Yield
	closed   atomic.Bool

	objects, bytes, quarantined, failures atomic.Int64

	compaction struct {
		sync.Mutex
		frees int // what the arena's count was when the last pass ended
	}

	handles sync.Pool // of *Handle
	hashers sync.Pool // of *blake.Hasher, reset
}

// Stats are figures for gauges and for people.
type Stats struct {
	// Objects and Bytes count the objects in the index and the sum of their lengths, quarantined ones included
	// (CAS-CAP-008).
	Objects, Bytes int64
	// ArenaUsed is how many of the Capacity bytes of payload memory are set aside for stored objects and for puts in
	// progress. It is above Bytes by the rounding of slots and by partly filled spans.
	ArenaUsed, Capacity int64
	// IntegrityFailures counts objects that failed verification, ever (CAS-INT-006); Quarantined those still in the index.
	IntegrityFailures, Quarantined int64
	// LockedBytes is how much of the payload memory is locked into RAM as it is touched: Capacity or 0 (AMN-DSK-005).
	LockedBytes int64
	// Undumpable says that payload memory is kept out of core dumps (AMN-DSK-004).
	Undumpable bool
	// Notes says in sentences what this system could not guarantee, and why.
	Notes []string
}

// Open reserves the payload memory. What the system refuses beyond that (locking, exclusion from core dumps) is in
// Stats and no error. Errors have the reason internal.
func Open(cfg Config) (*Store, error) {
	if cfg.Capacity == 0 {
		cfg.Capacity = spec.DefaultStoreBytes
	}
	if cfg.Capacity < spanSize || cfg.Capacity > min(maxCapacity, math.MaxInt) {
		return nil, fmt.Errorf("store: capacity of %d bytes is not between 64 KiB and 256 GiB: %w", cfg.Capacity, spec.Internal)
	}
	size := cfg.Capacity / spanSize * spanSize
	r, err := reserve(int(size))
	if err != nil {
		return nil, fmt.Errorf("store: reserve %d bytes: %w: %w", size, err, spec.Internal)
	}
	s := newStore(r)
	s.yield = cfg.Yield
	return s, nil
}

func newStore(r region) *Store {
	s := &Store{arena: newArena(r), capacity: int64(len(r.mem))}
	for i := range s.index {
		s.index[i].objects = map[spec.Address]*object{}
	}
	s.handles.New = func() any { return new(Handle) }
	s.hashers.New = func() any { return new(blake.Hasher) }
	return s
}

// at gives way between two steps of an operation, if there is somebody to give way to (Config.Yield).
func (s *Store) at(point string) {
	if s.yield != nil {
		s.yield(point)
	}
}

// Close forgets all objects, overwrites their bytes and unmaps the payload memory (AMN-ZER-003). Every later call of
// another method but Stats fails with the reason draining.
//
// Bytes that an open Handle or Writer still holds are overwritten, and the memory is unmapped, when the last of them
// is released. Close does not wait for that: it returns an error with the reason draining then, and can be called again
// to ask anew. A Handle goes on working, a Writer fails at its next call.
func (s *Store) Close() error {
	s.closed.Store(true)
	s.at("close.forget")
	for i := range s.index {
		sh := &s.index[i]
		sh.mu.Lock()
		objects := sh.objects
		sh.objects = nil
		for _, o := range objects {
			s.removed(o)
		}
		sh.mu.Unlock()
		for _, o := range objects {
			s.release(o)
		}
	}
	taken, err := s.arena.close()
	if err != nil {
		return fmt.Errorf("store: unmap: %w: %w", err, spec.Internal)
	}
	if taken > 0 {
		return fmt.Errorf("store: %d pieces of payload memory are held by open handles or writers: %w", taken, spec.Draining)
	}
	return nil
}

// Get opens a stored object for reading. The caller must Release the handle. Reasons: not_found (CAS-GET-001),
// integrity (CAS-INT-004), draining.
func (s *Store) Get(a spec.Address) (*Handle, error) {
	sh := s.shard(a)
	sh.mu.RLock()
	o, err := s.lookup(sh, a)
	if err == nil {
		o.refs.Add(1)
	}
	sh.mu.RUnlock()
	if err != nil {
		return nil, err
	}
	s.at("get.open")
	h := s.handles.Get().(*Handle)
	h.s, h.o, h.addr = s, o, a
	return h, nil
}

// Stat returns the size of a stored object in bytes (CAS-GET-004). Reasons: not_found, integrity, draining.
func (s *Store) Stat(a spec.Address) (size int64, err error) {
	sh := s.shard(a)
	sh.mu.RLock()
	defer sh.mu.RUnlock()
	o, err := s.lookup(sh, a)
	if err != nil {
		return 0, err
	}
	return int64(o.size), nil
}

// Delete forgets an object at once, quarantined or not (CAS-DEL-001, CAS-DEL-005), and overwrites its bytes, or leaves
// that to the last open Handle (AMN-ZER-004). Reasons: not_found (CAS-DEL-002), draining.
func (s *Store) Delete(a spec.Address) error {
	sh := s.shard(a)
	sh.mu.Lock()
	o := sh.objects[a]
	if o != nil {
		delete(sh.objects, a)
		s.removed(o)
	}
	sh.mu.Unlock()
	switch {
	case o != nil:
		s.at("delete.release")
		s.release(o)
		return nil
	case s.closed.Load():
		return errDraining
	}
	return errNotFound
}

// Stats takes no lock of the index. Figures taken while operations run need not fit each other.
func (s *Store) Stats() Stats {
	st := Stats{
		Objects:           s.objects.Load(),
		Bytes:             s.bytes.Load(),
		ArenaUsed:         s.arena.inUse(),
		Capacity:          s.capacity,
		IntegrityFailures: s.failures.Load(),
		Quarantined:       s.quarantined.Load(),
		Undumpable:        s.arena.undumpable,
		Notes:             slices.Clone(s.arena.notes),
	}
	if s.arena.locked {
		st.LockedBytes = s.capacity
	}
	return st
}
