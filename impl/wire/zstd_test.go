package wire

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"runtime"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/rustyonions/micronode/spec"
)

// compressed is p as one zstd frame, the way a sender would make it.
func compressed(t testing.TB, p []byte) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	return enc.EncodeAll(p, nil)
}

// sampleText is n bytes that compress to about a third, the same in every run.
func sampleText(n int) []byte {
	words := []string{"frame ", "stream ", "object ", "window ", "credit ", "digest ", "tenant ", "offset\n"}
	p := make([]byte, 0, n+8)
	for x := uint32(1); len(p) < n; {
		x = x*1664525 + 1013904223
		p = append(p, words[x>>29]...)
		p = append(p, 'a'+byte(x>>24%26))
	}
	return p[:n]
}

// Block types of RFC 8878.
const (
	rawBlock = iota
	rleBlock
	compressedBlock
	reservedBlock
)

// block is one zstd block with a header that says size, whatever content is.
func block(last bool, kind, size int, content ...byte) []byte {
	head := uint32(size)<<3 | uint32(kind)<<1
	if last {
		head |= 1
	}
	return append([]byte{byte(head), byte(head >> 8), byte(head >> 16)}, content...)
}

// raw is a block that holds p itself.
func raw(last bool, p []byte) []byte { return block(last, rawBlock, len(p), p...) }

// run is a block of n times 'r', in four bytes.
func run(last bool, n int) []byte { return block(last, rleBlock, n, 'r') }

// runs is as many run blocks as it takes for n bytes, the last one marked.
func runs(n int) []byte {
	var b []byte
	for ; n > maxZstdBlock; n -= maxZstdBlock {
		b = append(b, run(false, maxZstdBlock)...)
	}
	return append(b, run(true, n)...)
}

// Frame headers: window is the window byte, 0x38 is 128 KiB, 0x68 is 8 MiB.
func windowed(window byte) []byte { return []byte{0x28, 0xb5, 0x2f, 0xfd, 0, window} }

// sized is a header with a window of 128 KiB that announces a content size in 8 bytes.
func sized(n uint64) []byte {
	return binary.LittleEndian.AppendUint64([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xc0, 0x38}, n)
}

