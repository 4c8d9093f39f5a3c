package tour

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rustyonions/micronode/model/capability"
	"github.com/rustyonions/micronode/model/refcap"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// doors are the ways into a node, each with a kept connection: the HTTP surface, and OAP/1 over TCP and a Unix socket.
type doors struct {
	node *target
	web  *web
	link map[string]*link // "oap" and "unix"
	turn int              // of whoever issues and revokes: each surface in turn

	early map[string]map[uint64][]refwire.Frame // what streams said while an answer on their connection was waited for
}

func enter(node *target) (d *doors, err error) {
	d = &doors{node: node, link: map[string]*link{}, early: map[string]map[uint64][]refwire.Frame{"oap": {}, "unix": {}}}
	if d.web, err = node.browse(); err != nil {
		return nil, err
	}
	for name, url := range map[string]string{"oap": node.OAP, "unix": node.Unix} {
		if d.link[name], err = greet(url, 0, node.cap); err != nil {
			d.leave()
			return nil, err
		}
	}
	return d, nil
}

func (d *doors) leave() {
	d.web.reset()
	for _, l := range d.link {
		if l != nil {
			l.reset()
		}
	}
}

// asked is a request with something that is shown as a capability. get and delete are of obj.
type asked struct {
	op  string
	obj spec.Address
	cap []byte
	two bool // it is shown twice
}

// write sends a over HTTP. fields are further ones, each with its line end.
func (a asked) write(w *web, fields string) (method string) {
	line := map[string]string{"get": "GET /o/" + a.obj.String(), "delete": "DELETE /o/" + a.obj.String(), "put": "POST /put"}[a.op]
	if len(a.cap) > 0 {
		field := "Authorization: Macaroon " + refcap.Text(a.cap) + "\r\n"
		if fields += field; a.two {
			fields += field
		}
	}
	w.send(line + " HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n")
	method, _, _ = strings.Cut(line, " ")
	return method
}

// frame is a as the START of a new stream of l.
func (a asked) frame(l *link, flags spec.Flags) []byte {
	l.corr++
	r := refwire.Request{Op: a.op, Obj: a.obj, HasObj: true}
	if a.op == "put" {
		r = refwire.Request{Op: a.op, TotalLen: putLen}
	}
	f := refwire.Frame{Flags: spec.FlagReq | spec.FlagStart | flags, Proto: spec.ProtoObjects, Corr: l.corr, Cap: a.cap, Payload: refwire.EncodeRequest(r)}
	if a.two {
		f.Cap = append(append([]byte{}, a.cap...), a.cap...)
	}
	return seal(f)
}

// passported is the answer to a passport request.
type passported struct {
	Token   string
	ID      string
	KeyID   string `json:"key_id"`
	Expires int64
	Valid   bool
	Reason  spec.Reason
	Revoked bool
}

// passport makes a passport request with the bootstrap token, over one surface after the other. members are those of its
// JSON object.
func (d *doors) passport(op spec.Op, members string) (a passported, reason spec.Reason, err error) {
	d.turn++
	if d.turn%3 == 0 {
		body := "{" + members + "}"
		d.web.request("POST /v1/passport/"+string(op), "Content-Length: "+strconv.Itoa(len(body))+"\r\n", body)
		r, err := d.web.receive(http.MethodPost)
		if err != nil || r.reason != spec.None {
			return a, r.reason, err
		}
		return a, spec.None, json.Unmarshal(r.body, &a)
	}
	name := []string{1: "oap", 2: "unix"}[d.turn%3]
	l := d.link[name]
	said, err := l.exchange(l.passport(op, members), string(op))
	if err != nil {
		return a, spec.None, err
	}
	for corr, frames := range said {
		if corr != l.corr {
			d.early[name][corr] = append(d.early[name][corr], frames...)
		}
	}
	return vouched(string(op), said[l.corr])
}

func (l *link) passport(op spec.Op, members string) []byte {
	text := fmt.Sprintf(`{"request":%q`, op)
	if members != "" {
		text += "," + members
	}
	l.corr++
	return seal(refwire.Frame{Flags: spec.FlagReq | spec.FlagStart | spec.FlagEnd, Proto: spec.ProtoPassport, Corr: l.corr, Cap: l.cap, Payload: []byte(text + "}")})
}

