package vectors

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/spec"
)

func TestSessionMembers(t *testing.T) {
	frames := loadFrames(t)
	list := loadSessions(t)
	for _, v := range list {
		t.Run(v.ID, func(t *testing.T) {
			if v.Verdict != VerdictAccept && v.Verdict != VerdictRefuse {
				t.Errorf("verdict %q", v.Verdict)
			}
			if v.Verdict == VerdictRefuse {
				if twin, ok := ByID(list, v.Twin); !ok || twin.Verdict != VerdictAccept {
					t.Errorf("its twin %q is no accepted script", v.Twin)
				}
			}
			slow := false
			for i := range v.Steps {
				checkStep(t, i, &v.Steps[i], frames)
				slow = slow || v.Steps[i].NotBefore > 0
			}
			if slow != v.Slow {
				t.Errorf("slow is %v, a step waits: %v", v.Slow, slow)
			}
			checkScope(t, &v)
			checkCorrIDs(t, &v)
		})
	}
}

func checkStep(t *testing.T, i int, s *Step, frames []Frame) {
	t.Helper()
	forms := 0
	for _, set := range []bool{s.Send != nil, s.Expect != nil, s.Closed} {
		if set {
			forms++
		}
	}
	if forms != 1 || (s.Expect != nil && len(s.Expect) == 0) {
		t.Errorf("step %d: want exactly one of send, expect and closed", i)
	}
	if (s.NotBefore > 0) != (s.Within > 0) || s.NotBefore > s.Within || (s.Within > 0 && s.Send != nil) || (s.Reason != spec.None && !s.Closed) {
		t.Errorf("step %d: times %d, %d or reason %q out of place", i, s.NotBefore, s.Within, s.Reason)
	}
	for j, f := range s.Send {
		forms = 0
		for _, set := range []bool{f.Vector != "", f.Bytes != nil, f.Flags != nil} {
			if set {
				forms++
			}
		}
		if forms != 1 {
			t.Errorf("step %d, frame %d: want exactly one of vector, bytes and flags", i, j)
		}
		if f.Vector != "" {
			if v, ok := ByID(frames, f.Vector); !ok || v.Verdict != VerdictReject {
				t.Errorf("step %d, frame %d: %q is no rejected frame", i, j, f.Vector)
			}
		}
		for _, name := range f.Flags {
			if _, ok := spec.ParseFlag(name); !ok {
				t.Errorf("step %d, frame %d: flag %q", i, j, name)
			}
		}
		if n := len(f.Tenant); n != 0 && n != 16 {
			t.Errorf("step %d, frame %d: a tenant of %d bytes", i, j, n)
		}
	}
	for j := range s.Expect {
		checkExpect(t, i, j, &s.Expect[j])
	}
}

func checkExpect(t *testing.T, i, j int, e *Expect) {
	t.Helper()
	fail := func(what string) { t.Helper(); t.Errorf("step %d, expectation %d: %s", i, j, what) }
	if e.Kind != ExpectError && (e.Code != 0 || e.Reason != spec.None) {
		fail("code or reason on what is no error")
	}
	if e.Kind != ExpectData && (e.Frames != 0 || e.Body != nil || e.TotalLen != nil || e.AckEvery != 0) || e.Kind != ExpectAck && e.UpTo != 0 {
		fail("members of another kind")
	}
	switch e.Kind {
	case ExpectHello:
	case ExpectAnswer:
		if e.JSON["obj"] == nil {
			fail("an answer without obj")
		}
	case ExpectError:
		if !e.Reason.Known() || spec.Code(e.Code) != e.Reason.Code() {
			fail("reason " + string(e.Reason) + " has another code")
		}
	case ExpectData:
		if (e.Frames > 0) == (e.Body != nil) {
			fail("want exactly one of frames and body")
		}
	case ExpectAck:
		if e.UpTo < 1 {
			fail("up_to is missing")
		}
	default:
		fail("kind " + string(e.Kind))
	}
	if raw := e.JSON["obj"]; raw != nil {
		var a spec.Address
		if err := json.Unmarshal(raw, &a); err != nil {
			fail("obj: " + err.Error())
		}
	}
}

// checkScope holds the script to its verdict: an accepted one expects no refusal, a refused one expects its own first,
// and a refusal of the connection is on corr_id 0 and closes it.
func checkScope(t *testing.T, v *Session) {
	t.Helper()
	first, corr, closed := spec.None, uint64(0), false
	for _, s := range v.Steps {
		for _, e := range s.Expect {
			if e.Kind == ExpectError && (first == spec.None || e.Reason == v.Reason) {
				first, corr = e.Reason, e.CorrID
			}
		}
		if s.Closed {
			closed = true
			if first == spec.None {
				first = s.Reason
			}
		}
	}
	if first != v.Reason {
		t.Errorf("reason %q, the steps say %q", v.Reason, first)
	}
	switch v.Scope {
	case ScopeConnection:
		if corr != 0 || !closed {
			t.Errorf("scope connection: corr_id %d, closed %v", corr, closed)
		}
	case ScopeStream:
		if corr == 0 || closed {
			t.Errorf("scope stream: corr_id %d, closed %v", corr, closed)
		}
	case "":
		if v.Verdict != VerdictAccept || closed {
			t.Errorf("no scope: verdict %s, closed %v", v.Verdict, closed)
		}
	default:
		t.Errorf("scope %q", v.Scope)
	}
}

// checkCorrIDs: what is expected on a stream was asked for on it, and a script that is to be accepted opens streams in
// ascending order (OAP-SES-001).
func checkCorrIDs(t *testing.T, v *Session) {
	t.Helper()
	type stream struct {
		conn string
		corr uint64
	}
	named, top := map[stream]bool{}, map[string]uint64{}
	for i, s := range v.Steps {
		for _, f := range s.Send {
			named[stream{s.Conn, f.CorrID}] = true
			if v.Verdict == VerdictAccept && strings.Contains(strings.Join(f.Flags, " "), "START") {
				if f.CorrID <= top[s.Conn] {
					t.Errorf("step %d: START on %d behind %d", i, f.CorrID, top[s.Conn])
				}
				top[s.Conn] = f.CorrID
			}
		}
		for _, e := range s.Expect {
			if key := (stream{s.Conn, e.CorrID}); e.CorrID != 0 && !named[key] {
				t.Errorf("step %d: a frame on %d, which nobody named", i, e.CorrID)
			}
		}
	}
}
