package spec

import (
	"maps"
	"slices"
)

// Reason says why a frame, a request or a connection was refused. It is the value that ERROR frames,
// problem+json bodies, logs, metrics and vectors share (OAP-ERR-002, HTTP-ERR-002).
type Reason string

// The reasons. The comment behind each group says where it can arise.
const (
	None Reason = "" // no rejection

	// Frame level: the codec found it, the connection closes (OAP-FRM, OAP-ZST).
	Malformed      Reason = "malformed" // also: a request whose JSON breaks the rules (stream level)
	Oversize       Reason = "oversize"  // also: more bytes than declared or allowed (stream level, HTTP)
	BadVersion     Reason = "bad_version"
	BadFlags       Reason = "bad_flags"
	CapOnNonStart  Reason = "cap_on_non_start"
	CapOutOfBounds Reason = "cap_out_of_bounds"
	BadZstd        Reason = "bad_zstd"
	DecompressCap  Reason = "decompress_cap"
	BadHello       Reason = "bad_hello"

	// Stream level (OAP-SES, OAP-STR, OAP-CRD, OAP-OBJ).
	BadSequence     Reason = "bad_sequence"
	StreamReused    Reason = "stream_reused"
	NoSuchStream    Reason = "no_such_stream"
	TooManyStreams  Reason = "too_many_streams"
	CreditViolation Reason = "credit_violation"
	BadOffset       Reason = "bad_offset"
	ChunkOversize   Reason = "chunk_oversize"
	Truncated       Reason = "truncated"
	Unsupported     Reason = "unsupported" // an app_proto_id or feature that this node does not serve

	// The store (CAS).
	NotFound  Reason = "not_found"
	BadDigest Reason = "bad_digest"
	StoreFull Reason = "store_full"
	Integrity Reason = "integrity"
	BadRange  Reason = "bad_range"

	// Admission (ADM) and readiness (RDY).
	Unauth    Reason = "unauth"
	Forbidden Reason = "forbidden"
	Quota     Reason = "quota"
	Timeout   Reason = "timeout"
	NotReady  Reason = "not_ready"
	Draining  Reason = "draining"

	// HTTP only.
	NoRoute             Reason = "no_route"
	MethodNotAllowed    Reason = "method_not_allowed"
	UnsupportedEncoding Reason = "unsupported_encoding"

	// Internal is a fault of the node itself; it is never caused by input.
	Internal Reason = "internal"
)

// Facts are what the law fixes about a reason.
type Facts struct {
	// Status is the HTTP status and the OAP code of the answer: the two are the same number.
	Status int
	// Retryable says that the same request may succeed later, unchanged.
	Retryable bool
	// Rejection is the label of rejected_total, or "" where the answer is no admission rejection (ADM-CNT-001).
	Rejection string
}

// reasons is the table behind Facts: written once, read-only.
var reasons = map[Reason]Facts{
	Malformed:      {400, false, "malformed"},
	Oversize:       {413, false, "oversize"},
	BadVersion:     {400, false, "malformed"},
	BadFlags:       {400, false, "malformed"},
	CapOnNonStart:  {400, false, "malformed"},
	CapOutOfBounds: {400, false, "malformed"},
	BadZstd:        {400, false, "malformed"},
	DecompressCap:  {413, false, "decompress_cap"},
	BadHello:       {400, false, "malformed"},

	BadSequence:     {400, false, "malformed"},
	StreamReused:    {409, false, "malformed"},
	NoSuchStream:    {404, false, "malformed"},
	TooManyStreams:  {429, true, "quota"},
	CreditViolation: {400, false, "credit"},
	BadOffset:       {400, false, "malformed"},
	ChunkOversize:   {413, false, "oversize"},
	Truncated:       {400, false, "malformed"},
	Unsupported:     {501, false, "malformed"},

	NotFound:  {404, false, ""},
	BadDigest: {409, false, "bad_digest"},
	StoreFull: {503, true, "store_full"},
	Integrity: {502, false, "integrity"},
	BadRange:  {416, false, ""},

	Unauth:    {401, false, "unauth"},
	Forbidden: {403, false, "forbidden"},
	Quota:     {429, true, "quota"},
	Timeout:   {408, true, "timeout"},
	NotReady:  {503, true, "not_ready"},
	Draining:  {503, true, "draining"},

	NoRoute:             {404, false, ""},
	MethodNotAllowed:    {405, false, ""},
	UnsupportedEncoding: {415, false, "malformed"},

	Internal: {500, false, ""},
}

// Facts returns what the law fixes about r; an unknown reason has those of Internal.
func (r Reason) Facts() Facts {
	if f, ok := reasons[r]; ok {
		return f
	}
	return reasons[Internal]
}

// Reasons lists every reason of the law, sorted.
func Reasons() []Reason { return slices.Sorted(maps.Keys(reasons)) }

// Known says whether r is a reason of the law. None is not.
func (r Reason) Known() bool { _, ok := reasons[r]; return ok }

// Code is the OAP code of an ERROR frame with this reason.
func (r Reason) Code() Code { return Code(r.Facts().Status) }

// Error makes a reason usable as an error where no more is to be said.
func (r Reason) Error() string { return string(r) }
