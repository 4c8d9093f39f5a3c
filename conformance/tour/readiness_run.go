package tour

import (
	"errors"
	"math/rand/v2"
	"slices"
	"sync/atomic"

	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/model/readiness"
)

const (
	readyLongest = 40 // steps of a tour
	readyNodes   = 6  // nodes at a time
	slowNodes    = 40 // the same where most of them wait for tokens
	cutNodes     = 40 // the same where every tour waits for the end of a drain
	hurry        = 12 // steps in the first 100 milliseconds of a drain
	refills      = 5  // tokens that a tour waits for: requests in flight have 5 seconds
)

// readyRun is one run of all tours of a model of readiness.
type readyRun struct {
	binary string
	pl     readyPlan
	base   *graph[readiness.State, readiness.Op]
	plan   *explore.Graph[readyState, readyOp]
	cov    *Coverage
	late   atomic.Int64 // tours that began again
}

// Readiness walks the graph of the model of readiness and admission under p on nodes started from binary.
func Readiness(binary, name string, p readiness.Params, o Options) (*Coverage, error) {
	base, err := newGraph(readiness.Machine(p))
	if err != nil {
		return nil, err
	}
	r := &readyRun{binary: binary, pl: readyPlan{p}, base: base}
	if r.plan, err = explore.Explore(r.pl.machine(), 100_000); err != nil {
		return nil, err
	}
	chosen := r.choose(name, o)
	want := func(deadline bool) func(e int) bool {
		return func(e int) bool { return chosen[e] && (r.plan.Edges[e].Op.Kind == readiness.Deadline) == deadline }
	}
	at := func(k readiness.Kind) func(e int) bool {
		return func(e int) bool { return r.plan.Edges[e].Op.Kind == k }
	}
	refill, deadline := at(readiness.Refill), at(readiness.Deadline)
	quick, left := r.tours(func(e int) bool { return !refill(e) && !deadline(e) }, want(false))
	slow, left := r.tours(func(e int) bool { return !deadline(e) }, func(e int) bool { return left[e] })
	if len(left) > 0 {
		return r.cov, errors.New("some edges of the plan are on no tour")
	}
	var cuts []explore.Tour
	for e := range r.plan.Edges {
		if want(true)(e) {
			cuts = append(cuts, r.settled(append(r.plan.WayTo(r.plan.Edges[e].From), e)))
		}
	}
	o.Progress("%s: %d edges, plan of %d states; %d tours, %d that wait for tokens, %d for the end of a drain", name, len(base.Edges),
		len(r.plan.States), len(quick), len(slow), len(cuts))
	object := make([]byte, unit)
	rand.NewChaCha8([32]byte{'r'}).Read(object)
	if err = r.walk(quick, readyNodes, nil); err == nil {
		err = r.walk(slow, slowNodes, nil)
	}
	if err == nil {
		err = r.walk(cuts, cutNodes, object)
	}
	o.Progress("%s: %d times a tour began again, because the machine was too slow for it", name, r.late.Load())
	return r.cov, err
}

// choose picks one edge of the plan for each edge of the model, and notes why the others are out of reach.
func (r *readyRun) choose(name string, o Options) map[int]bool {
	byBase, states := map[int]int{}, map[int]bool{}
	for _, s := range r.plan.States {
		states[r.base.state[r.base.canon(s.State)]] = true
	}
	for i, e := range r.plan.Edges {
		b, _ := r.base.edge(r.plan.States[e.From].State, e.Op.Op, e.Action)
		if known, ok := byBase[b]; !ok || i%2 == 0 && !e.Op.Aim && r.plan.Depth[e.From] <= r.plan.Depth[r.plan.Edges[known].From]+1 {
			byBase[b] = i // of several, sometimes the one over the other surface
		}
	}
	why := make([]string, len(r.base.Edges))
	chosen := map[int]bool{}
	for b, e := range r.base.Edges {
		i, reached := byBase[b]
		switch {
		case !reached:
			why[b] = r.pl.why(r.base.States[e.From], e.Op, states[e.From])
		case e.Op.Kind == readiness.Deadline && !o.Time:
			why[b] = "it takes the 5 seconds of a drain, which this run does not wait for"
		default:
			chosen[i] = true
		}
	}
	r.cov = newCoverage(name, r.base.actions(), why)
	return chosen
}

// tours are walks along allowed edges that take the wanted ones, but for those that are left, which no walk gets to.
func (r *readyRun) tours(allowed, wanted func(e int) bool) (tours []explore.Tour, left map[int]bool) {
	left = map[int]bool{}
	for e := range r.plan.Edges {
		if wanted(e) {
			left[e] = true
		}
	}
	for limit := readyLongest; ; limit = hurry {
		found, missed := r.plan.Tours(limit, allowed, func(e int) bool { return left[e] })
		for _, t := range found {
			t = r.settled(t[:r.timely(t)])
			for _, e := range t {
				delete(left, e)
			}
			tours = append(tours, t)
		}
		if len(left) == len(missed) {
			return tours, left
		}
	}
}

// timely is how many legs of a tour can be taken before its time is over.
func (r *readyRun) timely(t explore.Tour) int {
	hurried, waits := 0, 0
	for i, e := range t {
		edge := r.plan.Edges[e]
		if edge.Op.Kind == readiness.Refill {
			waits++
		}
		if s := r.plan.States[edge.To]; s.Name == readiness.Draining && !s.Noticed {
			hurried++
		}
		switch {
		case hurried > hurry || waits > refills:
			return i
		case r.plan.States[edge.From].Aimed && edge.Op.Kind == readiness.Refill:
			return i + 1
		}
	}
	return len(t)
}

// settled appends what the node does by itself after the last step of a tour.
func (r *readyRun) settled(t explore.Tour) explore.Tour {
	for {
		at := r.plan.Edges[t[len(t)-1]].To
		waits, pending := r.pl.pending(r.plan.States[at])
		i := slices.IndexFunc(r.plan.Out[at], func(e int) bool { return pending && r.plan.Edges[e].Op == waits })
		if i < 0 {
			return t
		}
		t = append(t, r.plan.Out[at][i])
	}
}

// walk drives tours, some at a time, each on a node of its own.
func (r *readyRun) walk(tours []explore.Tour, nodes int, object []byte) error {
	return punctually(tours, nodes, &r.late, func(t explore.Tour) error {
		d := &readyDrive{p: r.pl.p, binary: r.binary, cov: r.cov, object: object}
		return d.walk(r.legs(t))
	})
}

// legs turns edges of the plan into steps to take.
func (r *readyRun) legs(t explore.Tour) []readyLeg {
	legs := make([]readyLeg, 0, len(t))
	for _, i := range t {
		e := r.plan.Edges[i]
		l := readyLeg{op: e.Op, from: r.plan.States[e.From], to: r.plan.States[e.To], action: e.Action}
		l.reason = readiness.Next(r.pl.p, l.from.State, l.op.Op)[0].Reason
		l.edge, _ = r.base.edge(l.from.State, l.op.Op, l.action)
		legs = append(legs, l)
	}
	return legs
}
