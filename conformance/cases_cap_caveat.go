package conformance

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// capCaveatCases are about the conditions, each way.
func capCaveatCases() []Case {
	return []Case{
		capCase("cap-grammar", "Every condition of the grammar is read, and near misses of each, unknown ones, and lines, zero bytes and other alphabets in them deny.",
			capGrammar, "CAP-CAV-001", "CAP-CAV-002"),
		capCase("cap-times", "exp and nbf hold by the second, the earliest exp decides, and neither is a matter of permission.",
			capTimes, "CAP-CAV-005", "CAP-CAV-007", "CAP-CAV-003", "CAP-DEN-001"),
		feature(FeaturePassport, slow(capCase("cap-expires", "A token that lived is refused on every surface once its exp is past.",
			capExpires, "CAP-CAV-005"))),
		capCase("cap-aud", "A token for another node is refused, and one letter makes another node.",
			capAud, "CAP-CAV-008"),
		capCase("cap-amnesia", "A token for a node that remembers is refused by one that forgets, and the other way round.",
			capAmnesia, "CAP-CAV-015"),
		capCase("cap-ops", "An operation that is not in every list is forbidden, and one that no role has is nobody's.",
			capOps, "CAP-CAV-009", "CAP-DEN-002"),
		capCase("cap-path", "A path prefix ends at a segment, in one spelling and case.",
			capPath, "CAP-CAV-010"),
		capCase("cap-path-spelling", "%3A is decoded before the path is held to a token; no other spelling of a path reaches an object.",
			capPathSpelling, "CAP-OPS-002", "CAP-CAV-010"),
		capCase("cap-tenant", "A token for a tenant is good for frames of that tenant, and for no other request.",
			capTenant, "CAP-CAV-011"),
		capCase("cap-max-bytes", "An upload of as many bytes as the token allows is stored, and one more is forbidden, declared or delivered.",
			capMaxBytes, "CAP-CAV-012"),
		feature(FeaturePassport, capCase("cap-rps", "Beyond its rate a token gets quota, counted over both surfaces and for one capability id, and a second later it is good again.",
			capRPS, "CAP-CAV-013")),
		capCase("cap-peer-uid", "A token for a user is worth nothing over TCP, and over the Unix socket it is that user's alone.",
			capPeerUID, "CAP-CAV-014"),
	}
}

