package conformance

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
	"github.com/rustyonions/micronode/spec/vectors"
)

// vectorTables says which rules have vectors of which kind: one case for each. A test holds it to the vectors. Scripts
// that wait for a clock are cases of their own, by their id.
func vectorTables() (frames []string, messages map[vectors.Kind][]string, sessions []string, slow map[string]string) {
	frames = []string{
		"OAP-FRM-002", "OAP-FRM-003", "OAP-FRM-004", "OAP-FRM-005", "OAP-FRM-006", "OAP-FRM-007", "OAP-FRM-008", "OAP-FRM-009",
		"OAP-ZST-001", "OAP-ZST-002", "OAP-ZST-003", "OAP-ZST-004", "OAP-ZST-005", "OAP-ZST-006",
	}
	messages = map[vectors.Kind][]string{
		vectors.KindRequest: {"OAP-OBJ-002", "OAP-OBJ-003", "OAP-OBJ-012"},
		vectors.KindData:    {"OAP-OBJ-003", "OAP-OBJ-012", "OAP-STR-001", "OAP-STR-005", "OAP-STR-006", "OAP-STR-010"},
		vectors.KindAck:     {"OAP-CRD-005", "OAP-OBJ-012"},
		vectors.KindHello:   {"OAP-HEL-003", "OAP-HEL-008"},
	}
	sessions = []string{
		"OAP-CRD-002", "OAP-CRD-003", "OAP-CRD-004", "OAP-CRD-005", "OAP-CRD-006", "OAP-CRD-007", "OAP-ERR-001",
		"OAP-FRM-002", "OAP-FRM-003", "OAP-FRM-004", "OAP-FRM-005", "OAP-FRM-006", "OAP-FRM-007", "OAP-FRM-008", "OAP-FRM-012",
		"OAP-HEL-001", "OAP-HEL-002", "OAP-HEL-003", "OAP-HEL-004", "OAP-HEL-005", "OAP-HEL-006", "OAP-HEL-007", "OAP-HEL-008",
		"OAP-OBJ-001", "OAP-OBJ-002", "OAP-OBJ-003", "OAP-OBJ-004", "OAP-OBJ-005", "OAP-OBJ-006", "OAP-OBJ-007", "OAP-OBJ-008",
		"OAP-OBJ-009", "OAP-OBJ-010", "OAP-OBJ-011", "OAP-OBJ-012", "OAP-OBJ-013",
		"OAP-SES-001", "OAP-SES-002", "OAP-SES-003", "OAP-SES-004", "OAP-SES-005", "OAP-SES-006", "OAP-SES-007", "OAP-SES-008",
		"OAP-SES-010", "OAP-SES-014", "OAP-SES-017", "OAP-SES-019", "OAP-SES-020",
		"OAP-STR-001", "OAP-STR-002", "OAP-STR-003", "OAP-STR-004", "OAP-STR-005", "OAP-STR-006", "OAP-STR-007", "OAP-STR-008",
		"OAP-STR-009", "OAP-STR-010", "OAP-STR-011",
		"OAP-ZST-001", "OAP-ZST-003", "OAP-ZST-004",
	}
	slow = map[string]string{
		"hel-silent": "OAP-HEL-001", "hel-half": "OAP-HEL-001", "frl-half-frame": "OAP-SES-013", "ses-no-progress": "OAP-SES-011",
	}
	return frames, messages, sessions, slow
}

// vectorCases run the vectors of spec/vectors against the live node: every reject behind its accepted twin.
func vectorCases() []Case {
	frames, messages, sessions, slow := vectorTables()
	var cases []Case
	add := func(id, rule, what string, profile Profile, feature string, run func(*T)) {
		cases = append(cases, Case{ID: id, Rules: []string{rule}, Level: spec.Must, Feature: feature, Profile: profile, Description: what, Run: run})
	}
	for _, rule := range frames {
		add("vec-frames-"+strings.ToLower(rule), rule, "The frames of the vectors that break "+rule+" are rejected for it, each at its byte.",
			ProfileFraming, "", func(t *T) { vecFrames(t, rule) })
	}
	for _, kind := range []vectors.Kind{vectors.KindRequest, vectors.KindData, vectors.KindAck, vectors.KindHello} {
		profile, feature := ProfileObjects, FeatureObjects
		if kind == vectors.KindHello {
			profile, feature = ProfileFraming, ""
		}
		for _, rule := range messages[kind] {
			add(fmt.Sprintf("vec-%s-%s", kind, strings.ToLower(rule)), rule, fmt.Sprintf("The %s payloads of the vectors that break %s are refused for it.", kind, rule),
				profile, feature, func(t *T) { vecMessages(t, kind, rule) })
		}
	}
	for _, rule := range sessions {
		add("vec-sessions-"+strings.ToLower(rule), rule, "The scripts of the vectors about "+rule+" go as they say.",
			ProfileObjects, FeatureObjects, func(t *T) { vecSessions(t, rule) })
	}
	for _, id := range []string{"hel-silent", "hel-half", "frl-half-frame", "ses-no-progress"} {
		add("vec-script-"+id, slow[id], "The script "+id+" of the vectors goes as it says.",
			ProfileSecurity, FeatureObjects, func(t *T) { vecScript(t, id) })
		cases[len(cases)-1].Slow = true
	}
	return cases
}

