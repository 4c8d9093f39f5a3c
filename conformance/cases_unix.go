package conformance

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// unixCases are about CAP-UDS, and about the Unix socket as one more way in.
func unixCases() []Case {
	unixCase := func(id, description string, run func(*T), rules ...string) Case {
		return feature(FeatureUnix, capCase(id, description, run, rules...))
	}
	return []Case{
		unixCase("uds-serves", "The Unix socket serves what the other surfaces serve, to the same tokens, with the same bodies and windows.",
			udsServes, "CAP-ROL-003", "CAP-OPS-001"),
		own(unixCase("uds-modes", "The socket has mode 0600 in a directory of mode 0700, and is gone when the node has stopped.",
			udsModes, "CAP-UDS-001", "CAP-UDS-002", "CAP-UDS-009")),
		own(unixCase("uds-directory", "A directory that others may enter, that is missing, or that is a link keeps the node from starting.",
			udsDirectory, "CAP-UDS-001", "CAP-UDS-008")),
		own(unixCase("uds-occupied", "A file, a link or a socket that somebody listens on is left alone, and the node does not start.",
			udsOccupied, "CAP-UDS-006", "CAP-UDS-008")),
		own(unixCase("uds-stale", "A socket that a killed node left is replaced.",
			udsStale, "CAP-UDS-007")),
		own(unixCase("uds-not-ours", "A node that stops removes its own socket, and not one that took its place.",
			udsNotOurs, "CAP-UDS-009")),
		own(unixCase("uds-other-user", "A peer of another user is cut off unread, although the modes would let it in, unless it was put on the list.",
			udsOtherUser, "CAP-UDS-003", "CAP-UDS-004")),
		own(unixCase("uds-caps", "Connections and requests by the Unix socket count towards the caps of all.",
			udsCaps, "ADM-CAP-008")),
	}
}

func udsServes(t *T) {
	p := t.Unix()
	t.Control(func() { t.HTTPRoundTrip(); t.Hello().RoundTrip() })
	c := p.Hello()
	c.RoundTrip()
	data := t.Bytes(700_000)
	c.Put(data)
	c.Holds(data)
	t.Serves(data)
	for _, op := range []spec.Op{spec.OpGet, spec.OpHas, spec.OpPut, spec.OpDelete, spec.OpIssue, spec.OpRevoke} {
		for _, d := range t.deeds() {
			if d.op == op {
				t.judge([]way{p.oapWay("unix")}, "without a token", nil, d, spec.Unauth)
				t.judge([]way{p.oapWay("unix")}, "with one", t.cap, d, spec.None)
			}
		}
	}
}

func mode(t *T, path string) os.FileMode {
	info, err := os.Lstat(path)
	t.Check(err == nil, "%v", err)
	return info.Mode()
}

func udsModes(t *T) {
	dir := t.socketDir()
	path := filepath.Join(dir, "s.sock")
	old := syscall.Umask(0) // which the node inherits: the modes may not depend on it
	node, err := StartProcess(t.s.cfg.Binary, t.Within(0), "--unix", path)
	syscall.Umask(old)
	if err != nil {
		t.Failf("a node does not start: %v", err)
	}
	t.onClose(node.Kill)
	t.Control(func() {
		nc, err := net.Dial("unix", path)
		t.Check(err == nil, "nobody listens: %v", err)
		nc.Close()
	})
	t.Check(mode(t, path) == os.ModeSocket|0o600, "the socket has mode %v", mode(t, path))
	t.Check(mode(t, dir).Perm() == 0o700, "the directory has mode %v", mode(t, dir))
	err = node.Stop(t.Within(spec.DrainTimeout))
	t.Check(err == nil, "%v", err)
	_, err = os.Lstat(path)
	t.Check(os.IsNotExist(err), "the socket of a node that stopped is still there")
}

// plainListen are the flags of a node beside its Unix socket.
func plainListen(path string) []string {
	return []string{"--http", "127.0.0.1:0", "--oap", "127.0.0.1:0", "--unix", path}
}

