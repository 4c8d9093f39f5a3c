package conformance

import (
	"slices"

	"github.com/rustyonions/micronode/spec"
)

// Profile groups cases by what a node must have for them to make sense.
type Profile string

// The profiles. A node that only frames can be held to ProfileFraming alone.
const (
	ProfileFraming   Profile = "framing"   // OAP/1 frames, HELLO, sessions
	ProfileObjects   Profile = "objects"   // put, get, has, stat, delete on both surfaces
	ProfileSecurity  Profile = "security"  // admission, sizes, times
	ProfileMicronode Profile = "micronode" // the process: start, drain, exit, operation routes
)

// FeatureObjects is the feature name of the objects protocol (HTTP-HLT-005).
const FeatureObjects = "objects"

// Case is one test of the suite. It is immutable and may run many times, also at once.
type Case struct {
	ID          string     // unique, stable, lowercase with hyphens
	Rules       []string   // ids of the rules it holds the node to, the most specific first
	Level       spec.Level // what a wrong reaction means: MUST fail, SHOULD warn, MAY info
	Feature     string     // feature the node must declare, or ""
	Profile     Profile
	Description string // one sentence
	Own         bool   // needs a process of the suite's own (Peer.Process), started by T.Spawn
	Slow        bool   // waits for a time limit of the law: started first, and beside the others
	Run         func(*T)
}

// Cases lists every case of the suite, in the order of the pages of the law. The slice is the caller's.
func Cases() []Case {
	return slices.Concat(
		framingCases(),
		zstdCases(),
		helloCases(),
		sessionCases(),
		streamLimitCases(),
		sessionTimeCases(),
		bodyCases(),
		creditCases(),
		objectCases(),
		casCases(),
		httpSurfaceCases(),
		httpPutCases(),
		httpGetCases(),
		httpRangeCases(),
		httpCodingCases(),
		httpErrorCases(),
		httpOperationCases(),
		admissionCases(),
		admissionTimeCases(),
		capacityCases(),
		drainCases(),
		processCases(),
		capTokenCases(),
		capCaveatCases(),
		capRequestCases(),
		capLifeCases(),
		tlsCases(),
		unixCases(),
		auditCases(),
		vectorCases(),
	)
}

// AtLeast keeps the cases whose level is at least as binding as level.
func AtLeast(cases []Case, level spec.Level) []Case {
	rank := map[spec.Level]int{spec.Must: 0, spec.Should: 1, spec.May: 2}
	return slices.DeleteFunc(slices.Clone(cases), func(c Case) bool { return rank[c.Level] > rank[level] })
}
