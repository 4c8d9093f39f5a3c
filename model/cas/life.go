package cas

import (
	"reflect"
	"slices"
)

// flip changes a bit of a stored object behind the back of the store. No rule asks for that; CAS-INT-001 reckons with it.
func (s State) flip(p Params, op Op) []Outcome {
	c := s.kept(op.Object)
	if !p.Rot || c == nil || c.Health != Good || c.Object == 0 { // the empty object has no bits
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

// stop is an orderly end. Puts and gets are cut; writes from their commit to their answer are waited for, unless a sync
// has failed.
func (s State) stop(p Params, _ Op) []Outcome {
	committed := func(w Writer) bool { return w.Stage != Idle && w.Stage != Open }
	if !s.Broken && slices.ContainsFunc(s.Writers, committed) {
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
		return step(stopped(p, nil), action, "AMN-RST-001", "CAS-LIN-003", "CAS-PER-001")
	}
	possible := []State{s} // each write under way doubles it
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
		down := stopped(p, left.Copies)
		if !slices.ContainsFunc(outcomes, func(o Outcome) bool { return reflect.DeepEqual(o.To, down) }) { // some come to the same
			outcomes = append(outcomes, step(down, action, "CAS-PER-003", "CAS-PER-004", "CAS-PER-005", "CAS-LIN-003")...)
		}
	}
	return outcomes
}

// stopped is a store whose process has ended. It has those of the copies that were kept, and no writers and readers.
func stopped(p Params, copies []Copy) State {
	down := Init(p)
	down.Up = false
	for _, c := range copies {
		if c.Kept {
			down.Copies = append(down.Copies, Copy{c.Object, c.Health, true, 0})
			down.Free -= c.Object
		}
	}
	return down
}

// start brings a node up with what its last life has left.
func (s State) start(p Params, _ Op) []Outcome {
	s.Up = true
	if p.Persistent {
		return step(s, "Start", "CAS-PER-003")
	}
	return step(s, "Start", "AMN-RST-001")
}
