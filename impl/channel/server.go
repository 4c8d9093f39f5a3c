package channel

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// PQMode says what key exchanges a TLS listener takes part in.
type PQMode string

// The modes.
const (
	// PQOff offers classical groups only (CAP-TLS-006).
	PQOff PQMode = "off"
	// PQHybrid takes X25519MLKEM768 where the peer has it, and counts where not (CAP-TLS-005). It is the default of a node.
	PQHybrid PQMode = "hybrid"
	// PQRequired takes X25519MLKEM768 and nothing else (CAP-TLS-004).
	PQRequired PQMode = "required"
)

// ParsePQMode reads off, hybrid or required; anything else is an error.
func ParsePQMode(s string) (PQMode, error) {
	switch m := PQMode(s); m {
	case PQOff, PQHybrid, PQRequired:
		return m, nil
	}
	return "", fmt.Errorf("pq_mode is %q: it can be off, hybrid or required", s)
}

// groups are the key exchanges of a mode. crypto/tls chooses among those that both sides have: a post-quantum one
// first, whatever the order here. Every mode names its groups, so that a new default of crypto/tls brings in none.
func (m PQMode) groups() []tls.CurveID {
	switch m {
	case PQOff:
		return []tls.CurveID{tls.X25519, tls.CurveP256} // CAP-TLS-006
	case PQHybrid:
		return []tls.CurveID{tls.X25519MLKEM768, tls.X25519, tls.CurveP256} // CAP-TLS-005
	}
	return []tls.CurveID{tls.X25519MLKEM768} // CAP-TLS-004
}

// Protocol is the ALPN name of what a listener speaks.
type Protocol string

// The protocols.
const (
	// OAP is OAP/1; a peer has to ask for it (CAP-TLS-003).
	OAP Protocol = "oap/1"
	// HTTP is HTTP/1.1; a peer may leave the protocol out, as many simple clients do. HTTP/2 is never offered.
	HTTP Protocol = "http/1.1"
)

// Config is what a Server is made of.
type Config struct {
	Certificate Certificate    // required
	Mode        PQMode         // required
	Protocol    Protocol       // required
	ClientCAs   *x509.CertPool // whose certificates peers must have; nil asks for none (CAP-TLS-011)
	Timeout     time.Duration  // of a whole handshake; 0 is spec.HandshakeTimeout, which is also the longest
}

// Server is the node's side of TLS on one listener. Its methods are safe for concurrent use.
type Server struct {
	mode     PQMode
	protocol Protocol
	timeout  time.Duration
	tls      *tls.Config
}

// NewServer validates cfg.
func NewServer(cfg Config) (*Server, error) {
	if cfg.Certificate.IsZero() {
		return nil, errors.New("tls: no certificate")
	}
	if _, err := ParsePQMode(string(cfg.Mode)); err != nil {
		return nil, err
	}
	if cfg.Protocol != OAP && cfg.Protocol != HTTP {
		return nil, fmt.Errorf("tls: %q is no protocol of a listener", cfg.Protocol)
	}
	if cfg.Timeout < 0 || cfg.Timeout > spec.HandshakeTimeout {
		return nil, refuse("CAP-TLS-008", "", "a handshake may take at most %v, not %v", spec.HandshakeTimeout, cfg.Timeout)
	}
	s := &Server{mode: cfg.Mode, protocol: cfg.Protocol, timeout: cfg.Timeout}
	if s.timeout == 0 {
		s.timeout = spec.HandshakeTimeout
	}
	s.tls = &tls.Config{
		Certificates:           []tls.Certificate{*cfg.Certificate.pair},
		MinVersion:             tls.VersionTLS13, // CAP-TLS-001
		MaxVersion:             tls.VersionTLS13,
		CurvePreferences:       cfg.Mode.groups(),
		NextProtos:             []string{string(cfg.Protocol)},
		SessionTicketsDisabled: true, // CAP-TLS-013
		GetConfigForClient:     s.meet,
	}
	if cfg.ClientCAs != nil { // CAP-TLS-011
		s.tls.ClientAuth = tls.RequireAndVerifyClientCert
		s.tls.ClientCAs = cfg.ClientCAs
	}
	return s, nil
}

// Result is how a handshake that succeeded ended.
type Result struct {
	// Group is the key exchange: "X25519MLKEM768", "X25519" or "P-256".
	Group string
	// PostQuantum says that Group withstands a quantum computer.
	PostQuantum bool
	// Downgraded says that the listener would have preferred a post-quantum group: the mode is PQHybrid and the peer has
	// none. The caller counts it (CAP-TLS-005).
	Downgraded bool
}

