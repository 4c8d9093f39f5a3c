package audit_test

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/spec"
)

// TestRing: a log that drops by age keeps the latest records, their indexes, and the tree of all (CAP-AUD-008).
func TestRing(t *testing.T) {
	r := newRig(t, 5, false)
	r.append(t, 13)
	if s := r.Stats(); s.First != 8 || s.Size != 13 || s.Held != 5 || s.Full || r.Full() || s.Pending != 0 {
		t.Errorf("%+v", s)
	}
	report := verify(t, r.export(t), r.keys.trust())
	if !report.OK() || report.Header.First != 8 || report.Header.Size != 13 || report.Records != 5 || len(report.Header.Frontier) != 1 {
		t.Errorf("%+v", report)
	}
	if _, err := r.Acknowledge(9); !hasReason(err, spec.Unsupported) || !errors.Is(err, audit.ErrNotHeld) {
		t.Errorf("acknowledged in a log that does not hold: %v", err)
	}
}

// TestFullLogRefuses: a log that holds records refuses what can be refused, and never drops one (CAP-AUD-009).
func TestFullLogRefuses(t *testing.T) {
	r := newRig(t, 3, true)
	r.append(t, 2)
	if r.Full() {
		t.Error("full with one place left")
	}
	r.append(t, 1)
	if !r.Full() || !r.Stats().Full {
		t.Error("not full")
	}
	for _, e := range []audit.Event{audit.Issued, audit.ConfigChanged} {
		if _, err := r.Append(audit.Record{Event: e}); !hasReason(err, spec.NotReady) || !errors.Is(err, audit.ErrFull) {
			t.Errorf("%s: %v", e, err)
		}
	}
	if s := r.Stats(); s.First != 0 || s.Size != 3 || s.Pending != 0 {
		t.Errorf("%+v", s)
	}
}

// TestHeldRecords: what was exported and acknowledged is dropped, and nothing else; denials without room are counted,
// and one record says how many (CAP-AUD-010).
func TestHeldRecords(t *testing.T) {
	r := newRig(t, 3, true)
	r.append(t, 3)
	if _, err := r.Acknowledge(1); !hasReason(err, spec.NotFound) || !errors.Is(err, audit.ErrNotExported) {
		t.Errorf("acknowledged before an export: %v", err)
	}
	if err := r.Export(&failing{after: 1000}); err == nil {
		t.Error("an export to a broken writer went well")
	}
	if _, err := r.Acknowledge(1); !hasReason(err, spec.NotFound) {
		t.Errorf("acknowledged after half an export: %v", err)
	}
	r.export(t)
	for _, record := range []audit.Record{
		denial(0), denial(1), {Event: audit.Readiness, From: audit.StateReady, To: audit.StateDegraded}, {Event: audit.IntegrityFailed},
		{Event: audit.Started}, {Event: audit.Stopping}, {Event: audit.Revoked}, {Event: audit.KeyRevoked}, {Event: audit.Rotated},
	} {
		if index, err := r.Append(record); index != audit.Counted || err != nil {
			t.Errorf("%s: %d, %v", record.Event, index, err)
		}
	}
	if _, err := r.Append(audit.Record{Event: audit.Denied}); !hasReason(err, spec.Malformed) {
		t.Errorf("counted what is no record: %v", err)
	}
	if s := r.Stats(); s.Pending != 9 || s.Missed != 9 || s.Size != 3 {
		t.Errorf("%+v", s)
	}
	if _, err := r.Acknowledge(4); !hasReason(err, spec.NotFound) {
		t.Errorf("acknowledged what is not there: %v", err)
	}
	if n, err := r.Acknowledge(2); n != 2 || err != nil || r.Full() {
		t.Errorf("acknowledged %d, %v", n, err)
	}
	for range 2 {
		if n, err := r.Acknowledge(2); n != 0 || err != nil {
			t.Errorf("acknowledged %d again, %v", n, err)
		}
	}
	if s := r.Stats(); s.First != 2 || s.Size != 4 || s.Pending != 0 || s.Missed != 9 || s.Held != 2 {
		t.Errorf("%+v", s)
	}
	export := r.export(t)
	if !verify(t, export, r.keys.trust()).OK() || !bytes.Contains(export, []byte(`{"v":1,"i":3,"t":1795000000123,"event":"missed","n":9}`+"\n")) {
		t.Errorf("no missed record in\n%s", export)
	}
	if _, err := r.Acknowledge(3); err != nil {
		t.Error(err)
	}
	r.append(t, 2)
	if !r.Full() {
		t.Error("not full again")
	}
}

