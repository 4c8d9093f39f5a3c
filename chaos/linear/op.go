package linear

import (
	"fmt"
	"slices"
	"strings"

	"github.com/rustyonions/micronode/spec"
)

// Kind is an operation on one address, in the law's words, or Restart.
type Kind string

// The kinds. Restart is a crash or an orderly end of the node and its next start; it meets every address.
const (
	Put     Kind = "put"
	Get     Kind = "get"
	Has     Kind = "has"
	Stat    Kind = "stat"
	Delete  Kind = "delete"
	Restart Kind = "restart"
)

// Kinds lists them all.
func Kinds() []Kind { return []Kind{Put, Get, Has, Stat, Delete, Restart} }

// Fault is what is wrong with a put, on purpose. A put with a fault may not succeed.
type Fault string

// The faults.
const (
	Sound       Fault = ""
	WrongDigest Fault = "wrong_digest" // declares an address that its bytes do not have (CAS-PUT-004)
	TooLong     Fault = "too_long"     // sends more bytes than it declares (CAS-PUT-008)
	TooShort    Fault = "too_short"    // sends fewer bytes than it declares (CAS-PUT-009)
	Cancelled   Fault = "cancelled"    // is given up by its client before its end (CAS-PUT-005)
)

// Faults lists them all, Sound first.
func Faults() []Fault { return []Fault{Sound, WrongDigest, TooLong, TooShort, Cancelled} }

// Answer is how an operation ended: one of the constants below, or the text of a spec.Reason where it was refused.
type Answer string

// The answers.
const (
	Created    Answer = "created"     // put: the object was new (CAS-PUT-003)
	Existed    Answer = "existed"     // put: it was not
	Bytes      Answer = "bytes"       // get: exactly the bytes of the object, read to the end
	OtherBytes Answer = "other_bytes" // get: anything else; no law permits it
	True       Answer = "true"        // has
	False      Answer = "false"       // has
	Size       Answer = "size"        // stat: the length of the object
	OtherSize  Answer = "other_size"  // stat: anything else; no law permits it
	Deleted    Answer = "deleted"     // delete
	GivenUp    Answer = "given_up"    // put with the fault Cancelled: its client ended it, and knows that it did
	Restarted  Answer = "restarted"   // restart

	// Lost says that no answer arrived: the operation took effect once and whole, or not at all, and when is not
	// known either (CAS-LIN-003).
	Lost Answer = "lost"
	// Forgotten says that there was an answer but nobody claims anything about it. Minimise makes such operations.
	Forgotten Answer = "forgotten"
)

// answers says which answers besides reasons, Lost and Forgotten an operation can have at all.
var answers = map[Kind][]Answer{
	Put:     {Created, Existed, GivenUp},
	Get:     {Bytes, OtherBytes},
	Has:     {True, False},
	Stat:    {Size, OtherSize},
	Delete:  {Deleted},
	Restart: {Restarted},
}

// Refusal says that a is a reason of the law.
func (a Answer) Refusal() bool { return spec.Reason(a).Known() }

// open says that a claims nothing.
func (a Answer) open() bool { return a == Lost || a == Forgotten }

// fits says that a can be an answer to kind.
func (a Answer) fits(kind Kind) bool {
	return slices.Contains(answers[kind], a) || a.open() || a.Refusal() && kind != Restart
}

// Request is what a client asks for.
type Request struct {
	Kind   Kind  `json:"op"`
	Object int   `json:"object"` // index into the objects of the history; 0 in a restart, which meets them all
	Fault  Fault `json:"fault,omitempty"`
	// Declared and Sized say that a put declares its address and its length.
	Declared bool `json:"declared,omitempty"`
	Sized    bool `json:"sized,omitempty"`
	// Pieces is in how many pieces a body is sent or read, with other clients let in before each. 0 is one piece and no
	// pause at all.
	Pieces int `json:"pieces,omitempty"`
}

// String is the request in words.
func (r Request) String() string {
	words := []string{string(r.Kind)}
	if r.Fault != Sound {
		words = append(words, string(r.Fault))
	}
	if r.Declared {
		words = append(words, "with address")
	}
	if r.Sized {
		words = append(words, "with length")
	}
	if r.Pieces > 1 {
		words = append(words, fmt.Sprintf("in %d pieces", r.Pieces))
	}
	return strings.Join(words, " ")
}

// Op is one operation of a history. Call and Return are nanoseconds of one monotonic clock: the operation took effect
// between the two, both included, if it took effect. Return means nothing where the answer is Lost.
type Op struct {
	Request
	Client  int    `json:"client"`
	Surface string `json:"surface,omitempty"` // how the client reached the store, for people
	Call    int64  `json:"call"`
	Return  int64  `json:"return"`
	Answer  Answer `json:"answer"`
}

// String is the operation in words.
func (o Op) String() string {
	on := ""
	if o.Kind != Restart {
		on = fmt.Sprintf(" of object %d", o.Object)
	}
	over := ""
	if o.Surface != "" {
		over = " over " + o.Surface
	}
	return fmt.Sprintf("client %d%s: %s%s -> %s", o.Client, over, o.Request, on, o.Answer)
}
