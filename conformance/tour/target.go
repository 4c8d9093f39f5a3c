package tour

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rustyonions/micronode/conformance"
	"github.com/rustyonions/micronode/model/refcap"
)

// target is a node process that tours are driven against.
type target struct {
	*conformance.Process
	rate int    // requests per second where they are scarce, else 0
	cap  []byte // the bootstrap token of the node, which may do everything

	aux *bufio.Reader // a kept connection to the HTTP surface, for spending tokens
	nc  net.Conn

	spent time.Time // when the tokens were last used up
}

const plenty = 100_000 // requests per second where admission should not play a part

// launch starts a node. rate is its rate of admission where a tour needs to run out of tokens, else 0.
func launch(binary string, rate int, args ...string) (*target, error) {
	r := rate
	if r == 0 {
		r = plenty
	}
	p, err := conformance.StartProcess(binary, 20*time.Second, append([]string{"--rate", strconv.Itoa(r)}, args...)...)
	if err != nil {
		return nil, err
	}
	token, err := refcap.Binary(p.Token)
	if err != nil || len(token) == 0 {
		p.Kill()
		return nil, fmt.Errorf("the node announces no token to begin with (%v)", err)
	}
	return &target{Process: p, rate: rate, cap: token}, nil
}

// end kills the node: what it would do in good order is for other tests.
func (t *target) end() {
	if t.nc != nil {
		t.nc.Close()
	}
	t.Kill()
}

// spend uses up the tokens with requests that cost one each, until one is refused.
func (t *target) spend() error {
	if t.rate == 0 {
		return errors.New("this node has tokens without end")
	}
	if t.nc == nil {
		nc, err := net.DialTimeout("tcp", strings.TrimPrefix(t.HTTP, "http://"), patience)
		if err != nil {
			return err
		}
		t.nc, t.aux = nc, bufio.NewReader(nc)
	}
	// What came in since the last time, and a few more; the whole bucket at first.
	first := t.rate + 4
	if !t.spent.IsZero() {
		first = min(first, int(time.Since(t.spent).Seconds()*float64(t.rate))+6)
	}
	defer func() { t.spent = time.Now() }()
	request := "GET /nothing HTTP/1.1\r\nHost: x\r\n\r\n"
	for try := range 20 {
		n := 4
		if try == 0 {
			n = first
		}
		t.nc.SetDeadline(time.Now().Add(patience))
		if _, err := t.nc.Write([]byte(strings.Repeat(request, n))); err != nil {
			return err
		}
		last := 0
		for range n {
			resp, err := http.ReadResponse(t.aux, nil)
			if err != nil {
				return err
			}
			if _, err := resp.Body.Read(make([]byte, 4096)); err != nil && !strings.Contains(err.Error(), "EOF") {
				return err
			}
			resp.Body.Close()
			last = resp.StatusCode
		}
		if last == http.StatusTooManyRequests {
			return nil
		}
	}
	return errors.New("the tokens do not run out")
}

// earn waits until a token has come in where tours share scarce ones. One that drains has the whole bucket to itself.
func (t *target) earn() {
	if t.rate == scarce {
		<-time.After(3 * time.Second / time.Duration(2*t.rate))
	}
}

// inflight asks the node how many requests it has in flight.
func (t *target) inflight() (total int, text string, err error) {
	resp, err := http.Get(t.HTTP + "/metrics")
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	seen := false
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, value, ok := strings.Cut(lines.Text(), " ")
		if !ok || !strings.HasPrefix(name, "inflight_requests{") || strings.Contains(name, "/metrics") {
			continue // the question itself is in flight as well
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, "", fmt.Errorf("%q: %w", lines.Text(), err)
		}
		if seen = true; n > 0 {
			total, text = total+int(n), text+lines.Text()+"\n"
		}
	}
	if !seen {
		return 0, "", errors.New("/metrics has no inflight_requests")
	}
	return total, text, lines.Err()
}
