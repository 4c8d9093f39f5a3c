package store

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"lukechampine.com/blake3"
	"pgregory.net/rapid"

	"github.com/rustyonions/micronode/chaos/evidence"
	"github.com/rustyonions/micronode/model/amnesia"
	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/spec"
)

// elsewhere lists the operations of the model, and one refusal, that the store has no part in.
var elsewhere = map[string]string{
	"Start_malformed": "configurations are read by impl/config",
	"Crash":           "a process that dies can not look at its memory",
	"Present":         "tokens come into buffers of connections, never into payload memory",
	"Wipe":            "buffers belong to impl/wire and impl/server; here the test's own stand for them",
	"MakeKey":         noKeys, "Use": noKeys, "Use_unauth": noKeys, "Expire": noKeys, "Drop": noKeys, "Purge": noKeys,
}

const noKeys = "the store holds no keys, and the key arena is not built yet"

// document is what one object is made of: n bytes of its canary, which are 16 bytes that nothing else in the region has:
// a mark, and the document's own name of 8 hexadecimal digits. No byte is zero.
type document struct {
	name string
	n    int
}

const (
	canaryMark = "canary: "
	canarySize = 16
	scribble   = 0x11 // what a reader leaves behind the bytes that came
)

func (d document) bytes() []byte {
	return bytes.Repeat([]byte(canaryMark+d.name), d.n/canarySize+1)[:d.n]
}

// census counts what is in a piece of memory.
type census struct {
	canaries map[string]int // whole ones, by the name of their document
	rest     int            // other bytes that are not zero
}

func (c census) add(name string, n int) {
	if n > 0 {
		c.canaries[name] += n
	}
}

// count relies on slots that begin at a multiple of a canary's size.
func count(mem []byte) census {
	c := census{canaries: map[string]int{}}
	var zeroes [4096]byte
	last, run := "", 0
	for page := range slices.Chunk(mem, len(zeroes)) {
		if bytes.Equal(page, zeroes[:]) {
			continue
		}
		for ; len(page) > 0; page = page[canarySize:] {
			switch one := page[:canarySize]; {
			case string(one[:8]) == canaryMark && one[canarySize-1] >= '0': // a cut one has 0 or scribble there
				if string(one[8:]) != last {
					c.add(last, run)
					last, run = string(one[8:]), 0
				}
				run++
			default:
				c.rest += canarySize - bytes.Count(one, zeroes[:1])
			}
		}
	}
	c.add(last, run)
	return c
}

// client is the test's side of a connection of the model.
type client struct {
	doc     document
	total   int64 // declared, or -1
	lie     bool  // the declared address is wrong
	sent    int   // bytes of doc that arrived, in the store or in pending
	pending []byte
	dirty   int // how far a reader scribbled, in bytes from the beginning of the object
	w       *Writer
	h       *Handle
}

// amnesiaRig drives a store and the model of amnesia in step.
type amnesiaRig struct {
	t     *rapid.T
	taken map[string]int // actions, over all runs
	p     amnesia.Params
	m     amnesia.State
	exact bool // every object takes one span, and there is one for each slot of the model

	s         *Store
	gone      bool // the region was unmapped
	clients   []client
	in        []document // of each slot of the model: what was taken into it last
	scribbled []int      // of each slot: bytes that a reader left behind that
	documents int
	addresses map[document]spec.Address
}

// open starts a store whose region is looked at when it is given back.
func (r *amnesiaRig) open() {
	spans := r.p.Slots
	if !r.exact {
		spans *= 4 // two whole chunks, a third while the length is unknown, and then a smaller slot for the tail
	}
	region, err := reserve(spans * spanSize)
	if err != nil {
		r.t.Fatal(err)
	}
	unmap := region.unmap
	region.unmap = func() error {
		if i := nonZero(region.mem); i >= 0 {
			r.t.Fatalf("byte %d of the region is %#x when it is given back", i, region.mem[i])
		}
		r.gone = true
		return unmap()
	}
	r.s, r.gone = newStore(region), false
	r.clients = make([]client, r.p.Conns)
	r.in, r.scribbled = make([]document, r.p.Slots), make([]int, r.p.Slots)
}

