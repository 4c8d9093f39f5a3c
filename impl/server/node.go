package server

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/impl/channel"
	"github.com/rustyonions/micronode/impl/gate"
	"github.com/rustyonions/micronode/impl/keys"
	"github.com/rustyonions/micronode/impl/secret"
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

	vault       *secret.Vault // every key of the node
	identity    *keys.Identity
	statement   keys.SignedStatement // what /version says that it has signed
	certificate channel.Certificate  // of the listeners with TLS; zero without any
	clientCAs   *x509.CertPool       // nil: no client certificates
	authority   *capability.Authority
	audit       *audit.Log
	bootstrap   secret.String // zero where none was minted
	born        time.Time     // when the clock of the authority began
	ending      sync.WaitGroup

	keyMu   sync.Mutex
	lastKey capability.KeyID // the current root key that the audit log knows
	lastBad int64            // the integrity failures that the audit log knows

	doors     []*door
	features  []string // what is served; set before the first connection
	http      *http.Server
	accepting sync.WaitGroup     // accept loops: while one runs, connections are added to open
	tasks     errgroup.Group     // accept loops and services
	stop      context.CancelFunc // ends the services

	mu      sync.Mutex
	conns   map[*oapConn]struct{}
	shaking map[net.Conn]struct{} // OAP connections in their handshake
	open    sync.WaitGroup        // OAP connections
	drain   time.Time             // when connections are cut; zero unless draining

	shutdown sync.Once
	done     error // of the first Shutdown
}

// Start validates cfg, makes the keys of this life, opens the store, binds the listeners and serves. It returns once all are
// bound and the node is ready. The error names what to change, and the gate that could not be brought up (RDY-GAT-008).
func Start(cfg Config) (*Node, error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	g, err := gate.New(gate.Config{MaxConns: cfg.MaxConns, MaxInflight: cfg.MaxInflight, Rate: cfg.Rate})
	if err != nil {
		return nil, err
	}
	n := &Node{cfg: cfg, log: cfg.Log, gate: g, born: time.Now(), conns: map[*oapConn]struct{}{}, shaking: map[net.Conn]struct{}{}}
	n.gate.Up("config_loaded")
	if err := n.makeKeys(); err != nil {
		return nil, errors.Join(fmt.Errorf("gate keys_loaded: %w", err), n.dropKeys())
	}
	n.gate.Up("keys_loaded")
	if n.store, err = store.Open(store.Config{Capacity: cfg.StoreBytes}); err != nil {
		return nil, errors.Join(fmt.Errorf("gate store_open: %w", err), n.dropKeys())
	}
	n.gate.Up("store_open")
	n.gate.Up("bus_attached") // every service is in this process
	n.metrics = newMetrics(n)
	if err := n.listen(); err != nil {
		return nil, errors.Join(err, n.store.Close(), n.dropKeys())
	}
	_ = n.record(audit.Record{Event: audit.Started})
	if err := n.introduce(); err != nil {
		n.closeDoors(func(*door) bool { return true })
		return nil, errors.Join(fmt.Errorf("gate keys_loaded: %w", err), n.store.Close(), n.dropKeys())
	}
	n.serve()
	n.gate.Up("listeners_bound")
	n.flip(gate.Starting, gate.Ready)
	n.log.Info("ready", "event", "ready", "identity", n.identity.Public().ID(), "http", n.HTTPAddr(), "oap", n.OAPAddr(),
		"https", n.address(audit.SurfaceHTTPS), "oap_tls", n.address(audit.SurfaceOAPTLS), "unix", n.address(audit.SurfaceUnix))
	return n, nil
}

// Notes says, in sentences for people, what this system could not guarantee.
func (n *Node) Notes() []string { return append(n.store.Stats().Notes, n.vault.Stats().Notes...) }

// Shutdown drains and stops (RDY-DRN): /readyz answers 503 at once, new requests are refused, work in flight gets
// until ctx ends or spec.DrainTimeout, then it is cut. The store is cleared last. Later calls wait for the first.
func (n *Node) Shutdown(ctx context.Context) error {
	n.shutdown.Do(func() { n.done = n.stopAll(ctx) })
	return n.done
}

func (n *Node) stopAll(ctx context.Context) error {
	n.gate.Drain()
	n.flip(gate.Ready, gate.Draining)
	n.log.Info("draining", "event", "draining")
	ctx, cancel := context.WithTimeout(ctx, spec.DrainTimeout)
	defer cancel()
	by, _ := ctx.Deadline()
	n.mu.Lock()
	n.drain = by
	for o := range n.conns {
		o.drain(by)
	}
	for c := range n.shaking { // nothing is in flight on them
		c.Close()
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
	n.closeDoors(func(d *door) bool { return !d.http })
	n.stopHTTP()
	n.accepting.Wait()
	n.waitOAP(ctx, by)
	settle, done := context.WithTimeout(context.Background(), cutGrace)
	n.quiet(settle) // handlers that were cut give back what they hold before the store is cleared
	done()
	n.stop()
	err := n.tasks.Wait()
	n.endLeases(n.authority.Close())
	n.ending.Wait()
	n.gate.Stop()
	n.flip(gate.Draining, gate.Stopped)
	err = errors.Join(err, n.store.Close(), n.dropKeys())
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
	n.eachConn((*oapConn).hangUp)
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
