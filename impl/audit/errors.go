package audit

import (
	"errors"
	"fmt"

	"github.com/rustyonions/micronode/spec"
)

// The errors that callers tell apart. Each wraps a spec.Reason, which errors.Is finds as well.
var (
	// ErrFull says that a log that holds its records has no room for one that must not be lost (CAP-AUD-009).
	ErrFull = fmt.Errorf("audit: no room until records are acknowledged: %w", spec.NotReady)
	// ErrBusy says that an export is under way; one at a time bounds the memory that they take.
	ErrBusy = fmt.Errorf("audit: another export is under way: %w", spec.Quota)
	// ErrNotHeld says that this log drops by age, so that there is nothing to acknowledge.
	ErrNotHeld = fmt.Errorf("audit: this log does not hold records: %w", spec.Unsupported)
	// ErrNotExported says that records can not be acknowledged that were in no complete export (CAP-AUD-010).
	ErrNotExported = fmt.Errorf("audit: not part of an export yet: %w", spec.NotFound)
	// ErrNoProof says that the log holds too little of its past for the proof, or that there is nothing to prove.
	ErrNoProof = fmt.Errorf("audit: no such proof: %w", spec.NotFound)
	// ErrRecord says that a record breaks the law of records (CAP-AUD-003, CAP-AUD-004).
	ErrRecord = fmt.Errorf("audit: not a record: %w", spec.Malformed)
	// ErrSignature says that a note is not signed by exactly the keys that are asked for (CAP-AUD-011).
	ErrSignature = fmt.Errorf("audit: signatures: %w", spec.Integrity)
	// ErrCheckpoint says that a signed note is no checkpoint (CAP-AUD-005).
	ErrCheckpoint = fmt.Errorf("audit: not a checkpoint: %w", spec.Malformed)
	// ErrFork says that no proof connects two checkpoints (CAP-AUD-012).
	ErrFork = fmt.Errorf("audit: two histories: %w", spec.Integrity)
	// ErrConfig says that New got a Config, or Verify a Trust, that can not work.
	ErrConfig = errors.New("audit: config")
)
