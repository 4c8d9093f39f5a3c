//go:build race

package wire

// raceDetector says that the race detector is on.
const raceDetector = true
