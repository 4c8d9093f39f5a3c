package tour

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/rustyonions/micronode/model/capability"
	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/spec"
)

const (
	capLongest  = 80 // steps of a tour
	capNodes    = 3  // nodes at a time
	capWaits    = 40 // the same where all wait for capabilities to expire
	capTogether = 20 // tours that share a list of revocations that is full
)

// capRun is one run of all tours of a model of capabilities.
type capRun struct {
	binary string
	pl     capPlan
	base   *graph[capability.State, capability.Op]
	plan   *explore.Graph[capState, capability.Op]
	cov    *Coverage
	late   atomic.Int64 // tours that began again
}

// capStage are tours of one kind: allowed are the edges of the plan that they may take, chosen those that they are for.
type capStage struct {
	name    string
	allowed func(e int) bool
	chosen  map[int]bool
}

// Capability walks the graph of the model of capabilities under p on nodes started from binary: what is issued, attenuated
// by its holder, shown over HTTP, OAP/1 and the Unix socket, verified and revoked, while keys are replaced, capabilities
// expire and nodes restart. An admitted request is held open, so that its end can be seen.
func Capability(binary, name string, p capability.Params, o Options) (*Coverage, error) {
	base, err := newGraph(capability.Machine(p))
	if err != nil {
		return nil, err
	}
	r := &capRun{binary: binary, pl: capPlan{p}, base: base}
	if r.plan, err = explore.Explore(r.pl.machine(), 100_000); err != nil {
		return nil, err
	}
	stages := r.choose(name, o)
	for _, s := range stages {
		tours, missed := r.plan.Tours(capLongest, s.allowed, func(e int) bool { return s.chosen[e] })
		if len(missed) > 0 {
			return r.cov, errors.New("an edge of the plan is on no tour")
		}
		o.Progress("%s: %d tours %s", name, len(tours), s.name)
		switch s.name {
		case stageFull:
			err = r.fill(tours)
		case stageTick:
			err = r.walk(tours, capWaits, true)
		default:
			err = r.walk(tours, capNodes, false)
		}
		if err != nil {
			break
		}
	}
	o.Progress("%s: %d times a tour began again, because the machine was too slow for it", name, r.late.Load())
	return r.cov, err
}

const (
	stageOneLife = "in one life of a node"
	stageRestart = "through restarts"
	stageFull    = "to a full list of revocations"
	stageTick    = "in which capabilities expire"
)

// choose decides which edge of the plan is taken for each edge of the model, at which stage, and notes why others are out
// of reach.
func (r *capRun) choose(name string, o Options) (stages []capStage) {
	takes := func(e int, kinds ...capability.Kind) bool { return slices.Contains(kinds, r.plan.Edges[e].Op.Kind) }
	quota := func(e int) bool { return r.plan.Edges[e].Action == capQuota }
	stages = []capStage{
		{stageOneLife, func(e int) bool { return !takes(e, capability.Tick, capability.Restart) && !quota(e) }, nil},
		{stageRestart, func(e int) bool { return !takes(e, capability.Tick) && !quota(e) }, nil},
		{stageFull, func(e int) bool { return !takes(e, capability.Tick, capability.Restart) }, nil},
		{stageTick, func(e int) bool { return !quota(e) }, nil},
	}
	taken := make([]string, len(r.base.Edges)) // by which stage
	for i := range stages {
		s := &stages[i]
		s.chosen = map[int]bool{}
		for e := range r.within(s.allowed) {
			b, _ := r.base.edge(r.plan.States[r.plan.Edges[e].From].State, r.plan.Edges[e].Op, r.plan.Edges[e].Action)
			if taken[b] == "" {
				taken[b] = s.name
				s.chosen[e] = true
			}
		}
	}
	settled, known := map[int]bool{}, map[int]bool{}
	for _, s := range r.plan.States {
		i := r.base.state[r.base.canon(s.State)]
		known[i] = true
		if _, pending := r.pl.pending(s); !pending {
			settled[i] = true
		}
	}
	why := make([]string, len(r.base.Edges))
	for b, e := range r.base.Edges {
		if taken[b] == "" {
			why[b] = r.why(e, settled[e.From], known[e.From])
		} else if taken[b] == stageTick && !o.Time {
			why[b] = "it takes the seconds of a life, which this run does not wait for"
		}
	}
	if r.cov = newCoverage(name, r.base.actions(), why); !o.Time {
		stages = stages[:3]
	}
	return slices.DeleteFunc(stages, func(s capStage) bool { return len(s.chosen) == 0 })
}

// within are the edges of the plan that can be reached along allowed ones, in their order, and are allowed themselves.
func (r *capRun) within(allowed func(e int) bool) func(yield func(int) bool) {
	seen := make([]bool, len(r.plan.States))
	seen[0] = true
	for queue := []int{0}; len(queue) > 0; queue = queue[1:] {
		for _, e := range r.plan.Out[queue[0]] {
			if to := r.plan.Edges[e].To; allowed(e) && !seen[to] {
				seen[to] = true
				queue = append(queue, to)
			}
		}
	}
	return func(yield func(int) bool) {
		for e := range r.plan.Edges {
			if seen[r.plan.Edges[e].From] && allowed(e) && !yield(e) {
				return
			}
		}
	}
}

