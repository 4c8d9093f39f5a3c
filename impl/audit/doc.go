// Package audit is the log of what was denied and decided: an append-only Merkle tree (RFC 6962) over canonical
// records, with signed checkpoints, proofs, exports, and their verification without a node (CAP-AUD).
//
// It owns the encoding of a record, the tree, what of both is kept in bounded memory, and the export format. It may
// never write a file, log a line, or hold a key: it signs through note.Signer, and what may sign is for others to say.
//
// # What can not enter a record
//
// A record has no field for text or bytes (CAP-AUD-004). Every field of Record is one of
//
//   - a member of a closed set of this law: Event, spec.Reason, Surface, spec.Op, State; anything else is refused;
//   - a Peer, which can only be made from an address that is cut to /24 or /48 on the spot, or from a uid;
//   - a CorrID, which can only be made from a number, or from what HTTP-COR-001 allows a client to choose: 64
//     characters of an alphabet without space, quote, slash, plus and line end. Its content is the client's own;
//   - the id of a key or of a capability, 8 and 16 bytes, neither of which opens anything;
//   - a time in milliseconds and a count.
//
// So a token, a key, a payload, a path or an error text has no way in, short of a conversion that cannot be written by
// accident.
//
// # What is kept, and what stays provable
//
// A log of capacity c holds its latest c records, or, when it holds them for a collector, those that were not
// acknowledged yet. Of the tree it keeps every node that is not wholly below the first held record, the frontier of
// the dropped part, and for its latest checkpoints the nodes on both sides of the cut that each makes (see tree.go).
// With first and size being the numbers of the first held and of the next record, the log proves
//
//   - that record i is in the tree of size n, for every first <= i < n <= size;
//   - that the tree of size m is the beginning of the tree of size n, for every m <= n <= size, if each of m and n is 0,
//     at least first, or the size of one of the latest Config.Checkpoints checkpoints.
//
// It answers every other question with NotFound.
package audit
