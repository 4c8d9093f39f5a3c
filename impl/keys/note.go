package keys

import (
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"unicode/utf8"

	"golang.org/x/mod/sumdb/note"
)

const (
	// PurposeNote is the context string of the ML-DSA-65 line of a signed note (CAP-KEY-011).
	PurposeNote = "micronode/note/1"

	// The types of signature in the key hash of a note, as C2SP signed-note has them: Ed25519 over the text itself, and
	// the type for algorithms that have no number yet, which goes on with a name that nobody else uses.
	algEd25519 = "\x01"
	algMLDSA65 = "\xffgithub.com/rustyonions/micronode/ml-dsa-65"
)

// NoteSigners returns the two signers of a note under a name, which is a word without '+': a standard Ed25519 one, whose
// line other tools can check, and one of ML-DSA-65. A note is only good with the lines of both (CAP-KEY-006), and OpenNote
// is how to check that. They sign nothing but the text of a note, so they can not be used to sign for another purpose
// (CAP-KEY-011). They are safe for concurrent use, and fail once the identity is closed.
func (id *Identity) NoteSigners(name string) []note.Signer {
	in := id.in
	return []note.Signer{
		&noteSigner{name, keyHash(name, algEd25519, in.public.Ed25519), in.signEd25519},
		&noteSigner{name, keyHash(name, algMLDSA65, in.public.MLDSA65), func(text []byte) ([]byte, error) {
			return in.signMLDSA65(PurposeNote, text)
		}},
	}
}

// NoteVerifiers returns the verifiers of the two lines, in the order of NoteSigners. note.Open is content with one of them:
// OpenNote is not.
func (p PublicKey) NoteVerifiers(name string) []note.Verifier {
	p = p.clone()
	return []note.Verifier{
		&noteVerifier{name, keyHash(name, algEd25519, p.Ed25519), p.verifyEd25519},
		&noteVerifier{name, keyHash(name, algMLDSA65, p.MLDSA65), func(text, sig []byte) bool {
			return p.verifyMLDSA65(PurposeNote, text, sig)
		}},
	}
}

// OpenNote opens a signed note and demands the lines of both keys (CAP-KEY-006). Lines of others, such as witnesses, may be
// there and are not looked at. The error has the reason malformed for what is no signed note, and unauth for one that
// lacks a line or whose line does not verify.
func (p PublicKey) OpenNote(name string, signed []byte) (*note.Note, error) {
	if err := p.check(); err != nil {
		return nil, err
	}
	verifiers := p.NoteVerifiers(name)
	n, err := note.Open(signed, note.VerifierList(verifiers...))
	if err != nil {
		return nil, noteError(err)
	}
	for _, v := range verifiers {
		if !slices.ContainsFunc(n.Sigs, func(s note.Signature) bool { return s.Name == name && s.Hash == v.KeyHash() }) {
			return nil, unauth("the note lacks the signature of one of the two keys")
		}
	}
	return n, nil
}

func noteError(err error) *Error {
	switch err.(type) {
	case *note.UnverifiedNoteError, *note.InvalidSignatureError:
		e := unauth("the note is not signed by this identity")
		e.Err = err
		return e
	}
	e := malformed("not a signed note")
	e.Err = err
	return e
}

// keyHash names a key in a signature line. It is a hint, and not what a signature is worth.
func keyHash(name, alg string, key []byte) uint32 {
	h := sha256.New()
	h.Write([]byte(name + "\n" + alg))
	h.Write(key)
	return binary.BigEndian.Uint32(h.Sum(nil))
}

type noteSigner struct {
	name string
	hash uint32
	sign func(text []byte) ([]byte, error)
}

func (s *noteSigner) Name() string    { return s.name }
func (s *noteSigner) KeyHash() uint32 { return s.hash }

// Sign signs the text of a note and refuses everything else: what starts with a zero byte is the form of all other
// signatures (see bound).
func (s *noteSigner) Sign(text []byte) ([]byte, error) {
	if !isNote(text) {
		return nil, internal("not the text of a note", nil)
	}
	return s.sign(text)
}

// isNote says whether text is what note.Open accepts: lines of UTF-8 without other control characters.
func isNote(text []byte) bool {
	control := func(b byte) bool { return b < ' ' && b != '\n' }
	return len(text) > 0 && text[len(text)-1] == '\n' && utf8.Valid(text) && !slices.ContainsFunc(text, control)
}

type noteVerifier struct {
	name   string
	hash   uint32
	verify func(text, sig []byte) bool
}

func (v *noteVerifier) Name() string                 { return v.name }
func (v *noteVerifier) KeyHash() uint32              { return v.hash }
func (v *noteVerifier) Verify(text, sig []byte) bool { return isNote(text) && v.verify(text, sig) }
