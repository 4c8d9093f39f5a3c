package conformance

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/rustyonions/micronode/model/refcap"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// capRequestCases are about who may do what, and what those hear who may not.
func capRequestCases() []Case {
	return []Case{
		capCase("cap-no-ambient", "No operation is carried out without a capability, on any surface; the four operation routes and HELLO need none.",
			capNoAmbient, "CAP-ROL-003", "CAP-OPS-001", "CAP-DEN-001"),
		feature(FeaturePassport, capCase("cap-roles", "Each role has the operations of its row and no other, on every surface, and is written down in the token.",
			capRoles, "CAP-ROL-001", "CAP-ROL-002", "CAP-OPS-001")),
		capCase("cap-order", "A 401 comes before a body is asked for or read, and before anything is looked up.",
			capOrder, "ADM-ORD-004", "ADM-ORD-001"),
		capCase("cap-order-forbidden", "A 403 comes before a body is asked for or read, and before anything is looked up.",
			capOrderForbidden, "ADM-ORD-004", "CAP-DEN-002"),
		capCase("cap-route-first", "What is wrong with the route or the declared headers is said before authentication, to everybody alike.",
			capRouteFirst, "ADM-ORD-001", "OAP-SES-020"),
		feature(FeaturePassport, capCase("cap-one-answer", "Every 401 to one request line is the same, byte for byte, and so is every 403; which check failed does not show.",
			capOneAnswer, "CAP-DEN-004", "CAP-DEN-003")),
		own(capCase("cap-counted", "Each denial adds one to auth_failures_total and one to its label of rejected_total, on every surface.",
			capCounted, "CAP-DEN-005", "RDY-OBS-006", "ADM-CNT-001")),
		capCase("cap-no-effect", "A denied put, delete or passport request has no effect.",
			capNoEffect, "ADM-ORD-003", "CAP-ROL-003"),
		capCase("cap-any-surface", "A token is good on every surface alike, and so is its refusal.",
			capAnySurface, "CAP-OPS-001", "CAP-ROL-003"),
	}
}

func capNoAmbient(t *T) {
	w := t.warrant()
	t.Control(func() {
		for _, d := range t.deeds() {
			t.judge(t.ways(), "with a token", w.Bytes(), d, spec.None)
		}
	})
	for _, d := range append(t.deeds(), passportDeed(spec.OpRotate, "")) {
		t.judge(t.everyWay(), "without a token", nil, d, spec.Unauth)
	}
	stranger := t.With(nil)
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/version"} {
		t.Want(stranger.Get(path), 200)
		t.Want(stranger.Do(Request{Method: "HEAD", Path: path}), 200)
		t.Want(t.With(w.With("never").Bytes()).Get(path), 200) // a bad token is none of their business
	}
	stranger.Hello()
	for _, path := range []string{"/admin/audit/checkpoint", "/admin/audit/export", "/admin/audit/inclusion/0/1", "/admin/audit/consistency/1/2"} {
		for _, method := range []string{"GET", "HEAD"} {
			r := stranger.Do(Request{Method: method, Path: path})
			t.challenged(r)
			t.Check(r.Status == 401, "%s %s without a token is %d", method, path, r.Status)
		}
	}
	t.Refuses(stranger.Do(Request{Method: "POST", Path: "/admin/audit/acknowledge/1"}), spec.Unauth)
}

func capRoles(t *T) {
	t.Control(func() { t.judge(t.ways(), "with every operation", t.cap, getDeed(t.Absent()), spec.None) })
	for _, role := range spec.Roles() {
		i := t.issue(fmt.Sprintf(`"role":%q`, role))
		got := conditions(i.token, "op in ")
		ops := joined(role.Ops())
		t.Check(len(got) == 1, "a token for the %s has the lists of operations %q", role, got)
		listed := strings.Split(got[0], ",")
		slices.Sort(listed)
		want := strings.Split(ops, ",")
		slices.Sort(want)
		t.Check(slices.Equal(listed, want), "the %s may %q, want %s", role, got[0], ops)
		for _, d := range t.deeds() {
			right := spec.Forbidden
			if slices.Contains(role.Ops(), d.op) {
				right = spec.None
			}
			t.judge(t.ways(), "as "+string(role), i.token.Bytes(), d, right)
		}
		if role != spec.Issuer {
			t.judge(t.ways(), "as "+string(role), i.token.Bytes(), passportDeed(spec.OpRotate, ""), spec.Forbidden)
		}
		if role != spec.Admin {
			p := t.With(i.token.Bytes())
			for _, path := range []string{"/admin/audit/export", "/admin/audit/inclusion/0/1", "/admin/audit/consistency/1/2"} {
				p.Refuses(p.Get(path), spec.Forbidden)
			}
			p.Refuses(p.Do(Request{Method: "POST", Path: "/admin/audit/acknowledge/1"}), spec.Forbidden)
		}
	}
	t.Refuses(t.passport(spec.OpIssue, `"role":"root"`), spec.Malformed)
}

