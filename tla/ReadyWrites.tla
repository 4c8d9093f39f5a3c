----------------------------- MODULE ReadyWrites -----------------------------
\* Readiness, admission, drain and the writes of the store put together. The question: is a write that was acknowledged
\* ever lost because the node degraded, recovered or left, and does /readyz say so before the door is shut?
\*
\* Writers connect, ask for a put of an object of their own, are admitted or refused, send their bytes, and see an
\* acknowledgement or do not. At any moment a gate may be lost or come back, the memory may run short, the operator may
\* send SIGTERM once or twice, and time may run out. A balancer looks at /readyz.
\*
\* What is left out, and why that is no loss:
\*   - the chain of gates is one gate, and the causes of degradation are three (capacity, in-flight places, memory):
\*     Readiness.tla has the rest;
\*   - an object is one unit of capacity, taken when its put is admitted (its length is declared) and given back when
\*     the put ends without storing it; what is inside of it, and gets, are the business of Cas.tla;
\*   - reads take places and tokens as writes do, so one kind of them is here, the delete, which matters because it undoes
\*     a write; whether a writer that was refused tries again is up to it;
\*   - the node does not crash: what is left after a crash is the business of Cas.tla.
EXTENDS Naturals, FiniteSets

CONSTANTS
  Writers,      \* names; each stands for a client and for the object that it puts
  Capacity,     \* units in the store (CAS-CAP-002)
  MaxInflight,  \* requests in flight (ADM-CAP-002)
  Tokens        \* what the token bucket holds (ADM-CAP-003)

VARIABLES
  state,     \* starting, ready, degraded, draining, stopped
  readyz,    \* the status that /readyz answers
  seen,      \* the status that the balancer saw when it last looked; 0 before that
  whole,     \* every gate is up
  short,     \* the memory is short
  noticed,   \* 100 milliseconds have passed since draining began
  listening, \* the listeners accept connections
  places,    \* in-flight places taken
  tokens,    \* tokens in the bucket
  phase,     \* of each writer, see Phases
  stored,    \* objects in the store
  used,      \* units of capacity that are taken
  acked      \* objects whose writer has seen the acknowledgement, until it deletes them

Phases == {
  "away",      \* not connected
  "idle",      \* connected, no request
  "asking",    \* the request is on its way, or waits to be looked at
  "arriving",  \* admitted; bytes are coming in, nobody can see the object
  "answering", \* in the store; the acknowledgement is on its way
  "shed",      \* refused by readiness
  "refused",   \* refused by a cap, or because the bytes are not those of the address
  "unseen",    \* in the store, but the acknowledgement never arrived
  "gone",      \* the client left or was too slow
  "cut"}       \* cut by a drain
InFlight == {"arriving", "answering"}

node  == <<state, readyz>>
door  == <<noticed, listening>>
vars  == <<node, seen, whole, short, door, places, tokens, phase, stored, used, acked>>

Init ==
  /\ state = "starting" /\ readyz = 503 /\ seen = 0 /\ whole = FALSE /\ short = FALSE
  /\ noticed = FALSE /\ listening = TRUE /\ places = 0 /\ tokens = Tokens
  /\ phase = [w \in Writers |-> "away"] /\ stored = {} /\ used = 0 /\ acked = {}

Alive == state # "stopped"

Become(s) == state' = s /\ readyz' = IF s = "ready" THEN 200 ELSE 503

\* One margin is enough here: an object is a unit, a place is half of all places.
Fine(all, low, n, u) == all /\ ~low /\ n < MaxInflight /\ u < Capacity
Settle ==
  LET fine == Fine(whole', short', places', used') IN
  Become(IF state = "starting" /\ fine THEN "ready"
         ELSE IF state = "ready" /\ ~fine THEN "degraded" ELSE state)

To(w, p) == phase' = [phase EXCEPT ![w] = p]

-----------------------------------------------------------------------------
\* The node and what is around it

\* RDY-GAT-001, RDY-GAT-004
GatesUp   == Alive /\ ~whole /\ whole' = TRUE
             /\ UNCHANGED <<seen, short, door, places, tokens, phase, stored, used, acked>> /\ Settle
LoseGate  == state \in {"ready", "degraded"} /\ whole /\ whole' = FALSE
             /\ UNCHANGED <<seen, short, door, places, tokens, phase, stored, used, acked>> /\ Settle
