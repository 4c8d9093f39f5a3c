package spec

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"
)

// idMention finds rule ids in running text.
var idMention = regexp.MustCompile(`\b[A-Z]{3,4}-[A-Z]{3}-[0-9]{3}\b`)

var update = flag.Bool("update", false, "renew rules.lock from the Markdown")

const lockHead = "# One line for each rule: ID LEVEL HASH, sorted. Renew with: go test ./spec -run TestLock -update\n"

func loadLaw(t *testing.T) Law {
	t.Helper()
	law, err := Load()
	if err != nil {
		t.Fatalf("the law does not parse:\n%v", err)
	}
	return law
}

func TestLaw(t *testing.T) {
	law := loadLaw(t)
	areas := map[string]int{}
	for _, r := range law.Rules() {
		areas[r.Area]++
		if got, ok := law.Rule(r.ID); !ok || got.Text != r.Text {
			t.Errorf("%s can not be looked up", r.ID)
		}
	}
	for file, area := range areaOf {
		if areas[area] == 0 {
			t.Errorf("%s has no rule", file)
		}
	}
	if _, ok := law.Rule("OAP-FRM-" + "000"); ok {
		t.Error("a rule that does not exist was found")
	}
}

// The identifiers that a rule, a constant's comment or an answer names have to exist.
func TestReferences(t *testing.T) {
	law := loadLaw(t)
	files, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, f := range files {
		if strings.HasSuffix(f.Name(), "_test.go") || (!strings.HasSuffix(f.Name(), ".go") && !strings.HasSuffix(f.Name(), ".md") && !strings.HasSuffix(f.Name(), ".yaml")) {
			continue
		}
		text, err := os.ReadFile(f.Name())
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range idMention.FindAllString(string(text), -1) {
			seen++
			if _, ok := law.Rule(id); !ok {
				t.Errorf("%s names %s, which does not exist", f.Name(), id)
			}
		}
	}
	if seen < len(law.Rules()) {
		t.Errorf("only %d mentions seen: the search itself is broken", seen)
	}
}

func TestParsedFields(t *testing.T) {
	page := "# Title\n\nProse. With sentences. Three of them.\n\n## First\n\n```\n### not a rule\n```\n\n" +
		"### CAS-ADR-001 MUST\nA node MUST do `a. b. c.`\nthis. It does no more.\n\n- Why: one\n  and two.\n- Reason: `malformed`\n- Example: `x`\n- Example: y\n\nMore prose.\n\n" +
		"- a list item in prose\n\n## Second\n\n### CAS-ADR-002 SHOULD\nIt SHOULD   NOT break.\n- Why: three.\n"
	law, err := ParseLaw(fstest.MapFS{"cas.md": {Data: []byte(page)}, "README.md": {Data: []byte("### nothing")}})
	if err != nil {
		t.Fatal(err)
	}
	want := []Rule{
		{ID: "CAS-ADR-001", Level: Must, Area: "CAS", Section: "First", Text: "A node MUST do `a. b. c.` this. It does no more.",
			Why: "one and two.", Reason: Malformed, Examples: []string{"`x`", "y"}, Hash: "03903d7b84b8b12b", File: "cas.md", Line: 11},
		{ID: "CAS-ADR-002", Level: Should, Area: "CAS", Section: "Second", Text: "It SHOULD NOT break.",
			Why: "three.", Hash: "82e2014d19448a44", File: "cas.md", Line: 27},
	}
	if diff := cmp.Diff(want, law.Rules()); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
}

