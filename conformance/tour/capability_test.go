package tour

import (
	"testing"

	"github.com/rustyonions/micronode/model/capability"
)

func TestCapabilityTour(t *testing.T) {
	binary := build(t)
	for _, c := range []struct {
		name string
		p    capability.Params
	}{
		{"Capability", capability.Small()},
		{"Capability-streams", capability.SmallStreams()},
	} {
		t.Run(c.name, func(t *testing.T) {
			if raceOn && c.name == "Capability" {
				t.Skip("the race detector sees this process and not the node; Capability-streams runs the same code in less than half the time")
			}
			cov, err := Capability(binary, c.name, c.p, Options{Time: *all, Progress: t.Logf})
			if err != nil {
				t.Error(err)
			}
			if cov != nil {
				finish(t, cov)
			}
		})
	}
}
