package cas

import (
	"slices"

	"github.com/rustyonions/micronode/spec"
)

// find is the one answer of get, has and stat (CAS-GET-003): why an object can not be used, with the rule, or None.
func (s State) find(object int) (why spec.Reason, rule string) {
	switch s.Health(object) {
	case Absent:
		return spec.NotFound, "CAS-GET-001"
	case Bad:
		return spec.Integrity, "CAS-INT-004"
	}
	return spec.None, ""
}

// get begins to read an object. It holds on to the copy that it found, whatever becomes of the object.
func (s State) get(_ Params, op Op) []Outcome {
	if s.reading(op.Reader) != nil {
		return nil
	}
	if why, rule := s.find(op.Object); why != spec.None {
		return refused(s, Get, why, rule)
	}
	s.kept(op.Object).Readers |= 1 << op.Reader // puts it into the set
	return step(s, "Get", "CAS-PUT-001", "CAS-GET-007", "CAS-CAP-006")
}

// read delivers the bytes of a get, all of them and each after a check. If the check fails so does the get, and the copy is
// known to be bad.
func (s State) read(_ Params, op Op) []Outcome {
	c := s.reading(op.Reader)
	switch {
	case c == nil:
		return nil
	case c.Health == Good:
		return step(s, "Read", "CAS-INT-001", "CAS-PUT-001", "CAS-GET-007")
	}
	c.Health = Bad
	s.release(c, op.Reader)
	return refused(s, Read, spec.Integrity, "CAS-INT-002", "CAS-INT-003", "CAS-INT-004", "CAS-INT-009")
}

// endGet is the end of a get: all was delivered, or its client went away.
func (s State) endGet(_ Params, op Op) []Outcome {
	c := s.reading(op.Reader)
	if c == nil {
		return nil
	}
	s.release(c, op.Reader)
	return step(s, "EndGet", "CAS-DEL-003", "AMN-ZER-004")
}

// has asks whether an object is stored.
func (s State) has(_ Params, op Op) []Outcome {
	switch why, rule := s.find(op.Object); why {
	case spec.None:
		return step(s, "Has_true", "CAS-GET-002", "CAS-CAP-006")
	case spec.NotFound:
		return step(s, "Has_false", "CAS-GET-002", "CAS-DEL-001")
	default:
		return refused(s, Has, why, rule)
	}
}

// stat asks for the length of an object, which here is its number.
func (s State) stat(_ Params, op Op) []Outcome {
	if why, rule := s.find(op.Object); why != spec.None {
		return refused(s, Stat, why, rule)
	}
	return step(s, "Stat", "CAS-GET-004", "CAS-CAP-006")
}

// delete takes an object out of the index, quarantined or not: with amnesia at once, with persistence when that is
// durable. Then it takes the time of its client, and a second delete of the object waits until the first is done.
func (s State) delete(p Params, op Op) []Outcome {
	w := &s.Writers[op.Writer-1]
	underWay := slices.Contains(s.Writers, Writer{Deleting, None, op.Object, 0})
	switch {
	case p.Persistent && (w.Stage != Idle || underWay):
		return nil
	case s.Broken:
		return refused(s, Delete, spec.NotReady, "CAS-PER-011")
	case s.kept(op.Object) == nil:
		return refused(s, Delete, spec.NotFound, "CAS-DEL-002", "CAS-CAP-006")
	case p.Persistent:
		*w = Writer{Deleting, None, op.Object, 0}
		return step(s, "Delete", "CAS-PER-002", "CAS-CAP-006")
	}
	s.forget(op.Object)
	return step(s, "Delete", "CAS-DEL-001", "CAS-DEL-003", "CAS-DEL-005", "CAS-CAP-006")
}
