//go:build !linux && !darwin

package client

import "errors"

// listenerUID fails: a system that does not say who listens gets no token.
func listenerUID(int) (uint32, error) {
	return 0, errors.New("this system does not say who listens")
}
