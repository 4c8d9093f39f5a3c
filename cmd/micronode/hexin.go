package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// sniffMost is how many bytes are looked at to tell hex from binary.
const sniffMost = 1 << 20

// sniffHex reads from in until it sees a byte that can not be in hex text, and gives everything back in front of
// the rest. An input of hex digits and white space only is hex, also the empty one.
func sniffHex(in io.Reader) (again io.Reader, isHex bool, err error) {
	var seen []byte
	buf := make([]byte, 64<<10)
	for isHex = true; isHex && len(seen) < sniffMost; {
		n, err := in.Read(buf)
		for _, c := range buf[:n] {
			isHex = isHex && (isSpace(c) || hexValue(c) < 16)
		}
		seen = append(seen, buf[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, false, fmt.Errorf("read input: %w", err)
		}
	}
	return io.MultiReader(bytes.NewReader(seen), in), isHex, nil
}

// hexReader decodes hex text; white space is allowed anywhere.
type hexReader struct {
	r  *bufio.Reader
	at int64 // bytes of text read
}

// Read implements io.Reader. Text that is not hex is a mistake of usage.
func (h *hexReader) Read(p []byte) (int, error) {
	for n := range p {
		hi, err := h.digit()
		if err != nil {
			if err == io.EOF && n > 0 {
				err = nil
			}
			return n, err
		}
		lo, err := h.digit()
		if err == io.EOF {
			err = usagef("the hex input ends in the middle of a byte")
		}
		if err != nil {
			return n, err
		}
		p[n] = hi<<4 | lo
	}
	return len(p), nil
}

func (h *hexReader) digit() (byte, error) {
	for {
		c, err := h.r.ReadByte()
		if err != nil {
			return 0, err
		}
		h.at++
		if isSpace(c) {
			continue
		}
		if v := hexValue(c); v < 16 {
			return v, nil
		}
		return 0, usagef("byte %d of the hex input is no hex digit (for binary input: --binary)", h.at)
	}
}

func isSpace(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }

// hexValue is the value of a hex digit, or 255.
func hexValue(c byte) byte {
	switch {
	case '0' <= c && c <= '9':
		return c - '0'
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10
	}
	return 255
}
