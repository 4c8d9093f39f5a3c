package spec

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

func loadOpenAPI(t *testing.T) *openapi3.T {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(OpenAPI())
	if err != nil {
		t.Fatalf("openapi.yaml does not load: %v", err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatalf("openapi.yaml is not valid: %v", err)
	}
	return doc
}

// answer is one documented answer of one operation.
type answer struct {
	name   string // "GET /o/{addr} 404"
	method string
	path   string
	status int
	value  *openapi3.Response
}

func documentedAnswers(t *testing.T, doc *openapi3.T) []answer {
	t.Helper()
	var all []answer
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			for code, ref := range op.Responses.Map() {
				status, err := strconv.Atoi(code)
				if err != nil {
					t.Fatalf("%s %s: status %q", method, path, code)
				}
				all = append(all, answer{fmt.Sprintf("%s %s %d", method, path, status), method, path, status, ref.Value})
			}
		}
	}
	return all
}

// The routes and methods are those of the table in http.md (HTTP-SUR-001).
func TestOpenAPIRoutes(t *testing.T) {
	want := map[string]string{
		"/healthz": "GET HEAD", "/readyz": "GET HEAD", "/metrics": "GET HEAD", "/version": "GET HEAD",
		"/put": "POST", "/o/{addr}": "DELETE GET HEAD PUT",
		"/v1/passport/issue": "POST", "/v1/passport/verify": "POST", "/v1/passport/revoke": "POST", "/v1/passport/rotate": "POST",
		"/admin/audit/checkpoint": "GET HEAD", "/admin/audit/export": "GET HEAD", "/admin/audit/inclusion/{index}/{size}": "GET HEAD",
		"/admin/audit/consistency/{old}/{new}": "GET HEAD", "/admin/audit/acknowledge/{size}": "POST",
	}
	doc := loadOpenAPI(t)
	if len(doc.Paths.Map()) != len(want) {
		t.Errorf("%d paths, want %d", len(doc.Paths.Map()), len(want))
	}
	for path, methods := range want {
		item := doc.Paths.Value(path)
		if item == nil {
			t.Errorf("no path %s", path)
			continue
		}
		var got []string
		for m := range item.Operations() {
			got = append(got, m)
		}
		slices.Sort(got)
		if strings.Join(got, " ") != methods {
			t.Errorf("%s has %v, want %s", path, got, methods)
		}
	}
}

// Every answer has the headers and the body that the rules on all answers demand.
func TestOpenAPIAnswers(t *testing.T) {
	doc := loadOpenAPI(t)
	problem := doc.Components.Schemas["Problem"].Value
	for _, a := range documentedAnswers(t, doc) {
		for _, h := range []string{"X-Corr-ID", "Cache-Control", "X-Content-Type-Options"} {
			if a.value.Headers[h] == nil || !a.value.Headers[h].Value.Required {
				t.Errorf("%s: %s is not required", a.name, h)
			}
		}
		mayRetry := a.status == http.StatusTooManyRequests || a.status == http.StatusServiceUnavailable
		if has := a.value.Headers["Retry-After"] != nil; has != mayRetry {
			t.Errorf("%s: Retry-After is %t (ADM-RTY-001, ADM-RTY-002)", a.name, has)
		}
		body := a.value.Content
		switch {
		case a.method == http.MethodHead || a.status == http.StatusNoContent || a.status == http.StatusNotModified:
			if len(body) > 0 {
				t.Errorf("%s has a body", a.name)
			}
		case a.status >= 400 && a.name != "GET /readyz 503":
			media := body["application/problem+json"]
			if len(body) != 1 || media == nil || media.Schema.Value != problem {
				t.Errorf("%s is no problem (HTTP-ERR-001)", a.name)
			}
		default:
			if len(body) != 1 || body["application/problem+json"] != nil {
				t.Errorf("%s has the wrong body", a.name)
			}
		}
	}
}

// reachable lists the reasons that the rules of the areas behind HTTP name; sure leaves out planned rules.
func reachable(t *testing.T) (sure, possible map[Reason]bool) {
	t.Helper()
	planned, err := Planned()
	if err != nil {
		t.Fatal(err)
	}
	sure, possible = map[Reason]bool{}, map[Reason]bool{}
	for _, r := range loadLaw(t).Rules() {
		if r.Reason == None || r.Area == "OAP" || r.Area == "CAP" {
			continue
		}
		if r.Area == "DIV" && r.Reason == BadFlags { // a rule about frames
			continue
		}
		possible[r.Reason] = true
		if planned[r.ID] == "" {
			sure[r.Reason] = true
		}
	}
	return sure, possible
}

