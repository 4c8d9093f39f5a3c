package conformance

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/rustyonions/micronode/model/refcap"
	"github.com/rustyonions/micronode/spec"
)

// Features of HTTP-HLT-005 that these cases ask for.
const (
	FeatureCapabilities = "capabilities"
	FeaturePassport     = "passport"
	FeatureAudit        = "audit"
	FeatureTLS          = "tls"
	FeatureUnix         = "unix-socket"
)

// capCase is a case of ProfileSecurity at the level MUST for a node with capabilities.
func capCase(id, description string, run func(*T), rules ...string) Case {
	return Case{ID: id, Rules: rules, Level: spec.Must, Feature: FeatureCapabilities, Profile: ProfileSecurity, Description: description, Run: run}
}

func own(c Case) Case                       { c.Own = true; return c }
func slow(c Case) Case                      { c.Slow = true; return c }
func feature(name string, c Case) Case      { c.Feature = name; return c }
func profile(name Profile, c Case) Case     { c.Profile = name; return c }
func (p *Peer) plain() (refcap.Token, deed) { return p.warrant(), getDeed(p.t.Absent()) }

// capTokenCases are about the bytes of a capability and how it is sent.
func capTokenCases() []Case {
	return []Case{
		capCase("cap-form", "The token of the run is a macaroon of version 2 in base64url with the identifier of the law, it is let in on both surfaces, and its location does not matter.",
			capForm, "CAP-TOK-001", "CAP-TOK-002", "CAP-TOK-004", "CAP-IDN-001", "CAP-IDN-004"),
		capCase("cap-schemes", "Macaroon, Bearer and Macro are accepted in any case, and no other scheme is.",
			capSchemes, "CAP-TOK-003", "DIV-AUT-001"),
		capCase("cap-one-header", "A request with two capabilities is refused, whichever of them is good.",
			capOneHeader, "CAP-TOK-009"),
		capCase("cap-text", "A second spelling of the text, padding, another alphabet, space or loose bits, is refused.",
			capText, "CAP-TOK-002", "CAP-TOK-007", "CAP-DEN-001"),
		capCase("cap-size", "A capability of 3,072 bytes is let in, one of 3,073 is not.",
			capSize, "CAP-TOK-005"),
		capCase("cap-caveats", "A capability with 32 caveats is let in, one with 33 is not.",
			capCaveats, "CAP-TOK-006"),
		capCase("cap-encoding", "Bytes behind it, another version, fields twice, missing, out of order, or lengths in more bytes than they need: refused.",
			capEncoding, "CAP-TOK-007"),
		capCase("cap-altered", "A capability of which any byte but one of the location is another, or that is cut anywhere, is refused.",
			capAltered, "CAP-HMC-001", "CAP-HMC-003", "CAP-DEN-001"),
		capCase("cap-chain", "Caveats taken off, exchanged, altered or added without a signature are refused, and so are tokens of another key and unknown identifiers.",
			capChain, "CAP-HMC-001", "CAP-IDN-003", "DIV-AUT-002"),
		capCase("cap-attenuated", "Whatever caveat a holder appends, the token lets in nothing that it did not before.",
			capAttenuated, "CAP-HMC-002", "CAP-CAV-003"),
		capCase("cap-third-party", "A third-party caveat lets in with its bound discharge, and not without, unbound, twice, or with one too many.",
			capThirdParty, "CAP-TOK-008", "CAP-TOK-010"),
		capCase("cap-discharge-holds", "The caveats of a discharge count and bind like those of the capability.",
			capDischargeHolds, "CAP-TOK-011", "CAP-TOK-006"),
	}
}

func capForm(t *T) {
	w, d := t.plain()
	t.Control(func() { t.HTTPRoundTrip(); t.Hello().RoundTrip() })
	_, ok := w.KeyID()
	t.Check(ok, "the identifier is %x", w.ID)
	for _, location := range []string{"", "micronode", "https://elsewhere.test/", "\xff\x00", w.Location} {
		moved := w
		moved.Location = location
		t.judge(t.ways(), fmt.Sprintf("location %q", location), moved.Bytes(), d, spec.None)
	}
	t.judge(t.everyWay(), "the token of the run", t.cap, d, spec.None)
	t.judge(t.everyWay(), "no token", nil, d, spec.Unauth)
}

