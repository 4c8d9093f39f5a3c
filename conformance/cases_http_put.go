package conformance

import (
	"fmt"
	"strings"

	"github.com/rustyonions/micronode/spec"
)

// httpPutCases are about HTTP-PUT: uploads.
func httpPutCases() []Case {
	return []Case{
		{ID: "http-post", Rules: []string{"HTTP-PUT-001", "HTTP-PUT-002", "HTTP-PUT-003"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "POST /put answers 201, then 200, with the address in body and Location.",
			Run:         httpPost},
		{ID: "http-put", Rules: []string{"HTTP-PUT-004", "HTTP-PUT-005"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "PUT under the right address answers 201, then 200; under another it is refused and stores nothing.",
			Run:         httpPut},
		{ID: "http-chunked", Rules: []string{"HTTP-PUT-001", "HTTP-PUT-007"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A chunked upload stores the same object as one with a length, however it is cut; one that does not end stores nothing.",
			Run:         httpChunked},
		{ID: "http-cut-body", Rules: []string{"HTTP-PUT-007", "CAS-PUT-005"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "An upload that ends before its length stores nothing and is answered with 400 truncated, if at all.",
			Run:         httpCutBody},
		{ID: "http-bad-chunks", Rules: []string{"HTTP-PUT-007"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Broken chunk framing stores nothing, and the connection ends.",
			Run:         httpBadChunks},
		{ID: "http-content-range", Rules: []string{"HTTP-PUT-008"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "An upload with Content-Range is refused, even when it names the whole.",
			Run:         httpContentRange},
		{ID: "http-content-type", Rules: []string{"HTTP-PUT-009"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Content-Type, also a broken one or that of a form, changes nothing.",
			Run:         httpContentType},
		{ID: "http-expect", Rules: []string{"HTTP-PUT-010"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "100 Continue comes where the upload is welcome; a head that is refused is refused at once and without it.",
			Run:         httpExpect},
		{ID: "http-refused-head", Rules: []string{"HTTP-PUT-010", "ADM-ORD-005"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Slow:        true,
			Description: "A refusal that needs the head only comes before any body; then the connection closes or the next request works.",
			Run:         httpRefusedHead},
		{ID: "http-no-smuggling", Rules: []string{"ADM-ORD-005", "HTTP-PUT-010"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity,
			Description: "What stands behind a refused or broken body is never taken for the next request while it is still part of the body.",
			Run:         httpNoSmuggling},
		{ID: "http-coded-etag", Rules: []string{"HTTP-PUT-011"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "The answer to a coded upload has no ETag.",
			Run:         httpCodedETag},
	}
}

func httpPost(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(1234)
	for _, want := range []int{201, 200, 200} {
		t.Owe(AddressOf(data))
		r := t.Want(t.Do(Request{Method: "POST", Path: "/put", Body: data}), want)
		t.Acknowledges(r, AddressOf(data))
	}
	t.Serves(data)
}

func httpPut(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data, other := t.Bytes(1234), t.Bytes(1234)
	path := Object(AddressOf(data))
	t.Refuses(t.Do(Request{Method: "PUT", Path: path, Body: other}), spec.BadDigest)
	t.Refuses(t.Do(Request{Method: "PUT", Path: path, Body: data[:1233]}), spec.BadDigest)
	t.Misses(AddressOf(data))
	t.Misses(AddressOf(other))
	for _, want := range []int{201, 200} {
		t.Owe(AddressOf(data))
		r := t.Want(t.Do(Request{Method: "PUT", Path: path, Body: data}), want)
		t.Acknowledges(r, AddressOf(data))
	}
	t.Refuses(t.Do(Request{Method: "PUT", Path: path, Body: other}), spec.BadDigest)
	t.Serves(data)
}

func httpChunked(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(100_000)
	addr := AddressOf(data)
	t.Owe(addr)
	t.Want(t.Do(Request{Method: "POST", Path: "/put", Body: data, Chunked: true}), 201)
	t.Serves(data)
	for _, size := range []int{1, 7, 1000} {
		raw := t.Raw()
		part := data[:5000]
		t.Owe(AddressOf(part))
		raw.Head("POST", "/put", "Transfer-Encoding: chunked")
		raw.Write(chunked(part, size) + "0\r\n\r\n")
		t.Acknowledges(t.Want(raw.Response("POST"), 200, 201), AddressOf(part))
	}
	// Everything but the last chunk.
	other := t.Bytes(3000)
	raw := t.Raw()
	raw.Head("POST", "/put", "Transfer-Encoding: chunked")
	raw.Write(chunked(other, 1000))
	raw.CloseWrite()
	if r, err := raw.Try(t.Patience(), "POST"); err == nil {
		t.Refuses(r, spec.Truncated)
	}
	t.Misses(AddressOf(other))
}

// chunked writes b in chunks of size bytes, without the last chunk.
func chunked(b []byte, size int) string {
	var s strings.Builder
	for len(b) > 0 {
		n := min(size, len(b))
		fmt.Fprintf(&s, "%x\r\n%s\r\n", n, b[:n])
		b = b[n:]
	}
	return s.String()
}

func httpCutBody(t *T) {
	data := t.Bytes(10_000)
	addr := AddressOf(data)
	length := fmt.Sprintf("Content-Length: %d", len(data))
	t.Owe(addr)
	t.Control(func() {
		t.HTTPRoundTrip()
		raw := t.Raw()
		raw.Head("PUT", Object(addr), length)
		raw.Write(string(data))
		t.Want(raw.Response("PUT"), 201)
		t.Want(t.Do(Request{Method: "DELETE", Path: Object(addr)}), 204)
	})
	for _, sent := range []int{0, 1, 5000, 9999} {
		for _, path := range []string{"/put", Object(addr)} {
			method := map[bool]string{true: "POST", false: "PUT"}[path == "/put"]
			raw := t.Raw()
			raw.Head(method, path, length)
			raw.Write(string(data[:sent]))
			raw.CloseWrite()
			if r, err := raw.Try(t.Patience(), method); err == nil {
				t.Refuses(r, spec.Truncated)
			}
			raw.Closed()
			t.Misses(addr)
			if sent > 0 { // the empty object is not ours
				t.Misses(AddressOf(data[:sent]))
			}
		}
	}
}

func httpBadChunks(t *T) {
	data := t.Bytes(100)
	good := chunked(data, 100)
	t.Owe(AddressOf(data))
	t.Control(func() {
		raw := t.Raw()
		raw.Head("POST", "/put", "Transfer-Encoding: chunked")
		raw.Write(good + "0\r\n\r\n")
		t.Acknowledges(t.Want(raw.Response("POST"), 201), AddressOf(data))
		t.Want(t.Do(Request{Method: "DELETE", Path: Object(AddressOf(data))}), 204)
	})
	for _, bad := range []string{
		good + "zz\r\n\r\n",
		"-5\r\nabcde\r\n0\r\n\r\n",
		"0x64\r\n" + string(data) + "\r\n0\r\n\r\n",
		"ffffffffffffffffff\r\n",
		strings.Replace(good, "64\r\n", "63\r\n", 1) + "0\r\n\r\n",
		"64" + strings.Repeat("!", 100) + "\r\n0\r\n\r\n",
	} {
		raw := t.Raw()
		raw.Head("POST", "/put", "Transfer-Encoding: chunked")
		raw.Write(bad)
		raw.CloseWrite()
		if r, err := raw.Try(t.Patience(), "POST"); err == nil {
			t.Check(r.Status == 400, "broken chunks are answered with %d: %s", r.Status, textOf(r.Body))
		}
		raw.Closed()
		t.Misses(AddressOf(data))
	}
}

func httpContentRange(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(100)
	for _, value := range []string{"bytes 0-99/100", "bytes 0-49/100", "bytes */100", "junk", "items 1-2/3"} {
		t.Refuses(t.Do(Request{Method: "POST", Path: "/put", Headers: []string{"Content-Range: " + value}, Body: data}), spec.Malformed)
		t.Refuses(t.Do(Request{Method: "PUT", Path: Object(AddressOf(data)), Headers: []string{"Content-Range: " + value}, Body: data}), spec.Malformed)
	}
	t.Misses(AddressOf(data))
}

func httpContentType(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := []byte("a=1&b=%20" + string(t.Bytes(50)))
	for i, value := range []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "junk", "application/json"} {
		created := t.Upload(data, "Content-Type: "+value)
		t.Check(created == (i == 0), "with Content-Type %s the same bytes are another object", value)
		r := t.Want(t.Get(Object(AddressOf(data))), 200)
		t.Check(string(r.Body) == string(data) && mediaType(r) == "application/octet-stream", "Content-Type %s comes back as %s", value, mediaType(r))
	}
}

func httpExpect(t *T) {
	data := t.Bytes(1000)
	t.Owe(AddressOf(data))
	t.Control(func() {
		raw := t.Raw()
		raw.Head("PUT", Object(AddressOf(data)), "Expect: 100-continue", "Content-Length: 1000")
		r := raw.Response("PUT")
		t.Check(r.Status == 100, "an upload that would be welcome gets %d instead of 100", r.Status)
		raw.Write(string(data))
		t.Want(raw.Response("PUT"), 201)
		t.Serves(data)
	})
	for _, bad := range []struct {
		method, path string
		headers      []string
		reason       spec.Reason
	}{
		{"POST", "/put", []string{"Content-Length: 1048577"}, spec.Oversize},
		{"POST", "/put", []string{"Content-Length: 5", "Content-Encoding: br"}, spec.UnsupportedEncoding},
		{"POST", "/put", []string{"Content-Length: 5", "Content-Range: bytes 0-4/5"}, spec.Malformed},
		{"PUT", "/o/b3:bad", []string{"Content-Length: 5"}, spec.Malformed},
		{"POST", "/nowhere", []string{"Content-Length: 5"}, spec.NoRoute},
		{"PATCH", "/put", []string{"Content-Length: 5"}, spec.MethodNotAllowed},
	} {
		raw := t.Raw()
		raw.Head(bad.method, bad.path, append(bad.headers, "Expect: 100-continue")...)
		t.Refuses(raw.Response(bad.method), bad.reason)
	}
}

func httpRefusedHead(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	refusals := []struct {
		method, path string
		headers      []string
		reason       spec.Reason
	}{
		{"POST", "/put", []string{"Content-Length: 1048577"}, spec.Oversize},
		{"POST", "/put", []string{"Content-Length: 100000", "Content-Encoding: br"}, spec.UnsupportedEncoding},
		{"PUT", "/o/b3:bad", []string{"Content-Length: 100000"}, spec.Malformed},
		{"POST", "/nowhere", []string{"Content-Length: 100000"}, spec.NoRoute},
		{"PATCH", "/put", []string{"Transfer-Encoding: chunked"}, spec.MethodNotAllowed},
	}
	t.Each(len(refusals), func(i int) {
		bad := refusals[i]
		// No byte of the body is sent, so an answer can only come from the head.
		raw := t.Raw()
		raw.Head(bad.method, bad.path, bad.headers...)
		r := raw.Response(bad.method)
		t.Refuses(r, bad.reason)
		if r.Close { // at once, or when the time for the body is over
			raw.ClosedWithin(t.Within(spec.RequestTimeout))
			return
		}
		// The connection claims to live: then the body is read, and the next request gets its own answer.
		if strings.HasPrefix(bad.headers[0], "Transfer") {
			raw.Write(chunked(make([]byte, 1000), 1000) + "0\r\n\r\n")
		} else {
			var n int
			fmt.Sscanf(bad.headers[0], "Content-Length: %d", &n)
			raw.Write(strings.Repeat("x", n))
		}
		raw.Head("GET", "/healthz")
		if r, err := raw.Try(t.Patience(), "GET"); err == nil {
			t.Check(r.Status == 200, "the request behind a dropped body gets %d", r.Status)
		}
	})
}

func httpNoSmuggling(t *T) {
	data := t.Bytes(40)
	t.Owe(AddressOf(data))
	head := append([]string{"PUT " + Object(AddressOf(data)) + " HTTP/1.1", "Host: " + t.base.Host, fmt.Sprintf("Content-Length: %d", len(data))}, authorized(t.cap, nil)...)
	hidden := strings.Join(head, "\r\n") + "\r\n\r\n" + string(data)
	t.Control(func() {
		raw := t.Raw()
		raw.Write(hidden)
		t.Want(raw.Response("PUT"), 201)
		t.Want(t.Do(Request{Method: "DELETE", Path: Object(AddressOf(data))}), 204)
	})
	chunk := chunked([]byte(hidden), len(hidden)) + "0\r\n\r\n"
	for _, x := range []struct{ method, path, header, body string }{
		{"POST", "/nowhere", fmt.Sprintf("Content-Length: %d", len(hidden)), hidden},
		{"PATCH", "/put", fmt.Sprintf("Content-Length: %d", len(hidden)), hidden},
		{"PUT", "/o/b3:bad", "Transfer-Encoding: chunked", chunk},
		{"POST", "/nowhere", "Transfer-Encoding: chunked", "zz\r\n" + hidden},
		{"POST", "/put", "Transfer-Encoding: chunked", "zz\r\n" + hidden},
		{"POST", "/put", "Transfer-Encoding: chunked", "1\r\nx\r\nzz\r\n" + hidden},
		{"GET", "/healthz", fmt.Sprintf("Content-Length: %d", len(hidden)), hidden},
		{"GET", "/nowhere", "Transfer-Encoding: chunked", chunk},
	} {
		raw := t.Raw()
		raw.Head(x.method, x.path, x.header)
		raw.Write(x.body)
		raw.CloseWrite()
		for range 3 { // the answer, and whatever else the node makes of it
			r, err := raw.Try(t.Patience(), x.method)
			if err != nil {
				break
			}
			t.Check(r.Status != 201, "%s %s: a request inside its body was carried out", x.method, x.path)
		}
		t.Misses(AddressOf(data))
	}
}

func httpCodedETag(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(500)
	for coding, body := range map[string][]byte{"gzip": gzipped(data), "zstd": zstdFrame(zwindow128K, -1, zstored(data)...)} {
		t.Owe(AddressOf(data))
		r := t.Want(t.Do(Request{Method: "POST", Path: "/put", Headers: []string{"Content-Encoding: " + coding}, Body: body}), 200, 201)
		t.Acknowledges(r, AddressOf(data))
		t.Check(len(r.Header.Values("Etag")) == 0, "the answer to a %s upload has ETag %q", coding, r.Header.Get("Etag"))
	}
}
