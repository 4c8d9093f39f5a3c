package vectors

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// maxExpanded bounds one byte string after expansion: the largest is the decoded size of a COMP payload, 8 MiB,
// and a vector that needs more is a slip of the pen in a repeat count.
const maxExpanded = 16 << 20

// Bytes is a byte string of a vector. In JSON it is either a string of hex digits, in which spaces are ignored, or
// a list of parts, which are expanded and joined.
type Bytes []byte

// part is one element of the list form: hex or text, repeat times (absent = once).
type part struct {
	Hex    *string `json:"hex"`
	Text   *string `json:"text"`
	Repeat *int    `json:"repeat"`
}

// UnmarshalJSON reads either form and leaves b non-nil. It refuses null, a part that has not exactly one of hex and text, a repeat below 1, and
// a result above 16 MiB.
func (b *Bytes) UnmarshalJSON(raw []byte) error {
	if len(raw) > 0 && raw[0] == '"' {
		var digits string
		if err := json.Unmarshal(raw, &digits); err != nil {
			return fmt.Errorf("bytes: %w", err)
		}
		v, err := unhex(digits)
		*b = v
		return err
	}
	var parts []part
	if len(raw) == 0 || raw[0] != '[' {
		return errors.New("bytes: neither a string nor a list of parts")
	}
	if err := strict(raw, &parts); err != nil {
		return fmt.Errorf("bytes: %w", err)
	}
	out := []byte{}
	for i, p := range parts {
		v, err := p.expand(maxExpanded - len(out))
		if err != nil {
			return fmt.Errorf("part %d: %w", i, err)
		}
		out = append(out, v...)
	}
	*b = out
	return nil
}

// expand returns the bytes of p, at most room of them.
func (p part) expand(room int) ([]byte, error) {
	var unit []byte
	switch {
	case p.Hex != nil && p.Text == nil:
		v, err := unhex(*p.Hex)
		if err != nil {
			return nil, err
		}
		unit = v
	case p.Text != nil && p.Hex == nil:
		unit = []byte(*p.Text)
	default:
		return nil, errors.New("needs exactly one of hex and text")
	}
	n := 1
	if p.Repeat != nil {
		n = *p.Repeat
	}
	if n < 1 {
		return nil, fmt.Errorf("repeat %d", n)
	}
	if len(unit) > 0 && n > room/len(unit) {
		return nil, fmt.Errorf("more than %d bytes", maxExpanded)
	}
	return bytes.Repeat(unit, n), nil
}

// unhex decodes hex digits between which spaces may stand.
func unhex(s string) ([]byte, error) {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		return nil, fmt.Errorf("hex: %w", err)
	}
	return b, nil
}

// strict unmarshals raw into v and refuses members that v does not know: a misspelt member would be a check that
// nobody makes.
func strict(raw []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	return d.Decode(v)
}
