package linear_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rustyonions/micronode/chaos/linear"
	"github.com/rustyonions/micronode/spec"
)

// possibleAnswers are those that the oracle knows something about.
var possibleAnswers = map[linear.Kind][]linear.Answer{
	linear.Put:     {linear.Created, linear.Existed, linear.Answer(spec.StoreFull), linear.Lost, linear.Forgotten},
	linear.Get:     {linear.Bytes, linear.Answer(spec.NotFound), linear.Lost},
	linear.Has:     {linear.True, linear.False},
	linear.Stat:    {linear.Size, linear.Answer(spec.NotFound)},
	linear.Delete:  {linear.Deleted, linear.Answer(spec.NotFound), linear.Lost, linear.Forgotten},
	linear.Restart: {linear.Restarted},
}

// drawKind draws a restart less often than anything else.
func drawKind(t *rapid.T) linear.Kind {
	return rapid.SampledFrom([]linear.Kind{linear.Put, linear.Put, linear.Put, linear.Delete, linear.Delete, linear.Delete,
		linear.Get, linear.Has, linear.Stat, linear.Restart}).Draw(t, "kind")
}

// anyHistory draws answers and times without a thought. Most such histories are illegal.
func anyHistory(t *rapid.T) linear.History {
	h := blank(t)
	for i := range rapid.IntRange(1, 7).Draw(t, "operations") {
		o := linear.Op{Client: i, Request: linear.Request{Kind: drawKind(t)}}
		if o.Kind != linear.Restart {
			o.Object = rapid.IntRange(0, 1).Draw(t, "object")
		}
		o.Answer = rapid.SampledFrom(possibleAnswers[o.Kind]).Draw(t, "answer")
		if o.Kind == linear.Put && rapid.IntRange(0, 5).Draw(t, "faulty") == 0 {
			o.Fault, o.Answer = linear.Cancelled, linear.GivenUp
		}
		o.Call = int64(rapid.IntRange(0, 20).Draw(t, "call"))
		o.Return = o.Call + int64(rapid.IntRange(0, 12).Draw(t, "length"))
		h.Ops = append(h.Ops, o)
	}
	return h
}

func blank(t *rapid.T) linear.History {
	return linear.History{
		Subject: "oracle",
		Initial: rapid.SampledFrom([]linear.Initial{linear.Empty, linear.Unknown}).Draw(t, "initial"),
		Objects: []linear.Object{{Size: 1}, {Address: spec.Address{1}, Size: 1}},
	}
}

// legalHistory draws an order of effects first, then times around them, and last hides some answers.
func legalHistory(t *rapid.T) linear.History {
	h := blank(t)
	stored := make([]bool, len(h.Objects))
	if h.Initial == linear.Unknown {
		stored[0] = rapid.Bool().Draw(t, "stored")
	}
	after := int64(0) // the last restart
	for i := range rapid.IntRange(1, 9).Draw(t, "operations") {
		o := linear.Op{Client: i, Request: linear.Request{Kind: drawKind(t)}}
		at := int64(10 * (i + 1))
		o.Call = max(after, at-int64(rapid.IntRange(0, 30).Draw(t, "before")))
		o.Return = at + int64(rapid.IntRange(0, 30).Draw(t, "after"))
		if o.Kind == linear.Restart {
			o.Return, o.Answer, after = at, linear.Restarted, at
			clear(stored)
			h.Ops = append(h.Ops, o)
			continue
		}
		o.Object = rapid.IntRange(0, 1).Draw(t, "object")
		var fitting []linear.Answer
		for _, o.Answer = range possibleAnswers[o.Kind] {
			for _, e := range effects(o) {
				if e.before == stored[o.Object] && !slices.Contains(fitting, o.Answer) {
					fitting = append(fitting, o.Answer)
				}
			}
		}
		o.Answer = rapid.SampledFrom(fitting).Draw(t, "answer")
		for _, e := range effects(o) {
			if e.before == stored[o.Object] {
				stored[o.Object] = e.after
				break
			}
		}
		if rapid.IntRange(0, 4).Draw(t, "hidden") == 0 {
			o.Answer = rapid.SampledFrom([]linear.Answer{linear.Lost, linear.Forgotten}).Draw(t, "as")
		}
		h.Ops = append(h.Ops, o)
	}
	return h
}

