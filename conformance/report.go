package conformance

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Report writes result.json into a directory and renews it with every result, so that a run that is cut short leaves
// what it found. Its methods are safe for concurrent use.
type Report struct {
	mu   sync.Mutex
	path string
	doc  document
	err  error
}

// document is result.json.
type document struct {
	Format   string    `json:"format"`
	Complete bool      `json:"complete"` // false while the run goes on, and for ever when it was cut short
	HTTP     string    `json:"http"`
	OAP      string    `json:"oap"`
	Seed     uint64    `json:"seed"`
	Started  time.Time `json:"started"`
	Selected int       `json:"selected"` // cases
	Summary  Summary   `json:"summary"`
	Results  []Result  `json:"results"`
}

// NewReport makes dir if needed and writes the first, empty result.json.
func NewReport(dir string, cfg Config, selected int) (*Report, error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("report: %w", err)
	}
	r := &Report{path: filepath.Join(dir, "result.json"), doc: document{
		Format: "micronode-conformance/1", HTTP: cfg.HTTP, OAP: cfg.OAP, Seed: cfg.Seed,
		Started: time.Now().UTC().Truncate(time.Second), Selected: selected, Results: []Result{},
	}}
	return r, r.write()
}

// Add writes one more result. An error is kept for Close.
func (r *Report) Add(res Result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doc.Results = append(r.doc.Results, res)
	r.err = errors.Join(r.err, r.write())
}

// Close marks the report as complete and returns what went wrong since it was made.
func (r *Report) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.doc.Complete = len(r.doc.Results) == r.doc.Selected
	return errors.Join(r.err, r.write())
}

// write replaces the file in one step. The caller holds mu, or is the only one who has r.
func (r *Report) write() error {
	r.doc.Summary = Summarize(r.doc.Results)
	b, err := json.Marshal(r.doc, jsontext.WithIndent("  "), json.Deterministic(true))
	if err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := os.WriteFile(r.path+".new", append(b, '\n'), 0o644); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	if err := os.Rename(r.path+".new", r.path); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	return nil
}
