package schedule_test

import (
	"fmt"
	"testing"

	"github.com/rustyonions/micronode/chaos/schedule"
	"github.com/rustyonions/micronode/impl/gate"
	"github.com/rustyonions/micronode/spec"
)

// Of the old caps one request fits at a time, and of the new ones one gets a token: whichever is in force, there are never
// two in flight. A mixture of the new MaxInflight and the old Rate lets two in.
var (
	oldCaps = gate.Config{MaxConns: 1, MaxInflight: 1, Rate: 5}
	newCaps = gate.Config{MaxConns: 2, MaxInflight: 2, Rate: 1}
	badCaps = gate.Config{MaxConns: 2, MaxInflight: 0, Rate: 100}
)

// caps is the sequential reference of one gate, for one moment in time.
type caps struct {
	cfg      gate.Config
	inflight int
	level    int // a token is 5: of the five at the old rate, each is a fifth of one at the new rate
}

func (c caps) admit() (caps, spec.Reason) {
	switch {
	case c.inflight >= c.cfg.MaxInflight:
		return c, spec.TooManyStreams
	case c.level < 5:
		return c, spec.Quota
	}
	c.inflight++
	c.level -= 5
	return c, spec.None
}

// swap is a node whose caps are replaced while requests come in.
type swap struct {
	admit  func(y *schedule.Yielder) spec.Reason
	done   func()
	reload func(y *schedule.Yielder, cfg gate.Config) error
	rounds int // of each request
	files  []gate.Config
	h      history[caps]
	in     int
}

func (s *swap) request(y *schedule.Yielder) {
	for i := range s.rounds {
		if i > 0 {
			y.Yield("again")
		}
		end := s.h.begin()
		reason := s.admit(y)
		end(fmt.Sprintf("admit: %q", reason), func(c caps) (caps, bool) {
			next, want := c.admit()
			return next, reason == want
		})
		if reason != spec.None {
			continue
		}
		if s.in++; s.in > 1 {
			y.Failf("two requests are in flight: by the old caps there is one place, by the new ones there is one token")
		}
		y.Yield("done")
		s.in--
		end = s.h.begin()
		s.done()
		end("done", func(c caps) (caps, bool) {
			c.inflight--
			return c, c.inflight >= 0
		})
	}
}

func (s *swap) operator(y *schedule.Yielder) {
	for i, cfg := range s.files {
		if i > 0 {
			y.Yield("reload again")
		}
		end := s.h.begin()
		err := s.reload(y, cfg)
		if (err == nil) != (cfg != badCaps) {
			y.Failf("reload of %+v: %v", cfg, err)
		}
		if err != nil {
			end("reload refused", func(c caps) (caps, bool) { return c, true })
			continue
		}
		end("reload", func(c caps) (caps, bool) {
			c.level = c.level * cfg.Rate / c.cfg.Rate
			c.cfg = cfg
			return c, true
		})
	}
}

func (s *swap) program(g *gate.Gate) schedule.Program {
	return schedule.Program{
		Threads: threads("request 1", s.request, "request 2", s.request, "operator", s.operator),
		Finally: func() error {
			if _, err := s.h.check(caps{oldCaps, 0, 25}); err != nil {
				return err
			}
			if st := g.Status(); st.Inflight != 0 || g.Config() != s.files[len(s.files)-1] {
				return fmt.Errorf("in the end: %+v by %+v", st, g.Config())
			}
			return nil
		},
	}
}

// A reload against admission: every decision is made by the old caps or by the new ones (RDY-CFG-008), and one that is
// refused changes nothing (RDY-CFG-009).
func TestConfigSwap(t *testing.T) {
	scenario{
		name: "config-swap",
		setup: func(y *schedule.Yielder) schedule.Program {
			g := newGate(oldCaps, len(gateNames))
			s := &swap{
				admit:  func(*schedule.Yielder) spec.Reason { return g.Admit(epoch).Reason },
				done:   g.Done,
				reload: func(_ *schedule.Yielder, cfg gate.Config) error { return g.Reconfigure(cfg) },
				rounds: 3,
				files:  []gate.Config{badCaps, newCaps, badCaps, oldCaps},
			}
			return s.program(g)
		},
		schedules: 2_812, points: 4,
		fullBound: schedule.Unbounded, fullSchedules: 69_080,
	}.run(t)
}

// A node that keeps its places in one gate and its tokens in another, and asks and reloads one after the other: between the
// two a request gets in by a mixture.
func TestConfigSwapPlanted(t *testing.T) {
	forPlaces := func(c gate.Config) gate.Config { c.Rate = spec.DefaultRate; return c }
	forTokens := func(c gate.Config) gate.Config { c.MaxInflight = spec.MaxInflight; return c }
	planted(t, "config-swap", func(y *schedule.Yielder) schedule.Program {
		places, tokens := newGate(forPlaces(oldCaps), len(gateNames)), newGate(forTokens(oldCaps), len(gateNames))
		s := &swap{
			admit: func(y *schedule.Yielder) spec.Reason {
				if d := places.Admit(epoch); d.Reason != spec.None {
					return d.Reason
				}
				y.Yield("take a token")
				d := tokens.Admit(epoch)
				if d.Reason != spec.None {
					places.Done()
				}
				return d.Reason
			},
			done: func() {
				tokens.Done()
				places.Done()
			},
			reload: func(y *schedule.Yielder, cfg gate.Config) error {
				if err := places.Reconfigure(forPlaces(cfg)); err != nil {
					return err
				}
				y.Yield("reload tokens")
				return tokens.Reconfigure(forTokens(cfg))
			},
			rounds: 1,
			files:  []gate.Config{newCaps},
		}
		return schedule.Program{Threads: s.program(tokens).Threads}
	})
}
