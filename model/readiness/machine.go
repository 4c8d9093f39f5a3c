package readiness

import (
	"slices"

	"github.com/rustyonions/micronode/model/explore"
)

// Canon writes the variables of Readiness.tla.
func Canon(s State) string {
	gates := make([]string, len(s.Up))
	for i, up := range s.Up {
		gates[i] = explore.Bool(up)
	}
	admits := []string{}
	if s.Reads {
		admits = append(admits, explore.Str(Read))
	}
	if s.Writes {
		admits = append(admits, explore.Str(Write))
	}
	return explore.Vars(
		"up", explore.Seq(gates...), "unknown", explore.Bool(s.Unknown),
		"state", explore.Str(s.Name), "readyz", explore.Int(s.Readyz), "admits", explore.Set(admits...),
		"store", explore.Str(s.Store), "memory", explore.Str(s.Memory), "conns", explore.Int(s.Conns),
		"reading", explore.Int(s.Reading), "writing", explore.Int(s.Writing), "places", explore.Int(s.Places),
		"tokens", explore.Int(s.Tokens), "noticed", explore.Bool(s.Noticed), "listening", explore.Bool(s.Listening),
		"exit", explore.Str(s.Exit))
}

// Ops is everything that can happen.
func Ops(p Params) []Op {
	ops := []Op{{Kind: Unknown}, {Kind: Fail}}
	for gate := 1; gate <= p.Gates; gate++ {
		ops = append(ops, Op{Kind: Up, Gate: gate}, Op{Kind: Lose, Gate: gate}, Op{Kind: Stale, Gate: gate})
	}
	for _, cause := range []string{"store_capacity", "memory"} {
		for _, level := range []string{Room, Tight, Short} {
			ops = append(ops, Op{Kind: Level, Cause: cause, Level: level})
		}
	}
	ops = append(ops, Op{Kind: Recover}, Op{Kind: Connect}, Op{Kind: Disconnect})
	for _, work := range []string{Read, Write} {
		ops = append(ops, Op{Kind: Request, Work: work}, Op{Kind: Finish, Work: work}, Op{Kind: Cancel, Work: work})
	}
	for _, k := range []Kind{Refill, Readyz, Signal, Notice, Deadline, Close, Stop} {
		ops = append(ops, Op{Kind: k})
	}
	return ops
}

// Machine is the model of a node with p. The names of the properties are those of Readiness.tla.
func Machine(p Params) explore.Machine[State, Op] {
	m := explore.Machine[State, Op]{
		Name: "Readiness", Init: Init(p), Ops: Ops(p), Canon: Canon,
		Next:   func(s State, op Op) []Outcome { return Next(p, s, op) },
		Always: invariants(p), Steps: steps(p), LeadsTo: promises(p),
	}
	if !p.Causes { // these two are about load, and do not hold where load does not degrade
		load := []string{"ReadyHasRoom", "DegradesBeforeFull"}
		m.Always = slices.DeleteFunc(m.Always, func(i explore.Invariant[State]) bool { return slices.Contains(load, i.Name) })
	}
	return m
}

// whole says that every gate that the configuration asks for is up.
func whole(s State) bool { return !s.Unknown && !slices.Contains(s.Up, false) }

func leaving(s State) bool { return s.Name == Draining || s.Name == Stopped }

// invariants hold in every state. is makes one of a name, of what holds, and of the rules that it stands for.
func invariants(p Params) []explore.Invariant[State] {
	is := func(name string, holds func(State) bool, rules ...string) explore.Invariant[State] {
		return explore.Invariant[State]{Name: name, Rules: rules, Holds: holds}
	}
	return []explore.Invariant[State]{
		is("ReadyNeedsEveryGate", func(s State) bool { return s.Name != Ready || whole(s) },
			"RDY-GAT-001", "RDY-GAT-004", "RDY-GAT-005", "RDY-GAT-006", "RDY-GAT-007"),
		is("ReadyHasRoom", func(s State) bool {
			room := s.Store != Short && s.Memory != Short && 10*s.Conns <= 9*p.MaxConns && 10*s.Places <= 9*p.MaxInflight
			return s.Name != Ready || room
		}, "RDY-DEG-004", "RDY-DEG-005", "RDY-DEG-006"),
		is("DegradesBeforeFull", func(s State) bool {
			return s.Readyz == 503 || s.Conns < p.MaxConns && s.Places < p.MaxInflight
		}, "RDY-DEG-005", "RDY-DEG-007"),
		is("ReadyzTellsTheState", func(s State) bool { return (s.Readyz == 200) == (s.Name == Ready) },
			"RDY-HLT-001", "RDY-STA-001", "RDY-DEG-007"),
		is("DegradedServesReads", func(s State) bool { return s.Name != Degraded || s.Reads }, "RDY-DEG-001"),
		is("DegradedShedsWrites", func(s State) bool { return s.Name != Degraded || !s.Writes }, "RDY-DEG-002"),
		is("NothingBeforeOrAfter", func(s State) bool { return s.Name == Ready || s.Name == Degraded || !s.Reads && !s.Writes },
			"RDY-STA-003", "RDY-STA-004"),
		is("WithinCaps", func(s State) bool {
			return s.Conns <= p.MaxConns && s.Reading+s.Writing <= p.MaxInflight && s.Tokens >= 0 && s.Tokens <= p.Tokens
		}, "ADM-CAP-001", "ADM-CAP-002", "ADM-CAP-003"),
		is("PlacesAreExact", func(s State) bool { return s.Places == s.Reading+s.Writing }, "ADM-CAP-006"),
		is("StoppedIsQuiet", func(s State) bool {
			return s.Name != Stopped || s.Conns == 0 && s.Reading+s.Writing == 0 && !s.Listening && s.Exit != ""
		}, "RDY-DRN-003", "RDY-DRN-004", "RDY-DRN-005"),
	}
}

