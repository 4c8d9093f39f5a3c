package capability

import (
	"encoding/hex"
	"strconv"
	"strings"
	"time"

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
	value  func(string) bool
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
	for i := range grammar {
		g := &grammar[i]
		value, ok := strings.CutPrefix(s, g.prefix)
		if !ok {
			continue
		}
		if !g.value(value) {
			return Caveat{}, unauth("CAP-CAV-001")
		}
		return Caveat{g.kind, value}, nil
	}
	return Caveat{}, unauth("CAP-CAV-002")
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
func among(list []Op) Caveat {
	names := make([]string, len(list))
	for i := range list {
		names[i] = string(list[i])
	}
	return Caveat{ops, strings.Join(names, ",")}
}

// number is the value of a kind whose value is a number: below 10^15, as the grammar says.
func (c Caveat) number() int64 {
	n, err := strconv.ParseInt(c.value, 10, 64)
	if err != nil {
		panic("capability: not a number after all: " + c.value)
	}
	return n
}

// isNumber is "0" / ( %x31-39 *14DIGIT ).
func isNumber(s string) bool {
	if s == "" || len(s) > 15 || s[0] == '0' && len(s) > 1 {
		return false
	}
	return allBytes(s, isDigit)
}

// isText is 1*128( %x21-7E ).
func isText(s string) bool {
	return len(s) >= 1 && len(s) <= 128 && allBytes(s, func(c byte) bool { return c >= 0x21 && c <= 0x7e })
}

// isOpList is op *( "," op ).
func isOpList(s string) bool {
	for op := range strings.SplitSeq(s, ",") {
		if !isOp(op) {
			return false
		}
	}
	return true
}

// isOp is 1*16( %x61-7A / "-" ).
func isOp(s string) bool {
	return len(s) >= 1 && len(s) <= 16 && allBytes(s, func(c byte) bool { return isLower(c) || c == '-' })
}

// isPath is "/" *segment-char.
func isPath(s string) bool {
	return strings.HasPrefix(s, "/") && allBytes(s, func(c byte) bool {
		return isDigit(c) || isLower(c) || c >= 'A' && c <= 'Z' || strings.IndexByte("/-._~:", c) >= 0
	})
}

// isTenant is 32HEXLOWER.
func isTenant(s string) bool {
	return len(s) == 2*len(Request{}.Tenant) && allBytes(s, func(c byte) bool { return isDigit(c) || c >= 'a' && c <= 'f' })
}

// isSwitch is "on" / "off".
func isSwitch(s string) bool { return s == "on" || s == "off" }

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isLower(c byte) bool { return c >= 'a' && c <= 'z' }

func allBytes(s string, is func(byte) bool) bool {
	for i := range len(s) {
		if !is(s[i]) {
			return false
		}
	}
	return true
}

// Request is what a capability is asked to cover.
type Request struct {
	Op Op
	// Path is the path as the router uses it: decoded once, without query, never to be decoded again. An OAP operation
	// on an object has /o/{addr}, and a put without an address /put (CAP-CAV-010).
	Path string
	// Tenant is the tenant_id of the frame; zero for none.
	Tenant [16]byte
	// Bytes is the declared length of the body; 0 if there is none, or if it is not known. What is delivered is checked
	// with Grant.CheckBytes as it arrives (CAP-CAV-012).
	Bytes uint64
	// HasPeer says that the request came over the Unix socket, and PeerUID from whom, as the kernel says.
	HasPeer bool
	PeerUID uint32
}

// node is what a capability is asked about the node itself.
type node struct {
	name    string
	amnesia bool
}

// findings are what the caveats of one token come to.
type findings struct {
	unauth    string // the rule by which the token is no good, or ""
	forbidden string // the rule by which it does not cover the request, or ""
	exp       int64  // the earliest, in seconds; -1 if there is none
	maxBytes  int64  // the lowest; -1 if there is none
	rps       int64  // the lowest; -1 if there is none
}

// evaluate holds every caveat against the request, each for itself (CAP-CAV-003). The caller has verified the signature
// over them (CAP-HMC-003).
func evaluate(conditions []string, now time.Time, n node, r Request) findings {
	f := findings{exp: -1, maxBytes: -1, rps: -1}
	if !r.Op.known() {
		f.forbidden = "CAP-CAV-009" // also where no caveat lists operations
	}
	for _, text := range conditions {
		c, err := ParseCaveat(text)
		if err != nil {
			f.deny(err.(*Error))
			continue
		}
		f.deny(c.holds(now, n, r))
		switch c.kind {
		case exp:
			f.exp = lower(f.exp, c.number())
		case maxBytes:
			f.maxBytes = lower(f.maxBytes, c.number())
		case rps:
			f.rps = lower(f.rps, c.number())
		}
	}
	switch {
	case f.exp < 0:
		f.deny(unauth("CAP-CAV-004"))
	case f.exp > now.Unix()+int64(MaxTTL/time.Second):
		f.deny(unauth("CAP-CAV-005"))
	}
	return f
}

// deny notes a refusal; the first of a reason stands.
func (f *findings) deny(e *Error) {
	switch {
	case e == nil:
	case e.Reason == spec.Unauth && f.unauth == "":
		f.unauth = e.Rule
	case e.Reason == spec.Forbidden && f.forbidden == "":
		f.forbidden = e.Rule
	}
}

// lower is the lower of two limits, of which the first may be -1 for none.
func lower(a, b int64) int64 {
	if a < 0 {
		return b
	}
	return min(a, b)
}

// holds says what the caveat has against the request, or nil. Rates are the business of the Authority, which knows what
// came before.
func (c Caveat) holds(now time.Time, n node, r Request) *Error {
	switch c.kind {
	case exp:
		return unless(!past(c.number(), now), unauth, "CAP-CAV-005")
	case nbf:
		return unless(c.number() <= now.Unix(), unauth, "CAP-CAV-007")
	case aud:
		return unless(c.value == n.name, unauth, "CAP-CAV-008")
	case amnesia:
		return unless((c.value == "on") == n.amnesia, unauth, "CAP-CAV-015")
	case ops:
		return unless(lists(c.value, r.Op), forbidden, "CAP-CAV-009")
	case path:
		return unless(covers(c.value, r.Path), forbidden, "CAP-CAV-010")
	case tenant:
		return unless(c.value == hex.EncodeToString(r.Tenant[:]), forbidden, "CAP-CAV-011")
	case maxBytes:
		return unless(r.Bytes <= uint64(c.number()), forbidden, "CAP-CAV-012")
	case peerUID:
		return unless(r.HasPeer && int64(r.PeerUID) == c.number(), forbidden, "CAP-CAV-014")
	case rps:
		return nil
	}
	return unauth("CAP-CAV-002")
}

func unless(ok bool, refuse func(string) *Error, rule string) *Error {
	if ok {
		return nil
	}
	return refuse(rule)
}

// past says whether the second exp is over: a capability is good at exp and no longer after it.
func past(exp int64, now time.Time) bool { return now.After(time.Unix(exp, 0)) }

// lists says whether op is one of the names between the commas.
func lists(list string, op Op) bool {
	for name := range strings.SplitSeq(list, ",") {
		if name == string(op) {
			return true
		}
	}
	return false
}

// covers says whether p is prefix, or continues it at a slash. A path with dot segments is covered by none: somebody
// behind us might resolve them, and the request would then be another.
func covers(prefix, p string) bool {
	rest, ok := strings.CutPrefix(p, prefix)
	if !ok || rest != "" && rest[0] != '/' && !strings.HasSuffix(prefix, "/") {
		return false
	}
	for segment := range strings.SplitSeq(p, "/") {
		if segment == "." || segment == ".." {
			return false
		}
	}
	return true
}
