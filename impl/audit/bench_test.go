package audit_test

import (
	"bytes"
	"io"
	"testing"

	"github.com/rustyonions/micronode/impl/audit"
)

// BenchmarkAppend is what one denial costs a node whose log is full and drops by age.
func BenchmarkAppend(b *testing.B) {
	r := newRig(b, 16384, false)
	record := denial(7)
	r.append(b, 40000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Append(record); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAppendWithCheckpoints adds 1,024 kept checkpoints, which decide about every node that leaves memory.
func BenchmarkAppendWithCheckpoints(b *testing.B) {
	r := newRig(b, 16384, false)
	record := denial(7)
	for range 1024 {
		r.append(b, 30)
		r.checkpoint(b)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Append(record); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkExport(b *testing.B) {
	r := newRig(b, 16384, false)
	r.append(b, 20000)
	b.SetBytes(int64(len(r.export(b))))
	b.ReportAllocs()
	for b.Loop() {
		if err := r.Export(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	r := newRig(b, 16384, false)
	r.append(b, 20000)
	export := r.export(b)
	b.SetBytes(int64(len(export)))
	b.ReportAllocs()
	for b.Loop() {
		report, err := audit.Verify(bytes.NewReader(export), r.keys.trust())
		if err != nil || !report.OK() || report.Records != 16384 {
			b.Fatal(report.Finding, err)
		}
	}
}

func BenchmarkProofs(b *testing.B) {
	r := newRig(b, 16384, false)
	r.append(b, 9)
	r.checkpoint(b)
	r.append(b, 20000)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Consistency(9, 20009); err != nil {
			b.Fatal(err)
		}
		if _, err := r.Inclusion(10000, 20009); err != nil {
			b.Fatal(err)
		}
	}
}

// TestAppendAllocatesNothing keeps the audit log out of the way of the garbage collector.
func TestAppendAllocatesNothing(t *testing.T) {
	r := newRig(t, 64, false)
	record := denial(7)
	r.append(t, 1<<12) // from here on, a new level of the tree comes only with 4,096 more records
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := r.Append(record); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
