//go:build race

package tour

// raceOn says that the race detector watches this test.
const raceOn = true
