package audit_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/spec"
)

const origin = "node.example/audit"

// key is a pair of halves that stand for the two keys of a node.
type keyPair struct {
	signers   []note.Signer
	verifiers []note.Verifier
	identity  []audit.Line
}

// newKeys makes two Ed25519 note keys; the same seed gives the same keys.
func newKeys(t testing.TB, seed uint64) (k keyPair) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)})
	for range 2 {
		private, public, err := note.GenerateKey(random, origin)
		if err != nil {
			t.Fatal(err)
		}
		signer, err := note.NewSigner(private)
		if err != nil {
			t.Fatal(err)
		}
		verifier, err := note.NewVerifier(public)
		if err != nil {
			t.Fatal(err)
		}
		k.signers, k.verifiers = append(k.signers, signer), append(k.verifiers, verifier)
		k.identity = append(k.identity, audit.Line{Name: fmt.Sprintf("key-%d", len(k.identity)), Value: public})
	}
	return k
}

// mac is a note key for tests that sign tens of thousands of times and are not about signatures.
type mac uint32

func (m mac) Name() string    { return origin }
func (m mac) KeyHash() uint32 { return uint32(m) }
func (m mac) Sign(msg []byte) ([]byte, error) {
	sum := sha256.Sum256(append([]byte{byte(m)}, msg...))
	return sum[:], nil
}

func (m mac) Verify(msg, sig []byte) bool {
	sum, _ := m.Sign(msg)
	return bytes.Equal(sum, sig)
}

func cheapKeys() keyPair {
	return keyPair{signers: []note.Signer{mac(1), mac(2)}, verifiers: []note.Verifier{mac(1), mac(2)}}
}

func (k keyPair) trust() audit.Trust { return audit.Trust{Verifiers: k.verifiers} }

type rig struct {
	*audit.Log
	keys keyPair
}

// newRig makes a log with a clock that stands still.
func newRig(t testing.TB, capacity int, hold bool) *rig {
	return newRigWith(t, audit.Config{Capacity: capacity, Hold: hold})
}

func newRigWith(t testing.TB, c audit.Config) *rig {
	t.Helper()
	return newRigWithKeys(t, c, newKeys(t, 1))
}

func newRigWithKeys(t testing.TB, c audit.Config, keys keyPair) *rig {
	t.Helper()
	c.Origin, c.Signers, c.Identity = origin, keys.signers, keys.identity
	if c.Now == nil {
		c.Now = func() time.Time { return epoch }
	}
	l, err := audit.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return &rig{l, keys}
}

var epoch = time.UnixMilli(1_795_000_000_123)

// denial is a record that differs from those of other numbers.
func denial(n int) audit.Record {
	return audit.Record{
		Time: epoch.Add(time.Duration(n) * time.Millisecond), Event: audit.Denied, Reason: spec.Unauth, Surface: audit.SurfaceOAPTLS,
		Op: spec.OpGet, Peer: audit.PeerAddr(netip.AddrFrom4([4]byte{10, 1, byte(n), 7})), CorrID: audit.CorrUint(uint64(n)),
	}
}

// append adds n records and goes on with the numbers of the log.
func (r *rig) append(t testing.TB, n int) {
	t.Helper()
	for range n {
		want := r.Stats().Size
		if index, err := r.Append(denial(int(want))); err != nil || index != want {
			t.Fatalf("record %d: got index %d, %v", want, index, err)
		}
	}
}

func (r *rig) export(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := r.Export(&b); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func (r *rig) checkpoint(t testing.TB) []byte {
	t.Helper()
	signed, err := r.Checkpoint()
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func verify(t testing.TB, export []byte, trust audit.Trust) audit.Report {
	t.Helper()
	report, err := audit.Verify(bytes.NewReader(export), trust)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// found checks the first finding.
func found(t testing.TB, what string, export []byte, trust audit.Trust, kind audit.Kind, index uint64) {
	t.Helper()
	report := verify(t, export, trust)
	if f := report.Finding; f == nil || f.Kind != kind || f.Index != index || report.OK() {
		t.Errorf("%s: found %v, want %s at %d", what, f, kind, index)
	}
}

func hasReason(err error, reason spec.Reason) bool { return err != nil && errors.Is(err, reason) }
