package main

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/rustyonions/micronode/impl/capability"
	"github.com/rustyonions/micronode/impl/client"
	"github.com/rustyonions/micronode/spec"
)

// tokenCmd is "micronode token". Mint, verify, revoke and rotate ask the node; the others work on this machine alone.
type tokenCmd struct {
	Mint      mintCmd      `cmd:"" help:"Ask the node for a new token."`
	Attenuate attenuateCmd `cmd:"" help:"Make a token that may do less, offline."`
	Inspect   inspectCmd   `cmd:"" help:"Show what a token says, offline and unverified."`
	Verify    verifyCmd    `cmd:"" help:"Ask the node what it would say to a request with a token."`
	Revoke    revokeCmd    `cmd:"" help:"Revoke a token, or all tokens of a root key."`
	Rotate    rotateCmd    `cmd:"" help:"Make the node replace its root key."`
	Discharge dischargeCmd `cmd:"" help:"Confirm a third-party caveat, as the third party, offline."`
	Bind      bindCmd      `cmd:"" help:"Join a token and its discharges, offline."`
}

// tokenLine is one line of --json about a token.
type tokenLine struct {
	Token   string `json:"token"`
	ID      string `json:"id,omitzero"`
	KeyID   string `json:"key_id,omitzero"`
	Expires int64  `json:"expires,omitzero"` // seconds since 1970
}

type mintCmd struct {
	nodeFlags
	Role   string        `help:"Role to mint for: reader, writer, mailbox, issuer or admin." placeholder:"ROLE"`
	Op     []string      `help:"Operations to mint for instead, for example get,put." placeholder:"OP"`
	TTL    time.Duration `name:"ttl" help:"How long the token lives, at most 24h (15m)." placeholder:"TIME"`
	Caveat []string      `sep:"none" help:"A further condition; may be repeated." placeholder:"TEXT"`
}

// Run asks the node for a token and prints it.
func (c *mintCmd) Run(a *app) error {
	ask, err := c.issue()
	if err != nil {
		return err
	}
	s, err := c.open(a)
	if err != nil {
		return err
	}
	got, err := s.c.Issue(s.ctx, ask)
	if s.judge("mint", err) {
		s.con.result(got.Token.Reveal(), &tokenLine{got.Token.Reveal(), got.ID, got.KeyID, got.Expires.Unix()})
		s.con.note("capability %s, good until %s", got.ID, clock(got.Expires))
	}
	return s.close(s.verdict())
}

// issue checks what was asked for, so that a mistake costs no request.
func (c *mintCmd) issue() (ask client.Issue, err error) {
	ask = client.Issue{Role: spec.Role(c.Role), TTL: c.TTL, Caveats: c.Caveat}
	switch {
	case (c.Role == "") == (len(c.Op) == 0):
		return ask, usagef("a token is minted either for a --role or for --op")
	case c.Role != "" && !slices.Contains(spec.Roles(), ask.Role):
		return ask, usagef("%q is not a role; they are %s", printable(c.Role), joined(spec.Roles()))
	}
	if err := checkTTL(c.TTL); err != nil {
		return ask, err
	}
	if _, err := parseCaveats(c.Caveat); err != nil {
		return ask, err
	}
	ask.Ops, err = parseOps(c.Op)
	return ask, err
}

// checkTTL says whether a token can live that long; 0 was not given (CAP-CAV-005).
func checkTTL(ttl time.Duration) error {
	if ttl != 0 && (ttl < time.Second || ttl > spec.MaxCapabilityTTL) {
		return usagef("--ttl is %v, but takes 1s to %v (CAP-CAV-005)", ttl, spec.MaxCapabilityTTL)
	}
	return nil
}

// offlineFlags are shared by the commands that work on a token here.
type offlineFlags struct {
	Token secretFlag `help:"The token, or @FILE, where no TOKEN is given; without either it is read from stdin." env:"MICRO_TOKEN" placeholder:"TOKEN"`
	JSON  bool       `name:"json" help:"Print one JSON line."`
}

// narrowFlags are conditions to add.
type narrowFlags struct {
	Caveat []string      `sep:"none" help:"A condition to add; may be repeated." placeholder:"TEXT"`
	Op     []string      `help:"Allow these operations only, for example get,has." placeholder:"OP"`
	TTL    time.Duration `name:"ttl" help:"Let it end after this time." placeholder:"TIME"`
}

// caveats are the conditions, in the order of the flags above.
func (n *narrowFlags) caveats(now time.Time) ([]capability.Caveat, error) {
	if err := checkTTL(n.TTL); err != nil {
		return nil, err
	}
	if _, err := parseOps(n.Op); err != nil {
		return nil, err
	}
	texts := slices.Clone(n.Caveat)
	if len(n.Op) > 0 {
		texts = append(texts, "op in "+strings.Join(n.Op, ","))
	}
	if n.TTL > 0 {
		texts = append(texts, fmt.Sprintf("exp <= %d", now.Add(n.TTL).Unix()))
	}
	return parseCaveats(texts)
}

