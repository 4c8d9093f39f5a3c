// Package store is the content-addressed store of the node: objects in RAM, named by the BLAKE3 digest of their bytes
// (CAS), forgotten without a trace when they are deleted and when the node ends (AMN).
//
// It owns the payload memory, one region outside the Go heap, and the index from address to object. It may never write
// to a file system, start a goroutine, read a clock, evict an object to make room for another, hand out a byte that was
// not verified in the same call, or put payload bytes and addresses into an error.
//
// # Payload memory
//
// The region is reserved at Open and touched only as bytes arrive. It is cut into spans of 64 KiB:
//
//	|  span 0  |  span 1  |  span 2  |  span 3  |  span 4  |  span 5  |
//	|  64 KiB  |  64 KiB  |  32 x    | slot  | slot  | slot |   free   |
//	|  chunk   |  chunk   |  2 KiB   |   3 x 42.6 KiB       |          |
//
// An object is a list of chunks: all but the last take a whole span, and the last one (its tail) takes a slot of the
// size class that fits it best. Slots of one class share a span, or a run of two to four spans where that wastes less.
// An empty run goes back to the pool of spans. Where no slot of the best class is to be had, a larger one serves, and when
// there is none either, tails are moved together until spans are free (compact.go): a put is not refused as full because
// small objects were deleted here and there.
//
// Every free byte of the region is zero, always: bytes are overwritten before their slot is free again (AMN-ZER-001,
// AMN-ZER-002), so a slot needs no clearing when it is taken, and pages that were once touched are used again.
//
// # Life of an object
//
// A Writer owns its slots until Commit, when the object appears whole, or until it fails, when nothing is left
// (CAS-PUT-005, CAS-PUT-006). The index holds one reference to an object and every open Handle another. Delete and
// Close drop the reference of the index; whoever drops the last one overwrites the memory (AMN-ZER-004). The region is
// unmapped when Close was called and the last slot is free, so a Handle never points to memory that is gone.
//
// # Integrity
//
// The CRC32C of a chunk is taken piece by piece right after the same bytes went into the digest, while they are in the
// cache, so no change of a bit between the two goes unnoticed. Handle.Chunk checks it on every call (CAS-INT-001);
// Scrub checks the digest. A mismatch quarantines the object until it is deleted or put again (CAS-INT-004,
// CAS-INT-005).
//
// # Locks
//
// The index has 256 shards with a lock each, the slot allocator has one lock; each is held for a few map or bitmap
// operations and never while payload is copied, hashed, checked or overwritten. A pass of compaction has a lock of its
// own and takes the others while it holds that one; apart from this no code takes two locks at once.
package store
