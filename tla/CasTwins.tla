------------------------------ MODULE CasTwins ------------------------------
(***************************************************************************)
(* Broken stores: each breaks a promise of Cas, so that a promise which    *)
(* nothing can break would show. Each works under the constants of every   *)
(* configuration that lists the property.                                  *)
(***************************************************************************)
EXTENDS Cas

Bytes(w) == writer[w].stage \in {"open", "writing"} /\ writer[w].units \in Objects
Left(c) == Copy(c.object, c.health, TRUE, {})

\* A put that is cut off keeps its room.
\* twin: SpecLeak violates RoomIsExact
Leak(w) == IsOpen(w) /\ writer' = [writer EXCEPT ![w] = Idle] /\ UNCHANGED <<up, broken, free, copies>>
SpecLeak == Init /\ [][Next \/ \E w \in W : Leak(w)]_vars

\* A unit is taken where there is no room.
\* twin: SpecOverfull violates CapacityHolds
Overfull(w) ==
    /\ IsOpen(w) /\ ~AtLimit(w) /\ free' = free - 1
    /\ writer' = [writer EXCEPT ![w].units = @ + 1]
    /\ UNCHANGED <<up, broken, copies>>
SpecOverfull == Init /\ [][Next \/ \E w \in W : Overfull(w)]_vars

\* The limit on objects is not looked at, nor is the room.
\* twin: SpecEndless violates NoObjectTooLarge
Endless(w) ==
    /\ IsOpen(w) /\ writer[w].length = None /\ writer[w].units <= MaxObject
    /\ writer' = [writer EXCEPT ![w].units = @ + 1]
    /\ UNCHANGED <<up, broken, free, copies>>
SpecEndless == Init /\ [][Next \/ \E w \in W : Endless(w)]_vars

\* A delete hides an object that nobody reads, and does not give it back.
\* twin: SpecHidden violates NothingIsLeftOver
Hide(o) == up /\ Health(o) # "absent" /\ copies' = Without(o, copies) /\ UNCHANGED <<up, broken, free, writer>>
SpecHidden == Init /\ [][Next \/ \E o \in Objects : Hide(o)]_vars

\* A put of what is stored leaves a second, quarantined copy in the index.
\* twin: SpecTwofold violates AnswersAgree
Twofold(w) ==
    /\ IsOpen(w) /\ Stored(writer[w].units)
    /\ copies' = copies \cup {Copy(writer[w].units, "bad", TRUE, {})}
    /\ writer' = [writer EXCEPT ![w] = Idle]
    /\ UNCHANGED <<up, broken, free>>
SpecTwofold == Init /\ [][Next \/ \E w \in W : Twofold(w)]_vars

\* A repair hands the gets of the rotten copy on to the new one, and lets them read both.
\* twin: SpecSwapped violates BytesAreVerified
Swap(w) ==
    /\ IsOpen(w) /\ free' = free
    /\ \E c \in KeptOf(writer[w].units, copies) : c.health = "rotten" /\ c.readers # {}
        /\ copies' = Without(c.object, copies) \cup {Copy(c.object, "good", TRUE, c.readers)}
    /\ writer' = [writer EXCEPT ![w] = Idle]
    /\ UNCHANGED <<up, broken>>
SpecSwapped == Init /\ [][Next \/ \E w \in W : Swap(w)]_vars

\* A crash leaves a put half done.
\* twin: SpecTorn violates NothingHalfSurvives
Torn == up /\ (\E w \in W : IsOpen(w)) /\ up' = FALSE /\ UNCHANGED <<broken, free, copies, writer>>
SpecTorn == Init /\ [][Next \/ Torn]_vars

