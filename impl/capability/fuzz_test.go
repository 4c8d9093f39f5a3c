package capability_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/spec"
)

// FuzzToken: whatever comes is refused as unauth, or is the one encoding of a token within the bounds; and no token that
// the fuzzer makes up is admitted, since it does not know the key (CAP-TOK-001, CAP-TOK-002, CAP-TOK-005 to 008, CAP-IDN-003,
// CAP-HMC-001).
func FuzzToken(f *testing.F) {
	list := vectors(f)
	for i := range list.Tokens {
		f.Add([]byte(list.Tokens[i].Token))
		if tok, err := capability.ParseText(list.Tokens[i].Token); err == nil {
			f.Add(tok.Binary())
		}
	}
	r := newRig(f) // does not have the key of the vectors
	own := r.mint()
	f.Add(own.Binary())
	f.Add([]byte(own.Text()))
	f.Fuzz(func(t *testing.T, b []byte) {
		tok, err := capability.ParseBinary(b)
		fuzzParsed(t, r, tok, err)
		if err == nil && !bytes.Equal(tok.Binary(), b) {
			t.Errorf("%x: written as %x", b, tok.Binary())
		}
		tok, err = capability.ParseText(string(b))
		fuzzParsed(t, r, tok, err)
		if err == nil && tok.Text() != string(b) {
			t.Errorf("%q: written as %q", b, tok.Text())
		}
	})
}

func fuzzParsed(t *testing.T, r *rig, tok capability.Token, err error) {
	if err != nil {
		if !hasReason(err, spec.Unauth) || tok != (capability.Token{}) {
			t.Errorf("refused as %v, with %v", err, tok)
		}
		return
	}
	if len(tok.Binary()) > spec.MaxCapability || len(tok.Text()) > spec.MaxCapabilityText || len(tok.Caveats()) > spec.MaxCaveats {
		t.Errorf("accepted %d bytes with %d caveats", len(tok.Binary()), len(tok.Caveats()))
	}
	back, err := capability.ParseText(tok.Text())
	if err != nil || back.Text() != tok.Text() || back.Key() != tok.Key() || back.ID() != tok.ID() {
		t.Errorf("%s: read back as %s, %v", tok.Text(), back.Text(), err)
	}
	if _, err := r.Verify(r.now, tok, get); err != nil {
		if !hasReason(err, spec.Unauth) {
			t.Errorf("not signed, and refused as %v", err)
		}
	} else if tok.Key() != r.Status().Current || len(tok.Caveats()) < 2 || tok.Caveats()[1] != "op in get" {
		t.Errorf("forged: %s", tok.Text())
	}
}

// abnf is the grammar of spec/capability.md a second time, as a regular expression.
var abnf = regexp.MustCompile(strings.NewReplacer("NUM", `(0|[1-9][0-9]{0,14})`, "OP", `[a-z\-]{1,16}`).Replace(
	`\A(exp <= NUM|nbf >= NUM|aud = [\x21-\x7e]{1,128}|op in OP(,OP)*|path \^= /[/0-9A-Za-z\-._~:]*|` +
		`tenant = [0-9a-f]{32}|max-bytes <= NUM|rps <= NUM|peer-uid = NUM|amnesia = (on|off))\z`))

// FuzzCaveat holds the parser to the regular expression: same verdict, and what is accepted is written as it was read
// (CAP-CAV-001, CAP-CAV-002).
func FuzzCaveat(f *testing.F) {
	list := vectors(f)
	for i := range list.Tokens {
		if tok, err := capability.ParseText(list.Tokens[i].Token); err == nil {
			for _, c := range tok.Caveats() {
				f.Add(c)
			}
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, err := capability.ParseCaveat(s)
		if want := abnf.MatchString(s); want != (err == nil) {
			t.Errorf("%q: %v, the grammar says %v", s, err, want)
		}
		if err == nil && c.String() != s {
			t.Errorf("%q: written as %q", s, c)
		}
		if err != nil && (!hasReason(err, spec.Unauth) || c != capability.Caveat{}) {
			t.Errorf("%q: refused as %v, with %v", s, err, c)
		}
	})
}
