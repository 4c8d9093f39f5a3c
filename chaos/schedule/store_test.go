package schedule_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"lukechampine.com/blake3"

	"github.com/rustyonions/micronode/chaos/schedule"
	"github.com/rustyonions/micronode/impl/store"
	"github.com/rustyonions/micronode/spec"
)

// state is one address in the sequential reference.
type state int

const (
	absent state = iota
	stored
	rotten      // stored, with a wrong bit that nobody has seen
	quarantined // stored, and known to be wrong
)

// shelf is a real store under test, and what was asked of one address.
type shelf struct {
	s       *store.Store
	payload []byte
	addr    spec.Address
	first   state
	h       history[state]
}

func newShelf(y *schedule.Yielder, h *shop, spans int64, payload []byte) *shelf {
	return &shelf{s: h.again(y, spans), payload: payload, addr: blake3.Sum256(payload)}
}

// put, get, stat, remove and scrub ask the store and note the answer, with the reference for it.

func (f *shelf) put(y *schedule.Yielder) {
	end := f.h.begin()
	created, err := put(f.s, f.payload)
	if err != nil {
		y.Failf("put: %w", err)
	}
	end(fmt.Sprintf("put: new is %v", created), putNext(created))
}

func putNext(created bool) func(state) (state, bool) {
	return func(s state) (state, bool) {
		if s == absent || s == quarantined { // CAS-PUT-003, CAS-INT-005
			return stored, created
		}
		return s, !created
	}
}

func (f *shelf) remove(y *schedule.Yielder) {
	end := f.h.begin()
	err := f.s.Delete(f.addr)
	if r := reasonOf(err); r != spec.None && r != spec.NotFound {
		y.Failf("delete: %w", err)
	}
	end(fmt.Sprintf("delete: %v", err), func(s state) (state, bool) { return absent, (s != absent) == (err == nil) })
}

func (f *shelf) get(y *schedule.Yielder) {
	end := f.h.begin()
	err := f.read(y)
	end(fmt.Sprintf("get: %v", err), func(s state) (state, bool) {
		switch s {
		case absent:
			return s, reasonOf(err) == spec.NotFound
		case stored:
			return s, err == nil
		}
		return quarantined, reasonOf(err) == spec.Integrity // CAS-INT-004
	})
}

// read holds every byte to the payload, as late as it may look at it (CAS-GET-007).
func (f *shelf) read(y *schedule.Yielder) error {
	h, err := f.s.Get(f.addr)
	if err != nil {
		return err
	}
	defer h.Release()
	for off := int64(0); off < h.Size(); {
		b, err := h.Chunk(off, spec.MaxChunk)
		if err != nil {
			return err
		}
		y.Yield("use bytes")
		if !bytes.Equal(b, f.payload[off:off+int64(len(b))]) {
			y.Failf("a reader sees other bytes")
		}
		off += int64(len(b))
	}
	return nil
}

func (f *shelf) stat(y *schedule.Yielder) {
	end := f.h.begin()
	size, err := f.s.Stat(f.addr)
	if err == nil && size != int64(len(f.payload)) {
		y.Failf("stat: %d bytes", size)
	}
	end(fmt.Sprintf("stat: %v", err), func(s state) (state, bool) {
		return s, reasonOf(err) == map[state]spec.Reason{absent: spec.NotFound, quarantined: spec.Integrity}[s]
	})
}

func (f *shelf) scrub(y *schedule.Yielder) {
	end := f.h.begin()
	report, err := f.s.Scrub(context.Background(), nil)
	if err != nil {
		y.Failf("scrub: %w", err)
	}
	end(fmt.Sprintf("scrub: %+v", report), func(s state) (state, bool) {
		if s == rotten {
			return quarantined, report.Failures == 1
		}
		return s, report.Failures == 0
	})
}

// rot changes a bit of the stored object behind the back of the store.
func (f *shelf) rot() {
	h, err := f.s.Get(f.addr)
	if err != nil {
		panic(err)
	}
	defer h.Release()
	b, err := h.Chunk(0, 1)
	if err != nil {
		panic(err)
	}
	b[0] ^= 1
	f.first = rotten
}

