package main

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/mod/sumdb/note"

	"github.com/rustyonions/micronode/impl/audit"
	"github.com/rustyonions/micronode/impl/keys"
)

// keyring holds the keys that a check was made with, and how far they can be relied on.
type keyring struct {
	want string // the id that the user asked for; "" for none

	id        string          // of the keys that were found and accepted
	verifiers []note.Verifier // of them, for notes
	problem   string          // why keys were not accepted
}

// check says whether the id that the user gave is one.
func (k *keyring) check() error {
	if k.want != "" && (len(k.want) != 32 || strings.Trim(k.want, "0123456789abcdef") != "") {
		return usagef("--identity is %q, and an id has 32 lowercase hex digits", printable(k.want))
	}
	return nil
}

// accept takes the keys of an identity for notes under a name, if they are the ones that were asked for (CAP-KEY-009).
func (k *keyring) accept(p keys.PublicKey, name string) error {
	id := p.ID()
	if k.want != "" && id != k.want {
		k.problem = fmt.Sprintf("the keys are those of %s, and not of %s", id, k.want)
		return errors.New(k.problem)
	}
	k.id, k.verifiers = id, p.NoteVerifiers(name)
	return nil
}

// identify is the Identify of audit.Trust: the header of an export says which keys signed it.
func (k *keyring) identify(h audit.Header) ([]note.Verifier, error) {
	for _, line := range h.Identity {
		p, err := keys.ParsePublicKey(line.Value)
		if err != nil {
			continue
		}
		if err := k.accept(p, h.Origin); err != nil {
			return nil, err
		}
		return k.verifiers, nil
	}
	k.problem = "the header has no public keys"
	return nil, errors.New(k.problem)
}

// remark tells people where nobody but the node itself says who it is.
func (k *keyring) remark(con *console) {
	if k.want == "" {
		con.note("signed by %s, which nobody asked for: compare it with what micronode run printed, or give it with --identity", k.id)
	}
}

// checkpoint asks the node for its checkpoint and opens it with the keys of /version.
func (k *keyring) checkpoint(s *session) (signed []byte, head audit.Checkpoint, err error) {
	if err := k.check(); err != nil {
		return nil, head, err
	}
	v, err := fetchVersion(s)
	if err != nil {
		return nil, head, err
	}
	if signed, err = s.c.AuditCheckpoint(s.ctx); err != nil {
		return nil, head, err
	}
	origin, _, _ := strings.Cut(string(signed), "\n")
	if err := k.accept(v.key, origin); err != nil {
		return nil, head, tampered("%v", err)
	}
	if head, err = audit.OpenCheckpoint(signed, k.verifiers); err != nil {
		return nil, head, tampered("the checkpoint does not verify: %v", err)
	}
	return signed, head, nil
}

// nodeVersion is what /version says about who the node is.
type nodeVersion struct {
	key    keys.PublicKey
	signed keys.SignedStatement

	// What it says in the clear, to be held against the statement.
	version string
	amnesia bool
	pqMode  string
	finger  string
}

// fetchVersion reads /version.
func fetchVersion(s *session) (*nodeVersion, error) {
	text, err := s.c.Version(s.ctx)
	if err != nil {
		return nil, err
	}
	v, err := parseVersion(text)
	if err != nil {
		return nil, fmt.Errorf("/version can not be read: %w", err)
	}
	return v, nil
}

func parseVersion(text []byte) (*nodeVersion, error) {
	var doc struct {
		Version     string `json:"version"`
		Amnesia     bool   `json:"amnesia"`
		PQMode      string `json:"pq_mode"`
		Fingerprint string `json:"tls_fingerprint"`
		Identity    struct {
			ID      string `json:"id"`
			Ed25519 []byte `json:"ed25519"`
			MLDSA65 []byte `json:"ml_dsa_65"`
		} `json:"identity"`
		Statement struct {
			Text      string `json:"text"`
			Signature struct {
				Ed25519 []byte `json:"ed25519"`
				MLDSA65 []byte `json:"ml_dsa_65"`
			} `json:"signature"`
		} `json:"statement"`
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		return nil, errors.New("it is not the JSON of a node")
	}
	both := append(doc.Identity.Ed25519, doc.Identity.MLDSA65...)
	key, err := keys.ParsePublicKey(base64.StdEncoding.EncodeToString(both))
	if err != nil || len(doc.Identity.Ed25519) != len(key.Ed25519) {
		return nil, errors.New("it has no identity with both public keys")
	}
	if doc.Identity.ID != "" && doc.Identity.ID != key.ID() {
		return nil, tampered("the identity says that its id is %s, and its keys have %s", printable(doc.Identity.ID), key.ID())
	}
	sig := keys.Signature{Ed25519: doc.Statement.Signature.Ed25519, MLDSA65: doc.Statement.Signature.MLDSA65}
	return &nodeVersion{key, keys.SignedStatement{Text: doc.Statement.Text, Signature: sig}, doc.Version, doc.Amnesia, doc.PQMode, doc.Fingerprint}, nil
}

// verify checks the signed statement, and that the node says the same where nobody signs (CAP-KEY-009).
func (v *nodeVersion) verify(want string) (keys.Statement, error) {
	k := keyring{want: want}
	if err := k.accept(v.key, "statement"); err != nil {
		return keys.Statement{}, tampered("%v", err)
	}
	st, err := keys.VerifyStatement(v.key, v.signed)
	switch {
	case err != nil:
		return st, tampered("the statement does not verify: %v", err)
	case st.Version != v.version || st.Amnesia != v.amnesia || st.PQMode != v.pqMode:
		return st, tampered("/version says version %s, amnesia %v, pq_mode %s, and the node signed %s, %v, %s", printable(v.version), v.amnesia,
			printable(v.pqMode), st.Version, st.Amnesia, st.PQMode)
	}
	return st, nil
}

// versionVerifyLine is the line of --json about a node whose statement was verified.
type versionVerifyLine struct {
	Verified bool             `json:"verified"`
	Trusted  bool             `json:"trusted"` // the identity is the one that was asked for
	Identity string           `json:"identity"`
	Version  string           `json:"version"`
	Amnesia  bool             `json:"amnesia"`
	PQMode   string           `json:"pq_mode"`
	Features []string         `json:"features"`
	Limits   map[string]int64 `json:"limits"`
	Made     time.Time        `json:"made"`
}
