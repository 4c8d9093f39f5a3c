package wire

import (
	"bufio"
	"bytes"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/spec"
)

// shortCanary is so short that the library decodes it by another path than the longer one.
const shortCanary = "700 bytes"

// canaries are texts that no process holds by chance, compressed by zstd -19: their letters are Huffman coded, so
// that a text itself is in memory only once a decoder has put it there.
var canaries = map[string]string{
	shortCanary: "" +
		"KLUv/WS8AcUJAAYrSxCwWw4kSZIkSUKSlBmGYfQERgBDAEYAP98ZIuaV6bHItk0C+iSNUVtW+FMO0ZJIDZs0VzOTVEZuSB6ntKX53ion" +
		"VMvjhVqgtBiMLJGOwmFzx6dcpaQrJu5/MlGNArpFiAWX8ExKlKbyQIE3LUcriiD5LUlq9iDXc92QEeSPo/nWu/o5aktx367n1DKdiKlt" +
		"N+HpbSuZdgTYJ7K2RVsr/QMrm+Y0lmSsSPFfCVSLW7I4pPdHGZR6L4UdXrBnFLfk25pr5L+AY5lv0jYietO/7V1HQHuFZjkZN/8mtCLs" +
		"b4LZuE21RUsJ245ihPsRTstpT5FtSs1wcELessnMAmFMq/h+xoFirkQz3HMPMJH0K2NxJJ/2QRCb5U6rw6a5TUf8NHah9N57zoZyLquV" +
		"FwIAOL4hqRBcKR7xYhU=",
	"1500 bytes": "" +
		"KLUv/WTcBL0TANpcnAkQsFsOJEmSJElCZJIZhmEACJgAlACPAJuktg3OCameDmuWipuyTCSDUZs89PmkEb8IQbYijCVfRSnh9m9ZtpH8" +
		"lgU5PV8tomktmTIDpDdJORkschcyIb452qZtM1k9tbalaA2hYBKwr5aWSjf/1oQ+vRigEZUL5ZuI2xLIpt4qfO9SQuwClaJDwn5FPUok" +
		"XqFZ3CjllvJjxmsdxogZU5rD2rM4NkwjljQdwIk2pIFFktrUibJv0kWurKx1pX2/jXot2pIiBaod6FmCES6+/fn6VPDb4+l2b3sDTccv" +
		"NcebJao0mzi9o5cbS3jO7a1YW8TL1xTboR1P6UnKp7lo/CSoty1UJFKckiQLNYv66TjgIj1NB+Geb+nOU4DnLZ1Ks90JNDqKYA++/FxO" +
		"q19P21SmZELceECxJ0+i7ezXNG2SxR74BVL+VK/UcttpTlqvky9Ke0YYKI289Tzkc0Cjtd38bW/SJbbRdbnkU4qOl0xwtTBE9buR0/Op" +
		"zYoXrWlziTsRyiDe9ET73WTUXRxyjXk9o7k0X+1HTlKttSA7jDzcLU3g4lC2S2+bDjR4NRu4txLp5JZSkN5W04AAS9y7Y5CWC7LQAix9" +
		"TK1v0gpPzIqXDNEMe8v0ykuTOUkD0sKCmx62SSmnokf3ibb3c/2yaX1LYhwO0tz/wQV4z5cctWMB0xsRMbzhSHTtf41aJBqXnNzu0Efp" +
		"bpSbK9/JGTpbGza5lwdND7H6ac23AELKdOicpvItYtkmYLq4EkM5UzYu5ItIe6SWZNueDWxd0Vxz1C1dujr5BEwbAEgPk6I1zdAqOswN" +
		"iNRHlgUDALA9SMshJhO/NfdCGcjq",
}

// quiet is the setting under which the search runs, in a process of its own. Asynchronous preemption has the
// kernel save the registers of a goroutine to the runtime's signal stacks, and these keep what a copy in progress
// had loaded, some hundred bytes, until the next signal: nothing that this package could overwrite. With one
// processor the pools inside the zstd library hand out what was put there last; see scrub.
var quiet = []string{"GODEBUG=asyncpreemptoff=1", "GOMAXPROCS=1"}

