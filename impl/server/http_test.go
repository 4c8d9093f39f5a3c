package server

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/rustyonions/micronode/spec"
)

// call makes one request and reads the whole answer.
func call(t *testing.T, n *Node, method, path string, body io.Reader, header ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, "http://"+n.HTTPAddr()+path, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	req.Header.Set("Connection", "close")
	if _, own := req.Header["Authorization"]; !own {
		req.Header.Set("Authorization", "Macaroon "+n.Bootstrap().Reveal())
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

// wantProblem requires a problem with this reason and everything that belongs to it (HTTP-ERR-001 to 005).
func wantProblem(t *testing.T, resp *http.Response, body []byte, want spec.Reason) {
	t.Helper()
	var p problem
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatalf("status %d, body is no problem: %v: %q", resp.StatusCode, err, body)
	}
	facts := want.Facts()
	if p.Reason != want || p.Status != facts.Status || resp.StatusCode != facts.Status || p.Retryable != facts.Retryable ||
		p.CorrID != resp.Header.Get("X-Corr-ID") || p.Title != http.StatusText(facts.Status) || p.Detail == "" ||
		resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("status %d, problem %+v; want %s", resp.StatusCode, p, want)
	}
	if got := resp.Header.Get("Retry-After"); (got != "") != (p.RetryAfter != 0) || got != "" && got != strconv.Itoa(p.RetryAfter) {
		t.Errorf("Retry-After %q and retry_after %d", got, p.RetryAfter)
	}
}

func gzipped(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func zstded(t *testing.T, b []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	return w.EncodeAll(b, nil)
}

func TestHTTPUploads(t *testing.T) {
	n := start(t, nil)
	mixed := append(randomBytes(3000), make([]byte, 20_000)...) // compresses by less than ten
	cases := []struct {
		name   string
		body   []byte
		header []string
		want   spec.Reason
		stored []byte
	}{
		{"plain", mixed, nil, "", mixed},
		{"empty", nil, nil, "", nil},
		{"1 MiB", randomBytes(spec.MaxBody), nil, "", randomBytes(spec.MaxBody)},
		{"1 MiB and one", randomBytes(spec.MaxBody + 1), nil, spec.Oversize, nil},
		{"gzip", gzipped(t, mixed), []string{"Content-Encoding", "gzip"}, "", mixed},
		{"zstd", zstded(t, mixed), []string{"Content-Encoding", "ZSTD"}, "", mixed},
		{"gzip bomb", gzipped(t, make([]byte, 100_000)), []string{"Content-Encoding", "gzip"}, spec.DecompressCap, nil},
		{"zstd bomb", zstded(t, make([]byte, 100_000)), []string{"Content-Encoding", "zstd"}, spec.DecompressCap, nil},
		{"gzip of 1 MiB and one", gzipped(t, append(randomBytes(spec.MaxBody/2), make([]byte, spec.MaxBody/2+1)...)), []string{"Content-Encoding", "gzip"}, spec.DecompressCap, nil},
		{"gzip twice", gzipped(t, gzipped(t, mixed)), []string{"Content-Encoding", "gzip, gzip"}, spec.UnsupportedEncoding, nil},
		{"gzip header twice", gzipped(t, mixed), []string{"Content-Encoding", "gzip", "Content-Encoding", "gzip"}, spec.UnsupportedEncoding, nil},
		{"brotli", mixed, []string{"Content-Encoding", "br"}, spec.UnsupportedEncoding, nil},
		{"gzip, two members", append(gzipped(t, mixed), gzipped(t, mixed)...), []string{"Content-Encoding", "gzip"}, spec.Malformed, nil},
		{"gzip, trailing byte", append(gzipped(t, mixed), 0), []string{"Content-Encoding", "gzip"}, spec.Malformed, nil},
		{"gzip, cut", gzipped(t, mixed)[:2000], []string{"Content-Encoding", "gzip"}, spec.Malformed, nil},
		{"zstd, two frames", append(zstded(t, mixed), zstded(t, mixed)...), []string{"Content-Encoding", "zstd"}, spec.Malformed, nil},
		{"zstd, cut", zstded(t, mixed)[:2000], []string{"Content-Encoding", "zstd"}, spec.Malformed, nil},
		{"part", mixed, []string{"Content-Range", "bytes 0-1/2"}, spec.Malformed, nil},
	}
	for _, c := range cases {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/chunked=%v", c.name, chunked), func(t *testing.T) {
				var body io.Reader = bytes.NewReader(c.body)
				if chunked {
					body = io.MultiReader(body) // hides the length
				}
				before := n.store.Stats()
				resp, b := call(t, n, "POST", "/put", body, c.header...)
				if c.want != "" {
					wantProblem(t, resp, b, c.want)
					after := n.store.Stats()
					if after.Objects != before.Objects || after.ArenaUsed != before.ArenaUsed {
						t.Errorf("a refused upload left a trace: %+v, before %+v", after, before)
					}
					return
				}
				a := address(c.stored)
				if got := fmt.Sprintf("{\"address\":\"%s\"}\n", a); string(b) != got || resp.Header.Get("Location") != "/o/"+a.String() {
					t.Fatalf("%d %s", resp.StatusCode, b)
				}
				if resp, b := call(t, n, "GET", "/o/"+a.String(), nil); resp.StatusCode != 200 || !bytes.Equal(b, c.stored) {
					t.Fatalf("read back %d bytes, status %d", len(b), resp.StatusCode)
				}
			})
		}
	}
}

