package conformance

import (
	"fmt"
	"net"
	"os"
	"runtime"
	"syscall"
)

// canActAs says whether dialAs can work.
func canActAs() bool { return os.Geteuid() == 0 }

// dialAs connects to a Unix socket as another user and has do talk. Credentials belong to a thread in Linux, so one is
// spent on it: it keeps the foreign user id, and ends with its goroutine.
func dialAs(uid int, path string, do func(net.Conn)) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and no unlocking: the thread is not used again
		const keep = ^uintptr(0)
		if _, _, errno := syscall.RawSyscall(syscall.SYS_SETRESUID, keep, uintptr(uid), keep); errno != 0 {
			done <- fmt.Errorf("setresuid: %w", errno)
			return
		}
		nc, err := net.Dial("unix", path)
		if err == nil {
			do(nc)
			nc.Close()
		}
		done <- err
	}()
	return <-done
}
