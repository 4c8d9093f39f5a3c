package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// fakePassport serves passport requests over both surfaces: serve gets the operation and the object as HTTP has it, and
// gives the answer. The object over OAP/1 has one member more, in front.
func fakePassport(t *testing.T, serve func(op, doc string) string) map[string]string {
	t.Helper()
	web := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		op, ok := strings.CutPrefix(r.URL.Path, "/v1/passport/")
		if !ok || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("got %s %s of %s", r.Method, r.URL.Path, r.Header.Get("Content-Type"))
		}
		doc, _ := io.ReadAll(r.Body)
		io.WriteString(w, serve(op, string(doc)))
	})
	oap := listen(t, after(func(p *peer) {
		for f := p.recv(); f != nil; f = p.recv() {
			if f.Proto != spec.ProtoPassport || f.Flags != spec.FlagReq|spec.FlagStart|spec.FlagEnd {
				t.Errorf("got a frame of protocol %#x with flags %v", f.Proto, f.Flags.Names())
				continue
			}
			rest, ok := strings.CutPrefix(string(f.Data), `{"`+passportMember+`":"`)
			op, doc, _ := strings.Cut(rest, `"`)
			if !ok {
				t.Errorf("got %s", f.Data)
			}
			answer := serve(op, "{"+strings.TrimPrefix(doc, ","))
			p.send(wire.Header{Flags: spec.FlagResp | spec.FlagEnd, Code: spec.CodeOK, Proto: f.Proto, Corr: f.Corr}, []byte(answer))
		}
	}))
	return map[string]string{"http": web, "oap": oap}
}

// CAP-ISS-001, CAP-ISS-003, CAP-ISS-004, CAP-ISS-005, HTTP-PAS-001: what is asked for, to the byte, and what is made of the
// answers, is the same over both surfaces.
func TestPassport(t *testing.T) {
	t.Parallel()
	token, _ := tokenOf(90)
	id, key := strings.Repeat("0a", 16), strings.Repeat("0b", 8)
	var want, answer atomic.Value
	for name, url := range fakePassport(t, func(op, doc string) string {
		if got := op + " " + doc; got != want.Load() {
			t.Errorf("asked  %s\nwanted %s", got, want.Load())
		}
		return answer.Load().(string)
	}) {
		t.Run(name, func(t *testing.T) {
			c := dial(t, url, with(quick, token))
			want.Store(`issue {"role":"reader","ttl_s":900,"caveats":["path ^= /o/b3:64","rps <= 5"]}`)
			answer.Store(fmt.Sprintf(`{"token":%q,"id":%q,"key_id":%q,"expires":1800000000}`, token.Reveal(), id, key))
			got, err := c.Issue(t.Context(), Issue{Role: spec.Reader, Ops: []spec.Op{}, TTL: 900*time.Second + 7, Caveats: []string{"path ^= /o/b3:64", "rps <= 5"}})
			if err != nil || got.Token.Reveal() != token.Reveal() || got.ID != id || got.KeyID != key || got.Expires.Unix() != 1800000000 {
				t.Errorf("issue: %+v, %v", got, err)
			}
			want.Store(`issue {"ops":["get","put"]}`)
			if _, err := c.Issue(t.Context(), Issue{Ops: []spec.Op{spec.OpGet, spec.OpPut}, Caveats: []string{}}); err != nil {
				t.Error(err)
			}

			want.Store(fmt.Sprintf(`verify {"token":%q,"op":"put","path":"/put","bytes":7,"tenant":%q}`, token.Reveal(), id))
			answer.Store(fmt.Sprintf(`{"valid":true,"id":%q,"key_id":%q,"expires":1800000000}`, id, key))
			v, err := c.Verify(t.Context(), Question{Token: token, Op: spec.OpPut, Path: "/put", Bytes: 7, Tenant: id})
			if err != nil || !v.Valid || v.Reason != spec.None || v.ID != id || v.KeyID != key || v.Expires.Unix() != 1800000000 {
				t.Errorf("verify: %+v, %v", v, err)
			}
			want.Store(fmt.Sprintf(`verify {"token":%q,"op":"get","path":"/o/x"}`, token.Reveal()))
			answer.Store(`{"valid":false,"reason":"forbidden"}`)
			v, err = c.Verify(t.Context(), Question{Token: token, Op: spec.OpGet, Path: "/o/x"})
			if err != nil || v.Valid || v.Reason != spec.Forbidden || !v.Expires.IsZero() {
				t.Errorf("verify: %+v, %v", v, err)
			}

			answer.Store(`{"revoked":true}`)
			want.Store(fmt.Sprintf(`revoke {"id":%q}`, id))
			if err := c.Revoke(t.Context(), id); err != nil {
				t.Error(err)
			}
			want.Store(fmt.Sprintf(`revoke {"key_id":%q}`, key))
			if err := c.RevokeKey(t.Context(), key); err != nil {
				t.Error(err)
			}
			want.Store(`rotate {}`)
			answer.Store(fmt.Sprintf(`{"key_id":%q}`, key))
			if k, err := c.Rotate(t.Context()); err != nil || k != key {
				t.Errorf("rotate: %s, %v", k, err)
			}
		})
	}
}

