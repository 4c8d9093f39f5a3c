package wire

import (
	"reflect"
	"testing"

	"github.com/rustyonions/micronode/spec"
	"github.com/rustyonions/micronode/spec/vectors"
)

// FuzzMessages holds the scanner equal to the slow path on every input: same verdict, same values. Whatever is
// accepted is written and read back, and comes out as it went in.
func FuzzMessages(f *testing.F) {
	list, err := vectors.Messages()
	if err != nil {
		f.Fatal(err)
	}
	for i := range list {
		f.Add([]byte(list[i].Payload))
	}
	for _, s := range []string{
		`{"op":"get","obj":"ADDR","offset":7,"len":8}`, `{"o\u0070":"p\u0075t","total_len":5,"obj":"ADDR"}`,
		`{"obj":"ADDR","offset":3,"total_len":9}`, ` { "up_to" : 16 } `, `{"ua":"\ud83d\ude00","later":[{"x":1e9}],"features":["a"]}`,
		`{"max_frame":1,"max_inflight":2,"flags_supported":[],"versions":[1],"transports":[],"features":[],"amnesia":false}`,
		`{"reason":"quota","message":"\u0000","retryable":true,"retry_after_ms":12,"corr_id":7}`,
	} {
		f.Add([]byte(long(s)))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		fuzzRequest(t, p)
		fuzzData(t, p)
		fuzzAck(t, p)
		fuzzCold(t, p)
	})
}

func fuzzRequest(t *testing.T, p []byte) {
	var fast, slow, back Request
	r, rs := ParseRequest(p, &fast), parseRequestSlow(p, &slow)
	if r != rs || fast != slow {
		t.Errorf("request: fast %q %+v, slow %q %+v", r, fast, rs, slow)
	}
	if r == spec.None {
		if r := ParseRequest(AppendRequest(nil, &fast), &back); r != spec.None || back != fast {
			t.Errorf("request: written and read back: %q %+v, want %+v", r, back, fast)
		}
	}
}

func fuzzData(t *testing.T, p []byte) {
	var fast, slow, back DataHeader
	ok, oks := fast.parse(p), slow.parseSlow(p)
	if ok != oks || ok && fast != slow {
		t.Errorf("data: fast %v %+v, slow %v %+v", ok, fast, oks, slow)
	}
	if ok {
		body, r := ParseData(append(AppendDataHeader(nil, &fast), p...), &back)
		if r != spec.None || back != fast || string(body) != string(p) {
			t.Errorf("data: written and read back: %q %+v, want %+v", r, back, fast)
		}
	}
	ParseData(p, &back) // header_len may be anything
}

func fuzzAck(t *testing.T, p []byte) {
	fast, r := ParseAck(p)
	slow, rs := parseAckSlow(p)
	if r != rs || fast != slow {
		t.Errorf("ack: fast %q %d, slow %q %d", r, fast, rs, slow)
	}
	if r == spec.None {
		if n, r := ParseAck(AppendAck(nil, fast)); r != spec.None || n != fast {
			t.Errorf("ack: written and read back: %q %d, want %d", r, n, fast)
		}
	}
}

// fuzzCold is about the payloads that have the slow path only.
func fuzzCold(t *testing.T, p []byte) {
	var h, hBack Hello
	if ParseHello(p, &h) == spec.None {
		// What is written may be longer than what was read, but not longer than this.
		out := AppendHello(nil, &h)
		if r := ParseHello(out, &hBack); len(out) <= spec.MaxHelloPayload && (r != spec.None || !reflect.DeepEqual(h, hBack)) {
			t.Errorf("hello: written and read back: %q %+v, want %+v", r, hBack, h)
		}
	}
	var y, yBack HelloReply
	if ParseHelloReply(p, &y) == spec.None {
		if r := ParseHelloReply(AppendHelloReply(nil, &y), &yBack); r != spec.None || !reflect.DeepEqual(y, yBack) {
			t.Errorf("reply: written and read back: %q %+v, want %+v", r, yBack, y)
		}
	}
	var e, eBack Error
	if ParseError(p, &e) == spec.None {
		if r := ParseError(AppendError(nil, &e), &eBack); r != spec.None || e != eBack {
			t.Errorf("error: written and read back: %q %+v, want %+v", r, eBack, e)
		}
	}
	for op := OpPut; op <= OpDelete; op++ {
		var a, aBack Answer
		if ParseAnswer(p, op, &a) == spec.None {
			if r := ParseAnswer(AppendAnswer(nil, op, &a), op, &aBack); r != spec.None || a != aBack {
				t.Errorf("answer to %v: written and read back: %q %+v, want %+v", op, r, aBack, a)
			}
		}
	}
}
