package store

import (
	"encoding/binary"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/rustyonions/micronode/spec"
)

var benchSizes = []int{1 << 10, 64 << 10, 1 << 20}

func benchName(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%dMiB", n>>20)
	}
	return fmt.Sprintf("%dKiB", n>>10)
}

func benchSize(b *testing.B, run func(b *testing.B, s *Store, p []byte)) {
	for _, n := range benchSizes {
		b.Run(benchName(n), func(b *testing.B) {
			s := open(b, 4096)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			p := bytesOf(1, n)
			var before, after unix.Rusage
			if err := unix.Getrusage(unix.RUSAGE_SELF, &before); err != nil {
				b.Fatal(err)
			}
			run(b, s, p)
			if err := unix.Getrusage(unix.RUSAGE_SELF, &after); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(after.Minflt-before.Minflt)/float64(b.N), "faults/op")
		})
	}
}

// BenchmarkPut stores new objects by Write and deletes each at once, so that memory is recycled.
func BenchmarkPut(b *testing.B) {
	benchSize(b, func(b *testing.B, s *Store, p []byte) {
		for i := uint64(0); b.Loop(); i++ {
			binary.LittleEndian.PutUint64(p, i)
			s.Delete(store(b, s, p))
		}
	})
}

// BenchmarkPutNext is BenchmarkPut without the copy: the bytes are in place when Advance is called, as they would be
// after a read from a socket.
func BenchmarkPutNext(b *testing.B) {
	benchSize(b, func(b *testing.B, s *Store, p []byte) {
		for i := uint64(0); b.Loop(); i++ {
			w, err := s.NewWriter(nil, int64(len(p)))
			if err != nil {
				b.Fatal(err)
			}
			for next := w.Next(); len(next) > 0; next = w.Next() {
				binary.LittleEndian.PutUint64(next, i)
				w.Advance(len(next))
			}
			a, _, err := w.Commit()
			if err != nil {
				b.Fatal(err)
			}
			s.Delete(a)
		}
	})
}

// BenchmarkPutFresh stores objects in memory that was never touched; the store is replaced when it is full.
func BenchmarkPutFresh(b *testing.B) {
	benchSize(b, func(b *testing.B, s *Store, p []byte) {
		left := 4000 * spanSize / len(p)
		for i := uint64(0); b.Loop(); i++ {
			if left--; left < 0 {
				b.StopTimer()
				s = open(b, 4096)
				left = 4000 * spanSize / len(p)
				b.StartTimer()
			}
			binary.LittleEndian.PutUint64(p, i)
			store(b, s, p)
		}
	})
}

// BenchmarkPutAgain stores what is there already.
func BenchmarkPutAgain(b *testing.B) {
	benchSize(b, func(b *testing.B, s *Store, p []byte) {
		put(b, s, p)
		for b.Loop() {
			store(b, s, p)
		}
	})
}

// BenchmarkGet opens, verifies and views a whole object.
func BenchmarkGet(b *testing.B) {
	benchSize(b, func(b *testing.B, s *Store, p []byte) {
		a, _ := put(b, s, p)
		for b.Loop() {
			h, err := s.Get(a)
			if err != nil {
				b.Fatal(err)
			}
			for off := int64(0); off < h.Size(); {
				view, err := h.Chunk(off, spanSize)
				if err != nil {
					b.Fatal(err)
				}
				off += int64(len(view))
			}
			h.Release()
		}
	})
}

// BenchmarkDelete deletes objects that were stored outside of the measured time.
func BenchmarkDelete(b *testing.B) {
	benchSize(b, func(b *testing.B, s *Store, p []byte) {
		batch := make([]spec.Address, 0, 64)
		for b.Loop() {
			if len(batch) == 0 {
				b.StopTimer()
				for i := range cap(batch) {
					p[0] = byte(i)
					batch = append(batch, store(b, s, p))
				}
				b.StartTimer()
			}
			if err := s.Delete(batch[len(batch)-1]); err != nil {
				b.Fatal(err)
			}
			batch = batch[:len(batch)-1]
		}
	})
}

// BenchmarkLookup is Get and Release alone, from all processors at once.
func BenchmarkLookup(b *testing.B) {
	s := open(b, 256)
	var all []spec.Address
	for i := range 1000 {
		a, _ := put(b, s, bytesOf(uint64(i), 100))
		all = append(all, a)
	}
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			h, err := s.Get(all[i%len(all)])
			if err != nil {
				b.Fatal(err)
			}
			h.Release()
		}
	})
}

// BenchmarkScrub checks 64 MiB in objects of 64 KiB.
func BenchmarkScrub(b *testing.B) {
	s := open(b, 1100)
	for i := range 1024 {
		put(b, s, bytesOf(uint64(i), spanSize))
	}
	b.SetBytes(64 << 20)
	for b.Loop() {
		if _, err := s.Scrub(b.Context(), nil); err != nil {
			b.Fatal(err)
		}
	}
}
