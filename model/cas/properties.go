package cas

import (
	"slices"

	"github.com/rustyonions/micronode/model/explore"
)

// invariants hold in every state. Those about answers ask next for them.
func invariants(p Params, next func(State, Op) []Outcome) []explore.Invariant[State] {
	action := func(s State, op Op) string {
		if o := next(s, op); len(o) == 1 {
			return o[0].Action
		}
		return ""
	}
	all := []explore.Invariant[State]{
		{Name: "RoomIsExact", Rules: []string{"CAS-CAP-002", "CAS-CAP-008", "CAS-PUT-005", "CAS-DEL-003", "CAS-INT-009"}, Holds: func(s State) bool {
			used := 0
			for _, c := range s.Copies {
				used += c.Object
			}
			for _, w := range s.Writers {
				used += w.Units
			}
			return s.Free == p.Capacity-used
		}},
		{Name: "CapacityHolds", Rules: []string{"CAS-CAP-002"}, Holds: func(s State) bool { return s.Free >= 0 }},
		{Name: "NoObjectTooLarge", Rules: []string{"CAS-CAP-001"}, Holds: func(s State) bool {
			return !slices.ContainsFunc(s.Copies, func(c Copy) bool { return c.Object > p.MaxObject }) &&
				!slices.ContainsFunc(s.Writers, func(w Writer) bool { return w.Units > p.MaxObject })
		}},
		{Name: "NothingIsLeftOver", Rules: []string{"CAS-PUT-002", "CAS-DEL-003", "AMN-ZER-004"}, Holds: func(s State) bool {
			kept := map[int]int{}
			for _, c := range s.Copies {
				if c.Kept {
					kept[c.Object]++
				} else if c.Readers == 0 {
					return false
				}
			}
			return !slices.ContainsFunc(s.Copies, func(c Copy) bool { return kept[c.Object] > 1 })
		}},
		{Name: "AnswersAgree", Rules: []string{"CAS-GET-001", "CAS-GET-002", "CAS-GET-003", "CAS-INT-004"}, Holds: func(s State) bool {
			answers := map[string][2]string{"Has_true": {"Stat", "Get"}, "Has_false": {"Stat_not_found", "Get_not_found"},
				"Has_integrity": {"Stat_integrity", "Get_integrity"}}
			for o := p.First; o <= p.Last && s.Up; o++ {
				want, ok := answers[action(s, Op{Kind: Has, Object: o})]
				if !ok || action(s, Op{Kind: Stat, Object: o}) != want[0] {
					return false
				}
				for r := 1; r <= p.Readers; r++ {
					if s.reading(r) == nil && action(s, Op{Kind: Get, Reader: r, Object: o}) != want[1] {
						return false
					}
				}
			}
			return true
		}},
		{Name: "NothingHalfSurvives", Rules: []string{"CAS-PUT-005", "CAS-PER-005", "CAS-LIN-003"}, Holds: func(s State) bool {
			used := func(c Copy) bool { return !c.Kept || c.Readers != 0 }
			return s.Up || !s.Broken && !slices.ContainsFunc(s.Copies, used) &&
				!slices.ContainsFunc(s.Writers, func(w Writer) bool { return w != idle })
		}},
	}
	if !p.Persistent {
		all = append(all, explore.Invariant[State]{Name: "AmnesiaForgets", Rules: []string{"AMN-RST-001", "CAS-PER-001"},
			Holds: func(s State) bool { return s.Up || len(s.Copies) == 0 }})
	}
	if p.Rot {
		all = append(all, explore.Invariant[State]{Name: "BytesAreVerified", Rules: []string{"CAS-INT-001", "CAS-INT-002", "CAS-GET-007"},
			Holds: func(s State) bool {
				for _, c := range s.Copies {
					for r := 1; r <= p.Readers; r++ {
						if c.Readers>>r&1 == 1 && c.Health != Good && action(s, Op{Kind: Read, Reader: r}) == "Read" {
							return false
						}
					}
				}
				return true
			}})
	}
	return all
}

// putOf says whether a step may be a put of the object taking effect: one that is whole, as it was declared to be, and
// with persistence on its way to stable storage.
func putOf(p Params, object int, from, to State) bool {
	for i, w := range from.Writers {
		whole := w.Units == object && (w.Length == None || w.Length == object) && (w.Address == None || w.Address == object)
		if whole && (w.Stage == Writing || w.Stage == Open && !p.Persistent) && to.Writers[i] != w {
			return true
		}
	}
	return false
}

