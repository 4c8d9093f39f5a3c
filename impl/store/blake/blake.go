// Package blake is a streaming BLAKE3-256 hasher that starts no goroutine and allocates nothing.
//
// It owns the shape of the BLAKE3 tree above 16 KiB and nothing else: the compression function and the SIMD code
// for 16 chunks at a time are those of lukechampine.com/blake3/guts. It may never read a clock, keep state between
// two Hashers, or hold on to a caller's slice.
//
// The input is cut into groups of 16 KiB, counted from its first byte. A group is a complete subtree of 16 chunks,
// so one call compresses it and one chaining value is all that stays of it:
//
//	bytes      0        16 KiB      32 KiB      48 KiB    50 KiB
//	           |  group 0  |  group 1  |  group 2  | rest |
//	tree                \     /             \       /
//	                    parent               parent
//	                         \               /
//	                          root (flag ROOT)
//
// Write compresses a whole group straight from the caller's slice; only bytes that do not fill a group are copied.
package blake

import (
	"math/bits"

	"lukechampine.com/blake3/guts"
)

const (
	// ChunkSize is the size in bytes of a leaf of the BLAKE3 tree. Sum256 of at most so many bytes needs no buffer.
	ChunkSize = guts.ChunkSize
	// GroupSize is how many bytes one call of the SIMD code compresses. A caller that writes slices of
	// n*GroupSize bytes, starting at a multiple of GroupSize, is never copied from.
	GroupSize = guts.MaxSIMD * guts.ChunkSize

	// maxHeight bounds the stack: BLAKE3 takes 2^64-1 bytes, which is less than 2^50 groups.
	maxHeight = 50
)

// Hasher computes BLAKE3-256 of a stream. The zero value is ready for use. It is for one goroutine at a time.
type Hasher struct {
	// stack[i] is the chaining value of a complete subtree of 2^i groups; it counts only where bit i of groups is set.
	stack [maxHeight][8]uint32
	// groups is how many groups are merged into stack.
	groups uint64
	// last is the root of the newest complete group while nothing follows it (hasLast): whether that node is the root
	// of the whole tree is known only when the next byte or Sum comes.
	last    guts.Node
	hasLast bool
	// buf[:n] is the incomplete group; buf[:dirty] may hold bytes of earlier ones.
	n, dirty int
	buf      [GroupSize]byte
}

// Reset makes h as new. Every byte of input and every value derived from it is overwritten.
func (h *Hasher) Reset() {
	clear(h.buf[:h.dirty])
	clear(h.stack[:bits.Len64(h.groups)])
	h.last, h.hasLast = guts.Node{}, false
	h.groups, h.n, h.dirty = 0, 0, 0
}

// Write adds p to the input. It always takes all of p and never fails; the result is for io.Writer.
func (h *Hasher) Write(p []byte) (int, error) {
	size := len(p)
	if h.n > 0 {
		n := copy(h.buf[h.n:], p)
		p = p[n:]
		h.n += n
		h.dirty = max(h.dirty, h.n)
		if h.n < GroupSize {
			return size, nil
		}
		h.group(&h.buf)
		h.n = 0
	}
	for len(p) >= GroupSize {
		h.group((*[GroupSize]byte)(p))
		p = p[GroupSize:]
	}
	if len(p) > 0 {
		h.settle()
		h.n = copy(h.buf[:], p)
		h.dirty = max(h.dirty, h.n)
	}
	return size, nil
}

// Sum returns the digest of the input so far. It changes nothing, so that more input may follow.
func (h *Hasher) Sum() [32]byte {
	var root guts.Node
	switch {
	case h.hasLast:
		root = h.last
	case h.n <= ChunkSize:
		root = leaf(h.buf[:h.n], h.groups*guts.MaxSIMD)
	default:
		root = guts.CompressBuffer(&h.buf, h.n, &guts.IV, h.groups*guts.MaxSIMD, 0)
	}
	for left := h.groups; left != 0; left &= left - 1 {
		root = guts.ParentNode(h.stack[bits.TrailingZeros64(left)], guts.ChainingValue(root), &guts.IV, 0)
	}
	return digest(root)
}

// Sum256 returns the BLAKE3-256 digest of p. Safe for concurrent use as long as nobody writes to p.
func Sum256(p []byte) [32]byte {
	if len(p) <= ChunkSize {
		return digest(leaf(p, 0))
	}
	return sumLarge(p)
}

// sumLarge is apart from Sum256 so that small inputs do not pay for its stack frame. The frame holds a copy of at most
// the last GroupSize-1 bytes of p, and Reset clears it.
func sumLarge(p []byte) [32]byte {
	var h Hasher
	h.Write(p)
	sum := h.Sum()
	h.Reset()
	return sum
}

// group compresses the next complete group.
func (h *Hasher) group(p *[GroupSize]byte) {
	h.settle()
	h.last = guts.CompressBuffer(p, GroupSize, &guts.IV, h.groups*guts.MaxSIMD, 0)
	h.hasLast = true
}

// settle moves the newest group to the stack, because something follows it, and merges every pair of subtrees of
// equal height.
func (h *Hasher) settle() {
	if !h.hasLast {
		return
	}
	cv := guts.ChainingValue(h.last)
	height := 0
	for ; h.groups&(1<<height) != 0; height++ {
		cv = guts.ChainingValue(guts.ParentNode(h.stack[height], cv, &guts.IV, 0))
	}
	h.stack[height] = cv
	h.groups++
	h.hasLast = false
}

// leaf compresses all of a chunk but its last block, which it returns as a node. guts.CompressChunk does the same with
// more copying around it (6% of the time), and an object of up to 1 KiB is nothing but this loop.
func leaf(p []byte, counter uint64) guts.Node {
	n := guts.Node{CV: guts.IV, Counter: counter, BlockLen: guts.BlockSize, Flags: guts.FlagChunkStart}
	for len(p) > guts.BlockSize {
		n.Block = guts.BytesToWords([guts.BlockSize]byte(p))
		out := guts.CompressNode(n)
		n.CV = [8]uint32(out[:8])
		n.Flags = 0
		p = p[guts.BlockSize:]
	}
	var padded [guts.BlockSize]byte
	n.BlockLen = uint32(copy(padded[:], p))
	n.Block = guts.BytesToWords(padded)
	n.Flags |= guts.FlagChunkEnd
	return n
}

// digest finishes the root node: the first half of its output is the digest.
func digest(root guts.Node) [32]byte {
	root.Flags |= guts.FlagRoot
	out := guts.WordsToBytes(guts.CompressNode(root))
	return [32]byte(out[:32])
}
