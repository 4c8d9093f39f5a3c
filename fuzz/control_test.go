package fuzz

import (
	"bytes"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
	"github.com/rustyonions/micronode/spec/vectors"
)

const replyText = `{"max_frame":65536,"max_inflight":64,"flags_supported":["REQ"],"versions":[1],"transports":["tcp"],` +
	`"features":["objects"],"amnesia":true}`

// FuzzHello reads each input as a HELLO request and as the answer to one.
func FuzzHello(f *testing.F) {
	add := func(p []byte, c uint8) { f.Add(p, c) }
	seedMessages(f, vectors.KindHello, add)
	seedJSON(f, add, `{}`, `{"ua":"x/1","accept_max_frame":65536,"features":["objects",""]}`, replyText)
	for _, m := range [][]byte{
		members("ua", `""`, "accept_max_frame", "4096", "features", `["a","b"]`), members("later", `{"a":1,"a":2}`),
		members("max_frame", "65536", "max_inflight", "1", "flags_supported", `["a","b"]`, "versions", `[1,2]`, "transports", "[]", "features", "[]", "amnesia", "true"),
	} {
		for c := uint8(2); c < 12; c += 4 {
			f.Add(m, c)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, c uint8) {
		p := jsonOf(data, c)
		if c/4%3 > 0 { // up to the limit of OAP-HEL-003, and one byte above
			p = append(p[:len(p):len(p)], bytes.Repeat([]byte(" "), max(0, spec.MaxHelloPayload-2+int(c/4%3)-len(p)))...)
		}
		helloRequest(t, p)
		helloReply(t, p)
	})
}

func helloRequest(t *testing.T, p []byte) {

	got := wire.Hello{UA: "before", AcceptMaxFrame: 99}
	reason := wire.ParseHello(p, &got)
	want, wantReason := refwire.DecodeHello(p)
	sameReason(t, p, reason, wantReason)
	if reason != spec.None {
		if got.UA != "before" || got.AcceptMaxFrame != 99 || got.Features != nil {
			t.Fatalf("%q: rejected, and changed the HELLO to %+v", p, got)
		}
		return
	}
	same := func(h refwire.Hello) bool {
		return h.UA == want.UA && h.AcceptMaxFrame == want.AcceptMaxFrame && slices.Equal(h.Features, want.Features)
	}
	if !same(refwire.Hello(got)) {
		t.Fatalf("%q: %+v; the reference reads %+v", p, got, want)
	}
	written := wire.AppendHello(nil, &got)
	again, reason := refwire.DecodeHello(written)
	if len(written) <= spec.MaxHelloPayload && (reason != spec.None || !same(again)) {
		t.Fatalf("%q was written as %q: %q %+v", p, written, reason, again)
	}
}

func helloReply(t *testing.T, p []byte) {

	got := wire.HelloReply{MaxFrame: 99}
	reason := wire.ParseHelloReply(p, &got)
	want, wantReason := refwire.DecodeHelloReply(p)
	sameReason(t, p, reason, wantReason)
	if reason != spec.None {
		if got.MaxFrame != 99 || got.Versions != nil || got.Features != nil {
			t.Fatalf("%q: rejected, and changed the answer to %+v", p, got)
		}
		return
	}
	same := func(r refwire.HelloReply) bool {
		return r.MaxFrame == want.MaxFrame && r.MaxInflight == want.MaxInflight && r.Amnesia == want.Amnesia &&
			slices.Equal(r.FlagsSupported, want.FlagsSupported) && slices.Equal(r.Versions, want.Versions) &&
			slices.Equal(r.Transports, want.Transports) && slices.Equal(r.Features, want.Features)
	}
	versions := make([]int64, len(got.Versions))
	for i, v := range got.Versions {
		versions[i] = int64(v)
	}
	if !same(refwire.HelloReply{MaxFrame: got.MaxFrame, MaxInflight: got.MaxInflight, FlagsSupported: got.FlagsSupported,
		Versions: versions, Transports: got.Transports, Features: got.Features, Amnesia: got.Amnesia}) {
		t.Fatalf("%q: %+v; the reference reads %+v", p, got, want)
	}
	written := wire.AppendHelloReply(nil, &got)
	if again, reason := refwire.DecodeHelloReply(written); reason != spec.None || !same(again) {
		t.Fatalf("%q was written as %q: %q %+v", p, written, reason, again)
	}
}

