package tla

import (
	"github.com/rustyonions/micronode/model/amnesia"
	"github.com/rustyonions/micronode/model/capability"
	"github.com/rustyonions/micronode/model/cas"
	"github.com/rustyonions/micronode/model/readiness"
	"github.com/rustyonions/micronode/model/session"
)

// Models are the Go models, one for each configuration that both sides explore.
func Models() []Model {
	return []Model{
		model("Amnesia", amnesia.Small().Constants(), amnesia.Machine(amnesia.Small())),
		model("Amnesia-keys", amnesia.SmallKeys().Constants(), amnesia.Machine(amnesia.SmallKeys())),
		model("Capability", capability.Small().Constants(), capability.Machine(capability.Small())),
		model("Capability-streams", capability.SmallStreams().Constants(), capability.Machine(capability.SmallStreams())),
		model("Cas", cas.Small().Constants(), cas.Machine(cas.Small())),
		model("Cas-persistent", cas.SmallPersistent().Constants(), cas.Machine(cas.SmallPersistent())),
		model("Cas-rot", cas.SmallRot().Constants(), cas.Machine(cas.SmallRot())),
		model("Readiness", readiness.Small().Constants(), readiness.Machine(readiness.Small())),
		model("Readiness-admission", readiness.SmallAdmission().Constants(), readiness.Machine(readiness.SmallAdmission())),
		model("Session", session.Small().Constants(), session.Machine(session.Small())),
		model("Session-credit", session.SmallCredit().Constants(), session.Machine(session.SmallCredit())),
	}
}
