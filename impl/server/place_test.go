package server

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// The doors of a node, by their names in the configuration.
var (
	httpDoors = []string{"http", "https"}
	oapDoors  = []string{"oap", "oap_tls", "unix"}
)

// place is where a node is and what opens it, of a node in this process or another one.
type place struct {
	Addr  map[string]string `json:"addr"` // by the name of the door
	Token string            `json:"token"`
	PEM   []byte            `json:"pem"`
}

func placeOf(n *Node) *place {
	p := &place{Addr: map[string]string{}, Token: n.Bootstrap().Reveal(), PEM: n.certificate.PEM()}
	for _, d := range n.doors {
		p.Addr[d.name] = d.l.Addr().String()
	}
	return p
}

// everywhere is the configuration of a node that listens in every way. The caller removes the folder.
func everywhere(c *Config) (folder string, err error) {
	if folder, err = os.MkdirTemp("", "mn"); err != nil { // short, and 0700: t.TempDir is neither
		return "", err
	}
	c.HTTPS, c.OAPTLS, c.Unix = "127.0.0.1:0", "127.0.0.1:0", filepath.Join(folder, "s")
	return folder, nil
}

// startEverywhere starts a node that listens in every way.
func startEverywhere(t *testing.T, change func(*Config)) *Node {
	t.Helper()
	return start(t, func(c *Config) {
		folder, err := everywhere(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(folder) })
		if change != nil {
			change(c)
		}
	})
}

// tls is what a well-behaved client has for a door.
func (p *place) tls(door string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(p.PEM)
	protocol := "http/1.1"
	if door == "oap_tls" {
		protocol = "oap/1"
	}
	return &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{protocol}}
}

// raw connects to a door without TLS, whatever the door expects.
func (p *place) raw(t *testing.T, door string) net.Conn {
	t.Helper()
	network := "tcp"
	if door == "unix" {
		network = "unix"
	}
	c, err := net.Dial(network, p.Addr[door])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// dial connects as the door expects it. The socket takes little that nobody reads.
func (p *place) dial(t *testing.T, door string) net.Conn {
	t.Helper()
	c := p.raw(t, door)
	c.(interface{ SetReadBuffer(int) error }).SetReadBuffer(64 << 10)
	if door == "https" || door == "oap_tls" {
		s := tls.Client(c, p.tls(door))
		if err := s.Handshake(); err != nil {
			t.Fatalf("handshake at %s: %v", door, err)
		}
		return s
	}
	return c
}

// head is the head of an HTTP request; token "" sends none.
func head(method, path, token string, header ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: x\r\n", method, path)
	if token != "" {
		fmt.Fprintf(&b, "Authorization: Macaroon %s\r\n", token)
	}
	for i := 0; i < len(header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", header[i], header[i+1])
	}
	return b.String() + "\r\n"
}

// answer reads the answer to a request that was sent on c.
func answer(t *testing.T, c net.Conn, method string) (*http.Response, []byte) {
	t.Helper()
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	resp, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s: no answer: %v", method, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s: answer cut: %v", method, err)
	}
	return resp, body
}

// ask makes one request on a connection of its own.
func (p *place) ask(t *testing.T, door, method, path, token string, body []byte, header ...string) (*http.Response, []byte) {
	t.Helper()
	c := p.dial(t, door)
	defer c.Close()
	header = append([]string{"Connection", "close", "Content-Length", fmt.Sprint(len(body))}, header...)
	if _, err := c.Write(append([]byte(head(method, path, token, header...)), body...)); err != nil {
		t.Logf("%s %.40s: %v", method, path, err) // the answer may have come before all of the body was sent
	}
	return answer(t, c, method)
}

// peer connects to an OAP/1 door and says HELLO; START carries capability.
func (p *place) peer(t *testing.T, door string, capability []byte) *peer {
	t.Helper()
	o := &peer{t, p.dial(t, door), wire.NewDecoder(spec.MaxFrame), capability}
	o.send(helloHeader, "{}")
	if f := o.recv(); f.Code != spec.CodeOK {
		t.Fatalf("answer to HELLO: %d %s", f.Code, f.Payload)
	}
	return o
}

// startAs sends a START with this capability and tenant.
func (p *peer) startAs(h wire.Header, capability []byte, req string) {
	p.t.Helper()
	h.Flags |= spec.FlagReq | spec.FlagStart
	if h.Proto == 0 {
		h.Proto = spec.ProtoObjects
	}
	b, err := wire.AppendFrame(nil, &h, capability, []byte(req))
	if err != nil {
		p.t.Fatal(err)
	}
	p.write(b)
}

