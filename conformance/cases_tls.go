package conformance

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/spec"
)

// tlsCases are about CAP-TLS.
func tlsCases() []Case {
	tlsCase := func(id, description string, run func(*T), rules ...string) Case {
		return feature(FeatureTLS, capCase(id, description, run, rules...))
	}
	return []Case{
		tlsCase("tls-serves", "Both TLS listeners serve what the plain ones serve, to the same tokens, with the certificate that was announced.",
			tlsServes, "CAP-TLS-010", "CAP-TLS-011", "CAP-ROL-003"),
		tlsCase("tls-version", "TLS 1.3 is accepted, and 1.2 and below are not.",
			tlsVersion, "CAP-TLS-001"),
		tlsCase("tls-alpn", "The listener for OAP/1 demands the protocol oap/1 and agrees on nothing else.",
			tlsALPN, "CAP-TLS-003"),
		tlsCase("tls-plain", "Plain bytes on a TLS listener get nothing from behind it, and TLS on a plain one gets none.",
			tlsPlain, "CAP-TLS-001", "CAP-ROL-003"),
		tlsCase("tls-no-tickets", "No session ticket is issued and nothing is resumed, so there is no early data either.",
			tlsNoTickets, "CAP-TLS-013", "CAP-TLS-007"),
		slow(tlsCase("tls-handshake-time", "A handshake that is not complete after five seconds is cut, however it is kept busy.",
			tlsHandshakeTime, "CAP-TLS-008")),
		own(tlsCase("tls-hybrid", "By default the post-quantum group is preferred, and each handshake without it is counted.",
			tlsHybrid, "CAP-TLS-005", "RDY-OBS-007")),
		own(tlsCase("tls-required", "With pq_mode required a handshake with X25519 alone fails, and is counted twice over.",
			tlsRequired, "CAP-TLS-004", "CAP-TLS-012", "RDY-OBS-007")),
		own(tlsCase("tls-off", "With pq_mode off no post-quantum group is agreed on.",
			tlsOff, "CAP-TLS-006")),
		own(tlsCase("tls-failures", "Each failed handshake adds exactly one to its counter.",
			tlsFailures, "CAP-TLS-012", "RDY-OBS-007")),
		own(tlsCase("tls-self-signed", "Each start makes a certificate of its own, self-signed, and leaves no file.",
			tlsSelfSigned, "CAP-TLS-002", "AMN-RST-002")),
		own(tlsCase("tls-key-file", "A key file that others can read or write keeps the node from starting; with one that they can not, its certificate is served.",
			tlsKeyFile, "CAP-TLS-009", "CAP-TLS-010", "CAP-TLS-014")),
		own(tlsCase("tls-client-certificates", "With client certificates configured a handshake without one fails, and with one a capability is wanted all the same.",
			tlsClientCertificates, "CAP-TLS-011")),
		own(tlsCase("tls-beyond-loopback", "A TLS listener may be reached from elsewhere, a plain one may not, and then no token is printed unasked.",
			tlsBeyondLoopback, "CAP-ROL-004", "RDY-CFG-006")),
	}
}

// handshake connects to addr and shakes hands. In TLS 1.3 a server may refuse after the client is done, so an answer is
// read as well, where the handshake ends well; probe is what asks for it.
func (t *T) handshake(addr string, cfg *tls.Config, probe string) (tls.ConnectionState, []byte, error) {
	cfg = cfg.Clone()
	cfg.InsecureSkipVerify = true
	ctx, cancel := context.WithTimeout(t.ctx, t.Patience())
	defer cancel()
	raw, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		t.Failf("no connection to the TLS listener: %v", err)
	}
	defer raw.Close()
	raw.SetDeadline(time.Now().Add(t.Patience()))
	c := tls.Client(raw, cfg)
	if err := c.HandshakeContext(ctx); err != nil {
		return tls.ConnectionState{}, nil, err
	}
	if _, err := io.WriteString(c, probe); err != nil {
		return tls.ConnectionState{}, nil, err
	}
	answer := make([]byte, 4096)
	n, err := c.Read(answer)
	return c.ConnectionState(), answer[:n], err
}

// The probes: what brings an answer on either listener without a capability.
const httpProbe = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"

func oapProbe() string { return string(sealed(helloFrame([]byte("{}")))) }

