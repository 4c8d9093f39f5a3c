------------------------------- MODULE Session -------------------------------
\* One OAP/1 connection as both of its ends could describe it: spec/oap.md (HEL, SES, STR, CRD, ERR), with the kinds of
\* request of OBJ. The same machine in Go, with more kinds of mistakes, is model/session.
\*
\* A connection is new until its HELLO, then up, then closed. A stream is one corr_id:
\*
\*   none --START--> open --final answer--> answered
\*    |               |  \--CANCEL, or ERROR when the client has ended its side--> over
\*    |               \--ERROR before that--> half --END, CANCEL or 5 seconds--> over
\*    \--START that is refused--> half, and over where it had END
\*
\* What is left out, and why that is no loss:
\*   - bytes. A frame is well formed, or has one mistake; for each way in which a mistake can change the state there is
\*     one mistake here. What the codec rejects is Garbage;
\*   - frames on their way. A step is what the node makes of a frame, or the moment at which a frame of its own goes to
\*     the transport. Credit counts from there (OAP-CRD-001);
\*   - clocks. A limit of time is a step that is possible as long as the clock runs for it. What the order of two clocks
\*     would forbid is possible here;
\*   - the gate and the store. Admission may refuse any START for the rate (quota stands for what it may say), and the
\*     store may fail a request as the law permits;
\*   - how a stream came to be over, and everything about a connection that is closed.
\* The node sends an ACK when it owes one. It might do so sooner (OAP-CRD-002 says "at most").
EXTENDS Integers, FiniteSets

CONSTANTS
  MaxStreams,  \* open and half-closed streams of the connection (OAP-SES-008)
  MaxCorr,     \* corr_ids are 1..MaxCorr, and 0 is the connection
  Window,      \* DATA frames in flight without an ACK (OAP-CRD-001)
  AckEvery,    \* DATA frames after which an ACK is owed (OAP-CRD-002)
  PutFrames,   \* DATA frames of a put
  GetFrames,   \* DATA frames of the answer to a get
  Kinds        \* of requests: "put", "get", "has"; has stands for all without a body. Puts and gets have ACK_REQ

VARIABLES
  phase,     \* new, up, closed
  eof,       \* the client will send nothing more
  draining,  \* the node is going away
  last,      \* corr_id of the latest START
  streams    \* corr_id -> what is known of the stream

vars == <<phase, eof, draining, last, streams>>

Ids  == 1..MaxCorr
Corr == 0..MaxCorr

\* moved counts the DATA frames of the body that were taken or sent, acked is up_to of the latest ACK for them.
Blank(m) == [mode |-> m, req |-> "", acks |-> FALSE, ended |-> FALSE, total |-> 0, moved |-> 0, acked |-> 0]

Total(k) == CASE k = "put" -> PutFrames [] k = "get" -> GetFrames [] k = "has" -> 0

Init ==
  /\ phase = "new" /\ eof = FALSE /\ draining = FALSE /\ last = 0
  /\ streams = [c \in Ids |-> Blank("none")]

------------------------------------------------------------------------------
\* What steps have in common.

Is(c, m)   == c \in Ids /\ streams[c].mode = m
IsOpen(c)  == Is(c, "open")
Held       == Cardinality({c \in Ids : Is(c, "open") \/ Is(c, "half")})
HasRoom(c) == streams[c].acks => streams[c].moved - streams[c].acked < Window

\* The client can send, and is expected to behave.
Talking == phase = "up" /\ ~eof

Closes ==
  /\ phase' = "closed" /\ eof' = FALSE /\ draining' = FALSE /\ last' = 0
  /\ streams' = [c \in Ids |-> Blank("none")]

\* The streams become s. A connection that is going away ends with its last open stream (OAP-SES-016).
Becomes(s) ==
  IF (eof \/ draining) /\ \A c \in Ids : s[c].mode # "open"
  THEN Closes
  ELSE streams' = s /\ UNCHANGED <<phase, eof, draining, last>>

