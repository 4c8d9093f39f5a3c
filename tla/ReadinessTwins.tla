---------------------------- MODULE ReadinessTwins ----------------------------
\* Broken nodes. Each specification below must violate the property that its comment names; one that did not would show
\* that the property says nothing. Most are Readiness with one more thing that can happen.
EXTENDS Readiness

\* A gate goes down and nobody acts on it.
\* twin: LossUnseen violates ReadyNeedsEveryGate
LossUnseenStep == \E g \in 1..Gates :
  /\ state = "ready" /\ up' = [up EXCEPT ![g] = FALSE]
  /\ UNCHANGED <<unknown, face, load, conns, work, tokens, rest>>
LossUnseen == Init /\ [][Next \/ LossUnseenStep]_vars /\ Fairness

\* A gate that nobody knows is taken for one that is up.
\* twin: UnknownIgnored violates ReadyNeedsEveryGate
UnknownIgnoredStep ==
  /\ state = "starting" /\ unknown /\ \A g \in 1..Gates : up[g]
  /\ Become("ready") /\ UNCHANGED <<chain, load, conns, work, tokens, rest>>
UnknownIgnored == Init /\ [][Next \/ UnknownIgnoredStep]_vars /\ Fairness

\* The memory runs short and nobody acts on it.
\* twin: ShortageUnseen violates ReadyHasRoom
ShortageUnseenStep ==
  /\ state = "ready" /\ memory' = "short"
  /\ UNCHANGED <<chain, face, store, conns, work, tokens, rest>>
ShortageUnseen == Init /\ [][Next \/ ShortageUnseenStep]_vars /\ Fairness

\* The last connection is taken in silence.
\* twin: FullInSilence violates DegradesBeforeFull
FullInSilenceStep ==
  /\ state = "ready" /\ conns < MaxConns /\ conns' = conns + 1
  /\ UNCHANGED <<chain, face, load, work, tokens, rest>>
FullInSilence == Init /\ [][Next \/ FullInSilenceStep]_vars /\ Fairness

\* The state changes, and /readyz goes on with its old answer.
\* twin: ReadyzLags violates ReadyzTellsTheState
ReadyzLagsStep ==
  /\ state = "ready" /\ state' = "draining" /\ admits' = {}
  /\ UNCHANGED <<chain, readyz, load, conns, work, tokens, rest>>
ReadyzLags == Init /\ [][Next \/ ReadyzLagsStep]_vars /\ Fairness

\* Degradation turns everyone away.
\* twin: ShedsReads violates DegradedServesReads
ShedsReadsStep ==
  /\ state = "ready" /\ state' = "degraded" /\ readyz' = 503 /\ admits' = {}
  /\ UNCHANGED <<chain, load, conns, work, tokens, rest>>
ShedsReads == Init /\ [][Next \/ ShedsReadsStep]_vars /\ Fairness

\* Degradation turns nobody away.
\* twin: ShedsNothing violates DegradedShedsWrites
ShedsNothingStep ==
  /\ state = "ready" /\ state' = "degraded" /\ readyz' = 503
  /\ UNCHANGED <<chain, admits, load, conns, work, tokens, rest>>
ShedsNothing == Init /\ [][Next \/ ShedsNothingStep]_vars /\ Fairness

\* A draining node goes on admitting reads.
\* twin: DrainAdmits violates NothingBeforeOrAfter
DrainAdmitsStep ==
  /\ state = "ready" /\ state' = "draining" /\ readyz' = 503 /\ admits' = {"read"}
  /\ UNCHANGED <<chain, load, conns, work, tokens, rest>>
DrainAdmits == Init /\ [][Next \/ DrainAdmitsStep]_vars /\ Fairness

\* One request too many.
\* twin: OverCap violates WithinCaps
OverCapStep ==
  /\ places = MaxInflight /\ tokens > 0
  /\ places' = places + 1 /\ reading' = reading + 1 /\ tokens' = tokens - 1
  /\ UNCHANGED <<chain, face, load, conns, writing, rest>>
OverCap == Init /\ [][Next \/ OverCapStep]_vars /\ Fairness

