package client

import (
	"fmt"
	"net"
	"os"

	"github.com/rustyonions/micronode/spec"
)

// OwnerError says that a token would have gone to a Unix socket of somebody else (CAP-UDS-010). Nothing was sent. It carries
// spec.Forbidden.
type OwnerError struct {
	Path string
	UID  uint32 // who listens, as the kernel says
	Err  error  // why the kernel could not say; UID means nothing then
}

// Error says whose it is.
func (e *OwnerError) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("a token is not sent to the socket %s: who listens there can not be found out: %v", printable(e.Path), e.Err)
	}
	return fmt.Sprintf("a token is not sent to the socket %s: user %d listens there, and neither this one nor root (CAP-UDS-010)", printable(e.Path), e.UID)
}

// Unwrap gives spec.Forbidden.
func (e *OwnerError) Unwrap() error { return spec.Forbidden }

// guardOwner gives up a connection to a Unix socket on which neither this user nor root listens: they could use the token.
func guardOwner(nc *net.UnixConn, path string) (net.Conn, error) {
	raw, err := nc.SyscallConn()
	var uid uint32
	if err == nil {
		var asked error
		err = raw.Control(func(fd uintptr) { uid, asked = listenerUID(int(fd)) })
		if err == nil {
			err = asked
		}
	}
	if err != nil || !trusted(uid) {
		nc.Close()
		return nil, &OwnerError{Path: path, UID: uid, Err: err}
	}
	return nc, nil
}

// trusted says whether who runs this program may see its tokens: that is so for the same user and for root.
func trusted(uid uint32) bool { return uid == 0 || uid == uint32(os.Geteuid()) }