// tells sends d over HTTP with these header lines only.
func (p *Peer) tells(d deed, headers ...string) spec.Reason {
	raw := p.With(nil).Raw()
	defer raw.nc.Close()
	raw.Head(d.http.Method, d.http.Path, headers...)
	r := raw.Response(d.http.Method)
	p.challenged(r)
	return letIn(p.Refuses(r, spec.Reasons()...).Reason) // d asks for what is not there
}

func capSchemes(t *T) {
	w, d := t.plain()
	text := w.Text()
	t.Control(func() { t.Check(t.tells(d, "Authorization: Macaroon "+text) == spec.None, "Macaroon is refused") })
	for _, scheme := range []string{"macaroon", "MACAROON", "Bearer", "bearer", "BEARER", "Macro", "macro", "mAcRo"} {
		got := t.tells(d, "Authorization: "+scheme+" "+text)
		t.Check(got == spec.None, "the scheme %s: %s", scheme, named(got))
	}
	for _, field := range []string{
		"Basic " + text, "Digest " + text, "Token " + text, "Macaroons " + text, "Macaro " + text, "Macaroon", "Macaroon ", "", text,
		"Macaroon=" + text, "Macaroon\t" + text, "Bearer Macaroon " + text, "Basic OnBhc3N3b3Jk",
	} {
		got := t.tells(d, "Authorization: "+field)
		t.Check(got == spec.Unauth, "Authorization %q: %s, want unauth", field[:min(len(field), 20)], named(got))
	}
	for _, header := range []string{"X-Authorization: Macaroon " + text, "Proxy-Authorization: Macaroon " + text, "Cookie: macaroon=" + text, "Macaroons: " + text} {
		t.Check(t.tells(d, header) == spec.Unauth, "a token in %.20s is let in", header)
	}
	inQuery := d
	inQuery.http.Path += "?token=" + text + "&access_token=" + text
	t.Check(t.tells(inQuery) == spec.Unauth, "a token in the query is let in")
}

func capOneHeader(t *T) {
	w, d := t.plain()
	good, bad := "Authorization: Macaroon "+w.Text(), "Authorization: Macaroon "+w.With("never").Text()
	t.Control(func() {
		t.Check(t.tells(d, good) == spec.None, "one capability is refused")
		t.Check(t.tells(d, bad) == spec.Unauth, "the bad one is let in")
	})
	for _, two := range [][]string{
		{good, good}, {good, bad}, {bad, good}, {good, strings.Replace(good, "Macaroon", "Bearer", 1)}, {good, "Authorization: Basic eDp5"},
		{"authorization: Macaroon " + w.Text(), good}, {good, "Authorization: "}, {good + ", Macaroon " + w.Text()}, {good + " " + w.Text()},
		{good + "," + w.Text()},
	} {
		got := t.tells(d, two...)
		t.Check(got == spec.Unauth, "%d fields, the first %d and the last %d long: %s, want unauth", len(two), len(two[0]), len(two[len(two)-1]), named(got))
	}
	// Over OAP/1 there is room for one; two in it are bytes behind the first.
	t.judge([]way{t.oapWay("oap")}, "twice in one START", append(w.Bytes(), w.Bytes()...), d, spec.Unauth)
	t.judge([]way{t.httpWay("http")}, "twice in one text", append(w.Bytes(), w.Bytes()...), d, spec.Unauth)
}

