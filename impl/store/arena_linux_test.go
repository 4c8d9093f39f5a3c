package store

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"unsafe"
)

// TestRegion asks the kernel what it knows about the region: it says the same as Stats, and has given out no more pages
// than were touched.
func TestRegion(t *testing.T) {
	s := open(t, 4<<30/spanSize)
	store(t, s, []byte("one object"))
	st := s.Stats()
	t.Logf("locked %d bytes, undumpable %v, notes %q", st.LockedBytes, st.Undumpable, st.Notes)
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	_, entry, found := strings.Cut(string(smaps), fmt.Sprintf("\n%x-", uintptr(unsafe.Pointer(&s.arena.mem[0]))))
	if !found {
		t.Fatal("the region is no mapping of its own")
	}
	entry, _, _ = strings.Cut(entry, "\nVmFlags:")
	_, flags, _ := strings.Cut(string(smaps), entry+"\nVmFlags:")
	flags, _, _ = strings.Cut(flags, "\n")
	has := func(flag string) bool { return slices.Contains(strings.Fields(flags), flag) }
	if has("lo") != (st.LockedBytes == st.Capacity) || has("dd") != st.Undumpable {
		t.Errorf("flags %q of the kernel against locked %d, undumpable %v", flags, st.LockedBytes, st.Undumpable)
	}
	if !(has("lo") && has("dd") && has("dc")) && len(st.Notes) == 0 {
		t.Errorf("flags are %q, and no note says what is missing", flags)
	}
	for line := range strings.Lines(entry) {
		var kib int
		if n, _ := fmt.Sscanf(line, "Rss: %d kB", &kib); n == 1 && (kib == 0 || kib > 2048) {
			t.Errorf("%d KiB are resident for one small object, want a page of at most 2 MiB", kib)
		}
	}
}
