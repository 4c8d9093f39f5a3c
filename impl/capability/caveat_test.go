package capability_test

import (
	"strings"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/spec"
)

// TestCaveatGrammar walks along the edges of each production; what is accepted is written as it was read (CAP-CAV-001,
// CAP-CAV-002). More of what is refused stands in testdata/tokens.json.
func TestCaveatGrammar(t *testing.T) {
	for _, s := range []string{
		"exp <= 0", "exp <= 9", "exp <= 10", "exp <= 999999999999999", "nbf >= 0", "nbf >= 999999999999999",
		"aud = !", "aud = ~", "aud = " + strings.Repeat("x", 128),
		"op in a", "op in z", "op in -", "op in " + strings.Repeat("a", 16), "op in get,get,has", "op in a" + strings.Repeat(",b", 500),
		"path ^= /", "path ^= //", "path ^= /o/", "path ^= /aZz09-._~:/", "path ^= /..",
		"tenant = 0123456789abcdef0123456789abcdef", "max-bytes <= 0", "rps <= 1", "peer-uid = 4294967295", "amnesia = on", "amnesia = off",
	} {
		c, err := capability.ParseCaveat(s)
		if err != nil || c.String() != s {
			t.Errorf("%q: read as %q, %v", s, c, err)
		}
	}
	for _, s := range []string{
		"", " ", "exp", "exp <=", "exp <= ", "exp <= 00", "exp <= 01", "exp <= 1000000000000000", "exp <= 1_0", "exp <= ٣", "exp <= 1\x00", "exp <= 1\n",
		"\texp <= 1", "exp  <= 1", "exp <= 1 and op in get", "Exp <= 1", "exp >= 1", "exp = 1", "exp == 1", "nbf <= 1", "nbf > 1", "nbf >= x",
		"aud = ", "aud =x", "aud = a b", "aud = op in get", "aud = \x7f", "aud = \x1f", "aud = \xff", "aud = " + strings.Repeat("x", 129),
		"op in ", "op in ,", "op in a,", "op in ,a", "op in a,,b", "op in a b", "op in `", "op in {", "op in A", "op in 1", "op in _",
		"op in " + strings.Repeat("a", 17), "op  in a", "op in a\x00", "op IN a",
		"path ^= ", "path ^= o", "path ^= /%", "path ^= /?", "path ^= /#", "path ^= /@", "path ^= /[", "path ^= /`", "path ^= /{", "path ^= /,", "path ^= /\x00",
		"path ^= /ä", "path = /", "path ^=/",
		"tenant = ", "tenant = 0123456789abcdef0123456789abcde", "tenant = 0123456789abcdef0123456789abcdef0", "tenant = 0123456789ABCDEF0123456789abcdef",
		"tenant = 0123456789abcdeg0123456789abcdef", "max-bytes <= -1", "max-bytes < 1", "max_bytes <= 1", "rps <= 1.5", "rps <= 1/s", "peer-uid = -1",
		"peer-uid == 1", "peer-uid = +1", "amnesia = ", "amnesia = onn", "amnesia = o", "amnesia = ON", "amnesia = 1", "amnesia = on ", "unknown = 1",
	} {
		c, err := capability.ParseCaveat(s)
		if !hasReason(err, spec.Unauth) || c != (capability.Caveat{}) || c.String() != "" {
			t.Errorf("%q: read as %q, %v", s, c, err)
		}
	}
}

// TestLifeInFractions: the last second of a life ends where the next one begins, and fractions of seconds count
// (CAP-CAV-005, CAP-CAV-007).
func TestLifeInFractions(t *testing.T) {
	at := func(now time.Time, caveats ...string) error {
		r := newRig(t)
		tok := r.mint(caveats...)
		_, err := r.Verify(now, tok, get)
		return err
	}
	for _, c := range []struct {
		after  time.Duration
		caveat string
		rule   string // "" for admitted
	}{
		{0, "exp <= 1800000000", ""}, {1, "exp <= 1800000000", "CAP-CAV-005"}, {999_999_999, "exp <= 1800000001", ""},
		{time.Second, "exp <= 1800000001", ""}, {time.Second + 1, "exp <= 1800000001", "CAP-CAV-005"},
		{999_999_999, "nbf >= 1800000001", "CAP-CAV-007"}, {time.Second, "nbf >= 1800000001", ""},
		{24 * time.Hour, "nbf >= 0", ""}, {24*time.Hour + 1, "nbf >= 0", "CAP-CAV-005"},
	} {
		if err := at(epoch.Add(c.after), c.caveat); rule(err) != c.rule || err != nil && !hasReason(err, spec.Unauth) {
			t.Errorf("%s, %v later: %v by %q, want %q", c.caveat, c.after, err, rule(err), c.rule)
		}
	}
}

// TestUnknownOperationIsNobodys: what no role has is granted to nobody, not even where no caveat lists operations
// (CAP-ROL-001, CAP-CAV-009).
func TestUnknownOperationIsNobodys(t *testing.T) {
	f := vectors(t)
	for i := range f.Tokens {
		if f.Tokens[i].ID != "ok-exp-only" {
			continue
		}
		r := f.authority(t)
		tok := must(capability.ParseText(f.Tokens[i].Token))
		r.admit(tok, get).Release()
		for _, op := range []spec.Op{"", "gett", "GET", "get,has", "get "} {
			r.pass(time.Second)
			r.refuse(tok, capability.Request{Op: op, Path: "/o/a"}, spec.Forbidden, "CAP-CAV-009")
		}
		return
	}
	t.Fatal("no vector ok-exp-only")
}

