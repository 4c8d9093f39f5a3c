package tla

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/rustyonions/micronode/model/explore"
)

// Edge is a labelled step between two states of a Graph.
type Edge struct {
	From   int
	Action string
	To     int
}

// Graph is a labelled state graph in canonical form: states in the order of their text, edges in the order of their
// parts, each once. Two machines are the same exactly when their graphs have the same Text.
type Graph struct {
	States []string
	Init   int
	Edges  []Edge
}

// canonical sorts states and edges. Edges name states by their position in states.
func canonical(states []string, init int, edges []Edge) (*Graph, error) {
	if len(states) == 0 || len(edges) == 0 {
		return nil, errors.New("an empty graph: nothing was explored")
	}
	g := &Graph{States: slices.Sorted(slices.Values(states))}
	at := make(map[string]int, len(states))
	for i, s := range g.States {
		if i > 0 && s == g.States[i-1] {
			return nil, fmt.Errorf("two states with one text:\n%s", s)
		}
		at[s] = i
	}
	g.Init = at[states[init]]
	for _, e := range edges {
		g.Edges = append(g.Edges, Edge{at[states[e.From]], e.Action, at[states[e.To]]})
	}
	slices.SortFunc(g.Edges, compare)
	g.Edges = slices.Compact(g.Edges)
	return g, nil
}

func compare(a, b Edge) int {
	if a.From != b.From {
		return a.From - b.From
	}
	if a.Action != b.Action {
		return strings.Compare(a.Action, b.Action)
	}
	return a.To - b.To
}

// FromModel is the graph of an explored Go model.
func FromModel[S, O any](g *explore.Graph[S, O]) (*Graph, error) {
	edges := make([]Edge, 0, len(g.Edges))
	for _, e := range g.Edges {
		edges = append(edges, Edge{e.From, e.Action, e.To})
	}
	return canonical(g.Keys, 0, edges)
}

// FromDump reads what TLC writes with -dump dot,actionlabels. Edges without a label are the stuttering steps that TLC
// adds when it checks liveness, and are left out.
func FromDump(r io.Reader) (*Graph, error) {
	var states []string
	var edges []Edge
	at := map[string]int{} // TLC's fingerprints
	init := -1
	type named struct{ from, action, to string }
	var arrows []named
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		id, rest, ok := strings.Cut(lines.Text(), " ")
		if _, err := strconv.ParseInt(id, 10, 64); err != nil || !ok {
			continue
		}
		if after, isEdge := strings.CutPrefix(rest, "-> "); isEdge {
			to, rest, _ := strings.Cut(after, " ")
			if action, _, ok := label(rest); ok {
				arrows = append(arrows, named{id, action, to})
			}
			continue
		}
		text, style, ok := label(rest)
		if !ok {
			return nil, fmt.Errorf("a state without a label: %.80q", lines.Text())
		}
		if _, known := at[id]; known {
			continue
		}
		state, err := Canonical(text)
		if err != nil {
			return nil, fmt.Errorf("%w in the state %q", err, text)
		}
		if strings.Contains(style, "style = filled") {
			if init >= 0 {
				return nil, errors.New("more than one first state")
			}
			init = len(states)
		}
		at[id] = len(states)
		states = append(states, state)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	if init < 0 {
		return nil, errors.New("the dump has no first state")
	}
	for _, a := range arrows {
		from, ok1 := at[a.from]
		to, ok2 := at[a.to]
		if !ok1 || !ok2 {
			return nil, fmt.Errorf("an edge %s between states that the dump does not have", a.action)
		}
		edges = append(edges, Edge{from, a.action, to})
	}
	return canonical(states, init, edges)
}

