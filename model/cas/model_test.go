package cas

import (
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/spec"
)

const limit = 20_000 // states

// presets are the configurations that TLC explores too, and one more: rot under persistence, whose graph has no other
// kind of step than the rest.
var presets = map[string]Params{
	"Small": Small(), "SmallRot": SmallRot(), "SmallPersistent": SmallPersistent(),
	"RotPersistent": {Capacity: 3, MaxObject: 2, First: 1, Last: 2, Writers: 1, Readers: 1, Rot: true, Persistent: true},
}

// actions are all that the TLA+ module has.
var actions = strings.Fields(`Begin Begin_oversize Begin_store_full Begin_not_ready Arrive Arrive_oversize Arrive_store_full
	Commit Commit_created Commit_known Commit_truncated Commit_bad_digest Commit_not_ready Commit_store_full Abort
	Durable Durable_not_ready Answer_created Answer_known Answer_deleted Get Get_not_found Get_integrity Read Read_integrity
	EndGet Has_true Has_false Has_integrity Stat Stat_not_found Stat_integrity Delete Delete_not_found Delete_not_ready
	Flip Scrub Stop Crash Start`)

func TestProperties(t *testing.T) {
	seen := map[string]int{}
	for _, name := range slices.Sorted(maps.Keys(presets)) {
		p := presets[name]
		g, err := explore.Explore(Machine(p), limit)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		t.Logf("%s: %d states, %d edges, depth %d, %v", name, len(g.States), len(g.Edges), slices.Max(g.Depth), g.Actions())
		taken := map[Op]bool{}
		for _, e := range g.Edges {
			taken[e.Op] = true
			seen[e.Action]++
		}
		for _, op := range Ops(p) {
			if !taken[op] {
				t.Errorf("%s: it never happens that %v", name, op)
			}
		}
	}
	for _, a := range actions {
		if seen[a] == 0 {
			t.Errorf("%s is never taken", a)
		}
		delete(seen, a)
	}
	if len(seen) > 0 {
		t.Errorf("actions that are not in the list: %v", seen)
	}
}

