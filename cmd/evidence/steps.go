package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rustyonions/micronode/chaos/evidence"
)

// step is one command that leaves entries, by itself or by what it prints.
type step struct {
	kind string // of the entries
	args []string
	read func(stdout []byte) ([]evidence.Entry, error) // nil where the command writes its entries itself
}

func steps(o options) []step {
	test := func(kind, run string, more ...string) step {
		return step{kind: kind, args: append([]string{"go", "test", "-count=1", "-timeout", "60m", "-run", run}, more...)}
	}
	schedule := test("schedule", ".", "./chaos/schedule")
	tour := test("tour", "Tour", "./conformance/tour")
	if o.tours {
		tour.args = append(tour.args, "-args", "-all")
	}
	if o.full {
		schedule.args = append(schedule.args, "-args", "-full")
	}
	return []step{
		test("rules", "TestRuleTrace", "."),
		test("graph", "TestGraphs", "./tla"),
		{kind: "tlc", args: []string{"go", "run", "./tla/check", "-json"}, read: readTLC},
		test("lockstep", "[Ll]ock[Ss]tep", "./impl/..."),
		tour,
		schedule,
		test("history", ".", "./chaos/linear", "-args", fmt.Sprintf("-histories=%d", o.histories)),
		{kind: "fuzz", args: []string{"go", "run", "./fuzz/campaign", "-json", "-budget", o.fuzz.String(), "-artefacts", "out/crashers"}, read: readFuzz},
	}
}

// run runs the command. That it failed shows in the entries, or in their absence; its output goes to the terminal.
func (s step) run(ctx context.Context, dir string, stderr io.Writer) {
	fmt.Fprintf(stderr, "== %s: %s\n", s.kind, strings.Join(s.args, " "))
	began := time.Now()
	cmd := exec.CommandContext(ctx, s.args[0], s.args[1:]...)
	cmd.Env = append(os.Environ(), evidence.Variable+"="+dir)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = stderr, stderr
	if s.read != nil {
		cmd.Stdout = &out
	}
	if err := cmd.Run(); err != nil {
		fmt.Fprintf(stderr, "== %s: %v\n", s.kind, err)
	}
	fmt.Fprintf(stderr, "== %s: %.1f s\n", s.kind, time.Since(began).Seconds())
	if s.read == nil {
		return
	}
	entries, err := s.read(out.Bytes())
	if err != nil {
		fmt.Fprintf(stderr, "== %s: %v\n", s.kind, err)
	}
	for _, e := range entries {
		if err := save(dir, e); err != nil {
			fmt.Fprintf(stderr, "== %s: %v\n", s.kind, err)
		}
	}
}

func save(dir string, e evidence.Entry) error {
	text, err := json.Marshal(e)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, evidence.File(e.Check)), text, 0o644)
}

// readTLC takes the lines of tla/check -json: an entry for each configuration, and one for all twins of a module.
func readTLC(stdout []byte) ([]evidence.Entry, error) {
	var entries []evidence.Entry
	twins := map[string]*evidence.Entry{}
	lines := bufio.NewScanner(bytes.NewReader(stdout))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var r struct {
			Run, Graph, Violated, Problem string
			States, Depth, Edges, MS      int64
		}
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			return entries, fmt.Errorf("not a line of tla/check: %w", err)
		}
		module, _, isTwin := strings.Cut(r.Run, ":")
		if !isTwin {
			e := evidence.Entry{Check: "tlc/" + r.Run, Failed: r.Problem != "", Texts: map[string]string{"graph": r.Graph},
				Figures: map[string]int64{"states": r.States, "depth": r.Depth, "took_ms": r.MS}}
			if r.Edges > 0 {
				e.Figures["edges"] = r.Edges
			}
			entries = append(entries, e)
			continue
		}
		module = strings.TrimSuffix(module, "Twins")
		if twins[module] == nil {
			twins[module] = &evidence.Entry{Check: "twins/" + module, Figures: map[string]int64{}}
		}
		twins[module].Figures["took_ms"] += r.MS
		twins[module].Figures["run"]++
		if r.Problem == "" && r.Violated != "" {
			twins[module].Figures["caught"]++
		} else {
			twins[module].Failed = true
		}
	}
	for _, e := range twins {
		entries = append(entries, *e)
	}
	return entries, lines.Err()
}

// readFuzz takes the report of fuzz/campaign -json.
func readFuzz(stdout []byte) ([]evidence.Entry, error) {
	var report struct {
		Targets []struct {
			Package, Target, Error string
			Executions, Corpus     int64
			Failing                []string
		}
	}
	if err := json.Unmarshal(stdout, &report); err != nil {
		return nil, fmt.Errorf("not a report of fuzz/campaign: %w", err)
	}
	var entries []evidence.Entry
	for _, t := range report.Targets {
		entries = append(entries, evidence.Entry{
			Check:   "fuzz/" + t.Package + "." + t.Target,
			Failed:  t.Error != "" || len(t.Failing) > 0,
			Figures: map[string]int64{"executions": t.Executions, "corpus": t.Corpus},
		})
	}
	return entries, nil
}
