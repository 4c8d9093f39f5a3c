package linear_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/rustyonions/micronode/chaos/linear"
	"github.com/rustyonions/micronode/spec"
)

// bug is a fault between a client and the store. Its state is shared by all clients of one history.
type bug struct {
	mu sync.Mutex
	// there is what the fault believes about each object: that it is stored, or how many puts of it are in progress.
	there map[int]int
	do    bugFunc
}

// bugFunc carries out r for a client, wrongly; plain is the right way.
type bugFunc func(b *bug, r linear.Request, plain func() linear.Answer) linear.Answer

// faulty is a client behind a bug.
type faulty struct {
	linear.Client
	bug *bug
}

func (f faulty) Do(r linear.Request, objects []linear.Object, payloads [][]byte) linear.Answer {
	return f.bug.do(f.bug, r, func() linear.Answer { return f.Client.Do(r, objects, payloads) })
}

func (b *bug) set(object, value int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.there[object] = value
}

func (b *bug) add(object, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.there[object] += n
}

func (b *bug) get(object int) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.there[object]
}

// bugs are the planted faults. Each breaks a promise that only concurrent or consecutive operations can show.
var bugs = []struct {
	name string
	// within is how many histories may pass before it is caught.
	within int
	// size is how many operations its core may have.
	size int
	do   bugFunc
}{
	// A delete in four of something stored is acknowledged and not done (CAS-DEL-001).
	{"lost delete", 50, 6, func(b *bug, r linear.Request, plain func() linear.Answer) linear.Answer {
		if r.Kind == linear.Delete && b.get(r.Object) > 0 && rand.N(4) == 0 {
			return linear.Deleted
		}
		return b.follow(r, plain())
	}},
	// While a put is in progress its bytes can be read already (CAS-PUT-006).
	{"read of an unfinished put", 50, 6, func(b *bug, r linear.Request, plain func() linear.Answer) linear.Answer {
		if r.Kind == linear.Put && r.Fault != linear.WrongDigest {
			b.add(r.Object, 1)
			defer b.add(r.Object, -1)
		}
		a := plain()
		if r.Kind == linear.Get && a == linear.Answer(spec.NotFound) && b.get(r.Object) > 0 {
			return linear.Bytes
		}
		return a
	}},
	// has is answered from a cache that hears of puts and not of deletes (CAS-GET-003).
	{"stale has", 50, 6, func(b *bug, r linear.Request, plain func() linear.Answer) linear.Answer {
		if r.Kind == linear.Has && b.get(r.Object) > 0 {
			return linear.True
		}
		a := plain()
		if a == linear.True || a == linear.Created {
			b.set(r.Object, 1)
		}
		return a
	}},
	// Whether an object is new is asked before its bytes arrive, and not when it is stored (CAS-PUT-003).
	{"two puts are new", 50, 6, func(b *bug, r linear.Request, plain func() linear.Answer) linear.Answer {
		if r.Kind != linear.Put {
			return b.follow(r, plain())
		}
		absent := b.get(r.Object) == 0
		a := b.follow(r, plain())
		if a == linear.Existed && absent {
			return linear.Created
		}
		return a
	}},
	// A put in four that would have been new is acknowledged and not stored (CAS-PUT-001).
	{"lost put", 50, 6, func(b *bug, r linear.Request, plain func() linear.Answer) linear.Answer {
		if r.Kind == linear.Put && r.Fault == linear.Sound && b.get(r.Object) == 0 && rand.N(4) == 0 {
			return linear.Created
		}
		return b.follow(r, plain())
	}},
}

// follow keeps there at 1 while the object is stored, as far as the clients were told.
func (b *bug) follow(r linear.Request, a linear.Answer) linear.Answer {
	switch a {
	case linear.Created, linear.Existed:
		b.set(r.Object, 1)
	case linear.Deleted:
		b.set(r.Object, 0)
	}
	return a
}

// TestPlantedBugs requires that every planted fault is caught soon and shrunk to little, that the core is what it claims
// to be, and that it survives its way through a file.
//
// Now and then the overlap of many new puts and many deletes is itself the contradiction, and nothing of it can go. Then
// the next history is tried.
func TestPlantedBugs(t *testing.T) {
	for _, planted := range bugs {
		t.Run(planted.name, func(t *testing.T) {
			t.Parallel()
			c := newCampaign("store", bugShape, planted.within)
			c.run = func(p linear.Plan, payloads [][]byte) linear.History {
				return runOnStore(t, p, payloads, planting(planted.do))
			}
			for i := range planted.within {
				h, r := c.next(t, i)
				if r.Verdict != linear.Illegal {
					continue
				}
				core := shrink(t, h)
				t.Logf("seed %d: history %d is illegal, %d operations shrunk to %d", h.Seed, i+1, len(h.Ops), len(core.History.Ops))
				if len(core.History.Ops) <= planted.size {
					t.Log(strings.Join(core.Lines(), "\n"))
					return
				}
			}
			t.Fatalf("not caught with a core of at most %d operations in %d histories from seed %d", planted.size, planted.within, c.first)
		})
	}
}

func planting(do bugFunc) func(linear.Client) linear.Client {
	b := &bug{there: map[int]int{}, do: do}
	return func(c linear.Client) linear.Client { return faulty{c, b} }
}

// shrink minimises h and checks the core by brute force.
func shrink(t *testing.T, h linear.History) linear.Core {
	t.Helper()
	core, err := linear.Minimise(h, limit)
	if err != nil {
		t.Fatal(err)
	}
	checkCore(t, h, core)
	var text bytes.Buffer
	if err := core.History.Encode(&text); err != nil {
		t.Fatal(err)
	}
	again, err := linear.Parse(&text)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := linear.Check(again, limit); err != nil || r.Verdict != linear.Illegal {
		t.Errorf("the core from its file is %s, %v", r.Verdict, err)
	}
	return core
}

// TestLegalHasNoCore asks for the core of a legal history.
func TestLegalHasNoCore(t *testing.T) {
	c := newCampaign("store", bugShape, 1)
	c.run = func(p linear.Plan, payloads [][]byte) linear.History { return runOnStore(t, p, payloads, nil) }
	h, _ := c.next(t, 0)
	if _, err := linear.Minimise(h, limit); !errors.Is(err, spec.Malformed) {
		t.Errorf("minimising a legal history: %v", err)
	}
}
