package conformance

import (
	"flag"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/rustyonions/micronode/spec"
	"github.com/rustyonions/micronode/spec/vectors"
)

var update = flag.Bool("update", false, "renew testdata/cases.txt")

const goldenFile = "testdata/cases.txt"

// Every case names rules that exist, and is named in a way that a report, a flag and a file name can carry.
func TestCases(t *testing.T) {
	law, err := spec.Load()
	if err != nil {
		t.Fatal(err)
	}
	form := regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	seen := map[string]bool{}
	for _, c := range Cases() {
		if !form.MatchString(c.ID) || seen[c.ID] {
			t.Errorf("the id %q is used twice or not of the form %s", c.ID, form)
		}
		seen[c.ID] = true
		if c.Run == nil || !strings.HasSuffix(c.Description, ".") {
			t.Errorf("%s has no Run or no sentence for a description", c.ID)
		}
		if !slices.Contains([]Profile{ProfileFraming, ProfileObjects, ProfileSecurity, ProfileMicronode}, c.Profile) {
			t.Errorf("%s has profile %q", c.ID, c.Profile)
		}
		if len(c.Rules) == 0 {
			t.Errorf("%s names no rule", c.ID)
		}
		most := spec.May // the most binding of its rules is what a case can demand
		for _, id := range c.Rules {
			rule, ok := law.Rule(id)
			if !ok {
				t.Errorf("%s names %s, which is no rule", c.ID, id)
				continue
			}
			if rule.Level == spec.Must || most == spec.May {
				most = rule.Level
			}
		}
		if c.Level != most {
			t.Errorf("%s demands %s where the most binding of its rules is a %s", c.ID, c.Level, most)
		}
	}
}

// A case that vanishes is noticed: the ids are written down.
func TestNoCaseVanishes(t *testing.T) {
	var ids []string
	for _, c := range Cases() {
		ids = append(ids, c.ID)
	}
	slices.Sort(ids)
	text := strings.Join(ids, "\n") + "\n"
	if *update {
		if err := os.WriteFile(goldenFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	golden, err := os.ReadFile(goldenFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(golden), text); diff != "" {
		t.Errorf("%s (-written down +there); renew it with: go test ./conformance -run TestNoCaseVanishes -args -update\n%s", goldenFile, diff)
	}
}

// The tables of the vector cases are those of the vectors: no rule of a vector is left out, and none is empty.
func TestVectorTables(t *testing.T) {
	frames, err := vectors.Frames()
	if err != nil {
		t.Fatal(err)
	}
	messages, err := vectors.Messages()
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := vectors.Sessions()
	if err != nil {
		t.Fatal(err)
	}
	gotFrames, gotMessages, gotSessions, gotSlow := vectorTables()

	set := map[string]bool{}
	for _, v := range frames {
		if v.Verdict == vectors.VerdictReject {
			set[v.Rule] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(set)), gotFrames); diff != "" {
		t.Errorf("frames (-vectors +table):\n%s", diff)
	}
	kinds := map[vectors.Kind]map[string]bool{}
	for _, v := range messages {
		if v.Verdict == vectors.VerdictReject {
			if kinds[v.Kind] == nil {
				kinds[v.Kind] = map[string]bool{}
			}
			kinds[v.Kind][v.Rule] = true
		}
	}
	want := map[vectors.Kind][]string{}
	for kind, rules := range kinds {
		want[kind] = slices.Sorted(maps.Keys(rules))
	}
	if diff := cmp.Diff(want, gotMessages); diff != "" {
		t.Errorf("messages (-vectors +table):\n%s", diff)
	}
	clear(set)
	slow := map[string]string{}
	for _, v := range sessions {
		if v.Slow {
			slow[v.ID] = v.Rule
		} else {
			set[v.Rule] = true
		}
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(set)), gotSessions); diff != "" {
		t.Errorf("sessions (-vectors +table):\n%s", diff)
	}
	if diff := cmp.Diff(slow, gotSlow); diff != "" {
		t.Errorf("slow scripts (-vectors +table):\n%s", diff)
	}
}

func TestAtLeast(t *testing.T) {
	all := []Case{{ID: "a", Level: spec.Must}, {ID: "b", Level: spec.Should}, {ID: "c", Level: spec.May}}
	for level, want := range map[spec.Level]int{spec.Must: 1, spec.Should: 2, spec.May: 3} {
		if got := len(AtLeast(all, level)); got != want {
			t.Errorf("AtLeast %s keeps %d cases, want %d", level, got, want)
		}
	}
	if len(all) != 3 {
		t.Error("the argument was changed")
	}
}