// often is how much more often than others an operation is tried, and rarely how often it is passed over while the node
// is up: otherwise most requests and lives would end before anything has come of them.
var (
	often  = map[string]int{"Arrive": 2, "Take": 2, "Commit": 2, "Get": 3}
	rarely = map[string]int{"Shutdown": 29, "Close": 9, "Cancel": 5, "Timeout": 5, "Revoke": 5, "Delete": 1}
)

// do draws one of the operations of a kind that can happen now.
func (r *amnesiaRig) do(t *rapid.T, kind string) {
	r.t = t
	var possible []amnesia.Op
	for _, op := range amnesia.Ops(r.p) {
		if op.Kind == kind && r.possible(op) {
			possible = append(possible, op)
		}
	}
	if len(possible) == 0 {
		t.Skip("not possible now") // rapid draws another action
	}
	if r.m.Life != amnesia.Up || rapid.IntRange(0, rarely[kind]).Draw(t, "passed over") == rarely[kind] {
		r.apply(rapid.SampledFrom(possible).Draw(t, "operation"))
	}
}

// put does a put in a row, or all of one but its end, so that much is stored and in progress.
func (r *amnesiaRig) put(t *rapid.T) {
	r.t = t
	conn := rapid.IntRange(1, r.p.Conns).Draw(t, "connection")
	r.row(conn, []string{"Connect", "Arrive", "Take", "Commit"}[:rapid.IntRange(3, 4).Draw(t, "steps")]...)
}

// row does on a connection what is possible of a row of operations.
func (r *amnesiaRig) row(conn int, kinds ...string) {
	for _, kind := range kinds {
		if op := (amnesia.Op{Kind: kind, Conn: conn}); r.possible(op) {
			r.apply(op)
			r.check(r.t)
		}
	}
}

// possible leaves out what the test's clients do not do: they put whole documents and commit only those, and where the
// store has more room than the model knows of, they do not ask for it.
func (r *amnesiaRig) possible(op amnesia.Op) bool {
	fine := op.Kind != "Start" || op.Config == "amnesia"
	if op.Conn > 0 && r.m.Conns[op.Conn-1].Doing == amnesia.Put {
		c := &r.clients[op.Conn-1]
		switch op.Kind {
		case "Arrive":
			fine = c.sent < c.doc.n
		case "Commit":
			fine = c.sent == c.doc.n && c.pending == nil
		case "Take":
			fine = r.exact || c.w != nil || slices.ContainsFunc(r.m.Slots, func(c amnesia.Cell) bool { return c.Use == amnesia.Free })
		}
	}
	return fine && len(amnesia.Next(r.p, r.m, op)) > 0
}

// apply lets op happen on both sides, and then what the store does in the same call: it overwrites at once.
func (r *amnesiaRig) apply(op amnesia.Op) {
	outcomes := amnesia.Next(r.p, r.m, op)
	action, err := r.perform(op)
	if err != nil {
		action += "_" + string(reasonOf(err))
	}
	i := slices.IndexFunc(outcomes, func(o amnesia.Outcome) bool { return o.Action == action })
	if i < 0 {
		r.t.Fatalf("%v: the store says %s (%v), the model %v", op, action, err, outcomes)
	}
	r.follow(outcomes[i])
	if op.Kind == "Take" || op.Kind == "Send" { // the test's buffers hold nothing after their use
		r.clients[op.Conn-1].pending = nil
		for _, o := range amnesia.Next(r.p, r.m, amnesia.Op{Kind: "Wipe", Conn: op.Conn}) {
			r.m = o.To
		}
	}
	for _, o := range amnesia.Next(r.p, r.m, amnesia.Op{Kind: "Overwrite"}) {
		r.follow(o)
	}
	r.noteTaken(op)
}

func (r *amnesiaRig) follow(o amnesia.Outcome) {
	r.m = o.To
	r.taken[o.Action]++
}

