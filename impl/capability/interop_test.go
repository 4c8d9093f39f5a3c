package capability

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"encoding/hex"
	"go/ast"
	"go/parser"
	gotoken "go/token"
	"strings"
	"testing"

	"gopkg.in/macaroon.v2"
	"pgregory.net/rapid"
)

// read reads exactly one macaroon.
func read(b []byte) (form, string) {
	r := reader{rest: b}
	m := r.macaroon()
	if r.rule == "" && len(r.rest) > 0 {
		r.rule = "CAP-TOK-007"
	}
	return m, r.rule
}

func signature(m *form, root []byte) []byte {
	var c chain
	c.start(root)
	c.add(m.id)
	c.caveats(m)
	return c.sum[:]
}

// TestLibmacaroonsUnitTests are the tests that libmacaroons publishes for all implementations, as far as they are about the
// version 2 format and the chain: test/unit/root_v2_*.vtest, caveat_v2_*.vtest and, for version 1, caveat_v1_1.vtest
// (CAP-TOK-001, CAP-TOK-007, CAP-HMC-001). What is satisfied by which condition is another language there.
func TestLibmacaroonsUnitTests(t *testing.T) {
	for _, v := range []struct {
		name, key, token string
		caveats          []string
		rule             string // that the bytes break
		good             bool   // the signature
	}{
		{"root_v2_1", "this is the key", "AgETaHR0cDovL2V4YW1wbGUub3JnLwIFa2V5aWQAAAYgfN7nklEcW8b1KEhYBd_psk54XijiqZMB-dcRxgnjjvc", nil, "", true},
		{"root_v2_2", "this is not the key", "AgETaHR0cDovL2V4YW1wbGUub3JnLwIFa2V5aWQAAAYgfN7nklEcW8b1KEhYBd_psk54XijiqZMB-dcRxgnjjvc", nil, "", false},
		{"caveat_v2_1", "this is the key", "AgETaHR0cDovL2V4YW1wbGUub3JnLwIFa2V5aWQAAhRhY2NvdW50ID0gMzczNTkyODU1OQAABiD1SAf23G7fiL8PcwazgiVio2JTPb9zObphdl2kvSWdhw",
			[]string{"account = 3735928559"}, "", true},
		{"caveat_v2_4", "this is the key", "AgETaHR0cDovL2V4YW1wbGUub3JnLwIFa2V5aWQAAhRhY2NvdW50ID0gMzczNTkyODU1OQACDHVzZXIgPSBhbGljZQAABiBL6WfNHqDGsmuvakqU7psFsViG2guoXoxCqTyNDhJe_A",
			[]string{"account = 3735928559", "user = alice"}, "", true},
		{"version 1", "this is the key", "MDAyMWxvY2F0aW9uIGh0dHA6Ly9leGFtcGxlLm9yZy8KMDAxNWlkZW50aWZpZXIga2V5aWQKMDAxZGNpZCBhY2NvdW50ID0gMzczNTkyODU1OQowMDJmc2lnbmF0dXJlIPVIB_bcbt-Ivw9zBrOCJWKjYlM9v3M5umF2XaS9JZ2HCg",
			nil, "CAP-TOK-007", false},
	} {
		b, err := base64.RawURLEncoding.DecodeString(v.token)
		if err != nil {
			t.Fatal(err)
		}
		m, rule := read(b)
		if rule != v.rule {
			t.Errorf("%s: %q, want %q", v.name, rule, v.rule)
		}
		if rule != "" {
			continue
		}
		var caveats []string
		for list := m.caveats(); list.more(); {
			caveats = append(caveats, string(list.caveat().id))
		}
		if string(m.id) != "keyid" || strings.Join(caveats, "\n") != strings.Join(v.caveats, "\n") {
			t.Errorf("%s: %q with %q", v.name, m.id, caveats)
		}
		if good := bytes.Equal(signature(&m, []byte(v.key)), m.sig); good != v.good {
			t.Errorf("%s: the signature is good: %v", v.name, good)
		}
	}
}

