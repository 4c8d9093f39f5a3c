package config

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// EnvPrefix starts the name of every environment variable that belongs to micronode.
const EnvPrefix = "MICRO_"

// clientVars are MICRO_* variables that are no settings of a node; Load passes over them, and over those that begin
// with suiteVars: the conformance suite starts nodes of its own.
var clientVars = []string{"MICRO_NODE", "MICRO_TOKEN", "MICRO_PIN"}

const suiteVars = "MICRO_CONFORMANCE_"

// Config is one complete, valid configuration. It is a value: copy it freely, compare it with ==. Only Load and
// Default make one.
type Config struct {
	// Listeners, "" for none. Port 0 picks a free one.
	HTTP   string // host:port on loopback, HTTP in the clear (RDY-CFG-005, RDY-CFG-006)
	OAP    string // host:port on loopback, OAP/1 in the clear (RDY-CFG-005, RDY-CFG-006)
	HTTPS  string // host:port, HTTP over TLS
	OAPTLS string // host:port, OAP/1 over TLS
	Unix   string // path of a socket, OAP/1 (CAP-UDS)

	UnixPeers   string // user ids besides the node's own, with commas (CAP-UDS-004)
	TLSCert     string // PEM file of the certificate chain; "" makes one (CAP-TLS-002)
	TLSKey      string // PEM file of its key (CAP-TLS-009)
	TLSClientCA string // PEM file of what client certificates must come from; "" asks for none (CAP-TLS-011)
	PQMode      string // "off", "hybrid" or "required" (CAP-TLS-004 to 006)

	NodeName     string        // what an `aud` caveat names (CAP-CAV-008)
	Bootstrap    string        // "auto", "on" or "off": whether a bootstrap token is printed (CAP-ROL-004)
	BootstrapTTL time.Duration // its life (CAP-ROL-004)
	AuditRecords int           // records that the audit log holds (CAP-AUD-008)
	AuditHold    bool          // keep them until they were exported (CAP-AUD-010)

	StoreBytes  int64 // capacity of the store in bytes (CAS-CAP-002)
	Rate        int   // requests admitted per second (ADM-CAP-003)
	MaxInflight int   // requests in flight (ADM-CAP-002)
	MaxConns    int   // connections (ADM-CAP-001)

	LogLevel slog.Level
	Amnesia  bool // always true in this version (AMN-DEF-001)

	from [numKeys]string // where each value was set, in the order of keys; "" is the default
}

// Default is the configuration of a node that was told nothing.
func Default() Config {
	return Config{
		HTTP:         "127.0.0.1:8080",
		OAP:          "127.0.0.1:9090",
		PQMode:       "hybrid",
		NodeName:     "micronode",
		Bootstrap:    "auto",
		BootstrapTTL: spec.BootstrapTTL,
		AuditRecords: 16384,
		StoreBytes:   spec.DefaultStoreBytes,
		Rate:         spec.DefaultRate,
		MaxInflight:  spec.MaxInflight,
		MaxConns:     spec.MaxConns,
		LogLevel:     slog.LevelInfo,
		Amnesia:      true,
	}
}

// Overrides are the settings given on the command line: the text of a value by the key that it has in the file.
type Overrides map[string]string

// Load reads the configuration. path names the TOML file, "" for none; env is in the form of os.Environ; flags
// win over both. The error joins one *Error for every mistake that was found, or is that of reading the file.
func Load(path string, env []string, flags Overrides) (Config, error) {
	c := Default()
	var errs []error
	set := func(key string, v value) {
		if err := c.set(key, v); err != nil {
			errs = append(errs, err)
		}
	}
	if path != "" {
		found, err := readFile(path)
		if err != nil {
			errs = append(errs, err)
		}
		for _, s := range found {
			set(s.key, s.value)
		}
	}
	vars, err := readEnv(env)
	if err != nil {
		errs = append(errs, err)
	}
	for _, s := range vars {
		set(s.key, s.value)
	}
	known := 0
	for _, k := range keys {
		if text, ok := flags[k.name]; ok {
			known++
			set(k.name, value{text: text, where: flagName(k.name)})
		}
	}
	if known != len(flags) {
		errs = append(errs, fmt.Errorf("config: a flag for a key that is none: %v", flags))
	}
	if len(errs) == 0 {
		errs = c.conflicts()
	}
	if err := errors.Join(errs...); err != nil {
		return Config{}, err
	}
	return c, nil
}