func udsDirectory(t *T) {
	dir := t.socketDir()
	t.Control(func() { t.Spawn("--unix", filepath.Join(dir, "s.sock")).Unix().Hello() })
	for _, perm := range []os.FileMode{0o755, 0o750, 0o705, 0o701, 0o710, 0o770, 0o777, 0o720} {
		other := filepath.Join(dir, fmt.Sprintf("%o", perm))
		if err := os.Mkdir(other, 0o700); err != nil {
			t.Untestablef("%v", err)
		}
		if err := os.Chmod(other, perm); err != nil {
			t.Untestablef("%v", err)
		}
		t.refusesToStart([]string{"."}, plainListen(filepath.Join(other, "s.sock"))...)
		_, err := os.Lstat(filepath.Join(other, "s.sock"))
		t.Check(os.IsNotExist(err), "a node that refused its directory left a socket in it")
		t.Check(mode(t, other).Perm() == perm, "a node that refused its directory changed its mode to %v", mode(t, other))
	}
	t.refusesToStart([]string{"."}, plainListen(filepath.Join(dir, "none", "s.sock"))...)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(t.socketDir(), link); err != nil {
		t.Untestablef("%v", err)
	}
	t.refusesToStart([]string{"."}, plainListen(filepath.Join(link, "s.sock"))...)
}

func udsOccupied(t *T) {
	dir := t.socketDir()
	file, link, live, target := filepath.Join(dir, "file"), filepath.Join(dir, "link"), filepath.Join(dir, "live"), filepath.Join(dir, "target")
	t.Control(func() { t.Spawn("--unix", filepath.Join(dir, "s.sock")).Unix().Hello() })
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Untestablef("%v", err)
	}
	if err := os.Symlink(target, link); err != nil {
		t.Untestablef("%v", err)
	}
	l, err := net.Listen("unix", live)
	if err != nil {
		t.Untestablef("%v", err)
	}
	defer l.Close()
	for _, path := range []string{file, link, live, dir, filepath.Join(dir, "s.sock")} { // the last is that of another node
		t.refusesToStart([]string{"."}, plainListen(path)...)
	}
	text, err := os.ReadFile(file)
	t.Check(err == nil && string(text) == "precious", "a file at the socket path was touched: %q, %v", text, err)
	t.Check(mode(t, link)&os.ModeSymlink != 0, "a link at the socket path was replaced")
	_, err = os.Lstat(target)
	t.Check(os.IsNotExist(err), "a link at the socket path was followed")
	nc, err := net.Dial("unix", live)
	t.Check(err == nil, "a socket that somebody listened on is gone: %v", err)
	nc.Close()
	// A link to a dead socket is a link.
	stale(t, target)
	t.refusesToStart([]string{"."}, plainListen(link)...)
	t.Check(mode(t, target)&os.ModeSocket != 0, "the socket behind a link was removed")
}

