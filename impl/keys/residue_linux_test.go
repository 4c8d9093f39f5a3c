package keys

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha512"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"golang.org/x/sys/unix"

	"github.com/rustyonions/micronode/impl/secret"
)

// masked is a seed of which no memory holds the bytes: they are value XOR mask. Read writes them where a seed is wanted.
type masked struct{ value, mask [seedLen]byte }

func newMasked(t *testing.T) *masked {
	m := new(masked)
	for _, b := range [][]byte{m.value[:], m.mask[:]} {
		if _, err := rand.Read(b); err != nil {
			t.Fatal(err)
		}
	}
	m.value[0] = m.mask[0] ^ 0xa7 // a rare byte, for speed
	return m
}

func (m *masked) Read(b []byte) (int, error) {
	for i := range b {
		b[i] = m.value[i] ^ m.mask[i]
	}
	return len(b), nil
}

func (m *masked) at(b []byte) bool {
	for i := range m.mask {
		if b[i]^m.mask[i] != m.value[i] {
			return false
		}
	}
	return true
}

// count counts the seed in the writable memory of this process, but for the buffer that it reads through.
func (m *masked) count(t *testing.T) (n int) {
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
	lines := bufio.NewScanner(bytes.NewReader(maps))
	for lines.Scan() {
		var from, to uintptr
		var mode string
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode); n != 3 || !strings.HasPrefix(mode, "rw") || to-from > 1<<30 {
			continue // only the race detector maps more than 1 GiB, and it keeps no bytes of the program there
		}
		for at := from; at < to; at += step - seedLen {
			size, _ := mem.ReadAt(buf[:min(step, to-at)], int64(at)) // 0 where a mapping has gone meanwhile
			for i := 0; i <= size-seedLen; i++ {
				skip := bytes.IndexByte(buf[i:size-seedLen+1], m.value[0]^m.mask[0])
				if skip < 0 {
					break
				}
				i += skip
				if where := at + uintptr(i); m.at(buf[i:]) && (where < own || where >= own+step) && i < step-seedLen {
					n++
				}
			}
		}
	}
	return n
}

// two reads the seed of one for the first key that is made, and that of the other for the second.
type two struct{ first, second *masked }

func (r *two) Read(b []byte) (int, error) {
	n, err := r.first.Read(b)
	r.first = r.second
	return n, err
}

// derived hides the secrets that signing derives from the seeds: the half of an expanded Ed25519 key that makes its nonces,
// and the K of ML-DSA-65. It leaves copies of its own unless secret.Do erases.
func derived(t *testing.T, ed, pq *masked) (prefix, k *masked) {
	prefix, k = newMasked(t), newMasked(t)
	secret.Do(func() {
		var seed [seedLen]byte
		_, _ = ed.Read(seed[:])
		h := sha512.Sum512(seed[:])
		prefix.hide(h[seedLen:])
		clear(h[:])
		_, _ = pq.Read(seed[:])
		_, key := mldsa65.NewKeyFromSeed(&seed)
		packed := key.Bytes()
		k.hide(packed[32:64])
		*key = mldsa65.PrivateKey{}
		clear(packed)
		clear(seed[:])
	})
	return prefix, k
}

func (m *masked) hide(b []byte) {
	for i := range m.mask {
		m.value[i] = b[i] ^ m.mask[i]
	}
}

// TestKeysAreFoundNowhere makes keys with seeds that it can find, uses and closes them, and searches all the memory of the
// process (AMN-ZER-008, CAP-KEY-003). The seeds of ML-DSA-65 and of sealing are only ever in the vault. What the Ed25519 of
// the standard library copies to the heap, and what is derived while signing, is gone after a collection where secret.Do
// erases; other builds can only say how much is left.
func TestKeysAreFoundNowhere(t *testing.T) {
	ed, pq, xw := newMasked(t), newMasked(t), newMasked(t)
	prefix, k := newMasked(t), newMasked(t)
	if secret.Erases {
		prefix, k = derived(t, ed, pq)
	}
	v := vault(t)
	id, err := NewIdentity(v, &two{ed, pq})
	if err != nil {
		t.Fatal(err)
	}
	sealing, err := NewSealingKey(v, xw)
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		sign(t, id, "p", []byte("m"))
		signNote(t, id.NoteSigners("node")...)
		if _, err := sealing.Open(nil, nil, seal(t, sealing, "", "", "text")); err != nil {
			t.Fatal(err)
		}
	}
	if ed.count(t) == 0 || pq.count(t) != 1 || xw.count(t) != 1 {
		t.Errorf("while they live the seeds are found %d, %d and %d times, want once each in the vault", ed.count(t), pq.count(t), xw.count(t))
	}
	id.Close()
	sealing.Close()
	for range 3 {
		runtime.GC()
	}
	if pq.count(t) != 0 || xw.count(t) != 0 {
		t.Errorf("the seeds of ML-DSA-65 and sealing are found %d and %d times after Close", pq.count(t), xw.count(t))
	}
	left := []int{ed.count(t), prefix.count(t), k.count(t)}
	if !secret.Erases {
		t.Logf("this build does not erase; the heap still has %d copies of the Ed25519 seed", left[0])
	} else if !slices.Equal(left, []int{0, 0, 0}) {
		t.Errorf("the Ed25519 seed, its derived half and the K of ML-DSA-65 are found %v times after Close", left)
	}
}
