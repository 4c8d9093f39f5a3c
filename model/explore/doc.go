// Package explore walks a model: every state that its operations reach from the first one, and every labelled step
// between them. It checks what must hold in every state, on every step and in the end, finds walks that cover every
// step, and shows a counterexample as the shortest way to it, in the words of the law.
//
// It is written once for all models: S stands for the type of a model's states and O for that of its operations.
// machine.go is what a model hands over, graph.go the walk, violation.go the counterexample, fair.go the part about "in
// the end", tour.go the walks that cover every step, and text.go the notation. Who reads a model needs machine.go only.
//
// It owns the meeting point of the three descriptions of a state machine. A state is known by its text (Canon), which
// writes the variables of the TLA+ module of the same name with TLC's notation, and a step by the name of the TLA+
// action. Two graphs are equal when these texts are.
//
// It may never know what a particular model is about, and never depends on the order of a map or on a clock.
package explore
