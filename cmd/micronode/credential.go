package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/spec"
)

// secretFlag is a token on the command line or in the environment: the token itself, or @FILE. It prints as
// [redacted], so that no error and no help of the command line parser can show it.
type secretFlag struct{ secret.String }

// UnmarshalText takes what the user wrote.
func (f *secretFlag) UnmarshalText(text []byte) error {
	f.String = secret.NewString(string(text))
	return nil
}

// load returns the token, from the file where one is named. White space around it does not count: files end with a line
// feed. The zero String stands for none.
func (f secretFlag) load() (secret.String, error) {
	name, isFile := strings.CutPrefix(f.Reveal(), "@")
	switch {
	case !isFile:
		return secret.NewString(strings.TrimSpace(f.Reveal())), nil
	case name == "" || name == "-":
		return secret.String{}, usagef("--token takes a token or @FILE; it is not read from stdin, which is often the data")
	}
	return tokenFile(name)
}

// tokenFile reads a token from a file.
func tokenFile(name string) (secret.String, error) {
	f, err := os.Open(name)
	if err != nil {
		return secret.String{}, usagef("token: %w", plainPath(name, err))
	}
	defer f.Close()
	return readToken(f, name)
}

// readToken reads a token from a file or stdin. An empty one is a mistake: a request without a token would be refused
// for a reason that is hard to guess.
func readToken(r io.Reader, name string) (secret.String, error) {
	b, err := io.ReadAll(io.LimitReader(r, 2*spec.MaxCapabilityText))
	defer clear(b)
	if err != nil {
		return secret.String{}, usagef("token: %w", plainPath(name, err))
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return secret.String{}, usagef("token: %s is empty", printable(name))
	}
	return secret.NewString(text), nil
}

// subject is a token that a command works on: an argument, which may be @FILE or - for stdin, else --token or MICRO_TOKEN,
// else stdin.
func (a *app) subject(argument, flag secretFlag) (secret.String, error) {
	switch text := argument.Reveal(); {
	case text == "-":
		return readToken(a.stdin, "stdin")
	case text != "":
		return argument.load()
	}
	if token, err := flag.load(); err != nil || !token.IsZero() {
		return token, err
	}
	if isTerminal(a.stdin) {
		return secret.String{}, usagef("no token: give one as TOKEN, @FILE or -, or set MICRO_TOKEN")
	}
	return readToken(a.stdin, "stdin")
}

// parseToken reads a token that is worked on here. What is wrong with it is told by rule, and never by showing it.
func parseToken(text secret.String) (capability.Token, error) {
	t, err := capability.ParseText(text.Reveal())
	if err != nil {
		return capability.Token{}, offline("this is no token", err)
	}
	return t, nil
}

// offline turns an error of package capability into one about what the user gave: no node has said anything.
func offline(what string, err error) error {
	var e *capability.Error
	if !errors.As(err, &e) {
		return err
	}
	return usagef("%s (%s)", what, e.Rule)
}

// parseCaveats reads conditions from the command line.
func parseCaveats(texts []string) ([]capability.Caveat, error) {
	list := make([]capability.Caveat, 0, len(texts))
	for _, text := range texts {
		c, err := capability.ParseCaveat(text)
		if err != nil {
			return nil, offline(fmt.Sprintf("%q is not a caveat: one is for example %q, %q, %q or %q", printable(text),
				"path ^= /o/", "max-bytes <= 1048576", "rps <= 10", "op in get,has"), err)
		}
		list = append(list, c)
	}
	return list, nil
}

// parseOps reads operations from the command line.
func parseOps(names []string) ([]spec.Op, error) {
	list := make([]spec.Op, 0, len(names))
	for _, name := range names {
		op := spec.Op(name)
		if !op.Known() {
			return nil, usagef("%q is not an operation; they are %s", printable(name), joined(spec.Ops()))
		}
		list = append(list, op)
	}
	return list, nil
}

// joined lists names for people.
func joined[S ~string](list []S) string {
	texts := make([]string, len(list))
	for i := range list {
		texts[i] = string(list[i])
	}
	return strings.Join(texts, ", ")
}
