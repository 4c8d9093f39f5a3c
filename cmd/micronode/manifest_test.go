package main

import (
	"bytes"
	"fmt"
	"io"
	"path"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/spec"
)

func TestCompareNames(t *testing.T) {
	sorted := []string{"a", "a/b", "a/b/c", "a/c", "a-b", "a.txt", "ab", "b", "b/\xff", "é"}
	for i, a := range sorted {
		for j, b := range sorted {
			if got, want := compareNames(a, b), compareInts(i, j); got != want {
				t.Errorf("compareNames(%q, %q) = %d, want %d", a, b, got, want)
			}
		}
	}
}

func compareInts(i, j int) int {
	switch {
	case i < j:
		return -1
	case i > j:
		return 1
	}
	return 0
}

// readAll reads a manifest to its end.
func readAll(r io.Reader) (list []*entry, failed int64, err error) {
	m, err := newManifestReader(r)
	if err != nil {
		return nil, 0, err
	}
	for {
		e, err := m.next()
		if err == io.EOF {
			return list, m.failed, nil
		}
		if err != nil {
			return nil, 0, err
		}
		list = append(list, e)
	}
}

// FuzzManifest: whatever is accepted is safe (every path below the directory, every parent a directory of the
// manifest, no duplicates), and writing it again gives a manifest that reads the same.
func FuzzManifest(f *testing.F) {
	var seed bytes.Buffer
	m := newManifestWriter(&seed)
	size := int64(3)
	for _, e := range []*entry{
		{path: ".", Type: typeDir, Mode: "0755"}, {path: "a", Type: typeDir, Mode: "0700"}, {path: "a/\xff", Type: typeFile, Mode: "0644", Size: &size, Address: &spec.Address{}},
		{path: "a/l", Type: typeSymlink, target: "../\xfe"}, {path: "b\n", Type: typeSymlink, target: "/x"},
	} {
		m.write(e)
	}
	if err := m.end(1); err != nil {
		f.Fatal(err)
	}
	f.Add(seed.Bytes())
	head := fmt.Sprintf("{\"format\":%q}\n", manifestFormat)
	for _, line := range []string{`{"path":"../x","type":"dir","mode":"0755"}`, `{"path":"x","type":"symlink","target":"y"}`, `{"type":"end","entries":0,"bytes":0,"failed":0}`} {
		f.Add([]byte(head + line + "\n"))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		list, failed, err := readAll(bytes.NewReader(text))
		if err != nil {
			if codeOf(err) != exitUsage {
				t.Fatalf("%v has exit code %d", err, codeOf(err))
			}
			return
		}
		dirs, seen := map[string]bool{".": true}, map[string]bool{}
		var again bytes.Buffer
		w := newManifestWriter(&again)
		for _, e := range list {
			if e.path != path.Clean(e.path) || strings.HasPrefix(e.path, "/") || e.path == ".." || strings.HasPrefix(e.path, "../") || strings.Contains(e.path, "\x00") {
				t.Fatalf("accepted the path %q", e.path)
			}
			if seen[e.path] || !dirs[path.Dir(e.path)] {
				t.Fatalf("accepted %q twice, or without its directory", e.path)
			}
			seen[e.path] = true
			dirs[e.path] = e.Type == typeDir
			if e.Type != typeSymlink && e.perm() > 0o777 {
				t.Fatalf("accepted the mode %q", e.Mode)
			}
			w.write(e)
		}
		if err := w.end(int(failed)); err != nil {
			t.Fatal(err)
		}
		relist, refailed, err := readAll(&again)
		if err != nil || len(relist) != len(list) || refailed != failed {
			t.Fatalf("written again, it reads as %d entries for %d, %v", len(relist), len(list), err)
		}
		for i := range list {
			if relist[i].path != list[i].path || relist[i].target != list[i].target || relist[i].Mode != list[i].Mode {
				t.Fatalf("entry %d changed", i)
			}
		}
	})
}