// judge holds the answers to the reference and then looks at the books: counters, memory, and that all of it comes back.
func (f *shelf) judge() error {
	states, err := f.h.check(f.first)
	if err != nil {
		return err
	}
	st := f.s.Stats()
	size := int64(len(f.payload))
	fits := func(s state) bool {
		there, bad := int64(0), int64(0)
		if s != absent {
			there = 1
		}
		if s == quarantined {
			bad = 1
		}
		return st.Objects == there && st.Bytes == there*size && st.Quarantined == bad && (st.ArenaUsed > 0) == (there > 0)
	}
	for s := range states {
		if !fits(s) {
			delete(states, s)
		}
	}
	if len(states) == 0 {
		return fmt.Errorf("the books do not fit the answers: %+v", st)
	}
	return f.empty(st)
}

// empty deletes what is left, and looks for memory that did not come back.
func (f *shelf) empty(st store.Stats) error {
	if err := f.s.Delete(f.addr); (err == nil) != (st.Objects > 0) {
		return fmt.Errorf("delete in the end: %v with %+v", err, st)
	}
	if st := f.s.Stats(); st.Objects != 0 || st.Bytes != 0 || st.Quarantined != 0 || st.ArenaUsed != 0 {
		return fmt.Errorf("empty, and not quite: %+v", st)
	}
	return nil
}

// threads are programs of one operation each.
func threads(list ...any) (p []schedule.Thread) {
	for i := 0; i < len(list); i += 2 {
		p = append(p, schedule.Thread{Name: list[i].(string), Run: list[i+1].(func(*schedule.Yielder))})
	}
	return p
}

var bytes300 = bytes.Repeat([]byte("abc"), 100)

// Puts, a get and a delete of one address are linearizable (CAS-LIN-001), whatever the reader holds stays as it is
// (CAS-GET-007), and no memory is lost (CAS-CAP-008, CAS-DEL-003).
func TestStoreOneAddress(t *testing.T) {
	h := newShop(t)
	scenario{
		name: "store",
		setup: func(y *schedule.Yielder) schedule.Program {
			f := newShelf(y, h, 2, bytes300)
			return schedule.Program{
				Threads: threads("writer 1", f.put, "writer 2", f.put, "reader", f.get, "deleter", f.remove),
				Finally: f.judge,
			}
		},
		schedules: 4_332, points: 9,
		fullBound: schedule.Unbounded, fullSchedules: 37_096,
	}.run(t)
}

// An object with a wrong bit is found by a reader and a scrub, put again and deleted, all at the same time: it is counted
// once (CAS-INT-006), and never comes back (CAS-INT-004, CAS-INT-005).
func TestStoreRepair(t *testing.T) {
	h := newShop(t)
	scenario{
		name: "store-repair",
		setup: func(y *schedule.Yielder) schedule.Program {
			f := newShelf(y, h, 2, bytes300)
			if _, err := put(f.s, f.payload); err != nil {
				panic(err)
			}
			f.rot()
			before := f.s.Stats().IntegrityFailures
			return schedule.Program{
				Threads: threads("reader", f.get, "scrub", f.scrub, "writer", f.put, "deleter", f.remove),
				Finally: func() error {
					if n := f.s.Stats().IntegrityFailures - before; n > 1 {
						return fmt.Errorf("one fault was counted %d times", n)
					}
					return f.judge()
				},
			}
		},
		schedules: 17_239, points: 12,
		fullBound: schedule.Unbounded, fullSchedules: 2_406_621,
	}.run(t)
}

// The objects of the scenario of compaction, each half a span but for a little, and one of a whole span.
var (
	halves = func() (list [4][]byte) {
		for i := range list {
			list[i] = bytes.Repeat([]byte{byte('a' + i)}, 30_000)
		}
		return list
	}()
	whole = bytes.Repeat([]byte("w"), spec.MaxChunk)
)

// crowded is a store of two spans with one half in each, left over from two: a put of a whole span moves the half in the
// first one before it has room.
func crowded(y *schedule.Yielder, h *shop) *shelf {
	f := newShelf(y, h, 2, halves[0])
	for _, p := range halves {
		if _, err := put(f.s, p); err != nil {
			panic(err)
		}
	}
	for _, p := range [][]byte{halves[1], halves[3]} {
		if err := f.s.Delete(blake3.Sum256(p)); err != nil {
			panic(err)
		}
	}
	f.first = stored
	return f
}