// single is the header of a single segment with a content size in 4 bytes.
func single(n uint32) []byte {
	return binary.LittleEndian.AppendUint32([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xa0}, n)
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

// stuffed is a frame of exactly encoded bytes, without announced size, that decodes to exactly decoded bytes:
// raw blocks as filling, then runs.
func stuffed(encoded, decoded int) []byte {
	b := windowed(0x38)
	count := decoded/maxZstdBlock + 1
	for left := encoded - len(b) - 4*count; left > 0; {
		n := min(left-3, maxZstdBlock)
		if over := left - 3 - n; over > 0 && over < 4 {
			n -= 4 // room for one more header
		}
		b = append(b, raw(false, sampleText(n))...)
		left -= 3 + n
		decoded -= n
	}
	for i := range count {
		n := min(decoded, maxZstdBlock)
		b = append(b, run(i == count-1, n)...)
		decoded -= n
	}
	return b
}

// TestInflateAccepts: what one zstd frame may look like.
func TestInflateAccepts(t *testing.T) {
	text := sampleText(1000)
	tests := map[string]struct{ in, want []byte }{
		"the empty frame of the law": {unhex(t, "28b52ffd 2000 010000"), nil},
		"empty, windowed":            {join(windowed(0), raw(true, nil)), nil},
		"one raw block":              {join(windowed(0x38), raw(true, text)), text},
		"one run":                    {join(windowed(0x38), run(true, 500)), bytes.Repeat([]byte("r"), 500)},
		"many blocks":                {join(windowed(0x38), raw(false, text), raw(false, nil), run(false, 2), raw(true, nil)), append(bytes.Clone(text), 'r', 'r')},
		"announced size":             {join(sized(1000), raw(true, text)), text},
		"single segment":             {join(single(1000), raw(true, text)), text},
		"size in 2 bytes":            {join(unhex(t, "28b52ffd 60 e802"), raw(true, text)), text},
		"size in 1 byte":             {join(unhex(t, "28b52ffd 20 05"), raw(true, text[:5])), text[:5]},
		"unused bit set":             {join(unhex(t, "28b52ffd 10 38"), raw(true, text)), text},
		"window of 8 MiB":            {join(windowed(0x68), raw(true, text)), text},
		"block as long as window":    {join(windowed(0), run(true, 1024)), bytes.Repeat([]byte("r"), 1024)},
		"with checksum":              {compressed(t, text), text},
		"larger":                     {compressed(t, sampleText(200_000)), sampleText(200_000)},
		"at ten times":               {stuffed(5000, 50_000), nil},
		"at the floor":               {join(windowed(0x38), run(true, 10_240)), bytes.Repeat([]byte("r"), 10_240)},
		"at 8 MiB":                   {stuffed(900_000, spec.MaxDecoded), nil},
	}
	for name, tc := range tests {
		out, r := inflate(tc.in)
		if r != spec.None {
			t.Errorf("%s: %q", name, r)
			continue
		}
		switch name {
		case "at ten times":
			if len(tc.in)*10 != len(out.data) {
				t.Errorf("%s: %d bytes from %d", name, len(out.data), len(tc.in))
			}
		case "at 8 MiB":
			if len(out.data) != 8<<20 {
				t.Errorf("%s: %d bytes", name, len(out.data))
			}
		default:
			if !bytes.Equal(out.data, tc.want) {
				t.Errorf("%s: %d bytes, or others than went in", name, len(out.data))
			}
		}
		data := out.data
		out.wipe()
		if dirty(data) > 0 {
			t.Errorf("%s: wipe leaves bytes", name)
		}
	}
}

// TestInflateRejects breaks one rule of OAP-ZST at a time.
func TestInflateRejects(t *testing.T) {
	text := sampleText(1000)
	good := compressed(t, text)
	corrupt := block(true, compressedBlock, 6, 2, 0, 0, 0, 0, 0) // compressed literals without a table
	tests := []struct {
		name string
		rule string
		in   []byte
		want spec.Reason
	}{
		{"nothing", "OAP-ZST-001", nil, spec.BadZstd},
		{"not zstd", "OAP-ZST-001", text, spec.BadZstd},
		{"gzip", "OAP-ZST-001", unhex(t, "1f8b0800000000000003030000000000000000"), spec.BadZstd},
		{"wrong magic", "OAP-ZST-001", edited(good, 0, 0x29), spec.BadZstd},
		{"skippable frame", "OAP-ZST-001", unhex(t, "502a4d18 01000000 00"), spec.BadZstd},
		{"skippable, then good", "OAP-ZST-001", join(unhex(t, "502a4d18 01000000 00"), good), spec.BadZstd},
		{"good, then skippable", "OAP-ZST-001", join(good, unhex(t, "502a4d18 01000000 00")), spec.BadZstd},
		{"two frames", "OAP-ZST-001", join(good, good), spec.BadZstd},
		{"trailing byte", "OAP-ZST-001", append(bytes.Clone(good), 0), spec.BadZstd},
		{"dictionary id in 1 byte", "OAP-ZST-001", join(unhex(t, "28b52ffd 01 38 07"), raw(true, text)), spec.BadZstd},
		{"dictionary id in 2 bytes", "OAP-ZST-001", join(unhex(t, "28b52ffd 02 38 0700"), raw(true, text)), spec.BadZstd},
		{"dictionary id in 4 bytes", "OAP-ZST-001", join(unhex(t, "28b52ffd 03 38 07000000"), raw(true, text)), spec.BadZstd},
		{"dictionary id 0", "OAP-ZST-001", join(unhex(t, "28b52ffd 01 38 00"), raw(true, text)), spec.BadZstd},
		{"dictionary id 0 that reads like blocks", "OAP-ZST-001", twoFaced(), spec.BadZstd},
		{"reserved bit", "OAP-ZST-001", join(unhex(t, "28b52ffd 08 38"), raw(true, text)), spec.BadZstd},
		{"no last block", "OAP-ZST-001", join(windowed(0x38), raw(false, text)), spec.BadZstd},
		{"no block", "OAP-ZST-001", windowed(0x38), spec.BadZstd},
		{"block cut", "OAP-ZST-001", join(windowed(0x38), block(true, rawBlock, 11, text[:10]...)), spec.BadZstd},
		{"run without its byte", "OAP-ZST-001", join(windowed(0x38), block(true, rleBlock, 11)), spec.BadZstd},
		{"reserved block", "OAP-ZST-002", join(windowed(0x38), block(true, reservedBlock, 1, 1)), spec.BadZstd},
		{"raw above 128 KiB", "OAP-ZST-002", join(windowed(0x40), raw(true, sampleText(maxZstdBlock+1))), spec.BadZstd},
		{"run above 128 KiB", "OAP-ZST-002", join(windowed(0x40), raw(false, sampleText(20_000)), run(true, maxZstdBlock+1)), spec.BadZstd},
		{"raw above window", "OAP-ZST-002", join(windowed(0), raw(true, sampleText(1025))), spec.BadZstd},
		{"run above window", "OAP-ZST-002", join(windowed(0), run(true, 1025)), spec.BadZstd},
		{"run above single segment", "OAP-ZST-002", join(single(10), run(true, 11)), spec.BadZstd},
		{"compressed above window", "OAP-ZST-002", join(single(5), block(true, compressedBlock, 6, text[:6]...)), spec.BadZstd},
		{"announces above cap", "OAP-ZST-003", join(sized(10_241), raw(true, text)), spec.DecompressCap},
		{"announces 2^64-1", "OAP-ZST-003", join(sized(1<<64-1), raw(true, text)), spec.DecompressCap},
		{"single above cap", "OAP-ZST-003", join(single(10_241), raw(true, text)), spec.DecompressCap},
		{"window 9 MiB", "OAP-ZST-003", join(windowed(0x69), raw(true, text)), spec.DecompressCap},
		{"window 12 MiB", "OAP-ZST-003", join(windowed(0x6c), raw(true, text)), spec.DecompressCap},
		{"window at its largest", "OAP-ZST-003", join(windowed(0xff), raw(true, text)), spec.DecompressCap},
		{"above ten times", "OAP-ZST-004", stuffed(5000, 50_001), spec.DecompressCap},
		{"above the floor", "OAP-ZST-004", join(windowed(0x38), run(true, 10_241)), spec.DecompressCap},
		{"above 8 MiB", "OAP-ZST-004", stuffed(900_000, spec.MaxDecoded+1), spec.DecompressCap},
		{"corrupt block", "OAP-ZST-005", join(windowed(0x38), corrupt), spec.BadZstd},
		{"less than announced", "OAP-ZST-005", join(sized(1001), raw(true, text)), spec.BadZstd},
		{"more than announced", "OAP-ZST-005", join(sized(999), raw(true, text)), spec.BadZstd},
		{"wrong checksum", "OAP-ZST-005", edited(good, len(good)-1, good[len(good)-1]^1), spec.BadZstd},

		{"trailing byte, announces above cap", "OAP-ZST-006", join(sized(1<<40), raw(true, text), []byte{0}), spec.BadZstd},
		{"reserved block, window too large", "OAP-ZST-006", join(windowed(0xff), block(true, reservedBlock, 1, 1)), spec.BadZstd},
		{"reserved bit, window too large", "OAP-ZST-006", join(unhex(t, "28b52ffd 08 ff"), raw(true, text)), spec.BadZstd},
		{"dictionary id in 1 byte, window too large", "OAP-ZST-006", unhex(t, "28b52ffd 01 ff 010000"), spec.BadZstd},
		{"block above 128 KiB, window too large", "OAP-ZST-006", join(windowed(0xff), run(true, maxZstdBlock+1)), spec.BadZstd},
		{"block above window, announces above cap", "OAP-ZST-006", join(unhex(t, "28b52ffd 80 00 ffffffff"), run(true, 1025)), spec.BadZstd},
		{"window too large, corrupt", "OAP-ZST-006", join(windowed(0xff), corrupt), spec.DecompressCap},
		{"corrupt, then above cap", "OAP-ZST-006", join(windowed(0x38), corrupt[:0:0], block(false, compressedBlock, 6, corrupt[3:]...), runs(1<<20)), spec.BadZstd},
		{"above cap, then corrupt", "OAP-ZST-006", join(windowed(0x38), run(false, 10_241), corrupt), spec.DecompressCap},
		{"at cap, then corrupt", "OAP-ZST-006", join(windowed(0x38), run(false, 10_240), corrupt), spec.BadZstd},
		{"above cap by a little, then corrupt", "OAP-ZST-006", join(windowed(0), run(false, 1024), stuffedTail(10, 1024), run(false, 1), corrupt), spec.DecompressCap},
		{"above announced, then above cap", "OAP-ZST-006", join(sized(100), run(false, 101), runs(1<<20)), spec.BadZstd},
		{"above announced and cap at once", "OAP-ZST-006", join(sized(100), runs(1<<20)), spec.DecompressCap},
	}
	for _, tc := range tests {
		if _, r := inflate(tc.in); r != tc.want {
			t.Errorf("%s: reason %q, want %q (%s)", tc.name, r, tc.want, tc.rule)
		}
	}
	for n := range good {
		if _, r := inflate(good[:n]); r != spec.BadZstd {
			t.Errorf("first %d bytes of a good frame: reason %q (OAP-ZST-001)", n, r)
		}
	}
}

// twoFaced is a frame with a dictionary id of two zero bytes and one raw block. Whoever overlooks the id sees
// another chain of blocks, which is as good.
func twoFaced() []byte {
	content := make([]byte, 8224)
	copy(content[8190:], block(true, rawBlock, 31))
	return join(windowed(0x38)[:4], []byte{0x02, 0x38, 0, 0}, raw(true, content))
}

// stuffedTail is count-1 runs of n bytes each.
func stuffedTail(count, n int) []byte { return bytes.Repeat(run(false, n), count-1) }

// TestBombs: frames that expand to between 1 MiB and 1 GiB are rejected for the right reason, and none of them
// makes the decoder take more memory than a legal frame of its encoded size may (OAP-FRM-011, OAP-ZST-004).
func TestBombs(t *testing.T) {
	inflate(compressed(t, sampleText(1000))) // the pooled decoder is there
	for _, size := range []int{1 << 20, 16 << 20, 256 << 20, 1 << 30} {
		// A compressed block of 11 bytes that expands to 128 KiB: what encoders make of zeros.
		blocks := bytes.Repeat(zeroBlock(t), size/maxZstdBlock)
		zeros := append(blocks, raw(true, nil)...)
		bombs := map[string][]byte{
			"announced":               join(sized(uint64(size)), runs(size)),
			"announced, single":       join(single(uint32(size)), runs(size)),
			"unannounced runs":        join(windowed(0x38), runs(size)),
			"unannounced blocks":      join(windowed(0x38), zeros),
			"largest window":          join(windowed(0x68), runs(size)),
			"announced too little":    join(sized(10_000), runs(size)),
			"one byte at a time":      join(windowed(0x68), bytes.Repeat(run(false, 1), 20_000), runs(size)),
			"behind a good beginning": join(windowed(0x38), raw(false, sampleText(100_000)), runs(size)),
		}
		for name, b := range bombs {
			wire := frame(t, Header{Flags: spec.FlagReq | spec.FlagComp}, nil, b)
			limit := uint64(2*decodedCap(len(b)) + 4*len(wire) + 1<<20)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got := feed(NewDecoder(spec.MaxFrame), wire)
			runtime.ReadMemStats(&after)
			want := spec.DecompressCap
			if name == "announced too little" && decodedCap(len(b)) >= maxZstdBlock {
				want = spec.BadZstd // the first block is above what was announced, and not yet above the cap
			}
			if got.verdict != Reject || got.reason != want {
				t.Errorf("%d MiB, %s: %v %q, want %q", size>>20, name, got.verdict, got.reason, want)
			}
			if used := after.TotalAlloc - before.TotalAlloc; used > limit {
				t.Errorf("%d MiB, %s: %d bytes allocated for a frame of %d, limit %d", size>>20, name, used, len(wire), limit)
			}
		}
	}
}

// zeroBlock is a block, not the last, that the encoder of the library makes of 128 KiB of zeros.
func zeroBlock(t *testing.T) []byte {
	t.Helper()
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(maxZstdBlock), zstd.WithSingleSegment(false), zstd.WithEncoderCRC(false))
	if err != nil {
		t.Fatal(err)
	}
	defer enc.Close()
	// The first block has literals; those behind it repeat it.
	b := enc.EncodeAll(make([]byte, maxZstdBlock), nil)
	z, ok := walkZstd(b)
	if !ok || !z.hasSize {
		t.Fatalf("the encoder made %x", b)
	}
	var head zstdFrame
	rest, _ := head.header(b)
	if len(rest) < 4 || rest[0]&1 == 0 {
		t.Fatalf("the encoder made more than one block: %x", b)
	}
	rest = bytes.Clone(rest)
	rest[0] &^= 1
	return rest
}

