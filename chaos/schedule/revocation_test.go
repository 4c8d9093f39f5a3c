package schedule_test

import (
	"fmt"
	"testing"
	"time"

	"lukechampine.com/blake3"

	"github.com/rustyonions/micronode/chaos/schedule"
	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/impl/session"
	"github.com/rustyonions/micronode/impl/store"
	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// revocation is an authority with two capabilities, of which one is revoked while both are used. The server has no
// capabilities yet. This is the order of calls that impl/capability asks for: Admit under the lock of the connection,
// before a body is read; Ended before anything is carried out; Release when the admission is paid back; and what
// RevokeCapability returns is ended under that lock, but not while it is revoked.
type revocation struct {
	a          *capability.Authority
	s          *store.Store
	leaked, ok capability.Token // the one that is revoked, and another

	// admit, release and revoke are how streams are admitted and found again; a planted fault does this in its own way.
	admit   func(o *authConn, st *session.Stream) (*capability.Lease, error)
	release func(o *authConn, st *session.Stream, l *capability.Lease)
	revoke  func(y *schedule.Yielder)

	inForce  bool // RevokeCapability has returned
	admitted int  // and not released
}

// authConn is one connection; its client has sent everything already.
type authConn struct {
	v      *revocation
	name   string
	mu     schedule.Mutex
	sess   *session.Conn
	inbox  []*wire.Frame
	tokens map[uint64]capability.Token // by corr_id: the cap of its START
	open   map[*capability.Lease]*session.Stream
	out    []byte
}

// held is what the shell keeps for a stream.
type held struct {
	o     *authConn
	lease *capability.Lease
	put   *store.Writer
}

// count is randomness for keys and ids of a test: no two blocks are alike.
type count byte

func (c *count) Read(b []byte) (int, error) {
	*c++
	for i := range b {
		b[i] = byte(*c) + byte(i)
	}
	return len(b), nil
}

// office is a shop with a vault for root keys.
type office struct {
	*shop
	vault *secret.Vault
}

func newQuietOffice(t *testing.T) *office {
	h := &office{shop: newQuietShop(t)}
	t.Cleanup(func() {
		if err := h.vault.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return h
}

// keys returns a new vault; the one before went with its authority, which may stand where a broken schedule left it.
func (h *office) keys() *secret.Vault {
	if h.vault != nil {
		if err := h.vault.Close(); err != nil {
			panic(err)
		}
	}
	v, err := secret.NewVault(1)
	if err != nil {
		panic(err)
	}
	h.vault = v
	return v
}

func newRevocation(y *schedule.Yielder, h *office) *revocation {
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	v := &revocation{}
	var err error
	v.a, err = capability.New(epoch, capability.Config{Name: "node", Random: new(count), Vault: h.keys(), Yield: y.Yield})
	must(err)
	v.s = h.again(y, 1)
	all := capability.Minting{Ops: []spec.Op{spec.OpPut, spec.OpHas}}
	v.leaked, err = v.a.Mint(epoch, all)
	must(err)
	v.ok, err = v.a.Mint(epoch, all)
	must(err)
	v.admit = func(o *authConn, st *session.Stream) (*capability.Lease, error) {
		l, err := v.a.Admit(epoch, o.tokens[st.Corr], request(st), o)
		if err == nil {
			o.open[l] = st
		}
		return l, err
	}
	v.release = func(o *authConn, _ *session.Stream, l *capability.Lease) {
		delete(o.open, l)
		l.Release()
	}
	v.revoke = func(y *schedule.Yielder) {
		ended, err := v.a.RevokeCapability(epoch, v.leaked.ID())
		if err != nil {
			y.Failf("revocation: %w", err)
		}
		v.inForce = true
		for _, l := range ended {
			o := l.Owner.(*authConn)
			o.mu.Lock(y, "end a stream")
			if st := o.open[l]; st != nil { // else it has ended meanwhile, and st may be another stream by now
				o.sess.Fail(epoch, st, spec.Unauth, 0)
				o.apply(y)
			}
			o.mu.Unlock()
		}
	}
	return v
}

// request is what a stream asks for.
func request(st *session.Stream) capability.Request {
	return capability.Request{Op: spec.Op(st.Req.Op.String()), Path: "/o/a", Bytes: uint64(st.Req.TotalLen)}
}

// connect makes a connection that has said HELLO.
func (v *revocation) connect(name string, tokens map[uint64]capability.Token, frames ...*wire.Frame) *authConn {
	o := &authConn{v: v, name: name, inbox: frames, tokens: tokens, open: map[*capability.Lease]*session.Stream{}}
	admit := func(time.Time) (spec.Reason, time.Duration) { return spec.None, 0 }
	// Authority is asked when the effects are applied, as one step more for a revocation to come between.
	later := func(time.Time, *session.Stream, []byte) (spec.Reason, time.Duration) { return spec.None, 0 }
	o.sess = session.New(session.Config{Admit: admit, Authorize: later, Transport: "tcp"}, epoch)
	o.sess.Frame(epoch, helloed)
	o.sess.TakeControl(nil) // the answer to HELLO is not what this is about
	return o
}

func (o *authConn) read(y *schedule.Yielder) {
	for _, f := range o.inbox {
		o.mu.Lock(y, o.name+": frame")
		o.sess.Frame(epoch, f)
		o.apply(y)
		o.mu.Unlock()
	}
}

// apply does what the session asks for. The caller holds mu.
func (o *authConn) apply(y *schedule.Yielder) {
	for {
		e, more := o.sess.NextEffect()
		if !more {
			break
		}
		st := e.Stream
		switch e.Kind {
		case session.Open:
			o.authorise(y, st)
		case session.Body:
			o.body(st, e.Bytes)
		case session.Run:
			if st.Req.Op == wire.OpPut || o.authorise(y, st) {
				o.run(y, st)
			}
		case session.Drop:
			if h, ok := st.Host.(*held); ok && h.put != nil {
				h.put.Abort()
			}
		case session.Closed:
			if h, ok := st.Host.(*held); ok {
				o.v.release(o, st, h.lease)
				o.v.admitted--
			}
		}
	}
	o.out = o.sess.TakeControl(o.out)
}

func (o *authConn) authorise(y *schedule.Yielder, st *session.Stream) bool {
	leaked := o.tokens[st.Corr].ID() == o.v.leaked.ID()
	late := o.v.inForce
	l, err := o.v.admit(o, st)
	if err != nil {
		if !leaked {
			y.Failf("%s: stream %d was refused, and its capability was not revoked: %w", o.name, st.Corr, err)
		}
		o.sess.Fail(epoch, st, reasonOf(err), 0)
		return false
	}
	if leaked && late {
		y.Failf("%s: stream %d was admitted after its capability was revoked", o.name, st.Corr)
	}
	o.v.admitted++
	h := &held{o: o, lease: l}
	st.Host = h
	if st.Req.Op == wire.OpPut {
		if h.put, err = o.v.s.NewWriter(nil, st.Req.TotalLen); err != nil {
			y.Failf("put: %w", err)
		}
	}
	return true
}

func (o *authConn) body(st *session.Stream, b []byte) {
	h := st.Host.(*held)
	if h.lease.Ended() {
		o.sess.Fail(epoch, st, spec.Unauth, 0)
	} else if _, err := h.put.Write(b); err != nil {
		o.sess.Fail(epoch, st, reasonOf(err), 0)
	}
}

// run carries out a complete request.
func (o *authConn) run(y *schedule.Yielder, st *session.Stream) {
	h := st.Host.(*held)
	if h.lease.Ended() {
		o.sess.Fail(epoch, st, spec.Unauth, 0)
		return
	}
	if o.v.inForce && o.tokens[st.Corr].ID() == o.v.leaked.ID() {
		y.Failf("%s: stream %d was carried out after its capability was revoked", o.name, st.Corr)
	}
	a := wire.Answer{Obj: st.Req.Obj}
	var err error
	if st.Req.Op == wire.OpPut {
		a.Obj, a.Created, err = h.put.Commit()
	} else if _, missing := o.v.s.Stat(st.Req.Obj); missing == nil {
		a.Exists = true
	}
	if err != nil {
		y.Failf("put: %w", err)
	}
	o.sess.Answer(st, wire.AppendAnswer(nil, st.Req.Op, &a))
}

// judge holds the answers to the capabilities: success or unauth for the one that was revoked, success for the other.
func (o *authConn) judge() error {
	answered := map[uint64]spec.Code{}
	for b := o.out; len(b) > 0; {
		var h wire.Header
		h.Decode((*[spec.HeaderLen]byte)(b))
		b = b[h.Len:]
		if answered[h.Corr] != 0 || h.Flags != spec.FlagResp|spec.FlagEnd {
			// The ERROR of a stream whose client still sends is its last word, and so is an answer.
			return fmt.Errorf("%s: stream %d got a further frame with code %d", o.name, h.Corr, h.Code)
		}
		answered[h.Corr] = h.Code
	}
	for corr, t := range o.tokens {
		code := answered[corr]
		if code != spec.CodeOK && (code != spec.Unauth.Code() || t.ID() != o.v.leaked.ID()) {
			return fmt.Errorf("%s: stream %d was answered with %d", o.name, corr, code)
		}
	}
	return nil
}

// program has an upload under the leaked capability, and a request under the other, on connection a, and one under the
// leaked capability on connection b.
func (v *revocation) program() schedule.Program {
	a := v.connect("a", map[uint64]capability.Token{1: v.leaked, 2: v.ok}, putStart, putBody, putEnd, hasAfter)
	b := v.connect("b", map[uint64]capability.Token{1: v.leaked}, hasFirst)
	return schedule.Program{
		Threads: threads("reader a", a.read, "reader b", b.read, "revoker", func(y *schedule.Yielder) {
			v.revoke(y)
			for _, o := range []*authConn{a, b} {
				for l := range o.open {
					if l.ID == v.leaked.ID() {
						y.Failf("%s: a stream is open, its capability was revoked, and nobody is going to end it", o.name)
					}
				}
			}
		}),
		Finally: func() error {
			if st := v.a.Status(); st.Leases != 0 || v.admitted != 0 {
				return fmt.Errorf("%d leases are left, and %d admissions", st.Leases, v.admitted)
			}
			if err := v.s.Delete(blake3.Sum256([]byte("bytes"))); err != nil && reasonOf(err) != spec.NotFound {
				return err
			}
			if st := v.s.Stats(); st.ArenaUsed != 0 {
				return fmt.Errorf("uploads that were ended left %d bytes", st.ArenaUsed)
			}
			for _, o := range []*authConn{a, b} {
				if err := o.judge(); err != nil {
					return err
				}
			}
			return nil
		},
	}
}

// A revocation against open streams: when it has returned, nothing under the capability is admitted or carried out
// (CAP-REV-002); every open stream is ended, once, and nobody else's is (CAP-REV-001, CAP-REV-003).
func TestRevocation(t *testing.T) {
	h := newQuietOffice(t)
	scenario{
		name:      "revocation",
		setup:     func(y *schedule.Yielder) schedule.Program { return newRevocation(y, h).program() },
		schedules: 12_131, points: 10,
		fullBound: 6, fullSchedules: 1_156_714,
	}.run(t)
}

// A node that verifies first and keeps its own list of streams: revoked in between, the stream is not on the list yet, and
// goes on.
func TestRevocationPlanted(t *testing.T) {
	h := newQuietOffice(t)
	planted(t, "revocation", func(y *schedule.Yielder) schedule.Program {
		v := newRevocation(y, h)
		v.admit = func(o *authConn, st *session.Stream) (*capability.Lease, error) {
			g, err := v.a.Verify(epoch, o.tokens[st.Corr], request(st))
			if err != nil {
				return nil, err
			}
			y.Yield("register")
			l := &capability.Lease{Grant: g, Owner: o}
			o.open[l] = st
			return l, nil
		}
		v.release = func(o *authConn, _ *session.Stream, l *capability.Lease) { delete(o.open, l) }
		a := v.connect("a", map[uint64]capability.Token{1: v.leaked}, putStart)
		v.revoke = func(y *schedule.Yielder) {
			if _, err := v.a.RevokeCapability(epoch, v.leaked.ID()); err != nil {
				y.Failf("revocation: %w", err)
			}
			for _, st := range a.open {
				a.mu.Lock(y, "end a stream")
				a.sess.Fail(epoch, st, spec.Unauth, 0)
				a.apply(y)
				a.mu.Unlock()
			}
		}
		return schedule.Program{
			Threads: threads("reader a", a.read, "revoker", v.revoke),
			Finally: func() error {
				if len(a.open) > 0 {
					return fmt.Errorf("%d stream is open, and its capability was revoked", len(a.open))
				}
				return nil
			},
		}
	})
}

// A node that ends the stream it once gave the lease to: the session uses the memory of streams again, and by then it
// may be a stream of another capability.
func TestRevocationWrongStreamPlanted(t *testing.T) {
	h := newQuietOffice(t)
	planted(t, "revocation-wrong-stream", func(y *schedule.Yielder) schedule.Program {
		v := newRevocation(y, h)
		a := v.connect("a", map[uint64]capability.Token{1: v.leaked, 2: v.ok}, hasFirst, secondPut)
		v.admit = func(o *authConn, st *session.Stream) (*capability.Lease, error) {
			return v.a.Admit(epoch, o.tokens[st.Corr], request(st), st)
		}
		v.revoke = func(y *schedule.Yielder) {
			ended, err := v.a.RevokeCapability(epoch, v.leaked.ID())
			if err != nil {
				y.Failf("revocation: %w", err)
			}
			for _, l := range ended {
				a.mu.Lock(y, "end a stream")
				if st := l.Owner.(*session.Stream); a.tokens[st.Corr].ID() == v.ok.ID() {
					y.Failf("stream %d is ended, and its capability was not revoked", st.Corr)
				}
				a.sess.Fail(epoch, l.Owner.(*session.Stream), spec.Unauth, 0)
				a.apply(y)
				a.mu.Unlock()
			}
		}
		return schedule.Program{Threads: threads("reader a", a.read, "revoker", v.revoke)}
	})
}
