package conformance

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// The flags of the suite, behind -args. Each has an environment variable MICRO_CONFORMANCE_… of the same name, which
// is weaker.
var (
	nodeHTTP    = flag.String("node.http", "", "base `URL` of the HTTP surface of the node to test (MICRO_CONFORMANCE_NODE_HTTP)")
	nodeOAP     = flag.String("node.oap", "", "`URL` of the OAP/1 surface of the node to test (MICRO_CONFORMANCE_NODE_OAP)")
	nodeHTTPS   = flag.String("node.https", "", "`URL` of the HTTP surface behind TLS, if there is one (MICRO_CONFORMANCE_NODE_HTTPS)")
	nodeOAPTLS  = flag.String("node.oap-tls", "", "`URL` of the OAP/1 surface behind TLS, if there is one (MICRO_CONFORMANCE_NODE_OAP_TLS)")
	nodeUnix    = flag.String("node.unix", "", "`URL` of the Unix socket, if there is one: unix:/path (MICRO_CONFORMANCE_NODE_UNIX)")
	fingerprint = flag.String("node.fingerprint", "", "SHA-256 of the certificate as the node announced it: sha256:`hex` (MICRO_CONFORMANCE_NODE_FINGERPRINT)")
	nodeCap     = flag.String("node.cap", "", "`token` that allows every operation, or @file with one (MICRO_CONFORMANCE_NODE_CAP)")
	nodeBin     = flag.String("node.binary", "", "`program` with the command line of micronode, for cases that need processes of their own (MICRO_CONFORMANCE_NODE_BINARY)")
	seedFlag    = flag.Uint64("seed", 0, "seed of every random choice; 0 for a new one (MICRO_CONFORMANCE_SEED)")
	report      = flag.String("report", "", "`directory` for result.json (MICRO_CONFORMANCE_REPORT)")
	runLevel    = flag.String("run-level", "", "must, should or all: which cases to run (MICRO_CONFORMANCE_RUN_LEVEL)")
	maxRPS      = flag.Float64("max-rps", 0, "bound on requests per second to a node that is given; 0 for 250 (MICRO_CONFORMANCE_MAX_RPS)")
)

// ownRate is the rate at which the suite's own node runs, so that admission does not pace it.
const ownRate = "100000"

// option is a flag where it is given, else its environment variable, else fallback.
func option(name, value, fallback string) string {
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == name })
	env := "MICRO_CONFORMANCE_" + strings.ToUpper(strings.NewReplacer(".", "_", "-", "_").Replace(name))
	if v, ok := os.LookupEnv(env); ok && !given {
		return v
	}
	if !given || value == "" {
		return fallback
	}
	return value
}

// buildNode builds cmd/micronode as a stranger would and returns the program. Nothing of it is linked into this test.
func buildNode(t *testing.T) string {
	t.Helper()
	bin := filepath.Join(t.TempDir(), "micronode")
	build := exec.Command("go", "build", "-o", bin, "github.com/rustyonions/micronode/cmd/micronode")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the node does not build: %v\n%s", err, out)
	}
	return bin
}

// selection turns -run-level into cases.
func selection(t *testing.T, level string) []Case {
	t.Helper()
	switch level {
	case "must":
		return AtLeast(Cases(), spec.Must)
	case "should":
		return AtLeast(Cases(), spec.Should)
	case "all":
		return Cases()
	}
	t.Fatalf("run-level %q is not must, should or all", level)
	return nil
}

