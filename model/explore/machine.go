package explore

import (
	"fmt"

	"github.com/rustyonions/micronode/spec"
)

// Outcome is one thing that the law permits to happen when an operation meets a state. An operation that is
// impossible in a state has none; one whose end the law leaves open has several.
type Outcome[S any] struct {
	// Action is the name of the step, and of the action of the TLA+ module: the kind of the operation, and where it
	// is refused an underscore and the reason, as in Start_stream_reused.
	Action string
	Reason spec.Reason // why it was refused; None otherwise
	Rules  []string    // ids of the rules that decide this outcome
	To     S
}

// Invariant must hold in every reachable state.
type Invariant[S any] struct {
	Name  string // as in the TLA+ module
	Rules []string
	Holds func(S) bool
}

// StepProperty must hold on every step. It is what TLA+ writes as [][...]_vars.
type StepProperty[S any] struct {
	Name  string
	Rules []string
	Holds func(from S, o Outcome[S]) bool
}

// LeadsTo says that every state with From is followed by one with To, provided that no action in Fair stays
// possible for ever without being taken (weak fairness).
type LeadsTo[S any] struct {
	Name     string
	Rules    []string
	From, To func(S) bool
	Fair     []string // names of actions
}

// Machine is a model under fixed parameters. O is the type of its operations: comparable, and printed in the words
// of the law.
type Machine[S any, O interface {
	comparable
	fmt.Stringer
}] struct {
	Name    string // of the TLA+ module
	Init    S
	Ops     []O                     // the whole alphabet, in a fixed order
	Next    func(S, O) []Outcome[S] // pure
	Canon   func(S) string          // the variables as Vars writes them; equal states have equal texts
	Always  []Invariant[S]
	Steps   []StepProperty[S]
	LeadsTo []LeadsTo[S]
}
