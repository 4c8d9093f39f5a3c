package tour

import (
	"flag"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/rustyonions/micronode/chaos/evidence"
	"github.com/rustyonions/micronode/model/session"
)

var all = flag.Bool("all", false, "wait for the limits of the law as well and for capabilities to expire (about seven minutes)")

// build builds cmd/micronode as a stranger would.
func build(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "micronode")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/rustyonions/micronode/cmd/micronode").CombinedOutput(); err != nil {
		t.Fatalf("the node does not build: %v\n%s", err, out)
	}
	return bin
}

// finish holds a coverage to what was promised: every edge within reach is walked.
func finish(t *testing.T, c *Coverage) {
	t.Helper()
	edges, reachable, walked := c.Counts()
	t.Logf("%s: %d edges, %d within reach, %d walked", c.Name, edges, reachable, walked)
	for _, line := range c.ByAction() {
		t.Log("  ", line)
	}
	for _, line := range c.Reasons() {
		t.Log("  out of reach: ", line)
	}
	if missing := c.Missing(); len(missing) > 0 || walked == 0 {
		t.Errorf("%d of %d edges within reach were not walked: %v", reachable-walked, reachable, missing)
	}
	evidence.Add(t, evidence.Entry{Check: "tour/" + c.Name,
		Figures: map[string]int64{"edges": int64(edges), "reachable": int64(reachable), "walked": int64(walked)},
		Lists:   map[string][]string{"walked, by action": c.ByAction(), "out of reach": c.Reasons()}})
}

func TestSessionTour(t *testing.T) {
	binary := build(t)
	for _, c := range []struct {
		name  string
		p     session.Params
		scale int
	}{
		{"Session", session.Small(), 1},
		{"Session-credit", session.SmallCredit(), 16},
	} {
		t.Run(c.name, func(t *testing.T) {
			if raceOn && c.name == "Session" {
				t.Skip("the race detector sees this process and not the node; Session-credit runs the same code in a tenth of the time")
			}
			cov, err := Session(binary, c.name, c.p, c.scale, Options{Time: *all, Idle: *all, Progress: t.Logf})
			if err != nil {
				t.Fatal(err)
			}
			finish(t, cov)
		})
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
