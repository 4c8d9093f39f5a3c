package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/spec"
)

// build says what this binary is.
type build struct {
	Name     string `json:"name"`
	Version  string `json:"version"`
	Commit   string `json:"commit,omitzero"`
	Modified bool   `json:"modified,omitzero"` // built from a tree with changes
	OAP      int    `json:"oap_version"`
	Go       string `json:"go"`
	OS       string `json:"os"`
	Arch     string `json:"arch"`
}

// version reads what the Go toolchain stamped into the binary.
func version() build {
	b := build{Name: "micronode", Version: "dev", OAP: spec.Version, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Commit = s.Value
		case "vcs.modified":
			b.Modified = s.Value == "true"
		}
	}
	return b
}

type versionCmd struct {
	JSON bool `name:"json" help:"Print one JSON line."`
}

// Run prints the version.
func (v *versionCmd) Run(a *app) error {
	b := version()
	if v.JSON {
		line, err := json.Marshal(&b)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.stdout, "%s\n", line)
		return err
	}
	commit := ""
	if b.Commit != "" {
		commit = " commit " + b.Commit[:min(12, len(b.Commit))]
		if b.Modified {
			commit += " with changes"
		}
	}
	_, err := fmt.Fprintf(a.stdout, "micronode %s%s oap/%d %s %s/%s\n", b.Version, commit, b.OAP, b.Go, b.OS, b.Arch)
	return err
}
