package main

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A node that delivers other bytes than the address promises: nothing of them stays under the name that was asked
// for, what was there before is untouched, and the exit code tells.
func TestGetKeepsNothingUnverified(t *testing.T) {
	t.Parallel()
	lies := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "3")
		io.WriteString(w, "abd")
	}))
	defer lies.Close()
	dir := t.TempDir()
	old := filepath.Join(dir, "old")
	if err := os.WriteFile(old, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	manifest := filepath.Join(dir, "m")
	lines := fmt.Sprintf("{\"format\":%q}\n{\"path\":\"x\",\"type\":\"file\",\"mode\":\"0644\",\"size\":3,\"address\":%q}\n{\"type\":\"end\",\"entries\":1,\"bytes\":3,\"failed\":0}\n", manifestFormat, abc)
	if err := os.WriteFile(manifest, []byte(lines), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"get", abc, "-o", filepath.Join(dir, "new")},
		{"get", abc, "-o", old},
		{"get", "-r", manifest, "-o", filepath.Join(dir, "tree")},
		{"get", abc},
	} {
		cmd := command(append(args, "--node", lies.URL)...)
		out, err := cmd.CombinedOutput()
		if err == nil || cmd.ProcessState.ExitCode() != exitFailed || !strings.Contains(string(out), "integrity") {
			t.Errorf("%v: %v: %s", args, err, out)
		}
	}
	if b, err := os.ReadFile(old); string(b) != "precious" {
		t.Errorf("the old file has %q, %v", b, err)
	}
	var found []string
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			found = append(found, d.Name())
		}
		return err
	})
	if strings.Join(found, " ") != "m old" {
		t.Errorf("left behind: %q", found)
	}
}

// A node that is busy is left alone for as long as it asks, and then gets everything.
func TestPutWaitsAsTold(t *testing.T) {
	t.Parallel()
	busy := true
	node := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if busy {
			busy = false
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		b, _ := io.ReadAll(r.Body)
		if string(b) != "abc" {
			t.Errorf("the second request has the body %q", b)
		}
		w.WriteHeader(http.StatusCreated)
		fmt.Fprintf(w, `{"address":%q}`, abc)
	}))
	defer node.Close()
	file := filepath.Join(t.TempDir(), "abc")
	if err := os.WriteFile(file, []byte("abc"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := command("put", "--node", node.URL, file).Output()
	if err != nil || string(out) != abc+"  "+file+"\n" {
		t.Errorf("%q, %v", out, err)
	}
}
