package client

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// tokenOf makes the text of something that has the length and the first byte of a capability. Nobody here looks
// further.
func tokenOf(n int) (text secret.String, binary []byte) {
	binary = bytesOf(n)
	binary[0] = tokenVersion
	return secret.NewString(base64.RawURLEncoding.EncodeToString(binary)), binary
}

func with(o Options, token secret.String) Options {
	o.Token = token
	return o
}

// everything asks a node for one of each, and does not care for the answers.
func everything(t *testing.T, c *Client) {
	t.Helper()
	c.Put(t.Context(), strings.NewReader("abc"), 3, nil)
	c.Put(t.Context(), bytes.NewReader(bytesOf(200_000)), 200_000, nil)
	c.Get(t.Context(), spec.Address{1}, 0, -1, io.Discard)
	c.Stat(t.Context(), spec.Address{2})
	c.Has(t.Context(), spec.Address{3})
	c.Delete(t.Context(), spec.Address{4})
	c.Issue(t.Context(), Issue{Role: spec.Reader})
	c.Revoke(t.Context(), strings.Repeat("ab", 16))
	c.Rotate(t.Context())
	c.Verify(t.Context(), Question{Op: spec.OpGet, Path: "/o/"})
}

// CAP-TOK-003: every HTTP request carries the token, in one field.
func TestTokenOnEveryHTTPRequest(t *testing.T) {
	t.Parallel()
	token, _ := tokenOf(300)
	var mu sync.Mutex
	seen := map[string]int{}
	url := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header["Authorization"]; len(got) != 1 || got[0] != "Macaroon "+token.Reveal() {
			t.Errorf("%s %s comes with %d fields, %.20q…", r.Method, r.URL.Path, len(got), got)
		}
		mu.Lock()
		seen[r.Method+" "+r.URL.Path]++
		mu.Unlock()
		problemTo(w, spec.NotFound, "")
	})
	c := dial(t, url, with(quick, token))
	everything(t, c)
	c.Version(t.Context())
	c.AuditCheckpoint(t.Context())
	c.AuditInclusion(t.Context(), 1, 2)
	c.AuditConsistency(t.Context(), 1, 2)
	c.AuditAcknowledge(t.Context(), 5)
	c.AuditExport(t.Context(), io.Discard)
	if len(seen) != 15 {
		t.Errorf("%d kinds of requests came: %v", len(seen), seen)
	}
}

// CAP-TOK-004: every START carries the token in its binary form, and no other frame has one.
func TestTokenOnEveryStart(t *testing.T) {
	t.Parallel()
	token, binary := tokenOf(300)
	var starts atomic.Int32
	url := listen(t, after(func(p *peer) {
		for f := p.recv(); f != nil; f = p.recv() {
			if f.Flags&spec.FlagStart == 0 {
				if len(f.Cap) != 0 {
					t.Errorf("a frame with flags %v has a capability", f.Flags.Names())
				}
				continue
			}
			starts.Add(1)
			if !bytes.Equal(f.Cap, binary) {
				t.Errorf("a START of protocol %#x has other cap bytes (%d)", f.Proto, len(f.Cap))
			}
			e := wire.Error{Reason: spec.NotFound, Message: "no", Corr: f.Corr}
			p.send(wire.Header{Flags: spec.FlagResp | spec.FlagEnd, Code: 404, Proto: f.Proto, Corr: f.Corr}, wire.AppendError(nil, &e))
		}
	}))
	everything(t, dial(t, url, with(quick, token)))
	if n := starts.Load(); n != 10 {
		t.Errorf("%d STARTs came", n)
	}
}

// CAP-TOK-004, CAP-TOK-005, OAP-HEL-005: the longest token fits into the smallest frames that HELLO can agree on.
func TestLongestTokenInTheSmallestFrames(t *testing.T) {
	t.Parallel()
	token, binary := tokenOf(spec.MaxCapability)
	url := listen(t, func(p *peer) {
		if !p.hello(func(r *wire.HelloReply) { r.MaxFrame = spec.MinMaxFrame }) {
			return
		}
		p.dec.SetMaxFrame(spec.MinMaxFrame)
		f, r := p.start()
		if f == nil || !bytes.Equal(f.Cap, binary) || r.TotalLen != 9000 {
			t.Errorf("the START of the put is %+v", f)
			return
		}
		corr, got := f.Corr, []byte(nil)
		for f = p.recv(); f != nil && f.Flags&spec.FlagEnd == 0; f = p.recv() {
			var d wire.DataHeader
			body, _ := wire.ParseData(f.Data, &d)
			got = append(got, body...)
		}
		p.answer(corr, wire.OpPut, wire.Answer{Obj: sum(got), Created: true})
		p.recv()
	})
	o := with(quick, token)
	o.MaxFrame = spec.MinMaxFrame
	c := dial(t, url, o)
	want := sum(bytesOf(9000))
	if _, _, err := c.Put(t.Context(), bytes.NewReader(bytesOf(9000)), 9000, &want); err != nil {
		t.Error(err)
	}
	// A passport request is one frame. What does not fit is said, and does not cost the connection.
	_, err := c.Issue(t.Context(), Issue{Role: spec.Reader, Caveats: []string{"aud = " + strings.Repeat("x", 1000)}})
	wantReason(t, err, spec.Oversize)
}

