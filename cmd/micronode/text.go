package main

import (
	"errors"
	"strings"
	"unicode"

	"github.com/rustyonions/micronode/impl/client"
)

// sentence joins a subject and what happened to it.
func sentence(subject string, err error, text string) string {
	var large *client.TooLargeError
	switch {
	case subject == "":
		return text
	case errors.As(err, &large): // reads "x is 1.2 MiB: …"
		return subject + " " + text
	}
	return subject + ": " + text
}

// printable makes a name safe to print: file names may hold anything, terminals obey some of it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}
