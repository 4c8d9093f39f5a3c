package channel

import (
	"fmt"

	"github.com/rustyonions/micronode/spec"
)

// Cause says why a handshake failed. It is fit for a metric label.
type Cause string

// The causes.
const (
	CauseTimeout           Cause = "timeout"            // not complete in time (CAP-TLS-008)
	CauseVersion           Cause = "version"            // no TLS 1.3 offered (CAP-TLS-001)
	CauseEarlyData         Cause = "early_data"         // 0-RTT (CAP-TLS-007)
	CauseNoPostQuantum     Cause = "no_post_quantum"    // no X25519MLKEM768 where it is required (CAP-TLS-004)
	CauseALPN              Cause = "alpn"               // not the protocol of this listener (CAP-TLS-003)
	CauseClientCertificate Cause = "client_certificate" // none, or not of the configured authority (CAP-TLS-011)
	CauseNotTLS            Cause = "not_tls"            // what arrived is no TLS record, as when HTTP comes without TLS
	CauseClosed            Cause = "closed"             // the peer, or this node, gave up
	CauseOther             Cause = "other"
)

// Causes lists every cause.
func Causes() []Cause {
	return []Cause{CauseTimeout, CauseVersion, CauseEarlyData, CauseNoPostQuantum, CauseALPN, CauseClientCertificate,
		CauseNotTLS, CauseClosed, CauseOther}
}

// rule is the rule that a handshake with this cause broke, or "".
func (c Cause) rule() string {
	switch c {
	case CauseTimeout:
		return "CAP-TLS-008"
	case CauseVersion:
		return "CAP-TLS-001"
	case CauseEarlyData:
		return "CAP-TLS-007"
	case CauseNoPostQuantum:
		return "CAP-TLS-004"
	case CauseALPN:
		return "CAP-TLS-003"
	case CauseClientCertificate:
		return "CAP-TLS-011"
	}
	return ""
}

// reason is what the node counts such a handshake as.
func (c Cause) reason() spec.Reason {
	switch c {
	case CauseTimeout:
		return spec.Timeout
	case CauseClientCertificate:
		return spec.Unauth
	}
	return spec.Malformed
}

// Error is a failed handshake. It never holds bytes of the peer: the text of crypto/tls, which may, is not kept.
type Error struct {
	Cause  Cause
	Reason spec.Reason // timeout, unauth for client certificates, malformed otherwise
	Rule   string      // that was broken, or "" where it is none in particular
}

func failed(c Cause) *Error { return &Error{Cause: c, Reason: c.reason(), Rule: c.rule()} }

// Error says the cause, and the rule where there is one.
func (e *Error) Error() string {
	if e.Rule != "" {
		return fmt.Sprintf("tls handshake: %s (%s)", e.Cause, e.Rule)
	}
	return "tls handshake: " + string(e.Cause)
}

// Unwrap gives the reason.
func (e *Error) Unwrap() error { return e.Reason }

// SetupError keeps the node from starting. Its text says what to change.
type SetupError struct {
	Rule string // that forbids to go on, or "" where it is none in particular
	Path string // of the file or socket, or ""
	Err  error
}

// Error says where, what and by which rule.
func (e *SetupError) Error() string {
	s := e.Err.Error()
	if e.Path != "" {
		s = e.Path + ": " + s
	}
	if e.Rule != "" {
		s += " (" + e.Rule + ")"
	}
	return s
}

// Unwrap gives what failed.
func (e *SetupError) Unwrap() error { return e.Err }

// refuse is a SetupError with a sentence of ours.
func refuse(rule, path, format string, args ...any) *SetupError {
	return &SetupError{Rule: rule, Path: path, Err: fmt.Errorf(format, args...)}
}
