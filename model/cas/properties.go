package cas

import (
	"slices"

	"github.com/rustyonions/micronode/model/explore"
)

// invariants hold in every state. Those about answers ask next for them.
func invariants(p Params, next func(State, Op) []Outcome) []explore.Invariant[State] {
	answer := func(s State, op Op) string { // the action that op has in s, if there is just one
		if o := next(s, op); len(o) == 1 {
			return o[0].Action
		}
		return ""
	}
	all := []explore.Invariant[State]{
		// What is counted free is what nobody uses: no room is lost, and none is given twice.
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
		// A copy is in the index or some get reads it, and the index has each object at most once.
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
		// get, has and stat say the same of an object: it is there, it is not, or it is quarantined.
		{Name: "AnswersAgree", Rules: []string{"CAS-GET-001", "CAS-GET-002", "CAS-GET-003", "CAS-INT-004"}, Holds: func(s State) bool {
			reasons := map[string]string{"Has_true": "", "Has_false": "_not_found", "Has_integrity": "_integrity"}
			for o := p.First; o <= p.Last && s.Up; o++ {
				reason, ok := reasons[answer(s, Op{Kind: Has, Object: o})]
				if !ok || answer(s, Op{Kind: Stat, Object: o}) != "Stat"+reason {
					return false
				}
				for r := 1; r <= p.Readers; r++ {
					if s.reading(r) == nil && answer(s, Op{Kind: Get, Reader: r, Object: o}) != "Get"+reason {
						return false
					}
				}
			}
			return true
		}},
		// A store that does not run has whole objects and nothing else.
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
	if p.Rot { // no get delivers bytes that are not good
		all = append(all, explore.Invariant[State]{Name: "BytesAreVerified", Rules: []string{"CAS-INT-001", "CAS-INT-002", "CAS-GET-007"},
			Holds: func(s State) bool {
				for r := 1; r <= p.Readers; r++ {
					c := s.reading(r)
					if c != nil && c.Health != Good && answer(s, Op{Kind: Read, Reader: r}) == "Read" {
						return false
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
	eachObject := func(holds func(object int, from, to State) bool) func(State, Outcome) bool {
		return func(from State, o Outcome) bool {
			for object := p.First; object <= p.Last; object++ {
				if !holds(object, from, o.To) {
					return false
				}
			}
			return true
		}
	}
	eachGet := func(holds func(before, after *Copy, o Outcome) bool) func(State, Outcome) bool { // after is nil if it has ended
		return func(from State, o Outcome) bool {
			for r := 1; r <= p.Readers; r++ {
				if before := from.reading(r); before != nil && !holds(before, o.To.reading(r), o) {
					return false
				}
			}
			return true
		}
	}
	all := []explore.StepProperty[State]{
		// An object that was not there is there after a put of it, and after nothing else.
		{Name: "AppearsByPut", Rules: []string{"CAS-PUT-004", "CAS-PUT-005", "CAS-PUT-006", "CAS-DEL-001", "CAS-PER-002", "CAS-PER-004"},
			Holds: eachObject(func(o int, from, to State) bool {
				return from.Health(o) != Absent || to.Health(o) == Absent || putOf(p, o, from, to)
			})},
		// When a put is answered, or has taken effect and waits for its answer, its object is there and not quarantined.
		{Name: "AcknowledgedIsStored", Rules: []string{"CAS-PUT-001", "CAS-PER-002"}, Holds: func(from State, o Outcome) bool {
			for i, w := range from.Writers {
				stage, health := o.To.Writers[i].Stage, o.To.Health(w.Units)
				answered := (o.Action == "Commit_created" || o.Action == "Commit_known") && stage != w.Stage
				effective := (stage == Created || stage == Known) && w.Units > 0
				if (answered || effective) && health != Good && health != Rotten {
					return false
				}
			}
			return true
		}},
		// An object that was there goes by a delete or with the end of an amnesic life, and by nothing that a put does.
		{Name: "LeavesByDelete", Rules: []string{"CAS-PUT-001", "CAS-CAP-005", "CAS-PER-002", "CAS-PER-003"},
			Holds: eachObject(func(o int, from, to State) bool {
				switch {
				case from.Health(o) == Absent || to.Health(o) != Absent:
					return true
				case p.Persistent:
					return slices.Contains(from.Writers, Writer{Deleting, None, o, 0})
				}
				return !to.Up || slices.Equal(from.Writers, to.Writers) // a put changes its writer, a delete here does not
			})},
		// A copy that is read and not quarantined is not replaced by another of the same object, whoever puts what.
		{Name: "PutLeavesStoredAlone", Rules: []string{"CAS-PUT-002", "CAS-PUT-007"}, Holds: eachGet(func(before, after *Copy, o Outcome) bool {
			return after == nil || !before.Kept || before.Health == Bad || after.Kept || o.To.kept(after.Object) == nil
		})},
		// A get reads one object until it ends by itself, by a bad copy or with the node.
		{Name: "ReadersKeepTheirCopy", Rules: []string{"CAS-GET-007"}, Holds: eachGet(func(before, after *Copy, o Outcome) bool {
			if after == nil {
				return !o.To.Up || o.Action == "EndGet" || o.Action == "Read_integrity"
			}
			return after.Object == before.Object
		})},
	}
	if p.Rot {
		all = append(all, explore.StepProperty[State]{Name: "QuarantineLasts", Rules: []string{"CAS-INT-004", "CAS-INT-005"},
			Holds: eachObject(func(o int, from, to State) bool {
				return from.Health(o) != Bad || to.Health(o) == Bad || to.Health(o) == Absent || putOf(p, o, from, to)
			})}, explore.StepProperty[State]{Name: "OnlyRotIsQuarantined", Rules: []string{"CAS-INT-004", "CAS-INT-008"},
			Holds: eachObject(func(o int, from, to State) bool {
				return to.Health(o) != Bad || from.Health(o) == Bad || from.Health(o) == Rotten
			})})
	}
	if p.Persistent {
		all = append(all, explore.StepProperty[State]{Name: "NoWriteAfterFailedSync", Rules: []string{"CAS-PER-011"},
			Holds: eachObject(func(o int, from, to State) bool {
				return !from.Broken || !to.Broken || (from.Health(o) == Absent) == (to.Health(o) == Absent)
			})})
	}
	return all
}

// promises are what happens in the end. Fairness is on kinds of steps: that of Abort is the limit on puts without
// progress, that of EndGet the limit on requests, Scrub runs once an hour, a sync returns, and the node answers.
func promises(p Params) []explore.LeadsTo[State] {
	allBusy := func(s State) bool { return !slices.Contains(s.Writers, idle) }
	allHold := func(s State) bool { // every get reads what was deleted
		for r := 1; r <= p.Readers; r++ {
			if c := s.reading(r); c == nil || c.Kept {
				return false
			}
		}
		return true
	}
	all := []explore.LeadsTo[State]{
		// Puts do not keep everybody from writing for ever, unless the disk has failed.
		{Name: "PutsEnd", Rules: []string{"CAS-PUT-005", "CAS-CAP-003"},
			Fair: []string{"Abort", "Durable", "Answer_created", "Answer_known", "Answer_deleted"},
			From: allBusy, To: func(s State) bool { return !allBusy(s) || s.Broken }},
		// Gets do not hold the room of what was deleted for ever.
		{Name: "DeletedRoomReturns", Rules: []string{"CAS-DEL-003", "AMN-ZER-004"}, Fair: []string{"EndGet"},
			From: allHold, To: func(s State) bool { return !allHold(s) }},
	}
	for o := p.First; o <= p.Last && p.Rot; o++ {
		all = append(all, explore.LeadsTo[State]{Name: "RotIsFound", Rules: []string{"CAS-INT-007"}, Fair: []string{"Scrub"},
			From: func(s State) bool { return s.Up && s.Health(o) == Rotten },
			To:   func(s State) bool { return !s.Up || s.Health(o) != Rotten }})
	}
	return all
}
