package client

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"sync/atomic"
	"time"

	"github.com/rustyonions/micronode/impl/secret"
	"github.com/rustyonions/micronode/spec"
)

// Options tune a Client. The zero value is good for a command line tool.
type Options struct {
	// Conns is the most OAP connections that are held at once; 0 means 4. HTTP holds one for each request that
	// runs at the same time.
	Conns int
	// TLS is used for oap+tls:// and https://; nil means the system's roots. Version and ALPN are set here.
	TLS *tls.Config
	// Fingerprint pins the certificate of oap+tls:// and https://: "sha256:" and 64 hex digits, as a node announces it
	// (CAP-TLS-010). It takes the place of certificate authorities unless TLS names some; then both must agree.
	Fingerprint string
	// Token is the capability that every request carries (CAP-TOK-003, CAP-TOK-004), in its text form; zero for none. It
	// is never sent over a network without encryption: Dial refuses (ClearTextError).
	Token secret.String
	// UserAgent names the program to the node.
	UserAgent string
	// MaxFrame asks an OAP node for a lower max_frame, in bytes (OAP-HEL-005); 0 does not.
	MaxFrame int64
	// Patience is how long the node may go on refusing everything before an operation gives up; 0 means 15 s.
	// As long as the node lets in anything of this client, retries go on without limit.
	Patience time.Duration
	// Stall is how long one request may see nothing from the node before its attempt counts as lost; 0 means 10 s.
	Stall time.Duration

	pin  *pin       // of Fingerprint
	cred credential // of Token
}

const (
	defaultConns    = 4
	defaultPatience = 15 * time.Second
	defaultStall    = 10 * time.Second

	// fullPatience is the patience with a full store: it is not going to be empty soon.
	fullPatience = 3 * time.Second
	// maxLosses is how many attempts in a row may end without an answer and without progress.
	maxLosses = 5
	// firstBackoff is the wait after the first loss; it doubles with each.
	firstBackoff = 50 * time.Millisecond
)

// fill checks the options and puts in what was left out.
func (o *Options) fill() (err error) {
	if o.Conns <= 0 {
		o.Conns = defaultConns
	}
	if o.UserAgent == "" {
		o.UserAgent = "micronode-client"
	}
	if o.Patience <= 0 {
		o.Patience = defaultPatience
	}
	if o.Stall <= 0 {
		o.Stall = defaultStall
	}
	if o.pin, err = parsePin(o.Fingerprint); err != nil {
		return err
	}
	o.cred, err = newCredential(o.Token)
	return err
}

// surface is one way to reach a node. Each method is one attempt.
type surface interface {
	put(ctx context.Context, src *source, want *spec.Address) (addr spec.Address, created bool, err error)
	get(ctx context.Context, s *sink) error
	stat(ctx context.Context, addr spec.Address) (size int64, err error)
	has(ctx context.Context, addr spec.Address) (bool, error)
	remove(ctx context.Context, addr spec.Address) error
	passport(ctx context.Context, op spec.Op, doc []byte) (answer []byte, err error)
	close()
}

// Client is a connection, or several, to one node. All methods are safe for concurrent use: requests of one
// Client share its connections and its pace.
type Client struct {
	target  target
	opts    Options
	surface surface
	pace    pacer

	born     time.Time
	progress atomic.Int64 // when the node last let something in, nanoseconds after born
}

// Dial makes a Client for the node at url (see CheckURL). An OAP node is connected to at once; an HTTP node with
// the first request. The error has Unreachable set when there is no connection. A token or a fingerprint that is none
// (TokenError), or a token that would leave this machine in the clear (ClearTextError), is refused before anything is
// sent.
func Dial(ctx context.Context, url string, opts Options) (*Client, error) {
	t, err := parseURL(url)
	if err != nil {
		return nil, err
	}
	if err := opts.fill(); err != nil {
		return nil, err
	}
	switch {
	case !opts.cred.zero() && !t.confidential():
		return nil, &ClearTextError{URL: t.text}
	case opts.pin != nil && !t.tls:
		return nil, fmt.Errorf("a fingerprint is pinned, but %s is not encrypted and has no certificate: use the https:// or oap+tls:// address of the node: %w",
			printable(t.text), spec.Malformed)
	}
	c := &Client{target: t, opts: opts, born: time.Now()}
	if t.http {
		c.surface = newHTTPSurface(t, &opts)
		return c, nil
	}
	pool := newPool(t, opts)
	if err := pool.warm(ctx); err != nil {
		return nil, failed(ctx, err)
	}
	c.surface = pool
	return c, nil
}

// Close closes all connections; requests that are running fail.
func (c *Client) Close() { c.surface.close() }

// Stats returns what happened so far.
func (c *Client) Stats() Stats { return c.pace.snapshot(time.Now()) }

// MaxPut is the largest object in bytes that can be put through this client (CAS-CAP-001, ADM-HTP-001).
func (c *Client) MaxPut() int64 {
	if c.target.http {
		return spec.MaxBody
	}
	return spec.MaxObject
}

