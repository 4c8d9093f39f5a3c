package session_test

import (
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rustyonions/micronode/chaos/evidence"
	"github.com/rustyonions/micronode/impl/session"
	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/model/refwire"
	model "github.com/rustyonions/micronode/model/session"
	"github.com/rustyonions/micronode/spec"
)

// corrs is how many corr_ids one connection of the lock-step has: enough for 64 places, and more that find none.
const corrs = 100

// lockstep leads one connection and the model under the real numbers through the same life, and compares after every
// operation: what the node sends, in its order; what it asks of the shell; how many places are taken; when the next
// limit of time is; and whether the connection is closed.
type lockstep struct {
	t *rapid.T
	p model.Params
	s model.State
	c *session.Conn

	dec    *wire.Decoder
	now    time.Time
	stride uint64 // between the corr_ids on the wire
	hold   bool   // the transport takes nothing
	why    spec.Reason
	asked  bool // admission was

	handles map[int]*session.Stream // what the shell has, by corr_id
	got     []byte                  // from the node, not compared yet
	frames  []string                // that should come, in this order
	effects []string                // that the shell should see, before the next comparison
	seen    []string                // that it saw

	since             map[int]time.Time // progress of each stream
	helloBy, heard    time.Time
	partial, drainsBy time.Time // zero = none

	taken map[string]int // actions
}

// connect begins a new connection. The time goes on.
func (l *lockstep) connect() {
	l.s = model.Init(l.p)
	l.stride = rapid.SampledFrom([]uint64{1, 3, 1 << 40, math.MaxUint64 / corrs}).Draw(l.t, "corr_ids apart")
	l.dec = wire.NewDecoder(spec.MaxFrame)
	l.hold, l.handles, l.since = false, map[int]*session.Stream{}, map[int]time.Time{}
	l.got, l.frames, l.effects, l.seen = nil, nil, nil, nil
	l.partial, l.drainsBy = time.Time{}, time.Time{}
	l.helloBy = l.now.Add(5 * time.Second)
	l.c = session.New(session.Config{Admit: l.admit, Authorize: allow, Transport: "tcp", Features: []string{"objects"}, Amnesia: true}, l.now)
}

func (l *lockstep) admit(now time.Time) (spec.Reason, time.Duration) {
	if !now.Equal(l.now) || l.asked {
		l.t.Fatalf("admission is asked again, or about %v, and it is %v", now, l.now)
	}
	l.asked = true
	if l.why == spec.None && l.s.Draining {
		return spec.Draining, time.Second // the gate of a draining node
	}
	return l.why, time.Second
}

func (l *lockstep) wireCorr(corr int) uint64 { return uint64(corr) * l.stride }

// can says whether op can happen now.
func (l *lockstep) can(op model.Op) bool { return len(model.Next(l.p, l.s, op)) > 0 }

// expect has the model take a step, and notes what the connection has to do about it.
func (l *lockstep) expect(op model.Op) model.Outcome {
	outs := model.Next(l.p, l.s, op)
	if len(outs) != 1 {
		l.t.Fatalf("%v can not happen in %+v", op, l.s)
	}
	o := outs[0]
	l.taken[o.Action]++
	l.foresee(op, o)
	l.clocks(op, o)
	l.s = o.To
	return o
}

// foresee notes the frames and effects of a step.
func (l *lockstep) foresee(op model.Op, o model.Outcome) {
	corr := op.Corr
	switch {
	case op.Kind == model.Stall:
	case op.Kind == model.DrainTimeout:
		for i, st := range l.s.Streams {
			if st.Mode == model.Open {
				l.refusal(i+1, spec.Draining)
			}
		}
	case o.Reason != spec.None && l.s.Phase == model.New:
		l.refusal(0, o.Reason)
	case o.Reason != spec.None:
		l.refusal(corr, o.Reason)
	case op.Kind == model.Hello:
		l.frames = append(l.frames, "HELLO")
	case op.Kind == model.Drain:
		l.frames = append(l.frames, "GOING AWAY")
	case op.Kind == model.SendData, op.Kind == model.Answer:
		l.frames = append(l.frames, fmt.Sprintf("%s %d", op.Kind, corr))
	}
	for i, from := range l.s.Streams {
		to := o.To.Streams[i]
		if due := model.Due(l.p, to); due > model.Due(l.p, from) {
			l.frames = append(l.frames, fmt.Sprintf("ACK %d up to %d", i+1, due))
		}
		if from.Mode == model.Open && to.Mode != model.Open {
			l.effects = append(l.effects, fmt.Sprintf("closed %d", i+1))
			continue
		}
		if to.Mode == model.Open && to.Req == model.Put && from.Mode != model.Open {
			l.effects = append(l.effects, fmt.Sprintf("open %d", i+1))
		}
		if op.Kind == model.Data && to.Moved > from.Moved {
			l.effects = append(l.effects, fmt.Sprintf("body %d", i+1))
		}
		if to.Ended && !from.Ended {
			l.effects = append(l.effects, fmt.Sprintf("run %d", i+1))
		}
	}
}

