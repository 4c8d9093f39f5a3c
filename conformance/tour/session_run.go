package tour

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/model/session"
	"github.com/rustyonions/micronode/spec"
)

// Options choose how much of a graph is walked.
type Options struct {
	Time     bool // wait for limits of 5 seconds
	Idle     bool // wait for the limit of 60 seconds as well
	Progress func(format string, args ...any)
}

const (
	longest   = 60  // steps of a tour
	workers   = 4   // connections at a time
	together  = 200 // tours that share a drain
	scarce    = 200 // tokens per second where a tour has to run out of them
	verysmall = 5   // the same where no token may come back while a node drains
	waiting   = 200 // tours that wait for limits at a time
	pace      = 25 * time.Millisecond
	limitGap  = time.Second // before a drain

	// A half-closed stream goes without a word. Only a probe can tell, before the next clock ends the connection.
	probeEvery = 200 * time.Millisecond
	probePace  = 500 * time.Millisecond
)

// sessionRun is one run of all tours of a session model.
type sessionRun struct {
	binary string
	pl     sessionPlan
	base   *sessionBase
	cov    *Coverage
	scale  int
	frames int // DATA frames of the answer to a get, in the model
	o      Options

	size atomic.Int64 // of the object that gets ask for, in bytes; 0 until it is known
}

// Session walks the graph of the session model under p on nodes started from binary, a program with the command line
// of micronode. scale is how many DATA frames of the node stand for one of the model.
func Session(binary, name string, p session.Params, scale int, o Options) (*Coverage, error) {
	base, err := newSessionBase(p)
	if err != nil {
		return nil, err
	}
	r := &sessionRun{binary: binary, pl: sessionPlan{p}, base: base, scale: scale, frames: p.GetFrames, o: o}
	moves, err := explore.Explore(r.pl.machine(), 200_000)
	if err != nil {
		return nil, err
	}
	timed, err := explore.Explore(timedPlan{r.pl}.machine(), 200_000)
	if err != nil {
		return nil, err
	}
	byMove, byTime := r.choose(name, moves, timed)
	o.Progress("%s: %d edges, plans of %d and %d states", name, len(base.graph.Edges), len(moves.States), len(timed.States))
	if err := r.walkMoves(moves, byMove); err != nil {
		return r.cov, err
	}
	if o.Time {
		err = r.walkTimes(timed, byTime)
	}
	return r.cov, err
}

// choose picks one edge of a plan for each edge of the model, and notes why the others are out of reach.
func (r *sessionRun) choose(name string, moves *explore.Graph[sessionState, sessionOp], timed *explore.Graph[timedState, sessionOp]) (byMove, byTime map[int]int) {
	edges := r.base.graph.Edges
	reached := make([]bool, len(r.base.graph.States))
	byMove, byTime = map[int]int{}, map[int]int{}
	for _, s := range moves.States {
		reached[r.base.state[r.base.canon(s.State)]] = true
	}
	for _, dry := range []bool{false, true} { // a tour without tokens needs a node of its own
		for i, e := range moves.Edges {
			b := r.base.edge(moves.States[e.From].State, e.Op.Op)
			if _, known := byMove[b]; !known && (moves.States[e.From].Dry || e.Op.Dry) == dry {
				byMove[b] = i
			}
		}
	}
	for i, e := range timed.Edges {
		if isTime(e.Op.Kind) {
			b := r.base.edge(timed.States[e.From].State, e.Op.Op)
			if _, known := byTime[b]; !known {
				byTime[b] = i
			}
		}
	}
	actions, why := make([]string, len(edges)), make([]string, len(edges))
	for b, e := range edges {
		actions[b] = e.Action
		_, move := byMove[b]
		_, wait := byTime[b]
		switch {
		case move:
		case !wait:
			why[b] = r.pl.whySession(r.base.graph.States[e.From], e.Op, reached[e.From])
		case !r.o.Time:
			why[b] = "it takes the 5 seconds of a limit, which this run does not wait for"
		case e.Op.Kind == session.IdleTimeout && !r.o.Idle:
			why[b] = "it takes the 60 seconds of the idle limit, which this run does not wait for"
		}
	}
	r.cov = newCoverage(name, actions, why)
	return byMove, byTime
}

