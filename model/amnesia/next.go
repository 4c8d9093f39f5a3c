package amnesia

import (
	"slices"

	"github.com/rustyonions/micronode/model/explore"
	"github.com/rustyonions/micronode/spec"
)

// Outcome is one thing that may follow from an operation.
type Outcome = explore.Outcome[State]

// step is an outcome that was not refused.
func step(action string, to State, rules ...string) []Outcome {
	return []Outcome{{Action: action, Rules: rules, To: to}}
}

// refused is an outcome with a reason.
func refused(kind string, why spec.Reason, to State, rules ...string) []Outcome {
	return []Outcome{{Action: kind + "_" + string(why), Reason: why, Rules: rules, To: to}}
}

// start: amnesia is on unless persistence is asked for and nothing else. Two wishes at once are none, and neither is
// one that can not be read: then the node does not start. Nobody is answered by it; malformed is what its operator is told.
func start(s State, op Op) []Outcome {
	if s.Life != Off && s.Life != Crashed {
		return nil
	}
	before := s
	s.Life = Up
	switch op.Config {
	case "nothing", "amnesia":
		return step("Start", s, "AMN-DEF-001", "AMN-RST-001")
	case "something unclear":
		return step("Start", s, "AMN-DEF-003", "AMN-RST-001")
	case "persistence":
		s.Life = Persistent
		return step("Start", s, "AMN-DEF-001", "CAS-PER-001")
	case "amnesia and persistence":
		return refused("Start", spec.Malformed, before, "AMN-DEF-002")
	}
	return refused("Start", spec.Malformed, before, "AMN-DEF-004", "RDY-CFG-004")
}

// shutdown: nothing new is taken. Nobody can ask for objects or use keys any more, so their time is over. What is in
// flight goes on until it ends or is cut.
func shutdown(s State, _ Op) []Outcome {
	if s.Life != Up && s.Life != Persistent {
		return nil
	}
	s.Life = Closing
	for i := range s.Slots {
		if s.Slots[i].Use == Object {
			s.Slots[i].Use = Doomed
		}
	}
	for k := range s.Keys {
		if s.Keys[k].Use == Live {
			s.Keys[k].Use = Ended
		}
	}
	return step("Shutdown", s, "AMN-ZER-003", "CAS-GET-007")
}

// exit is the orderly end. It waits until connections are closed and all memory is zero.
func exit(s State, _ Op) []Outcome {
	if s.Life != Closing || !s.zero() || !all(s.Conns, func(c Conn) bool { return c.Doing == Closed }) {
		return nil
	}
	s.Life = Off
	return step("Exit", s, "AMN-ZER-003")
}

// crash takes the memory away as it is. No core is left, and the kernel clears a page before another process gets it. Traces
// outlive a crash.
func crash(s State, _ Op) []Outcome {
	if s.Life == Off || s.Life == Crashed {
		return nil
	}
	to := fresh(Params{len(s.Slots), len(s.Conns), len(s.Keys)})
	to.Life, to.Disk, to.Log = Crashed, s.Disk, s.Log
	return step("Crash", to, "AMN-DSK-003", "AMN-DSK-004", "AMN-RST-001")
}

// overwrite: everything that is due, in one step, and what was overwritten is free.
func overwrite(s State, _ Op) []Outcome {
	if !s.anyDue() {
		return nil
	}
	for i := range s.Slots {
		if s.Due(i + 1) {
			s.Slots[i] = Cell{Free, Zero}
		}
	}
	return step("Overwrite", s, "AMN-ZER-001", "AMN-ZER-002", "AMN-ZER-004", "CAS-DEL-003")
}

// connect brings a buffer into use. What that may hold is what AMN-ZER-007 bounds.
func connect(s State, op Op) []Outcome {
	c := &s.Conns[op.Conn-1]
	if s.Life != Up || c.Doing != Closed {
		return nil
	}
	c.Doing = Idle
	return step("Connect", s, "AMN-ZER-007")
}

// endRequest ends the request of c, which is one of the connections of s, without an object: what was put is to be
// overwritten, and what was read is not held any more.
func (s State) endRequest(c *Conn) State {
	if c.Doing == Put && c.Slot > 0 {
		s.Slots[c.Slot-1].Use = Doomed
	}
	c.Doing, c.Slot = Idle, 0
	return s
}

