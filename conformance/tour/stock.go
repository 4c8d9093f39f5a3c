package tour

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/model/session"
	"github.com/rustyonions/micronode/spec"
)

// stock puts an object into the node that it answers in n DATA frames. How it cuts them is its own affair, so the size
// is found by trying, once: known keeps it.
func stock(node *target, n int, known *atomic.Int64) (spec.Address, error) {
	c, err := dial(node.OAP)
	if err != nil {
		return spec.Address{}, err
	}
	defer c.nc.Close()
	s := &stocker{c: c, cap: node.cap}
	c.send(scene{}.frames(sessionState{}, sessionOp{Op: session.Op{Kind: session.Hello}}, true), "HELLO")
	if _, err := s.next(); err != nil {
		return spec.Address{}, err
	}
	if size := known.Load(); size > 0 {
		return s.put(int(size))
	}
	for size, try := n*maxFrame, 0; try < 20; try++ {
		obj, err := s.put(size)
		if err != nil {
			return obj, err
		}
		frames, largest, err := s.get(obj)
		if err != nil {
			return obj, err
		}
		if frames == n {
			known.Store(int64(size))
			return obj, nil
		}
		size -= (frames - n) * largest
	}
	return spec.Address{}, fmt.Errorf("no size is answered in %d DATA frames", n)
}

type stocker struct {
	c    *conn
	cap  []byte
	corr uint64
}

func (s *stocker) next() (refwire.Frame, error) { return s.c.read(time.Now().Add(patience)) }

func (s *stocker) start(flags spec.Flags, r refwire.Request) {
	s.corr++
	s.send(spec.FlagStart|flags, refwire.EncodeRequest(r))
}

func (s *stocker) send(flags spec.Flags, payload []byte) {
	f := refwire.Frame{Ver: spec.Version, Flags: spec.FlagReq | flags, Proto: spec.ProtoObjects, Corr: s.corr, Payload: payload}
	if flags&spec.FlagStart != 0 {
		f.Cap = s.cap
	}
	s.c.send(seal(f), "stock")
}

func (s *stocker) put(size int) (spec.Address, error) {
	s.start(0, refwire.Request{Op: "put", TotalLen: int64(size)})
	const piece = 2048
	for at := 0; at < size; at += piece {
		s.send(0, refwire.EncodeData(refwire.Data{Offset: int64(at), TotalLen: int64(size), Body: make([]byte, min(size-at, piece))}))
	}
	s.send(spec.FlagEnd, nil)
	f, err := s.next()
	if err != nil {
		return spec.Address{}, err
	}
	a, bad := refwire.DecodeAnswer("put", f.Data)
	if bad != spec.None {
		return a.Obj, fmt.Errorf("put answers %s", name(f))
	}
	return a.Obj, nil
}

// get counts the DATA frames of an answer, and the bytes of the largest.
func (s *stocker) get(obj spec.Address) (frames, largest int, err error) {
	s.start(spec.FlagEnd, refwire.Request{Op: "get", Obj: obj, HasObj: true})
	for {
		f, err := s.next()
		if err != nil {
			return frames, largest, err
		}
		if f.Flags&spec.FlagEnd != 0 {
			return frames, largest, nil
		}
		d, bad := refwire.DecodeData(f.Data)
		if bad != spec.None {
			return frames, largest, fmt.Errorf("get answers %s", name(f))
		}
		frames, largest = frames+1, max(largest, len(d.Body))
	}
}
