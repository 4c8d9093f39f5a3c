package refcap

import (
	"bytes"
	"slices"
	"testing"

	"gopkg.in/macaroon.v2"
	"pgregory.net/rapid"
)

// drawn is a token and the library's macaroon of the same parts.
func drawn(t *rapid.T) (root []byte, ours Token, theirs *macaroon.Macaroon) {
	some := rapid.SliceOfN(rapid.Byte(), 1, 300)
	root = some.Draw(t, "root")
	id := some.Draw(t, "id")
	location := rapid.StringN(0, 20, 40).Draw(t, "location")
	ours = New(root, id, location)
	theirs, err := macaroon.New(root, id, location, macaroon.V2)
	if err != nil {
		t.Fatal(err)
	}
	for range rapid.IntRange(0, 6).Draw(t, "caveats") {
		c := some.Draw(t, "caveat")
		ours = ours.With(string(c))
		if err := theirs.AddFirstPartyCaveat(c); err != nil {
			t.Fatal(err)
		}
	}
	return root, ours, theirs
}

// Bytes, signature and verdict are those of another implementation (CAP-TOK-001, CAP-HMC-001).
func TestLikeTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root, ours, theirs := drawn(t)
		want, err := theirs.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(ours.Bytes(), want) {
			t.Fatalf("bytes are\n%x, the library has\n%x", ours.Bytes(), want)
		}
		got, rest, err := Parse(append(slices.Clone(want), "behind"...))
		if err != nil || string(rest) != "behind" || !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("parsed: %v, %q behind", err, rest)
		}
		if !got.Verify(root) || got.Verify(append(root, 1)) {
			t.Fatal("the signature")
		}
	})
}

// Discharges made here satisfy the library, and the other way round (CAP-TOK-008).
func TestDischargesLikeTheLibrary(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		root, ours, _ := drawn(t)
		secret, id := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "secret"), []byte("who are you")
		ours = ours.WithThirdParty(secret, id, [24]byte(rapid.SliceOfN(rapid.Byte(), 24, 24).Draw(t, "nonce")), "elsewhere").With("last")
		discharge := New(secret, id, "elsewhere").With("exp <= 5")
		bound := discharge.Bound(ours)
		library := func(t0 Token) *macaroon.Macaroon {
			var m macaroon.Macaroon
			if err := m.UnmarshalBinary(t0.Bytes()); err != nil {
				t.Fatal(err)
			}
			return &m
		}
		for _, x := range []struct {
			name       string
			discharges []Token
			want       bool
		}{
			{"bound", []Token{bound}, true},
			{"none", nil, false},
			{"unbound", []Token{discharge}, false},
			{"twice", []Token{bound, bound}, false},
			{"one more", []Token{bound, New(secret, []byte("other"), "").Bound(ours)}, false},
			{"another secret", []Token{New(append(secret, 1), id, "").Bound(ours)}, false},
			{"bound to another", []Token{discharge.Bound(ours.With("x"))}, false},
		} {
			var all []*macaroon.Macaroon
			for _, d := range x.discharges {
				all = append(all, library(d))
			}
			theirs := library(ours).Verify(root, func(string) error { return nil }, all) == nil
			if got := ours.Verify(root, x.discharges...); got != x.want || theirs != x.want {
				t.Fatalf("%s: verifies %v, with the library %v, want %v", x.name, got, theirs, x.want)
			}
		}
	})
}

// Whatever one byte more, less or other makes of a token is not read, or is not signed.
func TestAltered(t *testing.T) {
	root := []byte("the root key")
	token := New(root, Identifier(1, [8]byte{1}, [16]byte{2}), "here").With("exp <= 5", "op in get")
	good := token.Bytes()
	if got, err := ParseText(token.Text()); err != nil || !got.Verify(root) {
		t.Fatalf("the token itself: %v", err)
	}
	signed := func(b []byte) bool {
		got, rest, err := Parse(b)
		return err == nil && len(rest) == 0 && got.Verify(root)
	}
	place := bytes.Index(good, []byte("here")) // nobody signs the location (CAP-IDN-004)
	for i := range good {
		if i >= place && i < place+len("here") {
			continue
		}
		other := slices.Clone(good)
		other[i] ^= 0x20
		if signed(other) {
			t.Errorf("verifies with byte %d altered", i)
		}
		if signed(good[:i]) {
			t.Errorf("verifies when cut at %d", i)
		}
	}
	if signed(append(slices.Clone(good), 0)) {
		t.Error("verifies with a byte behind it")
	}
}

// One encoding is read, and every other is not (CAP-TOK-007).
func TestOneEncoding(t *testing.T) {
	token := New([]byte("k"), []byte("id"), "").With("exp <= 5")
	for name, alter := range map[string]func(*Shape){
		"version":             func(s *Shape) { s.Version = 1 },
		"two identifiers":     func(s *Shape) { s.Header = append(s.Header, s.Header[0]) },
		"no identifier":       func(s *Shape) { s.Header = nil },
		"empty location":      func(s *Shape) { s.Header = append([]Field{{FieldLocation, nil}}, s.Header...) },
		"location behind":     func(s *Shape) { s.Header = append(s.Header, Field{FieldLocation, []byte("x")}) },
		"first-party place":   func(s *Shape) { s.Caveats[0] = append([]Field{{FieldLocation, []byte("x")}}, s.Caveats[0]...) },
		"empty vid":           func(s *Shape) { s.Caveats[0] = append(s.Caveats[0], Field{FieldVerificationID, nil}) },
		"caveat without id":   func(s *Shape) { s.Caveats[0] = []Field{{FieldVerificationID, []byte("x")}} },
		"short signature":     func(s *Shape) { s.Tail[0].Data = s.Tail[0].Data[1:] },
		"two signatures":      func(s *Shape) { s.Tail = append(s.Tail, s.Tail[0]) },
		"no signature":        func(s *Shape) { s.Tail = nil },
		"unknown field":       func(s *Shape) { s.Header = append(s.Header, Field{9, []byte("x")}) },
		"signature elsewhere": func(s *Shape) { s.Tail[0].Type = FieldIdentifier },
	} {
		s := token.Shape()
		alter(&s)
		if _, rest, err := Parse(s.Bytes()); err == nil && len(rest) == 0 {
			t.Errorf("%s: read", name)
		}
	}
	// A length in more bytes than it needs.
	b := token.Bytes()
	long := slices.Concat(b[:2], []byte{b[2] | 0x80, 0}, b[3:])
	if _, _, err := Parse(long); err == nil {
		t.Error("a longer length is read")
	}
}

func TestIdentifier(t *testing.T) {
	token := New([]byte("k"), Identifier(1, [8]byte{1, 2}, [16]byte{3, 4}), "")
	key, ok := token.KeyID()
	id, ok2 := token.CapID()
	if !ok || !ok2 || key != [8]byte{1, 2} || id != [16]byte{3, 4} || len(token.ID) != 25 {
		t.Errorf("%x %x", key, id)
	}
	for _, other := range [][]byte{nil, token.ID[1:], append(slices.Clone(token.ID), 0), append([]byte{2}, token.ID[1:]...)} {
		x := New([]byte("k"), other, "")
		_, ok := x.KeyID()
		_, ok2 := x.CapID()
		if ok || ok2 {
			t.Errorf("%x is read", other)
		}
	}
}
