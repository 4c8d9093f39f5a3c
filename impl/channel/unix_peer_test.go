package channel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/rustyonions/micronode/spec"
)

// CAP-UDS-003, CAP-UDS-004, with a process of another user. File modes keep such a process out (CAP-UDS-001,
// CAP-UDS-002), so here they are changed by mistake.
func TestUnixPeerOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("a process of another user takes root")
	}
	if runtime.GOOS != "linux" {
		t.Skip("the process of another user finds the socket by /proc/self/fd")
	}
	me := uint32(os.Geteuid())
	for _, c := range []struct {
		name   string
		allow  []uint32
		served bool
	}{
		{"default", nil, false},
		{"list without it", []uint32{me, otherUser + 1}, false},
		{"list with it", []uint32{me, otherUser}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			folder := socketDir(t)
			path := filepath.Join(folder, "s")
			var refused []*PeerError
			l := listening(t, UnixConfig{Path: path, Allow: c.allow, Refused: func(e *PeerError) { refused = append(refused, e) }})
			dir, err := os.Open(folder)
			if err != nil {
				t.Fatal(err)
			}
			defer dir.Close()
			if line, _ := peerProcess(t, "dial", "s", otherUser, dir); !strings.Contains(line, "permission denied") {
				t.Fatalf("another user gets past the file modes: %s", line)
			}
			if err := errors.Join(os.Chmod(folder, 0o711), os.Chmod(path, 0o666)); err != nil {
				t.Fatal(err)
			}

			accepted := make(chan net.Conn, 2)
			go func() {
				defer close(accepted)
				for {
					s, err := l.Accept()
					if err != nil {
						return
					}
					fmt.Fprint(s, "served ", s.(*UnixConn).PeerUID())
					s.Close()
					accepted <- s
				}
			}()
			line, _ := peerProcess(t, "dial", "s", otherUser, dir)
			own, _ := peerProcess(t, "dial", "s", me, dir)
			l.Close()
			want, connections := "cut", 1
			if c.served {
				want, connections = fmt.Sprint("served ", otherUser), 2
			}
			if line != want || own != fmt.Sprint("served ", me) {
				t.Fatalf("the other user: %q, want %q; the own: %q", line, want, own)
			}
			n := 0
			for range accepted {
				n++
			}
			if n != connections || len(refused) != 2-connections {
				t.Fatalf("%d accepted, %d refused", n, len(refused))
			}
			for _, e := range refused {
				if e.UID != otherUser || e.Err != nil || !errors.Is(e, spec.Forbidden) {
					t.Fatalf("%+v", e)
				}
			}
		})
	}
}

// verdicts accepts on l until it closes. Each peer comes out on one of the channels; those that were accepted are closed.
func verdicts(listen func(refused func(*PeerError)) *UnixListener) (out *UnixListener, accepted <-chan uint32, refused <-chan *PeerError) {
	yes, no := make(chan uint32, 4), make(chan *PeerError, 4)
	out = listen(func(e *PeerError) { no <- e })
	go func() {
		defer close(yes)
		for {
			c, err := out.Accept()
			if err != nil {
				return
			}
			c.Close()
			yes <- c.(*UnixConn).PeerUID()
		}
	}()
	return out, yes, no
}

// CAP-UDS-003: the own user has no privilege of its own where a list does not name it. This needs no root.
func TestUnixPeerNotOnTheList(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	_, accepted, refused := verdicts(func(f func(*PeerError)) *UnixListener {
		return listening(t, UnixConfig{Path: path, Allow: []uint32{uint32(os.Geteuid()) + 1}, Refused: f})
	})
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	select {
	case uid := <-accepted:
		t.Fatalf("user %d is accepted", uid)
	case e := <-refused:
		if int(e.UID) != os.Geteuid() || e.Err != nil || !errors.Is(e, spec.Forbidden) {
			t.Fatalf("%+v", e)
		}
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, err := c.Read(make([]byte, 1)); n != 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("not cut off: %v", err)
	}
}

// CAP-UDS-003: a peer that the kernel does not name, all of a sudden, is nobody's friend, and not user 0 either.
func TestUnixPeerThatIsNotReported(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	asked := 0
	_, accepted, refused := verdicts(func(f func(*PeerError)) *UnixListener {
		l, err := listenUnix(UnixConfig{Path: path, Allow: []uint32{0, uint32(os.Geteuid())}, Refused: f}, func(fd int) (uint32, error) {
			if asked++; asked == 2 { // the first is the trial at start
				return 0, unix.EIO
			}
			return peerUID(fd)
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		return l
	})
	dial := func() net.Conn {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	defer dial().Close()
	select {
	case uid := <-accepted:
		t.Fatalf("accepted as user %d", uid)
	case e := <-refused:
		if !errors.Is(e, unix.EIO) || !errors.Is(e, spec.Forbidden) {
			t.Fatalf("%+v", e)
		}
	}
	defer dial().Close()
	if uid, ok := <-accepted; !ok || int(uid) != os.Geteuid() {
		t.Fatalf("the next one is accepted as user %d", uid)
	}
}

// CAP-UDS-005: a system that can not say who connects, or says it wrong, does not get as far as a socket.
func TestUnixSystemWithoutPeerCredentials(t *testing.T) {
	path := filepath.Join(socketDir(t), "s")
	for name, peer := range map[string]credential{
		"no answer":    func(int) (uint32, error) { return 0, unix.ENOTSUP },
		"wrong answer": func(int) (uint32, error) { return uint32(os.Geteuid()) + 1, nil },
	} {
		_, err := listenUnix(UnixConfig{Path: path}, peer)
		wantSetup(t, err, "CAP-UDS-005")
		gone(t, path)
		if name == "no answer" && !errors.Is(err, unix.ENOTSUP) {
			t.Fatal(err)
		}
	}
}
