package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rustyonions/micronode/impl/gate"
	"github.com/rustyonions/micronode/spec"
)

// route is one row of the route table (HTTP-SUR-001).
type route uint8

const (
	noRoute route = iota
	healthz
	readyz
	metricsRoute
	version
	put
	object
	oapStream // no route: the row that OAP streams have in inflight_requests
	numRoutes
)

// routes holds the name and the methods of each route; GET brings HEAD with it (HTTP-GET-004).
var routes = [...]struct {
	name    string
	methods []string
	exempt  bool // from in-flight, rate and readiness (HTTP-HLT-007)
}{
	noRoute:      {"none", nil, false},
	healthz:      {"/healthz", []string{"GET", "HEAD"}, true},
	readyz:       {"/readyz", []string{"GET", "HEAD"}, true},
	metricsRoute: {"/metrics", []string{"GET", "HEAD"}, true},
	version:      {"/version", []string{"GET", "HEAD"}, true},
	put:          {"/put", []string{"POST"}, false},
	object:       {"/o/{addr}", []string{"DELETE", "GET", "HEAD", "PUT"}, false},
	oapStream:    {"oap", nil, false},
}

func (r route) String() string { return routes[r].name }

// match finds the route of a path as it was sent, and the decoded {addr} (HTTP-SUR-002, 004, 005).
func match(u *url.URL) (rt route, addr string) {
	path, raw := u.RawPath, true
	if path == "" { // net/url keeps the path as sent only where it differs from its usual encoding
		path, raw = u.Path, false
	}
	if addr, ok := strings.CutPrefix(path, "/o/"); ok && !strings.Contains(addr, "/") {
		if raw {
			if plain, err := url.PathUnescape(addr); err == nil {
				addr = plain
			}
		}
		return object, addr
	}
	for rt := healthz; rt < object; rt++ {
		if routes[rt].name == path {
			return rt, ""
		}
	}
	return noRoute, ""
}

// features are what /version and HELLO say that this node serves (HTTP-HLT-006, OAP-HEL-007).
var features = []string{"objects"}

// httpSurface is the HTTP surface: one handler for all routes.
type httpSurface struct{ n *Node }

// exchange is one request and its answer.
type exchange struct {
	n       *Node
	w       http.ResponseWriter
	r       *http.Request
	conn    *httpConn
	corr    string
	status  int // 0 until the head of the answer was written
	rt      route
	addr    string
	release bool // an admission is owed
}

type connKey struct{}

func newHTTPServer(n *Node) *http.Server {
	return &http.Server{
		Handler: &httpSurface{n},
		// Deadlines are those of httpConn; these values make net/http set some at the right moments.
		ReadTimeout: spec.RequestTimeout,
		IdleTimeout: spec.IdleTimeout,
		// net/http reads 4 KiB more than it is told (ADM-HTP-002).
		MaxHeaderBytes: spec.MaxHeaderBytes - 4<<10,
		// OPTIONS * is a request like any other, with our limits and headers.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     log.New(&errorLog{n.log}, "", 0),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, c)
		},
		ConnState: func(c net.Conn, s http.ConnState) {
			if s == http.StateIdle {
				c.(*httpConn).idle()
			}
		},
	}
}

// errorLog passes what net/http has to say on at debug level: it is about single connections.
type errorLog struct{ log *slog.Logger }

func (l *errorLog) Write(p []byte) (int, error) {
	l.log.Debug("http", "event", "http", "reason", strings.TrimSpace(string(p)))
	return len(p), nil
}

// ServeHTTP handles one request in the order of ADM-ORD-001 and ADM-ORD-002.
func (s *httpSurface) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	start := time.Now()
	x := &exchange{n: s.n, w: w, r: r, corr: corrID(r.Header), conn: r.Context().Value(connKey{}).(*httpConn)}
	x.rt, x.addr = match(r.URL)
	x.conn.SetWriteDeadline(x.conn.deadline(start))
	h := w.Header()
	h["X-Corr-Id"] = []string{x.corr}
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	defer x.end(start)
	if !routes[x.rt].exempt {
		if d := x.n.gate.Admit(start); d.Reason != spec.None {
			if d.Reason == spec.TooManyStreams {
				d.Reason = spec.Quota // the same cap, in the words of HTTP (ADM-CAP-002)
			}
			x.refuseFor(d.Reason, d.RetryAfter, "")
			return
		}
		x.release = true
		x.n.metrics.inflight[x.rt].Inc()
	}
	x.dispatch()
}

