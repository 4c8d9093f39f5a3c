package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/rustyonions/micronode/impl/client"
)

type getCmd struct {
	clientFlags
	Recursive bool   `short:"r" help:"Restore the tree of a manifest into the directory of -o."`
	Output    string `short:"o" help:"File to write, or with -r the directory. Without it an object goes to stdout." placeholder:"PATH"`
	Source    string `arg:"" name:"ADDRESS|MANIFEST" help:"Address of an object; with -r a manifest file, - for stdin."`
}

// Run reads one object or restores a tree.
func (g *getCmd) Run(a *app) error {
	if g.Recursive {
		return g.tree(a)
	}
	addrs, err := parseAddresses([]string{g.Source})
	if err != nil {
		return err
	}
	s, err := g.open(a)
	if err != nil {
		return err
	}
	toStdout := g.Output == "" || g.Output == "-"
	out := &output{w: a.stdout}
	if !toStdout {
		if out, err = createOutput(g.Output); err != nil {
			return s.close(err)
		}
	}
	bar := newProgress(s.con, "get", !toStdout || !isTerminal(a.stdout))
	if bar != nil {
		if size, err := s.c.Stat(s.ctx, addrs[0]); err == nil {
			bar.totals(1, size)
		}
	}
	n, err := s.c.Get(s.ctx, addrs[0], 0, -1, countingWriter{out, bar})
	err = out.finish(err)
	if s.judge(g.Source, err) && !toStdout && g.JSON {
		s.con.result("", &objectResult{Address: addrs[0], Path: printable(g.Output), Size: &n})
	}
	return s.close(s.verdict())
}

// tree is get -r.
func (g *getCmd) tree(a *app) error {
	if g.Output == "" || g.Output == "-" {
		return usagef("get -r needs a directory: -o DIR")
	}
	f, err := a.fileOrStdin(g.Source)
	if err != nil {
		return plainPath(g.Source, err)
	}
	defer f.Close()
	files, bytes, err := precheck(f)
	if err != nil {
		return err
	}
	m, err := newManifestReader(f)
	if err != nil {
		return err
	}
	s, err := g.open(a)
	if err != nil {
		return err
	}
	r := &restorer{s: s}
	if err := r.openRoot(g.Output); err != nil {
		return s.close(err)
	}
	defer func() { _ = r.root.Close() }()
	r.bar = newProgress(s.con, "get", true)
	r.bar.totals(files, bytes)
	return s.close(r.run(m))
}

// precheck reads a manifest that can be read twice once to its end: then nothing of a bad one is restored. It
// returns the totals for the progress bar, or zeros for a pipe.
func precheck(f io.Reader) (files, bytes int64, err error) {
	seeker, ok := f.(*os.File)
	if !ok {
		return 0, 0, nil
	}
	if info, err := seeker.Stat(); err != nil || !info.Mode().IsRegular() {
		return 0, 0, nil
	}
	m, err := newManifestReader(f)
	if err != nil {
		return 0, 0, err
	}
	for {
		e, err := m.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return 0, 0, err
		}
		if e.Type == typeFile {
			files++
			bytes += *e.Size
		}
	}
	_, err = seeker.Seek(0, io.SeekStart)
	return files, bytes, err
}

// errExists is what stands in the way of a directory.
var errExists = errors.New("something that is no directory has this name")

// restorer builds a tree below root. Directories and links are made by the goroutine that reads the manifest, in
// its order; files are fetched by the workers.
type restorer struct {
	s       *session
	root    *os.Root
	bar     *progress
	dirs    []*entry // their modes come last: a directory without write permission could not be filled
	blocked string   // a directory that could not be made; what is in it fails with it
}

type restoreJob struct {
	entry *entry
	err   error
}

func (r *restorer) openRoot(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return plainPath(dir, err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return plainPath(dir, err)
	}
	r.root = root
	return nil
}

