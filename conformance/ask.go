package conformance

import (
	"bytes"
	"slices"
	"time"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

const (
	req   = spec.FlagReq
	start = spec.FlagReq | spec.FlagStart
	final = spec.FlagResp | spec.FlagEnd
)

// The frames of a client. Each can be altered before it is sent.

func helloFrame(payload []byte) refwire.Frame {
	return refwire.Frame{Flags: req, Corr: 1, Payload: payload}
}

func startFrame(corr uint64, flags spec.Flags, payload []byte) refwire.Frame {
	return refwire.Frame{Flags: start | flags, Proto: spec.ProtoObjects, Corr: corr, Payload: payload}
}

func askFrame(corr uint64, r refwire.Request) refwire.Frame {
	return startFrame(corr, spec.FlagEnd, refwire.EncodeRequest(r))
}

func dataFrame(corr uint64, d refwire.Data) refwire.Frame {
	return refwire.Frame{Flags: req, Proto: spec.ProtoObjects, Corr: corr, Payload: refwire.EncodeData(d)}
}

func endFrame(corr uint64) refwire.Frame {
	return refwire.Frame{Flags: req | spec.FlagEnd, Proto: spec.ProtoObjects, Corr: corr}
}

func cancelFrame(corr uint64) refwire.Frame {
	f := endFrame(corr)
	f.Code = spec.CodeCancel
	return f
}

func ackFrame(corr uint64, upTo int64) refwire.Frame {
	return refwire.Frame{Flags: spec.FlagEvent, Code: spec.CodeAck, Proto: spec.ProtoObjects, Corr: corr, Payload: refwire.EncodeAck(upTo)}
}

// The requests.

func has(a spec.Address) refwire.Request { return refwire.Request{Op: "has", Obj: a, HasObj: true} }
func stat(a spec.Address) refwire.Request {
	return refwire.Request{Op: "stat", Obj: a, HasObj: true}
}
func get(a spec.Address) refwire.Request { return refwire.Request{Op: "get", Obj: a, HasObj: true} }
func del(a spec.Address) refwire.Request {
	return refwire.Request{Op: "delete", Obj: a, HasObj: true}
}
func put(n int) refwire.Request { return refwire.Request{Op: "put", TotalLen: int64(n)} }
func putAs(a spec.Address, n int) refwire.Request {
	return refwire.Request{Op: "put", TotalLen: int64(n), Obj: a, HasObj: true}
}

// Handshake sends a plain HELLO and takes its answer.
func (c *Conn) Handshake() refwire.HelloReply {
	return c.Greet(refwire.EncodeHello(refwire.Hello{UA: "micronode-conformance"}))
}

// Greet sends a HELLO with this payload, takes its answer, and keeps to the max_frame in it.
func (c *Conn) Greet(payload []byte) refwire.HelloReply {
	c.Send(helloFrame(payload))
	return c.Greeted()
}

// Greeted takes the answer to a HELLO on corr_id 1.
func (c *Conn) Greeted() refwire.HelloReply {
	f := c.Frame()
	c.t.Check(f.Flags == spec.FlagResp && f.Code == spec.CodeOK && f.Corr == 1 && f.Proto == spec.ProtoControl,
		"the answer to HELLO is %s", frameText(f))
	reply, reason := refwire.DecodeHelloReply(f.Data)
	c.t.Check(reason == spec.None, "the answer to HELLO can not be read: %s", textOf(f.Data))
	c.t.Check(reply.MaxFrame >= spec.MinMaxFrame && reply.MaxFrame <= spec.MaxFrame, "max_frame is %d", reply.MaxFrame)
	c.max = uint32(reply.MaxFrame)
	return reply
}

// next corr_id of a START on this connection.
func (c *Conn) fresh() uint64 {
	c.corr++
	return c.corr
}

// Begin sends a START without END and returns its corr_id.
func (c *Conn) Begin(r refwire.Request, flags spec.Flags) uint64 {
	corr := c.fresh()
	c.Send(startFrame(corr, flags, refwire.EncodeRequest(r)))
	return corr
}

// Ask sends a START with END and returns its corr_id.
func (c *Conn) Ask(r refwire.Request) uint64 { return c.Begin(r, spec.FlagEnd) }

// Answer takes the final answer to op on corr, which has to be the next frame.
func (c *Conn) Answer(corr uint64, op string) refwire.Answer {
	return c.answered(c.Frame(), corr, op)
}

func (c *Conn) answered(f refwire.Frame, corr uint64, op string) refwire.Answer {
	c.t.Check(f.Flags == final && f.Code == spec.CodeOK && f.Corr == corr,
		"want the final answer to %s on corr_id %d, got %s", op, corr, frameText(f))
	a, reason := refwire.DecodeAnswer(op, f.Data)
	c.t.Check(reason == spec.None, "the answer to %s can not be read: %s", op, textOf(f.Data))
	return a
}

// Refused takes an ERROR on corr with reason, which has to be the next frame, and checks all that the law says about
// it (OAP-ERR-001 to 003).
func (c *Conn) Refused(corr uint64, reasons ...spec.Reason) refwire.Error {
	return c.refused(c.Frame(), corr, reasons...)
}

// RefusedWithin is Refused with a patience of its own.
func (c *Conn) RefusedWithin(patience time.Duration, corr uint64, reason spec.Reason) refwire.Error {
	return c.refused(c.FrameWithin(patience), corr, reason)
}

func (c *Conn) refused(f refwire.Frame, corr uint64, reasons ...spec.Reason) refwire.Error {
	t := c.t
	t.Check(f.Flags == final && f.Code >= 400 && f.Corr == corr,
		"want ERROR %v on corr_id %d, got %s", reasons, corr, frameText(f))
	e, bad := refwire.DecodeError(f.Data)
	t.Check(bad == spec.None, "the payload of the ERROR can not be read: %s", textOf(f.Data))
	t.Check(e.Reason.Known(), "reason %q is none of the law (OAP-ERR-002)", e.Reason)
	facts := e.Reason.Facts()
	t.Check(f.Code == e.Reason.Code() && e.Retryable == facts.Retryable,
		"ERROR %s has code %d and retryable %v, the law says %d and %v (OAP-ERR-002)", e.Reason, f.Code, e.Retryable, facts.Status, facts.Retryable)
	t.Check(e.Corr == corr, "the payload of the ERROR names corr_id %d, its header %d", e.Corr, corr)
	if corr != 0 && (facts.Status == 429 || facts.Status == 503) {
		t.Check(e.RetryAfter > 0, "ERROR %s has no retry_after_ms (OAP-ERR-003)", e.Reason)
	}
	t.Check(slices.Contains(reasons, e.Reason), "refused with %s instead of %v", e.Reason, reasons)
	return e
}

// Rejected takes the end of the connection by a frame-level rejection: ERROR on corr_id 0, then the close
// (OAP-FRM-012).
func (c *Conn) Rejected(reason spec.Reason) {
	c.Refused(0, reason)
	c.Closed()
}

// Fence asks for something harmless and demands that its answer is the next frame: the node has dealt with
// everything before, said nothing about it, and still serves the connection.
func (c *Conn) Fence() {
	corr := c.Ask(has(c.t.Absent()))
	a := c.Answer(corr, "has")
	c.t.Check(!a.Exists, "an object exists that nobody stored")
}

// Each takes one frame for each of corrs, in whatever order they come, since streams are independent, and has do look
// at it.
func (c *Conn) Each(corrs []uint64, do func(f refwire.Frame, corr uint64)) {
	due := map[uint64]bool{}
	for _, corr := range corrs {
		due[corr] = true
	}
	for len(due) > 0 {
		f := c.Frame()
		c.t.Check(due[f.Corr], "a frame that nothing asked for: %s", frameText(f))
		delete(due, f.Corr)
		do(f, f.Corr)
	}
}

// pulse asks for something harmless, where the node has something to ask for, and demands an answer. That the node is
// too busy for it, or wants another capability than the suite has left, and says so in the words of the law, is one.
func (c *Conn) pulse() {
	if known := c.t.s.features; known != nil && !known[FeatureObjects] {
		return // where it could not be asked what it has, it is asked for this
	}
	corr := c.Ask(has(c.t.Absent()))
	f := c.Frame()
	if f.Code == spec.CodeOK {
		c.answered(f, corr, "has")
		return
	}
	c.refused(f, corr, spec.Quota, spec.TooManyStreams, spec.NotReady, spec.Draining, spec.Unauth, spec.Forbidden)
}

// Chunks cuts data into DATA frames of a put. named says whether they carry the address.
func Chunks(corr uint64, data []byte, size int, named bool) []refwire.Frame {
	var frames []refwire.Frame
	addr := AddressOf(data)
	for off := 0; off < len(data); off += size {
		frames = append(frames, dataFrame(corr, refwire.Data{
			Obj: addr, HasObj: named, Offset: int64(off), TotalLen: int64(len(data)), Body: data[off:min(off+size, len(data))],
		}))
	}
	return frames
}

// chunk is the largest body of a DATA frame on this connection.
func (c *Conn) chunk() int { return min(spec.MaxChunk, int(c.max)-spec.HeaderLen-256) }

// Put stores data without a window and returns its address and whether it was new.
func (c *Conn) Put(data []byte) (spec.Address, bool) {
	addr := AddressOf(data)
	c.p.Owe(addr)
	corr := c.fresh()
	// Everything is made before the first byte is sent: the node's clock runs from the START.
	frames := append([]refwire.Frame{startFrame(corr, 0, refwire.EncodeRequest(put(len(data))))}, Chunks(corr, data, c.chunk(), false)...)
	c.Write(c.Seal(append(frames, endFrame(corr))...))
	a := c.Answer(corr, "put")
	c.t.Check(a.Obj == addr, "put of %d bytes gives %s, their address is %s", len(data), a.Obj, addr)
	return addr, a.Created
}

// Fetch carries out a get and returns the bytes and the size of the whole object. Every frame of the answer is checked
// against OAP-STR and OAP-OBJ-008.
func (c *Conn) Fetch(r refwire.Request) (data []byte, size int64) {
	corr, total := c.Ask(r), int64(0)
	for {
		f := c.Frame()
		if f.Flags&spec.FlagEnd != 0 {
			a := c.answered(f, corr, "get")
			c.t.Check(a.Obj == r.Obj, "the answer to get names another object")
			c.t.Check(total == int64(len(data)), "the DATA frames have total_len %d and carry %d bytes", total, len(data))
			return data, a.Size
		}
		var announced int64
		first := len(data) == 0
		data, announced = c.body(f, corr, r.Obj, data)
		c.t.Check(first || announced == total, "total_len moves from %d to %d (OAP-STR-004)", total, announced)
		total = announced
	}
}

// body appends the body of one DATA frame of the answer to a get, and returns its total_len as well.
func (c *Conn) body(f refwire.Frame, corr uint64, addr spec.Address, data []byte) ([]byte, int64) {
	c.t.Check(f.Flags&^spec.FlagComp == spec.FlagResp && f.Code == spec.CodeData && f.Corr == corr, "want DATA on corr_id %d, got %s", corr, frameText(f))
	d, reason := refwire.DecodeData(f.Data)
	c.t.Check(reason == spec.None, "DATA of the node is %s: %s", reason, textOf(f.Data))
	c.t.Check(d.HasObj && d.Obj == addr, "DATA of a get does not name its object (OAP-STR-002)")
	c.t.Check(d.Offset == int64(len(data)), "DATA has offset %d, want %d (OAP-STR-003)", d.Offset, len(data))
	c.t.Check(d.TotalLen >= d.Offset+int64(len(d.Body)), "DATA goes beyond its total_len %d", d.TotalLen)
	return append(data, d.Body...), d.TotalLen
}

// Holds demands that a get gives exactly data.
func (c *Conn) Holds(data []byte) {
	got, size := c.Fetch(get(AddressOf(data)))
	c.t.Check(bytes.Equal(got, data) && size == int64(len(data)),
		"get gives %d bytes (size %d, address %s) where %d bytes (%s) were put", len(got), size, AddressOf(got), len(data), AddressOf(data))
}

// Lacks demands that has, get and stat agree that nothing is stored under addr.
func (c *Conn) Lacks(addr spec.Address) {
	a := c.Answer(c.Ask(has(addr)), "has")
	c.t.Check(!a.Exists && a.Obj == addr, "has says that %s exists", addr)
	c.Refused(c.Ask(get(addr)), spec.NotFound)
	c.Refused(c.Ask(stat(addr)), spec.NotFound)
}

// RoundTrip stores something new, reads it back and deletes it: the accepted twin of most cases.
func (c *Conn) RoundTrip() {
	data := c.t.Bytes(100)
	addr, created := c.Put(data)
	c.t.Check(created, "a put of new bytes says that they were stored already")
	c.Holds(data)
	a := c.Answer(c.Ask(del(addr)), "delete")
	c.t.Check(a.Deleted && a.Obj == addr, "the answer to delete is wrong")
}
