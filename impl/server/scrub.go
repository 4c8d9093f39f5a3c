package server

import (
	"context"
	"time"
)

const (
	// scrubEvery leaves ample time within the hour of CAS-INT-007.
	scrubEvery = 20 * time.Minute
	// scrubRate bounds what a pass takes from the memory bandwidth, in bytes per second; 512 MiB take 8 s.
	scrubRate = 64 << 20
	// scrubSeconds is how long a pass over a full store may take; a larger store is scrubbed at a higher rate.
	scrubSeconds = 1500
	// scrubNap is the shortest wait that is worth it: many small objects are checked between two of them.
	scrubNap = 10 * time.Millisecond
)

// scrub checks the stored objects against their digests from time to time until ctx ends (CAS-INT-007).
func (n *Node) scrub(ctx context.Context) {
	for wait(ctx, scrubEvery) == nil {
		rate := max(scrubRate, n.store.Stats().Capacity/scrubSeconds)
		var debt time.Duration
		report, err := n.store.Scrub(ctx, func(bytes int64) error {
			if debt += time.Duration(bytes) * time.Second / time.Duration(rate); debt < scrubNap {
				return ctx.Err()
			}
			err := wait(ctx, debt)
			debt = 0
			return err
		})
		if err == nil && report.Failures > 0 {
			n.integrity()
			n.log.Error("scrub found damaged objects", "event", "integrity", "objects", report.Objects, "failures", report.Failures)
		}
	}
}

// wait returns after d, or with the error of ctx when that ends first.
func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
