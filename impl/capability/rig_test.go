package capability_test

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"testing"
	"time"

	"gopkg.in/macaroon.v2"

	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/spec"
)

// epoch is the time at which tests begin.
var epoch = time.Unix(1_800_000_000, 0)

// counter is randomness that counts: no two blocks of it are alike.
type counter struct{ n uint64 }

func (c *counter) Read(b []byte) (int, error) {
	c.n++
	for i := range b {
		b[i] = byte(c.n>>(8*(i%8))) ^ byte(i) ^ 0xa5
	}
	return len(b), nil
}

// rig is an Authority and its test.
type rig struct {
	testing.TB
	*capability.Authority
	now time.Time
}

func newRig(t testing.TB, edit ...func(*capability.Config)) *rig {
	t.Helper()
	cfg := capability.Config{Name: "node-a", Amnesia: true, Random: &counter{}, Vault: newVault(t)}
	for _, e := range edit {
		e(&cfg)
	}
	a, err := capability.New(epoch, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{t, a, epoch}
}

func newVault(t testing.TB) *secret.Vault {
	v, err := secret.NewVault(spec.MaxRootKeys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

// pass moves the time on, and ticks.
func (r *rig) pass(d time.Duration) []*capability.Lease {
	r.Helper()
	r.now = r.now.Add(d)
	ended, err := r.Tick(r.now)
	if err != nil {
		r.Fatal(err)
	}
	return ended
}

// mint makes a capability for get that lives as long as it can, with further caveats.
func (r *rig) mint(caveats ...string) capability.Token {
	r.Helper()
	t, err := r.Mint(r.now, capability.Minting{Ops: []spec.Op{spec.OpGet}, TTL: spec.MaxCapabilityTTL, Caveats: r.parse(caveats...)})
	if err != nil {
		r.Fatal(err)
	}
	return t
}

func (r *rig) parse(caveats ...string) (list []capability.Caveat) {
	r.Helper()
	for _, text := range caveats {
		c, err := capability.ParseCaveat(text)
		if err != nil {
			r.Fatalf("%q: %v", text, err)
		}
		list = append(list, c)
	}
	return list
}

// get is a request that mint's capabilities cover.
var get = capability.Request{Op: spec.OpGet, Path: "/o/a"}

// admit wants t to be admitted.
func (r *rig) admit(t capability.Token, req capability.Request) *capability.Lease {
	r.Helper()
	l, err := r.Admit(r.now, t, req, nil)
	if err != nil {
		r.Fatalf("refused: %v (%s)", err, rule(err))
	}
	return l
}

// refuse wants t to be refused, for the reason and by the rule; nothing may have changed, and Verify has to say the same.
func (r *rig) refuse(t capability.Token, req capability.Request, reason spec.Reason, byRule string) {
	r.Helper()
	before := r.Status()
	_, err := r.Admit(r.now, t, req, nil)
	wantError(r, err, reason, byRule)
	_, err = r.Verify(r.now, t, req)
	wantError(r, err, reason, byRule)
	if after := r.Status(); !sameStatus(before, after) {
		r.Errorf("a refusal changed %+v to %+v", before, after)
	}
}

func sameStatus(a, b capability.Status) bool {
	return a.Current == b.Current && len(a.Replaced) == len(b.Replaced) && a.Revocations == b.Revocations && a.Leases == b.Leases && a.Rates == b.Rates
}

func wantError(t testing.TB, err error, reason spec.Reason, byRule string) {
	t.Helper()
	var e *capability.Error
	if !errors.As(err, &e) || e.Reason != reason || e.Rule != byRule || !errors.Is(err, reason) {
		t.Errorf("got %v by %q, want %s by %s", err, rule(err), reason, byRule)
	}
}

func rule(err error) string {
	var e *capability.Error
	if errors.As(err, &e) {
		return e.Rule
	}
	return ""
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func hexBytes(text string) ([]byte, error) { return hex.DecodeString(text) }

// libraryVerifies says what gopkg.in/macaroon.v2 says to a token and its discharges, with all that it tolerates: it reads
// one macaroon after the other, however they are encoded, and looks at no condition.
func libraryVerifies(text string, root []byte) bool {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return false
	}
	var list macaroon.Slice
	if err := list.UnmarshalBinary(b); err != nil || len(list) == 0 {
		return false
	}
	_, err = list[0].VerifySignature(root, list[1:])
	return err == nil
}
