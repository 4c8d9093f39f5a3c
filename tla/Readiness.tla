------------------------------ MODULE Readiness ------------------------------
\* Readiness and admission of one node: spec/readiness.md (GAT, STA, DEG, DRN, HLT) and spec/admission.md (CAP, ORD).
\*
\* A process brings its gates up one after the other, becomes ready, becomes degraded when something runs short or a
\* gate is lost, becomes ready again after a second of calm, drains when it is told to, and exits. Meanwhile clients
\* connect and ask for reads and writes, which take a token and an in-flight place each.
\*
\* What is left out, and why that is no loss:
\*   - time is made of events ("100 milliseconds pass"), each possible whenever the law lets that moment come; how
\*     long anything takes does not matter for the order of things, and the order is what is checked;
\*   - a chain of a few gates stands for the five or, with Tor, seven of the law: what the rules say about a gate
\*     speaks of those before it and of all of them, never of one by its name;
\*   - which connection a request came over, its bytes, and everything that is checked behind readiness;
\*   - what a write does to the store: that is Cas.tla, and ReadyWrites.tla puts the two together;
\*   - gates are not probed during the start (RDY-GAT-003), and neither they nor the load matter once the node drains.
\* The store and the memory are short, tight or have room; connections and in-flight places are counted, and at these
\* small numbers the step from "at most 75 %" to "above 90 %" is the step to the cap itself.
EXTENDS Naturals, Sequences, FiniteSets

CONSTANTS
  Gates,        \* how many gates the chain has
  MaxConns,     \* connections at once (ADM-CAP-001)
  MaxInflight,  \* requests in flight (ADM-CAP-002)
  Tokens,       \* what the token bucket holds (ADM-CAP-003)
  Causes        \* TRUE: load degrades the node (RDY-DEG-004 to 006). FALSE: only a lost gate does

VARIABLES
  up,        \* for each gate of the chain: it counts as up
  unknown,   \* the configuration also asks for a gate that the node does not know
  state,     \* starting, ready, degraded, draining, stopped (RDY-STA-001)
  readyz,    \* the status that /readyz answers
  admits,    \* what readiness lets in: a subset of Kinds
  store,     \* what is left of the capacity of the store
  memory,    \* what is left of the memory
  conns,     \* connections held
  reading,   \* reads in flight
  writing,   \* writes in flight
  places,    \* in-flight places taken
  tokens,    \* tokens in the bucket
  noticed,   \* 100 milliseconds have passed since draining began
  listening, \* the listeners accept connections
  exit       \* "" while the process runs, then clean or failed

chain == <<up, unknown>>
face  == <<state, readyz, admits>>
load  == <<store, memory>>
work  == <<reading, writing, places>>
rest  == <<noticed, listening, exit>>
vars  == <<chain, face, load, conns, work, tokens, rest>>

Kinds  == {"read", "write"} \* a write can add to what the node holds; anything else is a read, a delete as well
Levels == {"room", "tight", "short"}

Init ==
  /\ up = [g \in 1..Gates |-> FALSE] /\ unknown = FALSE
  /\ state = "starting" /\ readyz = 503 /\ admits = {}
  /\ store = "room" /\ memory = "room"
  /\ conns = 0 /\ reading = 0 /\ writing = 0 /\ places = 0 /\ tokens = Tokens
  /\ noticed = FALSE /\ listening = TRUE /\ exit = ""

Alive == state # "stopped"
Whole == ~unknown /\ \A g \in 1..Gates : up[g]

\* What keeps the node from being ready, besides gates. A cause comes with a shortage and goes with room to spare;
\* in between it stays what it was, so a degraded node counts more as a cause than another (RDY-DEG-008).
Low(left)     == left = "short" \/ (left = "tight" /\ state = "degraded")
Full(n, most) == 10 * n > 9 * most \/ (4 * n > 3 * most /\ state = "degraded")
CausesAt(sto, con, pla, mem) ==
  IF ~Causes \/ state = "draining" THEN {} ELSE
    {c \in {"store_capacity", "connections", "inflight", "memory"} :
       \/ c = "store_capacity" /\ Low(sto)
       \/ c = "connections" /\ Full(con, MaxConns)
       \/ c = "inflight" /\ Full(pla, MaxInflight)
       \/ c = "memory" /\ Low(mem)}
