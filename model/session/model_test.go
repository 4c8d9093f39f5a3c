package session

import (
	"errors"
	"maps"
	"slices"
	"testing"

	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/spec"
)

// presets stand in the order of their size: where one is enough, it is the cheap one.
var presets = []struct {
	name string
	p    Params
}{{"Session-credit", SmallCredit()}, {"Session", Small()}}

const stateLimit = 20_000

// TestModel explores the model: every property holds, and nothing in its alphabet is dead.
func TestModel(t *testing.T) {
	taken := map[Kind]bool{}
	for _, preset := range presets {
		name := preset.name
		m := Machine(preset.p)
		g, err := explore.Explore(m, stateLimit)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ops := map[Op]int{}
		for _, e := range g.Edges {
			ops[e.Op]++
			taken[e.Op.Kind] = true
		}
		for _, op := range m.Ops {
			if ops[op] == 0 {
				t.Errorf("%s: never taken: %v", name, op)
			}
		}
		actions := g.Actions()
		t.Logf("%s: %d states, %d edges, depth %d, %d operations, %d actions", name, len(g.States), len(g.Edges),
			slices.Max(g.Depth), len(m.Ops), len(actions))
		for _, a := range slices.Sorted(maps.Keys(actions)) {
			t.Logf("%8d %s", actions[a], a)
		}
	}
	for kind := range operations {
		if !taken[kind] {
			t.Errorf("no preset has a %s", kind)
		}
	}
}

// TestNextIsPure wants Next to leave its argument alone and to answer alike when asked again.
func TestNextIsPure(t *testing.T) {
	p := SmallCredit()
	m := Machine(p)
	g, err := explore.Explore(m, stateLimit)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range g.States {
		for _, op := range m.Ops {
			once := Next(p, s, op)
			again := Next(p, s, op)
			if len(once) != len(again) || len(once) == 1 && (once[0].Action != again[0].Action || canon(once[0].To) != canon(again[0].To)) {
				t.Fatalf("%v has two answers", op)
			}
			if canon(s) != g.Keys[i] {
				t.Fatalf("%v changed the state that it was asked about", op)
			}
		}
	}
}

// bad is a step that no law permits: it changes s, with the eye on the stream corr, where it can.
type bad func(p Params, s *State, st *Stream, corr int) bool

