package channel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/rustyonions/micronode/spec"
)

// UnixConfig is what a UnixListener is made of.
type UnixConfig struct {
	// Path of the socket. Its directory exists, has mode 0700 and belongs to the user of the process (CAP-UDS-001).
	Path string
	// Allow lists the ids of the users that may connect. Without any it is the user of the process alone (CAP-UDS-004).
	// The file modes apply besides: only root can be another user and still reach the socket. A list should not hold the
	// id that the kernel reports for every user it has no name for (usually 65534).
	Allow []uint32
	// Refused, if not nil, is told of each peer that was cut off (CAP-UDS-003). It is called in Accept.
	Refused func(*PeerError)
}

// PeerError is a peer that was cut off unread. errors.Is(err, spec.Forbidden) holds.
type PeerError struct {
	UID uint32 // as the kernel reports it
	Err error  // why the kernel could not say; UID means nothing then. Otherwise nil
}

// Error names the user id.
func (e *PeerError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("unix socket: peer of unknown user (CAP-UDS-003): %v", e.Err)
	}
	return fmt.Sprintf("unix socket: user %d is not on the allow-list (CAP-UDS-003)", e.UID)
}

// Unwrap gives the reason, and what failed where something did.
func (e *PeerError) Unwrap() []error {
	if e.Err != nil {
		return []error{spec.Forbidden, e.Err}
	}
	return []error{spec.Forbidden}
}

// UnixListener accepts connections on a Unix socket from users on its allow-list. Its methods are safe for concurrent
// use.
type UnixListener struct {
	inner   *net.UnixListener
	at      *place
	own     identity
	allow   []uint32
	refused func(*PeerError)
	peer    credential

	closed  sync.Once
	closing error // of the first Close
}

// UnixConn is a connection from a user on the allow-list.
type UnixConn struct {
	*net.UnixConn
	uid uint32
}

// PeerUID is the user id of the process that connected, as the kernel reports it, at the time when it did.
func (c *UnixConn) PeerUID() uint32 { return c.uid }

// credential asks the kernel for the user on the other side of a connected socket.
type credential func(fd int) (uid uint32, err error)

// ListenUnix makes the socket and listens on it. Where the law forbids that, or the system can not do what the law
// asks for, the error is a *SetupError and nothing was made or removed, except a dead socket of ours (CAP-UDS-007).
//
// While the socket is looked for, made or removed, the directory is locked (flock), so that of two nodes that are
// started with one path exactly one gets it.
func ListenUnix(cfg UnixConfig) (*UnixListener, error) { return listenUnix(cfg, peerUID) }

func listenUnix(cfg UnixConfig, peer credential) (*UnixListener, error) {
	allow := slices.Clone(cfg.Allow)
	if len(allow) == 0 {
		allow = []uint32{uint32(os.Geteuid())} // CAP-UDS-004
	}
	if slices.Contains(allow, ^uint32(0)) {
		return nil, refuse("CAP-UDS-003", cfg.Path, "4294967295 is no user that could be allowed: it stands for none")
	}
	if err := probe(peer); err != nil {
		return nil, &SetupError{"CAP-UDS-005", cfg.Path, err}
	}
	at, err := openPlace(cfg.Path)
	if err != nil {
		return nil, err
	}
	inner, own, err := at.listen()
	if err != nil {
		at.close()
		return nil, err
	}
	return &UnixListener{inner: inner, at: at, own: own, allow: allow, refused: cfg.Refused, peer: peer}, nil
}

// probe makes sure that peer tells the truth where the truth is known: about a connection of this process with itself.
// Trying is better than knowing systems by name (CAP-UDS-005).
func probe(peer credential) error {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return fmt.Errorf("no pair of sockets to try with: %w", err)
	}
	defer unix.Close(pair[0])
	defer unix.Close(pair[1])
	uid, err := peer(pair[0])
	if err != nil {
		return fmt.Errorf("this system does not report who connects: %w", err)
	}
	if int(uid) != os.Geteuid() {
		return fmt.Errorf("this system reports user %d for a connection of user %d", uid, os.Geteuid())
	}
	return nil
}

// Accept waits for the next peer on the allow-list; the connection is a *UnixConn. All others are closed before a byte
// is read from them (CAP-UDS-003).
func (l *UnixListener) Accept() (net.Conn, error) {
	for {
		c, err := l.inner.AcceptUnix()
		if err != nil {
			return nil, err
		}
		uid, err := l.ask(c)
		if err == nil && slices.Contains(l.allow, uid) {
			return &UnixConn{c, uid}, nil
		}
		c.Close()
		if l.refused != nil {
			l.refused(&PeerError{UID: uid, Err: err})
		}
	}
}

func (l *UnixListener) ask(c *net.UnixConn) (uid uint32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, err
	}
	var asked error
	if err := raw.Control(func(fd uintptr) { uid, asked = l.peer(int(fd)) }); err != nil {
		return 0, err
	}
	return uid, asked
}

// Addr is the path of the socket.
func (l *UnixListener) Addr() net.Addr { return &net.UnixAddr{Name: l.at.path, Net: "unix"} }

// Close ends Accept and removes the socket, if the file at its path is still the one that was made here (CAP-UDS-009).
// Connections stay. Later calls return the error of the first.
func (l *UnixListener) Close() error {
	l.closed.Do(func() {
		// In this order: while the socket is open its inode lives, and no other file can have the same number.
		removed := l.at.remove(l.own)
		l.closing = errors.Join(removed, l.inner.Close())
		l.at.close()
	})
	return l.closing
}

// longest is how long the path of a socket can be, in bytes: sun_path less its final zero.
const longest = len(unix.RawSockaddrUnix{}.Path) - 1

// absolute is the path as it is used from here on, or why it can not be.
func absolute(path string) (string, error) {
	if path == "" {
		return "", refuse("", "", "the Unix socket needs a path")
	}
	if strings.ContainsRune(path, 0) {
		return "", refuse("", fmt.Sprintf("%q", path), "a path can not hold a zero byte")
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", &SetupError{Path: path, Err: err}
	}
	if len(abs) > longest {
		return "", refuse("", abs, "the path of a Unix socket can be %d bytes long on this system, and this one has %d", longest, len(abs))
	}
	return abs, nil
}
