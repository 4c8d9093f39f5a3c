package conformance

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/model/refcap"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// capLifeCases are about capabilities from their issue to their end.
func capLifeCases() []Case {
	pass := func(c Case) Case { return feature(FeaturePassport, c) }
	return []Case{
		pass(capCase("cap-issue", "issue gives a token that is good everywhere for what was asked, for 15 minutes unless a time is given, with an id of its own.",
			capIssue, "HTTP-PAS-001", "CAP-CAV-006", "CAP-IDN-002", "CAP-TOK-001", "CAP-CAV-004")),
		pass(capCase("cap-passport-form", "A passport request with another member, one twice, of another type, too long or of two minds is malformed, and nothing is done.",
			capPassportForm, "CAP-ISS-001")),
		pass(capCase("cap-issue-confined", "What an issuer is confined to stands in every token that it issues.",
			capIssueConfined, "CAP-ISS-002")),
		pass(capCase("cap-verify", "verify says what the node would say to the request, with no more detail, and changes nothing.",
			capVerify, "CAP-ISS-003", "HTTP-PAS-001")),
		pass(capCase("cap-revoke", "A revoked token is refused on every surface a second later, and no other is; unknown ids are taken, unknown key ids are not.",
			capRevoke, "CAP-REV-001", "CAP-REV-002", "CAP-REV-004", "CAP-ISS-004", "HTTP-PAS-001")),
		pass(capCase("cap-revoke-attenuated", "Revoking a token revokes whatever was made of it by appending caveats.",
			capRevokeAttenuated, "CAP-REV-001")),
		pass(slow(capCase("cap-revoke-open", "A slow put, a paused get and a slow upload end within a second when their token is revoked, and others beside them go on.",
			capRevokeOpen, "CAP-REV-003"))),
		pass(slow(capCase("cap-revoke-download", "A download that nobody reads is cut within a second when its token is revoked.",
			capRevokeDownload, "CAP-REV-003"))),
		pass(slow(capCase("cap-expire-open", "A slow put, a paused get and a slow upload end within a second after their token has expired.",
			capExpireOpen, "CAP-REV-006"))),
		pass(own(capCase("cap-rotate", "After a rotation tokens of both keys are good, and new ones come under the new key, over both surfaces.",
			capRotate, "CAP-ISS-005", "CAP-KEY-002", "HTTP-PAS-001"))),
		pass(own(capCase("cap-revoke-key", "A revoked key takes all of its tokens with it, open streams too, and leaves those of other keys.",
			capRevokeKey, "CAP-REV-001", "CAP-REV-002", "CAP-REV-003"))),
		pass(own(capCase("cap-revoke-current-key", "When the current key is revoked, every token that there is is dead.",
			capRevokeCurrentKey, "CAP-REV-001"))),
		pass(own(capCase("cap-rotate-bound", "A rotation beyond 64 keys is refused with quota, and a revoked key makes room.",
			capRotateBound, "CAP-REV-005"))),
		profile(ProfileMicronode, own(capCase("cap-bootstrap", "A node on loopback prints one token for an hour that may do everything, never in a log, and none when it is told so.",
			capBootstrap, "CAP-ROL-004", "AMN-LOG-002"))),
		profile(ProfileMicronode, own(capCase("cap-restart", "A restarted node refuses the tokens of its life before and shows another certificate and another identity.",
			capRestart, "AMN-RST-002", "CAP-TLS-002"))),
		profile(ProfileMicronode, own(capCase("cap-never-shown", "No token and no key is in a log line, a metric, a problem or the audit log, whatever was done with them.",
			capNeverShown, "AMN-LOG-002", "CAP-KEY-005", "HTTP-ERR-006", "CAP-AUD-004"))),
	}
}

