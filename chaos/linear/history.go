package linear

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"

	"github.com/rustyonions/micronode/spec"
)

// Initial is what was there before the first operation.
type Initial string

// The beginnings of a history.
const (
	Empty   Initial = "empty"   // nothing
	Unknown Initial = "unknown" // whatever operations can have left
)

// Object is something to be stored. Its bytes follow from Seed and Size (see Payload), so that a history can be
// replayed without carrying them.
type Object struct {
	Address spec.Address `json:"address"`
	Seed    uint64       `json:"seed"`
	Size    int          `json:"size"` // bytes
}

// History is what a number of clients did and were answered. It is plain data; methods that change it return a copy.
type History struct {
	// Subject names what the clients talked to, for people and for replays.
	Subject string `json:"subject"`
	// Seed is that of the workload.
	Seed       uint64   `json:"seed"`
	Persistent bool     `json:"persistent,omitempty"` // restarts keep what was acknowledged (CAS-PER-003)
	Initial    Initial  `json:"initial"`
	Objects    []Object `json:"objects"`
	Ops        []Op     `json:"operations"` // the last member, see Encode
}

// formatVersion is that of the JSON form.
const formatVersion = 1

// document is the JSON form of a history.
type document struct {
	Format int `json:"format"`
	History
}

// maxFile bounds what Parse reads, in bytes.
const maxFile = 64 << 20

// Encode writes h as JSON with one operation in a line.
func (h History) Encode(w io.Writer) error {
	head := h
	head.Ops = []Op{}
	text, err := json.MarshalIndent(document{formatVersion, head}, "", "\t")
	text, found := bytes.CutSuffix(text, []byte("[]\n}"))
	if err != nil || !found {
		return fmt.Errorf("linear: encode history: %w", errors.Join(err, spec.Internal))
	}
	text = append(text, '[')
	for i, o := range h.Ops {
		line, err := json.Marshal(o)
		if err != nil {
			return fmt.Errorf("linear: encode operation: %w: %w", err, spec.Internal)
		}
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(text, "\n\t\t"...), line...)
	}
	if _, err := w.Write(append(text, "\n\t]\n}\n"...)); err != nil {
		return fmt.Errorf("linear: write history: %w: %w", err, spec.Internal)
	}
	return nil
}

// Parse reads what Encode wrote, strictly: unknown members, another format, trailing bytes and a history that Validate
// refuses have the reason malformed.
func Parse(r io.Reader) (History, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return History{}, fmt.Errorf("linear: read history: %w: %w", err, spec.Internal)
	}
	if len(text) > maxFile {
		return History{}, fmt.Errorf("linear: history is larger than %d bytes: %w", maxFile, spec.Oversize)
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	var d document
	if err := dec.Decode(&d); err != nil {
		return History{}, fmt.Errorf("linear: parse history: %w: %w", err, spec.Malformed)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return History{}, fmt.Errorf("linear: something follows the history: %w", spec.Malformed)
	}
	if d.Format != formatVersion {
		return History{}, fmt.Errorf("linear: history has format %d, not %d: %w", d.Format, formatVersion, spec.Malformed)
	}
	return d.History, d.Validate()
}

// Validate checks that h can have happened at all, whatever the store did: answers fit their operations, no client did
// two things at once, and a client without an answer did nothing any more. Errors have the reason malformed.
func (h History) Validate() error {
	bad := func(text string, args ...any) error {
		return fmt.Errorf("linear: "+text+": %w", append(args, spec.Malformed)...)
	}
	if h.Initial != Empty && h.Initial != Unknown {
		return bad("initial is %q", h.Initial)
	}
	if len(h.Ops) == 0 || len(h.Objects) == 0 {
		return bad("history without operations or without objects")
	}
	for i, o := range h.Objects {
		if o.Size < 0 || o.Size > spec.MaxObject {
			return bad("object %d has %d bytes", i, o.Size)
		}
		if slices.ContainsFunc(h.Objects[:i], func(p Object) bool { return p.Address == o.Address }) {
			return bad("object %d is there twice", i)
		}
	}
	order := make([]int, len(h.Ops))
	for i, o := range h.Ops {
		order[i] = i
		switch {
		case !slices.Contains(Kinds(), o.Kind):
			return bad("operation %d is %q", i, o.Kind)
		case !o.Answer.fits(o.Kind):
			return bad("operation %d: %q is no answer to %s", i, o.Answer, o.Kind)
		case o.Object < 0 || o.Object >= len(h.Objects) || o.Kind == Restart && o.Object != 0:
			return bad("operation %d is on object %d", i, o.Object)
		case !slices.Contains(Faults(), o.Fault) || o.Fault != Sound && o.Kind != Put:
			return bad("operation %d has the fault %q", i, o.Fault)
		case o.Answer == GivenUp && o.Fault != Cancelled:
			return bad("operation %d was given up without being cancelled", i)
		case o.Client < 0 || o.Pieces < 0:
			return bad("operation %d has client %d and %d pieces", i, o.Client, o.Pieces)
		case o.Call < 0 || o.Call > maxTime || o.Return > maxTime || o.Answer != Lost && o.Return < o.Call:
			return bad("operation %d lasts from %d to %d", i, o.Call, o.Return)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(h.Ops[a].Call, h.Ops[b].Call) })
	last := map[int]Op{}
	for _, i := range order {
		o := h.Ops[i]
		before, busy := last[o.Client]
		if busy && (before.Answer == Lost || o.Call < before.Return) {
			return bad("operation %d: client %d has not ended what it did before", i, o.Client)
		}
		last[o.Client] = o
	}
	return nil
}

// maxTime leaves room for arithmetic with times; it is 73 years.
const maxTime = math.MaxInt64 / 4

// interval is when an operation may have taken effect, both ends included.
type interval struct{ from, to int64 }

// intervals applies the borders that restarts are: a restart takes effect at its Return, and everything called before
// took effect before, or not at all. Times are multiplied by four to have room between two of them.
func (h History) intervals() []interval {
	var borders []int64
	end := int64(0)
	for _, o := range h.Ops {
		if o.Kind == Restart {
			borders = append(borders, o.Return)
		}
		end = max(end, o.Call, o.Return)
	}
	slices.Sort(borders)
	list := make([]interval, len(h.Ops))
	for i, o := range h.Ops {
		from, to := 4*o.Call, 4*o.Return
		switch {
		case o.Kind == Restart:
			from, to = 4*o.Return-1, 4*o.Return-1
		case o.Answer == Lost:
			to = 4*end + 4 // after everything
		}
		next := sort.Search(len(borders), func(b int) bool { return borders[b] > o.Call })
		if o.Kind != Restart && next < len(borders) {
			to = min(to, 4*borders[next]-2)
		}
		list[i] = interval{from, to}
	}
	return list
}

// Only returns what h says about one object: its operations and the restarts. The objects stay.
func (h History) Only(object int) History {
	h.Ops = slices.DeleteFunc(slices.Clone(h.Ops), func(o Op) bool { return o.Kind != Restart && o.Object != object })
	return h
}
