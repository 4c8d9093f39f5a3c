--------------------------- MODULE ReadyWritesTwins ---------------------------
\* Broken nodes. Each specification below must violate the property that its comment names; one that did not would show
\* that the property says nothing.
EXTENDS ReadyWrites

\* When the memory runs short, a degrading node throws an acknowledged object away.
\* twin: FlipEvicts violates AckedIsStored
FlipEvictsStep == \E w \in acked :
  /\ state = "ready" /\ Become("degraded") /\ short' = TRUE /\ stored' = stored \ {w} /\ used' = used - 1
  /\ UNCHANGED <<seen, whole, door, places, tokens, phase, acked>>
FlipEvicts == Init /\ [][Next \/ FlipEvictsStep]_vars /\ NodeIsFair /\ TimeIsFair

\* The acknowledgement goes out before the object is in the store, and the drain cuts what is not there yet.
\* twin: AckFirst violates AckedIsStored
AckFirstStep == \E w \in Writers :
  /\ state = "draining" /\ phase[w] = "arriving" /\ acked' = acked \cup {w} /\ CutAll
  /\ UNCHANGED <<Quiet, tokens, stored>>
AckFirst == Init /\ [][Next \/ AckFirstStep]_vars /\ NodeIsFair /\ TimeIsFair

\* A broken connection takes the object out again that was already there for everyone to see.
\* twin: LostAnswerUndoes violates UnseenIsThere
LostAnswerUndoesStep == \E w \in Writers :
  /\ phase[w] = "answering" /\ To(w, "unseen") /\ places' = places - 1 /\ stored' = stored \ {w} /\ used' = used - 1
  /\ UNCHANGED <<Quiet, tokens, acked>>
LostAnswerUndoes == Init /\ [][Next \/ LostAnswerUndoesStep]_vars /\ NodeIsFair /\ TimeIsFair

\* /readyz goes on with its old answer.
\* twin: ReadyzLags violates ReadyzTellsTheState
ReadyzLagsStep ==
  /\ state = "ready" /\ state' = "draining"
  /\ UNCHANGED <<readyz, seen, whole, short, door, places, tokens, phase, stored, used, acked>>
ReadyzLags == Init /\ [][Next \/ ReadyzLagsStep]_vars /\ NodeIsFair /\ TimeIsFair

\* The listeners close as soon as nothing is in flight.
NoNoticeStep ==
  /\ state = "draining" /\ listening /\ places = 0 /\ listening' = FALSE
  /\ UNCHANGED <<node, seen, whole, short, noticed, places, tokens, phase, stored, used, acked>>
\* twin: NoNotice violates BalancersLookAway
NoNotice == Init /\ [][Next \/ NoNoticeStep]_vars /\ NodeIsFair /\ TimeIsFair
\* twin: NoNoticeAtAll violates NoticeBeforeClose
NoNoticeAtAll == NoNotice

\* On a signal the listeners close first.
\* twin: CloseFirst violates FlipBeforeClose
CloseFirstStep ==
  /\ state = "ready" /\ Become("draining") /\ listening' = FALSE
  /\ UNCHANGED <<seen, whole, short, noticed, places, tokens, phase, stored, used, acked>>
CloseFirst == Init /\ [][Next \/ CloseFirstStep]_vars /\ NodeIsFair /\ TimeIsFair

\* The process ends over the work in flight.
\* twin: ExitOverWork violates StoppedIsQuiet
ExitOverWorkStep ==
  /\ state = "draining" /\ places > 0 /\ Become("stopped") /\ listening' = FALSE
  /\ UNCHANGED <<seen, whole, short, noticed, places, tokens, phase, stored, used, acked>>
ExitOverWork == Init /\ [][Next \/ ExitOverWorkStep]_vars /\ NodeIsFair /\ TimeIsFair

\* A write that ends in time-out keeps its place.
\* twin: PlaceLost violates PlacesAreExact
PlaceLostStep == \E w \in Writers :
  /\ phase[w] = "arriving" /\ To(w, "gone") /\ used' = used - 1
  /\ UNCHANGED <<Quiet, places, tokens, stored, acked>>
PlaceLost == Init /\ [][Next \/ PlaceLostStep]_vars /\ NodeIsFair /\ TimeIsFair

\* A write that is cut keeps its capacity.
\* twin: CapacityLeaks violates UsedIsExact
CapacityLeaksStep ==
  /\ state = "draining" /\ \E w \in Writers : phase[w] = "arriving"
  /\ phase' = [w \in Writers |-> IF phase[w] = "arriving" THEN "cut" ELSE phase[w]]
  /\ places' = Cardinality({w \in Writers : phase[w] = "answering"})
  /\ UNCHANGED <<Quiet, tokens, stored, used, acked>>
