package audit_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/spec"
)

// record says which record of an export the byte at offset i belongs to, its line end included.
func recordAt(export []byte, i int) (index uint64, ok bool) {
	start := bytes.LastIndexByte(export[:i], '\n') + 1
	end := start + bytes.IndexByte(export[start:], '\n')
	index, _, err := audit.ParseRecord(export[start:end])
	return index, err == nil
}

// recordLines cuts an export of one block into what is before the records, the records, and what is behind them.
func recordLines(export []byte) (before string, records []string, behind string) {
	text := string(export)
	start := strings.Index(text, "\n{") + 1
	end := strings.LastIndex(text, "}\n") + 2
	records = strings.SplitAfter(text[start:end], "\n")
	return text[:start], records[:len(records)-1], text[end:]
}

func joined(before string, records []string, behind string) []byte {
	return []byte(before + strings.Join(records, "") + behind)
}

// TestEveryByteCounts changes each byte of an export to several others, one at a time. Each change is found; one inside
// a record is found at that record (CAP-AUD-007, CAP-AUD-011).
func TestEveryByteCounts(t *testing.T) {
	everyByte(t, newRig(t, 6, false), func(b byte) []byte { return []byte{b ^ 1} })
	everyByte(t, newRigWithKeys(t, audit.Config{Capacity: 6}, cheapKeys()), func(b byte) []byte {
		return []byte{b ^ 1, b ^ 2, b ^ 0x20, b ^ 0x80, '\n', '{', '}', '0', ' ', 'A', 0}
	})
}

func everyByte(t *testing.T, r *rig, others func(byte) []byte) {
	r.append(t, 9) // records 3 to 8 are held
	export := r.export(t)
	if report := verify(t, export, r.keys.trust()); !report.OK() {
		t.Fatal(report.Finding)
	}
	seen := map[uint64]int{}
	for i, was := range export {
		for _, b := range others(was) {
			if b == was {
				continue
			}
			changed := bytes.Clone(export)
			changed[i] = b
			report := verify(t, changed, r.keys.trust())
			if report.OK() {
				t.Fatalf("byte %d of %q was changed to %q and not found", i, lineOf(export, i), b)
			}
			if index, ok := recordAt(export, i); ok {
				seen[index]++
				f := report.Finding
				if f.Index != index || f.Line != 1+bytes.Count(export[:i], []byte("\n")) || f.Kind != audit.KindChanged {
					t.Fatalf("byte %d in record %d was changed to %q: %v", i, index, b, f)
				}
			}
		}
	}
	for index := uint64(3); index < 9; index++ {
		if seen[index] < 100 {
			t.Errorf("%d changes in record %d", seen[index], index)
		}
	}
}

func lineOf(b []byte, i int) []byte {
	return bytes.SplitAfter(b[bytes.LastIndexByte(b[:i], '\n')+1:], []byte("\n"))[0]
}

// TestEveryPrefix: an export that is cut anywhere is found out, at the record that is cut (CAP-AUD-011).
func TestEveryPrefix(t *testing.T) {
	r := newRig(t, 6, false)
	r.append(t, 9)
	export := r.export(t)
	for n := range export {
		report := verify(t, export[:n], r.keys.trust())
		if report.OK() {
			t.Fatalf("%d of %d bytes were enough", n, len(export))
		}
		if index, ok := recordAt(export, n); ok && (report.Finding.Kind != audit.KindCut || report.Finding.Index != index) {
			t.Fatalf("cut in record %d: %v", index, report.Finding)
		}
	}
	for _, more := range []string{"\n", " ", "{", "x\n", string(export)} {
		found(t, "trailing bytes", append(bytes.Clone(export), more...), r.keys.trust(), audit.KindTrailing, 9)
	}
}

