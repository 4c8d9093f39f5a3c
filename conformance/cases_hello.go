package conformance

import (
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// helloCases are about OAP-HEL beyond single payloads, which the vectors cover.
func helloCases() []Case {
	return []Case{
		{ID: "hel-answer", Rules: []string{"OAP-HEL-007"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "The answer to HELLO has its seven keys, with values that make sense together.",
			Run:         helAnswer},
		{ID: "hel-features", Rules: []string{"HTTP-HLT-006", "AMN-DEF-005"}, Level: spec.Must, Profile: ProfileMicronode,
			Description: "HELLO and /version declare the same features, and the same about amnesia.",
			Run:         helFeatures},
		{ID: "hel-lowers-only", Rules: []string{"OAP-HEL-005"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "accept_max_frame lowers max_frame, down to 4,096, and never raises it.",
			Run:         helLowersOnly},
		{ID: "hel-lowered-client", Rules: []string{"OAP-HEL-006"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "With max_frame lowered to 5,000 a frame of 5,000 bytes passes and one of 5,001 is rejected from its len.",
			Run:         helLoweredClient},
		{ID: "hel-lowered-node", Rules: []string{"OAP-HEL-006"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "With max_frame lowered the node sends a large object in frames that keep to it.",
			Run:         helLoweredNode},
		{ID: "hel-per-connection", Rules: []string{"OAP-HEL-006", "OAP-SES-015"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "A limit lowered on one connection does not bind another.",
			Run:         helPerConnection},
		{ID: "hel-extras", Rules: []string{"OAP-HEL-004", "OAP-HEL-003"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "Unknown keys of any type are ignored, and a duplicate among them is not.",
			Run:         helExtras},
		{ID: "hel-once", Rules: []string{"OAP-HEL-002", "OAP-SES-015"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "A second HELLO closes the connection, and the put that was open on it leaves nothing.",
			Run:         helOnce},
		{ID: "hel-flood", Rules: []string{"OAP-HEL-002", "OAP-FRM-012"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "A thousand HELLOs in one write get one answer, one ERROR and the end.",
			Run:         helFlood},
	}
}

func helAnswer(t *T) {
	t.Control(func() { t.Hello() })
	c := t.Dial()
	reply := c.Handshake()
	t.Check(reply.MaxFrame == spec.MaxFrame, "max_frame is %d for a client that asked for nothing", reply.MaxFrame)
	t.Check(reply.MaxInflight > 0, "max_inflight is %d", reply.MaxInflight)
	t.Check(slices.Contains(reply.Versions, int64(spec.Version)), "versions is %v", reply.Versions)
	t.Check(slices.Contains(reply.Transports, "tcp"), "transports is %v on a TCP connection", reply.Transports)
	for _, name := range []string{"REQ", "RESP", "EVENT", "START", "END"} {
		t.Check(slices.Contains(reply.FlagsSupported, name), "flags_supported is %v, without %s", reply.FlagsSupported, name)
	}
	for _, name := range reply.FlagsSupported {
		_, ok := spec.ParseFlag(name)
		t.Check(ok, "flags_supported has %q, which is no flag", name)
	}
}

func helFeatures(t *T) {
	t.Control(func() {
		t.Hello()
		t.Want(t.Get("/version"), 200)
	})
	var version struct {
		Features []string `json:"features"`
		Amnesia  *bool    `json:"amnesia"`
	}
	r := t.Want(t.Get("/version"), 200)
	err := json.Unmarshal(r.Body, &version)
	t.Check(err == nil && version.Features != nil && version.Amnesia != nil, "/version can not be read: %v: %s", err, textOf(r.Body))
	reply := t.Dial().Handshake()
	set := func(list []string) []string {
		m := map[string]bool{}
		for _, f := range list {
			m[f] = true
		}
		return slices.Sorted(maps.Keys(m))
	}
	t.Check(slices.Equal(set(reply.Features), set(version.Features)), "HELLO declares %v and /version %v", reply.Features, version.Features)
	t.Check(reply.Amnesia == *version.Amnesia, "amnesia is %v in HELLO and %v in /version", reply.Amnesia, *version.Amnesia)
}

func helLowersOnly(t *T) {
	t.Control(func() { t.Hello() })
	for asked, want := range map[int64]int64{
		1: spec.MinMaxFrame, 4095: spec.MinMaxFrame, 4096: 4096, 4097: 4097, 65536: 65536,
		spec.MaxFrame - 1: spec.MaxFrame - 1, spec.MaxFrame: spec.MaxFrame, spec.MaxFrame + 1: spec.MaxFrame, 1<<53 - 1: spec.MaxFrame,
	} {
		c := t.Dial()
		reply := c.Greet(fmt.Appendf(nil, `{"accept_max_frame":%d}`, asked))
		t.Check(reply.MaxFrame == want, "accept_max_frame %d gives max_frame %d, want %d", asked, reply.MaxFrame, want)
		c.Close()
	}
}

const lowered = 5000

func helLoweredClient(t *T) {
	greet := func() *Conn {
		c := t.Dial()
		c.Greet(fmt.Appendf(nil, `{"accept_max_frame":%d}`, lowered))
		return c
	}
	t.Control(func() {
		c := greet()
		c.Send(refwire.Frame{Flags: req, Corr: 9, Proto: spec.ProtoObjects, Payload: make([]byte, lowered-spec.HeaderLen)})
		c.Refused(9, spec.NoSuchStream)
	})
	c := greet()
	c.Illegal(header(lowered+1, nil)[:4], spec.Oversize)
	c.Rejected(spec.Oversize)
}

func helLoweredNode(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(200_000)
	t.Hello().Put(data)
	c := t.Dial()
	c.Greet([]byte(`{"accept_max_frame":1}`))
	t.Check(c.max == spec.MinMaxFrame, "max_frame is %d", c.max)
	c.Holds(data) // the connection rejects what is longer
	more := t.Bytes(20_000)
	c.Put(more)
	c.Holds(more)
}

func helPerConnection(t *T) {
	big := refwire.Frame{Flags: req, Corr: 9, Proto: spec.ProtoObjects, Payload: make([]byte, 100_000)}
	t.Control(func() {
		c := t.Hello()
		c.Send(big)
		c.Refused(9, spec.NoSuchStream)
	})
	wide, narrow := t.Hello(), t.Dial()
	narrow.Greet([]byte(`{"accept_max_frame":4096}`))
	wide.Send(big)
	wide.Refused(9, spec.NoSuchStream)
	big.Seal()
	narrow.Illegal(refwire.Encode(big), spec.Oversize)
	narrow.Rejected(spec.Oversize)
	wide.Send(big)
	wide.Refused(9, spec.NoSuchStream)
}

func helExtras(t *T) {
	t.Control(func() {
		t.Dial().Greet([]byte(`{"later":{"a":[1,{"b":null}],"c":1e9},"UA":1,"Accept_Max_Frame":1,"ua":"x"}`))
	})
	for _, payload := range []string{
		`{"later":1,"later":1}`,
		`{"later":{"a":1,"a":2}}`,
		`{"later":1}{}`,
		`{"later":"` + "\xff" + `"}`,
	} {
		c := t.Dial()
		c.Send(helloFrame([]byte(payload)))
		c.Rejected(spec.BadHello)
		c.Close()
	}
}

func helOnce(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(80)
	c := t.Hello()
	corr := c.Begin(put(len(data)), 0)
	c.Send(Chunks(corr, data, 80, false)...)
	second := helloFrame([]byte("{}"))
	second.Corr = corr + 1
	c.Send(second, endFrame(corr))
	c.Rejected(spec.BadHello)
	t.Hello().Lacks(AddressOf(data))
}

func helFlood(t *T) {
	t.Control(func() { t.Hello() })
	c := t.Dial()
	all := slices.Repeat(c.Seal(helloFrame([]byte("{}"))), 1000)
	c.Write(all)
	c.Greeted()
	c.Rejected(spec.BadHello)
}
