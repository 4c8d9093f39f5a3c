package wire

import (
	"bytes"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// object reads p as exactly one JSON object in valid UTF-8 without duplicate names, and calls member with each
// name and the decoder standing at its value. It stops and returns false as soon as p is no such object or
// member returns false. It is the reader behind every payload that the scanner does not read.
func object(p []byte, member func(name string, dec *jsontext.Decoder) bool) bool {
	dec := jsontext.NewDecoder(bytes.NewBuffer(p))
	if t, err := dec.ReadToken(); err != nil || t.Kind() != jsontext.KindBeginObject {
		return false
	}
	for {
		t, err := dec.ReadToken()
		if err != nil {
			return false
		}
		if t.Kind() == jsontext.KindEndObject {
			_, err := dec.ReadToken()
			return err == io.EOF
		}
		if !member(t.String(), dec) {
			return false
		}
	}
}

// readText reads a JSON string.
func readText(dec *jsontext.Decoder) (string, bool) {
	t, err := dec.ReadToken()
	if err != nil || t.Kind() != jsontext.KindString {
		return "", false
	}
	return t.String(), true
}

// readInteger reads an integer as OAP-OBJ-012 allows it.
func readInteger(dec *jsontext.Decoder) (int64, bool) {
	v, err := dec.ReadValue()
	if err != nil {
		return 0, false
	}
	n, used := parseInteger(v)
	return n, used > 0 && used == len(v)
}

// readBool reads true or false.
func readBool(dec *jsontext.Decoder) (value, ok bool) {
	t, err := dec.ReadToken()
	if err != nil {
		return false, false
	}
	switch t.Kind() {
	case jsontext.KindTrue:
		return true, true
	case jsontext.KindFalse:
		return false, true
	}
	return false, false
}

// readArray reads an array whose elements element reads, and returns them in order; never nil when ok.
func readArray[T any](dec *jsontext.Decoder, element func(*jsontext.Decoder) (T, bool)) (list []T, ok bool) {
	if t, err := dec.ReadToken(); err != nil || t.Kind() != jsontext.KindBeginArray {
		return nil, false
	}
	list = []T{}
	for dec.PeekKind() != jsontext.KindEndArray {
		v, ok := element(dec)
		if !ok {
			return nil, false
		}
		list = append(list, v)
	}
	_, err := dec.ReadToken()
	return list, err == nil
}
