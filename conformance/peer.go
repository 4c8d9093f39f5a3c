package conformance

import (
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// Peer is one node as a case sees it: the target of the run, or a node of the case's own (T.Spawn).
type Peer struct {
	t    *T
	base *url.URL // of the HTTP surface
	oap  string   // host:port

	Process *Process // nil where the suite did not start it
	gone    bool     // the case ended it on purpose, so there is nothing to probe

	usedOAP, usedHTTP atomic.Bool

	mu     sync.Mutex
	client *http.Client          // made when first used
	stored map[spec.Address]bool // what the case may have left
}

// Spawn starts a node of the case's own with further flags of `micronode run`. It is stopped when the case ends.
func (t *T) Spawn(args ...string) *Peer {
	p, err := StartProcess(t.s.cfg.Binary, t.Within(0), args...)
	if err != nil {
		t.Failf("a node does not start with %q: %v", args, err)
	}
	t.onClose(p.Kill)
	base, err := url.Parse(p.HTTP)
	if err != nil {
		t.Failf("the node announces %q as its HTTP surface", p.HTTP)
	}
	oap, err := oapAddress(p.OAP)
	if err != nil {
		t.Failf("the node announces %q as its OAP/1 surface", p.OAP)
	}
	peer := &Peer{t: t, base: base, oap: oap, Process: p}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.peers = append(t.peers, peer)
	return peer
}

// Gone tells the runner that the case ended the node, so that there is nothing to probe.
func (p *Peer) Gone() {
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	p.gone = true
}

// take waits until the target may be sent n more requests. Nodes of the case's own are spared nothing.
func (p *Peer) take(n int) {
	if p != p.t.Peer {
		return
	}
	if err := p.t.s.pace.WaitN(p.t.ctx, n); err != nil {
		p.t.Untestablef("the run was ended while %d requests waited for their turn: %v", n, err)
	}
}

// Owe remembers that the case may have stored an object, so that the clean-up deletes it.
func (p *Peer) Owe(addr spec.Address) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stored == nil {
		p.stored = map[spec.Address]bool{}
	}
	p.stored[addr] = true
}

// deleteStored deletes what the case may have left. An address that is not stored is no matter.
func (p *Peer) deleteStored() {
	p.mu.Lock()
	stored := p.stored
	p.stored = nil
	p.mu.Unlock()
	if len(stored) == 0 {
		return
	}
	c := p.Hello()
	for addr := range stored {
		c.Ask(refwire.Request{Op: "delete", Obj: addr, HasObj: true})
		c.Frame()
	}
}