func capIssue(t *T) {
	d := getDeed(t.Absent())
	t.Control(func() { t.judge(t.ways(), "the token of the run", t.cap, d, spec.None) })
	seen := map[string]bool{}
	lives := func(i issued, seconds int64, before time.Time) {
		from, to := before.Unix()+seconds-1, time.Now().Unix()+seconds+1
		t.Check(i.Expires >= from && i.Expires <= to, "expires is %d, want %d to %d", i.Expires, from, to)
		exp := conditions(i.token, "exp <= ")
		t.Check(len(exp) > 0, "a token without exp was issued (CAP-CAV-004)")
		earliest := false
		for _, e := range exp {
			earliest = earliest || e == fmt.Sprint(i.Expires)
		}
		t.Check(earliest, "expires is %d, and the token says %v", i.Expires, exp)
		t.Check(!seen[i.ID] && len(i.ID) == 32, "the id %s was given before", i.ID)
		seen[i.ID] = true
		t.judge(t.everyWay(), "what was issued", i.token.Bytes(), d, spec.None)
		t.judge(t.ways(), "what was issued", i.token.Bytes(), t.putDeed(5), spec.Forbidden)
	}
	c := t.Hello()
	for _, x := range []struct {
		members string
		seconds int64
	}{{`"role":"reader"`, 900}, {`"ops":["get","has","stat"]`, 900}, {`"ops":["has","get"],"ttl_s":60,"caveats":["path ^= /o"]`, 60}, {`"role":"reader","ttl_s":86400`, 86400}, {`"role":"reader","caveats":[]`, 900}} {
		before := time.Now()
		if i := t.issue(x.members); i.Expires < before.Unix()+x.seconds-1 && x.seconds == 86400 {
			t.Notef("the issuer's own end bounds what it issues") // which the law leaves open
		} else {
			lives(i, x.seconds, before)
		}
		before = time.Now()
		i := t.issuedBy(c.passportOver(spec.OpIssue, x.members))
		if x.seconds != 86400 {
			lives(i, x.seconds, before)
		}
	}
	var bits [16]byte // of all ids: a bit that never changes is not random
	var ones, zeros [16]byte
	for range 40 {
		i := t.issue(`"role":"reader"`)
		t.Check(!seen[i.ID], "the id %s was given before", i.ID)
		seen[i.ID] = true
		hex.Decode(bits[:], []byte(i.ID))
		for k, b := range bits {
			ones[k] |= b
			zeros[k] |= ^b
		}
	}
	for k := range ones {
		t.Check(ones[k] == 0xff && zeros[k] == 0xff, "byte %d of forty ids has bits that never change (CAP-IDN-002)", k)
	}
}

func capPassportForm(t *T) {
	t.Control(func() { t.issue(`"role":"reader","ttl_s":5`) })
	token := refcap.Text(t.cap)
	long := strings.Repeat(" ", spec.MaxPassport)
	bad := map[spec.Op][]string{
		spec.OpIssue: {
			``, `"role":"reader","ops":["get"]`, `"role":"reader","role":"reader"`, `"role":"reader","more":1`, `"Role":"reader"`, `"role":1`, `"role":null`, `"role":["reader"]`, `"role":""`, `"role":"Reader"`, `"role":"reader,writer"`,
			`"ops":"get"`, `"ops":[1]`, `"ops":[]`, `"ops":["Get"]`, `"ops":["get,put"]`, `"ops":[""]`, `"ops":null`, `"role":"reader","ttl_s":"5"`, `"role":"reader","ttl_s":1.5`, `"role":"reader","ttl_s":-1`, `"role":"reader","ttl_s":0`,
			`"role":"reader","ttl_s":1e99`, `"role":"reader","ttl_s":null`, `"role":"reader","caveats":"op in get"`, `"role":"reader","caveats":[1]`, `"role":"reader","caveats":["color = red"]`, `"role":"reader","caveats":["exp <= x"]`,
			`"role":"reader","caveats":["op in get\nop in put"]`, `"role":"reader","caveats":["op in get\u0000"]`, `"role":"reader","caveats":[""]`, `"role":"\ud800"`,
		},
		spec.OpVerify: {
			``, `"token":"` + token + `"`, `"token":"` + token + `","op":"get"`, `"token":"` + token + `","op":"get","path":"/o","x":1`, `"token":1,"op":"get","path":"/o"`, `"token":"` + token + `","op":"get","path":"/o","bytes":-1`,
			`"token":"` + token + `","op":"get","path":"/o","bytes":"1"`, `"token":"` + token + `","op":"get","path":"/o","tenant":"x"`, `"token":"` + token + `","token":"x","op":"get","path":"/o"`,
		},
		spec.OpRevoke: {
			``, `"id":"00"`, `"id":1`, `"id":"` + strings.Repeat("A", 32) + `"`, `"id":"` + strings.Repeat("0", 33) + `"`, `"key_id":"00"`, `"key_id":"` + strings.Repeat("g", 16) + `"`, `"id":"` + strings.Repeat("0", 32) + `","key_id":"` + strings.Repeat("0", 16) + `"`,
			`"id":"` + strings.Repeat("0", 32) + `","x":1`, `"id":"` + strings.Repeat("0", 32) + `","id":"` + strings.Repeat("0", 32) + `"`, `"id":null`,
		},
		spec.OpRotate: {`"now":true`, `"key_id":"x"`},
	}
	ways := t.ways()
	for op, all := range bad {
		for _, members := range all {
			t.judge(ways, "{"+members[:min(len(members), 60)]+"}", t.cap, passportDeed(op, members), spec.Malformed)
		}
	}
	for _, body := range []string{"", "null", "[]", `"x"`, "{", `{"role":"reader"}{}`, `{"role":"reader"} x`, "\xef\xbb\xbf{\"role\":\"reader\"}", `{"role":"reader",}`, `{'role':'reader'}`, `{"role":"rea` + "\xff" + `der"}`, `{"role":"reader"` + long + `}`} {
		t.Refuses(t.Do(Request{Method: "POST", Path: "/v1/passport/issue", Body: []byte(body)}), spec.Malformed)
		c := t.Hello()
		f := startFrame(c.fresh(), spec.FlagEnd, []byte(body))
		f.Proto = spec.ProtoPassport
		c.Send(f)
		c.Refused(c.corr, spec.Malformed)
		c.Close()
	}
	for _, payload := range []string{`{"role":"reader"}`, `{"request":"fly"}`, `{"request":1}`, `{"op":"issue","role":"reader"}`, `{"request":"issue","request":"issue","role":"reader"}`} {
		c := t.Hello()
		f := startFrame(c.fresh(), spec.FlagEnd, []byte(payload))
		f.Proto = spec.ProtoPassport
		c.Send(f)
		c.Refused(c.corr, spec.Malformed)
		c.Close()
	}
	exact := `{"role":"reader","ttl_s":5`
	exact += strings.Repeat(" ", spec.MaxPassport-len(exact)-1) + "}"
	t.Want(t.Do(Request{Method: "POST", Path: "/v1/passport/issue", Body: []byte(exact)}), 200)
}

