package channel

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// backlog is how many connections wait for Accept at most; the system may have a lower limit.
const backlog = 128

// place is where a Unix socket is or will be: an open directory that passed its checks, and a name in it. All work goes
// by the descriptor, so that a directory that is moved or exchanged afterwards changes nothing.
type place struct {
	path string // of the socket, absolute, for people and for the system calls that take no descriptor
	name string
	dir  int
}

// identity tells one socket from the next one at the same path.
type identity struct{ dev, ino uint64 }

// openPlace opens and checks the directory of the socket at path.
func openPlace(path string) (*place, error) {
	path, err := absolute(path)
	if err != nil {
		return nil, err
	}
	folder := filepath.Dir(path)
	fd, err := unix.Open(folder, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		// Systems differ in the error for a link, so look again. Whatever is there now, it was refused.
		if info, e := os.Lstat(folder); e == nil && info.Mode()&os.ModeSymlink != 0 {
			return nil, refuse("CAP-UDS-008", folder, "the directory of the socket is a symbolic link")
		}
		return nil, &SetupError{"CAP-UDS-001", folder, fmt.Errorf("the directory of the socket can not be opened: %w", err)}
	}
	p := &place{path: path, name: filepath.Base(path), dir: fd}
	if err := p.check(folder); err != nil {
		p.close()
		return nil, err
	}
	return p, nil
}

// check holds the open directory to CAP-UDS-001.
func (p *place) check(folder string) error {
	var st unix.Stat_t
	if err := unix.Fstat(p.dir, &st); err != nil {
		return &SetupError{"CAP-UDS-001", folder, err}
	}
	if int(st.Uid) != os.Geteuid() {
		return refuse("CAP-UDS-001", folder, "the directory of the socket belongs to user %d, and not to user %d, who runs this node", st.Uid, os.Geteuid())
	}
	if mode := uint32(st.Mode) & 0o7777; mode != 0o700 { //nolint:unconvert // other types on other systems
		return refuse("CAP-UDS-001", folder, "the directory of the socket has mode %04o and must have 0700", mode)
	}
	return nil
}

func (p *place) close() { _ = unix.Close(p.dir) }

// locked does f while no other node works in the directory. The lock ends with this process at the latest.
func (p *place) locked(f func() error) error {
	for {
		err := unix.Flock(p.dir, unix.LOCK_EX)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.EINTR) {
			return &SetupError{Path: p.path, Err: fmt.Errorf("the directory can not be locked: %w", err)}
		}
	}
	err := f()
	_ = unix.Flock(p.dir, unix.LOCK_UN)
	return err
}

// listen clears the place, makes the socket and listens on it.
func (p *place) listen() (l *net.UnixListener, own identity, err error) {
	err = p.locked(func() error {
		if err := p.clear(); err != nil {
			return err
		}
		var fd int
		if fd, own, err = p.bind(); err != nil {
			return err
		}
		if l, err = listenOn(fd); err != nil {
			_ = p.unlink(own)
			return &SetupError{Path: p.path, Err: err}
		}
		return nil
	})
	return l, own, err
}

// clear removes a dead socket of ours from the place (CAP-UDS-007). Anything else there is an error.
func (p *place) clear() error {
	var st unix.Stat_t
	err := unix.Fstatat(p.dir, p.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return &SetupError{Path: p.path, Err: err}
	}
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFSOCK:
	case unix.S_IFLNK:
		return refuse("CAP-UDS-008", p.path, "is a symbolic link")
	default:
		return refuse("CAP-UDS-006", p.path, "exists and is not a socket")
	}
	if int(st.Uid) != os.Geteuid() {
		return refuse("CAP-UDS-007", p.path, "is a socket of user %d", st.Uid)
	}
	if err := p.dead(); err != nil {
		return err
	}
	if err := unix.Unlinkat(p.dir, p.name, 0); err != nil {
		return &SetupError{"CAP-UDS-007", p.path, fmt.Errorf("the dead socket can not be removed: %w", err)}
	}
	return nil
}

