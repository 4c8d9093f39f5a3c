package audit

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// Event is what happened (CAP-AUD-001). The zero value is none, and no record has it.
type Event uint8

// The events.
const (
	Started Event = iota + 1
	Denied
	Issued
	Revoked
	KeyRevoked
	Rotated
	Readiness
	ConfigChanged
	IntegrityFailed
	Missed // only the log itself writes it (CAP-AUD-010)
	Stopping
)

var events = [...]string{"", "started", "denied", "issued", "revoked", "key-revoked", "rotated", "readiness", "config", "integrity", "missed", "stopping"}

// String is the value of the member `event`; "" for what is no event.
func (e Event) String() string { return name(events[:], uint8(e)) }

// Surface is what the peer came in through. The zero value is none.
type Surface uint8

// The surfaces.
const (
	NoSurface Surface = iota
	SurfaceHTTP
	SurfaceHTTPS
	SurfaceOAP
	SurfaceOAPTLS
	SurfaceUnix
)

var surfaces = [...]string{"", "http", "https", "oap", "oap+tls", "unix"}

// String is the value of the member `surface`; "" for none.
func (s Surface) String() string { return name(surfaces[:], uint8(s)) }

// State is a state of the node (RDY-STA). The zero value is none.
type State uint8

// The states.
const (
	NoState State = iota
	StateStarting
	StateReady
	StateDegraded
	StateDraining
	StateStopped
)

var states = [...]string{"", "starting", "ready", "degraded", "draining", "stopped"}

// String is the value of the members `from` and `to`; "" for none.
func (s State) String() string { return name(states[:], uint8(s)) }

// ParseState finds the state with this name; "" and unknown names have none.
func ParseState(text string) (State, bool) {
	i, ok := number(states[:], text)
	return State(i), ok
}

func name(list []string, i uint8) string {
	if int(i) < len(list) {
		return list[i]
	}
	return ""
}

func number(list []string, text string) (uint8, bool) {
	i := slices.Index(list, text)
	return uint8(max(i, 0)), i > 0
}

// Peer is who was at the other end, as far as a record may say it: a network or a uid (CAP-AUD-004). The zero value is
// none. It has no room for the rest of an address.
type Peer struct {
	kind  peerKind
	bytes [6]byte
}

type peerKind uint8

const (
	noPeer peerKind = iota
	peerIPv4
	peerIPv6
	peerUID
)

const (
	bitsIPv4 = 24
	bitsIPv6 = 48
)

// PeerAddr keeps the first 24 bits of an IPv4 address and the first 48 of an IPv6 address. An IPv4 address inside an
// IPv6 one counts as itself; the zero Addr gives the zero Peer.
func PeerAddr(a netip.Addr) (p Peer) {
	switch a = a.Unmap(); {
	case a.Is4():
		full := a.As4()
		p.kind = peerIPv4
		copy(p.bytes[:], full[:bitsIPv4/8])
	case a.Is6():
		full := a.As16()
		p.kind = peerIPv6
		copy(p.bytes[:], full[:bitsIPv6/8])
	}
	return p
}

// PeerUID is the peer of a Unix socket.
func PeerUID(uid uint32) Peer {
	p := Peer{kind: peerUID}
	binary.BigEndian.PutUint32(p.bytes[:], uid)
	return p
}

// String is the value of the member `peer`; "" for none.
func (p Peer) String() string { return string(p.append(nil)) }

func (p Peer) append(dst []byte) []byte {
	switch p.kind {
	case peerIPv4:
		return netip.PrefixFrom(netip.AddrFrom4([4]byte(p.bytes[:4])), bitsIPv4).AppendTo(dst)
	case peerIPv6:
		var full [16]byte
		copy(full[:], p.bytes[:])
		return netip.PrefixFrom(netip.AddrFrom16(full), bitsIPv6).AppendTo(dst)
	case peerUID:
		return strconv.AppendUint(append(dst, "uid:"...), uint64(binary.BigEndian.Uint32(p.bytes[:])), 10)
	}
	return dst
}

const maxCorr = 64

// CorrID is a correlation id. The zero value is none.
type CorrID struct {
	n    uint8
	text [maxCorr]byte
}

// CorrText takes an id over that HTTP-COR-001 allows; every other text gives ErrRecord.
func CorrText(text string) (c CorrID, err error) {
	if len(text) < 1 || len(text) > maxCorr {
		return CorrID{}, ErrRecord
	}
	for i := range len(text) {
		switch b := text[i]; {
		case 'a' <= b && b <= 'z', 'A' <= b && b <= 'Z', '0' <= b && b <= '9', b == '.', b == '_', b == '-':
		default:
			return CorrID{}, ErrRecord
		}
	}
	c.n = uint8(copy(c.text[:], text))
	return c, nil
}

// CorrUint is the corr_id of OAP/1 in decimal.
func CorrUint(n uint64) (c CorrID) {
	c.n = uint8(len(strconv.AppendUint(c.text[:0], n, 10)))
	return c
}

// String is the value of the member `corr_id`; "" for none.
func (c CorrID) String() string { return string(c.text[:c.n]) }

// OpSet is a set of operations of CAP-ROL-001: bit i stands for spec.Ops()[i].
type OpSet uint32

// OpsOf is the set of those of list that are known.
func OpsOf(list []spec.Op) (set OpSet) {
	for i, op := range allOps {
		if slices.Contains(list, op) {
			set |= 1 << i
		}
	}
	return set
}

// allOps is read-only.
var allOps = spec.Ops()

// String is the value of the member `ops`: the names in the order of the law, with + between them.
func (s OpSet) String() string {
	var names []string
	for i, op := range allOps {
		if s&(1<<i) != 0 {
			names = append(names, string(op))
		}
	}
	return strings.Join(names, "+")
}

func parseOps(text string) (OpSet, bool) {
	var list []spec.Op
	for name := range strings.SplitSeq(text, "+") {
		list = append(list, spec.Op(name))
	}
	return OpsOf(list), true // encoding again finds what is not known
}

// Record is one event. Its zero fields are left out of the encoding, except Time. The package comment says why no
// secret and no payload can get into one (CAP-AUD-004).
type Record struct {
	// Time is kept in milliseconds. Zero makes Append ask the clock of the log.
	Time time.Time
	// Event is never zero.
	Event Event
	// Reason is a reason of the law or None. Denied needs one.
	Reason spec.Reason
	// Surface is what the peer came in through.
	Surface Surface
	// Op is an operation of CAP-ROL-001 or "".
	Op spec.Op
	// Peer is who was at the other end.
	Peer Peer
	// CorrID is the correlation id of the request.
	CorrID CorrID
	// KeyID is the id of a root key, if HasKey.
	KeyID  [8]byte
	HasKey bool
	// CapID is the id of a capability, if HasCap.
	CapID  [16]byte
	HasCap bool
	// By is the id of the capability that asked for it, if HasBy.
	By    [16]byte
	HasBy bool
	// Granted are the operations of an issued capability.
	Granted OpSet
	// Expires is the last second of an issued capability, since 1970; 0 is left out.
	Expires int64
	// From and To are what the node changed from and to. Readiness needs both.
	From, To State
	// N is how many events this record stands for; 0 is left out. Missed needs one.
	N uint64
}
