package audit

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Trust is what the auditor knows before reading an export.
type Trust struct {
	// Verifiers are the public keys of the node, in the order in which it signs. All of them must have signed.
	Verifiers []note.Verifier
	// Identify is asked when Verifiers is empty: it compares the identity that the header claims with what is trusted (an
	// id, for example), and gives the verifiers of its keys. The header is not verified at that moment.
	Identify func(Header) ([]note.Verifier, error)
	// Origin is what the log must be called; "" takes what the header says.
	Origin string
	// Earlier are checkpoints of the log that the auditor has from other days or other auditors (CAP-AUD-012).
	Earlier []Earlier
}

// Earlier is a signed checkpoint. Its proof connects it to the checkpoint of the export. It is needed only for a
// checkpoint from before the first record of the export, and not looked at otherwise.
type Earlier struct {
	Note  []byte
	Proof []tlog.Hash
}

// Kind is what is wrong with an export. Which of changed, missing, repeated and moved is said of a record is the likely
// one of several explanations; its index is certain.
type Kind string

// The kinds.
const (
	KindHeader      Kind = "header"      // the header can not be read, or is of somebody else
	KindOrigin      Kind = "origin"      // another log
	KindSignature   Kind = "signature"   // a part that not all keys signed
	KindChanged     Kind = "changed"     // a record that is not the one that was signed
	KindMissing     Kind = "missing"     // a record, or a list of leaves, that is not there
	KindRepeated    Kind = "repeated"    // something that was there before
	KindMoved       Kind = "moved"       // a record that stands later than it should
	KindMalformed   Kind = "malformed"   // a record that the node signed against the law
	KindCut         Kind = "cut"         // the text ends early, or an earlier checkpoint is larger
	KindRoot        Kind = "root"        // the tree of the records is not the one of the checkpoint
	KindFork        Kind = "fork"        // an earlier checkpoint is of another history
	KindUnconnected Kind = "unconnected" // an earlier checkpoint from before the first record came without a proof
	KindTrailing    Kind = "trailing"    // something stands behind the end
)

// Finding is the first thing in an export that does not fit.
type Finding struct {
	Kind Kind
	// Index is that of the first record that nothing vouches for: all records before it are proved to be those of the
	// log. It is 0 where that can not be said of any record, and Size where the records are all there.
	Index uint64
	// Line is the line of the export, from 1.
	Line int
	// Rule is the id of the broken rule.
	Rule string
}

// String says it in one line, with no text of the export in it.
func (f Finding) String() string {
	return fmt.Sprintf("%s: record %d, line %d (%s)", f.Kind, f.Index, f.Line, f.Rule)
}

// Report is what Verify found out.
type Report struct {
	// Header is as the export has it. It is to be believed only if Finding is nil or beyond line 1.
	Header Header
	// Records is how many records were proved.
	Records uint64
	// Root is the root of the tree, and Checkpoint the signed checkpoint of the export, for the next Trust.Earlier; both
	// only if Finding is nil.
	Root       tlog.Hash
	Checkpoint []byte
	// Finding is nil for an export that fits.
	Finding *Finding
}

// OK says that the export fits.
func (r Report) OK() bool { return r.Finding == nil }

// Verify checks an export against the signatures in it and against what the auditor trusts, without a node
// (CAP-AUD-007, CAP-AUD-011). It reads r once and remembers no more than 1,024 leaf hashes and the lines of one note.
//
// Every part but the records is a signed note, and every record must have the leaf hash that a signed list gives for its
// place. So a record that somebody without the keys changed is found exactly. The root of the signed checkpoint then
// shows that the node itself told one history only.
//
// The error is that of r, or ErrConfig and ErrSignature for a Trust that can not be used; what is wrong with the export
// is the Finding.
func Verify(r io.Reader, trust Trust) (Report, error) {
	if len(trust.Verifiers) == 0 && trust.Identify == nil {
		return Report{}, fmt.Errorf("%w: no key to trust", ErrConfig)
	}
	v := &verifier{in: bufio.NewReaderSize(r, maxLine), trust: trust, verifiers: trust.Verifiers}
	err := v.run()
	var stop stopError
	if errors.As(err, &stop) {
		v.report.Finding, err = &stop.Finding, nil
	}
	return v.report, err
}

