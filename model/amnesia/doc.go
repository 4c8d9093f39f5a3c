// Package amnesia is the executable model of where a node keeps payload bytes and secrets, and of what has to be
// overwritten when (spec/amnesia.md). It says at every moment which memory may differ from zero.
//
// It owns three kinds of memory (slots for payload, the buffer of each connection, the key arena) and the traces that
// must never come to be: what was written to a file system (disk), and what logs, metrics and error texts say (log). It
// may never know what the bytes are: a place holds zeros or it does not.
//
// # The life of a node
//
//	off --Start--> up --Shutdown--> closing --Exit, when all memory is zero--> off
//	                +----Crash---------+--------------------------> crashed --Start--> up
//	off --Start, asked for persistence--> persistent --Shutdown--> closing
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
// # Operations and rules
//
//	Start     AMN-DEF-001 to 004, AMN-RST-001     Shutdown, Exit           AMN-ZER-003
//	Crash     AMN-DSK-003, AMN-DSK-004            Overwrite                AMN-ZER-001, 002, 004, CAS-DEL-003
//	Connect   AMN-ZER-007                         Close                    AMN-ZER-007, AMN-ZER-002
//	Present   AMN-ZER-005, AMN-LOG-002            Wipe                     AMN-ZER-005, AMN-ZER-007
//	Arrive    AMN-ZER-007, RDY-STA-004            Take                     AMN-ZER-001, CAS-CAP-003, CAS-PUT-005
//	Commit    CAS-PUT-001 to 005, AMN-ZER-002     Cancel, Timeout, Revoke  CAS-PUT-005, AMN-ZER-002, CAP-REV-003
//	Get       CAS-GET-001, CAS-GET-007            Send, Done               AMN-ZER-007, AMN-ZER-004
//	Delete    CAS-DEL-001, AMN-ZER-001            MakeKey, Use             CAP-KEY-001, CAP-KEY-002
//	Expire    AMN-ZER-006, CAP-KEY-002            Purge, Drop              AMN-ZER-006, AMN-ZER-008
//
// Not here are the rules about what answers and texts look like (AMN-DEF-005, AMN-DEF-006, AMN-LOG-003 to 005), about
// calls of the system (AMN-DSK-005, AMN-DSK-006) and about pressure of memory (AMN-MEM, in package readiness). The
// messages of AMN-ZER-005 are payload like that of objects.
package amnesia
