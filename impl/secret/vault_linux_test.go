package secret

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// TestKernelAgrees asks the kernel what it knows about the memory of a vault: it says the same as Stats, and a note says
// what is missing (CAP-KEY-003).
func TestKernelAgrees(t *testing.T) {
	v := newVault(t, 3)
	st := v.Stats()
	t.Logf("locked %v, undumpable %v, wiped on fork %v, notes %q", st.Locked, st.Undumpable, st.WipedOnFork, st.Notes)
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	start := uintptr(unsafe.Pointer(&v.in.mem[0]))
	_, entry, found := strings.Cut(string(smaps), fmt.Sprintf("\n%x-%x rw-p ", start, start+uintptr(len(v.in.mem))))
	if !found {
		t.Fatal("the vault is no mapping of its own")
	}
	_, flags, _ := strings.Cut(entry, "\nVmFlags:")
	flags, _, _ = strings.Cut(flags, "\n")
	has := func(flag string) bool { return slices.Contains(strings.Fields(flags), flag) }
	if has("lo") != st.Locked || has("dd") != st.Undumpable || has("wf") != st.WipedOnFork {
		t.Errorf("flags %q of the kernel against %+v", flags, st)
	}
	missing := 0
	for _, granted := range []bool{st.Locked, st.Undumpable, st.WipedOnFork} {
		if !granted {
			missing++
		}
	}
	if len(st.Notes) != missing {
		t.Errorf("%d protections are missing, and the notes are %q", missing, st.Notes)
	}
	if !st.Undumpable || !st.WipedOnFork { // no limit and no privilege stands in the way of these
		t.Errorf("%+v", st)
	}
}

// TestGuardPages reads the byte before and the byte behind the slots (CAP-KEY-003).
func TestGuardPages(t *testing.T) {
	v := newVault(t, 3)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	first := unsafe.Pointer(&v.in.mem[0])
	faults := func(p unsafe.Pointer) (fault bool) {
		defer func() { fault = recover() != nil }()
		_ = *(*byte)(p)
		return
	}
	if !faults(unsafe.Add(first, -1)) || !faults(unsafe.Add(first, len(v.in.mem))) {
		t.Error("a page beside the secrets can be read")
	}
	if faults(first) || faults(unsafe.Add(first, len(v.in.mem)-1)) {
		t.Error("the secrets can not be read")
	}
}

// forkAndWrite has a forked child write mem to the file fd and end, and returns its process id. The child may only make
// system calls: it has one of the threads of its parent and the locks of all.
//
//go:norace
//go:noinline
//go:nosplit
func forkAndWrite(fd, mem, size uintptr) (uintptr, unix.Errno) {
	pid, _, errno := unix.RawSyscall6(unix.SYS_CLONE, uintptr(unix.SIGCHLD), 0, 0, 0, 0, 0)
	if errno != 0 || pid != 0 {
		return pid, errno
	}
	_, _, _ = unix.RawSyscall(unix.SYS_WRITE, fd, mem, size)
	for {
		_, _, _ = unix.RawSyscall(unix.SYS_EXIT_GROUP, 0, 0, 0)
	}
}

// TestForkFindsZeros forks for real, and lets the child say what it finds in the vault (CAP-KEY-003).
func TestForkFindsZeros(t *testing.T) {
	v := newVault(t, 1)
	secret := []byte("not for children")
	mem := newBytes(t, v, secret).Bytes()
	open := slices.Clone(secret) // ordinary memory, which the child does find
	in := func(b []byte) []byte {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer r.Close()
		runtime.LockOSThread()
		pid, errno := forkAndWrite(w.Fd(), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)))
		runtime.UnlockOSThread()
		_ = w.Close()
		if errno != 0 {
			t.Fatal(errno)
		}
		said, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := unix.Wait4(int(pid), nil, 0, nil); err != nil {
			t.Fatal(err)
		}
		runtime.KeepAlive(b)
		return said
	}
	if said := in(open); string(said) != string(secret) {
		t.Fatalf("the child said %q of ordinary memory: the test can see nothing", said)
	}
	if said := in(mem); string(said) != string(make([]byte, len(secret))) {
		t.Errorf("the child found %q", said)
	}
	if string(mem) != string(secret) {
		t.Error("the parent lost its secret")
	}
}

