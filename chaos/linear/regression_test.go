package linear_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/chaos/linear"
	"github.com/rustyonions/micronode/spec"
)

// rounds is how often a regression test carries out what it remembers: a race does not show every time.
const rounds = 100

// between, if not nil, comes between the clients of a regression test and the store. It is for the test of regression
// itself, and set by nobody else.
var between func() func(linear.Client) linear.Client

// regression is what generated tests call. The core has to be illegal to the checker still, and carrying out what
// happened around it has to give legal answers now.
func regression(t *testing.T, core, around string) {
	t.Helper()
	h, err := linear.Parse(strings.NewReader(core))
	if err != nil {
		t.Fatal(err)
	}
	if r, err := linear.Check(h, limit); err != nil || r.Verdict != linear.Illegal {
		t.Errorf("the core is %s now, %v", r.Verdict, err)
	}
	if h, err = linear.Parse(strings.NewReader(around)); err != nil {
		t.Fatal(err)
	}
	for range rounds {
		wrap := func(c linear.Client) linear.Client { return c }
		if between != nil {
			wrap = between()
		}
		if again := replay(t, h, wrap); t.Failed() {
			return
		} else if r, err := linear.Check(again, limit); err != nil || r.Verdict != linear.Legal {
			t.Errorf("carried out again: %s, %v", r.Verdict, err)
			explain(t, again)
			return
		}
	}
}

// replay carries out a history on what it is about.
func replay(t *testing.T, h linear.History, wrap func(linear.Client) linear.Client) linear.History {
	t.Helper()
	p := linear.Plan{Objects: h.Objects}
	payloads := p.Name(digest)
	var connect func(surface string) linear.Client
	switch h.Subject {
	case "store":
		s := newStoreSubject(t)
		defer s.s.Close()
		connect = func(string) linear.Client { return s.client() }
	case "node":
		n := startNode(t)
		defer n.stop()
		connect = n.client
	default:
		t.Fatalf("nobody knows how to replay a history of %q", h.Subject)
	}
	again, err := linear.Replay(h, payloads, func(surface string) linear.Client { return wrap(connect(surface)) })
	if err != nil {
		t.Fatal(err)
	}
	return again
}

// illegalHistory runs the store with a planted bug until the answers are illegal.
func illegalHistory(t *testing.T, do bugFunc) linear.History {
	t.Helper()
	c := newCampaign("store", bugShape, 50)
	c.run = func(p linear.Plan, payloads [][]byte) linear.History { return runOnStore(t, p, payloads, planting(do)) }
	for i := range c.count {
		if h, r := c.next(t, i); r.Verdict == linear.Illegal {
			return h
		}
	}
	t.Fatal("the planted bug was not caught")
	return linear.History{}
}

// TestFilesOfACore looks at everything that a failure leaves.
func TestFilesOfACore(t *testing.T) {
	h := illegalHistory(t, bugs[0].do)
	core := shrink(t, h)
	files, err := core.Save(filepath.Join(t.TempDir(), "new", "folder"), h, limit)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 5 {
		t.Errorf("%d files: %v", len(files), files)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case strings.HasSuffix(f, ".json"):
			back, err := linear.Parse(bytes.NewReader(text))
			if err != nil {
				t.Fatal(err)
			}
			if r, err := linear.Check(back, limit); err != nil || r.Verdict != linear.Illegal {
				t.Errorf("%s is %s, %v", f, r.Verdict, err)
			}
			if want := map[bool]linear.History{true: core.History, false: h}[strings.HasSuffix(f, "_core.json")]; !reflect.DeepEqual(back, want) {
				t.Errorf("%s is not what was written", f)
			}
		case strings.HasSuffix(f, ".html"):
			if !bytes.Contains(text, []byte("<svg")) && !bytes.Contains(text, []byte("PartialLinearizations")) {
				t.Errorf("%s shows nothing", f)
			}
			for _, o := range core.History.Ops {
				if o.Answer != linear.Forgotten && !bytes.Contains(text, []byte(o.Answer)) {
					t.Errorf("%s does not show %s", f, o)
				}
			}
			for _, outside := range []string{"http://", "https://"} {
				if bytes.Contains(bytes.ReplaceAll(text, []byte("http://www.w3.org/"), nil), []byte(`src="`+outside)) {
					t.Errorf("%s loads something from elsewhere", f)
				}
			}
		case strings.HasSuffix(f, "_test.go"):
			if _, err := parser.ParseFile(token.NewFileSet(), f, text, parser.AllErrors); err != nil {
				t.Error(err)
			}
			if tidy, err := format.Source(text); err != nil || !bytes.Equal(tidy, text) {
				t.Errorf("%s is not formatted: %v", f, err)
			}
		default:
			t.Errorf("what is %s?", f)
		}
	}
}

// TestRegression does what a generated test does, for a bug that is not there any more.
func TestRegression(t *testing.T) {
	c := shrink(t, illegalHistory(t, bugs[0].do))
	var core, around strings.Builder
	if err := errors.Join(c.History.Encode(&core), c.Around.Encode(&around)); err != nil {
		t.Fatal(err)
	}
	regression(t, core.String(), around.String())
}

