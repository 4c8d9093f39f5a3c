// Command check runs TLC over the modules in tla/, compares each state graph with that of the Go model, and demands
// that every must-fail twin fails. It exits 0 when all is as promised, 1 when something is not, 2 when TLC or Java can
// not be had.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/rustyonions/micronode/tla"
)

const usage = `usage: go run ./tla/check [-only Cas,Session] [-update] [-json] [-timeout 2m] [-keep dir]

Runs TLC on every configuration tla/*.cfg and on every must-fail twin. TLC is taken from TLA2TOOLS_JAR, else from the
user's cache, else from Maven Central (checked by its SHA-256).

`

func main() {
	flag.Usage = func() { fmt.Fprint(flag.CommandLine.Output(), usage); flag.PrintDefaults() }
	r := runner{dir: "tla"}
	only := flag.String("only", "", "run only these modules (comma-separated)")
	asJSON := flag.Bool("json", false, "print one JSON object a run instead of lines")
	flag.BoolVar(&r.update, "update", false, "write the graphs that TLC found, if they equal those of the Go models")
	flag.DurationVar(&r.timeout, "timeout", 2*time.Minute, "limit for one run of TLC")
	flag.StringVar(&r.keep, "keep", "", "keep TLC's dumps in this folder")
	flag.Parse()
	if flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	r.print = printLine
	if *asJSON {
		r.print = printJSON
	}
	os.Exit(run(ctx, &r, *only))
}

func run(ctx context.Context, r *runner, only string) int {
	if _, err := os.Stat(r.dir); err != nil {
		fmt.Fprintln(os.Stderr, "check: run me from the root of the repository:", err)
		return 2
	}
	var err error
	if r.tlc, err = findTLC(ctx); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		return 2
	}
	if r.scratch, err = os.MkdirTemp("", "micronode-tlc-"); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		return 2
	}
	defer os.RemoveAll(r.scratch)
	failures, err := r.all(ctx, func(module string) bool {
		return only == "" || strings.Contains(","+only+",", ","+module+",")
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		return 1
	}
	if failures > 0 {
		fmt.Fprintf(os.Stderr, "check: %d of the runs above are not as promised\n", failures)
		return 1
	}
	return 0
}

// Result is what one run of TLC came to.
type Result struct {
	Run      string `json:"run"` // name of the configuration, or module:specification of a twin
	States   int    `json:"states"`
	Depth    int    `json:"depth"` // states on the longest shortest way, as TLC counts
	Edges    int    `json:"edges,omitempty"`
	Millis   int64  `json:"ms"`
	Graph    string `json:"graph,omitempty"`    // equal, or how it differs from that of the Go model
	Violated string `json:"violated,omitempty"` // what a twin violated
	Problem  string `json:"problem,omitempty"`
}

func printLine(r Result) {
	verdict := "ok"
	switch {
	case r.Problem != "":
		verdict = "FAILED: " + r.Problem
	case r.Violated != "":
		verdict = "ok, violates " + r.Violated
	case r.Graph != "":
		verdict = fmt.Sprintf("ok, graph %s, %d edges", r.Graph, r.Edges)
	}
	fmt.Printf("%-44s %7d states  depth %3d  %6.1f s  %s\n", r.Run, r.States, r.Depth, float64(r.Millis)/1000, verdict)
}

func printJSON(r Result) {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	fmt.Println(string(text))
}

// runner runs TLC.
type runner struct {
	dir, scratch, keep string
	tlc                []string // command and first arguments
	update             bool
	timeout            time.Duration
	print              func(Result)
}

