package capability

import (
	"io"
	"slices"
	"sync"
	"time"

	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/spec"
)

// Config is what an Authority is made with.
type Config struct {
	// Name is the name of the node, which an `aud` caveat asks for: 1 to 128 visible ASCII characters (CAP-CAV-008).
	Name string
	// Amnesia says whether the node has amnesia on (CAP-CAV-015).
	Amnesia bool
	// Random is where keys and capability ids come from: crypto/rand.Reader outside of tests (CAP-IDN-002). It is read
	// by one call at a time.
	Random io.Reader
	// Vault is where root keys are kept (CAP-KEY-003), with room for spec.MaxRootKeys. Its owner closes it after the
	// Authority.
	Vault *secret.Vault
	// Yield, unless nil, is called between the atomic sections of a call, with a name for the place, and never while a
	// lock is held. It lets a test decide what happens there; nil in production.
	Yield func(point string)
}

// Authority is the keyring of one node, its revocations, and what it has admitted. All methods are safe for concurrent
// use.
//
// Each method that depends on the time takes it as its argument. The Authority remembers the latest time it was told and
// never goes back behind it, so that nothing expired comes to life again. Its caller derives the time from a monotonic
// clock (ADM-TIM-005): after a leap ahead of the wall clock, everything up to there would count as expired.
//
// What it holds is bounded: spec.MaxRootKeys keys, spec.MaxRevocations revocations (CAP-REV-005; about 6 MiB when full), one counter for each capability id admitted since
// the second before the last Tick, and one lease for each request or stream that the caller has not released. Refused
// requests leave nothing (ADM-CAP-009).
type Authority struct {
	cfg Config

	mu      sync.Mutex
	clock   time.Time        // the latest time that any call brought
	keys    map[KeyID]*key   // the current one and those that were replaced; at most spec.MaxRootKeys
	current *key             // signs; nil after Close, and where a new one could not be made
	revoked map[ID]time.Time // until when each is remembered; at most spec.MaxRevocations
	rates   map[ID]rate      // what was admitted under each id in the last second
	leases  map[*Lease]bool  // neither released nor ended
	serial  uint64           // of the last lease
	closed  bool
}

// rate counts the requests admitted under one capability id in the second that began at start.
type rate struct {
	start time.Time
	n     int64
}

// New makes an Authority with one root key. The error is an *Error: Malformed for a bad Config, Internal for randomness
// that failed.
func New(now time.Time, cfg Config) (*Authority, error) {
	if !isText([]byte(cfg.Name)) || cfg.Random == nil || cfg.Vault == nil {
		return nil, &Error{Reason: spec.Malformed, Rule: "CAP-CAV-008"}
	}
	a := &Authority{
		cfg: cfg, clock: now,
		keys: map[KeyID]*key{}, revoked: map[ID]time.Time{}, rates: map[ID]rate{}, leases: map[*Lease]bool{},
	}
	if err := a.rotate(); err != nil {
		return nil, err
	}
	return a, nil
}

// advance moves the clock on to now, and says what time it is. The caller holds mu.
func (a *Authority) advance(now time.Time) time.Time {
	if now.After(a.clock) {
		a.clock = now
	}
	return a.clock
}

// yield gives a test its turn. The caller holds no lock.
func (a *Authority) yield(point string) {
	if a.cfg.Yield != nil {
		a.cfg.Yield(point)
	}
}

// Grant is what a verified capability allows.
type Grant struct {
	Key     KeyID
	ID      ID
	Expires time.Time // the last moment at which it is good

	maxBytes int64 // -1 for no limit
}

// CheckBytes says whether the capability covers a body of n bytes; the error is an *Error with reason Forbidden. It is
// to be asked as bytes arrive, because what is delivered may be more than what was declared (CAP-CAV-012).
func (g Grant) CheckBytes(n uint64) error {
	if g.maxBytes >= 0 && n > uint64(g.maxBytes) {
		return forbidden("CAP-CAV-012")
	}
	return nil
}

