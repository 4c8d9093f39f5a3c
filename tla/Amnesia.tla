---------------------------------------------------- MODULE Amnesia ----------------------------------------------------
(* Where a node keeps payload bytes and secrets, and what has to be overwritten when (spec/amnesia.md, AMN).          *)
(*                                                                                                                    *)
(* Memory is what the node can fill: slots for payload, the buffer of each connection, the cells of the key arena. Of *)
(* each the module knows what it is used for and whether it holds zeros or bytes of a payload, a token or a key. It   *)
(* does not know which bytes, which object and how many: a slot stands for all memory of one put or object. disk and  *)
(* log are the traces that must never come to be: what was written to a file system, and what logs, metrics and       *)
(* errors say.                                                                                                        *)
(*                                                                                                                    *)
(* A connection has one request at a time; several streams of one connection are several connections here. The        *)
(* readers of a slot are the connections whose get is on it. The life with persistence is one state: its rules about  *)
(* memory are the same, and its disk is the matter of module Cas.                                                     *)
(*                                                                                                                    *)
(* Time is steps. The second within which bytes are overwritten, the time limits of requests and the time to live of  *)
(* a key end by actions that may come at any moment; what the node does by itself is fair (see Spec).                 *)
EXTENDS Naturals, FiniteSets, Sequences

CONSTANTS Slots,  \* slots of payload memory
          Conns,  \* connections that can be open at once
          Keys    \* cells of the key arena

VARIABLES life,   \* "off" (never ran, or ended in order), "crashed", "up" (with amnesia), "persistent", "closing"
          slots,  \* use: "free", "put", "object", "doomed" (deleted or failed, not overwritten yet); mem
          conns,  \* doing: "closed", "idle", "put", "get"; slot of the put or get, 0 for none; buffer: what is in it
          keys,   \* use: "none", "live", "ended" (its time to live is over); mem
          disk,   \* kinds of bytes that were written to a file system
          log     \* kinds of bytes that were said in logs, metrics and error texts

vars == <<life, slots, conns, keys, disk, log>>

FreshSlots == [i \in 1..Slots |-> [use |-> "free", mem |-> "zero"]]
FreshConns == [c \in 1..Conns |-> [doing |-> "closed", slot |-> 0, buffer |-> "zero"]]
FreshKeys  == [k \in 1..Keys |-> [use |-> "none", mem |-> "zero"]]

Init == /\ life = "off"
        /\ slots = FreshSlots
        /\ conns = FreshConns
        /\ keys = FreshKeys
        /\ disk = {}
        /\ log = {}

------------------------------------------------------------------------------------------------------------------------
Running == life \in {"up", "closing"}

Readers(i) == {c \in 1..Conns : conns[c].doing = "get" /\ conns[c].slot = i}

\* Slot i holds bytes that nobody may read any more and that are not overwritten yet.
Due(i) == slots[i].use = "doomed" /\ Readers(i) = {}

AnyDue == \E i \in 1..Slots : Due(i)

AnyEnded == \E k \in 1..Keys : keys[k].use = "ended"

First(cells, n, use) == LET all == {i \in 1..n : cells[i].use = use}
                        IN IF all = {} THEN 0 ELSE CHOOSE i \in all : \A j \in all : i <= j

FreeSlot == First(slots, Slots, "free")
FreeKey  == First(keys, Keys, "none")

Zero == /\ \A i \in 1..Slots : slots[i].mem = "zero"
        /\ \A k \in 1..Keys : keys[k].mem = "zero"
        /\ \A c \in 1..Conns : conns[c].buffer = "zero"

\* What the request of connection c put is doomed.
Undone(c) == IF conns[c].doing = "put" /\ conns[c].slot > 0
             THEN [slots EXCEPT ![conns[c].slot].use = "doomed"]
             ELSE slots

IdleAgain(c) == [conns EXCEPT ![c].doing = "idle", ![c].slot = 0]

Buffer(c, what) == [conns EXCEPT ![c].buffer = what]

\* The request of connection c ends without an object: what it put is doomed, and what it read is not held any more.
Fails(c) ==
  /\ slots' = Undone(c)
  /\ conns' = IdleAgain(c)
  /\ UNCHANGED <<life, keys, disk, log>>

------------------------------------------------------------------------------------------------------------------------
\* The life of the node.

Configs == {"nothing", "amnesia", "persistence", "amnesia and persistence", "something unclear", "something unreadable"}

