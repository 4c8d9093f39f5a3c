package capability_test

import (
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/spec"
)

// TestLeases: a lease is there from the admission to its one Release, and its owner comes back with it (CAP-REV-003).
func TestLeases(t *testing.T) {
	r := newRig(t)
	tok := r.mint()
	l, err := r.Admit(r.now, tok, get, "stream 7")
	if err != nil || l.Owner != "stream 7" || l.ID != tok.ID() || l.Key != tok.Key() || l.Ended() {
		t.Fatalf("%+v, %v", l, err)
	}
	if n := r.Status().Leases; n != 1 {
		t.Errorf("%d leases", n)
	}
	if _, err := r.Verify(r.now, tok, get); err != nil || r.Status().Leases != 1 || r.Status().Rates != 1 {
		t.Errorf("Verify left something: %v, %+v", err, r.Status())
	}
	l.Release()
	if s := r.Status(); s.Leases != 0 || l.Ended() {
		t.Errorf("after the release %+v, ended %v", s, l.Ended())
	}
	defer func() {
		if recover() == nil {
			t.Error("a lease could be released twice")
		}
	}()
	l.Release()
}

// TestLeaseReleasedAfterItsEnd is still owed exactly once.
func TestLeaseReleasedAfterItsEnd(t *testing.T) {
	r := newRig(t)
	l := r.admit(r.mint(), get)
	if _, err := r.RevokeCapability(r.now, l.ID); err != nil {
		t.Fatal(err)
	}
	l.Release()
	defer func() {
		if recover() == nil || !l.Ended() {
			t.Error("a lease that was ended could be released twice")
		}
	}()
	l.Release()
}

// TestExpiryEndsLeases once, at the earliest end among the caveats, in the order of admission (CAP-REV-006).
func TestExpiryEndsLeases(t *testing.T) {
	r := newRig(t)
	long := r.mint()
	short := must(long.Attenuate(r.parse("exp <= 1800000010", "exp <= 1800000020")...))
	a, b, c := r.admit(short, get), r.admit(long, get), r.admit(short, get)
	if ended := r.pass(10 * time.Second); ended != nil {
		t.Errorf("ended in their last second: %v", ended)
	}
	if ended := r.pass(1); !slices.Equal(ended, []*capability.Lease{a, c}) || !a.Ended() || b.Ended() {
		t.Errorf("ended: %v", ended)
	}
	if ended := r.pass(time.Second); ended != nil {
		t.Errorf("ended again: %v", ended)
	}
	if n := r.Status().Leases; n != 1 {
		t.Errorf("%d leases", n)
	}
}

// TestRevocationInBetween revokes at every point of an admission at which something can come between: before the
// decision the admission is refused, after it the revocation hands the lease back (CAP-REV-002, CAP-REV-003).
func TestRevocationInBetween(t *testing.T) {
	revoke := map[string]func(r *rig, tok capability.Token) []*capability.Lease{
		"by id": func(r *rig, tok capability.Token) []*capability.Lease {
			return must(r.RevokeCapability(r.now, tok.ID()))
		},
		"by key": func(r *rig, tok capability.Token) []*capability.Lease {
			ended, found := r.RevokeKey(r.now, tok.Key())
			if !found {
				t.Error("no such key")
			}
			return ended
		},
		"by the end": func(r *rig, _ capability.Token) []*capability.Lease {
			return r.pass(spec.MaxCapabilityTTL + time.Second)
		},
		"by closing": func(r *rig, _ capability.Token) []*capability.Lease { return r.Close() },
	}
	for name, revoke := range revoke {
		for _, point := range []string{"admit: key found", "admit: examined", "admit: decided"} {
			var r *rig
			var tok capability.Token
			var ended []*capability.Lease
			var there atomic.Int32
			var here string
			r = newRig(t, func(c *capability.Config) {
				c.Yield = func(at string) {
					if at == here {
						there.Add(1)
						ended = revoke(r, tok)
					}
				}
			})
			tok = r.mint()
			here = point
			l, err := r.Admit(r.now, tok, get, nil)
			switch {
			case there.Load() != 1:
				t.Errorf("%s: %q was passed %d times", name, point, there.Load())
			case point == "admit: decided":
				if err != nil || !slices.Equal(ended, []*capability.Lease{l}) || !l.Ended() {
					t.Errorf("%s at %q: admitted with %v, to be ended %v", name, point, err, ended)
				}
			default:
				if !hasReason(err, spec.Unauth) || l != nil || ended != nil {
					t.Errorf("%s at %q: %v, to be ended %v", name, point, err, ended)
				}
			}
			here = ""
			r.refuseAny(tok)
		}
	}
}

