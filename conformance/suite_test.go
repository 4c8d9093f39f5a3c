package conformance

import (
	"context"
	"encoding/hex"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/model/refcap"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// greeter is a peer that can greet and answer has, so that a case can be healthy against it.
func greeter(t *testing.T) Config {
	t.Helper()
	p := nullPeer{
		oap: greeting(func(c net.Conn, f refwire.Frame) bool {
			r, reason := refwire.DecodeRequest(f.Data)
			if reason != spec.None {
				return refuse(c, f.Corr, reason)
			}
			return answer(c, f.Corr, spec.CodeOK, map[string]any{"obj": r.Obj.String(), "exists": false})
		}),
		http: always(200, "application/json", `{"alive":true}`),
	}
	httpURL, oapURL, err := p.listen(t.Context().Done())
	if err != nil {
		t.Fatal(err)
	}
	return Config{HTTP: httpURL, OAP: oapURL, Seed: 7, Patience: 500 * time.Millisecond}
}

// TestVerdicts holds the runner to what each verdict means.
func TestVerdicts(t *testing.T) {
	t.Parallel()
	fine := func(t *T) { t.Hello().Fence() }
	tests := []struct {
		name   string
		c      Case
		want   Verdict
		detail string
	}{
		{"healthy", Case{Run: func(t *T) { t.Control(func() { fine(t) }); fine(t) }}, Pass, ""},
		{"note", Case{Run: func(t *T) { t.Control(func() { fine(t) }); fine(t); t.Notef("seen") }}, Pass, "seen"},
		{"no control", Case{Run: fine}, HarnessError, "0 positive controls"},
		{"no check", Case{Run: func(t *T) { t.Control(func() { fine(t) }) }}, HarnessError, "0 checks"},
		{"control fails", Case{Run: func(t *T) { t.Control(func() { t.Failf("not here") }) }}, Untestable, "positive control: not here"},
		{"reaction fails", Case{Run: func(t *T) { t.Control(func() { fine(t) }); t.Check(false, "wrong") }}, Fail, "wrong"},
		{"should", Case{Level: spec.Should, Run: func(t *T) { t.Control(func() { fine(t) }); t.Check(false, "wrong") }}, Warn, "wrong"},
		{"should holds", Case{Level: spec.Should, Run: func(t *T) { t.Control(func() { fine(t) }); fine(t) }}, Pass, ""},
		{"may", Case{Level: spec.May, Run: func(t *T) { t.Control(func() { fine(t) }); t.Check(false, "otherwise") }}, Info, "otherwise"},
		{"may holds", Case{Level: spec.May, Run: func(t *T) { t.Control(func() { fine(t) }); fine(t) }}, Info, ""},
		{"panics", Case{Run: func(t *T) { t.Control(func() { fine(t) }); panic("oops") }}, HarnessError, "oops"},
		{"feature", Case{Feature: "tor", Run: fine}, Unsupported, "tor"},
		{"own process", Case{Own: true, Run: fine}, Unsupported, "no program"},
		{"illegal frame from the suite", Case{Run: func(t *T) {
			t.Control(func() { fine(t) })
			t.Hello().Send(refwire.Frame{Flags: spec.FlagReq | spec.FlagResp})
		}}, HarnessError, "illegal frame"},
		{"bytes that are not illegal", Case{Run: func(t *T) {
			t.Control(func() { fine(t) })
			t.Hello().Illegal(header(spec.HeaderLen, nil), spec.Malformed)
		}}, HarnessError, "not what they should be"},
		{"in a goroutine", Case{Run: func(t *T) {
			t.Control(func() { fine(t) })
			t.Each(3, func(i int) { t.Check(i != 1, "number %d", i) })
		}}, Fail, "number 1"},
		{"wrong reason", Case{Run: func(t *T) {
			t.Control(func() { fine(t) })
			c := t.Hello()
			c.Send(startFrame(1, spec.FlagEnd, nil))
			c.Refused(1, spec.NotFound)
		}}, Fail, "malformed instead of [not_found]"},
		{"silence", Case{Run: func(t *T) { t.Control(func() { fine(t) }); t.Hello().Frame() }}, Fail, "did not answer"},
		{"open connection", Case{Run: func(t *T) { t.Control(func() { fine(t) }); t.Hello().Closed() }}, Fail, "still open"},
		{"wrong bytes", Case{Run: func(t *T) { t.Control(func() { fine(t) }); t.Serves(t.Bytes(40)) }}, Fail, "GET gives"},
	}
	suite, err := New(greeter(t))
	if err != nil {
		t.Fatal(err)
	}
	cases := make([]Case, len(tests))
	for i, tt := range tests {
		cases[i] = tt.c
		cases[i].ID, cases[i].Rules = strings.ReplaceAll(tt.name, " ", "-"), []string{"OAP-FRM-001"}
		if cases[i].Level == "" {
			cases[i].Level = spec.Must
		}
	}
	law, err := spec.Load()
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range suite.Run(t.Context(), cases, nil) {
		if r.ID != cases[i].ID || r.Verdict != tests[i].want || !strings.Contains(r.Detail, tests[i].detail) {
			t.Errorf("%s: %s %s %q, want %s with %q", tests[i].name, r.ID, r.Verdict, r.Detail, tests[i].want, tests[i].detail)
		}
		if r.Verdict == Fail {
			for _, part := range []string{"OAP-FRM-001 MUST: ", "why: ", "seed 7", "REQ corr=1", "0001000100000000"} {
				if text := r.Explain(law); !strings.Contains(text, part) {
					t.Errorf("%s: the explanation lacks %q:\n%s", tests[i].name, part, text)
				}
			}
		}
	}
}

// A node that dies of a stimulus has not reacted to it, whatever the case saw.
func TestProbeHasTheLastWord(t *testing.T) {
	t.Parallel()
	ctx, kill := context.WithCancel(t.Context())
	p := nullPeer{oap: greeting(func(c net.Conn, f refwire.Frame) bool {
		return answer(c, f.Corr, spec.CodeOK, map[string]any{"obj": has(spec.Address{}).Obj.String(), "exists": false})
	}), http: func(net.Conn) {}}
	httpURL, oapURL, err := p.listen(ctx.Done())
	if err != nil {
		t.Fatal(err)
	}
	suite, err := New(Config{HTTP: httpURL, OAP: oapURL, Seed: 1, Patience: 500 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	results := suite.Run(t.Context(), []Case{{ID: "dies", Rules: []string{"OAP-FRM-001"}, Level: spec.Must, Run: func(t *T) {
		t.Control(func() { t.Hello() })
		c := t.Hello()
		kill()
		c.Closed()
	}}}, nil)
	if r := results[0]; r.Verdict != Fail || !strings.HasPrefix(r.Detail, "liveness probe: ") {
		t.Errorf("%s %q, want a failed liveness probe", r.Verdict, r.Detail)
	}
}

func TestConfig(t *testing.T) {
	good := Config{HTTP: "http://127.0.0.1:1", OAP: "oap://127.0.0.1:2"}
	if _, err := New(good); err != nil {
		t.Error(err)
	}
	full := good
	full.Cap, full.Doors = warrantText(), Doors{HTTPS: "https://h:1", OAPTLS: "oap+tls://h:2", Unix: "unix:/s", Fingerprint: "sha256:" + strings.Repeat("0a", 32)}
	if _, err := New(full); err != nil {
		t.Error(err)
	}
	for name, alter := range map[string]func(*Config){
		"no HTTP":           func(c *Config) { c.HTTP = "" },
		"HTTP without port": func(c *Config) { c.HTTP = "http://localhost" },
		"HTTP over TLS":     func(c *Config) { c.HTTP = "https://127.0.0.1:1" },
		"no OAP":            func(c *Config) { c.OAP = "" },
		"OAP with a path":   func(c *Config) { c.OAP = "oap://127.0.0.1:2/x" },
		"OAP over TLS":      func(c *Config) { c.OAP = "oap+tls://127.0.0.1:2" },
		"capability":        func(c *Config) { c.Cap = "no=token" },
		"HTTPS":             func(c *Config) { c.HTTPS = "http://127.0.0.1:1" },
		"OAP behind TLS":    func(c *Config) { c.OAPTLS = "oap://127.0.0.1:1" },
		"Unix socket":       func(c *Config) { c.Doors.Unix = "here/s.sock" },
		"fingerprint":       func(c *Config) { c.Fingerprint = "sha256:00" },
		"negative rate":     func(c *Config) { c.MaxRPS = -1 },
		"negative cases":    func(c *Config) { c.Parallel = -1 },
		"negative patience": func(c *Config) { c.Patience = -1 },
	} {
		bad := good
		alter(&bad)
		if _, err := New(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// Reports are handed around, and what was sent is in them (AMN-LOG-002).
func TestNoTokenIsShown(t *testing.T) {
	t.Parallel()
	cfg := greeter(t)
	cfg.Cap = warrantText()
	suite, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	capability, _ := refcap.Binary(cfg.Cap)
	results := suite.Run(t.Context(), []Case{{ID: "tells", Rules: []string{"OAP-FRM-001"}, Level: spec.Must, Run: func(t *T) {
		t.Control(func() { t.Hello().Fence() })
		t.Get("/healthz")
		raw := t.Raw()
		raw.Head("GET", "/healthz")
		raw.Response("GET")
		c := t.Hello()
		c.Fence()
		c.Write(sealed(refwire.Frame{Flags: start | spec.FlagEnd, Cap: capability, Proto: spec.ProtoObjects, Corr: 9, Payload: []byte("{}")}))
		t.Check(false, "the token is %s, the header %s", cfg.Cap, authorization(capability))
	}}}, nil)
	r := results[0]
	all := r.Detail + r.Transcript
	for _, secret := range []string{cfg.Cap, cfg.Cap[20:60], hex.EncodeToString(capability)[:60], hex.EncodeToString(capability[20:40])} {
		if strings.Contains(all, secret) {
			t.Errorf("the report has %q in it:\n%s", secret, all)
		}
	}
	if r.Verdict != Fail || strings.Count(r.Detail, "[redacted]") != 2 || !strings.Contains(r.Transcript, "[redacted]") {
		t.Errorf("%s: %s\n%s", r.Verdict, r.Detail, r.Transcript)
	}
}

// The report is readable at every moment, and complete only at its end.
func TestReport(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "out")
	r, err := NewReport(dir, Config{HTTP: "http://h:1", OAP: "oap://h:2", Seed: 5}, 2)
	if err != nil {
		t.Fatal(err)
	}
	read := func() (doc document) {
		b, err := os.ReadFile(filepath.Join(dir, "result.json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(b, &doc, json.RejectUnknownMembers(true)); err != nil {
			t.Fatal(err)
		}
		return doc
	}
	if d := read(); d.Complete || len(d.Results) != 0 || d.Selected != 2 || d.Seed != 5 {
		t.Errorf("at first: %+v", d)
	}
	r.Add(Result{ID: "a", Verdict: Pass})
	if d := read(); d.Complete || len(d.Results) != 1 || d.Summary[Pass] != 1 {
		t.Errorf("in between: %+v", d)
	}
	r.Add(Result{ID: "b", Verdict: Fail, Detail: "x"})
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if d := read(); !d.Complete || d.Summary.Red() != 1 || d.Results[1].Detail != "x" {
		t.Errorf("at the end: %+v", d)
	}
	if got, want := read().Summary.String(), "2 cases: 1 pass, 1 fail"; got != want {
		t.Errorf("summary %q, want %q", got, want)
	}
	if _, err := NewReport(filepath.Join(dir, "result.json"), Config{}, 0); err == nil {
		t.Error("a file was taken for a directory")
	}
}
