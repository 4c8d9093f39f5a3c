package gate_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rustyonions/micronode/impl/gate"
	"github.com/rustyonions/micronode/spec"
)

// model says what a gate has to answer, from the wording of the rules and without a bucket: it remembers when tokens
// were taken. A further one may be taken if no stretch of time that ends now would see more of them than the burst
// and what the rate brings in that stretch.
type model struct {
	cfg      gate.Config
	up       int // gates
	drained  bool
	stopped  bool
	conns    int
	inflight int
	seen     time.Duration   // the latest time at which the rate was asked
	takes    []time.Duration // by admitted requests, ascending
}

// wait is how long from now the next token can be taken: 0 = now.
func (m *model) wait(now time.Duration) (wait time.Duration) {
	rate := int64(m.cfg.Rate)
	for i, at := range m.takes {
		n := int64(len(m.takes) - i + 1) // from this one on, the new one included
		if over := n - rate; over > 0 {
			brought := (over*int64(time.Second) + rate - 1) / rate // the time that it takes to earn what the burst lacks
			wait = max(wait, at+time.Duration(brought)-now)
		}
	}
	return wait
}

func (m *model) admit(now time.Duration) (reason spec.Reason, wait time.Duration) {
	if m.inflight == m.cfg.MaxInflight {
		return spec.TooManyStreams, 100 * time.Millisecond
	}
	m.seen = max(m.seen, now)
	if w := m.wait(m.seen); w > 0 {
		return spec.Quota, m.seen + w - now
	}
	switch {
	case m.drained || m.stopped:
		return spec.Draining, time.Second
	case m.up < len(names):
		return spec.NotReady, time.Second
	}
	m.takes = append(m.takes, m.seen)
	m.inflight++
	return spec.None, 0
}

func (m *model) state() gate.State {
	switch {
	case m.stopped:
		return gate.Stopped
	case m.drained:
		return gate.Draining
	case m.up < len(names):
		return gate.Starting
	}
	return gate.Ready
}

// TestModel compares a gate with the model step by step.
func TestModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := gate.Config{
			MaxConns:    rapid.IntRange(1, 4).Draw(t, "conns"),
			MaxInflight: rapid.IntRange(1, 6).Draw(t, "inflight"),
			Rate:        rapid.OneOf(rapid.IntRange(1, 9), rapid.SampledFrom(someRates)).Draw(t, "rate"),
		}
		g, err := gate.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		m := &model{cfg: cfg}
		now := time.Duration(0)
		pause := rapid.OneOf(
			rapid.Just(time.Duration(0)),
			rapid.Map(rapid.Int64Range(0, 2e9), func(n int64) time.Duration { return time.Duration(n) }),
			rapid.Map(rapid.Int64Range(0, 3e9/int64(cfg.Rate)+2), func(n int64) time.Duration { return time.Duration(n) }),
			rapid.Map(rapid.Int64Range(-1e6, 0), func(n int64) time.Duration { return time.Duration(n) }), // a late caller
		)
		admit := func(t *rapid.T) {
			if wait := pause.Draw(t, "pause"); wait >= 0 {
				now += wait
			} else {
				now = max(0, now+wait)
			}
			for range rapid.IntRange(1, 12).Draw(t, "requests") {
				reason, wait := m.admit(now)
				if d := g.Admit(epoch.Add(now)); d.Reason != reason || d.RetryAfter != wait {
					t.Fatalf("at %v: %q after %v, want %q after %v", now, d.Reason, d.RetryAfter, reason, wait)
				}
				if reason == spec.Quota && rapid.Bool().Draw(t, "patient") {
					now += wait
				}
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"admit":  admit,
			"admit2": admit, // most of the time
			"done": func(t *rapid.T) {
				if m.inflight == 0 {
					return // nothing to do
				}
				m.inflight--
				g.Done()
			},
			"connect": func(t *rapid.T) {
				ok := m.conns < cfg.MaxConns
				if ok {
					m.conns++
				}
				if got := g.Connect(); got != ok {
					t.Fatalf("connection let in: %v, want %v", got, ok)
				}
			},
			"disconnect": func(t *rapid.T) {
				if m.conns == 0 {
					return // nothing to do
				}
				m.conns--
				g.Disconnect()
			},
			"up": func(t *rapid.T) {
				for m.up < len(names) {
					g.Up(names[m.up])
					m.up++
					if rapid.Bool().Draw(t, "enough") {
						break
					}
				}
			},
			"drain": func(t *rapid.T) {
				if rapid.IntRange(0, 9).Draw(t, "really") > 0 {
					return // nothing to do
				}
				begins := m.state() == gate.Starting || m.state() == gate.Ready
				m.drained = m.drained || begins
				if g.Drain() != begins {
					t.Fatalf("drain began: %v, want %v", !begins, begins)
				}
			},
			"stop": func(t *rapid.T) {
				if rapid.IntRange(0, 19).Draw(t, "really") > 0 || m.state() == gate.Ready {
					return // nothing to do
				}
				m.stopped = true
				g.Stop()
			},
			"": func(t *rapid.T) {
				s := g.Status()
				if s.State != m.state() || s.Conns != m.conns || s.Inflight != m.inflight || len(s.Missing) != len(names)-m.up {
					t.Fatalf("status %+v, want %s, %d connections, %d in flight, %d gates up", s, m.state(), m.conns, m.inflight, m.up)
				}
			},
		})
	})
}