// hunt counts the places in the writable memory of this process that hold the bytes masked XOR mask, so that looking for
// them puts no copy of them anywhere but into its own buffer, which it leaves out.
func hunt(t *testing.T, masked, mask []byte) (places []uintptr) {
	t.Helper()
	const step = 1 << 20
	buf, err := unix.Mmap(-1, 0, step, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Munmap(buf); err != nil {
			t.Error(err)
		}
	}()
	own := uintptr(unsafe.Pointer(&buf[0]))
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Fatal(err)
	}
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Fatal(err)
	}
	defer mem.Close()
	lines := bufio.NewScanner(strings.NewReader(string(maps)))
	for lines.Scan() {
		var from, to uintptr
		var mode string
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode); n != 3 || !strings.HasPrefix(mode, "rw") {
			continue
		}
		if to-from > 1<<30 { // only the race detector maps so much, and it keeps no bytes of the program there
			t.Logf("left out: %s", lines.Text())
			continue
		}
		for at := from; at < to; at += step - uintptr(len(mask)) {
			n, _ := mem.ReadAt(buf[:min(step, to-at)], int64(at)) // 0 where a mapping has gone meanwhile
			for i := 0; i <= n-len(mask); i++ {
				skip := bytes.IndexByte(buf[i:n-len(mask)+1], masked[0]^mask[0])
				if skip < 0 {
					break
				}
				i += skip
				if where := at + uintptr(i); holds(buf[i:], masked, mask) && (where < own || where >= own+step) && !slices.Contains(places, where) {
					places = append(places, where)
				}
			}
		}
	}
	return places
}

func holds(at, masked, mask []byte) bool {
	for k := range mask {
		if at[k]^mask[k] != masked[k] {
			return false
		}
	}
	return true
}

// TestKeyIsFoundNowhere plants a key in a vault and looks for it in all the memory of the process: it is there once, in its
// slot, while it lives, and nowhere once it was wiped or the vault was closed (AMN-ZER-008, CAP-KEY-003).
func TestKeyIsFoundNowhere(t *testing.T) {
	masked, mask := make([]byte, 32), make([]byte, 32)
	for name, end := range map[string]func(*Vault, *Bytes){
		"wipe":  func(_ *Vault, b *Bytes) { b.Wipe() },
		"close": func(v *Vault, _ *Bytes) { _ = v.Close() },
	} {
		for _, b := range [][]byte{masked, mask} {
			if _, err := rand.Read(b); err != nil {
				t.Fatal(err)
			}
		}
		masked[0] = mask[0] ^ 0xa7 // a rare byte, for speed
		v := newVault(t, 4)
		b, err := v.New(32)
		if err != nil {
			t.Fatal(err)
		}
		plant := func(into []byte) {
			for i := range into {
				into[i] = masked[i] ^ mask[i]
			}
		}
		if found := hunt(t, masked, mask); len(found) != 0 {
			t.Fatalf("%s: found at %x before it was there", name, found)
		}
		plant(b.Bytes())
		slot := uintptr(unsafe.Pointer(&b.Bytes()[0]))
		if found := hunt(t, masked, mask); !slices.Equal(found, []uintptr{slot}) {
			t.Errorf("%s: found at %x while it lives, want only its slot %x", name, found, slot)
		}
		end(v, b)
		if found := hunt(t, masked, mask); len(found) != 0 {
			t.Errorf("%s: found at %x afterwards", name, found)
		}
		leak := make([]byte, 32)
		plant(leak)
		if found := hunt(t, masked, mask); len(found) == 0 {
			t.Errorf("%s: a copy on the heap was not found: the test can see nothing", name)
		}
		runtime.KeepAlive(leak)
		clear(leak)
	}
}
