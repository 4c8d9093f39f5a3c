package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal and returns both of its ends.
func terminal(t *testing.T, cols uint16) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 24, Col: cols})
	}
	if err == nil {
		slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|syscall.O_NOCTTY, 0)
	}
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

// On a terminal, work of over a second shows a bar that fits, and takes it away again; shorter work shows nothing.
func TestBarOnATerminal(t *testing.T) {
	t.Parallel()
	node := start(t, "--rate", "20")
	dir := t.TempDir()
	for i := range 50 {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprint("f", i)), noise(fmt.Sprint(i), 1000), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(node *process, args ...string) (screen, stdout string) {
		master, slave := terminal(t, 70)
		cmd := node.client(args...)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, slave
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		slave.Close()
		text, _ := io.ReadAll(master) // ends with EIO when the last writer is gone
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v: %s", args, err, text)
		}
		return string(text), out.String()
	}
	screen, _ := run(node, "put", "--node", node.event.OAP, "-r", dir)
	pictures := regexp.MustCompile(`\r\x1b\[Kput [^\r\n]*\d+/50 files[^\r\n]*`).FindAllString(screen, -1)
	if len(pictures) < 3 {
		t.Errorf("only %d pictures in %q", len(pictures), screen)
	}
	for _, p := range pictures {
		if n := len(strings.TrimPrefix(p, "\r\x1b[K")); n >= 70 {
			t.Errorf("%d columns: %q", n, p)
		}
	}
	if !regexp.MustCompile(`\r\x1b\[Kmicronode: stored 50 files[^\r\n]*\r\n$`).MatchString(screen) {
		t.Errorf("the bar is not taken away before the last line: %q", screen)
	}
	// Twenty at once, and after a refusal the rest: a part of a second.
	short := start(t, "--rate", "20")
	args := []string{"put", "--node", short.event.OAP}
	for i := range 23 {
		args = append(args, filepath.Join(dir, fmt.Sprint("f", i)))
	}
	if screen, out := run(short, args...); strings.Contains(screen, "\x1b") || strings.Count(out, "\n") != 23 {
		t.Errorf("a bar for a moment's work: %q", screen)
	}
}
