package conformance

import (
	"bytes"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
	"github.com/rustyonions/micronode/spec/vectors"
)

// player plays one script of sessions.json against a peer.
type player struct {
	t      *T
	p      *Peer
	frames []vectors.Frame
	conns  map[string]*played
}

// played is one connection of a script, and what was heard on it.
type played struct {
	*Conn
	heard map[uint64]*heard
}

// heard is what came on one stream since its START.
type heard struct {
	frames int    // DATA
	body   []byte // of them all
	total  int64  // their total_len
	acked  int64  // the latest ACK of the node
	credit int64  // the latest ACK that was sent
	finals []refwire.Frame
}

// play plays v from its first step to its last. Scripts name fixed objects, so the same script never runs twice at a
// time; each deletes what it stores, unless it is cut short.
func (t *T) play(v vectors.Session, frames []vectors.Frame) {
	unlock := t.s.lock("script " + v.ID)
	defer unlock()
	pl := &player{t: t, p: t.Peer, frames: frames, conns: map[string]*played{}}
	if why, failed := t.s.broken.Load(v.ID); failed {
		t.Failf("%s, which failed before: %s", v.ID, why)
	}
	defer func() {
		for _, c := range pl.conns {
			c.Close()
		}
		if p := recover(); p != nil {
			if e, ok := p.(ending); ok {
				t.s.broken.Store(v.ID, e.detail)
			}
			pl.oweAll(v)
			panic(p)
		}
	}()
	var before time.Time // when the step before began: the node's clock can not have started earlier
	for i, step := range v.Steps {
		begin := time.Now()
		c := pl.conn(step.Conn)
		c.tr.remark("%s, step %d", v.ID, i+1)
		patience := t.Patience()
		if step.NotBefore > 0 {
			patience += time.Duration(step.NotBefore) * time.Millisecond
		}
		patience = max(patience, time.Duration(step.Within)*time.Millisecond)
		switch {
		case step.Closed:
			c.ends(step.Reason, patience)
		case step.Expect != nil:
			for _, e := range step.Expect {
				c.expect(e, patience)
			}
		default:
			pl.send(c, step.Send)
		}
		if early := time.Duration(step.NotBefore) * time.Millisecond; early > 0 {
			took := time.Since(before)
			t.Check(took >= early, "%s, step %d: the reaction comes after %v, not before %v is right", v.ID, i+1, took, early)
		}
		before = begin
	}
	for name, c := range pl.conns {
		for corr, h := range c.heard {
			t.Check(len(h.finals) == 0, "%s: a frame on connection %q, corr_id %d, that the script does not expect", v.ID, name, corr)
		}
	}
}

// oweAll has the clean-up delete what an interrupted script may have stored.
func (pl *player) oweAll(v vectors.Session) {
	for _, step := range v.Steps {
		for _, e := range step.Expect {
			var text string
			if json.Unmarshal(e.JSON["obj"], &text) == nil {
				if addr, err := spec.ParseAddress(text); err == nil && e.JSON["created"] != nil {
					pl.p.Owe(addr)
				}
			}
		}
	}
}

func (pl *player) conn(name string) *played {
	if name == "" {
		name = "a"
	}
	c, ok := pl.conns[name]
	if !ok {
		c = &played{Conn: pl.p.Dial(), heard: map[uint64]*heard{}}
		pl.conns[name] = c
	}
	return c
}

func (c *played) stream(corr uint64) *heard {
	h, ok := c.heard[corr]
	if !ok {
		h = &heard{}
		c.heard[corr] = h
	}
	return h
}

// send sends the frames of one step in one write.
func (pl *player) send(c *played, sends []vectors.Send) {
	var all []byte
	for _, s := range sends {
		b := pl.bytes(s)
		c.tr.add('>', b, describe(b, spec.MaxFrame))
		all = append(all, b...)
		r := refwire.Decode(b, spec.MaxFrame)
		if r.Verdict != refwire.Accept {
			continue
		}
		switch f := r.Frame; {
		case f.Flags&spec.FlagStart != 0:
			pl.p.take(1)
			// What was heard before belongs to an earlier stream, or to none; answers stay until they are expected.
			c.heard[f.Corr] = &heard{finals: c.stream(f.Corr).finals}
		case f.Flags&spec.FlagEvent != 0 && f.Code == spec.CodeAck:
			if n, reason := refwire.DecodeAck(f.Data); reason == spec.None {
				c.stream(f.Corr).credit = n
			}
		}
	}
	c.write(all)
}

// bytes are the bytes of one frame of a script.
func (pl *player) bytes(s vectors.Send) []byte {
	if s.Vector != "" {
		v, ok := vectors.ByID(pl.frames, s.Vector)
		if !ok {
			pl.t.Harnessf("a script names the frame %q, which does not exist", s.Vector)
		}
		return v.Bytes
	}
	if s.Bytes != nil {
		return s.Bytes
	}
	f := refwire.Frame{Code: spec.Code(s.Code), Proto: spec.Proto(s.Proto), Corr: s.CorrID, Cap: s.Cap, Payload: s.Payload}
	copy(f.Tenant[:], s.Tenant)
	for _, name := range s.Flags {
		flag, ok := spec.ParseFlag(name)
		if !ok {
			pl.t.Harnessf("a script names the flag %q, which does not exist", name)
		}
		f.Flags |= flag
	}
	if f.Flags&spec.FlagStart != 0 && len(f.Cap) == 0 {
		f.Cap = pl.p.cap
		// A frame that is padded to some length keeps it.
		if pad := len(f.Payload) - len(bytes.TrimRight(f.Payload, " ")); pad > len(f.Cap) {
			f.Payload = f.Payload[:len(f.Payload)-len(f.Cap)]
		}
	}
	return sealed(f)
}