// TestMissedRecordFillsTheLog: the record about what was missed takes a place like any other (CAP-AUD-010).
func TestMissedRecordFillsTheLog(t *testing.T) {
	r := newRig(t, 1, true)
	r.append(t, 1)
	r.export(t)
	if _, err := r.Append(denial(1)); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Acknowledge(1); n != 1 || err != nil || !r.Full() {
		t.Errorf("%d, %v, full: %v", n, err, r.Full())
	}
}

// failing is a writer that breaks.
type failing struct{ after int }

func (f *failing) Write(b []byte) (int, error) {
	if f.after -= len(b); f.after < 0 {
		return 0, io.ErrClosedPipe
	}
	return len(b), nil
}

// TestBrokenExports: an export that a writer breaks off at any point says so.
func TestBrokenExports(t *testing.T) {
	r := newRig(t, 3, false)
	r.append(t, 3)
	for n := range len(r.export(t)) {
		if err := r.Export(&failing{after: n}); !errors.Is(err, io.ErrClosedPipe) {
			t.Fatalf("broken after %d bytes: %v", n, err)
		}
	}
}

// writer calls back at the first write.
type writer struct {
	bytes.Buffer
	first func()
}

func (w *writer) Write(b []byte) (int, error) {
	if w.first != nil {
		f := w.first
		w.first = nil
		f()
	}
	return w.Buffer.Write(b)
}

// TestExportIsOneMoment: records, drops and checkpoints while an export is written do not get into it, and a second one
// has to wait (CAP-AUD-011).
func TestExportIsOneMoment(t *testing.T) {
	r := newRig(t, 4, false)
	r.append(t, 6)
	w := &writer{first: func() {
		r.append(t, 9)
		r.checkpoint(t)
		if err := r.Export(io.Discard); !hasReason(err, spec.Quota) || !errors.Is(err, audit.ErrBusy) {
			t.Errorf("a second export: %v", err)
		}
	}}
	if err := r.Export(w); err != nil {
		t.Fatal(err)
	}
	report := verify(t, w.Bytes(), r.keys.trust())
	if !report.OK() || report.Header.First != 2 || report.Header.Size != 6 || report.Records != 4 {
		t.Errorf("%+v", report)
	}
	c, err := r.Consistency(6, 15)
	if err != nil {
		t.Fatal(err)
	}
	if err := audit.VerifyConsistency(report.Checkpoint, r.checkpoint(t), c.Proof, r.keys.verifiers); err != nil {
		t.Error(err)
	}
}

// signer counts, and can be told to fail or to wait.
type signer struct {
	note.Signer
	calls atomic.Int32
	hook  func() error
}

func (s *signer) Sign(b []byte) ([]byte, error) {
	s.calls.Add(1)
	if s.hook != nil {
		if err := s.hook(); err != nil {
			return nil, err
		}
	}
	return s.Signer.Sign(b)
}

// TestAppendDoesNotWaitForASignature: while a key signs, records are written.
func TestAppendDoesNotWaitForASignature(t *testing.T) {
	keys := newKeys(t, 1)
	slow := &signer{Signer: keys.signers[0]}
	l, err := audit.New(audit.Config{Capacity: 4, Origin: origin, Signers: []note.Signer{slow, keys.signers[1]}})
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{l, keys}
	r.append(t, 1)
	slow.hook = func() error { r.append(t, 2); return nil }
	c, err := audit.OpenCheckpoint(r.checkpoint(t), keys.verifiers)
	if err != nil || c.Size != 1 || r.Stats().Size != 3 {
		t.Errorf("%+v, %v", c, err)
	}
	broken := errors.New("the key is gone")
	slow.hook = func() error { return broken }
	if _, err := r.Checkpoint(); !errors.Is(err, broken) {
		t.Errorf("a broken key: %v", err)
	}
	if err := r.Export(io.Discard); !errors.Is(err, broken) {
		t.Errorf("a broken key: %v", err)
	}
	slow.hook = nil
	before := slow.calls.Load()
	for range 3 {
		r.checkpoint(t)
	}
	if n := slow.calls.Load() - before; n != 1 {
		t.Errorf("signed %d times for one size", n)
	}
}

// TestClock: a record without a time gets that of the log, in milliseconds, whatever the clock says.
func TestClock(t *testing.T) {
	for _, now := range []time.Time{epoch.Add(999 * time.Microsecond), time.UnixMilli(-5), time.UnixMilli(1 << 60)} {
		r := newRigWith(t, audit.Config{Capacity: 1, Now: func() time.Time { return now }})
		if _, err := r.Append(audit.Record{Event: audit.Started}); err != nil {
			t.Fatal(err)
		}
		if !verify(t, r.export(t), r.keys.trust()).OK() {
			t.Error(now)
		}
	}
	l, err := audit.New(audit.Config{Capacity: 1, Origin: origin, Signers: newKeys(t, 1).signers})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Append(audit.Record{Event: audit.Started}); err != nil {
		t.Error(err)
	}
}

