package tour

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/rustyonions/micronode/model/capability"
	"github.com/rustyonions/micronode/model/refcap"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

const (
	// A second of the model is so many of the clock. A life is two of them at most, and an open request has 5 seconds.
	moment = 2
	// The node looks four times a second for what has expired.
	expiryMargin = spec.RevocationTime/4 + 100*time.Millisecond
	// Where nothing expires: what stands for a second of the model, and for how long a request may be open.
	farAhead = 600
	heldOpen = spec.RequestTimeout - time.Second
)

// capLeg is a step of a tour.
type capLeg struct {
	op       capability.Op
	from, to capState
	action   string
	reason   spec.Reason
	edge     int
}

// capNode is a node that tours are driven against, one after the other. A restart replaces it.
type capNode struct {
	binary, dir string
	node        *target
	starts      int
	stocked     bool // it has what is read over HTTP
}

func (n *capNode) start() (err error) {
	n.starts++
	n.stocked = false
	n.node, err = launch(n.binary, 0, "--store-bytes", "64MiB",
		"--unix", filepath.Join(n.dir, fmt.Sprintf("%d.sock", n.starts)))
	return err
}

func (n *capNode) end() {
	if n.node != nil {
		n.node.end()
	}
	n.node = nil
}

// capDrive is a tour under way. It is for one goroutine.
type capDrive struct {
	p     capability.Params
	at    *capNode
	cov   *Coverage
	ticks bool   // capabilities expire while the tour goes on
	full  func() // the list of revocations is to become full; the first time it is called, that takes others
	bound int64  // the second, since 1970, at which the next second of the model ends

	doors   *doors
	good    refcap.Token   // the bootstrap token
	tokens  []refcap.Token // by number
	keys    []string       // ids of root keys, by number; "" where nobody was told
	streams map[int]*capStream
	refused []capLeg  // requests that are to be refused and change nothing: sent together
	cause   time.Time // when what ends streams happened
	turn    int
	said    []string
}

func (d *capDrive) fail(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errTour}, args...)...)
}

// walk takes the legs in order, from a root key under which nothing was issued yet.
func (d *capDrive) walk(legs []capLeg) (err error) {
	d.streams = map[int]*capStream{}
	d.bound = time.Now().Unix() + moment
	if err := d.enter(); err != nil {
		return err
	}
	defer func() { d.leave(err) }()
	for i, l := range legs {
		d.turn++
		d.said = append(d.said, fmt.Sprintf("%s: %s", l.op, l.action))
		err = d.step(l)
		if i == len(legs)-1 && err == nil {
			err = d.flush()
		}
		if late := d.intime(); late != nil && !errors.Is(err, errSilent) && l.op.Kind != capability.Tick {
			err = late
		}
		if err != nil {
			return fmt.Errorf("%s (%s) from\n%+v: %w\n  %s", l.op, l.action, l.from, err, strings.Join(d.said[max(0, len(d.said)-24):], "\n  "))
		}
	}
	return nil
}

// intime says errLate when time has made more of the node than the model knows.
func (d *capDrive) intime() error {
	now := time.Now()
	if d.ticks && now.Unix() >= d.bound {
		return errLate
	}
	for _, s := range d.streams {
		if now.Sub(s.since) > heldOpen {
			return errLate
		}
	}
	return nil
}

// enter connects to a node whose current key is new, so that the bootstrap token is under another.
func (d *capDrive) enter() (err error) {
	if d.at.node == nil {
		if err := d.at.start(); err != nil {
			return err
		}
	}
	if d.doors, err = enter(d.at.node); err != nil {
		return err
	}
	good, rest, err := refcap.Parse(d.at.node.cap)
	if err != nil || len(rest) > 0 {
		return d.fail("the bootstrap token is none: %v", err)
	}
	d.good = good
	a, reason, err := d.doors.passport(spec.OpRotate, "")
	if err != nil || reason != spec.None || a.KeyID == "" {
		return d.fail("rotate is answered %+v %s (%v)", a, reason, err)
	}
	d.keys = append(d.keys, a.KeyID)
	return nil
}

// leave gives the keys of the tour up, for the sake of the next one.
func (d *capDrive) leave(failed error) {
	if failed == nil && d.at.node != nil {
		for _, id := range d.keys {
			if id != "" {
				_, _, _ = d.doors.passport(spec.OpRevoke, fmt.Sprintf(`"key_id":%q`, id)) // it may be gone
			}
		}
	}
	for _, s := range d.streams {
		if s.web != nil {
			s.web.reset()
		}
	}
	d.doors.leave()
}

