package session

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
	"github.com/rustyonions/micronode/spec/vectors"
)

// TestVectors plays every script of spec/vectors through the decoder, the session and a host of maps, by the rules
// that its README gives to drivers. The clock is a fake one, so that slow scripts are not.
func TestVectors(t *testing.T) {
	scripts, err := vectors.Sessions()
	if err != nil {
		t.Fatal(err)
	}
	frames, err := vectors.Frames()
	if err != nil {
		t.Fatal(err)
	}
	if len(scripts) < 100 {
		t.Fatalf("only %d scripts", len(scripts))
	}
	for _, script := range scripts {
		t.Run(script.ID, func(t *testing.T) {
			d := &driver{t: t, frames: frames, host: newHost(), now: epoch, conns: map[string]*driven{}}
			for i := range script.Steps {
				d.step = i
				d.play(&script.Steps[i])
			}
			d.leave(script)
		})
	}
}

// driver plays one script.
type driver struct {
	t      *testing.T
	frames []vectors.Frame
	host   *host
	now    time.Time
	step   int
	names  []string // of the connections, in the order in which they were opened
	conns  map[string]*driven
}

// driven is one connection of a script.
type driven struct {
	*rig
	bodies map[uint64][]byte
	count  map[uint64]int64
	totals map[uint64]int64
	acks   map[uint64]int64 // from the node
	credit map[uint64]int64 // to the node
}

func (d *driver) fatalf(format string, args ...any) {
	d.t.Helper()
	d.t.Fatalf("step %d: "+format, append([]any{d.step}, args...)...)
}

func (d *driver) conn(name string) *driven {
	if c := d.conns[name]; c != nil {
		return c
	}
	c := &driven{rig: newRig(d.t, d.host, d.now), bodies: map[uint64][]byte{}, count: map[uint64]int64{},
		totals: map[uint64]int64{}, acks: map[uint64]int64{}, credit: map[uint64]int64{}}
	d.names, d.conns[name] = append(d.names, name), c
	return c
}

func (d *driver) play(s *vectors.Step) {
	d.t.Helper()
	name := s.Conn
	if name == "" {
		name = "a"
	}
	c := d.conn(name)
	for _, f := range s.Send {
		c.bytes(d.encode(&f))
	}
	if s.Send != nil {
		return
	}
	within := s.Within
	if within == 0 {
		within = 1000
	}
	begin := d.now
	done := func() bool { return c.c.Closing() }
	if !s.Closed {
		left := slices.Clone(s.Expect)
		done = func() bool { left = d.match(c, left); return len(left) == 0 }
	}
	for !done() {
		next := c.c.Deadline()
		if next.Sub(begin) > time.Duration(within)*time.Millisecond {
			d.fatalf("%d ms passed, and not all has come: %+v; open: %v", within, s.Expect, describeAll(c.got))
		}
		d.now = next
		for _, name := range d.names {
			d.conns[name].at(d.now)
		}
	}
	if passed := d.now.Sub(begin); passed < time.Duration(s.NotBefore)*time.Millisecond {
		d.fatalf("came after %v, and not before %d ms", passed, s.NotBefore)
	}
	if s.Closed && len(c.got) == 1 && s.Reason != spec.None {
		x, _ := refwire.DecodeError(c.got[0].Payload)
		if c.got[0].Corr != 0 || x.Reason != s.Reason {
			d.fatalf("before the connection was closed came %s", describe(&c.got[0]))
		}
		c.got = nil
	}
	if len(c.got) > 0 {
		d.fatalf("nobody expected %v", describeAll(c.got))
	}
}

// match files what came, and returns what is still expected.
func (d *driver) match(c *driven, left []vectors.Expect) []vectors.Expect {
	d.t.Helper()
	var ackEvery int64
	for _, e := range left {
		ackEvery = max(ackEvery, int64(e.AckEvery))
	}
	for len(c.got) > 0 {
		f := c.got[0]
		switch {
		case f.Flags == spec.FlagEvent && f.Code == spec.CodeAck:
			c.acks[f.Corr], _ = refwire.DecodeAck(f.Payload)
		case f.Flags == spec.FlagResp && f.Code == spec.CodeData:
			data, _ := refwire.DecodeData(f.Payload)
			c.bodies[f.Corr] = append(c.bodies[f.Corr], data.Body...)
			c.totals[f.Corr] = data.TotalLen
			c.count[f.Corr]++
			if ackEvery > 0 && c.count[f.Corr]-c.credit[f.Corr] >= ackEvery && !c.entries[f.Corr].final {
				c.credit[f.Corr] = c.count[f.Corr]
				c.frame(refwire.Frame{Flags: spec.FlagEvent, Code: spec.CodeAck, Proto: spec.ProtoObjects, Corr: f.Corr,
					Payload: refwire.EncodeAck(c.credit[f.Corr])})
			}
		default:
			i := slices.IndexFunc(left, func(e vectors.Expect) bool { return e.CorrID == f.Corr && !waits(&e) })
			if i < 0 {
				d.fatalf("nobody expected %s", describe(&f))
			}
			if j := slices.IndexFunc(left, func(e vectors.Expect) bool { return e.CorrID == f.Corr }); j < i && !d.came(c, &left[j]) {
				d.fatalf("%s comes before %+v", describe(&f), left[j])
			}
			d.compare(&f, &left[i])
			left = slices.Delete(left, i, i+1)
		}
		c.got = c.got[1:]
	}
	return slices.DeleteFunc(left, func(e vectors.Expect) bool { return waits(&e) && d.came(c, &e) })
}

