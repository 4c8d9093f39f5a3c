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
	Rules  []string    // ids of the rules that decide this outcome; never empty
	To     S           // the state afterwards; after a refusal often the same one
}

// Invariant must hold in every reachable state.
type Invariant[S any] struct {
	Name  string   // as in the TLA+ module
	Rules []string // the rules of the law that it says something of
	Holds func(S) bool
}

// StepProperty must hold on every step, from one state to that of the outcome. It is what TLA+ writes as [][...]_vars.
type StepProperty[S any] struct {
	Name  string
	Rules []string
	Holds func(from S, o Outcome[S]) bool
}

// LeadsTo says that every state with From is sooner or later followed by one with To (TLA+: From ~> To), provided that
// no action in Fair stays possible for ever without being taken (weak fairness).
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
	Next    func(S, O) []Outcome[S] // none where the operation is impossible; it may not change the state it is given
	Canon   func(S) string          // the variables as Vars writes them; equal states have equal texts
	Always  []Invariant[S]          // what must hold in every state,
	Steps   []StepProperty[S]       // on every step,
	LeadsTo []LeadsTo[S]            // and in the end
}
