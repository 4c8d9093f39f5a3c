package conformance

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

const (
	keptBytes   = 4 << 10 // of one entry
	keptEntries = 300     // of one connection; the rest is counted
	shownBytes  = 64      // of one entry, in hex
	shownText   = 240     // of a decoded payload
	shownLines  = 40      // of one connection: the first and the last of them
)

// transcript is what went over one connection, in order. It is safe for concurrent use.
type transcript struct {
	name  string
	start time.Time

	mu      sync.Mutex
	entries []entry
	lost    int // entries that were not kept
}

// entry is one write, one frame or one remark. Bytes beyond keptBytes are only counted.
type entry struct {
	at    time.Duration
	dir   byte // '>' from the suite, '<' from the node, '*' a remark
	bytes []byte
	size  int
	note  string
}

func (tr *transcript) add(dir byte, b []byte, note string) {
	kept := append([]byte(nil), b[:min(len(b), keptBytes)]...)
	e := entry{time.Since(tr.start), dir, kept, len(b), note}
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if len(tr.entries) >= keptEntries {
		// The end of a conversation tells more than its middle.
		copy(tr.entries[keptEntries/2:], tr.entries[keptEntries/2+1:])
		tr.entries = tr.entries[:keptEntries-1]
		tr.lost++
	}
	tr.entries = append(tr.entries, e)
}

func (tr *transcript) remark(format string, args ...any) {
	tr.add('*', nil, fmt.Sprintf(format, args...))
}

func (tr *transcript) String() string {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	var b strings.Builder
	fmt.Fprintf(&b, "  --- %s\n", tr.name)
	for i, e := range tr.entries {
		if len(tr.entries) > shownLines && i == shownLines/2 {
			fmt.Fprintf(&b, "    … %d more …\n", len(tr.entries)-shownLines+tr.lost)
		}
		if len(tr.entries) > shownLines && i >= shownLines/2 && i < len(tr.entries)-shownLines/2 {
			continue
		}
		fmt.Fprintf(&b, "    %8.4fs %c %s", e.at.Seconds(), e.dir, e.note)
		if e.size > 0 {
			fmt.Fprintf(&b, " [%d bytes] %s", e.size, shortHex(e.bytes, e.size))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// tokens finds what may be a capability in a text: behind the name of its scheme, or by how one begins in base64url.
var tokens = regexp.MustCompile(`(?i)(authorization: *[a-z]+ +)[^\s\]"\\]+|\bAg[A-P][A-Za-z0-9_-]{40,}`)

// redacted is text without the tokens in it (AMN-LOG-002): reports are handed around.
func redacted(text string) string { return tokens.ReplaceAllString(text, "${1}[redacted]") }

// shortHex shows the beginning of b, but no byte of a capability.
func shortHex(b []byte, size int) string {
	if len(b) > spec.HeaderLen && binary.BigEndian.Uint16(b[4:]) == spec.Version {
		flags, n := spec.Flags(binary.BigEndian.Uint16(b[6:])), int(binary.BigEndian.Uint16(b[28:]))
		if flags&spec.FlagStart != 0 && n > 0 {
			rest := b[min(spec.HeaderLen+n, len(b)):]
			return hex.EncodeToString(b[:spec.HeaderLen]) + " [redacted] " + shortHex(rest, size-spec.HeaderLen-n)
		}
	}
	s := hex.EncodeToString(b[:min(len(b), shownBytes)])
	if size > shownBytes {
		s += "…"
	}
	return s
}

// describe decodes what the suite is about to send, for the transcript.
func describe(b []byte, maxFrame uint32) string {
	// Large writes, bombs among them, are not decoded once more for the sake of a line: their header will do.
	r := refwire.Decode(b[:min(len(b), keptBytes)], maxFrame)
	switch r.Verdict {
	case refwire.Accept:
		s := frameText(r.Frame)
		if r.N < len(b) {
			s += fmt.Sprintf(" (and %d bytes more)", len(b)-r.N)
		}
		return s
	case refwire.Reject:
		return fmt.Sprintf("illegal by %s (%s)", r.Rule, r.Reason)
	}
	if r.Need > spec.HeaderLen {
		return fmt.Sprintf("%s corr=%d code=%d, the beginning of", strings.Join(r.Frame.Flags.Names(), "|"), r.Frame.Corr, r.Frame.Code)
	}
	return "part of a frame"
}

// frameText is a frame for people, on one line.
func frameText(f refwire.Frame) string {
	s := fmt.Sprintf("%s corr=%d", strings.Join(f.Flags.Names(), "|"), f.Corr)
	if f.Code != 0 {
		s += fmt.Sprintf(" code=%d", f.Code)
	}
	if f.Proto != spec.ProtoObjects {
		s += fmt.Sprintf(" proto=%#04x", uint16(f.Proto))
	}
	if f.Tenant != [16]byte{} {
		s += fmt.Sprintf(" tenant=%x", f.Tenant)
	}
	if len(f.Cap) > 0 {
		s += fmt.Sprintf(" cap=%d bytes", len(f.Cap))
	}
	return s + fmt.Sprintf(" payload=%s", textOf(f.Data))
}

// textOf shows b as text where it is text.
func textOf(b []byte) string {
	short := b[:min(len(b), shownText)]
	tail := ""
	if len(b) > len(short) {
		tail = fmt.Sprintf("… (%d bytes)", len(b))
	}
	for _, c := range short {
		if c >= 0x80 || c < 0x20 && c != '\n' && c != '\r' && c != '\t' {
			return fmt.Sprintf("%q%s", short[:min(len(short), shownText/3)], tail)
		}
	}
	return string(short) + tail
}
