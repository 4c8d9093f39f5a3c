package server

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// CAP-AUD-001, CAP-AUD-013: each event that can happen appends exactly one record, which says what it has to say, and the log verifies
// as an auditor does it (CAP-AUD-005, CAP-AUD-007). There is no configuration to change yet.
func TestEventsAreRecorded(t *testing.T) {
	n := startEverywhere(t, nil)
	p := placeOf(n)
	own, err := capability.ParseText(p.Token)
	if err != nil {
		t.Fatal(err)
	}
	_, list := records(t, n)
	at := 0
	expect := func(want ...audit.Record) {
		t.Helper()
		within(t, 5*time.Second, fmt.Sprintf("%d more records", len(want)), func() bool { return n.audit.Stats().Size >= uint64(at+len(want)) })
		_, list = records(t, n)
		if len(list) != at+len(want) {
			t.Fatalf("%d records were appended, want %d: %+v", len(list)-at, len(want), list[at:])
		}
		for i, w := range want {
			got := list[at+i]
			if got.Time.IsZero() || time.Since(got.Time) > time.Minute {
				t.Errorf("record %d has the time %v", at+i, got.Time)
			}
			got.Time = time.Time{}
			if got != w {
				t.Errorf("record %d is\n%+v, want\n%+v", at+i, got, w)
			}
		}
		at = len(list)
	}
	expect(
		audit.Record{Event: audit.Started},
		audit.Record{Event: audit.Issued, KeyID: own.Key(), HasKey: true, CapID: own.ID(), HasCap: true, Granted: audit.OpsOf(spec.Ops()), Expires: own.Expires().Unix()},
		audit.Record{Event: audit.Readiness, From: audit.StateStarting, To: audit.StateReady},
	)
	corr := func(text string) audit.CorrID {
		c, err := audit.CorrText(text)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	loopback := audit.PeerAddr(netip.MustParseAddr("127.0.0.1"))
	ask := func(path, token, body, id string) map[string]any {
		t.Helper()
		_, b := p.ask(t, "https", "POST", path, token, []byte(body), "X-Corr-ID", id)
		return parse(t, b)
	}
	by := audit.Record{Surface: audit.SurfaceHTTPS, Peer: loopback}
	event := func(e audit.Event, op spec.Op, id string) audit.Record {
		r := by
		r.Event, r.Op, r.CorrID = e, op, corr(id)
		if e != audit.Denied { // CAP-AUD-013
			r.By, r.HasBy = own.ID(), true
		}
		return r
	}

	ask("/put", "nonsense", "", "deny-1")
	r := event(audit.Denied, spec.OpPut, "deny-1")
	r.Reason = spec.Unauth
	expect(r)
	reader := mint(t, n, 0, spec.Reader.Ops())
	ask("/put", reader.Text(), "", "deny-2")
	r = event(audit.Denied, spec.OpPut, "deny-2")
	r.Reason = spec.Forbidden
	expect(r)

	issued := ask("/v1/passport/issue", p.Token, `{"role":"writer"}`, "issue-1")
	tok, err := capability.ParseText(issued["token"].(string))
	if err != nil {
		t.Fatal(err)
	}
	r = event(audit.Issued, spec.OpIssue, "issue-1")
	r.KeyID, r.HasKey, r.CapID, r.HasCap = tok.Key(), true, tok.ID(), true
	r.Granted, r.Expires = audit.OpsOf(spec.Writer.Ops()), int64(issued["expires"].(float64))
	expect(r)

	ask("/v1/passport/revoke", p.Token, fmt.Sprintf(`{"id":"%s"}`, tok.ID()), "revoke-1")
	r = event(audit.Revoked, spec.OpRevoke, "revoke-1")
	r.CapID, r.HasCap = tok.ID(), true
	expect(r)

	ask("/v1/passport/rotate", p.Token, `{}`, "rotate-1")
	r = event(audit.Rotated, spec.OpRotate, "rotate-1")
	r.KeyID, r.HasKey = n.authority.Status().Current, true
	expect(r)

	doomed := n.authority.Status().Current
	ask("/v1/passport/revoke", p.Token, fmt.Sprintf(`{"key_id":"%s"}`, doomed), "revoke-2")
	r = event(audit.KeyRevoked, spec.OpRevoke, "revoke-2")
	r.KeyID, r.HasKey = doomed, true
	next := event(audit.Rotated, spec.OpRevoke, "revoke-2")
	next.KeyID, next.HasKey = n.authority.Status().Current, true
	expect(r, next)
	if _, err := n.authority.Rotate(n.clock(time.Now())); err != nil { // as time does: nobody asked
		t.Fatal(err)
	}
	n.keyMu.Lock()
	n.noteNewKey(audit.Record{})
	n.keyMu.Unlock()
	expect(audit.Record{Event: audit.Rotated, KeyID: n.authority.Status().Current, HasKey: true})

	o := p.peer(t, "oap", binaryToken(n))
	f := o.passport(77, o.cap, `{"request":"issue","ops":["get"]}`)
	if tok, err = capability.ParseText(parse(t, f.Payload)["token"].(string)); err != nil {
		t.Fatal(err)
	}
	expect(audit.Record{Event: audit.Issued, Surface: audit.SurfaceOAP, Op: spec.OpIssue, Peer: loopback, CorrID: audit.CorrUint(77),
		KeyID: tok.Key(), HasKey: true, CapID: tok.ID(), HasCap: true, By: own.ID(), HasBy: true,
		Granted: audit.OpsOf([]spec.Op{spec.OpGet}), Expires: tok.Expires().Unix()})

	bad := plant(t, n, randomBytes(1000))
	h, err := n.store.Get(bad)
	if err != nil {
		t.Fatal(err)
	}
	view, err := h.Chunk(0, 1)
	if err != nil {
		t.Fatal(err)
	}
	view[0] ^= 1
	h.Release()
	resp, _ := p.ask(t, "http", "GET", "/o/"+bad.String(), p.Token, nil)
	if resp.StatusCode != spec.Integrity.Facts().Status {
		t.Errorf("damaged object: %d", resp.StatusCode)
	}
	p.ask(t, "http", "GET", "/o/"+bad.String(), p.Token, nil) // known by now
	expect(audit.Record{Event: audit.IntegrityFailed, N: 1})

	// What is no event leaves no record.
	for _, path := range []string{"/healthz", "/metrics", "/version", "/o/" + bad.String(), "/nowhere", "/admin/audit/checkpoint"} {
		p.ask(t, "http", "GET", path, p.Token, nil)
	}
	ask("/v1/passport/verify", p.Token, fmt.Sprintf(`{"token":"%s","op":"put","path":"/put"}`, p.Token), "verify-1")
	ask("/v1/passport/issue", p.Token, `{"role":"nobody"}`, "issue-2")
	o.start(78, spec.FlagEnd, `{"op":"get","obj":"`+address(nil).String()+`"}`)
	o.wantError(78, spec.NotFound)
	expect()

	o.c.Close()
	done := make(chan error, 1)
	go func() { done <- n.Shutdown(context.Background()) }()
	expect(audit.Record{Event: audit.Readiness, From: audit.StateReady, To: audit.StateDraining})
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := n.audit.Stats().Size; got != uint64(at)+1 {
		t.Errorf("%d records at the end, want one more: draining to stopped", got)
	}
}

// CAP-AUD-009, CAP-AUD-010, HTTP-ADM-004: a node that has to keep its records and has no room for one refuses what it
// may refuse, on every surface, and nothing else; what happened meanwhile shows as a number; and an export that a client
// acknowledges frees the room.
func TestAuditHold(t *testing.T) {
	n := startEverywhere(t, func(c *Config) { c.AuditRecords, c.AuditHold = 8, true })
	p := placeOf(n)
	stored := plant(t, n, []byte("stored")).String()
	o := p.peer(t, "oap_tls", binaryToken(n))
	acknowledge := func(size uint64) (*http.Response, []byte) {
		return p.ask(t, "https", "POST", fmt.Sprintf("/admin/audit/acknowledge/%d", size), p.Token, nil)
	}
	if resp, body := p.ask(t, "http", "POST", "/put", p.Token, []byte("while there is room")); resp.StatusCode != 201 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	for range 5 + 7 { // three are there from the start: 5 fill it, 7 are counted
		resp, body := p.ask(t, "http", "GET", "/o/"+stored, "nonsense", nil)
		wantProblem(t, resp, body, spec.Unauth)
	}
	if s := n.audit.Stats(); !s.Full || s.Held != 8 || s.Pending != 7 {
		t.Fatalf("%+v", s)
	}
	full := func(want bool) {
		t.Helper()
		for _, door := range httpDoors {
			for _, c := range []struct{ method, path, body string }{
				{"POST", "/put", "x"}, {"PUT", "/o/" + stored, "stored"}, {"DELETE", "/o/" + address(nil).String(), ""},
				{"POST", "/v1/passport/issue", `{"role":"reader"}`},
			} {
				if !want && strings.HasPrefix(c.path, "/v1") {
					continue // they would fill it again
				}
				before := n.audit.Stats()
				resp, body := p.ask(t, door, c.method, c.path, p.Token, []byte(c.body))
				if want {
					wantProblem(t, resp, body, spec.NotReady)
					if now := n.audit.Stats(); now != before {
						t.Errorf("%s %s was refused and left %+v", c.method, c.path, now)
					}
				} else if resp.StatusCode == 503 {
					t.Errorf("%s %s: %s", c.method, c.path, body)
				}
			}
		}
	}
	full(true)
	for i, req := range []string{`{"op":"put","total_len":1}`, `{"op":"delete","obj":"` + stored + `"}`, `{"request":"issue","role":"reader"}`} {
		h := wire.Header{Flags: spec.FlagEnd, Corr: uint64(i + 1)}
		if strings.Contains(req, "request") {
			h.Proto = spec.ProtoPassport
		}
		o.startAs(h, o.cap, req)
		o.wantError(h.Corr, spec.NotReady)
	}
	// Whoever filled the log may not keep a stolen token alive by it.
	stolen, key := mint(t, n, 0, nil), n.authority.Status().Current
	if resp, body := p.ask(t, "http", "POST", "/v1/passport/revoke", p.Token, fmt.Appendf(nil, `{"id":"%s"}`, stolen.ID())); resp.StatusCode != 200 {
		t.Errorf("revoke: %d %s", resp.StatusCode, body)
	}
	if f := o.passport(5, o.cap, `{"request":"rotate"}`); f.Code != spec.CodeOK || n.authority.Status().Current == key {
		t.Errorf("rotate: %d %s", f.Code, f.Payload)
	}
	resp, body := p.ask(t, "http", "GET", "/o/"+stored, stolen.Text(), nil) // and this denial is counted as well
	wantProblem(t, resp, body, spec.Unauth)
	if got := n.audit.Stats().Pending; got != 7+3 {
		t.Errorf("%d events are counted", got)
	}
	o.start(10, spec.FlagEnd, `{"op":"get","obj":"`+stored+`"}`) // reads go on
	o.getObject(10)
	for _, path := range []string{"/o/" + stored, "/admin/audit/checkpoint", "/readyz"} {
		if resp, body := p.ask(t, "http", "GET", path, p.Token, nil); resp.StatusCode != 200 {
			t.Errorf("GET %s: %d %s", path, resp.StatusCode, body)
		}
	}
	leases(t, n, 0)

	// HEAD reads nothing, so nothing was exported; and what was not exported can not be dropped.
	p.ask(t, "http", "HEAD", "/admin/audit/export", p.Token, nil)
	if resp, _ := acknowledge(8); resp.StatusCode == 200 {
		t.Error("records were dropped that nobody has")
	}
	resp, export := p.ask(t, "https", "GET", "/admin/audit/export", p.Token, nil)
	if list := verified(t, n, export); resp.StatusCode != 200 || len(list) != 8 {
		t.Fatalf("%d, %d records", resp.StatusCode, len(list))
	}
	if resp, _ := acknowledge(9); resp.StatusCode == 200 {
		t.Error("records were dropped that are not there yet")
	}
	if resp, body := acknowledge(8); resp.StatusCode != 200 || parse(t, body)["dropped"] != 8.0 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	full(false)
	_, list := records(t, n)
	if len(list) == 0 || list[0].Event != audit.Missed || list[0].N != 7+3 {
		t.Errorf("after the gap: %+v", list)
	}
	leases(t, n, 0)
}

// remoteConn is a connection whose peer has any address.
type remoteConn struct {
	net.Conn
	remote string
}

func (c remoteConn) RemoteAddr() net.Addr { return c }
func (c remoteConn) Network() string      { return "tcp" }
func (c remoteConn) String() string       { return c.remote }

// HTTP-ADM-001: the admin routes are for peers on loopback, whatever they hold; other routes are for all.
func TestAdminIsLoopbackOnly(t *testing.T) {
	for remote, want := range map[string]bool{
		"127.0.0.1:1": true, "127.9.9.9:1": true, "[::1]:1": true, "[::ffff:127.0.0.1]:1": true,
		"192.0.2.1:1": false, "[fd00::1]:1": false, "0.0.0.0:1": false, "[::ffff:10.0.0.1]:1": false, "": false, "@": false, "localhost:1": false,
	} {
		if got := (&door{}).via(remoteConn{remote: remote}).loopback; got != want {
			t.Errorf("%q is loopback: %v", remote, !want)
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		ip := a.(*net.IPNet).IP
		if ip.IsLoopback() || ip.To4() == nil {
			continue
		}
		n := startEverywhere(t, func(c *Config) { c.HTTPS = net.JoinHostPort(ip.String(), "0") })
		p := placeOf(n)
		for rt := healthz; rt < oapStream; rt++ {
			for method, op := range routes[rt].ops {
				before := figuresOf(n)
				resp, body := p.ask(t, "https", method, aPath(rt), p.Token, nil)
				if isAdmin(op) != (resp.StatusCode == http.StatusForbidden) {
					t.Errorf("%s %s from %s: %d %s", method, rt, ip, resp.StatusCode, body)
				}
				if isAdmin(op) {
					wantDenied(t, n, before, spec.Forbidden)
				}
			}
		}
		_, list := records(t, n)
		for _, r := range list {
			if r.Event == audit.Denied && (r.Peer == (audit.Peer{}) || strings.Contains(r.Peer.String(), ip.String()+"/")) && !strings.HasSuffix(ip.String(), ".0") {
				t.Errorf("the record says %s", r.Peer) // CAP-AUD-004: a network, not an address
			}
		}
		return
	}
	t.Log("this machine has loopback addresses only: no peer could come from elsewhere")
}

// CAP-AUD-006, HTTP-ADM-005 as the routes give them.
func TestAuditProofs(t *testing.T) {
	n := start(t, nil)
	p := placeOf(n)
	signed := func() []byte { return second(p.ask(t, "http", "GET", "/admin/audit/checkpoint", p.Token, nil)) }
	old := signed()
	p.ask(t, "http", "GET", aPath(object), "nonsense", nil)
	now := signed()
	verifiers := n.identity.Public().NoteVerifiers(n.origin())
	proof, err := n.audit.Consistency(3, 4)
	if err != nil {
		t.Fatal(err)
	}
	if err := audit.VerifyConsistency(old, now, proof.Proof, verifiers); err != nil {
		t.Error(err)
	}
	if err := audit.VerifyConsistency(now, old, proof.Proof, verifiers); !errors.Is(err, audit.ErrFork) && err == nil {
		t.Error("a proof holds the wrong way round")
	}
	if got := parse(t, second(p.ask(t, "http", "GET", "/admin/audit/consistency/3/4", p.Token, nil))); got["old"] != 3.0 || got["new"] != 4.0 || len(got["proof"].([]any)) != len(proof.Proof) {
		t.Errorf("%v, want %v", got, proof)
	}
	for path, want := range map[string]spec.Reason{
		"/admin/audit/inclusion/4/4":                        spec.NotFound,
		"/admin/audit/inclusion/0/99":                       spec.NotFound,
		"/admin/audit/consistency/4/3":                      spec.NotFound,
		"/admin/audit/inclusion/-1/4":                       spec.Malformed,
		"/admin/audit/inclusion/0x1/4":                      spec.Malformed,
		"/admin/audit/inclusion/1/4/":                       spec.NoRoute,
		"/admin/audit/inclusion/1":                          spec.NoRoute,
		"/admin/audit/inclusion//4":                         spec.Malformed,
		"/admin/audit/consistency/1/9999999999999999999999": spec.Malformed,
	} {
		resp, body := p.ask(t, "http", "GET", path, p.Token, nil)
		t.Log(path)
		wantProblem(t, resp, body, want)
	}
}
