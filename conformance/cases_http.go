package conformance

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/rustyonions/micronode/spec"
)

// route is one row of the table in http.md, with its methods.
type route struct {
	path    string
	methods []string
}

func routes(t *T) []route {
	get := []string{"GET", "HEAD"}
	return []route{
		{"/healthz", get}, {"/readyz", get}, {"/metrics", get}, {"/version", get},
		{"/put", []string{"POST"}},
		{Object(t.Absent()), []string{"DELETE", "GET", "HEAD", "PUT"}},
	}
}

// httpSurfaceCases are about HTTP-SUR: routes, methods, paths and what every answer carries.
func httpSurfaceCases() []Case {
	return []Case{
		{ID: "http-routes", Rules: []string{"HTTP-SUR-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Every documented route and method is served.",
			Run:         httpRoutes},
		{ID: "http-no-route", Rules: []string{"HTTP-SUR-002", "HTTP-SUR-004"}, Level: spec.Must, Profile: ProfileMicronode,
			Description: "Paths beside the routes, by a slash, a dot, a case or a prefix, are 404 no_route and never a redirect.",
			Run:         httpNoRoute},
		{ID: "http-methods", Rules: []string{"HTTP-SUR-003"}, Level: spec.Must, Profile: ProfileMicronode,
			Description: "Methods that a route does not have are 405 with an Allow of exactly those it has.",
			Run:         httpMethods},
		{ID: "http-query", Rules: []string{"HTTP-SUR-006"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A query string changes nothing, whatever it says.",
			Run:         httpQuery},
		{ID: "http-persistent", Rules: []string{"HTTP-SUR-007"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "One connection serves many requests, also when they are pipelined in one write.",
			Run:         httpPersistent},
		{ID: "http-every-answer", Rules: []string{"HTTP-SUR-008", "HTTP-SUR-009", "HTTP-SUR-010", "HTTP-COR-003"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Answers of every route and every kind carry no-store, nosniff and a correlation id, and no permission for other origins.",
			Run:         httpEveryAnswer},
	}
}

func httpRoutes(t *T) {
	data := t.Bytes(300)
	t.Control(func() { t.HTTPRoundTrip() })
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/version"} {
		g := t.Want(t.Get(path), 200)
		t.Check(len(g.Body) > 0, "GET %s has no body", path)
		h := t.Want(t.Do(Request{Method: "HEAD", Path: path}), 200)
		t.Check(len(h.Body) == 0, "HEAD %s has a body", path)
	}
	t.Check(t.Upload(data), "new bytes are said to be stored already")
	path := Object(AddressOf(data))
	t.Serves(data)
	h := t.Want(t.Do(Request{Method: "HEAD", Path: path}), 200)
	t.Check(h.Length() == 300 && len(h.Body) == 0, "HEAD says %d bytes and has %d", h.Length(), len(h.Body))
	t.Want(t.Do(Request{Method: "PUT", Path: path, Body: data}), 200)
	t.Want(t.Do(Request{Method: "DELETE", Path: path}), 204)
	t.Want(t.Do(Request{Method: "PUT", Path: path, Body: data}), 201)
	t.Serves(data)
}

func httpNoRoute(t *T) {
	t.Control(func() {
		t.Want(t.Get("/healthz"), 200)
		t.Refuses(t.Get(Object(t.Absent())), spec.NotFound)
	})
	absent := t.Absent().String()
	for _, path := range []string{
		"/", "/healthz/", "//healthz", "/./healthz", "/x/../healthz", "/Healthz", "/healthz%2F", "/%2e/healthz", "/health",
		"/put/", "/Put", "/puts", "/o", "/o/" + absent + "/", "/o/" + absent + "/x", "//o/" + absent, "/o//" + absent,
		"/x/../o/" + absent, "/O/" + absent, "/v1/o/" + absent, "/index.html", "/.well-known/security.txt", "/debug/pprof/", "/admin",
	} {
		t.Refuses(t.Get(path), spec.NoRoute)
	}
	t.Refuses(t.Do(Request{Method: "POST", Path: "/nowhere", Body: []byte("x")}), spec.NoRoute)
	t.Refuses(t.Do(Request{Method: "BREW", Path: "/pot"}), spec.NoRoute)
}

func httpMethods(t *T) {
	t.Control(func() { t.Want(t.Get("/version"), 200) })
	for _, r := range routes(t) {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW", "get"} {
			if slices.Contains(r.methods, method) {
				continue
			}
			resp := t.Do(Request{Method: method, Path: r.path})
			if method == "HEAD" {
				t.Check(resp.Status == 405, "HEAD %s is %d", r.path, resp.Status)
			} else {
				t.Refuses(resp, spec.MethodNotAllowed)
			}
			var allow []string
			for name := range strings.SplitSeq(resp.Header.Get("Allow"), ",") {
				allow = append(allow, strings.TrimSpace(name))
			}
			slices.Sort(allow)
			t.Check(slices.Equal(allow, r.methods), "Allow of %s %s is %v, want %v", method, r.path, allow, r.methods)
		}
	}
}

func httpQuery(t *T) {
	data := t.Bytes(100)
	path := Object(AddressOf(data))
	t.Control(func() { t.HTTPRoundTrip() })
	t.Owe(AddressOf(data))
	r := t.Want(t.Do(Request{Method: "POST", Path: "/put?delete=1&total_len=5", Body: data}), 201)
	t.Acknowledges(r, AddressOf(data))
	for _, q := range []string{"?", "?x", "?offset=5&len=1", "?a=%zz", "?;;&&", "?" + path} {
		r := t.Want(t.Get(path+q), 200)
		t.Check(AddressOf(r.Body) == AddressOf(data), "GET with %q gives other bytes", q)
		t.Want(t.Get("/healthz"+q), 200)
	}
	t.Refuses(t.Get("/nowhere?/healthz"), spec.NoRoute)
	t.Want(t.Do(Request{Method: "DELETE", Path: path + "?keep=true"}), 204)
	t.Misses(AddressOf(data))
}

func httpPersistent(t *T) {
	data := t.Bytes(500)
	t.Control(func() {
		t.HTTPRoundTrip()
		t.Upload(data)
	})
	raw := t.Raw()
	path := Object(AddressOf(data))
	for range 5 {
		raw.Head("GET", path)
		r := raw.Response("GET")
		t.Check(r.Status == 200 && AddressOf(r.Body) == AddressOf(data), "status %d", r.Status)
		raw.Head("GET", Object(t.Absent()))
		r = raw.Response("GET")
		t.Refuses(r, spec.NotFound)
		t.Check(!r.Close, "an ordinary 404 closes the connection")
	}
	host := "Host: " + t.base.Host + "\r\n\r\n"
	t.take(3)
	host = strings.TrimSuffix(host, "\r\n") + strings.Join(authorized(t.cap, nil), "") + "\r\n\r\n"
	raw.Write("GET /healthz HTTP/1.1\r\n" + host + "HEAD " + path + " HTTP/1.1\r\n" + host + "GET " + path + " HTTP/1.1\r\n" + host)
	t.Want(raw.Response("GET"), 200)
	t.Want(raw.Response("HEAD"), 200)
	r := t.Want(raw.Response("GET"), 200)
	t.Check(AddressOf(r.Body) == AddressOf(data), "the third of three pipelined requests gives other bytes")
}

var corrForm = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func httpEveryAnswer(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(50)
	path := Object(AddressOf(data))
	t.Owe(AddressOf(data))
	etag := `"` + AddressOf(data).String() + `"`
	for _, x := range []struct {
		r      Request
		status int
	}{
		{Request{Method: "GET", Path: "/healthz"}, 200},
		{Request{Method: "GET", Path: "/readyz"}, 200},
		{Request{Method: "HEAD", Path: "/metrics"}, 200},
		{Request{Method: "GET", Path: "/version"}, 200},
		{Request{Method: "POST", Path: "/put", Body: data}, 201},
		{Request{Method: "POST", Path: "/put", Body: data}, 200},
		{Request{Method: "GET", Path: path}, 200},
		{Request{Method: "HEAD", Path: path}, 200},
		{Request{Method: "GET", Path: path, Headers: []string{"Range: bytes=1-2"}}, 206},
		{Request{Method: "GET", Path: path, Headers: []string{"If-None-Match: " + etag}}, 304},
		{Request{Method: "GET", Path: path, Headers: []string{"Range: bytes=99-"}}, 416},
		{Request{Method: "GET", Path: "/o/b3:short"}, 400},
		{Request{Method: "GET", Path: Object(t.Absent())}, 404},
		{Request{Method: "GET", Path: "/nowhere"}, 404},
		{Request{Method: "PATCH", Path: path}, 405},
		{Request{Method: "PUT", Path: Object(t.Absent()), Body: data}, 409},
		{Request{Method: "POST", Path: "/put", Body: make([]byte, spec.MaxBody+1)}, 413},
		{Request{Method: "POST", Path: "/put", Body: data, Headers: []string{"Content-Encoding: br"}}, 415},
		{Request{Method: "GET", Path: path, Headers: []string{"Origin: http://elsewhere.example"}}, 200},
		{Request{Method: "OPTIONS", Path: path, Headers: []string{"Origin: http://elsewhere.example", "Access-Control-Request-Method: PUT"}}, 405},
		{Request{Method: "DELETE", Path: path}, 204},
	} {
		resp := t.Do(x.r)
		what := fmt.Sprintf("%s %s (%d)", x.r.Method, x.r.Path, resp.Status)
		t.Check(resp.Status == x.status, "%s, want %d", what, x.status)
		everyAnswer(t, what, resp.Header)
	}
}

// everyAnswer checks what HTTP-SUR-008 to 010 and HTTP-COR-003 demand of every answer.
func everyAnswer(t *T, what string, h http.Header) {
	t.Check(h.Get("Cache-Control") == "no-store", "%s has Cache-Control %q", what, h.Get("Cache-Control"))
	t.Check(h.Get("X-Content-Type-Options") == "nosniff", "%s has X-Content-Type-Options %q", what, h.Get("X-Content-Type-Options"))
	t.Check(len(h.Values("X-Corr-Id")) == 1 && corrForm.MatchString(h.Get("X-Corr-Id")), "%s has X-Corr-ID %q", what, h.Values("X-Corr-Id"))
	_, cors := h["Access-Control-Allow-Origin"]
	t.Check(!cors, "%s has Access-Control-Allow-Origin", what)
}
