package conformance

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// RawHTTP is one connection to the HTTP surface on which a case writes its own bytes. Its methods are for one
// goroutine.
type RawHTTP struct {
	p   *Peer
	t   *T
	nc  net.Conn
	br  *bufio.Reader
	tr  *transcript
	cap []byte // of every Head without an Authorization of its own
}

// Raw connects to the HTTP surface and sends nothing.
func (p *Peer) Raw() *RawHTTP {
	t := p.t
	p.usedHTTP.Store(true)
	nc, err := p.connect(p.base.Host, "http/1.1", 0)
	if err != nil {
		t.Failf("no HTTP connection: %v", err)
	}
	t.onClose(func() { nc.Close() })
	return &RawHTTP{p: p, t: t, cap: p.cap, nc: nc, br: bufio.NewReader(nc), tr: t.script("http " + p.base.Host)}
}

// Write sends text as it is. That the node may have closed the connection is for the reaction to say.
func (r *RawHTTP) Write(text string) {
	r.tr.add('>', nil, fmt.Sprintf("%q", text[:min(len(text), shownText)]))
	r.nc.SetWriteDeadline(time.Now().Add(r.t.Within(spec.RequestTimeout)))
	if _, err := io.WriteString(r.nc, text); err != nil {
		r.tr.remark("writing: %v", err)
	}
}

// Head sends a request head with Host, these header lines and, where none of them is an Authorization, the capability.
func (r *RawHTTP) Head(method, path string, headers ...string) {
	r.p.take(1)
	lines := append([]string{method + " " + path + " HTTP/1.1", "Host: " + r.p.base.Host}, authorized(r.cap, headers)...)
	r.Write(strings.Join(lines, "\r\n") + "\r\n\r\n")
}

// CloseWrite ends the sending direction only.
func (r *RawHTTP) CloseWrite() {
	r.tr.remark("half-close")
	if half, ok := r.nc.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
	}
}

// Response takes the next answer, to a request with method; it has to come promptly.
func (r *RawHTTP) Response(method string) *Response {
	return r.ResponseWithin(r.t.Patience(), method)
}

// ResponseWithin is Response with a patience of its own.
func (r *RawHTTP) ResponseWithin(patience time.Duration, method string) *Response {
	resp, err := r.Try(patience, method)
	r.t.Check(err == nil, "no answer: %v", err)
	return resp
}

// Try is ResponseWithin where the absence of an answer is one of the possible reactions.
func (r *RawHTTP) Try(patience time.Duration, method string) (*Response, error) {
	r.nc.SetReadDeadline(time.Now().Add(patience))
	res, err := http.ReadResponse(r.br, &http.Request{Method: method})
	if err != nil {
		r.tr.remark("%v", err)
		return nil, err
	}
	defer res.Body.Close()
	return whole(r.tr, res), nil
}

// Closed demands that the connection ends promptly, without another byte.
func (r *RawHTTP) Closed() { r.ClosedWithin(r.t.Patience()) }

// ClosedWithin is Closed with a patience of its own.
func (r *RawHTTP) ClosedWithin(patience time.Duration) {
	r.nc.SetReadDeadline(time.Now().Add(patience))
	b, err := r.br.ReadByte()
	if err != nil {
		r.tr.remark("%v", err)
	}
	r.t.Check(err != nil, "a byte %#02x where the connection should have ended", b)
	r.t.Check(!errors.Is(err, os.ErrDeadlineExceeded), "the connection is still open after %v", patience)
}

// Silent demands that neither an answer nor the end of the connection comes for a short while.
func (r *RawHTTP) Silent() {
	r.nc.SetReadDeadline(time.Now().Add(min(r.t.Patience(), max(100*time.Millisecond, 4*r.t.s.rtt))))
	_, err := r.br.Peek(1)
	r.t.Check(errors.Is(err, os.ErrDeadlineExceeded), "the node did not wait: %v", err)
}
