package tour

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/rustyonions/micronode/model/readiness"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

const (
	noticeTime = 100 * time.Millisecond // RDY-DRN-002
	margin     = 20 * time.Millisecond  // kept from moments at which something happens by itself
	aim        = 50 * time.Millisecond  // how long before a token a drain begins in which it comes
)

// errLate says that the machine was too slow for a tour: something that has its time has happened unasked.
var errLate = errors.New("this took so long that the time of something else was over")

// errStays says that the node had the time to come to what the model says, and did not: it is not late.
var errStays = errors.New("it stays so")

// bucket knows when tokens come. A bucket of n tokens gets n in a second (ADM-CAP-003), counted from the moment at which
// it was last full.
type bucket struct {
	most  int
	taken [2]time.Time // between these a full bucket gave a token; zero while it is full
	came  int          // tokens since then
}

func (b *bucket) interval() time.Duration { return time.Second / time.Duration(b.most) }

func (b *bucket) take(before, after time.Time) {
	if b.taken[0].IsZero() {
		b.taken, b.came = [2]time.Time{before, after}, 0
	}
}

// next is when the next token comes: no earlier than next(0), no later than next(1).
func (b *bucket) next(i int) time.Time {
	return b.taken[i].Add(time.Duration(b.came+1) * b.interval())
}

// late says that a token may have come by now that nobody waited for.
func (b *bucket) late() bool { return !b.taken[0].IsZero() && time.Now().After(b.next(0)) }

// refill waits for a token.
func (d *readyDrive) refill(l readyLeg) error {
	if d.tokens.taken[0].IsZero() {
		<-time.After(d.tokens.interval() + margin)
		return nil
	}
	<-time.After(time.Until(d.tokens.next(1).Add(margin)))
	if d.tokens.came++; l.to.Tokens == d.tokens.most {
		d.tokens.taken = [2]time.Time{}
	}
	return nil
}

// intime says errLate when time has made more of the node than the model knows.
func (d *readyDrive) intime(s readyState) error {
	if !s.Listening || s.Noticed && s.Places == 0 || s.Name == readiness.Stopped {
		return nil
	}
	if d.tokens.late() || s.Name == readiness.Draining && !s.Noticed && time.Since(d.drained[0]) > noticeTime {
		return errLate
	}
	return nil
}

// count counts the tokens at the end of a tour: it is what shows that they came when they should have.
func (d *readyDrive) count(s readyState) error {
	if s.Name != readiness.Ready && s.Name != readiness.Draining || s.Places == d.p.MaxInflight || s.Noticed && s.Places == 0 {
		return nil
	}
	for n := 0; ; n++ {
		r, err := d.eye.ask(http.MethodGet, "/o/"+spec.Address{1}.String())
		if late := d.intime(s); late != nil || err != nil {
			return cmp.Or(late, err)
		}
		want := spec.NotFound
		switch {
		case s.Tokens == n:
			want = spec.Quota
		case s.Name == readiness.Draining:
			want = spec.Draining
		}
		if r.reason != want {
			return d.fail("the model has %d tokens, and request %d for one is answered %s %q", s.Tokens, n+1, r.Status, r.reason)
		}
		if want != spec.NotFound {
			return nil
		}
	}
}

// notice waits until the listeners may close.
func (d *readyDrive) notice(l readyLeg) error {
	if l.from.Places > 0 { // else it is seen in how the node ends
		<-time.After(time.Until(d.drained[1].Add(noticeTime + margin)))
	}
	return nil
}

// deadline waits until the drain cuts what is in flight. Everything makes progress meanwhile, so that nothing else can.
func (d *readyDrive) deadline() error {
	<-time.After(time.Until(d.drained[1].Add(spec.DrainTimeout / 2)))
	for _, c := range d.clients {
		for _, h := range c.inFly {
			if err := h.progress(c.link); err != nil {
				return err
			}
		}
	}
	err := d.cut(d.drained[1].Add(spec.DrainTimeout + patience))
	if took := time.Since(d.drained[0]); err == nil && took < spec.DrainTimeout {
		err = d.fail("work in flight is cut %v after the drain began", took)
	}
	return err
}

// progress sends a little of a request.
func (h *held) progress(c *link) error {
	if h.get != nil {
		return h.get.more(c)
	}
	said, err := c.exchange(c.data(h.corr, refwire.Request{TotalLen: putLen}, h.sent, []byte("x")), "progress")
	h.sent++
	if err == nil && len(said[h.corr]) > 0 {
		err = fmt.Errorf("%w: DATA is answered %s", errTour, names(said[h.corr]))
	}
	return err
}

// ends sees the node end: the listeners close, no earlier than they may, and the process exits in good order.
func (d *readyDrive) ends(l readyLeg) error {
	if l.op.Kind == readiness.Close {
		for deadline := time.Now().Add(patience); ; {
			nc, err := net.DialTimeout("tcp", strings.TrimPrefix(d.node.HTTP, "http://"), patience)
			if err != nil {
				break
			}
			nc.Close()
			if time.Now().After(deadline) {
				return d.fail("nothing is in flight, and the listeners stay open (RDY-DRN-004)")
			}
		}
		if took := time.Since(d.drained[0]); took < noticeTime {
			return d.fail("the listeners close %v after SIGTERM (RDY-DRN-002)", took)
		}
		return nil
	}
	status, ok := d.node.Wait(patience)
	if !ok || status != 0 {
		return d.fail("a node that drained exits with status %d (%t)", status, ok)
	}
	return nil
}

// failing sees a start that can not be finished: behind so many gates, a configuration, a store or a listener is in the way.
func (d *readyDrive) failing(legs []readyLeg) error {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer taken.Close()
	up := len(legs) - 1
	bad := map[int]struct{ gate, flag, value string }{
		0:             {"config_loaded", "--rate", "0"},
		1:             {"store_open", "--store-bytes", "1TiB"},
		d.p.Gates - 1: {"listeners_bound", "--http", taken.Addr().String()},
	}[up]
	cmd := exec.Command(d.binary, "run", "--http", "127.0.0.1:0", "--oap", "127.0.0.1:0", bad.flag, bad.value)
	timer := time.AfterFunc(patience, func() { cmd.Process.Signal(os.Kill) })
	text, err := cmd.CombinedOutput()
	timer.Stop()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() <= 0 || !strings.Contains(string(text), bad.gate) {
		return d.fail("run %s %s ends with %v and does not name the gate %s (RDY-GAT-008): %s", bad.flag, bad.value, err, bad.gate, text)
	}
	for _, l := range legs {
		d.cov.walk(l.edge)
	}
	return nil
}
