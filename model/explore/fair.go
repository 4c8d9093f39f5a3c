package explore

import "slices"

// counterexample looks for a run that breaks l: a way to a state with From, and on without meeting To to a set of
// states in which the machine can stay for ever while every fair action is either taken again and again or
// impossible now and then. cycle is a round trip through that set, empty where it is one state and no step.
func counterexample[S any, O any](g *Graph[S, O], l LeadsTo[S]) (way, cycle []int, ok bool) {
	bad := make([]bool, len(g.States)) // reachable from a From state without meeting To
	via := make([]int, len(g.States))  // the edge by which it was reached, -1 for the From states themselves
	queue := []int{}
	for i, s := range g.States {
		via[i] = -1
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
				bad[to], via[to] = true, e
				queue = append(queue, to)
			}
		}
	}
	for _, set := range components(g, bad) {
		if !fair(g, set, l.Fair) {
			continue
		}
		at := set[0]
		for e := via[at]; e >= 0; e = via[at] {
			way = append(way, e)
			at = g.Edges[e].From
		}
		slices.Reverse(way)
		return append(g.wayTo(at), way...), roundTrip(g, set), false
	}
	return nil, nil, true
}

// fair says whether a run that stays in set can be fair to every action: it is impossible in one of the states, or
// one of its steps stays inside. Steps that change nothing do not count, as in <<A>>_vars.
func fair[S any, O any](g *Graph[S, O], set []int, actions []string) bool {
	in := map[int]bool{}
	for _, s := range set {
		in[s] = true
	}
	for _, a := range actions {
		pardoned := false
		for _, s := range set {
			possible := false
			for _, e := range g.Out[s] {
				if edge := g.Edges[e]; edge.Action == a && edge.To != s {
					possible = true
					pardoned = pardoned || in[edge.To]
				}
			}
			pardoned = pardoned || !possible
		}
		if !pardoned {
			return false
		}
	}
	return true
}

// roundTrip walks from the first state of a strongly connected set through all of its states, and back.
func roundTrip[S any, O any](g *Graph[S, O], set []int) []int {
	trip, at := []int{}, set[0]
	goals := slices.Concat(set[1:], set[:1])
	for _, goal := range goals {
		if at == goal {
			continue
		}
		path := g.path(at, func(s int) bool { return s == goal }, func(s int) bool { return slices.Contains(set, s) })
		trip, at = append(trip, path...), goal
	}
	return trip
}

// path is a shortest way from one state to a goal, through allowed states; nil when there is none.
func (g *Graph[S, O]) path(from int, goal, allowed func(int) bool) []int {
	via := map[int]int{from: -1}
	for queue := []int{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if at != from && goal(at) || at == from && len(via) > 1 && goal(at) {
			way := []int{}
			for e := via[at]; e >= 0; e = via[g.Edges[e].From] {
				way = append(way, e)
			}
			slices.Reverse(way)
			return way
		}
		for _, e := range g.Out[at] {
			if to := g.Edges[e].To; allowed(to) {
				if _, seen := via[to]; !seen {
					via[to] = e
					queue = append(queue, to)
				}
			}
		}
	}
	return nil
}

// components are the strongly connected sets among the states in bad (Tarjan's algorithm, with an explicit stack).
func components[S any, O any](g *Graph[S, O], bad []bool) [][]int {
	const unseen = -1
	order, low, open := make([]int, len(bad)), make([]int, len(bad)), make([]bool, len(bad))
	for i := range order {
		order[i] = unseen
	}
	type visit struct{ state, next int }
	var sets [][]int
	var stack []int
	count := 0
	enter := func(s int) visit {
		order[s], low[s], open[s] = count, count, true
		count++
		stack = append(stack, s)
		return visit{s, 0}
	}
	for root := range bad {
		if !bad[root] || order[root] != unseen {
			continue
		}
		for calls := []visit{enter(root)}; len(calls) > 0; {
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
