package server

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

var helloHeader = wire.Header{Flags: spec.FlagReq}

// TestHostile drives a node in a process of its own with everything that is meant to hurt it, and requires each
// time the right reason, the right scope, a living node, and, over all, memory that does not grow with the attack.
func TestHostile(t *testing.T) {
	httpAddr, at, pid := process(t)
	alive := func(t *testing.T) {
		t.Helper()
		resp, err := http.Get("http://" + httpAddr + "/readyz")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Fatalf("readyz: %d", resp.StatusCode)
		}
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	}
	before := peakRSS(t, pid)
	for _, attack := range []struct {
		name string
		run  func(*testing.T, target)
	}{
		{"len 4 GiB", attackLen},
		{"one byte per write", attackBytewise},
		{"cut at every offset", attackCuts},
		{"10,000 HELLOs on one connection", attackHellosOnce},
		{"10,000 HELLOs on as many connections", attackHellos},
		{"START flood", attackStarts},
		{"START flood, unread", attackStartsUnread},
		{"DATA past the window", attackWindow},
		{"zstd bombs", attackBombs},
		{"1 MiB frames, incomplete", attackIncomplete},
	} {
		t.Run(attack.name, func(t *testing.T) {
			attack.run(t, at)
			alive(t)
			t.Logf("peak memory of the node: %.1f MiB", float64(peakRSS(t, pid))/(1<<20))
		})
	}
	// 64 connections with one incomplete frame of 1 MiB each are 64 MiB by themselves, and the law grants one
	// bomb 8 MiB; the rest is slack for the garbage collector.
	grown := peakRSS(t, pid) - before
	t.Logf("peak memory grew by %d MiB", grown>>20)
	if grown > 160<<20 && !raceEnabled {
		t.Error("that is more than the attacks are entitled to")
	}
}

func attackLen(t *testing.T, at target) {
	for _, n := range []uint32{0xffffffff, 0x80000000, spec.MaxFrame + 1} {
		p := hello(t, at)
		p.write(binary.BigEndian.AppendUint32(nil, n)) // four bytes are enough to decide
		p.wantError(0, spec.Oversize)
		p.wantClosed()
	}
	p := hello(t, at)
	p.write([]byte{0, 0, 0, 37})
	p.wantError(0, spec.Malformed)
	p.wantClosed()
}

func attackBytewise(t *testing.T, at target) {
	p := dial(t, at)
	body := []byte("one byte at a time")
	script := frame(helloHeader, "{}")
	script = append(script, p.startFrame(1, 0, fmt.Sprintf(`{"op":"put","total_len":%d}`, len(body)))...)
	script = append(script, dataFrame(1, 0, len(body), body)...)
	script = append(script, endFrame(1)...)
	p.c.(*net.TCPConn).SetNoDelay(true)
	for i := range script {
		p.write(script[i : i+1])
	}
	p.recv()
	if f := p.recv(); f.Code != spec.CodeOK || !strings.Contains(string(f.Payload), address(body).String()) {
		t.Errorf("got %d %s", f.Code, f.Payload)
	}
}

func attackCuts(t *testing.T, at target) {
	script := append(frame(helloHeader, "{}"), (&peer{cap: at.cap}).startFrame(1, 0, `{"op":"put","total_len":3}`)...)
	script = append(script, dataFrame(1, 0, 3, []byte("abc"))...)
	for i := range script {
		p := dial(t, at)
		p.write(script[:i])
		if i%2 == 0 {
			p.c.(*net.TCPConn).SetLinger(0) // reset
		}
		p.c.Close()
	}
}

func attackHellosOnce(t *testing.T, at target) {
	p := dial(t, at)
	go p.c.Write(bytes.Repeat(frame(helloHeader, "{}"), 10_000))
	p.recv()
	p.wantError(0, spec.BadHello)
	p.wantClosed()
}

func attackHellos(t *testing.T, at target) {
	for range 10_000 {
		p := dial(t, at)
		p.write(frame(helloHeader, `{"accept_max_frame":4096}`))
		p.recv()
		p.c.(*net.TCPConn).SetLinger(0) // leave no TIME_WAIT behind
		p.c.Close()
	}
}

// attackStarts opens 20,000 puts on each of 8 connections and ends none.
func attackStarts(t *testing.T, at target) {
	for range 8 {
		p := hello(t, at)
		go func() {
			var b []byte
			for corr := uint64(1); corr <= 20_000; corr++ {
				b = append(b, p.startFrame(corr, 0, `{"op":"put","total_len":1000}`)...)
			}
			p.c.Write(b)
		}()
		for corr := uint64(spec.MaxStreams + 1); corr <= 20_000; corr++ {
			p.wantError(corr, spec.TooManyStreams)
		}
		p.c.Close()
	}
}

