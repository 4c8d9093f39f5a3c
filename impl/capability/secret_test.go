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

func authority(t *testing.T) *Authority {
	t.Helper()
	a, err := New(time.Unix(1_800_000_000, 0), Config{Name: "node-a", Amnesia: true, Random: &pattern{}})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestNothingPrintsASecret prints a token, a root key and everything that holds one in every way there is, and looks for
// their bytes (AMN-LOG-002, AMN-LOG-005, CAP-KEY-005).
func TestNothingPrintsASecret(t *testing.T) {
	a := authority(t)
	tok, err := a.Mint(a.clock, Minting{Ops: Reader.Ops()})
	if err != nil {
		t.Fatal(err)
	}
	l, err := a.Admit(a.clock, tok, Request{Op: OpGet, Path: "/o/a"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, refusal := a.Admit(a.clock, tok, Request{Op: OpPut, Path: "/put"}, nil)
	sig := tok.p.m.Signature()
	key := a.current.secret.bytes()
	forbidden := []string{tok.Text()[60:], fmt.Sprint(sig)[1:40], fmt.Sprint(key)[1:40]}
	for _, secret := range [][]byte{sig, key} {
		forbidden = append(forbidden, string(secret), hex.EncodeToString(secret), fmt.Sprintf("%X", secret),
			base64.StdEncoding.EncodeToString(secret)[:30], base64.RawURLEncoding.EncodeToString(secret)[:30], fmt.Sprintf("%#v", secret)[8:60])
	}
	type inner struct {
		T Token
		t Token
		s secret
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

// TestKeysAreOverwritten: when it is revoked, when its last capability has expired, and when the node stops; and not
// while a verification still reads it (AMN-ZER-005, CAP-KEY-002).
func TestKeysAreOverwritten(t *testing.T) {
	zero := make([]byte, rootKeyLen)
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
			if _, err := a.Tick(a.clock.Add(MaxTTL + time.Second)); err != nil {
				t.Error(err)
			}
		},
		"closed": func(a *Authority) { a.Close() },
	} {
		a := authority(t)
		tok, err := a.Mint(a.clock, Minting{Ops: Reader.Ops(), TTL: MaxTTL})
		if err != nil {
			t.Fatal(err)
		}
		k := a.current
		if bytes.Equal(k.secret.bytes(), zero) {
			t.Fatal("a key of zeros")
		}
		read := 0
		a.cfg.Yield = func(at string) {
			if at != "admit: key found" {
				return
			}
			a.cfg.Yield = nil
			drop(a)
			if read++; bytes.Equal(k.secret.bytes(), zero) {
				t.Errorf("%s: overwritten under a verification", name)
			}
		}
		if _, err := a.Admit(a.clock, tok, Request{Op: OpGet, Path: "/o/a"}, nil); !errors.Is(err, spec.Unauth) {
			t.Errorf("%s: %v", name, err)
		}
		if read != 1 || !bytes.Equal(k.secret.bytes(), zero) || k.pins != 0 {
			t.Errorf("%s: not overwritten", name)
		}

		a = authority(t)
		k = a.current
		drop(a)
		if !bytes.Equal(k.secret.bytes(), zero) {
			t.Errorf("%s: not overwritten at once", name)
		}
	}
}
