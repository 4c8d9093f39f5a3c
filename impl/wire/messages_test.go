package wire

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/rustyonions/micronode/spec"
)

const (
	addressText = "b3:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
	otherText   = "b3:ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
)

func address(t testing.TB) spec.Address {
	t.Helper()
	a, err := spec.ParseAddress(addressText)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// long writes ADDR for the address, to keep the tables readable.
func long(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "ADDR", addressText), "OTHER", otherText)
}

// TestParseRequest is OAP-OBJ-002, OAP-OBJ-003 and OAP-OBJ-012.
func TestParseRequest(t *testing.T) {
	a := address(t)
	good := map[string]Request{
		`{"op":"put","total_len":0}`:                             {Op: OpPut},
		`{"op":"put","total_len":9007199254740991}`:              {Op: OpPut, TotalLen: 1<<53 - 1},
		`{"op":"put","total_len":5,"obj":"ADDR"}`:                {Op: OpPut, TotalLen: 5, Obj: a, HasObj: true},
		`{"total_len":5,"obj":"ADDR","op":"put"}`:                {Op: OpPut, TotalLen: 5, Obj: a, HasObj: true},
		`{"op":"get","obj":"ADDR"}`:                              {Op: OpGet, Obj: a, HasObj: true},
		`{"op":"get","obj":"ADDR","offset":7}`:                   {Op: OpGet, Obj: a, HasObj: true, Offset: 7},
		`{"op":"get","obj":"ADDR","len":0}`:                      {Op: OpGet, Obj: a, HasObj: true, HasLen: true},
		`{"op":"get","len":8,"obj":"ADDR","offset":0}`:           {Op: OpGet, Obj: a, HasObj: true, Len: 8, HasLen: true},
		`{"op":"has","obj":"ADDR"}`:                              {Op: OpHas, Obj: a, HasObj: true},
		`{"op":"stat","obj":"ADDR"}`:                             {Op: OpStat, Obj: a, HasObj: true},
		`{"op":"delete","obj":"ADDR"}`:                           {Op: OpDelete, Obj: a, HasObj: true},
		" \t\r\n{ \"op\" : \"has\" ,\n\"obj\"\t:\r\"ADDR\" } \n": {Op: OpHas, Obj: a, HasObj: true},
		`{"o\u0070":"put","total_len":5}`:                        {Op: OpPut, TotalLen: 5},
		`{"op":"p\u0075t","total\u005flen":5}`:                   {Op: OpPut, TotalLen: 5},
		`{"op":"has","obj":"\u0062` + addressText[1:] + `"}`:     {Op: OpHas, Obj: a, HasObj: true},
	}
	for in, want := range good {
		got := Request{Op: OpDelete, Len: 99}
		if r := ParseRequest([]byte(long(in)), &got); r != spec.None || got != want {
			t.Errorf("%s: reason %q, %+v, want %+v", in, r, got, want)
		}
	}
	bad := []string{
		``, ` `, `null`, `[]`, `"put"`, `7`, `{`, `}`, `{}`, `{"op"`, `{"op":`, `{"op":"put"`, `{"op":"put",`,
		`{"op":"put"}`, `{"total_len":5}`, `{"op":"put","total_len":5`, `{"op":"put","total_len":5}}`,
		`{"op":"put","total_len":5}{}`, `{"op":"put","total_len":5} x`, `{"op":"put","total_len":5,}`,
		`{,"op":"put","total_len":5}`, `{"op":"put" "total_len":5}`, `{"op","put"}`, `{"op":"put";"total_len":5}`,
		"\ufeff" + `{"op":"put","total_len":5}`, "{\"op\":\"put\",\"total_len\":5}\x00", "{\v\"op\":\"put\",\"total_len\":5}",
		`{"op":"put","total_len":5,"op":"put"}`, `{"op":"put","total_len":5,"total_len":5}`,
		`{"op":"put","o\u0070":"put","total_len":5}`, `{"op":"has","obj":"ADDR","\u006fbj":"ADDR"}`,
		`{"Op":"put","total_len":5}`, `{"op":"PUT","total_len":5}`, `{"OP":"put","total_len":5}`, `{"op":"put","total_Len":5}`,
		`{"op":"put","total_len":5,"x":1}`, `{"op":"put","total_len":5,"x":"\u0041"}`, `{"op":"put","total_len":5,"":1}`,
		`{"op":"frob","obj":"ADDR"}`, `{"op":"","obj":"ADDR"}`, `{"op":null,"obj":"ADDR"}`, `{"op":1,"obj":"ADDR"}`, `{"op":["has"],"obj":"ADDR"}`,
		`{"op":"put","total_len":-1}`, `{"op":"put","total_len":-0}`, `{"op":"put","total_len":+5}`, `{"op":"put","total_len":05}`,
		`{"op":"put","total_len":00}`, `{"op":"put","total_len":5.0}`, `{"op":"put","total_len":5e0}`, `{"op":"put","total_len":5E1}`,
		`{"op":"put","total_len":9007199254740992}`, `{"op":"put","total_len":18446744073709551616}`,
		`{"op":"put","total_len":99999999999999999999999999999999999999}`,
		`{"op":"put","total_len":"5"}`, `{"op":"put","total_len":null}`, `{"op":"put","total_len":true}`, `{"op":"put","total_len":}`,
		`{"op":"put","total_len":0x5}`, `{"op":"put","total_len":5_0}`, `{"op":"put","total_len":{}}`,
		`{"op":"put","total_len":5,"obj":null}`, `{"op":"put","total_len":5,"obj":""}`, `{"op":"put","total_len":5,"offset":0}`,
		`{"op":"put","total_len":5,"len":0}`,
		`{"op":"get"}`, `{"op":"get","obj":"ADDR","total_len":5}`, `{"op":"get","obj":"ADDR","len":null}`, `{"op":"get","obj":"ADDR","offset":-1}`,
		`{"op":"has"}`, `{"op":"has","obj":"ADDR","offset":0}`, `{"op":"has","obj":"ADDR","len":0}`, `{"op":"has","obj":"ADDR","total_len":0}`,
		`{"op":"stat"}`, `{"op":"stat","obj":"ADDR","len":0}`, `{"op":"delete"}`, `{"op":"delete","obj":"ADDR","offset":1}`,
		`{"op":"has","obj":"` + strings.ToUpper(addressText) + `"}`, `{"op":"has","obj":"` + addressText[:66] + `"}`,
		`{"op":"has","obj":"ADDR0"}`, `{"op":"has","obj":"b2` + addressText[2:] + `"}`, `{"op":"has","obj":"` + addressText[3:] + `"}`,
		`{"op":"has","obj":"` + addressText[:66] + `F"}`, `{"op":"has","obj":"` + addressText[:66] + `g"}`, `{"op":"has","obj":" ADDR"}`,
		"{\"op\":\"has\",\"obj\":\"ADDR\n\"}", "{\"op\":\"pu\tt\",\"total_len\":5}", "{\"op\":\"\xff\",\"total_len\":5}",
		`{"op":"put","total_len":5,"\ud800":1}`, `{"op":"put","total_len":5,"\x":1}`, `{"op":"\`, `{"op":"\u00`, `{"o\u0070":"put","total_len":5}}`,
		`{"o\u0070":"put","total_len":5} x`, `{"o\u0070":"put","total_len":5,}`, `{"o\u0070":"put","total_len":-0}`, `{"o\u0070":"put","total_len":5e0}`,
		`{"o\u0070":"put","total_len":null}`, `{"o\u0070":"put","total_len":"5"}`, `{"o\u0070":null,"total_len":5}`, `{"o\u0070":"put","total_len":9007199254740992}`,
		`{'op':'put','total_len':5}`, `{op:"put","total_len":5}`, `{"op":"put","total_len":5/**/}`, `{"op":"put","total_len":5}//`,
	}
	for _, in := range bad {
		got := Request{Op: OpStat, Len: 7}
		before := got
		if r := ParseRequest([]byte(long(in)), &got); r != spec.Malformed {
			t.Errorf("%q: reason %q, want malformed", in, r)
		}
		if got != before {
			t.Errorf("%q: the request was changed", in)
		}
	}
	for in, req := range good {
		back := Request{}
		if r := ParseRequest(AppendRequest(nil, &req), &back); r != spec.None || back != req {
			t.Errorf("%s: written and read back: reason %q, %+v, want %+v", in, r, back, req)
		}
	}
}

// TestOp: names and their inverse.
func TestOp(t *testing.T) {
	for op, want := range map[Op]string{0: "", OpPut: "put", OpGet: "get", OpHas: "has", OpStat: "stat", OpDelete: "delete", 6: "", 255: ""} {
		if got := op.String(); got != want {
			t.Errorf("op %d is %q, want %q", op, got, want)
		}
		if want != "" && (parseOp(want) != op || parseOp([]byte(want)) != op) {
			t.Errorf("%q is not read as %d", want, op)
		}
	}
}

// dataPayload puts a DATA payload together.
func dataPayload(header, body string) []byte {
	b := []byte{byte(len(header) >> 8), byte(len(header))}
	return append(append(b, header...), body...)
}

// TestParseData is OAP-STR-001, OAP-STR-005 and OAP-STR-006, and their order (OAP-STR-010).
func TestParseData(t *testing.T) {
	a := address(t)
	body := strings.Repeat("x", spec.MaxChunk)
	const plain = `{"offset":3,"total_len":9}`
	good := map[string]DataHeader{
		plain: {Offset: 3, TotalLen: 9},
		`{"obj":"ADDR","offset":3,"total_len":9}`:      {Obj: a, HasObj: true, Offset: 3, TotalLen: 9},
		` {"total_len":9, "offset":3,"obj":"ADDR"} `:   {Obj: a, HasObj: true, Offset: 3, TotalLen: 9},
		`{"o\u0066fset":3,"total_len":9}`:              {Offset: 3, TotalLen: 9},
		`{"obj":"ADDR","o\u0066fset":3,"total_len":9}`: {Obj: a, HasObj: true, Offset: 3, TotalLen: 9},
		`{"offset":9007199254740991,"total_len":0}`:    {Offset: 1<<53 - 1},
	}
	for in, want := range good {
		for _, body := range []string{"x", body} {
			got := DataHeader{Offset: 99, HasObj: true}
			b, r := ParseData(dataPayload(long(in), body), &got)
			if r != spec.None || got != want || string(b) != body {
				t.Errorf("%s: reason %q, %+v, body of %d bytes", in, r, got, len(b))
			}
		}
		back := DataHeader{}
		b, r := ParseData(append(AppendDataHeader([]byte("before"), &want), "body"...)[6:], &back)
		if r != spec.None || back != want || string(b) != "body" {
			t.Errorf("%s: written and read back: reason %q, %+v", in, r, back)
		}
	}
	bad := []string{
		``, `{}`, `null`, `{"offset":3}`, `{"total_len":9}`, `{"obj":"ADDR"}`, `{"offset":3,"total_len":9`, plain + `x`,
		`{"offset":3,"offset":3,"total_len":9}`, `{"offset":3,"total_len":9,"o\u0066fset":3}`, `{"offset":3,"total_len":9,"x":0}`,
		`{"offset":3,"total_len":9,"\u0078":0}`, `{"offset":null,"total_len":9}`, `{"offset":-0,"total_len":9}`, `{"offset":3.0,"total_len":9}`,
		`{"Offset":3,"total_len":9}`, `{"obj":null,"offset":3,"total_len":9}`, `{"obj":"","offset":3,"total_len":9}`, `{"offset":3,"total_len":9007199254740992}`,
	}
	check := func(name string, payload []byte, want spec.Reason) {
		t.Helper()
		got := DataHeader{Offset: 99}
		b, r := ParseData(payload, &got)
		if r != want || b != nil || got != (DataHeader{Offset: 99}) {
			t.Errorf("%s: reason %q, body of %d bytes, %+v, want %q", name, r, len(b), got, want)
		}
	}
	for _, in := range bad {
		check(in, dataPayload(long(in), "body"), spec.Malformed)
		check(in+" (oversize as well)", dataPayload(long(in), body+"x"), spec.Malformed)
	}
	check("no payload", nil, spec.Malformed)
	check("one byte", []byte{0}, spec.Malformed)
	check("no header", []byte{0, 0, 'x'}, spec.Malformed)
	check("header beyond the payload", []byte("\x00\x1b"+plain), spec.Malformed)
	check("header far beyond the payload", []byte("\xff\xff"+plain), spec.Malformed)
	check("header cut", append([]byte{0, byte(len(plain) - 1)}, plain+"body"...), spec.Malformed)
	check("empty body", dataPayload(plain, ""), spec.Malformed)
	check("body too long", dataPayload(plain, body+"x"), spec.ChunkOversize)
}

// TestParseAck is OAP-CRD-005.
func TestParseAck(t *testing.T) {
	for in, want := range map[string]int64{
		`{"up_to":0}`: 0, `{"up_to":16}`: 16, ` { "up_to" : 9007199254740991 } `: 1<<53 - 1, `{"up\u005fto":7}`: 7,
	} {
		if got, r := ParseAck([]byte(in)); r != spec.None || got != want {
			t.Errorf("%s: %d, reason %q", in, got, r)
		}
		if got, r := ParseAck(AppendAck(nil, want)); r != spec.None || got != want {
			t.Errorf("%d written and read back: %d, reason %q", want, got, r)
		}
	}
	for _, in := range []string{
		``, `{}`, `7`, `{"up_to":null}`, `{"up_to":-1}`, `{"up_to":1.5}`, `{"up_to":"1"}`, `{"up_to":1,"up_to":1}`, `{"up_to":1,"x":1}`,
		`{"up_to":1,"up\u005fto":1}`, `{"Up_to":1}`, `{"up_to":9007199254740992}`, `{"up_to":1}1`, `{"up_to":01}`, `{"\u0078":1}`, `{"up\u005fto":-0}`,
	} {
		if got, r := ParseAck([]byte(in)); r != spec.Malformed || got != 0 {
			t.Errorf("%s: %d, reason %q, want malformed", in, got, r)
		}
	}
}

// TestParseHello is OAP-HEL-003, OAP-HEL-004 and OAP-HEL-008.
func TestParseHello(t *testing.T) {
	good := map[string]Hello{
		`{}`: {},
		`{"ua":"x/1","accept_max_frame":65536,"features":["a","b"]}`: {UA: "x/1", AcceptMaxFrame: 65536, Features: []string{"a", "b"}},
		`{"features":[]}`: {Features: []string{}},
		`{"ua":""}`:       {},
		`{"later":{"deep":[1,{"x":null}]},"ua":"\u00e4","UA":7}`: {UA: "ä"},
		`{"accept_max_frame":1}`:                                 {AcceptMaxFrame: 1},
		`{"accept_max_frame":9007199254740991}`:                  {AcceptMaxFrame: 1<<53 - 1},
		`{"ua":"` + strings.Repeat("u", 4087) + `"}`:             {UA: strings.Repeat("u", 4087)},
	}
	for in, want := range good {
		var got Hello
		if r := ParseHello([]byte(in), &got); r != spec.None || !reflect.DeepEqual(got, want) {
			t.Errorf("%.60s: reason %q, %+v, want %+v", in, r, got, want)
		}
		var back Hello
		if r := ParseHello(AppendHello(nil, &want), &back); r != spec.None || !reflect.DeepEqual(back, want) {
			t.Errorf("%.60s: written and read back: reason %q, %+v", in, r, back)
		}
	}
	for _, in := range []string{
		``, `null`, `[]`, `{`, `{}{}`, `{} x`, `{"ua":1}`, `{"ua":null}`, `{"accept_max_frame":0}`, `{"accept_max_frame":-1}`, `{"accept_max_frame":-0}`,
		`{"accept_max_frame":1.0}`, `{"accept_max_frame":1e3}`, `{"accept_max_frame":"1"}`, `{"accept_max_frame":null}`,
		`{"accept_max_frame":9007199254740992}`, `{"features":null}`, `{"features":"a"}`, `{"features":[1]}`, `{"features":[null]}`, `{"features":["a"`,
		`{"features":["a",]}`, `{"ua":"a","ua":"a"}`, `{"x":1,"x":1}`, `{"x":1,"\u0078":1}`, `{"x":{"y":1,"y":2}}`, "{\"ua\":\"\xff\"}", "{\"x\":\"\xff\"}",
		`{"ua":"\ud800"}`, `{"x":01}`, `{"x":}`, `{"ua":"` + strings.Repeat("u", 4088) + `"}`, `{}` + strings.Repeat(" ", 4095),
	} {
		got := Hello{UA: "before"}
		if r := ParseHello([]byte(in), &got); r != spec.BadHello || !reflect.DeepEqual(got, Hello{UA: "before"}) {
			t.Errorf("%.60q: reason %q, %+v, want bad_hello and no change", in, r, got)
		}
	}
}

// TestParseHelloReply is OAP-HEL-007 from the client's side.
func TestParseHelloReply(t *testing.T) {
	want := HelloReply{
		MaxFrame: 65536, MaxInflight: 64, FlagsSupported: []string{"REQ", "RESP"}, Versions: []int{1, 2},
		Transports: []string{"tcp"}, Features: []string{}, Amnesia: true,
	}
	text := string(AppendHelloReply(nil, &want))
	const expect = `{"max_frame":65536,"max_inflight":64,"flags_supported":["REQ","RESP"],"versions":[1,2],` +
		`"transports":["tcp"],"features":[],"amnesia":true}`
	if text != expect {
		t.Errorf("written as %s", text)
	}
	for _, in := range []string{text, text[:len(text)-1] + `,"later":{"x":[null]}}`} {
		var got HelloReply
		if r := ParseHelloReply([]byte(in), &got); r != spec.None || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: reason %q, %+v", in, r, got)
		}
	}
	for _, cut := range []string{
		`"max_frame":65536,`, `"max_inflight":64,`, `"flags_supported":["REQ","RESP"],`, `"versions":[1,2],`, `"transports":["tcp"],`, `"features":[],`, `,"amnesia":true`,
	} {
		in := strings.Replace(text, cut, "", 1)
		if r := ParseHelloReply([]byte(in), new(HelloReply)); in == text || r != spec.BadHello {
			t.Errorf("without %s: reason %q", cut, r)
		}
	}
	for _, edit := range [][2]string{
		{"65536", "-1"}, {"64,", `"64",`}, {`["REQ"`, `[1`}, {"[1,2]", "[1,2.5]"}, {"[1,2]", `["1"]`}, {"[1,2]", "1"}, {`["tcp"]`, "null"}, {"true", "1"}, {"true", "null"},
		{"true}", `true,"max_frame":65536}`}, {"true}", `true,"amnesia":true}`}, {"true}", "true"},
	} {
		in := strings.Replace(text, edit[0], edit[1], 1)
		if r := ParseHelloReply([]byte(in), new(HelloReply)); in == text || r != spec.BadHello {
			t.Errorf("%s for %s: reason %q", edit[1], edit[0], r)
		}
	}
}

