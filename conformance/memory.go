package conformance

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
)

// residentBytes is the resident memory of a node that the suite started, as the system sees it.
func (t *T) residentBytes(p *Peer) int64 {
	pid := strconv.Itoa(p.Process.Pid())
	// Linux has it in a file; ps is everywhere else.
	if status, err := os.ReadFile("/proc/" + pid + "/status"); err == nil {
		for line := range bytes.Lines(status) {
			if rest, ok := bytes.CutPrefix(line, []byte("VmRSS:")); ok {
				return t.kib(bytes.TrimSuffix(bytes.TrimSpace(rest), []byte(" kB")))
			}
		}
	}
	out, err := exec.CommandContext(t.ctx, "ps", "-o", "rss=", "-p", pid).Output()
	if err != nil {
		t.Untestablef("the memory of the node can not be measured here: %v", err)
	}
	return t.kib(bytes.TrimSpace(out))
}

func (t *T) kib(text []byte) int64 {
	n, err := strconv.ParseInt(string(text), 10, 64)
	if err != nil {
		t.Untestablef("the memory of the node can not be measured here: %v", err)
	}
	return n << 10
}
