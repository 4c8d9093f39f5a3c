package wire

import (
	"encoding/binary"

	"github.com/rustyonions/micronode/spec"
)

// Frame is one accepted frame. Its slices are views into the Decoder that made it: they hold until that
// Decoder's next Space, Next or Close, which overwrite what they show.
type Frame struct {
	Header
	// Cap is the capability: CapLen bytes, empty without START.
	Cap []byte
	// Payload is the payload as it came over the wire.
	Payload []byte
	// Data is the payload to work with: the expanded one with COMP, Payload itself without.
	Data []byte
}

// Verdict is what a Decoder says about the bytes it has.
type Verdict uint8

const (
	// More: so far nothing is wrong, and nothing is complete.
	More Verdict = iota
	// Accept: one frame is complete and legal.
	Accept
	// Reject: the bytes break a rule. Where the next frame would start is unknown (OAP-FRM-012).
	Reject
)

// String returns "more", "accept" or "reject".
func (v Verdict) String() string {
	switch v {
	case More:
		return "more"
	case Accept:
		return "accept"
	case Reject:
		return "reject"
	}
	return "invalid"
}

// Sizes of the read buffer, in bytes.
const (
	restCap = 4 << 10   // what a connection holds while nothing is known about it
	bulkCap = 256 << 10 // the most it holds between frames, once its traffic has filled less
	stepCap = 64 << 10  // how far the buffer of a new connection may run ahead of a large frame
	minRead = 2 << 10   // a smaller rest of the buffer is not worth a read

	// quietReads is how many reads in a row that find little in the buffer make it shrink by half.
	quietReads = 64
)

// Decoder takes a byte stream in pieces of any size and hands out frames (OAP-FRM-010). It belongs to one
// goroutine.
//
// Invariants: every byte of buf outside [r-taken, w) is zero, so neither growing nor shrinking nor the next
// read can leak an older payload. When Space returns, len(buf) is at most the unread bytes plus the larger of
// want and stepCap, and want never passes bulkCap (OAP-FRM-011).
type Decoder struct {
	maxFrame uint32
	reason   spec.Reason // why the stream was rejected; for good

	buf     []byte
	r, w    int // unread bytes are buf[r:w]
	taken   int // the frame handed out last is buf[r-taken:r]
	offered int // bytes that Space offered and Filled has not taken yet

	want  int // len(buf) between frames, restCap to bulkCap
	quiet int // reads in a row that found no use for want

	plain *inflated // what the frame handed out last expanded to, or nil
}

// NewDecoder returns a Decoder that rejects frames above maxFrame bytes. It holds no memory before the first
// Space.
func NewDecoder(maxFrame uint32) *Decoder {
	return &Decoder{maxFrame: maxFrame, want: restCap}
}

// SetMaxFrame sets the limit of OAP-FRM-003, in bytes, for every frame that Next has not handed out yet
// (OAP-HEL-006).
func (d *Decoder) SetMaxFrame(n uint32) { d.maxFrame = n }

// Space returns where to put the bytes that arrive next; it is never empty. It ends the life of the last
// frame's views. Its size follows the bytes that arrived, not the lengths that were claimed (OAP-FRM-011).
func (d *Decoder) Space() []byte {
	d.release()
	if d.reason != spec.None {
		d.drop()
	}
	unread, frame := d.w-d.r, 0
	if unread >= 4 {
		frame = int(min(binary.BigEndian.Uint32(d.buf[d.r:]), d.maxFrame))
	}
	d.settle(max(unread, frame))
	if unread > 0 {
		d.makeRoom(unread, max(frame, spec.HeaderLen))
	} else {
		d.r, d.w = 0, 0
		if len(d.buf) != d.want {
			d.buf = make([]byte, d.want)
		}
	}
	d.offered = len(d.buf) - d.w
	return d.buf[d.w:]
}

// settle lets want shrink when read after read begins, and ends (see Filled), with little use for it. A large
// frame that was only begun is use enough: it may keep what the connection has, not ask for more.
func (d *Decoder) settle(use int) {
	if use >= d.want/8 {
		d.quiet = 0
	} else if d.quiet++; d.quiet >= quietReads {
		d.quiet = 0
		d.want = max(d.want/2, restCap)
	}
}