// passport makes a passport request.
func (p *peer) passport(corr uint64, capability []byte, req string) received {
	p.t.Helper()
	p.startAs(wire.Header{Flags: spec.FlagEnd, Proto: spec.ProtoPassport, Corr: corr}, capability, req)
	return p.recv()
}

// mint makes a capability; no ops means all of them.
func mint(t *testing.T, n *Node, ttl time.Duration, ops []spec.Op, caveats ...string) capability.Token {
	t.Helper()
	m := capability.Minting{Ops: ops, TTL: ttl}
	if ops == nil {
		m.Ops = spec.Ops()
	}
	for _, text := range caveats {
		c, err := capability.ParseCaveat(text)
		if err != nil {
			t.Fatal(err)
		}
		m.Caveats = append(m.Caveats, c)
	}
	tok, err := n.authority.Mint(n.clock(time.Now()), m)
	if err != nil {
		t.Fatal(err)
	}
	return tok
}

// attenuated is the bootstrap token with more caveats.
func attenuated(t *testing.T, n *Node, caveats ...string) capability.Token {
	t.Helper()
	tok, err := capability.ParseText(n.Bootstrap().Reveal())
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range caveats {
		c, err := capability.ParseCaveat(text)
		if err == nil {
			tok, err = tok.Attenuate(c)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return tok
}

// within waits until cond holds.
func within(t *testing.T, d time.Duration, what string, cond func() bool) {
	t.Helper()
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for began := time.Now(); !cond(); <-look.C {
		if time.Since(began) > d {
			t.Fatalf("not within %v: %s", d, what)
		}
	}
}

// leases waits until the node holds so many.
func leases(t *testing.T, n *Node, want int) {
	t.Helper()
	within(t, 5*time.Second, fmt.Sprintf("%d leases", want), func() bool { return n.authority.Status().Leases == want })
}

// figures are what a denial moves.
type figures struct {
	auth     float64
	rejected map[spec.Reason]float64
	records  uint64
}

func figuresOf(n *Node) figures {
	f := figures{testutil.ToFloat64(n.metrics.authFailures), map[spec.Reason]float64{}, n.audit.Stats().Size}
	for r, c := range n.metrics.rejected {
		f.rejected[r] = testutil.ToFloat64(c)
	}
	return f
}

// wantDenied requires that since before there was exactly one rejection with this reason; a denial too, where it is one,
// with one record.
func wantDenied(t *testing.T, n *Node, before figures, want spec.Reason) {
	t.Helper()
	now := figuresOf(n)
	denials := 0.0
	if want == spec.Unauth || want == spec.Forbidden {
		denials = 1
	}
	if got := now.auth - before.auth; got != denials {
		t.Errorf("auth_failures_total grew by %v", got)
	}
	if got := now.records - before.records; got != uint64(denials) {
		t.Errorf("%d records were appended", got)
	}
	for r := range now.rejected {
		same := r.Facts().Rejection == want.Facts().Rejection
		if got := now.rejected[r] - before.rejected[r]; same != (got == 1) || !same && got != 0 {
			t.Errorf("rejected_total{%s} grew by %v after %s", r.Facts().Rejection, got, want)
		}
	}
}

// records exports the audit log, verifies the export as an auditor would, and returns its records (CAP-AUD-007).
func records(t *testing.T, n *Node) (export []byte, list []audit.Record) {
	t.Helper()
	var b bytes.Buffer
	if err := n.audit.Export(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes(), verified(t, n, b.Bytes())
}

func verified(t *testing.T, n *Node, export []byte) (list []audit.Record) {
	t.Helper()
	report, err := audit.Verify(bytes.NewReader(export), audit.Trust{
		Verifiers: n.identity.Public().NoteVerifiers(n.origin()), Origin: n.origin(),
	})
	if err != nil || !report.OK() {
		t.Fatalf("the export does not verify: %v %+v", err, report.Finding)
	}
	for line := range bytes.Lines(export) {
		if _, r, err := audit.ParseRecord(bytes.TrimSuffix(line, []byte("\n"))); err == nil {
			list = append(list, r)
		}
	}
	if uint64(len(list)) != report.Records {
		t.Fatalf("%d records read, %d verified", len(list), report.Records)
	}
	return list
}

// plant stores bytes in the node, past every surface.
func plant(t *testing.T, n *Node, b []byte) spec.Address {
	t.Helper()
	w, err := n.store.NewWriter(nil, int64(len(b)))
	if err == nil {
		_, err = w.Write(b)
	}
	var a spec.Address
	if err == nil {
		a, _, err = w.Commit()
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// parse reads a JSON object.
func parse(t *testing.T, b []byte) (m map[string]any) {
	t.Helper()
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return m
}