func capText(t *T) {
	w, d := t.plain()
	for len(w.Bytes())%3 != 1 { // so that the text has loose bits
		w.Location += "x"
	}
	text := w.Text()
	t.Control(func() { t.Check(t.tells(d, "Authorization: Macaroon "+text) == spec.None, "the token is refused") })
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	loose := text[:len(text)-1] + string(alphabet[strings.IndexByte(alphabet, text[len(text)-1])|1])
	plus := w
	for !strings.ContainsAny(plus.Text(), "-_") {
		plus.Location += "\xff"
	}
	standard := base64.RawStdEncoding.EncodeToString(plus.Bytes())
	got := t.tells(d, "Authorization: Macaroon "+plus.Text())
	t.Check(got == spec.None, "a text with - or _ in it: %s", named(got))
	for what, other := range map[string]string{
		"padded": text + "==", "loose bits": loose, "the other alphabet": standard, "a space in it": text[:30] + " " + text[30:],
		"one character less": text[:len(text)-1], "one character more": text + "A", "quoted": `"` + text + `"`, "a dot": text + ".",
		"a tab": text[:30] + "\t" + text[30:], "hexadecimal": fmt.Sprintf("%x", w.Bytes()), "JSON": `{"v":2,"i":"x","s":"y"}`,
		"percent": strings.Replace(text, text[:1], "%41", 1), "uppercase": strings.ToUpper(text),
	} {
		got := t.tells(d, "Authorization: Macaroon "+other)
		t.Check(got == spec.Unauth, "%s: %s, want unauth", what, named(got))
	}
}

func capSize(t *T) {
	w, d := t.plain()
	sized := func(n int) []byte { // by the location, which nobody signs
		w := w
		for w.Location = "x"; len(w.Bytes()) < n; {
			w.Location += strings.Repeat("x", max(1, (n-len(w.Bytes()))/2))
		}
		if len(w.Bytes()) != n {
			t.Harnessf("a token of %d bytes instead of %d", len(w.Bytes()), n)
		}
		return w.Bytes()
	}
	t.Control(func() { t.judge(t.ways(), "2,000 bytes", sized(2000), d, spec.None) })
	t.judge(t.ways(), "3,072 bytes", sized(spec.MaxCapability), d, spec.None)
	for _, n := range []int{spec.MaxCapability + 1, spec.MaxCapability + 3, 4096, 8000} {
		t.judge(t.ways(), fmt.Sprintf("%d bytes", n), sized(n), d, spec.Unauth)
	}
	t.judge([]way{t.oapWay("oap")}, "65,535 bytes", sized(65535), d, spec.Unauth)
	// By what is signed.
	long := w
	for len(long.Bytes()) < spec.MaxCapability-200 {
		long = long.With("op in get," + strings.Repeat("has,", 38) + "stat")
	}
	t.judge(t.ways(), fmt.Sprintf("%d bytes of caveats", len(long.Bytes())), long.Bytes(), d, spec.None)
	for len(long.Bytes()) <= spec.MaxCapability {
		long = long.With("op in get," + strings.Repeat("has,", 38) + "stat")
	}
	t.judge(t.ways(), fmt.Sprintf("%d bytes of caveats", len(long.Bytes())), long.Bytes(), d, spec.Unauth)
}

func capCaveats(t *T) {
	w, d := t.plain()
	if len(w.Caveats) > spec.MaxCaveats {
		t.Untestablef("the token of the run has %d caveats", len(w.Caveats))
	}
	for len(w.Caveats) < spec.MaxCaveats-1 {
		w = w.With("nbf >= 1")
	}
	t.Control(func() { t.judge(t.ways(), "31 caveats", w.Bytes(), d, spec.None) })
	w = w.With("nbf >= 1")
	t.judge(t.ways(), "32 caveats", w.Bytes(), d, spec.None)
	for range 3 {
		w = w.With("nbf >= 1")
		t.judge(t.ways(), fmt.Sprintf("%d caveats", len(w.Caveats)), w.Bytes(), d, spec.Unauth)
	}
}

