package tour

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rustyonions/micronode/model/refcap"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// link is a connection that was greeted, with streams that are opened one behind the other. It is for one goroutine.
type link struct {
	*conn
	cap   []byte // of every START
	corr  uint64 // of the latest stream
	piece int    // bytes of the body of a DATA frame
}

// greet connects to the node and says HELLO. maxFrame bounds the frames of both sides, in bytes; 0 leaves it to the law.
func (t *target) greet(maxFrame int64) (*link, error) { return greet(t.OAP, maxFrame, t.cap) }

func greet(url string, maxFrame int64, token []byte) (*link, error) {
	c, err := dial(url)
	if err != nil {
		return nil, err
	}
	c.send(seal(refwire.Frame{Flags: spec.FlagReq, Corr: greeting, Payload: refwire.EncodeHello(refwire.Hello{AcceptMaxFrame: maxFrame})}), "HELLO")
	f, err := c.read(time.Now().Add(patience))
	if h, bad := refwire.DecodeHelloReply(f.Data); err == nil && (bad != spec.None || f.Code != spec.CodeOK || !h.Amnesia) {
		err = fmt.Errorf("%w: %s: %s", errTour, name(f), f.Data)
	}
	if err != nil {
		c.reset()
		return nil, fmt.Errorf("HELLO is answered by %w", err)
	}
	l := &link{conn: c, cap: token, piece: spec.MaxChunk}
	if maxFrame > 0 {
		l.piece = int(maxFrame) - 512 // for header and JSON
	}
	return l, nil
}

// open is a START on a new stream.
func (l *link) open(flags spec.Flags, r refwire.Request) []byte {
	l.corr++
	return l.frame(l.corr, spec.FlagStart|flags, refwire.EncodeRequest(r))
}

func (l *link) frame(corr uint64, flags spec.Flags, payload []byte) []byte {
	f := refwire.Frame{Flags: spec.FlagReq | flags, Proto: spec.ProtoObjects, Corr: corr, Payload: payload}
	if flags&spec.FlagStart != 0 {
		f.Cap = l.cap
	}
	return seal(f)
}

// data are DATA frames for body, which stands at from in a put of r.
func (l *link) data(corr uint64, r refwire.Request, from int64, body []byte) []byte {
	all := make([]byte, 0, len(body)+(len(body)/l.piece+1)*256)
	for len(body) > 0 {
		n := min(len(body), l.piece)
		d := refwire.Data{Obj: r.Obj, HasObj: r.HasObj, Offset: from, TotalLen: r.TotalLen, Body: body[:n]}
		all = append(all, l.frame(corr, 0, refwire.EncodeData(d))...)
		from, body = from+int64(n), body[n:]
	}
	return all
}

func (l *link) cancel(corr uint64) []byte {
	return seal(refwire.Frame{Flags: spec.FlagReq | spec.FlagEnd, Code: spec.CodeCancel, Proto: spec.ProtoObjects, Corr: corr})
}

func (l *link) ack(corr uint64, upTo int64) []byte {
	return seal(refwire.Frame{Flags: spec.FlagEvent, Code: spec.CodeAck, Proto: spec.ProtoObjects, Corr: corr, Payload: refwire.EncodeAck(upTo)})
}

// exchange sends frames and returns, by stream, what the node says to them before it answers a fence behind them.
func (l *link) exchange(frames []byte, note string) (map[uint64][]refwire.Frame, error) {
	return l.exchangeAnd(frames, nil, note)
}

// exchangeAnd is exchange with something behind the fence, in the same write.
func (l *link) exchangeAnd(frames, behind []byte, note string) (map[uint64][]refwire.Frame, error) {
	l.send(slices.Concat(frames, closeFence(), behind), note)
	said := map[uint64][]refwire.Frame{}
	for by := time.Now().Add(patience); ; {
		f, err := l.read(by)
		if err != nil {
			return said, err
		}
		if f.Corr == fence {
			return said, nil
		}
		said[f.Corr] = append(said[f.Corr], f)
	}
}

