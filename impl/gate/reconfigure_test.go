package gate_test

import (
	"math"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/gate"
	"github.com/rustyonions/micronode/spec"
)

func TestReconfigure(t *testing.T) {
	swap := func(t *testing.T, g *gate.Gate, cfg gate.Config) {
		t.Helper()
		if err := g.Reconfigure(cfg); err != nil {
			t.Fatal(err)
		}
		if got := g.Config(); got != cfg {
			t.Fatalf("in force is %+v, want %+v", got, cfg)
		}
	}
	t.Run("RDY-CFG-008 every cap is the new one", func(t *testing.T) {
		g := ready(t, gate.Config{MaxConns: 1, MaxInflight: 1, Rate: 1})
		swap(t, g, gate.Config{MaxConns: 2, MaxInflight: 3, Rate: 5})
		for i := range 3 {
			if got := g.Connect(); got != (i < 2) {
				t.Errorf("connection %d: %v", i+1, got)
			}
		}
		for range 3 {
			want(t, g, epoch, spec.None)
		}
		want(t, g, epoch, spec.TooManyStreams)
		g.Done()
		g.Done()
		g.Done()
		want(t, g, epoch, spec.None)
		want(t, g, epoch, spec.None)
		if d := want(t, g, epoch, spec.Quota); d.RetryAfter != time.Second/5 {
			t.Errorf("wait %v at five a second", d.RetryAfter)
		}
	})
	t.Run("RDY-CFG-008 who is in stays in, and nobody follows before it is below the new cap", func(t *testing.T) {
		g := ready(t, gate.Config{MaxConns: 3, MaxInflight: 3, Rate: 100})
		for range 3 {
			g.Connect()
			want(t, g, epoch, spec.None)
		}
		swap(t, g, gate.Config{MaxConns: 1, MaxInflight: 1, Rate: 100})
		for left := 3; left > 0; left-- {
			if s := g.Status(); s.Conns != left || s.Inflight != left {
				t.Fatalf("%+v, want %d of each", s, left)
			}
			if want(t, g, epoch, spec.TooManyStreams); g.Connect() {
				t.Errorf("let in with %d there", left)
			}
			g.Done()
			g.Disconnect()
		}
		if want(t, g, epoch, spec.None); !g.Connect() {
			t.Error("nobody is there, and nobody gets in")
		}
	})
	t.Run("RDY-CFG-009 bad caps change nothing", func(t *testing.T) {
		cfg := gate.Config{MaxConns: 2, MaxInflight: 3, Rate: 4}
		g := ready(t, cfg)
		g.Connect()
		want(t, g, epoch, spec.None)
		for _, v := range []int{0, -1, math.MinInt, math.MaxInt} {
			for _, bad := range []gate.Config{{v, 1, 1}, {1, v, 1}, {1, 1, v}, {spec.MaxConns + 1, 1, 1}, {1, spec.MaxInflight + 1, 1}} {
				if err := g.Reconfigure(bad); err == nil {
					t.Errorf("%+v was accepted", bad)
				}
			}
		}
		if s := g.Status(); g.Config() != cfg || s.Conns != 1 || s.Inflight != 1 {
			t.Errorf("%+v, %+v", g.Config(), s)
		}
		want(t, g, epoch, spec.None) // of the four tokens three are left
		want(t, g, epoch, spec.None)
		want(t, g, epoch, spec.TooManyStreams)
		g.Done()
		want(t, g, epoch, spec.None)
		g.Done()
		want(t, g, epoch, spec.Quota)
	})
	t.Run("no state but the caps changes", func(t *testing.T) {
		g := starting(t, gate.DefaultConfig())
		swap(t, g, gate.Config{MaxConns: 1, MaxInflight: 1, Rate: 1})
		want(t, g, epoch, spec.NotReady)
		for _, name := range names {
			g.Up(name)
		}
		g.Drain()
		swap(t, g, gate.DefaultConfig())
		want(t, g, epoch, spec.Draining)
	})
}

// burst is how many requests get in at one moment.
func burst(g *gate.Gate, now time.Time) (n int) {
	for ; n <= lots && g.Admit(now).Reason == spec.None; n++ {
		g.Done()
	}
	return n
}

