package schedule_test

import (
	"fmt"
	"strings"
	"testing"
)

// history is what the threads of one schedule asked and were answered. State S is that of a sequential reference.
type history[S comparable] struct {
	ops  []call[S]
	time int
}

// call is one operation: between the moments from and to it took effect.
type call[S comparable] struct {
	text     string // with its answer
	from, to int
	// next is the reference: the state after the operation, and whether this answer is right in state s.
	next func(s S) (S, bool)
}

// begin notes that an operation begins, and returns what notes its end.
func (h *history[S]) begin() (end func(text string, next func(S) (S, bool))) {
	h.time++
	from := h.time
	return func(text string, next func(S) (S, bool)) {
		h.time++
		h.ops = append(h.ops, call[S]{text, from, h.time, next})
	}
}

// check says whether the answers are those of one operation after the other, in an order in which none comes before
// one that had ended when it began (CAS-LIN-001). It returns the states in which the reference may be then.
func (h *history[S]) check(first S) (last map[S]bool, err error) {
	if len(h.ops) > 32 {
		panic("history: too long")
	}
	type node struct {
		done  uint32
		state S
	}
	last = map[S]bool{}
	seen := map[node]bool{}
	var walk func(n node)
	walk = func(n node) {
		if seen[n] {
			return
		}
		seen[n] = true
		if n.done == 1<<len(h.ops)-1 {
			last[n.state] = true
			return
		}
		first := h.time + 1 // the end of whichever open operation ends first: nothing that begins later can be next
		for i, op := range h.ops {
			if n.done&(1<<i) == 0 {
				first = min(first, op.to)
			}
		}
		for i, op := range h.ops {
			if n.done&(1<<i) == 0 && op.from < first {
				if s, ok := op.next(n.state); ok {
					walk(node{n.done | 1<<i, s})
				}
			}
		}
	}
	walk(node{0, first})
	if len(last) > 0 {
		return last, nil
	}
	var b strings.Builder
	for _, op := range h.ops {
		fmt.Fprintf(&b, "; %s (%d to %d)", op.text, op.from, op.to)
	}
	return nil, fmt.Errorf("no order of the operations explains the answers%s", b.String())
}

func TestHistory(t *testing.T) {
	write := func(v int) func(int) (int, bool) { return func(int) (int, bool) { return v, true } }
	read := func(v int) func(int) (int, bool) { return func(s int) (int, bool) { return s, s == v } }
	type ops = []call[int]
	tests := []struct {
		name string
		ops  ops
		last []int // nil: not linearizable
	}{
		{"nothing", nil, []int{0}},
		{"one after the other", ops{{"w1", 1, 2, write(1)}, {"r1", 3, 4, read(1)}}, []int{1}},
		{"a stale read", ops{{"w1", 1, 2, write(1)}, {"r0", 3, 4, read(0)}}, nil},
		{"a read beside the write may see either", ops{{"w1", 1, 4, write(1)}, {"r0", 2, 3, read(0)}}, []int{1}},
		{"and not first the new one and then the old", ops{{"w1", 1, 6, write(1)}, {"r1", 2, 3, read(1)}, {"r0", 4, 5, read(0)}}, nil},
		{"writes side by side", ops{{"w1", 1, 3, write(1)}, {"w2", 2, 4, write(2)}}, []int{1, 2}},
		{"and a read that tells their order", ops{{"w1", 1, 3, write(1)}, {"w2", 2, 4, write(2)}, {"r1", 5, 6, read(1)}}, []int{1}},
		{"touching intervals overlap in no moment", ops{{"w1", 1, 2, write(1)}, {"w2", 3, 4, write(2)}, {"r1", 5, 6, read(1)}}, nil},
	}
	for _, tt := range tests {
		h := history[int]{ops: tt.ops, time: 10}
		last, err := h.check(0)
		if (err == nil) != (tt.last != nil) || len(last) != len(tt.last) {
			t.Errorf("%s: %v, %v", tt.name, last, err)
		}
		for _, s := range tt.last {
			if !last[s] {
				t.Errorf("%s: %v, want %v", tt.name, last, tt.last)
			}
		}
	}
}
