// Package fuzz holds the native fuzz targets of the codecs and their committed corpora (testdata/fuzz). The targets of
// frames and messages give the same bytes to the reference (model/refwire) and to production (impl/wire) and fail when the two
// differ; those of tokens and audit exports hold production to a library or to what a known good input says.
//
// It owns the shapes that bring a fuzzer past the first checks: payloads are wrapped into valid headers, lengths are
// fixed up, and bytes are compressed or spelled out as zstd blocks and JSON tokens. It may never decide who is right:
// that is spec/oap.md. All of it is test code; the program that runs the targets in rotation is fuzz/campaign.
package fuzz