func capGrammar(t *T) {
	w, d := t.plain()
	t.Control(func() { t.judge(t.ways(), "as it is", w.Bytes(), d, spec.None) })
	name := t.nodeName()
	for _, good := range []string{
		"exp <= 999999999999999", "exp <= " + inUnix(time.Hour), "nbf >= 0", "nbf >= 1", "aud = " + name, "op in get", "op in get,get,has", "op in get,fly",
		"op in -,get", "op in " + strings.Repeat("a", 16) + ",get", "path ^= /", "path ^= /o", "path ^= /o/", "max-bytes <= 0", "max-bytes <= 999999999999999",
		"rps <= 999999999999999", "amnesia = " + t.amnesia(true),
	} {
		t.judge(t.ways(), fmt.Sprintf("%q", good), w.With(good).Bytes(), d, spec.None)
	}
	now := inUnix(time.Hour)
	bad := []string{
		"", " ", "\n", "\x00", "exp", "exp <=", "exp <= ", "exp <= 0" + now, "exp<= " + now, "exp <=" + now, "exp <=  " + now, "exp <= +" + now, "exp <= -" + now,
		"exp <= " + now + " ", " exp <= " + now, "exp <= " + now + "\n", "exp <= " + now + "\r\n", "exp <= " + now + "\x00", "EXP <= " + now, "Exp <= " + now,
		"exp < " + now, "exp = " + now, "exp >= " + now, "exp <= " + now + ".0", "exp <= 2e9", "exp <= 0x7fffffff", "exp <= 1000000000000000", "exp <= 18446744073709551615",
		"exp <= 99999999999999999999", "exp <= 2100-01-01T00:00:00Z", "exp <= ٢١٠٠٠٠٠٠٠٠", "exp\t<= " + now, "exp \u2264 " + now, "exp <= " + now + "; op in get", "exp <= " + now + "\nop in get",
		"nbf >= ", "nbf >= -1", "nbf >= 00", "nbf <= 1", "nbf > 1", "nbf >= 1 ", "NBF >= 1", "nbf >= 1000000000000000",
		"aud = ", "aud =" + name, "aud  = " + name, "aud = " + name + "\n", "aud = " + name + "\x00", "aud = " + name + " ", "aud = \xff", "aud = é", "aud = " + strings.Repeat("a", 129), "aud " + name, "aud in " + name,
		"op in ", "op in", "op in get,", "op in ,get", "op in get,,has", "op in get, has", "op in get has", "op in Get", "op in GET", "op in get\n", "op in get\nhas", "op in get\x00", "op in *", "op = get", "ops in get",
		"op in " + strings.Repeat("a", 17), "op in g\u0435t", "op in get;put", "op in get1", "op in get_", "op  in get",
		"path ^= ", "path ^= o/", "path ^= o", "path ^= /o/%62", "path ^= /o?x", "path ^= /o#x", "path ^= /o/*", "path ^= /o\n", "path ^= /o\x00", "path ^= /o /", "path = /o", "path ^=/o", "path ^= /\u00f6", "path ^= /o\\", "path ^= \"/o\"", "Path ^= /o",
		"tenant = ", "tenant = " + strings.Repeat("0", 31), "tenant = " + strings.Repeat("0", 33), "tenant = " + strings.Repeat("A", 32), "tenant = " + strings.Repeat("g", 32), "tenant = 00000000-0000-0000-0000-000000000000",
		"max-bytes <= ", "max-bytes <= -1", "max-bytes <= 1k", "max-bytes <= 1e3", "max-bytes < 5", "max-bytes <= 1000000000000000", "max_bytes <= 5", "max-bytes <= 00",
		"rps <= ", "rps <= -1", "rps <= 1.5", "rps <= 01", "rps < 5", "peer-uid = ", "peer-uid = root", "peer-uid = 01", "peer-uid = -1", "peer_uid = 0", "uid = 0",
		"amnesia = ", "amnesia = yes", "amnesia = On", "amnesia = on ", "amnesia = true", "amnesia=on", "time < 2100-01-01T00:00:00Z", "ip = 127.0.0.1", "color = red", "admin", "true", "1", "{}",
		"\ufeffexp <= " + now, "\xff\xfe", strings.Repeat("a", 1000), "\x00exp <= " + now, "exp <= " + now + "\u200b",
	}
	ways := t.ways()
	for _, b := range bad {
		t.judge(ways, fmt.Sprintf("%q", b), w.With(b).Bytes(), d, spec.Unauth)
	}
	// Where it stands does not matter.
	t.judge(ways, "an unknown one before a good one", w.With("color = red", "op in get").Bytes(), d, spec.Unauth)
}

// amnesia is what an `amnesia =` caveat has to say for the node (true), or may not say (false).
func (t *T) amnesia(right bool) string {
	c := t.Dial()
	defer c.Close()
	if c.Handshake().Amnesia == right {
		return "on"
	}
	return "off"
}

func capTimes(t *T) {
	w, d := t.plain()
	t.Control(func() {
		t.judge(t.ways(), "an hour to go", w.With("exp <= "+inUnix(30*time.Minute)).Bytes(), d, spec.None)
	})
	for _, c := range []string{"exp <= 0", "exp <= 1", "exp <= " + inUnix(-time.Second), "exp <= " + inUnix(-24*time.Hour)} {
		t.judge(t.ways(), c, w.With(c).Bytes(), d, spec.Unauth)
		t.judge(t.ways(), c+" and then a later one", w.With(c, "exp <= "+inUnix(time.Minute)).Bytes(), d, spec.Unauth)
	}
	for _, c := range []string{"nbf >= " + inUnix(5*time.Second), "nbf >= " + inUnix(time.Hour), "nbf >= 999999999999999"} {
		t.judge(t.ways(), c, w.With(c).Bytes(), d, spec.Unauth)
		t.judge(t.ways(), c+" and then an earlier one", w.With(c, "nbf >= 0").Bytes(), d, spec.Unauth)
	}
	t.judge(t.ways(), "nbf of now", w.With("nbf >= "+inUnix(0)).Bytes(), d, spec.None)
	// Without a good token it does not matter what else would be forbidden.
	t.judge(t.ways(), "ended, and without get", w.With("exp <= 1", "op in put").Bytes(), d, spec.Unauth)
	t.judge(t.ways(), "without get, and ended", w.With("op in put", "exp <= 1").Bytes(), d, spec.Unauth)
}

