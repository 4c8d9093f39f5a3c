package amnesia_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/rustyonions/micronode/model/amnesia"
	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/spec"
)

type (
	state   = amnesia.State
	op      = amnesia.Op
	outcome = amnesia.Outcome
	machine = explore.Machine[state, op]
)

// actions are all that the model has.
var actions = []string{
	"Start", "Start_malformed", "Shutdown", "Exit", "Crash", "Overwrite", "Connect", "Close", "Present", "Wipe", "Arrive",
	"Arrive_draining", "Take", "Take_store_full", "Take_draining", "Commit", "CommitAgain", "Commit_bad_digest", "Commit_draining", "Get",
	"Get_not_found", "Get_draining", "Send", "Done", "Cancel", "Timeout", "Revoke", "Delete", "Delete_not_found",
	"Delete_draining", "MakeKey", "Use", "Use_unauth", "Expire", "Drop", "Purge",
}

// TestMachine explores both presets: every property holds, and nothing in the alphabet is dead.
func TestMachine(t *testing.T) {
	for name, p := range map[string]amnesia.Params{"Small": amnesia.Small(), "SmallKeys": amnesia.SmallKeys()} {
		m := amnesia.Machine(p)
		g, err := explore.Explore(m, 8_000)
		if err != nil {
			t.Fatal(err)
		}
		taken := g.Actions()
		t.Logf("%s: %d states, %d steps, depth %d, %v", name, len(g.States), len(g.Edges), slices.Max(g.Depth), taken)
		used := map[op]bool{}
		for _, e := range g.Edges {
			used[e.Op] = true
			if !slices.Contains(actions, e.Action) {
				t.Errorf("%s: the action %s is not listed", name, e.Action)
			}
		}
		for _, o := range m.Ops {
			if !used[o] {
				t.Errorf("%s: %v never has an outcome", name, o)
			}
		}
		for _, a := range actions {
			// The second copy of an object needs a second slot.
			if taken[a] == 0 && (name == "Small" || a != "CommitAgain") {
				t.Errorf("%s: the action %s is never taken", name, a)
			}
		}
	}
}

// TestRefusals holds every refusal to CAS-PUT-005: it changes nothing, but that the request it ends is over.
func TestRefusals(t *testing.T) {
	p := amnesia.Small()
	g, err := explore.Explore(amnesia.Machine(p), 8_000)
	if err != nil {
		t.Fatal(err)
	}
	refusals, changed := 0, 0
	for _, s := range g.States {
		before := amnesia.Canon(s)
		for _, o := range amnesia.Ops(p) {
			for _, out := range amnesia.Next(p, s, o) {
				if out.Reason == spec.None {
					continue
				}
				refusals++
				after := amnesia.Canon(out.To)
				if after == before {
					continue
				}
				changed++
				cancelled := amnesia.Next(p, s, op{Kind: "Cancel", Conn: o.Conn})
				if o.Conn == 0 || len(cancelled) != 1 || after != amnesia.Canon(cancelled[0].To) {
					t.Fatalf("%s:\n%s\nbecomes\n%s", out.Action, before, after)
				}
			}
		}
		if amnesia.Canon(s) != before {
			t.Fatalf("Next changed its argument:\n%s\nis now\n%s", before, amnesia.Canon(s))
		}
	}
	if changed == 0 || refusals == changed {
		t.Errorf("%d refusals, %d of which end a request", refusals, changed)
	}
}

// also adds an outcome where broken has one.
func also(broken func(s state, o op) (to state, ok bool)) func(*machine) {
	return func(m *machine) {
		next := m.Next
		m.Next = func(s state, o op) []outcome {
			outcomes := next(s, o)
			if to, ok := broken(clone(s), o); ok {
				outcomes = append(outcomes, outcome{Action: "Broken", Rules: []string{"AMN-ZER-001"}, To: to})
			}
			return outcomes
		}
	}
}

