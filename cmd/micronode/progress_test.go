package main

import (
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestPicture(t *testing.T) {
	for _, tc := range []struct {
		name                   string
		bytes, files           int64
		totalBytes, totalFiles int64
		elapsed                time.Duration
		cols                   int
		want                   string
	}{
		{"unknown total", 3 << 20, 12, 0, 0, 2 * time.Second, 100, `^put  3 MiB  12 files  6/s  1\.5 MiB/s$`},
		{"half", 50 << 20, 500, 100 << 20, 1000, 10 * time.Second, 120, `^put \[#{20}\.{20}\]  50%  50 MiB of 100 MiB  500/1000 files  50/s  5 MiB/s  ETA 00:10$`},
		{"paced by files", 90 << 20, 100, 100 << 20, 1000, 10 * time.Second, 120, ` 10%  .*ETA 01:30$`},
		{"one file", 10 << 20, 0, 40 << 20, 1, 10 * time.Second, 100, `^put \[#+\.+\]  25%  10 MiB of 40 MiB  1 MiB/s  ETA 00:30$`},
		{"nothing yet", 0, 0, 100, 10, time.Second, 100, `  0%  .*ETA --:--$`},
		{"grew meanwhile", 200, 20, 100, 10, time.Second, 100, `100%  .*ETA 00:00$`},
		{"narrow", 50 << 20, 500, 100 << 20, 1000, 10 * time.Second, 30, `^put  50%  50 MiB of 100 MiB  5$`},
		{"no room at all", 1, 1, 2, 2, time.Second, 0, `^$`},
	} {
		p := &progress{label: "put"}
		p.bytes.Store(tc.bytes)
		p.files.Store(tc.files)
		p.totals(tc.totalFiles, tc.totalBytes)
		got := p.picture(tc.elapsed, tc.cols)
		if !regexp.MustCompile(tc.want).MatchString(got) || len(got) > tc.cols {
			t.Errorf("%s: %q (%d wide), want %s", tc.name, got, len(got), tc.want)
		}
	}
}

// Without a terminal there is no bar, and no bar can be used like any other.
func TestNoBarWithoutTerminal(t *testing.T) {
	con := &console{err: &strings.Builder{}}
	p := newProgress(con, "put", true)
	if p != nil {
		t.Fatal("a bar on a string")
	}
	p.add(1)
	p.file()
	p.totals(1, 1)
	p.clear()
	p.stop()
}

func TestBytesText(t *testing.T) {
	for n, want := range map[int64]string{0: "0 B", 1023: "1023 B", 1024: "1 KiB", 1536: "1.5 KiB", 1 << 20: "1 MiB", 512 << 20: "512 MiB", 5 << 40: "5 TiB", 1<<20 + 1: "1.0 MiB", 1 << 60: "1048576 TiB"} {
		if got := bytesText(n); got != want {
			t.Errorf("%d is %q, want %q", n, got, want)
		}
	}
}
