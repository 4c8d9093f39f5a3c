package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"time"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/impl/channel"
	"github.com/rustyonions/micronode/spec"
)

// via says how a peer has come: it is fixed when its connection is accepted.
type via struct {
	surface   audit.Surface
	transport string // as HELLO names it (OAP-HEL-007)
	peer      audit.Peer
	uid       uint32 // of the user at the other end of a Unix socket
	hasUID    bool
	loopback  bool // the peer is on this machine
}

// door is one listener.
type door struct {
	name      string // its key in the configuration
	surface   audit.Surface
	transport string
	http      bool
	tls       *channel.Server // nil without TLS
	l         net.Listener
}

// URL is how a client names the door.
func (d *door) URL() string {
	switch d.surface {
	case audit.SurfaceHTTP:
		return "http://" + d.l.Addr().String()
	case audit.SurfaceHTTPS:
		return "https://" + d.l.Addr().String()
	case audit.SurfaceOAP:
		return "oap://" + d.l.Addr().String()
	case audit.SurfaceOAPTLS:
		return "oap+tls://" + d.l.Addr().String()
	}
	return "unix:" + d.l.Addr().String()
}

// via describes a peer that has come through the door.
func (d *door) via(c net.Conn) via {
	v := via{surface: d.surface, transport: d.transport}
	if u, ok := c.(*channel.UnixConn); ok {
		v.uid, v.hasUID, v.loopback = u.PeerUID(), true, true
		v.peer = audit.PeerUID(v.uid)
		return v
	}
	if ap, err := netip.ParseAddrPort(c.RemoteAddr().String()); err == nil {
		ip := ap.Addr().Unmap()
		v.peer, v.loopback = audit.PeerAddr(ip), ip.IsLoopback()
	}
	return v
}

// listen binds every door of the configuration, or none.
func (n *Node) listen() error {
	for _, d := range []struct {
		door
		addr string
	}{
		{door{name: "http", surface: audit.SurfaceHTTP, http: true}, n.cfg.HTTP},
		{door{name: "https", surface: audit.SurfaceHTTPS, http: true}, n.cfg.HTTPS},
		{door{name: "oap", surface: audit.SurfaceOAP, transport: "tcp"}, n.cfg.OAP},
		{door{name: "oap_tls", surface: audit.SurfaceOAPTLS, transport: "tls"}, n.cfg.OAPTLS},
		{door{name: "unix", surface: audit.SurfaceUnix, transport: "unix"}, n.cfg.Unix},
	} {
		if d.addr == "" {
			continue
		}
		if err := n.bind(&d.door, d.addr); err != nil {
			n.closeDoors(func(*door) bool { return true })
			return fmt.Errorf("gate listeners_bound: bind %s: %w", d.name, err)
		}
		n.doors = append(n.doors, &d.door)
	}
	return nil
}

func (n *Node) bind(d *door, addr string) (err error) {
	if d.surface == audit.SurfaceHTTPS || d.surface == audit.SurfaceOAPTLS {
		protocol := channel.OAP
		if d.http {
			protocol = channel.HTTP
		}
		d.tls, err = channel.NewServer(channel.Config{
			Certificate: n.certificate, Mode: n.cfg.PQMode, Protocol: protocol, ClientCAs: n.clientCAs,
		})
		if err != nil {
			return err
		}
	}
	if d.surface == audit.SurfaceUnix {
		allow := n.cfg.UnixPeers
		if len(allow) > 0 {
			allow = append(slices.Clone(allow), uint32(os.Geteuid()))
		}
		d.l, err = channel.ListenUnix(channel.UnixConfig{Path: addr, Allow: allow, Refused: n.refusedPeer})
		return err
	}
	d.l, err = net.Listen("tcp", addr)
	return err
}

// refusedPeer writes down a local peer that is not on the allow-list: it was cut off unread (CAP-UDS-003).
func (n *Node) refusedPeer(e *channel.PeerError) {
	v := &via{surface: audit.SurfaceUnix}
	if e.Err == nil {
		v.peer = audit.PeerUID(e.UID)
	}
	n.metrics.reject(spec.Forbidden)
	n.denied(&denied{reason: spec.Forbidden, via: v})
}

// closeDoors closes the listeners that which names.
func (n *Node) closeDoors(which func(*door) bool) {
	for _, d := range n.doors {
		if which(d) {
			d.l.Close()
		}
	}
}

// find returns the first door with this surface, or nil.
func (n *Node) find(s audit.Surface) *door {
	for _, d := range n.doors {
		if d.surface == s {
			return d
		}
	}
	return nil
}

// HTTPAddr is the host:port that the HTTP surface is bound to without TLS; "" if it is not.
func (n *Node) HTTPAddr() string { return n.address(audit.SurfaceHTTP) }

// OAPAddr is the host:port that the OAP/1 surface is bound to without TLS; "" if it is not.
func (n *Node) OAPAddr() string { return n.address(audit.SurfaceOAP) }

func (n *Node) address(s audit.Surface) string {
	if d := n.find(s); d != nil {
		return d.l.Addr().String()
	}
	return ""
}

