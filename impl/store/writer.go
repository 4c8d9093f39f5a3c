package store

import (
	"errors"
	"hash/crc32"
	"slices"

	"github.com/rustyonions/micronode/impl/store/blake"
	"github.com/rustyonions/micronode/spec"
)

// Writer is a put in progress. Bytes come in by Write, which copies them, or by Next and Advance, which let the caller
// read from a socket straight into payload memory; the two may be mixed. They are hashed as they arrive.
//
// The first error of any method is final: everything is overwritten and given back in the same call, and every later
// call returns the same error (CAS-PUT-005). A Writer is for one goroutine at a time; it must be committed or aborted.
type Writer struct {
	s       *Store
	want    spec.Address
	hasWant bool
	total   int64 // declared length, or -1
	limit   int64 // size may not pass it: total, or spec.MaxObject
	size    int64 // bytes that came in

	chunks []chunk // complete ones; the first is in one
	one    [1]chunk
	h      *blake.Hasher

	// The chunk in progress: cur is as much of its slot as the object may use, nil if there is none.
	cur    []byte
	at     loc
	pos    int // cur[:pos] came in
	hashed int // cur[:hashed] is in the digest and in crc; a multiple of blake.GroupSize
	dirty  int // cur[dirty:] is untouched: neither written nor ever returned by Next
	crc    uint32

	err error // final
}

// NewWriter begins a put. want is the address that the bytes must turn out to have, nil if it is not known; total is
// their number, -1 if it is not known. No memory is set aside before bytes arrive.
//
// Reasons: oversize if total is above spec.MaxObject or above the whole capacity (CAS-CAP-001, CAS-CAP-004), store_full
// if total does not fit now (CAS-CAP-003), draining, and internal if total is below -1.
func (s *Store) NewWriter(want *spec.Address, total int64) (*Writer, error) {
	w := &Writer{s: s, total: total, limit: total}
	w.chunks = w.one[:0]
	if want != nil {
		w.want, w.hasWant = *want, true
	}
	if total == -1 {
		w.limit = spec.MaxObject
	}
	switch {
	case s.closed.Load():
		return nil, errDraining
	case total < -1:
		return nil, spec.Internal
	case total > min(spec.MaxObject, s.capacity):
		return nil, errOversize
	case total > 0 && !s.arena.fits(total) && !(s.compact() && s.arena.fits(total)):
		return nil, errFull
	}
	return w, nil
}

// Write takes a copy of p. It returns how many bytes it took, all of p unless it fails. Reasons: oversize (CAS-PUT-008,
// CAS-CAP-001), store_full, draining.
func (w *Writer) Write(p []byte) (int, error) {
	if !w.open(int64(len(p))) {
		return 0, w.err
	}
	for rest := p; len(rest) > 0; {
		if !w.slot() {
			return len(p) - len(rest), w.err
		}
		n := copy(w.cur[w.pos:], rest)
		w.dirty = max(w.dirty, w.pos+n)
		w.take(n)
		rest = rest[n:]
	}
	return len(p), nil
}

// Next returns memory to put the next bytes into: what is free of the current chunk, at most 64 KiB and never more than
// the declared length leaves open. Advance then says how many were put there; the rest may be scribbled on as an
// io.Reader would. The slice is invalid after the next call of any method.
//
// It is empty if no more bytes may come or if the writer failed; Err tells which.
func (w *Writer) Next() []byte {
	if !w.open(0) || w.size == w.limit || !w.slot() {
		return nil
	}
	w.dirty = len(w.cur)
	return w.cur[w.pos:len(w.cur):len(w.cur)]
}

// Advance takes the first n bytes of what Next returned. Reasons: draining, and internal if n is negative or beyond
// that slice.
func (w *Writer) Advance(n int) error {
	switch {
	case !w.open(0):
		return w.err
	case n < 0 || n > w.dirty-w.pos:
		return w.fail(errAdvance)
	case n > 0:
		w.take(n)
	}
	return nil
}

// Err is the error that made the writer fail, or nil. After Commit or Abort it has the reason internal.
func (w *Writer) Err() error { return w.err }

// Commit ends the put. created says whether the object is new; if it is not, the copy that was there stays (CAS-PUT-002,
// CAS-PUT-003). From its return on the object is visible to everybody. Reasons: truncated (CAS-PUT-009), bad_digest
// (CAS-PUT-004), draining, internal after an earlier Commit or Abort.
func (w *Writer) Commit() (addr spec.Address, created bool, err error) {
	if !w.open(0) {
		return spec.Address{}, false, w.err
	}
	if w.total >= 0 && w.size < w.total {
		return spec.Address{}, false, w.fail(errTruncated)
	}
	addr = w.sum()
	if w.hasWant && addr != w.want {
		return spec.Address{}, false, w.fail(errBadDigest)
	}
	o := w.object()
	w.finish(errFinished)
	w.s.at("commit.publish")
	created, err = w.s.publish(addr, o)
	if !created {
		w.s.at("commit.discard")
		w.s.release(o)
	}
	if err != nil {
		w.err = err
		return spec.Address{}, false, err
	}
	return addr, created, nil
}

