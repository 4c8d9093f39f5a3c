-------------------------------- MODULE Cas --------------------------------
(***************************************************************************)
(* The content-addressed store of spec/cas.md: streaming puts, gets that   *)
(* outlive a delete, room, quarantine, and the ends of a node with amnesia *)
(* (AMN-RST) and with persistence (CAS-PER). model/cas is the same machine *)
(* in Go.                                                                  *)
(*                                                                         *)
(* Bytes are counted, not carried. An object is a number, its length in    *)
(* units: object n is the first n units of one text that never ends. So    *)
(* what has arrived always has an address, and a put that declared another *)
(* one carries wrong bytes. Left out are: digests and checksums, which     *)
(* either fit or do not; ranges, which are arithmetic on one object; and   *)
(* the form of what is sealed on disk. A get is its beginning, any number  *)
(* of reads and its end, because deletes and flipped bits may come between *)
(* them; a read is of the whole object, so that it meets every fault.      *)
(*                                                                         *)
(* With amnesia a commit or delete takes effect and is answered in one     *)
(* step: what lies between the two nobody can see, since a crash leaves    *)
(* nothing. With persistence there is a step for each: Commit or Delete,   *)
(* then Durable, which is where the operation takes effect, then Answer.   *)
(*                                                                         *)
(* Some latitudes of the law are taken to one side. A put takes room when  *)
(* its bytes arrive and not when it declares them. A put of bytes that are *)
(* stored is refused when there is no room (CAS-CAP-007). A write whose    *)
(* sync has failed is answered with not_ready although it may have         *)
(* happened. A quarantine outlives a restart with persistence.             *)
(***************************************************************************)
EXTENDS Integers, FiniteSets

CONSTANTS
    Capacity,    \* units that the store may hold
    MaxObject,   \* units of the largest object that the law allows
    First, Last, \* the objects that clients use
    Writers,     \* number of clients that put, and with persistence delete
    Readers,     \* number of gets at a time
    Rot,         \* whether bits may flip
    Persistent   \* CAS-PER instead of amnesia

VARIABLES
    up,     \* the process runs
    broken, \* a sync has failed since the start
    free,   \* units, counted up and down as room is taken and given back
    copies, \* objects in memory: kept while the index has them, and read by some gets
    writer  \* the operation of each client, and how far it has come

vars == <<up, broken, free, copies, writer>>

None == -1 \* not declared
Objects == First..Last
W == 1..Writers
R == 1..Readers

-----------------------------------------------------------------------------
(* Data *)

Copy(o, h, k, rs) == [object |-> o, health |-> h, kept |-> k, readers |-> rs]
Write(stage, length, address, units) == [stage |-> stage, length |-> length, address |-> address, units |-> units]
Idle == Write("idle", None, None, 0)

RECURSIVE Sum(_, _)
Sum(f, set) == IF set = {} THEN 0 ELSE LET x == CHOOSE x \in set : TRUE IN f[x] + Sum(f, set \ {x})
Units(set) == Sum([c \in set |-> c.object], set) \* of copies

KeptOf(o, set) == {c \in set : c.kept /\ c.object = o} \* none or one
Health(o) == IF KeptOf(o, copies) = {} THEN "absent" ELSE (CHOOSE c \in KeptOf(o, copies) : TRUE).health
Missing(o) == KeptOf(o, copies) = {}
Stored(o) == \E c \in KeptOf(o, copies) : c.health # "bad" \* and be it rotten, as long as nobody noticed
Quarantined(o) == \E c \in KeptOf(o, copies) : c.health = "bad"
Reads(r) == {c \in copies : r \in c.readers} \* none or one
Reading(r) == Reads(r) # {}

Without(o, set) == (set \ KeptOf(o, set)) \cup {[c EXCEPT !.kept = FALSE] : c \in KeptOf(o, set)}
With(o, set) == Without(o, set) \cup {Copy(o, "good", TRUE, {})}

\* Give back the room of copies that nobody needs any more (CAS-DEL-003).
Sweep(set, room) ==
    LET gone == {c \in set : ~c.kept /\ c.readers = {}}
    IN copies' = set \ gone /\ free' = room + Units(gone)

