package tla

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rustyonions/micronode/model/explore"
)

func TestCanonical(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"one variable has no sign in front", `x = 1`, `/\ x = 1`},
		{"order of variables", "/\\ b = TRUE\n/\\ a = -1", "/\\ a = -1\n/\\ b = TRUE"},
		{"order in sets, and TLC's line breaks", "/\\ s = { [key |-> \"b\", v |-> 1],\n  [v |-> 0, key |-> \"a\"] }",
			`/\ s = {[key |-> "a", v |-> 0], [key |-> "b", v |-> 1]}`},
		{"sequences keep their order", `/\ q = <<"b", <<>>, {}, "a">>`, `/\ q = <<"b", <<>>, {}, "a">>`},
		{"punctuation in strings", `/\ q = "a, b = <<"`, `/\ q = "a, b = <<"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Canonical(c.in)
			if err != nil || got != c.want {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
			again, err := Canonical(got)
			if err != nil || again != got {
				t.Errorf("not stable: %q, %v", again, err)
			}
		})
	}
	for _, bad := range []string{`x 1`, `/\ = 1`, `/\ x = `, `/\ x = {1 2}`, `/\ x = "open`, `/\ x = [a = 1]`, `/\ x = (1 :> 2)`} {
		if got, err := Canonical(bad); err == nil {
			t.Errorf("%q was read as %q", bad, got)
		}
	}
}

// The package explore and TLC's printer have to meet in one notation.
func TestNotation(t *testing.T) {
	text := explore.Vars(
		"streams", explore.Seq(explore.Rec("sent", explore.Int(2), "open", explore.Bool(true)), explore.Rec("open", explore.Bool(false), "sent", explore.Int(0))),
		"held", explore.Set(explore.Str("b"), explore.Str("a"), explore.Str("b")),
		"closed", explore.Bool(false))
	got, err := Canonical(text)
	if err != nil || got != text {
		t.Errorf("explore writes\n%s\nand it reads as\n%s (%v)", text, got, err)
	}
}

// A dump as TLC writes it: fingerprints, colours, an edge found twice, a stuttering step of the liveness check.
const dump = `strict digraph DiskGraph {
edge [colorscheme="paired12"]
nodesep=0.35;
subgraph cluster_graph {
color="white";
-43 [label="/\\ n = 0\n/\\ s = {\"b\", \"a\"}",style = filled]
-43 -> 17 [label="Inc",color="black",fontcolor="black"];
17 [label="/\\ n = 1\n/\\ s = {\"a\", \"b\"}"];
-43 -> -43 [style="dashed"];
17 -> 17 [label="Inc_full",color="black",fontcolor="black"];
17 -> -43 [label="Reset",color="black",fontcolor="black"];
17 -> -43 [label="Reset",color="black",fontcolor="black"];
{rank = same; -43;}
}
}`

func TestFromDump(t *testing.T) {
	g, err := FromDump(strings.NewReader(dump))
	if err != nil {
		t.Fatal(err)
	}
	want := "2 states, first 0\n/\\ n = 0 /\\ s = {\"a\", \"b\"}\n/\\ n = 1 /\\ s = {\"a\", \"b\"}\n3 edges\n0 Inc 1\n1 Inc_full 1\n1 Reset 0\n"
	if got := string(g.Text()); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	back, err := FromText(g.Text())
	if err != nil || back.Digest() != g.Digest() {
		t.Errorf("the text does not read back: %v", err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "graphs"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := SaveGraph(dir, "X", g); err != nil {
		t.Fatal(err)
	}
	if back, err = LoadGraph(dir, "X"); err != nil || Diff("a", g, "b", back) != "" {
		t.Errorf("the file does not read back: %v", err)
	}
	for name, bad := range map[string]string{
		"nothing":        "strict digraph DiskGraph {\n}",
		"no edges":       "strict digraph DiskGraph {\n1 [label=\"x = 0\",style = filled]\n}",
		"no first state": strings.Replace(dump, "style = filled", "", 1),
		"two first":      strings.Replace(dump, `{\"a\", \"b\"}"]`, `{\"a\", \"b\"}",style = filled]`, 1),
		"a lost state":   strings.Replace(dump, "17 [label", "18 [label", 1),
		"not a value":    strings.Replace(dump, "n = 1", "n = (1 :> 1)", 1),
	} {
		if _, err := FromDump(strings.NewReader(bad)); err == nil {
			t.Errorf("%s: read without an error", name)
		}
	}
}

func TestDiff(t *testing.T) {
	a, err := FromDump(strings.NewReader(dump))
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"an edge more":   {`17 -> 17 [label="Inc_full"`, `17 -> -43 [label="Inc_full"`},
		"another label":  {`[label="Reset",color="black",fontcolor="black"];` + "\n" + `17 -> -43 [label="Reset"`, `[label="Zero",color="black",fontcolor="black"];` + "\n" + `17 -> -43 [label="Zero"`},
		"another state":  {`n = 1`, `n = 2`},
		"another first":  {`style = filled`, `x`},
		"a lost element": {`17 [label="/\\ n = 1\n/\\ s = {\"a\", \"b\"}"]`, `17 [label="/\\ n = 1\n/\\ s = {\"a\"}"]`},
	} {
		text := strings.Replace(dump, change[0], change[1], 1)
		if name == "another first" {
			text = strings.Replace(text, `{\"a\", \"b\"}"]`, `{\"a\", \"b\"}",style = filled]`, 1)
		}
		b, err := FromDump(strings.NewReader(text))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if Diff("a", a, "b", b) == "" || a.Digest() == b.Digest() {
			t.Errorf("%s goes unnoticed", name)
		}
	}
	if d := Diff("a", a, "b", a); d != "" {
		t.Errorf("a graph differs from itself: %s", d)
	}
}
