package channel

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// otherUser is a user id that nobody else has.
const otherUser = 54321

func listening(t *testing.T, cfg UnixConfig) *UnixListener {
	t.Helper()
	l, err := ListenUnix(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// answers makes sure that the peer of this process is served at path.
func answers(t *testing.T, l *UnixListener) {
	t.Helper()
	c, err := net.Dial("unix", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if uid := s.(*UnixConn).PeerUID(); int(uid) != os.Geteuid() {
		t.Fatalf("peer is user %d, want %d", uid, os.Geteuid())
	}
	s.Write([]byte("x"))
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
}

func mode(t *testing.T, path string) os.FileMode {
	t.Helper()
	info, err := os.Lstat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode()
}

func gone(t *testing.T, path string) {
	t.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("%s is still there (%v)", path, err)
	}
}

// inode tells whether a file was replaced.
func inode(t *testing.T, path string) identity {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		t.Fatal(err)
	}
	return identity{uint64(st.Dev), st.Ino} //nolint:unconvert // other types on other systems
}

// CAP-UDS-002, CAP-UDS-009
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	l := listening(t, UnixConfig{Path: path})
	if m := mode(t, path); m != os.ModeSocket|0o600 {
		t.Fatalf("mode %v", m)
	}
	if l.Addr().String() != path || l.Addr().Network() != "unix" {
		t.Fatalf("address %v", l.Addr())
	}
	answers(t, l)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	gone(t, path)
	if err := l.Close(); err != nil {
		t.Fatalf("second Close: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Fatalf("Accept after Close: %v", err)
	}
}

// CAP-UDS-002: before listen(2) the mode is set already, whatever the umask, and nobody can connect.
func TestUnixSocketModeBeforeListen(t *testing.T) {
	old := unix.Umask(0)
	defer unix.Umask(old)
	path := filepath.Join(socketDir(t), "s")
	p, err := openPlace(path)
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	fd, own, err := p.bind()
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if m := mode(t, path); m != os.ModeSocket|0o600 {
		t.Fatalf("mode %v", m)
	}
	if own != inode(t, path) {
		t.Fatal("identity is not that of the socket")
	}
	if c, err := net.Dial("unix", path); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Fatalf("connected before listen: %v, %v", c, err)
	}
}

// CAP-UDS-001
func TestUnixDirectory(t *testing.T) {
	dir := socketDir(t)
	path := filepath.Join(dir, "s")
	for _, m := range []uint32{0o000, 0o500, 0o600, 0o701, 0o704, 0o710, 0o740, 0o750, 0o755, 0o770, 0o777, 0o1700} {
		if err := unix.Chmod(dir, m); err != nil {
			t.Fatal(err)
		}
		_, err := ListenUnix(UnixConfig{Path: path})
		wantSetup(t, err, "CAP-UDS-001")
	}
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	gone(t, path)
	_, err := ListenUnix(UnixConfig{Path: filepath.Join(dir, "none", "s")})
	wantSetup(t, err, "CAP-UDS-001")
	write(t, filepath.Join(dir, "file"), nil, 0o700)
	_, err = ListenUnix(UnixConfig{Path: filepath.Join(dir, "file", "s")})
	wantSetup(t, err, "CAP-UDS-001")
	answers(t, listening(t, UnixConfig{Path: path}))
}

// CAP-UDS-001
func TestUnixDirectoryOwner(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving a directory to another user takes root")
	}
	dir := socketDir(t)
	if err := os.Chown(dir, otherUser, otherUser); err != nil {
		t.Fatal(err)
	}
	_, err := ListenUnix(UnixConfig{Path: filepath.Join(dir, "s")})
	wantSetup(t, err, "CAP-UDS-001")
	gone(t, filepath.Join(dir, "s"))
}

