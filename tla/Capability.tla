-------------------------------------------------- MODULE Capability ---------------------------------------------------
(* Who is admitted with what, while time passes, keys are replaced and capabilities are revoked (spec/capability.md,    *)
(* CAP, without its TLS, Unix socket and audit). The same machine as package model/capability.                          *)
(*                                                                                                                      *)
(* tokens is the world outside: what was minted or attenuated and is in somebody's hands, as what all its caveats       *)
(* together say. The node has no such list. What a stranger can make besides - forged, stripped of a caveat, without    *)
(* exp, of another node or encoding - needs no state: it is always refused, by Use_unauth. Bytes and HMACs are left out, *)
(* and so are the caveats that narrow requests just as "op in" does (path, tenant, max-bytes, peer-uid), and rps, which *)
(* counts.                                                                                                              *)
(*                                                                                                                      *)
(* A surface is where requests arrive; each learns of a revocation for itself. The bound of one second on that, and on   *)
(* the end of streams whose capability is revoked or past its exp, is that Tick can not be taken before.                 *)
EXTENDS Integers, Sequences, FiniteSets

CONSTANTS MaxTokens, MaxKeys, MaxStreams, MaxRevocations,
          Surfaces,    \* where capabilities are shown
          Ops,         \* the operations that exist
          Narrow,      \* what an appended "op in" lists
          MaxLife,     \* seconds that a capability can live
          DefaultLife  \* seconds that it lives where none are asked for

VARIABLES tokens,   \* key: it is signed under; id: number of the token that was minted; ops: all "op in" together;
                    \* left: seconds for which exp lets it be good; wait: seconds until nbf
          keys,     \* is: "current", "retired", "gone"; grace of a retired key: seconds until nothing under it can be left
          first,    \* the first key of this life
          streams,  \* token that opened the stream, and its op; token 0: no stream
          revoked   \* of: "id" or "key"; n: which; heard: surfaces where it is in force; late: its second is over

vars == <<tokens, keys, first, streams, revoked>>

Roles == [reader  |-> {"get", "has", "stat", "resolve", "search"},
          writer  |-> {"put", "delete", "move"},
          mailbox |-> {"send", "recv", "ack", "nack"},
          issuer  |-> {"issue", "verify", "revoke", "rotate"},
          admin   |-> {"config", "audit", "reprocess"}]

NoStream == [token |-> 0, op |-> ""]

Init == /\ tokens = <<>>
        /\ keys = <<[is |-> "current", grace |-> 0]>>
        /\ first = 1
        /\ streams = [i \in 1..MaxStreams |-> NoStream]
        /\ revoked = {}

------------------------------------------------------------------------------------------------------------------------
Max(a, b) == IF a > b THEN a ELSE b
Min(a, b) == IF a < b THEN a ELSE b

Tokens == 1..Len(tokens)
Keys == 1..Len(keys)
Current == Len(keys)

Covers(r, t) == \/ r.of = "id" /\ r.n = t.id
                \/ r.of = "key" /\ r.n = t.key

\* A revocation covers t and is in force on all of these surfaces.
Revoked(t, surfaces) == \E r \in revoked : Covers(r, t) /\ surfaces \subseteq r.heard

Held(t) == keys[t.key].is # "gone"

\* t can be admitted somewhere, now or later.
Alive(t) == t.left > 0 /\ Held(t) /\ ~Revoked(t, Surfaces)

Open(i) == streams[i].token # 0

\* The node has to end stream i.
Doomed(i) == Open(i) /\ (tokens[streams[i].token].left = 0 \/ Revoked(tokens[streams[i].token], {}))

Spreading == \E r \in revoked : r.heard # Surfaces

AnyDoomed == \E i \in 1..MaxStreams : Doomed(i)

\* The token some seconds later. All tokens past their exp are alike.
After(t, seconds) == LET left == Max(t.left - seconds, 0)
                     IN [t EXCEPT !.left = left,
                                  !.wait = IF left = 0 THEN 0 ELSE Max(t.wait - seconds, 0),
                                  !.ops = IF left = 0 THEN {} ELSE t.ops]

\* What a surface says to a request for op with t: first whether it is a capability of this node, then whether it
\* covers the request. CAP-DEN-001, CAP-DEN-002, CAP-HMC-003
Verdict(t, surface, op) ==
  IF ~Held(t) \/ t.left = 0 \/ t.wait > 0 \/ Revoked(t, {surface}) THEN "unauth"
  ELSE IF op \notin t.ops THEN "forbidden"
  ELSE "admitted"

------------------------------------------------------------------------------------------------------------------------
\* Capabilities and their use.

\* Under the current key, with the operations of one role and an end: the alphabet has readers with the default life and
\* all others with the longest. CAP-CAV-004, CAP-CAV-006, CAP-IDN-001, CAP-IDN-002, CAP-KEY-002, CAP-ROL-001, CAP-ROL-002
Mint(role) ==
  /\ Len(tokens) < MaxTokens
  /\ Roles[role] \cap Ops # {}
  /\ tokens' = Append(tokens, [key |-> Current, id |-> Len(tokens) + 1, ops |-> Roles[role] \cap Ops,
                               left |-> IF role = "reader" THEN DefaultLife ELSE MaxLife, wait |-> 0])
  /\ UNCHANGED <<keys, first, streams, revoked>>

