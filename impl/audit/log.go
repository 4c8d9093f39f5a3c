package audit

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/rustyonions/micronode/spec"
)

const (
	// MaxCapacity is the largest Config.Capacity, in records.
	MaxCapacity = 1 << 20
	// DefaultCheckpoints is how many checkpoints stay provable unless configured otherwise.
	DefaultCheckpoints = 1024
	// MaxCheckpoints is the largest Config.Checkpoints.
	MaxCheckpoints = 1 << 16
	// Counted is the index that Append gives to an event that was counted and has no record of its own.
	Counted = ^uint64(0)
)

// Config is what New needs.
type Config struct {
	// Capacity is how many records are held at once, 1 to MaxCapacity. A held record takes about 250 bytes of memory
	// with its part of the tree.
	Capacity int
	// Hold keeps every record until it was acknowledged, instead of overwriting the oldest one (CAP-AUD-010).
	Hold bool
	// Origin is the first line of checkpoints: 1 to 255 printable ASCII characters without space or plus.
	Origin string
	// Signers sign all together: one for each key of the node, none of them twice.
	Signers []note.Signer
	// Identity is what the header of an export says about the keys of the node: ids and public keys.
	Identity []Line
	// Checkpoints is how many of the latest checkpoints stay provable; 0 is DefaultCheckpoints.
	Checkpoints int
	// Now is the clock for records without a time; nil is time.Now. It is called under the lock of the log.
	Now func() time.Time
}

func (c *Config) check() error {
	switch {
	case c.Capacity < 1 || c.Capacity > MaxCapacity:
		return fmt.Errorf("%w: capacity of %d", ErrConfig, c.Capacity)
	case c.Checkpoints < 0 || c.Checkpoints > MaxCheckpoints:
		return fmt.Errorf("%w: %d checkpoints", ErrConfig, c.Checkpoints)
	case !isOrigin(c.Origin):
		return fmt.Errorf("%w: origin %q", ErrConfig, c.Origin)
	case len(c.Signers) == 0:
		return fmt.Errorf("%w: no signer", ErrConfig)
	}
	for i, s := range c.Signers {
		if s == nil || slices.ContainsFunc(c.Signers[:i], func(o note.Signer) bool { return o.Name() == s.Name() && o.KeyHash() == s.KeyHash() }) {
			return fmt.Errorf("%w: signer %d is nil or was there before", ErrConfig, i)
		}
	}
	h := Header{Origin: c.Origin, Identity: c.Identity, Size: maxNumber, Frontier: make([]tlog.Hash, levels)}
	if len(h.text()) > maxNote || !identityFits(c.Identity) {
		return fmt.Errorf("%w: identity", ErrConfig)
	}
	return nil
}

// isOrigin leaves out what note names can not have, and what the other notes of an export begin with.
func isOrigin(s string) bool { return isWord(s, 255) && !strings.HasPrefix(s, exportTitle) }

// isWord says whether s has 1 to limit characters, all of them printable ASCII without space and plus.
func isWord(s string, limit int) bool {
	return s != "" && len(s) <= limit && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == '+' })
}

// Log is the audit log of one node. It is safe for concurrent use. Its memory is bounded by its Config.
type Log struct {
	config Config
	full   atomic.Bool // what Full reads: written under mu

	exporting sync.Mutex // one export at a time; taken first

	signing sync.Mutex // one signature at a time; never together with mu
	signed  struct {   // the latest checkpoint, under signing
		size uint64
		note []byte // nil before the first one
	}

	mu       sync.Mutex // everything below; never held while signing or writing
	tree     *tree
	records  []Record // a ring: record i is at i % capacity while first <= i < tree.size
	first    uint64
	scratch  []byte // the zero byte of RFC 6962 and the encoding of the record at hand
	pending  uint64 // events that were counted and not recorded yet (CAP-AUD-010)
	missed   uint64
	exported uint64                      // the size of the latest complete export
	reasons  map[spec.Reason]spec.Reason // to keep no text of the caller alive, only that of the law
	ops      map[spec.Op]spec.Op
}

// New makes an empty log. The only errors are those of the Config, ErrConfig.
func New(config Config) (*Log, error) {
	if err := config.check(); err != nil {
		return nil, err
	}
	if config.Checkpoints == 0 {
		config.Checkpoints = DefaultCheckpoints
	}
	if config.Now == nil {
		config.Now = time.Now
	}
	config.Signers, config.Identity = slices.Clone(config.Signers), slices.Clone(config.Identity)
	l := &Log{
		config:  config,
		tree:    newTree(config.Capacity, config.Checkpoints),
		records: make([]Record, config.Capacity),
		scratch: make([]byte, 1, 1+spec.MaxAuditRecord),
		reasons: map[spec.Reason]spec.Reason{},
		ops:     map[spec.Op]spec.Op{},
	}
	for _, r := range spec.Reasons() {
		l.reasons[r] = r
	}
	for _, op := range spec.Ops() {
		l.ops[op] = op
	}
	return l, nil
}