\* End a put without a trace (CAS-PUT-005).
Cut(w) ==
    /\ free' = free + writer[w].units
    /\ writer' = [writer EXCEPT ![w] = Idle]
    /\ UNCHANGED <<up, broken, copies>>

Same == UNCHANGED vars

-----------------------------------------------------------------------------
(* Put. What a put declares, as pairs of length and address: nothing, both,  *)
(* two that contradict each other, and a length that can never fit.          *)

Declared == {<<None, None>>, <<Last, Last>>, <<First, Last>>, <<Capacity + 1, None>>}

CanBegin(w) == up /\ writer[w].stage = "idle"
TooLong(d) == d[1] > MaxObject \/ d[1] > Capacity

\* CAS-CAP-003, CAS-PUT-006
Begin(w, d) ==
    /\ CanBegin(w) /\ ~broken /\ ~TooLong(d) /\ d[1] <= free
    /\ writer' = [writer EXCEPT ![w] = Write("open", d[1], d[2], 0)]
    /\ UNCHANGED <<up, broken, free, copies>>
\* CAS-CAP-001, CAS-CAP-004
Begin_oversize(w, d) == CanBegin(w) /\ ~broken /\ TooLong(d) /\ Same
\* CAS-CAP-003, CAS-CAP-007
Begin_store_full(w, d) == CanBegin(w) /\ ~broken /\ ~TooLong(d) /\ d[1] > free /\ Same
\* CAS-PER-011
Begin_not_ready(w, d) == CanBegin(w) /\ broken /\ Same

IsOpen(w) == up /\ writer[w].stage = "open"
AtLimit(w) == writer[w].units = writer[w].length \/ writer[w].units = MaxObject

\* CAS-CAP-002, CAS-PUT-006
Arrive(w) ==
    /\ IsOpen(w) /\ ~AtLimit(w) /\ free > 0
    /\ writer' = [writer EXCEPT ![w].units = @ + 1]
    /\ free' = free - 1
    /\ UNCHANGED <<up, broken, copies>>
\* CAS-PUT-008, CAS-CAP-001, CAS-PUT-005
Arrive_oversize(w) == IsOpen(w) /\ AtLimit(w) /\ Cut(w)
\* CAS-CAP-003, CAS-CAP-007, CAS-PUT-005
Arrive_store_full(w) == IsOpen(w) /\ ~AtLimit(w) /\ free = 0 /\ Cut(w)

TooShort(w) == writer[w].length # None /\ writer[w].units < writer[w].length
OtherBytes(w) == writer[w].address # None /\ writer[w].address # writer[w].units
Whole(w) == IsOpen(w) /\ ~TooShort(w) /\ ~OtherBytes(w) /\ writer[w].units \in Objects

\* CAS-PUT-009, CAS-PUT-005
Commit_truncated(w) == IsOpen(w) /\ TooShort(w) /\ Cut(w)
\* CAS-PUT-004, CAS-PUT-005
Commit_bad_digest(w) == IsOpen(w) /\ ~TooShort(w) /\ OtherBytes(w) /\ Cut(w)
\* CAS-PER-011, CAS-PUT-005
Commit_not_ready(w) == Whole(w) /\ broken /\ Cut(w)
\* CAS-PUT-001, CAS-PUT-003, CAS-DEL-004, CAS-INT-005
Commit_created(w) ==
    /\ Whole(w) /\ ~Persistent /\ ~broken /\ ~Stored(writer[w].units)
    /\ Sweep(With(writer[w].units, copies), free)
    /\ writer' = [writer EXCEPT ![w] = Idle]
    /\ UNCHANGED <<up, broken>>
\* CAS-PUT-002, CAS-PUT-003
Commit_known(w) == Whole(w) /\ ~Persistent /\ ~broken /\ Stored(writer[w].units) /\ Cut(w)
\* CAS-PER-002, CAS-PUT-006
Commit(w) ==
    /\ Whole(w) /\ Persistent /\ ~broken
    /\ writer' = [writer EXCEPT ![w] = Write("writing", None, None, @.units)]
    /\ UNCHANGED <<up, broken, free, copies>>
