package tour

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lukechampine.com/blake3"

	"github.com/rustyonions/micronode/model/amnesia"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// A slot of the model is three grains of the store: the window of a get then holds it up. The rest of the store is filled.
const (
	slot   = 3 * grain
	spare  = 8 << 10 // bytes of a put that come after its first ones
	drop   = 256     // bytes that come at a time then
	sends  = 12      // of one get
	slowly = 30 * time.Millisecond
)

// amnesiaLeg is a step of a tour.
type amnesiaLeg struct {
	op       amnesiaOp
	from, to amnesiaState
	action   string
	reason   spec.Reason
	edge     int
	put      int  // of a put that begins: the number of its content
	wrong    bool // it declares another address
	settled  bool // nothing of the node is pending behind it
}

// amnesiaPut is an open put.
type amnesiaPut struct {
	corr    uint64
	req     refwire.Request
	content int
	bytes   []byte // all of them
	sent    int
	half    []byte // what is missing of the frame that was sent by half
	said    []refwire.Frame
}

// amnesiaClient is a connection of the model.
type amnesiaClient struct {
	link *link
	web  *web
	id   string // of the capability of link
	put  *amnesiaPut
	get  *openGet
}

// amnesiaDrive is a tour under way. It is for one goroutine.
type amnesiaDrive struct {
	p       amnesia.Params
	binary  string
	config  string // a file that asks for amnesia
	cov     *Coverage
	node    *target
	eye     *link // for questions, while the node is up
	web     *web  // the same over HTTP, until it ends
	clients []*amnesiaClient
	content []int // of each slot, the latest
	turn    int
	limit   string // of which kind the tour waits for the end; "" for none
	drained [2]time.Time
	said    []string

	keys      []amnesiaKey         // the latest of each cell, also of an earlier life
	addresses map[int]spec.Address // of objects, by number
}

func (d *amnesiaDrive) fail(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{errTour}, args...)...)
}

// object is the bytes with a number.
func (d *amnesiaDrive) object(n int) []byte {
	b := make([]byte, slot)
	rand.NewChaCha8([32]byte{'a'}).Read(b)
	binary.BigEndian.PutUint64(b, uint64(n))
	return b
}

// address is where the bytes with a number are.
func (d *amnesiaDrive) address(n int) spec.Address {
	obj, known := d.addresses[n]
	if !known {
		obj = blake3.Sum256(d.object(n))
		d.addresses[n] = obj
	}
	return obj
}

// walk takes the legs in order.
func (d *amnesiaDrive) walk(legs []amnesiaLeg) error {
	d.keys = make([]amnesiaKey, d.p.Keys)
	d.content, d.clients, d.addresses = make([]int, d.p.Slots), make([]*amnesiaClient, d.p.Conns), map[int]spec.Address{}
	defer d.leave()
	for _, l := range legs {
		d.turn++
		d.said = append(d.said, fmt.Sprintf("%s: %s", l.op, l.action))
		if d.limit != "" {
			<-time.After(slowly) // the clocks begin one after the other
		}
		err := d.step(l)
		if err == nil && l.settled && d.limit == "" {
			err = d.observe(l)
		}
		if err != nil && !errors.Is(err, errSilent) && d.late(l) {
			err = errLate
		}
		if err != nil {
			return fmt.Errorf("%s (%s) from\n%s %+v: %w\n  %s", l.op, l.action, amnesia.Canon(l.from.State), l.from.At, err,
				strings.Join(d.said[max(0, len(d.said)-24):], "\n  "))
		}
		d.cov.walk(l.edge)
		for i, c := range l.to.Conns {
			if c.Doing == amnesia.Idle {
				d.clients[i].put, d.clients[i].get = nil, nil
			}
		}
	}
	return nil
}

// late says that a request came too late to be refused: with nothing in flight, a node that drains may have ended.
func (d *amnesiaDrive) late(l amnesiaLeg) bool {
	return l.from.Life == amnesia.Closing && !l.from.busy() && time.Since(d.drained[0]) > noticeTime &&
		slices.Contains([]string{"Arrive", "Get", "Delete", "Present"}, l.op.Kind)
}

// leave ends the node, if it runs, and all connections.
func (d *amnesiaDrive) leave() {
	for i := range d.clients {
		d.hangUp(i)
	}
	if d.eye != nil {
		d.eye.reset()
	}
	if d.web != nil {
		d.web.reset()
	}
	if d.node != nil {
		d.node.end()
	}
	d.node, d.eye, d.web = nil, nil, nil
}

