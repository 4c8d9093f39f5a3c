package tour

import (
	"fmt"
	"slices"

	"github.com/rustyonions/micronode/model/capability"
	"github.com/rustyonions/micronode/model/explore"
)

// capState is a node with its keys, and the capabilities in the world. Its clients do not see what the node does by
// itself, but only that it is done.
type capState struct {
	capability.State
	Dropped  uint8 // keys that were revoked: the node has dropped them, and only the model has not
	Nameless uint8 // keys whose ids nobody was told
	Served   int   // the stream that ends because it was answered at once; 0 for none
	Full     bool  // as many revocations are remembered as can be
}

// capPlan is what holders of capabilities and an issuer can bring about at a node.
type capPlan struct{ p capability.Params }

// pending is what the node does next by itself.
func (pl capPlan) pending(s capState) (op capability.Op, ok bool) {
	if s.Served > 0 {
		return capability.Op{Kind: capability.Finish, Stream: s.Served}, true
	}
	for surface := range pl.p.Surfaces { // at once, and on all
		if slices.ContainsFunc(s.Revoked, func(r capability.Revocation) bool { return r.Heard&(1<<surface) == 0 }) {
			return capability.Op{Kind: capability.TakeEffect, Surface: surface}, true
		}
	}
	for i, k := range s.Keys {
		if k.Is == "retired" && (s.Dropped&(1<<i) != 0 || !s.needed(i+1)) {
			return capability.Op{Kind: capability.DropKey, Key: i + 1}, true
		}
	}
	for i := range s.Streams {
		op := capability.Op{Kind: capability.End, Stream: i + 1}
		if len(capability.Next(pl.p, s.State, op)) > 0 {
			return op, true
		}
	}
	for _, r := range s.Revoked { // nothing of it was left when its key was dropped
		op := capability.Op{Kind: capability.Forget, Key: r.N}
		if r.Of == "key" && len(capability.Next(pl.p, s.State, op)) > 0 {
			return op, true
		}
	}
	return op, false
}

// needed says that something that the node minted under the key may be good. It does not know what became of it since.
func (s capState) needed(key int) bool {
	for i, t := range s.Tokens {
		if t.Key == key && t.ID == i+1 && t.Left > 0 {
			return true
		}
	}
	return false
}

// step says what op leads to, if somebody outside can bring it about in s.
func (pl capPlan) step(s capState, op capability.Op) (outcomes []explore.Outcome[capState]) {
	waits, pending := pl.pending(s)
	if pending && op != waits || pl.beyond(s, op) != "" {
		return nil
	}
	for _, o := range capability.Next(pl.p, s.State, op) {
		to := capState{o.To, s.Dropped, s.Nameless, 0, s.Full}
		switch {
		case op.Kind == capability.RevokeKey:
			to.Dropped |= 1 << (op.Key - 1)
			if len(o.To.Keys) > len(s.Keys) {
				to.Nameless |= 1 << len(s.Keys)
			}
		case op.Kind == capability.Mint:
			to.Nameless &^= 1 << (len(s.Keys) - 1)
		case o.Action == string(capability.Use) && pl.served(op):
			to.Served = 1 + slices.Index(s.Streams, capability.Stream{})
		case op.Kind == capability.Restart:
			to.Dropped, to.Nameless = 0, 0
		case o.Action == capQuota:
			to.Full = true
		}
		for i, k := range to.Keys {
			if k.Is == "gone" {
				to.Dropped &^= 1 << i
				to.Nameless &^= 1 << i
			}
		}
		outcomes = append(outcomes, explore.Outcome[capState]{Action: o.Action, Reason: o.Reason, Rules: o.Rules, To: to})
	}
	return outcomes
}

// capQuota is the action of a revocation for which there is no room.
const capQuota = string(capability.RevokeID) + "_quota"

// served says that an admitted request is answered at once: over HTTP there is no way to hold a delete open.
func (pl capPlan) served(op capability.Op) bool {
	return pl.p.Surfaces > 1 && capability.Surfaces[op.Surface] == "http" && op.Ops == capability.OpsOf("delete")
}

// beyond says why nobody outside can bring a step about; "" where somebody can.
func (pl capPlan) beyond(s capState, op capability.Op) string {
	waits, pending := pl.pending(s)
	if op.Kind == capability.RevokeKey && s.Nameless&(1<<(op.Key-1)) != 0 {
		return "the passport names a key that replaced a revoked one with what it issues under it, and not before"
	}
	switch op.Kind {
	case capability.Use:
		if op.Token == 0 && slices.Contains([]string{"no exp", "an exp too far ahead"}, capability.Flaws[op.Flaw].Name) {
			return "nobody without a root key can make it"
		}
	case capability.DropKey:
		if !pending || op != waits {
			return "the node keeps a key until the last exp that it minted, or drops it with its revocation"
		}
	case capability.Forget:
		if op.Token > 0 {
			return "the node remembers a revoked id for 24 hours"
		}
	case capability.RevokeID, capability.Restart, capability.Mint, capability.Rotate, capability.RevokeKey, capability.Tick:
		if s.Full && !s.fits(op) {
			return "a list that is full stays full"
		}
	}
	return ""
}

// fits says that a step can be taken when the list of revocations is full. A node then is shared by tours that wait for
// it to be so, and that keep off what one of them would do to another.
func (s capState) fits(op capability.Op) bool {
	if op.Kind != capability.RevokeID {
		return false
	}
	n := 0
	for _, r := range s.Revoked {
		if r.Of == "id" && r.N != op.Token {
			n++
		}
	}
	return n > 0 // so that this one is refused
}

func (pl capPlan) machine() explore.Machine[capState, capability.Op] {
	base := capability.Machine(pl.p)
	return explore.Machine[capState, capability.Op]{
		Name: base.Name, Init: capState{State: base.Init}, Ops: base.Ops, Next: pl.step,
		Canon: func(s capState) string {
			return fmt.Sprint(base.Canon(s.State), s.Dropped, s.Nameless, s.Served, s.Full)
		},
	}
}
