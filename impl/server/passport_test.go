package server

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/spec"
)

// passportOver makes a passport request over any door.
func passportOver(t *testing.T, p *place, door string, tok capability.Token, op, doc string) (status int, answer []byte) {
	t.Helper()
	if strings.HasPrefix(door, "http") {
		resp, body := p.ask(t, door, "POST", "/v1/passport/"+op, tok.Text(), []byte(doc))
		return resp.StatusCode, body
	}
	o := p.peer(t, door, nil)
	defer o.c.Close()
	member := `{"request":"` + op + `"`
	if doc = strings.TrimPrefix(doc, "{"); doc != "}" {
		member += ","
	}
	f := o.passport(1, tok.Binary(), member+doc)
	if f.Code == spec.CodeOK {
		return 200, f.Payload
	}
	return int(f.Code), f.Payload
}

// CAP-ISS-002 to 005, CAP-ROL-001, HTTP-PAS-001, HTTP-PAS-002, CAP-KEY-002 on every surface.
func TestPassport(t *testing.T) {
	n := startEverywhere(t, nil)
	p := placeOf(n)
	all := attenuated(t, n)
	for _, door := range append(slices.Clone(httpDoors), oapDoors...) {
		t.Run(door, func(t *testing.T) {
			do := func(tok capability.Token, op, doc string) map[string]any {
				t.Helper()
				status, b := passportOver(t, p, door, tok, op, doc)
				if status != 200 {
					t.Fatalf("%s %s: %d %s", op, doc, status, b)
				}
				return parse(t, b)
			}
			inherited := []string{"aud = micronode", "max-bytes <= 1000", "rps <= 500", "amnesia = on"}
			issuer := attenuated(t, n, append([]string{"op in issue,verify", "path ^= /v1/passport"}, inherited...)...)
			a := do(issuer, "issue", `{"role":"reader","ttl_s":60,"caveats":["path ^= /o/"]}`)
			tok, err := capability.ParseText(a["token"].(string))
			if err != nil || a["id"] != tok.ID().String() || a["key_id"] != tok.Key().String() {
				t.Fatalf("%v %v", a, err)
			}
			got := tok.Caveats()
			for _, want := range append([]string{"op in get,has,stat,resolve,search", "path ^= /o/", "exp <= " + strconv.FormatInt(int64(a["expires"].(float64)), 10)}, inherited...) {
				if !slices.Contains(got, want) {
					t.Errorf("the issued capability lacks %q: %q", want, got)
				}
			}
			if slices.Contains(got, "path ^= /v1/passport") || slices.Contains(got, "op in issue,verify") {
				t.Errorf("what the issuer may do is not what it gives: %q", got)
			}
			ask := fmt.Sprintf(`{"token":"%s","op":"get","path":"/o/x"}`, tok.Text())
			if v := do(issuer, "verify", ask); v["valid"] != true || v["id"] != tok.ID().String() || v["expires"] != a["expires"] || len(v) != 4 {
				t.Errorf("verify: %v", v)
			}
			before := figuresOf(n)
			for doc, want := range map[string]spec.Reason{
				strings.Replace(ask, `"get"`, `"put"`, 1):           spec.Forbidden,
				strings.Replace(ask, `"get"`, `"fly"`, 1):           spec.Forbidden,
				strings.Replace(ask, `"/o/x"`, `"/o/../put"`, 1):    spec.Forbidden,
				strings.Replace(ask, `}`, `,"bytes":1001}`, 1):      spec.Forbidden,
				strings.Replace(ask, tok.Text(), tok.Text()[1:], 1): spec.Unauth,
				strings.Replace(ask, tok.Text(), "", 1):             spec.Unauth,
			} {
				if v := do(issuer, "verify", doc); v["valid"] != false || v["reason"] != string(want) || len(v) != 2 {
					t.Errorf("verify %s: %v, want %s", doc[len(doc)-40:], v, want)
				}
			}
			if now := figuresOf(n); now.auth != before.auth || now.records != before.records { // CAP-ISS-003: a question is no denial
				t.Error("verify left a trace")
			}
			// With grace: what the old key signed goes on, what is new is of the new key.
			if r := do(all, "rotate", `{}`); r["key_id"] == a["key_id"] || len(r) != 1 {
				t.Errorf("rotate: %v", r)
			}
			if v := do(all, "verify", ask); v["valid"] != true {
				t.Errorf("after the rotation: %v", v)
			}
			if b := do(all, "issue", `{"ops":["get"]}`); b["key_id"] == a["key_id"] {
				t.Error("the old key still issues")
			}
			if r := do(all, "revoke", `{"id":"`+tok.ID().String()+`"}`); r["revoked"] != true {
				t.Errorf("revoke: %v", r)
			}
			if v := do(all, "verify", ask); v["valid"] != false || v["reason"] != "unauth" {
				t.Errorf("after the revocation: %v", v)
			}
			do(all, "revoke", `{"id":"ffffffffffffffffffffffffffffffff"}`) // CAP-ISS-004: never seen
			status, b := passportOver(t, p, door, all, "revoke", `{"key_id":"ffffffffffffffff"}`)
			if status != 404 {
				t.Errorf("an unknown key: %d %s", status, b)
			}
		})
	}
	leases(t, n, 0)
}

