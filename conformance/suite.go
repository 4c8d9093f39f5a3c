package conformance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/rustyonions/micronode/spec"
)

const (
	// defaultPatience is how long a prompt answer may take. It is below the 5 s of the law's time limits, so that a
	// reaction which only comes from a time limit is told apart from one that comes from the bytes.
	defaultPatience = 4 * time.Second
	// rttFactor is how many measured round trips a prompt answer may take where that is more.
	rttFactor = 200
	// maxPatience keeps a far target from making the suite wait without end.
	maxPatience = 20 * time.Second

	defaultParallel = 8
	paceBurst       = 200
	calibrations    = 5
)

// Config is what a Suite is made from. HTTP and OAP are required.
type Config struct {
	HTTP  string // base URL of the HTTP surface: http://host:port
	OAP   string // URL of the OAP/1 surface: oap://host:port
	Doors        // further ways into the node, each optional

	// Cap is the capability, as text, that every request carries unless its case says otherwise; "" for none. It has
	// to allow every operation, issuing among them.
	Cap string

	// Process is the node's process where the suite started it, else nil. Its life is the caller's.
	Process *Process
	// Binary is an executable with the command line of micronode, for cases that need a process of their own; "" for none.
	Binary string

	Seed     uint64        // of every random choice; the same seed makes the same bytes
	MaxRPS   float64       // bound on requests per second to a node that is not the suite's own; 0 for none
	Parallel int           // cases at a time, those that wait for a clock not counted; 0 for 8
	Patience time.Duration // for a prompt answer; 0 for 4 s, or more where the round trip asks for it

	// Corpus is the vectors; nil to have the suite load them when the first case needs them.
	Corpus *Corpus

	// ReactionOnly ignores failing positive controls and makes no liveness probes. It is for testing the suite: what
	// passes then, against a peer that does nothing right, leans on them.
	ReactionOnly bool
}

// Suite runs cases against one node. Its methods are safe for concurrent use.
type Suite struct {
	cfg      Config
	httpBase *url.URL
	oapAddr  string
	pace     *rate.Limiter

	capability []byte   // Config.Cap, binary
	locks      sync.Map // name -> *sync.Mutex; for resources that can not be namespaced
	corpus     func() (*Corpus, error)
	broken     sync.Map // id of a script of the vectors that failed -> why, so that its many users need not wait for it

	patience time.Duration   // set by calibrate, before the first case
	rtt      time.Duration   // the shortest that was measured, or 0
	features map[string]bool // declared by the node; nil when it could not be asked
}

// New checks cfg. It does not talk to the node.
func New(cfg Config) (*Suite, error) {
	s := &Suite{cfg: cfg, patience: cfg.Patience, corpus: sync.OnceValues(LoadCorpus)}
	if cfg.Corpus != nil {
		s.corpus = func() (*Corpus, error) { return cfg.Corpus, nil }
	}
	base, err := url.Parse(cfg.HTTP)
	if err != nil || base.Scheme != "http" || base.Port() == "" {
		return nil, fmt.Errorf("conformance: the HTTP target %q is not http://host:port", cfg.HTTP)
	}
	s.httpBase = base
	if s.oapAddr, err = oapAddress(cfg.OAP); err != nil {
		return nil, err
	}
	if s.capability, err = readCapability(cfg.Cap); err != nil {
		return nil, errors.New("conformance: the capability is not the base64url text of CAP-TOK-002")
	}
	if err := cfg.Doors.check(); err != nil {
		return nil, err
	}
	if cfg.MaxRPS < 0 || cfg.Parallel < 0 || cfg.Patience < 0 {
		return nil, errors.New("conformance: a limit is negative")
	}
	if s.cfg.Parallel == 0 {
		s.cfg.Parallel = defaultParallel
	}
	if s.patience == 0 {
		s.patience = defaultPatience
	}
	limit := rate.Inf
	if cfg.MaxRPS > 0 {
		limit = rate.Limit(cfg.MaxRPS)
	}
	s.pace = rate.NewLimiter(limit, paceBurst)
	return s, nil
}

// oapAddress reads oap://host:port.
func oapAddress(target string) (string, error) {
	u, err := url.Parse(target)
	if err != nil || u.Scheme != "oap" || u.Port() == "" || u.Path != "" {
		return "", fmt.Errorf("conformance: the OAP/1 target %q is not oap://host:port", target)
	}
	return u.Host, nil
}

// Patience is how long the suite waits for a prompt answer, after calibration.
func (s *Suite) Patience() time.Duration { return s.patience }

// RTT is the shortest measured time from connecting to the answer to a HELLO, or 0 when there was none.
func (s *Suite) RTT() time.Duration { return s.rtt }

// Run calibrates and then runs cases, as many at a time as configured, those marked Slow first and beside the others.
// done is called with each result as it comes, from one goroutine at a time; nil for none. The results are in the
// order of cases. It ends early, with the cases not begun left out, only when ctx does.
func (s *Suite) Run(ctx context.Context, cases []Case, done func(Result)) []Result {
	s.calibrate(ctx)
	results := make([]Result, len(cases))
	var (
		wg    sync.WaitGroup
		mu    sync.Mutex
		slots = make(chan struct{}, s.cfg.Parallel)
	)
	one := func(i int) {
		r := s.run(ctx, cases[i])
		mu.Lock()
		defer mu.Unlock()
		results[i] = r
		if done != nil {
			done(r)
		}
	}
	for i, c := range cases {
		if c.Slow {
			wg.Go(func() { one(i) })
		}
	}
	for i, c := range cases {
		if c.Slow {
			continue
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			continue
		}
		wg.Go(func() {
			defer func() { <-slots }()
			one(i)
		})
	}
	wg.Wait()
	out := results[:0]
	for _, r := range results {
		if r.ID != "" {
			out = append(out, r)
		}
	}
	return out
}

// calibrate measures the round trip and asks for the features. A node that does not answer leaves both unknown: the
// cases will say why.
func (s *Suite) calibrate(ctx context.Context) {
	for range calibrations {
		probe := newT(ctx, s, Case{ID: "calibration", Level: spec.Must})
		var took time.Duration
		var features []string
		res := probe.protect(func() {
			begin := time.Now()
			c := probe.Dial()
			features = c.Handshake().Features
			took = time.Since(begin)
		})
		probe.close()
		if res.verdict != Pass {
			return
		}
		if s.rtt == 0 || took < s.rtt {
			s.rtt = took
		}
		s.features = map[string]bool{}
		for _, f := range features {
			s.features[f] = true
		}
	}
	if s.cfg.Patience == 0 {
		s.patience = min(max(s.patience, rttFactor*s.rtt), maxPatience)
	}
}

// lock takes the lock of this name and returns how to let go of it.
func (s *Suite) lock(name string) (unlock func()) {
	v, _ := s.locks.LoadOrStore(name, new(sync.Mutex))
	m := v.(*sync.Mutex)
	m.Lock()
	return m.Unlock
}

// dial opens a TCP connection within the patience.
func (s *Suite) dial(ctx context.Context, addr string) (net.Conn, error) {
	d := net.Dialer{Timeout: s.patience}
	return d.DialContext(ctx, "tcp", addr)
}
