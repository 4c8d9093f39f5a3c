package readiness_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/rustyonions/micronode/model/explore"
	model "github.com/rustyonions/micronode/model/readiness"
)

const limit = 5000 // states of a preset, at most

var presets = map[string]model.Params{"Small": model.Small(), "SmallAdmission": model.SmallAdmission()}

// actions are all that the two presets have, so that none can get lost unseen.
var actions = []string{
	"Up", "Lose", "Stale", "Unknown", "Fail", "Level", "Recover", "Connect", "Connect_quota", "Disconnect",
	"Request", "Request_too_many_streams", "Request_quota", "Request_not_ready", "Request_store_full", "Request_draining",
	"Finish", "Cancel", "Refill", "Readyz", "Signal", "Notice", "Deadline", "Close", "Stop",
}

func TestExplore(t *testing.T) {
	for name, p := range presets {
		t.Run(name, func(t *testing.T) {
			g, err := explore.Explore(model.Machine(p), limit)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%d states, %d edges, depth %d", len(g.States), len(g.Edges), slices.Max(g.Depth))
			want := actions
			if !p.Causes {
				want = slices.DeleteFunc(slices.Clone(actions), func(a string) bool { return a == "Level" || a == "Request_store_full" })
			}
			got := slices.Sorted(maps.Keys(g.Actions()))
			if want = slices.Sorted(slices.Values(want)); !slices.Equal(got, want) {
				t.Errorf("the actions taken are\n%q, want\n%q", got, want)
			}
			used, words := map[model.Op]bool{}, map[string]model.Op{}
			for _, e := range g.Edges {
				used[e.Op] = true
				if s := g.States[e.From]; s.Name == model.Stopped {
					t.Fatalf("%v after the process is gone", e.Op)
				}
			}
			for _, op := range model.Ops(p) {
				if op.Kind == model.Level && !p.Causes {
					continue
				}
				if !used[op] {
					t.Errorf("%v never happens", op)
				}
				if other, twice := words[op.String()]; twice || op.String() == "" {
					t.Errorf("%#v and %#v have the same words", op, other)
				}
				words[op.String()] = op
			}
		})
	}
}

// Next may neither change the state that it is given nor answer the same question in two ways.
func TestNextIsPure(t *testing.T) {
	for _, p := range presets {
		g, err := explore.Explore(model.Machine(p), limit)
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range g.States {
			for _, op := range model.Ops(p) {
				first, again := fmt.Sprintf("%+v", model.Next(p, s, op)), fmt.Sprintf("%+v", model.Next(p, s, op))
				if first != again {
					t.Fatalf("%v: %s and then %s", op, first, again)
				}
			}
			if model.Canon(s) != g.Keys[i] {
				t.Fatalf("Next changed the state\n%s\ninto\n%s", g.Keys[i], model.Canon(s))
			}
		}
	}
}

// RDY-HLT-002, RDY-DEG-008: what /readyz calls missing.
func TestMissing(t *testing.T) {
	p := model.Params{Gates: 5, MaxConns: 100, MaxInflight: 20, Tokens: 1, Causes: true}
	at := func(name string, store, memory string, conns, places int, down ...int) model.State {
		s := model.Init(p)
		for i := range s.Up {
			s.Up[i] = !slices.Contains(down, i)
		}
		s.Name, s.Store, s.Memory, s.Conns, s.Places = name, store, memory, conns, places
		return s
	}
	for _, c := range []struct {
		s    model.State
		want []string
	}{
		{at(model.Ready, model.Tight, model.Tight, 90, 18), []string{}},
		{at(model.Degraded, model.Room, model.Room, 75, 15), []string{}},
		{at(model.Ready, model.Short, model.Room, 91, 18), []string{"store_capacity", "connections"}},
		{at(model.Ready, model.Room, model.Short, 90, 19), []string{"inflight", "memory"}},
		{at(model.Degraded, model.Tight, model.Tight, 76, 16, 2, 4),
			[]string{"store_open", "listeners_bound", "store_capacity", "connections", "inflight", "memory"}},
		{at(model.Draining, model.Room, model.Room, 100, 20, 1), []string{"keys_loaded"}},
	} {
		if got := model.Missing(p, c.s); !slices.Equal(got, c.want) {
			t.Errorf("%+v: %q is missing, want %q", c.s, got, c.want)
		}
	}
}

