package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// config says how to run a campaign.
type config struct {
	Budget    time.Duration
	Minimum   int64          // executions of each target
	Artefacts string         // folder for copies of failing inputs, "" = no copies
	Only      *regexp.Regexp // which targets
	Progress  *log.Logger    // one line, or a few, for each slice
}

const (
	firstSlice = 2000             // executions of the first slice, which finds out how fast a target is
	sliceTime  = 20 * time.Second // what later slices aim at
	hangTime   = 2 * time.Minute  // a slice that takes so much longer than it should is cut
	// minimizing bounds, in executions, how long the fuzzer shrinks one input. Its default is a minute of time, which
	// it also spends on inputs that are merely interesting.
	minimizing = "200x"
)

// runner runs slices of the targets of one module.
type runner struct {
	config
	root     string            // folder of go.mod
	module   string            // path of the module
	cache    string            // where the fuzzer keeps what it found interesting
	binaries map[string]string // test binary by package
	start    time.Time
}

// campaign runs the targets of the module around dir in rotation. The error is for what went wrong before any target
// was tried; everything later is in the report.
func campaign(ctx context.Context, dir string, c config) (*report, error) {
	root, err := moduleRoot(dir)
	if err != nil {
		return nil, err
	}
	all, err := discover(root)
	if err != nil {
		return nil, err
	}
	rep := &report{Event: "fuzz-campaign"}
	for _, t := range all {
		if c.Only.MatchString(t.String()) {
			rep.Targets = append(rep.Targets, &result{Package: t.Package, Target: t.Name})
		}
	}
	if len(rep.Targets) == 0 {
		return nil, fmt.Errorf("no fuzz target in %s matches", root)
	}
	bin, err := os.MkdirTemp("", "campaign")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(bin) }() // a left-over binary in the temporary folder harms nobody

	r := &runner{config: c, root: root, binaries: map[string]string{}, start: time.Now()}
	if r.module, err = r.goCommand(ctx, "list", "-m"); err != nil {
		return nil, err
	}
	if r.cache, err = r.goCommand(ctx, "env", "GOCACHE"); err != nil {
		return nil, err
	}
	for _, res := range rep.Targets {
		if res.Error = r.build(ctx, bin, res.Package); res.Error != "" {
			c.Progress.Printf("%s: %s", res, res.Error)
		}
	}
	r.start = time.Now() // building is not fuzzing
	r.rotate(ctx, rep)
	rep.sum(time.Since(r.start))
	return rep, nil
}

func (r *runner) goCommand(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = r.root
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w: %s", args[0], err, strings.TrimSpace(stderr.String()))
	}
	return strings.TrimSpace(string(out)), nil
}

// build makes the instrumented test binary of a package, once. It returns what went wrong, or "".
func (r *runner) build(ctx context.Context, bin, pkg string) string {
	if _, done := r.binaries[pkg]; !done {
		path := filepath.Join(bin, fmt.Sprintf("%d.test", len(r.binaries)))
		r.binaries[pkg] = path
		if _, err := r.goCommand(ctx, "test", "-c", "-fuzz=^Fuzz", "-o", path, "./"+pkg); err != nil {
			r.binaries[pkg] = ""
			return "does not build: " + err.Error()
		}
	}
	if r.binaries[pkg] == "" {
		return "does not build"
	}
	return ""
}

// rotate gives the next slice to the target that had the least time, until the budget is spent and every target has
// its minimum.
func (r *runner) rotate(ctx context.Context, rep *report) {
	for ctx.Err() == nil {
		left := r.Budget - time.Since(r.start)
		var next *result
		for _, res := range rep.Targets {
			if res.done() || left <= 0 && res.Executions >= r.Minimum {
				continue
			}
			if next == nil || res.Seconds < next.Seconds {
				next = res
			}
		}
		if next == nil {
			return
		}
		r.slice(ctx, next, r.sliceSize(next, left, len(rep.Targets)))
	}
}