\* Amnesia is on unless persistence is asked for and nothing else. AMN-DEF-001, AMN-DEF-003, AMN-RST-001, CAS-PER-001
Start(config) ==
  /\ life \in {"off", "crashed"}
  /\ config \in {"nothing", "amnesia", "something unclear", "persistence"}
  /\ life' = IF config = "persistence" THEN "persistent" ELSE "up"
  /\ UNCHANGED <<slots, conns, keys, disk, log>>

\* Two wishes at once are none, and neither is one that can not be read. AMN-DEF-002, AMN-DEF-004, RDY-CFG-004
Start_malformed(config) ==
  /\ life \in {"off", "crashed"}
  /\ config \in {"amnesia and persistence", "something unreadable"}
  /\ UNCHANGED vars

\* Nothing new is taken; the time of objects and keys is over. What is in flight goes on. AMN-ZER-003, CAS-GET-007
Shutdown ==
  /\ life \in {"up", "persistent"}
  /\ life' = "closing"
  /\ slots' = [i \in 1..Slots |-> IF slots[i].use = "object" THEN [slots[i] EXCEPT !.use = "doomed"] ELSE slots[i]]
  /\ keys' = [k \in 1..Keys |-> IF keys[k].use = "live" THEN [keys[k] EXCEPT !.use = "ended"] ELSE keys[k]]
  /\ UNCHANGED <<conns, disk, log>>

\* Memory is given back when all of it is zero. AMN-ZER-003
Exit ==
  /\ life = "closing"
  /\ Zero
  /\ \A c \in 1..Conns : conns[c].doing = "closed"
  /\ life' = "off"
  /\ UNCHANGED <<slots, conns, keys, disk, log>>

\* The memory goes as it is; no core is left of it. AMN-DSK-003, AMN-DSK-004, AMN-RST-001
Crash ==
  /\ life \in {"up", "persistent", "closing"}
  /\ life' = "crashed"
  /\ slots' = FreshSlots
  /\ conns' = FreshConns
  /\ keys' = FreshKeys
  /\ UNCHANGED <<disk, log>>

\* Everything that is due, and what was overwritten is free. AMN-ZER-001, AMN-ZER-002, AMN-ZER-004, CAS-DEL-003
Overwrite ==
  /\ Running
  /\ AnyDue
  /\ slots' = [i \in 1..Slots |-> IF Due(i) THEN [use |-> "free", mem |-> "zero"] ELSE slots[i]]
  /\ UNCHANGED <<life, conns, keys, disk, log>>

------------------------------------------------------------------------------------------------------------------------
\* Connections and their buffers.

\* AMN-ZER-007
Connect(c) ==
  /\ life = "up"
  /\ conns[c].doing = "closed"
  /\ conns' = [conns EXCEPT ![c].doing = "idle"]
  /\ UNCHANGED <<life, slots, keys, disk, log>>

\* By either side, in order or cut; the buffer is overwritten. AMN-ZER-002, AMN-ZER-007, RDY-DRN-003
Close(c) ==
  /\ Running
  /\ conns[c].doing # "closed"
  /\ slots' = Undone(c)
  /\ conns' = [conns EXCEPT ![c] = [doing |-> "closed", slot |-> 0, buffer |-> "zero"]]
  /\ UNCHANGED <<life, keys, disk, log>>

\* A token comes with a request, here with one that moves no payload. It is kept nowhere else. AMN-ZER-005, AMN-LOG-002
Present(c) ==
  /\ Running
  /\ conns[c].doing = "idle"
  /\ conns[c].buffer = "zero"
  /\ conns' = Buffer(c, "token")
  /\ UNCHANGED <<life, slots, keys, disk, log>>

\* The bytes in the buffer were used. AMN-ZER-005, AMN-ZER-007
Wipe(c) ==
  /\ Running
  /\ conns[c].buffer # "zero"
  /\ ~(conns[c].doing = "put" /\ conns[c].slot = 0)
  /\ conns' = Buffer(c, "zero")
  /\ UNCHANGED <<life, slots, keys, disk, log>>

------------------------------------------------------------------------------------------------------------------------
\* Put.

\* The first bytes of a put, or more of them; they take no payload memory yet. AMN-ZER-007
Arrive(c) ==
  /\ Running
  /\ conns[c].buffer = "zero"
  /\ \/ conns[c].doing = "idle" /\ life = "up"
     \/ conns[c].doing = "put"
  /\ conns' = [conns EXCEPT ![c].doing = "put", ![c].buffer = "payload"]
  /\ UNCHANGED <<life, slots, keys, disk, log>>

