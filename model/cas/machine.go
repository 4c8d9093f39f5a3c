package cas

import "github.com/rustyonions/micronode/model/explore"

// Small is the preset of tla/Cas.cfg: two puts and two gets in an amnesic store of three units. Nothing rots in it, so that
// every step can be taken from outside of a node.
func Small() Params {
	return Params{Capacity: 3, MaxObject: 4, First: 1, Last: 2, Writers: 2, Readers: 2}
}

// SmallRot is the preset of tla/Cas-rot.cfg: the same with flipped bits, and with one put at a time.
func SmallRot() Params {
	return Params{Capacity: 3, MaxObject: 4, First: 1, Last: 2, Writers: 1, Readers: 2, Rot: true}
}

// SmallPersistent is the preset of tla/Cas-persistent.cfg: two writers and a get, and a limit below the capacity.
func SmallPersistent() Params {
	return Params{Capacity: 3, MaxObject: 2, First: 1, Last: 2, Writers: 2, Readers: 1, Persistent: true}
}

// Constants are the parameters as a configuration of the TLA+ module has them.
func (p Params) Constants() map[string]string {
	return map[string]string{
		"Capacity": explore.Int(p.Capacity), "MaxObject": explore.Int(p.MaxObject), "First": explore.Int(p.First),
		"Last": explore.Int(p.Last), "Writers": explore.Int(p.Writers), "Readers": explore.Int(p.Readers),
		"Rot": explore.Bool(p.Rot), "Persistent": explore.Bool(p.Persistent),
	}
}

// Canon writes a state as the TLA+ module would.
func Canon(p Params, s State) string {
	copies := explore.Each(s.Copies, func(c Copy) string {
		var readers []string
		for r := 1; r <= p.Readers; r++ {
			if c.readBy(r) {
				readers = append(readers, explore.Int(r))
			}
		}
		return explore.Rec("object", explore.Int(c.Object), "health", explore.Str(string(c.Health)), "kept", explore.Bool(c.Kept),
			"readers", explore.Set(readers...))
	})
	writers := explore.Each(s.Writers, func(w Writer) string {
		return explore.Rec("stage", explore.Str(string(w.Stage)), "length", explore.Int(w.Length), "address", explore.Int(w.Address),
			"units", explore.Int(w.Units))
	})
	return explore.Vars("up", explore.Bool(s.Up), "broken", explore.Bool(s.Broken), "free", explore.Int(s.Free),
		"copies", explore.Set(copies...), "writer", explore.Seq(writers...))
}

// Machine is the model under p, with what must hold.
func Machine(p Params) explore.Machine[State, Op] {
	return machine(p, func(s State, op Op) []Outcome { return Next(p, s, op) })
}

// machine takes next from outside, so that a test can show that the properties notice a wrong one.
func machine(p Params, next func(State, Op) []Outcome) explore.Machine[State, Op] {
	return explore.Machine[State, Op]{
		Name: "Cas", Init: Init(p), Ops: Ops(p), Next: next,
		Canon:   func(s State) string { return Canon(p, s) },
		Always:  invariants(p, next),
		Steps:   steps(p),
		LeadsTo: promises(p),
	}
}
