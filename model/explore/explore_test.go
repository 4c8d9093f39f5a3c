package explore

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// A lamp with three steps of brightness that can break, and be stuck while it is bright.
type lamp struct {
	level  int
	broken bool
}

type act string

func (a act) String() string { return "someone does " + string(a) }

const rule = "CAS-PUT-001" // any rule of the law

func next(s lamp, a act) []Outcome[lamp] {
	to := func(l lamp) []Outcome[lamp] {
		return []Outcome[lamp]{{Action: string(a), Rules: []string{rule}, To: l}}
	}
	switch {
	case s.broken:
		return nil
	case a == "Up" && s.level < 2:
		return to(lamp{s.level + 1, false})
	case a == "Up":
		return []Outcome[lamp]{
			{Action: "Up_full", Reason: "quota", Rules: []string{rule}, To: s},
			{Action: "Break", Rules: []string{rule}, To: lamp{s.level, true}},
		}
	case a == "Down" && s.level > 0:
		return to(lamp{s.level - 1, false})
	}
	return nil
}

func machine() Machine[lamp, act] {
	return Machine[lamp, act]{
		Name: "Lamp", Ops: []act{"Up", "Down"}, Next: next,
		Canon: func(s lamp) string { return Vars("level", Int(s.level), "broken", Bool(s.broken)) },
	}
}

func TestExplore(t *testing.T) {
	g, err := Explore(machine(), 10)
	if err != nil {
		t.Fatal(err)
	}
	var edges []string
	for _, e := range g.Edges {
		edges = append(edges, fmt.Sprintf("%d %s %d", e.From, e.Action, e.To))
	}
	want := []string{"0 Up 1", "1 Up 2", "1 Down 0", "2 Up_full 2", "2 Break 3", "2 Down 1"}
	if len(g.States) != 4 || !slices.Equal(edges, want) || !slices.Equal(g.Depth, []int{0, 1, 2, 3}) {
		t.Errorf("%d states, depths %v, edges %q, want %q", len(g.States), g.Depth, edges, want)
	}
	if g.Keys[0] != "/\\ broken = FALSE\n/\\ level = 0" {
		t.Errorf("the first state reads %q", g.Keys[0])
	}
	if n := g.Actions(); n["Up"] != 2 || n["Break"] != 1 || len(n) != 4 {
		t.Errorf("actions %v", n)
	}
}

func TestRefusesModels(t *testing.T) {
	m := machine()
	if _, err := Explore(m, 3); err == nil {
		t.Error("four states fit into three")
	}
	m.Next = func(s lamp, a act) []Outcome[lamp] { return []Outcome[lamp]{{Action: "Up", To: s}} }
	if _, err := Explore(m, 10); err == nil {
		t.Error("an outcome without a rule was taken")
	}
	m.Next = func(s lamp, a act) []Outcome[lamp] { return []Outcome[lamp]{{Rules: []string{rule}, To: s}} }
	if _, err := Explore(m, 10); err == nil {
		t.Error("an outcome without an action was taken")
	}
}

func violated(t *testing.T, m Machine[lamp, act]) *Violation {
	t.Helper()
	_, err := Explore(m, 10)
	var v *Violation
	if !errors.As(err, &v) {
		t.Fatalf("got %v, want a violation", err)
	}
	return v
}

func way(steps []Step) string {
	var names []string
	for _, s := range steps {
		names = append(names, s.Action)
	}
	return strings.Join(names, " ")
}

func TestViolations(t *testing.T) {
	m := machine()
	m.Always = []Invariant[lamp]{{"Dim", []string{rule}, func(s lamp) bool { return s.level < 2 }}}
	v := violated(t, m)
	if v.Property != "Dim" || way(v.Way) != "Up Up" || v.Stays {
		t.Errorf("got %+v", v)
	}
	for _, part := range []string{"Dim does not hold", rule + ": Once a put is acknowledged", "1. someone does Up (Up)", "level = 2"} {
		if !strings.Contains(v.Error(), part) {
			t.Errorf("%q is not in\n%s", part, v)
		}
	}
	m = machine()
	m.Steps = []StepProperty[lamp]{{"Careful", []string{rule}, func(from lamp, o Outcome[lamp]) bool { return !o.To.broken }}}
	if v := violated(t, m); v.Property != "Careful" || way(v.Way) != "Up Up Break" {
		t.Errorf("got %+v", v)
	}
}

