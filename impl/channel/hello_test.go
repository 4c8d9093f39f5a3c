package channel

import (
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// clientHello is the first record that a client of crypto/tls sends to s.
func clientHello(t *testing.T, s *Server) []byte {
	t.Helper()
	near, far := net.Pipe()
	config := clientFor(t, s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tls.Client(near, config).HandshakeContext(context.Background())
	}()
	header := make([]byte, 5)
	if _, err := io.ReadFull(far, header); err != nil {
		t.Fatal(err)
	}
	body := make([]byte, binary.BigEndian.Uint16(header[3:]))
	if _, err := io.ReadFull(far, body); err != nil {
		t.Fatal(err)
	}
	far.Close()
	<-done
	return append(header, body...)
}

// withExtension adds an empty extension to a ClientHello record.
func withExtension(record []byte, id uint16) []byte {
	r := slices.Clone(record)
	grow := func(at, size int) { // a length field of size bytes
		var n uint32
		for _, b := range r[at : at+size] {
			n = n<<8 | uint32(b)
		}
		n += 4
		for i := size - 1; i >= 0; i-- {
			r[at+i] = byte(n)
			n >>= 8
		}
	}
	at := 5 + 4 + 2 + 32                               // record and message headers, version, random
	at += 1 + int(r[at])                               // session id
	at += 2 + int(binary.BigEndian.Uint16(r[at:at+2])) // cipher suites
	at += 1 + int(r[at])                               // compression methods
	grow(3, 2)
	grow(6, 3)
	grow(at, 2)
	return append(r, byte(id>>8), byte(id), 0, 0)
}

// CAP-TLS-007: a ClientHello that announces early data ends the handshake, so the data that follows reaches nobody.
func TestEarlyDataIsRefused(t *testing.T) {
	s := testServer(t, Config{})
	hello := clientHello(t, s)
	data := []byte("\x17\x03\x03\x00\x20this is early data, 32 bytes ...")

	// The same surgery with an extension that means nothing goes through: it is not the surgery that is refused.
	answer, err := speak(t, s, append(withExtension(hello, 0xfafa), data...))
	if len(answer) < 6 || answer[0] != 22 || answer[5] != 2 {
		t.Fatalf("no ServerHello but % x", answer[:min(len(answer), 16)])
	}
	wantCause(t, err, CauseOther) // data before Finished does not decrypt

	answer, err = speak(t, s, append(withExtension(hello, earlyData), data...))
	wantCause(t, err, CauseEarlyData)
	if len(answer) != 7 || answer[0] != 21 {
		t.Fatalf("no alert but % x", answer[:min(len(answer), 16)])
	}
}

// CAP-TLS-008: five seconds in total, to the nanosecond of a clock that only moves when everybody waits.
func TestHandshakeTimeout(t *testing.T) {
	s := testServer(t, Config{})
	hello := clientHello(t, s)
	for name, peer := range map[string]func(net.Conn){
		"silent":  func(net.Conn) {},
		"trickle": func(c net.Conn) { trickle(c, hello, time.Second) },
		"trickle after the hello": func(c net.Conn) {
			c.Write(hello)
			go io.Copy(io.Discard, c)
			trickle(c, []byte("\x17\x03\x03\x00\x40"), 900*time.Millisecond)
		},
		"does not read": func(c net.Conn) { c.Write(hello) },
		"mute after the hello": func(c net.Conn) {
			c.Write(hello)
			io.Copy(io.Discard, c)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				done := make(chan struct{})
				go func() {
					defer close(done)
					peer(far)
				}()
				defer func() { near.Close(); far.Close(); <-done }()
				began := time.Now()
				_, _, err := s.Handshake(t.Context(), near)
				wantCause(t, err, CauseTimeout)
				if !errors.Is(err, spec.Timeout) {
					t.Fatalf("reason of %v is not timeout", err)
				}
				if took := time.Since(began); took != spec.HandshakeTimeout {
					t.Fatalf("took %v, want %v", took, spec.HandshakeTimeout)
				}
				if _, err := near.Write([]byte("x")); !errors.Is(err, io.ErrClosedPipe) {
					t.Fatalf("the connection is still open: %v", err)
				}
			})
		})
	}
}

// trickle writes one byte at a time until nobody takes them.
func trickle(c net.Conn, data []byte, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for _, b := range data {
		if _, err := c.Write([]byte{b}); err != nil {
			return
		}
		<-tick.C
	}
}

// The same with the real clock, over TCP, where a close has to end a read in the kernel.
func TestHandshakeTimeoutOverTCP(t *testing.T) {
	s := testServer(t, Config{Timeout: 50 * time.Millisecond})
	hello := clientHello(t, s)
	raw, peer := tcpPair(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		trickle(peer, hello, 5*time.Millisecond)
	}()
	_, _, err := s.Handshake(t.Context(), raw)
	wantCause(t, err, CauseTimeout)
	peer.Close()
	<-done
}

// Handshake leaves deadlines alone: one of the caller's that is shorter still counts.
func TestDeadlineOfTheCallerHolds(t *testing.T) {
	s := testServer(t, Config{})
	raw, _ := tcpPair(t)
	raw.SetReadDeadline(time.Unix(1, 0))
	_, _, err := s.Handshake(t.Context(), raw)
	wantCause(t, err, CauseTimeout)
	if _, err := raw.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection is still open: %v", err)
	}
}
