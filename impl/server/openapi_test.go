package server

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
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
	reader := mint(t, n, 0, spec.Reader.Ops()).Text()
	nobody, stranger := []string{"Authorization", "Macaroon nonsense"}, []string{"Authorization", "Macaroon " + reader}
	verifyMe := fmt.Appendf(nil, `{"token":"%s","op":"get","path":"/o/x"}`, reader)
	revokeMe := []byte(`{"id":"00000000000000000000000000000000"}`)
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
		{"POST", "/put", b, nobody, 401},
		{"POST", "/put", b, stranger, 403},
		{"PUT", a, b, nobody, 401},
		{"PUT", a, b, stranger, 403},
		{"GET", a, nil, nobody, 401},
		{"HEAD", a, nil, nobody, 401},
		{"DELETE", a, nil, nobody, 401},
		{"DELETE", a, nil, stranger, 403},
		{"POST", "/v1/passport/issue", []byte(`{"role":"reader"}`), nil, 200},
		{"POST", "/v1/passport/issue", []byte(`{}`), nil, 400},
		{"POST", "/v1/passport/issue", []byte(`{}`), nobody, 401},
		{"POST", "/v1/passport/issue", []byte(`{}`), stranger, 403},
		{"POST", "/v1/passport/verify", verifyMe, nil, 200},
		{"POST", "/v1/passport/verify", []byte(`{"token":"","op":"get","path":"/o/x"}`), nil, 200},
		{"POST", "/v1/passport/verify", []byte(`[]`), nil, 400},
		{"POST", "/v1/passport/verify", verifyMe, nobody, 401},
		{"POST", "/v1/passport/verify", verifyMe, stranger, 403},
		{"POST", "/v1/passport/revoke", revokeMe, nil, 200},
		{"POST", "/v1/passport/revoke", []byte(`{"key_id":"0000000000000000"}`), nil, 404},
		{"POST", "/v1/passport/revoke", []byte(`{"id":1}`), nil, 400},
		{"POST", "/v1/passport/revoke", revokeMe, nobody, 401},
		{"POST", "/v1/passport/revoke", revokeMe, stranger, 403},
		{"POST", "/v1/passport/rotate", []byte(`{}`), nil, 200},
		{"POST", "/v1/passport/rotate", []byte(`null`), nil, 400},
		{"POST", "/v1/passport/rotate", []byte(`{}`), nobody, 401},
		{"POST", "/v1/passport/rotate", []byte(`{}`), stranger, 403},
		{"GET", "/admin/audit/checkpoint", nil, nil, 200},
		{"HEAD", "/admin/audit/checkpoint", nil, nil, 200},
		{"GET", "/admin/audit/checkpoint", nil, nobody, 401},
		{"HEAD", "/admin/audit/checkpoint", nil, stranger, 403},
		{"GET", "/admin/audit/export", nil, nil, 200},
		{"HEAD", "/admin/audit/export", nil, nil, 200},
		{"GET", "/admin/audit/export", nil, stranger, 403},
		{"HEAD", "/admin/audit/export", nil, nobody, 401},
		{"GET", "/admin/audit/inclusion/0/2", nil, nil, 200},
		{"HEAD", "/admin/audit/inclusion/0/2", nil, nil, 200},
		{"GET", "/admin/audit/inclusion/0/999999", nil, nil, 404},
		{"GET", "/admin/audit/inclusion/0/2", nil, nobody, 401},
		{"GET", "/admin/audit/inclusion/0/2", nil, stranger, 403},
		{"GET", "/admin/audit/consistency/0/2", nil, nil, 200},
		{"HEAD", "/admin/audit/consistency/0/2", nil, nil, 200},
		{"GET", "/admin/audit/consistency/2/999999", nil, nil, 404},
		{"GET", "/admin/audit/consistency/0/2", nil, nobody, 401},
		{"GET", "/admin/audit/consistency/0/2", nil, stranger, 403},
		{"POST", "/admin/audit/acknowledge/1", nil, nil, 501}, // this node drops by age (HTTP-ADM-004)
		{"POST", "/admin/audit/acknowledge/1", nil, nobody, 401},
		{"POST", "/admin/audit/acknowledge/1", nil, stranger, 403},
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
	if resp, _ := call(t, n, "GET", "/admin/audit/inclusion/00/2", nil); resp.StatusCode != http.StatusBadRequest {
		t.Errorf("an index that is no number: %d", resp.StatusCode)
	}
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if !seen[method+" "+path] {
				t.Errorf("%s %s is documented and was not exercised", method, path)
			}
		}
	}
	for rt := healthz; rt < oapStream; rt++ {
		for _, method := range rt.methods() {
			if !seen[method+" "+routes[rt].name] {
				t.Errorf("%s %s is served and not documented", method, routes[rt].name)
			}
		}
	}
}
