package keys

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"crypto/mlkem"
	"crypto/rand"
	"crypto/sha3"
	"encoding/hex"
	"fmt"
	"slices"
	"testing"

	circl "github.com/cloudflare/circl/hpke"
	"github.com/cloudflare/circl/kem/xwing"

	"github.com/rustyonions/micronode/spec"
)

func sealingKey1(t testing.TB, seed []byte) *SealingKey {
	t.Helper()
	k, err := NewSealingKey(vault(t), bytes.NewReader(seed))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func randomSeed(t testing.TB) []byte {
	t.Helper()
	seed := make([]byte, seedLen)
	if _, err := rand.Read(seed); err != nil {
		t.Fatal(err)
	}
	return seed
}

func seal(t testing.TB, k *SealingKey, info, aad, plaintext string) []byte {
	t.Helper()
	sealed, err := Seal(k.Public(), []byte(info), []byte(aad), []byte(plaintext))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func TestSealOpen(t *testing.T) {
	k := sealingKey1(t, randomSeed(t))
	if len(k.Public()) != SealingPublicLen {
		t.Errorf("a public key of %d bytes", len(k.Public()))
	}
	for _, text := range []string{"", "p", string(make([]byte, 100_000))} {
		sealed := seal(t, k, "info", "aad", text)
		if len(sealed) != len(text)+SealingOverhead {
			t.Errorf("%d bytes sealed are %d", len(text), len(sealed))
		}
		got, err := k.Open([]byte("info"), []byte("aad"), sealed)
		if err != nil || string(got) != text {
			t.Errorf("opened %d bytes, %v", len(got), err)
		}
		if bytes.Equal(sealed, seal(t, k, "info", "aad", text)) {
			t.Error("the same text sealed twice is the same")
		}
	}
	p := k.Public()
	clear(p)
	if bytes.Equal(p, k.Public()) {
		t.Error("Public is no copy")
	}
}

// TestOpenRejects: every byte flipped, every length cut, another key, info or aad.
func TestOpenRejects(t *testing.T) {
	k := sealingKey1(t, randomSeed(t))
	info, aad := []byte("info"), []byte("aad")
	sealed := seal(t, k, "info", "aad", "plaintext")
	for i := range sealed {
		changed := slices.Clone(sealed)
		changed[i] ^= 1 << (i % 8)
		// The one bit that X25519 ignores, RFC 7748 section 5, is bound by X-Wing, which hashes the key as it came.
		_, err := k.Open(info, aad, changed)
		wantReason(t, fmt.Sprintf("byte %d flipped", i), err, spec.Unauth)
	}
	for n := range sealed {
		want := spec.Unauth
		if n < SealingOverhead {
			want = spec.Malformed
		}
		_, err := k.Open(info, aad, sealed[:n])
		wantReason(t, fmt.Sprintf("the first %d bytes", n), err, want)
	}
	_, err := k.Open(info, aad, append(slices.Clone(sealed), 0))
	wantReason(t, "a byte more", err, spec.Unauth)
	_, err = k.Open([]byte("other"), aad, sealed)
	wantReason(t, "another info", err, spec.Unauth)
	_, err = k.Open(info, []byte("other"), sealed)
	wantReason(t, "another aad", err, spec.Unauth)
	_, err = k.Open(aad, info, sealed)
	wantReason(t, "info and aad exchanged", err, spec.Unauth)
	_, err = k.Open([]byte("inf"), []byte("oaad"), sealed)
	wantReason(t, "info and aad cut elsewhere", err, spec.Unauth)
	_, err = sealingKey1(t, randomSeed(t)).Open(info, aad, sealed)
	wantReason(t, "another key", err, spec.Unauth)
	public := k.Public()
	for name, key := range map[string][]byte{
		"no key": nil, "short": public[1:], "long": append(slices.Clone(public), 0), "coefficients out of range": bytes.Repeat([]byte{0xff}, SealingPublicLen),
		"X25519 key of small order": append(slices.Clone(public[:mlkem.EncapsulationKeySize768]), make([]byte, 32)...),
	} {
		_, err := Seal(key, nil, nil, nil)
		wantReason(t, name, err, spec.Malformed)
	}
}

// TestSealingVector opens the published test vector of the suite.
func TestSealingVector(t *testing.T) {
	var v struct {
		Info, SkRm, PkRm, Enc, Aad, Ct, Pt string
		SharedSecret                       string `json:"shared_secret"`
	}
	readJSON(t, "testdata/hpke.json", &v)
	k := sealingKey1(t, unhex(t, v.SkRm))
	if hex.EncodeToString(k.Public()) != v.PkRm {
		t.Error("the public key is another")
	}
	got, err := k.Open(unhex(t, v.Info), unhex(t, v.Aad), append(unhex(t, v.Enc), unhex(t, v.Ct)...))
	if err != nil || hex.EncodeToString(got) != v.Pt {
		t.Errorf("opened %x, %v", got, err)
	}
	if ss := hex.EncodeToString(xwing.Decapsulate(unhex(t, v.Enc), unhex(t, v.SkRm))); ss != v.SharedSecret {
		t.Errorf("shared secret %s, want %s", ss, v.SharedSecret)
	}
}

// xwingByHand is the shared secret of an X-Wing ciphertext, from the parts of the standard library alone: both secrets,
// and both X25519 keys, go in (CAP-KEY-007).
func xwingByHand(t *testing.T, seed, ciphertext []byte) (pq, classical, both []byte) {
	t.Helper()
	expanded := make([]byte, mlkem.SeedSize+32)
	shake := sha3.NewSHAKE256()
	_, _ = shake.Write(seed)
	_, _ = shake.Read(expanded)
	kem, err := mlkem.NewDecapsulationKey768(expanded[:mlkem.SeedSize])
	if err != nil {
		t.Fatal(err)
	}
	dh, err := ecdh.X25519().NewPrivateKey(expanded[mlkem.SeedSize:])
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := ecdh.X25519().NewPublicKey(ciphertext[mlkem.CiphertextSize768:])
	if err != nil {
		t.Fatal(err)
	}
	if pq, err = kem.Decapsulate(ciphertext[:mlkem.CiphertextSize768]); err != nil {
		t.Fatal(err)
	}
	if classical, err = dh.ECDH(theirs); err != nil {
		t.Fatal(err)
	}
	sum := sha3.Sum256(slices.Concat(pq, classical, ciphertext[mlkem.CiphertextSize768:], dh.PublicKey().Bytes(), []byte(`\.//^\`)))
	return pq, classical, sum[:]
}

// TestXWingAgainstAnother derives the same public key and the same shared secret from one seed and one ciphertext in circl,
// and in the standard library, part by part (CAP-KEY-007, CAP-KEY-008).
func TestXWingAgainstAnother(t *testing.T) {
	for range 5 {
		seed := randomSeed(t)
		k := sealingKey1(t, seed)
		_, public := xwing.DeriveKeyPairPacked(seed)
		if !bytes.Equal(public, k.Public()) {
			t.Fatal("one seed, two public keys")
		}
		theirs, ciphertext, err := xwing.Encapsulate(k.Public(), nil)
		if err != nil {
			t.Fatal(err)
		}
		_, _, ours := xwingByHand(t, seed, ciphertext)
		if !bytes.Equal(theirs, ours) {
			t.Errorf("what circl encapsulates is %x there and %x here", theirs, ours)
		}
		sealed := seal(t, k, "", "", "")
		_, _, ours = xwingByHand(t, seed, sealed[:encapsulatedLen])
		if theirs := xwing.Decapsulate(sealed[:encapsulatedLen], seed); !bytes.Equal(theirs, ours) {
			t.Errorf("what we encapsulate is %x there and %x here", theirs, ours)
		}
	}
}

// TestSealingIsHybrid: neither secret alone, in the place of both, opens what was sealed (CAP-KEY-007).
func TestSealingIsHybrid(t *testing.T) {
	seed := randomSeed(t)
	k := sealingKey1(t, seed)
	sealed := seal(t, k, "", "", "plaintext")
	pq, classical, both := xwingByHand(t, seed, sealed[:encapsulatedLen])
	if bytes.Equal(pq, classical) || bytes.Equal(pq, both) || bytes.Equal(classical, both) {
		t.Error("two of the secrets are the same")
	}
	kem, kdf, aead := suite()
	if kem.ID() != 0x647a || kdf.ID() != 1 || aead.ID() != 3 {
		t.Errorf("suite %#x %#x %#x", kem.ID(), kdf.ID(), aead.ID())
	}
	for name, other := range map[string]hpke.KEM{"ML-KEM-768 alone": hpke.MLKEM768(), "X25519 alone": hpke.DHKEM(ecdh.X25519())} {
		key, err := other.GenerateKey()
		if err != nil {
			t.Fatal(err)
		}
		_, err = Seal(key.PublicKey().Bytes(), nil, nil, nil)
		wantReason(t, name, err, spec.Malformed)
	}
}

// TestSealingAgainstAnother seals here and opens with circl's HPKE, and the other way round (CAP-KEY-007).
func TestSealingAgainstAnother(t *testing.T) {
	seed := randomSeed(t)
	k := sealingKey1(t, seed)
	other := circl.NewSuite(circl.KEM_XWING, circl.KDF_HKDF_SHA256, circl.AEAD_ChaCha20Poly1305)
	scheme := circl.KEM_XWING.Scheme()
	private, err := scheme.UnmarshalBinaryPrivateKey(seed)
	if err != nil {
		t.Fatal(err)
	}
	public, err := scheme.UnmarshalBinaryPublicKey(k.Public())
	if err != nil {
		t.Fatal(err)
	}
	info, aad, text := []byte("info"), []byte("aad"), []byte("plaintext")
	sealed, err := Seal(k.Public(), info, aad, text)
	if err != nil {
		t.Fatal(err)
	}
	r, err := other.NewReceiver(private, info)
	if err != nil {
		t.Fatal(err)
	}
	opener, err := r.Setup(sealed[:encapsulatedLen])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := opener.Open(sealed[encapsulatedLen:], aad); err != nil || !bytes.Equal(got, text) {
		t.Errorf("circl opens ours: %q, %v", got, err)
	}
	s, err := other.NewSender(public, info)
	if err != nil {
		t.Fatal(err)
	}
	enc, sealer, err := s.Setup(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ct, err := sealer.Seal(text, aad)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := k.Open(info, aad, append(enc, ct...)); err != nil || !bytes.Equal(got, text) {
		t.Errorf("we open circl's: %q, %v", got, err)
	}
}

// TestDerivedKeyLosesItsSeed: the copy of the seed in a derived key is its own and is overwritten after use (AMN-ZER-005).
func TestDerivedKeyLosesItsSeed(t *testing.T) {
	k := sealingKey1(t, bytes.Repeat([]byte{9}, seedLen))
	var held []byte
	err := k.in.with(func(key hpke.PrivateKey) {
		own, err := key.Bytes()
		if err != nil || own[0] != 9 {
			t.Errorf("%x, %v", own, err)
		}
		held = own
	})
	if err != nil || !bytes.Equal(held, make([]byte, seedLen)) {
		t.Errorf("%x was left, %v", held, err)
	}
	if k.in.seed.Bytes()[0] != 9 {
		t.Error("the seed itself was overwritten")
	}
}

func BenchmarkSeal(b *testing.B) {
	k := sealingKey1(b, randomSeed(b))
	public, text := k.Public(), make([]byte, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Seal(public, nil, nil, text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkOpen(b *testing.B) {
	k := sealingKey1(b, randomSeed(b))
	sealed := seal(b, k, "", "", string(make([]byte, 1024)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Open(nil, nil, sealed); err != nil {
			b.Fatal(err)
		}
	}
}