\* RDY-DEG-006
MemoryShort == Alive /\ state # "draining" /\ ~short /\ short' = TRUE
               /\ UNCHANGED <<seen, whole, door, places, tokens, phase, stored, used, acked>> /\ Settle
MemoryBack  == Alive /\ state # "draining" /\ short /\ short' = FALSE
               /\ UNCHANGED <<seen, whole, door, places, tokens, phase, stored, used, acked>> /\ Settle
\* RDY-DEG-008
Recover == state = "degraded" /\ Fine(whole, short, places, used) /\ Become("ready")
           /\ UNCHANGED <<seen, whole, short, door, places, tokens, phase, stored, used, acked>>
\* ADM-CAP-003
Refill == Alive /\ tokens < Tokens /\ tokens' = tokens + 1
          /\ UNCHANGED <<node, seen, whole, short, door, places, phase, stored, used, acked>>
\* RDY-HLT-001: the balancer has a connection of its own for this, or makes one.
Look == Alive /\ seen # readyz /\ seen' = readyz
        /\ UNCHANGED <<node, whole, short, door, places, tokens, phase, stored, used, acked>>

\* What a drain does to the work in flight when its time is over: a write that is not yet in the store leaves no trace
\* (RDY-DRN-008, CAS-PUT-005); one that is in the store stays there, and its writer may not learn of it (CAS-LIN-003).
CutAll ==
  /\ phase' = [w \in Writers |-> CASE phase[w] = "arriving" -> "cut"
                                   [] phase[w] = "answering" -> "unseen"
                                   [] OTHER -> phase[w]]
  /\ used' = used - Cardinality({w \in Writers : phase[w] = "arriving"})
  /\ places' = 0

\* RDY-DRN-001, RDY-STA-002; a second one: RDY-DRN-006
Signal ==
  /\ Alive
  /\ IF state = "draining"
     THEN CutAll /\ UNCHANGED <<node, short>>
     ELSE Become("draining") /\ short' = FALSE /\ UNCHANGED <<phase, used, places>>
  /\ UNCHANGED <<seen, whole, door, tokens, stored, acked>>
\* RDY-DRN-002: the balancer looks at least once in 100 milliseconds.
Notice == state = "draining" /\ ~noticed /\ seen = readyz /\ noticed' = TRUE
          /\ UNCHANGED <<node, seen, whole, short, listening, places, tokens, phase, stored, used, acked>>
\* RDY-DRN-003: five seconds, and it looked in these as well.
Deadline == state = "draining" /\ places > 0 /\ seen = readyz /\ CutAll /\ noticed' = TRUE
            /\ UNCHANGED <<node, seen, whole, short, listening, tokens, stored, acked>>
\* RDY-DRN-001, RDY-DRN-002, RDY-DRN-004
Close == state = "draining" /\ listening /\ noticed /\ places = 0 /\ listening' = FALSE
         /\ UNCHANGED <<node, seen, whole, short, noticed, places, tokens, phase, stored, used, acked>>
\* RDY-DRN-004: who still had a connection, or a request on its way, loses it.
Stop ==
  /\ state = "draining" /\ ~listening /\ Become("stopped")
  /\ phase' = [w \in Writers |-> IF phase[w] = "asking" THEN "gone" ELSE IF phase[w] = "idle" THEN "away" ELSE phase[w]]
  /\ UNCHANGED <<seen, whole, short, door, places, tokens, stored, used, acked>>

-----------------------------------------------------------------------------
\* The writers

Quiet == <<node, seen, whole, short, door>>

\* RDY-DRN-002: while the listeners are open anyone may connect, in any state.
Connect(w) == Alive /\ listening /\ phase[w] = "away" /\ To(w, "idle")
              /\ UNCHANGED <<Quiet, places, tokens, stored, used, acked>>
Ask(w) == Alive /\ phase[w] = "idle" /\ w \notin acked /\ To(w, "asking")
          /\ UNCHANGED <<Quiet, places, tokens, stored, used, acked>>