func capIssueConfined(t *T) {
	name, amnesia := t.nodeName(), t.amnesia(true)
	t.Control(func() { t.issue(`"role":"reader"`) })
	confined := []string{"aud = " + name, "max-bytes <= 500", "rps <= 999999999", "amnesia = " + amnesia, "max-bytes <= 400"}
	p := t.With(t.warrant().With(confined...).Bytes())
	has := func(i issued, want string) {
		n := 0
		for _, c := range i.token.Caveats {
			if string(c.ID) == want {
				n++
			}
		}
		t.Check(n > 0, "a token issued with %q does not have it", want)
	}
	for _, members := range []string{`"role":"writer"`, `"role":"issuer"`, `"ops":["put"],"caveats":["max-bytes <= 1000"]`} {
		for _, i := range []issued{p.issue(members), p.issuedBy(p.Hello().passportOver(spec.OpIssue, members))} {
			for _, c := range confined {
				has(i, c)
			}
		}
	}
	i := p.issue(`"role":"writer","caveats":["max-bytes <= 1000"]`)
	t.judge(t.ways(), "400 bytes", i.token.Bytes(), t.putDeed(400), spec.None)
	t.judge(t.ways(), "401 bytes", i.token.Bytes(), t.putDeed(401), spec.Forbidden)
	// And over two hands.
	second := t.With(p.issue(`"role":"issuer"`).token.Bytes()).issue(`"role":"writer"`)
	t.judge(t.ways(), "401 bytes, issued by an issuer that was issued", second.token.Bytes(), t.putDeed(401), spec.Forbidden)

	// A tenant confines as well; the frame has to be of that tenant to be let in at all.
	id := t.Bytes(16)
	c := t.With(t.warrant().With(fmt.Sprintf("tenant = %x", id)).Bytes()).Hello()
	f := passportDeed(spec.OpIssue, `"role":"reader"`).oap
	f.Corr = c.fresh()
	copy(f.Tenant[:], id)
	c.Send(f)
	a := c.Frame()
	t.Check(a.Code == spec.CodeOK, "issue with a tenant is answered with %s", frameText(a))
	has(t.issuedBy(a.Data), fmt.Sprintf("tenant = %x", id))
}

