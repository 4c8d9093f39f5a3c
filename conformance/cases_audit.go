package conformance

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/spec"
)

// auditCases are about CAP-AUD, and the identity that signs what it says.
func auditCases() []Case {
	audit := func(id, description string, run func(*T), rules ...string) Case {
		return feature(FeatureAudit, capCase(id, description, run, rules...))
	}
	return []Case{
		audit("aud-identity", "/version has an identity of two keys with the id of both, and a statement that both have signed, for this purpose and no other.",
			audIdentity, "CAP-KEY-009", "CAP-KEY-006", "CAP-KEY-011"),
		own(audit("aud-records", "Denials on every surface, issues, revocations, rotations and readiness each append one record, in canonical form and with no address in full.",
			audRecords, "CAP-AUD-001", "CAP-AUD-013", "CAP-AUD-003", "CAP-AUD-004", "RDY-OBS-008")),
		own(audit("aud-tree", "The root of a checkpoint, signed with both keys, is that of RFC 6962 over the records.",
			audTree, "CAP-AUD-002", "CAP-AUD-005", "CAP-KEY-006")),
		own(audit("aud-proofs", "Inclusion proofs lead from every record to the root, consistency proofs from every checkpoint to every later one, and what can not be proved is not found.",
			audProofs, "CAP-AUD-006")),
		own(audit("aud-dropped", "When old records are dropped the tree goes on: the root, and proofs from checkpoints before.",
			audDropped, "CAP-AUD-008", "CAP-AUD-006")),
		own(audit("aud-hold", "A node that holds its records refuses every write when there is no room, counts denials in one missed record, and goes on once an export was acknowledged.",
			audHold, "CAP-AUD-009", "CAP-AUD-010")),
		own(audit("aud-offline", "An export verifies without the node, and whatever is changed, left out, moved, repeated or cut is found at its record; so is a fork.",
			audOffline, "CAP-AUD-007", "CAP-AUD-011", "CAP-AUD-012")),
		own(audit("aud-admin", "The audit log is for holders of the admin role.",
			audAdmin, "HTTP-ADM-001", "CAP-OPS-001")),
	}
}

func audIdentity(t *T) {
	t.Control(func() { t.Want(t.Get("/healthz"), 200) })
	i := t.identity()
	framed := append([]byte{0, byte(len(purposeStatement))}, purposeStatement...)
	t.Check(ed25519.Verify(i.ed, append(framed, i.text...), i.edSig), "the Ed25519 signature of the statement is not good")
	t.Check(i.pqVerify(i.text, purposeStatement, i.mld), "the ML-DSA-65 signature of the statement is not good")
	t.Check(!ed25519.Verify(i.ed, i.text, i.edSig) && !i.pqVerify(i.text, "", i.mld) && !i.pqVerify(i.text, "micronode/note/1", i.mld), "the signature of the statement is good for another purpose")
	var text map[string]any
	err := json.Unmarshal(i.text, &text)
	t.Check(err == nil, "the text of the statement is no JSON: %v", err)
	for _, name := range []string{"version", "limits", "features", "amnesia", "pq_mode"} {
		t.Check(text[name] != nil, "the statement has no %s, among %v", name, members(text))
	}
	for _, name := range []string{"version", "limits", "features", "amnesia"} {
		t.Check(fmt.Sprint(text[name]) == fmt.Sprint(i.version[name]), "the statement says %s %v, and /version %v", name, text[name], i.version[name])
	}
	again := t.identity()
	t.Check(again.id == i.id && bytes.Equal(again.text, i.text), "identity or statement changes from one answer to the next")
	if t.Process != nil && t.Process.Identity != "" {
		t.Check(t.Process.Identity == i.id, "the node announced the identity %s, /version has %s", t.Process.Identity, i.id)
	}
}

const purposeStatement = "micronode/statement/1"