func TestHTTPDigest(t *testing.T) {
	n := start(t, nil)
	b, other := []byte("one"), []byte("other")
	path := "/o/" + address(b).String()
	resp, body := call(t, n, "PUT", path, bytes.NewReader(other))
	wantProblem(t, resp, body, spec.BadDigest)
	resp, body = call(t, n, "GET", path, nil)
	wantProblem(t, resp, body, spec.NotFound)
	for i, want := range []int{201, 200} {
		if resp, _ := call(t, n, "PUT", path, bytes.NewReader(b)); resp.StatusCode != want {
			t.Errorf("put %d: %d, want %d", i, resp.StatusCode, want)
		}
	}
	if resp, _ := call(t, n, "DELETE", path, nil); resp.StatusCode != 204 {
		t.Errorf("delete: %d", resp.StatusCode)
	}
	resp, body = call(t, n, "DELETE", path, nil)
	wantProblem(t, resp, body, spec.NotFound)
}

func TestHTTPReads(t *testing.T) {
	n := start(t, nil)
	b := randomBytes(200_001)
	a := address(b).String()
	call(t, n, "POST", "/put", bytes.NewReader(b))
	etag := `"` + a + `"`
	cases := []struct {
		header   []string
		status   int
		from, to int
	}{
		{nil, 200, 0, len(b)},
		{[]string{"Range", "bytes=0-0"}, 206, 0, 1},
		{[]string{"Range", "bytes=65535-65536"}, 206, 65535, 65537},
		{[]string{"Range", "bytes=100000-"}, 206, 100000, len(b)},
		{[]string{"Range", "bytes=-5"}, 206, len(b) - 5, len(b)},
		{[]string{"Range", "bytes=-999999999"}, 206, 0, len(b)},
		{[]string{"Range", "bytes=200000-999999999999999999999999"}, 206, 200000, len(b)},
		{[]string{"Range", "bytes=200001-"}, 416, 0, 0},
		{[]string{"Range", "bytes=-0"}, 416, 0, 0},
		{[]string{"Range", "bytes=5-4"}, 200, 0, len(b)},
		{[]string{"Range", "bytes=0-1,3-4"}, 200, 0, len(b)},
		{[]string{"Range", "bytes=+1-2"}, 200, 0, len(b)},
		{[]string{"Range", "lines=0-1"}, 200, 0, len(b)},
		{[]string{"Range", "bytes=0-1", "Range", "bytes=0-1"}, 200, 0, len(b)},
		{[]string{"Range", "bytes=0-1", "If-Range", etag}, 206, 0, 2},
		{[]string{"Range", "bytes=0-1", "If-Range", "W/" + etag}, 200, 0, len(b)},
		{[]string{"If-None-Match", etag}, 304, 0, 0},
		{[]string{"If-None-Match", "W/" + etag}, 304, 0, 0},
		{[]string{"If-None-Match", `"x", ` + etag + `,"y"`}, 304, 0, 0},
		{[]string{"If-None-Match", `"x"`, "If-None-Match", etag}, 304, 0, 0},
		{[]string{"If-None-Match", "*"}, 304, 0, 0},
		{[]string{"If-None-Match", `"x"`}, 200, 0, len(b)},
		{[]string{"If-None-Match", a}, 200, 0, len(b)},
		{[]string{"If-None-Match", etag + ` "x"`}, 200, 0, len(b)},
		{[]string{"If-None-Match", etag, "Range", "bytes=0-0"}, 304, 0, 0},
	}
	for _, c := range cases {
		resp, body := call(t, n, "GET", "/o/"+a, nil, c.header...)
		if c.status == 416 {
			wantProblem(t, resp, body, spec.BadRange)
			if got := resp.Header.Get("Content-Range"); got != fmt.Sprintf("bytes */%d", len(b)) {
				t.Errorf("%v: Content-Range %q", c.header, got)
			}
			continue
		}
		if resp.StatusCode != c.status || !bytes.Equal(body, b[c.from:c.to]) || resp.Header.Get("ETag") != etag {
			t.Errorf("%v: status %d, %d bytes, ETag %s; want %d and [%d:%d]", c.header, resp.StatusCode, len(body), resp.Header.Get("ETag"), c.status, c.from, c.to)
		}
		if want := fmt.Sprintf("bytes %d-%d/%d", c.from, c.to-1, len(b)); c.status == 206 && resp.Header.Get("Content-Range") != want {
			t.Errorf("%v: Content-Range %q, want %q", c.header, resp.Header.Get("Content-Range"), want)
		}
	}
	resp, body := call(t, n, "HEAD", "/o/"+a, nil, "Range", "bytes=0-1")
	if resp.StatusCode != 200 || len(body) != 0 || resp.ContentLength != int64(len(b)) {
		t.Errorf("HEAD: %d, %d bytes, length %d", resp.StatusCode, len(body), resp.ContentLength)
	}
}

