package client

import "golang.org/x/sys/unix"

// listenerUID asks for the user who called listen on the other end (LOCAL_PEERCRED).
func listenerUID(fd int) (uint32, error) {
	cred, err := unix.GetsockoptXucred(fd, unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}
