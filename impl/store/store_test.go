package store

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"testing"

	"lukechampine.com/blake3"

	"github.com/rustyonions/micronode/spec"
)

var lengths = []int{0, 1, 64, 200, 1024, 1025, 16 << 10, 16<<10 + 1, 40_000, spanSize - 1, spanSize, spanSize + 1, 3 * spanSize, 300_001}

// TestRoundTrip stores objects of every kind of length in every way a writer can be fed, and reads them back.
func TestRoundTrip(t *testing.T) {
	feeds := map[string]func(w *Writer, p []byte) error{
		"write": func(w *Writer, p []byte) error {
			_, err := w.Write(p)
			return err
		},
		"write in pieces": func(w *Writer, p []byte) error {
			for piece := range slices.Chunk(p, 10_007) {
				if _, err := w.Write(piece); err != nil {
					return err
				}
			}
			return nil
		},
		"next": func(w *Writer, p []byte) error {
			for len(p) > 0 {
				n := copy(w.Next(), p)
				if n == 0 {
					return w.Err()
				}
				if err := w.Advance(n); err != nil {
					return err
				}
				p = p[n:]
			}
			return nil
		},
		"next with a scribbling reader": func(w *Writer, p []byte) error {
			for len(p) > 0 {
				b := w.Next()
				for i := range b {
					b[i] = 0xee
				}
				n := copy(b[:min(len(b), 5000)], p)
				if err := w.Advance(n); err != nil {
					return err
				}
				p = p[n:]
			}
			w.Next() // and one that finds nothing
			return w.Err()
		},
	}
	for name, feed := range feeds {
		for _, known := range []bool{true, false} {
			s := open(t, 32)
			var all []spec.Address
			for _, n := range lengths {
				p := bytesOf(1, n)
				want, total := spec.Address(blake3.Sum256(p)), int64(-1)
				if known {
					total = int64(n)
				}
				w, err := s.NewWriter(&want, total)
				if err != nil {
					t.Fatal(err)
				}
				if err := feed(w, p); err != nil {
					t.Fatalf("%s, %d bytes: %v", name, n, err)
				}
				a, created, err := w.Commit()
				if err != nil || a != want || !created {
					t.Fatalf("%s, %d bytes: commit gives %v, %v, %v", name, n, a, created, err)
				}
				w.Abort() // as deferred calls do
				all = append(all, a)
				audit(t, s, nil, nil)
			}
			for i, a := range all {
				if got := read(t, s, a); !bytes.Equal(got, bytesOf(1, lengths[i])) {
					t.Fatalf("%s: %d bytes come back as %d others", name, lengths[i], len(got))
				}
				if size, err := s.Stat(a); err != nil || size != int64(lengths[i]) {
					t.Fatalf("%s: stat of %d bytes: %d, %v", name, lengths[i], size, err)
				}
			}
			for _, a := range all {
				if err := s.Delete(a); err != nil {
					t.Fatal(err)
				}
				_, err := s.Get(a)
				wantReason(t, "get after delete", err, spec.NotFound)
				_, err = s.Stat(a)
				wantReason(t, "stat after delete", err, spec.NotFound)
				wantReason(t, "second delete", s.Delete(a), spec.NotFound)
				audit(t, s, nil, nil)
			}
			if st := s.Stats(); st.ArenaUsed != 0 {
				t.Fatalf("%s: %d bytes in use after all was deleted", name, st.ArenaUsed)
			}
		}
	}
}

