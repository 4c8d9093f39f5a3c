package capability_test

import (
	"crypto/rand"
	"errors"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/spec"
)

func TestConfig(t *testing.T) {
	for name, edit := range map[string]func(*capability.Config){
		"no name":            func(c *capability.Config) { c.Name = "" },
		"a name with spaces": func(c *capability.Config) { c.Name = "node a" },
		"a long name":        func(c *capability.Config) { c.Name = strings.Repeat("a", 129) },
		"no randomness":      func(c *capability.Config) { c.Random = nil },
		"no vault":           func(c *capability.Config) { c.Vault = nil },
	} {
		cfg := capability.Config{Name: "node-a", Random: &counter{}, Vault: newVault(t)}
		edit(&cfg)
		if _, err := capability.New(epoch, cfg); !hasReason(err, spec.Malformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// zeros is a source of randomness that is stuck.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); return len(b), nil }

// TestBadRandomness: no key is made of randomness that failed or is stuck, and what was there goes on (CAP-IDN-002).
func TestBadRandomness(t *testing.T) {
	broken := errors.New("broken")
	for name, source := range map[string]io.Reader{
		"fails": iotest.ErrReader(broken), "ends": strings.NewReader("short"), "stuck": zeros{},
	} {
		_, err := capability.New(epoch, capability.Config{Name: "node-a", Random: source, Vault: newVault(t)})
		if !hasReason(err, spec.Internal) || name == "fails" && !errors.Is(err, broken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var source io.Reader = &counter{}
	r := newRig(t, func(c *capability.Config) {
		c.Random = readerFunc(func(b []byte) (int, error) { return source.Read(b) })
	})
	tok := r.mint()
	before := r.Status()
	source = iotest.ErrReader(broken)
	if _, err := r.Rotate(r.now); !errors.Is(err, broken) {
		t.Errorf("Rotate: %v", err)
	}
	if _, err := r.Mint(r.now, capability.Minting{Ops: spec.Reader.Ops()}); !errors.Is(err, broken) {
		t.Errorf("Mint: %v", err)
	}
	if after := r.Status(); !sameStatus(before, after) {
		t.Errorf("%+v became %+v", before, after)
	}
	l := r.admit(tok, get)
	// A revocation is in force, whether there can be a new key or not.
	ended, found := r.RevokeKey(r.now, tok.Key())
	if !found || !slices.Equal(ended, []*capability.Lease{l}) {
		t.Errorf("RevokeKey: %v, %v", ended, found)
	}
	r.refuse(tok, get, spec.Unauth, "CAP-IDN-003")
	if _, err := r.Tick(r.now); !errors.Is(err, broken) {
		t.Errorf("Tick: %v", err)
	}
	source = &counter{n: 1000}
	r.admit(r.mint(), get).Release()

	// An id that is there already would put two keys under one name.
	source = &counter{}
	if _, err := r.Rotate(r.now); err != nil {
		t.Fatal(err)
	}
	source = &counter{}
	if _, err := r.Rotate(r.now); !hasReason(err, spec.Internal) {
		t.Errorf("a key id twice: %v", err)
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// TestMintLife: 15 minutes unless asked for, a day at most, a second at least (CAP-CAV-004, CAP-CAV-005, CAP-CAV-006).
func TestMintLife(t *testing.T) {
	r := newRig(t)
	r.now = r.now.Add(time.Second / 2)
	for _, c := range []struct {
		ttl  time.Duration
		want int64 // seconds behind the epoch; 0: refused
	}{
		{0, 15 * 60}, {time.Second, 1}, {time.Minute + 900*time.Millisecond, 61}, {24 * time.Hour, 86400},
		{24*time.Hour + 1, 0}, {time.Second - 1, 0}, {-1, 0}, {-time.Hour, 0}, {1 << 62, 0},
	} {
		tok, err := r.Mint(r.now, capability.Minting{Ops: []spec.Op{"get"}, TTL: c.ttl})
		if c.want == 0 {
			wantError(t, err, spec.Malformed, "CAP-CAV-005")
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", c.ttl, err)
			continue
		}
		g, err := r.Verify(r.now, tok, get)
		if want := epoch.Add(time.Duration(c.want) * time.Second); err != nil || !g.Expires.Equal(want) || g.ID != tok.ID() || g.Key != tok.Key() {
			t.Errorf("%v: %+v, %v, want an end at %v", c.ttl, g, err, want)
		}
	}
}

// TestMintBounds: nothing is minted that would not verify, or would allow everything (CAP-ROL-001, CAP-TOK-005, CAP-TOK-006).
func TestMintBounds(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		m      capability.Minting
		reason spec.Reason
		rule   string
	}{
		{capability.Minting{}, spec.Malformed, "CAP-ROL-001"},
		{capability.Minting{Ops: spec.Role("root").Ops()}, spec.Malformed, "CAP-ROL-001"},
		{capability.Minting{Ops: []spec.Op{"get", "*"}}, spec.Malformed, "CAP-ROL-001"},
		{capability.Minting{Ops: []spec.Op{"get,put"}}, spec.Malformed, "CAP-ROL-001"},
		{capability.Minting{Ops: []spec.Op{"get"}, Caveats: make([]capability.Caveat, 1)}, spec.Malformed, "CAP-CAV-001"},
		{capability.Minting{Ops: []spec.Op{"get"}, Caveats: r.parse(slices.Repeat([]string{"nbf >= 0"}, 31)...)}, spec.Oversize, "CAP-TOK-006"},
		{capability.Minting{Ops: []spec.Op{"get"}, Caveats: r.parse("path ^= /" + strings.Repeat("a", 3072))}, spec.Oversize, "CAP-TOK-005"},
	} {
		_, err := r.Mint(r.now, c.m)
		wantError(t, err, c.reason, c.rule)
	}
}

// TestRoles spells the table of CAP-ROL-001 out, tries every role on every operation, and finds no role in another
// (CAP-ROL-002, CAP-CAV-009, CAP-DEN-002).
func TestRoles(t *testing.T) {
	table := map[spec.Role]string{
		"reader": "get,has,stat,resolve,search", "writer": "put,delete,move", "mailbox": "send,recv,ack,nack",
		"issuer": "issue,verify,revoke,rotate", "admin": "config,audit,reprocess",
	}
	if got := spec.Roles(); !slices.Equal(slices.Sorted(slices.Values(got)), slices.Sorted(maps.Keys(table))) {
		t.Errorf("roles %v", got)
	}
	owner := map[spec.Op]spec.Role{}
	for role, ops := range table {
		for op := range strings.SplitSeq(ops, ",") {
			if was, twice := owner[spec.Op(op)]; twice {
				t.Errorf("%s belongs to %s and %s", op, was, role)
			}
			owner[spec.Op(op)] = role
		}
	}
	r := newRig(t)
	for role, ops := range table {
		tok, err := r.Mint(r.now, capability.Minting{Ops: role.Ops()})
		if err != nil {
			t.Fatal(err)
		}
		if got := tok.Caveats()[1]; got != "op in "+ops {
			t.Errorf("%s has %q", role, got)
		}
		for op, has := range owner {
			if has == role {
				r.admit(tok, capability.Request{Op: op, Path: "/"}).Release()
			} else {
				r.refuse(tok, capability.Request{Op: op, Path: "/"}, spec.Forbidden, "CAP-CAV-009")
			}
		}
	}
	ops := spec.Admin.Ops()
	ops[0] = "get"
	if spec.Admin.Ops()[0] == "get" {
		t.Error("a caller can change the table of roles")
	}
}

// TestNoAmbientAuthority: without a capability nothing is admitted, the node's own user over the Unix socket included
// (CAP-ROL-003, CAP-DEN-001).
func TestNoAmbientAuthority(t *testing.T) {
	r := newRig(t)
	r.refuse(capability.Token{}, capability.Request{Op: "get", Path: "/", HasPeer: true, PeerUID: 0}, spec.Unauth, "CAP-ROL-003")
	for _, parse := range []func() (capability.Token, error){
		func() (capability.Token, error) { return capability.ParseText("") },
		func() (capability.Token, error) { return capability.ParseBinary(nil) },
	} {
		tok, err := parse()
		wantError(t, err, spec.Unauth, "CAP-ROL-003")
		r.refuse(tok, get, spec.Unauth, "CAP-ROL-003")
	}
}

// TestRotationGrace: after a rotation old capabilities are good to their end and new ones are under the new key; the
// old key goes with the last capability that it can have signed (CAP-KEY-002).
func TestRotationGrace(t *testing.T) {
	r := newRig(t)
	old := r.mint() // a day
	short := must(r.Mint(r.now, capability.Minting{Ops: []spec.Op{"get"}, TTL: time.Minute}))
	r.now = r.now.Add(time.Hour)
	next := must(r.Rotate(r.now))
	tok := r.mint()
	if next == old.Key() || tok.Key() != next {
		t.Errorf("minted under %v, rotated from %v to %v", tok.Key(), old.Key(), next)
	}
	r.refuse(short, get, spec.Unauth, "CAP-CAV-005")
	for range 23 {
		r.pass(0)
		r.admit(old, get).Release()
		r.admit(tok, get).Release()
		r.pass(time.Hour)
	}
	r.admit(old, get).Release() // its last second
	if s := r.Status(); s.Current != next || !slices.Equal(s.Replaced, []capability.KeyID{old.Key()}) {
		t.Errorf("%+v", s)
	}
	r.pass(1)
	if s := r.Status(); s.Current != next || len(s.Replaced) != 0 {
		t.Errorf("the old key outlived its last capability: %+v", s)
	}
	r.refuse(old, get, spec.Unauth, "CAP-IDN-003")
	r.admit(tok, get).Release()

	// A key that signed nothing is gone at once.
	unused := must(r.Rotate(r.now))
	if must(r.Rotate(r.now)) == unused || len(r.Status().Replaced) != 1 {
		t.Errorf("%+v", r.Status())
	}
}

// TestKeyAge: a key is replaced when it is 30 days old, by a Tick, and by a Mint where there was no Tick (CAP-KEY-001).
func TestKeyAge(t *testing.T) {
	r := newRig(t)
	first := r.Status().Current
	r.pass(spec.MaxKeyAge - time.Second)
	if r.Status().Current != first || r.mint().Key() != first {
		t.Error("replaced early")
	}
	r.pass(time.Second)
	second := r.Status().Current
	if second == first || r.mint().Key() != second {
		t.Error("not replaced")
	}
	r.now = r.now.Add(spec.MaxKeyAge)
	if third := r.mint().Key(); third == second || third == first {
		t.Error("signed with a key that was due")
	}
}

// TestKeyringIsBounded: rotating again and again does not pile up keys (CAP-REV-005, ADM-CAP-009).
func TestKeyringIsBounded(t *testing.T) {
	r := newRig(t)
	first := r.mint()
	for range spec.MaxRootKeys - 1 {
		must(r.Rotate(r.now))
		r.mint()
	}
	_, err := r.Rotate(r.now)
	wantError(t, err, spec.Quota, "CAP-REV-005")
	r.admit(first, get).Release()
	r.admit(r.mint(), get).Release()
	if _, found := r.RevokeKey(r.now, first.Key()); !found {
		t.Error("the first key is gone")
	}
	must(r.Rotate(r.now))
	r.pass(spec.MaxCapabilityTTL + time.Second)
	if n := len(r.Status().Replaced); n != 0 {
		t.Errorf("%d keys are left after a day", n)
	}
}

// TestRevokeCapability: an id covers what was attenuated from it and nothing else, at once (CAP-REV-001, CAP-REV-002).
func TestRevokeCapability(t *testing.T) {
	r := newRig(t)
	tok, other := r.mint(), r.mint()
	narrow := must(tok.Attenuate(r.parse("path ^= /o")...))
	open := []*capability.Lease{r.admit(tok, get), r.admit(narrow, get), r.admit(tok, get)}
	kept, over := r.admit(other, get), r.admit(tok, get)
	over.Release()
	ended, err := r.RevokeCapability(r.now, tok.ID())
	if err != nil || !slices.Equal(ended, open) {
		t.Errorf("to be ended: %v, %v, want %v", ended, err, open)
	}
	for _, l := range open {
		if !l.Ended() {
			t.Error("a lease under a revoked capability is not ended")
		}
		l.Release()
	}
	if kept.Ended() || over.Ended() {
		t.Error("another lease was ended")
	}
	r.refuse(tok, get, spec.Unauth, "CAP-REV-001")
	r.refuse(narrow, get, spec.Unauth, "CAP-REV-001")
	r.refuse(tok, capability.Request{Op: "put", Path: "/put"}, spec.Unauth, "CAP-REV-001") // 401 before 403
	r.admit(other, get).Release()
	if ended, err := r.RevokeCapability(r.now, tok.ID()); err != nil || len(ended) != 0 || r.Status().Revocations != 1 {
		t.Errorf("a second time: %v, %v, %+v", ended, err, r.Status())
	}
}

// TestRevokeKey covers everything under the key and nothing under another; the node goes on with a new one (CAP-REV-001,
// CAP-REV-003).
func TestRevokeKey(t *testing.T) {
	r := newRig(t)
	old := r.mint()
	must(r.Rotate(r.now))
	tok := r.mint()
	open, kept := r.admit(tok, get), r.admit(old, get)
	ended, found := r.RevokeKey(r.now, tok.Key())
	if !found || !slices.Equal(ended, []*capability.Lease{open}) || !open.Ended() || kept.Ended() {
		t.Errorf("to be ended: %v, %v", ended, found)
	}
	r.refuse(tok, get, spec.Unauth, "CAP-IDN-003")
	r.admit(old, get).Release()
	if again := r.mint(); again.Key() == tok.Key() || again.Key() == old.Key() {
		t.Error("minted under a key that was revoked or replaced")
	}
	if ended, found := r.RevokeKey(r.now, tok.Key()); found || ended != nil {
		t.Errorf("a second time: %v, %v", ended, found)
	}
	if ended, found := r.RevokeKey(r.now, old.Key()); !found || !slices.Equal(ended, []*capability.Lease{kept}) {
		t.Errorf("the replaced key: %v, %v", ended, found)
	}
	r.refuse(old, get, spec.Unauth, "CAP-IDN-003")
}

// TestRevocationIsRemembered to the last second of any capability that it can cover, and no longer (CAP-REV-004).
func TestRevocationIsRemembered(t *testing.T) {
	r := newRig(t)
	tok := r.mint()
	if _, err := r.RevokeCapability(r.now, tok.ID()); err != nil {
		t.Fatal(err)
	}
	for range 24 {
		r.refuse(tok, get, spec.Unauth, "CAP-REV-001")
		r.pass(time.Hour)
	}
	r.refuse(tok, get, spec.Unauth, "CAP-REV-001")
	r.pass(1)
	if n := r.Status().Revocations; n != 0 {
		t.Errorf("%d revocations are left after a day", n)
	}
	r.refuse(tok, get, spec.Unauth, "CAP-CAV-005")
}

// TestRevocationsAreBounded: a full list refuses loudly and forgets nothing; whole keys can still be revoked (CAP-REV-004,
// CAP-REV-005).
func TestRevocationsAreBounded(t *testing.T) {
	r := newRig(t)
	tok, late := r.mint(), r.mint()
	if _, err := r.RevokeCapability(r.now, tok.ID()); err != nil {
		t.Fatal(err)
	}
	for i := 1; i < spec.MaxRevocations; i++ {
		if _, err := r.RevokeCapability(r.now, capability.ID{1: byte(i), 2: byte(i >> 8), 3: 1}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := r.RevokeCapability(r.now, late.ID())
	wantError(t, err, spec.Quota, "CAP-REV-005")
	if _, err := r.RevokeCapability(r.now, tok.ID()); err != nil {
		t.Errorf("again: %v", err)
	}
	r.refuse(tok, get, spec.Unauth, "CAP-REV-001")
	l := r.admit(late, get)
	if ended, _ := r.RevokeKey(r.now, late.Key()); !slices.Equal(ended, []*capability.Lease{l}) {
		t.Error("the key could not be revoked")
	}
	// A day later there is room again, without a Tick as well.
	r.now = r.now.Add(spec.MaxCapabilityTTL + time.Second)
	if _, err := r.RevokeCapability(r.now, late.ID()); err != nil || r.Status().Revocations != 1 {
		t.Errorf("a day later: %v, %+v", err, r.Status())
	}
}

// TestClockDoesNotGoBack: what has expired stays expired, and what was forgotten can not be used by whoever comes with
// an older time (CAP-CAV-005, CAP-REV-004).
func TestClockDoesNotGoBack(t *testing.T) {
	r := newRig(t)
	tok := r.mint()
	if _, err := r.RevokeCapability(r.now, tok.ID()); err != nil {
		t.Fatal(err)
	}
	r.pass(spec.MaxCapabilityTTL + time.Second)
	r.now = epoch
	r.refuse(tok, get, spec.Unauth, "CAP-CAV-005")
	if g := must(r.Verify(epoch, must(r.Mint(epoch, capability.Minting{Ops: []spec.Op{"get"}})), get)); !g.Expires.After(epoch.Add(spec.MaxCapabilityTTL)) {
		t.Errorf("minted in the past: %v", g.Expires)
	}
}

// TestClose leaves nothing that verifies, and ends what is open.
func TestClose(t *testing.T) {
	r := newRig(t)
	tok := r.mint()
	l := r.admit(tok, get)
	if ended := r.Close(); !slices.Equal(ended, []*capability.Lease{l}) || !l.Ended() {
		t.Errorf("to be ended: %v", ended)
	}
	l.Release()
	r.refuse(tok, get, spec.Unauth, "CAP-IDN-003")
	_, err := r.Mint(r.now, capability.Minting{Ops: []spec.Op{"get"}})
	wantError(t, err, spec.Draining, "CAP-KEY-003")
	_, err = r.Rotate(r.now)
	wantError(t, err, spec.Draining, "CAP-KEY-003")
	if ended := r.pass(time.Hour); ended != nil {
		t.Errorf("a Tick ends %v", ended)
	}
	if again := r.Close(); again != nil {
		t.Errorf("closed twice: %v", again)
	}
}

// TestSystemRandomness is the one test with the source that a node has (CAP-IDN-002).
func TestSystemRandomness(t *testing.T) {
	r := newRig(t, func(c *capability.Config) { c.Random = rand.Reader })
	a, b := r.mint(), r.mint()
	if a.ID() == b.ID() || a.Key() != b.Key() {
		t.Error("two capabilities with one id, or under two keys")
	}
	r.admit(a, get).Release()
}
