package capability_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/macaroon.v2"
	"pgregory.net/rapid"

	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/spec"
)

// TestKnownAnswers holds the HMAC chain to the signatures that the documentation of libmacaroons has published since
// 2014, so that the library underneath is the thing that it says it is (CAP-HMC-001).
func TestKnownAnswers(t *testing.T) {
	m, err := macaroon.New([]byte("this is our super secret key; only we should know it"), []byte("we used our secret key"), "http://mybank/", macaroon.V2)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ caveat, signature string }{
		{"", "e3d9e02908526c4c0039ae15114115d97fdd68bf2ba379b342aaf0f617d0552f"},
		{"account = 3735928559", "1efe4763f290dbce0c1d08477367e11f4eee456a64933cf662d79772dbb82128"},
		{"time < 2015-01-01T00:00", "696665d0229f9f801b588bb3f68bbdb806b26d1fbcd40ca22d9017bce4a075f1"},
		{"email = alice@example.org", "882e6d59496ed5245edb7ab5b8839ecd63e5d504e54839804f164070d8eed952"},
	} {
		if step.caveat != "" {
			m.AddFirstPartyCaveat([]byte(step.caveat))
		}
		if got := hex.EncodeToString(m.Signature()); got != step.signature {
			t.Errorf("after %q: %s, want %s", step.caveat, got, step.signature)
		}
	}
}

func mac(key, data []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(data)
	return h.Sum(nil)
}

// TestMintedBytes spells a minted token out: identifier, caveats and chain, byte for byte (CAP-TOK-001, CAP-TOK-002, CAP-IDN-001,
// CAP-IDN-002, CAP-HMC-001).
func TestMintedBytes(t *testing.T) {
	stream := bytes.Join([][]byte{bytes.Repeat([]byte{1}, 8), bytes.Repeat([]byte{2}, 32), bytes.Repeat([]byte{3}, 16)}, nil)
	random := bytes.NewReader(stream)
	r := newRig(t, func(c *capability.Config) { c.Random = random })
	tok, err := r.Mint(epoch, capability.Minting{Ops: []spec.Op{"get", "has"}, Caveats: r.parse("aud = node-a")})
	if err != nil {
		t.Fatal(err)
	}
	if random.Len() != 0 {
		t.Errorf("%d random bytes were not used", random.Len())
	}
	id := append([]byte{1}, append(bytes.Repeat([]byte{1}, 8), bytes.Repeat([]byte{3}, 16)...)...)
	want := append([]byte("\x02\x01\x09micronode\x02\x19"), id...)
	want = append(want, 0)
	sig := mac(mac([]byte("macaroons-key-generator"), bytes.Repeat([]byte{2}, 32)), id)
	for _, c := range []string{"exp <= 1800000900", "op in get,has", "aud = node-a"} {
		want = append(append(append(want, 2, byte(len(c))), c...), 0)
		sig = mac(sig, []byte(c))
	}
	want = append(append(want, 0, 6, 32), sig...)
	if got := tok.Binary(); !bytes.Equal(got, want) {
		t.Errorf("minted %x, want %x", got, want)
	}
	if got := tok.Text(); got != base64.RawURLEncoding.EncodeToString(want) {
		t.Errorf("as text %s", got)
	}
	if tok.Key().String() != "0101010101010101" || tok.ID().String() != strings.Repeat("03", 16) {
		t.Errorf("key %v, id %v", tok.Key(), tok.ID())
	}
	if got := tok.Caveats(); !slices.Equal(got, []string{"exp <= 1800000900", "op in get,has", "aud = node-a"}) {
		t.Errorf("caveats %q", got)
	}
	if k := r.Status().Current; k != tok.Key() {
		t.Errorf("minted under %v, current key %v", tok.Key(), k)
	}
}

// TestIDsDiffer: each capability has an id of its own (CAP-IDN-002).
func TestIDsDiffer(t *testing.T) {
	r := newRig(t)
	seen := map[capability.ID]bool{}
	for range 100 {
		seen[r.mint().ID()] = true
	}
	if len(seen) != 100 {
		t.Errorf("100 capabilities have %d ids", len(seen))
	}
}