func FuzzErrorFrame(f *testing.F) {
	seedJSON(f, func(p []byte, c uint8) { f.Add(p, c) },
		`{"reason":"quota","message":"slow down","retryable":true,"retry_after_ms":12,"corr_id":7}`,
		`{"reason":"malformed","message":"","retryable":false,"corr_id":18446744073709551615}`)
	for _, n := range []string{"0", "9223372036854", "9223372036855", "9007199254740991"} {
		f.Add(members("reason", `"quota"`, "message", `""`, "retryable", "true", "retry_after_ms", n, "corr_id", "1"), uint8(2))
	}
	f.Fuzz(func(t *testing.T, data []byte, c uint8) {
		p := jsonOf(data, c)
		got := wire.Error{Corr: 99}
		before := got
		reason := wire.ParseError(p, &got)
		want, wantReason := refwire.DecodeError(p)
		sameReason(t, p, reason, wantReason)
		if reason != spec.None {
			if got != before {
				t.Fatalf("%q: rejected, and changed the ERROR to %+v", p, got)
			}
			return
		}
		want.RetryAfter = min(want.RetryAfter, int64(math.MaxInt64/time.Millisecond)) // the longest Duration there is
		if got != (wire.Error{Reason: want.Reason, Message: want.Message, Retryable: want.Retryable, RetryAfter: time.Duration(want.RetryAfter) * time.Millisecond, Corr: want.Corr}) {
			t.Fatalf("%q: %+v; the reference reads %+v", p, got, want)
		}
		written := wire.AppendError(nil, &got)
		if again, reason := refwire.DecodeError(written); reason != spec.None || again != want {
			t.Fatalf("%q was written as %q: %q %+v, want %+v", p, written, reason, again, want)
		}
	})
}

func FuzzAnswer(f *testing.F) {
	ops := []string{"put", "get", "has", "stat", "delete"}
	for c := range uint8(len(ops)) {
		seedJSON(f, func(p []byte, shape uint8) { f.Add(p, shape+4*c) }, `{"obj":"ADDR","created":true}`, `{"obj":"ADDR","size":5}`,
			`{"obj":"ADDR","exists":false}`, `{"obj":"ADDR","deleted":true}`)
		for _, key := range []string{"created", "exists", "deleted"} {
			f.Add(members("obj", valueTexts[5], key, "true"), 2+4*c)
		}
		f.Add(members("obj", valueTexts[5], "size", "9007199254740991"), 3+4*c)
	}
	f.Fuzz(func(t *testing.T, data []byte, c uint8) {
		op := ops[c/4%uint8(len(ops))]
		p := jsonOf(data, c)
		got := wire.Answer{Size: 99}
		before := got
		reason := wire.ParseAnswer(p, opOf[op], &got)
		want, wantReason := refwire.DecodeAnswer(op, p)
		sameReason(t, p, reason, wantReason)
		if reason != spec.None {
			if got != before {
				t.Fatalf("%q: rejected, and changed the answer to %+v", p, got)
			}
			return
		}
		if got != wire.Answer(want) {
			t.Fatalf("%s %q: %+v; the reference reads %+v", op, p, got, want)
		}
		written := wire.AppendAnswer(nil, opOf[op], &got)
		if again, reason := refwire.DecodeAnswer(op, written); reason != spec.None || again != want {
			t.Fatalf("%q was written as %q: %q %+v", p, written, reason, again)
		}
	})
}
