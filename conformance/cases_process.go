package conformance

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/spec"
)

// processCases are about starting: what keeps a node from it, and what a new life knows of the one before.
func processCases() []Case {
	return []Case{
		{ID: "run-forgets", Rules: []string{"AMN-RST-001", "AMN-DEF-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileMicronode, Own: true,
			Description: "A node that was restarted knows nothing of the objects and counters of its life before.",
			Run:         runForgets},
		{ID: "run-loopback-only", Rules: []string{"RDY-CFG-006"}, Level: spec.Must, Profile: ProfileMicronode, Own: true,
			Description: "A node does not start with a listener beyond loopback and without TLS, on either surface.",
			Run:         runLoopbackOnly},
		{ID: "run-port-taken", Rules: []string{"RDY-GAT-008"}, Level: spec.Must, Profile: ProfileMicronode, Own: true,
			Description: "A node whose port is taken exits with a status other than 0 and names the gate.",
			Run:         runPortTaken},
		{ID: "run-bad-settings", Rules: []string{"RDY-CFG-004", "ADM-CAP-007", "ADM-CAP-010"}, Level: spec.Must, Profile: ProfileMicronode, Own: true,
			Description: "Caps of zero, below, above those of the law or without bound, and values that are none, keep a node from starting, with a message that names them.",
			Run:         runBadSettings},
		{ID: "run-bad-file", Rules: []string{"RDY-CFG-002", "RDY-CFG-003"}, Level: spec.Must, Profile: ProfileMicronode, Own: true,
			Description: "An unknown or duplicate key in the configuration file keeps a node from starting, with file and line.",
			Run:         runBadFile},
		{ID: "run-precedence", Rules: []string{"RDY-CFG-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileMicronode, Own: true,
			Description: "A flag is stronger than the configuration file.",
			Run:         runPrecedence},
		{ID: "run-logs", Rules: []string{"RDY-OBS-004", "RDY-OBS-005", "AMN-LOG-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileMicronode, Own: true,
			Description: "Every line on stderr is a JSON object with ts, level, service and event, no key twice, and no payload.",
			Run:         runLogs},
	}
}

func runForgets(t *T) {
	data := t.Bytes(5000)
	first := t.Spawn()
	t.Control(func() {
		c := first.Hello()
		c.Put(data)
		c.Holds(data)
	})
	first.Gone()
	if err := first.Process.Stop(t.Within(spec.DrainTimeout)); err != nil {
		t.Check(false, "%v", err)
	}
	second := t.Spawn()
	second.Hello().Lacks(AddressOf(data))
	second.Misses(AddressOf(data))
	t.Check(second.Upload(data), "a restarted node says that it has the object already")
}

// refusesToStart runs the node with args and demands that it ends by itself, with a status other than 0 and a message
// on stderr in which every one of these patterns is found.
func (t *T) refusesToStart(patterns []string, args ...string) {
	cmd := exec.Command(t.s.cfg.Binary, append([]string{"run", "--json"}, args...)...)
	var stderr tail
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Harnessf("the node can not be run: %v", err)
	}
	done := make(chan error, 1)
	go func() { done <- cmd.Wait() }()
	timer := time.NewTimer(t.Patience())
	defer timer.Stop()
	select {
	case err := <-done:
		t.Check(err != nil && cmd.ProcessState.Exited(), "a node started with %q ends with %v", args, cmd.ProcessState)
	case <-timer.C:
		cmd.Process.Kill()
		<-done
		t.Check(false, "a node started with %q runs", args)
	}
	for _, p := range patterns {
		t.Check(regexp.MustCompile(p).MatchString(stderr.String()), "a node started with %q says nothing like %q:\n%s", args, p, stderr.String())
	}
}

func runLoopbackOnly(t *T) {
	t.Control(func() { t.Spawn().Hello() })
	for _, addr := range []string{"0.0.0.0:0", "[::]:0", ":0", "192.0.2.1:0"} {
		t.refusesToStart([]string{"http"}, "--http", addr, "--oap", "127.0.0.1:0")
		t.refusesToStart([]string{"oap"}, "--http", "127.0.0.1:0", "--oap", addr)
	}
}

func runPortTaken(t *T) {
	t.Control(func() { t.Spawn().Hello() })
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Untestablef("no port to take: %v", err)
	}
	defer l.Close()
	t.refusesToStart([]string{"listeners_bound"}, "--http", l.Addr().String(), "--oap", "127.0.0.1:0")
	t.refusesToStart([]string{"listeners_bound"}, "--http", "127.0.0.1:0", "--oap", l.Addr().String())
}

func runBadSettings(t *T) {
	t.Control(func() { t.Spawn("--rate", "1000").Hello() })
	for _, flag := range []string{"rate", "max-inflight", "max-conns"} {
		for _, value := range []string{"0", "-1", "many", "1e3", "99999999999999999999", ""} {
			t.refusesToStart([]string{flag}, "--http", "127.0.0.1:0", "--oap", "127.0.0.1:0", "--"+flag+"="+value)
		}
	}
	t.refusesToStart([]string{"max-inflight"}, "--http", "127.0.0.1:0", "--oap", "127.0.0.1:0", fmt.Sprintf("--max-inflight=%d", spec.MaxInflight+1))
	t.refusesToStart([]string{"max-conns"}, "--http", "127.0.0.1:0", "--oap", "127.0.0.1:0", fmt.Sprintf("--max-conns=%d", spec.MaxConns+1))
	for _, value := range []string{"0", "-1", "all"} {
		t.refusesToStart([]string{"store"}, "--http", "127.0.0.1:0", "--oap", "127.0.0.1:0", "--store-bytes="+value)
	}
}

// file writes a configuration file for the case.
func (t *T) file(text string) string {
	dir, err := os.MkdirTemp("", "conformance-")
	if err != nil {
		t.Untestablef("no directory for a file: %v", err)
	}
	t.onClose(func() { os.RemoveAll(dir) })
	path := filepath.Join(dir, "node.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Untestablef("no file: %v", err)
	}
	return path
}

func runBadFile(t *T) {
	t.Control(func() { t.Spawn("--config", t.file("rate = 1000\n")).Hello() })
	listen := []string{"--http", "127.0.0.1:0", "--oap", "127.0.0.1:0", "--config"}
	for _, bad := range []struct{ text, line, key string }{
		{"rate = 1000\nrates = 5\n", "2", "rates"},
		{"# comment\n\nRate = 5\n", "3", "Rate"},
		{"rate = 1000\nrate = 1000\n", "2", ""},
		{"[limits]\nrate = 5\n", "", "limits"},
		{"rate = \"fast\"\n", "1", "rate"},
		{"rate = 0\n", "1", "rate"},
		{"this is no TOML\n", "1", ""},
	} {
		place := `node\.toml`
		if bad.line != "" {
			place += `\D{0,20}\b` + bad.line + `\b`
		}
		t.refusesToStart([]string{place, bad.key}, append(listen, t.file(bad.text))...)
	}
	t.refusesToStart([]string{`missing\.toml`}, append(listen, filepath.Join(filepath.Dir(t.file("")), "missing.toml"))...)
}

func runPrecedence(t *T) {
	path := t.file("store_bytes = 1048576\n")
	// fits says whether a put of 2 MiB is refused, which a store of 1 MiB has to do and one of 8 MiB may not.
	fits := func(p *Peer) bool {
		c := p.Hello()
		corr := c.Begin(put(2<<20), 0)
		fence := c.Ask(has(t.Absent()))
		f := c.Frame()
		if f.Corr == corr {
			c.refused(f, corr, spec.Oversize)
			return false
		}
		c.answered(f, fence, "has")
		return true
	}
	t.Control(func() {
		t.Check(!fits(t.Spawn("--config", path)), "store_bytes of the configuration file has no effect")
	})
	t.Check(fits(t.Spawn("--config", path, "--store-bytes", "8388608")), "the configuration file is stronger than the flag")
}

func runLogs(t *T) {
	const canary = "pAyLoAd-cAnArY"
	node := t.Spawn("--log-level", "debug")
	t.Control(func() { node.Hello().RoundTrip() })
	data := []byte(strings.Repeat(canary, 10) + string(t.Bytes(20)))
	node.Upload(data)
	node.Serves(data)
	c := node.Hello()
	c.Holds(data)
	for _, x := range refusals(t) {
		node.Do(x.r)
	}
	node.Do(Request{Method: "PUT", Path: Object(t.Absent()), Body: data})
	c.Send(startFrame(c.fresh(), spec.FlagEnd, []byte(canary)))
	c.Refused(c.corr, spec.Malformed)
	node.Gone()
	if err := node.Process.Stop(t.Within(spec.DrainTimeout)); err != nil {
		t.Check(false, "%v", err)
	}
	lines := 0
	text := node.Process.Stderr()
	if len(text) == keptOutput { // the first line may be cut
		_, text, _ = strings.Cut(text, "\n")
	}
	for line := range strings.Lines(text) {
		lines++
		var members map[string]any
		err := json.Unmarshal([]byte(line), &members) // refuses duplicate keys
		t.Check(err == nil, "a line on stderr is no JSON object: %v: %s", err, line)
		for _, key := range []string{"ts", "level", "service", "event"} {
			_, ok := members[key]
			t.Check(ok, "a log line has no %s: %s", key, line)
		}
		t.Check(!strings.Contains(line, canary), "a log line has payload in it: %s", line)
	}
	t.Check(lines > 0, "the node logged nothing, not even its end")
}
