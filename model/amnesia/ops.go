package amnesia

import (
	"fmt"
	"slices"
)

// Op is something that happens to the node or that it does. Fields that its kind does not need are 0 or empty.
type Op struct {
	Kind            string // as in operations
	Conn, Slot, Key int
	Config          string // of Start: one of configs
}

// scope says what an operation happens to.
type scope int

const (
	toNode scope = iota
	toConn
	toSlot
	toBoth // a connection and a slot
	toKey
	toConfig // the node, with a configuration
)

// operation is a kind of operation: what it happens to, the law's words for it, and the function in next.go that says what
// follows. That gets a state of its own and may change it.
type operation struct {
	kind  string
	to    scope
	words string
	next  func(s State, op Op) []Outcome
}

// operations are all kinds. Read-only.
var operations = []operation{
	{"Start", toConfig, "start; the configuration asks for ", start},
	{"Shutdown", toNode, "orderly shutdown begins", shutdown},
	{"Exit", toNode, "the process gives its memory back and ends", exit},
	{"Crash", toNode, "crash", crash},
	{"Overwrite", toNode, "deleted bytes that nobody reads are overwritten", overwrite},
	{"Connect", toConn, "connect", connect},
	{"Close", toConn, "close", closeConn},
	{"Present", toConn, "a token arrives", present},
	{"Wipe", toConn, "the buffer is overwritten", wipe},
	{"Arrive", toConn, "bytes of a put arrive", arrive},
	{"Take", toConn, "the store takes the bytes of the put", take},
	{"Commit", toConn, "the put is complete", commit},
	{"Get", toBoth, "get", get},
	{"Send", toConn, "bytes of the get are copied for sending", send},
	{"Done", toConn, "the get ends", done},
	{"Cancel", toConn, "the request is cancelled", letGo},
	{"Timeout", toConn, "the request times out", letGo},
	{"Revoke", toConn, "the token of the request expires or is revoked", letGo},
	{"Delete", toSlot, "delete", remove},
	{"MakeKey", toNode, "a key is made, the first or in a rotation", makeKey},
	{"Use", toKey, "use", use},
	{"Expire", toKey, "the time to live ends", expire},
	{"Drop", toKey, "drop", drop},
	{"Purge", toNode, "the timer overwrites the keys whose time is over", purge},
}

// configs are what a configuration may ask for. It is unclear where it leaves open whether amnesia is meant, and
// unreadable where amnesia is set to something like `ture`. Read-only.
var configs = []string{"nothing", "amnesia", "persistence", "amnesia and persistence", "something unclear", "something unreadable"}

// Ops is the whole alphabet.
func Ops(p Params) (ops []Op) {
	for _, o := range operations {
		switch o.to {
		case toNode:
			ops = append(ops, Op{Kind: o.kind})
		case toConn:
			for c := range p.Conns {
				ops = append(ops, Op{Kind: o.kind, Conn: c + 1})
			}
		case toSlot:
			for i := range p.Slots {
				ops = append(ops, Op{Kind: o.kind, Slot: i + 1})
			}
		case toBoth:
			for c := range p.Conns {
				for i := range p.Slots {
					ops = append(ops, Op{Kind: o.kind, Conn: c + 1, Slot: i + 1})
				}
			}
		case toKey:
			for k := range p.Keys {
				ops = append(ops, Op{Kind: o.kind, Key: k + 1})
			}
		case toConfig:
			for _, c := range configs {
				ops = append(ops, Op{Kind: o.kind, Config: c})
			}
		}
	}
	return ops
}

// Next says what may follow when op meets s: nil, the empty list, where op can not happen there. It does not change s. The
// state tells the sizes.
func Next(_ Params, s State, op Op) []Outcome {
	for _, o := range operations {
		if o.kind == op.Kind {
			return o.next(s.clone(), op)
		}
	}
	return nil
}

// String says it in the words of the law.
func (op Op) String() string {
	i := slices.IndexFunc(operations, func(o operation) bool { return o.kind == op.Kind })
	text := operations[i].words + op.Config
	if op.Slot > 0 {
		text += fmt.Sprintf(" of the object in slot %d", op.Slot)
	}
	if op.Key > 0 {
		text += fmt.Sprintf(", key %d", op.Key)
	}
	if op.Conn > 0 {
		text += fmt.Sprintf(", connection %d", op.Conn)
	}
	return text
}
