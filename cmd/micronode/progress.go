package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	barDelay = time.Second            // shorter work needs no bar
	barEvery = 200 * time.Millisecond // between two pictures
)

// progress is the bar on stderr. A nil *progress is none, and every method of it does nothing.
type progress struct {
	con   *console
	label string
	start time.Time
	done  chan struct{}
	idle  chan struct{} // closed when the goroutine has ended

	bytes, files           atomic.Int64
	totalBytes, totalFiles atomic.Int64 // 0 while unknown

	shown bool // owner: con.mu
}

// newProgress starts a bar when stderr is a terminal and wanted says that nothing else is in its way.
func newProgress(con *console, label string, wanted bool) *progress {
	f, ok := con.err.(*os.File)
	if !wanted || !ok || !isTerminal(f) {
		return nil
	}
	p := &progress{con: con, label: label, start: time.Now(), done: make(chan struct{}), idle: make(chan struct{})}
	con.mu.Lock()
	con.bar = p
	con.mu.Unlock()
	go p.run(f)
	return p
}

func (p *progress) run(f *os.File) {
	defer close(p.idle)
	wait := time.NewTimer(barDelay)
	defer wait.Stop()
	for {
		select {
		case <-p.done:
			return
		case now := <-wait.C:
			p.con.mu.Lock()
			tell(f, "\r\x1b[K%s", p.picture(now.Sub(p.start), width(f)-1))
			p.shown = true
			p.con.mu.Unlock()
			wait.Reset(barEvery)
		}
	}
}

// add counts bytes; a repeated request takes its bytes back with a negative number.
func (p *progress) add(n int64) {
	if p != nil {
		p.bytes.Add(n)
	}
}

// file counts one file that is done.
func (p *progress) file() {
	if p != nil {
		p.files.Add(1)
	}
}

// totals says how much there is to do.
func (p *progress) totals(files, bytes int64) {
	if p != nil {
		p.totalFiles.Store(files)
		p.totalBytes.Store(bytes)
	}
}

// clear takes the bar off the screen, so that a line can be printed. The caller holds con.mu.
func (p *progress) clear() {
	if p != nil && p.shown {
		tell(p.con.err, "\r\x1b[K")
		p.shown = false
	}
}

// stop ends the bar and takes it off the screen. The caller holds con.mu; it is given up in between, because the
// goroutine may be waiting for it.
func (p *progress) stop() {
	if p == nil {
		return
	}
	close(p.done)
	p.con.mu.Unlock()
	<-p.idle
	p.con.mu.Lock()
	p.clear()
	p.con.bar = nil
}

// picture draws the bar for a moment, at most cols characters wide.
func (p *progress) picture(elapsed time.Duration, cols int) string {
	bytes, files := p.bytes.Load(), p.files.Load()
	total, of := p.totalBytes.Load(), p.totalFiles.Load()
	rate := float64(bytes) / elapsed.Seconds()
	text := bytesText(int64(rate)) + "/s"
	if of != 1 {
		count := fmt.Sprint(files)
		if of > 0 {
			count += fmt.Sprintf("/%d", of)
		}
		text = fmt.Sprintf("%s files  %.0f/s  %s", count, float64(files)/elapsed.Seconds(), text)
	}
	share := share(bytes, total, files, of)
	if share < 0 {
		return cut(fmt.Sprintf("%s  %s  %s", p.label, bytesText(bytes), text), cols)
	}
	eta := "--:--"
	if share > 0 {
		left := time.Duration(float64(elapsed) * (1 - share) / share).Round(time.Second)
		eta = fmt.Sprintf("%02d:%02d", int(left.Minutes()), int(left.Seconds())%60)
	}
	tail := fmt.Sprintf(" %3.0f%%  %s of %s  %s  ETA %s", 100*share, bytesText(bytes), bytesText(total), text, eta)
	room := cols - len(p.label) - len(tail) - 3
	if room < 5 {
		return cut(p.label+tail, cols)
	}
	room = min(room, 40)
	full := int(share * float64(room))
	return fmt.Sprintf("%s [%s%s]%s", p.label, strings.Repeat("#", full), strings.Repeat(".", room-full), tail)
}

// share is how much is done, from 0 to 1, or -1 while nobody knows. Many small files are paced by their number,
// few large ones by their bytes, so the slower of the two tells.
func share(bytes, total, files, of int64) float64 {
	if of == 0 {
		return -1
	}
	s := float64(files) / float64(of)
	if total > 0 {
		b := float64(bytes) / float64(total)
		if of == 1 {
			s = b
		}
		s = min(s, b)
	}
	return max(0, min(s, 1))
}

func cut(s string, cols int) string {
	if len(s) > cols {
		return s[:max(0, cols)]
	}
	return s
}

// isTerminal says whether f is one.
func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), getTermios)
	return err == nil
}

// width is how many columns the terminal f has.
func width(f *os.File) int {
	ws, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || ws.Col == 0 {
		return 80
	}
	return int(ws.Col)
}

// meter is a file whose bytes are counted on the way. Going back takes them back.
type meter struct {
	f   *os.File
	bar *progress
	n   int64
}

// Read implements io.Reader.
func (m *meter) Read(p []byte) (int, error) {
	n, err := m.f.Read(p)
	m.n += int64(n)
	m.bar.add(int64(n))
	return n, err
}

// Seek implements io.Seeker.
func (m *meter) Seek(offset int64, whence int) (int64, error) {
	if whence == io.SeekStart {
		m.bar.add(-m.n)
		m.n = 0
	}
	return m.f.Seek(offset, whence)
}

// countingWriter counts what passes.
type countingWriter struct {
	w   io.Writer
	bar *progress
}

func (c countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.bar.add(int64(n))
	return n, err
}