// The reasons in the problem schema and the statuses in the document follow from the rules.
func TestOpenAPIReasons(t *testing.T) {
	doc := loadOpenAPI(t)
	listed := map[Reason]bool{}
	for _, v := range doc.Components.Schemas["Problem"].Value.Properties["reason"].Value.Enum {
		r := Reason(v.(string))
		if !r.Known() {
			t.Errorf("%q is no reason", r)
		}
		listed[r] = true
	}
	sure, possible := reachable(t)
	for r := range sure {
		if !listed[r] {
			t.Errorf("%q can be reached over HTTP and is not in the problem schema", r)
		}
	}
	for r := range listed {
		if !possible[r] {
			t.Errorf("%q is in the problem schema, but no rule leads to it", r)
		}
	}
	statuses := map[int]bool{}
	for _, a := range documentedAnswers(t, doc) {
		if a.status >= 400 {
			statuses[a.status] = true
		}
	}
	want := map[int]bool{http.StatusRequestHeaderFieldsTooLarge: true} // ADM-HTP-002
	for r := range listed {
		if r != NoRoute && r != MethodNotAllowed { // these belong to no operation
			want[r.Facts().Status] = true
		}
	}
	for s := range want {
		if !statuses[s] {
			t.Errorf("no operation documents %d", s)
		}
	}
	for s := range statuses {
		if !want[s] {
			t.Errorf("%d is documented, but no reason has it", s)
		}
	}
}

// The schemas accept what the rules show and reject what differs in one point.
func TestOpenAPISchemas(t *testing.T) {
	doc := loadOpenAPI(t)
	const addr = `"b3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"`
	const limits = `{"max_frame":1048576,"max_object_bytes":67108864,"max_body_bytes":1048576,"max_header_bytes":16384,"max_conns":1024,` +
		`"max_inflight":512,"max_streams_per_conn":64,"requests_per_second":500,"request_timeout_ms":5000}`
	const store = `{"engine":"ram","capacity_bytes":536870912,"locked":false,"dump_excluded":true}`
	const version = `{"name":"micronode","version":"0.1.0","oap_versions":[1],"amnesia":true,"features":["objects"],"limits":` + limits + `,"store":` + store + `}`
	const problem = `{"type":"about:blank","title":"Not Found","status":404,"detail":"no object has this address","reason":"not_found","corr_id":"a-1","retryable":false}`
	edit := func(s, old, new string) string {
		if !strings.Contains(s, old) {
			t.Fatalf("%q is not in %s", old, s)
		}
		return strings.Replace(s, old, new, 1)
	}
	tests := []struct {
		schema string
		good   bool
		value  string
	}{
		{"Stored", true, `{"address":` + addr + `}`},
		{"Stored", false, `{"address":` + strings.ToUpper(addr) + `}`},
		{"Stored", false, `{}`},
		{"Stored", false, `{"address":` + addr + `,"new":true}`},
		{"Health", true, `{"alive":true}`},
		{"Health", false, `{"alive":false}`},
		{"Ready", true, `{"ready":true,"state":"ready"}`},
		{"Ready", false, `{"ready":true,"state":"degraded"}`},
		{"Ready", false, `{"ready":false,"state":"ready"}`},
		{"NotReady", true, `{"degraded":true,"state":"draining","missing":[],"retry_after":5}`},
		{"NotReady", true, `{"degraded":true,"state":"starting","missing":["store_open","bus_attached","listeners_bound"],"retry_after":1}`},
		{"NotReady", false, `{"degraded":true,"state":"ready","missing":[],"retry_after":5}`},
		{"NotReady", false, `{"degraded":true,"state":"draining","missing":["mood"],"retry_after":5}`},
		{"NotReady", false, `{"degraded":true,"state":"draining","missing":[],"retry_after":0}`},
		{"NotReady", false, `{"degraded":true,"state":"draining","retry_after":5}`},
		{"Version", true, version},
		{"Version", true, edit(version, `"amnesia"`, `"later":1,"amnesia"`)},
		{"Version", false, edit(version, `[1]`, `[]`)},
		{"Version", false, edit(version, `"locked":false,`, ``)},
		{"Version", false, edit(version, `"max_frame":1048576`, `"max_frame":4294967295`)},
		{"Version", false, edit(version, `"objects"`, `"Objects"`)},
		{"Problem", true, problem},
		{"Problem", true, edit(problem, `false}`, `false,"retry_after":1}`)},
		{"Problem", false, edit(problem, `false}`, `false,"retry_after":61}`)},
		{"Problem", false, edit(problem, `about:blank`, `https://example.org`)},
		{"Problem", false, edit(problem, `not_found`, `bad_mood`)},
		{"Problem", false, edit(problem, `404`, `200`)},
		{"Problem", false, edit(problem, `,"retryable":false`, ``)},
		{"Problem", false, edit(problem, `false}`, `false,"stack":"main.go:1"}`)},
	}
	for _, tt := range tests {
		var v any
		if err := json.Unmarshal([]byte(tt.value), &v); err != nil {
			t.Fatalf("%s: %v", tt.value, err)
		}
		err := doc.Components.Schemas[tt.schema].Value.VisitJSON(v, openapi3.EnableJSONSchema2020())
		if (err == nil) != tt.good {
			t.Errorf("%s %s: accepted is %t, want %t (%v)", tt.schema, tt.value, err == nil, tt.good, err)
		}
	}
}
