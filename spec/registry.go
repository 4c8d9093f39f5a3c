package spec

import (
	"bufio"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Level is how binding a rule is, in the words of RFC 2119. A MUST NOT has level Must.
type Level string

// The three levels.
const (
	Must   Level = "MUST"
	Should Level = "SHOULD"
	May    Level = "MAY"
)

// Rule is one numbered rule of the law.
type Rule struct {
	ID       string   // for example "OAP-FRM-003"; never reused, never renumbered
	Level    Level    // from the heading
	Area     string   // the first part of ID, for example "OAP"
	Section  string   // the "##" heading that the rule stands under
	Text     string   // the rule itself: at most two sentences, white space collapsed, Markdown kept
	Why      string   // the reason for the rule, never empty
	Reason   Reason   // what a violation is answered with, or None
	Examples []string // bytes, headers or bodies, as written
	Hash     string   // the first 16 hex digits of SHA-256 over Level, a line feed, and Text
	File     string   // for example "oap.md"
	Line     int      // line of the heading in File, from 1
}

// LockEntry is what rules.lock remembers of a rule.
type LockEntry struct {
	Level Level
	Hash  string
}

// Law is the whole rule book. The zero value is an empty one; a Law is immutable and safe for concurrent use.
type Law struct {
	rules []Rule
	index map[string]int
}

//go:embed *.md
var pages embed.FS

//go:embed rules.lock
var lockFile []byte

//go:embed planned.txt
var plannedFile []byte

//go:embed openapi.yaml
var openAPIFile []byte

// areaOf names the area of each page. A page that is not listed here is an error, so that no rule can hide in it.
var areaOf = map[string]string{
	"oap.md":        "OAP",
	"cas.md":        "CAS",
	"http.md":       "HTTP",
	"admission.md":  "ADM",
	"readiness.md":  "RDY",
	"amnesia.md":    "AMN",
	"capability.md": "CAP",
	"keys.md":       "CAP",
	"audit.md":      "CAP",
	"divergence.md": "DIV",
}

// plannedAreas are the names that planned.txt may give to work that is still to come.
var plannedAreas = []string{
	"persistence", "capability", "keys", "tls", "unix-socket", "audit", "readiness", "admission", "amnesia",
	"config", "mailbox", "index", "edge", "facets", "tor",
}

// Load reads the law that is compiled in. The error joins everything that is wrong with it, each with file and
// line; the tests of this package keep it nil.
func Load() (Law, error) { return ParseLaw(pages) }

// ParseLaw reads every *.md file in the root of fsys except README.md. The error joins one error for each mistake,
// each starting with file and line.
func ParseLaw(fsys fs.FS) (Law, error) {
	names, err := fs.Glob(fsys, "*.md")
	if err != nil {
		return Law{}, err
	}
	law := Law{index: map[string]int{}}
	var errs []error
	for _, name := range names {
		if name == "README.md" {
			continue
		}
		text, err := fs.ReadFile(fsys, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		rules, bad := parsePage(name, text)
		errs = append(errs, bad...)
		for _, r := range rules {
			if first, dup := law.index[r.ID]; dup {
				errs = append(errs, &pageError{r.File, r.Line, causeDuplicateID,
					fmt.Sprintf("%s is already at %s:%d", r.ID, law.rules[first].File, law.rules[first].Line)})
				continue
			}
			law.index[r.ID] = len(law.rules)
			law.rules = append(law.rules, r)
		}
	}
	return law, errors.Join(errs...)
}

// Rules returns all rules, page by page, each in the order of its page. The slice is the caller's.
func (l Law) Rules() []Rule { return slices.Clone(l.rules) }

// Rule looks one rule up by its id.
func (l Law) Rule(id string) (Rule, bool) {
	i, ok := l.index[id]
	if !ok {
		return Rule{}, false
	}
	return l.rules[i], true
}

// Lock returns rules.lock by rule id. It differs from the law only while a change of the law has not been
// acknowledged by renewing it.
func Lock() (map[string]LockEntry, error) { return parseLock(lockFile) }

func parseLock(text []byte) (map[string]LockEntry, error) {
	lock := map[string]LockEntry{}
	err := eachLine("rules.lock", text, func(f []string) error {
		if len(f) != 3 {
			return fmt.Errorf("want ID LEVEL HASH, have %d fields", len(f))
		}
		if _, dup := lock[f[0]]; dup {
			return fmt.Errorf("%s is listed twice", f[0])
		}
		lock[f[0]] = LockEntry{Level(f[1]), f[2]}
		return nil
	})
	return lock, err
}

// Planned returns planned.txt: the rules of areas that are not built yet, by id, with the name of the area.
func Planned() (map[string]string, error) { return parsePlanned(plannedFile) }

func parsePlanned(text []byte) (map[string]string, error) {
	planned := map[string]string{}
	err := eachLine("planned.txt", text, func(f []string) error {
		if len(f) != 2 {
			return fmt.Errorf("want ID AREA, have %d fields", len(f))
		}
		if _, dup := planned[f[0]]; dup {
			return fmt.Errorf("%s is listed twice", f[0])
		}
		if !slices.Contains(plannedAreas, f[1]) {
			return fmt.Errorf("unknown area %q", f[1])
		}
		planned[f[0]] = f[1]
		return nil
	})
	return planned, err
}

// eachLine calls do with the fields of every line that is neither empty nor a # comment, and stops at its first error.
func eachLine(name string, text []byte, do func(fields []string) error) error {
	sc := bufio.NewScanner(bytes.NewReader(text))
	for n := 1; sc.Scan(); n++ {
		line := sc.Text()
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if err := do(strings.Fields(line)); err != nil {
			return fmt.Errorf("%s:%d: %w", name, n, err)
		}
	}
	return sc.Err()
}

// OpenAPI returns openapi.yaml, the OpenAPI 3.1 document of the HTTP surface that exists (HTTP-SUR-011). The slice
// is the caller's.
func OpenAPI() []byte { return slices.Clone(openAPIFile) }
