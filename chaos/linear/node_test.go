package linear_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rustyonions/micronode/chaos/linear"
	"github.com/rustyonions/micronode/impl/server"
	"github.com/rustyonions/micronode/impl/wire"
	"github.com/rustyonions/micronode/model/refcap"
	"github.com/rustyonions/micronode/spec"
)

// nodeShape is what workloads for a node look like. Its store can not be made as small as that of storeShape, so the
// objects are larger.
var nodeShape = linear.Shape{Clients: 12, Objects: 4, Ops: 5, Sizes: []int{0, 300, 70_000, 300_000, 500_000}}

// patience is after how long a silent node counts as one that does not answer. The law gives it 5 seconds (ADM-TIM-001).
const patience = 30 * time.Second

// node is a node in this process, reached through its sockets.
type node struct {
	t *testing.T
	n *server.Node
	// token is the bootstrap token of the node, in text, and capability the same in binary form.
	token      string
	capability []byte
	// opened are the clients, to be closed in the end.
	opened []interface{ close() }
}

func startNode(t *testing.T) *node {
	t.Helper()
	cfg := server.DefaultConfig()
	cfg.HTTP, cfg.OAP = "127.0.0.1:0", "127.0.0.1:0"
	cfg.StoreBytes, cfg.Rate = 1<<20, 1e6
	n, err := server.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	token := n.Bootstrap().Reveal()
	capability, err := refcap.Binary(token)
	if err != nil {
		t.Fatal(err)
	}
	return &node{t: t, n: n, token: token, capability: capability}
}

func (n *node) stop() {
	for _, c := range n.opened {
		c.close()
	}
	if err := n.n.Shutdown(context.Background()); err != nil {
		n.t.Errorf("shutdown: %v", err)
	}
}

// client connects over a surface, "http" or "oap".
func (n *node) client(surface string) linear.Client {
	n.t.Helper()
	if surface == "http" {
		c := &httpClient{t: n.t, base: "http://" + n.n.HTTPAddr(), token: n.token, tr: &http.Transport{DisableCompression: true, ResponseHeaderTimeout: patience}}
		n.opened = append(n.opened, c)
		return c
	}
	conn, err := net.Dial("tcp", n.n.OAPAddr())
	if err != nil {
		n.t.Fatal(err)
	}
	c := &oapClient{t: n.t, c: conn, capability: n.capability, dec: wire.NewDecoder(spec.MaxFrame)}
	n.opened = append(n.opened, c)
	c.hello()
	return c
}

// gauge reads a metric of the node.
func (n *node) gauge(name string) string {
	n.t.Helper()
	res, err := http.Get("http://" + n.n.HTTPAddr() + "/metrics")
	if err != nil {
		n.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		n.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			return strings.TrimSpace(value)
		}
	}
	n.t.Fatalf("no metric %s", name)
	return ""
}

// httpClient asks over HTTP, on a connection of its own.
type httpClient struct {
	t           *testing.T
	base, token string
	tr          *http.Transport
}

func (c *httpClient) Surface() string { return "http" }
func (c *httpClient) close()          { c.tr.CloseIdleConnections() }

func (c *httpClient) Do(r linear.Request, objects []linear.Object, payloads [][]byte) linear.Answer {
	path := "/o/" + objects[r.Object].Address.String()
	switch r.Kind {
	case linear.Put:
		return c.put(r, path, objects, payloads)
	case linear.Get:
		return c.get(r, path, payloads[r.Object])
	case linear.Delete:
		return c.ask(http.MethodDelete, path, func(*http.Response) linear.Answer { return linear.Deleted })
	case linear.Stat:
		return c.ask(http.MethodHead, path, func(res *http.Response) linear.Answer {
			return choose(res.ContentLength == int64(objects[r.Object].Size), linear.Size, linear.OtherSize)
		})
	default: // HTTP asks whether an object is there with HEAD, too
		a := c.ask(http.MethodHead, path, func(*http.Response) linear.Answer { return linear.True })
		return choose(a == linear.Answer(spec.NotFound), linear.False, a)
	}
}

// ask sends a request without a body.
func (c *httpClient) ask(method, path string, good func(*http.Response) linear.Answer) linear.Answer {
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, nil)
	if err != nil {
		c.t.Error(err)
		return linear.Lost
	}
	return c.send(req, good)
}

