package linear_test

import (
	"slices"

	"github.com/rustyonions/micronode/chaos/linear"
	"github.com/rustyonions/micronode/spec"
)

// What follows is written by hand from the law and shares no code with the checker. It knows amnesia, and objects that
// nobody damages: an address is stored or not.

// effect is what an answer says about an address: whether it was stored before and is stored after.
type effect struct{ before, after bool }

// effects lists what each answer to a sound request can mean.
func effects(o linear.Op) []effect {
	const no, yes = false, true
	anyway := []effect{{no, no}, {yes, yes}}
	if o.Fault != linear.Sound {
		return anyway // CAS-PUT-005; which answers fit is not asked here
	}
	switch o.Kind {
	case linear.Put:
		switch o.Answer {
		case linear.Created: // CAS-PUT-003
			return []effect{{no, yes}}
		case linear.Existed: // CAS-PUT-002
			return []effect{{yes, yes}}
		case linear.Answer(spec.StoreFull): // CAS-CAP-007, CAS-LIN-002
			return anyway
		}
	case linear.Get, linear.Stat:
		switch o.Answer {
		case linear.Bytes, linear.Size: // CAS-PUT-001, CAS-GET-004
			return []effect{{yes, yes}}
		case linear.Answer(spec.NotFound): // CAS-GET-001
			return []effect{{no, no}}
		}
	case linear.Has: // CAS-GET-002
		switch o.Answer {
		case linear.True:
			return []effect{{yes, yes}}
		case linear.False:
			return []effect{{no, no}}
		}
	case linear.Delete:
		switch o.Answer {
		case linear.Deleted: // CAS-DEL-001
			return []effect{{yes, no}}
		case linear.Answer(spec.NotFound): // CAS-DEL-002
			return []effect{{no, no}}
		}
	case linear.Restart: // AMN-RST-001
		return []effect{{no, no}, {yes, no}}
	}
	return nil
}

// maybe lists what can have become of an operation of which nothing is claimed (CAS-LIN-003).
func maybe(o linear.Op) []effect {
	list := []effect{{false, false}, {true, true}}
	if o.Fault != linear.Sound {
		return list
	}
	switch o.Kind {
	case linear.Put:
		list = append(list, effect{false, true})
	case linear.Delete, linear.Restart:
		list = append(list, effect{true, false})
	}
	return list
}

// possible tries all orders: is there one that explains the answers of the operations of h on each of its objects?
func possible(h linear.History) bool {
	for i := range h.Objects {
		ops := h.Only(i).Ops
		if !order(ops, make([]bool, len(ops)), false) && (h.Initial == linear.Empty || !order(ops, make([]bool, len(ops)), true)) {
			return false
		}
	}
	return true
}

// order puts some operation that may be next behind those that are done, and goes on; stored is the state so far.
func order(ops []linear.Op, done []bool, stored bool) bool {
	if !slices.Contains(done, false) {
		return true
	}
	for i, o := range ops {
		if done[i] || slices.ContainsFunc(ops, func(p linear.Op) bool { return !done[slices.Index(ops, p)] && precedes(p, o, ops) }) {
			continue
		}
		list := effects(o)
		if o.Answer == linear.Lost || o.Answer == linear.Forgotten {
			list = maybe(o)
		}
		for _, e := range list {
			if e.before != stored {
				continue
			}
			done[i] = true
			if order(ops, done, e.after) {
				return true
			}
			done[i] = false
		}
	}
	return false
}

// precedes says that p took effect before o: it had ended before o began, or only one of the two met the process that
// ended with a restart.
func precedes(p, o linear.Op, ops []linear.Op) bool {
	if p.Kind == linear.Restart && o.Kind == linear.Restart {
		return p.Return < o.Return
	}
	if o.Kind == linear.Restart {
		return p.Call < o.Return
	}
	if p.Kind == linear.Restart {
		return p.Return <= o.Call
	}
	between := slices.ContainsFunc(ops, func(r linear.Op) bool {
		return r.Kind == linear.Restart && p.Call < r.Return && r.Return <= o.Call
	})
	return between || p.Answer != linear.Lost && p.Return < o.Call
}

// failer is what *testing.T and *rapid.T have in common here.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// checkCore requires by brute force that a core is one: illegal, 1-minimal, and illegal in the history that it came
// from with every other claim forgotten.
func checkCore(t failer, h linear.History, core linear.Core) {
	t.Helper()
	if err := core.History.Validate(); err != nil {
		t.Fatalf("core: %v", err)
	}
	if len(core.History.Objects) != 1 || len(core.From) != len(core.History.Ops) {
		t.Fatalf("core of %d objects, %d operations from %d", len(core.History.Objects), len(core.History.Ops), len(core.From))
	}
	if possible(core.History) {
		t.Errorf("the core is legal: %v", core.Lines())
	}
	for i, o := range core.History.Ops {
		if o.Answer == linear.Forgotten || o.Answer == linear.Lost {
			continue
		}
		if fewer := core.History.Forget(i); len(fewer.Ops) > 0 && !possible(fewer) {
			t.Errorf("the core does not need operation %d, %s: %v", i, o, core.Lines())
		}
	}
	if core.History.Initial == linear.Empty {
		unknown := core.History
		unknown.Initial = linear.Unknown
		if !possible(unknown) {
			t.Errorf("the core does not need to begin empty: %v", core.Lines())
		}
	}
	if r, err := linear.Check(claims(h, core), limit); err != nil || r.Verdict != linear.Illegal {
		t.Errorf("with all but the core forgotten the history is %s, %v: %v", r.Verdict, err, core.Lines())
	}
}

// claims is the history that a core comes from without the claims that are not in the core.
func claims(h linear.History, core linear.Core) linear.History {
	h.Initial = core.History.Initial
	for i := len(h.Ops) - 1; i >= 0; i-- {
		k := slices.Index(core.From, i)
		if k < 0 || core.History.Ops[k].Answer == linear.Forgotten {
			h = h.Forget(i)
		}
	}
	return h
}