// Minting is what a capability is to be.
type Minting struct {
	// Ops are the operations that it allows; at least one. Role.Ops gives those of a role (CAP-ROL-001).
	Ops []spec.Op
	// TTL is its life, whole seconds rounded down: 1 second to spec.MaxCapabilityTTL, or 0 for spec.DefaultCapabilityTTL
	// (CAP-CAV-006).
	TTL time.Duration
	// Caveats are further conditions.
	Caveats []Caveat
	// From is the lease of the request that asks for it, whose capability hands on what Lease.Inherited says (CAP-ISS-002).
	// It is nil only where the node mints for itself.
	From *Lease
}

// Mint makes a capability under the current key. Without one, or with one that is due, it makes a new key first. The
// error is an *Error: Malformed or Oversize for a Minting that can not be met, Unauth for a lease that was ended, Quota
// for a full keyring, Internal for randomness that failed and for a lease whose token was wiped.
func (a *Authority) Mint(now time.Time, m Minting) (Token, error) {
	a.yield("mint")
	a.mu.Lock()
	defer a.mu.Unlock()
	now = a.advance(now)
	ttl := m.TTL
	if ttl == 0 {
		ttl = spec.DefaultCapabilityTTL
	}
	if ttl < time.Second || ttl > spec.MaxCapabilityTTL {
		return Token{}, &Error{Reason: spec.Malformed, Rule: "CAP-CAV-005"}
	}
	exp := now.Add(ttl).Unix()
	caveats, err := m.caveats(exp)
	if err != nil {
		return Token{}, err
	}
	if err := a.renew(); err != nil {
		return Token{}, err
	}
	k := a.current
	id := append(append(make([]byte, 0, identifierLen+len(ID{})), identifierVersion), k.id[:]...)[:identifierLen]
	if err := a.random(id[identifierLen-len(ID{}):]); err != nil {
		return Token{}, err
	}
	t, err := k.mint(id, caveats)
	if err == nil {
		k.exp = max(k.exp, exp) // before anyone can have the token
	}
	return t, err
}

// caveats are all that the token gets.
func (m *Minting) caveats(exp int64) ([]Caveat, error) {
	if len(m.Ops) == 0 || slices.ContainsFunc(m.Ops, func(op spec.Op) bool { return !op.Known() }) {
		return nil, &Error{Reason: spec.Malformed, Rule: "CAP-ROL-001"}
	}
	list := append([]Caveat{expires(exp), among(m.Ops)}, m.Caveats...)
	if m.From != nil {
		if m.From.Ended() {
			return nil, unauth("CAP-REV-003")
		}
		inherited, err := m.From.Inherited()
		if err != nil {
			return nil, err
		}
		for _, c := range inherited {
			if !slices.Contains(list, c) {
				list = append(list, c)
			}
		}
	}
	if len(list) > spec.MaxCaveats {
		return nil, &Error{Reason: spec.Oversize, Rule: "CAP-TOK-006"}
	}
	return list, nil
}

// mint signs a new token. The caller holds mu.
func (k *key) mint(id []byte, caveats []Caveat) (t Token, err error) {
	err = &Error{Reason: spec.Internal, Rule: "CAP-KEY-003", Err: secret.ErrWiped}
	_ = k.secret.Use(func(b []byte) { // err says it
		secret.Do(func() {
			c := chain{sum: [len(chain{}.sum)]byte(b[rootKeyLen:])}
			defer c.wipe()
			c.add(id)
			t, err = seal(appendHead(nil, location, id), &c, caveats)
		})
	})
	return t, err
}

// Admit verifies a capability against a request and, where it covers it, registers a lease for it. The caller owes the
// lease exactly one Release; owner comes back with the lease when it has to be ended (see Lease). The error is an *Error:
// Unauth for a capability that is missing or no good (CAP-DEN-001, CAP-ROL-003), Forbidden for one that does not cover the
// request (CAP-DEN-002), Quota for one above its rate (CAP-CAV-013). A refusal changes nothing.
func (a *Authority) Admit(now time.Time, t Token, r Request, owner any) (*Lease, error) {
	k, now, err := a.find(now, t)
	if err != nil {
		return nil, err
	}
	a.yield("admit: key found")
	f := a.examine(k, now, t, r)
	a.yield("admit: examined")
	l, err := a.register(k, now, t, f, owner)
	a.yield("admit: decided")
	return l, err
}