// CAP-UDS-008
func TestUnixSymbolicLinks(t *testing.T) {
	dir := socketDir(t)
	elsewhere := filepath.Join(socketDir(t), "elsewhere")
	path, link := filepath.Join(dir, "s"), filepath.Join(dir, "link")
	for name, target := range map[string]string{
		"to nothing":    elsewhere,
		"to itself":     path,
		"to a file":     filepath.Join(dir, "file"),
		"to a socket":   filepath.Join(dir, "socket"),
		"to the folder": ".",
	} {
		t.Run(name, func(t *testing.T) {
			write(t, filepath.Join(dir, "file"), []byte("kept"), 0o600)
			deadSocket(t, filepath.Join(dir, "socket"))
			if err := os.Symlink(target, path); err != nil {
				t.Fatal(err)
			}
			defer os.Remove(path)
			_, err := ListenUnix(UnixConfig{Path: path})
			wantSetup(t, err, "CAP-UDS-008")
			if mode(t, path)&os.ModeSymlink == 0 {
				t.Fatal("the link was replaced")
			}
			gone(t, elsewhere)
		})
	}
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	for _, through := range []string{link, link + "/", link + "/."} {
		_, err := ListenUnix(UnixConfig{Path: through + "/s"})
		wantSetup(t, err, "CAP-UDS-008")
	}
	gone(t, path)
}

// deadSocket is what a killed process leaves behind.
func deadSocket(t *testing.T, path string) {
	t.Helper()
	os.Remove(path)
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

// CAP-UDS-006
func TestUnixFileThatIsNoSocket(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	for name, make := range map[string]func() error{
		"file":      func() error { return os.WriteFile(path, []byte("kept"), 0o600) },
		"empty":     func() error { return os.WriteFile(path, nil, 0o600) },
		"directory": func() error { return os.Mkdir(path, 0o700) },
		"fifo":      func() error { return unix.Mkfifo(path, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			if err := make(); err != nil {
				t.Fatal(err)
			}
			defer os.Remove(path)
			before := inode(t, path)
			_, err := ListenUnix(UnixConfig{Path: path})
			wantSetup(t, err, "CAP-UDS-006")
			if inode(t, path) != before {
				t.Fatal("the file was replaced")
			}
		})
	}
}

// CAP-UDS-006
func TestUnixSocketInUse(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	first := listening(t, UnixConfig{Path: path})
	before := inode(t, path)
	_, err := ListenUnix(UnixConfig{Path: path})
	wantSetup(t, err, "CAP-UDS-006")
	if inode(t, path) != before {
		t.Fatal("the socket was replaced")
	}
	c, err := first.Accept() // the attempt to connect that found it alive
	if err != nil {
		t.Fatal(err)
	}
	c.Close()
	answers(t, first)
}

// CAP-UDS-006: a datagram socket can not be connected to, and somebody has it all the same.
func TestUnixSocketOfAnotherTypeInUse(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, err = ListenUnix(UnixConfig{Path: path})
	wantSetup(t, err, "CAP-UDS-006")
	mode(t, path)
}

// CAP-UDS-006: a listener that does not accept, with its backlog full, is alive.
func TestUnixSocketWithFullBacklog(t *testing.T) {
	if runtime.GOOS == "darwin" {
		t.Skip("darwin refuses connections to a full backlog as it does where nobody listens")
	}
	path := filepath.Join(socketDir(t), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	for range 8 {
		c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(c)
		unix.SetNonblock(c, true)
		unix.Connect(c, &unix.SockaddrUnix{Name: path}) // some succeed, the others find the backlog full
	}
	_, err = ListenUnix(UnixConfig{Path: path})
	wantSetup(t, err, "CAP-UDS-006")
	mode(t, path)
}

// CAP-UDS-007, with a process that was really killed.
func TestUnixSocketOfAKilledNode(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	line, cmd := peerProcess(t, "listen", path, uint32(os.Geteuid()), nil)
	if line != "listening" {
		t.Fatal(line)
	}
	_, err := ListenUnix(UnixConfig{Path: path})
	wantSetup(t, err, "CAP-UDS-006")
	cmd.Process.Signal(syscall.SIGKILL)
	cmd.Wait()
	if mode(t, path)&os.ModeSocket == 0 {
		t.Fatal("the killed node left no socket")
	}
	answers(t, listening(t, UnixConfig{Path: path}))
}

// CAP-UDS-007: only a socket of our own.
func TestUnixDeadSocketOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("giving a socket to another user takes root")
	}
	path := filepath.Join(socketDir(t), "s")
	deadSocket(t, path)
	if err := os.Lchown(path, otherUser, otherUser); err != nil {
		t.Fatal(err)
	}
	before := inode(t, path)
	_, err := ListenUnix(UnixConfig{Path: path})
	wantSetup(t, err, "CAP-UDS-007")
	if inode(t, path) != before {
		t.Fatal("the socket was replaced")
	}
}