// Corpus is the vectors of spec/vectors, in memory: some 40 MB, which several suites may share. It is immutable.
type Corpus struct {
	frames   []vectors.Frame
	messages []vectors.Message
	sessions []vectors.Session
}

// LoadCorpus reads the vectors.
func LoadCorpus() (*Corpus, error) {
	var c Corpus
	var errs [3]error
	c.frames, errs[0] = vectors.Frames()
	c.messages, errs[1] = vectors.Messages()
	c.sessions, errs[2] = vectors.Sessions()
	if err := errors.Join(errs[:]...); err != nil {
		return nil, fmt.Errorf("conformance: %w", err)
	}
	return &c, nil
}

func (t *T) vectors() *Corpus {
	c, err := t.s.corpus()
	if err != nil {
		t.Harnessf("%v", err)
	}
	return c
}

func vecFrames(t *T, rule string) {
	all := t.vectors().frames
	greet := func(v vectors.Frame) *Conn {
		c := t.Dial()
		if v.MaxFrame == spec.MaxFrame {
			c.Handshake()
		} else {
			c.Greet(fmt.Appendf(nil, `{"accept_max_frame":%d}`, v.MaxFrame))
		}
		return c
	}
	for _, v := range all {
		if v.Rule != rule || v.Verdict != vectors.VerdictReject {
			continue
		}
		t.Control(func() {
			twin, ok := vectors.ByID(all, v.Twin)
			if !ok {
				t.Harnessf("%s names the twin %q, which does not exist", v.ID, v.Twin)
			}
			c := greet(twin)
			c.tr.remark("vector %s, twin of %s", twin.ID, v.ID)
			c.Write(twin.Bytes)
			// What the session makes of the twin is another matter; the framing may not reject it like v. A request
			// behind it brings some answer in any case.
			c.Send(askFrame(math.MaxUint64, has(t.Absent())))
			f := c.Frame()
			e, _ := refwire.DecodeError(f.Data)
			t.Check(f.Corr != 0 || f.Code < 400 || e.Reason != v.Reason, "%s is accepted by the rules, and rejected with %s", twin.ID, e.Reason)
			c.Close()
		})
		c := greet(v)
		c.tr.remark("vector %s", v.ID)
		c.Verify(v.Bytes, v.Reason)
		c.Write(v.Bytes[:v.DecidedAt-1])
		t.Beat()
		c.Write(v.Bytes[v.DecidedAt-1 : v.DecidedAt])
		c.Rejected(v.Reason)
		c.Close()
	}
}

func vecMessages(t *T, kind vectors.Kind, rule string) {
	all := t.vectors().messages
	react := map[vectors.Kind]func(*T, vectors.Message, vectors.Message) spec.Reason{
		vectors.KindRequest: sendRequest, vectors.KindData: sendData, vectors.KindAck: sendAck, vectors.KindHello: sendHello,
	}[kind]
	for _, v := range all {
		if v.Rule != rule || v.Kind != kind || v.Verdict != vectors.VerdictReject {
			continue
		}
		twin, ok := vectors.ByID(all, v.Twin)
		if !ok || twin.Fields == nil {
			t.Harnessf("%s names the twin %q, which does not exist", v.ID, v.Twin)
		}
		if kind == vectors.KindData && *twin.Fields.TotalLen > spec.MaxObject {
			twin = largestData(all) // no put can be opened for this one
		}
		t.Control(func() {
			reason := react(t, twin, twin)
			t.Check(reason != v.Reason, "%s is accepted by the rules, and refused with %s", twin.ID, reason)
		})
		reason := react(t, v, twin)
		t.Check(reason == v.Reason, "%s (%s) is answered with %q, want %s", v.ID, v.Description, reason, v.Reason)
	}
}

