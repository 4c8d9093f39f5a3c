package tour

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Coverage is what the tours of one graph came to. Its methods are safe for concurrent use.
type Coverage struct {
	Name string

	mu     sync.Mutex
	action []string // of each edge
	walked []bool
	why    []string // why an edge is out of reach; "" for one that has to be walked
}

// newCoverage takes the actions of the edges, and for each the reason why it is out of reach.
func newCoverage(name string, actions, why []string) *Coverage {
	return &Coverage{Name: name, action: actions, walked: make([]bool, len(actions)), why: why}
}

func (c *Coverage) walk(edge int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.walked[edge] = true
}

// Counts returns the number of edges, of those within reach, and of those that were walked.
func (c *Coverage) Counts() (edges, reachable, walked int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.action {
		if c.why[i] == "" {
			reachable++
		}
		if c.walked[i] {
			walked++
		}
	}
	return len(c.action), reachable, walked
}

// Missing returns the edges within reach that were not walked, counted by action.
func (c *Coverage) Missing() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := map[string]int{}
	for i, a := range c.action {
		if c.why[i] == "" && !c.walked[i] {
			n[a]++
		}
	}
	return n
}

// Reasons returns lines "n edges: why (actions)" for what is out of reach.
func (c *Coverage) Reasons() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	type group struct {
		n       int
		actions map[string]int
	}
	groups := map[string]*group{}
	for i, why := range c.why {
		if why == "" {
			continue
		}
		g := groups[why]
		if g == nil {
			g = &group{actions: map[string]int{}}
			groups[why] = g
		}
		g.n++
		g.actions[c.action[i]]++
	}
	var lines []string
	for _, why := range slices.Sorted(maps.Keys(groups)) {
		g := groups[why]
		lines = append(lines, fmt.Sprintf("%d edges: %s (%s)", g.n, why, counted(g.actions)))
	}
	return lines
}

// ByAction returns a line for each action: how many of its edges were walked, of how many.
func (c *Coverage) ByAction() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, walked := map[string]int{}, map[string]int{}
	for i, a := range c.action {
		all[a]++
		if c.walked[i] {
			walked[a]++
		}
	}
	var lines []string
	for _, a := range slices.Sorted(maps.Keys(all)) {
		lines = append(lines, fmt.Sprintf("%s: %d of %d", a, walked[a], all[a]))
	}
	return lines
}

func counted(n map[string]int) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(n)) {
		parts = append(parts, fmt.Sprintf("%s %d", k, n[k]))
	}
	return strings.Join(parts, ", ")
}
