package main

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

func start(t *testing.T, flags ...string) *process {
	t.Helper()
	p, err := startProcess(flags...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.cmd.ProcessState == nil {
			p.cmd.Process.Kill()
			p.wait()
		}
	})
	return p
}

// run --json prints one line, begins it with the three promised members, and nothing else ever comes on stdout.
func TestRunAnnouncesInOneLine(t *testing.T) {
	t.Parallel()
	for _, sig := range []os.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := start(t)
		if !regexp.MustCompile(`^\{"event":"listening","http":"http://127\.0\.0\.1:[1-9]\d*","oap":"oap://127\.0\.0\.1:[1-9]\d*"[,}]`).MatchString(p.line) {
			t.Errorf("the line is %q", p.line)
		}
		res, err := http.Get(p.event.HTTP + "/healthz")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		http.DefaultClient.CloseIdleConnections()
		p.signal(sig)
		if code := p.wait(); code != 0 {
			t.Errorf("%v: exit code %d", sig, code)
		}
		if p.rest.Len() != 0 {
			t.Errorf("more came on stdout: %q", p.rest)
		}
		for line := range strings.Lines(p.stderr.String()) {
			if !strings.HasPrefix(line, `{"ts":"`) || !strings.Contains(line, `"service":"micronode"`) || !strings.Contains(line, `"event":"`) {
				t.Errorf("a line on stderr is no log line: %q", line)
			}
		}
	}
}