// TestLargeWindowIsFree: a window of 8 MiB is a claim like len, and holds no memory by itself (OAP-FRM-011).
func TestLargeWindowIsFree(t *testing.T) {
	b := join(windowed(0x68), raw(true, sampleText(10)))
	inflate(b)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	out, r := inflate(b)
	runtime.ReadMemStats(&after)
	if r != spec.None || len(out.data) != 10 {
		t.Fatalf("reason %q", r)
	}
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes allocated for a payload of 10", used)
	}
}

// TestDecodedCap is OAP-ZST-004 in figures.
func TestDecodedCap(t *testing.T) {
	for encoded, want := range map[int]int{
		0: 10_240, 1: 10_240, 1023: 10_240, 1024: 10_240, 1025: 10_250, 5000: 50_000,
		838_860: 8_388_600, 838_861: 8_388_608, 1 << 20: 8_388_608,
	} {
		if got := decodedCap(encoded); got != want {
			t.Errorf("cap of %d bytes is %d, want %d", encoded, got, want)
		}
	}
}

// TestInflateLimit: Inflate is the same under a cap of the caller's, at its edge and beyond the absolute one.
func TestInflateLimit(t *testing.T) {
	announced := compressed(t, sampleText(1000))
	unannounced := join(windowed(0x38), run(false, 900), run(true, 100))
	tests := []struct {
		name  string
		in    []byte
		limit int
		want  spec.Reason
	}{
		{"announced, at the limit", announced, 1000, spec.None},
		{"announced, above", announced, 999, spec.DecompressCap},
		{"unannounced, at the limit", unannounced, 1000, spec.None},
		{"unannounced, above", unannounced, 999, spec.DecompressCap},
		{"nothing allowed", unannounced, 0, spec.DecompressCap},
		{"less than nothing", unannounced, -1 << 40, spec.DecompressCap},
		{"nothing there", unhex(t, "28b52ffd 2000 010000"), 0, spec.None},
		{"more than ten times", unannounced, 1 << 20, spec.None},
		{"no more than 8 MiB", join(windowed(0x38), runs(spec.MaxDecoded+1)), 1 << 40, spec.DecompressCap},
		{"as much as 8 MiB", join(windowed(0x38), runs(spec.MaxDecoded)), 1 << 40, spec.None},
		{"no zstd", sampleText(10), 1000, spec.BadZstd},
	}
	for _, tc := range tests {
		plain, wipe, r := Inflate(tc.in, tc.limit)
		if r != tc.want || (plain == nil) != (r != spec.None) || (wipe == nil) != (r != spec.None) {
			t.Errorf("%s: reason %q, %d bytes, want %q", tc.name, r, len(plain), tc.want)
		}
		if r != spec.None {
			continue
		}
		wipe()
		if dirty(plain) > 0 {
			t.Errorf("%s: wipe leaves bytes", tc.name)
		}
	}
}

// TestInflateConcurrently: the pool hands no decoder to two goroutines.
func TestInflateConcurrently(t *testing.T) {
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			text := sampleText(1000 * (i + 1))
			b := compressed(t, text)
			for range 200 {
				out, r := inflate(b)
				if r != spec.None || !bytes.Equal(out.data, text) {
					t.Fatalf("reason %q", r)
				}
				out.wipe()
			}
		})
	}
}
