package readiness

import (
	"slices"
	"strconv"
	"strings"

	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/spec"
)

// Outcome is what an operation may lead to.
type Outcome = explore.Outcome[State]

// Kind is what happens, without what it happens to.
type Kind string

// The operations.
const (
	Up, Lose, Stale, Unknown, Fail        Kind = "Up", "Lose", "Stale", "Unknown", "Fail"
	Level, Recover                        Kind = "Level", "Recover"
	Connect, Disconnect, Refill, Readyz   Kind = "Connect", "Disconnect", "Refill", "Readyz"
	Request, Finish, Cancel               Kind = "Request", "Finish", "Cancel"
	Signal, Notice, Deadline, Close, Stop Kind = "Signal", "Notice", "Deadline", "Close", "Stop"
)

// operations has the words for each operation, and the function that says what it leads to.
var operations = map[Kind]struct {
	words string
	next  func(Params, State, Op) []Outcome
}{
	Up:         {"gate GATE comes up", up},
	Lose:       {"the probe of gate GATE says that it is down", lose},
	Stale:      {"the last probe of gate GATE becomes more than 2 seconds old", lose},
	Unknown:    {"the configuration asks for a gate that the node does not know", unknown},
	Fail:       {"a gate can not be brought up", fail},
	Level:      {"CAUSE: LEVEL", level},
	Recover:    {"one second of calm passes", recovered},
	Connect:    {"a client connects", connect},
	Disconnect: {"a connection closes", disconnect},
	Request:    {"a client asks for a WORK", request},
	Finish:     {"a WORK is answered completely", finish},
	Cancel:     {"a WORK is cancelled, times out or crashes", finish},
	Refill:     {"the time of one token passes", refill},
	Readyz:     {"GET /readyz", readyz},
	Signal:     {"SIGTERM", signal},
	Notice:     {"100 milliseconds pass since draining began", notice},
	Deadline:   {"5 seconds pass since draining began", deadline},
	Close:      {"the listeners close", closing},
	Stop:       {"the process exits", stop},
}

// Op is one operation of a client, of the operator, of the surroundings or of time.
type Op struct {
	Kind  Kind
	Gate  int    // Up, Lose, Stale: which one, from 1
	Cause string // Level: store_capacity or memory
	Level string // Level: Room, Tight or Short
	Work  string // Request, Finish, Cancel: Read or Write
}

// String says it in the words of the law.
func (o Op) String() string {
	return strings.NewReplacer("GATE", strconv.Itoa(o.Gate), "CAUSE", o.Cause, "LEVEL", o.Level, "WORK", o.Work).
		Replace(operations[o.Kind].words)
}

// Next says what op leads to in s: one outcome, or none when it can not happen there.
func Next(p Params, s State, op Op) []Outcome {
	if s.Name == Stopped {
		return nil // there is no process any more
	}
	return operations[op.Kind].next(p, s, op)
}

// done is the outcome of an operation that takes place.
func done(k Kind, to State, rules ...string) []Outcome {
	return []Outcome{{Action: string(k), Rules: rules, To: to}}
}

// refused is the outcome of an operation that is turned away, as Request_quota: nothing changes (ADM-ORD-003).
func refused(k Kind, s State, r spec.Reason, rules ...string) []Outcome {
	return []Outcome{{Action: string(k) + "_" + string(r), Reason: r, Rules: rules, To: s}}
}

// up: the gates come up one after the other, and the last one makes the node ready if the configuration asks for no other
// (RDY-GAT-006). A start that a signal overtook may still bring gates up, and that leads nowhere (RDY-DRN-007).
func up(p Params, s State, op Op) []Outcome {
	i := op.Gate - 1
	if s.Up[i] || slices.Contains(s.Up[:i], false) {
		return nil
	}
	s.Up = slices.Clone(s.Up)
	s.Up[i] = true
	return done(Up, s.settle(p), "RDY-GAT-001", "RDY-GAT-002", "RDY-GAT-006", "RDY-GAT-007", "RDY-DRN-007")
}

