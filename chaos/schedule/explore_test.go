package schedule_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rustyonions/micronode/chaos/schedule"
)

var (
	full   = flag.Bool("full", false, "run every schedule of the scenarios, or as many as their large bound allows: takes more than 10 minutes, so give go test a -timeout")
	budget = flag.Duration("budget", 10*time.Minute, "time for one scenario with -full; it fails when that is not enough")
	update = flag.Bool("update", false, "rewrite the schedules in testdata")
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// steps is a program of threads with so many steps each, which do nothing.
func steps(counts ...int) schedule.Setup {
	var p schedule.Program
	for i, n := range counts {
		p.Threads = append(p.Threads, schedule.Thread{Name: fmt.Sprintf("t%d", i), Run: func(y *schedule.Yielder) {
			for range n - 1 {
				y.Yield("on")
			}
		}})
	}
	return func(*schedule.Yielder) schedule.Program { return p }
}

// explore runs an exploration that must not be stopped by anything but a failure.
func explore(t testing.TB, bound int, setup schedule.Setup) schedule.Report {
	t.Helper()
	r, err := schedule.Explore(t.Context(), schedule.Options{Bound: bound}, setup)
	if err != nil {
		t.Fatal(err)
	}
	if !r.Complete && r.Failure == nil {
		t.Fatalf("stopped after %d schedules without a reason", r.Schedules)
	}
	return r
}

// The numbers of schedules are known: n!/(a!b!c!) without a bound; with one, each way to cut the threads into blocks and to
// put the blocks in a row counts if no more of them follow a piece of another thread than the bound allows.
func TestCounts(t *testing.T) {
	tests := []struct {
		bound  int
		counts []int
		want   int
	}{
		{schedule.Unbounded, []int{1}, 1},
		{schedule.Unbounded, []int{7}, 1},
		{schedule.Unbounded, []int{1, 1}, 2},
		{schedule.Unbounded, []int{2, 2}, 6},
		{schedule.Unbounded, []int{3, 4}, 35},
		{schedule.Unbounded, []int{1, 1, 1, 1, 1}, 120},
		{schedule.Unbounded, []int{2, 3, 4}, 1260},
		{0, []int{2, 2}, 2},
		{1, []int{2, 2}, 4},
		{2, []int{2, 2}, 6},
		{0, []int{6, 6, 6}, 6},
		{1, []int{6, 6, 6}, 96},
		{2, []int{6, 6, 6}, 1056},
		{3, []int{6, 6, 6}, 7806},
		{4, []int{6, 6, 6}, 42606},
	}
	if *full {
		tests = append(tests, struct {
			bound  int
			counts []int
			want   int
		}{schedule.Unbounded, []int{6, 6, 6}, 17153136})
	}
	for _, tt := range tests {
		began := time.Now()
		r := explore(t, tt.bound, steps(tt.counts...))
		if r.Schedules != tt.want || r.Failure != nil {
			t.Errorf("steps %v, bound %d: %d schedules, want %d; failure %v", tt.counts, tt.bound, r.Schedules, tt.want, r.Failure)
		}
		sum := 0
		for _, n := range tt.counts {
			sum += n
		}
		if r.Longest != sum || r.Steps != sum*tt.want {
			t.Errorf("steps %v, bound %d: %d steps in all, the longest schedule %d", tt.counts, tt.bound, r.Steps, r.Longest)
		}
		if tt.bound >= 0 && r.Preemptions != tt.bound {
			t.Errorf("steps %v, bound %d: at most %d preemptions", tt.counts, tt.bound, r.Preemptions)
		}
		if took := time.Since(began); r.Schedules > 10_000 {
			t.Logf("%d schedules of %d steps: %.0f thousand/s", r.Schedules, sum, float64(r.Schedules)/took.Seconds()/1e3)
		}
	}
}

// brute lists all orders of the steps of threads, and the number of preemptions in each, without a coroutine.
func brute(counts []int) (byBound map[int]int) {
	byBound = map[int]int{}
	left := slices.Clone(counts)
	var walk func(last, preempted int)
	walk = func(last, preempted int) {
		done := true
		for i := range left {
			if left[i] == 0 {
				continue
			}
			done = false
			more := preempted
			if last >= 0 && last != i && left[last] > 0 {
				more++
			}
			left[i]--
			walk(i, more)
			left[i]++
		}
		if done {
			byBound[preempted]++
		}
	}
	walk(-1, 0)
	return byBound
}

func TestCountsAgainstEnumeration(t *testing.T) {
	for _, counts := range [][]int{{3, 3}, {2, 3, 4}, {5, 1, 2}, {2, 2, 2, 2}, {1, 4, 1, 3}} {
		want := 0
		for bound, list := 0, brute(counts); bound < 12; bound++ {
			want += list[bound]
			if r := explore(t, bound, steps(counts...)); r.Schedules != want {
				t.Errorf("steps %v, bound %d: %d schedules, want %d", counts, bound, r.Schedules, want)
			}
		}
	}
}

// counter is a check-then-act race: each thread reads, and writes what it read plus one.
func counter(threads, rounds int) schedule.Setup {
	return func(*schedule.Yielder) schedule.Program {
		sum := 0
		p := schedule.Program{Finally: func() error {
			if sum != threads*rounds {
				return fmt.Errorf("the sum is %d, want %d", sum, threads*rounds)
			}
			return nil
		}}
		for i := range threads {
			p.Threads = append(p.Threads, schedule.Thread{Name: fmt.Sprintf("adder %d", i+1), Run: func(y *schedule.Yielder) {
				for range rounds {
					y.Yield("read")
					read := sum
					y.Yield("write")
					sum = read + 1
				}
			}})
		}
		return p
	}
}

// golden holds a failure to a file, and to being what it says: run again, it fails again in the same words.
func golden(t *testing.T, name string, setup schedule.Setup, f *schedule.Failure) {
	t.Helper()
	if f == nil {
		t.Fatal("the planted fault was not found")
	}
	if !f.Minimal {
		t.Error("nobody knows whether the schedule is the smallest")
	}
	again, err := schedule.Replay(schedule.Options{}, setup, f.Choices())
	if err != nil {
		t.Fatal(err)
	}
	if again == nil || again.Err.Error() != f.Err.Error() || !slices.Equal(again.Steps, f.Steps) || again.Preemptions != f.Preemptions {
		t.Errorf("the replay was different:\n%v\nwant\n%v", again, f)
	}
	file := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.WriteFile(file, []byte(f.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if f.String() != string(want) {
		t.Errorf("another schedule than in %s (rewrite it with -args -update):\n%s", file, f)
	}
}

func TestRaceIsFound(t *testing.T) {
	setup := counter(2, 1)
	r := explore(t, 3, setup)
	golden(t, "counter", setup, r.Failure)
	if f := r.Failure; f.Preemptions != 1 || len(f.Steps) != 6 {
		t.Errorf("one preemption between read and write is enough:\n%v", f)
	}
	if r := explore(t, 0, setup); r.Failure != nil || r.Schedules != 2 {
		t.Errorf("without a preemption nothing goes wrong: %+v", r)
	}
	// Minimal means minimal: no shorter list of choices, and none with fewer preemptions, breaks it.
	for bound := range r.Failure.Preemptions {
		if r := explore(t, bound, setup); r.Failure != nil {
			t.Errorf("there is a failure with %d preemptions", r.Failure.Preemptions)
		}
	}
}

// A failure inside of a thread ends the schedule there, and the shortest one is told: not that of the first user, who
// thinks before the use.
func TestShortest(t *testing.T) {
	setup := func(y *schedule.Yielder) schedule.Program {
		open := true
		user := func(thoughts int) func(*schedule.Yielder) {
			return func(y *schedule.Yielder) {
				for range thoughts {
					y.Yield("think")
				}
				for i := range 3 {
					y.Yield("use")
					if !open {
						y.Failf("closed at use %d", i+1)
					}
				}
			}
		}
		return schedule.Program{Threads: []schedule.Thread{
			{Name: "closer", Run: func(y *schedule.Yielder) {
				for range 2 {
					y.Yield("think")
				}
				open = false
				y.Yield("clean up")
			}},
			{Name: "slow user", Run: user(3)},
			{Name: "user", Run: user(0)},
		}}
	}
	r := explore(t, schedule.Unbounded, setup)
	golden(t, "shortest", setup, r.Failure)
	if f := r.Failure; f.Preemptions != 0 || len(f.Steps) != 6 || f.Steps[5].Name != "user" {
		t.Errorf("closer to its end, then user to its first use:\n%v", f)
	}
}

// forks is the dinner of philosophers who all take the left fork first.
func forks(n int, polite bool) schedule.Setup {
	return func(*schedule.Yielder) schedule.Program {
		table := make([]schedule.Mutex, n)
		var p schedule.Program
		for i := range n {
			left, right := &table[i], &table[(i+1)%n]
			if polite && i == n-1 {
				left, right = right, left
			}
			p.Threads = append(p.Threads, schedule.Thread{Name: fmt.Sprintf("philosopher %d", i+1), Run: func(y *schedule.Yielder) {
				left.Lock(y, "first fork")
				right.Lock(y, "second fork")
				y.Yield("eat")
				right.Unlock()
				left.Unlock()
			}})
		}
		return p
	}
}

func TestDeadlockIsFound(t *testing.T) {
	setup := forks(3, false)
	r := explore(t, 3, setup)
	golden(t, "deadlock", setup, r.Failure)
	if !errors.Is(r.Failure.Err, schedule.ErrDeadlock) {
		t.Errorf("%v", r.Failure.Err)
	}
	if r := explore(t, schedule.Unbounded, forks(3, true)); r.Failure != nil {
		t.Errorf("with one who takes the right fork first:\n%v", r.Failure)
	}
}

func TestEndless(t *testing.T) {
	setup := func(*schedule.Yielder) schedule.Program {
		return schedule.Program{Threads: []schedule.Thread{{Name: "spinner", Run: func(y *schedule.Yielder) {
			for {
				y.Yield("spin")
			}
		}}}}
	}
	r, err := schedule.Explore(t.Context(), schedule.Options{Bound: 1, Steps: 50}, setup)
	if err != nil || r.Failure == nil || !errors.Is(r.Failure.Err, schedule.ErrEndless) || len(r.Failure.Steps) != 50 {
		t.Fatalf("%v %v", r.Failure, err)
	}
}

// A panic of the code under test is a failure, wherever it comes from, and what was under way is unwound: deferred calls
// run, and their points do nothing.
func TestPanic(t *testing.T) {
	unwound := 0
	setup := func(y *schedule.Yielder) schedule.Program {
		armed := false
		return schedule.Program{Threads: []schedule.Thread{
			{Name: "a", Run: func(y *schedule.Yielder) {
				y.Yield("arm")
				armed = true
				y.Yield("disarm")
				armed = false
			}},
			{Name: "b", Run: func(y *schedule.Yielder) {
				defer func() {
					y.Yield("clean up")
					unwound++
				}()
				y.Yield("look")
				if armed {
					panic("boom")
				}
				y.Yield("look away")
			}},
			{Name: "c", Run: func(y *schedule.Yielder) {
				defer func() {
					y.Block("clean up", func() bool { return false })
					unwound++
				}()
				y.Block("wait", func() bool { return armed })
				y.Yield("go on")
			}},
		}}
	}
	f, err := schedule.Replay(schedule.Options{}, setup, []int{0, 0, 2, 2, 1, 1})
	if err != nil {
		t.Fatal(err)
	}
	if f == nil || f.Err.Error() != "b panics: boom" || !strings.Contains(f.Stack, "explore_test.go") || !strings.HasSuffix(f.String(), f.Stack) {
		t.Errorf("%v", f)
	}
	if unwound == 0 {
		t.Error("the threads were left where they stood")
	}
	inTheEnd := func(*schedule.Yielder) schedule.Program {
		p := steps(1)(nil)
		p.Finally = func() error { panic("boom") }
		return p
	}
	if r := explore(t, 0, inTheEnd); r.Failure == nil || !strings.Contains(r.Failure.Err.Error(), "boom") {
		t.Errorf("a panic in Finally: %v", r.Failure)
	}
}

// Points outside of threads are none: what Setup and Finally call must not be torn from them.
func TestNoThread(t *testing.T) {
	setup := func(y *schedule.Yielder) schedule.Program {
		y.Yield("setup")
		p := steps(2, 2)(y)
		p.Finally = func() error {
			y.Yield("finally")
			return nil
		}
		return p
	}
	if r := explore(t, schedule.Unbounded, setup); r.Schedules != 6 || !slices.Equal(r.Points, []string{"on", "start"}) {
		t.Errorf("%+v", r)
	}
}

func TestBadPrograms(t *testing.T) {
	calls := 0
	random := func(*schedule.Yielder) schedule.Program { // does something else every time
		calls++
		return steps(2+calls%3, 2)(nil)
	}
	renamed := func(*schedule.Yielder) schedule.Program {
		p := steps(1, 2, 2)(nil)
		calls++
		name := fmt.Sprint("point ", calls)
		p.Threads[0].Run = func(y *schedule.Yielder) { y.Yield(name) }
		return p
	}
	luck := func(*schedule.Yielder) schedule.Program {
		p := steps(1)(nil)
		calls++
		first := calls == 1
		p.Finally = func() error {
			if first {
				return errors.New("by chance")
			}
			return nil
		}
		return p
	}
	for name, setup := range map[string]schedule.Setup{
		"no threads":        steps(),
		"too many":          steps(make([]int, 65)...),
		"not deterministic": random,
		"other points":      renamed,
		"fails by chance":   luck,
	} {
		calls = 0
		if r, err := schedule.Explore(t.Context(), schedule.Options{Bound: schedule.Unbounded}, setup); err == nil {
			t.Errorf("%s: no error: %+v", name, r)
		}
	}
	if r := explore(t, 0, steps(make([]int, 64)[:3]...)); r.Schedules != 6 {
		t.Errorf("%+v", r)
	}
}

func TestReplay(t *testing.T) {
	setup := counter(2, 2)
	if f, err := schedule.Replay(schedule.Options{}, setup, nil); f != nil || err != nil {
		t.Errorf("one thread after the other: %v, %v", f, err)
	}
	f, err := schedule.Replay(schedule.Options{}, setup, []int{0, 0, 1})
	if err != nil || f == nil {
		t.Fatalf("a preemption after the first read: %v, %v", f, err)
	}
	if got := f.Choices(); !slices.Equal(got, []int{0, 0, 1, 1, 1, 1, 1, 0, 0, 0}) || f.Preemptions != 1 || f.Minimal {
		t.Errorf("%v", f)
	}
	for _, bad := range [][]int{{2}, {-1}, {64}, {0, 0, 0, 0, 0, 0}} {
		if _, err := schedule.Replay(schedule.Options{}, setup, bad); err == nil {
			t.Errorf("%v was run", bad)
		}
	}
	blocked := func(*schedule.Yielder) schedule.Program {
		p := steps(1, 1)(nil)
		p.Threads[0].Run = func(y *schedule.Yielder) { y.Block("wait", func() bool { return false }) }
		return p
	}
	if _, err := schedule.Replay(schedule.Options{}, blocked, []int{0, 0}); err == nil {
		t.Error("a thread that waits went on")
	}
}

func TestRandom(t *testing.T) {
	draw := schedule.Draw{Seed: 1, Schedules: 500, Depth: 3}
	setup := counter(3, 6)
	first, err := schedule.Random(t.Context(), draw, setup)
	if err != nil || first.Failure == nil {
		t.Fatalf("%+v, %v", first, err)
	}
	if f := first.Failure; f.Preemptions != 1 {
		t.Errorf("found at random and not made smaller:\n%v", f)
	}
	second, err := schedule.Random(t.Context(), draw, setup)
	if err != nil || second.Schedules != first.Schedules || second.Failure.String() != first.Failure.String() {
		t.Errorf("the same seed found something else: %+v", second)
	}
	ok, err := schedule.Random(t.Context(), draw, steps(5, 5, 5))
	if err != nil || !ok.Complete || ok.Schedules != 500 || ok.Distinct < 50 || ok.Distinct > 500 || ok.Preemptions > 2 {
		t.Errorf("%+v, %v", ok, err)
	}
	other := draw
	other.Seed++
	if r, err := schedule.Random(t.Context(), other, steps(5, 5, 5)); err != nil || r.Distinct == ok.Distinct && r.Steps == ok.Steps && r.Preemptions == 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestStops(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	stop()
	r, err := schedule.Explore(ctx, schedule.Options{Bound: schedule.Unbounded}, steps(9, 9, 9))
	if err != nil || r.Complete || r.Schedules != 1024 {
		t.Errorf("%+v, %v", r, err)
	}
	if r, err := schedule.Random(ctx, schedule.Draw{Schedules: 10}, steps(2)); err != nil || r.Complete {
		t.Errorf("%+v, %v", r, err)
	}
}

// BenchmarkExplore is about the explorer alone: three threads of six steps that do nothing, at bound 3.
func BenchmarkExplore(b *testing.B) {
	setup := steps(6, 6, 6)
	for b.Loop() {
		if _, err := schedule.Explore(b.Context(), schedule.Options{Bound: 3}, setup); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(7806*float64(b.N)/b.Elapsed().Seconds(), "schedules/s")
}
