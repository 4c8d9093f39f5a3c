package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rustyonions/micronode/impl/capability"
)

type inspectCmd struct {
	offlineFlags
	Source secretFlag `arg:"" optional:"" name:"TOKEN" help:"The token; @FILE, or - for stdin."`
}

// inspection is the line of --json about a token. Nothing in it was verified, and it says so.
type inspection struct {
	Verified   bool     `json:"verified"` // always false: only the node has the key
	ID         string   `json:"id"`
	KeyID      string   `json:"key_id"`
	Expires    *int64   `json:"expires"` // the earliest `exp`, seconds since 1970; null without one
	Expired    bool     `json:"expired"`
	Bytes      int      `json:"bytes"`
	ThirdParty int      `json:"third_party"` // caveats that ask for the word of a third party
	Caveats    []string `json:"caveats"`
}

// Run shows what a token says. It does not show the token.
func (c *inspectCmd) Run(a *app) error {
	text, err := a.subject(c.Source, c.Token)
	if err != nil {
		return err
	}
	t, err := parseToken(text)
	if err != nil {
		return err
	}
	now := time.Now()
	in := inspect(t, now)
	con := newConsole(a, c.JSON)
	con.result(in.text(now), in)
	return con.close()
}

func inspect(t capability.Token, now time.Time) *inspection {
	in := &inspection{ID: t.ID().String(), KeyID: t.Key().String(), Bytes: len(t.Binary()), Caveats: []string{}}
	for _, text := range t.Caveats() {
		in.Caveats = append(in.Caveats, printable(text))
		if strings.HasPrefix(text, thirdPartyPrefix) {
			in.ThirdParty++
		}
		if n, ok := expiry(text); ok && (in.Expires == nil || n < *in.Expires) {
			in.Expires = &n
		}
	}
	in.Expired = in.Expires != nil && now.After(time.Unix(*in.Expires, 0))
	return in
}

// thirdPartyPrefix begins what capability.Token.Caveats says about a third-party caveat.
const thirdPartyPrefix = "third-party "

// expiry reads an `exp` caveat.
func expiry(text string) (int64, bool) {
	if _, err := capability.ParseCaveat(text); err != nil {
		return 0, false
	}
	return number(text, "exp <= ")
}

func number(text, prefix string) (int64, bool) {
	digits, ok := strings.CutPrefix(text, prefix)
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	return n, err == nil
}

// text is the inspection for people.
func (in *inspection) text(now time.Time) string {
	var b strings.Builder
	fmt.Fprintf(&b, "capability  %s\n", in.ID)
	fmt.Fprintf(&b, "root key    %s\n", in.KeyID)
	fmt.Fprintf(&b, "size        %d bytes\n", in.Bytes)
	switch {
	case in.Expires == nil:
		b.WriteString("expires     never, so every node refuses it (CAP-CAV-004)\n")
	default:
		at := time.Unix(*in.Expires, 0)
		fmt.Fprintf(&b, "expires     %s (%s)\n", distance(at.Sub(now)), clock(at))
	}
	fmt.Fprintf(&b, "caveats     %d\n", len(in.Caveats))
	width := 0
	for _, c := range in.Caveats {
		width = max(width, min(len(c), 48))
	}
	for _, c := range in.Caveats {
		fmt.Fprintf(&b, "  %-*s  %s\n", width, c, meaning(c))
	}
	b.WriteString("\nNothing was verified: whether the token is genuine, and not revoked, only its node can tell\n(micronode token verify).")
	return b.String()
}

// meanings say what the conditions of the grammar come to, by what they begin with.
var meanings = []struct{ prefix, text string }{
	{"nbf >= ", "not before %s"},
	{"exp <= ", "until %s"},
	{"aud = ", "at the node %s only"},
	{"op in ", "for these operations only"},
	{"path ^= ", "for this path and what is below it"},
	{"tenant = ", "for this tenant only"},
	{"max-bytes <= ", "bodies of at most %s"},
	{"rps <= ", "at most so many requests a second"},
	{"peer-uid = ", "over the Unix socket, from this user only"},
	{"amnesia = on", "at a node that forgets only"},
	{"amnesia = off", "at a node that keeps data only"},
	{thirdPartyPrefix, "with the word of a third party"},
}

// meaning explains one caveat. One that is not in the grammar denies (CAP-CAV-002), and that is said.
func meaning(text string) string {
	if _, err := capability.ParseCaveat(text); err != nil && !strings.HasPrefix(text, thirdPartyPrefix) {
		return "is no caveat of the law: every node refuses the token (CAP-CAV-002)"
	}
	for _, m := range meanings {
		value, ok := strings.CutPrefix(text, m.prefix)
		if !ok {
			continue
		}
		if !strings.Contains(m.text, "%s") {
			return m.text
		}
		if n, ok := number(text, m.prefix); ok && m.prefix == "max-bytes <= " {
			value = bytesText(n)
		} else if ok {
			value = clock(time.Unix(n, 0))
		}
		return fmt.Sprintf(m.text, value)
	}
	return ""
}

// distance says how far a moment is away.
func distance(d time.Duration) string {
	if d < 0 {
		return "expired " + span(-d) + " ago"
	}
	return "in " + span(d)
}

// span writes a length of time in words, in its two largest units.
func span(d time.Duration) string {
	units := []struct {
		name string
		d    time.Duration
	}{{"day", 24 * time.Hour}, {"hour", time.Hour}, {"minute", time.Minute}, {"second", time.Second}}
	for i, u := range units {
		n := d / u.d
		if n == 0 && u.d > time.Second {
			continue
		}
		text := plural(int64(n), u.name)
		if i+1 < len(units) {
			if next := (d - n*u.d) / units[i+1].d; next > 0 {
				text += " " + plural(int64(next), units[i+1].name)
			}
		}
		return text
	}
	return ""
}

func plural(n int64, name string) string {
	if n == 1 {
		return "1 " + name
	}
	return fmt.Sprintf("%d %ss", n, name)
}
