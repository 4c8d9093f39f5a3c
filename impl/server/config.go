package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"

	"github.com/rustyonions/micronode/impl/gate"
	"github.com/rustyonions/micronode/spec"
)

// Config is what a node is started with. Start validates it once.
type Config struct {
	HTTP string // host:port of the HTTP surface; port 0 picks a free one
	OAP  string // host:port of the OAP/1 surface over TCP

	StoreBytes  int64 // capacity of the RAM store in bytes (CAS-CAP-002)
	Rate        int   // requests per second (ADM-CAP-003)
	MaxInflight int   // requests in flight (ADM-CAP-002)
	MaxConns    int   // connections (ADM-CAP-001)

	Version string       // of the program, for /version
	Log     *slog.Logger // required; never sees payloads
}

// DefaultConfig is the configuration of a node that was told nothing, except Log.
func DefaultConfig() Config {
	caps := gate.DefaultConfig()
	return Config{
		HTTP:        "127.0.0.1:8080",
		OAP:         "127.0.0.1:9090",
		StoreBytes:  spec.DefaultStoreBytes,
		Rate:        caps.Rate,
		MaxInflight: caps.MaxInflight,
		MaxConns:    caps.MaxConns,
		Version:     "dev",
		Log:         slog.New(slog.DiscardHandler),
	}
}

func (c *Config) validate() error {
	if c.Log == nil {
		return errors.New("server: no logger")
	}
	if c.StoreBytes < 1<<20 {
		return fmt.Errorf("store_bytes is %d: a store needs at least 1 MiB", c.StoreBytes)
	}
	for name, addr := range map[string]string{"http": c.HTTP, "oap": c.OAP} {
		if err := loopback(addr); err != nil {
			return fmt.Errorf("%s %q: %w", name, addr, err)
		}
	}
	return nil
}

// loopback refuses every address that could be reached from another machine: there is no TLS yet (CAP-TLS).
func loopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("not host:port: %w", err)
	}
	if host == "localhost" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		return nil
	}
	return errors.New("only loopback addresses (127.0.0.1, ::1, localhost) can be served: this version has no TLS, and what leaves the machine must be encrypted")
}
