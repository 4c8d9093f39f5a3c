package main

import (
	"strings"
	"testing"
)

const clean = `Computing initial states...
Model checking completed. No error has been found.
361 states generated, 108 distinct states found, 0 states left on queue.
The depth of the complete state graph search is 8.
`

func TestRead(t *testing.T) {
	for _, c := range []struct {
		name, text       string
		violated         string
		problem          string // a part of it; "" for none
		states, minDepth int
	}{
		{name: "clean", text: clean, states: 108, minDepth: 8},
		{name: "an invariant", text: "Error: Invariant Safe is violated.\nError: The behavior up to this point is:\n40 states generated, 19 distinct states found, 7 states left on queue.\n",
			violated: "Safe", states: 19},
		{name: "an invariant, at once", text: "Error: Invariant Safe is violated by the initial state:\n", violated: "Safe"},
		{name: "a step", text: "Error: Action property OnlyUp is violated.\n", violated: "OnlyUp"},
		{name: "a temporal property", text: "Error: Temporal properties were violated.\n361 states generated, 108 distinct states found, 0 states left on queue.\n",
			violated: anyTemporal, states: 108},
		{name: "a mistake in a module", text: "*** Parse Error ***\nWas expecting \"==== or more Module body\"\n", problem: "Parse Error"},
		{name: "an option that it does not have", text: "Error: unrecognized option: -x\n", problem: "unrecognized option"},
		{name: "nothing", text: "", problem: "TLC says"},
		{name: "an empty specification", text: strings.NewReplacer("108", "1", "is 8", "is 1").Replace(clean), problem: "there is nothing", states: 1, minDepth: 1},
		{name: "cut short", text: "Progress(8): 361 states generated, 108 distinct states found, 20 states left on queue.\n", problem: "TLC says", states: 108},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := read(c.text)
			if out.violated != c.violated || out.states != c.states || out.depth != c.minDepth {
				t.Errorf("%+v", out)
			}
			if (out.problem == "") != (c.problem == "") || !strings.Contains(out.problem, c.problem) {
				t.Errorf("problem %q, want one with %q", out.problem, c.problem)
			}
		})
	}
}
