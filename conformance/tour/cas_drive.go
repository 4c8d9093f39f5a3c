package tour

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"lukechampine.com/blake3"

	"github.com/rustyonions/micronode/model/cas"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// A unit of the model is so many bytes that a get of the smallest object is held up by the window of its ACKs, and that
// the largest put fits into a body over HTTP.
const (
	grain    = 64 << 10 // the unit of allocation of the store (CAS-CAP-009)
	unit     = 3 * grain
	casStore = 1 << 20
	// A put over HTTP sets the next grain aside before its bytes come: so much room is kept beyond that of the model for
	// each, and the rest of the store is filled.
	ahead = grain
)

// casScene is what the tours put and get: object n of the model is the first n units of one text.
type casScene struct {
	p    cas.Params
	text []byte
	addr []spec.Address // by number; 0 is not used
}

func newCasScene(p cas.Params) casScene {
	sc := casScene{p: p, text: make([]byte, (p.Capacity+1)*unit), addr: make([]spec.Address, p.Capacity+1)}
	rand.NewChaCha8([32]byte{'c', 'a', 's'}).Read(sc.text)
	for n := range sc.addr {
		sc.addr[n] = blake3.Sum256(sc.text[:n*unit])
	}
	return sc
}

// slack is the room beyond that of the model.
func (sc casScene) slack() int64 { return int64(sc.p.Writers) * ahead }

// ballast fills what the model does not know of.
func (sc casScene) ballast() []byte {
	return bytes.Repeat([]byte("ballast "), (casStore-sc.p.Capacity*unit-int(sc.slack()))/8)
}

// request is what a put of the model declares, over OAP/1.
func (sc casScene) request(length, address int) refwire.Request {
	r := refwire.Request{Op: "put", TotalLen: int64(length) * unit}
	if length > sc.p.Capacity {
		r.TotalLen = casStore + 1 // what can never fit
	}
	if address != cas.None {
		r.Obj, r.HasObj = sc.addr[address], true
	}
	return r
}

// casPut is an open put: over HTTP where it declares no length, which OAP/1 does not allow.
type casPut struct {
	up   upload
	corr uint64
	req  refwire.Request
}

// casDrive is a tour under way. It is for one goroutine.
type casDrive struct {
	sc      casScene
	binary  string
	cov     *Coverage
	node    *target
	eye     *link          // for questions: between two steps it has no open stream
	web     *web           // the same over HTTP
	writers map[int]*link  // connections of the puts over OAP/1
	readers map[int]*link  // connections of the gets
	puts    map[int]casPut // open ones
	gets    map[int]*openGet
	lagging map[int]bool // objects of which a get has ended: the node may hear of it a moment later
	turn    int          // alternates the surfaces, and the ways to end something
	said    []string
}

// casLeg is a step of a tour.
type casLeg struct {
	op       cas.Op
	from, to cas.State
	action   string
	reason   spec.Reason
	edge     int
}

// walk starts a node and takes the legs in order.
func (d *casDrive) walk(legs []casLeg) error {
	defer func() {
		d.leave()
		if d.node != nil {
			d.node.end()
		}
	}()
	if err := d.start(); err != nil {
		return err
	}
	for _, l := range legs {
		d.turn++
		d.said = append(d.said, fmt.Sprintf("%s: %s", l.op, l.action))
		if err := d.step(l); err != nil {
			return fmt.Errorf("%s (%s) from\n%s: %w\n  %s", l.op, l.action, cas.Canon(d.sc.p, l.from), err,
				strings.Join(d.said[max(0, len(d.said)-12):], "\n  "))
		}
		d.cov.walk(l.edge)
	}
	return nil
}

func (d *casDrive) fail(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errTour}, args...)...)
}

// start starts a node with an empty store, as every life of it begins with amnesia.
func (d *casDrive) start() (err error) {
	if d.node, err = launch(d.binary, 0, "--store-bytes", fmt.Sprint(casStore)); err != nil {
		return err
	}
	d.lagging = map[int]bool{}
	d.writers, d.readers, d.puts, d.gets = map[int]*link{}, map[int]*link{}, map[int]casPut{}, map[int]*openGet{}
	if d.eye, err = d.node.greet(0); err != nil {
		return err
	}
	if d.web, err = d.node.browse(); err != nil {
		return err
	}
	ballast := d.sc.ballast()
	d.eye.corr++
	put := refwire.Request{Op: "put", Obj: blake3.Sum256(ballast), HasObj: true, TotalLen: int64(len(ballast))}
	frames := d.eye.frame(d.eye.corr, spec.FlagStart, refwire.EncodeRequest(put))
	frames = append(frames, d.eye.data(d.eye.corr, put, 0, ballast)...)
	said, err := d.eye.exchange(append(frames, d.eye.frame(d.eye.corr, spec.FlagEnd, nil)...), "ballast")
	if err != nil {
		return err
	}
	a, reason, err := final("put", said[d.eye.corr])
	if err == nil && (reason != spec.None || !a.Created) {
		err = d.fail("a put into a new node: %s, created %t", reason, a.Created)
	}
	return err
}

