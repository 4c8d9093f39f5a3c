package audit

import (
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

const (
	exportTitle = "micronode-audit/1"
	leavesTitle = exportTitle + " leaves"
	// blockRecords is how many records one signed list of leaves covers at most. It bounds what Verify remembers.
	blockRecords = 1024

	maxIdentity = 16
	maxName     = 32
	maxValue    = 8 << 10
)

// Line is one line about the identity of the node in the header of an export: a name of 1 to 32 characters from a-z 0-9
// and -, and a value of 1 to 8,192 printable ASCII characters without space.
type Line struct{ Name, Value string }

// Header is what an export says about itself, signed like everything else in it.
type Header struct {
	Origin   string
	Identity []Line
	// First is the index of the first record, Size that after the last one: the size of the tree.
	First, Size uint64
	// Frontier are the full subtrees before First, largest first.
	Frontier []tlog.Hash
}

func (h *Header) text() string {
	var b strings.Builder
	line := func(name, value string) { b.WriteString(name + " " + value + "\n") }
	b.WriteString(exportTitle + "\n")
	line("origin", h.Origin)
	for _, l := range h.Identity {
		line(l.Name, l.Value)
	}
	line("first", strconv.FormatUint(h.First, 10))
	line("size", strconv.FormatUint(h.Size, 10))
	for _, hash := range h.Frontier {
		line("node", hash.String())
	}
	return b.String()
}

// parseHeader is strict: what it reads gives the same text again.
func parseHeader(text string) (h Header, ok bool) {
	rest, _ := strings.CutPrefix(text, exportTitle+"\n")
	for l := range strings.Lines(rest) {
		var err error
		name, value, _ := strings.Cut(strings.TrimSuffix(l, "\n"), " ")
		switch name {
		case "origin":
			h.Origin = value
		case "first":
			h.First, err = strconv.ParseUint(value, 10, 64)
		case "size":
			h.Size, err = strconv.ParseUint(value, 10, 64)
		case "node":
			var hash tlog.Hash
			hash, err = tlog.ParseHash(value)
			h.Frontier = append(h.Frontier, hash)
		default:
			h.Identity = append(h.Identity, Line{name, value})
		}
		if err != nil || len(h.Identity) > maxIdentity || len(h.Frontier) > levels {
			return Header{}, false
		}
	}
	ok = isOrigin(h.Origin) && identityFits(h.Identity) && h.First <= h.Size && h.Size <= maxNumber &&
		len(h.Frontier) == bits.OnesCount64(h.First) && h.text() == text
	return h, ok
}

func identityFits(lines []Line) bool {
	return len(lines) <= maxIdentity && !slices.ContainsFunc(lines, func(l Line) bool {
		odd := func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' }
		return l.Name == "" || len(l.Name) > maxName || strings.ContainsFunc(l.Name, odd) ||
			slices.Contains([]string{"origin", "first", "size", "node"}, l.Name) ||
			l.Value == "" || len(l.Value) > maxValue || strings.ContainsFunc(l.Value, func(r rune) bool { return r <= ' ' || r > '~' })
	})
}

// leaves is the signed list of the leaf hashes of the records [first, first+len(hashes)).
type leaves struct {
	origin string
	first  uint64
	hashes []tlog.Hash
}

func (l *leaves) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\norigin %s\nfirst %d\n", leavesTitle, l.origin, l.first)
	for _, h := range l.hashes {
		b.WriteString(h.String() + "\n")
	}
	return b.String()
}

func parseLeaves(text string) (l leaves, ok bool) {
	lines := strings.Split(text, "\n")
	if len(lines) < 5 || len(lines) > 4+blockRecords {
		return leaves{}, false
	}
	l.origin, _ = strings.CutPrefix(lines[1], "origin ")
	digits, _ := strings.CutPrefix(lines[2], "first ")
	first, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return leaves{}, false
	}
	l.first = first
	for _, line := range lines[3 : len(lines)-1] {
		hash, err := tlog.ParseHash(line)
		if err != nil {
			return leaves{}, false
		}
		l.hashes = append(l.hashes, hash)
	}
	return l, l.text() == text
}

// Export writes every held record, as they are at one moment, in the form that Verify reads. Appends go on meanwhile; an
// export takes about 200 bytes of memory for each record until it is written. A second export at the same time fails
// with ErrBusy. An export that was written without an error is what Acknowledge can be asked for up to, so Export is not
// to be used where nobody takes the bytes. Other errors are those of w and of the signers.
func (l *Log) Export(w io.Writer) error {
	if !l.exporting.TryLock() {
		return ErrBusy
	}
	defer l.exporting.Unlock()
	header, head, records, err := l.snapshot()
	if err != nil {
		return err
	}
	if err := l.writeSigned(w, header.text()); err != nil {
		return err
	}
	first := header.First
	for block := range slices.Chunk(records, blockRecords) {
		if err := l.writeBlock(w, first, block); err != nil {
			return err
		}
		first += uint64(len(block))
	}
	signed, err := l.signHead(head)
	if err != nil {
		return err
	}
	if _, err := w.Write(signed); err != nil {
		return fmt.Errorf("audit: export: %w", err)
	}
	l.mu.Lock()
	l.exported = max(l.exported, head.Size)
	l.mu.Unlock()
	return nil
}

// snapshot copies what is held, in the order of the indexes.
func (l *Log) snapshot() (Header, Checkpoint, []Record, error) {
	records := make([]Record, 0, l.config.Capacity)
	l.mu.Lock()
	defer l.mu.Unlock()
	head := l.head()
	frontier, err := l.tree.frontier(l.first)
	if err != nil {
		return Header{}, Checkpoint{}, nil, err
	}
	from, to := l.first%uint64(l.config.Capacity), l.first%uint64(l.config.Capacity)+l.held()
	records = append(records, l.records[from:min(to, uint64(l.config.Capacity))]...)
	if to > uint64(l.config.Capacity) {
		records = append(records, l.records[:to-uint64(l.config.Capacity)]...)
	}
	return Header{l.config.Origin, l.config.Identity, l.first, head.Size, frontier}, head, records, nil
}

func (l *Log) writeBlock(w io.Writer, first uint64, block []Record) error {
	list := leaves{l.config.Origin, first, make([]tlog.Hash, 0, len(block))}
	var lines []byte
	for i := range block {
		// The zero byte of the leaf hash stands where the line end before the record goes.
		start := len(lines)
		var err error
		if lines, err = AppendRecord(append(lines, 0), first+uint64(i), &block[i]); err != nil {
			return err
		}
		list.hashes = append(list.hashes, leafHash(lines[start:]))
		lines[start] = '\n'
	}
	if err := l.writeSigned(w, list.text()); err != nil {
		return err
	}
	if _, err := w.Write(append(lines[1:], '\n')); err != nil {
		return fmt.Errorf("audit: export: %w", err)
	}
	return nil
}

func (l *Log) writeSigned(w io.Writer, text string) error {
	l.signing.Lock()
	signed, err := signNote(text, l.config.Signers)
	l.signing.Unlock()
	if err != nil {
		return err
	}
	if _, err := w.Write(signed); err != nil {
		return fmt.Errorf("audit: export: %w", err)
	}
	return nil
}