// Answers that are none are no success: a revocation that may not have happened least of all.
func TestHostilePassport(t *testing.T) {
	t.Parallel()
	var answer atomic.Value
	token, _ := tokenOf(90)
	id, key := strings.Repeat("0a", 16), strings.Repeat("0b", 8)
	for name, url := range fakePassport(t, func(op, doc string) string { return answer.Load().(string) }) {
		c := dial(t, url, quick)
		ask := map[string]func() error{
			"issue":  func() error { _, err := c.Issue(t.Context(), Issue{Role: spec.Reader}); return err },
			"verify": func() error { _, err := c.Verify(t.Context(), Question{Token: token}); return err },
			"revoke": func() error { return c.Revoke(t.Context(), id) },
			"rotate": func() error { _, err := c.Rotate(t.Context()); return err },
		}
		for _, tc := range []struct{ op, answer string }{
			{"issue", ``}, {"issue", `{}`}, {"issue", `[]`}, {"issue", "\x1b[31m"},
			{"issue", fmt.Sprintf(`{"token":"","id":%q,"key_id":%q,"expires":1}`, id, key)},
			{"issue", fmt.Sprintf(`{"token":"Ag\n","id":%q,"key_id":%q,"expires":1}`, id, key)},
			{"issue", fmt.Sprintf(`{"token":%q,"id":"\u001b","key_id":%q,"expires":1}`, token.Reveal(), key)},
			{"issue", fmt.Sprintf(`{"token":%q,"id":%q,"key_id":"0b","expires":1}`, token.Reveal(), id)},
			{"issue", fmt.Sprintf(`{"token":%q,"id":%q,"key_id":%q,"expires":"soon"}`, token.Reveal(), id, key)},
			{"issue", fmt.Sprintf(`{"token":%q,"id":%q,"key_id":%q}`, token.Reveal(), id, key)},
			{"verify", `{}`}, {"verify", `{"valid":1}`}, {"verify", `{"valid":false}`}, {"verify", `{"valid":true,"reason":"unauth"}`}, {"verify", `{"valid":false,"reason":"\u001b[31m"}`},
			{"revoke", `{}`}, {"revoke", `{"revoked":false}`}, {"revoke", `{"revoked":"true"}`}, {"revoke", ``},
			{"rotate", `{}`}, {"rotate", `{"key_id":"` + id + `"}`},
		} {
			answer.Store(tc.answer)
			err := ask[tc.op]()
			if err == nil {
				t.Errorf("%s: %s answered with %q is a success", name, tc.op, tc.answer)
				continue
			}
			wantReason(t, err, spec.Malformed)
			if strings.Contains(err.Error(), token.Reveal()) {
				t.Errorf("%s: the error shows the token: %v", tc.op, err)
			}
		}
	}
}

// An issue and a rotation whose answer got lost are not repeated; a revocation is, until it is certain.
func TestLostPassportAnswers(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	drop := func(w http.ResponseWriter, r *http.Request) { asked.Add(1); panic(http.ErrAbortHandler) }
	oap := listen(t, after(func(p *peer) {
		if p.recv() != nil {
			asked.Add(1)
		}
	}))
	for i, url := range []string{serveHTTP(t, drop), oap} {
		c := dial(t, url, quick)
		for _, tc := range []struct {
			ask  func() error
			want int32
		}{
			{func() error { _, err := c.Issue(t.Context(), Issue{Role: spec.Reader}); return err }, 1},
			{func() error { _, err := c.Rotate(t.Context()); return err }, 1},
			{func() error { return c.Revoke(t.Context(), strings.Repeat("0a", 16)) }, maxLosses},
		}[:3-i] { // once is enough of the waiting between losses
			asked.Store(0)
			if err := tc.ask(); err == nil || asked.Load() != tc.want {
				t.Errorf("%s: asked %d times, want %d: %v", url, asked.Load(), tc.want, err)
			}
		}
	}
}

