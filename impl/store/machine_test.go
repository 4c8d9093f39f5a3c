package store

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"lukechampine.com/blake3"
	"pgregory.net/rapid"

	"github.com/rustyonions/micronode/spec"
)

// The payloads of the machine: few, so that the same bytes are put again and again, and large for an arena of 9 spans.
var payloads = func() (list []payload) {
	for i, n := range []int{0, 1, 700, 1024, 5000, 40_000, spanSize - 1, spanSize, spanSize + 1, 2*spanSize + 9000, 4 * spanSize} {
		p := bytesOf(uint64(i), n)
		list = append(list, payload{p, blake3.Sum256(p)})
	}
	return list
}()

type payload struct {
	bytes []byte
	addr  spec.Address
}

// modelObject is what the model knows of one stored copy of a payload: it outlives its delete while handles are open.
type modelObject struct {
	payload
	rotten map[int]bool // chunks with a flipped bit
	bad    bool
	gone   bool
}

type modelHandle struct {
	h *Handle
	o *modelObject
}

type modelWriter struct {
	w       *Writer
	payload payload
	sent    int
	total   int64 // declared, or -1
	lie     bool  // the declared address is wrong
}

// machine drives a store and a model of it, a map, in step.
type machine struct {
	s        *Store
	stored   map[spec.Address]*modelObject
	handles  []*modelHandle
	writers  []*modelWriter
	failures int64
	seen     map[string]int // what happened, over all runs of a test
}

func newMachine(seen map[string]int) *machine {
	s, err := Open(Config{Capacity: 9 * spanSize})
	if err != nil {
		panic(err)
	}
	return &machine{s: s, stored: map[spec.Address]*modelObject{}, seen: seen}
}

// room is how many bytes certainly fit, as whole spans.
func (m *machine) room() int64 {
	st := m.s.Stats()
	return st.Capacity - st.ArenaUsed
}

func (m *machine) Begin(t *rapid.T) {
	p := rapid.SampledFrom(payloads).Draw(t, "payload")
	mw := &modelWriter{payload: p, total: int64(len(p.bytes)), lie: rapid.IntRange(0, 9).Draw(t, "lie") == 0}
	if total := rapid.IntRange(0, 9).Draw(t, "total"); total < 3 {
		mw.total = -1
	} else if total == 3 {
		mw.total = max(0, mw.total-1)
	} else if total == 4 {
		mw.total++
	}
	var want *spec.Address
	if mw.lie {
		want = &spec.Address{0xff}
	} else if rapid.Bool().Draw(t, "declare the address") {
		want = &p.addr
	}
	room := m.room()
	w, err := m.s.NewWriter(want, mw.total)
	if err != nil {
		wantReason(t, "new writer", err, spec.StoreFull)
		if (mw.total+spanSize-1)/spanSize*spanSize <= room {
			t.Fatalf("%d bytes refused with %d free", mw.total, room)
		}
		m.seen["full at once"]++
		return
	}
	mw.w = w
	m.writers = append(m.writers, mw)
}

// pick draws an element of list; without one ok is false and the action does nothing. (Skipping it would let a fuzzer
// that draws nothing else look like a failure.)
func pick[T any](t *rapid.T, list []T, what string) (i int, v T, ok bool) {
	if len(list) == 0 {
		return 0, v, false
	}
	i = rapid.IntRange(0, len(list)-1).Draw(t, what)
	return i, list[i], true
}

func (m *machine) Feed(t *rapid.T) {
	i, mw, ok := pick(t, m.writers, "writer")
	if !ok {
		return
	}
	rest := mw.payload.bytes[mw.sent:]
	if len(rest) == 0 {
		return // all sent
	}
	n := rapid.IntRange(1, len(rest)).Draw(t, "bytes")
	if rapid.Bool().Draw(t, "all") {
		n = len(rest)
	}
	limit := mw.total
	if limit < 0 {
		limit = spec.MaxObject
	}
	room := m.room()
	var err error
	if rapid.Bool().Draw(t, "next") && int64(mw.sent+n) <= limit {
		for done := 0; done < n && err == nil; {
			b := mw.w.Next()
			if len(b) == 0 {
				if err = mw.w.Err(); err == nil {
					t.Fatalf("next is empty with %d bytes to come", n-done)
				}
				break
			}
			for j := range b[:min(len(b), n-done+100)] {
				b[j] = 0xaa // a reader may use all of it
			}
			k := copy(b, rest[done:n])
			err = mw.w.Advance(k)
			done += k
		}
	} else {
		_, err = mw.w.Write(rest[:n])
	}
	if err == nil {
		mw.sent += n
		if int64(mw.sent) > limit {
			t.Fatalf("%d bytes taken where %d were declared", mw.sent, mw.total)
		}
		return
	}
	m.writers = slices.Delete(m.writers, i, i+1)
	switch {
	case int64(mw.sent+n) > limit:
		wantReason(t, "feed", err, spec.Oversize)
		m.seen["too long"]++
	default:
		wantReason(t, "feed", err, spec.StoreFull)
		if int64(n)+spanSize <= room {
			t.Fatalf("%d bytes refused with %d free", n, room)
		}
		m.seen["full on the way"]++
	}
}