\* A caveat joins those that are there, each for itself; none replaces another. CAP-CAV-003, CAP-HMC-001, CAP-HMC-002
Attenuate(n, caveat) ==
  /\ n \in Tokens
  /\ Len(tokens) < MaxTokens
  /\ LET t == tokens[n]
     IN tokens' = Append(tokens, After(CASE caveat = "op in"  -> [t EXCEPT !.ops = @ \cap Narrow]
                                         [] caveat = "exp <=" -> [t EXCEPT !.left = Min(@, 1)]
                                         [] caveat = "nbf >=" -> [t EXCEPT !.wait = Max(@, 1)], 0))
  /\ UNCHANGED <<keys, first, streams, revoked>>

\* An admitted request is a stream, in the first free place. CAP-CAV-003, CAP-CAV-009, CAP-KEY-002
Use(n, surface, op) ==
  /\ n \in Tokens
  /\ Verdict(tokens[n], surface, op) = "admitted"
  /\ \E i \in 1..MaxStreams :
       /\ ~Open(i) /\ \A j \in 1..(i - 1) : Open(j)
       /\ streams' = [streams EXCEPT ![i] = [token |-> n, op |-> op]]
  /\ UNCHANGED <<tokens, keys, first, revoked>>

\* n = 0 is whatever is not a capability of this node. Nothing tells which rule it was.
\* AMN-RST-002, CAP-CAV-001, CAP-CAV-002, CAP-CAV-004, CAP-CAV-005, CAP-CAV-007, CAP-CAV-008, CAP-CAV-015, CAP-DEN-001,
\* CAP-DEN-004, CAP-HMC-001, CAP-HMC-002, CAP-HMC-003, CAP-IDN-003, CAP-KEY-002, CAP-REV-001, CAP-REV-002, CAP-ROL-003,
\* CAP-TOK-005, CAP-TOK-006, CAP-TOK-007, CAP-TOK-008, CAP-TOK-009, CAP-TOK-010, CAP-TOK-011
Use_unauth(n, surface, op) ==
  /\ n \in {0} \cup Tokens
  /\ n # 0 => Verdict(tokens[n], surface, op) = "unauth"
  /\ UNCHANGED vars

\* CAP-CAV-009, CAP-DEN-002, CAP-DEN-004, CAP-ROL-002
Use_forbidden(n, surface, op) ==
  /\ n \in Tokens
  /\ Verdict(tokens[n], surface, op) = "forbidden"
  /\ UNCHANGED vars

