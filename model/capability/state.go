package capability

import (
	"slices"
	"strings"

	"github.com/rustyonions/micronode/model/explore"
)

// Ops is a set of operations that requests ask for: bit i stands for Operations[i].
type Ops uint32

// Operations are the operations of all roles. Read-only.
var Operations = strings.Fields("get has stat resolve search put delete move send recv ack nack issue verify revoke rotate config audit reprocess")

// OpsOf is the set of the operations in a list with commas. A name that is in no role adds nothing.
func OpsOf(list string) (set Ops) {
	for _, name := range strings.Split(list, ",") {
		if i := slices.Index(Operations, name); i >= 0 {
			set |= 1 << i
		}
	}
	return set
}

// Names lists the operations of the set.
func (o Ops) Names() (names []string) {
	for i, name := range Operations {
		if o&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	return names
}

func (o Ops) within(all Ops) bool { return o&^all == 0 }

func (o Ops) String() string { return strings.Join(o.Names(), ",") }

// Role is a row of the table of roles.
type Role struct {
	Name string
	Ops  Ops
}

// Roles is the table: each role is its row and nothing of another (CAP-ROL-001, CAP-ROL-002). Read-only.
var Roles = []Role{
	{"reader", OpsOf("get,has,stat,resolve,search")},
	{"writer", OpsOf("put,delete,move")},
	{"mailbox", OpsOf("send,recv,ack,nack")},
	{"issuer", OpsOf("issue,verify,revoke,rotate")},
	{"admin", OpsOf("config,audit,reprocess")},
}

// Surfaces are where a capability can be shown. Each learns of a revocation for itself. Read-only.
var Surfaces = []string{"http", "oap", "unix"}

// Token is a capability in somebody's hands: what all its caveats together say. The node keeps no list of them.
type Token struct {
	Key  int // the root key that it is signed under
	ID   int // the capability id: the number of the token that was minted; those attenuated from it keep it
	Ops  Ops // what every `op in` allows
	Left int // seconds for which its earliest `exp` lets it be good, 0 when that is past
	Wait int // seconds until its latest `nbf`, 0 when that is reached
}

// Key is a root key of the node.
type Key struct {
	Is    string // "current", "retired" or "gone"
	Grace int    // of a retired key: seconds until no capability under it can be left
}

// Stream is an open stream or request; the zero value is a place for one.
type Stream struct {
	Token int // the token that opened it
	Op    Ops // the one operation
}

// Revocation is one that the node has not forgotten.
type Revocation struct {
	Of    string // "id" or "key"
	N     int    // Token.ID or Token.Key
	Heard uint8  // where it is in force: bit i stands for Surfaces[i]
	Late  bool   // the second within which it must have come into force is over
}

// State is the node with its surfaces, and the tokens in the world. Numbers of tokens, keys and streams start at 1, so
// that s.Tokens[n-1] is token n. A function that changes a list makes a new one first (slices.Clone).
type State struct {
	Tokens  []Token // in the order of their making
	Keys    []Key   // likewise; the last one is current
	First   int     // the first key of this life: those before it died with theirs
	Streams []Stream
	Revoked []Revocation
}

// Init is a node that has been started for the first time: one key, and no capability in the world.
func Init(p Params) State {
	return State{Keys: []Key{{Is: "current"}}, First: 1, Streams: make([]Stream, p.MaxStreams)}
}

func (r Revocation) covers(t Token) bool {
	return r.Of == "id" && r.N == t.ID || r.Of == "key" && r.N == t.Key
}

// revoked says whether a revocation covers t and is in force on the surfaces in the set; with the empty set, 0, it need
// not be in force anywhere.
func (s State) revoked(t Token, surfaces uint8) bool {
	return slices.ContainsFunc(s.Revoked, func(r Revocation) bool { return r.covers(t) && r.Heard&surfaces == surfaces })
}

// held says that the node still has the key of t.
func (s State) held(t Token) bool { return s.Keys[t.Key-1].Is != "gone" }

// alive says that t could be admitted somewhere, now or later; a token that is not never comes back.
func (s State) alive(p Params, t Token) bool {
	return t.Left > 0 && s.held(t) && !s.revoked(t, p.everywhere())
}

// late says that the second within which a revocation of t must have done its work is over.
func (s State) late(t Token) bool {
	return slices.ContainsFunc(s.Revoked, func(r Revocation) bool { return r.Late && r.covers(t) })
}

// doomed says that the node has to end the stream.
func (s State) doomed(st Stream) bool {
	return st.Token != 0 && (s.Tokens[st.Token-1].Left == 0 || s.revoked(s.Tokens[st.Token-1], 0))
}

// spreading says that the revocation is not in force everywhere.
func (p Params) spreading(r Revocation) bool { return r.Heard != p.everywhere() }

// everywhere is the set of all surfaces.
func (p Params) everywhere() uint8 { return 1<<p.Surfaces - 1 }

// canon writes the variables of the TLA+ module.
func (p Params) canon(s State) string {
	tokens := explore.Each(s.Tokens, func(t Token) string {
		return explore.Rec("key", explore.Int(t.Key), "id", explore.Int(t.ID), "ops", quoted(t.Ops.Names()),
			"left", explore.Int(t.Left), "wait", explore.Int(t.Wait))
	})
	keys := explore.Each(s.Keys, func(k Key) string { return explore.Rec("is", explore.Str(k.Is), "grace", explore.Int(k.Grace)) })
	streams := explore.Each(s.Streams, func(st Stream) string {
		return explore.Rec("token", explore.Int(st.Token), "op", explore.Str(st.Op.String()))
	})
	revoked := explore.Each(s.Revoked, func(r Revocation) string {
		var heard []string
		for i, name := range Surfaces {
			if r.Heard&(1<<i) != 0 {
				heard = append(heard, name)
			}
		}
		return explore.Rec("of", explore.Str(r.Of), "n", explore.Int(r.N), "heard", quoted(heard), "late", explore.Bool(r.Late))
	})
	return explore.Vars("tokens", explore.Seq(tokens...), "keys", explore.Seq(keys...), "first", explore.Int(s.First),
		"streams", explore.Seq(streams...), "revoked", explore.Set(revoked...))
}

func quoted(names []string) string { return explore.Set(explore.Each(names, explore.Str)...) }
