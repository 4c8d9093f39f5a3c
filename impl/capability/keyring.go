package capability

import (
	"bytes"
	"io"
	"slices"
	"time"

	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/spec"
)

const (
	rootKeyLen = 32 // as long as the output of the hash
	slotLen    = rootKeyLen + len(chain{}.sum)
)

// key is one root key. Owner: Authority.mu; id and secret do not change.
type key struct {
	id KeyID
	// secret is the root key and, behind it, what is derived from it for the chain (CAP-KEY-003). Use and Wipe keep out of
	// each other's way, so that verifications read it without mu.
	secret  *secret.Bytes
	made    time.Time
	exp     int64 // the latest of any capability minted under it, in seconds: nothing lives longer
	dropped bool  // no longer in the ring, and overwritten
}

// newKey makes a key. The caller holds mu.
func (a *Authority) newKey() (*key, error) {
	k := &key{made: a.clock}
	if err := a.random(k.id[:]); err != nil {
		return nil, err
	}
	var err error
	if k.secret, err = a.cfg.Vault.New(slotLen); err != nil {
		return nil, &Error{Reason: spec.Internal, Rule: "CAP-KEY-003", Err: err}
	}
	stuck := false
	err = &Error{Reason: spec.Internal, Rule: "CAP-KEY-003", Err: secret.ErrWiped}
	_ = k.secret.Use(func(b []byte) { // err says it
		root := b[:rootKeyLen]
		if err = a.random(root); err != nil {
			return
		}
		stuck = bytes.Equal(root, make([]byte, rootKeyLen))
		secret.Do(func() {
			var c chain
			c.start(root)
			copy(b[rootKeyLen:], c.sum[:])
			c.wipe()
		})
	})
	// A source that is stuck would sign with a key that everybody can guess, or put two keys under one name.
	if err == nil && (stuck || a.keys[k.id] != nil) {
		err = &Error{Reason: spec.Internal, Rule: "CAP-IDN-002"}
	}
	if err != nil {
		k.secret.Wipe()
		return nil, err
	}
	return k, nil
}

// Rotate replaces the current key. Capabilities under the old one stay good until they expire, and it is dropped and
// overwritten when none can be left: at once, if none was minted (CAP-KEY-002). The error is an *Error: Quota for a full
// keyring (CAP-REV-005), Internal for randomness that failed; nothing has changed then.
func (a *Authority) Rotate(now time.Time) (KeyID, error) {
	a.yield("rotate")
	a.mu.Lock()
	defer a.mu.Unlock()
	now = a.advance(now)
	a.expireKeys(now)
	if err := a.rotate(); err != nil {
		return KeyID{}, err
	}
	a.expireKeys(now)
	return a.current.id, nil
}

// renew makes a current key where there is none or the one there is due (CAP-KEY-001). The caller holds mu.
func (a *Authority) renew() error {
	if a.closed {
		return &Error{Reason: spec.Draining, Rule: "CAP-KEY-003"}
	}
	if a.current != nil && a.clock.Sub(a.current.made) < spec.MaxKeyAge {
		return nil
	}
	return a.rotate()
}

// rotate puts a new key into the ring and makes it the current one. The caller holds mu.
func (a *Authority) rotate() error {
	if a.closed {
		return &Error{Reason: spec.Draining, Rule: "CAP-KEY-003"}
	}
	if len(a.keys) >= spec.MaxRootKeys {
		return &Error{Reason: spec.Quota, Rule: "CAP-REV-005"}
	}
	k, err := a.newKey()
	if err != nil {
		return err
	}
	a.keys[k.id] = k
	a.current = k
	return nil
}

// random fills b. The caller holds mu.
func (a *Authority) random(b []byte) error {
	if _, err := io.ReadFull(a.cfg.Random, b); err != nil {
		return &Error{Reason: spec.Internal, Rule: "CAP-IDN-002", Err: err}
	}
	return nil
}

// expireKeys drops replaced keys under which nothing can be alive. The caller holds mu.
func (a *Authority) expireKeys(now time.Time) {
	for _, k := range a.keys {
		if k != a.current && past(k.exp, now) {
			a.drop(k)
		}
	}
}

// drop takes a key out of the ring and overwrites it; a verification that reads it at this moment is waited for, and one
// that comes later finds nothing (AMN-ZER-005). The caller holds mu.
func (a *Authority) drop(k *key) {
	delete(a.keys, k.id)
	k.dropped = true
	k.secret.Wipe()
	if a.current == k {
		a.current = nil
	}
}

