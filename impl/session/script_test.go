package session

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// A script is a conversation, one step a line.
//
//	> hello [JSON]                   frames to the node, by their flag patterns
//	> start CORR put N [obj=TEXT]    CORR may be a range: 10..73
//	> start CORR get|has|stat|delete TEXT [from=N] [len=N]      the object whose bytes are TEXT
//	> data CORR OFFSET/TOTAL [BODY] [obj=TEXT]
//	> end CORR   > cancel CORR   > ack CORR N
//	  … [+FLAG] [-FLAG] [code=N] [proto=N] [tenant=N] [payload=TEXT] [hex=HEX]
//	> bytes HEX                      a piece of a frame
//	< hello|answer|error|data|ack|going-away …                   the next frame from the node
//	wait D   late D                  time passes, with Ticks at the deadlines or without any
//	eof   drain D   hold   release   room N
//	admit REASON   fault REASON DURING   object TEXT   chunk N
//	open N   closed   stored TEXT   absent TEXT                  how things have to be
//
// TEXT is one word; "x*5" stands for "xxxxx".
type player struct {
	*rig
	bystanders bool
	sentByte   int64 // of the put of a bystander
	acked      int64 // of the get of a bystander
}

// The streams of the bystanders: a put that is under way, and a get whose window is used up. No script may touch
// them, whatever happens to its own streams.
const (
	bystandingPut = 1
	bystandingGet = 2
	bystandTotal  = 100
)

func (p *player) run(script string) {
	p.tb.Helper()
	for line := range strings.Lines(script) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		p.line(words)
		if p.tb.Failed() {
			return
		}
	}
}

// line does one step.
func (p *player) line(words []string) {
	p.tb.Helper()
	line := strings.Join(words, " ")
	arg := func(i int) string {
		p.tb.Helper()
		if i >= len(words) {
			p.tb.Fatalf("%q: word %d is missing", line, i)
		}
		return words[i]
	}
	must := func(ok bool, format string, args ...any) {
		p.tb.Helper()
		if !ok {
			p.tb.Fatalf("%q: "+format, append([]any{line}, args...)...)
		}
	}
	switch words[0] {
	case ">":
		if arg(1) == "bytes" {
			b, err := hex.DecodeString(strings.Join(words[2:], ""))
			must(err == nil, "%v", err)
			p.bytes(b)
			return
		}
		for _, f := range p.parse(words[1:]) {
			p.frame(f)
		}
	case "<":
		p.expect(line, words[1:])
	case "wait":
		p.wait(p.duration(arg(1)))
	case "late":
		p.now = p.now.Add(p.duration(arg(1)))
	case "eof":
		p.c.EOF()
		p.settle()
	case "drain":
		p.c.Drain(p.now, p.now.Add(p.duration(arg(1))))
		p.settle()
	case "hold", "release":
		p.hold = words[0] == "hold"
		p.settle()
	case "room":
		p.most = int(p.number(arg(1)))
		p.settle()
	case "admit":
		p.host.admit = func() (spec.Reason, time.Duration) { return spec.Reason(arg(1)), time.Second }
	case "fault":
		during := map[string]EffectKind{"open": Open, "body": Body, "run": Run, "serving": serving}[arg(2)]
		must(during != 0, "during what?")
		p.host.fault = func(st *Stream, d EffectKind) spec.Reason {
			if d == during && st.Corr > bystandingGet {
				return spec.Reason(words[1])
			}
			return spec.None
		}
	case "object":
		p.host.put(text(arg(1)))
	case "chunk":
		n := int(p.number(arg(1)))
		p.host.chunk = func(corr uint64) int {
			if p.bystanders && corr == bystandingGet {
				return 1
			}
			return n
		}
	case "open":
		n := p.c.OpenStreams()
		if p.bystanders {
			n -= 2
		}
		must(int64(n) == p.number(arg(1)), "%d streams are open", n)
	case "closed":
		must(p.c.Closing(), "the connection is open")
	case "stored", "absent":
		_, ok := p.host.objects[address(text(arg(1)))]
		must(ok == (words[0] == "stored"), "stored: %v", ok)
	default:
		p.tb.Fatalf("%q: no such step", line)
	}
}

