package client

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"lukechampine.com/blake3"

	"github.com/rustyonions/micronode/impl/server"
	"github.com/rustyonions/micronode/spec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// startNode runs a real node in this process for one test.
func startNode(t testing.TB, change func(*server.Config)) *server.Node {
	t.Helper()
	cfg := server.DefaultConfig()
	cfg.HTTP, cfg.OAP, cfg.Rate = "127.0.0.1:0", "127.0.0.1:0", 1_000_000
	cfg.Log = slog.New(slog.DiscardHandler)
	if change != nil {
		change(&cfg)
	}
	n, err := server.Start(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := n.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	return n
}

func dial(t testing.TB, url string, o Options) *Client {
	t.Helper()
	c, err := Dial(t.Context(), url, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// ours are options of somebody with the bootstrap token of n.
func ours(n *server.Node, o Options) Options {
	o.Token = n.Bootstrap()
	return o
}

// bytesOf makes n bytes that depend on n only.
func bytesOf(n int) []byte {
	b := make([]byte, n)
	r := rand.NewChaCha8([32]byte{byte(n), byte(n >> 8), byte(n >> 16)})
	r.Read(b)
	return b
}

func sum(b []byte) spec.Address { return blake3.Sum256(b) }

// onlyReader hides every method but Read.
type onlyReader struct{ io.Reader }

// surfaces are the URLs of a node.
func surfaces(n *server.Node) map[string]string {
	return map[string]string{"oap": "oap://" + n.OAPAddr(), "http": "http://" + n.HTTPAddr()}
}

func TestRoundTrip(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	for name, url := range surfaces(n) {
		t.Run(name, func(t *testing.T) {
			c := dial(t, url, ours(n, Options{}))
			sizes := []int{0, 1, 1000, 65535, 65536, 65537, 131072, 1<<20 - 1, 1 << 20}
			if name == "oap" {
				sizes = append(sizes, 1<<20+1, 2<<20, 33*65536, 3<<20+7, 9<<20)
			}
			for _, size := range sizes {
				b := bytesOf(size)
				addr, _, err := c.Put(t.Context(), bytes.NewReader(b), int64(size), nil)
				if err != nil || addr != sum(b) {
					t.Fatalf("put of %d: %v, %v", size, addr, err)
				}
				again, created, err := c.Put(t.Context(), onlyReader{bytes.NewReader(b)}, -1, &addr)
				if err != nil || again != addr || created {
					t.Fatalf("second put of %d: %v, %v, %v", size, again, created, err)
				}
				var got bytes.Buffer
				if k, err := c.Get(t.Context(), addr, 0, -1, &got); err != nil || k != int64(size) || !bytes.Equal(got.Bytes(), b) {
					t.Fatalf("get of %d: %d, %v", size, k, err)
				}
				if k, err := c.Stat(t.Context(), addr); err != nil || k != int64(size) {
					t.Fatalf("stat of %d: %d, %v", size, k, err)
				}
				if ok, err := c.Has(t.Context(), addr); err != nil || !ok {
					t.Fatalf("has of %d: %v, %v", size, ok, err)
				}
				if err := c.Delete(t.Context(), addr); err != nil {
					t.Fatalf("delete of %d: %v", size, err)
				}
				if ok, err := c.Has(t.Context(), addr); err != nil || ok {
					t.Fatalf("has after delete of %d: %v, %v", size, ok, err)
				}
			}
		})
	}
}

// Ranges mean the same over both surfaces, also where HTTP has no words for them.
func TestRanges(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	b := bytesOf(150_000)
	for name, url := range surfaces(n) {
		t.Run(name, func(t *testing.T) {
			c := dial(t, url, ours(n, Options{}))
			addr, _, err := c.Put(t.Context(), bytes.NewReader(b), int64(len(b)), nil)
			if err != nil {
				t.Fatal(err)
			}
			empty, _, err := c.Put(t.Context(), bytes.NewReader(nil), 0, nil)
			if err != nil {
				t.Fatal(err)
			}
			for _, r := range []struct{ off, n, from, to int64 }{
				{0, -1, 0, 150_000}, {0, 150_000, 0, 150_000}, {0, 1, 0, 1}, {0, 0, 0, 0}, {1, -1, 1, 150_000}, {65536, 10, 65536, 65546},
				{149_999, 100, 149_999, 150_000}, {150_000, -1, 0, 0}, {150_000, 5, 0, 0}, {7, 0, 0, 0},
			} {
				var got bytes.Buffer
				k, err := c.Get(t.Context(), addr, r.off, r.n, &got)
				if err != nil || k != r.to-r.from || !bytes.Equal(got.Bytes(), b[r.from:r.to]) {
					t.Errorf("get of %d from %d: %d bytes, %v", r.n, r.off, k, err)
				}
			}
			for _, r := range []struct{ off, n int64 }{{150_001, -1}, {150_001, 0}, {1 << 40, 1}} {
				_, err := c.Get(t.Context(), addr, r.off, r.n, io.Discard)
				wantReason(t, err, spec.BadRange)
			}
			for _, n := range []int64{-1, 0, 9} {
				if k, err := c.Get(t.Context(), empty, 0, n, io.Discard); err != nil || k != 0 {
					t.Errorf("get of %d from the empty object: %d, %v", n, k, err)
				}
			}
		})
	}
}

func TestMissing(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	for name, url := range surfaces(n) {
		t.Run(name, func(t *testing.T) {
			c := dial(t, url, ours(n, Options{}))
			none := sum([]byte("nobody stored this"))
			_, err := c.Get(t.Context(), none, 0, -1, io.Discard)
			wantReason(t, err, spec.NotFound)
			_, err = c.Stat(t.Context(), none)
			wantReason(t, err, spec.NotFound)
			wantReason(t, c.Delete(t.Context(), none), spec.NotFound)
			_, _, err = c.Put(t.Context(), bytes.NewReader([]byte("x")), 1, &none)
			wantReason(t, err, spec.BadDigest)
		})
	}
}

// Too large is said before anything is sent, with both readers whose length is known and those where it is not.
func TestTooLarge(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	for name, url := range surfaces(n) {
		c := dial(t, url, ours(n, Options{}))
		limit := c.MaxPut()
		for _, size := range []int64{limit + 1, -1} {
			_, _, err := c.Put(t.Context(), io.LimitReader(zeros{}, limit+1), size, nil)
			var large *TooLargeError
			if !errors.As(err, &large) || large.HTTP != (name == "http") {
				t.Errorf("%s, size %d: got %v", name, size, err)
			}
			wantReason(t, err, spec.Oversize)
		}
		if s := c.Stats(); s.Admitted+s.Refused+s.Lost != 0 {
			t.Errorf("%s: the node was asked: %+v", name, s)
		}
	}
	for err, want := range map[*TooLargeError]string{
		{Size: 1258291, Limit: 1 << 20, HTTP: true}:   "is 1.2 MiB: HTTP uploads are limited to 1 MiB, use an oap:// node",
		{Size: 1<<20 + 1, Limit: 1 << 20, HTTP: true}: "is 1048577 bytes: HTTP uploads are limited to 1 MiB, use an oap:// node",
		{Size: 80 << 20, Limit: 64 << 20}:             "is 80.0 MiB: objects are limited to 64 MiB",
	} {
		if err.Error() != want {
			t.Errorf("got %q, want %q", err, want)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// A body that ends before its length stores nothing and is no retry.
func TestShortInput(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	for name, url := range surfaces(n) {
		c := dial(t, url, ours(n, Options{}))
		for _, size := range []int64{10, 200_000} {
			_, _, err := c.Put(t.Context(), bytes.NewReader(make([]byte, size-1)), size, nil)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s, %d: got %v", name, size, err)
			}
			if ok, err := c.Has(t.Context(), sum(make([]byte, size-1))); ok || err != nil {
				t.Errorf("%s, %d: stored %v, %v", name, size, ok, err)
			}
		}
	}
}

// A node that agrees to small frames only gets small frames.
func TestSmallFrames(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	c := dial(t, "oap://"+n.OAPAddr(), ours(n, Options{MaxFrame: spec.MinMaxFrame}))
	b := bytesOf(300_000)
	addr, _, err := c.Put(t.Context(), bytes.NewReader(b), int64(len(b)), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if _, err := c.Get(t.Context(), addr, 0, -1, &got); err != nil || !bytes.Equal(got.Bytes(), b) {
		t.Error(err)
	}
}

// Many requests at once over few connections: all answers find their requests, and no limit of the node is hit.
func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	for name, url := range surfaces(n) {
		t.Run(name, func(t *testing.T) {
			c := dial(t, url, ours(n, Options{Conns: 2}))
			var wg sync.WaitGroup
			for i := range 200 {
				wg.Go(func() {
					b := bytesOf(1 + i*1000)
					addr, _, err := c.Put(t.Context(), bytes.NewReader(b), int64(len(b)), nil)
					if err != nil {
						t.Error(err)
						return
					}
					var got bytes.Buffer
					if _, err := c.Get(t.Context(), addr, 0, -1, &got); err != nil || !bytes.Equal(got.Bytes(), b) {
						t.Errorf("object %d: %v", i, err)
					}
				})
			}
			wg.Wait()
			if s := c.Stats(); s.Refused+s.Lost != 0 || s.Admitted != 400 {
				t.Errorf("stats: %+v", s)
			}
		})
	}
}

// A reader of one object that stands still holds up no other request on the same connection.
func TestSlowWriterHoldsUpNobody(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	c := dial(t, "oap://"+n.OAPAddr(), ours(n, Options{Conns: 1}))
	big := bytesOf(16 << 20)
	addr, _, err := c.Put(t.Context(), bytes.NewReader(big), int64(len(big)), nil)
	if err != nil {
		t.Fatal(err)
	}
	pr, pw := io.Pipe()
	done := make(chan error, 1)
	go func() {
		_, err := c.Get(t.Context(), addr, 0, -1, pw)
		pw.CloseWithError(err)
		done <- err
	}()
	one := make([]byte, 1)
	if _, err := pr.Read(one); err != nil { // the get is under way, and now nobody reads on
		t.Fatal(err)
	}
	for range 50 {
		if _, err := c.Stat(t.Context(), addr); err != nil {
			t.Fatal(err)
		}
	}
	rest, err := io.ReadAll(pr)
	if err != nil || !bytes.Equal(append(one, rest...), big) {
		t.Errorf("the slow get: %d bytes, %v", len(rest)+1, err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// A writer that fails ends its get, and nothing else.
func TestFailingWriter(t *testing.T) {
	t.Parallel()
	n := startNode(t, nil)
	for name, url := range surfaces(n) {
		c := dial(t, url, ours(n, Options{}))
		b := bytesOf(500_000)
		addr, _, err := c.Put(t.Context(), bytes.NewReader(b), int64(len(b)), nil)
		if err != nil {
			t.Fatal(err)
		}
		full := errors.New("disk full")
		if _, err := c.Get(t.Context(), addr, 0, -1, failAfter{100_000, full}.writer()); !errors.Is(err, full) {
			t.Errorf("%s: got %v", name, err)
		}
		if _, err := c.Stat(t.Context(), addr); err != nil {
			t.Errorf("%s: after that: %v", name, err)
		}
	}
}

type failAfter struct {
	n   int
	err error
}

func (f failAfter) writer() io.Writer { return &f }

func (f *failAfter) Write(p []byte) (int, error) {
	if f.n -= len(p); f.n < 0 {
		return 0, f.err
	}
	return len(p), nil
}

// The node's own token bucket: nothing fails, and few are refused.
func TestPacedByARealNode(t *testing.T) {
	t.Parallel()
	n := startNode(t, func(c *server.Config) { c.Rate = 100 })
	for name, url := range surfaces(n) {
		c := dial(t, url, ours(n, Options{}))
		start := time.Now()
		var wg sync.WaitGroup
		for range 16 {
			wg.Go(func() {
				for range 10 {
					if _, err := c.Has(t.Context(), spec.Address{}); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		s := c.Stats()
		t.Logf("%s: 160 requests at 100/s with a burst of 100 in %v, %d refused", name, time.Since(start), s.Refused)
		if s.Admitted != 160 || s.Refused > 60 {
			t.Errorf("%s: stats: %+v", name, s)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: took %v", name, took)
		}
	}
}