// listener is one of the TLS listeners of p.
type listener struct {
	name, addr, protocol, probe string
}

func (p *Peer) listeners() []listener {
	secured := p.TLS()
	return []listener{{"https", secured.base.Host, "http/1.1", httpProbe}, {"oap+tls", secured.oap, "oap/1", oapProbe()}}
}

func (l listener) config() *tls.Config {
	return &tls.Config{NextProtos: []string{l.protocol}, MinVersion: tls.VersionTLS13}
}

// accepts demands a handshake with cfg and an answer behind it.
func (t *T) accepts(l listener, what string, cfg *tls.Config) tls.ConnectionState {
	state, answer, err := t.handshake(l.addr, cfg, l.probe)
	t.Check(err == nil && len(answer) > 0, "%s on %s: %v", what, l.name, err)
	return state
}

// declines demands that a handshake with cfg fails by the node's doing, and not by a time limit of ours.
func (t *T) declines(l listener, what string, cfg *tls.Config) {
	_, answer, err := t.handshake(l.addr, cfg, l.probe)
	t.Check(err != nil, "%s on %s is accepted, with the answer %s", what, l.name, textOf(answer))
	t.Check(!errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, context.DeadlineExceeded), "%s on %s is left open: %v", what, l.name, err)
}

func fingerprintOf(der []byte) string {
	sum := sha256.Sum256(der)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func tlsServes(t *T) {
	secured := t.TLS()
	t.Control(func() { t.HTTPRoundTrip(); t.Hello().RoundTrip() })
	secured.HTTPRoundTrip()
	secured.Hello().RoundTrip()
	data := t.Bytes(300_000)
	secured.Hello().Put(data)
	t.Serves(data) // one store behind all of them
	secured.Serves(data)
	var fingerprints []string
	for _, l := range t.listeners() {
		state := t.accepts(l, "the handshake", l.config())
		fingerprints = append(fingerprints, fingerprintOf(state.PeerCertificates[0].Raw))
	}
	t.Check(fingerprints[0] == fingerprints[1], "the listeners have the certificates %v", fingerprints)
	if t.doors.Fingerprint != "" {
		t.Check(fingerprints[0] == t.doors.Fingerprint, "the certificate is %s, and %s was announced", fingerprints[0], t.doors.Fingerprint)
	}
	version := t.Want(t.Get("/version"), 200)
	t.Check(strings.Contains(string(version.Body), fingerprints[0]), "/version does not have the fingerprint %s", fingerprints[0])
	secured.Refuses(secured.With(nil).Get(Object(t.Absent())), spec.Unauth)
}

func tlsVersion(t *T) {
	ls := t.listeners()
	t.Control(func() {
		for _, l := range ls {
			state := t.accepts(l, "TLS 1.3", l.config())
			t.Check(state.Version == tls.VersionTLS13, "the version is %x", state.Version)
		}
	})
	for _, l := range ls {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS11, tls.VersionTLS10} {
			cfg := l.config()
			cfg.MinVersion, cfg.MaxVersion = tls.VersionTLS10, version
			t.declines(l, fmt.Sprintf("version %x", version), cfg)
		}
		cfg := l.config()
		cfg.MinVersion = tls.VersionTLS10
		state := t.accepts(l, "every version", cfg)
		t.Check(state.Version == tls.VersionTLS13, "of every version, %x is taken", state.Version)
	}
}

func tlsALPN(t *T) {
	ls := t.listeners()
	oap, https := ls[1], ls[0]
	t.Control(func() {
		state := t.accepts(oap, "oap/1", oap.config())
		t.Check(state.NegotiatedProtocol == "oap/1", "the protocol is %q", state.NegotiatedProtocol)
	})
	for _, protocols := range [][]string{nil, {"http/1.1"}, {"h2", "http/1.1"}, {"oap/2"}, {"OAP/1"}, {"oap"}, {"oap/1 "}} {
		t.declines(oap, fmt.Sprintf("the protocols %q", protocols), &tls.Config{NextProtos: protocols, MinVersion: tls.VersionTLS13})
	}
	state := t.accepts(oap, "one of three", &tls.Config{NextProtos: []string{"h2", "oap/1", "http/1.1"}, MinVersion: tls.VersionTLS13})
	t.Check(state.NegotiatedProtocol == "oap/1", "the protocol is %q", state.NegotiatedProtocol)
	// HTTPS is not taken for OAP/1, whoever asks for it, and speaks HTTP/1.1 only.
	t.declines(https, "oap/1", &tls.Config{NextProtos: []string{"oap/1"}, MinVersion: tls.VersionTLS13})
	for _, protocols := range [][]string{nil, {"http/1.1"}, {"h2", "http/1.1"}} {
		state := t.accepts(https, fmt.Sprintf("the protocols %q", protocols), &tls.Config{NextProtos: protocols, MinVersion: tls.VersionTLS13})
		t.Check(state.NegotiatedProtocol == "http/1.1" || len(protocols) == 0 && state.NegotiatedProtocol == "", "the protocol is %q", state.NegotiatedProtocol)
	}
}

