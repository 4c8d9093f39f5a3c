package main

import (
	"context"
	"sync"
)

// ahead is how many items may be on their way between the first unfinished one and the newest.
const ahead = 1024

// inOrder runs work on everything that produce yields, n at a time, and hands each item to emit in the order in
// which it was produced, one at a time, on the calling goroutine. yield is false when ctx has ended: then produce
// returns. What was yielded is always worked on and emitted, so work has to look at ctx itself.
func inOrder[T any](ctx context.Context, n int, produce func(yield func(T) bool), work func(context.Context, T), emit func(T)) {
	type slot struct {
		item T
		done chan struct{}
	}
	queue := make(chan slot, ahead)
	jobs := make(chan slot)
	go func() {
		defer close(queue)
		defer close(jobs)
		produce(func(item T) bool {
			s := slot{item, make(chan struct{})}
			select {
			case queue <- s:
			case <-ctx.Done():
				return false
			}
			jobs <- s
			return ctx.Err() == nil
		})
	}()
	var workers sync.WaitGroup
	for range n {
		workers.Go(func() {
			for s := range jobs {
				work(ctx, s.item)
				close(s.done)
			}
		})
	}
	for s := range queue {
		<-s.done
		emit(s.item)
	}
	workers.Wait()
}