// TestError is OAP-ERR-001.
func TestError(t *testing.T) {
	tests := []struct {
		e    Error
		want string
	}{
		{Error{Reason: spec.Quota, Message: "slow down", Retryable: true, RetryAfter: 12 * time.Millisecond, Corr: 7},
			`{"reason":"quota","message":"slow down","retryable":true,"retry_after_ms":12,"corr_id":7}`},
		{Error{Reason: spec.Malformed, Message: "a \"quote\"\n"}, `{"reason":"malformed","message":"a \"quote\"\n","retryable":false,"corr_id":0}`},
		{Error{Reason: spec.Internal, Corr: 1<<64 - 1}, `{"reason":"internal","message":"","retryable":false,"corr_id":18446744073709551615}`},
	}
	for _, tc := range tests {
		text := AppendError([]byte("before"), &tc.e)
		if string(text) != "before"+tc.want {
			t.Errorf("written as %s, want %s", text, tc.want)
		}
		for _, in := range []string{tc.want, tc.want[:len(tc.want)-1] + `,"later":[{}]}`} {
			got := Error{Message: "before", RetryAfter: 5}
			if r := ParseError([]byte(in), &got); r != spec.None || got != tc.e {
				t.Errorf("%s: reason %q, %+v", in, r, got)
			}
		}
	}
	if got := string(AppendError(nil, &Error{RetryAfter: time.Microsecond})); !strings.Contains(got, `"retry_after_ms":1,`) {
		t.Errorf("a wait of less than a millisecond is written as %s", got)
	}
	if got := string(AppendError(nil, &Error{Message: "\xff"})); !strings.Contains(got, "\ufffd") {
		t.Errorf("a message that is not UTF-8 is written as %q", got)
	}
	var e Error
	in := `{"reason":"of_tomorrow","message":"","retryable":true,"retry_after_ms":9007199254740991,"corr_id":1}`
	if r := ParseError([]byte(in), &e); r != spec.None || e.Reason != "of_tomorrow" || e.RetryAfter < 200*365*24*time.Hour {
		t.Errorf("%s: reason %q, %+v", in, r, e)
	}
	for _, in := range []string{
		``, `{}`, `{"message":"","retryable":true,"corr_id":1}`, `{"reason":"","message":"","retryable":true,"corr_id":1}`,
		`{"reason":null,"message":"","retryable":true,"corr_id":1}`, `{"reason":"quota","retryable":true,"corr_id":1}`,
		`{"reason":"quota","message":"","corr_id":1}`, `{"reason":"quota","message":"","retryable":true}`,
		`{"reason":"quota","message":1,"retryable":true,"corr_id":1}`, `{"reason":"quota","message":"","retryable":"true","corr_id":1}`,
		`{"reason":"quota","message":"","retryable":true,"corr_id":-1}`, `{"reason":"quota","message":"","retryable":true,"corr_id":"1"}`,
		`{"reason":"quota","message":"","retryable":true,"corr_id":18446744073709551616}`, `{"reason":"quota","message":"","retryable":true,"corr_id":1.0}`,
		`{"reason":"quota","message":"","retryable":true,"corr_id":1,"retry_after_ms":null}`, `{"reason":"quota","message":"","retryable":true,"corr_id":1,"retry_after_ms":1.5}`,
		`{"reason":"quota","reason":"quota","message":"","retryable":true,"corr_id":1}`, `{"reason":"quota","message":"","retryable":true,"corr_id":1} 1`,
	} {
		e := Error{Corr: 5}
		if r := ParseError([]byte(in), &e); r != spec.Malformed || e != (Error{Corr: 5}) {
			t.Errorf("%s: reason %q, %+v, want malformed and no change", in, r, e)
		}
	}
}

