package keys

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/mod/sumdb/note"

	"github.com/rustyonions/micronode/spec"
)

const noteText = "example.org/log\n1\nqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqqo=\n"

func signNote(t testing.TB, signers ...note.Signer) []byte {
	t.Helper()
	signed, err := note.Sign(&note.Note{Text: noteText}, signers...)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

// TestNote: two lines, both checked, and the Ed25519 one is what every other tool makes and checks (CAP-AUD-005).
func TestNote(t *testing.T) {
	id := identity1(t, nil)
	p := id.Public()
	signed := signNote(t, id.NoteSigners("node")...)
	n, err := p.OpenNote("node", signed)
	if err != nil || n.Text != noteText || len(n.Sigs) != 2 || len(n.UnverifiedSigs) != 0 {
		t.Fatalf("%+v, %v", n, err)
	}
	standard, err := note.NewEd25519VerifierKey("node", p.Ed25519)
	if err != nil {
		t.Fatal(err)
	}
	v, err := note.NewVerifier(standard)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := note.Open(signed, note.VerifierList(v)); err != nil || len(n.Sigs) != 1 {
		t.Errorf("a standard verifier: %v", err)
	}
	if n, err := note.Open(signed, note.VerifierList(p.NoteVerifiers("node")...)); err != nil || len(n.Sigs) != 2 {
		t.Errorf("with NoteVerifiers: %v", err)
	}
	for i, s := range id.NoteSigners("node") {
		v := p.NoteVerifiers("node")[i]
		if s.Name() != "node" || s.KeyHash() != v.KeyHash() || v.Name() != "node" {
			t.Errorf("line %d: signer and verifier do not fit", i)
		}
		if id.NoteSigners("other")[i].KeyHash() == s.KeyHash() {
			t.Errorf("line %d: the name is not part of the key hash", i)
		}
	}
}

// TestNoteNeedsBothLines: a note with one of them is not the node's, whichever is missing or spoilt (CAP-KEY-006).
func TestNoteNeedsBothLines(t *testing.T) {
	id, other := identity1(t, nil), identity1(t, nil)
	p := id.Public()
	s, o := id.NoteSigners("node"), other.NoteSigners("node")
	for name, signers := range map[string][]note.Signer{
		"Ed25519 alone": {s[0]}, "ML-DSA-65 alone": {s[1]}, "Ed25519 twice": {s[0], s[0]}, "ML-DSA-65 twice": {s[1], s[1]},
		"ML-DSA-65 of another": {s[0], o[1]}, "Ed25519 of another": {o[0], s[1]}, "of another": o, "of another name": id.NoteSigners("edon"),
	} {
		_, err := p.OpenNote("node", signNote(t, signers...))
		wantReason(t, name, err, spec.Unauth)
	}
	if n, err := p.OpenNote("node", signNote(t, o[0], s[1], s[0], o[1])); err != nil || len(n.Sigs) != 2 || len(n.UnverifiedSigs) != 2 {
		t.Errorf("with lines of a witness, in another order: %v", err)
	}
	broken := &noteSigner{"node", s[1].KeyHash(), func([]byte) ([]byte, error) { return make([]byte, 3309), nil }}
	_, err := p.OpenNote("node", signNote(t, s[0], broken))
	wantReason(t, "a spoilt ML-DSA-65 line", err, spec.Unauth)
	broken = &noteSigner{"node", s[0].KeyHash(), func([]byte) ([]byte, error) { return make([]byte, 64), nil }}
	_, err = p.OpenNote("node", signNote(t, broken, s[1]))
	wantReason(t, "a spoilt Ed25519 line", err, spec.Unauth)
	_, err = PublicKey{p.Ed25519, nil}.OpenNote("node", signNote(t, s...))
	wantReason(t, "half a key", err, spec.Malformed)
	for _, text := range []string{"", "x", "x\n", noteText + "\n", noteText + "\n— node x\n"} {
		_, err := p.OpenNote("node", []byte(text))
		wantReason(t, text, err, spec.Malformed)
	}
	for _, v := range (PublicKey{}).NoteVerifiers("node") {
		if v.Verify([]byte("x\n"), make([]byte, 64)) {
			t.Error("an empty key verifies")
		}
	}
}

// TestNoteFlips flips every bit of a signed note: none opens as the same identity's.
func TestNoteFlips(t *testing.T) {
	id := identity1(t, nil)
	p := id.Public()
	signed := signNote(t, id.NoteSigners("node")...)
	for i := range signed {
		bit := byte(1) << (i % 8)
		changed := slices.Clone(signed)
		changed[i] ^= bit
		if n, err := p.OpenNote("node", changed); err == nil {
			t.Errorf("bit %#x of byte %d: opened as %q", bit, i, n.Text)
		}
	}
	for i := range 40 { // cut off at the end, in the signatures
		if _, err := p.OpenNote("node", signed[:len(signed)-1-i*113]); err == nil {
			t.Errorf("opened without the last %d bytes", 1+i*113)
		}
	}
}

// TestNoteIsSeparate: the lines of a note can not be used for another purpose, nor other signatures as the lines of a note
// (CAP-KEY-011).
func TestNoteIsSeparate(t *testing.T) {
	id := identity1(t, nil)
	p := id.Public()
	for i, s := range id.NoteSigners("node") {
		for _, text := range []string{string(bound("p", []byte("m\n"))), "\x00\n", "", "no newline", "tab\t\n", "\xff\n"} {
			_, err := s.Sign([]byte(text))
			wantReason(t, text, err, spec.Internal)
		}
		sig, err := s.Sign([]byte(noteText))
		if err != nil {
			t.Fatal(err)
		}
		v := p.NoteVerifiers("node")
		if !v[i].Verify([]byte(noteText), sig) || v[1-i].Verify([]byte(noteText), sig) {
			t.Errorf("line %d verifies as the other, or not at all", i)
		}
	}
	for _, purpose := range []string{PurposeStatement, "p"} {
		s := sign(t, id, purpose, []byte(noteText))
		v := p.NoteVerifiers("node")
		if v[0].Verify([]byte(noteText), s.Ed25519) || v[1].Verify([]byte(noteText), s.MLDSA65) {
			t.Errorf("a signature for %q verifies as a line of a note", purpose)
		}
		text := bound(purpose, []byte(noteText))
		if v[0].Verify(text, s.Ed25519) {
			t.Errorf("what was signed for %q verifies as the text of a note", purpose)
		}
	}
	pq, err := id.NoteSigners("node")[1].Sign([]byte(noteText))
	if err != nil {
		t.Fatal(err)
	}
	ed, err := id.NoteSigners("node")[0].Sign([]byte(noteText))
	if err != nil {
		t.Fatal(err)
	}
	for _, purpose := range []string{PurposeStatement, PurposeNote, "p"} {
		wantReason(t, purpose, p.Verify(purpose, []byte(noteText), Signature{ed, pq}), spec.Unauth)
	}
}

func TestNoteErrorsName(t *testing.T) {
	id := identity1(t, nil)
	_, err := id.Public().OpenNote("node", signNote(t, identity1(t, nil).NoteSigners("node")...))
	var unverified *note.UnverifiedNoteError
	if !errors.As(err, &unverified) || !strings.HasPrefix(err.Error(), "keys: unauth: ") {
		t.Errorf("%v", err)
	}
	if _, err := note.Sign(&note.Note{Text: noteText}, id.NoteSigners("two words")...); err == nil {
		t.Error("signed under a name of two words")
	}
	if bytes.Contains([]byte(err.Error()), id.Public().Ed25519) {
		t.Error("an error with a key in it")
	}
}

func BenchmarkNoteSign(b *testing.B) {
	id := identity1(b, nil)
	b.ReportAllocs()
	for b.Loop() {
		signNote(b, id.NoteSigners("node")...)
	}
}
