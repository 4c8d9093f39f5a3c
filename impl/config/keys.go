package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rustyonions/micronode/spec"
)

const (
	minStore = 1 << 20  // bytes; below it not even one HTTP upload fits
	maxStore = 16 << 40 // bytes; a bound, because ADM-CAP-007 wants one for every cap
	maxRate  = 1e9      // requests per second: one a nanosecond, the grain of the clock
	maxAudit = 1 << 20  // records; full, they take about 300 MiB
)

// kind is the type of a value in the TOML file.
type kind uint8

const (
	anyKind kind = iota // not from a TOML file: only text is known
	stringKind
	integerKind
	boolKind
	otherKind // floats, dates, arrays, inline tables: no setting has them
)

func (k kind) String() string {
	return [...]string{"text", "a string", "an integer", "a boolean", "a value of another type"}[k]
}

// key describes one setting.
type key struct {
	name  string
	kinds []kind // what a TOML file may hold
	want  string // the form, for messages
	parse func(c *Config, text string) error
	show  func(c *Config) string // the value in TOML
}

const numKeys = 21

// keys is the table of all settings, in the order in which they are printed. It is read-only.
var keys = [numKeys]key{
	{"http", []kind{stringKind}, `a loopback host:port such as "127.0.0.1:8080", or "" for none`,
		func(c *Config, s string) error { return parseListen(&c.HTTP, s) },
		func(c *Config) string { return strconv.Quote(c.HTTP) }},
	{"oap", []kind{stringKind}, `a loopback host:port such as "127.0.0.1:9090", or "" for none`,
		func(c *Config, s string) error { return parseListen(&c.OAP, s) },
		func(c *Config) string { return strconv.Quote(c.OAP) }},
	{"https", []kind{stringKind}, `host:port such as "0.0.0.0:8443", or "" for none`,
		func(c *Config, s string) error { return parseTLSListen(&c.HTTPS, s) },
		func(c *Config) string { return strconv.Quote(c.HTTPS) }},
	{"oap_tls", []kind{stringKind}, `host:port such as "0.0.0.0:9443", or "" for none`,
		func(c *Config, s string) error { return parseTLSListen(&c.OAPTLS, s) },
		func(c *Config) string { return strconv.Quote(c.OAPTLS) }},
	{"unix", []kind{stringKind}, `the path of a socket such as "/run/micronode/oap.sock", or "" for none`,
		func(c *Config, s string) error { return parsePath(&c.Unix, s) },
		func(c *Config) string { return strconv.Quote(c.Unix) }},
	{"unix_peers", []kind{stringKind}, `user ids with commas such as "1000,1001"`,
		func(c *Config, s string) error { return parsePeers(&c.UnixPeers, s) },
		func(c *Config) string { return strconv.Quote(c.UnixPeers) }},
	{"tls_cert", []kind{stringKind}, "the path of a PEM file",
		func(c *Config, s string) error { return parsePath(&c.TLSCert, s) },
		func(c *Config) string { return strconv.Quote(c.TLSCert) }},
	{"tls_key", []kind{stringKind}, "the path of a PEM file",
		func(c *Config, s string) error { return parsePath(&c.TLSKey, s) },
		func(c *Config) string { return strconv.Quote(c.TLSKey) }},
	{"tls_client_ca", []kind{stringKind}, "the path of a PEM file",
		func(c *Config, s string) error { return parsePath(&c.TLSClientCA, s) },
		func(c *Config) string { return strconv.Quote(c.TLSClientCA) }},
	{"pq_mode", []kind{stringKind}, `"off", "hybrid" or "required"`,
		func(c *Config, s string) error { return parseWord(&c.PQMode, s, "off", "hybrid", "required") },
		func(c *Config) string { return strconv.Quote(c.PQMode) }},
	{"node_name", []kind{stringKind}, "1 to 128 visible ASCII characters",
		func(c *Config, s string) error { return parseName(&c.NodeName, s) },
		func(c *Config) string { return strconv.Quote(c.NodeName) }},
	{"bootstrap", []kind{stringKind}, `"auto", "on" or "off"`,
		func(c *Config, s string) error { return parseWord(&c.Bootstrap, s, "auto", "on", "off") },
		func(c *Config) string { return strconv.Quote(c.Bootstrap) }},
	{"bootstrap_ttl", []kind{stringKind}, `a time such as "1h" or "15m"`,
		func(c *Config, s string) error { return parseTTL(&c.BootstrapTTL, s) },
		func(c *Config) string { return strconv.Quote(c.BootstrapTTL.String()) }},
	{"audit_records", []kind{integerKind}, "records",
		func(c *Config, s string) error { return parseCap(&c.AuditRecords, s, maxAudit) },
		func(c *Config) string { return strconv.Itoa(c.AuditRecords) }},
	{"audit_hold", []kind{boolKind}, "true or false",
		func(c *Config, s string) error { return parseBool(&c.AuditHold, s) },
		func(c *Config) string { return strconv.FormatBool(c.AuditHold) }},
	{"store_bytes", []kind{integerKind, stringKind}, `bytes, or a string such as "512MiB"`,
		func(c *Config, s string) error { return parseStore(&c.StoreBytes, s) },
		func(c *Config) string { return strconv.FormatInt(c.StoreBytes, 10) }},
	{"rate", []kind{integerKind}, "requests per second",
		func(c *Config, s string) error { return parseCap(&c.Rate, s, maxRate) },
		func(c *Config) string { return strconv.Itoa(c.Rate) }},
	{"max_inflight", []kind{integerKind}, "requests",
		func(c *Config, s string) error { return parseCap(&c.MaxInflight, s, spec.MaxInflight) },
		func(c *Config) string { return strconv.Itoa(c.MaxInflight) }},
	{"max_conns", []kind{integerKind}, "connections",
		func(c *Config, s string) error { return parseCap(&c.MaxConns, s, spec.MaxConns) },
		func(c *Config) string { return strconv.Itoa(c.MaxConns) }},
	{"log_level", []kind{stringKind}, `"debug", "info", "warn" or "error"`,
		func(c *Config, s string) error { return parseLevel(&c.LogLevel, s) },
		func(c *Config) string { return strconv.Quote(strings.ToLower(c.LogLevel.String())) }},
	{"amnesia", []kind{boolKind}, "true",
		func(c *Config, s string) error { return parseAmnesia(&c.Amnesia, s) },
		func(c *Config) string { return strconv.FormatBool(c.Amnesia) }},
}

