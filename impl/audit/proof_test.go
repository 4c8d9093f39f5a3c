package audit_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/transparency-dev/merkle/proof"
	"github.com/transparency-dev/merkle/rfc6962"
	"github.com/transparency-dev/merkle/testonly"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"pgregory.net/rapid"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/spec"
)

// history drives a log of small capacity beside a tree that forgets nothing, written by others.
type history struct {
	*rig
	reference   *testonly.Tree
	hold        bool
	capacity    uint64
	keep        int
	first, size uint64
	signed      []uint64 // sizes of checkpoints, each once
}

func newHistory(t testing.TB, capacity int, hold bool, keep int) *history {
	return &history{
		rig:       newRigWithKeys(t, audit.Config{Capacity: capacity, Hold: hold, Checkpoints: keep}, cheapKeys()),
		reference: testonly.New(rfc6962.DefaultHasher), hold: hold, capacity: uint64(capacity), keep: keep,
	}
}

// fataler is what *testing.T and *rapid.T share here.
type fataler interface {
	Fatal(...any)
	Fatalf(string, ...any)
}

func (h *history) add(t fataler) {
	r := denial(int(h.size))
	index, err := h.Append(r)
	if h.hold && h.size-h.first == h.capacity {
		if index != audit.Counted || err != nil {
			t.Fatalf("denial in a full log: %d, %v", index, err)
		}
		return
	}
	line, lineErr := audit.AppendRecord(nil, h.size, &r)
	if err != nil || lineErr != nil || index != h.size {
		t.Fatalf("record %d: %d, %v, %v", h.size, index, err, lineErr)
	}
	h.reference.AppendData(line)
	h.size++
	h.first = max(h.first, h.size-min(h.size, h.capacity))
}

func (h *history) checkpoint(t fataler) {
	signed, err := h.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	c, err := audit.OpenCheckpoint(signed, h.keys.verifiers)
	if err != nil || c.Size != h.size || c.Origin != origin || !bytes.Equal(c.Root[:], h.reference.Hash()) {
		t.Fatalf("checkpoint %+v, %v; the reference has %d and %x", c, err, h.size, h.reference.Hash())
	}
	if !slices.Contains(h.signed, h.size) {
		h.signed = append(h.signed, h.size)
	}
}

// drop exports and acknowledges what is held, up to size.
func (h *history) drop(t fataler, size uint64) {
	if err := h.Export(&bytes.Buffer{}); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(h.signed, h.size) {
		h.signed = append(h.signed, h.size)
	}
	pending := h.Stats().Pending
	if _, err := h.Acknowledge(size); err != nil {
		t.Fatal(err)
	}
	if size > h.first {
		h.first = size
		if pending != 0 {
			r := audit.Record{Time: epoch, Event: audit.Missed, N: pending}
			line, err := audit.AppendRecord(nil, h.size, &r)
			if err != nil {
				t.Fatal(err)
			}
			h.reference.AppendData(line)
			h.size++
		}
	}
}

// provable is the promise of the package comment.
func (h *history) provable(size uint64) bool {
	return size == 0 || h.first <= size && size <= h.size || slices.Contains(h.signed[len(h.signed)-min(len(h.signed), h.keep):], size)
}

// hashes turns a proof into the form of the reference.
func hashes(p []tlog.Hash) (list [][]byte) {
	for _, h := range p {
		list = append(list, h[:])
	}
	return list
}

func (h *history) checkInclusion(t fataler, index, size uint64) {
	got, err := h.Inclusion(index, size)
	if index < h.first || index >= size || size > h.size {
		if !hasReason(err, spec.NotFound) || got.Proof != nil {
			t.Fatalf("record %d in %d of [%d,%d): %v, %v", index, size, h.first, h.size, got, err)
		}
		return
	}
	want, wantErr := h.reference.InclusionProof(index, size)
	if err != nil || wantErr != nil || got.Index != index || got.Size != size || got.Proof == nil ||
		!bytes.Equal(got.Leaf[:], h.reference.LeafHash(index)) || !slices.EqualFunc(hashes(got.Proof), want, bytes.Equal) {
		t.Fatalf("record %d in %d of [%d,%d): %v %v; the reference says %x, %v", index, size, h.first, h.size, got, err, want, wantErr)
	}
	if err := proof.VerifyInclusion(rfc6962.DefaultHasher, index, size, got.Leaf[:], hashes(got.Proof), h.reference.HashAt(size)); err != nil {
		t.Fatal(err)
	}
}

