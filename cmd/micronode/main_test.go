package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/rogpeppe/go-internal/testscript"
	"go.uber.org/goleak"
)

// TestMain lets this binary be micronode when it is started under that name: every test drives a process.
func TestMain(m *testing.M) { testscript.Main(leakFree{m}, map[string]func(){"micronode": main}) }

// leakFree fails a run of the tests that leaves goroutines behind.
type leakFree struct{ m *testing.M }

// Run is testing.M's, and then the look for goroutines.
func (l leakFree) Run() int {
	code := l.m.Run()
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return code
}

func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup: func(e *testscript.Env) error {
			e.Setenv("MICRO_NODE", "oap://127.0.0.1:1") // a script that forgets --node must not reach somebody's node
			e.Setenv("GORACE", quickExit)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"node":  scriptNode,
			"tree":  scriptTree,
			"sized": scriptSized,
			"same":  scriptSame,
			"fifo":  scriptFifo,
			"alike": scriptAlike,
			"fetch": scriptFetch,
		},
	})
}

// quickExit keeps processes built with -race from sleeping for a second at their end.
const quickExit = "atexit_sleep_ms=0"

// command is micronode with arguments, in a clean environment.
func command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0])
	cmd.Args = append([]string{"micronode"}, args...)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GORACE=" + quickExit}
	for _, kv := range os.Environ() {
		if strings.HasPrefix(kv, "GOCOVERDIR=") {
			cmd.Env = append(cmd.Env, kv)
		}
	}
	return cmd
}

// process is a running node.
type process struct {
	cmd    *exec.Cmd
	event  listening
	line   string        // the line of --json
	rest   *bytes.Buffer // what came on stdout after it; read it after wait
	stderr *bytes.Buffer
	copied chan struct{}
}

// startProcess starts a node on free ports and waits until it listens.
func startProcess(flags ...string) (*process, error) {
	cmd := command(append([]string{"run", "--json", "--http", "127.0.0.1:0", "--oap", "127.0.0.1:0"}, flags...)...)
	p := &process{cmd: cmd, rest: &bytes.Buffer{}, stderr: &bytes.Buffer{}, copied: make(chan struct{})}
	cmd.Stderr = p.stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := bufio.NewReader(stdout)
	p.line, err = r.ReadString('\n')
	go func() { defer close(p.copied); io.Copy(p.rest, r) }()
	if err == nil {
		err = json.Unmarshal([]byte(p.line), &p.event)
	}
	if err != nil {
		cmd.Process.Kill()
		p.wait()
		return nil, fmt.Errorf("node did not announce itself: %q, %w, stderr: %s", p.line, err, p.stderr)
	}
	return p, nil
}

// wait returns the exit code.
func (p *process) wait() int {
	<-p.copied
	var exit *exec.ExitError
	if err := p.cmd.Wait(); err != nil && !errors.As(err, &exit) {
		return -1
	}
	return p.cmd.ProcessState.ExitCode()
}

// client is micronode with arguments, as somebody with the bootstrap token of p.
func (p *process) client(args ...string) *exec.Cmd {
	cmd := command(args...)
	cmd.Env = append(cmd.Env, "MICRO_TOKEN="+p.event.Token)
	return cmd
}

func (p *process) signal(s os.Signal) { p.cmd.Process.Signal(s) }

// scriptNode starts a node with flags, and puts its URLs into $OAP, $HTTP, $OAPTLS, $HTTPS and $UNIX, its fingerprint and
// its identity into $PIN and $IDENTITY, and its token where clients look for it. It is drained when the script ends,
// and has to exit with 0.
func scriptNode(ts *testscript.TestScript, neg bool, args []string) {
	for i := range args {
		args[i] = os.Expand(args[i], ts.Getenv)
	}
	p, err := startProcess(args...)
	ts.Check(err)
	for name, value := range map[string]string{
		"OAP": p.event.OAP, "HTTP": p.event.HTTP, "OAPTLS": p.event.OAPTLS, "HTTPS": p.event.HTTPS, "UNIX": p.event.Unix,
		"PIN": p.event.Fingerprint, "IDENTITY": p.event.Identity, "MICRO_TOKEN": p.event.Token,
	} {
		ts.Setenv(name, value)
	}
	ts.Defer(func() {
		p.signal(syscall.SIGTERM)
		if code := p.wait(); code != 0 {
			ts.Fatalf("the node exited with %d: %s", code, p.stderr)
		}
	})
}

// scriptSized writes files with n bytes that depend on their names: sized n file…
func scriptSized(ts *testscript.TestScript, neg bool, args []string) {
	var n int
	if _, err := fmt.Sscan(args[0], &n); err != nil {
		ts.Fatalf("sized: %v", err)
	}
	for _, name := range args[1:] {
		ts.Check(os.WriteFile(ts.MkAbs(name), noise(name, n), 0o644))
	}
}

func noise(name string, n int) []byte {
	b := make([]byte, n)
	seed := [32]byte{}
	copy(seed[:], name)
	rand.NewChaCha8(seed).Read(b)
	return b
}

