package conformance

import (
	"encoding/hex"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/model/refcap"
	"github.com/rustyonions/micronode/spec"
)

// rotate asks over HTTP, or on c where that is not nil, and gives the new key id.
func (p *Peer) rotate(c *Conn) string {
	var answer []byte
	if c != nil {
		answer = c.passportOver(spec.OpRotate, "")
	} else {
		answer = p.Want(p.passport(spec.OpRotate, ""), 200).Body
	}
	var body map[string]string
	err := json.Unmarshal(answer, &body)
	id, bad := hex.DecodeString(body["key_id"])
	p.t.Check(err == nil && len(body) == 1 && bad == nil && len(id) == refcap.KeyIDLen, "the answer to rotate is %s", textOf(answer))
	return body["key_id"]
}

func capRotate(t *T) {
	node := t.spawnSecured()
	d := getDeed(t.Absent())
	old := node.issue(`"role":"reader"`)
	t.Control(func() { node.judgeAll(old.token, d, spec.None) })
	t.Check(old.KeyID == keyOf(node.warrant()), "two tokens without a rotation between them have the keys %s and %s", old.KeyID, keyOf(node.warrant()))
	keys := map[string]bool{old.KeyID: true}
	for _, c := range []*Conn{nil, node.Hello(), nil} {
		key := node.rotate(c)
		t.Check(!keys[key], "a rotation gives the key %s, which was there before", key)
		keys[key] = true
		fresh := node.issue(`"role":"reader"`)
		t.Check(fresh.KeyID == key, "after a rotation to %s a token is issued under %s", key, fresh.KeyID)
		node.judgeAll(fresh.token, d, spec.None)
		node.judgeAll(old.token, d, spec.None)
	}
	node.revoke("id", old.ID) // under a key that was replaced
	t.Pause(spec.RevocationTime)
	node.judgeAll(old.token, d, spec.Unauth)
}

func (p *Peer) judgeAll(token refcap.Token, d deed, want spec.Reason) {
	p.t.judge(p.everyWay(), "token under key "+keyOf(token), token.Bytes(), d, want)
}

func capRevokeKey(t *T) {
	node := t.spawnSecured()
	d := getDeed(t.Absent())
	before := []issued{node.issue(`"role":"reader"`), node.issue(`"ops":["get","put"]`)}
	node.rotate(nil)
	later := node.With(node.issue(`"ops":["get","has","put","issue","revoke"]`).token.Bytes())
	t.Control(func() {
		for _, i := range before {
			node.judgeAll(i.token, d, spec.None)
		}
		node.judgeAll(later.warrant(), d, spec.None)
	})
	work := later.openWork(node.With(before[1].token.Bytes()))
	work.put.Silent()
	later.revoke("key_id", before[0].KeyID)
	work.ends(time.Now().Add(spec.RevocationTime + revocationSlack))
	judged := func(w refcap.Token, want spec.Reason) { // fences need a token that is still good
		later.t.judge(later.everyWay(), "token under key "+keyOf(w), w.Bytes(), d, want)
	}
	for _, i := range before {
		judged(i.token, spec.Unauth)
	}
	judged(node.warrant(), spec.Unauth)
	judged(later.warrant(), spec.None)
	later.Refuses(later.passport(spec.OpRevoke, fmt.Sprintf(`"key_id":%q`, hex.EncodeToString(t.Bytes(8)))), spec.NotFound)
}

func capRevokeCurrentKey(t *T) {
	node := t.spawnSecured()
	t.Control(func() { node.Hello().RoundTrip() })
	w := node.warrant()
	// The request revokes itself, so its own answer may be cut (CAP-REV-003).
	if r, err := node.try(passportDeed(spec.OpRevoke, fmt.Sprintf(`"key_id":%q`, keyOf(w))).http); err == nil {
		node.Want(r, 200, 401)
	}
	t.Pause(spec.RevocationTime)
	p := node.With(w.Bytes())
	for _, path := range []string{Object(t.Absent()), "/admin/audit/checkpoint"} {
		p.Refuses(p.Get(path), spec.Unauth)
	}
	c := p.Hello()
	c.Refused(c.Ask(has(t.Absent())), spec.Unauth)
	p.Want(p.Get("/healthz"), 200)
	node.signal(syscall.SIGTERM)
	node.exits(t.Within(spec.DrainTimeout))
}

func capRotateBound(t *T) {
	node := t.Spawn("--rate", "100000")
	d := getDeed(t.Absent())
	t.Control(func() { t.judge(node.ways(), "at first", node.cap, d, spec.None) })
	keys := []string{keyOf(node.warrant())}
	for len(keys) < spec.MaxRootKeys {
		keys = append(keys, node.rotate(nil))
		node.issue(`"role":"reader"`) // so that the key has to be kept
	}
	r := node.passport(spec.OpRotate, "")
	t.retries("quota", r, node.Refuses(r, spec.Quota))
	t.judge(node.ways(), "under the first of 64 keys", node.cap, d, spec.None)
	node.revoke("key_id", keys[10])
	key := node.rotate(nil)
	t.Check(key != keys[10], "a revoked key comes back")
	node.issue(`"role":"reader"`)
	node.Refuses(node.passport(spec.OpRotate, ""), spec.Quota)
	t.judge(node.ways(), "under the first of 64 keys", node.cap, d, spec.None)
}