// lookup finds a key by its exact name.
func lookup(name string) (int, bool) {
	for i := range keys {
		if keys[i].name == name {
			return i, true
		}
	}
	return 0, false
}

// set gives one known key a value.
func (c *Config) set(name string, v value) error {
	i, _ := lookup(name)
	k := &keys[i]
	allowed := v.typed == anyKind
	for _, t := range k.kinds {
		allowed = allowed || t == v.typed
	}
	if !allowed {
		return &Error{v.where, name, fmt.Sprintf("%s is %s, but takes %s (RDY-CFG-004)", name, v.typed, k.want)}
	}
	if err := k.parse(c, v.text); err != nil {
		return &Error{v.where, name, fmt.Sprintf("%s = %q: %v; it takes %s", name, v.text, err, k.want)}
	}
	c.from[i] = v.where
	return nil
}

// parseListen reads the address of a listener without TLS: only loopback is served (RDY-CFG-006). "" is none.
func parseListen(dst *string, text string) error {
	if err := parseTLSListen(dst, text); err != nil {
		return err
	}
	if text != "" && !isLoopback(text) {
		return errors.New("not a loopback address, and a listener without TLS may not be reachable from another machine: use https or oap_tls (RDY-CFG-006)")
	}
	return nil
}

// parseTLSListen reads the address of a listener with TLS. "" is none.
func parseTLSListen(dst *string, text string) error {
	if text != "" {
		_, port, err := net.SplitHostPort(text)
		if err != nil {
			return errors.New("not host:port (RDY-CFG-004)")
		}
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return errors.New("the port is not a number from 0 to 65535 (RDY-CFG-004)")
		}
	}
	*dst = text
	return nil
}

// isLoopback says whether a host:port is on loopback. A name other than localhost is not: it may resolve to anything.
func isLoopback(listen string) bool {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}

// parsePath reads the path of a file. Whether it is there, and safe, is found out when it is opened.
func parsePath(dst *string, text string) error {
	if strings.ContainsRune(text, 0) {
		return errors.New("no path has a NUL (RDY-CFG-004)")
	}
	*dst = text
	return nil
}

func parsePeers(dst *string, text string) error {
	for uid := range strings.SplitSeq(text, ",") {
		n, err := strconv.ParseUint(uid, 10, 32)
		if text != "" && (err != nil || n == 1<<32-1 || strconv.FormatUint(n, 10) != uid) {
			return errors.New("not user ids with commas between them (RDY-CFG-004)")
		}
	}
	*dst = text
	return nil
}

