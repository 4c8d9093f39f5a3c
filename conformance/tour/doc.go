// Package tour walks every step of a model's graph on a real node, over its sockets.
//
// A model says what may happen in an order that nobody has to keep to: between the END of a put and its answer there is
// room for ten other frames. A real node leaves no such room, and no client can make it. So each tour starts with a
// plan: the model together with what the node does before it reads on, what fits into one write, and whose clock ends
// first. The plan is explored like a model. A step of the model that the plan reaches has to be walked; one that it does
// not reach is counted under the reason why. Nothing is left over.
//
//	model graph ──▶ plan (what a client can bring about) ──▶ tours ──▶ node
//	     └───────────── coverage: walked, or out of reach for a named reason
//
// Every request shows a capability: the bootstrap token that the node announces, and in the tour of capabilities, and of
// amnesia, what was issued with it.
//
// The package reaches a node by process and socket only, and judges by spec, model, model/refwire and model/refcap.
package tour