func (h *history) checkConsistency(t fataler, from, to uint64) {
	got, err := h.Consistency(from, to)
	if from > to || !h.provable(from) || !h.provable(to) {
		if !hasReason(err, spec.NotFound) || got.Proof != nil {
			t.Fatalf("%d to %d of [%d,%d), signed %v: %v, %v", from, to, h.first, h.size, h.signed, got, err)
		}
		return
	}
	want, wantErr := h.reference.ConsistencyProof(from, to)
	if err != nil || wantErr != nil || got.Old != from || got.New != to || got.Proof == nil || !slices.EqualFunc(hashes(got.Proof), want, bytes.Equal) {
		t.Fatalf("%d to %d of [%d,%d), signed %v: %v %v; the reference says %x, %v", from, to, h.first, h.size, h.signed, got, err, want, wantErr)
	}
	if err := proof.VerifyConsistency(rfc6962.DefaultHasher, from, to, hashes(got.Proof), h.reference.HashAt(from), h.reference.HashAt(to)); err != nil {
		t.Fatal(err)
	}
}

// TestProofs holds the promise of the package comment against the reference over random histories of appends, drops
// and checkpoints: what is promised is proved with the hashes of the reference, and nothing else is answered
// (CAP-AUD-002, CAP-AUD-006, CAP-AUD-008).
func TestProofs(t *testing.T) {
	const histories = 2000 // besides those of rapid, which shrink
	outer := t
	run := func(t *rapid.T) {
		h := newHistory(outer, rapid.IntRange(1, 40).Draw(t, "capacity"), rapid.Bool().Draw(t, "hold"), rapid.IntRange(1, 6).Draw(t, "keep"))
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			switch rapid.IntRange(0, 4).Draw(t, "step") {
			case 0, 1:
				for range rapid.IntRange(1, 50).Draw(t, "records") {
					h.add(t)
				}
			case 2, 3:
				h.checkpoint(t)
			case 4:
				if h.hold {
					h.drop(t, rapid.Uint64Range(0, h.size).Draw(t, "size"))
				}
			}
			draw := func(what string) uint64 {
				if len(h.signed) > 0 && rapid.Bool().Draw(t, what+" is signed") {
					return rapid.SampledFrom(h.signed).Draw(t, what)
				}
				return rapid.Uint64Range(0, h.size+1).Draw(t, what)
			}
			h.checkConsistency(t, draw("old"), draw("new"))
			h.checkInclusion(t, rapid.Uint64Range(h.first-min(h.first, 2), h.size).Draw(t, "index"), draw("size"))
		}
	}
	rapid.Check(t, run)
	random := rand.New(rand.NewPCG(4, 4))
	for n := range histories {
		h := newHistory(t, 1+random.IntN(40), n%2 == 0, 1+random.IntN(6))
		for range 5 + random.IntN(25) {
			switch random.IntN(4) {
			case 0:
				for range random.IntN(60) {
					h.add(t)
				}
			case 1, 2:
				h.add(t)
				h.checkpoint(t)
			case 3:
				if h.hold {
					h.drop(t, random.Uint64N(h.size+1))
				}
			}
		}
		for _, from := range h.signed {
			h.checkConsistency(t, from, h.size)
			h.checkConsistency(t, from, h.signed[random.IntN(len(h.signed))])
		}
		for range 20 {
			h.checkConsistency(t, random.Uint64N(h.size+1), random.Uint64N(h.size+2))
			h.checkInclusion(t, h.first+random.Uint64N(h.size-h.first+1), random.Uint64N(h.size+2))
		}
	}
}

// TestEveryProof asks for every pair there is in one small log that has dropped most of its records (CAP-AUD-006).
func TestEveryProof(t *testing.T) {
	for _, capacity := range []int{1, 2, 7, 8, 9} {
		h := newHistory(t, capacity, false, 5)
		for n := range 70 {
			h.add(t)
			if n%9 == 0 || n == 31 || n == 32 {
				h.checkpoint(t)
			}
		}
		for from := range uint64(72) {
			for to := range uint64(72) {
				h.checkConsistency(t, from, to)
				h.checkInclusion(t, from, to)
			}
		}
	}
}

