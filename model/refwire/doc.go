// Package refwire is the reference codec of OAP/1: the framing, compression and payload rules of spec/oap.md
// as code that is meant to be read beside them. It takes a whole slice and gives a verdict, the reason and the
// id of the rule that decided. Each rule has one obvious place, marked by its id.
//
//	0               4       6       8      10      12                              28      30              38
//	+---------------+-------+-------+-------+-------+-------------------------------+-------+---------------+
//	| len           | ver   | flags | code  | proto | tenant_id (16)                |cap_len| corr_id       |
//	+---------------+-------+-------+-------+-------+-------------------------------+-------+---------------+
//	| cap (cap_len bytes) ... | payload (len - 38 - cap_len bytes) ...                                      |
//	+-------------------------+-----------------------------------------------------------------------------+
//
// It owns the strictest reading of the bytes, and the raw writer that can produce frames which break the rules.
// It is slow on purpose: it copies, it starts again from the first byte on every call, and it decodes a
// compressed payload twice. It may never import impl, share code with the production codec, keep state between
// calls, read a clock, or be used to serve traffic. All functions are safe for concurrent use.
package refwire