// canonical demands the form of CAP-AUD-003 of every record, and consecutive indices.
func canonical(t *T, records []record) {
	order := recordMembers()
	name := regexp.MustCompile(`"([a-z_]+)":`)
	for k, r := range records {
		t.Check(len(r.line) <= spec.MaxAuditRecord && r.V == 1 && r.I == records[0].I+k, "record %d has version %d, index %d and %d bytes", k, r.V, r.I, len(r.line))
		t.Check(!bytes.ContainsAny(r.line, " \t\r"), "record %d has white space: %s", k, r.line)
		at := -1
		for _, m := range name.FindAllSubmatch(r.line, -1) {
			next := slices.Index(order, string(m[1]))
			t.Check(next > at, "the members of record %d are out of order: %s", k, r.line)
			at = next
		}
		t.Check(!bytes.Contains(r.line, []byte(`""`)) && !bytes.Contains(r.line, []byte("null")), "record %d has a member without a value: %s", k, r.line)
		t.Check(!bytes.Contains(r.line, []byte("127.0.0.1")) && !bytes.Contains(r.line, []byte("b3:")), "record %d has a full address: %s", k, r.line)
		t.Check(r.T > time.Now().Add(-time.Hour).UnixMilli() && r.T <= time.Now().Add(time.Minute).UnixMilli(), "record %d is of %d", k, r.T)
		t.Check(k == 0 || r.T >= records[k-1].T, "record %d is older than the one before", k)
	}
}

func audRecords(t *T) {
	node := t.spawnSecured()
	t.Control(func() { node.HTTPRoundTrip(); node.Hello().RoundTrip() })
	ways := node.everyWay()
	for _, way := range ways { // every connection is there before the counting begins
		if d := getDeed(t.Absent()); way.has(d) {
			way.try(node.cap, d)
		}
	}
	_, before := node.export()
	// since demands that do appends exactly these events.
	since := func(what string, do func(), events ...string) []record {
		_, was := node.export()
		do()
		_, is := node.export()
		t.Check(len(is) >= len(was) && bytes.Equal(is[len(was)-1].line, was[len(was)-1].line), "%s: the log changes behind its end", what)
		var got []string
		for _, r := range is[len(was):] {
			got = append(got, r.Event)
		}
		t.Check(slices.Equal(got, events), "%s: the log has the events %q more, want %q", what, got, events)
		return is[len(was):]
	}
	t.Check(before[0].I == 0 && before[0].Event == "started", "the first record is %s", before[0].line)
	t.Check(slices.ContainsFunc(before, func(r record) bool { return r.Event == "readiness" && r.To == "ready" }), "the node became ready, and its log does not say so")

	w := node.warrant()
	for _, x := range []struct {
		what   string
		token  []byte
		reason spec.Reason
	}{{"no token", nil, spec.Unauth}, {"an ended token", w.With("exp <= 1").Bytes(), spec.Unauth}, {"another operation", w.With("op in send").Bytes(), spec.Forbidden}} {
		for _, way := range ways {
			d := getDeed(t.Absent())
			for _, r := range since(x.what+" over "+way.name, func() { way.try(x.token, d) }, "denied") {
				t.Check(r.Reason == x.reason && r.Surface == way.name && r.Op == d.op && r.CorrID != "", "%s over %s gives the record %s", x.what, way.name, r.line)
				if way.name == "unix" {
					t.Check(r.Peer == fmt.Sprintf("uid:%d", os.Getuid()), "the peer over the Unix socket is %s", r.Peer)
				} else {
					t.Check(strings.HasPrefix(r.Peer, "127.0.0.0"), "the peer over %s is %s", way.name, r.Peer)
				}
			}
		}
	}
	r := since("a correlation id", func() {
		node.With(nil).Get(Object(t.Absent()), "X-Corr-ID: find-me.42")
	}, "denied")
	t.Check(r[0].CorrID == "find-me.42", "the correlation id is %q", r[0].CorrID)
	since("a request that is let in", func() { node.Get(Object(t.Absent())) })
	since("a missing route", func() { node.Get("/nowhere") })
	since("an operation route", func() { node.With(nil).Get("/metrics") })

	var i issued
	r = since("issue", func() { i = node.issue(`"role":"reader"`) }, "issued")
	t.Check(r[0].CapID == i.ID && r[0].KeyID == i.KeyID && r[0].Surface == "http", "issue gives the record %s", r[0].line)
	first := before[slices.IndexFunc(before, func(r record) bool { return r.Event == "issued" })]
	t.Check(first.By == "" && len(strings.Split(first.Ops, "+")) == len(spec.Ops()), "the bootstrap token has the record %s", first.line)
	t.Check(r[0].By == first.CapID && r[0].Ops == "get+has+stat+resolve+search" && r[0].Exp == i.Expires, "issue gives the record %s", r[0].line)
	r = since("issue over OAP/1", func() { node.Hello().passportOver(spec.OpIssue, `"role":"reader"`) }, "issued")
	t.Check(r[0].By == first.CapID, "issue over OAP/1 gives the record %s", r[0].line)
	r = since("revoke", func() { node.revoke("id", i.ID) }, "revoked")
	t.Check(r[0].CapID == i.ID && r[0].By == first.CapID, "revoke gives the record %s", r[0].line)
	since("verify", func() { node.Want(node.Do(node.verifyDeed().http), 200) })
	var key string
	r = since("rotate", func() { key = node.rotate(nil) }, "rotated")
	t.Check(r[0].KeyID == key && r[0].By == first.CapID, "rotate gives the record %s", r[0].line)
	other := node.issue(`"ops":["get","audit","has"]`)
	node.cap = other.token.Bytes()
	r = since("revoke of a key", func() {
		node.Want(node.With(w.Bytes()).passport(spec.OpRevoke, fmt.Sprintf(`"key_id":%q`, i.KeyID)), 200)
	}, "key-revoked")
	t.Check(r[0].KeyID == i.KeyID, "the revocation of a key gives the record %s", r[0].line)

	text, all := node.export()
	canonical(t, all)
	for _, secret := range []string{i.Text, i.Text[len(i.Text)-43:], node.Process.Token} {
		t.Check(!bytes.Contains(text, []byte(secret)), "the log has a token in it")
	}
	entries := node.counter("audit_entries_total", "")
	t.Check(int(entries) >= len(all), "audit_entries_total is %v with %d records", entries, len(all))
	_, ok := value(node.metrics(), "service_restarts_total", "")
	t.Check(ok, "/metrics has no service_restarts_total")
}

