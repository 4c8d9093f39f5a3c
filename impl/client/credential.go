package client

import (
	"encoding/base64"
	"fmt"
	"net/netip"

	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/spec"
)

// tokenVersion is the first byte of every capability (CAP-TOK-001).
const tokenVersion = 2

// TokenError says why a text can not be a capability, before anything was sent. It never shows the text itself. It
// carries spec.Malformed.
type TokenError struct {
	What string // what is wrong
}

// Error says what is wrong, and what a token looks like.
func (e *TokenError) Error() string {
	return "the token " + e.What + "; a token is base64url text without padding, such as Ag… (CAP-TOK-002)"
}

// Unwrap gives spec.Malformed.
func (e *TokenError) Unwrap() error { return spec.Malformed }

// credential is a capability in the two forms in which it is sent. The zero credential sends nothing. It prints as
// [redacted]: the forms lie two pointers away, because fmt follows one where it calls no methods.
type credential struct {
	secret.Redacted
	box *credentialBox
}

type credentialBox struct{ forms *credentialForms }

type credentialForms struct {
	header string // the value of Authorization (CAP-TOK-003)
	binary []byte // the cap bytes of START (CAP-TOK-004)
}

// newCredential reads the text form of a capability (CAP-TOK-002, CAP-TOK-005). What the caveats say is not looked at:
// that is the node's to judge. The error is a *TokenError.
func newCredential(token secret.String) (credential, error) {
	if token.IsZero() {
		return credential{}, nil
	}
	text := token.Reveal()
	if len(text) > spec.MaxCapabilityText {
		return credential{}, &TokenError{fmt.Sprintf("has %d characters, and no more than %d are allowed", len(text), spec.MaxCapabilityText)}
	}
	b, err := base64.RawURLEncoding.DecodeString(text)
	switch {
	case err != nil || base64.RawURLEncoding.EncodeToString(b) != text: // the decoder skips line ends and loose bits
		return credential{}, &TokenError{"is not base64url text"}
	case len(b) > spec.MaxCapability:
		return credential{}, &TokenError{fmt.Sprintf("has %d bytes, and no more than %d are allowed", len(b), spec.MaxCapability)}
	case len(b) == 0 || b[0] != tokenVersion:
		return credential{}, &TokenError{"is not a macaroon of version 2"}
	}
	return credential{box: &credentialBox{&credentialForms{"Macaroon " + text, b}}}, nil
}

// zero says that there is no capability.
func (c credential) zero() bool { return c.box == nil }

// header is the value of the Authorization header, or "".
func (c credential) header() string {
	if c.zero() {
		return ""
	}
	return c.box.forms.header
}

// binary is what a START carries; nil for none. It is not a copy.
func (c credential) binary() []byte {
	if c.zero() {
		return nil
	}
	return c.box.forms.binary
}

// ClearTextError (CAP-TLS-015) says that a token would have to cross a network unencrypted. Nothing was sent. It carries
// spec.Forbidden.
type ClearTextError struct {
	URL string
}

// Error says what would work.
func (e *ClearTextError) Error() string {
	return fmt.Sprintf("a token is not sent to %s: it leaves this machine without encryption, so whoever is on the way could use it; "+
		"use the https:// or oap+tls:// address of the node", printable(e.URL))
}

// Unwrap gives spec.Forbidden.
func (e *ClearTextError) Unwrap() error { return spec.Forbidden }

// confidential says whether what is sent to t stays on this machine or is encrypted. A name counts as another machine,
// except localhost, and that one is checked once more when it is known which address it stands for (see guardClear).
func (t target) confidential() bool {
	return t.tls || t.network == "unix" || t.host == "localhost" || isLoopback(t.host)
}

func isLoopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
