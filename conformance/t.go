package conformance

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"lukechampine.com/blake3"

	"github.com/rustyonions/micronode/spec"
)

// stage is the part of a case that is running; it decides what a failure means.
type stage uint8

const (
	reaction stage = iota
	control
	liveness
)

// ending is how a case ends early. It travels as a panic from where it was found to Suite.run and no further.
type ending struct {
	verdict Verdict
	detail  string
}

// T is one run of one case. Its methods, and those of the peers and connections that come from it, end the case by
// panicking with an ending; in goroutines they may be used inside Each only.
type T struct {
	*Peer // the node under test

	s     *Suite
	c     Case
	ctx   context.Context
	begin time.Time

	mu       sync.Mutex
	rng      *rand.ChaCha8
	stage    stage
	controls int // positive controls that were made
	checks   int // reactions that were checked outside of them
	peers    []*Peer
	scripts  []*transcript
	closers  []func()
	held     map[string]bool // names of Exclusive
	release  []func()
	note     string
}

func newT(ctx context.Context, s *Suite, c Case) *T {
	seed := sha256.Sum256(fmt.Appendf(nil, "%d %s", s.cfg.Seed, c.ID))
	t := &T{s: s, c: c, ctx: ctx, begin: time.Now(), rng: rand.NewChaCha8(seed)}
	t.Peer = &Peer{t: t, site: &site{base: s.httpBase, oap: s.oapAddr, doors: s.cfg.Doors, paced: true, Process: s.cfg.Process}, cap: s.capability}
	t.peers = []*Peer{t.Peer}
	return t
}

// run runs one case from its control to its clean-up.
func (s *Suite) run(ctx context.Context, c Case) (res Result) {
	res = Result{ID: c.ID, Rules: c.Rules, Level: c.Level, Feature: c.Feature, Profile: c.Profile}
	begin := time.Now()
	defer func() { res.Millis = millis(time.Since(begin)) }()
	switch {
	case c.Feature != "" && s.features != nil && !s.features[c.Feature]:
		res.Verdict, res.Detail = Unsupported, "the node does not declare the feature "+c.Feature
		return res
	case c.Own && s.cfg.Binary == "":
		res.Verdict, res.Detail = Unsupported, "the suite has no program to start a node of its own with"
		return res
	}
	t := newT(ctx, s, c)
	defer t.close()
	end := t.protect(func() { c.Run(t) })
	if end.verdict == Pass && (t.controls == 0 || t.checks == 0) {
		end = ending{HarnessError, fmt.Sprintf("the case made %d positive controls and %d checks", t.controls, t.checks)}
	}
	script := "" // up to the failure: what probe and clean-up add would only hide it
	if end.verdict.Red() || end.verdict == Warn {
		script = t.transcripts()
	}
	// A broken node may look like a refusing one, so the probe has the last word over everything but a failure.
	if s.cfg.ReactionOnly {
		// The reaction stands alone.
	} else if alive := t.protect(t.probe); alive.verdict != Pass && !end.verdict.Red() {
		end, script = ending{Fail, "liveness probe: " + alive.detail}, t.transcripts()
	}
	t.cleanUp()
	if end.verdict == Pass && c.Level == spec.May {
		end = ending{Info, t.note}
	}
	if end.verdict == Pass {
		end.detail = t.note
	}
	res.Verdict, res.Detail, res.Transcript = end.verdict, redacted(end.detail), redacted(script)
	return res
}

// protect runs do and turns how it ended into an ending.
func (t *T) protect(do func()) (e ending) {
	e.verdict = Pass
	defer func() {
		switch p := recover().(type) {
		case nil:
		case ending:
			e = p
		default:
			e = ending{HarnessError, fmt.Sprintf("panic: %v\n%s", p, debug.Stack())}
		}
	}()
	do()
	return e
}

// Control runs the positive control: what it finds wrong makes the case untestable.
func (t *T) Control(do func()) {
	t.mu.Lock()
	t.stage = control
	t.controls++
	t.mu.Unlock()
	defer func() {
		t.mu.Lock()
		t.stage = reaction
		t.mu.Unlock()
	}()
	if t.s.cfg.ReactionOnly {
		t.protect(do)
		return
	}
	do()
}

// probe is the liveness probe: every surface that the case used answers on a new connection.
func (t *T) probe() {
	t.mu.Lock()
	t.stage = liveness
	peers := t.peers
	t.mu.Unlock()
	for _, p := range peers {
		if p.gone {
			continue
		}
		oap, http := p.usedOAP.Load(), p.usedHTTP.Load()
		if oap || !http {
			p.Hello().pulse()
		}
		if http {
			if r := p.Do(Request{Method: "GET", Path: "/healthz"}); r.Status != 200 {
				t.Failf("GET /healthz gives %d", r.Status)
			}
		}
	}
}

// cleanUp deletes what the case stored. What can not be deleted is no matter of the case.
func (t *T) cleanUp() {
	t.mu.Lock()
	t.stage = liveness
	peers := t.peers
	t.mu.Unlock()
	for _, p := range peers {
		if !p.gone {
			t.protect(p.deleteStored)
		}
	}
}