// closeConn, in order or cut. The buffer is overwritten.
func closeConn(s State, op Op) []Outcome {
	c := &s.Conns[op.Conn-1]
	if c.Doing == Closed {
		return nil
	}
	s.endRequest(c)
	c.Doing, c.Buffer = Closed, Zero
	return step("Close", s, "AMN-ZER-007", "AMN-ZER-002", "RDY-DRN-003")
}

// letGo: a request ends before its time.
func letGo(s State, op Op) []Outcome {
	c := &s.Conns[op.Conn-1]
	if c.Doing != Put && c.Doing != Get {
		return nil
	}
	rule := map[string]string{"Cancel": "OAP-STR-009", "Timeout": "ADM-TIM-006", "Revoke": "CAP-REV-003"}[op.Kind]
	if c.Doing == Get {
		return step(op.Kind, s.endRequest(c), rule, "CAS-GET-007", "AMN-ZER-004")
	}
	return step(op.Kind, s.endRequest(c), rule, "CAS-PUT-005", "AMN-ZER-002")
}

// present: a token is nowhere but in buffers. The model shows it with a request that moves no payload.
func present(s State, op Op) []Outcome {
	c := &s.Conns[op.Conn-1]
	if c.Doing != Idle || c.Buffer != Zero {
		return nil
	}
	c.Buffer = Token
	return step("Present", s, "AMN-ZER-005", "AMN-LOG-002")
}

// wipe: a buffer is overwritten when its bytes were used. The first bytes of a put wait there for a slot.
func wipe(s State, op Op) []Outcome {
	c := &s.Conns[op.Conn-1]
	if c.Buffer == Zero || c.Doing == Put && c.Slot == 0 {
		return nil
	}
	c.Buffer = Zero
	return step("Wipe", s, "AMN-ZER-005", "AMN-ZER-007")
}

// arrive: the first bytes of a put, or more of them. They take no payload memory yet.
func arrive(s State, op Op) []Outcome {
	c := &s.Conns[op.Conn-1]
	switch {
	case c.Doing != Idle && c.Doing != Put || c.Buffer != Zero:
		return nil
	case c.Doing == Idle && s.Life == Closing:
		return refused("Arrive", spec.Draining, s, "RDY-STA-004")
	}
	c.Doing, c.Buffer = Put, Payload
	return step("Arrive", s, "AMN-ZER-007")
}

// take copies from the buffer to the slot of the put. The first bytes get the put a slot, which one is nobody's
// business; where only the overwriting keeps one from being free, the put waits for that and is not refused. What is
// in flight when a drain is over is cut: while the node is closing, that may happen instead of anything else.
func take(s State, op Op) (outcomes []Outcome) {
	c := &s.Conns[op.Conn-1]
	if c.Doing != Put || c.Buffer != Payload {
		return nil
	}
	free := first(s.Slots, Free)
	cut := s.clone()
	cut.endRequest(&cut.Conns[op.Conn-1])
	if s.Life == Closing {
		outcomes = refused("Take", spec.Draining, cut, "RDY-DRN-003", "CAS-PUT-005", "AMN-ZER-002")
	}
	switch {
	case c.Slot == 0 && free == 0 && s.anyDue():
		return outcomes
	case c.Slot == 0 && free == 0:
		return append(outcomes, refused("Take", spec.StoreFull, cut, "CAS-CAP-003", "CAS-DEL-003", "CAS-PUT-005")...)
	case c.Slot == 0:
		c.Slot, s.Slots[free-1] = free, Cell{Put, Payload}
	}
	return append(outcomes, step("Take", s, "AMN-ZER-001", "AMN-DSK-001", "AMN-LOG-001")...)
}

