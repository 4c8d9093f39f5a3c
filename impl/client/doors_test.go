package client

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/server"
	"github.com/rustyonions/micronode/spec"
)

// A node with every door open: what goes in through one comes out of all others, each asks for a token, and a token that
// was revoked is worth nothing at any of them.
func TestEveryDoor(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "d")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	n := startNode(t, func(c *server.Config) {
		c.HTTPS, c.OAPTLS, c.Unix = "127.0.0.1:0", "127.0.0.1:0", filepath.Join(dir, "n.sock")
	})
	b := bytesOf(100_000)
	want := sum(b)
	for _, door := range []string{"http", "https", "oap", "oap_tls", "unix"} {
		t.Run(door, func(t *testing.T) {
			url := n.URL(door)
			o := ours(n, quick)
			if door == "https" || door == "oap_tls" {
				o.Fingerprint = n.Fingerprint()
			}
			boss := dial(t, url, o)
			roundTrip(t, boss)
			nobody := o
			nobody.Token = Options{}.Token
			_, err := dial(t, url, nobody).Stat(t.Context(), want)
			wantReason(t, err, spec.Unauth)

			if _, _, err := boss.Put(t.Context(), bytes.NewReader(b), int64(len(b)), nil); err != nil {
				t.Fatal(err)
			}
			i, err := boss.Issue(t.Context(), Issue{Role: spec.Reader, TTL: time.Minute, Caveats: []string{"path ^= /o/"}})
			if err != nil || time.Until(i.Expires) > time.Minute {
				t.Fatalf("issue: %+v, %v", i, err)
			}
			reading := o
			reading.Token = i.Token
			reader := dial(t, url, reading)
			if _, err := reader.Get(t.Context(), want, 0, -1, io.Discard); err != nil {
				t.Error(err)
			}
			wantReason(t, reader.Delete(t.Context(), want), spec.Forbidden)
			_, err = reader.Issue(t.Context(), Issue{Role: spec.Admin})
			wantReason(t, err, spec.Forbidden)
			v, err := boss.Verify(t.Context(), Question{Token: i.Token, Op: spec.OpGet, Path: "/o/" + want.String()})
			if err != nil || !v.Valid || v.ID != i.ID || v.KeyID != i.KeyID || !v.Expires.Equal(i.Expires) {
				t.Errorf("verify: %+v, %v", v, err)
			}
			v, err = boss.Verify(t.Context(), Question{Token: i.Token, Op: spec.OpPut, Path: "/put"})
			if err != nil || v.Valid || v.Reason != spec.Forbidden {
				t.Errorf("verify: %+v, %v", v, err)
			}
			if err := boss.Revoke(t.Context(), i.ID); err != nil {
				t.Fatal(err)
			}
			_, err = reader.Stat(t.Context(), want)
			wantReason(t, err, spec.Unauth)
			wantReason(t, boss.RevokeKey(t.Context(), strings.Repeat("0", 16)), spec.NotFound)
			if _, err := boss.Rotate(t.Context()); err != nil {
				t.Error(err)
			}
			if _, err := boss.Stat(t.Context(), want); err != nil {
				t.Errorf("after the rotation: %v", err)
			}
			if door == "http" || door == "https" {
				auditOverHTTP(t, boss)
			}
		})
	}
}

// auditOverHTTP asks for everything that the audit log of a node has.
func auditOverHTTP(t *testing.T, c *Client) {
	t.Helper()
	var out bytes.Buffer
	if n, err := c.AuditExport(t.Context(), &out); err != nil || n != int64(out.Len()) || !strings.HasPrefix(out.String(), "micronode-audit/1\n") {
		t.Errorf("export of %d bytes: %v", n, err)
	}
	note, err := c.AuditCheckpoint(t.Context())
	if err != nil || !strings.HasPrefix(string(note), "micronode/") {
		t.Errorf("checkpoint: %v", err)
	}
	if text, err := c.Version(t.Context()); err != nil || !bytes.Contains(text, []byte(`"statement"`)) {
		t.Errorf("version: %v", err)
	}
	_, err = c.AuditInclusion(t.Context(), 1<<40, 1<<41)
	wantReason(t, err, spec.NotFound)
	var e *Error
	if err := c.AuditAcknowledge(t.Context(), 1); !errors.As(err, &e) || e.Reason != spec.Unsupported || !e.FromNode {
		t.Errorf("acknowledge at a node that holds nothing: %v", err)
	}
}
