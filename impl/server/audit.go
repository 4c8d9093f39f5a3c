package server

import (
	"net/http"
	"strconv"
	"time"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/impl/gate"
	"github.com/rustyonions/micronode/spec"
)

// record appends to the audit log. The error is one of a full log that holds its records: what was to be recorded must not
// happen then (CAP-AUD-009).
func (n *Node) record(r audit.Record) error {
	r.Time = n.clock(time.Now())
	_, err := n.audit.Append(r)
	if err != nil {
		n.log.Error("audit: "+err.Error(), "event", "audit_failed")
	}
	return err
}

// flip writes down that the node went from one state to another (CAP-AUD-001).
func (n *Node) flip(from, to gate.State) {
	f, _ := audit.ParseState(string(from))
	t, _ := audit.ParseState(string(to))
	_ = n.record(audit.Record{Event: audit.Readiness, From: f, To: t})
}

// integrity writes down what was quarantined since the last time. Whoever meets bad bytes calls it: refusals for them, a
// download that they cut, and the scrub.
func (n *Node) integrity() {
	n.keyMu.Lock()
	defer n.keyMu.Unlock()
	if all := n.store.Stats().IntegrityFailures; all > n.lastBad {
		_ = n.record(audit.Record{Event: audit.IntegrityFailed, N: uint64(all - n.lastBad)})
		n.lastBad = all
	}
}

// denied is what is known about a request that was turned away.
type denied struct {
	reason spec.Reason
	via    *via
	corr   audit.CorrID
	op     spec.Op
	lease  ids // of a capability that was good; zero where nothing about it is proven
	took   time.Duration
}

// ids are those of a capability whose signature was good: nobody but the node chose them.
type ids struct {
	key [8]byte
	cap [16]byte
}

// denied counts a denial, and writes it down in the audit log and the log (CAP-DEN-005, CAP-AUD-001). Reasons that are
// none are passed over.
func (n *Node) denied(d *denied) {
	if d.reason != spec.Unauth && d.reason != spec.Forbidden {
		return
	}
	n.metrics.authFailures.Inc()
	r := audit.Record{Event: audit.Denied, Reason: d.reason, Surface: d.via.surface, Op: d.op, Peer: d.via.peer, CorrID: d.corr}
	if d.lease != (ids{}) {
		r.KeyID, r.HasKey, r.CapID, r.HasCap = d.lease.key, true, d.lease.cap, true
	}
	_ = n.record(r)
	n.log.Info("a request was denied", "event", "denied", "reason", string(d.reason), "corr_id", d.corr.String(),
		"peer_addr", d.via.peer.String(), "op", string(d.op), "latency_ms", d.took.Milliseconds())
}

// who begins a record about the request of x.
func (x *exchange) who() audit.Record {
	corr, _ := audit.CorrText(x.corr)
	return audit.Record{Surface: x.conn.via.surface, Op: routes[x.rt].ops[x.r.Method], Peer: x.conn.via.peer, CorrID: corr,
		By: x.lease.ID, HasBy: true}
}

// audit serves /admin/audit/… (CAP-AUD-006).
func (x *exchange) audit() {
	path := x.r.URL.EscapedPath()
	if !x.authorize(path, 0) {
		return
	}
	var nums [2]uint64
	for i, text := range x.args {
		n, err := strconv.ParseUint(text, 10, 53)
		if err != nil || strconv.FormatUint(n, 10) != text {
			x.refuse(spec.Malformed, "sizes and indices of the log are decimal numbers")
			return
		}
		nums[i] = n
	}
	var answer any
	var err error
	switch x.rt {
	case auditCheckpoint:
		var note []byte
		if note, err = x.n.audit.Checkpoint(); err == nil {
			x.bytes(http.StatusOK, "text/plain; charset=utf-8", note)
			return
		}
	case auditExport:
		x.export()
		return
	case auditInclusion:
		answer, err = x.n.audit.Inclusion(nums[0], nums[1])
	case auditConsistency:
		answer, err = x.n.audit.Consistency(nums[0], nums[1])
	case auditAcknowledge:
		var dropped uint64
		dropped, err = x.n.audit.Acknowledge(nums[0])
		answer = map[string]any{"dropped": dropped}
	}
	if err != nil {
		x.refuse(reasonOf(err), "the log can not prove or do that: see its checkpoint for the sizes it has")
		return
	}
	x.json(http.StatusOK, answer)
}

// export streams the log. HEAD gets the head only: what was not read was not exported (CAP-AUD-010).
func (x *exchange) export() {
	x.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if x.r.Method == http.MethodHead {
		x.head(http.StatusOK)
		return
	}
	w := &exportWriter{x: x}
	if err := x.n.audit.Export(w); err != nil {
		if x.status == 0 {
			x.refuse(reasonOf(err), "")
			return
		}
		x.cut(err)
	}
}

// exportWriter sends the status with the first bytes, so that an export that can not begin is a refusal.
type exportWriter struct{ x *exchange }

// Write sends bytes of the export.
func (w *exportWriter) Write(b []byte) (int, error) {
	if w.x.status == 0 {
		w.x.head(http.StatusOK)
	}
	return w.x.w.Write(b)
}
