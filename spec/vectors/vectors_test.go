package vectors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rustyonions/micronode/spec"
)

// minimal is how many bytes a reject may differ from its twin without a word in `differs`.
const minimal = 16

var idForm = regexp.MustCompile(`^(frm|ord|zst|req|data|ack|hello|hel|frl|ses|str|crd|obj|err)(-[a-z0-9]+)+$`)

// framesOnce expands the frames once for all tests, which only read them.
var framesOnce = sync.OnceValues(Frames)

func loadFrames(t *testing.T) []Frame {
	t.Helper()
	list, err := framesOnce()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func loadMessages(t *testing.T) []Message {
	t.Helper()
	list, err := Messages()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func loadSessions(t *testing.T) []Session {
	t.Helper()
	list, err := Sessions()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// head is what all three kinds of vectors have in common.
type head struct {
	id, rule, description, twin string
	reason                      spec.Reason
	negative                    bool
}

func heads(t *testing.T) (frames, messages, sessions []head) {
	t.Helper()
	for _, v := range loadFrames(t) {
		frames = append(frames, head{v.ID, v.Rule, v.Description, v.Twin, v.Reason, v.Verdict == VerdictReject})
	}
	for _, v := range loadMessages(t) {
		messages = append(messages, head{v.ID, v.Rule, v.Description, v.Twin, v.Reason, v.Verdict == VerdictReject})
	}
	for _, v := range loadSessions(t) {
		sessions = append(sessions, head{v.ID, v.Rule, v.Description, v.Twin, v.Reason, v.Verdict == VerdictRefuse})
	}
	return frames, messages, sessions
}

func TestCounts(t *testing.T) {
	frames, messages, sessions := heads(t)
	for _, c := range []struct {
		name string
		list []head
		min  int
	}{{"frames", frames, 80}, {"messages", messages, 60}, {"sessions", sessions, 25}} {
		negative := 0
		for _, v := range c.list {
			if v.negative {
				negative++
			}
		}
		if len(c.list) < c.min || 3*negative < 2*len(c.list) {
			t.Errorf("%s: %d vectors, %d of them negative; want at least %d and two thirds", c.name, len(c.list), negative, c.min)
		}
	}
}

func TestHeads(t *testing.T) {
	law, err := spec.Load()
	if err != nil {
		t.Fatal(err)
	}
	frames, messages, sessions := heads(t)
	seen := map[string]bool{}
	for _, v := range slices.Concat(frames, messages, sessions) {
		if !idForm.MatchString(v.id) || seen[v.id] {
			t.Errorf("id %q: wrong form or twice", v.id)
		}
		seen[v.id] = true
		if v.description == "" || !strings.HasSuffix(v.description, ".") {
			t.Errorf("%s: description %q is no sentence", v.id, v.description)
		}
		rule, ok := law.Rule(v.rule)
		if !ok {
			t.Errorf("%s: the law has no rule %q", v.id, v.rule)
		}
		if (v.reason != spec.None) != v.negative || (v.twin != "") != v.negative {
			t.Errorf("%s: reason %q and twin %q, negative is %v", v.id, v.reason, v.twin, v.negative)
		}
		if v.negative && !v.reason.Known() {
			t.Errorf("%s: unknown reason %q", v.id, v.reason)
		}
		if v.negative && rule.Reason != spec.None && rule.Reason != v.reason {
			t.Errorf("%s: reason %q, but %s says %q", v.id, v.reason, v.rule, rule.Reason)
		}
	}
}

// notShown are the rules of OAP/1 that no vector shows, and why none can.
var notShown = map[string]string{
	"OAP-FRM-011": "is about memory",
	"OAP-FRM-013": "is about writing; every accepted frame of frames.json is a case of it",
	"OAP-SES-009": "needs more connections than a script has",
	"OAP-SES-012": "would take a minute of silence",
	"OAP-SES-015": "every script of scope stream shows a part of it",
	"OAP-SES-016": "needs a signal to the node",
	"OAP-SES-018": "needs a client that stops reading",
	"OAP-SES-021": "a script has no step that closes one side; every driver ends with it",
	"OAP-CRD-001": "a node that sends the ACKs it must can not be overrun",
	"OAP-ERR-002": "every expected error carries reason and code",
	"OAP-ERR-003": "is a standing check of the driver",
	"OAP-ERR-004": "is a standing check of the driver: a frame that is not expected fails",
}

func TestEveryRuleIsShown(t *testing.T) {
	law, err := spec.Load()
	if err != nil {
		t.Fatal(err)
	}
	frames, messages, sessions := heads(t)
	good, bad := map[string]bool{}, map[string]bool{}
	for _, v := range slices.Concat(frames, messages, sessions) {
		if v.negative {
			bad[v.rule] = true
		} else {
			good[v.rule] = true
		}
	}
	for _, r := range law.Rules() {
		if r.Area != "OAP" {
			continue
		}
		shown := good[r.ID] || bad[r.ID]
		if why := notShown[r.ID]; shown == (why != "") {
			t.Errorf("%s: shown by a vector is %v, listed as not shown is %v", r.ID, shown, why != "")
		}
		// A rule with a reason has a way to be broken.
		if r.Reason != spec.None && shown && !bad[r.ID] {
			t.Errorf("%s: no vector breaks it", r.ID)
		}
	}
	for id := range notShown {
		if _, ok := law.Rule(id); !ok {
			t.Errorf("notShown names %s, which the law does not have", id)
		}
	}
	for _, id := range []string{"OAP-FRM-002", "OAP-FRM-003", "OAP-FRM-005", "OAP-FRM-006", "OAP-FRM-007", "OAP-FRM-008",
		"OAP-ZST-001", "OAP-ZST-002", "OAP-ZST-003", "OAP-ZST-004", "OAP-ZST-005"} {
		if !good[id] || !bad[id] {
			t.Errorf("%s: good side %v, bad side %v", id, good[id], bad[id])
		}
	}
}

func TestFrameMembers(t *testing.T) {
	for _, v := range loadFrames(t) {
		t.Run(v.ID, func(t *testing.T) {
			b := v.Bytes
			if b == nil {
				t.Fatal("no bytes")
			}
			if v.MaxFrame < spec.MinMaxFrame || v.MaxFrame > spec.MaxFrame {
				t.Errorf("max_frame %d", v.MaxFrame)
			}
			if (v.Fields != nil) != (v.Verdict == VerdictFrame) {
				t.Errorf("verdict %s, fields %v", v.Verdict, v.Fields != nil)
			}
			var flags []string
			if len(b) >= spec.HeaderLen {
				flags = spec.Flags(binary.BigEndian.Uint16(b[6:])).Names()
			}
			if !slices.Equal(v.Flags, flags) {
				t.Errorf("flags %v, the bytes say %v", v.Flags, flags)
			}
			switch v.Verdict {
			case VerdictFrame:
				checkFields(t, &v)
			case VerdictReject:
				checkDecidedAt(t, &v)
			case VerdictMore:
				if len(b) >= spec.HeaderLen && len(b) >= int(binary.BigEndian.Uint32(b)) {
					t.Error("the frame is complete")
				}
			default:
				t.Errorf("verdict %q", v.Verdict)
			}
		})
	}
}

// checkFields reads the header with encoding/binary and compares it with what the vector says.
func checkFields(t *testing.T, v *Frame) {
	t.Helper()
	b, f := v.Bytes, v.Fields
	if len(b) < spec.HeaderLen {
		t.Fatalf("an accepted frame of %d bytes", len(b))
	}
	be := binary.BigEndian
	got := fmt.Sprint(be.Uint32(b), be.Uint16(b[4:]), spec.Flags(be.Uint16(b[6:])).Names(), be.Uint16(b[8:]), be.Uint16(b[10:]),
		[]byte(b[12:28]), be.Uint16(b[28:]), be.Uint64(b[30:]))
	want := fmt.Sprint(f.Len, f.Ver, f.Flags, f.Code, f.Proto, []byte(f.Tenant), f.CapLen, f.CorrID)
	if got != want {
		t.Errorf("fields say %s, the bytes say %s", want, got)
	}
	if int(f.Len) != len(b) || f.Len > v.MaxFrame || int(f.CapLen) != len(f.Cap) {
		t.Errorf("len %d, cap_len %d: have %d bytes and a cap of %d", f.Len, f.CapLen, len(b), len(f.Cap))
	}
	if !bytes.Equal(b[spec.HeaderLen:], slices.Concat(f.Cap, f.Payload)) {
		t.Error("cap and payload are not what stands behind the header")
	}
	comp := slices.Contains(f.Flags, "COMP")
	if comp != (f.Decoded != nil) {
		t.Errorf("COMP is %v, decoded is there: %v", comp, f.Decoded != nil)
	}
	if limit := min(spec.MaxRatio*max(spec.RatioFloor, len(f.Payload)), spec.MaxDecoded); len(f.Decoded) > limit {
		t.Errorf("decoded size %d is above the cap of %d", len(f.Decoded), limit)
	}
}

// checkDecidedAt holds decided_at to the rule: 4 bytes for the length, 38 for the rest of the header, the whole frame
// for what is compressed.
func checkDecidedAt(t *testing.T, v *Frame) {
	t.Helper()
	var want int
	switch {
	case v.Rule == "OAP-FRM-002", v.Rule == "OAP-FRM-003":
		want = 4
	case v.Rule == "OAP-FRM-009" && (v.Reason == spec.Malformed || v.Reason == spec.Oversize):
		want = 4
	case strings.HasPrefix(v.Rule, "OAP-FRM-"):
		want = spec.HeaderLen
	default:
		want = int(binary.BigEndian.Uint32(v.Bytes))
		if want != len(v.Bytes) {
			t.Errorf("len %d of %d bytes", want, len(v.Bytes))
		}
	}
	if v.DecidedAt != want || len(v.Bytes) < want {
		t.Errorf("decided_at %d of %d bytes, want %d", v.DecidedAt, len(v.Bytes), want)
	}
}

func TestFrameTwins(t *testing.T) {
	list := loadFrames(t)
	for _, v := range list {
		if v.Verdict != VerdictReject {
			continue
		}
		twin, ok := ByID(list, v.Twin)
		if !ok || twin.Verdict != VerdictFrame {
			t.Errorf("%s: its twin %q is no accepted vector", v.ID, v.Twin)
			continue
		}
		if v.MaxFrame == twin.MaxFrame && bytes.Equal(v.Bytes, twin.Bytes) {
			t.Errorf("%s is its twin", v.ID)
		}
		if d := frameDistance(v.Bytes, twin.Bytes); (d > minimal || v.MaxFrame != twin.MaxFrame) && v.Differs == "" {
			t.Errorf("%s: %d bytes differ from %s, and `differs` says nothing", v.ID, d, v.Twin)
		}
	}
}

// TestFramesAreDistinct: a second vector with the same input shows nothing.
func TestFramesAreDistinct(t *testing.T) {
	seen := map[string]string{}
	for _, v := range loadFrames(t) {
		key := fmt.Sprint(v.MaxFrame, " ", string(v.Bytes))
		if other := seen[key]; other != "" {
			t.Errorf("%s and %s have the same input", v.ID, other)
		}
		seen[key] = v.ID
	}
}

// frameDistance counts the bytes of the header that differ, and adds the span behind the header.
func frameDistance(a, b []byte) int {
	n := min(len(a), len(b), spec.HeaderLen)
	d := 0
	for i := range n {
		if a[i] != b[i] {
			d++
		}
	}
	return d + span(a[n:], b[n:])
}

// span is the size of what is left of the longer one without the common beginning and end.
func span(a, b []byte) int {
	for len(a) > 0 && len(b) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && len(b) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	return max(len(a), len(b))
}

// TestFrameEdges asks for the edges by their bytes, so that none can be lost unnoticed.
func TestFrameEdges(t *testing.T) {
	type edge struct {
		verdict Verdict
		reason  spec.Reason
	}
	have := map[string][]edge{}
	note := func(key string, v *Frame) { have[key] = append(have[key], edge{v.Verdict, v.Reason}) }
	for _, v := range loadFrames(t) {
		if len(v.Bytes) < spec.HeaderLen || v.Verdict == VerdictMore || v.Rule == "OAP-FRM-009" {
			continue
		}
		be := binary.BigEndian
		size, ver, flags, capLen := be.Uint32(v.Bytes), be.Uint16(v.Bytes[4:]), be.Uint16(v.Bytes[6:]), be.Uint16(v.Bytes[28:])
		note(fmt.Sprintf("len %d of %d", size, v.MaxFrame), &v)
		note(fmt.Sprintf("ver %d", ver), &v)
		note(fmt.Sprintf("flags %04x", flags), &v)
		note(fmt.Sprintf("cap_len len-38%+d", int64(capLen)-int64(size)+38), &v)
		if v.Fields != nil && v.Fields.Decoded != nil {
			note(fmt.Sprintf("decoded %d of %d", len(v.Fields.Decoded), len(v.Fields.Payload)), &v)
		}
	}
	frame := edge{VerdictFrame, spec.None}
	want := map[string]edge{
		"len 0 of 1048576": {VerdictReject, spec.Malformed}, "len 37 of 1048576": {VerdictReject, spec.Malformed},
		"len 1048576 of 1048576": frame, "len 1048577 of 1048576": {VerdictReject, spec.Oversize},
		"len 4096 of 4096": frame, "len 4097 of 4096": {VerdictReject, spec.Oversize},
		"len 4294967295 of 1048576": {VerdictReject, spec.Oversize},
		"ver 0":                     {VerdictReject, spec.BadVersion}, "ver 2": {VerdictReject, spec.BadVersion}, "ver 256": {VerdictReject, spec.BadVersion},
		"flags 0000": {VerdictReject, spec.BadFlags}, "flags 0003": {VerdictReject, spec.BadFlags}, "flags 0005": {VerdictReject, spec.BadFlags},
		"flags 0006": {VerdictReject, spec.BadFlags}, "flags 0007": {VerdictReject, spec.BadFlags},
		"cap_len len-38+1":    {VerdictReject, spec.CapOutOfBounds},
		"decoded 10240 of 10": frame, "decoded 8388608 of 917759": frame,
	}
	for bit := 8; bit < 16; bit++ {
		want[fmt.Sprintf("flags %04x", 1<<bit|1)] = edge{VerdictReject, spec.BadFlags}
	}
	for key, e := range want {
		if !slices.Contains(have[key], e) {
			t.Errorf("%s: have %v, want %v", key, have[key], e)
		}
	}
}

// TestFiles: the files are JSON that every reader reads alike: no member twice in one object, nothing behind the end.
func TestFiles(t *testing.T) {
	for _, name := range []string{"frames.json", "messages.json", "sessions.json"} {
		raw, err := files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := uniqueKeys(raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for text, wantErr := range map[string]bool{`{"a":{"b":1},"c":[{"b":2},{"b":3}]}`: false, `{"a":{"b":1,"b":1}}`: true, `{} {}`: true, `[`: true} {
		if err := uniqueKeys([]byte(text)); (err != nil) != wantErr {
			t.Errorf("%s: error %v", text, err)
		}
	}
}

func uniqueKeys(raw []byte) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := uniqueValue(d); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("data behind the value")
	}
	return nil
}

func uniqueValue(d *json.Decoder) error {
	tok, err := d.Token()
	if err != nil {
		return err
	}
	delim, ok := tok.(json.Delim)
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for d.More() {
		if delim == '{' {
			key, err := d.Token()
			if err != nil {
				return err
			}
			if s := key.(string); seen[s] {
				return fmt.Errorf("member %q twice at byte %d", s, d.InputOffset())
			} else {
				seen[s] = true
			}
		}
		if err := uniqueValue(d); err != nil {
			return err
		}
	}
	_, err = d.Token()
	return err
}

func TestBytes(t *testing.T) {
	for text, want := range map[string]string{
		`""`: "", `"00 ff 6162"`: "\x00\xffab", `[]`: "", `[{"hex":"61"},{"text":"é","repeat":2},{"hex":"6 2","repeat":1}]`: "aééb", `[{"hex":"","repeat":9}]`: "",
	} {
		var b Bytes
		if err := json.Unmarshal([]byte(text), &b); err != nil || b == nil || string(b) != want {
			t.Errorf("%s: %q, %v; want %q", text, b, err, want)
		}
	}
	for _, text := range []string{`null`, `7`, `{"hex":"00"}`, `"0"`, `"0g"`, `"\n00"`, `[{}]`, `[{"hex":"00","text":"a"}]`, `[{"repeat":2}]`, `["00"]`,
		`[{"hex":"00","repeat":0}]`, `[{"hex":"00","repeat":-1}]`, `[{"hex":"00","times":2}]`, `[{"hex":"00","repeat":16777217}]`,
		`[{"hex":"00","repeat":16777216},{"hex":"00"}]`, `[{"hex":"0000","repeat":9223372036854775807}]`} {
		var b Bytes
		if err := b.UnmarshalJSON([]byte(text)); err == nil {
			t.Errorf("%s: accepted as %d bytes", text, len(b))
		}
	}
}

func TestByID(t *testing.T) {
	list := loadSessions(t)
	for _, want := range list {
		if got, ok := ByID(list, want.ID); !ok || got.Description != want.Description {
			t.Errorf("%s: found %q, %v", want.ID, got.ID, ok)
		}
	}
	if v, ok := ByID(list, "no-such-id"); ok || v.ID != "" {
		t.Errorf("found %q", v.ID)
	}
}