// dead is nil if nobody listens on the socket at the place. Only a refused connection proves that; a full backlog, or
// a socket of another type, has somebody behind it.
func (p *place) dead() error {
	fd, err := newSocket()
	if err != nil {
		return &SetupError{Path: p.path, Err: err}
	}
	defer unix.Close(fd)
	if err := unix.SetNonblock(fd, true); err != nil {
		return &SetupError{Path: p.path, Err: err}
	}
	err = unix.Connect(fd, &unix.SockaddrUnix{Name: p.reach()})
	switch {
	case errors.Is(err, unix.ECONNREFUSED):
		return nil
	case err == nil:
		return refuse("CAP-UDS-006", p.path, "somebody listens on this socket")
	}
	return &SetupError{"CAP-UDS-006", p.path, fmt.Errorf("somebody may be listening on this socket: %w", err)}
}

// bind makes the socket and sets its mode. Nobody can connect before listen(2) is called, so there is no moment in
// which the mode is wrong and the socket accepts (CAP-UDS-002).
func (p *place) bind() (fd int, own identity, err error) {
	if fd, err = newSocket(); err != nil {
		return -1, own, &SetupError{Path: p.path, Err: err}
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: p.reach()}); err != nil {
		unix.Close(fd)
		return -1, own, &SetupError{Path: p.path, Err: fmt.Errorf("bind: %w", err)}
	}
	if own, err = p.secure(); err != nil {
		_ = p.unlink(own)
		unix.Close(fd)
		return -1, own, err
	}
	return fd, own, nil
}

// secure sets the mode of the socket that bind made, and makes sure that it is where it should be: bind(2) goes by a
// path, and on some systems there is no other way to it.
func (p *place) secure() (own identity, err error) {
	var st unix.Stat_t
	if err := unix.Fstatat(p.dir, p.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return own, &SetupError{"CAP-UDS-008", p.path, fmt.Errorf("the socket did not appear in its directory: %w", err)}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFSOCK || int(st.Uid) != os.Geteuid() {
		return own, refuse("CAP-UDS-008", p.path, "something else took the place of the socket")
	}
	own = identity{uint64(st.Dev), st.Ino} //nolint:unconvert // other types on other systems
	if err := unix.Fchmodat(p.dir, p.name, 0o600, 0); err != nil {
		return own, &SetupError{"CAP-UDS-002", p.path, err}
	}
	if err := unix.Fstatat(p.dir, p.name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return own, &SetupError{"CAP-UDS-002", p.path, err}
	}
	if mode := uint32(st.Mode) & 0o7777; mode != 0o600 || (identity{uint64(st.Dev), st.Ino}) != own { //nolint:unconvert // other types on other systems
		return own, refuse("CAP-UDS-002", p.path, "the socket has mode %04o and must have 0600", mode)
	}
	return own, nil
}

// listenOn makes a listener of a bound socket, and takes the descriptor.
func listenOn(fd int) (*net.UnixListener, error) {
	f := os.NewFile(uintptr(fd), "unix socket")
	defer f.Close() // FileListener has its own
	if err := unix.Listen(fd, backlog); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	return l.(*net.UnixListener), nil
}

// remove takes own away from the place, while no other node works in the directory.
func (p *place) remove(own identity) error {
	return p.locked(func() error { return p.unlink(own) })
}

// unlink removes the file at the place if it is own, and nothing else (CAP-UDS-009). That own is gone is no error.
func (p *place) unlink(own identity) error {
	var st unix.Stat_t
	err := unix.Fstatat(p.dir, p.name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("unix socket: %w", err)
	}
	if (identity{uint64(st.Dev), st.Ino}) != own { //nolint:unconvert // other types on other systems
		return nil
	}
	if err := unix.Unlinkat(p.dir, p.name, 0); err != nil {
		return fmt.Errorf("unix socket can not be removed: %w", err)
	}
	return nil
}
