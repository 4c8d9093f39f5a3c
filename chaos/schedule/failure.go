package schedule

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Failure is a schedule that broke the program.
type Failure struct {
	Err         error  // what the program said, ErrDeadlock or ErrEndless
	Stack       string // of a thread that panicked
	Steps       []Step
	Preemptions int
	// Minimal says that no schedule with fewer preemptions breaks the program, nor a shorter one with as many.
	Minimal bool
}

// Step is one turn of a thread.
type Step struct {
	Thread   int    // its index
	Name     string // of the thread
	Point    string // where it went on, which names what it did next
	Preempts string // the thread that could have gone on instead, if that was no choice but a preemption
}

// Choices lists the threads that took the steps, for Replay.
func (f *Failure) Choices() []int {
	list := make([]int, len(f.Steps))
	for i, s := range f.Steps {
		list[i] = s.Thread
	}
	return list
}

// String is the failure as a table for people.
func (f *Failure) String() string {
	var b strings.Builder
	kind := "not known to be the smallest"
	if f.Minimal {
		kind = "none is smaller"
	}
	fmt.Fprintf(&b, "%v\n%d steps, preemptions: %d (%s)\n\n", f.Err, len(f.Steps), f.Preemptions, kind)
	wide, far := len("thread"), len("point")
	for _, s := range f.Steps {
		wide, far = max(wide, len(s.Name)), max(far, len(s.Point))
	}
	fmt.Fprintf(&b, "step  %-*s  point\n", wide, "thread")
	for i, s := range f.Steps {
		line := fmt.Sprintf("%4d  %-*s  %-*s", i+1, wide, s.Name, far, s.Point)
		if s.Preempts != "" {
			line += "  preempts " + s.Preempts
		}
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	fmt.Fprintf(&b, "\nreplay %s\n", strings.Trim(fmt.Sprint(f.Choices()), "[]"))
	if f.Stack != "" {
		b.WriteString("\n" + f.Stack)
	}
	return b.String()
}

// describe makes a Failure of the schedule that just ran.
func (x *search) describe(broken error, preemptions int) *Failure {
	f := &Failure{Err: broken, Stack: x.trace, Preemptions: preemptions}
	for i, d := range x.stack {
		s := Step{Thread: d.thread, Name: x.program.Threads[d.thread].Name, Point: d.point}
		if x.after(i) > d.preempted {
			s.Preempts = x.program.Threads[x.stack[i-1].thread].Name
		}
		f.Steps = append(f.Steps, s)
	}
	return f
}

// Replay runs the schedule in which the threads with these indices take the steps; when the list ends, whoever ran goes
// on as long as that is possible. It returns nil if the program is not broken. The error says that the list does not fit
// the program: a thread that should take a step has ended or waits.
func Replay(opts Options, setup Setup, choices []int) (*Failure, error) {
	x := newSearch(opts, setup)
	defer x.close()
	broken, err := x.run(func(step int, enabled uint64) (int, error) {
		thread := -1
		if step < len(choices) {
			if thread = choices[step]; thread < 0 || thread > 63 || enabled&(1<<thread) == 0 {
				return 0, fmt.Errorf("schedule: step %d of the replay: thread %d can not take it", step+1, thread)
			}
		}
		return x.push(enabled, thread), nil
	})
	if err != nil {
		return nil, err
	}
	x.count(broken)
	return x.failure, nil
}

// effort is how many steps the search for the smallest failure may take.
const effort = 3_000_000

// errLonger ends a schedule that can not be shorter than the failure at hand any more.
var errLonger = errors.New("longer")

// minimise looks for a smaller failure: with no preemption, then with one, up to those of the failure at hand. All
// schedules of the first bound with a failure are run, for the shortest.
func (x *search) minimise(ctx context.Context) error {
	left := effort
	for bound := range x.failure.Preemptions + 1 {
		y := newSearch(Options{Bound: bound, Steps: x.opts.Steps}, x.setup)
		best, err := y.shortest(ctx, left)
		y.close()
		if err != nil {
			return err
		}
		if best != nil {
			x.failure, best.Minimal = best, y.complete
			return nil
		}
		if !y.complete {
			return nil
		}
		left -= y.steps
	}
	return errors.New("schedule: the program is not deterministic: a failure did not happen again")
}

// shortest runs all schedules of the options, but no more than limit steps, and returns the shortest failure, nil if there
// is none.
func (x *search) shortest(ctx context.Context, limit int) (best *Failure, err error) {
	for {
		broken, err := x.run(func(step int, enabled uint64) (int, error) {
			if best != nil && step >= len(best.Steps)-1 {
				return 0, errLonger
			}
			return x.pick(step, enabled)
		})
		if err != nil && err != errLonger {
			return nil, err
		}
		if x.count(broken) {
			best = x.failure
		}
		if !x.backtrack() {
			x.complete = true
			return best, nil
		}
		if x.steps >= limit || x.schedules%1024 == 0 && ctx.Err() != nil {
			return best, nil
		}
	}
}