func capEncoding(t *T) {
	w, d := t.plain()
	w = w.With("nbf >= 1")
	t.Control(func() { t.judge(t.ways(), "as it is", w.Bytes(), d, spec.None) })
	place := refcap.Field{Type: refcap.FieldLocation, Data: []byte("x")}
	for _, x := range []struct {
		what  string
		alter func(*refcap.Shape)
	}{
		{"version 0", func(s *refcap.Shape) { s.Version = 0 }},
		{"version 1", func(s *refcap.Shape) { s.Version = 1 }},
		{"version 3", func(s *refcap.Shape) { s.Version = 3 }},
		{"the identifier twice", func(s *refcap.Shape) { s.Header = append(s.Header, s.Header[len(s.Header)-1]) }},
		{"two locations", func(s *refcap.Shape) {
			s.Header = []refcap.Field{place, place, {Type: refcap.FieldIdentifier, Data: w.ID}}
		}},
		{"an empty location", func(s *refcap.Shape) {
			s.Header = []refcap.Field{{Type: refcap.FieldLocation}, {Type: refcap.FieldIdentifier, Data: w.ID}}
		}},
		{"the location behind", func(s *refcap.Shape) {
			s.Header = []refcap.Field{{Type: refcap.FieldIdentifier, Data: w.ID}, place}
		}},
		{"a field of no type", func(s *refcap.Shape) { s.Header = append(s.Header, refcap.Field{Type: 3, Data: []byte("x")}) }},
		{"a field of another no type", func(s *refcap.Shape) { s.Header = append(s.Header, refcap.Field{Type: 300, Data: []byte("x")}) }},
		{"a first-party caveat with a location", func(s *refcap.Shape) { s.Caveats[0] = append([]refcap.Field{place}, s.Caveats[0]...) }},
		{"a caveat with an empty verification id", func(s *refcap.Shape) {
			s.Caveats[0] = append(slices.Clone(s.Caveats[0]), refcap.Field{Type: refcap.FieldVerificationID})
		}},
		{"a caveat with two identifiers", func(s *refcap.Shape) { s.Caveats[0] = append(slices.Clone(s.Caveats[0]), s.Caveats[0][0]) }},
		{"a short signature", func(s *refcap.Shape) { s.Tail[0].Data = s.Tail[0].Data[:31] }},
		{"an empty signature", func(s *refcap.Shape) { s.Tail[0].Data = nil }},
		{"a long signature", func(s *refcap.Shape) { s.Tail[0].Data = append(slices.Clone(s.Tail[0].Data), 0) }},
		{"two signatures", func(s *refcap.Shape) { s.Tail = append(s.Tail, s.Tail[0]) }},
		{"no signature", func(s *refcap.Shape) { s.Tail = nil }},
		{"the signature as another field", func(s *refcap.Shape) { s.Tail[0].Type = refcap.FieldVerificationID }},
	} {
		s := w.Shape()
		s.Caveats = slices.Clone(s.Caveats)
		x.alter(&s)
		t.judge(t.ways(), x.what, s.Bytes(), d, spec.Unauth)
	}
	b := w.Bytes()
	id := bytes.Index(b, append([]byte{refcap.FieldIdentifier, refcap.IDLen}, w.ID...))
	if id < 0 {
		t.Harnessf("the identifier is not in the token")
	}
	for what, other := range map[string][]byte{
		"a zero byte behind":               append(slices.Clone(b), 0),
		"an EOS and a signature behind":    append(slices.Clone(b), b[len(b)-35:]...),
		"a space behind":                   append(slices.Clone(b), ' '),
		"a byte before":                    append([]byte{0}, b...),
		"a length in two bytes":            slices.Concat(b[:id+1], []byte{b[id+1] | 0x80, 0}, b[id+2:]),
		"a type in two bytes":              slices.Concat(b[:id], []byte{b[id] | 0x80, 0}, b[id+1:]),
		"a length in ten bytes":            slices.Concat(b[:id+1], []byte{b[id+1] | 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0}, b[id+2:]),
		"a length that goes beyond":        slices.Concat(b[:id+1], []byte{0xff, 0xff, 0xff, 0x7f}, b[id+2:]),
		"nothing":                          {},
		"the version":                      {2},
		"the JSON form":                    []byte(`{"v":2,"i":"x","c":[],"s64":"AAAA"}`),
		"the form of version 1":            []byte("0018location micronode\n001didentifier 0123456789\n002fsignature 0123456789abcdef0123456789abcdef\n"),
		"the text instead of the binary":   []byte(w.Text()),
		"a thousand zero bytes":            make([]byte, 1000),
		"two, the second one's first part": append(slices.Clone(b), b[:len(b)/2]...),
	} {
		t.judge(t.ways(), what, other, d, spec.Unauth)
	}
}