// verdictOf is the answer to verify.
type verdictOf struct {
	Valid   *bool  `json:"valid"`
	Reason  string `json:"reason"`
	ID      string `json:"id"`
	KeyID   string `json:"key_id"`
	Expires int64  `json:"expires"`
}

func capVerify(t *T) {
	w := t.warrant()
	a := t.Absent()
	d := getDeed(a)
	t.Control(func() { t.judge(t.ways(), "the token of the run", w.Bytes(), d, spec.None) })
	c := t.Hello()
	ask := func(token, more string) []verdictOf {
		members := fmt.Sprintf(`"token":%q,`, token) + more
		var list []verdictOf
		for _, body := range [][]byte{t.Want(t.passport(spec.OpVerify, members), 200).Body, c.passportOver(spec.OpVerify, members)} {
			var v verdictOf
			err := json.Unmarshal(body, &v, json.RejectUnknownMembers(true))
			t.Check(err == nil && v.Valid != nil, "the answer to verify can not be read: %v: %s", err, textOf(body))
			list = append(list, v)
		}
		t.Check(*list[0].Valid == *list[1].Valid && list[0].Reason == list[1].Reason, "verify says %+v over HTTP and %+v over OAP/1", list[0], list[1])
		return list
	}
	at := func(op, path string) string { return fmt.Sprintf(`"op":%q,"path":%q`, op, path) }
	get := at("get", d.path)
	for _, x := range []struct {
		what   string
		token  string
		more   string
		reason spec.Reason
	}{
		{"good", w.Text(), get, spec.None}, {"no macaroon", "x", get, spec.Unauth}, {"empty", "", get, spec.Unauth}, {"ended", w.With("exp <= 1").Text(), get, spec.Unauth}, {"forged", refcap.New(t.Bytes(8), w.ID, "").With("exp <= 1").Text(), get, spec.Unauth},
		{"unknown caveat", w.With("x").Text(), get, spec.Unauth}, {"for another node", w.With("aud = x").Text(), get, spec.Unauth}, {"another operation", w.With("op in put").Text(), get, spec.Forbidden}, {"another path", w.With("path ^= /x").Text(), get, spec.Forbidden},
		{"an operation that is none", w.Text(), at("fly", d.path), spec.Forbidden}, {"room", w.With("max-bytes <= 5").Text(), at("put", "/put") + `,"bytes":5`, spec.None}, {"no room", w.With("max-bytes <= 5").Text(), at("put", "/put") + `,"bytes":6`, spec.Forbidden},
		{"a tenant", w.With("tenant = " + strings.Repeat("b", 32)).Text(), get + `,"tenant":"` + strings.Repeat("b", 32) + `"`, spec.None}, {"another tenant", w.With("tenant = " + strings.Repeat("b", 32)).Text(), get + `,"tenant":"` + strings.Repeat("c", 32) + `"`, spec.Forbidden},
		{"no tenant", w.With("tenant = " + strings.Repeat("b", 32)).Text(), get, spec.Forbidden}, {"no rate", w.With("rps <= 0").Text(), get, spec.Quota},
	} {
		for _, v := range ask(x.token, x.more) {
			t.Check(*v.Valid == (x.reason == spec.None) && v.Reason == string(x.reason), "verify of %s says valid %v, reason %q; want reason %q", x.what, *v.Valid, v.Reason, x.reason)
			if x.reason == spec.None {
				id, _ := w.CapID()
				t.Check(v.ID == hex.EncodeToString(id[:]) && v.KeyID == keyOf(w), "verify of %s names id %q and key_id %q", x.what, v.ID, v.KeyID)
			}
			if x.reason == spec.Unauth { // which check failed is a hint (CAP-DEN-004)
				t.Check(v.ID == "" && v.KeyID == "" && v.Expires == 0, "verify of %s says more than unauth: %+v", x.what, v)
			}
		}
	}
	// It counts nothing against the rate of the token.
	once := t.issue(`"ops":["get"],"caveats":["rps <= 1"]`)
	for range 5 {
		for _, v := range ask(once.Text, get) {
			t.Check(*v.Valid, "verify uses up the rate of the token")
		}
	}
	t.judge(t.ways()[:1], "after ten times verify", once.token.Bytes(), d, spec.None)
}

