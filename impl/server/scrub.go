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
)

// scrub checks the stored objects against their digests from time to time until ctx ends (CAS-INT-007).
func (n *Node) scrub(ctx context.Context) {
	for wait(ctx, scrubEvery) == nil {
		report, err := n.store.Scrub(ctx, func(bytes int64) error {
			return wait(ctx, time.Duration(bytes)*time.Second/scrubRate)
		})
		if err == nil && report.Failures > 0 {
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