// attackStartsUnread does the same and never reads an answer: the node must stop reading, not pile up.
func attackStartsUnread(t *testing.T, at target) {
	p := hello(t, at)
	p.c.SetWriteDeadline(time.Now().Add(2 * time.Second))
	b := p.startFrame(1, spec.FlagEnd, `{"op":"has"}`)
	b = bytes.Repeat(b, 10_000)
	for range 1000 {
		if _, err := p.c.Write(b); err != nil {
			return // the node stopped reading, or cut us: both keep its memory flat
		}
	}
	t.Error("the node read 10 million frames whose answers nobody reads")
}

// attackWindow sends 33 DATA frames in one write, more than any ACK on its way can allow (OAP-CRD-001).
func attackWindow(t *testing.T, at target) {
	p := hello(t, at)
	p.start(1, 0, `{"op":"put","total_len":1000}`) // another stream, which must survive
	p.start(2, spec.FlagAckReq, `{"op":"put","total_len":1000}`)
	var b []byte
	for i := range spec.Window + 1 {
		b = append(b, dataFrame(2, i, 1000, []byte{1})...)
	}
	p.write(b)
	for {
		f := p.recv()
		if f.Code == spec.CodeAck {
			continue
		}
		var e wire.Error
		if wire.ParseError(f.Payload, &e) != spec.None || e.Reason != spec.CreditViolation || f.Corr != 2 {
			t.Fatalf("got %d on %d: %s", f.Code, f.Corr, f.Payload)
		}
		break
	}
	p.write(dataFrame(1, 0, 1000, make([]byte, 1000)))
	p.write(endFrame(1))
	if f := p.recv(); f.Code != spec.CodeOK || f.Corr != 1 {
		t.Errorf("the other stream got %d on %d: %s", f.Code, f.Corr, f.Payload)
	}
}

// attackBombs sends payloads that expand to between 1 MiB and 1 GiB, with and without a declared size.
func attackBombs(t *testing.T, at target) {
	for _, size := range []int{1 << 20, 16 << 20, 256 << 20, 1 << 30} {
		for _, declared := range []bool{false, true} {
			bomb := bombOf(t, size, declared)
			p := hello(t, at)
			h := wire.Header{Flags: spec.FlagReq | spec.FlagStart | spec.FlagComp, Proto: spec.ProtoObjects, Corr: 1}
			p.send(h, string(bomb))
			p.wantError(0, spec.DecompressCap)
			p.wantClosed()
		}
	}
}

// bombOf compresses size zero bytes.
func bombOf(t *testing.T, size int, declared bool) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := zstd.NewWriter(&out, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(1<<20))
	if err != nil {
		t.Fatal(err)
	}
	if declared {
		w.ResetContentSize(&out, int64(size))
	}
	zeros := make([]byte, 1<<20)
	for left := size; left > 0; left -= len(zeros) {
		w.Write(zeros[:min(left, len(zeros))])
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func attackIncomplete(t *testing.T, at target) {
	b := frame(wire.Header{Flags: spec.FlagReq, Proto: spec.ProtoObjects, Corr: 1}, strings.Repeat("x", spec.MaxFrame-spec.HeaderLen))
	for range 64 {
		hello(t, at).write(b[:len(b)-1])
	}
}

// TestBackpressuredClock: a peer that floods and hardly reads may not keep its streams beyond their 5 seconds
// (OAP-SES-011, ADM-TIM-006).
func TestBackpressuredClock(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the 5 s that a stream may take; left out with -short")
	}
	t.Parallel()
	n := start(t, nil)
	p := hello(t, oapOf(n))
	p.c.(*net.TCPConn).SetReadBuffer(32 << 10)
	for corr := uint64(1); corr <= 60; corr++ {
		p.start(corr, 0, `{"op":"put","total_len":1000}`)
	}
	began := time.Now()
	go func() { // frames that are refused one by one, until the node stops reading
		b := bytes.Repeat(dataFrame(9999, 0, 1, []byte{1}), 10_000)
		for {
			if _, err := p.c.Write(b); err != nil {
				return
			}
		}
	}()
	go func() { // just enough reading not to be cut for reading nothing
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for buf := make([]byte, 16<<10); ; <-tick.C {
			if _, err := p.c.Read(buf); err != nil {
				return
			}
		}
	}()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for n.gate.Status().Inflight < 60 {
		<-look.C
	}
	for n.gate.Status().Inflight > 0 {
		if <-look.C; time.Since(began) > 20*time.Second {
			t.Fatalf("%d requests are still in flight after 20 s", n.gate.Status().Inflight)
		}
	}
	p.c.Close()
	quiet(t, n)
}
