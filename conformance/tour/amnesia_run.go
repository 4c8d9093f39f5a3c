package tour

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync/atomic"

	"github.com/rustyonions/micronode/model/amnesia"
	"github.com/rustyonions/micronode/model/explore"
)

const (
	amnesiaLongest = 60 // steps of a tour
	amnesiaNodes   = 6  // nodes at a time
	amnesiaWaits   = 60 // the same where every tour waits for a limit
)

// amnesiaRun is one run of all tours of a model of amnesia.
type amnesiaRun struct {
	binary, config string
	pl             amnesiaPlan
	base           *graph[amnesia.State, amnesia.Op]
	plan           *explore.Graph[amnesiaState, amnesiaOp]
	cov            *Coverage
	late           atomic.Int64 // tours that began again
}

// Amnesia walks the graph of the model of amnesia under p on nodes started from binary. What can be seen from outside is
// that answers agree, that room comes back, and that nothing is left behind an end. Overwrite and Wipe are passed and not
// seen: where bytes lie, and that they are overwritten, is for the lock-step test of the store, inside the process.
func Amnesia(binary, name string, p amnesia.Params, o Options) (*Coverage, error) {
	base, err := newGraph(amnesia.Machine(p))
	if err != nil {
		return nil, err
	}
	r := &amnesiaRun{binary: binary, pl: amnesiaPlan{p}, base: base}
	if r.plan, err = explore.Explore(r.pl.machine(), 100_000); err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "amnesia")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	r.config = filepath.Join(dir, "node.toml")
	if err := os.WriteFile(r.config, []byte("amnesia = true\n"), 0o600); err != nil {
		return nil, err
	}
	chosen := r.choose(name, o)
	quick := r.tours(func(e int) bool { return !r.waits(e) }, func(e int) bool { return chosen[e] && !r.waits(e) })
	requests, left := r.plan.Tours(1, r.still, func(e int) bool { return chosen[e] && r.plan.Edges[e].Op.Kind == "Timeout" })
	drains, more := r.plan.Tours(1, func(e int) bool { return r.plan.Edges[e].Op.Kind != "Timeout" },
		func(e int) bool { return chosen[e] && r.waits(e) && r.plan.Edges[e].Op.Kind != "Timeout" })
	o.Progress("%s: %d edges, plan of %d states; %d tours, %d that wait for a request to time out, %d for the end of a drain", name,
		len(base.Edges), len(r.plan.States), len(quick), len(requests), len(drains))
	if len(left)+len(more) > 0 {
		return r.cov, errors.New("some edges of the plan are on no tour")
	}
	if err = r.walk(quick, amnesiaNodes, ""); err == nil {
		err = errors.Join(r.walk(requests, amnesiaWaits, "request"), r.walk(drains, amnesiaWaits, "drain"))
	}
	o.Progress("%s: %d times a tour began again, because the machine was too slow for it", name, r.late.Load())
	return r.cov, err
}

// waits says that an edge takes the end of a limit.
func (r *amnesiaRun) waits(e int) bool {
	return timed(r.plan.Edges[e].Op.Kind, r.plan.Edges[e].Action)
}

// still says that an edge may be on the way to the end of a request's limit: nothing makes progress once a drain has begun,
// or else the drain would end first.
func (r *amnesiaRun) still(e int) bool {
	edge := r.plan.Edges[e]
	closing := r.plan.States[edge.From].Life == amnesia.Closing
	return edge.Op.Kind == "Timeout" || !r.waits(e) && !(closing && (edge.Op.Kind == "Arrive" || edge.Op.Kind == "Take" || edge.Op.Kind == "Send"))
}

// choose picks one edge of the plan for each edge of the model, and notes why the others are out of reach.
func (r *amnesiaRun) choose(name string, o Options) map[int]bool {
	byBase, between := map[int]int{}, map[int]bool{}
	_, late := r.plan.Tours(amnesiaLongest, func(e int) bool { return !r.waits(e) }, func(int) bool { return true })
	waits := map[int]bool{}
	for _, e := range late {
		waits[e] = true
	}
	for i, e := range r.plan.Edges {
		from := r.plan.States[e.From]
		b, _ := r.base.edge(from.State, e.Op.Op, e.Action)
		if known, ok := byBase[b]; !ok || waits[known] && !waits[i] || i%2 == 0 && waits[known] == waits[i] && r.plan.Depth[e.From] == r.plan.Depth[r.plan.Edges[known].From] {
			byBase[b] = i
		}
	}
	for _, s := range r.plan.States {
		if _, _, pending := r.pl.pending(s); !pending {
			between[r.base.state[r.base.canon(s.State)]] = true
		}
	}
	why, chosen := make([]string, len(r.base.Edges)), map[int]bool{}
	for b, e := range r.base.Edges {
		i, reached := byBase[b]
		switch {
		case !reached:
			why[b] = r.pl.why(r.base.States[e.From], e.Op, e.Action, between[e.From])
		case waits[i] && !o.Time:
			why[b] = "it takes the 5 seconds of a limit, which this run does not wait for"
		default:
			chosen[i] = true
		}
	}
	r.cov = newCoverage(name, r.base.actions(), why)
	return chosen
}

