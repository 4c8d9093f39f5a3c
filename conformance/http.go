package conformance

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/model/refcap"
	"github.com/rustyonions/micronode/spec"
)

// Request is an HTTP request for Do.
type Request struct {
	Method  string
	Path    string   // with the query, as it is sent
	Headers []string // "Name: value"; sent once each, in canonical case
	Body    []byte   // nil for none
	Chunked bool     // send Body without its length
}

// Response is an answer, with its whole body. Err is what went wrong with the body, nil when it was complete.
type Response struct {
	Status int
	Header http.Header
	Body   []byte
	Close  bool // the node announced the end of the connection
	Err    error
}

// Do sends one well-formed request over kept-alive connections of the case and takes the whole answer. The case ends
// when there is none.
func (p *Peer) Do(r Request) *Response {
	t := p.t
	resp, err := p.try(r)
	if err != nil {
		t.Check(false, "%s %s has no answer: %v", r.Method, r.Path, err)
	}
	return resp
}

// try is Do where the absence of an answer is one of the possible reactions.
func (p *Peer) try(r Request) (*Response, error) {
	t := p.t
	if strings.HasPrefix(r.Path, "//") { // which the client would send in another form
		raw := p.Raw()
		raw.Head(r.Method, r.Path, r.Headers...)
		return raw.Try(t.Patience(), r.Method)
	}
	p.usedHTTP.Store(true)
	p.take(1)
	tr := t.script("http " + p.base.Host)
	var body io.Reader
	if r.Body != nil {
		body = bytes.NewReader(r.Body)
		if r.Chunked {
			body = io.MultiReader(body) // hides its length
		}
	}
	hr, err := http.NewRequestWithContext(t.ctx, r.Method, p.base.String(), body)
	if err != nil {
		t.Harnessf("request: %v", err)
	}
	hr.URL.Opaque = r.Path // as it is, without another encoding
	if len(r.Body) > spec.MaxBody {
		hr.Header.Set("Expect", "100-continue") // so that a refusal is not lost behind a body that nobody reads
	}
	for _, h := range authorized(p.cap, r.Headers) {
		name, value, ok := strings.Cut(h, ": ")
		if !ok {
			t.Harnessf("header %q", h)
		}
		hr.Header.Add(name, value)
	}
	tr.add('>', r.Body, fmt.Sprintf("%s %s %v", r.Method, r.Path, r.Headers))
	res, err := p.http().Do(hr)
	if err != nil {
		tr.remark("%v", err)
		return nil, err
	}
	defer res.Body.Close()
	return whole(tr, res), nil
}

// authorized is headers with the capability among them, where there is one and headers have no Authorization.
func authorized(capability []byte, headers []string) []string {
	isOne := func(h string) bool {
		name, _, _ := strings.Cut(h, ":")
		return strings.EqualFold(name, "Authorization")
	}
	if capability == nil || slices.ContainsFunc(headers, isOne) {
		return headers
	}
	return append([]string{authorization(capability)}, headers...)
}

// authorization is the header of CAP-TOK-003.
func authorization(capability []byte) string {
	return "Authorization: Macaroon " + refcap.Text(capability)
}

// whole reads the body of res and writes the transcript.
func whole(tr *transcript, res *http.Response) *Response {
	body, err := io.ReadAll(res.Body)
	r := &Response{Status: res.StatusCode, Header: res.Header, Body: body, Close: res.Close, Err: err}
	note := fmt.Sprintf("%s %v", res.Status, res.Header)
	if len(body) > 0 {
		note += " " + textOf(body)
	}
	if err != nil {
		note += fmt.Sprintf(" (body: %v)", err)
	}
	tr.add('<', body, note)
	return r
}

// http is the client of the case for this peer.
func (p *Peer) http() *http.Client {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.client == nil {
		patience := p.t.Patience()
		transport := &http.Transport{
			DialContext:           (&net.Dialer{Timeout: patience}).DialContext,
			TLSClientConfig:       clientTLS("http/1.1"),
			DisableCompression:    true,
			ResponseHeaderTimeout: patience, // from the end of the request
			ExpectContinueTimeout: patience,
		}
		p.t.onClose(transport.CloseIdleConnections)
		p.client = &http.Client{
			Transport:     transport,
			Timeout:       p.t.Within(spec.RequestTimeout),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		}
	}
	return p.client
}

