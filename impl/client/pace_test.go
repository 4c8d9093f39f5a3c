package client

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// bucket is a node's token bucket (ADM-CAP-003): a second's worth of burst.
type bucket struct {
	mu      sync.Mutex
	rate    float64
	tokens  float64
	at      time.Time
	refused int
	whole   bool // hints in whole seconds, as HTTP has them (ADM-RTY-001)
}

func newBucket(rate float64, whole bool) *bucket {
	return &bucket{rate: rate, tokens: rate, at: time.Now(), whole: whole}
}

func (b *bucket) take() (ok bool, after time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	b.tokens = min(b.rate, b.tokens+b.rate*now.Sub(b.at).Seconds())
	b.at = now
	if b.tokens >= 1 {
		b.tokens--
		return true, 0
	}
	b.refused++
	after = time.Duration((1 - b.tokens) / b.rate * float64(time.Second)).Round(time.Millisecond)
	if b.whole {
		after = time.Second
	}
	return false, max(after, time.Millisecond)
}

func (b *bucket) setRate(r float64) { b.mu.Lock(); b.rate = r; b.mu.Unlock() }

// hammer sends n requests through p, workers at a time, each taking latency, and returns how long it took.
func hammer(t *testing.T, p *pacer, b *bucket, n, workers int, latency time.Duration) time.Duration {
	start := time.Now()
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for next.Add(1) <= int64(n) {
				for {
					gen, err := p.wait(t.Context())
					if err != nil {
						t.Error(err)
						return
					}
					<-time.After(latency) // of the bubble's clock: the way to the node and back
					ok, after := b.take()
					if ok {
						p.took()
						break
					}
					p.refused(time.Now(), gen, after, true)
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

// A large job against the default rate uses at least 85% of it and is hardly ever refused.
func TestPaceFindsTheRate(t *testing.T) {
	for _, tc := range []struct {
		name    string
		whole   bool
		rate    float64
		workers int
		n       int
	}{
		{"oap, default rate", false, 500, 16, 11_500},
		{"http, default rate", true, 500, 16, 11_500},
		{"one worker", false, 500, 1, 3000},
		{"many workers", true, 500, 128, 11_500},
		{"slow node", true, 20, 16, 400},
		{"fast node", false, 20_000, 64, 80_000},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, p := newBucket(tc.rate, tc.whole), &pacer{}
				took := hammer(t, p, b, tc.n, tc.workers, 500*time.Microsecond)
				share := float64(tc.n) / took.Seconds() / tc.rate
				refused := float64(b.refused) / float64(tc.n)
				t.Logf("%v: %.0f%% of the rate, %d refused (%.2f%%)", took, 100*share, b.refused, 100*refused)
				if share < 0.85 {
					t.Errorf("only %.0f%% of the node's rate was used", 100*share)
				}
				if limit := 0.02 + 2*float64(tc.workers)/float64(tc.n); refused > limit {
					t.Errorf("%.1f%% of the requests were refused, want at most %.1f%%", 100*refused, 100*limit)
				}
			})
		})
	}
}

// A node whose rate is raised gets used at the new rate, one whose rate drops is left alone.
func TestPaceFollowsTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, p := newBucket(500, false), &pacer{}
		hammer(t, p, b, 5000, 16, time.Millisecond)
		b.setRate(10_000)
		if took := hammer(t, p, b, 100_000, 16, time.Millisecond); took > 17*time.Second {
			t.Errorf("after the rate was raised to 10,000/s, 100,000 requests took %v", took)
		}
		b.setRate(100)
		b.refused = 0
		if hammer(t, p, b, 2000, 16, time.Millisecond); b.refused > 150 {
			t.Errorf("after the rate dropped, %d of 2000 requests were refused", b.refused)
		}
	})
}

func TestPaceWithoutLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pacer{}
		start := time.Now()
		for range 10_000 {
			if _, err := p.wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			p.took()
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("a node that refuses nothing was given %v of waiting", d)
		}
	})
}

// One refusal holds up everybody for as long as the node asked, and no longer than the law allows it to ask.
func TestPausePausesAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pacer{}
		gen, _ := p.wait(t.Context())
		p.refused(time.Now(), gen, 7*time.Second, false)
		start := time.Now()
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := p.wait(t.Context()); err != nil || time.Since(start) < 7*time.Second {
					t.Errorf("went after %v, %v", time.Since(start), err)
				}
			})
		}
		wg.Wait()
		gen, _ = p.wait(t.Context())
		p.refused(time.Now(), gen, 24*time.Hour, false)
		start = time.Now()
		if p.wait(t.Context()); time.Since(start) != maxPause {
			t.Errorf("waited %v, want %v", time.Since(start), maxPause)
		}
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pacer{}
		gen, _ := p.wait(t.Context())
		p.refused(time.Now(), gen, time.Hour, false)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.wait(ctx); err != context.DeadlineExceeded {
			t.Errorf("got %v", err)
		}
	})
}