// TestEveryBitCounts turns every bit of a token and cuts it at every length: nothing of that is admitted, except for another
// location, which the signature does not cover (CAP-TOK-007, CAP-HMC-001, CAP-IDN-003, CAP-IDN-004).
func TestEveryBitCounts(t *testing.T) {
	r := newRig(t)
	tok := r.mint("aud = node-a")
	r.admit(tok, get).Release()
	b := tok.Binary()
	verdict := func(b []byte) error {
		parsed, err := capability.ParseBinary(b)
		if err != nil {
			return err
		}
		_, err = r.Verify(r.now, parsed, get)
		return err
	}
	for i := range b {
		if err := verdict(b[:i]); !hasReason(err, spec.Unauth) {
			t.Errorf("cut to %d bytes: %v", i, err)
		}
		for bit := range 8 {
			turned := slices.Clone(b)
			turned[i] ^= 1 << bit
			err := verdict(turned)
			if location := i >= 3 && i < 3+len("micronode"); location != (err == nil) {
				t.Errorf("bit %d of byte %d turned: %v", bit, i, err)
			} else if err != nil && !hasReason(err, spec.Unauth) {
				t.Errorf("bit %d of byte %d turned: %v", bit, i, err)
			}
		}
	}
	if err := verdict(append(slices.Clone(b), 0)); !hasReason(err, spec.Unauth) {
		t.Errorf("with a byte behind: %v", err)
	}
}

// TestSizes: the bounds are decided from the length alone (CAP-TOK-005).
func TestSizes(t *testing.T) {
	for _, c := range []struct {
		n    int
		rule string
	}{{spec.MaxCapability, "CAP-TOK-001"}, {spec.MaxCapability + 1, "CAP-TOK-005"}, {64 << 20, "CAP-TOK-005"}} {
		_, err := capability.ParseBinary(slices.Repeat([]byte{2}, c.n))
		wantError(t, err, spec.Unauth, c.rule)
	}
	for _, c := range []struct {
		n    int
		rule string
	}{{spec.MaxCapabilityText, "CAP-TOK-001"}, {spec.MaxCapabilityText + 1, "CAP-TOK-005"}, {64 << 20, "CAP-TOK-005"}} {
		_, err := capability.ParseText(strings.Repeat("AgIC", c.n/4+1)[:c.n])
		wantError(t, err, spec.Unauth, c.rule)
	}
	big := []byte(strings.Repeat("\x02", 64<<20))
	if n := testing.AllocsPerRun(1, func() { _, _ = capability.ParseBinary(big) }); n > 2 {
		t.Errorf("refusing 64 MiB takes %v allocations", n)
	}
}

// TestAllocations: reading a token takes two allocations, its verification none, and a lease is one. Machines are slow or fast;
// this is what a program can be held to.
func TestAllocations(t *testing.T) {
	r := newRig(t)
	tok := r.mint("aud = node-a", "path ^= /o", "max-bytes <= 1048576")
	text, b := tok.Text(), tok.Binary()
	for name, c := range map[string]struct {
		limit float64
		do    func() error
	}{
		"ParseText":   {2, func() error { return second(capability.ParseText(text)) }},
		"ParseBinary": {2, func() error { return second(capability.ParseBinary(b)) }},
		"Verify":      {0, func() error { return second(r.Verify(r.now, tok, get)) }},
		"Admit": {1, func() error {
			l, err := r.Admit(r.now, tok, get, nil)
			if err == nil {
				l.Release()
			}
			return err
		}},
	} {
		n := testing.AllocsPerRun(100, func() {
			if err := c.do(); err != nil {
				t.Fatal(err)
			}
		})
		if n > c.limit {
			t.Errorf("%s takes %v allocations, want %v", name, n, c.limit)
		}
	}
}

// TestExpires: a token says when it ends as Verify does, whichever of its caveats is the earliest (CAP-CAV-003, CAP-CAV-005).
func TestExpires(t *testing.T) {
	r := newRig(t)
	asks := r.asking()
	for _, tok := range []capability.Token{
		r.mint(), r.mint("exp <= 1800000010", "exp <= 1800000020"), must(r.mint().Attenuate(r.parse("exp <= 1800000005")...)),
		must(asks.Bind(r.discharge("exp <= 1800000007"))),
	} {
		if g, err := r.Verify(r.now, tok, get); err != nil || !tok.Expires().Equal(g.Expires) {
			t.Errorf("%q: %v, verified until %v, %v", tok.Caveats(), tok.Expires(), g.Expires, err)
		}
	}
	if end := (capability.Token{}).Expires(); !end.IsZero() {
		t.Errorf("no capability ends at %v", end)
	}
}

// TestParseCopies: a token does not change with the buffer it was read from.
func TestParseCopies(t *testing.T) {
	r := newRig(t)
	b := r.mint().Binary()
	tok := must(capability.ParseBinary(b))
	clear(b)
	r.admit(tok, get).Release()
}

