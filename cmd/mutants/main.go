// Command mutants breaks the node on purpose, one small change at a time, and demands that a check named for it goes red.
//
// The table is mutants.json: for each mutant the rule that it breaks, the file and the one place in it, what stands there
// instead, and the test that has to notice. No source file changes: the go command is given the broken one as an overlay. What
// property tests keep of their failures meanwhile is removed at the end. A mutant is killed when its test fails, and only then: a mutant that does not compile, a test that does not
// exist, or one that is red anyway, is a mistake in the table and as red as a survivor.
//
//	go run ./cmd/mutants                 # all of them
//	go run ./cmd/mutants -only '^cap'    # those whose id matches
//	go run ./cmd/mutants -sample 30      # some of them, by -seed
//	go run ./cmd/mutants -doc            # write docs/mutants.md from the table, and run nothing
//
// It owns the table and the verdict. It may never edit a source file.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rustyonions/micronode/conformance"
	"github.com/rustyonions/micronode/spec"
)

func main() {
	only := flag.String("only", "", "run the mutants whose id matches this regular expression")
	sample := flag.Int("sample", 0, "run that many of them, drawn by -seed; 0 runs all")
	seed := flag.Uint64("seed", 1, "of the draw")
	out := flag.String("out", "out/mutants.json", "where to write the verdicts")
	doc := flag.Bool("doc", false, "write docs/mutants.md from the table instead of running anything")
	flag.Parse()
	if err := run(os.Stdout, *only, *sample, *seed, *out, *doc); err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, only string, sample int, seed uint64, out string, doc bool) error {
	table, err := load("cmd/mutants/mutants.json")
	if err != nil {
		return err
	}
	if doc {
		law, err := spec.Load()
		if err != nil {
			return err
		}
		return os.WriteFile(docPath, document(table, law, conformance.Cases()), 0o644)
	}
	match, err := regexp.Compile(only)
	if err != nil {
		return fmt.Errorf("-only: %w", err)
	}
	table = slices.DeleteFunc(table, func(m Mutant) bool { return !match.MatchString(m.ID) })
	if len(table) == 0 {
		return fmt.Errorf("no mutant matches %q", only)
	}
	if sample > 0 && sample < len(table) {
		rng := rand.New(rand.NewPCG(seed, 0))
		rng.Shuffle(len(table), func(i, j int) { table[i], table[j] = table[j], table[i] })
		table = table[:sample]
		fmt.Fprintf(w, "a sample of %d, seed %d\n", sample, seed)
	}
	dir, err := os.MkdirTemp("", "mutants")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	r := runner{dir: dir, base: map[string]*baseline{}}
	before, err := failfiles()
	if err != nil {
		return err
	}
	verdicts, alive, skipped := r.all(w, table)
	if err := tidy(before); err != nil {
		return err
	}
	if err := write(out, verdicts); err != nil {
		return err
	}
	fmt.Fprintf(w, "%d of %d mutants killed, %d not judged because their tests skip here; see %s\n", len(table)-alive-skipped, len(table), skipped, out)
	if alive > 0 {
		return fmt.Errorf("%d of %d mutants are alive", alive, len(table))
	}
	return nil
}

// Verdict is what became of one mutant.
type Verdict struct {
	Mutant
	Killed  bool    `json:"killed"`
	Why     string  `json:"why,omitempty"` // it is alive
	Seconds float64 `json:"seconds"`
}

// workers is how many mutants are judged at a time: a go command keeps more than one core busy for half of its time only.
const workers = 2

type runner struct {
	dir string

	mu   sync.Mutex
	base map[string]*baseline // by package and test
}

// baseline is a test that is run once without a mutant.
type baseline struct {
	once sync.Once
	err  error
}

// all judges every mutant of the table, and prints each verdict as it comes. The verdicts are in the order of the table.
func (r *runner) all(w io.Writer, table []Mutant) (verdicts []Verdict, alive, skipped int) {
	verdicts = make([]Verdict, len(table))
	next := make(chan int)
	var wg sync.WaitGroup
	var mu sync.Mutex
	done := 0
	for range workers {
		wg.Go(func() {
			for i := range next {
				v := r.judge(table[i])
				mu.Lock()
				verdicts[i] = v
				mark := "killed"
				switch {
				case v.Why == skipsHere:
					mark = "      "
					skipped++
				case !v.Killed:
					mark = "ALIVE "
					alive++
				}
				done++
				fmt.Fprintf(w, "%3d/%d %s %5.1fs  %-48s %-12s by %s %s\n", done, len(table), mark, v.Seconds, v.ID, v.Rule, v.Test, v.Why)
				mu.Unlock()
			}
		})
	}
	for i := range table {
		next <- i
	}
	close(next)
	wg.Wait()
	return verdicts, alive, skipped
}

