package secret

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
)

func newVault(t testing.TB, slots int) *Vault {
	t.Helper()
	v, err := NewVault(slots)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	return v
}

func newBytes(t testing.TB, v *Vault, content []byte) *Bytes {
	t.Helper()
	b, err := v.New(len(content))
	if err != nil {
		t.Fatal(err)
	}
	copy(b.Bytes(), content)
	return b
}

// TestNothingPrintsASecret prints a secret text, secret bytes, the vault and everything that holds one in every way there
// is, and looks for their bytes (AMN-LOG-002, AMN-LOG-005, CAP-KEY-005).
func TestNothingPrintsASecret(t *testing.T) {
	v := newVault(t, 2)
	key := []byte("the bytes of a key, 32 of them..")
	b := newBytes(t, v, key)
	text := "the text of a token"
	s := NewString(text)
	var forbidden []string
	for _, k := range [][]byte{key, []byte(text)} {
		forbidden = append(forbidden, string(k), hex.EncodeToString(k), fmt.Sprintf("%X", k), fmt.Sprint(k)[1:40], fmt.Sprintf("%#v", k)[8:60],
			base64.StdEncoding.EncodeToString(k)[:22], base64.RawURLEncoding.EncodeToString(k)[:22])
	}
	type inner struct {
		s String
		S String
		b *Bytes
		B *Bytes
		d Bytes
		v *Vault
		w Vault
		l []*Bytes
		m map[string]String
		a any
	}
	holder := inner{s, s, b, b, Bytes{cell: b.cell}, v, Vault{in: v.in}, []*Bytes{b}, map[string]String{"k": s}, b}
	things := map[string]any{
		"string": s, "*string": &s, "bytes": b, "*bytes": *b, "vault": v, "*vault": Vault{in: v.in}, "holder": holder, "*holder": &holder,
		"list": []String{s}, "map": map[string]*Bytes{"k": b}, "error": fmt.Errorf("token %v", s), "joined": errors.Join(fmt.Errorf("%s", b)),
		"nested": struct{ x, y any }{&holder, &s},
	}
	var out strings.Builder
	for name, thing := range things {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t", "%p", "%T", "%e", "%c", "%U", "%z"} {
			fmt.Fprintf(&out, name+" "+verb+"\n", thing)
		}
		if j, err := json.Marshal(thing); err == nil {
			out.Write(j)
		}
		if x, err := xml.Marshal(thing); err == nil {
			out.Write(x)
		}
		slog.New(slog.NewJSONHandler(&out, nil)).Info("m", name, thing)
		slog.New(slog.NewTextHandler(&out, nil)).Info("m", name, thing)
	}
	for _, f := range forbidden {
		if i := strings.Index(out.String(), f); i >= 0 {
			t.Errorf("%q was printed: …%s", f, out.String()[max(0, i-100):i+len(f)])
		}
	}
	for _, thing := range []any{s, &s, b, *b, v} {
		for _, verb := range []string{"%v", "%x", "%#v", "%d", "%t"} {
			if got := fmt.Sprintf(verb, thing); got != "[redacted]" {
				t.Errorf("%s prints %q", verb, got)
			}
		}
	}
	if s.String() != "[redacted]" || b.LogValue().String() != "[redacted]" {
		t.Error("String or LogValue gives something else")
	}
	if j, err := json.Marshal([]any{s, b, v}); err != nil || string(j) != `["[redacted]","[redacted]","[redacted]"]` {
		t.Errorf("JSON %s, %v", j, err)
	}
	if n := strings.Count(out.String(), "[redacted]"); n < 20 {
		t.Errorf("[redacted] was printed %d times", n)
	}
}

func TestString(t *testing.T) {
	s := NewString("a")
	if s.Reveal() != "a" || s.IsZero() {
		t.Error("a secret text lost its text")
	}
	for _, empty := range []String{{}, NewString("")} {
		if empty.Reveal() != "" || !empty.IsZero() || empty != (String{}) {
			t.Error("an empty text is not empty")
		}
	}
}

