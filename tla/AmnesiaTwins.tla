------------------------------------------------- MODULE AmnesiaTwins --------------------------------------------------
(* Broken nodes. Each forgets one thing that module Amnesia asks for, and must be caught by the property that is named. *)
EXTENDS Amnesia

\* The store marks a slot as free and does not overwrite it.
\* twin: SpecForgottenClear violates FreeIsZero
ForgottenClear ==
  /\ Running
  /\ \E i \in 1..Slots : Due(i) /\ slots' = [slots EXCEPT ![i].use = "free"]
  /\ UNCHANGED <<life, conns, keys, disk, log>>
SpecForgottenClear == Init /\ [][Next \/ ForgottenClear]_vars

\* A connection is cut and what it put stays.
\* twin: SpecCutLeaks violates PayloadPlaces
CutLeaks(c) ==
  /\ Running
  /\ conns[c].doing = "put"
  /\ conns' = [conns EXCEPT ![c] = [doing |-> "closed", slot |-> 0, buffer |-> "zero"]]
  /\ UNCHANGED <<life, slots, keys, disk, log>>
SpecCutLeaks == Init /\ [][Next \/ \E c \in 1..Conns : CutLeaks(c)]_vars

\* A connection closes and its buffer goes to a pool as it is.
\* twin: SpecPooledBuffer violates PayloadPlaces
\* twin: SpecPooledBuffer violates SecretPlaces
PooledBuffer(c) ==
  /\ Running
  /\ conns[c].doing = "idle"
  /\ conns' = [conns EXCEPT ![c].doing = "closed"]
  /\ UNCHANGED <<life, slots, keys, disk, log>>
SpecPooledBuffer == Init /\ [][Next \/ \E c \in 1..Conns : PooledBuffer(c)]_vars

\* A key is dropped and its bytes stay.
\* twin: SpecDroppedKeyStays violates SecretPlaces
DroppedKeyStays(k) ==
  /\ keys[k].use = "live"
  /\ keys' = [keys EXCEPT ![k].use = "none"]
  /\ UNCHANGED <<life, slots, conns, disk, log>>
SpecDroppedKeyStays == Init /\ [][Next \/ \E k \in 1..Keys : DroppedKeyStays(k)]_vars

\* A delete overwrites at once, under its readers.
\* twin: SpecClearUnderReader violates ReadersKeepBytes
\* twin: SpecClearUnderReader violates OverwriteWaitsForReaders
ClearUnderReader(i) ==
  /\ life = "up"
  /\ slots[i].use = "object"
  /\ slots' = [slots EXCEPT ![i] = [use |-> "free", mem |-> "zero"]]
  /\ UNCHANGED <<life, conns, keys, disk, log>>
SpecClearUnderReader == Init /\ [][Next \/ \E i \in 1..Slots : ClearUnderReader(i)]_vars

\* A put that finds no room goes to a temporary file.
\* twin: SpecSpill violates NoTrace
Spill(c) ==
  /\ Running
  /\ conns[c].doing = "put"
  /\ FreeSlot = 0
  /\ disk' = disk \cup {"payload"}
  /\ UNCHANGED <<life, slots, conns, keys, log>>
SpecSpill == Init /\ [][Next \/ \E c \in 1..Conns : Spill(c)]_vars

\* A crash leaves a core.
\* twin: SpecCore violates NoTrace
Core ==
  /\ Running
  /\ life' = "crashed"
  /\ slots' = FreshSlots
  /\ conns' = FreshConns
  /\ keys' = FreshKeys
  /\ disk' = disk \cup ({slots[i].mem : i \in 1..Slots} \ {"zero"})
  /\ UNCHANGED log
SpecCore == Init /\ [][Next \/ Core]_vars

\* A refused token is logged.
\* twin: SpecLoggedToken violates NoTrace
LoggedToken(c) ==
  /\ conns[c].buffer = "token"
  /\ log' = log \cup {"token"}
  /\ UNCHANGED <<life, slots, conns, keys, disk>>
SpecLoggedToken == Init /\ [][Next \/ \E c \in 1..Conns : LoggedToken(c)]_vars

\* What a life issued is still good in the next.
\* twin: SpecKeysSurvive violates OffIsFresh
KeysSurvive ==
  /\ Running
  /\ life' = "crashed"
  /\ slots' = FreshSlots
  /\ conns' = FreshConns
  /\ UNCHANGED <<keys, disk, log>>
SpecKeysSurvive == Init /\ [][Next \/ KeysSurvive]_vars

\* A put takes a slot that was deleted and not overwritten.
\* twin: SpecTakesDirty violates NoReuseBeforeOverwrite
TakesDirty(c) ==
  /\ Running
  /\ conns[c].doing = "put"
  /\ conns[c].slot = 0
  /\ \E i \in 1..Slots : /\ Due(i)
                         /\ slots' = [slots EXCEPT ![i].use = "put"]
                         /\ conns' = [conns EXCEPT ![c].slot = i]
  /\ UNCHANGED <<life, keys, disk, log>>
SpecTakesDirty == Init /\ [][Next \/ \E c \in 1..Conns : TakesDirty(c)]_vars

\* A token arrives over the payload that the request before it left in the buffer.
\* twin: SpecArrivesDirty violates NoReuseBeforeOverwrite
ArrivesDirty(c) ==
  /\ Running
  /\ conns[c].doing = "idle"
  /\ conns' = Buffer(c, "token")
  /\ UNCHANGED <<life, slots, keys, disk, log>>
SpecArrivesDirty == Init /\ [][Next \/ \E c \in 1..Conns : ArrivesDirty(c)]_vars

\* The process ends and leaves the clearing to the kernel.
\* twin: SpecHastyExit violates ZeroBeforeGivenBack
HastyExit ==
  /\ life = "closing"
  /\ life' = "off"
  /\ slots' = FreshSlots
  /\ conns' = FreshConns
  /\ keys' = FreshKeys
  /\ UNCHANGED <<disk, log>>
SpecHastyExit == Init /\ [][Next \/ HastyExit]_vars

\* Deleted bytes are overwritten when a put asks for their room, or never.
\* twin: SpecOverwriteOnDemand violates DeletedIsOverwritten
Asked == \E c \in 1..Conns : conns[c].doing = "put" /\ conns[c].slot = 0
SpecOverwriteOnDemand ==
  /\ Init
  /\ [][Next /\ (Overwrite => Asked)]_vars
  /\ WF_vars(Overwrite /\ Asked) /\ WF_vars(Purge) /\ WF_vars(AnyClose) /\ WF_vars(Exit)

\* A key whose time is over is overwritten when somebody uses it, or never.
\* twin: SpecPurgeAtUse violates EndedKeysArePurged
PurgeAtUse(k) ==
  /\ life = "up"
  /\ keys[k].use = "ended"
  /\ keys' = [keys EXCEPT ![k] = [use |-> "none", mem |-> "zero"]]
  /\ UNCHANGED <<life, slots, conns, disk, log>>
SpecPurgeAtUse ==
  /\ Init
  /\ [][(Next /\ (Purge => life = "closing")) \/ \E k \in 1..Keys : PurgeAtUse(k)]_vars
  /\ WF_vars(Overwrite) /\ WF_vars(Purge /\ life = "closing") /\ WF_vars(AnyClose) /\ WF_vars(Exit)

\* A shutdown waits for its clients for as long as they like.
\* twin: SpecPoliteShutdown violates ShutdownEndsWithZero
SpecPoliteShutdown == Init /\ [][Next]_vars /\ WF_vars(Overwrite) /\ WF_vars(Purge) /\ WF_vars(Exit)
========================================================================================================================
