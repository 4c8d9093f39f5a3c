package fuzz

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"gopkg.in/macaroon.v2"

	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// What the node of these targets has: everything is known to the fuzzer, so that it can make tokens that are good.
var (
	capNow   = time.Unix(1_800_000_000, 0)
	capKeyID = []byte("fuzz key")
	capRoot  = []byte("the root key of the fuzz targets")
	capThird = []byte("the key of the third party")
	capGood  = []byte("\x01fuzz key0123456789abcdef")
)

func capAuthority(t testing.TB) *capability.Authority {
	v, err := secret.NewVault(spec.MaxRootKeys)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close() })
	random := io.MultiReader(bytes.NewReader(capKeyID), bytes.NewReader(capRoot))
	a, err := capability.New(capNow, capability.Config{Name: "node", Amnesia: true, Random: random, Vault: v})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// capVerdict is what a node says to the bytes of a capability: whether it verified, and the reason why it is refused.
// A token that is refused by a condition has verified.
func capVerdict(t *testing.T, a *capability.Authority, b []byte) (verified bool, reason spec.Reason) {
	tok, err := capability.ParseBinary(b)
	if err == nil {
		if !bytes.Equal(tok.Binary(), b) {
			t.Fatalf("%x: written as %x", b, tok.Binary())
		}
		_, err = a.Verify(capNow, tok, capability.Request{Op: spec.OpGet, Path: "/o/a"})
	}
	var e *capability.Error
	switch {
	case err == nil:
		return true, spec.None
	case !errors.As(err, &e) || e.Reason != spec.Unauth && e.Reason != spec.Forbidden && e.Reason != spec.Quota:
		t.Fatalf("%x: refused as %v", b, err)
	}
	return strings.HasPrefix(e.Rule, "CAP-CAV-"), e.Reason
}

// capReference is the law up to the conditions, written with gopkg.in/macaroon.v2: size, one encoding, counts, which discharges
// follow, identifier, signatures (CAP-TOK-001, CAP-TOK-005 to 010, CAP-IDN-003, CAP-HMC-001).
func capReference(b []byte) bool {
	if len(b) == 0 || len(b) > spec.MaxCapability {
		return false
	}
	var list macaroon.Slice
	caveats := 0
	for rest := b; len(rest) > 0; {
		m := new(macaroon.Macaroon)
		if rest[0] != 2 || m.UnmarshalBinary(rest) != nil {
			return false
		}
		again, err := m.MarshalBinary()
		if err != nil || !bytes.HasPrefix(rest, again) {
			return false
		}
		rest = rest[len(again):]
		caveats += len(m.Caveats())
		list = append(list, m)
	}
	wanted := map[string]int{}
	for _, c := range list[0].Caveats() {
		if len(c.VerificationId) > 0 {
			wanted[string(c.Id)]++
		}
	}
	for _, d := range list[1:] {
		if slices.ContainsFunc(d.Caveats(), func(c macaroon.Caveat) bool { return len(c.VerificationId) > 0 }) || wanted[string(d.Id())] != 1 {
			return false
		}
		delete(wanted, string(d.Id()))
	}
	id := list[0].Id()
	if caveats > spec.MaxCaveats || len(wanted) > 0 || len(id) != 25 || id[0] != 1 || !bytes.Equal(id[1:9], capKeyID) {
		return false
	}
	_, err := list[0].VerifySignature(capRoot, list[1:])
	return err == nil
}

// capConditions are what a script can ask for by number.
var capConditions = []string{"exp <= 1800000100", "op in get,has", "path ^= /o", "aud = node", "exp <= 1", "ip = ::1", "rps <= 0", ""}

