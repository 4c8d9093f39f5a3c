package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

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
	nodeFlags
	identityFlag
	Verify bool `help:"Ask the node of --node instead, and check the statement that it signed about itself."`
}

// Run prints the version of this program, or verifies that of a node.
func (v *versionCmd) Run(a *app) error {
	if v.Verify {
		return v.node(a)
	}
	if v.Identity != "" {
		return usagef("--identity goes with --verify")
	}
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

// node checks the statement of a node (CAP-KEY-009).
func (v *versionCmd) node(a *app) error {
	k := keyring{want: v.Identity}
	if err := k.check(); err != nil {
		return err
	}
	s, err := v.open(a)
	if err != nil {
		return err
	}
	nv, err := fetchVersion(s)
	if err != nil {
		s.judge("version", err)
		return s.close(s.verdict())
	}
	st, err := nv.verify(v.Identity)
	if s.judge("version", err) {
		k.id = st.Identity
		s.con.result(fmt.Sprintf("micronode %s, identity %s, amnesia %v, pq_mode %s, features %s; signed %s", st.Version, st.Identity,
			st.Amnesia, st.PQMode, strings.Join(st.Features, ","), clock(st.Made)),
			&versionVerifyLine{true, v.Identity != "", st.Identity, st.Version, st.Amnesia, st.PQMode, st.Features, st.Limits, st.Made})
		k.remark(s.con)
	}
	return s.close(s.verdict())
}
