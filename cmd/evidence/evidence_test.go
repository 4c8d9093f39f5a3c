package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/chaos/evidence"
)

// whole writes an entry for every promise and returns the folder.
func whole(t *testing.T) (out, entries string) {
	t.Helper()
	out = t.TempDir()
	entries = filepath.Join(out, "entries")
	if err := os.Mkdir(entries, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"fuzz/y"} { // kinds without a promise of their own must not be empty
		if err := save(entries, evidence.Entry{Check: kind, Figures: map[string]int64{"executions": 7}}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range promises() {
		e := evidence.Entry{Check: p.check, Figures: map[string]int64{}}
		for _, f := range p.figures {
			e.Figures[f] = 1234
		}
		if err := save(entries, e); err != nil {
			t.Fatal(err)
		}
	}
	return out, entries
}

func pageOnly(t *testing.T, out string) (status int, l ledger, page string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	status = run(context.Background(), []string{"-page-only", "-out", out}, &stdout, &stderr)
	text, err := os.ReadFile(filepath.Join(out, "evidence.json"))
	if err != nil {
		t.Fatal(err, stderr.String())
	}
	if err := json.Unmarshal(text, &l); err != nil {
		t.Fatal(err)
	}
	html, err := os.ReadFile(filepath.Join(out, "evidence.html"))
	if err != nil {
		t.Fatal(err)
	}
	return status, l, string(html)
}

func TestWholeLedger(t *testing.T) {
	out, _ := whole(t)
	status, l, page := pageOnly(t, out)
	if status != 0 || l.Red != 0 || l.Entries != len(promises())+1 {
		t.Errorf("status %d, %d of %d red", status, l.Red, l.Entries)
	}
	if !strings.Contains(page, "none red") || !strings.Contains(page, "1,234") {
		t.Error("the page does not say so")
	}
	for _, outside := range []string{"http://", "https://", "src=", "<link", "<script"} {
		if strings.Contains(page, outside) {
			t.Errorf("the page reaches out: %s", outside)
		}
	}
}

func TestRed(t *testing.T) {
	victim := promises()[0]
	for name, spoil := range map[string]func(entries string) error{
		"a whole kind": func(dir string) error { return os.Remove(filepath.Join(dir, evidence.File("fuzz/y"))) },
		"missing":      func(dir string) error { return os.Remove(filepath.Join(dir, evidence.File(victim.check))) },
		"empty":        func(dir string) error { return save(dir, evidence.Entry{Check: victim.check}) },
		"zero": func(dir string) error {
			return save(dir, evidence.Entry{Check: victim.check, Figures: map[string]int64{victim.figures[0]: 0, "other": 5}})
		},
		"failed": func(dir string) error {
			e := evidence.Entry{Check: victim.check, Failed: true, Figures: map[string]int64{}}
			for _, f := range victim.figures {
				e.Figures[f] = 1
			}
			return save(dir, e)
		},
		"not promised, and failed": func(dir string) error {
			return save(dir, evidence.Entry{Check: "fuzz/x", Failed: true, Figures: map[string]int64{"executions": 1}})
		},
		"not promised, and nothing executed": func(dir string) error {
			return save(dir, evidence.Entry{Check: "fuzz/x", Figures: map[string]int64{"executions": 0, "corpus": 4}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			out, entries := whole(t)
			if err := spoil(entries); err != nil {
				t.Fatal(err)
			}
			status, l, page := pageOnly(t, out)
			if status != 1 || l.Red != 1 {
				t.Errorf("status %d, %d red", status, l.Red)
			}
			if !strings.Contains(page, "1 red") || strings.Contains(page, "none red") {
				t.Error("the page does not say so")
			}
		})
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"x"}, {"-histories", "0"}, {"-fuzz", "0s"}, {"-nonsense"}} {
		var stdout, stderr bytes.Buffer
		if status := run(context.Background(), args, &stdout, &stderr); status != 2 || stderr.Len() == 0 {
			t.Errorf("%q: status %d, %q", args, status, stderr.String())
		}
	}
}

func TestReaders(t *testing.T) {
	entries, err := readTLC([]byte(`{"run":"Cas","states":5,"depth":3,"edges":9,"ms":10,"graph":"equal"}
{"run":"CasTwins:SpecA","states":2,"depth":2,"ms":3,"violated":"Safe"}
{"run":"CasTwins:SpecB","states":2,"depth":2,"ms":4,"problem":"violates nothing"}
`))
	if err != nil || len(entries) != 2 {
		t.Fatalf("%v, %v", entries, err)
	}
	if e := entries[0]; e.Check != "tlc/Cas" || e.Failed || e.Figures["edges"] != 9 {
		t.Errorf("%+v", e)
	}
	if e := entries[1]; e.Check != "twins/Cas" || !e.Failed || e.Figures["run"] != 2 || e.Figures["caught"] != 1 {
		t.Errorf("%+v", e)
	}
	entries, err = readFuzz([]byte(`{"targets":[{"package":"fuzz","target":"FuzzX","executions":7,"corpus":1},{"package":"fuzz","target":"FuzzY","error":"no"}]}`))
	if err != nil || len(entries) != 2 || entries[0].Failed || !entries[1].Failed || entries[0].Figures["executions"] != 7 {
		t.Errorf("%+v, %v", entries, err)
	}
	if _, err := readFuzz([]byte("oops")); err == nil {
		t.Error("no report is no error")
	}
}