func verdict(t *rapid.T, h linear.History) linear.Verdict {
	r, err := linear.Check(h, limit)
	if err != nil {
		t.Fatalf("%v: %v", err, h.Ops)
	}
	return r.Verdict
}

// TestCheckAgreesWithOracle compares the checker with the search of all orders. Both verdicts have to occur often.
func TestCheckAgreesWithOracle(t *testing.T) {
	seen := map[linear.Verdict]int{}
	rapid.Check(t, func(t *rapid.T) {
		for range 20 {
			h := anyHistory(t)
			want := linear.Illegal
			if possible(h) {
				want = linear.Legal
			}
			if got := verdict(t, h); got != want {
				t.Fatalf("%s, the oracle says %s: %s %v", got, want, h.Initial, h.Ops)
			}
			seen[want]++
		}
	})
	t.Log(seen)
	if seen[linear.Legal] < 200 || seen[linear.Illegal] < 200 {
		t.Errorf("%v: too few of one kind to mean anything", seen)
	}
}

// TestForgettingKeepsLegal forgets claims of legal histories one after the other.
func TestForgettingKeepsLegal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := legalHistory(t)
		for {
			if v := verdict(t, h); v != linear.Legal {
				t.Fatalf("%s: %s %v", v, h.Initial, h.Ops)
			}
			if len(h.Ops) < 2 {
				return
			}
			if rapid.IntRange(0, 4).Draw(t, "beginning") == 0 {
				h.Initial = linear.Unknown
			}
			before := len(h.Ops)
			i := rapid.IntRange(0, before-1).Draw(t, "forget")
			open := h.Ops[i].Answer == linear.Forgotten || h.Ops[i].Answer == linear.Lost
			if h = h.Forget(i); len(h.Ops) == before && open {
				return // nothing is claimed there any more
			}
		}
	})
}

// nearlyLegal draws a legal history and changes one answer. When it is illegal, the reason is not always a simple one.
func nearlyLegal(t *rapid.T) linear.History {
	h := legalHistory(t)
	o := &h.Ops[rapid.IntRange(0, len(h.Ops)-1).Draw(t, "wrong")]
	o.Answer = rapid.SampledFrom(possibleAnswers[o.Kind]).Draw(t, "instead")
	return h
}

// crowd draws new puts and deletes of one object that overlap widely, between two looks at it. What is wrong with them
// shows only when many are taken together.
func crowd(t *rapid.T) linear.History {
	h := blank(t)
	add := func(k linear.Kind, a linear.Answer, call, ret int) {
		h.Ops = append(h.Ops, linear.Op{Client: len(h.Ops), Request: linear.Request{Kind: k}, Call: int64(call), Return: int64(ret), Answer: a})
	}
	for range rapid.IntRange(2, 6).Draw(t, "operations") {
		call, ret := rapid.IntRange(3, 9).Draw(t, "call"), rapid.IntRange(9, 15).Draw(t, "return")
		if rapid.Bool().Draw(t, "put") {
			add(linear.Put, linear.Created, call, ret)
		} else {
			add(linear.Delete, linear.Deleted, call, ret)
		}
	}
	for _, at := range []int{1, 16} {
		add(linear.Has, rapid.SampledFrom([]linear.Answer{linear.True, linear.False}).Draw(t, "has"), at, at+1)
	}
	return h
}

