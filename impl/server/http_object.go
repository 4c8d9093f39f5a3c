package server

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/impl/store"
	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// object serves /o/{addr}.
func (x *exchange) object() {
	addr, err := spec.ParseAddress(x.args[0])
	if err != nil {
		x.refuse(spec.Malformed, "an address is b3: and 64 lowercase hex digits")
		return
	}
	if x.r.Method != http.MethodPut && x.r.ContentLength > spec.MaxBody { // ADM-HTP-001
		x.refuse(spec.Oversize, "a request body is at most 1 MiB, and this one has no use for any")
		return
	}
	if x.r.Method == http.MethodPut {
		x.upload(&addr)
		return
	}
	if !x.authorize("/o/"+x.args[0], 0) {
		return
	}
	switch x.r.Method {
	case http.MethodDelete:
		if err := x.n.store.Delete(addr); err != nil {
			x.refuse(reasonOf(err), "")
			return
		}
		x.head(http.StatusNoContent)
	default:
		x.download(addr)
	}
}

// download serves GET and HEAD (HTTP-GET, HTTP-RNG).
func (x *exchange) download(addr spec.Address) {
	h, err := x.n.store.Get(addr)
	if err != nil {
		x.refuse(reasonOf(err), "")
		return
	}
	defer h.Release()
	size := h.Size()
	var etagBuf [spec.AddressLen + 2]byte
	tag, _ := addr.AppendText(append(etagBuf[:0], '"'))
	etag := string(append(tag, '"'))

	head := x.w.Header()
	head["Etag"] = []string{etag}
	if noneMatch(x.r.Header["If-None-Match"], etag) {
		x.head(http.StatusNotModified)
		return
	}
	from, to, status := int64(0), size, http.StatusOK
	if x.r.Method == http.MethodGet {
		from, to, status = selectRange(x.r.Header, etag, size)
	}
	switch status {
	case http.StatusRequestedRangeNotSatisfiable:
		head.Set("Content-Range", "bytes */"+strconv.FormatInt(size, 10))
		x.refuse(spec.BadRange, "")
		return
	case http.StatusPartialContent:
		head.Set("Content-Range", "bytes "+strconv.FormatInt(from, 10)+"-"+strconv.FormatInt(to-1, 10)+"/"+strconv.FormatInt(size, 10))
	default:
		head["Accept-Ranges"] = bytesly
	}
	head["Content-Type"] = octets
	head["Content-Length"] = []string{strconv.FormatInt(to-from, 10)}
	if x.r.Method == http.MethodHead {
		to = from
	}
	x.send(h, from, to, status)
}

// viewBytes is how much is verified and then written at once: more saves system calls, less is still in the cache
// when it is written.
const viewBytes = 256 << 10

// send writes stored bytes. Everything is verified before it leaves; the first bytes before the status
// does, a later bad chunk cuts the connection (HTTP-GET-006, 007).
func (x *exchange) send(h *store.Handle, from, to int64, status int) {
	for off := from; off < to; {
		view, err := h.View(off, int(min(to-off, viewBytes)))
		if err != nil {
			if off == from {
				x.refuse(reasonOf(err), "")
				return
			}
			x.n.metrics.reject(reasonOf(err)) // HTTP-GET-007: too late for an answer
			x.n.integrity()
			panic(http.ErrAbortHandler)
		}
		if off == from {
			x.head(status)
		}
		if _, err := x.w.Write(view); err != nil {
			x.cut(err)
		}
		off += int64(len(view))
	}
	if from == to {
		x.head(status)
	}
}

// cut ends an answer that could not be written to its end: a short body is the only sign that is left to give.
func (x *exchange) cut(err error) {
	switch {
	case x.ended():
		x.denied(spec.Unauth) // CAP-REV-003: too late for an answer
		x.n.metrics.reject(spec.Unauth)
	case errors.Is(err, os.ErrDeadlineExceeded):
		x.n.metrics.reject(spec.Timeout) // ADM-TIM-002
	}
	panic(http.ErrAbortHandler) // that, or the peer left
}

// upload serves POST /put and PUT /o/{addr} (HTTP-PUT, HTTP-ENC, ADM-HTP).
func (x *exchange) upload(want *spec.Address) {
	coding := x.r.Header["Content-Encoding"]
	switch {
	case len(x.r.Header["Content-Range"]) > 0:
		x.refuse(spec.Malformed, "a part of an object can not be stored: Content-Range is not accepted")
		return
	case len(coding) > 1 || len(coding) == 1 && !strings.EqualFold(coding[0], "gzip") && !strings.EqualFold(coding[0], "zstd"):
		x.w.Header().Set("Accept-Encoding", "gzip, zstd")
		x.refuse(spec.UnsupportedEncoding, "")
		return
	case x.r.ContentLength > spec.MaxBody:
		x.refuse(spec.Oversize, "an HTTP upload is at most 1 MiB; store larger objects over OAP/1")
		return
	}
	path := "/put"
	if want != nil {
		path = "/o/" + x.args[0]
	}
	total := x.r.ContentLength
	if !x.authorize(path, uint64(max(total, 0))) {
		return
	}
	if len(coding) == 1 {
		total = -1
	}
	sw, err := x.n.store.NewWriter(want, total)
	if err != nil {
		x.refuse(reasonOf(err), "")
		return
	}
	defer sw.Abort()
	w := &granted{Writer: sw, lease: x.lease}
	if len(coding) == 1 {
		err = decodeInto(w, x.r.Body, strings.ToLower(coding[0]))
	} else {
		err = receive(w, x.r.Body, total)
	}
	if err != nil {
		x.refuseBody(err)
		return
	}
	if x.ended() {
		x.refuse(spec.Unauth, "")
		return
	}
	addr, created, err := w.Commit()
	if err != nil {
		x.refuse(reasonOf(err), "")
		return
	}
	status := http.StatusOK
	if created {
		status = http.StatusCreated
	}
	x.stored(addr, status)
}

