package conformance

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/rustyonions/micronode/spec"
)

// httpGetCases are about HTTP-GET and HTTP-DEL: reading and conditions.
func httpGetCases() []Case {
	return []Case{
		{ID: "http-get", Rules: []string{"HTTP-GET-001", "HTTP-GET-002", "HTTP-GET-003"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "GET gives the bytes with length, type, strong ETag and Accept-Ranges.",
			Run:         httpGet},
		{ID: "http-head", Rules: []string{"HTTP-GET-004"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "HEAD of every route with GET has the status and headers of the GET, no body, and knows no ranges.",
			Run:         httpHead},
		{ID: "http-missing", Rules: []string{"HTTP-GET-005", "CAS-GET-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "GET, HEAD and DELETE of what is not stored are 404 not_found, whatever the conditions.",
			Run:         httpMissing},
		{ID: "http-if-none-match", Rules: []string{"HTTP-GET-008", "HTTP-GET-010", "HTTP-GET-002"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "If-None-Match is compared weakly, in lists and over several headers, and ignored where it can not be read.",
			Run:         httpIfNoneMatch},
		{ID: "http-condition-before-range", Rules: []string{"HTTP-GET-009"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A matching If-None-Match wins over any Range.",
			Run:         httpConditionBeforeRange},
		{ID: "http-other-conditions", Rules: []string{"HTTP-GET-011", "HTTP-GET-014"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "If-Match, the two dates, and If-None-Match on uploads and deletes change nothing.",
			Run:         httpOtherConditions},
		{ID: "http-accept-encoding", Rules: []string{"HTTP-GET-012"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A very compressible object comes as it is, whatever Accept-Encoding asks for.",
			Run:         httpAcceptEncoding},
		{ID: "http-large", Rules: []string{"HTTP-GET-013"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "An object of 5 MiB that came over OAP/1 is read over HTTP, whole and in parts.",
			Run:         httpLarge},
		{ID: "http-delete", Rules: []string{"HTTP-DEL-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "DELETE answers 204 without a body, and the object is gone.",
			Run:         httpDelete},
	}
}

func httpGet(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	for _, n := range []int{30, 5000, 200_000} {
		data := t.Bytes(n)
		t.Upload(data)
		r := t.Want(t.Get(Object(AddressOf(data))), 200)
		t.Check(bytes.Equal(r.Body, data), "GET gives other bytes")
		t.Check(r.Length() == int64(n), "Content-Length is %d, want %d", r.Length(), n)
		t.Check(r.Header.Get("Content-Type") == "application/octet-stream", "Content-Type is %q", r.Header.Get("Content-Type"))
		t.Check(r.Header.Get("Etag") == `"`+AddressOf(data).String()+`"`, "ETag is %q", r.Header.Get("Etag"))
		t.Check(r.Header.Get("Accept-Ranges") == "bytes", "Accept-Ranges is %q", r.Header.Get("Accept-Ranges"))
		t.Check(r.Header.Get("Content-Encoding") == "", "Content-Encoding is %q", r.Header.Get("Content-Encoding"))
	}
}

func httpHead(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(4321)
	t.Upload(data)
	path := Object(AddressOf(data))
	for _, p := range []string{path, "/healthz", "/readyz", "/version", Object(t.Absent()), "/o/b3:bad", "/nowhere"} {
		// /metrics is left out: its length may differ from one moment to the next.
		g, h := t.Get(p), t.Do(Request{Method: "HEAD", Path: p})
		t.Check(h.Status == g.Status, "HEAD %s is %d where GET is %d", p, h.Status, g.Status)
		t.Check(len(h.Body) == 0, "HEAD %s has a body", p)
		for name := range g.Header {
			switch name {
			case "Date", "X-Corr-Id":
			case "Content-Length":
				// Problems carry the correlation id, which has any length.
				t.Check(h.Length() == g.Length() || g.Status >= 400, "HEAD %s has Content-Length %d where GET has %d", p, h.Length(), g.Length())
			default:
				t.Check(slices.Equal(h.Header[name], g.Header[name]), "HEAD %s has %s %q where GET has %q", p, name, h.Header[name], g.Header[name])
			}
		}
	}
	r := t.Want(t.Do(Request{Method: "HEAD", Path: path, Headers: []string{"Range: bytes=0-0"}}), 200)
	t.Check(r.Length() == 4321 && r.Header.Get("Content-Range") == "", "HEAD with Range: %v", r.Header)
	r = t.Want(t.Do(Request{Method: "HEAD", Path: path, Headers: []string{"Range: bytes=9999-"}}), 200)
	t.Check(r.Length() == 4321, "HEAD with a Range beyond the end: %v", r.Header)
	r = t.Do(Request{Method: "HEAD", Path: path, Headers: []string{`If-None-Match: *`}})
	t.Check(r.Status == 304, "HEAD with a matching If-None-Match is %d", r.Status)
}

func httpMissing(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(100)
	path := Object(AddressOf(data))
	for _, headers := range [][]string{nil, {"If-None-Match: *"}, {"Range: bytes=0-0"}, {"If-Match: *"}} {
		t.Refuses(t.Get(path, headers...), spec.NotFound)
		r := t.Do(Request{Method: "HEAD", Path: path, Headers: headers})
		t.Check(r.Status == 404 && len(r.Body) == 0, "HEAD is %d with %d bytes of body", r.Status, len(r.Body))
		t.Refuses(t.Do(Request{Method: "DELETE", Path: path, Headers: headers}), spec.NotFound)
		t.Check(t.Upload(data), "what was missing is said to be stored already")
		t.Serves(data)
		t.Want(t.Do(Request{Method: "DELETE", Path: path}), 204)
	}
}

func httpIfNoneMatch(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(700)
	t.Upload(data)
	path, tag := Object(AddressOf(data)), AddressOf(data).String()
	q := func(s string) string { return `"` + s + `"` }
	for _, c := range []struct {
		headers []string
		status  int
	}{
		{[]string{q(tag)}, 304},
		{[]string{"W/" + q(tag)}, 304},
		{[]string{"*"}, 304},
		{[]string{q("x") + ", " + q(tag)}, 304},
		{[]string{q("x") + `,W/"y",` + "W/" + q(tag) + `,"z"`}, 304},
		{[]string{q("x"), q(tag)}, 304},
		{[]string{q("a,b") + " , " + q(tag)}, 304},
		{[]string{q("x")}, 200},
		{[]string{q(tag + "0")}, 200},
		{[]string{q("b3:" + AddressOf(data[1:]).String()[3:])}, 200},
		{[]string{tag}, 200},           // not quoted
		{[]string{"w/" + q(tag)}, 200}, // W is upper case
		{[]string{`"` + tag}, 200},
		{[]string{q(tag) + " " + q("x")}, 200}, // no comma
		{[]string{q("x") + " junk, " + q(tag)}, 200},
		{[]string{"*, " + q(tag)}, 200},
		{[]string{""}, 200},
	} {
		var headers []string
		for _, h := range c.headers {
			headers = append(headers, "If-None-Match: "+h)
		}
		for _, method := range []string{"GET", "HEAD"} {
			r := t.Do(Request{Method: method, Path: path, Headers: headers})
			t.Check(r.Status == c.status, "%s with If-None-Match %q is %d, want %d", method, c.headers, r.Status, c.status)
			t.Check(r.Header.Get("Etag") == q(tag), "a %d has ETag %q", r.Status, r.Header.Get("Etag"))
			if method == "GET" && r.Status == 200 {
				t.Check(bytes.Equal(r.Body, data), "GET gives other bytes")
			}
			if r.Status == 304 {
				t.Check(len(r.Body) == 0, "a 304 has a body")
			}
		}
	}
}

func httpConditionBeforeRange(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(700)
	t.Upload(data)
	path, tag := Object(AddressOf(data)), `"`+AddressOf(data).String()+`"`
	for _, ranged := range []string{"bytes=0-9", "bytes=9999-", "bytes=-0", "junk"} {
		r := t.Get(path, "Range: "+ranged, "If-None-Match: "+tag)
		t.Check(r.Status == 304 && r.Header.Get("Content-Range") == "", "a matching If-None-Match with Range %s is %d", ranged, r.Status)
	}
	r := t.Want(t.Get(path, "Range: bytes=0-9", `If-None-Match: "x"`), 206)
	t.Check(bytes.Equal(r.Body, data[:10]), "the part is wrong")
}

func httpOtherConditions(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(300)
	path, tag := Object(AddressOf(data)), `"`+AddressOf(data).String()+`"`
	never := []string{
		`If-Match: "other"`,
		"If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT",
		"If-Unmodified-Since: Sat, 01 Jan 2000 00:00:00 GMT",
	}
	t.Check(t.Upload(data, never...), "the upload is not new")
	for _, h := range never {
		r := t.Want(t.Get(path, h), 200)
		t.Check(bytes.Equal(r.Body, data), "GET with %s gives other bytes", h)
	}
	for _, inm := range []string{"If-None-Match: *", "If-None-Match: " + tag} {
		t.Check(!t.Upload(data, inm), "a put with %s is new", inm)
		t.Want(t.Do(Request{Method: "PUT", Path: path, Headers: []string{inm}, Body: data}), 200)
		t.Want(t.Do(Request{Method: "DELETE", Path: path, Headers: []string{inm}}), 204)
		t.Misses(AddressOf(data))
		t.Check(t.Upload(data, inm), "a put after a delete is not new")
	}
	t.Want(t.Do(Request{Method: "DELETE", Path: path, Headers: never}), 204)
}

func httpAcceptEncoding(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := append(t.Bytes(32), bytes.Repeat([]byte("compress me "), 10_000)...)
	t.Upload(data)
	for _, ae := range []string{"gzip", "zstd, gzip", "*", "br;q=1.0, identity;q=0", "identity;q=0, *;q=0", "junk"} {
		r := t.Want(t.Get(Object(AddressOf(data)), "Accept-Encoding: "+ae), 200)
		t.Check(r.Header.Get("Content-Encoding") == "" && bytes.Equal(r.Body, data), "with Accept-Encoding %s the object comes in coding %q", ae, r.Header.Get("Content-Encoding"))
	}
}

func httpLarge(t *T) {
	t.Control(func() {
		t.Hello().RoundTrip()
		t.HTTPRoundTrip()
	})
	data := t.Bytes(5<<20 + 123)
	addr, _ := t.Hello().Put(data)
	t.Serves(data)
	for _, at := range []int{0, spec.MaxChunk - 5, 1<<20 - 5, 4 << 20} {
		r := t.Want(t.Get(Object(addr), fmt.Sprintf("Range: bytes=%d-%d", at, at+99_999)), 206)
		t.Check(bytes.Equal(r.Body, data[at:at+100_000]), "the part from %d is wrong", at)
	}
	t.Refuses(t.Do(Request{Method: "PUT", Path: Object(addr), Body: data}), spec.Oversize)
}

func httpDelete(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(60)
	t.Upload(data)
	r := t.Want(t.Do(Request{Method: "DELETE", Path: Object(AddressOf(data))}), 204)
	t.Check(len(r.Body) == 0 && len(r.Header.Values("Content-Length")) == 0, "a 204 has %d bytes of body and Content-Length %q", len(r.Body), r.Header.Get("Content-Length"))
	t.Misses(AddressOf(data))
	t.Check(t.Upload(data), "a put after a delete is not new")
}

// httpRangeCases are about HTTP-RNG.
func httpRangeCases() []Case {
	return []Case{
		{ID: "http-ranges", Rules: []string{"HTTP-RNG-001", "HTTP-RNG-002", "HTTP-RNG-003"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Single ranges, open and suffix ones too, give 206, the right bytes and the right Content-Range.",
			Run:         httpRanges},
		{ID: "http-range-beyond", Rules: []string{"HTTP-RNG-004"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Ranges that begin behind the end, and bytes=-0, are 416 with the length.",
			Run:         httpRangeBeyond},
		{ID: "http-range-ignored", Rules: []string{"HTTP-RNG-005"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Malformed, multiple, foreign and repeated ranges give the whole object.",
			Run:         httpRangeIgnored},
		{ID: "http-if-range", Rules: []string{"HTTP-RNG-006"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Range counts with exactly the strong ETag in If-Range, and with nothing else there.",
			Run:         httpIfRange},
	}
}

func httpRanges(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(100_000)
	size := len(data)
	t.Upload(data)
	for ranged, want := range map[string][2]int{
		"0-0": {0, 0}, "0-99": {0, 99}, "1-1": {1, 1}, "65535-65536": {65535, 65536}, "99999-99999": {99999, 99999},
		"0-": {0, 99999}, "99999-": {99999, 99999}, "500-": {500, 99999}, "0-99999": {0, 99999},
		"99990-200000": {99990, 99999}, "5-99999999999999999999": {5, 99999},
		"-1": {99999, 99999}, "-100": {99900, 99999}, "-100000": {0, 99999}, "-999999": {0, 99999}, "-99999999999999999999": {0, 99999},
		"007-010": {7, 10},
	} {
		r := t.Want(t.Get(Object(AddressOf(data)), "Range: bytes="+ranged), 206)
		t.Check(bytes.Equal(r.Body, data[want[0]:want[1]+1]), "bytes=%s gives %d bytes, want %d to %d", ranged, len(r.Body), want[0], want[1])
		cr := fmt.Sprintf("bytes %d-%d/%d", want[0], want[1], size)
		t.Check(r.Header.Get("Content-Range") == cr, "bytes=%s gives Content-Range %q, want %q", ranged, r.Header.Get("Content-Range"), cr)
		t.Check(r.Header.Get("Etag") == `"`+AddressOf(data).String()+`"`, "a 206 has ETag %q", r.Header.Get("Etag"))
	}
}

func httpRangeBeyond(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(1000)
	t.Upload(data)
	for _, ranged := range []string{"1000-", "1000-1000", "1001-2000", "99999999999999999999-", "-0"} {
		r := t.Get(Object(AddressOf(data)), "Range: bytes="+ranged)
		t.Refuses(r, spec.BadRange)
		t.Check(r.Header.Get("Content-Range") == "bytes */1000", "bytes=%s gives Content-Range %q", ranged, r.Header.Get("Content-Range"))
	}
}

func httpRangeIgnored(t *T) {
	t.Control(func() {
		t.HTTPRoundTrip()
		data := t.Bytes(40)
		t.Upload(data)
		t.Want(t.Get(Object(AddressOf(data)), "Range: bytes=0-0"), 206)
	})
	data := t.Bytes(1000)
	t.Upload(data)
	for _, headers := range [][]string{
		{"bytes=0-0,2-2"}, {"bytes=0-0, -1"}, {"bytes=5-4"}, {"bytes="}, {"bytes=-"}, {"bytes=a-b"}, {"bytes=1"}, {"0-0"},
		{"items=0-0"}, {"bytes 0-0"}, {"bytes=0-0x"}, {"bytes=+1-2"}, {"bytes=0--1"}, {"bytes=--1"}, {"bytes=0-0;q=1"}, {"junk"},
		{"bytes=0-0", "bytes=1-1"}, {"bytes=0-0", "bytes=0-0"},
	} {
		var list []string
		for _, h := range headers {
			list = append(list, "Range: "+h)
		}
		r := t.Want(t.Get(Object(AddressOf(data)), list...), 200)
		t.Check(bytes.Equal(r.Body, data) && r.Header.Get("Content-Range") == "", "Range %q gives %d bytes", headers, len(r.Body))
	}
}

func httpIfRange(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(1000)
	t.Upload(data)
	path, tag := Object(AddressOf(data)), `"`+AddressOf(data).String()+`"`
	r := t.Want(t.Get(path, "Range: bytes=10-19", "If-Range: "+tag), 206)
	t.Check(bytes.Equal(r.Body, data[10:20]), "the part is wrong")
	t.Refuses(t.Get(path, "Range: bytes=1000-", "If-Range: "+tag), spec.BadRange)
	for _, value := range []string{"W/" + tag, `"other"`, AddressOf(data).String(), "*", "Fri, 01 Jan 2100 00:00:00 GMT", tag + `, "x"`} {
		for _, ranged := range []string{"bytes=10-19", "bytes=1000-"} {
			r := t.Want(t.Get(path, "Range: "+ranged, "If-Range: "+value), 200)
			t.Check(bytes.Equal(r.Body, data), "If-Range %s gives %d bytes", value, len(r.Body))
		}
	}
}