// lose: what a gate stood for is gone. A probe that does not come back is as good as one that says so. Gates are probed from
// the end of the start (RDY-GAT-003) to the beginning of the drain, after which they do not matter any more.
func lose(p Params, s State, op Op) []Outcome {
	if s.Name != Ready && s.Name != Degraded || !s.Up[op.Gate-1] {
		return nil
	}
	s.Up = slices.Clone(s.Up)
	s.Up[op.Gate-1] = false
	if op.Kind == Stale {
		return done(Stale, s.settle(p), "RDY-GAT-005", "RDY-STA-002")
	}
	return done(Lose, s.settle(p), "RDY-GAT-004", "RDY-STA-002")
}

// unknown: the configuration is read before the first gate is up.
func unknown(_ Params, s State, _ Op) []Outcome {
	if s.Name != Starting || s.Unknown || slices.Contains(s.Up, true) {
		return nil
	}
	s.Unknown = true
	return done(Unknown, s, "RDY-GAT-006")
}

// fail: a start that can not be finished ends the process.
func fail(_ Params, s State, _ Op) []Outcome {
	if s.Name != Starting || !slices.Contains(s.Up, false) {
		return nil
	}
	s = s.become(Stopped)
	s.Listening, s.Conns, s.Exit = false, 0, "failed"
	return done(Fail, s, "RDY-GAT-008", "RDY-STA-002")
}

// level: others use up the store or the memory, or give some back. left is the field that changes.
func level(p Params, s State, op Op) []Outcome {
	left, rule := &s.Store, "RDY-DEG-004"
	if op.Cause == "memory" {
		left, rule = &s.Memory, "RDY-DEG-006"
	}
	if !p.Causes || s.Name == Draining || *left == op.Level {
		return nil
	}
	*left = op.Level
	return done(Level, s.settle(p), rule, "RDY-DEG-008")
}

// recovered: for a second nothing was missing, which to a degraded node means room to spare.
func recovered(p Params, s State, _ Op) []Outcome {
	if s.Name != Degraded || len(Missing(p, s)) > 0 {
		return nil
	}
	return done(Recover, s.become(Ready), "RDY-DEG-008")
}

// connect: the connection cap is the first check of all, and holds for the exempt routes too.
func connect(p Params, s State, _ Op) []Outcome {
	if !s.Listening {
		return nil
	}
	if s.Conns == p.MaxConns {
		return refused(Connect, s, spec.Quota, "ADM-CAP-001", "ADM-ORD-001")
	}
	s.Conns++
	return done(Connect, s.settle(p), "ADM-CAP-001", "RDY-DRN-002", "RDY-DEG-005")
}

// disconnect: requests come over connections, so the last one stays while there is work in flight.
func disconnect(p Params, s State, _ Op) []Outcome {
	if s.Conns == 0 || s.Conns == 1 && s.Places > 0 {
		return nil
	}
	s.Conns--
	return done(Disconnect, s.settle(p), "ADM-CAP-001")
}

// request: the in-flight cap, the rate cap and readiness, in this order. Who is refused takes no token.
func request(p Params, s State, op Op) []Outcome {
	refuse := func(r spec.Reason, rules ...string) []Outcome {
		return refused(Request, s, r, append(rules, "ADM-ORD-001", "ADM-CAP-005")...)
	}
	switch {
	case s.Conns == 0:
		return nil
	case s.Places == p.MaxInflight:
		return refuse(spec.TooManyStreams, "ADM-CAP-002", "OAP-SES-009")
	case s.Tokens == 0:
		return refuse(spec.Quota, "ADM-CAP-003")
	case op.Work == Read && s.Reads || op.Work == Write && s.Writes:
		return admit(p, s, op)
	case s.Name == Draining:
		return refuse(spec.Draining, "RDY-STA-004")
	case s.Name == Degraded && slices.Equal(Missing(p, s), []string{"store_capacity"}):
		return refuse(spec.StoreFull, "RDY-DEG-003")
	case s.Name == Degraded:
		return refuse(spec.NotReady, "RDY-DEG-002", "RDY-GAT-004")
	}
	return refuse(spec.NotReady, "RDY-STA-003", "RDY-GAT-001")
}

