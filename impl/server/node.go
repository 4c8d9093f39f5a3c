package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rustyonions/micronode/impl/gate"
	"github.com/rustyonions/micronode/impl/store"
	"github.com/rustyonions/micronode/spec"
)

// Node is a running node. Its methods are safe for concurrent use.
type Node struct {
	cfg     Config
	log     *slog.Logger
	gate    *gate.Gate
	store   *store.Store
	metrics *metrics

	httpL, oapL net.Listener
	http        *http.Server
	accepting   chan struct{}      // closed when acceptOAP returned: no connection is added to open any more
	tasks       errgroup.Group     // accept loops and the scrub
	stop        context.CancelFunc // ends the scrub

	mu    sync.Mutex
	conns map[*oapConn]struct{}
	open  sync.WaitGroup // OAP connections
	drain time.Time      // when connections are cut; zero unless draining

	shutdown sync.Once
	done     error // of the first Shutdown
}

// Start validates cfg, opens the store, binds both listeners and serves. It returns once both are bound and the
// node is ready. The error names what to change, and the gate that could not be brought up (RDY-GAT-008).
func Start(cfg Config) (*Node, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	g, err := gate.New(gate.Config{MaxConns: cfg.MaxConns, MaxInflight: cfg.MaxInflight, Rate: cfg.Rate})
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, log: cfg.Log, gate: g, conns: map[*oapConn]struct{}{}, accepting: make(chan struct{})}
	n.gate.Up("config_loaded")
	n.gate.Up("keys_loaded") // no keys yet: capabilities and TLS bring them
	if n.store, err = store.Open(store.Config{Capacity: cfg.StoreBytes}); err != nil {
		return nil, fmt.Errorf("gate store_open: %w", err)
	}
	n.gate.Up("store_open")
	n.gate.Up("bus_attached") // every service is in this process
	n.metrics = newMetrics(n)
	if err := n.listen(); err != nil {
		return nil, errors.Join(err, n.store.Close())
	}
	n.serve()
	n.gate.Up("listeners_bound")
	n.log.Info("ready", "event", "ready", "http", n.HTTPAddr(), "oap", n.OAPAddr())
	return n, nil
}

func (n *Node) listen() (err error) {
	if n.httpL, err = net.Listen("tcp", n.cfg.HTTP); err != nil {
		return fmt.Errorf("gate listeners_bound: bind http: %w", err)
	}
	if n.oapL, err = net.Listen("tcp", n.cfg.OAP); err != nil {
		n.httpL.Close()
		return fmt.Errorf("gate listeners_bound: bind oap: %w", err)
	}
	return nil
}

func (n *Node) serve() {
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	n.http = newHTTPServer(n)
	n.tasks.Go(func() error {
		if err := n.http.Serve(&httpListener{n.httpL, n}); !errors.Is(err, http.ErrServerClosed) {
			return err
		}
		return nil
	})
	n.tasks.Go(func() error {
		defer close(n.accepting)
		return n.acceptOAP()
	})
	n.tasks.Go(func() error { n.scrub(ctx); return nil })
}

// HTTPAddr is the host:port that the HTTP surface is bound to.
func (n *Node) HTTPAddr() string { return n.httpL.Addr().String() }

// OAPAddr is the host:port that the OAP/1 surface is bound to.
func (n *Node) OAPAddr() string { return n.oapL.Addr().String() }

// Notes says, in sentences for people, what this system could not guarantee.
func (n *Node) Notes() []string { return n.store.Stats().Notes }

// acceptOAP accepts until the listener closes. A connection above the cap is closed unread (ADM-CAP-001).
func (n *Node) acceptOAP() error {
	for {
		c, err := n.oapL.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			if isTemporary(err) { // out of descriptors: existing connections must go on
				n.log.Warn("accept failed", "event", "accept", "reason", err.Error())
				time.Sleep(10 * time.Millisecond)
				continue
			}
			return fmt.Errorf("accept oap: %w", err)
		}
		if !n.gate.Connect() {
			n.metrics.reject(spec.Quota)
			c.Close()
			continue
		}
		o := newOAPConn(n, c)
		n.mu.Lock()
		n.conns[o] = struct{}{}
		drain := n.drain
		n.open.Add(1)
		n.mu.Unlock()
		if !drain.IsZero() {
			o.drain(drain)
		}
		go func() {
			defer n.open.Done()
			o.serve()
			n.mu.Lock()
			delete(n.conns, o)
			n.mu.Unlock()
			n.gate.Disconnect()
		}()
	}
}

