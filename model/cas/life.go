package cas

import (
	"reflect"
	"slices"
)

// flip changes a bit of a stored object behind the back of the store.
func (s State) flip(p Params, op Op) []Outcome {
	c := s.kept(op.Object)
	if !p.Rot || c == nil || c.Health != Good || c.Object == 0 {
		return nil
	}
	c.Health = Rotten
	return step(s, "Flip", "CAS-INT-001")
}

// scrub checks every stored object against its digest.
func (s State) scrub(p Params, _ Op) []Outcome {
	if !p.Rot {
		return nil // there is nothing to find
	}
	for i := range s.Copies {
		if c := &s.Copies[i]; c.Kept && c.Health == Rotten {
			c.Health = Bad
		}
	}
	return step(s, "Scrub", "CAS-INT-004", "CAS-INT-007", "CAS-INT-008")
}

// stop is an orderly end. Puts and gets are cut; writes on their way to stable storage are waited for, unless a sync has
// failed.
func (s State) stop(p Params, _ Op) []Outcome {
	busy := func(w Writer) bool { return w.Stage != Idle && w.Stage != Open }
	if !s.Broken && slices.ContainsFunc(s.Writers, busy) {
		return nil
	}
	return s.ends(p, "Stop")
}

// crash is the end of the process at any moment, by a signal or by loss of power.
func (s State) crash(p Params, _ Op) []Outcome { return s.ends(p, "Crash") }

// ends lists what may be left of a store: nothing with amnesia; with persistence what had taken effect, and each write
// that was on its way to stable storage whole or not at all.
func (s State) ends(p Params, action string) []Outcome {
	if !p.Persistent {
		down := Init(p)
		down.Up = false
		return step(down, action, "AMN-RST-001", "CAS-LIN-003", "CAS-PER-001")
	}
	possible := []State{s}
	for _, w := range s.Writers {
		for _, without := range slices.Clone(possible) {
			with := without.clone()
			switch w.Stage {
			case Writing:
				with.store(w.Units)
			case Deleting:
				with.forget(w.Address)
			}
			possible = append(possible, with)
		}
	}
	var outcomes []Outcome
	for _, left := range possible {
		down := Init(p)
		down.Up = false
		for _, c := range left.Copies {
			if c.Kept {
				down.Copies = append(down.Copies, Copy{c.Object, c.Health, true, 0})
				down.Free -= c.Object
			}
		}
		if !slices.ContainsFunc(outcomes, func(o Outcome) bool { return reflect.DeepEqual(o.To, down) }) {
			outcomes = append(outcomes, step(down, action, "CAS-PER-003", "CAS-PER-004", "CAS-PER-005", "CAS-LIN-003")...)
		}
	}
	return outcomes
}

// start brings a node up with what its last life has left.
func (s State) start(_ Params, _ Op) []Outcome {
	s.Up = true
	return step(s, "Start", "AMN-RST-001", "CAS-PER-003")
}