// send sends a request and reads the reason of a refusal.
func (c *httpClient) send(req *http.Request, good func(*http.Response) linear.Answer) linear.Answer {
	req.Header.Set("Authorization", "Macaroon "+c.token)
	res, err := c.tr.RoundTrip(req)
	if errors.Is(err, errGivenUp) {
		return linear.GivenUp
	}
	if err != nil {
		c.t.Logf("%s %s: %v", req.Method, req.URL.Path, err)
		return linear.Lost
	}
	defer res.Body.Close()
	if res.StatusCode < 300 {
		return good(res)
	}
	if req.Method == http.MethodHead && res.StatusCode == http.StatusNotFound {
		return linear.Answer(spec.NotFound)
	}
	var problem struct {
		Reason spec.Reason `json:"reason"`
	}
	if err := json.NewDecoder(res.Body).Decode(&problem); err != nil || !problem.Reason.Known() {
		c.t.Errorf("%s %s: %s without a reason: %v", req.Method, req.URL.Path, res.Status, err)
		return linear.Lost
	}
	_, _ = io.Copy(io.Discard, res.Body) // so that the connection is used again
	return linear.Answer(problem.Reason)
}

var errGivenUp = errors.New("given up by the client")

// pieces is a body that comes in pieces, lets others run in between, and may end with an error.
type pieces struct {
	list [][]byte
	end  error
}

func (p *pieces) Read(b []byte) (int, error) {
	runtime.Gosched()
	if len(p.list) == 0 {
		return 0, p.end
	}
	n := copy(b, p.list[0])
	if p.list[0] = p.list[0][n:]; len(p.list[0]) == 0 {
		p.list = p.list[1:]
	}
	return n, nil
}

func (c *httpClient) put(r linear.Request, path string, objects []linear.Object, payloads [][]byte) linear.Answer {
	body, length := r.Body(payloads)
	source := &pieces{end: io.EOF}
	_ = r.Cut(body, func(piece []byte) error { source.list = append(source.list, piece); return nil })
	method := http.MethodPut
	if !r.Declared {
		method, path = http.MethodPost, "/put"
	}
	if r.Fault == linear.Cancelled {
		source.end = errGivenUp
		length++ // so that it is not complete by accident
	}
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.base+path, io.NopCloser(source))
	if err != nil {
		c.t.Error(err)
		return linear.Lost
	}
	req.ContentLength = -1
	if r.Sized {
		req.ContentLength = length
	}
	return c.send(req, func(res *http.Response) linear.Answer {
		var stored struct {
			Address spec.Address `json:"address"`
		}
		if err := json.NewDecoder(res.Body).Decode(&stored); err != nil || stored.Address != objects[r.Object].Address {
			c.t.Errorf("put of %s was answered with %s, %v", objects[r.Object].Address, stored.Address, err)
		}
		return choose(res.StatusCode == http.StatusCreated, linear.Created, linear.Existed)
	})
}

func (c *httpClient) get(r linear.Request, path string, payload []byte) linear.Answer {
	return c.ask(http.MethodGet, path, func(res *http.Response) linear.Answer {
		got := make([]byte, 0, len(payload)+1)
		piece := make([]byte, 1+len(payload)/max(r.Pieces, 1))
		for {
			n, err := res.Body.Read(piece)
			got = append(got, piece[:n]...)
			if err == io.EOF {
				return choose(bytes.Equal(got, payload), linear.Bytes, linear.OtherBytes)
			}
			if err != nil || len(got) > len(payload) {
				c.t.Errorf("get of %d bytes: %d, %v", len(payload), len(got), err)
				return linear.OtherBytes
			}
			runtime.Gosched()
		}
	})
}

// oapClient asks over OAP/1, one stream after the other on a connection of its own.
type oapClient struct {
	t          *testing.T
	c          net.Conn
	capability []byte // of every START
	dec        *wire.Decoder
	corr       uint64
}

func (c *oapClient) Surface() string { return "oap" }
func (c *oapClient) close()          { c.c.Close() }

func (c *oapClient) hello() {
	c.t.Helper()
	if err := c.write(wire.Header{Flags: spec.FlagReq}, []byte("{}")); err != nil {
		c.t.Fatal(err)
	}
	var f wire.Frame
	if err := c.read(&f); err != nil || f.Code != spec.CodeOK {
		c.t.Fatalf("answer to HELLO: %d %s %v", f.Code, f.Payload, err)
	}
}

func (c *oapClient) write(h wire.Header, payload []byte) error {
	var capability []byte
	if h.Flags&spec.FlagStart != 0 {
		capability = c.capability
	}
	b, err := wire.AppendFrame(nil, &h, capability, payload)
	if err == nil {
		_, err = c.c.Write(b)
	}
	return err
}

