package conformance

import (
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails a run that leaves goroutines behind: of the suite itself, and of the null peers.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }
