package session

import (
	"bytes"
	"testing"
	"time"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// start is a START of any protocol, with a capability.
func startWith(corr uint64, proto spec.Proto, flags spec.Flags, capability, payload string) refwire.Frame {
	f := refwire.Frame{Flags: spec.FlagReq | spec.FlagStart | flags, Proto: proto, Corr: corr, Cap: []byte(capability), Payload: []byte(payload)}
	f.Seal()
	return f
}

// CAP-ROL-003, ADM-ORD-004: a START is authorized with the bytes of its capability, after it was read and before
// anything comes of it; what the shell kept for it stays until Closed.
func TestAuthorize(t *testing.T) {
	h := newHost()
	asked := 0
	h.auth = func(st *Stream, capability []byte) (spec.Reason, time.Duration) {
		asked++
		if st.Proto() != spec.ProtoObjects || st.Tenant() != [16]byte{} || st.Host != nil {
			t.Errorf("asked about %v of %x, host %v", st.Proto(), st.Tenant(), st.Host)
		}
		switch string(capability) {
		case "good":
			st.Grant = "granted"
			return spec.None, 0
		case "weak":
			return spec.Forbidden, 0
		case "busy":
			return spec.Quota, 700 * time.Millisecond
		}
		return spec.Unauth, 0
	}
	r := connected(t, h)
	obj := h.put([]byte("abc"))
	get := `{"op":"get","obj":"` + obj.String() + `"}`
	put := `{"op":"put","total_len":3}`
	for i, c := range []struct {
		capability, payload string
		flags               spec.Flags
		reason              spec.Reason
		asked               int
	}{
		{"good", get, spec.FlagEnd, spec.None, 1},
		{"", get, spec.FlagEnd, spec.Unauth, 1},
		{"bad", put, 0, spec.Unauth, 1},
		{"weak", put, 0, spec.Forbidden, 1},
		{"busy", get, spec.FlagEnd, spec.Quota, 1},
		{"bad", `{"op":"steal"}`, spec.FlagEnd, spec.Malformed, 0}, // OAP-SES-020
	} {
		asked = 0
		corr := uint64(i + 1)
		r.frame(startWith(corr, spec.ProtoObjects, c.flags, c.capability, c.payload))
		if asked != c.asked {
			t.Errorf("%q: asked %d times, want %d", c.capability, asked, c.asked)
		}
		e := r.entries[corr]
		if c.reason == spec.None {
			if e.dropped && !e.ran {
				t.Errorf("%q was dropped", c.capability)
			}
			continue
		}
		if e.opened || e.ran {
			t.Errorf("%q: refused by %s, and opened %v, ran %v", c.capability, c.reason, e.opened, e.ran)
		}
		if got := r.refusals[len(r.refusals)-1]; got != c.reason {
			t.Errorf("%q: %s, want %s", c.capability, got, c.reason)
		}
	}
	if h.inflight != 0 { // what is half-closed is not in flight (OAP-SES-009)
		t.Errorf("%d in flight", h.inflight)
	}
	r.finish()
}

// CAP-ISS-001: the text of a passport request is handed on as it came, and bounded before anybody reads it.
func TestPassportStart(t *testing.T) {
	h := newHost()
	var docs [][]byte
	h.auth = func(st *Stream, _ []byte) (spec.Reason, time.Duration) {
		docs = append(docs, bytes.Clone(st.Doc))
		return spec.Unauth, 0 // the host of these tests has no passport
	}
	r := connected(t, h)
	long := string(bytes.Repeat([]byte(" "), spec.MaxPassport-1))
	r.frame(startWith(1, spec.ProtoPassport, spec.FlagEnd, "x", `{"op":"rotate"}`))
	r.frame(startWith(2, spec.ProtoPassport, spec.FlagEnd, "x", "{"+long))
	r.frame(startWith(3, spec.ProtoPassport, spec.FlagEnd, "x", "{ "+long))
	r.frame(startWith(4, spec.ProtoPassport, spec.FlagEnd|spec.FlagAppE2E, "x", "{}"))
	if len(docs) != 2 || string(docs[0]) != `{"op":"rotate"}` || len(docs[1]) != spec.MaxPassport {
		t.Errorf("%d texts", len(docs))
	}
	if n := len(r.refusals); n != 4 || r.refusals[2] != spec.Malformed || r.refusals[3] != spec.Unsupported {
		t.Errorf("refused by %v", r.refusals)
	}
	r.finish()
}

// connected is a connection that has said HELLO.
func connected(t *testing.T, h *host) *rig {
	r := newRig(t, h, epoch)
	hello := refwire.Frame{Flags: spec.FlagReq, Payload: []byte("{}")}
	hello.Seal()
	r.frame(hello)
	return r
}