// scriptTree makes a tree with everything that tends to go wrong.
func scriptTree(ts *testscript.TestScript, neg bool, args []string) {
	root := ts.MkAbs(args[0])
	dir := func(name string, mode fs.FileMode) {
		ts.Check(os.MkdirAll(filepath.Join(root, name), 0o755))
		ts.Check(os.Chmod(filepath.Join(root, name), mode))
	}
	file := func(name string, n int, mode fs.FileMode) {
		ts.Check(os.WriteFile(filepath.Join(root, name), noise(name, n), 0o644))
		ts.Check(os.Chmod(filepath.Join(root, name), mode))
	}
	link := func(target, name string) { ts.Check(os.Symlink(target, filepath.Join(root, name))) }

	dir("", 0o755)
	dir("empty", 0o755)
	dir("private", 0o700)
	dir("a/b/c/d/e", 0o755)
	dir("a-b", 0o755) // sorts between a and a/ when paths are compared as text
	dir("ro", 0o755)
	for _, n := range []int{0, 1, 4095, 65535, 65536, 65537, 131072, 1<<20 - 1, 1 << 20} {
		file(fmt.Sprintf("size-%d", n), n, 0o644)
	}
	file("a/b/c/d/e/deep", 10, 0o600)
	file("a-b/x", 10, 0o755)
	file("a.txt", 10, 0o444)
	file("ro/file", 10, 0o400)
	for i, name := range []string{" leading space", "trailing space ", "new\nline", "tab\t", "quote\"'`$(x)", "back\\slash", "-dash", "*?[", "ünï-cödé-世界-🦀",
		"e\u0301", "é", "#", "%41", "con:trol\x01\x7f", "<html>&", ".hidden", "..dots", "...", strings.Repeat("n", 255)} {
		file(name, i, 0o644)
	}
	link("a.txt", "link")
	link("../../etc/passwd", "link-out")
	link("/nonexistent/absolute", "link-broken")
	link("a", "link-to-dir")
	link(".", "link-to-self")
	ts.Check(os.Chmod(filepath.Join(root, "ro"), 0o555))
	ts.Defer(func() { os.Chmod(filepath.Join(root, "ro"), 0o755) })
	if len(args) > 1 && args[1] == "big" {
		file("big", 3<<20, 0o644)
		file("just-above", 1<<20+1, 0o644)
	}
	// Names that are not UTF-8; some file systems refuse them, and then there is nothing to restore either.
	for _, name := range []string{"latin1-\xe9", "\xff\xfe"} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(name), 0o644); err == nil {
			os.Symlink("to-"+name, filepath.Join(root, "link-"+name))
		}
	}
}

// scriptSame compares two trees: names, types, permission bits, contents, link targets.
func scriptSame(ts *testscript.TestScript, neg bool, args []string) {
	a, b := listTree(ts, ts.MkAbs(args[0])), listTree(ts, ts.MkAbs(args[1]))
	if same := a == b; same == neg {
		ts.Fatalf("same is %v:\n%s\nand\n%s", same, a, b)
	}
}

func listTree(ts *testscript.TestScript, root string) string {
	var out strings.Builder
	ts.Check(filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(root, path)
		what := ""
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what = fmt.Sprintf("%d bytes %x", len(b), hashText(b))
		case info.Mode()&fs.ModeSymlink != 0:
			what, err = os.Readlink(path)
			fmt.Fprintf(&out, "link %q -> %q\n", rel, what)
			return err
		}
		fmt.Fprintf(&out, "%v %q %s\n", info.Mode(), rel, what)
		return nil
	}))
	return out.String()
}

func hashText(b []byte) uint64 {
	h := uint64(14695981039346656037)
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

// scriptFifo makes a named pipe, which no manifest can hold.
func scriptFifo(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(syscall.Mkfifo(ts.MkAbs(args[0]), 0o644))
}

// scriptAlike compares two files byte by byte, also ones that hold no text.
func scriptAlike(ts *testscript.TestScript, neg bool, args []string) {
	a, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	b, err := os.ReadFile(ts.MkAbs(args[1]))
	ts.Check(err)
	if bytes.Equal(a, b) == neg {
		ts.Fatalf("%s (%d bytes) and %s (%d bytes): alike is not %v", args[0], len(a), args[1], len(b), !neg)
	}
}

// scriptFetch reads a URL into a file.
func scriptFetch(ts *testscript.TestScript, neg bool, args []string) {
	res, err := http.Get(args[0])
	ts.Check(err)
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), b, 0o644))
	http.DefaultClient.CloseIdleConnections()
}

// waitFor polls until ok says so; it is for what another process does.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	look := time.NewTicker(5 * time.Millisecond)
	defer look.Stop()
	enough := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-look.C:
		case <-enough:
			t.Fatalf("waited for %s", what)
		}
	}
}

// lockedBuffer can be read while a process still writes.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
