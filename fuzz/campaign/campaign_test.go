package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want output
	}{
		"clean": {`fuzz: elapsed: 0s, gathering baseline coverage: 0/5 completed
fuzz: elapsed: 0s, gathering baseline coverage: 5/5 completed, now fuzzing with 2 workers
fuzz: elapsed: 3s, execs: 105689 (35221/sec), new interesting: 232 (total: 278)
fuzz: elapsed: 6s, execs: 234187 (42834/sec), new interesting: 282 (total: 328)
PASS
`, output{Execs: 234187, Interesting: 282, Corpus: 328}},
		"failing input": {`fuzz: elapsed: 0s, gathering baseline coverage: 0/1 completed
fuzz: elapsed: 2s, execs: 77 (35/sec), new interesting: 1 (total: 2)
--- FAIL: FuzzFails (0.06s)
    --- FAIL: FuzzFails (0.00s)
        f_test.go:9: no
    
    Failing input written to testdata/fuzz/FuzzFails/8b9d52a57dfa1c4e
    To re-run:
    go test -run=FuzzFails/8b9d52a57dfa1c4e
FAIL
`, output{Execs: 77, Interesting: 1, Corpus: 2, Inputs: []string{"testdata/fuzz/FuzzFails/8b9d52a57dfa1c4e"}}},
		"failing seed": {`fuzz: elapsed: 0s, gathering baseline coverage: 0/2 completed
failure while testing seed corpus entry: FuzzSeed/seed#0
fuzz: elapsed: 0s, gathering baseline coverage: 0/2 completed
--- FAIL: FuzzSeed (0.02s)
`, output{Seeds: []string{"FuzzSeed/seed#0"}}},
		"false alarm": {`fuzz: elapsed: 10s, execs: 437380 (42246/sec), new interesting: 276 (total: 291)
--- FAIL: FuzzAck (10.06s)
    context deadline exceeded
FAIL
`, output{Execs: 437380, Interesting: 276, Corpus: 291, Deadline: true}},
		"without instrumentation": {`warning: the test binary was not built with coverage instrumentation, so fuzzing will run without coverage guidance and may be inefficient
fuzz: elapsed: 1s, execs: 12 (12/sec)
PASS
`, output{Execs: 12, Plain: true}},
		"nothing":     {"PASS\n", output{}},
		"look-alikes": {"        x_test.go:1: fuzz: elapsed: 1s, execs: 9 (9/sec)\n    context deadline exceeded: reading\n", output{}},
	} {
		if diff := cmp.Diff(c.want, parse(c.text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// module writes a module of these files into a temporary folder.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	files["go.mod"] = "module planted.test/planted\n\ngo 1.26\n"
	for name, text := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	// The module needs nothing from anywhere, whatever the tests themselves are run with.
	t.Setenv("GOFLAGS", "-mod=mod")
	t.Setenv("GOWORK", "off")
	t.Setenv("GOPROXY", "off")
	return root
}

func fuzzFile(pkg, name, body string) string {
	return "package " + pkg + "\n\nimport \"testing\"\n\nfunc " + name + "(f *testing.F) {\n" + body + "\n}\n"
}

const (
	passes   = "\tf.Fuzz(func(t *testing.T, p []byte) { _ = len(p) })"
	failsSee = "\tf.Add([]byte(\"ab\"))\n\tf.Fuzz(func(t *testing.T, p []byte) {\n\t\tif len(p) > 2 && p[0] != 'a' {\n\t\t\tt.Fatal(\"planted\")\n\t\t}\n\t})"
	badSeed  = "\tf.Add([]byte(\"ab\"))\n\tf.Fuzz(func(t *testing.T, p []byte) {\n\t\tif string(p) == \"ab\" {\n\t\t\tt.Fatal(\"planted\")\n\t\t}\n\t})"
	skips    = "\tf.Skip(\"never\")\n" + passes
)

func TestDiscover(t *testing.T) {
	root := module(t, map[string]string{
		"a_test.go":             fuzzFile("a", "FuzzRoot", passes),
		"b/b_test.go":           fuzzFile("b", "Fuzz", passes) + "\nfunc FuzzTwo(g *testing.F) {}\nfunc Fuzzy(f *testing.F) {}\nfunc FuzzT(t *testing.T) {}\nfunc Fuzz_() {}\ntype T struct{}\nfunc (T) FuzzMethod(f *testing.F) {}\n",
		"b/b.go":                fuzzFile("b", "FuzzNoTest", passes),
		"b/other_test.go":       "//go:build neverset\n\n" + fuzzFile("b", "FuzzOtherBuild", passes),
		"b/testdata/x_test.go":  fuzzFile("x", "FuzzData", passes),
		".hidden/x_test.go":     fuzzFile("x", "FuzzHidden", passes),
		"_under/x_test.go":      fuzzFile("x", "FuzzUnder", passes),
		"nested/go.mod":         "module nested.test\n",
		"nested/n_test.go":      fuzzFile("n", "FuzzNested", passes),
		"c/d/external_test.go":  fuzzFile("d_test", "FuzzDeep", passes),
		"c/d/not_a_test.go.txt": "nothing",
	})
	got, err := discover(root)
	if err != nil {
		t.Fatal(err)
	}
	want := []target{{".", "FuzzRoot"}, {"b", "Fuzz"}, {"b", "FuzzTwo"}, {"c/d", "FuzzDeep"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if root, err := moduleRoot(filepath.Join(root, "c", "d")); err != nil || filepath.Base(root) == "d" {
		t.Errorf("root of the module from below: %s, %v", root, err)
	}
}

// TestDiscoverHere holds discovery to this module: the targets of the folder above are there.
func TestDiscoverHere(t *testing.T) {
	root, err := moduleRoot(".")
	if err != nil {
		t.Fatal(err)
	}
	got, err := discover(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"FuzzWireDifferential", "FuzzCompression", "FuzzRequest"} {
		if !slices.Contains(got, target{"fuzz", name}) {
			t.Errorf("%s is missing in %v", name, got)
		}
	}
}

// campaignJSON runs a campaign with -json and reads the line it ends with.
func campaignJSON(t *testing.T, args ...string) (status int, rep report, progress string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = run(context.Background(), append([]string{"-json", "-budget", "1ms", "-minimum", "3000"}, args...), &stdout, &stderr)
	if strings.Count(stdout.String(), "\n") != 1 {
		t.Fatalf("status %d, not one line on stdout:\n%s\nstderr:\n%s", status, &stdout, &stderr)
	}
	if err := json.Unmarshal(stdout.Bytes(), &rep); err != nil {
		t.Fatal(err)
	}
	return status, rep, stderr.String()
}

func TestFindsPlantedFailures(t *testing.T) {
	root := module(t, map[string]string{
		"good/good_test.go": fuzzFile("good", "FuzzGood", passes),
		"bad/bad_test.go":   fuzzFile("bad", "FuzzBad", failsSee),
		"seed/seed_test.go": fuzzFile("seed", "FuzzSeed", badSeed),
	})
	artefacts := t.TempDir()
	status, rep, progress := campaignJSON(t, "-C", root, "-artefacts", artefacts)
	if status != 1 || rep.Verdict != "failing" || rep.Failing != 2 || len(rep.Targets) != 3 {
		t.Fatalf("status %d, %+v\n%s", status, rep, progress)
	}
	bad, good, seed := rep.Targets[0], rep.Targets[1], rep.Targets[2]
	if len(good.Failing) != 0 || good.Error != "" || good.Executions < 3000 || rep.Executions < good.Executions {
		t.Errorf("the good target: %+v", good)
	}
	if len(seed.Failing) != 1 || !strings.Contains(seed.Failing[0], "FuzzSeed/") {
		t.Errorf("the target with a failing seed: %+v", seed)
	}
	if len(bad.Failing) != 1 {
		t.Fatalf("the failing target: %+v\n%s", bad, progress)
	}
	kept, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(bad.Failing[0])))
	if err != nil || !strings.HasPrefix(string(kept), "go test fuzz v1\n") {
		t.Errorf("failing input %s: %q, %v", bad.Failing[0], kept, err)
	}
	copied, err := os.ReadFile(filepath.Join(artefacts, "bad", "FuzzBad", filepath.Base(bad.Failing[0])))
	if err != nil || !bytes.Equal(kept, copied) {
		t.Errorf("its copy: %q, %v", copied, err)
	}
	for _, name := range []string{"bad/FuzzBad", "seed/FuzzSeed"} {
		text, err := os.ReadFile(filepath.Join(artefacts, filepath.FromSlash(name), "output.txt"))
		if err != nil || !strings.Contains(string(text), "planted") {
			t.Errorf("output of %s: %q, %v", name, text, err)
		}
	}
}

func TestReportsWhatDidNotRun(t *testing.T) {
	root := module(t, map[string]string{
		"good/good_test.go":     fuzzFile("good", "FuzzGood", passes),
		"skips/skips_test.go":   fuzzFile("skips", "FuzzSkips", skips),
		"broken/broken_test.go": fuzzFile("broken", "FuzzBroken", "\tundefined()"),
	})
	status, rep, progress := campaignJSON(t, "-C", root)
	if status != 2 || rep.Verdict != "incomplete" {
		t.Fatalf("status %d, %+v\n%s", status, rep, progress)
	}
	for _, res := range rep.Targets {
		if bad := res.Target != "FuzzGood"; bad != (res.Error != "") || bad != (res.Executions == 0) {
			t.Errorf("%+v", res)
		}
	}
	if status, rep, _ := campaignJSON(t, "-C", root, "-only", "FuzzGood"); status != 0 || rep.Verdict != "clean" || len(rep.Targets) != 1 {
		t.Errorf("the good target alone: status %d, %+v", status, rep)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{"-budget", "soon"}, {"-minimum", "0"}, {"-only", "("}, {"extra"}, {"-C", "/"}, {"-only", "no such target"},
	} {
		var stdout, stderr bytes.Buffer
		if status := run(context.Background(), args, &stdout, &stderr); status != 2 || stdout.Len() > 0 || stderr.Len() == 0 {
			t.Errorf("%q: status %d, stdout %q, stderr %q", args, status, &stdout, &stderr)
		}
	}
}

// TestMissingEvidence is the rule that a target which executed nothing is no success, even without an error.
func TestMissingEvidence(t *testing.T) {
	rep := report{Targets: []*result{{Executions: 5}, {}}}
	rep.sum(0)
	if rep.Verdict != "incomplete" || rep.exitStatus() != 2 {
		t.Errorf("%q, status %d", rep.Verdict, rep.exitStatus())
	}
}
