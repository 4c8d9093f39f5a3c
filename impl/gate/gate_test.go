package gate_test

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/gate"
	"github.com/rustyonions/micronode/spec"
)

// epoch is when the tests begin. Nothing here reads a clock.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

var names = []string{"config_loaded", "keys_loaded", "store_open", "bus_attached", "listeners_bound"}

func starting(t testing.TB, cfg gate.Config) *gate.Gate {
	t.Helper()
	g, err := gate.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func ready(t testing.TB, cfg gate.Config) *gate.Gate {
	t.Helper()
	g := starting(t, cfg)
	for _, name := range names {
		g.Up(name)
	}
	return g
}

// want asks once and holds the gate to the reason.
func want(t *testing.T, g *gate.Gate, now time.Time, reason spec.Reason) gate.Decision {
	t.Helper()
	d := g.Admit(now)
	if d.Reason != reason {
		t.Fatalf("at %v: reason %q, want %q", now.Sub(epoch), d.Reason, reason)
	}
	if (d.RetryAfter > 0) != (reason != spec.None) {
		t.Fatalf("at %v: %q with retry after %v", now.Sub(epoch), d.Reason, d.RetryAfter)
	}
	return d
}

// panics says whether f panics.
func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

func TestCaps(t *testing.T) {
	t.Run("ADM-CAP-001 one connection too many", func(t *testing.T) {
		g := ready(t, gate.Config{MaxConns: 3, MaxInflight: 1, Rate: 1})
		for i := range 3 {
			if !g.Connect() {
				t.Fatalf("connection %d of 3 refused", i+1)
			}
		}
		for range 5 {
			if g.Connect() {
				t.Fatal("connection 4 of 3 let in")
			}
		}
		g.Disconnect()
		if !g.Connect() || g.Connect() {
			t.Fatal("one place came free: exactly one more connection fits")
		}
		if got := g.Status().Conns; got != 3 {
			t.Fatalf("%d connections in the status, want 3", got)
		}
	})
	t.Run("ADM-CAP-002 one request too many", func(t *testing.T) {
		g := ready(t, gate.Config{MaxConns: 1, MaxInflight: 3, Rate: 100})
		for range 3 {
			want(t, g, epoch, spec.None)
		}
		for range 5 {
			want(t, g, epoch, spec.TooManyStreams)
		}
		g.Done()
		want(t, g, epoch, spec.None)
		want(t, g, epoch, spec.TooManyStreams)
		if got := g.Status().Inflight; got != 3 {
			t.Fatalf("%d in flight in the status, want 3", got)
		}
	})
	t.Run("ADM-CAP-006 a place that nobody took", func(t *testing.T) {
		g := ready(t, gate.DefaultConfig())
		if !panics(g.Done) || !panics(g.Disconnect) {
			t.Fatal("a place was given back that was not taken")
		}
		g.Admit(epoch)
		g.Done()
		if !panics(g.Done) {
			t.Fatal("a place was given back twice")
		}
	})
	t.Run("ADM-CAP-007 caps that are none, and ADM-CAP-010 caps that are raised", func(t *testing.T) {
		set := map[string]func(c *gate.Config, v int){
			"MaxConns":    func(c *gate.Config, v int) { c.MaxConns = v },
			"MaxInflight": func(c *gate.Config, v int) { c.MaxInflight = v },
			"Rate":        func(c *gate.Config, v int) { c.Rate = v },
		}
		most := map[string]int{"MaxConns": spec.MaxConns, "MaxInflight": spec.MaxInflight, "Rate": 1_000_000_000}
		for field, set := range set {
			for _, v := range []int{1, most[field]} {
				cfg := gate.DefaultConfig()
				set(&cfg, v)
				if g, err := gate.New(cfg); err != nil || g.Config() != cfg {
					t.Errorf("%s = %d: %v", field, v, err)
				}
			}
			for _, v := range []int{0, -1, math.MinInt} {
				cfg := gate.DefaultConfig()
				set(&cfg, v)
				if _, err := gate.New(cfg); err == nil {
					t.Errorf("%s = %d was accepted", field, v)
				}
			}
			for _, v := range []int{most[field] + 1, math.MaxInt} {
				cfg := gate.DefaultConfig()
				set(&cfg, v)
				if _, err := gate.New(cfg); err == nil {
					t.Errorf("%s = %d was accepted (ADM-CAP-010)", field, v)
				}
			}
		}
	})
	t.Run("ADM-CAP-009 refusals cost no memory", func(t *testing.T) {
		g := ready(t, gate.Config{MaxConns: 1, MaxInflight: 2, Rate: 1})
		g.Connect()
		g.Admit(epoch)
		if n := testing.AllocsPerRun(100, func() { g.Admit(epoch); g.Connect() }); n != 0 {
			t.Errorf("a refusal by the rate: %v allocations", n)
		}
		g.Admit(epoch.Add(time.Second))
		if n := testing.AllocsPerRun(100, func() { g.Admit(epoch); g.Connect() }); n != 0 {
			t.Errorf("a refusal by the requests in flight: %v allocations", n)
		}
	})
}

// someRates are rates that divide a second, that do not, and the ends of the range.
var someRates = []int{1, 2, 3, 7, 499, 500, 501, 333_333, 999_999, 1_000_000, 700_000_000, 999_999_999, 1_000_000_000}

// lots is more than any burst that a test uses up one by one.
const lots = 1000

func TestBucket(t *testing.T) {
	t.Run("ADM-CAP-003 one second's worth of burst and not one more", func(t *testing.T) {
		for _, rate := range someRates {
			if rate > 1_000_000 {
				continue // such a bucket can not be emptied in a test's time
			}
			g := ready(t, gate.Config{MaxConns: 1, MaxInflight: spec.MaxInflight, Rate: rate})
			now := epoch
			for range 2 { // a bucket that was full for an hour holds no more than one that was for a second
				burst := 0
				for burst <= rate && g.Admit(now).Reason == spec.None {
					g.Done()
					burst++
				}
				if burst != rate {
					t.Errorf("rate %d: a burst of %d", rate, burst)
				}
				now = now.Add(time.Hour)
			}
		}
	})
	t.Run("ADM-CAP-003 the rate over ten seconds", func(t *testing.T) {
		const rate, ms = 7, 10_000
		g := ready(t, gate.Config{MaxConns: 1, MaxInflight: 1, Rate: rate})
		admitted := 0
		for i := range ms + 1 { // 1 kHz of requests against 7
			if g.Admit(epoch.Add(time.Duration(i)*time.Millisecond)).Reason == spec.None {
				g.Done()
				admitted++
			}
		}
		if want := rate + rate*ms/1000; admitted != want {
			t.Errorf("%d admitted, want the burst and ten times the rate: %d", admitted, want)
		}
	})
	t.Run("ADM-RTY-003 the time to wait is enough, and one nanosecond less is not", func(t *testing.T) {
		for _, rate := range someRates {
			if rate > lots {
				continue
			}
			g := ready(t, gate.Config{MaxConns: 1, MaxInflight: spec.MaxInflight, Rate: rate})
			now := epoch
			for range rate {
				want(t, g, now, spec.None)
				g.Done()
			}
			for range 2 * rate {
				d := want(t, g, now, spec.Quota)
				want(t, g, now.Add(d.RetryAfter-1), spec.Quota)
				now = now.Add(d.RetryAfter)
				want(t, g, now, spec.None)
				g.Done()
			}
		}
	})
	t.Run("ADM-RTY-003 a clock that was read a little earlier", func(t *testing.T) {
		g := ready(t, gate.Config{MaxConns: 1, MaxInflight: 1, Rate: 1})
		want(t, g, epoch, spec.None)
		g.Done()
		early, late := epoch.Add(-time.Millisecond), epoch.Add(time.Millisecond)
		if d := want(t, g, late, spec.Quota); d.RetryAfter != 999*time.Millisecond {
			t.Errorf("after one of 1,000 ms: wait %v", d.RetryAfter)
		}
		if d := want(t, g, early, spec.Quota); d.RetryAfter != 1001*time.Millisecond {
			t.Errorf("one millisecond before the start: wait %v", d.RetryAfter)
		}
		want(t, g, epoch.Add(time.Second-1), spec.Quota)
		want(t, g, epoch.Add(time.Second), spec.None)
	})
	t.Run("ADM-CAP-005 refused requests take no token", func(t *testing.T) {
		g := ready(t, gate.Config{MaxConns: 1, MaxInflight: 2, Rate: 3})
		want(t, g, epoch, spec.None)
		want(t, g, epoch, spec.None)
		for range lots {
			want(t, g, epoch, spec.TooManyStreams)
		}
		g.Done()
		want(t, g, epoch, spec.None) // the third token is still there
		g.Done()
		for i := range lots { // as many as come in a third of a second do not push the next token away
			want(t, g, epoch.Add(time.Duration(i)), spec.Quota)
		}
		want(t, g, epoch.Add(time.Second/3+1), spec.None)
	})
	t.Run("ADM-CAP-005 nor do requests before and after the node is ready", func(t *testing.T) {
		const rate = 3
		g := starting(t, gate.Config{MaxConns: 1, MaxInflight: rate, Rate: rate})
		for range lots {
			want(t, g, epoch, spec.NotReady)
		}
		for _, name := range names {
			g.Up(name)
		}
		for range rate - 1 { // ADM-CAP-004: and an admitted one takes one
			want(t, g, epoch, spec.None)
			g.Done()
		}
		g.Drain()
		for range lots {
			want(t, g, epoch, spec.Draining)
		}
		if got := g.Status().Inflight; got != 0 {
			t.Errorf("%d in flight, and nobody is", got)
		}
	})
	t.Run("ADM-CAP-004 one token for each, whatever becomes of it", func(t *testing.T) {
		const rate = 5
		g := ready(t, gate.Config{MaxConns: 1, MaxInflight: rate, Rate: rate})
		for i := range rate {
			want(t, g, epoch, spec.None)
			if i%2 == 0 {
				g.Done()
			}
		}
		want(t, g, epoch, spec.Quota)
	})
}

func TestOrder(t *testing.T) {
	t.Run("ADM-ORD-001 in flight, then rate, then readiness", func(t *testing.T) {
		g := ready(t, gate.Config{MaxConns: 1, MaxInflight: 1, Rate: 1})
		want(t, g, epoch, spec.None)
		g.Drain()
		want(t, g, epoch, spec.TooManyStreams) // all three are against it
		g.Done()
		want(t, g, epoch, spec.Quota) // rate and readiness are
		want(t, g, epoch.Add(time.Second-1), spec.Quota)
		want(t, g, epoch.Add(time.Second), spec.Draining)
	})
	t.Run("ADM-CAP-001 the connection cap knows nothing of readiness", func(t *testing.T) {
		g := starting(t, gate.Config{MaxConns: 1, MaxInflight: 1, Rate: 1})
		if !g.Connect() {
			t.Error("a starting node answers the exempt routes, so it takes connections")
		}
		g.Drain()
		g.Disconnect()
		if !g.Connect() {
			t.Error("a draining node answers the exempt routes, so it takes connections (RDY-DRN-002)")
		}
	})
}

func TestReadiness(t *testing.T) {
	cfg := gate.DefaultConfig()
	t.Run("RDY-GAT-001 not before every gate is up", func(t *testing.T) {
		g := starting(t, cfg)
		for i, name := range names {
			want(t, g, epoch, spec.NotReady) // RDY-STA-003
			s := g.Status()
			if s.State != gate.Starting || !slices.Equal(s.Missing, names[i:]) {
				t.Fatalf("with %d gates up: %+v", i, s)
			}
			g.Up(name)
			g.Up(name) // a second report changes nothing
		}
		if s := g.Status(); s.State != gate.Ready || len(s.Missing) != 0 || s.Missing == nil {
			t.Fatalf("with all gates up: %+v", s)
		}
		want(t, g, epoch, spec.None)
	})
	t.Run("RDY-GAT-002 no gate before its predecessors", func(t *testing.T) {
		for up := range names {
			for next := range names {
				g := starting(t, cfg)
				for _, name := range names[:up] {
					g.Up(name)
				}
				if got := panics(func() { g.Up(names[next]) }); got != (next > up) {
					t.Errorf("%s with %d gates up: panic %v", names[next], up, got)
				}
				if s := g.Status(); next > up && !slices.Equal(s.Missing, names[up:]) { // RDY-GAT-003
					t.Errorf("%s with %d gates up left %v missing", names[next], up, s.Missing)
				}
			}
		}
	})
	t.Run("RDY-GAT-006 no gate that nobody knows", func(t *testing.T) {
		g := starting(t, cfg)
		if !panics(func() { g.Up("moon_is_full") }) {
			t.Error("an unknown gate came up")
		}
	})
	t.Run("RDY-STA-002 the changes of state", func(t *testing.T) {
		up := func(g *gate.Gate) {
			for _, name := range names {
				g.Up(name)
			}
		}
		drain := func(g *gate.Gate) { g.Drain() }
		stop := func(g *gate.Gate) { g.Stop() }
		tests := []struct {
			name   string
			do     []func(*gate.Gate)
			state  gate.State
			reason spec.Reason
		}{
			{"start", nil, gate.Starting, spec.NotReady},
			{"ready", []func(*gate.Gate){up}, gate.Ready, spec.None},
			{"drain", []func(*gate.Gate){up, drain}, gate.Draining, spec.Draining},
			{"drain before ready", []func(*gate.Gate){drain}, gate.Draining, spec.Draining},
			{"gates while draining (RDY-DRN-007)", []func(*gate.Gate){drain, up}, gate.Draining, spec.Draining},
			{"stop", []func(*gate.Gate){up, drain, stop}, gate.Stopped, spec.Draining},
			{"failed start", []func(*gate.Gate){stop}, gate.Stopped, spec.Draining},
			{"stop is the end", []func(*gate.Gate){up, drain, stop, drain, stop, up}, gate.Stopped, spec.Draining},
		}
		for _, tt := range tests {
			g := starting(t, cfg)
			for _, do := range tt.do {
				do(g)
			}
			if got := g.Status().State; got != tt.state {
				t.Errorf("%s: state %s, want %s", tt.name, got, tt.state)
			}
			if d := g.Admit(epoch); d.Reason != tt.reason {
				t.Errorf("%s: %q, want %q", tt.name, d.Reason, tt.reason)
			}
		}
		if g := ready(t, cfg); !panics(g.Stop) {
			t.Error("stopped from ready, without draining")
		}
	})
	t.Run("RDY-DRN-001 draining begins once", func(t *testing.T) {
		g := ready(t, cfg)
		want(t, g, epoch, spec.None)
		if !g.Drain() || g.Drain() {
			t.Error("the first call begins it, the second does not")
		}
		want(t, g, epoch, spec.Draining) // RDY-STA-004
		g.Done()                         // work in flight still ends in order
		if got := g.Status().Inflight; got != 0 {
			t.Errorf("%d in flight", got)
		}
	})
}

// Many goroutines at once never get past a cap, and every place comes back. The race detector looks on.
func TestConcurrent(t *testing.T) {
	const conns, inflight, workers, rounds = 3, 5, 16, 400
	g := ready(t, gate.Config{MaxConns: conns, MaxInflight: inflight, Rate: 1_000_000})
	var open, busy atomic.Int64
	var admitted, refused atomic.Int64
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() {
			for i := range rounds {
				if g.Connect() {
					if n := open.Add(1); n > conns {
						t.Errorf("%d connections of %d", n, conns)
					}
					open.Add(-1)
					g.Disconnect()
				}
				switch d := g.Admit(epoch.Add(time.Duration(w*rounds+i) * time.Microsecond)); d.Reason {
				case spec.None:
					if n := busy.Add(1); n > inflight {
						t.Errorf("%d requests in flight of %d", n, inflight)
					}
					admitted.Add(1)
					if s := g.Status(); s.Inflight < 1 || s.Inflight > inflight || s.Conns > conns {
						t.Errorf("status %+v", s)
					}
					busy.Add(-1)
					g.Done()
				case spec.TooManyStreams, spec.Draining:
					refused.Add(1)
				default:
					t.Errorf("reason %q", d.Reason)
				}
			}
			if w == 0 {
				g.Drain()
			}
		})
	}
	all.Wait()
	if admitted.Load() == 0 || admitted.Load()+refused.Load() != workers*rounds {
		t.Errorf("%d admitted and %d refused of %d", admitted.Load(), refused.Load(), workers*rounds)
	}
	if s := g.Status(); s.Inflight != 0 || s.Conns != 0 || s.State != gate.Draining {
		t.Errorf("at the end: %+v", s)
	}
}

// BenchmarkAdmit is one request: in, and out again.
func BenchmarkAdmit(b *testing.B) {
	b.ReportAllocs()
	g := ready(b, gate.Config{MaxConns: 1, MaxInflight: spec.MaxInflight, Rate: 1_000_000_000})
	now := epoch
	for b.Loop() {
		now = now.Add(time.Microsecond)
		if g.Admit(now).Reason != spec.None {
			b.Fatal("refused")
		}
		g.Done()
	}
}

// BenchmarkAdmitRefused is one request against an empty bucket.
func BenchmarkAdmitRefused(b *testing.B) {
	b.ReportAllocs()
	g := ready(b, gate.Config{MaxConns: 1, MaxInflight: spec.MaxInflight, Rate: 1})
	g.Admit(epoch)
	for b.Loop() {
		if g.Admit(epoch).Reason != spec.Quota {
			b.Fatal("admitted")
		}
	}
}