// broken are connections that do something bad, or never do something. Each breaks the property that it is listed under.
var broken = map[string][]struct {
	about string
	does  bad
	never []string // actions
}{
	"HelloFirst": {{about: "a START is counted before HELLO", does: func(_ Params, s *State, _ *Stream, _ int) bool {
		s.Last = 1
		return s.Phase == New
	}}},
	"StreamLimit": {{about: "a place too many", does: func(p Params, s *State, st *Stream, corr int) bool {
		s.Last = corr
		*st = Stream{Mode: Half}
		return s.Phase == Up && held(*s) > p.MaxStreams
	}}},
	"NothingAhead": {{about: "a START that does not use up its corr_id", does: func(_ Params, s *State, st *Stream, corr int) bool {
		*st = Stream{Mode: Half}
		return s.Phase == Up && corr > s.Last
	}}},
	"WithinWindow": {
		{about: "the node sends without credit", does: func(_ Params, s *State, st *Stream, _ int) bool {
			st.Moved++
			return st.Req == Get && st.Ended && st.Moved <= st.Total
		}},
		{about: "the node takes what is beyond the window", does: func(_ Params, s *State, st *Stream, _ int) bool {
			st.Moved++
			return st.Req == Put && !st.Ended && st.Moved <= st.Total
		}},
	},
	"HonestCounts": {
		{about: "an ACK for what did not come", does: func(_ Params, s *State, st *Stream, _ int) bool {
			st.Acked = st.Moved + 1
			return st.Req == Put
		}},
		{about: "a body beyond its length", does: func(_ Params, s *State, st *Stream, _ int) bool {
			st.Moved++
			return st.Req == Put && st.Moved == st.Total+1
		}},
	},
	"WholeRequests": {
		{about: "END of a short body", does: func(_ Params, s *State, st *Stream, _ int) bool {
			st.Ended = true
			return st.Req == Put
		}},
		{about: "a get is answered before its END", does: func(_ Params, s *State, st *Stream, _ int) bool {
			st.Moved++
			return st.Req == Get && st.Moved == 1
		}},
	},
	"NoRequestAfterEOF": {{about: "EOF forgets the requests that are not complete", does: func(_ Params, s *State, _ *Stream, _ int) bool {
		s.EOF = true
		return count(*s, Open) > 0
	}}},
	"StaysForAnswersOnly": {
		{about: "draining for nobody", does: func(_ Params, s *State, _ *Stream, _ int) bool {
			s.Draining = true
			return s.Phase == Up
		}},
		{about: "the last answer does not end it", does: func(_ Params, s *State, st *Stream, _ int) bool {
			over := s.EOF && st.Mode == Open
			*st = Stream{Mode: Answered}
			return over
		}},
	},
	"CorrIdsGrow": {{about: "latest is not highest", does: func(_ Params, s *State, _ *Stream, corr int) bool {
		back := s.Phase == Up && corr < s.Last
		s.Last = corr
		return back
	}}},
	"OpenedByItsStart": {{about: "a frame opens a stream that was passed over", does: func(_ Params, s *State, st *Stream, corr int) bool {
		skipped := corr < s.Last && st.Mode == None
		*st = Stream{Mode: Half}
		return skipped
	}}},
	"OverIsOver": {
		{about: "an answer behind CANCEL", does: func(_ Params, s *State, st *Stream, _ int) bool {
			cancelled := st.Mode == Over
			*st = Stream{Mode: Answered}
			return cancelled
		}},
		{about: "an ERROR behind the answer", does: func(_ Params, s *State, st *Stream, _ int) bool {
			answered := st.Mode == Answered
			*st = Stream{Mode: Half}
			return answered
		}},
	},
	"OneLastWord": {{about: "an answer behind an ERROR", does: func(_ Params, s *State, st *Stream, _ int) bool {
		half := st.Mode == Half
		*st = Stream{Mode: Answered}
		return half
	}}},
	"AnswersAreWhole": {
		{about: "an answer before END", does: func(_ Params, s *State, st *Stream, _ int) bool {
			early := st.Mode == Open && !st.Ended
			*st = Stream{Mode: Answered}
			return early
		}},
		{about: "an answer before the body", does: func(_ Params, s *State, st *Stream, _ int) bool {
			early := st.Req == Get && st.Ended && st.Moved < st.Total
			*st = Stream{Mode: Answered}
			return early
		}},
		{about: "an answer before the ACK", does: func(p Params, s *State, st *Stream, _ int) bool {
			early := st.Ended && Due(p, *st) > st.Acked
			*st = Stream{Mode: Answered}
			return early
		}},
	},
	"NothingGoesBack": {
		{about: "credit goes back", does: func(_ Params, s *State, st *Stream, _ int) bool {
			st.Acked--
			return st.Acked >= 0
		}},
		{about: "END is taken back", does: func(_ Params, s *State, st *Stream, _ int) bool {
			ended := st.Ended
			st.Ended = false
			return ended
		}},
	},
	"OneAtATime": {{about: "a refusal ends all streams", does: func(_ Params, s *State, _ *Stream, _ int) bool {
		more := count(*s, Open) > 1
		for i, st := range s.Streams {
			if st.Mode == Open {
				s.Streams[i] = Stream{Mode: Half}
			}
		}
		return more
	}}},
	"NothingNewWhenDraining": {
		{about: "a START gets in", does: func(p Params, s *State, st *Stream, corr int) bool {
			fresh := s.Draining && corr > s.Last && held(*s) < p.MaxStreams
			s.Last = corr
			*st = Stream{Mode: Open, Req: Has}
			return fresh
		}},
		{about: "draining is called off", does: func(_ Params, s *State, _ *Stream, _ int) bool {
			was := s.Draining
			s.Draining = false
			return was
		}},
	},
	"ClosedForGood": {{about: "a closed connection comes back", does: func(_ Params, s *State, _ *Stream, _ int) bool {
		was := s.Phase == Closed
		s.Phase = Up
		return was
	}}},
	"GreetedOrGone":     {{about: "no limit for HELLO", never: []string{"HelloTimeout_bad_hello"}}},
	"IdleEnds":          {{about: "no limit for idle connections", never: []string{"IdleTimeout_timeout"}}},
	"DrainingEnds":      {{about: "no limit for draining", never: []string{"DrainTimeout_draining"}}},
	"GoneWithItsClient": {{about: "no limit for streams", never: []string{"StreamTimeout_timeout"}}},
	"StreamsEnd":        {{about: "no limit for streams", never: []string{"StreamTimeout_timeout"}}},
	"HalfClosedGo":      {{about: "no limit for half-closed streams", never: []string{"HalfClosedTimeout"}}},
	"AcksComeInTime":    {{about: "the node sends no ACK", never: []string{"SendAck"}}},
}

