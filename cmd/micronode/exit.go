package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/rustyonions/micronode/impl/client"
	"github.com/rustyonions/micronode/impl/config"
	"github.com/rustyonions/micronode/spec"
)

// The exit codes. exitTable is what users get to read about them.
const (
	exitOK      = 0
	exitFailed  = 1
	exitUsage   = 2
	exitReach   = 3
	exitReject  = 4
	exitMore    = 5
	exitPartly  = 6
	exitTamper  = 7
	exitSignal  = 128 // plus the number of the signal
	exitSIGINT  = 130
	exitSIGTERM = 143
)

// exitTable documents every exit code; --help prints it, and a test holds the two together.
var exitTable = []struct {
	code    int
	meaning string
}{
	{exitOK, "done; for run: drained after SIGTERM or SIGINT"},
	{exitFailed, "failed: the node refused, or a file could not be read or written; the reason is on stderr"},
	{exitUsage, "wrong usage: command line, node URL, address, configuration or manifest"},
	{exitReach, "the node can not be reached, or has another certificate; for run: an address can not be bound"},
	{exitReject, "frame: a frame was rejected"},
	{exitMore, "frame decode: the input ends inside a frame"},
	{exitPartly, "partly done: some files or objects failed, the others are done"},
	{exitTamper, "audit verify, audit prove, version --verify: what was checked does not fit: it was tampered with"},
	{exitSIGINT, "ended by SIGINT; for run: by a third one, without an orderly end"},
	{exitSIGTERM, "ended by SIGTERM; for run: by a third one, without an orderly end"},
}

// exitHelp renders exitTable for --help.
func exitHelp() string {
	var b strings.Builder
	b.WriteString("Exit codes:\n\n")
	for _, e := range exitTable {
		fmt.Fprintf(&b, "    %3d  %s\n", e.code, e.meaning)
	}
	return b.String()
}

// exitError is an error that knows its exit code. With quiet everything was said already.
type exitError struct {
	code  int
	err   error
	quiet bool
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// usagef is a mistake in what the user asked for.
func usagef(format string, args ...any) error {
	return &exitError{code: exitUsage, err: fmt.Errorf(format, args...)}
}

// codeOf is the exit code of a command that ended with err.
func codeOf(err error) int {
	var exit *exitError
	var refused *client.Error
	var setting *config.Error
	var bind *net.OpError
	switch {
	case err == nil:
		return exitOK
	case errors.As(err, &exit):
		return exit.code
	case errors.As(err, &refused):
		if refused.Unreachable {
			return exitReach
		}
		return exitFailed
	case errors.As(err, &setting):
		return exitUsage
	case errors.As(err, &bind):
		return exitReach
	}
	return exitFailed
}

// hopeless says that what failed for one file will fail for all the others too.
func hopeless(err error) bool {
	var e *client.Error
	return errors.As(err, &e) && (e.Unreachable || e.GaveUp || e.Reason == spec.Unauth) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

// advice is what a user can do about a reason; where it is missing the message says enough.
var advice = map[spec.Reason]string{
	spec.StoreFull:      "delete objects, or start the node with a larger --store-bytes",
	spec.Quota:          "lower --parallel, or start the node with a higher --rate",
	spec.TooManyStreams: "lower --parallel",
	spec.NotFound:       "nothing is stored under this address; a node forgets everything when it restarts",
	spec.Integrity:      "the bytes can not be trusted and were not kept",
	spec.Timeout:        "give it more time with --timeout, or see why the node or the network is slow",
	spec.Draining:       "the node is shutting down: use another one, or start it again",
	spec.NotReady:       "the node is not ready: look at its /readyz",
	spec.BadHello:       "is this the OAP/1 port of a micronode?",
	spec.BadDigest:      "the bytes changed on their way, or the address is another object's",
	spec.Unsupported:    "this node does not offer it",
	spec.Unauth:         "the node wants a token of its own that has not expired: set MICRO_TOKEN or --token; micronode run printed one",
	spec.Forbidden:      "the token is good, and does not cover this: see what it covers with micronode token inspect, or ask for another with micronode token mint",
}

// explain is the error with what to do about it.
func explain(err error) string {
	text := err.Error()
	var e *client.Error
	_, otherNode := errors.AsType[*client.PinError](err)
	_, inTheClear := errors.AsType[*client.ClearTextError](err)
	_, notOurs := errors.AsType[*client.OwnerError](err)
	switch {
	case otherNode:
		return text + " (compare with what micronode run printed, and only then set MICRO_PIN or --pin to it)"
	case inTheClear, notOurs:
		return text
	case errors.As(err, &e) && e.Unreachable:
		return text + " (is a node running there? start one with: micronode run)"
	}
	r := spec.None
	if errors.As(err, &r) && advice[r] != "" {
		return text + " (" + advice[r] + ")"
	}
	return text
}
