package session

import "github.com/rustyonions/micronode/model/explore"

// invariants hold in every state.
func invariants(p Params) (all []explore.Invariant[State]) {
	add := func(name string, holds func(State) bool, rules ...string) {
		all = append(all, explore.Invariant[State]{Name: name, Rules: rules, Holds: holds})
	}
	forEach := func(name string, holds func(s State, corr int, st Stream) bool, rules ...string) {
		add(name, func(s State) bool {
			ok := true
			for i, st := range s.Streams {
				ok = ok && holds(s, i+1, st)
			}
			return ok
		}, rules...)
	}
	add("HelloFirst", func(s State) bool { return s.Phase != New || canon(s) == canon(Init(p)) }, "OAP-HEL-001")
	add("StreamLimit", func(s State) bool { return held(s) <= p.MaxStreams }, "OAP-SES-008", "OAP-SES-010")
	forEach("NothingAhead", func(s State, corr int, st Stream) bool { return corr <= s.Last || st.Mode == None }, "OAP-SES-001")
	forEach("WithinWindow", func(_ State, _ int, st Stream) bool { return !st.Acks || st.Moved-st.Acked <= p.Window },
		"OAP-CRD-001", "OAP-CRD-006")
	forEach("HonestCounts", func(_ State, _ int, st Stream) bool {
		return 0 <= st.Acked && st.Acked <= st.Moved && st.Moved <= st.Total
	}, "OAP-CRD-003", "OAP-STR-007")
	forEach("WholeRequests", func(_ State, _ int, st Stream) bool {
		if st.Req == Put {
			return !st.Ended || st.Moved == st.Total
		}
		return st.Ended || st.Moved == 0
	}, "OAP-STR-008", "OAP-OBJ-004")
	forEach("NoRequestAfterEOF", func(s State, _ int, st Stream) bool {
		return !s.EOF || st.Mode != Half && (st.Mode != Open || st.Ended)
	}, "OAP-OBJ-004", "OAP-SES-010")
	add("StaysForAnswersOnly", func(s State) bool { return !(s.EOF || s.Draining) || count(s, Open) > 0 }, "OAP-SES-016", "OAP-SES-010")
	return all
}

// changes hold on every step, from s to t, that leaves the connection open. When it closes, its streams are forgotten.
func changes() (all []explore.StepProperty[State]) {
	add := func(name string, holds func(s, t State) bool, rules ...string) {
		all = append(all, explore.StepProperty[State]{Name: name, Rules: rules, Holds: func(s State, o Outcome) bool {
			return o.To.Phase == Closed || holds(s, o.To)
		}})
	}
	forEach := func(name string, holds func(s, t Stream) bool, rules ...string) {
		add(name, func(s, t State) bool {
			ok := true
			for i := range s.Streams {
				ok = ok && holds(s.Streams[i], t.Streams[i])
			}
			return ok
		}, rules...)
	}
	add("CorrIdsGrow", func(s, t State) bool { return t.Last >= s.Last }, "OAP-SES-001")
	add("OpenedByItsStart", func(s, t State) bool {
		for i := range s.Streams {
			corr, opened := i+1, s.Streams[i].Mode == None && t.Streams[i].Mode != None
			if opened && !(s.Last < corr && t.Last == corr) {
				return false
			}
		}
		return true
	}, "OAP-SES-001", "OAP-SES-002")
	forEach("OverIsOver", func(s, t Stream) bool { return !(s.Mode == Answered || s.Mode == Over) || t == s },
		"OAP-ERR-004", "OAP-STR-009", "OAP-SES-002")
	forEach("OneLastWord", func(s, t Stream) bool { return s.Mode != Half || t == s || t == Stream{Mode: Over} },
		"OAP-ERR-004", "OAP-SES-010")
	forEach("AnswersAreWhole", func(s, t Stream) bool {
		answered := t.Mode == Answered && s.Mode != Answered
		acked := s.Req != Put || !s.Acks || s.Acked == s.Moved
		return !answered || s.Mode == Open && s.Ended && s.Moved == s.Total && acked
	}, "OAP-OBJ-004", "OAP-OBJ-008", "OAP-CRD-002")
	forEach("NothingGoesBack", func(s, t Stream) bool {
		stays, same := s.Mode == Open && t.Mode == Open, t.Req == s.Req && t.Acks == s.Acks && t.Total == s.Total
		return !stays || same && (t.Ended || !s.Ended) && t.Moved >= s.Moved && t.Acked >= s.Acked
	}, "OAP-CRD-003", "OAP-SES-005")
	add("OneAtATime", func(s, t State) bool {
		changed := 0
		for i := range s.Streams {
			if s.Streams[i] != t.Streams[i] {
				changed++
			}
		}
		return changed <= 1 || t.EOF && !s.EOF
	}, "OAP-SES-007", "OAP-SES-015")
	add("NothingNewWhenDraining", func(s, t State) bool {
		for i := range s.Streams {
			if s.Draining && s.Streams[i].Mode == None && t.Streams[i].Mode == Open {
				return false
			}
		}
		return !s.Draining || t.Draining
	}, "OAP-SES-016")
	add("ClosedForGood", func(s, t State) bool { return s.Phase != Closed && (s.Phase != Up || t.Phase == Up) },
		"OAP-FRM-012", "OAP-HEL-002")
	return all
}

// promises say what comes in the end, whatever the client does: a state that passes does not last for ever, if the step
// that ends it is taken as long as it is possible. A limit of time is a fair thing to count on, because what can put it off,
// progress by whole frames, ends with the body. Frames that are refused without a change of state do not count.
func promises(p Params) (all []explore.LeadsTo[State]) {
	passes := func(name string, state func(State) bool, by string, rules ...string) {
		all = append(all, explore.LeadsTo[State]{Name: name, Rules: rules, Fair: []string{by},
			From: state, To: func(s State) bool { return !state(s) }})
	}
	passes("GreetedOrGone", func(s State) bool { return s.Phase == New }, "HelloTimeout_bad_hello", "OAP-HEL-001")
	passes("IdleEnds", func(s State) bool { return s.Phase == Up && held(s) == 0 }, "IdleTimeout_timeout", "OAP-SES-012")
	passes("DrainingEnds", func(s State) bool { return s.Draining }, "DrainTimeout_draining", "OAP-SES-016", "RDY-DRN-003")
	passes("GoneWithItsClient", func(s State) bool { return s.EOF }, "StreamTimeout_timeout", "OAP-SES-011")
	for i := range p.MaxCorr {
		passes("StreamsEnd", func(s State) bool { return s.Streams[i].Mode == Open }, "StreamTimeout_timeout", "OAP-SES-011")
		passes("HalfClosedGo", func(s State) bool { return s.Streams[i].Mode == Half }, "HalfClosedTimeout", "OAP-SES-010")
		passes("AcksComeInTime", func(s State) bool { return Due(p, s.Streams[i]) > s.Streams[i].Acked }, "SendAck", "OAP-CRD-002")
	}
	return all
}
