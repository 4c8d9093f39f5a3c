package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/spec"
)

const (
	// maxAnswer bounds the JSON of an answer or a problem, in bytes.
	maxAnswer = 64 << 10
	// askFirst is the body size in bytes from which an upload waits for 100 Continue: a refusal then costs no
	// transfer (HTTP-PUT-010), and below it the wait costs more than the bytes.
	askFirst = 64 << 10
	// defaultRetry is the wait when a node says 429 or 503 but not for how long.
	defaultRetry = time.Second
)

// httpSurface is the HTTP surface.
type httpSurface struct {
	base  string // scheme://host:port
	opts  *Options
	tr    *http.Transport
	agent string
}

func newHTTPSurface(t target, opts *Options) *httpSurface {
	d := net.Dialer{Timeout: opts.Stall}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return dialTo(ctx, &d, t, opts.cred)
	}
	h := &httpSurface{base: "http://" + t.addr, opts: opts, agent: opts.UserAgent}
	h.tr = &http.Transport{
		DialContext:            dial, // and no proxy: a node is talked to directly on every surface
		DisableCompression:     true,
		MaxIdleConnsPerHost:    256,
		IdleConnTimeout:        spec.IdleTimeout / 2, // the node closes after IdleTimeout; do not race it
		ExpectContinueTimeout:  time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		WriteBufferSize:        64 << 10,
		ReadBufferSize:         64 << 10,
	}
	if t.tls {
		h.base = "https://" + t.addr
		h.tr.TLSClientConfig = tlsConfig(t, opts, "http/1.1")
		h.tr.TLSHandshakeTimeout = opts.Stall
	}
	return h
}

func (h *httpSurface) close() { h.tr.CloseIdleConnections() }

// watch is one attempt under a stall timer: whoever sees a byte calls seen.
type watch struct {
	ctx    context.Context
	cancel context.CancelFunc
	timer  *time.Timer
	stall  time.Duration
	fired  atomic.Bool
}

func (h *httpSurface) watch(ctx context.Context) *watch {
	w := &watch{stall: h.opts.Stall}
	w.ctx, w.cancel = context.WithCancel(ctx)
	w.timer = time.AfterFunc(w.stall, func() { w.fired.Store(true); w.cancel() })
	return w
}

func (w *watch) seen() { w.timer.Reset(w.stall) }

func (w *watch) stop() { w.timer.Stop(); w.cancel() }

// do sends one request. The response's body is to be closed by the caller.
func (h *httpSurface) do(w *watch, method, path string, header http.Header, body io.ReadCloser, size int64) (*http.Response, error) {
	req, err := http.NewRequestWithContext(w.ctx, method, h.base+path, nil)
	if err != nil {
		return nil, broken(spec.Internal, "build request: %v", err)
	}
	for k, v := range header {
		req.Header[k] = v
	}
	req.Header.Set("User-Agent", h.agent)
	if auth := h.opts.cred.header(); auth != "" {
		req.Header.Set("Authorization", auth) // CAP-TOK-003
	}
	if body != nil {
		req.Body, req.ContentLength = body, size
		if req.Header.Get("Content-Type") == "" {
			req.Header.Set("Content-Type", "application/octet-stream")
		}
		if size >= askFirst {
			req.Header.Set("Expect", "100-continue")
		}
	}
	res, err := h.tr.RoundTrip(req) // not http.Client: a node does not redirect
	if err != nil {
		return nil, h.transportError(w, err)
	}
	w.seen()
	return res, nil
}

// transportError classes an error of the transport.
func (h *httpSurface) transportError(w *watch, err error) error {
	if w.fired.Load() {
		return &Error{Reason: spec.Timeout, Message: fmt.Sprintf("the node was silent for %v", w.stall), again: stalls, Err: err}
	}
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" || hopelessTLS(err) {
		return unreachable(h.base, err)
	}
	if clear, ok := errors.AsType[*ClearTextError](err); ok {
		return clear
	}
	return &Error{Message: "connection lost", again: lost, Err: err}
}

// problem turns an answer that is no success into an Error (HTTP-ERR-001). It works without a body too, because
// answers to HEAD have none.
func problem(res *http.Response) *Error {
	e := &Error{Reason: statusReason(res.StatusCode), FromNode: true, CorrID: printable(res.Header.Get("X-Corr-ID"))}
	var p struct {
		Reason    spec.Reason `json:"reason"`
		Detail    string      `json:"detail"`
		Retryable bool        `json:"retryable"`
	}
	retryable := e.Reason.Facts().Retryable
	if strings.HasPrefix(res.Header.Get("Content-Type"), "application/problem+json") {
		if err := json.UnmarshalRead(io.LimitReader(res.Body, maxAnswer), &p); err == nil && p.Reason.Known() {
			e.Reason, e.Message, retryable = p.Reason, printable(p.Detail), p.Retryable
		}
	}
	if e.Message == "" {
		e.Message = "HTTP status " + strconv.Itoa(res.StatusCode)
	}
	switch {
	case final(e.Reason, res.StatusCode):
	case res.StatusCode == 429 || res.StatusCode == 503:
		e.again, e.retryAfter = paced, retryAfter(res)
	case retryable:
		e.again = lost
	}
	return e
}

