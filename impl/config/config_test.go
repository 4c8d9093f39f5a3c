package config

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/spec"
)

// write puts a configuration file into a fresh folder.
func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "node.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestDefaultsAreTheLaw(t *testing.T) {
	c, err := Load("", []string{"PATH=/bin", "MICRO_NODE=oap://127.0.0.1:1", "MICRO_CONFORMANCE_SEED=1", "MICROSCOPE=1"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c != Default() {
		t.Errorf("got %+v, want the defaults", c)
	}
	if c.Rate != 500 || c.MaxInflight != 512 || c.MaxConns != 1024 || c.StoreBytes != 512<<20 || !c.Amnesia {
		t.Errorf("defaults are off: %+v", c)
	}
}

// RDY-CFG-001: flag over environment over file over default, each key for itself.
func TestPrecedence(t *testing.T) {
	path := write(t, "rate = 11\nmax_conns = 12\nmax_inflight = 13\nstore_bytes = \"3MiB\"\n")
	c, err := Load(path, []string{"MICRO_MAX_CONNS=22", "MICRO_MAX_INFLIGHT=23"}, Overrides{"max_inflight": "33"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Rate != 11 || c.MaxConns != 22 || c.MaxInflight != 33 || c.StoreBytes != 3<<20 || c.HTTP != "127.0.0.1:8080" {
		t.Errorf("got %+v", c)
	}
	for key, want := range map[string]string{
		"rate": path + ":1", "max_conns": "MICRO_MAX_CONNS", "max_inflight": "--max-inflight", "http": "default", "nonsense": "",
	} {
		if got := c.Source(key); got != want {
			t.Errorf("source of %s is %q, want %q", key, got, want)
		}
	}
}

func TestFileForms(t *testing.T) {
	path := write(t, `# a comment
http = "[::1]:0"
"oap" = 'localhost:9'
store_bytes = 0x20_0000
rate = 1_000
log_level = "debug"
amnesia = true
`)
	c, err := Load(path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTP != "[::1]:0" || c.OAP != "localhost:9" || c.StoreBytes != 2<<20 || c.Rate != 1000 || c.LogLevel != slog.LevelDebug {
		t.Errorf("got %+v", c)
	}
}

// Each of these keeps a node from starting, and the message names place and rule.
func TestRefusals(t *testing.T) {
	for _, tc := range []struct {
		name, file, env, flag string // flag is key=value
		want                  []string
	}{
		{name: "unknown key", file: "\nspeed = 1", want: []string{":2: ", `"speed"`, "RDY-CFG-002"}},
		{name: "case variant", file: "Rate = 1", want: []string{":1: ", `"Rate"`, "did you mean rate?", "RDY-CFG-002"}},
		{name: "case variant beside the key", file: "rate = 1\nRATE = 2", want: []string{":2: ", `"RATE"`}},
		{name: "hyphens", file: "max-conns = 1", want: []string{"did you mean max_conns?"}},
		{name: "table", file: "[limits]\nrate = 1", want: []string{":1: ", "[limits]", "RDY-CFG-002"}},
		{name: "dotted key", file: "limits.rate = 1", want: []string{":1: ", `"limits.rate"`}},
		{name: "duplicate", file: "rate = 1\n# x\nrate = 2", want: []string{":3:1: ", "rate", "RDY-CFG-003"}},
		{name: "duplicate, quoted", file: "rate = 1\n\"rate\" = 1", want: []string{":2:1: ", "RDY-CFG-003"}},
		{name: "syntax", file: "rate = 1\nhttp = \n", want: []string{":2:8: ", "RDY-CFG-004"}},
		{name: "string for integer", file: `rate = "5"`, want: []string{":1: ", "rate is a string", "RDY-CFG-004"}},
		{name: "float", file: `rate = 5.0`, want: []string{"another type"}},
		{name: "integer for string", file: `http = 8080`, want: []string{"http is an integer"}},
		{name: "array", file: `http = ["127.0.0.1:1"]`, want: []string{"another type"}},
		{name: "string for boolean", file: `amnesia = "true"`, want: []string{"amnesia is a string"}},
		{name: "rate zero", file: `rate = 0`, want: []string{"ADM-CAP-007"}},
		{name: "rate negative", file: `rate = -1`, want: []string{"ADM-CAP-007"}},
		{name: "rate beyond int64", env: "MICRO_RATE=99999999999999999999", want: []string{"MICRO_RATE: ", "ADM-CAP-007"}},
		{name: "rate with unit", env: "MICRO_RATE=5k", want: []string{"not a whole number"}},
		{name: "rate signed", env: "MICRO_RATE=+5", want: []string{"not a whole number"}},
		{name: "inflight above the law", flag: "max_inflight=513", want: []string{"--max-inflight: ", "ADM-CAP-007"}},
		{name: "conns above the law", flag: "max_conns=1025", want: []string{"--max-conns: ", "ADM-CAP-007"}},
		{name: "store too small", file: `store_bytes = "1023KiB"`, want: []string{"1 MiB to 16 TiB"}},
		{name: "store overflows", file: `store_bytes = "9999999999TiB"`, want: []string{"not a size"}},
		{name: "store decimal unit", file: `store_bytes = "1GB"`, want: []string{"not a size"}},
		{name: "store fraction", file: `store_bytes = "1.5GiB"`, want: []string{"not a size"}},
		{name: "not loopback", file: `http = "0.0.0.0:8080"`, want: []string{":1: ", "RDY-CFG-006"}},
		{name: "all interfaces", flag: `oap=:9090`, want: []string{"--oap: ", "RDY-CFG-006"}},
		{name: "foreign host name", flag: `oap=example.org:9090`, want: []string{"RDY-CFG-006"}},
		{name: "no port", flag: `oap=127.0.0.1`, want: []string{"not host:port"}},
		{name: "named port", flag: `oap=127.0.0.1:http`, want: []string{"0 to 65535"}},
		{name: "port too large", flag: `oap=127.0.0.1:65536`, want: []string{"0 to 65535"}},
		{name: "level", file: `log_level = "INFO"`, want: []string{"log_level", "not a level"}},
		{name: "amnesia off", file: `amnesia = false`, want: []string{":1: ", "AMN-DEF-001"}},
		{name: "amnesia unreadable", env: `MICRO_AMNESIA=ture`, want: []string{"MICRO_AMNESIA: ", "AMN-DEF-004"}},
		{name: "amnesia empty", env: `MICRO_AMNESIA=`, want: []string{"AMN-DEF-004"}},
		{name: "unknown variable", env: "MICRO_SPEED=1", want: []string{"MICRO_SPEED: ", "RDY-CFG-002"}},
		{name: "case variant variable", env: "MICRO_Rate=1", want: []string{"did you mean MICRO_RATE?"}},
		{name: "not UTF-8", file: "http = \"\xff\"", want: []string{":1:"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := ""
			if tc.file != "" {
				path = write(t, tc.file)
			}
			flags := Overrides{}
			if key, text, ok := strings.Cut(tc.flag, "="); ok {
				flags[key] = text
			}
			c, err := Load(path, []string{tc.env}, flags)
			if err == nil {
				t.Fatalf("accepted as %+v", c)
			}
			var mine *Error
			if !errors.Is(err, spec.Malformed) || !errors.As(err, &mine) {
				t.Errorf("error %v carries no reason", err)
			}
			if c != (Config{}) {
				t.Errorf("a refused configuration came back as %+v", c)
			}
			if tc.file != "" && !strings.Contains(err.Error(), path+":") {
				t.Errorf("the file is not named: %v", err)
			}
			for _, part := range tc.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%q is not in: %v", part, err)
				}
			}
		})
	}
}

func TestEveryMistakeIsReported(t *testing.T) {
	path := write(t, "rate = 0\nspeed = 1\nhttp = 1\n")
	_, err := Load(path, []string{"MICRO_OAP=x"}, Overrides{"max_conns": "0"})
	if err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("want five lines, got: %v", err)
	}
}

func TestUnreadableFile(t *testing.T) {
	if _, err := Load(filepath.Join(t.TempDir(), "none.toml"), nil, nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := Load(write(t, strings.Repeat("# x\n", maxFile/4+1)), nil, nil); !errors.Is(err, spec.Malformed) {
		t.Errorf("a file above the limit: got %v", err)
	}
	if _, err := Load("", []string{"MICRO_RATE=1", "MICRO_RATE=2"}, nil); !errors.Is(err, spec.Malformed) {
		t.Errorf("a variable set twice: got %v", err)
	}
	if _, err := Load("", nil, Overrides{"speed": "1"}); err == nil {
		t.Error("a flag for no setting was accepted")
	}
}

// What is printed reads back to the same values.
func TestPrintReadsBack(t *testing.T) {
	want, err := Load(write(t, "rate = 7\nstore_bytes = \"1GiB\"\n"), []string{"MICRO_LOG_LEVEL=warn"}, Overrides{"oap": "[::1]:0"})
	if err != nil {
		t.Fatal(err)
	}
	got, err := Load(write(t, string(want.AppendTOML(nil))), nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	got.from, want.from = [numKeys]string{}, [numKeys]string{}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "7": 7, "7B": 7, "1KiB": 1 << 10, "512MiB": 512 << 20, "2 GiB": 2 << 30, "3TiB": 3 << 40,
		"9223372036854775807": 1<<63 - 1,
		"":                    -1, "B": -1, "-1": -1, "1 KiB ": -1, "1kib": -1, "0x10": -1, "1_0": -1, "8388608TiB": -1, "１": -1, "1KiBB": -1,
	} {
		got, err := ParseSize(text)
		if err != nil {
			got = -1
		}
		if got != want {
			t.Errorf("ParseSize(%q) = %d, %v; want %d", text, got, err, want)
		}
	}
}

// FuzzFile: any bytes give a configuration within its bounds or an error, and what is accepted prints and reads
// back. The seeds run as ordinary tests.
func FuzzFile(f *testing.F) {
	for _, seed := range []string{"", "rate = 1\n", "rate = 1\nrate = 1", "[a]\nb={c=[1,2]}", "http = \"127.0.0.1:0\"", "a.b.c=1979-05-27T07:32:00Z", "\"\" = 0", "store_bytes = '1MiB'\r\n", "rate=0b11", "amnesia=true#x"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		found, err := parseFile("f", data)
		c := Default()
		for _, s := range found {
			err = errors.Join(err, c.set(s.key, s.value))
		}
		if err != nil {
			return
		}
		if c.Rate < 1 || c.MaxConns < 1 || c.MaxConns > spec.MaxConns || c.MaxInflight < 1 || c.MaxInflight > spec.MaxInflight ||
			c.StoreBytes < minStore || c.StoreBytes > maxStore || !c.Amnesia {
			t.Fatalf("out of bounds: %+v", c)
		}
		again, err := parseFile("g", c.AppendTOML(nil))
		if err != nil || len(again) != numKeys {
			t.Fatalf("printed form does not read back: %v", err)
		}
	})
}
