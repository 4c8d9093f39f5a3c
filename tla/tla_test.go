package tla

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/chaos/evidence"
)

var update = flag.Bool("update", false, "rewrite the table in README.md")

// composed are the configurations that only TLC explores: compositions of the machines below them.
var composed = []string{"ReadyWrites"}

// TestGraphs holds every Go model to the graph that TLC found, without TLC: the committed record says which texts it
// was found in, and how many states and steps of each action there were.
func TestGraphs(t *testing.T) {
	configs, err := Configs(".")
	if err != nil {
		t.Fatal(err)
	}
	records, err := Records(".")
	if err != nil {
		t.Fatal(err)
	}
	if len(records) != len(configs) {
		t.Errorf("%d configurations and %d records: run `make tla-update`", len(configs), len(records))
	}
	for _, c := range configs {
		t.Run(c.Name, func(t *testing.T) {
			i := slices.IndexFunc(records, func(r Record) bool { return r.Config == c.Name })
			if i < 0 {
				t.Fatal("TLC's graph is not committed: run `make tla-update`")
			}
			checkRecord(t, c, records[i])
		})
	}
	for _, m := range Models() {
		if !slices.ContainsFunc(configs, func(c Config) bool { return c.Name == m.Config }) {
			t.Errorf("the model %s has no configuration", m.Config)
		}
	}
}

func checkRecord(t *testing.T, c Config, r Record) {
	source, err := Source(".", c)
	if err != nil {
		t.Fatal(err)
	}
	if source != r.Source {
		t.Errorf("%s.tla or %s.cfg changed after TLC explored it: run `make tla-update`", c.Module, c.Name)
	}
	m, ok := Find(c.Name)
	if !ok {
		if !slices.Contains(composed, c.Name) {
			t.Fatalf("there is no Go model for %s.cfg", c.Name)
		}
		return
	}
	if diff := m.SameConstants(c); diff != "" {
		t.Error(diff)
	}
	x, err := m.Explore()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d states, %d edges, depth %d", len(x.Graph.States), len(x.Graph.Edges), x.Depth)
	if got := x.Graph.Digest(); got != r.Digest {
		committed, err := LoadGraph(".", c.Name)
		if err != nil {
			t.Fatal(err)
		}
		t.Errorf("the Go model is not what TLC found in the module:\n%s", Diff("TLC", committed, "the Go model", x.Graph))
	}
	if len(x.Graph.States) != r.States || len(x.Graph.Edges) != r.Edges || x.Depth != r.Depth || !maps.Equal(x.Graph.Actions(), r.Actions) {
		t.Errorf("the record counts %d states, %d edges, depth %d, actions %v", r.States, r.Edges, r.Depth, r.Actions)
	}
	if committed, err := LoadGraph(".", c.Name); err != nil || committed.Digest() != r.Digest {
		t.Errorf("the committed graph does not belong to its record: %v", err)
	}
	for name, n := range r.Actions {
		if n == 0 {
			t.Errorf("the action %s is never taken", name)
		}
	}
	sameProperties(t, c, x)
	evidence.Add(t, evidence.Entry{Check: "graph/" + c.Name,
		Figures: map[string]int64{"states": int64(r.States), "edges": int64(r.Edges), "depth": int64(r.Depth), "actions": int64(len(r.Actions)), "properties": int64(len(x.Properties))},
		Texts:   map[string]string{"digest": r.Digest}})
}

// sameProperties wants every property of the configuration in the model, and the other way round.
func sameProperties(t *testing.T, c Config, x Explored) {
	for _, p := range c.Properties {
		if _, ok := x.Properties[p.Name]; !ok {
			t.Errorf("TLC checks %s, and the Go model does not", p.Name)
		}
	}
	for name := range x.Properties {
		if !slices.ContainsFunc(c.Properties, func(p Property) bool { return p.Name == name }) {
			t.Errorf("the Go model checks %s, and %s.cfg does not", name, c.Name)
		}
	}
}

// TestTwins wants a must-fail twin for everything that TLC checks.
func TestTwins(t *testing.T) {
	configs, err := Configs(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range configs {
		twins, err := Twins(".", c.Module)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range c.Properties {
			if !slices.ContainsFunc(twins, func(tw Twin) bool { return tw.Violates == p.Name }) {
				t.Errorf("%s.cfg checks %s, and no twin violates it", c.Name, p.Name)
			}
		}
	}
}

// TestTable holds README.md to the models and the modules: each action with the operation and the rules behind it.
func TestTable(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	begin, end := "<!-- table -->\n", "<!-- end of table -->"
	before, rest, ok1 := strings.Cut(string(readme), begin)
	old, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		t.Fatal("README.md has no place for the table")
	}
	table := tableOfActions(t)
	if *update {
		if err := os.WriteFile("README.md", []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != table {
		t.Error("the table in README.md is not that of the models: run `go test ./tla -run TestTable -args -update`")
	}
}

func tableOfActions(t *testing.T) string {
	var b strings.Builder
	module := ""
	rows := map[string]Action{}
	flush := func() {
		if len(rows) == 0 {
			return
		}
		text, err := os.ReadFile(module + ".tla")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "\n### %s\n\n| action | operation, for example | rules |\n|---|---|---|\n", module)
		for _, name := range slices.Sorted(maps.Keys(rows)) {
			a := rows[name]
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", a.Name, strings.ReplaceAll(a.Example, "|", "\\|"), strings.Join(a.Rules, ", "))
			if !regexp.MustCompile(`(?m)^` + name + `(\([\w, ]*\))? *==`).Match(text) {
				t.Errorf("%s.tla has no action %s", module, name)
			}
		}
		b.WriteString("\n")
		clear(rows)
	}
	for _, m := range Models() {
		x, err := m.Explore()
		if err != nil {
			t.Fatal(err)
		}
		if name, _, _ := strings.Cut(m.Config, "-"); name != module {
			flush()
			module = name
		}
		for _, a := range x.Actions {
			if had, ok := rows[a.Name]; ok {
				a.Example = had.Example
				a.Rules = slices.Compact(slices.Sorted(slices.Values(slices.Concat(had.Rules, a.Rules))))
			}
			rows[a.Name] = a
		}
	}
	flush()
	return b.String()
}
