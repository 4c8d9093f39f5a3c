package capability

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/spec"
)

// TestMachine walks the machines: the properties hold, and nothing of the alphabet is impossible.
func TestMachine(t *testing.T) {
	for name, p := range map[string]Params{"Small": Small(), "SmallStreams": SmallStreams()} {
		g, err := explore.Explore(Machine(p), 20_000)
		if err != nil {
			t.Fatal(err)
		}
		type edge struct {
			from, to int
			action   string
		}
		edges, taken := map[edge]bool{}, map[Op]bool{}
		for _, e := range g.Edges {
			edges[edge{e.From, e.To, e.Action}], taken[e.Op] = true, true
		}
		t.Logf("%s: %d states, %d edges, depth %d", name, len(g.States), len(edges), slices.Max(g.Depth))
		for _, op := range Machine(p).Ops {
			if !taken[op] {
				t.Errorf("%s: %v is never possible", name, op)
			}
		}
		actions := g.Actions()
		for kind := range kinds {
			if actions[string(kind)] == 0 && (kind != Attenuate || p.MaxTokens > 1) {
				t.Errorf("%s: %s is never taken", name, kind)
			}
		}
		denials(t, p, g)
		pure(t, p, g)
		refused := 2
		if p.MaxTokens > p.MaxRevocations { // so that the list of revoked ids can be full
			refused++
		}
		if actions["Use_unauth"] == 0 || actions["Use_forbidden"] == 0 || (actions["RevokeID_quota"] > 0) != (refused == 3) || len(actions) > len(kinds)+refused {
			t.Errorf("%s: the actions are %v", name, slices.Sorted(maps.Keys(actions)))
		}
	}
}

// denials: a refusal changes nothing, and whatever was refused with one reason had one outcome (CAP-DEN-004, CAP-REV-005).
func denials(t *testing.T, p Params, g *explore.Graph[State, Op]) {
	causes := map[string]bool{}
	for _, e := range g.Edges {
		switch {
		case e.Action == "Use_unauth" || e.Action == "Use_forbidden":
			causes[e.Action+strings.Join(e.Rules, " ")] = true
			if e.To != e.From {
				t.Fatalf("%v changes\n%s\nto\n%s", e.Op, g.Keys[e.From], g.Keys[e.To])
			}
		case e.Action == "RevokeID_quota": // CAP-REV-005
			if e.To != e.From || e.Op.Kind != RevokeID {
				t.Fatalf("%v changes\n%s\nto\n%s", e.Op, g.Keys[e.From], g.Keys[e.To])
			}
		case e.Op.Kind == Use && e.Action != "Use":
			t.Fatalf("%v has the action %s", e.Op, e.Action)
		}
	}
	want := len(Flaws) + 4
	if p.MaxTokens > 1 {
		want++ // nbf
	}
	if len(causes) != want {
		t.Errorf("%d causes of denial, want %d: %v", len(causes), want, slices.Sorted(maps.Keys(causes)))
	}
}

// pure: Next neither changes its argument nor shares memory with it that a later step changes.
func pure(t *testing.T, p Params, g *explore.Graph[State, Op]) {
	m := Machine(p)
	for i := 0; i < len(g.States); i += 61 {
		for _, op := range m.Ops {
			for _, o := range Next(p, g.States[i], op) {
				for _, again := range m.Ops {
					if again.Kind != Use {
						Next(p, o.To, again)
					}
				}
			}
		}
	}
	for i, s := range g.States {
		if key := m.Canon(s); key != g.Keys[i] {
			t.Fatalf("a step changed\n%s\nto\n%s", g.Keys[i], key)
		}
	}
}

// TestRoles: the table of roles is that of the law, and no operation is in two rows (CAP-ROL-001, CAP-ROL-002).
func TestRoles(t *testing.T) {
	var all Ops
	n := 0
	for _, r := range Roles {
		if r.Ops == 0 || all&r.Ops != 0 {
			t.Errorf("%s has no operation of its own, or one of another role: %v", r.Name, r.Ops)
		}
		all |= r.Ops
		n += len(r.Ops.Names())
	}
	if n != len(Operations) || all != 1<<len(Operations)-1 {
		t.Errorf("the roles have %d operations, and there are %d", n, len(Operations))
	}
}

