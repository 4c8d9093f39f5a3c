package capability

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/spec"
)

// Kind is what an operation does.
type Kind string

// The operations, and which fields of Op they use.
const (
	Mint       Kind = "Mint"       // the node issues a capability for Role (index into Roles) with a life of Seconds (0: the default)
	Attenuate  Kind = "Attenuate"  // the holder of Token appends Caveat, with Ops or Seconds from now; the node is not asked
	Use        Kind = "Use"        // on Surface (index), Token, or something with Flaw, asks for the operation in Ops
	Finish     Kind = "Finish"     // Stream ends by itself
	End        Kind = "End"        // the node ends Stream: its capability is revoked or past its exp
	Rotate     Kind = "Rotate"     // a new key becomes current
	DropKey    Kind = "DropKey"    // the retired Key is dropped before its grace is over
	RevokeID   Kind = "RevokeID"   // the capability id of Token, the token that was minted with it, is revoked
	RevokeKey  Kind = "RevokeKey"  // Key is revoked
	TakeEffect Kind = "TakeEffect" // on Surface, what is revoked comes into force
	Forget     Kind = "Forget"     // the revocation of Token's capability id, or of Key, is forgotten
	Tick       Kind = "Tick"       // Seconds pass
	Restart    Kind = "Restart"    // the node is started anew, with amnesia on
)

// Op is an operation. The fields that its Kind does not use are zero.
type Op struct {
	Kind                   Kind
	Token, Key, Stream     int
	Surface, Role, Seconds int
	Caveat                 string // "op in", "exp <=" or "nbf >="
	Ops                    Ops
	Flaw                   int // index into Flaws, where Token is 0
}

// Flaw is something wrong with what is shown as a capability.
type Flaw struct {
	Name  string
	Rules []string
}

// Flaws are what can be wrong with a thing that is shown instead of a capability of this node, and the rules that refuse
// it. Nobody without a root key can make a token that has none of them, other than by Attenuate (CAP-HMC-001). Read-only.
var Flaws = []Flaw{
	{"no capability", []string{"CAP-ROL-003"}},
	{"a forged signature", []string{"CAP-HMC-001", "CAP-HMC-003"}},
	{"a caveat taken off", []string{"CAP-HMC-001"}},
	{"no exp", []string{"CAP-CAV-004"}},
	{"an exp too far ahead", []string{"CAP-CAV-005"}},
	{"an unknown or malformed caveat", []string{"CAP-CAV-001", "CAP-CAV-002"}},
	{"another node as aud", []string{"CAP-CAV-008"}},
	{"the other amnesia", []string{"CAP-CAV-015"}},
	{"an unknown key id", []string{"CAP-IDN-003"}},
	{"another encoding or version", []string{"CAP-TOK-007"}},
	{"a third-party caveat without its discharge", []string{"CAP-TOK-008"}},
	{"a discharge that nothing asks for", []string{"CAP-TOK-010"}},
	{"a discharge with a caveat that does not hold", []string{"CAP-TOK-011"}},
	{"too many bytes", []string{"CAP-TOK-005"}},
	{"too many caveats", []string{"CAP-TOK-006"}},
	{"a second capability", []string{"CAP-TOK-009"}},
}

// kinds has the words and the function of each kind of operation.
var kinds = map[Kind]struct {
	words string
	next  func(Params, State, Op) []Outcome
}{
	Mint:       {"mint a capability for the role ROLE with LIFE", mint},
	Attenuate:  {"append CAVEAT LIMIT to WHAT", attenuate},
	Use:        {"ask for OPS over SURFACE with WHAT", use},
	Finish:     {"stream STREAM ends by itself", finish},
	End:        {"stream STREAM is ended", end},
	Rotate:     {"the root key is replaced", rotate},
	DropKey:    {"drop WHAT", dropKey},
	RevokeID:   {"revoke the id of WHAT", revokeID},
	RevokeKey:  {"revoke WHAT", revokeKey},
	TakeEffect: {"what is revoked comes into force on SURFACE", takeEffect},
	Forget:     {"forget the revocation of WHAT", forget},
	Tick:       {"SECONDS s pass", tick},
	Restart:    {"restart with amnesia on", restart},
}

