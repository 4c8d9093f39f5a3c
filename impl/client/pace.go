package client

import (
	"context"
	"math"
	"sync"
	"time"
)

const (
	// minPause is the shortest pause after a refusal for the rate. The node's own hint is the time until one
	// token is there; coming back that soon would mean a refusal for nearly every request. Over a pause of this
	// length tokens gather, and the time from one refusal to the next measures the rate well.
	minPause = 200 * time.Millisecond
	// maxPause bounds what a node can make a client wait in one go (ADM-RTY-001).
	maxPause = 60 * time.Second
	// growth and speedup let the pace rise while nothing is refused, to find out whether the node takes more by
	// now: by a factor of exp(growth*t + speedup*t*t) in t seconds. A pace that is right costs one refusal every few
	// seconds; one that is far too low is found out in seconds as well.
	growth, speedup = 0.1, 0.05
	// noLimit is a pace in requests per second that holds nobody up.
	noLimit = 1e9
	// slack is how late a request may be and still count as on time; it absorbs the grain of timers.
	slack = 20 * time.Millisecond
)

// pacer decides when the next request may go. The node has a token bucket that the client can not see; what it
// sees is when the bucket is empty. Between two such moments the bucket let in exactly what flowed into it, so the
// requests admitted in between, divided by the time, are the node's rate.
//
// One refusal pauses everybody. Requests that were on their way then are refused as well; they carry an older
// generation and count as the same event.
type pacer struct {
	mu       sync.Mutex
	gen      uint64    // refusal events so far
	paused   time.Time // nothing goes before
	rate     float64   // requests per second at since; 0 while no limit has shown
	since    time.Time // when the growth of rate began
	slot     time.Time // when the next request is due under rate
	empty    time.Time // when the bucket was last seen empty
	admitted int64     // requests let in since then

	stats Stats
}

// Stats counts what happened between a client and its node.
type Stats struct {
	Admitted int64         // requests that the node took in, whatever the answer
	Refused  int64         // requests that it told to come back later (429 and 503)
	Lost     int64         // requests without an answer
	Pauses   int64         // times that the client stood still because of a refusal
	Rate     float64       // requests per second that the client holds itself to now; 0 is no limit
	Paused   time.Duration // longest the client was told to wait
}

// reserve gives the next request its time.
func (p *pacer) reserve(now time.Time) (at time.Time, gen uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at = now
	if at.Before(p.paused) {
		at = p.paused
	}
	if p.rate > 0 {
		if earliest := at.Add(-slack); p.slot.Before(earliest) {
			p.slot = earliest
		}
		due := p.slot
		p.slot = p.slot.Add(time.Duration(float64(time.Second) / p.paceAt(at)))
		if due.After(at) {
			at = due
		}
	}
	return at, p.gen
}

// paceAt is the rate at a moment. The caller holds mu.
func (p *pacer) paceAt(t time.Time) float64 {
	s := max(0, t.Sub(p.since).Seconds())
	return min(p.rate*math.Exp(s*(growth+speedup*s)), noLimit)
}

// wait returns when the next request may go, with the generation to give back in refused.
func (p *pacer) wait(ctx context.Context) (gen uint64, err error) {
	for {
		at, gen := p.reserve(time.Now())
		if err := sleep(ctx, time.Until(at)); err != nil {
			return 0, err
		}
		p.mu.Lock()
		current := p.gen
		p.mu.Unlock()
		if gen == current { // else someone was refused in the meantime: queue again behind the pause
			return gen, nil
		}
	}
}

// took says that the node let one request in.
func (p *pacer) took() {
	p.mu.Lock()
	p.admitted++
	p.stats.Admitted++
	p.mu.Unlock()
}

// lose says that one request got no answer.
func (p *pacer) lose() {
	p.mu.Lock()
	p.stats.Lost++
	p.mu.Unlock()
}

// refused says that the node told a request of generation gen to come back after a time. limit says that it was
// for the rate, so that the pace has to change, and not for a state of the node.
func (p *pacer) refused(now time.Time, gen uint64, after time.Duration, limit bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stats.Refused++
	if limit {
		after = max(after, minPause)
	}
	after = min(after, maxPause)
	p.stats.Paused = max(p.stats.Paused, after)
	until := now.Add(after)
	if until.After(p.paused) {
		p.paused = until
	}
	if gen == p.gen { // the first of its event
		p.gen++
		p.stats.Pauses++
		if limit {
			if took := now.Sub(p.empty).Seconds(); !p.empty.IsZero() && took > 0 {
				p.rate = max(1, float64(p.admitted)/took)
			}
			p.empty, p.admitted = now, 0
		}
	}
	p.since, p.slot = p.paused, p.paused
}

// snapshot returns the counts so far.
func (p *pacer) snapshot(now time.Time) Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.stats
	if p.rate > 0 {
		s.Rate = p.paceAt(now)
	}
	return s
}

// sleep waits for d, or less when ctx ends first: then it returns the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
