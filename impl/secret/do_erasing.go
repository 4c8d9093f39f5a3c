//go:build goexperiment.runtimesecret

package secret

import (
	"runtime"
	"runtime/secret"
)

// Erases says whether Do erases what its function leaves behind.
const Erases = runtime.GOOS == "linux" && (runtime.GOARCH == "amd64" || runtime.GOARCH == "arm64")

// Do calls f and, where Erases, overwrites the registers and the stack that f used before it returns, and the heap that f
// allocated when it is collected. It is for the moments in which a key is expanded and used (AMN-ZER-008).
func Do(f func()) { secret.Do(f) }