// noteTaken writes down what a put has in payload memory now.
func (r *amnesiaRig) noteTaken(op amnesia.Op) {
	if op.Conn == 0 {
		return
	}
	c := &r.clients[op.Conn-1]
	if conn := r.m.Conns[op.Conn-1]; conn.Doing == amnesia.Put && conn.Slot > 0 {
		n := c.sent - len(c.pending)
		r.in[conn.Slot-1] = document{c.doc.name, n}
		r.scribbled[conn.Slot-1] = max(0, c.dirty-n)
	}
}

// perform does op with the store, and says what came of it: the action of the model without the reason, which err has.
func (r *amnesiaRig) perform(op amnesia.Op) (action string, err error) {
	switch op.Kind {
	case "Start":
		r.open()
	case "Shutdown":
		err := r.s.Close()
		if busy := r.s.arena.taken > 0; (err != nil) != busy || busy && reasonOf(err) != spec.Draining {
			r.t.Fatalf("close with %d slots held: %v", r.s.arena.taken, err)
		}
	case "Exit":
		return op.Kind, r.s.Close()
	case "Delete":
		return op.Kind, r.s.Delete(r.address(op.Slot))
	}
	if op.Conn == 0 {
		return op.Kind, nil
	}
	c := &r.clients[op.Conn-1]
	switch op.Kind {
	case "Arrive":
		return op.Kind, r.arrive(c, r.m.Conns[op.Conn-1].Doing == amnesia.Idle)
	case "Take":
		err := r.take(c)
		if err != nil {
			*c = client{}
		}
		return op.Kind, err
	case "Commit":
		return r.commit(c, r.m.Conns[op.Conn-1].Slot)
	case "Get":
		c.doc = r.in[op.Slot-1]
		c.h, err = r.s.Get(r.address(op.Slot))
		return op.Kind, err
	case "Send":
		r.send(c)
	case "Close", "Cancel", "Timeout", "Revoke", "Done":
		if c.w != nil {
			c.w.Abort()
		}
		if c.h != nil {
			c.h.Release()
		}
		*c = client{}
	}
	return op.Kind, nil
}

// address is that of the object in a slot, and of none that is stored where the slot has no object.
func (r *amnesiaRig) address(slot int) spec.Address {
	if d := r.in[slot-1]; r.m.Slots[slot-1].Use == amnesia.Object || d.n > 0 && r.storedIn(d) == 0 {
		return r.addressOf(d)
	}
	return spec.Address{1}
}

func (r *amnesiaRig) addressOf(d document) spec.Address {
	a, known := r.addresses[d]
	if !known {
		a = blake3.Sum256(d.bytes())
		r.addresses[d] = a
	}
	return a
}

// storedIn is the slot with the object made of d, 0 if it is not stored.
func (r *amnesiaRig) storedIn(d document) int {
	for i, s := range r.m.Slots {
		if s.Use == amnesia.Object && r.in[i] == d {
			return i + 1
		}
	}
	return 0
}

// arrive receives more bytes of a put, or the first ones. The store hears of a put when it is to take them, or when
// there is nothing to wait for because it is closed.
func (r *amnesiaRig) arrive(c *client, begin bool) error {
	if begin && r.m.Life == amnesia.Closing {
		_, err := r.s.NewWriter(nil, 100)
		return err
	}
	if begin {
		r.documents++
		*c = client{doc: document{fmt.Sprintf("%08x", r.documents), r.size()}}
		if old := rapid.IntRange(0, r.p.Slots).Draw(r.t, "again"); old > 0 && r.m.Slots[old-1].Use == amnesia.Object {
			c.doc = r.in[old-1]
		}
		c.total = int64(c.doc.n)
		if rapid.Bool().Draw(r.t, "length unknown") {
			c.total = -1
		}
		c.lie = rapid.IntRange(0, 5).Draw(r.t, "lie") == 5
	}
	n := c.doc.n - c.sent
	if rapid.Bool().Draw(r.t, "in part") {
		n = rapid.IntRange(1, n).Draw(r.t, "bytes")
	}
	c.pending = c.doc.bytes()[c.sent : c.sent+n]
	c.sent += n
	return nil
}