// CAP-TOK-002, CAP-TOK-005: a text that can be no token is refused before anything is sent, and the error does not
// repeat it.
func TestMalformedTokenIsNotSent(t *testing.T) {
	t.Parallel()
	l := listenTCP(t)
	good, _ := tokenOf(100)
	long, _ := tokenOf(spec.MaxCapability + 1)
	longest, _ := tokenOf(spec.MaxCapability)
	for _, text := range []string{"Macaroon " + good.Reveal(), good.Reveal() + "=", good.Reveal() + "\n", " " + good.Reveal(), "AgEJ+/", "Ag\x00A", "geheim",
		"AgF", "AQ", "MDAxY2xvY2F0aW9uIGh0dHA6Ly9teWJhbmsv", long.Reveal(), strings.Repeat("A", 5000), "AgE J", "Ag\r\nX-Evil: 1"} {
		for _, scheme := range []string{"oap", "http"} {
			c, err := Dial(t.Context(), scheme+"://"+l.Addr().String(), Options{Token: secret.NewString(text)})
			if err == nil {
				c.Close()
				t.Errorf("%.20q was taken for a token", text)
				continue
			}
			var bad *TokenError
			if !errors.As(err, &bad) || reasonOf(err) != spec.Malformed {
				t.Errorf("%.20q: got %v", text, err)
			}
			if strings.Contains(err.Error(), text) {
				t.Errorf("the error repeats the token: %v", err)
			}
		}
	}
	for _, token := range []secret.String{good, longest, {}} {
		if _, err := newCredential(token); err != nil {
			t.Error(err)
		}
	}
	l.(*net.TCPListener).SetDeadline(time.Now())
	if nc, err := l.Accept(); err == nil {
		nc.Close()
		t.Error("a connection was made")
	}
}

// CAP-TLS-015: a token does not leave this machine without encryption; nothing can be said to change that.
func TestTokenIsNotSentInTheClear(t *testing.T) {
	t.Parallel()
	token, _ := tokenOf(100)
	for _, url := range []string{"http://192.0.2.1", "oap://192.0.2.1:9090", "http://node.test:8080", "oap://node.test:9090", "http://[2001:db8::1]",
		"oap://0.0.0.0:9090", "http://localhost.test", "http://127.0.0.1.test", "http://128.0.0.1"} {
		c, err := Dial(t.Context(), url, Options{Token: token})
		if err == nil {
			c.Close()
		}
		var clear *ClearTextError
		if !errors.As(err, &clear) || !strings.Contains(err.Error(), "https://") || strings.Contains(err.Error(), token.Reveal()) {
			t.Errorf("%s: got %v", url, err)
		}
	}
	for url, want := range map[string]bool{"http://127.0.0.1": true, "http://127.9.9.9": true, "oap://[::1]:1": true, "http://localhost:1": true, "unix:/x": true,
		"https://192.0.2.1": true, "oap+tls://node.test:1": true, "http://[::ffff:127.0.0.1]": true, "http://[::ffff:192.0.2.1]": false, "oap://node.test:1": false} {
		target, err := parseURL(url)
		if err != nil || target.confidential() != want {
			t.Errorf("%s: confidential is %v, %v", url, target.confidential(), err)
		}
	}
	// Without a token of its own a client may talk to it, but not ask it about somebody's token.
	c := dial(t, "http://192.0.2.1", quick)
	_, err := c.Verify(t.Context(), Question{Token: token, Op: spec.OpGet, Path: "/o/"})
	if _, ok := errors.AsType[*ClearTextError](err); !ok {
		t.Errorf("verify: got %v", err)
	}
}

// farConn is a connection that ends somewhere else.
type farConn struct {
	net.Conn
	remote net.Addr
	closed bool
}

func (f *farConn) RemoteAddr() net.Addr { return f.remote }
func (f *farConn) Close() error         { f.closed = true; return nil }