func tlsPlain(t *T) {
	ls := t.listeners()
	t.Control(func() {
		for _, l := range ls {
			t.accepts(l, "TLS", l.config())
		}
	})
	for _, l := range ls {
		nc, err := t.s.dial(t.ctx, l.addr)
		if err != nil {
			t.Failf("no connection: %v", err)
		}
		nc.SetDeadline(time.Now().Add(t.Within(spec.HandshakeTimeout)))
		io.WriteString(nc, l.probe)
		answer, _ := io.ReadAll(nc)
		nc.Close()
		t.Check(!strings.Contains(string(answer), "alive") && !strings.Contains(string(answer), "max_frame") && !strings.HasPrefix(string(answer), "HTTP/1.1 200"),
			"plain bytes on %s are answered with %q", l.name, answer)
	}
	for _, addr := range []string{t.base.Host, t.oap} {
		_, _, err := t.handshake(addr, &tls.Config{NextProtos: []string{"http/1.1", "oap/1"}, MinVersion: tls.VersionTLS13}, httpProbe)
		t.Check(err != nil, "a plain listener speaks TLS")
	}
}

// ticketBox notes whatever a client could resume with.
type ticketBox struct {
	mu  sync.Mutex
	got int
	tls.ClientSessionCache
}

func (b *ticketBox) Put(key string, s *tls.ClientSessionState) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if s != nil {
		b.got++
	}
	b.ClientSessionCache.Put(key, s)
}

func tlsNoTickets(t *T) {
	ls := t.listeners()
	t.Control(func() {
		for _, l := range ls {
			t.accepts(l, "the handshake", l.config())
		}
	})
	for _, l := range ls {
		box := &ticketBox{ClientSessionCache: tls.NewLRUClientSessionCache(10)}
		cfg := l.config()
		cfg.ClientSessionCache, cfg.ServerName = box, "node.test"
		for range 3 { // each reads an answer, before which a ticket would have come
			state := t.accepts(l, "the handshake", cfg)
			t.Check(!state.DidResume, "%s resumes a session", l.name)
		}
		t.Check(box.got == 0, "%s gives %d session tickets", l.name, box.got)
	}
}

func tlsHandshakeTime(t *T) {
	ls := t.listeners()
	t.Control(func() {
		for _, l := range ls {
			t.accepts(l, "the handshake", l.config())
		}
	})
	hello := clientHello(t)
	t.Each(2*len(ls), func(i int) {
		l, busy := ls[i/2], i%2 == 1
		begin := time.Now()
		nc, err := t.s.dial(t.ctx, l.addr)
		if err != nil {
			t.Failf("no connection: %v", err)
		}
		defer nc.Close()
		nc.SetDeadline(begin.Add(t.Within(spec.HandshakeTimeout)))
		if busy { // a byte of a handshake now and then
			go func() {
				for _, b := range hello {
					if _, err := nc.Write([]byte{b}); err != nil {
						return
					}
					t.Beat()
					select {
					case <-time.After(20 * time.Millisecond):
					case <-t.ctx.Done():
						return
					}
				}
			}()
		}
		_, err = io.Copy(io.Discard, nc)
		t.Check(!errors.Is(err, os.ErrDeadlineExceeded), "a handshake is still open after %v on %s", time.Since(begin), l.name)
		t.since(begin, spec.HandshakeTimeout, "a handshake that is not complete was cut on "+l.name)
	})
}

