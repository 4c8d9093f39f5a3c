package session

import (
	"slices"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/spec"
)

// talk is one rule shown by two conversations that differ as little as can be. Lines that begin with "!" are in the
// refused one only, lines that begin with "=" in the accepted one only.
type talk struct {
	rule   string
	what   string
	script string
}

// setting is where the conversations of a table take place.
type setting uint8

const (
	raw     setting = iota // the script says HELLO itself
	alone                  // behind HELLO, with no other stream
	crowded                // behind HELLO, beside two streams that no refusal may touch; and once more alone
)

// variant is a script as it is meant for one of the two conversations.
func variant(script, own, other string) string {
	var b strings.Builder
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, other) {
			continue
		}
		b.WriteString(strings.TrimPrefix(line, own) + "\n")
	}
	return b.String()
}

func runTalks(t *testing.T, where setting, talks []talk) {
	for _, tt := range talks {
		t.Run(tt.rule+" "+tt.what, func(t *testing.T) {
			for _, bystanders := range []bool{false, true} {
				if bystanders && where != crowded {
					continue
				}
				accepted := play(t, variant(tt.script, "=", "!"), where != raw, bystanders)
				refused := play(t, variant(tt.script, "!", "="), where != raw, bystanders)
				if len(refused.refusals) == 0 || slices.Equal(refused.refusals, accepted.refusals) {
					t.Errorf("refusals: %v in the refused conversation, %v in the accepted one", refused.refusals, accepted.refusals)
				}
			}
		})
	}
}

// elsewhere are the rules that this package leaves to others, and to whom.
var elsewhere = map[string]string{
	"OAP-SES-018": "impl/server: it is about the transport",
	"OAP-OBJ-006": "impl/server and the store: content of the answer",
	"OAP-OBJ-007": "the store",
	"OAP-OBJ-009": "impl/server",
	"OAP-OBJ-010": "impl/server and the store",
}

// TestEveryRule has every rule of the session in a table, or in the list above.
func TestEveryRule(t *testing.T) {
	law, err := spec.Load()
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, table := range [][]talk{helloTalks, sessionTalks, aloneTalks, streamTalks, creditTalks, objectTalks} {
		for _, tt := range table {
			if _, ok := law.Rule(tt.rule); !ok {
				t.Errorf("%s does not exist", tt.rule)
			}
			shown[tt.rule] = true
		}
	}
	groups := []string{"OAP-HEL", "OAP-SES", "OAP-STR", "OAP-CRD", "OAP-OBJ", "OAP-ERR"}
	for _, rule := range law.Rules() {
		if !slices.Contains(groups, rule.ID[:len("OAP-SES")]) {
			continue
		}
		if _, other := elsewhere[rule.ID]; shown[rule.ID] == other {
			t.Errorf("%s: in a table: %v, left to others: %v", rule.ID, shown[rule.ID], other)
		}
	}
}

func TestHello(t *testing.T)   { runTalks(t, raw, helloTalks) }
func TestSession(t *testing.T) { runTalks(t, crowded, sessionTalks) }
func TestAlone(t *testing.T)   { runTalks(t, alone, aloneTalks) }
func TestStreams(t *testing.T) { runTalks(t, crowded, streamTalks) }
func TestCredit(t *testing.T)  { runTalks(t, crowded, creditTalks) }
func TestObjects(t *testing.T) { runTalks(t, crowded, objectTalks) }