func (o Op) String() string {
	seconds := fmt.Sprint(o.Seconds)
	life, limit, what := "a life of "+seconds+" s", seconds+" s from now", Flaws[o.Flaw].Name
	if o.Seconds == 0 {
		life = "the default life"
	}
	if o.Caveat == "op in" {
		limit = o.Ops.String()
	}
	if o.Key != 0 {
		what = fmt.Sprint("key ", o.Key)
	} else if o.Token != 0 {
		what = fmt.Sprint("capability ", o.Token)
	}
	return strings.NewReplacer("ROLE", Roles[o.Role].Name, "LIFE", life, "CAVEAT", o.Caveat, "LIMIT", limit, "OPS", o.Ops.String(),
		"SURFACE", Surfaces[o.Surface], "STREAM", fmt.Sprint(o.Stream), "SECONDS", seconds, "WHAT", what).Replace(kinds[o.Kind].words)
}

// Outcome is one permitted result of an operation.
type Outcome = explore.Outcome[State]

// Next is what the law permits when op meets s: nil, the empty list, where op can not occur, for example because its token or
// key was not made yet. It never changes s. Streams and surfaces in op have to exist.
func Next(p Params, s State, op Op) []Outcome {
	if op.Token > len(s.Tokens) || op.Key > len(s.Keys) {
		return nil
	}
	return kinds[op.Kind].next(p, s, op)
}

// step is an outcome that was not refused.
func step(action Kind, to State, rules ...string) []Outcome {
	return []Outcome{{Action: string(action), Rules: rules, To: to}}
}

// mint: under the current key, with the operations of one role and an end.
func mint(p Params, s State, op Op) []Outcome {
	life := op.Seconds
	if life == 0 {
		life = p.DefaultLife
	}
	if len(s.Tokens) == p.MaxTokens || life > p.MaxLife {
		return nil // nothing lives longer (CAP-CAV-005); MaxTokens bounds the model, not the law
	}
	t := Token{Key: len(s.Keys), ID: len(s.Tokens) + 1, Ops: Roles[op.Role].Ops & p.Ops, Left: life}
	s.Tokens = append(slices.Clone(s.Tokens), t)
	return step(Mint, s, "CAP-CAV-004", "CAP-CAV-006", "CAP-IDN-001", "CAP-IDN-002", "CAP-KEY-002", "CAP-ROL-001", "CAP-ROL-002")
}

// attenuate: a caveat joins those that stand there, each for itself; none replaces another.
func attenuate(p Params, s State, op Op) []Outcome {
	if len(s.Tokens) == p.MaxTokens {
		return nil
	}
	t := s.Tokens[op.Token-1]
	switch op.Caveat {
	case "op in":
		t.Ops &= op.Ops
	case "exp <=":
		t.Left = min(t.Left, op.Seconds)
	case "nbf >=":
		t.Wait = max(t.Wait, op.Seconds)
	}
	s.Tokens = append(slices.Clone(s.Tokens), t.after(0))
	return step(Attenuate, s, "CAP-CAV-003", "CAP-HMC-001", "CAP-HMC-002")
}

// after is the token some seconds later. All tokens past their exp are alike, which keeps the graph small.
func (t Token) after(seconds int) Token {
	t.Left, t.Wait = max(t.Left-seconds, 0), max(t.Wait-seconds, 0)
	if t.Left == 0 {
		t.Ops, t.Wait = 0, 0
	}
	return t
}

// use: an admitted request is a stream. A refused one changes nothing, and nothing tells which rule it was (CAP-DEN-004).
func use(_ Params, s State, op Op) []Outcome {
	why, rules := spec.Unauth, append([]string{"CAP-DEN-001"}, Flaws[op.Flaw].Rules...)
	if op.Token != 0 {
		why, rules = s.Verdict(s.Tokens[op.Token-1], op.Surface, op.Ops)
	}
	if why != spec.None {
		return []Outcome{{Action: "Use_" + string(why), Reason: why, Rules: append(rules, "CAP-DEN-004"), To: s}}
	}
	free := slices.Index(s.Streams, Stream{})
	if free < 0 {
		return nil
	}
	s.Streams = slices.Clone(s.Streams)
	s.Streams[free] = Stream{op.Token, op.Ops}
	return step(Use, s, rules...)
}

