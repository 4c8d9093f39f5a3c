package server

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// asNode makes the test binary a node of its own, so that its memory can be measured apart from the test's.
const asNode = "MICRONODE_TEST_AS_NODE"

func TestMain(m *testing.M) {
	if os.Getenv(asNode) != "" {
		runAsNode()
		return
	}
	goleak.VerifyTestMain(m)
}

func testConfig() Config {
	cfg := DefaultConfig()
	cfg.HTTP, cfg.OAP = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Rate = 1e6
	cfg.StoreBytes = 64 << 20
	return cfg
}

func runAsNode() {
	cfg := testConfig()
	if os.Getenv(asNode) == everyDoor {
		folder, err := everywhere(&cfg)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		defer os.RemoveAll(folder)
		cfg.Log = logTo(os.Stderr)
	}
	n, err := Start(cfg)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGTERM)
	json.NewEncoder(os.Stdout).Encode(placeOf(n))
	<-ch
	if err := n.Shutdown(context.Background()); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// everyDoor is the value of asNode for a node that listens in every way and logs everything.
const everyDoor = "everywhere"

// spawned is a node in a process of its own.
type spawned struct {
	*place
	pid            int
	stdout, stderr collector // what it wrote behind its announcement
	stop           func()    // asks it to end, and requires that it does so cleanly; at the end of the test at the latest
}

func spawn(t *testing.T, how string) *spawned {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := &spawned{place: &place{}}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), asNode+"="+how)
	cmd.Stderr = &s.stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(out)
	line, err := said.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, s.place)
	}
	if err != nil {
		cmd.Process.Kill()
		cmd.Wait()
		t.Fatalf("node did not come up: %v: %s%s", err, line, s.stderr.bytes())
	}
	s.pid = cmd.Process.Pid
	s.stop = sync.OnceFunc(func() {
		cmd.Process.Signal(syscall.SIGTERM)
		io.Copy(&s.stdout, said)
		if err := cmd.Wait(); err != nil {
			t.Errorf("node ended with %v: %s", err, s.stderr.bytes())
		}
	})
	t.Cleanup(s.stop)
	return s
}

// process starts a node in a process of its own.
func process(t *testing.T) (httpAddr string, oap target, pid int) {
	t.Helper()
	s := spawn(t, "1")
	token, err := base64.RawURLEncoding.DecodeString(s.Token)
	if err != nil {
		t.Fatal(err)
	}
	return s.Addr["http"], target{s.Addr["oap"], token}, s.pid
}

// start starts a node in this process and requires at the end that it drains and that every admission and every
// connection slot was paid back.
func start(t *testing.T, change func(*Config)) *Node {
	t.Helper()
	cfg := testConfig()
	if change != nil {
		change(&cfg)
	}
	n, err := Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Shutdown(context.Background()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if s := n.gate.Status(); s.Inflight != 0 || s.Conns != 0 {
			t.Errorf("after shutdown %d requests are in flight and %d connections are held", s.Inflight, s.Conns)
		}
	})
	return n
}

// target is an OAP/1 surface, and a capability for everything there.
type target struct {
	addr string
	cap  []byte
}

// oapOf is the OAP/1 surface of a node in this process, with its bootstrap token.
func oapOf(n *Node) target { return target{n.OAPAddr(), binaryToken(n)} }

// binaryToken is the bootstrap token as START carries it.
func binaryToken(n *Node) []byte {
	b, err := base64.RawURLEncoding.DecodeString(n.Bootstrap().Reveal())
	if err != nil {
		panic(err)
	}
	return b
}

// peer is a plain OAP/1 client for tests: frames out, frames in, nothing hidden.
type peer struct {
	t   *testing.T
	c   net.Conn
	dec *wire.Decoder
	cap []byte // START carries it
}

