package capability

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/spec"
)

// pattern is randomness in which a test can find each key and id again.
type pattern struct{ n byte }

func (p *pattern) Read(b []byte) (int, error) {
	p.n++
	for i := range b {
		b[i] = p.n
	}
	return len(b), nil
}

func vault(t *testing.T) *secret.Vault {
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

func authority(t *testing.T) *Authority {
	t.Helper()
	a, err := New(time.Unix(1_800_000_000, 0), Config{Name: "node-a", Amnesia: true, Random: &pattern{}, Vault: vault(t)})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestNothingPrintsASecret prints a token, a root key and everything that holds one in every way there is, and looks for
// their bytes (AMN-LOG-002, AMN-LOG-005, CAP-KEY-005).
func TestNothingPrintsASecret(t *testing.T) {
	a := authority(t)
	tok, err := a.Mint(a.clock, Minting{Ops: spec.Reader.Ops()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := a.Admit(a.clock, tok, Request{Op: spec.OpGet, Path: "/o/a"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, refusal := a.Admit(a.clock, tok, Request{Op: spec.OpPut, Path: "/put"}, nil)
	sig := tok.p.in.m.sig
	key := a.current.secret.Bytes()[:rootKeyLen]
	forbidden := []string{tok.Text()[60:], fmt.Sprint(sig)[1:40], fmt.Sprint(key)[1:40]}
	for _, secret := range [][]byte{sig, key, a.current.secret.Bytes()[rootKeyLen:]} {
		forbidden = append(forbidden, string(secret), hex.EncodeToString(secret), fmt.Sprintf("%X", secret),
			base64.StdEncoding.EncodeToString(secret)[:30], base64.RawURLEncoding.EncodeToString(secret)[:30], fmt.Sprintf("%#v", secret)[8:60])
	}
	type inner struct {
		T Token
		t Token
		s *secret.Bytes
		k *key2
	}
	holder := inner{tok, tok, a.current.secret, &key2{a.current}}
	var out strings.Builder
	things := map[string]any{
		"token": tok, "*token": &tok, "secret": a.current.secret, "key": *a.current, "*key": a.current, "authority": a, "lease": l,
		"holder": holder, "*holder": &holder, "list": []Token{tok}, "map": map[string]Token{"t": tok}, "error": refusal,
		"joined": errors.Join(refusal, fmt.Errorf("token %v", tok)), "status": a.Status(), "grant": l.Grant,
	}
	for name, thing := range things {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T"} {
			fmt.Fprintf(&out, name+" "+verb+"\n", thing)
		}
		if text, err := json.Marshal(thing); err == nil {
			out.Write(text)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", name, thing)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", name, thing)
	}
	for _, f := range forbidden {
		if i := strings.Index(out.String(), f); i >= 0 {
			t.Errorf("%q was printed: …%s", f, out.String()[max(0, i-100):i+len(f)])
		}
	}
	for _, direct := range []string{fmt.Sprint(tok), fmt.Sprintf("%x", tok), tok.String(), fmt.Sprintf("%#v", a.current.secret), fmt.Sprintf("%d", a.current.secret)} {
		if direct != "[redacted]" {
			t.Errorf("printed as %q", direct)
		}
	}
	if text, err := json.Marshal([]any{tok, a.current.secret}); err != nil || string(text) != `["[redacted]","[redacted]"]` {
		t.Errorf("JSON %s, %v", text, err)
	}
	if n := strings.Count(out.String(), "[redacted]"); n < 20 {
		t.Errorf("[redacted] was printed %d times", n)
	}
}

// key2 hides a key behind a pointer in an unexported field.
type key2 struct{ k *key }

// TestKeysAreOverwritten: when it is revoked, when its last capability has expired, and when the node stops; and a
// verification that comes later finds nothing (AMN-ZER-005, AMN-ZER-006, CAP-KEY-002, CAP-KEY-003,
// CAP-KEY-010).
func TestKeysAreOverwritten(t *testing.T) {
	for name, drop := range map[string]func(a *Authority){
		"revoked": func(a *Authority) {
			if _, found := a.RevokeKey(a.clock, a.current.id); !found {
				t.Error("no such key")
			}
		},
		"expired": func(a *Authority) {
			if _, err := a.Rotate(a.clock); err != nil {
				t.Error(err)
			}
			if _, err := a.Tick(a.clock.Add(spec.MaxCapabilityTTL + time.Second)); err != nil {
				t.Error(err)
			}
		},
		"closed": func(a *Authority) { a.Close() },
	} {
		a := authority(t)
		tok, err := a.Mint(a.clock, Minting{Ops: spec.Reader.Ops(), TTL: spec.MaxCapabilityTTL})
		if err != nil {
			t.Fatal(err)
		}
		k := a.current
		memory := k.secret.Bytes()
		if len(memory) != slotLen || bytes.Equal(memory, make([]byte, slotLen)) {
			t.Fatal("a key of zeros")
		}
		there := 0
		a.cfg.Yield = func(at string) {
			if at == "admit: key found" {
				a.cfg.Yield = nil
				drop(a)
				there++
				if k.secret.Bytes() != nil {
					t.Errorf("%s: not overwritten", name)
				}
			}
		}
		if _, err := a.Admit(a.clock, tok, Request{Op: spec.OpGet, Path: "/o/a"}, nil); !errors.Is(err, spec.Unauth) || there != 1 {
			t.Errorf("%s: %v", name, err)
		}
		if bytes.Contains(memory, bytes.Repeat([]byte{2}, 8)) { // the slot may hold the next key by now, but not this one
			t.Errorf("%s: the old key is still there", name)
		}
		if n := a.cfg.Vault.Stats().InUse; n != len(a.keys) {
			t.Errorf("%s: %d secrets for %d keys", name, n, len(a.keys))
		}
	}
}

// TestTokensAreOverwritten: after Wipe the bytes are gone, for every copy of the token, and it is a missing one (AMN-ZER-005,
// CAP-ROL-003).
func TestTokensAreOverwritten(t *testing.T) {
	a := authority(t)
	tok, err := a.Mint(a.clock, Minting{Ops: spec.Reader.Ops()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := a.Admit(a.clock, tok, Request{Op: spec.OpGet, Path: "/o/a"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b, again, id, key := tok.p.in.b, tok, tok.ID(), tok.Key()
	tok.Wipe()
	again.Wipe()
	Token{}.Wipe()
	if !bytes.Equal(b, make([]byte, len(b))) {
		t.Errorf("%x is left", b)
	}
	if tok.Text() != "" || tok.Binary() != nil || tok.Caveats() != nil || tok.ID() != id || tok.Key() != key {
		t.Errorf("%q, %x, %q, %v, %v are left", tok.Text(), tok.Binary(), tok.Caveats(), tok.ID(), tok.Key())
	}
	if _, err := a.Admit(a.clock, again, Request{Op: spec.OpGet, Path: "/o/a"}, nil); !errors.Is(err, spec.Unauth) {
		t.Errorf("admitted after Wipe: %v", err)
	}
	if _, err := again.Attenuate(); !errors.Is(err, spec.Malformed) {
		t.Errorf("attenuated after Wipe: %v", err)
	}
	// Nobody can say any more what the capability would hand on, so it hands on nothing (CAP-ISS-002).
	if list, err := l.Inherited(); !errors.Is(err, spec.Internal) || list != nil {
		t.Errorf("inherited after Wipe: %v, %v", list, err)
	}
	if _, err := a.Mint(a.clock, Minting{Ops: spec.Reader.Ops(), From: l}); !errors.Is(err, spec.Internal) {
		t.Errorf("minted after Wipe: %v", err)
	}
	l.Release()
}

// TestRefusedTokensAreOverwritten: what was read and can not be a token does not stay in memory (AMN-ZER-005).
func TestRefusedTokensAreOverwritten(t *testing.T) {
	a := authority(t)
	tok, err := a.Mint(a.clock, Minting{Ops: spec.Reader.Ops()})
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{
		"a byte behind": append(tok.Binary(), 0), "cut": tok.Binary()[:100], "twice": append(tok.Binary(), tok.Binary()...), "long": append(tok.Binary(), make([]byte, 4000)...),
	} {
		if _, err := parse(b); !errors.Is(err, spec.Unauth) || !bytes.Equal(b, make([]byte, len(b))) {
			t.Errorf("%s: %v, and %d bytes are left", name, err, len(bytes.Trim(b, "\x00")))
		}
	}
}
