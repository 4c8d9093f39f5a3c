package capability

import "github.com/rustyonions/micronode/model/explore"

// Params bound a model.
type Params struct {
	MaxTokens, MaxKeys, MaxStreams, MaxRevocations int
	Surfaces                                       int // the first so many of Surfaces, at most 3
	Ops                                            Ops // the operations that exist
	Narrow                                         Ops // what the `op in` caveats of Machine list
	MaxLife                                        int // the longest life of a capability (CAP-CAV-005)
	DefaultLife                                    int // where none is asked for (CAP-CAV-006)
}

// Small are the constants of tla/Capability.cfg.
func Small() Params {
	return Params{MaxTokens: 2, MaxKeys: 2, MaxStreams: 1, MaxRevocations: 1, Surfaces: 2,
		Ops: OpsOf("get,put,delete"), Narrow: OpsOf("put"), MaxLife: 2, DefaultLife: 1}
}

// SmallStreams are the constants of tla/Capability-streams.cfg: one token, but several streams, keys and revocations.
func SmallStreams() Params {
	p := Small()
	p.MaxTokens, p.MaxKeys, p.MaxStreams, p.MaxRevocations, p.Surfaces = 1, 3, 2, 2, 1
	return p
}

// Constants are the parameters as the configuration writes them.
func (p Params) Constants() map[string]string {
	return map[string]string{
		"MaxTokens": explore.Int(p.MaxTokens), "MaxKeys": explore.Int(p.MaxKeys), "MaxStreams": explore.Int(p.MaxStreams),
		"MaxRevocations": explore.Int(p.MaxRevocations), "Surfaces": quoted(Surfaces[:p.Surfaces]), "Ops": quoted(p.Ops.Names()),
		"Narrow": quoted(p.Narrow.Names()), "MaxLife": explore.Int(p.MaxLife), "DefaultLife": explore.Int(p.DefaultLife),
	}
}

// alphabet lists the operations. Readers are minted for the default time and all others for the longest.
func (p Params) alphabet() []Op {
	ops := []Op{{Kind: Rotate}, {Kind: Tick, Seconds: 1}, {Kind: Restart}}
	for i, role := range Roles {
		life := p.MaxLife
		if role.Name == "reader" {
			life = 0 // the default
		}
		if role.Ops&p.Ops != 0 {
			ops = append(ops, Op{Kind: Mint, Role: i, Seconds: life})
		}
	}
	for n := 1; n < p.MaxTokens; n++ { // the last one finds no room
		ops = append(ops, Op{Kind: Attenuate, Token: n, Caveat: "op in", Ops: p.Narrow},
			Op{Kind: Attenuate, Token: n, Caveat: "exp <=", Seconds: 1}, Op{Kind: Attenuate, Token: n, Caveat: "nbf >=", Seconds: 1})
	}
	for n := 1; n <= p.MaxTokens; n++ {
		ops = append(ops, Op{Kind: RevokeID, Token: n}, Op{Kind: Forget, Token: n})
	}
	for n := 1; n < p.MaxKeys; n++ { // the last one is never replaced
		ops = append(ops, Op{Kind: DropKey, Key: n}, Op{Kind: RevokeKey, Key: n}, Op{Kind: Forget, Key: n})
	}
	for n := 1; n <= p.MaxStreams; n++ {
		ops = append(ops, Op{Kind: Finish, Stream: n}, Op{Kind: End, Stream: n})
	}
	for surface := range p.Surfaces {
		ops = append(ops, Op{Kind: TakeEffect, Surface: surface})
		for _, name := range p.Ops.Names() {
			for n := 1; n <= p.MaxTokens; n++ {
				ops = append(ops, Op{Kind: Use, Surface: surface, Token: n, Ops: OpsOf(name)})
			}
		}
	}
	for flaw := range Flaws { // whatever operation is asked for
		ops = append(ops, Op{Kind: Use, Ops: OpsOf(p.Ops.Names()[0]), Flaw: flaw})
	}
	return ops
}

// Machine is the model under p, with what must hold.
func Machine(p Params) explore.Machine[State, Op] {
	m := explore.Machine[State, Op]{
		Name: "Capability", Init: Init(p), Ops: p.alphabet(), Canon: p.canon,
		Next:   func(s State, op Op) []Outcome { return Next(p, s, op) },
		Always: p.invariants(), Steps: p.stepProperties(), LeadsTo: p.liveness(),
	}
	if p.MaxTokens > 1 { // else there is nothing that was attenuated
		m.Always, m.Steps = append(m.Always, attenuationNarrows), append(m.Steps, noUseTooEarly)
	}
	return m
}
