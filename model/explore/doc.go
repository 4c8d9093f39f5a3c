// Package explore walks a model: every state that its operations reach from the first one, and every labelled step
// between them. It checks what must hold in every state, on every step and in the end, finds walks that cover every
// step, and shows a counterexample as the shortest way to it, in the words of the law.
//
// It owns the meeting point of the three descriptions of a state machine. A state is known by its text (Canon), which
// writes the variables of the TLA+ module of the same name with TLC's notation, and a step by the name of the TLA+
// action. Two graphs are equal when these texts are.
//
// It may never know what a particular model is about, and never depends on the order of a map or on a clock.
package explore
