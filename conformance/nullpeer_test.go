package conformance

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rustyonions/micronode/model/refcap"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// A null peer does nothing right on purpose, or as little as it can. What passes against one can not fail.
type nullPeer struct {
	name string
	oap  func(net.Conn)
	http func(net.Conn)
}

func nullPeers() []nullPeer {
	nothing := func(c net.Conn) { io.Copy(io.Discard, c) }
	gone := func(net.Conn) {}
	echo := func(c net.Conn) { io.Copy(c, c) }
	return []nullPeer{
		{"accept-and-close", gone, gone},
		{"silent", nothing, nothing},
		{"echo", echo, echo},
		{"always-200", greeting(func(c net.Conn, f refwire.Frame) bool {
			return answer(c, f.Corr, spec.CodeOK, map[string]any{"obj": "b3:", "created": true, "exists": false, "deleted": true, "size": 0})
		}), always(200, "application/json", `{"alive":true,"ready":true,"state":"ready"}`)},
		{"always-404", greeting(func(c net.Conn, f refwire.Frame) bool { return refuse(c, f.Corr, spec.NotFound) }),
			always(404, "application/problem+json", problemText(spec.NotFound))},
		{"always-malformed", greeting(func(c net.Conn, f refwire.Frame) bool { return refuse(c, f.Corr, spec.Malformed) }),
			always(400, "application/problem+json", problemText(spec.Malformed))},
		{"reject-and-close", greeting(func(c net.Conn, f refwire.Frame) bool { refuse(c, 0, spec.Malformed); return false }), gone},
		{"greet-and-close", greeting(func(net.Conn, refwire.Frame) bool { return false }), alive(gone)},
		{"greet-and-silent", greeting(func(net.Conn, refwire.Frame) bool { return true }), alive(nothing)},
	}
}

// answer sends a final answer.
func answer(c net.Conn, corr uint64, code spec.Code, payload any) bool {
	b, err := json.Marshal(payload)
	if err != nil {
		panic(err)
	}
	_, err = c.Write(sealed(refwire.Frame{Flags: final, Code: code, Proto: spec.ProtoObjects, Corr: corr, Payload: b}))
	return err == nil
}

// refuse sends an ERROR.
func refuse(c net.Conn, corr uint64, r spec.Reason) bool {
	return answer(c, corr, r.Code(), map[string]any{"reason": r, "message": "no", "retryable": r.Facts().Retryable, "corr_id": corr})
}

// greeting answers a HELLO as the law wants it and leaves every other frame to then, until that says false.
func greeting(then func(net.Conn, refwire.Frame) bool) func(net.Conn) {
	return func(c net.Conn) {
		var buf []byte
		chunk := make([]byte, 64<<10)
		greeted := false
		for {
			n, err := c.Read(chunk)
			if err != nil {
				return
			}
			for buf = append(buf, chunk[:n]...); ; {
				r := refwire.Decode(buf, spec.MaxFrame)
				if r.Verdict == refwire.More {
					break
				}
				if r.Verdict == refwire.Reject {
					then(c, refwire.Frame{})
					return
				}
				buf = buf[r.N:]
				if f := r.Frame; !greeted {
					greeted = true
					reply := `{"max_frame":1048576,"max_inflight":64,"flags_supported":["REQ","RESP","EVENT","START","END"],"versions":[1],"transports":["tcp"],"features":["objects","capabilities","passport","audit","tls","unix-socket"],"amnesia":true}`
					c.Write(sealed(refwire.Frame{Flags: spec.FlagResp, Code: spec.CodeOK, Corr: f.Corr, Payload: []byte(reply)}))
				} else if !then(c, f) {
					return
				}
			}
		}
	}
}

func problemText(r spec.Reason) string {
	return fmt.Sprintf(`{"type":"about:blank","title":%q,"status":%d,"detail":"no, and it will not be","reason":%q,"corr_id":"x","retryable":false}`,
		http.StatusText(r.Facts().Status), r.Facts().Status, r)
}

