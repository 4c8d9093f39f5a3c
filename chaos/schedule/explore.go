package schedule

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"slices"
)

// What is wrong with a program in which nobody can go on, or that takes more steps than Options allow.
var (
	ErrDeadlock = errors.New("deadlock")
	ErrEndless  = errors.New("no end in sight")
)

// Unbounded as a bound allows every schedule.
const Unbounded = -1

// Options say which schedules are explored.
type Options struct {
	Bound int // preemptions in one schedule, at most; Unbounded for no limit
	Steps int // steps in one schedule, above which the program counts as endless; 0 means 10,000
}

// Report is what an exploration found.
type Report struct {
	Schedules   int      // that ran
	Distinct    int      // of these; Explore runs none twice
	Steps       int      // in all of them
	Longest     int      // steps of the longest
	Preemptions int      // in the schedule with most
	Points      []string // that were reached, sorted
	Complete    bool     // there is no other schedule within the options
	Failure     *Failure // nil if no schedule broke the program
}

// Explore runs every schedule of a program with at most opts.Bound preemptions, depth-first, until one breaks it or
// ctx ends, which is no error but makes the report incomplete. From the one that broke it, Explore goes on to the
// smallest: with the fewest preemptions, and of these with the fewest steps. The error is about the program itself: it
// has no threads, or does not do the same thing twice.
func Explore(ctx context.Context, opts Options, setup Setup) (Report, error) {
	x := newSearch(opts, setup)
	defer x.close()
	for {
		broken, err := x.run(x.pick)
		if err != nil {
			return x.report(), err
		}
		if x.count(broken) {
			err := x.minimise(ctx)
			return x.report(), err
		}
		if !x.backtrack() {
			x.complete = true
			return x.report(), nil
		}
		if x.schedules%1024 == 0 && ctx.Err() != nil {
			return x.report(), nil
		}
	}
}

// decision is who took one step of the schedule.
type decision struct {
	enabled   uint64 // those who could; another time it has to be the same
	left      uint64 // those still to be tried
	thread    int
	point     string
	preempted int // before this step
}

// search goes through schedules depth-first.
type search struct {
	*runner
	opts  Options
	stack []decision // of the schedule that runs or ran last
	fixed int        // as much of stack is the same as the time before, but for the thread of the last

	schedules, steps, longest, preemptions int
	points                                 map[string]bool
	complete                               bool
	failure                                *Failure
}

func newSearch(opts Options, setup Setup) *search {
	if opts.Steps == 0 {
		opts.Steps = 10_000
	}
	return &search{runner: newRunner(setup, opts.Steps), opts: opts, points: map[string]bool{}}
}

// pick repeats the fixed part of the schedule; behind it, whoever ran goes on as long as that is possible.
func (x *search) pick(step int, enabled uint64) (int, error) {
	if step < x.fixed {
		d := &x.stack[step]
		point := x.threads[d.thread].point
		if step == x.fixed-1 { // this thread was not tried here before
			d.point, x.points[point] = point, true
		}
		if d.enabled != enabled || d.point != point {
			return 0, fmt.Errorf("schedule: the program is not deterministic: step %d, %q by thread %d of %b, is now %q of %b",
				step+1, d.point, d.thread, d.enabled, point, enabled)
		}
		return d.thread, nil
	}
	return x.push(enabled, -1), nil
}

// push adds a step to the schedule, by the given thread or, if it is -1, by the one that ran.
func (x *search) push(enabled uint64, thread int) int {
	d := decision{enabled: enabled, left: enabled, thread: thread}
	if step := len(x.stack); step > 0 {
		last := x.stack[step-1].thread
		d.preempted = x.after(step - 1)
		if enabled&(1<<last) != 0 {
			if d.thread < 0 {
				d.thread = last
			}
			if d.preempted == x.opts.Bound {
				d.left = 1 << last
			}
		}
	}
	if d.thread < 0 {
		d.thread = bits.TrailingZeros64(enabled)
	}
	d.left &^= 1 << d.thread
	d.point = x.threads[d.thread].point
	x.stack = append(x.stack, d)
	x.points[d.point] = true
	return d.thread
}

// after is the number of preemptions up to and including a step.
func (x *search) after(step int) int {
	d := &x.stack[step]
	if step > 0 {
		if last := x.stack[step-1].thread; last != d.thread && d.enabled&(1<<last) != 0 {
			return d.preempted + 1
		}
	}
	return d.preempted
}

// backtrack turns the stack into the beginning of the next schedule, if there is one.
func (x *search) backtrack() bool {
	for n := len(x.stack); n > 0; n-- {
		if d := &x.stack[n-1]; d.left != 0 {
			d.thread = bits.TrailingZeros64(d.left)
			d.left &^= 1 << d.thread
			x.stack, x.fixed = x.stack[:n], n
			return true
		}
	}
	return false
}

// count takes the schedule that just ran into the report, and says whether it broke the program.
func (x *search) count(broken error) bool {
	n := len(x.stack)
	x.schedules++
	x.steps += n
	x.longest = max(x.longest, n)
	preemptions := 0
	if n > 0 {
		preemptions = x.after(n - 1)
	}
	x.preemptions = max(x.preemptions, preemptions)
	if broken == nil {
		return false
	}
	x.failure = x.describe(broken, preemptions)
	return true
}

func (x *search) report() Report {
	r := Report{
		Schedules: x.schedules, Distinct: x.schedules, Steps: x.steps, Longest: x.longest, Preemptions: x.preemptions,
		Complete: x.complete, Failure: x.failure,
	}
	for p := range x.points {
		r.Points = append(r.Points, p)
	}
	slices.Sort(r.Points)
	return r
}