// sliceSize is how many executions the next slice of a target gets: about sliceTime of them, but no more than an even
// share of what is left, and no more than the minimum asks for once nothing is left.
func (r *runner) sliceSize(res *result, left time.Duration, targets int) int64 {
	if res.Slices == 0 {
		return firstSlice
	}
	if left <= 0 {
		return r.Minimum - res.Executions
	}
	share := min(sliceTime, max(left/time.Duration(targets), time.Second))
	return max(int64(res.rate()*share.Seconds()), firstSlice/4)
}

// slice runs one target for so many executions and adds what came of it to res.
func (r *runner) slice(ctx context.Context, res *result, execs int64) {
	began := time.Now()
	// Running the corpus counts as executions: the slice comes on top of it.
	execs += res.Corpus
	o, text, err := r.fuzz(ctx, res, execs)
	if ctx.Err() != nil {
		res.add(o, time.Since(began))
		return
	}
	if err != nil && o.Deadline && !o.found() { // the clock of the fuzzer, not a finding: once more
		r.Progress.Printf("%s: %s, and nothing found; running the slice again", res, deadlineIn)
		res.add(o, time.Since(began))
		began = time.Now()
		o, text, err = r.fuzz(ctx, res, execs)
	}
	res.add(o, time.Since(began))
	switch {
	case o.found():
		if err := r.keep(res, o, text); err != nil {
			res.Error = "failing input not copied: " + err.Error()
		}
		r.Progress.Printf("%s: FAILING INPUT\n%s", res, indent(text))
	case err != nil:
		res.Error = err.Error()
		r.Progress.Printf("%s: did not run: %v\n%s", res, err, indent(text))
	case o.Execs == 0:
		res.Error = "executed nothing"
		r.Progress.Printf("%s: executed nothing\n%s", res, indent(text))
	default:
		res.Plain = res.Plain || o.Plain
		r.Progress.Printf("%6.0f of %.0f s  %-40s %10d executions %8.0f/s %5d new, corpus %d",
			time.Since(r.start).Seconds(), r.Budget.Seconds(), res, o.Execs, float64(o.Execs)/time.Since(began).Seconds(), o.Interesting, o.Corpus)
	}
}

// fuzz runs one target once and returns what it printed, read and as it is.
func (r *runner) fuzz(ctx context.Context, res *result, execs int64) (output, string, error) {
	expected := time.Duration(0)
	if rate := res.rate(); rate > 0 {
		expected = time.Duration(float64(execs) / rate * float64(time.Second))
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 10*expected+hangTime, errors.New("hangs"))
	defer cancel()
	cmd := exec.CommandContext(ctx, r.binaries[res.Package], "-test.run=^$", "-test.fuzz=^"+res.Target+"$",
		fmt.Sprintf("-test.fuzztime=%dx", execs), "-test.fuzzminimizetime="+minimizing,
		"-test.fuzzcachedir="+filepath.Join(r.cache, "fuzz", filepath.FromSlash(r.module), filepath.FromSlash(res.Package)))
	cmd.Dir = r.folder(res.Package)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) } // it then stops its workers
	cmd.WaitDelay = 10 * time.Second
	err := cmd.Run()
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return parse(out.String()), out.String(), err
}

func (r *runner) folder(pkg string) string { return filepath.Join(r.root, filepath.FromSlash(pkg)) }

// keep notes the failing inputs and copies them, with what the target printed, into the artefacts folder.
func (r *runner) keep(res *result, o output, text string) error {
	for _, input := range o.Inputs {
		res.Failing = append(res.Failing, filepath.ToSlash(filepath.Join(res.Package, input)))
	}
	for _, seed := range o.Seeds {
		res.Failing = append(res.Failing, seed+" (seed corpus)")
	}
	if r.Artefacts == "" {
		return nil
	}
	to := filepath.Join(r.Artefacts, filepath.FromSlash(res.Package), res.Target)
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(to, "output.txt"), []byte(text), 0o644); err != nil {
		return err
	}
	for _, input := range o.Inputs {
		data, err := os.ReadFile(filepath.Join(r.folder(res.Package), input))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, filepath.Base(input)), data, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func indent(text string) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n    ")
}