// URL is how a client reaches the node through the listener with this name in the configuration: "http", "https", "oap",
// "oap_tls" or "unix". It is "" for one that is off.
func (n *Node) URL(name string) string {
	for _, d := range n.doors {
		if d.name == name {
			return d.URL()
		}
	}
	return ""
}

// serve lets peers in through every door.
func (n *Node) serve() {
	ctx, cancel := context.WithCancel(context.Background())
	n.stop = cancel
	n.http = newHTTPServer(n)
	for _, d := range n.doors {
		n.accepting.Add(1)
		n.tasks.Go(func() error {
			defer n.accepting.Done()
			if !d.http {
				return n.acceptOAP(d)
			}
			if err := n.http.Serve(&httpListener{d.l, d, n}); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
				return err
			}
			return nil
		})
	}
	n.keep(ctx, "scrub", n.scrub)
	n.keep(ctx, "authority", n.keepAuthority)
}

// keep runs a service of the node until ctx ends. One that panics is reported, counted and started again: it must not take
// the node with it, and the node must not go on without it (RDY-OBS-008).
func (n *Node) keep(ctx context.Context, name string, service func(context.Context)) {
	n.tasks.Go(func() error {
		for ctx.Err() == nil {
			func() {
				defer func() {
					if fault := recover(); fault != nil {
						n.metrics.restarts.Inc()
						n.log.Error("a service failed and is started again", "event", "service_restart", "task", name, "reason", fmt.Sprint(fault))
						_ = wait(ctx, time.Second)
					}
				}()
				service(ctx)
			}()
		}
		return nil
	})
}

// acceptOAP accepts until the listener closes. A connection above the cap is closed unread (ADM-CAP-001, ADM-CAP-008).
func (n *Node) acceptOAP(d *door) error {
	for {
		c, err := d.l.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			if isTemporary(err) { // out of descriptors: existing connections must go on
				n.log.Warn("accept failed", "event", "accept", "reason", err.Error())
				time.Sleep(10 * time.Millisecond)
				continue
			}
			return fmt.Errorf("accept %s: %w", d.name, err)
		}
		if !n.gate.Connect() {
			n.metrics.reject(spec.Quota)
			c.Close()
			continue
		}
		n.open.Add(1)
		go func() {
			defer n.open.Done()
			defer n.gate.Disconnect()
			n.serveOAP(d, c)
		}()
	}
}

// serveOAP serves one connection to its end, the handshake first where there is one.
func (n *Node) serveOAP(d *door, c net.Conn) {
	v := d.via(c)
	if d.tls != nil {
		n.mu.Lock()
		late := !n.drain.IsZero()
		n.shaking[c] = struct{}{}
		n.mu.Unlock()
		var secured *tls.Conn
		if !late {
			secured = n.handshake(d, &patientConn{Conn: c})
		}
		n.mu.Lock()
		delete(n.shaking, c)
		n.mu.Unlock()
		if secured == nil {
			c.Close()
			return
		}
		c = secured
	}
	o := newOAPConn(n, c, v)
	n.mu.Lock()
	n.conns[o] = struct{}{}
	drain := n.drain
	n.mu.Unlock()
	if !drain.IsZero() {
		o.drain(drain)
	}
	o.serve()
	n.mu.Lock()
	delete(n.conns, o)
	n.mu.Unlock()
}

// handshake secures a connection, and counts how that went (CAP-TLS-005, CAP-TLS-012). It returns nil where it failed.
func (n *Node) handshake(d *door, c net.Conn) *tls.Conn {
	secured, res, err := d.tls.Handshake(context.Background(), c)
	if err != nil {
		n.metrics.handshakeFailures.Inc()
		var e *channel.Error
		if errors.As(err, &e) {
			if e.Cause == channel.CauseNoPostQuantum {
				n.metrics.downgrades.Inc()
			}
			n.metrics.reject(e.Reason)
			v := d.via(c)
			n.log.Info("a handshake failed", "event", "handshake_failed", "reason", string(e.Reason), "cause", string(e.Cause), "peer_addr", v.peer.String())
		}
		return nil
	}
	n.metrics.handshakes(res.Group).Inc()
	if res.Downgraded {
		n.metrics.downgrades.Inc()
	}
	return secured
}

// unacked is how many DATA frames wait for their ACK. A connection that is busy at this moment counts as it did the last
// time: whoever asks for the metrics waits for nobody.
func (n *Node) unacked() (sum int64) {
	n.eachConn(func(o *oapConn) {
		if o.mu.TryLock() {
			o.unacked.Store(o.sess.Unacked())
			o.mu.Unlock()
		}
		sum += o.unacked.Load()
	})
	return sum
}

// patientConn is what lies under TLS: a write that timed out would break the records above it for good, so the limit of
// OAP-SES-018 is kept here, and not by deadlines from above.
type patientConn struct {
	net.Conn
	broken error // of the Write that gave up; crypto/tls would still send an alert behind it
}

// Write writes all of b, as long as the peer takes some of it within the limit.
func (c *patientConn) Write(b []byte) (n int, err error) {
	if c.broken != nil {
		return 0, c.broken
	}
	err = patiently(c.Conn, func() (int, error) {
		k, err := c.Conn.Write(b[n:])
		n += k
		return k, err
	})
	c.broken = err
	return n, err
}
