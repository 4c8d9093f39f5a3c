package server

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/spec"
)

// RDY-DRN, OAP-SES-016: draining is announced, refuses what is new, and lets what is open finish; what was
// acknowledged meanwhile is stored, and what was cut is not (RDY-DRN-008).
func TestDrain(t *testing.T) {
	n := start(t, nil)
	b := randomBytes(100_000)
	p := hello(t, oapOf(n))
	p.start(1, 0, fmt.Sprintf(`{"op":"put","total_len":%d}`, len(b)))
	p.write(dataFrame(1, 0, len(b), b[:spec.MaxChunk]))
	p.start(2, spec.FlagEnd, fmt.Sprintf(`{"op":"has","obj":"%s"}`, address(b)))
	p.recv() // so that the node has seen the put
	idle := hello(t, oapOf(n))
	open := hello(t, oapOf(n)) // keeps the drain going until it is cut
	open.start(1, 0, `{"op":"put","total_len":5}`)
	open.write(dataFrame(1, 0, 5, []byte("cut")))
	open.start(2, spec.FlagEnd, fmt.Sprintf(`{"op":"has","obj":"%s"}`, address(b)))
	open.recv()

	done := make(chan error, 1)
	go func() { done <- n.Shutdown(context.Background()) }()
	for _, c := range []*peer{p, idle, open} {
		if f := c.recv(); f.Corr != 0 || f.Code != spec.CodeGoingAway || string(f.Payload) != `{"reason":"draining"}` {
			t.Fatalf("got code %d on %d: %s; want Going-away", f.Code, f.Corr, f.Payload)
		}
	}
	idle.wantClosed()
	resp, body := call(t, n, "GET", "/readyz", nil)
	if resp.StatusCode != http.StatusServiceUnavailable || !strings.Contains(string(body), `"state":"draining"`) || resp.Header.Get("Retry-After") == "" {
		t.Errorf("readyz while draining: %d %s", resp.StatusCode, body)
	}
	resp, body = call(t, n, "GET", "/o/"+address(b).String(), nil)
	wantProblem(t, resp, body, spec.Draining)

	p.start(3, spec.FlagEnd, fmt.Sprintf(`{"op":"has","obj":"%s"}`, address(b)))
	p.wantError(3, spec.Draining)
	p.write(dataFrame(1, spec.MaxChunk, len(b), b[spec.MaxChunk:]))
	p.write(endFrame(1))
	if f := p.recv(); f.Code != spec.CodeOK || f.Corr != 1 {
		t.Errorf("the put that was open got %d on %d: %s", f.Code, f.Corr, f.Payload)
	}
	p.wantClosed()
	if size, err := n.store.Stat(address(b)); err != nil || size != int64(len(b)) {
		t.Errorf("the acknowledged put is not stored: %d, %v", size, err)
	}
	open.c.Close()
	if st := n.store.Stats(); st.Objects != 1 {
		t.Errorf("%d objects are stored, want the one that was acknowledged", st.Objects)
	}
	if err := <-done; err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if c, err := net.Dial("tcp", n.OAPAddr()); err == nil {
		c.Close()
		t.Error("the OAP listener is still open after shutdown")
	}
}

// RDY-DRN-003: what is open after 5 s is cut.
func TestDrainCuts(t *testing.T) {
	n := start(t, nil)
	p := hello(t, oapOf(n))
	p.start(1, 0, `{"op":"put","total_len":5}`)
	p.start(2, spec.FlagEnd, fmt.Sprintf(`{"op":"has","obj":"%s"}`, address(nil)))
	p.recv()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Shutdown(ctx) }()
	p.recv() // Going-away
	cancel() // as if the time were over
	p.wantError(1, spec.Draining)
	p.wantClosed()
	<-done
}

func TestConfigRefused(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"not loopback":  func(c *Config) { c.OAP = "0.0.0.0:0" },
		"any address":   func(c *Config) { c.HTTP = ":0" },
		"outside name":  func(c *Config) { c.HTTP = "example.com:80" },
		"no port":       func(c *Config) { c.HTTP = "127.0.0.1" },
		"no rate":       func(c *Config) { c.Rate = 0 },
		"no capacity":   func(c *Config) { c.StoreBytes = 0 },
		"no inflight":   func(c *Config) { c.MaxInflight = -1 },
		"port in use":   func(c *Config) { c.HTTP = inUse(t) },
		"port in use 2": func(c *Config) { c.OAP = inUse(t) },
	} {
		t.Run(name, func(t *testing.T) {
			cfg := testConfig()
			change(&cfg)
			if n, err := Start(cfg); err == nil {
				n.Shutdown(context.Background())
				t.Error("started")
			}
		})
	}
}

// RDY-CFG-005
func TestDefaultAddresses(t *testing.T) {
	if c := DefaultConfig(); c.HTTP != "127.0.0.1:8080" || c.OAP != "127.0.0.1:9090" {
		t.Errorf("defaults are %s and %s", c.HTTP, c.OAP)
	}
}

func inUse(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l.Addr().String()
}

// ADM-CAP-001
func TestConnectionCap(t *testing.T) {
	n := start(t, func(c *Config) { c.MaxConns = 3 })
	p := hello(t, oapOf(n))
	hello(t, oapOf(n))
	hello(t, oapOf(n))
	over := dial(t, oapOf(n))
	over.wantClosed()
	c, err := net.Dial("tcp", n.HTTPAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if k, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes on a connection above the cap", k)
	}
	p.c.Close()
	for range 100 { // the slot is free again once the node saw the close
		q := dial(t, oapOf(n))
		q.write(frame(helloHeader, "{}"))
		if _, ok := q.next(); ok {
			return
		}
	}
	t.Error("the slot of a closed connection did not come back")
}
