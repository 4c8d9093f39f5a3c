package channel

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// asPeer makes the test binary a process of its own: another node, or another user.
const asPeer = "MICRONODE_TEST_AS_PEER"

func TestMain(m *testing.M) {
	switch os.Getenv(asPeer) {
	case "listen":
		runListener()
	case "dial":
		runDialer()
	default:
		goleak.VerifyTestMain(m)
	}
}

// runListener listens on the path in the first argument, says so, and serves until it is killed.
func runListener() {
	l, err := ListenUnix(UnixConfig{Path: os.Args[1]})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println("listening")
	for {
		c, err := l.Accept()
		if err != nil {
			os.Exit(1)
		}
		c.Close()
	}
}

// runDialer connects to the socket named in the first argument, in the directory on descriptor 3. It prints what the
// other side sends, and "cut" where it sends nothing.
func runDialer() {
	c, err := net.Dial("unix", "/proc/self/fd/3/"+os.Args[1])
	if err != nil {
		fmt.Println("dial:", err)
		os.Exit(1)
	}
	c.Write([]byte("not to be read"))
	got, _ := io.ReadAll(c)
	if len(got) == 0 {
		got = []byte("cut")
	}
	fmt.Println(string(got))
}

// peerProcess starts the test binary as a peer. On Linux, /proc/self/exe and a directory by descriptor need no right to
// the folders that lead there.
func peerProcess(t *testing.T, role, arg string, uid uint32, dir *os.File) (line string, cmd *exec.Cmd) {
	t.Helper()
	exe := "/proc/self/exe"
	if runtime.GOOS != "linux" {
		var err error
		if exe, err = os.Executable(); err != nil {
			t.Fatal(err)
		}
	}
	cmd = exec.CommandContext(t.Context(), exe)
	cmd.Args = []string{"peer", arg}
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), asPeer+"="+role)
	if int(uid) != os.Geteuid() {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	}
	if dir != nil {
		cmd.ExtraFiles = []*os.File{dir}
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	line, err = bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("peer process said nothing: %v", err)
	}
	return line[:len(line)-1], cmd
}

// socketDir is a directory as CAP-UDS-001 wants it, with a short name: paths of sockets are limited.
func socketDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "mn")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func wantSetup(t *testing.T, err error, rule string) {
	t.Helper()
	var se *SetupError
	if !errors.As(err, &se) {
		t.Fatalf("got %v, want a SetupError of rule %q", err, rule)
	}
	if se.Rule != rule {
		t.Fatalf("got rule %q (%v), want %q", se.Rule, err, rule)
	}
}

func wantCause(t *testing.T, err error, cause Cause) {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("got %v, want an Error with cause %s", err, cause)
	}
	if e.Cause != cause || e.Rule != cause.rule() || !errors.Is(err, cause.reason()) {
		t.Fatalf("got %+v, want cause %s", e, cause)
	}
}

func testCertificate(t testing.TB) Certificate {
	t.Helper()
	c, err := NewCertificate([]string{"127.0.0.1", "localhost"}, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func testServer(t testing.TB, cfg Config) *Server {
	t.Helper()
	if cfg.Certificate.IsZero() {
		cfg.Certificate = testCertificate(t)
	}
	if cfg.Mode == "" {
		cfg.Mode = PQHybrid
	}
	if cfg.Protocol == "" {
		cfg.Protocol = OAP
	}
	s, err := NewServer(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// clientFor is what a well-behaved peer of s sends, verification included.
func clientFor(t testing.TB, s *Server) *tls.Config {
	t.Helper()
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(Certificate{&s.tls.Certificates[0]}.PEM()) {
		t.Fatal("no certificate in PEM form")
	}
	return &tls.Config{RootCAs: pool, ServerName: "localhost", NextProtos: []string{string(s.protocol)}}
}

// tcpPair is a real connection, over loopback.
func tcpPair(t testing.TB) (server, client net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if client, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if server, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close() })
	// A peer that is not served must not hang the test; no outcome depends on this.
	client.SetDeadline(time.Now().Add(20 * time.Second))
	return server, client
}

// encounter is how a handshake ended on both sides. The server sends one byte and closes if it succeeded.
type encounter struct {
	result Result
	err    error // of the server

	client    tls.ConnectionState
	handshake error // of the client
	data      []byte
	read      error // of the client, after its handshake
}

// meet lets a real client of crypto/tls meet s.
func meet(t *testing.T, s *Server, client *tls.Config) encounter {
	t.Helper()
	raw, peer := tcpPair(t)
	var e encounter
	done := make(chan struct{})
	go func() {
		defer close(done)
		var c *tls.Conn
		if c, e.result, e.err = s.Handshake(context.Background(), raw); e.err == nil {
			c.Write([]byte("x"))
			c.Close()
		}
	}()
	c := tls.Client(peer, client)
	if e.handshake = c.HandshakeContext(t.Context()); e.handshake == nil {
		e.client = c.ConnectionState()
		e.data, e.read = io.ReadAll(c)
	}
	peer.Close()
	<-done
	return e
}

// speak sends s bytes that are no proper handshake and gives the server's error and what it answered.
func speak(t *testing.T, s *Server, sent []byte) (answer []byte, err error) {
	t.Helper()
	raw, peer := tcpPair(t)
	done := make(chan error)
	go func() {
		_, _, err := s.Handshake(context.Background(), raw)
		done <- err
	}()
	peer.Write(sent)
	peer.(*net.TCPConn).CloseWrite()
	answer, _ = io.ReadAll(peer)
	return answer, <-done
}
