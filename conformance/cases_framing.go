package conformance

import (
	"encoding/hex"
	"strings"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// framingCases are about OAP-FRM beyond single bad frames, which the vectors cover: when a verdict falls, how the
// bytes are delivered, and what happens behind a rejection.
func framingCases() []Case {
	return []Case{
		{ID: "frm-header-layout", Rules: []string{"OAP-FRM-001", "OAP-FRM-013"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "A HELLO written down byte by byte is understood, and its answer has every field in its place.",
			Run:         frmHeaderLayout},
		{ID: "frm-other-layouts", Rules: []string{"DIV-WIR-001"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "The three other published frame layouts are rejected for what their first bytes mean here.",
			Run:         frmOtherLayouts},
		{ID: "frm-len-at-once", Rules: []string{"OAP-FRM-002", "OAP-FRM-003"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "A bad len is rejected from four bytes, before and after HELLO, while the connection stays open for more.",
			Run:         frmLenAtOnce},
		{ID: "frm-header-at-once", Rules: []string{"OAP-FRM-004", "OAP-FRM-005", "OAP-FRM-006", "OAP-FRM-007", "OAP-FRM-008", "DIV-WIR-002"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "A bad header is rejected from its 38 bytes, although the frame announces more.",
			Run:         frmHeaderAtOnce},
		{ID: "frm-len-limit", Rules: []string{"OAP-FRM-003"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "A frame of exactly max_frame bytes passes the framing, one byte more does not.",
			Run:         frmLenLimit},
		{ID: "frm-order", Rules: []string{"OAP-FRM-009"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "A frame with two mistakes is rejected for the one whose check comes first.",
			Run:         frmOrder},
		{ID: "frm-bytewise", Rules: []string{"OAP-FRM-010"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "HELLO, a put and a get work when every byte is a write of its own.",
			Run:         frmBytewise},
		{ID: "frm-cut-everywhere", Rules: []string{"OAP-FRM-010"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "A START cut at any offset, and continued a moment later, is answered like a whole one.",
			Run:         frmCutEverywhere},
		{ID: "frm-hello-cut", Rules: []string{"OAP-FRM-010", "OAP-HEL-001"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "A HELLO cut at any offset, and continued a moment later, is answered like a whole one.",
			Run:         frmHelloCut},
		{ID: "frm-coalesced", Rules: []string{"OAP-FRM-010"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "HELLO and forty requests in a single write are all answered.",
			Run:         frmCoalesced},
		{ID: "frm-reject-bytewise", Rules: []string{"OAP-FRM-010", "OAP-FRM-009"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "A bad frame gets the same reason when every byte is a write of its own.",
			Run:         frmRejectBytewise},
		{ID: "frm-memory", Rules: []string{"OAP-FRM-011"}, Level: spec.Must, Profile: ProfileFraming, Own: true,
			Description: "Two hundred connections that announce frames of 1 MiB, and send a header each, cost next to nothing.",
			Run:         frmMemory},
		{ID: "frm-nothing-behind", Rules: []string{"OAP-FRM-012", "OAP-SES-015"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "Behind a rejected frame nothing is read: a put in the same write stores nothing and is not answered.",
			Run:         frmNothingBehind},
		{ID: "frm-bystander", Rules: []string{"OAP-FRM-012", "OAP-SES-015"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "A rejection on one connection leaves a put on another as it was.",
			Run:         frmBystander},
		{ID: "frm-before-hello", Rules: []string{"OAP-FRM-012", "OAP-FRM-009"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "A bad frame in the place of HELLO is rejected for its own reason.",
			Run:         frmBeforeHello},
	}
}

// bytesOf is hex in which spaces may stand, for bytes that are meant to be read.
func bytesOf(digits string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(digits, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// header makes a frame header with the given len and alter, and nothing behind it.
func header(length uint32, alter func(*refwire.Frame)) []byte {
	f := refwire.Frame{Flags: req, Corr: 9, Proto: spec.ProtoObjects}
	f.Seal()
	f.Len = length
	if alter != nil {
		alter(&f)
	}
	return refwire.Encode(f)
}

func frmHeaderLayout(t *T) {
	t.Control(func() { t.Hello() })
	c := t.Dial()
	c.Write(bytesOf("00000028 0001 0001 0000 0000 00000000000000000000000000000000 0000 0102030405060708 7b7d"))
	f := c.Frame()
	t.Check(f.Flags == spec.FlagResp && f.Code == spec.CodeOK && f.Proto == spec.ProtoControl && f.Corr == 0x0102030405060708 && f.Tenant == [16]byte{} && f.CapLen == 0,
		"the answer to HELLO on corr_id %#x is %s", uint64(0x0102030405060708), frameText(f))
	_, reason := refwire.DecodeHelloReply(f.Data)
	t.Check(reason == spec.None, "the answer to HELLO can not be read: %s", textOf(f.Data))
}

func frmOtherLayouts(t *T) {
	t.Control(func() { t.Hello() })
	for _, layout := range []struct {
		name, bytes string
		reason      spec.Reason
	}{
		{"u32 length, u8 type, payload", "00000003 01 7b7d", spec.Malformed},
		{"little-endian, u8 version, len without itself", "22000000 01 0100 0000 0000", spec.Oversize},
		{"u32 length and a kind byte", "00000003 00 7b7d", spec.Malformed},
	} {
		c := t.Dial()
		c.tr.remark("layout: %s", layout.name)
		c.Illegal(bytesOf(layout.bytes), layout.reason)
		c.Rejected(layout.reason)
	}
}

func frmLenAtOnce(t *T) {
	t.Control(func() {
		// The twin: four good bytes get no verdict, and the rest makes a frame of them.
		c := t.Dial()
		b := c.Seal(helloFrame([]byte("{}")))
		c.Write(b[:4])
		c.Silent()
		c.Write(b[4:])
		c.Greeted()
	})
	for _, bad := range []struct {
		length string
		reason spec.Reason
	}{
		{"00000000", spec.Malformed}, {"00000001", spec.Malformed}, {"00000025", spec.Malformed},
		{"00100001", spec.Oversize}, {"7fffffff", spec.Oversize}, {"80000000", spec.Oversize}, {"ffffffff", spec.Oversize},
	} {
		for _, greeted := range []bool{false, true} {
			c := t.Dial()
			if greeted {
				c.Handshake()
			}
			c.Illegal(bytesOf(bad.length), bad.reason)
			c.Rejected(bad.reason)
			c.Close()
		}
	}
}

func frmHeaderAtOnce(t *T) {
	t.Control(func() {
		c := t.Hello()
		c.Write(header(1000, nil))
		c.Silent()
	})
	for _, bad := range []struct {
		reason spec.Reason
		alter  func(*refwire.Frame)
	}{
		{spec.BadVersion, func(f *refwire.Frame) { f.Ver = 2 }},
		{spec.BadFlags, func(f *refwire.Frame) { f.Flags |= 1 << 8 }},
		{spec.BadFlags, func(f *refwire.Frame) { f.Flags = spec.FlagReq | spec.FlagResp }},
		{spec.CapOnNonStart, func(f *refwire.Frame) { f.CapLen = 1 }},
		{spec.CapOutOfBounds, func(f *refwire.Frame) { f.Flags, f.CapLen = start, 1000-spec.HeaderLen+1 }},
	} {
		c := t.Hello()
		c.Illegal(header(1000, bad.alter), bad.reason)
		c.Rejected(bad.reason)
		c.Close()
	}
}

func frmLenLimit(t *T) {
	big := refwire.Frame{Flags: req, Corr: 9, Proto: spec.ProtoObjects, Payload: make([]byte, spec.MaxFrame-spec.HeaderLen)}
	t.Control(func() {
		// The framing takes it; the session then says that there is no such stream, and goes on.
		c := t.Hello()
		c.Send(big)
		c.Refused(9, spec.NoSuchStream)
		c.corr = 9
		c.Fence()
	})
	c := t.Hello()
	big.Payload = make([]byte, spec.MaxFrame-spec.HeaderLen+1)
	big.Seal()
	c.Illegal(refwire.Encode(big), spec.Oversize)
	c.Rejected(spec.Oversize)
}

func frmOrder(t *T) {
	t.Control(func() { t.Hello().Fence() })
	const room = 100
	version := func(f *refwire.Frame) { f.Ver = 7 }
	reserved := func(f *refwire.Frame) { f.Flags |= 1 << 15 }
	kind := func(f *refwire.Frame) { f.Flags |= spec.FlagResp }
	capability := func(f *refwire.Frame) { f.CapLen = 5000 } // without START, and beyond the frame
	notZstd := func(f *refwire.Frame) { f.Flags |= start | spec.FlagComp }
	all := func(alter ...func(*refwire.Frame)) func(*refwire.Frame) {
		return func(f *refwire.Frame) {
			for _, a := range alter {
				a(f)
			}
		}
	}
	for _, bad := range []struct {
		length uint32
		reason spec.Reason
		alter  func(*refwire.Frame)
	}{
		{20, spec.Malformed, all(version, reserved, kind, capability)},
		{spec.MaxFrame + 1, spec.Oversize, all(version, reserved, kind, capability)},
		{room, spec.BadVersion, all(version, reserved, kind, capability)},
		{room, spec.BadFlags, all(reserved, capability)},
		{room, spec.BadFlags, all(kind, capability)},
		{room, spec.CapOnNonStart, capability},
		{room, spec.CapOutOfBounds, all(notZstd, capability)},
		{room, spec.BadZstd, notZstd},
		{room, spec.BadVersion, all(version, func(f *refwire.Frame) { f.Corr = 0 })},
	} {
		c := t.Hello()
		c.Illegal(append(header(bad.length, bad.alter), make([]byte, room-spec.HeaderLen)...), bad.reason)
		c.Rejected(bad.reason)
		c.Close()
	}
}

func frmBytewise(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	c := t.Dial()
	c.Trickle(c.Seal(helloFrame([]byte(`{"ua":"bytewise"}`))), 1)
	c.Greeted()
	data := t.Bytes(300)
	t.Owe(AddressOf(data))
	c.Trickle(c.Seal(startFrame(1, 0, refwire.EncodeRequest(put(len(data))))), 1)
	for _, f := range Chunks(1, data, 128, false) {
		c.Trickle(c.Seal(f), 1)
	}
	c.Trickle(c.Seal(endFrame(1)), 1)
	a := c.Answer(1, "put")
	t.Check(a.Obj == AddressOf(data) && a.Created, "the put gives %s", a.Obj)
	c.Holds(data)
}

func frmCutEverywhere(t *T) {
	t.Control(func() { t.Hello().Fence() })
	data := t.Bytes(60)
	c := t.Hello()
	addr, _ := c.Put(data)
	size := len(refwire.Encode(askFrame(1, stat(addr))))
	for cut := 1; cut < size; cut++ {
		corr := c.fresh()
		b := c.Seal(askFrame(corr, stat(addr)))
		c.Write(b[:cut])
		t.Beat()
		c.Write(b[cut:])
		a := c.Answer(corr, "stat")
		t.Check(a.Obj == addr && a.Size == int64(len(data)), "cut at %d: the answer is %v", cut, a)
	}
}

func frmHelloCut(t *T) {
	t.Control(func() { t.Hello() })
	b := t.Dial().Seal(helloFrame([]byte("{}")))
	t.Each(len(b)-1, func(i int) {
		c := t.Dial()
		c.Write(b[:i+1])
		t.Beat()
		c.Write(b[i+1:])
		c.Greeted()
		c.Close()
	})
}

func frmCoalesced(t *T) {
	t.Control(func() { t.Hello().Fence() })
	c := t.Dial()
	frames := []refwire.Frame{helloFrame([]byte("{}"))}
	var corrs []uint64
	for range 40 {
		corrs = append(corrs, c.fresh())
		frames = append(frames, askFrame(c.corr, has(t.Absent())))
	}
	c.Send(frames...)
	c.Greeted()
	c.Each(corrs, func(f refwire.Frame, corr uint64) {
		t.Check(!c.answered(f, corr, "has").Exists, "an object exists that nobody stored")
	})
	c.Fence()
}

func frmRejectBytewise(t *T) {
	t.Control(func() {
		c := t.Hello()
		c.Trickle(c.Seal(askFrame(c.fresh(), has(t.Absent()))), 1)
		c.Answer(1, "has")
	})
	for _, bad := range []struct {
		bytes  []byte
		reason spec.Reason
	}{
		{bytesOf("00000025"), spec.Malformed},
		{bytesOf("ffffffff"), spec.Oversize},
		{header(60, func(f *refwire.Frame) { f.Ver = 0x0100 }), spec.BadVersion},
		{header(60, func(f *refwire.Frame) { f.Flags |= 1 << 12 }), spec.BadFlags},
		{header(60, func(f *refwire.Frame) { f.Flags = 0 }), spec.BadFlags},
		{header(60, func(f *refwire.Frame) { f.CapLen = 2 }), spec.CapOnNonStart},
		{header(60, func(f *refwire.Frame) { f.Flags, f.CapLen = start, 23 }), spec.CapOutOfBounds},
		{append(header(60, func(f *refwire.Frame) { f.Flags |= spec.FlagComp }), make([]byte, 22)...), spec.BadZstd},
	} {
		c := t.Hello()
		c.Verify(bad.bytes, bad.reason)
		c.Trickle(bad.bytes, 1)
		c.Rejected(bad.reason)
		c.Close()
	}
}

func frmMemory(t *T) {
	const conns, slack = 200, 48 << 20
	node := t.Spawn()
	t.Control(func() { node.Hello().Fence() })
	all := make([]*Conn, conns)
	for i := range all {
		all[i] = node.Hello()
	}
	before := t.residentBytes(node)
	for _, c := range all {
		c.Write(header(spec.MaxFrame, nil))
	}
	node.Hello().Fence()
	grown := t.residentBytes(node) - before
	t.Check(grown < slack, "%d connections that announced 1 MiB each made the node grow by %d KiB", conns, grown>>10)
	t.Notef("grew by %d KiB", grown>>10)
	for i, c := range all {
		c.t.Check(c.ending() == nil, "connection %d was ended: %v", i, c.ending())
	}
}

func frmNothingBehind(t *T) {
	data := t.Bytes(64)
	t.Owe(AddressOf(data))
	whole := func(c *Conn) []byte {
		frames := append([]refwire.Frame{startFrame(1, 0, refwire.EncodeRequest(put(len(data))))}, Chunks(1, data, 64, false)...)
		return c.Seal(append(frames, endFrame(1))...)
	}
	t.Control(func() {
		c := t.Hello()
		c.Write(whole(c))
		c.Answer(1, "put")
		c.Answer(c.Ask(del(AddressOf(data))), "delete")
	})
	c := t.Hello()
	b := whole(c)
	c.Write(append(header(spec.HeaderLen, func(f *refwire.Frame) { f.Ver = 3 }), b...))
	c.Rejected(spec.BadVersion)
	t.Hello().Lacks(AddressOf(data))
}

func frmBystander(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := t.Bytes(100)
	t.Owe(AddressOf(data))
	other := t.Hello()
	corr := other.Begin(put(len(data)), 0)
	chunks := Chunks(corr, data, 50, false)
	other.Send(chunks[0])
	bad := t.Hello()
	bad.Illegal(header(spec.HeaderLen, func(f *refwire.Frame) { f.Flags = 0 }), spec.BadFlags)
	bad.Rejected(spec.BadFlags)
	other.Send(chunks[1], endFrame(corr))
	a := other.Answer(corr, "put")
	t.Check(a.Obj == AddressOf(data), "the put beside a rejection gives %s", a.Obj)
	other.Holds(data)
}

func frmBeforeHello(t *T) {
	t.Control(func() { t.Hello() })
	for _, bad := range []struct {
		alter  func(*refwire.Frame)
		reason spec.Reason
	}{
		{func(f *refwire.Frame) { f.Ver = 0 }, spec.BadVersion},
		{func(f *refwire.Frame) { f.Flags = 1 << 9 }, spec.BadFlags},
		{func(f *refwire.Frame) { f.CapLen = 1 }, spec.CapOnNonStart},
	} {
		c := t.Dial()
		c.Illegal(header(spec.HeaderLen, bad.alter), bad.reason)
		c.Rejected(bad.reason)
		c.Close()
	}
	// The same place, nothing wrong with the frame: only then it counts that it is no HELLO.
	c := t.Dial()
	c.Send(askFrame(1, has(t.Absent())))
	c.Rejected(spec.BadHello)
}
