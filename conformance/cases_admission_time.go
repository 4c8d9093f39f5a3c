package conformance

import (
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
)

// admissionTimeCases wait for the time limits of ADM-TIM.
func admissionTimeCases() []Case {
	return []Case{
		{ID: "adm-slow-head", Rules: []string{"ADM-TIM-001", "ADM-TIM-002"}, Level: spec.Must, Profile: ProfileSecurity, Slow: true,
			Description: "A head that comes byte by byte is cut after five seconds, also on a connection that has served before.",
			Run:         admSlowHead},
		{ID: "adm-slow-body", Rules: []string{"ADM-TIM-001", "ADM-TIM-002", "CAS-PUT-005"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity, Slow: true,
			Description: "A body that comes byte by byte is answered with 408 five seconds after its head began, and stores nothing.",
			Run:         admSlowBody},
		{ID: "adm-slow-reader", Rules: []string{"ADM-TIM-001", "ADM-TIM-002"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity, Slow: true,
			Description: "A client that does not read its answer is cut, and never takes what it got for the whole.",
			Run:         admSlowReader},
		{ID: "adm-timeout-gives-back", Rules: []string{"ADM-TIM-006", "ADM-CAP-006", "CAS-PUT-005"}, Level: spec.Must, Feature: FeatureObjects, Profile: ProfileSecurity, Slow: true, Own: true,
			Description: "Uploads that time out, on both surfaces, give back their places and their capacity within a second.",
			Run:         admTimeoutGivesBack},
	}
}

// dribble writes text a byte at a time until the connection ends or limit is over, and says how long that took.
func (r *RawHTTP) dribble(text string, limit time.Duration) time.Duration {
	begin := time.Now()
	r.tr.remark("%q, a byte every 200 ms", text[:min(len(text), 80)])
	for i := 0; time.Since(begin) < limit && i < len(text); i++ {
		r.nc.SetWriteDeadline(time.Now().Add(time.Second))
		if _, err := r.nc.Write([]byte{text[i]}); err != nil {
			break
		}
		// What comes back is left in the buffer for the reaction.
		r.nc.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if _, err := r.br.Peek(1); err == nil || !isTimeout(err) {
			break
		}
	}
	return time.Since(begin)
}

func isTimeout(err error) bool {
	e, ok := err.(net.Error)
	return ok && e.Timeout()
}

func admSlowHead(t *T) {
	t.Control(func() { t.Want(t.Get("/healthz"), 200) })
	text := "GET /healthz HTTP/1.1\r\nHost: " + t.base.Host + "\r\nX-Slow: " + strings.Repeat("x", 1000)
	t.Each(2, func(i int) {
		raw := t.Raw()
		if i == 1 {
			raw.Head("GET", "/healthz")
			t.Want(raw.Response("GET"), 200)
		}
		begin := time.Now()
		raw.dribble(text, t.Within(spec.RequestTimeout))
		t.since(begin, spec.RequestTimeout, "the connection was cut")
		if r, err := raw.Try(t.Patience(), "GET"); err == nil { // an answer is a choice (ADM-TIM-003), and so is a bare 400 (HTTP-ERR-009)
			t.Check(r.Status == 408 || r.Status == 400, "a slow head is answered with %d", r.Status)
		}
		raw.Closed()
	})
}

func admSlowBody(t *T) {
	t.Control(func() { t.HTTPRoundTrip() })
	data := t.Bytes(1000)
	for i := range data {
		data[i] = 'a' + data[i]%26
	}
	heads := []string{"Content-Length: 1000", "Transfer-Encoding: chunked", "Content-Length: 1000"}
	t.Each(len(heads), func(i int) {
		raw := t.Raw()
		begin := time.Now()
		raw.Head("PUT", Object(AddressOf(data)), heads[i])
		text := string(data)
		switch i {
		case 1:
			text = chunked(data, 2)
		case 2:
			text = "" // a body that never begins
		}
		raw.dribble(text, t.Within(spec.RequestTimeout))
		r := raw.ResponseWithin(t.Within(spec.RequestTimeout), "PUT")
		t.since(begin, spec.RequestTimeout, "the upload was ended")
		t.Refuses(r, spec.Timeout)
		raw.Closed()
	})
	t.Misses(AddressOf(data))
}

func admSlowReader(t *T) {
	const size = 16 << 20 // more than the sockets of both sides can hold
	var addr spec.Address
	get := func(pause time.Duration) (int, error) {
		raw := t.Raw()
		if tcp, ok := raw.nc.(*net.TCPConn); ok {
			tcp.SetReadBuffer(128 << 10)
		}
		raw.Head("GET", Object(addr))
		t.Pause(pause)
		r, err := raw.Try(t.Patience(), "GET")
		if err != nil {
			return 0, err
		}
		return len(r.Body), r.Err
	}
	t.Control(func() {
		c := t.Hello()
		c.Fence()
		addr, _ = c.Put(t.Bytes(size))
		n, err := get(time.Second)
		t.Check(n == size && err == nil, "a GET that paused for a second gives %d bytes: %v", n, err)
	})
	n, err := get(t.Within(spec.RequestTimeout))
	t.Check(n < size, "a GET that was not read for %v was still served", t.Within(spec.RequestTimeout))
	t.Check(err != nil, "%d of %d bytes ended cleanly", n, size)
}

func admTimeoutGivesBack(t *T) {
	const places, size = 6, 1 << 20
	node := t.Spawn("--rate", "100000", "--max-inflight", fmt.Sprint(places))
	t.Control(func() {
		node.HTTPRoundTrip()
		node.Hello().RoundTrip()
	})
	c := node.Hello()
	for range places / 2 {
		corr := c.Begin(put(size), 0)
		c.Send(dataFrame(corr, refwire.Data{TotalLen: size, Body: make([]byte, 1000)}))
	}
	c.Fence() // the streams are in
	var raws []*RawHTTP
	for range places - places/2 {
		raw := node.Raw()
		raw.Head("POST", "/put", fmt.Sprintf("Content-Length: %d", size), "Expect: 100-continue")
		r := raw.Response("POST")
		t.Check(r.Status == 100, "an upload that has a place gets %d instead of 100", r.Status)
		raw.Write("a few bytes")
		raws = append(raws, raw)
	}
	node.Refuses(node.Get(Object(t.Absent())), spec.Quota) // every place is taken
	for range places / 2 {
		f := c.FrameWithin(t.Within(spec.RequestTimeout))
		c.refused(f, f.Corr, spec.Timeout)
	}
	for _, raw := range raws {
		node.Refuses(raw.ResponseWithin(t.Within(spec.RequestTimeout), "POST"), spec.Timeout)
	}
	t.Eventually(time.Second, "the places are free", func() bool {
		r := node.Get(Object(t.Absent()))
		return r.Status == 404
	})
	t.Eventually(time.Second, "the capacity is free", func() bool {
		samples := node.metrics()
		held, _ := value(samples, "store_bytes", "")
		objects, _ := value(samples, "store_objects", "")
		return held == 0 && objects == 0
	})
}
