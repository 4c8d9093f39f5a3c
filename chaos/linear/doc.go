// Package linear checks that concurrent operations on one address had an order (CAS-LIN-001): it makes random workloads,
// lets clients carry them out at the same time, and asks porcupine whether the answers can be explained by an order of
// effects that the model of the store permits. Where they can not, it shrinks the history to its core and writes that
// down for people, for machines and as a Go test.
//
// It owns the form of a history and the meaning of its operations. It may never say by itself what the store may answer:
// that comes from package cas, whose register is the only sequential specification here.
//
//	Random(seed) ──▶ Plan ──▶ Run(clients) ──▶ History ──▶ Check ──▶ legal, illegal, undecided
//	                                              │                     │
//	                                            JSON               Minimise ──▶ Core ──▶ HTML, JSON, Go test
//
// # What a history says
//
// Every operation has a call and a return on one monotonic clock and took effect somewhere between them, or was refused
// and had no effect. Where no answer arrived it may have taken effect at any moment after its call (CAS-LIN-003). A restart
// is a border: its Return is a moment when the old process is gone and the new one does not listen yet, so whatever
// was called before met the old process or none, and what had no answer by then did not happen later. What is there
// after a restart is for the model to say: nothing under amnesia.
//
// # What removing an operation means
//
// A history without one of its operations is not a weaker history: take the put away, and a get of the object, which was
// right, is wrong. Shrinking by leaving operations out would therefore reduce every history to a single innocent get. Here
// an operation is removed by forgetting its answer (History.Forget): if it can not have changed anything, nothing is left of
// it, and else the possibility stays that it did. Forgetting keeps legal histories legal, so what is illegal with nearly
// everything forgotten was illegal at the start, and for the reason that is left. A core is 1-minimal in this sense:
// forget one more claim, and what is left is legal. Having been empty in the beginning is a claim like any other.
//
// # Running it
//
//	go test ./chaos/linear                                                    a thousand histories
//	go test ./chaos/linear -run Histories -v -args -histories=20000           more of them
//	go test ./chaos/linear -run Histories -args -seed=7 -histories=1 -repeat=1000 -out=dir
//	go test ./chaos/linear -run TestFile -v -args -history=dir/store_0123abcd_core.json
//
// A seed fixes what the clients ask for, not who comes first. A history that is not legal leaves its core and itself as
// JSON and HTML in the folder, and a Go test to be moved into this one when the fault is mended.
package linear