Pressing == CausesAt(store, conns, places, memory)
Calm == state = "degraded" /\ Whole /\ Pressing = {}

\* Entering a state: from the same moment on /readyz and admission follow it.
Become(s) ==
  /\ state' = s
  /\ readyz' = IF s = "ready" THEN 200 ELSE 503
  /\ admits' = CASE s = "ready" -> Kinds [] s = "degraded" -> {"read"} [] OTHER -> {}

\* A starting node becomes ready, and a ready one degraded, as soon as it has to. Stands behind all that an action
\* says about gates and load.
Settle ==
  LET fine == ~unknown' /\ (\A g \in 1..Gates : up'[g]) /\ CausesAt(store', conns', places', memory') = {} IN
  Become(IF state = "starting" /\ fine THEN "ready"
         ELSE IF state = "ready" /\ ~fine THEN "degraded" ELSE state)

-----------------------------------------------------------------------------
\* Gates

\* RDY-GAT-001, RDY-GAT-002, RDY-GAT-006, RDY-GAT-007, RDY-DRN-007: one after the other. A start that a signal overtook
\* may still bring gates up, and that leads nowhere.
Up(g) ==
  /\ Alive /\ ~up[g] /\ \A h \in 1..(g - 1) : up[h]
  /\ up' = [up EXCEPT ![g] = TRUE]
  /\ UNCHANGED <<unknown, load, conns, work, tokens, rest>> /\ Settle

\* RDY-GAT-004, RDY-STA-002: the node is not ready any more, in the same moment. Degraded is the only state to go to.
Lose(g) ==
  /\ state \in {"ready", "degraded"} /\ up[g]
  /\ up' = [up EXCEPT ![g] = FALSE]
  /\ UNCHANGED <<unknown, load, conns, work, tokens, rest>> /\ Settle

\* RDY-GAT-005, RDY-STA-002: a probe that does not come back is as good as a bad one.
Stale(g) ==
  /\ state \in {"ready", "degraded"} /\ up[g]
  /\ up' = [up EXCEPT ![g] = FALSE]
  /\ UNCHANGED <<unknown, load, conns, work, tokens, rest>> /\ Settle

\* RDY-GAT-006: the configuration is read before the first gate is up.
Unknown ==
  /\ state = "starting" /\ ~unknown /\ \A g \in 1..Gates : ~up[g]
  /\ unknown' = TRUE
  /\ UNCHANGED <<up, face, load, conns, work, tokens, rest>>

\* RDY-GAT-008, RDY-STA-002: a gate can not be brought up, and the process ends.
Fail ==
  /\ state = "starting" /\ \E g \in 1..Gates : ~up[g]
  /\ Become("stopped") /\ listening' = FALSE /\ conns' = 0 /\ exit' = "failed"
  /\ UNCHANGED <<chain, load, work, tokens, noticed>>

-----------------------------------------------------------------------------
\* Load

\* RDY-DEG-004, RDY-DEG-006, RDY-DEG-008: others use up the store or the memory, or give some back.
Level(c, l) ==
  /\ Causes /\ Alive /\ state # "draining"
  /\ \/ c = "store_capacity" /\ store # l /\ store' = l /\ UNCHANGED memory
     \/ c = "memory" /\ memory # l /\ memory' = l /\ UNCHANGED store
  /\ UNCHANGED <<chain, conns, work, tokens, rest>> /\ Settle

\* RDY-DEG-008: nothing is missing, and was not for one second.
Recover ==
  /\ Calm
  /\ Become("ready")
  /\ UNCHANGED <<chain, load, conns, work, tokens, rest>>

-----------------------------------------------------------------------------
\* Admission

