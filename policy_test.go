package micronode_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/rustyonions/micronode"

// policy says what the non-test code of each package may import besides the standard library: packages of this
// module by their folder, others by their import path or a prefix of it. A package that is not listed may not exist.
// The arrows are spec -> model -> conformance, and spec -> impl/* -> impl/server -> cmd.
var policy = map[string][]string{
	".":            {},
	"spec":         {},
	"spec/vectors": {"spec"},

	"model/explore":    {"spec"},
	"model/session":    {"spec", "model/explore"},
	"model/cas":        {"spec", "model/explore"},
	"model/amnesia":    {"spec", "model/explore"},
	"model/readiness":  {"spec", "model/explore"},
	"model/capability": {"spec", "model/explore"},
	"model/refwire":    {"spec", "github.com/go-json-experiment/json", "github.com/klauspost/compress"},
	"model/refcap":     {"spec", "golang.org/x/crypto"},

	"impl/wire":        {"spec", "github.com/go-json-experiment/json", "github.com/klauspost/compress"},
	"impl/session":     {"spec", "impl/wire"}, // wire is the leaf that owns the frame type
	"impl/gate":        {"spec"},
	"impl/store/blake": {"lukechampine.com/blake3"},
	"impl/store":       {"spec", "impl/store/blake", "golang.org/x/sys"},
	"impl/config":      {"spec", "github.com/pelletier/go-toml/v2"},
	"impl/client": {"spec", "impl/wire", "impl/secret", "golang.org/x/sys", "lukechampine.com/blake3", "github.com/go-json-experiment/json",
		"golang.org/x/time", "golang.org/x/sync"},
	"impl/secret":     {"golang.org/x/sys"}, // the leaf that owns guarded memory and redaction
	"impl/keys":       {"spec", "impl/secret", "github.com/cloudflare/circl", "golang.org/x/mod"},
	"impl/capability": {"spec", "impl/secret", "gopkg.in/macaroon.v2"},
	"impl/channel":    {"spec", "golang.org/x/sys"},
	"impl/audit":      {"spec", "golang.org/x/mod"},
	"impl/server": {"spec", "impl/wire", "impl/session", "impl/gate", "impl/store", "impl/secret", "impl/keys", "impl/capability",
		"impl/channel", "impl/audit", "github.com/prometheus/client_golang", "github.com/go-json-experiment/json", "golang.org/x/sync"},

	"conformance": {"spec", "spec/vectors", "model/refwire", "model/refcap", "github.com/cloudflare/circl", "lukechampine.com/blake3", "github.com/klauspost/compress",
		"github.com/go-json-experiment/json", "golang.org/x/time"},

	"tla": {"model/explore", "model/session", "model/cas", "model/amnesia", "model/readiness", "model/capability",
		"github.com/klauspost/compress"},
	"tla/check": {"tla"},

	"chaos/schedule": {},
	"chaos/linear":   {"spec", "model/explore", "model/cas", "github.com/anishathalye/porcupine"},
	"chaos/evidence": {},

	"conformance/tour": {"spec", "conformance", "model/explore", "model/refwire", "model/refcap", "model/session", "model/cas", "model/readiness",
		"model/amnesia", "model/capability", "golang.org/x/sync", "lukechampine.com/blake3"},

	"fuzz":          {},
	"fuzz/campaign": {},
	"cmd/evidence":  {"chaos/evidence"},
	"cmd/mutants":   {"spec", "conformance"},
	"cmd/micronode": {"spec", "impl/config", "impl/client", "impl/server", "impl/wire", "impl/secret", "impl/capability", "impl/keys",
		"impl/audit", "golang.org/x/mod", "github.com/alecthomas/kong", "github.com/go-json-experiment/json", "golang.org/x/sys"},
}

// imports reads the import paths of every Go file of the module, in-process: asking the go command would let a
// cached test result hide a new import. Test files come under the folder name followed by "_test".
func imports(t *testing.T) map[string]map[string][]string { // package -> import path -> files
	t.Helper()
	found := map[string]map[string][]string{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if name := d.Name(); file != "." && (name == "testdata" || strings.HasPrefix(name, ".")) {
				return filepath.SkipDir
			}
			return nil
		}
		if path.Ext(file) != ".go" {
			return nil
		}
		src, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, src, parser.ImportsOnly)
		if err != nil {
			return err
		}
		pkg := filepath.ToSlash(filepath.Dir(file))
		if strings.HasSuffix(file, "_test.go") {
			pkg += "_test"
		}
		if found[pkg] == nil {
			found[pkg] = map[string][]string{}
		}
		for _, spec := range f.Imports {
			p, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			found[pkg][p] = append(found[pkg][p], file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// allowed says whether an import path is covered by the list.
func allowed(imported string, list []string) bool {
	if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") {
		return true // standard library
	}
	if own, ok := strings.CutPrefix(imported, module+"/"); ok {
		return slices.Contains(list, own)
	}
	return slices.ContainsFunc(list, func(p string) bool {
		return strings.Contains(p, ".") && (imported == p || strings.HasPrefix(imported, p+"/"))
	})
}

func TestImportPolicy(t *testing.T) {
	found := imports(t)
	for pkg, list := range found {
		rules, listed := policy[pkg]
		if strings.HasSuffix(pkg, "_test") {
			continue
		}
		if !listed {
			t.Errorf("package %s has no row in the import policy", pkg)
		}
		for imported, files := range list {
			if !allowed(imported, rules) {
				t.Errorf("%s may not import %s (%s)", pkg, imported, files[0])
			}
		}
	}
	for pkg := range policy {
		if found[pkg] == nil {
			t.Errorf("the import policy has a row for %s, which has no Go files", pkg)
		}
	}
	// Tests may import both sides, with one exception: what is to be tested as a stranger.
	for imported, files := range found["conformance_test"] {
		if strings.HasPrefix(imported, module+"/impl") {
			t.Errorf("conformance reaches a node by process and socket only, and %s imports %s", files[0], imported)
		}
	}
}

func TestImportPolicyCanFail(t *testing.T) {
	for imported, want := range map[string]bool{
		"fmt":                    true,
		"net/http":               true,
		module + "/spec":         true,
		module + "/impl/wire":    false,
		"golang.org/x/sys/unix":  true,
		"golang.org/x/system":    false,
		"github.com/some/thing":  false,
		module + "/spec/vectors": false,
		"golang.org/x/time/rate": false,
		"golang.org/x/sys":       true,
	} {
		if got := allowed(imported, []string{"spec", "golang.org/x/sys"}); got != want {
			t.Errorf("allowed(%q) = %v, want %v", imported, got, want)
		}
	}
}
