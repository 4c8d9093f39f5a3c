package blake

import (
	"fmt"
	"testing"
	"time"

	"lukechampine.com/blake3"
)

var sizes = []int{1 << 10, 64 << 10, 1 << 20}

func name(n int) string {
	if n >= 1<<20 {
		return fmt.Sprintf("%dMiB", n>>20)
	}
	return fmt.Sprintf("%dKiB", n>>10)
}

// BenchmarkHasher is the streaming hasher, fed in slices of 64 KiB as the store does.
func BenchmarkHasher(b *testing.B) {
	for _, n := range sizes {
		b.Run(name(n), func(b *testing.B) {
			p, h := pattern(n), new(Hasher)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				h.Reset()
				for rest := p; len(rest) > 0; {
					k := min(len(rest), 64<<10)
					h.Write(rest[:k])
					rest = rest[k:]
				}
				h.Sum()
			}
		})
	}
}

// BenchmarkSum256 is the one-shot form.
func BenchmarkSum256(b *testing.B) {
	for _, n := range sizes {
		b.Run(name(n), func(b *testing.B) {
			p := pattern(n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				Sum256(p)
			}
		})
	}
}

// BenchmarkFloor is blake3.Sum256, the floor the two above are measured against in the same run.
func BenchmarkFloor(b *testing.B) {
	for _, n := range sizes {
		b.Run(name(n), func(b *testing.B) {
			p := pattern(n)
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				blake3.Sum256(p)
			}
		})
	}
}

// BenchmarkRatio takes turns between the floor and the hasher and reports the floor's time divided by the hasher's.
// The hasher uses one thread; the floor uses as many as there are, so compare on one with -cpu 1.
func BenchmarkRatio(b *testing.B) {
	for _, n := range sizes {
		b.Run(name(n), func(b *testing.B) {
			p, h := pattern(n), new(Hasher)
			turn := max(1, 256<<10/n) // several calls, so that the clock is not what is measured
			var floor, ours time.Duration
			for b.Loop() {
				start := time.Now()
				for range turn {
					blake3.Sum256(p)
				}
				middle := time.Now()
				for range turn {
					h.Reset()
					h.Write(p)
					h.Sum()
				}
				floor += middle.Sub(start)
				ours += time.Since(middle)
			}
			b.ReportMetric(float64(floor)/float64(ours), "x/Sum256")
		})
	}
}
