package audit

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const (
	// maxNote is the longest text of a note in an export, in bytes, its signatures aside.
	maxNote = 64 << 10
	// maxLine is the longest line of an export, in bytes; the longest in use is a signature of ML-DSA-65.
	maxLine = 16 << 10
	// maxSigners is how many signature lines a note may have.
	maxSigners = 16
)

// Checkpoint is what a signed checkpoint says (CAP-AUD-005).
type Checkpoint struct {
	Origin string
	Size   uint64
	Root   tlog.Hash
}

// text is the C2SP tlog-checkpoint form: origin, size, root, no extension.
func (c Checkpoint) text() string {
	return c.Origin + "\n" + strconv.FormatUint(c.Size, 10) + "\n" + c.Root.String() + "\n"
}

func parseCheckpoint(text string) (c Checkpoint, err error) {
	lines := strings.Split(text, "\n")
	if len(lines) != 4 || !isOrigin(lines[0]) {
		return Checkpoint{}, ErrCheckpoint
	}
	c.Origin = lines[0]
	c.Size, err = strconv.ParseUint(lines[1], 10, 64)
	if err != nil || c.Size > maxNumber {
		return Checkpoint{}, ErrCheckpoint
	}
	if c.Root, err = tlog.ParseHash(lines[2]); err != nil || c.text() != text {
		return Checkpoint{}, ErrCheckpoint
	}
	return c, nil
}

// OpenCheckpoint reads a signed checkpoint that all verifiers signed (CAP-AUD-011). Signatures of others, witnesses for
// example, may stand beside theirs. The errors are ErrSignature, ErrCheckpoint, and ErrConfig for bad verifiers.
func OpenCheckpoint(signed []byte, verifiers []note.Verifier) (Checkpoint, error) {
	text, err := openNote(signed, verifiers, true)
	if err != nil {
		return Checkpoint{}, err
	}
	return parseCheckpoint(text)
}

// VerifyConsistency checks with a proof that the log of oldNote is the beginning of the log of newNote, both signed by
// all verifiers. It fails with ErrFork where they are not connected, and as OpenCheckpoint does (CAP-AUD-012).
func VerifyConsistency(oldNote, newNote []byte, proof []tlog.Hash, verifiers []note.Verifier) error {
	old, err := OpenCheckpoint(oldNote, verifiers)
	if err != nil {
		return fmt.Errorf("old checkpoint: %w", err)
	}
	c, err := OpenCheckpoint(newNote, verifiers)
	if err != nil {
		return fmt.Errorf("new checkpoint: %w", err)
	}
	if !connected(old, c, proof) {
		return ErrFork
	}
	return nil
}

// connected follows RFC 6962: no proof is needed, and none may be there, from an empty tree or to the same one.
func connected(old, c Checkpoint, proof []tlog.Hash) bool {
	switch {
	case old.Origin != c.Origin || old.Size > c.Size:
		return false
	case old.Size == c.Size:
		return old.Root == c.Root && len(proof) == 0
	case old.Size == 0:
		return old.Root == emptyRoot() && len(proof) == 0
	}
	return tlog.CheckTree(tlog.TreeProof(proof), int64(c.Size), c.Root, int64(old.Size), old.Root) == nil
}

func emptyRoot() tlog.Hash {
	root, _ := tlog.TreeHash(0, nil) // fails for sizes above 0 only
	return root
}

// Checkpoint gives the signed checkpoint of the present size (CAP-AUD-005). It is made once for each size, without the
// lock that Append takes. The errors are those of the signers.
func (l *Log) Checkpoint() ([]byte, error) {
	l.mu.Lock()
	c := l.head()
	l.mu.Unlock()
	return l.signHead(c)
}

// head makes the present size a kept checkpoint; if it is never signed, that does no harm. It needs mu.
func (l *Log) head() Checkpoint {
	l.tree.checkpoint()
	return Checkpoint{Origin: l.config.Origin, Size: l.tree.size, Root: l.tree.root()}
}

func (l *Log) signHead(c Checkpoint) ([]byte, error) {
	l.signing.Lock()
	defer l.signing.Unlock()
	if l.signed.note != nil && l.signed.size == c.Size {
		return slices.Clone(l.signed.note), nil
	}
	signed, err := signNote(c.text(), l.config.Signers)
	if err != nil {
		return nil, err
	}
	if l.signed.note == nil || l.signed.size < c.Size {
		l.signed.size, l.signed.note = c.Size, signed
	}
	return slices.Clone(signed), nil
}

func signNote(text string, signers []note.Signer) ([]byte, error) {
	signed, err := note.Sign(&note.Note{Text: text}, signers...)
	if err != nil {
		return nil, fmt.Errorf("audit: sign: %w", err)
	}
	for line := range bytes.Lines(signed[len(text):]) {
		if len(line) > maxLine {
			return nil, fmt.Errorf("%w: a signature of %d bytes", ErrConfig, len(line))
		}
	}
	return signed, nil
}

var dash = []byte("— ") // what a signature line begins with

// openNote gives the text that all verifiers signed: one signature is as good as none (CAP-AUD-011). With others, any
// order and signatures of others are let pass; without, nothing that could be written differently.
func openNote(signed []byte, verifiers []note.Verifier, others bool) (string, error) {
	if len(verifiers) == 0 || slices.Contains(verifiers, nil) {
		return "", fmt.Errorf("%w: no verifier", ErrConfig)
	}
	n, err := note.Open(signed, note.VerifierList(verifiers...))
	if err != nil {
		return "", errors.Join(ErrSignature, err)
	}
	if len(n.Sigs) != len(verifiers) {
		return "", ErrSignature
	}
	inOrder := slices.EqualFunc(n.Sigs, verifiers, func(s note.Signature, v note.Verifier) bool { return s.Name == v.Name() && s.Hash == v.KeyHash() })
	if !others && (!inOrder || len(n.UnverifiedSigs) != 0) {
		return "", ErrSignature
	}
	length := len(n.Text) + 1
	for _, s := range slices.Concat(n.Sigs, n.UnverifiedSigs) {
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return "", ErrSignature
		}
		length += len(dash) + len(s.Name) + 1 + len(s.Base64) + 1
	}
	if length != len(signed) { // something stands twice
		return "", ErrSignature
	}
	return n.Text, nil
}
