package conformance

import (
	"bytes"
	"slices"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// zstdCases are about OAP-ZST beyond single bad frames, which the vectors cover: that COMP works, and its bounds.
func zstdCases() []Case {
	return []Case{
		{ID: "zst-start", Rules: []string{"OAP-ZST-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "A START with COMP is answered like the same START without, and the connection goes on behind a bad one's twin.",
			Run:         zstStart},
		{ID: "zst-body", Rules: []string{"CAS-ADR-004", "OAP-ZST-001"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "DATA with COMP stores the decoded bytes, under their address.",
			Run:         zstBody},
		{ID: "zst-ratio-edge", Rules: []string{"OAP-ZST-004"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileFraming,
			Description: "A small payload may expand to 10,240 bytes and not to one more.",
			Run:         zstRatioEdge},
		{ID: "zst-absolute-edge", Rules: []string{"OAP-ZST-004", "DIV-WIR-003"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "A large payload may expand to 8,388,608 bytes and not to one more, although the ratio would allow it.",
			Run:         zstAbsoluteEdge},
		{ID: "zst-announced", Rules: []string{"OAP-ZST-003"}, Level: spec.Must, Profile: ProfileFraming,
			Description: "A content size above the cap, or a window above 8 MiB, is refused although the content is small.",
			Run:         zstAnnounced},
		{ID: "zst-bombs", Rules: []string{"OAP-ZST-004", "OAP-FRM-011"}, Level: spec.Must, Profile: ProfileFraming, Own: true,
			Description: "Fifty bombs of up to 1 GiB, announced or not, are refused and leave the memory of the node as it was.",
			Run:         zstBombs},
	}
}

// compFrame is a START|END whose payload is the zstd frame z.
func compFrame(corr uint64, z []byte) refwire.Frame {
	return startFrame(corr, spec.FlagEnd|spec.FlagComp, z)
}

func zstStart(t *T) {
	t.Control(func() { t.Hello().Fence() })
	c := t.Hello()
	for _, z := range [][]byte{
		zstdFrame(zwindow128K, -1, zstored(refwire.EncodeRequest(has(t.Absent())))...),
		zstdFrame(zwindow8M, int64(len(refwire.EncodeRequest(has(t.Absent())))), zstored(refwire.EncodeRequest(has(t.Absent())))...),
	} {
		corr := c.fresh()
		c.Send(compFrame(corr, z))
		a := c.Answer(corr, "has")
		t.Check(!a.Exists, "an object exists that nobody stored")
	}
	bad := compFrame(c.fresh(), append(zstdFrame(zwindow128K, -1, zblock{raw: []byte("{}")}), 0))
	bad.Seal()
	c.Illegal(refwire.Encode(bad), spec.BadZstd)
	c.Rejected(spec.BadZstd)
}

func zstBody(t *T) {
	t.Control(func() { t.Hello().RoundTrip() })
	data := slices.Concat(t.Bytes(1000), bytes.Repeat([]byte("micronode "), 3000), t.Bytes(1000))
	c := t.Hello()
	t.Owe(AddressOf(data))
	corr := c.Begin(put(len(data)), 0)
	for _, f := range Chunks(corr, data, 8000, false) {
		f.Flags |= spec.FlagComp
		f.Payload = zstdFrame(zwindow128K, int64(len(f.Payload)), zstored(f.Payload)...)
		c.Send(f)
	}
	c.Send(endFrame(corr))
	a := c.Answer(corr, "put")
	t.Check(a.Obj == AddressOf(data), "the put gives %s instead of the address of the decoded bytes", a.Obj)
	c.Holds(data)

	// A body that only exists decoded: nine thousand times the same byte.
	run := bytes.Repeat([]byte{t.Bytes(1)[0]}, 9001)
	t.Exclusive("run of 9001")
	t.Owe(AddressOf(run))
	corr = c.Begin(putAs(AddressOf(run), len(run)), 0)
	whole := refwire.EncodeData(refwire.Data{Obj: AddressOf(run), HasObj: true, TotalLen: int64(len(run)), Body: run})
	head := whole[:len(whole)-len(run)]
	c.Send(refwire.Frame{Flags: req | spec.FlagComp, Proto: spec.ProtoObjects, Corr: corr,
		Payload: zstdFrame(zwindow128K, -1, append(zstored(head), zrun(run[0], len(run))...)...)}, endFrame(corr))
	a = c.Answer(corr, "put")
	t.Check(a.Obj == AddressOf(run), "the put gives %s instead of the address of the decoded bytes", a.Obj)
	c.Holds(run)
}

// padded is a has request whose decoded payload has exactly n bytes, the most of them white space.
func padded(t *T, n int) []byte {
	request := refwire.EncodeRequest(has(t.Absent()))
	return zstdFrame(zwindow128K, -1, append(zstored(request), zrun(' ', n-len(request))...)...)
}

func zstRatioEdge(t *T) {
	const edge = spec.MaxRatio * spec.RatioFloor
	t.Control(func() {
		c := t.Hello()
		c.Send(compFrame(c.fresh(), padded(t, edge)))
		c.Answer(c.corr, "has")
	})
	c := t.Hello()
	f := compFrame(c.fresh(), padded(t, edge+1))
	f.Seal()
	c.Illegal(refwire.Encode(f), spec.DecompressCap)
	c.Rejected(spec.DecompressCap)
}

func zstAbsoluteEdge(t *T) {
	expanding := func(n int) refwire.Frame {
		stored := make([]byte, spec.MaxDecoded/spec.MaxRatio+1024)
		z := zstdFrame(zwindow8M, -1, append(zstored(stored), zrun(0, n-len(stored))...)...)
		return refwire.Frame{Flags: req | spec.FlagComp, Proto: spec.ProtoObjects, Corr: 9, Payload: z}
	}
	t.Control(func() {
		c := t.Hello()
		c.pulse()
		// The framing takes it; the session then says that there is no such stream.
		c.Send(expanding(spec.MaxDecoded))
		c.Refused(9, spec.NoSuchStream)
	})
	c := t.Hello()
	f := expanding(spec.MaxDecoded + 1)
	f.Seal()
	c.Illegal(refwire.Encode(f), spec.DecompressCap)
	c.Rejected(spec.DecompressCap)
}

func zstAnnounced(t *T) {
	request := zstored(refwire.EncodeRequest(has(t.Absent())))
	t.Control(func() {
		c := t.Hello()
		c.Send(compFrame(c.fresh(), zstdFrame(zwindow8M, -1, request...)))
		c.Answer(c.corr, "has")
	})
	for _, z := range [][]byte{
		zstdFrame(zwindow8M+1, -1, request...),
		zstdFrame(31<<3|7, -1, request...),
		zstdFrame(zwindow128K, spec.MaxRatio*spec.RatioFloor+1, request...),
		zstdFrame(zwindow128K, 1<<62, request...),
	} {
		c := t.Hello()
		f := compFrame(c.fresh(), z)
		f.Seal()
		c.Illegal(refwire.Encode(f), spec.DecompressCap)
		c.Rejected(spec.DecompressCap)
		c.Close()
	}
}

func zstBombs(t *T) {
	const slack = 64 << 20
	node := t.Spawn()
	t.Control(func() {
		c := node.Hello()
		c.Send(compFrame(c.fresh(), padded(t, 5000)))
		c.Answer(c.corr, "has")
	})
	bombs := [][]byte{
		zstdFrame(zwindow128K, -1, zrun(0, 1<<20)...),
		zstdFrame(zwindow8M, -1, zrun(0, 64<<20)...),
		zstdFrame(zwindow8M, -1, zrun(0, 1<<30)...),
		zstdFrame(zwindow8M, 1<<30, zrun(0, 1<<30)...),
		zstdFrame(zwindow8M, -1, append(zstored(make([]byte, 900<<10)), zrun(0, 1<<30)...)...),
	}
	frames := make([][]byte, len(bombs))
	for i, z := range bombs {
		frames[i] = sealed(compFrame(1, z))
		node.Hello().Verify(frames[i], spec.DecompressCap)
	}
	before := t.residentBytes(node)
	for i := range 50 {
		c := node.Hello()
		c.Write(frames[i%len(frames)])
		c.Rejected(spec.DecompressCap)
		c.Close()
	}
	grown := t.residentBytes(node) - before
	t.Check(grown < slack, "fifty bombs made the node grow by %d KiB", grown>>10)
	t.Notef("grew by %d KiB", grown>>10)
}
