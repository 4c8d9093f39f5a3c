package server

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// aPath is a path of the route that authentication is reached with: nothing is stored there.
func aPath(rt route) string {
	return strings.NewReplacer("{addr}", address([]byte("absent")).String(), "{index}", "0", "{size}", "1", "{old}", "0", "{new}", "1").
		Replace(rt.String())
}

// noGood are capabilities that are good for nothing here and now (CAP-DEN-001).
func noGood(t *testing.T, n *Node) map[string]capability.Token {
	t.Helper()
	revoked := mint(t, n, 0, nil)
	if _, err := n.authority.RevokeCapability(n.clock(time.Now()), revoked.ID()); err != nil {
		t.Fatal(err)
	}
	old := mint(t, n, 0, nil)
	other := start(t, nil)
	foreign, err := capability.ParseText(other.Bootstrap().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	forged := attenuated(t, n).Binary()
	forged[len(forged)-1] ^= 1
	bad, err := capability.ParseBinary(forged)
	if err != nil {
		t.Fatal(err)
	}
	third, err := old.AddThirdParty(make([]byte, 32), []byte("id"), "elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	return map[string]capability.Token{
		"expired":        attenuated(t, n, "exp <= 1000000000"),
		"not yet":        attenuated(t, n, "nbf >= 9999999999"),
		"misdirected":    attenuated(t, n, "aud = elsewhere"),
		"not amnesic":    attenuated(t, n, "amnesia = off"),
		"revoked":        revoked,
		"of another":     foreign,
		"forged":         bad,
		"not discharged": third,
	}
}

// CAP-DEN-001 to 005, CAP-ROL-003, CAP-TOK-003, CAP-TOK-009, ADM-CNT-001, CAP-AUD-001: on every method of every route that is not open
// each kind of bad capability gets one 401, each that does not cover the request one 403; nothing but ids and dates tells
// two of a kind apart; and each counts once and is written down once.
func TestHTTPDenials(t *testing.T) {
	n := startEverywhere(t, nil)
	p := placeOf(n)
	credentials := map[string][]string{
		"none":       {},
		"empty":      {"Authorization", ""},
		"no scheme":  {"Authorization", p.Token},
		"no token":   {"Authorization", "Macaroon"},
		"basic":      {"Authorization", "Basic " + p.Token},
		"two":        {"Authorization", "Macaroon " + p.Token, "Authorization", "Macaroon " + p.Token},
		"two in one": {"Authorization", "Macaroon " + p.Token + ", Macaroon " + p.Token},
		"two spaces": {"Authorization", "Macaroon  " + p.Token},
		"padded":     {"Authorization", "Macaroon " + p.Token + "="},
		"garbage":    {"Authorization", "Macaroon \xfe\xff"},
		"too long":   {"Authorization", "Macaroon " + strings.Repeat("A", spec.MaxCapabilityText+4)},
		"proxy":      {"Proxy-Authorization", "Macaroon " + p.Token},
	}
	for name, tok := range noGood(t, n) {
		credentials[name] = []string{"Authorization", "Macaroon " + tok.Text()}
	}
	uncovered := map[string][]string{
		"other operation": {"op in resolve"},
		"no operation":    {"op in get,put", "op in move"},
		"other path":      {"path ^= /elsewhere"},
		"tenant":          {"tenant = 000102030405060708090a0b0c0d0e0f"},
		"user":            {fmt.Sprintf("peer-uid = %d", os.Geteuid())},
	}
	for _, door := range httpDoors {
		for rt := healthz; rt < oapStream; rt++ {
			for method, op := range routes[rt].ops {
				if op == open {
					continue
				}
				t.Run(door+" "+method+" "+rt.String(), func(t *testing.T) {
					try := func(name string, want spec.Reason, header []string) string {
						before := figuresOf(n)
						resp, body := p.ask(t, door, method, aPath(rt), "", nil, header...)
						wantDenied(t, n, before, want)
						if method != "HEAD" {
							wantProblem(t, resp, body, want)
						}
						if t.Failed() {
							t.Fatalf("with %s", name)
						}
						if got := resp.Header.Get("WWW-Authenticate"); resp.StatusCode != want.Facts().Status || (got == "Macaroon") != (want == spec.Unauth) {
							t.Errorf("%s: %d, WWW-Authenticate %q", name, resp.StatusCode, got)
						}
						corr := resp.Header.Get("X-Corr-Id")
						resp.Header.Del("X-Corr-Id")
						resp.Header.Del("Date")
						return fmt.Sprint(resp.Header, string(bytes.ReplaceAll(body, []byte(corr), nil)))
					}
					for want, cases := range map[spec.Reason]map[string][]string{spec.Unauth: credentials, spec.Forbidden: uncovered} {
						first := ""
						for name, header := range cases {
							if want == spec.Forbidden {
								header = []string{"Authorization", "Macaroon " + attenuated(t, n, header...).Text()}
							}
							got := try(name, want, header)
							if first == "" {
								first = got
							}
							if got != first {
								t.Errorf("%s is told apart:\n%s\n%s", name, got, first)
							}
						}
					}
					_, list := records(t, n)
					if last := list[len(list)-1]; last.Event != audit.Denied || last.Op != op || last.Surface.String() != door || last.Peer.String() != "127.0.0.0/24" {
						t.Errorf("the record says %+v", last)
					}
				})
			}
		}
	}
}

// CAP-TOK-003: one scheme with three names, in any case.
func TestHTTPSchemes(t *testing.T) {
	n := start(t, nil)
	p := placeOf(n)
	for _, scheme := range []string{"Macaroon", "Bearer", "Macro", "mAcArOoN", "BEARER"} {
		resp, body := p.ask(t, "http", "GET", aPath(object), "", nil, "Authorization", scheme+" "+p.Token)
		if resp.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d %s", scheme, resp.StatusCode, body)
		}
	}
}