Without(i) == /\ streams' = [streams EXCEPT ![i] = NoStream]
              /\ UNCHANGED <<tokens, keys, first, revoked>>

\* The request is done. CAP-REV-003
Finish(i) == Open(i) /\ Without(i)

\* May come before every surface has heard of the revocation; one of these may then open another. CAP-REV-003, CAP-REV-006
End(i) == Doomed(i) /\ Without(i)

------------------------------------------------------------------------------------------------------------------------
\* Keys.

Rotated == Append([keys EXCEPT ![Current] = [is |-> "retired", grace |-> MaxLife]], [is |-> "current", grace |-> 0])

\* The old key verifies for as long as a capability under it can be good. CAP-KEY-001, CAP-KEY-002
Rotate ==
  /\ Len(keys) < MaxKeys
  /\ keys' = Rotated
  /\ UNCHANGED <<tokens, first, streams, revoked>>

\* A node that knows that nothing under a retired key is alive need not wait for its grace. AMN-ZER-005, CAP-KEY-002
DropKey(k) ==
  /\ k \in Keys
  /\ keys[k].is = "retired"
  /\ \A n \in Tokens : tokens[n].key = k => ~Alive(tokens[n])
  /\ keys' = [keys EXCEPT ![k] = [is |-> "gone", grace |-> 0]]
  /\ UNCHANGED <<tokens, first, streams, revoked>>

\* Keys, revocations and streams are forgotten; the tokens are in other hands. AMN-RST-001, AMN-RST-002
Restart ==
  /\ Len(keys) < MaxKeys
  /\ keys' = Append([k \in Keys |-> [is |-> "gone", grace |-> 0]], [is |-> "current", grace |-> 0])
  /\ first' = Len(keys) + 1
  /\ streams' = [i \in 1..MaxStreams |-> NoStream]
  /\ revoked' = {}
  /\ UNCHANGED tokens

------------------------------------------------------------------------------------------------------------------------
\* Revocation.

Needed(r) == \/ \E t \in Tokens : Covers(r, tokens[t]) /\ Alive(tokens[t])
             \/ \E i \in 1..MaxStreams : Open(i) /\ Covers(r, tokens[streams[i].token])

\* It is in force nowhere yet. One that is there already stays as it is, and one that covers nothing alive and no stream
\* need not be remembered.
Revoke(of, n) ==
  LET r == [of |-> of, n |-> n, heard |-> {}, late |-> FALSE]
      known == \E x \in revoked : x.of = of /\ x.n = n
  IN IF known \/ ~Needed(r) THEN revoked' = revoked
     ELSE /\ Cardinality(revoked) < MaxRevocations
          /\ revoked' = revoked \cup {r}

\* Of the token that was minted, and so of all that were attenuated from it. CAP-REV-001, CAP-REV-002
RevokeID(n) ==
  /\ n \in Tokens
  /\ tokens[n].id = n
  /\ Revoke("id", n)
  /\ UNCHANGED <<tokens, keys, first, streams>>

\* As many are remembered as can be. A list that is full of keys only bounds the model, not the law. CAP-REV-005
RevokeID_quota(n) ==
  /\ n \in Tokens
  /\ tokens[n].id = n
  /\ Cardinality({x \in revoked : x.of = "id"}) = MaxRevocations
  /\ ~\E x \in revoked : x.of = "id" /\ x.n = n
  /\ Needed([of |-> "id", n |-> n])
  /\ UNCHANGED vars

\* Of everything under the key. A current one is replaced, or what is minted next would be born revoked.
\* CAP-KEY-002, CAP-REV-001, CAP-REV-002
RevokeKey(k) ==
  /\ k \in Keys
  /\ keys[k].is # "gone"
  /\ Revoke("key", k)
  /\ IF k = Current THEN Len(keys) < MaxKeys /\ keys' = Rotated ELSE keys' = keys
  /\ UNCHANGED <<tokens, first, streams>>

