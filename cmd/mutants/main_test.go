package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/conformance"
	"github.com/rustyonions/micronode/spec"
)

// atRoot moves to the root of the module, where the paths of the table begin.
func atRoot(t *testing.T) []Mutant {
	t.Helper()
	t.Chdir("../..")
	table, err := load("cmd/mutants/mutants.json")
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// TestTable: every mutant has its place, and its rule exists. Whether it is killed takes longer: make mutants.
func TestTable(t *testing.T) {
	law, err := spec.Load()
	if err != nil {
		t.Fatal(err)
	}
	table := atRoot(t)
	if len(table) < 25 {
		t.Errorf("%d mutants", len(table))
	}
	for _, m := range table {
		if _, ok := law.Rule(m.Rule); !ok {
			t.Errorf("%s breaks %s, which is not in the law", m.ID, m.Rule)
		}
		if _, err := m.apply(); err != nil {
			t.Errorf("%s: %v", m.ID, err)
		}
		if _, err := os.Stat(filepath.FromSlash(strings.TrimPrefix(m.Package, "./"))); err != nil {
			t.Errorf("%s: %v", m.ID, err)
		}
	}
}

// TestDocument: the page for people says what the table says.
func TestDocument(t *testing.T) {
	table := atRoot(t)
	page, err := os.ReadFile(docPath)
	if err != nil {
		t.Fatal(err)
	}
	law, err := spec.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range law.Rules() {
		if slices.Contains(pages, r.File) && r.Level == spec.Must && (mutantsOf(r.ID, table) == "") == (unbroken[r.ID] == "") {
			t.Errorf("%s (%s): mutants %q, and the reason for none is %q", r.ID, r.File, mutantsOf(r.ID, table), unbroken[r.ID])
		}
	}
	if !bytes.Equal(page, document(table, law, conformance.Cases())) {
		t.Errorf("%s is not made from the table: go run ./cmd/mutants -doc", docPath)
	}
}

// TestLoadRefuses: a table with a hole in it is none.
func TestLoadRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"no rule":       `[{"id":"a","file":"f","find":"x","replace":"y","package":"p","test":"T"}]`,
		"changes none":  `[{"id":"a","rule":"R","file":"f","find":"x","replace":"x","package":"p","test":"T"}]`,
		"twice":         `[{"id":"a","rule":"R","file":"f","find":"x","replace":"y","package":"p","test":"T"},{"id":"a","rule":"R","file":"f","find":"x","replace":"y","package":"p","test":"T"}]`,
		"unknown field": `[{"id":"a","rule":"R","file":"f","find":"x","replace":"y","package":"p","test":"T","skip":true}]`,
	} {
		path := filepath.Join(t.TempDir(), "table.json")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := load(path); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}