// size draws how long an object is. Above four fifths of a span no slot is smaller than a whole one. Two objects of
// nearly half a span share one, which gives compaction something to do.
func (r *amnesiaRig) size() int {
	switch {
	case r.exact:
		return rapid.IntRange(spanSize*4/5+1, spanSize).Draw(r.t, "size")
	case rapid.IntRange(0, 2).Draw(r.t, "half a span") > 0:
		return rapid.IntRange(spanSize*3/7+1, spanSize/2).Draw(r.t, "size")
	}
	return rapid.SampledFrom([]int{16, 17, 700, 5000, 20_000, 30_000, 32 << 10, 40_000, spanSize - 1, spanSize, spanSize + 700,
		2*spanSize + 30_000}).Draw(r.t, "size")
}

// take hands the pending bytes to the store.
func (r *amnesiaRig) take(c *client) (err error) {
	if c.w == nil {
		var want *spec.Address
		if c.lie {
			want = &spec.Address{2}
		} else if rapid.Bool().Draw(r.t, "address declared") {
			a := r.addressOf(c.doc)
			want = &a
		}
		if c.w, err = r.s.NewWriter(want, c.total); err != nil {
			return err
		}
	}
	if rapid.Bool().Draw(r.t, "write") {
		_, err := c.w.Write(c.pending)
		return err
	}
	at := c.sent - len(c.pending)
	for rest := c.pending; len(rest) > 0; {
		space := c.w.Next()
		if len(space) == 0 {
			return c.w.Err()
		}
		for i := range space {
			space[i] = scribble
		}
		n := copy(space, rest)
		if err := c.w.Advance(n); err != nil {
			return err
		}
		c.dirty = at + len(space)
		at, rest = at+n, rest[n:]
	}
	return nil
}

func (r *amnesiaRig) commit(c *client, slot int) (action string, err error) {
	addr, created, err := c.w.Commit()
	doc, lie := c.doc, c.lie
	*c = client{}
	r.scribbled[slot-1] = 0
	switch {
	case err != nil && (lie || r.m.Life == amnesia.Closing):
		return "Commit", err
	case err != nil || lie || addr != r.addressOf(doc) || created != (r.storedIn(doc) == 0):
		r.t.Fatalf("commit of %+v: %v, new: %v, a lie: %v; stored before in slot %d; %v", doc, addr, created, lie, r.storedIn(doc), err)
	case !created:
		return "CommitAgain", nil
	}
	return "Commit", nil
}

// send reads one piece of an object: bytes under a reader stay what they were.
func (r *amnesiaRig) send(c *client) {
	off := rapid.IntRange(0, c.doc.n-1).Draw(r.t, "offset")
	b, err := c.h.Chunk(int64(off), spanSize)
	if err != nil || len(b) == 0 || !bytes.Equal(b, c.doc.bytes()[off:off+len(b)]) {
		r.t.Fatalf("%d bytes at %d of %+v: %v", len(b), off, c.doc, err)
	}
}

// tidy is what the store does on the side, which no model may notice.
func (r *amnesiaRig) tidy(t *rapid.T) {
	r.t = t
	if r.m.Life != amnesia.Up {
		return
	}
	before := r.places()
	r.s.compact()
	for slot, at := range r.places() {
		if before[slot] != at {
			r.taken["moved by compaction"]++
		}
	}
	if report, err := r.s.Scrub(t.Context(), nil); err != nil || report.Failures > 0 {
		t.Fatalf("scrub: %+v, %v", report, err)
	}
}

// places are those of the last chunks of the objects, by slot of the model.
func (r *amnesiaRig) places() map[int]loc {
	places := map[int]loc{}
	for i, slot := range r.m.Slots {
		if slot.Use == amnesia.Object {
			o := stored(r.s, r.addressOf(r.in[i]))
			places[i] = o.chunks[len(o.chunks)-1].at
		}
	}
	return places
}