// The same for every operation over OAP/1, on every kind of connection, which stays open each time.
func TestOAPDenials(t *testing.T) {
	n := startEverywhere(t, nil)
	p := placeOf(n)
	credentials := map[string][]byte{
		"none": nil, "text": []byte(p.Token), "garbage": []byte("\x00\xff"), "trailing": append(binaryToken(n), 0), "twice": append(binaryToken(n), binaryToken(n)...),
	}
	for name, tok := range noGood(t, n) {
		credentials[name] = tok.Binary()
	}
	uid := uint32(os.Geteuid())
	uncovered := map[string][]byte{}
	for name, caveats := range map[string][]string{
		"other operation": {"op in resolve"},
		"other path":      {"path ^= /elsewhere"},
		"tenant":          {"tenant = 000102030405060708090a0b0c0d0e0f"},
		"user":            {fmt.Sprintf("peer-uid = %d", uid+1)},
	} {
		uncovered[name] = attenuated(t, n, caveats...).Binary()
	}
	absent := address([]byte("absent")).String()
	for _, door := range oapDoors {
		o := p.peer(t, door, nil)
		corr := uint64(0)
		for _, c := range []struct {
			proto spec.Proto
			op    spec.Op
			req   string
		}{
			{spec.ProtoObjects, spec.OpGet, `{"op":"get","obj":"` + absent + `"}`},
			{spec.ProtoObjects, spec.OpHas, `{"op":"has","obj":"` + absent + `"}`},
			{spec.ProtoObjects, spec.OpStat, `{"op":"stat","obj":"` + absent + `"}`},
			{spec.ProtoObjects, spec.OpDelete, `{"op":"delete","obj":"` + absent + `"}`},
			{spec.ProtoObjects, spec.OpPut, `{"op":"put","total_len":5}`},
			{spec.ProtoPassport, spec.OpIssue, `{"request":"issue","role":"reader"}`},
			{spec.ProtoPassport, spec.OpVerify, `{"request":"verify","token":"","op":"get","path":"/o/x"}`},
			{spec.ProtoPassport, spec.OpRevoke, `{"request":"revoke","key_id":"0000000000000000"}`},
			{spec.ProtoPassport, spec.OpRotate, `{"request":"rotate"}`},
		} {
			t.Run(door+" "+string(c.op), func(t *testing.T) {
				for want, cases := range map[spec.Reason]map[string][]byte{spec.Unauth: credentials, spec.Forbidden: uncovered} {
					first := ""
					for name, b := range cases {
						corr++
						before := figuresOf(n)
						o.t = t
						o.startAs(wire.Header{Flags: spec.FlagEnd, Proto: c.proto, Corr: corr}, b, c.req)
						f := o.recv()
						wantDenied(t, n, before, want)
						var e wire.Error
						if wire.ParseError(f.Payload, &e) != spec.None || e.Reason != want || f.Code != want.Code() || f.Corr != corr {
							t.Fatalf("%s: code %d on %d: %s; want %s", name, f.Code, f.Corr, f.Payload, want)
						}
						f.Corr, f.Len, e.Corr = 0, 0, 0 // the length has the digits of the id in it
						got := fmt.Sprintf("%+v %+v", f.Header, e)
						if first == "" {
							first = got
						}
						if got != first {
							t.Errorf("%s is told apart:\n%s\n%s", name, got, first)
						}
					}
				}
				_, list := records(t, n)
				last := list[len(list)-1]
				peer := "127.0.0.0/24"
				if door == "unix" {
					peer = fmt.Sprintf("uid:%d", uid)
				}
				if got := strings.ReplaceAll(last.Surface.String(), "+", "_"); last.Event != audit.Denied || last.Op != c.op || got != door || last.Peer.String() != peer || last.CorrID.String() != fmt.Sprint(corr) {
					t.Errorf("the record says %+v", last)
				}
			})
		}
	}
	leases(t, n, 0)
}

