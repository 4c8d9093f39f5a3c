package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/impl/config"
	"github.com/rustyonions/micronode/impl/server"
	"github.com/rustyonions/micronode/spec"
)

// runCmd is "micronode run". The settings are text here: impl/config reads them, wherever they come from.
type runCmd struct {
	HTTP        *string `name:"http" help:"Address of the HTTP surface (127.0.0.1:8080); port 0 picks a free one." placeholder:"HOST:PORT"`
	OAP         *string `name:"oap" help:"Address of the OAP/1 surface (127.0.0.1:9090); port 0 picks a free one." placeholder:"HOST:PORT"`
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
		"http": r.HTTP, "oap": r.OAP, "store_bytes": r.StoreBytes, "rate": r.Rate,
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
		HTTP: cfg.HTTP, OAP: cfg.OAP,
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
	Event   string `json:"event"`
	HTTP    string `json:"http"`
	OAP     string `json:"oap"`
	PID     int    `json:"pid"`
	Version string `json:"version"`
	Amnesia bool   `json:"amnesia"`
}

// announce tells the user, in one write, where the node is.
func (r *runCmd) announce(w io.Writer, node *server.Node, cfg *config.Config) error {
	l := listening{
		Event: "listening", HTTP: "http://" + node.HTTPAddr(), OAP: "oap://" + node.OAPAddr(),
		PID: os.Getpid(), Version: version().Version, Amnesia: cfg.Amnesia,
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
	fmt.Fprintf(&b, "  OAP/1    %s\n", l.OAP)
	fmt.Fprintf(&b, "  HTTP     %s\n", l.HTTP)
	fmt.Fprintf(&b, "  store    %s of RAM, objects up to %s\n", bytesText(cfg.StoreBytes), bytesText(spec.MaxObject))
	fmt.Fprintf(&b, "  limits   %d requests/s, %d in flight, %d connections\n", cfg.Rate, cfg.MaxInflight, cfg.MaxConns)
	fmt.Fprintf(&b, "  amnesia  on: nothing is written to disk, and everything is gone when the node stops\n")
	if notes := node.Notes(); len(notes) > 0 {
		fmt.Fprintf(&b, "\nNot guaranteed on this system:\n")
		for _, note := range notes {
			fmt.Fprintf(&b, "  - %s\n", note)
		}
	}
	flag := ""
	if l.OAP != defaultNode {
		flag = " --node " + l.OAP
	}
	fmt.Fprintf(&b, "\nStore a first file from another terminal:\n  micronode put%s README.md\n\nStop with Ctrl-C.\n", flag)
	_, err := w.Write(b.Bytes())
	return err
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
