package linear

import (
	"context"
	"slices"
	"sync"

	"github.com/anishathalye/porcupine"

	"github.com/rustyonions/micronode/model/cas"
	"github.com/rustyonions/micronode/spec"
)

// meeting is a call on an address in some state.
type meeting struct {
	health cas.Health
	call   cas.Call
}

// law is what cas.Permits says, remembered: what may come of each meeting, and what state may follow where no answer
// arrived.
//
// Nobody damages memory here, so the states are those that calls lead to from an address that is not stored. Where one
// does occur that needs damage, an answer with the reason integrity for example, no state explains it.
type law struct {
	states   []cas.Health
	answered map[meeting][]cas.Result
	lost     map[meeting][]cas.Health
}

// laws has the law under amnesia and the one with persistence; each is worked out once and never changed.
var laws = map[bool]func() law{
	false: sync.OnceValue(func() law { return newLaw(false) }),
	true:  sync.OnceValue(func() law { return newLaw(true) }),
}

func newLaw(persistent bool) law {
	l := law{[]cas.Health{cas.Absent}, map[meeting][]cas.Result{}, map[meeting][]cas.Health{}}
	for i := 0; i < len(l.states); i++ { // it grows on the way
		for _, kind := range Kinds() {
			m := meeting{l.states[i], calls[kind]}
			l.answered[m] = cas.Permits(persistent, m.health, m.call, false)
			for _, r := range cas.Permits(persistent, m.health, m.call, true) {
				l.lost[m] = append(l.lost[m], r.Next)
				l.states = include(l.states, r.Next)
			}
		}
	}
	return l
}

func include(set []cas.Health, h cas.Health) []cas.Health {
	if slices.Contains(set, h) {
		return set
	}
	return append(set, h)
}

var calls = map[Kind]cas.Call{
	Put: cas.CallPut, Get: cas.CallGet, Has: cas.CallHas, Stat: cas.CallStat, Delete: cas.CallDelete, Restart: cas.CallRestart,
}

// says translates an answer; ok is false where no call can be answered like that.
func says(a Answer) (reason spec.Reason, yes, ok bool) {
	switch a {
	case Created, True:
		return spec.None, true, true
	case Existed, Bytes, False, Size, Deleted, Restarted:
		return spec.None, false, true
	}
	return spec.Reason(a), false, a.Refusal()
}

// next lists the states that an address may be in after o, if it was in h before; none if the law does not permit the
// answer of o there.
func (l law) next(h cas.Health, o Op) []cas.Health {
	m := meeting{h, calls[o.Kind]}
	reason, yes, ok := says(o.Answer)
	var list []cas.Health
	switch {
	case o.Fault != Sound && (o.Answer.open() || spoiled(o.Fault, o.Answer)), turnedAway(reason):
		list = append(list, h)
	case o.Answer.open():
		return l.lost[m]
	}
	if o.Fault != Sound || !ok {
		return list
	}
	for _, r := range l.answered[m] { // also of what may be turned away: with persistence a failed sync is, too
		if r.Reason == reason && r.Yes == yes {
			list = include(list, r.Next)
		}
	}
	return list
}

// turnedAway says that a request with this reason may have been refused before it met the store, which it then can not
// have changed (CAS-LIN-002).
func turnedAway(r spec.Reason) bool {
	switch r {
	case spec.Quota, spec.TooManyStreams, spec.Timeout, spec.NotReady, spec.Draining, spec.Unauth, spec.Forbidden:
		return true
	}
	return false
}

// spoiled says that a put with fault f may be answered with a. It never succeeds and leaves everything as it was
// (CAS-PUT-005), so it says nothing about its address and the register has no call for it.
func spoiled(f Fault, a Answer) bool {
	if a == Answer(spec.StoreFull) {
		return true // before anybody could see the fault
	}
	switch f {
	case WrongDigest:
		return a == Answer(spec.BadDigest)
	case TooLong:
		return a == Answer(spec.Oversize)
	case TooShort:
		return a == Answer(spec.Truncated)
	}
	return f == Cancelled && a == GivenUp
}

// harmless says that o, with its answer, left an address as it was, in whatever state that was.
func harmless(h History, o Op) bool {
	l := laws[h.Persistent]()
	for _, before := range l.states {
		for _, after := range l.next(before, o) {
			if after != before {
				return false
			}
		}
	}
	return true
}

// register is the model of one address for porcupine: sets of states, because the law leaves some outcomes open. A history
// is divided by address before it gets there (History.operations).
func register(h History) porcupine.Model {
	l := laws[h.Persistent]()
	nm := porcupine.NondeterministicModel{
		Init: func() (states []any) {
			for _, s := range l.states {
				if s == cas.Absent || h.Initial == Unknown {
					states = append(states, s)
				}
			}
			return states
		},
		StepContext: func(ctx context.Context, state, input, _ any) (states []any) {
			if ctx.Err() != nil {
				return nil
			}
			for _, s := range l.next(state.(cas.Health), input.(Op)) {
				states = append(states, s)
			}
			return states
		},
		Hash: func(state any) uint64 { return 0x9e3779b97f4a7c15 << slices.Index(l.states, state.(cas.Health)) },
		DescribeOperation: func(input, _ any) string {
			o := input.(Op)
			return o.Request.String() + " -> " + string(o.Answer)
		},
		DescribeState: func(state any) string {
			if s := state.(cas.Health); s != cas.Absent {
				return string(s)
			}
			return "absent"
		},
	}
	return nm.ToModel()
}