// makeRoom sees to it that a useful number of bytes fits behind the unread ones, the first of a frame that says
// it has frame bytes. It moves or copies them rarely enough that a stream cut into single bytes costs no more than
// linear time.
func (d *Decoder) makeRoom(unread, frame int) {
	missing := frame - unread
	if missing <= 0 {
		missing = minRead // the caller reads on without asking for the frames that are there
	}
	// How far the buffer may run ahead; half of that, or all that is missing, is worth a read.
	ahead := max(d.want, min(unread, stepCap))
	enough := min(missing, ahead/2)
	switch {
	case len(d.buf) > max(d.want, unread+ahead): // left from a larger frame
		d.resize(max(d.want, unread+min(missing, ahead)))
	case len(d.buf)-d.w >= enough:
	case len(d.buf)-unread >= enough:
		d.compact()
	default:
		d.resize(max(d.want, unread+min(missing, ahead)))
	}
}

// compact moves the unread bytes to the front of the buffer.
func (d *Decoder) compact() {
	unread := copy(d.buf, d.buf[d.r:d.w])
	clear(d.buf[unread:d.w])
	d.r, d.w = 0, unread
}

// resize moves the unread bytes to the front of a new buffer of n bytes.
func (d *Decoder) resize(n int) {
	buf := make([]byte, n)
	unread := copy(buf, d.buf[d.r:d.w])
	clear(d.buf[d.r:d.w])
	d.buf, d.r, d.w = buf, 0, unread
}

// Filled says that n bytes arrived in the slice that Space returned last. It panics if they do not fit there.
func (d *Decoder) Filled(n int) {
	if n < 0 || n > d.offered {
		panic("wire: Filled with more bytes than Space offered")
	}
	if n == d.offered && n > 0 { // there may have been more: this connection is worth longer reads
		d.want = min(2*d.want, bulkCap)
	}
	if n >= d.want/8 {
		d.quiet = 0
	}
	d.w += n
	d.offered = 0
}

// Next judges the bytes that arrived. With Accept f is the next frame; with More and Reject f is meaningless.
// The reason is spec.None unless the verdict is Reject, and from then on verdict and reason stay the same.
func (d *Decoder) Next(f *Frame) (Verdict, spec.Reason) {
	if d.reason != spec.None {
		return Reject, d.reason
	}
	d.release()
	b := d.buf[d.r:d.w]
	if len(b) < 4 {
		return More, spec.None
	}
	if len(b) < spec.HeaderLen {
		if r := checkLen(binary.BigEndian.Uint32(b), d.maxFrame); r != spec.None {
			return d.reject(r)
		}
		return More, spec.None
	}
	f.Header.Decode((*[spec.HeaderLen]byte)(b))
	if r := f.Check(d.maxFrame); r != spec.None {
		return d.reject(r)
	}
	n := int(f.Len)
	if len(b) < n {
		return More, spec.None
	}
	body := spec.HeaderLen + int(f.CapLen)
	f.Cap = b[spec.HeaderLen:body:body]
	f.Payload = b[body:n:n]
	f.Data = f.Payload
	if f.Flags&spec.FlagComp != 0 {
		plain, r := inflate(f.Payload)
		if r != spec.None {
			return d.reject(r)
		}
		d.plain = plain
		f.Data = plain.data
	}
	d.r += n
	d.taken = n
	return Accept, spec.None
}

// Pending is how many bytes arrived that Next has not handed out. After a Next that said More these are the
// bytes of a frame begun but not complete, and 0 means a frame boundary (OAP-SES-013).
func (d *Decoder) Pending() int { return d.w - d.r }

// Close overwrites what the Decoder still holds and lets the memory go. It ends the life of the last frame's
// views. A closed Decoder has no bytes; it may not be used again.
func (d *Decoder) Close() {
	d.release()
	d.drop()
	d.buf = nil
}

// reject makes r the answer to everything from here on.
func (d *Decoder) reject(r spec.Reason) (Verdict, spec.Reason) {
	d.reason = r
	return Reject, r
}

// release overwrites the frame handed out last.
func (d *Decoder) release() {
	if d.taken > 0 {
		clear(d.buf[d.r-d.taken : d.r])
		d.taken = 0
	}
	if d.plain != nil {
		d.plain.wipe()
		d.plain = nil
	}
}

// drop overwrites and forgets the unread bytes.
func (d *Decoder) drop() {
	clear(d.buf[d.r:d.w])
	d.r, d.w, d.offered = 0, 0, 0
}