\* The surface learns of all that is revoked. CAP-REV-002
TakeEffect(surface) ==
  /\ \E r \in revoked : surface \notin r.heard
  /\ revoked' = {[r EXCEPT !.heard = @ \cup {surface}] : r \in revoked}
  /\ UNCHANGED <<tokens, keys, first, streams>>

\* Only when nothing that it covers could be admitted without it. CAP-REV-004
Forget(of, n) ==
  /\ \E r \in revoked :
       /\ r.of = of /\ r.n = n /\ r.late
       /\ \A t \in Tokens : Covers(r, tokens[t]) => tokens[t].left = 0 \/ ~Held(tokens[t])
       /\ revoked' = revoked \ {r}
  /\ UNCHANGED <<tokens, keys, first, streams>>

------------------------------------------------------------------------------------------------------------------------
\* Time.

\* What a second changes, whether it may pass or not.
Passes ==
  /\ tokens' = [n \in Tokens |-> After(tokens[n], 1)]
  /\ keys' = [k \in Keys |-> IF keys[k].is # "retired" THEN keys[k]
                             ELSE IF keys[k].grace > 1 THEN [keys[k] EXCEPT !.grace = @ - 1]
                             ELSE [is |-> "gone", grace |-> 0]]
  /\ revoked' = {[r EXCEPT !.late = TRUE] : r \in revoked}
  /\ UNCHANGED <<first, streams>>

\* Not before what is revoked or expired is so everywhere.
\* AMN-ZER-006, CAP-CAV-005, CAP-CAV-007, CAP-KEY-002, CAP-REV-002, CAP-REV-003, CAP-REV-006
Tick == ~Spreading /\ ~AnyDoomed /\ Passes

------------------------------------------------------------------------------------------------------------------------
Next == \/ \E role \in DOMAIN Roles : Mint(role)
        \/ \E n \in 1..MaxTokens, c \in {"op in", "exp <=", "nbf >="} : Attenuate(n, c)
        \/ \E n \in 1..MaxTokens, s \in Surfaces, op \in Ops : Use(n, s, op)
        \/ \E n \in 0..MaxTokens, s \in Surfaces, op \in Ops : Use_unauth(n, s, op)
        \/ \E n \in 1..MaxTokens, s \in Surfaces, op \in Ops : Use_forbidden(n, s, op)
        \/ \E i \in 1..MaxStreams : Finish(i)
        \/ \E i \in 1..MaxStreams : End(i)
        \/ Rotate
        \/ \E k \in 1..MaxKeys : DropKey(k)
        \/ Restart
        \/ \E n \in 1..MaxTokens : RevokeID(n)
        \/ \E n \in 1..MaxTokens : RevokeID_quota(n)
        \/ \E k \in 1..MaxKeys : RevokeKey(k)
        \/ \E s \in Surfaces : TakeEffect(s)
        \/ \E n \in 1..MaxTokens : Forget("id", n)
        \/ \E k \in 1..MaxKeys : Forget("key", k)
        \/ Tick

\* Fair, because the node does these by itself: it tells its surfaces what is revoked, and ends what it has to end.
FairEffect == WF_vars(\E s \in Surfaces : TakeEffect(s))
FairEnd    == WF_vars(\E i \in 1..MaxStreams : End(i))
\* Fair, because time passes whatever anybody does.
FairTime   == WF_vars(Tick)

Spec == Init /\ [][Next]_vars /\ FairEffect /\ FairEnd /\ FairTime

------------------------------------------------------------------------------------------------------------------------
\* What holds in every state.

\* No caveat widens: not the operations, not the time. CAP-CAV-003, CAP-HMC-002
AttenuationNarrows == \A n \in Tokens : LET t == tokens[n]  minted == tokens[t.id]
                                        IN /\ t.key = minted.key
                                           /\ t.ops \subseteq minted.ops
                                           /\ t.left <= minted.left
                                           /\ t.wait >= minted.wait

