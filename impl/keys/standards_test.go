package keys

import (
	"bytes"
	"crypto/ed25519"
	"crypto/mlkem"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"testing"

	"filippo.io/mldsa"
	"github.com/cloudflare/circl/kem/kyber/kyber768"
	"github.com/cloudflare/circl/sign/dilithium/mode3"
	"github.com/cloudflare/circl/sign/mldsa/mldsa65"

	"github.com/rustyonions/micronode/spec"
)

// knownID is the id of the identity whose Ed25519 seed is 32 ones and whose ML-DSA-65 seed is 32 twos. TestKnownIdentity
// derives it with other implementations.
const knownID = "9aad8f27c2490811bde1cecb81bd9be9"

type acvp struct {
	MLDSA65  []struct{ Seed, SHA256 string } `json:"mldsa65"`
	MLKEM768 []struct{ D, Z, SHA256 string } `json:"mlkem768"`
}

func readJSON(t *testing.T, file string, v any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, v); err != nil {
		t.Fatal(err)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sumHex(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// TestAlgorithmsAreFIPS: the identity's ML-DSA-65 and the ML-KEM-768 of sealing make the public keys of NIST's own test
// vectors, and the drafts of the same people do not (CAP-KEY-008, DIV-KEY-001).
func TestAlgorithmsAreFIPS(t *testing.T) {
	var vectors acvp
	readJSON(t, "testdata/acvp.json", &vectors)
	if len(vectors.MLDSA65) != 5 || len(vectors.MLKEM768) != 5 {
		t.Fatalf("%d and %d vectors", len(vectors.MLDSA65), len(vectors.MLKEM768))
	}
	for _, v := range vectors.MLDSA65 {
		seed := unhex(t, v.Seed)
		p := identity1(t, bytes.NewReader(append(make([]byte, seedLen), seed...))).Public()
		if sumHex(p.MLDSA65) != v.SHA256 {
			t.Errorf("seed %s does not make the key of FIPS 204", v.Seed)
		}
		draft, _ := mode3.NewKeyFromSeed((*[seedLen]byte)(seed))
		if sumHex(draft.Bytes()) == v.SHA256 {
			t.Error("Dilithium makes the same key, so this test tells nothing")
		}
	}
	for _, v := range vectors.MLKEM768 {
		seed := append(unhex(t, v.D), unhex(t, v.Z)...)
		key, err := mlkem.NewDecapsulationKey768(seed)
		if err != nil {
			t.Fatal(err)
		}
		if sumHex(key.EncapsulationKey().Bytes()) != v.SHA256 {
			t.Errorf("seed %x does not make the key of FIPS 203", seed)
		}
		draft, _ := kyber768.NewKeyFromSeed(seed)
		packed := make([]byte, kyber768.PublicKeySize)
		if draft.Pack(packed); sumHex(packed) == v.SHA256 {
			t.Error("Kyber makes the same key, so this test tells nothing")
		}
	}
}

// TestSizesAreFIPS holds the lengths to the tables of FIPS 203 and FIPS 204 (CAP-KEY-008).
func TestSizesAreFIPS(t *testing.T) {
	id := identity1(t, nil)
	p, s := id.Public(), sign(t, id, "p", nil)
	for what, n := range map[string][2]int{
		"Ed25519 key": {len(p.Ed25519), 32}, "Ed25519 signature": {len(s.Ed25519), 64},
		"ML-DSA-65 key": {len(p.MLDSA65), 1952}, "ML-DSA-65 signature": {len(s.MLDSA65), 3309},
		"sealing key": {SealingPublicLen, 1184 + 32}, "overhead": {SealingOverhead, 1088 + 32 + 16},
	} {
		if n[0] != n[1] {
			t.Errorf("%s: %d bytes, want %d", what, n[0], n[1])
		}
	}
}

// TestKnownIdentity derives the keys and the id of known seeds with implementations that this package does not use.
func TestKnownIdentity(t *testing.T) {
	p := identity1(t, &repeat{}).Public()
	ed := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{1}, seedLen)).Public().(ed25519.PublicKey)
	pq, err := mldsa.NewPrivateKey(mldsa.MLDSA65(), bytes.Repeat([]byte{2}, seedLen))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(p.Ed25519, ed) || !bytes.Equal(p.MLDSA65, pq.PublicKey().Bytes()) {
		t.Error("the public keys are others")
	}
	if got := sumHex(append(bytes.Clone(ed), pq.PublicKey().Bytes()...))[:32]; got != knownID {
		t.Errorf("id %s, want %s", got, knownID)
	}
}

// TestMLDSA65AgainstAnother has a second implementation verify our signatures and us verify its, with the purpose as the
// context, and both make the same deterministic signature (CAP-KEY-006, CAP-KEY-008).
func TestMLDSA65AgainstAnother(t *testing.T) {
	seed := bytes.Repeat([]byte{2}, seedLen)
	id := identity1(t, &repeat{})
	p := id.Public()
	other, err := mldsa.NewPrivateKey(mldsa.MLDSA65(), seed)
	if err != nil {
		t.Fatal(err)
	}
	for _, msg := range [][]byte{nil, []byte("m"), make([]byte, 5000)} {
		for _, purpose := range []string{"p", PurposeStatement, string(make([]byte, MaxPurpose))} {
			opts := &mldsa.Options{Context: purpose}
			s := sign(t, id, purpose, msg)
			if err := mldsa.Verify(other.PublicKey(), msg, s.MLDSA65, opts); err != nil {
				t.Errorf("the other rejects ours: %v", err)
			}
			if err := mldsa.Verify(other.PublicKey(), msg, s.MLDSA65, &mldsa.Options{Context: purpose + "x"}); err == nil {
				t.Error("the other accepts another context")
			}
			theirs, err := other.Sign(nil, msg, opts)
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Verify(purpose, msg, Signature{s.Ed25519, theirs}); err != nil {
				t.Errorf("we reject theirs: %v", err)
			}
			fixed, err := other.SignDeterministic(msg, opts)
			if err != nil {
				t.Fatal(err)
			}
			_, key := mldsa65.NewKeyFromSeed((*[seedLen]byte)(seed))
			same := make([]byte, mldsa65.SignatureSize)
			if err := mldsa65.SignTo(key, msg, []byte(purpose), false, same); err != nil || !bytes.Equal(same, fixed) {
				t.Errorf("deterministic signatures differ (%v)", err)
			}
		}
	}
	_, err = other.Sign(nil, nil, &mldsa.Options{Context: string(make([]byte, MaxPurpose+1))})
	if err == nil {
		t.Error("a context of 256 bytes, by the other")
	}
	wantReason(t, "a context of 256 bytes", p.Verify(string(make([]byte, MaxPurpose+1)), nil, sign(t, id, "p", nil)), spec.Malformed)
}