// RevokeCapability revokes a capability and everything that was attenuated from it, from this moment on. It returns
// the leases that the caller has to end now (CAP-REV-001 to 003). The revocation is remembered until no capability that
// exists can be alive, since the id does not say when its own expires (CAP-REV-004). To revoke again changes nothing. The
// error is an *Error: Quota when spec.MaxRevocations are remembered already (CAP-REV-005); nothing is revoked then but
// with the whole key.
func (a *Authority) RevokeCapability(now time.Time, id ID) ([]*Lease, error) {
	a.yield("revoke")
	defer a.yield("revoked")
	a.mu.Lock()
	defer a.mu.Unlock()
	now = a.advance(now)
	if _, again := a.revoked[id]; !again && len(a.revoked) >= spec.MaxRevocations {
		if a.forget(now); len(a.revoked) >= spec.MaxRevocations {
			return nil, &Error{Reason: spec.Quota, Rule: "CAP-REV-005"}
		}
	}
	a.revoked[id] = now.Add(spec.MaxCapabilityTTL)
	return a.end(func(l *Lease) bool { return l.ID == id }), nil
}

// RevokeKey revokes all capabilities of a root key, from this moment on, by dropping the key: what it signed is never
// good again, so there is nothing to remember (CAP-REV-004). It returns the leases that the caller has to end now, and
// whether there was such a key. The current key is replaced by a new one; where randomness fails, the next Mint or Tick
// tries again, and the old key is revoked all the same.
func (a *Authority) RevokeKey(now time.Time, id KeyID) (ended []*Lease, found bool) {
	a.yield("revoke key")
	defer a.yield("revoked key")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(now)
	k := a.keys[id]
	if k == nil {
		return nil, false
	}
	a.drop(k)
	_ = a.renew() // Mint will say
	return a.end(func(l *Lease) bool { return l.Key == id }), true
}

// forget drops the revocations that cover nothing any more. The caller holds mu.
func (a *Authority) forget(now time.Time) {
	for id, until := range a.revoked {
		if now.After(until) {
			delete(a.revoked, id)
		}
	}
}

// Tick does what time brings: it drops keys and revocations that nothing alive needs, replaces a key that is due, and
// returns the leases whose capability has expired, for the caller to end. Call it at least every half second (CAP-REV-006
// leaves one second; it is the timer of CAP-KEY-010). The error is that of Rotate, where a new key could not be made; the rest was done.
func (a *Authority) Tick(now time.Time) ([]*Lease, error) {
	a.yield("tick")
	defer a.yield("ticked")
	a.mu.Lock()
	defer a.mu.Unlock()
	now = a.advance(now)
	if a.closed {
		return nil, nil
	}
	a.forget(now)
	for id, w := range a.rates {
		if now.Sub(w.start) >= time.Second {
			delete(a.rates, id)
		}
	}
	a.expireKeys(now)
	err := a.renew()
	a.expireKeys(now)
	return a.end(func(l *Lease) bool { return past(l.exp, now) }), err
}

// Close overwrites every key and returns all leases, for the caller to end. Nothing is minted or admitted afterwards.
func (a *Authority) Close() []*Lease {
	a.yield("close")
	a.mu.Lock()
	defer a.mu.Unlock()
	a.closed = true
	for _, k := range a.keys {
		a.drop(k)
	}
	return a.end(func(*Lease) bool { return true })
}

// Status is one consistent look at an Authority. Ids are all it shows of keys (CAP-KEY-005).
type Status struct {
	Current     KeyID   // zero while there is none
	Replaced    []KeyID // keys that still verify, sorted
	Revocations int
	Leases      int // neither released nor ended
	Rates       int // capability ids with a counter
}

// Status returns one consistent look.
func (a *Authority) Status() Status {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := Status{Revocations: len(a.revoked), Leases: len(a.leases), Rates: len(a.rates), Replaced: []KeyID{}}
	for id, k := range a.keys {
		if k == a.current {
			s.Current = id
		} else {
			s.Replaced = append(s.Replaced, id)
		}
	}
	slices.SortFunc(s.Replaced, func(x, y KeyID) int { return bytes.Compare(x[:], y[:]) })
	return s
}