// Shared header values; net/http does not change them.
var (
	noStore = []string{"no-store"}
	noSniff = []string{"nosniff"}
	octets  = []string{"application/octet-stream"}
	jsonly  = []string{"application/json"}
	bytesly = []string{"bytes"}
)

func (x *exchange) dispatch() {
	if x.rt == noRoute {
		x.refuse(spec.NoRoute, "no such route")
		return
	}
	if !slices.Contains(routes[x.rt].methods, x.r.Method) {
		x.w.Header().Set("Allow", strings.Join(routes[x.rt].methods, ", "))
		x.refuse(spec.MethodNotAllowed, "")
		return
	}
	switch x.rt {
	case healthz:
		x.json(http.StatusOK, map[string]any{"alive": true})
	case readyz:
		x.readiness()
	case metricsRoute:
		x.status = http.StatusOK
		x.n.metrics.handler.ServeHTTP(x.w, x.r)
	case version:
		x.version()
	case put:
		x.upload(nil)
	case object:
		x.object()
	}
}

// end closes the books on the exchange: a panic becomes a 500 where that is still possible (HTTP-ERR-007).
func (x *exchange) end(start time.Time) {
	fault := recover()
	if fault != nil && fault != http.ErrAbortHandler {
		x.n.log.Error("handler fault", "event", "fault", "reason", fmt.Sprint(fault), "corr_id", x.corr, "stack", string(debug.Stack()))
		if x.status == 0 {
			x.refuse(spec.Internal, "")
			fault = nil
		}
	}
	if x.release {
		x.n.gate.Done()
		x.n.metrics.inflight[x.rt].Dec()
	}
	method := x.r.Method
	if !slices.Contains(routes[x.rt].methods, method) {
		method = "other"
	}
	x.n.metrics.answered(httpKey{x.rt, method, x.status}, time.Since(start))
	if fault != nil {
		panic(http.ErrAbortHandler)
	}
	x.discard()
}

// discard reads and drops what is left of the body of a refused request, within the limits of a body and of its
// time (ADM-ORD-005). Closing with unread input would reset the connection, and the client might lose the answer.
func (x *exchange) discard() {
	if x.status < 400 || x.status == http.StatusInternalServerError || x.r.ContentLength == 0 || x.r.Header["Expect"] != nil {
		return
	}
	if http.NewResponseController(x.w).Flush() != nil {
		return
	}
	if _, err := io.CopyN(io.Discard, x.r.Body, spec.MaxBody); err != nil && err != io.EOF {
		x.conn.lingerRaw()
		panic(http.ErrAbortHandler) // nobody knows where the next request begins
	}
}

// problem is the body of every refusal (HTTP-ERR-001).
type problem struct {
	Type       string      `json:"type"`
	Title      string      `json:"title"`
	Status     int         `json:"status"`
	Detail     string      `json:"detail"`
	Reason     spec.Reason `json:"reason"`
	CorrID     string      `json:"corr_id"`
	Retryable  bool        `json:"retryable"`
	RetryAfter int         `json:"retry_after,omitempty"`
}

// refuse answers with a problem. detail may be empty where the title says it all.
func (x *exchange) refuse(r spec.Reason, detail string) { x.refuseFor(r, storeRetry, detail) }

// storeRetry is the hint with reasons whose end nobody can foresee.
const storeRetry = time.Second

func (x *exchange) refuseFor(r spec.Reason, retry time.Duration, detail string) {
	x.n.metrics.reject(r)
	// Without this net/http reads what is left of the body before it sends the answer, which then waits for a client
	// that waits for it (HTTP-PUT-010). The error is that of a protocol without the difference.
	_ = http.NewResponseController(x.w).EnableFullDuplex()
	facts := r.Facts()
	p := problem{Type: "about:blank", Title: http.StatusText(facts.Status), Status: facts.Status, Detail: detail,
		Reason: r, CorrID: x.corr, Retryable: facts.Retryable}
	if p.Detail == "" {
		p.Detail = details[r]
	}
	h := x.w.Header()
	for _, k := range []string{"Content-Length", "Content-Range", "Accept-Ranges", "Etag"} {
		if r != spec.BadRange || k != "Content-Range" {
			h.Del(k)
		}
	}
	if facts.Status == http.StatusTooManyRequests || facts.Status == http.StatusServiceUnavailable {
		p.RetryAfter = min(max(int((retry+time.Second-1)/time.Second), 1), 60) // ADM-RTY-001
		h.Set("Retry-After", strconv.Itoa(p.RetryAfter))
	}
	if r == spec.Timeout {
		h.Set("Connection", "close") // ADM-TIM-002
		x.conn.SetWriteDeadline(time.Now().Add(time.Second))
	}
	x.body(facts.Status, "application/problem+json", p)
}

