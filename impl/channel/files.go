package channel

import (
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// maxFile is the largest certificate or key file that is read, in bytes.
const maxFile = 1 << 20

// guard says what a file has to be safe from.
type guard struct {
	rule   string
	others fs.FileMode // permission bits that may not be set
	owned  bool        // it has to belong to the user of the process, or root
	why    string      // and what to do about it
}

var (
	public     = guard{}
	private    = guard{"CAP-TLS-009", 0o077, true, "a private key may be read and written by its owner only (chmod go-rwx)"}
	appointing = guard{"CAP-TLS-011", 0o022, true, "who can write it decides whose certificates are accepted (chmod go-w)"}
)

// readFile reads a file that passes its guard. The checks are made on the open descriptor, so that what was checked is
// what is read.
func readFile(path string, g guard) ([]byte, error) {
	// O_NONBLOCK: a FIFO would otherwise keep the node waiting for a writer. It means nothing to a regular file.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &SetupError{Path: path, Err: fmt.Errorf("can not be opened: %w", pathless(err))}
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, &SetupError{Path: path, Err: pathless(err)}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.Mode().IsRegular() {
		return nil, refuse(g.rule, path, "not a regular file")
	}
	if info.Mode().Perm()&g.others != 0 {
		return nil, refuse(g.rule, path, "has mode %04o: %s", info.Mode().Perm(), g.why)
	}
	if euid := os.Geteuid(); g.owned && st.Uid != 0 && int(st.Uid) != euid {
		return nil, refuse(g.rule, path, "belongs to user %d, and neither to user %d, who runs this node, nor to root: %s", st.Uid, euid, g.why)
	}
	if info.Size() > maxFile {
		return nil, refuse("", path, "longer than %d bytes", maxFile)
	}
	data := make([]byte, info.Size()) // at once: a buffer that grows leaves copies of the key behind
	if _, err := io.ReadFull(f, data); err != nil {
		clear(data)
		return nil, &SetupError{Path: path, Err: pathless(err)}
	}
	return data, nil
}

// pathless takes the path out of an error that is to be printed after the path.
func pathless(err error) error {
	if pe, ok := err.(*fs.PathError); ok {
		return pe.Err
	}
	return err
}