// A request that no node would take is not sent.
func TestPassportTooLong(t *testing.T) {
	t.Parallel()
	for _, url := range fakePassport(t, func(op, doc string) string { t.Error("it was sent"); return "{}" }) {
		_, err := dial(t, url, quick).Issue(t.Context(), Issue{Role: spec.Reader, Caveats: []string{strings.Repeat("x", spec.MaxPassport)}})
		wantReason(t, err, spec.Malformed)
		_, err = dial(t, url, quick).Verify(t.Context(), Question{Token: secret.NewString("\xff")})
		wantReason(t, err, spec.Malformed)
	}
}

// CAP-AUD-006, CAP-AUD-010: the routes of the audit log, and answers about something else than was asked for.
func TestAudit(t *testing.T) {
	t.Parallel()
	var answer atomic.Value
	var asked atomic.Value
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r.Method + " " + r.URL.Path)
		io.WriteString(w, answer.Load().(string))
	})
	c := dial(t, url, quick)
	want := func(what string) {
		t.Helper()
		if asked.Load() != what {
			t.Errorf("asked %s, want %s", asked.Load(), what)
		}
	}
	answer.Store(`{"index":3,"size":9,"leaf":"AAEC","proof":["AwQF","Bg=="]}`)
	p, err := c.AuditInclusion(t.Context(), 3, 9)
	if want("GET /admin/audit/inclusion/3/9"); err != nil || !bytes.Equal(p.Leaf, []byte{0, 1, 2}) || len(p.Proof) != 2 || !bytes.Equal(p.Proof[1], []byte{6}) {
		t.Errorf("%+v, %v", p, err)
	}
	_, err = c.AuditInclusion(t.Context(), 3, 8)
	wantReason(t, err, spec.Malformed)
	answer.Store(`{"old":3,"new":9,"proof":["AwQF"]}`)
	q, err := c.AuditConsistency(t.Context(), 3, 9)
	if want("GET /admin/audit/consistency/3/9"); err != nil || len(q.Proof) != 1 {
		t.Errorf("%+v, %v", q, err)
	}
	_, err = c.AuditConsistency(t.Context(), 2, 9)
	wantReason(t, err, spec.Malformed)
	answer.Store(`nonsense`)
	_, err = c.AuditConsistency(t.Context(), 3, 9)
	wantReason(t, err, spec.Malformed)
	answer.Store("a note\n\n— n sig\n")
	text, err := c.AuditCheckpoint(t.Context())
	if want("GET /admin/audit/checkpoint"); err != nil || string(text) != "a note\n\n— n sig\n" {
		t.Errorf("%q, %v", text, err)
	}
	if err := c.AuditAcknowledge(t.Context(), 12); err != nil {
		t.Error(err)
	}
	want("POST /admin/audit/acknowledge/12")
	answer.Store(string(bytesOf(200_000)))
	var out bytes.Buffer
	n, err := c.AuditExport(t.Context(), &out)
	if want("GET /admin/audit/export"); err != nil || n != 200_000 || !bytes.Equal(out.Bytes(), bytesOf(200_000)) {
		t.Errorf("%d bytes, %v", n, err)
	}
	_, err = c.Version(t.Context())
	if want("GET /version"); reasonOf(err) != spec.Oversize {
		t.Errorf("a /version of 200,000 bytes: %v", err)
	}
	full := errors.New("disk full")
	if _, err := c.AuditExport(t.Context(), failAfter{100_000, full}.writer()); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}

// An export that breaks off behind its first byte is not begun again in the middle of a file.
func TestAuditExportBreaksOff(t *testing.T) {
	t.Parallel()
	var asked atomic.Int32
	c := dial(t, serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) == 2 {
			w.Write(bytesOf(5000))
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	}), quick)
	var out bytes.Buffer
	n, err := c.AuditExport(t.Context(), &out)
	if err == nil || asked.Load() != 2 || n != 5000 || out.Len() != 5000 {
		t.Errorf("asked %d times, %d bytes, %v", asked.Load(), n, err)
	}
}

// What HTTP alone has is said to be so.
func TestAuditNeedsHTTP(t *testing.T) {
	t.Parallel()
	c := dial(t, listen(t, after(func(p *peer) { p.recv() })), quick)
	_, err := c.AuditCheckpoint(t.Context())
	wantReason(t, err, spec.Unsupported)
	_, err = c.AuditExport(t.Context(), io.Discard)
	wantReason(t, err, spec.Unsupported)
	if err := c.AuditAcknowledge(t.Context(), 1); err == nil || !strings.Contains(err.Error(), "https://") {
		t.Errorf("got %v", err)
	}
}
