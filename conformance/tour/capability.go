package tour

import (
	"fmt"
	"net/http"

	"github.com/rustyonions/micronode/model/capability"
	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// Capability is the coverage of the model of capabilities under p, as far as it goes: no step can be walked as long as
// nodes take no tokens, and all are out of reach for that reason. It fails when the node of binary does take some, and so
// needs tours.
func Capability(binary, name string, p capability.Params) (*Coverage, error) {
	c, err := outOfReach(name, capability.Machine(p), "the node takes no tokens yet")
	if err != nil {
		return nil, err
	}
	return c, tokenless(binary)
}

// tokenless wants a token that nobody ever made to make no difference, on either surface.
func tokenless(binary string) error {
	node, err := launch(binary, 0)
	if err != nil {
		return err
	}
	defer node.end()
	w, err := browse(node.HTTP)
	if err != nil {
		return err
	}
	defer w.reset()
	w.send("GET /o/" + spec.Address{}.String() + " HTTP/1.1\r\nHost: x\r\nAuthorization: Macaroon AAAA\r\n\r\n")
	r, err := w.receive(http.MethodGet)
	if err != nil || r.reason != spec.NotFound {
		return fmt.Errorf("the node looks at a token over HTTP: %q (%v); there are tours to be written", r.reason, err)
	}
	l, err := greet(node.OAP, 0)
	if err != nil {
		return err
	}
	defer l.reset()
	start := refwire.Frame{Flags: spec.FlagReq | spec.FlagStart | spec.FlagEnd, Proto: spec.ProtoObjects, Corr: 1, Cap: []byte("AAAA"),
		Payload: refwire.EncodeRequest(refwire.Request{Op: "has", HasObj: true})}
	said, err := l.exchange(seal(start), "has, with a token")
	if err != nil {
		return err
	}
	if _, reason, err := final("has", said[1]); err != nil || reason != spec.None {
		return fmt.Errorf("the node looks at a token over OAP/1: %q (%v); there are tours to be written", reason, err)
	}
	return nil
}