// config reads flags and environment, and starts the node when no target is given.
func config(t *testing.T) Config {
	t.Helper()
	number := func(name, value string) float64 {
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s %q is no number", name, value)
		}
		return v
	}
	seed, err := strconv.ParseUint(option("seed", fmt.Sprint(*seedFlag), "0"), 10, 64)
	if err != nil {
		t.Fatalf("seed: %v", err)
	}
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	cfg := Config{
		HTTP: option("node.http", *nodeHTTP, ""),
		OAP:  option("node.oap", *nodeOAP, ""),
		Doors: Doors{
			HTTPS: option("node.https", *nodeHTTPS, ""), OAPTLS: option("node.oap-tls", *nodeOAPTLS, ""),
			Unix: option("node.unix", *nodeUnix, ""), Fingerprint: option("node.fingerprint", *fingerprint, ""),
		},
		Cap:    option("node.cap", *nodeCap, ""),
		Binary: option("node.binary", *nodeBin, ""),
		MaxRPS: number("max-rps", option("max-rps", fmt.Sprint(*maxRPS), "250")),
		Seed:   seed,
	}
	if (cfg.HTTP == "") != (cfg.OAP == "") {
		t.Fatal("a target needs both -node.http and -node.oap")
	}
	if file, isFile := strings.CutPrefix(cfg.Cap, "@"); isFile {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatalf("node.cap: %v", err)
		}
		cfg.Cap = strings.TrimSpace(string(text))
	}
	if cfg.HTTP != "" {
		return cfg
	}
	if cfg.Binary == "" {
		cfg.Binary = buildNode(t)
	}
	dir, err := os.MkdirTemp("", "mn") // short: the path of a socket has little room
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	process, err := StartProcess(cfg.Binary, 20*time.Second, "--rate", ownRate,
		"--https", "127.0.0.1:0", "--oap-tls", "127.0.0.1:0", "--unix", filepath.Join(dir, "s.sock"))
	if err != nil {
		t.Fatalf("the node does not start: %v", err)
	}
	cfg.Process, cfg.HTTP, cfg.OAP, cfg.MaxRPS = process, process.HTTP, process.OAP, 0
	cfg.Doors, cfg.Cap = process.Doors, process.Token
	return cfg
}

// TestConformance runs the suite: against the target that is given, or else against the node of this repository, built
// and run as a process of its own. Each case is a subtest, so -run 'TestConformance/frm-' selects.
func TestConformance(t *testing.T) {
	neverCached(t)
	cases := selection(t, option("run-level", *runLevel, "all"))
	cfg := config(t)
	if cfg.Process != nil {
		t.Cleanup(func() {
			if err := cfg.Process.Stop(2 * spec.DrainTimeout); err != nil {
				t.Errorf("the node does not end in good order: %v", err)
			}
		})
	}
	suite, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	law, err := spec.Load()
	if err != nil {
		t.Fatalf("the law does not parse: %v", err)
	}

	var selected []Case
	results := map[string]chan Result{}
	for _, c := range cases {
		t.Run(c.ID, func(t *testing.T) {
			selected = append(selected, c)
			results[c.ID] = make(chan Result, 1)
			t.Parallel() // waits here until all are selected
			show(t, law, cfg, <-results[c.ID])
		})
	}
	var rep *Report
	if dir := option("report", *report, ""); dir != "" {
		if rep, err = NewReport(dir, cfg, len(selected)); err != nil {
			t.Fatal(err)
		}
	}
	begin := time.Now()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		all := suite.Run(ctx, selected, func(r Result) {
			if rep != nil {
				rep.Add(r)
			}
			results[r.ID] <- r
		})
		fmt.Printf("conformance: %s; %.1f s, seed %d, round trip %v\n", Summarize(all), time.Since(begin).Seconds(), cfg.Seed, suite.RTT())
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		if rep != nil {
			if err := rep.Close(); err != nil {
				t.Errorf("%v", err)
			}
		}
	})
}

// show turns a result into that of its subtest.
func show(t *testing.T, law spec.Law, cfg Config, r Result) {
	switch {
	case r.Verdict.Red():
		target := ""
		if cfg.Process == nil {
			target = fmt.Sprintf(" -node.http=%s -node.oap=%s", cfg.HTTP, cfg.OAP)
		}
		t.Errorf("%s\nagain: go test ./conformance -run 'TestConformance/%s$' -args -seed %d%s", r.Explain(law), r.ID, cfg.Seed, target)
	case r.Verdict == Unsupported:
		t.Skipf("unsupported: %s", r.Detail)
	case r.Verdict == Warn:
		t.Logf("%s", r.Explain(law))
	case r.Detail != "":
		t.Logf("%s: %s", r.Verdict, r.Detail)
	}
}
