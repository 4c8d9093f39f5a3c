package secret

import "golang.org/x/sys/unix"

// between maps size bytes with a page before and a page behind that can not be accessed. Both are multiples of the page.
func between(size, page int) (region, error) {
	all, err := unix.Mmap(-1, 0, size+2*page, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		return region{}, err
	}
	mem := all[page : page+size : page+size]
	if err := unix.Mprotect(mem, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		_ = unix.Munmap(all)
		return region{}, err
	}
	return region{mem: mem, unmap: func() error { return unix.Munmap(all) }}, nil
}
