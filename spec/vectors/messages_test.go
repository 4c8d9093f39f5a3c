package vectors

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/rustyonions/micronode/spec"
)

func TestMessageMembers(t *testing.T) {
	list := loadMessages(t)
	for _, v := range list {
		if v.Payload == nil {
			t.Errorf("%s: no payload", v.ID)
		}
		if (v.Fields != nil) != (v.Verdict == VerdictOK) || v.Verdict != VerdictOK && v.Verdict != VerdictReject {
			t.Errorf("%s: verdict %q, fields %v", v.ID, v.Verdict, v.Fields != nil)
		}
		switch v.Verdict {
		case VerdictOK:
			checkMessageFields(t, &v)
		case VerdictReject:
			twin, ok := ByID(list, v.Twin)
			if !ok || twin.Verdict != VerdictOK || twin.Kind != v.Kind {
				t.Errorf("%s: its twin %q is no accepted %s", v.ID, v.Twin, v.Kind)
				continue
			}
			if d := span(v.Payload, twin.Payload); d == 0 || (d > minimal && !sameButLength(&v, &twin) && v.Differs == "") {
				t.Errorf("%s: %d bytes differ from %s, `differs` says %q", v.ID, d, v.Twin, v.Differs)
			}
			if want := map[bool]spec.Reason{true: spec.BadHello, false: spec.Malformed}[v.Kind == KindHello]; v.Reason != want && v.Reason != spec.ChunkOversize {
				t.Errorf("%s: reason %q", v.ID, v.Reason)
			}
		}
	}
}

// sameButLength says whether two DATA payloads are alike when header_len, which follows from the header, is left out.
func sameButLength(a, b *Message) bool {
	return a.Kind == KindData && len(a.Payload) >= 2 && span(a.Payload[2:], b.Payload[2:]) <= minimal
}

// checkMessageFields reads an accepted payload with encoding/json, which is lax enough for everything that is accepted.
func checkMessageFields(t *testing.T, v *Message) {
	t.Helper()
	text, f := []byte(v.Payload), *v.Fields
	if v.Kind == KindData {
		n := int(binary.BigEndian.Uint16(text))
		if !bytes.Equal(text[2+n:], f.Body) || len(f.Body) == 0 {
			t.Errorf("%s: the body is not what stands behind the header", v.ID)
		}
		text, f.Body = text[2:2+n], nil
	}
	members := objectOf(t, text)
	known := map[string]any{}
	for _, key := range map[Kind][]string{KindRequest: {"op", "obj", "total_len", "offset", "len"}, KindData: {"obj", "offset", "total_len"},
		KindAck: {"up_to"}, KindHello: {"ua", "accept_max_frame", "features"}}[v.Kind] {
		if value, ok := members[key]; ok {
			known[key] = value
		}
	}
	if v.Kind != KindHello && len(known) != len(members) {
		t.Errorf("%s: a key that is not known", v.ID)
	}
	if got, want := fmt.Sprint(known), fmt.Sprint(asMap(t, &f)); got != want {
		t.Errorf("%s: the payload says %s, fields say %s", v.ID, got, want)
	}
}

// objectOf reads a JSON object and keeps its numbers as they are written.
func objectOf(t *testing.T, text []byte) (members map[string]any) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	if err := d.Decode(&members); err != nil {
		t.Errorf("%s: %v", text, err)
	}
	return members
}

// asMap is f without what is absent, by way of JSON so that values have the same types on both sides.
func asMap(t *testing.T, f *MessageFields) map[string]any {
	t.Helper()
	raw, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	all := objectOf(t, raw)
	for key, value := range all {
		if value == nil || value == "" {
			delete(all, key)
		}
	}
	return all
}
