package channel

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// What darwin does not give: a connection to a socket whose backlog is full is refused just as one to a dead socket, so a
// node that starts while the owner of the socket accepts nothing takes it for dead (CAP-UDS-006 holds in all other cases).

// newSocket is a Unix stream socket that child processes do not inherit.
func newSocket() (int, error) {
	syscall.ForkLock.RLock() // there is no SOCK_CLOEXEC
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(fd)
	return fd, nil
}

// reach is a path to the place. There is no way to a socket by the descriptor of its directory here, so bind and connect
// go by the path, and secure looks afterwards where the socket came to be.
func (p *place) reach() string { return p.path }

// peerUID asks for the user who connected (LOCAL_PEERCRED).
func peerUID(fd int) (uint32, error) {
	cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}
