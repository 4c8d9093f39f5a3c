package main

import (
	"fmt"
	"strings"
	"time"
)

// result is what a campaign did with one target.
type result struct {
	Package    string   `json:"package"` // folder below the root of the module
	Target     string   `json:"target"`
	Executions int64    `json:"executions"`
	New        int64    `json:"new_interesting"`
	Corpus     int64    `json:"corpus"` // inputs with coverage of their own at the end
	Seconds    float64  `json:"seconds"`
	Slices     int      `json:"slices"`
	Plain      bool     `json:"without_coverage,omitempty"`
	Failing    []string `json:"failing,omitempty"` // failing inputs, files relative to the root of the module
	Error      string   `json:"error,omitempty"`   // why the target did not run
}

func (r *result) String() string { return r.Package + "." + r.Target }

// done says that the target takes no part any more: from the first failing input on, every run would find it again.
func (r *result) done() bool { return len(r.Failing) > 0 || r.Error != "" }

func (r *result) rate() float64 {
	if r.Seconds == 0 {
		return 0
	}
	return float64(r.Executions) / r.Seconds
}

func (r *result) add(o output, took time.Duration) {
	r.Slices++
	r.Executions += o.Execs
	r.New += o.Interesting
	r.Corpus = max(r.Corpus, o.Corpus)
	r.Seconds += took.Seconds()
}

// report is what a campaign did.
type report struct {
	Event      string    `json:"event"`   // "fuzz-campaign"
	Verdict    string    `json:"verdict"` // "clean", "failing" or "incomplete"
	Executions int64     `json:"executions"`
	New        int64     `json:"new_interesting"`
	Failing    int       `json:"failing"`
	Seconds    float64   `json:"seconds"`
	Targets    []*result `json:"targets"`
}

// sum fills the totals in. A target that executed nothing makes a campaign incomplete: it is no evidence.
func (r *report) sum(took time.Duration) {
	r.Seconds = took.Seconds()
	incomplete := false
	for _, t := range r.Targets {
		r.Executions += t.Executions
		r.New += t.New
		r.Failing += len(t.Failing)
		incomplete = incomplete || t.Error != "" || t.Executions == 0 && len(t.Failing) == 0
	}
	switch {
	case r.Failing > 0:
		r.Verdict = "failing"
	case incomplete:
		r.Verdict = "incomplete"
	default:
		r.Verdict = "clean"
	}
}

func (r *report) exitStatus() int {
	return map[string]int{"clean": 0, "failing": 1, "incomplete": 2}[r.Verdict]
}

// String is the report for people: a line for each target, with its failing inputs below it, and a line of totals.
func (r *report) String() string {
	var b strings.Builder
	for _, t := range r.Targets {
		fmt.Fprintf(&b, "%-42s %12d executions in %6.0f s, %6.0f/s, %5d new, corpus %d", t, t.Executions, t.Seconds, t.rate(), t.New, t.Corpus)
		if t.Plain {
			b.WriteString(", without coverage guidance on this platform")
		}
		if t.Error != "" {
			b.WriteString(": " + t.Error)
		}
		b.WriteString("\n")
		for _, f := range t.Failing {
			b.WriteString("    failing input: " + f + "\n")
		}
	}
	fmt.Fprintf(&b, "%-42s %12d executions in %6.0f s, %d new, %d failing inputs: %s", fmt.Sprintf("%d targets", len(r.Targets)),
		r.Executions, r.Seconds, r.New, r.Failing, r.Verdict)
	return b.String()
}
