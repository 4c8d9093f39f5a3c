package linear_test

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/rustyonions/micronode/chaos/evidence"
	"github.com/rustyonions/micronode/chaos/linear"
)

var (
	histories = flag.Int("histories", 1000, "random histories of the store to check; the node gets a twentieth of that")
	seed      = flag.Uint64("seed", 0, "seed of the first workload; 0 picks one")
	repeat    = flag.Int("repeat", 1, "how often each workload is run: a seed fixes what is asked for, not who comes first")
	out       = flag.String("out", "", "folder for what a failure leaves; a temporary one if empty")
	file      = flag.String("history", "", "check the history in this JSON file, for TestFile")
)

// limit is how long the check of one history may take for each address. It decides nothing by itself: a check that needs
// it is a failure.
const limit = 20 * time.Second

// enough is from how many histories on a campaign has to have seen everything. Fewer are for replays.
const enough = 50

// campaign runs random workloads and checks their histories.
type campaign struct {
	subject string
	shape   linear.Shape
	count   int
	first   uint64
	// adapt, if not nil, makes a plan fit for what the clients can express.
	adapt func(*linear.Plan)
	// run carries out a plan with named objects.
	run func(p linear.Plan, payloads [][]byte) linear.History

	seen    map[string]int // requests with their answers
	checked int
	figures map[string]int64
	widths  []int // of one object, by history
}

func newCampaign(subject string, shape linear.Shape, count int) *campaign {
	c := &campaign{subject: subject, shape: shape, count: count, first: *seed, seen: map[string]int{}, figures: map[string]int64{}}
	if c.first == 0 {
		c.first = uint64(time.Now().UnixNano()) & 0xffff_ffff
	}
	return c
}

// next makes and checks the i-th history.
func (c *campaign) next(t *testing.T, i int) (linear.History, linear.Report) {
	t.Helper()
	p := linear.Random(c.first+uint64(i), c.shape)
	if c.adapt != nil {
		c.adapt(&p)
	}
	h := c.run(p, p.Name(digest))
	h.Subject = c.subject
	r, err := linear.Check(h, limit)
	if err != nil {
		t.Fatal(err)
	}
	if r.Verdict == linear.Undecided {
		t.Errorf("workload %d: not decided within %v", p.Seed, limit)
	}
	c.tally(h, r)
	return h, r
}

func (c *campaign) tally(h linear.History, r linear.Report) {
	for _, o := range h.Ops {
		if o.Client < c.shape.Clients { // the auditor is alone, which shows nothing
			c.seen[what(o)]++
		}
	}
	f := c.figures
	c.checked++
	f["histories"]++
	f["operations"] += int64(len(h.Ops))
	f["width"] = max(f["width"], int64(r.Width))
	f["object_width"] = max(f["object_width"], int64(r.ObjectWidth))
	f["clients"] = int64(c.shape.Clients)
	f["addresses"] += int64(len(h.Objects))
	f["max_ms"] = max(f["max_ms"], (r.Took + time.Millisecond - 1).Milliseconds())
	f["check_ms"] += r.Took.Microseconds() // until report
	c.widths = append(c.widths, r.ObjectWidth)
}

// what is a request and its answer, without the details.
func what(o linear.Op) string {
	name := string(o.Kind)
	if o.Fault != linear.Sound {
		name += " " + string(o.Fault)
	}
	return name + " -> " + string(o.Answer)
}

// all runs the campaign to its end, or to the first history that is not legal.
func (c *campaign) all(t *testing.T) {
	t.Logf("seed %d: replay with  go test ./chaos/linear -run '^%s$' -args -seed=%d -histories=%d", c.first, t.Name(), c.first, *histories)
	for i := range c.count {
		for range *repeat {
			if h, r := c.next(t, i); r.Verdict == linear.Illegal {
				explain(t, h)
			}
			if t.Failed() {
				return
			}
		}
	}
}

