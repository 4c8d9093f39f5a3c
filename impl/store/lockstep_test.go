package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"lukechampine.com/blake3"
	"pgregory.net/rapid"

	"github.com/rustyonions/micronode/chaos/evidence"
	"github.com/rustyonions/micronode/impl/store"
	"github.com/rustyonions/micronode/model/cas"
	"github.com/rustyonions/micronode/spec"
)

// unit is one of the model's units in bytes: a span, so that the room which the model counts is exact (CAS-CAP-009).
const unit = spec.MaxChunk

// text is what the objects are made of: object n of the model is its first n units. Further on it repeats itself.
var text = func() []byte {
	p := make([]byte, 16*unit)
	rand.NewChaCha8([32]byte{1}).Read(p)
	return p
}()

// part is unit i of the text.
func part(i int) []byte { return text[i%16*unit : (i%16+1)*unit] }

// actions are those that the test has to take. undriven are those that it can not, with the reason.
var (
	actions = []string{
		"Begin", "Begin_oversize", "Begin_store_full", "Arrive", "Arrive_oversize", "Arrive_store_full", "Commit_created",
		"Commit_known", "Commit_truncated", "Commit_bad_digest", "Abort", "Get", "Get_not_found", "Get_integrity", "Read",
		"Read_integrity", "EndGet", "Has_true", "Has_false", "Has_integrity", "Stat", "Stat_not_found", "Stat_integrity",
		"Delete", "Delete_not_found", "Flip", "Scrub", "Stop", "Start",
	}
	undriven = []string{
		"Crash: a process does not end in part; what is left of a store in memory then is nothing",
		"Commit, Commit_not_ready, Commit_store_full, Begin_not_ready, Delete_not_ready, Durable, Durable_not_ready, " +
			"Answer_created, Answer_known, Answer_deleted: persistence, which this store does not have",
	}
)

// tester is what *testing.T and *rapid.T have in common here.
type tester interface {
	Helper()
	Fatalf(format string, args ...any)
	Context() context.Context
}

// pair is a store and the model of it, which take the same operations. Element i of writers and readers is number i+1
// of the model's; it is nil while that is idle.
type pair struct {
	p        cas.Params
	model    cas.State
	store    *store.Store
	writers  []*store.Writer
	readers  []*store.Handle
	failures int64 // copies that turned out bad since the start
	seen     map[string]int
	address  func(object int) spec.Address
}

func newPair(t tester, p cas.Params, seen map[string]int, address func(int) spec.Address) *pair {
	x := &pair{p: p, model: cas.Init(p), seen: seen, address: address,
		writers: make([]*store.Writer, p.Writers), readers: make([]*store.Handle, p.Readers)}
	x.open(t)
	return x
}

func (x *pair) open(t tester) {
	t.Helper()
	var err error
	if x.store, err = store.Open(store.Config{Capacity: int64(x.p.Capacity) * unit}); err != nil {
		t.Fatalf("open: %v", err)
	}
	x.failures = 0
}

// do takes op on both sides and compares what is to be seen. It says whether the operation was possible.
func (x *pair) do(t tester, op cas.Op) bool {
	t.Helper()
	permitted := cas.Next(x.p, x.model, op)
	if permitted == nil {
		return false
	}
	action, reason := x.take(t, op)
	i := slices.IndexFunc(permitted, func(o cas.Outcome) bool {
		return o.Reason == reason && (action == "" || o.Action == action)
	})
	if i < 0 {
		t.Fatalf("%v: the store did %q with reason %q, permitted is %s with reason %q (%v)",
			op, action, reason, permitted[0].Action, permitted[0].Reason, permitted[0].Rules)
	}
	x.failures += found(x.model, op)
	x.model = permitted[i].To
	x.seen[permitted[i].Action]++
	x.compare(t, op)
	return true
}

// found is how many copies an operation finds to be rotten that nobody knew of (CAS-INT-006).
func found(s cas.State, op cas.Op) (n int64) {
	for _, c := range s.Copies {
		read := op.Kind == cas.Read && c.Readers>>op.Reader&1 == 1
		if c.Health == cas.Rotten && (read || op.Kind == cas.Scrub && c.Kept) {
			n++
		}
	}
	return n
}

