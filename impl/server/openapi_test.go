package server

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/rustyonions/micronode/spec"
)

// HTTP-SUR-011: what the node answers is what openapi.yaml documents, for every operation in it.
func TestOpenAPI(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(spec.OpenAPI())
	if err != nil {
		t.Fatal(err)
	}
	n := start(t, nil)
	doc.Servers = openapi3.Servers{{URL: "http://" + n.HTTPAddr()}}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	b := randomBytes(1000)
	a := "/o/" + address(b).String()
	absent := "/o/" + address(nil).String()
	seen := map[string]bool{}
	for _, c := range []struct {
		method, path string
		body         []byte
		header       []string
		status       int
	}{
		{"GET", "/healthz", nil, nil, 200},
		{"HEAD", "/healthz", nil, nil, 200},
		{"GET", "/readyz", nil, nil, 200},
		{"HEAD", "/readyz", nil, nil, 200},
		{"GET", "/metrics", nil, nil, 200},
		{"HEAD", "/metrics", nil, nil, 200},
		{"GET", "/version", nil, nil, 200},
		{"HEAD", "/version", nil, nil, 200},
		{"POST", "/put", b, nil, 201},
		{"POST", "/put", b, nil, 200},
		{"POST", "/put", make([]byte, spec.MaxBody+1), nil, 413},
		{"POST", "/put", b, []string{"Content-Encoding", "br"}, 415},
		{"POST", "/put", b, []string{"Content-Encoding", "gzip"}, 400},
		{"PUT", a, b, nil, 200},
		{"PUT", a, b[1:], nil, 409},
		{"PUT", absent, nil, nil, 201},
		{"GET", a, nil, nil, 200},
		{"GET", a, nil, []string{"Range", "bytes=0-9"}, 206},
		{"GET", a, nil, []string{"Range", "bytes=9999-"}, 416},
		{"GET", a, nil, []string{"If-None-Match", "*"}, 304},
		{"HEAD", a, nil, nil, 200},
		{"HEAD", a, nil, []string{"If-None-Match", "*"}, 304},
		{"DELETE", a, nil, nil, 204},
		{"DELETE", a, nil, nil, 404},
		{"GET", a, nil, nil, 404},
		{"HEAD", a, nil, nil, 404},
	} {
		resp, body := call(t, n, c.method, c.path, bytes.NewReader(c.body), c.header...)
		if resp.StatusCode != c.status {
			t.Errorf("%s %s %v: %d, want %d", c.method, c.path, c.header, resp.StatusCode, c.status)
			continue
		}
		req, err := http.NewRequest(c.method, "http://"+n.HTTPAddr()+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		route, params, err := router.FindRoute(req)
		if err != nil {
			t.Errorf("%s %s is not documented: %v", c.method, c.path, err)
			continue
		}
		seen[c.method+" "+route.Path] = true
		err = openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
			RequestValidationInput: &openapi3filter.RequestValidationInput{Request: req, PathParams: params, Route: route},
			Status:                 resp.StatusCode,
			Header:                 resp.Header,
			Body:                   io.NopCloser(bytes.NewReader(body)),
			Options:                &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: c.method == "HEAD"},
		})
		if err != nil {
			t.Errorf("%s %s %d: %v", c.method, c.path, c.status, err)
		}
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if !seen[method+" "+path] {
				t.Errorf("%s %s is documented and was not exercised", method, path)
			}
		}
	}
	for rt := healthz; rt < oapStream; rt++ {
		for _, method := range routes[rt].methods {
			if !seen[method+" "+strings.TrimSpace(routes[rt].name)] {
				t.Errorf("%s %s is served and not documented", method, routes[rt].name)
			}
		}
	}
}
