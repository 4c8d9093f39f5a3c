// Package fuzz holds the native fuzz targets of the codecs and their committed corpora (testdata/fuzz). Each target
// gives the same bytes to the reference (model/refwire) and to production (impl/wire) and fails when the two differ.
//
// It owns the shapes that bring a fuzzer past the first checks: payloads are wrapped into valid headers, lengths are
// fixed up, and bytes are compressed or spelled out as zstd blocks and JSON tokens. It may never decide who is right:
// that is spec/oap.md. All of it is test code; the program that runs the targets in rotation is fuzz/campaign.
package fuzz
