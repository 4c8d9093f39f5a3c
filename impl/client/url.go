package client

import (
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/rustyonions/micronode/spec"
)

// DefaultURL is the node that a client means when nobody says otherwise (RDY-CFG-005).
const DefaultURL = "oap://127.0.0.1:9090"

// target is what a node URL says.
type target struct {
	text    string // as given
	http    bool   // the surface: HTTP, or OAP/1
	network string // "tcp" or "unix"
	addr    string // host:port or a path
	host    string // for the certificate
	tls     bool
}

// schemes lists what a node URL may start with, for messages.
const schemes = "oap://host:port, oap+tls://host:port, http://host[:port], https://host[:port] or unix:/path"

// CheckURL says whether text names a node. The error says what would; it carries spec.Malformed.
func CheckURL(text string) error {
	_, err := parseURL(text)
	return err
}

func parseURL(text string) (target, error) {
	bad := func(why string) (target, error) {
		return target{}, fmt.Errorf("node URL %q %s; a node is named by %s: %w", text, why, schemes, spec.Malformed)
	}
	if path, ok := strings.CutPrefix(text, "unix:"); ok {
		path = strings.TrimPrefix(path, "//") // unix:///path
		if path == "" {
			return bad("has no path")
		}
		return target{text: text, network: "unix", addr: path}, nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Opaque != "" {
		return bad("is none")
	}
	t := target{text: text, network: "tcp", host: u.Hostname()}
	port := ""
	switch u.Scheme {
	case "oap":
	case "oap+tls":
		t.tls = true
	case "http":
		t.http, port = true, "80"
	case "https":
		t.http, t.tls, port = true, true, "443"
	default:
		return bad("has no scheme that is known")
	}
	if u.Port() != "" {
		port = u.Port()
	}
	switch {
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "" && u.Path != "/":
		return bad("says more than host and port")
	case t.host == "":
		return bad("has no host")
	case port == "":
		return bad("has no port")
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		return bad("has a port above 65535")
	}
	t.addr = net.JoinHostPort(t.host, port)
	return t, nil
}
