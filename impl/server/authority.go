package server

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/impl/session"
	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// authorityTick is how often expired capabilities are looked for: CAP-REV-006 leaves one second from the expiry to the
// end of the last stream.
const authorityTick = spec.RevocationTime / 4

// oapOps says what an operation of the objects protocol needs (CAP-OPS-001).
var oapOps = [...]spec.Op{
	wire.OpPut: spec.OpPut, wire.OpGet: spec.OpGet, wire.OpHas: spec.OpHas, wire.OpStat: spec.OpStat, wire.OpDelete: spec.OpDelete,
}

// writes says that an operation is refused while the audit log is full (CAP-AUD-009). To revoke and to rotate is not: whoever
// can fill the log could otherwise keep a stolen token alive.
func writes(op spec.Op) bool {
	switch op {
	case spec.OpPut, spec.OpDelete, spec.OpIssue:
		return true
	}
	return false
}

// clock is the time that capabilities are held to: that of the wall when the node started, moved on by the monotonic
// clock (ADM-TIM-005).
func (n *Node) clock(now time.Time) time.Time { return n.born.Add(now.Sub(n.born)) }

// owner is whoever has to be told that a lease has ended. It is called without any lock held.
type owner interface{ revoked() }

// endLeases tells the owners of leases that these have ended (CAP-REV-003, CAP-REV-006). It returns at once: a revocation
// may come in on the connection that it ends, under the lock of that connection.
func (n *Node) endLeases(leases []*capability.Lease) {
	if len(leases) == 0 {
		return
	}
	n.ending.Go(func() {
		for _, l := range leases {
			l.Owner.(owner).revoked()
		}
	})
}

// keepAuthority does what time brings to keys and capabilities until ctx ends.
func (n *Node) keepAuthority(ctx context.Context) {
	for wait(ctx, authorityTick) == nil {
		n.keyMu.Lock()
		ended, err := n.authority.Tick(n.clock(time.Now()))
		n.noteNewKey(audit.Record{})
		n.keyMu.Unlock()
		n.endLeases(ended)
		if err != nil {
			n.log.Error("no new root key: "+err.Error(), "event", "rotation_failed")
		}
	}
}

// authorize holds the capability of an HTTP request against its operation on path, with a body of declared bytes. Where it
// says false, the answer is given.
func (x *exchange) authorize(path string, declared uint64) bool {
	op := routes[x.rt].ops[x.r.Method]
	reason, retry := x.admit(op, path, declared)
	if reason != spec.None {
		x.refuseFor(reason, retry, "")
		return false
	}
	return true
}

func (x *exchange) admit(op spec.Op, path string, declared uint64) (spec.Reason, time.Duration) {
	var err error
	if x.token, err = presented(x.r.Header); err == nil {
		x.conn.serve(x)
		x.lease, err = x.n.authority.Admit(x.n.clock(time.Now()), x.token,
			capability.Request{Op: op, Path: path, Bytes: declared}, x)
	}
	if err != nil {
		return denial(err)
	}
	if isAdmin(op) && !x.conn.via.loopback { // HTTP-ADM-001
		return spec.Forbidden, 0
	}
	if writes(op) && x.n.audit.Full() {
		return spec.NotReady, storeRetry
	}
	return spec.None, 0
}

// presented reads the capability of a request: one Authorization field, one of three schemes (CAP-TOK-003, CAP-TOK-009).
func presented(h http.Header) (capability.Token, error) {
	field := h["Authorization"]
	if len(field) != 1 {
		return capability.Token{}, spec.Unauth
	}
	scheme, text, ok := strings.Cut(field[0], " ")
	if !ok || !strings.EqualFold(scheme, "Macaroon") && !strings.EqualFold(scheme, "Bearer") && !strings.EqualFold(scheme, "Macro") {
		return capability.Token{}, spec.Unauth
	}
	return capability.ParseText(text)
}

