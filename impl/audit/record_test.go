package audit_test

import (
	"bytes"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"pgregory.net/rapid"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/spec"
)

// wire is the record table of the law, read by a strict JSON reader that knows nothing of this package.
type wire struct {
	V       int     `json:"v"`
	I       uint64  `json:"i"`
	T       int64   `json:"t"`
	Event   string  `json:"event"`
	Reason  *string `json:"reason,omitzero"`
	Surface *string `json:"surface,omitzero"`
	Op      *string `json:"op,omitzero"`
	Peer    *string `json:"peer,omitzero"`
	CorrID  *string `json:"corr_id,omitzero"`
	KeyID   *string `json:"key_id,omitzero"`
	CapID   *string `json:"cap_id,omitzero"`
	By      *string `json:"by,omitzero"`
	Ops     *string `json:"ops,omitzero"`
	Exp     *int64  `json:"exp,omitzero"`
	From    *string `json:"from,omitzero"`
	To      *string `json:"to,omitzero"`
	N       *uint64 `json:"n,omitzero"`
}

const corrAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-"

func genCorr() *rapid.Generator[audit.CorrID] {
	return rapid.Custom(func(t *rapid.T) audit.CorrID {
		if rapid.Bool().Draw(t, "number") {
			return audit.CorrUint(rapid.Uint64().Draw(t, "corr"))
		}
		c, err := audit.CorrText(rapid.StringOfN(rapid.SampledFrom([]rune(corrAlphabet)), 1, 64, -1).Draw(t, "corr"))
		if err != nil {
			t.Fatal(err)
		}
		return c
	})
}

func genPeer() *rapid.Generator[audit.Peer] {
	return rapid.Custom(func(t *rapid.T) audit.Peer {
		switch rapid.IntRange(0, 2).Draw(t, "kind") {
		case 0:
			return audit.PeerUID(rapid.Uint32().Draw(t, "uid"))
		case 1:
			return audit.PeerAddr(netip.AddrFrom4([4]byte(rapid.SliceOfN(rapid.Byte(), 4, 4).Draw(t, "v4"))))
		}
		return audit.PeerAddr(netip.AddrFrom16([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "v6"))))
	})
}

func genRecord() *rapid.Generator[audit.Record] {
	return rapid.Custom(func(t *rapid.T) audit.Record {
		r := audit.Record{
			Time:  time.UnixMilli(rapid.Int64Range(0, 253402300799999).Draw(t, "t")).UTC(),
			Event: audit.Event(rapid.Uint8Range(1, uint8(audit.Stopping)).Draw(t, "event")),
		}
		maybe := func(what string) bool { return rapid.Bool().Draw(t, "has "+what) }
		if r.Event == audit.Denied || maybe("reason") {
			r.Reason = rapid.SampledFrom(spec.Reasons()).Draw(t, "reason")
		}
		if maybe("surface") {
			r.Surface = audit.Surface(rapid.Uint8Range(1, uint8(audit.SurfaceUnix)).Draw(t, "surface"))
		}
		if maybe("op") {
			r.Op = rapid.SampledFrom(spec.Ops()).Draw(t, "op")
		}
		if maybe("peer") {
			r.Peer = genPeer().Draw(t, "peer")
		}
		if maybe("corr") {
			r.CorrID = genCorr().Draw(t, "corr")
		}
		if r.HasKey = maybe("key"); r.HasKey {
			r.KeyID = [8]byte(rapid.SliceOfN(rapid.Byte(), 8, 8).Draw(t, "key"))
		}
		if r.HasCap = maybe("cap"); r.HasCap {
			r.CapID = [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "cap"))
		}
		if r.HasBy = maybe("by"); r.HasBy {
			r.By = [16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "by"))
		}
		if maybe("ops") {
			r.Granted = audit.OpsOf(rapid.SliceOfN(rapid.SampledFrom(spec.Ops()), 1, 19).Draw(t, "ops"))
		}
		if maybe("exp") {
			r.Expires = rapid.Int64Range(1, 1<<53-1).Draw(t, "exp")
		}
		if r.Event == audit.Readiness || maybe("states") {
			r.From = audit.State(rapid.Uint8Range(1, uint8(audit.StateStopped)).Draw(t, "from"))
			r.To = audit.State(rapid.Uint8Range(1, uint8(audit.StateStopped)).Draw(t, "to"))
		}
		if r.Event == audit.Missed || maybe("n") {
			r.N = rapid.Uint64Range(1, 1<<53-1).Draw(t, "n")
		}
		return r
	})
}

