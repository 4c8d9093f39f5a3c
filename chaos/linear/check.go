package linear

import (
	"cmp"
	"slices"
	"time"

	"github.com/anishathalye/porcupine"
)

// Verdict is what a check found.
type Verdict string

// The verdicts. Undecided is never a success: it says that nothing is known.
const (
	Legal     Verdict = "legal"     // an order of effects explains all answers
	Illegal   Verdict = "illegal"   // none does
	Undecided Verdict = "undecided" // the time was over
)

// Report is the result of Check.
type Report struct {
	Verdict Verdict
	// ByObject has the verdict of each object of the history; they are independent of each other.
	ByObject []Verdict
	// Width is how many operations were in progress at the same moment at most, and ObjectWidth how many on one object.
	Width, ObjectWidth int
	// Took is how long the check itself ran.
	Took time.Duration
}

// Check looks for an order of effects that explains the answers of h, for each address by itself: operations on
// different addresses do not know each other. It gives up on an address after limit, which is above 0. The error is that
// of Validate.
func Check(h History, limit time.Duration) (Report, error) {
	if err := h.Validate(); err != nil {
		return Report{}, err
	}
	began := time.Now()
	r := Report{Verdict: Legal}
	model := register(h)
	intervals := h.intervals()
	r.Width = width(intervals)
	for i := range h.Objects {
		ops, where := h.operations(i, intervals)
		v := Legal
		if len(ops) > 0 {
			v = verdicts[porcupine.CheckOperationsTimeout(model, ops, limit)]
		}
		r.ByObject = append(r.ByObject, v)
		r.ObjectWidth = max(r.ObjectWidth, width(where))
		if v == Illegal || v == Undecided && r.Verdict == Legal {
			r.Verdict = v
		}
	}
	r.Took = time.Since(began)
	return r, nil
}

var verdicts = map[porcupine.CheckResult]Verdict{
	porcupine.Ok: Legal, porcupine.Illegal: Illegal, porcupine.Unknown: Undecided,
}

// operations translates what h says about one object for porcupine.
func (h History) operations(object int, intervals []interval) (ops []porcupine.Operation, where []interval) {
	for i, o := range h.Ops {
		if o.Kind == Restart || o.Object == object {
			ops = append(ops, porcupine.Operation{
				ClientId: o.Client, Input: o, Output: o.Answer, Call: intervals[i].from, Return: intervals[i].to,
			})
			where = append(where, intervals[i])
		}
	}
	return ops, where
}

// width is the largest number of intervals that share a moment. Where one ends as another begins they do not count as
// sharing it, so the figure is not flattered by a coarse clock.
func width(list []interval) int {
	type edge struct {
		at   int64
		step int
	}
	edges := make([]edge, 0, 2*len(list))
	for _, i := range list {
		edges = append(edges, edge{i.from, 1}, edge{i.to, -1})
	}
	slices.SortFunc(edges, func(a, b edge) int { return cmp.Or(cmp.Compare(a.at, b.at), a.step-b.step) })
	most, now := 0, 0
	for _, e := range edges {
		now += e.step
		most = max(most, now)
	}
	return most
}
