package server

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// pieceLen is how many bytes of a secret in a row are a leak.
const pieceLen = 24

// detector finds pieces of secrets in text, however they were printed.
type detector map[[pieceLen]byte]string

// plant adds a secret: every piece of it, as it is and in the forms in which programs print bytes.
func (d detector) plant(name string, secret []byte) {
	d.windows(name, secret)
	d.windows(name+" in hex", []byte(hex.EncodeToString(secret)))
	d.windows(name+" in HEX", []byte(strings.ToUpper(hex.EncodeToString(secret))))
	d.windows(name+" as %v", []byte(strings.Trim(fmt.Sprint(secret), "[]")))
	d.windows(name+" as %q", fmt.Appendf(nil, "%+q", secret))
	for shift := range min(3, len(secret)) {
		d.windows(name+" in base64", []byte(base64.RawStdEncoding.EncodeToString(secret[shift:])))
		d.windows(name+" in base64url", []byte(base64.RawURLEncoding.EncodeToString(secret[shift:])))
	}
}

func (d detector) windows(name string, b []byte) {
	for i := 0; i+pieceLen <= len(b); i++ {
		d[[pieceLen]byte(b[i:])] = name
	}
}

// allow takes out what is no secret, such as the public ids in a token.
func (d detector) allow(public string) {
	for i := 0; i+pieceLen <= len(public); i++ {
		delete(d, [pieceLen]byte([]byte(public[i:])))
	}
}

// find returns the secrets that text has pieces of.
func (d detector) find(text []byte) (found []string) {
	for i := 0; i+pieceLen <= len(text); i++ {
		if name, ok := d[[pieceLen]byte(text[i:])]; ok {
			found = append(found, fmt.Sprintf("%s at %d: …%s…", name, i, text[max(0, i-80):min(len(text), i+80)]))
			i += pieceLen
		}
	}
	return found
}

// token adds a token, in both its forms. The ids in it are public (CAP-KEY-005).
func (d detector) token(tok capability.Token) {
	d.plant("token", tok.Binary())
	d.windows("token as text", []byte(tok.Text()))
	d.allow(tok.ID().String())
	d.allow(tok.Key().String())
}

// canary is a mixed load that leaves secrets wherever a client can leave them.
type canary struct {
	*place
	detector
	payload  []byte
	problems collector // every refusal that a client saw
}

func newCanary(p *place) *canary {
	var seed [3000]byte
	rand.Read(seed[:])
	c := &canary{place: p, detector: detector{}}
	c.payload = append([]byte("CANARY "+base64.StdEncoding.EncodeToString(seed[:1500])), seed[1500:]...) // readable, and not
	c.plant("payload", c.payload)
	return c
}

// say sends one HTTP request and keeps the answer, if it is a refusal.
func (c *canary) say(t *testing.T, door, method, path, token string, body []byte, header ...string) []byte {
	t.Helper()
	resp, b := c.ask(t, door, method, path, token, body, header...)
	if resp.StatusCode >= 400 {
		fmt.Fprintf(&c.problems, "%v %s\n", resp.Header, b)
	}
	return b
}