// TestRecordIsCanonical: what is written is the JSON of the table, is read back as it was, and is read in no other
// spelling (CAP-AUD-003).
func TestRecordIsCanonical(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, index := genRecord().Draw(t, "record"), rapid.Uint64Range(0, 1<<53-1).Draw(t, "index")
		line, err := audit.AppendRecord([]byte("x"), index, &r)
		if err != nil {
			t.Fatal(err)
		}
		line = line[1:]
		at, back, err := audit.ParseRecord(line)
		if err != nil || at != index || back != r {
			t.Fatalf("%s was read as %d %+v, %v", line, at, back, err)
		}
		var w wire
		if err := json.Unmarshal(line, &w, json.RejectUnknownMembers(true)); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		again, err := json.Marshal(w, json.Deterministic(true))
		if err != nil || !bytes.Equal(again, line) {
			t.Fatalf("%s: JSON writes it as %s, %v", line, again, err)
		}
		if w.V != 1 || w.I != index || w.T != r.Time.UnixMilli() || w.Event != r.Event.String() || (w.Reason == nil) != (r.Reason == "") ||
			(w.Peer == nil) != (r.Peer == audit.Peer{}) || w.N != nil && *w.N != r.N || (w.KeyID == nil) == r.HasKey {
			t.Fatalf("%s does not say %+v", line, r)
		}
		// Any other byte in any place gives something else or nothing.
		i, b := rapid.IntRange(0, len(line)-1).Draw(t, "at"), rapid.Byte().Draw(t, "byte")
		if changed := bytes.Clone(line); line[i] != b {
			changed[i] = b
			if at, other, err := audit.ParseRecord(changed); err == nil && at == index && other == r {
				t.Fatalf("%s was read as %s", changed, line)
			}
		}
	})
}

const example = `{"v":1,"i":7,"t":1795000000123,"event":"readiness","reason":"unauth","surface":"oap+tls","op":"get",` +
	`"peer":"10.1.2.0/24","corr_id":"build-42.step_7","key_id":"0102030405060708","cap_id":"000102030405060708090a0b0c0d0e0f",` +
	`"by":"f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff","ops":"get+put","exp":1795000900,"from":"ready","to":"degraded","n":3}`

// TestRecordExample fixes the bytes of one record with every member, in the order of the table (CAP-AUD-003).
func TestRecordExample(t *testing.T) {
	corr, err := audit.CorrText("build-42.step_7")
	if err != nil {
		t.Fatal(err)
	}
	r := audit.Record{
		Time: epoch, Event: audit.Readiness, Reason: spec.Unauth, Surface: audit.SurfaceOAPTLS, Op: spec.OpGet,
		Peer: audit.PeerAddr(netip.MustParseAddr("10.1.2.3")), CorrID: corr, KeyID: [8]byte{1, 2, 3, 4, 5, 6, 7, 8}, HasKey: true,
		CapID: [16]byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}, HasCap: true, From: audit.StateReady, To: audit.StateDegraded, N: 3,
		By: [16]byte{0xf0, 0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, 0xf9, 0xfa, 0xfb, 0xfc, 0xfd, 0xfe, 0xff}, HasBy: true,
		Granted: audit.OpsOf([]spec.Op{spec.OpPut, spec.OpGet}), Expires: 1795000900,
	}
	if line, err := audit.AppendRecord(nil, 7, &r); err != nil || string(line) != example {
		t.Errorf("%s, %v", line, err)
	}
}