// stopError carries the first finding up to Verify.
type stopError struct{ Finding }

func (e stopError) Error() string { return e.String() }

type verifier struct {
	in        *bufio.Reader
	trust     Trust
	verifiers []note.Verifier
	report    Report
	earlier   []earlierCheckpoint // by size, those that were not compared yet
	agreed    uint64              // the largest size that compared equal
	line      int                 // lines that were read
	started   int                 // the line where the part at hand began
	tree      compact
	leaf      []byte // a line behind a zero byte
}

type earlierCheckpoint struct {
	Checkpoint
	proof []tlog.Hash
}

func (v *verifier) stop(kind Kind, index uint64, rule string) error {
	return stopError{Finding{kind, index, max(v.started, 1), rule}}
}

func (v *verifier) run() error {
	if err := v.header(); err != nil {
		return err
	}
	h := &v.report.Header
	for v.tree.size < h.Size {
		if err := v.block(); err != nil {
			return err
		}
	}
	if err := v.checkpoint(); err != nil {
		return err
	}
	v.started = v.line + 1
	if _, err := v.in.Peek(1); err == nil {
		return v.stop(KindTrailing, h.Size, "CAP-AUD-011")
	} else if err != io.EOF {
		return err
	}
	return nil
}

func (v *verifier) header() error {
	raw, err := v.note(0)
	if err != nil {
		return err
	}
	text, ok := textOf(raw)
	h, fits := parseHeader(text)
	if !ok || !fits {
		return v.stop(KindHeader, 0, "CAP-AUD-011")
	}
	v.report.Header = h
	if v.trust.Origin != "" && v.trust.Origin != h.Origin {
		return v.stop(KindOrigin, 0, "CAP-AUD-011")
	}
	if len(v.verifiers) == 0 {
		if v.verifiers, err = v.trust.Identify(h); err != nil || len(v.verifiers) == 0 {
			return v.stop(KindHeader, 0, "CAP-AUD-011")
		}
	}
	if _, err := v.open(raw, 0); err != nil {
		return err
	}
	if err := v.openEarlier(); err != nil {
		return err
	}
	if err := v.compare(); err != nil {
		return err
	}
	for rest, i := h.First, 0; rest != 0; i++ {
		level := bits.Len64(rest) - 1
		rest &^= 1 << level
		v.tree.push(level, h.Frontier[i])
		if err := v.compare(); err != nil {
			return err
		}
	}

	return nil
}

func (v *verifier) openEarlier() error {
	for _, e := range v.trust.Earlier {
		c, err := OpenCheckpoint(e.Note, v.verifiers)
		if err != nil {
			return fmt.Errorf("earlier checkpoint: %w", err)
		}
		if c.Origin != v.report.Header.Origin {
			return fmt.Errorf("%w: an earlier checkpoint of another log", ErrConfig)
		}
		v.earlier = append(v.earlier, earlierCheckpoint{c, e.Proof})
	}
	slices.SortStableFunc(v.earlier, func(a, b earlierCheckpoint) int { return cmp.Compare(a.Size, b.Size) })
	return nil
}

// compare holds the earlier checkpoints of the present size against the tree so far (CAP-AUD-012).
func (v *verifier) compare() error {
	var root tlog.Hash
	for i := 0; i < len(v.earlier) && v.earlier[i].Size <= v.tree.size; {
		if v.earlier[i].Size < v.tree.size {
			i++
			continue
		}
		if root == (tlog.Hash{}) {
			root = v.tree.root()
		}
		if v.earlier[i].Root != root {
			return v.stop(KindFork, v.agreed, "CAP-AUD-012")
		}
		v.agreed = v.tree.size
		v.earlier = slices.Delete(v.earlier, i, i+1)
	}
	return nil
}

