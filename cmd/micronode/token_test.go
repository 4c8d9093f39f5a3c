package main

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"gopkg.in/macaroon.v2"

	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/spec"
)

// someToken makes a token with conditions, well-formed and signed with a key that nobody knows.
func someToken(t *testing.T, conditions ...string) capability.Token {
	t.Helper()
	id := append([]byte{1}, make([]byte, 24)...)
	id[1], id[24] = 0xab, 0xcd
	m, err := macaroon.New([]byte("any"), id, "somewhere", macaroon.V2)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range conditions {
		if err := m.AddFirstPartyCaveat([]byte(c)); err != nil {
			t.Fatal(err)
		}
	}
	b, err := m.MarshalBinary()
	if err != nil {
		t.Fatal(err)
	}
	token, err := capability.ParseBinary(b)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// CAP-HMC-002, CAP-CAV-003: attenuate adds every condition that was asked for, behind all that were there.
func TestAttenuateAddsEveryCondition(t *testing.T) {
	t.Parallel()
	old := []string{"exp <= 1800000000", "op in get,put", "rps <= 9"}
	token := someToken(t, old...)
	for _, tc := range []struct {
		flags []string
		want  []string
	}{
		{[]string{"--caveat", "path ^= /o/"}, []string{"path ^= /o/"}},
		{[]string{"--op", "get,has"}, []string{"op in get,has"}},
		{[]string{"--op", "get", "--op", "has"}, []string{"op in get,has"}},
		{[]string{"--caveat", "op in get,has", "--caveat", "max-bytes <= 3", "--op", "get"}, []string{"op in get,has", "max-bytes <= 3", "op in get"}},
		{[]string{"--ttl", "1h", "--caveat", "rps <= 1"}, []string{"rps <= 1", "exp <= "}},
	} {
		cmd := command(append(append([]string{"token", "attenuate"}, tc.flags...), token.Text())...)
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%v: %v", tc.flags, err)
			continue
		}
		got, err := capability.ParseText(strings.TrimSpace(string(out)))
		if err != nil {
			t.Errorf("%v: %v", tc.flags, err)
			continue
		}
		list := got.Caveats()
		if len(list) != len(old)+len(tc.want) || !slices.Equal(list[:len(old)], old) {
			t.Errorf("%v: %q", tc.flags, list)
			continue
		}
		for i, c := range list[len(old):] {
			if !strings.HasPrefix(c, tc.want[i]) || tc.want[i] != "exp <= " && c != tc.want[i] {
				t.Errorf("%v: condition %d is %q, want %q", tc.flags, i, c, tc.want[i])
			}
		}
		if got.ID() != token.ID() || got.Key() != token.Key() {
			t.Errorf("%v: other ids", tc.flags)
		}
	}
	n := narrowFlags{TTL: time.Hour}
	list, err := n.caveats(time.Unix(1_700_000_000, 0))
	if err != nil || len(list) != 1 || list[0].String() != "exp <= 1700003600" {
		t.Errorf("--ttl 1h gives %q, %v", list, err)
	}
}

// What a token says is shown as it is, but for what a terminal would obey, and what the law does not know is called so.
func TestInspectShowsStrangers(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_700_000_000, 0)
	in := inspect(someToken(t, "exp <= 1700000500", "exp <= 1700000100", "exp <= 17000000001234567", "\x1b[31mroot", "op in get"), now)
	if in.Verified || in.Expires == nil || *in.Expires != 1_700_000_100 || in.Expired || in.ThirdParty != 0 || len(in.Caveats) != 5 {
		t.Errorf("%+v", in)
	}
	text := in.text(now)
	for _, want := range []string{"in 1 minute 40 seconds (2023-11-14T22:15:00Z)", "\ufffd[31mroot", "is no caveat of the law", "Nothing was verified", "ab00000000000000", "caveats     5"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
	if strings.ContainsRune(text, '\x1b') || strings.Count(text, "is no caveat of the law") != 2 {
		t.Errorf("%q", text)
	}
	if late := inspect(someToken(t, "exp <= 1699999999"), now); !late.Expired || !strings.Contains(late.text(now), "expired 1 second ago") {
		t.Errorf("%s", late.text(now))
	}
	if never := inspect(someToken(t, "op in get"), now); never.Expires != nil || never.Expired || !strings.Contains(never.text(now), "never, so every node refuses it") {
		t.Errorf("%s", never.text(now))
	}
}