// TestOtherSpellingsAreRefused: the same values, not written canonically (CAP-AUD-003).
func TestOtherSpellingsAreRefused(t *testing.T) {
	for _, change := range [][2]string{
		{`{"v":1`, `{ "v":1`}, {`{"v":1`, `{"v":2`}, {`"v":1,"i":7`, `"i":7,"v":1`}, {`"i":7`, `"i":07`}, {`"i":7`, `"i":+7`}, {`"i":7`, `"i":"7"`},
		{`"i":7,`, `"i":9007199254740992,`}, {`"t":1`, `"t":-1`}, {`"t":1795000000123`, `"t":1.795e12`}, {`"t":1795000000123,`, ``},
		{`"event":"readiness",`, ``}, {`"event":"readiness"`, `"event":"Readiness"`}, {`"event":"readiness"`, `"event":""`},
		{`"event":"readiness"`, `"event":"readiness","event":"readiness"`}, {`"reason":"unauth"`, `"reason":"unknown"`}, {`"reason":"unauth"`, `"reason":""`},
		{`"reason":"unauth"`, `"reason":unauth`}, {`"reason":"unauth"`, `"reason":null`}, {`"surface":"oap+tls"`, `"surface":"oap\u002btls"`},
		{`"op":"get"`, `"op":"GET"`}, {`"op":"get",`, `"op":"get", `}, {`10.1.2.0/24`, `10.1.2.3/24`}, {`10.1.2.0/24`, `10.1.2.3`},
		{`10.1.2.0/24`, `10.1.2.0/25`}, {`10.1.2.0/24`, `10.0.0.0/8`}, {`10.1.2.0/24`, `::ffff:10.1.2.0/120`}, {`10.1.2.0/24`, `2001:db8:1::/64`},
		{`10.1.2.0/24`, `2001:DB8:1::/48`}, {`10.1.2.0/24`, `uid:-1`}, {`10.1.2.0/24`, `uid:01`}, {`10.1.2.0/24`, `uid:4294967296`}, {`10.1.2.0/24`, ``},
		{`build-42`, `build+42`}, {`build-42`, strings.Repeat("x", 60)}, {`0102030405060708"`, `010203040506070"`}, {`0102030405060708"`, `010203040506070800"`},
		{`090a0b`, `090A0B`}, {`"get+put"`, `"put+get"`}, {`"get+put"`, `"get++put"`}, {`"get+put"`, `"get+steal"`}, {`"get+put"`, `""`}, {`"get+put"`, `"get+get+put"`},
		{`"exp":1795000900`, `"exp":-1`}, {`"exp":1795000900`, `"exp":0`}, {`"exp":1795000900`, `"exp":"1795000900"`}, {`f0f1`, `F0F1`}, {`"from":"ready",`, ``}, {`"to":"degraded"`, `"to":"dead"`}, {`"n":3`, `"n":0`}, {`"n":3`, `"n":9007199254740992`},
		{`"n":3`, `"n":3,"x":1`}, {`"n":3}`, `"n":3}}`}, {`"n":3}`, `"n":3`}, {`"n":3}`, `"n":3} `}, {`"n":3`, `"n":3,`}, {`"from":"ready","to":"degraded"`, `"to":"degraded","from":"ready"`},
	} {
		line := strings.Replace(example, change[0], change[1], 1)
		if line == example {
			t.Errorf("%q is not in the example", change[0])
		}
		if _, r, err := audit.ParseRecord([]byte(line)); !hasReason(err, spec.Malformed) || r != (audit.Record{}) {
			t.Errorf("%s was read as %+v, %v", line, r, err)
		}
	}
	if _, _, err := audit.ParseRecord([]byte(example)); err != nil {
		t.Error(err)
	}
	if _, _, err := audit.ParseRecord(bytes.Repeat([]byte(" "), spec.MaxAuditRecord+1)); !hasReason(err, spec.Oversize) {
		t.Errorf("too long: %v", err)
	}
	for n := range len(example) {
		if _, _, err := audit.ParseRecord([]byte(example[:n])); err == nil {
			t.Errorf("read %s", example[:n])
		}
	}
}

