package channel

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rustyonions/micronode/spec"
)

// signer is a certificate authority of the tests.
type signer struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func authority(t testing.TB, name string) signer {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return signer{cert, key}
}

func (s signer) pem() []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.cert.Raw})
}

func (s signer) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(s.cert)
	return pool
}

// issue makes a client certificate; change may spoil it.
func (s signer) issue(t testing.TB, name string, change func(*x509.Certificate)) tls.Certificate {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, KeyUsage: x509.KeyUsageDigitalSignature,
	}
	if change != nil {
		change(template)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, s.cert, &key.PublicKey, s.key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// files writes the pair, the key with mode 0600, and gives the two paths.
func files(t testing.TB, pair tls.Certificate) (certFile, keyFile string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write(t, certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o644)
	write(t, keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600)
	return certFile, keyFile
}

func write(t testing.TB, file string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(file, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

// CAP-TLS-002, CAP-TLS-010
func TestNewCertificate(t *testing.T) {
	now := time.Now()
	hosts := []string{"localhost", "node.example", "127.0.0.1", "::1"}
	c, err := NewCertificate(hosts, now)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(c.PEM())
	if block == nil || len(rest) != 0 || block.Type != "CERTIFICATE" {
		t.Fatalf("PEM is %q", c.PEM())
	}
	sum := sha256.Sum256(block.Bytes)
	if want := "sha256:" + hex.EncodeToString(sum[:]); c.Fingerprint() != want {
		t.Fatalf("fingerprint %s, want %s", c.Fingerprint(), want)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	for _, host := range hosts {
		if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: host}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	if leaf.VerifyHostname("other.example") == nil {
		t.Error("the certificate is good for any name")
	}
	if leaf.Subject.CommonName != "micronode" || leaf.IsCA {
		t.Errorf("subject %s, CA %v", leaf.Subject, leaf.IsCA)
	}
	if d := leaf.NotAfter.Sub(now); d > spec.MaxKeyAge || d < spec.MaxKeyAge-time.Second || !c.NotAfter().Equal(leaf.NotAfter) {
		t.Errorf("valid for %v", d)
	}
	if !leaf.NotBefore.Before(now) {
		t.Error("a peer whose clock is a little behind would refuse it")
	}
}

// Two certificates have nothing in common that one could guess the other from.
func TestCertificatesDiffer(t *testing.T) {
	a, b := testCertificate(t), testCertificate(t)
	if a.Fingerprint() == b.Fingerprint() || a.pair.Leaf.SerialNumber.Cmp(b.pair.Leaf.SerialNumber) == 0 {
		t.Fatal("two certificates are alike")
	}
	if a.pair.PrivateKey.(*ecdsa.PrivateKey).Equal(b.pair.PrivateKey) {
		t.Fatal("two certificates share a key")
	}
	for _, c := range []Certificate{a, b} {
		if c.pair.Leaf.SerialNumber.BitLen() < 64 {
			t.Fatalf("serial number %d can be guessed", c.pair.Leaf.SerialNumber)
		}
	}
}

// CAP-KEY-005: whatever prints a certificate, or a struct with one in it, prints no key.
func TestCertificateDoesNotPrintItsKey(t *testing.T) {
	c := testCertificate(t)
	key := c.pair.PrivateKey.(*ecdsa.PrivateKey)
	raw, err := key.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	d := new(big.Int).SetBytes(raw)
	secrets := []string{d.String(), fmt.Sprintf("%x", d), fmt.Sprintf("%X", d), fmt.Sprint(raw), fmt.Sprint(d.Bits())}
	var log bytes.Buffer
	s := testServer(t, Config{Certificate: c})
	hidden := struct{ c Certificate }{c}
	shown := Config{Certificate: c}
	for _, v := range []any{c, &c, hidden, &hidden, shown, &shown, *s, s, []Certificate{c}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
			fmt.Fprintf(&log, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&log, nil)).Info("x", "v", v)
	}
	for _, v := range []any{c, hidden, []Certificate{c}} {
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		log.Write(out)
	}
	for _, secret := range secrets {
		if strings.Contains(log.String(), secret) {
			t.Fatalf("the key is printed, as %s", secret)
		}
	}
	if got := fmt.Sprintf("%+v", c); got != c.Fingerprint() {
		t.Fatalf("prints as %s", got)
	}
	if got := fmt.Sprint(Certificate{}); got != "no certificate" {
		t.Fatalf("no certificate prints as %s", got)
	}
}

// CAP-TLS-009
func TestKeyFileMode(t *testing.T) {
	certFile, keyFile := files(t, *testCertificate(t).pair)
	for mode := os.FileMode(0); mode <= 0o077; mode++ {
		if err := os.Chmod(keyFile, 0o600|mode); err != nil {
			t.Fatal(err)
		}
		c, err := LoadCertificate(certFile, keyFile, time.Now())
		if mode == 0 {
			if err != nil || !strings.HasPrefix(c.Fingerprint(), "sha256:") {
				t.Fatalf("mode 0600: %v", err)
			}
			continue
		}
		wantSetup(t, err, "CAP-TLS-009")
		if !c.IsZero() {
			t.Fatal("a certificate came with the error")
		}
	}
	if err := os.Chmod(keyFile, 0o400); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCertificate(certFile, keyFile, time.Now()); err != nil {
		t.Fatalf("mode 0400: %v", err)
	}
}

// CAP-TLS-009. What is checked is the file, not the name: a link to a bad key is as bad.
func TestKeyFileOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving a file to another user takes root")
	}
	certFile, keyFile := files(t, *testCertificate(t).pair)
	link := keyFile + ".link"
	if err := os.Symlink(keyFile, link); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadCertificate(certFile, link, time.Now()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(keyFile, otherUser, otherUser); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{keyFile, link} {
		_, err := LoadCertificate(certFile, file, time.Now())
		wantSetup(t, err, "CAP-TLS-009")
	}
}

func TestKeyFileIsARegularFile(t *testing.T) {
	certFile, keyFile := files(t, *testCertificate(t).pair)
	_, err := LoadCertificate(certFile, filepath.Dir(keyFile), time.Now())
	wantSetup(t, err, "CAP-TLS-009")
	fifo := keyFile + ".fifo"
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err = LoadCertificate(certFile, fifo, time.Now()) // and does not wait for a writer
	wantSetup(t, err, "CAP-TLS-009")
	_, err = LoadCertificate(certFile, keyFile+".none", time.Now())
	wantSetup(t, err, "")
	big := keyFile + ".big"
	write(t, big, make([]byte, maxFile+1), 0o600)
	_, err = LoadCertificate(certFile, big, time.Now())
	wantSetup(t, err, "")
}

func TestLoadCertificate(t *testing.T) {
	c := testCertificate(t)
	certFile, keyFile := files(t, *c.pair)
	got, err := LoadCertificate(certFile, keyFile, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if got.Fingerprint() != c.Fingerprint() {
		t.Fatal("another certificate came back")
	}
	s := testServer(t, Config{Certificate: got})
	if e := meet(t, s, clientFor(t, s)); e.err != nil || string(e.data) != "x" {
		t.Fatalf("%+v", e)
	}

	_, otherKey := files(t, *testCertificate(t).pair)
	garbage := filepath.Join(t.TempDir(), "garbage.pem")
	write(t, garbage, []byte("not in PEM form"), 0o600)
	for name, load := range map[string]func() (Certificate, error){
		"key of another certificate": func() (Certificate, error) { return LoadCertificate(certFile, otherKey, time.Now()) },
		"not yet valid":              func() (Certificate, error) { return LoadCertificate(certFile, keyFile, time.Now().Add(-2*time.Hour)) },
		"expired":                    func() (Certificate, error) { return LoadCertificate(certFile, keyFile, c.NotAfter().Add(time.Second)) },
		"no certificate":             func() (Certificate, error) { return LoadCertificate(garbage, keyFile, time.Now()) },
		"no key":                     func() (Certificate, error) { return LoadCertificate(certFile, garbage, time.Now()) },
		"the wrong way round":        func() (Certificate, error) { return LoadCertificate(keyFile, keyFile, time.Now()) },
	} {
		got, err := load()
		if err == nil || !got.IsZero() {
			t.Errorf("%s: accepted", name)
			continue
		}
		wantSetup(t, err, "CAP-TLS-014")
		if !strings.Contains(err.Error(), ".pem") {
			t.Errorf("%s: %q does not say which file", name, err)
		}
	}
}

// CAP-TLS-011
func TestClientCertificates(t *testing.T) {
	ca, stranger := authority(t, "Authority"), authority(t, "Authority")
	file := filepath.Join(t.TempDir(), "ca.pem")
	write(t, file, ca.pem(), 0o644)
	pool, err := LoadClientCAs(file)
	if err != nil {
		t.Fatal(err)
	}
	s := testServer(t, Config{ClientCAs: pool})
	foreign := ca.issue(t, "client", nil)
	foreign.PrivateKey = ca.issue(t, "client", nil).PrivateKey // a certificate that the client has no key for
	for name, c := range map[string]struct {
		certs []tls.Certificate
		ok    bool
	}{
		"of the authority": {[]tls.Certificate{ca.issue(t, "client", nil)}, true},
		"none":             {nil, false},
		"of a stranger":    {[]tls.Certificate{stranger.issue(t, "client", nil)}, false},
		"self-signed":      {[]tls.Certificate{*testCertificate(t).pair}, false},
		"expired":          {[]tls.Certificate{ca.issue(t, "client", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })}, false},
		"for servers":      {[]tls.Certificate{ca.issue(t, "client", func(c *x509.Certificate) { c.ExtKeyUsage[0] = x509.ExtKeyUsageServerAuth })}, false},
		"without its key":  {[]tls.Certificate{foreign}, false},
	} {
		t.Run(name, func(t *testing.T) {
			client := clientFor(t, s)
			client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				if c.certs == nil {
					return &tls.Certificate{}, nil
				}
				return &c.certs[0], nil // also where the server would not ask for it
			}
			e := meet(t, s, client)
			if c.ok {
				if e.err != nil || string(e.data) != "x" {
					t.Fatalf("%+v", e)
				}
				return
			}
			wantCause(t, e.err, CauseClientCertificate)
			if e.read == nil || len(e.data) != 0 {
				t.Fatalf("the client read %q, %v", e.data, e.read)
			}
		})
	}
}

func TestLoadClientCAs(t *testing.T) {
	ca := authority(t, "Authority")
	dir := t.TempDir()
	file := filepath.Join(dir, "ca.pem")
	write(t, file, ca.pem(), 0o644)
	for _, mode := range []os.FileMode{0o664, 0o646, 0o622} {
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		_, err := LoadClientCAs(file)
		wantSetup(t, err, "CAP-TLS-011")
	}
	leaf := testCertificate(t)
	_, keyFile := files(t, *leaf.pair)
	key, err := os.ReadFile(keyFile)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{
		"empty":          nil,
		"no PEM":         []byte("hello"),
		"no authority":   leaf.PEM(),
		"one of them":    append(ca.pem(), leaf.PEM()...),
		"with a key":     append(ca.pem(), key...),
		"no certificate": pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")}),
	} {
		bad := filepath.Join(dir, "bad.pem")
		write(t, bad, text, 0o644)
		if _, err := LoadClientCAs(bad); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			wantSetup(t, err, "")
		}
	}
}
