package channel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// CAP-TLS-001
func TestOnlyTLS13IsAccepted(t *testing.T) {
	s := testServer(t, Config{Mode: PQHybrid})
	for _, version := range []uint16{tls.VersionTLS10, tls.VersionTLS11, tls.VersionTLS12} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			client := clientFor(t, s)
			client.MinVersion, client.MaxVersion = version, version
			e := meet(t, s, client)
			wantCause(t, e.err, CauseVersion)
			if e.handshake == nil {
				t.Fatalf("the client has a connection with %s", tls.VersionName(e.client.Version))
			}
		})
	}
	e := meet(t, s, clientFor(t, s))
	if e.err != nil || e.handshake != nil || e.client.Version != tls.VersionTLS13 || string(e.data) != "x" {
		t.Fatalf("TLS 1.3: %+v", e)
	}
}

// CAP-TLS-004, CAP-TLS-005, CAP-TLS-006
func TestGroups(t *testing.T) {
	const hybrid, otherHybrid = tls.X25519MLKEM768, tls.SecP256r1MLKEM768
	every := []tls.CurveID{hybrid, otherHybrid, tls.SecP384r1MLKEM1024, tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521}
	for _, c := range []struct {
		mode  PQMode
		offer []tls.CurveID
		want  tls.CurveID // 0: refused
		cause Cause
	}{
		{PQOff, every, tls.X25519, ""},
		{PQOff, []tls.CurveID{tls.CurveP256}, tls.CurveP256, ""},
		{PQOff, []tls.CurveID{hybrid}, 0, CauseOther},
		{PQOff, []tls.CurveID{otherHybrid}, 0, CauseOther},

		{PQHybrid, every, hybrid, ""},
		{PQHybrid, []tls.CurveID{hybrid}, hybrid, ""},
		{PQHybrid, []tls.CurveID{tls.CurveP256, hybrid}, hybrid, ""},
		{PQHybrid, []tls.CurveID{otherHybrid, tls.X25519}, tls.X25519, ""},
		{PQHybrid, []tls.CurveID{tls.X25519}, tls.X25519, ""},
		{PQHybrid, []tls.CurveID{tls.CurveP256}, tls.CurveP256, ""},
		{PQHybrid, []tls.CurveID{tls.CurveP521}, 0, CauseOther},

		{PQRequired, every, hybrid, ""},
		{PQRequired, []tls.CurveID{hybrid}, hybrid, ""},
		{PQRequired, []tls.CurveID{tls.X25519}, 0, CauseNoPostQuantum},
		{PQRequired, []tls.CurveID{tls.X25519, tls.CurveP256, tls.CurveP384}, 0, CauseNoPostQuantum},
		{PQRequired, []tls.CurveID{otherHybrid, tls.X25519}, 0, CauseNoPostQuantum},
	} {
		t.Run(fmt.Sprint(c.mode, c.offer), func(t *testing.T) {
			s := testServer(t, Config{Mode: c.mode})
			client := clientFor(t, s)
			client.CurvePreferences = c.offer
			e := meet(t, s, client)
			if c.want == 0 {
				wantCause(t, e.err, c.cause)
				if e.handshake == nil {
					t.Fatalf("the client has a connection with %s", e.client.CurveID)
				}
				return
			}
			if e.err != nil || e.handshake != nil || e.client.CurveID != c.want {
				t.Fatalf("want %s, got %s; server: %v, client: %v", c.want, e.client.CurveID, e.err, e.handshake)
			}
			want := Result{
				Group:       strings.Replace(c.want.String(), "CurveP", "P-", 1),
				PostQuantum: c.want == hybrid,
				Downgraded:  c.mode == PQHybrid && c.want != hybrid,
			}
			if e.result != want {
				t.Fatalf("got %+v, want %+v", e.result, want)
			}
		})
	}
}

// CAP-TLS-003. HTTP peers may leave the protocol out, and never get another one.
func TestApplicationProtocol(t *testing.T) {
	for _, c := range []struct {
		protocol Protocol
		offer    []string
		want     string
		ok       bool
	}{
		{OAP, []string{"oap/1"}, "oap/1", true},
		{OAP, []string{"http/1.1", "oap/1"}, "oap/1", true},
		{OAP, nil, "", false},
		{OAP, []string{"http/1.1"}, "", false},
		{OAP, []string{"oap/10", "oap", "OAP/1"}, "", false},
		{HTTP, []string{"http/1.1"}, "http/1.1", true},
		{HTTP, []string{"h2", "http/1.1"}, "http/1.1", true},
		{HTTP, nil, "", true},
		{HTTP, []string{"h2"}, "", false},
		{HTTP, []string{"oap/1"}, "", false},
	} {
		t.Run(fmt.Sprint(c.protocol, c.offer), func(t *testing.T) {
			s := testServer(t, Config{Protocol: c.protocol})
			client := clientFor(t, s)
			client.NextProtos = c.offer
			e := meet(t, s, client)
			if !c.ok {
				wantCause(t, e.err, CauseALPN)
				if e.handshake == nil {
					t.Fatal("the client's handshake did not fail")
				}
				return
			}
			if e.err != nil || e.handshake != nil || e.client.NegotiatedProtocol != c.want {
				t.Fatalf("%+v", e)
			}
		})
	}
}

