package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/impl/keys"
	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/spec"
)

func newIdentity(t *testing.T) *keys.Identity {
	t.Helper()
	v, err := secret.NewVault(4)
	if err != nil {
		t.Fatal(err)
	}
	id, err := keys.NewIdentity(v, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { id.Close(); v.Close() })
	return id
}

// auditLog makes an audit log with n records.
func auditLog(t *testing.T, id *keys.Identity, n int, why spec.Reason) *audit.Log {
	t.Helper()
	l, err := audit.New(audit.Config{Capacity: 100, Origin: "micronode/test", Signers: id.NoteSigners("micronode/test"),
		Identity: []audit.Line{{Name: "key", Value: id.Public().Text()}}})
	if err != nil {
		t.Fatal(err)
	}
	grow(t, l, n, why)
	return l
}

func grow(t *testing.T, l *audit.Log, n int, why spec.Reason) {
	t.Helper()
	for range n {
		if _, err := l.Append(audit.Record{Event: audit.Denied, Reason: why}); err != nil {
			t.Fatal(err)
		}
	}
}

// lyingNode is a node whose answers a test can change.
type lyingNode struct {
	url string
	log *audit.Log

	mu      sync.Mutex // of what is below
	version map[string]any
	proof   func(p any) any // what becomes of a proof; nil leaves it
	note    func() []byte
}

func startLiar(t *testing.T, id *keys.Identity, log *audit.Log) *lyingNode {
	t.Helper()
	signed, err := keys.Statement{Version: "v1", Features: []string{"audit"}, Amnesia: true, PQMode: "hybrid", Made: time.Now()}.Sign(id)
	if err != nil {
		t.Fatal(err)
	}
	n := &lyingNode{log: log, version: map[string]any{"version": "v1", "amnesia": true, "pq_mode": "hybrid", "identity": id.Public(), "statement": signed}}
	answer := func(w http.ResponseWriter, v any, err error) {
		if err != nil {
			http.Error(w, "no", http.StatusNotFound)
			return
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.proof != nil {
			v = n.proof(v)
		}
		json.NewEncoder(w).Encode(v)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /version", func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		json.NewEncoder(w).Encode(n.version)
	})
	mux.HandleFunc("GET /admin/audit/checkpoint", func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.note != nil {
			w.Write(n.note())
			return
		}
		b, err := n.log.Checkpoint()
		if err != nil {
			t.Error(err)
		}
		w.Write(b)
	})
	mux.HandleFunc("GET /admin/audit/inclusion/{index}/{size}", func(w http.ResponseWriter, r *http.Request) {
		var index, size uint64
		fmt.Sscan(r.PathValue("index"), &index)
		fmt.Sscan(r.PathValue("size"), &size)
		p, err := n.log.Inclusion(index, size)
		answer(w, &p, err)
	})
	mux.HandleFunc("GET /admin/audit/consistency/{old}/{new}", func(w http.ResponseWriter, r *http.Request) {
		var old, size uint64
		fmt.Sscan(r.PathValue("old"), &old)
		fmt.Sscan(r.PathValue("new"), &size)
		p, err := n.log.Consistency(old, size)
		answer(w, &p, err)
	})
	s := httptest.NewServer(mux)
	t.Cleanup(s.Close)
	n.url = s.URL
	return n
}

// lie changes what the node says.
func (n *lyingNode) lie(change func()) {
	n.mu.Lock()
	defer n.mu.Unlock()
	change()
}

// wantExit runs micronode and holds its exit code, and what it says, against what is wanted.
func wantExit(t *testing.T, code int, says string, args ...string) {
	t.Helper()
	cmd := command(args...)
	text, _ := cmd.CombinedOutput()
	if got := cmd.ProcessState.ExitCode(); got != code || !strings.Contains(string(text), says) {
		t.Errorf("%v: exit %d, want %d and %q: %s", args, got, code, says, text)
	}
}

// CAP-AUD-006, CAP-AUD-012: a proof is checked against a checkpoint that both keys signed. A node that makes one up, or
// that has two histories, is found out.
func TestProofsAreChecked(t *testing.T) {
	t.Parallel()
	id := newIdentity(t)
	n := startLiar(t, id, auditLog(t, id, 5, spec.Unauth))
	early := filepath.Join(t.TempDir(), "early")
	wantExit(t, exitOK, "", "audit", "checkpoint", "--node", n.url, "-o", early)
	grow(t, n.log, 4, spec.Unauth)
	self := id.Public().ID()
	wantExit(t, exitOK, "record 3 is in the log of "+self, "audit", "prove", "--node", n.url, "3", "--identity", self)
	wantExit(t, exitOK, "only grew: from 5 to 9", "audit", "prove", "--node", n.url, "--since", early, "--identity", self)

	n.lie(func() {
		n.proof = func(p any) any {
			switch p := p.(type) {
			case *audit.Inclusion:
				p.Leaf[7]++
			case *audit.Consistency:
				p.Proof[0][7]++
			}
			return p
		}
	})
	wantExit(t, exitTamper, "does not lead", "audit", "prove", "--node", n.url, "3", "--identity", self)
	wantExit(t, exitTamper, "two histories", "audit", "prove", "--node", n.url, "--since", early)
	n.lie(func() {
		n.proof = func(p any) any {
			switch p := p.(type) {
			case *audit.Inclusion:
				p.Proof[0][7]++
			case *audit.Consistency:
				p.Proof = p.Proof[:len(p.Proof)-1]
			}
			return p
		}
	})
	wantExit(t, exitTamper, "does not lead", "audit", "prove", "--node", n.url, "3")
	wantExit(t, exitTamper, "two histories", "audit", "prove", "--node", n.url, "--since", early)
	n.lie(func() { n.proof = nil })

	// The same node with another past: each of its proofs is right for itself.
	other := startLiar(t, id, auditLog(t, id, 3, spec.Forbidden))
	grow(t, other.log, 2, spec.Unauth)
	if _, err := other.log.Checkpoint(); err != nil { // of 5, so that there is a proof for it
		t.Fatal(err)
	}
	grow(t, other.log, 4, spec.Unauth)
	wantExit(t, exitTamper, "two histories", "audit", "prove", "--node", other.url, "--since", early)

	// A checkpoint with one of the two signatures is none (CAP-KEY-006).
	whole, err := n.log.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.SplitAfter(string(whole), "\n")
	for _, drop := range []int{len(lines) - 2, len(lines) - 3} {
		n.lie(func() {
			n.note = func() []byte { return []byte(strings.Join(lines[:drop], "") + strings.Join(lines[drop+1:], "")) }
		})
		wantExit(t, exitTamper, "does not verify", "audit", "checkpoint", "--node", n.url)
		wantExit(t, exitTamper, "does not verify", "audit", "prove", "--node", n.url, "3")
	}
}

