package server

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// collector keeps what is written to it.
type collector struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (c *collector) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.b.Write(p)
}

func (c *collector) bytes() []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return bytes.Clone(c.b.Bytes())
}

// logTo is a log as the program has it, at debug level.
func logTo(w io.Writer) *slog.Logger {
	return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(groups []string, at slog.Attr) slog.Attr {
		if len(groups) == 0 && at.Key == slog.TimeKey {
			at.Key = "ts"
		}
		return at
	}})).With("service", "micronode")
}

// logLines reads a log: every line one JSON object, no key twice, with what each line has to have (RDY-OBS-004, RDY-OBS-005).
func logLines(t *testing.T, text []byte) (list []map[string]any) {
	t.Helper()
	for line := range bytes.Lines(text) {
		var m map[string]any // this reader refuses a key that comes twice
		if err := json.Unmarshal(line, &m); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		for _, key := range []string{"ts", "level", "service", "event"} {
			if s, ok := m[key].(string); !ok || s == "" {
				t.Errorf("no %s: %s", key, line)
			}
		}
		if m["event"] == "request" || m["event"] == "denied" {
			for _, key := range []string{"reason", "corr_id", "peer_addr", "latency_ms"} {
				if _, ok := m[key]; !ok {
					t.Errorf("no %s: %s", key, line)
				}
			}
		}
		list = append(list, m)
	}
	return list
}

// RDY-OBS-004, RDY-OBS-005, HTTP-COR-001, CAP-AUD-001: one id leads from the request through the answer and the log to the audit
// record.
func TestCorrIDEndToEnd(t *testing.T) {
	var log collector
	n := startEverywhere(t, func(c *Config) { c.Log = logTo(&log) })
	p := placeOf(n)
	for _, door := range httpDoors {
		id := "corr." + door
		resp, body := p.ask(t, door, "GET", aPath(object), "nonsense", nil, "X-Corr-ID", id)
		if got := parse(t, body)["corr_id"]; got != id || resp.Header.Get("X-Corr-Id") != id {
			t.Errorf("%s: the problem says %v", door, got)
		}
	}
	for i, door := range oapDoors {
		o := p.peer(t, door, nil)
		corr := uint64(700 + i)
		o.start(corr, spec.FlagEnd, `{"op":"has","obj":"`+address(nil).String()+`"}`)
		if f := o.recv(); f.Corr != corr || parse(t, f.Payload)["corr_id"] != float64(corr) {
			t.Errorf("%s: %s", door, f.Payload)
		}
	}
	lines := logLines(t, log.bytes())
	_, list := records(t, n)
	for _, id := range []string{"corr.http", "corr.https", "700", "701", "702"} {
		logged, recorded := 0, 0
		for _, line := range lines {
			if line["event"] == "denied" && line["corr_id"] == id {
				logged++
			}
		}
		for _, r := range list {
			if r.CorrID.String() == id {
				recorded++
			}
		}
		if logged != 1 || recorded != 1 {
			t.Errorf("%s is in %d lines about a denial and %d records", id, logged, recorded)
		}
	}
}

// RDY-OBS-001, 002, 006, 007, 008, ADM-CNT-004: the names that dashboards know are there before anything happened, and are
// named as the field names metrics.
func TestMetricsFromTheStart(t *testing.T) {
	n := start(t, nil)
	problems, err := testutil.GatherAndLint(n.metrics.registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("%v %v", problems, err)
	}
	placeOf(n).ask(t, "http", "GET", "/healthz", "", nil)
	text := string(second(placeOf(n).ask(t, "http", "GET", "/metrics", "", nil)))
	for _, want := range []string{
		`auth_failures_total{service="micronode"} 0`, `tls_handshake_failures_total 0`, `pq_downgrade_events_total 0`,
		`pq_handshake_total{algo="X25519MLKEM768"} 0`, `pq_handshake_total{algo="X25519"} 0`, `pq_handshake_total{algo="P-256"} 0`, `pq_handshake_total{algo="other"} 0`,
		`audit_entries_total 3`, `audit_records 3`, `service_restarts_total 0`,
		`oap_frames_total{kind="req"} 0`, `oap_frames_total{kind="resp"} 0`, `oap_frames_total{kind="event"} 0`,
		`oap_rejects_total{reason="unauth"} 0`, `oap_inflight_frames 0`, fmt.Sprintf(`oap_ack_window %d`, spec.Window),
		`oap_read_frame_seconds_count 0`, `oap_write_frame_seconds_count 0`,
		`rejected_total{reason="unauth"} 0`, `rejected_total{reason="forbidden"} 0`, `integrity_fail_total 0`, `store_bytes 0`, `store_objects 0`,
		`inflight_requests{route="/v1/passport/issue"} 0`, `inflight_requests{route="/admin/audit/inclusion/{index}/{size}"} 0`,
		`http_requests_total{method="GET",route="/healthz",status="200"} 1`, `request_latency_seconds_count{method="GET",route="/healthz"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("/metrics has no %s", want)
		}
	}
}

// RDY-OBS-002: the frames that wait for an ACK are counted while they do.
func TestInflightFrames(t *testing.T) {
	n := start(t, nil)
	obj := plant(t, n, randomBytes(40*spec.MaxChunk))
	o := placeOf(n).peer(t, "oap", binaryToken(n))
	o.start(1, spec.FlagEnd|spec.FlagAckReq, `{"op":"get","obj":"`+obj.String()+`"}`)
	for range spec.Window {
		o.recv()
	}
	if got := n.unacked(); got != spec.Window {
		t.Errorf("%d frames wait for an ACK", got)
	}
	o.send(wire.Header{Flags: spec.FlagReq | spec.FlagEnd, Code: spec.CodeCancel, Proto: spec.ProtoObjects, Corr: 1}, "")
	within(t, 5*time.Second, "nothing waits any more", func() bool { return n.unacked() == 0 })
	leases(t, n, 0)
}