// check counts the canaries in the whole region: they are exactly where the model has payload, and all else is zero.
func (r *amnesiaRig) check(t *rapid.T) {
	if r.s == nil {
		return
	}
	want, held, objects := census{canaries: map[string]int{}}, 0, 0
	for i, slot := range r.m.Slots {
		if slot.Mem == amnesia.Zero {
			continue
		}
		held++
		d := r.in[i]
		want.add(d.name, d.n/canarySize)
		want.rest += d.n%canarySize + r.scribbled[i]
		if slot.Use == amnesia.Object {
			objects++
			if size, err := r.s.Stat(r.addressOf(d)); err != nil || size != int64(d.n) {
				t.Fatalf("stat of the object in slot %d: %d, %v; want %d", i+1, size, err, d.n)
			}
		}
	}
	if n := r.s.Stats().Objects; n != int64(objects) {
		t.Fatalf("%d objects, %d in the model", n, objects)
	}
	if gone := r.m.Life != amnesia.Up && held == 0; r.gone != gone {
		t.Fatalf("the region is given back: %v, with %d slots in use in the model, which is %s", r.gone, held, r.m.Life)
	}
	if r.gone {
		return // its bytes were looked at then
	}
	if taken := r.s.arena.taken; r.exact && taken != held {
		t.Fatalf("%d slots are taken, %d in the model", taken, held)
	}
	if got := count(r.s.arena.mem); got.rest != want.rest || !maps.Equal(got.canaries, want.canaries) {
		t.Fatalf("in the region: %+v, by the model: %+v\n%s", got, want, amnesia.Canon(r.m))
	}
}

// TestAmnesiaLockStep does to a store whatever the model of amnesia can do to payload memory, and counts canaries after
// every step (AMN-ZER-001, AMN-ZER-002, AMN-ZER-003, AMN-ZER-004, CAS-GET-007).
func TestAmnesiaLockStep(t *testing.T) {
	taken := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		r := &amnesiaRig{t: t, taken: taken, addresses: map[document]spec.Address{}, exact: rapid.Bool().Draw(t, "exact")}
		r.p = amnesia.Params{Slots: 7, Conns: 4}
		if r.exact {
			r.p.Slots = 5
		}
		r.m = amnesia.Machine(r.p).Init
		actions := map[string]func(*rapid.T){"": r.check, "a pass": r.tidy, "a pass too": r.tidy, "a put": r.put, "another": r.put}
		for _, op := range amnesia.Ops(r.p) {
			if elsewhere[op.Kind] != "" || op.Kind == "Overwrite" {
				continue
			}
			for i := range max(1, often[op.Kind]) {
				actions[fmt.Sprint(op.Kind, i)] = func(t *rapid.T) { r.do(t, op.Kind) }
			}
		}
		t.Repeat(actions)
		r.finish(t)
	})
	report(t, taken)
}

// finish brings the life to its end.
func (r *amnesiaRig) finish(t *rapid.T) {
	r.t = t
	if r.m.Life == amnesia.Up {
		r.apply(amnesia.Op{Kind: "Shutdown"})
		r.check(t)
	}
	for c := range r.p.Conns {
		r.row(c+1, "Take", "Commit", "Close")
	}
	if r.m.Life == amnesia.Closing {
		r.apply(amnesia.Op{Kind: "Exit"})
		r.check(t)
	}
}

// report wants every action of the model to be taken or to be listed with a reason.
func report(t *testing.T, taken map[string]int) {
	g, err := explore.Explore(amnesia.Machine(amnesia.Small()), 8_000)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, action := range slices.Sorted(maps.Keys(g.Actions())) {
		why := elsewhere[action]
		if why != "" {
			left = append(left, action+": "+why)
		}
		if (taken[action] > 0) == (why != "") {
			t.Errorf("%s: taken %d times; listed as not driven because %q", action, taken[action], why)
		}
	}
	if taken["moved by compaction"] == 0 {
		t.Error("compaction never moved an object")
	}
	figures, counts := map[string]int64{"actions": int64(len(taken))}, []string{}
	for _, action := range slices.Sorted(maps.Keys(taken)) {
		figures["steps"] += int64(taken[action])
		counts = append(counts, fmt.Sprintf("%s %d", action, taken[action]))
	}
	t.Logf("%d steps: %s", figures["steps"], strings.Join(counts, ", "))
	t.Logf("not driven: %s", strings.Join(left, "; "))
	evidence.Add(t, evidence.Entry{Check: "lockstep/amnesia", Figures: figures, Lists: map[string][]string{"actions": counts, "not driven": left}})
}
