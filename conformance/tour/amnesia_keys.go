package tour

import (
	"fmt"
	"net/http"
	"time"

	"github.com/rustyonions/micronode/model/amnesia"
	"github.com/rustyonions/micronode/model/refcap"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// amnesiaKey is a root key, by its id and a capability that was issued under it: as long as that can be good, the node
// keeps the key when another becomes current.
type amnesiaKey struct {
	id  string
	cap []byte
}

// vouch makes a passport request with the bootstrap token.
func (d *amnesiaDrive) vouch(op spec.Op, members string) (passported, spec.Reason, error) {
	said, err := d.eye.exchange(d.eye.passport(op, members), string(op))
	if err != nil {
		return passported{}, spec.None, err
	}
	return vouched(string(op), said[d.eye.corr])
}

// lend gives a connection a capability of its own, so that it can be revoked.
func (d *amnesiaDrive) lend(c *amnesiaClient) error {
	a, reason, err := d.vouch(spec.OpIssue, `"ops":["get","has","put"]`)
	if err == nil && reason != spec.None {
		err = d.fail("issue is answered %q", reason)
	}
	if err == nil {
		c.id = a.ID
		c.link.cap, err = refcap.Binary(a.Token)
	}
	return err
}

// present shows a token with a request that moves no payload.
func (d *amnesiaDrive) present(l amnesiaLeg, c *amnesiaClient) error {
	want := spec.None
	if l.from.Life == amnesia.Closing {
		want = spec.Draining
	}
	if c.web != nil {
		r, err := c.web.ask(http.MethodHead, "/o/"+spec.Address{1}.String())
		if status := r.Response; err == nil && status.StatusCode != map[spec.Reason]int{spec.None: 404, spec.Draining: 503}[want] {
			err = d.fail("HEAD of nothing is answered %s", r.Status)
		}
		return err
	}
	said, err := c.link.exchange(c.link.open(spec.FlagEnd, refwire.Request{Op: "has", HasObj: true}), "has")
	if err != nil {
		return err
	}
	_, reason, err := final("has", said[c.link.corr])
	if err == nil && reason != want {
		err = d.fail("has is answered %q", reason)
	}
	return err
}

// revokeToken revokes the capability of a request, and sees it end. The connection gets another one.
func (d *amnesiaDrive) revokeToken(l amnesiaLeg, c *amnesiaClient) error {
	by := time.Now().Add(spec.RevocationTime + endSlack)
	if _, reason, err := d.vouch(spec.OpRevoke, fmt.Sprintf(`"id":%q`, c.id)); err != nil || reason != spec.None {
		return d.fail("revoke is answered %q (%v)", reason, err)
	}
	corr := c.corr(l.from.Conns[l.op.Conn-1].Doing)
	f, err := c.link.read(by)
	if err != nil || f.Corr != corr || !isError(f, spec.Unauth) {
		return d.fail("a request whose capability is revoked hears %s (%v) (CAP-REV-003)", name(f), err)
	}
	if _, err := c.link.exchange(c.link.cancel(corr), "the END of a stream that was ended"); err != nil {
		return err
	}
	return d.lend(c)
}

// makeKey replaces the root key, and has something issued under the new one.
func (d *amnesiaDrive) makeKey(l amnesiaLeg) error {
	cell := 0
	for l.from.Keys[cell] == l.to.Keys[cell] {
		cell++
	}
	made, reason, err := d.vouch(spec.OpRotate, "")
	if err != nil || reason != spec.None {
		return d.fail("rotate is answered %q (%v)", reason, err)
	}
	a, reason, err := d.vouch(spec.OpIssue, `"role":"reader"`)
	if err != nil || reason != spec.None || a.KeyID != made.KeyID {
		return d.fail("what is issued is under the key %s, and the new one is %s; %q (%v)", a.KeyID, made.KeyID, reason, err)
	}
	d.keys[cell].id = a.KeyID
	d.keys[cell].cap, err = refcap.Binary(a.Token)
	if err == nil { // what connections are lent is not to go with this key
		_, reason, err = d.vouch(spec.OpRotate, "")
	}
	if err == nil && reason != spec.None {
		err = d.fail("rotate is answered %q", reason)
	}
	return err
}

// useKey shows a capability that was issued under a key: also one of a key that is gone, or of an earlier life of the node.
func (d *amnesiaDrive) useKey(l amnesiaLeg) error {
	token := d.keys[l.op.Key-1].cap
	if token == nil { // there never was one
		t, rest, err := refcap.Parse(d.node.cap)
		if err != nil || len(rest) > 0 {
			return d.fail("the bootstrap token is none: %v", err)
		}
		t.ID[1] ^= 1
		token = t.Bytes()
	}
	own := d.eye.cap
	d.eye.cap = token
	frames := d.eye.open(spec.FlagEnd, refwire.Request{Op: "has", HasObj: true})
	d.eye.cap = own
	said, err := d.eye.exchange(frames, l.op.String())
	if err != nil {
		return err
	}
	return d.answered(l, "has", said[d.eye.corr])
}

// dropKey revokes a key. The node has it no more then.
func (d *amnesiaDrive) dropKey(l amnesiaLeg) error {
	members := fmt.Sprintf(`"key_id":%q`, d.keys[l.op.Key-1].id)
	for _, want := range []spec.Reason{spec.None, spec.NotFound} {
		if _, reason, err := d.vouch(spec.OpRevoke, members); err != nil || reason != want {
			return d.fail("revoke of a key is answered %q (%v), not %q", reason, err, want)
		}
	}
	return nil
}
