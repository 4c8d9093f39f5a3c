package secret

import "golang.org/x/sys/unix"

// reserve maps size bytes for secrets, all zero, between guard pages.
func reserve(size, page int) (region, error) {
	r, err := between(size, page)
	if err != nil {
		return region{}, err
	}
	r.note("key memory is not kept out of core dumps: darwin has no MADV_DONTDUMP")
	r.note("key memory is not kept from forked processes: darwin has no MADV_WIPEONFORK")
	if err := unix.Mlock(r.mem); err != nil {
		r.note("key memory is not locked into RAM and may be swapped: %v", err)
	} else {
		r.locked = true
	}
	return r, nil
}
