package schedule_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/rustyonions/micronode/chaos/schedule"
	"github.com/rustyonions/micronode/impl/gate"
	"github.com/rustyonions/micronode/impl/store"
	"github.com/rustyonions/micronode/spec"
)

// gateNames are the readiness gates in their order (RDY-GAT-001).
var gateNames = []string{"config_loaded", "keys_loaded", "store_open", "bus_attached", "listeners_bound"}

// newGate makes a gate with its first so many readiness gates up.
func newGate(cfg gate.Config, up int) *gate.Gate {
	g, err := gate.New(cfg)
	if err != nil {
		panic(err)
	}
	for _, name := range gateNames[:up] {
		g.Up(name)
	}
	return g
}

// shop has the store for one schedule after the other.
type shop struct {
	quiet bool // its stores do not give way
	y     *schedule.Yielder
	s     *store.Store
}

func newShop(t *testing.T) *shop { return stock(t, &shop{}) }

// newQuietShop is for scenarios in which the store only has to be there.
func newQuietShop(t *testing.T) *shop { return stock(t, &shop{quiet: true}) }

func stock(t *testing.T, h *shop) *shop {
	t.Cleanup(func() {
		if err := h.s.Close(); err != nil && !t.Failed() {
			t.Errorf("close: %v", err)
		}
	})
	return h
}

// open returns a store of so many spans of 64 KiB that gives way to the threads of y: a new one, as the one before was
// closed or stands where a broken schedule left it.
func (h *shop) open(y *schedule.Yielder, spans int64) *store.Store {
	if h.s != nil {
		_ = h.s.Close() // an error says that the broken schedule left memory in use, which is lost
	}
	cfg := store.Config{Capacity: spans * spec.MaxChunk}
	if !h.quiet {
		cfg.Yield = y.Yield
	}
	s, err := store.Open(cfg)
	if err != nil {
		panic(err)
	}
	h.y, h.s = y, s
	return s
}

// again returns the store of the schedule before, if that left it open and empty, and else a new one: most of what a
// short schedule costs is to open a store.
func (h *shop) again(y *schedule.Yielder, spans int64) *store.Store {
	if h.s != nil && h.y == y {
		st := h.s.Stats()
		if _, err := h.s.Stat(spec.Address{}); reasonOf(err) == spec.NotFound && st.Capacity == spans*spec.MaxChunk && st.ArenaUsed == 0 && st.Objects == 0 {
			return h.s
		}
	}
	return h.open(y, spans)
}

// put stores p as an ingress does. A put that fails is aborted.
func put(s *store.Store, p []byte) (created bool, err error) {
	w, err := s.NewWriter(nil, int64(len(p)))
	if err != nil {
		return false, err
	}
	defer w.Abort()
	if _, err := w.Write(p); err != nil {
		return false, err
	}
	_, created, err = w.Commit()
	return created, err
}

// flip is a node that becomes ready, drains and stops, while requests and a prober come in. The calls and their order
// are those of impl/server: Start and stopAll for the node, ServeHTTP for the requests.
type flip struct {
	g *gate.Gate
	s *store.Store

	// admit, done and inflight are how requests get in and are counted; a planted fault does this in its own way.
	admit    func(y *schedule.Yielder) spec.Reason
	done     func()
	inflight func() int

	drained               bool // draining began
	sawReady, sawDraining bool // by somebody, on /readyz
}

func newFlip(y *schedule.Yielder, h *shop) *flip {
	f := &flip{g: newGate(gate.DefaultConfig(), len(gateNames)-1), s: h.open(y, 2)}
	f.admit = func(*schedule.Yielder) spec.Reason { return f.g.Admit(epoch).Reason }
	f.done = f.g.Done
	f.inflight = func() int { return f.g.Status().Inflight }
	return f
}

func (f *flip) node(y *schedule.Yielder) {
	f.g.Up("listeners_bound")
	y.Yield("drain")
	f.drained = true
	f.g.Drain()
	y.Block("quiet", func() bool { return f.inflight() == 0 })
	f.g.Stop()
	y.Yield("close")
	if err := f.s.Close(); err != nil {
		y.Failf("the store was closed under somebody: %w", err)
	}
}

