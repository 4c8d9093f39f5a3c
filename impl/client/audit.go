package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json"

	"github.com/rustyonions/micronode/spec"
)

// maxExport bounds an export in bytes: more records than a node can hold, each as long as one may be (CAP-AUD-003).
const maxExport = 1 << 30

// Inclusion says that a record is in the log (CAP-AUD-006). Nothing of it is checked here: impl/audit does that.
type Inclusion struct {
	Index int64    `json:"index"`
	Size  int64    `json:"size"`
	Leaf  []byte   `json:"leaf"`
	Proof [][]byte `json:"proof"`
}

// Consistency says that one state of the log goes before another (CAP-AUD-006). Nothing of it is checked here.
type Consistency struct {
	Old   int64    `json:"old"`
	New   int64    `json:"new"`
	Proof [][]byte `json:"proof"`
}

// onHTTP is the HTTP surface of this client. The audit log and /version are served over HTTP only.
func (c *Client) onHTTP(what string) (*httpSurface, error) {
	if h, ok := c.surface.(*httpSurface); ok {
		return h, nil
	}
	return nil, &Error{Reason: spec.Unsupported, Message: what + " is served over HTTP only: use the http:// or https:// address of the node"}
}

// document gets one short document.
func (c *Client) document(ctx context.Context, what, method, path string) (text []byte, err error) {
	h, err := c.onHTTP(what)
	if err != nil {
		return nil, err
	}
	err = c.retry(ctx, attempts{run: func(ctx context.Context) (err error) {
		text, err = h.small(ctx, method, path, nil, nil)
		return err
	}})
	return text, err
}

// Version returns the JSON of /version as the node sent it: at most 64 KiB, not checked (HTTP-HLT-005, CAP-KEY-009).
func (c *Client) Version(ctx context.Context) ([]byte, error) {
	return c.document(ctx, "/version", http.MethodGet, "/version")
}

// AuditCheckpoint returns the signed checkpoint of the audit log as the node sent it, not checked (CAP-AUD-005).
func (c *Client) AuditCheckpoint(ctx context.Context) ([]byte, error) {
	return c.document(ctx, "the audit log", http.MethodGet, "/admin/audit/checkpoint")
}

// AuditInclusion asks for the proof that the record at index is among the first size ones.
func (c *Client) AuditInclusion(ctx context.Context, index, size int64) (p Inclusion, err error) {
	err = c.proof(ctx, fmt.Sprintf("/admin/audit/inclusion/%d/%d", index, size), &p)
	if err == nil && (p.Index != index || p.Size != size) {
		err = broken(spec.Malformed, "the node sent the proof for another record than was asked for")
	}
	return p, err
}

// AuditConsistency asks for the proof that the first old records of the log are still the first of its first size ones.
func (c *Client) AuditConsistency(ctx context.Context, old, size int64) (p Consistency, err error) {
	err = c.proof(ctx, fmt.Sprintf("/admin/audit/consistency/%d/%d", old, size), &p)
	if err == nil && (p.Old != old || p.New != size) {
		err = broken(spec.Malformed, "the node sent the proof for other sizes than were asked for")
	}
	return p, err
}

func (c *Client) proof(ctx context.Context, path string, v any) error {
	text, err := c.document(ctx, "the audit log", http.MethodGet, path)
	if err == nil && json.Unmarshal(text, v) != nil {
		err = broken(spec.Malformed, "the node's proof can not be read")
	}
	return err
}

// AuditAcknowledge lets a node that holds records drop those below size (CAP-AUD-010). To say it again changes nothing.
func (c *Client) AuditAcknowledge(ctx context.Context, size int64) error {
	_, err := c.document(ctx, "the audit log", http.MethodPost, "/admin/audit/acknowledge/"+strconv.FormatInt(size, 10))
	return err
}

// AuditExport writes an export of all records that the node holds to w and returns how many bytes it has. Nothing of it
// is checked, and on an error w has received a part of it. An attempt that breaks off is repeated only when nothing was
// written yet.
func (c *Client) AuditExport(ctx context.Context, w io.Writer) (n int64, err error) {
	h, err := c.onHTTP("the audit log")
	if err != nil {
		return 0, err
	}
	err = c.retry(ctx, attempts{
		run: func(ctx context.Context) error {
			got, err := h.export(ctx, w)
			n += got
			return err
		},
		possible: func() bool { return n == 0 },
	})
	return n, err
}

// export is one attempt.
func (h *httpSurface) export(ctx context.Context, out io.Writer) (n int64, err error) {
	w := h.watch(ctx)
	defer w.stop()
	res, err := h.do(w, http.MethodGet, "/admin/audit/export", nil, nil, 0)
	if err != nil {
		return 0, err
	}
	defer end(res)
	if res.StatusCode != http.StatusOK {
		return 0, problem(res)
	}
	k := chunk{buf: chunks.Get().(*[]byte), n: spec.MaxChunk}
	defer k.free()
	for {
		got, err := res.Body.Read(k.bytes())
		w.seen()
		if n+int64(got) > maxExport {
			return n, broken(spec.Oversize, "the node's export has more than %d bytes", maxExport)
		}
		if got > 0 {
			wrote, err := out.Write(k.bytes()[:got])
			n += int64(wrote)
			if err != nil {
				return n, local("write output", err)
			}
		}
		switch {
		case err == io.EOF:
			return n, nil
		case err != nil:
			return n, h.transportError(w, err)
		}
	}
}
