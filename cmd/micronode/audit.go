package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/rustyonions/micronode/impl/audit"
)

// auditCmd is "micronode audit". Verify works without a node; the others ask one, over HTTP.
type auditCmd struct {
	Export     auditExportCmd     `cmd:"" help:"Write all records that the node holds, with their proof, to a file."`
	Verify     auditVerifyCmd     `cmd:"" help:"Check an export, offline."`
	Checkpoint auditCheckpointCmd `cmd:"" help:"Print the signed checkpoint of the audit log."`
	Prove      auditProveCmd      `cmd:"" help:"Prove that a record is in the log, or that an earlier checkpoint goes before it."`
}

// identityFlag says whose signatures count.
type identityFlag struct {
	Identity string `help:"Id of the node that has to have signed, 32 hex digits, as micronode run printed it. Without it the keys are taken as they come, and a note says so." placeholder:"ID"`
}

type auditExportCmd struct {
	nodeFlags
	identityFlag
	Output      string `short:"o" help:"File to write; without it the export goes to stdout." placeholder:"FILE"`
	Acknowledge bool   `help:"Check the file that was written, and tell the node that it may drop these records (with -o, for a node with audit_hold)."`
}

// exportLine is the line of --json about an export.
type exportLine struct {
	Path         string  `json:"path,omitzero"`
	Bytes        int64   `json:"bytes"`
	Acknowledged *uint64 `json:"acknowledged,omitzero"` // size
}

// Run writes an export. A file appears under its name only when it is complete.
func (c *auditExportCmd) Run(a *app) error {
	toStdout := c.Output == "" || c.Output == "-"
	if c.Acknowledge && toStdout {
		return usagef("--acknowledge goes with -o: what is dropped has to be on disk")
	}
	k := keyring{want: c.Identity}
	if err := k.check(); err != nil {
		return err
	}
	s, err := c.open(a)
	if err != nil {
		return err
	}
	out := &output{w: a.stdout}
	if !toStdout {
		if out, err = createOutput(c.Output); err != nil {
			return s.close(err)
		}
	}
	bar := newProgress(s.con, "export", !toStdout || !isTerminal(a.stdout))
	n, err := s.c.AuditExport(s.ctx, countingWriter{out, bar})
	if err == nil && c.Acknowledge {
		err = flush(out)
	}
	err = out.finish(err)
	line := exportLine{Path: printable(c.Output), Bytes: n}
	if s.judge("export", err) && c.Acknowledge {
		line.Acknowledged, err = c.acknowledge(s)
		if err != nil {
			return s.close(err)
		}
	}
	if s.last == nil && !toStdout {
		s.con.result(fmt.Sprintf("%s  %s", printable(c.Output), bytesText(n)), &line)
	}
	return s.close(s.verdict())
}

// flush makes a file last before the node forgets what is in it.
func flush(out *output) error {
	if b, ok := out.w.(interface{ Flush() error }); ok {
		if err := b.Flush(); err != nil {
			return err
		}
	}
	return out.f.Sync()
}

// acknowledge reads the file again: only what can be verified is worth forgetting for (CAP-AUD-010).
func (c *auditExportCmd) acknowledge(s *session) (*uint64, error) {
	f, err := os.Open(c.Output)
	if err != nil {
		return nil, plainPath(c.Output, err)
	}
	defer f.Close()
	k := keyring{want: c.Identity}
	report, err := audit.Verify(f, audit.Trust{Identify: k.identify})
	if err != nil {
		return nil, plainPath(c.Output, err)
	}
	if !report.OK() {
		s.con.result("", newVerifyLine(c.Output, &report, &k))
		return nil, tampered("%s: what the node exported does not fit: %s", printable(c.Output), describeFinding(report.Finding, &k))
	}
	size := report.Header.Size
	return &size, s.c.AuditAcknowledge(s.ctx, int64(size))
}

// tampered is a check that failed.
func tampered(format string, args ...any) error {
	return &exitError{code: exitTamper, err: fmt.Errorf(format, args...)}
}

type auditVerifyCmd struct {
	identityFlag
	Checkpoint []string `help:"File with a checkpoint of the same log, seen earlier or elsewhere; may be repeated." placeholder:"FILE"`
	JSON       bool     `name:"json" help:"Print one JSON line."`
	File       string   `arg:"" name:"FILE" help:"The export; - is stdin."`
}