func (f *flip) request(y *schedule.Yielder, payload string) {
	sawReady, sawDraining, drained := f.sawReady, f.sawDraining, f.drained
	switch reason := f.admit(y); {
	case reason == spec.None && sawDraining:
		y.Failf("admitted after /readyz had said draining")
	case reason == spec.None:
		y.Yield("work")
		if _, err := put(f.s, []byte(payload)); err != nil {
			y.Failf("an admitted request was failed: %w", err)
		}
		y.Yield("done")
		f.done()
	case reason == spec.NotReady && sawReady:
		y.Failf("refused as not ready after /readyz had said ready")
	case reason == spec.Draining && !drained && !f.drained:
		y.Failf("refused as draining before anybody drained")
	case reason != spec.NotReady && reason != spec.Draining:
		y.Failf("refused as %s", reason)
	}
}

// prober looks at /readyz again and again. What it sees only moves forward (RDY-STA-002, RDY-DRN-007).
func (f *flip) prober(y *schedule.Yielder, looks int) {
	order := map[gate.State]int{gate.Starting: 0, gate.Ready: 1, gate.Draining: 2, gate.Stopped: 3}
	last := gate.Starting
	for i := range looks {
		if i > 0 {
			y.Yield("probe")
		}
		s := f.g.Status()
		if order[s.State] < order[last] || (s.State == gate.Starting) != (len(s.Missing) > 0) {
			y.Failf("after %s: %+v", last, s)
		}
		last = s.State
		f.sawReady = f.sawReady || last == gate.Ready
		f.sawDraining = f.sawDraining || last == gate.Draining
	}
}

func (f *flip) program() schedule.Program {
	return schedule.Program{
		Threads: []schedule.Thread{
			{Name: "node", Run: f.node},
			{Name: "request 1", Run: func(y *schedule.Yielder) { f.request(y, "one") }},
			{Name: "request 2", Run: func(y *schedule.Yielder) { f.request(y, "two") }},
			{Name: "prober", Run: func(y *schedule.Yielder) { f.prober(y, 3) }},
		},
		Finally: func() error {
			if s := f.g.Status(); s.State != gate.Stopped || s.Inflight != 0 {
				return fmt.Errorf("in the end: %+v", s)
			}
			return nil
		},
	}
}

// A readiness flip against admission: nothing is admitted once the flip was visible (RDY-STA-004, RDY-GAT-001), what was
// admitted is not failed (RDY-DRN-008, RDY-DEG-009), and the node closes its store under nobody (RDY-DRN-003).
func TestReadinessFlip(t *testing.T) {
	h := newShop(t)
	scenario{
		name:      "readiness-flip",
		setup:     func(y *schedule.Yielder) schedule.Program { return newFlip(y, h).program() },
		schedules: 7_676, points: 11,
		fullBound: schedule.Unbounded, fullSchedules: 2_434_000,
	}.run(t)
}

// An ingress that looks whether the node is ready and counts itself in afterwards: between the two the node drains,
// finds nobody in flight, and closes the store.
func TestReadinessFlipPlanted(t *testing.T) {
	h := newShop(t)
	planted(t, "readiness-flip", func(y *schedule.Yielder) schedule.Program {
		f := newFlip(y, h)
		inside := 0
		f.admit = func(y *schedule.Yielder) spec.Reason {
			if f.g.Status().State != gate.Ready {
				return spec.NotReady
			}
			y.Yield("count in")
			inside++
			return spec.None
		}
		f.done = func() { inside-- }
		f.inflight = func() int { return inside }
		p := f.program()
		p.Threads = p.Threads[:2]
		return p
	})
}

// reasonOf is the reason that an error carries; None for nil.
func reasonOf(err error) spec.Reason {
	var r spec.Reason
	if err != nil && !errors.As(err, &r) {
		return "?"
	}
	return r
}
