package capability_test

import (
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gopkg.in/macaroon.v2"
	"pgregory.net/rapid"

	"github.com/rustyonions/micronode/chaos/evidence"
	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/impl/secret"
	model "github.com/rustyonions/micronode/model/capability"
	"github.com/rustyonions/micronode/spec"
)

// large are the parameters of the model that say what the law says. A capability is good up to and with its last second,
// so a life of n seconds is n + 1 there.
var large = model.Params{
	MaxTokens: 1 << 20, MaxKeys: 1 << 20, MaxStreams: 16, MaxRevocations: 1 << 20, Surfaces: len(model.Surfaces),
	Ops: model.OpsOf(strings.Join(model.Operations, ",")), MaxLife: 86401, DefaultLife: 901,
}

// lockstep drives the model and an Authority with the same operations. Things have the numbers of the model: of tokens and
// keys in the order of their making, of streams the lowest free one.
type lockstep struct {
	*rapid.T
	s       model.State
	a       *capability.Authority
	random  recorder
	vault   *secret.Vault
	now     time.Time
	tokens  []capability.Token
	keys    []capability.KeyID
	streams []*capability.Lease
	until   map[int]time.Time // how long the Authority has to remember the revocation of the id of a token
	taken   map[string]int
}

// recorder is randomness that remembers the root keys that were made of it, so that the test can sign what nobody else
// could.
type recorder struct {
	counter
	last capability.KeyID
	keys map[capability.KeyID][]byte
}

func (r *recorder) Read(b []byte) (int, error) {
	n, err := r.counter.Read(b)
	switch len(b) {
	case len(r.last):
		copy(r.last[:], b)
	case 32:
		r.keys[r.last] = slices.Clone(b)
	}
	return n, err
}

// next takes a step of the model, and is false where the model says that it can not occur.
func (l *lockstep) next(op model.Op) (model.Outcome, bool) {
	outcomes := model.Next(large, l.s, op)
	if len(outcomes) == 0 {
		return model.Outcome{}, false
	}
	if len(outcomes) > 1 {
		l.Fatalf("%v has %d outcomes, and an Authority one", op, len(outcomes))
	}
	l.s = outcomes[0].To
	l.taken[outcomes[0].Action]++
	l.taken["steps"]++
	return outcomes[0], true
}

// must takes a step that the Authority has taken already.
func (l *lockstep) must(op model.Op) {
	if _, ok := l.next(op); !ok {
		l.Fatalf("the Authority did what the law does not permit here: %v, in\n%+v", op, l.s)
	}
}

// start begins a life of the node.
func (l *lockstep) start() {
	a, err := capability.New(l.now, capability.Config{Name: "node-a", Amnesia: true, Random: &l.random, Vault: l.vault})
	if err != nil {
		l.Fatal(err)
	}
	l.a = a
	l.keys = append(l.keys, a.Status().Current)
	l.streams = make([]*capability.Lease, large.MaxStreams)
	l.until = map[int]time.Time{}
}