// Abort ends the put without a trace. It does nothing after Commit, Abort or an error, so that it can be deferred.
func (w *Writer) Abort() {
	if w.err == nil {
		w.finish(errFinished)
	}
}

// fail is finish for a return statement.
func (w *Writer) fail(err error) error {
	w.finish(err)
	return err
}

// finish overwrites and gives back what the writer still holds, and sets the final error.
func (w *Writer) finish(err error) {
	for _, c := range w.chunks {
		w.s.arena.free(c.at, spanSize)
	}
	w.chunks = nil
	if w.cur != nil {
		w.s.arena.free(w.at, w.dirty)
		w.cur = nil
	}
	if w.h != nil {
		w.h.Reset()
		w.s.hashers.Put(w.h)
		w.h = nil
	}
	w.err = err
}

// open says whether n more bytes may come; if not, the writer has failed.
func (w *Writer) open(n int64) bool {
	switch {
	case w.err != nil:
	case w.s.closed.Load():
		w.finish(errDraining)
	case n > w.limit-w.size:
		w.finish(errOversize)
	}
	return w.err == nil
}

// slot sees to it that cur has room; if there is none, the writer has failed. Of an object of known size the slot is as
// small as can be; else it is a whole span, because the next byte may always be the last.
func (w *Writer) slot() bool {
	if w.cur != nil {
		return true
	}
	n := int(min(spanSize, w.limit-w.size))
	w.s.at("put.alloc")
	at, err := w.s.arena.alloc(n, true)
	if errors.Is(err, spec.StoreFull) && w.s.compact() {
		at, err = w.s.arena.alloc(n, true)
	}
	if errors.Is(err, spec.StoreFull) {
		at, err = w.s.arena.alloc(n, false)
	}
	if err != nil {
		w.finish(err)
		return false
	}
	w.at, w.cur = at, w.s.arena.slot(at, n)
	w.pos, w.hashed, w.dirty, w.crc = 0, 0, 0, 0
	return true
}

// take counts n bytes that were put to cur[pos:], hashes every complete group, and files the chunk when it is full.
func (w *Writer) take(n int) {
	w.pos += n
	w.size += int64(n)
	for w.pos-w.hashed >= blake.GroupSize {
		w.digest(w.cur[w.hashed : w.hashed+blake.GroupSize])
		w.hashed += blake.GroupSize
	}
	if w.pos == spanSize {
		w.chunks = append(w.chunks, chunk{w.at, w.crc})
		w.cur = nil
	}
}

// digest adds p to the digest and to the checksum of the chunk.
func (w *Writer) digest(p []byte) {
	if w.h == nil {
		w.h = w.s.hashers.Get().(*blake.Hasher)
	}
	w.h.Write(p)
	w.crc = crc32.Update(w.crc, castagnoli, p)
}

// sum finishes the digest with the incomplete group at the end of cur. Up to 1 KiB need no hasher.
func (w *Writer) sum() spec.Address {
	var rest []byte
	if w.cur != nil {
		rest = w.cur[w.hashed:w.pos]
	}
	if w.h == nil && len(rest) <= blake.ChunkSize {
		w.crc = crc32.Update(w.crc, castagnoli, rest)
		return blake.Sum256(rest)
	}
	w.digest(rest)
	return w.h.Sum()
}

// object makes an object of what came in. The chunks belong to it from then on.
func (w *Writer) object() *object {
	o := &object{size: int32(w.size)}
	o.refs.Store(1)
	if w.cur != nil && w.pos == 0 { // Next was called, and nothing came
		w.s.arena.free(w.at, w.dirty)
		w.cur = nil
	}
	if w.cur != nil {
		w.tighten()
		w.chunks = append(w.chunks, chunk{w.at, w.crc})
		w.cur = nil
	}
	if len(w.chunks) <= 1 { // not w.one: the object would hold on to the writer
		o.chunks = o.one[:copy(o.one[:], w.chunks)]
	} else {
		o.chunks = slices.Clip(w.chunks)
	}
	w.chunks = nil
	return o
}

// tighten moves the tail of an object whose size was not known before to a slot that fits. If there is none to be had, it
// stays where it is.
func (w *Writer) tighten() {
	if w.total < 0 && classFor(w.pos) < len(classes)-1 {
		if at, err := w.s.arena.alloc(w.pos, true); err == nil {
			tail := w.s.arena.slot(at, w.pos)
			copy(tail, w.cur)
			w.s.arena.free(w.at, w.dirty)
			w.at, w.cur, w.dirty = at, tail, w.pos
		}
	}
	clear(w.cur[w.pos:w.dirty]) // what a reader scribbled beyond the last byte
}
