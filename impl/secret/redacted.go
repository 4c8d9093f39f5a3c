package secret

import (
	"fmt"
	"io"
	"log/slog"
)

// Redacted makes what it is embedded in print as [redacted] in every format of fmt, as JSON and as text, and in logs
// (AMN-LOG-002, AMN-LOG-005). The type it is embedded in keeps its secret two pointers away: in an unexported field of some
// outer struct fmt calls no methods, and there it follows one pointer where the verb does not fit, and never two.
type Redacted struct{}

const redactedText = "[redacted]"

// Format implements fmt.Formatter for every verb.
func (Redacted) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redactedText) }

// String returns [redacted].
func (Redacted) String() string { return redactedText }

// MarshalText returns [redacted]; JSON, XML and TOML use it.
func (Redacted) MarshalText() ([]byte, error) { return []byte(redactedText), nil }

// LogValue returns [redacted] for every handler of slog.
func (Redacted) LogValue() slog.Value { return slog.StringValue(redactedText) }

// String is a secret text, such as a token from the command line. It is a value, safe for concurrent use, and the zero
// String is the empty text. Two Strings are == only if one is a copy of the other.
//
// The text is an ordinary Go string: it can not be overwritten, and leaves with the garbage. Keys belong in a Vault.
type String struct {
	Redacted
	box *box
}

type box struct{ text *string }

// NewString makes a secret of s.
func NewString(s string) String {
	if s == "" {
		return String{}
	}
	return String{box: &box{&s}}
}

// Reveal returns the text. It is the only way to it, so that a search for its name finds every use.
func (s String) Reveal() string {
	if s.box == nil {
		return ""
	}
	return *s.box.text
}

// IsZero says whether the text is empty.
func (s String) IsZero() bool { return s.box == nil }
