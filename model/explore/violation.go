package explore

import (
	"fmt"
	"strings"

	"github.com/rustyonions/micronode/spec"
)

// Step is one step of a counterexample, in words.
type Step struct {
	Op, Action string
	Rules      []string
	State      string // after the step
}

// Violation is a property that does not hold, and the shortest way to see it.
type Violation struct {
	Model, Property string
	Rules           []string // the rules that the property stands for
	Start           string   // the first state
	Way             []Step
	Stays           bool   // of a leads-to property: behind the way the machine can stay for ever without coming to To,
	Cycle           []Step // by going round these steps, or by doing nothing where there are none
}

func (g *Graph[S, O]) violation(property string, rules []string, way []int) *Violation {
	return &Violation{Model: g.Name, Property: property, Rules: rules, Start: g.Keys[0], Way: g.steps(way)}
}

func (g *Graph[S, O]) steps(edges []int) []Step {
	steps := make([]Step, 0, len(edges))
	for _, e := range edges {
		edge := g.Edges[e]
		steps = append(steps, Step{fmt.Sprint(edge.Op), edge.Action, edge.Rules, g.Keys[edge.To]})
	}
	return steps
}

// Error tells the story: the rule that is broken with its sentence, then each step with the rules that permit it.
func (v *Violation) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "model %s: %s does not hold\n", v.Model, v.Property)
	sentences(&b, "  ", v.Rules)
	fmt.Fprintf(&b, "at first\n%s\n", indent(v.Start))
	write := func(steps []Step) {
		for i, s := range steps {
			fmt.Fprintf(&b, "%d. %s (%s)\n", i+1, s.Op, s.Action)
			sentences(&b, "     ", s.Rules)
			fmt.Fprintf(&b, "%s\n", indent(s.State))
		}
	}
	write(v.Way)
	switch {
	case v.Stays && len(v.Cycle) > 0:
		b.WriteString("and from there for ever round\n")
		write(v.Cycle)
	case v.Stays:
		b.WriteString("and there it may stay for ever\n")
	}
	return b.String()
}

// sentences writes rules with what they say.
func sentences(b *strings.Builder, prefix string, ids []string) {
	law, err := spec.Load()
	for _, id := range ids {
		text := "(the law can not be read)"
		if err == nil {
			text = "(not in the law)"
			if r, ok := law.Rule(id); ok {
				text = r.Text
			}
		}
		fmt.Fprintf(b, "%s%s: %s\n", prefix, id, text)
	}
}

func indent(state string) string { return "     " + strings.ReplaceAll(state, "\n", "\n     ") }
