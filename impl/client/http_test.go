package client

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rustyonions/micronode/spec"
)

func serveHTTP(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func problemTo(w http.ResponseWriter, r spec.Reason, retry string) {
	if retry != "" {
		w.Header().Set("Retry-After", retry)
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Corr-ID", "corr-7")
	w.WriteHeader(r.Facts().Status)
	fmt.Fprintf(w, `{"type":"about:blank","title":"t","status":%d,"detail":"no","reason":%q,"corr_id":"corr-7","retryable":%v}`, r.Facts().Status, r, r.Facts().Retryable)
}

func TestHostileHTTPGet(t *testing.T) {
	t.Parallel()
	b := bytesOf(100_000)
	addr := sum(b)
	for name, tc := range map[string]struct {
		serve http.HandlerFunc
		want  spec.Reason
	}{
		"wrong bytes": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100000")
			w.Write(bytesOf(100_001)[:100_000])
		}, spec.Integrity},
		"a prefix": {func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "5"); w.Write(b[:5]) }, spec.Integrity},
		"empty":    {func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Content-Length", "0") }, spec.Integrity},
		"announces 1 TiB": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "1099511627776")
			w.Write(b)
		}, spec.Oversize},
		"never ends, says no length": {func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			for {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		}, spec.Oversize},
		"wrong bytes, says no length": {func(w http.ResponseWriter, r *http.Request) {
			w.(http.Flusher).Flush()
			w.Write(b[:99_999])
		}, spec.Integrity},
		"partial without being asked": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Range", "bytes 5-9/100000")
			w.Header().Set("Content-Length", "5")
			w.WriteHeader(206)
			w.Write(b[5:10])
		}, spec.Malformed},
		"redirect":       {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) }, spec.Malformed},
		"not found":      {func(w http.ResponseWriter, r *http.Request) { problemTo(w, spec.NotFound, "") }, spec.NotFound},
		"status only":    {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(403) }, spec.Forbidden},
		"unknown status": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(599) }, spec.Internal},
		"unknown reason": {func(w http.ResponseWriter, r *http.Request) { problemTo(w, "teapot", "") }, spec.Internal},
		"problem is no JSON": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(404)
			io.WriteString(w, "\x1b[31m<html>")
		}, spec.NotFound},
		"endless headers": {func(w http.ResponseWriter, r *http.Request) {
			for i := range 2000 {
				w.Header().Set(fmt.Sprintf("X-%d", i), strings.Repeat("x", 100))
			}
		}, spec.None},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := dial(t, serveHTTP(t, tc.serve), quick)
			_, err := c.Get(t.Context(), addr, 0, -1, io.Discard)
			wantReason(t, err, tc.want)
		})
	}
}

func TestHTTPSilence(t *testing.T) {
	t.Parallel()
	l := listenTCP(t)
	var attempts atomic.Int32
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			attempts.Add(1)
			defer nc.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	c := dial(t, "http://"+l.Addr().String(), hasty)
	_, err := c.Stat(t.Context(), spec.Address{})
	wantReason(t, err, spec.Timeout)
	var e *Error
	if !errors.As(err, &e) || !e.GaveUp || attempts.Load() < 2 {
		t.Errorf("got %v after %d attempts", err, attempts.Load())
	}
}

func TestHostileHTTPPut(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		serve http.HandlerFunc
		want  spec.Reason
	}{
		"another address": {func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.WriteHeader(201)
			fmt.Fprintf(w, `{"address":%q}`, sum(nil))
		}, spec.Integrity},
		"answer before the body": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(201)
			fmt.Fprintf(w, `{"address":%q}`, sum([]byte("abc")))
		}, spec.None},
		"no address":     {func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); io.WriteString(w, `{}`) }, spec.Integrity},
		"no JSON":        {func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); io.WriteString(w, `ok`) }, spec.Malformed},
		"another status": {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }, spec.Malformed},
		"refused":        {func(w http.ResponseWriter, r *http.Request) { problemTo(w, spec.Unauth, "") }, spec.Unauth},
	} {
		t.Run(name, func(t *testing.T) {
			c := dial(t, serveHTTP(t, tc.serve), quick)
			_, _, err := c.Put(t.Context(), strings.NewReader("abc"), 3, nil)
			if tc.want == spec.None { // the bytes are on their way all the same, and their hash is known
				if err != nil {
					t.Error(err)
				}
				return
			}
			wantReason(t, err, tc.want)
			if name == "refused" && !strings.Contains(err.Error(), "corr-7") {
				t.Errorf("the correlation id is missing: %v", err)
			}
		})
	}
}

