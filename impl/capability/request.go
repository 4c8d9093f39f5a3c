package capability

import (
	"bytes"
	"encoding/hex"
	"strings"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// Request is what a capability is asked to cover.
type Request struct {
	Op spec.Op
	// Path is the path as the router uses it: decoded once, without query, never to be decoded again. An OAP operation
	// on an object has /o/{addr}, and a put without an address /put (CAP-CAV-010, CAP-OPS-002).
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

// findings are what the caveats of one token, and of its discharges, come to.
type findings struct {
	unauth    string // the rule by which the token is no good, or ""
	forbidden string // the rule by which it does not cover the request, or ""
	exp       int64  // the earliest, in seconds; -1 if there is none
	maxBytes  int64  // the lowest; -1 if there is none
	rps       int64  // the lowest; -1 if there is none
}

// evaluate holds every caveat of t against the request, each for itself (CAP-CAV-003), those of its discharges as well
// (CAP-TOK-011). The caller has verified the signatures over them (CAP-HMC-003).
func evaluate(t Token, now time.Time, n node, r Request) findings {
	f := findings{exp: -1, maxBytes: -1, rps: -1}
	if !r.Op.Known() {
		f.forbidden = "CAP-CAV-009" // also where no caveat lists operations
	} else if dotted(r.Path) {
		f.forbidden = "CAP-CAV-010" // also where no caveat names a path
	}
	f.read(&t.p.in.m, now, n, r)
	if f.exp < 0 { // whatever a discharge says
		f.deny("CAP-CAV-004")
	}
	for discharges := (reader{rest: t.p.in.discharges}); discharges.more(); {
		d := discharges.macaroon()
		f.read(&d, now, n, r)
	}
	if f.exp > now.Unix()+int64(spec.MaxCapabilityTTL/time.Second) {
		f.deny("CAP-CAV-005")
	}
	return f
}

// read holds the conditions of one macaroon against the request.
func (f *findings) read(m *form, now time.Time, n node, r Request) {
	for list := m.caveats(); list.more(); {
		next := list.caveat()
		if next.thirdParty() {
			continue // its discharge was verified with the signature
		}
		c, rule := parseCondition(next.id)
		if rule == "" {
			rule = c.holds(now, n, r)
		}
		f.deny(rule)
		switch c.kind {
		case exp:
			f.exp = lower(f.exp, c.number())
		case maxBytes:
			f.maxBytes = lower(f.maxBytes, c.number())
		case rps:
			f.rps = lower(f.rps, c.number())
		}
	}
}

// deny notes a broken rule, or "" for none; the first of a reason stands.
func (f *findings) deny(rule string) {
	switch rule {
	case "":
	case "CAP-CAV-009", "CAP-CAV-010", "CAP-CAV-011", "CAP-CAV-012", "CAP-CAV-014": // CAP-DEN-002
		if f.forbidden == "" {
			f.forbidden = rule
		}
	default: // CAP-DEN-001
		if f.unauth == "" {
			f.unauth = rule
		}
	}
}

// lower is the lower of two limits, of which the first may be -1 for none.
func lower(a, b int64) int64 {
	if a < 0 {
		return b
	}
	return min(a, b)
}

// holds says which rule the request breaks, or "". Rates are the business of the Authority, which knows what came
// before.
func (c condition) holds(now time.Time, n node, r Request) string {
	switch c.kind {
	case exp:
		return unless(!past(c.number(), now), "CAP-CAV-005")
	case nbf:
		return unless(c.number() <= now.Unix(), "CAP-CAV-007")
	case aud:
		return unless(string(c.value) == n.name, "CAP-CAV-008")
	case amnesia:
		return unless((string(c.value) == "on") == n.amnesia, "CAP-CAV-015")
	case ops:
		return unless(lists(c.value, r.Op), "CAP-CAV-009")
	case path:
		return unless(covers(c.value, r.Path), "CAP-CAV-010")
	case tenant:
		var text [2 * len(r.Tenant)]byte
		hex.Encode(text[:], r.Tenant[:])
		return unless(bytes.Equal(c.value, text[:]), "CAP-CAV-011")
	case maxBytes:
		return unless(r.Bytes <= uint64(c.number()), "CAP-CAV-012")
	case peerUID:
		return unless(r.HasPeer && int64(r.PeerUID) == c.number(), "CAP-CAV-014")
	case rps:
		return ""
	}
	return "CAP-CAV-002"
}

func unless(ok bool, rule string) string {
	if ok {
		return ""
	}
	return rule
}

// past says whether the second exp is over: a capability is good at exp and no longer after it.
func past(exp int64, now time.Time) bool { return now.After(time.Unix(exp, 0)) }

// lists says whether op is one of the names between the commas.
func lists(list []byte, op spec.Op) bool {
	for more := true; more; {
		var name []byte
		name, list, more = bytes.Cut(list, []byte(","))
		if string(name) == string(op) {
			return true
		}
	}
	return false
}

// covers says whether p is prefix, or continues it at a slash.
func covers(prefix []byte, p string) bool {
	if len(p) < len(prefix) || p[:len(prefix)] != string(prefix) {
		return false
	}
	rest := p[len(prefix):]
	return rest == "" || rest[0] == '/' || prefix[len(prefix)-1] == '/'
}

// dotted says whether a segment of p is `.` or `..`: somebody behind us might resolve it, and the request would then be
// another.
func dotted(p string) bool {
	for segment := range strings.SplitSeq(p, "/") {
		if segment == "." || segment == ".." {
			return true
		}
	}
	return false
}