func (c *canary) load(t *testing.T) {
	own, err := capability.ParseText(c.Token)
	if err != nil {
		t.Fatal(err)
	}
	c.token(own)
	addr := address(c.payload)
	for _, door := range httpDoors {
		issued, err := capability.ParseText(parse(t, c.say(t, door, "POST", "/v1/passport/issue", c.Token, []byte(`{"role":"reader"}`)))["token"].(string))
		if err != nil {
			t.Fatal(err)
		}
		c.token(issued)
		forged := issued.Binary()
		forged[len(forged)-2] ^= 1
		wrong := base64.RawURLEncoding.EncodeToString(forged)
		c.plant("forged token", forged)
		c.windows("forged token as text", []byte(wrong))
		c.allow(issued.ID().String())
		c.allow(issued.Key().String())
		for _, token := range []string{c.Token, issued.Text(), wrong, "", string(c.payload[:1000])} {
			if strings.ContainsAny(token, "\r\n\x00") {
				continue
			}
			for _, r := range []struct{ method, path string }{
				{"POST", "/put"}, {"GET", "/o/" + addr.String()}, {"HEAD", "/o/" + addr.String()}, {"PUT", "/o/" + address(nil).String()},
				{"GET", "/o/" + wrong}, {"GET", "/" + c.Token}, {"GET", "/healthz?token=" + c.Token}, {"PATCH", "/put?" + c.Token},
				{"POST", "/v1/passport/verify"}, {"POST", "/v1/passport/issue"}, {"POST", "/v1/passport/revoke?id=" + issued.Text()},
				{"GET", "/admin/audit/inclusion/" + issued.Text() + "/1"}, {"GET", "/admin/audit/checkpoint"}, {"GET", "/version"}, {"DELETE", "/o/" + addr.String()},
			} {
				body := c.payload
				if r.method == "GET" || r.method == "HEAD" {
					body = nil // closing with unread input could destroy the answer
				}
				c.say(t, door, r.method, r.path, token, body, "X-Corr-ID", c.Token, "X-Other", issued.Text())
			}
		}
		for _, coding := range []string{"gzip", "zstd", "br"} {
			c.say(t, door, "POST", "/put", c.Token, c.payload, "Content-Encoding", coding)
		}
		c.say(t, door, "POST", "/put", c.Token, c.payload, "Content-Encoding", c.Token)
		c.say(t, door, "POST", "/put", c.Token, gzipped(t, c.payload), "Content-Encoding", "gzip")
		for _, doc := range []string{
			`{"token":"` + issued.Text() + `","op":"get","path":"/o/x"}`, `{"token":"` + wrong + `","op":"get","path":"/o/x"}`,
			`{"token":"` + c.Token + `"`, `{"` + c.Token + `":1}`, `{"token":1,"op":"` + c.Token + `"}`,
		} {
			c.say(t, door, "POST", "/v1/passport/verify", c.Token, []byte(doc))
		}
		c.say(t, door, "POST", "/v1/passport/issue", c.Token, []byte(`{"role":"reader","caveats":["`+c.Token+`"]}`))
		c.say(t, door, "POST", "/v1/passport/revoke", c.Token, []byte(`{"id":"`+issued.ID().String()+`"}`))
		c.say(t, door, "POST", "/v1/passport/rotate", c.Token, []byte(`{}`))
		for _, sent := range [][]byte{ // what never reaches a handler
			append([]byte("GET / HTTP/1.1\r\nAuthorization: Macaroon "+c.Token+"\r\n"+issued.Text()+"\r\n\r\n"), c.payload...),
			[]byte(c.Token + " / HTTP/1.1\r\nHost: " + c.Token + "\r\n\r\n"), []byte("GET / " + c.Token + "\r\n\r\n"), c.payload,
			[]byte(head("POST", "/put", c.Token, "Content-Length", c.Token)), []byte(head("POST", "/put", c.Token, "Transfer-Encoding", "chunked") + c.Token + "\r\n"),
		} {
			for _, conn := range []io.ReadWriteCloser{c.dial(t, door), c.raw(t, door)} { // without TLS as well where there is TLS
				conn.Write(sent)
				conn.(interface{ SetReadDeadline(time.Time) error }).SetReadDeadline(time.Now().Add(200 * time.Millisecond))
				io.Copy(&c.problems, conn)
				conn.Close()
			}
		}
	}
	for _, door := range oapDoors {
		o := c.peer(t, door, own.Binary())
		o.putObject(1, c.payload)
		corr := uint64(1)
		try := func(h wire.Header, capability []byte, req string) {
			corr++
			h.Corr = corr
			o.startAs(h, capability, req)
			for {
				f, ok := o.next()
				if !ok {
					o = c.peer(t, door, own.Binary())
					corr = 1
					return
				}
				if f.Code == spec.CodeData {
					continue
				}
				if f.Code != spec.CodeOK {
					fmt.Fprintf(&c.problems, "%s\n", f.Payload)
				}
				return
			}
		}
		for _, capability := range [][]byte{own.Binary(), nil, []byte(c.Token), c.payload[:500]} {
			for _, req := range []string{
				`{"op":"get","obj":"` + addr.String() + `"}`, `{"op":"has","obj":"` + c.Token + `"}`, `{"op":"` + c.Token + `"}`, `{"` + c.Token + `":1}`,
				string(c.payload), `{"op":"delete","obj":"` + address(nil).String() + `"}`,
			} {
				try(wire.Header{Flags: spec.FlagEnd}, capability, req)
				try(wire.Header{Flags: spec.FlagEnd, Proto: spec.ProtoPassport}, capability, req)
			}
			try(wire.Header{Flags: spec.FlagEnd, Proto: spec.ProtoPassport}, capability, `{"request":"verify","token":"`+c.Token+`","op":"get","path":"/`+c.Token+`"}`)
			try(wire.Header{Flags: spec.FlagEnd, Tenant: [16]byte(c.payload)}, capability, `{"op":"put","total_len":0}`)
		}
		for _, sent := range [][]byte{frame(helloHeader, string(c.payload)), frame(helloHeader, `{"`+c.Token+`":1}`), c.payload, []byte(c.Token)} {
			conn := c.dial(t, door)
			conn.Write(sent)
			conn.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			io.Copy(&c.problems, conn)
			conn.Close()
		}
	}
}

// wantClean requires that nothing of what the node wrote has a piece of a secret in it.
func (c *canary) wantClean(t *testing.T, written map[string][]byte) {
	t.Helper()
	total := 0
	for where, text := range written {
		total += len(text)
		for _, found := range c.find(text) {
			t.Errorf("%s: %s", where, found)
		}
	}
	t.Logf("%d pieces, not one of them in %d bytes", len(c.detector), total)
}

