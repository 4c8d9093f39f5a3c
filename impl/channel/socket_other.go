//go:build unix && !linux && !darwin

package channel

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// newSocket is a Unix stream socket that child processes do not inherit.
func newSocket() (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(fd)
	return fd, nil
}

// reach is a path to the place.
func (p *place) reach() string { return p.path }

// peerUID knows no way to ask for the user who connected, so no Unix socket can be served (CAP-UDS-005).
func peerUID(int) (uint32, error) { return 0, unix.ENOTSUP }