func capAltered(t *T) {
	w, d := t.plain()
	w.Location = "" // which nobody signs
	b := w.Bytes()
	t.Control(func() { t.judge(t.ways(), "as it is", b, d, spec.None) })
	ways := t.ways()
	for i := range b {
		other := slices.Clone(b)
		other[i] ^= 1 << (i % 8)
		t.judge(ways[1:], fmt.Sprintf("byte %d altered", i), other, d, spec.Unauth)
		if i%8 == 0 || i >= len(b)-32 {
			t.judge(ways[:1], fmt.Sprintf("byte %d altered", i), other, d, spec.Unauth)
			t.judge(ways[1:], fmt.Sprintf("cut at %d", i), b[:i], d, spec.Unauth)
		}
	}
}

func capChain(t *T) {
	w, d := t.plain()
	narrow := w.With("nbf >= 1", "op in put")
	t.Control(func() {
		t.judge(t.ways(), "as it is", w.Bytes(), d, spec.None)
		t.judge(t.ways(), "without get", narrow.Bytes(), d, spec.Forbidden)
	})
	alter := func(what string, do func(*refcap.Token)) {
		x := narrow
		x.Caveats = slices.Clone(x.Caveats)
		do(&x)
		t.judge(t.ways(), what, x.Bytes(), d, spec.Unauth)
	}
	last := len(narrow.Caveats) - 1
	alter("the last caveat taken off", func(x *refcap.Token) { x.Caveats = x.Caveats[:last] })
	alter("the last but one taken off", func(x *refcap.Token) { x.Caveats = slices.Delete(x.Caveats, last-1, last) })
	alter("every caveat taken off", func(x *refcap.Token) { x.Caveats = nil })
	alter("two exchanged", func(x *refcap.Token) { x.Caveats[last], x.Caveats[last-1] = x.Caveats[last-1], x.Caveats[last] })
	alter("another operation", func(x *refcap.Token) { x.Caveats[last].ID = []byte("op in get") })
	alter("a caveat more", func(x *refcap.Token) { x.Caveats = append(x.Caveats, refcap.Caveat{ID: []byte("nbf >= 2")}) })
	alter("the last caveat twice", func(x *refcap.Token) { x.Caveats = append(x.Caveats, x.Caveats[last]) })
	alter("the signature before the last caveat", func(x *refcap.Token) { x.Sig = w.Sig })
	alter("no signature to speak of", func(x *refcap.Token) { x.Sig = [32]byte{} })
	alter("another capability id", func(x *refcap.Token) { x.ID = append(slices.Clone(x.ID[:24]), x.ID[24]^1) })
	alter("another key id", func(x *refcap.Token) { x.ID = slices.Concat(x.ID[:1], t.Bytes(8), x.ID[9:]) })
	alter("another version of the identifier", func(x *refcap.Token) { x.ID = append([]byte{2}, x.ID[1:]...) })
	alter("a short identifier", func(x *refcap.Token) { x.ID = x.ID[:24] })
	alter("a long identifier", func(x *refcap.Token) { x.ID = append(slices.Clone(x.ID), 0) })
	alter("no identifier", func(x *refcap.Token) { x.ID = nil })

	// Whole chains under keys of others, and with the right identifier.
	key, _ := w.KeyID()
	exp := "exp <= " + inUnix(time.Minute)
	for what, root := range map[string][]byte{"a random key": t.Bytes(32), "a zero key": make([]byte, 32), "an empty key": {}, "the key id as the key": key[:]} {
		for _, id := range [][]byte{w.ID, refcap.Identifier(1, key, [16]byte(t.Bytes(16))), refcap.Identifier(1, [8]byte(t.Bytes(8)), [16]byte(t.Bytes(16)))} {
			forged := refcap.New(root, id, w.Location).With(exp, "aud = "+t.nodeName())
			t.judge(t.ways(), what, forged.Bytes(), d, spec.Unauth)
		}
	}
	// Each caveat keyed with the same key, as some have published it: then the signature of the first part is a key too.
	keyed := w
	keyed.Caveats = append(slices.Clone(w.Caveats), refcap.Caveat{ID: []byte("nbf >= 1")})
	t.judge(t.ways(), "a caveat that is not in the chain", keyed.Bytes(), d, spec.Unauth)
}