\* RDY-STA-004
Arrive_draining(c) ==
  /\ life = "closing"
  /\ conns[c].doing = "idle"
  /\ conns[c].buffer = "zero"
  /\ UNCHANGED vars

\* The store copies the bytes; the first ones get the put a slot, which one is nobody's business.
\* AMN-ZER-001, AMN-DSK-001, AMN-LOG-001
Take(c) ==
  /\ Running
  /\ conns[c].doing = "put"
  /\ conns[c].buffer = "payload"
  /\ IF conns[c].slot > 0
     THEN UNCHANGED <<slots, conns>>
     ELSE /\ FreeSlot > 0
          /\ slots' = [slots EXCEPT ![FreeSlot] = [use |-> "put", mem |-> "payload"]]
          /\ conns' = [conns EXCEPT ![c].slot = FreeSlot]
  /\ UNCHANGED <<life, keys, disk, log>>

\* Where only overwriting keeps a slot from being free, the put waits for that. CAS-CAP-003, CAS-DEL-003, CAS-PUT-005
Take_store_full(c) ==
  /\ Running
  /\ conns[c].doing = "put"
  /\ conns[c].buffer = "payload"
  /\ conns[c].slot = 0
  /\ FreeSlot = 0
  /\ ~AnyDue
  /\ conns' = IdleAgain(c)
  /\ UNCHANGED <<life, slots, keys, disk, log>>

\* What is in flight when a drain is over is cut. RDY-DRN-003, CAS-PUT-005, AMN-ZER-002
Take_draining(c) ==
  /\ life = "closing"
  /\ conns[c].doing = "put"
  /\ conns[c].buffer = "payload"
  /\ Fails(c)

Complete(c) == Running /\ conns[c].doing = "put" /\ conns[c].slot > 0

\* A new object; in a shutdown one that is acknowledged and that nobody can ask for. CAS-PUT-001, CAS-PUT-003,
\* RDY-DRN-008, AMN-ZER-003
Commit(c) ==
  /\ Complete(c)
  /\ slots' = [slots EXCEPT ![conns[c].slot].use = IF life = "up" THEN "object" ELSE "doomed"]
  /\ conns' = IdleAgain(c)
  /\ UNCHANGED <<life, keys, disk, log>>

\* The object is stored already: the second copy goes. CAS-PUT-002, CAS-PUT-003
CommitAgain(c) ==
  /\ Complete(c)
  /\ life = "up"
  /\ \E i \in 1..Slots : slots[i].use = "object"
  /\ Fails(c)

\* CAS-PUT-004, CAS-PUT-005, AMN-ZER-002
Commit_bad_digest(c) == Complete(c) /\ Fails(c)

\* RDY-DRN-003, CAS-PUT-005, AMN-ZER-002
Commit_draining(c) == Complete(c) /\ life = "closing" /\ Fails(c)

Requesting(c) == Running /\ conns[c].doing \in {"put", "get"}

\* OAP-STR-009, CAS-PUT-005, AMN-ZER-002
Cancel(c) == Requesting(c) /\ Fails(c)

\* ADM-TIM-006, CAS-PUT-005, AMN-ZER-002
Timeout(c) == Requesting(c) /\ Fails(c)

\* The token of the request expires or is revoked. CAP-REV-003, CAS-PUT-005, AMN-ZER-002
Revoke(c) == Requesting(c) /\ Fails(c)

------------------------------------------------------------------------------------------------------------------------
\* Get and delete.

CanAsk(c) == Running /\ conns[c].doing = "idle" /\ conns[c].buffer = "zero"

\* CAS-GET-007
Get(c, i) ==
  /\ CanAsk(c)
  /\ life = "up"
  /\ slots[i].use = "object"
  /\ conns' = [conns EXCEPT ![c].doing = "get", ![c].slot = i]
  /\ UNCHANGED <<life, slots, keys, disk, log>>

\* CAS-GET-001, CAS-DEL-001
Get_not_found(c, i) == CanAsk(c) /\ life = "up" /\ slots[i].use # "object" /\ UNCHANGED vars

\* RDY-STA-004
Get_draining(c) == CanAsk(c) /\ life = "closing" /\ UNCHANGED vars

\* A network stack may need a copy of what goes out. AMN-ZER-007, CAS-GET-007
Send(c) ==
  /\ Running
  /\ conns[c].doing = "get"
  /\ conns[c].buffer = "zero"
  /\ conns' = Buffer(c, "payload")
  /\ UNCHANGED <<life, slots, keys, disk, log>>