// legs turns edges of the first plan into a tour.
func (r *sessionRun) legs(g *explore.Graph[sessionState, sessionOp], tour explore.Tour) []leg {
	legs := make([]leg, 0, len(tour))
	for _, i := range tour {
		e := g.Edges[i]
		l := leg{op: e.Op, from: g.States[e.From], to: g.States[e.To], action: e.Action}
		l.edge = r.base.edge(l.from.State, l.op.Op)
		l.reason = r.pl.next(l.from.State, l.op.Op)[0].Reason
		_, async, pending := r.pl.pending(l.from)
		l.joins = pending && async && !l.from.Writing && isFrame(l.op.Kind)
		legs = append(legs, l)
	}
	return legs
}

// settle appends what the node does by itself after the last step of a tour.
func (r *sessionRun) settle(g *explore.Graph[sessionState, sessionOp], tour explore.Tour) explore.Tour {
	for {
		at := g.Edges[tour[len(tour)-1]].To
		waits, _, pending := r.pl.pending(g.States[at])
		i := slices.IndexFunc(g.Out[at], func(e int) bool { return pending && g.Edges[e].Op.Op == waits })
		if i < 0 {
			return tour
		}
		tour = append(tour, g.Out[at][i])
	}
}

// walkMoves drives everything that needs no waiting.
func (r *sessionRun) walkMoves(g *explore.Graph[sessionState, sessionOp], chosen map[int]int) error {
	want := make([]bool, len(g.Edges))
	for _, e := range chosen {
		want[e] = true
	}
	wanted := func(e int) bool { return want[e] }
	quota := func(e int) bool { return g.Edges[e].Action == "Start_quota" && !g.States[g.Edges[e].From].Dry }
	dried := func(e int) bool { return g.Edges[e].Op.Dry }
	var tours []explore.Tour
	for _, allowed := range []func(int) bool{
		func(e int) bool { return !quota(e) && !dried(e) },
		func(e int) bool { return !dried(e) },
		func(e int) bool { return !quota(e) },
	} { // what costs most comes last, and only where there is no other way
		more, missed := g.Tours(longest, allowed, wanted)
		tours = append(tours, more...)
		clear(want)
		for _, e := range missed {
			want[e] = true
		}
	}
	if slices.Contains(want, true) {
		return errors.New("an edge of the plan is on no tour")
	}
	var plain, short, drained, dry [][]leg
	for _, t := range tours {
		legs := r.legs(g, r.settle(g, t))
		has := func(f func(leg) bool) bool { return slices.ContainsFunc(legs, f) }
		quota := has(func(l leg) bool { return l.reason == spec.Quota })
		drain := has(func(l leg) bool { return l.op.Kind == session.Drain })
		switch {
		case drain && (quota || has(func(l leg) bool { return l.op.Dry })):
			dry = append(dry, legs)
		case drain:
			drained = append(drained, legs)
		case quota:
			short = append(short, legs)
		default:
			plain = append(plain, legs)
		}
	}
	r.o.Progress("%s: %d tours, %d more that run out of tokens, %d that drain, %d of them without a token",
		r.cov.Name, len(plain), len(short), len(drained)+len(dry), len(dry))
	// Running out of tokens is mostly waiting for them, so it goes on beside the rest.
	var beside errgroup.Group
	for part := range slices.Chunk(short, max(1, (len(short)+2)/3)) {
		beside.Go(func() error { return r.alone(part, scarce, 1) })
	}
	err := r.alone(plain, 0, workers)
	if err == nil {
		err = r.batches(slices.Collect(slices.Chunk(drained, together)), 0)
	}
	if err == nil {
		err = r.batches(slices.Collect(slices.Chunk(dry, 1)), verysmall)
	}
	return errors.Join(err, beside.Wait())
}