// label takes the text of label="…" and what stands behind it.
func label(attributes string) (text, rest string, ok bool) {
	_, after, ok := strings.Cut(attributes, `[label="`)
	if !ok {
		return "", "", false
	}
	var b strings.Builder
	for i := 0; i < len(after); i++ {
		switch c := after[i]; {
		case c == '"':
			return b.String(), after[i+1:], true
		case c == '\\' && i+1 < len(after):
			i++
			if after[i] == 'n' {
				b.WriteByte('\n')
			} else {
				b.WriteByte(after[i])
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", "", false
}

// Text is the canonical form: what is committed and hashed.
func (g *Graph) Text() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d states, first %d\n", len(g.States), g.Init)
	for _, s := range g.States {
		b.WriteString(strings.ReplaceAll(s, "\n", " "))
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%d edges\n", len(g.Edges))
	for _, e := range g.Edges {
		fmt.Fprintf(&b, "%d %s %d\n", e.From, e.Action, e.To)
	}
	return b.Bytes()
}

// FromText reads Text back. The line breaks in states are gone, which changes no comparison between texts.
func FromText(text []byte) (*Graph, error) {
	lines := strings.Split(strings.TrimSuffix(string(text), "\n"), "\n")
	g := &Graph{}
	var states, edges int
	if _, err := fmt.Sscanf(lines[0], "%d states, first %d", &states, &g.Init); err != nil || states+1 >= len(lines) {
		return nil, fmt.Errorf("not a graph: %.80q", lines[0])
	}
	g.States = lines[1 : 1+states]
	if _, err := fmt.Sscanf(lines[1+states], "%d edges", &edges); err != nil || len(lines) != 2+states+edges {
		return nil, fmt.Errorf("not the edges of a graph: %.80q", lines[1+states])
	}
	for _, line := range lines[2+states:] {
		var e Edge
		if _, err := fmt.Sscanf(line, "%d %s %d", &e.From, &e.Action, &e.To); err != nil {
			return nil, fmt.Errorf("not an edge: %.80q", line)
		}
		g.Edges = append(g.Edges, e)
	}
	return g, nil
}

// Digest is the SHA-256 of Text in hexadecimal.
func (g *Graph) Digest() string {
	sum := sha256.Sum256(g.Text())
	return hex.EncodeToString(sum[:])
}

// Actions counts the edges of each action.
func (g *Graph) Actions() map[string]int {
	n := map[string]int{}
	for _, e := range g.Edges {
		n[e.Action]++
	}
	return n
}

// Diff says in words where two graphs differ: a few states and steps that only one of them has. It is empty when they
// are equal.
func Diff(nameA string, a *Graph, nameB string, b *Graph) string {
	var out strings.Builder
	step := func(g *Graph, e Edge) string {
		return oneLine(g.States[e.From]) + "\n    --" + e.Action + "-->\n  " + oneLine(g.States[e.To])
	}
	only := func(what, in, notIn string, x, y []string) {
		have := map[string]bool{}
		for _, s := range y {
			have[s] = true
		}
		x = slices.DeleteFunc(slices.Clone(x), func(s string) bool { return have[s] })
		for i, s := range x {
			if i == 3 {
				fmt.Fprintf(&out, "… and %d more\n", len(x)-i)
				break
			}
			fmt.Fprintf(&out, "%s of %s that %s does not have:\n  %s\n", what, in, notIn, s)
		}
	}
	parts := func(g *Graph) (first, states, steps []string) {
		for _, s := range g.States {
			states = append(states, oneLine(s))
		}
		for _, e := range g.Edges {
			steps = append(steps, step(g, e))
		}
		return []string{oneLine(g.States[g.Init])}, states, steps
	}
	firstA, statesA, stepsA := parts(a)
	firstB, statesB, stepsB := parts(b)
	only("the first state", nameA, nameB, firstA, firstB)
	only("a step", nameA, nameB, stepsA, stepsB)
	only("a step", nameB, nameA, stepsB, stepsA)
	only("a state", nameA, nameB, statesA, statesB)
	only("a state", nameB, nameA, statesB, statesA)
	return out.String()
}

func oneLine(state string) string { return strings.ReplaceAll(state, "\n", " ") }
