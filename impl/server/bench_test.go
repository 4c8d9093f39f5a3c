package server

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"lukechampine.com/blake3"

	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/spec"
)

// The benchmarks drive a whole node over loopback sockets, and the floor under it: the least that any server
// of the same shape must do, without hashing, storing, admission or metrics. Client and server share the machine;
// only the ratio of node to floor in one run means anything.

var sizes = []struct {
	name string
	n    int
}{{"1KiB", 1 << 10}, {"64KiB", 64 << 10}, {"1MiB", 1 << 20}}

// A benchmark goes round a ring of different objects, about ringBytes of them; each is deleted, in-process, before
// it is put again, so that every put is new and the store is in the steady state in which it recycles pages.
const (
	ringLen   = 32
	ringBytes = 8 << 20
)

type ring struct {
	data [][]byte
	addr []spec.Address
}

func newRing(tag string, size int) *ring {
	r := &ring{}
	for i := range min(ringLen, max(2, ringBytes/size)) {
		b := make([]byte, size)
		for j := range b {
			b[j] = byte(i + j*7)
		}
		copy(b, fmt.Sprint(tag, "/", i))
		r.data = append(r.data, b)
		r.addr = append(r.addr, spec.Address(blake3.Sum256(b)))
	}
	return r
}

func benchNode(b *testing.B) *Node {
	b.Helper()
	cfg := DefaultConfig()
	cfg.HTTP, cfg.OAP = "127.0.0.1:0", "127.0.0.1:0"
	cfg.Rate = 1e9
	n, err := Start(cfg)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { n.Shutdown(context.Background()) })
	return n
}

// httpFloor answers GET with the bodies in turn and drains PUT, on bare net/http.
func httpFloor(b *testing.B, bodies ...[]byte) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var turn atomic.Int64
	buffers := sync.Pool{New: func() any { return new([64 << 10]byte) }}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			buf := buffers.Get().(*[64 << 10]byte)
			for {
				if _, err := r.Body.Read(buf[:]); err != nil {
					break
				}
			}
			buffers.Put(buf)
			w.WriteHeader(http.StatusCreated)
			return
		}
		body := bodies[int(turn.Add(1))%len(bodies)]
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.Write(body)
	})}
	go s.Serve(l)
	b.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// httpClient is a keep-alive client that costs as little as possible: fixed request bytes, no parsing beyond the
// status and Content-Length.
type httpClient struct {
	c net.Conn
	r *bufio.Reader
}

func (c *httpClient) do(want string, req ...[]byte) error {
	bufs := net.Buffers(req)
	if _, err := bufs.WriteTo(c.c); err != nil {
		return err
	}
	length := 0
	for first := true; ; first = false {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if first && !strings.HasPrefix(string(line[9:]), want) {
			return fmt.Errorf("answer %q, want %s", line, want)
		}
		if len(line) == 2 {
			break
		}
		if v, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
			length, _ = strconv.Atoi(strings.TrimSpace(v))
		}
	}
	_, err := c.r.Discard(length)
	return err
}

func BenchmarkHTTP(b *testing.B) {
	for _, size := range sizes {
		r := newRing("http", size.n)
		for _, op := range []string{"get", "put"} {
			b.Run(op+"/"+size.name+"/floor", func(b *testing.B) {
				benchHTTP(b, httpFloor(b, make([]byte, size.n)), nil, op, size.n, r)
			})
			if op == "get" {
				// The floor sends one body for ever, which stays in the nearest cache; this one sends as many
				// different ones as the node does.
				b.Run(op+"/"+size.name+"/floor-ring", func(b *testing.B) {
					benchHTTP(b, httpFloor(b, r.data...), nil, op, size.n, r)
				})
			}
			b.Run(op+"/"+size.name+"/node", func(b *testing.B) {
				n := benchNode(b)
				benchHTTP(b, n.HTTPAddr(), n, op, size.n, r)
			})
		}
	}
}

