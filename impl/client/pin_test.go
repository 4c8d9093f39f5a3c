package client

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// tlsEnd is a TLS server that remembers what it saw.
type tlsEnd struct {
	addr string

	mu     sync.Mutex
	states []tls.ConnectionState // of complete handshakes
	bytes  int                   // application data that came in
}

// countedConn counts what a client sent.
type countedConn struct {
	*tls.Conn
	end  *tlsEnd
	once sync.Once
}

func (c *countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.end.mu.Lock()
	defer c.end.mu.Unlock()
	c.end.bytes += n
	if n > 0 {
		c.once.Do(func() { c.end.states = append(c.end.states, c.ConnectionState()) })
	}
	return n, err
}

type countingListener struct {
	net.Listener
	cfg *tls.Config
	end *tlsEnd
}

func (l *countingListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &countedConn{Conn: tls.Server(nc, l.cfg), end: l.end}, nil
}

// tlsNode serves HTTP or OAP/1 over TLS: stat of anything answers 7 bytes.
func tlsNode(t *testing.T, cert tls.Certificate, proto string) *tlsEnd {
	t.Helper()
	end := &tlsEnd{}
	raw := listenTCP(t)
	end.addr = raw.Addr().String()
	l := &countingListener{raw, &tls.Config{MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{cert}, NextProtos: []string{proto}}, end}
	var wg sync.WaitGroup
	t.Cleanup(func() { raw.Close(); wg.Wait() })
	if proto == "http/1.1" {
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "7") }), ErrorLog: silent()}
		t.Cleanup(func() { s.Close() })
		wg.Go(func() { s.Serve(l) })
		return end
	}
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				p := &peer{t: t, nc: nc, dec: wire.NewDecoder(spec.MaxFrame)}
				defer p.dec.Close()
				if p.hello(nil) {
					for f, r := p.start(); f != nil; f, r = p.start() {
						p.answer(f.Corr, wire.OpStat, wire.Answer{Obj: r.Obj, Size: 7})
					}
				}
			})
		}
	})
	return end
}

func fingerprintOf(cert tls.Certificate) string {
	sum := sha256.Sum256(cert.Certificate[0])
	return pinPrefix + hex.EncodeToString(sum[:])
}

func statOnce(t *testing.T, url string, o Options) error {
	c, err := Dial(t.Context(), url, o)
	if err != nil {
		return err
	}
	defer c.Close()
	n, err := c.Stat(t.Context(), spec.Address{})
	if err == nil && n != 7 {
		t.Errorf("got %d", n)
	}
	return err
}

// CAP-TLS-010: the certificate that was pinned is accepted although nobody vouches for it, and no other one is, whoever
// vouches for it. A server with another one gets not one byte, so no token either.
func TestPin(t *testing.T) {
	t.Parallel()
	cert, roots := certificate(t)
	good := fingerprintOf(cert)
	other := pinPrefix + strings.Repeat("0f", 32)
	lastDigit := good[:len(good)-1] + map[bool]string{true: "1", false: "0"}[good[len(good)-1] == '0']
	token, _ := tokenOf(200)
	for scheme, proto := range map[string]string{"oap+tls": "oap/1", "https": "http/1.1"} {
		end := tlsNode(t, cert, proto)
		url := scheme + "://" + end.addr
		for _, fp := range []string{good, pinPrefix + strings.ToUpper(good[len(pinPrefix):])} {
			if err := statOnce(t, url, Options{Token: token, Fingerprint: fp}); err != nil {
				t.Errorf("%s: pinned %s: %v", scheme, fp, err)
			}
		}
		end.mu.Lock()
		for _, cs := range end.states {
			if cs.Version != tls.VersionTLS13 || cs.CurveID != tls.X25519MLKEM768 || cs.NegotiatedProtocol != proto || cs.DidResume {
				t.Errorf("%s: the handshake ended with version %x, group %v, protocol %q", scheme, cs.Version, cs.CurveID, cs.NegotiatedProtocol)
			}
		}
		if len(end.states) != 2 {
			t.Errorf("%s: %d connections", scheme, len(end.states))
		}
		before := end.bytes
		end.mu.Unlock()

		for name, o := range map[string]Options{
			"other":             {Fingerprint: other},
			"last digit":        {Fingerprint: lastDigit},
			"other, roots good": {Fingerprint: other, TLS: &tls.Config{RootCAs: roots}},
		} {
			o.Token = token
			err := statOnce(t, url, o)
			var pinned *PinError
			if !errors.As(err, &pinned) || pinned.Want != o.Fingerprint || pinned.Got != good {
				t.Errorf("%s, %s: got %v", scheme, name, err)
				continue
			}
			if text := err.Error(); !strings.Contains(text, good) || !strings.Contains(text, o.Fingerprint) || strings.Contains(text, token.Reveal()) {
				t.Errorf("%s, %s: the error is %s", scheme, name, text)
			}
			var e *Error
			if !errors.As(err, &e) || !e.Unreachable || e.again != never {
				t.Errorf("%s, %s: would be tried again: %#v", scheme, name, e)
			}
		}
		// Authorities that are named have to agree as well; without any, and without a pin, it is an unknown certificate.
		for name, o := range map[string]Options{"pin and roots of others": {Fingerprint: good, TLS: &tls.Config{RootCAs: x509.NewCertPool()}}, "neither": {}} {
			var unknown *tls.CertificateVerificationError
			if err := statOnce(t, url, with(o, token)); !errors.As(err, &unknown) {
				t.Errorf("%s, %s: got %v", scheme, name, err)
			}
		}
		if err := statOnce(t, url, Options{Fingerprint: good, TLS: &tls.Config{RootCAs: roots}}); err != nil {
			t.Errorf("%s: pin and roots: %v", scheme, err)
		}
		end.mu.Lock()
		if n := len(end.states); n != 3 || end.bytes == before {
			t.Errorf("%s: bytes came on %d connections, and only the three good ones may send any", scheme, n)
		}
		end.mu.Unlock()
	}
}

// A fingerprint that is none, or that no certificate can meet, is refused before anything is sent.
func TestBadFingerprint(t *testing.T) {
	t.Parallel()
	good := pinPrefix + strings.Repeat("0f", 32)
	for _, text := range []string{"0f", strings.Repeat("0f", 32), "sha1:" + strings.Repeat("0f", 20), good + "0", good[:len(good)-1], good[:len(good)-1] + "g", "SHA256:" + strings.Repeat("0f", 32), " " + good} {
		_, err := Dial(t.Context(), "https://127.0.0.1:1", Options{Fingerprint: text})
		wantReason(t, err, spec.Malformed)
	}
	for _, url := range []string{"http://127.0.0.1:1", "oap://127.0.0.1:1", "unix:/x"} {
		_, err := Dial(t.Context(), url, Options{Fingerprint: good})
		wantReason(t, err, spec.Malformed)
		if err != nil && !strings.Contains(err.Error(), "https://") {
			t.Error(err)
		}
	}
}

// The caller's own check runs as well.
func TestPinKeepsTheCallersCheck(t *testing.T) {
	t.Parallel()
	cert, _ := certificate(t)
	end := tlsNode(t, cert, "oap/1")
	no := errors.New("not today")
	err := statOnce(t, "oap+tls://"+end.addr, Options{Fingerprint: fingerprintOf(cert), TLS: &tls.Config{VerifyConnection: func(tls.ConnectionState) error { return no }}, Stall: quick.Stall})
	if !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
}

// silent is a log for servers whose clients go away in the middle of a handshake.
func silent() *log.Logger { return log.New(io.Discard, "", 0) }
