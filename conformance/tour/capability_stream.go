package tour

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"lukechampine.com/blake3"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

const (
	// A get over HTTP is held up by the buffers of the sockets, which take less than this.
	bulk = 12 << 20
	// A machine with other work may take this beyond the second of CAP-REV-003.
	endSlack = time.Second
)

type stored struct {
	text []byte
	addr spec.Address
}

// bulkObject is what gets over HTTP are of.
var bulkObject = sync.OnceValue(func() stored {
	b := make([]byte, bulk)
	rand.NewChaCha8([32]byte{'b', 'u', 'l', 'k'}).Read(b)
	return stored{b, blake3.Sum256(b)}
})

// capStream is an open request.
type capStream struct {
	op     string
	via    string
	link   *link // of OAP/1
	corr   uint64
	web    *web // of HTTP
	answer *http.Response
	since  time.Time
}

// use makes a request that is admitted, and holds it open.
func (d *capDrive) use(l capLeg) (err error) {
	if d.turn%4 == 0 {
		if err := d.verify(l); err != nil {
			return err
		}
	}
	a, err := d.asked(l)
	if err != nil {
		return err
	}
	s := &capStream{op: a.op, via: d.via(l), since: time.Now()}
	number := 0
	for i := range l.to.Streams {
		if l.to.Streams[i] != l.from.Streams[i] {
			number = i + 1
		}
	}
	if s.via == "http" {
		err = d.useWeb(s, a)
	} else {
		s.link = d.doors.link[s.via]
		frame := a.frame(s.link, 0)
		var said map[uint64][]refwire.Frame
		if said, err = d.exchange(s.link, frame, l.op.String()); err == nil && len(said[s.link.corr]) > 0 {
			err = d.fail("%s over %s is answered %s", l.op, s.via, names(said[s.link.corr]))
		}
		s.corr = s.link.corr
	}
	d.streams[number] = s
	return err
}

// useWeb holds a put open by its body, and a get by not reading what comes.
func (d *capDrive) useWeb(s *capStream, a asked) (err error) {
	if err := d.stock(); err != nil {
		return err
	}
	if s.web, err = d.at.node.browse(); err != nil {
		return err
	}
	s.web.nc.SetReadBuffer(256 << 10)
	switch a.op {
	case "put":
		method := a.write(s.web, "Transfer-Encoding: chunked\r\nExpect: 100-continue\r\n")
		r, err := s.web.receive(method)
		if err == nil && r.StatusCode != http.StatusContinue {
			err = d.fail("an upload is answered %s before its body", r.Status)
		}
		return err
	case "delete":
		_ = a.write(s.web, "")
		return nil
	}
	a.obj = bulkObject().addr
	method := a.write(s.web, "")
	s.web.nc.SetReadDeadline(time.Now().Add(patience))
	s.answer, err = http.ReadResponse(s.web.br, &http.Request{Method: method})
	if err == nil && (s.answer.StatusCode != http.StatusOK || s.answer.ContentLength != bulk) {
		err = d.fail("a get is answered %s, %d bytes", s.answer.Status, s.answer.ContentLength)
	}
	return err
}

// stock puts what is read over HTTP, once.
func (d *capDrive) stock() error {
	if d.at.stocked {
		return nil
	}
	c := d.doors.link["oap"]
	r := refwire.Request{Op: "put", Obj: bulkObject().addr, HasObj: true, TotalLen: bulk}
	frames := append(c.open(0, r), c.data(c.corr, r, 0, bulkObject().text)...)
	said, err := d.exchange(c, append(frames, c.frame(c.corr, spec.FlagEnd, nil)...), "stock")
	if err != nil {
		return err
	}
	var last []refwire.Frame
	for _, f := range said[c.corr] {
		if f.Flags&spec.FlagEvent == 0 {
			last = append(last, f)
		}
	}
	_, reason, err := final("put", last)
	if err == nil && reason != spec.None {
		err = d.fail("put what will be read: %s", reason)
	}
	d.at.stocked = err == nil
	return err
}

