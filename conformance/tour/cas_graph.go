package tour

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/rustyonions/micronode/model/explore"
)

// graph is a model's own graph, in which the steps of a plan are found again.
type graph[S any, O interface {
	comparable
	fmt.Stringer
}] struct {
	*explore.Graph[S, O]
	canon func(S) string
	state map[string]int
	edges map[way[O]]int
}

// way is how an edge leaves a state.
type way[O comparable] struct {
	from   int
	op     O
	action string
}

// newGraph explores m.
func newGraph[S any, O interface {
	comparable
	fmt.Stringer
}](m explore.Machine[S, O]) (*graph[S, O], error) {
	g, err := bare(m)
	if err != nil {
		return nil, err
	}
	b := &graph[S, O]{Graph: g, canon: m.Canon, state: map[string]int{}, edges: map[way[O]]int{}}
	for i, key := range g.Keys {
		b.state[key] = i
	}
	for i, e := range g.Edges {
		w := way[O]{e.From, e.Op, e.Action}
		if _, twice := b.edges[w]; twice {
			return nil, fmt.Errorf("model %s: from one state %v leads to two by the same action %s", m.Name, e.Op, e.Action)
		}
		b.edges[w] = i
	}
	return b, nil
}

// edge is the edge by which op leaves s with an action; ok is false where the model has none.
func (g *graph[S, O]) edge(s S, op O, action string) (edge int, ok bool) {
	from, ok := g.state[g.canon(s)]
	if !ok {
		return 0, false
	}
	edge, ok = g.edges[way[O]{from, op, action}]
	return edge, ok
}

// outOfReach is the coverage of a model of which nothing can be walked, for one reason.
func outOfReach[S any, O interface {
	comparable
	fmt.Stringer
}](name string, m explore.Machine[S, O], why string) (*Coverage, error) {
	g, err := bare(m)
	if err != nil {
		return nil, err
	}
	actions := make([]string, len(g.Edges))
	for i, e := range g.Edges {
		actions[i] = e.Action
	}
	return newCoverage(name, actions, slices.Repeat([]string{why}, len(g.Edges))), nil
}

// bare explores m. That its properties hold is for others to show.
func bare[S any, O interface {
	comparable
	fmt.Stringer
}](m explore.Machine[S, O]) (*explore.Graph[S, O], error) {
	m.Always, m.Steps, m.LeadsTo = nil, nil, nil
	return explore.Explore(m, 100_000)
}

// each drives tours, some at a time. It begins no more of them when one has failed.
func each(tours []explore.Tour, some int, drive func(context.Context, explore.Tour) error) error {
	group, ctx := errgroup.WithContext(context.Background())
	group.SetLimit(some)
	for _, t := range tours {
		group.Go(func() error {
			if ctx.Err() != nil {
				return nil
			}
			return drive(ctx, t)
		})
	}
	return group.Wait()
}

const (
	tries      = 4 // of a tour that the machine was too slow for, beside others
	triesAlone = 40
)

// punctually is each for tours that fail with errLate where the machine is too slow for them. The law's 100 milliseconds
// are short for one that runs other tests as well: such a tour begins again, and after some tries it has the others wait.
func punctually(tours []explore.Tour, some int, late *atomic.Int64, drive func(explore.Tour) error) error {
	var road sync.RWMutex
	return each(tours, some, func(ctx context.Context, t explore.Tour) error {
		err := errLate
		for try := 0; try < tries && errors.Is(err, errLate); try++ {
			road.RLock()
			err = drive(t)
			road.RUnlock()
			if errors.Is(err, errLate) {
				late.Add(1)
			}
		}
		if !errors.Is(err, errLate) {
			return err
		}
		road.Lock()
		defer road.Unlock()
		for try := 0; try < triesAlone && errors.Is(err, errLate) && ctx.Err() == nil; try++ {
			if err = drive(t); errors.Is(err, errLate) {
				late.Add(1)
			}
		}
		return err
	})
}

// actions lists the action of each edge.
func (g *graph[S, O]) actions() []string {
	all := make([]string, len(g.Edges))
	for i, e := range g.Edges {
		all[i] = e.Action
	}
	return all
}