// CAP-KEY-006, CAP-KEY-009: the statement counts only with both signatures, of the identity that was asked for, and where
// /version says the same.
func TestVersionVerify(t *testing.T) {
	t.Parallel()
	id, other := newIdentity(t), newIdentity(t)
	n := startLiar(t, id, auditLog(t, id, 1, spec.Unauth))
	self := id.Public().ID()
	verify := []string{"version", "--verify", "--node", n.url, "--identity", self}
	wantExit(t, exitOK, "identity "+self, verify...)
	honest := n.version
	signed := honest["statement"].(keys.SignedStatement)
	foreign, err := keys.Statement{Version: "v1", Features: []string{"audit"}, Amnesia: true, PQMode: "hybrid", Made: time.Now()}.Sign(other)
	if err != nil {
		t.Fatal(err)
	}
	both := map[string]any{"identity": other.Public(), "statement": foreign}
	change := func(text string) any { return keys.SignedStatement{Text: text, Signature: signed.Signature} }
	for name, members := range map[string]map[string]any{
		"another version in the clear":  {"version": "v2"},
		"another amnesia in the clear":  {"amnesia": false},
		"another pq_mode in the clear":  {"pq_mode": "required"},
		"a changed statement":           {"statement": change(strings.Replace(signed.Text, `"amnesia":true`, `"amnesia":false`, 1))},
		"white space in the statement":  {"statement": change(strings.Replace(signed.Text, `,"`, `, "`, 1))},
		"the statement of another node": {"statement": foreign},
		"another node altogether":       both,
		"half of a signature": {"statement": keys.SignedStatement{Text: signed.Text,
			Signature: keys.Signature{Ed25519: signed.Signature.Ed25519, MLDSA65: foreign.Signature.MLDSA65}}},
		"the other half": {"statement": keys.SignedStatement{Text: signed.Text,
			Signature: keys.Signature{Ed25519: foreign.Signature.Ed25519, MLDSA65: signed.Signature.MLDSA65}}},
		"an id that is not that of its keys": {"identity": map[string]any{"id": other.Public().ID(), "ed25519": id.Public().Ed25519, "ml_dsa_65": id.Public().MLDSA65}},
	} {
		changed := maps.Clone(honest)
		maps.Copy(changed, members)
		n.lie(func() { n.version = changed })
		t.Log(name)
		wantExit(t, exitTamper, "micronode: version: ", verify...)
	}
	n.lie(func() { n.version = map[string]any{"version": "v1", "identity": "nobody"} })
	wantExit(t, exitFailed, "can not be read", verify...)
}

// CAP-AUD-012: an export that is right for itself is held against what the node said before.
func TestVerifyFindsForks(t *testing.T) {
	t.Parallel()
	id := newIdentity(t)
	dir := t.TempDir()
	export := func(name string, l *audit.Log) string {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := l.Export(f); err != nil {
			t.Fatal(err)
		}
		return f.Name()
	}
	mine, other := auditLog(t, id, 5, spec.Unauth), auditLog(t, id, 4, spec.Forbidden)
	note, err := mine.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	early := filepath.Join(dir, "early")
	if err := os.WriteFile(early, note, 0o600); err != nil {
		t.Fatal(err)
	}
	grow(t, mine, 3, spec.Unauth)
	grow(t, other, 4, spec.Unauth)
	self := id.Public().ID()
	wantExit(t, exitOK, "fits: 8 records", "audit", "verify", export("mine", mine), "--checkpoint", early, "--identity", self)
	wantExit(t, exitOK, "fits: 8 records", "audit", "verify", export("other", other), "--identity", self)
	wantExit(t, exitTamper, "fork", "audit", "verify", export("other", other), "--checkpoint", early, "--identity", self)
	// Of a checkpoint from before the first record nothing can be said here: that is no tampering, and no success.
	grow(t, mine, 200, spec.Unauth)
	wantExit(t, exitFailed, "audit prove --since", "audit", "verify", export("mine", mine), "--checkpoint", early, "--identity", self)
}
