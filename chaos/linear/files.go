package linear

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"go/format"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/rustyonions/micronode/spec"
)

// HTML writes a page, in one file and without anything from outside, that shows the operations of h in time with the
// orders of effects that explain the most of them. Looking for these takes limit for each object at most.
func (h History) HTML(w io.Writer, limit time.Duration) error {
	if err := h.Validate(); err != nil {
		return err
	}
	model := register(h)
	model.Partition = func([]porcupine.Operation) (parts [][]porcupine.Operation) {
		intervals := h.intervals()
		for i := range h.Objects {
			if ops, _ := h.operations(i, intervals); len(ops) > 0 {
				parts = append(parts, ops)
			}
		}
		return parts
	}
	_, info := porcupine.CheckOperationsVerbose(model, nil, limit)
	if err := porcupine.Visualize(model, info, w); err != nil {
		return fmt.Errorf("linear: write page: %w: %w", err, spec.Internal)
	}
	return nil
}

// Name is a name for a core that follows from what it says.
func (c Core) Name() string {
	var text bytes.Buffer
	_ = c.History.Encode(&text) // a buffer takes everything
	return fmt.Sprintf("%x", sha256.Sum256(text.Bytes()))[:8]
}

// GoTest is the core as a Go test of this package, to be kept: a file of its own that says what was seen, and requires
// that it is still called illegal, and that the store no longer behaves like this when the operations around it are
// carried out again.
func (c Core) GoTest() ([]byte, error) {
	var core, around bytes.Buffer
	if err := errors.Join(c.History.Encode(&core), c.Around.Encode(&around)); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.WriteString("package linear_test\n\nimport \"testing\"\n\n")
	fmt.Fprintf(&b, "// TestCore%s: in workload %d the %s gave answers that no order of effects explains:\n//\n",
		c.Name(), c.History.Seed, c.History.Subject)
	for _, line := range c.Lines() {
		fmt.Fprintf(&b, "//\t%s\n", line)
	}
	fmt.Fprintf(&b, "func TestCore%s(t *testing.T) {\n\tregression(t, %s, %s)\n}\n", c.Name(), literal(core.String()), literal(around.String()))
	out, err := format.Source(b.Bytes())
	if err != nil {
		return nil, fmt.Errorf("linear: format test: %w: %w", err, spec.Internal)
	}
	return out, nil
}

// literal is text as a Go string.
func literal(text string) string {
	if strings.Contains(text, "`") {
		return strconv.Quote(text)
	}
	return "`" + text + "`"
}

// Lines tells the core, one line for the beginning and one for each operation.
func (c Core) Lines() []string {
	lines := []string{fmt.Sprintf("in the beginning: %s", c.History.Initial)}
	for _, o := range c.History.Ops {
		end := strconv.FormatInt(o.Return, 10)
		if o.Answer == Lost {
			end = "…"
		}
		lines = append(lines, fmt.Sprintf("%d to %s: %s", o.Call, end, o))
	}
	return lines
}

// Save writes a core and the history that it comes from to files in dir, which it makes if need be: JSON and HTML of
// both, and the Go test. It returns their names.
func (c Core) Save(dir string, from History, limit time.Duration) (files []string, err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("linear: %w: %w", err, spec.Internal)
	}
	name := from.Subject + "_" + c.Name()
	for _, part := range []struct {
		name  string
		write func(io.Writer) error
	}{
		{name + "_core.json", c.History.Encode},
		{name + "_core.html", func(w io.Writer) error { return c.History.HTML(w, limit) }},
		{name + "_history.json", from.Encode},
		{name + "_history.html", func(w io.Writer) error { return from.HTML(w, limit) }},
		{name + "_test.go", func(w io.Writer) error {
			text, err := c.GoTest()
			if err == nil {
				_, err = w.Write(text)
			}
			return err
		}},
	} {
		var b bytes.Buffer
		if err := part.write(&b); err != nil {
			return files, err
		}
		file := filepath.Join(dir, part.name)
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			return files, fmt.Errorf("linear: %w: %w", err, spec.Internal)
		}
		files = append(files, file)
	}
	return files, nil
}