func TestChunkViews(t *testing.T) {
	s := open(t, 8)
	p := bytesOf(2, 2*spanSize+1000)
	a, _ := put(t, s, p)
	h, err := s.Get(a)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	for _, c := range []struct {
		off   int64
		limit int
		want  int
	}{
		{0, spanSize, spanSize}, {0, 1 << 30, spanSize}, {0, 1, 1}, {1, spanSize, spanSize - 1}, {spanSize - 1, 9, 1},
		{spanSize, spanSize, spanSize}, {2 * spanSize, spanSize, 1000}, {h.Size() - 1, 5, 1}, {h.Size(), 5, 0}, {7, 0, 0},
	} {
		b, err := h.Chunk(c.off, c.limit)
		if err != nil || !bytes.Equal(b, p[c.off:c.off+int64(c.want)]) {
			t.Errorf("chunk(%d, %d): %d bytes, %v; want %d", c.off, c.limit, len(b), err, c.want)
		}
		if cap(b) != len(b) {
			t.Errorf("chunk(%d, %d) can be appended to in place", c.off, c.limit)
		}
	}
	for _, c := range [][2]int64{{-1, 1}, {h.Size() + 1, 1}, {0, -1}} {
		_, err := h.Chunk(c[0], int(c[1]))
		wantReason(t, "chunk out of range", err, spec.BadRange)
	}
	if st := s.Stats(); st.IntegrityFailures != 0 {
		t.Errorf("bad ranges counted as %d integrity failures", st.IntegrityFailures)
	}
}

// TestRejectedPuts breaks each promise of a put once (CAS-PUT-008 among them). Nothing may remain, and the error is final.
func TestRejectedPuts(t *testing.T) {
	good := bytesOf(3, 100_000)
	other := spec.Address{1, 2, 3}
	cases := []struct {
		name   string
		want   *spec.Address
		total  int64
		feed   func(w *Writer) error
		reason spec.Reason
	}{
		{"wrong digest", &other, 100_000, func(w *Writer) error { _, err := w.Write(good); return err }, spec.BadDigest},
		{"wrong digest, unknown length", &other, -1, func(w *Writer) error { _, err := w.Write(good); return err }, spec.BadDigest},
		{"too short", nil, 100_001, func(w *Writer) error { _, err := w.Write(good); return err }, spec.Truncated},
		{"empty", nil, 1, func(w *Writer) error { w.Next(); return nil }, spec.Truncated},
		{"too long", nil, 99_999, func(w *Writer) error { _, err := w.Write(good); return err }, spec.Oversize},
		{"one byte too long", nil, 100_000, func(w *Writer) error { w.Write(good); _, err := w.Write(good[:1]); return err }, spec.Oversize},
		{"more than the arena", nil, -1, func(w *Writer) error {
			for {
				if _, err := w.Write(good); err != nil {
					return err
				}
			}
		}, spec.StoreFull},
		{"more than the arena by next", nil, -1, func(w *Writer) error {
			for {
				b := w.Next()
				if b == nil {
					return w.Err()
				}
				if err := w.Advance(copy(b, good)); err != nil {
					return err
				}
			}
		}, spec.StoreFull},
		{"advance without next", nil, 10, func(w *Writer) error { return w.Advance(1) }, spec.Internal},
		{"advance too far", nil, 10, func(w *Writer) error { return w.Advance(len(w.Next()) + 1) }, spec.Internal},
		{"advance backwards", nil, 10, func(w *Writer) error { w.Write(good[:5]); return w.Advance(-1) }, spec.Internal},
		{"aborted", nil, -1, func(w *Writer) error { w.Write(good); w.Next(); w.Abort(); return w.Err() }, spec.Internal},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := open(t, 16)
			kept, _ := put(t, s, []byte("a neighbour"))
			w, err := s.NewWriter(c.want, c.total)
			if err != nil {
				t.Fatal(err)
			}
			err = c.feed(w)
			if err == nil {
				audit(t, s, nil, []*Writer{w})
				_, _, err = w.Commit()
			}
			wantReason(t, "put", err, c.reason)
			audit(t, s, nil, nil) // everything is clean before Abort
			w.Abort()
			w.Abort()
			_, err = w.Write(good)
			wantReason(t, "write afterwards", err, c.reason)
			wantReason(t, "advance afterwards", w.Advance(1), c.reason)
			_, _, err = w.Commit()
			wantReason(t, "commit afterwards", err, c.reason)
			if w.Next() != nil {
				t.Error("next gives memory afterwards")
			}
			audit(t, s, nil, nil)
			if st := s.Stats(); st.Objects != 1 || string(read(t, s, kept)) != "a neighbour" {
				t.Errorf("the neighbour suffered: %+v", st)
			}
		})
	}
}

