package client

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/rustyonions/micronode/spec"
)

// asListener makes the test binary listen on a socket until its stdin ends, and report whether anybody sent a byte.
const asListener = "MICRONODE_TEST_LISTEN"

func TestListenForOwnerTest(t *testing.T) {
	path := os.Getenv(asListener)
	if path == "" {
		return // only the process that TestTokenGoesToNoOtherUser starts has anything to do here
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	os.Stdout.WriteString("listening\n")
	c, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	c.SetReadDeadline(time.Now().Add(20 * time.Second))
	if n, _ := c.Read(make([]byte, 1)); n > 0 {
		t.Error("a byte arrived")
	}
}

// TestTokenGoesToNoOtherUser: the kernel says who listens on a Unix socket, and a token goes to this user and to root only
// (CAP-UDS-010).
func TestTokenGoesToNoOtherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("it takes root to listen as somebody else")
	}
	dir, err := os.MkdirTemp("", "owner") // t.TempDir has parents that another user can not enter
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	self := filepath.Join(dir, "self")
	text, err := os.ReadFile("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(self, text, 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "s")
	cmd := exec.Command(self, "-test.run=^TestListenForOwnerTest$")
	cmd.Env = append(os.Environ(), asListener+"="+path)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 54321, Gid: 54321}}
	cmd.Dir = dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, len("listening\n"))); err != nil {
		t.Fatal(err)
	}
	token, _ := tokenOf(300)
	_, err = Dial(t.Context(), "unix:"+path, Options{Token: token})
	var owner *OwnerError
	if !errors.As(err, &owner) || owner.UID != 54321 || !errors.Is(err, spec.Forbidden) {
		t.Errorf("%v", err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("the listener: %v", err)
	}
}

func TestTrusted(t *testing.T) {
	me := uint32(os.Geteuid())
	for uid, want := range map[uint32]bool{0: true, me: true, me + 1: false, 1<<32 - 2: false} {
		if trusted(uid) != want {
			t.Errorf("user %d: %v", uid, !want)
		}
	}
}