\* A bucket that never gets full.
\* twin: BucketOverflows violates WithinCaps
BucketOverflowsStep ==
  /\ tokens = Tokens /\ tokens' = tokens + 1
  /\ UNCHANGED <<chain, face, load, conns, work, rest>>
BucketOverflows == Init /\ [][Next \/ BucketOverflowsStep]_vars /\ Fairness

\* A crash loses its place.
\* twin: PlaceLost violates PlacesAreExact
PlaceLostStep ==
  /\ reading > 0 /\ reading' = reading - 1
  /\ UNCHANGED <<chain, face, load, conns, writing, places, tokens, rest>>
PlaceLost == Init /\ [][Next \/ PlaceLostStep]_vars /\ Fairness

\* A place comes back twice.
\* twin: PlaceTwice violates PlacesAreExact
PlaceTwiceStep ==
  /\ places = 2 /\ reading > 0 /\ reading' = reading - 1 /\ places' = places - 2
  /\ UNCHANGED <<chain, face, load, conns, writing, tokens, rest>>
PlaceTwice == Init /\ [][Next \/ PlaceTwiceStep]_vars /\ Fairness

\* A second signal ends the process over the work in flight.
\* twin: ExitOverWork violates StoppedIsQuiet
ExitOverWorkStep ==
  /\ state = "draining" /\ places > 0
  /\ Become("stopped") /\ conns' = 0 /\ listening' = FALSE /\ exit' = "clean"
  /\ UNCHANGED <<chain, load, work, tokens, noticed>>
ExitOverWork == Init /\ [][Next \/ ExitOverWorkStep]_vars /\ Fairness

\* A gate comes up before the one before it.
\* twin: OutOfOrder violates GatesInOrder
OutOfOrderStep ==
  /\ state = "starting" /\ ~up[1] /\ up' = [up EXCEPT ![2] = TRUE]
  /\ UNCHANGED <<unknown, face, load, conns, work, tokens, rest>>
OutOfOrder == Init /\ [][Next \/ OutOfOrderStep]_vars /\ Fairness

\* A gate is lost during the start.
\* twin: StartGoesBack violates StartOnlyGrows
StartGoesBackStep ==
  /\ state = "starting" /\ up[1] /\ up' = [up EXCEPT ![1] = FALSE]
  /\ UNCHANGED <<unknown, face, load, conns, work, tokens, rest>>
StartGoesBack == Init /\ [][Next \/ StartGoesBackStep]_vars /\ Fairness

\* A node that loses a gate starts again.
\* twin: StartsAgain violates StateOrder
StartsAgainStep ==
  /\ state = "ready" /\ up' = [up EXCEPT ![1] = FALSE] /\ Become("starting")
  /\ UNCHANGED <<unknown, load, conns, work, tokens, rest>>
StartsAgain == Init /\ [][Next \/ StartsAgainStep]_vars /\ Fairness

\* A node in order does not stay in its drain.
\* twin: DrainReturns violates DrainingNeverReturns
DrainReturnsStep ==
  /\ state = "draining" /\ Whole /\ Become("ready")
  /\ UNCHANGED <<chain, load, conns, work, tokens, rest>>
DrainReturns == Init /\ [][Next \/ DrainReturnsStep]_vars /\ Fairness

\* Admission looks at readiness first and takes the place later: in between the drain began.
\* twin: CheckThenAct violates AdmitsWhatItSays
CheckThenActStep ==
  /\ state = "draining" /\ conns > 0 /\ places < MaxInflight /\ tokens > 0
  /\ places' = places + 1 /\ writing' = writing + 1 /\ tokens' = tokens - 1
  /\ UNCHANGED <<chain, face, load, conns, reading, rest>>
CheckThenAct == Init /\ [][Next \/ CheckThenActStep]_vars /\ Fairness

\* A refusal takes a token.
\* twin: RefusalCosts violates OneTokenForOnePlace
RefusalCostsStep ==
  /\ state = "draining" /\ conns > 0 /\ tokens > 0 /\ tokens' = tokens - 1
  /\ UNCHANGED <<chain, face, load, conns, work, rest>>
