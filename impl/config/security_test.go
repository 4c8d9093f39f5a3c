package config

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// RDY-CFG-001 for the keys of listeners, capabilities and audit; and what the file says comes back from AppendTOML.
func TestSecurityKeys(t *testing.T) {
	path := write(t, `http = ""
oap = ""
https = "0.0.0.0:8443"
oap_tls = "[::]:9443"
unix = "/run/micronode/oap.sock"
unix_peers = "1000,0,4294967294"
tls_cert = "/etc/cert.pem"
tls_key = "/etc/key.pem"
tls_client_ca = "/etc/ca.pem"
pq_mode = "required"
node_name = "node-1.example"
bootstrap = "on"
bootstrap_ttl = "15m"
audit_records = 100
audit_hold = true
`)
	c, err := Load(path, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.HTTP != "" || c.OAP != "" || c.HTTPS != "0.0.0.0:8443" || c.OAPTLS != "[::]:9443" || c.Unix != "/run/micronode/oap.sock" ||
		!slices.Equal(c.Peers(), []uint32{1000, 0, 4294967294}) || c.TLSCert != "/etc/cert.pem" || c.TLSKey != "/etc/key.pem" ||
		c.TLSClientCA != "/etc/ca.pem" || c.PQMode != "required" || c.NodeName != "node-1.example" || c.Bootstrap != "on" ||
		c.BootstrapTTL != 15*time.Minute || c.AuditRecords != 100 || !c.AuditHold {
		t.Errorf("got %+v", c)
	}
	again, err := Load(write(t, string(c.AppendTOML(nil))), nil, nil)
	if again.from = c.from; err != nil || again != c {
		t.Errorf("read back: %v\n%+v, want\n%+v", err, again, c)
	}
	for _, kv := range []string{"MICRO_HTTPS=127.0.0.1:0", "MICRO_OAP_TLS=localhost:0", "MICRO_UNIX=s", "MICRO_PQ_MODE=off", "MICRO_NODE_NAME=n",
		"MICRO_BOOTSTRAP=off", "MICRO_BOOTSTRAP_TTL=24h", "MICRO_AUDIT_RECORDS=1", "MICRO_AUDIT_HOLD=false", "MICRO_TOKEN=secret", "MICRO_PIN=sha256:00"} {
		if _, err := Load("", []string{kv}, nil); err != nil {
			t.Errorf("%s: %v", kv, err)
		}
	}
}

// Defaults: loopback without TLS, capabilities with a bootstrap token, hybrid key exchange (CAP-TLS-005, CAP-ROL-004, CAP-AUD-008).
func TestSecurityDefaults(t *testing.T) {
	c := Default()
	if c.HTTPS+c.OAPTLS+c.Unix+c.UnixPeers+c.TLSCert+c.TLSKey+c.TLSClientCA != "" || c.PQMode != "hybrid" || c.NodeName != "micronode" ||
		c.Bootstrap != "auto" || c.BootstrapTTL != time.Hour || c.AuditRecords != 16384 || c.AuditHold || len(c.Peers()) != 0 || !c.Local() {
		t.Errorf("%+v", c)
	}
}

// Each of these keeps a node from starting: RDY-CFG-004, RDY-CFG-006, CAP-TLS-004 to 006, CAP-CAV-005, CAP-CAV-008, CAP-UDS-004, CAP-AUD-008.
func TestSecurityRefusals(t *testing.T) {
	for _, tc := range []struct {
		file string
		want []string
	}{
		{`https = "8443"`, []string{"not host:port"}},
		{`https = "0.0.0.0:https"`, []string{"0 to 65535"}},
		{`oap_tls = ":99999"`, []string{"0 to 65535"}},
		{`http = "192.0.2.1:80"`, []string{"use https or oap_tls", "RDY-CFG-006"}},
		{`http = "localhost.example:80"`, []string{"RDY-CFG-006"}},
		{"unix = \"/a\\u0000b\"", []string{"NUL"}},
		{"unix = \"s\"\nunix_peers = \"1000, 1001\"", []string{"not user ids"}},
		{"unix = \"s\"\nunix_peers = \"root\"", []string{"not user ids"}},
		{"unix = \"s\"\nunix_peers = \"-1\"", []string{"not user ids"}},
		{"unix = \"s\"\nunix_peers = \"01\"", []string{"not user ids"}},
		{"unix = \"s\"\nunix_peers = \"4294967295\"", []string{"not user ids"}},
		{"unix = \"s\"\nunix_peers = \"1,\"", []string{"not user ids"}},
		{"unix = \"s\"\nunix_peers = 1000", []string{"unix_peers is an integer"}},
		{`unix_peers = "1000"`, []string{"no Unix socket", ":1: "}},
		{`pq_mode = "on"`, []string{"pq_mode", `"hybrid"`}},
		{`pq_mode = "Hybrid"`, []string{"pq_mode"}},
		{`pq_mode = ""`, []string{"pq_mode"}},
		{`node_name = ""`, []string{"CAP-CAV-008"}},
		{`node_name = "two words"`, []string{"CAP-CAV-008"}},
		{`node_name = "nöde"`, []string{"CAP-CAV-008"}},
		{`node_name = "` + strings.Repeat("n", 129) + `"`, []string{"CAP-CAV-008"}},
		{`bootstrap = "yes"`, []string{"bootstrap"}},
		{`bootstrap = true`, []string{"bootstrap is a boolean"}},
		{`bootstrap_ttl = "25h"`, []string{"24h", "CAP-CAV-005"}},
		{`bootstrap_ttl = "999ms"`, []string{"CAP-CAV-005"}},
		{`bootstrap_ttl = "-1h"`, []string{"CAP-CAV-005"}},
		{`bootstrap_ttl = "3600"`, []string{"not a time"}},
		{`bootstrap_ttl = 3600`, []string{"bootstrap_ttl is an integer"}},
		{`audit_records = 0`, []string{"ADM-CAP-007"}},
		{`audit_records = 1048577`, []string{"ADM-CAP-007"}},
		{`audit_hold = "true"`, []string{"audit_hold is a string"}},
		{`audit_hold = 1`, []string{"audit_hold is an integer"}},
		{"https = \"127.0.0.1:0\"\ntls_cert = \"c\"", []string{"belong together", ":2: "}},
		{"https = \"127.0.0.1:0\"\ntls_key = \"k\"", []string{"belong together"}},
		{"tls_cert = \"c\"\ntls_key = \"k\"", []string{"no TLS listener"}},
		{`tls_client_ca = "ca"`, []string{"no TLS listener"}},
		{"http = \"\"\noap = \"\"", []string{"every listener is switched off"}},
		{`capabilities = false`, []string{`"capabilities"`, "RDY-CFG-002"}}, // CAP-ROL-003: there is no such switch
	} {
		c, err := Load(write(t, tc.file), nil, nil)
		var mine *Error
		if err == nil || c != (Config{}) || !errors.Is(err, spec.Malformed) || !errors.As(err, &mine) {
			t.Errorf("%q: %v %+v", tc.file, err, c)
			continue
		}
		for _, part := range tc.want {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q: %q is not in: %v", tc.file, part, err)
			}
		}
	}
}

// CAP-ROL-004: what "auto" goes by. The Unix socket is local whatever else there is.
func TestLocal(t *testing.T) {
	for _, tc := range []struct {
		https, oapTLS string
		want          bool
	}{
		{"", "", true}, {"127.0.0.1:1", "[::1]:1", true}, {"localhost:1", "", true},
		{"0.0.0.0:1", "", false}, {"", "[::]:1", false}, {":1", "", false}, {"127.0.0.1:1", "192.0.2.1:1", false}, {"localhost.example:1", "", false},
	} {
		if got := (Config{HTTPS: tc.https, OAPTLS: tc.oapTLS, Unix: "s"}).Local(); got != tc.want {
			t.Errorf("%q %q: local is %v", tc.https, tc.oapTLS, got)
		}
	}
}