// wait lets time pass; the bystanders make progress meanwhile.
func (p *player) wait(d time.Duration) {
	p.tb.Helper()
	until := p.now.Add(d)
	for p.bystanders && until.Sub(p.now) > time.Second && !p.c.Closing() {
		p.at(p.now.Add(time.Second))
		p.sentByte++
		p.acked++
		p.script(fmt.Sprintf("> data %d %d/%d x", bystandingPut, p.sentByte-1, bystandTotal))
		p.script(fmt.Sprintf("> ack %d %d", bystandingGet, p.acked))
	}
	p.at(until)
}

// script runs one line of the bystanders.
func (p *player) script(line string) {
	p.tb.Helper()
	p.line(strings.Fields(line))
}

// greet says HELLO and has the bystanders take their places.
func (p *player) greet(bystanders bool) {
	p.tb.Helper()
	p.run("> hello\n< hello")
	if !bystanders {
		return
	}
	p.bystanders = true
	p.host.put(text(fmt.Sprintf("b*%d", bystandTotal)))
	p.line([]string{"chunk", strconv.Itoa(spec.MaxChunk)})
	p.run(fmt.Sprintf("> start %d put %d\n> start %d get b*%d +ACK_REQ +END", bystandingPut, bystandTotal, bystandingGet, bystandTotal))
	p.at(p.now.Add(time.Millisecond)) // so that a clock wound up by mistake shows
}

// farewell has the bystanders finish their work, if the connection is still there.
func (p *player) farewell() {
	p.tb.Helper()
	p.overhear()
	if len(p.got) > 0 {
		p.tb.Fatalf("nobody expected %s", describe(&p.got[0]))
	}
	if !p.bystanders || p.c.Closing() {
		return
	}
	p.hold, p.most = false, -1
	p.host.fault = nil
	p.script(fmt.Sprintf("> data %d %d/%d x*%d", bystandingPut, p.sentByte, bystandTotal, bystandTotal-p.sentByte))
	p.script(fmt.Sprintf("> end %d", bystandingPut))
	p.expect("the bystander's put", []string{"answer", strconv.Itoa(bystandingPut), `"created":true`})
	get := p.entries[bystandingGet]
	for range bystandTotal {
		if get.offset == bystandTotal {
			break
		}
		p.script(fmt.Sprintf("> ack %d %d", bystandingGet, get.frames))
	}
	p.expect("the bystander's get", []string{"answer", strconv.Itoa(bystandingGet), fmt.Sprintf(`"size":%d`, bystandTotal)})
}

// overhear drops the DATA of the bystanders.
func (p *player) overhear() {
	p.got = slices.DeleteFunc(p.got, func(f refwire.Frame) bool {
		return p.bystanders && f.Corr == bystandingGet && f.Code == spec.CodeData
	})
}

// expect takes the next frame from the node, but for the DATA of the bystanders, and compares.
func (p *player) expect(line string, words []string) {
	p.tb.Helper()
	p.overhear()
	if len(p.got) == 0 {
		p.tb.Fatalf("%q: nothing came", line)
	}
	f := p.got[0]
	p.got = p.got[1:]
	has := func(ok bool) {
		p.tb.Helper()
		if !ok {
			p.tb.Fatalf("%q: what came is %s", line, describe(&f))
		}
	}
	pattern := map[string]struct {
		flags spec.Flags
		code  spec.Code
	}{
		"hello":      {spec.FlagResp, spec.CodeOK},
		"answer":     {spec.FlagResp | spec.FlagEnd, spec.CodeOK},
		"error":      {spec.FlagResp | spec.FlagEnd, f.Code},
		"data":       {spec.FlagResp, spec.CodeData},
		"ack":        {spec.FlagEvent, spec.CodeAck},
		"going-away": {spec.FlagEvent, spec.CodeGoingAway},
	}[words[0]]
	has(f.Flags == pattern.flags && f.Code == pattern.code && (words[0] != "error" || f.Code >= 400))
	rest := words[1:]
	if words[0] != "hello" && words[0] != "going-away" {
		has(len(rest) > 0 && f.Corr == uint64(p.number(rest[0])))
		rest = rest[1:]
	}
	if len(rest) > 0 {
		switch words[0] {
		case "error":
			x, _ := refwire.DecodeError(f.Payload)
			has(x.Reason == spec.Reason(rest[0]))
			rest = rest[1:]
		case "ack":
			upTo, _ := refwire.DecodeAck(f.Payload)
			has(upTo == p.number(rest[0]))
			rest = rest[1:]
		case "data":
			d, _ := refwire.DecodeData(f.Payload)
			has(fmt.Sprintf("%d/%d", d.Offset, d.TotalLen) == rest[0])
			has(len(rest) == 1 || bytes.Equal(d.Body, text(rest[1])))
			rest = nil
		}
	}
	for _, member := range rest { // "key":value
		has(bytes.Contains(f.Payload, []byte(member)))
	}
}