// A proxy may take the length away; the digest still tells whether everything is there.
func TestHTTPGetWithoutLength(t *testing.T) {
	t.Parallel()
	b := bytesOf(100_000)
	first := true
	c := dial(t, serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		w.(http.Flusher).Flush()
		w.Write(b[:50_000])
		if first {
			first = false
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
		w.Write(b[50_000:])
	}), quick)
	var got bytes.Buffer
	if _, err := c.Get(t.Context(), sum(b), 0, -1, &got); err != nil || !bytes.Equal(got.Bytes(), b) {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
}

// A body that breaks off is asked for from there on, and the whole is verified.
func TestHTTPGetResumes(t *testing.T) {
	t.Parallel()
	b := bytesOf(300_000)
	var ranges []string
	c := dial(t, serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		ranges = append(ranges, r.Header.Get("Range"))
		from := 0
		if text, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes="); ok {
			from, _ = strconv.Atoi(strings.TrimSuffix(text, "-"))
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, len(b)-1, len(b)))
		}
		w.Header().Set("Content-Length", strconv.Itoa(len(b)-from))
		if from > 0 {
			w.WriteHeader(206)
		}
		w.Write(b[from:min(from+120_000, len(b))])
		if from+120_000 < len(b) {
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}
	}), quick)
	var got bytes.Buffer
	if _, err := c.Get(t.Context(), sum(b), 0, -1, &got); err != nil || !bytes.Equal(got.Bytes(), b) {
		t.Errorf("%d bytes, %v", got.Len(), err)
	}
	if len(ranges) != 3 || ranges[0] != "" || ranges[1] == "" {
		t.Errorf("ranges asked for: %q", ranges)
	}
}

// 429 with Retry-After holds up everybody; then the body is sent again from its start.
func TestHTTPRetryAfter(t *testing.T) {
	t.Parallel()
	var first atomic.Int64
	c := dial(t, serveHTTP(t, func(w http.ResponseWriter, r *http.Request) {
		if first.CompareAndSwap(0, time.Now().UnixNano()) {
			problemTo(w, spec.Quota, "1")
			return
		}
		if d := time.Since(time.Unix(0, first.Load())); d < time.Second {
			t.Errorf("came back after %v", d)
		}
		got, _ := io.ReadAll(r.Body)
		w.WriteHeader(201)
		fmt.Fprintf(w, `{"address":%q}`, sum(got))
	}), Options{})
	b := bytesOf(700_000)
	if _, created, err := c.Put(t.Context(), bytes.NewReader(b), int64(len(b)), nil); err != nil || !created {
		t.Error(created, err)
	}
	if s := c.Stats(); s.Refused != 1 || s.Admitted != 1 {
		t.Errorf("stats: %+v", s)
	}
}

// A refusal is heard although the node does not read the body.
func TestHTTPRefusalBeforeTheBody(t *testing.T) {
	t.Parallel()
	l := listenTCP(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			buf := make([]byte, 4096)
			n, _ := nc.Read(buf)
			if !strings.Contains(string(buf[:n]), "Expect: 100-continue") {
				t.Errorf("a body of 1 MiB was not announced: %q", buf[:min(n, 300)])
			}
			io.WriteString(nc, "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
			nc.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, nc)
			nc.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	c := dial(t, "http://"+l.Addr().String(), quick)
	_, _, err := c.Put(t.Context(), bytes.NewReader(make([]byte, 1<<20)), 1<<20, nil)
	wantReason(t, err, spec.Forbidden)
}