// TestLibmacaroonsReadme holds parser and chain to the second example of the README of libmacaroons, which has a third-party
// caveat with a nonce of zeros; the bytes are those that gopkg.in/macaroon.v2 and libmacaroons agree on (CAP-HMC-001, CAP-TOK-001,
// CAP-TOK-008).
func TestLibmacaroonsReadme(t *testing.T) {
	vid, err := base64.RawURLEncoding.DecodeString("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA027FAuBYhtHwJ58FX6UlVNFtFsGxQHS7uD_w_dedwv4Jjw7UorCREw5rXbRqIKhr")
	if err != nil {
		t.Fatal(err)
	}
	const sig = "d27db2fd1f22760e4c3dae8137e2d8fc1df6c0741c18aed4b97256bf78d1f55c"
	text := "\x02\x01\x0ehttp://mybank/\x02\x1cwe used our other secret key\x00\x02\x14account = 3735928559\x00" +
		"\x01\x13http://auth.mybank/\x02'this was how we remind auth of key/pred\x04\x48" + string(vid) + "\x00\x00\x06\x20"
	last, err := hex.DecodeString(sig)
	if err != nil {
		t.Fatal(err)
	}
	m, rule := read([]byte(text + string(last)))
	if rule != "" || m.count != 2 || m.thirdParty != 1 {
		t.Fatalf("%q, %d caveats, %d of a third party", rule, m.count, m.thirdParty)
	}
	if got := hex.EncodeToString(signature(&m, []byte("this is a different super-secret key; never use the same secret twice"))); got != sig {
		t.Errorf("signature %s, want %s", got, sig)
	}
}

// TestHMACVectors are test cases 1, 2, 3 and 4 of RFC 4231 (CAP-HMC-001).
func TestHMACVectors(t *testing.T) {
	for _, v := range []struct{ key, data, sum string }{
		{strings.Repeat("\x0b", 20), "Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
		{"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
		{strings.Repeat("\xaa", 20), strings.Repeat("\xdd", 50), "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"},
		{"\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19", strings.Repeat("\xcd", 50),
			"82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"},
	} {
		var c chain
		c.mac([]byte(v.key), []byte(v.data))
		if got := hex.EncodeToString(c.sum[:]); got != v.sum {
			t.Errorf("%x, %x: %s, want %s", v.key, v.data, got, v.sum)
		}
	}
}

// TestChainIsHMAC: over whatever data, the chain is that of crypto/hmac, and nothing of a key is left behind it (CAP-HMC-001,
// AMN-ZER-008).
func TestChainIsHMAC(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c chain
		root := rapid.SliceOfN(rapid.Byte(), 1, 200).Draw(t, "root")
		h := hmac.New(sha256.New, []byte(keyGenerator))
		h.Write(root)
		want := h.Sum(nil)
		c.start(root)
		for _, data := range rapid.SliceOfN(rapid.SliceOfN(rapid.Byte(), 0, 200), 0, 4).Draw(t, "data") {
			h := hmac.New(sha256.New, want)
			h.Write(data)
			want = h.Sum(nil)
			c.add(data)
		}
		if !bytes.Equal(c.sum[:], want) || !c.is(want) || c.is(append(want[:31:31], want[31]^1)) || c.is(want[:31]) || c.is(nil) {
			t.Errorf("%x, want %x", c.sum, want)
		}
		if c.wipe(); c != (chain{}) {
			t.Errorf("%x is left", c)
		}
	})
}