// final reads the one frame that answers a request: its reason, or what it says.
func final(op string, frames []refwire.Frame) (refwire.Answer, spec.Reason, error) {
	if len(frames) != 1 || frames[0].Flags != spec.FlagResp|spec.FlagEnd {
		return refwire.Answer{}, spec.None, fmt.Errorf("%w: %s is answered by %s", errTour, op, names(frames))
	}
	f := frames[0]
	if f.Code == spec.CodeOK {
		a, bad := refwire.DecodeAnswer(op, f.Data)
		if bad != spec.None {
			return a, spec.None, fmt.Errorf("%w: %s is answered %s", errTour, op, f.Data)
		}
		return a, spec.None, nil
	}
	e, bad := refwire.DecodeError(f.Data)
	if bad != spec.None || e.Reason.Code() != f.Code {
		return refwire.Answer{}, spec.None, fmt.Errorf("%w: %s is answered %s: %s", errTour, op, name(f), f.Data)
	}
	return refwire.Answer{}, e.Reason, nil
}

// lastWords reads to the end of a connection, and returns a frame that says that a stream went well.
func (l *link) lastWords(corr uint64) (f refwire.Frame, ok bool) {
	for by := time.Now().Add(patience); ; {
		f, err := l.read(by)
		if err != nil {
			return f, false
		}
		if f.Corr == corr && f.Code < 400 {
			return f, true
		}
	}
}

func names(frames []refwire.Frame) string {
	if len(frames) == 0 {
		return "nothing"
	}
	var all []string
	for _, f := range frames {
		all = append(all, name(f))
	}
	return strings.Join(all, "; ")
}

// openGet is a get that its window holds up: its START asked for ACKs, and none came.
type openGet struct {
	corr   uint64
	want   []byte // what is still to come
	frames int64  // that came
}

// begin takes as much as the window lets through.
func (g *openGet) begin(c *link, obj spec.Address) error {
	c.send(c.open(spec.FlagEnd|spec.FlagAckReq, refwire.Request{Op: "get", Obj: obj, HasObj: true}), "get")
	g.corr = c.corr
	for range spec.Window {
		if err := g.take(c); err != nil {
			return err
		}
	}
	if len(g.want) == 0 {
		return errors.New("the window does not hold up this get")
	}
	return nil
}

// take takes one DATA frame, and checks every byte of it.
func (g *openGet) take(c *link) error {
	f, err := c.read(time.Now().Add(patience))
	if err != nil {
		return err
	}
	b, bad := refwire.DecodeData(f.Data)
	if f.Corr != g.corr || f.Flags != spec.FlagResp || f.Code != spec.CodeData || bad != spec.None || !bytes.HasPrefix(g.want, b.Body) {
		return fmt.Errorf("%w: a get of %d more bytes is answered %s", errTour, len(g.want), name(f))
	}
	g.want, g.frames = g.want[len(b.Body):], g.frames+1
	return nil
}

// more lets one frame more come. The last bytes are left for the end.
func (g *openGet) more(c *link) error {
	c.send(c.ack(g.corr, g.frames+1-spec.Window), "ACK")
	if err := g.take(c); err != nil {
		return err
	}
	if len(g.want) <= spec.MinMaxFrame {
		return errors.New("this tour reads more of a get than it has")
	}
	return nil
}

// rest lets everything come, to the final answer.
func (g *openGet) rest(c *link) error {
	for len(g.want) > 0 {
		c.send(c.ack(g.corr, g.frames), "ACK")
		for n := 0; n < spec.Window && len(g.want) > 0; n++ {
			if err := g.take(c); err != nil {
				return err
			}
		}
	}
	f, err := c.read(time.Now().Add(patience))
	if err != nil {
		return err
	}
	_, reason, err := final("get", []refwire.Frame{f})
	if err == nil && (reason != spec.None || f.Corr != g.corr) {
		err = fmt.Errorf("%w: a get ends with %s", errTour, name(f))
	}
	return err
}

// web is a kept connection to the HTTP surface. It is for one goroutine.
type web struct {
	nc    *net.TCPConn
	br    *bufio.Reader
	token string // of every request, in text
}

// browse connects to the HTTP surface of the node.
func (t *target) browse() (*web, error) {
	nc, err := net.DialTimeout("tcp", strings.TrimPrefix(t.HTTP, "http://"), patience)
	if err != nil {
		return nil, err
	}
	return &web{nc.(*net.TCPConn), bufio.NewReader(nc), refcap.Text(t.cap)}, nil
}