Turns(c, m) == Becomes([streams EXCEPT ![c] = Blank(m)])

\* ERROR on an open stream (OAP-SES-007, OAP-SES-010).
Fails(c) == Turns(c, IF streams[c].ended THEN "over" ELSE "half")

\* A refused frame that opens nothing: on corr_id 0 it ends the connection (OAP-SES-014), on an open stream that stream
\* (OAP-SES-007), and elsewhere it changes nothing (OAP-SES-015).
Refused(c) ==
  /\ ~Is(c, "half")
  /\ IF c = 0 THEN Closes ELSE IF IsOpen(c) THEN Fails(c) ELSE UNCHANGED vars

------------------------------------------------------------------------------
\* HELLO.

\* OAP-HEL-001, OAP-HEL-007
Hello ==
  /\ phase = "new" /\ phase' = "up"
  /\ UNCHANGED <<eof, draining, last, streams>>

\* OAP-HEL-002, OAP-HEL-003: the second one, or one that is no good
Hello_bad_hello == (phase = "new" \/ Talking) /\ Closes

\* OAP-HEL-001: anything else first
Start_bad_hello  == phase = "new" /\ Closes
Data_bad_hello   == phase = "new" /\ Closes
End_bad_hello    == phase = "new" /\ Closes
Cancel_bad_hello == phase = "new" /\ Closes
Ack_bad_hello    == phase = "new" /\ Closes
Resp_bad_hello   == phase = "new" /\ Closes

------------------------------------------------------------------------------
\* START. Its corr_id is used up whatever comes of it (OAP-SES-001).

Fresh(c)  == Talking /\ c > last
Room(c)   == Fresh(c) /\ Held < MaxStreams

Uses(c, stream) ==
  /\ last' = c /\ streams' = [streams EXCEPT ![c] = stream]
  /\ UNCHANGED <<phase, eof, draining>>

\* OAP-SES-017: the rest of the request may be on its way
TurnedAway(c, end) == Uses(c, Blank(IF end THEN "over" ELSE "half"))

NeedsBody(k, end) == k = "put" /\ end /\ PutFrames > 0