\* ADM-CAP-001, RDY-DRN-002, RDY-DEG-005: in every state in which the listeners are open.
Connect ==
  /\ Alive /\ listening /\ conns < MaxConns
  /\ conns' = conns + 1
  /\ UNCHANGED <<chain, load, work, tokens, rest>> /\ Settle

\* ADM-CAP-001, ADM-ORD-001: one more is closed unread.
Connect_quota ==
  /\ Alive /\ listening /\ conns = MaxConns
  /\ UNCHANGED vars

\* ADM-CAP-001: requests come over connections, so the last one stays while there is work in flight.
Disconnect ==
  /\ Alive /\ conns > 0 /\ (conns = 1 => places = 0)
  /\ conns' = conns - 1
  /\ UNCHANGED <<chain, load, work, tokens, rest>> /\ Settle

\* ADM-CAP-004, RDY-DEG-001, RDY-DEG-005, RDY-DEG-007: one token and one place. Taking the last place degrades the node
\* before anyone is refused for want of one.
Request(k) ==
  /\ Alive /\ conns > 0 /\ places < MaxInflight /\ tokens > 0 /\ k \in admits
  /\ tokens' = tokens - 1 /\ places' = places + 1
  /\ reading' = IF k = "read" THEN reading + 1 ELSE reading
  /\ writing' = IF k = "write" THEN writing + 1 ELSE writing
  /\ UNCHANGED <<chain, load, conns, rest>> /\ Settle

\* ADM-ORD-001, ADM-CAP-002, ADM-CAP-005, OAP-SES-009: the in-flight cap comes first. Over HTTP the reason is quota.
Request_too_many_streams(k) ==
  /\ Alive /\ conns > 0 /\ places = MaxInflight
  /\ UNCHANGED vars

\* ADM-ORD-001, ADM-CAP-003, ADM-CAP-005: the rate cap comes second.
Request_quota(k) ==
  /\ Alive /\ conns > 0 /\ places < MaxInflight /\ tokens = 0
  /\ UNCHANGED vars

Unready(k) == Alive /\ conns > 0 /\ places < MaxInflight /\ tokens > 0 /\ k \notin admits
StoreIsFull == state = "degraded" /\ Whole /\ Pressing = {"store_capacity"}

\* RDY-STA-004, ADM-CAP-005
Request_draining(k) ==
  /\ Unready(k) /\ state = "draining"
  /\ UNCHANGED vars

\* RDY-DEG-003, ADM-CAP-005: the one cause that a client can do something about.
Request_store_full(k) ==
  /\ Unready(k) /\ StoreIsFull
  /\ UNCHANGED vars

\* RDY-STA-003, RDY-GAT-001, RDY-GAT-004, RDY-DEG-002, ADM-CAP-005
Request_not_ready(k) ==
  /\ Unready(k) /\ state # "draining" /\ ~StoreIsFull
  /\ UNCHANGED vars

InFlight(k) == IF k = "read" THEN reading > 0 ELSE writing > 0
GiveBack(k) ==
  /\ places' = places - 1
  /\ reading' = IF k = "read" THEN reading - 1 ELSE reading
  /\ writing' = IF k = "write" THEN writing - 1 ELSE writing
  /\ UNCHANGED <<chain, face, load, conns, tokens, rest>>

\* ADM-CAP-006, RDY-DEG-009, RDY-DRN-003: answered completely, whatever has become of the node in the meantime.
Finish(k) == Alive /\ InFlight(k) /\ GiveBack(k)

\* ADM-CAP-006, ADM-TIM-006: cancelled, timed out or crashed.
Cancel(k) == Alive /\ InFlight(k) /\ GiveBack(k)

\* ADM-CAP-003: the time of one token passes. A full bucket stays as it is.
Refill ==
  /\ Alive
  /\ tokens' = IF tokens < Tokens THEN tokens + 1 ELSE tokens
  /\ UNCHANGED <<chain, face, load, conns, work, rest>>

\* RDY-HLT-001, RDY-HLT-002, RDY-HLT-003, HTTP-HLT-007: whoever has a connection may ask, in any state.
Readyz ==
  /\ Alive /\ conns > 0
  /\ UNCHANGED vars