// Shutdown drains and stops (RDY-DRN): /readyz answers 503 at once, new requests are refused, work in flight gets
// until ctx ends or spec.DrainTimeout, then it is cut. The store is cleared last. Later calls wait for the first.
func (n *Node) Shutdown(ctx context.Context) error {
	n.shutdown.Do(func() { n.done = n.stopAll(ctx) })
	return n.done
}

func (n *Node) stopAll(ctx context.Context) error {
	n.gate.Drain()
	n.log.Info("draining", "event", "draining")
	ctx, cancel := context.WithTimeout(ctx, spec.DrainTimeout)
	defer cancel()
	by, _ := ctx.Deadline()
	n.mu.Lock()
	n.drain = by
	for o := range n.conns {
		o.drain(by)
	}
	n.mu.Unlock()

	// Not ready is visible before the door closes (RDY-DRN-002): the listeners outlive the flip by a moment in
	// which a prober on a new connection still gets its 503, also where nobody waits for work in flight any more.
	notice := time.After(drainNotice)
	select {
	case <-ctx.Done():
		n.eachConn(func(o *oapConn) { o.cut(by) })
		<-notice
	case <-notice:
	}
	n.quiet(ctx)
	n.oapL.Close()
	n.stopHTTP()
	<-n.accepting
	n.waitOAP(ctx, by)
	settle, done := context.WithTimeout(context.Background(), cutGrace)
	n.quiet(settle) // handlers that were cut give back what they hold before the store is cleared
	done()
	n.stop()
	err := n.tasks.Wait()
	n.gate.Stop()
	err = errors.Join(err, n.store.Close())
	n.log.Info("stopped", "event", "stopped")
	return err
}

const (
	// drainNotice is how long new connections are still answered (with refusals) after draining began, at least.
	drainNotice = 100 * time.Millisecond
	// drainCheck is how often a draining node looks whether it has become quiet.
	drainCheck = 10 * time.Millisecond
	// cutGrace is how long work that was cut may take to clean up, and its last ERROR to be written.
	cutGrace = time.Second
)

// stopHTTP closes the HTTP surface. Nothing is in flight any more, or its time is over: what is left are connections
// without a request, among them such that never sent one or only half of it, and answers on their way out.
func (n *Node) stopHTTP() {
	flush, done := context.WithTimeout(context.Background(), drainNotice)
	defer done()
	if n.http.Shutdown(flush) != nil {
		n.http.Close()
	}
}

// quiet waits until nothing is in flight or ctx ends. Until then the listeners stay open (RDY-DRN-002), and no longer
// (RDY-DRN-004): nothing new is admitted, so quiet is for good.
func (n *Node) quiet(ctx context.Context) {
	tick := time.NewTicker(drainCheck)
	defer tick.Stop()
	for n.gate.Status().Inflight > 0 {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// waitOAP waits for the OAP connections. When ctx ends, what is left is told so and cut (RDY-DRN-003).
func (n *Node) waitOAP(ctx context.Context, by time.Time) {
	gone := make(chan struct{})
	go func() { n.open.Wait(); close(gone) }()
	select {
	case <-gone:
		return
	case <-ctx.Done():
	}
	n.eachConn(func(o *oapConn) { o.cut(by) })
	select {
	case <-gone:
		return
	case <-time.After(cutGrace):
	}
	n.eachConn(func(o *oapConn) { o.c.Close() })
	<-gone
}

func (n *Node) eachConn(do func(*oapConn)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for o := range n.conns {
		do(o)
	}
}

// isTemporary says that accepting may work again, as when descriptors ran out.
func isTemporary(err error) bool {
	var ne interface{ Temporary() bool }
	return errors.As(err, &ne) && ne.Temporary()
}