// TestRecordsOutOfPlace: dropped, repeated, moved and swapped records are found, with the index of the first
// (CAP-AUD-011).
func TestRecordsOutOfPlace(t *testing.T) {
	r := newRig(t, 6, false)
	r.append(t, 9)
	before, records, behind := recordLines(r.export(t))
	if len(records) != 6 {
		t.Fatalf("%q", records)
	}
	for i := range records {
		index := uint64(3 + i)
		found(t, "dropped", joined(before, slices.Delete(slices.Clone(records), i, i+1), behind), r.keys.trust(), audit.KindMissing, index)
		if i > 0 {
			found(t, "dropped up to here", joined(before, slices.Delete(slices.Clone(records), 0, i), behind), r.keys.trust(), audit.KindMissing, 3)
			found(t, "dropped from here", joined(before, records[:i], behind), r.keys.trust(), audit.KindMissing, index)
		}
		repeated := joined(before, slices.Insert(slices.Clone(records), i, records[i]), behind)
		found(t, "repeated", repeated, r.keys.trust(), audit.KindRepeated, index+1)
		for j := range i {
			swapped := slices.Clone(records)
			swapped[i], swapped[j] = swapped[j], swapped[i]
			found(t, "swapped", joined(before, swapped, behind), r.keys.trust(), audit.KindMoved, uint64(3+j))
			moved := slices.Insert(slices.Delete(slices.Clone(records), i, i+1), j, records[i])
			found(t, "moved up", joined(before, moved, behind), r.keys.trust(), audit.KindMoved, uint64(3+j))
			replaced := slices.Clone(records)
			replaced[i] = records[j]
			found(t, "replaced by an earlier one", joined(before, replaced, behind), r.keys.trust(), audit.KindRepeated, index)
			replaced = slices.Clone(records)
			replaced[j] = records[i]
			found(t, "replaced by a later one", joined(before, replaced, behind), r.keys.trust(), audit.KindMissing, uint64(3+j))
		}
		forged := slices.Clone(records)
		forged[i] = strings.Replace(records[i], `"unauth"`, `"forbidden"`, 1)
		found(t, "forged", joined(before, forged, behind), r.keys.trust(), audit.KindChanged, index)
	}
	slices.Reverse(records)
	found(t, "reversed", joined(before, records, behind), r.keys.trust(), audit.KindMoved, 3)
}

// TestManyBlocks: an export with several signed lists of leaves, whole, and with a block that is missing, repeated or
// swapped; what is wrong in a later block is found there (CAP-AUD-011).
func TestManyBlocks(t *testing.T) {
	const capacity = 2500
	r := newRig(t, capacity, false)
	r.append(t, 3000)
	export := r.export(t)
	report := verify(t, export, r.keys.trust())
	if !report.OK() || report.Records != capacity {
		t.Fatalf("%+v", report.Finding)
	}
	parts := strings.SplitAfter(string(export), "}\nmicronode-audit/1 leaves\n")
	if len(parts) != 3 {
		t.Fatalf("%d blocks", len(parts))
	}
	const cut = len("micronode-audit/1 leaves\n")
	head, first, _ := strings.Cut(parts[0][:len(parts[0])-cut], "micronode-audit/1 leaves\n")
	first = "micronode-audit/1 leaves\n" + first
	second := "micronode-audit/1 leaves\n" + parts[1][:len(parts[1])-cut]
	third := "micronode-audit/1 leaves\n" + parts[2]
	if head+first+second+third != string(export) {
		t.Fatal("the blocks were not cut right")
	}
	last := strings.LastIndex(third, "}\n") + 2
	for _, c := range []struct {
		what, export string
		kind         audit.Kind
		index        uint64
	}{
		{"first block missing", head + second + third, audit.KindMissing, 500},
		{"second block missing", head + first + third, audit.KindMissing, 1524},
		{"third block missing", head + first + second + third[last:], audit.KindMissing, 2548},
		{"second block twice", head + first + second + second + third, audit.KindRepeated, 2548},
		{"third block twice", head + first + second + third[:last] + third, audit.KindRepeated, 3000},
		{"swapped blocks", head + second + first + third, audit.KindMissing, 500},
		{"a record twice at the end of a block", head + first + first[strings.LastIndex(first[:len(first)-1], "\n")+1:] + second + third, audit.KindRepeated, 1524},
		{"a forged record in the third block", head + first + second + strings.Replace(third, `"unauth"`, `"forbidden"`, 1), audit.KindChanged, 2548},
		{"last record of a block missing", head + first[:strings.LastIndex(first[:len(first)-1], "\n")+1] + second + third, audit.KindMissing, 1523},
		{"a record of an earlier block", head + first + second + third[:strings.Index(third, "\n{")+1] + first[strings.Index(first, "\n{")+1:], audit.KindRepeated, 2548},
		{"cut behind a block", head + first + second, audit.KindCut, 2548},
		{"cut before the checkpoint", head + first + second + third[:last], audit.KindCut, 3000},
	} {
		found(t, c.what, []byte(c.export), r.keys.trust(), c.kind, c.index)
	}
}