func capExpires(t *T) {
	w, d := t.plain()
	ways := t.everyWay()
	i := t.issue(`"ops":["get"],"ttl_s":2`)
	short := w.With("exp <= " + fmt.Sprint(i.Expires))
	t.Control(func() {
		t.judge(ways[:2], "issued for two seconds", i.token.Bytes(), d, spec.None)
		t.judge(ways[:2], "attenuated to two seconds", short.Bytes(), d, spec.None)
	})
	t.Pause(time.Until(time.Unix(i.Expires+1, 0)) + 50*time.Millisecond)
	t.judge(ways, "issued for two seconds, three seconds later", i.token.Bytes(), d, spec.Unauth)
	t.judge(ways, "attenuated to two seconds, three seconds later", short.Bytes(), d, spec.Unauth)
	t.judge(ways, "the token that it was attenuated from", w.Bytes(), d, spec.None)
}

func capAud(t *T) {
	w, d := t.plain()
	name := t.nodeName()
	t.Control(func() { t.judge(t.ways(), "aud = "+name, w.With("aud = "+name).Bytes(), d, spec.None) })
	for _, other := range []string{"another.node", name + "x", name[:len(name)-1] + "~", "x" + name, strings.ToUpper(name) + "!", name + "." + name, "*", strings.Repeat("a", 128)} {
		t.judge(t.ways(), "aud = "+other, w.With("aud = "+other).Bytes(), d, spec.Unauth)
	}
}

func capAmnesia(t *T) {
	w, d := t.plain()
	t.Control(func() {
		t.judge(t.ways(), "what the node is", w.With("amnesia = "+t.amnesia(true)).Bytes(), d, spec.None)
	})
	t.judge(t.ways(), "what it is not", w.With("amnesia = "+t.amnesia(false)).Bytes(), d, spec.Unauth)
	t.judge(t.ways(), "both", w.With("amnesia = on", "amnesia = off").Bytes(), d, spec.Unauth)
}

func capOps(t *T) {
	w := t.warrant()
	all := t.deeds()
	t.Control(func() {
		for _, d := range all {
			t.judge(t.ways(), "with every operation", w.Bytes(), d, spec.None)
		}
	})
	for _, d := range t.deeds() {
		only := w.With("op in " + string(d.op))
		t.judge(t.everyWay(), "with its own operation", only.Bytes(), d, spec.None)
		rest := slices.DeleteFunc(spec.Ops(), func(op spec.Op) bool { return op == d.op })
		t.judge(t.everyWay(), "with every other operation", w.With("op in "+joined(rest)).Bytes(), d, spec.Forbidden)
	}
	d := getDeed(t.Absent())
	for _, ops := range []string{"ge", "gets", "get-", "fly", "none", "all", "o", "stat,has", "read"} {
		t.judge(t.ways(), "op in "+ops, w.With("op in "+ops).Bytes(), d, spec.Forbidden)
	}
	t.judge(t.ways(), "two lists that do not meet", w.With("op in get,put", "op in has,put").Bytes(), d, spec.Forbidden)
	t.judge(t.ways(), "two lists that meet", w.With("op in get,put", "op in has,get").Bytes(), d, spec.None)
}

func capPath(t *T) {
	w := t.warrant()
	d := getDeed(t.Absent())
	at := func(path string) []byte { return w.With("path ^= " + path).Bytes() }
	t.Control(func() { t.judge(t.ways(), "its own path", at(d.path), d, spec.None) })
	for _, path := range []string{"/", "/o", "/o/", d.path} {
		t.judge(t.everyWay(), "path ^= "+path, at(path), d, spec.None)
	}
	other := Object(t.Absent())
	hexed := strings.TrimPrefix(d.path, "/o/b3:")
	for _, path := range []string{
		other, d.path[:len(d.path)-1], d.path[:len(d.path)-2], d.path + "0", d.path + "/", "/o/b3:", "/o/b3", "/o/b", "/o/b3:" + hexed[:8], "/o/b3/" + hexed, "/o//", "//", "//o/", "/O/", "/O",
		"/o/.", "/o/..", "/o/./", "/o/../o", "/put", "/p", "/oo", "/v1", "/admin", "/o/b3:" + strings.ToUpper(hexed), "/o/B3:" + hexed, "/.", "/..",
	} {
		t.judge(t.ways(), "path ^= "+path, at(path), d, spec.Forbidden)
	}
	t.judge(t.ways(), "two that both hold", w.With("path ^= /o", "path ^= "+d.path).Bytes(), d, spec.None)
	t.judge(t.ways(), "two of which one holds", w.With("path ^= "+d.path, "path ^= "+other).Bytes(), d, spec.Forbidden)

	// The paths of the table (CAP-OPS-001).
	for _, d := range t.deeds() {
		first, _, _ := strings.Cut(d.path[1:], "/")
		for _, path := range []string{d.path, "/" + first, "/"} {
			t.judge(t.ways(), "path ^= "+path, at(path), d, spec.None)
		}
		for _, path := range []string{d.path[:len(d.path)-1], d.path + "/x", "/" + first[:len(first)-1], "/elsewhere"} {
			if path != "/" {
				t.judge(t.ways(), "path ^= "+path, at(path), d, spec.Forbidden)
			}
		}
	}
}