// clientHello is the first flight of a handshake, and padding behind it that keeps a record open.
func clientHello(t *T) []byte {
	ours, theirs := net.Pipe()
	defer theirs.Close()
	go func() {
		tls.Client(ours, clientTLS("oap/1")).Handshake()
		ours.Close()
	}()
	theirs.SetDeadline(time.Now().Add(time.Second))
	b := make([]byte, 300)
	if _, err := io.ReadFull(theirs, b); err != nil {
		t.Harnessf("no ClientHello: %v", err)
	}
	return b // less than there is, so that the handshake stays open
}

// only is the configuration of a client that knows these groups.
func (l listener) only(groups ...tls.CurveID) *tls.Config {
	cfg := l.config()
	cfg.CurvePreferences = groups
	return cfg
}

// moved says what do adds to the three counters of RDY-OBS-007.
func (p *Peer) moved(do func()) (failures, downgrades, hybrid, classical float64) {
	read := func() [4]float64 {
		m := p.metrics()
		var all [4]float64
		for i, name := range []string{"tls_handshake_failures_total", "pq_downgrade_events_total"} {
			v, ok := value(m, name, "")
			p.t.Check(ok, "/metrics has no %s", name)
			all[i] = v
		}
		all[2], _ = value(m, "pq_handshake_total", `algo="X25519MLKEM768"`)
		all[3], _ = value(m, "pq_handshake_total", "")
		all[3] -= all[2]
		return all
	}
	before := read()
	do()
	// The node may count after it has hung up: what holds still for a moment after it has moved is what it counted.
	after, deadline := read(), time.Now().Add(p.t.Patience())
	for last := before; (after == before || after != last) && time.Now().Before(deadline); {
		last = after
		p.t.Pause(30 * time.Millisecond)
		after = read()
	}
	return after[0] - before[0], after[1] - before[1], after[2] - before[2], after[3] - before[3]
}

func tlsHybrid(t *T) {
	node := t.spawnSecured()
	ls := node.listeners()
	t.Control(func() { node.TLS().Hello().RoundTrip() })
	for _, l := range ls {
		failures, downgrades, hybrid, _ := node.moved(func() {
			state := t.accepts(l, "every group", l.config())
			t.Check(state.CurveID == tls.X25519MLKEM768, "of every group %v is taken on %s", state.CurveID, l.name)
			state = t.accepts(l, "the hybrid group", l.only(tls.X25519MLKEM768))
			t.Check(state.CurveID == tls.X25519MLKEM768, "the group is %v", state.CurveID)
			state = t.accepts(l, "X25519 first", l.only(tls.X25519, tls.X25519MLKEM768))
			t.Check(state.CurveID == tls.X25519MLKEM768, "with both groups there %v is taken", state.CurveID)
		})
		t.Check(failures == 0 && downgrades == 0 && hybrid == 3, "three hybrid handshakes count %v failures, %v downgrades and %v of pq_handshake_total", failures, downgrades, hybrid)
		failures, downgrades, hybrid, _ = node.moved(func() {
			t.accepts(l, "X25519", l.only(tls.X25519))
			t.accepts(l, "X25519", l.only(tls.X25519))
		})
		t.Check(failures == 0 && downgrades == 2 && hybrid == 0, "two classical handshakes count %v failures and %v downgrades, and %v hybrid ones", failures, downgrades, hybrid)
	}
}

func tlsRequired(t *T) {
	node := t.spawnSecured("--pq-mode", "required")
	ls := node.listeners()
	t.Control(func() {
		for _, l := range ls {
			state := t.accepts(l, "the hybrid group", l.only(tls.X25519MLKEM768))
			t.Check(state.CurveID == tls.X25519MLKEM768, "the group is %v", state.CurveID)
		}
	})
	for _, l := range ls {
		for _, group := range []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384} {
			failures, downgrades, _, _ := node.moved(func() { t.declines(l, fmt.Sprint(group), l.only(group)) })
			t.Check(failures == 1 && downgrades == 1, "%v alone counts %v failures and %v downgrades", group, failures, downgrades)
		}
		state := t.accepts(l, "every group", l.config())
		t.Check(state.CurveID == tls.X25519MLKEM768, "of every group %v is taken", state.CurveID)
	}
}