// CAP-ISS-001: one object, these members and no others, none twice, each of its type; and what is refused has no effect.
func TestPassportMalformed(t *testing.T) {
	n := startEverywhere(t, nil)
	p := placeOf(n)
	all := attenuated(t, n)
	for op, docs := range map[string][]string{
		"issue": {`{}`, `{"role":"reader","ops":["get"]}`, `{"role":"king"}`, `{"role":1}`, `{"ops":[]}`, `{"ops":"get"}`, `{"ops":["fly"]}`,
			`{"role":"reader","ttl_s":0}`, `{"role":"reader","ttl_s":86401}`, `{"role":"reader","ttl_s":1.5}`, `{"role":"reader","ttl_s":"60"}`,
			`{"role":"reader","caveats":["path ^=/o"]}`, `{"role":"reader","caveats":["nonsense"]}`, `{"role":"reader","caveats":["exp <= 1\n"]}`, `{"role":"reader","caveats":[1]}`,
			`{"role":"reader","role":"admin"}`, `{"role":"reader","Role":"admin"}`, `{"role":"reader","more":1}`, `{"role":"reader"}{}`, `{"role":"reader"} x`, `{"role":"reader"`,
			`{"role":null}`},
		"verify": {`{}`, `{"token":"","op":"get"}`, `{"token":"","op":"get","path":1}`, `{"token":"","op":"get","path":"/","bytes":-1}`,
			`{"token":"","op":"get","path":"/","tenant":"00"}`, `{"token":"","op":"get","path":"/","tenant":"000102030405060708090A0B0C0D0E0F"}`},
		"revoke": {`{}`, `{"id":"00"}`, `{"id":"0000000000000000000000000000000g"}`, `{"id":"00000000000000000000000000000000","key_id":"0000000000000000"}`, `{"key_id":"00000000"}`, `{"key_id":null}`},
		"rotate": {`{"now":true}`},
	} {
		for _, door := range append(slices.Clone(httpDoors), oapDoors...) {
			for _, doc := range docs {
				before, key := n.audit.Stats(), n.authority.Status()
				if status, b := passportOver(t, p, door, all, op, doc); status != 400 {
					t.Errorf("%s %s %s: %d %s", door, op, doc, status, b)
				}
				if after := n.audit.Stats(); after != before || n.authority.Status().Current != key.Current {
					t.Errorf("%s %s %s has an effect", door, op, doc)
				}
			}
		}
	}
	for _, doc := range []string{``, `[]`, `null`, `"x"`, `{"request":"rotate"}`, strings.Repeat(" ", spec.MaxPassport) + `{}`} {
		if resp, body := p.ask(t, "http", "POST", "/v1/passport/rotate", p.Token, []byte(doc)); resp.StatusCode != 400 {
			t.Errorf("%.20q: %d %s", doc, resp.StatusCode, body)
		}
	}
	resp, body := p.ask(t, "http", "POST", "/v1/passport/rotate", p.Token, []byte(strings.Repeat(" ", spec.MaxPassport-2)+`{}`))
	if resp.StatusCode != 200 {
		t.Errorf("8,192 bytes: %d %s", resp.StatusCode, body)
	}
	o := p.peer(t, "oap", all.Binary())
	for i, doc := range []string{``, `[]`, `{}`, `{"request":"fly"}`, `{"request":1}`, `{"request":"rotate","request":"rotate"}`} {
		if f := o.passport(uint64(i+1), o.cap, doc); f.Code != spec.Malformed.Code() {
			t.Errorf("%s: %d %s", doc, f.Code, f.Payload)
		}
	}
	leases(t, n, 0)
}