// changes are the pairs of states, from and to, that RDY-STA-002 permits.
var changes = map[[2]string]bool{
	{Starting, Ready}: true, {Ready, Degraded}: true, {Degraded, Ready}: true, {Starting, Draining}: true,
	{Ready, Draining}: true, {Degraded, Draining}: true, {Starting, Stopped}: true, {Draining, Stopped}: true,
}

// steps hold on every step from s to another state, or to the same.
func steps(p Params) []explore.StepProperty[State] {
	is := func(name string, holds func(s, to State) bool, rules ...string) explore.StepProperty[State] {
		return explore.StepProperty[State]{Name: name, Rules: rules,
			Holds: func(s State, o Outcome) bool { return holds(s, o.To) }}
	}
	return []explore.StepProperty[State]{
		is("GatesInOrder", func(s, to State) bool {
			for i := range s.Up {
				if !s.Up[i] && to.Up[i] && slices.Contains(s.Up[:i], false) {
					return false
				}
			}
			return true
		}, "RDY-GAT-002"),
		is("StartOnlyGrows", func(s, to State) bool {
			for i := range s.Up {
				if s.Name == Starting && s.Up[i] && !to.Up[i] {
					return false
				}
			}
			return true
		}, "RDY-GAT-003"),
		is("StateOrder", func(s, to State) bool { return s.Name == to.Name || changes[[2]string{s.Name, to.Name}] },
			"RDY-STA-002"),
		is("DrainingNeverReturns", func(s, to State) bool { return !leaving(s) || leaving(to) && to.Readyz == 503 }, "RDY-DRN-007"),
		is("AdmitsWhatItSays", func(s, to State) bool {
			return (to.Reading <= s.Reading || s.Reads) && (to.Writing <= s.Writing || s.Writes)
		}, "RDY-STA-003", "RDY-STA-004", "RDY-DEG-002", "RDY-GAT-004"),
		is("OneTokenForOnePlace", func(s, to State) bool {
			return to.Tokens >= s.Tokens && to.Places <= s.Places || to.Tokens == s.Tokens-1 && to.Places == s.Places+1
		}, "ADM-CAP-004", "ADM-CAP-005"),
		is("FlipsFailNoWork", func(s, to State) bool {
			return s.Name == to.Name || to.Writing >= s.Writing && to.Reading >= s.Reading
		}, "RDY-DEG-009", "RDY-DRN-003"),
		is("RecoversFromCalmOnly", func(s, to State) bool {
			return s.Name != Degraded || to.Name != Ready || len(Missing(p, s)) == 0
		}, "RDY-DEG-008"),
		is("FlipBeforeClose", func(s, to State) bool { return !s.Listening || to.Listening || s.Readyz == 503 },
			"RDY-DRN-001", "RDY-HLT-001"),
		is("NoticeBeforeClose", func(s, to State) bool { // a start that fails gives no notice
			return s.Name == Starting || !s.Listening || to.Listening || s.Name == Draining && s.Noticed
		}, "RDY-DRN-001", "RDY-DRN-002"),
		is("DrainEndsInOrder", func(s, to State) bool {
			return s.Name != Draining || to.Name != Stopped || s.Noticed && s.Places == 0 && to.Exit == "clean"
		}, "RDY-DRN-002", "RDY-DRN-004", "RDY-DRN-005"),
	}
}

// promises are what has to come about when time passes and nobody gives up: gates come up, listeners close.
func promises(p Params) []explore.LeadsTo[State] {
	calm := func(s State) bool { return s.Name == Degraded && len(Missing(p, s)) == 0 }
	return []explore.LeadsTo[State]{
		{Name: "StartLeadsToReady", Rules: []string{"RDY-GAT-001", "RDY-GAT-008"}, Fair: []string{"Up"},
			From: func(s State) bool { return s.Name == Starting && !s.Unknown },
			To: func(s State) bool { // or to something that keeps it from getting there
				return s.Name != Starting || s.Unknown || whole(s) && len(Missing(p, s)) > 0
			}},
		{Name: "CalmLeadsToReady", Rules: []string{"RDY-DEG-008"}, Fair: []string{"Recover"},
			From: calm, To: func(s State) bool { return !calm(s) }},
		{Name: "DrainEnds", Rules: []string{"RDY-DRN-003", "RDY-DRN-004"}, Fair: []string{"Notice", "Deadline", "Close", "Stop"},
			From: func(s State) bool { return s.Name == Draining }, To: func(s State) bool { return s.Name == Stopped }},
	}
}