// close lets go of everything the case holds.
func (t *T) close() {
	t.mu.Lock()
	closers, release := t.closers, t.release
	t.closers, t.release = nil, nil
	t.mu.Unlock()
	for i := range closers {
		closers[len(closers)-1-i]()
	}
	for _, r := range release {
		r()
	}
}

func (t *T) onClose(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closers = append(t.closers, f)
}

// script begins the transcript of one connection.
func (t *T) script(name string) *transcript {
	t.mu.Lock()
	defer t.mu.Unlock()
	tr := &transcript{name: fmt.Sprintf("%s (#%d)", name, len(t.scripts)+1), start: t.begin}
	t.scripts = append(t.scripts, tr)
	return tr
}

// transcripts shows the last connections of the case, where the failure is, the oldest first.
func (t *T) transcripts() string {
	const shown = 3
	t.mu.Lock()
	scripts := t.scripts
	t.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "  seed %d\n", t.s.cfg.Seed)
	if n := len(scripts) - shown; n > 0 {
		fmt.Fprintf(&b, "  --- %d earlier connections are not shown\n", n)
		scripts = scripts[n:]
	}
	for _, tr := range scripts {
		b.WriteString(tr.String())
	}
	for _, p := range t.peers {
		if p.Process != nil {
			b.WriteString(p.Process.lastWords())
		}
	}
	return b.String()
}

// Failf ends the case: the node did not do what the rules of the case demand.
func (t *T) Failf(format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case t.stage == control:
		panic(ending{Untestable, "positive control: " + detail})
	case t.stage == liveness || t.c.Level == spec.Must:
		panic(ending{Fail, detail})
	case t.c.Level == spec.Should:
		panic(ending{Warn, detail})
	}
	panic(ending{Info, detail})
}

// Harnessf ends the case: the suite itself did something wrong.
func (t *T) Harnessf(format string, args ...any) {
	panic(ending{HarnessError, fmt.Sprintf(format, args...)})
}

// Untestablef ends the case: this machine or this target does not let it run.
func (t *T) Untestablef(format string, args ...any) {
	panic(ending{Untestable, fmt.Sprintf(format, args...)})
}

// Unsupportedf ends the case: it needs a means that this run does not have.
func (t *T) Unsupportedf(format string, args ...any) {
	panic(ending{Unsupported, fmt.Sprintf(format, args...)})
}

// Notef keeps something for the report that is neither right nor wrong.
func (t *T) Notef(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.note = fmt.Sprintf(format, args...)
}

// Check counts one checked reaction, and fails unless ok.
func (t *T) Check(ok bool, format string, args ...any) {
	t.mu.Lock()
	if t.stage == reaction {
		t.checks++
	}
	t.mu.Unlock()
	if !ok {
		t.Failf(format, args...)
	}
}

// Each runs do n times at once and ends the case with the first of their endings, if there is one.
func (t *T) Each(n int, do func(i int)) {
	ends := make([]ending, n)
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { ends[i] = t.protect(func() { do(i) }) })
	}
	wg.Wait()
	for _, e := range ends {
		if e.verdict != Pass {
			panic(e)
		}
	}
}

// Pause lets time pass where time itself is the stimulus.
func (t *T) Pause(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.ctx.Done():
		t.Untestablef("the run was ended: %v", context.Cause(t.ctx))
	}
}

// Beat is a short while in which a node that acts on half of its input would do so: a round trip.
func (t *T) Beat() { t.Pause(min(max(t.s.rtt, 2*time.Millisecond), 50*time.Millisecond)) }

// Patience is how long a prompt answer may take.
func (t *T) Patience() time.Duration { return t.s.patience }

// Within is how long after the start of a time limit of the law its effect may be seen at the latest.
func (t *T) Within(limit time.Duration) time.Duration { return limit + t.s.patience }

// Eventually repeats try until it says true, for as long as the law's limit allows.
func (t *T) Eventually(limit time.Duration, what string, try func() bool) {
	deadline := time.Now().Add(t.Within(limit))
	for !try() {
		if time.Now().After(deadline) {
			t.Check(false, "not within %v: %s", t.Within(limit), what)
		}
		t.Pause(20 * time.Millisecond)
	}
	t.Check(true, "")
}

// Exclusive keeps every other case that names the same thing out until this one has ended. It is for things that can
// not be namespaced, like the empty object.
func (t *T) Exclusive(name string) {
	t.mu.Lock()
	mine := t.held[name]
	if t.held == nil {
		t.held = map[string]bool{}
	}
	t.held[name] = true
	t.mu.Unlock()
	if mine {
		return
	}
	unlock := t.s.lock(name)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.release = append(t.release, unlock)
}

// Bytes returns n bytes that no other case or run has, if n is not tiny.
func (t *T) Bytes(n int) []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := make([]byte, n)
	t.rng.Read(b) // never fails
	return b
}

// Absent returns an address under which nothing is stored.
func (t *T) Absent() spec.Address { return AddressOf(t.Bytes(32)) }

// AddressOf is the address of b (CAS-ADR-001).
func AddressOf(b []byte) spec.Address { return blake3.Sum256(b) }
