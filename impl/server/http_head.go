package server

import (
	"net/http"
	"strconv"
	"strings"
)

// noneMatch says whether an If-None-Match names the entity tag, weakly or strongly, or any (HTTP-GET-008). What
// is not a list of entity tags is ignored (HTTP-GET-010).
func noneMatch(fields []string, etag string) bool {
	if len(fields) == 0 {
		return false
	}
	list := strings.Join(fields, ",")
	if strings.Trim(list, " \t") == "*" {
		return true
	}
	found := false
	for list = strings.Trim(list, " \t,"); list != ""; list = strings.TrimLeft(list, " \t,") {
		tag := strings.TrimPrefix(list, "W/")
		if tag == "" || tag[0] != '"' {
			return false
		}
		end := strings.IndexByte(tag[1:], '"')
		if end < 0 {
			return false
		}
		found = found || tag[:end+2] == etag
		if list = strings.TrimLeft(tag[end+2:], " \t"); list != "" && list[0] != ',' {
			return false
		}
	}
	return found
}

// selectRange says which bytes [from, to) of an object a GET asks for, and the status (HTTP-RNG).
func selectRange(h http.Header, etag string, size int64) (from, to int64, status int) {
	field := h["Range"]
	if len(field) != 1 || size == 0 {
		return 0, size, http.StatusOK
	}
	if cond := h["If-Range"]; len(cond) > 1 || len(cond) == 1 && cond[0] != etag {
		return 0, size, http.StatusOK
	}
	from, to, ok := parseRange(field[0], size)
	switch {
	case !ok:
		return 0, size, http.StatusOK
	case from >= size || from == to:
		return 0, 0, http.StatusRequestedRangeNotSatisfiable
	}
	return from, to, http.StatusPartialContent
}

// parseRange reads one byte range, cut at size. ok is false for everything that is to be ignored (HTTP-RNG-005);
// a range beyond the end comes back with from >= size or from == to.
func parseRange(s string, size int64) (from, to int64, ok bool) {
	unit, spec, ok := strings.Cut(s, "=")
	if !ok || !strings.EqualFold(unit, "bytes") {
		return 0, 0, false
	}
	first, last, ok := strings.Cut(strings.Trim(spec, " \t"), "-")
	if !ok {
		return 0, 0, false
	}
	if first == "" { // the last n bytes
		n, ok := position(last)
		return size - min(n, size), size, ok
	}
	if from, ok = position(first); !ok {
		return 0, 0, false
	}
	if last == "" {
		return from, max(size, from), true
	}
	end, ok := position(last)
	if !ok || end < from {
		return 0, 0, false
	}
	return from, max(from, min(size, end+1)), true
}

// position reads decimal digits and nothing else. A number too large for 63 bits means "beyond every end".
func position(s string) (int64, bool) {
	if s == "" || strings.Trim(s, "0123456789") != "" {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		n = 1 << 62
	}
	return n, true
}
