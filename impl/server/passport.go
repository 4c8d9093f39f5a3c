package server

import (
	"bytes"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/spec"
)

// passport is one request of the passport protocol, read and found well-formed (CAP-ISS-001). One of the pointers is set, by op.
type passport struct {
	op     spec.Op
	issue  *capability.Minting
	verify *verification
	revoke *revocation
}

// verification is what a verify request asks.
type verification struct {
	token   string // as text; it is not read before the request is authorized
	request capability.Request
}

// revocation is what a revoke request names: one of the two.
type revocation struct {
	id  *capability.ID
	key *capability.KeyID
}

// passportPath is the path that a capability is held to, on every surface (CAP-OPS-001).
func passportPath(op spec.Op) string { return "/v1/passport/" + string(op) }

// The JSON objects of the requests. Pointers tell what is missing from what is null or zero. Request is there over OAP/1
// and nowhere else.
type (
	requestJSON struct {
		Request *string `json:"request"`
	}
	issueJSON struct {
		Request *string   `json:"request"`
		Role    *string   `json:"role"`
		Ops     *[]string `json:"ops"`
		TTL     *int64    `json:"ttl_s"`
		Caveats []string  `json:"caveats"`
	}
	verifyJSON struct {
		Request *string `json:"request"`
		Token   *string `json:"token"`
		Op      *string `json:"op"`
		Path    *string `json:"path"`
		Bytes   int64   `json:"bytes"`
		Tenant  *string `json:"tenant"`
	}
	revokeJSON struct {
		Request *string `json:"request"`
		ID      *string `json:"id"`
		KeyID   *string `json:"key_id"`
	}
)

// parsePassport reads a request (CAP-ISS-001). op is that of the route, or "" over OAP/1, where the text says it. The error
// carries spec.Malformed.
func parsePassport(op spec.Op, doc []byte) (*passport, error) {
	named := op == ""
	if named {
		var r requestJSON
		if json.Unmarshal(doc, &r) != nil || r.Request == nil {
			return nil, spec.Malformed
		}
		op = spec.Op(*r.Request)
	}
	p := &passport{op: op}
	var request *string
	ok := false
	switch op {
	case spec.OpIssue:
		var r issueJSON
		ok = strict(doc, &r) && p.readIssue(&r)
		request = r.Request
	case spec.OpVerify:
		var r verifyJSON
		ok = strict(doc, &r) && p.readVerify(&r)
		request = r.Request
	case spec.OpRevoke:
		var r revokeJSON
		ok = strict(doc, &r) && p.readRevoke(&r)
		request = r.Request
	case spec.OpRotate:
		var r requestJSON
		ok = strict(doc, &r)
		request = r.Request
	}
	if !ok || named != (request != nil) {
		return nil, spec.Malformed
	}
	return p, nil
}

// strict reads one JSON object with the members of v and no others. A null is of no type that any member has.
func strict(doc []byte, v any) bool {
	dec := jsontext.NewDecoder(bytes.NewReader(doc))
	for first := true; ; first = false {
		t, err := dec.ReadToken()
		switch {
		case err == io.EOF && !first:
			return json.Unmarshal(doc, v, json.RejectUnknownMembers(true)) == nil
		case err != nil, t.Kind() == 'n', first && t.Kind() != '{':
			return false
		}
	}
}

func (p *passport) readIssue(r *issueJSON) bool {
	m := &capability.Minting{}
	switch {
	case (r.Role == nil) == (r.Ops == nil):
		return false
	case r.Role != nil:
		m.Ops = spec.Role(*r.Role).Ops()
	default:
		for _, op := range *r.Ops {
			m.Ops = append(m.Ops, spec.Op(op))
		}
	}
	if r.TTL != nil {
		if *r.TTL < 1 || *r.TTL > int64(spec.MaxCapabilityTTL/time.Second) {
			return false
		}
		m.TTL = time.Duration(*r.TTL) * time.Second
	}
	for _, op := range m.Ops {
		if !op.Known() {
			return false
		}
	}
	for _, text := range r.Caveats {
		c, err := capability.ParseCaveat(text)
		if err != nil {
			return false
		}
		m.Caveats = append(m.Caveats, c)
	}
	p.issue = m
	return len(m.Ops) > 0
}

