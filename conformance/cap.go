package conformance

import (
	"encoding/hex"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/model/refcap"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// The cases about capabilities open the token of the run and append to it: that needs no key, and so any bytes at all can
// stand in a caveat that is signed.

// revocationSlack is what a machine with other work may take beyond the second of CAP-REV-002, CAP-REV-003 and CAP-REV-006.
const revocationSlack = time.Second

// warrant is the capability of p, opened.
func (p *Peer) warrant() refcap.Token {
	if p.cap == nil {
		p.t.Unsupportedf("the run has no capability for the node")
	}
	w, rest, err := refcap.Parse(p.cap)
	if err != nil || len(rest) > 0 {
		p.t.Untestablef("the capability of the run can not be attenuated: %v", err)
	}
	return w
}

// conditions lists the first-party caveats of w that begin with prefix, without it.
func conditions(w refcap.Token, prefix string) (list []string) {
	for _, c := range w.Caveats {
		if rest, ok := strings.CutPrefix(string(c.ID), prefix); ok && len(c.VID) == 0 {
			list = append(list, rest)
		}
	}
	return list
}

// nodeName is what `aud` has to say (CAP-CAV-008).
func (p *Peer) nodeName() string {
	var body struct {
		Name string `json:"node_name"`
	}
	if names := conditions(p.warrant(), "aud = "); len(names) > 0 {
		return names[0]
	}
	if p.Process != nil && p.Process.Name != "" {
		return p.Process.Name
	}
	if json.Unmarshal(p.Get("/version").Body, &body) != nil || body.Name == "" {
		p.t.Unsupportedf("the name of the node is not known")
	}
	return body.Name
}

// deed is one request as each surface has it.
type deed struct {
	op   spec.Op
	path string        // that a `path ^=` caveat is held against
	http Request       // Method is "" where HTTP has none
	oap  refwire.Frame // Flags is 0 where OAP/1 has none
}

func onObject(op spec.Op, method string, r refwire.Request) deed {
	d := deed{op: op, path: Object(r.Obj), oap: askFrame(1, r)}
	if method != "" {
		d.http = Request{Method: method, Path: d.path}
	}
	return d
}

func getDeed(a spec.Address) deed    { return onObject(spec.OpGet, "GET", get(a)) }
func hasDeed(a spec.Address) deed    { return onObject(spec.OpHas, "", has(a)) }
func statDeed(a spec.Address) deed   { return onObject(spec.OpStat, "HEAD", stat(a)) }
func deleteDeed(a spec.Address) deed { return onObject(spec.OpDelete, "DELETE", del(a)) }

// putDeed stores n bytes that it does not name. Over OAP/1 it is cancelled once it was let in.
func (p *Peer) putDeed(n int) deed {
	data := p.t.Bytes(n)
	p.Owe(AddressOf(data))
	return deed{op: spec.OpPut, path: "/put", http: Request{Method: "POST", Path: "/put", Body: data},
		oap: startFrame(1, 0, refwire.EncodeRequest(put(n)))}
}

// putAsDeed stores n bytes under their address.
func (p *Peer) putAsDeed(n int) deed {
	data := p.t.Bytes(n)
	a := AddressOf(data)
	p.Owe(a)
	return deed{op: spec.OpPut, path: Object(a), http: Request{Method: "PUT", Path: Object(a), Body: data},
		oap: startFrame(1, 0, refwire.EncodeRequest(putAs(a, n)))}
}

// passportDeed is an operation of the passport; members are those of its JSON object.
func passportDeed(op spec.Op, members string) deed {
	path := "/v1/passport/" + string(op)
	body := "{" + members + "}"
	framed := fmt.Sprintf(`{"request":%q`, op)
	if members != "" {
		framed += "," + members
	}
	f := startFrame(1, spec.FlagEnd, []byte(framed+"}"))
	f.Proto = spec.ProtoPassport
	return deed{op: op, path: path, http: Request{Method: "POST", Path: path, Body: []byte(body)}, oap: f}
}

func (p *Peer) verifyDeed() deed {
	return passportDeed(spec.OpVerify, fmt.Sprintf(`"token":%q,"op":"get","path":"/put"`, refcap.Text(p.cap)))
}

func (p *Peer) revokeDeed() deed {
	return passportDeed(spec.OpRevoke, fmt.Sprintf(`"id":%q`, hex.EncodeToString(p.t.Bytes(refcap.CapIDLen))))
}

func auditDeed() deed {
	return deed{op: spec.OpAudit, path: "/admin/audit/checkpoint", http: Request{Method: "GET", Path: "/admin/audit/checkpoint"}}
}

// deeds is one of each operation that a node serves and that does no harm.
func (p *Peer) deeds() []deed {
	return []deed{
		getDeed(p.t.Absent()), hasDeed(p.t.Absent()), statDeed(p.t.Absent()), p.putDeed(30), p.putAsDeed(30), deleteDeed(p.t.Absent()),
		passportDeed(spec.OpIssue, `"role":"reader","ttl_s":5`), p.verifyDeed(), p.revokeDeed(), auditDeed(),
	}
}

// way is one surface with a connection that is kept.
type way struct {
	name string
	try  func(capability []byte, d deed) spec.Reason // None where the request was let in, whatever then became of it
	has  func(d deed) bool
}

// ways are plain HTTP and OAP/1 over TCP.
func (p *Peer) ways() []way {
	return []way{p.httpWay("http"), p.oapWay("oap")}
}

// everyWay is ways and whatever else the run has been given.
func (p *Peer) everyWay() []way {
	all := p.ways()
	if p.doors.HTTPS != "" && p.doors.OAPTLS != "" {
		secured := p.TLS()
		all = append(all, secured.httpWay("https"), secured.oapWay("oap+tls"))
	}
	if p.doors.socket() != "" {
		all = append(all, p.Unix().oapWay("unix"))
	}
	return all
}

func (p *Peer) httpWay(name string) way {
	return way{name, func(capability []byte, d deed) spec.Reason {
		return p.With(capability).tryHTTP(d.http)
	}, func(d deed) bool { return d.http.Method != "" }}
}

func (p *Peer) oapWay(name string) way {
	var c *Conn
	return way{name, func(capability []byte, d deed) spec.Reason {
		if c == nil {
			c = p.Hello()
		}
		return c.tryOAP(capability, d.oap)
	}, func(d deed) bool { return d.oap.Flags != 0 }}
}

// letIn takes the reasons of requests that authentication let pass for what they are here.
func letIn(r spec.Reason) spec.Reason {
	if r == spec.NotFound {
		return spec.None
	}
	return r
}

// tryHTTP sends r and says why it was refused. Every 401 has to carry its challenge (CAP-DEN-003).
func (p *Peer) tryHTTP(r Request) spec.Reason {
	resp := p.Do(r)
	p.challenged(resp)
	if resp.Status < 400 {
		return spec.None
	}
	if r.Method != http.MethodHead {
		return letIn(p.Refuses(resp, spec.Reasons()...).Reason)
	}
	for _, reason := range []spec.Reason{spec.Unauth, spec.Forbidden, spec.Quota, spec.NotFound} {
		if reason.Facts().Status == resp.Status {
			return letIn(reason)
		}
	}
	p.t.Check(false, "HEAD %s is answered with %d", r.Path, resp.Status)
	return spec.Internal
}

func (p *Peer) challenged(r *Response) {
	got := r.Header.Values("WWW-Authenticate")
	if r.Status == http.StatusUnauthorized {
		p.t.Check(len(got) == 1 && got[0] == "Macaroon", "a 401 has WWW-Authenticate %q (CAP-DEN-003)", got)
	}
}

// tryOAP sends f as a stream of its own, and gives it up again where it was let in and is still open.
func (c *Conn) tryOAP(capability []byte, f refwire.Frame) spec.Reason {
	f.Corr, f.Cap = c.fresh(), append([]byte{}, capability...)
	frames := []refwire.Frame{f}
	if f.Flags&spec.FlagEnd == 0 {
		give := cancelFrame(f.Corr)
		give.Proto = f.Proto
		frames = append(frames, give)
	}
	c.Send(frames...)
	return letIn(c.outcome(f.Corr, c.Ask(has(c.t.Absent()))))
}

// judge demands want of d on every one of ways that has it.
func (t *T) judge(ways []way, what string, capability []byte, d deed, want spec.Reason) {
	for _, w := range ways {
		if w.has(d) {
			got := w.try(capability, d)
			t.Check(got == want, "%s, %s over %s: %s, want %s", what, d.op, w.name, named(got), named(want))
		}
	}
}

func named(r spec.Reason) string {
	if r == spec.None {
		return "let in"
	}
	return string(r)
}

// issued is the answer to issue, and its token opened.
type issued struct {
	Text    string `json:"token"`
	ID      string `json:"id"`
	KeyID   string `json:"key_id"`
	Expires int64  `json:"expires"`

	token refcap.Token
}

// issue asks for a capability over HTTP. members are those of the request.
func (p *Peer) issue(members string) issued {
	r := p.Want(p.passport(spec.OpIssue, members), http.StatusOK)
	return p.issuedBy(r.Body)
}

func (p *Peer) passport(op spec.Op, members string) *Response {
	return p.Do(passportDeed(op, members).http)
}

// passportOver is passport on c; it gives the payload of the answer.
func (c *Conn) passportOver(op spec.Op, members string) []byte {
	f := passportDeed(op, members).oap
	f.Corr = c.fresh()
	c.Send(f)
	a := c.Frame()
	c.t.Check(a.Flags == final && a.Code == spec.CodeOK && a.Corr == f.Corr, "want the final answer to %s, got %s", op, frameText(a))
	return a.Data
}

// issuedBy reads the answer to issue and holds the token to the ids beside it (CAP-IDN-001).
func (p *Peer) issuedBy(body []byte) (i issued) {
	t := p.t
	err := json.Unmarshal(body, &i, json.RejectUnknownMembers(true))
	t.Check(err == nil, "the answer to issue can not be read: %v", err)
	i.token, err = refcap.ParseText(i.Text)
	t.Check(err == nil, "what was issued is no macaroon of version 2 in base64url (CAP-TOK-001, CAP-TOK-002)")
	key, ok := i.token.KeyID()
	id, _ := i.token.CapID()
	t.Check(ok && hex.EncodeToString(key[:]) == i.KeyID && hex.EncodeToString(id[:]) == i.ID,
		"the identifier is %x, beside id %s and key_id %s (CAP-IDN-001)", i.token.ID, i.ID, i.KeyID)
	return i
}

// inUnix is a moment as caveats write it.
func inUnix(d time.Duration) string { return fmt.Sprint(time.Now().Add(d).Unix()) }

// counter is the sum of a family of /metrics, of one label where that is given.
func (p *Peer) counter(name, label string) float64 {
	v, ok := value(p.metrics(), name, label)
	p.t.Check(ok, "/metrics has no %s{%s}", name, label)
	return v
}

// members are the keys of a JSON object, sorted.
func members(m map[string]any) (keys []string) {
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