// Append records one event and gives it the next index (CAP-AUD-001). It is synchronous: the record is in the tree when
// Append returns, and it never waits for a signature or for an export.
//
// A log that drops by age overwrites its oldest record when it is full (CAP-AUD-008). A log that holds its records fails
// with ErrFull then, and the caller refuses what it was about to do (CAP-AUD-009). What happened already and can not be
// refused (denials, readiness, integrity failures, start and stop), or must not be (revocations, rotations), is counted
// instead: the index is Counted, the error nil, and Acknowledge writes the Missed record (CAP-AUD-010). Missed can not be appended. What is no record is ErrRecord.
func (l *Log) Append(r Record) (index uint64, err error) {
	if r.Event == Missed {
		return 0, fmt.Errorf("%w: event", ErrRecord)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if r.Time.IsZero() {
		r.Time = l.now()
	}
	if l.held() == uint64(l.config.Capacity) && l.config.Hold {
		if err := r.check(); err != nil {
			return 0, err
		}
		if r.Event == Issued || r.Event == ConfigChanged {
			return 0, ErrFull
		}
		l.pending++
		l.missed++
		return Counted, nil
	}
	return l.append(&r)
}

// append needs mu, and room if the log holds records.
func (l *Log) append(r *Record) (uint64, error) {
	index := l.tree.size
	b, err := AppendRecord(l.scratch[:1], index, r)
	if err != nil {
		return 0, err
	}
	if l.held() == uint64(l.config.Capacity) {
		l.first++ // the tree keeps the frontier (CAP-AUD-008)
	}
	l.tree.add(leafHash(b))
	r.Time = time.UnixMilli(r.Time.UnixMilli()).UTC()
	r.Reason, r.Op = l.reasons[r.Reason], l.ops[r.Op]
	l.records[index%uint64(l.config.Capacity)] = *r
	l.full.Store(l.config.Hold && l.held() == uint64(l.config.Capacity))
	return index, nil
}

// now is the clock, kept within what a record can say: a wrong clock may not stop the log.
func (l *Log) now() time.Time {
	return time.UnixMilli(min(max(l.config.Now().UnixMilli(), 0), maxTime)).UTC()
}

func (l *Log) held() uint64 { return l.tree.size - l.first }

// Full says that the log holds records and has no room: every write is refused until Acknowledge made some
// (CAP-AUD-009). It takes no lock.
func (l *Log) Full() bool { return l.full.Load() }

// Acknowledge drops the held records below size, and says how many that were. What was dropped before is no error, so it
// can be repeated. If events were counted while there was no room, it writes the Missed record (CAP-AUD-010).
// It fails with ErrNotHeld on a log that drops by age, and with ErrNotExported for records that were in no export that
// Export wrote completely.
func (l *Log) Acknowledge(size uint64) (dropped uint64, err error) {
	if !l.config.Hold {
		return 0, ErrNotHeld
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if size > l.exported {
		return 0, ErrNotExported
	}
	if size <= l.first {
		return 0, nil
	}
	dropped, l.first = size-l.first, size
	l.full.Store(false)
	if l.pending != 0 {
		if _, err := l.append(&Record{Time: l.now(), Event: Missed, N: min(l.pending, maxNumber)}); err != nil {
			panic("audit: a record of our own was refused: " + err.Error()) // our own bug: all its values are in bounds
		}
		l.pending = 0
	}
	return dropped, nil
}

// provable says whether the promise of the package comment covers proofs about the tree of this size. It needs mu.
func (l *Log) provable(size uint64) bool {
	if size == 0 || l.first <= size && size <= l.tree.size {
		return true
	}
	_, found := slices.BinarySearch(l.tree.kept, size)
	return found
}

// Inclusion proves that a record is in a tree; its JSON is what /admin/audit/inclusion answers.
type Inclusion struct {
	Index uint64      `json:"index"`
	Size  uint64      `json:"size"`
	Leaf  tlog.Hash   `json:"leaf"`
	Proof []tlog.Hash `json:"proof"`
}

// Inclusion proves that record index is in the tree of the first size records, for every held record and every size
// above its index that the log has reached (CAP-AUD-006). Everything else is ErrNoProof.
func (l *Log) Inclusion(index, size uint64) (Inclusion, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if index < l.first || index >= size || size > l.tree.size {
		return Inclusion{}, ErrNoProof
	}
	proof, err := tlog.ProveRecord(int64(size), int64(index), l.tree)
	if err != nil {
		return Inclusion{}, err
	}
	leaf, _ := l.tree.get(node{0, index})
	return Inclusion{index, size, leaf, append([]tlog.Hash{}, proof...)}, nil
}

// Consistency proves that one tree is the beginning of another; its JSON is what /admin/audit/consistency answers.
type Consistency struct {
	Old   uint64      `json:"old"`
	New   uint64      `json:"new"`
	Proof []tlog.Hash `json:"proof"`
}

// Consistency proves that the tree of old records is the beginning of the tree of the new size, for sizes that are 0, at
// least that of the dropped records, or that of one of the latest checkpoints (CAP-AUD-006). Everything else is
// ErrNoProof. The proof is empty for two equal sizes and from the empty tree, as in RFC 6962.
func (l *Log) Consistency(old, new uint64) (Consistency, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if old > new || !l.provable(old) || !l.provable(new) {
		return Consistency{}, ErrNoProof
	}
	c := Consistency{Old: old, New: new, Proof: []tlog.Hash{}}
	if old == 0 || old == new {
		return c, nil
	}
	proof, err := tlog.ProveTree(int64(new), int64(old), l.tree)
	c.Proof = append(c.Proof, proof...)
	return c, err
}

// Stats are figures about a log at one moment.
type Stats struct {
	Capacity    int    // records that can be held
	Held        int    // records that are
	Full        bool   // as Full says
	First       uint64 // index of the first held record
	Size        uint64 // records that were ever written
	Pending     uint64 // events that were counted and have no record yet
	Missed      uint64 // events that were ever counted
	Checkpoints int    // kept checkpoints
	Nodes       int    // nodes of the dropped part that the kept checkpoints need
}

// Stats takes the figures under the lock, so that they fit together.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return Stats{
		Capacity: l.config.Capacity, Held: int(l.held()), Full: l.full.Load(), First: l.first, Size: l.tree.size,
		Pending: l.pending, Missed: l.missed, Checkpoints: len(l.tree.kept), Nodes: len(l.tree.old),
	}
}
