// Package tla holds the TLA+ modules of the law's state machines against the Go models in model/: not the traces of
// one against the other, but the whole labelled state graphs, which have to be equal.
//
// It owns the canonical form of a graph, the reader of TLC's dumps and the table of what belongs to what (Models). The
// graphs that TLC found are committed under graphs, bound by hash to the module and configuration they came from, so
// that `go test ./tla/...` needs no Java; `make tla` runs TLC itself.
//
// It may never repair a difference: where two graphs differ, one of the two descriptions is wrong.
package tla