// TestBroken breaks the model, once for each property at least, and wants that property to notice.
func TestBroken(t *testing.T) {
	for property, list := range broken {
		for _, b := range list {
			t.Run(property+"/"+b.about, func(t *testing.T) {
				t.Parallel()
				for _, preset := range presets {
					m := only(Machine(preset.p), property)
					m.Next = func(s State, op Op) []Outcome {
						return breakNext(preset.p, s, op, b.does, b.never)
					}
					_, err := explore.Explore(m, stateLimit)
					var v *explore.Violation
					if errors.As(err, &v) && v.Property == property {
						return
					}
					if err != nil && v == nil {
						t.Fatalf("%s: %v", preset.name, err)
					}
				}
				t.Error("not noticed")
			})
		}
	}
	all := Machine(Small())
	for _, name := range names(all) {
		if len(broken[name]) == 0 {
			t.Errorf("nothing is known to break %s", name)
		}
	}
}

// breakNext is Next with a bad outcome to StreamTimeout, and without the actions that never come.
func breakNext(p Params, s State, op Op, does bad, never []string) []Outcome {
	outs := slices.DeleteFunc(Next(p, s, op), func(o Outcome) bool { return slices.Contains(never, o.Action) })
	if does == nil || op.Kind != StreamTimeout {
		return outs
	}
	s.Streams = slices.Clone(s.Streams)
	if does(p, &s, &s.Streams[op.Corr-1], op.Corr) {
		outs = append(outs, Outcome{Action: "Bad", Rules: []string{"OAP-SES-015"}, To: s})
	}
	return outs
}

func names(m explore.Machine[State, Op]) (all []string) {
	for _, x := range m.Always {
		all = append(all, x.Name)
	}
	for _, x := range m.Steps {
		all = append(all, x.Name)
	}
	for _, x := range m.LeadsTo {
		all = append(all, x.Name)
	}
	return all
}

// only is m with one of its properties.
func only(m explore.Machine[State, Op], name string) explore.Machine[State, Op] {
	m.Always = slices.DeleteFunc(m.Always, func(x explore.Invariant[State]) bool { return x.Name != name })
	m.Steps = slices.DeleteFunc(m.Steps, func(x explore.StepProperty[State]) bool { return x.Name != name })
	m.LeadsTo = slices.DeleteFunc(m.LeadsTo, func(x explore.LeadsTo[State]) bool { return x.Name != name })
	return m
}

// TestReal asks the model under the numbers of the law: 64 streams at once, and a window of 32 in both directions.
func TestReal(t *testing.T) {
	p := Real(70)
	s := Init(p)
	do := func(op Op, want string) {
		t.Helper()
		outs := Next(p, s, op)
		if len(outs) != 1 || outs[0].Action != want {
			t.Fatalf("%v: %+v, want %s", op, outs, want)
		}
		s = outs[0].To
	}
	do(Op{Kind: Hello}, "Hello")
	for c := range 64 {
		do(Op{Kind: Start, Corr: c + 1, Req: Put, Acks: true, Total: 40}, "Start")
	}
	do(Op{Kind: Start, Corr: 65, Req: Has, End: true}, "Start_too_many_streams")
	for range 32 {
		do(Op{Kind: Data, Corr: 1}, "Data")
	}
	do(Op{Kind: SendAck, Corr: 1}, "SendAck")
	for range 8 {
		do(Op{Kind: Data, Corr: 1}, "Data")
	}
	do(Op{Kind: End, Corr: 1}, "End")
	do(Op{Kind: SendAck, Corr: 1}, "SendAck")
	do(Op{Kind: Answer, Corr: 1}, "Answer")
	for range 32 {
		do(Op{Kind: Data, Corr: 2}, "Data")
	}
	do(Op{Kind: Data, Corr: 2}, "Data_credit_violation")
	do(Op{Kind: End, Corr: 2}, "Release")
	do(Op{Kind: Start, Corr: 66, Req: Get, Acks: true, End: true, Total: 40}, "Start")
	for range 32 {
		do(Op{Kind: SendData, Corr: 66}, "SendData")
	}
	if outs := Next(p, s, Op{Kind: SendData, Corr: 66}); outs != nil {
		t.Fatal("sent beyond the window: OAP-CRD-006")
	}
	do(Op{Kind: Ack, Corr: 66, UpTo: 33}, "Ack_credit_violation")
}

// TestWords shows operations as people read them.
func TestWords(t *testing.T) {
	for op, want := range map[Op]string{
		{Kind: Start, Corr: 2, Req: Put, Acks: true, Why: spec.Quota}: "START on stream 2: put, ACK_REQ, quota",
		{Kind: Ack, Corr: 1, UpTo: 3}:                                 "ACK on stream 1: up to 3",
		{Kind: Data, Corr: 1, Flaw: Gap | Sealed}:                     "DATA on stream 1: sealed, gap",
		{Kind: Drain}: "draining begins",
	} {
		if op.String() != want {
			t.Errorf("%q, want %q", op, want)
		}
	}
}
