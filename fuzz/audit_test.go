package fuzz

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/spec"
)

// auditRig is one log with three exports of it, of growing size, and an export of a log with the same keys whose last
// records differ.
type auditRig struct {
	verifiers []note.Verifier
	exports   [][]byte
	earlier   []audit.Earlier // checkpoint of the second export
}

var auditExports = sync.OnceValues(func() (r auditRig, err error) {
	random := rand.NewChaCha8([32]byte{4})
	var signers []note.Signer
	for range 2 {
		private, public, err := note.GenerateKey(random, "fuzz")
		if err != nil {
			return r, err
		}
		signer, err := note.NewSigner(private)
		if err != nil {
			return r, err
		}
		verifier, err := note.NewVerifier(public)
		if err != nil {
			return r, err
		}
		signers, r.verifiers = append(signers, signer), append(r.verifiers, verifier)
	}
	config := audit.Config{Capacity: 7, Origin: "fuzz", Signers: signers, Identity: []audit.Line{{Name: "id", Value: "0102"}}}
	for _, fork := range []bool{false, true} {
		log, err := audit.New(config)
		if err != nil {
			return r, err
		}
		for n := range 12 {
			if err := auditAppend(log, n, fork && n > 8); err != nil {
				return r, err
			}
			if n != 4 && n != 9 && n != 11 || fork && n != 11 {
				continue
			}
			var b bytes.Buffer
			if err := log.Export(&b); err != nil {
				return r, err
			}
			r.exports = append(r.exports, b.Bytes())
			if n == 9 {
				signed, err := log.Checkpoint()
				if err != nil {
					return r, err
				}
				r.earlier = []audit.Earlier{{Note: signed}}
			}
		}
	}
	return r, nil
})

func auditAppend(log *audit.Log, n int, fork bool) error {
	record := audit.Record{
		Time: time.UnixMilli(1795000000000 + int64(n)), Event: audit.Denied, Reason: spec.Unauth, Surface: audit.SurfaceHTTPS, Op: spec.OpGet,
		Peer: audit.PeerAddr(netip.AddrFrom4([4]byte{10, byte(n), 1, 2})), CorrID: audit.CorrUint(uint64(n)),
	}
	if fork {
		record.Reason = spec.Forbidden
	}
	_, err := log.Append(record)
	return err
}

// editExport applies the edits in data to an export, six bytes each: what, two bytes where, two bytes where else, and a
// value. Lines are dropped, repeated, moved and swapped, bytes are changed, put in and taken out, and ends are cut.
func editExport(exports [][]byte, data []byte, c uint8) []byte {
	b := bytes.Clone(exports[int(c)%len(exports)])
	for n := 0; len(data) >= 6 && len(b) > 0 && n < 8; n++ {
		what, value := data[0], data[5]
		at, to := int(binary.BigEndian.Uint16(data[1:])), int(binary.BigEndian.Uint16(data[3:]))
		data = data[6:]
		lines := bytes.SplitAfter(b, []byte("\n"))
		i, j := at%len(lines), to%len(lines)
		switch what % 8 {
		case 0:
			b[at%len(b)] ^= value
		case 1:
			b[at%len(b)] = value
		case 2:
			b = slices.Insert(b, at%len(b), value)
		case 3:
			b = slices.Delete(b, at%len(b), min(at%len(b)+1+int(value%4), len(b)))
		case 4:
			b = slices.Concat(slices.Delete(lines, i, i+1)...)
		case 5:
			b = slices.Concat(slices.Insert(lines, j, lines[i])...)
		case 6:
			lines[i], lines[j] = lines[j], lines[i]
			b = slices.Concat(lines...)
		case 7: // the end of another export
			other := exports[int(value)%len(exports)]
			b = append(b[:at%len(b)], other[to%len(other):]...)
		}
	}
	return b
}