// verifyLine is the line of --json about an export.
type verifyLine struct {
	OK       bool         `json:"ok"`
	Path     string       `json:"path"`
	Origin   string       `json:"origin,omitzero"`
	Identity string       `json:"identity,omitzero"`
	Trusted  bool         `json:"trusted"` // the identity is the one that was asked for
	First    uint64       `json:"first"`
	Size     uint64       `json:"size"`
	Records  uint64       `json:"records"`
	Root     string       `json:"root,omitzero"`
	Finding  *findingLine `json:"finding,omitzero"`
}

// findingLine is what does not fit. Index is that of the first record that is not proven.
type findingLine struct {
	Kind   audit.Kind `json:"kind"`
	Index  uint64     `json:"index"`
	Line   int        `json:"line"`
	Rule   string     `json:"rule"`
	Detail string     `json:"detail,omitzero"`
}

func newVerifyLine(path string, r *audit.Report, k *keyring) *verifyLine {
	l := &verifyLine{OK: r.OK(), Path: printable(path), Origin: printable(r.Header.Origin), Identity: k.id, Trusted: k.want != "" && k.id != "",
		First: r.Header.First, Size: r.Header.Size, Records: r.Records}
	if f := r.Finding; f != nil {
		l.Finding = &findingLine{f.Kind, f.Index, f.Line, f.Rule, k.problem}
	} else {
		l.Root = r.Root.String()
	}
	return l
}

// describeFinding says what does not fit, for people.
func describeFinding(f *audit.Finding, k *keyring) string {
	text := fmt.Sprintf("record %d is the first that nothing vouches for: %s, at line %d (%s)", f.Index, f.Kind, f.Line, f.Rule)
	switch {
	case k.problem != "":
		text += ": " + k.problem
	case f.Kind == audit.KindUnconnected:
		text += ": the checkpoint is from before the first record here; what lies between can be proved by the node (micronode audit prove --since)"
	}
	return text
}

// Run checks an export (CAP-AUD-007, CAP-AUD-011, CAP-AUD-012).
func (c *auditVerifyCmd) Run(a *app) error {
	k := keyring{want: c.Identity}
	trust := audit.Trust{Identify: k.identify}
	for _, name := range c.Checkpoint {
		text, err := os.ReadFile(name)
		if err != nil {
			return usagef("--checkpoint: %w", plainPath(name, err))
		}
		trust.Earlier = append(trust.Earlier, audit.Earlier{Note: text})
	}
	if err := k.check(); err != nil {
		return err
	}
	f, err := a.fileOrStdin(c.File)
	if err != nil {
		return plainPath(c.File, err)
	}
	defer f.Close()
	con := newConsole(a, c.JSON)
	bar := newProgress(con, "verify", c.File != "-" || !isTerminal(a.stdin))
	if info, err := os.Stat(c.File); err == nil && info.Mode().IsRegular() {
		bar.totals(1, info.Size())
	}
	report, err := audit.Verify(&patientReader{a.ctx, f, bar}, trust)
	if err != nil {
		return errors.Join(plainPath(c.File, err), con.close())
	}
	line := newVerifyLine(c.File, &report, &k)
	if !report.OK() {
		con.result(printable(c.File)+" does not fit: "+describeFinding(report.Finding, &k), line)
		if err := con.close(); err != nil {
			return err
		}
		if report.Finding.Kind == audit.KindUnconnected { // nothing speaks against it, and nothing for it
			return &exitError{code: exitFailed, quiet: true}
		}
		return &exitError{code: exitTamper, quiet: true}
	}
	con.result(fmt.Sprintf("%s fits: %s from %d on, tree of %d, root %s, signed by %s", printable(c.File), plural(int64(report.Records), "record"),
		report.Header.First, report.Header.Size, report.Root, k.id), line)
	k.remark(con)
	return con.close()
}

// patientReader ends with the context and counts on the way.
type patientReader struct {
	ctx context.Context
	r   io.Reader
	bar *progress
}

// Read implements io.Reader.
func (p *patientReader) Read(b []byte) (int, error) {
	if err := p.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := p.r.Read(b)
	p.bar.add(int64(n))
	return n, err
}

type auditCheckpointCmd struct {
	nodeFlags
	identityFlag
	Output string `short:"o" help:"File to write; without it the checkpoint goes to stdout." placeholder:"FILE"`
}

