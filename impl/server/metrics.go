package server

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/rustyonions/micronode/impl/gate"
	"github.com/rustyonions/micronode/spec"
)

// metrics are the numbers of one node, in a registry of its own. Every label set is bounded by the law or by the
// route table. Counters on the hot path are resolved once, here or at their first use.
type metrics struct {
	registry *prometheus.Registry
	handler  http.Handler

	rejected   map[spec.Reason]prometheus.Counter // read-only after newMetrics; reasons that count (ADM-CNT-003)
	oapRejects map[spec.Reason]prometheus.Counter
	frames     [3]prometheus.Counter // request, response, event

	inflight [numRoutes]prometheus.Gauge

	authFailures      prometheus.Counter
	handshakeFailures prometheus.Counter
	handshakesByGroup *prometheus.CounterVec
	downgrades        prometheus.Counter
	restarts          prometheus.Counter
	readFrame         prometheus.Histogram
	writeFrame        prometheus.Histogram

	requests *prometheus.CounterVec
	latency  *prometheus.HistogramVec
	mu       sync.RWMutex
	cached   map[httpKey]httpSeries // series of the two vectors that were used before
}

// httpKey names one series of the HTTP metrics.
type httpKey struct {
	route  route
	method string // one of the methods of the route table, or "other"
	status int
}

type httpSeries struct {
	count   prometheus.Counter
	latency prometheus.Observer
}

func newMetrics(n *Node) *metrics {
	m := &metrics{
		registry:   prometheus.NewRegistry(),
		rejected:   map[spec.Reason]prometheus.Counter{},
		oapRejects: map[spec.Reason]prometheus.Counter{},
		cached:     map[httpKey]httpSeries{},
		requests:   prometheus.NewCounterVec(prometheus.CounterOpts{Name: "http_requests_total", Help: "HTTP requests answered."}, []string{"route", "method", "status"}),
		latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "request_latency_seconds", Help: "Time from the request head to the end of the answer.",
			Buckets: prometheus.ExponentialBuckets(50e-6, 4, 9)}, []string{"route", "method"}),
	}
	rejected := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rejected_total", Help: "Requests, frames and connections refused, by reason class."}, []string{"reason"})
	oapRejects := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_rejects_total", Help: "ERROR frames sent, by reason."}, []string{"reason"})
	frames := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "oap_frames_total", Help: "OAP/1 frames accepted by the codec, by kind."}, []string{"kind"})
	for _, r := range spec.Reasons() {
		m.oapRejects[r] = oapRejects.WithLabelValues(string(r))
		if class := r.Facts().Rejection; class != "" {
			m.rejected[r] = rejected.WithLabelValues(class)
		}
	}
	for i, kind := range []string{"req", "resp", "event"} {
		m.frames[i] = frames.WithLabelValues(kind)
	}
	inflight := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "inflight_requests", Help: "Requests in flight."}, []string{"route"})
	for rt := range numRoutes {
		if !routes[rt].exempt {
			m.inflight[rt] = inflight.WithLabelValues(rt.String())
		}
	}
	m.registry.MustRegister(inflight, rejected, oapRejects, frames, m.requests, m.latency)
	m.registerSecurity()
	m.registerGauges(n)
	m.handler = promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
	return m
}

// frameBuckets are seconds: from a frame that came in one piece to one that took all the time there is.
var frameBuckets = prometheus.ExponentialBuckets(10e-6, 8, 7)

// registerSecurity registers what shows attacks (RDY-OBS-002, 006, 007, 008). Every series is there from the start.
func (m *metrics) registerSecurity() {
	counter := func(name, help string, labels prometheus.Labels) prometheus.Counter {
		c := prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels})
		m.registry.MustRegister(c)
		return c
	}
	m.authFailures = counter("auth_failures_total", "Requests denied for want of a capability that covers them.", prometheus.Labels{"service": "micronode"})
	m.handshakeFailures = counter("tls_handshake_failures_total", "TLS handshakes that failed.", nil)
	m.downgrades = counter("pq_downgrade_events_total", "TLS handshakes that ended or failed without a post-quantum group where one is preferred or required.", nil)
	m.restarts = counter("service_restarts_total", "Services of the node that failed and were started again.", nil)
	m.handshakesByGroup = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "pq_handshake_total", Help: "TLS handshakes that succeeded, by key exchange."}, []string{"algo"})
	for _, group := range handshakeGroups {
		m.handshakesByGroup.WithLabelValues(group)
	}
	m.readFrame = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "oap_read_frame_seconds", Help: "Time from the first byte of a frame to its last, of frames that came in pieces.", Buckets: frameBuckets})
	m.writeFrame = prometheus.NewHistogram(prometheus.HistogramOpts{Name: "oap_write_frame_seconds", Help: "Time that one write of frames took.", Buckets: frameBuckets})
	m.registry.MustRegister(m.handshakesByGroup, m.readFrame, m.writeFrame)
}

