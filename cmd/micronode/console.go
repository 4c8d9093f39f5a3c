package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sync"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/spec"
)

// console is where a command talks to its user: results on stdout, failures and the progress bar on stderr. Its
// methods are safe for concurrent use.
type console struct {
	json bool

	mu     sync.Mutex
	out    *bufio.Writer
	err    io.Writer
	bar    *progress // nil without a terminal
	failed int
	wrote  error // the first error of stdout
}

func newConsole(a *app, asJSON bool) *console {
	return &console{json: asJSON, out: bufio.NewWriterSize(a.stdout, 64<<10), err: a.stderr}
}

// result prints one result: text, or v as JSON.
func (c *console) result(text string, v any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	line := []byte(text)
	if c.json {
		var err error
		if line, err = json.Marshal(v); err != nil {
			c.keep(err)
			return
		}
	}
	c.bar.clear()
	_, err := c.out.Write(append(line, '\n'))
	c.keep(err)
	if c.bar == nil { // someone may be reading along
		c.keep(c.out.Flush())
	}
}

// Write writes to stdout what is the same with and without --json.
func (c *console) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n, err := c.out.Write(p)
	c.keep(err)
	return n, err
}

func (c *console) keep(err error) {
	if c.wrote == nil && err != nil {
		c.wrote = fmt.Errorf("write stdout: %w", err)
	}
}

// failure is the JSON form of a failure.
type failure struct {
	Event   string      `json:"event"`
	Subject string      `json:"subject,omitzero"`
	Reason  spec.Reason `json:"reason,omitzero"`
	Message string      `json:"message"`
}

// fail reports that subject, a path or an address, failed, and counts it.
func (c *console) fail(subject string, err error) {
	text := explain(err)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed++
	c.bar.clear()
	if c.json {
		f := failure{Event: "error", Subject: printable(subject), Message: text}
		errors.As(err, &f.Reason)
		if line, err := json.Marshal(&f); err == nil {
			tell(c.err, "%s\n", line)
			return
		}
	}
	tell(c.err, "micronode: %s\n", sentence(printable(subject), err, text))
}

// note prints a remark on stderr, for people only.
func (c *console) note(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.json {
		return
	}
	c.bar.clear()
	tell(c.err, "micronode: "+format+"\n", args...)
}

// tell writes to stderr. An error of stderr has nowhere to go. What has the form of a token is not repeated: somebody may have
// given one in the wrong place (AMN-LOG-005).
func tell(w io.Writer, format string, args ...any) {
	_, _ = io.WriteString(w, tokenText.ReplaceAllString(fmt.Sprintf(format, args...), "[redacted]"))
}

// tokenText matches the text of a capability: base64url of a first byte 2 and more than any id or address has.
var tokenText = regexp.MustCompile(`A[g-v][0-9A-Za-z_-]{60,}`)

// close writes what is left. The error is the first one of stdout: results that nobody got are no success.
func (c *console) close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bar.stop()
	c.keep(c.out.Flush())
	return c.wrote
}

// failures is how many were reported.
func (c *console) failures() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}