\* ADM-ORD-001: the in-flight cap, the rate cap, readiness. One look at the state decides, and the place is taken in
\* the same moment.
Room == places < MaxInflight /\ tokens > 0
\* ADM-CAP-004, RDY-DEG-009: the length is declared, so the capacity is set aside now.
Admit(w) ==
  /\ Alive /\ phase[w] = "asking" /\ Room /\ state = "ready"
  /\ To(w, "arriving") /\ places' = places + 1 /\ tokens' = tokens - 1 /\ used' = used + 1
  /\ UNCHANGED <<seen, whole, short, door, stored, acked>> /\ Settle
\* ADM-CAP-002, ADM-CAP-003, ADM-CAP-005
Refuse(w) == Alive /\ phase[w] = "asking" /\ ~Room /\ To(w, "refused")
             /\ UNCHANGED <<Quiet, places, tokens, stored, used, acked>>
\* RDY-STA-003, RDY-STA-004, RDY-DEG-002, RDY-DEG-003, ADM-CAP-005
Shed(w) == Alive /\ phase[w] = "asking" /\ Room /\ state # "ready" /\ To(w, "shed")
           /\ UNCHANGED <<Quiet, places, tokens, stored, used, acked>>
Decide(w) == Admit(w) \/ Refuse(w) \/ Shed(w)

\* CAS-PUT-001, CAS-PUT-002, CAS-PUT-006: the last byte is there and the digest is right. What was stored already is not
\* stored twice.
Commit(w) ==
  /\ phase[w] = "arriving" /\ To(w, "answering") /\ stored' = stored \cup {w}
  /\ used' = IF w \in stored THEN used - 1 ELSE used
  /\ UNCHANGED <<Quiet, places, tokens, acked>>
\* CAS-PUT-004: the bytes are others.
Spoil(w) == phase[w] = "arriving" /\ To(w, "refused") /\ places' = places - 1 /\ used' = used - 1
            /\ UNCHANGED <<Quiet, tokens, stored, acked>>
\* ADM-TIM-001, ADM-TIM-006, CAS-PUT-005: too slow, cancelled, or its connection broke.
Expire(w) == phase[w] = "arriving" /\ To(w, "gone") /\ places' = places - 1 /\ used' = used - 1
             /\ UNCHANGED <<Quiet, tokens, stored, acked>>
\* ADM-CAP-006: the place comes back when the answer is complete, and now the writer knows.
Deliver(w) == phase[w] = "answering" /\ To(w, "idle") /\ acked' = acked \cup {w} /\ places' = places - 1
              /\ UNCHANGED <<Quiet, tokens, stored, used>>
\* CAS-LIN-003: the connection broke under the answer.
Miss(w) == phase[w] = "answering" /\ To(w, "unseen") /\ places' = places - 1
           /\ UNCHANGED <<Quiet, tokens, stored, used, acked>>
Answer(w) == Deliver(w) \/ Miss(w)
\* RDY-DEG-001, CAS-DEL-001, CAS-DEL-003: a delete is a read. It takes its token and its place, and is over at once.
Delete(w) ==
  /\ state \in {"ready", "degraded"} /\ Room /\ phase[w] = "idle" /\ w \in acked
  /\ stored' = stored \ {w} /\ acked' = acked \ {w} /\ used' = used - 1 /\ tokens' = tokens - 1
  /\ UNCHANGED <<Quiet, places, phase>>
\* A writer that was turned away keeps its connection, and one that was left without an answer has lost it.
Again(w) ==
  /\ Alive /\ phase[w] \in {"shed", "refused", "unseen", "gone", "cut"}
  /\ To(w, IF phase[w] \in {"shed", "refused"} THEN "idle" ELSE "away")
  /\ UNCHANGED <<Quiet, places, tokens, stored, used, acked>>

Next ==
  \/ GatesUp \/ LoseGate \/ MemoryShort \/ MemoryBack \/ Recover \/ Refill \/ Look
  \/ Signal \/ Notice \/ Deadline \/ Close \/ Stop
  \/ \E w \in Writers :
       \/ Connect(w) \/ Ask(w) \/ Admit(w) \/ Refuse(w) \/ Shed(w) \/ Commit(w) \/ Spoil(w) \/ Expire(w)
       \/ Deliver(w) \/ Miss(w) \/ Delete(w) \/ Again(w)