// TestCoresOfSmallHistories minimises small illegal histories and checks every core by brute force (checkCore); legal ones
// are refused.
func TestCoresOfSmallHistories(t *testing.T) {
	sizes := map[int]int{}
	rapid.Check(t, func(t *rapid.T) {
		for i := range 9 {
			h := []func(*rapid.T) linear.History{anyHistory, nearlyLegal, crowd}[i%3](t)
			core, err := linear.Minimise(h, limit)
			if possible(h) {
				if !errors.Is(err, spec.Malformed) {
					t.Fatalf("minimising a legal history: %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			checkCore(t, h, core)
			if possible(claims(h, core)) {
				t.Fatalf("the core does not follow from the history: %v from %v", core.Lines(), h.Ops)
			}
			sizes[len(core.History.Ops)]++
		}
	})
	t.Logf("cores by size: %v", sizes)
	larger := 0
	for size, n := range sizes {
		if size > 2 {
			larger += n
		}
	}
	if larger < 20 {
		t.Errorf("only %d cores have more than two operations: the histories are too simple to mean anything", larger)
	}
}

// TestBorderStays minimises a history whose core needs the border that a restart is, even where nothing is claimed about
// the restart itself.
func TestBorderStays(t *testing.T) {
	h := linear.History{Initial: linear.Empty, Objects: []linear.Object{{Size: 1}}, Ops: []linear.Op{
		{Client: 0, Request: linear.Request{Kind: linear.Put}, Call: 1, Return: 2, Answer: linear.Created},
		{Client: 0, Request: linear.Request{Kind: linear.Delete}, Call: 5, Return: 30, Answer: linear.Deleted},
		{Client: 1, Request: linear.Request{Kind: linear.Restart}, Call: 6, Return: 10, Answer: linear.Forgotten},
		{Client: 2, Request: linear.Request{Kind: linear.Get}, Call: 12, Return: 20, Answer: linear.Bytes},
	}}
	core, err := linear.Minimise(h, limit)
	if err != nil {
		t.Fatal(err)
	}
	checkCore(t, h, core)
}

// TestUndecided asks for more than can be found out in the time: no order explains the operations, and there are very
// many. That is neither legal nor illegal.
func TestUndecided(t *testing.T) {
	h := linear.History{Initial: linear.Empty, Objects: []linear.Object{{Size: 1}}}
	for i := range 40 {
		o := linear.Op{Client: i, Request: linear.Request{Kind: linear.Put}, Call: 1, Return: 2, Answer: linear.Created}
		if i%2 == 1 {
			o.Kind, o.Answer = linear.Delete, linear.Deleted
		}
		h.Ops = append(h.Ops, o)
	}
	h.Ops = append(h.Ops, linear.Op{Client: 40, Request: linear.Request{Kind: linear.Has}, Call: 3, Return: 4, Answer: linear.True})
	const moment = time.Millisecond
	if r, err := linear.Check(h, moment); err != nil || r.Verdict != linear.Undecided {
		t.Errorf("%s, %v", r.Verdict, err)
	}
	if _, err := linear.Minimise(h, moment); !errors.Is(err, spec.Timeout) {
		t.Errorf("minimising what can not be decided: %v", err)
	}
}

// TestNaiveRemoval shows why cores are not made by leaving operations out: a legal history becomes illegal.
func TestNaiveRemoval(t *testing.T) {
	put := linear.Op{Client: 0, Request: linear.Request{Kind: linear.Put}, Call: 1, Return: 2, Answer: linear.Created}
	get := linear.Op{Client: 1, Request: linear.Request{Kind: linear.Get}, Call: 3, Return: 4, Answer: linear.Bytes}
	h := linear.History{Initial: linear.Empty, Objects: []linear.Object{{Size: 1}}, Ops: []linear.Op{put, get}}
	expect := func(h linear.History, want linear.Verdict) {
		t.Helper()
		if r, err := linear.Check(h, limit); err != nil || r.Verdict != want {
			t.Errorf("%s, %v: %v, want %s", r.Verdict, err, h.Ops, want)
		}
	}
	expect(h, linear.Legal)
	without := h
	without.Ops = []linear.Op{get}
	expect(without, linear.Illegal)
	expect(h.Forget(0), linear.Legal)
}