// retryAfter reads whole seconds (ADM-RTY-001); a date or nonsense counts as not said.
func retryAfter(res *http.Response) time.Duration {
	s, err := strconv.ParseUint(res.Header.Get("Retry-After"), 10, 16)
	if err != nil {
		return defaultRetry
	}
	return time.Duration(s) * time.Second
}

// statusReason is the reason that a status alone stands for.
func statusReason(status int) spec.Reason {
	for _, r := range []spec.Reason{spec.NotFound, spec.Oversize, spec.Quota, spec.NotReady, spec.Timeout, spec.BadDigest,
		spec.BadRange, spec.Unauth, spec.Forbidden, spec.Integrity, spec.MethodNotAllowed, spec.UnsupportedEncoding, spec.Unsupported} {
		if r.Facts().Status == status {
			return r
		}
	}
	if status >= 500 {
		return spec.Internal
	}
	return spec.Malformed
}

// end reads the little that may be left of an answer, so that the connection can be used again, and closes it.
func end(res *http.Response) {
	_, _ = io.CopyN(io.Discard, res.Body, maxAnswer) // what is wrong with the rest does not matter any more
	res.Body.Close()
}

// upBody is the body of an upload. The transport may still be reading it when RoundTrip has returned, and may close
// it from another goroutine; after closed nothing touches the source any more.
type upBody struct {
	w      *watch
	closed chan struct{}

	mu   sync.Mutex // held while the source is read
	src  *source
	err  error // of the source
	over bool
}

func (b *upBody) Read(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.over {
		return 0, http.ErrBodyReadAfterClose
	}
	n, err := b.src.Read(p)
	if err != nil && err != io.EOF {
		b.err = err
	}
	b.w.seen()
	return n, err
}

func (b *upBody) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.over {
		b.over = true
		close(b.closed)
	}
	return nil
}

func (h *httpSurface) put(ctx context.Context, src *source, want *spec.Address) (addr spec.Address, created bool, err error) {
	w := h.watch(ctx)
	defer w.stop()
	method, path := http.MethodPost, "/put"
	if want != nil {
		method, path = http.MethodPut, "/o/"+want.String()
	}
	body := &upBody{src: src, w: w, closed: make(chan struct{})}
	var rc io.ReadCloser = body
	if src.size == 0 {
		rc = http.NoBody
		_ = body.Close()
	}
	res, err := h.do(w, method, path, nil, rc, src.size)
	if err != nil {
		w.stop()
		<-body.closed
		if body.err != nil {
			err = local("read input", body.err)
		}
		return spec.Address{}, false, err
	}
	defer func() { end(res); w.stop(); <-body.closed }()
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusCreated {
		return spec.Address{}, false, problem(res)
	}
	var a struct {
		Address spec.Address `json:"address"`
	}
	if err := json.UnmarshalRead(io.LimitReader(res.Body, maxAnswer), &a); err != nil {
		if w.ctx.Err() != nil {
			return spec.Address{}, false, h.transportError(w, err)
		}
		return spec.Address{}, false, broken(spec.Malformed, "the node's answer to an upload can not be read")
	}
	select {
	case <-body.closed: // all of it was sent, so the hash is complete
	case <-w.ctx.Done():
		return spec.Address{}, false, h.transportError(w, w.ctx.Err())
	}
	if src.at != src.size || a.Address != src.sum() {
		return spec.Address{}, false, broken(spec.Integrity, "the node stored %s for bytes that hash to %s", a.Address, src.sum())
	}
	return a.Address, res.StatusCode == http.StatusCreated, nil
}

