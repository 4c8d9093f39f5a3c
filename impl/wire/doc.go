// Package wire is the production codec of OAP/1: it turns a byte stream into frames and frames into bytes,
// and it reads and writes the JSON payloads of the messages.
//
// A frame is a fixed header of 38 bytes, big-endian throughout, then the capability, then the payload
// (OAP-FRM-001):
//
//	 0               4       6       8      10      12                      28      30              38
//	+---------------+-------+-------+-------+-------+-----------------------+-------+---------------+
//	| len           | ver   | flags | code  | proto | tenant_id (16)        |cap_len| corr_id       |
//	+---------------+-------+-------+-------+-------+-----------------------+-------+---------------+
//	| cap (cap_len bytes) ... | payload (len - 38 - cap_len bytes) ...                              |
//	+-------------------------+---------------------------------------------------------------------+
//
// The payload of a DATA frame has a header of its own (OAP-STR-001):
//
//	 0            2                    2 + header_len
//	+------------+--------------------+---------------------+
//	| header_len | header (JSON) ...  | body ...            |
//	+------------+--------------------+---------------------+
//
// With COMP the payload is one zstd frame, which the Decoder expands before it hands the frame out:
//
//	+-------+------------+-------------+-----------------+-----+-----------------+------------+
//	| magic | descriptor | window 0..1 | content size 0.8| ... | block (3 + n) … | checksum 0.4|
//	+-------+------------+-------------+-----------------+-----+-----------------+------------+
//
// The package owns the verdict on a single frame, the memory that a connection's unread bytes take, and the
// strict reading of payloads. It never decides what a frame means in a conversation (that is the session's),
// never does I/O, never starts a goroutine and never looks at a clock. It believes no length before the bytes
// are there (OAP-FRM-011), and it overwrites what it has handed out before the memory is used again.
//
// Without COMP the codec does not allocate once a connection has found its read size.
package wire
