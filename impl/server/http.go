package server

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/impl/capability"
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
	issue
	verify
	revoke
	rotate
	auditCheckpoint
	auditExport
	auditInclusion
	auditConsistency
	auditAcknowledge
	oapStream // no route: the row that OAP streams have in inflight_requests
	numRoutes
)

// open marks a method that needs no capability: it is part of the table, so that a route can not be open by being
// forgotten (CAP-OPS-001).
const open spec.Op = "-"

// routes holds the name of each route and what its methods need; GET brings HEAD with it (HTTP-GET-004). A route with {…} takes
// what stands there from the path.
var routes = [...]struct {
	name   string
	ops    map[string]spec.Op // by method
	exempt bool               // from in-flight, rate and readiness (HTTP-HLT-007)
}{
	noRoute:          {"none", nil, false},
	healthz:          {"/healthz", onGet(open), true},
	readyz:           {"/readyz", onGet(open), true},
	metricsRoute:     {"/metrics", onGet(open), true},
	version:          {"/version", onGet(open), true},
	put:              {"/put", onPost(spec.OpPut), false},
	object:           {"/o/{addr}", map[string]spec.Op{"GET": spec.OpGet, "HEAD": spec.OpStat, "PUT": spec.OpPut, "DELETE": spec.OpDelete}, false},
	issue:            {"/v1/passport/issue", onPost(spec.OpIssue), false},
	verify:           {"/v1/passport/verify", onPost(spec.OpVerify), false},
	revoke:           {"/v1/passport/revoke", onPost(spec.OpRevoke), false},
	rotate:           {"/v1/passport/rotate", onPost(spec.OpRotate), false},
	auditCheckpoint:  {"/admin/audit/checkpoint", onGet(spec.OpAudit), false},
	auditExport:      {"/admin/audit/export", onGet(spec.OpAudit), false},
	auditInclusion:   {"/admin/audit/inclusion/{index}/{size}", onGet(spec.OpAudit), false},
	auditConsistency: {"/admin/audit/consistency/{old}/{new}", onGet(spec.OpAudit), false},
	auditAcknowledge: {"/admin/audit/acknowledge/{size}", onPost(spec.OpAudit), false},
	oapStream:        {"oap", nil, false},
}

func onGet(op spec.Op) map[string]spec.Op  { return map[string]spec.Op{"GET": op, "HEAD": op} }
func onPost(op spec.Op) map[string]spec.Op { return map[string]spec.Op{"POST": op} }

func (r route) String() string { return routes[r].name }

// methods lists the methods of the route, sorted.
func (r route) methods() []string { return slices.Sorted(maps.Keys(routes[r].ops)) }

// has says whether the route has the method.
func (r route) has(method string) bool { return routes[r].ops[method] != "" }

// match finds the route of a path as it was sent, and what stands where its name has {…} (HTTP-SUR-002, 004, 005).
func match(u *url.URL) (rt route, args []string) {
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
		return object, []string{addr}
	}
	for rt := healthz; rt < oapStream; rt++ {
		name, rest, _ := strings.Cut(routes[rt].name, "{")
		tail, ok := strings.CutPrefix(path, name)
		switch {
		case rt == object || !ok:
		case rest == "" && tail == "":
			return rt, nil
		case rest != "" && strings.Count(tail, "/") == strings.Count(rest, "/"):
			return rt, strings.Split(tail, "/")
		}
	}
	return noRoute, nil
}

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
	reason  spec.Reason
	start   time.Time
	rt      route
	args    []string // what the path has where the route has {…}
	release bool     // an admission is owed

	token capability.Token  // as presented; wiped at the end
	lease *capability.Lease // what it allows; nil before authorize
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
	x := &exchange{n: s.n, w: w, r: r, start: start, corr: corrID(r.Header), conn: r.Context().Value(connKey{}).(*httpConn)}
	x.rt, x.args = match(r.URL)
	x.conn.SetWriteDeadline(x.conn.deadline(start))
	h := w.Header()
	h["X-Corr-Id"] = []string{x.corr}
	h["Cache-Control"] = noStore
	h["X-Content-Type-Options"] = noSniff
	if len(r.TransferEncoding) > 0 {
		// net/http drops a Content-Length beside it without a word, and somebody in front of us may have gone by that: where
		// the next request begins is not agreed on (ADM-HTP-008).
		h["Connection"] = closing
	}
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
	closing = []string{"close"}
)