// beforeBody demands that p is refused with reason from the head alone, and the same for what is stored and what is not.
func beforeBody(t *T, p *Peer, reason spec.Reason) {
	data := t.Bytes(70)
	status := reason.Facts().Status
	t.Upload(data)
	for _, length := range []string{"Content-Length: 70", "Content-Length: 1048576", "Transfer-Encoding: chunked"} {
		for _, x := range []struct{ method, path string }{{"POST", "/put"}, {"PUT", Object(AddressOf(data))}, {"PUT", Object(t.Absent())}, {"POST", "/v1/passport/issue"}} {
			if x.path == "/v1/passport/issue" && strings.HasSuffix(length, "1048576") {
				continue // which is too long before anybody asks who sent it (ADM-ORD-001)
			}
			for _, more := range [][]string{{length}, {length, "Expect: 100-continue"}} {
				raw := p.Raw()
				raw.Head(x.method, x.path, more...)
				r := raw.Response(x.method) // an interim 100 would be taken for the answer, and is no 401
				t.challenged(r)
				t.Check(r.Status == status, "%s %s with %v is answered with %d before its body, want %d", x.method, x.path, more, r.Status, status)
				raw.nc.Close()
			}
		}
	}
	for _, method := range []string{"GET", "HEAD", "DELETE"} {
		there, absent := p.fixed(method, Object(AddressOf(data))), p.fixed(method, Object(t.Absent()))
		t.Check(there == absent, "%s tells whether an object is stored:\n%s\n%s", method, there, absent)
		t.Check(strings.HasPrefix(there, fmt.Sprint(status)), "%s is answered with\n%s", method, there)
	}
	for _, op := range []string{"get", "has", "stat", "delete"} {
		of := func(a spec.Address) string {
			c := p.Hello()
			defer c.Close()
			f := c.answerTo(refwire.Request{Op: op, Obj: a, HasObj: true})
			c.refused(f, c.corr, reason)
			return string(f.Data)
		}
		there, absent := of(AddressOf(data)), of(t.Absent())
		t.Check(there == absent, "%s tells whether an object is stored: %s and %s", op, there, absent)
	}
	// A put is refused at its START, and nothing of what follows is looked at.
	c := p.Hello()
	corr := c.Begin(putAs(AddressOf(data), len(data)), 0)
	c.Refused(corr, reason)
	t.Serves(data) // no delete was carried out
}

func (c *Conn) answerTo(r refwire.Request) refwire.Frame {
	c.Ask(r)
	return c.Frame()
}

// fixed is an answer without what has to differ: its status, its fields and its body under a fixed correlation id.
func (p *Peer) fixed(method, path string, headers ...string) string {
	r := p.Do(Request{Method: method, Path: path, Headers: append([]string{"X-Corr-ID: the-same"}, headers...)})
	p.challenged(r)
	r.Header.Del("Date")
	var fields []string
	for name, values := range r.Header {
		fields = append(fields, fmt.Sprintf("%s: %q", name, values))
	}
	slices.Sort(fields)
	return fmt.Sprintf("%d %v %s\n%s", r.Status, r.Close, strings.Join(fields, "\n"), r.Body)
}

func capOrder(t *T) {
	t.Control(func() { t.HTTPRoundTrip(); t.Hello().RoundTrip() })
	beforeBody(t, t.With(nil), spec.Unauth)
	beforeBody(t, t.With(t.warrant().With("exp <= 1").Bytes()), spec.Unauth)
}