func TestNewWriterRefuses(t *testing.T) {
	s := open(t, 8)
	large := open(t, 2*spec.MaxObject/spanSize)
	put(t, s, bytesOf(1, 5*spanSize+1)) // two spans are left, and half a span of 2 slots less one
	for _, c := range []struct {
		s      *Store
		total  int64
		reason spec.Reason
	}{
		{large, spec.MaxObject + 1, spec.Oversize},
		{large, spec.MaxObject, spec.None},
		{s, 8*spanSize + 1, spec.Oversize}, // never fits: CAS-CAP-004
		{s, 8 * spanSize, spec.StoreFull},
		{s, 2*spanSize + 1000, spec.StoreFull},
		{s, 2*spanSize + 10, spec.None}, // its tail fits beside the other one
		{s, 2 * spanSize, spec.None},
		{s, -1, spec.None},
		{s, -2, spec.Internal},
	} {
		before := c.s.Stats()
		w, err := c.s.NewWriter(nil, c.total)
		if got := reasonOf(err); got != c.reason {
			t.Errorf("new writer for %d bytes: %v, want %q", c.total, err, c.reason)
		}
		if after := c.s.Stats(); after.ArenaUsed != before.ArenaUsed {
			t.Errorf("new writer for %d bytes takes memory before a byte came", c.total)
		}
		if w != nil {
			w.Abort()
		}
	}
}

// TestUnknownLengthStopsAtTheCap feeds a writer of unknown length until the largest object is full.
func TestUnknownLengthStopsAtTheCap(t *testing.T) {
	s := open(t, spec.MaxObject/spanSize+1)
	w, err := s.NewWriter(nil, -1)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	n := 0
	for b := w.Next(); b != nil; b = w.Next() {
		b[0] = 1
		n += len(b)
		if err := w.Advance(len(b)); err != nil {
			t.Fatal(err)
		}
	}
	if n != spec.MaxObject || w.Err() != nil {
		t.Fatalf("next ends after %d bytes with %v", n, w.Err())
	}
	_, err = w.Write([]byte{1})
	wantReason(t, "one byte above the cap", err, spec.Oversize)
}

func TestPutAgain(t *testing.T) {
	s := open(t, 16)
	p := bytesOf(4, 150_000)
	a, created := put(t, s, p)
	if !created {
		t.Error("first put is not new")
	}
	first := stored(s, a)
	if _, created = put(t, s, p); created {
		t.Error("second put is new")
	}
	if stored(s, a) != first {
		t.Error("second put replaced the object")
	}
	audit(t, s, nil, nil)
	if err := s.Delete(a); err != nil {
		t.Fatal(err)
	}
	if _, created = put(t, s, p); !created {
		t.Error("put after delete is not new")
	}
}

// TestHandleOutlivesDelete reads an object that was deleted and put again by others meanwhile (CAS-GET-007). Its memory
// waits for the handle and for nothing else (AMN-ZER-004): audit finds it cleared right after Release.
func TestHandleOutlivesDelete(t *testing.T) {
	s := open(t, 16)
	p := bytesOf(5, 100_000)
	a, _ := put(t, s, p)
	h, err := s.Get(a)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(a); err != nil {
		t.Fatal(err)
	}
	_, err = s.Get(a)
	wantReason(t, "get", err, spec.NotFound)
	put(t, s, bytesOf(6, 100_000))
	put(t, s, p)
	audit(t, s, []*Handle{h}, nil)
	if !bytes.Equal(readAll(t, h), p) {
		t.Error("the deleted object changed under its handle")
	}
	h.Release()
	audit(t, s, nil, nil)
	defer func() {
		if recover() == nil {
			t.Error("a second release goes unnoticed")
		}
	}()
	h.Release()
}