func TestHTTPRoutes(t *testing.T) {
	n := start(t, nil)
	upper := "b3:" + strings.Repeat("A", 64)
	for _, c := range []struct {
		method, path string
		want         spec.Reason
	}{
		{"GET", "/", spec.NoRoute},
		{"GET", "/o", spec.NoRoute},
		{"GET", "/healthz/", spec.NoRoute},
		{"GET", "//healthz", spec.NoRoute},
		{"GET", "/x/../healthz", spec.NoRoute},
		{"GET", "/%68ealthz", spec.NoRoute},
		{"GET", "/o/a/b", spec.NoRoute},
		{"GET", "/o/a%2Fb", spec.Malformed},
		{"GET", "/o/" + upper, spec.Malformed},
		{"GET", "/put", spec.MethodNotAllowed},
		{"PATCH", "/o/" + upper, spec.MethodNotAllowed},
		{"POST", "/healthz", spec.MethodNotAllowed},
	} {
		resp, body := call(t, n, c.method, c.path, nil)
		wantProblem(t, resp, body, c.want)
		if allow := resp.Header.Get("Allow"); (c.want == spec.MethodNotAllowed) != (allow != "") {
			t.Errorf("%s %s: Allow %q", c.method, c.path, allow)
		}
	}
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/version", "/healthz?x=1"} {
		for _, method := range []string{"GET", "HEAD"} {
			if resp, body := call(t, n, method, path, nil); resp.StatusCode != 200 || (len(body) == 0) != (method == "HEAD") {
				t.Errorf("%s %s: %d with %d bytes", method, path, resp.StatusCode, len(body))
			}
		}
	}
}