\* AMN-ZER-004, CAS-GET-007
Done(c) == Running /\ conns[c].doing = "get" /\ Fails(c)

\* CAS-DEL-001, AMN-ZER-001, AMN-ZER-004
Delete(i) ==
  /\ life = "up"
  /\ slots[i].use = "object"
  /\ slots' = [slots EXCEPT ![i].use = "doomed"]
  /\ UNCHANGED <<life, conns, keys, disk, log>>

\* CAS-DEL-002
Delete_not_found(i) == life = "up" /\ slots[i].use # "object" /\ UNCHANGED vars

\* RDY-STA-004
Delete_draining(i) == life = "closing" /\ i \in 1..Slots /\ UNCHANGED vars

------------------------------------------------------------------------------------------------------------------------
\* Keys.

\* The first one, or one beside the others in a rotation. CAP-KEY-001, CAP-KEY-003
MakeKey ==
  /\ life = "up"
  /\ FreeKey > 0
  /\ keys' = [keys EXCEPT ![FreeKey] = [use |-> "live", mem |-> "key"]]
  /\ UNCHANGED <<life, slots, conns, disk, log>>

\* Leaves no copy. CAP-KEY-002, CAP-KEY-005
Use(k) == life = "up" /\ keys[k].use = "live" /\ UNCHANGED vars

\* Does nothing for a key whose time is over, not even overwrite it. CAP-IDN-003, AMN-ZER-006
Use_unauth(k) == life = "up" /\ keys[k].use # "live" /\ UNCHANGED vars

\* The time to live ends, or after a rotation no capability under the key can be left. AMN-ZER-006, CAP-KEY-002
Expire(k) ==
  /\ keys[k].use = "live"
  /\ keys' = [keys EXCEPT ![k].use = "ended"]
  /\ UNCHANGED <<life, slots, conns, disk, log>>

\* To drop a key is to overwrite it. AMN-ZER-005, AMN-ZER-008
Drop(k) ==
  /\ keys[k].use = "live"
  /\ keys' = [keys EXCEPT ![k] = [use |-> "none", mem |-> "zero"]]
  /\ UNCHANGED <<life, slots, conns, disk, log>>

\* The timer, not a use. AMN-ZER-005, AMN-ZER-006
Purge ==
  /\ Running
  /\ AnyEnded
  /\ keys' = [k \in 1..Keys |-> IF keys[k].use = "ended" THEN [use |-> "none", mem |-> "zero"] ELSE keys[k]]
  /\ UNCHANGED <<life, slots, conns, disk, log>>

------------------------------------------------------------------------------------------------------------------------
Next ==
  \/ \E config \in Configs : Start(config)
  \/ \E config \in Configs : Start_malformed(config)
  \/ Shutdown
  \/ Exit
  \/ Crash
  \/ Overwrite
  \/ \E c \in 1..Conns : Connect(c)
  \/ \E c \in 1..Conns : Close(c)
  \/ \E c \in 1..Conns : Present(c)
  \/ \E c \in 1..Conns : Wipe(c)
  \/ \E c \in 1..Conns : Arrive(c)
  \/ \E c \in 1..Conns : Arrive_draining(c)
  \/ \E c \in 1..Conns : Take(c)
  \/ \E c \in 1..Conns : Take_store_full(c)
  \/ \E c \in 1..Conns : Take_draining(c)
  \/ \E c \in 1..Conns : Commit(c)
  \/ \E c \in 1..Conns : CommitAgain(c)
  \/ \E c \in 1..Conns : Commit_bad_digest(c)
  \/ \E c \in 1..Conns : Commit_draining(c)
  \/ \E c \in 1..Conns : Cancel(c)
  \/ \E c \in 1..Conns : Timeout(c)
  \/ \E c \in 1..Conns : Revoke(c)
  \/ \E c \in 1..Conns, i \in 1..Slots : Get(c, i)
  \/ \E c \in 1..Conns, i \in 1..Slots : Get_not_found(c, i)
  \/ \E c \in 1..Conns : Get_draining(c)
  \/ \E c \in 1..Conns : Send(c)
  \/ \E c \in 1..Conns : Done(c)
  \/ \E i \in 1..Slots : Delete(i)
  \/ \E i \in 1..Slots : Delete_not_found(i)
  \/ \E i \in 1..Slots : Delete_draining(i)
  \/ MakeKey
  \/ \E k \in 1..Keys : Use(k)
  \/ \E k \in 1..Keys : Use_unauth(k)
  \/ \E k \in 1..Keys : Expire(k)
  \/ \E k \in 1..Keys : Drop(k)
  \/ Purge