// Get is a GET without anything special.
func (p *Peer) Get(path string, headers ...string) *Response {
	return p.Do(Request{Method: "GET", Path: path, Headers: headers})
}

// Object is the path of addr.
func Object(addr spec.Address) string { return "/o/" + addr.String() }

// Want demands a status and a complete body.
func (p *Peer) Want(r *Response, statuses ...int) *Response {
	p.t.Check(slices.Contains(statuses, r.Status), "status %d instead of %v: %s", r.Status, statuses, textOf(r.Body))
	p.t.Check(r.Err == nil, "the body is not complete: %v", r.Err)
	return r
}

// Problem is the body of an answer of 400 and above (HTTP-ERR-001).
type Problem struct {
	Type       string      `json:"type"`
	Title      string      `json:"title"`
	Status     int         `json:"status"`
	Detail     string      `json:"detail"`
	Reason     spec.Reason `json:"reason"`
	CorrID     string      `json:"corr_id"`
	Retryable  bool        `json:"retryable"`
	RetryAfter *int        `json:"retry_after"`
}

// Refuses demands an answer of the status that the law fixes for reason, as a problem with that reason.
func (p *Peer) Refuses(r *Response, reasons ...spec.Reason) Problem {
	t := p.t
	var problem Problem
	t.Check(r.Status >= 400, "status %d instead of a refusal with %v: %s", r.Status, reasons, textOf(r.Body))
	t.Check(r.Header.Get("Content-Type") == "application/problem+json", "the Content-Type of a %d is %q (HTTP-ERR-001): %s", r.Status, r.Header.Get("Content-Type"), textOf(r.Body))
	err := json.Unmarshal(r.Body, &problem)
	t.Check(err == nil, "the problem can not be read: %v: %s", err, textOf(r.Body))
	t.Check(slices.Contains(reasons, problem.Reason), "refused with %q instead of %v: %s", problem.Reason, reasons, textOf(r.Body))
	t.Check(r.Status == problem.Reason.Facts().Status, "reason %s has status %d, the law says %d", problem.Reason, r.Status, problem.Reason.Facts().Status)
	return problem
}

// Upload is a POST /put that has to work; it returns whether the object was new.
func (p *Peer) Upload(data []byte, headers ...string) bool {
	p.Owe(AddressOf(data))
	r := p.Want(p.Do(Request{Method: "POST", Path: "/put", Headers: headers, Body: data}), 200, 201)
	p.Acknowledges(r, AddressOf(data))
	return r.Status == 201
}

// Acknowledges demands the body of a successful upload (HTTP-PUT-002, HTTP-PUT-003).
func (p *Peer) Acknowledges(r *Response, addr spec.Address) {
	var body map[string]string
	err := json.Unmarshal(r.Body, &body)
	p.t.Check(err == nil && len(body) == 1 && body["address"] == addr.String(), "the body of a %d is %s, want the address %s", r.Status, textOf(r.Body), addr)
	p.t.Check(r.Header.Get("Location") == Object(addr), "Location is %q", r.Header.Get("Location"))
	p.t.Check(mediaType(r) == "application/json", "Content-Type is %q", r.Header.Get("Content-Type"))
}

func mediaType(r *Response) string {
	m, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return strings.TrimSpace(m)
}

// Serves demands that GET gives exactly data.
func (p *Peer) Serves(data []byte) {
	r := p.Want(p.Get(Object(AddressOf(data))), 200)
	p.t.Check(bytes.Equal(r.Body, data), "GET gives %d bytes with address %s where %d bytes with address %s were put", len(r.Body), AddressOf(r.Body), len(data), AddressOf(data))
}

// Misses demands that nothing is stored under addr.
func (p *Peer) Misses(addr spec.Address) {
	p.Refuses(p.Get(Object(addr)), spec.NotFound)
}

// HTTPRoundTrip stores something new, reads it back and deletes it: the accepted twin of most HTTP cases.
func (p *Peer) HTTPRoundTrip() {
	data := p.t.Bytes(100)
	p.t.Check(p.Upload(data), "an upload of new bytes says that they were stored already")
	p.Serves(data)
	p.Want(p.Do(Request{Method: "DELETE", Path: Object(AddressOf(data))}), 204)
	p.Misses(AddressOf(data))
}

// Length is Content-Length as a number, -1 where there is none.
func (r *Response) Length() int64 {
	n, err := strconv.ParseInt(r.Header.Get("Content-Length"), 10, 64)
	if err != nil {
		return -1
	}
	return n
}
