package server

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/impl/channel"
	"github.com/rustyonions/micronode/spec"
)

// What goes in through one door comes out of every other.
func TestRoundTripsThroughEveryDoor(t *testing.T) {
	n := startEverywhere(t, nil)
	p := placeOf(n)
	for i, door := range oapDoors {
		b := append(randomBytes(3<<20), byte(i))
		p.peer(t, door, binaryToken(n)).putObject(1, b)
		for _, other := range oapDoors {
			o := p.peer(t, other, binaryToken(n))
			o.start(1, spec.FlagEnd, fmt.Sprintf(`{"op":"get","obj":"%s"}`, address(b)))
			if got, _ := o.getObject(1); !bytes.Equal(got, b) {
				t.Errorf("%s to %s: %d bytes", door, other, len(got))
			}
			o.c.Close()
		}
		for _, other := range httpDoors {
			if resp, got := p.ask(t, other, "GET", "/o/"+address(b).String(), p.Token, nil); resp.StatusCode != 200 || !bytes.Equal(got, b) {
				t.Errorf("%s to %s: %d, %d bytes", door, other, resp.StatusCode, len(got))
			}
		}
	}
	b := randomBytes(spec.MaxBody)
	if resp, body := p.ask(t, "https", "POST", "/put", p.Token, b); resp.StatusCode != 201 {
		t.Errorf("1 MiB over https: %d %s", resp.StatusCode, body)
	}
}

// A reader that stalls, and takes some bytes now and then, gets everything: under TLS as well, where a write that timed out
// once would break the connection for good (OAP-SES-018).
func TestSlowReaders(t *testing.T) {
	t.Parallel()
	n := startEverywhere(t, nil)
	b := randomBytes(24 << 20)
	obj := plant(t, n, b).String()
	for _, door := range []string{"oap", "oap_tls", "unix", "https"} {
		t.Run(door, func(t *testing.T) {
			t.Parallel()
			p := placeOf(n)
			nap := time.NewTicker(700 * time.Millisecond) // almost three slices of a stalled write
			defer nap.Stop()
			if door == "https" {
				c := p.dial(t, door)
				io.WriteString(c, head("GET", "/o/"+obj, p.Token, "Connection", "close"))
				got := make([]byte, 0, len(b)+1000)
				for range 3 {
					<-nap.C
					k, err := io.ReadFull(c, got[len(got):len(got)+100_000])
					if got = got[:len(got)+k]; err != nil {
						t.Fatal(err)
					}
				}
				rest, err := io.ReadAll(c)
				if got = append(got, rest...); err != nil || !bytes.HasSuffix(got, b) {
					t.Errorf("%d bytes, %v", len(got), err)
				}
				return
			}
			o := p.peer(t, door, binaryToken(n))
			o.start(1, spec.FlagEnd, `{"op":"get","obj":"`+obj+`"}`)
			slow := &slowConn{Conn: o.c, nap: nap, naps: 4}
			o.c = slow
			if got, _ := o.getObject(1); !bytes.Equal(got, b) {
				t.Errorf("%d bytes", len(got))
			}
			if slow.naps != 0 {
				t.Error("the reader never stalled")
			}
		})
	}
}

// slowConn stalls a few of its reads.
type slowConn struct {
	net.Conn
	nap  *time.Ticker
	naps int
}

func (c *slowConn) Read(b []byte) (int, error) {
	if c.naps > 0 {
		<-c.nap.C
		c.naps--
	}
	return c.Conn.Read(b)
}