RefusalCosts == Init /\ [][Next \/ RefusalCostsStep]_vars /\ Fairness

\* An admission takes none.
\* twin: FreeAdmission violates OneTokenForOnePlace
FreeAdmissionStep ==
  /\ "read" \in admits /\ conns > 0 /\ places < MaxInflight
  /\ places' = places + 1 /\ reading' = reading + 1
  /\ UNCHANGED <<chain, face, load, conns, writing, tokens, rest>>
FreeAdmission == Init /\ [][Next \/ FreeAdmissionStep]_vars /\ Fairness

\* Degradation fails the writes that were admitted before it.
\* twin: FlipCuts violates FlipsFailNoWork
FlipCutsStep ==
  /\ state = "ready" /\ writing > 0
  /\ writing' = 0 /\ places' = reading /\ up' = [up EXCEPT ![1] = FALSE] /\ Become("degraded")
  /\ UNCHANGED <<unknown, load, conns, reading, tokens, rest>>
FlipCuts == Init /\ [][Next \/ FlipCutsStep]_vars /\ Fairness

\* The way back has no margin.
\* twin: NoMargin violates RecoversFromCalmOnly
NoMarginStep ==
  /\ state = "degraded" /\ Become("ready")
  /\ UNCHANGED <<chain, load, conns, work, tokens, rest>>
NoMargin == Init /\ [][Next \/ NoMarginStep]_vars /\ Fairness

\* On a signal the listeners close first.
\* twin: CloseFirst violates FlipBeforeClose
CloseFirstStep ==
  /\ state = "ready" /\ listening' = FALSE /\ Become("draining")
  /\ UNCHANGED <<chain, load, conns, work, tokens, noticed, exit>>
CloseFirst == Init /\ [][Next \/ CloseFirstStep]_vars /\ Fairness

\* The listeners close as soon as nothing is in flight.
\* twin: NoNotice violates NoticeBeforeClose
NoNoticeStep ==
  /\ state = "draining" /\ listening /\ places = 0 /\ listening' = FALSE
  /\ UNCHANGED <<chain, face, load, conns, work, tokens, noticed, exit>>
NoNotice == Init /\ [][Next \/ NoNoticeStep]_vars /\ Fairness

\* A drained node reports a failure.
\* twin: DirtyExit violates DrainEndsInOrder
DirtyExitStep ==
  /\ state = "draining" /\ ~listening /\ Become("stopped") /\ conns' = 0 /\ exit' = "failed"
  /\ UNCHANGED <<chain, load, work, tokens, noticed, listening>>
DirtyExit == Init /\ [][Next \/ DirtyExitStep]_vars /\ Fairness

\* The last gate is up, and the node does not notice: nothing leads on from there.
\* twin: UpUnseen violates StartLeadsToReady
UpUnseenStep ==
  /\ state = "starting" /\ ~up[Gates] /\ \A g \in 1..(Gates - 1) : up[g]
  /\ up' = [up EXCEPT ![Gates] = TRUE]
  /\ UNCHANGED <<unknown, face, load, conns, work, tokens, rest>>
UpUnseen == Init /\ [][Next \/ UpUnseenStep]_vars /\ Fairness

\* A node that may stop bringing its gates up.
\* twin: StartGivesUp violates StartLeadsToReady
StartGivesUp == Init /\ [][Next]_vars /\ WF_vars(Recover)

\* A node that may stay degraded.
\* twin: CalmForEver violates CalmLeadsToReady
CalmForEver == Init /\ [][Next]_vars /\ WF_vars(\E g \in 1..Gates : Up(g))

\* A node that waits for its last client for ever.
\* twin: NobodyCuts violates DrainEnds
NobodyCuts == Init /\ [][Next]_vars /\ WF_vars(Notice) /\ WF_vars(Close) /\ WF_vars(Stop)

\* A node that does not get round to its exit.
\* twin: Lingers violates DrainEnds
Lingers == Init /\ [][Next]_vars /\ WF_vars(Notice) /\ WF_vars(Deadline) /\ WF_vars(Close)
=============================================================================