// edit changes what follows.
func edit(change func(s state, o op, to *state)) func(*machine) {
	return func(m *machine) {
		next := m.Next
		m.Next = func(s state, o op) []outcome {
			outcomes := next(s, o)
			for i := range outcomes {
				outcomes[i].To = clone(outcomes[i].To)
				change(s, o, &outcomes[i].To)
			}
			return outcomes
		}
	}
}

// without takes away what follows where keep does not hold.
func without(keep func(s state, o op) bool) func(*machine) {
	return func(m *machine) {
		next := m.Next
		m.Next = func(s state, o op) []outcome {
			if !keep(s, o) {
				return nil
			}
			return next(s, o)
		}
	}
}

func clone(s state) state {
	s.Slots, s.Conns, s.Keys = slices.Clone(s.Slots), slices.Clone(s.Conns), slices.Clone(s.Keys)
	s.Disk, s.Log = slices.Clone(s.Disk), slices.Clone(s.Log)
	return s
}

var mutations = []struct {
	what, property string
	breaks         func(*machine)
}{
	{"a slot is free and not overwritten", "FreeIsZero", edit(func(s state, o op, to *state) {
		if o.Kind == "Overwrite" {
			for i := range to.Slots {
				to.Slots[i].Mem = s.Slots[i].Mem
			}
		}
	})},
	{"a connection is cut and its put stays", "PayloadPlaces", edit(func(s state, o op, to *state) {
		if o.Kind == "Close" {
			copy(to.Slots, s.Slots)
		}
	})},
	{"a connection closes and payload stays in its buffer", "PayloadPlaces", edit(keepBuffer(amnesia.Payload))},
	{"a connection closes and a token stays in its buffer", "SecretPlaces", edit(keepBuffer(amnesia.Token))},
	{"a key is dropped and not overwritten", "SecretPlaces", edit(func(s state, o op, to *state) {
		if o.Kind == "Drop" {
			to.Keys[o.Key-1].Mem = amnesia.Key
		}
	})},
	{"a delete overwrites under readers", "ReadersKeepBytes", edit(clearAtDelete)},
	{"a delete overwrites at once", "OverwriteWaitsForReaders", edit(clearAtDelete)},
	{"a put without room goes to disk", "NoTrace", edit(func(s state, o op, to *state) {
		if o.Kind == "Take" && to.Conns[o.Conn-1].Doing == amnesia.Idle {
			to.Disk = append(to.Disk, amnesia.Payload)
		}
	})},
	{"a crash leaves a core", "NoTrace", edit(func(s state, o op, to *state) {
		if o.Kind == "Crash" && s.Keys != nil && s.Keys[0].Mem == amnesia.Key {
			to.Disk = append(to.Disk, amnesia.Key)
		}
	})},
	{"a revoked token is logged", "NoTrace", edit(func(s state, o op, to *state) {
		if o.Kind == "Revoke" {
			to.Log = []string{amnesia.Token}
		}
	})},
	{"keys survive a crash", "OffIsFresh", edit(func(s state, o op, to *state) {
		if o.Kind == "Crash" {
			copy(to.Keys, s.Keys)
		}
	})},
	{"a put takes a slot that is not overwritten", "NoReuseBeforeOverwrite", also(func(s state, o op) (state, bool) {
		if o.Kind != "Take" || s.Conns[o.Conn-1].Doing != amnesia.Put || s.Conns[o.Conn-1].Slot > 0 || !s.Due(1) {
			return s, false
		}
		s.Slots[0].Use, s.Conns[o.Conn-1].Slot = amnesia.Put, 1
		return s, true
	})},
	{"bytes arrive in a buffer that is not overwritten", "NoReuseBeforeOverwrite", also(func(s state, o op) (state, bool) {
		if o.Kind != "Arrive" || s.Conns[o.Conn-1].Buffer != amnesia.Token {
			return s, false
		}
		s.Conns[o.Conn-1].Doing, s.Conns[o.Conn-1].Buffer = amnesia.Put, amnesia.Payload
		return s, true
	})},
	{"the process ends with the memory as it is", "ZeroBeforeGivenBack", also(func(s state, o op) (state, bool) {
		s.Life = amnesia.Off
		return s, o.Kind == "Exit"
	})},
	{"bytes are overwritten when a put asks for room", "DeletedIsOverwritten", without(func(s state, o op) bool {
		return o.Kind != "Overwrite" || slices.ContainsFunc(s.Conns, func(c amnesia.Conn) bool { return c.Doing == amnesia.Put && c.Slot == 0 })
	})},
	{"nobody sees to it that bytes are overwritten", "DeletedIsOverwritten", func(m *machine) { fair(m, "DeletedIsOverwritten") }},
	{"keys are overwritten at their next use", "EndedKeysArePurged", func(m *machine) {
		without(func(s state, o op) bool { return o.Kind != "Purge" || s.Life == amnesia.Closing })(m)
		edit(func(s state, o op, to *state) {
			if o.Kind == "Use" && s.Keys[o.Key-1].Use == amnesia.Ended {
				to.Keys[o.Key-1] = amnesia.Cell{Use: amnesia.None, Mem: amnesia.Zero}
			}
		})(m)
	}},
	{"a shutdown waits for clients", "ShutdownEndsWithZero", func(m *machine) { fair(m, "ShutdownEndsWithZero", "Overwrite", "Purge", "Exit") }},
	{"a shutdown forgets the keys", "ShutdownEndsWithZero", edit(func(s state, o op, to *state) {
		if o.Kind == "Shutdown" {
			copy(to.Keys, s.Keys)
		}
	})},
}