func tlsOff(t *T) {
	node := t.spawnSecured("--pq-mode", "off")
	ls := node.listeners()
	t.Control(func() {
		for _, l := range ls {
			t.accepts(l, "X25519", l.only(tls.X25519))
		}
	})
	for _, l := range ls {
		state := t.accepts(l, "every group", l.config())
		t.Check(state.CurveID != tls.X25519MLKEM768, "a node with pq_mode off takes %v", state.CurveID)
		t.declines(l, "the hybrid group alone", l.only(tls.X25519MLKEM768))
	}
}

func tlsFailures(t *T) {
	node := t.spawnSecured()
	ls := node.listeners()
	t.Control(func() { node.TLS().Hello().RoundTrip() })
	for _, l := range ls {
		old, alien := l.config(), l.config()
		old.MinVersion, old.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		alien.NextProtos = []string{"imap"}
		for what, do := range map[string]func(){
			"TLS 1.2": func() { t.declines(l, "TLS 1.2", old) }, "another protocol": func() { t.declines(l, "another protocol", alien) },
			"no TLS": func() {
				nc, err := t.s.dial(t.ctx, l.addr)
				if err != nil {
					t.Failf("no connection: %v", err)
				}
				defer nc.Close()
				nc.SetDeadline(time.Now().Add(t.Patience()))
				io.WriteString(nc, httpProbe)
				io.Copy(io.Discard, nc)
			},
		} {
			failures, downgrades, _, _ := node.moved(do)
			t.Check(failures == 1 && downgrades == 0, "%s on %s counts %v failures and %v downgrades", what, l.name, failures, downgrades)
		}
		failures, _, _, _ := node.moved(func() { t.accepts(l, "the handshake", l.config()) })
		t.Check(failures == 0, "a handshake that ends well counts %v failures", failures)
	}
}

func tlsSelfSigned(t *T) {
	certificate := func(p *Peer) *x509.Certificate {
		l := p.listeners()[0]
		return t.accepts(l, "the handshake", l.config()).PeerCertificates[0]
	}
	first, second := t.spawnSecured(), t.spawnSecured()
	var a, b *x509.Certificate
	t.Control(func() { a, b = certificate(first), certificate(second) })
	t.Check(fingerprintOf(a.Raw) == first.Process.Fingerprint && fingerprintOf(b.Raw) == second.Process.Fingerprint, "the certificates are not those that were announced")
	t.Check(fingerprintOf(a.Raw) != fingerprintOf(b.Raw), "two nodes have one certificate")
	t.Check(string(a.RawSubjectPublicKeyInfo) != string(b.RawSubjectPublicKeyInfo), "two nodes have one key")
	t.Check(a.CheckSignature(a.SignatureAlgorithm, a.RawTBSCertificate, a.Signature) == nil, "the certificate is not signed by itself")
	now := time.Now()
	t.Check(a.NotBefore.Before(now) && a.NotAfter.After(now.Add(time.Hour)), "the certificate is valid from %v to %v", a.NotBefore, a.NotAfter)
	pool := x509.NewCertPool()
	pool.AddCert(a)
	_, err := a.Verify(x509.VerifyOptions{Roots: pool, DNSName: "127.0.0.1"})
	t.Check(err == nil, "the certificate can not be verified for 127.0.0.1: %v", err)
}