// steps are what no step may do to an object or to a get.
func steps(p Params) []explore.StepProperty[State] {
	each := func(holds func(object int, from, to State) bool) func(State, Outcome) bool {
		return func(from State, o Outcome) bool {
			for object := p.First; object <= p.Last; object++ {
				if !holds(object, from, o.To) {
					return false
				}
			}
			return true
		}
	}
	all := []explore.StepProperty[State]{
		{Name: "AppearsByPut", Rules: []string{"CAS-PUT-004", "CAS-PUT-005", "CAS-PUT-006", "CAS-DEL-001", "CAS-PER-002", "CAS-PER-004"},
			Holds: each(func(o int, from, to State) bool {
				return from.Health(o) != Absent || to.Health(o) == Absent || putOf(p, o, from, to)
			})},
		{Name: "AcknowledgedIsStored", Rules: []string{"CAS-PUT-001", "CAS-PER-002"}, Holds: func(from State, o Outcome) bool {
			for i, w := range from.Writers {
				stage := o.To.Writers[i].Stage
				answered := (o.Action == "Commit_created" || o.Action == "Commit_known") && stage != w.Stage
				if h := o.To.Health(w.Units); (answered || w.Units > 0 && (stage == Created || stage == Known)) && h != Good && h != Rotten {
					return false
				}
			}
			return true
		}},
		{Name: "LeavesByDelete", Rules: []string{"CAS-PUT-001", "CAS-CAP-005", "CAS-PER-002", "CAS-PER-003"},
			Holds: each(func(o int, from, to State) bool {
				switch {
				case from.Health(o) == Absent || to.Health(o) != Absent:
					return true
				case p.Persistent:
					return slices.Contains(from.Writers, Writer{Deleting, None, o, 0})
				}
				return !to.Up || slices.Equal(from.Writers, to.Writers) // nothing that a put does
			})},
		{Name: "PutLeavesStoredAlone", Rules: []string{"CAS-PUT-002", "CAS-PUT-007"}, Holds: func(from State, o Outcome) bool {
			for r := 1; r <= p.Readers; r++ {
				before, after := from.reading(r), o.To.reading(r)
				if before != nil && after != nil && before.Kept && before.Health != Bad && !after.Kept && o.To.kept(after.Object) != nil {
					return false
				}
			}
			return true
		}},
		{Name: "ReadersKeepTheirCopy", Rules: []string{"CAS-GET-007"}, Holds: func(from State, o Outcome) bool {
			for r := 1; r <= p.Readers; r++ {
				before, after := from.reading(r), o.To.reading(r)
				ended := !o.To.Up || o.Action == "EndGet" || o.Action == "Read_integrity"
				if before != nil && (after == nil && !ended || after != nil && after.Object != before.Object) {
					return false
				}
			}
			return true
		}},
	}
	if p.Rot {
		all = append(all, explore.StepProperty[State]{Name: "QuarantineLasts", Rules: []string{"CAS-INT-004", "CAS-INT-005"},
			Holds: each(func(o int, from, to State) bool {
				return from.Health(o) != Bad || to.Health(o) == Bad || to.Health(o) == Absent || putOf(p, o, from, to)
			})}, explore.StepProperty[State]{Name: "OnlyRotIsQuarantined", Rules: []string{"CAS-INT-004", "CAS-INT-008"},
			Holds: each(func(o int, from, to State) bool {
				return to.Health(o) != Bad || from.Health(o) == Bad || from.Health(o) == Rotten
			})})
	}
	if p.Persistent {
		all = append(all, explore.StepProperty[State]{Name: "NoWriteAfterFailedSync", Rules: []string{"CAS-PER-011"},
			Holds: each(func(o int, from, to State) bool {
				return !from.Broken || !to.Broken || (from.Health(o) == Absent) == (to.Health(o) == Absent)
			})})
	}
	return all
}

// promises are what happens in the end. Fairness is on kinds of steps: that of Abort is the limit on puts without
// progress, that of EndGet the limit on requests, Scrub runs once an hour, a sync returns, and the node answers.
func promises(p Params) []explore.LeadsTo[State] {
	busy := func(s State) bool { return !slices.Contains(s.Writers, idle) }
	held := func(s State) bool { // every get reads what was deleted
		for r := 1; r <= p.Readers; r++ {
			if c := s.reading(r); c == nil || c.Kept {
				return false
			}
		}
		return true
	}
	all := []explore.LeadsTo[State]{
		{Name: "PutsEnd", Rules: []string{"CAS-PUT-005", "CAS-CAP-003"},
			Fair: []string{"Abort", "Durable", "Answer_created", "Answer_known", "Answer_deleted"},
			From: busy, To: func(s State) bool { return !busy(s) || s.Broken }},
		{Name: "DeletedRoomReturns", Rules: []string{"CAS-DEL-003", "AMN-ZER-004"}, Fair: []string{"EndGet"},
			From: held, To: func(s State) bool { return !held(s) }},
	}
	for o := p.First; o <= p.Last && p.Rot; o++ {
		all = append(all, explore.LeadsTo[State]{Name: "RotIsFound", Rules: []string{"CAS-INT-007"}, Fair: []string{"Scrub"},
			From: func(s State) bool { return s.Up && s.Health(o) == Rotten },
			To:   func(s State) bool { return !s.Up || s.Health(o) != Rotten }})
	}
	return all
}