// judge runs the test of a mutant without it and with it.
func (r *runner) judge(m Mutant) Verdict {
	begin := time.Now()
	v := Verdict{Mutant: m}
	v.Killed, v.Why = r.try(m)
	v.Seconds = time.Since(begin).Seconds()
	return v
}

func (r *runner) try(m Mutant) (killed bool, why string) {
	switch err := r.green(m); {
	case errors.Is(err, errSkipped):
		return false, skipsHere
	case err != nil:
		return false, "its test is red without it: " + err.Error()
	}
	overlay, err := r.overlay(m)
	if err != nil {
		return false, err.Error()
	}
	text, err := goTest(m, overlay)
	switch {
	case err == nil:
		return false, "its test is green"
	case strings.Contains(text, "[build failed]") || strings.Contains(text, "[setup failed]"):
		return false, "it does not compile: " + lastLines(text)
	case !strings.Contains(text, "--- FAIL: ") && !strings.Contains(text, "panic: ") && !strings.Contains(text, "fatal error: "):
		return false, "its test did not fail: " + lastLines(text)
	}
	return true, ""
}

// skipsHere is why a mutant was not judged.
const skipsHere = "not judged: its test skips on this machine or for this user"

// errSkipped is a test that says that it can not run on this machine, or as this user.
var errSkipped = errors.New("skipped")

// green says whether the test of a mutant exists, and passes without it.
func (r *runner) green(m Mutant) error {
	key := m.Package + " " + m.Test
	r.mu.Lock()
	if r.base[key] == nil {
		r.base[key] = new(baseline)
	}
	b := r.base[key]
	r.mu.Unlock()
	b.once.Do(func() {
		text, err := goTest(m, "")
		if err == nil && !strings.Contains(text, "--- PASS: ") {
			err = errors.New("no test has this name")
			if strings.Contains(text, "--- SKIP: ") {
				err = errSkipped
			}
		}
		b.err = err
	})
	return b.err
}

// overlay writes the broken file, and the description that the go command wants.
func (r *runner) overlay(m Mutant) (string, error) {
	broken, err := m.apply()
	if err != nil {
		return "", err
	}
	file, err := filepath.Abs(m.File)
	if err != nil {
		return "", err
	}
	to := filepath.Join(r.dir, strings.ReplaceAll(m.ID, "/", "_")+".go")
	if err := os.WriteFile(to, broken, 0o600); err != nil {
		return "", err
	}
	text, err := json.Marshal(map[string]map[string]string{"Replace": {file: to}})
	if err != nil {
		return "", err
	}
	path := to + ".json"
	return path, os.WriteFile(path, text, 0o600)
}

// goTest runs the test of a mutant. The suite and the tours build the node themselves: they see the overlay as well, from GOFLAGS.
func goTest(m Mutant, overlay string) (string, error) {
	args := []string{"test", "-count=1", "-v", "-timeout=240s", "-run", m.Test, m.Package}
	cmd := exec.Command("go", args...)
	cmd.Env = os.Environ()
	if overlay != "" {
		cmd.Env = append(cmd.Env, "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+overlay))
	}
	text, err := cmd.CombinedOutput()
	if err != nil && overlay == "" {
		err = fmt.Errorf("%w: %s", err, lastLines(string(text)))
	}
	return string(text), err
}

// failfiles lists the inputs that property tests keep when they fail. Those of mutants are about code that nobody has.
func failfiles() (map[string]bool, error) {
	files := map[string]bool{}
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".fail") && strings.Contains(filepath.ToSlash(path), "testdata/rapid/") {
			files[path] = true
		}
		return err
	})
	return files, err
}

// tidy removes the failfiles that were not there before, and the folders that this leaves empty.
func tidy(before map[string]bool) error {
	after, err := failfiles()
	if err != nil {
		return err
	}
	for path := range after {
		if before[path] {
			continue
		}
		if err := os.Remove(path); err != nil {
			return err
		}
		for dir := filepath.Dir(path); filepath.Base(dir) != "testdata" && os.Remove(dir) == nil; dir = filepath.Dir(dir) {
		}
	}
	return nil
}

// lastLines is the end of an output, on one line.
func lastLines(text string) string {
	const most = 300
	text = strings.Join(strings.Fields(text), " ")
	if len(text) > most {
		text = "…" + text[len(text)-most:]
	}
	return text
}

func write(path string, verdicts []Verdict) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(verdicts, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}
