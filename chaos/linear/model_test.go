package linear_test

import (
	"slices"
	"testing"

	"github.com/rustyonions/micronode/chaos/linear"
	"github.com/rustyonions/micronode/model/cas"
	"github.com/rustyonions/micronode/spec"
)

// legal says whether operations one after the other, all on one object, have an explanation.
func legal(t *testing.T, persistent bool, initial linear.Initial, ops ...linear.Op) bool {
	t.Helper()
	h := linear.History{Initial: initial, Persistent: persistent, Objects: []linear.Object{{Size: 1}}}
	for i, o := range ops {
		o.Client, o.Call, o.Return = i, int64(3*i), int64(3*i+1)
		h.Ops = append(h.Ops, o)
	}
	r, err := linear.Check(h, limit)
	if err != nil {
		t.Fatal(err)
	}
	return r.Verdict == linear.Legal
}

func op(k linear.Kind, a linear.Answer) linear.Op {
	return linear.Op{Request: linear.Request{Kind: k}, Answer: a}
}

// atTheDoor says that a surface may refuse a request like this before it asks the store (CAS-LIN-002).
func atTheDoor(a linear.Answer) bool {
	return slices.Contains([]spec.Reason{spec.Quota, spec.TooManyStreams, spec.Timeout, spec.NotReady, spec.Draining, spec.Unauth,
		spec.Forbidden}, spec.Reason(a))
}

// TestEveryAnswer asks the checker about every answer to every operation, on an address that is stored and on one that
// is not, and compares with what the law says, written by hand (effects). A model that permits more would go unnoticed
// in every campaign.
func TestEveryAnswer(t *testing.T) {
	all := []linear.Answer{linear.Created, linear.Existed, linear.GivenUp, linear.Bytes, linear.OtherBytes, linear.True, linear.False,
		linear.Size, linear.OtherSize, linear.Deleted, linear.Restarted}
	for _, r := range spec.Reasons() {
		all = append(all, linear.Answer(r))
	}
	setup := map[bool]linear.Op{false: op(linear.Delete, linear.Answer(spec.NotFound)), true: op(linear.Put, linear.Created)}
	see := map[bool]linear.Op{false: op(linear.Has, linear.False), true: op(linear.Has, linear.True)}
	for _, kind := range linear.Kinds() {
		for _, a := range all {
			h := linear.History{Initial: linear.Empty, Objects: []linear.Object{{Size: 1}}, Ops: []linear.Op{op(kind, a)}}
			if h.Validate() != nil {
				continue // no answer to this at all
			}
			want := effects(op(kind, a))
			if atTheDoor(a) {
				want = []effect{{false, false}, {true, true}}
			}
			for before, first := range setup {
				for after, last := range see {
					got := legal(t, false, linear.Empty, first, op(kind, a), last)
					if got != slices.Contains(want, effect{before, after}) {
						t.Errorf("%s -> %s, stored before: %v, after: %v: legal is %v", kind, a, before, after, got)
					}
				}
			}
		}
	}
}

