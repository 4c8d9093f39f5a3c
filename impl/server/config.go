package server

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"time"

	"github.com/rustyonions/micronode/impl/channel"
	"github.com/rustyonions/micronode/impl/gate"
	"github.com/rustyonions/micronode/spec"
)

// PQMode is that of package channel, for programs that make a Config.
type PQMode = channel.PQMode

// Config is what a node is started with. Start validates it once.
type Config struct {
	// Listeners, "" for none; port 0 picks a free one. HTTP and OAP have no TLS and take loopback only (RDY-CFG-006).
	HTTP, HTTPS, OAP, OAPTLS string // host:port
	Unix                     string // path

	UnixPeers       []uint32       // users who may connect to Unix besides that of the node (CAP-UDS-004)
	TLSCert, TLSKey string         // PEM files; "" makes a certificate (CAP-TLS-002)
	TLSClientCA     string         // PEM file; "" asks for no client certificates (CAP-TLS-011)
	PQMode          channel.PQMode // CAP-TLS-004 to 006

	Name         string        // what `aud` names (CAP-CAV-008)
	Bootstrap    bool          // mint a bootstrap token (CAP-ROL-004)
	BootstrapTTL time.Duration // its life
	AuditRecords int           // records that the audit log holds (CAP-AUD-008)
	AuditHold    bool          // keep them until they were exported (CAP-AUD-010)

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
		HTTP:         "127.0.0.1:8080",
		OAP:          "127.0.0.1:9090",
		PQMode:       channel.PQHybrid,
		Name:         "micronode",
		Bootstrap:    true,
		BootstrapTTL: spec.BootstrapTTL,
		AuditRecords: 16384,
		StoreBytes:   spec.DefaultStoreBytes,
		Rate:         caps.Rate,
		MaxInflight:  caps.MaxInflight,
		MaxConns:     caps.MaxConns,
		Version:      "dev",
		Log:          slog.New(slog.DiscardHandler),
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
		if addr == "" {
			continue
		}
		if err := loopback(addr); err != nil {
			return fmt.Errorf("%s %q: %w", name, addr, err)
		}
	}
	return nil
}

// loopback refuses every address that could be reached from another machine without TLS (RDY-CFG-006).
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
	return errors.New("only loopback addresses (127.0.0.1, ::1, localhost) can be served without TLS: what leaves the machine must be encrypted (RDY-CFG-006)")
}
