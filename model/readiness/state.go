package readiness

import "github.com/rustyonions/micronode/model/explore"

// Params are the sizes of a node. Next works with any positive ones; the presets are for looking at everything.
type Params struct {
	Gates       int  // readiness gates, in a chain
	MaxConns    int  // connections (ADM-CAP-001)
	MaxInflight int  // requests in flight (ADM-CAP-002)
	Tokens      int  // what the bucket holds: one second's worth (ADM-CAP-003)
	Causes      bool // load degrades the node (RDY-DEG-004 to 006); otherwise only a lost gate does
}

// Small is the preset of Readiness.cfg: everything at once, with as little of each as shows it.
func Small() Params { return Params{Gates: 2, MaxConns: 2, MaxInflight: 2, Tokens: 2, Causes: true} }

// SmallAdmission is the preset of Readiness-admission.cfg: a longer chain, and caps that refuse without degrading.
func SmallAdmission() Params { return Params{Gates: 3, MaxConns: 2, MaxInflight: 2, Tokens: 2} }

// Constants are the CONSTANTS of the preset's file.
func (p Params) Constants() map[string]string {
	return map[string]string{
		"Gates": explore.Int(p.Gates), "MaxConns": explore.Int(p.MaxConns), "MaxInflight": explore.Int(p.MaxInflight),
		"Tokens": explore.Int(p.Tokens), "Causes": explore.Bool(p.Causes),
	}
}

// The states of RDY-STA-001; what is left of something that can run short (RDY-DEG-004, 006, 008); and the two kinds of
// work.
const (
	Starting, Ready, Degraded, Draining, Stopped = "starting", "ready", "degraded", "draining", "stopped"

	Room  = "room"  // enough to spare
	Tight = "tight" // too little to become ready again, not so little as to degrade
	Short = "short" // so little that the node degrades

	Write = "write" // can add to what the node holds
	Read  = "read"  // anything else, a delete as well
)

// State is a node as readiness and admission know it.
type State struct {
	Up      []bool // the gates of the chain that count as up
	Unknown bool   // the configuration also asks for a gate that the node does not know

	Name          string // the state of RDY-STA-001
	Readyz        int    // the status that /readyz answers
	Reads, Writes bool   // what readiness lets in

	Store, Memory    string // what is left of them; Room where Params have no Causes
	Conns            int    // connections held
	Reading, Writing int    // requests in flight, by kind
	Places           int    // in-flight places taken
	Tokens           int    // in the bucket

	Noticed   bool   // 100 milliseconds have passed since draining began
	Listening bool   // the listeners accept connections
	Exit      string // "" while the process runs, then clean or failed
}

// Init is a process that has just begun. A listener may accept before the gate says that all of them do.
func Init(p Params) State {
	return State{Up: make([]bool, p.Gates), Name: Starting, Readyz: 503, Store: Room, Memory: Room,
		Tokens: p.Tokens, Listening: true}
}

// GateNames are the gates of a node, the last two only with Tor on. A chain of 5 or 7 is a real one; in a shorter one
// the names only tell the gates apart.
var GateNames = [...]string{"config_loaded", "keys_loaded", "store_open", "bus_attached", "listeners_bound",
	"tor_bootstrap", "hs_published"}

// Missing lists what stands between a node and ready: the gates that are down, then the causes of degradation, in
// the order of RDY-HLT-002. A cause comes with a shortage and goes with room to spare; between the two it stays what
// it was, and that is why a degraded node counts more as missing than another (RDY-DEG-008).
func Missing(p Params, s State) []string {
	missing := []string{}
	add := func(name string, yes bool) {
		if yes {
			missing = append(missing, name)
		}
	}
	for i, up := range s.Up {
		add(GateNames[i], !up)
	}
	add("unknown", s.Unknown) // in place of its name, for which RDY-HLT-002 has no order
	if !p.Causes || s.Name == Draining {
		return missing
	}
	low := func(left string) bool { return left == Short || s.Name == Degraded && left == Tight }
	full := func(n, most int) bool { return 10*n > 9*most || s.Name == Degraded && 4*n > 3*most } // 90 % and 75 %
	add("store_capacity", low(s.Store))
	add("connections", full(s.Conns, p.MaxConns))
	add("inflight", full(s.Places, p.MaxInflight))
	add("memory", low(s.Memory))
	return missing
}

// become enters a state: from the same moment on /readyz and admission follow it (RDY-HLT-001, RDY-DEG-007).
func (s State) become(name string) State {
	s.Name, s.Readyz, s.Reads, s.Writes = name, 503, name == Ready || name == Degraded, name == Ready
	if name == Ready {
		s.Readyz = 200
	}
	return s
}

// settle makes a starting node ready, and a ready one degraded, as soon as it has to. Only a second of calm leads back. It
// stands wherever gates or load may have changed.
func (s State) settle(p Params) State {
	fine := len(Missing(p, s)) == 0
	switch {
	case s.Name == Starting && fine:
		return s.become(Ready)
	case s.Name == Ready && !fine:
		return s.become(Degraded)
	}
	return s
}

// cut ends all work in flight. That a cut write leaves no trace is the business of the store (RDY-DRN-008).
func (s State) cut() State {
	s.Reading, s.Writing, s.Places = 0, 0, 0
	return s
}