// TestLargeParameters: under the numbers of the law, a day has as many seconds as a token can live.
func TestLargeParameters(t *testing.T) {
	p := Params{MaxTokens: 1 << 20, MaxKeys: 1 << 20, MaxStreams: 512, MaxRevocations: 1 << 16, Surfaces: 3,
		Ops: 1<<len(Operations) - 1, MaxLife: 86_401, DefaultLife: 901}
	s := Init(p)
	do := func(want string, op Op) {
		t.Helper()
		o := Next(p, s, op)
		if want == "" && o == nil {
			return
		}
		if len(o) != 1 || o[0].Action != want {
			t.Fatalf("%v: %+v, want %q", op, o, want)
		}
		s = o[0].To
	}
	get := Op{Kind: Use, Token: 1, Ops: OpsOf("get")}
	do("Mint", Op{Kind: Mint})
	do("Attenuate", Op{Kind: Attenuate, Token: 1, Caveat: "nbf >=", Seconds: 600})
	do("Rotate", Op{Kind: Rotate})
	do("", Op{Kind: DropKey, Key: 1})
	do("Tick", Op{Kind: Tick, Seconds: 599})
	do("Use", get)
	do("Use_unauth", Op{Kind: Use, Token: 2, Ops: OpsOf("get")})
	do("Tick", Op{Kind: Tick, Seconds: 301})
	do("Use", Op{Kind: Use, Token: 2, Ops: OpsOf("get")})
	do("Use_forbidden", Op{Kind: Use, Token: 2, Ops: OpsOf("audit")})
	do("Tick", Op{Kind: Tick, Seconds: 1})
	do("Use_unauth", get)
	do("", Op{Kind: Tick, Seconds: 1})
	do("End", Op{Kind: End, Stream: 1})
	do("End", Op{Kind: End, Stream: 2})
	do("DropKey", Op{Kind: DropKey, Key: 1})
	do("Mint", Op{Kind: Mint, Seconds: 86_401})
	do("", Op{Kind: Mint, Seconds: 86_402})
	do("RevokeID", Op{Kind: RevokeID, Token: 3})
	do("", Op{Kind: Tick, Seconds: 1})
	for surface := range 3 {
		do("TakeEffect", Op{Kind: TakeEffect, Surface: surface})
	}
	do("", Op{Kind: Forget, Token: 3})
	do("Tick", Op{Kind: Tick, Seconds: 86_400})
	do("", Op{Kind: Forget, Token: 3})
	do("Tick", Op{Kind: Tick, Seconds: 1})
	do("Forget", Op{Kind: Forget, Token: 3})
}

// admit is a request that is admitted whatever the verdict.
func admit(s State, op Op) []Outcome {
	free := slices.Index(s.Streams, Stream{})
	if free < 0 {
		return nil
	}
	s.Streams = slices.Clone(s.Streams)
	s.Streams[free] = Stream{op.Token, op.Ops}
	return step(Use, s, "CAP-DEN-001")
}

