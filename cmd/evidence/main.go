// Command evidence runs the checks that the project leans on and writes what they found to one ledger: JSON for machines and
// one self-contained page for people.
//
//	evidence [-out out/evidence] [-fuzz 1m] [-histories 10000] [-full] [-tours] [-only graph,tour] [-page-only]
//
// What counts is promised in this program (promises.go), not found on the way: a check that did not run, a figure that is
// missing or zero, and a check that failed are red, and one red entry is exit status 1. Exit status 2 is bad usage.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// options are the flags.
type options struct {
	out       string
	fuzz      time.Duration
	histories int
	full      bool
	tours     bool
	only      string
	pageOnly  bool
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var o options
	flags := flag.NewFlagSet("evidence", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.out, "out", "out/evidence", "folder for the ledger")
	flags.DurationVar(&o.fuzz, "fuzz", time.Minute, "budget for fuzzing, all targets together")
	flags.IntVar(&o.histories, "histories", 10_000, "concurrent histories to check")
	flags.BoolVar(&o.full, "full", false, "explore all schedules, not only those with few preemptions")
	flags.BoolVar(&o.tours, "tours", false, "have the tours wait for the limits of 5 and 60 seconds as well")
	flags.StringVar(&o.only, "only", "", "kinds to run, comma-separated; the others are red")
	flags.BoolVar(&o.pageOnly, "page-only", false, "run nothing, write the page from the entries that are there")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return 0
		}
		return 2
	}
	if flags.NArg() > 0 || o.histories < 1 || o.fuzz <= 0 {
		fmt.Fprintln(stderr, "evidence: no arguments are taken, and budgets are above zero")
		return 2
	}
	entries := filepath.Join(o.out, "entries")
	if !o.pageOnly {
		if err := os.RemoveAll(entries); err != nil {
			fmt.Fprintln(stderr, "evidence:", err)
			return 2
		}
	}
	if err := os.MkdirAll(entries, 0o755); err != nil {
		fmt.Fprintln(stderr, "evidence:", err)
		return 2
	}
	entries, err := filepath.Abs(entries)
	if err != nil {
		fmt.Fprintln(stderr, "evidence:", err)
		return 2
	}
	if !o.pageOnly {
		for _, s := range steps(o) {
			if o.only == "" || strings.Contains(","+o.only+",", ","+s.kind+",") {
				s.run(ctx, entries, stderr)
			}
		}
	}
	l, err := collect(entries)
	if err == nil {
		err = l.write(o.out)
	}
	if err != nil {
		fmt.Fprintln(stderr, "evidence:", err)
		return 2
	}
	l.print(stdout)
	fmt.Fprintf(stdout, "\n%s\n", filepath.Join(o.out, "evidence.html"))
	if l.Red > 0 {
		return 1
	}
	return 0
}