// ADM-ORD-004: who may not get in is told before the body is asked for, before any of it is there, and before anything is
// looked up; ADM-ORD-001: what the head says wrong comes first.
func TestAuthenticationComesFirst(t *testing.T) {
	n := startEverywhere(t, nil)
	p := placeOf(n)
	reader := mint(t, n, 0, spec.Reader.Ops()).Text()
	stored := "/o/" + plant(t, n, []byte("stored")).String()
	for _, door := range httpDoors {
		for token, want := range map[string]spec.Reason{"nonsense": spec.Unauth, reader: spec.Forbidden} {
			for name, header := range map[string][]string{
				"100-continue": {"Content-Length", "1000", "Expect", "100-continue"},
				"chunked":      {"Transfer-Encoding", "chunked"},
				"length":       {"Content-Length", "1000"},
			} {
				c := p.dial(t, door)
				fmt.Fprint(c, head("POST", "/put", token, header...))
				resp, body := answer(t, c, "POST") // none of the body was sent
				if wantProblem(t, resp, body, want); t.Failed() {
					t.Fatalf("%s: %s", door, name)
				}
				c.Close()
			}
		}
		writer := mint(t, n, 0, spec.Writer.Ops()).Text()
		for _, path := range []string{stored, aPath(object)} { // there or not: the answer is the same
			resp, body := p.ask(t, door, "GET", path, writer, nil)
			wantProblem(t, resp, body, spec.Forbidden)
		}
		for _, c := range []struct {
			path   string
			header []string
			want   spec.Reason
		}{
			{"/nowhere", nil, spec.NoRoute},
			{"/v1/passport/nothing", nil, spec.NoRoute},
			{"/admin/audit/nothing", nil, spec.NoRoute},
			{"/admin/audit/export", nil, spec.MethodNotAllowed},
			{"/put", []string{"Content-Encoding", "br"}, spec.UnsupportedEncoding},
			{"/put", []string{"Content-Range", "bytes 0-1/2"}, spec.Malformed},
		} {
			resp, body := p.ask(t, door, "POST", c.path, "nonsense", nil, c.header...)
			wantProblem(t, resp, body, c.want)
		}
	}
	o := p.peer(t, "oap", nil)
	o.startAs(wire.Header{Corr: 1}, nil, `{"op":"put","total_len":1000}`)
	o.wantError(1, spec.Unauth)
	leases(t, n, 0)
}

// CAP-CAV-012: as declared, as delivered, and as expanded; over OAP/1 as declared, which is all that can be delivered there.
func TestMaxBytes(t *testing.T) {
	n := startEverywhere(t, nil)
	p := placeOf(n)
	small := mint(t, n, 0, nil, "max-bytes <= 100").Text()
	big := mint(t, n, 0, nil, "max-bytes <= 200000").Text()
	mixed := append(randomBytes(3000), make([]byte, 20_000)...)
	for _, door := range httpDoors {
		for _, c := range []struct {
			name, token string
			body        []byte
			chunked     bool
			header      []string
			want        spec.Reason
		}{
			{"as many as allowed", small, randomBytes(100), false, nil, spec.None},
			{"one more", small, randomBytes(101), false, nil, spec.Forbidden},
			{"streamed, as many as allowed", small, randomBytes(99), true, nil, spec.None},
			{"streamed, one more", small, randomBytes(101), true, nil, spec.Forbidden},
			{"streamed, chunks more", big, randomBytes(900_000), true, nil, spec.Forbidden},
			{"gzip", small, gzipped(t, bytes.Repeat([]byte("ab"), 400)), false, []string{"Content-Encoding", "gzip"}, spec.Forbidden},
			{"gzip streamed", small, gzipped(t, bytes.Repeat([]byte("ab"), 400)), true, []string{"Content-Encoding", "gzip"}, spec.Forbidden},
			{"zstd", small, zstded(t, bytes.Repeat([]byte("ab"), 400)), false, []string{"Content-Encoding", "zstd"}, spec.Forbidden},
			{"gzip within", big, gzipped(t, mixed), false, []string{"Content-Encoding", "gzip"}, spec.None},
		} {
			t.Run(door+" "+c.name, func(t *testing.T) {
				conn := p.dial(t, door)
				header, body := append(c.header, "Content-Length", fmt.Sprint(len(c.body))), c.body
				if c.chunked {
					header = append(c.header, "Transfer-Encoding", "chunked")
					body = append(fmt.Appendf(nil, "%x\r\n", len(c.body)), c.body...)
					body = append(body, "\r\n0\r\n\r\n"...)
				}
				before, stored := figuresOf(n), n.store.Stats().Objects
				go conn.Write(append([]byte(head("POST", "/put", c.token, header...)), body...))
				resp, b := answer(t, conn, "POST")
				if c.want == spec.None {
					if resp.StatusCode/100 != 2 {
						t.Errorf("%d %s", resp.StatusCode, b)
					}
					return
				}
				wantProblem(t, resp, b, c.want)
				wantDenied(t, n, before, c.want)
				if n.store.Stats().Objects != stored {
					t.Error("what was refused is stored")
				}
			})
		}
	}
	for _, door := range oapDoors {
		o := p.peer(t, door, mint(t, n, 0, nil, "max-bytes <= 100").Binary())
		o.putObject(1, randomBytes(100))
		o.start(2, 0, `{"op":"put","total_len":101}`)
		o.wantError(2, spec.Forbidden)
	}
	leases(t, n, 0)
}

