package main

import (
	"bufio"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// output is a file that appears under its name only when it is complete. The zero tmp means that w is written
// directly: stdout, or something like /dev/null that can not be replaced.
type output struct {
	w          io.Writer
	f          *os.File
	tmp, final string
}

// createOutput begins a file. Until finish it has a temporary name beside the final one.
func createOutput(path string) (*output, error) {
	final := path
	if real, err := filepath.EvalSymlinks(path); err == nil {
		final = real // the file that a link leads to is replaced, not the link
	}
	if info, err := os.Stat(final); err == nil && !info.Mode().IsRegular() {
		if info.IsDir() {
			return nil, fmt.Errorf("%s is a directory", printable(path))
		}
		f, err := os.OpenFile(final, os.O_WRONLY, 0)
		if err != nil {
			return nil, plainPath(path, err)
		}
		return &output{w: f, f: f}, nil
	}
	tmp := filepath.Join(filepath.Dir(final), tempName())
	f, err := os.OpenFile(tmp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o666)
	if err != nil {
		return nil, plainPath(path, err)
	}
	return &output{w: bufio.NewWriterSize(f, 64<<10), f: f, tmp: tmp, final: final}, nil
}

// tempName is a name for an unfinished file. It does not contain the final one, which may be as long as names get.
func tempName() string { return ".micronode-" + rand.Text()[:12] + ".part" }

// Write implements io.Writer.
func (o *output) Write(p []byte) (int, error) { return o.w.Write(p) }

// finish makes the file appear when err is nil, and removes it otherwise. It returns err, or what went wrong here.
func (o *output) finish(err error) error {
	if o.f == nil {
		return err
	}
	if b, ok := o.w.(*bufio.Writer); ok && err == nil {
		err = b.Flush()
	}
	if cerr := o.f.Close(); err == nil {
		err = cerr
	}
	if o.tmp == "" {
		return err
	}
	if err == nil {
		err = os.Rename(o.tmp, o.final)
	}
	if err != nil {
		return errors.Join(err, os.Remove(o.tmp))
	}
	return nil
}