func benchHTTP(b *testing.B, addr string, n *Node, op string, size int, shared *ring) {
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.SetParallelism(8) // 16 connections on 2 cores
	if n != nil && op == "get" {
		fill(b, n, shared)
	}
	rings := workerRings(op, size, shared)
	token := dummyToken // the floor reads as many bytes
	if n != nil {
		token = n.Bootstrap().Reveal()
	}
	var worker atomic.Int32
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		client := &httpClient{c, bufio.NewReaderSize(c, 64<<10)}
		r := rings[int(worker.Add(1)-1)%len(rings)]
		for i := 0; pb.Next(); i = (i + 1) % len(r.data) {
			head := fmt.Appendf(nil, "%s /o/%s HTTP/1.1\r\nHost: x\r\nAuthorization: Macaroon %s\r\n", strings.ToUpper(op), r.addr[i], token)
			if op == "get" {
				err = client.do("200", append(head, "\r\n"...))
			} else {
				if n != nil {
					n.store.Delete(r.addr[i])
				}
				err = client.do("201", fmt.Appendf(head, "Content-Length: %d\r\n\r\n", size), r.data[i])
			}
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// workerRings gives each of up to 16 workers of a put benchmark objects of its own; getters share theirs.
func workerRings(op string, size int, shared *ring) []*ring {
	if op == "get" {
		return []*ring{shared}
	}
	var rings []*ring
	for w := range 16 {
		rings = append(rings, newRing(fmt.Sprint("w", w), size))
	}
	return rings
}

func fill(b *testing.B, n *Node, r *ring) {
	b.Helper()
	for i := range r.data {
		w, err := n.store.NewWriter(nil, int64(len(r.data[i])))
		if err == nil {
			_, err = w.Write(r.data[i])
		}
		if err == nil {
			_, _, err = w.Commit()
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

// The OAP floor answers frames with frames: it reads each by its length and looks at nothing but START and END.
func oapFloor(b *testing.B, op string, size int) string {
	b.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	body := make([]byte, size)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go floorConn(c, op, body)
		}
	}()
	return l.Addr().String()
}

func floorConn(c net.Conn, op string, body []byte) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 256<<10)
	w := bufio.NewWriterSize(c, 256<<10)
	for {
		head, err := r.Peek(spec.HeaderLen)
		if err != nil {
			return
		}
		flags := spec.Flags(binary.BigEndian.Uint16(head[6:]))
		var h wire.Header
		h.Decode((*[spec.HeaderLen]byte)(head))
		if _, err := r.Discard(int(h.Len)); err != nil {
			return
		}
		if flags&spec.FlagEnd != 0 {
			h.Flags, h.CapLen = spec.FlagResp|spec.FlagEnd, 0
			if op == "get" {
				for off := 0; off < len(body); off += spec.MaxChunk {
					part := body[off:min(off+spec.MaxChunk, len(body))]
					frame, _ := wire.AppendHeader(w.AvailableBuffer(), &h, 0, len(part))
					w.Write(frame)
					w.Write(part)
				}
			}
			frame, _ := wire.AppendHeader(w.AvailableBuffer(), &h, 0, 0)
			w.Write(frame)
		}
		if r.Buffered() < spec.HeaderLen {
			if w.Flush() != nil {
				return
			}
		}
	}
}

func BenchmarkOAP(b *testing.B) {
	for _, size := range sizes {
		r := newRing("oap", size.n)
		for _, op := range []string{"get", "put"} {
			b.Run(op+"/"+size.name+"/floor", func(b *testing.B) {
				benchOAP(b, oapFloor(b, op, size.n), nil, op, size.n, r)
			})
			b.Run(op+"/"+size.name+"/node", func(b *testing.B) {
				n := benchNode(b)
				benchOAP(b, n.OAPAddr(), n, op, size.n, r)
			})
		}
	}
}

// benchOAP runs 8 connections with 8 requests in flight each.
func benchOAP(b *testing.B, addr string, n *Node, op string, size int, shared *ring) {
	const inFlight = 8
	b.SetBytes(int64(size))
	b.ReportAllocs()
	b.SetParallelism(4)
	if n != nil && op == "get" {
		fill(b, n, shared)
	}
	rings := workerRings(op, size, shared)
	token := dummyToken // the floor reads as many bytes
	if n != nil {
		token = n.Bootstrap().Reveal()
	}
	capability, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		b.Fatal(err)
	}
	var worker atomic.Int32
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer c.Close()
		client := &oapClient{c: c, r: bufio.NewReaderSize(c, 256<<10), cap: capability}
		r := rings[int(worker.Add(1)-1)%len(rings)]
		if n != nil {
			if err := client.hello(); err != nil {
				b.Error(err)
				return
			}
		}
		for i, more := 0, true; more; {
			k := 0
			for ; k < inFlight; k++ {
				if more = pb.Next(); !more {
					break
				}
				if n != nil && op == "put" {
					n.store.Delete(r.addr[i])
				}
				client.request(op, r.addr[i], r.data[i])
				i = (i + 1) % len(r.data)
			}
			if err := client.exchange(k); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// dummyToken is as long as a bootstrap token, for floors that do not look at it.
var dummyToken = strings.Repeat("A", 340)

type oapClient struct {
	c    net.Conn
	r    *bufio.Reader
	cap  []byte
	corr uint64
	head []byte
	cuts []int
	bods [][]byte
}

func (c *oapClient) hello() error {
	f, _ := wire.AppendFrame(nil, &wire.Header{Flags: spec.FlagReq}, nil, []byte("{}"))
	if _, err := c.c.Write(f); err != nil {
		return err
	}
	_, _, err := c.frame()
	return err
}

// request queues the frames of one request; bodies are not copied.
func (c *oapClient) request(op string, addr spec.Address, data []byte) {
	c.corr++
	h := wire.Header{Flags: spec.FlagReq | spec.FlagStart, Proto: spec.ProtoObjects, Corr: c.corr}
	req := wire.Request{Op: wire.OpPut, TotalLen: int64(len(data))}
	if op == "get" {
		h.Flags |= spec.FlagEnd
		req = wire.Request{Op: wire.OpGet, Obj: addr, HasObj: true}
	}
	c.head, _ = wire.AppendFrame(c.head, &h, c.cap, wire.AppendRequest(nil, &req))
	if op == "get" {
		return
	}
	for off := 0; off < len(data); off += spec.MaxChunk {
		part := data[off:min(off+spec.MaxChunk, len(data))]
		dh := wire.AppendDataHeader(nil, &wire.DataHeader{Offset: int64(off), TotalLen: int64(len(data))})
		h.Flags = spec.FlagReq
		c.head, _ = wire.AppendHeader(c.head, &h, 0, len(dh)+len(part))
		c.head = append(c.head, dh...)
		c.cuts = append(c.cuts, len(c.head))
		c.bods = append(c.bods, part)
	}
	h.Flags = spec.FlagReq | spec.FlagEnd
	c.head, _ = wire.AppendFrame(c.head, &h, nil, nil)
}

// exchange sends what was queued and reads k final answers.
func (c *oapClient) exchange(k int) error {
	var bufs net.Buffers
	at := 0
	for i, cut := range c.cuts {
		bufs = append(bufs, c.head[at:cut], c.bods[i])
		at = cut
	}
	bufs = append(bufs, c.head[at:])
	if _, err := bufs.WriteTo(c.c); err != nil {
		return err
	}
	c.head, c.cuts, c.bods = c.head[:0], c.cuts[:0], c.bods[:0]
	for k > 0 {
		flags, code, err := c.frame()
		if err != nil {
			return err
		}
		if code >= 400 {
			return fmt.Errorf("refused with code %d", code)
		}
		if flags&spec.FlagEnd != 0 && (code == spec.CodeOK || code == 0) {
			k--
		}
	}
	return nil
}

func (c *oapClient) frame() (spec.Flags, spec.Code, error) {
	head, err := c.r.Peek(spec.HeaderLen)
	if err != nil {
		return 0, 0, err
	}
	var h wire.Header
	h.Decode((*[spec.HeaderLen]byte)(head))
	if _, err = c.r.Discard(int(h.Len)); err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	// The floor marks its bodies like ends; they are longer.
	if h.Len > spec.HeaderLen && h.Code == 0 {
		h.Flags &^= spec.FlagEnd
	}
	return h.Flags, h.Code, err
}