// read reads the next frame; f holds until the next call.
func (c *oapClient) read(f *wire.Frame) error {
	for {
		switch v, reason := c.dec.Next(f); v {
		case wire.Accept:
			return nil
		case wire.Reject:
			return reason
		}
		n, err := c.c.Read(c.dec.Space())
		c.dec.Filled(n)
		if n == 0 && err != nil {
			return err
		}
	}
}

func (c *oapClient) Do(r linear.Request, objects []linear.Object, payloads [][]byte) linear.Answer {
	c.corr++
	_ = c.c.SetDeadline(time.Now().Add(patience))
	a, err := c.do(r, objects[r.Object], payloads)
	if err != nil {
		c.t.Logf("%s over OAP: %v", r, err)
		return linear.Lost
	}
	return a
}

var wireOps = map[linear.Kind]wire.Op{
	linear.Put: wire.OpPut, linear.Get: wire.OpGet, linear.Has: wire.OpHas, linear.Stat: wire.OpStat, linear.Delete: wire.OpDelete,
}

func (c *oapClient) do(r linear.Request, o linear.Object, payloads [][]byte) (linear.Answer, error) {
	req := wire.Request{Op: wireOps[r.Kind], Obj: o.Address, HasObj: true}
	if r.Kind == linear.Put {
		req.HasObj = r.Declared
		if err := c.put(r, req, payloads); err != nil {
			return linear.Lost, err
		}
		if r.Fault == linear.Cancelled {
			return linear.GivenUp, nil // no answer to CANCEL; a refusal before it is skipped by answer
		}
	} else if err := c.frame(spec.FlagStart|spec.FlagEnd, spec.CodeRequest, wire.AppendRequest(nil, &req)); err != nil {
		return linear.Lost, err
	}
	return c.answer(r, o, req.Op, payloads[r.Object])
}

// frame sends one frame of the stream.
func (c *oapClient) frame(flags spec.Flags, code spec.Code, payload []byte) error {
	return c.write(wire.Header{Flags: spec.FlagReq | flags, Code: code, Proto: spec.ProtoObjects, Corr: c.corr}, payload)
}

// put sends START, a body in pieces, and END or CANCEL. A refusal on the way is read behind that.
func (c *oapClient) put(r linear.Request, req wire.Request, payloads [][]byte) error {
	body, length := r.Body(payloads)
	req.TotalLen = length
	if r.Fault == linear.Cancelled {
		req.TotalLen++
	}
	if err := c.frame(spec.FlagStart, spec.CodeRequest, wire.AppendRequest(nil, &req)); err != nil {
		return err
	}
	head := wire.DataHeader{Obj: req.Obj, HasObj: req.HasObj, TotalLen: req.TotalLen}
	err := r.Cut(body, func(piece []byte) error {
		runtime.Gosched()
		for len(piece) > 0 {
			n := min(len(piece), spec.MaxChunk)
			if err := c.frame(0, spec.CodeRequest, append(wire.AppendDataHeader(nil, &head), piece[:n]...)); err != nil {
				return err
			}
			head.Offset += int64(n)
			piece = piece[n:]
		}
		return nil
	})
	if err != nil {
		return err
	}
	runtime.Gosched()
	if r.Fault == linear.Cancelled {
		return c.frame(spec.FlagEnd, spec.CodeCancel, nil)
	}
	return c.frame(spec.FlagEnd, spec.CodeRequest, nil)
}

// answer reads to the end of the stream.
func (c *oapClient) answer(r linear.Request, o linear.Object, op wire.Op, payload []byte) (linear.Answer, error) {
	var f wire.Frame
	at := 0
	same := true
	for {
		if err := c.read(&f); err != nil {
			return linear.Lost, err
		}
		switch {
		case f.Corr < c.corr: // the refusal of a put that was cancelled
			continue
		case f.Code == spec.CodeData:
			var h wire.DataHeader
			b, reason := wire.ParseData(f.Payload, &h)
			if reason != spec.None || h.Offset != int64(at) {
				return linear.Lost, errors.Join(errors.New("bad DATA"), reason)
			}
			same = same && at+len(b) <= len(payload) && bytes.Equal(b, payload[at:at+len(b)])
			at += len(b)
			runtime.Gosched()
		case f.Code == spec.CodeOK:
			var a wire.Answer
			if reason := wire.ParseAnswer(f.Payload, op, &a); reason != spec.None || a.Obj != o.Address {
				c.t.Errorf("answer to %s of %s: %s", r, o.Address, f.Payload)
			}
			return good(r, a, o, same && at == len(payload)), nil
		default:
			var e wire.Error
			if reason := wire.ParseError(f.Payload, &e); reason != spec.None || f.Corr != c.corr {
				return linear.Lost, errors.New("code " + strconv.Itoa(int(f.Code)) + " " + string(f.Payload))
			}
			return linear.Answer(e.Reason), nil
		}
	}
}

