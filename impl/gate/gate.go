package gate

import (
	"fmt"
	"math/bits"
	"slices"
	"sync"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// State is where the node stands in its life (RDY-STA).
type State string

// The states that exist today; degraded comes with the degradation rules (RDY-DEG).
const (
	Starting State = "starting"
	Ready    State = "ready"
	Draining State = "draining"
	Stopped  State = "stopped"
)

// gates lists the gates of a node without Tor in the order in which they come up (RDY-GAT-001).
var gates = [...]string{"config_loaded", "keys_loaded", "store_open", "bus_attached", "listeners_bound"}

// Config are the caps. Every field must be set, and none above what the law allows; New and Reconfigure refuse anything
// else (ADM-CAP-007, ADM-CAP-010).
type Config struct {
	MaxConns    int // connections held at once, all listeners together; at most spec.MaxConns (ADM-CAP-001)
	MaxInflight int // requests in flight at once; at most spec.MaxInflight (ADM-CAP-002)
	Rate        int // requests admitted per second; the burst is one second's worth (ADM-CAP-003)
}

// DefaultConfig holds the caps of the law.
func DefaultConfig() Config {
	return Config{MaxConns: spec.MaxConns, MaxInflight: spec.MaxInflight, Rate: spec.DefaultRate}
}

// Gate is the admission state of one node. All methods are safe for concurrent use.
type Gate struct {
	mu       sync.Mutex
	cfg      Config
	up       map[string]bool
	state    State
	conns    int
	inflight int
	// The token bucket holds level of at most Rate * token at the time filled. A nanosecond brings Rate of it and a
	// token takes token of it, so that no rate is ever rounded. Owner: mu.
	level  int64
	filled time.Time
}

// token is what one request costs: nanoseconds per second, because Rate is per second and time comes in nanoseconds.
const token = int64(time.Second)

// errCaps is what New and Reconfigure have against a Config.
var errCaps = fmt.Errorf("gate: caps must be positive, connections at most %d, requests in flight at most %d, "+
	"and the rate at most one request a nanosecond", spec.MaxConns, spec.MaxInflight)

// New makes a gate in state Starting, with every readiness gate down and a full bucket.
func New(cfg Config) (*Gate, error) {
	if !cfg.valid() {
		return nil, errCaps
	}
	return &Gate{cfg: cfg, up: map[string]bool{}, state: Starting, level: int64(cfg.Rate) * token}, nil
}

func (c Config) valid() bool {
	return 0 < c.MaxConns && c.MaxConns <= spec.MaxConns &&
		0 < c.MaxInflight && c.MaxInflight <= spec.MaxInflight &&
		0 < c.Rate && int64(c.Rate) <= int64(time.Second)
}

// Config returns the caps in force.
func (g *Gate) Config() Config {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cfg
}

// Reconfigure puts other caps in force, all of them at one moment: each decision is made by the old ones or by the new
// ones (RDY-CFG-008). Caps that New would refuse are refused and change nothing (RDY-CFG-009).
//
// Connections and requests that are in stay in; while there are more than a lower cap allows, no further one is
// admitted. The bucket stays as full as it is, in parts of a second's worth: a full one is full at the new rate, an empty one
// is empty, and to change the rate to and fro brings no token. As it also fills up by parts of a second, whatever the
// rate, it makes no difference when that was last looked at, and no time is needed here.
func (g *Gate) Reconfigure(cfg Config) error {
	if !cfg.valid() {
		return errCaps
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	hi, lo := bits.Mul64(uint64(g.level), uint64(cfg.Rate))
	level, _ := bits.Div64(hi, lo, uint64(g.cfg.Rate)) // fits: level is at most the old Rate * token
	g.level, g.cfg = int64(level), cfg
	return nil
}

// Decision is the answer to a request to get in.
type Decision struct {
	Reason     spec.Reason   // None: admitted, and Done is owed
	RetryAfter time.Duration // when a refused request may succeed; 0 where waiting does not help
}

// Admit decides about one request: in-flight cap (TooManyStreams), then rate (Quota), then readiness (NotReady,
// Draining), in that order (ADM-ORD-001). A refusal takes no token and changes nothing (ADM-CAP-005); an admission takes one
// (ADM-CAP-004), and is paid back by exactly one Done.
func (g *Gate) Admit(now time.Time) Decision {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inflight >= g.cfg.MaxInflight {
		return Decision{spec.TooManyStreams, time.Second / 10}
	}
	if wait := g.wait(now); wait > 0 {
		return Decision{spec.Quota, wait}
	}
	switch g.state {
	case Starting:
		return Decision{spec.NotReady, time.Second}
	case Draining, Stopped:
		return Decision{spec.Draining, time.Second}
	}
	g.level -= token
	g.inflight++
	return Decision{}
}

// wait fills the bucket up and says how long it is until there is a token, 0 if there is one. Callers read their
// clocks before they get here, so now may be a little behind. The caller holds mu.
func (g *Gate) wait(now time.Time) time.Duration {
	rate := int64(g.cfg.Rate)
	since := now.Sub(g.filled)
	if since > 0 {
		g.filled = now
		full := rate * token
		if since >= time.Second {
			g.level = full
		} else {
			g.level = min(full, g.level+int64(since)*rate)
		}
		since = 0
	}
	if g.level < token {
		return time.Duration((token-g.level+rate-1)/rate) - since
	}
	return 0
}

// Done pays back one admission.
func (g *Gate) Done() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.inflight == 0 {
		panic("gate: Done without Admit")
	}
	g.inflight--
}

// Connect asks for one of the connection slots (ADM-CAP-001). A true answer is paid back by exactly one Disconnect.
func (g *Gate) Connect() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conns >= g.cfg.MaxConns {
		return false
	}
	g.conns++
	return true
}

// Disconnect pays back one Connect.
func (g *Gate) Disconnect() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.conns == 0 {
		panic("gate: Disconnect without Connect")
	}
	g.conns--
}

// Up marks a readiness gate as passed. The node becomes Ready when all are up, and never before (RDY-GAT-002);
// a gate that is up before the ones it depends on is our own mistake and panics.
func (g *Gate) Up(name string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	i := slices.Index(gates[:], name)
	if i < 0 {
		panic("gate: no such readiness gate: " + name)
	}
	for _, before := range gates[:i] {
		if !g.up[before] {
			panic("gate: " + name + " is up before " + before)
		}
	}
	g.up[name] = true
	if g.state == Starting && len(g.up) == len(gates) {
		g.state = Ready
	}
}

// Drain begins draining: nothing new is admitted from here on (RDY-DRN-001). It reports whether this call began it.
func (g *Gate) Drain() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	began := g.state == Starting || g.state == Ready
	if began {
		g.state = Draining
	}
	return began
}

// Stop marks the end of draining, or of a start that failed. A node that is Ready has to drain first (RDY-STA-002):
// anything else is our own mistake and panics.
func (g *Gate) Stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state == Ready {
		panic("gate: stopped without draining")
	}
	g.state = Stopped
}

// Status is one consistent look at the gate.
type Status struct {
	State    State
	Missing  []string // readiness gates that are down, in their order; empty once ready
	Conns    int
	Inflight int
}

// Status returns one consistent look at the gate.
func (g *Gate) Status() Status {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := Status{State: g.state, Missing: []string{}, Conns: g.conns, Inflight: g.inflight}
	for _, name := range gates {
		if !g.up[name] {
			s.Missing = append(s.Missing, name)
		}
	}
	return s
}