// all runs every configuration and twin, and returns how many were not as promised.
func (r *runner) all(ctx context.Context, wanted func(module string) bool) (failures int, err error) {
	configs, err := tla.Configs(r.dir)
	if err != nil {
		return 0, err
	}
	old, err := tla.Records(r.dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	records := map[string]tla.Record{}
	for _, rec := range old {
		records[rec.Config] = rec
	}
	ran := 0
	report := func(res Result) {
		ran++
		if res.Problem != "" {
			failures++
		}
		r.print(res)
	}
	modules := map[string][]tla.Config{}
	for _, c := range configs {
		if !wanted(c.Module) {
			continue
		}
		res, rec := r.config(ctx, c)
		report(res)
		if res.Problem == "" {
			if was, known := records[c.Name]; !r.update && (!known || was.Digest != rec.Digest || was.Source != rec.Source || was.States != rec.States) {
				report(Result{Run: c.Name, Problem: "tla/graphs does not have this graph: run `make tla-update` and commit"})
			}
			records[c.Name] = rec
		}
		modules[c.Module] = append(modules[c.Module], c)
	}
	for _, module := range slices.Sorted(maps.Keys(modules)) {
		twins, err := tla.Twins(r.dir, module)
		if err != nil {
			return 0, err
		}
		for _, t := range twins {
			report(r.twin(ctx, modules[module], t))
		}
	}
	if ran == 0 {
		return 0, errors.New("nothing ran: -only names modules, as in -only Cas,Session")
	}
	if r.update && failures == 0 {
		var all []tla.Record
		for _, c := range configs {
			if rec, ok := records[c.Name]; ok {
				all = append(all, rec)
			}
		}
		return 0, tla.WriteRecords(r.dir, all)
	}
	return failures, nil
}

// config runs one configuration and compares the graph, where the Go side has one.
func (r *runner) config(ctx context.Context, c tla.Config) (Result, tla.Record) {
	res := Result{Run: c.Name}
	model, compared := tla.Find(c.Name)
	var args []string
	dump := filepath.Join(r.scratch, c.Name+".dot")
	if r.keep != "" {
		if keep, err := filepath.Abs(r.keep); err == nil {
			dump = filepath.Join(keep, c.Name+".dot")
		}
	}
	if compared {
		if res.Problem = model.SameConstants(c); res.Problem != "" {
			return res, tla.Record{}
		}
		args = []string{"-dump", "dot,actionlabels", dump}
	}
	out := r.run(ctx, c.Module, filepath.Join(r.dir, c.Name+".cfg"), args)
	res.States, res.Depth, res.Millis, res.Problem = out.states, out.depth, out.millis, out.problem
	if out.violated != "" {
		res.Problem = out.violated + " is violated:\n" + out.text
	}
	if res.Problem != "" {
		return res, tla.Record{}
	}
	source, err := tla.Source(r.dir, c)
	if err != nil {
		res.Problem = err.Error()
		return res, tla.Record{}
	}
	rec := tla.Record{Config: c.Name, Source: source, States: out.states, Depth: out.depth - 1}
	if compared {
		if err := r.compare(&res, &rec, model, dump); err != nil {
			res.Problem = err.Error()
		}
	}
	return res, rec
}

func (r *runner) compare(res *Result, rec *tla.Record, model tla.Model, dump string) error {
	f, err := os.Open(dump)
	if err != nil {
		return err
	}
	defer f.Close()
	fromTLC, err := tla.FromDump(f)
	if err != nil {
		return fmt.Errorf("TLC's dump: %w", err)
	}
	explored, err := model.Explore()
	if err != nil {
		return err
	}
	res.Edges, rec.Edges = len(fromTLC.Edges), len(fromTLC.Edges)
	rec.Actions, rec.Digest = fromTLC.Actions(), fromTLC.Digest()
	if diff := tla.Diff("TLC", fromTLC, "the Go model", explored.Graph); diff != "" {
		res.Graph = "different"
		return errors.New("the graphs differ\n" + diff)
	}
	if rec.Digest != explored.Graph.Digest() {
		return errors.New("no difference found, but the digests differ") // a mistake in Diff
	}
	if res.Graph = "equal"; r.update {
		if err := os.MkdirAll(filepath.Join(r.dir, "graphs"), 0o755); err != nil {
			return err
		}
		return tla.SaveGraph(r.dir, res.Run, fromTLC)
	}
	return nil
}

// twin runs a broken specification against the one property that it must violate, under the first configuration that
// checks it; under the others as well where the constants of that one leave no room for the fault.
func (r *runner) twin(ctx context.Context, configs []tla.Config, t tla.Twin) Result {
	res := Result{Run: t.Module + ":" + t.Spec, Problem: "no configuration checks " + t.Violates}
	for _, c := range configs {
		i := slices.IndexFunc(c.Properties, func(p tla.Property) bool { return p.Name == t.Violates })
		if i < 0 {
			continue
		}
		took := res.Millis
		res = r.twinUnder(ctx, c, t, c.Properties[i])
		res.Millis += took
		if res.Problem == "" {
			break
		}
	}
	return res
}

func (r *runner) twinUnder(ctx context.Context, c tla.Config, t tla.Twin, p tla.Property) Result {
	res := Result{Run: t.Module + ":" + t.Spec}
	var b strings.Builder
	fmt.Fprintf(&b, "SPECIFICATION %s\n%s %s\nCHECK_DEADLOCK FALSE\n", t.Spec, p.Kind, p.Name)
	for name, value := range c.Constants {
		fmt.Fprintf(&b, "CONSTANT %s = %s\n", name, value)
	}
	cfg := filepath.Join(r.scratch, t.Spec+".cfg")
	if err := os.WriteFile(cfg, []byte(b.String()), 0o644); err != nil {
		res.Problem = err.Error()
		return res
	}
	out := r.run(ctx, t.Module, cfg, nil)
	res.States, res.Depth, res.Millis, res.Problem = out.states, out.depth, out.millis, out.problem
	switch {
	case res.Problem != "":
	case out.violated == "":
		res.Problem = "violates nothing: " + p.Name + " can not fail, or the twin is not broken"
	case out.violated != p.Name && out.violated != anyTemporal:
		res.Problem = "violates " + out.violated + " and not " + p.Name
	default:
		res.Violated = p.Name
	}
	return res
}