// TestQuarantine flips one bit and follows the object through quarantine and both ways out: CAS-INT-001, CAS-INT-002,
// CAS-INT-004 to 006 (CAS-INT-005 heals, CAS-INT-006 counts once), CAS-INT-008 for the neighbour, CAS-INT-009 through
// audit, CAS-DEL-005.
func TestQuarantine(t *testing.T) {
	p := bytesOf(7, 2*spanSize+100)
	heal := map[string]func(t *testing.T, s *Store, a spec.Address){
		"delete": func(t *testing.T, s *Store, a spec.Address) {
			if err := s.Delete(a); err != nil {
				t.Fatal(err)
			}
			_, err := s.Stat(a)
			wantReason(t, "stat after delete", err, spec.NotFound)
		},
		"put": func(t *testing.T, s *Store, a spec.Address) {
			if _, created := put(t, s, p); !created {
				t.Error("a put that heals is not new")
			}
			if !bytes.Equal(read(t, s, a), p) {
				t.Error("healed object is not what was put")
			}
		},
	}
	for name, out := range heal {
		for _, off := range []int{0, spanSize + 5, len(p) - 1} {
			t.Run(name, func(t *testing.T) {
				s := open(t, 16)
				neighbour, _ := put(t, s, bytesOf(8, 100))
				a, _ := put(t, s, p)
				old, err := s.Get(a)
				if err != nil {
					t.Fatal(err)
				}
				flip(s, stored(s, a), off)
				other := int64((off/spanSize+1)%3) * spanSize
				if _, err := old.Chunk(other, 1); err != nil {
					t.Errorf("a chunk that is well fails: %v", err)
				}
				// The bit is in the chunk, not in the bytes asked for: it must show all the same.
				_, err = old.Chunk(int64(off/spanSize*spanSize)+1, 1)
				wantReason(t, "chunk", err, spec.Integrity)
				_, err = old.Chunk(other, 1)
				wantReason(t, "another chunk", err, spec.Integrity)
				_, err = s.Get(a)
				wantReason(t, "get", err, spec.Integrity)
				_, err = s.Stat(a)
				wantReason(t, "stat", err, spec.Integrity)
				if st := s.Stats(); st.IntegrityFailures != 1 || st.Quarantined != 1 || st.Objects != 2 {
					t.Errorf("in quarantine: %+v", st)
				}
				out(t, s, a)
				if st := s.Stats(); st.IntegrityFailures != 1 || st.Quarantined != 0 {
					t.Errorf("after it: %+v", st)
				}
				audit(t, s, []*Handle{old}, nil)
				old.Release()
				audit(t, s, nil, nil)
				if !bytes.Equal(read(t, s, neighbour), bytesOf(8, 100)) {
					t.Error("the neighbour suffered")
				}
			})
		}
	}
}

// TestFaultAfterDelete finds a flipped bit in an object that is no longer in the index.
func TestFaultAfterDelete(t *testing.T) {
	s := open(t, 4)
	a, _ := put(t, s, bytesOf(9, 5000))
	h, _ := s.Get(a)
	defer h.Release()
	flip(s, h.o, 4999)
	if err := s.Delete(a); err != nil {
		t.Fatal(err)
	}
	_, err := h.Chunk(0, 1)
	wantReason(t, "chunk", err, spec.Integrity)
	if st := s.Stats(); st.IntegrityFailures != 1 || st.Quarantined != 0 {
		t.Errorf("%+v", st)
	}
	if _, created := put(t, s, bytesOf(9, 5000)); !created || s.Stats().Quarantined != 0 {
		t.Error("the fault reaches beyond the object that had it")
	}
}

