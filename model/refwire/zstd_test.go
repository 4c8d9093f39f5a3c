package refwire

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/rustyonions/micronode/spec"
)

// Pieces of zstd frames, written by hand from RFC 8878.

func zstdHead(descriptor byte, fields ...byte) []byte {
	return append([]byte{0x28, 0xb5, 0x2f, 0xfd, descriptor}, fields...)
}

func zstdBlock(kind, size int, last bool, content ...byte) []byte {
	h := uint32(size)<<3 | uint32(kind)<<1
	if last {
		h |= 1
	}
	return append([]byte{byte(h), byte(h >> 8), byte(h >> 16)}, content...)
}

func rle(size int, last bool) []byte { return zstdBlock(rleBlock, size, last, 'z') }

// literals is a compressed block without sequences, whose literals are one byte size times.
func literals(size int, last bool) []byte {
	return zstdBlock(compressedBlock, 5, last, byte(size<<4)|0x0d, byte(size>>4), byte(size>>12), 'q', 0)
}

func raw(content string, last bool) []byte {
	return zstdBlock(rawBlock, len(content), last, []byte(content)...)
}

func cat(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func compressed(t testing.TB, data []byte, options ...zstd.EOption) []byte {
	t.Helper()
	options = append([]zstd.EOption{zstd.WithEncoderConcurrency(1), zstd.WithZeroFrames(true)}, options...)
	e, err := zstd.NewWriter(nil, options...)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	return e.EncodeAll(data, nil)
}

type zstdCase struct {
	name    string
	payload []byte
	rule    string // "" = accepted
	size    int    // decoded, when accepted
}

const window128K, window8M, window9M = 7 << 3, 13 << 3, 13<<3 | 1

func zstdCases(t testing.TB) []zstdCase {
	words := bytes.Repeat([]byte("to be or not to be, "), 200)
	summed := compressed(t, words, zstd.WithEncoderCRC(true))
	badSum := bytes.Clone(summed)
	badSum[len(badSum)-1]++
	damaged := zstdBlock(compressedBlock, 4, false, 0xff, 0xff, 0xff, 0xff)
	unsized := zstdHead(0, window128K)
	sized := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(zstdHead(0x80, window128K), n) }
	single := func(n uint32) []byte { return binary.LittleEndian.AppendUint32(zstdHead(0xa0), n) }
	sum := []byte{1, 2, 3, 4}

	return []zstdCase{
		{"empty frame", unhex(t, "28b52ffd 2000 010000"), "", 0},
		{"raw block", cat(unsized, raw("abc", true)), "", 3},
		{"rle block", cat(unsized, rle(300, true)), "", 300},
		{"blocks of size 0", cat(unsized, raw("", false), raw("abc", false), rle(0, false), raw("", true)), "", 3},
		{"compressed block", compressed(t, words), "", len(words)},
		{"checksum", summed, "", len(words)},
		{"unused bit", cat(zstdHead(0x10, window128K), raw("abc", true)), "", 3},
		{"one byte of size", cat(zstdHead(0x20, 3), raw("abc", true)), "", 3},
		{"two bytes of size count from 256", cat(zstdHead(0x60, 44, 0), rle(300, true)), "", 300},
		{"size in a frame with a window", cat(sized(3), raw("abc", true)), "", 3},

		{"nothing", nil, "OAP-ZST-001", 0},
		{"magic only", zstdHead(0)[:4], "OAP-ZST-001", 0},
		{"other magic", cat([]byte{0x27}, unsized[1:], raw("abc", true)), "OAP-ZST-001", 0},
		{"skippable frame", []byte{0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0}, "OAP-ZST-001", 0},
		{"reserved bit", cat(zstdHead(0x08, window128K), raw("abc", true)), "OAP-ZST-001", 0},
		{"dictionary id 0", cat(zstdHead(0x01, window128K, 0), raw("abc", true)), "OAP-ZST-001", 0},
		{"no window", zstdHead(0), "OAP-ZST-001", 0},
		{"size cut", zstdHead(0xa0, 1, 2, 3), "OAP-ZST-001", 0},
		{"no block", unsized, "OAP-ZST-001", 0},
		{"block header cut", cat(unsized, []byte{1, 0}), "OAP-ZST-001", 0},
		{"block cut", cat(unsized, zstdBlock(rawBlock, 4, true, 'a', 'b', 'c')), "OAP-ZST-001", 0},
		{"rle block without its byte", cat(unsized, zstdBlock(rleBlock, 4, true)), "OAP-ZST-001", 0},
		{"no last block", cat(unsized, raw("abc", false)), "OAP-ZST-001", 0},
		{"byte behind the frame", cat(unsized, raw("abc", true), []byte{0}), "OAP-ZST-001", 0},
		{"second frame", cat(unsized, raw("abc", true), unsized, raw("abc", true)), "OAP-ZST-001", 0},
		{"checksum missing", cat(zstdHead(0x04, window128K), raw("abc", true)), "OAP-ZST-001", 0},
		{"checksum cut", cat(zstdHead(0x04, window128K), raw("abc", true), sum[:3]), "OAP-ZST-001", 0},

		{"reserved block", cat(unsized, zstdBlock(reservedBlock, 1, true, 'a')), "OAP-ZST-002", 0},
		{"block above 128 KiB", cat(zstdHead(0, window8M), rle(maxZstdBlock+1, true)), "OAP-ZST-002", 0},
		{"block above the window", cat(zstdHead(0, 0), rle(1025, true)), "OAP-ZST-002", 0},
		{"block above a window of 5", cat(zstdHead(0x20, 5), raw("abcdef", true)), "OAP-ZST-002", 0},
		{"compressed block above a window of 5", cat(zstdHead(0x20, 5), zstdBlock(compressedBlock, 6, true, make([]byte, 6)...)), "OAP-ZST-002", 0},
		{"chain cut behind a block above the window", cat(zstdHead(0, 0), rle(1025, false)), "OAP-ZST-001", 0},

		{"size at the cap", cat(single(10240), rle(10240, true)), "", 10240},
		{"size above the cap", cat(single(10241), rle(10, true)), "OAP-ZST-003", 0},
		{"size of 2^64 - 1", cat(zstdHead(0xe0, 255, 255, 255, 255, 255, 255, 255, 255), rle(1, true)), "OAP-ZST-003", 0},
		{"window of 8 MiB", cat(zstdHead(0, window8M), rle(10, true)), "", 10},
		{"window of 9 MiB", cat(zstdHead(0, window9M), rle(10, true)), "OAP-ZST-003", 0},
		{"window of 9 MiB and a byte behind", cat(zstdHead(0, window9M), rle(10, true), sum[:1]), "OAP-ZST-001", 0},
		{"window of 9 MiB and a damaged block", cat(zstdHead(0, window9M), damaged, rle(1, true)), "OAP-ZST-003", 0},

		{"ten times", cat(unsized, rle(10240, true)), "", 10240},
		{"ten times and one", cat(unsized, rle(10241, true)), "OAP-ZST-004", 0},
		{"ten times in two", cat(unsized, rle(10240, false), rle(1, true)), "OAP-ZST-004", 0},
		{"above the cap, then damaged", cat(unsized, rle(10241, false), damaged, rle(1, true)), "OAP-ZST-004", 0},
		{"damaged, then above the cap", cat(unsized, damaged, rle(10241, true)), "OAP-ZST-005", 0},
		{"above the cap under a wrong checksum", cat(zstdHead(0x04, window128K), rle(10241, true), sum), "OAP-ZST-004", 0},
		{"one block above both size and cap", cat(sized(10000), rle(9000, false), rle(9000, true)), "OAP-ZST-004", 0},
		{"above the size, then above the cap", cat(sized(9000), rle(9001, false), rle(9000, true)), "OAP-ZST-005", 0},

		{"literals of the size", cat(single(9000), literals(9000, true)), "", 9000},
		{"decodes to more than its window and the cap", cat(single(9000), literals(12000, true)), "OAP-ZST-005", 0},
		{"decodes to the window", cat(zstdHead(0, 0), literals(1024, true)), "", 1024},
		{"decodes to more than the window", cat(zstdHead(0, 0), literals(1025, true)), "OAP-ZST-005", 0},
		{"decodes to 128 KiB in a large window", cat(zstdHead(0, window8M), raw(string(make([]byte, 13200)), false), literals(maxZstdBlock, true)), "OAP-ZST-004", 0},
		{"decodes to more than 128 KiB", cat(zstdHead(0, window8M), raw(string(make([]byte, 13200)), false), literals(maxZstdBlock+1, true)), "OAP-ZST-005", 0},

		{"less than the size", cat(sized(4), raw("abc", true)), "OAP-ZST-005", 0},
		{"more than the size", cat(sized(2), raw("abc", true)), "OAP-ZST-005", 0},
		{"wrong checksum", badSum, "OAP-ZST-005", 0},
		{"wrong checksum of a raw block", cat(zstdHead(0x04, window128K), raw("abc", true), sum), "OAP-ZST-005", 0},
		{"damaged block", cat(unsized, damaged, raw("", true)), "OAP-ZST-005", 0},
		{"compressed block of one byte", cat(unsized, zstdBlock(compressedBlock, 1, true, 0)), "OAP-ZST-005", 0},
	}
}

