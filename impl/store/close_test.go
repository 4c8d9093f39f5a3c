package store

import (
	"bytes"
	"hash/crc32"
	"testing"

	"github.com/rustyonions/micronode/spec"
)

func crcOf(p []byte) uint32 { return crc32.Checksum(p, castagnoli) }

// canary is a pattern that nothing else in the region can hold.
const canary = "canary-7f3a91c2-"

// litter leaves canaries in a store in every way there is and cleans up after each, but for the objects it returns.
func litter(t *testing.T, s *Store) (left []spec.Address) {
	t.Helper()
	payload := func(tag byte, n int) []byte {
		return append(bytes.Repeat([]byte(canary), n/len(canary)+1)[:n], tag)
	}
	for i, n := range []int{100, 1500, 20_000, spanSize - 1, 3*spanSize + 700} {
		// deleted
		a, _ := put(t, s, payload(1, n))
		if err := s.Delete(a); err != nil {
			t.Fatal(err)
		}
		// put twice
		put(t, s, payload(2, n))
		b, _ := put(t, s, payload(2, n))
		left = append(left, b)
		// aborted, with a reader that scribbled over all it was given
		for _, total := range []int64{-1, int64(n + 1)} {
			w, err := s.NewWriter(nil, total)
			if err != nil {
				t.Fatal(err)
			}
			w.Write(payload(3, n/2))
			for buf := w.Next(); len(buf) > 0; {
				buf = buf[copy(buf, canary):]
			}
			if err := w.Advance(7); err != nil {
				t.Fatal(err)
			}
			w.Abort()
			// wrong digest
			w, err = s.NewWriter(&spec.Address{}, total)
			if err != nil {
				t.Fatal(err)
			}
			w.Write(payload(4, n))
			_, _, err = w.Commit()
			wantReason(t, "commit", err, spec.BadDigest)
			// truncated, or of unknown length and moved at Commit
			w, err = s.NewWriter(nil, total)
			if err != nil {
				t.Fatal(err)
			}
			for buf := w.Next(); len(buf) > 0; {
				buf = buf[copy(buf, canary):]
			}
			w.Advance(50 + i)
			if a, _, err := w.Commit(); err == nil {
				left = append(left, a)
			}
		}
	}
	return left
}

// TestNoCanaryRemains looks at every byte of the region after deletes (AMN-ZER-001), failures (AMN-ZER-002) and Close
// (AMN-ZER-003). To look after Close, the test
// takes one slot of its own, which keeps the region mapped like an open handle does.
func TestNoCanaryRemains(t *testing.T) {
	s := open(t, 64)
	left := litter(t, s)
	found := bytes.Count(s.arena.mem, []byte(canary))
	if found < 1000 {
		t.Fatalf("%d canaries in the region: the scan can't see the objects that are there", found)
	}
	audit(t, s, nil, nil) // all else is zero
	for _, a := range left {
		if err := s.Delete(a); err != nil {
			t.Fatal(err)
		}
	}
	if i := nonZero(s.arena.mem); i >= 0 {
		t.Fatalf("byte %d of the region is %#x when everything is deleted", i, s.arena.mem[i])
	}

	litter(t, s)
	w, err := s.NewWriter(nil, -1)
	if err != nil {
		t.Fatal(err)
	}
	w.Write([]byte(canary))
	mine, err := s.arena.alloc(1, true)
	if err != nil {
		t.Fatal(err)
	}
	wantReason(t, "close with an open writer", s.Close(), spec.Draining)
	_, err = w.Write([]byte(canary))
	wantReason(t, "write", err, spec.Draining)
	if i := nonZero(s.arena.mem); i >= 0 {
		t.Fatalf("byte %d of the region is %#x after close", i, s.arena.mem[i])
	}
	wantReason(t, "close while a slot is taken", s.Close(), spec.Draining)
	s.arena.free(mine, 1)
	if s.arena.mem != nil {
		t.Error("the region is still mapped when the last slot is free")
	}
	if err := s.Close(); err != nil {
		t.Errorf("close at last: %v", err)
	}
}

// TestClosed calls everything on a closed store, with a handle and writers left open.
func TestClosed(t *testing.T) {
	s, err := Open(Config{Capacity: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	p := bytesOf(1, 100_000)
	a, _ := put(t, s, p)
	empty, _ := put(t, s, nil)
	h, _ := s.Get(a)
	h0, _ := s.Get(empty)
	var writers []*Writer
	for range 4 {
		w, err := s.NewWriter(nil, 10)
		if err != nil {
			t.Fatal(err)
		}
		w.Write(p[:5])
		writers = append(writers, w)
	}
	view := writers[1].Next()
	wantReason(t, "close", s.Close(), spec.Draining)

	_, err = s.Get(a)
	wantReason(t, "get", err, spec.Draining)
	_, err = s.Stat(a)
	wantReason(t, "stat", err, spec.Draining)
	wantReason(t, "delete", s.Delete(a), spec.Draining)
	_, err = s.NewWriter(nil, 1)
	wantReason(t, "new writer", err, spec.Draining)
	_, err = s.Scrub(t.Context(), nil)
	wantReason(t, "scrub", err, spec.Draining)
	if st := s.Stats(); st.Objects != 0 || st.Bytes != 0 {
		t.Errorf("a closed store has %+v", st)
	}

	if !bytes.Equal(readAll(t, h), p) { // a reader may finish
		t.Error("the object changed under its handle")
	}
	_, err = writers[0].Write(p[:5])
	wantReason(t, "write", err, spec.Draining)
	copy(view, p) // the socket may still be writing into what Next gave out
	wantReason(t, "advance", writers[1].Advance(5), spec.Draining)
	if writers[2].Next() != nil {
		t.Error("next gives memory of a closed store")
	}
	_, _, err = writers[3].Commit()
	wantReason(t, "commit", err, spec.Draining)
	for _, w := range writers {
		w.Abort()
	}
	h0.Release()
	if s.arena.mem == nil {
		t.Fatal("unmapped under an open handle")
	}
	if i := nonZero(s.arena.mem); i < 0 {
		t.Fatal("the handle's bytes are gone: the test looks at the wrong place")
	}
	h.Release()
	if s.arena.mem != nil {
		t.Error("still mapped after the last handle")
	}
	if err := s.Close(); err != nil {
		t.Errorf("close at last: %v", err)
	}
}