func (x *exchange) json(status int, v any) { x.body(status, "application/json", v) }

func (x *exchange) body(status int, contentType string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types
	}
	h := x.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(b)+1))
	x.head(status)
	x.w.Write(append(b, '\n')) // net/http drops it for HEAD
}

func (x *exchange) head(status int) {
	x.status = status
	x.w.WriteHeader(status)
}

// readiness answers /readyz (HTTP-HLT-002, 003).
func (x *exchange) readiness() {
	s := x.n.gate.Status()
	if s.State == gate.Ready {
		x.json(http.StatusOK, map[string]any{"ready": true, "state": s.State})
		return
	}
	x.w.Header().Set("Retry-After", "1")
	x.json(http.StatusServiceUnavailable, map[string]any{"degraded": true, "state": s.State, "missing": s.Missing, "retry_after": 1})
}

// version answers /version (HTTP-HLT-005, 006, 008).
func (x *exchange) version() {
	st, caps := x.n.store.Stats(), x.n.gate.Config()
	x.json(http.StatusOK, map[string]any{
		"name":         "micronode",
		"version":      x.n.cfg.Version,
		"oap_versions": []int{spec.Version},
		"amnesia":      true,
		"features":     features,
		"limits": map[string]any{
			"max_frame": spec.MaxFrame, "max_object_bytes": spec.MaxObject, "max_body_bytes": spec.MaxBody,
			"max_header_bytes": spec.MaxHeaderBytes, "max_streams_per_conn": spec.MaxStreams,
			"max_conns": caps.MaxConns, "max_inflight": caps.MaxInflight, "requests_per_second": caps.Rate,
			"request_timeout_ms": spec.RequestTimeout.Milliseconds(),
		},
		"store": map[string]any{
			"engine": "ram", "capacity_bytes": st.Capacity,
			"locked": st.LockedBytes > 0, "dump_excluded": st.Undumpable,
		},
	})
}

// corrID takes over a usable X-Corr-ID and makes a fresh one otherwise (HTTP-COR-001, 002, 004).
func corrID(h http.Header) string {
	if v := h["X-Corr-Id"]; len(v) == 1 && len(v[0]) > 0 && len(v[0]) <= 64 && strings.Trim(v[0], corrChars) == "" {
		return v[0]
	}
	const digits = "0123456789abcdef"
	var b [32]byte
	hi, lo := rand.Uint64(), rand.Uint64()
	for i := range 16 {
		b[i], b[16+i] = digits[hi>>(4*i)&15], digits[lo>>(4*i)&15]
	}
	return string(b[:])
}

const corrChars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

// details are the sentences for people where the handler has nothing more precise to say. Read-only.
var details = map[spec.Reason]string{
	spec.Malformed:           "the request breaks a rule of its route",
	spec.Oversize:            "the body is larger than 1 MiB",
	spec.DecompressCap:       "the body expands to more than ten times its size or 1 MiB",
	spec.Truncated:           "the body ended before its declared length",
	spec.BadDigest:           "the body hashes to another address; nothing was stored",
	spec.NotFound:            "no object is stored under this address",
	spec.StoreFull:           "the store is full; reads still work",
	spec.Integrity:           "the stored bytes no longer match their address",
	spec.BadRange:            "the range starts at or beyond the end of the object",
	spec.Quota:               "above the rate or the number of requests in flight that this node allows",
	spec.Timeout:             "the request took more than 5 s",
	spec.NotReady:            "the node is not ready yet",
	spec.Draining:            "the node is shutting down",
	spec.MethodNotAllowed:    "see Allow for the methods of this route",
	spec.UnsupportedEncoding: "send the body plain, or with one Content-Encoding of gzip or zstd",
	spec.Internal:            "a fault of the node; see its log for this corr_id",
}
