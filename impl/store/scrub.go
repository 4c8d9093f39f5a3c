package store

import (
	"context"

	"github.com/rustyonions/micronode/impl/store/blake"
	"github.com/rustyonions/micronode/spec"
)

// ScrubReport says what one pass of Scrub did.
type ScrubReport struct {
	Objects, Bytes int64 // checked against their digest
	Failures       int64 // put into quarantine by this pass
}

// Scrub checks every stored object once against its address and quarantines those that fail (CAS-INT-007). Objects that
// come or go while it runs may or may not be checked.
//
// Before each object it calls pace, if there is one, with the object's size in bytes; pace may wait, and no lock and no
// object is held meanwhile. An object under check keeps its memory when it is deleted only until the end of the chunk
// being hashed. Scrub ends early with the error of ctx or of pace; once the store is closed it ends with the reason
// draining.
func (s *Store) Scrub(ctx context.Context, pace func(bytes int64) error) (ScrubReport, error) {
	var report ScrubReport
	var list []spec.Address
	sum := s.hashers.Get().(*blake.Hasher)
	defer func() {
		sum.Reset()
		s.hashers.Put(sum)
	}()
	for i := range s.index {
		sh := &s.index[i]
		list = list[:0]
		sh.mu.RLock()
		for a := range sh.objects {
			list = append(list, a)
		}
		sh.mu.RUnlock()
		for _, a := range list {
			if err := ctx.Err(); err != nil {
				return report, err
			}
			size, err := s.Stat(a)
			if err != nil {
				continue // deleted meanwhile, or known to be bad
			}
			if pace != nil {
				if err := pace(size); err != nil {
					return report, err
				}
			}
			s.check(a, sum, &report)
		}
	}
	if s.closed.Load() {
		return report, errDraining
	}
	return report, nil
}

// check compares one object with its address, unless it is deleted meanwhile.
func (s *Store) check(a spec.Address, sum *blake.Hasher, report *ScrubReport) {
	h, err := s.Get(a)
	if err != nil {
		return
	}
	defer h.Release()
	sum.Reset()
	for i, c := range h.o.chunks {
		s.at("scrub.chunk")
		if h.o.gone.Load() {
			return
		}
		sum.Write(s.arena.slot(c.at, h.o.chunkLen(i)))
	}
	report.Objects++
	report.Bytes += h.Size()
	if sum.Sum() != a {
		report.Failures++
		s.quarantine(a, h.o)
	}
}
