package amnesia

import (
	"slices"

	"github.com/rustyonions/micronode/model/explore"
)

// Machine is the model under p with all that must hold. The names are those of tla/Amnesia.tla.
func Machine(p Params) explore.Machine[State, Op] {
	return explore.Machine[State, Op]{
		Name:  "Amnesia",
		Init:  fresh(p),
		Ops:   Ops(p),
		Next:  func(s State, op Op) []Outcome { return Next(p, s, op) },
		Canon: Canon,
		Always: []explore.Invariant[State]{
			{Name: "FreeIsZero", Rules: []string{"AMN-ZER-001", "AMN-ZER-002"}, Holds: freeIsZero},
			{Name: "PayloadPlaces", Rules: []string{"AMN-ZER-007", "CAS-PUT-005"}, Holds: payloadPlaces},
			{Name: "SecretPlaces", Rules: []string{"AMN-ZER-005", "AMN-ZER-006", "AMN-ZER-008"}, Holds: secretPlaces},
			{Name: "ReadersKeepBytes", Rules: []string{"CAS-GET-007", "AMN-ZER-004"}, Holds: readersKeepBytes},
			{Name: "NoTrace", Rules: []string{"AMN-DSK-001", "AMN-DSK-002", "AMN-DSK-003", "AMN-LOG-001", "AMN-LOG-002"}, Holds: noTrace},
			{Name: "OffIsFresh", Rules: []string{"AMN-RST-001", "AMN-RST-002"}, Holds: offIsFresh},
		},
		Steps: []explore.StepProperty[State]{
			{Name: "NoReuseBeforeOverwrite", Rules: []string{"AMN-ZER-001", "AMN-ZER-002", "AMN-ZER-005"}, Holds: noReuse},
			{Name: "OverwriteWaitsForReaders", Rules: []string{"AMN-ZER-004", "CAS-GET-007"}, Holds: waitsForReaders},
			{Name: "ZeroBeforeGivenBack", Rules: []string{"AMN-ZER-003"}, Holds: zeroBeforeGivenBack},
		},
		LeadsTo: []explore.LeadsTo[State]{ // what is fair is what the node does by itself; clients may be silent for ever
			{Name: "DeletedIsOverwritten", Rules: []string{"AMN-ZER-001", "AMN-ZER-002", "AMN-ZER-004"},
				From: State.anyDue, To: func(s State) bool { return !s.anyDue() }, Fair: []string{"Overwrite"}},
			{Name: "EndedKeysArePurged", Rules: []string{"AMN-ZER-006"},
				From: anyEnded, To: func(s State) bool { return !anyEnded(s) }, Fair: []string{"Purge"}},
			{Name: "ShutdownEndsWithZero", Rules: []string{"AMN-ZER-003", "RDY-DRN-003"},
				From: func(s State) bool { return s.Life == Closing }, To: offWithZero, Fair: []string{"Close", "Overwrite", "Purge", "Exit"}},
		},
	}
}

// freeIsZero: payload memory that is nobody's holds nothing.
func freeIsZero(s State) bool {
	return all(s.Slots, func(c Cell) bool { return c.Use != Free || c.Mem == Zero })
}

// payloadPlaces: payload is in the slot of a put of an open connection, of an object, or of something deleted that is
// not overwritten yet, and in buffers of open connections.
func payloadPlaces(s State) bool {
	for i, c := range s.Slots {
		puts := 0
		for _, conn := range s.Conns {
			if conn.Doing == Put && conn.Slot == i+1 {
				puts++
			}
		}
		if c.Use == Put && puts != 1 || c.Use != Put && puts != 0 ||
			c.Mem == Payload && !slices.Contains([]string{Put, Object, Doomed}, c.Use) {
			return false
		}
	}
	return all(s.Conns, func(c Conn) bool { return c.Buffer != Payload || c.Doing != Closed })
}

// secretPlaces: key bytes are in cells of keys that were neither dropped nor purged, tokens in buffers of open connections.
func secretPlaces(s State) bool {
	return all(s.Keys, func(c Cell) bool { return c.Mem == Zero || c.Use == Live || c.Use == Ended }) &&
		all(s.Conns, func(c Conn) bool { return c.Buffer != Token || c.Doing != Closed }) &&
		all(s.Slots, func(c Cell) bool { return c.Mem == Zero || c.Mem == Payload })
}

// readersKeepBytes: a get finds its bytes for as long as it takes.
func readersKeepBytes(s State) bool {
	return all(s.Conns, func(c Conn) bool {
		return c.Doing != Get || s.Slots[c.Slot-1] == Cell{Object, Payload} || s.Slots[c.Slot-1] == Cell{Doomed, Payload}
	})
}

// noTrace: nothing was written to a file system or said in a log.
func noTrace(s State) bool { return len(s.Disk) == 0 && len(s.Log) == 0 }

// offIsFresh: apart from the word for it, a node that ended or crashed is one that never ran.
func offIsFresh(s State) bool {
	start := fresh(Params{len(s.Slots), len(s.Conns), len(s.Keys)})
	start.Life = s.Life
	return s.Life != Off && s.Life != Crashed || Canon(s) == Canon(start)
}

// noReuse: memory takes new bytes only after the old ones were overwritten.
func noReuse(from State, o Outcome) bool {
	for i, c := range o.To.Slots {
		if was := from.Slots[i]; c.Use == Put && was.Use != Put && was != (Cell{Free, Zero}) {
			return false
		}
	}
	for i, c := range o.To.Conns {
		if was := from.Conns[i].Buffer; c.Buffer != Zero && was != c.Buffer && was != Zero {
			return false
		}
	}
	return true
}

// waitsForReaders: slots are overwritten after a delete or a failed put, and then only when nobody reads them.
func waitsForReaders(from State, o Outcome) bool {
	for i := range o.To.Slots {
		if from.Slots[i].Mem == Payload && o.To.Slots[i].Mem == Zero && !from.Due(i+1) && o.To.Life != Crashed {
			return false
		}
	}
	return true
}

// zeroBeforeGivenBack: a node that ends in order has overwritten all of its memory.
func zeroBeforeGivenBack(from State, o Outcome) bool {
	return from.Life == Off || o.To.Life != Off || from.zero()
}

// zero says that no memory of the node holds anything but zeros.
func (s State) zero() bool {
	empty := func(c Cell) bool { return c.Mem == Zero }
	return all(s.Slots, empty) && all(s.Keys, empty) && all(s.Conns, func(c Conn) bool { return c.Buffer == Zero })
}

func anyEnded(s State) bool { return first(s.Keys, Ended) > 0 }

func offWithZero(s State) bool { return (s.Life == Off || s.Life == Crashed) && s.zero() }

// all says that something holds of every element of a list.
func all[T any](list []T, holds func(T) bool) bool {
	return !slices.ContainsFunc(list, func(e T) bool { return !holds(e) })
}