// Verify says whether Admit would admit the request now, and registers and counts nothing.
func (a *Authority) Verify(now time.Time, t Token, r Request) (Grant, error) {
	k, now, err := a.find(now, t)
	if err != nil {
		return Grant{}, err
	}
	a.yield("verify: key found")
	f := a.examine(k, now, t, r)
	a.yield("verify: examined")
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, err := a.decide(k, now, t, f); err != nil {
		return Grant{}, err
	}
	return grant(t, f), nil
}

func grant(t Token, f findings) Grant {
	return Grant{Key: t.Key(), ID: t.ID(), Expires: time.Unix(f.exp, 0), maxBytes: f.maxBytes}
}

// find finds the key that the token names.
func (a *Authority) find(now time.Time, t Token) (*key, time.Time, error) {
	if t.missing() {
		return nil, now, unauth("CAP-ROL-003")
	}
	if t.p.open {
		return nil, now, unauth("CAP-TOK-008")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	now = a.advance(now)
	k := a.keys[t.p.key]
	if k == nil {
		return nil, now, unauth("CAP-IDN-003")
	}
	return k, now, nil
}

// examine verifies the signatures, in constant time, and then, if they are right, the caveats (CAP-HMC-001, CAP-HMC-003,
// CAP-KEY-004). It takes the longest and needs no lock.
func (a *Authority) examine(k *key, now time.Time, t Token, r Request) findings {
	if rule := k.verify(t); rule != "" {
		return findings{unauth: rule}
	}
	return evaluate(t, now, node{a.cfg.Name, a.cfg.Amnesia}, r)
}

// verify returns the rule that the signature of t breaks, or that of a discharge, or "".
func (k *key) verify(t Token) (rule string) {
	rule = "CAP-IDN-003" // the key was dropped meanwhile
	_ = k.secret.Use(func(b []byte) {
		rule = "CAP-HMC-001"
		secret.Do(func() {
			c := chain{sum: [len(chain{}.sum)]byte(b[rootKeyLen:])}
			c.add(t.p.in.m.id)
			c.caveats(&t.p.in.m)
			if c.is(t.p.in.m.sig) {
				rule = ""
			}
			c.wipe()
		})
		if rule == "" && t.p.in.m.thirdParty > 0 && !t.dischargesHold(b[:rootKeyLen]) {
			rule = "CAP-TOK-008"
		}
	})
	return rule
}

// register is the atomic section of Admit: whatever was revoked, dropped or expired before it refuses, and whatever is
// revoked after it finds the lease (CAP-REV-002, CAP-REV-003). Between the decision and the entry there is nothing.
func (a *Authority) register(k *key, now time.Time, t Token, f findings, owner any) (*Lease, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w, err := a.decide(k, now, t, f)
	if err != nil {
		return nil, err
	}
	w.n++
	a.rates[t.p.id] = w
	a.serial++
	l := &Lease{Grant: grant(t, f), Owner: owner, a: a, token: t, exp: f.exp, serial: a.serial}
	a.leases[l] = true
	return l, nil
}

// decide gives the verdict on a token that was examined at now, and the counter of its rate. It changes nothing but the
// clock. The caller holds mu.
func (a *Authority) decide(k *key, now time.Time, t Token, f findings) (rate, error) {
	now = a.advance(now)
	_, revoked := a.revoked[t.p.id]
	switch {
	case f.unauth != "":
		return rate{}, unauth(f.unauth)
	case k.dropped || revoked:
		return rate{}, unauth("CAP-REV-001")
	case past(f.exp, now): // a Tick may have forgotten the revocation by then
		return rate{}, unauth("CAP-CAV-005")
	case f.forbidden != "":
		return rate{}, forbidden(f.forbidden)
	}
	w := a.rates[t.p.id]
	if now.Sub(w.start) >= time.Second {
		w = rate{start: now}
	}
	if f.rps >= 0 && w.n >= f.rps {
		e := &Error{Reason: spec.Quota, Rule: "CAP-CAV-013"}
		if f.rps > 0 {
			e.RetryAfter = w.start.Add(time.Second).Sub(now)
		}
		return rate{}, e
	}
	return w, nil
}