// openPut begins a put and leaves it open, so that a drain has something to wait for.
func openPut(t *testing.T, p *process) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", strings.TrimPrefix(p.event.OAP, "oap://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	b, err := wire.AppendFrame(nil, &wire.Header{Flags: spec.FlagReq, Corr: 1}, nil, wire.AppendHello(nil, &wire.Hello{}))
	if err != nil {
		t.Fatal(err)
	}
	token, err := base64.RawURLEncoding.DecodeString(p.event.Token)
	if err != nil {
		t.Fatal(err)
	}
	b, err = wire.AppendFrame(b, &wire.Header{Flags: spec.FlagReq | spec.FlagStart, Proto: spec.ProtoObjects, Corr: 2}, token, []byte(`{"op":"put","total_len":5}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Write(b); err != nil {
		t.Fatal(err)
	}
	recvFrame(t, nc) // the answer to HELLO
	waitFor(t, "the put to be in flight", func() bool {
		res, err := http.Get(p.event.HTTP + "/metrics")
		if err != nil {
			return false
		}
		defer res.Body.Close()
		text, _ := io.ReadAll(res.Body)
		return regexp.MustCompile(`(?m)^inflight_requests(\{[^}]*\})? 1$`).Match(text)
	})
	return nc
}

// recvFrame reads one frame.
func recvFrame(t *testing.T, nc net.Conn) (h wire.Header, payload []byte) {
	t.Helper()
	nc.SetReadDeadline(time.Now().Add(10 * time.Second))
	var head [spec.HeaderLen]byte
	if _, err := io.ReadFull(nc, head[:]); err != nil {
		t.Fatal(err)
	}
	h.Decode(&head)
	payload = make([]byte, binary.BigEndian.Uint32(head[:])-spec.HeaderLen)
	if _, err := io.ReadFull(nc, payload); err != nil {
		t.Fatal(err)
	}
	return h, payload
}

// A second signal cuts what is in flight, and the node still ends in good order (RDY-DRN-005, RDY-DRN-006); a third one
// ends the process with its own code.
func TestSecondSignalCuts(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		p := start(t)
		nc := openPut(t, p)
		p.signal(syscall.SIGTERM)
		if h, _ := recvFrame(t, nc); h.Code != spec.CodeGoingAway {
			t.Errorf("the first signal did not begin a drain: %+v", h)
		}
		begin := time.Now()
		p.signal(sig)
		if h, body := recvFrame(t, nc); h.Code != spec.Draining.Code() || h.Corr != 2 {
			t.Errorf("%v: the put is not told that it was cut: %+v %s", sig, h, body)
		}
		if code := p.wait(); code != 0 || time.Since(begin) > 2*time.Second {
			t.Errorf("%v: exit code %d after %v, want 0 at once", sig, code, time.Since(begin))
		}
	}
}

// Work in flight may finish during the drain, and then the process ends without waiting further.
func TestDrainLetsWorkFinish(t *testing.T) {
	t.Parallel()
	p := start(t)
	nc := openPut(t, p)
	begin := time.Now()
	p.signal(syscall.SIGTERM)
	recvFrame(t, nc) // going away
	payload := append(wire.AppendDataHeader(nil, &wire.DataHeader{TotalLen: 5}), "hello"...)
	b, _ := wire.AppendFrame(nil, &wire.Header{Flags: spec.FlagReq, Proto: spec.ProtoObjects, Corr: 2}, nil, payload)
	b, _ = wire.AppendFrame(b, &wire.Header{Flags: spec.FlagReq | spec.FlagEnd, Proto: spec.ProtoObjects, Corr: 2}, nil, nil)
	if _, err := nc.Write(b); err != nil {
		t.Fatal(err)
	}
	if h, answer := recvFrame(t, nc); h.Code != spec.CodeOK {
		t.Errorf("the put was not finished: %+v %s", h, answer)
	}
	if code := p.wait(); code != 0 || time.Since(begin) > 4*time.Second {
		t.Errorf("exit code %d after %v", code, time.Since(begin))
	}
}

// What keeps a node from starting: the exit code tells the kind, stderr the cause, stdout nothing.
func TestRunRefusals(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	taken := l.Addr().String()
	file := filepath.Join(t.TempDir(), "bad.toml")
	if err := os.WriteFile(file, []byte("http = \"127.0.0.1:0\"\nRate = 5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	free := []string{"--http", "127.0.0.1:0", "--oap", "127.0.0.1:0"}
	for _, tc := range []struct {
		name string
		args []string
		env  string
		code int
		want []string
	}{
		{"http taken", []string{"--http", taken, "--oap", "127.0.0.1:0"}, "", exitReach, []string{"http", "address already in use", "listeners_bound", taken}},
		{"oap taken", []string{"--oap", taken, "--http", "127.0.0.1:0"}, "", exitReach, []string{"oap", "address already in use", "listeners_bound", taken}},
		{"not loopback", []string{"--http", "0.0.0.0:0"}, "", exitUsage, []string{"--http", "loopback", "RDY-CFG-006"}},
		{"bad flag value", []string{"--rate", "0"}, "", exitUsage, []string{"--rate", "ADM-CAP-007", "config_loaded"}},
		{"store too large", append(free, "--store-bytes", "1TiB"), "", exitFailed, []string{"store_open", "256 GiB"}},
		{"unknown flag", []string{"--speed", "9"}, "", exitUsage, []string{"--speed", "--help"}},
		{"argument too many", append(free, "extra"), "", exitUsage, []string{"extra"}},
		{"file", append(free, "--config", file), "", exitUsage, []string{file + ":2", "Rate", "did you mean rate?"}},
		{"no file", append(free, "--config", file+"x"), "", exitUsage, []string{"bad.tomlx", "no such file"}},
		{"variable", free, "MICRO_RATES=5", exitUsage, []string{"MICRO_RATES", "did you mean MICRO_RATE?"}},
		{"amnesia off", free, "MICRO_AMNESIA=false", exitUsage, []string{"MICRO_AMNESIA", "AMN-DEF-001"}},
	} {
		var out, errs strings.Builder
		cmd := command(append([]string{"run", "--json"}, tc.args...)...)
		cmd.Stdout, cmd.Stderr = &out, &errs
		if tc.env != "" {
			cmd.Env = append(cmd.Env, tc.env)
		}
		cmd.Run()
		if code := cmd.ProcessState.ExitCode(); code != tc.code {
			t.Errorf("%s: exit code %d, want %d: %s", tc.name, code, tc.code, errs.String())
		}
		if out.Len() > 0 {
			t.Errorf("%s: stdout has %q", tc.name, out.String())
		}
		for _, part := range tc.want {
			if !strings.Contains(errs.String(), part) {
				t.Errorf("%s: %q is not in %s", tc.name, part, errs.String())
			}
		}
	}
}

// File, environment and flags reach the node in that order, and MICRO_NODE is none of its business.
func TestRunTakesItsSettings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "node.toml")
	if err := os.WriteFile(file, []byte("rate = 1\nmax_conns = 7\nstore_bytes = \"2MiB\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := command("config", "print", "--config", file)
	cmd.Env = append(cmd.Env, "MICRO_RATE=77", "MICRO_NODE=oap://127.0.0.1:1")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`(?m)^rate = 77 +# MICRO_RATE$`, `(?m)^max_conns = 7 +# .*node\.toml:2$`, `(?m)^store_bytes = 2097152 +# .*:3$`, `(?m)^http = "127\.0\.0\.1:8080" +# default$`} {
		if !regexp.MustCompile(want).Match(out) {
			t.Errorf("%s does not match\n%s", want, out)
		}
	}
	p := start(t, "--config", file, "--rate", "5000")
	res, err := http.Get(p.event.HTTP + "/version")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	for _, want := range []string{"5000", "2097152"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("/version does not show %s: %s", want, body)
		}
	}
}

// The banner is for people: both addresses, and a first command that works as it stands.
func TestBanner(t *testing.T) {
	t.Parallel()
	cmd := command("run", "--http", "127.0.0.1:0", "--oap", "127.0.0.1:0")
	var out lockedBuffer
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Signal(syscall.SIGTERM)
	hint := regexp.MustCompile(`(?s)  export (MICRO_TOKEN=Ag[A-Za-z0-9_-]+)\n  export (MICRO_NODE=oap://127\.0\.0\.1:\d+)\n  micronode put README\.md\n`)
	waitFor(t, "the banner", func() bool { return strings.Contains(out.String(), "Ctrl-C") })
	text := out.String()
	for _, want := range []string{"OAP/1    oap://127.0.0.1:", "HTTP     http://127.0.0.1:", "amnesia", "512 MiB", "500 requests/s"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in the banner:\n%s", want, text)
		}
	}
	m := hint.FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no first command in the banner:\n%s", text)
	}
	put := command("put", "-")
	put.Env = append(put.Env, m[1:]...)
	put.Stdin = strings.NewReader("abc")
	if got, err := put.Output(); err != nil || string(got) != fmt.Sprintf("%s  -\n", abc) {
		t.Errorf("the first put: %q, %v", got, err)
	}
}

// abc is the address of the three bytes "abc" (CAS-ADR-001).
const abc = "b3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"
