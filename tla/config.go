package tla

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Config is a TLC configuration: Cas.cfg, or Cas-persistent.cfg for a second one of the module Cas.
type Config struct {
	Name, Module string
	Constants    map[string]string
	Properties   []Property
	text         string
}

// Property is an invariant or a temporal property that TLC checks under a configuration.
type Property struct{ Kind, Name string } // Kind is INVARIANT or PROPERTY

// Twin is a deliberately broken specification, and the property that it must violate.
type Twin struct{ Module, Spec, Violates string }

// Configs reads all configurations in dir, sorted by name.
func Configs(dir string) ([]Config, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.cfg"))
	if err != nil {
		return nil, err
	}
	var all []Config
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		c := Config{Name: strings.TrimSuffix(filepath.Base(f), ".cfg"), Constants: map[string]string{}, text: string(text)}
		c.Module, _, _ = strings.Cut(c.Name, "-")
		if err := c.parse(); err != nil {
			return nil, fmt.Errorf("%s: %w", f, err)
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b Config) int { return strings.Compare(a.Name, b.Name) })
	if len(all) == 0 {
		return nil, fmt.Errorf("%s has no TLC configuration", dir)
	}
	return all, nil
}

func (c *Config) parse() error {
	for n, line := range strings.Split(c.text, "\n") {
		if i := strings.Index(line, "\\*"); i >= 0 {
			line = line[:i]
		}
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0, fields[0] == "CONSTANTS" && len(fields) == 1, fields[0] == "SPECIFICATION", fields[0] == "CHECK_DEADLOCK":
		case len(fields) >= 3 && fields[1] == "=":
			c.Constants[fields[0]] = strings.Join(fields[2:], " ")
		case len(fields) == 2 && (fields[0] == "INVARIANT" || fields[0] == "PROPERTY"):
			c.Properties = append(c.Properties, Property{fields[0], fields[1]})
		default:
			return fmt.Errorf("line %d: %q is neither a constant nor one property", n+1, line)
		}
	}
	if len(c.Properties) == 0 {
		return fmt.Errorf("checks nothing")
	}
	return nil
}

var twinLine = regexp.MustCompile(`(?m)^\\\* twin: (\w+) violates (\w+)\s*$`)

// Twins reads the twins of a module from <module>Twins.tla.
func Twins(dir, module string) ([]Twin, error) {
	text, err := os.ReadFile(filepath.Join(dir, module+"Twins.tla"))
	if err != nil {
		return nil, err
	}
	var twins []Twin
	for _, m := range twinLine.FindAllStringSubmatch(string(text), -1) {
		twins = append(twins, Twin{module + "Twins", m[1], m[2]})
	}
	return twins, nil
}
