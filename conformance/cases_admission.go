package conformance

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// admissionCases are about ADM: sizes, caps, order and counting.
func admissionCases() []Case {
	return []Case{
		{ID: "adm-body-limit", Rules: []string{"ADM-HTP-001", "ADM-HTP-003"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity,
			Description: "A body of 1 MiB is stored; one byte more is refused, from its length alone or where the chunks pass it.",
			Run:         admBodyLimit},
		{ID: "adm-head-limit", Rules: []string{"ADM-HTP-002"}, Level: spec.Must, Profile: ProfileSecurity,
			Description: "A request head just below 16 KiB is served; just above, by long or many headers or a long path, it is 431 and the end.",
			Run:         admHeadLimit},
		{ID: "adm-lengths", Rules: []string{"ADM-HTP-007"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity,
			Description: "Contradicting and unreadable lengths are 400 and the end of the connection, with nothing behind them served.",
			Run:         admLengths},
		{ID: "adm-two-codings", Rules: []string{"ADM-HTP-008"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity,
			Description: "A request with a Transfer-Encoding is the last of its connection, with a Content-Length beside it and without, admitted or not: what is hidden in its body is not served.",
			Run:         admTwoCodings},
		{ID: "adm-order", Rules: []string{"ADM-ORD-002", "ADM-ORD-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity,
			Description: "A request with several mistakes is refused for the one whose check comes first.",
			Run:         admOrder},
		{ID: "adm-counted", Rules: []string{"ADM-CNT-001", "ADM-CNT-003", "ADM-CNT-005"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity, Own: true,
			Description: "Each refusal, on either surface, adds exactly one to its label before its answer is complete, and what is no rejection adds nothing.",
			Run:         admCounted},
		{ID: "adm-rate", Rules: []string{"ADM-CAP-003", "ADM-CAP-004", "ADM-CAP-005", "ADM-RTY-001", "HTTP-HLT-007"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity, Own: true,
			Description: "Beyond the rate both surfaces refuse with quota and a time to retry, the exempt routes do not, and refused requests do not prolong it.",
			Run:         admRate},
		{ID: "adm-inflight", Rules: []string{"ADM-CAP-002", "ADM-CAP-006", "HTTP-HLT-007"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity, Own: true,
			Description: "With every in-flight place taken both surfaces refuse, the exempt routes do not, and each ended request gives its place back.",
			Run:         admInflight},
		{ID: "adm-refusals-forgotten", Rules: []string{"ADM-CAP-009"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity, Own: true,
			Description: "Twenty thousand refused requests over OAP/1, and two thousand over HTTP, leave the memory of the node as it was.",
			Run:         admRefusalsForgotten},
		{ID: "adm-conns", Rules: []string{"ADM-CAP-001"}, Level: spec.Must, Profile: ProfileSecurity, Own: true,
			Description: "A connection beyond the cap is closed unread, on both surfaces; those that are open go on, and a place is free when one closes.",
			Run:         admConns},
	}
}

func admBodyLimit(t *T) {
	data := t.Bytes(spec.MaxBody)
	t.Control(func() {
		t.Check(t.Upload(data), "the largest body is not new")
		t.Serves(data)
		chunks := t.Bytes(spec.MaxBody)
		t.Owe(AddressOf(chunks))
		t.Want(t.Do(Request{Method: "POST", Path: "/put", Body: chunks, Chunked: true}), 201)
	})
	over := t.Bytes(spec.MaxBody + 1)
	for _, length := range []string{"1048577", "67108864", "9223372036854775807"} {
		for _, path := range []string{"/put", Object(AddressOf(over))} {
			method := map[bool]string{true: "POST", false: "PUT"}[path == "/put"]
			raw := t.Raw()
			raw.Head(method, path, "Content-Length: "+length)
			p := t.Refuses(raw.Response(method), spec.Oversize) // no byte of the body was sent
			t.Check(strings.Contains(p.Detail, "OAP"), "detail is %q, and does not say how larger objects are stored", p.Detail)
		}
	}
	raw := t.Raw()
	raw.Head("POST", "/put", "Transfer-Encoding: chunked")
	raw.Write(chunked(over, 100_000))
	p := t.Refuses(raw.Response("POST"), spec.Oversize) // the last chunk was not sent
	t.Check(strings.Contains(p.Detail, "OAP"), "detail is %q, and does not say how larger objects are stored", p.Detail)
	t.Misses(AddressOf(over))
}

func admHeadLimit(t *T) {
	const margin = 64 // whether the empty line counts is not worth a dispute
	head := func(size int, fill func(room int) string) string {
		fixed := "Host: " + t.base.Host + "\r\n"
		room := size - len("GET /healthz HTTP/1.1\r\n") - len(fixed) - len("\r\n")
		return "GET /healthz HTTP/1.1\r\n" + fixed + fill(room) + "\r\n"
	}
	long := func(room int) string { return "X-Long: " + strings.Repeat("x", room-len("X-Long: \r\n")) + "\r\n" }
	many := func(room int) string {
		const line = "X-A: b\r\n"
		return strings.Repeat(line, room/len(line)-2) + long(room-(room/len(line)-2)*len(line))
	}
	path := func(size int) string {
		rest := " HTTP/1.1\r\nHost: " + t.base.Host + "\r\n\r\n"
		return "GET /healthz?" + strings.Repeat("q", size-len("GET /healthz?")-len(rest)) + rest
	}
	of := func(size int) []string { return []string{head(size, long), head(size, many), path(size)} }
	t.Control(func() {
		for _, text := range of(spec.MaxHeaderBytes - margin) {
			raw := t.Raw()
			raw.Write(text)
			t.Want(raw.Response("GET"), 200)
		}
	})
	for _, size := range []int{spec.MaxHeaderBytes + margin, 2 * spec.MaxHeaderBytes, 1 << 20} {
		for _, text := range of(size) {
			raw := t.Raw()
			raw.Write(text)
			r := raw.Response("GET")
			t.Check(r.Status == 431, "a head of %d bytes is answered with %d", size, r.Status)
			raw.Closed()
		}
	}
	// A head that never ends does not have to be read to its end.
	raw := t.Raw()
	raw.Write("GET /healthz HTTP/1.1\r\nX-Endless: " + strings.Repeat("x", 4*spec.MaxHeaderBytes))
	t.Check(raw.Response("GET").Status == 431, "an endless head is not 431")
	raw.Closed()
}

func admLengths(t *T) {
	data := t.Bytes(50)
	t.Owe(AddressOf(data))
	t.Control(func() {
		raw := t.Raw()
		raw.Head("POST", "/put", "Content-Length: 50")
		raw.Write(string(data))
		t.Want(raw.Response("POST"), 201)
		t.Want(t.Do(Request{Method: "DELETE", Path: Object(AddressOf(data))}), 204)
	})
	for _, headers := range [][]string{
		{"Content-Length: 50", "Content-Length: 49"}, {"Content-Length: 49", "Content-Length: 50"},
		{"Content-Length: 50, 49"}, {"Content-Length: +50"}, {"Content-Length: -50"}, {"Content-Length: 0x32"}, {"Content-Length: 5e1"},
		{"Content-Length: fifty"}, {"Content-Length: "}, {"Content-Length: 99999999999999999999"},
	} {
		raw := t.Raw()
		raw.Head("POST", "/put", headers...)
		raw.Write(string(data) + "GET /healthz HTTP/1.1\r\nHost: " + t.base.Host + "\r\n\r\n")
		r := raw.Response("POST")
		t.Check(r.Status == 400, "%v is answered with %d", headers, r.Status)
		raw.Closed()
		t.Misses(AddressOf(data))
	}
}

func admTwoCodings(t *T) {
	hidden := t.Bytes(20)
	t.Control(func() {
		t.Check(t.Upload(hidden), "what is to be deleted is not new")
		raw := t.Raw()
		raw.Head("POST", "/put", "Content-Length: 20")
		raw.Write(string(hidden))
		t.Want(raw.Response("POST"), 200)
		raw.Head("GET", "/healthz")
		t.Want(raw.Response("GET"), 200) // a plain body does not end the connection
	})
	smuggled := "DELETE " + Object(AddressOf(hidden)) + " HTTP/1.1\r\nHost: " + t.base.Host + "\r\nAuthorization: Macaroon " + t.warrant().Text() + "\r\n\r\n"
	body := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(hidden), hidden) + smuggled
	length := fmt.Sprintf("Content-Length: %d", len(body))
	for _, headers := range [][]string{
		{"Transfer-Encoding: chunked"},
		{"Transfer-Encoding: chunked", length},
		{length, "Transfer-Encoding: chunked"},
		{"Authorization: Macaroon x", "Transfer-Encoding: chunked", length},
	} {
		raw := t.Raw()
		raw.Head("POST", "/put", headers...)
		raw.Write(body)
		raw.Response("POST") // stored, or refused
		raw.Closed()
		t.Serves(hidden)
	}
}

func admOrder(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	good, bad := Object(t.Absent()), "/o/b3:BAD"
	body := []byte("some body")
	for _, x := range []struct {
		r      Request
		reason spec.Reason
	}{
		{Request{Method: "BREW", Path: "/nowhere", Headers: []string{"Content-Range: x", "Content-Encoding: br"}, Body: body}, spec.NoRoute},
		{Request{Method: "BREW", Path: bad, Headers: []string{"Content-Range: x", "Content-Encoding: br"}, Body: body}, spec.MethodNotAllowed},
		{Request{Method: "PUT", Path: bad, Headers: []string{"Content-Encoding: br"}, Body: body}, spec.Malformed},
		{Request{Method: "PUT", Path: good, Headers: []string{"Content-Range: x", "Content-Encoding: br"}, Body: body}, spec.Malformed},
		{Request{Method: "PUT", Path: good, Headers: []string{"Content-Encoding: br"}, Body: make([]byte, spec.MaxBody+1)}, spec.UnsupportedEncoding},
		{Request{Method: "PUT", Path: bad, Body: make([]byte, spec.MaxBody+1)}, spec.Malformed},
		{Request{Method: "PUT", Path: good, Headers: []string{"Content-Encoding: gzip"}, Body: make([]byte, spec.MaxBody+1)}, spec.Oversize},
	} {
		t.Refuses(t.Do(x.r), x.reason)
	}
}

func admCounted(t *T) {
	node := t.Spawn()
	t.Control(func() {
		node.HTTPRoundTrip()
		node.Hello().RoundTrip()
	})
	all := func() map[string]float64 {
		m := map[string]float64{}
		samples := node.metrics()
		for _, label := range rejectionLabels() {
			m[label], _ = value(samples, "rejected_total", `reason="`+label+`"`)
		}
		return m
	}
	// one demands that do adds one to label, "" for none, and nothing to any other.
	one := func(what, label string, do func()) {
		before := all()
		do()
		for l, v := range all() {
			want := before[l]
			if l == label {
				want++
			}
			t.Check(v == want, "%s: rejected_total{reason=%q} goes from %v to %v, want %v", what, l, before[l], v, want)
		}
	}
	for _, x := range refusals(t) {
		one(x.r.Method+" "+x.r.Path, x.reason.Facts().Rejection, func() { node.Refuses(node.Do(x.r), x.reason) })
	}
	c := node.Hello()
	stream := func(reason spec.Reason, frames ...refwire.Frame) {
		one("OAP "+string(reason), reason.Facts().Rejection, func() {
			c.Send(frames...)
			c.Refused(frames[0].Corr, reason)
		})
		c.corr = max(c.corr, frames[0].Corr)
	}
	stream(spec.Malformed, startFrame(1, spec.FlagEnd, []byte("{}")))
	stream(spec.NotFound, askFrame(2, get(t.Absent())))
	stream(spec.Unsupported, startFrame(3, spec.FlagEnd|spec.FlagAppE2E, nil))
	stream(spec.Oversize, askFrame(4, put(spec.MaxObject+1)))
	stream(spec.Truncated, askFrame(5, put(9)))
	stream(spec.NoSuchStream, endFrame(5))
	stream(spec.StreamReused, askFrame(5, has(t.Absent())))
	stream(spec.CreditViolation, startFrame(6, 0, refwire.EncodeRequest(put(9))), ackFrame(6, 1))
	one("OAP bad_version", "malformed", func() {
		c.Illegal(header(spec.HeaderLen, func(f *refwire.Frame) { f.Ver = 9 }), spec.BadVersion)
		c.Rejected(spec.BadVersion)
	})
	one("OAP oversize frame", "oversize", func() {
		c := node.Hello()
		c.Illegal(bytesOf("ffffffff"), spec.Oversize)
		c.Rejected(spec.Oversize)
	})
}

func admRate(t *T) {
	const rate = 5
	node := t.Spawn("--rate", fmt.Sprint(rate))
	t.Control(func() {
		t.HTTPRoundTrip() // on the other node, whose rate allows it
		node.Want(node.Get("/healthz"), 200)
		node.Hello()
	})
	begin := time.Now()
	admitted, refused := 0, 0
	var last *Response
	for refused < 200 {
		r := node.Get(Object(t.Absent()))
		if r.Status == 404 {
			admitted++
			t.Check(admitted < 1000, "a thousand requests passed a rate of %d", rate)
			continue
		}
		node.Refuses(r, spec.Quota)
		refused++
		last = r
	}
	allowed := rate + int(rate*time.Since(begin).Seconds()) + 1
	t.Check(admitted >= 1 && admitted <= allowed, "%d requests were admitted in %v at a rate of %d", admitted, time.Since(begin), rate)
	t.retries("quota", last, node.Refuses(last, spec.Quota))

	c := node.Hello() // a connection takes no token
	var e refwire.Error
	for range 50 {
		corr := c.Ask(has(t.Absent()))
		f := c.Frame()
		if f.Code != spec.CodeOK {
			e = c.refused(f, corr, spec.Quota)
			break
		}
	}
	t.Check(e.Reason == spec.Quota, "fifty requests over OAP/1 pass a rate of %d", rate)
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/version"} {
		for range 2 * rate {
			node.Want(node.Get(path), 200)
		}
	}
	// Two hundred refused requests cost no token: in two seconds there are some again, whoever keeps trying.
	until := time.Now().Add(t.Within(2 * time.Second))
	for node.Get(Object(t.Absent())).Status != 404 {
		t.Check(time.Now().Before(until), "no request is admitted any more")
		t.Pause(10 * time.Millisecond)
	}
}

// ready is the body of /readyz in either state.
type ready struct {
	Ready      bool     `json:"ready"`
	Degraded   bool     `json:"degraded"`
	State      string   `json:"state"`
	Missing    []string `json:"missing"`
	RetryAfter int      `json:"retry_after"`
}

// readiness reads r as an answer of /readyz and checks that its parts agree (HTTP-HLT-002, HTTP-HLT-003).
func (t *T) readiness(r *Response) ready {
	var body ready
	err := json.Unmarshal(r.Body, &body, json.RejectUnknownMembers(true))
	t.Check(err == nil, "/readyz can not be read: %v: %s", err, textOf(r.Body))
	if r.Status == 200 {
		t.Check(body.Ready && !body.Degraded && body.State == "ready", "/readyz is 200 and says %s", textOf(r.Body))
		return body
	}
	t.Check(r.Status == 503 && !body.Ready && body.Degraded && body.Missing != nil, "/readyz is %d and says %s", r.Status, textOf(r.Body))
	t.Check(r.Header.Get("Retry-After") == fmt.Sprint(body.RetryAfter) && body.RetryAfter >= 1 && body.RetryAfter <= 60,
		"/readyz has Retry-After %q and retry_after %d", r.Header.Get("Retry-After"), body.RetryAfter)
	return body
}

func admInflight(t *T) {
	const places = 20
	node := t.Spawn("--rate", "100000", "--max-inflight", fmt.Sprint(places))
	t.Control(func() {
		node.HTTPRoundTrip()
		node.Hello().RoundTrip()
	})
	c, other := node.Hello(), node.Hello()
	var corrs []uint64
	for range places {
		corrs = append(corrs, c.Begin(has(t.Absent()), 0))
	}
	// A node may see its cap on requests here or its cap on streams: with the same number they are the same.
	c.Refused(c.Ask(has(t.Absent())), spec.Quota, spec.TooManyStreams)
	other.Refused(other.Ask(has(t.Absent())), spec.Quota, spec.TooManyStreams)
	r := node.Get(Object(t.Absent()))
	t.retries("quota", r, node.Refuses(r, spec.Quota))
	node.Want(node.Get("/healthz"), 200)
	for _, corr := range corrs {
		c.Send(endFrame(corr))
		c.Answer(corr, "has")
	}
	// Every place is back, however the requests end.
	for range 3 * places {
		node.Get(Object(t.Absent()))
		corr := other.Begin(has(t.Absent()), 0)
		other.Send(cancelFrame(corr))
		other.Fence()
	}
	node.HTTPRoundTrip()
}

func admRefusalsForgotten(t *T) {
	const slack = 16 << 20
	node := t.Spawn("--rate", "100000")
	t.Control(func() {
		node.HTTPRoundTrip()
		node.Hello().RoundTrip()
	})
	c := node.Hello()
	refused := func(streams, requests int) {
		for range streams / 1000 {
			var frames []refwire.Frame
			var corrs []uint64
			for range 1000 {
				corrs = append(corrs, c.fresh())
				frames = append(frames, startFrame(c.corr, spec.FlagEnd, t.Bytes(40)))
			}
			c.Write(c.Seal(frames...))
			c.Each(corrs, func(f refwire.Frame, corr uint64) { c.refused(f, corr, spec.Malformed) })
		}
		for range requests {
			node.Refuses(node.Get(Object(t.Absent())), spec.NotFound)
		}
	}
	refused(4000, 400) // whatever is made once is made
	before := t.residentBytes(node)
	refused(20_000, 2000)
	grown := t.residentBytes(node) - before
	t.Check(grown < slack, "22,000 refused requests made the node grow by %d KiB", grown>>10)
	t.Notef("grew by %d KiB", grown>>10)
}

func admConns(t *T) {
	const most = 40
	node := t.Spawn("--rate", "100000", "--max-conns", fmt.Sprint(most))
	t.Control(func() {
		node.Hello()
		node.Want(node.Get("/healthz"), 200)
	})
	watch := node.Raw() // one of the places
	watch.Head("GET", "/healthz")
	t.Want(watch.Response("GET"), 200)
	var held []*Conn
	var over net.Conn
	for len(held) < 2*most && over == nil {
		c := node.Dial()
		c.Write(c.Seal(helloFrame([]byte("{}"))))
		f, ok, closed := c.next(t.Patience())
		switch {
		case ok && f.Code == spec.CodeOK:
			held = append(held, c)
		case closed:
			over = c.nc
		default:
			t.Check(false, "connection %d is neither served nor closed", len(held)+2)
		}
	}
	// The control's connections may not all be gone, so a few fewer are fine, and one more is not.
	t.Check(over != nil && len(held) <= most-1 && len(held) >= most-10, "%d connections were served with a cap of %d", len(held)+1, most)
	raw := node.Raw()
	raw.Head("GET", "/healthz")
	_, err := raw.Try(t.Patience(), "GET")
	t.Check(err != nil, "an HTTP connection beyond the cap was served")

	watch.Head("GET", "/healthz")
	t.Want(watch.Response("GET"), 200)
	held[0].corr = 1
	held[0].Fence()
	for _, c := range held[:most/2] {
		c.Close()
	}
	t.Eventually(0, "the places of closed connections are free", func() bool {
		for range most / 4 { // more than the probe will need
			c := node.Dial()
			c.Write(c.Seal(helloFrame([]byte("{}"))))
			_, ok, _ := c.next(t.Patience())
			defer c.Close()
			if !ok {
				return false
			}
		}
		return true
	})
	r, err := node.try(Request{Method: "GET", Path: "/healthz"})
	t.Check(err == nil && r.Status == 200, "a place that is free for OAP/1 is not for HTTP: %v", err)
}