// TestRecordsThatAreNone: only what the law names gets into a record (CAP-AUD-004).
func TestRecordsThatAreNone(t *testing.T) {
	good := denial(1)
	l := newRig(t, 4, false)
	for what, change := range map[string]func(*audit.Record){
		"no event":         func(r *audit.Record) { r.Event = 0 },
		"an unknown event": func(r *audit.Record) { r.Event = audit.Stopping + 1 },
		"a free reason":    func(r *audit.Record) { r.Reason = "password was hunter2" },
		"no reason":        func(r *audit.Record) { r.Reason = spec.None },
		"a free op":        func(r *audit.Record) { r.Op = "GET /secret" },
		"unknown surface":  func(r *audit.Record) { r.Surface = audit.SurfaceUnix + 1 },
		"unknown state":    func(r *audit.Record) { r.From = audit.StateStopped + 1 },
		"a key by mistake": func(r *audit.Record) { r.KeyID[0] = 1 },
		"a cap by mistake": func(r *audit.Record) { r.CapID[15] = 1 },
		"before 1970":      func(r *audit.Record) { r.Time = time.UnixMilli(-1) },
		"after 9999":       func(r *audit.Record) { r.Time = time.UnixMilli(253402300800000) },
		"a huge count":     func(r *audit.Record) { r.N = 1 << 53 },
		"half a readiness": func(r *audit.Record) { r.Event, r.To = audit.Readiness, audit.StateReady },
		"missed":           func(r *audit.Record) { r.Event, r.N = audit.Missed, 1 },
	} {
		r := good
		change(&r)
		if _, err := l.Append(r); !hasReason(err, spec.Malformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if s := l.Stats(); s.Size != 0 {
		t.Errorf("%d records were written", s.Size)
	}
	for _, text := range []string{"", strings.Repeat("x", 65), "a b", "a\nb", "a\"b", "a/b", "a+b", "a=b", "ä", "a\x00", "a,b"} {
		if c, err := audit.CorrText(text); !hasReason(err, spec.Malformed) || c != (audit.CorrID{}) {
			t.Errorf("%q became a correlation id", text)
		}
	}
}

// TestRecordHasNoRoomForText: no field of a record is a string, a slice or a pointer, except the two closed sets of
// package spec (CAP-AUD-004).
func TestRecordHasNoRoomForText(t *testing.T) {
	closed := map[reflect.Type]bool{reflect.TypeFor[spec.Reason](): true, reflect.TypeFor[spec.Op](): true, reflect.TypeFor[time.Time](): true}
	var walk func(path string, typ reflect.Type, exported bool)
	walk = func(path string, typ reflect.Type, exported bool) {
		switch {
		case closed[typ]:
		case typ.Kind() == reflect.Struct:
			for i := range typ.NumField() {
				walk(path+"."+typ.Field(i).Name, typ.Field(i).Type, typ.Field(i).IsExported())
			}
		case typ.Kind() == reflect.Array:
			if n := typ.Len(); exported && n > 16 {
				t.Errorf("%s takes %d bytes from anybody", path, n)
			}
		case typ.Kind() >= reflect.Bool && typ.Kind() <= reflect.Uint64:
		default:
			t.Errorf("%s is a %v", path, typ.Kind())
		}
	}
	walk("Record", reflect.TypeFor[audit.Record](), true)
}

// TestPeerIsCut: no more of an address is kept than a network (CAP-AUD-004).
func TestPeerIsCut(t *testing.T) {
	for addr, want := range map[string]string{
		"192.0.2.199": "192.0.2.0/24", "255.255.255.255": "255.255.255.0/24", "::ffff:192.0.2.199": "192.0.2.0/24",
		"2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff": "2001:db8:aaaa::/48", "fe80::1%eth0": "fe80::/48", "::1": "::/48", "127.0.0.1": "127.0.0.0/24",
	} {
		if got := audit.PeerAddr(netip.MustParseAddr(addr)).String(); got != want {
			t.Errorf("%s is kept as %s, want %s", addr, got, want)
		}
	}
	if got := audit.PeerUID(math.MaxUint32).String(); got != "uid:4294967295" {
		t.Error(got)
	}
	if audit.PeerAddr(netip.Addr{}) != (audit.Peer{}) || (audit.Peer{}).String() != "" {
		t.Error("no address is somebody")
	}
	if audit.PeerAddr(netip.MustParseAddr("10.1.2.3")) != audit.PeerAddr(netip.MustParseAddr("10.1.2.4")) {
		t.Error("two hosts of one network differ")
	}
}

// TestLongestRecord: with every member at its longest a record is far below the limit (CAP-AUD-003).
func TestLongestRecord(t *testing.T) {
	longest := func(list []string) (s string) {
		for _, v := range list {
			if len(v) > len(s) {
				s = v
			}
		}
		return s
	}
	var reasons, ops []string
	for _, r := range spec.Reasons() {
		reasons = append(reasons, string(r))
	}
	for _, op := range spec.Ops() {
		ops = append(ops, string(op))
	}
	corr, err := audit.CorrText(strings.Repeat("x", 64))
	if err != nil {
		t.Fatal(err)
	}
	r := audit.Record{
		Time: time.UnixMilli(253402300799999), Event: audit.KeyRevoked, Reason: spec.Reason(longest(reasons)), Surface: audit.SurfaceOAPTLS,
		Op: spec.Op(longest(ops)), Peer: audit.PeerAddr(netip.MustParseAddr("ffff:ffff:ffff::")), CorrID: corr, HasKey: true, HasCap: true,
		HasBy: true, Granted: audit.OpsOf(spec.Ops()), Expires: 1<<53 - 1, From: audit.StateDegraded, To: audit.StateDegraded, N: 1<<53 - 1,
	}
	line, err := audit.AppendRecord(nil, 1<<53-1, &r)
	if err != nil || len(line) > 900 || len(line) > spec.MaxAuditRecord {
		t.Errorf("%d bytes, %v: %s", len(line), err, line)
	}
	if _, err := audit.AppendRecord(nil, 1<<53, &r); !hasReason(err, spec.Malformed) {
		t.Errorf("an index that JSON readers round: %v", err)
	}
	t.Logf("the longest record has %d bytes", len(line))
}