// refuseAny wants t to be refused as no good, by whichever rule.
func (r *rig) refuseAny(t capability.Token) {
	r.Helper()
	if _, err := r.Admit(r.now, t, get, nil); !hasReason(err, spec.Unauth) {
		r.Errorf("admitted, or refused for another reason: %v", err)
	}
}

// TestForgottenRevocation: an admission that slept from before the revocation until after it was forgotten is refused
// (CAP-REV-004). So is one that comes with a time from then.
func TestForgottenRevocation(t *testing.T) {
	var r *rig
	var asleep func()
	r = newRig(t, func(c *capability.Config) {
		c.Yield = func(at string) {
			if at == "admit: examined" && asleep != nil {
				sleep := asleep
				asleep = nil
				sleep()
			}
		}
	})
	tok := r.mint()
	asleep = func() {
		must(r.RevokeCapability(r.now, tok.ID()))
		r.pass(spec.MaxCapabilityTTL + time.Second)
		if r.Status().Revocations != 0 {
			t.Error("not forgotten")
		}
	}
	if _, err := r.Admit(epoch, tok, get, nil); !hasReason(err, spec.Unauth) {
		t.Errorf("a revoked capability was admitted: %v", err)
	}
}

// TestStorm lets admissions, revocations, rotations and ticks loose on each other. Afterwards everything is accounted for:
// a lease under a revoked capability was handed back exactly once, unless it was released before; one admitted
// after the revocation returned does not exist (CAP-REV-002, CAP-REV-003).
func TestStorm(t *testing.T) {
	r := newRig(t)
	const rounds, clients, most = 60, 4, 2000 // rounds go on until something met, which the scheduler may put off
	var handed sync.Map                       // lease -> true, when it was handed back
	hand := func(list []*capability.Lease) {
		for _, l := range list {
			if _, twice := handed.LoadOrStore(l, true); twice {
				t.Error("a lease was handed back twice")
			}
		}
	}
	var admitted, refused, caught atomic.Int64
	for round := 0; round < rounds || refused.Load() == 0 && round < most; round++ {
		tok := r.mint()
		var revoked atomic.Bool
		var wg sync.WaitGroup
		start := make(chan struct{})
		for client := range clients {
			wg.Go(func() {
				<-start
				for i := range 8 {
					after := revoked.Load()
					l, err := r.Admit(r.now, tok, get, nil)
					if err != nil {
						if !hasReason(err, spec.Unauth) {
							t.Errorf("refused: %v", err)
						}
						refused.Add(1)
						continue
					}
					if after {
						t.Error("admitted after the revocation had returned")
					}
					admitted.Add(1)
					if (client+i)%2 == 0 {
						l.Release() // otherwise it stays open
					}
				}
			})
		}
		wg.Go(func() {
			<-start
			if round%2 == 0 {
				ended, err := r.RevokeCapability(r.now, tok.ID())
				if err != nil {
					t.Error(err)
				}
				hand(ended)
			} else {
				ended, found := r.RevokeKey(r.now, tok.Key())
				if !found {
					t.Error("no such key")
				}
				hand(ended)
			}
			revoked.Store(true)
		})
		wg.Go(func() {
			<-start
			if _, err := r.Tick(r.now); err != nil {
				t.Error(err)
			}
			if round%3 == 0 {
				if _, err := r.Rotate(r.now); err != nil {
					t.Error(err)
				}
			}
			r.Status()
		})
		close(start)
		wg.Wait()
		if n := r.Status().Leases; n != 0 {
			t.Fatalf("round %d: %d leases outlived the revocation of all there is", round, n)
		}
	}
	handed.Range(func(l, _ any) bool {
		if !l.(*capability.Lease).Ended() {
			t.Error("handed back, but not ended")
		}
		caught.Add(1)
		return true
	})
	if admitted.Load() == 0 || refused.Load() == 0 {
		t.Errorf("%d admitted, %d refused: nothing met", admitted.Load(), refused.Load())
	}
	t.Logf("%d admitted, %d refused, %d ended while open", admitted.Load(), refused.Load(), caught.Load())
}

