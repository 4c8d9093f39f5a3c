package schedule_test

import (
	"context"
	"testing"
	"time"

	"github.com/rustyonions/micronode/chaos/evidence"
	"github.com/rustyonions/micronode/chaos/schedule"
)

// epoch is when every scenario takes place. Nothing here reads a clock but to say how fast it was.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// everyTime is the bound of the runs that `go test` makes every time.
const everyTime = 3

// scenario is a program of real code that no schedule may break.
type scenario struct {
	name  string
	setup schedule.Setup
	// schedules is how many there are with at most everyTime preemptions, points how many different points they reach. The
	// numbers change when a point is put in or taken out, when a thread does more or less, and when a thread can no longer
	// get in where it could before. Find out which it was before you write the new number here: a run of fewer
	// schedules than was thought is a check that quietly became weaker.
	schedules, points int
	// drawn, if not 0, is how many schedules are drawn at random instead, where there are too many for every time; with
	// -full it is fullDrawn.
	drawn, fullDrawn int
	// With -full the bound is fullBound (schedule.Unbounded, if that can be done in reasonable time), and there are
	// fullSchedules.
	fullBound, fullSchedules int
}

func (s scenario) run(t *testing.T) {
	t.Helper()
	ctx, bound, want, drawn := t.Context(), everyTime, s.schedules, s.drawn
	if *full {
		bound, want, drawn = s.fullBound, s.fullSchedules, s.fullDrawn
		var stop context.CancelFunc
		ctx, stop = context.WithTimeout(ctx, *budget)
		defer stop()
	}
	began := time.Now()
	var r schedule.Report
	var err error
	if drawn > 0 {
		bound, want = schedule.Unbounded, drawn
		r, err = schedule.Random(ctx, schedule.Draw{Seed: 1, Schedules: drawn, Depth: 5}, s.setup)
	} else {
		r, err = schedule.Explore(ctx, schedule.Options{Bound: bound}, s.setup)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r.Failure != nil {
		t.Fatalf("broken after %d schedules:\n%v", r.Schedules, r.Failure)
	}
	rate := float64(r.Schedules) / time.Since(began).Seconds()
	t.Logf("bound %d: %d schedules (%d distinct) of up to %d steps and %d preemptions, %.1f thousand/s", bound, r.Schedules, r.Distinct,
		r.Longest, r.Preemptions, rate/1e3)
	t.Logf("%d points: %q", len(r.Points), r.Points)
	if !r.Complete {
		t.Fatalf("%d schedules in %v, and there are more: raise -budget", r.Schedules, *budget)
	}
	if r.Schedules != want || len(r.Points) != s.points {
		t.Errorf("%d schedules through %d points, want %d through %d (what to do: see scenario)", r.Schedules, len(r.Points), want, s.points)
	}
	if bound < 0 {
		bound = r.Preemptions
	}
	evidence.Add(t, evidence.Entry{Check: "schedule/" + s.name, Figures: map[string]int64{
		"schedules": int64(r.Distinct), "steps": int64(r.Steps), "bound": int64(bound), "points": int64(len(r.Points)),
	}})
}

// planted explores a program that is broken on purpose and holds the schedule that shows it to testdata.
func planted(t *testing.T, name string, setup schedule.Setup) {
	t.Helper()
	r := explore(t, everyTime, setup)
	golden(t, name, setup, r.Failure)
	t.Logf("found after %d schedules:\n%v", r.Schedules, r.Failure)
}
