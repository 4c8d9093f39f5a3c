package conformance

import (
	"fmt"
	"strings"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// Verdict is the outcome of one case.
type Verdict string

// The verdicts. Untestable means that the positive control failed, so that the reaction proves nothing either way.
// HarnessError is a fault of the suite itself.
const (
	Pass         Verdict = "pass"
	Fail         Verdict = "fail"
	Warn         Verdict = "warn"        // a SHOULD was not met
	Info         Verdict = "info"        // latitude of a MAY, or what was seen where the law leaves a choice
	Unsupported  Verdict = "unsupported" // an optional feature that the node does not declare, or a means that the suite was not given
	Untestable   Verdict = "untestable"
	HarnessError Verdict = "harness-error"
)

// verdicts is every Verdict in the order of the summary.
func verdicts() []Verdict {
	return []Verdict{Pass, Fail, Warn, Info, Unsupported, Untestable, HarnessError}
}

// Red says whether v is a failure of the run.
func (v Verdict) Red() bool { return v == Fail || v == Untestable || v == HarnessError }

// Result is what a run has to say about one case.
type Result struct {
	ID         string     `json:"id"`
	Rules      []string   `json:"rules"`
	Level      spec.Level `json:"level"`
	Feature    string     `json:"feature,omitempty"`
	Profile    Profile    `json:"profile"`
	Verdict    Verdict    `json:"verdict"`
	Detail     string     `json:"detail,omitempty"`     // why, when the verdict is not pass
	Transcript string     `json:"transcript,omitempty"` // what went over the wire, when the verdict is red or warn
	Millis     int64      `json:"ms"`                   // wall time of the case
}

// Summary counts results by verdict.
type Summary map[Verdict]int

// Summarize counts.
func Summarize(results []Result) Summary {
	s := Summary{}
	for _, r := range results {
		s[r.Verdict]++
	}
	return s
}

// Red is the number of failures of the run.
func (s Summary) Red() (n int) {
	for v, k := range s {
		if v.Red() {
			n += k
		}
	}
	return n
}

// String is one line, for example "120 cases: 118 pass, 1 fail, 1 unsupported".
func (s Summary) String() string {
	total, parts := 0, []string{}
	for _, v := range verdicts() {
		if total += s[v]; s[v] > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", s[v], v))
		}
	}
	return fmt.Sprintf("%d cases: %s", total, strings.Join(parts, ", "))
}

// Explain is the failure of r for people: the detail, the text of every rule of the case, and the transcript.
func (r Result) Explain(law spec.Law) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s: %s\n", r.ID, r.Verdict, r.Detail)
	for _, id := range r.Rules {
		rule, ok := law.Rule(id)
		if !ok {
			fmt.Fprintf(&b, "  %s is not a rule of this law\n", id)
			continue
		}
		fmt.Fprintf(&b, "  %s %s: %s\n    why: %s\n", rule.ID, rule.Level, rule.Text, rule.Why)
	}
	b.WriteString(r.Transcript)
	return b.String()
}

func millis(d time.Duration) int64 { return d.Milliseconds() }