type attenuateCmd struct {
	offlineFlags
	narrowFlags
	Location string     `name:"third-party" help:"Ask for the word of a third party as well: where it is found." placeholder:"LOCATION"`
	Key      string     `name:"third-party-key" help:"File with the 32 bytes, or 64 hex digits, that are shared with the third party." placeholder:"FILE"`
	ID       string     `name:"third-party-id" help:"What the third party is to confirm." placeholder:"TEXT"`
	Source   secretFlag `arg:"" optional:"" name:"TOKEN" help:"The token; @FILE, or - for stdin."`
}

// Run prints the token with more caveats (CAP-HMC-002).
func (c *attenuateCmd) Run(a *app) error {
	caveats, err := c.caveats(time.Now())
	if err != nil {
		return err
	}
	third := c.Location != "" || c.Key != "" || c.ID != ""
	switch {
	case third && (c.Location == "" || c.Key == "" || c.ID == ""):
		return usagef("--third-party, --third-party-key and --third-party-id go together")
	case !third && len(caveats) == 0:
		return usagef("nothing to add: give --caveat, --op, --ttl or --third-party")
	}
	text, err := a.subject(c.Source, c.Token)
	if err != nil {
		return err
	}
	t, err := parseToken(text)
	if err != nil {
		return err
	}
	if t, err = t.Attenuate(caveats...); err != nil {
		return offline("the token can not take these caveats: it has its discharges already, or becomes too long", err)
	}
	if third {
		key, err := sharedKey(c.Key)
		if err != nil {
			return err
		}
		defer clear(key)
		if t, err = t.AddThirdParty(key, []byte(c.ID), c.Location); err != nil {
			return offline("the token can not take this third-party caveat: it has it already, or becomes too long", err)
		}
	}
	return a.show(c.JSON, t)
}

// show prints a token that was made here.
func (a *app) show(asJSON bool, t capability.Token) error {
	con := newConsole(a, asJSON)
	con.result(t.Text(), &tokenLine{Token: t.Text(), ID: t.ID().String(), KeyID: t.Key().String()})
	return con.close()
}

// sharedKeyLen is the length of a key that is shared with a third party, in bytes: that of the keys of the chain.
const sharedKeyLen = 32

// sharedKey reads such a key: 64 hex digits, with white space around them, or the bytes.
func sharedKey(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, usagef("key: %w", plainPath(name, err))
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return nil, usagef("key: %w", plainPath(name, err))
	}
	if len(b) == sharedKeyLen {
		return b, nil
	}
	defer clear(b)
	key, err := hex.DecodeString(strings.Join(strings.Fields(string(b)), "")) // xxd breaks lines
	if err != nil || len(key) != sharedKeyLen {
		return nil, usagef("key: %s has neither 32 bytes nor 64 hex digits", printable(name))
	}
	return key, nil
}

type dischargeCmd struct {
	narrowFlags
	Key  string `required:"" help:"File with the 32 bytes, or 64 hex digits, of the third-party caveat." placeholder:"FILE"`
	ID   string `required:"" help:"What is confirmed: the --third-party-id of the caveat." placeholder:"TEXT"`
	JSON bool   `name:"json" help:"Print one JSON line."`
}

// dischargeLine is the line of --json about a discharge.
type dischargeLine struct {
	Discharge string `json:"discharge"`
}

// Run prints a discharge as base64url text.
func (c *dischargeCmd) Run(a *app) error {
	caveats, err := c.caveats(time.Now())
	if err != nil {
		return err
	}
	key, err := sharedKey(c.Key)
	if err != nil {
		return err
	}
	defer clear(key)
	d, err := capability.NewDischarge(key, []byte(c.ID), caveats...)
	if err != nil {
		return offline("this discharge can not be made: it has no id, or becomes too long", err)
	}
	con := newConsole(a, c.JSON)
	text := base64.RawURLEncoding.EncodeToString(d.Binary())
	con.result(text, &dischargeLine{text})
	return con.close()
}

type bindCmd struct {
	offlineFlags
	Discharges []secretFlag `arg:"" name:"DISCHARGE" help:"What token discharge printed, or @FILE. The token itself comes from --token, MICRO_TOKEN or stdin."`
}

// Run prints the token with its discharges (CAP-TOK-008).
func (c *bindCmd) Run(a *app) error {
	text, err := a.subject(secretFlag{}, c.Token)
	if err != nil {
		return err
	}
	t, err := parseToken(text)
	if err != nil {
		return err
	}
	var list []capability.Discharge
	for i, arg := range c.Discharges {
		text, err := arg.load()
		if err != nil {
			return err
		}
		b, err := base64.RawURLEncoding.DecodeString(text.Reveal())
		if err != nil {
			return usagef("discharge %d is no base64url text", i+1)
		}
		d, err := capability.ParseDischarge(b)
		if err != nil {
			return offline(fmt.Sprintf("discharge %d is none", i+1), err)
		}
		list = append(list, d)
	}
	if t, err = t.Bind(list...); err != nil {
		return offline("these are not the discharges that the token asks for, each once, or it has some already", err)
	}
	return a.show(c.JSON, t)
}