// TestAnswer: the final answers of the objects protocol.
func TestAnswer(t *testing.T) {
	a := address(t)
	tests := []struct {
		op   Op
		a    Answer
		want string
	}{
		{OpPut, Answer{Obj: a, Created: true}, `{"obj":"ADDR","created":true}`},
		{OpPut, Answer{Obj: a}, `{"obj":"ADDR","created":false}`},
		{OpGet, Answer{Obj: a, Size: 67108864}, `{"obj":"ADDR","size":67108864}`},
		{OpStat, Answer{Obj: a}, `{"obj":"ADDR","size":0}`},
		{OpHas, Answer{Obj: a, Exists: true}, `{"obj":"ADDR","exists":true}`},
		{OpDelete, Answer{Obj: a, Deleted: true}, `{"obj":"ADDR","deleted":true}`},
	}
	for _, tc := range tests {
		want := long(tc.want)
		if got := string(AppendAnswer(nil, tc.op, &tc.a)); got != want {
			t.Errorf("%v written as %s, want %s", tc.op, got, want)
		}
		for _, in := range []string{want, want[:len(want)-1] + `,"later":1}`} {
			var got Answer
			if r := ParseAnswer([]byte(in), tc.op, &got); r != spec.None || got != tc.a {
				t.Errorf("%v %s: reason %q, %+v", tc.op, in, r, got)
			}
		}
		for op := OpPut; op <= OpDelete; op++ {
			same := op == tc.op || op == OpGet && tc.op == OpStat || op == OpStat && tc.op == OpGet
			if r := ParseAnswer([]byte(want), op, new(Answer)); (r == spec.None) != same {
				t.Errorf("an answer to %v read as one to %v: reason %q", tc.op, op, r)
			}
		}
	}
	for _, in := range []string{
		``, `{}`, `{"created":true}`, `{"obj":"ADDR"}`, `{"obj":"addr","created":true}`, `{"obj":"ADDR","created":1}`, `{"obj":"ADDR","created":null}`,
		`{"obj":"ADDR","created":true,"created":true}`, `{"obj":null,"created":true}`, `{"obj":"ADDR","created":true}x`,
	} {
		if r := ParseAnswer([]byte(long(in)), OpPut, new(Answer)); r != spec.Malformed {
			t.Errorf("%s: reason %q", in, r)
		}
	}
	if got := string(AppendGoingAway(nil)); got != `{"reason":"draining"}` {
		t.Errorf("going away is written as %s", got)
	}
}