func TestReconfigureBucket(t *testing.T) {
	caps := func(rate int) gate.Config { return gate.Config{MaxConns: 1, MaxInflight: 1, Rate: rate} }
	tests := []struct {
		name     string
		from     int
		use      int           // requests at the old rate
		wait     time.Duration // before the change
		to       int
		wantNow  int           // burst right after it
		wantNext time.Duration // from there to the next token
	}{
		{"full stays full, up", 10, 0, 0, 500, 500, time.Second / 500},
		{"full stays full, down", 500, 0, 0, 10, 10, time.Second / 10},
		{"empty stays empty, up", 10, 10, 0, 500, 0, time.Second / 500},
		{"empty stays empty, down", 500, 500, 0, 1, 0, time.Second},
		{"half full, up", 10, 5, 0, 100, 50, time.Second / 100},
		{"half full, down", 100, 50, 0, 10, 5, time.Second / 10},
		{"three quarters of one token", 4, 1, 0, 1, 0, time.Second / 4},
		{"what came since the last look", 10, 10, 300 * time.Millisecond, 100, 30, time.Second / 100},
		{"no more than full", 10, 1, time.Hour, 20, 20, time.Second / 20},
		{"the same rate", 7, 3, 0, 7, 4, time.Second/7 + 1},
		{"a third", 3, 1, 0, 10, 6, time.Second/30 + 1},
	}
	for _, tt := range tests {
		g := ready(t, caps(tt.from))
		if tt.use > 0 {
			for range tt.use {
				want(t, g, epoch, spec.None)
				g.Done()
			}
		}
		if err := g.Reconfigure(caps(tt.to)); err != nil {
			t.Fatal(err)
		}
		now := epoch.Add(tt.wait)
		if got := burst(g, now); got != tt.wantNow {
			t.Errorf("%s: a burst of %d, want %d", tt.name, got, tt.wantNow)
			continue
		}
		if d := want(t, g, now, spec.Quota); d.RetryAfter != tt.wantNext {
			t.Errorf("%s: the next token in %v, want %v", tt.name, d.RetryAfter, tt.wantNext)
		}
	}
	t.Run("to and fro brings nothing", func(t *testing.T) {
		g := ready(t, caps(7))
		for range 3 {
			want(t, g, epoch, spec.None)
			g.Done()
		}
		for _, rate := range someRates {
			for _, back := range []int{rate, 7} {
				if err := g.Reconfigure(caps(back)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := burst(g, epoch); got > 4 {
			t.Errorf("4 tokens were left, and now there are %d", got)
		}
	})
	t.Run("the ends of the range", func(t *testing.T) {
		for _, from := range someRates {
			for _, to := range someRates {
				g := ready(t, caps(from))
				if err := g.Reconfigure(caps(to)); err != nil {
					t.Fatal(err)
				}
				if got := burst(g, epoch); got != min(to, lots+1) {
					t.Errorf("%d to %d: a full bucket became one of %d", from, to, got)
				}
			}
		}
	})
}

// While caps change under many requests, no more are in than the larger cap allows, and whoever asks sees the one
// configuration or the other. The race detector looks on.
func TestReconfigureConcurrent(t *testing.T) {
	small, large := gate.Config{MaxConns: 1, MaxInflight: 2, Rate: 1_000_000_000}, gate.Config{MaxConns: 2, MaxInflight: 6, Rate: 999_999_999}
	g := ready(t, large)
	var busy atomic.Int64
	var all sync.WaitGroup
	for range 12 {
		all.Go(func() {
			for range 300 {
				if got := g.Config(); got != small && got != large {
					t.Errorf("a mixture: %+v", got)
				}
				if g.Admit(time.Now()).Reason != spec.None {
					continue
				}
				if n := busy.Add(1); n > 6 {
					t.Errorf("%d requests at once", n)
				}
				busy.Add(-1)
				g.Done()
			}
		})
	}
	all.Go(func() {
		for i := range 300 {
			if err := g.Reconfigure([]gate.Config{small, large}[i%2]); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	if s := g.Status(); s.Inflight != 0 || g.Config() != large {
		t.Errorf("%+v, %+v", s, g.Config())
	}
}
