package refwire

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rustyonions/micronode/spec"
)

const addressText = "b3:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

var testAddress = func() (a spec.Address) {
	for i := range a {
		a[i] = byte(i)
	}
	return a
}()

func withAddress(s string) string { return strings.ReplaceAll(s, "ADDR", addressText) }

func TestRequests(t *testing.T) {
	for text, want := range map[string]Request{
		`{"op":"put","total_len":0}`:                                 {Op: "put"},
		`{"op":"put","total_len":9007199254740991}`:                  {Op: "put", TotalLen: 1<<53 - 1},
		`{"op":"put","total_len":5,"obj":"ADDR"}`:                    {Op: "put", TotalLen: 5, Obj: testAddress, HasObj: true},
		`{"op":"get","obj":"ADDR"}`:                                  {Op: "get", Obj: testAddress, HasObj: true},
		`{"op":"get","obj":"ADDR","offset":7,"len":0}`:               {Op: "get", Obj: testAddress, HasObj: true, Offset: 7, HasLen: true},
		`{"op":"has","obj":"ADDR"}`:                                  {Op: "has", Obj: testAddress, HasObj: true},
		`{"op":"stat","obj":"ADDR"}`:                                 {Op: "stat", Obj: testAddress, HasObj: true},
		`{"op":"delete","obj":"ADDR"}`:                               {Op: "delete", Obj: testAddress, HasObj: true},
		"\n { \"total_len\" : 1 ,\t\"\\u006fp\" : \"p\\u0075t\" }\r": {Op: "put", TotalLen: 1},
	} {
		got, reason := DecodeRequest([]byte(withAddress(text)))
		if diff := cmp.Diff(want, got); reason != spec.None || diff != "" {
			t.Errorf("%s: %q (-want +got):\n%s", text, reason, diff)
		}
		if again, reason := DecodeRequest(EncodeRequest(want)); reason != spec.None || again != want {
			t.Errorf("%s: written and read back: %q %+v", EncodeRequest(want), reason, again)
		}
	}
}

// brokenJSON are ways to spoil any payload that is the JSON object `{"key":value}`.
func brokenJSON(key, value string) []string {
	member := fmt.Sprintf("%q:%s", key, value)
	return []string{
		"", " ", "null", "[]", "1", `"x"`, "{" + member, member + "}", "{" + member + "}}", "{" + member + "} 1",
		"{" + member + ",}", "{," + member + "}", "{" + member + "," + member + "}", "[{" + member + "}]",
		fmt.Sprintf(`{%q:null}`, key), fmt.Sprintf(`{%q:{}}`, key), fmt.Sprintf(`{%q:[%s]}`, key, value),
		fmt.Sprintf(`{%s:%s}`, key, value), fmt.Sprintf(`{'%s':%s}`, key, value), fmt.Sprintf(`{%q %s}`, key, value),
		"\xef\xbb\xbf{" + member + "}", "{" + member + ",\"\xff\":1}", "{" + member + `,"\ud800":1}`, "{" + member + "}\x00",
		"{" + member + `,"other":1,"\u006fther":1}`, "{/**/" + member + "}",
	}
}

// strictJSON are further ways, against readers that leave unknown keys to later versions.
func strictJSON(key, value string) []string {
	member := fmt.Sprintf("%q:%s", key, value)
	return []string{"{}", "{" + member + `,"other":1}`, fmt.Sprintf("{%q:%s}", strings.ToUpper(key), value)}
}

var badIntegers = []string{
	"-1", "-0", "1.0", "1e0", "1E2", "0.0", "01", "00", "+1", "9007199254740992", "18446744073709551616", "1e400",
	`"1"`, "true", "null", "[]", "NaN", "0x1", "1_000",
}

var badAddresses = []string{
	`""`, `"b3:"`, `"ADDR0"`, `"` + addressText[:66] + `"`, `"` + strings.ToUpper(addressText) + `"`, `"B3` + addressText[2:] + `"`,
	`" ADDR"`, `"sha:` + addressText[4:] + `"`, `"` + addressText[:66] + `g"`, "1", "null", `["ADDR"]`,
}

func malformedRequests() []string {
	bad := append(brokenJSON("op", `"put"`), strictJSON("op", `"put"`)...)
	for _, n := range badIntegers {
		bad = append(bad, `{"op":"put","total_len":`+n+`}`, `{"op":"get","obj":"ADDR","offset":`+n+`}`, `{"op":"get","obj":"ADDR","len":`+n+`}`)
	}
	for _, a := range badAddresses {
		bad = append(bad, `{"op":"put","total_len":1,"obj":`+a+`}`, `{"op":"has","obj":`+a+`}`)
	}
	return append(bad,
		`{"op":"put"}`, `{"op":"get"}`, `{"op":"has"}`, `{"op":"stat"}`, `{"op":"delete"}`, `{"total_len":1}`,
		`{"op":"PUT","total_len":1}`, `{"Op":"put","total_len":1}`, `{"op":"put","Total_len":1}`, `{"op":"list","obj":"ADDR"}`,
		`{"op":"put","total_len":1,"offset":0}`, `{"op":"put","total_len":1,"len":0}`, `{"op":"get","obj":"ADDR","total_len":1}`,
		`{"op":"has","obj":"ADDR","offset":0}`, `{"op":"stat","obj":"ADDR","len":0}`, `{"op":"delete","obj":"ADDR","total_len":0}`,
		`{"op":"","total_len":1}`, `{"op":"put ","total_len":1}`, `{"op":"put","total_len":1,"obj":null}`,
	)
}