// checkpoint takes the one of now.
func (p *Peer) checkpoint(i identity) checkpoint {
	r := p.Want(p.Get("/admin/audit/checkpoint"), 200)
	return i.opened(p.t, r.Body)
}

func leaves(records []record) (list []hash) {
	for _, r := range records {
		list = append(list, leafOf(r.line))
	}
	return list
}

func audTree(t *T) {
	node := t.Spawn("--rate", "100000")
	t.Control(func() { node.Hello().RoundTrip() })
	i := node.identity()
	for _, more := range []int{0, 1, 2, 5, 30} {
		for range more {
			node.Refuses(node.With(nil).Get(Object(t.Absent())), spec.Unauth)
		}
		text, records := node.export()
		c := node.checkpoint(i)
		t.Check(c.size == len(records), "the checkpoint has size %d, and there are %d records", c.size, len(records))
		t.Check(c.root == rootOf(leaves(records)), "the root of %d records is %x, and not that of RFC 6962", c.size, c.root)
		t.Check(bytes.Contains(text, bytes.TrimSuffix(c.text, []byte("\n"))), "an export does not have its checkpoint")
		// One bit of any record makes another root.
		changed := leaves(records)
		changed[len(changed)-1] = leafOf(append(slices.Clone(records[len(records)-1].line), ' '))
		t.Check(c.root != rootOf(changed), "another record gives the same root")
	}
}

func hashesOf(t *T, list []string) (all []hash) {
	for _, s := range list {
		b, err := base64.StdEncoding.DecodeString(s)
		t.Check(err == nil && len(b) == len(hash{}), "a hash is %q", s)
		all = append(all, hash(b))
	}
	return all
}