// AMN-LOG-001, AMN-LOG-002, CAP-KEY-005, CAP-AUD-004: whatever clients send, nothing of a payload or a token gets into anything
// that a node ever writes: its streams at debug level, its metrics, its refusals, its audit log.
func TestCanaries(t *testing.T) {
	s := spawn(t, everyDoor)
	c := newCanary(s.place)
	c.load(t)
	_, metrics := c.ask(t, "http", "GET", "/metrics", "", nil)
	_, export := c.ask(t, "http", "GET", "/admin/audit/export", c.Token, nil)
	_, version := c.ask(t, "https", "GET", "/version", "", nil)
	s.stop()
	if lines := logLines(t, s.stderr.bytes()); len(lines) < 100 {
		t.Errorf("only %d lines were logged", len(lines))
	}
	if n := bytes.Count(export, []byte(`"event":"denied"`)); n < 50 {
		t.Errorf("only %d denials were recorded", n)
	}
	if len(c.problems.bytes()) < 5000 || !bytes.Contains(metrics, []byte("rejected_total")) {
		t.Error("there was nothing to look at")
	}
	c.wantClean(t, map[string][]byte{
		"stdout": s.stdout.bytes(), "stderr": s.stderr.bytes(), "metrics": metrics, "audit": export, "problems": c.problems.bytes(), "version": version,
	})
	full := strings.TrimPrefix(address(c.payload).String(), "b3:")
	if bytes.Contains(s.stderr.bytes(), []byte(full[:9])) { // AMN-LOG-004
		t.Error("the log has more of an address than eight digits")
	}
}

// The same in this process, where the keys can be known: what the node takes from the random source when it starts is
// planted too.
func TestCanaryKeys(t *testing.T) {
	var log collector
	source := &tee{from: rand.Reader}
	rand.Reader = source // nothing else runs beside this test
	n := startEverywhere(t, func(c *Config) { c.Log = logTo(&log) })
	rand.Reader = source.from
	if len(source.long) < 3 {
		t.Fatalf("the node took %d keys from the random source, want a root key and two of its identity", len(source.long))
	}
	c := newCanary(placeOf(n))
	for _, key := range source.long {
		c.plant("key", key)
	}
	c.load(t)
	_, metrics := c.ask(t, "http", "GET", "/metrics", "", nil)
	_, export := c.ask(t, "http", "GET", "/admin/audit/export", c.Token, nil)
	_, version := c.ask(t, "https", "GET", "/version", "", nil)
	dump := fmt.Sprintf("%+v %#v %v", n.identity, n.authority.Status(), n.bootstrap)
	c.wantClean(t, map[string][]byte{
		"log": log.bytes(), "metrics": metrics, "audit": export, "problems": c.problems.bytes(), "version": version, "dump": []byte(dump),
	})
}

// tee remembers what was read from a random source in pieces as long as keys.
type tee struct {
	from io.Reader
	mu   sync.Mutex
	long [][]byte
}

func (s *tee) Read(b []byte) (int, error) {
	n, err := s.from.Read(b)
	if n >= 32 {
		s.mu.Lock()
		s.long = append(s.long, bytes.Clone(b[:n]))
		s.mu.Unlock()
	}
	return n, err
}

// The detector detects: one piece of each secret, in each of the forms in which a careless line would print it.
func TestCanariesAreFound(t *testing.T) {
	n := start(t, nil)
	c := newCanary(placeOf(n))
	tok := attenuated(t, n)
	c.token(tok)
	key := []byte("0123456789abcdefghijklmnopqrstuv")
	c.plant("key", key)
	quoted, _ := json.Marshal(key)
	for name, print := range map[string]func(*slog.Logger){
		"token":         func(l *slog.Logger) { l.Info("m", "token", tok.Text()) },
		"end of token":  func(l *slog.Logger) { l.Info("m " + tok.Text()[len(tok.Text())-pieceLen:]) },
		"binary token":  func(l *slog.Logger) { l.Info("m", "token", tok.Binary()) },
		"hex of it":     func(l *slog.Logger) { l.Info(fmt.Sprintf("%x", tok.Binary())) },
		"text payload":  func(l *slog.Logger) { l.Info("m", "body", string(c.payload[100:130])) },
		"payload":       func(l *slog.Logger) { l.Info("m", "body", c.payload) },
		"payload by %v": func(l *slog.Logger) { l.Info(fmt.Sprint(c.payload[2000:2100])) },
		"key":           func(l *slog.Logger) { l.Info("m", "key", string(key)) },
		"key in JSON":   func(l *slog.Logger) { l.Info("m", "key", string(quoted)) },
		"key by %X":     func(l *slog.Logger) { l.Info(fmt.Sprintf("%X", key)) },
		"key inside":    func(l *slog.Logger) { l.Info("m", "state", fmt.Sprintf("%+v", struct{ K []byte }{key})) },
	} {
		var out collector
		print(logTo(&out))
		if len(c.find(out.bytes())) == 0 {
			t.Errorf("%s was not found in %s", name, out.bytes())
		}
	}
	var out collector
	logTo(&out).Info("m", "token", n.bootstrap, "id", tok.ID().String(), "key_id", tok.Key().String(), "pid", os.Getpid())
	if found := c.find(out.bytes()); len(found) > 0 {
		t.Errorf("found where there is nothing: %v", found)
	}
}