func keepBuffer(what string) func(s state, o op, to *state) {
	return func(s state, o op, to *state) {
		if o.Kind == "Close" && s.Conns[o.Conn-1].Buffer == what {
			to.Conns[o.Conn-1].Buffer = what
		}
	}
}

func clearAtDelete(s state, o op, to *state) {
	if o.Kind == "Delete" && to.Slots[o.Slot-1].Use == amnesia.Doomed {
		to.Slots[o.Slot-1] = amnesia.Cell{Use: amnesia.Free, Mem: amnesia.Zero}
	}
}

// fair replaces what is assumed to be fair for a leads-to property.
func fair(m *machine, property string, actions ...string) {
	for i := range m.LeadsTo {
		if m.LeadsTo[i].Name == property {
			m.LeadsTo[i].Fair = actions
		}
	}
}

// TestMutations breaks the model in every way that a property is there to see.
func TestMutations(t *testing.T) {
	names := map[string]int{}
	whole := amnesia.Machine(amnesia.Small())
	for _, p := range whole.Always {
		names[p.Name] = 0
	}
	for _, p := range whole.Steps {
		names[p.Name] = 0
	}
	for _, p := range whole.LeadsTo {
		names[p.Name] = 0
	}
	for _, mu := range mutations {
		t.Run(mu.what, func(t *testing.T) {
			m := amnesia.Machine(amnesia.Small())
			m.Always = slices.DeleteFunc(m.Always, func(p explore.Invariant[state]) bool { return p.Name != mu.property })
			m.Steps = slices.DeleteFunc(m.Steps, func(p explore.StepProperty[state]) bool { return p.Name != mu.property })
			m.LeadsTo = slices.DeleteFunc(m.LeadsTo, func(p explore.LeadsTo[state]) bool { return p.Name != mu.property })
			if len(m.Always)+len(m.Steps)+len(m.LeadsTo) != 1 {
				t.Fatalf("there is no property %s", mu.property)
			}
			mu.breaks(&m)
			_, err := explore.Explore(m, 40_000)
			var v *explore.Violation
			if !errors.As(err, &v) || v.Property != mu.property {
				t.Fatalf("not caught: %v", err)
			}
		})
		names[mu.property]++
	}
	for name, n := range names {
		if n == 0 {
			t.Errorf("nothing breaks %s", name)
		}
	}
}