// commit: the slot becomes an object, or is doomed: because the put is refused, because the object is stored already,
// or because the node shuts down, where an object that was acknowledged is one that nobody can ask for. As bytes are
// not known here, any put may have the wrong ones, and those of any object that is stored.
func commit(s State, op Op) []Outcome {
	c := &s.Conns[op.Conn-1]
	if c.Doing != Put || c.Slot == 0 {
		return nil
	}
	known := first(s.Slots, Object) > 0
	stored := s.clone()
	stored.endRequest(&stored.Conns[op.Conn-1])
	stored.Slots[c.Slot-1].Use = Object
	nothing := s.endRequest(c)
	bad := refused("Commit", spec.BadDigest, nothing, "CAS-PUT-004", "CAS-PUT-005", "AMN-ZER-002")
	switch {
	case s.Life == Closing:
		return slices.Concat(bad, step("Commit", nothing, "RDY-DRN-008", "AMN-ZER-003"),
			refused("Commit", spec.Draining, nothing, "RDY-DRN-003", "CAS-PUT-005", "AMN-ZER-002"))
	case known:
		bad = append(bad, step("CommitAgain", nothing, "CAS-PUT-002", "CAS-PUT-003")...)
	}
	return append(bad, step("Commit", stored, "CAS-PUT-001", "CAS-PUT-003")...)
}

func get(s State, op Op) []Outcome {
	c := &s.Conns[op.Conn-1]
	switch {
	case c.Doing != Idle || c.Buffer != Zero:
		return nil
	case s.Life == Closing:
		return refused("Get", spec.Draining, s, "RDY-STA-004")
	case s.Slots[op.Slot-1].Use != Object:
		return refused("Get", spec.NotFound, s, "CAS-GET-001", "CAS-DEL-001")
	}
	c.Doing, c.Slot = Get, op.Slot
	return step("Get", s, "CAS-GET-007")
}

// send: a network stack may need a copy of what goes out.
func send(s State, op Op) []Outcome {
	c := &s.Conns[op.Conn-1]
	if c.Doing != Get || c.Buffer != Zero {
		return nil
	}
	c.Buffer = Payload
	return step("Send", s, "AMN-ZER-007", "CAS-GET-007")
}

func done(s State, op Op) []Outcome {
	c := &s.Conns[op.Conn-1]
	if c.Doing != Get {
		return nil
	}
	return step("Done", s.endRequest(c), "AMN-ZER-004", "CAS-GET-007")
}

// remove is a delete. Readers keep the bytes; who asks does not matter.
func remove(s State, op Op) []Outcome {
	slot := &s.Slots[op.Slot-1]
	switch {
	case s.Life == Closing:
		return refused("Delete", spec.Draining, s, "RDY-STA-004")
	case s.Life != Up:
		return nil
	case slot.Use != Object:
		return refused("Delete", spec.NotFound, s, "CAS-DEL-002")
	}
	slot.Use = Doomed
	return step("Delete", s, "CAS-DEL-001", "AMN-ZER-001", "AMN-ZER-004")
}

func makeKey(s State, _ Op) []Outcome {
	free := first(s.Keys, None)
	if s.Life != Up || free == 0 {
		return nil
	}
	s.Keys[free-1] = Cell{Live, Key}
	return step("MakeKey", s, "CAP-KEY-001", "CAP-KEY-003")
}

// use leaves no copy. It does nothing for a key whose time is over, not even overwrite it.
func use(s State, op Op) []Outcome {
	k := &s.Keys[op.Key-1]
	switch {
	case s.Life != Up:
		return nil
	case k.Use != Live:
		return refused("Use", spec.Unauth, s, "CAP-IDN-003", "AMN-ZER-006")
	}
	return step("Use", s, "CAP-KEY-002", "CAP-KEY-005")
}

// expire: the time to live ends; or after a rotation no capability under the key can be left.
func expire(s State, op Op) []Outcome {
	k := &s.Keys[op.Key-1]
	if k.Use != Live {
		return nil
	}
	k.Use = Ended
	return step("Expire", s, "AMN-ZER-006", "CAP-KEY-002")
}

// drop: to drop a key is to overwrite it.
func drop(s State, op Op) []Outcome {
	k := &s.Keys[op.Key-1]
	if k.Use != Live {
		return nil
	}
	*k = Cell{None, Zero}
	return step("Drop", s, "AMN-ZER-008", "AMN-ZER-005")
}

// purge does not wait for a use.
func purge(s State, _ Op) []Outcome {
	if !anyEnded(s) {
		return nil
	}
	for k := range s.Keys {
		if s.Keys[k].Use == Ended {
			s.Keys[k] = Cell{None, Zero}
		}
	}
	return step("Purge", s, "AMN-ZER-006", "AMN-ZER-005")
}
