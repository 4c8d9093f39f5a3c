//go:build race

package server

// raceEnabled: the race detector takes several times the memory, so figures of memory say nothing under it.
const raceEnabled = true