// good translates a final answer; whole says of a get that its bytes were right.
func good(r linear.Request, a wire.Answer, o linear.Object, whole bool) linear.Answer {
	right := a.Size == int64(o.Size)
	switch r.Kind {
	case linear.Put:
		return choose(a.Created, linear.Created, linear.Existed)
	case linear.Get:
		return choose(right && whole, linear.Bytes, linear.OtherBytes)
	case linear.Has:
		return choose(a.Exists, linear.True, linear.False)
	case linear.Stat:
		return choose(right, linear.Size, linear.OtherSize)
	}
	return linear.Deleted
}

// surfaceOf is how a client of a workload reaches the node: both surfaces at once, on the same objects.
func surfaceOf(client int) string { return []string{"http", "oap"}[client%2] }

// fitSurfaces makes a plan fit for its surfaces. Over OAP every put declares its length. The framing of HTTP leaves no
// room for more or fewer bytes than declared; such puts are cut off instead.
func fitSurfaces(p *linear.Plan) {
	for client, requests := range p.Requests {
		for i := range requests {
			r := &requests[i]
			switch {
			case r.Kind != linear.Put:
			case surfaceOf(client) == "oap":
				r.Sized = true
			case r.Fault == linear.TooLong || r.Fault == linear.TooShort:
				r.Fault = linear.Cancelled
			}
		}
	}
}

// runOnNode carries out plans on one node, with the same connections for all.
func runOnNode(n *node, clients int, wrap func(linear.Client) linear.Client) func(linear.Plan, [][]byte) linear.History {
	var list []linear.Client
	for i := range clients {
		list = append(list, wrap(n.client(surfaceOf(i))))
	}
	auditor := wrap(n.client("oap"))
	return func(p linear.Plan, payloads [][]byte) linear.History { return linear.Run(p, payloads, list, auditor) }
}

// TestNodeHistories checks histories of clients that use a node over HTTP and OAP/1 at the same time (CAS-LIN-001).
func TestNodeHistories(t *testing.T) {
	n := startNode(t)
	defer n.stop()
	c := newCampaign("node", nodeShape, max(1, *histories/20))
	c.adapt = fitSurfaces
	c.run = runOnNode(n, nodeShape.Clients, func(c linear.Client) linear.Client { return c })
	c.all(t)
	c.report(t, everySurface, fullFaults)
	// CAS-CAP-008: everything was deleted by the auditor.
	for _, gauge := range []string{"store_objects", "store_bytes"} {
		if v := n.gauge(gauge); v != "0" {
			t.Errorf("%s is %s when everything is deleted", gauge, v)
		}
	}
}

// TestNodeWithACache puts a cache before the HTTP surface that does not hear of deletes. Histories of one surface alone
// would not need more than luck to show it; over both it has to be caught soon.
func TestNodeWithACache(t *testing.T) {
	n := startNode(t)
	defer n.stop()
	const within = 100
	c := newCampaign("node", nodeShape, within)
	c.adapt = fitSurfaces
	b := &bug{there: map[int]int{}}
	b.do = func(b *bug, r linear.Request, plain func() linear.Answer) linear.Answer {
		if r.Kind == linear.Get && b.get(r.Object) > 0 {
			return linear.Bytes
		}
		a := plain()
		if a == linear.Bytes {
			b.set(r.Object, 1)
		}
		return a
	}
	run := runOnNode(n, nodeShape.Clients, func(c linear.Client) linear.Client {
		if c.Surface() == "http" {
			return faulty{c, b}
		}
		return c
	})
	c.run = func(p linear.Plan, payloads [][]byte) linear.History {
		clear(b.there) // other objects
		return run(p, payloads)
	}
	for i := range within {
		h, r := c.next(t, i)
		if r.Verdict != linear.Illegal {
			continue
		}
		core := shrink(t, h)
		t.Logf("history %d is illegal, %d operations shrunk to %d", i+1, len(h.Ops), len(core.History.Ops))
		if len(core.History.Ops) <= 6 {
			t.Log(strings.Join(core.Lines(), "\n"))
			return
		}
	}
	t.Errorf("not caught with a core of at most 6 operations in %d histories from seed %d", within, c.first)
}
