package capability

import (
	"strconv"
	"strings"

	"github.com/rustyonions/micronode/spec"
)

// kind tells the conditions of the grammar apart.
type kind uint8

const (
	unknown kind = iota
	exp
	nbf
	aud
	ops
	path
	tenant
	maxBytes
	rps
	peerUID
	amnesia
)

// grammar is the rule `caveat` of spec/capability.md: what a condition of each kind begins with, and what has to
// follow. No beginning is the beginning of another. Written once, read-only.
var grammar = [...]struct {
	kind   kind
	prefix string
	value  func([]byte) bool
}{
	{exp, "exp <= ", isNumber},
	{nbf, "nbf >= ", isNumber},
	{aud, "aud = ", isText},
	{ops, "op in ", isOpList},
	{path, "path ^= ", isPath},
	{tenant, "tenant = ", isTenant},
	{maxBytes, "max-bytes <= ", isNumber},
	{rps, "rps <= ", isNumber},
	{peerUID, "peer-uid = ", isNumber},
	{amnesia, "amnesia = ", isSwitch},
}

// Caveat is one condition of the grammar (CAP-CAV-001). The zero Caveat is none, and only ParseCaveat makes others.
type Caveat struct {
	kind  kind
	value string // as it stands behind the prefix
}

// ParseCaveat reads one condition, byte for byte: one spelling, no spaces but the ones in the grammar, no other case.
// The error is an *Error with reason Unauth, for a condition that is unknown or malformed denies (CAP-CAV-002).
func ParseCaveat(s string) (Caveat, error) {
	c, rule := parseCondition([]byte(s))
	if rule != "" {
		return Caveat{}, unauth(rule)
	}
	return c.caveat(), nil
}

// condition is a Caveat whose value lies in the bytes of a token.
type condition struct {
	kind  kind
	value []byte
}

func (c condition) caveat() Caveat { return Caveat{c.kind, string(c.value)} }

// parseCondition is ParseCaveat without copies. It returns the rule that is broken, or "".
func parseCondition(text []byte) (c condition, rule string) {
	for i := range grammar {
		g := &grammar[i]
		if len(text) < len(g.prefix) || string(text[:len(g.prefix)]) != g.prefix {
			continue
		}
		value := text[len(g.prefix):]
		if !g.value(value) {
			return condition{}, "CAP-CAV-001"
		}
		return condition{g.kind, value}, ""
	}
	return condition{}, "CAP-CAV-002"
}

// String returns the condition as ParseCaveat reads it; "" for the zero Caveat.
func (c Caveat) String() string {
	for i := range grammar {
		if grammar[i].kind == c.kind {
			return grammar[i].prefix + c.value
		}
	}
	return ""
}

// expires is the caveat `exp <= t`, of whole seconds.
func expires(seconds int64) Caveat { return Caveat{exp, strconv.FormatInt(seconds, 10)} }

// among is the caveat `op in list`.
func among(list []spec.Op) Caveat {
	names := make([]string, len(list))
	for i := range list {
		names[i] = string(list[i])
	}
	return Caveat{ops, strings.Join(names, ",")}
}

// number is the value of a kind whose value is a number: below 10^15, as isNumber has seen to.
func (c condition) number() (n int64) {
	for _, digit := range c.value {
		n = 10*n + int64(digit-'0')
	}
	return n
}

// isNumber is "0" / ( %x31-39 *14DIGIT ).
func isNumber(s []byte) bool {
	if len(s) == 0 || len(s) > 15 || s[0] == '0' && len(s) > 1 {
		return false
	}
	return allBytes(s, isDigit)
}

// isText is 1*128( %x21-7E ).
func isText(s []byte) bool {
	return len(s) >= 1 && len(s) <= 128 && allBytes(s, func(c byte) bool { return c >= 0x21 && c <= 0x7e })
}

// isOpList is op *( "," op ), where an op is 1*16( %x61-7A / "-" ).
func isOpList(s []byte) bool {
	length := 0 // of the op that ends here
	for _, c := range s {
		switch {
		case isLower(c) || c == '-':
			length++
		case c != ',' || length == 0:
			return false
		default:
			length = 0
		}
		if length > 16 {
			return false
		}
	}
	return length > 0
}

// isPath is "/" *segment-char.
func isPath(s []byte) bool {
	return len(s) > 0 && s[0] == '/' && allBytes(s, func(c byte) bool {
		return isDigit(c) || isLower(c) || c >= 'A' && c <= 'Z' || strings.IndexByte("/-._~:", c) >= 0
	})
}

// isTenant is 32HEXLOWER.
func isTenant(s []byte) bool {
	return len(s) == 2*len(Request{}.Tenant) && allBytes(s, func(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' })
}

// isSwitch is "on" / "off".
func isSwitch(s []byte) bool { return string(s) == "on" || string(s) == "off" }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isLower(c byte) bool { return c >= 'a' && c <= 'z' }

func allBytes(s []byte, is func(byte) bool) bool {
	for _, c := range s {
		if !is(c) {
			return false
		}
	}
	return true
}
