package main

import (
	"fmt"

	"github.com/rustyonions/micronode/impl/config"
)

type configCmd struct {
	Check configCheckCmd `cmd:"" help:"Read a configuration and say what is wrong with it."`
	Print configPrintCmd `cmd:"" help:"Print the configuration that would be in force, and where each setting comes from."`
}

type configSource struct {
	Config string `help:"TOML file with settings." placeholder:"FILE"`
}

func (s *configSource) load(a *app) (config.Config, error) {
	cfg, err := config.Load(s.Config, a.env, nil)
	if err != nil {
		return cfg, &exitError{code: exitUsage, err: err}
	}
	return cfg, nil
}

type configCheckCmd struct{ configSource }

// Run reads the configuration; the error is the answer.
func (c *configCheckCmd) Run(a *app) error {
	if _, err := c.load(a); err != nil {
		return err
	}
	_, err := fmt.Fprintln(a.stdout, "the configuration is valid")
	return err
}

type configPrintCmd struct{ configSource }

// Run prints the configuration as TOML (RDY-CFG-007).
func (c *configPrintCmd) Run(a *app) error {
	cfg, err := c.load(a)
	if err != nil {
		return err
	}
	_, err = a.stdout.Write(cfg.AppendTOML(nil))
	return err
}