// block reads one list of leaves and the records that it covers.
func (v *verifier) block() error {
	lo := v.tree.size
	raw, err := v.note(lo)
	if err != nil {
		return err
	}
	switch {
	case raw[0] == '{': // a record where a list should be
		return v.stop(KindRepeated, lo, "CAP-AUD-011")
	case bytes.HasPrefix(raw, []byte(v.report.Header.Origin+"\n")):
		return v.stop(KindMissing, lo, "CAP-AUD-011")
	}
	text, err := v.open(raw, lo)
	if err != nil {
		return err
	}
	list, ok := parseLeaves(text)
	switch {
	case !ok:
		return v.stop(KindMalformed, lo, "CAP-AUD-011")
	case list.origin != v.report.Header.Origin:
		return v.stop(KindOrigin, lo, "CAP-AUD-011")
	case list.first > lo:
		return v.stop(KindMissing, lo, "CAP-AUD-011")
	case list.first < lo:
		return v.stop(KindRepeated, lo, "CAP-AUD-011")
	case uint64(len(list.hashes)) > v.report.Header.Size-lo:
		return v.stop(KindMalformed, lo, "CAP-AUD-011")
	}
	for i := range list.hashes {
		if err := v.record(&list, i); err != nil {
			return err
		}
	}
	return nil
}

// record reads the record that must have leaf hash number i of the list.
func (v *verifier) record(list *leaves, i int) error {
	index := list.first + uint64(i)
	v.started = v.line + 1
	line, err := v.readLine(true)
	switch {
	case errors.Is(err, io.EOF):
		return v.stop(KindCut, index, "CAP-AUD-011")
	case errors.Is(err, errTooLong):
		return v.stop(KindChanged, index, "CAP-AUD-011")
	case err != nil:
		return err
	}
	hash := leafHash(line)
	line = line[1:]
	if hash != list.hashes[i] {
		return v.wrong(list, i, hash, line)
	}
	if at, _, err := ParseRecord(line); err != nil || at != index {
		return v.stop(KindMalformed, index, "CAP-AUD-003")
	}
	v.tree.push(0, hash)
	v.report.Records++
	return v.compare()
}

// wrong finds out why a line does not have the leaf hash of record i of the list.
func (v *verifier) wrong(list *leaves, i int, hash tlog.Hash, line []byte) error {
	index := list.first + uint64(i)
	h := &v.report.Header
	switch at, _, err := ParseRecord(line); {
	case bytes.HasPrefix(line, []byte(exportTitle)), string(line) == h.Origin:
		return v.stop(KindMissing, index, "CAP-AUD-011")
	case err != nil || at == index || at < h.First || at >= h.Size,
		at >= list.first && at < list.first+uint64(len(list.hashes)) && hash != list.hashes[at-list.first]:
		return v.stop(KindChanged, index, "CAP-AUD-011")
	case at < index:
		return v.stop(KindRepeated, index, "CAP-AUD-011")
	}
	// A later record of the log stands here. Is this one further down?
	missing := v.stop(KindMissing, index, "CAP-AUD-011")
	moved := v.stop(KindMoved, index, "CAP-AUD-011")
	for {
		line, err := v.readLine(true)
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, errTooLong):
			return missing
		case err != nil:
			return err
		case len(line) < 2 || line[1] != '{':
			return missing
		case leafHash(line) == list.hashes[i]:
			return moved
		}
	}
}