func (h *httpSurface) get(ctx context.Context, s *sink) error {
	off, n := s.rest()
	if n == 0 { // no Range can say "nothing"; what is left to learn is the size
		return h.getNothing(ctx, s, off)
	}
	w := h.watch(ctx)
	defer w.stop()
	header := http.Header{}
	switch {
	case n > 0:
		header.Set("Range", fmt.Sprintf("bytes=%d-%d", off, off+n-1))
	case off > 0:
		header.Set("Range", fmt.Sprintf("bytes=%d-", off))
	}
	res, err := h.do(w, http.MethodGet, "/o/"+s.addr.String(), header, nil, 0)
	if err != nil {
		return err
	}
	defer end(res)
	var size, skip int64
	switch res.StatusCode {
	case http.StatusOK: // also to a Range on the empty object (HTTP-RNG-007)
		size, skip = res.ContentLength, off
	case http.StatusPartialContent:
		var first int64
		first, size = contentRange(res)
		if first != off {
			return broken(spec.Malformed, "the node answered with another range than was asked for")
		}
	case http.StatusRequestedRangeNotSatisfiable:
		// HTTP has no empty range: the end of the object is out of range here and fine elsewhere (OAP-OBJ-009).
		if _, total, ok := strings.Cut(res.Header.Get("Content-Range"), "/"); ok && total == strconv.FormatInt(off, 10) {
			if err := s.expect(0); err != nil {
				return err
			}
			return s.finish(off)
		}
		return problem(res)
	default:
		return problem(res)
	}
	left := res.ContentLength
	switch {
	case res.StatusCode == http.StatusOK && left < 0: // something in between may have changed the framing
		left, err = 1<<62, s.expectAny()
	case size < 0 || left < skip:
		err = broken(spec.Malformed, "the node does not say how long its answer is")
	default:
		if n >= 0 {
			left = min(left, skip+n)
		}
		err = s.expect(left - skip)
	}
	if err != nil {
		return err
	}
	if err := h.receive(w, res, s, skip, left); err != nil {
		return err
	}
	return s.finish(size)
}

// receive delivers left bytes of the body of a get, without the first skip of them.
func (h *httpSurface) receive(w *watch, res *http.Response, s *sink, skip, left int64) error {
	k := chunk{buf: chunks.Get().(*[]byte), n: spec.MaxChunk}
	defer k.free()
	for left > 0 {
		got, err := res.Body.Read(k.bytes()[:min(left, spec.MaxChunk)])
		w.seen()
		left -= int64(got)
		p := k.bytes()[:got]
		if drop := min(skip, int64(got)); drop > 0 {
			p, skip = p[drop:], skip-drop
		}
		if len(p) > 0 {
			if err := s.deliver(p); err != nil {
				return err
			}
		}
		if err == io.EOF && s.open {
			return nil
		}
		if err != nil && left > 0 { // HTTP-GET-007: the node broke off
			return h.transportError(w, err)
		}
	}
	return nil
}

// getNothing is a get of no bytes.
func (h *httpSurface) getNothing(ctx context.Context, s *sink, off int64) error {
	size, err := h.stat(ctx, s.addr)
	if err != nil {
		return err
	}
	if off > size {
		return &Error{Reason: spec.BadRange, Message: fmt.Sprintf("the object has %d bytes", size), FromNode: true}
	}
	if err := s.expect(0); err != nil {
		return err
	}
	return s.finish(size)
}

// contentRange reads "bytes first-last/size"; first is -1 when it says anything else.
func contentRange(res *http.Response) (first, size int64) {
	var last int64
	n, err := fmt.Sscanf(res.Header.Get("Content-Range"), "bytes %d-%d/%d", &first, &last, &size)
	if err != nil || n != 3 || first < 0 || last < first || last >= size || res.ContentLength != last-first+1 {
		return -1, -1
	}
	return first, size
}

// plain runs a request without bodies and returns its answer, closed.
func (h *httpSurface) plain(ctx context.Context, method string, addr spec.Address, want int) (*http.Response, error) {
	w := h.watch(ctx)
	defer w.stop()
	res, err := h.do(w, method, "/o/"+addr.String(), nil, nil, 0)
	if err != nil {
		return nil, err
	}
	defer end(res)
	if res.StatusCode != want {
		return nil, problem(res)
	}
	return res, nil
}

func (h *httpSurface) stat(ctx context.Context, addr spec.Address) (int64, error) {
	res, err := h.plain(ctx, http.MethodHead, addr, http.StatusOK)
	if err != nil {
		return 0, err
	}
	if res.ContentLength < 0 {
		return 0, broken(spec.Malformed, "the node does not say how long the object is")
	}
	return res.ContentLength, nil
}

func (h *httpSurface) has(ctx context.Context, addr spec.Address) (bool, error) {
	_, err := h.stat(ctx, addr)
	if reasonOf(err) == spec.NotFound {
		return false, nil
	}
	return err == nil, err
}

func (h *httpSurface) remove(ctx context.Context, addr spec.Address) error {
	_, err := h.plain(ctx, http.MethodDelete, addr, http.StatusNoContent)
	return err
}
