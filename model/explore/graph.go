package explore

import (
	"fmt"
	"slices"
)

// Edge is one step of a graph: from state From the operation had the outcome that leads to state To. States and edges
// are known by their numbers in the lists of the graph.
type Edge[O any] struct {
	From, To int
	Op       O
	Action   string
	Rules    []string
}

// Graph is everything a machine can do. State 0 is the first; states are in the order of their distance from it.
type Graph[S any, O any] struct {
	Name   string
	States []S
	Keys   []string  // Canon of each state
	Edges  []Edge[O] // in the order of From, then of the machine's Ops, then of the outcomes
	Out    [][]int   // of each state: the edges that leave it
	Depth  []int     // of each state: the number of steps from the first
	parent []int     // of each state: the edge by which it was found; -1 for the first
}

// Explore finds every state and step of m. It fails when there are more than limit states, when a model gives an
// outcome without an action or rule, or when an invariant or step property does not hold: the error is a
// *Violation then, with the shortest way to it.
func Explore[S any, O interface {
	comparable
	fmt.Stringer
}](m Machine[S, O], limit int) (*Graph[S, O], error) {
	g := &Graph[S, O]{Name: m.Name}
	index := map[string]int{} // the number of each known state, by its text
	add := func(s S, via, depth int) int {
		key := m.Canon(s)
		i, known := index[key]
		if !known {
			i = len(g.States)
			index[key] = i
			g.States, g.Keys = append(g.States, s), append(g.Keys, key)
			g.parent, g.Depth, g.Out = append(g.parent, via), append(g.Depth, depth), append(g.Out, nil)
		}
		return i
	}
	add(m.Init, -1, 0)
	for from := 0; from < len(g.States); from++ { // breadth first: the list of states is the queue, and grows on the way
		if len(g.States) > limit {
			return nil, fmt.Errorf("model %s: more than %d states", m.Name, limit)
		}
		s := g.States[from]
		for _, inv := range m.Always {
			if !inv.Holds(s) {
				return nil, g.violation(inv.Name, inv.Rules, g.WayTo(from))
			}
		}
		for _, op := range m.Ops {
			for _, o := range m.Next(s, op) {
				if o.Action == "" || len(o.Rules) == 0 {
					return nil, fmt.Errorf("model %s: %v has an outcome without action or rule", m.Name, op)
				}
				e := len(g.Edges)
				to := add(o.To, e, g.Depth[from]+1)
				g.Edges = append(g.Edges, Edge[O]{from, to, op, o.Action, o.Rules})
				g.Out[from] = append(g.Out[from], e)
				for _, p := range m.Steps {
					if !p.Holds(s, o) {
						return nil, g.violation(p.Name, p.Rules, append(g.WayTo(from), e))
					}
				}
			}
		}
	}
	for _, l := range m.LeadsTo {
		if way, cycle, ok := counterexample(g, l); !ok {
			v := g.violation(l.Name, l.Rules, way)
			v.Cycle = g.steps(cycle)
			v.Stays = true
			return nil, v
		}
	}
	return g, nil
}

// WayTo is a shortest way from the first state: the edges to take.
func (g *Graph[S, O]) WayTo(state int) []int { return g.trail(g.parent, state) }

// trail is the way on which a search came to a state: via has the edge by which it found each, -1 where it began.
func (g *Graph[S, O]) trail(via []int, state int) []int {
	way := []int{}
	for e := via[state]; e >= 0; e = via[g.Edges[e].From] {
		way = append(way, e)
	}
	slices.Reverse(way)
	return way
}

// Actions counts the steps of each action.
func (g *Graph[S, O]) Actions() map[string]int {
	n := map[string]int{}
	for _, e := range g.Edges {
		n[e.Action]++
	}
	return n
}
