package store

import (
	"hash/crc32"
	"sync"
	"sync/atomic"

	"github.com/rustyonions/micronode/spec"
)

// castagnoli is the polynomial of the chunk checksums; the processors we run on compute it in hardware.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// chunk is one stored piece of an object.
type chunk struct {
	at  loc
	crc uint32
}

// object is the unit of the index. All fields but the atomic ones are written before it is published and never again.
type object struct {
	refs atomic.Int32 // one of the index, one per handle; the last one out overwrites the memory
	size int32        // bytes; spec.MaxObject fits
	bad  atomic.Bool  // quarantined; set once
	gone atomic.Bool  // no longer in the index; set once
	// chunks are spanSize bytes each, but for the last. Up to one chunk they are one[:].
	chunks []chunk
	one    [1]chunk
}

// chunkLen is the length of chunk i in bytes.
func (o *object) chunkLen(i int) int {
	return min(spanSize, int(o.size)-i*spanSize)
}

// shard is a part of the index. It is as large as a cache line, so that two shards do not slow each other down.
type shard struct {
	mu      sync.RWMutex
	objects map[spec.Address]*object // nil once the store is closed
	_       [32]byte
}

func (s *Store) shard(a spec.Address) *shard { return &s.index[a[0]] }

// lookup finds a stored object that may be read. The caller holds the lock of the shard.
func (s *Store) lookup(sh *shard, a spec.Address) (*object, error) {
	o := sh.objects[a]
	switch {
	case s.closed.Load():
		return nil, errDraining
	case o == nil:
		return nil, errNotFound
	case o.bad.Load():
		return nil, errIntegrity
	}
	return o, nil
}

// publish puts o into the index, unless a good object is there already (CAS-PUT-002). A quarantined one is replaced
// (CAS-INT-005). If created is false, o is still the caller's.
func (s *Store) publish(a spec.Address, o *object) (created bool, err error) {
	sh := s.shard(a)
	sh.mu.Lock()
	if s.closed.Load() {
		sh.mu.Unlock()
		return false, errDraining
	}
	old := sh.objects[a]
	if old != nil && !old.bad.Load() {
		sh.mu.Unlock()
		return false, nil
	}
	sh.objects[a] = o
	s.objects.Add(1)
	s.bytes.Add(int64(o.size))
	s.removed(old)
	sh.mu.Unlock()
	if old != nil {
		s.at("commit.replace")
		s.release(old)
	}
	return true, nil
}

// removed keeps the counters right when o leaves the index. The caller holds the lock of the shard.
func (s *Store) removed(o *object) {
	if o == nil {
		return
	}
	o.gone.Store(true)
	s.objects.Add(-1)
	s.bytes.Add(-int64(o.size))
	if o.bad.Load() {
		s.quarantined.Add(-1)
	}
}

// quarantine takes o out of service after a failed check; a is its address.
func (s *Store) quarantine(a spec.Address, o *object) {
	s.at("quarantine")
	sh := s.shard(a)
	sh.mu.Lock()
	defer sh.mu.Unlock()
	if o.bad.Swap(true) {
		return // somebody else saw it too: one fault is one event (CAS-INT-006)
	}
	s.failures.Add(1)
	if !o.gone.Load() {
		s.quarantined.Add(1)
	}
}

// release drops one reference to o.
func (s *Store) release(o *object) {
	if o.refs.Add(-1) > 0 {
		return
	}
	for i, c := range o.chunks {
		s.at("release.free")
		s.arena.free(c.at, o.chunkLen(i))
	}
}
