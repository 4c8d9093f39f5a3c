package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/rustyonions/micronode/conformance"
	"github.com/rustyonions/micronode/spec"
)

// docPath is the table for people, made from that for the program.
const docPath = "docs/mutants.md"

// Mutant is one way to break the node.
type Mutant struct {
	ID      string `json:"id"`   // room.what, for example "cap.accept-expired"
	Rule    string `json:"rule"` // that it breaks
	File    string `json:"file"`
	Find    string `json:"find"`    // stands in File exactly once
	Replace string `json:"replace"` // what stands there instead
	Package string `json:"package"` // of the test
	Test    string `json:"test"`    // regular expression, as for go test -run
}

// load reads a table. The error names the first mutant that is not complete, or that is there twice.
func load(path string) ([]Mutant, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var table []Mutant
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&table); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	seen := map[string]bool{}
	for _, m := range table {
		if m.ID == "" || m.Rule == "" || m.File == "" || m.Find == "" || m.Package == "" || m.Test == "" || m.Find == m.Replace {
			return nil, fmt.Errorf("%s: %q is not complete", path, m.ID)
		}
		if seen[m.ID] {
			return nil, fmt.Errorf("%s: %q is there twice", path, m.ID)
		}
		seen[m.ID] = true
	}
	return table, nil
}

// apply returns the file with the mutant in it. The error says that its place is not there exactly once.
func (m *Mutant) apply() ([]byte, error) {
	text, err := os.ReadFile(m.File)
	if err != nil {
		return nil, err
	}
	if n := bytes.Count(text, []byte(m.Find)); n != 1 {
		return nil, fmt.Errorf("its place is %d times in %s", n, m.File)
	}
	return bytes.Replace(text, []byte(m.Find), []byte(m.Replace), 1), nil
}

// pages are the pages of the law whose every rule has a mutant, or a reason for none.
var pages = []string{"capability.md", "keys.md", "audit.md"}

// unbroken lists the rules of pages that no mutant breaks, with the reason.
var unbroken = map[string]string{}

// document is the table for people: first the rules of pages with their cases and mutants, then all mutants with what is
// changed and who notices.
func document(table []Mutant, law spec.Law, cases []conformance.Case) []byte {
	table = slices.Clone(table)
	slices.SortFunc(table, func(a, b Mutant) int {
		return strings.Compare(a.Rule+" "+a.ID, b.Rule+" "+b.ID)
	})
	var b bytes.Buffer
	b.WriteString(`# Mutants

Ways to break the node on purpose, and the checks that go red. ` + "`make mutants`" + ` breaks them one by one, without touching the
tree, and fails when one stays unnoticed. This page is made from ` + "`cmd/mutants/mutants.json`" + ` (` + "`go run ./cmd/mutants -doc`" + `).

## By rule

Cases are those of the black-box suite (` + "`go test ./conformance`" + `).

| rule | cases | mutants |
|---|---|---|
`)
	for _, r := range law.Rules() {
		if !slices.Contains(pages, r.File) {
			continue
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", r.ID, casesOf(r.ID, cases), cmp.Or(mutantsOf(r.ID, table), unbroken[r.ID]))
	}
	b.WriteString(`
## By mutant

| rule | mutant | in | found by |
|---|---|---|---|
`)
	for _, m := range table {
		fmt.Fprintf(&b, "| %s | %s | `%s` | `%s` in `%s` |\n", m.Rule, m.ID, m.File, strings.ReplaceAll(m.Test, "|", "\\|"), m.Package)
	}
	return b.Bytes()
}

// casesOf lists the cases about a rule: the first few, and how many more there are.
func casesOf(rule string, cases []conformance.Case) string {
	const shown = 3
	var ids []string
	for _, c := range cases {
		if slices.Contains(c.Rules, rule) {
			ids = append(ids, c.ID)
		}
	}
	if len(ids) > shown {
		ids = append(ids[:shown], fmt.Sprintf("and %d more", len(ids)-shown))
	}
	return strings.Join(ids, ", ")
}

func mutantsOf(rule string, table []Mutant) string {
	var ids []string
	for _, m := range table {
		if m.Rule == rule {
			ids = append(ids, m.ID)
		}
	}
	return strings.Join(ids, ", ")
}