// connects asks for the proof between two checkpoints and follows it.
func (p *Peer) connects(from, to checkpoint) {
	t := p.t
	var body struct {
		Old   *int     `json:"old"`
		New   *int     `json:"new"`
		Proof []string `json:"proof"`
	}
	r := p.Want(p.Get(fmt.Sprintf("/admin/audit/consistency/%d/%d", from.size, to.size)), 200)
	err := json.Unmarshal(r.Body, &body, json.RejectUnknownMembers(true))
	t.Check(err == nil && body.Old != nil && body.New != nil && *body.Old == from.size && *body.New == to.size, "the answer is %s: %v", textOf(r.Body), err)
	was, is, ok := consistent(from.size, to.size, true, from.root, hashesOf(t, body.Proof))
	t.Check(ok && was == from.root && is == to.root, "the consistency proof from %d to %d does not lead there", from.size, to.size)
}

func audProofs(t *T) {
	node := t.Spawn("--rate", "100000")
	t.Control(func() { node.Hello().RoundTrip() })
	i := node.identity()
	var points []checkpoint
	for more := range 9 {
		for range more {
			node.Refuses(node.With(nil).Get(Object(t.Absent())), spec.Unauth)
		}
		if c := node.checkpoint(i); len(points) == 0 || c.size > points[len(points)-1].size {
			points = append(points, c)
		}
	}
	t.Check(len(points) == 9, "nine checkpoints, some denials apart, are %d", len(points))
	for a := range points {
		for b := a; b < len(points); b++ {
			node.connects(points[a], points[b])
		}
	}
	_, records := node.export()
	for _, c := range points {
		for k := range c.size {
			var body struct {
				Index, Size *int
				Leaf        string
				Proof       []string
			}
			r := node.Want(node.Get(fmt.Sprintf("/admin/audit/inclusion/%d/%d", k, c.size)), 200)
			err := json.Unmarshal(r.Body, &body, json.MatchCaseInsensitiveNames(true), json.RejectUnknownMembers(true))
			t.Check(err == nil && body.Index != nil && body.Size != nil && *body.Index == k && *body.Size == c.size, "the answer is %s: %v", textOf(r.Body), err)
			leaf := leafOf(records[k].line)
			t.Check(body.Leaf == base64.StdEncoding.EncodeToString(leaf[:]), "the leaf of record %d is %s", k, body.Leaf)
			root, ok := included(leaf, k, c.size, hashesOf(t, body.Proof))
			t.Check(ok && root == c.root, "the inclusion proof of record %d in %d does not lead to the root", k, c.size)
		}
	}
	last := points[len(points)-1].size
	for _, path := range []string{
		fmt.Sprintf("inclusion/%d/%d", last, last), fmt.Sprintf("inclusion/0/%d", last+1000), fmt.Sprintf("consistency/1/%d", last+1000), fmt.Sprintf("inclusion/%d/%d", last+5, last+6),
	} {
		node.Refuses(node.Get("/admin/audit/"+path), spec.NotFound)
	}
	for _, path := range []string{"inclusion/x/1", "inclusion/-1/1", "inclusion/01/2", "inclusion/0/99999999999999999999999", "consistency/2/1", "consistency/a/b", "inclusion/0", "consistency/1", "elsewhere"} {
		r := node.Get("/admin/audit/" + path)
		node.Refuses(r, spec.NotFound, spec.NoRoute, spec.Malformed)
	}
}

func audDropped(t *T) {
	const kept = 64
	node := t.Spawn("--rate", "100000", "--audit-records", fmt.Sprint(kept))
	t.Control(func() { node.Hello().RoundTrip() })
	i := node.identity()
	points := []checkpoint{node.checkpoint(i)}
	var all []record
	collect := func() {
		_, records := node.export()
		for _, r := range records {
			if r.I == len(all) {
				all = append(all, r)
			}
		}
	}
	collect()
	for range 5 {
		for range kept / 2 {
			node.Refuses(node.With(nil).Get(Object(t.Absent())), spec.Unauth)
		}
		collect()
		points = append(points, node.checkpoint(i))
	}
	_, records := node.export()
	t.Check(len(records) <= kept && records[0].I > 0, "%d records are held from index %d on, with room for %d", len(records), records[0].I, kept)
	canonical(t, records)
	last := points[len(points)-1]
	t.Check(last.size == len(all), "the checkpoint has size %d, and %d records were seen", last.size, len(all))
	t.Check(last.root == rootOf(leaves(all)), "the root is not that of all records, dropped ones among them")
	for a := range points {
		for b := a; b < len(points); b++ {
			node.connects(points[a], points[b])
		}
	}
}

