package capability_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/spec"
)

// vectorFile is testdata/tokens.json. Its tokens were made by testdata/tokens.py, which shares no code with this package, and
// shown to pymacaroons by testdata/crosscheck.py.
type vectorFile struct {
	Format, Description string
	Node                struct {
		Name    string
		Amnesia bool
		Now     int64
		KeyID   string `json:"key_id"`
		RootKey string `json:"root_key"`
	}
	Tokens []vector
}

type vector struct {
	ID, Rule, Description, Token, Verdict, Reason, Twin, Differs, Pymacaroons string
	Request                                                                   struct {
		Op      spec.Op
		Path    string
		Tenant  string
		Bytes   uint64
		PeerUID *uint32 `json:"peer_uid"`
	}
}

func vectors(t testing.TB) *vectorFile {
	t.Helper()
	text, err := os.ReadFile("testdata/tokens.json")
	if err != nil {
		t.Fatal(err)
	}
	var f vectorFile
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		t.Fatal(err)
	}
	if f.Format != "cap-vectors-tokens/1" || len(f.Tokens) < 80 {
		t.Fatalf("format %q, %d tokens", f.Format, len(f.Tokens))
	}
	return &f
}

// authority is a node that has the root key of the vectors.
func (f *vectorFile) authority(t testing.TB) *rig {
	key := must(hex.DecodeString(f.Node.KeyID + f.Node.RootKey))
	r := newRig(t, func(c *capability.Config) {
		c.Name, c.Amnesia, c.Random = f.Node.Name, f.Node.Amnesia, io.MultiReader(bytes.NewReader(key), &counter{})
	})
	r.now = time.Unix(f.Node.Now, 0)
	return r
}

func (v *vector) request() capability.Request {
	r := capability.Request{Op: v.Request.Op, Path: v.Request.Path, Bytes: v.Request.Bytes}
	copy(r.Tenant[:], must(hex.DecodeString(v.Request.Tenant)))
	if v.Request.PeerUID != nil {
		r.HasPeer, r.PeerUID = true, *v.Request.PeerUID
	}
	return r
}

// TestVectors gives every token to a new node with the key of the vectors (CAP-CAV-001 to 015, CAP-HMC-001, CAP-IDN-003,
// CAP-IDN-004, CAP-TOK-001, CAP-TOK-002, CAP-TOK-005 to 011).
func TestVectors(t *testing.T) {
	f := vectors(t)
	for i := range f.Tokens {
		v := &f.Tokens[i]
		t.Run(v.ID, func(t *testing.T) {
			r := f.authority(t)
			tok, err := capability.ParseText(v.Token)
			if err == nil {
				var l *capability.Lease
				if l, err = r.Admit(r.now, tok, v.request(), nil); err == nil {
					l.Release()
				}
			}
			if v.Verdict == "accept" {
				if err != nil {
					t.Fatalf("%s: refused: %v by %s", v.Description, err, rule(err))
				}
				if tok.Text() != v.Token {
					t.Errorf("written as %s", tok.Text())
				}
				return
			}
			wantError(t, err, spec.Reason(v.Reason), v.Rule)
			if s := r.Status(); s.Leases != 0 || s.Rates != 0 {
				t.Errorf("a refusal left %+v", s)
			}
			// The binary form has the same fate, where the fault is not in the text.
			b, errText := base64.RawURLEncoding.DecodeString(v.Token)
			if errText != nil || v.Rule == "CAP-TOK-002" {
				return
			}
			binary, err := capability.ParseBinary(b)
			if err == nil {
				_, err = r.Admit(r.now, binary, v.request(), nil)
			}
			wantError(t, err, spec.Reason(v.Reason), v.Rule)
		})
	}
}

// TestVectorsAreInOrder checks the promises about the vectors: a twin for every reject, and a reject for every rule.
func TestVectorsAreInOrder(t *testing.T) {
	f := vectors(t)
	byID := map[string]*vector{}
	rejects := map[string]int{}
	for i := range f.Tokens {
		v := &f.Tokens[i]
		if byID[v.ID] != nil || v.Description == "" {
			t.Errorf("%s stands twice, or has no description", v.ID)
		}
		byID[v.ID] = v
	}
	for i := range f.Tokens {
		v := &f.Tokens[i]
		if v.Verdict == "accept" {
			if v.Pymacaroons != "makes" && v.Pymacaroons != "verifies" {
				t.Errorf("%s: accepted, and pymacaroons %q", v.ID, v.Pymacaroons)
			}
			if v.Reason != "" || v.Twin != "" {
				t.Errorf("%s: accepted, with a reason or a twin", v.ID)
			}
			continue
		}
		rejects[v.Rule]++
		twin := byID[v.Twin]
		if v.Verdict != "reject" || !spec.Reason(v.Reason).Known() || twin == nil || twin.Verdict != "accept" {
			t.Errorf("%s: verdict %q, reason %q, twin %q", v.ID, v.Verdict, v.Reason, v.Twin)
			continue
		}
		if v.Token == twin.Token && reflect.DeepEqual(v.Request, twin.Request) {
			t.Errorf("%s is its own twin %s", v.ID, v.Twin)
		}
	}
	for _, id := range []string{
		"CAP-TOK-001", "CAP-TOK-002", "CAP-TOK-005", "CAP-TOK-006", "CAP-TOK-007", "CAP-TOK-008", "CAP-TOK-010", "CAP-IDN-003", "CAP-HMC-001", "CAP-ROL-003",
		"CAP-CAV-001", "CAP-CAV-002", "CAP-CAV-004", "CAP-CAV-005", "CAP-CAV-007", "CAP-CAV-008", "CAP-CAV-009", "CAP-CAV-010",
		"CAP-CAV-011", "CAP-CAV-012", "CAP-CAV-013", "CAP-CAV-014", "CAP-CAV-015",
	} {
		if rejects[id] == 0 {
			t.Errorf("no token is refused by %s", id)
		}
	}
	t.Logf("%d tokens, refused by rule: %v", len(f.Tokens), rejects)
}

// TestErrorsSayNothing: the text of every refusal of a reason is one and the same, so that not even a careless answer or
// log line tells which check failed (CAP-DEN-001, CAP-DEN-002, CAP-DEN-004, AMN-LOG-002).
func TestErrorsSayNothing(t *testing.T) {
	f := vectors(t)
	texts := map[string]map[string]bool{}
	for i := range f.Tokens {
		v := &f.Tokens[i]
		r := f.authority(t)
		tok, err := capability.ParseText(v.Token)
		if err == nil {
			_, err = r.Admit(r.now, tok, v.request(), nil)
		}
		if err == nil {
			continue
		}
		if texts[v.Reason] == nil {
			texts[v.Reason] = map[string]bool{}
		}
		texts[v.Reason][err.Error()] = true
		if strings.Contains(err.Error(), "CAP-") || errors.Is(err, spec.Internal) {
			t.Errorf("%s: %v", v.ID, err)
		}
	}
	if len(texts) != 3 {
		t.Errorf("refused for %d reasons, want unauth, forbidden and quota", len(texts))
	}
	for reason, set := range texts {
		if len(set) != 1 {
			t.Errorf("%s has %d texts: %v", reason, len(set), set)
		}
	}
}
