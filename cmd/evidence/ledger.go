package main

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/rustyonions/micronode/chaos/evidence"
)

// row is an entry with its verdict.
type row struct {
	evidence.Entry
	Problem string `json:"problem,omitempty"` // why it is red; empty when it is not
}

// ledger is the whole of it.
type ledger struct {
	Made    time.Time        `json:"made"`
	System  string           `json:"system"`
	Kinds   map[string][]row `json:"kinds"`
	Red     int              `json:"red"`
	Entries int              `json:"entries"`
}

// collect reads the entries and holds them to the promises.
func collect(dir string) (*ledger, error) {
	l := &ledger{Made: time.Now().UTC(), Kinds: map[string][]row{},
		System: fmt.Sprintf("%s/%s, %d processors, %s", runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), runtime.Version())}
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil {
		return nil, err
	}
	have := map[string]evidence.Entry{}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		var e evidence.Entry
		if err := json.Unmarshal(text, &e); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		have[e.Check] = e
	}
	for _, p := range promises() {
		e, ok := have[p.check]
		if !ok {
			l.add(row{evidence.Entry{Check: p.check}, "it did not run, or ended before it had something to show"})
			continue
		}
		delete(have, p.check)
		l.add(judge(e, p.figures))
	}
	for _, check := range slices.Sorted(maps.Keys(have)) {
		l.add(judge(have[check], nil))
	}
	for _, k := range kinds {
		if len(l.Kinds[k.name]) == 0 {
			l.add(row{evidence.Entry{Check: k.name + "/nothing"}, "no check of this kind left an entry"})
		}
	}
	return l, nil
}

// judge holds an entry to the figures that it must have.
func judge(e evidence.Entry, must []string) row {
	r := row{Entry: e}
	switch missing := slices.DeleteFunc(slices.Clone(must), func(f string) bool { return e.Figures[f] > 0 }); {
	case e.Failed:
		r.Problem = "it failed"
	case len(e.Figures) == 0:
		r.Problem = "it has no figures"
	case len(missing) > 0:
		r.Problem = "nothing under " + strings.Join(missing, ", ")
	case slices.Contains(slices.Collect(maps.Keys(e.Figures)), "executions") && e.Figures["executions"] == 0:
		r.Problem = "nothing was executed"
	}
	return r
}

func (l *ledger) add(r row) {
	kind, _, _ := strings.Cut(r.Check, "/")
	l.Kinds[kind] = append(l.Kinds[kind], r)
	l.Entries++
	if r.Problem != "" {
		l.Red++
	}
}

//go:embed page.html
var page string

func (l *ledger) write(dir string) error {
	text, err := json.MarshalIndent(l, "", "\t")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "evidence.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	t, err := template.New("page").Funcs(template.FuncMap{"subject": subject, "figures": figures, "number": number}).Parse(page)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	if err := t.Execute(&b, map[string]any{"Ledger": l, "Sections": l.sections()}); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "evidence.html"), b.Bytes(), 0o644)
}

type section struct {
	Name, Title, About string
	Rows               []row
	Red                int
	Totals             []figure
}

func (l *ledger) sections() []section {
	var all []section
	for _, k := range kinds {
		s := section{Name: k.name, Title: k.title, About: k.about, Rows: l.Kinds[k.name]}
		sums := map[string]int64{}
		for _, r := range s.Rows {
			if r.Problem != "" {
				s.Red++
			}
			for name, n := range r.Figures {
				sums[name] += n
			}
		}
		for _, name := range slices.Sorted(maps.Keys(sums)) {
			if len(s.Rows) > 1 && sums[name] > 0 && summable(name) {
				s.Totals = append(s.Totals, figure{name, sums[name], 0})
			}
		}
		all = append(all, s)
	}
	return all
}

// summable says whether adding a figure up over checks means something.
func summable(name string) bool {
	return !slices.Contains([]string{"depth", "width", "bound", "clients", "addresses", "max_ms"}, name)
}

type figure struct {
	Name  string
	Value int64
	Width int // of its bar, in percent of the largest value of the section; logarithmic
}

func figures(e evidence.Entry) []figure {
	var all []figure
	for _, name := range slices.Sorted(maps.Keys(e.Figures)) {
		digits := 0
		for n := e.Figures[name]; n > 0; n /= 4 {
			digits++
		}
		all = append(all, figure{name, e.Figures[name], min(100, digits*8)})
	}
	return all
}

func subject(check string) string {
	_, s, _ := strings.Cut(check, "/")
	return s
}

// number groups thousands.
func number(n int64) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

func (l *ledger) print(w io.Writer) {
	for _, s := range l.sections() {
		fmt.Fprintf(w, "\n%s\n", s.Title)
		for _, r := range s.Rows {
			var parts []string
			for _, f := range figures(r.Entry) {
				parts = append(parts, f.Name+" "+number(f.Value))
			}
			mark := "ok "
			if r.Problem != "" {
				mark = "RED"
				parts = append(parts, "("+r.Problem+")")
			}
			fmt.Fprintf(w, "  %s %-40s %s\n", mark, subject(r.Check), strings.Join(parts, ", "))
		}
	}
	fmt.Fprintf(w, "\n%d entries, %d red\n", l.Entries, l.Red)
}