func audHold(t *T) {
	const kept = 64
	node := t.Spawn("--rate", "100000", "--audit-hold=true", "--audit-records", fmt.Sprint(kept))
	data := t.Bytes(40)
	t.Control(func() {
		node.Hello().RoundTrip()
		node.Upload(data)
	})
	i := node.identity()
	first := node.checkpoint(i)
	for range 2 * kept {
		node.Refuses(node.With(nil).Get(Object(t.Absent())), spec.Unauth) // and not something else, for want of room
	}
	for _, d := range []deed{node.putDeed(10), node.putAsDeed(10), deleteDeed(AddressOf(data)), passportDeed(spec.OpIssue, `"role":"reader"`)} {
		t.judge(node.ways(), "with a full log", node.cap, d, spec.NotReady)
	}
	node.Serves(data) // reading goes on
	t.judge(node.ways(), "with a full log", node.cap, getDeed(t.Absent()), spec.None)
	_, records := node.export()
	t.Check(records[0].I == 0 && len(records) <= kept, "%d records are held from index %d on", len(records), records[0].I)
	node.Refuses(node.Do(Request{Method: "POST", Path: fmt.Sprintf("/admin/audit/acknowledge/%d", len(records)+1000)}), spec.NotFound)
	node.Want(node.Do(Request{Method: "POST", Path: fmt.Sprintf("/admin/audit/acknowledge/%d", len(records))}), 200, 204)
	t.judge(node.ways(), "after an acknowledgement", node.cap, node.putDeed(10), spec.None)
	node.Refuses(node.With(nil).Get(Object(t.Absent())), spec.Unauth)
	_, later := node.export()
	t.Check(later[0].I == len(records), "after the acknowledgement of %d records the first is %d", len(records), later[0].I)
	missed := slices.IndexFunc(later, func(r record) bool { return r.Event == "missed" })
	t.Check(missed >= 0 && later[missed].N > kept/2, "no record tells of the denials that there was no room for: %s", later[0].line)
	t.Check(!slices.ContainsFunc(later[missed+1:], func(r record) bool { return r.Event == "missed" }), "what was missed is told twice")
	total := 0
	for _, r := range append(slices.Clone(records), later...) {
		switch r.Event {
		case "denied":
			total++
		case "missed":
			total += r.N
		}
	}
	t.Check(total == 2*kept+1, "%d denials are told of as %d", 2*kept+1, total)
	last := node.checkpoint(i)
	t.Check(last.root == rootOf(leaves(append(slices.Clone(records), later...))), "the root is not that of all records")
	node.connects(first, last)
}