// run restores everything and returns how it ended.
func (r *restorer) run(m *manifestReader) error {
	var broken error // of the manifest
	inOrder(r.s.ctx, r.s.n, func(yield func(*restoreJob) bool) {
		for {
			e, err := m.next()
			if err != nil {
				broken = err
				return
			}
			j := &restoreJob{entry: e}
			if j.err = r.makePlace(e); !yield(j) {
				return
			}
		}
	}, r.fetch, func(j *restoreJob) {
		r.s.judge(j.entry.path, j.err)
	})
	for i := len(r.dirs) - 1; i >= 0; i-- {
		if err := r.root.Chmod(r.dirs[i].path, r.dirs[i].perm()); err != nil {
			r.s.judge(r.dirs[i].path, plain(err))
		}
	}
	if broken != nil && broken != io.EOF {
		return broken
	}
	if m.failed > 0 {
		r.s.con.note("the manifest is not complete: %d entries could not be stored when it was made", m.failed)
	}
	return r.s.verdict()
}

// makePlace does what has to be done in order: directories and links.
func (r *restorer) makePlace(e *entry) error {
	if r.blocked != "" && strings.HasPrefix(e.path, r.blocked+"/") {
		return errors.New("its directory could not be made")
	}
	switch e.Type {
	case typeDir:
		if err := r.makeDir(e); err != nil {
			r.blocked = e.path
			return err
		}
	case typeSymlink:
		return r.makeLink(e)
	}
	return nil
}

func (r *restorer) makeDir(e *entry) error {
	err := error(nil)
	if e.path != "." {
		err = r.root.Mkdir(e.path, 0o700)
	}
	if errors.Is(err, fs.ErrExist) {
		info, serr := r.root.Lstat(e.path)
		if serr != nil || !info.IsDir() { // a link to a directory is none
			return errExists
		}
		err = r.root.Chmod(e.path, info.Mode().Perm()|0o700)
	}
	if err != nil {
		return plain(err)
	}
	r.dirs = append(r.dirs, e)
	return nil
}

// makeLink makes a symbolic link. Its target is data: nothing here ever follows it.
func (r *restorer) makeLink(e *entry) error {
	if old, err := r.root.Readlink(e.path); err == nil {
		if old == e.target {
			return nil
		}
		if err := r.root.Remove(e.path); err != nil {
			return plain(err)
		}
	}
	err := r.root.Symlink(e.target, e.path)
	var le *os.LinkError
	if errors.As(err, &le) {
		return le.Err
	}
	return plain(err)
}

// fetch restores one file: under a temporary name until it is complete and verified.
func (r *restorer) fetch(ctx context.Context, j *restoreJob) {
	if j.err != nil || j.entry.Type != typeFile {
		return
	}
	if j.err = ctx.Err(); j.err != nil {
		return
	}
	e := j.entry
	tmp := tempName()
	if i := strings.LastIndexByte(e.path, '/'); i >= 0 {
		tmp = e.path[:i+1] + tmp
	}
	f, err := r.root.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		j.err = plain(err)
		return
	}
	j.err = r.fill(ctx, r.s.c, f, e)
	if j.err == nil {
		j.err = r.root.Rename(tmp, e.path)
		var le *os.LinkError
		if errors.As(j.err, &le) {
			j.err = le.Err
		}
	}
	if j.err != nil {
		if err := r.root.Remove(tmp); err != nil {
			j.err = errors.Join(j.err, err)
		}
		return
	}
	r.bar.file()
}

// fill writes the object of e into f, with its mode, and closes f.
func (r *restorer) fill(ctx context.Context, c *client.Client, f *os.File, e *entry) error {
	n, err := c.Get(ctx, *e.Address, 0, -1, countingWriter{f, r.bar})
	if err == nil && n != *e.Size {
		err = fmt.Errorf("the object has %d bytes, the manifest says %d", n, *e.Size)
	}
	if err == nil {
		err = plain(f.Chmod(e.perm()))
	}
	if cerr := f.Close(); err == nil {
		err = plain(cerr)
	}
	return err
}