\* Nobody has operations of two roles in one token. CAP-ROL-001, CAP-ROL-002
RolesImplyNothing == \A n \in Tokens : \E role \in DOMAIN Roles : tokens[n].ops \subseteq Roles[role]

\* CAP-CAV-004, CAP-CAV-005
EveryTokenExpires == \A n \in Tokens : tokens[n].left <= MaxLife

\* No key of an earlier life is held, so that no token of it is admitted, and it has left no stream.
\* AMN-RST-001, AMN-RST-002
OldLifeRefused == /\ \A n \in Tokens : tokens[n].key < first => ~Held(tokens[n])
                  /\ \A i \in 1..MaxStreams : Open(i) => tokens[streams[i].token].key >= first

\* It is the newest, and not revoked: what is minted now is good. CAP-KEY-002, CAP-REV-001
OneCurrentKey == /\ {k \in Keys : keys[k].is = "current"} = {Current}
                 /\ ~\E r \in revoked : r.of = "key" /\ r.n = Current

\* CAP-CAV-005, CAP-KEY-002
GraceIsBounded == \A k \in Keys : /\ keys[k].is = "retired" <=> keys[k].grace > 0
                                  /\ keys[k].grace <= MaxLife

\* A revocation of more than a second ago is in force on every surface. CAP-REV-002
InForceInTime == \A r \in revoked : r.late => r.heard = Surfaces

Late(t) == \E r \in revoked : r.late /\ Covers(r, t)

\* CAP-REV-003
StreamsEndInTime == \A i \in 1..MaxStreams : Open(i) => ~Late(tokens[streams[i].token])

------------------------------------------------------------------------------------------------------------------------
\* What holds on every step. A request that was admitted shows as a stream that was not there.

Opened(i) == streams'[i] # streams[i] /\ streams'[i].token # 0

\* The token, before the step, of the stream that opened.
Shown(i) == tokens[streams'[i].token]

\* CAP-CAV-009, CAP-ROL-003
NoUseBeyondOps == [][\A i \in 1..MaxStreams : Opened(i) => streams'[i].op \in Shown(i).ops]_vars

\* CAP-CAV-005
NoUseExpired == [][\A i \in 1..MaxStreams : Opened(i) => Shown(i).left > 0]_vars

\* CAP-CAV-007
NoUseTooEarly == [][\A i \in 1..MaxStreams : Opened(i) => Shown(i).wait = 0]_vars

\* CAP-IDN-003, CAP-KEY-002
NoUseWithoutKey == [][\A i \in 1..MaxStreams : Opened(i) => Held(Shown(i))]_vars

\* CAP-REV-002
NoUseRevoked == [][\A i \in 1..MaxStreams : Opened(i) => ~Late(Shown(i))]_vars

\* What is good stays good until its exp, its revocation or a restart: a rotation takes nothing away. CAP-KEY-002
NoOutage == [][first' = first => \A n \in Tokens :
                 Alive(tokens[n]) => \/ Alive(tokens[n])'
                                     \/ tokens'[n].left = 0
                                     \/ Revoked(tokens[n], Surfaces)']_vars

\* What was refused for good stays refused, also when its revocation, its key or the whole life of the node is
\* forgotten. CAP-CAV-005, CAP-KEY-002, CAP-REV-004
DeadStaysDead == [][\A n \in Tokens : ~Alive(tokens[n]) => ~Alive(tokens[n])']_vars

------------------------------------------------------------------------------------------------------------------------
\* What comes to pass.

\* CAP-REV-002
RevocationsTakeEffect == Spreading ~> ~Spreading

\* CAP-REV-003, CAP-REV-006
DoomedStreamsEnd == AnyDoomed ~> ~AnyDoomed

AnyRetired == \E k \in Keys : keys[k].is = "retired"

\* CAP-KEY-002
OldKeysGo == AnyRetired ~> ~AnyRetired
========================================================================================================================