AnyClose == \E c \in 1..Conns : Close(c)

\* What is fair is what the node does by itself: the store overwrites what is due within a second (AMN-ZER-004), the
\* timer of the keys fires (AMN-ZER-006), what is in flight when a drain is over is cut (RDY-DRN-003), and a node with
\* nothing left to do ends. Nothing is assumed of clients; they may be silent for ever.
Spec == Init /\ [][Next]_vars /\ WF_vars(Overwrite) /\ WF_vars(Purge) /\ WF_vars(AnyClose) /\ WF_vars(Exit)

------------------------------------------------------------------------------------------------------------------------
\* What holds in every state.

\* Payload memory that is nobody's holds nothing. AMN-ZER-001, AMN-ZER-002
FreeIsZero == \A i \in 1..Slots : slots[i].use = "free" => slots[i].mem = "zero"

\* Payload is in the slot of one put of an open connection, of an object, or of something deleted that is not overwritten
\* yet, and in buffers of open connections. AMN-ZER-007, CAS-PUT-005
PayloadPlaces ==
  /\ \A i \in 1..Slots :
       /\ Cardinality({c \in 1..Conns : conns[c].doing = "put" /\ conns[c].slot = i}) = IF slots[i].use = "put" THEN 1 ELSE 0
       /\ slots[i].mem = "payload" => slots[i].use \in {"put", "object", "doomed"}
  /\ \A c \in 1..Conns : conns[c].buffer = "payload" => conns[c].doing # "closed"

\* Key bytes are in cells of keys that were neither dropped nor purged, tokens in buffers of open connections.
\* AMN-ZER-005, AMN-ZER-006, AMN-ZER-008
SecretPlaces ==
  /\ \A k \in 1..Keys : keys[k].mem # "zero" => keys[k].use \in {"live", "ended"}
  /\ \A c \in 1..Conns : conns[c].buffer = "token" => conns[c].doing # "closed"
  /\ \A i \in 1..Slots : slots[i].mem \in {"zero", "payload"}

\* A get finds its bytes for as long as it takes. CAS-GET-007, AMN-ZER-004
ReadersKeepBytes ==
  \A c \in 1..Conns : conns[c].doing = "get" =>
    slots[conns[c].slot].mem = "payload" /\ slots[conns[c].slot].use \in {"object", "doomed"}

\* AMN-DSK-001 to AMN-DSK-003, AMN-LOG-001, AMN-LOG-002
NoTrace == disk = {} /\ log = {}

\* Apart from the word for it, a node that ended or crashed is one that never ran. AMN-RST-001, AMN-RST-002
OffIsFresh ==
  life \in {"off", "crashed"} => slots = FreshSlots /\ conns = FreshConns /\ keys = FreshKeys /\ disk = {} /\ log = {}

------------------------------------------------------------------------------------------------------------------------
\* What holds on every step.

\* Memory takes new bytes only after the old ones were overwritten. AMN-ZER-001, AMN-ZER-002, AMN-ZER-005
NoReuseBeforeOverwrite ==
  [][/\ \A i \in 1..Slots : slots'[i].use = "put" /\ slots[i].use # "put" => slots[i] = [use |-> "free", mem |-> "zero"]
     /\ \A c \in 1..Conns : conns'[c].buffer \notin {"zero", conns[c].buffer} => conns[c].buffer = "zero"]_vars

\* Slots are overwritten after a delete or a failed put, and then only when nobody reads them. AMN-ZER-004, CAS-GET-007
OverwriteWaitsForReaders ==
  [][life' # "crashed" => \A i \in 1..Slots : slots[i].mem = "payload" /\ slots'[i].mem = "zero" => Due(i)]_vars

\* AMN-ZER-003
ZeroBeforeGivenBack == [][life # "off" /\ life' = "off" => Zero]_vars

------------------------------------------------------------------------------------------------------------------------
\* What comes to be.

\* Bytes that were deleted are overwritten once the last of their readers is gone. AMN-ZER-001, AMN-ZER-002, AMN-ZER-004
DeletedIsOverwritten == AnyDue ~> ~AnyDue

\* A key is overwritten when its time is over, whether it is used or not. AMN-ZER-006
EndedKeysArePurged == AnyEnded ~> ~AnyEnded

\* A shutdown comes to its end, with nothing left in memory. AMN-ZER-003, RDY-DRN-003
ShutdownEndsWithZero == (life = "closing") ~> (life \in {"off", "crashed"} /\ Zero)
========================================================================================================================
