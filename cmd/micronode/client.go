package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"

	"github.com/rustyonions/micronode/impl/client"
	"github.com/rustyonions/micronode/spec"
)

// session is one command's use of a node.
type session struct {
	c    *client.Client
	con  *console
	ctx  context.Context
	stop context.CancelFunc // ends ctx: no more of this batch
	n    int                // requests at the same time

	done    int // things that are done
	skipped int // things that were not tried
	last    error
}

// open checks the flags and connects.
func (f *clientFlags) open(a *app) (*session, error) {
	if f.Parallel < 1 || f.Parallel > 256 {
		return nil, usagef("--parallel is %d, but takes 1 to 256", f.Parallel)
	}
	s, err := f.nodeFlags.open(a)
	if err == nil {
		s.n = f.Parallel
	}
	return s, err
}

// open checks the flags and connects.
func (f *nodeFlags) open(a *app) (*session, error) {
	if f.Timeout < 0 {
		return nil, usagef("--timeout is below zero")
	}
	if err := client.CheckURL(f.Node); err != nil {
		return nil, &exitError{code: exitUsage, err: err}
	}
	opts, err := f.options()
	if err != nil {
		return nil, err
	}
	s := &session{n: 1}
	if f.Timeout > 0 {
		s.ctx, s.stop = context.WithTimeout(a.ctx, f.Timeout)
	} else {
		s.ctx, s.stop = context.WithCancel(a.ctx)
	}
	if s.c, err = client.Dial(s.ctx, f.Node, opts); err != nil {
		s.stop()
		if _, asked := errors.AsType[*client.Error](err); !asked && a.ctx.Err() == nil {
			return nil, &exitError{code: exitUsage, err: err} // token, fingerprint and URL do not fit: nothing was sent
		}
		return nil, err
	}
	s.con = newConsole(a, f.JSON)
	return s, nil
}

// options are what the flags ask of the client.
func (f *nodeFlags) options() (opts client.Options, err error) {
	opts = client.Options{UserAgent: "micronode/" + version().Version, Fingerprint: f.Pin}
	if opts.Token, err = f.Token.load(); err != nil {
		return opts, err
	}
	if f.CA == "" && f.Cert == "" && f.Key == "" {
		return opts, nil
	}
	opts.TLS = &tls.Config{MinVersion: tls.VersionTLS13}
	if f.CA != "" {
		pem, err := os.ReadFile(f.CA)
		if err != nil {
			return opts, usagef("--ca: %w", err)
		}
		opts.TLS.RootCAs = x509.NewCertPool()
		if !opts.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return opts, usagef("--ca: no certificate in %s", f.CA)
		}
	}
	if f.Cert != "" || f.Key != "" {
		pair, err := tls.LoadX509KeyPair(f.Cert, f.Key)
		if err != nil {
			return opts, usagef("--client-cert and --client-key: %w", err)
		}
		opts.TLS.Certificates = []tls.Certificate{pair}
	}
	return opts, nil
}

// close ends the session. err is how the command ended so far.
func (s *session) close(err error) error {
	s.stop()
	s.c.Close()
	if werr := s.con.close(); err == nil {
		err = werr
	}
	return err
}

// judge takes the outcome of one thing, reports a failure, and stops the batch when the rest would fail as well.
// It belongs to the goroutine that emits.
func (s *session) judge(subject string, err error) (ok bool) {
	switch {
	case err == nil:
		s.done++
		return true
	case errors.Is(err, context.Canceled), s.last != nil && hopeless(s.last) && hopeless(err):
		s.skipped++ // ended by a signal, or by what was reported already
		return false
	}
	s.last = err
	s.con.fail(subject, err)
	if hopeless(err) {
		s.stop()
	}
	return false
}

// missing is how many things are not done, and at least one when nobody knows how many would have followed.
func (s *session) missing() int {
	n := s.con.failures() + s.skipped
	if n == 0 && s.ctx.Err() != nil {
		n = 1
	}
	return n
}

// verdict is how a batch ended.
func (s *session) verdict() error {
	if s.last == nil {
		if err := s.ctx.Err(); err != nil { // a signal, which main reports, or --timeout between two things
			return err
		}
		return nil
	}
	if s.skipped > 0 {
		s.con.note("stopped: at least %d more were not tried", s.skipped)
	}
	code := exitPartly
	if s.done == 0 {
		code = codeOf(s.last)
	}
	return &exitError{code: code, err: s.last, quiet: true}
}

// parseAddresses reads addresses from the command line.
func parseAddresses(texts []string) ([]spec.Address, error) {
	list := make([]spec.Address, len(texts))
	for i, text := range texts {
		a, err := spec.ParseAddress(text)
		if err != nil {
			return nil, usagef("%q is not an address: an address is b3: and 64 lowercase hex digits", printable(text))
		}
		list[i] = a
	}
	return list, nil
}

// objectJob is one address of stat or rm.
type objectJob struct {
	addr spec.Address
	size int64
	err  error
}

// eachObject runs work on each address and show on each success, in order.
func (f *clientFlags) eachObject(a *app, texts []string, work func(context.Context, *client.Client, *objectJob), show func(*console, *objectJob)) error {
	addrs, err := parseAddresses(texts)
	if err != nil {
		return err
	}
	s, err := f.open(a)
	if err != nil {
		return err
	}
	inOrder(s.ctx, s.n, func(yield func(*objectJob) bool) {
		for _, addr := range addrs {
			if !yield(&objectJob{addr: addr}) {
				return
			}
		}
	}, func(ctx context.Context, j *objectJob) { work(ctx, s.c, j) }, func(j *objectJob) {
		if s.judge(j.addr.String(), j.err) {
			show(s.con, j)
		}
	})
	return s.close(s.verdict())
}

type statCmd struct {
	clientFlags
	Addresses []string `arg:"" name:"ADDRESS" help:"Address of an object."`
}

// Run prints sizes.
func (c *statCmd) Run(a *app) error {
	return c.eachObject(a, c.Addresses, func(ctx context.Context, cl *client.Client, j *objectJob) {
		j.size, j.err = cl.Stat(ctx, j.addr)
	}, func(con *console, j *objectJob) {
		con.result(fmt.Sprintf("%s  %d", j.addr, j.size), &objectResult{Address: j.addr, Size: &j.size})
	})
}

type rmCmd struct {
	clientFlags
	Addresses []string `arg:"" name:"ADDRESS" help:"Address of an object."`
}

// Run deletes objects.
func (c *rmCmd) Run(a *app) error {
	return c.eachObject(a, c.Addresses, func(ctx context.Context, cl *client.Client, j *objectJob) {
		j.err = cl.Delete(ctx, j.addr)
	}, func(con *console, j *objectJob) {
		if con.json {
			con.result("", &objectResult{Address: j.addr, Deleted: true})
		}
	})
}

// objectResult is one line of --json.
type objectResult struct {
	Address spec.Address `json:"address"`
	Path    string       `json:"path,omitzero"`
	Size    *int64       `json:"size,omitzero"`
	Created *bool        `json:"created,omitzero"`
	Deleted bool         `json:"deleted,omitzero"`
}