func TestCompression(t *testing.T) {
	for _, c := range zstdCases(t) {
		data, reason, rule := comp(c.payload)
		if rule != c.rule || (rule == "") != (reason == spec.None) {
			t.Errorf("%s: rule %q, reason %q, want rule %q", c.name, rule, reason, c.rule)
		}
		if rule == "" && len(data) != c.size {
			t.Errorf("%s: %d bytes, want %d", c.name, len(data), c.size)
		}
	}
}

// TestCap walks the cap of OAP-ZST-004 over its two bends: 1,024 encoded bytes and 8 MiB decoded.
func TestCap(t *testing.T) {
	for _, c := range []struct{ encoded, limit int }{
		{20, 10240}, {1023, 10240}, {1024, 10240}, {1025, 10250}, {5000, 50000},
		{838860, 8388600}, {838861, 8388608}, {1 << 20, 8388608},
	} {
		for extra := range 2 {
			p := padded(c.encoded, c.limit+extra)
			if len(p) != c.encoded {
				t.Fatalf("made %d bytes, want %d", len(p), c.encoded)
			}
			want := []string{"", "OAP-ZST-004"}[extra]
			if _, _, rule := comp(p); rule != want {
				t.Errorf("%d bytes to %d: rule %q, want %q", c.encoded, c.limit+extra, rule, want)
			}
		}
	}
}