// tours are walks along allowed edges that take all wanted ones, and no more of a get or a put than it has.
func (r *amnesiaRun) tours(allowed, wanted func(e int) bool) (tours []explore.Tour) {
	left := map[int]bool{}
	for e := range r.plan.Edges {
		if wanted(e) {
			left[e] = true
		}
	}
	for limit := amnesiaLongest; len(left) > 0; limit = sends {
		found, missed := r.plan.Tours(limit, allowed, func(e int) bool { return left[e] })
		for _, e := range missed {
			delete(left, e) // behind the end of a limit
		}
		for _, t := range found {
			t = t[:r.fits(t)]
			for _, e := range t {
				delete(left, e)
			}
			tours = append(tours, t)
		}
	}
	return tours
}

// settled appends what the node does by itself after the last step of a tour.
func (r *amnesiaRun) settled(t explore.Tour) explore.Tour {
	for {
		at := r.plan.Edges[t[len(t)-1]].To
		kind, conn, pending := r.pl.pending(r.plan.States[at])
		i := slices.IndexFunc(r.plan.Out[at], func(e int) bool {
			op := r.plan.Edges[e].Op
			return pending && op.Kind == kind && op.Conn == conn
		})
		if i < 0 {
			return t
		}
		t = append(t, r.plan.Out[at][i])
	}
}

// fits is how many legs of a tour can be taken before a request has no more bytes, or a drain is over.
func (r *amnesiaRun) fits(t explore.Tour) int {
	n, hurried := map[int]int{}, 0
	for i, e := range t {
		edge := r.plan.Edges[e]
		from := r.plan.States[edge.From]
		if edge.Op.Conn > 0 && from.Conns[edge.Op.Conn-1].Doing == amnesia.Idle {
			n[edge.Op.Conn] = 0
		}
		if edge.Op.Kind == "Send" || edge.Op.Kind == "Arrive" {
			n[edge.Op.Conn]++
		}
		if hurried++; from.Life != amnesia.Closing || from.busy() {
			hurried = 0
		}
		if n[edge.Op.Conn] > sends || hurried > hurry {
			return i
		}
	}
	return len(t)
}

// walk drives tours, some at a time.
func (r *amnesiaRun) walk(tours []explore.Tour, nodes int, limit string) error {
	return punctually(tours, nodes, &r.late, func(t explore.Tour) error {
		d := &amnesiaDrive{p: r.pl.p, binary: r.binary, config: r.config, cov: r.cov, limit: limit}
		return d.walk(r.legs(r.settled(t)))
	})
}

// legs turns edges of the plan into steps to take, and decides what each put is of.
func (r *amnesiaRun) legs(t explore.Tour) []amnesiaLeg {
	legs := make([]amnesiaLeg, 0, len(t))
	began := make([]int, r.pl.p.Conns) // legs, by connection
	content := make([]int, r.pl.p.Slots)
	for n, i := range t {
		e := r.plan.Edges[i]
		l := amnesiaLeg{op: e.Op, from: r.plan.States[e.From], to: r.plan.States[e.To], action: e.Action, put: n + 1}
		for _, o := range amnesia.Next(r.pl.p, l.from.State, e.Op.Op) {
			if o.Action == e.Action {
				l.reason = o.Reason
			}
		}
		l.edge, _ = r.base.edge(l.from.State, e.Op.Op, e.Action)
		_, _, pending := r.pl.pending(l.to)
		l.settled = !pending
		legs = append(legs, l)
		if e.Op.Conn == 0 {
			continue
		}
		c := l.from.Conns[e.Op.Conn-1]
		begin := &began[e.Op.Conn-1]
		switch e.Action {
		case "Arrive":
			if c.Doing == amnesia.Idle {
				*begin = n
			}
		case "Commit":
			content[c.Slot-1] = legs[*begin].put
		case "CommitAgain":
			for i, s := range l.from.Slots {
				if s.Use == amnesia.Object {
					legs[*begin].put = content[i]
				}
			}
		case "Commit_bad_digest":
			legs[*begin].wrong = true
		}
	}
	return legs
}
