package cas

import (
	"slices"

	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/spec"
)

// Params are the constants of tla/Cas.tla. Lengths are in units of whatever size.
type Params struct {
	Capacity    int  // units that the store may hold
	MaxObject   int  // units of the largest object that the law allows
	First, Last int  // the objects that clients put to an end and ask for: object n is n units long
	Writers     int  // clients that put, and with persistence delete: one operation each at a time
	Readers     int  // gets at a time
	Rot         bool // bits may flip
	Persistent  bool // CAS-PER instead of amnesia
}

// None stands for a length or an address that was not declared.
const None = -1

// Stage is how far the operation of a writer has come.
type Stage string

// The stages. With amnesia there are only Idle and Open, because a commit or delete takes effect where it is answered.
const (
	Idle     Stage = "idle"     // no operation
	Open     Stage = "open"     // a put whose bytes arrive
	Writing  Stage = "writing"  // a whole and verified put on its way to stable storage
	Created  Stage = "created"  // a put that has taken effect, as new, and was not answered yet
	Known    Stage = "known"    // the same of bytes that were there before
	Deleting Stage = "deleting" // a delete on its way to stable storage
	Deleted  Stage = "deleted"  // a delete that has taken effect and was not answered yet
)

// Writer is a client and its operation: of an open put what was declared and how many units came, of a put being written
// the units, of a delete being written the address.
type Writer struct {
	Stage                  Stage
	Length, Address, Units int
}

// Health is what became of the bytes of a copy.
type Health string

// The healths.
const (
	Absent Health = ""       // there is no copy
	Good   Health = "good"   // as they were put
	Rotten Health = "rotten" // bits flipped, and nobody noticed yet
	Bad    Health = "bad"    // verification failed; while the copy is kept, its object is quarantined
)

// Copy is an object in memory. It is kept while the index has it, and stays behind its delete until the last get that
// began before has ended.
type Copy struct {
	Object  int
	Health  Health
	Kept    bool
	Readers uint64 // a set of gets: bit r is 1 while get r reads this copy
}

func (c Copy) readBy(reader int) bool { return c.Readers>>reader&1 == 1 }

// State is one store: what it holds, who uses it, and how much room it thinks there is left. The functions of the model
// get a state of their own (Next sees to that) and write into it: with w := &s.Writers[0], *w = idle changes s.
type State struct {
	Up      bool // the process runs
	Broken  bool // a sync has failed since the start
	Free    int  // units, counted up and down as room is taken and given back
	Copies  []Copy
	Writers []Writer // element 0 is writer 1
}

// Outcome is one thing that the law permits to happen.
type Outcome = explore.Outcome[State]

// Init is a store that was opened for the first time.
func Init(p Params) State {
	return State{Up: true, Free: p.Capacity, Writers: slices.Repeat([]Writer{idle}, p.Writers)}
}

var idle = Writer{Stage: Idle, Length: None, Address: None}

// Next is the law: all that may happen when op meets s; nil, the empty list, where op is impossible. It never changes s.
func Next(p Params, s State, op Op) []Outcome {
	if starts := op.Kind == Start; starts == s.Up {
		return nil // a node that runs is not started, and with one that does not run nothing else can be done
	}
	return operations[op.Kind](s.clone(), p, op)
}

// operations leads from each kind to its function, which gets a state of its own: those of the first two lines are in
// put.go, of the third in read.go, and of the fourth in life.go.
var operations = map[Kind]func(State, Params, Op) []Outcome{
	Begin: State.begin, Arrive: State.arrive, Commit: State.commit, Abort: State.abort,
	Durable: State.durable, Answer: State.answer,
	Get: State.get, Read: State.read, EndGet: State.endGet, Has: State.has, Stat: State.stat, Delete: State.delete,
	Flip: State.flip, Scrub: State.scrub, Stop: State.stop, Crash: State.crash, Start: State.start,
}

func (s State) clone() State {
	s.Copies, s.Writers = slices.Clone(s.Copies), slices.Clone(s.Writers)
	return s
}

// step is an outcome that was not refused.
func step(to State, action string, rules ...string) []Outcome {
	return []Outcome{{Action: action, Rules: rules, To: to}}
}

// refused is an outcome with a reason.
func refused(to State, kind Kind, why spec.Reason, rules ...string) []Outcome {
	return []Outcome{{Action: string(kind) + "_" + string(why), Reason: why, Rules: rules, To: to}}
}

// kept is the copy of an object that the index has, or nil.
func (s State) kept(object int) *Copy {
	return s.one(func(c Copy) bool { return c.Kept && c.Object == object })
}

// reading is the copy that a get reads, or nil.
func (s State) reading(reader int) *Copy {
	return s.one(func(c Copy) bool { return c.readBy(reader) })
}

func (s State) one(is func(Copy) bool) *Copy {
	if i := slices.IndexFunc(s.Copies, is); i >= 0 {
		return &s.Copies[i] // the place in s, not a copy of it
	}
	return nil
}

// Health is that of an object in the index; Absent if it has none.
func (s State) Health(object int) Health {
	if c := s.kept(object); c != nil {
		return c.Health
	}
	return Absent
}

// store makes an object of what a put holds, and says whether it is new. It took its room as it arrived. If a copy is
// stored, that one stays and the room is given back (CAS-PUT-002, CAS-PUT-003); a quarantined one is replaced (CAS-INT-005).
func (s *State) store(object int) (isNew bool) {
	if h := s.Health(object); h == Good || h == Rotten {
		s.Free += object
		return false
	}
	s.forget(object)
	s.Copies = append(s.Copies, Copy{object, Good, true, 0})
	return true
}

// forget takes an object out of the index, if it is there.
func (s *State) forget(object int) {
	if c := s.kept(object); c != nil {
		c.Kept = false
		s.sweep()
	}
}

// release lets a get go of the copy that it reads.
func (s *State) release(c *Copy, reader int) {
	c.Readers &^= 1 << reader // takes it out of the set
	s.sweep()
}

// sweep removes the copies that nobody needs any more, and gives their room back (CAS-DEL-003).
func (s *State) sweep() {
	s.Copies = slices.DeleteFunc(s.Copies, func(c Copy) bool {
		if c.Kept || c.Readers != 0 {
			return false
		}
		s.Free += c.Object
		return true
	})
}
