package wire

// maxInteger is the largest integer in a payload: 2^53 - 1 (OAP-OBJ-012).
const maxInteger = 1<<53 - 1

// scanner reads one JSON object with string and integer members from a payload, without allocating. It knows
// just enough JSON for the payloads of the hot path, and is strict about all of it. The one thing that it can not
// read is an escape in a string: it then gives up, and the slow path (slow.go) decides. Once bad or escaped is
// set nothing that it returns means anything.
type scanner struct {
	p       []byte
	i       int
	members int
	seen    uint // bits of the known keys that were there
	bad     bool // the payload is malformed
	escaped bool // the payload has an escape: not malformed as far as known, but beyond this scanner
}

// member moves to the next member of the object and returns its key; the scanner then stands at its value.
// more is false behind the last member, and when the payload is bad or escaped.
func (s *scanner) member() (key []byte, more bool) {
	s.space()
	if s.members == 0 {
		s.want('{')
		s.space()
	}
	switch {
	case s.bad:
		return nil, false
	case s.peek() == '}':
		s.i++
		s.space()
		if s.i != len(s.p) {
			s.bad = true // bytes behind the object
		}
		return nil, false
	case s.members > 0:
		s.want(',')
		s.space()
	}
	s.members++
	key = s.text()
	s.space()
	s.want(':')
	s.space()
	return key, !s.bad && !s.escaped
}

// once notes that the known key with the given number was seen; a second time is a duplicate.
func (s *scanner) once(key uint) {
	if s.seen&(1<<key) != 0 {
		s.bad = true
	}
	s.seen |= 1 << key
}

// space skips white space.
func (s *scanner) space() {
	for s.i < len(s.p) {
		switch s.p[s.i] {
		case ' ', '\t', '\n', '\r':
			s.i++
		default:
			return
		}
	}
}

// peek is the byte that the scanner stands at, or 0 at the end: NUL is legal nowhere in JSON.
func (s *scanner) peek() byte {
	if s.i < len(s.p) {
		return s.p[s.i]
	}
	return 0
}

// want takes the byte c.
func (s *scanner) want(c byte) {
	if s.peek() != c {
		s.bad = true
		return
	}
	s.i++
}

// text takes a string and returns what is between the quotes. It does not look for control characters and broken
// UTF-8: every caller compares the text with printable ASCII, so that no such string is ever accepted.
func (s *scanner) text() []byte {
	s.want('"')
	start := s.i
	for !s.bad && s.i < len(s.p) {
		switch s.p[s.i] {
		case '"':
			s.i++
			return s.p[start : s.i-1]
		case '\\':
			s.escaped = true
			return nil
		}
		s.i++
	}
	s.bad = true
	return nil
}

// integer takes an integer as OAP-OBJ-012 allows it. What follows is for the caller's next member to judge:
// a fraction, an exponent or one more digit behind a zero is neither a comma nor a brace.
func (s *scanner) integer() int64 {
	n, used := parseInteger(s.p[s.i:])
	if used == 0 {
		s.bad = true
	}
	s.i += used
	return n
}

// parseInteger reads the integer at the start of p: decimal digits, no sign, no leading zero, at most 2^53 - 1.
// used is the number of its bytes, 0 when there is none.
func parseInteger(p []byte) (n int64, used int) {
	for used < len(p) && '0' <= p[used] && p[used] <= '9' {
		n = n*10 + int64(p[used]-'0')
		if n > maxInteger {
			return 0, 0
		}
		used++
		if p[0] == '0' {
			break
		}
	}
	return n, used
}
