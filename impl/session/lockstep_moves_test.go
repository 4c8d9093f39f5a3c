package session_test

import (
	"slices"
	"time"

	"pgregory.net/rapid"

	"github.com/rustyonions/micronode/impl/wire"
	model "github.com/rustyonions/micronode/model/session"
	"github.com/rustyonions/micronode/spec"
)

// dice draws a number below n. Ranges of rapid prefer small numbers, and a life made of them is short.
func (l *lockstep) dice(n int) int { return dice.Draw(l.t, "dice") % n }

var dice = rapid.Custom(func(t *rapid.T) (v int) {
	for i, bit := range rapid.SliceOfN(rapid.Bool(), 9, 9).Draw(t, "bits") {
		if bit {
			v |= 1 << i
		}
	}
	return v
})

func oneOf[T any](l *lockstep, of ...T) T { return of[l.dice(len(of))] }

// streams are the corr_ids of streams that are as is says.
func (l *lockstep) streams(is func(st model.Stream) bool) (corrs []int) {
	for i, st := range l.s.Streams {
		if is(st) {
			corrs = append(corrs, i+1)
		}
	}
	return corrs
}

// pick draws a corr_id: mostly of a stream that holds a place, else any.
func (l *lockstep) pick() int {
	places := l.streams(func(st model.Stream) bool { return st.Mode == model.Open || st.Mode == model.Half })
	if len(places) > 0 && l.dice(8) > 0 {
		return oneOf(l, places...)
	}
	if l.dice(6) > 0 {
		return 1 + l.dice(min(l.s.Last+2, corrs))
	}
	return 0
}

var flaws = map[model.Kind][]model.Flaw{
	model.Hello:  {model.Payload},
	model.Start:  {model.Shape, model.Code, model.Foreign, model.Sealed, model.Payload},
	model.Data:   {model.Shape, model.Code, model.Foreign, model.Sealed, model.Payload, model.Large, model.Other, model.Gap},
	model.End:    {model.Shape, model.Code, model.Foreign, model.Payload},
	model.Cancel: {model.Shape, model.Foreign, model.Payload},
	model.Ack:    {model.Shape, model.Code, model.Foreign, model.Sealed, model.Payload},
}

// flawed gives a frame mistakes of its kind: mostly none, sometimes two.
func (l *lockstep) flawed(op model.Op) model.Op {
	all := flaws[op.Kind]
	if op.Req == model.Put {
		all = append(all[:len(all):len(all)], model.Large)
	}
	if len(all) > 0 && l.dice(4) == 0 {
		op.Flaw = oneOf(l, all...) | oneOf(l, append(all[:len(all):len(all)], 0, 0, 0)...)
	}
	return op
}

// start draws a START, mostly of a new stream.
func (l *lockstep) start() model.Op {
	op := model.Op{Kind: model.Start, Corr: min(l.s.Last+1+l.dice(2)*l.dice(2), corrs), Acks: l.dice(4) > 0}
	if l.dice(10) == 0 {
		op.Corr = l.pick()
	}
	if op.Req = oneOf(l, model.Put, model.Put, model.Get, model.Get, model.Has); op.Req != model.Has {
		op.Total = oneOf(l, 0, 1, 3, 40, 70)
	}
	op.End = (op.Req != model.Put || op.Total == 0) && l.dice(3) > 0 || l.dice(20) == 0
	if l.dice(10) == 0 {
		op.Why = oneOf(l, spec.Quota, spec.NotReady, spec.TooManyStreams)
	}
	return l.flawed(op)
}

// follow draws a frame behind a START.
func (l *lockstep) follow() model.Op {
	op := model.Op{Kind: oneOf(l, model.Data, model.Data, model.Data, model.End, model.End, model.Cancel, model.Cancel, model.Resp), Corr: l.pick()}
	return l.flawed(op)
}

