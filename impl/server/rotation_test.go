package server

import (
	"fmt"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/spec"
)

// CAP-AUD-001, CAP-AUD-013: of rotations that cross each other each leaves its record, which names who asked. The lock that is
// held at first brings all askers to the same place: whoever made its key before it got there would lose the record.
func TestEveryRotationIsRecorded(t *testing.T) {
	n := start(t, nil)
	const askers = 8
	before := n.authority.Status()
	made := make(chan string, askers)
	n.keyMu.Lock()
	for a := range askers {
		go func() {
			r, err := n.rotate(n.clock(time.Now()), audit.Record{By: [16]byte{byte(a)}, HasBy: true})
			if err != nil {
				t.Error(err)
				r = &rotatedJSON{}
			}
			made <- r.KeyID
		}()
	}
	look, enough := time.NewTicker(time.Millisecond), time.After(200*time.Millisecond)
	defer look.Stop()
	for waiting := true; waiting && n.authority.Status().Current == before.Current; { // nobody may get further than here
		select {
		case <-look.C:
		case <-enough:
			waiting = false
		}
	}
	n.keyMu.Unlock()
	keys := map[string]bool{}
	for range askers {
		keys[<-made] = true
	}
	_, list := records(t, n)
	by := map[[16]byte]bool{}
	for _, r := range list {
		if r.Event != audit.Rotated {
			continue
		}
		id := fmt.Sprintf("%x", r.KeyID)
		if !keys[id] || !r.HasBy || by[r.By] {
			t.Errorf("the record of key %s names %x; again: %v", id, r.By, by[r.By])
		}
		by[r.By] = true
		delete(keys, id)
	}
	if len(keys) > 0 || len(by) != askers {
		t.Errorf("%d keys have no record; %d askers are named, want %d", len(keys), len(by), askers)
	}
}

// ADM-CAP-006, CAP-AUD-009: a START that is refused because the log is full keeps no lease of the capability it showed.
func TestFullLogLeavesNoLease(t *testing.T) {
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
