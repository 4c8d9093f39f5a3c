package server

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/spec"
)

// CAP-AUD-001, CAP-AUD-013: of many rotations at once, with time looking in between, each new key has one record that names who
// asked.
func TestEveryRotationIsRecorded(t *testing.T) {
	n := start(t, nil)
	const askers, each = 4, 12 // fewer than the keyring holds
	var all sync.WaitGroup
	var mu sync.Mutex
	made := map[string]bool{}
	for a := range askers {
		all.Go(func() {
			for i := range each {
				who := audit.Record{By: [16]byte{1, byte(a), byte(i)}, HasBy: true}
				r, err := n.rotate(n.clock(time.Now()), who)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				made[r.KeyID] = true
				mu.Unlock()
			}
		})
	}
	all.Wait()
	_, list := records(t, n)
	by := map[[16]byte]bool{}
	for _, r := range list {
		if r.Event != audit.Rotated {
			continue
		}
		id := fmt.Sprintf("%x", r.KeyID)
		if !made[id] || !r.HasBy || by[r.By] {
			t.Errorf("the record of key %s names %x, twice: %v", id, r.By, by[r.By])
		}
		by[r.By] = true
		delete(made, id)
	}
	if len(made) > 0 || len(by) != askers*each {
		t.Errorf("%d keys have no record; %d askers are named, want %d", len(made), len(by), askers*each)
	}
}

// ADM-CAP-006, CAP-REV-003: a grant that was refused at the last moment has no stream that a late revocation could end.
func TestRefusedGrantHasNoStream(t *testing.T) {
	n := start(t, func(c *Config) { c.AuditHold, c.AuditRecords = true, 4 })
	p := hello(t, oapOf(n))
	for i := range uint64(8) { // denials fill the log
		q := &peer{t: t, c: p.c, dec: p.dec}
		q.start(1+i, spec.FlagEnd, `{"op":"has","obj":"`+address(nil).String()+`"}`)
		p.recv()
	}
	if !n.audit.Full() {
		t.Fatal("the log is not full")
	}
	p.start(20, 0, `{"op":"put","total_len":5}`)
	if f := p.recv(); f.Code != 503 {
		t.Fatalf("a put while the log is full: %d %s", f.Code, f.Payload)
	}
	if l := n.authority.Status().Leases; l != 0 {
		t.Errorf("%d leases", l)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	for o := range n.conns {
		o.mu.Lock()
		if o.sess.OpenStreams() != 1 { // half-closed
			t.Errorf("%d streams", o.sess.OpenStreams())
		}
		o.mu.Unlock()
	}
}