\* OAP-SES-001, OAP-SES-008, ADM-ORD-001
Start(c, k, end) ==
  /\ Room(c) /\ ~draining /\ ~NeedsBody(k, end)
  /\ Uses(c, [Blank("open") EXCEPT !.req = k, !.acks = (k # "has"), !.ended = end, !.total = Total(k)])

\* OAP-SES-001
Start_stream_reused(c) == Talking /\ c <= last /\ Refused(c)

\* OAP-SES-006: a code other than 0 is found before everything else
Start_malformed(c) ==
  \/ Talking /\ c <= last /\ Refused(c)
  \/ Fresh(c) /\ Held >= MaxStreams /\ Uses(c, Blank("none"))
  \/ Room(c) /\ TurnedAway(c, FALSE)

\* OAP-SES-008: it opens nothing
Start_too_many_streams(c) == Fresh(c) /\ Held >= MaxStreams /\ Uses(c, Blank("none"))

\* ADM-ORD-001, OAP-SES-017: the rate comes before readiness
Start_quota(c, end) == Room(c) /\ TurnedAway(c, end)

\* OAP-SES-016, OAP-SES-017
Start_draining(c, end) == Room(c) /\ draining /\ TurnedAway(c, end)

\* OAP-STR-008
Start_truncated(c) == Room(c) /\ ~draining /\ "put" \in Kinds /\ NeedsBody("put", TRUE) /\ TurnedAway(c, TRUE)

------------------------------------------------------------------------------
\* Frames behind a START.

\* OAP-SES-010: on a half-closed stream nothing is looked at. OAP-CRD-007: nor is an ACK that comes too late
Discard(c) == Talking /\ c \in 1..last /\ ~IsOpen(c) /\ UNCHANGED vars

\* OAP-SES-010: but for the client's END or CANCEL, refused or not
Release(c) == Talking /\ Is(c, "half") /\ Turns(c, "over")

Body(c)   == Talking /\ IsOpen(c) /\ streams[c].req = "put" /\ ~streams[c].ended
Closing(c) == Talking /\ IsOpen(c) /\ ~streams[c].ended

\* OAP-STR-003, OAP-CRD-001
Data(c) ==
  /\ Body(c) /\ HasRoom(c) /\ streams[c].moved < streams[c].total
  /\ Becomes([streams EXCEPT ![c].moved = @ + 1])

\* OAP-SES-002
Data_no_such_stream(c) == Talking /\ ~IsOpen(c) /\ Refused(c)

\* OAP-SES-004: of another protocol. OAP-SES-005: behind END, or on a request without body
Data_bad_sequence(c) == Talking /\ IsOpen(c) /\ Fails(c)

\* OAP-CRD-001
Data_credit_violation(c) == Body(c) /\ ~HasRoom(c) /\ Fails(c)

\* OAP-STR-003
Data_bad_offset(c) == Body(c) /\ HasRoom(c) /\ Fails(c)

\* OAP-STR-007
Data_oversize(c) == Body(c) /\ HasRoom(c) /\ streams[c].moved = streams[c].total /\ Fails(c)

\* OAP-OBJ-004
End(c) ==
  /\ Closing(c) /\ (streams[c].req = "put" => streams[c].moved = streams[c].total)
  /\ Becomes([streams EXCEPT ![c].ended = TRUE])

\* OAP-SES-002
End_no_such_stream(c) == Talking /\ ~IsOpen(c) /\ Refused(c)

\* OAP-SES-005
End_bad_sequence(c) == Talking /\ IsOpen(c) /\ streams[c].ended /\ Turns(c, "over")

\* OAP-STR-011: with a payload. It ends the client's side all the same, as the next one does
End_malformed(c) == Closing(c) /\ Turns(c, "over")

\* OAP-STR-008
End_truncated(c) == Body(c) /\ streams[c].moved < streams[c].total /\ Turns(c, "over")

\* OAP-STR-009
Cancel(c) == Talking /\ IsOpen(c) /\ Turns(c, "over")

\* OAP-SES-002
Cancel_no_such_stream(c) == Talking /\ ~IsOpen(c) /\ Refused(c)

\* OAP-CRD-003, OAP-CRD-006
Ack(c, n) ==
  /\ Talking /\ IsOpen(c) /\ streams[c].acks /\ streams[c].req = "get"
  /\ streams[c].acked < n /\ n <= streams[c].moved
  /\ Becomes([streams EXCEPT ![c].acked = n])

\* OAP-CRD-003, OAP-CRD-004: back, again, ahead, or not asked for
Ack_credit_violation(c) == Talking /\ IsOpen(c) /\ Fails(c)

\* OAP-SES-002: on what no START has reached yet
Ack_no_such_stream(c) == Talking /\ (c = 0 \/ c > last) /\ Refused(c)

\* OAP-SES-003
Resp_bad_sequence(c) == Talking /\ Refused(c)

------------------------------------------------------------------------------
\* What the node does.

\* OAP-OBJ-008, OAP-CRD-006
CanSend(c) ==
  /\ IsOpen(c) /\ streams[c].req = "get" /\ streams[c].ended
  /\ streams[c].moved < streams[c].total /\ HasRoom(c)

SendData(c) == CanSend(c) /\ Becomes([streams EXCEPT ![c].moved = @ + 1])

\* OAP-CRD-002: all full portions, and everything once the put has ended
Due(c) ==
  IF ~streams[c].acks \/ streams[c].req # "put" THEN 0
  ELSE IF streams[c].ended THEN streams[c].moved
  ELSE streams[c].moved - (streams[c].moved % AckEvery)

Owes(c) == Due(c) > streams[c].acked

SendAck(c) == Owes(c) /\ Becomes([streams EXCEPT ![c].acked = Due(c)])

\* The answer is due: the request is complete, the body of a get has gone out, a put is acknowledged to its end.
Ready(c) == IsOpen(c) /\ streams[c].ended /\ streams[c].moved = streams[c].total /\ ~Owes(c)

\* OAP-OBJ-004, OAP-CRD-002
Answer(c) == Ready(c) /\ Turns(c, "answered")

\* OAP-OBJ-007
Fail_bad_digest(c) == Ready(c) /\ streams[c].req = "put" /\ Fails(c)

\* OAP-OBJ-010
Fail_not_found(c) == IsOpen(c) /\ streams[c].req = "get" /\ streams[c].ended /\ streams[c].moved = 0 /\ Fails(c)

\* CAS-INT-003: found while reading, at any point
Fail_integrity(c) == IsOpen(c) /\ GetFrames > 0 /\ streams[c].req # "put" /\ streams[c].ended /\ Fails(c)

\* OAP-SES-016. Where nobody waits for an answer the connection closes at once
Drain ==
  /\ phase # "closed" /\ ~draining
  /\ IF \E c \in Ids : IsOpen(c)
     THEN draining' = TRUE /\ UNCHANGED <<phase, eof, last, streams>>
     ELSE Closes

------------------------------------------------------------------------------
\* What the transport and the clock do.

\* OAP-FRM-012
Garbage_malformed == phase # "closed" /\ ~eof /\ Closes

\* OAP-OBJ-004: complete requests are still answered. CAS-PUT-005: the others leave nothing
Eof ==
  /\ phase # "closed" /\ ~eof
  /\ IF \E c \in Ids : IsOpen(c) /\ streams[c].ended
     THEN /\ eof' = TRUE
          /\ streams' = [c \in Ids |-> IF Is(c, "half") \/ (IsOpen(c) /\ ~streams[c].ended)
                                       THEN Blank("over") ELSE streams[c]]
          /\ UNCHANGED <<phase, draining, last>>
     ELSE Closes

\* CAS-PUT-005, ADM-CAP-006
Lost == phase # "closed" /\ Closes

\* OAP-HEL-001
HelloTimeout_bad_hello == phase = "new" /\ Closes

\* OAP-SES-011
StreamTimeout_timeout(c) == IsOpen(c) /\ Fails(c)

\* OAP-SES-010
HalfClosedTimeout(c) == Is(c, "half") /\ Turns(c, "over")

\* OAP-SES-013: also behind EOF, where it came in the middle of a frame
FrameTimeout_timeout == phase = "up" /\ Closes

\* OAP-SES-012
IdleTimeout_timeout == phase = "up" /\ Held = 0 /\ Closes

\* OAP-SES-016, RDY-DRN-003
DrainTimeout_draining == draining /\ Closes

\* OAP-SES-018
Stall_timeout == (\E c \in Ids : CanSend(c)) /\ Closes

------------------------------------------------------------------------------
Next ==
  \/ Hello \/ Hello_bad_hello
  \/ Start_bad_hello \/ Data_bad_hello \/ End_bad_hello \/ Cancel_bad_hello \/ Ack_bad_hello \/ Resp_bad_hello
  \/ \E c \in Corr, k \in Kinds, end \in BOOLEAN : Start(c, k, end)
  \/ \E c \in Corr : Start_stream_reused(c)
  \/ \E c \in Corr : Start_malformed(c)
  \/ \E c \in Corr : Start_too_many_streams(c)
  \/ \E c \in Corr, end \in BOOLEAN : Start_quota(c, end)
  \/ \E c \in Corr, end \in BOOLEAN : Start_draining(c, end)
  \/ \E c \in Corr : Start_truncated(c)
  \/ \E c \in Corr : Discard(c)
  \/ \E c \in Corr : Release(c)
  \/ \E c \in Corr : Data(c)
  \/ \E c \in Corr : Data_no_such_stream(c)
  \/ \E c \in Corr : Data_bad_sequence(c)
  \/ \E c \in Corr : Data_credit_violation(c)
  \/ \E c \in Corr : Data_bad_offset(c)
  \/ \E c \in Corr : Data_oversize(c)
  \/ \E c \in Corr : End(c)
  \/ \E c \in Corr : End_no_such_stream(c)
  \/ \E c \in Corr : End_bad_sequence(c)
  \/ \E c \in Corr : End_malformed(c)
  \/ \E c \in Corr : End_truncated(c)
  \/ \E c \in Corr : Cancel(c)
  \/ \E c \in Corr : Cancel_no_such_stream(c)
  \/ \E c \in Corr, n \in 1..GetFrames : Ack(c, n)
  \/ \E c \in Corr : Ack_credit_violation(c)
  \/ \E c \in Corr : Ack_no_such_stream(c)
  \/ \E c \in Corr : Resp_bad_sequence(c)
  \/ \E c \in Ids : SendData(c)
  \/ \E c \in Ids : SendAck(c)
  \/ \E c \in Ids : Answer(c)
  \/ \E c \in Ids : Fail_bad_digest(c)
  \/ \E c \in Ids : Fail_not_found(c)
  \/ \E c \in Ids : Fail_integrity(c)
  \/ \E c \in Ids : StreamTimeout_timeout(c)
  \/ \E c \in Ids : HalfClosedTimeout(c)
  \/ Drain \/ Garbage_malformed \/ Eof \/ Lost
  \/ HelloTimeout_bad_hello \/ FrameTimeout_timeout \/ IdleTimeout_timeout \/ DrainTimeout_draining \/ Stall_timeout

\* A limit of time comes if nothing ends what it runs for. What puts one off does so finitely often: progress is made by
\* whole frames, and a body has an end; the limits for HELLO, for a half-closed stream and for draining can not be put off
\* at all. Only refused and discarded frames could keep a connection from being idle for ever; they are no steps here, and
\* a node need not bear with them. The node goes on by itself with the ACK that it owes. Nothing else is assumed: no
\* answer ever needs to come.
FairHello   == WF_vars(HelloTimeout_bad_hello)
FairStreams == WF_vars(\E c \in Ids : StreamTimeout_timeout(c))
FairHalf    == WF_vars(\E c \in Ids : HalfClosedTimeout(c))
FairIdle    == WF_vars(IdleTimeout_timeout)
FairDrain   == WF_vars(DrainTimeout_draining)
FairAcks    == WF_vars(\E c \in Ids : SendAck(c))

Fairness == FairHello /\ FairStreams /\ FairHalf /\ FairIdle /\ FairDrain /\ FairAcks

Spec == Init /\ [][Next]_vars /\ Fairness

------------------------------------------------------------------------------
\* In every state.

HelloFirst    == phase = "new" => Init                                                      \* OAP-HEL-001
StreamLimit   == Held <= MaxStreams                                                         \* OAP-SES-008, OAP-SES-010
NothingAhead  == \A c \in Ids : c > last => Is(c, "none")                                   \* OAP-SES-001
WithinWindow  == \A c \in Ids : streams[c].acks => streams[c].moved - streams[c].acked <= Window \* OAP-CRD-001, OAP-CRD-006
HonestCounts  == \A c \in Ids : 0 <= streams[c].acked /\ streams[c].acked <= streams[c].moved
                                /\ streams[c].moved <= streams[c].total                     \* OAP-CRD-003, OAP-STR-007
WholeRequests == \A c \in Ids :                                                             \* OAP-STR-008, OAP-OBJ-004
  IF streams[c].req = "put" THEN streams[c].ended => streams[c].moved = streams[c].total
  ELSE streams[c].ended \/ streams[c].moved = 0
NoRequestAfterEOF == eof => \A c \in Ids :                                                  \* OAP-OBJ-004, OAP-SES-010
  ~Is(c, "half") /\ (IsOpen(c) => streams[c].ended)
StaysForAnswersOnly == eof \/ draining => \E c \in Ids : IsOpen(c)                          \* OAP-SES-016, OAP-SES-010

\* On every step that leaves the connection open. When it closes, its streams are forgotten.

CorrIdsGrow == [][phase' = "closed" \/ last' >= last]_vars                                  \* OAP-SES-001
OpenedByItsStart == [][phase' = "closed" \/ \A c \in Ids :                                  \* OAP-SES-001, OAP-SES-002
  Is(c, "none") /\ streams'[c].mode # "none" => last' = c /\ last < c]_vars
OverIsOver == [][phase' = "closed" \/ \A c \in Ids :                       \* OAP-ERR-004, OAP-STR-009, OAP-SES-002
  Is(c, "answered") \/ Is(c, "over") => streams'[c] = streams[c]]_vars
OneLastWord == [][phase' = "closed" \/ \A c \in Ids :                                       \* OAP-ERR-004, OAP-SES-010
  Is(c, "half") => streams'[c] = streams[c] \/ streams'[c] = Blank("over")]_vars
AnswersAreWhole == [][phase' = "closed" \/ \A c \in Ids :                  \* OAP-OBJ-004, OAP-OBJ-008, OAP-CRD-002
  streams'[c].mode = "answered" /\ ~Is(c, "answered") =>
    /\ IsOpen(c) /\ streams[c].ended /\ streams[c].moved = streams[c].total
    /\ streams[c].req = "put" /\ streams[c].acks => streams[c].acked = streams[c].moved]_vars
NothingGoesBack == [][phase' = "closed" \/ \A c \in Ids :                                   \* OAP-CRD-003, OAP-SES-005
  IsOpen(c) /\ streams'[c].mode = "open" =>
    /\ streams'[c].req = streams[c].req /\ streams'[c].acks = streams[c].acks /\ streams'[c].total = streams[c].total
    /\ streams[c].ended => streams'[c].ended
    /\ streams'[c].moved >= streams[c].moved /\ streams'[c].acked >= streams[c].acked]_vars
OneAtATime == [][phase' = "closed" \/ (eof' /\ ~eof) \/                                     \* OAP-SES-007, OAP-SES-015
  Cardinality({c \in Ids : streams'[c] # streams[c]}) <= 1]_vars
NothingNewWhenDraining == [][phase' = "closed" \/ (draining =>                              \* OAP-SES-016
  draining' /\ \A c \in Ids : Is(c, "none") => streams'[c].mode # "open")]_vars
ClosedForGood == [][phase' = "closed" \/                                                    \* OAP-FRM-012, OAP-HEL-002
  (phase # "closed" /\ (phase = "up" => phase' = "up"))]_vars

\* In the end.

GreetedOrGone     == phase = "new" ~> phase # "new"                                         \* OAP-HEL-001
IdleEnds          == (phase = "up" /\ Held = 0) ~> ~(phase = "up" /\ Held = 0)              \* OAP-SES-012
DrainingEnds      == draining ~> ~draining                                                  \* OAP-SES-016, RDY-DRN-003
GoneWithItsClient == eof ~> ~eof                                                            \* OAP-SES-011
StreamsEnd        == \A c \in Ids : IsOpen(c) ~> ~IsOpen(c)                                 \* OAP-SES-011
HalfClosedGo      == \A c \in Ids : Is(c, "half") ~> ~Is(c, "half")                         \* OAP-SES-010
AcksComeInTime    == \A c \in Ids : Owes(c) ~> ~Owes(c)                                     \* OAP-CRD-002
==============================================================================