// Every kind of mistake is found, by its cause and at its line, and each page has one mistake only.
func TestBadPages(t *testing.T) {
	const ok = "A node MUST do this.\n\n- Why: because.\n"
	const head = "# T\n\n## S\n\n"
	tests := []struct {
		name  string
		file  string
		page  string
		cause cause
		line  int
	}{
		{"page without an area", "poems.md", head + "### CAS-ADR-001 MUST\n" + ok, causeUnknownPage, 1},
		{"heading without level", "", head + "### CAS-ADR-001\n", causeBadHeading, 5},
		{"heading with two digits", "", head + "### CAS-ADR-01 MUST\n", causeBadHeading, 5},
		{"heading in lowercase", "", head + "### cas-adr-001 MUST\n", causeBadHeading, 5},
		{"heading with a title", "", head + "### CAS-ADR-001 MUST be\n", causeBadHeading, 5},
		{"heading with two spaces", "", head + "### CAS-ADR-001  MUST\n", causeBadHeading, 5},
		{"heading too deep", "", head + "#### CAS-ADR-001 MUST\n", causeBadHeading, 5},
		{"heading without space", "", head + "###CAS-ADR-001 MUST\n", causeBadHeading, 5},
		{"second title", "", head + "# Another\n", causeBadHeading, 5},
		{"level in lowercase", "", head + "### CAS-ADR-001 must\n" + ok, causeBadLevel, 5},
		{"level of another scale", "", head + "### CAS-ADR-001 SHALL\n" + ok, causeBadLevel, 5},
		{"rule of another area", "", head + "### OAP-FRM-001 MUST\n", causeWrongArea, 5},
		{"duplicate id", "", head + "### CAS-ADR-001 MUST\n" + ok + "\n### CAS-ADR-001 MUST\n" + ok, causeDuplicateID, 10},
		{"no section", "", "# T\n\n### CAS-ADR-001 MUST\n" + ok, causeNoSection, 3},
		{"no sentence", "", head + "### CAS-ADR-001 MUST\n\n- Why: because.\n", causeNoText, 5},
		{"three sentences", "", head + "### CAS-ADR-001 MUST\nIt MUST do. And do. And do.\n\n- Why: because.\n", causeTooLong, 5},
		{"third sentence without full stop", "", head + "### CAS-ADR-001 MUST\nIt MUST do. And do. And do\n\n- Why: because.\n", causeTooLong, 5},
		{"no level word", "", head + "### CAS-ADR-001 MUST\nIt does.\n\n- Why: because.\n", causeNoLevelWord, 5},
		{"level word in lowercase", "", head + "### CAS-ADR-001 MUST\nIt must.\n\n- Why: because.\n", causeNoLevelWord, 5},
		{"level word in code only", "", head + "### CAS-ADR-001 MUST\nIt does `MUST`.\n\n- Why: because.\n", causeNoLevelWord, 5},
		{"level word inside a word", "", head + "### CAS-ADR-001 MUST\nIt likes MUSTARD.\n\n- Why: because.\n", causeNoLevelWord, 5},
		{"two levels in one rule", "", head + "### CAS-ADR-001 MUST\nIt MUST do and MAY rest.\n\n- Why: because.\n", causeMixedLevels, 5},
		{"no Why", "", head + "### CAS-ADR-001 MUST\nIt MUST do.\n\n- Reason: `malformed`\n", causeNoWhy, 5},
		{"field behind prose", "", head + "### CAS-ADR-001 MUST\n" + ok + "\nProse.\n\n- Example: x\n", causeStrayField, 12},
		{"Why twice", "", head + "### CAS-ADR-001 MUST\n" + ok + "- Why: again.\n", causeBadField, 9},
		{"Why empty", "", head + "### CAS-ADR-001 MUST\n" + ok + "- Example:\n", causeBadField, 9},
		{"Reason twice", "", head + "### CAS-ADR-001 MUST\n" + ok + "- Reason: `malformed`\n- Reason: `quota`\n", causeBadField, 10},
		{"unknown reason", "", head + "### CAS-ADR-001 MUST\n" + ok + "- Reason: `bad_mood`\n", causeBadReason, 9},
		{"reason that is no code", "", head + "### CAS-ADR-001 MUST\n" + ok + "- Reason: malformed\n", causeBadReason, 9},
		{"field before any rule", "", head + "- Why: because.\n", causeStrayField, 5},
		{"open fence", "", head + "```\n### CAS-ADR-001 MUST\n", causeOpenFence, 5},
		{"line that is too long", "", head + strings.Repeat("x", 1<<17), causeUnreadable, 5},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			file := tt.file
			if file == "" {
				file = "cas.md"
			}
			_, err := ParseLaw(fstest.MapFS{file: {Data: []byte(tt.page)}})
			var got *pageError
			if !errors.As(err, &got) {
				t.Fatalf("error is %v, want cause %q", err, tt.cause)
			}
			if got.cause != tt.cause || got.line != tt.line || got.file != file {
				t.Errorf("got %v, want %s:%d: %s", got, file, tt.line, tt.cause)
			}
			if want := fmt.Sprintf("%s:%d: ", file, tt.line); !strings.HasPrefix(err.Error(), want) {
				t.Errorf("message %q does not start with %q", err, want)
			}
		})
	}
}

// One broken page does not hide what is wrong with another.
func TestAllMistakesAreReported(t *testing.T) {
	bad := []byte("# T\n\n## S\n\n### nothing\n\n### nothing else\n")
	_, err := ParseLaw(fstest.MapFS{"cas.md": {Data: bad}, "oap.md": {Data: bad}})
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 4 {
		t.Errorf("want four errors, got: %v", err)
	}
}

