package capability

import (
	"cmp"
	"slices"
	"sync/atomic"

	"github.com/rustyonions/micronode/spec"
)

// Lease stands for one admitted request or stream, from its admission to its end. When its capability is revoked or
// expires, the lease is ended: it is returned once, by RevokeCapability, RevokeKey, Tick or Close, and Ended reports
// true. Whoever gets it has to end what Owner stands for within a second (CAP-REV-003), and must not do that under a lock
// that is held when this package is called: a revocation may come in on the very connection that it ends.
//
// All methods are safe for concurrent use.
type Lease struct {
	Grant
	// Owner is what the caller gave to Admit. This package does not look at it.
	Owner any

	a        *Authority
	token    Token
	exp      int64  // as Grant.Expires, in seconds
	serial   uint64 // admissions in their order, so that lists of leases have one
	ended    atomic.Bool
	released bool // owner: Authority.mu
}

// Ended says that the capability was revoked or expired, or the Authority closed, before the lease was released. It costs
// one atomic load, so that a stream can ask between any two steps.
func (l *Lease) Ended() bool { return l.ended.Load() }

// Inherited are the caveats that a capability hands on to those that are issued with it, whatever it was issued for (CAP-ISS-002):
// aud, tenant, max-bytes, rps, peer-uid and amnesia, each once, those of its discharges included. The error is an *Error with
// reason Internal where the token was wiped already: nothing can be said then, least of all that there are none.
func (l *Lease) Inherited() (list []Caveat, err error) {
	if l.token.missing() {
		return nil, &Error{Reason: spec.Internal, Rule: "CAP-ISS-002"}
	}
	for macaroons := (reader{rest: l.token.p.in.b}); macaroons.more(); {
		m := macaroons.macaroon()
		for caveats := m.caveats(); caveats.more(); {
			next := caveats.caveat()
			if next.thirdParty() {
				continue
			}
			c, _ := parseCondition(next.id) // it was admitted, so it is well-formed
			switch c.kind {
			case aud, tenant, maxBytes, rps, peerUID, amnesia:
				if same := c.caveat(); !slices.Contains(list, same) {
					list = append(list, same)
				}
			}
		}
	}
	return list, nil
}

// Release gives the lease back: the request or stream is over. It is owed exactly once, whether the lease was ended or
// not; a second one is our own mistake and panics.
func (l *Lease) Release() {
	l.a.yield("release")
	l.a.mu.Lock()
	defer l.a.mu.Unlock()
	if l.released {
		panic("capability: a lease was released twice")
	}
	l.released = true
	delete(l.a.leases, l)
}

// end takes the leases that which names out of the register, marks them and returns them in the order of their
// admission. The caller holds mu.
func (a *Authority) end(which func(*Lease) bool) []*Lease {
	var list []*Lease
	for l := range a.leases {
		if which(l) {
			l.ended.Store(true)
			delete(a.leases, l)
			list = append(list, l)
		}
	}
	slices.SortFunc(list, func(x, y *Lease) int { return cmp.Compare(x.serial, y.serial) })
	return list
}
