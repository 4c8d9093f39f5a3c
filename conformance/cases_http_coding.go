package conformance

import (
	"bytes"
	"compress/gzip"
	"strings"

	"github.com/rustyonions/micronode/spec"
)

// httpCodingCases are about HTTP-ENC and the ratio of ADM-HTP.
func httpCodingCases() []Case {
	return []Case{
		{ID: "http-codings", Rules: []string{"HTTP-ENC-001", "CAS-ADR-004"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "gzip and zstd uploads, in any case of the name, with a length or chunked, store the decoded bytes.",
			Run:         httpCodings},
		{ID: "http-coding-refused", Rules: []string{"HTTP-ENC-002"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "Other, stacked and repeated codings are refused before the body.",
			Run:         httpCodingRefused},
		{ID: "http-coding-hint", Rules: []string{"HTTP-ENC-003"}, Level: spec.Should, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "The refusal of a coding names those that would be taken.",
			Run:         httpCodingHint},
		{ID: "http-gzip-exact", Rules: []string{"HTTP-ENC-004", "HTTP-ENC-007"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A gzip body is one whole member: no second, no trailing byte, no wrong checksum or length, no cut.",
			Run:         httpGzipExact},
		{ID: "http-zstd-exact", Rules: []string{"HTTP-ENC-005", "HTTP-ENC-007"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileObjects,
			Description: "A zstd body is one whole frame: no second, no skippable, no trailing byte, no dictionary, no cut.",
			Run:         httpZstdExact},
		{ID: "http-zstd-announced", Rules: []string{"HTTP-ENC-006"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity,
			Description: "A zstd body that announces a window above 8 MiB or a content above the cap is refused although it is small.",
			Run:         httpZstdAnnounced},
		{ID: "http-ratio-edge", Rules: []string{"ADM-HTP-004", "ADM-HTP-006"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity,
			Description: "A small coded body may decode to 10,240 bytes and a large one to 1 MiB, with a length or chunked; one byte more is refused.",
			Run:         httpRatioEdge},
		{ID: "http-bombs", Rules: []string{"ADM-HTP-005", "ADM-HTP-004"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity, Own: true,
			Description: "Bombs in both codings, of up to 1 GiB, are refused and leave the memory of the node as it was.",
			Run:         httpBombs},
	}
}

func gzipped(b []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	w.Write(b)
	w.Close()
	return out.Bytes()
}

func zstded(b []byte) []byte { return zstdFrame(zwindow8M, -1, zstored(b)...) }

func coded(coding string, body []byte, more ...string) Request {
	return Request{Method: "POST", Path: "/put", Headers: append([]string{"Content-Encoding: " + coding}, more...), Body: body}
}

func httpCodings(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	for _, name := range []string{"gzip", "GZIP", "GZip", "zstd", "ZSTD", "Zstd"} {
		for _, inChunks := range []bool{false, true} {
			data := append(t.Bytes(2000), bytes.Repeat([]byte{'x'}, 2000)...)
			body := gzipped(data)
			if strings.EqualFold(name, "zstd") {
				body = zstded(data)
			}
			t.Owe(AddressOf(data))
			r := coded(name, body)
			r.Chunked = inChunks
			t.Acknowledges(t.Want(t.Do(r), 201), AddressOf(data))
			t.Serves(data)
			t.Misses(AddressOf(body))
			r = Request{Method: "PUT", Path: Object(AddressOf(data)), Headers: r.Headers, Body: body, Chunked: inChunks}
			t.Want(t.Do(r), 200)
			r.Path = Object(AddressOf(body))
			t.Refuses(t.Do(r), spec.BadDigest)
		}
	}
}

func httpCodingRefused(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(100)
	for _, headers := range [][]string{
		{"br"}, {"deflate"}, {"compress"}, {"gzip, gzip"}, {"gzip, zstd"}, {"zstd,gzip"}, {"gzip", "gzip"}, {"gzip", "zstd"},
		{"identity, gzip"}, {"x"}, {"gzip;q=1"}, {"*"},
	} {
		raw := t.Raw()
		head := []string{"Content-Length: 100000"}
		for _, h := range headers {
			head = append(head, "Content-Encoding: "+h)
		}
		raw.Head("PUT", Object(AddressOf(data)), head...)
		t.Refuses(raw.Response("PUT"), spec.UnsupportedEncoding) // no byte of the body was sent
	}
	t.Misses(AddressOf(data))
}

func httpCodingHint(t *T) {
	data := t.Bytes(30)
	t.Owe(AddressOf(data))
	t.Control(func() { t.Want(t.Do(coded("gzip", gzipped(data))), 201) })
	r := t.Do(coded("br", []byte("x")))
	t.Refuses(r, spec.UnsupportedEncoding)
	t.Check(r.Header.Get("Accept-Encoding") == "gzip, zstd", "Accept-Encoding is %q", r.Header.Get("Accept-Encoding"))
}

func httpGzipExact(t *T) {
	data := t.Bytes(3000)
	good := gzipped(data)
	t.Owe(AddressOf(data))
	t.Control(func() {
		t.Acknowledges(t.Want(t.Do(coded("gzip", good)), 201), AddressOf(data))
		t.Want(t.Do(Request{Method: "DELETE", Path: Object(AddressOf(data))}), 204)
	})
	flip := func(at int) []byte {
		b := bytes.Clone(good)
		b[at] ^= 1
		return b
	}
	n := len(good)
	for _, bad := range [][]byte{
		append(bytes.Clone(good), good...), append(bytes.Clone(good), 0), append(bytes.Clone(good), gzipped(nil)...),
		flip(n - 8), flip(n - 1), flip(0), flip(2), good[:n-1], good[:n-8], good[:n/2], good[:10], good[:1], {}, data,
	} {
		for _, inChunks := range []bool{false, true} {
			r := coded("gzip", bad)
			r.Chunked = inChunks && len(bad) > 0
			t.Refuses(t.Do(r), spec.Malformed)
		}
	}
	t.Misses(AddressOf(data))
}

func httpZstdExact(t *T) {
	data := t.Bytes(3000)
	good := zstdFrame(zwindow128K, int64(len(data)), zstored(data)...)
	t.Owe(AddressOf(data))
	t.Control(func() {
		t.Acknowledges(t.Want(t.Do(coded("zstd", good)), 201), AddressOf(data))
		t.Want(t.Do(Request{Method: "DELETE", Path: Object(AddressOf(data))}), 204)
	})
	skippable := []byte{0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 'h', 'i', 'd', 'e'}
	alter := func(at int, to byte) []byte {
		b := bytes.Clone(good)
		b[at] = to
		return b
	}
	n := len(good)
	for _, bad := range [][]byte{
		append(bytes.Clone(good), good...), append(bytes.Clone(good), 0), append(bytes.Clone(good), skippable...), append(bytes.Clone(skippable), good...),
		zstdFrame(zwindow128K, int64(len(data)-1), zstored(data)...), zstdFrame(zwindow128K, int64(len(data)+1), zstored(data)...),
		alter(4, good[4]|8), alter(0, 0), good[:n-1], good[:n/2], good[:5], good[:1], {}, data,
		append(append(bytes.Clone(good[:4]), 1, zwindow128K, 7), good[14:]...), // dictionary 7
	} {
		for _, inChunks := range []bool{false, true} {
			r := coded("zstd", bad)
			r.Chunked = inChunks && len(bad) > 0
			t.Refuses(t.Do(r), spec.Malformed)
		}
	}
	t.Misses(AddressOf(data))
}

func httpZstdAnnounced(t *T) {
	data := t.Bytes(500)
	t.Owe(AddressOf(data))
	t.Control(func() {
		t.HTTPRoundTrip()
		t.Want(t.Do(coded("zstd", zstdFrame(zwindow8M, int64(len(data)), zstored(data)...))), 201)
		t.Want(t.Do(Request{Method: "DELETE", Path: Object(AddressOf(data))}), 204)
	})
	for _, bad := range [][]byte{
		zstdFrame(zwindow8M+1, -1, zstored(data)...),
		zstdFrame(31<<3, -1, zstored(data)...),
		zstdFrame(zwindow128K, spec.MaxBody+1, zstored(data)...),
		zstdFrame(zwindow128K, spec.MaxRatio*spec.RatioFloor+1, zstored(data)...),
		zstdFrame(zwindow128K, 1<<62, zstored(data)...),
	} {
		t.Refuses(t.Do(coded("zstd", bad)), spec.DecompressCap)
	}
	r := coded("zstd", zstdFrame(zwindow128K, spec.MaxBody+1, zstored(data)...))
	r.Chunked = true
	t.Refuses(t.Do(r), spec.DecompressCap)
	t.Misses(AddressOf(data))
}

func httpRatioEdge(t *T) {
	const small = spec.MaxRatio * spec.RatioFloor
	large := spec.MaxBody/spec.MaxRatio + 2000
	expanding := map[string]func(stored []byte, n int) (body, data []byte){
		"gzip": func(stored []byte, n int) ([]byte, []byte) {
			data := append(bytes.Clone(stored), make([]byte, n-len(stored))...)
			return gzipped(data), data
		},
		"zstd": func(stored []byte, n int) ([]byte, []byte) {
			data := append(bytes.Clone(stored), make([]byte, n-len(stored))...)
			return zstdFrame(zwindow8M, -1, append(zstored(stored), zrun(0, n-len(stored))...)...), data
		},
	}
	for coding, expand := range expanding {
		for _, inChunks := range []bool{false, true} {
			send := func(stored, n int) (*Response, []byte) {
				body, data := expand(t.Bytes(stored), n)
				t.Owe(AddressOf(data))
				r := coded(coding, body)
				r.Chunked = inChunks
				return t.Do(r), data
			}
			t.Control(func() {
				r, data := send(100, small)
				t.Acknowledges(t.Want(r, 201), AddressOf(data))
				r, data = send(large, spec.MaxBody)
				t.Acknowledges(t.Want(r, 201), AddressOf(data))
			})
			for _, over := range [][2]int{{100, small + 1}, {100, 30_000}, {large, spec.MaxBody + 1}, {20_000, 250_000}} {
				r, data := send(over[0], over[1])
				t.Refuses(r, spec.DecompressCap)
				t.Misses(AddressOf(data))
			}
		}
	}
}

func httpBombs(t *T) {
	const slack = 64 << 20
	node := t.Spawn()
	t.Control(func() { node.HTTPRoundTrip() })
	bombs := []Request{
		coded("gzip", gzipped(make([]byte, 64<<20))),
		coded("zstd", zstdFrame(zwindow8M, -1, zrun(0, 1<<30)...)),
		coded("zstd", zstdFrame(zwindow8M, 1<<30, zrun(0, 1<<30)...)),
		coded("zstd", zstdFrame(zwindow8M, -1, append(zstored(make([]byte, 900<<10)), zrun(0, 1<<30)...)...)),
	}
	before := t.residentBytes(node)
	for i := range 40 {
		r := bombs[i%len(bombs)]
		r.Chunked = i%3 == 0
		node.Refuses(node.Do(r), spec.DecompressCap)
	}
	grown := t.residentBytes(node) - before
	t.Check(grown < slack, "forty bombs made the node grow by %d KiB", grown>>10)
	t.Notef("grew by %d KiB", grown>>10)
}