// Run prints the checkpoint, when it is signed by the keys that the node has.
func (c *auditCheckpointCmd) Run(a *app) error {
	s, err := c.open(a)
	if err != nil {
		return err
	}
	k := keyring{want: c.Identity}
	text, _, err := k.checkpoint(s)
	if !s.judge("checkpoint", err) {
		return s.close(s.verdict())
	}
	k.remark(s.con)
	if c.Output == "" || c.Output == "-" {
		_, err = s.con.Write(text)
		return s.close(err)
	}
	out, err := createOutput(c.Output)
	if err != nil {
		return s.close(err)
	}
	_, err = out.Write(text)
	return s.close(out.finish(err))
}

type auditProveCmd struct {
	nodeFlags
	identityFlag
	Since string  `help:"File with an earlier checkpoint: prove that the log only grew since." placeholder:"FILE"`
	Index *uint64 `arg:"" optional:"" name:"INDEX" help:"Index of a record: prove that it is in the log."`
}

// proofLine is the line of --json about a proof.
type proofLine struct {
	OK       bool    `json:"ok"`
	Identity string  `json:"identity"`
	Trusted  bool    `json:"trusted"`
	Index    *uint64 `json:"index,omitzero"`
	Leaf     string  `json:"leaf,omitzero"`
	Old      *uint64 `json:"old,omitzero"`
	Size     uint64  `json:"size"`
	Root     string  `json:"root"`
}

// Run asks for a proof and checks it against the signed checkpoint (CAP-AUD-006, CAP-AUD-012).
func (c *auditProveCmd) Run(a *app) error {
	if (c.Index == nil) == (c.Since == "") {
		return usagef("prove takes either the INDEX of a record or --since FILE")
	}
	var old []byte
	if c.Since != "" {
		var err error
		if old, err = os.ReadFile(c.Since); err != nil {
			return usagef("--since: %w", plainPath(c.Since, err))
		}
	}
	s, err := c.open(a)
	if err != nil {
		return err
	}
	k := keyring{want: c.Identity}
	line, text, err := c.prove(s, &k, old)
	if s.judge("prove", err) {
		s.con.result(text, line)
		k.remark(s.con)
	}
	return s.close(s.verdict())
}

func (c *auditProveCmd) prove(s *session, k *keyring, old []byte) (line *proofLine, text string, err error) {
	signed, head, err := k.checkpoint(s)
	if err != nil {
		return nil, "", err
	}
	line = &proofLine{OK: true, Identity: k.id, Trusted: k.want != "", Size: head.Size, Root: head.Root.String()}
	if old == nil {
		line.Index = c.Index
		p, err := s.c.AuditInclusion(s.ctx, int64(*c.Index), int64(head.Size))
		if err != nil {
			return nil, "", err
		}
		leaf, ok := hashes([][]byte{p.Leaf})
		path, okPath := hashes(p.Proof)
		if !ok || !okPath || tlog.CheckRecord(path, int64(head.Size), head.Root, int64(*c.Index), leaf[0]) != nil {
			return nil, "", tampered("the proof does not lead from the record to the signed checkpoint")
		}
		line.Leaf = leaf[0].String()
		return line, fmt.Sprintf("record %d is in the log of %s: leaf %s, tree of %d, root %s", *c.Index, k.id, leaf[0], head.Size, head.Root), nil
	}
	before, err := audit.OpenCheckpoint(old, k.verifiers)
	if err != nil {
		return nil, "", tampered("%s: %v", printable(c.Since), err)
	}
	line.Old = &before.Size
	var path []tlog.Hash
	if before.Size > 0 && before.Size < head.Size {
		p, err := s.c.AuditConsistency(s.ctx, int64(before.Size), int64(head.Size))
		if err != nil {
			return nil, "", err
		}
		var ok bool
		if path, ok = hashes(p.Proof); !ok {
			return nil, "", tampered("the proof has hashes of another length")
		}
	}
	if err := audit.VerifyConsistency(old, signed, path, k.verifiers); err != nil {
		return nil, "", tampered("the checkpoint of %d and the one of %d: %v", before.Size, head.Size, err)
	}
	return line, fmt.Sprintf("the log of %s only grew: from %d to %d, root %s", k.id, before.Size, head.Size, head.Root), nil
}

// hashes reads what a proof consists of.
func hashes(list [][]byte) ([]tlog.Hash, bool) {
	out := make([]tlog.Hash, len(list))
	for i, b := range list {
		if copy(out[i][:], b) != len(b) || len(b) != len(out[i]) {
			return nil, false
		}
	}
	return out, true
}