// Put is a put in one go, so that much gets stored.
func (m *machine) Put(t *rapid.T) {
	p := payloads[len(payloads)-1-rapid.IntRange(0, len(payloads)-1).Draw(t, "payload")]
	room := m.room()
	w, err := m.s.NewWriter(&p.addr, int64(len(p.bytes)))
	if err == nil {
		_, err = w.Write(p.bytes)
	}
	if err != nil {
		wantReason(t, "put", err, spec.StoreFull)
		if int64(len(p.bytes)+spanSize-1)/spanSize*spanSize <= room {
			t.Fatalf("%d bytes refused with %d free", len(p.bytes), room)
		}
		m.seen["full at once"]++
		return
	}
	m.commit(t, &modelWriter{w: w, payload: p, sent: len(p.bytes), total: int64(len(p.bytes))})
}

func (m *machine) Commit(t *rapid.T) {
	i, mw, ok := pick(t, m.writers, "writer")
	if !ok {
		return
	}
	m.writers = slices.Delete(m.writers, i, i+1)
	m.commit(t, mw)
}

func (m *machine) commit(t *rapid.T, mw *modelWriter) {
	sent := mw.payload.bytes[:mw.sent]
	addr, created, err := mw.w.Commit()
	switch {
	case mw.total > int64(mw.sent):
		wantReason(t, "commit", err, spec.Truncated)
		m.seen["too short"]++
	case mw.lie:
		wantReason(t, "commit", err, spec.BadDigest)
		m.seen["wrong address"]++
	case mw.w.hasWant && mw.sent < len(mw.payload.bytes):
		wantReason(t, "commit", err, spec.BadDigest)
	default:
		if err != nil || addr != spec.Address(blake3.Sum256(sent)) {
			t.Fatalf("commit of %d bytes: %v, %v", mw.sent, addr, err)
		}
		old := m.stored[addr]
		if created != (old == nil || old.bad) {
			t.Fatalf("created is %v, stored before: %+v", created, old != nil)
		}
		if !created {
			m.seen["put again"]++
		} else {
			m.seen["put"]++
			if old != nil {
				m.seen["healed"]++
				old.gone = true
			}
			m.stored[addr] = &modelObject{payload: payload{sent, addr}, rotten: map[int]bool{}}
		}
	}
}

func (m *machine) Abort(t *rapid.T) {
	i, mw, ok := pick(t, m.writers, "writer")
	if !ok {
		return
	}
	m.writers = slices.Delete(m.writers, i, i+1)
	mw.w.Abort()
}

// address draws an address that is stored, or was, or never was.
func (m *machine) address(t *rapid.T) spec.Address {
	list := []spec.Address{{}}
	for a := range m.stored {
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b spec.Address) int { return bytes.Compare(a[:], b[:]) })
	if len(list) > 1 && rapid.IntRange(0, 3).Draw(t, "hit") > 0 {
		return rapid.SampledFrom(list[1:]).Draw(t, "stored")
	}
	return rapid.SampledFrom(payloads).Draw(t, "any").addr
}

func (m *machine) Get(t *rapid.T) {
	a := m.address(t)
	o := m.stored[a]
	size, serr := m.s.Stat(a)
	h, err := m.s.Get(a)
	switch {
	case o == nil:
		wantReason(t, "get", err, spec.NotFound)
		wantReason(t, "stat", serr, spec.NotFound)
	case o.bad:
		wantReason(t, "get", err, spec.Integrity)
		wantReason(t, "stat", serr, spec.Integrity)
	case err != nil || serr != nil:
		t.Fatalf("get: %v, stat: %v", err, serr)
	default:
		if n := int64(len(o.bytes)); h.Size() != n || size != n {
			t.Fatalf("size by get %d, by stat %d, want %d", h.Size(), size, n)
		}
		m.handles = append(m.handles, &modelHandle{h, o})
	}
}

func (m *machine) Read(t *rapid.T) {
	_, mh, ok := pick(t, m.handles, "handle")
	if !ok {
		return
	}
	off := rapid.Int64Range(0, mh.h.Size()).Draw(t, "offset")
	limit := rapid.IntRange(0, spanSize+1).Draw(t, "limit")
	b, err := mh.h.Chunk(off, limit)
	i := int(off / spanSize)
	switch {
	case off == mh.h.Size() || limit == 0:
		if err != nil || len(b) != 0 {
			t.Fatalf("empty view: %d bytes, %v", len(b), err)
		}
	case mh.o.bad || mh.o.rotten[i]:
		wantReason(t, "chunk", err, spec.Integrity)
		m.found(mh.o)
	default:
		if mh.o.gone {
			m.seen["read after delete"]++
		}
		end := min(off+int64(limit), int64(i+1)*spanSize, mh.h.Size())
		if err != nil || !bytes.Equal(b, mh.o.bytes[off:end]) {
			t.Fatalf("chunk(%d, %d): %d bytes, %v; want %d", off, limit, len(b), err, end-off)
		}
	}
}