\* CAS-PER-012, CAS-PUT-005: the disk is full
Commit_store_full(w) == Whole(w) /\ Persistent /\ ~broken /\ Cut(w)

\* CAS-PUT-005: cancelled, timed out or cut off
Abort(w) == IsOpen(w) /\ Cut(w)

-----------------------------------------------------------------------------
(* Get, has, stat *)

\* CAS-PUT-001, CAS-GET-007, CAS-CAP-006
Get(r, o) ==
    /\ up /\ ~Reading(r) /\ Stored(o)
    /\ copies' = (copies \ KeptOf(o, copies)) \cup {[c EXCEPT !.readers = @ \cup {r}] : c \in KeptOf(o, copies)}
    /\ UNCHANGED <<up, broken, free, writer>>
\* CAS-GET-001
Get_not_found(r, o) == up /\ ~Reading(r) /\ Missing(o) /\ Same
\* CAS-INT-004
Get_integrity(r, o) == up /\ ~Reading(r) /\ Quarantined(o) /\ Same

\* What is left when r no longer reads c, of which is known then that it is h.
Release(r, c, h) == Sweep((copies \ {c}) \cup {[c EXCEPT !.readers = @ \ {r}, !.health = h]}, free)

\* CAS-INT-001, CAS-PUT-001, CAS-GET-007
Read(r) == up /\ (\E c \in Reads(r) : c.health = "good") /\ Same
\* CAS-INT-002, CAS-INT-003, CAS-INT-004, CAS-INT-009
Read_integrity(r) ==
    /\ up /\ \E c \in Reads(r) : c.health # "good" /\ Release(r, c, "bad")
    /\ UNCHANGED <<up, broken, writer>>
\* CAS-DEL-003, AMN-ZER-004
EndGet(r) ==
    /\ up /\ \E c \in Reads(r) : Release(r, c, c.health)
    /\ UNCHANGED <<up, broken, writer>>

\* CAS-GET-002, CAS-CAP-006
Has_true(o) == up /\ Stored(o) /\ Same
\* CAS-GET-002, CAS-DEL-001
Has_false(o) == up /\ Missing(o) /\ Same
\* CAS-INT-004
Has_integrity(o) == up /\ Quarantined(o) /\ Same

\* CAS-GET-004, CAS-CAP-006
Stat(o) == up /\ Stored(o) /\ Same
\* CAS-GET-001
Stat_not_found(o) == up /\ Missing(o) /\ Same
\* CAS-INT-004
Stat_integrity(o) == up /\ Quarantined(o) /\ Same