// take takes op on the store. The action is empty where the reason says it all.
func (x *pair) take(t tester, op cas.Op) (action string, reason spec.Reason) {
	t.Helper()
	var err error
	switch op.Kind {
	case cas.Begin:
		err = x.begin(op)
	case cas.Arrive:
		err = x.arrive(op)
	case cas.Commit:
		action, err = x.commit(t, op)
	case cas.Abort:
		x.writers[op.Writer-1].Abort()
		x.writers[op.Writer-1] = nil
	case cas.Get:
		var h *store.Handle
		if h, err = x.store.Get(x.address(op.Object)); err == nil {
			x.readers[op.Reader-1] = h
		}
	case cas.Read:
		if err = x.read(t, op.Reader); err != nil {
			x.release(op.Reader)
		}
	case cas.EndGet:
		x.release(op.Reader)
	case cas.Has: // the surfaces ask Stat, as here
		_, err = x.store.Stat(x.address(op.Object))
		switch {
		case err == nil:
			action = "Has_true"
		case errors.Is(err, spec.NotFound):
			action, err = "Has_false", nil
		}
	case cas.Stat:
		var size int64
		if size, err = x.store.Stat(x.address(op.Object)); err == nil && size != int64(op.Object)*unit {
			t.Fatalf("%v: %d bytes", op, size)
		}
	case cas.Delete:
		err = x.store.Delete(x.address(op.Object))
	case cas.Flip:
		x.flip(t, op.Object)
	case cas.Scrub:
		var report store.ScrubReport
		if report, err = x.store.Scrub(t.Context(), nil); report.Failures != found(x.model, op) {
			t.Fatalf("%v: %d failures, want %d", op, report.Failures, found(x.model, op))
		}
	case cas.Stop:
		x.stop(t)
	case cas.Start:
		x.open(t)
	default:
		t.Fatalf("%v can not be driven", op)
	}
	return action, reasonOf(err)
}

func (x *pair) begin(op cas.Op) error {
	var want *spec.Address
	if op.Address != cas.None {
		a := x.address(op.Address)
		want = &a
	}
	total := int64(op.Length)
	if op.Length != cas.None {
		total *= unit
	}
	w, err := x.store.NewWriter(want, total)
	x.writers[op.Writer-1] = w // nil with an error
	return err
}

// arrive brings a unit in one or two pieces, by either way in. A writer that fails is not asked again.
func (x *pair) arrive(op cas.Op) (err error) {
	w, state := x.writers[op.Writer-1], x.model.Writers[op.Writer-1]
	data := part(state.Units)
	cut := state.Units * 9973 % unit
	for _, piece := range [][]byte{data[:cut], data[cut:]} {
		room := w.Next()
		if len(room) == 0 || (state.Units+op.Writer)%2 == 0 { // also: no more bytes may come
			_, err = w.Write(piece)
		} else {
			err = w.Advance(copy(room, piece))
		}
		if err != nil {
			x.writers[op.Writer-1] = nil
			break
		}
	}
	return err
}

func (x *pair) commit(t tester, op cas.Op) (action string, err error) {
	t.Helper()
	w, units := x.writers[op.Writer-1], x.model.Writers[op.Writer-1].Units
	x.writers[op.Writer-1] = nil
	a, created, err := w.Commit()
	switch {
	case err != nil:
		return "", err
	case a != x.address(units):
		t.Fatalf("%v: %d units are stored as %v", op, units, a)
	case created:
		return "Commit_created", nil
	}
	return "Commit_known", nil
}

// read reads a get to its end.
func (x *pair) read(t tester, reader int) error {
	t.Helper()
	h, c := x.readers[reader-1], x.reading(reader)
	object := c.Object
	if h.Size() != int64(object)*unit {
		t.Fatalf("get %d has %d bytes, want %d units", reader, h.Size(), object)
	}
	for off := int64(0); off < h.Size(); {
		b, err := h.View(off, int(h.Size()))
		if err != nil {
			return err
		}
		if c.Health == cas.Bad {
			t.Fatalf("get %d goes on reading object %d, of which a check has failed", reader, object)
		}
		for len(b) > 0 {
			n := min(len(b), unit-int(off%unit))
			if i := int(off / unit); !bytes.Equal(b[:n], part(i)[off%unit:][:n]) {
				t.Fatalf("get %d delivers wrong bytes in unit %d of object %d", reader, i, object)
			}
			b, off = b[n:], off+int64(n)
		}
	}
	return nil
}

// reading is the model's copy that a get reads.
func (x *pair) reading(reader int) cas.Copy {
	i := slices.IndexFunc(x.model.Copies, func(c cas.Copy) bool { return c.Readers>>reader&1 == 1 })
	return x.model.Copies[i]
}

func (x *pair) release(reader int) {
	x.readers[reader-1].Release()
	x.readers[reader-1] = nil
}

// flip changes a bit of a stored object through the memory that a get is shown: its bytes are those of the store.
func (x *pair) flip(t tester, object int) {
	t.Helper()
	h, err := x.store.Get(x.address(object))
	if err != nil {
		t.Fatalf("get of object %d to flip a bit: %v", object, err)
	}
	defer h.Release()
	b, err := h.Chunk(int64(object-1)*unit+int64(object)*997, 1)
	if err != nil {
		t.Fatalf("chunk of object %d to flip a bit: %v", object, err)
	}
	b[0] ^= 1 << (object % 8)
}