func capOrderForbidden(t *T) {
	t.Control(func() { t.HTTPRoundTrip(); t.Hello().RoundTrip() })
	beforeBody(t, t.With(t.warrant().With("op in send").Bytes()), spec.Forbidden)
	beforeBody(t, t.With(t.warrant().With("path ^= /elsewhere").Bytes()), spec.Forbidden)
}

func capRouteFirst(t *T) {
	t.Control(func() { t.HTTPRoundTrip(); t.Hello().RoundTrip() })
	for _, cap := range [][]byte{nil, t.warrant().With("exp <= 1").Bytes(), t.warrant().With("op in send").Bytes(), t.cap} {
		p := t.With(cap)
		p.Refuses(p.Get("/nowhere"), spec.NoRoute)
		p.Refuses(p.Get("/v1/passport/fly"), spec.NoRoute)
		p.Refuses(p.Get("/admin"), spec.NoRoute)
		p.Refuses(p.Do(Request{Method: "BREW", Path: "/put"}), spec.MethodNotAllowed)
		p.Refuses(p.Do(Request{Method: "GET", Path: "/v1/passport/issue"}), spec.MethodNotAllowed)
		p.Refuses(p.Do(Request{Method: "POST", Path: "/admin/audit/export"}), spec.MethodNotAllowed)
		p.Refuses(p.Get("/o/b3:BAD"), spec.Malformed)
		p.Refuses(p.Do(Request{Method: "POST", Path: "/put", Headers: []string{"Content-Encoding: br"}, Body: []byte("x")}), spec.UnsupportedEncoding)
		raw := p.Raw()
		raw.Head("POST", "/put", "Content-Length: 1048577")
		p.Refuses(raw.Response("POST"), spec.Oversize)
		c := p.Hello()
		c.Send(startFrame(c.fresh(), spec.FlagEnd, []byte("{}")))
		c.Refused(c.corr, spec.Malformed)
		f := startFrame(c.fresh(), spec.FlagEnd, []byte(`{"request":"issue","role":"reader","role":"reader"}`))
		f.Proto = spec.ProtoPassport
		c.Send(f)
		c.Refused(c.corr, spec.Malformed)
		f = startFrame(c.fresh(), spec.FlagEnd, []byte(`{}`))
		f.Proto = spec.ProtoMailbox
		c.Send(f)
		c.Refused(c.corr, spec.Unsupported)
	}
}

// badTokens are refused as unauth, each for another reason.
func (t *T) badTokens() map[string][]byte {
	w := t.warrant()
	cut := w
	cut.Caveats = slices.Clone(w.Caveats[:len(w.Caveats)-1])
	asking, _ := t.thirdParty(w, "who?")
	revoked := t.issue(`"role":"reader"`)
	t.Want(t.passport(spec.OpRevoke, fmt.Sprintf(`"id":%q`, revoked.ID)), 200)
	t.Pause(spec.RevocationTime)
	key, _ := w.KeyID()
	return map[string][]byte{
		"none": nil, "no macaroon": []byte("no macaroon"), "expired": w.With("exp <= 1").Bytes(), "not yet": w.With("nbf >= 999999999999999").Bytes(),
		"for another node": w.With("aud = elsewhere").Bytes(), "unknown caveat": w.With("color = red").Bytes(), "malformed caveat": w.With("exp <= x").Bytes(),
		"a caveat cut": cut.Bytes(), "an unknown key": refcap.New(t.Bytes(32), refcap.Identifier(1, [8]byte(t.Bytes(8)), [16]byte(t.Bytes(16))), "").With("exp <= 999999999999999").Bytes(),
		"a forged signature": refcap.New(t.Bytes(32), refcap.Identifier(1, key, [16]byte(t.Bytes(16))), "").Bytes(), "trailing": append(w.Bytes(), 0), "oversize": make([]byte, 3100),
		"33 caveats": w.With(slices.Repeat([]string{"nbf >= 0"}, 33)...).Bytes(), "no discharge": asking.Bytes(), "revoked": revoked.token.Bytes(),
		"expired and forbidden": w.With("exp <= 1", "op in send").Bytes(),
	}
}