func TestLeadsTo(t *testing.T) {
	level := func(n int) func(lamp) bool { return func(s lamp) bool { return s.level == n && !s.broken } }
	or := func(a, b func(lamp) bool) func(lamp) bool { return func(s lamp) bool { return a(s) || b(s) } }
	broken := func(s lamp) bool { return s.broken }
	for _, c := range []struct {
		name       string
		from, to   func(lamp) bool
		fair       []string
		way, cycle string // of the counterexample; - where it holds
	}{
		{"without fairness it may stay", level(1), level(0), nil, "Up", ""},
		{"fair, but it may go up and down for ever", level(0), broken, []string{"Up", "Down"}, "", "Up Down"},
		{"fair, and there is no way round", level(2), or(level(1), broken), []string{"Down"}, "-", ""},
		{"a refusal is no progress", level(2), or(level(1), broken), []string{"Up_full"}, "Up Up", ""},
		{"an end is an end", level(2), level(1), []string{"Down", "Up"}, "Up Up Break", ""},
		{"at once", level(2), level(2), nil, "-", ""},
		{"breaking is fair", level(2), or(level(1), broken), []string{"Break"}, "-", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := machine()
			m.LeadsTo = []LeadsTo[lamp]{{"Live", []string{rule}, c.from, c.to, c.fair}}
			if c.way == "-" {
				if _, err := Explore(m, 10); err != nil {
					t.Fatal(err)
				}
				return
			}
			v := violated(t, m)
			if !v.Stays || way(v.Way) != c.way || (way(v.Cycle) == "") != (c.cycle == "") {
				t.Errorf("way %q, cycle %q, want %q, %q", way(v.Way), way(v.Cycle), c.way, c.cycle)
			}
			if c.cycle != "" && v.Cycle[len(v.Cycle)-1].State != v.Start && len(v.Way) == 0 {
				t.Errorf("the round trip %q does not come back", way(v.Cycle))
			}
		})
	}
}

func TestTours(t *testing.T) {
	g, err := Explore(machine(), 10)
	if err != nil {
		t.Fatal(err)
	}
	check := func(tours []Tour, allowed func(int) bool) map[int]bool {
		taken := map[int]bool{}
		for _, tour := range tours {
			at := 0
			for _, e := range tour {
				if g.Edges[e].From != at || !allowed(e) {
					t.Fatalf("the tour %v is no walk along allowed edges", tour)
				}
				taken[e], at = true, g.Edges[e].To
			}
		}
		return taken
	}
	all := func(int) bool { return true }
	for limit := range 12 {
		tours, missed := g.Tours(limit, all, all)
		if taken := check(tours, all); len(taken) != len(g.Edges) || len(missed) != 0 {
			t.Errorf("limit %d: %d of %d edges, missed %v", limit, len(taken), len(g.Edges), missed)
		}
	}
	part := func(e int) bool { return g.Edges[e].Action != "Up" || g.Edges[e].From != 1 }
	tours, missed := g.Tours(10, part, all)
	if taken := check(tours, part); len(taken) != 2 || len(missed) != 4 {
		t.Errorf("behind an edge that may not be taken: %d taken, missed %v", len(taken), missed)
	}
	refusal := func(e int) bool { return g.Edges[e].Action == "Up_full" }
	tours, missed = g.Tours(10, all, refusal)
	if taken := check(tours, all); len(tours) != 1 || len(tours[0]) != 3 || len(taken) != 3 || len(missed) != 0 {
		t.Errorf("one wanted edge: tours %v, missed %v", tours, missed)
	}
}

func TestText(t *testing.T) {
	for got, want := range map[string]string{
		Set(Int(2), Int(1), Int(2)):            "{1, 2}",
		Set():                                  "{}",
		Seq():                                  "<<>>",
		Seq(Str("b"), Str("a")):                `<<"b", "a">>`,
		Rec("b", Bool(true), "a", Bool(false)): "[a |-> FALSE, b |-> TRUE]",
		Vars("y", Int(-1), "x", Set(Seq(Int(0)))): "/\\ x = {<<0>>}\n/\\ y = -1",
	} {
		if got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