func TestMalformedRequests(t *testing.T) {
	for _, text := range malformedRequests() {
		if got, reason := DecodeRequest([]byte(withAddress(text))); reason != spec.Malformed || got != (Request{}) {
			t.Errorf("%s: %q %+v", text, reason, got)
		}
	}
}

func dataPayload(header string, body int) []byte {
	header = withAddress(header)
	b := binary.BigEndian.AppendUint16(nil, uint16(len(header)))
	return append(append(b, header...), make([]byte, body)...)
}

func TestData(t *testing.T) {
	for _, c := range []struct {
		header string
		body   int
		want   Data
		reason spec.Reason
	}{
		{`{"offset":0,"total_len":5}`, 5, Data{TotalLen: 5}, spec.None},
		{`{"total_len":9,"obj":"ADDR","offset":4}`, 1, Data{Obj: testAddress, HasObj: true, Offset: 4, TotalLen: 9}, spec.None},
		{`{"offset":0,"total_len":1}`, spec.MaxChunk, Data{TotalLen: 1}, spec.None},
		{`{"offset":0,"total_len":5}`, 0, Data{}, spec.Malformed},
		{`{"offset":0,"total_len":1}`, spec.MaxChunk + 1, Data{}, spec.ChunkOversize},
		{`{"offset":0}`, 5, Data{}, spec.Malformed},
		{`{"total_len":5}`, 5, Data{}, spec.Malformed},
		{`{"offset":0,"total_len":5,"op":"put"}`, 5, Data{}, spec.Malformed},
		{`{"offset":0,"total_len":-5}`, spec.MaxChunk + 1, Data{}, spec.Malformed},
		{`{"offset":0,"total_len":5,"obj":"b3:"}`, 5, Data{}, spec.Malformed},
		{``, 5, Data{}, spec.Malformed},
	} {
		got, reason := DecodeData(dataPayload(c.header, c.body))
		if reason == spec.None {
			c.want.Body = make([]byte, c.body)
		}
		if diff := cmp.Diff(c.want, got); reason != c.reason || diff != "" {
			t.Errorf("%s and %d bytes: %q, want %q (-want +got):\n%s", c.header, c.body, reason, c.reason, diff)
		}
		if c.reason == spec.None {
			if again, reason := DecodeData(EncodeData(c.want)); reason != spec.None || !cmp.Equal(again, c.want) {
				t.Errorf("%s: written and read back: %q", c.header, reason)
			}
		}
	}
	whole := dataPayload(`{"offset":0,"total_len":5}`, 1)
	for n := range whole {
		if _, reason := DecodeData(whole[:n]); reason != spec.Malformed {
			t.Errorf("prefix of %d bytes: %q", n, reason)
		}
	}
}

func TestAck(t *testing.T) {
	for _, n := range []int64{0, 1, 1<<53 - 1} {
		if got, reason := DecodeAck(EncodeAck(n)); got != n || reason != spec.None {
			t.Errorf("%d: %d %q", n, got, reason)
		}
	}
	bad := append(brokenJSON("up_to", "1"), strictJSON("up_to", "1")...)
	for _, n := range badIntegers {
		bad = append(bad, `{"up_to":`+n+`}`)
	}
	for _, text := range bad {
		if _, reason := DecodeAck([]byte(text)); reason != spec.Malformed {
			t.Errorf("%s: %q", text, reason)
		}
	}
}