-----------------------------------------------------------------------------
\* Drain

\* RDY-DRN-001, RDY-STA-002: the first SIGTERM. RDY-DRN-006, ADM-CAP-006: a second one cuts the work in flight.
Signal ==
  /\ Alive
  /\ IF state = "draining"
     THEN reading' = 0 /\ writing' = 0 /\ places' = 0 /\ UNCHANGED <<face, load>>
     ELSE Become("draining") /\ store' = "room" /\ memory' = "room" /\ UNCHANGED work
  /\ UNCHANGED <<chain, conns, tokens, rest>>

\* RDY-DRN-002: 100 milliseconds have passed, and from now on the listeners may close.
Notice ==
  /\ state = "draining" /\ ~noticed
  /\ noticed' = TRUE
  /\ UNCHANGED <<chain, face, load, conns, work, tokens, listening, exit>>

\* RDY-DRN-003, ADM-CAP-006: five seconds have passed, and what is still in flight is cut.
Deadline ==
  /\ state = "draining" /\ places > 0
  /\ reading' = 0 /\ writing' = 0 /\ places' = 0 /\ noticed' = TRUE
  /\ UNCHANGED <<chain, face, load, conns, tokens, listening, exit>>

\* RDY-DRN-001, RDY-DRN-002, RDY-DRN-004
Close ==
  /\ state = "draining" /\ listening /\ noticed /\ places = 0
  /\ listening' = FALSE
  /\ UNCHANGED <<chain, face, load, conns, work, tokens, noticed, exit>>

\* RDY-DRN-004, RDY-DRN-005, RDY-STA-002: the connections that are left go with the process.
Stop ==
  /\ state = "draining" /\ ~listening
  /\ Become("stopped") /\ conns' = 0 /\ exit' = "clean"
  /\ UNCHANGED <<chain, load, work, tokens, noticed, listening>>

Next ==
  \/ \E g \in 1..Gates : Up(g)
  \/ \E g \in 1..Gates : Lose(g)
  \/ \E g \in 1..Gates : Stale(g)
  \/ Unknown
  \/ Fail
  \/ \E c \in {"store_capacity", "memory"}, l \in Levels : Level(c, l)
  \/ Recover
  \/ Connect
  \/ Connect_quota
  \/ Disconnect
  \/ \E k \in Kinds : Request(k)
  \/ \E k \in Kinds : Request_too_many_streams(k)
  \/ \E k \in Kinds : Request_quota(k)
  \/ \E k \in Kinds : Request_draining(k)
  \/ \E k \in Kinds : Request_store_full(k)
  \/ \E k \in Kinds : Request_not_ready(k)
  \/ \E k \in Kinds : Finish(k)
  \/ \E k \in Kinds : Cancel(k)
  \/ Refill
  \/ Readyz
  \/ Signal
  \/ Notice
  \/ Deadline
  \/ Close
  \/ Stop

\* It is fair to assume that a node that can bring a gate up goes on to do so (one that can not has to fail), that
\* time passes (Recover, Notice, Deadline), and that a node does what it has decided to do (Close, Stop). Nothing is
\* assumed about clients, about operators, about what is left of store and memory, or about gates that are lost.
Fairness ==
  /\ WF_vars(\E g \in 1..Gates : Up(g))
  /\ WF_vars(Recover) /\ WF_vars(Notice) /\ WF_vars(Deadline) /\ WF_vars(Close) /\ WF_vars(Stop)

Spec == Init /\ [][Next]_vars /\ Fairness

-----------------------------------------------------------------------------
\* What must hold in every state

\* RDY-GAT-001, RDY-GAT-004, RDY-GAT-005, RDY-GAT-006, RDY-GAT-007
ReadyNeedsEveryGate == state = "ready" => Whole
\* RDY-DEG-004, RDY-DEG-005, RDY-DEG-006 (where load degrades)
ReadyHasRoom ==
  state = "ready" =>
    store # "short" /\ memory # "short" /\ 10 * conns <= 9 * MaxConns /\ 10 * places <= 9 * MaxInflight