// TestGeneratedTest builds and runs a generated test, as part of this package: it passes on the store, and fails when
// the bug that it was made from is put back.
func TestGeneratedTest(t *testing.T) {
	t.Parallel()
	goTool, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("a generated test can only be built where the go command is: %v", err)
	}
	core := shrink(t, illegalHistory(t, bugs[0].do))
	text, err := core.GoTest()
	if err != nil {
		t.Fatal(err)
	}
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
		return filepath.Join(dir, name)
	}
	const plant = `package linear_test

import (
	"os"

	"github.com/rustyonions/micronode/chaos/linear"
)

func init() {
	if os.Getenv("PLANT") != "" {
		between = func() func(linear.Client) linear.Client { return planting(bugs[0].do) }
	}
}
`
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {
		filepath.Join(here, "zz_generated_test.go"): write("generated.go", text),
		filepath.Join(here, "zz_plant_test.go"):     write("plant.go", []byte(plant)),
	}})
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(dir, "linear.test")
	build := exec.CommandContext(t.Context(), goTool, "test", "-c", "-ldflags=-s -w", "-o", binary, "-overlay", write("overlay.json", overlay), ".")
	if text, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v:\n%s", err, text)
	}
	run := func(env ...string) (string, error) {
		cmd := exec.CommandContext(t.Context(), binary, "-test.run", "^TestCore"+core.Name()+"$", "-test.v", "-out", dir)
		cmd.Env = append(os.Environ(), env...)
		text, err := cmd.CombinedOutput()
		return string(text), err
	}
	if text, err := run(); err != nil || !strings.Contains(text, "--- PASS: TestCore"+core.Name()) {
		t.Errorf("without the bug: %v:\n%s", err, text)
	}
	var exit *exec.ExitError
	if text, err := run("PLANT=1"); !errors.As(err, &exit) || !strings.Contains(text, "carried out again: illegal") {
		t.Errorf("with the bug: %v:\n%s", err, text)
	}
}

// TestReplayFindsBugs carries out the surroundings of a core again, with the bug and without.
func TestReplayFindsBugs(t *testing.T) {
	for _, planted := range bugs {
		t.Run(planted.name, func(t *testing.T) {
			t.Parallel()
			for range 5 { // there are surroundings in which the bug needs luck
				around := shrink(t, illegalHistory(t, planted.do)).Around
				if n := illegalRound(t, around, 10, nil); n > 0 {
					t.Fatalf("without the bug round %d is illegal", n)
				}
				if n := illegalRound(t, around, 5*rounds, planted.do); n > 0 {
					t.Logf("found again in round %d, with %d operations", n, len(around.Ops))
					return
				}
			}
			t.Error("not found again")
		})
	}
}

// illegalRound carries out a history again until the answers are illegal, and returns in which round they were, or 0.
func illegalRound(t *testing.T, h linear.History, rounds int, do bugFunc) int {
	t.Helper()
	for n := range rounds {
		wrap := func(c linear.Client) linear.Client { return c }
		if do != nil {
			wrap = planting(do)
		}
		r, err := linear.Check(replay(t, h, wrap), limit)
		if err != nil {
			t.Fatal(err)
		}
		if r.Verdict == linear.Illegal {
			return n + 1
		}
	}
	return 0
}

// example is a history in a file.
const example = "testdata/two_created.json"

// TestParseRefuses changes a good file in one place each.
func TestParseRefuses(t *testing.T) {
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	good := string(text)
	if _, err := linear.Parse(strings.NewReader(good)); err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{`"format": 1`, `"format": 2`},
		{`"initial": "unknown"`, `"initial": "full"`},
		{`"initial": "unknown",`, ``},
		{`"subject"`, `"object"`},
		{`"size": 3`, `"size": -3`},
		{`"op":"put"`, `"op":"undo"`},
		{`"op":"put"`, `"op":"get","fault":"too_long"`},
		{`"op":"put"`, `"op":"put","fault":"torn"`},
		{`"op":"put"`, `"op":"put","pieces":-1`},
		{`"answer":"created"`, `"answer":"deleted"`},
		{`"answer":"created"`, `"answer":"fine"`},
		{`"answer":"created"`, `"answer":"given_up"`},
		{`"client":1`, `"client":0`},
		{`"client":1`, `"client":-1`},
		{`"object":0`, `"object":1`},
		{`"call":0`, `"call":-1`},
		{`"call":0`, `"call":5`},
		{`"address": "b3:`, `"address": "b4:`},
		{"\n}\n", "\n}\n{}"},
		{"\n}\n", "\n"},
	} {
		bad := strings.Replace(good, change[0], change[1], 1)
		if bad == good {
			t.Errorf("%q is not in the file:\n%s", change[0], good)
			continue
		}
		if _, err := linear.Parse(strings.NewReader(bad)); !errors.Is(err, spec.Malformed) {
			t.Errorf("%q for %q: %v", change[1], change[0], err)
		}
	}
	lost := strings.Replace(good, `"return":2,"answer":"created"`, `"return":2,"answer":"lost"`, 1)
	after := strings.Replace(lost, `"client":1,"surface":"oap","call":1`, `"client":0,"surface":"oap","call":3`, 1)
	if _, err := linear.Parse(strings.NewReader(after)); !errors.Is(err, spec.Malformed) || after == lost || lost == good {
		t.Errorf("a client goes on after an operation without an answer: %v", err)
	}
}

// TestFile checks a history from a file: go test ./chaos/linear -run TestFile -v -args -history=x_core.json
func TestFile(t *testing.T) {
	name := *file
	if name == "" {
		name = example
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	h, err := linear.Parse(f)
	if err != nil {
		t.Fatal(err)
	}
	r, err := linear.Check(h, limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %s, by object %v, width %d, %v", name, r.Verdict, r.ByObject, r.ObjectWidth, r.Took)
	switch {
	case *file == "" && r.Verdict != linear.Illegal:
		t.Errorf("two puts that are both new are %s", r.Verdict)
	case *file != "" && r.Verdict != linear.Legal:
		explain(t, h)
	}
}
