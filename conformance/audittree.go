package conformance

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/cloudflare/circl/sign/mldsa/mldsa65"
	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/spec"
)

// What an auditor needs of RFC 6962 and of signed notes, written from their texts: the suite does not trust the node's
// library for the one thing that is there to do without trust.

type hash = [sha256.Size]byte

// leafOf is the hash of a record (CAP-AUD-002).
func leafOf(record []byte) hash { return sha256.Sum256(append([]byte{0}, record...)) }

func nodeOf(left, right hash) hash {
	return sha256.Sum256(append(append([]byte{1}, left[:]...), right[:]...))
}

// split is the largest power of two below n.
func split(n int) int {
	k := 1
	for k*2 < n {
		k *= 2
	}
	return k
}

// rootOf is MTH of RFC 6962, section 2.1.
func rootOf(leaves []hash) hash {
	switch len(leaves) {
	case 0:
		return sha256.Sum256(nil)
	case 1:
		return leaves[0]
	}
	k := split(len(leaves))
	return nodeOf(rootOf(leaves[:k]), rootOf(leaves[k:]))
}

// included follows an inclusion proof, which is PATH of RFC 6962, section 2.1.1, to the root.
func included(leaf hash, index, size int, proof []hash) (root hash, ok bool) {
	if size == 1 {
		return leaf, index == 0 && len(proof) == 0
	}
	if len(proof) == 0 {
		return hash{}, false
	}
	k, last := split(size), proof[len(proof)-1]
	if index < k {
		root, ok = included(leaf, index, k, proof[:len(proof)-1])
		return nodeOf(root, last), ok
	}
	root, ok = included(leaf, index-k, size-k, proof[:len(proof)-1])
	return nodeOf(last, root), ok
}

// consistent follows a consistency proof, which is SUBPROOF of RFC 6962, section 2.1.2, to both roots. whole says that the
// old root is that of a full subtree, which the proof then leaves out.
func consistent(old, size int, whole bool, oldRoot hash, proof []hash) (was, is hash, ok bool) {
	if old == size {
		if whole {
			return oldRoot, oldRoot, len(proof) == 0
		}
		if len(proof) != 1 {
			return was, is, false
		}
		return proof[0], proof[0], true
	}
	if len(proof) == 0 {
		return was, is, false
	}
	k, last := split(size), proof[len(proof)-1]
	if old <= k {
		was, is, ok = consistent(old, k, whole, oldRoot, proof[:len(proof)-1])
		return was, nodeOf(is, last), ok
	}
	was, is, ok = consistent(old-k, size-k, false, oldRoot, proof[:len(proof)-1])
	return nodeOf(last, was), nodeOf(last, is), ok
}

// identity is the public part of a node's (CAP-KEY-009).
type identity struct {
	id         string
	ed, mldsa  []byte
	version    map[string]any // the rest of /version
	text       []byte         // of the statement
	edSig, mld []byte         // over it
}

// texts collects every string below v.
func texts(v any) (list []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		for _, x := range v {
			list = append(list, texts(x)...)
		}
	case map[string]any:
		for _, x := range v {
			list = append(list, texts(x)...)
		}
	}
	return list
}

// sized is the one base64 string below v that holds n bytes.
func sized(v any, n int) []byte {
	for _, s := range texts(v) {
		if b, err := base64.StdEncoding.DecodeString(s); err == nil && len(b) == n {
			return b
		}
	}
	return nil
}

// identity reads /version.
func (p *Peer) identity() (i identity) {
	t := p.t
	r := p.Want(p.Get("/version"), 200)
	err := json.Unmarshal(r.Body, &i.version)
	t.Check(err == nil && i.version["identity"] != nil && i.version["statement"] != nil, "/version has no identity or no statement: %v", err)
	i.ed, i.mldsa = sized(i.version["identity"], ed25519.PublicKeySize), sized(i.version["identity"], mldsa65.PublicKeySize)
	t.Check(i.ed != nil && i.mldsa != nil, "identity does not have both public keys")
	sum := sha256.Sum256(append(append([]byte{}, i.ed...), i.mldsa...))
	for _, s := range texts(i.version["identity"]) {
		if s == hex.EncodeToString(sum[:16]) {
			i.id = s
		}
	}
	t.Check(i.id != "", "identity does not have the id of its keys, %x", sum[:16])
	for _, s := range texts(i.version["statement"]) {
		if strings.HasPrefix(s, "{") {
			i.text = []byte(s)
		}
	}
	i.edSig, i.mld = sized(i.version["statement"], ed25519.SignatureSize), sized(i.version["statement"], mldsa65.SignatureSize)
	t.Check(i.text != nil && i.edSig != nil && i.mld != nil, "statement does not have a text and both signatures")
	return i
}

