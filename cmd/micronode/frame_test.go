package main

import (
	"bytes"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"github.com/rustyonions/micronode/spec"
)

// vector is one frame of spec/vectors/frames.json.
type vector struct {
	ID       string         `json:"id"`
	Rule     string         `json:"rule"`
	MaxFrame uint32         `json:"max_frame"`
	Hex      jsontext.Value `json:"hex"`
	Flags    []string       `json:"flags"`
	Verdict  string         `json:"verdict"`
	Reason   spec.Reason    `json:"reason"`
	Fields   struct {
		Len    uint32 `json:"len"`
		Corr   string `json:"corr_id"`
		CapLen uint16 `json:"cap_len"`
	} `json:"fields"`
}

// bytes expands the hex of a vector: a text, or a list of parts that may be repeated.
func (v *vector) bytes(t *testing.T) []byte {
	t.Helper()
	type part struct {
		Hex    string `json:"hex"`
		Repeat int    `json:"repeat"`
	}
	var parts []part
	var text string
	if err := json.Unmarshal(v.Hex, &text); err == nil {
		parts = []part{{Hex: text}}
	} else if err := json.Unmarshal(v.Hex, &parts); err != nil {
		t.Fatalf("%s: %v", v.ID, err)
	}
	var out []byte
	for _, p := range parts {
		b, err := hex.DecodeString(strings.ReplaceAll(p.Hex, " ", ""))
		if err != nil {
			t.Fatalf("%s: %v", v.ID, err)
		}
		out = append(out, bytes.Repeat(b, max(1, p.Repeat))...)
	}
	return out
}

func vectors(t *testing.T) []vector {
	t.Helper()
	text, err := os.ReadFile("../../spec/vectors/frames.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Frames []vector `json:"frames"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Frames) < 60 {
		t.Fatalf("only %d vectors", len(file.Frames))
	}
	return file.Frames
}