// A put that has to make room moves an object while that is read and deleted: the reader sees its bytes and no others, no
// memory is freed twice or lost, and the put is stored whole or refused as full.
func TestStoreCompaction(t *testing.T) {
	h := newShop(t)
	made, refused := 0, 0
	setup := func(y *schedule.Yielder) schedule.Program {
		f := crowded(y, h)
		room := false
		mover := func(y *schedule.Yielder) {
			created, err := put(f.s, whole)
			if r := reasonOf(err); created != (err == nil) || r != spec.None && r != spec.StoreFull {
				y.Failf("put of a whole span: %v, %w", created, err)
			}
			room = created
		}
		return schedule.Program{
			Threads: threads("mover", mover, "reader", f.get, "deleter", f.remove),
			Finally: func() error {
				if room {
					made++
					if err := f.s.Delete(blake3.Sum256(whole)); err != nil {
						return fmt.Errorf("the whole span is gone: %w", err)
					}
				} else {
					refused++
				}
				if err := f.s.Delete(blake3.Sum256(halves[2])); err != nil {
					return fmt.Errorf("the other half is gone: %w", err)
				}
				return f.judge()
			},
		}
	}
	scenario{
		name: "store-compaction", setup: setup,
		schedules: 866, points: 12,
		fullBound: schedule.Unbounded, fullSchedules: 5_733,
	}.run(t)
	if t.Logf("there was room %d times, and none %d times", made, refused); made == 0 || refused == 0 {
		t.Error("the reader never was in the way, or always")
	}
}

// A crowd on one address, in schedules drawn at random: two threads each of every kind, three times over.
func TestStoreCrowd(t *testing.T) {
	h := newShop(t)
	scenario{
		name: "store-crowd",
		setup: func(y *schedule.Yielder) schedule.Program {
			f := newShelf(y, h, 4, bytes300)
			again := func(op func(*schedule.Yielder)) func(*schedule.Yielder) {
				return func(y *schedule.Yielder) {
					for i := range 3 {
						if i > 0 {
							y.Yield("again")
						}
						op(y)
					}
				}
			}
			return schedule.Program{
				Threads: threads("writer 1", again(f.put), "writer 2", again(f.put), "reader 1", again(f.get), "reader 2", again(f.get),
					"stat", again(f.stat), "deleter 1", again(f.remove), "deleter 2", again(f.remove), "scrub", f.scrub),
				Finally: f.judge,
			}
		},
		drawn: 3_000, points: 11,
		fullDrawn: 300_000,
	}.run(t)
}

// A put that says whether its object is new by looking before it is stored: two writers both say yes.
func TestStorePlanted(t *testing.T) {
	h := newShop(t)
	planted(t, "store", func(y *schedule.Yielder) schedule.Program {
		f := newShelf(y, h, 2, bytes300)
		careless := func(y *schedule.Yielder) {
			end := f.h.begin()
			_, err := f.s.Stat(f.addr)
			isNew := reasonOf(err) == spec.NotFound
			if _, err := put(f.s, f.payload); err != nil {
				y.Failf("put: %w", err)
			}
			end(fmt.Sprintf("put: new is %v", isNew), putNext(isNew))
		}
		return schedule.Program{Threads: threads("writer 1", careless, "writer 2", careless), Finally: f.judge}
	})
}

// A get that promises the bytes when it has the size, and then opens the object: in between it is deleted.
func TestStoreHasThenGetPlanted(t *testing.T) {
	h := newShop(t)
	planted(t, "store-has-then-get", func(y *schedule.Yielder) schedule.Program {
		f := newShelf(y, h, 2, bytes300)
		if _, err := put(f.s, f.payload); err != nil {
			panic(err)
		}
		f.first = stored
		careless := func(y *schedule.Yielder) {
			if _, err := f.s.Stat(f.addr); err != nil {
				return // answered as not found
			}
			y.Yield("answer 200")
			if err := f.read(y); err != nil {
				y.Failf("answered 200, and then: %w", err)
			}
		}
		return schedule.Program{Threads: threads("reader", careless, "deleter", f.remove), Finally: f.judge}
	})
}