// audit runs `micronode audit verify` and gives its exit status and output.
func (t *T) offline(file string, args ...string) (int, string) {
	cmd := exec.CommandContext(t.ctx, t.s.cfg.Binary, append([]string{"audit", "verify", file}, args...)...)
	out, _ := cmd.CombinedOutput()
	if cmd.ProcessState == nil {
		t.Failf("the node's program can not be run")
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func audOffline(t *T) {
	node := t.Spawn("--rate", "100000")
	other := t.Spawn("--rate", "100000")
	t.Control(func() { node.Hello().RoundTrip(); other.Hello().RoundTrip() })
	for range 12 {
		node.Refuses(node.With(nil).Get(Object(t.Absent())), spec.Unauth)
		other.Refuses(other.With(nil).Get(Object(t.Absent())), spec.Unauth)
	}
	id := node.identity().id
	early := node.Want(node.Get("/admin/audit/checkpoint"), 200).Body
	node.Refuses(node.With(nil).Get(Object(t.Absent())), spec.Unauth)
	text, records := node.export()
	foreign, _ := other.export()
	fork := other.Want(other.Get("/admin/audit/checkpoint"), 200).Body
	node.signal(syscall.SIGINT) // nothing below needs it
	node.exits(t.Within(spec.DrainTimeout))
	dir := t.socketDir()
	n := 0
	file := func(b []byte) string {
		n++
		path := filepath.Join(dir, fmt.Sprintf("%d", n))
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Untestablef("%v", err)
		}
		return path
	}
	good := file(text)
	for _, args := range [][]string{{"--identity", id}, {"--identity", id, "--checkpoint", file(early)}} {
		status, out := t.offline(good, args...)
		t.Check(status == 0, "a good export is refused with %d: %s", status, out)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	at := func(k int) int { // the line of record k
		return slices.IndexFunc(lines, func(l []byte) bool { return bytes.HasPrefix(l, records[k].line) })
	}
	altered := func(change func(l [][]byte) [][]byte) []byte { return bytes.Join(change(slices.Clone(lines)), nil) }
	const k = 5
	flipped := bytes.Replace(lines[at(k)], []byte(`"denied"`), []byte(`"issued"`), 1)
	for _, x := range []struct {
		what  string
		text  []byte
		index int // that has to be named, -1 for none
	}{
		{"a changed record", altered(func(l [][]byte) [][]byte { l[at(k)] = flipped; return l }), k},
		{"a changed time", altered(func(l [][]byte) [][]byte {
			l[at(k)] = bytes.Replace(l[at(k)], []byte(`"t":1`), []byte(`"t":2`), 1)
			return l
		}), k},
		{"a missing record", altered(func(l [][]byte) [][]byte { return slices.Delete(l, at(k), at(k)+1) }), k},
		{"a repeated record", altered(func(l [][]byte) [][]byte { return slices.Insert(l, at(k), l[at(k)]) }), -1},
		{"two records exchanged", altered(func(l [][]byte) [][]byte { a, b := at(k), at(k+1); l[a], l[b] = l[b], l[a]; return l }), k},
		{"the last record cut", altered(func(l [][]byte) [][]byte { last := at(len(records) - 1); return slices.Delete(l, last, last+1) }), len(records) - 1},
		{"the end cut", text[:len(text)*3/4], -1},
		{"a signature changed", altered(func(l [][]byte) [][]byte {
			s := slices.Clone(l[len(l)-2])
			s[len(s)-20] ^= 1
			l[len(l)-2] = s
			return l
		}), -1},
		{"white space in a record", altered(func(l [][]byte) [][]byte { l[at(k)] = bytes.Replace(l[at(k)], []byte(","), []byte(", "), 1); return l }), k},
		{"nothing", nil, -1},
	} {
		status, out := t.offline(file(x.text), "--identity", id)
		t.Check(status > 0, "%s: the export passes: %s", x.what, out)
		t.Check(x.index < 0 || regexp.MustCompile(fmt.Sprintf(`\b%d\b`, x.index)).MatchString(out), "%s: record %d is not named: %s", x.what, x.index, out)
	}
	status, out := t.offline(file(foreign), "--identity", id)
	t.Check(status > 0, "the export of another node passes for this one's: %s", out)
	// The same log, as another saw it: a checkpoint that nothing connects.
	status, out = t.offline(good, "--identity", id, "--checkpoint", file(fork))
	t.Check(status > 0, "a checkpoint of another history passes: %s", out)
}

func audAdmin(t *T) {
	node := t.Spawn()
	t.Control(func() { node.Want(node.Get("/admin/audit/checkpoint"), 200) })
	paths := []string{"checkpoint", "export", "inclusion/0/1", "consistency/1/2"}
	for _, role := range spec.Roles() {
		p := node.With(node.issue(fmt.Sprintf(`"role":%q`, role)).token.Bytes())
		for _, path := range paths {
			r := p.Get("/admin/audit/" + path)
			if role == spec.Admin {
				p.Want(r, 200)
			} else {
				p.Refuses(r, spec.Forbidden)
			}
		}
	}
	for _, path := range paths {
		node.Refuses(node.With(nil).Get("/admin/audit/"+path), spec.Unauth)
		r := node.Do(Request{Method: "HEAD", Path: "/admin/audit/" + path})
		node.Want(r, 200)
		t.Check(len(r.Body) == 0, "HEAD of %s has a body", path)
	}
}