// alone drives tours one after the other, on one node, by some workers. Where tokens are scarce one may come in at the
// wrong moment; such a tour is tried again.
func (r *sessionRun) alone(tours [][]leg, rate, workers int) error {
	if len(tours) == 0 {
		return nil
	}
	node, sc, err := r.launch(rate)
	if err != nil {
		return err
	}
	defer node.end()
	var group errgroup.Group
	next := make(chan []leg)
	stop := make(chan struct{})
	var once sync.Once
	for range workers {
		group.Go(func() error {
			for legs := range next {
				if err := r.drive(node, sc, legs, noDrain); err != nil {
					once.Do(func() { close(stop) })
					return err
				}
			}
			return nil
		})
	}
feed:
	for _, legs := range tours {
		select {
		case next <- legs:
		case <-stop:
			break feed
		}
	}
	close(next)
	if err := group.Wait(); err != nil {
		return err
	}
	return settled(node)
}

func noDrain() error { return errors.New("this tour was not meant to drain the node") }

// settled wants every request to have given its place back.
func settled(node *target) error {
	deadline := time.Now().Add(spec.RequestTimeout + patience) // a complete request of a client that is gone has its time, too
	for {
		n, text, err := node.inflight()
		if err != nil || n == 0 {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%w: %d requests are in flight, and every client is gone (ADM-CAP-006)\n%s", errTour, n, text)
		}
	}
}

// drive drives one tour, and again where the tokens were not as they should have been.
func (r *sessionRun) drive(node *target, sc scene, legs []leg, meet func() error) error {
	for try := 0; ; try++ {
		c, err := dial(node.OAP)
		if err != nil {
			return err
		}
		d := &drive{sc: sc, c: c, cov: r.cov, node: node, mayAck: map[uint64]int64{}}
		err = d.walk(legs, meet)
		c.reset()
		if err == nil || node.rate == 0 || try == 8 {
			return err
		}
	}
}

// launch starts a node with what the tours need in its store.
func (r *sessionRun) launch(rate int) (*target, scene, error) {
	sc := scene{scale: r.scale, places: r.pl.p.MaxStreams, missing: spec.Address{1}, held: r.frames == 0}
	node, err := launch(r.binary, rate)
	if err != nil {
		return nil, sc, err
	}
	sc.cap = node.cap
	frames := r.frames * r.scale
	if sc.held {
		frames = spec.Window + 1
	}
	if sc.stored, err = stock(node, frames, &r.size); err != nil {
		node.end()
		return nil, sc, fmt.Errorf("put what will be read: %w", err)
	}
	return node, sc, nil
}

// batches drives tours that share a drain, each batch on a node of its own, two at a time.
func (r *sessionRun) batches(batches [][][]leg, rate int) error {
	var group errgroup.Group
	group.SetLimit(2)
	for _, b := range batches {
		group.Go(func() error {
			var err error
			for range 4 { // a token may come in at the wrong moment
				if err = r.batch(b, rate); err == nil || rate == 0 {
					return err
				}
			}
			return err
		})
	}
	return group.Wait()
}

// batch drives tours up to their drain, has the node begin it, and goes on.
func (r *sessionRun) batch(tours [][]leg, rate int) error {
	node, sc, err := r.launch(rate)
	if err != nil {
		return err
	}
	defer node.end()
	var ready, done sync.WaitGroup
	ready.Add(len(tours))
	drained := make(chan struct{})
	errs := make([]error, len(tours))
	for i, legs := range tours {
		done.Go(func() {
			arrived := false
			arrive := func() {
				if !arrived {
					arrived = true
					ready.Done()
				}
			}
			defer arrive()
			errs[i] = r.one(node, sc, legs, func() error {
				if rate > 0 {
					if err := node.spend(); err != nil {
						return err
					}
				}
				arrive()
				<-drained
				return nil
			})
		})
	}
	ready.Wait()
	err = node.Signal(syscall.SIGTERM)
	close(drained)
	done.Wait()
	return cmp.Or(errors.Join(errs...), err)
}

func (r *sessionRun) one(node *target, sc scene, legs []leg, meet func() error) error {
	c, err := dial(node.OAP)
	if err != nil {
		return err
	}
	defer c.reset()
	d := &drive{sc: sc, c: c, cov: r.cov, node: node, mayAck: map[uint64]int64{}}
	return d.walk(legs, meet)
}