// TestSlots: their number and size, that each is its own memory, zero at first, and given back.
func TestSlots(t *testing.T) {
	for _, n := range []int{-1, 0, maxSlots + 1} {
		if v, err := NewVault(n); err == nil {
			_ = v.Close()
			t.Errorf("a vault of %d slots", n)
		}
	}
	v := newVault(t, 100) // two pages of 4 KiB
	for _, n := range []int{-1, 0, SlotSize + 1} {
		if _, err := v.New(n); err == nil {
			t.Errorf("a secret of %d bytes", n)
		}
	}
	var all []*Bytes
	for i := range 100 {
		b, err := v.New(1 + i%SlotSize)
		if err != nil {
			t.Fatal(err)
		}
		mem := b.Bytes()
		if len(mem) != 1+i%SlotSize || cap(mem) != len(mem) {
			t.Errorf("slot %d: length %d, capacity %d", i, len(mem), cap(mem))
		}
		for k := range mem {
			if mem[k] != 0 {
				t.Fatalf("slot %d is not zero at first", i)
			}
			mem[k] = byte(i + 1)
		}
		all = append(all, b)
	}
	if _, err := v.New(1); !errors.Is(err, ErrFull) {
		t.Errorf("slot 101 of 100: %v", err)
	}
	if st := v.Stats(); st.Slots != 100 || st.InUse != 100 {
		t.Errorf("%+v", st)
	}
	for i, b := range all {
		if mem := b.Bytes(); bytes.Count(mem, []byte{byte(i + 1)}) != len(mem) {
			t.Errorf("slot %d was overwritten by another", i)
		}
	}
	all[70].Wipe()
	all[70].Wipe()
	if st := v.Stats(); st.InUse != 99 {
		t.Errorf("%d in use after one was wiped twice", st.InUse)
	}
	b, err := v.New(SlotSize)
	if err != nil {
		t.Fatal(err)
	}
	all[70].Wipe() // must not free the slot that is another's by now
	if st := v.Stats(); st.InUse != 100 {
		t.Errorf("%d in use, want 100", st.InUse)
	}
	if !b.Equal(make([]byte, SlotSize)) {
		t.Error("a slot that is used again is not zero")
	}
}

// TestWipe looks at the memory behind a secret after Wipe and before the unmapping of Close (AMN-ZER-005).
func TestWipe(t *testing.T) {
	v := newVault(t, 2)
	key := bytes.Repeat([]byte{7}, SlotSize)
	b := newBytes(t, v, key)
	slot := b.Bytes()
	b.Wipe()
	if bytes.Count(slot, []byte{0}) != SlotSize {
		t.Error("Wipe left bytes behind")
	}
	if b.Bytes() != nil || !errors.Is(b.Use(func([]byte) { t.Error("used after Wipe") }), ErrWiped) {
		t.Error("a wiped secret can be read")
	}
	for _, other := range [][]byte{nil, {}, key, make([]byte, SlotSize)} {
		if b.Equal(other) {
			t.Errorf("a wiped secret equals %x", other)
		}
	}
}

// TestCloseWipes: every secret is gone when Close gives the memory back, and nothing works afterwards (AMN-ZER-005).
func TestCloseWipes(t *testing.T) {
	v, err := NewVault(3)
	if err != nil {
		t.Fatal(err)
	}
	one, two := newBytes(t, v, []byte("one secret")), newBytes(t, v, []byte("another"))
	gone := newBytes(t, v, []byte("third"))
	late := gone.Bytes()
	gone.Wipe()
	copy(late, "late!") // by a caller that did what it may not
	unmap, looked := v.in.unmap, false
	mem := v.in.mem
	v.in.unmap = func() error {
		looked = true
		if bytes.Count(mem, []byte{0}) != len(mem) {
			t.Error("Close gives memory back that is not zero")
		}
		return unmap()
	}
	for range 2 {
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	}
	if !looked || one.Bytes() != nil || two.Bytes() != nil || two.Equal([]byte("another")) {
		t.Error("Close left a secret")
	}
	one.Wipe()
	if _, err := v.New(1); !errors.Is(err, ErrClosed) {
		t.Errorf("New after Close: %v", err)
	}
	if st := v.Stats(); st.InUse != 0 || st.Slots != 3 {
		t.Errorf("%+v", st)
	}
}

