package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/impl/config"
	"github.com/rustyonions/micronode/impl/server"
	"github.com/rustyonions/micronode/spec"
)

// runCmd is "micronode run". The settings are text here: impl/config reads them, wherever they come from.
type runCmd struct {
	HTTP   *string `name:"http" help:"HTTP without TLS, loopback only (127.0.0.1:8080); port 0 picks a free one, an empty text none." placeholder:"HOST:PORT"`
	OAP    *string `name:"oap" help:"OAP/1 without TLS, loopback only (127.0.0.1:9090); port 0 picks a free one, an empty text none." placeholder:"HOST:PORT"`
	HTTPS  *string `name:"https" help:"HTTP over TLS 1.3 (none)." placeholder:"HOST:PORT"`
	OAPTLS *string `name:"oap-tls" help:"OAP/1 over TLS 1.3 (none)." placeholder:"HOST:PORT"`
	Unix   *string `help:"OAP/1 on a Unix socket in a directory of mode 0700 (none)." placeholder:"PATH"`

	UnixPeers   *string `help:"User ids that may connect to the Unix socket (the node's own)." placeholder:"UID,…"`
	TLSCert     *string `name:"tls-cert" help:"PEM file of the certificate (one is made, and kept in memory only)." placeholder:"FILE"`
	TLSKey      *string `name:"tls-key" help:"PEM file of its key, readable by the user of the node only." placeholder:"FILE"`
	TLSClientCA *string `name:"tls-client-ca" help:"PEM file; client certificates from it are then required." placeholder:"FILE"`
	PQMode      *string `name:"pq-mode" help:"Post-quantum key exchange: off, hybrid or required (hybrid)." placeholder:"MODE"`

	NodeName     *string `help:"Name that capabilities with an aud caveat have to carry (micronode)." placeholder:"NAME"`
	Bootstrap    *string `help:"Print a bootstrap token: on, off, or auto, which is on as long as nobody else can reach the node (auto)." placeholder:"MODE"`
	BootstrapTTL *string `name:"bootstrap-ttl" help:"Life of the bootstrap token, 24h at most (1h)." placeholder:"TIME"`
	AuditRecords *string `help:"Records that the audit log holds in memory (16384)." placeholder:"N"`
	AuditHold    *string `help:"true: keep audit records until they are exported, and refuse writes when there is no room (false)." placeholder:"BOOL"`

	Config      string  `help:"TOML file with settings." placeholder:"FILE"`
	StoreBytes  *string `help:"Capacity of the store, for example 2GiB (512MiB)." placeholder:"SIZE"`
	Rate        *string `help:"Requests admitted per second (500)." placeholder:"N"`
	MaxInflight *string `help:"Requests in flight at most (512)." placeholder:"N"`
	MaxConns    *string `help:"Connections at most (1024)." placeholder:"N"`
	LogLevel    *string `help:"debug, info, warn or error (info)." placeholder:"LEVEL"`
	JSON        bool    `name:"json" help:"Instead of the banner print one JSON line when the listeners are bound."`
}

func (r *runCmd) overrides() config.Overrides {
	o := config.Overrides{}
	for key, text := range map[string]*string{
		"http": r.HTTP, "oap": r.OAP, "https": r.HTTPS, "oap_tls": r.OAPTLS, "unix": r.Unix, "unix_peers": r.UnixPeers,
		"tls_cert": r.TLSCert, "tls_key": r.TLSKey, "tls_client_ca": r.TLSClientCA, "pq_mode": r.PQMode, "node_name": r.NodeName,
		"bootstrap": r.Bootstrap, "bootstrap_ttl": r.BootstrapTTL, "audit_records": r.AuditRecords, "audit_hold": r.AuditHold,
		"store_bytes": r.StoreBytes, "rate": r.Rate,
		"max_inflight": r.MaxInflight, "max_conns": r.MaxConns, "log_level": r.LogLevel,
	} {
		if text != nil {
			o[key] = *text
		}
	}
	return o
}

// Run starts the node and serves until a signal.
func (r *runCmd) Run(a *app) error {
	cfg, err := config.Load(r.Config, a.env, r.overrides())
	if err != nil {
		return &exitError{code: exitUsage, err: fmt.Errorf("gate config_loaded: %w", err)}
	}
	log := newLog(a.stderr, cfg.LogLevel)
	node, err := server.Start(server.Config{
		HTTP: cfg.HTTP, OAP: cfg.OAP, HTTPS: cfg.HTTPS, OAPTLS: cfg.OAPTLS, Unix: cfg.Unix, UnixPeers: cfg.Peers(),
		TLSCert: cfg.TLSCert, TLSKey: cfg.TLSKey, TLSClientCA: cfg.TLSClientCA, PQMode: server.PQMode(cfg.PQMode),
		Name: cfg.NodeName, Bootstrap: cfg.Bootstrap == "on" || cfg.Bootstrap == "auto" && cfg.Local(), BootstrapTTL: cfg.BootstrapTTL,
		AuditRecords: cfg.AuditRecords, AuditHold: cfg.AuditHold,
		StoreBytes: cfg.StoreBytes,
		Rate:       cfg.Rate, MaxInflight: cfg.MaxInflight, MaxConns: cfg.MaxConns,
		Version: version().Version,
		Log:     log,
	})
	if err != nil {
		return fmt.Errorf("the node did not start: %w", err)
	}
	for _, note := range node.Notes() {
		log.Warn(note, "event", "not_guaranteed")
	}
	if err := r.announce(a.stdout, node, &cfg); err != nil {
		log.Error("stdout: "+err.Error(), "event", "announce")
	}
	a.patient.Store(true)
	<-a.ctx.Done()
	ctx, cancel := context.WithTimeout(a.hurry, spec.DrainTimeout+time.Second)
	defer cancel()
	if err := node.Shutdown(ctx); err != nil { // the node is gone all the same: RDY-DRN-005
		log.Warn(err.Error(), "event", "cut")
	}
	return nil
}

