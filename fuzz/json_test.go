package fuzz

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
	"github.com/rustyonions/micronode/spec/vectors"
)

const addressText = "b3:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

// keyTexts and valueTexts are what the payloads of the protocol are made of, and what lies just beside it.
var keyTexts = []string{
	"op", "obj", "total_len", "offset", "len", "up_to", "ua", "accept_max_frame", "features", "max_frame", "max_inflight",
	"flags_supported", "versions", "transports", "amnesia", "reason", "message", "retryable", "retry_after_ms", "corr_id",
	"size", "created", "exists", "deleted", "Op", "OBJ", "later", "", `\u006fp`, `o\u0062j`, `up\u005fto`, `\ud83d\ude00`, `\ud800`,
}

var valueTexts = []string{
	`"put"`, `"get"`, `"has"`, `"stat"`, `"delete"`, `"` + addressText + `"`, "0", "1", "65536", "4096", "9007199254740991",
	"9007199254740992", "18446744073709551615", "18446744073709551616", "9223372036854", "9223372036855", "-0", "-1", "1.0",
	"1e3", "00", "true", "false", "null", `""`, `"quota"`, `"p\u0075t"`, `"b3:\u0030` + addressText[4:] + `"`, `"` + addressText + ` "`,
	"[]", "{}", `["a","b"]`, `[1,2]`, `["a",1]`, `[null]`, `[[]]`, `[1,-2]`, `{"a":{"a":1}}`, `{"a":1,"a":2}`, "\"\xff\"", `"\ud800"`,
	`"\n\"\\\/"`, "\"\x01\"", "[1,]", "tru", `"`, "\"B3" + addressText[2:] + `"`,
}

var tokens = append([]string{"{", "}", "[", "]", ",", ":", `"`, "\\u00", " ", "\t\r\n", "\xef\xbb\xbf", "\x00"}, append(quoted(keyTexts), valueTexts...)...)

func quoted(in []string) (out []string) {
	for _, s := range in {
		out = append(out, `"`+s+`"`)
	}
	return out
}

// jsonOf turns bytes into a JSON text. By c they are the text itself, a text in which the bytes from 128 on stand for
// tokens, an object with a key and a value for each two bytes, or such an object with white space around it.
func jsonOf(data []byte, c uint8) []byte {
	switch c % 4 {
	case 1:
		var p []byte
		for _, b := range data {
			if b < 0x80 {
				p = append(p, b)
			} else {
				p = append(p, tokens[int(b-0x80)%len(tokens)]...)
			}
		}
		return p
	case 2:
		return object(data, "")
	case 3:
		return object(data, " \t")
	}
	return data
}

func object(data []byte, space string) []byte {
	var members []string
	for ; len(data) >= 2 && len(members) < 16; data = data[2:] {
		key, value := keyTexts[int(data[0])%len(keyTexts)], valueTexts[int(data[1])%len(valueTexts)]
		members = append(members, space+`"`+key+`"`+space+":"+space+value+space)
	}
	return []byte(space + "{" + strings.Join(members, ",") + "}" + space)
}

// members is the input that makes object write these keys and values.
func members(pairs ...string) (data []byte) {
	find := func(list []string, s string) byte {
		for i, have := range list {
			if have == s {
				return byte(i)
			}
		}
		panic(s + " is not in the list")
	}
	for i := 0; i < len(pairs); i += 2 {
		data = append(data, find(keyTexts, pairs[i]), find(valueTexts, pairs[i+1]))
	}
	return data
}

func seedJSON(f *testing.F, add func([]byte, uint8), texts ...string) {
	f.Helper()
	for _, text := range texts {
		text = strings.ReplaceAll(text, "ADDR", addressText)
		add([]byte(text), 0)
		add([]byte(text[:len(text)-1]), 0)
		add([]byte(" "+strings.ReplaceAll(text, ",", "\n,\t")+" "), 0)
		add([]byte(strings.Replace(text, `"o`, `"\u006f`, 1)), 0)
		add([]byte(strings.Replace(text, `{`, `{"later":[],`, 1)), 0)
	}
	add([]byte{0x80, 0x8c, 0x85, 0xad, 0x81}, 1) // { "op" : "put" }
}

var opOf = map[string]wire.Op{"put": wire.OpPut, "get": wire.OpGet, "has": wire.OpHas, "stat": wire.OpStat, "delete": wire.OpDelete}

func FuzzRequest(f *testing.F) {
	add := func(p []byte, c uint8) { f.Add(p, c) }
	seedMessages(f, vectors.KindRequest, add)
	seedJSON(f, add, `{"op":"put","total_len":5}`, `{"op":"put","total_len":9007199254740991,"obj":"ADDR"}`, `{"op":"get","obj":"ADDR"}`,
		`{"op":"get","obj":"ADDR","offset":7,"len":0}`, `{"op":"has","obj":"ADDR"}`, `{"op":"stat","obj":"ADDR"}`, `{"op":"delete","obj":"ADDR"}`)
	address := valueTexts[5]
	for _, m := range [][]byte{
		members("op", `"put"`, "total_len", "1", "obj", address), members("op", `"get"`, "obj", address, "offset", "1", "len", "0"),
		members("op", `"has"`, "obj", address), members(`\u006fp`, `"p\u0075t"`, "total_len", "65536"), members("op", `"stat"`, `o\u0062j`, address),
	} {
		f.Add(m, uint8(2))
		f.Add(m, uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, c uint8) {
		p := jsonOf(data, c)
		got := wire.Request{Len: 99, Op: 99}
		before := got
		reason := wire.ParseRequest(p, &got)
		want, wantReason := refwire.DecodeRequest(p)
		sameReason(t, p, reason, wantReason)
		if reason != spec.None {
			if got != before {
				t.Fatalf("%q: rejected, and changed the request to %+v", p, got)
			}
			return
		}
		if !sameRequest(got, want) {
			t.Fatalf("%q: %+v; the reference reads %+v", p, got, want)
		}
		written := wire.AppendRequest(nil, &got)
		if again, reason := refwire.DecodeRequest(written); reason != spec.None || again != want {
			t.Fatalf("%q was written as %q: %q %+v", p, written, reason, again)
		}
		var again wire.Request
		written = refwire.EncodeRequest(want)
		if reason := wire.ParseRequest(written, &again); reason != spec.None || again != got {
			t.Fatalf("%q was written by the reference as %q: %q %+v", p, written, reason, again)
		}
	})
}

