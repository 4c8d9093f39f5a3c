package tour

import (
	"testing"

	"github.com/rustyonions/micronode/model/amnesia"
)

func TestAmnesiaTour(t *testing.T) {
	binary := build(t)
	for _, c := range []struct {
		name string
		p    amnesia.Params
	}{
		{"Amnesia", amnesia.Small()},
		{"Amnesia-keys", amnesia.SmallKeys()},
	} {
		t.Run(c.name, func(t *testing.T) {
			cov, err := Amnesia(binary, c.name, c.p, Options{Time: *all, Progress: t.Logf})
			if err != nil {
				t.Error(err)
			}
			if cov != nil {
				finish(t, cov)
			}
		})
	}
}
