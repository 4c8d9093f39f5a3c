//go:build race

package store

// raceDetector makes sync.Pool forget at random and costs allocations of its own.
const raceDetector = true
