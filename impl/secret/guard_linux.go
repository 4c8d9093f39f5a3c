package secret

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// reserve maps size bytes for secrets, all zero, between guard pages.
func reserve(size, page int) (region, error) {
	r, err := between(size, page)
	if err != nil {
		return region{}, err
	}
	if err := unix.Madvise(r.mem, unix.MADV_DONTDUMP); err != nil {
		r.note("key memory is not kept out of core dumps: %v", err)
	} else {
		r.undumpable = true
	}
	if err := unix.Madvise(r.mem, unix.MADV_WIPEONFORK); err != nil {
		r.note("key memory is not kept from forked processes: %v", err)
	} else {
		r.noForks = true
	}
	if err := unix.Mlock(r.mem); err != nil {
		r.note("key memory is not locked into RAM and may be swapped: %v%s", err, memlockLimit())
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