// parse reads the words of a line that sends frames.
func (p *player) parse(words []string) (frames []refwire.Frame) {
	p.tb.Helper()
	pos, opt, flags := []string{}, map[string]string{}, []string{}
	for _, w := range words {
		switch key, value, ok := strings.Cut(w, "="); {
		case strings.HasPrefix(w, "{"):
			opt["payload"] = w
		case ok:
			opt[key] = value
		case w[0] == '+' || w[0] == '-':
			flags = append(flags, w)
		default:
			pos = append(pos, w)
		}
	}
	from, to, last := "0", "", false
	if pos[0] != "hello" {
		from, to, last = strings.Cut(pos[1], "..")
	}
	first, end := p.unsigned(from), p.unsigned(from)
	if last {
		end = p.unsigned(to)
	}
	for corr := first; ; corr++ {
		f := p.pattern(pos, opt)
		f.Corr = corr
		for _, w := range flags {
			bit, ok := spec.ParseFlag(w[1:])
			if !ok {
				p.tb.Fatalf("no such flag: %s", w)
			}
			if w[0] == '+' {
				f.Flags |= bit
			} else {
				f.Flags &^= bit
			}
		}
		p.options(&f, opt)
		frames = append(frames, f)
		if corr == end {
			return frames
		}
	}
}

// pattern is the frame that the first words of a line stand for.
func (p *player) pattern(pos []string, opt map[string]string) refwire.Frame {
	p.tb.Helper()
	f := refwire.Frame{Flags: spec.FlagReq, Proto: spec.ProtoObjects}
	switch pos[0] {
	case "hello":
		f.Proto, f.Payload = spec.ProtoControl, []byte("{}")
	case "start":
		f.Flags |= spec.FlagStart
		req := refwire.Request{Op: pos[2]}
		if req.Op == "put" {
			req.TotalLen = p.number(pos[3])
		} else {
			req.Obj, req.HasObj = address(text(pos[3])), true
			f.Flags |= spec.FlagEnd
		}
		if obj, ok := opt["obj"]; ok {
			req.Obj, req.HasObj = address(text(obj)), true
		}
		if n, ok := opt["from"]; ok {
			req.Offset = p.number(n)
		}
		if n, ok := opt["len"]; ok {
			req.Len, req.HasLen = p.number(n), true
		}
		f.Payload = refwire.EncodeRequest(req)
	case "data":
		off, total, _ := strings.Cut(pos[2], "/")
		d := refwire.Data{Offset: p.number(off), TotalLen: p.number(total)}
		if len(pos) > 3 {
			d.Body = text(pos[3])
		}
		if obj, ok := opt["obj"]; ok {
			d.Obj, d.HasObj = address(text(obj)), true
		}
		f.Payload = refwire.EncodeData(d)
	case "end":
		f.Flags |= spec.FlagEnd
	case "cancel":
		f.Flags |= spec.FlagEnd
		f.Code = spec.CodeCancel
	case "ack":
		f.Flags, f.Code = spec.FlagEvent, spec.CodeAck
		f.Payload = refwire.EncodeAck(p.number(pos[2]))
	default:
		p.tb.Fatalf("no such frame: %s", pos[0])
	}
	return f
}