// Verdict says why a surface refuses a request for op with t (None: it does not), and by which rules: is it a capability
// of this node at all, and if so, does it cover the request?
func (s State) Verdict(t Token, surface int, op Ops) (why spec.Reason, rules []string) {
	switch {
	case !s.held(t):
		return spec.Unauth, []string{"AMN-RST-002", "CAP-DEN-001", "CAP-IDN-003", "CAP-KEY-002"}
	case t.Left == 0:
		return spec.Unauth, []string{"CAP-CAV-005", "CAP-DEN-001"}
	case t.Wait > 0:
		return spec.Unauth, []string{"CAP-CAV-007", "CAP-DEN-001"}
	case s.revoked(t, 1<<surface):
		return spec.Unauth, []string{"CAP-DEN-001", "CAP-REV-001", "CAP-REV-002"}
	case t.Ops&op == 0:
		return spec.Forbidden, []string{"CAP-CAV-009", "CAP-DEN-002", "CAP-ROL-002"}
	}
	return spec.None, []string{"CAP-CAV-003", "CAP-CAV-009", "CAP-KEY-002"}
}

// finish: the request was answered, or its client has gone.
func finish(_ Params, s State, op Op) []Outcome {
	if s.Streams[op.Stream-1].Token == 0 {
		return nil
	}
	return step(Finish, s.without(op.Stream), "ADM-CAP-006")
}

// end: may come before every surface has heard of the revocation, and one of these may then open another.
func end(_ Params, s State, op Op) []Outcome {
	if !s.doomed(s.Streams[op.Stream-1]) {
		return nil
	}
	return step(End, s.without(op.Stream), "CAP-REV-003", "CAP-REV-006")
}

func (s State) without(stream int) State {
	s.Streams = slices.Clone(s.Streams)
	s.Streams[stream-1] = Stream{}
	return s
}

// rotate: the old key verifies for as long as a capability under it can be good.
func rotate(p Params, s State, _ Op) []Outcome {
	if len(s.Keys) == p.MaxKeys {
		return nil
	}
	return step(Rotate, s.rotated(p), "CAP-KEY-001", "CAP-KEY-002")
}

func (s State) rotated(p Params) State {
	s.Keys = append(slices.Clone(s.Keys), Key{Is: "current"})
	s.Keys[len(s.Keys)-2] = Key{"retired", p.MaxLife}
	return s
}

// dropKey: a node that knows that no capability under a retired key is alive need not wait.
func dropKey(p Params, s State, op Op) []Outcome {
	if s.Keys[op.Key-1].Is != "retired" ||
		slices.ContainsFunc(s.Tokens, func(t Token) bool { return t.Key == op.Key && s.alive(p, t) }) {
		return nil
	}
	s.Keys = slices.Clone(s.Keys)
	s.Keys[op.Key-1] = Key{Is: "gone"}
	return step(DropKey, s, "AMN-ZER-005", "CAP-KEY-002")
}

// revokeID: covers the token that was minted and all that were attenuated from it. It is refused where as many are remembered
// as can be, and changes nothing then; a list that is full of keys only bounds the model, not the law.
func revokeID(p Params, s State, op Op) []Outcome {
	if s.Tokens[op.Token-1].ID != op.Token {
		return nil
	}
	to, ok := s.revoke(p, Revocation{Of: "id", N: op.Token})
	ids := 0
	for _, r := range s.Revoked {
		if r.Of == "id" {
			ids++
		}
	}
	switch {
	case ok:
		return step(RevokeID, to, "CAP-REV-001", "CAP-REV-002")
	case ids == p.MaxRevocations:
		return []Outcome{{Action: string(RevokeID) + "_quota", Reason: spec.Quota, Rules: []string{"CAP-REV-005"}, To: s}}
	}
	return nil
}