// capScript makes a token of a script: a byte that says what comes next, and what it needs. What is left over behind a 0xff
// are changes of single bytes. It is cut short where no token can be that long.
func capScript(script []byte) []byte {
	next := func() byte {
		if len(script) == 0 {
			return 0xff
		}
		c := script[0]
		script = script[1:]
		return c
	}
	m, err := macaroon.New(capRoot, capGood, "micronode", macaroon.V2)
	if err != nil {
		panic(err)
	}
	var discharges [][]byte
	add := func(m *macaroon.Macaroon, kind byte) {
		switch kind % 4 {
		case 0, 1:
			err = m.AddFirstPartyCaveat([]byte(capConditions[int(kind/4)%len(capConditions)]))
		case 2:
			n := min(int(kind/4), len(script))
			err = m.AddFirstPartyCaveat(bytes.Clone(script[:n]))
			script = script[n:]
		case 3:
			err = m.AddThirdPartyCaveat(capThird, fmt.Appendf(nil, "third %d", kind/4%3), "third")
		}
		if err != nil {
			panic(err)
		}
	}
	var unbound []*macaroon.Macaroon
	for c := next(); c != 0xff && len(unbound) < 8; c = next() {
		if c < 0xe0 {
			add(m, c)
			continue
		}
		d, err := macaroon.New(capThird, fmt.Appendf(nil, "third %d", c%4), "third", macaroon.V2)
		if err != nil {
			panic(err)
		}
		for range c / 4 % 4 {
			add(d, next())
		}
		unbound = append(unbound, d)
	}
	b, err := m.MarshalBinary()
	if err != nil {
		panic(err)
	}
	for _, d := range unbound {
		d.Bind(m.Signature())
		part, err := d.MarshalBinary()
		if err != nil {
			panic(err)
		}
		discharges = append(discharges, part)
	}
	b = append(b, bytes.Join(discharges, nil)...)
	for len(script) >= 3 {
		at := int(script[0])<<8 | int(script[1])
		b[at%len(b)] ^= script[2]
		script = script[3:]
	}
	return b
}

// FuzzCapability holds the capabilities of a node to the library: raw bytes, and tokens that are signed with the node's own key,
// with third parties and discharges, changed here and there. Both verify the same, but for what the law forbids besides.
func FuzzCapability(f *testing.F) {
	for _, token := range capTokens(f) {
		f.Add(token, false)
	}
	for _, script := range []string{
		"\x00", "\x00\x04\x08\x0c", "\x00\x03\xe0", "\x00\x03\x07\xe0\xe1", "\x00\x03\xe4\x04", "\x00\x03\xe4\x10", "\x00\xe0", "\x00\x03\xe0\xe0", "\x00\x03\xe4\x07\xe1",
		"\x00\x03\x03\xe0", "\x00\x0ahi\x14", "\x00\xff\x00\x00\x01", "\x00\xff\x00\x02\x80", "\x00\x03\xe0\xff\x00\xf0\x01",
	} {
		f.Add([]byte(script), true)
	}
	f.Add(bytes.Repeat([]byte{0}, 32), true)
	f.Add(bytes.Repeat([]byte{0}, 33), true)
	a := capAuthority(f)
	f.Fuzz(func(t *testing.T, b []byte, script bool) {
		if script {
			b = capScript(b)
		}
		if verified, reason := capVerdict(t, a, b); verified != capReference(b) {
			t.Errorf("%x: verified %v, refused as %q; the library says otherwise", b, verified, reason)
		}
	})
}

// FuzzIdentifier signs whatever identifier the fuzzer thinks of: of all that are signed with the key of the node, only those
// of 25 bytes with the version and the id of the key are good (CAP-IDN-001, CAP-IDN-003).
func FuzzIdentifier(f *testing.F) {
	for _, id := range [][]byte{nil, capGood, capGood[:24], append(bytes.Clone(capGood), 0), append([]byte{2}, capGood[1:]...), make([]byte, 25)} {
		f.Add(id)
	}
	a := capAuthority(f)
	f.Fuzz(func(t *testing.T, id []byte) {
		if len(id) > spec.MaxCapability/2 {
			return
		}
		m, err := macaroon.New(capRoot, id, "", macaroon.V2)
		if err != nil {
			t.Fatal(err)
		}
		if err := m.AddFirstPartyCaveat([]byte(capConditions[0])); err != nil {
			t.Fatal(err)
		}
		b, err := m.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		good := len(id) == 25 && bytes.HasPrefix(id, capGood[:9])
		tok, err := capability.ParseBinary(b)
		if err == nil && (tok.Key() != capability.KeyID(id[1:]) || tok.ID() != capability.ID(id[9:])) {
			t.Errorf("%x: read as key %v, capability %v", id, tok.Key(), tok.ID())
		}
		if verified, reason := capVerdict(t, a, b); verified != good || verified && reason != spec.None {
			t.Errorf("%x: verified %v, refused as %q", id, verified, reason)
		}
	})
}

