package explore

import (
	"slices"
	"strconv"
	"strings"
)

// The functions below write values in TLC's notation, with sets and fields in the order of their text, so that equal
// values have equal texts. TLC's own output is brought to the same form by package tla.

// Vars writes a state: pairs of variable name and value.
func Vars(nameValue ...string) string {
	lines := make([]string, 0, len(nameValue)/2)
	for i := 0; i < len(nameValue); i += 2 {
		lines = append(lines, "/\\ "+nameValue[i]+" = "+nameValue[i+1])
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// Str writes a string, which may not contain quotes.
func Str(s string) string { return `"` + s + `"` }

// Int writes an integer.
func Int(i int) string { return strconv.Itoa(i) }

// Bool writes a boolean.
func Bool(b bool) string {
	if b {
		return "TRUE"
	}
	return "FALSE"
}

// Seq writes a sequence, and a function over 1..n.
func Seq(elems ...string) string { return "<<" + strings.Join(elems, ", ") + ">>" }

// Set writes a set; an element that stands twice is in it once.
func Set(elems ...string) string {
	sorted := slices.Compact(slices.Sorted(slices.Values(elems)))
	return "{" + strings.Join(sorted, ", ") + "}"
}

// Each writes the elements of a list.
func Each[T any](list []T, text func(T) string) (texts []string) {
	for _, x := range list {
		texts = append(texts, text(x))
	}
	return texts
}

// Rec writes a record, and a function over strings: pairs of field name and value. It may not be empty.
func Rec(nameValue ...string) string {
	fields := make([]string, 0, len(nameValue)/2)
	for i := 0; i < len(nameValue); i += 2 {
		fields = append(fields, nameValue[i]+" |-> "+nameValue[i+1])
	}
	slices.Sort(fields)
	return "[" + strings.Join(fields, ", ") + "]"
}
