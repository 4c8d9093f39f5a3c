package tour

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// patience is how long a prompt answer may take on a loaded machine.
const patience = 4 * time.Second

// conn is one OAP/1 connection of a tour. It is for one goroutine.
type conn struct {
	nc  socket
	buf []byte
	log []string // what went over it, newest last
}

// socket is a TCP connection or one to a Unix socket.
type socket interface {
	net.Conn
	CloseWrite() error
}

// dial connects to oap://host:port or unix:/path.
func dial(url string) (*conn, error) {
	network, address := "tcp", strings.TrimPrefix(url, "oap://")
	if path, ok := strings.CutPrefix(url, "unix:"); ok {
		network, address = "unix", path
	}
	nc, err := net.DialTimeout(network, address, patience)
	if err != nil {
		return nil, err
	}
	return &conn{nc: nc.(socket)}, nil
}

// reset closes the connection without the courtesy of an end.
func (c *conn) reset() {
	if tcp, ok := c.nc.(*net.TCPConn); ok {
		tcp.SetLinger(0)
	}
	c.nc.Close()
}

// send writes frames in one go. That the node may have closed the connection shows in what it answers.
func (c *conn) send(b []byte, note string) {
	c.log = append(c.log, "> "+note)
	c.nc.SetWriteDeadline(time.Now().Add(patience))
	if _, err := c.nc.Write(b); err != nil {
		c.log = append(c.log, "! "+err.Error())
	}
}

var errSilent = errors.New("nothing came in time")

// read returns the next frame; errSilent when there was none until by; another error when the connection ended.
func (c *conn) read(by time.Time) (refwire.Frame, error) {
	for {
		if len(c.buf) > 0 {
			r := refwire.Decode(c.buf, spec.MaxFrame)
			switch r.Verdict {
			case refwire.Accept:
				c.buf = c.buf[r.N:]
				c.log = append(c.log, "< "+name(r.Frame))
				return r.Frame, nil
			case refwire.Reject:
				return refwire.Frame{}, fmt.Errorf("the node's frame breaks %s", r.Rule)
			}
		}
		c.nc.SetReadDeadline(by)
		var chunk [16 << 10]byte
		n, err := c.nc.Read(chunk[:])
		c.buf = append(c.buf, chunk[:n]...)
		if n > 0 {
			continue
		}
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return refwire.Frame{}, errSilent
		}
		if err != nil {
			c.log = append(c.log, "< end: "+err.Error())
			return refwire.Frame{}, err
		}
	}
}

// name tells a frame shortly.
func name(f refwire.Frame) string {
	text := fmt.Sprintf("%s %d corr %d", strings.Join(f.Flags.Names(), "|"), f.Code, f.Corr)
	if f.Flags&spec.FlagResp != 0 && f.Code >= 400 {
		if e, bad := refwire.DecodeError(f.Data); bad == spec.None {
			text += " " + string(e.Reason)
		}
	}
	return text
}
