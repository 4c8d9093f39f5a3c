package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/spec"
)

// A manifest describes a tree: JSON lines in UTF-8, each ended by a line feed.
//
//	{"format":"micronode-manifest/1"}
//	{"path":".","type":"dir","mode":"0755"}
//	{"path":"a/x.txt","type":"file","mode":"0644","size":3,"address":"b3:…"}
//	{"path":"a/y","type":"symlink","target":"x.txt"}
//	{"type":"end","entries":3,"bytes":3,"failed":0}
//
// Paths are relative, with slashes. A directory stands before what is in it, and the paths grow strictly when they
// are compared name by name, as bytes: so there are no duplicates, and the same tree gives the same manifest. A
// name that is not UTF-8 is kept as path_base64 (or target_base64) instead. Modes are the nine permission bits in
// octal. The last line tells that the manifest is complete; failed counts what could not be stored and is missing.
const manifestFormat = "micronode-manifest/1"

// The types of entries, and of the last line.
const (
	typeDir     = "dir"
	typeFile    = "file"
	typeSymlink = "symlink"
	typeEnd     = "end"
)

// maxManifestLine bounds a line in bytes: the longest path of the usual systems as base64, twice, and the rest.
const maxManifestLine = 64 << 10

// entry is one line. path and target are the names as the system has them; the fields beside them are their form
// in the file.
type entry struct {
	path, target string

	Path       string        `json:"path,omitzero"`
	PathB64    []byte        `json:"path_base64,omitzero"`
	Type       string        `json:"type"`
	Mode       string        `json:"mode,omitzero"`
	Size       *int64        `json:"size,omitzero"`
	Address    *spec.Address `json:"address,omitzero"`
	Target     string        `json:"target,omitzero"`
	TargetB64  []byte        `json:"target_base64,omitzero"`
	EndEntries *int64        `json:"entries,omitzero"`
	EndBytes   *int64        `json:"bytes,omitzero"`
	EndFailed  *int64        `json:"failed,omitzero"`
}

type manifestHeader struct {
	Format string `json:"format"`
}

func modeText(m fs.FileMode) string { return fmt.Sprintf("%04o", m.Perm()) }

// perm is the mode of a file or directory.
func (e *entry) perm() fs.FileMode {
	n, _ := strconv.ParseUint(e.Mode, 8, 32) // checked when it was read
	return fs.FileMode(n).Perm()
}

// manifestWriter writes a manifest. The first error stays and is given by end.
type manifestWriter struct {
	w       io.Writer
	err     error
	entries int64
	files   int64
	bytes   int64
}

func newManifestWriter(w io.Writer) *manifestWriter {
	m := &manifestWriter{w: w}
	m.line(&manifestHeader{manifestFormat})
	return m
}

func (m *manifestWriter) line(v any) {
	if m.err != nil {
		return
	}
	b, err := json.Marshal(v)
	if err == nil {
		_, err = m.w.Write(append(b, '\n'))
	}
	m.err = err
}

// write adds one entry. The caller keeps the order.
func (m *manifestWriter) write(e *entry) {
	e.Path, e.PathB64 = textOrBytes(e.path)
	e.Target, e.TargetB64 = textOrBytes(e.target)
	m.entries++
	if e.Type == typeFile {
		m.files++
		m.bytes += *e.Size
	}
	m.line(e)
}

func textOrBytes(name string) (string, []byte) {
	if utf8.ValidString(name) {
		return name, nil
	}
	return "", []byte(name)
}

// end writes the last line.
func (m *manifestWriter) end(failed int) error {
	n := int64(failed)
	m.line(&entry{Type: typeEnd, EndEntries: &m.entries, EndBytes: &m.bytes, EndFailed: &n})
	return m.err
}

// manifestReader reads a manifest entry by entry and refuses what a writer would not have written: above all paths
// that lead somewhere else.
type manifestReader struct {
	r       *bufio.Reader
	lineNo  int
	prev    string   // path of the entry before
	parents []string // the directories that lead to prev, outermost first
	entries int64
	bytes   int64
	failed  int64 // from the last line
}

func newManifestReader(r io.Reader) (*manifestReader, error) {
	m := &manifestReader{r: bufio.NewReaderSize(r, maxManifestLine)}
	line, err := m.line()
	if err != nil {
		return nil, err
	}
	var h manifestHeader
	if err := json.Unmarshal(line, &h, json.RejectUnknownMembers(true)); err != nil || h.Format != manifestFormat {
		return nil, m.bad("not a manifest: it does not begin with {\"format\":%q}", manifestFormat)
	}
	return m, nil
}

func (m *manifestReader) bad(format string, args ...any) error {
	return usagef("manifest line %d: "+format, append([]any{m.lineNo}, args...)...)
}

// line returns the next line without its end.
func (m *manifestReader) line() ([]byte, error) {
	m.lineNo++
	b, err := m.r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, m.bad("longer than %d bytes", maxManifestLine)
	case err == io.EOF:
		return nil, m.bad("the manifest is cut short: its last line is missing")
	case err != nil:
		return nil, fmt.Errorf("read manifest: %w", err)
	}
	return bytes.TrimSuffix(b, []byte("\n")), nil
}