// handshakeGroups are the key exchanges that handshakes can end with.
var handshakeGroups = []string{"X25519MLKEM768", "X25519", "P-256", "other"}

// handshakes counts by key exchange; the label is one of handshakeGroups (RDY-OBS-003).
func (m *metrics) handshakes(group string) prometheus.Counter {
	if !slices.Contains(handshakeGroups, group) {
		group = "other"
	}
	return m.handshakesByGroup.WithLabelValues(group)
}

func (m *metrics) registerGauges(n *Node) {
	gauge := func(name, help string, value func() float64) {
		m.registry.MustRegister(prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value))
	}
	gauge("store_objects", "Objects held, quarantined ones included.", func() float64 { return float64(n.store.Stats().Objects) })
	gauge("store_bytes", "Sum of the lengths of the objects held.", func() float64 { return float64(n.store.Stats().Bytes) })
	gauge("store_capacity_bytes", "Capacity of the store.", func() float64 { return float64(n.store.Stats().Capacity) })
	gauge("connections", "Connections held, all listeners together.", func() float64 { return float64(n.gate.Status().Conns) })
	gauge("oap_ack_window", "DATA frames that may be on their way without ACK, in one direction of a stream with ACK_REQ.", func() float64 { return spec.Window })
	gauge("oap_inflight_frames", "DATA frames sent that wait for their ACK, all streams with ACK_REQ together.", func() float64 { return float64(n.unacked()) })
	gauge("audit_records", "Records that the audit log holds.", func() float64 { return float64(n.audit.Stats().Held) })
	gauge("ready", "1 when /readyz answers 200.", func() float64 {
		if n.gate.Status().State == gate.Ready {
			return 1
		}
		return 0
	})
	m.registry.MustRegister(
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "audit_entries_total", Help: "Records appended to the audit log."},
			func() float64 { return float64(n.audit.Stats().Size) }),
		prometheus.NewCounterFunc(prometheus.CounterOpts{Name: "integrity_fail_total", Help: "Objects that were quarantined."},
			func() float64 { return float64(n.store.Stats().IntegrityFailures) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "build_info", Help: "Always 1; the labels name the build.",
			ConstLabels: prometheus.Labels{"version": n.cfg.Version}}, func() float64 { return 1 }),
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
}

// reject counts one rejection (ADM-CNT-001); reasons that are no rejection do not count (ADM-CNT-003).
func (m *metrics) reject(r spec.Reason) {
	if c, ok := m.rejected[r]; ok {
		c.Inc()
	}
}

// refusedOAP counts one ERROR frame.
func (m *metrics) refusedOAP(r spec.Reason) {
	m.reject(r)
	if c, ok := m.oapRejects[r]; ok {
		c.Inc()
	}
}

// frame counts one accepted frame by its kind.
func (m *metrics) frame(f spec.Flags) {
	switch f & spec.FlagsKind {
	case spec.FlagReq:
		m.frames[0].Inc()
	case spec.FlagResp:
		m.frames[1].Inc()
	default:
		m.frames[2].Inc()
	}
}

// answered counts one HTTP answer.
func (m *metrics) answered(key httpKey, took time.Duration) {
	m.mu.RLock()
	series, ok := m.cached[key]
	m.mu.RUnlock()
	if !ok {
		series = httpSeries{
			count:   m.requests.WithLabelValues(key.route.String(), key.method, strconv.Itoa(key.status)),
			latency: m.latency.WithLabelValues(key.route.String(), key.method),
		}
		m.remember(key, series)
	}
	series.count.Inc()
	series.latency.Observe(took.Seconds())
}

func (m *metrics) remember(key httpKey, series httpSeries) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.cached[key] = series
}

// reasonOf is the reason that an error carries; an error without one is a fault of the node.
func reasonOf(err error) spec.Reason {
	if err == nil {
		return spec.None
	}
	var r spec.Reason
	if errors.As(err, &r) {
		return r
	}
	return spec.Internal
}
