// Package evidence carries figures from the checks that produce them to the page that shows them. A check calls Add
// when it has finished; `make evidence` runs the checks with EVIDENCE_DIR set and turns what they left into
// one page.
//
// It owns the form of one entry. It may never decide what is good enough: a figure that is missing or zero where one was
// promised is the reader's business to refuse.
package evidence

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Variable is the name of the environment variable with the folder for entries. Without it nothing is written. It can not
// begin with MICRO_: tests hand their environment on to nodes, and a node refuses settings that it does not know.
const Variable = "EVIDENCE_DIR"

// Entry is what one check has to show.
type Entry struct {
	Check   string              `json:"check"`           // kind/subject, for example graph/Cas or tour/session
	Figures map[string]int64    `json:"figures"`         // counts; milliseconds where the name ends in _ms
	Texts   map[string]string   `json:"texts,omitempty"` // digests, reasons
	Lists   map[string][]string `json:"lists,omitempty"` // for example what is out of reach, each with its reason
	Failed  bool                `json:"failed"`          // as the test stood at the call
}

// Add writes e if Variable is set, one file an entry; a later entry of the same check replaces the earlier one. Call it
// at the very end of a test. It is safe for concurrent use by different checks.
func Add(t testing.TB, e Entry) {
	t.Helper()
	dir := os.Getenv(Variable)
	if dir == "" {
		return
	}
	e.Failed = t.Failed()
	text, err := json.MarshalIndent(e, "", "\t")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, File(e.Check)), text, 0o644); err != nil {
		t.Fatal(err)
	}
}

// File is the name of the file that holds the entry of a check.
func File(check string) string { return strings.ReplaceAll(check, "/", ".") + ".json" }