var helloTalks = []talk{
	{"OAP-HEL-001", "another frame comes first", `
		= > hello
		= < hello
		> start 1 has x
		! < error 0 bad_hello
		! closed
		= < answer 1 "exists":false`},
	{"OAP-HEL-001", "a HELLO with a flag too many", `
		! > hello +APP_E2E
		! < error 0 bad_hello
		! closed
		= > hello
		= < hello`},
	{"OAP-HEL-001", "a HELLO with START", `
		! > hello +START
		! < error 0 bad_hello
		! closed
		= > hello
		= < hello`},
	{"OAP-HEL-001", "a HELLO of another protocol", `
		! > hello proto=257
		! < error 0 bad_hello
		! closed
		= > hello
		= < hello`},
	{"OAP-HEL-001", "a HELLO with a code", `
		! > hello code=200
		! < error 0 bad_hello
		! closed
		= > hello
		= < hello`},
	{"OAP-HEL-001", "nothing for 5 s", `
		wait 4.999999999s
		! wait 1ns
		! < error 0 bad_hello
		! closed
		= > hello
		= < hello`},
	{"OAP-HEL-001", "a HELLO that comes late, before anyone looked at the clock", `
		late 4.999999999s
		! late 1ns
		> hello
		! < error 0 bad_hello
		! closed
		= < hello`},
	{"OAP-HEL-001", "a HELLO but for its last byte", `
		> bytes 00000028 0001 0001 0000 0000 00000000000000000000000000000000 0000 0000000000000000 7b
		wait 4.999999999s
		! wait 1ns
		! < error 0 bad_hello
		! closed
		= > bytes 7d
		= < hello`},
	{"OAP-HEL-002", "a second HELLO", `
		> hello
		< hello
		! > hello corr=9
		! < error 0 bad_hello
		! closed
		= > start 9 has x
		= < answer 9`},
	{"OAP-HEL-002", "a second HELLO takes open streams with it", `
		> hello
		< hello
		> start 3 put 2
		> start 7 put 2
		> data 3 0/2 ab
		! > hello corr=3
		! < error 0 bad_hello
		! closed
		= > end 3
		= < answer 3
		= stored ab
		! absent ab`},
	{"OAP-HEL-002", "REQ with COMP is no HELLO but a frame of a stream", `
		> hello
		< hello
		! > hello corr=9
		! < error 0 bad_hello
		! closed
		= > hello +COMP corr=9 hex=28b52ffd2000010000
		= < error 9 no_such_stream
		= open 0`},
	{"OAP-SES-016", "before HELLO", `
		! > start 1 has x
		! < error 0 bad_hello
		= drain 5s
		= < going-away
		closed`},
	{"OAP-HEL-003", "a duplicate key", `
		! > hello {"ua":"a","ua":"a"}
		! < error 0 bad_hello
		! closed
		= > hello {"ua":"a"}
		= < hello`},
	{"OAP-HEL-003", "no JSON", `
		! > hello payload=x
		! < error 0 bad_hello
		! closed
		= > hello
		= < hello`},
	{"OAP-HEL-004", "an unknown key beside a known one of the wrong type", `
		! > hello {"ua":1}
		! < error 0 bad_hello
		! closed
		= > hello {"UA":1,"later":[{}]}
		= < hello`},
	{"OAP-HEL-005", "lower, within the floor and the ceiling", `
		! > hello {"accept_max_frame":"4096"}
		! < error 0 bad_hello
		= > hello {"accept_max_frame":65536}
		= < hello "max_frame":65536`},
	{"OAP-HEL-005", "never below 4,096", `
		! > hello {"accept_max_frame":0}
		! < error 0 bad_hello
		= > hello {"accept_max_frame":1}
		= < hello "max_frame":4096`},
	{"OAP-HEL-005", "never above 1 MiB", `
		! > hello {"accept_max_frame":1048577.0}
		! < error 0 bad_hello
		= > hello {"accept_max_frame":9007199254740991}
		= < hello "max_frame":1048576`},
	{"OAP-HEL-006", "the client's side", `
		> hello {"accept_max_frame":4096}
		< hello "max_frame":4096
		> start 1 put 4030
		! > data 1 0/4030 x*4030
		! < error 0 oversize
		! closed
		= > data 1 0/4030 x*4000
		= > data 1 4000/4030 x*30
		= > end 1
		= < answer 1`},
	{"OAP-HEL-006", "the node's side", `
		object x*4000
		= > hello {"accept_max_frame":4096}
		= < hello
		! > hello {"accept_max_frame":-4096}
		! < error 0 bad_hello
		= > start 1 get x*4000
		= < data 1 0/4000
		= < data 1 3896/4000
		= < answer 1`},
	{"OAP-HEL-007", "the members of the answer", `
		! > hello payload=[]
		! < error 0 bad_hello
		= > hello corr=77 tenant=3
		= < hello "max_frame":1048576 "max_inflight":64 "versions":[1] "transports":["tcp"] "features":["objects"] "amnesia":true "flags_supported":["REQ","RESP","EVENT","START","END","ACK_REQ","COMP","APP_E2E"]`},
	{"OAP-HEL-008", "above 2^53 - 1", `
		! > hello {"accept_max_frame":9007199254740992}
		! < error 0 bad_hello
		! closed
		= > hello {"accept_max_frame":9007199254740991}
		= < hello`},
	{"OAP-ERR-003", "a frame that the codec rejects", `
		! > bytes 00000025
		! < error 0 malformed
		! closed
		= > hello
		= < hello`},
}