// TestSignatures: each half of each signature is needed, and only the keys that are trusted count (CAP-AUD-011).
func TestSignatures(t *testing.T) {
	r := newRig(t, 6, false)
	r.append(t, 9)
	export := string(r.export(t))
	lines := strings.SplitAfter(export, "\n")
	seen := 0
	for i, line := range lines {
		if !strings.HasPrefix(line, "— ") {
			continue
		}
		seen++
		want := []uint64{0, 0, 3, 3, 9, 9}[seen-1]
		less := strings.Join(slices.Delete(slices.Clone(lines), i, i+1), "")
		found(t, fmt.Sprintf("without signature %d", seen), []byte(less), r.keys.trust(), audit.KindSignature, want)
		twice := strings.Join(slices.Insert(slices.Clone(lines), i, line), "")
		found(t, fmt.Sprintf("with signature %d twice", seen), []byte(twice), r.keys.trust(), audit.KindSignature, want)
	}
	swapped := slices.Clone(lines)
	last := len(lines) - 2
	swapped[last], swapped[last-1] = swapped[last-1], swapped[last]
	found(t, "signatures in another order", []byte(strings.Join(swapped, "")), r.keys.trust(), audit.KindSignature, 9)
	if seen != 6 {
		t.Errorf("%d signatures", seen)
	}
	other := newKeys(t, 2)
	found(t, "other keys", []byte(export), other.trust(), audit.KindSignature, 0)
	for half := range 2 {
		mixed := slices.Clone(r.keys.verifiers)
		mixed[half] = other.verifiers[half]
		found(t, "half another node", []byte(export), audit.Trust{Verifiers: mixed}, audit.KindSignature, 0)
	}
	found(t, "one key of two", []byte(export), audit.Trust{Verifiers: r.keys.verifiers[:1]}, audit.KindSignature, 0)
	found(t, "another origin", []byte(export), audit.Trust{Verifiers: r.keys.verifiers, Origin: "other"}, audit.KindOrigin, 0)
	if report := verify(t, []byte(export), audit.Trust{Verifiers: r.keys.verifiers, Origin: origin}); !report.OK() {
		t.Error(report.Finding)
	}
}