// Put stores size bytes from r and returns their address, and whether the object was new to the node. want, if
// not nil, is the address that they must have (bad_digest). The answer is checked against the bytes that were
// sent (integrity).
//
// With a size of -1 r is read to its end into memory first, up to MaxPut bytes; otherwise it is streamed. A
// request that has to be repeated reads r again from where it stood, which needs an io.Seeker; with any other
// reader the first failure is final once something was read. When an answer got lost and the put is repeated,
// created may be false although it was this put that created the object.
func (c *Client) Put(ctx context.Context, r io.Reader, size int64, want *spec.Address) (addr spec.Address, created bool, err error) {
	src, err := newSource(r, size, c.MaxPut(), c.target.http)
	if err != nil {
		return spec.Address{}, false, err
	}
	defer src.close()
	err = c.retry(ctx, attempts{
		run: func(ctx context.Context) error {
			if err := src.rewind(); err != nil {
				return local("read input again", err)
			}
			var err error
			addr, created, err = c.surface.put(ctx, src, want)
			return err
		},
		possible: src.rewindable,
		done:     func() int64 { return 0 },
	})
	if err != nil {
		return spec.Address{}, false, err
	}
	return addr, created, nil
}

// Get writes the object at addr to w, from offset off on, length bytes or up to its end when length is negative,
// and returns how many bytes were written. An attempt that breaks off is resumed where it stopped. When the whole
// object was read, its digest is checked at the end: on integrity w has received bytes that are not the object,
// so w must be something that can be thrown away. A range alone can not be verified.
func (c *Client) Get(ctx context.Context, addr spec.Address, off, length int64, w io.Writer) (int64, error) {
	s := newSink(w, addr, off, length)
	defer s.close()
	err := c.retry(ctx, attempts{
		run: func(ctx context.Context) error {
			err := c.surface.get(ctx, s)
			if s.bad != nil {
				return s.bad
			}
			return err
		},
		done: func() int64 { return s.n },
	})
	return s.n, err
}

// Stat returns the size of the object at addr in bytes; not_found is an error.
func (c *Client) Stat(ctx context.Context, addr spec.Address) (size int64, err error) {
	err = c.retry(ctx, attempts{run: func(ctx context.Context) (err error) {
		size, err = c.surface.stat(ctx, addr)
		return err
	}})
	return size, err
}

// Has says whether the object at addr is stored.
func (c *Client) Has(ctx context.Context, addr spec.Address) (there bool, err error) {
	err = c.retry(ctx, attempts{run: func(ctx context.Context) (err error) {
		there, err = c.surface.has(ctx, addr)
		return err
	}})
	return there, err
}

// Delete deletes the object at addr; not_found is an error, except after an attempt whose answer got lost: then
// that attempt may well have been the one that deleted it.
func (c *Client) Delete(ctx context.Context, addr spec.Address) error {
	maybe := false
	return c.retry(ctx, attempts{run: func(ctx context.Context) error {
		err := c.surface.remove(ctx, addr)
		if e, ok := errors.AsType[*Error](err); ok && e.again >= lost && !e.Unreachable {
			maybe = true
		}
		if maybe && reasonOf(err) == spec.NotFound {
			return nil
		}
		return err
	}})
}

// attempts is one operation as the retry loop sees it.
type attempts struct {
	run      func(ctx context.Context) error
	possible func() bool  // another attempt can be made; nil: always
	done     func() int64 // bytes of progress; nil: none
}

func (a *attempts) progress() int64 {
	if a.done == nil {
		return 0
	}
	return a.done()
}

// retry runs attempts at the node's pace until one succeeds or there is no point in another.
func (c *Client) retry(ctx context.Context, a attempts) error {
	start, before := time.Now(), a.progress()
	refusals, losses := 0, 0
	for {
		gen, err := c.pace.wait(ctx)
		if err != nil {
			return failed(ctx, err)
		}
		err = a.run(ctx)
		now := time.Now()
		e, ok := errors.AsType[*Error](err)
		if err == nil || ok && e.FromNode && e.again != paced {
			c.pace.took()
			c.progress.Store(int64(now.Sub(c.born)))
		}
		if err == nil || !ok || ctx.Err() != nil {
			return failed(ctx, err)
		}
		if p := a.progress(); p > before { // bytes arrived: the node is well
			before, refusals, losses = p, 0, 0
			start = now
		}
		switch e.again {
		case never:
			return err
		case paced:
			c.pace.refused(now, gen, e.retryAfter, e.Reason.Facts().Status == 429)
			if refusals++; c.outOfPatience(e, start, now, refusals) {
				e.GaveUp = true
				return err
			}
		default:
			c.pace.lose()
			if losses++; e.again == stalls {
				losses++
			}
			if losses >= maxLosses || e.Unreachable && c.progress.Load() == 0 {
				e.GaveUp = !c.lastProgress().After(start) // else it is this request that fails, and not the node
				return err
			}
			if err := sleep(ctx, firstBackoff<<losses); err != nil {
				return failed(ctx, err)
			}
		}
		if a.possible != nil && !a.possible() {
			return err
		}
	}
}

// lastProgress is when the node last let something in, or when the client was made.
func (c *Client) lastProgress() time.Time { return c.born.Add(time.Duration(c.progress.Load())) }

// outOfPatience says that the node has refused for long enough without letting in anything at all.
func (c *Client) outOfPatience(e *Error, start, now time.Time, refusals int) bool {
	last := c.lastProgress()
	if start.After(last) {
		last = start
	}
	patience := c.opts.Patience
	if e.Reason == spec.StoreFull {
		patience = min(patience, fullPatience)
	}
	return refusals >= 3 && now.Sub(last) > max(patience, 3*e.retryAfter)
}

// failed gives the end of a context a reason; other errors stay as they are.
func failed(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	switch cause := ctx.Err(); {
	case errors.Is(cause, context.DeadlineExceeded):
		return &Error{Reason: spec.Timeout, Message: "the time that was given is over", Err: cause}
	case cause != nil:
		return fmt.Errorf("cancelled: %w", cause)
	}
	return err
}