CapacityLeaks == Init /\ [][Next \/ CapacityLeaksStep]_vars /\ NodeIsFair /\ TimeIsFair

\* A put of what is stored already is charged, and never paid back.
\* twin: Overbooks violates WithinCaps
OverbooksStep == \E w \in stored :
  /\ phase[w] = "arriving" /\ To(w, "answering") /\ used' = used + 1
  /\ UNCHANGED <<Quiet, places, tokens, stored, acked>>
Overbooks == Init /\ [][Next \/ OverbooksStep]_vars /\ NodeIsFair /\ TimeIsFair

\* Degradation fails the writes that were admitted before it.
\* twin: FlipCuts violates FlipsFailNoWrite
FlipCutsStep == \E w \in Writers :
  /\ state = "ready" /\ phase[w] = "arriving" /\ Become("degraded") /\ short' = TRUE
  /\ To(w, "gone") /\ places' = places - 1 /\ used' = used - 1
  /\ UNCHANGED <<seen, whole, door, tokens, stored, acked>>
FlipCuts == Init /\ [][Next \/ FlipCutsStep]_vars /\ NodeIsFair /\ TimeIsFair

\* A degraded node sheds what it had admitted.
\* twin: DegradedCuts violates OnlyDrainsCut
DegradedCutsStep ==
  /\ state = "degraded" /\ places > 0 /\ CutAll
  /\ UNCHANGED <<Quiet, tokens, stored, acked>>
DegradedCuts == Init /\ [][Next \/ DegradedCutsStep]_vars /\ NodeIsFair /\ TimeIsFair

\* The cut comes when the object is half in the store, and what is there stays.
\* twin: CutLeavesHalf violates NoTrace
CutLeavesHalfStep == \E w \in Writers :
  /\ state = "draining" /\ phase[w] = "arriving" /\ To(w, "cut") /\ places' = places - 1 /\ stored' = stored \cup {w}
  /\ UNCHANGED <<Quiet, tokens, used, acked>>
CutLeavesHalf == Init /\ [][Next \/ CutLeavesHalfStep]_vars /\ NodeIsFair /\ TimeIsFair

\* Admission looks at the state first and takes the place later; in between the drain began.
\* twin: CheckThenAct violates AdmittedWhileReady
CheckThenActStep == \E w \in Writers :
  /\ state = "draining" /\ phase[w] = "asking" /\ Room
  /\ To(w, "arriving") /\ places' = places + 1 /\ tokens' = tokens - 1 /\ used' = used + 1
  /\ UNCHANGED <<Quiet, stored, acked>>
CheckThenAct == Init /\ [][Next \/ CheckThenActStep]_vars /\ NodeIsFair /\ TimeIsFair

\* A node sheds writes while /readyz calls it ready.
\* twin: ShedsInSilence violates ShedWhenShown
ShedsInSilenceStep == \E w \in Writers :
  /\ state = "ready" /\ phase[w] = "asking" /\ To(w, "shed")
  /\ UNCHANGED <<Quiet, places, tokens, stored, used, acked>>
ShedsInSilence == Init /\ [][Next \/ ShedsInSilenceStep]_vars /\ NodeIsFair /\ TimeIsFair

\* A full store makes room by itself.
\* twin: MakesRoom violates OnlyDeletesRemove
MakesRoomStep == \E w \in stored :
  /\ used = Capacity /\ stored' = stored \ {w} /\ used' = used - 1
  /\ UNCHANGED <<Quiet, places, tokens, phase, acked>>
MakesRoom == Init /\ [][Next \/ MakesRoomStep]_vars /\ NodeIsFair /\ TimeIsFair

\* Nobody gives up on a writer that does not send.
\* twin: PatientNode violates AdmittedWritesEnd
PatientNode == Init /\ [][Next]_vars /\ NodeIsFair

DrainIsFair == WF_vars(Look) /\ WF_vars(Notice) /\ WF_vars(Close) /\ WF_vars(Stop)

\* What is stored is never answered.
\* twin: MuteNode violates StoredIsAnswered
MuteNode == Init /\ [][Next]_vars /\ DrainIsFair /\ TimeIsFair /\ \A w \in Writers : WF_vars(Decide(w))

\* A request that nobody looks at.
\* twin: DeafNode violates AskedIsDecided
DeafNode == Init /\ [][Next]_vars /\ DrainIsFair /\ TimeIsFair /\ \A w \in Writers : WF_vars(Answer(w))

\* A drain without an end: an answer that nobody takes holds it up.
\* twin: NobodyCuts violates DrainEnds
NobodyCuts == Init /\ [][Next]_vars /\ DrainIsFair /\ TimeIsFair /\ \A w \in Writers : WF_vars(Decide(w))
=============================================================================