// denial is the reason of an error of package capability, and nothing else of it (CAP-DEN-004).
func denial(err error) (spec.Reason, time.Duration) {
	if e, ok := err.(*capability.Error); ok {
		return e.Reason, e.RetryAfter
	}
	return reasonOf(err), 0
}

func isAdmin(op spec.Op) bool {
	for _, o := range spec.Admin.Ops() {
		if o == op {
			return true
		}
	}
	return false
}

// ended says that the capability of the request was revoked or expired since it was admitted.
func (x *exchange) ended() bool { return x.lease != nil && x.lease.Ended() }

// revoked wakes whoever reads the body or writes the answer (CAP-REV-003). They find that the lease has ended.
func (x *exchange) revoked() { x.conn.wake(x) }

// grant is what an OAP stream keeps of its capability. Owner: oapConn.mu; only o is read without it.
type grant struct {
	o        *oapConn
	st       *session.Stream // nil once the stream is over
	op       spec.Op
	token    capability.Token
	lease    *capability.Lease
	passport *passport // of a passport request
}

// ids are those of the capability, where it was found good.
func (g *grant) ids() ids { return idsOf(g.lease) }

func idsOf(l *capability.Lease) ids {
	if l == nil {
		return ids{}
	}
	return ids{l.Key, l.ID}
}

// revoked ends the stream (CAP-REV-003).
func (g *grant) revoked() {
	o := g.o
	o.mu.Lock()
	if g.st != nil {
		now := time.Now()
		o.n.denied(&denied{reason: spec.Unauth, via: &o.via, corr: audit.CorrUint(g.st.Corr), op: g.op, lease: g.ids()})
		o.sess.Fail(now, g.st, spec.Unauth, 0)
		o.apply(now)
		o.interrupt()
		o.room.Broadcast()
	}
	o.mu.Unlock()
	o.poke()
}

// release gives back what the stream was granted. The caller holds mu.
func (g *grant) release() {
	clear(g.st.Doc) // it may hold a token
	g.st = nil
	g.lease.Release()
	g.token.Wipe()
}

// authorize is the Authorize of the session. The caller holds mu.
func (o *oapConn) authorize(now time.Time, st *session.Stream, presented []byte) (spec.Reason, time.Duration) {
	g := &grant{o: o, st: st}
	r := capability.Request{Tenant: st.Tenant(), HasPeer: o.via.hasUID, PeerUID: o.via.uid}
	if st.Proto() == spec.ProtoPassport {
		p, err := parsePassport("", st.Doc)
		if err != nil {
			clear(st.Doc)
			return reasonOf(err), 0
		}
		g.passport = p
		r.Op, r.Path = p.op, passportPath(p.op)
	} else {
		r.Op, r.Path = oapOps[st.Req.Op], "/put"
		if st.Req.HasObj {
			r.Path = "/o/" + st.Req.Obj.String()
		}
		if st.Req.Op == wire.OpPut {
			r.Bytes = uint64(st.Req.TotalLen)
		}
	}
	g.op = r.Op
	reason, retry := o.admit(now, g, r, presented)
	if reason != spec.None {
		o.n.denied(&denied{reason: reason, via: &o.via, corr: audit.CorrUint(st.Corr), op: r.Op, lease: g.ids()})
		g.st = nil // its lease may have been ended meanwhile, and st will be another stream
		g.token.Wipe()
		clear(st.Doc) // it may hold a token
		return reason, retry
	}
	st.Grant = g
	return spec.None, 0
}

func (o *oapConn) admit(now time.Time, g *grant, r capability.Request, presented []byte) (spec.Reason, time.Duration) {
	var err error
	if g.token, err = capability.ParseBinary(presented); err == nil {
		g.lease, err = o.n.authority.Admit(o.n.clock(now), g.token, r, g)
	}
	if err != nil {
		return denial(err)
	}
	if writes(r.Op) && o.n.audit.Full() {
		g.lease.Release()
		return spec.NotReady, storeRetry
	}
	return spec.None, 0
}
