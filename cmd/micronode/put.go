package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"github.com/rustyonions/micronode/impl/client"
	"github.com/rustyonions/micronode/spec"
)

type putCmd struct {
	clientFlags
	Recursive bool     `short:"r" help:"Store a directory tree and write its manifest to stdout."`
	Manifest  string   `help:"With -r: write the manifest to this file instead." placeholder:"FILE"`
	Files     []string `arg:"" name:"FILE" help:"Files to store; - is stdin. With -r one directory."`
}

// putJob is one file of put.
type putJob struct {
	path    string // to open; "-" is stdin
	entry   *entry // with -r
	addr    spec.Address
	size    int64
	created bool
	err     error
}

// Run stores files or a tree.
func (p *putCmd) Run(a *app) error {
	if p.Recursive {
		return p.tree(a)
	}
	if p.Manifest != "" {
		return usagef("--manifest goes with -r")
	}
	s, err := p.open(a)
	if err != nil {
		return err
	}
	bar := newProgress(s.con, "put", !isTerminal(a.stdout))
	bar.totals(countFiles(p.Files))
	inOrder(s.ctx, s.n, func(yield func(*putJob) bool) {
		for _, path := range p.Files {
			if !yield(&putJob{path: path}) {
				return
			}
		}
	}, func(ctx context.Context, j *putJob) {
		j.put(ctx, a, s.c, bar)
	}, func(j *putJob) {
		if s.judge(j.path, j.err) {
			s.con.result(j.addr.String()+"  "+j.path, &objectResult{Address: j.addr, Path: printable(j.path), Size: &j.size, Created: &j.created})
		}
	})
	return s.close(s.verdict())
}

// put stores one file. Regular files are streamed; anything else has no length that could be announced.
func (j *putJob) put(ctx context.Context, a *app, c *client.Client, bar *progress) {
	f := a.stdin
	if j.path != "-" {
		var err error
		if f, err = os.Open(j.path); err != nil {
			j.err = plain(err)
			return
		}
		defer f.Close()
	}
	j.send(ctx, c, f, bar)
}

// send stores the rest of an open file.
func (j *putJob) send(ctx context.Context, c *client.Client, f *os.File, bar *progress) {
	info, err := f.Stat()
	if err != nil {
		j.err = plain(err)
		return
	}
	size := int64(-1)
	switch {
	case info.IsDir():
		j.err = errors.New("is a directory: use put -r")
		return
	case info.Mode().IsRegular():
		at, err := f.Seek(0, io.SeekCurrent) // stdin may have been read in part
		if err != nil {
			j.err = plain(err)
			return
		}
		size = max(0, info.Size()-at)
	}
	m := &meter{f: f, bar: bar}
	var r io.Reader = m
	if size < 0 {
		r = onlyReader{m}
	}
	j.addr, j.created, j.err = c.Put(ctx, r, size, nil)
	j.size = m.n
	if errors.Is(j.err, io.ErrUnexpectedEOF) {
		j.err = fmt.Errorf("became shorter while it was read: %w", j.err)
	}
	if j.err == nil {
		bar.file()
	}
}

// onlyReader hides that its reader could seek: a pipe has the method, and not the ability.
type onlyReader struct{ io.Reader }

// tree is put -r.
func (p *putCmd) tree(a *app) (err error) {
	if len(p.Files) != 1 {
		return usagef("put -r takes one directory")
	}
	root := p.Files[0]
	if info, err := os.Stat(root); err != nil {
		return plainPath(root, err)
	} else if !info.IsDir() {
		return usagef("%s is not a directory: put -r takes one", printable(root))
	}
	s, err := p.open(a)
	if err != nil {
		return err
	}
	out := &output{w: s.con}
	if p.Manifest != "" {
		if out, err = createOutput(p.Manifest); err != nil {
			return s.close(err)
		}
	}
	bar := newProgress(s.con, "put", p.Manifest != "" || !isTerminal(a.stdout))
	if bar != nil { // a second, cheap walk, only to know how far there is to go
		go bar.totals(countTree(s.ctx, root))
	}
	start := time.Now()
	m := newManifestWriter(out)
	inOrder(s.ctx, s.n, func(yield func(*putJob) bool) {
		walkTree(root, func(e *entry, path string, err error) bool {
			return yield(&putJob{path: path, entry: e, err: err})
		})
	}, func(ctx context.Context, j *putJob) {
		j.putEntry(ctx, s.c, bar)
	}, func(j *putJob) {
		if s.judge(j.path, j.err) {
			m.write(j.entry)
		}
	})
	err = s.verdict()
	if merr := out.finish(m.end(s.missing())); merr != nil { // what was stored is worth a manifest, even if it is not all
		return s.close(fmt.Errorf("manifest: %w", merr))
	}
	p.summary(s, m, time.Since(start))
	return s.close(err)
}

// putEntry stores one entry of a tree; only files have anything to send.
func (j *putJob) putEntry(ctx context.Context, c *client.Client, bar *progress) {
	if j.err != nil || j.entry.Type != typeFile {
		return
	}
	if j.err = ctx.Err(); j.err != nil {
		return
	}
	// Not through a link, and not waiting for the other end of a pipe, should one have taken the file's place.
	f, err := os.OpenFile(j.path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		j.err = plain(err)
		return
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		j.err = errors.New("is no regular file any more")
		return
	}
	j.send(ctx, c, f, bar)
	j.entry.Size, j.entry.Address = &j.size, &j.addr
}

// summary tells people what put -r did.
func (p *putCmd) summary(s *session, m *manifestWriter, took time.Duration) {
	st := s.c.Stats()
	waits := ""
	if st.Refused > 0 {
		waits = fmt.Sprintf("; the node said %d times to come back later, for %d requests that it took", st.Refused, st.Admitted)
	}
	s.con.note("stored %d files, %s, in %.1f s%s", m.files, bytesText(m.bytes), took.Seconds(), waits)
}

// plain takes the path out of an error of the file system: the message names it already.
func plain(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// plainPath puts it in front again.
func plainPath(path string, err error) error {
	return fmt.Errorf("%s: %w", printable(path), plain(err))
}
