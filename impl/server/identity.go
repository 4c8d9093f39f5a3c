package server

import (
	"crypto/rand"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/impl/channel"
	"github.com/rustyonions/micronode/impl/keys"
	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/spec"
)

// vaultSlots is room for every root key that there can be at once, one that is being made, and the two of the identity.
const vaultSlots = spec.MaxRootKeys + 1 + 2

// makeKeys makes or loads every key of this life of the node (AMN-RST-002, CAP-TLS-002).
func (n *Node) makeKeys() (err error) {
	if n.vault, err = secret.NewVault(vaultSlots); err != nil {
		return err
	}
	if n.identity, err = keys.NewIdentity(n.vault, rand.Reader); err != nil {
		return err
	}
	n.authority, err = capability.New(n.clock(time.Now()), capability.Config{
		Name: n.cfg.Name, Amnesia: true, Random: rand.Reader, Vault: n.vault,
	})
	if err != nil {
		return err
	}
	n.lastKey = n.authority.Status().Current
	if n.cfg.HTTPS != "" || n.cfg.OAPTLS != "" {
		if err := n.loadCertificate(); err != nil {
			return err
		}
	}
	public := n.identity.Public()
	n.audit, err = audit.New(audit.Config{
		Capacity: n.cfg.AuditRecords, Hold: n.cfg.AuditHold, Origin: n.origin(), Signers: n.identity.NoteSigners(n.origin()),
		Identity: auditIdentity(public), Now: func() time.Time { return n.clock(time.Now()) },
	})
	return err
}

// origin is the name of the audit log: no two nodes, and no two lives of one, share it.
func (n *Node) origin() string { return "micronode/" + n.identity.Public().ID() }

func (n *Node) loadCertificate() (err error) {
	if n.cfg.TLSCert == "" {
		n.certificate, err = channel.NewCertificate(n.certificateHosts(), n.born)
	} else {
		n.certificate, err = channel.LoadCertificate(n.cfg.TLSCert, n.cfg.TLSKey, n.born)
	}
	if err == nil && n.cfg.TLSClientCA != "" {
		n.clientCAs, err = channel.LoadClientCAs(n.cfg.TLSClientCA)
	}
	return err
}

// certificateHosts are the names that a certificate of our own is for.
func (n *Node) certificateHosts() []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	for _, addr := range []string{n.cfg.HTTPS, n.cfg.OAPTLS} {
		if host, _, err := net.SplitHostPort(addr); err == nil && host != "" && host != "0.0.0.0" && host != "::" {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// dropKeys overwrites every key (AMN-ZER-008).
func (n *Node) dropKeys() error {
	if n.authority != nil {
		n.authority.Close()
	}
	if n.identity != nil {
		n.identity.Close()
	}
	if n.vault != nil {
		return n.vault.Close()
	}
	return nil
}

// identityJSON is the identity of the node in /version (CAP-KEY-009).
type identityJSON struct {
	ID      string `json:"id"`
	Ed25519 []byte `json:"ed25519"`
	MLDSA65 []byte `json:"ml_dsa_65"`
}

// sign makes the statement that /version carries (CAP-KEY-009). The listeners are bound, so it is known what is served.
func (n *Node) sign() (err error) {
	n.features = n.served()
	s := keys.Statement{
		Version: n.cfg.Version, Limits: n.limits(), Features: n.features, Amnesia: true, PQMode: string(n.cfg.PQMode), Made: n.born,
	}
	n.statement, err = s.Sign(n.identity)
	return err
}

// auditIdentity is the identity in the header of an export.
func auditIdentity(p keys.PublicKey) []audit.Line {
	return []audit.Line{{Name: "identity", Value: p.ID()}, {Name: "key", Value: p.Text()}}
}

// introduce signs the statement of the node, and mints the bootstrap token where one is wanted (CAP-KEY-009, CAP-ROL-004).
func (n *Node) introduce() error {
	if err := n.sign(); err != nil {
		return fmt.Errorf("statement: %w", err)
	}
	if !n.cfg.Bootstrap {
		return nil
	}
	t, err := n.authority.Mint(n.clock(time.Now()), capability.Minting{Ops: spec.Ops(), TTL: n.cfg.BootstrapTTL})
	if err != nil {
		return err
	}
	defer t.Wipe()
	n.bootstrap = secret.NewString(t.Text())
	return n.record(audit.Record{Event: audit.Issued, KeyID: t.Key(), HasKey: true, CapID: t.ID(), HasCap: true,
		Granted: audit.OpsOf(spec.Ops()), Expires: t.Expires().Unix()})
}

// Bootstrap is the token with which a new node is used first (CAP-ROL-004); zero where none was asked for.
func (n *Node) Bootstrap() secret.String { return n.bootstrap }

// Identity is the id of the node, which lasts as long as its life (CAP-KEY-009).
func (n *Node) Identity() string { return n.identity.Public().ID() }

// Fingerprint is that of the certificate; "" without TLS (CAP-TLS-010).
func (n *Node) Fingerprint() string {
	if n.certificate.IsZero() {
		return ""
	}
	return n.certificate.Fingerprint()
}

// served lists what /version and HELLO say that this node serves (HTTP-HLT-006, OAP-HEL-007).
func (n *Node) served() []string {
	list := []string{"objects", "capabilities", "passport", "audit"}
	for _, d := range n.doors {
		if d.tls != nil {
			list = append(list, "tls")
			break
		}
	}
	if n.find(audit.SurfaceUnix) != nil {
		list = append(list, "unix-socket")
	}
	slices.Sort(list)
	return list
}

// limits are the numbers that clients meet.
func (n *Node) limits() map[string]int64 {
	caps := n.gate.Config()
	return map[string]int64{
		"max_frame": spec.MaxFrame, "max_object_bytes": spec.MaxObject, "max_body_bytes": spec.MaxBody,
		"max_header_bytes": spec.MaxHeaderBytes, "max_streams_per_conn": spec.MaxStreams,
		"max_conns": int64(caps.MaxConns), "max_inflight": int64(caps.MaxInflight), "requests_per_second": int64(caps.Rate),
		"request_timeout_ms": spec.RequestTimeout.Milliseconds(),
	}
}

// version answers /version (HTTP-HLT-005, 006, 008; CAP-KEY-009, CAP-TLS-010).
func (x *exchange) version() {
	st, p := x.n.store.Stats(), x.n.identity.Public()
	v := map[string]any{
		"name":         "micronode",
		"node_name":    x.n.cfg.Name,
		"version":      x.n.cfg.Version,
		"oap_versions": []int{spec.Version},
		"amnesia":      true,
		"pq_mode":      x.n.cfg.PQMode,
		"features":     x.n.features,
		"limits":       x.n.limits(),
		"store": map[string]any{
			"engine": "ram", "capacity_bytes": st.Capacity,
			"locked": st.LockedBytes > 0, "dump_excluded": st.Undumpable,
		},
		"identity":  identityJSON{p.ID(), p.Ed25519, p.MLDSA65},
		"statement": x.n.statement,
	}
	if f := x.n.Fingerprint(); f != "" {
		v["tls_fingerprint"] = f
	}
	x.json(http.StatusOK, v)
}