func (x *exchange) dispatch() {
	if x.rt == noRoute {
		x.refuse(spec.NoRoute, "no such route")
		return
	}
	if !x.rt.has(x.r.Method) {
		x.w.Header().Set("Allow", strings.Join(x.rt.methods(), ", "))
		x.refuse(spec.MethodNotAllowed, "")
		return
	}
	if x.rt != put && x.rt != object && x.r.ContentLength > spec.MaxBody { // ADM-HTP-001; those two have checks that come first
		x.refuse(spec.Oversize, "a request body is at most 1 MiB, and this one has no use for that")
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
	case issue, verify, revoke, rotate:
		x.passport()
	default:
		x.audit()
	}
}

// end closes the books on the exchange: a panic becomes a 500 where that is still possible (HTTP-ERR-007).
func (x *exchange) end(start time.Time) {
	fault := recover()
	if fault != nil && fault != http.ErrAbortHandler {
		x.n.log.Error("handler fault", "event", "fault", "reason", fmt.Sprint(fault), "corr_id", x.corr,
			"peer_addr", x.conn.via.peer.String(), "latency_ms", time.Since(start).Milliseconds(), "stack", string(debug.Stack()))
		if x.status == 0 {
			x.refuse(spec.Internal, "")
			fault = nil
		}
	}
	x.conn.serve(nil)
	if x.lease != nil {
		x.lease.Release()
	}
	x.token.Wipe()
	if x.release {
		x.n.gate.Done()
		x.n.metrics.inflight[x.rt].Dec()
	}
	method := x.r.Method
	if !x.rt.has(method) {
		method = "other"
	}
	took := time.Since(start)
	x.n.metrics.answered(httpKey{x.rt, method, x.status}, took)
	x.log(took)
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
	x.denied(r)
	if r == spec.Integrity {
		x.n.integrity()
	}
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
	if r == spec.Unauth {
		h.Set("WWW-Authenticate", "Macaroon") // CAP-DEN-003
	}
	if r == spec.Timeout || x.ended() {
		h.Set("Connection", "close") // ADM-TIM-002, CAP-REV-003
		x.conn.serve(nil)            // or a revocation could still interrupt the answer
		x.conn.SetWriteDeadline(time.Now().Add(time.Second))
	}
	x.reason = r
	x.body(facts.Status, "application/problem+json", p)
}

// denied writes a denial down; other reasons are passed over.
func (x *exchange) denied(r spec.Reason) {
	corr, _ := audit.CorrText(x.corr)
	x.n.denied(&denied{reason: r, via: &x.conn.via, corr: corr, op: routes[x.rt].ops[x.r.Method], lease: idsOf(x.lease), took: time.Since(x.start)})
}

// log writes a line about the answer, at debug level.
func (x *exchange) log(took time.Duration) {
	if !x.n.log.Enabled(x.r.Context(), slog.LevelDebug) {
		return
	}
	x.n.log.Debug("a request was answered", "event", "request", "route", x.rt.String(), "status", x.status, "reason", string(x.reason),
		"corr_id", x.corr, "peer_addr", x.conn.via.peer.String(), "latency_ms", took.Milliseconds())
}

func (x *exchange) json(status int, v any) { x.body(status, "application/json", v) }

func (x *exchange) body(status int, contentType string, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types
	}
	x.bytes(status, contentType, append(b, '\n'))
}

func (x *exchange) bytes(status int, contentType string, b []byte) {
	h := x.w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	x.head(status)
	x.w.Write(b) // net/http drops it for HEAD
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
	spec.Unauth:              "a capability that is good here and now is needed, in the header Authorization, as Macaroon and the token",
	spec.Forbidden:           "the capability does not cover this request",
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
