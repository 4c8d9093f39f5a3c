package explore

// Tour is a walk from the first state: the edges to take, in order.
type Tour []int

// Tours returns walks that together take every edge that wanted permits and that can be reached through such edges.
// No walk is longer than limit, unless a single edge lies farther away. missed are the wanted edges that no walk
// of wanted edges gets to.
func (g *Graph[S, O]) Tours(limit int, wanted func(Edge[O]) bool) (tours []Tour, missed []int) {
	ok, left := make([]bool, len(g.Edges)), make([]int, len(g.States))
	taken := make([]bool, len(g.Edges))
	todo := 0
	for i, e := range g.Edges {
		if ok[i] = wanted(e); ok[i] {
			left[e.From]++
			todo++
		}
	}
	var tour Tour
	at := 0
	take := func(e int) {
		if !taken[e] {
			taken[e] = true
			left[g.Edges[e].From]--
			todo--
		}
		tour, at = append(tour, e), g.Edges[e].To
	}
	for todo > 0 {
		way := g.nearest(at, ok, left)
		if len(tour) > 0 && (way == nil || len(tour)+len(way) >= limit) {
			tours = append(tours, tour)
			tour, at = nil, 0
			continue
		}
		if way == nil {
			break
		}
		for _, e := range way {
			take(e)
		}
		for _, e := range g.Out[at] {
			if ok[e] && !taken[e] {
				take(e)
				break
			}
		}
	}
	if len(tour) > 0 {
		tours = append(tours, tour)
	}
	for i := range g.Edges {
		if ok[i] && !taken[i] {
			missed = append(missed, i)
		}
	}
	return tours, missed
}

// nearest is a shortest way through permitted edges to a state with an edge left to take: empty when at is one, nil
// when there is none.
func (g *Graph[S, O]) nearest(at int, ok []bool, left []int) []int {
	if left[at] > 0 {
		return []int{}
	}
	via := map[int]int{at: -1}
	for queue := []int{at}; len(queue) > 0; queue = queue[1:] {
		for _, e := range g.Out[queue[0]] {
			to := g.Edges[e].To
			if _, seen := via[to]; seen || !ok[e] {
				continue
			}
			via[to] = e
			if left[to] > 0 {
				way := []int{}
				for e := via[to]; e >= 0; e = via[g.Edges[e].From] {
					way = append([]int{e}, way...)
				}
				return way
			}
			queue = append(queue, to)
		}
	}
	return nil
}
