package channel

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// newSocket is a Unix stream socket that child processes do not inherit. The file that bind makes of it has mode 0600
// from the first moment, since Linux takes the mode from the socket.
func newSocket() (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Fchmod(fd, 0o600); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// reach is a path to the place that goes by the open directory: what happens to the directories above it does not matter.
func (p *place) reach() string { return "/proc/self/fd/" + strconv.Itoa(p.dir) + "/" + p.name }

// peerUID asks for the user who connected (SO_PEERCRED).
func peerUID(fd int) (uint32, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}