// listening is the one line of run --json. Members may be added behind these, never renamed.
type listening struct {
	Event       string `json:"event"`
	HTTP        string `json:"http,omitzero"`
	OAP         string `json:"oap,omitzero"`
	HTTPS       string `json:"https,omitzero"`
	OAPTLS      string `json:"oap_tls,omitzero"`
	Unix        string `json:"unix,omitzero"`
	Fingerprint string `json:"fingerprint,omitzero"`
	PID         int    `json:"pid"`
	Version     string `json:"version"`
	Amnesia     bool   `json:"amnesia"`
	Name        string `json:"name"`
	Identity    string `json:"identity"`
	Token       string `json:"token,omitzero"` // the bootstrap token (CAP-ROL-004)
}

// announce tells the user, in one write, where the node is.
func (r *runCmd) announce(w io.Writer, node *server.Node, cfg *config.Config) error {
	l := listening{
		Event: "listening", HTTP: node.URL("http"), OAP: node.URL("oap"), HTTPS: node.URL("https"), OAPTLS: node.URL("oap_tls"),
		Unix: node.URL("unix"), Fingerprint: node.Fingerprint(), PID: os.Getpid(), Version: version().Version, Amnesia: cfg.Amnesia,
		Name: cfg.NodeName, Identity: node.Identity(), Token: node.Bootstrap().Reveal(),
	}
	if r.JSON {
		line, err := json.Marshal(&l)
		if err != nil {
			return err
		}
		_, err = w.Write(append(line, '\n'))
		return err
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "micronode %s is running\n\n", l.Version)
	for _, door := range []struct{ name, url string }{
		{"OAP/1", l.OAP}, {"OAP/1", l.OAPTLS}, {"OAP/1", l.Unix}, {"HTTP", l.HTTP}, {"HTTP", l.HTTPS},
	} {
		if door.url != "" {
			fmt.Fprintf(&b, "  %-8s %s\n", door.name, door.url)
		}
	}
	if l.Fingerprint != "" {
		fmt.Fprintf(&b, "  pin      %s\n", l.Fingerprint)
	}
	fmt.Fprintf(&b, "  identity %s\n", l.Identity)
	fmt.Fprintf(&b, "  store    %s of RAM, objects up to %s\n", bytesText(cfg.StoreBytes), bytesText(spec.MaxObject))
	fmt.Fprintf(&b, "  limits   %d requests/s, %d in flight, %d connections\n", cfg.Rate, cfg.MaxInflight, cfg.MaxConns)
	fmt.Fprintf(&b, "  amnesia  on: nothing is written to disk, and everything is gone when the node stops\n")
	if notes := node.Notes(); len(notes) > 0 {
		fmt.Fprintf(&b, "\nNot guaranteed on this system:\n")
		for _, note := range notes {
			fmt.Fprintf(&b, "  - %s\n", note)
		}
	}
	r.firstSteps(&b, &l, cfg.BootstrapTTL)
	_, err := w.Write(b.Bytes())
	return err
}

// firstSteps tells what to type next. Every request needs a token, so the first one is given here (CAP-ROL-004).
func (r *runCmd) firstSteps(b *bytes.Buffer, l *listening, ttl time.Duration) {
	if l.Token == "" {
		fmt.Fprintf(b, "\nNo bootstrap token was asked for: start with --bootstrap on to get one.\n\nStop with Ctrl-C.\n")
		return
	}
	fmt.Fprintf(b, "\nThis token may do everything, for %v. In another terminal:\n\n  export MICRO_TOKEN=%s\n", ttl, l.Token)
	node := cmp.Or(l.OAP, l.OAPTLS, l.Unix, l.HTTP, l.HTTPS)
	if node != defaultNode {
		fmt.Fprintf(b, "  export MICRO_NODE=%s\n", node)
	}
	if strings.Contains(node, "+tls:") || strings.HasPrefix(node, "https:") {
		fmt.Fprintf(b, "  export MICRO_PIN=%s\n", l.Fingerprint)
	}
	fmt.Fprintf(b, "  micronode put README.md\n\nStop with Ctrl-C.\n")
}

// newLog writes one JSON object a line with the names that all logs of this family share. A message of slog
// becomes "msg", the time "ts".
func newLog(w io.Writer, level slog.Level) *slog.Logger {
	h := slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, at slog.Attr) slog.Attr {
		if len(groups) == 0 && at.Key == slog.TimeKey {
			at.Key = "ts"
		}
		return at
	}})
	return slog.New(h).With("service", "micronode")
}

// bytesText writes a number of bytes for people: exact multiples as they are, the rest with one decimal.
func bytesText(n int64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	v, i := float64(n), 0
	for v >= 1024 && i < len(units)-1 {
		v, i = v/1024, i+1
	}
	if v == float64(int64(v)) {
		return fmt.Sprintf("%d %s", int64(v), units[i])
	}
	return fmt.Sprintf("%.1f %s", v, units[i])
}