func capOneAnswer(t *T) {
	t.Control(func() { t.HTTPRoundTrip(); t.Hello().RoundTrip() })
	data := t.Bytes(90)
	t.Upload(data)
	w := t.warrant()
	forbidden := map[string][]byte{
		"the operation": w.With("op in send").Bytes(), "the path": w.With("path ^= /elsewhere").Bytes(), "the tenant": w.With("tenant = " + strings.Repeat("a", 32)).Bytes(),
		"the user": w.With("peer-uid = 4294967294").Bytes(), "no operation at all": w.With("op in none").Bytes(),
	}
	for status, tokens := range map[int]map[string][]byte{401: t.badTokens(), 403: forbidden} {
		for _, x := range []struct{ method, path string }{
			{"GET", Object(AddressOf(data))}, {"GET", Object(t.Absent())}, {"HEAD", Object(AddressOf(data))}, {"DELETE", Object(t.Absent())}, {"GET", "/admin/audit/checkpoint"},
		} {
			first, whose := "", ""
			for what, token := range tokens {
				got := t.With(token).fixed(x.method, x.path)
				t.Check(strings.HasPrefix(got, fmt.Sprint(status)), "%s %s with %s is answered with\n%s", x.method, x.path, what, got)
				if first == "" {
					first, whose = got, what
				}
				t.Check(got == first, "%s %s tells %q from %q:\n%s\n%s", x.method, x.path, what, whose, got, first)
			}
		}
		var first []byte
		for what, token := range tokens {
			c := t.With(token).Hello()
			f := c.answerTo(get(AddressOf(data)))
			c.Close()
			t.Check(int(f.Code) == status, "get with %s is answered with %s", what, frameText(f))
			if first == nil {
				first = f.Data
			}
			t.Check(bytes.Equal(f.Data, first), "get with %s is answered with %s, and others with %s", what, f.Data, first)
		}
	}
	// Nor do the schemes tell.
	stranger := t.With(nil)
	first := stranger.fixed("GET", "/o/"+AddressOf(data).String())
	for _, field := range []string{"Basic eDp5", "Macaroon", "Bearer x", "Macro " + w.With("exp <= 1").Text()} {
		got := stranger.fixed("GET", "/o/"+AddressOf(data).String(), "Authorization: "+field)
		t.Check(got == first, "another scheme is answered with\n%s\nand none with\n%s", got, first)
	}
}

func capCounted(t *T) {
	node := t.spawnSecured()
	w := node.warrant()
	t.Control(func() { node.HTTPRoundTrip(); node.Hello().RoundTrip() })
	read := func() (auth, unauth, forbidden float64) {
		m := node.metrics()
		auth, ok := value(m, "auth_failures_total", `service="micronode"`)
		t.Check(ok, `/metrics has no auth_failures_total{service="micronode"}`)
		unauth, _ = value(m, "rejected_total", `reason="unauth"`)
		forbidden, _ = value(m, "rejected_total", `reason="forbidden"`)
		return auth, unauth, forbidden
	}
	ways := node.everyWay()
	d := getDeed(t.Absent())
	d2 := node.putDeed(10)
	for _, x := range []struct {
		what   string
		token  []byte
		d      deed
		reason spec.Reason
	}{
		{"no token", nil, d, spec.Unauth}, {"no token, a put", nil, d2, spec.Unauth}, {"an ended one", w.With("exp <= 1").Bytes(), d, spec.Unauth}, {"an unknown caveat", w.With("x").Bytes(), d, spec.Unauth},
		{"too long", make([]byte, 4000), d, spec.Unauth}, {"another operation", w.With("op in send").Bytes(), d, spec.Forbidden}, {"another path", w.With("path ^= /x").Bytes(), d2, spec.Forbidden},
		{"no token, a passport", nil, node.verifyDeed(), spec.Unauth}, {"no token, the audit log", nil, auditDeed(), spec.Unauth}, {"a good one", w.Bytes(), d, spec.None},
	} {
		for _, way := range ways {
			if !way.has(x.d) {
				continue
			}
			auth, unauth, forbidden := read()
			got := way.try(x.token, x.d)
			t.Check(got == x.reason, "%s over %s: %s, want %s", x.what, way.name, named(got), named(x.reason))
			auth2, unauth2, forbidden2 := read()
			one := func(r spec.Reason) float64 {
				if x.reason == r {
					return 1
				}
				return 0
			}
			t.Check(auth2-auth == one(spec.Unauth)+one(spec.Forbidden), "%s over %s: auth_failures_total goes from %v to %v", x.what, way.name, auth, auth2)
			t.Check(unauth2-unauth == one(spec.Unauth), "%s over %s: unauth goes from %v to %v", x.what, way.name, unauth, unauth2)
			t.Check(forbidden2-forbidden == one(spec.Forbidden), "%s over %s: forbidden goes from %v to %v", x.what, way.name, forbidden, forbidden2)
		}
	}
}