\* It is fair to assume that the balancer looks, that time passes (Notice, Deadline, Expire), and that the node decides
\* about what it was asked, answers what it stored or finds the connection broken, and carries its drain to the end.
\* Nothing is assumed about writers, the operator, gates and memory.
NodeIsFair ==
  /\ WF_vars(Look) /\ WF_vars(Notice) /\ WF_vars(Deadline) /\ WF_vars(Close) /\ WF_vars(Stop)
  /\ \A w \in Writers : WF_vars(Decide(w)) /\ WF_vars(Answer(w))
TimeIsFair == \A w \in Writers : WF_vars(Expire(w))

Spec == Init /\ [][Next]_vars /\ NodeIsFair /\ TimeIsFair

-----------------------------------------------------------------------------
\* What must hold in every state

\* CAS-PUT-001, RDY-DRN-008: the heart of it. It holds at the end of a drain as at any other time.
AckedIsStored == acked \subseteq stored
\* CAS-LIN-003: an answer that got lost was that of a write that is there, whole.
UnseenIsThere == \A w \in Writers : phase[w] = "unseen" => w \in stored
\* RDY-HLT-001, RDY-DEG-007
ReadyzTellsTheState == readyz = 200 <=> state = "ready"
\* RDY-DRN-002: who looks once in 100 milliseconds never sends anyone to a closed door.
BalancersLookAway == ~listening => seen = 503
\* RDY-DRN-004, RDY-DRN-008
StoppedIsQuiet == state = "stopped" => ~listening /\ \A w \in Writers : phase[w] \notin InFlight \cup {"asking", "idle"}
\* ADM-CAP-006
PlacesAreExact == places = Cardinality({w \in Writers : phase[w] \in InFlight})
\* CAS-PUT-005, CAS-CAP-008
UsedIsExact == used = Cardinality(stored) + Cardinality({w \in Writers : phase[w] = "arriving"})
\* ADM-CAP-002, ADM-CAP-003, CAS-CAP-002
WithinCaps == places <= MaxInflight /\ used <= Capacity /\ tokens \in 0..Tokens

\* What must hold on every step

\* RDY-DEG-009, RDY-DRN-003: no change of state fails a write, and only a drain cuts.
FlipsFailNoWrite ==
  [][state' # state => \A w \in Writers : phase[w] \in InFlight => phase'[w] = phase[w]]_vars
OnlyDrainsCut ==
  [][\A w \in Writers : phase[w] # "cut" /\ phase'[w] = "cut" => state = "draining" /\ phase[w] = "arriving"]_vars
\* RDY-DRN-008, CAS-PUT-005: what ends without being stored leaves nothing behind.
NoTrace ==
  [][\A w \in Writers : phase'[w] # phase[w] /\ phase'[w] \in {"shed", "refused", "gone", "cut"} => stored' = stored]_vars
\* RDY-STA-003, RDY-STA-004, RDY-DEG-002
AdmittedWhileReady ==
  [][\A w \in Writers : phase[w] \notin InFlight /\ phase'[w] \in InFlight => state = "ready"]_vars
\* RDY-DEG-007
ShedWhenShown == [][\A w \in Writers : phase[w] # "shed" /\ phase'[w] = "shed" => readyz = 503]_vars
\* CAS-CAP-005, RDY-DEG-001: only its writer takes an object out of the store.
OnlyDeletesRemove == [][\A w \in stored : w \notin stored' => w \notin acked' /\ phase[w] = "idle"]_vars
\* RDY-DRN-001, RDY-DRN-002
FlipBeforeClose   == [][listening /\ ~listening' => readyz = 503]_vars
NoticeBeforeClose == [][listening /\ ~listening' => state = "draining" /\ noticed]_vars

\* What must come about

\* RDY-DRN-003, ADM-TIM-001: every write that was admitted ends: acknowledged, refused, or gone without a trace.
AdmittedWritesEnd == \A w \in Writers : (phase[w] = "arriving") ~> (phase[w] \notin InFlight)
\* CAS-PUT-001: what is in the store is acknowledged, unless the answer gets lost on its way.
StoredIsAnswered == \A w \in Writers : (phase[w] = "answering") ~> (w \in acked \/ phase[w] = "unseen")
\* Whoever asks is told, or loses its connection with the process.
AskedIsDecided == \A w \in Writers : (phase[w] = "asking") ~> (phase[w] # "asking")
\* RDY-DRN-003, RDY-DRN-004
DrainEnds == (state = "draining") ~> (state = "stopped")
=============================================================================
