package store

import (
	"hash/crc32"

	"github.com/rustyonions/micronode/spec"
)

// Handle is an object that was opened by Store.Get. It is for one goroutine at a time, and invalid after Release.
// Deleting the object, or closing the store, changes nothing for open handles (CAS-GET-007).
type Handle struct {
	s    *Store
	o    *object
	addr spec.Address
}

// Size is the length of the object in bytes.
func (h *Handle) Size() int64 { return int64(h.o.size) }

// Chunk returns the bytes of the object from off to the end of their 64 KiB chunk, and at most limit of them. It is
// empty only if off is the size of the object or limit is 0. The bytes are those of the store, not a copy: they may not
// be written to, and not be used after Release.
//
// The whole chunk is verified on every call (CAS-INT-001). Reasons: integrity, and the object is in quarantine from
// then on (CAS-INT-002); bad_range if off is negative or above the size, or limit is negative.
func (h *Handle) Chunk(off int64, limit int) ([]byte, error) {
	if off < 0 || off > h.Size() || limit < 0 {
		return nil, errBadRange
	}
	if off == h.Size() || limit == 0 {
		return nil, nil
	}
	h.s.at("chunk.verify")
	i := int(off / spanSize)
	c := h.o.chunks[i]
	b := h.s.arena.slot(c.at, h.o.chunkLen(i))
	if h.o.bad.Load() || crc32.Checksum(b, castagnoli) != c.crc {
		h.s.quarantine(h.addr, h.o)
		return nil, errIntegrity
	}
	from := int(off % spanSize)
	to := from + min(limit, len(b)-from)
	return b[from:to:to], nil
}

// View is Chunk without the end at 64 KiB: it goes on as long as the following chunks lie behind each other in memory
// and are intact, so that a large object takes few writes. The bytes are at most limit, and at least those of Chunk.
func (h *Handle) View(off int64, limit int) ([]byte, error) {
	b, err := h.Chunk(off, limit)
	if err != nil || len(b) == 0 {
		return b, err
	}
	n := len(b)
	for i := int(off / spanSize); n < limit && i+1 < len(h.o.chunks); i++ {
		if h.o.chunks[i+1].at != h.o.chunks[i].at+spanSize/slotAlign {
			break
		}
		more, err := h.Chunk(off+int64(n), limit-n)
		if err != nil {
			break // for the next call to report
		}
		n += len(more)
	}
	start := int(h.o.chunks[off/spanSize].at)*slotAlign + int(off%spanSize)
	return h.s.arena.mem[start : start+n : start+n], nil
}

// Release gives the handle back. It must be called exactly once; a second call panics if the handle was not opened
// anew in between.
func (h *Handle) Release() {
	s, o := h.s, h.o
	if o == nil {
		panic("store: handle released twice")
	}
	*h = Handle{}
	s.handles.Put(h)
	s.release(o)
}