// vouched reads the one frame that answers a passport request.
func vouched(op string, frames []refwire.Frame) (a passported, reason spec.Reason, err error) {
	if len(frames) != 1 || frames[0].Flags != spec.FlagResp|spec.FlagEnd {
		return a, spec.None, fmt.Errorf("%w: %s is answered by %s", errTour, op, names(frames))
	}
	if frames[0].Code == spec.CodeOK {
		return a, spec.None, json.Unmarshal(frames[0].Data, &a)
	}
	e, bad := refwire.DecodeError(frames[0].Data)
	if bad != spec.None {
		return a, spec.None, fmt.Errorf("%w: %s is answered by %s", errTour, op, names(frames))
	}
	return a, e.Reason, nil
}

// fill revokes ids that nobody has until room for so many is left; 0 until there is none.
func (d *doors) fill(room int) error {
	const together = 512
	l := d.link["oap"]
	for n := spec.MaxRevocations - room; room == 0 || n > 0; {
		var frames []byte
		some := min(together, n)
		if room == 0 {
			some = 1
		}
		first := l.corr + 1
		for range some {
			frames = append(frames, l.passport(spec.OpRevoke, fmt.Sprintf(`"id":"%032x"`, l.corr+1<<32))...)
		}
		said, err := l.exchange(frames, "revocations")
		if err != nil {
			return err
		}
		for i := range some {
			a, reason, err := vouched("revoke", said[first+uint64(i)])
			switch {
			case err != nil:
				return err
			case room == 0 && reason == spec.Quota:
				return nil
			case reason != spec.None || !a.Revoked:
				return fmt.Errorf("%w: a revocation is refused with %q", errTour, reason)
			}
		}
		if n -= some; n < 0 && room == 0 {
			return errors.New("the list of revocations does not become full")
		}
	}
	return nil
}

// flawed is what a holder of good can show that is no capability of the node, for a flaw of the model.
func flawed(good refcap.Token, flaw string, turn int) (shown []byte, two bool, err error) {
	secret, who := []byte("known to a third party"), []byte("who are you")
	third := good.WithThirdParty(secret, who, [24]byte{byte(turn), byte(turn >> 8)}, "elsewhere")
	t := good
	switch flaw {
	case "no capability":
		return nil, false, nil
	case "a forged signature":
		t.Sig[turn%len(t.Sig)] ^= 1
	case "a caveat taken off":
		t = good.With("op in send")
		t.Caveats = t.Caveats[:len(t.Caveats)-1]
	case "an unknown or malformed caveat":
		t = good.With([]string{"colour = red", "op  in get", "exp <= 0x7fffffff", ""}[turn%4])
	case "another node as aud":
		t = good.With("aud = another-node")
	case "the other amnesia":
		t = good.With("amnesia = off")
	case "an unknown key id":
		t.ID = append([]byte{}, t.ID...)
		t.ID[1+turn%refcap.KeyIDLen] ^= 1
	case "another encoding or version":
		s := good.Shape()
		if turn%2 == 0 {
			return append(s.Bytes(), 0), false, nil
		}
		s.Version = 1
		return s.Bytes(), false, nil
	case "a third-party caveat without its discharge":
		t = third
	case "a discharge that nothing asks for":
		return refcap.Bundle(third, refcap.New(secret, who, "").Bound(third), refcap.New(secret, []byte("another"), "").Bound(third)), false, nil
	case "a discharge with a caveat that does not hold":
		return refcap.Bundle(third, refcap.New(secret, who, "").With("exp <= 1").Bound(third)), false, nil
	case "too many bytes":
		t = good.With("op in get" + strings.Repeat(",get,put,delete", spec.MaxCapability/len(",get,put,delete")))
	case "too many caveats":
		for len(t.Caveats) <= spec.MaxCaveats {
			t = t.With("amnesia = on")
		}
	case "a second capability":
		return good.Bytes(), true, nil
	default:
		return nil, false, fmt.Errorf("nobody can make %s", flaw)
	}
	return t.Bytes(), false, nil
}

// lives says that something issued since before for so long has the right end.
func lives(before time.Time, ttl time.Duration, expires int64) bool {
	return before.Add(ttl).Unix() <= expires && expires <= time.Now().Add(ttl).Unix()
}

// capOp is the name of the one operation in a set.
func capOp(set capability.Ops) string { return set.String() }
