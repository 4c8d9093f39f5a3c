// Package spec is the law of micronode: the numbered rules (the Markdown files beside this one),
// the numbers, codes, flags and reasons they use as typed constants, the registry that reads the rules,
// and the test vectors.
//
// It owns every fact that two other rooms must agree on. It may never decide anything: no codec, no state
// machine, no I/O, and no import outside the standard library. Code that wants to know "how large may a frame
// be?" reads MaxFrame; code that wants to know "is this frame too large?" lives elsewhere, twice on purpose
// (model/refwire and impl/wire).
package spec