// admit: one token and one place. Whoever takes the last place degrades the node before anyone is refused for want of
// one.
func admit(p Params, s State, op Op) []Outcome {
	s.Tokens--
	s.Places++
	*s.inFlight(op)++
	return done(Request, s.settle(p), "ADM-CAP-004", "RDY-DEG-001", "RDY-DEG-005", "RDY-DEG-007")
}

// inFlight is the field that counts the requests in flight of the kind that op is about; a * before it means its value.
func (s *State) inFlight(op Op) *int {
	if op.Work == Write {
		return &s.Writing
	}
	return &s.Reading
}

// finish: whatever has become of the node in the meantime, admitted work goes on to its answer. However else it ends, its
// place comes back as well.
func finish(_ Params, s State, op Op) []Outcome {
	if *s.inFlight(op) == 0 {
		return nil
	}
	*s.inFlight(op)--
	s.Places--
	if op.Kind == Cancel {
		return done(Cancel, s, "ADM-CAP-006", "ADM-TIM-006")
	}
	return done(Finish, s, "ADM-CAP-006", "RDY-DEG-009", "RDY-DRN-003")
}

// refill: a full bucket stays as it is.
func refill(p Params, s State, _ Op) []Outcome {
	s.Tokens = min(s.Tokens+1, p.Tokens)
	return done(Refill, s, "ADM-CAP-003")
}

// readyz: whoever has a connection may ask, in any state. The answer is s.Readyz with Missing.
func readyz(_ Params, s State, _ Op) []Outcome {
	if s.Conns == 0 {
		return nil
	}
	return done(Readyz, s, "RDY-HLT-001", "RDY-HLT-002", "RDY-HLT-003", "HTTP-HLT-007")
}

// signal: SIGTERM or SIGINT. The first one begins the drain, and from here on nobody looks at what is left of anything. Another
// one cuts, and shortens neither the notice nor the way out.
func signal(_ Params, s State, _ Op) []Outcome {
	if s.Name == Draining {
		return done(Signal, s.cut(), "RDY-DRN-006", "ADM-CAP-006")
	}
	s = s.become(Draining)
	s.Store, s.Memory = Room, Room
	return done(Signal, s, "RDY-DRN-001", "RDY-STA-002")
}

// notice: from now on the listeners may close.
func notice(_ Params, s State, _ Op) []Outcome {
	if s.Name != Draining || s.Noticed {
		return nil
	}
	s.Noticed = true
	return done(Notice, s, "RDY-DRN-002")
}

// deadline: what is still in flight is cut. 5 seconds are more than the 100 milliseconds of the notice.
func deadline(_ Params, s State, _ Op) []Outcome {
	if s.Name != Draining || s.Places == 0 {
		return nil
	}
	s = s.cut()
	s.Noticed = true
	return done(Deadline, s, "RDY-DRN-003", "ADM-CAP-006")
}

// closing: the notice was given and nothing is in flight.
func closing(_ Params, s State, _ Op) []Outcome {
	if s.Name != Draining || !s.Listening || !s.Noticed || s.Places > 0 {
		return nil
	}
	s.Listening = false
	return done(Close, s, "RDY-DRN-001", "RDY-DRN-002", "RDY-DRN-004")
}

// stop: the connections that are left go with the process.
func stop(_ Params, s State, _ Op) []Outcome {
	if s.Name != Draining || s.Listening {
		return nil
	}
	s = s.become(Stopped)
	s.Conns, s.Exit = 0, "clean"
	return done(Stop, s, "RDY-DRN-004", "RDY-DRN-005", "RDY-STA-002")
}
