package tour

import (
	"testing"

	"github.com/rustyonions/micronode/model/readiness"
)

func TestReadinessTour(t *testing.T) {
	binary := build(t)
	for _, c := range []struct {
		name string
		p    readiness.Params
	}{
		{"Readiness", readiness.Small()},
		{"Readiness-admission", readiness.SmallAdmission()},
	} {
		t.Run(c.name, func(t *testing.T) {
			cov, err := Readiness(binary, c.name, c.p, Options{Time: *all, Progress: t.Logf})
			if err != nil {
				t.Error(err)
			}
			finish(t, cov)
		})
	}
}