// TestAttenuate: a holder needs nothing but the token; the old one stays what it was, and the bounds hold (CAP-HMC-001,
// CAP-TOK-005, CAP-TOK-006).
func TestAttenuate(t *testing.T) {
	r := newRig(t)
	tok := r.mint()
	text := tok.Text()
	a := must(tok.Attenuate(r.parse("path ^= /o/a")...))
	b := must(tok.Attenuate(r.parse("path ^= /o/b")...))
	r.admit(a, get).Release()
	r.refuse(b, get, spec.Forbidden, "CAP-CAV-010")
	if tok.Text() != text || a.ID() != tok.ID() || a.Key() != tok.Key() {
		t.Error("attenuation changed the token it began with, or its id")
	}
	r.admit(must(capability.ParseText(a.Text())), get).Release()

	many := slices.Repeat([]string{"nbf >= 0"}, spec.MaxCaveats-len(tok.Caveats()))
	full := must(tok.Attenuate(r.parse(many...)...))
	r.admit(full, get).Release()
	_, err := full.Attenuate(r.parse("nbf >= 0")...)
	wantError(t, err, spec.Oversize, "CAP-TOK-006")
	_, err = tok.Attenuate(r.parse("path ^= /" + strings.Repeat("a", spec.MaxCapability))...)
	wantError(t, err, spec.Oversize, "CAP-TOK-005")
	_, err = tok.Attenuate(capability.Caveat{})
	wantError(t, err, spec.Malformed, "CAP-CAV-001")
	_, err = capability.Token{}.Attenuate()
	wantError(t, err, spec.Malformed, "CAP-TOK-001")
}

// TestAttenuationNeverWidens: whatever is appended, a request that the longer token may make the shorter one may make as
// well (CAP-HMC-002, CAP-CAV-003).
func TestAttenuationNeverWidens(t *testing.T) {
	pool := []string{
		"exp <= 1800000100", "exp <= 1800090000", "exp <= 1", "nbf >= 0", "nbf >= 1800000500", "aud = node-a", "aud = node-b", "op in get", "op in put",
		"op in get,put", "path ^= /", "path ^= /o", "path ^= /o/a", "path ^= /put", "tenant = 00000000000000000000000000000000",
		"tenant = 01000000000000000000000000000000", "max-bytes <= 0", "max-bytes <= 10", "rps <= 0", "rps <= 100", "peer-uid = 0", "peer-uid = 7",
		"amnesia = on", "amnesia = off",
	}
	requests := []capability.Request{
		get, {Op: spec.OpPut, Path: "/put", Bytes: 10}, {Op: spec.OpPut, Path: "/o/b", Tenant: [16]byte{1}},
		{Op: spec.OpGet, Path: "/o/ab", HasPeer: true, PeerUID: 7}, {Op: spec.OpGet, Path: "/", HasPeer: true},
	}
	var allowed, narrowed int
	vault := newVault(t)
	rapid.Check(t, func(t *rapid.T) {
		a := must(capability.New(epoch, capability.Config{Name: "node-a", Amnesia: true, Random: &counter{}, Vault: vault}))
		defer a.Close()
		var caveats []capability.Caveat
		for _, text := range rapid.SliceOfN(rapid.SampledFrom(pool), 0, 4).Draw(t, "caveats") {
			caveats = append(caveats, must(capability.ParseCaveat(text)))
		}
		now := epoch.Add(rapid.SampledFrom([]time.Duration{0, 50 * time.Second, 200 * time.Second, time.Hour}).Draw(t, "later"))
		tok := must(a.Mint(epoch, capability.Minting{Ops: []spec.Op{"get", "put"}, TTL: 1000 * time.Second}))
		for range caveats {
			longer := must(tok.Attenuate(caveats[0]))
			caveats = caveats[1:]
			for _, req := range requests {
				_, before := a.Verify(now, tok, req)
				_, after := a.Verify(now, longer, req)
				if after == nil && before != nil {
					t.Fatalf("%q may do %+v, %q may not: %v", longer.Caveats(), req, tok.Caveats(), before)
				}
				if after == nil {
					allowed++
				} else if before == nil {
					narrowed++
				}
			}
			tok = longer
		}
	})
	if allowed == 0 || narrowed == 0 {
		t.Errorf("%d requests allowed, %d no longer", allowed, narrowed)
	}
}

func hasReason(err error, reason spec.Reason) bool {
	e, ok := err.(*capability.Error)
	return ok && e.Reason == reason
}