func capAttenuated(t *T) {
	w := t.warrant()
	d, other := getDeed(t.Absent()), t.putDeed(20)
	reader := w.With("op in get")
	t.Control(func() {
		t.judge(t.ways(), "get only", reader.Bytes(), d, spec.None)
		t.judge(t.ways(), "get only", reader.Bytes(), other, spec.Forbidden)
		t.judge(t.ways(), "everything", w.Bytes(), other, spec.None)
	})
	for _, more := range []string{"op in put", "op in get,put", "op in " + joined(spec.Ops()), "path ^= /", "max-bytes <= 999999999999999", "nbf >= 0"} {
		got := spec.Forbidden
		t.judge(t.ways(), "get only, then "+more, reader.With(more).Bytes(), other, got)
	}
	past, later := "exp <= "+inUnix(-time.Minute), "exp <= "+inUnix(time.Minute)
	for what, x := range map[string]refcap.Token{
		"ended, then prolonged": w.With(past, later), "prolonged, then ended": w.With(later, past),
		"another audience, then ours": w.With("aud = somebody.else", "aud = "+t.nodeName()), "ours, then another": w.With("aud = "+t.nodeName(), "aud = somebody.else"),
		"later, then now": w.With("nbf >= "+inUnix(time.Hour), "nbf >= 0"),
	} {
		t.judge(t.ways(), what, x.Bytes(), d, spec.Unauth)
	}
	for what, x := range map[string]refcap.Token{
		"one path, then another": w.With("path ^= /put", "path ^= /o"), "and the other way round": w.With("path ^= /o", "path ^= /put"),
		"two tenants": w.With("tenant = "+strings.Repeat("0", 31)+"1", "tenant = "+strings.Repeat("0", 31)+"2"),
	} {
		t.judge(t.ways(), what, x.Bytes(), d, spec.Forbidden)
	}
}

func joined(ops []spec.Op) string {
	var list []string
	for _, op := range ops {
		list = append(list, string(op))
	}
	return strings.Join(list, ",")
}

// thirdParty is w with a caveat that wants a discharge, and the secret to make one with.
func (t *T) thirdParty(w refcap.Token, id string) (refcap.Token, []byte) {
	secret := t.Bytes(32)
	return w.WithThirdParty(secret, []byte(id), [24]byte(t.Bytes(24)), "https://third.test"), secret
}

