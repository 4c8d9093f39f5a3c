package spec

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"
)

// cause names a kind of mistake in a page.
type cause string

const (
	causeUnknownPage cause = "page without an area"
	causeBadHeading  cause = "malformed heading"
	causeBadLevel    cause = "bad level"
	causeWrongArea   cause = "area does not belong to this page"
	causeDuplicateID cause = "duplicate id"
	causeNoSection   cause = "rule outside a section"
	causeNoText      cause = "rule without a sentence"
	causeTooLong     cause = "more than two sentences"
	causeNoLevelWord cause = "level word missing"
	causeMixedLevels cause = "second level word"
	causeNoWhy       cause = "no Why"
	causeBadField    cause = "malformed field"
	causeStrayField  cause = "field outside a rule"
	causeBadReason   cause = "unknown reason"
	causeOpenFence   cause = "code fence is never closed"
	causeUnreadable  cause = "line can not be read"
)

const (
	maxRuleSentences = 2
	hashLen          = 16 // hex digits of Rule.Hash
	fence            = "```"

	fieldWhy     = "Why"
	fieldReason  = "Reason"
	fieldExample = "Example"
)

// pageError is one mistake in one place of a page.
type pageError struct {
	file   string
	line   int
	cause  cause
	detail string
}

func (e *pageError) Error() string {
	s := fmt.Sprintf("%s:%d: %s", e.file, e.line, e.cause)
	if e.detail != "" {
		s += ": " + e.detail
	}
	return s
}

var (
	idForm     = regexp.MustCompile(`^([A-Z]{3,4})-[A-Z]{3}-[0-9]{3}$`)
	codeSpan   = regexp.MustCompile("`[^`]*`")
	fieldForm  = regexp.MustCompile(`^- (Why|Reason|Example):(?: (.*))?$`)
	levelWord  = regexp.MustCompile(`\b(MUST|SHOULD|MAY)\b`)
	sentEnd    = regexp.MustCompile(`[.!?](?:\s|$)`)
	reasonForm = regexp.MustCompile("^`([a-z_]+)`$")
)

// pageParser reads one page line by line. A rule is open from its heading to the next heading or the first prose
// behind its fields.
type pageParser struct {
	file, area string
	line       int // of the line being read, from 1
	fenced     int // line of the open code fence, or 0
	section    string
	rules      []Rule
	errs       []error

	open   bool            // whether rule is being read
	rule   Rule            // the open rule
	text   []string        // lines of its sentence
	inText bool            // the next line still belongs to the sentence
	fields map[string]bool // which fields it had; Example may repeat
	last   *string         // the field that an indented line continues
}

// parsePage reads one page. It returns every rule it could make sense of and every mistake it saw.
func parsePage(file string, text []byte) ([]Rule, []error) {
	p := &pageParser{file: file, area: areaOf[file]}
	if p.area == "" {
		p.line = 1
		p.fail(causeUnknownPage, "")
		return nil, p.errs
	}
	sc := bufio.NewScanner(bytes.NewReader(text))
	for sc.Scan() {
		p.line++
		p.read(strings.TrimRight(sc.Text(), " \t"))
	}
	if err := sc.Err(); err != nil {
		p.line++
		p.fail(causeUnreadable, err.Error())
	}
	p.closeRule()
	if p.fenced > 0 {
		p.failAt(p.fenced, causeOpenFence, "")
	}
	return p.rules, p.errs
}

func (p *pageParser) fail(c cause, detail string) { p.failAt(p.line, c, detail) }

func (p *pageParser) failAt(line int, c cause, detail string) {
	p.errs = append(p.errs, &pageError{p.file, line, c, detail})
}

func (p *pageParser) read(line string) {
	switch {
	case strings.HasPrefix(line, fence):
		p.closeRule()
		if p.fenced == 0 {
			p.fenced = p.line
		} else {
			p.fenced = 0
		}
	case p.fenced > 0:
		// What stands in a fence is an illustration, whatever it looks like.
	case strings.HasPrefix(line, "#"):
		p.closeRule()
		p.heading(line)
	case line == "":
		// Fields may be set apart by blank lines, but the sentence ends at the first one behind it.
		if len(p.text) > 0 {
			p.inText = false
		}
		p.last = nil
	case fieldForm.MatchString(line):
		p.field(line)
	case p.inText:
		p.text = append(p.text, line)
	case p.last != nil && strings.HasPrefix(line, "  "):
		*p.last += " " + strings.TrimSpace(line)
	default:
		p.closeRule()
	}
}

