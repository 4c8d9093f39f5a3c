package client

import (
	"errors"
	"io"
	"sync"

	"lukechampine.com/blake3"

	"github.com/rustyonions/micronode/spec"
)

// hashers keeps BLAKE3 states between requests: each is some 10 KiB.
var hashers = sync.Pool{New: func() any { return blake3.New(32, nil) }}

func newHasher() *blake3.Hasher {
	h := hashers.Get().(*blake3.Hasher)
	h.Reset()
	return h
}

func addressOf(h *blake3.Hasher) (a spec.Address) {
	h.Sum(a[:0])
	return a
}

// source is the body of a put: size bytes that can, with some readers, be read again for another attempt.
type source struct {
	r    io.Reader
	size int64
	at   int64 // bytes read in this attempt

	seek  io.Seeker // nil when r can not go back
	start int64     // where in seek the body begins
	used  bool      // an attempt has read from r
	hash  *blake3.Hasher
}

// newSource prepares r. A negative size means unknown: r is then read to its end first, into memory, up to most
// bytes.
func newSource(r io.Reader, size, most int64, http bool) (*source, error) {
	if size > most {
		return nil, &TooLargeError{Size: size, Limit: most, HTTP: http}
	}
	if size < 0 {
		s, err := readSpool(r, most)
		if err != nil {
			return nil, err
		}
		if s.size > most {
			s.wipe()
			return nil, &TooLargeError{Size: -1, Limit: most, HTTP: http}
		}
		return &source{r: s, seek: s, size: s.size, hash: newHasher()}, nil
	}
	src := &source{r: r, size: size, hash: newHasher()}
	if seek, ok := r.(io.Seeker); ok {
		if at, err := seek.Seek(0, io.SeekCurrent); err == nil { // a pipe has the method, too, and fails
			src.seek, src.start = seek, at
		}
	}
	return src, nil
}

// rewind begins an attempt. It fails when the body was begun before and can not be read again.
func (s *source) rewind() error {
	s.hash.Reset()
	s.at = 0
	if !s.used {
		return nil
	}
	if s.seek == nil {
		return errors.New("the input can be read only once")
	}
	_, err := s.seek.Seek(s.start, io.SeekStart)
	return err
}

// rewindable says that another attempt is possible.
func (s *source) rewindable() bool { return !s.used || s.seek != nil }

// Read reads what is left of the size bytes, and hashes it. An input that ends early is io.ErrUnexpectedEOF.
func (s *source) Read(p []byte) (int, error) {
	left := s.size - s.at
	if left == 0 {
		return 0, io.EOF
	}
	s.used = true
	n, err := s.r.Read(p[:min(int64(len(p)), left)])
	_, _ = s.hash.Write(p[:n]) // a hash takes everything
	s.at += int64(n)
	if err == io.EOF && s.at < s.size {
		err = io.ErrUnexpectedEOF
	}
	if s.at == s.size {
		err = nil
	}
	return n, err
}

// sum is the address of the bytes read in this attempt.
func (s *source) sum() spec.Address { return addressOf(s.hash) }

// close ends the use of the source; what a spool held is overwritten.
func (s *source) close() {
	hashers.Put(s.hash)
	if sp, ok := s.r.(*spool); ok {
		sp.wipe()
	}
}

// spool holds a body of unknown length in memory, in pieces as they arrived: no piece is ever moved, and there is
// no second copy.
type spool struct {
	pieces [][]byte
	size   int64
	at     int64
}

// readSpool reads r to its end, or until more than most bytes are there.
func readSpool(r io.Reader, most int64) (*spool, error) {
	s := &spool{}
	for s.size <= most {
		piece := make([]byte, spec.MaxChunk)
		n, err := io.ReadFull(r, piece)
		if n > 0 {
			s.pieces = append(s.pieces, piece[:n])
			s.size += int64(n)
		}
		if err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF) {
			return s, nil
		}
		if err != nil {
			s.wipe()
			return nil, local("read input", err)
		}
	}
	return s, nil
}