// behave sends what an honest client could send next on one of its streams, and now and then gets it wrong.
func (l *lockstep) behave() {
	open := l.streams(func(st model.Stream) bool { return st.Mode == model.Open })
	if len(open) == 0 {
		return
	}
	corr := oneOf(l, open...)
	var op model.Op
	switch st := l.s.Streams[corr-1]; {
	case st.Req == model.Put && st.Moved < st.Total:
		op = model.Op{Kind: model.Data, Corr: corr}
	case !st.Ended:
		op = model.Op{Kind: model.End, Corr: corr}
	case st.Req == model.Get && st.Acks && st.Acked < st.Moved:
		op = model.Op{Kind: model.Ack, Corr: corr, UpTo: st.Acked + 1 + l.dice(st.Moved-st.Acked)}
	default:
		return
	}
	if l.dice(3) == 0 {
		op = l.flawed(op)
	}
	l.frame(op)
}

// ack draws an ACK, mostly for the answer to a get.
func (l *lockstep) ack() model.Op {
	op := model.Op{Kind: model.Ack, Corr: l.pick()}
	if gets := l.streams(func(st model.Stream) bool { return st.Moved > 0 && st.Req == model.Get }); len(gets) > 0 && l.dice(4) > 0 {
		op.Corr = oneOf(l, gets...)
	}
	if op.UpTo = l.dice(3); op.Corr > 0 {
		st := l.s.Streams[op.Corr-1]
		op.UpTo = st.Acked + l.dice(st.Moved-st.Acked+2)
	}
	return l.flawed(op)
}

// serve has the transport take DATA, as long as there is some and it wants more.
func (l *lockstep) serve() {
	for n := 1 + l.dice(70); n > 0 && !l.hold && l.s.Phase == model.Up; n-- {
		st, _, _, ok := l.c.NextData()
		canSend := l.streams(func(st model.Stream) bool {
			return st.Req == model.Get && st.Ended && st.Moved < st.Total && (!st.Acks || st.Moved-st.Acked < spec.Window)
		})
		if ok != (len(canSend) > 0) {
			l.t.Fatalf("there is DATA to send: %v; the streams that could are %v", ok, canSend)
		}
		if !ok {
			return
		}
		corr := int(st.Corr / l.stride)
		l.expect(model.Op{Kind: model.SendData, Corr: corr})
		l.got = append(l.c.AppendData(l.now, l.got, st, 1), 'x')
		if op := (model.Op{Kind: model.Answer, Corr: corr}); l.can(op) {
			l.expect(op)
		}
		l.compare()
	}
}

// last has the shell say the last word on one of its streams, if that can be said now.
func (l *lockstep) last(kind model.Kind) {
	mine := l.streams(func(st model.Stream) bool { return st.Mode == model.Open && (st.Ended || st.Req == model.Put) })
	if len(mine) == 0 {
		return
	}
	op := model.Op{Kind: kind, Corr: oneOf(l, mine...)}
	for n := max(0, l.dice(6)-2); kind == model.Fail && (op.Why == spec.None || !l.can(op) && l.dice(8) > 0); n++ {
		op.Why = []spec.Reason{spec.BadDigest, spec.StoreFull, spec.NotFound, spec.Integrity}[n%4]
	}
	st := l.handles[op.Corr]
	if st == nil {
		l.t.Fatalf("the shell does not know stream %d", op.Corr)
	}
	if !l.can(op) {
		return
	}
	l.expect(op)
	switch {
	case kind == model.Fail:
		l.c.Fail(l.now, st, op.Why, time.Second)
	case st.Req.Op == wire.OpGet:
		l.c.Serve(l.now, st, st.Req.Obj, 9, 9, 9)
	default:
		l.c.Answer(st, wire.AppendAnswer(nil, st.Req.Op, &wire.Answer{}))
	}
	l.compare()
}

// wait lets time pass, to a limit or a nanosecond before it, or a little.
func (l *lockstep) wait() {
	until := l.now.Add(1e8)
	if l.s.Phase == model.New || !l.partial.IsZero() || l.dice(8) == 0 {
		until = oneOf(l, l.deadline(), l.deadline().Add(-1), l.now.Add(2e9))
	}
	if until.Before(l.now) || until.After(l.deadline()) {
		return
	}
	l.now = until
	l.due()
	l.c.Tick(l.now)
	l.compare()
}