func (p *passport) readVerify(r *verifyJSON) bool {
	if r.Token == nil || r.Op == nil || r.Path == nil || r.Bytes < 0 {
		return false
	}
	v := &verification{token: *r.Token, request: capability.Request{Op: spec.Op(*r.Op), Path: *r.Path, Bytes: uint64(r.Bytes)}}
	if r.Tenant != nil && !hexInto(v.request.Tenant[:], *r.Tenant) {
		return false
	}
	p.verify = v
	return true
}

func (p *passport) readRevoke(r *revokeJSON) bool {
	v := &revocation{}
	switch {
	case (r.ID == nil) == (r.KeyID == nil):
		return false
	case r.ID != nil:
		v.id = new(capability.ID)
		p.revoke = v
		return hexInto(v.id[:], *r.ID)
	}
	v.key = new(capability.KeyID)
	p.revoke = v
	return hexInto(v.key[:], *r.KeyID)
}

// hexInto reads lowercase hexadecimal digits for all of dst.
func hexInto(dst []byte, text string) bool {
	b, err := hex.DecodeString(text)
	return err == nil && copy(dst, b) == len(b) && hex.EncodeToString(dst) == text
}

// The JSON objects of the answers.
type (
	issuedJSON struct {
		Token   string `json:"token"`
		ID      string `json:"id"`
		KeyID   string `json:"key_id"`
		Expires int64  `json:"expires"`
	}
	verifiedJSON struct {
		Valid   bool        `json:"valid"`
		Reason  spec.Reason `json:"reason,omitzero"`
		ID      string      `json:"id,omitzero"`
		KeyID   string      `json:"key_id,omitzero"`
		Expires int64       `json:"expires,omitzero"`
	}
	revokedJSON struct {
		Revoked bool `json:"revoked"`
	}
	rotatedJSON struct {
		KeyID string `json:"key_id"`
	}
)

