package capability

import (
	"slices"

	"github.com/rustyonions/micronode/model/explore"
)

type (
	invariant    = explore.Invariant[State]
	stepProperty = explore.StepProperty[State]
	leadsTo      = explore.LeadsTo[State]
)

// everyToken is what holds of each token in the world.
func everyToken(holds func(State, Token) bool) func(State) bool {
	return func(s State) bool {
		return !slices.ContainsFunc(s.Tokens, func(t Token) bool { return !holds(s, t) })
	}
}

// admitted is what holds whenever a request is admitted, which shows as a stream that was not there: t is the token that
// it came with and s the state that it met.
func admitted(holds func(s State, t Token, st Stream) bool) func(State, Outcome) bool {
	return func(s State, o Outcome) bool {
		for i, st := range o.To.Streams {
			if st != s.Streams[i] && st.Token != 0 && !holds(s, s.Tokens[st.Token-1], st) {
				return false
			}
		}
		return true
	}
}

// attenuationNarrows: no caveat widens, neither the operations nor the time.
var attenuationNarrows = invariant{Name: "AttenuationNarrows", Rules: []string{"CAP-CAV-003", "CAP-HMC-002"},
	Holds: everyToken(func(s State, t Token) bool {
		minted := s.Tokens[t.ID-1]
		return t.Key == minted.Key && t.Ops.within(minted.Ops) && t.Left <= minted.Left && t.Wait >= minted.Wait
	})}

var noUseTooEarly = stepProperty{Name: "NoUseTooEarly", Rules: []string{"CAP-CAV-007"},
	Holds: admitted(func(_ State, t Token, _ Stream) bool { return t.Wait == 0 })}

func (p Params) invariants() []invariant {
	return []invariant{
		{Name: "RolesImplyNothing", Rules: []string{"CAP-ROL-001", "CAP-ROL-002"}, Holds: everyToken(func(_ State, t Token) bool {
			return slices.ContainsFunc(Roles, func(r Role) bool { return t.Ops.within(r.Ops) })
		})},
		{Name: "EveryTokenExpires", Rules: []string{"CAP-CAV-004", "CAP-CAV-005"}, Holds: everyToken(func(_ State, t Token) bool {
			return t.Left <= p.MaxLife
		})},
		// No key of an earlier life is held, so that no token of it is admitted, and it has left no stream.
		{Name: "OldLifeRefused", Rules: []string{"AMN-RST-001", "AMN-RST-002"}, Holds: func(s State) bool {
			old := func(t Token) bool { return t.Key < s.First }
			return !slices.ContainsFunc(s.Tokens, func(t Token) bool { return old(t) && s.held(t) }) &&
				!slices.ContainsFunc(s.Streams, func(st Stream) bool { return st.Token != 0 && old(s.Tokens[st.Token-1]) })
		}},
		// It is the newest, and not revoked: what is minted now is good.
		{Name: "OneCurrentKey", Rules: []string{"CAP-KEY-002", "CAP-REV-001"}, Holds: func(s State) bool {
			current := slices.IndexFunc(s.Keys, func(k Key) bool { return k.Is == "current" }) + 1
			return current == len(s.Keys) && !s.revoked(Token{Key: current}, 0)
		}},
		// A key is retired for as long as its grace lasts, and that is at most the life of a capability.
		{Name: "GraceIsBounded", Rules: []string{"CAP-CAV-005", "CAP-KEY-002"}, Holds: func(s State) bool {
			return !slices.ContainsFunc(s.Keys, func(k Key) bool { return (k.Is == "retired") != (k.Grace > 0) || k.Grace > p.MaxLife })
		}},
		{Name: "InForceInTime", Rules: []string{"CAP-REV-002"}, Holds: func(s State) bool {
			return !slices.ContainsFunc(s.Revoked, func(r Revocation) bool { return r.Late && p.spreading(r) })
		}},
		{Name: "StreamsEndInTime", Rules: []string{"CAP-REV-003"}, Holds: func(s State) bool {
			return !slices.ContainsFunc(s.Streams, func(st Stream) bool { return st.Token != 0 && s.late(s.Tokens[st.Token-1]) })
		}},
	}
}

func (p Params) stepProperties() []stepProperty {
	return []stepProperty{
		{Name: "NoUseExpired", Rules: []string{"CAP-CAV-005"}, Holds: admitted(func(_ State, t Token, _ Stream) bool { return t.Left > 0 })},
		{Name: "NoUseBeyondOps", Rules: []string{"CAP-CAV-009", "CAP-ROL-002"}, Holds: admitted(func(_ State, t Token, st Stream) bool {
			return t.Ops&st.Op != 0
		})},
		{Name: "NoUseWithoutKey", Rules: []string{"CAP-IDN-003", "CAP-KEY-002"}, Holds: admitted(func(s State, t Token, _ Stream) bool {
			return s.held(t)
		})},
		{Name: "NoUseRevoked", Rules: []string{"CAP-REV-002"}, Holds: admitted(func(s State, t Token, _ Stream) bool { return !s.late(t) })},
		// What is good stays good until its exp, its revocation or a restart: a rotation takes nothing away.
		{Name: "NoOutage", Rules: []string{"CAP-KEY-002"}, Holds: func(s State, o Outcome) bool {
			for i, t := range s.Tokens {
				excused := o.To.Tokens[i].Left == 0 || o.To.revoked(t, p.everywhere()) || o.To.First != s.First
				if s.alive(p, t) && !o.To.alive(p, o.To.Tokens[i]) && !excused {
					return false
				}
			}
			return true
		}},
		// What was refused for good stays refused, also when its revocation, its key or the whole life is forgotten.
		{Name: "DeadStaysDead", Rules: []string{"CAP-CAV-005", "CAP-KEY-002", "CAP-REV-004"}, Holds: func(s State, o Outcome) bool {
			for i, t := range s.Tokens {
				if !s.alive(p, t) && o.To.alive(p, o.To.Tokens[i]) {
					return false
				}
			}
			return true
		}},
	}
}

// liveness: the node tells its surfaces what is revoked and ends what it has to end, and time passes whatever anybody
// does. That is all that is taken to be fair.
func (p Params) liveness() []leadsTo {
	fair := []string{string(TakeEffect), string(End), string(Tick)}
	eventually := func(name string, over func(State) bool, rules ...string) leadsTo {
		return leadsTo{Name: name, Rules: rules, From: func(s State) bool { return !over(s) }, To: over, Fair: fair}
	}
	return []leadsTo{
		eventually("RevocationsTakeEffect", func(s State) bool { return !slices.ContainsFunc(s.Revoked, p.spreading) }, "CAP-REV-002"),
		eventually("DoomedStreamsEnd", func(s State) bool { return !slices.ContainsFunc(s.Streams, s.doomed) }, "CAP-REV-003", "CAP-REV-006"),
		eventually("OldKeysGo", func(s State) bool {
			return !slices.ContainsFunc(s.Keys, func(k Key) bool { return k.Is == "retired" })
		}, "CAP-KEY-002"),
	}
}