// waits says that an expectation is about all that came on a stream, not about one frame.
func waits(e *vectors.Expect) bool {
	return e.Kind == vectors.ExpectData || e.Kind == vectors.ExpectAck
}

// came says whether the DATA or ACKs are there.
func (d *driver) came(c *driven, e *vectors.Expect) bool {
	d.t.Helper()
	switch {
	case e.Kind == vectors.ExpectAck:
		return c.acks[e.CorrID] >= e.UpTo
	case e.Frames > 0:
		return c.count[e.CorrID] >= int64(e.Frames)
	}
	if e.TotalLen != nil && c.count[e.CorrID] > 0 && c.totals[e.CorrID] != *e.TotalLen {
		d.fatalf("total_len %d, want %d", c.totals[e.CorrID], *e.TotalLen)
	}
	return bytes.Equal(c.bodies[e.CorrID], e.Body)
}

// compare holds a frame to what is expected of it.
func (d *driver) compare(f *refwire.Frame, e *vectors.Expect) {
	d.t.Helper()
	ok := false
	switch e.Kind {
	case vectors.ExpectHello:
		ok = f.Flags == spec.FlagResp && f.Code == spec.CodeOK
	case vectors.ExpectAnswer:
		ok = f.Flags == spec.FlagResp|spec.FlagEnd && f.Code == spec.CodeOK
	case vectors.ExpectError:
		x, _ := refwire.DecodeError(f.Payload)
		ok = f.Flags == spec.FlagResp|spec.FlagEnd && f.Code == spec.Code(e.Code) && f.Code >= 400 && x.Reason == e.Reason
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(f.Payload, &members); err != nil || !ok {
		d.fatalf("%s, want %+v", describe(f), e)
	}
	for name, want := range e.JSON {
		if got := members[name]; !bytes.Equal(got, want) {
			d.fatalf("%s: %s is %s, want %s", describe(f), name, got, want)
		}
	}
	for _, name := range e.Has {
		if _, ok := members[name]; !ok {
			d.fatalf("%s has no %s", describe(f), name)
		}
	}
}

// encode is the bytes of one element of send.
func (d *driver) encode(s *vectors.Send) []byte {
	d.t.Helper()
	if s.Vector != "" {
		f, ok := vectors.ByID(d.frames, s.Vector)
		if !ok {
			d.fatalf("no vector %s", s.Vector)
		}
		return f.Bytes
	}
	return encodeSend(d.t, s)
}

// encodeSend is encode for what is not a vector.
func encodeSend(t testing.TB, s *vectors.Send) []byte {
	t.Helper()
	if s.Bytes != nil {
		return s.Bytes
	}
	f := refwire.Frame{Code: spec.Code(s.Code), Proto: spec.Proto(s.Proto), Corr: s.CorrID, Cap: s.Cap, Payload: s.Payload}
	copy(f.Tenant[:], s.Tenant)
	for _, name := range s.Flags {
		bit, ok := spec.ParseFlag(name)
		if !ok {
			t.Fatalf("no flag %s", name)
		}
		f.Flags |= bit
	}
	f.Seal()
	return refwire.Encode(f)
}

// leave is the end of a script: the client closes its side and reads to the end.
func (d *driver) leave(script vectors.Session) {
	d.t.Helper()
	refusals := []spec.Reason{}
	for _, name := range d.names {
		c := d.conns[name]
		c.c.EOF()
		c.settle()
		if left := d.match(c, nil); len(left) > 0 || !c.c.Closing() {
			d.fatalf("connection %s: closing %v, left over: %v", name, c.c.Closing(), left)
		}
		refusals = append(refusals, c.refusals...)
		c.finish()
	}
	d.host.finished(d.t)
	refused := slices.Contains(refusals, script.Reason)
	if script.Verdict == vectors.VerdictRefuse && !refused || script.Verdict == vectors.VerdictAccept && len(refusals) > 0 && !answersOnly(refusals) {
		d.fatalf("verdict %s (%s), and the refusals are %v", script.Verdict, script.Reason, refusals)
	}
}

// answersOnly says that no refusal is more than the answer to a question.
func answersOnly(refusals []spec.Reason) bool {
	return !slices.ContainsFunc(refusals, func(r spec.Reason) bool { return r.Facts().Rejection != "" })
}

func describeAll(frames []refwire.Frame) (all []string) {
	for i := range frames {
		all = append(all, describe(&frames[i]))
	}
	return all
}
