package conformance

import (
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"

	"github.com/rustyonions/micronode/model/refcap"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// Peer is one node as a case sees it: the target of the run, or a node of the case's own (T.Spawn), by one pair of
// doors and with one capability. Over and With give the same node by others.
type Peer struct {
	*site
	t   *T
	cap []byte // the capability of every request that does not bring its own, binary; nil for none
}

// site is the part of a Peer that does not depend on whom it acts for.
type site struct {
	base  *url.URL // of the HTTP surface
	oap   string   // host:port, or the path of a Unix socket
	tls   bool     // both are behind TLS
	unix  bool     // oap is a path
	paced bool     // no node of the case's own

	doors   Doors    // every other way in
	Process *Process // nil where the suite did not start it
	gone    bool     // the case ended it on purpose, so there is nothing to probe

	usedOAP, usedHTTP atomic.Bool

	mu     sync.Mutex
	client *http.Client          // made when first used
	stored map[spec.Address]bool // what the case may have left
}

// Doors are the ways into a node beyond plain HTTP and OAP/1 over TCP, each empty where it is not there.
type Doors struct {
	HTTPS       string // https://host:port
	OAPTLS      string // oap+tls://host:port
	Unix        string // unix:/path
	Fingerprint string // "sha256:" and 64 hexadecimal digits of the certificate
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
	capability, err := readCapability(p.Token)
	if err != nil {
		t.Failf("the node announces a token that is none: %v", err)
	}
	return t.join(&Peer{t: t, site: &site{base: base, oap: oap, doors: p.Doors, Process: p}, cap: capability})
}

// join has the runner probe and clean up p as well.
func (t *T) join(p *Peer) *Peer {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.peers = append(t.peers, p)
	return p
}

// With is the same node for the holder of another capability, given in binary form; nil for a stranger.
func (p *Peer) With(capability []byte) *Peer { return &Peer{site: p.site, t: p.t, cap: capability} }

// readCapability reads a token of the command line: text, binary from here on.
func readCapability(text string) ([]byte, error) {
	if text == "" {
		return nil, nil
	}
	return refcap.Binary(text)
}

// Gone tells the runner that the case ended the node, so that there is nothing to probe.
func (p *Peer) Gone() {
	p.t.mu.Lock()
	defer p.t.mu.Unlock()
	for _, q := range p.t.peers { // by every door
		q.gone = q.gone || q.Process == p.Process
	}
}

// take waits until the target may be sent n more requests. Nodes of the case's own are spared nothing.
func (p *Peer) take(n int) {
	if !p.paced {
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
