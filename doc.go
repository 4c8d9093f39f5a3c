// Package micronode is the front page of the module and holds no code. The rooms are:
//
//	spec         the law: numbered rules, numbers, reasons, vectors
//	model        the executable model: refwire (reference codec), and the state machines to come
//	impl         the production node
//	conformance  the black-box suite
//	fuzz         fuzz targets and their campaign runner
//	cmd          the programs
//	docs         MAP.md (what a change touches), STYLE.md, TESTING.md, decisions/
//
// The tests beside this file hold the house together: who may import whom, and that every rule of the law leads
// to a test.
package micronode
