package tour

import (
	"testing"

	"github.com/rustyonions/micronode/model/cas"
)

func TestCasTour(t *testing.T) {
	binary := build(t)
	for _, c := range []struct {
		name string
		p    cas.Params
	}{
		{"Cas", cas.Small()},
		{"Cas-rot", cas.SmallRot()},
	} {
		t.Run(c.name, func(t *testing.T) {
			cov, err := Cas(binary, c.name, c.p, Options{Time: *all, Progress: t.Logf})
			if err != nil {
				t.Fatal(err)
			}
			finish(t, cov)
		})
	}
}

// There is nothing to walk yet, and so no evidence.
func TestCasPersistentTourIsPlanned(t *testing.T) {
	c, err := CasPersistent(build(t), "Cas-persistent", cas.SmallPersistent())
	if err != nil {
		t.Fatal(err)
	}
	planned(t, c)
}