func (d *capDrive) step(l capLeg) error {
	if l.op.Kind == capability.Use && l.reason != spec.None {
		d.refused = append(d.refused, l)
		return nil
	}
	if err := d.flush(); err != nil {
		return err
	}
	for _, s := range d.streams {
		if s.link != nil && !byItself(l.op.Kind) && len(d.doors.early[s.via][s.corr]) > 0 {
			return d.fail("an open %s over %s is answered %s", s.op, s.via, names(d.doors.early[s.via][s.corr]))
		}
	}
	err := errors.New("nobody outside can do this")
	switch l.op.Kind {
	case capability.Mint:
		err = d.mint(l)
	case capability.Attenuate:
		err = d.attenuate(l)
	case capability.Use:
		err = d.use(l)
	case capability.Finish:
		err = d.finish(l)
	case capability.End:
		err = d.ended(l)
	case capability.Rotate:
		a, reason, e := d.doors.passport(spec.OpRotate, "")
		if err = e; err == nil && (reason != spec.None || a.KeyID == "") {
			err = d.fail("rotate is answered %+v %s", a, reason)
		}
		d.keys = append(d.keys, a.KeyID)
	case capability.RevokeID, capability.RevokeKey:
		err = d.revoke(l)
	case capability.DropKey:
		err = d.gone(l)
	case capability.TakeEffect, capability.Forget:
		err = nil // what it comes to shows in whatever is refused behind it
	case capability.Tick:
		<-time.After(time.Until(time.Unix(d.bound, 0).Add(expiryMargin)))
		d.cause = time.Unix(d.bound, 0)
		d.bound += moment
		err = nil
	case capability.Restart:
		err = d.restart()
	}
	if err == nil {
		d.cov.walk(l.edge)
	}
	return err
}

// byItself says that the node takes a step by itself, behind one that may end streams.
func byItself(k capability.Kind) bool {
	return k == capability.TakeEffect || k == capability.DropKey || k == capability.End || k == capability.Forget
}

// mint issues a capability for a role. Where none expires meanwhile it has the longest life, or the one of a capability for
// which nobody asks for one.
func (d *capDrive) mint(l capLeg) error {
	role := capability.Roles[l.op.Role].Name
	t := l.to.Tokens[len(l.to.Tokens)-1]
	ttl, members := spec.MaxCapabilityTTL, fmt.Sprintf(`"role":%q`, role)
	before := time.Now()
	switch {
	case d.ticks:
		ttl = time.Duration(d.bound+int64(t.Left-1)*moment-before.Unix()) * time.Second
		members += fmt.Sprintf(`,"ttl_s":%d`, ttl/time.Second)
	case l.op.Seconds == 0:
		ttl = spec.DefaultCapabilityTTL
	default:
		members += fmt.Sprintf(`,"ttl_s":%d`, ttl/time.Second)
	}
	a, reason, err := d.doors.passport(spec.OpIssue, members)
	if err != nil || reason != spec.None {
		return d.fail("issue is answered %q (%v)", reason, err)
	}
	token, err := refcap.ParseText(a.Token)
	if err != nil || !lives(before, ttl, a.Expires) {
		return d.fail("issue for %v is answered %+v (%v)", ttl, a, err)
	}
	if d.ticks && a.Expires != d.bound+int64(t.Left-1)*moment {
		return errLate // a second ended meanwhile
	}
	for len(d.keys) < t.Key {
		d.keys = append(d.keys, "")
	}
	if d.keys[t.Key-1] == "" {
		d.keys[t.Key-1] = a.KeyID
	}
	if a.KeyID != d.keys[t.Key-1] {
		return d.fail("what is issued is under the key %s, and key %d is %s", a.KeyID, t.Key, d.keys[t.Key-1])
	}
	d.tokens = append(d.tokens, token)
	return nil
}

// attenuate appends a caveat. Nobody is asked.
func (d *capDrive) attenuate(l capLeg) error {
	when := time.Now().Unix() + farAhead
	if d.ticks {
		when = d.bound + int64(l.op.Seconds-1)*moment
	}
	limit := fmt.Sprint(when)
	if l.op.Caveat == "op in" {
		limit = l.op.Ops.String()
	}
	d.tokens = append(d.tokens, d.tokens[l.op.Token-1].With(l.op.Caveat+" "+limit))
	return nil
}

// via picks the surface for a step: those of the model are HTTP and OAP/1, by TCP and by the Unix socket in turn; where it
// has one, that is each of them in turn.
func (d *capDrive) via(l capLeg) string {
	switch {
	case d.p.Surfaces == 1 && d.turn%3 == 0 && (l.reason != spec.None || capOp(l.op.Ops) != "delete"):
		return "http"
	case d.p.Surfaces > 1 && capability.Surfaces[l.op.Surface] == "http":
		return "http"
	}
	return []string{"oap", "unix"}[d.turn%2]
}

func (d *capDrive) asked(l capLeg) (a asked, err error) {
	a = asked{op: capOp(l.op.Ops), obj: spec.Address{1}} // of nothing
	if l.op.Token > 0 {
		a.cap = d.tokens[l.op.Token-1].Bytes()
		return a, nil
	}
	a.cap, a.two, err = flawed(d.good, capability.Flaws[l.op.Flaw].Name, d.turn)
	return a, err
}