func capPathSpelling(t *T) {
	w := t.warrant()
	data := t.Bytes(50)
	path := Object(AddressOf(data))
	digits := strings.TrimPrefix(path, "/o/b3:")
	t.Control(func() {
		t.Upload(data)
		t.Serves(data)
	})
	fetch := func(cap []byte, path string) *Response { return t.With(cap).Get(path) }
	mine, theirs := w.With("path ^= "+path).Bytes(), w.With("path ^= "+Object(t.Absent())).Bytes()
	under := w.With("path ^= /put").Bytes()
	for _, spelling := range []string{path, "/o/b3%3A" + digits, "/o/b3%3a" + digits, "/o/%62%33%3A" + digits} {
		t.Want(fetch(mine, spelling), 200)
		t.Refuses(fetch(theirs, spelling), spec.Forbidden)
		t.Refuses(fetch(under, spelling), spec.Forbidden)
	}
	// Spellings under which a check and a lookup could disagree. None of them may give the object, to anybody.
	for _, spelling := range []string{
		"/o/b3%253A" + digits, "/o%2Fb3:" + digits, "/o%2fb3:" + digits, "/%6F/b3:" + digits, "/put/.." + path, "/put/%2e%2e" + path, "/put/..%2F" + path[1:], "/put%2F.." + path,
		"/o/../o/b3:" + digits, "/o/./b3:" + digits, "/o/%2e/b3:" + digits, "//o/b3:" + digits, "/o//b3:" + digits, path + "/", path + "/.", path + "/..", path + "%00", path + "%20", path + "%2F", path + ";x", "/O/b3:" + digits,
		"/o/B3:" + digits, "/o/b3:" + strings.ToUpper(digits), "/o\\b3:" + digits, "/v1/passport/../.." + path, "/admin/audit/../.." + path, "/healthz/.." + path, "/metrics%2F.." + path, "/healthz/%2e%2e" + path,
	} {
		for _, cap := range [][]byte{under, mine, w.Bytes(), nil} {
			raw := t.With(cap).Raw()
			raw.Head("GET", spelling)
			r := raw.Response("GET")
			raw.nc.Close()
			t.Check(r.Status >= 400 && !bytes.Contains(r.Body, data), "GET %s is answered with %d", spelling, r.Status)
		}
	}
	t.Refuses(t.With(under).Do(Request{Method: "GET", Path: path + "?x=/put"}), spec.Forbidden)
}

func capTenant(t *T) {
	w := t.warrant()
	id := t.Bytes(16)
	mine := w.With(fmt.Sprintf("tenant = %x", id)).Bytes()
	d := hasDeed(t.Absent())
	d.http = getDeed(t.Absent()).http
	copy(d.oap.Tenant[:], id)
	oap, http := []way{t.oapWay("oap")}, []way{t.httpWay("http")}
	t.Control(func() { t.judge(oap, "its own tenant", mine, d, spec.None) })
	t.judge(http, "a request without a tenant", mine, d, spec.Forbidden)
	none := d
	none.oap.Tenant = [16]byte{}
	t.judge(oap, "no tenant", mine, none, spec.Forbidden)
	for _, i := range []int{0, 7, 15} {
		other := d
		other.oap.Tenant[i] ^= 1
		t.judge(oap, "another tenant", mine, other, spec.Forbidden)
	}
	t.judge(oap, "any tenant, without the caveat", w.Bytes(), d, spec.None)
}

