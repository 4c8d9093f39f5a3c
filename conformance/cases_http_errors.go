package conformance

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rustyonions/micronode/spec"
)

// httpErrorCases are about HTTP-ERR and HTTP-COR.
func httpErrorCases() []Case {
	return []Case{
		{ID: "http-problem", Rules: []string{"HTTP-ERR-001", "HTTP-ERR-002", "HTTP-ERR-003", "HTTP-ERR-004", "HTTP-ERR-005", "ADM-RTY-002"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Refusals of eleven kinds are problem+json with every member, and each member says what the law fixes.",
			Run:         httpProblem},
		{ID: "http-problem-detail", Rules: []string{"HTTP-ERR-008"}, Level: spec.Should, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "detail is a sentence, and not the name of the reason.",
			Run:         httpProblemDetail},
		{ID: "http-problem-leaks", Rules: []string{"HTTP-ERR-006", "AMN-LOG-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity,
			Description: "A problem does not repeat the body, nor the headers in which a token would be.",
			Run:         httpProblemLeaks},
		{ID: "http-corr-taken", Rules: []string{"HTTP-COR-001", "HTTP-ERR-004"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A good X-Corr-ID comes back, in successes and problems.",
			Run:         httpCorrTaken},
		{ID: "http-corr-fresh", Rules: []string{"HTTP-COR-002", "HTTP-COR-004"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A bad, repeated or missing X-Corr-ID is replaced by a fresh one; two hundred of them differ and do not count up.",
			Run:         httpCorrFresh},
	}
}

// refusals are requests that are refused, each for another reason.
func refusals(t *T) []struct {
	r      Request
	reason spec.Reason
} {
	data := t.Bytes(64)
	return []struct {
		r      Request
		reason spec.Reason
	}{
		{Request{Method: "GET", Path: Object(t.Absent())}, spec.NotFound},
		{Request{Method: "DELETE", Path: Object(t.Absent())}, spec.NotFound},
		{Request{Method: "GET", Path: "/nowhere"}, spec.NoRoute},
		{Request{Method: "POST", Path: "/healthz", Body: data}, spec.MethodNotAllowed},
		{Request{Method: "GET", Path: "/o/b3:short"}, spec.Malformed},
		{Request{Method: "PUT", Path: Object(t.Absent()), Body: data}, spec.BadDigest},
		{Request{Method: "POST", Path: "/put", Body: make([]byte, spec.MaxBody+1)}, spec.Oversize},
		{coded("br", data), spec.UnsupportedEncoding},
		{coded("gzip", data), spec.Malformed},
		{coded("gzip", gzipped(make([]byte, 1<<20))), spec.DecompressCap},
		{Request{Method: "POST", Path: "/put", Headers: []string{"Content-Range: bytes 0-1/2"}, Body: data}, spec.Malformed},
	}
}

func httpProblem(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	for _, x := range refusals(t) {
		r := t.Do(x.r)
		p := t.Refuses(r, x.reason)
		what := fmt.Sprintf("%s %s", x.r.Method, x.r.Path)
		facts := x.reason.Facts()
		var members map[string]jsontext.Value
		err := json.Unmarshal(r.Body, &members)
		t.Check(err == nil, "%s: the problem can not be read: %v", what, err)
		for _, name := range []string{"type", "title", "status", "detail", "reason", "corr_id", "retryable"} {
			t.Check(members[name] != nil, "%s: the problem has no %s: %s", what, name, textOf(r.Body))
		}
		t.Check(p.Type == "about:blank", "%s: type is %q", what, p.Type)
		t.Check(p.Title == http.StatusText(r.Status), "%s: title is %q", what, p.Title)
		t.Check(p.Status == r.Status, "%s: status is %d in a %d", what, p.Status, r.Status)
		t.Check(p.Retryable == facts.Retryable, "%s: retryable is %v", what, p.Retryable)
		t.Check(p.CorrID == r.Header.Get("X-Corr-Id"), "%s: corr_id is %q, the header says %q", what, p.CorrID, r.Header.Get("X-Corr-Id"))
		t.Check(p.Detail != "", "%s: detail is empty", what)
		t.retries(what, r, p)
	}
}

// retries checks ADM-RTY-001 and 002, and HTTP-ERR-005.
func (t *T) retries(what string, r *Response, p Problem) {
	header := r.Header.Get("Retry-After")
	if r.Status != 429 && r.Status != 503 {
		t.Check(header == "" && p.RetryAfter == nil, "%s: a %d carries Retry-After %q", what, r.Status, header)
		return
	}
	n, err := strconv.Atoi(header)
	t.Check(err == nil && n >= 1 && n <= 60, "%s: a %d carries Retry-After %q", what, r.Status, header)
	t.Check(p.RetryAfter != nil && *p.RetryAfter == n, "%s: retry_after is not the %d of the header", what, n)
}

func httpProblemDetail(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	for _, x := range refusals(t) {
		p := t.Refuses(t.Do(x.r), x.reason)
		t.Check(strings.Count(p.Detail, " ") >= 2, "detail of %s is %q", x.reason, p.Detail)
	}
	large := t.Refuses(t.Do(Request{Method: "POST", Path: "/put", Body: make([]byte, spec.MaxBody+1)}), spec.Oversize)
	t.Check(strings.Contains(large.Detail, "OAP"), "detail of a too large upload is %q (ADM-HTP-003)", large.Detail)
}

func httpProblemLeaks(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	const canary = "cAnArY-7f3a"
	data := []byte(strings.Repeat(canary, 40))
	for _, x := range []struct {
		r      Request
		reason spec.Reason
	}{
		{Request{Method: "PUT", Path: Object(t.Absent()), Body: data}, spec.BadDigest},
		{coded("gzip", data), spec.Malformed},
		{coded("zstd", data), spec.Malformed},
		{coded("br", data), spec.UnsupportedEncoding},
		{Request{Method: "POST", Path: "/put", Headers: []string{"Content-Range: " + canary}, Body: data}, spec.Malformed},
		{Request{Method: "GET", Path: Object(t.Absent()), Headers: []string{"Authorization: Macaroon " + canary, "Cookie: s=" + canary}}, spec.Unauth},
	} {
		resp := t.Do(x.r)
		t.Refuses(resp, x.reason)
		t.Check(!strings.Contains(string(resp.Body), canary), "the problem repeats what was sent: %s", textOf(resp.Body))
		t.Check(!strings.Contains(fmt.Sprint(resp.Header), canary), "the headers repeat what was sent: %v", resp.Header)
	}
}

func httpCorrTaken(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	for _, id := range []string{"a", "build-42.step_7", strings.Repeat("Z", 64), "0", "..", "-_-"} {
		r := t.Want(t.Get("/healthz", "X-Corr-ID: "+id), 200)
		t.Check(r.Header.Get("X-Corr-Id") == id, "X-Corr-ID %q comes back as %q", id, r.Header.Get("X-Corr-Id"))
		r = t.Get(Object(t.Absent()), "X-Corr-ID: "+id)
		p := t.Refuses(r, spec.NotFound)
		t.Check(r.Header.Get("X-Corr-Id") == id && p.CorrID == id, "X-Corr-ID %q comes back as %q and %q", id, r.Header.Get("X-Corr-Id"), p.CorrID)
	}
}

func httpCorrFresh(t *T) {
	t.Control(func() { t.Want(t.Get("/healthz", "X-Corr-ID: good"), 200) })
	seen := map[string]bool{}
	fresh := func(headers ...string) string {
		var list []string
		for _, h := range headers {
			list = append(list, "X-Corr-ID: "+h)
		}
		r := t.Want(t.Get("/healthz", list...), 200)
		id := r.Header.Get("X-Corr-Id")
		t.Check(len(r.Header.Values("X-Corr-Id")) == 1 && corrForm.MatchString(id), "X-Corr-ID is %q", r.Header.Values("X-Corr-Id"))
		for _, h := range headers {
			t.Check(id != h, "the bad X-Corr-ID %q was taken over", h)
		}
		t.Check(!seen[id], "the correlation id %q is repeated", id)
		seen[id] = true
		return id
	}
	for _, bad := range []string{strings.Repeat("a", 65), "with space", "semi;colon", "sl/ash", "ümlaut", "quo\"te", "a,b", ""} {
		fresh(bad)
	}
	fresh("one", "two")
	fresh("same", "same")
	last := ""
	near := 0
	for range 200 {
		id := fresh()
		if last != "" && len(id) == len(last) && id[:len(id)-2] == last[:len(last)-2] {
			near++ // a counter changes only its end
		}
		last = id
	}
	t.Check(near < 100, "%d of 200 fresh ids differ from the one before in their last two characters only: they count", near)
}