// stale leaves a socket at path on which nobody listens.
func stale(t *T, path string) {
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Untestablef("%v", err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := os.Lstat(path); err != nil {
		t.Harnessf("no stale socket: %v", err)
	}
}

func udsStale(t *T) {
	path := filepath.Join(t.socketDir(), "s.sock")
	first := t.Spawn("--unix", path)
	t.Control(func() { first.Unix().Hello().RoundTrip() })
	first.Gone()
	first.Process.Kill()
	_, err := os.Lstat(path)
	t.Check(err == nil, "a killed node took its socket with it: %v", err)
	second := t.Spawn("--unix", path)
	second.Unix().Hello().RoundTrip()
	t.Check(mode(t, path) == os.ModeSocket|0o600, "the socket has mode %v", mode(t, path))
}

func udsNotOurs(t *T) {
	path := filepath.Join(t.socketDir(), "s.sock")
	node := t.Spawn("--unix", path)
	t.Control(func() { node.Unix().Hello() })
	if err := os.Remove(path); err != nil {
		t.Untestablef("%v", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Untestablef("%v", err)
	}
	defer l.Close()
	node.Gone()
	err = node.Process.Stop(t.Within(spec.DrainTimeout))
	t.Check(err == nil, "%v", err)
	t.Check(mode(t, path)&os.ModeSocket != 0, "the socket of another is gone")
	nc, err := net.Dial("unix", path)
	t.Check(err == nil, "the socket of another is gone: %v", err)
	nc.Close()
}

const nobody = 65534 // a user id that is not this one

// asNobody runs the dialogue of one connection to path as another user: a HELLO, and what comes back within a while.
func (t *T) asNobody(path string) (answer []byte, err error) {
	if err := dialAs(nobody, path, func(nc net.Conn) {
		nc.SetDeadline(time.Now().Add(t.Patience()))
		nc.Write(sealed(helloFrame([]byte("{}"))))
		b := make([]byte, 4096)
		n, _ := nc.Read(b)
		answer = b[:n]
	}); err != nil {
		return nil, err
	}
	return answer, nil
}

func udsOtherUser(t *T) {
	dir := t.socketDir()
	path := filepath.Join(dir, "s.sock")
	node := t.Spawn("--unix", path)
	t.Control(func() { node.Unix().Hello().RoundTrip() })
	if !canActAs() {
		t.Unsupportedf("only root can show what another user meets")
	}
	// The modes are changed by mistake, as they one day are.
	open := func(dir, path string) {
		for file, mode := range map[string]os.FileMode{dir: 0o755, path: 0o666} {
			if err := os.Chmod(file, mode); err != nil {
				t.Untestablef("%v", err)
			}
		}
	}
	open(dir, path)
	answer, err := t.asNobody(path)
	t.Check(err == nil, "another user can not even connect, although the modes allow it: %v", err)
	t.Check(len(answer) == 0, "another user is answered with %q", answer)
	node.Unix().Hello().RoundTrip() // and this one goes on

	dir = t.socketDir()
	path = filepath.Join(dir, "s.sock")
	listed := t.Spawn("--unix", path, "--unix-peers", fmt.Sprintf("%d,%d", os.Getuid(), nobody))
	open(dir, path)
	answer, err = t.asNobody(path)
	t.Check(err == nil && len(answer) > spec.HeaderLen, "a user on the list is answered with %q, %v", answer, err)
	listed.Unix().Hello().RoundTrip()
}

func udsCaps(t *T) {
	const places = 20
	node := t.Spawn("--rate", "100000", "--unix", filepath.Join(t.socketDir(), "s.sock"), "--max-inflight", fmt.Sprint(places), "--max-conns", "12")
	unix := node.Unix()
	t.Control(func() { unix.Hello().RoundTrip(); node.HTTPRoundTrip() })
	c := unix.Hello()
	var corrs []uint64
	for range places {
		corrs = append(corrs, c.Begin(has(t.Absent()), 0))
	}
	c.Refused(c.Ask(has(t.Absent())), spec.Quota, spec.TooManyStreams)
	node.Refuses(node.Get(Object(t.Absent())), spec.Quota)
	other := node.Hello()
	other.Refused(other.Ask(has(t.Absent())), spec.Quota, spec.TooManyStreams)
	for _, corr := range corrs {
		c.Send(endFrame(corr))
		c.Answer(corr, "has")
	}
	t.Want(node.Get(Object(t.Absent())), 404)
	other.Close()

	// Connections: with the socket full of them TCP finds no place, and the other way round.
	var held []*Conn
	for range 20 {
		c := unix.Dial()
		c.Write(c.Seal(helloFrame([]byte("{}"))))
		f, ok, closed := c.next(t.Patience())
		if closed {
			break
		}
		t.Check(ok && f.Code == spec.CodeOK, "a connection by the socket is neither greeted nor closed")
		held = append(held, c)
	}
	t.Check(len(held) < 12, "%d connections by the Unix socket are held at a cap of 12, and there are others", len(held))
	over := node.Dial()
	over.Write(over.Seal(helloFrame([]byte("{}"))))
	over.Closed()
	for _, c := range held {
		c.Close()
	}
	t.Eventually(time.Second, "a place is free", func() bool {
		c := node.Dial()
		defer c.Close()
		c.Write(c.Seal(refwire.Frame{Flags: req, Corr: 1, Payload: []byte("{}")}))
		_, ok, _ := c.next(t.Patience())
		return ok
	})
}
