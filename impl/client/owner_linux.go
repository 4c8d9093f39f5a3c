package client

import "golang.org/x/sys/unix"

// listenerUID asks for the user who called listen on the other end (SO_PEERCRED).
func listenerUID(fd int) (uint32, error) {
	cred, err := unix.GetsockoptUcred(fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, err
	}
	return cred.Uid, nil
}
