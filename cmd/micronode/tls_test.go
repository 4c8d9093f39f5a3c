package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// writePEM makes a certificate, signed by itself when parent is nil, and writes it and its key.
func writePEM(t *testing.T, dir, name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: parent == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for suffix, b := range map[string]*pem.Block{".crt": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, name+suffix), pem.EncodeToMemory(b), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

// CAP-TLS-011: where a node asks for a certificate, the right one gets through to the question for a token, and no further.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, caKey := writePEM(t, dir, "ca", nil, nil)
	writePEM(t, dir, "good", ca, caKey)
	writePEM(t, dir, "stranger", nil, nil)
	at := func(name string) string { return filepath.Join(dir, name) }
	node := start(t, "--https", "127.0.0.1:0", "--oap-tls", "127.0.0.1:0", "--tls-client-ca", at("ca.crt"))
	for _, url := range []string{node.event.HTTPS, node.event.OAPTLS} {
		for _, tc := range []struct {
			cert, key, token string
			code             int
			says             string
		}{
			{"good", "good", node.event.Token, exitOK, abc},
			{"good", "good", "", exitFailed, "unauth"},
			{"", "", node.event.Token, exitReach, ""},
			{"stranger", "stranger", node.event.Token, exitReach, ""},
			{"good", "stranger", node.event.Token, exitUsage, "--client-key"},
			{"good", "", node.event.Token, exitUsage, "--client-key"},
		} {
			args := []string{"put", "--node", url, "--pin", node.event.Fingerprint, "--token", tc.token, "-"}
			if tc.cert != "" {
				args = append(args, "--client-cert", at(tc.cert+".crt"))
			}
			if tc.key != "" {
				args = append(args, "--client-key", at(tc.key+".key"))
			}
			cmd := command(args...)
			cmd.Stdin = strings.NewReader("abc")
			out, _ := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != tc.code || !strings.Contains(string(out), tc.says) {
				t.Errorf("%s with %q and %q: exit %d, want %d and %q: %s", url, tc.cert, tc.key, got, tc.code, tc.says, out)
			}
		}
	}
}
