package schedule

import (
	"fmt"
	"iter"
	"runtime/debug"
)

// Setup makes the program of one schedule. It is called anew for each, and must do the same each time: nothing may be
// left of the run before. It may keep y, for hooks of the code under test, which do not know which thread runs them.
type Setup func(y *Yielder) Program

// Program is a concurrent program before its first step.
type Program struct {
	Threads []Thread // 1 to 64
	// Finally, if there is one, judges what is left when all threads have ended.
	Finally func() error
}

// Thread is one thread of a program. Run must not start goroutines, wait for anything but by Block, or call what ends
// the goroutine it runs on, like the FailNow of a test.
type Thread struct {
	Name string
	Run  func(y *Yielder)
}

// Yielder is how the thread that runs gives way. There is one for all threads of a program, and it is for them alone.
type Yielder struct{ r *runner }

// Yield gives way before what point names. Outside of a thread, in Setup or Finally, it does nothing.
func (y *Yielder) Yield(point string) { y.r.giveWay(point, nil) }

// Block gives way before what point names, until the condition holds. The explorer asks for it before each step, so it
// must not change anything. A program in which all threads wait is a failure: ErrDeadlock.
func (y *Yielder) Block(point string, until func() bool) { y.r.giveWay(point, until) }

// Failf ends the schedule: the program is broken, and this is how.
func (y *Yielder) Failf(format string, args ...any) { panic(violation{fmt.Errorf(format, args...)}) }

// Mutex stands for a lock that the program holds while it gives way. The zero Mutex is free.
type Mutex struct{ held bool }

// Lock gives way before what point names, until the lock is free, and takes it.
func (m *Mutex) Lock(y *Yielder, point string) {
	y.Block(point, m.free)
	m.held = true
}

func (m *Mutex) free() bool { return !m.held }

// Unlock frees the lock. It is no point: what the thread does next has one of its own.
func (m *Mutex) Unlock() {
	if !m.held {
		panic("schedule: unlock of a free Mutex")
	}
	m.held = false
}

// violation is what Failf throws, and unwound what ends a thread whose schedule is over.
type (
	violation struct{ err error }
	unwound   struct{}
)

// thread is a coroutine that runs the thread of the same index of one program after the other: to make one costs more
// than many steps.
type thread struct {
	Thread
	next  func() (struct{}, bool)
	stop  func()
	yield func(struct{}) bool

	point   string      // what it does next
	until   func() bool // what it waits for; nil if nothing
	ended   bool        // Run returned, and the coroutine stands between two programs
	leaving bool        // it is being unwound: points do nothing
}

// runner runs single schedules.
type runner struct {
	setup   Setup
	most    int // steps of a schedule
	y       Yielder
	program Program
	threads []*thread
	running int // the thread that runs, -1 if none does

	live, waiting uint64 // by thread: not ended, and of these those with a condition
	err           error  // what broke the schedule
	trace         string // of the goroutine, if it was a panic
}

func newRunner(setup Setup, most int) *runner {
	r := &runner{setup: setup, most: most, running: -1}
	r.y.r = r
	return r
}

// begin makes the program and puts each thread before its first step.
func (r *runner) begin() error {
	r.program = r.setup(&r.y)
	n := len(r.program.Threads)
	if n == 0 || n > 64 {
		return fmt.Errorf("schedule: a program has 1 to 64 threads, not %d", n)
	}
	for len(r.threads) < n {
		r.threads = append(r.threads, &thread{})
	}
	for i, t := range r.program.Threads {
		s := r.threads[i]
		s.Thread, s.point, s.until, s.ended = t, "start", nil, false
		if s.next == nil {
			s.next, s.stop = iter.Pull(r.coroutine(s))
		}
	}
	r.live, r.waiting, r.err, r.trace = 1<<(n-1)|(1<<(n-1)-1), 0, nil, ""
	return nil
}

