package store

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// reserve maps size bytes of address space that take no memory until they are touched.
func reserve(size int) (region, error) {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return region{}, err
	}
	r := region{mem: mem, unmap: func() error { return unix.Munmap(mem) }}
	if err := unix.Madvise(mem, unix.MADV_DONTDUMP); err != nil {
		r.note("payload memory is not kept out of core dumps: %v", err)
	} else {
		r.undumpable = true
	}
	if err := unix.Madvise(mem, unix.MADV_DONTFORK); err != nil {
		r.note("payload memory is not kept from forked processes: %v", err)
	}
	// Without large pages a store that fills up takes one page fault for every 4 KiB that arrive; refusal only costs time.
	_ = unix.Madvise(mem, unix.MADV_HUGEPAGE)
	// ONFAULT: pages are locked as they are touched, so that an empty store stays small.
	_, _, errno := unix.Syscall(unix.SYS_MLOCK2, uintptr(unsafe.Pointer(&mem[0])), uintptr(size), unix.MLOCK_ONFAULT)
	if errno != 0 {
		r.note("payload memory is not locked into RAM and may be swapped: %v%s", errno, memlockLimit())
	} else {
		r.locked = true
	}
	return r, nil
}

// memlockLimit explains a refused lock by the limit that is nearly always its cause.
func memlockLimit() string {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_MEMLOCK, &lim); err != nil || lim.Cur == unix.RLIM_INFINITY {
		return ""
	}
	return fmt.Sprintf(" (RLIMIT_MEMLOCK is %d KiB)", lim.Cur>>10)
}
