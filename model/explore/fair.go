package explore

import "slices"

// counterexample looks for a run that breaks l: a way to a state with From, and on without meeting To to a set of
// states in which the machine can stay for ever while every fair action is either taken again and again or
// impossible now and then. cycle is a round trip through that set, empty where it is one state and no step.
func counterexample[S any, O any](g *Graph[S, O], l LeadsTo[S]) (way, cycle []int, ok bool) {
	bad := make([]bool, len(g.States)) // reachable from a From state without meeting To
	via := make([]int, len(g.States))  // the edge by which it was reached, -1 for the From states themselves
	far := make([]int, len(g.States))  // how long the way to it is, the way to the From state included
	queue := []int{}
	for i, s := range g.States {
		via[i], far[i] = -1, g.Depth[i]
		if l.From(s) && !l.To(s) {
			bad[i] = true
			queue = append(queue, i)
		}
	}
	for len(queue) > 0 {
		at := queue[0]
		queue = queue[1:]
		for _, e := range g.Out[at] {
			if to := g.Edges[e].To; !bad[to] && !l.To(g.States[to]) {
				bad[to], via[to], far[to] = true, e, far[at]+1
				queue = append(queue, to)
			}
		}
	}
	best := -1
	for _, set := range components(g, bad) {
		pardons, fair := pardon(g, set, l.Fair)
		nearest := slices.MinFunc(set, func(a, b int) int { return far[a] - far[b] })
		if fair && (best < 0 || far[nearest] < far[best]) {
			best, cycle = nearest, roundTrip(g, set, nearest, pardons)
		}
	}
	if best < 0 {
		return nil, nil, true
	}
	at := best
	for e := via[at]; e >= 0; e = via[at] {
		way = append(way, e)
		at = g.Edges[e].From
	}
	slices.Reverse(way)
	return append(g.WayTo(at), way...), cycle, false
}

// visit is something to come by: a state, and then an edge that leaves it, unless that is -1.
type visit struct{ state, edge int }

// pardon says whether a run that stays in set can be fair to every action, and what it has to come by again and again
// for that: a state in which the action is impossible, or one of its steps that stays inside. Steps that change
// nothing do not count, as in <<A>>_vars.
func pardon[S any, O any](g *Graph[S, O], set []int, actions []string) (visits []visit, fair bool) {
	in := map[int]bool{}
	for _, s := range set {
		in[s] = true
	}
	for _, a := range actions {
		found := false
		for _, s := range set {
			possible := false
			for _, e := range g.Out[s] {
				edge := g.Edges[e]
				if edge.Action != a || edge.To == s {
					continue
				}
				if possible = true; in[edge.To] {
					visits, found = append(visits, visit{s, e}), true
					break
				}
			}
			if !possible {
				visits, found = append(visits, visit{s, -1}), true
			}
			if found {
				break
			}
		}
		if !found {
			return nil, false
		}
	}
	return visits, true
}

// roundTrip comes by every visit, starting at one state of a strongly connected set and ending there.
func roundTrip[S any, O any](g *Graph[S, O], set []int, start int, visits []visit) []int {
	in := map[int]bool{}
	for _, s := range set {
		in[s] = true
	}
	trip, at := []int{}, start
	for _, v := range append(visits, visit{start, -1}) {
		trip, at = append(trip, g.path(at, v.state, in)...), v.state
		if v.edge >= 0 {
			trip, at = append(trip, v.edge), g.Edges[v.edge].To
		}
	}
	return trip
}

// path is a shortest way between two states of a set inside of which it exists.
func (g *Graph[S, O]) path(from, goal int, in map[int]bool) []int {
	via := map[int]int{from: -1}
	for queue := []int{from}; len(queue) > 0; queue = queue[1:] {
		if queue[0] == goal {
			break
		}
		for _, e := range g.Out[queue[0]] {
			to := g.Edges[e].To
			if _, seen := via[to]; !seen && in[to] {
				via[to] = e
				queue = append(queue, to)
			}
		}
	}
	way := []int{}
	for e := via[goal]; e >= 0; e = via[g.Edges[e].From] {
		way = append(way, e)
	}
	slices.Reverse(way)
	return way
}

// components are the strongly connected sets among the states in bad (Tarjan's algorithm, with an explicit stack).
func components[S any, O any](g *Graph[S, O], bad []bool) [][]int {
	const unseen = -1
	order, low, open := make([]int, len(bad)), make([]int, len(bad)), make([]bool, len(bad))
	for i := range order {
		order[i] = unseen
	}
	type call struct{ state, next int }
	var sets [][]int
	var stack []int
	count := 0
	enter := func(s int) call {
		order[s], low[s], open[s] = count, count, true
		count++
		stack = append(stack, s)
		return call{s, 0}
	}
	for root := range bad {
		if !bad[root] || order[root] != unseen {
			continue
		}
		for calls := []call{enter(root)}; len(calls) > 0; {
			v := &calls[len(calls)-1]
			if v.next < len(g.Out[v.state]) {
				to := g.Edges[g.Out[v.state][v.next]].To
				v.next++
				switch {
				case !bad[to]:
				case order[to] == unseen:
					calls = append(calls, enter(to))
				case open[to]:
					low[v.state] = min(low[v.state], order[to])
				}
				continue
			}
			s := v.state
			calls = calls[:len(calls)-1]
			if len(calls) > 0 {
				caller := calls[len(calls)-1].state
				low[caller] = min(low[caller], low[s])
			}
			if low[s] == order[s] {
				cut := slices.Index(stack, s)
				set := slices.Clone(stack[cut:])
				stack = stack[:cut]
				for _, m := range set {
					open[m] = false
				}
				sets = append(sets, set)
			}
		}
	}
	return sets
}
