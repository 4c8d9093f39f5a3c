package main

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Work is done n at a time, and its results come in the order of the items, however long each took.
func TestInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var running, most atomic.Int32
		var got []int
		inOrder(t.Context(), 8, func(yield func(int) bool) {
			for i := range 3000 { // more than may be ahead
				if !yield(i) {
					t.Error("stopped without a reason")
				}
			}
		}, func(_ context.Context, i int) {
			most.Store(max(most.Load(), running.Add(1)))
			<-time.After(time.Duration((i*7919)%50) * time.Millisecond) // of the bubble's clock: how long the work takes
			running.Add(-1)
		}, func(i int) { got = append(got, i) })
		for i := range got {
			if got[i] != i {
				t.Fatalf("item %d came at place %d", got[i], i)
			}
		}
		if len(got) != 3000 || most.Load() != 8 {
			t.Errorf("%d items, %d at a time", len(got), most.Load())
		}
	})
}

// When the context ends, no more is produced; what was produced is still emitted.
func TestInOrderStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var produced, emitted int
		inOrder(ctx, 4, func(yield func(int) bool) {
			for produced = 0; yield(produced); produced++ {
			}
		}, func(_ context.Context, i int) {
			if i == 100 {
				cancel()
			}
		}, func(int) { emitted++ })
		if produced < 100 || produced > 100+ahead+8 || emitted < produced || emitted > produced+1 {
			t.Errorf("produced %d, emitted %d", produced, emitted)
		}
	})
}