// always answers every request alike, with all the headers that the law wants on every answer.
func always(status int, contentType, body string) func(net.Conn) {
	return func(c net.Conn) {
		br := bufio.NewReader(c)
		for {
			r, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			io.Copy(io.Discard, r.Body)
			text := body
			if r.Method == "HEAD" {
				text = ""
			}
			fmt.Fprintf(c, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\nContent-Length: %d\r\nX-Corr-ID: x\r\nCache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\n\r\n%s",
				status, http.StatusText(status), contentType, len(body), text)
		}
	}
}

// alive answers /healthz, so that a probe finds it alive, and leaves everything else to then.
func alive(then func(net.Conn)) func(net.Conn) {
	return func(c net.Conn) {
		r, err := http.ReadRequest(bufio.NewReader(c))
		if err == nil && r.URL.Path == "/healthz" {
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 14\r\nConnection: close\r\n\r\n{\"alive\":true}")
			return
		}
		then(c)
	}
}

// listen serves the peer on two free ports until done is closed.
func (p nullPeer) listen(done <-chan struct{}) (httpURL, oapURL string, err error) {
	var urls [2]string
	for i, handle := range []func(net.Conn){p.http, p.oap} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return "", "", err
		}
		urls[i] = l.Addr().String()
		var mu sync.Mutex
		open := map[net.Conn]bool{}
		go func() {
			<-done
			l.Close()
			mu.Lock()
			defer mu.Unlock()
			for c := range open {
				c.Close()
			}
		}()
		go func() {
			for {
				c, err := l.Accept()
				if errors.Is(err, net.ErrClosed) {
					return
				}
				if err != nil {
					continue
				}
				mu.Lock()
				open[c] = true
				mu.Unlock()
				go func() {
					handle(c)
					c.Close()
					mu.Lock()
					delete(open, c)
					mu.Unlock()
				}()
			}
		}()
	}
	return "http://" + urls[0], "oap://" + urls[1], nil
}

// program is an executable that looks like `micronode run --json`: it announces the peer at these addresses and ends
// with 0 on a signal. So cases with processes of their own meet null peers too.
func program(t *testing.T, cfg Config) string {
	path := filepath.Join(t.TempDir(), "micronode")
	line, err := json.Marshal(map[string]string{
		"event": "listening", "http": cfg.HTTP, "oap": cfg.OAP, "https": cfg.HTTPS, "oap_tls": cfg.OAPTLS, "unix": cfg.Unix,
		"fingerprint": cfg.Fingerprint, "name": "null", "identity": strings.Repeat("0", 32), "token": cfg.Cap,
	})
	if err != nil {
		t.Errorf("%s: %v", path, err)
	}
	script := "#!/bin/sh\n" +
		"trap 'exit 0' TERM INT\n" +
		fmt.Sprintf("printf '%%s\\n' '%s'\n", line) +
		"while :; do sleep 1 >/dev/null 2>&1 & wait $!; done\n"
	if err := os.WriteFile(path, []byte(script), 0o755); err != nil {
		t.Errorf("%s: %v", path, err)
	}
	return path
}

// runNull runs cases against p and returns the ids of those that passed. It may run in a goroutine, so it does not
// stop the test.
func runNull(t *testing.T, p nullPeer, corpus *Corpus, cases []Case, reactionOnly bool) (passed []string, all []Result) {
	httpURL, oapURL, err := p.listen(t.Context().Done())
	if err != nil {
		t.Errorf("%s: %v", p.name, err)
		return nil, nil
	}
	cfg := Config{
		HTTP: httpURL, OAP: oapURL, Cap: warrantText(),
		// What answers there does not speak TLS, and nothing is at the path.
		Doors: Doors{
			HTTPS: strings.Replace(httpURL, "http", "https", 1), OAPTLS: strings.Replace(oapURL, "oap", "oap+tls", 1),
			Unix: "unix:" + filepath.Join(t.TempDir(), "s.sock"), Fingerprint: "sha256:" + strings.Repeat("0", 64),
		},
		Seed: 1, Parallel: 48, Patience: 300 * time.Millisecond, Corpus: corpus, ReactionOnly: reactionOnly,
	}
	cfg.Binary = program(t, cfg)
	suite, err := New(cfg)
	if err != nil {
		t.Errorf("%s: %v", p.name, err)
		return nil, nil
	}
	all = suite.Run(t.Context(), cases, nil)
	for _, r := range all {
		if !r.Verdict.Red() && r.Verdict != Warn {
			passed = append(passed, r.ID)
		}
	}
	return passed, all
}