\* RDY-DEG-005, RDY-DEG-007 (where load degrades)
DegradesBeforeFull == conns = MaxConns \/ places = MaxInflight => readyz = 503
\* RDY-HLT-001, RDY-STA-001, RDY-DEG-007
ReadyzTellsTheState == readyz = 200 <=> state = "ready"
\* RDY-DEG-001
DegradedServesReads == state = "degraded" => "read" \in admits
\* RDY-DEG-002
DegradedShedsWrites == state = "degraded" => "write" \notin admits
\* RDY-STA-003, RDY-STA-004
NothingBeforeOrAfter == state \notin {"ready", "degraded"} => admits = {}
\* ADM-CAP-001, ADM-CAP-002, ADM-CAP-003
WithinCaps == conns <= MaxConns /\ reading + writing <= MaxInflight /\ tokens \in 0..Tokens
\* ADM-CAP-006
PlacesAreExact == places = reading + writing
\* RDY-DRN-003, RDY-DRN-004, RDY-DRN-005
StoppedIsQuiet == state = "stopped" => conns = 0 /\ reading + writing = 0 /\ ~listening /\ exit # ""

\* What must hold on every step

\* RDY-GAT-002
GatesInOrder == [][\A g \in 1..Gates : ~up[g] /\ up'[g] => \A h \in 1..(g - 1) : up[h]]_vars
\* RDY-GAT-003
StartOnlyGrows == [][state = "starting" => \A g \in 1..Gates : up[g] => up'[g]]_vars
\* RDY-STA-002
StateOrder ==
  [][state' # state => <<state, state'>> \in {
       <<"starting", "ready">>, <<"ready", "degraded">>, <<"degraded", "ready">>, <<"starting", "draining">>,
       <<"ready", "draining">>, <<"degraded", "draining">>, <<"starting", "stopped">>, <<"draining", "stopped">>}]_vars
\* RDY-DRN-007
DrainingNeverReturns ==
  [][(state \in {"draining", "stopped"}) => state' \in {"draining", "stopped"} /\ readyz' = 503]_vars
\* RDY-STA-003, RDY-STA-004, RDY-DEG-002, RDY-GAT-004
AdmitsWhatItSays ==
  [][(reading' > reading => "read" \in admits) /\ (writing' > writing => "write" \in admits)]_vars
\* ADM-CAP-004, ADM-CAP-005
OneTokenForOnePlace ==
  [][tokens' < tokens \/ places' > places => tokens' = tokens - 1 /\ places' = places + 1]_vars
\* RDY-DEG-009, RDY-DRN-003
FlipsFailNoWork == [][state' # state => writing' >= writing /\ reading' >= reading]_vars
\* RDY-DEG-008
RecoversFromCalmOnly == [][state = "degraded" /\ state' = "ready" => Calm]_vars
\* RDY-DRN-001, RDY-HLT-001
FlipBeforeClose == [][listening /\ ~listening' => readyz = 503]_vars
\* RDY-DRN-001, RDY-DRN-002 (a start that fails gives no notice)
NoticeBeforeClose ==
  [][state # "starting" /\ listening /\ ~listening' => state = "draining" /\ noticed]_vars
\* RDY-DRN-002, RDY-DRN-004, RDY-DRN-005
DrainEndsInOrder ==
  [][state = "draining" /\ state' = "stopped" => noticed /\ places = 0 /\ exit' = "clean"]_vars

\* What must come about

\* RDY-GAT-001, RDY-GAT-008: or a signal, a gate that nobody knows or a lasting shortage comes in between.
StartLeadsToReady ==
  (state = "starting" /\ ~unknown) ~> (state # "starting" \/ unknown \/ (Whole /\ Pressing # {}))
\* RDY-DEG-008: or the calm is broken.
CalmLeadsToReady == Calm ~> ~Calm
\* RDY-DRN-003, RDY-DRN-004
DrainEnds == (state = "draining") ~> (state = "stopped")
=============================================================================