func parseWord(dst *string, text string, words ...string) error {
	if !slices.Contains(words, text) {
		return errors.New("none of the words that are known (RDY-CFG-004)")
	}
	*dst = text
	return nil
}

func parseName(dst *string, text string) error {
	if len(text) < 1 || len(text) > 128 || strings.ContainsFunc(text, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return errors.New("not 1 to 128 visible ASCII characters without space (RDY-CFG-004, CAP-CAV-008)")
	}
	*dst = text
	return nil
}

func parseTTL(dst *time.Duration, text string) error {
	d, err := time.ParseDuration(text)
	if err != nil {
		return errors.New("not a time (RDY-CFG-004)")
	}
	if d < time.Second || d > spec.MaxCapabilityTTL {
		return fmt.Errorf("outside 1s to %v (CAP-CAV-005)", spec.MaxCapabilityTTL)
	}
	*dst = d
	return nil
}

func parseBool(dst *bool, text string) error {
	if text != "true" && text != "false" {
		return errors.New("neither true nor false (RDY-CFG-004)")
	}
	*dst = text == "true"
	return nil
}

// units are the suffixes of ParseSize, longest first.
var units = []struct {
	suffix string
	shift  uint
}{{"KiB", 10}, {"MiB", 20}, {"GiB", 30}, {"TiB", 40}, {"B", 0}, {"", 0}}

// ParseSize reads a number of bytes: decimal digits, then nothing, B, KiB, MiB, GiB or TiB. The error carries
// spec.Malformed.
func ParseSize(text string) (int64, error) {
	for _, u := range units {
		digits, ok := strings.CutSuffix(text, u.suffix)
		if !ok {
			continue
		}
		n, err := parseDigits(strings.TrimSuffix(digits, " "))
		if err != nil || n > (1<<63-1)>>u.shift {
			break
		}
		return n << u.shift, nil
	}
	return 0, fmt.Errorf("not a size (digits, then nothing, B, KiB, MiB, GiB or TiB): %w", spec.Malformed)
}

// parseDigits reads a number that is decimal digits and nothing else.
func parseDigits(text string) (int64, error) {
	n, err := strconv.ParseUint(text, 10, 63)
	return int64(n), err
}

func parseStore(dst *int64, text string) error {
	n, err := ParseSize(text)
	if err != nil {
		return errors.New("not a size: digits, then nothing, B, KiB, MiB, GiB or TiB (RDY-CFG-004)")
	}
	if n < minStore || n > maxStore {
		return errors.New("outside 1 MiB to 16 TiB (RDY-CFG-004, ADM-CAP-007)")
	}
	*dst = n
	return nil
}

func parseCap(dst *int, text string, most int64) error {
	n, err := parseDigits(text)
	if err != nil && !errors.Is(err, strconv.ErrRange) && !strings.HasPrefix(text, "-") {
		return errors.New("not a whole number (RDY-CFG-004)")
	}
	if err != nil || n < 1 || n > most {
		return fmt.Errorf("outside 1 to %d: no cap can be switched off or be without bound (ADM-CAP-007)", most)
	}
	*dst = int(n)
	return nil
}

func parseLevel(dst *slog.Level, text string) error {
	for _, l := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError} {
		if text == strings.ToLower(l.String()) {
			*dst = l
			return nil
		}
	}
	return errors.New("not a level (RDY-CFG-004)")
}

// parseAmnesia accepts true only: what is asked for with false does not exist yet, and starting without it would
// be worse than not starting.
func parseAmnesia(dst *bool, text string) error {
	switch text {
	case "true":
		*dst = true
		return nil
	case "false":
		return errors.New("amnesia is always on in this version, which has no persistence: nothing may keep data unless it is configured to (AMN-DEF-001, CAS-PER-001)")
	}
	return errors.New("neither true nor false, and a node does not guess about amnesia (AMN-DEF-004)")
}

// Source says where the value of a key was set: file:line, a variable, a flag, or "default". An unknown key has
// the source "".
func (c Config) Source(name string) string {
	i, ok := lookup(name)
	switch {
	case !ok:
		return ""
	case c.from[i] == "":
		return "default"
	}
	return c.from[i]
}

// AppendTOML appends the configuration as a TOML file that Load reads back to the same values, each with a
// comment that names its source. There are no secrets in it yet (RDY-CFG-007).
func (c Config) AppendTOML(dst []byte) []byte {
	for _, k := range keys {
		line := k.name + " = " + k.show(&c)
		dst = fmt.Appendf(dst, "%-36s # %s\n", line, c.Source(k.name))
	}
	return dst
}
