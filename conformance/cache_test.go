package conformance

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// neverCached keeps `go test` from answering "ok (cached)" for a run whose node has changed. The go command records
// which files a test opens below the module's directory and, before it trusts an old result, looks whether they are
// still the same. So the test opens its own executable, by a path that leads through the module: it lies in a work
// directory that the go command makes for this one run and removes after it, and is not the same ever again.
func neverCached(t *testing.T) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	up := strings.Repeat("../", 64) // more than enough: the parent of the root is the root
	f, err := os.Open(dir + "/" + up + exe)
	if err != nil {
		t.Fatal(err)
	}
	f.Close()
}

// TestNeverCached proves neverCached with the go command itself, on a module with this very file in it: a test without
// it is answered from the cache the second time, one with it is not.
func TestNeverCached(t *testing.T) {
	t.Parallel()
	src, err := os.ReadFile("cache_test.go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("go.mod", "module example.test/cache\n\ngo 1.26\n")
	write("cache_test.go", string(src))
	write("try_test.go", "package conformance\n\nimport \"testing\"\n\nfunc TestPlain(t *testing.T) {}\n\nfunc TestOpen(t *testing.T) { neverCached(t) }\n")
	cached := func(test string) bool {
		cmd := exec.Command("go", "test", "-run", "^"+test+"$", ".")
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return strings.Contains(string(out), "(cached)")
	}
	for _, test := range []struct {
		name string
		want bool
	}{{"TestPlain", true}, {"TestOpen", false}} {
		cached(test.name)
		if got := cached(test.name); got != test.want {
			t.Errorf("%s, second run: cached %v, want %v", test.name, got, test.want)
		}
	}
}