// decodeAll runs decodeFrames and collects its lines.
func decodeAll(t *testing.T, in io.Reader, maxFrame uint32) (lines []*frameLine, verdict string) {
	t.Helper()
	verdict, err := decodeFrames(in, maxFrame, func(l *frameLine) error {
		text, err := json.Marshal(l)
		if err != nil {
			return err
		}
		again := &frameLine{} // what a reader of the output sees
		lines = append(lines, again)
		return json.Unmarshal(text, again, json.RejectUnknownMembers(true))
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines, verdict
}

// Every vector gets its verdict, reason and rule, and every frame encodes to the bytes it came from.
func TestFrameVectors(t *testing.T) {
	order := map[string]bool{"OAP-FRM-009": true, "OAP-ZST-006": true} // about which of several rules counts
	rules := map[string]int{}
	for _, v := range vectors(t) {
		raw := v.bytes(t)
		for name, in := range map[string]io.Reader{"whole": bytes.NewReader(raw), "by the byte": iotest.OneByteReader(bytes.NewReader(raw))} {
			if name != "whole" && len(raw) > 1<<16 {
				continue
			}
			lines, verdict := decodeAll(t, in, v.MaxFrame)
			if len(lines) != 1 || verdict != v.Verdict || lines[0].Verdict != v.Verdict || lines[0].Reason != v.Reason {
				t.Errorf("%s, %s: got %d lines, %s, %+v; want %s %s", v.ID, name, len(lines), verdict, lines[0], v.Verdict, v.Reason)
				continue
			}
			l := lines[0]
			if v.Verdict == verdictReject {
				rules[l.Rule]++
				if l.Rule == "" || l.Rule != v.Rule && !order[v.Rule] {
					t.Errorf("%s: rule %q, want %s", v.ID, l.Rule, v.Rule)
				}
			}
			if (l.Header != nil) != (len(raw) >= spec.HeaderLen) {
				t.Errorf("%s, %s: %d bytes, header %v", v.ID, name, len(raw), l.Header)
			}
			if l.Header != nil && strings.Join(l.Header.Flags, " ") != strings.Join(v.Flags, " ") {
				t.Errorf("%s: flags %v, want %v", v.ID, l.Header.Flags, v.Flags)
			}
			if v.Verdict == verdictMore && (*l.Have != len(raw) || *l.Need <= len(raw)) {
				t.Errorf("%s: have %d, need %d of %d", v.ID, *l.Have, *l.Need, len(raw))
			}
			if v.Verdict == verdictFrame {
				encodesBack(t, &v, l, raw)
			}
		}
	}
	for _, rule := range []string{"OAP-FRM-002", "OAP-FRM-003", "OAP-FRM-004", "OAP-FRM-005", "OAP-FRM-006", "OAP-FRM-007", "OAP-FRM-008",
		"OAP-ZST-001", "OAP-ZST-002", "OAP-ZST-003", "OAP-ZST-004", "OAP-ZST-005"} {
		if rules[rule] == 0 {
			t.Errorf("no vector was rejected by %s", rule)
		}
	}
}

func encodesBack(t *testing.T, v *vector, l *frameLine, raw []byte) {
	t.Helper()
	for _, strip := range []bool{false, true} {
		if strip { // what may be left out
			l.Header.Len, l.Header.CapLen, l.Header.Ver, l.DecodedLen, l.Verdict = nil, nil, nil, nil, ""
		}
		text, err := json.Marshal(l)
		if err != nil {
			t.Fatal(err)
		}
		got, err := encodeLine(text, v.MaxFrame)
		if err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: does not encode back: %v", v.ID, err)
		}
	}
}

// The vectors that are rejected can not be made by encode either, for the same reason and rule, as far as a line can
// describe them at all: lengths are computed.
func TestEncodeRefuses(t *testing.T) {
	refused := 0
	for _, v := range vectors(t) {
		raw := v.bytes(t)
		if v.Verdict != verdictReject || len(raw) < spec.HeaderLen {
			continue
		}
		lines, _ := decodeAll(t, bytes.NewReader(raw), v.MaxFrame)
		l := lines[0]
		if int(*l.Header.Len) != len(raw) || spec.HeaderLen+int(*l.Header.CapLen) > len(raw) {
			continue
		}
		body := raw[spec.HeaderLen:]
		capability, payload := hex.EncodeToString(body[:*l.Header.CapLen]), hex.EncodeToString(body[*l.Header.CapLen:])
		text, err := json.Marshal(&frameLine{Header: l.Header, Cap: &capability, Payload: &payload})
		if err != nil {
			t.Fatal(err)
		}
		_, err = encodeLine(text, v.MaxFrame)
		if err == nil || codeOf(err) != exitReject || !strings.Contains(err.Error(), string(v.Reason)+": "+l.Rule) {
			t.Errorf("%s: got %v, want %s and %s", v.ID, err, v.Reason, l.Rule)
		}
		refused++
	}
	if refused < 60 {
		t.Errorf("only %d vectors were tried", refused)
	}
}

// What is wrong with a line is said; lengths that are given have to be right.
func TestEncodeLines(t *testing.T) {
	const good = `{"header":{"flags":["REQ","START"],"corr_id":18446744073709551615},"cap":"c0ff","payload":"00"}`
	b, err := encodeLine([]byte(good), spec.MaxFrame)
	if err != nil || hex.EncodeToString(b) != "00000029"+"0001"+"0009"+"0000"+"0000"+strings.Repeat("00", 16)+"0002"+"ffffffffffffffff"+"c0ff00" {
		t.Errorf("got %x, %v", b, err)
	}
	for line, code := range map[string]int{
		`{}`:                             exitUsage,
		`nonsense`:                       exitUsage,
		`{"header":{"flags":["REQ"]}}{}`: exitUsage,
		`{"header":{"flags":["REQ"],"corr_id":"1"}}`:                                         exitUsage,
		`{"header":{"flags":["REQ"],"corr_id":-1}}`:                                          exitUsage,
		`{"header":{"flags":["REQ"],"code":65536}}`:                                          exitUsage,
		`{"header":{"flags":["REQ","REQ"]}}`:                                                 exitUsage,
		`{"header":{"flags":["req"]}}`:                                                       exitUsage,
		`{"header":{"flags":["REQ"],"Code":1}}`:                                              exitUsage,
		`{"header":{"flags":["REQ"]},"cap":"0"}`:                                             exitUsage,
		`{"header":{"flags":["REQ"],"tenant_id":"00"}}`:                                      exitUsage,
		`{"verdict":"reject","header":{"flags":["REQ"]}}`:                                    exitUsage,
		`{"header":{"flags":["REQ"],"len":39}}`:                                              exitReject,
		`{"header":{"flags":["REQ","START"],"cap_len":1}}`:                                   exitReject,
		`{"header":{"flags":["REQ"],"ver":2}}`:                                               exitReject,
		`{"header":{"flags":[]}}`:                                                            exitReject,
		`{"header":{"flags":["REQ","BIT15"]}}`:                                               exitReject,
		`{"header":{"flags":["REQ","COMP"]},"payload":"00"}`:                                 exitReject,
		`{"header":{"flags":["REQ","COMP"]},"payload":"28b52ffd2000010000","decoded_len":1}`: exitReject,
		`{"header":{"flags":["REQ","COMP"]},"payload":"28b52ffd2000010000","decoded_len":0}`: exitOK,
	} {
		if _, err := encodeLine([]byte(line), spec.MaxFrame); codeOf(err) != code {
			t.Errorf("%s: got %v (exit %d), want exit %d", line, err, codeOf(err), code)
		}
	}
}

// A stream of frames gives a line for each; what ends inside a frame says so; nothing comes after a reject.
func TestDecodeStreams(t *testing.T) {
	frame, _ := hex.DecodeString("0000002600010001000000000000000000000000000000000000000000000000000000000001")
	bad := append(bytes.Clone(frame[:4]), make([]byte, 34)...)
	for _, tc := range []struct {
		in      []byte
		lines   int
		verdict string
	}{
		{nil, 1, verdictMore},
		{frame, 1, verdictFrame},
		{bytes.Repeat(frame, 3), 3, verdictFrame},
		{bytes.Repeat(frame, 3)[:3*38-1], 3, verdictMore},
		{append(bytes.Repeat(frame, 2), 0), 3, verdictMore},
		{append(bytes.Repeat(frame, 2), bad...), 3, verdictReject},
		{append(append(bytes.Clone(frame), bad...), frame...), 2, verdictReject},
	} {
		lines, verdict := decodeAll(t, bytes.NewReader(tc.in), spec.MaxFrame)
		if len(lines) != tc.lines || verdict != tc.verdict || lines[len(lines)-1].Verdict != tc.verdict {
			t.Errorf("%x: %d lines, %s; want %d, %s", tc.in, len(lines), verdict, tc.lines, tc.verdict)
		}
	}
	for n := range len(frame) {
		lines, verdict := decodeAll(t, bytes.NewReader(frame[:n]), spec.MaxFrame)
		if len(lines) != 1 || verdict != verdictMore {
			t.Errorf("prefix of %d: %s", n, verdict)
		}
	}
}

// Hex is told from binary by its bytes, wherever the difference comes.
func TestSniffHex(t *testing.T) {
	for in, want := range map[string]bool{
		"": true, " \n": true, "00 0A\tfF\r\n": true, strings.Repeat("0", 200_000): true,
		"\x00\x00\x00\x26": false, "0g": false, strings.Repeat("0", 200_000) + "\x00": false,
	} {
		again, isHex, err := sniffHex(iotest.HalfReader(strings.NewReader(in)))
		if err != nil || isHex != want {
			t.Errorf("%.20q: hex is %v, %v", in, isHex, err)
			continue
		}
		if b, err := io.ReadAll(again); err != nil || string(b) != in {
			t.Errorf("%.20q: %d of %d bytes come back, %v", in, len(b), len(in), err)
		}
	}
	broken := errors.New("broken")
	if _, _, err := sniffHex(iotest.ErrReader(broken)); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}