// visit is what is known of one handshake. It travels in the context.
type visit struct {
	cause Cause // why the ClientHello can not lead to a connection, or ""
}

type visitKey struct{}

// errNoProtocol ends a handshake that crypto/tls would let pass. The peer sees an internal_error alert, since
// crypto/tls lets no one choose another.
var errNoProtocol = errors.New("no application protocol offered")

// meet looks at a ClientHello.
func (s *Server) meet(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	v, ok := hello.Context().Value(visitKey{}).(*visit)
	if !ok {
		return nil, errors.New("handshake outside Server.Handshake")
	}
	v.cause = s.judge(hello)
	if v.cause == CauseALPN && len(hello.SupportedProtos) == 0 {
		return nil, errNoProtocol
	}
	return nil, nil
}

// earlyData is the id of the TLS extension early_data (RFC 8446, 4.2.10).
const earlyData = 42

// judge says why crypto/tls will refuse this ClientHello, or "". The order is that of crypto/tls.
func (s *Server) judge(hello *tls.ClientHelloInfo) Cause {
	common := func(g tls.CurveID) bool { return slices.Contains(hello.SupportedCurves, g) }
	switch {
	case !slices.Contains(hello.SupportedVersions, tls.VersionTLS13):
		return CauseVersion
	case slices.Contains(hello.Extensions, earlyData):
		return CauseEarlyData
	case s.mode == PQRequired && !common(tls.X25519MLKEM768):
		return CauseNoPostQuantum
	case !slices.ContainsFunc(s.tls.CurvePreferences, common):
		return CauseOther
	case len(hello.SupportedProtos) == 0 && s.protocol == HTTP:
		return ""
	case !slices.Contains(hello.SupportedProtos, string(s.protocol)):
		return CauseALPN
	}
	return ""
}

// Handshake takes raw, a connection that was just accepted, to an encrypted one. It returns within Config.Timeout in
// total, however slowly the peer sends (CAP-TLS-008), or when ctx ends. Where it fails, raw is closed and the error is
// an *Error, which the caller counts (CAP-TLS-012).
//
// Time is kept by closing raw, so deadlines of raw are neither changed nor needed. Call it where the connection will
// be read, not where connections are accepted.
func (s *Server) Handshake(ctx context.Context, raw net.Conn) (*tls.Conn, Result, error) {
	var v visit
	ctx, cancel := context.WithTimeout(context.WithValue(ctx, visitKey{}, &v), s.timeout)
	defer cancel()
	c := tls.Server(raw, s.tls)
	if err := c.HandshakeContext(ctx); err != nil {
		raw.Close()
		return nil, Result{}, failed(s.explain(c, &v, err))
	}
	state := c.ConnectionState()
	r := Result{Group: groupName(state.CurveID), PostQuantum: state.CurveID == tls.X25519MLKEM768}
	r.Downgraded = s.mode == PQHybrid && !r.PostQuantum
	return c, r, nil
}

// groupName is the name of a group as the IANA registry and operators know it.
func groupName(g tls.CurveID) string {
	switch g {
	case tls.X25519MLKEM768:
		return "X25519MLKEM768"
	case tls.X25519:
		return "X25519"
	case tls.CurveP256:
		return "P-256"
	}
	return "other"
}

// explain finds the cause of a handshake that failed with err, without relying on the text of err.
func (s *Server) explain(c *tls.Conn, v *visit, err error) Cause {
	var (
		header tls.RecordHeaderError
		cert   *tls.CertificateVerificationError
		op     *net.OpError
	)
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return CauseTimeout
	case errors.Is(err, context.Canceled):
		return CauseClosed
	case v.cause != "":
		return v.cause
	case errors.As(err, &header):
		return CauseNotTLS
	case errors.As(err, &cert):
		return CauseClientCertificate
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, net.ErrClosed),
		errors.Is(err, io.ErrClosedPipe), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return CauseClosed
	case errors.As(err, &op):
		return CauseOther // an alert: bytes that do not decrypt, or a peer that refused us
	case s.tls.ClientCAs != nil && c.ConnectionState().CurveID != 0:
		// The key exchange is through and it is not the transport: what is left is who the peer is. crypto/tls has no
		// type for a certificate that is missing, unreadable or not the signer's.
		return CauseClientCertificate
	}
	return CauseOther
}
