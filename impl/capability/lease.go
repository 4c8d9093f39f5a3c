package capability

import (
	"cmp"
	"slices"
	"sync/atomic"
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
	exp      int64  // as Grant.Expires, in seconds
	serial   uint64 // admissions in their order, so that lists of leases have one
	ended    atomic.Bool
	released bool // owner: Authority.mu
}

// Ended says that the capability was revoked or expired, or the Authority closed, before the lease was released. It costs
// one atomic load, so that a stream can ask between any two steps.
func (l *Lease) Ended() bool { return l.ended.Load() }

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