// Every kind of condition is explained.
func TestMeanings(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"exp <= 0": "until 1970-01-01T00:00:00Z", "nbf >= 60": "not before 1970-01-01T00:01:00Z", "aud = n1": "at the node n1 only", "op in get": "operations only",
		"path ^= /o/": "below", "tenant = " + strings.Repeat("0", 32): "tenant", "max-bytes <= 1048576": "at most 1 MiB", "rps <= 5": "a second",
		"peer-uid = 0": "Unix socket", "amnesia = on": "forgets", "amnesia = off": "keeps", `third-party "x" 00`: "third party", "exp <= -1": "no caveat", "": "no caveat", "Exp <= 0": "no caveat",
	} {
		if got := meaning(text); !strings.Contains(got, want) {
			t.Errorf("%q means %q, want %q", text, got, want)
		}
	}
	for d, want := range map[time.Duration]string{
		0: "0 seconds", time.Second: "1 second", 59 * time.Second: "59 seconds", time.Minute: "1 minute", 61 * time.Second: "1 minute 1 second",
		time.Hour + time.Second: "1 hour", 25 * time.Hour: "1 day 1 hour", 50*time.Hour + time.Minute: "2 days 2 hours",
	} {
		if got := span(d); got != want {
			t.Errorf("%v is %q, want %q", d, got, want)
		}
	}
}

// CAP-KEY-005, AMN-LOG-002: what the command line parser holds, and what it says, does not show a token.
func TestTokenIsNotInTheGrammar(t *testing.T) {
	const canary = "AgCanaryCanaryCanary"
	t.Setenv("MICRO_TOKEN", canary)
	var grammar cli
	parser, err := kong.New(&grammar, kong.Vars{"node": defaultNode})
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, args := range [][]string{{"stat", abc}, {"token", "inspect", canary}, {"token", "bind", canary, canary}, {"token", "mint", "--token", canary, "--bogus"}, {"token", "revoke", canary}} {
		_, err := parser.Parse(args)
		fmt.Fprintf(&text, "%v %+v %#v %v\n", grammar, &grammar, grammar, err)
		for _, path := range parser.Model.AllFlags(false) {
			for _, f := range path {
				fmt.Fprintf(&text, "%v %s", f.Target, f.Summary())
			}
		}
	}
	if strings.Contains(text.String(), canary) {
		t.Error("the token was shown")
	}
	if grammar.Token.Revoke.Subjects[0].Reveal() != canary || grammar.Stat.Token.Reveal() != canary {
		t.Error("the token did not arrive")
	}
}

// Where a token may come from, and what of it counts.
func TestSubject(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "t")
	if err := os.WriteFile(file, []byte(" AgFile\r\n\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	flag := func(s string) secretFlag { return secretFlag{secret.NewString(s)} }
	for _, tc := range []struct {
		argument, flag, stdin, want string
		code                        int
	}{
		{"AgArg", "AgFlag", "AgIn", "AgArg", exitOK},
		{"", "AgFlag", "AgIn", "AgFlag", exitOK},
		{"", "", "AgIn\n", "AgIn", exitOK},
		{"-", "AgFlag", "AgIn", "AgIn", exitOK},
		{"@" + file, "AgFlag", "", "AgFile", exitOK},
		{"", "@" + file, "AgIn", "AgFile", exitOK},
		{"", "", "", "", exitUsage},
		{"-", "AgFlag", " \n", "", exitUsage},
		{"@-", "", "AgIn", "", exitUsage},
		{"@", "", "AgIn", "", exitUsage},
		{"", "@" + file + "x", "AgIn", "", exitUsage},
		{"@" + dir, "", "AgIn", "", exitUsage},
	} {
		in, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		out.WriteString(tc.stdin)
		out.Close()
		got, err := (&app{stdin: in}).subject(flag(tc.argument), flag(tc.flag))
		in.Close()
		if got.Reveal() != tc.want || codeOf(err) != tc.code {
			t.Errorf("%+v: got %q, %v", tc, got.Reveal(), err)
		}
	}
}

// CAP-DEN-001, CAP-DEN-002: the advice tells the two apart, and a batch does not go on without authority.
func TestDenialAdvice(t *testing.T) {
	t.Parallel()
	for r, want := range map[spec.Reason]string{spec.Unauth: "MICRO_TOKEN", spec.Forbidden: "token inspect"} {
		if text := explain(fmt.Errorf("x: %w", r)); !strings.Contains(text, want) {
			t.Errorf("%s: %s", r, text)
		}
	}
}

// AMN-LOG-005: a token in the wrong place is not repeated on stderr, wherever it stands and whatever is around it.
func TestMisplacedTokenIsNotRepeated(t *testing.T) {
	token := base64.RawURLEncoding.EncodeToString(append([]byte{2, 1, 9}, bytes.Repeat([]byte("x7"), 150)...))
	for _, args := range [][]string{
		{"get", token}, {"stat", "b3:" + token}, {token}, {"put", "--node", "http://" + token, "x"}, {"token", "attenuate", "--caveat", token, "--token", token},
		{"put", "--pin", token, "x"}, {"token", "revoke", "--id", token}, {"get", "--" + token},
	} {
		stderr := new(bytes.Buffer)
		cmd := command(args...)
		cmd.Stderr = stderr
		if err := cmd.Run(); err == nil {
			t.Errorf("%v: no error", args)
		}
		if strings.Contains(stderr.String(), token[:70]) || !strings.Contains(stderr.String(), "micronode: ") {
			t.Errorf("%v:\n%s", args, stderr)
		}
	}
}
