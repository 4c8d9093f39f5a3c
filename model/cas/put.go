package cas

import "github.com/rustyonions/micronode/spec"

// begin announces a put, with its length and its address or without. No room is taken yet. A length of None is below all
// limits.
func (s State) begin(p Params, op Op) []Outcome {
	w := &s.Writers[op.Writer-1]
	switch {
	case w.Stage != Idle:
		return nil
	case s.Broken:
		return refused(s, Begin, spec.NotReady, "CAS-PER-011")
	case op.Length > min(p.MaxObject, p.Capacity):
		return refused(s, Begin, spec.Oversize, "CAS-CAP-001", "CAS-CAP-004")
	case op.Length > s.Free: // even if the object turns out to be stored
		return refused(s, Begin, spec.StoreFull, "CAS-CAP-003", "CAS-CAP-007")
	}
	*w = Writer{Open, op.Length, op.Address, 0}
	return step(s, "Begin", "CAS-CAP-003", "CAS-PUT-006")
}

// arrive brings one more unit of a put: the moment at which room is taken.
func (s State) arrive(p Params, op Op) []Outcome {
	w := &s.Writers[op.Writer-1]
	switch {
	case w.Stage != Open:
		return nil
	case w.Units == w.Length: // never, if none was declared
		return refused(s.cut(w), Arrive, spec.Oversize, "CAS-PUT-008", "CAS-PUT-005")
	case w.Units == p.MaxObject:
		return refused(s.cut(w), Arrive, spec.Oversize, "CAS-CAP-001", "CAS-PUT-005")
	case s.Free == 0:
		return refused(s.cut(w), Arrive, spec.StoreFull, "CAS-CAP-003", "CAS-CAP-007", "CAS-PUT-005")
	}
	w.Units++
	s.Free--
	return step(s, "Arrive", "CAS-CAP-002", "CAS-PUT-006")
}

// commit is the end that a client gives to its put. With amnesia the object is stored in the same moment, or was; with
// persistence it is on its way to stable storage now, or the disk is full.
func (s State) commit(p Params, op Op) []Outcome {
	w := &s.Writers[op.Writer-1]
	object := w.Units // what the bytes hash to
	switch {
	case w.Stage != Open:
		return nil
	case w.Length != None && w.Units < w.Length:
		return refused(s.cut(w), Commit, spec.Truncated, "CAS-PUT-009", "CAS-PUT-005")
	case w.Address != None && w.Address != object:
		return refused(s.cut(w), Commit, spec.BadDigest, "CAS-PUT-004", "CAS-PUT-005")
	case object < p.First || object > p.Last:
		return nil // clients put nothing else to an end, which keeps the graph small
	case s.Broken:
		return refused(s.cut(w), Commit, spec.NotReady, "CAS-PER-011", "CAS-PUT-005")
	case p.Persistent:
		writing := s.clone() // a state of its own for one of two outcomes
		writing.Writers[op.Writer-1] = Writer{Writing, None, None, object}
		return append(step(writing, "Commit", "CAS-PER-002", "CAS-PUT-006"),
			refused(s.cut(w), Commit, spec.StoreFull, "CAS-PER-012", "CAS-PUT-005")...)
	}
	*w = idle
	if s.store(object) {
		return step(s, "Commit_created", "CAS-PUT-001", "CAS-PUT-003", "CAS-DEL-004", "CAS-INT-005")
	}
	return step(s, "Commit_known", "CAS-PUT-002", "CAS-PUT-003")
}

// abort is the end of a put that its client did not bring to an end: cancelled, timed out or cut off.
func (s State) abort(_ Params, op Op) []Outcome {
	w := &s.Writers[op.Writer-1]
	if w.Stage != Open {
		return nil
	}
	return step(s.cut(w), "Abort", "CAS-PUT-005")
}

// cut ends the put of w, which is one of the writers of s, without a trace.
func (s State) cut(w *Writer) State {
	s.Free += w.Units
	*w = idle
	return s
}

// durable is the return of a sync. If it succeeded the write takes effect. If it failed the node takes no other write,
// believes no other sync, and the fate of the write is open until a restart: it stays Writing or Deleting until then.
func (s State) durable(_ Params, op Op) []Outcome {
	w := &s.Writers[op.Writer-1]
	if s.Broken || w.Stage != Writing && w.Stage != Deleting {
		return nil
	}
	failed := s.clone()
	failed.Broken = true
	effect := Known
	if w.Stage == Deleting {
		s.forget(w.Address)
		effect = Deleted
	} else if s.store(w.Units) { // it is new
		effect = Created
	}
	*w = Writer{effect, None, None, 0}
	return append(step(s, "Durable", "CAS-PER-002", "CAS-LIN-001"), refused(failed, Durable, spec.NotReady, "CAS-PER-011")...)
}

// answer acknowledges a write that has taken effect.
func (s State) answer(_ Params, op Op) []Outcome {
	w := &s.Writers[op.Writer-1]
	switch stage := w.Stage; stage {
	case Created, Known:
		*w = idle
		return step(s, "Answer_"+string(stage), "CAS-PER-002", "CAS-PUT-003")
	case Deleted:
		*w = idle
		return step(s, "Answer_deleted", "CAS-PER-002", "CAS-DEL-001")
	}
	return nil
}