// revoke asks over HTTP.
func (p *Peer) revoke(member, id string) {
	r := p.Want(p.passport(spec.OpRevoke, fmt.Sprintf(`%q:%q`, member, id)), 200)
	var body map[string]any
	err := json.Unmarshal(r.Body, &body)
	p.t.Check(err == nil && len(body) == 1 && body["revoked"] == true, "the answer to revoke is %s", textOf(r.Body))
}

func capRevoke(t *T) {
	d := getDeed(t.Absent())
	ways := t.everyWay()
	first, second, third := t.issue(`"role":"reader"`), t.issue(`"role":"reader"`), t.issue(`"role":"reader"`)
	t.Control(func() {
		for _, i := range []issued{first, second, third} {
			t.judge(ways, "before", i.token.Bytes(), d, spec.None)
		}
	})
	t.revoke("id", first.ID)
	answer := t.Hello().passportOver(spec.OpRevoke, fmt.Sprintf(`"id":%q`, second.ID))
	t.Check(strings.ReplaceAll(string(answer), " ", "") == `{"revoked":true}`, "the answer to revoke over OAP/1 is %s", textOf(answer))
	t.Pause(spec.RevocationTime)
	for range 3 {
		t.judge(ways, "revoked over HTTP", first.token.Bytes(), d, spec.Unauth)
		t.judge(ways, "revoked over OAP/1", second.token.Bytes(), d, spec.Unauth)
		t.judge(ways, "revoked, and of no use here either", first.token.Bytes(), t.putDeed(5), spec.Unauth)
		t.judge(ways, "not revoked", third.token.Bytes(), d, spec.None)
	}
	t.revoke("id", first.ID)                        // again
	t.revoke("id", hex.EncodeToString(t.Bytes(16))) // never seen
	t.judge(ways, "revoked twice", first.token.Bytes(), d, spec.Unauth)
	unknown := hex.EncodeToString(t.Bytes(8))
	t.Refuses(t.passport(spec.OpRevoke, fmt.Sprintf(`"key_id":%q`, unknown)), spec.NotFound)
	c := t.Hello()
	f := passportDeed(spec.OpRevoke, fmt.Sprintf(`"key_id":%q`, unknown)).oap
	f.Corr = c.fresh()
	c.Send(f)
	c.Refused(f.Corr, spec.NotFound)
	t.judge(ways, "the token of the run", t.cap, d, spec.None)
}

func capRevokeAttenuated(t *T) {
	d := getDeed(t.Absent())
	i := t.issue(`"role":"reader"`)
	before := i.token.With("op in get", "exp <= "+inUnix(time.Minute))
	t.Control(func() { t.judge(t.ways(), "before", before.Bytes(), d, spec.None) })
	t.revoke("id", i.ID)
	t.Pause(spec.RevocationTime)
	t.judge(t.ways(), "attenuated before", before.Bytes(), d, spec.Unauth)
	t.judge(t.ways(), "attenuated after", i.token.With("nbf >= 1").Bytes(), d, spec.Unauth)
	moved := i.token
	moved.Location = "elsewhere"
	t.judge(t.ways(), "with another location", moved.Bytes(), d, spec.Unauth)
}

// openWork is work in progress with one token: three requests that would last until a limit of the law cuts them.
type openWork struct {
	t      *T
	put    *Conn
	putID  uint64
	get    *Conn
	getID  uint64
	upload *RawHTTP
	data   []byte
	frames []refwire.Frame
}

const openChunks = 40 // of the put, a byte each: one now and then, so that no limit on progress ends it

func (p *Peer) openWork(holder *Peer) *openWork {
	t := p.t
	w := &openWork{t: t, data: t.Bytes(200_000)}
	p.Hello().Put(w.data)
	w.put = holder.Hello()
	w.putID = w.put.Begin(put(openChunks), 0)
	w.frames = Chunks(w.putID, t.Bytes(openChunks), 1, false)
	w.put.Send(w.frames[0])
	w.get = holder.Dial()
	w.get.Greet([]byte(`{"accept_max_frame":4096}`))
	w.getID = w.get.Begin(get(AddressOf(w.data)), spec.FlagEnd|spec.FlagAckReq)
	for range spec.Window { // and no ACK: there it stands
		w.get.body(w.get.Frame(), w.getID, AddressOf(w.data), make([]byte, 0))
		break
	}
	w.upload = holder.Raw()
	w.upload.Head("POST", "/put", "Content-Length: 1000")
	w.upload.Write("the first bytes")
	return w
}