// CAP-TLS-001, 003, 012, ADM-CNT-001: a handshake that fails counts once, as that, and is never answered with HTTP.
func TestHandshakeFailures(t *testing.T) {
	n := startEverywhere(t, nil)
	p := placeOf(n)
	plainHTTP := func(t *testing.T, c net.Conn, _ *tls.Config) error {
		io.WriteString(c, head("GET", "/healthz", p.Token))
		got, err := io.ReadAll(c)
		if bytes.Contains(got, []byte("HTTP/")) {
			t.Errorf("answered with %q", got)
		}
		return errors.Join(err, errors.New("no TLS"))
	}
	shake := func(change func(*tls.Config)) func(*testing.T, net.Conn, *tls.Config) error {
		return func(_ *testing.T, c net.Conn, cfg *tls.Config) error {
			change(cfg)
			s := tls.Client(c, cfg)
			if err := s.Handshake(); err != nil {
				return err
			}
			_, err := s.Read(make([]byte, 1))
			return err
		}
	}
	for _, door := range []string{"https", "oap_tls"} {
		for name, try := range map[string]func(*testing.T, net.Conn, *tls.Config) error{
			"plain HTTP":  plainHTTP,
			"TLS 1.2":     shake(func(c *tls.Config) { c.MaxVersion = tls.VersionTLS12 }),
			"other ALPN":  shake(func(c *tls.Config) { c.NextProtos = []string{"h2"} }),
			"no ALPN":     shake(func(c *tls.Config) { c.NextProtos = nil }),
			"cut":         func(_ *testing.T, c net.Conn, _ *tls.Config) error { c.Write([]byte{22, 3}); c.Close(); return io.EOF },
			"wrong trust": shake(func(c *tls.Config) { c.RootCAs = x509.NewCertPool() }),
		} {
			if door == "https" && name == "no ALPN" {
				continue // which simple clients of HTTP leave out
			}
			t.Run(door+" "+name, func(t *testing.T) {
				before, failed := figuresOf(n), testutil.ToFloat64(n.metrics.handshakeFailures)
				c := p.raw(t, door)
				c.SetDeadline(time.Now().Add(10 * time.Second))
				if err := try(t, c, p.tls(door)); err == nil {
					t.Fatal("succeeded")
				}
				within(t, 5*time.Second, "the failure is counted", func() bool { return testutil.ToFloat64(n.metrics.handshakeFailures) == failed+1 })
				c.Close()
				quiet(t, n)
				if got := testutil.ToFloat64(n.metrics.handshakeFailures); got != failed+1 {
					t.Errorf("%v failures counted", got-failed)
				}
				wantDenied(t, n, before, spec.Malformed)
			})
		}
	}
	for _, door := range []string{"http", "oap"} { // and TLS where there is none
		before, failed := figuresOf(n), testutil.ToFloat64(n.metrics.handshakeFailures)
		if err := tls.Client(p.raw(t, door), p.tls(door)).Handshake(); err == nil {
			t.Errorf("TLS at %s", door)
		}
		want := spec.Malformed
		if door == "oap" {
			want = spec.Oversize // what a ClientHello says where a length is expected (OAP-FRM-003)
		}
		within(t, 5*time.Second, "the refusal is counted", func() bool { return figuresOf(n).rejected[want] == before.rejected[want]+1 })
		wantDenied(t, n, before, want)
		if testutil.ToFloat64(n.metrics.handshakeFailures) != failed {
			t.Error("counted as a failed handshake")
		}
	}
}

// CAP-TLS-008: handshakes that stall hold neither the accept loop nor the end of the node, and count towards the cap of
// connections all the while (ADM-CAP-001).
func TestStalledHandshakes(t *testing.T) {
	for _, door := range []string{"https", "oap_tls"} {
		n := startEverywhere(t, func(c *Config) { c.MaxConns = 66 })
		p := placeOf(n)
		for range 64 {
			p.raw(t, door).Write([]byte{22, 3, 1})
		}
		within(t, 5*time.Second, "64 connections", func() bool { return n.gate.Status().Conns == 64 })
		c := p.dial(t, door) // there is room for two more, and they need not wait
		p.raw(t, door)
		within(t, 5*time.Second, "66 connections", func() bool { return n.gate.Status().Conns == 66 })
		over := p.raw(t, door)
		over.SetReadDeadline(time.Now().Add(2 * time.Second))
		if _, err := over.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: a connection above the cap: %v", door, err)
		}
		c.Close()
		began := time.Now()
		if err := n.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("%s: the end took %v", door, took)
		}
	}
}

