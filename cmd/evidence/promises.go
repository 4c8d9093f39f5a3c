package main

// promise is a check that has to be in the ledger, with figures that have to be above zero.
type promise struct {
	check   string
	figures []string
}

// kinds are the sections of the page, in the order of the ladder from the law to the running node.
var kinds = []struct{ name, title, about string }{
	{"rules", "The law", "Rules by what stands behind them."},
	{"graph", "Models", "Every state and labelled step of the Go models, equal to the graphs that TLC found."},
	{"tlc", "TLC", "The TLA+ modules, explored again in this run."},
	{"twins", "Must-fail twins", "Deliberately broken specifications; each has to violate exactly its property."},
	{"lockstep", "Lock-step", "Model and implementation driven by the same operations."},
	{"tour", "Edge tours", "Every step of a model's graph, walked on a real node over a socket."},
	{"schedule", "Schedules", "Interleavings of implementation code, explored one by one."},
	{"history", "Histories", "Concurrent histories, checked for linearizability."},
	{"fuzz", "Fuzzing", "Executions of each target in this run."},
}

// promises lists what must be there. What is not listed is shown, and can be red only by having failed.
func promises() []promise {
	var all []promise
	add := func(kind string, figures []string, names ...string) {
		for _, n := range names {
			all = append(all, promise{kind + "/" + n, figures})
		}
	}
	add("rules", []string{"covered by a conformance case"}, "states")
	configs := []string{"Amnesia", "Amnesia-keys", "Capability", "Capability-streams", "Cas", "Cas-persistent", "Cas-rot",
		"Readiness", "Readiness-admission", "Session", "Session-credit"}
	add("graph", []string{"states", "edges", "depth", "actions", "properties"}, configs...)
	add("tlc", []string{"states", "depth", "edges"}, configs...)
	add("tlc", []string{"states", "depth"}, "ReadyWrites")
	add("twins", []string{"run", "caught"}, "Session", "Cas", "Amnesia", "Readiness", "Capability", "ReadyWrites")
	add("lockstep", []string{"steps", "actions"}, "session", "store", "amnesia", "gate", "capability")
	add("tour", []string{"edges", "reachable", "walked"}, "Amnesia", "Amnesia-keys", "Capability", "Capability-streams", "Cas", "Cas-rot",
		"Readiness", "Readiness-admission", "Session", "Session-credit")
	add("schedule", []string{"schedules", "steps", "points"}, "config-swap", "drain-cut", "drain-new", "drain-old", "drain-whole",
		"readiness-flip", "revocation", "store", "store-compaction", "store-crowd", "store-repair")
	add("history", []string{"histories", "operations", "width"}, "store", "node")
	return all
}
