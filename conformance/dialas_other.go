//go:build !linux

package conformance

import (
	"errors"
	"net"
)

// canActAs says whether dialAs can work.
func canActAs() bool { return false }

// dialAs is for systems on which one thread can have another user id than its process.
func dialAs(int, string, func(net.Conn)) error { return errors.ErrUnsupported }