func TestHTTPCorrID(t *testing.T) {
	n := start(t, nil)
	for _, c := range []struct {
		sent []string
		kept bool
	}{
		{[]string{"a.B_9-"}, true}, {[]string{strings.Repeat("x", 64)}, true},
		{nil, false}, {[]string{""}, false}, {[]string{strings.Repeat("x", 65)}, false}, {[]string{"a b"}, false}, {[]string{"a", "b"}, false},
	} {
		var header []string
		for _, v := range c.sent {
			header = append(header, "X-Corr-ID", v)
		}
		resp, _ := call(t, n, "GET", "/healthz", nil, header...)
		got := resp.Header["X-Corr-Id"]
		if len(got) != 1 || len(got[0]) == 0 || (c.kept && got[0] != c.sent[0]) || (!c.kept && slices.Contains(c.sent, got[0])) {
			t.Errorf("sent %q, got %q", c.sent, got)
		}
	}
}

// ADM-TIM-001, ADM-TIM-002: a request that trickles in is cut after 5 s, however lively it is; the clock does not
// run before its first byte (ADM-TIM-004) and starts anew for the next request of a connection.
func TestHTTPSlow(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the 5 s that a request may take; left out with -short")
	}
	t.Parallel()
	n := start(t, nil)
	for name, sent := range map[string]string{
		"head": "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
		"body": "POST /put HTTP/1.1\r\nHost: x\r\nAuthorization: Macaroon " + n.Bootstrap().Reveal() + "\r\nContent-Length: 100000\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := net.Dial("tcp", n.HTTPAddr())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			fmt.Fprint(c, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
			r := bufio.NewReader(c)
			if resp, err := http.ReadResponse(r, nil); err != nil || resp.StatusCode != 200 {
				t.Fatal(err)
			} else if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			fmt.Fprint(c, sent)
			tick := time.NewTicker(200 * time.Millisecond)
			defer tick.Stop()
			done := make(chan struct{})
			go func() {
				defer close(done)
				for range tick.C {
					if _, err := c.Write([]byte("x")); err != nil || time.Since(began) > 20*time.Second {
						return
					}
				}
			}()
			resp, err := http.ReadResponse(r, nil)
			took := time.Since(began)
			if name == "body" {
				if err != nil {
					t.Fatal(err)
				}
				b, _ := io.ReadAll(resp.Body)
				wantProblem(t, resp, b, spec.Timeout)
			}
			if took < spec.RequestTimeout-time.Second/2 || took > 15*time.Second {
				t.Errorf("cut after %v, want about 5 s", took)
			}
			<-done
		})
	}
}