// Read implements io.Reader.
func (s *spool) Read(p []byte) (int, error) {
	if s.at == s.size {
		return 0, io.EOF
	}
	piece := s.pieces[s.at/spec.MaxChunk]
	n := copy(p, piece[s.at%spec.MaxChunk:])
	s.at += int64(n)
	return n, nil
}

// Seek implements io.Seeker, for going back to the start only.
func (s *spool) Seek(offset int64, whence int) (int64, error) {
	if whence != io.SeekStart || offset < 0 || offset > s.size {
		return 0, errors.ErrUnsupported
	}
	s.at = offset
	return offset, nil
}

func (s *spool) wipe() {
	for _, p := range s.pieces {
		clear(p)
	}
	s.pieces, s.size, s.at = nil, 0, 0
}

// sink is where a get delivers, over as many attempts as it takes.
type sink struct {
	w    io.Writer
	addr spec.Address
	off  int64 // of the request
	len  int64 // of the request; negative: to the end
	n    int64 // delivered so far
	want int64 // bytes of the whole answer; -1 until an attempt has told
	open bool  // want is only a bound: the answer says where it ends, but not in advance

	hash *blake3.Hasher // nil when a range was asked for that can not be verified
	bad  error          // what w answered
}

func newSink(w io.Writer, addr spec.Address, off, length int64) *sink {
	s := &sink{w: w, addr: addr, off: off, len: length, want: -1}
	if off == 0 {
		s.hash = newHasher()
	}
	return s
}

// rest is the range that is still missing; n is negative for "to the end".
func (s *sink) rest() (off, n int64) {
	if s.len < 0 {
		return s.off + s.n, -1
	}
	return s.off + s.n, s.len - s.n
}

// expect takes the length of the answer of this attempt. It has to fit the request and earlier attempts.
func (s *sink) expect(answer int64) error {
	want := s.n + answer
	switch {
	case want > spec.MaxObject:
		return broken(spec.Oversize, "the node announces %d bytes, more than an object can have", want)
	case s.len >= 0 && want > s.len:
		return broken(spec.Oversize, "the node announces %d bytes, more than were asked for", want)
	case s.want >= 0 && !s.open && want != s.want:
		return broken(spec.Integrity, "the object had %d bytes before and has %d now", s.want, want)
	}
	s.want, s.open = want, false
	return nil
}

// expectAny is expect for an answer that does not tell its length. Only a whole object can come this way, because
// its digest is what then tells whether it is complete.
func (s *sink) expectAny() error {
	if s.len >= 0 || s.hash == nil || s.want >= 0 && !s.open {
		return broken(spec.Malformed, "the node does not say how long its answer is")
	}
	s.want, s.open = spec.MaxObject, true
	return nil
}

// deliver takes the next bytes of the body. More than announced is an error before any of them is written.
func (s *sink) deliver(p []byte) error {
	if s.n+int64(len(p)) > s.want {
		return broken(spec.Oversize, "the node sends more than the %d bytes it announced", s.want)
	}
	if s.hash != nil {
		_, _ = s.hash.Write(p) // a hash takes everything
	}
	n, err := s.w.Write(p)
	s.n += int64(n)
	if err == nil && n < len(p) {
		err = io.ErrShortWrite
	}
	if err != nil {
		s.bad = local("write output", err)
	}
	return s.bad
}

// finish judges the complete answer; size is that of the whole object as the node told it.
func (s *sink) finish(size int64) error {
	if s.open {
		s.want, size = s.n, s.n
	}
	if s.n != s.want {
		return broken(spec.Truncated, "the node ended after %d of %d bytes", s.n, s.want)
	}
	whole := max(0, size-s.off)
	if s.len >= 0 {
		whole = min(whole, s.len)
	}
	if s.n != whole {
		return broken(spec.Truncated, "the node sent %d bytes of an object of %d", s.n, size)
	}
	if s.hash != nil && s.n == size && addressOf(s.hash) != s.addr {
		return broken(spec.Integrity, "the %d bytes that the node sent hash to %s, not to the address that was asked for", s.n, addressOf(s.hash))
	}
	return nil
}

func (s *sink) close() {
	if s.hash != nil {
		hashers.Put(s.hash)
		s.hash = nil
	}
}