// A next is Next with its outcomes changed by a mutation.
type change func(p model.Params, s model.State, op model.Op, out []model.Outcome) []model.Outcome

// to changes the state after an outcome of one kind of operation.
func to(kind model.Kind, edit func(p model.Params, from model.State, s *model.State)) change {
	return func(p model.Params, from model.State, op model.Op, out []model.Outcome) []model.Outcome {
		if op.Kind == kind && len(out) > 0 {
			out = slices.Clone(out)
			out[0].To.Up = slices.Clone(out[0].To.Up)
			edit(p, from, &out[0].To)
		}
		return out
	}
}

// add lets one kind of operation happen where it can not.
func add(kind model.Kind, where func(s model.State) bool, edit func(s *model.State)) change {
	return func(p model.Params, from model.State, op model.Op, out []model.Outcome) []model.Outcome {
		if op.Kind != kind || !where(from) {
			return out
		}
		s := from
		s.Up = slices.Clone(s.Up)
		edit(&s)
		return []model.Outcome{{Action: string(kind), Rules: []string{"RDY-STA-001"}, To: s}}
	}
}

func never(kind model.Kind) change {
	return func(_ model.Params, _ model.State, op model.Op, out []model.Outcome) []model.Outcome {
		if op.Kind == kind {
			return nil
		}
		return out
	}
}

func in(names ...string) func(model.State) bool {
	return func(s model.State) bool { return slices.Contains(names, s.Name) }
}

func looks(s *model.State, name string) {
	s.Name, s.Readyz, s.Reads, s.Writes = name, 503, name == model.Ready || name == model.Degraded, name == model.Ready
	if name == model.Ready {
		s.Readyz = 200
	}
}

