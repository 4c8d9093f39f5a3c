package conformance

import (
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// drainCases are about leaving in good order, on nodes of their own.
func drainCases() []Case {
	return []Case{
		{ID: "drn-finishes", Rules: []string{"OAP-SES-016", "RDY-DRN-003", "RDY-DRN-004", "RDY-DRN-005"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileMicronode, Own: true,
			Description: "After SIGTERM the client is told, new streams are refused, an open put is finished and answered, and the node exits with 0 at once.",
			Run:         drnFinishes},
		{ID: "drn-tells", Rules: []string{"RDY-DRN-001", "RDY-DRN-002", "RDY-DRN-007", "RDY-STA-004", "HTTP-HLT-003", "DIV-SUR-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileMicronode, Own: true,
			Description: "While it drains a node takes new connections, answers 503 on /readyz and 200 on /healthz, and refuses reads and writes.",
			Run:         drnTells},
		{ID: "drn-cuts", Rules: []string{"RDY-DRN-003", "OAP-SES-016", "RDY-DRN-005"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileMicronode, Own: true, Slow: true,
			Description: "Work that does not finish is cut five seconds after SIGTERM, although it makes progress, and the node exits with 0.",
			Run:         drnCuts},
		{ID: "drn-second-signal", Rules: []string{"RDY-DRN-006", "RDY-DRN-005"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileMicronode, Own: true,
			Description: "A second signal cuts the work in flight at once.",
			Run:         drnSecondSignal},
		{ID: "drn-idle", Rules: []string{"RDY-DRN-004", "RDY-DRN-005"}, Level: spec.Must, Profile: ProfileMicronode, Own: true,
			Description: "A node with idle connections only exits with 0 at once, on SIGTERM and on SIGINT.",
			Run:         drnIdle},
	}
}

// signal sends sig to the node of p. From here on the node may end, so there is nothing to probe.
func (p *Peer) signal(sig syscall.Signal) {
	p.Gone()
	if err := p.Process.Signal(sig); err != nil {
		p.t.Harnessf("signal: %v", err)
	}
}

// goodbye takes the going-away EVENT (OAP-SES-016).
func (c *Conn) goodbye() {
	f := c.Frame()
	c.t.Check(f.Flags == spec.FlagEvent && f.Code == spec.CodeGoingAway && f.Corr == 0, "want EVENT 503 on corr_id 0, got %s", frameText(f))
	var body map[string]string
	err := json.Unmarshal(f.Data, &body)
	c.t.Check(err == nil && body["reason"] == string(spec.Draining), "the payload of the EVENT is %s", textOf(f.Data))
}

// exits demands the end of the process with status 0.
func (p *Peer) exits(patience time.Duration) {
	status, ok := p.Process.Wait(patience)
	p.t.Check(ok, "the node is still there %v later", patience)
	p.t.Check(status == 0, "the node exits with status %d", status)
}

func drnFinishes(t *T) {
	node := t.Spawn()
	t.Control(func() { node.Hello().RoundTrip() })
	data := t.Bytes(1000)
	c, idle := node.Hello(), node.Hello()
	corr := c.Begin(put(len(data)), 0)
	chunks := Chunks(corr, data, 500, false)
	c.Send(chunks[0])
	c.Fence()
	node.signal(syscall.SIGTERM)
	c.goodbye()
	idle.goodbye()
	for _, request := range []refwire.Request{has(t.Absent()), put(5)} {
		e := c.Refused(c.Ask(request), spec.Draining)
		t.Check(e.Retryable && e.RetryAfter > 0, "a refusal while draining: %+v", e)
	}
	c.Send(chunks[1], endFrame(corr))
	a := c.Answer(corr, "put")
	t.Check(a.Obj == AddressOf(data) && a.Created, "the put that was open at SIGTERM gives %+v", a)
	c.Closed()
	idle.Closed()
	node.exits(t.Patience())
}

func drnTells(t *T) {
	node := t.Spawn()
	data := t.Bytes(100)
	t.Control(func() {
		node.Hello().RoundTrip()
		node.Upload(data)
		t.Check(t.readiness(node.Get("/readyz")).Ready, "a node that serves is not ready")
	})
	c := node.Hello()
	corr := c.Begin(put(len(data)), 0) // keeps the node draining
	c.Fence()
	node.signal(syscall.SIGTERM)
	c.goodbye()
	raw := node.Raw() // a connection made now
	raw.Head("GET", "/readyz")
	r := raw.Response("GET")
	t.Check(r.Status == 503, "/readyz of a draining node is %d", r.Status)
	state := t.readiness(r)
	t.Check(state.State == "draining", "/readyz of a draining node says %+v", state)
	for _, path := range []string{"/healthz", "/metrics", "/version"} {
		raw := node.Raw()
		raw.Head("GET", path)
		t.Want(raw.Response("GET"), 200)
	}
	for _, request := range []Request{
		{Method: "GET", Path: Object(AddressOf(data))}, {Method: "POST", Path: "/put", Body: data}, {Method: "DELETE", Path: Object(AddressOf(data))}, {Method: "GET", Path: "/nowhere"},
	} {
		r := node.Do(request)
		t.retries("draining", r, node.Refuses(r, spec.Draining))
	}
	// Work in flight keeps the door open, for as long as it may take.
	t.Pause(time.Second)
	raw = node.Raw()
	raw.Head("GET", "/readyz")
	t.Check(t.readiness(raw.Response("GET")).State == "draining", "a second into its drain the node says something else")
	lateClient(t, node)
	c.Send(cancelFrame(corr))
	node.exits(t.Patience())
}

// lateClient is one who connects over OAP/1 while the node drains: told and closed at once, or greeted and then refused.
func lateClient(t *T, node *Peer) {
	c := node.Dial()
	c.Write(append(c.Seal(helloFrame([]byte("{}"))), c.Seal(askFrame(2, has(t.Absent())))...))
	for greeted := false; ; {
		f, ok, closed := c.next(t.Patience())
		switch {
		case closed:
			t.Check(!greeted, "a client that was greeted while draining is not told why it is closed")
			return
		case ok && f.Flags&spec.FlagEvent != 0:
			t.Check(f.Code == spec.CodeGoingAway, "an EVENT of another kind: %s", frameText(f))
		case ok && !greeted:
			t.Check(f.Flags == spec.FlagResp && f.Code == spec.CodeOK && f.Corr == 1, "the answer to HELLO is %s", frameText(f))
			greeted = true
		case ok:
			c.refused(f, 2, spec.Draining)
			return
		default:
			t.Check(false, "a client that connects while the node drains hears nothing")
		}
	}
}

func drnCuts(t *T) {
	node := t.Spawn()
	t.Control(func() { node.Hello().RoundTrip() })
	data := t.Bytes(100)
	c := node.Hello()
	corr := c.Begin(put(len(data)), 0)
	frames := Chunks(corr, data, 1, false)
	c.Send(frames[0])
	c.Fence()
	begin := time.Now()
	node.signal(syscall.SIGTERM)
	c.goodbye()
	for i := 1; ; i++ {
		c.write(c.Seal(frames[i])) // progress, so that only the drain can end it
		if f, ok, closed := c.next(300 * time.Millisecond); ok {
			c.refused(f, corr, spec.Draining)
			break
		} else if closed {
			break
		}
		t.Check(time.Since(begin) < t.Within(spec.DrainTimeout), "an open put is not cut %v after SIGTERM", time.Since(begin))
	}
	t.since(begin, spec.DrainTimeout, "the put was cut")
	c.Closed()
	node.exits(t.Patience())
}

func drnSecondSignal(t *T) {
	node := t.Spawn()
	t.Control(func() { node.Hello().RoundTrip() })
	c := node.Hello()
	corr := c.Begin(put(100), 0)
	c.Fence()
	node.signal(syscall.SIGTERM)
	c.goodbye()
	begin := time.Now()
	node.signal(syscall.SIGTERM)
	if f, ok, _ := c.next(t.Patience()); ok {
		c.refused(f, corr, spec.Draining)
	}
	c.Closed()
	status, ok := node.Process.Wait(t.Patience())
	t.Check(ok && time.Since(begin) < spec.DrainTimeout, "the node is still there %v after the second signal", time.Since(begin))
	t.Check(status == 0, "the node exits with status %d after an end in good order (RDY-DRN-005)", status)
}

func drnIdle(t *T) {
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		node := t.Spawn()
		t.Control(func() { node.Hello() })
		c := node.Hello()
		raw := node.Raw()
		raw.Head("GET", "/healthz")
		t.Want(raw.Response("GET"), 200)
		node.signal(sig)
		c.goodbye()
		c.Closed()
		node.exits(t.Patience())
	}
}