// TestNothingStaysInMemory looks for an expanded payload in the writable memory of this process: it must be there
// while the frame is in use, or the search is no good, and nowhere after the decoder was closed. This includes the
// scratch of the zstd library, whose decoders live on in the pool.
func TestNothingStaysInMemory(t *testing.T) {
	if setting, _ := strings.CutPrefix(quiet[0], "GODEBUG="); os.Getenv("GODEBUG") != setting {
		self, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), self, "-test.run=^"+t.Name()+"$", "-test.v")
		cmd.Env = append(os.Environ(), quiet...)
		out, err := cmd.CombinedOutput()
		if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name()+"/1500_bytes")) {
			t.Errorf("%v\n%s", err, out)
		}
		return
	}
	for name, text := range canaries {
		t.Run(name, func(t *testing.T) {
			if raceDetector && name == shortCanary {
				t.Skip("the race detector makes every sync.Pool lose things at random, those of the library too")
			}
			payload, err := base64.StdEncoding.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			d := NewDecoder(spec.MaxFrame)
			d.Filled(copy(d.Space(), frame(t, Header{Flags: spec.FlagReq | spec.FlagComp}, nil, payload)))
			var f Frame
			if v, r := d.Next(&f); v != Accept {
				t.Fatalf("%v %q", v, r)
			}
			// Pieces of the text, inverted, so that what is looked for is not found in the search itself.
			var pieces [][]byte
			for at := 0; at+24 <= len(f.Data); at += 100 {
				pieces = append(pieces, inverted(f.Data[at:at+24]))
			}
			pieces = append(pieces, inverted(f.Data[len(f.Data)-24:]))
			if found := searchMemory(t, pieces); found != len(pieces) {
				t.Fatalf("%d of %d pieces found while the frame is in use", found, len(pieces))
			}
			d.Close()
			if found := searchMemory(t, pieces); found != 0 {
				t.Errorf("%d of %d pieces of the payload are in memory after Close", found, len(pieces))
			}
			runtime.KeepAlive(d)

			// Damaged frames are decoded up to the damage: the last byte is of the checksum, those before it of
			// the end of the only block.
			for at := len(payload) - 40; at < len(payload); at++ {
				if _, r := inflate(edited(payload, at, payload[at]^1)); r != spec.BadZstd {
					t.Fatalf("byte %d changed: reason %q", at, r)
				}
			}
			// And a bomb behind the text, which makes the library move it all to a larger buffer of its own.
			var head zstdFrame
			rest, _ := head.header(payload)
			rest = edited(rest[:len(rest)-4], 0, rest[0]&^1)
			if _, r := inflate(join(windowed(0x38), rest, runs(1<<20))); r != spec.DecompressCap {
				t.Fatalf("bomb: reason %q", r)
			}
			if found := searchMemory(t, pieces); found != 0 {
				t.Errorf("%d of %d pieces of the payload are in memory after its rejection", found, len(pieces))
			}
		})
	}
}

// inverted is a copy of p with every bit flipped.
func inverted(p []byte) []byte {
	q := make([]byte, len(p))
	for i := range p {
		q[i] = ^p[i]
	}
	return q
}

// searchMemory counts which of the pieces, each inverted, are anywhere in the writable memory of this process.
func searchMemory(t *testing.T, pieces [][]byte) int {
	t.Helper()
	maps, err := os.Open("/proc/self/maps")
	if err != nil {
		t.Skipf("the memory of the process can not be listed: %v", err)
	}
	defer maps.Close()
	mem, err := os.Open("/proc/self/mem")
	if err != nil {
		t.Skipf("the memory of the process can not be read: %v", err)
	}
	defer mem.Close()
	found := map[int]bool{}
	buf := make([]byte, 1<<20)
	ones := bytes.Repeat([]byte{0xff}, len(buf))
	for lines := bufio.NewScanner(maps); lines.Scan(); {
		var from, to int64
		var mode string
		if n, _ := fmt.Sscanf(lines.Text(), "%x-%x %s", &from, &to, &mode); n != 3 || !strings.HasPrefix(mode, "rw") {
			continue
		}
		if to-from > 256<<20 {
			continue // the race detector's own; this test needs less
		}
		const overlap = 64
		for at := from; at < to; at += int64(len(buf)) - overlap {
			n, err := mem.ReadAt(buf[:min(int64(len(buf)), to-at)], at)
			if err != nil {
				t.Fatal(err)
			}
			subtle.XORBytes(buf, buf, ones)
			for i, p := range pieces {
				if bytes.Contains(buf[:n], p) {
					found[i] = true
				}
			}
		}
	}
	return len(found)
}