// checkpoint reads the signed checkpoint and compares it with the tree of all records and with what the auditor has.
func (v *verifier) checkpoint() error {
	size := v.report.Header.Size
	raw, err := v.note(size)
	if err != nil {
		return err
	}
	if raw[0] == '{' || bytes.HasPrefix(raw, []byte(leavesTitle)) {
		return v.stop(KindRepeated, size, "CAP-AUD-011")
	}
	text, err := v.open(raw, size)
	if err != nil {
		return err
	}
	c, err := parseCheckpoint(text)
	switch {
	case err != nil:
		return v.stop(KindMalformed, size, "CAP-AUD-005")
	case c.Origin != v.report.Header.Origin:
		return v.stop(KindOrigin, size, "CAP-AUD-011")
	case c.Size != size:
		return v.stop(KindRoot, min(c.Size, size), "CAP-AUD-011")
	case c.Root != v.tree.root():
		return v.stop(KindRoot, max(v.agreed, v.report.Header.First), "CAP-AUD-011")
	}
	for _, e := range v.earlier {
		switch {
		case e.Size > size:
			return v.stop(KindCut, size, "CAP-AUD-011")
		case len(e.proof) == 0:
			return v.stop(KindUnconnected, v.agreed, "CAP-AUD-012")
		case !connected(e.Checkpoint, c, e.proof):
			return v.stop(KindFork, v.agreed, "CAP-AUD-012")
		}
	}
	v.report.Root, v.report.Checkpoint = c.Root, raw
	return nil
}

func (v *verifier) open(raw []byte, index uint64) (string, error) {
	text, err := openNote(raw, v.verifiers, false)
	if errors.Is(err, ErrConfig) {
		return "", err
	}
	if err != nil {
		return "", v.stop(KindSignature, index, "CAP-AUD-011")
	}
	return text, nil
}

// note reads a text, the empty line behind it, and the signature lines. It takes no more lines than that, and leaves it
// to open to say what is wrong with them. index is the first record that the note vouches for.
func (v *verifier) note(index uint64) ([]byte, error) {
	v.started = v.line + 1
	var raw []byte
	for signatures := -1; signatures < maxSigners; {
		if signatures >= 0 {
			next, err := v.in.Peek(len(dash))
			if !bytes.Equal(next, dash) {
				if err != nil && err != io.EOF {
					return nil, err
				}
				break
			}
		}
		line, err := v.readLine(false)
		switch {
		case errors.Is(err, io.EOF):
			return nil, v.stop(KindCut, index, "CAP-AUD-011")
		case errors.Is(err, errTooLong):
			return nil, v.stop(KindSignature, index, "CAP-AUD-011")
		case err != nil:
			return nil, err
		}
		raw = append(append(raw, line...), '\n')
		if len(line) == 0 || signatures >= 0 {
			signatures++
		} else if len(raw) > maxNote || raw[0] == '{' {
			break
		}
	}
	return raw, nil
}

// textOf is the text of a note whose signatures are not looked at.
func textOf(raw []byte) (string, bool) {
	i := bytes.LastIndex(raw, []byte("\n\n"))
	return string(raw[:i+1]), i >= 0
}

var errTooLong = errors.New("audit: line too long")

// readLine reads a line and takes its end off. io.EOF means that the text ends before the end of the line. With zero,
// the zero byte of a leaf hash stands before the line. What it gives is valid until the next call.
func (v *verifier) readLine(zero bool) ([]byte, error) {
	line, err := v.in.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, errTooLong
	case err != nil:
		return nil, err
	}
	v.line++
	line = line[:len(line)-1]
	if zero {
		v.leaf = append(append(v.leaf[:0], 0), line...)
		return v.leaf, nil
	}
	return line, nil
}

// compact is the frontier of a growing tree.
type compact struct {
	size  uint64
	nodes []tlog.Hash // one for each set bit of size, largest first
}

// push adds a full subtree of 1<<level records; no smaller one may be in the tree yet.
func (c *compact) push(level int, hash tlog.Hash) {
	for i := level; c.size>>i&1 == 1; i++ {
		last := len(c.nodes) - 1
		hash = tlog.NodeHash(c.nodes[last], hash)
		c.nodes = c.nodes[:last]
	}
	c.nodes = append(c.nodes, hash)
	c.size += 1 << level
}

func (c *compact) root() tlog.Hash {
	if len(c.nodes) == 0 {
		return emptyRoot()
	}
	root := c.nodes[len(c.nodes)-1]
	for _, n := range slices.Backward(c.nodes[:len(c.nodes)-1]) {
		root = tlog.NodeHash(n, root)
	}
	return root
}