// walkTimes drives the tours that end with a limit of the law, many at a time, since they do nothing but wait.
func (r *sessionRun) walkTimes(g *explore.Graph[timedState, sessionOp], chosen map[int]int) error {
	var idle, prompt, drained [][]leg
	for b, e := range chosen {
		kind := r.base.graph.Edges[b].Op.Kind
		legs := r.timedLegs(g, g.WayTo(g.Edges[e].From), e)
		switch {
		case kind == session.IdleTimeout && !r.o.Idle:
		case kind == session.IdleTimeout:
			idle = append(idle, legs)
		case slices.ContainsFunc(legs, func(l leg) bool { return l.op.Kind == session.Drain }):
			drained = append(drained, legs)
		default:
			prompt = append(prompt, legs)
		}
	}
	r.o.Progress("%s: %d tours wait for 5 seconds, %d more while the node drains, %d for 60 seconds", r.cov.Name, len(prompt), len(drained), len(idle))
	var group errgroup.Group
	group.SetLimit(3)
	if len(idle) > 0 {
		group.Go(func() error { return r.waitTogether(idle, nil) })
	}
	for _, tours := range slices.Collect(slices.Chunk(prompt, waiting)) {
		group.Go(func() error { return r.waitTogether(tours, nil) })
	}
	for _, tours := range slices.Collect(slices.Chunk(drained, waiting)) {
		group.Go(func() error { return r.waitTogether(tours, func(n *target) error { return n.Signal(syscall.SIGTERM) }) })
	}
	return group.Wait()
}

// timedLegs turns a way through the second plan into a tour.
func (r *sessionRun) timedLegs(g *explore.Graph[timedState, sessionOp], way []int, last int) []leg {
	way = append(way, last)
	legs := make([]leg, 0, len(way))
	begun := -1
	for n, i := range way {
		e := g.Edges[i]
		from, to := g.States[e.From], g.States[e.To]
		l := leg{op: e.Op, from: sessionState{State: from.State}, to: sessionState{State: to.State}, action: e.Action, edge: -1}
		if e.Op.Kind == Begun {
			begun = n
		} else {
			l.reason = r.pl.next(from.State, e.Op.Op)[0].Reason
		}
		if isTime(e.Op.Kind) {
			l.edge = r.base.edge(from.State, e.Op.Op)
		}
		_, async, pending := r.pl.pending(l.from)
		l.joins = pending && async && !from.Writing && isFrame(e.Op.Kind)
		legs = append(legs, l)
	}
	for n := 1; n <= begun; n++ { // all that came before half a frame goes in one write with it
		if isFrame(legs[n].op.Kind) && g.States[g.Edges[way[n]].From].OneGo {
			legs[n].joins = true
		}
		if legs[n].op.Kind == Begun {
			legs[n].joins = g.States[g.Edges[way[n]].From].OneGo
		}
	}
	return legs
}

// waitTogether drives tours on one node, all at once; drain begins once every tour has come to it.
func (r *sessionRun) waitTogether(tours [][]leg, drain func(*target) error) error {
	node, sc, err := r.launch(0)
	if err != nil {
		return err
	}
	defer node.end()
	var ready, done sync.WaitGroup
	drained := make(chan struct{})
	errs := make([]error, len(tours))
	if drain != nil {
		ready.Add(len(tours))
	}
	for i, legs := range tours {
		done.Go(func() {
			arrived := drain == nil
			arrive := func() {
				if !arrived {
					arrived = true
					ready.Done()
				}
			}
			defer arrive()
			c, err := dial(node.OAP)
			if err != nil {
				errs[i] = err
				return
			}
			defer c.reset()
			d := &drive{sc: sc, c: c, cov: r.cov, node: node, mayAck: map[uint64]int64{}, pace: pace}
			if legs[len(legs)-1].op.Kind == session.HalfClosedTimeout {
				d.pace = probePace
			}
			errs[i] = d.walk(legs, func() error { arrive(); <-drained; return nil })
		})
	}
	ready.Wait()
	if drain != nil {
		<-time.After(limitGap)
		err = drain(node)
	}
	close(drained)
	done.Wait()
	return cmp.Or(errors.Join(errs...), err)
}