// finish lets a request be answered, or takes it back.
func (d *capDrive) finish(l capLeg) error {
	s := d.streams[l.op.Stream]
	delete(d.streams, l.op.Stream)
	if s.web != nil {
		return d.finishWeb(s)
	}
	if d.turn%2 == 0 {
		said, err := d.exchange(s.link, s.link.cancel(s.corr), "CANCEL")
		if err == nil && len(said[s.corr]) > 0 {
			err = d.fail("CANCEL is answered %s", names(said[s.corr]))
		}
		return err
	}
	var frames []byte
	if s.op == "put" {
		frames = s.link.data(s.corr, refwire.Request{TotalLen: putLen}, 0, make([]byte, putLen))
	}
	said, err := d.exchange(s.link, append(frames, s.link.frame(s.corr, spec.FlagEnd, nil)...), "END")
	if err != nil {
		return err
	}
	_, reason, err := final(s.op, said[s.corr])
	if err == nil && (reason == spec.None) != (s.op == "put") || reason != spec.None && reason != spec.NotFound {
		err = d.fail("the %s that was admitted is answered %q", s.op, reason)
	}
	return err
}

func (d *capDrive) finishWeb(s *capStream) error {
	defer s.web.reset()
	switch {
	case s.op == "delete":
		r, err := s.web.receive(http.MethodDelete)
		if err == nil && r.reason != spec.NotFound {
			err = d.fail("the delete that was admitted is answered %s", r.Status)
		}
		return err
	case s.op == "put" && d.turn%2 == 0:
		up := upload{s.web}
		up.arrive([]byte("a small object"))
		up.end()
		_, _, reason, err := up.stored()
		if err == nil && reason != spec.None {
			err = d.fail("the upload that was admitted is answered %q", reason)
		}
		return err
	case s.op == "get" && d.turn%4 == 0:
		body, err := io.ReadAll(s.answer.Body)
		if err != nil || !bytes.Equal(body, bulkObject().text) {
			return d.fail("a get that was admitted has %d bytes (%v)", len(body), err)
		}
	}
	return nil
}

// ended wants the node to end a stream whose capability was revoked or has expired, within the second of CAP-REV-003.
func (d *capDrive) ended(l capLeg) error {
	s := d.streams[l.op.Stream]
	delete(d.streams, l.op.Stream)
	by := d.cause.Add(spec.RevocationTime + endSlack)
	if d.cause.IsZero() {
		return d.fail("nothing ended the capability")
	}
	switch {
	case s.link != nil:
		f, err := d.await(s, by)
		if err != nil || !isError(f, spec.Unauth) {
			return d.fail("a stream whose capability is over hears %s (%v) (CAP-REV-003)", name(f), err)
		}
		_, err = d.exchange(s.link, s.link.cancel(s.corr), "the END of a stream that was ended")
		return err
	case s.op == "put":
		defer s.web.reset()
		s.web.nc.SetReadDeadline(by)
		r, err := s.web.receiveBy(http.MethodPost, by)
		if err != nil || r.reason != spec.Unauth {
			return d.fail("an upload whose capability is over is answered %v %q (%v) (CAP-REV-003)", r.Response, r.reason, err)
		}
		return nil
	}
	defer s.web.reset()
	// What was sent already may still come, but not all of it. Reading makes room for more, so the node gets its time first.
	<-time.After(time.Until(d.cause.Add(expiryMargin)))
	s.web.nc.SetReadDeadline(by.Add(patience))
	n, err := io.Copy(io.Discard, s.answer.Body)
	var late net.Error
	if err == nil || errors.As(err, &late) && late.Timeout() || n >= bulk {
		return d.fail("a get whose capability is over ends with %d of %d bytes, %v (CAP-REV-003)", n, bulk, err)
	}
	return nil
}

// await takes the next frame of a stream, and keeps those of others that end with it.
func (d *capDrive) await(s *capStream, by time.Time) (refwire.Frame, error) {
	early := d.doors.early[s.via]
	for len(early[s.corr]) == 0 {
		f, err := s.link.read(by)
		if err != nil {
			return f, err
		}
		early[f.Corr] = append(early[f.Corr], f)
	}
	f := early[s.corr][0]
	delete(early, s.corr)
	return f, nil
}
