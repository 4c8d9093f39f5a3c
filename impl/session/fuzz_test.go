package session

import (
	"testing"
	"time"

	"github.com/rustyonions/micronode/model/refwire"
	"github.com/rustyonions/micronode/spec"
	"github.com/rustyonions/micronode/spec/vectors"
)

// seedLimit is how many bytes of a script a seed may have: the engine is better with short ones.
const seedLimit = 8 << 10

// FuzzSession lets a client send any bytes in any pieces. The plan says for each piece how long it is, how much time
// passes before it, and what else happens. Nothing may panic, the invariants hold after every step, what the node
// sends is legal, every admission is paid back, and a client that falls silent is rid of soon.
func FuzzSession(f *testing.F) {
	scripts, err := vectors.Sessions()
	if err != nil {
		f.Fatal(err)
	}
	for _, script := range scripts {
		byConn := map[string][]byte{}
		for _, step := range script.Steps {
			for _, s := range step.Send {
				if s.Vector == "" {
					byConn[step.Conn] = append(byConn[step.Conn], encodeSend(f, &s)...)
				}
			}
		}
		for _, b := range byConn {
			if len(b) < seedLimit {
				f.Add(b, []byte{0xff})
				f.Add(b, []byte{3, 0x20, 7})
			}
		}
	}
	hello := refwire.Frame{Flags: spec.FlagReq, Payload: []byte("{}")}
	hello.Seal()
	prefix := refwire.Encode(hello)
	f.Fuzz(func(t *testing.T, data, plan []byte) {
		h := newHost()
		for _, object := range []string{"", "hello", string(make([]byte, 300))} {
			h.put([]byte(object))
		}
		h.chunk = func(corr uint64) int { return 1 + int(corr%90) }
		h.fault = func(st *Stream, during EffectKind) spec.Reason {
			if faulty(st.Corr, during) {
				return spec.StoreFull
			}
			return spec.None
		}
		r := newRig(t, h, epoch)
		if len(plan) > 0 && plan[0]&0x40 != 0 {
			r.bytes(prefix)
		}
		for i := 0; len(data) > 0 && !r.c.Closing(); i++ {
			n := len(data)
			if len(plan) > 0 {
				n = min(n, r.happen(plan[i%len(plan)]))
			}
			r.bytes(data[:n])
			data = data[n:]
		}
		r.hold = false
		r.settle()
		// A frame every 5 s, an idle minute, and what there was to send is sent at once.
		if r.at(r.now.Add(2 * time.Minute)); !r.c.Closing() {
			t.Fatalf("two minutes of silence, and the connection is open with %d streams", r.c.OpenStreams())
		}
		r.finish()
		h.finished(t)
	})
}

// happen does what one byte of a plan says, and returns the length of the next piece.
func (r *rig) happen(b byte) int {
	switch b >> 4 & 3 {
	case 1:
		r.at(r.now.Add(time.Duration(b&15) * 700 * time.Millisecond))
	case 2:
		r.now = r.now.Add(time.Duration(b&15) * 700 * time.Millisecond) // nobody looks
	case 3:
		r.hold = b&1 != 0
		r.settle()
	}
	if b == 0x8f {
		r.c.Drain(r.now, r.now.Add(3*time.Second))
		r.settle()
	}
	if b&0x80 != 0 {
		return 1 << 20
	}
	return 1 << (b & 15)
}
