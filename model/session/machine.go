package session

import (
	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/spec"
)

// Small are the constants of Session.cfg: two streams at a time, and the order of everything that can happen to them.
// The answer to a get is without DATA there: whether the node has given it yet is all that matters.
func Small() Params {
	return Params{MaxStreams: 2, MaxCorr: 3, Window: 2, AckEvery: 2, Requests: []Request{Get, Put}, PutFrames: 1}
}

// SmallCredit are the constants of Session-credit.cfg: one stream at a time, and bodies that are longer than a window.
func SmallCredit() Params {
	return Params{MaxStreams: 1, MaxCorr: 2, Window: 2, AckEvery: 1, Requests: []Request{Get, Has, Put}, PutFrames: 3, GetFrames: 3}
}

// Real are the numbers of the law, with room for corr_ids up to maxCorr.
func Real(maxCorr int) Params {
	return Params{MaxStreams: spec.MaxStreams, MaxCorr: maxCorr, Window: spec.Window, AckEvery: spec.AckEvery}
}

// Constants are p as the CONSTANTS of the configuration of TLC.
func (p Params) Constants() map[string]string {
	kinds := []string{}
	for _, r := range p.Requests {
		kinds = append(kinds, explore.Str(string(r)))
	}
	return map[string]string{
		"MaxStreams": explore.Int(p.MaxStreams), "MaxCorr": explore.Int(p.MaxCorr),
		"Window": explore.Int(p.Window), "AckEvery": explore.Int(p.AckEvery),
		"PutFrames": explore.Int(p.PutFrames), "GetFrames": explore.Int(p.GetFrames), "Kinds": explore.Set(kinds...),
	}
}

// Ops is the alphabet: every frame on every corr_id, 0 included, and every other thing that can happen. All puts and
// gets have ACK_REQ. For each way in which a mistake can change the state there is one mistake.
func (p Params) Ops() []Op {
	ops := []Op{{Kind: Hello}, {Kind: Hello, Flaw: Payload}, {Kind: Garbage}, {Kind: Eof}, {Kind: Lost}, {Kind: Drain},
		{Kind: HelloTimeout}, {Kind: FrameTimeout}, {Kind: IdleTimeout}, {Kind: DrainTimeout}}
	if p.GetFrames > 0 {
		ops = append(ops, Op{Kind: Stall})
	}
	total := map[Request]int{Put: p.PutFrames, Get: p.GetFrames, Has: 0}
	for c := range p.MaxCorr + 1 {
		for _, r := range p.Requests {
			for _, end := range []bool{false, true} {
				op := Op{Kind: Start, Corr: c, Req: r, Acks: r != Has, End: end, Total: total[r]}
				ops = append(ops, op)
				if r == Get {
					op.Why = spec.Quota
					ops = append(ops, op)
				}
			}
		}
		ops = append(ops, Op{Kind: Start, Corr: c, Req: Get, Acks: true, Total: p.GetFrames, Flaw: Code},
			Op{Kind: Data, Corr: c}, Op{Kind: Data, Corr: c, Flaw: Foreign}, Op{Kind: Data, Corr: c, Flaw: Gap},
			Op{Kind: End, Corr: c}, Op{Kind: End, Corr: c, Flaw: Payload}, Op{Kind: Cancel, Corr: c}, Op{Kind: Resp, Corr: c})
		for n := range p.GetFrames + 1 {
			ops = append(ops, Op{Kind: Ack, Corr: c, UpTo: n + 1})
		}
	}
	for c := 1; c <= p.MaxCorr; c++ {
		ops = append(ops, Op{Kind: StreamTimeout, Corr: c}, Op{Kind: HalfClosedTimeout, Corr: c},
			Op{Kind: SendAck, Corr: c}, Op{Kind: Answer, Corr: c},
			Op{Kind: Fail, Corr: c, Why: spec.BadDigest}, Op{Kind: Fail, Corr: c, Why: spec.NotFound})
		if p.GetFrames > 0 {
			ops = append(ops, Op{Kind: SendData, Corr: c}, Op{Kind: Fail, Corr: c, Why: spec.Integrity})
		}
	}
	return ops
}

// Machine is the model under small constants, with what must hold.
func Machine(p Params) explore.Machine[State, Op] {
	return explore.Machine[State, Op]{
		Name: "Session", Init: Init(p), Ops: p.Ops(), Canon: canon,
		Next:   func(s State, op Op) []Outcome { return Next(p, s, op) },
		Always: invariants(p), Steps: changes(), LeadsTo: promises(p),
	}
}