// dial connects without HELLO.
func dial(t *testing.T, at target) *peer {
	t.Helper()
	c, err := net.Dial("tcp", at.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &peer{t, c, wire.NewDecoder(spec.MaxFrame), at.cap}
}

// hello connects and says HELLO.
func hello(t *testing.T, at target) *peer {
	t.Helper()
	p := dial(t, at)
	p.send(wire.Header{Flags: spec.FlagReq}, "{}")
	if f := p.recv(); f.Flags != spec.FlagResp || f.Code != spec.CodeOK {
		t.Fatalf("answer to HELLO: flags %v code %d %s", f.Flags.Names(), f.Code, f.Payload)
	}
	return p
}

func frame(h wire.Header, payload string) []byte {
	b, err := wire.AppendFrame(nil, &h, nil, []byte(payload))
	if err != nil {
		panic(err)
	}
	return b
}

func (p *peer) send(h wire.Header, payload string) { p.t.Helper(); p.write(frame(h, payload)) }

func (p *peer) write(b []byte) {
	p.t.Helper()
	if _, err := p.c.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// start sends a START of the objects protocol.
func (p *peer) start(corr uint64, flags spec.Flags, req string) {
	p.t.Helper()
	p.write(p.startFrame(corr, flags, req))
}

// startFrame is a START of the objects protocol.
func (p *peer) startFrame(corr uint64, flags spec.Flags, req string) []byte {
	b, err := wire.AppendFrame(nil, &wire.Header{Flags: spec.FlagReq | spec.FlagStart | flags, Proto: spec.ProtoObjects, Corr: corr}, p.cap, []byte(req))
	if err != nil {
		panic(err)
	}
	return b
}

func dataFrame(corr uint64, off, total int, body []byte) []byte {
	payload := wire.AppendDataHeader(nil, &wire.DataHeader{Offset: int64(off), TotalLen: int64(total)})
	return frame(wire.Header{Flags: spec.FlagReq, Proto: spec.ProtoObjects, Corr: corr}, string(append(payload, body...)))
}

func endFrame(corr uint64) []byte {
	return frame(wire.Header{Flags: spec.FlagReq | spec.FlagEnd, Proto: spec.ProtoObjects, Corr: corr}, "")
}

// received is one frame with copies of its bytes.
type received struct {
	wire.Header
	Payload []byte
}

// next reads one frame; ok is false when the peer closed the connection instead.
func (p *peer) next() (f received, ok bool) {
	p.t.Helper()
	p.c.SetReadDeadline(time.Now().Add(20 * time.Second))
	for {
		var wf wire.Frame
		switch v, reason := p.dec.Next(&wf); v {
		case wire.Accept:
			return received{wf.Header, append([]byte(nil), wf.Payload...)}, true
		case wire.Reject:
			p.t.Fatalf("the node sent an illegal frame: %s", reason)
		}
		n, err := p.c.Read(p.dec.Space())
		p.dec.Filled(n)
		if n == 0 && err != nil {
			if ne, timeout := err.(net.Error); timeout && ne.Timeout() {
				p.t.Fatal("no frame from the node within 20 s")
			}
			return received{}, false
		}
	}
}

func (p *peer) recv() received {
	p.t.Helper()
	f, ok := p.next()
	if !ok {
		p.t.Fatal("the node closed the connection")
	}
	return f
}

// wantError reads one frame and requires an ERROR with this reason on this stream.
func (p *peer) wantError(corr uint64, want spec.Reason) {
	p.t.Helper()
	f := p.recv()
	var e wire.Error
	if wire.ParseError(f.Payload, &e) != spec.None || e.Reason != want || f.Corr != corr || f.Code != want.Code() {
		p.t.Fatalf("got code %d on %d: %s; want %s on %d", f.Code, f.Corr, f.Payload, want, corr)
	}
}

// wantClosed requires that the node closes without another frame.
func (p *peer) wantClosed() {
	p.t.Helper()
	if f, ok := p.next(); ok {
		p.t.Fatalf("got a frame with code %d on %d: %s; want the connection closed", f.Code, f.Corr, f.Payload)
	}
}

// putObject stores b on stream corr and returns the payload of the answer.
func (p *peer) putObject(corr uint64, b []byte) string {
	p.t.Helper()
	p.start(corr, 0, fmt.Sprintf(`{"op":"put","total_len":%d}`, len(b)))
	for off := 0; off < len(b); off += spec.MaxChunk {
		p.write(dataFrame(corr, off, len(b), b[off:min(off+spec.MaxChunk, len(b))]))
	}
	p.write(endFrame(corr))
	f := p.recv()
	if f.Code != spec.CodeOK {
		p.t.Fatalf("put: %d %s", f.Code, f.Payload)
	}
	return string(f.Payload)
}

// getObject reads the body and the final answer of a get that was sent on stream corr.
func (p *peer) getObject(corr uint64) (body []byte, answer string) {
	p.t.Helper()
	for {
		f := p.recv()
		switch {
		case f.Corr != corr:
			p.t.Fatalf("frame on stream %d while reading %d: %s", f.Corr, corr, f.Payload)
		case f.Code == spec.CodeData:
			var h wire.DataHeader
			b, reason := wire.ParseData(f.Payload, &h)
			if reason != spec.None || h.Offset != int64(len(body)) {
				p.t.Fatalf("bad DATA at %d: %s %+v", len(body), reason, h)
			}
			body = append(body, b...)
		case f.Code == spec.CodeOK:
			return body, string(f.Payload)
		default:
			p.t.Fatalf("get: %d %s", f.Code, f.Payload)
		}
	}
}

// quiet returns when the node has no connection left.
func quiet(t *testing.T, n *Node) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for began := time.Now(); n.gate.Status().Conns > 0; <-look.C {
		if time.Since(began) > 30*time.Second {
			t.Fatal("the node still holds a connection after 30 s")
		}
	}
}

// peakRSS is the largest resident set of a process so far, in bytes.
func peakRSS(t *testing.T, pid int) int64 {
	t.Helper()
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Skipf("peak memory of another process can only be read on Linux: %v", err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		var kib int64
		if strings.HasPrefix(s.Text(), "VmHWM:") {
			fmt.Sscanf(s.Text(), "VmHWM: %d kB", &kib)
			return kib << 10
		}
	}
	t.Fatal("no VmHWM in /proc status")
	return 0
}
