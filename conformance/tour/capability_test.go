package tour

import (
	"testing"

	"github.com/rustyonions/micronode/model/capability"
)

// There is nothing to walk yet, and so no evidence: a tour without a step would look like one.
func TestCapabilityTourIsPlanned(t *testing.T) {
	binary := build(t)
	for _, g := range []struct {
		name string
		p    capability.Params
	}{
		{"Capability", capability.Small()},
		{"Capability-streams", capability.SmallStreams()},
	} {
		c, err := Capability(binary, g.name, g.p)
		if err != nil {
			t.Fatal(err)
		}
		planned(t, c)
	}
}

// planned tells of a graph of which no edge is within reach yet.
func planned(t *testing.T, c *Coverage) {
	t.Helper()
	edges, reachable, walked := c.Counts()
	if edges == 0 || reachable > 0 || walked > 0 {
		t.Errorf("%s: %d edges, %d within reach, %d walked: this is no plan", c.Name, edges, reachable, walked)
	}
	for _, line := range c.Reasons() {
		t.Logf("%s: planned, nothing is walked: %s", c.Name, line)
	}
}