func capBootstrap(t *T) {
	node := t.Spawn("--log-level", "debug")
	w := node.warrant()
	t.Control(func() { node.Hello().RoundTrip() })
	for _, d := range node.deeds() {
		t.judge(node.ways(), "the bootstrap token", w.Bytes(), d, spec.None)
	}
	exp := conditions(w, "exp <= ")
	t.Check(len(exp) == 1, "the bootstrap token has exp %v", exp)
	var at int64
	fmt.Sscan(exp[0], &at)
	left := time.Until(time.Unix(at, 0))
	t.Check(left > spec.BootstrapTTL-time.Minute && left <= spec.BootstrapTTL+time.Second, "the bootstrap token lives for %v", left)
	other := t.Spawn()
	t.Check(other.Process.Token != node.Process.Token, "two nodes print the same token")
	t.judge(node.ways(), "the token of another node", other.cap, getDeed(t.Absent()), spec.Unauth)

	none := t.Spawn("--bootstrap", "off")
	t.Check(none.Process.Token == "", "a node that was told not to prints a token")
	none.Refuses(none.Get(Object(t.Absent())), spec.Unauth)
	none.Refuses(none.With(node.cap).Get(Object(t.Absent())), spec.Unauth)

	brief := t.Spawn("--bootstrap-ttl", "2s")
	t.judge(brief.ways(), "for two seconds", brief.cap, getDeed(t.Absent()), spec.None)
	t.Eventually(4*time.Second, "the token ends", func() bool { return brief.Get(Object(t.Absent())).Status == 401 })
	for _, n := range []*Peer{brief, none} { // whose tokens are of no use to the runner any more
		n.signal(syscall.SIGTERM)
		n.exits(t.Within(spec.DrainTimeout))
	}
	node.signal(syscall.SIGTERM)
	node.exits(t.Within(spec.DrainTimeout))
	text := node.Process.Stderr()
	t.Check(len(text) > 0, "the node logged nothing")
	t.Check(!strings.Contains(text, node.Process.Token) && !strings.Contains(text, node.Process.Token[10:40]), "the bootstrap token is in the log")
}

func capRestart(t *T) {
	first := t.spawnSecured()
	d := getDeed(t.Absent())
	i := first.issue(`"role":"reader"`)
	t.Control(func() { first.judgeAll(i.token, d, spec.None) })
	was := first.Process
	first.Gone()
	if err := first.Process.Stop(t.Within(spec.DrainTimeout)); err != nil {
		t.Check(false, "%v", err)
	}
	second := t.spawnSecured()
	second.judgeAll(second.warrant(), d, spec.None)
	second.judgeAll(i.token, d, spec.Unauth)
	second.judgeAll(first.warrant(), d, spec.Unauth)
	t.Check(second.Process.Fingerprint != was.Fingerprint && was.Fingerprint != "", "the certificate is that of the life before: %s", was.Fingerprint)
	t.Check(second.Process.Identity != was.Identity && was.Identity != "", "the identity is that of the life before: %s", was.Identity)
	t.Check(keyOf(second.warrant()) != keyOf(first.warrant()), "the key is that of the life before")
}

func capNeverShown(t *T) {
	node := t.spawnSecured("--log-level", "debug")
	t.Control(func() { node.Hello().RoundTrip() })
	i := node.issue(`"role":"reader"`)
	var shown strings.Builder
	hear := func(r *Response) { shown.Write(r.Body); fmt.Fprint(&shown, r.Header) }
	tokens := []string{node.Process.Token, i.Text, i.token.With("op in put").Text(), refcap.Text([]byte("cAnArY-cAnArY-cAnArY-cAnArY-cAnArY"))}
	for _, text := range tokens {
		capability, _ := refcap.Binary(text)
		p := node.With(capability)
		for _, path := range []string{Object(t.Absent()), "/nowhere", "/o/b3:" + text, "/healthz", "/metrics", "/version"} {
			hear(p.Get(path))
		}
		hear(p.Do(Request{Method: "PUT", Path: Object(t.Absent()), Headers: []string{"X-Corr-ID: " + text[:40]}, Body: []byte("x")}))
		hear(p.passport(spec.OpVerify, fmt.Sprintf(`"token":%q,"op":"get","path":"/o","x":1`, text)))
		hear(p.passport(spec.OpRevoke, fmt.Sprintf(`"id":%q`, text[:32])))
		c := p.Hello()
		c.Ask(get(t.Absent()))
		shown.Write(c.Frame().Data)
		c.Close()
	}
	node.revoke("id", i.ID)
	node.rotate(nil)
	hear(node.Get("/admin/audit/export"))
	hear(node.Get("/metrics"))
	node.signal(syscall.SIGTERM)
	node.exits(t.Within(spec.DrainTimeout))
	text := node.Process.Stderr()
	t.Check(strings.Contains(text, "denied") || strings.Contains(text, "unauth"), "the log does not tell of the denials")
	for what, all := range map[string]string{"what it answered": shown.String(), "the log": text} {
		for _, token := range tokens {
			raw, _ := refcap.Binary(token)
			sig := raw[len(raw)-32:]
			for _, form := range []string{token[len(token)-40:], string(sig), hex.EncodeToString(sig), refcap.Text(sig)} {
				t.Check(!strings.Contains(all, form), "a token of the node's is in %s", what)
			}
		}
	}
}
