package client

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/spec"
)

// Issue is what a capability is to be (CAP-ISS-001, CAP-ISS-002).
type Issue struct {
	Role    spec.Role     // either a role
	Ops     []spec.Op     // or operations
	TTL     time.Duration // whole seconds, rounded down; 0 leaves it to the node (CAP-CAV-006)
	Caveats []string      // further conditions, in the grammar of CAP-CAV-001
}

// Issued is a capability that the node made.
type Issued struct {
	Token   secret.String // the text form
	ID      string        // capability id, 32 hex digits; what Revoke takes
	KeyID   string        // id of the root key, 16 hex digits
	Expires time.Time
}

// Question is what Verify asks about.
type Question struct {
	Token  secret.String // the capability to be judged, in its text form
	Op     spec.Op
	Path   string // as in the table of CAP-OPS-001
	Bytes  int64  // length of the body; 0 is none
	Tenant string // 32 hex digits, or "" for none
}

// Verdict is what the node would say to a request (CAP-ISS-003).
type Verdict struct {
	Valid   bool
	Reason  spec.Reason // unauth, forbidden or quota where it is not valid
	ID      string      // only where the node says so, as the rest
	KeyID   string
	Expires time.Time
}

// seconds is a moment in JSON: whole seconds since 1970, as in an `exp` caveat.
type seconds int64

func (s seconds) time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.Unix(int64(s), 0)
}

// passportAnswer has the members of all the answers.
type passportAnswer struct {
	Token   string      `json:"token"`
	ID      string      `json:"id"`
	KeyID   string      `json:"key_id"`
	Expires seconds     `json:"expires"`
	Valid   *bool       `json:"valid"`
	Reason  spec.Reason `json:"reason"`
	Revoked bool        `json:"revoked"`
}

// Issue asks for a capability. It is not asked for twice when an answer gets lost: a token that nobody has is of no
// use to anyone, but it is there.
func (c *Client) Issue(ctx context.Context, i Issue) (Issued, error) {
	if i.TTL != 0 && i.TTL < time.Second {
		return Issued{}, fmt.Errorf("a capability lives for whole seconds, and %v is less than one: %w", i.TTL, spec.Malformed)
	}
	doc := struct {
		Role    spec.Role `json:"role,omitzero"`
		Ops     []spec.Op `json:"ops,omitempty"`
		TTL     int64     `json:"ttl_s,omitzero"`
		Caveats []string  `json:"caveats,omitempty"`
	}{i.Role, i.Ops, int64(i.TTL / time.Second), i.Caveats}
	a, err := c.passport(ctx, spec.OpIssue, &doc)
	if err != nil {
		return Issued{}, err
	}
	token := secret.NewString(a.Token)
	if _, err := newCredential(token); err != nil || a.Token == "" || !isHex(a.ID, 32) || !isHex(a.KeyID, 16) || a.Expires <= 0 {
		return Issued{}, unreadable(spec.OpIssue)
	}
	return Issued{Token: token, ID: a.ID, KeyID: a.KeyID, Expires: a.Expires.time()}, nil
}

// Verify asks what the node would say to a request with a capability. The question carries the capability, so it is
// refused where it would cross a network in the clear.
func (c *Client) Verify(ctx context.Context, q Question) (Verdict, error) {
	if !c.target.confidential() {
		return Verdict{}, &ClearTextError{URL: c.target.text}
	}
	doc := struct {
		Token  string  `json:"token"`
		Op     spec.Op `json:"op"`
		Path   string  `json:"path"`
		Bytes  int64   `json:"bytes,omitzero"`
		Tenant string  `json:"tenant,omitzero"`
	}{q.Token.Reveal(), q.Op, q.Path, q.Bytes, q.Tenant}
	a, err := c.passport(ctx, spec.OpVerify, &doc)
	if err != nil {
		return Verdict{}, err
	}
	if a.Valid == nil || *a.Valid == (a.Reason != spec.None) || a.Reason != spec.None && !a.Reason.Known() {
		return Verdict{}, unreadable(spec.OpVerify)
	}
	return Verdict{Valid: *a.Valid, Reason: a.Reason, ID: printable(a.ID), KeyID: printable(a.KeyID), Expires: a.Expires.time()}, nil
}

// Revoke revokes one capability by its id, 32 hex digits (CAP-REV-001). It succeeds for an id that the node never saw.
func (c *Client) Revoke(ctx context.Context, id string) error {
	return c.revoke(ctx, &struct {
		ID string `json:"id"`
	}{id})
}

