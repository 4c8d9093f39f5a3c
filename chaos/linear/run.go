package linear

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// Client carries out requests, one at a time. Different clients are used at the same time.
type Client interface {
	// Surface is how it reaches the store, for people.
	Surface() string
	// Do carries out r on an object. objects and payloads are those of the whole workload, and body what a put sends
	// (see Request.Body). Whatever happens is an answer; it is Lost when the node may or may not have acted.
	Do(r Request, objects []Object, payloads [][]byte) Answer
}

// Run lets the clients carry out a plan, all beginning at the same moment, client i those of Requests[i]. When all are
// done one more, the auditor, gets, asks for and deletes each object, so that what is there in the end is part of the
// history. It needs a store that holds none of the objects.
func Run(p Plan, payloads [][]byte, clients []Client, auditor Client) History {
	h := History{Seed: p.Seed, Initial: Empty, Objects: slices.Clone(p.Objects)}
	began := time.Now()
	ops := make([][]Op, len(p.Requests))
	start := make(chan struct{})
	var wg sync.WaitGroup
	for i, requests := range p.Requests {
		wg.Go(func() {
			<-start
			ops[i] = perform(began, i, clients[i], requests, h.Objects, payloads)
		})
	}
	close(start)
	wg.Wait()
	ops = append(ops, perform(began, len(p.Requests), auditor, audit(len(p.Objects)), h.Objects, payloads))
	h.Ops = slices.Concat(ops...)
	h.sort()
	return h
}

// audit asks for everything that can be seen, before and after deleting it.
func audit(objects int) (list []Request) {
	for i := range objects {
		for _, k := range []Kind{Has, Get, Stat, Delete, Has} {
			list = append(list, Request{Kind: k, Object: i, Pieces: 1})
		}
	}
	return list
}

// perform is one client's part. After an operation without an answer the client does nothing more.
func perform(began time.Time, client int, c Client, requests []Request, objects []Object, payloads [][]byte) []Op {
	ops := make([]Op, 0, len(requests))
	for _, r := range requests {
		o := Op{Request: r, Client: client, Surface: c.Surface()}
		o.Call = int64(time.Since(began)) // monotonic
		o.Answer = c.Do(r, objects, payloads)
		o.Return = int64(time.Since(began))
		ops = append(ops, o)
		if o.Answer == Lost {
			break
		}
	}
	return ops
}

// sort orders the operations by their calls.
func (h *History) sort() {
	slices.SortStableFunc(h.Ops, func(a, b Op) int { return cmp.Compare(a.Call, b.Call) })
}

// Replay carries out the operations of h anew: one begins when those have ended that ended in h before it began, and at
// the same time as the others. connect makes the client of an operation from the surface that it went over. The answers
// are new ones, to be checked. It needs a store that holds none of the objects.
//
// The reason is unsupported for a history with restarts, which no client can ask for.
func Replay(h History, payloads [][]byte, connect func(surface string) Client) (History, error) {
	if slices.ContainsFunc(h.Ops, func(o Op) bool { return o.Kind == Restart }) {
		return History{}, fmt.Errorf("linear: restarts can not be replayed: %w", spec.Unsupported)
	}
	out := h
	out.Initial = Empty
	done := make([]chan struct{}, len(h.Ops))
	clients := make([]Client, len(h.Ops))
	for i, o := range h.Ops {
		done[i], clients[i] = make(chan struct{}), connect(o.Surface)
	}
	ops := make([][]Op, len(h.Ops))
	began := time.Now()
	var wg sync.WaitGroup
	for i, o := range h.Ops {
		wg.Go(func() {
			defer close(done[i])
			for k, earlier := range h.Ops {
				if earlier.Answer != Lost && earlier.Return < o.Call {
					<-done[k]
				}
			}
			ops[i] = perform(began, i, clients[i], []Request{o.Request}, h.Objects, payloads)
		})
	}
	wg.Wait()
	out.Ops = slices.Concat(ops...)
	out.sort()
	return out, nil
}