func (p *pageParser) heading(line string) {
	if title, ok := strings.CutPrefix(line, "## "); ok {
		p.section = strings.TrimSpace(title)
		return
	}
	if strings.HasPrefix(line, "# ") && p.line == 1 {
		return
	}
	rest, ok := strings.CutPrefix(line, "### ")
	words := strings.Fields(rest)
	if !ok || len(words) != 2 || rest != words[0]+" "+words[1] || !idForm.MatchString(words[0]) {
		p.fail(causeBadHeading, line)
		return
	}
	id, level := words[0], Level(words[1])
	if level != Must && level != Should && level != May {
		p.fail(causeBadLevel, words[1])
		return
	}
	area := idForm.FindStringSubmatch(id)[1]
	if area != p.area {
		p.fail(causeWrongArea, id)
		return
	}
	if p.section == "" {
		p.fail(causeNoSection, id)
	}
	p.open, p.inText, p.text, p.fields, p.last = true, true, nil, map[string]bool{}, nil
	p.rule = Rule{ID: id, Level: level, Area: area, Section: p.section, File: p.file, Line: p.line}
}

func (p *pageParser) field(line string) {
	p.inText = false
	m := fieldForm.FindStringSubmatch(line)
	name, value := m[1], strings.TrimSpace(m[2])
	if !p.open {
		p.fail(causeStrayField, name)
		return
	}
	if value == "" {
		p.fail(causeBadField, name+" is empty")
		return
	}
	if p.fields[name] && name != fieldExample {
		p.fail(causeBadField, name+" stands twice")
		return
	}
	p.fields[name] = true
	switch name {
	case fieldWhy:
		p.rule.Why = value
		p.last = &p.rule.Why
	case fieldExample:
		p.rule.Examples = append(p.rule.Examples, value)
		p.last = &p.rule.Examples[len(p.rule.Examples)-1]
	case fieldReason:
		p.last = nil
		r := reasonForm.FindStringSubmatch(value)
		if r == nil || !Reason(r[1]).Known() {
			p.fail(causeBadReason, value)
			return
		}
		p.rule.Reason = Reason(r[1])
	}
}

// closeRule checks the open rule as a whole and takes it over. It does nothing when none is open.
func (p *pageParser) closeRule() {
	if !p.open {
		return
	}
	p.open, p.inText, p.last = false, false, nil
	r := &p.rule
	r.Text = strings.Join(strings.Fields(strings.Join(p.text, " ")), " ")
	if r.Text == "" {
		p.failAt(r.Line, causeNoText, r.ID)
		return
	}
	plain := codeSpan.ReplaceAllString(r.Text, "x")
	if n := sentences(plain); n > maxRuleSentences {
		p.failAt(r.Line, causeTooLong, fmt.Sprintf("%s has %d", r.ID, n))
	}
	found := false
	for _, w := range levelWord.FindAllString(plain, -1) {
		if Level(w) != r.Level {
			p.failAt(r.Line, causeMixedLevels, r.ID+" says "+w)
		}
		found = found || Level(w) == r.Level
	}
	if !found {
		p.failAt(r.Line, causeNoLevelWord, r.ID+" does not say "+string(r.Level))
	}
	if r.Why == "" {
		p.failAt(r.Line, causeNoWhy, r.ID)
	}
	sum := sha256.Sum256([]byte(string(r.Level) + "\n" + r.Text))
	r.Hash = hex.EncodeToString(sum[:])[:hashLen]
	p.rules = append(p.rules, *r)
}

// sentences counts the sentences of text without code spans; one that lacks its full stop counts as well.
func sentences(text string) int {
	n := len(sentEnd.FindAllString(text, -1))
	if !strings.ContainsAny(text[len(text)-1:], ".!?") {
		n++
	}
	return n
}