// pqVerify checks the ML-DSA-65 half of a signature.
func (i identity) pqVerify(msg []byte, purpose string, sig []byte) bool {
	var key mldsa65.PublicKey
	return key.UnmarshalBinary(i.mldsa) == nil && mldsa65.Verify(&key, msg, []byte(purpose), sig)
}

// checkpoint is a signed one, read.
type checkpoint struct {
	origin string
	size   int
	root   hash
	text   []byte
}

// opened reads a signed note in the form of C2SP tlog-checkpoint, and demands the lines of both keys (CAP-AUD-005,
// CAP-KEY-006).
func (i identity) opened(t *T, signed []byte) (c checkpoint) {
	text, sigs, ok := bytes.Cut(signed, []byte("\n\n"))
	t.Check(ok, "a checkpoint without signatures: %s", textOf(signed))
	c.text = append(text, '\n')
	lines := strings.Split(string(text), "\n")
	t.Check(len(lines) >= 3 && lines[0] != "", "a checkpoint of %d lines: %s", len(lines), textOf(signed))
	c.origin = lines[0]
	n, err := strconv.Atoi(lines[1])
	t.Check(err == nil && strconv.Itoa(n) == lines[1], "a checkpoint has the size %q", lines[1])
	root, err := base64.StdEncoding.DecodeString(lines[2])
	t.Check(err == nil && len(root) == sha256.Size, "a checkpoint has the root %q", lines[2])
	c.size, c.root = n, hash(root)
	ed, pq := false, false
	for line := range strings.Lines(string(sigs)) {
		name, value, ok := strings.Cut(strings.TrimPrefix(strings.TrimSuffix(line, "\n"), "— "), " ")
		sig, err := base64.StdEncoding.DecodeString(value)
		t.Check(strings.HasPrefix(line, "— ") && ok && err == nil && len(sig) > 4, "a signature line is %q", textOf([]byte(line)))
		hint := binary.BigEndian.Uint32(sig)
		switch len(sig) - 4 {
		case ed25519.SignatureSize:
			sum := sha256.Sum256(append([]byte(name+"\n\x01"), i.ed...))
			ed = ed || hint == binary.BigEndian.Uint32(sum[:]) && ed25519.Verify(i.ed, c.text, sig[4:])
		case mldsa65.SignatureSize:
			pq = pq || i.pqVerify(c.text, "micronode/note/1", sig[4:])
		}
	}
	t.Check(ed, "the checkpoint has no good Ed25519 signature of the node")
	t.Check(pq, "the checkpoint has no good ML-DSA-65 signature of the node")
	return c
}

// record is one line of the log, read.
type record struct {
	line    []byte
	V       int         `json:"v"`
	I       int         `json:"i"`
	T       int64       `json:"t"`
	Event   string      `json:"event"`
	Reason  spec.Reason `json:"reason"`
	Surface string      `json:"surface"`
	Op      spec.Op     `json:"op"`
	Peer    string      `json:"peer"`
	CorrID  string      `json:"corr_id"`
	KeyID   string      `json:"key_id"`
	CapID   string      `json:"cap_id"`
	By      string      `json:"by"`
	Ops     string      `json:"ops"`
	Exp     int64       `json:"exp"`
	From    string      `json:"from"`
	To      string      `json:"to"`
	N       int         `json:"n"`
}

// recordMembers is the order of the members of a record.
func recordMembers() []string {
	return []string{"v", "i", "t", "event", "reason", "surface", "op", "peer", "corr_id", "key_id", "cap_id", "by", "ops", "exp", "from", "to", "n"}
}

// export takes an export and reads its records.
func (p *Peer) export() (text []byte, records []record) {
	t := p.t
	text = p.Want(p.Get("/admin/audit/export"), 200).Body
	t.Check(bytes.HasPrefix(text, []byte("micronode-audit/1\n")), "an export begins with %s", textOf(text))
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSuffix(line, []byte("\n")); bytes.HasPrefix(line, []byte("{")) {
			r := record{line: line}
			err := json.Unmarshal(line, &r, json.RejectUnknownMembers(true))
			t.Check(err == nil, "a record can not be read: %v: %s", err, line)
			records = append(records, r)
		}
	}
	t.Check(len(records) > 0, "an export without records")
	return text, records
}