func (l *lockstep) refusal(corr int, reason spec.Reason) {
	l.frames = append(l.frames, fmt.Sprintf("ERROR %d %s", corr, reason))
	l.effects = append(l.effects, fmt.Sprintf("refused %s", reason))
}

// clocks keeps the limits of time: progress is a whole frame that counts, or the ERROR that left a stream half-closed.
func (l *lockstep) clocks(op model.Op, o model.Outcome) {
	switch op.Kind {
	case model.SendData, model.Hello, model.Start, model.Data, model.End, model.Cancel, model.Ack, model.Resp:
		l.heard = l.now
	case model.SendAck:
		return
	}
	for i, to := range o.To.Streams {
		if to != l.s.Streams[i] {
			l.since[i+1] = l.now
		}
	}
}

// deadline is when something happens if nothing else does.
func (l *lockstep) deadline() time.Time {
	if l.s.Phase == model.New {
		return l.helloBy
	}
	d := l.heard.Add(60 * time.Second)
	for i, none := 0, true; i < corrs; i++ {
		if m := l.s.Streams[i].Mode; m != model.Open && m != model.Half {
			continue
		}
		if by := l.since[i+1].Add(5 * time.Second); none || by.Before(d) {
			d, none = by, false
		}
	}
	if !l.partial.IsZero() && l.partial.Add(5*time.Second).Before(d) {
		d = l.partial.Add(5 * time.Second)
	}
	if !l.drainsBy.IsZero() && l.drainsBy.Before(d) {
		d = l.drainsBy
	}
	return d
}

// due has the model take the steps of time that are due now.
func (l *lockstep) due() {
	past := func(t time.Time, limit time.Duration) bool { return !t.IsZero() && l.now.Sub(t) >= limit }
	switch {
	case l.s.Phase == model.New:
		if past(l.helloBy, 0) {
			l.expect(model.Op{Kind: model.HelloTimeout})
		}
	case past(l.partial, 5*time.Second):
		l.expect(model.Op{Kind: model.FrameTimeout})
	case past(l.drainsBy, 0):
		l.expect(model.Op{Kind: model.DrainTimeout})
	default:
		for corr := 1; corr <= corrs; corr++ {
			switch mode := l.s.Streams[corr-1].Mode; {
			case !past(l.since[corr], 5*time.Second):
			case mode == model.Open:
				l.expect(model.Op{Kind: model.StreamTimeout, Corr: corr})
			case mode == model.Half:
				l.expect(model.Op{Kind: model.HalfClosedTimeout, Corr: corr})
			}
		}
		if op := (model.Op{Kind: model.IdleTimeout}); l.can(op) && past(l.heard, time.Minute) {
			l.expect(op)
		}
	}
}

// frame sends the frame of op. A limit that has passed comes first, and may have closed the connection.
func (l *lockstep) frame(op model.Op) {
	f, late := l.render(op), !l.now.Before(l.deadline())
	l.due()
	if l.s.Phase == model.Closed {
		l.feed(f)
		l.compare()
		return
	}
	look := !late && l.c.OpenStreams() < 6 // it takes long with many streams, and is no different
	from, others := l.s, []string(nil)
	if look {
		others = l.others(op.Corr)
	}
	o := l.expect(op)
	asked := op.Kind == model.Start && from.Phase == model.Up && op.Flaw&(model.Shape|model.Code) == 0 &&
		op.Corr > from.Last && held(from) < spec.MaxStreams
	if asked && op.Why == spec.None && !from.Draining && o.Reason != spec.None {
		l.effects = append(l.effects, fmt.Sprintf("closed %d", op.Corr)) // it was admitted, and refused behind that
	}
	l.why, l.asked = op.Why, false
	l.feed(f)
	if l.asked != asked {
		l.t.Fatalf("%v: admission was asked: %v", op, l.asked)
	}
	if look && o.To.Phase != model.Closed && (!slices.Equal(others, l.others(op.Corr)) || l.c.MaxFrame() != spec.MaxFrame) {
		l.t.Fatalf("%v changed another stream or a limit: OAP-SES-015", op)
	}
	l.compare()
}

