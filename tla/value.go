package tla

import (
	"fmt"
	"slices"
	"strings"
)

// Canonical brings a state as TLC prints it to the form that package explore writes: one line a variable, no line
// breaks in values, sets and records in the order of their text.
func Canonical(state string) (string, error) {
	p := &parser{rest: state}
	var lines []string
	for p.skip(); p.rest != ""; p.skip() {
		p.take("/\\")
		name := p.word()
		if name == "" || !p.take("=") {
			return "", fmt.Errorf("no variable at %.40q", p.rest)
		}
		value, err := p.value()
		if err != nil {
			return "", fmt.Errorf("%s: %w", name, err)
		}
		lines = append(lines, "/\\ "+name+" = "+value)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n"), nil
}

// parser reads the values that the modules here have: integers, booleans, strings, records, sequences and sets.
type parser struct{ rest string }

func (p *parser) skip() { p.rest = strings.TrimLeft(p.rest, " \n\t\r") }

// take takes a token if it comes next.
func (p *parser) take(token string) bool {
	p.skip()
	after, ok := strings.CutPrefix(p.rest, token)
	if ok {
		p.rest = after
	}
	return ok
}

// word takes letters, digits, underscores and a sign.
func (p *parser) word() string {
	p.skip()
	end := strings.IndexFunc(p.rest, func(r rune) bool {
		return !(r == '_' || r == '-' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z')
	})
	if end < 0 {
		end = len(p.rest)
	}
	w := p.rest[:end]
	p.rest = p.rest[end:]
	return w
}

func (p *parser) value() (string, error) {
	switch {
	case p.take("<<"):
		elems, err := p.list(">>", p.value)
		return "<<" + strings.Join(elems, ", ") + ">>", err
	case p.take("{"):
		elems, err := p.list("}", p.value)
		slices.Sort(elems)
		return "{" + strings.Join(elems, ", ") + "}", err
	case p.take("["):
		fields, err := p.list("]", p.field)
		slices.Sort(fields)
		return "[" + strings.Join(fields, ", ") + "]", err
	case p.take(`"`):
		text, after, ok := strings.Cut(p.rest, `"`)
		if !ok {
			return "", fmt.Errorf("a string without end: %.40q", p.rest)
		}
		p.rest = after
		return `"` + text + `"`, nil
	}
	if w := p.word(); w != "" {
		return w, nil
	}
	return "", fmt.Errorf("no value at %.40q", p.rest)
}

func (p *parser) field() (string, error) {
	name := p.word()
	if name == "" || !p.take("|->") {
		return "", fmt.Errorf("no field at %.40q", p.rest)
	}
	v, err := p.value()
	return name + " |-> " + v, err
}

func (p *parser) list(end string, elem func() (string, error)) ([]string, error) {
	var elems []string
	for !p.take(end) {
		if len(elems) > 0 && !p.take(",") {
			return nil, fmt.Errorf("no comma at %.40q", p.rest)
		}
		e, err := elem()
		if err != nil {
			return nil, err
		}
		elems = append(elems, e)
	}
	return elems, nil
}
