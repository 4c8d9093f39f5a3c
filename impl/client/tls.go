package client

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/rustyonions/micronode/spec"
)

// pinPrefix is what a fingerprint starts with.
const pinPrefix = "sha256:"

// pin is the SHA-256 of the one certificate that is accepted.
type pin [sha256.Size]byte

// parsePin reads a fingerprint as a node announces it (CAP-TLS-010): sha256: and 64 hex digits of any case. nil, for
// "", accepts what the certificate authorities say. The error carries spec.Malformed.
func parsePin(text string) (*pin, error) {
	if text == "" {
		return nil, nil
	}
	digits, ok := strings.CutPrefix(text, pinPrefix)
	var p pin
	if ok && len(digits) == 2*len(p) {
		if _, err := hex.Decode(p[:], []byte(digits)); err == nil {
			return &p, nil
		}
	}
	return nil, fmt.Errorf("the fingerprint %q is none: it is sha256: and 64 hex digits, as the node announces it: %w", printable(text), spec.Malformed)
}

// PinError says that a server has another certificate than the one that was pinned. Nothing was sent to it.
type PinError struct {
	Want, Got string // fingerprints
}

// Error names both fingerprints.
func (e *PinError) Error() string {
	return fmt.Sprintf("the certificate of the server has the fingerprint %s, but %s was pinned: this is another node, "+
		"or one that was started again and made a new certificate", e.Got, e.Want)
}

// check holds a connection against the pin. It runs inside the handshake, before the first byte of a request, and for
// resumed sessions as well.
func (p *pin) check(cs tls.ConnectionState) error {
	if len(cs.PeerCertificates) == 0 {
		return errors.New("the server has no certificate")
	}
	got := sha256.Sum256(cs.PeerCertificates[0].Raw)
	if subtle.ConstantTimeCompare(got[:], p[:]) != 1 {
		return &PinError{Want: pinPrefix + hex.EncodeToString(p[:]), Got: pinPrefix + hex.EncodeToString(got[:])}
	}
	return nil
}

// tlsConfig is the caller's configuration with what the law fixes: TLS 1.3 (CAP-TLS-001) and the protocol (CAP-TLS-003).
// The groups are Go's unless the caller says otherwise, with X25519MLKEM768 in front. A pin takes the place of the
// certificate authorities, so that a self-signed certificate works (CAP-TLS-002, CAP-TLS-010); where the caller names
// authorities too, both must agree.
func tlsConfig(t target, opts *Options, protos ...string) *tls.Config {
	cfg := &tls.Config{}
	if opts.TLS != nil {
		cfg = opts.TLS.Clone()
	}
	cfg.MinVersion, cfg.NextProtos = tls.VersionTLS13, protos
	if cfg.ServerName == "" {
		cfg.ServerName = t.host
	}
	if opts.pin != nil {
		cfg.InsecureSkipVerify = cfg.RootCAs == nil // the pin decides
		theirs, pinned := cfg.VerifyConnection, opts.pin
		cfg.VerifyConnection = func(cs tls.ConnectionState) error {
			if err := pinned.check(cs); err != nil || theirs == nil {
				return err
			}
			return theirs(cs)
		}
	}
	return cfg
}

// hopelessTLS says that TLS failed for a reason that will be there the next time as well.
func hopelessTLS(err error) bool {
	var pinned *PinError
	var cert *tls.CertificateVerificationError
	var alert tls.AlertError
	var record tls.RecordHeaderError
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		return true // an alert of the server; behind the handshake it is how a client certificate is refused (CAP-TLS-011)
	}
	return errors.As(err, &pinned) || errors.As(err, &cert) || errors.As(err, &alert) || errors.As(err, &record)
}

// dialTo connects, below TLS where there is any.
func dialTo(ctx context.Context, d *net.Dialer, t target, cred credential) (net.Conn, error) {
	nc, err := d.DialContext(ctx, t.network, t.addr)
	if err != nil || cred.zero() {
		return nc, err
	}
	return guardClear(nc, t)
}

// guardClear gives up a connection whose other end would get a token in the clear: localhost is a name, and what it
// stands for is decided by a file.
func guardClear(nc net.Conn, t target) (net.Conn, error) {
	if u, ok := nc.(*net.UnixConn); ok {
		return guardOwner(u, t.addr)
	}
	if t.tls || t.network == "unix" {
		return nc, nil
	}
	if a, ok := nc.RemoteAddr().(*net.TCPAddr); !ok || !a.IP.IsLoopback() {
		nc.Close()
		return nil, &ClearTextError{URL: t.text}
	}
	return nc, nil
}