// feed hands bytes to the decoder, and the frames in them to the connection.
func (l *lockstep) feed(b []byte) {
	for len(b) > 0 {
		n := copy(l.dec.Space(), b)
		l.dec.Filled(n)
		b = b[n:]
		var f wire.Frame
		for !l.c.Closing() {
			verdict, reason := l.dec.Next(&f)
			if verdict == wire.Reject {
				l.c.Reject(reason)
			}
			if verdict != wire.Accept {
				break
			}
			l.c.Frame(l.now, &f)
			l.shell()
		}
	}
	l.partial = time.Time{}
	l.c.Partial(l.now, false, true)
}

// others is all that the connection keeps of its streams but one, whatever that is.
func (l *lockstep) others(corr int) (all []string) {
	streams := reflect.ValueOf(l.c).Elem().FieldByName("streams")
	for i := range streams.Len() {
		st := streams.Index(i).Elem()
		if st.FieldByName("Corr").Uint() != l.wireCorr(corr) {
			all = append(all, fmt.Sprintf("%+v", st))
		}
	}
	return all
}

func held(s model.State) (n int) {
	for _, st := range s.Streams {
		if st.Mode == model.Open || st.Mode == model.Half {
			n++
		}
	}
	return n
}

// shell takes the effects. A get that has a body to send is served at once.
func (l *lockstep) shell() {
	for {
		e, ok := l.c.NextEffect()
		if !ok {
			return
		}
		if e.Kind == session.Refused {
			l.seen = append(l.seen, "refused "+string(e.Reason))
			continue
		}
		corr := int(e.Stream.Corr / l.stride)
		name := map[session.EffectKind]string{session.Open: "open", session.Body: "body", session.Run: "run", session.Closed: "closed"}[e.Kind]
		switch e.Kind {
		case session.Drop:
			continue
		case session.Closed:
			delete(l.handles, corr)
		case session.Body:
			if string(e.Bytes) != "x" {
				l.t.Fatalf("stream %d: the body is %q", corr, e.Bytes)
			}
		default:
			l.handles[corr] = e.Stream
		}
		l.seen = append(l.seen, fmt.Sprintf("%s %d", name, corr))
		if e.Kind == session.Run && e.Stream.Req.Op == wire.OpGet && e.Stream.Req.Len > 0 {
			l.c.Serve(l.now, e.Stream, e.Stream.Req.Obj, e.Stream.Req.Len, 0, e.Stream.Req.Len)
		}
	}
}

// take has the transport take what waits. ACKs give credit from here on.
func (l *lockstep) take() {
	l.got = l.c.TakeControl(l.got)
	for i, st := range l.s.Streams {
		if model.Due(l.p, st) > st.Acked {
			l.expect(model.Op{Kind: model.SendAck, Corr: i + 1})
		}
	}
}

// compare holds the connection to the model.
func (l *lockstep) compare() {
	l.shell()
	if !l.hold {
		l.take()
	}
	slices.Sort(l.effects)
	slices.Sort(l.seen)
	if !slices.Equal(l.effects, l.seen) {
		l.t.Fatalf("the shell saw %v, and should have seen %v", l.seen, l.effects)
	}
	l.effects, l.seen = nil, nil
	closed := l.s.Phase == model.Closed
	if l.c.Closing() != closed {
		l.t.Fatalf("closing: %v, and it should be %v", l.c.Closing(), closed)
	}
	if n := held(l.s); l.c.OpenStreams() != n {
		l.t.Fatalf("%d places are taken, and it should be %d", l.c.OpenStreams(), n)
	}
	if !closed && !l.c.Deadline().Equal(l.deadline()) {
		l.t.Fatalf("the next limit is in %v, and should be in %v", l.c.Deadline().Sub(l.now), l.deadline().Sub(l.now))
	}
	if !l.hold {
		l.compareFrames()
	}
	if closed {
		l.end()
	}
}