// explain fails the test with the core of an illegal history.
func explain(t *testing.T, h linear.History) {
	t.Helper()
	t.Errorf("workload %d: no order of effects explains the answers; again with\n"+
		"go test ./chaos/linear -run '^%s$' -args -seed=%d -histories=1 -repeat=1000", h.Seed, t.Name(), h.Seed)
	core, err := linear.Minimise(h, limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range core.Lines() {
		t.Log(line)
	}
	dir := *out
	if dir == "" {
		if dir, err = os.MkdirTemp("", "linear-"); err != nil {
			t.Fatal(err)
		}
	}
	files, err := core.Save(dir, h, limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		t.Log(f)
	}
}

// report prints the figures of a campaign and requires that it was worth its name: concurrent, and with every kind of
// answer that it was made for. Other answers are failures, except those that are only tolerated: refusals that say
// nothing about an object.
func (c *campaign) report(t *testing.T, required, tolerated []string) {
	t.Helper()
	f := c.figures
	f["check_ms"] /= 1000
	slices.Sort(c.widths)
	f["median_object_width"] = int64(c.widths[len(c.widths)/2])
	t.Logf("%s: %v", c.subject, figures(f))
	for _, k := range slices.Sorted(maps.Keys(c.seen)) {
		t.Logf("%8d %s", c.seen[k], k)
		if !slices.Contains(required, k) && !slices.Contains(tolerated, k) {
			t.Errorf("%s: a healthy %s has no reason for this answer", k, c.subject)
		}
	}
	if c.checked < enough {
		t.Logf("%d histories are too few to ask for more than legality", c.checked)
		return
	}
	for _, k := range required {
		if c.seen[k] == 0 {
			t.Errorf("%s: never happened", k)
		}
	}
	if f["width"] < 8 || f["object_width"] < 8 {
		t.Errorf("at most %d operations were in progress at once, %d on one address; want 8", f["width"], f["object_width"])
	}
	evidence.Add(t, evidence.Entry{Check: "history/" + c.subject, Figures: f, Texts: map[string]string{"seed": fmt.Sprint(c.first)}})
}

func figures(f map[string]int64) (text []string) {
	for _, k := range slices.Sorted(maps.Keys(f)) {
		text = append(text, fmt.Sprintf("%s=%d", k, f[k]))
	}
	return text
}

// everySurface lists what each campaign has to see.
var everySurface = []string{
	"put -> created", "put -> existed", "put -> store_full",
	"put wrong_digest -> bad_digest", "put cancelled -> given_up",
	"get -> bytes", "get -> not_found", "has -> true", "has -> false", "stat -> size", "stat -> not_found",
	"delete -> deleted", "delete -> not_found",
	"put too_long -> oversize", "put too_short -> truncated",
}

// fullFaults are puts that were refused before their fault showed.
var fullFaults = []string{
	"put wrong_digest -> store_full", "put cancelled -> store_full", "put too_long -> store_full", "put too_short -> store_full",
}

// TestStoreHistories checks histories of clients that call the store directly (CAS-LIN-001, CAS-LIN-002).
func TestStoreHistories(t *testing.T) {
	c := newCampaign("store", storeShape, *histories)
	c.run = func(p linear.Plan, payloads [][]byte) linear.History {
		return runOnStore(t, p, payloads, nil)
	}
	c.all(t)
	c.report(t, everySurface, fullFaults)
}

// runOnStore carries out a plan on a fresh store; wrap, if not nil, comes between each client and the store.
func runOnStore(t *testing.T, p linear.Plan, payloads [][]byte, wrap func(linear.Client) linear.Client) linear.History {
	s := newStoreSubject(t)
	defer s.s.Close()
	if wrap == nil {
		defer s.clean()
		wrap = func(c linear.Client) linear.Client { return c }
	}
	var clients []linear.Client
	for range p.Requests {
		clients = append(clients, wrap(s.client()))
	}
	return linear.Run(p, payloads, clients, wrap(s.client()))
}