// compareLock says how lock differs from the law: one line for each missing, orphan and stale entry.
func compareLock(rules []Rule, lock map[string]LockEntry) []string {
	var diffs []string
	rest := maps.Clone(lock)
	for _, r := range rules {
		e, ok := rest[r.ID]
		delete(rest, r.ID)
		switch {
		case !ok:
			diffs = append(diffs, "missing "+r.ID)
		case e != LockEntry{r.Level, r.Hash}:
			diffs = append(diffs, "stale "+r.ID)
		}
	}
	for id := range rest {
		diffs = append(diffs, "orphan "+id)
	}
	slices.Sort(diffs)
	return diffs
}

func TestLock(t *testing.T) {
	rules := loadLaw(t).Rules()
	slices.SortFunc(rules, func(a, b Rule) int { return strings.Compare(a.ID, b.ID) })
	if *update {
		var b strings.Builder
		b.WriteString(lockHead)
		for _, r := range rules {
			fmt.Fprintf(&b, "%s %s %s\n", r.ID, r.Level, r.Hash)
		}
		if err := os.WriteFile("rules.lock", []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		t.Logf("rules.lock renewed: %d rules", len(rules))
		return
	}
	lock, err := Lock()
	if err != nil {
		t.Fatal(err)
	}
	if diffs := compareLock(rules, lock); len(diffs) > 0 {
		t.Errorf("rules.lock does not match the law:\n  %s\nLook at model, implementation and tests of these rules first; then renew with: go test ./spec -run TestLock -update",
			strings.Join(diffs, "\n  "))
	}
}

func TestCompareLock(t *testing.T) {
	rules := []Rule{{ID: "A", Level: Must, Hash: "1"}, {ID: "B", Level: May, Hash: "2"}, {ID: "C", Level: Must, Hash: "3"}, {ID: "D", Level: Must, Hash: "4"}}
	lock := map[string]LockEntry{"A": {Must, "1"}, "B": {Must, "2"}, "C": {Must, "9"}, "X": {Must, "1"}}
	want := []string{"missing D", "orphan X", "stale B", "stale C"}
	if diff := cmp.Diff(want, compareLock(rules, lock)); diff != "" {
		t.Errorf("differences (-want +got):\n%s", diff)
	}
	if len(lock) != 4 {
		t.Error("the comparison changed the lock")
	}
}

func TestPlanned(t *testing.T) {
	law := loadLaw(t)
	planned, err := Planned()
	if err != nil {
		t.Fatal(err)
	}
	for id := range planned {
		if _, ok := law.Rule(id); !ok {
			t.Errorf("planned.txt lists %s, which does not exist", id)
		}
	}
	lines := strings.Split(strings.TrimSpace(string(plannedFile)), "\n")
	if !strings.HasPrefix(lines[0], "# ") {
		t.Error("planned.txt does not start with a line that says what it is")
	}
	if !slices.IsSorted(lines[1:]) {
		t.Error("planned.txt is not sorted")
	}
}

func TestBadData(t *testing.T) {
	for name, text := range map[string]string{
		"lock: two fields":      "CAS-ADR-001 MUST\n",
		"lock: four fields":     "CAS-ADR-001 MUST 0123456789abcdef x\n",
		"lock: twice":           "CAS-ADR-001 MUST 0\nCAS-ADR-001 MUST 0\n",
		"planned: one field":    "CAS-PER-001\n",
		"planned: unknown area": "CAS-PER-001 someday\n",
		"planned: twice":        "CAS-PER-001 persistence\nCAS-PER-001 persistence\n",
	} {
		var err error
		if strings.HasPrefix(name, "lock") {
			_, err = parseLock([]byte(text))
		} else {
			_, err = parsePlanned([]byte(text))
		}
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	lock, err := parseLock([]byte("# comment\n\nCAS-ADR-001 MUST 0123456789abcdef\n"))
	if want := (LockEntry{Must, "0123456789abcdef"}); err != nil || lock["CAS-ADR-001"] != want {
		t.Errorf("good lock: %v, %v", lock, err)
	}
	planned, err := parsePlanned([]byte("# comment\nCAS-PER-001 persistence\n"))
	if err != nil || planned["CAS-PER-001"] != "persistence" {
		t.Errorf("good plan: %v, %v", planned, err)
	}
}