// TestConfig: New refuses what can not work.
func TestConfig(t *testing.T) {
	keys := newKeys(t, 1)
	good := audit.Config{Capacity: 1, Origin: origin, Signers: keys.signers, Identity: keys.identity}
	for what, change := range map[string]func(*audit.Config){
		"no capacity":             func(c *audit.Config) { c.Capacity = 0 },
		"too much capacity":       func(c *audit.Config) { c.Capacity = audit.MaxCapacity + 1 },
		"negative checkpoints":    func(c *audit.Config) { c.Checkpoints = -1 },
		"too many checkpoints":    func(c *audit.Config) { c.Checkpoints = audit.MaxCheckpoints + 1 },
		"no origin":               func(c *audit.Config) { c.Origin = "" },
		"origin of two lines":     func(c *audit.Config) { c.Origin = "a\nb" },
		"origin with a plus":      func(c *audit.Config) { c.Origin = "a+b" },
		"origin of an export":     func(c *audit.Config) { c.Origin = "micronode-audit/1" },
		"no signer":               func(c *audit.Config) { c.Signers = nil },
		"a nil signer":            func(c *audit.Config) { c.Signers = []note.Signer{nil} },
		"one signer twice":        func(c *audit.Config) { c.Signers = []note.Signer{keys.signers[0], keys.signers[0]} },
		"identity of two lines":   func(c *audit.Config) { c.Identity = []audit.Line{{Name: "a", Value: "b\nsize 3"}} },
		"a reserved name":         func(c *audit.Config) { c.Identity = []audit.Line{{Name: "size", Value: "3"}} },
		"a name with a space":     func(c *audit.Config) { c.Identity = []audit.Line{{Name: "a b", Value: "3"}} },
		"an identity of 17 lines": func(c *audit.Config) { c.Identity = make([]audit.Line, 17) },
	} {
		c := good
		change(&c)
		if _, err := audit.New(c); !errors.Is(err, audit.ErrConfig) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := audit.New(good); err != nil {
		t.Error(err)
	}
}

// TestConcurrency: writers, exports, proofs and checkpoints at once; every index is given once, and every export fits.
func TestConcurrency(t *testing.T) {
	for _, hold := range []bool{false, true} {
		r := newRig(t, 64, hold)
		var writers, readers sync.WaitGroup
		var seen sync.Map
		var counted atomic.Uint64
		const each = 400
		for range 4 {
			writers.Go(func() {
				for n := range each {
					index, err := r.Append(denial(n))
					if err != nil {
						t.Error(err)
					}
					if index == audit.Counted {
						counted.Add(1)
					} else if _, twice := seen.LoadOrStore(index, true); twice {
						t.Errorf("index %d was given twice", index)
					}
				}
			})
		}
		done := make(chan struct{})
		readers.Go(func() { concurrentExports(t, r, hold, done) })
		readers.Go(func() {
			for !closed(done) {
				s := r.Stats()
				if _, err := r.Consistency(0, s.Size); err != nil {
					t.Error(err)
				}
				if _, err := r.Inclusion(s.Size, s.Size+1); err != nil && !hasReason(err, spec.NotFound) {
					t.Error(err)
				}
				r.checkpoint(t)
				r.Full()
			}
		})
		writers.Wait()
		close(done)
		readers.Wait()
		s := r.Stats()
		missed := uint64(0)
		for index := range s.Size {
			if _, ok := seen.Load(index); !ok {
				missed++ // a Missed record
			}
		}
		if s.Size-missed+counted.Load() != 4*each || s.Missed != counted.Load() || !hold && missed != 0 {
			t.Errorf("%d records, %d of them about missed ones, %d counted: %+v", s.Size, missed, counted.Load(), s)
		}
	}
}

func closed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func concurrentExports(t *testing.T, r *rig, hold bool, done chan struct{}) {
	var earlier []audit.Earlier
	for !closed(done) {
		export := r.export(t)
		trust := r.keys.trust()
		trust.Earlier = earlier
		report := verify(t, export, trust)
		if f := report.Finding; f != nil && f.Kind != audit.KindUnconnected {
			t.Error(f)
			return
		}
		earlier = []audit.Earlier{{Note: report.Checkpoint}}
		if report.Checkpoint == nil {
			earlier = nil
		}
		if hold {
			if _, err := r.Acknowledge(report.Header.Size); err != nil {
				t.Error(err)
			}
		}
	}
}