// RDY-DRN-003: peers that stopped reading do not hold up the end, under TLS neither, where closing wants to say goodbye.
func TestDrainOfStalledReaders(t *testing.T) {
	t.Parallel()
	for _, door := range []string{"http", "https", "oap", "oap_tls", "unix"} {
		t.Run(door, func(t *testing.T) {
			t.Parallel()
			n := startEverywhere(t, nil)
			p := placeOf(n)
			obj := plant(t, n, randomBytes(large)).String()
			if strings.HasPrefix(door, "http") {
				io.WriteString(p.dial(t, door), head("GET", "/o/"+obj, p.Token))
			} else {
				p.peer(t, door, binaryToken(n)).start(1, spec.FlagEnd, `{"op":"get","obj":"`+obj+`"}`)
			}
			leases(t, n, 1)
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			began := time.Now()
			n.Shutdown(ctx)
			if took := time.Since(began); took > 3*time.Second {
				t.Errorf("the end took %v", took)
			}
		})
	}
}

// CAP-TLS-004, 005, 006, 012, RDY-OBS-007
func TestPostQuantumModes(t *testing.T) {
	for _, c := range []struct {
		mode      channel.PQMode
		groups    []tls.CurveID
		group     string // "" where the handshake fails
		downgrade float64
	}{
		{channel.PQOff, nil, "X25519", 0},
		{channel.PQOff, []tls.CurveID{tls.X25519MLKEM768}, "", 0},
		{channel.PQHybrid, nil, "X25519MLKEM768", 0},
		{channel.PQHybrid, []tls.CurveID{tls.X25519}, "X25519", 1},
		{channel.PQHybrid, []tls.CurveID{tls.CurveP256}, "P-256", 1},
		{channel.PQRequired, nil, "X25519MLKEM768", 0},
		{channel.PQRequired, []tls.CurveID{tls.X25519, tls.CurveP256}, "", 1},
	} {
		n := startEverywhere(t, func(cfg *Config) { cfg.PQMode = c.mode })
		p := placeOf(n)
		for i, door := range []string{"https", "oap_tls"} {
			cfg := p.tls(door)
			cfg.CurvePreferences = c.groups
			s := tls.Client(p.raw(t, door), cfg)
			err := s.Handshake()
			if (err == nil) != (c.group != "") {
				t.Errorf("%s %s %v: %v", c.mode, door, c.groups, err)
			}
			k := float64(i + 1)
			within(t, 5*time.Second, "counted", func() bool {
				done := testutil.ToFloat64(n.metrics.handshakeFailures)
				for _, g := range handshakeGroups {
					done += testutil.ToFloat64(n.metrics.handshakes(g))
				}
				return done == k
			})
			s.NetConn().Close()
			quiet(t, n)
			if got := testutil.ToFloat64(n.metrics.downgrades); got != c.downgrade*k {
				t.Errorf("%s %s %v: %v downgrades", c.mode, door, c.groups, got)
			}
			if c.group != "" && testutil.ToFloat64(n.metrics.handshakes(c.group)) != k {
				t.Errorf("%s %s %v: not counted as %s", c.mode, door, c.groups, c.group)
			}
		}
		if got := parse(t, second(p.ask(t, "http", "GET", "/version", "", nil)))["pq_mode"]; got != string(c.mode) {
			t.Errorf("/version says %v", got)
		}
	}
}

func second[A, B any](_ A, b B) B { return b }

