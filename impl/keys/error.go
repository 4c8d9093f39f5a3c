package keys

import (
	"fmt"

	"github.com/rustyonions/micronode/spec"
)

// Error is the one error type of this package. errors.Is(err, spec.Unauth) and so on match its reason.
type Error struct {
	// Reason is Unauth for a signature that does not verify and for sealed bytes that do not open, Malformed for what has
	// not the form of a key, signature, statement or sealed bytes, and Internal for a key that is gone, randomness that
	// failed and misuse by the node itself.
	Reason spec.Reason
	// What says in words what is wrong. It never holds key bytes.
	What string
	// Err is what failed outside this package, or nil.
	Err error
}

// Error says what is wrong and the reason.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("keys: %s: %s: %v", e.Reason, e.What, e.Err)
	}
	return fmt.Sprintf("keys: %s: %s", e.Reason, e.What)
}

// Unwrap gives the reason, and the error from outside where there is one.
func (e *Error) Unwrap() []error {
	if e.Err != nil {
		return []error{e.Reason, e.Err}
	}
	return []error{e.Reason}
}

func unauth(what string) *Error    { return &Error{Reason: spec.Unauth, What: what} }
func malformed(what string) *Error { return &Error{Reason: spec.Malformed, What: what} }
func internal(what string, err error) *Error {
	return &Error{Reason: spec.Internal, What: what, Err: err}
}