func (d *amnesiaDrive) hangUp(i int) {
	switch c := d.clients[i]; {
	case c == nil:
	case c.web != nil:
		c.web.reset()
	default:
		c.link.reset()
	}
	d.clients[i] = nil
}

// step brings a step of the model about. Where bytes lie is not to be seen from outside: of what the node does with them
// by itself, only its answers show something.
func (d *amnesiaDrive) step(l amnesiaLeg) error {
	var c *amnesiaClient
	if l.op.Conn > 0 {
		c = d.clients[l.op.Conn-1]
	}
	switch l.op.Kind {
	case "Start":
		return d.start(l)
	case "Shutdown":
		if d.limit == "request" {
			<-time.After(10 * slowly) // its limit is as long as that of the drain, and is to end first
		}
		return d.shutdown()
	case "Exit":
		defer d.leave()
		if status, ok := d.node.Wait(patience); !ok || status != 0 {
			return d.fail("a node that was shut down exits with %d (%t)", status, ok)
		}
		return nil
	case "Crash":
		d.node.Kill()
		d.leave()
		return nil
	case "Overwrite", "Wipe", "Purge":
		return nil
	case "MakeKey":
		return d.makeKey(l)
	case "Use":
		return d.useKey(l)
	case "Drop":
		return d.dropKey(l)
	case "Present":
		return d.present(l, c)
	case "Revoke":
		return d.revokeToken(l, c)
	case "Connect":
		return d.connect(l)
	case "Close":
		return d.closed(l, c)
	case "Arrive":
		return d.arrive(l, c)
	case "Take":
		return d.take(l, c)
	case "Commit":
		return d.commit(l, c)
	case "Get":
		return d.get(l, c)
	case "Send":
		return c.get.more(c.link)
	case "Done":
		return c.get.rest(c.link)
	case "Cancel":
		return d.cancel(l, c)
	case "Timeout":
		return d.timeout(l, c)
	case "Delete":
		return d.remove(l)
	}
	return errors.New("nobody outside can do this")
}

// start starts a node: with room for the slots of the model and no more, or not at all.
func (d *amnesiaDrive) start(l amnesiaLeg) (err error) {
	if l.reason != spec.None {
		return refuses(d.binary, "ture")
	}
	args := []string{"--store-bytes", strconv.Itoa(casStore)}
	if l.op.Config == "amnesia" {
		args = append(args, "--config", d.config)
	}
	if d.node, err = launch(d.binary, 0, args...); err != nil {
		return err
	}
	clear(d.content)
	if d.web, err = d.node.browse(); err != nil {
		return err
	}
	if d.eye, err = d.node.greet(0); err != nil {
		return err
	}
	rest := strings.Repeat("ballast ", (casStore-d.p.Slots*slot)/8)
	d.web.request("POST /put", "Content-Length: "+strconv.Itoa(len(rest))+"\r\n", rest)
	if r, err := d.web.receive(http.MethodPost); err != nil || r.StatusCode != http.StatusCreated {
		return d.fail("a put into a new node is answered %v (%v)", r.Response, err) // not created: something was left
	}
	return nil
}

func (d *amnesiaDrive) connect(l amnesiaLeg) (err error) {
	c := &amnesiaClient{}
	if l.op.Web {
		if c.web, err = d.node.browse(); err == nil {
			_, err = c.web.ask(http.MethodGet, "/healthz")
		}
	} else {
		c.link, err = d.node.greet(spec.MinMaxFrame)
	}
	if err == nil && c.link != nil {
		err = d.lend(c)
	}
	if err == nil {
		d.clients[l.op.Conn-1] = c
	}
	return err
}

// closed closes a connection, or sees the node do so.
func (d *amnesiaDrive) closed(l amnesiaLeg, c *amnesiaClient) error {
	defer d.hangUp(l.op.Conn - 1)
	if l.from.at(l.op.Conn).Over || l.from.Life == amnesia.Closing && l.from.Conns[l.op.Conn-1].Doing == amnesia.Idle && c.link != nil {
		if f, err := c.link.read(time.Now().Add(patience)); err == nil && f.Corr != 0 || errors.Is(err, errSilent) {
			return d.fail("the node should close the connection, and says %s (%w)", name(f), err)
		}
	}
	return nil
}

