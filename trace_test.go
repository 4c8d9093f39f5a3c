package micronode_test

import (
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/chaos/evidence"
	"github.com/rustyonions/micronode/conformance"
	"github.com/rustyonions/micronode/spec"
	"github.com/rustyonions/micronode/spec/vectors"
)

// plannedCeiling is how many rules spec/planned.txt may list. It goes down when an area is built, and never up.
const plannedCeiling = 62

// waived lists MUST rules of built areas that no test covers, with the reason. It is better short.
var waived = map[string]string{}

var ruleID = regexp.MustCompile(`\b(OAP|CAS|HTTP|ADM|RDY|AMN|CAP|DIV)-[A-Z]{3}-[0-9]{3}\b`)

// notCoverage are test files whose rule ids are input to a parser, not claims.
var notCoverage = []string{"spec/registry_test.go", "trace_test.go"}

// mentions finds every rule id in the texts of the repository: id -> files.
func mentions(t *testing.T) map[string][]string {
	t.Helper()
	found := map[string][]string{}
	err := filepath.WalkDir(".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file = filepath.ToSlash(file)
		if d.IsDir() {
			if name := d.Name(); file != "." && (strings.HasPrefix(name, ".") || name == "fuzz" && strings.Contains(file, "testdata")) {
				return filepath.SkipDir
			}
			return nil
		}
		switch path.Ext(file) {
		case ".go", ".md", ".json", ".yaml", ".txt", ".tla", ".py":
		default:
			return nil
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		for _, id := range ruleID.FindAllString(string(text), -1) {
			if !slices.Contains(found[id], file) {
				found[id] = append(found[id], file)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// covered says what stands behind each rule: conformance cases and vectors by id, and test files that name it.
func covered(t *testing.T, found map[string][]string) (black, white map[string][]string) {
	t.Helper()
	black, white = map[string][]string{}, map[string][]string{}
	for _, c := range conformance.Cases() {
		for _, id := range c.Rules {
			black[id] = append(black[id], "case "+c.ID)
		}
	}
	frames, err := vectors.Frames()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range frames {
		white[v.Rule] = append(white[v.Rule], "vector "+v.ID)
	}
	messages, err := vectors.Messages()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range messages {
		white[v.Rule] = append(white[v.Rule], "vector "+v.ID)
	}
	for id, files := range found {
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") && !slices.Contains(notCoverage, f) {
				white[id] = append(white[id], f)
			}
		}
	}
	return black, white
}

// TestRuleTrace holds the law and the evidence to each other: no id that is not in the law, no MUST of a built area
// without a test, and a list of planned rules that only shrinks. Stale sentence hashes fail in package spec.
func TestRuleTrace(t *testing.T) {
	law, err := spec.Load()
	if err != nil {
		t.Fatal(err)
	}
	planned, err := spec.Planned()
	if err != nil {
		t.Fatal(err)
	}
	found := mentions(t)
	for id, files := range found {
		if _, ok := law.Rule(id); !ok && !slices.Equal(files, []string{"spec/registry_test.go"}) {
			t.Errorf("%s is in %v and not in the law", id, files)
		}
	}
	black, white := covered(t, found)
	counts := map[string]int{}
	for _, r := range law.Rules() {
		area, isPlanned := planned[r.ID]
		tested := len(black[r.ID])+len(white[r.ID]) > 0
		switch {
		case isPlanned && len(black[r.ID]) > 0:
			t.Errorf("%s is listed as planned (%s) and has a conformance case: take it off the list", r.ID, area)
		case isPlanned:
			counts["planned: "+area]++
		case len(black[r.ID]) > 0:
			counts["covered by a conformance case"]++
		case tested:
			counts["covered by a test or vector"]++
		case waived[r.ID] != "":
			counts["waived"]++
		case r.Level == spec.Must:
			t.Errorf("%s MUST (%s:%d) has no test: %s", r.ID, r.File, r.Line, r.Text)
		default:
			counts["SHOULD or MAY without a test"]++
		}
	}
	for id := range waived {
		if _, ok := law.Rule(id); !ok || len(black[id])+len(white[id]) > 0 {
			t.Errorf("%s is waived and either covered or not in the law", id)
		}
	}
	if len(planned) > plannedCeiling {
		t.Errorf("%d rules are planned; the list may only shrink from %d", len(planned), plannedCeiling)
	}
	for _, k := range slices.Sorted(maps.Keys(counts)) {
		t.Logf("%4d rules %s", counts[k], k)
	}
	if counts["covered by a conformance case"] == 0 {
		t.Error(fmt.Sprint("no rule is covered by a conformance case: the trace found nothing in ", len(conformance.Cases()), " cases"))
	}
	figures := map[string]int64{}
	for state, n := range counts {
		state, _, _ = strings.Cut(state, ":")
		figures[state] += int64(n)
	}
	evidence.Add(t, evidence.Entry{Check: "rules/states", Figures: figures})
}
