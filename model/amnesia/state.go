package amnesia

import (
	"slices"

	"github.com/rustyonions/micronode/model/explore"
)

// Params are the sizes of a model.
type Params struct {
	Slots int // of payload memory
	Conns int // connections that can be open at once, each with one request at a time
	Keys  int // cells of the key arena
}

// Small is the model of Amnesia.cfg: two slots and two connections, so that objects, puts and readers meet.
func Small() Params { return Params{Slots: 2, Conns: 2, Keys: 1} }

// SmallKeys is the model of Amnesia-keys.cfg: two keys, so that one is made while another lives, as in a rotation.
func SmallKeys() Params { return Params{Slots: 1, Conns: 1, Keys: 2} }

// Constants are the constants of the TLA+ configuration.
func (p Params) Constants() map[string]string {
	return map[string]string{"Slots": explore.Int(p.Slots), "Conns": explore.Int(p.Conns), "Keys": explore.Int(p.Keys)}
}

const (
	// The lives of a node. Off: it never ran, or shut down in order. Up is with amnesia on, Persistent without.
	Off, Crashed, Up, Persistent, Closing = "off", "crashed", "up", "persistent", "closing"
	// What is in a piece of memory.
	Zero, Payload, Token, Key = "zero", "payload", "token", "key"
	// What a connection does.
	Closed, Idle, Put, Get = "closed", "idle", "put", "get"
	// What a slot is used for, apart from Put. Doomed: deleted or failed, and not overwritten yet.
	Free, Object, Doomed = "free", "object", "doomed"
	// What a cell of the key arena is used for. Ended: the time to live of its key is over.
	None, Live, Ended = "none", "live", "ended"
)

// Cell is a slot of payload memory or a cell of the key arena: what it is used for and what is in it.
type Cell struct{ Use, Mem string }

// Conn is a connection.
type Conn struct {
	Doing  string
	Slot   int    // of its put or get; 0 is none, also while no byte of the put was taken
	Buffer string // what is in its buffer
}

// State is a node with its memory. Slots, connections and keys are known by their numbers, which begin with 1, so that
// s.Slots[i-1] is slot i. The functions of the model get a state of their own (Next sees to that) and write into it: with
// c := &s.Conns[0], c.Doing = Idle changes s.
type State struct {
	Life      string
	Slots     []Cell
	Conns     []Conn
	Keys      []Cell
	Disk, Log []string // kinds of bytes that were written to a file system, or said in logs, metrics and error texts
}

// fresh is a node that never ran.
func fresh(p Params) State {
	return State{
		Life:  Off,
		Slots: slices.Repeat([]Cell{{Free, Zero}}, p.Slots),
		Conns: slices.Repeat([]Conn{{Closed, 0, Zero}}, p.Conns),
		Keys:  slices.Repeat([]Cell{{None, Zero}}, p.Keys),
	}
}

func (s State) clone() State {
	s.Slots, s.Conns, s.Keys = slices.Clone(s.Slots), slices.Clone(s.Conns), slices.Clone(s.Keys)
	s.Disk, s.Log = slices.Clone(s.Disk), slices.Clone(s.Log)
	return s
}

// Due says that slot i holds bytes that nobody may read any more and that are not overwritten yet.
func (s State) Due(i int) bool {
	read := slices.ContainsFunc(s.Conns, func(c Conn) bool { return c.Doing == Get && c.Slot == i })
	return s.Slots[i-1].Use == Doomed && !read
}

func (s State) anyDue() bool {
	for i := range s.Slots {
		if s.Due(i + 1) {
			return true
		}
	}
	return false
}

// first is the number of the first of cells with a use, 0 if there is none.
func first(cells []Cell, use string) int {
	return 1 + slices.IndexFunc(cells, func(c Cell) bool { return c.Use == use })
}

// Canon writes the state as TLC does.
func Canon(s State) string {
	cell := func(c Cell) string { return explore.Rec("use", explore.Str(c.Use), "mem", explore.Str(c.Mem)) }
	conn := func(c Conn) string {
		return explore.Rec("doing", explore.Str(c.Doing), "slot", explore.Int(c.Slot), "buffer", explore.Str(c.Buffer))
	}
	return explore.Vars("life", explore.Str(s.Life), "slots", explore.Seq(explore.Each(s.Slots, cell)...),
		"conns", explore.Seq(explore.Each(s.Conns, conn)...), "keys", explore.Seq(explore.Each(s.Keys, cell)...),
		"disk", explore.Set(explore.Each(s.Disk, explore.Str)...), "log", explore.Set(explore.Each(s.Log, explore.Str)...))
}
