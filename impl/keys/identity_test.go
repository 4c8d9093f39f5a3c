package keys

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/spec"
)

// repeat is randomness in which a test can find each seed again: the first is all ones, the second all twos.
type repeat struct{ n byte }

func (r *repeat) Read(b []byte) (int, error) {
	r.n++
	for i := range b {
		b[i] = r.n
	}
	return len(b), nil
}

func vault(t testing.TB) *secret.Vault {
	t.Helper()
	v, err := secret.NewVault(8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

func identity1(t testing.TB, random io.Reader) *Identity {
	t.Helper()
	id, err := NewIdentity(vault(t), random)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func sign(t testing.TB, id *Identity, purpose string, msg []byte) Signature {
	t.Helper()
	s, err := id.Sign(purpose, msg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func wantReason(t *testing.T, what string, err error, want spec.Reason) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%.60q: %v, want %s", what, err, want)
	}
}

func TestSignVerify(t *testing.T) {
	id := identity1(t, nil)
	p := id.Public()
	for _, msg := range [][]byte{nil, []byte("m"), bytes.Repeat([]byte{0}, 10_000)} {
		for _, purpose := range []string{"p", strings.Repeat("p", MaxPurpose), "\x00\xff"} {
			s := sign(t, id, purpose, msg)
			if err := p.Verify(purpose, msg, s); err != nil {
				t.Errorf("%d bytes for %.3q: %v", len(msg), purpose, err)
			}
			if again := sign(t, id, purpose, msg); bytes.Equal(s.MLDSA65, again.MLDSA65) || !bytes.Equal(s.Ed25519, again.Ed25519) {
				t.Error("ML-DSA-65 is to be randomised, and Ed25519 can not be")
			}
		}
	}
	for _, purpose := range []string{"", strings.Repeat("p", MaxPurpose+1)} {
		_, err := id.Sign(purpose, nil)
		wantReason(t, "sign for a purpose out of bounds", err, spec.Internal)
		wantReason(t, "verify for a purpose out of bounds", p.Verify(purpose, nil, sign(t, id, "p", nil)), spec.Malformed)
	}
}

// TestEd25519HalfIsChecked: a good ML-DSA-65 half alone is no signature (CAP-KEY-006).
func TestEd25519HalfIsChecked(t *testing.T) {
	id := identity1(t, nil)
	s := sign(t, id, "p", []byte("m"))
	for i := range s.Ed25519 {
		broken := Signature{slices.Clone(s.Ed25519), s.MLDSA65}
		broken.Ed25519[i] ^= 1
		wantReason(t, fmt.Sprintf("byte %d", i), id.Public().Verify("p", []byte("m"), broken), spec.Unauth)
	}
	other := sign(t, identity1(t, nil), "p", []byte("m"))
	wantReason(t, "another's half", id.Public().Verify("p", []byte("m"), Signature{other.Ed25519, s.MLDSA65}), spec.Unauth)
	wantReason(t, "zeros", id.Public().Verify("p", []byte("m"), Signature{make([]byte, 64), s.MLDSA65}), spec.Unauth)
	wantReason(t, "no half", id.Public().Verify("p", []byte("m"), Signature{nil, s.MLDSA65}), spec.Malformed)
}

// TestMLDSA65HalfIsChecked: a good Ed25519 half alone is no signature (CAP-KEY-006).
func TestMLDSA65HalfIsChecked(t *testing.T) {
	id := identity1(t, nil)
	s := sign(t, id, "p", []byte("m"))
	for i := 0; i < len(s.MLDSA65); i += 41 {
		broken := Signature{s.Ed25519, slices.Clone(s.MLDSA65)}
		broken.MLDSA65[i] ^= 1
		wantReason(t, fmt.Sprintf("byte %d", i), id.Public().Verify("p", []byte("m"), broken), spec.Unauth)
	}
	other := sign(t, identity1(t, nil), "p", []byte("m"))
	wantReason(t, "another's half", id.Public().Verify("p", []byte("m"), Signature{s.Ed25519, other.MLDSA65}), spec.Unauth)
	wantReason(t, "zeros", id.Public().Verify("p", []byte("m"), Signature{s.Ed25519, make([]byte, 3309)}), spec.Unauth)
	wantReason(t, "no half", id.Public().Verify("p", []byte("m"), Signature{s.Ed25519, nil}), spec.Malformed)
}

// TestVerifyRejects: another message, key, or length of anything.
func TestVerifyRejects(t *testing.T) {
	id, other := identity1(t, nil), identity1(t, nil)
	p, q := id.Public(), other.Public()
	msg := []byte("m")
	s := sign(t, id, "p", msg)
	wantReason(t, "another message", p.Verify("p", []byte("n"), s), spec.Unauth)
	wantReason(t, "a longer message", p.Verify("p", []byte("m\x00"), s), spec.Unauth)
	wantReason(t, "another identity", q.Verify("p", msg, s), spec.Unauth)
	wantReason(t, "half another identity", PublicKey{p.Ed25519, q.MLDSA65}.Verify("p", msg, s), spec.Unauth)
	wantReason(t, "the other half", PublicKey{q.Ed25519, p.MLDSA65}.Verify("p", msg, s), spec.Unauth)
	for _, key := range []PublicKey{{}, {p.Ed25519[1:], p.MLDSA65}, {p.Ed25519, p.MLDSA65[1:]}, {append(slices.Clone(p.Ed25519), 0), p.MLDSA65}} {
		wantReason(t, "a key of another length", key.Verify("p", msg, s), spec.Malformed)
	}
	for _, sig := range []Signature{{}, {s.Ed25519[1:], s.MLDSA65}, {append(slices.Clone(s.Ed25519), 0), s.MLDSA65}, {s.Ed25519, append(slices.Clone(s.MLDSA65), 0)}} {
		wantReason(t, "a signature of another length", p.Verify("p", msg, sig), spec.Malformed)
	}
}

// TestPurposesAreSeparate: what was signed for one purpose verifies for no other, in either half, however the bytes are
// cut between purpose and message (CAP-KEY-011).
func TestPurposesAreSeparate(t *testing.T) {
	id := identity1(t, nil)
	p := id.Public()
	purposes := []string{"a", "ab", "abc", "b", "\x01a", "\x00", "a\x01", PurposeNote, PurposeStatement, strings.Repeat("a", 255)}
	msgs := []string{"", "a", "b", "bc", "c", "\x01a", "\x00\x01a"}
	type signed struct{ purpose, msg string }
	seen := map[string]signed{}
	for _, purpose := range purposes {
		for _, msg := range msgs {
			b := string(bound(purpose, []byte(msg)))
			if was, found := seen[b]; found {
				t.Errorf("%q and %q are the same bytes", was, signed{purpose, msg})
			}
			seen[b] = signed{purpose, msg}
		}
	}
	s := sign(t, id, "ab", []byte("c"))
	for _, o := range []signed{{"a", "bc"}, {"abc", ""}, {"b", "c"}, {"a", "c"}, {"abc", "c"}} {
		wantReason(t, fmt.Sprintf("%q", o), p.Verify(o.purpose, []byte(o.msg), s), spec.Unauth)
		if p.verifyEd25519(bound(o.purpose, []byte(o.msg)), s.Ed25519) {
			t.Errorf("the Ed25519 half verifies for %q", o)
		}
		if p.verifyMLDSA65(o.purpose, []byte(o.msg), s.MLDSA65) {
			t.Errorf("the ML-DSA-65 half verifies for %q", o)
		}
	}
}

// TestID: the first 16 bytes of the SHA-256 of both keys, so that neither can be exchanged (CAP-KEY-009).
// TestKnownIdentity derives the same value from other implementations.
func TestID(t *testing.T) {
	p := identity1(t, &repeat{}).Public()
	if got := p.ID(); len(got) != 32 || got != knownID {
		t.Errorf("id %s, want %s", got, knownID)
	}
	q := identity1(t, nil).Public()
	for _, other := range []PublicKey{q, {p.Ed25519, q.MLDSA65}, {q.Ed25519, p.MLDSA65}} {
		if other.ID() == p.ID() {
			t.Error("two identities with one id")
		}
	}
}

// TestPublicIsACopy: nobody can change the keys of an identity through what it gave out.
func TestPublicIsACopy(t *testing.T) {
	id := identity1(t, nil)
	want := id.Public().ID()
	p := id.Public()
	clear(p.Ed25519)
	clear(p.MLDSA65)
	if id.Public().ID() != want {
		t.Error("the identity lost its keys")
	}
}

// TestCloseOverwritesTheSeeds, gives the slots back and ends signing (AMN-ZER-005, CAP-KEY-003).
func TestCloseOverwritesTheSeeds(t *testing.T) {
	v := vault(t)
	id, err := NewIdentity(v, &repeat{})
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewSealingKey(v, nil)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := Seal(k.Public(), nil, nil, []byte("p"))
	if err != nil {
		t.Fatal(err)
	}
	if n := v.Stats().InUse; n != 3 {
		t.Errorf("%d slots of the vault hold three seeds", n)
	}
	seeds := [][]byte{id.in.ed25519.Bytes(), id.in.mldsa65.Bytes(), k.in.seed.Bytes()}
	if seeds[0][0] != 1 || seeds[1][31] != 2 {
		t.Fatal("these are not the seeds")
	}
	for range 2 {
		id.Close()
		k.Close()
	}
	for i, seed := range seeds {
		if !bytes.Equal(seed, make([]byte, seedLen)) {
			t.Errorf("seed %d was left", i)
		}
	}
	if n := v.Stats().InUse; n != 0 {
		t.Errorf("%d slots are still taken", n)
	}
	_, err = id.Sign("p", nil)
	wantReason(t, "sign after Close", err, spec.Internal)
	_, err = k.Open(nil, nil, sealed)
	wantReason(t, "open after Close", err, spec.Internal)
	for _, s := range id.NoteSigners("n") {
		_, err := s.Sign([]byte("text\n"))
		wantReason(t, "note after Close", err, spec.Internal)
	}
}

// TestNoRoomNoRandomness: a key that can not be made leaves nothing behind.
func TestNoRoomNoRandomness(t *testing.T) {
	for bytesOfRandom := range int64(64) {
		v := vault(t)
		_, err := NewIdentity(v, io.LimitReader(&repeat{}, bytesOfRandom))
		wantReason(t, "too little randomness", err, spec.Internal)
		if v.Stats().InUse != 0 {
			t.Error("half an identity was left")
		}
	}
	v, err := secret.NewVault(1)
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	_, err = NewIdentity(v, nil)
	if wantReason(t, "no room", err, spec.Internal); !errors.Is(err, secret.ErrFull) || v.Stats().InUse != 0 {
		t.Errorf("%v, %d in use", err, v.Stats().InUse)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	_, err = NewSealingKey(v, nil)
	if wantReason(t, "closed", err, spec.Internal); !errors.Is(err, secret.ErrClosed) {
		t.Error(err)
	}
}

// TestNothingPrintsAKey prints everything that holds a seed in every way there is, and every error, and looks for the
// seeds (CAP-KEY-005, AMN-LOG-002, AMN-LOG-005).
func TestNothingPrintsAKey(t *testing.T) {
	v := vault(t)
	id, err := NewIdentity(v, &repeat{'q'})
	if err != nil {
		t.Fatal(err)
	}
	k, err := NewSealingKey(v, &repeat{'s'})
	if err != nil {
		t.Fatal(err)
	}
	var forbidden []string
	for _, b := range [][]byte{id.in.ed25519.Bytes(), id.in.mldsa65.Bytes(), k.in.seed.Bytes()} {
		forbidden = append(forbidden, string(b[:8]), hex.EncodeToString(b[:8]), fmt.Sprint(b[:8])[1:20], fmt.Sprintf("%#v", b[:8])[7:40], base64.StdEncoding.EncodeToString(b)[:10])
	}
	_, badNote := id.NoteSigners("n")[0].Sign([]byte("\x00"))
	things := map[string]any{
		"identity": id, "*identity": *id, "sealing": k, "*sealing": *k, "signer": id.NoteSigners("n")[1], "error": badNote,
		"outer": struct {
			i *Identity
			j Identity
			k SealingKey
		}{id, *id, *k},
	}
	var out strings.Builder
	for name, thing := range things {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%z"} {
			fmt.Fprintf(&out, name+" "+verb+"\n", thing)
		}
		if j, err := json.Marshal(thing); err == nil {
			out.Write(j)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", name, thing)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", name, thing)
	}
	for _, f := range forbidden {
		if i := strings.Index(out.String(), f); i >= 0 {
			t.Errorf("%q was printed: …%s", f, out.String()[max(0, i-100):i+len(f)])
		}
	}
	if fmt.Sprintf("%+v %d", id, *k) != "[redacted] [redacted]" || strings.Count(out.String(), "[redacted]") < 40 {
		t.Error("keys print as something else")
	}
}

// TestConcurrentUse signs, verifies and opens from many goroutines while another closes the keys: every signature that
// was made is good, which it would not be under half a key.
func TestConcurrentUse(t *testing.T) {
	v := vault(t)
	id, err := NewIdentity(v, nil)
	if err != nil {
		t.Fatal(err)
	}
	p := id.Public()
	made := make(chan struct{}, 64)
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 8 {
				msg := []byte{byte(g), byte(i)}
				s, err := id.Sign("p", msg)
				if err != nil {
					wantReason(t, "sign", err, spec.Internal)
					return
				}
				if err := p.Verify("p", msg, s); err != nil {
					t.Error(err)
				}
				made <- struct{}{}
			}
		})
	}
	<-made
	<-made
	id.Close()
	wg.Wait()
}

func BenchmarkSign(b *testing.B) {
	id := identity1(b, nil)
	msg := make([]byte, 1024)
	b.ReportAllocs()
	for b.Loop() {
		sign(b, id, "p", msg)
	}
}

func BenchmarkVerify(b *testing.B) {
	id := identity1(b, nil)
	msg := make([]byte, 1024)
	s, p := sign(b, id, "p", msg), id.Public()
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Verify("p", msg, s); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNewIdentity(b *testing.B) {
	v := vault(b)
	b.ReportAllocs()
	for b.Loop() {
		id, err := NewIdentity(v, nil)
		if err != nil {
			b.Fatal(err)
		}
		id.Close()
	}
}