// unlawful are ways to break the law, by the property that has to notice. Each gets what the law permits and returns what
// is done instead.
var unlawful = map[string]func(p Params, s State, op Op, lawful []Outcome) []Outcome{
	"AttenuationNarrows": func(_ Params, _ State, op Op, lawful []Outcome) []Outcome {
		if op.Kind == Attenuate && op.Caveat == "op in" && lawful != nil { // the last caveat wins
			lawful[0].To.Tokens[len(lawful[0].To.Tokens)-1].Ops = op.Ops
		}
		return lawful
	},
	"RolesImplyNothing": func(_ Params, _ State, op Op, lawful []Outcome) []Outcome {
		if op.Kind == Mint && lawful != nil { // writers may read
			lawful[0].To.Tokens[len(lawful[0].To.Tokens)-1].Ops |= OpsOf("get")
		}
		return lawful
	},
	"EveryTokenExpires": func(p Params, _ State, op Op, lawful []Outcome) []Outcome {
		if op.Kind == Mint && lawful != nil {
			lawful[0].To.Tokens[len(lawful[0].To.Tokens)-1].Left = p.MaxLife + 1
		}
		return lawful
	},
	"OldLifeRefused": func(p Params, s State, op Op, lawful []Outcome) []Outcome {
		if op.Kind == Restart && lawful != nil { // the keys are found again
			lawful[0].To.Keys = s.rotated(p).Keys
		}
		return lawful
	},
	"OneCurrentKey": func(_ Params, s State, op Op, lawful []Outcome) []Outcome {
		if op.Kind == RevokeKey && lawful != nil { // the key signs on
			lawful[0].To.Keys = s.Keys
		}
		return lawful
	},
	"GraceIsBounded": func(_ Params, s State, op Op, lawful []Outcome) []Outcome {
		if op.Kind == Rotate && lawful != nil {
			lawful[0].To.Keys[len(s.Keys)-1].Grace++
		}
		return lawful
	},
	"InForceInTime": func(p Params, s State, op Op, lawful []Outcome) []Outcome {
		if op.Kind != Tick || lawful != nil { // a second passes although a surface has not heard
			return lawful
		}
		unheard := s.Revoked
		s.Revoked = nil
		o := tick(p, s, op)
		for _, r := range unheard {
			if o != nil {
				r.Late = true
				o[0].To.Revoked = append(o[0].To.Revoked, r)
			}
		}
		return o
	},
	"StreamsEndInTime": func(p Params, s State, op Op, lawful []Outcome) []Outcome {
		if op.Kind != Tick || lawful != nil { // a second passes although a stream has to end
			return lawful
		}
		open := s.Streams
		s.Streams = nil
		o := tick(p, s, op)
		if o != nil {
			o[0].To.Streams = open
		}
		return o
	},
	"NoUseBeyondOps": func(_ Params, s State, op Op, lawful []Outcome) []Outcome {
		if lawful != nil && lawful[0].Reason == spec.Forbidden {
			return admit(s, op)
		}
		return lawful
	},
	"NoUseExpired": func(_ Params, s State, op Op, lawful []Outcome) []Outcome {
		if op.Kind == Use && op.Token != 0 && lawful != nil && s.Tokens[op.Token-1].Left == 0 {
			op.Ops = 0 // it has none left
			return admit(s, op)
		}
		return lawful
	},
	"NoUseTooEarly": func(_ Params, s State, op Op, lawful []Outcome) []Outcome {
		if op.Kind == Use && op.Token != 0 && lawful != nil && s.Tokens[op.Token-1].Wait > 0 && s.Tokens[op.Token-1].Ops&op.Ops != 0 {
			return admit(s, op)
		}
		return lawful
	},
	"NoUseWithoutKey": func(_ Params, s State, op Op, lawful []Outcome) []Outcome {
		if op.Kind == Use && op.Token != 0 && lawful != nil && !s.held(s.Tokens[op.Token-1]) && s.Tokens[op.Token-1].Ops&op.Ops != 0 {
			return admit(s, op)
		}
		return lawful
	},
	"NoUseRevoked": func(_ Params, s State, op Op, lawful []Outcome) []Outcome {
		if op.Kind == Use && op.Token != 0 && lawful != nil && s.late(s.Tokens[op.Token-1]) && s.Tokens[op.Token-1].Ops&op.Ops != 0 {
			return admit(s, op)
		}
		return lawful
	},
	"NoOutage": func(_ Params, s State, op Op, lawful []Outcome) []Outcome {
		if op.Kind == Rotate && lawful != nil { // the old key goes at once
			lawful[0].To.Keys[len(s.Keys)-1] = Key{Is: "gone"}
		}
		return lawful
	},
	"DeadStaysDead": func(_ Params, s State, op Op, lawful []Outcome) []Outcome {
		if op.Kind == Forget && lawful == nil && len(s.Revoked) > 0 && s.Revoked[0].Late { // too early
			s.Revoked = s.Revoked[1:]
			return step(Forget, s, "CAP-REV-004")
		}
		return lawful
	},
	"RevocationsTakeEffect": func(_ Params, _ State, op Op, lawful []Outcome) []Outcome {
		if op.Kind == TakeEffect {
			return nil
		}
		return lawful
	},
	"DoomedStreamsEnd": func(_ Params, _ State, op Op, lawful []Outcome) []Outcome {
		if op.Kind == End {
			return nil
		}
		return lawful
	},
	"OldKeysGo": func(_ Params, s State, op Op, lawful []Outcome) []Outcome {
		if op.Kind == Tick && lawful != nil {
			lawful[0].To.Keys = s.Keys // without a timer
		}
		return lawful
	},
}

// TestProperties breaks the law in one way for each property, which then does not hold.
func TestProperties(t *testing.T) {
	names := []string{}
	p := Small()
	p.Surfaces, p.Ops = 1, OpsOf("get,put")
	m := Machine(p)
	for _, x := range m.Always {
		names = append(names, x.Name)
	}
	for _, x := range m.Steps {
		names = append(names, x.Name)
	}
	for _, x := range m.LeadsTo {
		names = append(names, x.Name)
	}
	if got := slices.Sorted(maps.Keys(unlawful)); !slices.Equal(got, slices.Sorted(slices.Values(names))) {
		t.Errorf("broken: %v\nproperties: %v", got, names)
	}
	for _, name := range names {
		broken := m
		broken.Next = func(s State, op Op) []Outcome { return unlawful[name](p, s, op, Next(p, s, op)) }
		_, err := explore.Explore(broken, 20_000)
		var v *explore.Violation
		if !errors.As(err, &v) || v.Property != name {
			t.Errorf("%s is broken and holds; instead: %v", name, err)
		}
	}
}