// TestStreamedBytes: what arrives counts, whatever was declared; of several limits the lowest (CAP-CAV-012, CAP-CAV-003).
func TestStreamedBytes(t *testing.T) {
	r := newRig(t)
	l := r.admit(r.mint("max-bytes <= 100", "max-bytes <= 10", "max-bytes <= 50"), get)
	if err := l.CheckBytes(10); err != nil {
		t.Error(err)
	}
	wantError(t, l.CheckBytes(11), spec.Forbidden, "CAP-CAV-012")
	wantError(t, l.CheckBytes(1<<64-1), spec.Forbidden, "CAP-CAV-012")
	wantError(t, r.admit(r.mint("max-bytes <= 0"), get).CheckBytes(1), spec.Forbidden, "CAP-CAV-012")
	if err := r.admit(r.mint(), get).CheckBytes(1<<64 - 1); err != nil {
		t.Error(err)
	}
}

// TestRate: requests under one capability id count together, attenuated or not, refused ones not at all; a second later
// there is room again (CAP-CAV-013).
func TestRate(t *testing.T) {
	r := newRig(t)
	tok := r.mint("rps <= 3")
	narrow := must(tok.Attenuate(r.parse("rps <= 2", "path ^= /o")...))
	for range 2 {
		r.admit(tok, get).Release()
	}
	r.refuse(narrow, get, spec.Quota, "CAP-CAV-013") // two of two, though none with this token
	r.admit(tok, get).Release()
	r.refuse(tok, get, spec.Quota, "CAP-CAV-013")
	r.admit(r.mint("rps <= 3"), get).Release() // another id

	r.now = r.now.Add(300 * time.Millisecond)
	_, err := r.Admit(r.now, tok, get, nil)
	if e, ok := err.(*capability.Error); !ok || e.RetryAfter != 700*time.Millisecond {
		t.Errorf("retry after %+v, want 700 ms", err)
	}
	r.now = r.now.Add(700*time.Millisecond - 1)
	r.refuse(tok, get, spec.Quota, "CAP-CAV-013")
	r.now = r.now.Add(1)
	for range 2 {
		r.admit(narrow, get).Release()
	}
	r.refuse(narrow, get, spec.Quota, "CAP-CAV-013")
	r.admit(tok, get).Release()

	none := r.mint("rps <= 0")
	_, err = r.Admit(r.now, none, get, nil)
	if e, ok := err.(*capability.Error); !ok || e.Reason != spec.Quota || e.RetryAfter != 0 {
		t.Errorf("rps <= 0: %v", err)
	}
	// What does not cover the request, or is revoked, is not told about rates.
	r.refuse(none, capability.Request{Op: spec.OpPut, Path: "/put"}, spec.Forbidden, "CAP-CAV-009")
	r.pass(time.Second)
	if n := r.Status().Rates; n != 0 {
		t.Errorf("%d counters a second later", n)
	}
}

// TestCountBeginsWithAnAdmittedRequest, not with a second of the clock, and not with one that was refused (CAP-CAV-013).
func TestCountBeginsWithAnAdmittedRequest(t *testing.T) {
	r := newRig(t)
	tok := r.mint("rps <= 2")
	none := must(tok.Attenuate(r.parse("rps <= 0")...))
	at := func(ms time.Duration) { r.now = epoch.Add(ms * time.Millisecond) }
	at(300)
	r.refuse(none, get, spec.Quota, "CAP-CAV-013")
	at(900)
	r.admit(tok, get).Release()
	at(1000)
	r.admit(tok, get).Release()
	at(1300) // a second after the one that was refused
	r.refuse(tok, get, spec.Quota, "CAP-CAV-013")
	at(1899)
	r.refuse(tok, get, spec.Quota, "CAP-CAV-013")
	at(1900)
	r.refuse(none, get, spec.Quota, "CAP-CAV-013")
	at(2500)
	r.admit(tok, get).Release()
	at(3499)
	r.admit(tok, get).Release()
	r.refuse(tok, get, spec.Quota, "CAP-CAV-013")
	at(3500)
	r.admit(tok, get).Release()
}

// TestDotsAreNobodys: a path with a segment that means another place is refused, also where no caveat names a path; a prefix
// that ends in a slash opens what is below and nothing beside (CAP-CAV-010).
func TestDotsAreNobodys(t *testing.T) {
	r := newRig(t)
	free, below := r.mint(), r.mint("path ^= /o/")
	for _, p := range []string{"/o/./a", "/o/..", "/..", "/.", "/o/../put", "..", ".", "/o/a/.", "//.."} {
		r.refuse(free, capability.Request{Op: spec.OpGet, Path: p}, spec.Forbidden, "CAP-CAV-010")
		r.refuse(below, capability.Request{Op: spec.OpGet, Path: p}, spec.Forbidden, "CAP-CAV-010")
	}
	for _, p := range []string{"/o/", "/o/a", "/o//", "/o/...", "/o/.a", "/o/a.", "/o/a/..b"} {
		r.admit(free, capability.Request{Op: spec.OpGet, Path: p}).Release()
		r.admit(below, capability.Request{Op: spec.OpGet, Path: p}).Release()
	}
	for _, p := range []string{"", "/", "/o", "/oa", "/O/a", "o/a"} {
		r.refuse(below, capability.Request{Op: spec.OpGet, Path: p}, spec.Forbidden, "CAP-CAV-010")
	}
}