// A peer that breaks several rules is told of the one that crypto/tls stops at, so that versions and groups are counted
// as what they are.
func TestFirstCauseCounts(t *testing.T) {
	s := testServer(t, Config{Mode: PQRequired})
	client := clientFor(t, s)
	client.NextProtos, client.MaxVersion, client.CurvePreferences = nil, tls.VersionTLS12, []tls.CurveID{tls.X25519}
	wantCause(t, meet(t, s, client).err, CauseVersion)
	client.MaxVersion = tls.VersionTLS13
	wantCause(t, meet(t, s, client).err, CauseNoPostQuantum)
	client.CurvePreferences = nil
	wantCause(t, meet(t, s, client).err, CauseALPN)
}

// putCounter counts the session tickets that a client receives.
type putCounter struct {
	tls.ClientSessionCache
	puts atomic.Int32
}

func (p *putCounter) Put(key string, cs *tls.ClientSessionState) {
	p.puts.Add(1)
	p.ClientSessionCache.Put(key, cs)
}

// CAP-TLS-013
func TestNoSessionTickets(t *testing.T) {
	s := testServer(t, Config{})
	client := clientFor(t, s)
	cache := &putCounter{ClientSessionCache: tls.NewLRUClientSessionCache(8)}
	client.ClientSessionCache = cache
	for range 2 {
		e := meet(t, s, client)
		if e.err != nil || string(e.data) != "x" {
			t.Fatalf("%+v", e)
		}
		if e.client.DidResume {
			t.Fatal("a session was resumed")
		}
	}
	if n := cache.puts.Load(); n != 0 {
		t.Fatalf("the client received %d session tickets", n)
	}
}

// CAP-TLS-012: a failure has one cause, the cause is listed, and nothing that the peer sent is in the error.
func TestErrorsHoldNothingOfThePeer(t *testing.T) {
	const canary = "canary-5d1b"
	s := testServer(t, Config{ClientCAs: authority(t, "Authority").pool()})
	alpn := clientFor(t, s)
	alpn.NextProtos = []string{canary}
	impostor := clientFor(t, s)
	impostor.Certificates = []tls.Certificate{authority(t, canary).issue(t, canary, nil)}
	var errs []error
	errs = append(errs, meet(t, s, alpn).err, meet(t, s, impostor).err)
	for _, text := range []string{"GET /" + canary + " HTTP/1.1\r\n\r\n", "\x16\x03\x01\x00\x0b" + canary, "\x15\x03\x03\x00\x02\x02\x28"} {
		_, err := speak(t, s, []byte(text))
		errs = append(errs, err)
	}
	want := []Cause{CauseALPN, CauseClientCertificate, CauseNotTLS, "", ""}
	for i, err := range errs {
		var e *Error
		if !errors.As(err, &e) {
			t.Fatalf("%d: not an Error: %v", i, err)
		}
		if want[i] != "" && e.Cause != want[i] {
			t.Errorf("%d: cause %s, want %s", i, e.Cause, want[i])
		}
		if !slices.Contains(Causes(), e.Cause) {
			t.Errorf("%d: cause %q is not listed", i, e.Cause)
		}
		for inner := error(e); inner != nil; inner = errors.Unwrap(inner) {
			if text := fmt.Sprintf("%v %+v %#v", inner, inner, inner); strings.Contains(text, canary) {
				t.Errorf("%d: the peer's bytes are in the error: %s", i, text)
			}
		}
	}
}

func TestPeerThatGivesUp(t *testing.T) {
	s := testServer(t, Config{})
	_, err := speak(t, s, nil)
	wantCause(t, err, CauseClosed)
	_, err = speak(t, s, clientHello(t, s)[:40])
	wantCause(t, err, CauseClosed)
}

func TestContextEndsAHandshake(t *testing.T) {
	s := testServer(t, Config{})
	raw, peer := tcpPair(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, _, err := s.Handshake(ctx, raw)
		done <- err
	}()
	cancel()
	wantCause(t, <-done, CauseClosed)
	if _, err := peer.Read(make([]byte, 1)); err == nil {
		t.Fatal("the connection is still open")
	}
}

func TestServerConfigIsValidated(t *testing.T) {
	good := Config{Certificate: testCertificate(t), Mode: PQOff, Protocol: HTTP}
	if _, err := NewServer(good); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*Config){
		"no certificate": func(c *Config) { c.Certificate = Certificate{} },
		"no mode":        func(c *Config) { c.Mode = "" },
		"unknown mode":   func(c *Config) { c.Mode = "maybe" },
		"no protocol":    func(c *Config) { c.Protocol = "" },
		"h2":             func(c *Config) { c.Protocol = "h2" },
		"negative time":  func(c *Config) { c.Timeout = -1 },
		"too much time":  func(c *Config) { c.Timeout = spec.HandshakeTimeout + time.Nanosecond }, // CAP-TLS-008
	} {
		bad := good
		spoil(&bad)
		if _, err := NewServer(bad); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	for _, s := range []string{"", "Off", "hybrid ", "on", "true"} {
		if _, err := ParsePQMode(s); err == nil {
			t.Errorf("pq_mode %q accepted", s)
		}
	}
	for _, m := range []PQMode{PQOff, PQHybrid, PQRequired} {
		if got, err := ParsePQMode(string(m)); err != nil || got != m {
			t.Errorf("pq_mode %q: %q, %v", m, got, err)
		}
	}
}