// padded is a zstd frame of so many encoded and decoded bytes: RLE blocks for the decoded size, empty blocks of 3 and
// of 4 bytes for the encoded one.
func padded(encoded, decoded int) []byte {
	p := zstdHead(0, window8M)
	for ; decoded > 0; decoded -= min(decoded, maxZstdBlock) {
		p = append(p, rle(min(decoded, maxZstdBlock), false)...)
	}
	spare := encoded - len(p) - 3
	p = append(p, bytes.Repeat(rle(0, false), spare%3)...)
	p = append(p, bytes.Repeat(raw("", false), (encoded-len(p)-3)/3)...)
	return append(p, raw("", true)...)
}

// TestExpandsWhatEncodersWrite decodes what the encoder makes of data of many shapes, with every frame format that
// it can write.
func TestExpandsWhatEncodersWrite(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	formats := [][]zstd.EOption{
		{zstd.WithEncoderCRC(false)},
		{zstd.WithEncoderCRC(true)},
		{zstd.WithSingleSegment(true)},
		{zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithWindowSize(1024)},
		{zstd.WithNoEntropyCompression(true), zstd.WithEncoderCRC(true)},
	}
	for _, size := range []int{0, 1, 5, 255, 256, 1000, 65535, 200_000, 700_000} {
		for alphabet := 3; alphabet <= 243; alphabet *= 9 {
			data := make([]byte, size)
			for i := range data {
				data[i] = byte(rng.IntN(alphabet))
			}
			for i, format := range formats {
				p := compressed(t, data, format...)
				got, reason, rule := comp(p)
				if reason != spec.None || !bytes.Equal(got, data) {
					t.Fatalf("%d bytes of %d letters, format %d: %q by %s, %d bytes", size, alphabet, i, reason, rule, len(got))
				}
			}
		}
	}
}

// TestPrefixesOfCompressed is OAP-ZST-001 for every proper prefix: none of them is a zstd frame.
func TestPrefixesOfCompressed(t *testing.T) {
	p := compressed(t, bytes.Repeat([]byte("abcdefgh"), 40), zstd.WithEncoderCRC(true))
	for n := range p {
		if _, _, rule := comp(p[:n]); rule != "OAP-ZST-001" {
			t.Errorf("prefix of %d of %d bytes: rule %q", n, len(p), rule)
		}
	}
}