// why says why an edge of the model that no plan reaches is out of reach; "" where there is no reason.
func (r *capRun) why(e explore.Edge[capability.Op], settled, known bool) string {
	s := capState{State: r.base.States[e.From]}
	if e.Action == capQuota {
		return "the list of a node is filled in its first life, before anything expires"
	}
	_, pending := r.pl.pending(s)
	switch why := r.pl.beyond(s, e.Op); {
	case why != "" && !(e.Op.Kind == capability.DropKey && !settled):
		return why
	case known && !settled, pending:
		return "its state exists only between steps that the node makes at once"
	case !known && r.early(s):
		return "the node keeps a key until the last exp that it minted, or drops it with its revocation"
	case !known:
		return "its state lies behind one that exists only between steps that the node makes at once"
	}
	return ""
}

// early says that a key was dropped before its time.
func (r *capRun) early(s capState) bool {
	for i, k := range s.Keys {
		if k.Is == "gone" && i+1 >= s.First && s.needed(i+1) {
			return true
		}
	}
	return false
}

// legs turns edges of the plan into steps to take.
func (r *capRun) legs(t explore.Tour) []capLeg {
	legs := make([]capLeg, 0, len(t))
	for _, i := range r.settled(t) {
		e := r.plan.Edges[i]
		l := capLeg{op: e.Op, from: r.plan.States[e.From], to: r.plan.States[e.To], action: e.Action}
		for _, o := range capability.Next(r.pl.p, l.from.State, e.Op) {
			if o.Action == e.Action {
				l.reason = o.Reason
			}
		}
		l.edge, _ = r.base.edge(l.from.State, e.Op, e.Action)
		legs = append(legs, l)
	}
	return legs
}

// settled appends what the node does by itself after the last step of a tour.
func (r *capRun) settled(t explore.Tour) explore.Tour {
	for {
		at := r.plan.Edges[t[len(t)-1]].To
		op, pending := r.pl.pending(r.plan.States[at])
		i := slices.IndexFunc(r.plan.Out[at], func(e int) bool { return pending && r.plan.Edges[e].Op == op })
		if i < 0 {
			return t
		}
		t = append(t, r.plan.Out[at][i])
	}
}

// walk drives tours, one after the other on each of some nodes.
func (r *capRun) walk(tours []explore.Tour, nodes int, ticks bool) error {
	pool := make(chan *capNode, nodes)
	dir, err := os.MkdirTemp("", "capability")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	for i := range nodes {
		own := filepath.Join(dir, fmt.Sprint(i))
		if err := os.Mkdir(own, 0o700); err != nil {
			return err
		}
		pool <- &capNode{binary: r.binary, dir: own}
	}
	err = punctually(tours, nodes, &r.late, func(t explore.Tour) error {
		n := <-pool
		defer func() { pool <- n }()
		d := &capDrive{p: r.pl.p, at: n, cov: r.cov, ticks: ticks}
		if err := d.walk(r.legs(t)); err != nil {
			n.end()
			return err
		}
		return nil
	})
	for range nodes {
		if n := <-pool; n.node != nil {
			if err == nil {
				err = settled(n.node)
			}
			n.end()
		}
	}
	return err
}

// fill drives tours that come to a full list of revocations, some on one node: each waits before the first revocation that
// finds no room until all have come there, and then they go on.
func (r *capRun) fill(tours []explore.Tour) error {
	for some := range slices.Chunk(tours, capTogether) {
		err := errLate
		for try := 0; try < tries && errors.Is(err, errLate); try++ {
			if err = r.together(some); errors.Is(err, errLate) {
				r.late.Add(1)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (r *capRun) together(tours []explore.Tour) error {
	dir, err := os.MkdirTemp("", "capability")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	n := &capNode{binary: r.binary, dir: dir}
	if err := n.start(); err != nil {
		return err
	}
	defer n.end()
	d, err := enter(n.node)
	if err != nil {
		return err
	}
	defer d.leave()
	if err := d.fill(spec.MaxRevocations / 16); err != nil {
		return err
	}
	var group errgroup.Group
	full := make(chan struct{})
	turns := make([]chan struct{}, len(tours))
	for i, t := range tours {
		turns[i] = make(chan struct{})
		arrived := make(chan struct{})
		once := sync.OnceFunc(func() { close(arrived) })
		group.Go(func() error {
			defer close(turns[i])
			defer once()
			c := &capDrive{p: r.pl.p, at: n, cov: r.cov, full: func() {
				once()
				<-full
				if i > 0 {
					<-turns[i-1]
				}
			}}
			return c.walk(r.legs(t))
		})
		<-arrived
	}
	err = d.fill(0)
	close(full)
	return errors.Join(err, group.Wait())
}
