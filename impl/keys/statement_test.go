package keys

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rustyonions/micronode/spec"
)

func statement() Statement {
	return Statement{
		Version: "v0.4.0+dirty", Limits: map[string]int64{"max_object": 64 << 20, "max_frame": 1 << 20}, Features: []string{"oap/1", "cas"},
		Amnesia: true, PQMode: "hybrid", Made: time.Date(2026, 11, 24, 1, 2, 3, 456, time.FixedZone("", 3600)),
	}
}

func signStatement(t testing.TB, id *Identity) SignedStatement {
	t.Helper()
	s, err := statement().Sign(id)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestStatement: the text is the canonical one, and comes back as what was said (CAP-KEY-009).
func TestStatement(t *testing.T) {
	id := identity1(t, &repeat{})
	signed := signStatement(t, id)
	want := `{"version":"v0.4.0+dirty","limits":{"max_frame":1048576,"max_object":67108864},"features":["cas","oap/1"],"amnesia":true,` +
		`"pq_mode":"hybrid","identity":"` + knownID + `","made":"2026-11-24T00:02:03Z"}`
	if signed.Text != want {
		t.Errorf("text %s\nwant %s", signed.Text, want)
	}
	got, err := VerifyStatement(id.Public(), signed)
	if err != nil {
		t.Fatal(err)
	}
	said := statement()
	said.Features, said.Identity, said.Made = []string{"cas", "oap/1"}, knownID, time.Date(2026, 11, 24, 0, 2, 3, 0, time.UTC)
	if d := cmp.Diff(said, got); d != "" {
		t.Error(d)
	}
	empty, err := Statement{Version: "0", PQMode: "off", Made: time.Unix(0, 0)}.Sign(id)
	if err != nil || !strings.Contains(empty.Text, `"limits":{},"features":[],"amnesia":false`) {
		t.Errorf("%s, %v", empty.Text, err)
	}
	if _, err := VerifyStatement(id.Public(), empty); err != nil {
		t.Error(err)
	}
}

// TestStatementFlips flips every byte of a signed statement in JSON, and the case of every letter that is not base64: none
// verifies (CAP-KEY-006, CAP-KEY-009).
func TestStatementFlips(t *testing.T) {
	id := identity1(t, nil)
	p := id.Public()
	text, err := json.Marshal(signStatement(t, id))
	if err != nil {
		t.Fatal(err)
	}
	verify := func(text []byte) error {
		var s SignedStatement
		if err := json.Unmarshal(text, &s); err != nil {
			return err
		}
		_, err := VerifyStatement(p, s)
		return err
	}
	if err := verify(text); err != nil {
		t.Fatal(err)
	}
	for i := range text {
		flips := []byte{1 << (i % 8)}
		if i < 1000 { // the text and the names of all members; the rest is base64
			flips = append(flips, 0x20, 0xff)
		}
		for _, flip := range flips {
			changed := slices.Clone(text)
			changed[i] ^= flip
			if verify(changed) == nil {
				t.Errorf("byte %d as %q instead of %q verifies", i, changed[i], text[i])
			}
		}
	}
	var spaced strings.Builder
	enc := json.NewEncoder(&spaced)
	enc.SetIndent(" ", "\t")
	if err := enc.Encode(json.RawMessage(text)); err != nil {
		t.Fatal(err)
	}
	if err := verify([]byte(spaced.String())); err != nil {
		t.Errorf("white space between the members: %v", err)
	}
}

// TestStatementText changes the signed text in ways that a JSON reader may not notice: the signature does.
func TestStatementText(t *testing.T) {
	id := identity1(t, nil)
	p := id.Public()
	signed := signStatement(t, id)
	for _, text := range []string{
		"", " " + signed.Text, signed.Text + "\n", strings.Replace(signed.Text, "true", "false", 1), strings.Replace(signed.Text, ",", ", ", 1),
		strings.Replace(signed.Text, "{", `{"x":1,`, 1), strings.Replace(signed.Text, "hybrid", "required", 1),
	} {
		_, err := VerifyStatement(p, SignedStatement{text, signed.Signature})
		wantReason(t, text, err, spec.Unauth)
	}
	_, err := VerifyStatement(p, SignedStatement{strings.Repeat("x", maxStatement+1), signed.Signature})
	wantReason(t, "too long", err, spec.Malformed)
	_, err = VerifyStatement(identity1(t, nil).Public(), signed)
	wantReason(t, "another's key", err, spec.Unauth)
}

// TestStatementIsCanonical has the identity itself sign texts that are no statement of the form, or of another identity:
// they do not verify as one (CAP-KEY-009).
func TestStatementIsCanonical(t *testing.T) {
	id := identity1(t, nil)
	p := id.Public()
	good := signStatement(t, id).Text
	for text, want := range map[string]spec.Reason{
		"":         spec.Malformed,
		"null":     spec.Malformed,
		"{}":       spec.Malformed,
		good + " ": spec.Malformed,
		strings.Replace(good, `"cas","oap/1"`, `"oap/1","cas"`, 1):               spec.Malformed,
		strings.Replace(good, `"cas","oap/1"`, `"cas","cas"`, 1):                 spec.Malformed,
		strings.Replace(good, `"cas","oap/1"`, `"cas","<"`, 1):                   spec.Malformed,
		strings.Replace(good, `"cas","oap/1"`, `"cas",""`, 1):                    spec.Malformed,
		strings.Replace(good, `1048576`, `1.048576e6`, 1):                        spec.Malformed,
		strings.Replace(good, `"version"`, `"Version"`, 1):                       spec.Malformed,
		strings.Replace(good, `{"version"`, `{"amnesia":false,"version"`, 1):     spec.Malformed,
		strings.Replace(good, `{"version"`, `{"more":1,"version"`, 1):            spec.Malformed,
		strings.Replace(good, `T00:02:03Z`, `T01:02:03+01:00`, 1):                spec.Malformed,
		strings.Replace(good, `T00:02:03Z`, `T00:02:03.5Z`, 1):                   spec.Malformed,
		strings.Replace(good, p.ID(), strings.Repeat("0", 32), 1):                spec.Unauth,
		strings.Replace(good, p.ID(), strings.ToUpper(p.ID()), 1):                spec.Unauth,
		strings.Replace(good, `"max_frame"`, `"`+strings.Repeat("x", 65)+`"`, 1): spec.Malformed,
	} {
		_, err := VerifyStatement(p, SignedStatement{text, sign(t, id, PurposeStatement, []byte(text))})
		wantReason(t, text, err, want)
	}
	_, err := VerifyStatement(p, SignedStatement{good, sign(t, id, "p", []byte(good))})
	wantReason(t, "signed for another purpose (CAP-KEY-011)", err, spec.Unauth)
}

func TestStatementRefusesToSign(t *testing.T) {
	id := identity1(t, nil)
	for name, change := range map[string]func(*Statement){
		"no version":   func(s *Statement) { s.Version = "" },
		"a space":      func(s *Statement) { s.PQMode = "hybrid " },
		"a quote":      func(s *Statement) { s.Features = []string{`"`} },
		"twice":        func(s *Statement) { s.Features = []string{"a", "b", "a"} },
		"a long name":  func(s *Statement) { s.Limits[strings.Repeat("x", maxWord+1)] = 1 },
		"no time":      func(s *Statement) { s.Made = time.Time{} },
		"a late time":  func(s *Statement) { s.Made = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"many limits":  func(s *Statement) { s.Limits = maps.Collect(numbers(2000)) },
		"a control":    func(s *Statement) { s.Version = "v1\n" },
		"not in ASCII": func(s *Statement) { s.Version = "vé" },
	} {
		s := statement()
		change(&s)
		_, err := s.Sign(id)
		wantReason(t, name, err, spec.Internal)
	}
	id.Close()
	_, err := statement().Sign(id)
	wantReason(t, "after Close", err, spec.Internal)
}

func numbers(n int) func(func(string, int64) bool) {
	return func(yield func(string, int64) bool) {
		for i := range n {
			if !yield(fmt.Sprint("limit_", i), int64(i)) {
				return
			}
		}
	}
}

// TestKeyText: a public key and a signature have one text each, and come back from it.
func TestKeyText(t *testing.T) {
	id := identity1(t, nil)
	p, s := id.Public(), sign(t, id, "p", nil)
	back, err := ParsePublicKey(p.Text())
	if err != nil || back.ID() != p.ID() {
		t.Errorf("%v", err)
	}
	for _, text := range []string{"", "x", p.Text()[4:], p.Text() + "AAAA", p.Text() + "\n", " " + p.Text(), strings.Replace(p.Text(), "=", "", 1), "AAAA"} {
		_, err := ParsePublicKey(text)
		wantReason(t, text[:min(40, len(text))], err, spec.Malformed)
	}
	var p2 PublicKey
	var s2 Signature
	for _, pair := range [][2]any{{p, &p2}, {s, &s2}} {
		text, err := json.Marshal(pair[0])
		if err != nil || !strings.HasPrefix(string(text), `{"ed25519":"`) || !strings.Contains(string(text), `","ml_dsa_65":"`) {
			t.Errorf("%s, %v", text, err)
		}
		if err := json.Unmarshal(text, pair[1]); err != nil {
			t.Error(err)
		}
		for _, bad := range []string{
			"null", "{}", `""`, "[]", strings.Replace(string(text), "ed25519", "Ed25519", 1), strings.Replace(string(text), "{", `{"x":1,`, 1),
			strings.Replace(string(text), `="`, `=\n"`, 1), strings.Replace(string(text), `":"`, `":"AAAA`, 1),
		} {
			var pp PublicKey
			var ss Signature
			into := any(&pp)
			if _, ok := pair[0].(Signature); ok {
				into = &ss
			}
			wantReason(t, bad[:min(40, len(bad))], json.Unmarshal([]byte(bad), into), spec.Malformed)
		}
	}
	if p2.ID() != p.ID() || p.Verify("p", nil, s2) != nil {
		t.Error("came back as something else")
	}
}

func BenchmarkVerifyStatement(b *testing.B) {
	id := identity1(b, nil)
	s, p := signStatement(b, id), id.Public()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := VerifyStatement(p, s); err != nil {
			b.Fatal(err)
		}
	}
}