func sameRequest(got wire.Request, want refwire.Request) bool {
	return got == wire.Request{Op: opOf[want.Op], Obj: want.Obj, HasObj: want.HasObj, TotalLen: want.TotalLen, Offset: want.Offset, Len: want.Len, HasLen: want.HasLen}
}

func sameReason(t *testing.T, p []byte, got, want spec.Reason) {

	if got != want {
		t.Fatalf("%.300q: %q; the reference says %q", p, got, want)
	}
}

// dataOf turns bytes into the payload of a DATA frame. By c they are the payload itself, or a header in one of the
// shapes of jsonOf, with a true or a false length before it and a body of some interesting length behind it.
func dataOf(data []byte, c uint8) []byte {
	if c < 4 {
		return data
	}
	header := jsonOf(data, c)
	announced := len(header) + [...]int{0, 0, 0, 1, -1}[c/4%5]
	p := binary.BigEndian.AppendUint16(nil, uint16(max(announced, 0)))
	p = append(p, header...)
	return append(p, bodies[:[...]int{1, 5, 0, spec.MaxChunk, spec.MaxChunk + 1}[c/20%5]]...)
}

var bodies = bytes.Repeat([]byte("body "), spec.MaxChunk/5+1)

func FuzzData(f *testing.F) {
	seedMessages(f, vectors.KindData, func(p []byte, c uint8) { f.Add(p, c) })
	for c := uint8(4); c < 110; c += 4 {
		f.Add([]byte(`{"offset":0,"total_len":5}`), c)
		f.Add([]byte(`{"obj":"`+addressText+`","offset":65536,"total_len":9007199254740991}`), c)
		f.Add(members("obj", valueTexts[5], "offset", "0", "total_len", "1"), c+2)
	}
	seedJSON(f, func(p []byte, c uint8) { f.Add(p, c+4) }, `{"total_len":5,"obj":"ADDR","offset":0}`)
	f.Add([]byte("\x00\x1a{\"offset\":0,\"total_len\":5}hello"), uint8(0))
	f.Fuzz(func(t *testing.T, data []byte, c uint8) {
		p := dataOf(data, c)
		got := wire.DataHeader{Offset: 99, TotalLen: 99}
		before := got
		body, reason := wire.ParseData(p, &got)
		want, wantReason := refwire.DecodeData(p)
		sameReason(t, p, reason, wantReason)
		if reason != spec.None {
			if got != before || body != nil {
				t.Fatalf("%.300q: rejected, and gave %+v and a body of %d bytes", p, got, len(body))
			}
			return
		}
		if got != (wire.DataHeader{Obj: want.Obj, HasObj: want.HasObj, Offset: want.Offset, TotalLen: want.TotalLen}) || !bytes.Equal(body, want.Body) {
			t.Fatalf("%.300q: %+v and %d bytes; the reference reads %+v", p, got, len(body), want)
		}
		written := append(wire.AppendDataHeader(nil, &got), body...)
		again, reason := refwire.DecodeData(written)
		if reason != spec.None || again.Obj != want.Obj || again.HasObj != want.HasObj || again.Offset != want.Offset ||
			again.TotalLen != want.TotalLen || !bytes.Equal(again.Body, want.Body) {
			t.Fatalf("%.300q was written as %.300q: %q", p, written, reason)
		}
	})
}

func FuzzAck(f *testing.F) {
	seedMessages(f, vectors.KindAck, func(p []byte, c uint8) { f.Add(p, c) })
	seedJSON(f, func(p []byte, c uint8) { f.Add(p, c) }, `{"up_to":0}`, `{"up_to":16}`, `{"up_to":9007199254740991}`)
	f.Add(members("up_to", "1"), uint8(2))
	f.Add(members(`up\u005fto`, "65536"), uint8(3))
	f.Fuzz(func(t *testing.T, data []byte, c uint8) {
		p := jsonOf(data, c)
		got, reason := wire.ParseAck(p)
		want, wantReason := refwire.DecodeAck(p)
		sameReason(t, p, reason, wantReason)
		if got != want {
			t.Fatalf("%q: %d; the reference reads %d", p, got, want)
		}
		if reason != spec.None {
			return
		}
		if again, reason := refwire.DecodeAck(wire.AppendAck(nil, got)); reason != spec.None || again != want {
			t.Fatalf("%q was written as %q: %q", p, wire.AppendAck(nil, got), reason)
		}
	})
}