\* An amnesic node writes what it holds somewhere when it is shut down.
\* twin: SpecRemembers violates AmnesiaForgets
Remember ==
    /\ up /\ copies' = {Left(c) : c \in {d \in copies : d.kept}} /\ free' = Capacity - Units(copies')
    /\ up' = FALSE /\ broken' = FALSE /\ writer' = [w \in W |-> Idle]
SpecRemembers == Init /\ [][Next \/ Remember]_vars

\* A put is visible although it was never committed.
\* twin: SpecUnfinished violates AppearsByPut
Unfinished(w) ==
    /\ Bytes(w) /\ TooShort(w) /\ Health(writer[w].units) = "absent"
    /\ copies' = With(writer[w].units, copies)
    /\ writer' = [writer EXCEPT ![w] = Idle]
    /\ UNCHANGED <<up, broken, free>>
SpecUnfinished == Init /\ [][Next \/ \E w \in W : Unfinished(w)]_vars

\* A delete is not durable: the object is back after a crash.
\* twin: SpecRises violates AppearsByPut
Rise(o) ==
    /\ up /\ Health(o) = "absent"
    /\ copies' = {Copy(o, "good", TRUE, {})} /\ free' = Capacity - o
    /\ up' = FALSE /\ broken' = FALSE /\ writer' = [w \in W |-> Idle]
SpecRises == Init /\ [][Next \/ \E o \in Objects : Rise(o)]_vars

\* A put is acknowledged from memory that is given back in the same moment.
\* twin: SpecDropped violates AcknowledgedIsStored
Drop(w) ==
    /\ up /\ Bytes(w) /\ ~Stored(writer[w].units)
    /\ free' = free + writer[w].units
    /\ writer' = [writer EXCEPT ![w] = Write("known", None, None, 0)]
    /\ UNCHANGED <<up, broken, copies>>
SpecDropped == Init /\ [][Next \/ \E w \in W : Drop(w)]_vars

\* A stored object makes room for a put.
\* twin: SpecEvicts violates LeavesByDelete
Evict(w, o) ==
    /\ IsOpen(w) /\ ~AtLimit(w) /\ free = 0 /\ KeptOf(o, copies) # {}
    /\ \A c \in KeptOf(o, copies) : c.readers = {}
    /\ copies' = copies \ KeptOf(o, copies) /\ free' = free + o - 1
    /\ writer' = [writer EXCEPT ![w].units = @ + 1]
    /\ UNCHANGED <<up, broken>>
SpecEvicts == Init /\ [][Next \/ \E w \in W, o \in Objects : Evict(w, o)]_vars

\* A put of what is stored replaces it, under the eyes of its readers.
\* twin: SpecReplaces violates PutLeavesStoredAlone
Replace(w) ==
    /\ up /\ Bytes(w) /\ Stored(writer[w].units)
    /\ Sweep(With(writer[w].units, copies), free)
    /\ writer' = [writer EXCEPT ![w] = Idle]
    /\ UNCHANGED <<up, broken>>
SpecReplaces == Init /\ [][Next \/ \E w \in W : Replace(w)]_vars

\* A delete gives the memory back under the feet of a get.
\* twin: SpecPulls violates ReadersKeepTheirCopy
Pull(o) ==
    /\ up /\ \E c \in KeptOf(o, copies) : c.readers # {} /\ copies' = copies \ {c} /\ free' = free + o
    /\ UNCHANGED <<up, broken, writer>>
SpecPulls == Init /\ [][Next \/ \E o \in Objects : Pull(o)]_vars

\* A quarantined object is served again because a later look found nothing.
\* twin: SpecForgives violates QuarantineLasts
Forgive(o) ==
    /\ up /\ Health(o) = "bad"
    /\ copies' = (copies \ KeptOf(o, copies)) \cup {[c EXCEPT !.health = "good"] : c \in KeptOf(o, copies)}
    /\ UNCHANGED <<up, broken, free, writer>>
SpecForgives == Init /\ [][Next \/ \E o \in Objects : Forgive(o)]_vars

\* One rotten object and the scrub gives up on all.
\* twin: SpecPanics violates OnlyRotIsQuarantined
Panic ==
    /\ up /\ (\E o \in Objects : Health(o) = "rotten")
    /\ copies' = {[c EXCEPT !.health = IF c.kept THEN "bad" ELSE @] : c \in copies}
    /\ UNCHANGED <<up, broken, free, writer>>
SpecPanics == Init /\ [][Next \/ Panic]_vars

\* After a failed sync the next one is tried, and believed.
\* twin: SpecBelieves violates NoWriteAfterFailedSync
Believe(w) ==
    /\ up /\ broken /\ writer[w].stage = "writing" /\ ~Stored(writer[w].units)
    /\ Sweep(With(writer[w].units, copies), free)
    /\ writer' = [writer EXCEPT ![w] = Write("created", None, None, 0)]
    /\ UNCHANGED <<up, broken>>
SpecBelieves == Init /\ [][Next \/ \E w \in W : Believe(w)]_vars

\* Nobody cuts a put that makes no progress.
\* twin: SpecPatient violates PutsEnd
SpecPatient == Init /\ [][Next]_vars /\ GetLimit /\ Syncs /\ Answers /\ Scrubs

\* Nobody ends a get that makes no progress.
\* twin: SpecGenerous violates DeletedRoomReturns
SpecGenerous == Init /\ [][Next]_vars /\ PutLimit /\ Syncs /\ Answers /\ Scrubs

\* Nobody scrubs.
\* twin: SpecTrusting violates RotIsFound
SpecTrusting == Init /\ [][Next]_vars /\ PutLimit /\ GetLimit /\ Syncs /\ Answers
=============================================================================
