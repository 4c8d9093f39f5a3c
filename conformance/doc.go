// Package conformance is the black-box suite: cases that hold a running node to the rules of spec/, and the runner,
// the connections and the report they need. The node is reached through its sockets and, where the suite started it,
// its process, and in no other way.
//
// A case has the same four parts, whatever it is about:
//
//	positive control   the accepted twin works here and now, else nothing can be concluded (untestable)
//	stimulus           the bytes the case is about
//	reaction           what the rule demands, with its class: reason, code, corr_id, closed or not
//	liveness probe     on a new connection, made by the runner: a node that died has not refused anything
//
// A closed connection counts only where the rule says that it is closed, and never instead of the probe. A reset
// and an orderly close are the same thing there.
//
// The package owns the cases and what counts as evidence. It may import spec and model and never impl: frames from
// the node are judged by model/refwire, and every frame the suite sends is checked with it as well, so that a slip
// of the suite is a harness-error and not a verdict on the node. It keeps no global state; Cases is a function.
package conformance