// FuzzAuditExport: no text but an export that the keys signed is taken for one, and what is said to be proved of another
// text is a part of such an export (CAP-AUD-007, CAP-AUD-011, CAP-AUD-012).
func FuzzAuditExport(f *testing.F) {
	r, err := auditExports()
	if err != nil {
		f.Fatal(err)
	}
	for c := range uint8(5) {
		f.Add([]byte{}, c)
		for what := range byte(8) {
			f.Add([]byte{what, 1, 200, 0, 12, 1}, c)
			f.Add([]byte{what, 0, 11, 0, 12, 3, 5, 0, 9, 0, 3, 1}, c)
		}
	}
	for _, export := range r.exports {
		f.Add(export, uint8(255))
	}
	f.Fuzz(func(t *testing.T, data []byte, c uint8) {
		text := data
		if c != 255 {
			text = editExport(r.exports, data, c)
		}
		report, err := audit.Verify(bytes.NewReader(text), audit.Trust{Verifiers: r.verifiers})
		if err != nil {
			t.Fatal(err)
		}
		whole := slices.IndexFunc(r.exports, func(e []byte) bool { return bytes.Equal(e, text) })
		if report.OK() != (whole >= 0) {
			t.Fatalf("%q: taken for an export: %v (%v)", text, report.OK(), report.Finding)
		}
		if report.Finding != nil {
			provedLines(t, r, text, report)
			return
		}
		// The second export fixed the history: later ones continue it, and the one of the fork does not.
		again, err := audit.Verify(bytes.NewReader(text), audit.Trust{Verifiers: r.verifiers, Earlier: r.earlier})
		want := []audit.Kind{audit.KindCut, "", "", audit.KindFork}[whole]
		if err != nil || (again.Finding == nil) != (want == "") || again.Finding != nil && again.Finding.Kind != want {
			t.Fatalf("export %d against an earlier checkpoint: %v, %v", whole, again.Finding, err)
		}
	})
}

// provedLines: every record that was proved is, byte for byte, in a real export, and the finding is not before them.
func provedLines(t *testing.T, r auditRig, text []byte, report audit.Report) {
	records := uint64(0)
	for line := range bytes.Lines(text) {
		if records == report.Records {
			break
		}
		if line[0] != '{' {
			continue
		}
		records++
		if !slices.ContainsFunc(r.exports, func(e []byte) bool { return bytes.Contains(e, append([]byte("\n"), line...)) }) {
			t.Fatalf("%q is said to be proved", line)
		}
	}
	switch f := report.Finding; f.Kind {
	case audit.KindRoot: // of two signed histories none is better
	default:
		if records != report.Records || records > 0 && f.Index != report.Header.First+records {
			t.Fatalf("%d of %d records were proved, and %v", records, report.Records, f)
		}
	}
}

// auditRecord is the record table of spec/audit.md.
type auditRecord struct {
	V       int     `json:"v"`
	I       uint64  `json:"i"`
	T       int64   `json:"t"`
	Event   string  `json:"event"`
	Reason  *string `json:"reason,omitzero"`
	Surface *string `json:"surface,omitzero"`
	Op      *string `json:"op,omitzero"`
	Peer    *string `json:"peer,omitzero"`
	CorrID  *string `json:"corr_id,omitzero"`
	KeyID   *string `json:"key_id,omitzero"`
	CapID   *string `json:"cap_id,omitzero"`
	By      *string `json:"by,omitzero"`
	Ops     *string `json:"ops,omitzero"`
	Exp     *int64  `json:"exp,omitzero"`
	From    *string `json:"from,omitzero"`
	To      *string `json:"to,omitzero"`
	N       *uint64 `json:"n,omitzero"`
}

// FuzzAuditRecord: what is read as a record is JSON with the members of the table, in the one way to write it, and
// without anything that the law does not name (CAP-AUD-003, CAP-AUD-004).
func FuzzAuditRecord(f *testing.F) {
	const whole = `{"v":1,"i":7,"t":1795000000123,"event":"readiness","reason":"unauth","surface":"oap+tls","op":"get","peer":"10.1.2.0/24",` +
		`"corr_id":"build-42.step_7","key_id":"0102030405060708","cap_id":"000102030405060708090a0b0c0d0e0f","by":"f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff","ops":"get+put","exp":1795000900,"from":"ready","to":"degraded","n":3}`
	f.Add([]byte(whole))
	f.Add([]byte(`{"v":1,"i":0,"t":5,"event":"started"}`))
	f.Add([]byte(`{"v":1,"i":0,"t":5,"event":"denied","reason":"quota","peer":"uid:1000"}`))
	f.Add([]byte(`{"v":1,"i":0,"t":5,"event":"denied","reason":"quota","peer":"2001:db8::/48"}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		index, r, err := audit.ParseRecord(line)
		if err != nil {
			if r != (audit.Record{}) || index != 0 {
				t.Fatalf("%q: refused, and gave %+v", line, r)
			}
			return
		}
		var table auditRecord
		if err := json.Unmarshal(line, &table, json.RejectUnknownMembers(true)); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		again, err := json.Marshal(table, json.Deterministic(true))
		if err != nil || !bytes.Equal(again, line) || len(line) > spec.MaxAuditRecord || table.I != index || table.T != r.Time.UnixMilli() {
			t.Fatalf("%q is read as %+v, and JSON writes it as %q, %v", line, r, again, err)
		}
	})
}