// CAP-TLS-011: without a certificate of the authority nobody gets in, and with one a capability is needed all the same.
func TestClientCertificates(t *testing.T) {
	folder := t.TempDir()
	ca, caKey := authorityCert(t, nil, nil)
	file := filepath.Join(folder, "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	leaf, key := authorityCert(t, ca, caKey)
	other, otherKey := authorityCert(t, nil, nil)
	n := startEverywhere(t, func(c *Config) { c.TLSClientCA = file })
	p := placeOf(n)
	for name, c := range map[string]struct {
		cert *tls.Certificate
		in   bool
	}{
		"none":    {nil, false},
		"foreign": {&tls.Certificate{Certificate: [][]byte{other.Raw}, PrivateKey: otherKey}, false},
		"good":    {&tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key}, true},
	} {
		before, failed := figuresOf(n), testutil.ToFloat64(n.metrics.handshakeFailures)
		cfg := p.tls("https")
		if c.cert != nil {
			cfg.Certificates = []tls.Certificate{*c.cert}
		}
		s := tls.Client(p.raw(t, "https"), cfg)
		io.WriteString(s, head("GET", aPath(object), ""))
		if c.in {
			resp, body := answer(t, s, "GET")
			wantProblem(t, resp, body, spec.Unauth)
			wantDenied(t, n, before, spec.Unauth)
			continue
		}
		if _, err := s.Read(make([]byte, 1)); err == nil {
			t.Errorf("%s: got in", name)
		}
		within(t, 5*time.Second, "counted", func() bool { return testutil.ToFloat64(n.metrics.handshakeFailures) == failed+1 })
		within(t, 5*time.Second, "rejected", func() bool { return figuresOf(n).rejected[spec.Unauth] == before.rejected[spec.Unauth]+1 })
	}
}

func authorityCert(t *testing.T, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: parent == nil, BasicConstraintsValid: true, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	if parent == nil {
		parent, parentKey = tmpl, key
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// CAP-TLS-010: the fingerprint in /version is that of the certificate that is shown.
func TestFingerprint(t *testing.T) {
	n := startEverywhere(t, nil)
	p := placeOf(n)
	said := parse(t, second(p.ask(t, "https", "GET", "/version", "", nil)))["tls_fingerprint"]
	if said != n.Fingerprint() || !strings.HasPrefix(n.Fingerprint(), "sha256:") {
		t.Errorf("/version says %v, the node %s", said, n.Fingerprint())
	}
	plain := start(t, nil)
	if _, there := parse(t, second(placeOf(plain).ask(t, "http", "GET", "/version", "", nil)))["tls_fingerprint"]; there || plain.Fingerprint() != "" {
		t.Error("a node without TLS has a fingerprint")
	}
}

// ADM-CAP-008, CAP-UDS-002, CAP-UDS-003, CAP-UDS-009
func TestUnixSocket(t *testing.T) {
	n := startEverywhere(t, func(c *Config) { c.MaxConns = 3; c.UnixPeers = []uint32{4_000_000_000} })
	p := placeOf(n)
	if st, err := os.Stat(p.Addr["unix"]); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", st, err)
	}
	held := []net.Conn{p.raw(t, "unix"), p.raw(t, "unix"), p.raw(t, "unix")}
	within(t, 5*time.Second, "3 connections", func() bool { return n.gate.Status().Conns == 3 })
	for _, door := range []string{"http", "oap", "unix"} {
		c := p.raw(t, door)
		c.SetReadDeadline(time.Now().Add(2 * time.Second))
		if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s beside 3 connections to the socket: %v", door, err)
		}
	}
	for _, c := range held {
		c.Close()
	}
	quiet(t, n)
	before := figuresOf(n) // the package of the socket has the tests with other users; here is what becomes of their refusal
	n.refusedPeer(&channel.PeerError{UID: 12345})
	wantDenied(t, n, before, spec.Forbidden)
	_, list := records(t, n)
	if last := list[len(list)-1]; last.Event != audit.Denied || last.Peer.String() != "uid:12345" || last.Surface != audit.SurfaceUnix || last.Reason != spec.Forbidden {
		t.Errorf("the record says %+v", last)
	}
	if err := n.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(p.Addr["unix"]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}