// flush sends the requests that are to be refused, and wants them to be; and it asks whether they would be admitted.
func (d *capDrive) flush() error {
	legs := d.refused
	d.refused = nil
	frames, corr := map[string][]byte{}, map[int]uint64{}
	via, methods := make([]string, len(legs)), make([]string, len(legs))
	for i, l := range legs {
		d.turn++
		a, err := d.asked(l)
		if err != nil {
			return err
		}
		if via[i] = d.via(l); via[i] == "http" {
			fields := ""
			if a.op == "put" {
				fields = "Content-Length: 0\r\n"
			}
			methods[i] = a.write(d.doors.web, fields)
			continue
		}
		frames[via[i]] = append(frames[via[i]], a.frame(d.doors.link[via[i]], spec.FlagEnd)...)
		corr[i] = d.doors.link[via[i]].corr
	}
	said := map[string]map[uint64][]refwire.Frame{}
	for name, f := range frames {
		var err error
		if said[name], err = d.exchange(d.doors.link[name], f, "what is to be refused"); err != nil {
			return err
		}
	}
	for i, l := range legs {
		var reason spec.Reason
		var err error
		if via[i] == "http" {
			var r reply
			r, err = d.doors.web.receive(methods[i])
			if reason = r.reason; err == nil && (reason == spec.Unauth) != (r.Header.Get("WWW-Authenticate") == "Macaroon") {
				err = d.fail("%s comes with the challenge %q (CAP-DEN-003)", reason, r.Header.Get("WWW-Authenticate"))
			}
		} else {
			_, reason, err = final(capOp(l.op.Ops), said[via[i]][corr[i]])
		}
		if err != nil || reason != l.reason {
			return d.fail("%s over %s is answered %q (%v), and the model says %q", l.op, via[i], reason, err, l.reason)
		}
	}
	for _, l := range legs {
		if d.turn++; d.turn%8 == 0 && l.op.Token > 0 {
			if err := d.verify(l); err != nil {
				return err
			}
		}
		d.cov.walk(l.edge)
	}
	return nil
}

// verify asks the node whether it would admit a request (CAP-ISS-003).
func (d *capDrive) verify(l capLeg) error {
	a, err := d.asked(l)
	if err != nil {
		return err
	}
	path := "/o/" + a.obj.String()
	if a.op == "put" {
		path = "/put"
	}
	v, reason, err := d.doors.passport(spec.OpVerify, fmt.Sprintf(`"token":%q,"op":%q,"path":%q`, refcap.Text(a.cap), a.op, path))
	if err == nil && (reason != spec.None || v.Valid != (l.reason == spec.None) || v.Reason != l.reason) {
		err = d.fail("verify for %s answers %+v %s, and the model says %q", l.op, v, reason, l.reason)
	}
	return err
}

// exchange is that of the link, with an eye on the open streams: none of them may say anything unasked.
func (d *capDrive) exchange(l *link, frames []byte, note string) (map[uint64][]refwire.Frame, error) {
	said, err := l.exchange(frames, note)
	for _, s := range d.streams {
		if f := said[s.corr]; err == nil && s.link == l && len(f) > 0 {
			err = d.fail("an open %s over %s is answered %s", s.op, s.via, names(f))
		}
	}
	return said, err
}

// revoke revokes an id or a key, or finds that there is no room for it.
func (d *capDrive) revoke(l capLeg) error {
	var members string
	if l.op.Kind == capability.RevokeID {
		id, ok := d.tokens[l.op.Token-1].CapID()
		if !ok {
			return d.fail("token %d has no id", l.op.Token)
		}
		members = fmt.Sprintf(`"id":"%x"`, id)
	} else {
		members = fmt.Sprintf(`"key_id":%q`, d.keys[l.op.Key-1])
	}
	if l.reason == spec.Quota && d.full != nil {
		d.full()
		d.full = nil
	}
	d.cause = time.Now()
	a, reason, err := d.doors.passport(spec.OpRevoke, members)
	if err == nil && (reason != l.reason || a.Revoked != (reason == spec.None)) {
		err = d.fail("revoke of %s is answered %+v %q, and the model says %q", members, a, reason, l.reason)
	}
	for len(d.keys) < len(l.to.Keys) {
		d.keys = append(d.keys, "")
	}
	return err
}

// gone wants the node to have a key no more.
func (d *capDrive) gone(l capLeg) error {
	id := d.keys[l.op.Key-1]
	if id == "" {
		return nil
	}
	_, reason, err := d.doors.passport(spec.OpRevoke, fmt.Sprintf(`"key_id":%q`, id))
	if err == nil && reason != spec.NotFound {
		err = d.fail("a key under which nothing is left is still there: revoke answers %q", reason)
	}
	return err
}

// restart ends the node and starts another. Tokens of the old one are in the same hands as before.
func (d *capDrive) restart() error {
	d.doors.leave()
	for _, s := range d.streams {
		if s.web != nil {
			s.web.reset()
		}
	}
	clear(d.streams)
	d.at.end()
	return d.enter()
}