// leave closes all connections.
func (d *casDrive) leave() {
	for _, links := range []map[int]*link{d.writers, d.readers} {
		for _, l := range links {
			l.reset()
		}
		clear(links)
	}
	for _, p := range d.puts {
		if p.up.web != nil {
			p.up.reset()
		}
	}
	if d.eye != nil {
		d.eye.reset()
	}
	if d.web != nil {
		d.web.reset()
	}
	d.eye, d.web = nil, nil
}

// step brings a step of the model about and looks whether the node is what the model says then.
func (d *casDrive) step(l casLeg) error {
	soon, err := false, error(nil) // soon: the node may still be busy with it when the client has done its part
	switch l.op.Kind {
	case cas.Begin:
		err = d.begin(l)
	case cas.Arrive:
		soon, err = d.arrive(l)
	case cas.Commit:
		soon, err = d.commit(l)
	case cas.Abort:
		soon, err = d.abort(l)
	case cas.Get:
		err = d.get(l)
	case cas.Read:
		err = d.gets[l.op.Reader].more(d.readers[l.op.Reader])
	case cas.EndGet:
		soon, err = true, d.endGet(l)
		for _, c := range l.from.Copies {
			if c.Readers>>l.op.Reader&1 == 1 {
				d.lagging[c.Object] = true
			}
		}
	case cas.Has, cas.Stat:
		return d.ask(l) // to ask again would show nothing more
	case cas.Delete:
		soon, err = d.lagging[l.op.Object], d.ask(l)
		delete(d.lagging, l.op.Object)
	case cas.Stop:
		return d.stop(l)
	case cas.Crash:
		d.node.Kill()
		return d.cut()
	case cas.Start:
		if err := d.start(); err != nil {
			return err
		}
	default:
		err = fmt.Errorf("no client can do this")
	}
	if err != nil {
		return err
	}
	return d.observe(l.to, soon)
}

// observe compares what can be seen of a store with the model: which objects are stored, and how much room there is.
func (d *casDrive) observe(s cas.State, soon bool) error {
	for deadline := time.Now().Add(patience); ; {
		var frames []byte
		asked := d.eye.corr + 1
		for n := d.sc.p.First; n <= d.sc.p.Last; n++ {
			frames = append(frames, d.eye.open(spec.FlagEnd, refwire.Request{Op: "has", Obj: d.sc.addr[n], HasObj: true})...)
		}
		// A put that just fits into the room is taken, and one of a byte more is not. Neither leaves anything behind.
		most := int64(s.Free)*unit + d.sc.slack()
		least := most
		for _, p := range d.puts {
			if p.up.web != nil {
				least -= ahead
			}
		}
		frames = append(frames, d.eye.open(0, refwire.Request{Op: "put", TotalLen: least})...)
		fits := d.eye.corr
		frames = append(frames, d.eye.cancel(fits)...)
		frames = append(frames, d.eye.open(0, refwire.Request{Op: "put", TotalLen: most + 1})...)
		over := d.eye.corr
		frames = append(frames, d.eye.frame(over, spec.FlagEnd, nil)...)
		said, err := d.eye.exchange(frames, "what is stored, and how much room is there?")
		if err != nil {
			return err
		}
		for n := d.sc.p.First; n <= d.sc.p.Last; n++ {
			a, reason, err := final("has", said[asked+uint64(n-d.sc.p.First)])
			if stored := s.Health(n) != cas.Absent; err != nil || reason != spec.None || a.Exists != stored {
				return d.fail("has of object %d says %t %s (%v), and the model says %t", n, a.Exists, reason, err, stored)
			}
		}
		_, reason, err := final("put", said[over])
		full := err == nil && reason == spec.StoreFull
		if full && len(said[fits]) == 0 {
			return nil
		}
		if !soon || time.Now().After(deadline) {
			return d.fail("the model has %d units of room; a put of %d bytes is answered by %s, one of %d by %s", s.Free,
				least, names(said[fits]), most+1, names(said[over]))
		}
	}
}
