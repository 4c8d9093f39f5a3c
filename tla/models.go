package tla

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rustyonions/micronode/model/explore"
)

// stateLimit ends an exploration that went astray.
const stateLimit = 200_000

// Model is a Go model under the constants of one TLC configuration.
type Model struct {
	Config    string // name of the configuration
	Constants map[string]string
	explore   func() (Explored, error)
}

// Explored is what the exploration of a model gives.
type Explored struct {
	Graph      *Graph
	Depth      int // the longest of the shortest ways to a state, in steps
	Actions    []Action
	Properties map[string][]string // name -> rules
}

// Action is a row of the table that leads from an action to the operation and the rules.
type Action struct {
	Name    string
	Example string // the first operation, in the order of the model, that has this outcome
	Rules   []string
	Edges   int // in the canonical graph
}

// Explore finds the graph of the model, and fails when a property does not hold.
func (m Model) Explore() (Explored, error) { return m.explore() }

func model[S any, O interface {
	comparable
	fmt.Stringer
}](config string, constants map[string]string, m explore.Machine[S, O]) Model {
	return Model{config, constants, func() (Explored, error) {
		walked, err := explore.Explore(m, stateLimit)
		if err != nil {
			return Explored{}, err
		}
		g, err := FromModel(walked)
		if err != nil {
			return Explored{}, fmt.Errorf("model %s: %w", config, err)
		}
		x := Explored{Graph: g, Depth: slices.Max(walked.Depth), Properties: map[string][]string{}}
		edges, at := g.Actions(), map[string]int{}
		for _, e := range walked.Edges {
			i, known := at[e.Action]
			if !known {
				i = len(x.Actions)
				at[e.Action] = i
				x.Actions = append(x.Actions, Action{Name: e.Action, Example: e.Op.String(), Edges: edges[e.Action]})
			}
			for _, r := range e.Rules {
				if !slices.Contains(x.Actions[i].Rules, r) {
					x.Actions[i].Rules = append(x.Actions[i].Rules, r)
				}
			}
		}
		for i := range x.Actions {
			slices.Sort(x.Actions[i].Rules)
		}
		slices.SortFunc(x.Actions, func(a, b Action) int { return strings.Compare(a.Name, b.Name) })
		for _, p := range m.Always {
			x.Properties[p.Name] = p.Rules
		}
		for _, p := range m.Steps {
			x.Properties[p.Name] = p.Rules
		}
		for _, p := range m.LeadsTo {
			x.Properties[p.Name] = p.Rules
		}
		return x, nil
	}}
}

// Find is the model of a configuration; ok is false where only TLC explores it.
func Find(config string) (m Model, ok bool) {
	for _, m := range Models() {
		if m.Config == config {
			return m, true
		}
	}
	return Model{}, false
}

// SameConstants says how the constants of a configuration differ from those of the model; empty when they do not.
func (m Model) SameConstants(c Config) string {
	if maps.Equal(m.Constants, c.Constants) {
		return ""
	}
	return fmt.Sprintf("%s.cfg has %v, the model has %v", c.Name, c.Constants, m.Constants)
}
