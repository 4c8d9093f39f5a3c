// Command campaign runs every native fuzz target of the module in rotation, for a budget of time, and reports what
// was executed and found.
//
//	campaign [-budget 10m] [-minimum 20000] [-artefacts DIR] [-json] [-only REGEXP] [-C DIR]
//
// Targets are found by reading the sources, so a new one takes part without being listed anywhere. Slices are
// counted in executions, not in time: a fuzz run that ends by the clock now and then fails with "context deadline
// exceeded" without having found anything. Inputs that fail stay where the fuzzer puts them, in
// testdata/fuzz/TARGET beside the test.
//
// Exit status: 0 clean, 1 a failing input was found, 2 a target did not run or executed nothing, or bad usage.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main without the process around it; it returns the exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("campaign", flag.ContinueOnError)
	flags.SetOutput(stderr)
	budget := flags.Duration("budget", 10*time.Minute, "how long to fuzz, all targets together")
	minimum := flags.Int64("minimum", 20_000, "executions that every target gets, even beyond the budget")
	artefacts := flags.String("artefacts", "", "folder that failing inputs and their output are copied to")
	asJSON := flags.Bool("json", false, "write the report as one JSON line on stdout; progress goes to stderr")
	only := flags.String("only", "", "run only the targets whose PACKAGE.NAME matches this regular expression")
	dir := flags.String("C", ".", "a folder of the module to fuzz")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	filter, err := regexp.Compile(*only)
	if err == nil && (flags.NArg() > 0 || *minimum < 1) {
		err = errors.New("no arguments are taken, and -minimum is at least 1")
	}
	complain := log.New(stderr, "campaign: ", 0)
	if err != nil {
		complain.Print(err)
		return 2
	}

	human := log.New(stdout, "", 0)
	if *asJSON {
		human = log.New(stderr, "", 0)
	}
	c := config{Budget: *budget, Minimum: *minimum, Artefacts: *artefacts, Only: filter, Progress: human}
	rep, err := campaign(ctx, *dir, c)
	if err != nil {
		complain.Print(err)
		return 2
	}
	human.Print(rep)
	if *asJSON {
		if err := json.NewEncoder(stdout).Encode(rep); err != nil {
			complain.Print(err)
			return 2
		}
	}
	return rep.exitStatus()
}

// moduleRoot is the closest folder at or above dir that holds a go.mod.
func moduleRoot(dir string) (string, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", err
	}
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at, nil
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("no go.mod at or above %s", dir)
		}
	}
}
