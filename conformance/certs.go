package conformance

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// authority makes certificates.
type authority struct {
	t    *T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// certificate makes one, signed by ca, or by itself where ca is nil.
func (t *T) certificate(name string, ca *authority) *authority {
	return t.certificateFrom(time.Now().Add(-time.Minute), name, ca)
}

// certificateFrom is certificate with the begin of its hour.
func (t *T) certificateFrom(begin time.Time, name string, ca *authority) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Harnessf("%v", err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: begin, NotAfter: begin.Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, BasicConstraintsValid: true, IsCA: ca == nil,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	parent, signer := template, key
	if ca != nil {
		parent, signer = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Harnessf("%v", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Harnessf("%v", err)
	}
	return &authority{t, cert, key}
}

// files writes the certificate and the key, this one with mode.
func (a *authority) files(dir string, mode os.FileMode) (certFile, keyFile string) {
	t := a.t
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		t.Harnessf("%v", err)
	}
	certFile, keyFile = filepath.Join(dir, fmt.Sprintf("%o.crt", mode)), filepath.Join(dir, fmt.Sprintf("%o.key", mode))
	for _, f := range []struct {
		path, kind string
		der        []byte
		mode       os.FileMode
	}{{certFile, "CERTIFICATE", a.cert.Raw, 0o644}, {keyFile, "PRIVATE KEY", der, mode}} {
		if err := os.WriteFile(f.path, pem.EncodeToMemory(&pem.Block{Type: f.kind, Bytes: f.der}), 0o600); err != nil {
			t.Untestablef("no file: %v", err)
		}
		if err := os.Chmod(f.path, f.mode); err != nil { // whatever the umask is
			t.Untestablef("no mode: %v", err)
		}
	}
	return certFile, keyFile
}