// stored answers an upload (HTTP-PUT-001 to 004).
func (x *exchange) stored(addr spec.Address, status int) {
	const open, end = `{"address":"`, "\"}\n"
	var buf [len(open) + spec.AddressLen + len(end)]byte
	b, _ := addr.AppendText(append(buf[:0], open...))
	text := string(b[len(open):])
	b = append(b, end...)
	h := x.w.Header()
	h["Content-Type"] = jsonly
	h["Content-Length"] = []string{strconv.Itoa(len(b))}
	h["Location"] = []string{"/o/" + text}
	x.head(status)
	x.w.Write(b)
}

// granted is a put under a capability: no more bytes arrive in it than that allows (CAP-CAV-012).
type granted struct {
	*store.Writer
	lease *capability.Lease
	n     uint64
}

// Advance is that of the Writer.
func (g *granted) Advance(n int) error {
	if g.n += uint64(n); g.lease.CheckBytes(g.n) != nil {
		return spec.Forbidden
	}
	return g.Writer.Advance(n)
}

// Write is that of the Writer.
func (g *granted) Write(b []byte) (int, error) {
	if g.n += uint64(len(b)); g.lease.CheckBytes(g.n) != nil {
		return 0, spec.Forbidden
	}
	return g.Writer.Write(b)
}

// refuseBody turns an error of reading a body into a refusal.
func (x *exchange) refuseBody(err error) {
	var r spec.Reason
	switch {
	case x.ended(): // its deadline was moved up
		r = spec.Unauth
	case errors.As(err, &r):
	case errors.Is(err, os.ErrDeadlineExceeded):
		r = spec.Timeout
	case errors.Is(err, io.ErrUnexpectedEOF):
		r = spec.Truncated
	default: // broken chunked coding, or the connection is gone
		r = spec.Malformed
	}
	if !errors.As(err, new(spec.Reason)) {
		x.w.Header().Set("Connection", "close") // the framing of the body broke: where the next request begins is unknown
	}
	if r == spec.Malformed || r == spec.Truncated {
		// Where the next request would start is not known any more; reading on could smuggle one.
		x.w.Header().Set("Connection", "close")
	}
	detail := ""
	if r == spec.Oversize {
		detail = "an HTTP upload is at most 1 MiB; store larger objects over OAP/1"
	}
	x.refuse(r, detail)
}

// receive reads a plain body straight into the store. total is its declared length, or -1.
func receive(w *granted, body io.Reader, total int64) error {
	for got := int64(0); got != total; {
		if got == spec.MaxBody { // undeclared: is there one byte more?
			var probe [1]byte
			if _, err := io.ReadFull(body, probe[:]); err != io.EOF {
				if err == nil {
					err = spec.Oversize
				}
				return err
			}
			return nil
		}
		space := w.Next()
		if len(space) == 0 { // the store had no room for the next chunk
			return w.Err()
		}
		n, err := body.Read(space[:min(int64(len(space)), spec.MaxBody-got)])
		got += int64(n)
		if werr := w.Advance(n); werr != nil {
			return werr
		}
		if err == io.EOF && (total < 0 || got == total) {
			return nil
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// decodeInto reads a coded body, at most spec.MaxBody bytes of it as they arrive, and stores what it expands to.
// Nothing is decoded before all of it is there: only then is the ratio known (ADM-HTP-006).
func decodeInto(w *granted, body io.Reader, coding string) error {
	var coded bytes.Buffer
	defer func() { clear(coded.Bytes()[:coded.Cap()]) }()
	if _, err := coded.ReadFrom(io.LimitReader(body, spec.MaxBody+1)); err != nil {
		return err
	}
	if coded.Len() > spec.MaxBody {
		return spec.Oversize
	}
	limit := min(spec.MaxRatio*max(coded.Len(), spec.RatioFloor), spec.MaxBody)
	if coding == "zstd" {
		plain, done, reason := wire.Inflate(coded.Bytes(), limit)
		switch reason {
		case spec.None:
		case spec.BadZstd:
			return spec.Malformed // the law's word for a broken coding over HTTP (HTTP-ENC-007)
		default:
			return reason
		}
		defer done()
		_, err := w.Write(plain)
		return err
	}
	return gunzip(w, coded.Bytes(), limit)
}

// gunzip stores what exactly one gzip member expands to (HTTP-ENC-004).
func gunzip(w *granted, coded []byte, limit int) error {
	in := bytes.NewReader(coded)
	zr, err := gzip.NewReader(in)
	if err != nil {
		return spec.Malformed
	}
	zr.Multistream(false)
	var buf [32 << 10]byte
	defer clear(buf[:])
	for size := 0; ; {
		n, err := zr.Read(buf[:])
		if size += n; size > limit {
			return spec.DecompressCap
		}
		if _, werr := w.Write(buf[:n]); werr != nil {
			return werr
		}
		switch {
		case err == io.EOF && in.Len() == 0:
			return nil
		case err != nil: // bytes behind the member, or a broken one
			return spec.Malformed
		}
	}
}
