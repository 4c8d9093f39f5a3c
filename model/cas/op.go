package cas

import (
	"strconv"
	"strings"
)

// Kind names an operation. The names of its actions begin with it, and go on with what came of it: Commit_truncated.
type Kind string

// The operations; the package comment says what each is.
const (
	Begin, Arrive, Commit, Abort Kind = "Begin", "Arrive", "Commit", "Abort"
	Get, Read, EndGet, Has, Stat Kind = "Get", "Read", "EndGet", "Has", "Stat"
	Delete, Durable, Answer      Kind = "Delete", "Durable", "Answer"
	Flip, Scrub                  Kind = "Flip", "Scrub"
	Stop, Crash, Start           Kind = "Stop", "Crash", "Start"
)

// Op is one operation. Writers and readers count from 1; what a kind does not need is 0.
type Op struct {
	Kind            Kind
	Writer, Reader  int
	Object          int // of Get, Has, Stat, Delete and Flip
	Length, Address int // what Begin declares, or None
}

// words are what happens, with the writer, reader and object in braces.
var words = map[Kind]string{
	Begin: "put {w} begins", Arrive: "a unit of put {w} arrives", Commit: "put {w} is ended by its client",
	Abort: "put {w} is cancelled, timed out or cut off", Get: "get {r} of object {o} begins",
	Read: "the bytes of get {r} are verified and delivered", EndGet: "get {r} ends", Has: "has of object {o}",
	Stat: "stat of object {o}", Delete: "client {w} deletes object {o}", Durable: "the sync for the write of client {w} returns",
	Answer: "client {w} is answered", Flip: "a bit of object {o} flips", Scrub: "the scrub checks every object",
	Stop: "the node is shut down", Crash: "the node crashes", Start: "the node is started",
}

// String says in words what happens.
func (op Op) String() string {
	text := strings.NewReplacer("{w}", strconv.Itoa(op.Writer), "{r}", strconv.Itoa(op.Reader), "{o}", strconv.Itoa(op.Object)).
		Replace(words[op.Kind])
	if op.Kind == Begin && op.Length != None {
		text += ", length " + strconv.Itoa(op.Length)
	}
	if op.Kind == Begin && op.Address != None {
		text += ", address " + strconv.Itoa(op.Address)
	}
	return text
}

// Ops is the alphabet of the explorer. A put declares nothing, its length and its address, a length and an address that
// contradict each other, or a length that can never fit.
func Ops(p Params) []Op {
	var ops []Op
	for w := 1; w <= p.Writers; w++ {
		for _, declared := range [][2]int{{None, None}, {p.Last, p.Last}, {p.First, p.Last}, {p.Capacity + 1, None}} {
			ops = append(ops, Op{Kind: Begin, Writer: w, Length: declared[0], Address: declared[1]})
		}
		ops = append(ops, Op{Kind: Arrive, Writer: w}, Op{Kind: Commit, Writer: w}, Op{Kind: Abort, Writer: w})
		if p.Persistent {
			ops = append(ops, Op{Kind: Durable, Writer: w}, Op{Kind: Answer, Writer: w})
		}
	}
	for o := p.First; o <= p.Last; o++ {
		ops = append(ops, Op{Kind: Has, Object: o}, Op{Kind: Stat, Object: o})
		for r := 1; r <= p.Readers; r++ {
			ops = append(ops, Op{Kind: Get, Reader: r, Object: o})
		}
		for w := 1; w <= p.Writers && (w == 1 || p.Persistent); w++ { // with amnesia it does not matter who deletes
			ops = append(ops, Op{Kind: Delete, Writer: w, Object: o})
		}
		if p.Rot {
			ops = append(ops, Op{Kind: Flip, Object: o})
		}
	}
	for r := 1; r <= p.Readers; r++ {
		ops = append(ops, Op{Kind: Read, Reader: r}, Op{Kind: EndGet, Reader: r})
	}
	if p.Rot {
		ops = append(ops, Op{Kind: Scrub})
	}
	return append(ops, Op{Kind: Stop}, Op{Kind: Crash}, Op{Kind: Start})
}
