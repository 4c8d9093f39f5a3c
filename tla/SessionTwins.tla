----------------------------- MODULE SessionTwins -----------------------------
\* Broken connections. Each must violate the property that it names, under the constants of Session.cfg: else that property
\* says nothing.
EXTENDS Session

------------------------------------------------------------------------------
\* Invariants.

\* twin: SpecStartBeforeHello violates HelloFirst
StartBeforeHello == phase = "new" /\ last' = 1 /\ UNCHANGED <<phase, eof, draining, streams>>
SpecStartBeforeHello == Init /\ [][Next \/ StartBeforeHello]_vars

\* twin: SpecOneTooMany violates StreamLimit
OneTooMany(c) == Fresh(c) /\ Held = MaxStreams /\ TurnedAway(c, FALSE)
SpecOneTooMany == Init /\ [][Next \/ \E c \in Corr : OneTooMany(c)]_vars

\* twin: SpecStartNotCounted violates NothingAhead
StartNotCounted(c) ==
  Room(c) /\ streams' = [streams EXCEPT ![c] = Blank("half")] /\ UNCHANGED <<phase, eof, draining, last>>
SpecStartNotCounted == Init /\ [][Next \/ \E c \in Corr : StartNotCounted(c)]_vars

\* twin: SpecSendsOn violates WithinWindow
SendsOn(c) ==
  /\ IsOpen(c) /\ streams[c].req = "get" /\ streams[c].moved <= Window
  /\ Becomes([streams EXCEPT ![c].moved = @ + 1])
SpecSendsOn == Init /\ [][Next \/ \E c \in Ids : SendsOn(c)]_vars

\* twin: SpecAckAhead violates HonestCounts
AckAhead(c) == Body(c) /\ streams[c].acked = 0 /\ Becomes([streams EXCEPT ![c].acked = streams[c].moved + 1])
SpecAckAhead == Init /\ [][Next \/ \E c \in Ids : AckAhead(c)]_vars

\* twin: SpecShortBody violates WholeRequests
ShortBody(c) == Body(c) /\ Becomes([streams EXCEPT ![c].ended = TRUE])
SpecShortBody == Init /\ [][Next \/ \E c \in Ids : ShortBody(c)]_vars

\* twin: SpecWaitsBehindEOF violates NoRequestAfterEOF
WaitsBehindEOF == Talking /\ (\E c \in Ids : IsOpen(c)) /\ eof' = TRUE /\ UNCHANGED <<phase, draining, last, streams>>
SpecWaitsBehindEOF == Init /\ [][Next \/ WaitsBehindEOF]_vars

\* twin: SpecDrainsForNobody violates StaysForAnswersOnly
DrainsForNobody == Talking /\ ~draining /\ draining' = TRUE /\ UNCHANGED <<phase, eof, last, streams>>
SpecDrainsForNobody == Init /\ [][Next \/ DrainsForNobody]_vars

------------------------------------------------------------------------------
\* Steps.

\* twin: SpecLatestNotHighest violates CorrIdsGrow
LatestNotHighest(c) == Talking /\ c < last /\ last' = c /\ UNCHANGED <<phase, eof, draining, streams>>
SpecLatestNotHighest == Init /\ [][Next \/ \E c \in Corr : LatestNotHighest(c)]_vars

\* twin: SpecDataOpens violates OpenedByItsStart
DataOpens(c) == Talking /\ Held < MaxStreams /\ Is(c, "none") /\ Becomes([streams EXCEPT ![c] = Blank("half")])
SpecDataOpens == Init /\ [][Next \/ \E c \in Ids : DataOpens(c)]_vars

\* twin: SpecAnswerAfterCancel violates OverIsOver
AnswerAfterCancel(c) == Is(c, "over") /\ Turns(c, "answered")
SpecAnswerAfterCancel == Init /\ [][Next \/ \E c \in Ids : AnswerAfterCancel(c)]_vars