// shutdown sends SIGTERM. Everyone is told.
func (d *amnesiaDrive) shutdown() error {
	d.drained[0] = time.Now()
	if err := d.node.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	links := []*link{d.eye}
	for _, c := range d.clients {
		if c != nil && c.link != nil {
			links = append(links, c.link)
		}
	}
	for _, c := range links {
		if f, err := c.read(time.Now().Add(patience)); err != nil || f.Flags != spec.FlagEvent || f.Code != spec.CodeGoingAway {
			return d.fail("SIGTERM shows on a connection as %s (%w)", name(f), err)
		}
	}
	d.drained[1] = time.Now()
	if d.limit != "drain" {
		return nil
	}
	<-time.After(spec.DrainTimeout / 2)
	return d.progress(nil)
}

// remove deletes the object of a slot, on either surface.
func (d *amnesiaDrive) remove(l amnesiaLeg) error {
	obj := d.stored(l, l.op.Slot)
	if d.turn%2 == 0 && l.from.Life == amnesia.Up {
		said, err := d.eye.exchange(d.eye.open(spec.FlagEnd, refwire.Request{Op: "delete", Obj: obj, HasObj: true}), "delete")
		if err != nil {
			return err
		}
		return d.answered(l, "delete", said[d.eye.corr])
	}
	r, err := d.web.ask(http.MethodDelete, "/o/"+obj.String())
	if err == nil && (r.reason != l.reason || l.reason == spec.None && r.StatusCode != http.StatusNoContent) {
		err = d.fail("DELETE is answered %s, and the model says %q", r.Status, l.reason)
	}
	return err
}

func (d *amnesiaDrive) answered(l amnesiaLeg, op string, frames []refwire.Frame) error {
	_, reason, err := final(op, frames)
	if err == nil && reason != l.reason {
		err = d.fail("%s is answered %q, and the model says %q", op, reason, l.reason)
	}
	return err
}

// stored is the address of the object in a slot. Where the slot has none, it is one that was there before, or will be.
func (d *amnesiaDrive) stored(l amnesiaLeg, number int) spec.Address {
	n := d.content[number-1]
	for i, c := range l.from.Conns {
		if c.Doing == amnesia.Put && c.Slot == number {
			n = d.clients[i].put.content
		}
	}
	if l.from.Slots[number-1].Use != amnesia.Object {
		for i, s := range l.from.Slots {
			if s.Use == amnesia.Object && d.content[i] == n {
				n = -1 // nothing ever has this
			}
		}
	}
	return d.address(n)
}

// observe compares what can be seen of a node with the model: what is stored, and how much room there is.
func (d *amnesiaDrive) observe(l amnesiaLeg) error {
	s := l.to
	if s.Life != amnesia.Up {
		return nil
	}
	soon := l.op.Kind == "Close" || l.op.Kind == "Cancel" || l.op.Kind == "Done" || l.op.Kind == "Overwrite" || l.op.Kind == "Revoke"
	for deadline := time.Now().Add(patience); ; {
		var frames []byte
		asked, free := d.eye.corr, int64(0)
		for i, c := range s.Slots {
			if c.Use == amnesia.Free {
				free++
			}
			obj := d.stored(amnesiaLeg{from: s}, i+1)
			frames = append(frames, d.eye.open(spec.FlagEnd, refwire.Request{Op: "has", Obj: obj, HasObj: true})...)
		}
		frames = append(frames, d.eye.open(0, refwire.Request{Op: "put", TotalLen: free * slot})...)
		fits := d.eye.corr
		frames = append(frames, d.eye.cancel(fits)...)
		frames = append(frames, d.eye.open(0, refwire.Request{Op: "put", TotalLen: free*slot + 1})...)
		over := d.eye.corr
		said, err := d.eye.exchange(append(frames, d.eye.frame(over, spec.FlagEnd, nil)...), "what is stored, and how much room is there?")
		if err != nil {
			return err
		}
		for i, c := range s.Slots {
			a, reason, err := final("has", said[asked+uint64(i)+1])
			if err != nil || reason != spec.None || a.Exists != (c.Use == amnesia.Object) {
				return d.fail("has of what is in slot %d says %t %s (%v)", i+1, a.Exists, reason, err)
			}
		}
		_, reason, err := final("put", said[over])
		if err == nil && reason == spec.StoreFull && len(said[fits]) == 0 {
			return nil
		}
		if !soon || time.Now().After(deadline) {
			return d.fail("the model has %d free slots; a put of as much is answered by %s, one of a byte more by %s", free, names(said[fits]), names(said[over]))
		}
	}
}