func tlsKeyFile(t *T) {
	dir := t.socketDir()
	own := t.certificate("node.test", nil)
	t.Control(func() {
		cert, key := own.files(dir, 0o600)
		node := t.spawnSecured("--tls-cert", cert, "--tls-key", key)
		for _, l := range node.listeners() {
			state := t.accepts(l, "the handshake", l.config())
			t.Check(fingerprintOf(state.PeerCertificates[0].Raw) == fingerprintOf(own.cert.Raw), "another certificate than the configured one is served on %s", l.name)
		}
		t.Check(node.Process.Fingerprint == fingerprintOf(own.cert.Raw), "the fingerprint is %s", node.Process.Fingerprint)
	})
	listen := []string{"--http", "127.0.0.1:0", "--oap", "127.0.0.1:0", "--https", "127.0.0.1:0"}
	for _, mode := range []os.FileMode{0o644, 0o640, 0o604, 0o620, 0o602, 0o660, 0o666} {
		cert, key := own.files(dir, mode)
		t.refusesToStart([]string{fmt.Sprintf(`%o\.key`, mode)}, append(listen, "--tls-cert", cert, "--tls-key", key)...)
	}
	cert, key := own.files(dir, 0o400)
	t.refusesToStart(nil, append(listen, "--tls-cert", cert)...)
	t.refusesToStart(nil, append(listen, "--tls-key", key)...)
	t.refusesToStart(nil, append(listen, "--tls-cert", cert, "--tls-key", filepath.Join(dir, "none.key"))...)
	for _, begin := range []time.Time{time.Now().Add(-2 * time.Hour), time.Now().Add(time.Hour)} {
		cert, key := t.certificateFrom(begin, "node.test", nil).files(t.socketDir(), 0o600)
		t.refusesToStart(nil, append(listen, "--tls-cert", cert, "--tls-key", key)...)
	}
	_, other := t.certificate("other.test", nil).files(t.socketDir(), 0o600)
	t.refusesToStart(nil, append(listen, "--tls-cert", cert, "--tls-key", other)...)
}

func tlsClientCertificates(t *T) {
	ca, stranger := t.certificate("authority.test", nil), t.certificate("stranger.test", nil)
	file, _ := ca.files(t.socketDir(), 0o600)
	node := t.spawnSecured("--tls-client-ca", file)
	with := func(l listener, a *authority) *tls.Config {
		cfg := l.config()
		// GetClientCertificate sends it whatever the node asks for.
		cfg.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{a.cert.Raw}, PrivateKey: a.key}, nil
		}
		return cfg
	}
	ours := t.certificate("client.test", ca)
	ls := node.listeners()
	t.Control(func() {
		for _, l := range ls {
			t.accepts(l, "a certificate of the authority", with(l, ours))
		}
	})
	for _, l := range ls {
		failures, _, _, _ := node.moved(func() { t.declines(l, "no certificate", l.config()) })
		t.Check(failures == 1, "a handshake without a certificate counts %v failures", failures)
		t.declines(l, "a certificate of another authority", with(l, t.certificate("client.test", stranger)))
		t.declines(l, "a certificate that signed itself", with(l, stranger))
	}
	request := fmt.Sprintf("GET %s HTTP/1.1\r\nHost: x\r\n\r\n", Object(t.Absent()))
	_, answer, err := t.handshake(ls[0].addr, with(ls[0], ours), request)
	t.Check(err == nil && strings.HasPrefix(string(answer), fmt.Sprintf("HTTP/1.1 %d ", http.StatusUnauthorized)), "with a certificate and without a token a GET is answered with %q, %v", answer, err)
	for _, peer := range node.t.peers { // whose TLS doors the runner could not pass
		peer.gone = peer.gone || peer.tls && peer.Process == node.Process
	}
}

func tlsBeyondLoopback(t *T) {
	t.Control(func() { t.Spawn().Hello() })
	t.refusesToStart([]string{"http"}, "--http", "0.0.0.0:0", "--oap", "127.0.0.1:0", "--https", "0.0.0.0:0")
	p, err := StartProcess(t.s.cfg.Binary, t.Within(0), "--https", "0.0.0.0:0", "--oap-tls", "0.0.0.0:0")
	if err != nil {
		t.Check(false, "a node with TLS listeners beyond loopback does not start: %v", err)
	}
	t.onClose(p.Kill)
	t.Check(p.Token == "", "a node that can be reached from elsewhere prints a token unasked")
	asked, err := StartProcess(t.s.cfg.Binary, t.Within(0), "--https", "0.0.0.0:0", "--bootstrap", "on")
	if err != nil {
		t.Check(false, "a node does not start with --bootstrap on: %v", err)
	}
	t.onClose(asked.Kill)
	t.Check(asked.Token != "", "a node prints no token when it is told to")
	var body struct {
		Features []string `json:"features"`
	}
	res, err := http.Get(asked.HTTP + "/version")
	t.Check(err == nil, "no answer from the plain listener on loopback: %v", err)
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	t.Check(json.Unmarshal(b, &body) == nil && strings.Contains(strings.Join(body.Features, " "), FeatureTLS), "/version declares %v", body.Features)
	http.DefaultClient.CloseIdleConnections()
}