// servePassport carries out a request that lease allows, and returns the JSON text of the answer (HTTP-PAS-002). who is for the audit log.
func (n *Node) servePassport(p *passport, lease *capability.Lease, who audit.Record) ([]byte, error) {
	now := n.clock(time.Now())
	var answer any
	var err error
	switch p.op {
	case spec.OpIssue:
		answer, err = n.issue(now, p.issue, lease, who)
	case spec.OpVerify:
		answer = n.verify(now, p.verify)
	case spec.OpRevoke:
		answer, err = n.revoke(now, p.revoke, lease, who)
	case spec.OpRotate:
		answer, err = n.rotate(now, who)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(answer)
}

// issue mints a capability (CAP-ISS-002). One that can not be written down is not handed out.
func (n *Node) issue(now time.Time, m *capability.Minting, lease *capability.Lease, who audit.Record) (*issuedJSON, error) {
	m.From = lease
	n.keyMu.Lock()
	t, err := n.authority.Mint(now, *m) // with a new key where the old one is due
	n.noteNewKey(audit.Record{})
	n.keyMu.Unlock()
	if err != nil {
		return nil, err
	}
	defer t.Wipe()
	who.Event, who.KeyID, who.HasKey, who.CapID, who.HasCap = audit.Issued, t.Key(), true, t.ID(), true
	who.Granted, who.Expires = audit.OpsOf(m.Ops), t.Expires().Unix()
	if err := n.record(who); err != nil {
		return nil, err
	}
	return &issuedJSON{Token: t.Text(), ID: t.ID().String(), KeyID: t.Key().String(), Expires: t.Expires().Unix()}, nil
}

// verify asks for somebody else's token (CAP-ISS-003).
func (n *Node) verify(now time.Time, v *verification) *verifiedJSON {
	t, err := capability.ParseText(v.token)
	defer t.Wipe()
	var g capability.Grant
	if err == nil {
		g, err = n.authority.Verify(now, t, v.request)
	}
	if err != nil {
		reason, _ := denial(err)
		return &verifiedJSON{Reason: reason}
	}
	return &verifiedJSON{Valid: true, ID: g.ID.String(), KeyID: g.Key.String(), Expires: g.Expires.Unix()}
}

// revoke revokes a capability or a key (CAP-REV-001, CAP-ISS-004). It is in force when this returns; what is open ends
// right behind it.
func (n *Node) revoke(now time.Time, r *revocation, own *capability.Lease, who audit.Record) (*revokedJSON, error) {
	if r.id != nil {
		ended, err := n.authority.RevokeCapability(now, *r.id)
		if err != nil {
			return nil, err
		}
		n.endLeases(others(ended, own))
		who.Event, who.CapID, who.HasCap = audit.Revoked, *r.id, true
		return &revokedJSON{true}, n.record(who)
	}
	n.keyMu.Lock()
	defer n.keyMu.Unlock()
	n.noteNewKey(audit.Record{}) // one that time brought meanwhile is its own
	ended, found := n.authority.RevokeKey(now, *r.key)
	if !found {
		return nil, spec.NotFound
	}
	n.endLeases(others(ended, own))
	who.Event, who.KeyID, who.HasKey = audit.KeyRevoked, *r.key, true
	err := n.record(who)
	n.noteNewKey(who)
	return &revokedJSON{true}, err
}

// others leaves out the lease of the revocation itself: it ends with its answer, and to interrupt that would lose it.
func others(ended []*capability.Lease, own *capability.Lease) []*capability.Lease {
	return slices.DeleteFunc(ended, func(l *capability.Lease) bool { return l == own })
}

// rotate replaces the current root key (CAP-ISS-005).
func (n *Node) rotate(now time.Time, who audit.Record) (*rotatedJSON, error) {
	n.keyMu.Lock()
	defer n.keyMu.Unlock()
	n.noteNewKey(audit.Record{}) // one that time brought meanwhile is its own
	id, err := n.authority.Rotate(now)
	if err != nil {
		return nil, err
	}
	n.noteNewKey(who)
	return &rotatedJSON{id.String()}, nil
}

// noteNewKey writes down that there is another current key than the last time (CAP-AUD-001). who brought it; zero where it was
// time. The caller holds keyMu since before it did what may have brought one, so that each key is noted once, with its asker.
func (n *Node) noteNewKey(who audit.Record) {
	now := n.authority.Status().Current
	if now == n.lastKey || now == (capability.KeyID{}) {
		return
	}
	n.lastKey = now
	who.Event, who.KeyID, who.HasKey = audit.Rotated, now, true
	_ = n.record(who)
}

// passport serves POST /v1/passport/… (HTTP-PAS-001).
func (x *exchange) passport() {
	if x.r.ContentLength > spec.MaxPassport {
		x.refuse(spec.Malformed, "a passport request is at most 8,192 bytes")
		return
	}
	op := routes[x.rt].ops[x.r.Method]
	if !x.authorize(passportPath(op), 0) {
		return
	}
	doc, err := io.ReadAll(io.LimitReader(x.r.Body, spec.MaxPassport+1))
	defer clear(doc) // it may hold a token
	if err != nil {
		x.refuseBody(err)
		return
	}
	if len(doc) > spec.MaxPassport {
		x.refuse(spec.Malformed, "a passport request is at most 8,192 bytes")
		return
	}
	p, err := parsePassport(op, doc)
	if err != nil {
		x.refuse(spec.Malformed, "not the JSON object of this operation")
		return
	}
	answer, err := x.n.servePassport(p, x.lease, x.who())
	if err != nil {
		reason, retry := denial(err)
		detail := ""
		if reason == spec.Quota {
			detail = "the list of revocations or of keys is full; to revoke a whole key makes room"
		}
		x.refuseFor(reason, retry, detail)
		return
	}
	defer clear(answer)
	x.bytes(http.StatusOK, "application/json", answer)
}