// request sends a request with the token; fields are further ones, each with its line end.
func (w *web) request(line, fields, body string) {
	w.send(line + " HTTP/1.1\r\nHost: x\r\nAuthorization: Macaroon " + w.token + "\r\n" + fields + "\r\n" + body)
}

// reset closes the connection without the courtesy of an end.
func (w *web) reset() {
	w.nc.SetLinger(0)
	w.nc.Close()
}

// send writes text. That the node may have closed the connection shows in what it answers.
func (w *web) send(text string) {
	w.nc.SetWriteDeadline(time.Now().Add(patience))
	io.WriteString(w.nc, text)
}

// reply is what the node says to an HTTP request.
type reply struct {
	*http.Response
	body   []byte
	reason spec.Reason // of a refusal
}

// receive reads the answer to a request with method.
func (w *web) receive(method string) (reply, error) {
	return w.receiveBy(method, time.Now().Add(patience))
}

func (w *web) receiveBy(method string, by time.Time) (reply, error) {
	w.nc.SetReadDeadline(by)
	resp, err := http.ReadResponse(w.br, &http.Request{Method: method})
	if err != nil {
		return reply{}, err
	}
	r := reply{Response: resp}
	if r.body, err = io.ReadAll(resp.Body); err != nil {
		return r, err
	}
	if resp.Header.Get("Content-Type") != "application/problem+json" || method == http.MethodHead {
		return r, nil
	}
	var problem struct{ Reason spec.Reason }
	if err := json.Unmarshal(r.body, &problem); err != nil || problem.Reason.Facts().Status != resp.StatusCode {
		return r, fmt.Errorf("%w: %s is answered %s: %s", errTour, method, resp.Status, r.body)
	}
	r.reason = problem.Reason
	return r, nil
}

// ask makes one request without a body.
func (w *web) ask(method, path string) (reply, error) {
	w.request(method+" "+path, "", "")
	return w.receive(method)
}

// upload is a put over HTTP that does not say how long it is.
type upload struct{ *web }

// upload begins one. It returns when the node waits for the body, or with the reason why it will not.
func (w *web) upload() (upload, spec.Reason, error) {
	return w.begin("Transfer-Encoding: chunked")
}

// uploadOf is upload with a length, which leaves the connection open behind it (ADM-HTP-008): the body is sent as it is.
func (w *web) uploadOf(n int) (spec.Reason, error) {
	_, reason, err := w.begin("Content-Length: " + strconv.Itoa(n))
	return reason, err
}

func (w *web) begin(framing string) (upload, spec.Reason, error) {
	w.request("POST /put", framing+"\r\nExpect: 100-continue\r\n", "")
	r, err := w.receive(http.MethodPost)
	if err == nil && r.StatusCode != http.StatusContinue && r.reason == spec.None {
		err = fmt.Errorf("%w: an upload is answered %s before its body", errTour, r.Status)
	}
	return upload{w}, r.reason, err
}

func (u upload) arrive(b []byte) {
	u.nc.SetWriteDeadline(time.Now().Add(patience))
	chunk := net.Buffers{[]byte(strconv.FormatInt(int64(len(b)), 16) + "\r\n"), b, []byte("\r\n")}
	chunk.WriteTo(u.nc)
}

func (u upload) end() { u.send("0\r\n\r\n") }

// stored reads the answer to the upload: the address, and whether the object is new.
func (u upload) stored() (obj spec.Address, created bool, reason spec.Reason, err error) {
	r, err := u.receive(http.MethodPost)
	if err != nil || r.reason != spec.None {
		return obj, false, r.reason, err
	}
	var told struct{ Address string }
	err = json.Unmarshal(r.body, &told)
	if err == nil {
		obj, err = spec.ParseAddress(told.Address)
	}
	if created = r.StatusCode == http.StatusCreated; err != nil || !created && r.StatusCode != http.StatusOK {
		return obj, created, spec.None, errors.Join(err, fmt.Errorf("%w: an upload is answered %s: %s", errTour, r.Status, r.body))
	}
	return obj, created, spec.None, nil
}