// mutants are faults, and the property that has to see each.
var mutants = []struct {
	property, fault string
	change          change
}{
	{"ReadyNeedsEveryGate", "a lost gate is not acted upon",
		to(model.Lose, func(_ model.Params, from model.State, s *model.State) { looks(s, from.Name) })},
	{"ReadyNeedsEveryGate", "an old probe is believed",
		to(model.Stale, func(_ model.Params, from model.State, s *model.State) { looks(s, from.Name) })},
	{"ReadyNeedsEveryGate", "an unknown gate is ignored",
		to(model.Up, func(_ model.Params, from model.State, s *model.State) {
			if from.Name == model.Starting && !slices.Contains(s.Up, false) {
				looks(s, model.Ready)
			}
		})},
	{"ReadyHasRoom", "a shortage is not acted upon",
		to(model.Level, func(_ model.Params, from model.State, s *model.State) { looks(s, from.Name) })},
	{"DegradesBeforeFull", "the last connection is taken in silence",
		to(model.Connect, func(_ model.Params, from model.State, s *model.State) { looks(s, from.Name) })},
	{"DegradesBeforeFull", "the last place is taken in silence",
		to(model.Request, func(_ model.Params, from model.State, s *model.State) { looks(s, from.Name) })},
	{"ReadyzTellsTheState", "/readyz lags behind a signal",
		to(model.Signal, func(_ model.Params, from model.State, s *model.State) { s.Readyz = from.Readyz })},
	{"DegradedServesReads", "degradation sheds reads as well",
		to(model.Lose, func(_ model.Params, _ model.State, s *model.State) { s.Reads = false })},
	{"DegradedShedsWrites", "degradation sheds nothing",
		to(model.Lose, func(_ model.Params, from model.State, s *model.State) { s.Writes = from.Writes })},
	{"NothingBeforeOrAfter", "a draining node goes on admitting reads",
		to(model.Signal, func(_ model.Params, from model.State, s *model.State) { s.Reads = from.Reads })},
	{"WithinCaps", "one connection too many",
		add(model.Connect, func(s model.State) bool { return s.Conns == 2 }, func(s *model.State) { s.Conns++ })},
	{"WithinCaps", "one request too many",
		add(model.Request, func(s model.State) bool { return s.Places == 2 && s.Tokens > 0 },
			func(s *model.State) { s.Places++; s.Reading++; s.Tokens-- })},
	{"WithinCaps", "a bucket without a bottom",
		add(model.Request, func(s model.State) bool { return s.Tokens == 0 && s.Places == 0 && s.Conns > 0 },
			func(s *model.State) { s.Places++; s.Reading++; s.Tokens-- })},
	{"PlacesAreExact", "a crash loses its place",
		to(model.Cancel, func(_ model.Params, _ model.State, s *model.State) { s.Places++ })},
	{"PlacesAreExact", "a place comes back twice",
		to(model.Finish, func(_ model.Params, _ model.State, s *model.State) { s.Places = max(0, s.Places-1) })},
	{"StoppedIsQuiet", "the process exits over its work",
		to(model.Stop, func(_ model.Params, _ model.State, s *model.State) { s.Reading = 1; s.Places = 1 })},
	{"StoppedIsQuiet", "a failed start leaves a listener open",
		to(model.Fail, func(_ model.Params, _ model.State, s *model.State) { s.Listening = true })},
	{"GatesInOrder", "a gate comes up before the one before it",
		add(model.Up, func(s model.State) bool { return !s.Up[0] }, func(s *model.State) { s.Up[1] = true })},
	{"StartOnlyGrows", "a gate is lost during the start",
		add(model.Lose, func(s model.State) bool { return s.Name == model.Starting && s.Up[0] }, func(s *model.State) { s.Up[0] = false })},
	{"StateOrder", "a node that loses a gate starts again",
		to(model.Lose, func(_ model.Params, _ model.State, s *model.State) { looks(s, model.Starting) })},
	{"StateOrder", "a node exits without a drain",
		add(model.Stop, in(model.Ready), func(s *model.State) { looks(s, model.Stopped) })},
	{"DrainingNeverReturns", "the last gate wakes a draining node",
		to(model.Up, func(_ model.Params, _ model.State, s *model.State) {
			if !slices.Contains(s.Up, false) {
				looks(s, model.Ready)
			}
		})},
	{"AdmitsWhatItSays", "a write that was let in before the drain is counted after it",
		add(model.Request, func(s model.State) bool { return s.Name == model.Draining && s.Places == 0 && s.Tokens > 0 },
			func(s *model.State) { s.Places++; s.Writing++; s.Tokens-- })},
	{"OneTokenForOnePlace", "a refusal takes a token", func(_ model.Params, _ model.State, op model.Op, out []model.Outcome) []model.Outcome {
		if len(out) > 0 && out[0].Reason != "" && out[0].To.Tokens > 0 {
			out[0].To.Tokens--
		}
		return out
	}},
	{"OneTokenForOnePlace", "an admission takes no token",
		to(model.Request, func(_ model.Params, from model.State, s *model.State) { s.Tokens = from.Tokens })},
	{"FlipsFailNoWork", "degradation cuts the writes",
		to(model.Lose, func(_ model.Params, _ model.State, s *model.State) { s.Places -= s.Writing; s.Writing = 0 })},
	{"FlipsFailNoWork", "the signal cuts the reads",
		to(model.Signal, func(_ model.Params, _ model.State, s *model.State) { s.Places -= s.Reading; s.Reading = 0 })},
	{"RecoversFromCalmOnly", "the way back has no margin",
		add(model.Recover, in(model.Degraded), func(s *model.State) { looks(s, model.Ready) })},
	{"FlipBeforeClose", "the listeners close while the node is ready",
		add(model.Close, in(model.Ready), func(s *model.State) { s.Listening = false })},
	{"NoticeBeforeClose", "nobody waits 100 milliseconds",
		add(model.Close, func(s model.State) bool { return s.Name == model.Draining && s.Places == 0 && s.Listening }, func(s *model.State) { s.Listening = false })},
	{"NoticeBeforeClose", "degraded nodes close their listeners",
		add(model.Close, in(model.Degraded), func(s *model.State) { s.Listening = false })},
	{"DrainEndsInOrder", "the drain ends over the work in flight",
		add(model.Stop, func(s model.State) bool { return s.Name == model.Draining && s.Places > 0 }, func(s *model.State) { looks(s, model.Stopped); s.Exit = "clean" })},
	{"DrainEndsInOrder", "a drained node reports a failure",
		to(model.Stop, func(_ model.Params, _ model.State, s *model.State) { s.Exit = "failed" })},
	{"StartLeadsToReady", "the last gate is not noticed",
		to(model.Up, func(_ model.Params, from model.State, s *model.State) { looks(s, from.Name) })},
	{"StartLeadsToReady", "a start under pressure is never finished",
		to(model.Disconnect, func(_ model.Params, from model.State, s *model.State) { looks(s, from.Name) })},
	{"CalmLeadsToReady", "a degraded node stays degraded", never(model.Recover)},
	{"DrainEnds", "nobody cuts", never(model.Deadline)},
	{"DrainEnds", "the notice never ends", never(model.Notice)},
	{"DrainEnds", "the process stays", never(model.Stop)},
}

