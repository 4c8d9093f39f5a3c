package conformance

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// check says what is wrong with the form of d.
func (d Doors) check() error {
	for _, x := range []struct{ target, scheme string }{{d.HTTPS, "https"}, {d.OAPTLS, "oap+tls"}} {
		if u, err := url.Parse(x.target); x.target != "" && (err != nil || u.Scheme != x.scheme || u.Port() == "") {
			return fmt.Errorf("conformance: the target %q is not %s://host:port", x.target, x.scheme)
		}
	}
	if d.Unix != "" && d.socket() == "" {
		return fmt.Errorf("conformance: the target %q is not unix:/path", d.Unix)
	}
	if hexOf, ok := strings.CutPrefix(d.Fingerprint, "sha256:"); d.Fingerprint != "" {
		if b, err := hex.DecodeString(hexOf); !ok || err != nil || len(b) != sha256.Size {
			return errors.New(`conformance: the fingerprint is not "sha256:" and 64 hexadecimal digits`)
		}
	}
	return nil
}

// socket is the path of the Unix socket, "" where there is none.
func (d Doors) socket() string {
	path, ok := strings.CutPrefix(d.Unix, "unix:")
	if !ok || !strings.HasPrefix(path, "/") {
		return ""
	}
	return strings.TrimPrefix(path, "//") // unix:///path is the same
}

// clientTLS is how the suite speaks TLS: the certificate is what a case of its own is about, and no other's concern.
func clientTLS(protocol string) *tls.Config {
	return &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, NextProtos: []string{protocol}} //nolint:gosec // see above
}

// connect opens one connection to addr, in the way of the site, within the patience. size is that of its receive
// buffer, 0 for what the system gives.
func (p *Peer) connect(addr, protocol string, size int) (net.Conn, error) {
	network := "tcp"
	if p.unix && protocol == "oap/1" {
		network = "unix"
	}
	d := net.Dialer{Timeout: p.t.s.patience}
	nc, err := d.DialContext(p.t.ctx, network, addr)
	if err != nil {
		return nil, err
	}
	if tcp, ok := nc.(*net.TCPConn); ok && size > 0 {
		tcp.SetReadBuffer(size)
	}
	if !p.tls {
		return nc, nil
	}
	secured := tls.Client(nc, clientTLS(protocol))
	ctx, cancel := context.WithTimeout(p.t.ctx, p.t.s.patience)
	defer cancel()
	if err := secured.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, err
	}
	return secured, nil
}

// TLS is the same node by its TLS listeners. The case is unsupported where the run was given none.
func (p *Peer) TLS() *Peer {
	if p.doors.HTTPS == "" || p.doors.OAPTLS == "" {
		p.t.Unsupportedf("the run has no TLS listeners of the node")
	}
	base, err := url.Parse(p.doors.HTTPS)
	if err != nil {
		p.t.Failf("the node announces %q as its HTTPS surface", p.doors.HTTPS)
	}
	oap, err := url.Parse(p.doors.OAPTLS)
	if err != nil {
		p.t.Failf("the node announces %q as its OAP/1 surface behind TLS", p.doors.OAPTLS)
	}
	return p.t.join(&Peer{t: p.t, cap: p.cap, site: &site{base: base, oap: oap.Host, tls: true, paced: p.paced, doors: p.doors, Process: p.Process}})
}

// Unix is the same node by its Unix socket, and plain HTTP beside it. The case is unsupported where the run was given
// none.
func (p *Peer) Unix() *Peer {
	path := p.doors.socket()
	if path == "" {
		p.t.Unsupportedf("the run has no Unix socket of the node")
	}
	return p.t.join(&Peer{t: p.t, cap: p.cap, site: &site{base: p.base, oap: path, unix: true, paced: p.paced, doors: p.doors, Process: p.Process}})
}

// socketDir is a new directory for a Unix socket, as CAP-UDS-001 wants it, with a short path.
func (t *T) socketDir() string {
	dir, err := os.MkdirTemp("", "mn")
	if err != nil {
		t.Untestablef("no directory for a socket: %v", err)
	}
	t.onClose(func() { os.RemoveAll(dir) })
	return dir
}

// everyListener are the flags of a node that listens on every surface.
func (t *T) everyListener() []string {
	return []string{"--https", "127.0.0.1:0", "--oap-tls", "127.0.0.1:0", "--unix", filepath.Join(t.socketDir(), "s.sock")}
}

// spawnSecured starts a node of the case's own with every surface and a rate that is in nobody's way.
func (t *T) spawnSecured(args ...string) *Peer {
	return t.Spawn(append(append(t.everyListener(), "--rate", "100000"), args...)...)
}