// CAP-CAV-011, CAP-CAV-014, CAP-CAV-010, CAP-OPS-002 as the surfaces hand the request to them.
func TestWhatSurfacesSay(t *testing.T) {
	n := startEverywhere(t, nil)
	p := placeOf(n)
	stored := plant(t, n, []byte("stored")).String()
	has := `{"op":"has","obj":"` + stored + `"}`
	tenant := [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
	ofTenant := attenuated(t, n, "tenant = 000102030405060708090a0b0c0d0e0f").Binary()
	ofUser := attenuated(t, n, fmt.Sprintf("peer-uid = %d", os.Geteuid())).Binary()
	ofPath := attenuated(t, n, "path ^= /o/"+stored).Binary()
	for _, door := range oapDoors {
		o := p.peer(t, door, nil)
		for i, c := range []struct {
			tenant [16]byte
			cap    []byte
			req    string
			good   bool
		}{
			{tenant, ofTenant, has, true},
			{[16]byte{1}, ofTenant, has, false},
			{[16]byte{}, ofTenant, has, false},
			{tenant, binaryToken(n), has, true},
			{[16]byte{}, ofUser, has, door == "unix"},
			{[16]byte{}, ofPath, has, true},
			{[16]byte{}, ofPath, `{"op":"stat","obj":"` + stored + `"}`, true},
			{[16]byte{}, ofPath, `{"op":"has","obj":"` + address(nil).String() + `"}`, false},
		} {
			corr := uint64(i + 1)
			o.startAs(wire.Header{Flags: spec.FlagEnd, Corr: corr, Tenant: c.tenant}, c.cap, c.req)
			if c.good {
				if f := o.recv(); f.Code != spec.CodeOK {
					t.Errorf("%s, case %d: %d %s", door, i, f.Code, f.Payload)
				}
				continue
			}
			o.wantError(corr, spec.Forbidden)
		}
	}
	byPath := attenuated(t, n, "path ^= /o/"+stored).Text()
	for _, c := range []struct {
		path   string
		status int
	}{
		{"/o/" + stored, 200},
		{"/o/" + strings.Replace(stored, ":", "%3A", 1), 200}, // HTTP-SUR-005 decodes once
		{"/o/" + stored[:66] + "0", 403},
		{"/o/" + strings.Replace(stored, ":", "%253A", 1), 400},
		{"/o/%2e%2e%2fo%2f" + stored, 400},
		{"/o/../o/" + stored, 404},
		{"//o/" + stored, 404},
		{"/O/" + stored, 404},
	} {
		if resp, body := p.ask(t, "http", "GET", c.path, byPath, nil); resp.StatusCode != c.status && !(c.status == 403 && stored[66] == '0') {
			t.Errorf("GET %s: %d %s, want %d", c.path, resp.StatusCode, body, c.status)
		}
	}
	toPut := attenuated(t, n, "path ^= /put").Text()
	if resp, body := p.ask(t, "https", "POST", "/put", toPut, []byte("x")); resp.StatusCode != 201 {
		t.Errorf("POST /put: %d %s", resp.StatusCode, body)
	}
	if resp, body := p.ask(t, "https", "PUT", "/o/"+stored, toPut, []byte("stored")); resp.StatusCode != 403 {
		t.Errorf("PUT /o/… with a capability for /put: %d %s", resp.StatusCode, body)
	}
}