// stop closes the store. Puts and gets are cut behind that: until then a put fails and a get goes on (CAS-GET-007).
func (x *pair) stop(t tester) {
	t.Helper()
	if err := x.store.Close(); err != nil && !errors.Is(err, spec.Draining) {
		t.Fatalf("close: %v", err)
	}
	for i, w := range x.writers {
		if w != nil {
			if _, _, err := w.Commit(); reasonOf(err) != spec.Draining {
				t.Fatalf("commit of put %d behind close: %v", i+1, err)
			}
			x.writers[i] = nil
		}
	}
	for i, h := range x.readers {
		if h != nil {
			want := spec.None
			if x.reading(i+1).Health != cas.Good {
				want = spec.Integrity
			}
			if err := x.read(t, i+1); reasonOf(err) != want {
				t.Fatalf("get %d behind close: %v, want reason %q", i+1, err, want)
			}
			x.release(i + 1)
		}
	}
	if err := x.store.Close(); err != nil {
		t.Fatalf("close when nothing is in progress: %v", err)
	}
}

// compare looks at all that the store tells about itself.
func (x *pair) compare(t tester, op cas.Op) {
	t.Helper()
	if !x.model.Up {
		return
	}
	var want store.Stats
	for _, c := range x.model.Copies {
		if c.Kept {
			want.Objects++
			want.Bytes += int64(c.Object) * unit
			if c.Health == cas.Bad {
				want.Quarantined++
			}
		}
	}
	got := x.store.Stats()
	if free := got.Capacity - got.ArenaUsed; free != int64(x.model.Free)*unit {
		t.Fatalf("behind %q: %d bytes are free, want %d units", op, free, x.model.Free)
	}
	if got.Objects != want.Objects || got.Bytes != want.Bytes || got.Quarantined != want.Quarantined || got.IntegrityFailures != x.failures {
		t.Fatalf("behind %q: %d objects, %d bytes, %d in quarantine, %d failures; want %d, %d, %d, %d", op, got.Objects, got.Bytes,
			got.Quarantined, got.IntegrityFailures, want.Objects, want.Bytes, want.Quarantined, x.failures)
	}
	for o := x.p.First; o <= x.p.Last; o++ {
		want := cas.Next(x.p, x.model, cas.Op{Kind: cas.Stat, Object: o})[0]
		size, err := x.store.Stat(x.address(o))
		if reasonOf(err) != want.Reason || err == nil && size != int64(o)*unit {
			t.Fatalf("behind %q: stat of object %d says %d bytes, %v; want reason %q", op, o, size, err, want.Reason)
		}
	}
}

// reasonOf is the reason that an error carries; None for nil, and "?" if it carries none.
func reasonOf(err error) spec.Reason {
	var r spec.Reason
	switch {
	case err == nil:
		return spec.None
	case errors.As(err, &r):
		return r
	}
	return "?"
}

// addressesTo lists the addresses of objects 0 to last.
func addressesTo(last int) func(int) spec.Address {
	list := make([]spec.Address, last+1)
	for o := range list {
		list[o] = blake3.Sum256(text[:o*unit])
	}
	return func(object int) spec.Address { return list[object] }
}

