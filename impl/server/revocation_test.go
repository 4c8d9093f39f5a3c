package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// large is more than the sockets between the two ends of a connection take.
const large = 32 << 20

// inTime is the law's second with what a busy test machine adds.
const inTime = spec.RevocationTime + 500*time.Millisecond

// ender ends the capability of something that is open, and says when it is over at the latest.
type ender struct {
	name  string
	token func(t *testing.T, n *Node) capability.Token
	end   func(t *testing.T, n *Node, tok capability.Token) time.Time
}

// enders are the ways in which a capability ends: by its id, by its key, and by itself (CAP-REV-001, CAP-REV-003, CAP-REV-006).
var enders = []ender{
	{"revoked", func(t *testing.T, n *Node) capability.Token { return mint(t, n, 0, nil) },
		func(t *testing.T, n *Node, tok capability.Token) time.Time {
			t.Helper()
			resp, body := placeOf(n).ask(t, "http", "POST", "/v1/passport/revoke", n.Bootstrap().Reveal(), fmt.Appendf(nil, `{"id":"%s"}`, tok.ID()))
			if resp.StatusCode != 200 {
				t.Fatalf("revoke: %d %s", resp.StatusCode, body)
			}
			return time.Now().Add(inTime)
		}},
	{"key revoked", func(t *testing.T, n *Node) capability.Token {
		if _, err := n.authority.Rotate(n.clock(time.Now())); err != nil { // so that it is not that of the bootstrap token
			t.Fatal(err)
		}
		return mint(t, n, 0, nil)
	}, func(t *testing.T, n *Node, tok capability.Token) time.Time {
		t.Helper()
		resp, body := placeOf(n).ask(t, "http", "POST", "/v1/passport/revoke", n.Bootstrap().Reveal(), fmt.Appendf(nil, `{"key_id":"%s"}`, tok.Key()))
		if resp.StatusCode != 200 {
			t.Fatalf("revoke: %d %s", resp.StatusCode, body)
		}
		return time.Now().Add(inTime)
	}},
	{"expired", func(t *testing.T, n *Node) capability.Token { return mint(t, n, 2*time.Second, nil) },
		func(t *testing.T, n *Node, tok capability.Token) time.Time {
			t.Helper()
			for _, c := range tok.Caveats() {
				if text, ok := strings.CutPrefix(c, "exp <= "); ok {
					sec, err := strconv.ParseInt(text, 10, 64)
					if err != nil {
						t.Fatal(err)
					}
					return time.Unix(sec+1, 0).Add(inTime) // good through the whole second that it names
				}
			}
			t.Fatal("no exp")
			return time.Time{}
		}},
}

