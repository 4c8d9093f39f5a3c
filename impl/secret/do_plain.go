//go:build !goexperiment.runtimesecret

package secret

// Erases says whether Do erases what its function leaves behind. It does not here: runtime/secret exists only in builds
// with GOEXPERIMENT=runtimesecret.
const Erases = false

// Do calls f and, where Erases, overwrites the registers and the stack that f used before it returns, and the heap that f
// allocated when it is collected. It is for the moments in which a key is expanded and used (AMN-ZER-008).
func Do(f func()) { f() }