func capThirdParty(t *T) {
	w, d := t.plain()
	asking, secret := t.thirdParty(w, "is it you?")
	discharge := refcap.New(secret, []byte("is it you?"), "https://third.test")
	bound := discharge.Bound(asking)
	t.Control(func() {
		t.judge(t.ways(), "without a third party", w.Bytes(), d, spec.None)
		t.judge(t.ways(), "with a bound discharge", refcap.Bundle(asking, bound), d, spec.None)
	})
	two, secret2 := t.thirdParty(asking, "and who is that?")
	second := refcap.New(secret2, []byte("and who is that?"), "")
	t.judge(t.ways(), "with two discharges", refcap.Bundle(two, discharge.Bound(two), second.Bound(two)), d, spec.None)
	t.judge(t.ways(), "with two discharges, the second first", refcap.Bundle(two, second.Bound(two), discharge.Bound(two)), d, spec.None)
	late := asking.With("nbf >= 1")
	t.judge(t.ways(), "attenuated, and bound then", refcap.Bundle(late, discharge.Bound(late)), d, spec.None)

	nested, secret3 := t.thirdParty(discharge, "and that?")
	third := refcap.New(secret3, []byte("and that?"), "")
	wrong := refcap.New(t.Bytes(32), []byte("is it you?"), "")
	spoilt := asking
	spoilt.Caveats = slices.Clone(asking.Caveats)
	last := &spoilt.Caveats[len(spoilt.Caveats)-1]
	last.VID = append(slices.Clone(last.VID[:len(last.VID)-1]), last.VID[len(last.VID)-1]^1)
	for _, x := range []struct {
		what  string
		bytes []byte
	}{
		{"without its discharge", asking.Bytes()},
		{"unbound", refcap.Bundle(asking, discharge)},
		{"bound to the token without its caveat", refcap.Bundle(asking, discharge.Bound(w))},
		{"bound to the token before it was attenuated", refcap.Bundle(late, bound)},
		{"bound to the token after it was attenuated", refcap.Bundle(asking, discharge.Bound(late))},
		{"the discharge twice", refcap.Bundle(asking, bound, bound)},
		{"the discharge before the capability", refcap.Bundle(bound, asking)},
		{"a discharge for another question", refcap.Bundle(asking, second.Bound(asking))},
		{"a discharge too many", refcap.Bundle(asking, bound, second.Bound(asking))},
		{"a discharge that nothing asks for", refcap.Bundle(w, discharge.Bound(w))},
		{"one of two discharges", refcap.Bundle(two, discharge.Bound(two))},
		{"a discharge under another key", refcap.Bundle(asking, wrong.Bound(asking))},
		{"a discharge that asks itself", refcap.Bundle(asking, nested.Bound(asking), third.Bound(asking))},
		{"a discharge that asks itself, and for nothing", refcap.Bundle(asking, nested.Bound(asking))},
		{"another sealed key", refcap.Bundle(spoilt, discharge.Bound(spoilt))},
		{"a byte behind the discharge", append(refcap.Bundle(asking, bound), 0)},
		{"a byte between", slices.Concat(asking.Bytes(), []byte{0}, bound.Bytes())},
		{"the capability as its own discharge", refcap.Bundle(asking, asking.Bound(asking))},
		{"the discharge alone", bound.Bytes()},
	} {
		t.judge(t.ways(), x.what, x.bytes, d, spec.Unauth)
	}
}

func capDischargeHolds(t *T) {
	w, d := t.plain()
	asking, secret := t.thirdParty(w, "is it you?")
	with := func(conditions ...string) []byte {
		return refcap.Bundle(asking, refcap.New(secret, []byte("is it you?"), "").With(conditions...).Bound(asking))
	}
	t.Control(func() { t.judge(t.ways(), "a discharge", with(), d, spec.None) })
	for _, x := range []struct {
		condition string
		want      spec.Reason
	}{
		{"exp <= " + inUnix(time.Minute), spec.None}, {"exp <= " + inUnix(-time.Minute), spec.Unauth}, {"nbf >= " + inUnix(time.Hour), spec.Unauth},
		{"aud = somebody.else", spec.Unauth}, {"color = red", spec.Unauth}, {"op in get,put", spec.None}, {"op in put", spec.Forbidden},
		{"path ^= /o", spec.None}, {"path ^= /put", spec.Forbidden}, {"", spec.Unauth},
	} {
		t.judge(t.ways(), "a discharge with "+x.condition, with(x.condition), d, x.want)
	}
	var many []string
	for range spec.MaxCaveats - len(asking.Caveats) {
		many = append(many, "nbf >= 1")
	}
	t.judge(t.ways(), "32 caveats in all", with(many...), d, spec.None)
	t.judge(t.ways(), "33 caveats in all", with(append(many, "nbf >= 1")...), d, spec.Unauth)
}
