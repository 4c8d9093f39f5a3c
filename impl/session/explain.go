package session

import "github.com/rustyonions/micronode/spec"

// explain is the message for people in an ERROR. It never quotes what the peer sent.
func explain(r spec.Reason) string {
	if m, ok := messages[r]; ok {
		return m
	}
	return string(r)
}

// messages is read-only.
var messages = map[spec.Reason]string{
	spec.Malformed:       "the frame or its JSON breaks the rules of its kind",
	spec.Oversize:        "larger than allowed or declared",
	spec.BadVersion:      "only version 1 is spoken here",
	spec.BadFlags:        "reserved flag bit set, or not exactly one of REQ, RESP and EVENT",
	spec.CapOnNonStart:   "a capability may only be in a START",
	spec.CapOutOfBounds:  "the capability is longer than the frame",
	spec.BadZstd:         "the payload is not exactly one intact zstd frame",
	spec.DecompressCap:   "the payload expands beyond the decompression limits",
	spec.BadHello:        "the first frame, and only the first, must be a valid HELLO, within 5 s",
	spec.BadSequence:     "this frame has no meaning at this point of the stream",
	spec.StreamReused:    "corr_id must be greater than that of every earlier START",
	spec.NoSuchStream:    "no such stream is open",
	spec.TooManyStreams:  "too many streams are open",
	spec.CreditViolation: "outside the credit window",
	spec.BadOffset:       "the chunk is not the next one",
	spec.ChunkOversize:   "a chunk is at most 65536 bytes",
	spec.Truncated:       "fewer bytes than total_len before END",
	spec.Unsupported:     "this node does not serve that",
	spec.Unauth:          "a capability that is good here and now is needed in the cap field of START",
	spec.Forbidden:       "the capability does not cover this request",
	spec.NotFound:        "no object is stored under this address",
	spec.BadDigest:       "the bytes hash to another address; nothing was stored",
	spec.StoreFull:       "the store is full; reads still work",
	spec.Integrity:       "the stored bytes no longer match their address",
	spec.BadRange:        "the range starts beyond the end of the object",
	spec.Quota:           "above the rate of this node",
	spec.Timeout:         "no progress for 5 s, or idle for 60 s",
	spec.NotReady:        "the node is not ready yet",
	spec.Draining:        "the node is shutting down",
	spec.Internal:        "a fault of the node",
}