// found notes that the store noticed the fault of o.
func (m *machine) found(o *modelObject) {
	if !o.bad {
		o.bad = true
		m.failures++
		m.seen["quarantined"]++
	}
}

func (m *machine) Release(t *rapid.T) {
	i, mh, ok := pick(t, m.handles, "handle")
	if !ok {
		return
	}
	m.handles = slices.Delete(m.handles, i, i+1)
	mh.h.Release()
}

func (m *machine) Delete(t *rapid.T) {
	a := m.address(t)
	err := m.s.Delete(a)
	if o := m.stored[a]; o == nil {
		wantReason(t, "delete", err, spec.NotFound)
	} else if err != nil {
		t.Fatalf("delete: %v", err)
	} else {
		o.gone = true
		delete(m.stored, a)
	}
}

func (m *machine) Rot(t *rapid.T) {
	o := m.stored[m.address(t)]
	if o == nil || len(o.bytes) == 0 {
		return // nothing rots
	}
	off := rapid.IntRange(0, len(o.bytes)-1).Draw(t, "offset")
	if o.rotten[off/spanSize] {
		return // rotten already
	}
	flip(m.s, stored(m.s, o.addr), off)
	o.rotten[off/spanSize] = true
}

func (m *machine) Scrub(t *rapid.T) {
	if rapid.IntRange(0, 3).Draw(t, "scrub") > 0 {
		return // not now
	}
	var want ScrubReport
	for _, o := range m.stored {
		if o.bad {
			continue
		}
		want.Objects++
		want.Bytes += int64(len(o.bytes))
		if len(o.rotten) > 0 {
			want.Failures++
			m.found(o)
		}
	}
	if got, err := m.s.Scrub(t.Context(), nil); err != nil || got != want {
		t.Fatalf("scrub: %+v, %v; want %+v", got, err, want)
	}
}

// Check runs after every action.
func (m *machine) Check(t *rapid.T) {
	var handles []*Handle
	var writers []*Writer
	for _, mh := range m.handles {
		handles = append(handles, mh.h)
	}
	for _, mw := range m.writers {
		writers = append(writers, mw.w)
	}
	audit(t, m.s, handles, writers)
	var size, bad int64
	for _, o := range m.stored {
		size += int64(len(o.bytes))
		if o.bad {
			bad++
		}
	}
	st := m.s.Stats()
	if st.Objects != int64(len(m.stored)) || st.Bytes != size || st.Quarantined != bad || st.IntegrityFailures != m.failures {
		t.Fatalf("stats %+v, want %d objects, %d bytes, %d in quarantine, %d failures", st, len(m.stored), size, bad, m.failures)
	}
}

// run is the property: whatever is done, store and model agree, and in the end nothing is left.
func run(t *rapid.T, seen map[string]int) {
	m := newMachine(seen)
	t.Repeat(map[string]func(*rapid.T){
		"":       m.Check,
		"begin":  m.Begin,
		"feed":   m.Feed,
		"feed2":  m.Feed, // twice as often as the rest
		"put":    m.Put,
		"put2":   m.Put,
		"commit": m.Commit,
		"abort":  m.Abort,
		"get":    m.Get,
		"read":   m.Read,
		"free":   m.Release,
		"delete": m.Delete,
		"rot":    m.Rot,
		"scrub":  m.Scrub,
	})
	if err := m.s.Close(); err != nil && len(m.handles)+len(m.writers) == 0 {
		t.Fatalf("close: %v", err)
	}
	for _, mw := range m.writers {
		_, _, err := mw.w.Commit()
		wantReason(t, "commit on a closed store", err, spec.Draining)
	}
	for _, mh := range m.handles {
		b, err := mh.h.Chunk(0, spanSize)
		if !errors.Is(err, spec.Integrity) && !bytes.Equal(b, mh.o.bytes[:min(spanSize, len(mh.o.bytes))]) {
			t.Fatalf("first chunk changed by close: %v", err)
		}
		mh.h.Release()
	}
	if err := m.s.Close(); err != nil || m.s.arena.mem != nil {
		t.Fatalf("close when nothing is open: %v", err)
	}
}

func TestMachine(t *testing.T) {
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) { run(t, seen) })
	t.Log(seen)
	for _, what := range []string{
		"put", "put again", "healed", "quarantined", "read after delete", "full at once", "full on the way", "too long",
		"too short", "wrong address",
	} {
		if seen[what] == 0 {
			t.Errorf("never happened: %s", what)
		}
	}
}

// FuzzMachine lets the fuzzer choose what TestMachine draws.
func FuzzMachine(f *testing.F) {
	f.Fuzz(rapid.MakeFuzz(func(t *rapid.T) { run(t, map[string]int{}) }))
}
