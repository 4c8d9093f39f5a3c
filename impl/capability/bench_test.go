package capability_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"testing"

	"github.com/rustyonions/micronode/impl/capability"
)

// fiveCaveats is what a careful client would send.
func fiveCaveats(b *testing.B) (*rig, capability.Token) {
	r := newRig(b)
	t := r.mint("aud = node-a", "path ^= /o", "max-bytes <= 1048576")
	if n := len(t.Caveats()); n != 5 {
		b.Fatalf("%d caveats", n)
	}
	return r, t
}

// BenchmarkRawHMAC6 is what crypto/hmac takes for the chain of five caveats: six HMACs, each keyed with the one before.
func BenchmarkRawHMAC6(b *testing.B) {
	_, t := fiveCaveats(b)
	key := make([]byte, 32)
	id := make([]byte, 25)
	caveats := t.Caveats()
	b.ReportAllocs()
	for b.Loop() {
		sum := key
		h := hmac.New(sha256.New, sum)
		h.Write(id)
		sum = h.Sum(sum[:0])
		for _, c := range caveats {
			h := hmac.New(sha256.New, sum)
			h.Write([]byte(c))
			sum = h.Sum(sum[:0])
		}
	}
}

// BenchmarkVerify5 is Verify alone, of a token with five caveats that was parsed before: six links of the chain, and what the
// caveats ask. Its target is 5 microseconds and 5 allocations.
func BenchmarkVerify5(b *testing.B) {
	r, t := fiveCaveats(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Verify(r.now, t, get); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkVerifyDischarged is the slow path: a third-party caveat and its discharge besides.
func BenchmarkVerifyDischarged(b *testing.B) {
	r, t := fiveCaveats(b)
	t = must(t.AddThirdParty([]byte("key"), []byte("who"), "third"))
	t = must(t.Bind(must(capability.NewDischarge([]byte("key"), []byte("who")))))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := r.Verify(r.now, t, get); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkParse reads a token from its text.
func BenchmarkParse(b *testing.B) {
	_, t := fiveCaveats(b)
	text := t.Text()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := capability.ParseText(text); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRequest is all that a request costs: parse its text, admit it, release it.
func BenchmarkRequest(b *testing.B) {
	r, t := fiveCaveats(b)
	text := t.Text()
	b.ReportAllocs()
	for b.Loop() {
		t, err := capability.ParseText(text)
		if err != nil {
			b.Fatal(err)
		}
		l, err := r.Admit(r.now, t, get, nil)
		if err != nil {
			b.Fatal(err)
		}
		l.Release()
	}
}

// BenchmarkRequestParallel is the same from all processors at once: the lock is held for the ends of it only.
func BenchmarkRequestParallel(b *testing.B) {
	r, t := fiveCaveats(b)
	text := t.Text()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			t, err := capability.ParseText(text)
			if err != nil {
				b.Error(err)
				return
			}
			l, err := r.Admit(r.now, t, get, nil)
			if err != nil {
				b.Error(err)
				return
			}
			l.Release()
		}
	})
}
