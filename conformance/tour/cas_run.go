package tour

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rustyonions/micronode/model/cas"
	"github.com/rustyonions/micronode/model/explore"
)

const (
	casLongest = 150 // steps of a tour
	casNodes   = 3   // nodes at a time
	endNodes   = 6   // the same where tours end them, and wait for that
	reads      = 14  // of one get: the smallest object has more frames than that beyond the window
	oneInSo    = 8   // states that a run without waiting ends a node in
)

// casRun is one run of all tours of a model of the store.
type casRun struct {
	binary string
	p      cas.Params
	graph  *graph[cas.State, cas.Op]
	cov    *Coverage
	scene  casScene
}

// Cas walks the graph of the model of the store under p on nodes started from binary. A client brings every operation
// about by itself, and each is over when it is answered: the plan is the model, without what nobody outside can do.
func Cas(binary, name string, p cas.Params, o Options) (*Coverage, error) {
	g, err := newGraph(cas.Machine(p))
	if err != nil {
		return nil, err
	}
	r := &casRun{binary: binary, p: p, graph: g, scene: newCasScene(p)}
	why := make([]string, len(g.Edges))
	for i, e := range g.Edges {
		why[i] = whyCas(g.States[e.From], e.Op)
		if why[i] == "" && ends(e.Op) && e.Op.Kind != cas.Start && e.From%oneInSo != 0 && !o.Time {
			why[i] = fmt.Sprintf("it ends a node, which this run does in one state of %d", oneInSo)
		}
	}
	r.cov = newCoverage(name, g.actions(), why)
	within := func(e int) bool { return why[e] == "" }
	alive := func(e int) bool { return within(e) && !ends(g.Edges[e].Op) }
	tours, lives := r.tours(alive, alive), r.tours(within, func(e int) bool { return within(e) && !alive(e) })
	o.Progress("%s: %d states, %d edges; %d tours, %d more that end nodes", name, len(g.States), len(g.Edges), len(tours), len(lives))
	var both errgroup.Group
	both.Go(func() error { return r.walk(tours, casNodes) })
	both.Go(func() error { return r.walk(lives, endNodes) })
	return r.cov, both.Wait()
}

// CasPersistent is the coverage of the model of a store with persistence under p, as far as it goes: all is out of reach
// as long as no node can be asked for persistence. It fails when the node of binary can, and so needs tours.
func CasPersistent(binary, name string, p cas.Params) (*Coverage, error) {
	c, err := outOfReach(name, cas.Machine(p), "the node has no persistent engine yet")
	if err != nil {
		return nil, err
	}
	if err := refuses(binary, "false"); err != nil {
		return c, fmt.Errorf("%w: there are tours to be written", err)
	}
	return c, nil
}

// refuses wants a node not to start where the setting of amnesia has a value, and to say that this is why.
func refuses(binary, value string) error {
	cmd := exec.Command(binary, "run", "--http", "127.0.0.1:0", "--oap", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "MICRO_AMNESIA="+value)
	timer := time.AfterFunc(patience, func() { cmd.Process.Kill() })
	defer timer.Stop()
	var exit *exec.ExitError
	if text, err := cmd.CombinedOutput(); !errors.As(err, &exit) || exit.ExitCode() <= 0 || !bytes.Contains(text, []byte("MICRO_AMNESIA")) {
		return fmt.Errorf("%w: a node whose amnesia is %q ends with %v: %s", errTour, value, err, text)
	}
	return nil
}

// walk drives tours, some at a time, each from the start of a node.
func (r *casRun) walk(tours []explore.Tour, nodes int) error {
	return each(tours, nodes, func(_ context.Context, t explore.Tour) error {
		d := &casDrive{sc: r.scene, binary: r.binary, cov: r.cov}
		return d.walk(r.legs(t))
	})
}

// ends says that an operation ends a node, or starts another.
func ends(op cas.Op) bool { return op.Kind == cas.Stop || op.Kind == cas.Crash || op.Kind == cas.Start }

// whyCas says why a step is out of reach; "" where it is not.
func whyCas(s cas.State, op cas.Op) string {
	bad := slices.ContainsFunc(s.Copies, func(c cas.Copy) bool { return c.Health != cas.Good })
	switch {
	case op.Kind == cas.Flip || bad:
		return "nobody outside can change a bit in the memory of the node"
	case op.Kind == cas.Scrub:
		return "the node checks everything once an hour, when it likes"
	}
	return ""
}

// tours are walks along allowed edges that take all wanted ones, and read no more of a get than it has.
func (r *casRun) tours(allowed, wanted func(e int) bool) (tours []explore.Tour) {
	left := map[int]bool{}
	for e := range r.graph.Edges {
		if wanted(e) {
			left[e] = true
		}
	}
	for limit := casLongest; len(left) > 0; limit = reads {
		found, _ := r.graph.Tours(limit, allowed, func(e int) bool { return left[e] })
		for _, t := range found {
			t = t[:r.readable(t)]
			for _, e := range t {
				delete(left, e)
			}
			tours = append(tours, t)
		}
	}
	return tours
}

// readable is how many legs of a tour can be taken before a get has no more bytes.
func (r *casRun) readable(t explore.Tour) int {
	n := map[int]int{} // by reader
	for i, e := range t {
		switch op := r.graph.Edges[e].Op; op.Kind {
		case cas.Get, cas.EndGet:
			n[op.Reader] = 0
		case cas.Stop, cas.Crash:
			clear(n)
		case cas.Read:
			if n[op.Reader]++; n[op.Reader] > reads {
				return i
			}
		}
	}
	return len(t)
}

// legs turns edges into steps to take.
func (r *casRun) legs(t explore.Tour) []casLeg {
	legs := make([]casLeg, 0, len(t))
	for _, i := range t {
		e := r.graph.Edges[i]
		from := r.graph.States[e.From]
		l := casLeg{op: e.Op, from: from, to: r.graph.States[e.To], action: e.Action, edge: i}
		for _, o := range cas.Next(r.p, from, e.Op) {
			if o.Action == e.Action {
				l.reason = o.Reason
			}
		}
		legs = append(legs, l)
	}
	return legs
}
