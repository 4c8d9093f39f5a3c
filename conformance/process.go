package conformance

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// keptOutput bounds what is kept of a process's output, in bytes: its end, which is where a crash tells about itself.
const keptOutput = 16 << 10

// Process is a node that the suite started. Its methods are safe for concurrent use.
type Process struct {
	HTTP     string // base URL, as announced
	OAP      string // URL, as announced
	Doors           // the other listeners, as announced
	Name     string // of the node, as announced
	Identity string // id of the node's keys, as announced
	Token    string // the bootstrap token (CAP-ROL-004), "" where none was announced

	cmd    *exec.Cmd
	stderr tail
	done   chan struct{} // closed when the process has ended and been waited for
	err    error         // from Wait; read after done
}

// StartProcess runs `binary run --json` on free ports of loopback with further args and waits, at most patience, for
// the line that announces its listeners.
func StartProcess(binary string, patience time.Duration, args ...string) (*Process, error) {
	p := &Process{done: make(chan struct{})}
	all := []string{"run", "--json", "--http", "127.0.0.1:0", "--oap", "127.0.0.1:0"}
	p.cmd = exec.Command(binary, append(all, args...)...)
	p.cmd.Stderr = &p.stderr
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	first := make(chan string, 1)
	go func() {
		r := bufio.NewReader(out)
		line, _ := r.ReadString('\n')
		first <- line
		io.Copy(io.Discard, r)
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case line := <-first:
		if err := p.announced(line); err != nil {
			p.Kill()
			return nil, err
		}
		return p, nil
	case <-timer.C:
		p.Kill()
		return nil, fmt.Errorf("no listening line within %v\n%s", patience, p.lastWords())
	}
}

// announced reads {"event":"listening","http":"http://…","oap":"oap://…"}; later members may be added.
func (p *Process) announced(line string) error {
	var l struct {
		Event, HTTP, OAP, HTTPS, Unix, Fingerprint, Name, Identity, Token string

		OAPTLS string `json:"oap_tls"`
	}
	if err := json.Unmarshal([]byte(line), &l); err != nil || l.Event != "listening" {
		p.Wait(time.Second)
		return fmt.Errorf("the first line on stdout is %q, not the listening event\n%s", redacted(line), p.lastWords())
	}
	p.HTTP, p.OAP, p.Name, p.Identity, p.Token = l.HTTP, l.OAP, l.Name, l.Identity, l.Token
	p.Doors = Doors{HTTPS: l.HTTPS, OAPTLS: l.OAPTLS, Unix: l.Unix, Fingerprint: l.Fingerprint}
	return nil
}

// Signal sends sig. That the process is gone already is no error.
func (p *Process) Signal(sig os.Signal) error {
	if err := p.cmd.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Wait waits for the end of the process and returns its exit status; -1 for the end by a signal. ok is false when it
// did not end within patience.
func (p *Process) Wait(patience time.Duration) (status int, ok bool) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-p.done:
		return p.cmd.ProcessState.ExitCode(), true
	case <-timer.C:
		return 0, false
	}
}

// Stop ends the process by SIGTERM and demands the exit status 0 within patience (RDY-DRN-005).
func (p *Process) Stop(patience time.Duration) error {
	if err := p.Signal(syscall.SIGTERM); err != nil {
		p.Kill()
		return err
	}
	status, ok := p.Wait(patience)
	if !ok {
		p.Kill()
		return fmt.Errorf("still running %v after SIGTERM\n%s", patience, p.lastWords())
	}
	if status != 0 {
		return fmt.Errorf("exit status %d after SIGTERM\n%s", status, p.lastWords())
	}
	return nil
}

// Kill ends the process, without asking, and waits for it.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	<-p.done
}

// Pid is the process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Stderr is the end of what the process wrote to stderr.
func (p *Process) Stderr() string { return p.stderr.String() }

func (p *Process) lastWords() string {
	const shown = 2 << 10
	s := strings.TrimSpace(p.stderr.String())
	if len(s) > shown {
		s = "…" + s[len(s)-shown:]
	}
	if s == "" {
		return ""
	}
	return "  --- the node's stderr\n    " + strings.ReplaceAll(s, "\n", "\n    ") + "\n"
}

// tail keeps the end of what is written to it.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf.Write(b)
	if over := t.buf.Len() - keptOutput; over > 0 {
		t.buf.Next(over)
	}
	return len(b), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
