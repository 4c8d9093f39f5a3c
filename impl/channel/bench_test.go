package channel

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
)

// BenchmarkHandshake is one full handshake, both sides, over TCP on loopback. The two kinds of hybrid are what a node
// meets: peers with X25519MLKEM768, and those without.
func BenchmarkHandshake(b *testing.B) {
	for _, c := range []struct {
		name  string
		mode  PQMode
		offer []tls.CurveID
	}{
		{"classical", PQOff, []tls.CurveID{tls.X25519}},
		{"hybrid", PQHybrid, []tls.CurveID{tls.X25519MLKEM768, tls.X25519}},
		{"downgraded", PQHybrid, []tls.CurveID{tls.X25519}},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := testServer(b, Config{Mode: c.mode})
			client := clientFor(b, s)
			client.CurvePreferences = c.offer
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				for {
					raw, err := l.Accept()
					if err != nil {
						return
					}
					if _, r, err := s.Handshake(context.Background(), raw); err != nil || r.PostQuantum != (c.name == "hybrid") {
						b.Errorf("%+v, %v", r, err)
					}
					raw.Close()
				}
			}()
			b.ReportAllocs()
			for b.Loop() {
				raw, err := net.Dial("tcp", l.Addr().String())
				if err != nil {
					b.Fatal(err)
				}
				if err := tls.Client(raw, client).Handshake(); err != nil {
					b.Fatal(err)
				}
				raw.Close()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
			l.Close()
			<-done
		})
	}
}
