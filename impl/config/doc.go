// Package config turns a TOML file, MICRO_* environment variables and command line flags into one checked
// Config (RDY-CFG-001: flags win over the environment, the environment over the file, the file over the
// defaults).
//
// It owns the names, the forms and the bounds of every setting, and says for each mistake where it stands and
// which rule it breaks. It reads that one file and nothing else: no other file, no environment of its own, no
// network. It may never start anything, and it may never fill a mistake with a default (RDY-CFG-004).
package config