// options changes single fields of a frame.
func (p *player) options(f *refwire.Frame, opt map[string]string) {
	p.tb.Helper()
	for key, value := range opt {
		switch key {
		case "code":
			f.Code = spec.Code(p.number(value))
		case "proto":
			f.Proto = spec.Proto(p.number(value))
		case "tenant":
			f.Tenant[15] = byte(p.number(value))
		case "corr":
			f.Corr = p.unsigned(value)
		case "payload":
			f.Payload = text(value)
		case "hex":
			b, err := hex.DecodeString(value)
			if err != nil {
				p.tb.Fatal(err)
			}
			f.Payload = b
		case "obj", "from", "len":
		default:
			p.tb.Fatalf("no such field: %s", key)
		}
	}
}

func (p *player) unsigned(s string) uint64 {
	p.tb.Helper()
	n, err := strconv.ParseUint(s, 0, 64)
	if err != nil {
		p.tb.Fatal(err)
	}
	return n
}

func (p *player) number(s string) int64 { p.tb.Helper(); return int64(p.unsigned(s)) }

func (p *player) duration(s string) time.Duration {
	p.tb.Helper()
	d, err := time.ParseDuration(s)
	if err != nil {
		p.tb.Fatal(err)
	}
	return d
}

// text is what a word of a script stands for.
func text(word string) []byte {
	if unit, times, ok := strings.Cut(word, "*"); ok {
		if n, err := strconv.Atoi(times); err == nil {
			return bytes.Repeat([]byte(unit), n)
		}
	}
	return []byte(word)
}

// play runs a script on a connection of its own. With say != nil the HELLO is up to the script.
func play(tb rapid.TB, script string, hello, bystanders bool) *player {
	tb.Helper()
	p := &player{rig: newRig(tb, newHost(), epoch)}
	if hello {
		p.greet(bystanders)
	}
	p.run(script)
	p.farewell()
	p.finish()
	p.host.finished(tb)
	return p
}

// The rig has to notice what it is there for.
func TestScriptCanFail(t *testing.T) {
	for _, script := range []string{
		"> start 10 has x",                        // an answer that nobody expects
		"> start 10 has x\n< error 10 not_found",  // another kind
		"> start 10 has x\n< answer 11",           // another stream
		"> start 10 stat x\n< error 10 malformed", // another reason
		"< answer 10",                             // nothing comes
		"closed",                                  //
		"open 1",                                  //
		"stored x",                                //
		"> start 10 put 2\n> data 10 0/2 ab\n> end 10\n< ack 10 1", //
		"object ab\n> start 10 get ab\n< data 10 0/2 xy\n< answer 10",
	} {
		probe := &failing{TB: t}
		func() {
			defer func() {
				if e := recover(); e != nil && e != errFailed {
					panic(e)
				}
			}()
			play(probe, script, true, false)
		}()
		if !probe.failed {
			t.Errorf("not noticed: %q", script)
		}
	}
}

// failing is a test that is meant to fail.
type failing struct {
	rapid.TB
	failed bool
}

const errFailed = spec.Reason("failed as it should")

func (f *failing) Helper()                 { f.TB.Helper() }
func (f *failing) Failed() bool            { return f.failed }
func (f *failing) Fatalf(string, ...any)   { f.failed = true; panic(errFailed) }
func (f *failing) Fatal(...any)            { f.failed = true; panic(errFailed) }
func (f *failing) Errorf(string, ...any)   { f.failed = true }
func (f *failing) Logf(s string, a ...any) {}

// chunks are lines that send DATA frames of one byte: numbers from to until of total.
func chunks(corr, total, from, until int) string {
	var b strings.Builder
	for i := from; i < until; i++ {
		fmt.Fprintf(&b, "> data %d %d/%d x\n", corr, i, total)
	}
	return b.String()
}

// served are lines that take DATA frames of one byte.
func served(corr, total, from, until int) string {
	var b strings.Builder
	for i := from; i < until; i++ {
		fmt.Fprintf(&b, "< data %d %d/%d x\n", corr, i, total)
	}
	return b.String()
}

// variantOf marks lines as those of one conversation.
func variantOf(mark, lines string) string {
	return mark + strings.ReplaceAll(strings.TrimSpace(lines), "\n", "\n"+mark)
}