func (l *lockstep) mint(t *rapid.T) {
	role := rapid.IntRange(0, len(model.Roles)-1).Draw(t, "role")
	life := rapid.SampledFrom([]int{0, 1, 60, 3600, 86400}).Draw(t, "life")
	op := model.Op{Kind: model.Mint, Role: role}
	if life != 0 {
		op.Seconds = life + 1
	}
	tok, err := l.a.Mint(l.now, capability.Minting{Ops: spec.Role(model.Roles[role].Name).Ops(), TTL: time.Duration(life) * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	l.tokens = append(l.tokens, tok)
	l.must(op)
}

func (l *lockstep) attenuate(t *rapid.T) {
	n := l.pick(t)
	if n == 0 {
		return // nothing to do
	}
	op := model.Op{Kind: model.Attenuate, Token: n, Caveat: rapid.SampledFrom([]string{"op in", "exp <=", "nbf >="}).Draw(t, "caveat")}
	text := op.Caveat + " "
	if op.Caveat == "op in" {
		ops := rapid.SliceOfN(rapid.SampledFrom(model.Operations), 1, 4).Draw(t, "ops")
		op.Ops = model.OpsOf(strings.Join(ops, ","))
		text += strings.Join(ops, ",")
	} else {
		seconds := rapid.SampledFrom([]int{-1, 0, 1, 60, 3600}).Draw(t, "seconds")
		text += strconv.FormatInt(l.now.Unix()+int64(seconds), 10)
		if op.Seconds = max(seconds, 0); op.Caveat == "exp <=" {
			op.Seconds = seconds + 1
		}
	}
	c, err := capability.ParseCaveat(text)
	if err != nil {
		t.Fatal(err)
	}
	tok, err := l.tokens[op.Token-1].Attenuate(c)
	if errors.Is(err, spec.Oversize) {
		return // 32 caveats are all there can be
	} else if err != nil {
		t.Fatal(err)
	}
	l.tokens = append(l.tokens, tok)
	l.must(op)
}

// pick draws a token; 0 while there is none in the world.
func (l *lockstep) pick(t *rapid.T) int {
	if len(l.tokens) == 0 {
		return 0
	}
	var good []int
	for i, tok := range l.s.Tokens {
		if tok.Left > 0 && tok.Wait == 0 && l.s.Keys[tok.Key-1].Is != "gone" {
			good = append(good, i+1)
		}
	}
	if len(good) > 0 && rapid.IntRange(0, 3).Draw(t, "any token at 0") != 0 {
		return rapid.SampledFrom(good).Draw(t, "token with life in it")
	}
	return rapid.IntRange(1, len(l.tokens)).Draw(t, "token")
}

func request(op string, surface int) capability.Request {
	return capability.Request{Op: spec.Op(op), Path: "/o/a", HasPeer: model.Surfaces[surface] == "unix"}
}

func (l *lockstep) use(t *rapid.T) {
	n := l.pick(t)
	if n == 0 {
		return // nothing to do
	}
	names := model.Operations
	if own := l.s.Tokens[n-1].Ops.Names(); len(own) > 0 && rapid.Bool().Draw(t, "an operation that it lists") {
		names = own
	}
	name := rapid.SampledFrom(names).Draw(t, "op")
	surface := rapid.IntRange(0, large.Surfaces-1).Draw(t, "surface")
	before := l.a.Status()
	o, ok := l.next(model.Op{Kind: model.Use, Token: n, Surface: surface, Ops: model.OpsOf(name)})
	if !ok {
		return // no room for another stream
	}
	lease, err := l.a.Admit(l.now, l.tokens[n-1], request(name, surface), n)
	l.compare(o, err)
	if o.Reason == spec.None {
		l.streams[slices.Index(l.streams, nil)] = lease
	} else if after := l.a.Status(); !sameStatus(before, after) {
		t.Errorf("a refusal changed %+v to %+v", before, after)
	}
}

// compare holds the answer of the Authority to the model's.
func (l *lockstep) compare(o model.Outcome, err error) {
	l.Helper()
	var e *capability.Error
	switch {
	case o.Reason == spec.None && err == nil:
	case o.Reason != spec.None && errors.As(err, &e) && e.Reason == o.Reason:
	default:
		l.Errorf("%s by %v; the Authority: %v by %s", o.Action, o.Rules, err, rule(err))
	}
}

// useFlawed shows one thing of each kind that is no capability of this node.
func (l *lockstep) useFlawed(t *rapid.T) {
	before := l.a.Status()
	for flaw, f := range model.Flaws {
		flawed, ok := flaws[f.Name]
		if !ok {
			t.Fatalf("nobody here knows how to make %q", f.Name)
		}
		o, _ := l.next(model.Op{Kind: model.Use, Flaw: flaw, Ops: model.OpsOf("get")})
		tok, err := capability.ParseBinary(flawed(l))
		if err == nil {
			_, err = l.a.Admit(l.now, tok, request("get", 0), nil)
		}
		l.compare(o, err)
		l.taken["with "+f.Name]++
	}
	if after := l.a.Status(); !sameStatus(before, after) {
		t.Errorf("a refusal changed %+v to %+v", before, after)
	}
	// Without a flaw it would have been admitted: so it was the flaw.
	if _, err := l.a.Verify(l.now, must(capability.ParseBinary(l.sign())), request("get", 0)); err != nil {
		t.Errorf("without a flaw: %v by %s", err, rule(err))
	}
}

// sign makes a capability for get with the current key, behind the node's back. Its caveats are the given ones, or a good
// end.
func (l *lockstep) sign(caveats ...string) []byte {
	if caveats == nil {
		caveats = []string{l.end(60)}
	}
	current := l.a.Status().Current
	return must(macaroonOf(l.random.keys[current], "\x01"+string(current[:])+strings.Repeat("\xee", 16), caveats).MarshalBinary())
}

func (l *lockstep) end(seconds int) string {
	return "exp <= " + strconv.FormatInt(l.now.Unix()+int64(seconds), 10)
}

func macaroonOf(key []byte, id string, caveats []string) *macaroon.Macaroon {
	m := must(macaroon.New(key, []byte(id), "micronode", macaroon.V2))
	for _, c := range caveats {
		m.AddFirstPartyCaveat([]byte(c))
	}
	return m
}

// flaws makes what model.Flaws lists.
var flaws = map[string]func(l *lockstep) []byte{
	"no capability": func(*lockstep) []byte { return nil },
	"a forged signature": func(l *lockstep) []byte {
		b := l.sign()
		b[len(b)-1] ^= 1
		return b
	},
	"a caveat taken off": func(l *lockstep) []byte {
		whole, less := l.sign(l.end(60), "op in get"), l.sign()
		return append(less[:len(less)-32], whole[len(whole)-32:]...)
	},
	"no exp":                         func(l *lockstep) []byte { return l.sign("op in get") },
	"an exp too far ahead":           func(l *lockstep) []byte { return l.sign(l.end(86401)) },
	"an unknown or malformed caveat": func(l *lockstep) []byte { return l.sign(l.end(60), "ip = 127.0.0.1") },
	"another node as aud":            func(l *lockstep) []byte { return l.sign(l.end(60), "aud = node-b") },
	"the other amnesia":              func(l *lockstep) []byte { return l.sign(l.end(60), "amnesia = off") },
	"an unknown key id": func(l *lockstep) []byte {
		return must(macaroonOf(make([]byte, 32), "\x01"+strings.Repeat("\xff", 24), []string{l.end(60)}).MarshalBinary())
	},
	"another encoding or version": func(l *lockstep) []byte { return append(l.sign(), 0) },
	"a third-party caveat without its discharge": func(l *lockstep) []byte {
		return must(must(capability.ParseBinary(l.sign())).AddThirdParty([]byte("a key"), []byte("who are you"), "elsewhere")).Binary()
	},
	"a discharge that nothing asks for": func(l *lockstep) []byte {
		return append(l.sign(), must(capability.NewDischarge([]byte("a key"), []byte("who are you"))).Binary()...)
	},
	"a discharge with a caveat that does not hold": func(l *lockstep) []byte {
		asks := must(must(capability.ParseBinary(l.sign())).AddThirdParty([]byte("a key"), []byte("who are you"), "elsewhere"))
		past := must(capability.ParseCaveat(l.end(-1)))
		return must(asks.Bind(must(capability.NewDischarge([]byte("a key"), []byte("who are you"), past)))).Binary()
	},
	"too many bytes":      func(l *lockstep) []byte { return l.sign(l.end(60), "op in get"+strings.Repeat(",get", 800)) },
	"too many caveats":    func(l *lockstep) []byte { return l.sign(slices.Repeat([]string{l.end(60)}, 33)...) },
	"a second capability": func(l *lockstep) []byte { return append(l.sign(), l.sign()...) },
}

func (l *lockstep) finish(t *rapid.T) {
	open := []int{}
	for i, lease := range l.streams {
		if lease != nil {
			open = append(open, i)
		}
	}
	if len(open) == 0 {
		return // nothing to do
	}
	i := rapid.SampledFrom(open).Draw(t, "stream")
	l.streams[i].Release()
	l.streams[i] = nil
	l.must(model.Op{Kind: model.Finish, Stream: i + 1})
}

// ended takes the leases that came back out of the streams, and wants them to be those that the model says must end.
func (l *lockstep) ended(leases []*capability.Lease, why string) {
	for _, lease := range leases {
		i := slices.Index(l.streams, lease)
		if i < 0 || !lease.Ended() {
			l.Fatalf("a lease came back that is not open, or is not ended: %+v", lease)
		}
		lease.Release()
		l.streams[i] = nil
		l.taken[why]++
		l.must(model.Op{Kind: model.End, Stream: i + 1})
	}
	for i := range l.streams {
		if _, doomed := l.next(model.Op{Kind: model.End, Stream: i + 1}); doomed {
			l.Fatalf("stream %d has to end, and its lease did not come back", i+1)
		}
	}
}

func (l *lockstep) rotate(t *rapid.T) {
	id, err := l.a.Rotate(l.now)
	if err != nil {
		t.Fatal(err)
	}
	l.keys = append(l.keys, id)
	l.must(model.Op{Kind: model.Rotate})
}

// inForce: an Authority has one memory for all surfaces.
func (l *lockstep) inForce() {
	for surface := range large.Surfaces {
		l.next(model.Op{Kind: model.TakeEffect, Surface: surface})
	}
}

func (l *lockstep) revokeID(t *rapid.T) {
	token := l.pick(t)
	if token == 0 {
		return // nothing to do
	}
	n := l.s.Tokens[token-1].ID
	leases, err := l.a.RevokeCapability(l.now, l.tokens[n-1].ID())
	if err != nil {
		t.Fatal(err)
	}
	l.until[n] = l.now.Add(spec.MaxCapabilityTTL)
	l.must(model.Op{Kind: model.RevokeID, Token: n})
	l.inForce()
	l.ended(leases, "End of a revoked id")
}

func (l *lockstep) revokeKey(t *rapid.T) {
	n := len(l.keys) - rapid.IntRange(0, len(l.keys)-1).Draw(t, "key, from the youngest")
	leases, found := l.a.RevokeKey(l.now, l.keys[n-1])
	if now := l.a.Status().Current; now != l.keys[len(l.keys)-1] {
		l.keys = append(l.keys, now)
	}
	if _, ok := l.next(model.Op{Kind: model.RevokeKey, Key: n}); ok != found {
		t.Fatalf("key %d: found %v; the model says %v", n, found, ok)
	}
	l.inForce()
	l.ended(leases, "End of a revoked key")
}

func (l *lockstep) tick(t *rapid.T) {
	seconds := rapid.SampledFrom([]int{1, 1, 1, 59, 60, 900, 3600, 43200, 86400, 30 * 86400}).Draw(t, "seconds")
	l.now = l.now.Add(time.Duration(seconds) * time.Second)
	leases, err := l.a.Tick(l.now)
	if err != nil {
		t.Fatal(err)
	}
	if current := l.a.Status().Current; current != l.keys[len(l.keys)-1] { // 30 days have passed
		l.keys = append(l.keys, current)
		l.must(model.Op{Kind: model.Rotate})
		l.taken["a key of 30 days"]++
	}
	l.must(model.Op{Kind: model.Tick, Seconds: seconds})
	l.ended(leases, "End at the exp")
	for n, until := range l.until {
		if l.now.After(until) {
			delete(l.until, n)
			if l.remembers("id", n) {
				l.must(model.Op{Kind: model.Forget, Token: n})
			}
		}
	}
	for n := range l.keys {
		if l.remembers("key", n+1) { // which an Authority never does: it drops the key
			l.must(model.Op{Kind: model.Forget, Key: n + 1})
		}
	}
}

func (l *lockstep) remembers(of string, n int) bool {
	return slices.ContainsFunc(l.s.Revoked, func(r model.Revocation) bool { return r.Of == of && r.N == n })
}

func (l *lockstep) restart(t *rapid.T) {
	if rapid.IntRange(0, 9).Draw(t, "restart at 0") != 0 {
		return // most of the time
	}
	open := 0
	for _, lease := range l.streams {
		if lease != nil {
			open++
		}
	}
	if leases := l.a.Close(); len(leases) != open {
		t.Errorf("%d streams were open, %d leases came back", open, len(leases))
	}
	l.start()
	l.must(model.Op{Kind: model.Restart})
}

// check compares all that can be seen: the keys, the number of streams and of revocations, and what every token in the
// world would be answered.
func (l *lockstep) check(t *rapid.T) {
	status := l.a.Status()
	held := append(status.Replaced, status.Current)
	for i, k := range l.s.Keys {
		if k.Is != "gone" && !slices.Contains(held, l.keys[i]) {
			l.must(model.Op{Kind: model.DropKey, Key: i + 1})
		} else if k.Is == "gone" && slices.Contains(held, l.keys[i]) {
			t.Fatalf("key %d is still there", i+1)
		}
	}
	if current := l.keys[len(l.s.Keys)-1]; len(l.keys) != len(l.s.Keys) || status.Current != current {
		t.Fatalf("the current key is %v, want %v", status.Current, current)
	}
	streams := 0
	for i, st := range l.s.Streams {
		if (st.Token != 0) != (l.streams[i] != nil) || l.streams[i] != nil && l.streams[i].Ended() {
			t.Fatalf("stream %d: %+v, %+v", i+1, st, l.streams[i])
		}
		if st.Token != 0 {
			streams++
		}
	}
	if status.Leases != streams || status.Revocations != len(l.until) {
		t.Fatalf("%+v, want %d leases and %d revocations", status, streams, len(l.until))
	}
	for n, tok := range l.tokens {
		for _, name := range []string{"get", "put", "send", "issue", "config"} {
			why, rules := l.s.Verdict(l.s.Tokens[n], 0, model.OpsOf(name))
			_, err := l.a.Verify(l.now, tok, request(name, 0))
			l.compare(model.Outcome{Action: "Verify of capability " + strconv.Itoa(n+1), Reason: why, Rules: rules}, err)
		}
	}
}

// TestLockstep: whatever happens in whatever order, the Authority is where the model is (CAP-CAV-003 to 009, CAP-DEN-001,
func TestLockstep(t *testing.T) {
	taken := map[string]int{}
	checks := 0
	vault := newVault(t)
	walk := func(t *rapid.T) {
		checks++
		l := &lockstep{T: t, s: model.Init(large), now: epoch, taken: taken, vault: vault, random: recorder{keys: map[capability.KeyID][]byte{}}}
		l.start()
		defer func() { l.a.Close() }()
		t.Repeat(map[string]func(*rapid.T){
			"": l.check, "mint": l.mint, "attenuate": l.attenuate, "use": l.use, "use again": l.use, "and again": l.use, "use flawed": l.useFlawed,
			"finish": l.finish, "rotate": l.rotate, "revoke id": l.revokeID, "revoke key": l.revokeKey, "tick": l.tick, "restart": l.restart,
		})
	}
	for range 4 { // walks are short
		rapid.Check(t, walk)
	}
	if t.Failed() {
		return // a walk ends at the first difference
	}
	want := []string{
		"Mint", "Attenuate", "Use", "Use_unauth", "Use_forbidden", "Finish", "End", "Rotate", "DropKey", "RevokeID", "RevokeKey", "TakeEffect",
		"Forget", "Tick", "Restart", "End of a revoked id", "End of a revoked key", "End at the exp", "a key of 30 days",
	}
	for _, flaw := range model.Flaws {
		want = append(want, "with "+flaw.Name)
	}
	for _, action := range want {
		if taken[action] == 0 {
			t.Errorf("%s was never taken", action)
		}
	}
	for _, action := range slices.Sorted(maps.Keys(taken)) {
		t.Logf("%6d %s", taken[action], action)
	}
	evidence.Add(t, evidence.Entry{Check: "lockstep/capability", Figures: map[string]int64{
		"walks": int64(checks), "steps": int64(taken["steps"]), "actions": int64(len(want)),
	}})
}