// ends demands that all of it has ended as unauth, not after limit.
func (w *openWork) ends(limit time.Time) {
	t := w.t
	left := func() time.Duration { return max(time.Until(limit), time.Millisecond) }
	for { // what the window had room for
		f := w.get.FrameWithin(left())
		if f.Code == spec.CodeData {
			continue
		}
		w.get.refused(f, w.getID, spec.Unauth)
		break
	}
	w.put.refused(w.put.FrameWithin(left()), w.putID, spec.Unauth)
	r, err := w.upload.Try(left(), "POST")
	if err == nil {
		t.challenged(r)
		t.Refuses(r, spec.Unauth)
		return
	}
	t.Check(time.Now().Before(limit), "a slow upload is still open: %v", err)
}

// goes demands that all of it is still open, by going on with it.
func (w *openWork) goes() {
	w.put.Send(append(w.frames[1:], endFrame(w.putID))...)
	w.put.Answer(w.putID, "put")
	w.upload.Write(strings.Repeat("x", 1000-len("the first bytes")))
	w.t.Want(w.upload.Response("POST"), 201, 200)
}

func capRevokeOpen(t *T) {
	i, other := t.issue(`"ops":["get","put"]`), t.issue(`"ops":["get","put"]`)
	t.Control(func() { t.openWork(t.With(other.token.Bytes())).goes() })
	work, others := t.openWork(t.With(i.token.Bytes())), t.openWork(t.With(other.token.Bytes()))
	work.put.Silent()
	t.revoke("id", i.ID)
	work.ends(time.Now().Add(spec.RevocationTime + revocationSlack))
	others.goes()
	// Nothing of the put is there, and its connection serves other tokens.
	work.put.Send(work.frames[1])
	work.put.cap = other.token.Bytes()
	f := askFrame(work.put.fresh(), get(t.Absent()))
	work.put.Send(f)
	work.put.Refused(f.Corr, spec.NotFound)
}

func capRevokeDownload(t *T) {
	const size = 24 << 20
	data := t.Bytes(size)
	i, other := t.issue(`"ops":["get"]`), t.issue(`"ops":["get"]`)
	t.Hello().Put(data)
	download := func(token refcap.Token, meanwhile func()) int {
		p := t.With(token.Bytes())
		nc, err := p.connect(p.base.Host, "http/1.1", 0)
		if err != nil {
			t.Failf("no HTTP connection: %v", err)
		}
		defer nc.Close()
		t.usedHTTP.Store(true)
		nc.SetDeadline(time.Now().Add(t.Within(spec.RequestTimeout)))
		fmt.Fprintf(nc, "GET %s HTTP/1.1\r\nHost: x\r\n%s\r\nConnection: close\r\n\r\n", Object(AddressOf(data)), authorization(token.Bytes()))
		first := make([]byte, 500)
		if _, err := io.ReadFull(nc, first); err != nil || !strings.HasPrefix(string(first), "HTTP/1.1 200 ") {
			t.Check(false, "the answer to a GET begins with %q: %v", first, err)
		}
		meanwhile()
		n, _ := io.Copy(io.Discard, nc)
		return int(n) + len(first)
	}
	t.Control(func() {
		got := download(other.token, func() { t.Pause(500 * time.Millisecond) })
		t.Check(got > size, "a slow download of %d bytes has %d", size, got)
	})
	got := download(i.token, func() {
		t.revoke("id", i.ID)
		t.Pause(spec.RevocationTime + revocationSlack)
	})
	t.Check(got < size, "a download was finished although its token was revoked two seconds before")
}

func capExpireOpen(t *T) {
	other := t.issue(`"ops":["get","put"]`)
	t.Control(func() { t.openWork(t.With(other.token.Bytes())).goes() })
	i := t.issue(`"ops":["get","put"],"ttl_s":2`)
	work, others := t.openWork(t.With(i.token.Bytes())), t.openWork(t.With(other.token.Bytes()))
	work.put.Silent()
	expiry := time.Unix(i.Expires, 0)
	work.ends(expiry.Add(time.Second + spec.RevocationTime + revocationSlack)) // exp names a second, and it is over at its end
	t.Check(time.Now().After(expiry.Add(-100*time.Millisecond)), "an open stream is ended %v before its token expires", time.Until(expiry))
	others.goes()
	t.judge(t.ways(), "afterwards", i.token.Bytes(), getDeed(t.Absent()), spec.Unauth)
}
