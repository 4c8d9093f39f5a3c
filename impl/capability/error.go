package capability

import (
	"fmt"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// Error is the one error type of this package. errors.Is(err, spec.Unauth) and so on match its reason.
type Error struct {
	// Reason is what the peer may know: Unauth, Forbidden or Quota for a capability that was refused (CAP-DEN-001,
	// CAP-DEN-002), Malformed or Oversize for one that was asked for and can not be made, Quota for a full list,
	// Internal for randomness that failed.
	Reason spec.Reason
	// Rule is the id of the rule that was broken. It is for the audit log and for tests; an answer may not depend on
	// it (CAP-DEN-004).
	Rule string
	// RetryAfter is when the same request may succeed, with Reason Quota; 0 where waiting does not help.
	RetryAfter time.Duration
	// Err is what failed outside this package, or nil.
	Err error
}

// Error says the reason and what failed outside, and nothing about the token.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("capability: %s: %v", e.Reason, e.Err)
	}
	return "capability: " + string(e.Reason)
}

// Unwrap gives the reason, and the error from outside where there is one.
func (e *Error) Unwrap() []error {
	if e.Err != nil {
		return []error{e.Reason, e.Err}
	}
	return []error{e.Reason}
}

// unauth is the refusal of a token that is no good (CAP-DEN-001).
func unauth(rule string) *Error { return &Error{Reason: spec.Unauth, Rule: rule} }

// forbidden is the refusal of a good token that does not cover the request (CAP-DEN-002).
func forbidden(rule string) *Error { return &Error{Reason: spec.Forbidden, Rule: rule} }
