package keys

import (
	"encoding/json"
	"slices"
	"time"
)

const (
	// PurposeStatement is the context string of a signed statement (CAP-KEY-011).
	PurposeStatement = "micronode/statement/1"
	// maxStatement is the longest text of a statement in bytes, far above what a node has to say.
	maxStatement = 16 << 10
	// maxWord is the longest name or version in a statement, in bytes.
	maxWord = 64
)

// Statement is what a node promises about itself (CAP-KEY-009). Names, the version and the mode are words of 1 to 64
// characters of A-Z a-z 0-9 . _ + : / -, so that they stand in JSON as they are.
type Statement struct {
	Version  string           `json:"version"`
	Limits   map[string]int64 `json:"limits"`
	Features []string         `json:"features"` // sorted, without repetition
	Amnesia  bool             `json:"amnesia"`
	PQMode   string           `json:"pq_mode"`
	Identity string           `json:"identity"` // the id of the identity that signs
	Made     time.Time        `json:"made"`     // UTC, whole seconds
}

// SignedStatement is a statement as its node gives it out: the text, and what both keys signed of it.
type SignedStatement struct {
	Text      string    `json:"text"`
	Signature Signature `json:"signature"`
}

// UnmarshalJSON reads what encoding/json makes of a SignedStatement, with any white space, and nothing else. The error is
// malformed.
func (s *SignedStatement) UnmarshalJSON(data []byte) error {
	type plain SignedStatement
	var p plain
	if err := strictly(data, &p); err != nil {
		return err
	}
	*s = SignedStatement(p)
	return nil
}

// Sign fills in the id of the identity, sorts the features, cuts the time to seconds in UTC and signs the canonical JSON: no
// white space, the members in the order of Statement, the limits sorted by name. The error has the reason internal.
func (s Statement) Sign(id *Identity) (SignedStatement, error) {
	s.Identity = id.in.public.ID()
	s.Features = slices.Sorted(slices.Values(s.Features))
	s.Made = s.Made.UTC().Truncate(time.Second)
	text, err := s.canonical()
	if err != nil {
		return SignedStatement{}, internal("statement", err)
	}
	sig, err := id.Sign(PurposeStatement, text)
	if err != nil {
		return SignedStatement{}, err
	}
	return SignedStatement{Text: string(text), Signature: sig}, nil
}

// VerifyStatement returns the statement if both keys signed exactly this text as a statement and it names them as its
// identity (CAP-KEY-006, CAP-KEY-009, CAP-KEY-011). The error is unauth where a signature does not verify or the identity is
// another, and malformed otherwise.
func VerifyStatement(p PublicKey, signed SignedStatement) (Statement, error) {
	if len(signed.Text) > maxStatement {
		return Statement{}, malformed("the statement is too long")
	}
	if err := p.Verify(PurposeStatement, []byte(signed.Text), signed.Signature); err != nil {
		return Statement{}, err
	}
	var s Statement
	if err := json.Unmarshal([]byte(signed.Text), &s); err != nil {
		return Statement{}, malformed("the statement is not in JSON")
	}
	again, err := s.canonical()
	if err != nil {
		return Statement{}, err
	}
	if string(again) != signed.Text {
		return Statement{}, malformed("the statement is not canonical")
	}
	if s.Identity != p.ID() {
		return Statement{}, unauth("the statement is of another identity")
	}
	return s, nil
}

// canonical is the one text of s, or a malformed error.
func (s Statement) canonical() ([]byte, error) {
	words := append([]string{s.Version, s.PQMode, s.Identity}, s.Features...)
	for name := range s.Limits {
		words = append(words, name)
	}
	for _, w := range words {
		if !isWord(w) {
			return nil, malformed("a word of the statement has other characters or another length")
		}
	}
	for i := range max(0, len(s.Features)-1) {
		if s.Features[i] >= s.Features[i+1] {
			return nil, malformed("the features are not sorted, or one is there twice")
		}
	}
	if s.Features == nil {
		s.Features = []string{}
	}
	if s.Limits == nil {
		s.Limits = map[string]int64{}
	}
	if y := s.Made.Year(); s.Made.Nanosecond() != 0 || s.Made.Location() != time.UTC || y < 1970 || y > 9999 {
		return nil, malformed("the time is not in UTC and whole seconds")
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, malformed("the statement has no JSON")
	}
	if len(text) > maxStatement {
		return nil, malformed("the statement is too long")
	}
	return text, nil
}

func isWord(w string) bool {
	for _, c := range []byte(w) {
		switch {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case c == '.' || c == '_' || c == '+' || c == ':' || c == '/' || c == '-':
		default:
			return false
		}
	}
	return 1 <= len(w) && len(w) <= maxWord
}