// revokeKey: covers all tokens under the key. A current one is replaced, or what is minted next would be born revoked.
func revokeKey(p Params, s State, op Op) []Outcome {
	to, ok := s.revoke(p, Revocation{Of: "key", N: op.Key})
	current := s.Keys[op.Key-1].Is == "current"
	if !ok || s.Keys[op.Key-1].Is == "gone" || current && len(s.Keys) == p.MaxKeys {
		return nil
	}
	if current {
		to = to.rotated(p)
	}
	return step(RevokeKey, to, "CAP-KEY-002", "CAP-REV-001", "CAP-REV-002")
}

// revoke adds a revocation that is in force nowhere yet. One that is there already stays as it is, and one that covers
// nothing alive and no stream need not be remembered. It fails when the list is full.
func (s State) revoke(p Params, r Revocation) (State, bool) {
	known := slices.ContainsFunc(s.Revoked, func(x Revocation) bool { return x.Of == r.Of && x.N == r.N })
	needed := slices.ContainsFunc(s.Tokens, func(t Token) bool { return r.covers(t) && s.alive(p, t) }) ||
		slices.ContainsFunc(s.Streams, func(st Stream) bool { return st.Token != 0 && r.covers(s.Tokens[st.Token-1]) })
	if known || !needed {
		return s, true
	}
	s.Revoked = append(slices.Clone(s.Revoked), r)
	return s, len(s.Revoked) <= p.MaxRevocations
}

// takeEffect: the surface learns of all that is revoked.
func takeEffect(_ Params, s State, op Op) []Outcome {
	to := s
	to.Revoked = slices.Clone(s.Revoked)
	for i := range to.Revoked {
		to.Revoked[i].Heard |= 1 << op.Surface
	}
	if slices.Equal(to.Revoked, s.Revoked) {
		return nil
	}
	return step(TakeEffect, to, "CAP-REV-002")
}

// forget: only when nothing that the revocation covers could be admitted without it.
func forget(_ Params, s State, op Op) []Outcome {
	i := slices.IndexFunc(s.Revoked, func(r Revocation) bool {
		return r.Of == "id" && r.N == op.Token || r.Of == "key" && r.N == op.Key
	})
	if i < 0 || !s.Revoked[i].Late ||
		slices.ContainsFunc(s.Tokens, func(t Token) bool { return s.Revoked[i].covers(t) && t.Left > 0 && s.held(t) }) {
		return nil
	}
	s.Revoked = slices.Delete(slices.Clone(s.Revoked), i, i+1)
	return step(Forget, s, "CAP-REV-004")
}

// tick: time passes for tokens, retired keys and revocations, but not before what is revoked or expired is so everywhere.
func tick(p Params, s State, op Op) []Outcome {
	if slices.ContainsFunc(s.Revoked, p.spreading) || slices.ContainsFunc(s.Streams, s.doomed) {
		return nil
	}
	s.Tokens, s.Keys, s.Revoked = slices.Clone(s.Tokens), slices.Clone(s.Keys), slices.Clone(s.Revoked)
	for i, t := range s.Tokens {
		s.Tokens[i] = t.after(op.Seconds)
	}
	for i, k := range s.Keys {
		if k.Is == "retired" && k.Grace > op.Seconds {
			s.Keys[i].Grace -= op.Seconds
		} else if k.Is == "retired" {
			s.Keys[i] = Key{Is: "gone"}
		}
	}
	for i := range s.Revoked {
		s.Revoked[i].Late = true
	}
	return step(Tick, s, "AMN-ZER-006", "CAP-CAV-005", "CAP-CAV-007", "CAP-KEY-002", "CAP-REV-002", "CAP-REV-003", "CAP-REV-006")
}

// restart: the node forgets its keys, its revocations and its streams. The tokens are in other hands.
func restart(p Params, s State, _ Op) []Outcome {
	if len(s.Keys) == p.MaxKeys {
		return nil
	}
	keys := slices.Repeat([]Key{{Is: "gone"}}, len(s.Keys))
	s.Keys, s.First = append(keys, Key{Is: "current"}), len(keys)+1
	s.Streams, s.Revoked = make([]Stream, len(s.Streams)), nil
	return step(Restart, s, "AMN-RST-001", "AMN-RST-002")
}