func TestHello(t *testing.T) {
	for text, want := range map[string]Hello{
		`{}`:                     {},
		`{"ua":"x\u00e9"}`:       {UA: "x\u00e9"},
		`{"accept_max_frame":1}`: {AcceptMaxFrame: 1},
		`{"features":["a",""]}`:  {Features: []string{"a", ""}},
		`{"future":{"deep":[1,null]},"UA":7,"ua":"y"}`:                                {UA: "y"},
		`{"ua":"` + strings.Repeat("z", spec.MaxHelloPayload-len(`{"ua":""}`)) + `"}`: {UA: strings.Repeat("z", spec.MaxHelloPayload-len(`{"ua":""}`))},
	} {
		got, reason := DecodeHello([]byte(text))
		if diff := cmp.Diff(want, got); reason != spec.None || diff != "" {
			t.Errorf("%.80s: %q (-want +got):\n%s", text, reason, diff)
		}
		if again, reason := DecodeHello(EncodeHello(want)); reason != spec.None || !cmp.Equal(again, want) {
			t.Errorf("%.80s: written and read back: %q", EncodeHello(want), reason)
		}
	}
	bad := append(brokenJSON("ua", `"x"`), `{"accept_max_frame":0}`, `{"features":["a",1]}`, `{"features":["a",null]}`,
		`{"features":"a"}`, `{"features":{}}`, `{"ua":1}`, `{"future":{"a":1,"a":2}}`,
		`{"ua":"`+strings.Repeat("z", spec.MaxHelloPayload)+`"}`)
	for _, n := range badIntegers {
		bad = append(bad, `{"accept_max_frame":`+n+`}`)
	}
	for _, text := range bad {
		if _, reason := DecodeHello([]byte(text)); reason != spec.BadHello {
			t.Errorf("%.80s: %q", text, reason)
		}
	}
}

const replyText = `{"max_frame":65536,"max_inflight":64,"flags_supported":["REQ"],"versions":[1],"transports":["tcp"],` +
	`"features":["objects"],"amnesia":true}`

func TestHelloReply(t *testing.T) {
	want := HelloReply{65536, 64, []string{"REQ"}, []int64{1}, []string{"tcp"}, []string{"objects"}, true}
	for _, text := range []string{replyText, strings.Replace(replyText, "{", `{"later":null,`, 1)} {
		if got, reason := DecodeHelloReply([]byte(text)); reason != spec.None || !cmp.Equal(got, want) {
			t.Errorf("%s: %q %+v", text, reason, got)
		}
	}
	everyKey(t, replyText, spec.BadHello, func(p []byte) spec.Reason { _, reason := DecodeHelloReply(p); return reason })
}

func TestError(t *testing.T) {
	const text = `{"reason":"quota","message":"slow down","retryable":true,"corr_id":18446744073709551615}`
	want := Error{Reason: spec.Quota, Message: "slow down", Retryable: true, Corr: 1<<64 - 1}
	if got, reason := DecodeError([]byte(text)); reason != spec.None || got != want {
		t.Errorf("%q %+v", reason, got)
	}
	want.RetryAfter = 12
	if got, reason := DecodeError([]byte(strings.Replace(text, "{", `{"retry_after_ms":12,"later":[],`, 1))); reason != spec.None || got != want {
		t.Errorf("%q %+v", reason, got)
	}
	everyKey(t, text, spec.Malformed, func(p []byte) spec.Reason { _, reason := DecodeError(p); return reason })
	if _, reason := DecodeError([]byte(strings.Replace(text, "quota", "", 1))); reason != spec.Malformed {
		t.Errorf("an ERROR without a reason: %q", reason)
	}
	if got, reason := DecodeError([]byte(strings.Replace(text, "quota", "later", 1))); reason != spec.None || got.Reason != "later" {
		t.Errorf("a reason of a later version: %q %+v", reason, got)
	}
}

func TestAnswers(t *testing.T) {
	for op, c := range map[string]struct {
		text string
		want Answer
	}{
		"put":    {`{"obj":"ADDR","created":true}`, Answer{Obj: testAddress, Created: true}},
		"get":    {`{"obj":"ADDR","size":7}`, Answer{Obj: testAddress, Size: 7}},
		"stat":   {`{"obj":"ADDR","size":8}`, Answer{Obj: testAddress, Size: 8}},
		"has":    {`{"obj":"ADDR","exists":true}`, Answer{Obj: testAddress, Exists: true}},
		"delete": {`{"obj":"ADDR","deleted":true}`, Answer{Obj: testAddress, Deleted: true}},
	} {
		text := withAddress(c.text)
		for _, text := range []string{text, strings.Replace(text, "{", `{"later":1,`, 1)} {
			if got, reason := DecodeAnswer(op, []byte(text)); reason != spec.None || got != c.want {
				t.Errorf("%s %s: %q %+v", op, text, reason, got)
			}
		}
		everyKey(t, text, spec.Malformed, func(p []byte) spec.Reason { _, reason := DecodeAnswer(op, p); return reason })
	}
}

// everyKey spoils each member of the object in turn: by another name, a null, and a value of another type.
func everyKey(t *testing.T, text string, want spec.Reason, decode func([]byte) spec.Reason) {
	t.Helper()
	for rest := text; ; {
		_, after, found := strings.Cut(rest, `":`)
		if !found {
			return
		}
		head := text[:len(text)-len(after)]
		for _, bad := range []string{
			strings.TrimSuffix(head, `":`) + `_":` + after,
			head + "null," + `"spare":` + after,
			head + `{"a":1},"spare":` + after,
			head + `-1.5,"spare":` + after,
		} {
			if reason := decode([]byte(bad)); reason != want {
				t.Errorf("%s: %q", bad, reason)
			}
		}
		rest = after
	}
}