// ends demands the end of the connection; before it one ERROR on corr_id 0 with reason may come, where that is given.
func (c *played) ends(reason spec.Reason, patience time.Duration) {
	f, ok, closed := c.next(patience)
	if ok && reason != spec.None {
		c.refused(f, 0, reason)
		_, ok, closed = c.next(c.t.Patience())
	}
	c.t.Check(!ok && closed, "the connection is not closed within %v", patience)
}

// expect takes frames until e has come true.
func (c *played) expect(e vectors.Expect, patience time.Duration) {
	deadline := time.Now().Add(patience)
	for !c.satisfied(e) {
		f, ok, closed := c.next(time.Until(deadline))
		c.t.Check(!closed, "the connection ended where %s on corr_id %d is due", e.Kind, e.CorrID)
		c.t.Check(ok, "nothing came within %v where %s on corr_id %d is due", patience, e.Kind, e.CorrID)
		c.absorb(f)
		if h := c.stream(f.Corr); f.Corr == e.CorrID && e.AckEvery > 0 && int64(h.frames)-h.credit >= int64(e.AckEvery) {
			h.credit = int64(h.frames)
			c.Send(ackFrame(f.Corr, h.credit))
		}
	}
}

// absorb files one frame of the node under its stream.
func (c *played) absorb(f refwire.Frame) {
	t, h := c.t, c.stream(f.Corr)
	switch {
	case f.Flags&spec.FlagEvent != 0 && f.Code == spec.CodeAck:
		n, reason := refwire.DecodeAck(f.Data)
		t.Check(reason == spec.None && n > h.acked, "the ACK %s behind ACK %d", textOf(f.Data), h.acked)
		h.acked = n
	case f.Flags&spec.FlagResp != 0 && f.Code == spec.CodeData:
		d, reason := refwire.DecodeData(f.Data)
		t.Check(reason == spec.None && d.HasObj && d.Offset == int64(len(h.body)), "the DATA of the node is wrong: %s", textOf(f.Data))
		h.frames++
		h.body = append(h.body, d.Body...)
		h.total = d.TotalLen
	default:
		h.finals = append(h.finals, f)
	}
}

// satisfied says whether e has come true, and takes the frame that made it so.
func (c *played) satisfied(e vectors.Expect) bool {
	t, h := c.t, c.stream(e.CorrID)
	switch e.Kind {
	case vectors.ExpectData:
		if e.Frames > 0 {
			return h.frames >= e.Frames
		}
		if len(h.body) < len(e.Body) && len(h.finals) == 0 {
			return false
		}
		t.Check(slices.Equal(h.body, e.Body), "the body on corr_id %d has %d bytes, and not the %d that are due", e.CorrID, len(h.body), len(e.Body))
		t.Check(e.TotalLen == nil || *e.TotalLen == h.total, "total_len on corr_id %d is %d", e.CorrID, h.total)
		return true
	case vectors.ExpectAck:
		return h.acked >= e.UpTo
	}
	if len(h.finals) == 0 {
		return false
	}
	f := h.finals[0]
	h.finals = h.finals[1:]
	switch e.Kind {
	case vectors.ExpectHello:
		t.Check(f.Flags == spec.FlagResp && f.Code == spec.CodeOK, "want the answer to HELLO, got %s", frameText(f))
		reply, reason := refwire.DecodeHelloReply(f.Data)
		t.Check(reason == spec.None, "the answer to HELLO can not be read: %s", textOf(f.Data))
		c.max = uint32(reply.MaxFrame)
	case vectors.ExpectAnswer:
		t.Check(f.Flags == final && f.Code == spec.CodeOK, "want the final answer on corr_id %d, got %s", e.CorrID, frameText(f))
	case vectors.ExpectError:
		c.refused(f, e.CorrID, e.Reason)
		t.Check(uint16(f.Code) == e.Code, "ERROR %s has code %d, want %d", e.Reason, f.Code, e.Code)
	default:
		t.Harnessf("a script expects %q, which is no kind", e.Kind)
	}
	c.members(f, e)
	return true
}

// members holds the payload of f to e.
func (c *played) members(f refwire.Frame, e vectors.Expect) {
	var got map[string]any
	if len(e.JSON) == 0 && len(e.Has) == 0 {
		return
	}
	err := json.Unmarshal(f.Data, &got)
	c.t.Check(err == nil, "the payload can not be read: %v: %s", err, textOf(f.Data))
	for name, raw := range e.JSON {
		var want any
		if err := json.Unmarshal(raw, &want); err != nil {
			c.t.Harnessf("a script expects %s, which is no JSON", raw)
		}
		c.t.Check(reflect.DeepEqual(got[name], want), "%s is %v, want %v", name, got[name], want)
	}
	for _, name := range e.Has {
		_, ok := got[name]
		c.t.Check(ok, "the payload has no %s, among %s", name, strings.TrimSpace(textOf(f.Data)))
	}
}