// conflicts finds settings that are good one by one and not together.
func (c *Config) conflicts() (errs []error) {
	conflict := func(key, what string) { errs = append(errs, &Error{c.Source(key), key, what}) }
	tls := c.HTTPS != "" || c.OAPTLS != ""
	switch {
	case c.HTTP == "" && c.OAP == "" && !tls && c.Unix == "":
		conflict("http", "every listener is switched off: a node that nobody can reach does not start (RDY-CFG-004)")
	case (c.TLSCert == "") != (c.TLSKey == ""):
		conflict("tls_cert", "tls_cert and tls_key belong together: give both, or none for a certificate that the node makes (RDY-CFG-004)")
	case !tls && c.TLSCert != "":
		conflict("tls_cert", "there is a certificate and no TLS listener: set https or oap_tls (RDY-CFG-004)")
	case !tls && c.TLSClientCA != "":
		conflict("tls_client_ca", "client certificates are asked for and there is no TLS listener: set https or oap_tls (RDY-CFG-004)")
	case c.Unix == "" && c.UnixPeers != "":
		conflict("unix_peers", "there are peers and no Unix socket: set unix (RDY-CFG-004)")
	}
	return errs
}

// Local says that no listener can be reached from another machine.
func (c Config) Local() bool {
	return (c.HTTPS == "" || isLoopback(c.HTTPS)) && (c.OAPTLS == "" || isLoopback(c.OAPTLS))
}

// Peers are the user ids of unix_peers.
func (c Config) Peers() (uids []uint32) {
	for text := range strings.SplitSeq(c.UnixPeers, ",") {
		if uid, err := strconv.ParseUint(text, 10, 32); err == nil {
			uids = append(uids, uint32(uid))
		}
	}
	return uids
}

// setting is one key with the value that one source gives it.
type setting struct {
	key string
	value
}

// value is a value as it was written.
type value struct {
	text  string
	where string // file:line, a variable, or a flag
	typed kind   // what the TOML file says it is; anyKind from sources that only have text
}

// readEnv picks the settings out of an environment. Unknown MICRO_* variables are mistakes, for the
// reason of RDY-CFG-002: a misspelt limit would silently not be there.
func readEnv(env []string) (found []setting, err error) {
	var errs []error
	for _, kv := range env {
		name, text, _ := strings.Cut(kv, "=")
		if !strings.HasPrefix(name, EnvPrefix) || slices.Contains(clientVars, name) || strings.HasPrefix(name, suiteVars) {
			continue
		}
		key := strings.ToLower(strings.TrimPrefix(name, EnvPrefix))
		if _, ok := lookup(key); !ok || name != envName(key) {
			errs = append(errs, unknown(name, key, name, envName))
			continue
		}
		if slices.ContainsFunc(found, func(s setting) bool { return s.key == key }) {
			errs = append(errs, &Error{name, key, "set twice in the environment (RDY-CFG-003)"})
			continue
		}
		found = append(found, setting{key, value{text: text, where: name}})
	}
	return found, errors.Join(errs...)
}

func envName(key string) string  { return EnvPrefix + strings.ToUpper(key) }
func flagName(key string) string { return "--" + strings.ReplaceAll(key, "_", "-") }

// Error is one mistake in the configuration. It carries spec.Malformed.
type Error struct {
	Where string // file:line, or the name of a variable or flag
	Key   string // the setting, or what was found in its place
	What  string // what is wrong, with the rule
}

// Error names place, key and rule.
func (e *Error) Error() string { return e.Where + ": " + e.What }

// Unwrap makes errors.Is(err, spec.Malformed) true.
func (e *Error) Unwrap() error { return spec.Malformed }

// unknown is the mistake of a name that is no setting. spell writes a key the way this source does.
func unknown(where, key, written string, spell func(string) string) error {
	hint := ""
	if near, ok := nearest(key); ok {
		hint = fmt.Sprintf("; did you mean %s?", spell(near))
	}
	what := fmt.Sprintf("unknown setting %q%s: unknown, misspelt or differently capitalised settings keep a node from starting (RDY-CFG-002)", written, hint)
	return &Error{Where: where, Key: written, What: what}
}

// nearest finds the key that was probably meant: the same but for case, hyphens and at most two letters.
func nearest(key string) (string, bool) {
	plain := strings.ReplaceAll(strings.ToLower(key), "-", "_")
	best, at := "", 3
	for _, k := range keys {
		if d := distance(plain, k.name); d < at && d < len(k.name)-1 {
			best, at = k.name, d
		}
	}
	return best, best != ""
}

// distance is the number of letters to insert, delete or replace to get from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diag := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diag, row[j+1] = row[j+1], min(diag+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