// HTTP-GET-006, HTTP-GET-007
func TestHTTPIntegrity(t *testing.T) {
	n := start(t, nil)
	b := randomBytes(8 * spec.MaxChunk)
	path := "/o/" + address(b).String()
	call(t, n, "POST", "/put", bytes.NewReader(b))
	h, err := n.store.Get(address(b))
	if err != nil {
		t.Fatal(err)
	}
	view, err := h.Chunk(7*spec.MaxChunk, 1)
	if err != nil {
		t.Fatal(err)
	}
	view[0] ^= 1
	h.Release()
	req, err := http.NewRequestWithContext(t.Context(), "GET", "http://"+n.HTTPAddr()+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Macaroon "+n.Bootstrap().Reveal())
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err == nil || len(got) > 7*spec.MaxChunk {
		t.Errorf("read %d bytes with error %v; want the connection cut before the damaged chunk", len(got), err)
	}
	resp, body := call(t, n, "GET", path, nil)
	wantProblem(t, resp, body, spec.Integrity)
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// HTTP-ERR-007
func TestHTTPFault(t *testing.T) {
	n := start(t, nil)
	s := &httpSurface{n}
	b := randomBytes(10)
	a := address(b)
	call(t, n, "POST", "/put", bytes.NewReader(b))
	rec := httptest.NewRecorder()
	req := httptest.NewRequest("PUT", "/o/"+a.String(), faultyBody{})
	req.Header.Set("Authorization", "Macaroon "+n.Bootstrap().Reveal())
	client, server := net.Pipe()
	defer client.Close()
	defer server.Close()
	n.gate.Connect()
	hc := &httpConn{Conn: server, n: n, d: &door{}}
	defer hc.Close()
	s.ServeHTTP(rec, req.WithContext(newHTTPServer(n).ConnContext(req.Context(), hc)))
	wantProblem(t, rec.Result(), rec.Body.Bytes(), spec.Internal)
	if got := n.gate.Status().Inflight; got != 0 {
		t.Errorf("%d requests in flight after a fault", got)
	}
}

type faultyBody struct{}

func (faultyBody) Read([]byte) (int, error) { panic("planted") }

// ADM-CAP-003, ADM-RTY-001, ADM-CNT-001, HTTP-HLT-007: what the clients saw is what the metrics say.
func TestHTTPRate(t *testing.T) {
	n := start(t, func(c *Config) { c.Rate = 5 })
	refused := 0
	for range 12 {
		resp, body := call(t, n, "GET", "/nowhere", nil)
		if resp.StatusCode == http.StatusTooManyRequests {
			wantProblem(t, resp, body, spec.Quota)
			refused++
			if resp, _ := call(t, n, "GET", "/healthz", nil); resp.StatusCode != 200 {
				t.Errorf("healthz took part in the rate cap: %d", resp.StatusCode)
			}
		}
	}
	if refused == 0 {
		t.Fatal("12 requests at 5/s with a burst of 5, and none refused")
	}
	if got := testutil.ToFloat64(n.metrics.rejected[spec.Quota]); got != float64(refused) {
		t.Errorf("rejected_total{quota} is %v, the client saw %d", got, refused)
	}
}

func TestMetricsLint(t *testing.T) {
	n := start(t, nil)
	call(t, n, "GET", "/healthz", nil)
	problems, err := testutil.GatherAndLint(n.metrics.registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	_, text := call(t, n, "GET", "/metrics", nil)
	for _, r := range spec.Reasons() { // ADM-CNT-004
		if class := r.Facts().Rejection; class != "" && !strings.Contains(string(text), `rejected_total{reason="`+class+`"} 0`) {
			t.Errorf("rejected_total has no zero for %s", class)
		}
	}
}

// Requests that never reach the handler are answered by net/http; they count, and OPTIONS * is not one of them.
func TestHTTPBareRefusals(t *testing.T) {
	n := start(t, nil)
	for _, c := range []struct {
		name, sent, want string
		counted          spec.Reason
	}{
		{"head of 16 KiB and more", "GET /healthz HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", spec.MaxHeaderBytes) + "\r\n\r\n", "HTTP/1.1 431", spec.Oversize},
		{"two lengths", "POST /put HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 400", spec.Malformed},
		{"no length", "POST /put HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", "HTTP/1.1 400", spec.Malformed},
		{"options", "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "HTTP/1.1 404", ""},
	} {
		before := map[spec.Reason]float64{}
		for r, counter := range n.metrics.rejected {
			before[r] = testutil.ToFloat64(counter)
		}
		conn, err := net.Dial("tcp", n.HTTPAddr())
		if err != nil {
			t.Fatal(err)
		}
		go io.WriteString(conn, c.sent)
		got, err := bufio.NewReader(conn).ReadString('\n')
		if err != nil || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q %v, want %s", c.name, got, err, c.want)
		}
		conn.Close()
		for r, counter := range n.metrics.rejected {
			more := testutil.ToFloat64(counter) - before[r]
			if same := c.counted != "" && r.Facts().Rejection == c.counted.Facts().Rejection; same != (more == 1) || more > 1 {
				t.Errorf("%s: rejected_total{%s} grew by %v", c.name, r.Facts().Rejection, more)
			}
		}
	}
}

// RDY-DRN-004: connections without work do not hold up the end.
func TestDrainIsQuick(t *testing.T) {
	n := start(t, nil)
	for _, sent := range []string{"", "GET /healthz HT"} {
		c, err := net.Dial("tcp", n.HTTPAddr())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		io.WriteString(c, sent)
	}
	p := hello(t, oapOf(n))
	p.start(1, 0, `{"op":"nonsense"}`) // refused, and half-closed
	p.wantError(1, spec.Malformed)
	began := time.Now()
	if err := n.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > spec.DrainTimeout/2 {
		t.Errorf("a node without work took %v to end", took)
	}
}
