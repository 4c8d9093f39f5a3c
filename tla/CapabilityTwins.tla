----------------------------------------------- MODULE CapabilityTwins -------------------------------------------------
(* Broken specifications of capabilities. Each must violate the property that its line names, or that property says     *)
(* nothing.                                                                                                             *)
EXTENDS Capability

\* twin: LastCaveatWins violates AttenuationNarrows
\* An appended "op in" replaces the one before.
Widen(n) ==
  /\ n \in Tokens
  /\ Len(tokens) < MaxTokens
  /\ tokens' = Append(tokens, [tokens[n] EXCEPT !.ops = Narrow])
  /\ UNCHANGED <<keys, first, streams, revoked>>
LastCaveatWins == Init /\ [][Next \/ \E n \in 1..MaxTokens : Widen(n)]_vars

\* A token that the node mints, whatever it says.
Minted(t) ==
  /\ Len(tokens) < MaxTokens
  /\ tokens' = Append(tokens, t)
  /\ UNCHANGED <<keys, first, streams, revoked>>

\* twin: WriterReads violates RolesImplyNothing
\* Who may write may also read.
WriterReads == Init /\ [][Next \/ Minted([key |-> Current, id |-> Len(tokens) + 1, left |-> MaxLife, wait |-> 0,
                                          ops |-> (Roles.reader \cup Roles.writer) \cap Ops])]_vars

\* twin: NoEnd violates EveryTokenExpires
\* A token without exp is good for longer than any with one.
NoEnd == Init /\ [][Next \/ Minted([key |-> Current, id |-> Len(tokens) + 1, left |-> MaxLife + 1, wait |-> 0,
                                    ops |-> Roles.reader \cap Ops])]_vars

\* A restart that differs in what it leaves of the keys and of the revocations.
RestartWith(left, kept) ==
  /\ Len(keys) < MaxKeys
  /\ keys' = Append(left, [is |-> "current", grace |-> 0])
  /\ first' = Len(keys) + 1
  /\ streams' = [i \in 1..MaxStreams |-> NoStream]
  /\ revoked' = kept
  /\ UNCHANGED tokens

\* twin: KeysSurvive violates OldLifeRefused
\* The keys of the life before are found again.
KeysSurvive == Init /\ [][Next \/ RestartWith([keys EXCEPT ![Current] = [is |-> "retired", grace |-> MaxLife]], revoked)]_vars

\* twin: StreamsSurvive violates OldLifeRefused
\* The streams of the life before go on.
StreamsSurvive == Init /\ [][Next \/ (/\ Len(keys) < MaxKeys
                                      /\ keys' = Append([k \in Keys |-> [is |-> "gone", grace |-> 0]], [is |-> "current", grace |-> 0])
                                      /\ first' = Len(keys) + 1
                                      /\ UNCHANGED <<tokens, streams, revoked>>)]_vars

\* twin: RevocationsLost violates DeadStaysDead
\* They are found again, and what was revoked is not.
RevocationsLost == Init /\ [][Next \/ RestartWith([keys EXCEPT ![Current] = [is |-> "retired", grace |-> MaxLife]], {})]_vars

\* twin: SignsWithRevoked violates OneCurrentKey
\* The current key is revoked and stays current.
RevokeCurrent ==
  /\ Revoke("key", Current)
  /\ UNCHANGED <<tokens, keys, first, streams>>
SignsWithRevoked == Init /\ [][Next \/ RevokeCurrent]_vars

\* twin: LongGrace violates GraceIsBounded
\* An old key stays for longer than anything under it can be good.
RotateLong ==
  /\ Len(keys) < MaxKeys
  /\ keys' = [Rotated EXCEPT ![Current].grace = MaxLife + 1]
  /\ UNCHANGED <<tokens, first, streams, revoked>>
LongGrace == Init /\ [][Next \/ RotateLong]_vars

