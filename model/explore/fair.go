package explore

import "slices"

// counterexample looks for a run that breaks l: it comes to a state with From, never to one with To after that, and is
// fair. A run that goes on for ever ends up in a set of states that all lead to each other (strongly connected), so each
// such set behind a From is asked whether a fair run can stay in it. way leads there, and cycle is a fair round trip
// inside, empty where it is one state and no step.
func counterexample[S any, O any](g *Graph[S, O], l LeadsTo[S]) (way, cycle []int, ok bool) {
	waiting := make([]bool, len(g.States)) // a run can be here that has met From and not yet To
	via := make([]int, len(g.States))      // the edge by which it came, -1 for the From states themselves
	far := make([]int, len(g.States))      // how long the way to it is, the way to the From state included
	queue := []int{}
	for i, s := range g.States {
		via[i], far[i] = -1, g.Depth[i]
		if l.From(s) && !l.To(s) {
			waiting[i] = true
			queue = append(queue, i)
		}
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, e := range g.Out[at] {
			if to := g.Edges[e].To; !waiting[to] && !l.To(g.States[to]) {
				waiting[to], via[to], far[to] = true, e, far[at]+1
				queue = append(queue, to)
			}
		}
	}
	best := -1 // the state at which the shortest counterexample enters its set
	for _, set := range components(g, waiting) {
		stops, fair := fairStops(g, set, l.Fair)
		nearest := slices.MinFunc(set, func(a, b int) int { return far[a] - far[b] })
		if fair && (best < 0 || far[nearest] < far[best]) {
			best, cycle = nearest, roundTrip(g, set, nearest, stops)
		}
	}
	if best < 0 {
		return nil, nil, true
	}
	way = g.trail(via, best)
	begin := best
	if len(way) > 0 {
		begin = g.Edges[way[0]].From
	}
	return append(g.WayTo(begin), way...), cycle, false
}

// stop is something that a round trip has to come by: a state, and then an edge that leaves it, unless that is -1.
type stop struct{ state, edge int }

// fairStops says whether a run that stays in set can be fair to every action, and what it has to come by again and again
// for that, one stop for each.
func fairStops[S any, O any](g *Graph[S, O], set []int, actions []string) (stops []stop, fair bool) {
	inside := map[int]bool{}
	for _, s := range set {
		inside[s] = true
	}
	for _, a := range actions {
		n := len(stops)
		for i := 0; i < len(set) && len(stops) == n; i++ {
			if edge, ok := fairAt(g, set[i], a, inside); ok {
				stops = append(stops, stop{set[i], edge})
			}
		}
		if len(stops) == n {
			return nil, false
		}
	}
	return stops, true
}

// fairAt says whether it is fair to an action to come by a state again and again: because the action is impossible there
// (edge is -1), or because it can be taken without leaving the set. Steps that change nothing do not count, as in <<A>>_vars.
func fairAt[S any, O any](g *Graph[S, O], state int, action string, inside map[int]bool) (edge int, ok bool) {
	possible := false
	for _, e := range g.Out[state] {
		if to := g.Edges[e].To; g.Edges[e].Action == action && to != state {
			if inside[to] {
				return e, true
			}
			possible = true
		}
	}
	return -1, !possible
}

// roundTrip comes by every stop, starting at one state of a strongly connected set and ending there.
func roundTrip[S any, O any](g *Graph[S, O], set []int, start int, stops []stop) []int {
	trip, at := []int{}, start
	for _, next := range append(stops, stop{start, -1}) {
		trip, at = append(trip, g.path(at, next.state, set)...), next.state
		if next.edge >= 0 {
			trip, at = append(trip, next.edge), g.Edges[next.edge].To
		}
	}
	return trip
}

// path is a shortest way between two states of a set, inside of which there is one.
func (g *Graph[S, O]) path(from, goal int, set []int) []int {
	const outside, unseen = -3, -2
	via := slices.Repeat([]int{outside}, len(g.States))
	for _, s := range set {
		via[s] = unseen
	}
	via[from] = -1
	for queue := []int{from}; queue[0] != goal; queue = queue[1:] {
		for _, e := range g.Out[queue[0]] {
			if to := g.Edges[e].To; via[to] == unseen {
				via[to] = e
				queue = append(queue, to)
			}
		}
	}
	return g.trail(via, goal)
}

// components are the strongly connected sets among the waiting states: Tarjan's algorithm, with his names. Its recursion is
// at most as deep as there are states, which Go's growing stacks can take.
func components[S any, O any](g *Graph[S, O], waiting []bool) (sets [][]int) {
	const unseen = -1
	index, low := slices.Repeat([]int{unseen}, len(waiting)), make([]int, len(waiting))
	onStack, stack, count := make([]bool, len(waiting)), []int{}, 0
	var connect func(s int)
	connect = func(s int) {
		index[s], low[s], onStack[s] = count, count, true
		stack = append(stack, s)
		count++
		for _, e := range g.Out[s] {
			switch to := g.Edges[e].To; {
			case !waiting[to]:
			case index[to] == unseen:
				connect(to)
				low[s] = min(low[s], low[to])
			case onStack[to]:
				low[s] = min(low[s], index[to])
			}
		}
		if low[s] < index[s] {
			return
		}
		set := slices.Clone(stack[slices.Index(stack, s):])
		stack = stack[:len(stack)-len(set)]
		for _, m := range set {
			onStack[m] = false
		}
		sets = append(sets, set)
	}
	for s := range waiting {
		if waiting[s] && index[s] == unseen {
			connect(s)
		}
	}
	return sets
}
