// Package amnesia is the executable model of where a node keeps payload bytes and secrets, and of what has to be
// overwritten when (spec/amnesia.md). It says at every moment which memory may differ from zero.
//
// It owns three kinds of memory (slots for payload, the buffer of each connection, and the key arena, which is the
// memory for secrets of CAP-KEY-003) and the traces that must never come to be: what was written to a file system (disk),
// and what logs, metrics and error texts say (log). It may never know what the bytes are: a place holds zeros or it does not.
//
// # The life of a node
//
//	off --Start--> up --Shutdown--> closing --Exit, when all memory is zero--> off
//	                +----Crash---------+--------------------------> crashed --Start--> up
//	off --Start, asked for persistence--> persistent --Shutdown--> closing, or --Crash--> crashed
//
// In off and crashed nothing is left of a life, so a node starts there like one that never ran. In a life with
// persistence the rules about memory are the same and what is on the disk is the matter of package cas; here that life
// is one state.
//
// # A slot of payload memory, a connection, a key
//
//	free --Take--> put --Commit--> object --Delete, Shutdown--> doomed --Overwrite--> free
//	zero           bytes           bytes                        bytes   waits for gets that began before
//	                +--refused, cancelled, out of time, cut,-----^      and for nothing else
//	                   revoked, or stored already
//
//	closed --Connect--> idle --Arrive--> put --Commit, Cancel, Timeout, Revoke--> idle --Close--> closed
//	                         --Get-----> get --Done,   Cancel, Timeout, Revoke-->         buffer overwritten
//
//	none --MakeKey--> live --Expire, Shutdown--> ended --Purge--> none
//	zero              bytes -------- Drop ----------------------> zero
//
// A buffer takes bytes (Present, Arrive, Send) only when it is zero and holds them until it is overwritten: some time
// after their use (Wipe), at the latest when its connection closes. A get needs no slot of its own: the readers of a
// slot are the connections whose get is on it.
//
// One second to overwrite, time limits and times to live are no durations here. Their ends are operations that may
// come at any moment, and what a node has to do by itself (Overwrite, Purge, Exit, and Close while it is closing) is
// what the leads-to properties assume to be done some time.
//
// # From the page to the code
//
// Each outcome (next.go) and each property (machine.go) names its rules, so that a search for an id finds them. Of rules of
// other pages there are those on puts, gets and deletes (CAS), keys and revocation (CAP), and refusals while closing (RDY).
//
//	rules    operations                                        properties
//	AMN-DEF  Start
//	AMN-DSK  Take, Crash                                       NoTrace
//	AMN-RST  Start, Crash                                      OffIsFresh
//	AMN-ZER  payload: Take, Commit, Delete, Done, Overwrite;   FreeIsZero, PayloadPlaces, ReadersKeepBytes, NoReuseBeforeOverwrite,
//	         Cancel, Timeout, Revoke; Shutdown, Exit           OverwriteWaitsForReaders, DeletedIsOverwritten, ZeroBeforeGivenBack,
//	                                                           ShutdownEndsWithZero
//	         buffers: Connect, Arrive, Send, Present, Wipe,    PayloadPlaces, SecretPlaces, NoReuseBeforeOverwrite
//	         Close
//	         keys: Use, Expire, Drop, Purge (and MakeKey)      SecretPlaces, EndedKeysArePurged
//	AMN-LOG  Take, Present                                     NoTrace
//
// # What is left out, and where it is checked instead
//
//   - What answers and texts say: AMN-DEF-005 is in conformance, AMN-LOG-005 in impl/capability; AMN-DEF-006, AMN-LOG-003 and
//     AMN-LOG-004 are not built (spec/planned.txt).
//   - Calls of the system: AMN-DSK-005 is in conformance; AMN-DSK-006 is not built. No operation here writes to disk or log:
//     they show what NoTrace is about, and a mutant of the test writes there.
//   - Memory in numbers: AMN-MEM-001 is RDY-DEG-006 of package readiness; AMN-MEM-002 needs a real node.
//   - Whether a token of an earlier life is accepted (AMN-RST-002): package capability. Here it is in no memory.
//   - The messages of AMN-ZER-005: they are payload like that of objects.
//
// # Where the law leaves a choice
//
//   - The bytes of a put that turns out to be stored already are overwritten like those of one that was refused. AMN-ZER-001
//     and AMN-ZER-002 do not name them.
//   - A shutdown ends the time of all keys.
package amnesia