// TestNextIsPure asks twice and looks at the argument behind that. Two of the presets have every kind of step.
func TestNextIsPure(t *testing.T) {
	for _, p := range []Params{SmallRot(), presets["RotPersistent"]} {
		m := Machine(p)
		m.Always, m.Steps, m.LeadsTo = nil, nil, nil
		m.Next = func(s State, op Op) []Outcome {
			before := s.clone()
			first := Next(p, s, op)
			second := Next(p, s, op)
			if !reflect.DeepEqual(first, second) || Canon(p, s) != Canon(p, before) || !reflect.DeepEqual(s.Writers, before.Writers) {
				t.Fatalf("%v is not pure in\n%s", op, Canon(p, before))
			}
			return first
		}
		if _, err := explore.Explore(m, limit); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRefusalsChangeNothing but for the put that is refused, the copy that an integrity answer reports, and the fate of a
// sync (CAS-LIN-002).
func TestRefusalsChangeNothing(t *testing.T) {
	for name, p := range presets {
		m := Machine(p)
		m.Always, m.Steps, m.LeadsTo = nil, nil, nil
		g, err := explore.Explore(m, limit)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range g.Edges {
			_, reason, _ := strings.Cut(e.Action, "_")
			if !spec.Reason(reason).Known() || e.From == e.To {
				continue
			}
			from, to := g.States[e.From], g.States[e.To]
			switch e.Op.Kind {
			case Arrive, Commit:
				if from = from.clone(); Canon(p, to) != Canon(p, from.cut(&from.Writers[e.Op.Writer-1])) {
					t.Fatalf("%s: %s changes more than its put:\n%s\n%s", name, e.Action, g.Keys[e.From], g.Keys[e.To])
				}
			case Read, Durable:
			default:
				t.Fatalf("%s: %s changes the store:\n%s\n%s", name, e.Action, g.Keys[e.From], g.Keys[e.To])
			}
		}
	}
}

// mutant is a model with one mistake.
type mutant struct {
	preset   string
	violates string
	mistake  func(p Params, s State, op Op) []Outcome
}

// instead changes what happens where an action would be taken. change works on a copy of the state before the step.
func instead(action string, change func(p Params, s *State, op Op)) func(Params, State, Op) []Outcome {
	return func(p Params, s State, op Op) []Outcome {
		outcomes := Next(p, s, op)
		for i, o := range outcomes {
			if o.Action == action {
				to := s.clone()
				change(p, &to, op)
				outcomes[i].To = to
			}
		}
		return outcomes
	}
}

var mutants = map[string]mutant{
	"an aborted put keeps its room": {"Small", "RoomIsExact", instead("Abort", func(_ Params, s *State, op Op) {
		s.Writers[op.Writer-1] = idle
	})},
	"a delete gives its room back before the last get": {"Small", "RoomIsExact", instead("Delete", func(_ Params, s *State, op Op) {
		s.Free += op.Object
		s.kept(op.Object).Kept = false
		s.sweep()
	})},
	"a unit is taken where there is no room": {"Small", "CapacityHolds", instead("Arrive_store_full", func(_ Params, s *State, op Op) {
		s.Writers[op.Writer-1].Units++
		s.Free--
	})},
	"the limit on objects is one too high": {"SmallPersistent", "NoObjectTooLarge", func(p Params, s State, op Op) []Outcome {
		p.MaxObject++
		return Next(p, s, op)
	}},
	"a delete hides the object only": {"Small", "NothingIsLeftOver", instead("Delete", func(_ Params, s *State, op Op) {
		s.kept(op.Object).Kept = false
	})},
	"has is stale behind a delete": {"Small", "AnswersAgree", func(p Params, s State, op Op) []Outcome {
		outcomes := Next(p, s, op)
		if op.Kind == Has && len(s.Copies) > 0 && outcomes != nil && outcomes[0].Action == "Has_false" {
			outcomes[0].Action = "Has_true"
		}
		return outcomes
	}},
	"a get delivers rotten bytes": {"SmallRot", "BytesAreVerified", func(p Params, s State, op Op) []Outcome {
		outcomes := Next(p, s, op)
		if len(outcomes) == 1 && outcomes[0].Action == "Read_integrity" {
			return step(s, "Read", "CAS-INT-001")
		}
		return outcomes
	}},
	"a crash leaves half a put": {"SmallPersistent", "NothingHalfSurvives", instead("Crash", func(_ Params, s *State, _ Op) {
		s.Up = false
	})},
	"an amnesic node remembers": {"Small", "AmnesiaForgets", instead("Stop", func(p Params, s *State, _ Op) {
		down := Init(p)
		for _, c := range s.Copies {
			if c.Kept {
				down.Copies = append(down.Copies, Copy{c.Object, c.Health, true, 0})
				down.Free -= c.Object
			}
		}
		*s, s.Up = down, false
	})},
	"a truncated put is stored": {"Small", "AppearsByPut", instead("Commit_truncated", func(_ Params, s *State, op Op) {
		w := s.Writers[op.Writer-1]
		s.Writers[op.Writer-1] = idle
		if w.Units > 0 {
			s.store(w.Units)
		}
	})},
	"a put is visible before it is durable": {"SmallPersistent", "AppearsByPut", instead("Commit", func(_ Params, s *State, op Op) {
		w := &s.Writers[op.Writer-1]
		s.store(w.Units)
		*w = Writer{Created, None, None, 0}
	})},
	"a deleted object is back after a crash": {"SmallPersistent", "AppearsByPut", instead("Crash", func(p Params, s *State, _ Op) {
		*s = Init(p)
		s.Up = false
		s.Free -= p.First
		s.store(p.First)
	})},
	"a put is acknowledged and dropped": {"Small", "AcknowledgedIsStored", instead("Commit_created", func(_ Params, s *State, op Op) {
		*s = s.cut(&s.Writers[op.Writer-1])
	})},
	"a stored object is evicted": {"Small", "LeavesByDelete", instead("Arrive_store_full", func(_ Params, s *State, op Op) {
		*s = s.cut(&s.Writers[op.Writer-1])
		if len(s.Copies) > 0 {
			s.forget(s.Copies[0].Object)
		}
	})},
	"a crash loses what was acknowledged": {"SmallPersistent", "LeavesByDelete", instead("Crash", func(p Params, s *State, _ Op) {
		*s = Init(p)
		s.Up = false
	})},
	"a put of what is stored replaces it": {"Small", "PutLeavesStoredAlone", instead("Commit_known", func(_ Params, s *State, op Op) {
		w := &s.Writers[op.Writer-1]
		s.forget(w.Units)
		s.store(w.Units)
		*w = idle
	})},
	"a delete cuts gets off": {"Small", "ReadersKeepTheirCopy", instead("Delete", func(_ Params, s *State, op Op) {
		s.kept(op.Object).Readers = 0
		s.forget(op.Object)
	})},
	"a get ends a quarantine": {"RotPersistent", "QuarantineLasts", instead("Get_integrity", func(_ Params, s *State, op Op) {
		s.kept(op.Object).Health = Good
	})},
	"one rotten object and all are quarantined": {"SmallRot", "OnlyRotIsQuarantined", instead("Scrub", func(_ Params, s *State, _ Op) {
		for i := range s.Copies {
			s.Copies[i].Health = Bad
		}
	})},
	"the sync after a failed one is believed": {"SmallPersistent", "NoWriteAfterFailedSync", func(p Params, s State, op Op) []Outcome {
		if !s.Broken || op.Kind != Durable {
			return Next(p, s, op)
		}
		s.Broken = false
		outcomes := Next(p, s, op)
		for i := range outcomes {
			outcomes[i].To.Broken = true
		}
		return outcomes
	}},
	"the scrub looks at nothing": {"SmallRot", "RotIsFound", instead("Scrub", func(Params, *State, Op) {})},
	"a put without progress is not cut": {"Small", "PutsEnd", func(p Params, s State, op Op) []Outcome {
		if op.Kind == Abort {
			return nil
		}
		return Next(p, s, op)
	}},
	"a write is not answered": {"SmallPersistent", "PutsEnd", func(p Params, s State, op Op) []Outcome {
		if op.Kind == Answer {
			return nil
		}
		return Next(p, s, op)
	}},
	"a get of what was deleted does not end": {"Small", "DeletedRoomReturns", func(p Params, s State, op Op) []Outcome {
		if c := s.reading(op.Reader); op.Kind == EndGet && c != nil && !c.Kept {
			return nil
		}
		return Next(p, s, op)
	}},
}

// TestMutants breaks every property at least once.
func TestMutants(t *testing.T) {
	caught := map[string]bool{}
	for name, mu := range mutants {
		p := presets[mu.preset]
		_, err := explore.Explore(machine(p, func(s State, op Op) []Outcome { return mu.mistake(p, s, op) }), 10*limit)
		var v *explore.Violation
		if !errors.As(err, &v) || v.Property != mu.violates {
			t.Errorf("%s: want a violation of %s, got %.300v", name, mu.violates, err)
			continue
		}
		caught[v.Property] = true
		if name == "a stored object is evicted" {
			t.Logf("%v", v)
		}
	}
	for name, p := range presets {
		m := Machine(p)
		for _, x := range m.Always {
			if !caught[x.Name] {
				t.Errorf("%s: no mutant breaks the invariant %s", name, x.Name)
			}
		}
		for _, x := range m.Steps {
			if !caught[x.Name] {
				t.Errorf("%s: no mutant breaks the step property %s", name, x.Name)
			}
		}
		for _, x := range m.LeadsTo {
			if !caught[x.Name] {
				t.Errorf("%s: no mutant breaks the promise %s", name, x.Name)
			}
		}
	}
}

func TestWords(t *testing.T) {
	seen := map[string]Op{}
	for _, p := range presets {
		for _, op := range Ops(p) {
			text := op.String()
			if other, known := seen[text]; text == "" || strings.Contains(text, "%") || known && other != op {
				t.Errorf("%#v and %#v are both %q", op, other, text)
			}
			seen[text] = op
		}
	}
}

// TestPermits spells out the register of one address, from the law.
func TestPermits(t *testing.T) {
	full := Result{spec.StoreFull, false, ""}
	with := func(r Result, h Health) Result { r.Next = h; return r }
	for _, c := range []struct {
		persistent bool
		health     Health
		call       Call
		lost       bool
		want       []Result
	}{
		{false, Absent, CallPut, false, []Result{{"", true, Good}, full}},
		{false, Good, CallPut, false, []Result{{"", false, Good}, with(full, Good)}},
		{false, Rotten, CallPut, false, []Result{{"", false, Rotten}, with(full, Rotten)}},
		{false, Bad, CallPut, false, []Result{{"", true, Good}, with(full, Bad)}},
		{false, Absent, CallPut, true, []Result{{"", false, Absent}, {"", false, Good}}},
		{false, Bad, CallPut, true, []Result{{"", false, Bad}, {"", false, Good}}},
		{false, Absent, CallGet, false, []Result{{spec.NotFound, false, Absent}}},
		{false, Good, CallGet, false, []Result{{"", false, Good}}},
		{false, Rotten, CallGet, false, []Result{{spec.Integrity, false, Bad}}},
		{false, Bad, CallGet, false, []Result{{spec.Integrity, false, Bad}}},
		{false, Rotten, CallGet, true, []Result{{"", false, Rotten}, {"", false, Bad}}},
		{false, Absent, CallHas, false, []Result{{"", false, Absent}}},
		{false, Good, CallHas, false, []Result{{"", true, Good}}},
		{false, Bad, CallHas, false, []Result{{spec.Integrity, false, Bad}}},
		{false, Absent, CallStat, false, []Result{{spec.NotFound, false, Absent}}},
		{false, Good, CallStat, false, []Result{{"", false, Good}}},
		{false, Bad, CallStat, false, []Result{{spec.Integrity, false, Bad}}},
		{false, Absent, CallDelete, false, []Result{{spec.NotFound, false, Absent}}},
		{false, Good, CallDelete, false, []Result{{"", false, Absent}}},
		{false, Bad, CallDelete, false, []Result{{"", false, Absent}}},
		{false, Good, CallDelete, true, []Result{{"", false, Good}, {"", false, Absent}}},
		{false, Good, CallRestart, false, []Result{{"", false, Absent}}},
		{true, Good, CallRestart, false, []Result{{"", false, Good}}},
		{true, Bad, CallRestart, false, []Result{{"", false, Bad}}},
		{true, Absent, CallRestart, false, []Result{{"", false, Absent}}},
		{true, Absent, CallPut, false, []Result{{"", true, Good}, {spec.NotReady, false, Absent}, {spec.NotReady, false, Good}, full}},
		{true, Absent, CallPut, true, []Result{{"", false, Absent}, {"", false, Good}}},
		{true, Good, CallDelete, false, []Result{{"", false, Absent}, {spec.NotReady, false, Good}, {spec.NotReady, false, Absent}}},
		{true, Good, CallDelete, true, []Result{{"", false, Good}, {"", false, Absent}}},
	} {
		if got := Permits(c.persistent, c.health, c.call, c.lost); !slices.Equal(got, c.want) {
			t.Errorf("persistent %v, health %q, %s, lost %v: %v, want %v", c.persistent, c.health, c.call, c.lost, got, c.want)
		}
	}
}