// TestFaultyPuts drives the model through puts with a fault: the answers that the checker permits are those that the
// model gives, and nothing of such a put is left (CAS-PUT-004, CAS-PUT-005, CAS-PUT-008, CAS-PUT-009).
func TestFaultyPuts(t *testing.T) {
	p := cas.Params{Capacity: 3, MaxObject: 3, First: 1, Last: 3, Writers: 1, Readers: 1}
	begin := func(length, address int) cas.Op {
		return cas.Op{Kind: cas.Begin, Writer: 1, Length: length, Address: address}
	}
	arrive, commit, abort := cas.Op{Kind: cas.Arrive, Writer: 1}, cas.Op{Kind: cas.Commit, Writer: 1}, cas.Op{Kind: cas.Abort, Writer: 1}
	scripts := map[linear.Fault][]cas.Op{
		linear.WrongDigest: {begin(1, 2), arrive, commit},
		linear.TooLong:     {begin(1, cas.None), arrive, arrive},
		linear.TooShort:    {begin(2, cas.None), arrive, commit},
		linear.Cancelled:   {begin(1, 1), arrive, abort},
	}
	all := []linear.Answer{linear.Created, linear.Existed}
	for _, r := range spec.Reasons() {
		all = append(all, linear.Answer(r))
	}
	for fault, script := range scripts {
		s := cas.Init(p)
		var last cas.Outcome
		for _, o := range script {
			outcomes := cas.Next(p, s, o)
			if len(outcomes) != 1 {
				t.Fatalf("%s: %s has %d outcomes", fault, o, len(outcomes))
			}
			last = outcomes[0]
			s = last.To
		}
		if cas.Canon(p, s) != cas.Canon(p, cas.Init(p)) {
			t.Errorf("%s leaves something behind in the model", fault)
		}
		want := linear.Answer(last.Reason)
		if fault == linear.Cancelled {
			want = linear.GivenUp
		}
		for _, a := range append(all, linear.GivenUp) {
			if a == linear.GivenUp && fault != linear.Cancelled {
				continue
			}
			put := op(linear.Put, a)
			put.Fault = fault
			permitted := a == want || a == linear.Answer(spec.StoreFull) || atTheDoor(a)
			if got := legal(t, false, linear.Empty, put, op(linear.Has, linear.False)); got != permitted {
				t.Errorf("%s -> %s: legal is %v", fault, a, got)
			}
			if legal(t, false, linear.Empty, put, op(linear.Has, linear.True)) {
				t.Errorf("%s -> %s may store something", fault, a)
			}
		}
	}
}

// TestRestarts has one history for each thing that a restart decides (AMN-RST-001, CAS-PER-003 to CAS-PER-005, CAS-LIN-003).
func TestRestarts(t *testing.T) {
	at := func(o linear.Op, call, ret int64) linear.Op {
		o.Call, o.Return = call, ret
		return o
	}
	restart := at(op(linear.Restart, linear.Restarted), 10, 20)
	put, lost := op(linear.Put, linear.Created), op(linear.Put, linear.Lost)
	there, gone := op(linear.Has, linear.True), op(linear.Has, linear.False)
	deleted := op(linear.Delete, linear.Deleted)
	for _, c := range []struct {
		name                string
		amnesia, persistent bool // legal
		ops                 []linear.Op
	}{
		{"what was put is gone", true, false, []linear.Op{at(put, 1, 2), restart, at(gone, 21, 22)}},
		{"what was put is there", false, true, []linear.Op{at(put, 1, 2), restart, at(there, 21, 22)}},
		{"what was deleted comes back", false, false, []linear.Op{at(put, 1, 2), at(deleted, 3, 4), restart, at(there, 21, 22)}},
		{"a put without an answer may have happened", false, true, []linear.Op{at(lost, 1, 0), restart, at(there, 21, 22)}},
		{"and may not", true, true, []linear.Op{at(lost, 1, 0), restart, at(gone, 21, 22)}},
		{"but not later", false, false, []linear.Op{at(lost, 1, 0), restart, at(gone, 21, 22), at(there, 23, 24)}},
		{"unless it was called later", true, true, []linear.Op{restart, at(lost, 20, 0), at(gone, 21, 22), at(there, 23, 24)}},
		{"an answer that is read late belongs to the life before", false, true, []linear.Op{at(put, 12, 30), restart, at(there, 21, 22)}},
		{"a request while the node dies met the dying one", true, false, []linear.Op{at(put, 11, 12), restart, at(gone, 20, 22)}},
	} {
		for _, persistent := range []bool{false, true} {
			h := linear.History{Initial: linear.Empty, Persistent: persistent, Objects: []linear.Object{{Size: 1}}}
			for i, o := range c.ops {
				o.Client = i
				h.Ops = append(h.Ops, o)
			}
			r, err := linear.Check(h, limit)
			if err != nil {
				t.Fatal(err)
			}
			want := c.amnesia
			if persistent {
				want = c.persistent
			}
			if got := r.Verdict == linear.Legal; got != want {
				t.Errorf("%s: persistent %v: %s", c.name, persistent, r.Verdict)
			}
			if !persistent && possible(h) != want {
				t.Errorf("%s: the oracle disagrees", c.name)
			}
		}
	}
}
