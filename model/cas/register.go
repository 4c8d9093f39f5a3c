package cas

import (
	"slices"
	"strings"

	"github.com/rustyonions/micronode/spec"
)

// Call is an operation on one address as a client sees it: complete, from the request to the answer. To clients an address
// is a register with a few values (CAS-LIN-001), and this file says from the steps of the model what each call does to it.
type Call string

// The calls. CallRestart is no request: it is the node that ends, in order or not, and comes back.
const (
	CallPut, CallGet, CallHas         Call = "put", "get", "has"
	CallStat, CallDelete, CallRestart Call = "stat", "delete", "restart"
)

// Result is an answer that the law permits and what the address is like afterwards. Yes says of a put that the object is
// new, of a has that it is stored, and is false of other calls.
type Result struct {
	Reason spec.Reason
	Yes    bool
	Next   Health
}

// Permits says what may come of a call on an address of which only the health is known, by taking the steps of the call
// with Next, in a store with room and in one that other objects fill. With lost set the call was never answered, it ended
// anywhere (CAS-LIN-003), and only Next is set in the results. They are distinct and in a fixed order; callers that ask
// often should remember them.
func Permits(persistent bool, h Health, c Call, lost bool) (results []Result) {
	p := Params{Capacity: 3, MaxObject: 3, First: 1, Last: 3, Writers: 1, Readers: 1, Persistent: persistent}
	room := Init(p)
	if h != Absent { // object 1 is the one in question
		room.Copies, room.Free = []Copy{{1, h, true, 0}}, room.Free-1
	}
	full := room // another object takes the rest
	full.Copies, full.Free = append(slices.Clone(room.Copies), Copy{room.Free, Good, true, 0}), 0
	end := func(o Outcome) {
		for _, s := range settled(p, o.To) {
			yes := strings.HasSuffix(o.Action, "_created") || strings.HasSuffix(o.Action, "_true")
			r := Result{o.Reason, yes, s.Health(1)}
			if lost {
				r = Result{Next: r.Next}
			}
			if !slices.Contains(results, r) {
				results = append(results, r)
			}
		}
	}
	steps := scripts[c]
	if !persistent { // there is no sync, and the answer comes with the effect
		steps = slices.DeleteFunc(slices.Clone(steps), func(op Op) bool { return op.Kind == Durable || op.Kind == Answer })
	}
	walk(p, room, steps, lost, end)
	walk(p, full, steps, lost, end)
	return results
}

// scripts are the steps of the calls, where nothing goes wrong.
var scripts = map[Call][]Op{
	CallPut: {{Kind: Begin, Writer: 1, Length: 1, Address: 1}, {Kind: Arrive, Writer: 1}, {Kind: Commit, Writer: 1},
		{Kind: Durable, Writer: 1}, {Kind: Answer, Writer: 1}},
	CallGet:     {{Kind: Get, Reader: 1, Object: 1}, {Kind: Read, Reader: 1}, {Kind: EndGet, Reader: 1}},
	CallHas:     {{Kind: Has, Object: 1}},
	CallStat:    {{Kind: Stat, Object: 1}},
	CallDelete:  {{Kind: Delete, Writer: 1, Object: 1}, {Kind: Durable, Writer: 1}, {Kind: Answer, Writer: 1}},
	CallRestart: {{Kind: Crash}, {Kind: Start}},
}

// walk takes steps in every permitted way and calls end behind the last of each: one that is refused, or the one that
// completes the call. If the call is lost, it may have ended before any of them.
func walk(p Params, s State, steps []Op, lost bool, end func(Outcome)) {
	if lost {
		end(Outcome{To: s})
	}
	for _, o := range Next(p, s, steps[0]) {
		if o.Reason != spec.None || len(steps) == 1 {
			end(o)
		} else {
			walk(p, o.To, steps[1:], lost, end)
		}
	}
}

// settled lists what a state may turn out to be when its writer is gone: an open put leaves no trace, and of a write
// whose sync has failed only the next life tells.
func settled(p Params, s State) (all []State) {
	end := Op{Kind: Abort, Writer: 1}
	if stage := s.Writers[0].Stage; stage == Writing || stage == Deleting {
		end = Op{Kind: Crash}
	}
	for _, o := range Next(p, s, end) {
		all = append(all, o.To)
	}
	if all == nil {
		all = []State{s}
	}
	return all
}