// TestHotPathAllocs: the parsers and writers of the hot path allocate nothing.
func TestHotPathAllocs(t *testing.T) {
	a := address(t)
	req := Request{Op: OpGet, Obj: a, HasObj: true, Offset: 1, Len: 2, HasLen: true}
	data := DataHeader{Obj: a, HasObj: true, Offset: 65536, TotalLen: 1 << 26}
	answer := Answer{Obj: a, Size: 5}
	reqText := AppendRequest(nil, &req)
	bad := bytes.ReplaceAll(reqText, []byte("get"), []byte("bet"))
	payload := append(AppendDataHeader(nil, &data), "body"...)
	ack := AppendAck(nil, 32)
	var gotReq Request
	var gotData DataHeader
	buf := make([]byte, 0, 1024)
	tests := map[string]func() bool{
		"ParseRequest":          func() bool { return ParseRequest(reqText, &gotReq) == spec.None },
		"ParseRequest, refused": func() bool { return ParseRequest(bad, &gotReq) == spec.Malformed },
		"ParseData":             func() bool { _, r := ParseData(payload, &gotData); return r == spec.None },
		"ParseAck":              func() bool { n, r := ParseAck(ack); return n == 32 && r == spec.None },
		"AppendRequest":         func() bool { return len(AppendRequest(buf, &req)) > 0 },
		"AppendDataHeader":      func() bool { return len(AppendDataHeader(buf, &data)) > 0 },
		"AppendAck":             func() bool { return len(AppendAck(buf, 32)) > 0 },
		"AppendAnswer":          func() bool { return len(AppendAnswer(buf, OpStat, &answer)) > 0 },
	}
	for name, call := range tests {
		ok := true
		if n := testing.AllocsPerRun(200, func() { ok = call() && ok }); n != 0 || !ok {
			t.Errorf("%s: %v allocations, right: %v", name, n, ok)
		}
	}
}

// TestVerdictString keeps the words that reports use.
func TestVerdictString(t *testing.T) {
	if got := fmt.Sprint(More, Accept, Reject, Verdict(9)); got != "more accept reject invalid" {
		t.Error(got)
	}
}
