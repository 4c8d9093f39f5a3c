package linear_test

import (
	"bytes"
	"errors"
	"runtime"
	"testing"

	"lukechampine.com/blake3"

	"github.com/rustyonions/micronode/chaos/linear"
	"github.com/rustyonions/micronode/impl/store"
	"github.com/rustyonions/micronode/spec"
)

// digest names payloads as the law does (CAS-ADR-001).
func digest(b []byte) spec.Address { return blake3.Sum256(b) }

// storeShape is what workloads for the store look like. Objects are empty, within one chunk, of exactly one, and of
// several, and all clients together can hold several times of what fits into storeCapacity.
var storeShape = linear.Shape{
	Clients: 12, Objects: 3, Ops: 5, Sizes: []int{0, 16, 300, 9_000, 65_536, 70_000, 150_000}, Sprint: 100,
}

const storeCapacity = 7 << 16

// bugShape is storeShape without sprints: planted bugs do not need them, and checking cores of long histories by brute
// force takes its time.
var bugShape = linear.Shape{Clients: storeShape.Clients, Objects: storeShape.Objects, Ops: storeShape.Ops, Sizes: storeShape.Sizes}

// storeSubject is a store with clients that call it directly.
type storeSubject struct {
	t *testing.T
	s *store.Store
}

func newStoreSubject(t *testing.T) storeSubject {
	s, err := store.Open(store.Config{Capacity: storeCapacity})
	if err != nil {
		t.Fatal(err)
	}
	return storeSubject{t, s}
}

// clean requires that the end of a history leaves nothing behind: no object and no used capacity (CAS-PUT-005,
// CAS-CAP-008).
func (s storeSubject) clean() {
	if st := s.s.Stats(); st.Objects != 0 || st.Bytes != 0 || st.ArenaUsed != 0 {
		s.t.Errorf("everything is deleted, and the store counts %d objects, %d bytes, %d bytes of memory", st.Objects, st.Bytes, st.ArenaUsed)
	}
}

func (s storeSubject) client() linear.Client { return storeClient{s.s} }

// storeClient carries out requests by calling the store.
type storeClient struct{ s *store.Store }

func (c storeClient) Surface() string { return "store" }

func (c storeClient) Do(r linear.Request, objects []linear.Object, payloads [][]byte) linear.Answer {
	o := objects[r.Object]
	switch r.Kind {
	case linear.Put:
		return c.put(r, o.Address, payloads)
	case linear.Get:
		return c.get(r, o.Address, payloads[r.Object])
	case linear.Has:
		switch _, err := c.s.Stat(o.Address); { // the store has no has of its own: the surfaces ask like this
		case err == nil:
			return linear.True
		case errors.Is(err, spec.NotFound):
			return linear.False
		default:
			return refusal(err)
		}
	case linear.Stat:
		n, err := c.s.Stat(o.Address)
		return answer(err, choose(n == int64(o.Size), linear.Size, linear.OtherSize))
	default:
		return answer(c.s.Delete(o.Address), linear.Deleted)
	}
}

// pause lets others run, if r is not in a hurry.
func pause(r linear.Request) {
	if r.Pieces > 0 {
		runtime.Gosched()
	}
}

// put sends a body in pieces, by Write and by Next in turn, and lets others run in between.
func (c storeClient) put(r linear.Request, addr spec.Address, payloads [][]byte) linear.Answer {
	body, length := r.Body(payloads)
	var want *spec.Address
	if r.Declared {
		want = &addr
	}
	if !r.Sized {
		length = -1
	}
	w, err := c.s.NewWriter(want, length)
	if err != nil {
		return refusal(err)
	}
	defer w.Abort()
	direct := false
	err = r.Cut(body, func(piece []byte) error {
		pause(r)
		if direct = !direct; direct {
			_, err := w.Write(piece)
			return err
		}
		for len(piece) > 0 {
			n := copy(w.Next(), piece)
			if err := errors.Join(w.Err(), w.Advance(n)); err != nil {
				return err
			}
			if n == 0 { // no room for what was not declared
				_, err := w.Write(piece)
				return err
			}
			piece = piece[n:]
			pause(r)
		}
		return nil
	})
	if err != nil {
		return refusal(err)
	}
	pause(r)
	if r.Fault == linear.Cancelled {
		return linear.GivenUp
	}
	_, created, err := w.Commit()
	return answer(err, choose(created, linear.Created, linear.Existed))
}

// get reads an object to its end, in pieces, and compares every byte.
func (c storeClient) get(r linear.Request, addr spec.Address, payload []byte) linear.Answer {
	h, err := c.s.Get(addr)
	if err != nil {
		return refusal(err)
	}
	defer h.Release()
	pause(r)
	if h.Size() != int64(len(payload)) {
		return linear.OtherBytes
	}
	piece := max(1, (len(payload)+r.Pieces-1)/max(r.Pieces, 1))
	for off := int64(0); off < h.Size(); {
		view, err := h.View(off, piece)
		if err != nil {
			return refusal(err)
		}
		pause(r) // between the check of the bytes and their use
		if len(view) == 0 || !bytes.Equal(view, payload[off:off+int64(len(view))]) {
			return linear.OtherBytes
		}
		off += int64(len(view))
	}
	return linear.Bytes
}

// refusal is the reason in err, which is one of the law's.
func refusal(err error) linear.Answer {
	reason := spec.Internal
	errors.As(err, &reason)
	return linear.Answer(reason)
}

func answer(err error, good linear.Answer) linear.Answer {
	if err != nil {
		return refusal(err)
	}
	return good
}

func choose(which bool, yes, no linear.Answer) linear.Answer {
	if which {
		return yes
	}
	return no
}