// TestEqual (CAP-KEY-004): that its time does not depend on the bytes is a property of crypto/subtle, which it calls; that
// it calls it is in the reading.
func TestEqual(t *testing.T) {
	v := newVault(t, 1)
	key := []byte("0123456789abcdef")
	b := newBytes(t, v, key)
	if !b.Equal(slices.Clone(key)) {
		t.Error("not equal to its own bytes")
	}
	for i := range key {
		other := slices.Clone(key)
		other[i] ^= 1
		if b.Equal(other) || b.Equal(key[:i]) {
			t.Errorf("equal to bytes that differ at %d, or to the first %d", i, i)
		}
	}
	if b.Equal(append(slices.Clone(key), 0)) || b.Equal(nil) {
		t.Error("equal to bytes of another length")
	}
}

// TestUseHoldsOffWipe: nobody sees a key of zeros (CAP-KEY-003, AMN-ZER-005).
func TestUseHoldsOffWipe(t *testing.T) {
	for name, end := range map[string]func(*Vault, *Bytes){
		"wipe":  func(_ *Vault, b *Bytes) { b.Wipe() },
		"close": func(v *Vault, _ *Bytes) { _ = v.Close() },
	} {
		v := newVault(t, 1)
		key := []byte("a key that is being used")
		b := newBytes(t, v, key)
		ended := make(chan struct{})
		err := b.Use(func(secret []byte) {
			if b.cell.mu.TryLock() {
				b.cell.mu.Unlock()
				t.Fatalf("%s: nothing holds it off", name)
			}
			go func() { end(v, b); close(ended) }()
			for b.cell.mu.TryRLock() { // fails as soon as a writer waits
				b.cell.mu.RUnlock()
			}
			if !bytes.Equal(secret, key) {
				t.Errorf("%s: the key was overwritten under its user", name)
			}
			select {
			case <-ended:
				t.Errorf("%s did not wait", name)
			default:
			}
		})
		if err != nil {
			t.Error(err)
		}
		<-ended
		if b.Bytes() != nil {
			t.Errorf("%s: the key is still there", name)
		}
	}
}

// TestConcurrentUse has many goroutines make, read, compare and wipe secrets, and one close the vault under them: whoever
// gets a secret finds its own bytes in it. The race detector sees the rest.
func TestConcurrentUse(t *testing.T) {
	v := newVault(t, 4)
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			want := bytes.Repeat([]byte{byte(g + 1)}, SlotSize)
			for range 500 {
				b, err := v.New(SlotSize)
				if errors.Is(err, ErrClosed) {
					return
				}
				if err != nil {
					if !errors.Is(err, ErrFull) {
						t.Error(err)
					}
					continue
				}
				if b.Use(func(m []byte) { copy(m, want) }) == nil {
					wg.Go(b.Wipe)
					_ = b.Use(func(m []byte) {
						if !bytes.Equal(m, want) {
							t.Errorf("%x in the slot of %d", m, g)
						}
					})
				}
				_, _ = b.Equal(want), v.Stats()
				b.Wipe()
			}
		})
	}
	wg.Go(func() {
		for range 200 {
			_ = v.Stats()
		}
		if err := v.Close(); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	if st := v.Stats(); st.InUse != 0 {
		t.Errorf("%d in use at the end", st.InUse)
	}
}

// TestDo: f is called once, in the same goroutine, and a panic comes through.
func TestDo(t *testing.T) {
	calls := 0
	Do(func() { calls++ })
	defer func() {
		if recover() == nil || calls != 1 {
			t.Errorf("called %d times, or the panic was lost", calls)
		}
	}()
	Do(func() { panic("p") })
}

func BenchmarkNewWipe(b *testing.B) {
	v := newVault(b, 4)
	b.ReportAllocs()
	for b.Loop() {
		s, err := v.New(32)
		if err != nil {
			b.Fatal(err)
		}
		s.Wipe()
	}
}

func BenchmarkUse(b *testing.B) {
	v := newVault(b, 1)
	s := newBytes(b, v, make([]byte, 32))
	f := func([]byte) {}
	b.ReportAllocs()
	for b.Loop() {
		_ = s.Use(f)
	}
}

func BenchmarkEqual(b *testing.B) {
	v := newVault(b, 1)
	key := make([]byte, 32)
	s := newBytes(b, v, key)
	b.ReportAllocs()
	for b.Loop() {
		if !s.Equal(key) {
			b.Fatal("not equal")
		}
	}
}

func BenchmarkDo(b *testing.B) {
	f := func() {}
	b.ReportAllocs()
	for b.Loop() {
		Do(f)
	}
}