func capNoEffect(t *T) {
	data := t.Bytes(60)
	t.Control(func() {
		t.Upload(data)
		t.Serves(data)
	})
	w := t.warrant()
	id, _ := w.CapID()
	for _, p := range []*Peer{t.With(nil), t.With(w.With("exp <= 1").Bytes()), t.With(w.With("op in send").Bytes())} {
		want := []spec.Reason{spec.Unauth, spec.Forbidden}
		p.Refuses(p.Do(Request{Method: "DELETE", Path: Object(AddressOf(data))}), want...)
		c := p.Hello()
		c.Refused(c.Ask(del(AddressOf(data))), want...)
		more := t.Bytes(60)
		p.Owe(AddressOf(more))
		p.Refuses(p.Do(Request{Method: "POST", Path: "/put", Body: more}), want...)
		p.Refuses(p.Do(Request{Method: "PUT", Path: Object(AddressOf(more)), Body: more}), want...)
		// Everything of a put in one write: the node can not have waited with its refusal.
		corr := c.fresh()
		c.Send(append(append([]refwire.Frame{startFrame(corr, 0, refwire.EncodeRequest(put(60)))}, Chunks(corr, more, 60, false)...), endFrame(corr))...)
		c.Refused(corr, want...)
		t.Misses(AddressOf(more))
		p.Refuses(p.passport(spec.OpRevoke, fmt.Sprintf(`"id":"%x"`, id)), want...)
		p.Refuses(p.passport(spec.OpIssue, `"role":"admin"`), want...)
		c.Close()
	}
	t.Pause(spec.RevocationTime)
	t.Serves(data)
	t.Hello().Holds(data)
}

func capAnySurface(t *T) {
	w := t.warrant()
	ways := t.everyWay()
	t.Control(func() { t.HTTPRoundTrip(); t.Hello().RoundTrip() })
	data := t.Bytes(40)
	t.Upload(data)
	reader := w.With("op in get,has", "path ^= "+Object(AddressOf(data)))
	for round := range 2 { // whatever was used elsewhere before
		t.judge(ways, fmt.Sprintf("round %d", round), reader.Bytes(), getDeed(AddressOf(data)), spec.None)
		t.judge(ways, fmt.Sprintf("round %d", round), reader.Bytes(), getDeed(t.Absent()), spec.Forbidden)
		t.judge(ways, fmt.Sprintf("round %d", round), reader.Bytes(), t.putDeed(10), spec.Forbidden)
		t.judge(ways, fmt.Sprintf("round %d", round), reader.With("nbf >= "+inUnix(time.Hour)).Bytes(), getDeed(AddressOf(data)), spec.Unauth)
	}
	// The frame is the token's only vehicle there: one on an earlier stream of the connection does not count.
	c := t.Hello()
	c.Holds(data)
	f := askFrame(c.fresh(), get(AddressOf(data)))
	f.Cap = []byte{}
	c.Send(f)
	c.Refused(f.Corr, spec.Unauth)
	// Nor does one on an earlier request of a connection.
	raw := t.Raw()
	raw.Head("GET", Object(AddressOf(data)))
	t.Want(raw.Response("GET"), http.StatusOK)
	raw.cap = nil
	raw.Head("GET", Object(AddressOf(data)))
	t.Refuses(raw.Response("GET"), spec.Unauth)
}

// keyOf is the key id of w in text.
func keyOf(w refcap.Token) string {
	key, _ := w.KeyID()
	return hex.EncodeToString(key[:])
}
