package client

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"

	"github.com/rustyonions/micronode/spec"
)

// relay accepts on l and connects each connection with backend, as a TLS terminator or a socket proxy in front of a
// node would.
func relay(t *testing.T, l net.Listener, backend string) {
	t.Helper()
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			front, err := l.Accept()
			if err != nil {
				return
			}
			back, err := net.Dial("tcp", backend)
			if err != nil {
				front.Close()
				continue
			}
			for _, pair := range [][2]net.Conn{{front, back}, {back, front}} {
				wg.Go(func() {
					io.Copy(pair[0], pair[1])
					pair[0].Close()
					pair[1].Close()
				})
			}
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
}

// certificate borrows the test certificate of httptest: it is for 127.0.0.1, with its own root.
func certificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	s := httptest.NewUnstartedServer(nil)
	s.StartTLS()
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.TLS.Certificates[0], roots
}

func listenTCP(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func roundTrip(t *testing.T, c *Client) {
	t.Helper()
	b := bytesOf(200_000)
	addr, _, err := c.Put(t.Context(), bytes.NewReader(b), int64(len(b)), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := c.Get(t.Context(), addr, 0, -1, &got); err != nil || !bytes.Equal(got.Bytes(), b) {
		t.Fatal(err)
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	cert, roots := certificate(t)
	front := func(backend string, cfg *tls.Config) string {
		l := listenTCP(t)
		cfg.Certificates = []tls.Certificate{cert}
		relay(t, tls.NewListener(l, cfg), backend)
		return l.Addr().String()
	}
	good := &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"oap/1"}}
	stranger := ours(n, quick) // a token is no reason to get through
	opts := stranger
	opts.TLS = &tls.Config{RootCAs: roots}

	oap := front(n.OAPAddr(), good)
	roundTrip(t, dial(t, "oap+tls://"+oap, opts))
	https := front(n.HTTPAddr(), &tls.Config{MinVersion: tls.VersionTLS13, NextProtos: []string{"http/1.1"}})
	roundTrip(t, dial(t, "https://"+https, opts))

	for name, tc := range map[string]struct {
		url  string
		opts Options
	}{
		"unknown root":          {"oap+tls://" + oap, stranger},
		"unknown root, https":   {"https://" + https, stranger},
		"no ALPN":               {"oap+tls://" + front(n.OAPAddr(), &tls.Config{MinVersion: tls.VersionTLS13}), opts},
		"other ALPN":            {"oap+tls://" + front(n.OAPAddr(), &tls.Config{NextProtos: []string{"h2"}}), opts},
		"TLS 1.2":               {"oap+tls://" + front(n.OAPAddr(), &tls.Config{MaxVersion: tls.VersionTLS12, NextProtos: []string{"oap/1"}}), opts},
		"TLS 1.2, https":        {"https://" + front(n.HTTPAddr(), &tls.Config{MaxVersion: tls.VersionTLS12}), opts},
		"no TLS on that port":   {"oap+tls://" + n.OAPAddr(), opts},
		"TLS on a plain port":   {"oap://" + oap, opts},
		"HTTPS on a plain port": {"https://" + n.HTTPAddr(), opts},
	} {
		c, err := Dial(t.Context(), tc.url, tc.opts)
		if err == nil {
			_, err = c.Stat(t.Context(), spec.Address{})
			c.Close()
		}
		if r := reasonOf(err); err == nil || r == spec.NotFound || r == spec.Unauth {
			t.Errorf("%s: got through: %v", name, err)
		}
	}
}

func TestUnixSocket(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	path := filepath.Join(t.TempDir(), "n.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	relay(t, l, n.OAPAddr())
	roundTrip(t, dial(t, "unix:"+path, ours(n, Options{})))
	roundTrip(t, dial(t, "unix://"+path, ours(n, Options{})))
}

func TestParseURL(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]target{
		"oap://127.0.0.1:9090":     {http: false, network: "tcp", addr: "127.0.0.1:9090", host: "127.0.0.1"},
		"oap://[::1]:9090/":        {network: "tcp", addr: "[::1]:9090", host: "::1"},
		"oap+tls://node.test:9443": {network: "tcp", addr: "node.test:9443", host: "node.test", tls: true},
		"http://localhost":         {http: true, network: "tcp", addr: "localhost:80", host: "localhost"},
		"https://node.test":        {http: true, network: "tcp", addr: "node.test:443", host: "node.test", tls: true},
		"unix:/run/n.sock":         {network: "unix", addr: "/run/n.sock"},
		"unix:///run/n.sock":       {network: "unix", addr: "/run/n.sock"},
	} {
		got, err := parseURL(text)
		want.text = text
		if err != nil || got != want {
			t.Errorf("%s: got %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "127.0.0.1:9090", "localhost:9090", "oap://", "oap://host", "oap://:9090", "ftp://h:1", "OAP:x", "unix:",
		"http://h/o/b3:", "http://u@h", "http://h?x", "http://h#x", "oap://h:port", "http://h:99999999999", "oap+tls://h", "://"} {
		if err := CheckURL(text); reasonOf(err) != spec.Malformed {
			t.Errorf("%q: got %v", text, err)
		}
	}
}