// localhost is what the resolver says: where it is another machine after all, the token stays here.
func TestLocalhostElsewhere(t *testing.T) {
	t.Parallel()
	far := net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.1:80"))
	near := net.TCPAddrFromAddrPort(netip.MustParseAddrPort("127.0.0.1:80"))
	for _, tc := range []struct {
		url    string
		remote net.Addr
		ok     bool
	}{{"http://localhost", far, false}, {"oap://localhost:1", far, false}, {"http://localhost", near, true}, {"https://node.test", far, true}, {"unix:/x", &net.UnixAddr{}, true}} {
		target, err := parseURL(tc.url)
		if err != nil {
			t.Fatal(err)
		}
		nc := &farConn{remote: tc.remote}
		_, err = guardClear(nc, target)
		if (err == nil) != tc.ok || nc.closed == tc.ok {
			t.Errorf("%s at %v: %v, closed %v", tc.url, tc.remote, err, nc.closed)
		}
	}
}

// CAP-DEN-001, CAP-DEN-002: what was refused for want of authority is not asked for again, whatever the answer says
// about that.
func TestDenialIsFinal(t *testing.T) {
	t.Parallel()
	for _, reason := range []spec.Reason{spec.Unauth, spec.Forbidden} {
		var asked atomic.Int32
		web := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
			asked.Add(1)
			w.Header().Set("Retry-After", "0")
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(reason.Facts().Status)
			fmt.Fprintf(w, `{"reason":%q,"detail":"no","retryable":true}`, reason)
		})
		oap := listen(t, after(func(p *peer) {
			for f := p.recv(); f != nil; f = p.recv() {
				if f.Flags&spec.FlagStart == 0 {
					continue
				}
				asked.Add(1)
				e := wire.Error{Reason: reason, Message: "no", Retryable: true, RetryAfter: time.Millisecond, Corr: f.Corr}
				p.send(wire.Header{Flags: spec.FlagResp | spec.FlagEnd, Code: reason.Code(), Proto: f.Proto, Corr: f.Corr}, wire.AppendError(nil, &e))
			}
		}))
		for _, url := range []string{web, oap} {
			c := dial(t, url, quick)
			for name, ask := range map[string]func() error{
				"stat":   func() error { _, err := c.Stat(t.Context(), spec.Address{}); return err },
				"put":    func() error { _, _, err := c.Put(t.Context(), strings.NewReader("abc"), 3, nil); return err },
				"get":    func() error { _, err := c.Get(t.Context(), spec.Address{}, 0, -1, io.Discard); return err },
				"delete": func() error { return c.Delete(t.Context(), spec.Address{}) },
				"rotate": func() error { _, err := c.Rotate(t.Context()); return err },
			} {
				asked.Store(0)
				wantReason(t, ask(), reason)
				if n := asked.Load(); n != 1 {
					t.Errorf("%s of %s: asked %d times", name, url, n)
				}
			}
		}
	}
}

// Whatever goes wrong, and however it is printed, the token is not in it (CAP-KEY-005, AMN-LOG-002).
func TestTokenIsNeverShown(t *testing.T) {
	t.Parallel()
	token, binary := tokenOf(100)
	var text strings.Builder
	log := slog.New(slog.NewJSONHandler(&text, nil))
	show := func(v any) {
		fmt.Fprintf(&text, "%v %+v %#v %s %q %x %d\n", v, v, v, v, v, v, v)
		log.Info("x", "v", v)
	}
	// A node that sends back what it got.
	web := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) { problemTo(w, spec.Unauth, "") })
	echo := serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"token":[%q],"valid":%q}`, token.Reveal(), token.Reveal())
	})
	for _, url := range []string{web, echo} {
		o := with(quick, token)
		c := dial(t, url, o)
		show(o)
		show(c)
		show(c.opts)
		show(c.opts.cred)
		show(&c.opts.cred)
		show([]any{c.opts.cred, &o})
		_, err := c.Stat(t.Context(), spec.Address{})
		show(err)
		_, err = c.Issue(t.Context(), Issue{Role: spec.Reader})
		show(err)
		v, err := c.Verify(t.Context(), Question{Token: token, Op: spec.OpGet, Path: "/o/"})
		show(err)
		show(v)
		show(Question{Token: token})
		show(Issued{Token: token})
	}
	for _, secret := range []string{token.Reveal(), token.Reveal()[:20], string(binary), fmt.Sprintf("%x", binary[:8]), fmt.Sprintf("%x", token.Reveal()[:8]), fmt.Sprint(binary[:8])} {
		if strings.Contains(text.String(), secret) {
			t.Errorf("the token was printed as %.30q", secret)
		}
	}
}