\* twin: SpecAnswerAfterError violates OneLastWord
AnswerAfterError(c) == Is(c, "half") /\ Turns(c, "answered")
SpecAnswerAfterError == Init /\ [][Next \/ \E c \in Ids : AnswerAfterError(c)]_vars

\* twin: SpecAnswerBeforeEnd violates AnswersAreWhole
AnswerBeforeEnd(c) == IsOpen(c) /\ Turns(c, "answered")
SpecAnswerBeforeEnd == Init /\ [][Next \/ \E c \in Ids : AnswerBeforeEnd(c)]_vars

\* twin: SpecAnswerBeforeAck violates AnswersAreWhole
AnswerBeforeAck(c) == IsOpen(c) /\ streams[c].ended /\ Owes(c) /\ Turns(c, "answered")
SpecAnswerBeforeAck == Init /\ [][Next \/ \E c \in Ids : AnswerBeforeAck(c)]_vars

\* twin: SpecAckBack violates NothingGoesBack
AckBack(c) == IsOpen(c) /\ streams[c].acked > 0 /\ Becomes([streams EXCEPT ![c].acked = @ - 1])
SpecAckBack == Init /\ [][Next \/ \E c \in Ids : AckBack(c)]_vars

\* twin: SpecAllForOne violates OneAtATime
AllForOne(c) ==
  Talking /\ IsOpen(c) /\ Becomes([d \in Ids |-> IF IsOpen(d) THEN Blank("over") ELSE streams[d]])
SpecAllForOne == Init /\ [][Next \/ \E c \in Ids : AllForOne(c)]_vars

\* twin: SpecStartWhileDraining violates NothingNewWhenDraining
StartWhileDraining(c) == Room(c) /\ draining /\ Uses(c, [Blank("open") EXCEPT !.req = "get"])
SpecStartWhileDraining == Init /\ [][Next \/ \E c \in Corr : StartWhileDraining(c)]_vars

\* twin: SpecSecondHello violates ClosedForGood
SecondHello == phase = "closed" /\ phase' = "up" /\ UNCHANGED <<eof, draining, last, streams>>
SpecSecondHello == Init /\ [][Next \/ SecondHello]_vars

------------------------------------------------------------------------------
\* What never comes when one clock, or the node, stands still.

\* twin: SpecNoHelloTimeout violates GreetedOrGone
SpecNoHelloTimeout == Init /\ [][Next]_vars /\ FairStreams /\ FairHalf /\ FairIdle /\ FairDrain /\ FairAcks

\* twin: SpecNoIdleTimeout violates IdleEnds
SpecNoIdleTimeout == Init /\ [][Next]_vars /\ FairHello /\ FairStreams /\ FairHalf /\ FairDrain /\ FairAcks

\* twin: SpecNoDrainTimeout violates DrainingEnds
\* The limits of the streams would end it as well, so they stand still, too.
SpecNoDrainTimeout == Init /\ [][Next]_vars /\ FairHello /\ FairHalf /\ FairIdle /\ FairAcks

\* twin: SpecNoStreamTimeout violates StreamsEnd
\* twin: SpecNoStreamTimeout violates GoneWithItsClient
SpecNoStreamTimeout == Init /\ [][Next]_vars /\ FairHello /\ FairHalf /\ FairIdle /\ FairDrain /\ FairAcks

\* twin: SpecNoHalfClosedTimeout violates HalfClosedGo
SpecNoHalfClosedTimeout == Init /\ [][Next]_vars /\ FairHello /\ FairStreams /\ FairIdle /\ FairDrain /\ FairAcks

\* twin: SpecNoAcks violates AcksComeInTime
\* The limit of the stream would end the debt with the stream, so it stands still, too.
SpecNoAcks == Init /\ [][Next]_vars /\ FairHello /\ FairHalf /\ FairIdle /\ FairDrain
==============================================================================