// only keeps one property of a machine.
func only(m explore.Machine[model.State, model.Op], property string) (explore.Machine[model.State, model.Op], bool) {
	m.Always = slices.DeleteFunc(m.Always, func(p explore.Invariant[model.State]) bool { return p.Name != property })
	m.Steps = slices.DeleteFunc(m.Steps, func(p explore.StepProperty[model.State]) bool { return p.Name != property })
	m.LeadsTo = slices.DeleteFunc(m.LeadsTo, func(p explore.LeadsTo[model.State]) bool { return p.Name != property })
	return m, len(m.Always)+len(m.Steps)+len(m.LeadsTo) == 1
}

// Each property fails when the fault is there that it is about.
func TestMutants(t *testing.T) {
	p := model.Small()
	seen := map[string]bool{}
	for _, mu := range mutants {
		seen[mu.property] = true
		t.Run(mu.property+": "+mu.fault, func(t *testing.T) {
			m, ok := only(model.Machine(p), mu.property)
			if !ok {
				t.Fatal("there is no such property")
			}
			next := m.Next
			m.Next = func(s model.State, op model.Op) []model.Outcome { return mu.change(p, s, op, next(s, op)) }
			_, err := explore.Explore(m, 10*limit)
			var v *explore.Violation
			if !errors.As(err, &v) || v.Property != mu.property {
				t.Fatalf("not caught: %v", err)
			}
		})
	}
	m := model.Machine(p)
	for _, i := range m.Always {
		if !seen[i.Name] {
			t.Errorf("no mutant for %s", i.Name)
		}
	}
	for _, s := range m.Steps {
		if !seen[s.Name] {
			t.Errorf("no mutant for %s", s.Name)
		}
	}
	for _, l := range m.LeadsTo {
		if !seen[l.Name] {
			t.Errorf("no mutant for %s", l.Name)
		}
		for i := range l.Fair { // and no fairness is claimed that is not needed
			m, _ := only(model.Machine(p), l.Name)
			m.LeadsTo = slices.Clone(m.LeadsTo)
			m.LeadsTo[0].Fair = slices.Delete(slices.Clone(l.Fair), i, i+1)
			if _, err := explore.Explore(m, limit); err == nil {
				t.Errorf("%s holds without the fairness of %s", l.Name, l.Fair[i])
			}
		}
	}
}