// TestScrub is CAS-INT-007: what checksums can not see, the digest does.
func TestScrub(t *testing.T) {
	s := open(t, 64)
	var all []spec.Address
	var size int64
	for i, n := range lengths {
		a, _ := put(t, s, bytesOf(10, n))
		all = append(all, a)
		if size += int64(n); i == 3 || i == 11 {
			flip(s, stored(s, a), n-1)
			// A checksum that was changed along with the bytes does not help: the digest decides.
			o := stored(s, a)
			last := len(o.chunks) - 1
			o.chunks[last].crc = crcOf(s.arena.slot(o.chunks[last].at, o.chunkLen(last)))
		}
	}
	var paced int64
	pace := func(n int64) error { paced += n; return nil }
	for pass, want := range []ScrubReport{
		{int64(len(all)), size, 2},
		{int64(len(all) - 2), size - int64(lengths[3]+lengths[11]), 0},
	} {
		paced = 0
		got, err := s.Scrub(t.Context(), pace)
		if err != nil || got != want || paced != want.Bytes {
			t.Errorf("pass %d: %+v, %v, paced %d; want %+v", pass, got, err, paced, want)
		}
	}
	if st := s.Stats(); st.Quarantined != 2 || st.IntegrityFailures != 2 {
		t.Errorf("%+v", st)
	}
	for i, a := range all {
		_, err := s.Stat(a)
		want := spec.None
		if i == 3 || i == 11 {
			want = spec.Integrity
		}
		wantReason(t, "stat", err, want)
	}
	stop := errors.New("stop")
	if _, err := s.Scrub(t.Context(), func(int64) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("scrub ignores its pace: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Scrub(ctx, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("scrub ignores its context: %v", err)
	}
	// Deleting inside pace takes an object away between the listing and the check.
	if _, err := s.Scrub(t.Context(), func(int64) error {
		for _, a := range all {
			s.Delete(a)
		}
		return nil
	}); err != nil {
		t.Errorf("scrub trips over a delete: %v", err)
	}
	audit(t, s, nil, nil)
}

func TestCapacity(t *testing.T) {
	for _, n := range []int64{-1, 1, spanSize - 1, maxCapacity + 1, 1 << 62} {
		_, err := Open(Config{Capacity: n})
		wantReason(t, "open", err, spec.Internal)
	}
	for configured, want := range map[int64]int64{
		0: spec.DefaultStoreBytes, spanSize: spanSize, 2*spanSize - 1: spanSize, 100 * spanSize: 100 * spanSize,
	} {
		s, err := Open(Config{Capacity: configured})
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Stats().Capacity; got != want {
			t.Errorf("capacity %d is %d, want %d", configured, got, want)
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// View shows what Chunk shows, further where memory allows, and never a byte that is not intact.
func TestView(t *testing.T) {
	s := open(t, 64)
	b := bytesOf(1, 5*spanSize+100)
	a := store(t, s, b)
	h, err := s.Get(a)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release()
	longest := 0
	for _, off := range []int64{0, 1, spanSize - 1, spanSize, 4 * spanSize, 5 * spanSize, int64(len(b)) - 1, int64(len(b))} {
		for _, limit := range []int{0, 1, spanSize, spanSize + 1, 3 * spanSize, len(b)} {
			chunk, err1 := h.Chunk(off, limit)
			view, err2 := h.View(off, limit)
			if err1 != nil || err2 != nil {
				t.Fatal(err1, err2)
			}
			if len(view) < len(chunk) || len(view) > limit || !bytes.Equal(view, b[off:off+int64(len(view))]) {
				t.Fatalf("View(%d, %d) is %d bytes; Chunk gives %d", off, limit, len(view), len(chunk))
			}
			longest = max(longest, len(view))
		}
	}
	if longest <= spanSize {
		t.Error("no view was longer than a chunk, in a fresh arena")
	}
	last, err := h.Chunk(3*spanSize, 1)
	if err != nil {
		t.Fatal(err)
	}
	last[0] ^= 1
	view, err := h.View(0, len(b))
	if err != nil || len(view) > 3*spanSize || !bytes.Equal(view, b[:len(view)]) {
		t.Errorf("View over a damaged chunk: %d bytes, %v", len(view), err)
	}
	if _, err := h.View(int64(len(view)), len(b)); !errors.Is(err, spec.Integrity) {
		t.Errorf("View at the damaged chunk: %v, want integrity", err)
	}
}
