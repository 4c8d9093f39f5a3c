package store

import "golang.org/x/sys/unix"

// reserve maps size bytes of address space that take no memory until they are touched.
func reserve(size int) (region, error) {
	mem, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return region{}, err
	}
	r := region{mem: mem, unmap: func() error { return unix.Munmap(mem) }}
	r.note("payload memory is not kept out of core dumps: darwin has no MADV_DONTDUMP")
	r.note("payload memory is not kept from forked processes: darwin has no MADV_DONTFORK")
	// mlock here would fault in the whole region at once.
	r.note("payload memory is not locked into RAM and may be swapped: darwin can not lock pages as they are touched")
	return r, nil
}
