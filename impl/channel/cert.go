package channel

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// clockSkew is how far the clock of a peer may be behind that of a node that just made its certificate.
const clockSkew = time.Hour

// Certificate is the certificate of a TLS listener with its private key. It prints as its fingerprint, never as its
// key. A copy refers to the same key. The zero value is no certificate.
type Certificate struct {
	pair *tls.Certificate // a pointer, so that printing a struct that holds a Certificate unexported shows an address
}

// NewCertificate makes a self-signed certificate for hosts, names or IP addresses, valid for spec.MaxKeyAge from now.
// Its key, ECDSA P-256, exists in memory only (CAP-TLS-002).
func NewCertificate(hosts []string, now time.Time) (Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return Certificate{}, fmt.Errorf("certificate key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127)) // positive, and nobody can guess it
	if err != nil {
		return Certificate{}, fmt.Errorf("certificate serial number: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber:          serial.Add(serial, big.NewInt(1)),
		Subject:               pkix.Name{CommonName: "micronode"},
		NotBefore:             now.Add(-clockSkew),
		NotAfter:              now.Add(spec.MaxKeyAge),
		KeyUsage:              x509.KeyUsageDigitalSignature,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true,
	}
	for _, host := range hosts {
		if ip := net.ParseIP(host); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, host)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return Certificate{}, fmt.Errorf("certificate: %w", err)
	}
	return Certificate{&tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}}, nil
}

// LoadCertificate reads a certificate chain and its private key, both in PEM. A key file that others can read or write,
// or that belongs to neither the user of the process nor root, is refused (CAP-TLS-009); so are a certificate that is
// not valid at now and a key of another certificate. Errors are *SetupError.
func LoadCertificate(certFile, keyFile string, now time.Time) (Certificate, error) {
	chain, err := readFile(certFile, public)
	if err != nil {
		return Certificate{}, err
	}
	key, err := readFile(keyFile, private)
	if err != nil {
		return Certificate{}, err
	}
	defer clear(key)
	pair, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return Certificate{}, &SetupError{Rule: "CAP-TLS-014", Path: certFile, Err: fmt.Errorf("not a certificate with the key in %s: %w", keyFile, err)}
	}
	if now.Before(pair.Leaf.NotBefore) {
		return Certificate{}, refuse("CAP-TLS-014", certFile, "the certificate is not valid before %s", pair.Leaf.NotBefore.Format(time.RFC3339))
	}
	if now.After(pair.Leaf.NotAfter) {
		return Certificate{}, refuse("CAP-TLS-014", certFile, "the certificate expired at %s", pair.Leaf.NotAfter.Format(time.RFC3339))
	}
	return Certificate{&pair}, nil
}

// LoadClientCAs reads the certificates, in PEM, of the authorities whose certificates clients must have (CAP-TLS-011).
// A file that others can write is refused: they could appoint an authority. Errors are *SetupError.
func LoadClientCAs(file string) (*x509.CertPool, error) {
	text, err := readFile(file, appointing)
	if err != nil {
		return nil, err
	}
	pool, found := x509.NewCertPool(), false
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			break
		}
		if block.Type != "CERTIFICATE" {
			return nil, refuse("", file, "only certificates belong here, and one block is %q", block.Type)
		}
		ca, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, &SetupError{Path: file, Err: err}
		}
		if !ca.IsCA {
			return nil, refuse("", file, "the certificate of %q is not one of an authority", ca.Subject)
		}
		pool.AddCert(ca)
		found = true
	}
	if !found {
		return nil, &SetupError{Path: file, Err: errors.New("no certificate in PEM form")}
	}
	return pool, nil
}

// IsZero says that there is no certificate.
func (c Certificate) IsZero() bool { return c.pair == nil }

// Fingerprint is "sha256:" and the SHA-256 of the certificate in DER form, in 64 lowercase hexadecimal digits
// (CAP-TLS-010). It is "" for the zero value.
func (c Certificate) Fingerprint() string {
	if c.pair == nil {
		return ""
	}
	sum := sha256.Sum256(c.pair.Certificate[0])
	return "sha256:" + hex.EncodeToString(sum[:])
}

// NotAfter is when peers that check the validity of certificates stop to accept this one.
func (c Certificate) NotAfter() time.Time {
	if c.pair == nil {
		return time.Time{}
	}
	return c.pair.Leaf.NotAfter
}

// PEM is the certificate and its chain, without the key.
func (c Certificate) PEM() []byte {
	if c.pair == nil {
		return nil
	}
	var out []byte
	for _, der := range c.pair.Certificate {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out
}

// Format prints the fingerprint, whatever the verb: the key may not be printed (CAP-KEY-005).
func (c Certificate) Format(f fmt.State, _ rune) {
	fp := c.Fingerprint()
	if fp == "" {
		fp = "no certificate"
	}
	_, _ = io.WriteString(f, fp)
}
