package linear

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"

	"github.com/rustyonions/micronode/spec"
)

// Shape says what random workloads look like.
type Shape struct {
	Clients int   // at the same time
	Objects int   // how many addresses they share; at least 2
	Ops     int   // of each client
	Sizes   []int // bytes of objects, to choose from; 0 or at least minSize
	// Sprint, if not 0, is how many operations each client has in one plan of four: those use the first two sizes only, and
	// nobody pauses. There the operations themselves collide, where otherwise their pauses do.
	Sprint int
}

// minSize is from how many bytes on different seeds mean different objects, and so different addresses.
const minSize = 16

// Plan is a workload: what each client asks for, one after the other. It is plain data and follows from its seed.
type Plan struct {
	Seed     uint64
	Objects  []Object // their addresses are for the caller to fill in
	Requests [][]Request
}

// Random makes the plan of a seed. Equal seeds and shapes give equal plans.
//
// Every client mixes all operations on all objects: puts with and without declared address and length, whole and in
// pieces, some with a fault; reads in one go and in pieces.
func Random(seed uint64, shape Shape) Plan {
	rng := rand.New(rand.NewPCG(seed, 0x6c696e656172))
	p := Plan{Seed: seed, Requests: make([][]Request, shape.Clients)}
	sprint := rng.IntN(4) == 0 && shape.Sprint > 0
	if sprint {
		shape.Ops, shape.Sizes = shape.Sprint, shape.Sizes[:2]
	}
	for i := range shape.Objects {
		size := shape.Sizes[rng.IntN(len(shape.Sizes))]
		if i > 0 {
			size = max(size, minSize) // the empty object has one address, whatever its seed
		}
		p.Objects = append(p.Objects, Object{Seed: rng.Uint64(), Size: size})
	}
	// Half of the workloads begin with everybody at the same object, so that operations on one address overlap widely.
	crowd := rng.IntN(2) == 0
	for c := range p.Requests {
		for n := range shape.Ops {
			r := Request{Object: rng.IntN(len(p.Objects))}
			if crowd && n == 0 {
				r.Object = 0
			}
			r.choose(rng, p.Objects[r.Object].Size)
			if sprint {
				r.Pieces = 0
			}
			p.Requests[c] = append(p.Requests[c], r)
		}
	}
	return p
}

// choose fills in what is to be done with an object of size bytes.
func (r *Request) choose(rng *rand.Rand, size int) {
	r.Pieces = 1 + rng.IntN(4)
	switch n := rng.IntN(20); {
	case n < 8:
		r.Kind = Put
		r.Declared, r.Sized = rng.IntN(2) == 0, rng.IntN(2) == 0
		r.spoil(rng, size)
	case n < 12:
		r.Kind = Get
	case n < 14:
		r.Kind, r.Pieces = Has, 0
	case n < 16:
		r.Kind, r.Pieces = Stat, 0
	default:
		r.Kind, r.Pieces = Delete, 0
	}
}

// spoil gives one put in four a fault, where the object allows it.
func (r *Request) spoil(rng *rand.Rand, size int) {
	if rng.IntN(4) > 0 {
		return
	}
	switch f := Faults()[1+rng.IntN(4)]; {
	case f == WrongDigest:
		r.Fault, r.Declared = f, true
	case f == Cancelled:
		r.Fault = f
	case size > 0: // one byte too many or too few
		r.Fault, r.Sized = f, true
	}
}

// Body is what a put of r sends, and the length that it declares if it declares one. With the fault WrongDigest these are
// the bytes of the next object, so that a store that ignores the declared address creates an object that nobody put; where
// there is only one, its bytes and one more. payloads[i] are the bytes of object i.
func (r Request) Body(payloads [][]byte) (body []byte, length int64) {
	body = payloads[r.Object]
	switch length = int64(len(body)); r.Fault {
	case WrongDigest:
		if next := (r.Object + 1) % len(payloads); next != r.Object {
			body = payloads[next]
		} else {
			body = append(slices.Clone(body), 0)
		}
		length = int64(len(body))
	case TooLong:
		length--
	case TooShort:
		body = body[:len(body)-1]
	}
	return body, length
}

// Cut calls each for every piece of body, in order, until one fails. A body without bytes has no pieces.
func (r Request) Cut(body []byte, each func(piece []byte) error) error {
	size := (len(body) + max(r.Pieces, 1) - 1) / max(r.Pieces, 1)
	for len(body) > 0 {
		n := min(size, len(body))
		if err := each(body[:n]); err != nil {
			return err
		}
		body = body[n:]
	}
	return nil
}

// Payload is the bytes of an object: those of a random source with its seed.
func (o Object) Payload() []byte {
	b := make([]byte, o.Size+8)
	rng := rand.NewPCG(o.Seed, 0x6f626a656374)
	for at := 0; at < o.Size; at += 8 {
		binary.LittleEndian.PutUint64(b[at:], rng.Uint64())
	}
	return b[:o.Size:o.Size]
}

// Name fills in the addresses of the objects with the digests of their bytes, and returns these.
func (p *Plan) Name(digest func([]byte) spec.Address) (payloads [][]byte) {
	for i := range p.Objects {
		b := p.Objects[i].Payload()
		payloads = append(payloads, b)
		p.Objects[i].Address = digest(b)
	}
	return payloads
}