// next returns the next entry, or io.EOF behind a complete manifest.
func (m *manifestReader) next() (*entry, error) {
	line, err := m.line()
	if err != nil {
		return nil, err
	}
	e := &entry{}
	if err := json.Unmarshal(line, e, json.RejectUnknownMembers(true)); err != nil {
		return nil, m.bad("not an entry: %v", err)
	}
	if e.Type == typeEnd {
		return nil, m.finish(e)
	}
	if e.EndEntries != nil || e.EndBytes != nil || e.EndFailed != nil {
		return nil, m.bad("an entry has no totals")
	}
	if err := m.check(e); err != nil {
		return nil, err
	}
	if err := m.place(e); err != nil {
		return nil, err
	}
	m.entries++
	return e, nil
}

// check fills path and target, and judges each field for itself.
func (m *manifestReader) check(e *entry) error {
	if (e.Path == "") == (len(e.PathB64) == 0) {
		return m.bad("an entry has either path or path_base64")
	}
	e.path, e.target = e.Path+string(e.PathB64), e.Target+string(e.TargetB64)
	if !safePath(e.path) {
		return m.bad("unsafe path %q: paths are relative, without empty parts, \".\" and \"..\"", printable(e.path))
	}
	mode, err := strconv.ParseUint(e.Mode, 8, 32)
	goodMode := err == nil && len(e.Mode) == 4 && mode <= 0o777
	switch e.Type {
	case typeDir:
		if !goodMode || e.Size != nil || e.Address != nil || e.target != "" {
			return m.bad("a dir has a mode of four octal digits up to 0777, and nothing else")
		}
	case typeFile:
		if !goodMode || e.Size == nil || *e.Size < 0 || e.Address == nil || e.target != "" || e.path == "." {
			return m.bad("a file has a mode of four octal digits up to 0777, a size and an address, and nothing else")
		}
		m.bytes += *e.Size
	case typeSymlink:
		if e.Mode != "" || e.Size != nil || e.Address != nil || e.target == "" || strings.Contains(e.target, "\x00") || e.path == "." {
			return m.bad("a symlink has a target, and nothing else")
		}
		if e.Target != "" && len(e.TargetB64) > 0 {
			return m.bad("a symlink has either target or target_base64")
		}
	default:
		return m.bad("unknown type %q", printable(e.Type))
	}
	return nil
}

// place checks that the entry comes behind the one before and inside a directory of this manifest: nothing is ever
// reached through a link.
func (m *manifestReader) place(e *entry) error {
	if e.path == "." {
		if m.entries > 0 {
			return m.bad("\".\" comes first or not at all")
		}
		return nil
	}
	if m.prev != "" && compareNames(m.prev, e.path) >= 0 {
		return m.bad("%q does not come behind %q: entries grow, compared name by name", printable(e.path), printable(m.prev))
	}
	parent := ""
	if i := strings.LastIndexByte(e.path, '/'); i >= 0 {
		parent = e.path[:i]
	}
	for len(m.parents) > 0 && m.parents[len(m.parents)-1] != parent {
		m.parents = m.parents[:len(m.parents)-1]
	}
	if parent != "" && len(m.parents) == 0 {
		return m.bad("%q is in no directory of this manifest", printable(e.path))
	}
	if e.Type == typeDir {
		m.parents = append(m.parents, e.path)
	}
	m.prev = e.path
	return nil
}

// finish takes the last line. Its error is io.EOF when all is well.
func (m *manifestReader) finish(e *entry) error {
	if e.EndEntries == nil || e.EndBytes == nil || e.EndFailed == nil || *e.EndEntries != m.entries || *e.EndBytes != m.bytes {
		return m.bad("the totals do not fit: there are %d entries with %d bytes", m.entries, m.bytes)
	}
	if _, err := m.r.ReadByte(); err != io.EOF {
		return m.bad("something follows the last line")
	}
	m.failed = *e.EndFailed
	return io.EOF
}

// safePath says that a path stays below the directory that it is relative to. "." is that directory.
func safePath(p string) bool {
	if p == "." {
		return true
	}
	for part := range strings.SplitSeq(p, "/") {
		if part == "" || part == "." || part == ".." {
			return false
		}
	}
	return !strings.Contains(p, "\x00")
}

// compareNames orders paths name by name, each name as bytes: a directory comes before what is in it, and that
// before what follows the directory.
func compareNames(a, b string) int {
	for {
		x, restA, moreA := strings.Cut(a, "/")
		y, restB, moreB := strings.Cut(b, "/")
		switch c := strings.Compare(x, y); {
		case c != 0:
			return c
		case !moreA && !moreB:
			return 0
		case !moreA:
			return -1
		case !moreB:
			return 1
		}
		a, b = restA, restB
	}
}
