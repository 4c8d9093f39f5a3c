package secret

import (
	"crypto/subtle"
	"errors"
	"fmt"
	"os"
	"sync"
)

const (
	// SlotSize is how many bytes a slot of a Vault holds, and so the longest secret.
	SlotSize = 64
	// maxSlots keeps the arithmetic of NewVault far from overflow; a node holds about a hundred keys.
	maxSlots = 1 << 20
)

var (
	// ErrFull says that every slot of the Vault is taken.
	ErrFull = errors.New("secret: the vault is full")
	// ErrClosed says that the Vault was closed.
	ErrClosed = errors.New("secret: the vault is closed")
	// ErrWiped says that the secret was wiped.
	ErrWiped = errors.New("secret: wiped")
)

// region is the memory behind a Vault and what the system promised about it.
type region struct {
	mem                         []byte // between two guard pages that fault on every access
	unmap                       func() error
	locked, undumpable, noForks bool
	notes                       []string
}

func (r *region) note(format string, args ...any) {
	r.notes = append(r.notes, fmt.Sprintf(format, args...))
}

// Vault is memory for secrets with a fixed number of slots of 64 bytes (CAP-KEY-003). It lies outside of the garbage
// collector's heap, so nothing moves or copies it; it is locked into RAM, kept out of core dumps and empty in forked
// processes, as far as the system grants that; and a page on each side of it faults on every access. All methods are safe
// for concurrent use.
type Vault struct {
	Redacted
	in *vault // behind a pointer for the reason that Redacted gives
}

type vault struct {
	*region
	slots int
	once  sync.Once
	err   error // of unmapping

	mu     sync.Mutex
	taken  []*Bytes // by slot; nil is free
	inUse  int
	closed bool
}

// Stats says what a Vault holds and how well it is guarded.
type Stats struct {
	Slots, InUse int
	// Locked says that the memory can not be swapped out.
	Locked bool
	// Undumpable says that core dumps leave the memory out.
	Undumpable bool
	// WipedOnFork says that a forked process finds zeros in place of the secrets.
	WipedOnFork bool
	// Notes says in words what the system refused, for the operator. It is empty if everything was granted.
	Notes []string
}

// NewVault makes a vault of 1 to 2^20 slots of SlotSize bytes. What the system refuses except the memory itself is no error
// but a note in Stats. The caller closes it.
func NewVault(slots int) (*Vault, error) {
	if slots < 1 || slots > maxSlots {
		return nil, fmt.Errorf("secret: a vault of %d slots, want 1 to %d", slots, maxSlots)
	}
	page := os.Getpagesize()
	r, err := reserve((slots*SlotSize+page-1)/page*page, page)
	if err != nil {
		return nil, fmt.Errorf("secret: guarded memory: %w", err)
	}
	return &Vault{in: &vault{region: &r, slots: slots, taken: make([]*Bytes, slots)}}, nil
}

// New takes a slot for a secret of n bytes, 1 to SlotSize, all zero. The error is ErrFull or ErrClosed, or n is out of range.
func (v *Vault) New(n int) (*Bytes, error) {
	if n < 1 || n > SlotSize {
		return nil, fmt.Errorf("secret: %d bytes, want 1 to %d", n, SlotSize)
	}
	in := v.in
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.closed {
		return nil, ErrClosed
	}
	for i, b := range in.taken {
		if b == nil {
			mem := in.mem[i*SlotSize:][:n:n]
			b = &Bytes{cell: &cell{vault: in, slot: i, mem: &mem}}
			in.taken[i] = b
			in.inUse++
			return b, nil
		}
	}
	return nil, ErrFull
}

// Close wipes every secret, waiting for those that Use or Equal is reading, and gives the memory back. Later calls wait for
// the first and return the same.
func (v *Vault) Close() error {
	in := v.in
	in.once.Do(func() {
		in.mu.Lock()
		in.closed = true
		taken := append([]*Bytes(nil), in.taken...)
		in.mu.Unlock()
		for _, b := range taken {
			if b != nil {
				b.Wipe()
			}
		}
		clear(in.mem) // slots are zero already; this makes it true even of a write through a slice that outlived its secret
		in.mu.Lock()
		defer in.mu.Unlock()
		in.mem = nil
		in.err = in.unmap()
	})
	return in.err
}

// Stats returns the state of the vault.
func (v *Vault) Stats() Stats {
	in := v.in
	in.mu.Lock()
	defer in.mu.Unlock()
	return Stats{
		Slots: in.slots, InUse: in.inUse, Locked: in.locked, Undumpable: in.undumpable, WipedOnFork: in.noForks,
		Notes: append([]string(nil), in.notes...),
	}
}

// Bytes is one secret in a Vault. All methods are safe for concurrent use.
type Bytes struct {
	Redacted
	cell *cell
}

type cell struct {
	vault *vault
	slot  int

	mu  sync.RWMutex
	mem *[]byte // nil once wiped; the second pointer that Redacted asks for
}

// Bytes returns the memory itself, not a copy; nothing can be appended to it in place. It returns nil after Wipe, which a
// caller has to check: a MAC under an empty key is one that everybody can make. The caller sees to it that neither Wipe nor
// the Close of the Vault happens while it holds the slice: after Wipe it would read zeros or the next secret of the slot, and
// after Close it would fault. Where that is not certain, Use is the way.
func (b *Bytes) Bytes() []byte {
	b.cell.mu.RLock()
	defer b.cell.mu.RUnlock()
	if b.cell.mem == nil {
		return nil
	}
	return *b.cell.mem
}

// Use calls f with the memory itself and holds off Wipe and Close until f returns. The error is ErrWiped, and f is not
// called then. f may not keep the slice, and may not call Wipe or Close, which would wait for it, nor Use of the same secret
// again.
func (b *Bytes) Use(f func(secret []byte)) error {
	b.cell.mu.RLock()
	defer b.cell.mu.RUnlock()
	if b.cell.mem == nil {
		return ErrWiped
	}
	f(*b.cell.mem)
	return nil
}

// Equal compares in constant time (CAP-KEY-004): how long it takes tells the length of the secret and nothing of its bytes.
// After Wipe it is false for everything.
func (b *Bytes) Equal(other []byte) bool {
	b.cell.mu.RLock()
	defer b.cell.mu.RUnlock()
	return b.cell.mem != nil && subtle.ConstantTimeCompare(*b.cell.mem, other) == 1
}

// Wipe overwrites the secret and frees its slot (AMN-ZER-005). It waits for Use and Equal to be done, and does nothing the
// second time.
func (b *Bytes) Wipe() {
	c := b.cell
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mem == nil {
		return
	}
	clear(*c.mem)
	c.mem = nil
	c.vault.mu.Lock()
	defer c.vault.mu.Unlock()
	c.vault.taken[c.slot] = nil
	c.vault.inUse--
}
