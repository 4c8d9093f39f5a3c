package client

import (
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/rustyonions/micronode/spec"
)

// Error is why an operation failed. errors.As finds the spec.Reason in it.
type Error struct {
	// Reason is the node's, or what the client found: integrity, truncated, oversize, malformed, bad_hello,
	// timeout. It is spec.None when no answer came at all.
	Reason spec.Reason
	// Message is for people; it holds no control characters, whoever wrote it.
	Message string
	// FromNode says that the node answered with this reason.
	FromNode bool
	// CorrID is the node's correlation id, where it gave one (HTTP-COR-003).
	CorrID string
	// Unreachable says that there is no connection to the node.
	Unreachable bool
	// GaveUp says that the node could be asked again later, but that it has refused, or lost, everything of this
	// client for too long.
	GaveUp bool
	// Err is the cause, or nil.
	Err error

	again      retry
	retryAfter time.Duration
}

// retry says what another attempt of the same request is worth.
type retry uint8

const (
	never  retry = iota
	paced        // the node said to come back later
	lost         // the connection or the time ran out in the middle
	stalls       // as lost, after a wait that was long already
)

// Error gives the reason and what is known about it.
func (e *Error) Error() string {
	var parts []string
	if e.Reason != spec.None {
		parts = append(parts, string(e.Reason))
	}
	if e.Message != "" && e.Message != string(e.Reason) {
		parts = append(parts, e.Message)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	if e.CorrID != "" {
		parts = append(parts, "corr_id "+e.CorrID)
	}
	return strings.Join(parts, ": ")
}

// Unwrap gives the reason and the cause.
func (e *Error) Unwrap() []error {
	var list []error
	if e.Reason != spec.None {
		list = append(list, e.Reason)
	}
	if e.Err != nil {
		list = append(list, e.Err)
	}
	return list
}

// TooLargeError says that an object can not be stored this way, before anything was sent. It carries spec.Oversize.
type TooLargeError struct {
	Size  int64 // bytes; -1 when only known to be above the limit
	Limit int64 // bytes
	HTTP  bool  // the limit is that of HTTP uploads (ADM-HTP-001), not that of objects (CAS-CAP-001)
}

// Error is meant to follow the name of the object: "x.bin" + " " + "is 1.2 MiB: …".
func (e *TooLargeError) Error() string {
	size := fmt.Sprintf("%.1f MiB", float64(e.Size)/(1<<20))
	switch {
	case e.Size < 0:
		size = "above the limit"
	case e.Size < e.Limit+(1<<20)/10: // would be rounded to the limit itself
		size = fmt.Sprintf("%d bytes", e.Size)
	}
	if e.HTTP {
		return fmt.Sprintf("is %s: HTTP uploads are limited to %d MiB, use an oap:// node", size, e.Limit>>20)
	}
	return fmt.Sprintf("is %s: objects are limited to %d MiB", size, e.Limit>>20)
}

// Unwrap gives spec.Oversize.
func (e *TooLargeError) Unwrap() error { return spec.Oversize }

// reasonOf is the reason that err carries, or spec.None.
func reasonOf(err error) spec.Reason {
	r := spec.None
	errors.As(err, &r)
	return r
}

// broken is what a node did that no node may do: it can not be trusted to have done the rest right.
func broken(r spec.Reason, format string, args ...any) *Error {
	return &Error{Reason: r, Message: fmt.Sprintf(format, args...)}
}

// unreachable is what is left to say when there is no connection. A certificate that is the wrong one, or a way that
// may not be taken, stays as it is: those are final.
func unreachable(where string, err error) error {
	if clear, ok := errors.AsType[*ClearTextError](err); ok {
		return clear
	}
	if owner, ok := errors.AsType[*OwnerError](err); ok {
		return owner
	}
	e := &Error{Message: "cannot reach " + where, Unreachable: true, again: lost, Err: err}
	if hopelessTLS(err) {
		e.again = never
	}
	return e
}

// final says that no other attempt of the same request, with the same capability, can end differently: it was refused
// for what it may do (CAP-DEN-001, CAP-DEN-002), whatever the answer says about trying again.
func final(r spec.Reason, status int) bool {
	return r == spec.Unauth || r == spec.Forbidden || status == spec.Unauth.Facts().Status || status == spec.Forbidden.Facts().Status
}

// local is a failure on this side: the reader or the writer that the caller gave.
func local(what string, err error) *Error {
	return &Error{Message: what, Err: err}
}

// printable makes a text of a stranger safe to print: no control characters, no more than a line or two.
func printable(s string) string {
	const most = 300 // bytes
	if len(s) > most {
		s = s[:most] + "…"
	}
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