// FuzzStartCap puts the bytes behind the header of a START, the first n of them as its capability. The codec hands out these
// and no others, what is read from them is the same as without a frame, and it does not change when the decoder uses its memory
// again (CAP-TOK-004, OAP-FRM-006).
func FuzzStartCap(f *testing.F) {
	for _, token := range capTokens(f) {
		f.Add(append(token, "payload"...), uint16(len(token)))
		f.Add(token, uint16(len(token)/2))
	}
	f.Fuzz(func(t *testing.T, data []byte, n uint16) {
		if len(data) > seedLimit {
			return
		}
		capLen := int(n) % (len(data) + 1)
		d := wire.NewDecoder(spec.MaxFrame)
		defer d.Close()
		var frame wire.Frame
		feed(t, d, wrap(spec.FlagReq|spec.FlagStart, data[:capLen], data[capLen:]), &frame)
		if !bytes.Equal(frame.Cap, data[:capLen]) || !bytes.Equal(frame.Payload, data[capLen:]) {
			t.Fatalf("capability %x and payload %x of %x, %d", frame.Cap, frame.Payload, data, capLen)
		}
		tok, err := capability.ParseBinary(frame.Cap)
		direct, errDirect := capability.ParseBinary(data[:capLen])
		if (err == nil) != (errDirect == nil) {
			t.Fatalf("%x: %v in a frame, %v alone", data[:capLen], err, errDirect)
		}
		clear(frame.Cap)
		feed(t, d, wrap(spec.FlagReq|spec.FlagStart, bytes.Repeat([]byte{0xee}, capLen), data[capLen:]), &frame)
		if !bytes.Equal(tok.Binary(), direct.Binary()) {
			t.Errorf("a token became %x", tok.Binary())
		}
	})
}

// feed decodes one frame.
func feed(t *testing.T, d *wire.Decoder, b []byte, f *wire.Frame) {
	for len(b) > 0 {
		n := copy(d.Space(), b)
		d.Filled(n)
		b = b[n:]
	}
	if v, reason := d.Next(f); v != wire.Accept {
		t.Fatalf("%s %q", v, reason)
	}
}

// capTokens are the vectors, in binary form.
func capTokens(t testing.TB) (list [][]byte) {
	text, err := os.ReadFile("../impl/capability/testdata/tokens.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct{ Tokens []struct{ Token string } }
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	for _, v := range file.Tokens {
		if b, err := base64.RawURLEncoding.DecodeString(v.Token); err == nil && len(b) <= spec.MaxCapability {
			list = append(list, b)
		}
	}
	return list
}

// TestScriptsReachEverything: the seeds make tokens that verify, with and without discharges, and tokens that do not.
func TestScriptsReachEverything(t *testing.T) {
	a := capAuthority(t)
	for script, want := range map[string]spec.Reason{
		"\x00": spec.None, "\x00\x03\xe0": spec.None, "\x00\x03\x07\xe0\xe1": spec.None, "\x00\x03\xe4\x04": spec.None, "\x00\x18": spec.Quota, "\x00\x00\xe0": spec.Unauth,
		"\x00\x03\xe4\x10": spec.Unauth, "\x00\x03": spec.Unauth, "\x00\x03\xe0\xe0": spec.Unauth, "\x00\xff\x00\x00\x01": spec.Unauth,
	} {
		if verified, reason := capVerdict(t, a, capScript([]byte(script))); reason != want || verified != capReference(capScript([]byte(script))) {
			t.Errorf("%x: verified %v, refused as %q, want %q", script, verified, reason, want)
		}
	}
}
