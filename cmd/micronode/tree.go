package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// walkTree yields everything under root, each directory before what is in it and the names of a directory in the
// order of their bytes: the order of a manifest. An entry that can not be recorded comes with an error. The walk
// ends when yield says so.
func walkTree(root string, yield func(e *entry, path string, err error) bool) {
	if real, err := filepath.EvalSymlinks(root); err == nil {
		root = real // WalkDir does not follow a root that is a link
	}
	_ = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		e := &entry{}
		if err == nil {
			e, err = describe(root, path, d)
		}
		if !yield(e, path, err) {
			return fs.SkipAll
		}
		if err != nil && d != nil && d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
}

// describe makes the entry of one file, without what only a put can tell.
func describe(root, path string, d fs.DirEntry) (*entry, error) {
	rel, err := filepath.Rel(root, path)
	if err != nil {
		return &entry{}, err
	}
	info, err := d.Info()
	if err != nil {
		return &entry{}, plain(err)
	}
	e := &entry{path: filepath.ToSlash(rel)}
	switch mode := info.Mode(); {
	case mode.IsRegular():
		e.Type, e.Mode = typeFile, modeText(mode)
	case mode.IsDir():
		e.Type, e.Mode = typeDir, modeText(mode)
	case mode&fs.ModeSymlink != 0:
		e.Type = typeSymlink
		if e.target, err = os.Readlink(path); err != nil {
			return e, plain(err)
		}
	default:
		return e, fmt.Errorf("neither file, directory nor symbolic link (%s): left out", mode.Type())
	}
	return e, nil
}

// countTree adds up the files under root, for the progress bar.
func countTree(ctx context.Context, root string) (files, bytes int64) {
	walkTree(root, func(e *entry, path string, err error) bool {
		if err == nil && e.Type == typeFile {
			if info, err := os.Lstat(path); err == nil {
				files++
				bytes += info.Size()
			}
		}
		return ctx.Err() == nil
	})
	return files, bytes
}

// countFiles adds up files on a command line, for the progress bar.
func countFiles(paths []string) (files, bytes int64) {
	for _, path := range paths {
		files++
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			bytes += info.Size()
		}
	}
	return files, bytes
}