// TestIssuedInherits: what confined the issuer confines what it issues, once each, also what confines it by a discharge;
// operations, paths and times are the issuer's office (CAP-ISS-002).
func TestIssuedInherits(t *testing.T) {
	r := newRig(t)
	issue := capability.Request{Op: spec.OpIssue, Path: "/v1/passport/issue", Tenant: [16]byte{1}, HasPeer: true, PeerUID: 7}
	confined := []string{"aud = node-a", "tenant = 01000000000000000000000000000000", "max-bytes <= 10", "rps <= 5", "peer-uid = 7", "amnesia = on", "max-bytes <= 20"}
	tok := must(r.Mint(r.now, capability.Minting{Ops: spec.Issuer.Ops(),
		Caveats: r.parse(append(confined, "path ^= /v1", "nbf >= 1", "aud = node-a", "exp <= 1800000500")...)}))
	l := r.admit(tok, issue)
	if got := must(l.Inherited()); !slices.Equal(got, r.parse(confined...)) {
		t.Errorf("inherited %v", got)
	}
	issued := must(r.Mint(r.now, capability.Minting{Ops: spec.Writer.Ops(), From: l, Caveats: r.parse("rps <= 2", "aud = node-a")}))
	want := append([]string{"exp <= 1800000900", "op in put,delete,move", "rps <= 2", "aud = node-a"},
		"tenant = 01000000000000000000000000000000", "max-bytes <= 10", "rps <= 5", "peer-uid = 7", "amnesia = on", "max-bytes <= 20")
	if got := issued.Caveats(); !slices.Equal(got, want) {
		t.Errorf("issued %q", got)
	}
	put := capability.Request{Op: spec.OpPut, Path: "/put", Tenant: [16]byte{1}, HasPeer: true, PeerUID: 7, Bytes: 10}
	r.admit(issued, put).Release()
	put.Tenant = [16]byte{2}
	r.refuse(issued, put, spec.Forbidden, "CAP-CAV-011")

	asks := must(must(r.Mint(r.now, capability.Minting{Ops: spec.Issuer.Ops()})).AddThirdParty([]byte("key"), []byte("who"), ""))
	bound := must(asks.Bind(must(capability.NewDischarge([]byte("key"), []byte("who"), r.parse("peer-uid = 7", "op in issue")...))))
	other := r.admit(bound, issue)
	if got := must(other.Inherited()); !slices.Equal(got, r.parse("peer-uid = 7")) {
		t.Errorf("inherited by a discharge: %v", got)
	}
	if plain := must(r.Mint(r.now, capability.Minting{Ops: spec.Reader.Ops(), From: r.admit(r.mintIssuer(), issue)})); len(plain.Caveats()) != 2 {
		t.Errorf("an issuer that nothing confines issues %q", plain.Caveats())
	}

	// As many as there may be, and one more.
	many := r.parse(slices.Repeat([]string{"nbf >= 0"}, spec.MaxCaveats-2-len(confined))...)
	if full := must(r.Mint(r.now, capability.Minting{Ops: spec.Reader.Ops(), From: l, Caveats: many})); len(full.Caveats()) != spec.MaxCaveats {
		t.Errorf("%d caveats", len(full.Caveats()))
	}
	_, err := r.Mint(r.now, capability.Minting{Ops: spec.Reader.Ops(), From: l, Caveats: append(many, many[0])})
	wantError(t, err, spec.Oversize, "CAP-TOK-006")

	// An issuer whose capability was revoked since its request was admitted issues nothing (CAP-REV-003).
	must(r.RevokeCapability(r.now, tok.ID()))
	_, err = r.Mint(r.now, capability.Minting{Ops: spec.Reader.Ops(), From: l})
	wantError(t, err, spec.Unauth, "CAP-REV-003")
}

func (r *rig) mintIssuer() capability.Token {
	return must(r.Mint(r.now, capability.Minting{Ops: spec.Issuer.Ops()}))
}