// TestFormIsTheLibrarys builds macaroons with the library, changes them here and there, and holds the reader to the library: it
// accepts what the library reads and writes back as it was, and nothing else (CAP-TOK-001, CAP-TOK-007).
func TestFormIsTheLibrarys(t *testing.T) {
	var accepted, refused int
	rapid.Check(t, func(t *rapid.T) {
		short := rapid.SliceOfN(rapid.Byte(), 0, 3)
		m, err := macaroon.New([]byte("key"), rapid.OneOf(short, rapid.SliceOfN(rapid.Byte(), 126, 130)).Draw(t, "id"),
			rapid.StringN(0, 3, -1).Draw(t, "location"), macaroon.V2)
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 3).Draw(t, "caveats") {
			id := rapid.OneOf(short, rapid.SliceOfN(rapid.Byte(), 126, 130)).Draw(t, "caveat")
			if rapid.Bool().Draw(t, "of a third party") {
				err = m.AddThirdPartyCaveat([]byte("another"), id, rapid.StringN(0, 3, -1).Draw(t, "where"))
			} else {
				err = m.AddFirstPartyCaveat(id)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		b, err := m.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		for range rapid.IntRange(0, 2).Draw(t, "changes") {
			at := rapid.IntRange(0, len(b)-1).Draw(t, "at")
			with := rapid.SliceOfN(rapid.SampledFrom([]byte{0, 1, 2, 3, 4, 5, 6, 0x20, 0x80, 0x81, 0xff}), 0, 2).Draw(t, "with")
			b = append(append(append([]byte{}, b[:at]...), with...), b[min(len(b), at+rapid.IntRange(0, 2).Draw(t, "instead of")):]...)
			if len(b) == 0 {
				return
			}
		}
		got, rule := read(b)
		if want := libraryAccepts(b); want != (rule == "") {
			t.Fatalf("%x: %q, the library accepts it: %v", b, rule, want)
		}
		if rule != "" {
			refused++
			return
		}
		accepted++
		again := new(macaroon.Macaroon)
		if err := again.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got.id, again.Id()) || !bytes.Equal(got.sig, again.Signature()) || !bytes.Equal(got.bytes, b) || got.count != len(again.Caveats()) {
			t.Fatalf("%x: read as %+v", b, got)
		}
		i := 0
		for list := got.caveats(); list.more(); i++ {
			c, want := list.caveat(), again.Caveats()[i]
			if !bytes.Equal(c.id, want.Id) || !bytes.Equal(c.vid, want.VerificationId) || string(c.location) != want.Location {
				t.Fatalf("%x: caveat %d is %+v, the library has %+v", b, i, c, want)
			}
		}
	})
	if accepted == 0 || refused == 0 {
		t.Errorf("%d accepted, %d refused", accepted, refused)
	}
}

// libraryAccepts says that the library reads b as one macaroon of version 2 and writes the same bytes.
func libraryAccepts(b []byte) bool {
	m := new(macaroon.Macaroon)
	if err := m.UnmarshalBinary(b); err != nil || m.Version() != macaroon.V2 {
		return false
	}
	again, err := m.MarshalBinary()
	return err == nil && bytes.Equal(again, b)
}

// source is what was compiled into this test, and not what stands on a disk.
//
//go:embed chain.go authority.go
var source embed.FS

// TestComparisonIsConstantTime: no test of behaviour can tell how long a comparison takes, so this one reads the source.
// The signature is compared by chain.is, and there by hmac.Equal and nothing else (CAP-HMC-003, CAP-KEY-004).
// BenchmarkCompare is the statistical look at it.
func TestComparisonIsConstantTime(t *testing.T) {
	calls := func(file, function string) (list []string) {
		text, err := source.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := parser.ParseFile(gotoken.NewFileSet(), file, text, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == function {
				ast.Inspect(fn.Body, func(n ast.Node) bool {
					switch n := n.(type) {
					case *ast.CallExpr:
						if s, ok := n.Fun.(*ast.SelectorExpr); ok {
							if x, ok := s.X.(*ast.Ident); ok {
								list = append(list, x.Name+"."+s.Sel.Name)
							}
						}
					case *ast.BinaryExpr:
						if n.Op == gotoken.EQL || n.Op == gotoken.NEQ {
							list = append(list, n.Op.String())
						}
					}
					return true
				})
			}
		}
		return list
	}
	if got := calls("chain.go", "is"); strings.Join(got, " ") != "hmac.Equal" {
		t.Errorf("chain.is compares with %q", got)
	}
	verify := strings.Join(calls("authority.go", "verify"), " ")
	if !strings.Contains(verify, "c.is") || strings.Contains(verify, "bytes.") {
		t.Errorf("key.verify calls %q", verify)
	}
}

// BenchmarkCompare compares the right signature, one that differs in the first byte, and one that differs in the last. The
// three take the same time, however often it is run; that is for people to look at, because machines are noisy.
func BenchmarkCompare(b *testing.B) {
	var c chain
	c.start([]byte("key"))
	for name, at := range map[string]int{"equal": -1, "first": 0, "last": len(c.sum) - 1} {
		sig := bytes.Clone(c.sum[:])
		if at >= 0 {
			sig[at] ^= 1
		}
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if c.is(sig) != (at < 0) {
					b.Fatal("wrong")
				}
			}
		})
	}
}