// largestData is the accepted DATA with the largest total_len that a put can have.
func largestData(all []vectors.Message) (best vectors.Message) {
	for _, v := range all {
		if v.Kind == vectors.KindData && v.Verdict == vectors.VerdictOK && *v.Fields.TotalLen <= spec.MaxObject &&
			(best.Fields == nil || *v.Fields.TotalLen > *best.Fields.TotalLen) {
			best = v
		}
	}
	return best
}

// outcome takes the reaction to something on corr, behind which a fence was sent: the reason of the ERROR, or None when
// the answer to the fence came first. What a get sends in between is passed over.
func (c *Conn) outcome(corr, fence uint64) spec.Reason {
	for {
		f := c.Frame()
		switch {
		case f.Corr == fence:
			c.answered(f, fence, "has")
			return spec.None
		case f.Code >= 400:
			e, _ := refwire.DecodeError(f.Data)
			c.refused(f, corr, e.Reason)
			c.Answer(fence, "has")
			return e.Reason
		}
	}
}

// sendRequest sends the payload as that of a START without END, so that nothing is carried out.
func sendRequest(t *T, v, _ vectors.Message) spec.Reason {
	c := t.Hello()
	defer c.Close()
	c.tr.remark("vector %s", v.ID)
	corr := c.fresh()
	c.Send(startFrame(corr, 0, v.Payload))
	return c.outcome(corr, c.Ask(has(t.Absent())))
}

// sendData sends the payload as the first DATA of a put that fits the twin.
func sendData(t *T, v, twin vectors.Message) spec.Reason {
	c := t.Hello()
	defer c.Close()
	c.tr.remark("vector %s", v.ID)
	request := refwire.Request{Op: "put", TotalLen: *twin.Fields.TotalLen}
	if twin.Fields.Obj != nil {
		request.Obj, request.HasObj = *twin.Fields.Obj, true
	}
	corr := c.Begin(request, 0)
	c.Send(refwire.Frame{Flags: req, Proto: spec.ProtoObjects, Corr: corr, Payload: v.Payload})
	return c.outcome(corr, c.Ask(has(t.Absent())))
}

// sendAck sends the payload as an ACK on a get whose window is full.
func sendAck(t *T, v, _ vectors.Message) spec.Reason {
	c, data, corr := windowed(t, 70)
	defer c.Close()
	c.tr.remark("vector %s", v.ID)
	var got []byte
	for range spec.Window {
		got, _ = c.body(c.Frame(), corr, AddressOf(data), got)
	}
	c.Send(refwire.Frame{Flags: spec.FlagEvent, Code: spec.CodeAck, Proto: spec.ProtoObjects, Corr: corr, Payload: v.Payload})
	return c.outcome(corr, c.Ask(has(t.Absent())))
}

// sendHello sends the payload as that of the first frame.
func sendHello(t *T, v, _ vectors.Message) spec.Reason {
	c := t.Dial()
	defer c.Close()
	c.tr.remark("vector %s", v.ID)
	c.Send(helloFrame(v.Payload))
	f := c.Frame()
	if f.Code < 400 {
		return spec.None
	}
	e, _ := refwire.DecodeError(f.Data)
	c.refused(f, 0, e.Reason)
	c.Closed()
	return e.Reason
}

func vecSessions(t *T, rule string) {
	for _, v := range t.vectors().sessions {
		if v.Rule == rule && !v.Slow {
			playWithTwin(t, v)
		}
	}
}

func vecScript(t *T, id string) {
	v, ok := vectors.ByID(t.vectors().sessions, id)
	if !ok {
		t.Harnessf("there is no script %q", id)
	}
	playWithTwin(t, v)
}

// playWithTwin plays v behind its twin; a script without one is its own subject, behind a plain round trip.
func playWithTwin(t *T, v vectors.Session) {
	all := t.vectors()
	if v.ID == "obj-empty" || v.Twin == "obj-empty" {
		t.Exclusive("the empty object")
	}
	t.Control(func() {
		if v.Twin == "" {
			t.Hello().Fence()
			return
		}
		twin, ok := vectors.ByID(all.sessions, v.Twin)
		if !ok {
			t.Harnessf("%s names the twin %q, which does not exist", v.ID, v.Twin)
		}
		t.play(twin, all.frames)
	})
	t.play(v, all.frames)
}