type verifyCmd struct {
	nodeFlags
	Op     string     `required:"" help:"Operation of the request, for example get." placeholder:"OP"`
	Path   string     `required:"" help:"Path of the request: /o/ADDRESS for an object, /put for a put without address." placeholder:"PATH"`
	Bytes  int64      `help:"Length of its body." placeholder:"N"`
	Tenant string     `help:"Tenant of the request, 32 hex digits." placeholder:"HEX"`
	Source secretFlag `arg:"" name:"TOKEN" help:"The token to judge; @FILE, or - for stdin. --token is the one that may ask."`
}

// verdictLine is the line of --json about a verdict.
type verdictLine struct {
	Valid   bool        `json:"valid"`
	Reason  spec.Reason `json:"reason,omitzero"`
	ID      string      `json:"id,omitzero"`
	KeyID   string      `json:"key_id,omitzero"`
	Expires int64       `json:"expires,omitzero"`
}

// Run prints what the node would say (CAP-ISS-003); a no is a failure.
func (c *verifyCmd) Run(a *app) error {
	if c.Bytes < 0 {
		return usagef("--bytes is below zero")
	}
	if _, err := parseOps([]string{c.Op}); err != nil {
		return err
	}
	text, err := a.subject(c.Source, secretFlag{})
	if err != nil {
		return err
	}
	s, err := c.open(a)
	if err != nil {
		return err
	}
	v, err := s.c.Verify(s.ctx, client.Question{Token: text, Op: spec.Op(c.Op), Path: c.Path, Bytes: c.Bytes, Tenant: c.Tenant})
	if !s.judge("verify", err) {
		return s.close(s.verdict())
	}
	line := verdictLine{Valid: v.Valid, Reason: v.Reason, ID: v.ID, KeyID: v.KeyID}
	if v.Valid {
		line.Expires = v.Expires.Unix()
		s.con.result("valid until "+clock(v.Expires), &line)
		return s.close(nil)
	}
	s.con.result("not valid: "+string(v.Reason), &line)
	return s.close(&exitError{code: exitFailed, quiet: true})
}

type revokeCmd struct {
	nodeFlags
	Subjects []secretFlag `arg:"" name:"ID|TOKEN" help:"Capability id (32 hex digits), key id (16 hex digits), or the token itself, @FILE or -."`
}

// revocation is what one argument of revoke names.
type revocation struct{ id, key string }

func (r revocation) String() string {
	if r.key != "" {
		return "key " + r.key
	}
	return "capability " + r.id
}

// Run revokes one after the other.
func (c *revokeCmd) Run(a *app) error {
	var list []revocation
	for _, arg := range c.Subjects {
		r, err := a.revocation(arg)
		if err != nil {
			return err
		}
		list = append(list, r)
	}
	s, err := c.open(a)
	if err != nil {
		return err
	}
	for _, r := range list {
		if r.key != "" {
			err = s.c.RevokeKey(s.ctx, r.key)
		} else {
			err = s.c.Revoke(s.ctx, r.id)
		}
		if s.judge(r.String(), err) {
			s.con.result("revoked "+r.String(), &revokedLine{r.id, r.key, true})
		}
	}
	return s.close(s.verdict())
}

// revokedLine is one line of --json about a revocation.
type revokedLine struct {
	ID      string `json:"id,omitzero"`
	KeyID   string `json:"key_id,omitzero"`
	Revoked bool   `json:"revoked"`
}

// revocation reads one argument. A token is not sent anywhere: its id is in it.
func (a *app) revocation(arg secretFlag) (revocation, error) {
	text := arg.Reveal()
	if isHex := strings.Trim(text, "0123456789abcdef") == ""; isHex {
		switch len(text) {
		case 32:
			return revocation{id: text}, nil
		case 16:
			return revocation{key: text}, nil
		}
	}
	token, err := a.subject(arg, secretFlag{})
	if err != nil {
		return revocation{}, err
	}
	t, err := capability.ParseText(token.Reveal())
	if err != nil {
		return revocation{}, usagef("revoke takes a capability id of 32 hex digits, a key id of 16, or a token")
	}
	return revocation{id: t.ID().String()}, nil
}

type rotateCmd struct{ nodeFlags }

// Run replaces the root key (CAP-ISS-005).
func (c *rotateCmd) Run(a *app) error {
	s, err := c.open(a)
	if err != nil {
		return err
	}
	key, err := s.c.Rotate(s.ctx)
	if s.judge("rotate", err) {
		s.con.result(key, &struct {
			KeyID string `json:"key_id"`
		}{key})
		s.con.note("the root key is now %s; tokens of the one before stay good until they expire", key)
	}
	return s.close(s.verdict())
}

// clock is a moment for people.
func clock(t time.Time) string { return t.UTC().Format(time.RFC3339) }