// RevokeKey revokes all capabilities of a root key by its id, 16 hex digits; not_found is an error (CAP-ISS-004).
func (c *Client) RevokeKey(ctx context.Context, keyID string) error {
	return c.revoke(ctx, &struct {
		KeyID string `json:"key_id"`
	}{keyID})
}

func (c *Client) revoke(ctx context.Context, doc any) error {
	a, err := c.passport(ctx, spec.OpRevoke, doc)
	if err == nil && !a.Revoked {
		err = unreadable(spec.OpRevoke)
	}
	return err
}

// Rotate makes the node replace its root key, and returns the id of the new one (CAP-ISS-005). It is not repeated when an
// answer gets lost.
func (c *Client) Rotate(ctx context.Context) (keyID string, err error) {
	a, err := c.passport(ctx, spec.OpRotate, &struct{}{})
	if err == nil && !isHex(a.KeyID, 16) {
		err = unreadable(spec.OpRotate)
	}
	return a.KeyID, err
}

func unreadable(op spec.Op) *Error {
	return broken(spec.Malformed, "the node's answer to %s can not be read", op)
}

func isHex(s string, n int) bool {
	_, err := hex.DecodeString(s)
	return err == nil && len(s) == n
}

// passport runs one passport operation.
func (c *Client) passport(ctx context.Context, op spec.Op, doc any) (a passportAnswer, err error) {
	text, err := json.Marshal(doc)
	if err != nil { // only text that is not UTF-8
		return a, &Error{Reason: spec.Malformed, Message: "the request can not be written as JSON"}
	}
	if len(text) > spec.MaxPassport {
		return a, &Error{Reason: spec.Malformed, Message: "the request is longer than a node takes (CAP-ISS-001)"}
	}
	var answer []byte
	err = c.retry(ctx, attempts{run: func(ctx context.Context) (err error) {
		answer, err = c.surface.passport(ctx, op, text)
		if e, ok := errors.AsType[*Error](err); ok && e.again >= lost && !e.Unreachable && (op == spec.OpIssue || op == spec.OpRotate) {
			e.again = never
		}
		return err
	}})
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(answer, &a); err != nil { // which could show a part of the text, and that may be a token
		return passportAnswer{}, unreadable(op)
	}
	return a, nil
}

// passport is one attempt over HTTP (HTTP-PAS-001).
func (h *httpSurface) passport(ctx context.Context, op spec.Op, doc []byte) ([]byte, error) {
	header := http.Header{"Content-Type": {"application/json"}}
	return h.small(ctx, http.MethodPost, "/v1/passport/"+string(op), header, doc)
}

// small runs a request whose answer is a short document, and returns it.
func (h *httpSurface) small(ctx context.Context, method, path string, header http.Header, doc []byte) ([]byte, error) {
	w := h.watch(ctx)
	defer w.stop()
	var body io.ReadCloser
	if doc != nil {
		body = io.NopCloser(bytes.NewReader(doc))
	}
	res, err := h.do(w, method, path, header, body, int64(len(doc)))
	if err != nil {
		return nil, err
	}
	defer end(res)
	if res.StatusCode != http.StatusOK && res.StatusCode != http.StatusNoContent {
		return nil, problem(res)
	}
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, h.transportError(w, err)
	case len(answer) > maxAnswer:
		return nil, broken(spec.Oversize, "the node's answer has more than %d bytes", maxAnswer)
	}
	return answer, nil
}

// passportMember names the operation in the JSON object of a passport request over OAP/1.
const passportMember = "request"

// passport is one attempt over OAP/1: one START|END, one answer.
func (p *pool) passport(ctx context.Context, op spec.Op, doc []byte) (answer []byte, err error) {
	named := append([]byte(`{"`+passportMember+`":"`), op...)
	named = append(named, '"')
	if inner := doc[1:]; len(inner) > 1 {
		named = append(named, ',')
	}
	named = append(named, doc[1:]...)
	err = p.with(ctx, func(c *conn, stall *time.Timer) error {
		cred := p.opts.cred
		if size := int64(spec.HeaderLen + len(cred.binary()) + len(named)); size > c.maxFrame || len(named) > spec.MaxPassport {
			return &Error{Reason: spec.Oversize, Message: "the request does not fit into a frame of this connection"}
		}
		st := &stream{c: c, proto: spec.ProtoPassport, notify: make(chan struct{}, 1)}
		st, err := c.begin(ctx, st, func(dst []byte, corr uint64) []byte { return appendPassport(dst, corr, cred, named) })
		if err != nil {
			return err
		}
		err = st.final(ctx, stall)
		c.forget(st, true)
		answer = st.doc
		return err
	})
	return answer, err
}