// call is an operation that is one call of the connection.
func (l *lockstep) call(kind model.Kind, do func()) {
	if op := (model.Op{Kind: kind}); l.can(op) {
		l.expect(op)
		do()
		l.compare()
	}
}

// many sends frames until the connection is another, or next has none.
func (l *lockstep) many(next func() (model.Op, bool)) {
	for c := l.c; l.c == c; {
		op, ok := next()
		if !ok {
			return
		}
		l.frame(op)
	}
}

// move is one thing to do, if it can be done.
type move struct {
	weight int
	client bool // sends a frame: needs a client that has not said that it is done, and mostly one that was greeted
	do     func()
}

func (l *lockstep) moves() []move {
	return []move{
		{30, true, func() { l.frame(l.start()) }},
		{30, true, func() { l.frame(l.follow()) }},
		{15, true, func() { l.frame(l.ack()) }},
		{90, true, l.behave},
		{1, true, func() { l.frame(l.flawed(model.Op{Kind: model.Hello})) }},
		{2, true, func() { // more streams than there are places
			n := 20 + l.dice(60)
			l.many(func() (model.Op, bool) {
				n--
				op := model.Op{Kind: model.Start, Corr: l.s.Last + 1, Req: model.Put, Acks: true, Total: 40}
				return op, n > 0 && op.Corr <= corrs
			})
		}},
		{20, true, func() { // more of a body than there is credit, or than there is
			n, op := l.dice(80), model.Op{Kind: model.Data, Corr: l.pick()}
			l.many(func() (model.Op, bool) {
				n--
				return op, n > 0 && op.Corr > 0 && l.s.Streams[op.Corr-1].Req == model.Put
			})
			l.frame(model.Op{Kind: model.End, Corr: op.Corr})
		}},
		{6, true, func() { // nobody looked at the clock meanwhile
			l.now = l.now.Add(time.Duration(l.dice(11)) * 500 * time.Millisecond)
			l.frame(l.follow())
		}},
		{8, true, func() {
			if l.partial.IsZero() {
				l.partial = l.now
			}
			l.c.Partial(l.now, true, false)
			l.compare()
		}},
		{1, true, func() { l.call(model.Garbage, func() { l.feed([]byte{0, 0, 0, 37}) }) }},
		{30, false, l.serve},
		{30, false, func() { l.last(model.Answer) }},
		{14, false, func() { l.last(model.Fail) }},
		{15, false, l.wait},
		{3, false, func() { l.call(model.Stall, l.c.Lost) }},
		{10, false, func() { l.hold = l.dice(3) == 0; l.compare() }},
		{3, false, func() {
			switch kind := oneOf(l, model.Eof, model.Drain, model.Drain, model.Lost); kind {
			case model.Eof:
				l.call(kind, l.c.EOF)
			case model.Drain:
				l.call(kind, func() {
					l.drainsBy = l.now.Add(time.Duration(l.dice(4)) * time.Second)
					l.c.Drain(l.now, l.drainsBy)
				})
			default:
				l.call(kind, l.c.Lost)
			}
		}},
	}
}

// live does a number of things, each as often as its weight says.
func (l *lockstep) live(things int) {
	var all []move
	for _, m := range l.moves() {
		all = append(all, slices.Repeat([]move{m}, m.weight)...)
	}
	for range things {
		switch m := oneOf(l, all...); {
		case l.s.Phase != model.New:
			if !m.client || !l.s.EOF {
				m.do()
			}
		case l.dice(6) > 0:
			l.frame(model.Op{Kind: model.Hello})
		default: // what else can come first
			early := func() {
				l.frame(model.Op{Kind: oneOf(l, model.Start, model.Data, model.End, model.Cancel, model.Ack, model.Resp), Corr: l.pick()})
			}
			oneOf(l, l.wait, early, early, m.do)()
		}
	}
}