// coroutine runs s.Run once for each program.
func (r *runner) coroutine(s *thread) iter.Seq[struct{}] {
	return func(yield func(struct{}) bool) {
		s.yield = yield
		for {
			r.once(s)
			s.ended = true
			if !yield(struct{}{}) {
				return
			}
		}
	}
}

// once runs s.Run.
func (r *runner) once(s *thread) {
	defer r.catch(&s.Name)
	s.Run(&r.y)
}

// finally judges what is left.
func (r *runner) finally() {
	who := "what is checked in the end"
	defer r.catch(&who)
	if r.program.Finally != nil {
		r.err = r.program.Finally()
	}
}

// catch makes a panic of the program an error of the schedule; the first one counts.
func (r *runner) catch(who *string) {
	err, trace := error(nil), ""
	switch v := recover().(type) {
	case nil, unwound:
	case violation:
		err = v.err
	default:
		err, trace = fmt.Errorf("%s panics: %v", *who, v), string(debug.Stack())
	}
	if r.err == nil {
		r.err, r.trace = err, trace
	}
}

// giveWay parks the thread that runs.
func (r *runner) giveWay(point string, until func() bool) {
	if r.running < 0 {
		return
	}
	s := r.threads[r.running]
	if s.leaving {
		return // a deferred call of a thread that is being unwound
	}
	s.point, s.until = point, until
	if !s.yield(struct{}{}) {
		s.leaving = true
		panic(unwound{})
	}
}

// enabled is which threads can take a step.
func (r *runner) enabled() uint64 {
	can := r.live
	if r.waiting != 0 {
		for i := range r.program.Threads {
			if r.waiting&(1<<i) != 0 && !r.threads[i].until() {
				can &^= 1 << i
			}
		}
	}
	return can
}

// step lets thread i go on to its next point.
func (r *runner) step(i int) {
	s := r.threads[i]
	bit := uint64(1) << i
	r.running = i
	s.next()
	r.running = -1
	r.waiting &^= bit
	switch {
	case s.ended:
		r.live &^= bit
	case s.until != nil:
		r.waiting |= bit
	}
}

// run runs one schedule to its end: pick is asked for each step who takes it, of those who can. It returns the error
// of the program or of pick.
func (r *runner) run(pick func(step int, enabled uint64) (int, error)) (broken, err error) {
	if err := r.begin(); err != nil {
		return nil, err
	}
	defer r.clear()
	for step := 0; r.err == nil; step++ {
		enabled := r.enabled()
		switch {
		case r.live == 0:
			r.finally()
			return r.err, nil
		case enabled == 0:
			return r.deadlock(), nil
		case step == r.most:
			return fmt.Errorf("%w: %d steps", ErrEndless, step), nil
		}
		i, err := pick(step, enabled)
		if err != nil {
			return nil, err
		}
		r.step(i)
	}
	return r.err, nil
}

// deadlock says who waits for what.
func (r *runner) deadlock() error {
	text := ""
	for i, t := range r.program.Threads {
		if r.live&(1<<i) != 0 {
			text += fmt.Sprintf("; %s waits at %s", t.Name, r.threads[i].point)
		}
	}
	return fmt.Errorf("%w%s", ErrDeadlock, text)
}

// clear unwinds what a schedule that was broken off has left in the middle of something.
func (r *runner) clear() {
	if r.live == 0 {
		return
	}
	for i := range r.program.Threads {
		if s := r.threads[i]; !s.ended {
			r.end(i)
		}
	}
	r.live = 0
}

// end ends the coroutine of thread i.
func (r *runner) end(i int) {
	s := r.threads[i]
	r.running = i // for what its deferred calls do
	s.stop()
	r.running = -1
	r.threads[i] = &thread{}
}

// close ends all coroutines.
func (r *runner) close() {
	for i, s := range r.threads {
		if s.next != nil {
			r.end(i)
		}
	}
}
