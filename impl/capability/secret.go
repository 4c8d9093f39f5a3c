package capability

import (
	"fmt"
	"io"
)

// redacted makes what it is embedded in print as [redacted] in every format of fmt, as JSON and as text (AMN-LOG-002,
// AMN-LOG-005). The type it is embedded in keeps its secret two pointers away: in an unexported field of some outer struct
// fmt calls no methods, and there it follows one pointer where the verb does not fit, and never two.
type redacted struct{}

const redactedText = "[redacted]"

// Format implements fmt.Formatter for every verb.
func (redacted) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redactedText) }

// String returns [redacted].
func (redacted) String() string { return redactedText }

// MarshalText returns [redacted]; JSON, XML and slog use it.
func (redacted) MarshalText() ([]byte, error) { return []byte(redactedText), nil }

// rootKeyLen is the length of a root key: as long as the output of the hash.
const rootKeyLen = 32

// secret holds the bytes of a root key. They are written once, when it is made, and once more by wipe.
type secret struct {
	redacted
	box *box
}

type box struct{ b *[rootKeyLen]byte }

func newSecret() secret { return secret{box: &box{new([rootKeyLen]byte)}} }

// bytes are the bytes themselves, not a copy.
func (s secret) bytes() []byte { return s.box.b[:] }

// wipe overwrites the bytes.
func (s secret) wipe() { clear(s.bytes()) }