\* twin: SlowSurface violates InForceInTime
\* A second passes while a surface has not heard of a revocation.
SlowSurface == Init /\ [][Next \/ (~AnyDoomed /\ Passes)]_vars

\* twin: StreamGoesOn violates StreamsEndInTime
\* A second passes while a stream of a revoked capability is open.
StreamGoesOn == Init /\ [][Next \/ (~Spreading /\ Passes)]_vars

\* A request that is admitted, whatever the verdict.
Admit(n, op) ==
  /\ \E i \in 1..MaxStreams : ~Open(i) /\ streams' = [streams EXCEPT ![i] = [token |-> n, op |-> op]]
  /\ UNCHANGED <<tokens, keys, first, revoked>>

\* twin: OpsIgnored violates NoUseBeyondOps
OpsIgnored == Init /\ [][Next \/ \E n \in Tokens, op \in Ops :
                           tokens[n].left > 0 /\ Held(tokens[n]) /\ Admit(n, op)]_vars

\* twin: NbfIgnored violates NoUseTooEarly
NbfIgnored == Init /\ [][Next \/ \E n \in Tokens : \E op \in tokens[n].ops :
                           tokens[n].left > 0 /\ Held(tokens[n]) /\ ~Revoked(tokens[n], {}) /\ Admit(n, op)]_vars

\* twin: ExpIgnored violates NoUseExpired
ExpIgnored == Init /\ [][Next \/ \E n \in Tokens, op \in Ops :
                           tokens[n].left = 0 /\ Held(tokens[n]) /\ Admit(n, op)]_vars

\* twin: KeyIgnored violates NoUseWithoutKey
KeyIgnored == Init /\ [][Next \/ \E n \in Tokens : \E op \in tokens[n].ops :
                           tokens[n].left > 0 /\ tokens[n].wait = 0 /\ ~Revoked(tokens[n], {}) /\ Admit(n, op)]_vars

\* twin: RevocationIgnored violates NoUseRevoked
RevocationIgnored == Init /\ [][Next \/ \E n \in Tokens : \E op \in tokens[n].ops :
                                  tokens[n].wait = 0 /\ Held(tokens[n]) /\ Admit(n, op)]_vars

\* twin: RotatesAtOnce violates NoOutage
\* The old key goes with the rotation.
DropAtOnce ==
  /\ Len(keys) < MaxKeys
  /\ keys' = Append([keys EXCEPT ![Current] = [is |-> "gone", grace |-> 0]], [is |-> "current", grace |-> 0])
  /\ UNCHANGED <<tokens, first, streams, revoked>>
RotatesAtOnce == Init /\ [][Next \/ DropAtOnce]_vars

\* twin: DropsWaiting violates NoOutage
\* An old key goes although somebody waits for the nbf of a capability under it, or just for the next request.
DropsWaiting == Init /\ [][Next \/ \E k \in Keys : /\ keys[k].is = "retired"
                                                   /\ keys' = [keys EXCEPT ![k] = [is |-> "gone", grace |-> 0]]
                                                   /\ UNCHANGED <<tokens, first, streams, revoked>>]_vars

\* twin: ForgetsEarly violates DeadStaysDead
\* A revocation is forgotten while a capability that it covers could still be admitted.
ForgetsEarly == Init /\ [][Next \/ \E r \in revoked : r.late /\ revoked' = revoked \ {r} /\ UNCHANGED <<tokens, keys, first, streams>>]_vars

\* twin: NobodyTells violates RevocationsTakeEffect
\* The surfaces may never learn.
NobodyTells == Init /\ [][Next]_vars /\ FairEnd /\ FairTime

\* twin: NobodyEnds violates DoomedStreamsEnd
NobodyEnds == Init /\ [][Next]_vars /\ FairEffect /\ FairTime

\* twin: TimeStops violates OldKeysGo
TimeStops == Init /\ [][Next]_vars /\ FairEffect /\ FairEnd
========================================================================================================================