// TestDroppedHistoryStaysProvable: 100,000 records went through a log of 16, and its first checkpoint is still connected
// with its last; the record that is held is still proved to be in the tree (CAP-AUD-006, CAP-AUD-008).
func TestDroppedHistoryStaysProvable(t *testing.T) {
	r := newRig(t, 16, false)
	r.append(t, 3)
	old := r.checkpoint(t)
	r.append(t, 99_997)
	c, err := r.Consistency(3, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	latest := r.checkpoint(t)
	if err := audit.VerifyConsistency(old, latest, c.Proof, r.keys.verifiers); err != nil {
		t.Error(err)
	}
	for i := range c.Proof {
		bad := slices.Clone(c.Proof)
		bad[i][3] ^= 1
		if err := audit.VerifyConsistency(old, latest, bad, r.keys.verifiers); !hasReason(err, spec.Integrity) {
			t.Errorf("hash %d of the proof was changed: %v", i, err)
		}
	}
	in, err := r.Inclusion(99_990, 100_000)
	if err != nil {
		t.Fatal(err)
	}
	head, err := audit.OpenCheckpoint(latest, r.keys.verifiers)
	if err != nil {
		t.Fatal(err)
	}
	if err := tlog.CheckRecord(in.Proof, 100_000, head.Root, 99_990, in.Leaf); err != nil {
		t.Error(err)
	}
}

// TestProofJSON: the answers over HTTP have the members of the law, and an empty proof is an empty list.
func TestProofJSON(t *testing.T) {
	r := newRig(t, 4, false)
	r.append(t, 1)
	in, err := r.Inclusion(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	c, err := r.Consistency(1, 1)
	if err != nil {
		t.Fatal(err)
	}
	for want, v := range map[string]any{
		`{"index":0,"size":1,"leaf":"` + in.Leaf.String() + `","proof":[]}`: in,
		`{"old":1,"new":1,"proof":[]}`:                                      c,
	} {
		if got, err := json.Marshal(v); err != nil || string(got) != want {
			t.Errorf("%s, %v; want %s", got, err, want)
		}
	}
}

// TestCheckpointForm: three lines, then the signatures of all keys; the same size is signed once (CAP-AUD-005).
func TestCheckpointForm(t *testing.T) {
	r := newRig(t, 4, false)
	empty := r.checkpoint(t)
	if !bytes.HasPrefix(empty, []byte(origin+"\n0\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n\n— "+origin+" ")) {
		t.Errorf("%s", empty)
	}
	r.append(t, 5)
	signed := r.checkpoint(t)
	if again := r.checkpoint(t); !bytes.Equal(again, signed) {
		t.Error("one size, two checkpoints")
	}
	clear(signed)
	if again := r.checkpoint(t); bytes.Equal(again, signed) {
		t.Error("a caller can write into the kept checkpoint")
	}
	n, err := note.Open(r.checkpoint(t), note.VerifierList(r.keys.verifiers...))
	if err != nil || len(n.Sigs) != 2 || strings.Count(n.Text, "\n") != 3 || !strings.HasPrefix(n.Text, origin+"\n5\n") {
		t.Errorf("%+v, %v", n, err)
	}
}

// TestOneSignatureIsNone: a checkpoint needs the signatures of all keys; a witness may sign besides (CAP-AUD-011).
func TestOneSignatureIsNone(t *testing.T) {
	r := newRig(t, 4, false)
	r.append(t, 3)
	signed := r.checkpoint(t)
	text, lines, _ := strings.Cut(string(signed), "\n\n")
	each := strings.SplitAfter(lines, "\n")
	stranger := newKeys(t, 2)
	witnessed, err := note.Sign(&note.Note{Text: text + "\n"}, append(slices.Clone(r.keys.signers), stranger.signers[0])...)
	if err != nil {
		t.Fatal(err)
	}
	if c, err := audit.OpenCheckpoint(witnessed, r.keys.verifiers); err != nil || c.Size != 3 {
		t.Errorf("with a witness: %v", err)
	}
	for what, bad := range map[string]string{
		"first half only":  text + "\n\n" + each[0],
		"second half only": text + "\n\n" + each[1],
		"one half twice":   text + "\n\n" + each[0] + each[0],
		"three lines":      text + "\n\n" + each[0] + each[1] + each[1],
		"no signature":     text + "\n\n",
		"another size":     strings.Replace(string(signed), "\n3\n", "\n4\n", 1),
		"another origin":   strings.Replace(string(signed), origin+"\n3", "other\n3", 1),
	} {
		if _, err := audit.OpenCheckpoint([]byte(bad), r.keys.verifiers); !hasReason(err, spec.Integrity) {
			t.Errorf("%s: %v", what, err)
		}
	}
	mixed := []note.Verifier{r.keys.verifiers[0], stranger.verifiers[1]}
	if _, err := audit.OpenCheckpoint(signed, mixed); !hasReason(err, spec.Integrity) {
		t.Errorf("half of another node: %v", err)
	}
	for _, text := range []string{"", "x\n", origin + "\n03\n" + strings.Repeat("A", 43) + "=\n", origin + "\n3\nAAAA\n", origin + "\n3\n" + strings.Repeat("A", 43) + "=\nmore\n"} {
		bad, err := note.Sign(&note.Note{Text: text + "\n"}, r.keys.signers...)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := audit.OpenCheckpoint(bad, r.keys.verifiers); !hasReason(err, spec.Malformed) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// TestForkBetweenCheckpoints: two checkpoints of one log that nothing connects (CAP-AUD-012).
func TestForkBetweenCheckpoints(t *testing.T) {
	a, b := newRig(t, 8, false), newRig(t, 8, false)
	a.append(t, 5)
	b.append(t, 4)
	if _, err := b.Append(denial(77)); err != nil {
		t.Fatal(err)
	}
	old, other := a.checkpoint(t), b.checkpoint(t)
	a.append(t, 3)
	b.append(t, 3)
	proofA, err := a.Consistency(5, 8)
	if err != nil {
		t.Fatal(err)
	}
	proofB, err := b.Consistency(5, 8)
	if err != nil {
		t.Fatal(err)
	}
	newA, newB, v := a.checkpoint(t), b.checkpoint(t), a.keys.verifiers
	if err := audit.VerifyConsistency(old, newA, proofA.Proof, v); err != nil {
		t.Errorf("the same history: %v", err)
	}
	for what, err := range map[string]error{
		"same size":      audit.VerifyConsistency(old, other, nil, v),
		"their proof":    audit.VerifyConsistency(old, newB, proofB.Proof, v),
		"our proof":      audit.VerifyConsistency(old, newB, proofA.Proof, v),
		"no proof":       audit.VerifyConsistency(old, newA, nil, v),
		"a longer proof": audit.VerifyConsistency(old, newA, append(slices.Clone(proofA.Proof), tlog.Hash{}), v),
		"backwards":      audit.VerifyConsistency(newA, old, proofA.Proof, v),
	} {
		if !hasReason(err, spec.Integrity) {
			t.Errorf("%s: %v", what, err)
		}
	}
	empty := newRig(t, 1, false).checkpoint(t)
	if err := audit.VerifyConsistency(empty, newA, nil, v); err != nil {
		t.Errorf("from the empty log: %v", err)
	}
	if err := audit.VerifyConsistency(empty, newA, proofA.Proof, v); !hasReason(err, spec.Integrity) {
		t.Errorf("from the empty log with a proof: %v", err)
	}
}

// TestMemoryOfCheckpointsIsBounded: the latest checkpoints are kept, and no more than they need.
func TestMemoryOfCheckpointsIsBounded(t *testing.T) {
	const keep = 8
	h := newHistory(t, 4, false, keep)
	for range 5000 {
		h.add(t)
		h.checkpoint(t)
		if s := h.Stats(); s.Checkpoints != min(keep, len(h.signed)) || s.Nodes > 2*keep*bits.Len64(s.Size) {
			t.Fatalf("%d checkpoints and %d nodes are kept after %d", s.Checkpoints, s.Nodes, len(h.signed))
		}
	}
	for i, size := range h.signed {
		if _, err := h.Consistency(size, 5000); (err == nil) != (i >= len(h.signed)-keep) {
			t.Errorf("from the checkpoint of %d: %v", size, err)
		}
	}
	if _, err := h.Consistency(4990, 5000); !hasReason(err, spec.NotFound) {
		t.Error(fmt.Sprint("from a forgotten one: ", err))
	}
}