// TestLockStep drives the store and the model of the law with the same operations (CAS-PUT, CAS-GET, CAS-DEL, CAS-CAP,
// CAS-INT).
func TestLockStep(t *testing.T) {
	p := cas.Params{Capacity: 12, MaxObject: spec.MaxObject / unit, First: 0, Last: 12, Writers: 4, Readers: 4, Rot: true}
	address := addressesTo(p.Last)
	seen := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		x := newPair(t, p, seen, address)
		number := func(what string, from, to int) int { return rapid.IntRange(from, to).Draw(t, what) }
		// An object is small more often than not, so that many fit.
		object := func() int { return min(number("object", 0, p.Last), number("object", 0, p.Last)) }
		known := func() int { // one that is stored, if there is one and more often than not
			c := x.model.Copies
			if len(c) == 0 || number("any", 0, 3) == 0 {
				return object()
			}
			return c[number("copy", 0, len(c)-1)].Object
		}
		writer := func() int { return number("writer", 1, p.Writers) }
		reader := func() int { return number("reader", 1, p.Readers) }
		declared := func(o int) (length, address int) {
			length, address = o, o
			switch number("declared", 0, 7) {
			case 0:
				length, address = cas.None, cas.None
			case 1:
				length = cas.None
			case 2:
				address = cas.None
			case 3:
				length = number("length", 0, p.Capacity+2)
			case 4:
				address = object()
			}
			return length, address
		}
		begin := func(o int) (w int) {
			w = writer()
			length, address := declared(o)
			x.do(t, cas.Op{Kind: cas.Begin, Writer: w, Length: length, Address: address})
			return w
		}
		arrive := func(w, n int) {
			for range n {
				x.do(t, cas.Op{Kind: cas.Arrive, Writer: w})
			}
		}
		put := func(*rapid.T) {
			o := known()
			w := begin(o)
			arrive(w, o)
			x.do(t, cas.Op{Kind: cas.Commit, Writer: w})
		}
		on := func(kind cas.Kind) func(*rapid.T) {
			return func(t *rapid.T) { x.do(t, cas.Op{Kind: kind, Writer: 1, Object: known()}) }
		}
		sometimes := func(what string, in int, does func()) func(*rapid.T) {
			return func(*rapid.T) {
				if number(what, 1, in) == 1 {
					does()
				}
			}
		}
		get := func(*rapid.T) { x.do(t, cas.Op{Kind: cas.Get, Reader: reader(), Object: known()}) }
		read := func(*rapid.T) { x.do(t, cas.Op{Kind: cas.Read, Reader: reader()}) }
		t.Repeat(map[string]func(*rapid.T){
			"begin":  func(*rapid.T) { begin(object()) },
			"arrive": func(*rapid.T) { arrive(writer(), number("units", 1, 4)) },
			"commit": func(*rapid.T) { x.do(t, cas.Op{Kind: cas.Commit, Writer: writer()}) },
			"abort":  func(*rapid.T) { x.do(t, cas.Op{Kind: cas.Abort, Writer: writer()}) },
			"put":    put,
			"put2":   put, // twice as often as the rest
			"get":    get,
			"get2":   get,
			"read":   read,
			"read2":  read,
			"end":    func(*rapid.T) { x.do(t, cas.Op{Kind: cas.EndGet, Reader: reader()}) },
			"has":    on(cas.Has),
			"stat":   on(cas.Stat),
			"delete": on(cas.Delete),
			"flip":   on(cas.Flip),
			"scrub":  sometimes("scrub", 8, func() { x.do(t, cas.Op{Kind: cas.Scrub}) }),
			"restart": sometimes("restart", 24, func() {
				x.do(t, cas.Op{Kind: cas.Stop})
				x.do(t, cas.Op{Kind: cas.Start})
			}),
		})
		x.do(t, cas.Op{Kind: cas.Stop})
	})
	figures, counts := map[string]int64{"actions": int64(len(seen))}, []string{}
	for _, a := range slices.Sorted(maps.Keys(seen)) {
		t.Logf("%7d %s", seen[a], a)
		figures["steps"] += int64(seen[a])
		counts = append(counts, fmt.Sprintf("%s %d", a, seen[a]))
	}
	for _, a := range actions {
		if seen[a] == 0 {
			t.Errorf("%s was never taken", a)
		}
	}
	t.Logf("not driven: %q", undriven)
	evidence.Add(t, evidence.Entry{Check: "lockstep/store", Figures: figures,
		Lists: map[string][]string{"actions": counts, "not driven": undriven}})
}

// TestLockStepAtTheLimit puts the largest object, and one more byte, into a store that has room for it (CAS-CAP-001).
func TestLockStepAtTheLimit(t *testing.T) {
	largest := spec.MaxObject / unit
	p := cas.Params{Capacity: largest + 1, MaxObject: largest, First: largest, Last: largest, Writers: 1, Readers: 1}
	whole := spec.Address(blake3.Sum256(bytes.Repeat(text, spec.MaxObject/len(text))))
	x := newPair(t, p, map[string]int{}, func(int) spec.Address { return whole })
	begin := func(length int) {
		t.Helper()
		x.do(t, cas.Op{Kind: cas.Begin, Writer: 1, Length: length, Address: cas.None})
		for x.model.Writers[0].Stage == cas.Open && x.model.Writers[0].Units < largest {
			x.do(t, cas.Op{Kind: cas.Arrive, Writer: 1})
		}
	}
	begin(cas.None)
	x.do(t, cas.Op{Kind: cas.Arrive, Writer: 1})
	begin(largest + 1)
	begin(largest)
	x.do(t, cas.Op{Kind: cas.Commit, Writer: 1})
	x.do(t, cas.Op{Kind: cas.Get, Reader: 1, Object: largest})
	x.do(t, cas.Op{Kind: cas.Read, Reader: 1})
	x.do(t, cas.Op{Kind: cas.Stop})
	for _, a := range []string{"Arrive_oversize", "Begin_oversize", "Commit_created", "Read"} {
		if x.seen[a] != 1 {
			t.Errorf("%s was taken %d times, want once: %v", a, x.seen[a], x.seen)
		}
	}
}
