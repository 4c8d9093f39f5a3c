package conformance

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rustyonions/micronode/spec"
)

// httpOperationCases are about HTTP-HLT and the metrics of RDY-OBS.
func httpOperationCases() []Case {
	return []Case{
		{ID: "ops-healthz", Rules: []string{"HTTP-HLT-001"}, Level: spec.Must, Profile: ProfileMicronode,
			Description: "/healthz is 200 and says that the node is alive.",
			Run:         opsHealthz},
		{ID: "ops-readyz", Rules: []string{"HTTP-HLT-002", "RDY-HLT-001"}, Level: spec.Must, Profile: ProfileMicronode,
			Description: "/readyz of a node that serves is 200 and says ready.",
			Run:         opsReadyz},
		{ID: "ops-version", Rules: []string{"HTTP-HLT-005", "HTTP-HLT-008", "AMN-DSK-004", "AMN-DSK-005"}, Level: spec.Must, Profile: ProfileMicronode,
			Description: "/version has its seven members, and says how payload memory is kept.",
			Run:         opsVersion},
		{ID: "ops-metrics", Rules: []string{"HTTP-HLT-004", "RDY-OBS-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileMicronode,
			Description: "/metrics is in the Prometheus text format and has every family that the law names, once traffic has touched both surfaces.",
			Run:         opsMetrics},
		{ID: "ops-metrics-labels", Rules: []string{"RDY-OBS-003", "ADM-CNT-002", "ADM-CNT-004"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileMicronode, Own: true,
			Description: "A fresh node shows all thirteen rejection labels at 0, and no label takes a value from a client.",
			Run:         opsMetricsLabels},
	}
}

func opsHealthz(t *T) {
	t.Control(func() { t.Want(t.Get("/version"), 200) })
	r := t.Want(t.Get("/healthz"), 200)
	var body map[string]bool
	err := json.Unmarshal(r.Body, &body)
	t.Check(err == nil && len(body) == 1 && body["alive"], "the body is %s", textOf(r.Body))
	t.Check(mediaType(r) == "application/json", "Content-Type is %q", r.Header.Get("Content-Type"))
}

func opsReadyz(t *T) {
	t.Control(func() { t.Want(t.Get("/version"), 200) })
	r := t.Want(t.Get("/readyz"), 200)
	var body struct {
		Ready bool   `json:"ready"`
		State string `json:"state"`
	}
	err := json.Unmarshal(r.Body, &body, json.RejectUnknownMembers(true))
	t.Check(err == nil && body.Ready && body.State == "ready", "the body is %s", textOf(r.Body))
}

func opsVersion(t *T) {
	t.Control(func() { t.Want(t.Get("/healthz"), 200) })
	r := t.Want(t.Get("/version"), 200)
	var body struct {
		Name        *string                   `json:"name"`
		Version     *string                   `json:"version"`
		OAPVersions []int                     `json:"oap_versions"`
		Amnesia     *bool                     `json:"amnesia"`
		Limits      map[string]jsontext.Value `json:"limits"`
		Features    []string                  `json:"features"`
		Store       struct {
			Locked       *bool `json:"locked"`
			DumpExcluded *bool `json:"dump_excluded"`
		} `json:"store"`
	}
	err := json.Unmarshal(r.Body, &body)
	t.Check(err == nil, "the body can not be read: %v: %s", err, textOf(r.Body))
	t.Check(body.Name != nil && *body.Name != "" && body.Version != nil && *body.Version != "", "no name or version: %s", textOf(r.Body))
	t.Check(slices.Contains(body.OAPVersions, spec.Version), "oap_versions is %v", body.OAPVersions)
	t.Check(body.Amnesia != nil && body.Limits != nil && body.Features != nil, "amnesia, limits or features is missing: %s", textOf(r.Body))
	t.Check(body.Store.Locked != nil && body.Store.DumpExcluded != nil, "store does not say how memory is kept: %s", textOf(r.Body))
	t.Check(mediaType(r) == "application/json", "Content-Type is %q", r.Header.Get("Content-Type"))
}

// sample is one line of the Prometheus text format.
type sample struct {
	name   string
	labels string // between the braces
	value  float64
}

// metrics reads /metrics of p, strictly enough to notice what a collector would refuse.
func (p *Peer) metrics() []sample {
	t := p.t
	r := p.Want(p.Get("/metrics"), 200)
	t.Check(mediaType(r) == "text/plain", "Content-Type is %q", r.Header.Get("Content-Type"))
	var samples []sample
	for line := range strings.Lines(string(r.Body)) {
		line = strings.TrimSuffix(line, "\n")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		i := strings.LastIndexByte(line, ' ')
		t.Check(i > 0, "a line of /metrics has no value: %q", line)
		v, err := strconv.ParseFloat(line[i+1:], 64)
		t.Check(err == nil, "a line of /metrics has the value %q", line[i+1:])
		name, labels, _ := strings.Cut(line[:i], "{")
		samples = append(samples, sample{name, strings.TrimSuffix(labels, "}"), v})
	}
	t.Check(len(samples) > 0, "/metrics is empty: %s", textOf(r.Body))
	return samples
}

// value is the sample with this name and, where label is not empty, this label; ok is false when there is none.
func value(samples []sample, name, label string) (v float64, ok bool) {
	for _, s := range samples {
		if s.name == name && (label == "" || strings.Contains(","+s.labels+",", ","+label+",")) {
			v, ok = v+s.value, true
		}
	}
	return v, ok
}

func opsMetrics(t *T) {
	t.Control(func() {
		t.Hello().RoundTrip()
		t.HTTPRoundTrip()
	})
	families := map[string]bool{}
	for _, s := range t.metrics() {
		families[s.name] = true
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			families[strings.TrimSuffix(s.name, suffix)] = true
		}
	}
	for _, name := range []string{
		"rejected_total", "http_requests_total", "request_latency_seconds", "inflight_requests", "integrity_fail_total", "store_bytes", "store_objects",
	} {
		t.Check(families[name], "/metrics has no %s, among %v", name, slices.Sorted(maps.Keys(families)))
	}
}

// rejectionLabels is ADM-CNT-002.
func rejectionLabels() []string {
	return []string{"unauth", "oversize", "decompress_cap", "quota", "timeout", "not_ready", "draining", "store_full", "malformed", "bad_digest", "integrity", "credit", "forbidden"}
}

func opsMetricsLabels(t *T) {
	node := t.Spawn()
	fresh := node.metrics()
	t.Control(func() { node.HTTPRoundTrip() })
	for _, label := range rejectionLabels() {
		v, ok := value(fresh, "rejected_total", `reason="`+label+`"`)
		t.Check(ok && v == 0, "a fresh node has rejected_total{reason=%q} %v (there: %v)", label, v, ok)
	}
	// Texts of a client that must not show up as labels.
	const canary = "cAnArY"
	for _, path := range []string{"/" + canary, "/o/b3:" + canary, "/" + canary + "/" + canary, Object(t.Absent())} {
		node.Get(path)
		node.Do(Request{Method: canary, Path: path})
	}
	node.Do(Request{Method: "PUT", Path: Object(t.Absent()), Headers: []string{"Content-Encoding: " + canary, "X-Corr-ID: " + canary}, Body: []byte("x")})
	novel := func(i int) {
		node.Get("/" + canary + strconv.Itoa(i))
		node.Get(Object(t.Absent()))
		node.Do(Request{Method: "X" + strconv.Itoa(i), Path: "/put"})
	}
	novel(0) // each kind of answer once
	node.metrics()
	before := len(node.metrics())
	for i := range 50 {
		novel(i + 1)
	}
	after := node.metrics()
	t.Check(len(after) == before, "fifty more paths and methods made /metrics grow from %d to %d lines", before, len(after))
	allowed := rejectionLabels()
	for _, s := range after {
		t.Check(!strings.Contains(s.labels, canary) && !strings.Contains(s.labels, "b3:"), "a label takes a client's text: %s{%s}", s.name, s.labels)
		if s.name == "rejected_total" {
			reason := strings.TrimSuffix(strings.TrimPrefix(s.labels, `reason="`), `"`)
			t.Check(slices.Contains(allowed, reason), "rejected_total has the label %s", s.labels)
		}
	}
}
