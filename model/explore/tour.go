package explore

// Tour is a walk from the first state: the edges to take, in order.
type Tour []int

// Tours returns walks along allowed edges that together take every wanted edge that can be reached along them. A walk ends
// when it would become longer than limit, but always takes at least one wanted edge. missed are the wanted edges that
// no walk gets to.
func (g *Graph[S, O]) Tours(limit int, allowed, wanted func(e int) bool) (tours []Tour, missed []int) {
	p := planner[S, O]{g: g, allowed: make([]bool, len(g.Edges)), todo: make([]bool, len(g.Edges)),
		left: make([]int, len(g.States)), seen: make([]int, len(g.States)), via: make([]int, len(g.States))}
	for i, e := range g.Edges {
		p.allowed[i] = allowed(i)
		p.todo[i] = p.allowed[i] && wanted(i)
		if p.todo[i] {
			p.left[e.From]++
		}
	}
	var tour Tour
	at := 0
	for {
		way, found := p.nearest(at)
		if len(tour) > 0 && (!found || len(tour)+len(way) > limit) {
			tours = append(tours, tour)
			tour, at = nil, 0
			continue
		}
		if !found {
			break
		}
		for _, e := range way {
			p.take(e)
			at = g.Edges[e].To
		}
		tour = append(tour, way...)
	}
	for i := range g.Edges {
		if p.todo[i] || !p.allowed[i] && wanted(i) {
			missed = append(missed, i)
		}
	}
	return tours, missed
}

// planner is the state of one call of Tours.
type planner[S, O any] struct {
	g             *Graph[S, O]
	allowed, todo []bool // of each edge; todo: it is wanted and was not taken yet
	left          []int  // of each state: how many edges that leave it are to do
	search        int    // the number of the search that is under way
	seen, via     []int  // of each state: the last search that came to it, and by which edge
}

// take notes that a walk takes an edge, wanted or on the way to a wanted one.
func (p *planner[S, O]) take(e int) {
	if p.todo[e] {
		p.todo[e] = false
		p.left[p.g.Edges[e].From]--
	}
}

// nearest is a shortest way along allowed edges to an edge that is to do, that edge included.
func (p *planner[S, O]) nearest(from int) (way []int, found bool) {
	p.search++
	p.seen[from], p.via[from] = p.search, -1
	for queue := []int{from}; len(queue) > 0; queue = queue[1:] {
		at := queue[0]
		if p.left[at] > 0 {
			return append(p.g.trail(p.via, at), p.pick(at)), true
		}
		for _, e := range p.g.Out[at] {
			if to := p.g.Edges[e].To; p.allowed[e] && p.seen[to] != p.search {
				p.seen[to], p.via[to] = p.search, e
				queue = append(queue, to)
			}
		}
	}
	return nil, false
}

// pick is an edge to do that leaves a state; one that stays there comes first, because it costs no way back.
func (p *planner[S, O]) pick(at int) int {
	best := -1
	for _, e := range p.g.Out[at] {
		if p.todo[e] && (best < 0 || p.g.Edges[e].To == at && p.g.Edges[best].To != at) {
			best = e
		}
	}
	return best
}