// CAP-UDS-006: of nodes that start at once exactly one gets the place, and it is served.
func TestUnixNodesThatStartAtOnce(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	for range 20 {
		deadSocket(t, path)
		var (
			wg    sync.WaitGroup
			start = make(chan struct{})
			got   = make(chan *UnixListener, 8)
		)
		for range cap(got) {
			wg.Go(func() {
				<-start
				if l, err := ListenUnix(UnixConfig{Path: path}); err == nil {
					got <- l
				}
			})
		}
		close(start)
		wg.Wait()
		if len(got) != 1 {
			t.Fatalf("%d nodes have the socket", len(got))
		}
		l := <-got
		if l.own != inode(t, path) {
			t.Fatal("the socket is not that of the node that has it")
		}
		l.Close()
	}
}

// CAP-UDS-006: what lets only one of them have it.
func TestUnixLockExcludesOthers(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	ours, err := openPlace(path)
	if err != nil {
		t.Fatal(err)
	}
	defer ours.close()
	theirs, err := openPlace(path)
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.close()
	held := ours.locked(func() error { return unix.Flock(theirs.dir, unix.LOCK_SH|unix.LOCK_NB) })
	if !errors.Is(held, unix.EWOULDBLOCK) {
		t.Fatalf("another node can work in the directory at the same time: %v", held)
	}
	if err := unix.Flock(theirs.dir, unix.LOCK_EX|unix.LOCK_NB); err != nil {
		t.Fatalf("the lock is kept: %v", err)
	}
}

// CAP-UDS-009
func TestUnixCloseRemovesItsOwnSocketOnly(t *testing.T) {
	dir := socketDir(t)
	path := filepath.Join(dir, "s")
	for name, replace := range map[string]func(t *testing.T){
		"socket": func(t *testing.T) { deadSocket(t, path) },
		"file":   func(t *testing.T) { write(t, path, []byte("kept"), 0o600) },
		"link": func(t *testing.T) {
			if err := os.Symlink(filepath.Join(dir, "moved"), path); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			defer os.Remove(path)
			l := listening(t, UnixConfig{Path: path})
			if err := os.Rename(path, filepath.Join(dir, "moved")); err != nil {
				t.Fatal(err)
			}
			replace(t)
			before := inode(t, path)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			if inode(t, path) != before {
				t.Fatal("the file was removed")
			}
		})
	}
	l := listening(t, UnixConfig{Path: path})
	os.Remove(path)
	if err := l.Close(); err != nil {
		t.Fatalf("Close of a socket that is gone: %v", err)
	}
}

// CAP-UDS-009: a directory that was moved is still the directory of the socket.
func TestUnixCloseAfterTheDirectoryMoved(t *testing.T) {
	base := socketDir(t)
	from, to := filepath.Join(base, "a"), filepath.Join(base, "b")
	if err := os.Mkdir(from, 0o700); err != nil {
		t.Fatal(err)
	}
	l := listening(t, UnixConfig{Path: filepath.Join(from, "s")})
	if err := os.Rename(from, to); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	gone(t, filepath.Join(to, "s"))
}

func TestUnixPathsThatCanNotBe(t *testing.T) {
	dir := socketDir(t)
	for name, path := range map[string]string{
		"empty":     "",
		"zero byte": dir + "/s\x00t",
		"too long":  dir + "/" + strings.Repeat("s", longest),
	} {
		_, err := ListenUnix(UnixConfig{Path: path})
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		wantSetup(t, err, "")
	}
	_, err := ListenUnix(UnixConfig{Path: dir + "/s", Allow: []uint32{^uint32(0)}})
	wantSetup(t, err, "CAP-UDS-003")
	gone(t, dir+"/s")

	// "@" means the abstract namespace, which has no modes, to some: here it is a letter.
	t.Chdir(dir)
	l := listening(t, UnixConfig{Path: "@s"})
	if mode(t, filepath.Join(dir, "@s"))&os.ModeSocket == 0 {
		t.Fatal("no socket in the directory")
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}
