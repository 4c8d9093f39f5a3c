package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"github.com/alecthomas/kong"
)

func main() {
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, env: os.Environ()}
	os.Exit(a.run(os.Args[1:]))
}

// app is what a command gets from its process.
type app struct {
	stdin          *os.File
	stdout, stderr *os.File
	env            []string
	ctx            context.Context // ends with the first signal; its cause is a signalError
	hurry          context.Context // ends with the second one, in a command that waits for it
	patient        atomic.Bool     // the command in progress waits for hurry
	signals        chan os.Signal
	parser         *kong.Kong
}

// signalError is why a context ended when a signal came.
type signalError struct{ sig syscall.Signal }

func (e signalError) Error() string { return "ended by " + e.sig.String() }

func (e signalError) code() int { return exitSignal + int(e.sig) }

// run executes one command line and returns its exit code.
func (a *app) run(args []string) int {
	var grammar cli
	parser, err := kong.New(&grammar,
		kong.Name("micronode"),
		kong.Description(description+"\n\n"+exitHelp()),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 110}),
		kong.Writers(a.stdout, a.stderr),
		kong.Vars{"node": defaultNode},
	)
	if err != nil {
		panic("micronode: command line grammar: " + err.Error())
	}
	a.parser = parser
	cmd, err := parser.Parse(args)
	if err != nil {
		tell(a.stderr, "micronode: %v\nTry: micronode --help\n", err)
		return exitUsage
	}
	stop := a.watchSignals()
	err = cmd.Run(a)
	stop()
	return a.report(err)
}

// watchSignals makes the first SIGINT or SIGTERM end ctx. The second one ends hurry where the command is a node that
// drains, which then cuts what is in flight (RDY-DRN-006). Any other command, or a third signal, ends at once.
func (a *app) watchSignals() (stop func()) {
	ctx, cancel := context.WithCancelCause(context.Background())
	hurry, cut := context.WithCancel(context.Background())
	a.ctx, a.hurry = ctx, hurry
	a.signals = make(chan os.Signal, 3)
	signal.Notify(a.signals, syscall.SIGINT, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case s := <-a.signals:
				e := signalError{s.(syscall.Signal)}
				switch {
				case ctx.Err() == nil:
					cancel(e)
				case a.patient.Load() && hurry.Err() == nil:
					cut()
				default:
					os.Exit(e.code())
				}
			case <-done:
				return
			}
		}
	}()
	return func() {
		signal.Stop(a.signals)
		close(done)
		cancel(nil)
		cut()
	}
}

// report says what went wrong, unless that was done already, and returns the exit code.
func (a *app) report(err error) int {
	if err == nil {
		return exitOK
	}
	var sig signalError
	if errors.As(context.Cause(a.ctx), &sig) && errors.Is(err, context.Canceled) {
		tell(a.stderr, "micronode: %v\n", sig)
		return sig.code()
	}
	var exit *exitError
	if !errors.As(err, &exit) || !exit.quiet {
		tell(a.stderr, "micronode: %s\n", explain(err))
	}
	return codeOf(err)
}

// fileOrStdin opens a file, or stdin for "-". The caller closes it.
func (a *app) fileOrStdin(name string) (io.ReadCloser, error) {
	if name == "-" {
		return io.NopCloser(a.stdin), nil
	}
	return os.Open(name)
}
