package server

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/impl/channel"
	"github.com/rustyonions/micronode/spec"
)

// BenchmarkAuditShare says what an audit record costs beside a put of 1 KiB over HTTP with keep-alive, both measured in one
// run: "append" is one record, "put" one request, and "share_%" the first as a part of the second. A put that is allowed
// appends none: the share is the upper bound of what the log can cost a request.
func BenchmarkAuditShare(b *testing.B) {
	n := benchNode(b)
	c, err := net.Dial("tcp", n.HTTPAddr())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	client, r := &httpClient{c, bufio.NewReader(c)}, newRing("audit", 1<<10)
	record := audit.Record{Time: time.Now(), Event: audit.Denied, Reason: spec.Unauth, Surface: audit.SurfaceHTTP, Op: spec.OpPut,
		Peer: audit.PeerAddr(netip.MustParseAddr("127.0.0.1")), CorrID: audit.CorrUint(1), HasKey: true, HasCap: true}
	var appends, puts time.Duration
	for i := 0; b.Loop(); i = (i + 1) % len(r.data) {
		n.store.Delete(r.addr[i])
		began := time.Now()
		err := client.do("201", fmt.Appendf(nil, "PUT /o/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Macaroon %s\r\nContent-Length: %d\r\n\r\n",
			r.addr[i], n.Bootstrap().Reveal(), len(r.data[i])), r.data[i])
		mid := time.Now()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := n.audit.Append(record); err != nil {
			b.Fatal(err)
		}
		puts, appends = puts+mid.Sub(began), appends+time.Since(mid)
	}
	b.ReportMetric(float64(appends)/float64(b.N), "append_ns")
	b.ReportMetric(float64(puts)/float64(b.N), "put_ns")
	b.ReportMetric(100*float64(appends)/float64(puts), "share_%")
}

// BenchmarkHTTPS gets and puts 1 KiB over TLS on one connection each, and the same from bare net/http under the same
// certificate and key exchange.
func BenchmarkHTTPS(b *testing.B) {
	for _, op := range []string{"GET", "PUT"} {
		r := newRing("tls", 1<<10)
		b.Run(op+"/floor", func(b *testing.B) {
			cert, err := channel.NewCertificate([]string{"127.0.0.1"}, time.Now())
			if err != nil {
				b.Fatal(err)
			}
			secure, err := channel.NewServer(channel.Config{Certificate: cert, Mode: channel.PQHybrid, Protocol: channel.HTTP})
			if err != nil {
				b.Fatal(err)
			}
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				b.Fatal(err)
			}
			s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
				if req.Method == http.MethodPut {
					io.Copy(io.Discard, req.Body)
					w.WriteHeader(http.StatusCreated)
					return
				}
				w.Header().Set("Content-Length", fmt.Sprint(len(r.data[0])))
				w.Write(r.data[0])
			})}
			go s.Serve(&securedListener{l, secure})
			b.Cleanup(func() { s.Close() })
			benchHTTPS(b, l.Addr().String(), nil, op, r)
		})
		b.Run(op+"/node", func(b *testing.B) {
			cfg := testConfig()
			cfg.HTTPS, cfg.Rate = "127.0.0.1:0", 1e9
			n, err := Start(cfg)
			if err != nil {
				b.Fatal(err)
			}
			b.Cleanup(func() { n.Shutdown(b.Context()) })
			fill(b, n, r)
			benchHTTPS(b, n.address(audit.SurfaceHTTPS), n, op, r)
		})
	}
}

// securedListener makes the handshake where it accepts, which is good enough for one connection.
type securedListener struct {
	net.Listener
	s *channel.Server
}

func (l *securedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	secured, _, err := l.s.Handshake(context.Background(), c)
	if err != nil {
		return nil, err
	}
	return secured, nil
}

func benchHTTPS(b *testing.B, addr string, n *Node, op string, r *ring) {
	c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true}) // the time of the handshake is not measured
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	client, token := &httpClient{c, bufio.NewReader(c)}, dummyToken
	if n != nil {
		token = n.Bootstrap().Reveal()
	}
	b.SetBytes(1 << 10)
	b.ReportAllocs()
	for i := 0; b.Loop(); i = (i + 1) % len(r.data) {
		head := fmt.Appendf(nil, "%s /o/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Macaroon %s\r\n", op, r.addr[i], token)
		if op == "GET" {
			err = client.do("200", append(head, "\r\n"...))
		} else {
			if n != nil {
				n.store.Delete(r.addr[i])
			}
			err = client.do("201", append(fmt.Appendf(head, "Content-Length: %d\r\n\r\n", len(r.data[i])), r.data[i]...))
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
