package main

import (
	"bufio"
	"regexp"
	"strconv"
	"strings"
)

// output is what one run of a fuzz target printed.
type output struct {
	Execs       int64    // executions of the fuzz function
	Interesting int64    // inputs with new coverage
	Corpus      int64    // inputs with coverage of their own, all runs together
	Inputs      []string // failing inputs that were written, relative to the folder of the package
	Seeds       []string // entries of the seed corpus that fail
	Deadline    bool     // the run was ended by a clock
	Plain       bool     // the binary has no coverage instrumentation
}

var (
	statsLine  = regexp.MustCompile(`^fuzz: elapsed: \S+, execs: (\d+) \(\d+/sec\)(?:, new interesting: (\d+) \(total: (\d+)\))?`)
	inputLine  = regexp.MustCompile(`^\s*Failing input written to (.+)$`)
	seedLine   = regexp.MustCompile(`failure while testing seed corpus entry: (\S+)`)
	plainLine  = regexp.MustCompile(`^warning: the test binary was not built with coverage instrumentation`)
	deadlineIn = "context deadline exceeded"
)

// parse reads the output of a fuzz run. Lines it does not know are skipped: they belong to the test.
func parse(text string) output {
	var o output
	lines := bufio.NewScanner(strings.NewReader(text))
	lines.Buffer(nil, 1<<26)
	for lines.Scan() {
		line := lines.Text()
		if m := statsLine.FindStringSubmatch(line); m != nil {
			o.Execs = number(m[1])
			if m[2] != "" {
				o.Interesting, o.Corpus = number(m[2]), number(m[3])
			}
			continue
		}
		if m := inputLine.FindStringSubmatch(line); m != nil {
			o.Inputs = append(o.Inputs, m[1])
		}
		if m := seedLine.FindStringSubmatch(line); m != nil {
			o.Seeds = append(o.Seeds, m[1])
		}
		o.Plain = o.Plain || plainLine.MatchString(line)
		o.Deadline = o.Deadline || strings.TrimSpace(line) == deadlineIn
	}
	return o
}

func (o output) found() bool { return len(o.Inputs)+len(o.Seeds) > 0 }

func number(digits string) int64 {
	n, _ := strconv.ParseInt(digits, 10, 64) // the expression lets only digits through
	return n
}