// warrantText is a token that looks like that of a node.
func warrantText() string {
	return refcap.New([]byte("nobody's key"), refcap.Identifier(1, [8]byte{1}, [16]byte{2}), "null").With("exp <= 1999999999", "aud = null").Text()
}

func loadCorpus(t *testing.T) *Corpus {
	t.Helper()
	c, err := LoadCorpus()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestNullPeers is the proof that every case can fail: no peer that does nothing right passes any of them.
func TestNullPeers(t *testing.T) {
	t.Parallel()
	cases, corpus := Cases(), loadCorpus(t)
	eachNull(func(p nullPeer) {
		passed, all := runNull(t, p, corpus, cases, false)
		if len(passed) > 0 {
			t.Errorf("%s passes %d cases: %s", p.name, len(passed), strings.Join(passed, " "))
		}
		if len(all) != len(cases) {
			t.Errorf("%s: %d of %d cases ran", p.name, len(all), len(cases))
		}
		for _, r := range all {
			if r.Verdict == HarnessError || r.Verdict == Unsupported {
				t.Errorf("%s: %s: %s: %s", p.name, r.ID, r.Verdict, r.Detail)
			}
		}
		t.Logf("%s: %s", p.name, Summarize(all))
	})
}

// eachNull runs do for every peer, all at once: they mostly wait.
func eachNull(do func(nullPeer)) {
	var wg sync.WaitGroup
	for _, p := range nullPeers() {
		wg.Go(func() { do(p) })
	}
	wg.Wait()
}

// TestReactionsAlone looks at the same peers with positive controls and liveness probes switched off: what passes then
// leans on these two. The list is written down, so that a case which no longer looks at the reaction shows up.
func TestReactionsAlone(t *testing.T) {
	t.Parallel()
	quick := slices.DeleteFunc(Cases(), func(c Case) bool { return c.Slow || c.Own })
	corpus := loadCorpus(t)
	// These peers do greet, and say that they are alive, as the law wants it.
	greets := []string{"frm-header-layout", "frm-hello-cut", "hel-answer"}
	mute := []string{"tls-plain"} // plain bytes may well be answered with nothing
	leaning := map[string][]string{
		"accept-and-close": mute,
		"echo":             mute,
		"silent":           mute,
		"always-200":       slices.Concat(greets, []string{"vec-sessions-oap-hel-007"}),
		"always-404":       slices.Concat(greets, []string{"http-no-smuggling", "vec-sessions-oap-hel-007"}),
		"always-malformed": slices.Concat(greets, []string{"vec-frames-oap-frm-002", "vec-sessions-oap-hel-007"}),
		"reject-and-close": slices.Concat(greets, []string{"vec-frames-oap-frm-002", "vec-sessions-oap-hel-007"}),
		"greet-and-close":  slices.Concat(greets, []string{"ops-healthz", "vec-sessions-oap-hel-007"}),
		"greet-and-silent": slices.Concat(greets, []string{"ops-healthz", "vec-sessions-oap-hel-007"}),
	}
	eachNull(func(p nullPeer) {
		passed, _ := runNull(t, p, corpus, quick, true)
		for _, id := range passed {
			if !slices.Contains(leaning[p.name], id) {
				t.Errorf("%s: %s passes by its reaction alone", p.name, id)
			}
		}
	})
}