func capMaxBytes(t *T) {
	const room = 1000
	w := t.warrant()
	small := w.With(fmt.Sprintf("max-bytes <= %d", room)).Bytes()
	p := t.With(small)
	t.Control(func() {
		data := t.Bytes(room)
		t.Check(p.Upload(data), "as many bytes as allowed are stored already")
		c := p.Hello()
		c.Put(t.Bytes(room))
		t.judge(t.ways(), "as many bytes as allowed", small, t.putDeed(room), spec.None)
	})
	for _, n := range []int{room + 1, 2 * room, spec.MaxBody} {
		t.judge(t.ways(), fmt.Sprintf("%d bytes", n), small, t.putDeed(n), spec.Forbidden)
		t.judge(t.ways(), fmt.Sprintf("%d bytes", n), small, t.putAsDeed(n), spec.Forbidden)
	}
	t.judge([]way{t.oapWay("oap")}, "the largest object", small, deed{op: spec.OpPut, oap: startFrame(1, 0, refwire.EncodeRequest(put(spec.MaxObject)))}, spec.Forbidden)
	// Without a length, the bytes that come decide.
	for _, n := range []int{room + 1, 50 * room} {
		data := t.Bytes(n)
		p.Owe(AddressOf(data))
		p.Refuses(p.Do(Request{Method: "POST", Path: "/put", Body: data, Chunked: true}), spec.Forbidden)
		t.Misses(AddressOf(data))
	}
	data := t.Bytes(room)
	p.Owe(AddressOf(data))
	p.Want(p.Do(Request{Method: "POST", Path: "/put", Body: data, Chunked: true}), 201)
	// A chunked upload is ended where it passes the bound, and not at its end.
	raw := p.Raw()
	raw.Head("POST", "/put", "Transfer-Encoding: chunked")
	raw.Write(chunked(t.Bytes(2*room), 500))
	p.Refuses(raw.Response("POST"), spec.Forbidden)
	t.judge(t.ways(), "nothing at all", w.With("max-bytes <= 0").Bytes(), t.putDeed(1), spec.Forbidden)
	t.judge(t.ways(), "a get", w.With("max-bytes <= 0").Bytes(), getDeed(t.Absent()), spec.None)
}

func capRPS(t *T) {
	const rate = 3
	d := getDeed(t.Absent())
	t.Control(func() { t.judge(t.ways(), "without a rate", t.issue(`"ops":["get"]`).token.Bytes(), d, spec.None) })
	i := t.issue(fmt.Sprintf(`"ops":["get"],"caveats":["rps <= %d"]`, rate))
	wide := t.issue(`"ops":["get"]`).token
	ways := t.ways()
	admitted, refused, begin := 0, 0, time.Now()
	for n := 0; refused < 4; n++ {
		w := ways[n%2]
		switch r := w.try(i.token.Bytes(), d); r {
		case spec.None:
			admitted++
		case spec.Quota:
			refused++
		default:
			t.Check(false, "request %d over %s: %s", n, w.name, r)
		}
		t.Check(n < 200, "two hundred requests in %v pass a rate of %d", time.Since(begin), rate)
	}
	seconds := int(math.Ceil(time.Since(begin).Seconds())) + 1
	t.Check(admitted >= rate && admitted <= rate*seconds, "%d requests were let in within %v at a rate of %d", admitted, time.Since(begin), rate)
	t.judge(ways, "another capability", wide.Bytes(), d, spec.None)
	// The count is that of the capability id: attenuating does not begin another, and a lower rate is held to it.
	t.judge(ways, "rps <= 0", wide.With("rps <= 0").Bytes(), d, spec.Quota)
	t.Eventually(time.Second, "the token is good again", func() bool { return ways[0].try(i.token.Bytes(), d) == spec.None })
	r := t.With(wide.With("rps <= 0").Bytes()).Do(d.http)
	t.retries("quota", r, t.Refuses(r, spec.Quota))
}

func capPeerUID(t *T) {
	w, d := t.plain()
	d.oap = askFrame(1, has(t.Absent()))
	me := w.With(fmt.Sprintf("peer-uid = %d", os.Getuid()))
	tcp := t.ways()
	if t.doors.HTTPS != "" && t.doors.OAPTLS != "" {
		secured := t.TLS()
		tcp = append(tcp, secured.httpWay("https"), secured.oapWay("oap+tls"))
	}
	t.Control(func() { t.judge(tcp, "without the caveat", w.Bytes(), d, spec.None) })
	t.judge(tcp, "for a user", me.Bytes(), d, spec.Forbidden)
	t.judge(tcp, "for user 0", w.With("peer-uid = 0").Bytes(), d, spec.Forbidden)
	if t.doors.socket() == "" {
		t.Notef("there is no Unix socket to show the other half on")
		return
	}
	unix := []way{t.Unix().oapWay("unix")}
	t.judge(unix, "for this user", me.Bytes(), d, spec.None)
	t.judge(unix, "for another user", w.With(fmt.Sprintf("peer-uid = %d", os.Getuid()+1)).Bytes(), d, spec.Forbidden)
	t.judge(unix, "for two users", me.With(fmt.Sprintf("peer-uid = %d", os.Getuid()+1)).Bytes(), d, spec.Forbidden)
	t.judge(unix, "for this user, and ended", me.With("exp <= 1").Bytes(), d, spec.Unauth)
}
