package blake

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"lukechampine.com/blake3"
)

// pattern is n bytes without a period that divides a block, a chunk or a group, so that swapped pieces show.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(i % 251)
	}
	return p
}

// stream hashes p in pieces of the given lengths, over and over; what is left comes as one piece.
func stream(h *Hasher, p []byte, cuts ...int) [32]byte {
	for len(p) > 0 && len(cuts) > 0 {
		for _, c := range cuts {
			c = min(c, len(p))
			h.Write(p[:c])
			p = p[c:]
		}
	}
	h.Write(p)
	return h.Sum()
}

// edges are the lengths on both sides of every boundary the tree knows: block, chunk, group, and powers of two groups.
func edges() []int {
	var lens []int
	for _, n := range []int{
		0, 64, 128, 1 << 10, 2 << 10, 3 << 10, 7 << 10, 8 << 10, 9 << 10, 15 << 10, 16 << 10, 17 << 10, 24 << 10,
		31 << 10, 32 << 10, 33 << 10, 48 << 10, 63 << 10, 64 << 10, 65 << 10, 80 << 10, 96 << 10, 112 << 10, 128 << 10,
		129 << 10, 240 << 10, 256 << 10, 272 << 10, 512 << 10, 1 << 20, 1<<20 + 16<<10,
	} {
		for _, d := range []int{-65, -64, -63, -1, 0, 1, 63, 64, 65} {
			if n+d >= 0 {
				lens = append(lens, n+d)
			}
		}
	}
	return lens
}

// TestEveryBoundary compares with blake3.Sum256 at every edge, one-shot, in one Write and in several cuts.
func TestEveryBoundary(t *testing.T) {
	h := new(Hasher)
	for _, n := range edges() {
		p := pattern(n)
		want := blake3.Sum256(p)
		if got := Sum256(p); got != want {
			t.Fatalf("Sum256 of %d bytes: %x, want %x", n, got, want)
		}
		for _, cuts := range [][]int{
			nil, {GroupSize}, {GroupSize - 1}, {GroupSize + 1}, {64 << 10}, {1000}, {1, GroupSize, GroupSize - 1},
			{ChunkSize}, {n / 2}, {n - 1, 1},
		} {
			if len(cuts) > 0 && cuts[0] < 1 {
				continue
			}
			h.Reset()
			if got := stream(h, p, cuts...); got != want {
				t.Fatalf("%d bytes in cuts of %v: %x, want %x", n, cuts, got, want)
			}
		}
	}
}

// TestEveryLength walks through all lengths up to two groups and a bit, byte by byte, asking for the digest at each one:
// so Sum changes nothing, and no length is special.
func TestEveryLength(t *testing.T) {
	p := pattern(2*GroupSize + 2*ChunkSize)
	h := new(Hasher)
	for n := range len(p) {
		if got, want := h.Sum(), blake3.Sum256(p[:n]); got != want {
			t.Fatalf("%d bytes: %x, want %x", n, got, want)
		}
		h.Write(p[n : n+1])
	}
}

// TestLargest hashes as much as the largest object has, so that the whole height of the stack is in use, and a byte less.
func TestLargest(t *testing.T) {
	p := pattern(64 << 20)
	for _, n := range []int{len(p), len(p) - 1} {
		if got, want := Sum256(p[:n]), blake3.Sum256(p[:n]); got != want {
			t.Fatalf("%d bytes: %x, want %x", n, got, want)
		}
	}
}

// TestResetLeavesNothing looks for the input in a Hasher after Reset: all of it is zero again.
func TestResetLeavesNothing(t *testing.T) {
	for _, n := range []int{1, 1000, GroupSize - 1, GroupSize, 3*GroupSize + 5, 9 * GroupSize} {
		h := new(Hasher)
		stream(h, bytes.Repeat([]byte{0xa5}, n), 5000)
		if *h == (Hasher{}) {
			t.Fatalf("%d bytes left no mark: the test can't see", n)
		}
		h.Reset()
		if *h != (Hasher{}) {
			t.Errorf("after %d bytes and Reset the hasher is not as new", n)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	p, h := pattern(1<<20+100), new(Hasher)
	for _, n := range []int{0, 100, 1 << 10, 2 << 10, 64 << 10, len(p)} {
		if got := testing.AllocsPerRun(20, func() { Sum256(p[:n]) }); got != 0 {
			t.Errorf("Sum256 of %d bytes: %v allocations", n, got)
		}
		if got := testing.AllocsPerRun(20, func() { h.Reset(); stream(h, p[:n], 60000); h.Sum() }); got != 0 {
			t.Errorf("Hasher over %d bytes: %v allocations", n, got)
		}
	}
}

// FuzzHasher holds Hasher and Sum256 equal to blake3.Sum256. To reach many groups from small inputs, data is repeated up
// to the length asked for; seed picks the cuts.
func FuzzHasher(f *testing.F) {
	for _, n := range []uint32{0, 1, 1024, 1025, GroupSize - 1, GroupSize, GroupSize + 1, 5*GroupSize + 77, 300_000} {
		f.Add([]byte("abc"), n, uint64(n))
	}
	f.Fuzz(func(t *testing.T, data []byte, length uint32, seed uint64) {
		p := data
		if n := int(length % (20 * GroupSize)); len(data) > 0 && n > len(data) {
			p = bytes.Repeat(data, n/len(data)+1)[:n]
		}
		want := blake3.Sum256(p)
		if got := Sum256(p); got != want {
			t.Fatalf("Sum256 of %d bytes: %x, want %x", len(p), got, want)
		}
		rng := rand.New(rand.NewPCG(seed, 1))
		h := new(Hasher)
		for range 2 { // the second time on a used hasher
			h.Reset()
			for rest := p; len(rest) > 0; {
				// Cuts of every order of magnitude, and every second one up to the next group boundary.
				k := 1 + rng.IntN(1<<(1+rng.IntN(17)))
				if rng.IntN(2) == 0 {
					k = GroupSize - (len(p)-len(rest))%GroupSize
				}
				k = min(k, len(rest))
				h.Write(rest[:k])
				if done := len(p) - len(rest) + k; rng.IntN(8) == 0 && done < 4*GroupSize {
					if got, want := h.Sum(), blake3.Sum256(p[:done]); got != want {
						t.Fatalf("after %d of %d bytes: %x, want %x", done, len(p), got, want)
					}
				}
				rest = rest[k:]
			}
			if got := h.Sum(); got != want {
				t.Fatalf("%d bytes, cuts of seed %d: %x, want %x", len(p), seed, got, want)
			}
		}
	})
}