// compareFrames reads what the node sent.
func (l *lockstep) compareFrames() {
	came := []string{}
	for len(l.got) > 0 {
		r := refwire.Decode(l.got, spec.MaxFrame)
		if r.Verdict != refwire.Accept {
			l.t.Fatalf("the node sent no frame: %v %x", r.Reason, l.got)
		}
		came = append(came, l.name(&r.Frame))
		l.got = l.got[r.N:]
	}
	if !slices.Equal(came, l.frames) {
		l.t.Fatalf("the node sent %q, and should have sent %q", came, l.frames)
	}
	l.frames = nil
}

// name is a frame of the node as foresee writes it.
func (l *lockstep) name(f *refwire.Frame) string {
	corr := f.Corr / l.stride
	switch {
	case f.Corr%l.stride != 0:
	case f.Flags == spec.FlagResp && f.Code == spec.CodeOK:
		return "HELLO"
	case f.Flags == spec.FlagResp|spec.FlagEnd && f.Code == spec.CodeOK:
		return fmt.Sprintf("Answer %d", corr)
	case f.Flags == spec.FlagResp && f.Code == spec.CodeData:
		return fmt.Sprintf("SendData %d", corr)
	case f.Flags == spec.FlagEvent && f.Code == spec.CodeGoingAway && f.Corr == 0:
		return "GOING AWAY"
	case f.Flags == spec.FlagEvent && f.Code == spec.CodeAck:
		upTo, reason := refwire.DecodeAck(f.Payload)
		return fmt.Sprintf("ACK %d up to %d%s", corr, upTo, reason)
	case f.Flags == spec.FlagResp|spec.FlagEnd:
		x, _ := refwire.DecodeError(f.Payload)
		if f.Code == x.Reason.Code() && x.Corr == f.Corr {
			return fmt.Sprintf("ERROR %d %s", corr, x.Reason)
		}
	}
	return fmt.Sprintf("%+v", f)
}

// end reads the last words of a connection, and begins the next.
func (l *lockstep) end() {
	if l.hold {
		l.got = l.c.TakeControl(l.got)
		l.compareFrames()
	}
	if len(l.handles) > 0 {
		l.t.Fatalf("the connection is closed, and the shell has not heard so of %v", l.handles)
	}
	l.dec.Close()
	l.connect()
}

// beyond are the actions that the small graphs of the model do not have: more reasons, and more mistakes.
var beyond = []string{"Start_unsupported", "Start_oversize", "Start_not_ready", "Start_bad_sequence", "Data_unsupported",
	"Data_malformed", "Data_chunk_oversize", "Cancel_malformed", "Cancel_bad_sequence", "Ack_unsupported", "Ack_malformed",
	"Ack_bad_sequence", "Fail_store_full"}

// TestLockstep leads connections through random lives beside the model.
func TestLockstep(t *testing.T) {
	taken, checks := map[string]int{}, int64(0)
	rapid.Check(t, func(t *rapid.T) {
		l := &lockstep{t: t, p: model.Real(corrs), now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), taken: taken}
		l.connect()
		l.live(450)
		checks++
	})
	wanted := slices.Clone(beyond)
	for _, p := range []model.Params{model.Small(), model.SmallCredit()} {
		g, err := explore.Explore(model.Machine(p), 20_000)
		if err != nil {
			t.Fatal(err)
		}
		wanted = slices.AppendSeq(wanted, maps.Keys(g.Actions()))
	}
	slices.Sort(wanted)
	steps, counts := int64(0), []string{}
	for _, a := range slices.Compact(wanted) {
		if taken[a] == 0 && checks >= 100 { // fewer are asked for with -short
			t.Errorf("%s was never taken", a)
		}
		steps += int64(taken[a])
		counts = append(counts, fmt.Sprintf("%s %d", a, taken[a]))
	}
	t.Logf("%d steps: %s", steps, strings.Join(counts, ", "))
	evidence.Add(t, evidence.Entry{Check: "lockstep/session", Figures: map[string]int64{
		"checks": checks, "steps": steps, "actions": int64(len(counts))}, Lists: map[string][]string{"actions": counts}})
}

// allow is the Authorize of a node where everybody may do everything: capabilities have a model of their own.
func allow(time.Time, *session.Stream, []byte) (spec.Reason, time.Duration) { return spec.None, 0 }
