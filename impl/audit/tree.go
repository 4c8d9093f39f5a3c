package audit

import (
	"crypto/sha256"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// levels is how many levels a tree of up to 2^63 records has.
const levels = 63

// node names a full subtree: the records [at<<level, (at+1)<<level).
type node struct {
	level uint8
	at    uint64
}

// tree keeps the part of the Merkle tree of CAP-AUD-002 that the promise of the package comment needs.
//
// Each level has a ring of its latest (capacity>>level)+2 nodes. Let the held records be [first, size), at most capacity
// of them. A node of this level that is not wholly below first has a number of at least first>>level, the frontier of
// [0, first) has at most the node before that one, and the last full node is (size>>level)-1. That makes at most
// (capacity>>level)+2 nodes, so a ring never loses one of them. From the frontier and from what lies above it follow all
// nodes of the proofs for sizes from first on (CAP-AUD-006, CAP-AUD-008).
//
// A proof that starts from an older checkpoint of size s needs the nodes that end and that begin at the cuts that s
// makes: of two siblings [a,b) and [b,c), the left one for s in [b,c) and the right one for s in (a,b]. A node that
// leaves its ring moves to old if a kept checkpoint is there, and only then. Nothing is missed: a checkpoint is taken at
// the size that the log has then, c is at most two nodes of that level behind a, and a ring has at least two.
type tree struct {
	capacity uint64
	size     uint64
	rings    [levels][]tlog.Hash // rings[l][at % len] is node (l, at); made when the first node of a level is full
	old      map[node]tlog.Hash  // at most 2*levels for each kept checkpoint
	kept     []uint64            // sizes of the kept checkpoints, ascending, at most keep
	keep     int
}

func newTree(capacity, keep int) *tree {
	return &tree{capacity: uint64(capacity), keep: keep, old: map[node]tlog.Hash{}}
}

// leafHash is the hash of a record that stands behind a zero byte (RFC 6962).
func leafHash(zeroAndRecord []byte) tlog.Hash { return sha256.Sum256(zeroAndRecord) }

// add appends a leaf and every node that it completes.
func (t *tree) add(leaf tlog.Hash) {
	at, hash := t.size, leaf
	t.size++
	for level := 0; ; level++ {
		t.put(level, at, hash)
		if at&1 == 0 {
			return
		}
		hash = tlog.NodeHash(t.rings[level][(at-1)%uint64(len(t.rings[level]))], hash)
		at >>= 1
	}
}

func (t *tree) put(level int, at uint64, hash tlog.Hash) {
	ring := t.rings[level]
	if ring == nil {
		ring = make([]tlog.Hash, t.capacity>>level+2)
		t.rings[level] = ring
	}
	n := uint64(len(ring))
	if at >= n {
		if leaving := (node{uint8(level), at - n}); t.needed(leaving) {
			t.old[leaving] = ring[at%n]
		}
	}
	ring[at%n] = hash
}

// needed says whether a kept checkpoint has n beside its cut.
func (t *tree) needed(n node) bool {
	start, width := n.at<<n.level, uint64(1)<<n.level
	from, to := start+width, start+2*width-1 // a left sibling: checkpoints in [b,c)
	if n.at&1 == 1 {
		from, to = start-width+1, start // a right one: in (a,b]
	}
	i, found := slices.BinarySearch(t.kept, from)
	return found || i < len(t.kept) && t.kept[i] <= to
}

// checkpoint keeps the present size provable and forgets the oldest one where there are too many.
func (t *tree) checkpoint() {
	if len(t.kept) > 0 && t.kept[len(t.kept)-1] == t.size {
		return
	}
	t.kept = append(t.kept, t.size)
	if len(t.kept) <= t.keep {
		return
	}
	gone := t.kept[0]
	t.kept = slices.Delete(t.kept, 0, 1)
	for level := range uint8(levels) {
		cut := gone >> level
		for _, n := range [...]node{{level, cut - 1}, {level, cut}, {level, cut + 1}} {
			if !t.needed(n) {
				delete(t.old, n)
			}
		}
	}
}

// frontier lists the full subtrees of the first size records, largest first. It needs size to be provable.
func (t *tree) frontier(size uint64) ([]tlog.Hash, error) {
	var indexes []int64
	for rest := size; rest != 0; {
		level := bits.Len64(rest) - 1
		rest &^= 1 << level
		indexes = append(indexes, tlog.StoredHashIndex(level, int64((size-rest)>>level-1)))
	}
	return t.ReadHashes(indexes)
}

// ReadHashes makes tree a tlog.HashReader. It fails with ErrNoProof where a node is full no longer or not yet.
func (t *tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	hashes := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, at := tlog.SplitStoredHashIndex(index)
		hash, ok := t.get(node{uint8(level), uint64(at)})
		if !ok {
			return nil, ErrNoProof
		}
		hashes[i] = hash
	}
	return hashes, nil
}

func (t *tree) get(n node) (tlog.Hash, bool) {
	full := t.size >> n.level // how many nodes of this level are full
	if n.at >= full {
		return tlog.Hash{}, false
	}
	if ring := t.rings[n.level]; full-n.at <= uint64(len(ring)) {
		return ring[n.at%uint64(len(ring))], true
	}
	hash, ok := t.old[n]
	return hash, ok
}

func (t *tree) root() tlog.Hash {
	hash, err := tlog.TreeHash(int64(t.size), t)
	if err != nil {
		panic("audit: the frontier of the present size is gone: " + err.Error()) // our own bug: rings keep it
	}
	return hash
}