// cutUpload requires that a slow upload gets its 401, as the last thing on its connection.
func cutUpload(t *testing.T, n *Node, door string, by ender) {
	tok := by.token(t, n)
	c := placeOf(n).dial(t, door)
	fmt.Fprintf(c, "%sten bytes..", head("POST", "/put", tok.Text(), "Content-Length", "1000"))
	leases(t, n, 1)
	before := figuresOf(n)
	end := by.end(t, n, tok)
	c.SetReadDeadline(end)
	r := bufio.NewReader(c)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatalf("the upload goes on: %v", err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	wantProblem(t, resp, body, spec.Unauth)
	if !resp.Close {
		t.Error("the connection is not announced to close")
	}
	c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := r.ReadByte(); err != io.EOF {
		t.Errorf("after the answer: %v, want the end", err)
	}
	leases(t, n, 0)
	if now := figuresOf(n); now.auth != before.auth+1 || now.rejected[spec.Unauth] != before.rejected[spec.Unauth]+1 {
		t.Errorf("counted as %v denials and %v rejections", now.auth-before.auth, now.rejected[spec.Unauth]-before.rejected[spec.Unauth])
	}
	if n.store.Stats().Objects != 0 {
		t.Error("something was stored")
	}
}

// cutDownload requires that a download whose client is slow ends early.
func cutDownload(t *testing.T, n *Node, door string, by ender) {
	b := randomBytes(large)
	obj := plant(t, n, b)
	tok := by.token(t, n)
	c := placeOf(n).dial(t, door)
	fmt.Fprint(c, head("GET", "/o/"+obj.String(), tok.Text()))
	leases(t, n, 1)
	before := figuresOf(n)
	end := by.end(t, n, tok)
	within(t, time.Until(end), "the end of the download", func() bool {
		return n.authority.Status().Leases == 0 && n.gate.Status().Inflight == 0 && figuresOf(n).auth == before.auth+1
	})
	if now := figuresOf(n); now.rejected[spec.Unauth] != before.rejected[spec.Unauth]+1 || now.rejected[spec.Timeout] != before.rejected[spec.Timeout] {
		t.Errorf("rejected: %v", now.rejected)
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if got, err := io.Copy(io.Discard, c); got >= large {
		t.Errorf("the client got %d bytes, %v", got, err)
	}
}

// cutExport is the same for an export of the audit log, whose client has stopped reading.
func cutExport(t *testing.T, n *Node, door string, by ender) {
	for range 60_000 {
		n.denied(&denied{reason: spec.Unauth, via: &via{}}) // more text than sockets take
	}
	tok := by.token(t, n)
	c := placeOf(n).dial(t, door)
	fmt.Fprint(c, head("GET", "/admin/audit/export", tok.Text()))
	leases(t, n, 1)
	before := figuresOf(n)
	end := by.end(t, n, tok)
	within(t, time.Until(end), "the end of the export", func() bool {
		return n.authority.Status().Leases == 0 && n.gate.Status().Inflight == 0 && figuresOf(n).auth == before.auth+1
	})
}

// cutStreams requires that a put and a get end with an ERROR, and that a stream beside them under another capability goes
// on to its end.
func cutStreams(t *testing.T, n *Node, door string, by ender) {
	b := randomBytes(40 * spec.MaxChunk)
	obj := plant(t, n, b)
	tok := by.token(t, n)
	o := placeOf(n).peer(t, door, binaryToken(n))
	mine := randomBytes(10)
	o.start(1, 0, `{"op":"put","total_len":10}`)
	o.startAs(wire.Header{Corr: 2}, tok.Binary(), `{"op":"put","total_len":10}`)
	o.write(dataFrame(2, 0, 10, mine[:5]))
	o.startAs(wire.Header{Corr: 3, Flags: spec.FlagEnd | spec.FlagAckReq}, tok.Binary(), fmt.Sprintf(`{"op":"get","obj":"%s"}`, obj))
	for range spec.Window { // and then it waits for an ACK
		if f := o.recv(); f.Corr != 3 || f.Code != spec.CodeData {
			t.Fatalf("code %d on %d: %s", f.Code, f.Corr, f.Payload)
		}
	}
	leases(t, n, 3)
	before := figuresOf(n)
	end := by.end(t, n, tok)
	within(t, time.Until(end), "the end of both streams", func() bool { return n.authority.Status().Leases == 1 && n.gate.Status().Inflight == 1 })
	cut := map[uint64]bool{}
	for range 2 {
		f := o.recv()
		var e wire.Error
		if wire.ParseError(f.Payload, &e) != spec.None || e.Reason != spec.Unauth || f.Code != spec.Unauth.Code() {
			t.Fatalf("code %d on %d: %s", f.Code, f.Corr, f.Payload)
		}
		cut[f.Corr] = true
	}
	if !cut[2] || !cut[3] {
		t.Errorf("ended %v", cut)
	}
	if now := figuresOf(n); now.auth != before.auth+2 || now.rejected[spec.Unauth] != before.rejected[spec.Unauth]+2 {
		t.Errorf("counted as %v denials and %v rejections", now.auth-before.auth, now.rejected[spec.Unauth]-before.rejected[spec.Unauth])
	}
	leases(t, n, 1)
	o.write(dataFrame(1, 0, 10, mine))
	o.write(endFrame(1))
	if f := o.recv(); f.Corr != 1 || f.Code != spec.CodeOK {
		t.Errorf("the stream of another capability: code %d on %d: %s", f.Code, f.Corr, f.Payload)
	}
	o.startAs(wire.Header{Corr: 4, Flags: spec.FlagEnd}, tok.Binary(), fmt.Sprintf(`{"op":"has","obj":"%s"}`, obj))
	o.wantError(4, spec.Unauth) // CAP-REV-002
	leases(t, n, 0)
}

// cutStalled is a get without credit whose client has stopped reading.
func cutStalled(t *testing.T, n *Node, door string, by ender) {
	obj := plant(t, n, randomBytes(large))
	tok := by.token(t, n)
	o := placeOf(n).peer(t, door, tok.Binary())
	o.start(1, spec.FlagEnd, fmt.Sprintf(`{"op":"get","obj":"%s"}`, obj))
	leases(t, n, 1)
	end := by.end(t, n, tok)
	within(t, time.Until(end), "the end of the stream", func() bool {
		return n.authority.Status().Leases == 0 && n.gate.Status().Inflight == 0
	})
	got := 0
	for {
		f := o.recv()
		if f.Code == spec.CodeData {
			got += len(f.Payload)
			continue
		}
		if f.Code != spec.Unauth.Code() || got >= large {
			t.Errorf("%d bytes, then code %d: %s", got, f.Code, f.Payload)
		}
		return
	}
}

// CAP-REV-001, CAP-REV-002, CAP-REV-003, CAP-REV-006: whatever is open under a capability ends within a second of its end, on every
// surface, whatever the client does meanwhile; and what is open under another one does not.
func TestEndedCapabilityEndsWhatIsOpen(t *testing.T) {
	t.Parallel()
	for _, by := range enders {
		for name, check := range map[string]func(*testing.T, *Node, string, ender){
			"upload": cutUpload, "download": cutDownload, "export": cutExport, "streams": cutStreams, "stalled": cutStalled,
		} {
			doors := oapDoors
			if name == "upload" || name == "download" || name == "export" {
				doors = httpDoors
			}
			if by.name == "expired" && name != "upload" && name != "streams" {
				doors = doors[1:2] // each takes seconds, and what differs from a revocation is who tells the stream
			}
			for _, door := range doors {
				t.Run(strings.Join([]string{by.name, name, door}, " "), func(t *testing.T) {
					if by.name == "expired" {
						t.Parallel() // they wait most of the time
					}
					check(t, startEverywhere(t, func(c *Config) { c.AuditRecords = 1 << 16 }), door, by)
				})
			}
		}
	}
}

// A revocation that comes in under the capability that it ends is answered like any other, on the connection that it
// came on; and so is one of the own key.
func TestSelfRevocation(t *testing.T) {
	n := startEverywhere(t, nil)
	p := placeOf(n)
	for _, door := range httpDoors {
		for range 50 {
			tok := mint(t, n, 0, nil)
			before := figuresOf(n)
			resp, body := p.ask(t, door, "POST", "/v1/passport/revoke", tok.Text(), fmt.Appendf(nil, `{"id":"%s"}`, tok.ID()))
			if resp.StatusCode != 200 || string(body) != `{"revoked":true}` {
				t.Fatalf("%d %s", resp.StatusCode, body)
			}
			if now := figuresOf(n); now.auth != before.auth {
				t.Fatal("counted as a denial")
			}
			resp, body = p.ask(t, door, "POST", "/v1/passport/verify", tok.Text(), []byte(`{}`))
			wantProblem(t, resp, body, spec.Unauth)
		}
	}
	for _, door := range oapDoors {
		o := p.peer(t, door, binaryToken(n))
		o.start(1, 0, `{"op":"put","total_len":1}`) // stays open meanwhile
		for corr := uint64(2); corr < 100; corr += 2 {
			tok := mint(t, n, 0, nil)
			if f := o.passport(corr, tok.Binary(), fmt.Sprintf(`{"request":"revoke","id":"%s"}`, tok.ID())); f.Code != spec.CodeOK || f.Corr != corr {
				t.Fatalf("%s: code %d on %d: %s", door, f.Code, f.Corr, f.Payload)
			}
			o.startAs(wire.Header{Corr: corr + 1, Flags: spec.FlagEnd}, tok.Binary(), `{"op":"has","obj":"`+address(nil).String()+`"}`)
			o.wantError(corr+1, spec.Unauth)
		}
		// All at once: the revoker revokes itself, and everything else on its connection.
		tok := mint(t, n, 0, nil)
		for corr := uint64(100); corr < 110; corr++ {
			o.startAs(wire.Header{Corr: corr}, tok.Binary(), `{"op":"put","total_len":1}`)
		}
		o.startAs(wire.Header{Corr: 110, Flags: spec.FlagEnd, Proto: spec.ProtoPassport}, tok.Binary(), fmt.Sprintf(`{"request":"revoke","id":"%s"}`, tok.ID()))
		codes := map[uint64]spec.Code{}
		for range 11 {
			f := o.recv()
			codes[f.Corr] = f.Code
		}
		for corr := uint64(100); corr < 110; corr++ {
			if codes[corr] != spec.Unauth.Code() {
				t.Errorf("%s: code %d on %d", door, codes[corr], corr)
			}
		}
		if codes[110] != spec.CodeOK {
			t.Errorf("%s: the revocation got %d", door, codes[110])
		}
		leases(t, n, 1)
		o.write(dataFrame(1, 0, 1, []byte("x")))
		o.write(endFrame(1))
		o.c.Close()
		leases(t, n, 0)
	}
	tok := mint(t, n, 0, nil)
	resp, body := p.ask(t, "https", "POST", "/v1/passport/revoke", tok.Text(), fmt.Appendf(nil, `{"key_id":"%s"}`, tok.Key()))
	if resp.StatusCode != 200 {
		t.Errorf("own key: %d %s", resp.StatusCode, body)
	}
	resp, body = p.ask(t, "http", "GET", aPath(object), p.Token, nil)
	wantProblem(t, resp, body, spec.Unauth) // it was under that key as well
}

// A revocation that is late, because the request under the capability was over already, does not hit the next request on
// its connection, which has another one.
func TestRevocationMissesTheNextRequest(t *testing.T) {
	n := start(t, nil)
	p := placeOf(n)
	obj := plant(t, n, randomBytes(large))
	tok := mint(t, n, 0, nil)
	c := p.dial(t, "http")
	fmt.Fprint(c, head("GET", "/o/"+obj.String(), tok.Text()))
	leases(t, n, 1)
	ended, err := n.authority.RevokeCapability(n.clock(time.Now()), tok.ID())
	if err != nil || len(ended) != 1 {
		t.Fatalf("%d leases, %v", len(ended), err)
	}
	r := bufio.NewReader(c) // the request ends by itself before anybody was told
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := io.Copy(io.Discard, resp.Body); got != large || err != nil {
		t.Fatalf("%d bytes, %v", got, err)
	}
	fmt.Fprint(c, head("POST", "/put", p.Token, "Content-Length", "4"))
	leases(t, n, 1)
	n.endLeases(ended)
	n.ending.Wait()
	fmt.Fprint(c, "next")
	if resp, err = http.ReadResponse(r, nil); err != nil || resp.StatusCode != 201 {
		t.Errorf("the next request: %v %v", resp, err)
	}
}

// Every admission gives its lease back, however the request ends.
func TestLeasesComeBack(t *testing.T) {
	n := startEverywhere(t, nil)
	p := placeOf(n)
	b := randomBytes(3 << 20)
	obj, endless := plant(t, n, b).String(), plant(t, n, randomBytes(large)).String()
	for _, door := range httpDoors {
		for _, c := range []struct{ method, path, body string }{
			{"GET", "/o/" + obj, ""}, {"HEAD", "/o/" + obj, ""}, {"GET", aPath(object), ""}, {"DELETE", aPath(object), ""},
			{"PUT", "/o/" + obj, "other"}, {"POST", "/put", "x"}, {"GET", "/admin/audit/export", ""}, {"HEAD", "/admin/audit/export", ""},
			{"GET", "/admin/audit/inclusion/9/1", ""}, {"POST", "/v1/passport/issue", "{}"}, {"POST", "/v1/passport/issue", `{"role":"reader"}`},
			{"POST", "/v1/passport/revoke", `{"key_id":"0000000000000000"}`},
		} {
			p.ask(t, door, c.method, c.path, p.Token, []byte(c.body))
		}
		for _, sent := range []string{
			head("POST", "/put", p.Token, "Content-Length", "1000") + "some",
			head("POST", "/v1/passport/issue", p.Token, "Content-Length", "1000") + "{",
			head("GET", "/o/"+endless, p.Token),
		} {
			c := p.dial(t, door)
			io.WriteString(c, sent)
			leases(t, n, 1)
			c.Close()
			leases(t, n, 0)
		}
	}
	for _, door := range oapDoors {
		o := p.peer(t, door, binaryToken(n))
		o.putObject(1, b)
		o.start(2, spec.FlagEnd, `{"op":"get","obj":"`+obj+`"}`)
		o.getObject(2)
		o.start(3, spec.FlagEnd, `{"op":"get","obj":"`+address(nil).String()+`"}`)
		o.wantError(3, spec.NotFound)
		o.start(4, 0, `{"op":"put","total_len":9}`)
		o.send(wire.Header{Flags: spec.FlagReq | spec.FlagEnd, Code: spec.CodeCancel, Proto: spec.ProtoObjects, Corr: 4}, "")
		o.start(5, 0, `{"op":"put","total_len":9}`)
		o.write(endFrame(5))
		o.wantError(5, spec.Truncated)
		o.start(6, 0, `{"op":"put","total_len":1}`)
		o.write(dataFrame(6, 1, 1, []byte("x")))
		o.wantError(6, spec.BadOffset)
		leases(t, n, 0)
		o.start(7, 0, `{"op":"put","total_len":9}`)
		o.start(8, spec.FlagEnd, `{"op":"get","obj":"`+endless+`"}`)
		leases(t, n, 2)
		o.c.Close()
		leases(t, n, 0)
	}
	// A fault of the node.
	hc, client := pipeConn(n)
	defer client.Close()
	defer hc.Close()
	rec := httptest.NewRecorder()
	req := httptest.NewRequest("POST", "/put", faultyBody{})
	req.Header.Set("Authorization", "Macaroon "+p.Token)
	(&httpSurface{n}).ServeHTTP(rec, req.WithContext(newHTTPServer(n).ConnContext(req.Context(), hc)))
	wantProblem(t, rec.Result(), rec.Body.Bytes(), spec.Internal)
	leases(t, n, 0)

	// What a drain cuts.
	o := p.peer(t, "oap_tls", binaryToken(n))
	o.start(1, 0, `{"op":"put","total_len":9}`)
	c := p.dial(t, "https")
	io.WriteString(c, head("POST", "/put", p.Token, "Content-Length", "9"))
	leases(t, n, 2)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Shutdown(ctx) }()
	if f := o.recv(); f.Code != spec.CodeGoingAway {
		t.Errorf("code %d: %s", f.Code, f.Payload)
	}
	cancel()
	o.wantError(1, spec.Draining)
	leases(t, n, 0)
	<-done
}

// pipeConn is a connection for handlers that are called directly.
func pipeConn(n *Node) (hc *httpConn, client net.Conn) {
	client, server := net.Pipe()
	n.gate.Connect()
	return &httpConn{Conn: server, n: n, d: &door{}}, client
}

// Rotations do not leak slots of the vault: keys that nothing needs are dropped at once, and those that are needed are
// bounded (CAP-KEY-002, CAP-REV-005).
func TestRotationsGiveSlotsBack(t *testing.T) {
	n := start(t, nil)
	p := placeOf(n)
	before := n.vault.Stats().InUse
	for range 200 {
		if resp, body := p.ask(t, "http", "POST", "/v1/passport/rotate", p.Token, []byte("{}")); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	if got := n.vault.Stats().InUse; got != before+1 { // the key of the bootstrap token, and the current one
		t.Errorf("%d slots are in use, %d were before", got, before)
	}
	made := 0
	for ; made < 200; made++ {
		mint(t, n, 0, nil)
		resp, body := p.ask(t, "http", "POST", "/v1/passport/rotate", p.Token, []byte("{}"))
		if resp.StatusCode != 200 {
			wantProblem(t, resp, body, spec.Quota)
			break
		}
	}
	if st := n.authority.Status(); made != spec.MaxRootKeys-2 || len(st.Replaced)+1 != spec.MaxRootKeys {
		t.Errorf("%d rotations, %d keys", made, len(st.Replaced)+1)
	}
	own, err := capability.ParseText(p.Token)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range n.authority.Status().Replaced {
		if key == own.Key() {
			continue
		}
		if resp, body := p.ask(t, "http", "POST", "/v1/passport/revoke", p.Token, fmt.Appendf(nil, `{"key_id":"%s"}`, key)); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
	}
	if got := n.vault.Stats().InUse; got != before+1 {
		t.Errorf("%d slots are in use at the end, %d were before", got, before)
	}
}

// told counts how often it was told that its lease had ended.
type told struct{ times atomic.Int32 }

func (o *told) revoked() { o.times.Add(1) }

// Whoever revokes what it revokes with is not interrupted, for that would lose the answer; everybody else is, once
// (CAP-REV-003).
func TestRevocationSparesItsOwnAnswer(t *testing.T) {
	n := start(t, nil)
	for _, byKey := range []bool{false, true} {
		tok := mint(t, n, 0, nil)
		id, key := tok.ID(), tok.Key()
		r := &revocation{id: &id}
		if byKey {
			r = &revocation{key: &key}
		}
		var own, other told
		var held [2]*capability.Lease
		for i, o := range []*told{&own, &other} {
			lease, err := n.authority.Admit(n.clock(time.Now()), tok, capability.Request{Op: spec.OpRevoke, Path: "/v1/passport/revoke"}, o)
			if err != nil {
				t.Fatal(err)
			}
			defer lease.Release()
			held[i] = lease
		}
		if _, err := n.revoke(n.clock(time.Now()), r, held[0], audit.Record{}); err != nil {
			t.Fatal(err)
		}
		n.ending.Wait()
		if own.times.Load() != 0 || other.times.Load() != 1 || !held[0].Ended() {
			t.Errorf("by key %v: the revoker was told %d times, the other %d times", byKey, own.times.Load(), other.times.Load())
		}
	}
}