-----------------------------------------------------------------------------
(* Delete. With persistence it takes a client's time, and deletes of one     *)
(* object take turns.                                                        *)

CanDelete(w, o) == up /\ (Persistent => CanBegin(w) /\ \A v \in W : writer[v] # Write("deleting", None, o, 0))

\* CAS-DEL-001, CAS-DEL-003, CAS-DEL-005, CAS-CAP-006, CAS-PER-002
Delete(w, o) ==
    /\ CanDelete(w, o) /\ ~broken /\ ~Missing(o)
    /\ IF Persistent
       THEN writer' = [writer EXCEPT ![w] = Write("deleting", None, o, 0)] /\ UNCHANGED <<free, copies>>
       ELSE Sweep(Without(o, copies), free) /\ UNCHANGED writer
    /\ UNCHANGED <<up, broken>>
\* CAS-DEL-002, CAS-CAP-006
Delete_not_found(w, o) == CanDelete(w, o) /\ ~broken /\ Missing(o) /\ Same
\* CAS-PER-011
Delete_not_ready(w, o) == CanDelete(w, o) /\ broken /\ Same

-----------------------------------------------------------------------------
(* Stable storage. A sync that returns makes one write take effect. One that *)
(* fails leaves open whether it did, and so does a crash before.             *)

Pending(w) == writer[w].stage \in {"writing", "deleting"}

\* CAS-PER-002, CAS-LIN-001
Durable(w) ==
    /\ up /\ Pending(w) /\ ~broken
    /\ LET o == writer[w].units
           done(stage) == writer' = [writer EXCEPT ![w] = Write(stage, None, None, 0)]
       IN CASE writer[w].stage = "deleting" -> Sweep(Without(writer[w].address, copies), free) /\ done("deleted")
            [] writer[w].stage = "writing" /\ ~Stored(o) -> Sweep(With(o, copies), free) /\ done("created")
            [] writer[w].stage = "writing" /\ Stored(o) -> free' = free + o /\ done("known") /\ UNCHANGED copies
    /\ UNCHANGED <<up, broken>>
\* CAS-PER-011
Durable_not_ready(w) ==
    /\ up /\ Pending(w) /\ ~broken
    /\ broken' = TRUE
    /\ UNCHANGED <<up, free, copies, writer>>

Answered(w) == writer' = [writer EXCEPT ![w] = Idle] /\ UNCHANGED <<up, broken, free, copies>>
\* CAS-PER-002, CAS-PUT-003
Answer_created(w) == up /\ writer[w].stage = "created" /\ Answered(w)
Answer_known(w) == up /\ writer[w].stage = "known" /\ Answered(w)
\* CAS-PER-002, CAS-DEL-001
Answer_deleted(w) == up /\ writer[w].stage = "deleted" /\ Answered(w)

-----------------------------------------------------------------------------
(* Rot *)

\* CAS-INT-001: a bit of a stored object changes behind the back of the store.
Flip(o) ==
    /\ Rot /\ up /\ Health(o) = "good" /\ o # 0
    /\ copies' = (copies \ KeptOf(o, copies)) \cup {[c EXCEPT !.health = "rotten"] : c \in KeptOf(o, copies)}
    /\ UNCHANGED <<up, broken, free, writer>>

\* CAS-INT-004, CAS-INT-007, CAS-INT-008: every stored object is checked.
Scrub ==
    /\ Rot /\ up
    /\ copies' = {IF c.kept /\ c.health = "rotten" THEN [c EXCEPT !.health = "bad"] ELSE c : c \in copies}
    /\ UNCHANGED <<up, broken, free, writer>>

-----------------------------------------------------------------------------
(* Ends and beginnings of a life *)

\* With amnesia nothing is left (AMN-RST-001). With persistence each object is
\* as it was, or as some of the writes that were under way would make it
\* (CAS-PER-003, CAS-PER-004, CAS-PER-005): done is the set of those.
Ends(done) ==
    LET puts == {writer[w].units : w \in {v \in done : writer[v].stage = "writing"}}
        deletes == {writer[w].address : w \in {v \in done : writer[v].stage = "deleting"}}
        before == {c \in copies : c.kept /\ c.object \notin deletes}
        good == {o \in puts : \A c \in before : c.object = o => c.health = "bad"} \* stored anew
        left == {Copy(c.object, c.health, TRUE, {}) : c \in {d \in before : d.object \notin good}}
                \cup {Copy(o, "good", TRUE, {}) : o \in good}
    IN /\ copies' = IF Persistent THEN left ELSE {}
       /\ free' = Capacity - Units(copies')
       /\ writer' = [w \in W |-> Idle]
       /\ up' = FALSE /\ broken' = FALSE

Under == {w \in W : Pending(w)}

\* AMN-RST-001, CAS-PER-003, CAS-LIN-003: an orderly end waits for writes, if there is a chance that they end.
Stop ==
    /\ up /\ (broken \/ \A w \in W : writer[w].stage \in {"idle", "open"})
    /\ \E done \in SUBSET Under : Ends(done)
\* AMN-RST-001, CAS-PER-003, CAS-PER-004, CAS-PER-005, CAS-LIN-003
Crash == up /\ \E done \in SUBSET Under : Ends(done)
\* AMN-RST-001, CAS-PER-003
Start == ~up /\ up' = TRUE /\ UNCHANGED <<broken, free, copies, writer>>

-----------------------------------------------------------------------------

Init ==
    /\ up = TRUE /\ broken = FALSE
    /\ free = Capacity
    /\ copies = {}
    /\ writer = [w \in W |-> Idle]

Next ==
    \/ \E w \in W, d \in Declared : Begin(w, d)
    \/ \E w \in W, d \in Declared : Begin_oversize(w, d)
    \/ \E w \in W, d \in Declared : Begin_store_full(w, d)
    \/ \E w \in W, d \in Declared : Begin_not_ready(w, d)
    \/ \E w \in W : Arrive(w)
    \/ \E w \in W : Arrive_oversize(w)
    \/ \E w \in W : Arrive_store_full(w)
    \/ \E w \in W : Commit(w)
    \/ \E w \in W : Commit_created(w)
    \/ \E w \in W : Commit_known(w)
    \/ \E w \in W : Commit_truncated(w)
    \/ \E w \in W : Commit_bad_digest(w)
    \/ \E w \in W : Commit_not_ready(w)
    \/ \E w \in W : Commit_store_full(w)
    \/ \E w \in W : Abort(w)
    \/ \E w \in W : Durable(w)
    \/ \E w \in W : Durable_not_ready(w)
    \/ \E w \in W : Answer_created(w)
    \/ \E w \in W : Answer_known(w)
    \/ \E w \in W : Answer_deleted(w)
    \/ \E r \in R, o \in Objects : Get(r, o)
    \/ \E r \in R, o \in Objects : Get_not_found(r, o)
    \/ \E r \in R, o \in Objects : Get_integrity(r, o)
    \/ \E r \in R : Read(r)
    \/ \E r \in R : Read_integrity(r)
    \/ \E r \in R : EndGet(r)
    \/ \E o \in Objects : Has_true(o)
    \/ \E o \in Objects : Has_false(o)
    \/ \E o \in Objects : Has_integrity(o)
    \/ \E o \in Objects : Stat(o)
    \/ \E o \in Objects : Stat_not_found(o)
    \/ \E o \in Objects : Stat_integrity(o)
    \/ \E w \in W, o \in Objects : Delete(w, o)
    \/ \E w \in W, o \in Objects : Delete_not_found(w, o)
    \/ \E w \in W, o \in Objects : Delete_not_ready(w, o)
    \/ \E o \in Objects : Flip(o)
    \/ Scrub
    \/ Stop
    \/ Crash
    \/ Start

\* It is fair to assume that a put without progress is cut after five seconds,
\* that a request ends (the same limit is on its answer), that a sync returns,
\* that a node answers what it has done, and that the scrub runs.
PutLimit == WF_vars(\E w \in W : Abort(w))
GetLimit == WF_vars(\E r \in R : EndGet(r))
Syncs == WF_vars(\E w \in W : Durable(w))
Answers ==
    /\ WF_vars(\E w \in W : Answer_created(w))
    /\ WF_vars(\E w \in W : Answer_known(w))
    /\ WF_vars(\E w \in W : Answer_deleted(w))
Scrubs == WF_vars(Scrub)

Spec == Init /\ [][Next]_vars /\ PutLimit /\ GetLimit /\ Syncs /\ Answers /\ Scrubs

-----------------------------------------------------------------------------
(* What must hold *)

\* CAS-CAP-002, CAS-CAP-008, CAS-PUT-005, CAS-DEL-003, CAS-INT-009
RoomIsExact == free = Capacity - Units(copies) - Sum([w \in W |-> writer[w].units], W)
\* CAS-CAP-002
CapacityHolds == free >= 0
\* CAS-CAP-001
NoObjectTooLarge == (\A c \in copies : c.object <= MaxObject) /\ (\A w \in W : writer[w].units <= MaxObject)
\* CAS-PUT-002, CAS-DEL-003, AMN-ZER-004
NothingIsLeftOver ==
    /\ \A c \in copies : c.kept \/ c.readers # {}
    /\ \A o \in Objects : Cardinality(KeptOf(o, copies)) <= 1

\* CAS-GET-001, CAS-GET-002, CAS-GET-003, CAS-INT-004
AnswersAgree == up => \A o \in Objects :
    /\ ~(ENABLED Has_true(o) /\ ENABLED Has_integrity(o))
    /\ (ENABLED Has_true(o)) = (ENABLED Stat(o))
    /\ (ENABLED Has_false(o)) = (ENABLED Stat_not_found(o))
    /\ (ENABLED Has_integrity(o)) = (ENABLED Stat_integrity(o))
    /\ \A r \in {q \in R : ~Reading(q)} :
        /\ (ENABLED Has_true(o)) = (ENABLED Get(r, o))
        /\ (ENABLED Has_false(o)) = (ENABLED Get_not_found(r, o))
        /\ (ENABLED Has_integrity(o)) = (ENABLED Get_integrity(r, o))

\* CAS-INT-001, CAS-INT-002, CAS-GET-007
BytesAreVerified == \A r \in R : ENABLED Read(r) => \A c \in Reads(r) : c.health = "good"

\* CAS-PUT-005, CAS-PER-005, CAS-LIN-003
NothingHalfSurvives ==
    up \/ (~broken /\ (\A w \in W : writer[w] = Idle) /\ (\A c \in copies : c.kept /\ c.readers = {}))
\* AMN-RST-001, CAS-PER-001
AmnesiaForgets == up \/ Persistent \/ copies = {}

\* Whether a step may be a put of o taking effect: one that is whole, as it was
\* declared to be, and with persistence on its way to stable storage.
PutOf(o) == \E w \in W :
    /\ writer[w].units = o /\ writer[w].length \in {None, o} /\ writer[w].address \in {None, o}
    /\ writer[w].stage = IF Persistent THEN "writing" ELSE "open"
    /\ writer'[w] # writer[w]

\* CAS-PUT-004, CAS-PUT-005, CAS-PUT-006, CAS-DEL-001, CAS-PER-002, CAS-PER-004
AppearsByPut == [][\A o \in Objects : Health(o) = "absent" /\ Health(o)' # "absent" => PutOf(o)]_vars
\* CAS-PUT-001, CAS-PER-002
Acknowledged(w) ==
    \/ Commit_created(w) \/ Commit_known(w)
    \/ writer[w].stage \in {"open", "writing"} /\ writer'[w].stage \in {"created", "known"}
AcknowledgedIsStored == [][\A w \in W, o \in Objects :
    Acknowledged(w) /\ writer[w].units = o => Stored(o)']_vars
\* CAS-PUT-001, CAS-CAP-005, CAS-PER-002, CAS-PER-003: nothing that a put does removes an object
LeavesByDelete == [][\A o \in Objects : Health(o) # "absent" /\ Health(o)' = "absent" =>
    IF Persistent THEN \E w \in W : writer[w] = Write("deleting", None, o, 0) ELSE ~up' \/ UNCHANGED writer]_vars
\* CAS-PUT-002, CAS-PUT-007: a get of what is stored goes on reading what is stored
PutLeavesStoredAlone == [][\A r \in R : \A c \in Reads(r), d \in Reads(r)' :
    c.kept /\ c.health # "bad" /\ ~d.kept => Health(d.object)' = "absent"]_vars
\* CAS-GET-007
ReadersKeepTheirCopy == [][\A r \in R : Reading(r) =>
    IF Reads(r)' = {} THEN ~up' \/ EndGet(r) \/ Read_integrity(r)
    ELSE \A c \in Reads(r), d \in Reads(r)' : d.object = c.object]_vars
\* CAS-INT-004, CAS-INT-005
QuarantineLasts == [][\A o \in Objects : Health(o) = "bad" => Health(o)' \in {"bad", "absent"} \/ PutOf(o)]_vars
\* CAS-INT-004, CAS-INT-008
OnlyRotIsQuarantined == [][\A o \in Objects : Health(o)' = "bad" => Health(o) \in {"bad", "rotten"}]_vars
\* CAS-PER-011
NoWriteAfterFailedSync == [][broken /\ broken' =>
    \A o \in Objects : (Health(o) = "absent") = (Health(o)' = "absent")]_vars

\* CAS-PUT-005, CAS-CAP-003: puts can not keep everybody else from writing, unless the disk has failed.
Busy == \A w \in W : writer[w] # Idle
PutsEnd == Busy ~> (~Busy \/ broken)
\* CAS-DEL-003, AMN-ZER-004: gets can not hold what was deleted for ever.
HeldByGets == \A r \in R : \E c \in Reads(r) : ~c.kept
DeletedRoomReturns == HeldByGets ~> ~HeldByGets
\* CAS-INT-007, while the node runs
RotIsFound == \A o \in Objects : (up /\ Health(o) = "rotten") ~> (~up \/ Health(o) # "rotten")
=============================================================================
