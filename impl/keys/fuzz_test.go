package keys

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// FuzzOpen: whatever comes, Open gives the reason malformed, by the length alone, or unauth, and never a text that was not
// sealed. The seed is fixed, so that an input means the same in every run.
func FuzzOpen(f *testing.F) {
	k := sealingKey1(f, bytes.Repeat([]byte{7}, seedLen))
	for _, text := range []string{"", "plaintext"} {
		f.Add([]byte("info"), []byte("aad"), seal(f, k, "info", "aad", text))
	}
	f.Add([]byte(nil), []byte(nil), []byte(nil))
	f.Add([]byte(nil), []byte(nil), make([]byte, SealingOverhead))
	f.Add([]byte(nil), []byte(nil), bytes.Repeat([]byte{0xff}, SealingOverhead+3))
	f.Fuzz(func(t *testing.T, info, aad, sealed []byte) {
		got, err := k.Open(info, aad, sealed)
		if err == nil { // a seed of the corpus: then it is sealed for exactly these, and nothing beside them
			if len(got) != len(sealed)-SealingOverhead {
				t.Fatalf("%d bytes out of %d", len(got), len(sealed))
			}
			if _, err := k.Open(append(info, 0), aad, sealed); err == nil {
				t.Fatal("opened with another info")
			}
			if _, err := k.Open(info, append(aad, 0), sealed); err == nil {
				t.Fatal("opened with another aad")
			}
			return
		}
		want := spec.Unauth
		if len(sealed) < SealingOverhead {
			want = spec.Malformed
		}
		if wantReason(t, "open", err, want); got != nil {
			t.Errorf("an error and %d bytes", len(got))
		}
	})
}

// FuzzVerifyStatement: nothing verifies but the one statement that was signed, and that in the one text it has, apart from
// white space.
func FuzzVerifyStatement(f *testing.F) {
	id := identity1(f, &repeat{})
	p := id.Public()
	known := map[string]bool{}
	for _, s := range []Statement{statement(), {Version: "0", PQMode: "off", Made: time.Unix(0, 0)}} {
		signed, err := s.Sign(id)
		if err != nil {
			f.Fatal(err)
		}
		known[signed.Text] = true
		for _, tail := range []string{"", " "} {
			text, err := json.Marshal(SignedStatement{signed.Text + tail, signed.Signature})
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	for _, text := range []string{"", "null", "{}", `{"text":"","signature":null}`, `{"text":"{}","signature":{"ed25519":"","ml_dsa_65":""}}`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var signed SignedStatement
		if err := json.Unmarshal(text, &signed); err != nil {
			return
		}
		s, err := VerifyStatement(p, signed)
		if err != nil {
			return
		}
		if !known[signed.Text] || s.Identity != p.ID() {
			t.Fatalf("verified %s", signed.Text)
		}
		var plain bytes.Buffer
		again, err := json.Marshal(signed)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Compact(&plain, text); err != nil || !bytes.Equal(plain.Bytes(), again) {
			t.Fatalf("verified in another text: %s", text)
		}
	})
}