// TestIdentify: an auditor who knows an identity only decides by the header, which then has to be signed by its keys.
func TestIdentify(t *testing.T) {
	r := newRig(t, 6, false)
	r.append(t, 2)
	identify := func(h audit.Header) (list []note.Verifier, err error) {
		if !slices.Equal(h.Identity, r.keys.identity) {
			return nil, errors.New("somebody else")
		}
		for _, l := range h.Identity {
			v, err := note.NewVerifier(l.Value)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		return list, nil
	}
	export := r.export(t)
	if report := verify(t, export, audit.Trust{Identify: identify}); !report.OK() || report.Records != 2 {
		t.Error(report.Finding)
	}
	forged := bytes.Replace(export, []byte("key-0"), []byte("key-9"), 1)
	found(t, "another identity", forged, audit.Trust{Identify: identify}, audit.KindHeader, 0)
	found(t, "no identity", export, audit.Trust{Identify: func(audit.Header) ([]note.Verifier, error) { return nil, nil }}, audit.KindHeader, 0)
	forged = bytes.Replace(export, []byte("\nsize 2\n"), []byte("\nsize 3\n"), 1)
	found(t, "the right identity with another header", forged, audit.Trust{Identify: identify}, audit.KindSignature, 0)
	if _, err := audit.Verify(bytes.NewReader(export), audit.Trust{}); !errors.Is(err, audit.ErrConfig) {
		t.Errorf("without any trust: %v", err)
	}
}

// TestForkedExport: an export that does not continue what the auditor saw before, though its own signatures are right
// (CAP-AUD-012).
func TestForkedExport(t *testing.T) {
	honest, forked := newRig(t, 6, false), newRig(t, 6, false)
	var earlier []audit.Earlier
	for range 20 {
		earlier = append(earlier, audit.Earlier{Note: honest.checkpoint(t)})
		honest.append(t, 1)
		if n := forked.Stats().Size; n == 12 {
			if _, err := forked.Append(denial(99)); err != nil {
				t.Fatal(err)
			}
		} else {
			forked.append(t, 1)
		}
	}
	export, other := honest.export(t), forked.export(t)
	for size := range earlier {
		c, err := honest.Consistency(uint64(size), 20)
		if err != nil {
			t.Fatal(err)
		}
		earlier[size].Proof = c.Proof
		with := func(list ...audit.Earlier) audit.Trust {
			return audit.Trust{Verifiers: honest.keys.verifiers, Earlier: list}
		}
		if report := verify(t, export, with(earlier[size])); !report.OK() {
			t.Errorf("checkpoint %d of the same log: %v", size, report.Finding)
		}
		if size > 12 {
			found(t, fmt.Sprint("checkpoint ", size), other, with(earlier[size]), audit.KindFork, 0)
		}
		switch noProof := (audit.Earlier{Note: earlier[size].Note}); {
		case size == 0 || size == 8 || size == 12 || size >= 14: // the frontier of 14 is 8+4+2
			if report := verify(t, export, with(noProof)); !report.OK() {
				t.Errorf("checkpoint %d needs no proof: %v", size, report.Finding)
			}
		default:
			found(t, fmt.Sprintf("checkpoint %d without proof", size), export, with(noProof), audit.KindUnconnected, 0)
		}
	}
	trust := audit.Trust{Verifiers: honest.keys.verifiers, Earlier: earlier}
	if report := verify(t, export, trust); !report.OK() {
		t.Error(report.Finding)
	}
	found(t, "all checkpoints", other, trust, audit.KindFork, 12)
	bad := slices.Clone(earlier[5].Proof)
	bad[0] = tlog.Hash{}
	trust.Earlier = []audit.Earlier{{Note: earlier[5].Note, Proof: bad}}
	found(t, "a wrong proof", export, trust, audit.KindFork, 0)
	honest.append(t, 1)
	trust.Earlier = []audit.Earlier{{Note: honest.checkpoint(t)}}
	found(t, "an export from before a checkpoint", export, trust, audit.KindCut, 20)
	trust.Earlier = []audit.Earlier{{Note: bytes.Replace(earlier[5].Note, []byte("\n5\n"), []byte("\n6\n"), 1)}}
	if _, err := audit.Verify(bytes.NewReader(export), trust); !hasReason(err, spec.Integrity) {
		t.Errorf("an earlier checkpoint that nobody signed: %v", err)
	}
}

// TestSplicedExports: parts of two exports, each with good signatures, do not make a third (CAP-AUD-011).
func TestSplicedExports(t *testing.T) {
	r := newRig(t, 6, false)
	r.append(t, 4)
	before, records, behind := recordLines(r.export(t))
	r.append(t, 1)
	before2, records2, behind2 := recordLines(r.export(t))
	found(t, "an older checkpoint", joined(before2, records2, behind), r.keys.trust(), audit.KindRoot, 4)
	found(t, "a newer checkpoint", joined(before, records, behind2), r.keys.trust(), audit.KindRoot, 4)
	found(t, "newer records", joined(before, records2, behind), r.keys.trust(), audit.KindRepeated, 4)

	forked := newRig(t, 6, false)
	forked.append(t, 4)
	if _, err := forked.Append(denial(50)); err != nil {
		t.Fatal(err)
	}
	_, _, behind3 := recordLines(forked.export(t))
	found(t, "a checkpoint of another history", joined(before2, records2, behind3), r.keys.trust(), audit.KindRoot, 0)
}

// TestSignedNonsense: signatures do not make up for what the law forbids (CAP-AUD-003, CAP-AUD-011).
func TestSignedNonsense(t *testing.T) {
	keys := newKeys(t, 1)
	sign := func(text string) string {
		signed, err := note.Sign(&note.Note{Text: text}, keys.signers...)
		if err != nil {
			t.Fatal(err)
		}
		return string(signed)
	}
	export := func(record string) []byte {
		leaf := tlog.RecordHash([]byte(record))
		return []byte(sign("micronode-audit/1\norigin x\nfirst 0\nsize 1\n") +
			sign("micronode-audit/1 leaves\norigin x\nfirst 0\n"+leaf.String()+"\n") + record + "\n" + sign("x\n1\n"+leaf.String()+"\n"))
	}
	const good = `{"v":1,"i":0,"t":5,"event":"started"}`
	if report := verify(t, export(good), keys.trust()); !report.OK() || report.Root != tlog.RecordHash([]byte(good)) {
		t.Error(report.Finding)
	}
	for _, record := range []string{
		`{"v":1,"i":1,"t":5,"event":"started"}`, `{"v":1,"i":0,"t":5,"event":"started","note":"x"}`, `{"v":1,"i":0,"t":5,"event":"started"} `,
		``, `x`, `{"v":1,"i":0,"t":5,"event":"started","n":1,"n":1}`, `{` + strings.Repeat("x", spec.MaxAuditRecord) + `}`,
	} {
		found(t, record, export(record), keys.trust(), audit.KindMalformed, 0)
	}
	header := "micronode-audit/1\norigin x\nfirst 0\nsize 1\n"
	for _, bad := range []string{
		"", "x\n", "micronode-audit/2\norigin x\nfirst 0\nsize 1\n", "micronode-audit/1\nfirst 0\nsize 1\n", header + "node AAAA\n",
		header + "more x\n", "micronode-audit/1\norigin x\nfirst 2\nsize 1\n", "micronode-audit/1\norigin x\nfirst 1\nsize 1\n",
		"micronode-audit/1\norigin x\nfirst 00\nsize 1\n", strings.Replace(header, "\nsize", "\nsize 5\nsize", 1),
		"micronode-audit/1\norigin x\nfirst 0\nsize 9007199254740992\n",
	} {
		found(t, bad, []byte(sign(bad+"\n")), keys.trust(), audit.KindHeader, 0)
	}
	leaf := tlog.RecordHash([]byte(good)).String() + "\n"
	for list, kind := range map[string]audit.Kind{
		"micronode-audit/1 leaves\norigin x\nfirst 0\n":                              audit.KindMalformed,
		"micronode-audit/1 leaves\norigin x\nfirst 0\n" + leaf + leaf:                audit.KindMalformed,
		"micronode-audit/1 leaves\norigin x\nfirst 0\n" + strings.Repeat(leaf, 1025): audit.KindMalformed,
		"micronode-audit/1 leaves\norigin x\nfirst 00\n" + leaf:                      audit.KindMalformed,
		"micronode-audit/1 leaves\norigin x\nfirst 0\n" + leaf + "x\n":               audit.KindMalformed,
		"micronode-audit/1 leaves\norigin y\nfirst 0\n" + leaf:                       audit.KindOrigin,
		"micronode-audit/1 leaves\norigin x\nfirst 1\n" + leaf:                       audit.KindMissing,
		"x\n1\n" + leaf: audit.KindMissing,
	} {
		found(t, list, []byte(sign(header)+sign(list)+good+"\n"), keys.trust(), kind, 0)
	}
	start := sign(header) + sign("micronode-audit/1 leaves\norigin x\nfirst 0\n"+leaf) + good + "\n"
	found(t, "a checkpoint of another log", []byte(start+sign("y\n1\n"+leaf)), keys.trust(), audit.KindOrigin, 1)
	found(t, "no checkpoint", []byte(start+sign("x\nmore\n")), keys.trust(), audit.KindMalformed, 1)
}

// TestVerifyBoundsItsMemory: endless lines, texts and signatures end early, whatever comes.
func TestVerifyBoundsItsMemory(t *testing.T) {
	keys := newKeys(t, 1)
	for what, unit := range map[string]string{"a line": "x", "lines": "x\n", "empty lines": "\n", "signatures": "— a AAAAAAAAAAAA\n", "records": "{}\n"} {
		for _, start := range []string{"", "micronode-audit/1\n\n"} {
			in := &endless{unit: unit}
			report, err := audit.Verify(io.MultiReader(strings.NewReader(start), in), keys.trust())
			if err != nil || report.OK() || in.n > 1<<18 {
				t.Errorf("%s behind %q: %v, %v after %d bytes", what, start, report.Finding, err, in.n)
			}
		}
	}
}

type endless struct {
	unit string
	n    int
}

func (e *endless) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = e.unit[(e.n+i)%len(e.unit)]
	}
	e.n += len(b)
	return len(b), nil
}

// TestVerifyReads: one byte at a time is as good as all at once, and an error of the reader is not a finding.
func TestVerifyReads(t *testing.T) {
	r := newRig(t, 6, false)
	r.append(t, 9)
	export := r.export(t)
	report, err := audit.Verify(iotest.OneByteReader(bytes.NewReader(export)), r.keys.trust())
	if err != nil || !report.OK() || report.Records != 6 {
		t.Errorf("%v, %v", report.Finding, err)
	}
	broken := errors.New("broken disk")
	for n := range len(export) + 1 {
		report, err := audit.Verify(io.MultiReader(bytes.NewReader(export[:n]), iotest.ErrReader(broken)), r.keys.trust())
		if !errors.Is(err, broken) || report.Finding != nil {
			t.Fatalf("broken after %d bytes: %v, %v", n, report.Finding, err)
		}
	}
}
